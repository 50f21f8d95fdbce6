"""Jobs that misbehave, for tests/test_worker.py: imported in the child by ``--import``.

All but one work without TensorFlow: the child is under test.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any


def prints(n: int) -> str:
    """Much, to both, and what looks like an answer."""
    for stream in (sys.stdout, sys.stderr):
        for _ in range(n):
            stream.write('{"value": "no answer"}\n')
    os.write(1, b"\xff\x00" * n)
    return "answer"


def returns(n: int) -> str:
    return "x" * n


def odd() -> Any:
    return ["\ud800\x00\n", float("inf"), {"a": None}]


def raises(kind: str, text: str) -> None:
    raise {"MemoryError": MemoryError, "SystemExit": SystemExit, "ValueError": ValueError}[kind](
        text
    )


def no_json() -> Any:
    return {1, 2}


def says_and_aborts(text: str) -> None:
    os.write(2, text.encode())
    os.abort()


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kills_its_parent() -> None:
    """As if the system had chosen the child itself for want of memory."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def hangs(pids: str) -> None:
    """With a process beside it; the pids of both, and the child's, into a file."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(pids + ".new", "w") as f:
        f.write(f"{os.getppid()} {os.getpid()} {other.pid}")
    os.rename(pids + ".new", pids)
    while True:
        time.sleep(600)


def leaves_one_behind(pids: str) -> str:
    """A process that holds all pipes of the job."""
    pid = os.fork()
    if not pid:
        time.sleep(600)
    with open(pids, "w") as f:
        f.write(f"{pid}")
    return "answer"


def looks_around() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "child": os.getppid(),
        "cwd": os.getcwd(),
        "files": os.listdir(),
        "stdin": os.read(0, 10).decode(),
        "environment": dict(os.environ),
        "path": sys.path,
        "modules": sorted(sys.modules),
        "threads": threading.active_count(),
    }


def writes(name: str) -> str:
    with open(name, "w") as f:
        f.write("x")
    return os.path.abspath(name)


def imports(names: list[str]) -> list[str]:
    """Those of the modules that were not there yet."""
    new = [name for name in names if name not in sys.modules]
    for name in new:
        importlib.import_module(name)
    return new


def about(visible: str | None = None) -> Any:
    """In place of the job of that name: FOUND is what each CUDA_VISIBLE_DEVICES gives."""
    seen = os.environ["CUDA_VISIBLE_DEVICES"] if visible is None else visible
    return json.loads(os.environ["FOUND"])[seen]


def counts() -> int:
    """How often it was called in this process."""
    counts.n = getattr(counts, "n", 0) + 1  # type: ignore[attr-defined]
    return counts.n  # type: ignore[attr-defined,no-any-return]


def tells_settings() -> dict[str, Any]:
    """What TensorFlow has of the setting; with the real one only."""
    import random

    import numpy as np
    import tensorflow as tf
    from fastsm_child.settled import session_config
    from google.protobuf import json_format

    threading = tf.config.threading
    numbers = [random.random(), float(np.random.rand()), float(tf.random.uniform([]))]
    return {
        "threads": [threading.get_intra_op_parallelism_threads(),
                    threading.get_inter_op_parallelism_threads()],
        "soft": tf.config.get_soft_device_placement(),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"] != "0",
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
        "config": json_format.MessageToDict(session_config()),
        "numbers": numbers,
    }  # fmt: skip


# Jobs are functions of the package's modules: be one.
sys.modules["fastsm_child.hostile"] = sys.modules[__name__]
if jobs := sys.modules.get("fastsm_child.jobs"):
    if "FOUND" not in os.environ:
        del about
    for _name, _job in list(globals().items()):
        if callable(_job) and getattr(_job, "__module__", "") == __name__:
            jobs.JOBS[_name] = f"hostile:{_name}"
