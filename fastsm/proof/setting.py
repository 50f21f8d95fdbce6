"""What TensorFlow is started with: a device, threads, a seed, and an interpreter.

TensorFlow reads much of it from its environment while it is imported, so one process has one
setting.
"""

from __future__ import annotations

import os
import sys

from ..errors import UnsupportedError, UsageError
from ..text import Record, counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: Whatever the device. Results may depend on oneDNN's kernels (9 ulp were seen) and on XLA's
#: (4 ulp), and on the hash seed where a model was saved with Python code.
FIXED = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_XLA_FLAGS": "",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "NVIDIA_TF32_OVERRIDE": "0",
    "TF_CUDNN_USE_AUTOTUNE": "0",
    "TF_CUDNN_DETERMINISTIC": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",  # what is printed before an abort gets out
    "PYTHONWARNINGS": "ignore",  # the caller's may be errors
    "PYTHONOPTIMIZE": "",
    "PYTHONINSPECT": "",
}

#: Meant for the interpreter that runs fastsm: another one may not start with them.
OURS = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")

DEVICES = "cpu, gpu, gpu:N (N from 0) or auto"


class Setting(Record):
    """What TensorFlow is started with; a `Worker` has one.

    Attributes:
        device: "cpu", "gpu" (the first), "gpu:N", or "auto" (a GPU if there is one).
        threads: Of one op, and how many ops at once.
        seed: Of TensorFlow, numpy and Python.
        python: The interpreter that has TensorFlow, or None for the one that runs fastsm.
        imports: Modules that are imported after TensorFlow, such as ``tensorflow_text``.
        op_libraries: Files of custom ops (``.so``) that are loaded after TensorFlow.

    Raises:
        UsageError: The device is none of these; there are no threads.
    """

    __slots__ = ("device", "threads", "seed", "python", "imports", "op_libraries")

    def __init__(
        self,
        device: str = "cpu",
        threads: int = 1,
        seed: int = 0,
        python: str | os.PathLike[str] | None = None,
        imports: Sequence[str] = (),
        op_libraries: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        kind, colon, number = device.partition(":")
        if kind not in ("cpu", "gpu", "auto") or (
            colon and not (kind == "gpu" and number.isascii() and number.isdigit())
        ):
            raise UsageError("", f"there is no device {printable(device)!r}", hint=DEVICES)
        if threads < 1:
            raise UsageError("", f"{threads} threads run nothing: one at least")
        self.device = device
        self.threads = threads
        self.seed = seed
        self.python = None if python is None else os.fspath(python)
        self.imports = tuple(imports)
        self.op_libraries = tuple(os.path.abspath(p) for p in op_libraries)

    @property
    def gpu(self) -> int | None:
        """Which of the GPUs that the caller may use, or None for the CPU alone."""
        return None if self.device == "cpu" else int(self.device.partition(":")[2] or 0)

    @property
    def interpreter(self) -> str:
        """The interpreter's path. Raises UsageError if there is none."""
        found = self.python or sys.executable
        if not found:
            raise UsageError(
                "", "this Python does not know its own path", hint="Name one with --python."
            )
        if os.path.dirname(found):
            return os.path.abspath(found)
        import shutil

        path = shutil.which(found)
        if path is None:
            raise UsageError("", f"there is no {printable(found)} on the PATH")
        return path

    def environment(self, caller: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The child's environment.

        Args:
            caller: The environment that fastsm runs in.

        Raises:
            UnsupportedError: CUDA_VISIBLE_DEVICES does not allow the GPU that is asked for.
        """
        values = {**caller, **FIXED, "CUDA_VISIBLE_DEVICES": self.visible(caller)}
        values["OMP_NUM_THREADS"] = values["OPENBLAS_NUM_THREADS"] = str(self.threads)
        if self.python is not None and self.interpreter != sys.executable:
            for name in OURS:
                values.pop(name, None)
        return values

    def visible(self, caller: Mapping[str, str] = os.environ) -> str:
        """CUDA_VISIBLE_DEVICES as the child sees it: the one GPU that is asked for, or none.

        Raises:
            UnsupportedError: The caller's own does not allow it.
        """
        number = self.gpu
        if number is None:
            return "-1"
        allowed = caller.get("CUDA_VISIBLE_DEVICES")
        if allowed is None:
            return str(number)
        ids = []
        for word in allowed.split(","):
            # CUDA takes what stands before the first that is none.
            if not word.strip() or word.strip().startswith("-"):
                break
            ids.append(word.strip())
        if number < len(ids):
            return ids[number]
        if self.device == "auto":
            return "-1"
        raise UnsupportedError(
            "",
            f"there is no {self.device}: CUDA_VISIBLE_DEVICES allows {counted(len(ids), 'GPU')}",
            hint=f"It is {printable(allowed)!r}.",
        )

    def fixed(self, about: Mapping[str, Any]) -> str:
        """What a report says of it: ``TensorFlow 2.21.0, cpu, 1 thread, seed 0, ...``.

        Args:
            about: `Worker.about`.
        """
        device = " ".join([about["device"], *(f"({printable(g)})" for g in about["gpus"])])
        return ", ".join(
            [
                f"TensorFlow {printable(about['tensorflow'])}",
                device,
                counted(self.threads, "thread"),
                f"seed {self.seed}",
                "oneDNN off",
                "TF32 off",
            ]
        )

    def for_child(self) -> dict[str, Any]:
        """What the child is told in its first line."""
        return {
            "gpu": self.gpu is not None,
            "threads": self.threads,
            "seed": self.seed,
            "imports": list(self.imports),
            "op_libraries": list(self.op_libraries),
        }
