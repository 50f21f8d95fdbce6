"""The parent's end: starts TensorFlow in a child process and asks it for jobs."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from ..errors import BackendMissingError, UnsupportedError, UsageError
from ..text import printable
from .failures import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .setting import Setting

CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child")

#: So much is read from the pipe at a time.
_CHUNK = 1 << 20


class Worker:
    """A child process with TensorFlow; starts with the first question.

    Attributes:
        setting: What TensorFlow is started with.
        folder: A temporary folder that both ends see, removed at `close`.
    """

    def __init__(self, setting: Setting, *, timeout_s: float | None = 600.0) -> None:
        self.setting = setting
        self.timeout_s = timeout_s
        self._folder: str | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._versions: dict[str, str] = {}
        self._about: dict[str, Any] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def folder(self) -> str:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="fastsm-")
        return self._folder

    def close(self) -> None:
        """End the child and all that it started, and remove the folder."""
        self._kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def about(self) -> dict[str, Any]:
        """What runs there: versions, GPUs, and the device that is used.

        Returns:
            tensorflow, python, numpy: versions.
            built_with_cuda: Whether that TensorFlow can use a GPU at all.
            gpus: Names of the GPUs that it sees, as `Setting.visible` has it.
            device: The device that is used: "cpu", or "gpu:N" as the caller counts.
            note: Why "auto" is the CPU, or None.

        Raises:
            UnsupportedError: The GPU that is asked for is not there.
        """
        if self._about is None:
            found = self._ask("about", {})
            about = {**self._versions, **found, "note": None}
            number = self.setting.gpu
            if number is not None and not found["gpus"]:
                why = self._no_gpu(found)
                if self.setting.device != "auto":
                    raise UnsupportedError(
                        "", f"there is no {self.setting.device}: {why}",
                        hint="With --device cpu it is compared on the CPU.",
                    )  # fmt: skip
                about["note"] = f"no GPU: {why}"
                number = None
            about["device"] = "cpu" if number is None else f"gpu:{number}"
            self._about = about
        return self._about

    def _no_gpu(self, found: dict[str, Any]) -> str:
        """Which of the reasons it is that TensorFlow sees no GPU."""
        if not found["built_with_cuda"]:
            return f"TensorFlow {self._versions['tensorflow']} is built without CUDA"
        if isinstance(found["driver"], str):
            return f"no NVIDIA driver: {printable(found['driver'])}"
        return "none is visible"

    def ask(self, job: str, **options: Any) -> Any:
        """Do a job in a fresh fork of the child.

        Args:
            job: A name of `child.jobs.JOBS`.
            options: What its function takes, as JSON holds it. Paths are absolute: a job runs
                in an empty folder of its own.

        Returns:
            What the function returns.

        Raises:
            Failed: The job raised an error, ended its process, or took too long.
            UsageError: The interpreter does not run, or a module or a library that the setting
                names cannot be loaded there.
            BackendMissingError: It has no TensorFlow.
            UnsupportedError: Its TensorFlow cannot be imported, or has no such device.
        """
        if self.setting.gpu is not None:
            _ = self.about
        return self._ask(job, options)

    def _ask(self, job: str, options: dict[str, Any]) -> Any:
        if self._child is None:
            self._start()
        answer = self._exchange({"job": job, "options": options})
        if "value" in answer:
            return answer["value"]
        ((kind, how),) = answer.items()
        raise Failed(kind, how["type"], how["text"])

    # -- the child ---------------------------------------------------------------------

    def _start(self) -> None:
        interpreter = self.setting.interpreter
        try:
            with open(os.path.join(self.folder, "log"), "wb") as log:
                self._child = subprocess.Popen(
                    [interpreter, CHILD],
                    cwd=self.folder,
                    env=self.setting.environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # interrupts are ours; all its forks end together
                )
        except OSError as e:
            raise UsageError(interpreter, f"this interpreter does not run: {e.strerror}") from None
        first = self._exchange({**self.setting.for_child(), "folder": self.folder})
        if "ready" in first:
            self._versions = first["ready"]
            return
        self._kill()
        raise self._unusable(interpreter, first)

    def _unusable(self, interpreter: str, first: dict[str, Any]) -> Exception:
        """The error for a child that does not get ready."""
        if "old" in first:
            return UsageError(
                interpreter, f"this is Python {first['old']}; it takes Python 3.10 or a later one"
            )
        if "failed" not in first:
            return UsageError(interpreter, f"this interpreter does not run: {first}")
        how = first["failed"]
        error = printable(f"{how['type']}: {how['text']}", 500)
        if how["step"] == "tensorflow" and how["missing"] == "tensorflow":
            return BackendMissingError(
                interpreter, "TensorFlow is not installed there",
                hint='pip install "fastsm[tf]", or name a Python that has it with --python.',
            )  # fmt: skip
        if how["step"] == "tensorflow":
            return UnsupportedError(interpreter, f"TensorFlow cannot be imported there: {error}")
        what = "module" if how["step"] == "import" else "op library"
        return UsageError("", f"the {what} {printable(how['name'])} cannot be loaded: {error}")

    def _exchange(self, question: dict[str, Any]) -> dict[str, Any]:
        """A line there and a line back."""
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        try:
            try:
                child.stdin.write(json.dumps(question).encode() + b"\n")
                child.stdin.flush()
            except BrokenPipeError:
                pass  # it ended; reading tells
            line = self._line(child.stdout.fileno())
        except BaseException:
            self._kill()
            raise
        if line is None:
            self._kill()
            return {"timeout": {"type": "", "text": f"no answer in {self.timeout_s} s"}}
        if not line:
            code = self._kill()
            with open(os.path.join(self.folder, "log"), "rb") as log:
                text = log.read()[-16384:].decode(errors="replace")
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return {"abort": {"type": name, "text": text}}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _line(self, fd: int) -> bytes | None:
        """A line from the child; empty at its end, None when time is up."""
        end = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        parts = []
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([fd], [], [], left)[0]:
                return None
            part = os.read(fd, _CHUNK)
            parts.append(part)
            if not part or part.endswith(b"\n"):
                return b"".join(parts)

    def _kill(self) -> int:
        """End the child and its forks, whatever they do; its exit code."""
        child, self._child = self._child, None
        if child is None:
            return 0
        ended = child.poll()
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # none of them is left
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        code = child.wait()
        return code if ended is None else ended
