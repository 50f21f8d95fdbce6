"""The child: TensorFlow imported once, and a fork for each job.

Importing TensorFlow starts neither its runtime nor CUDA: both start with the first operation, in
the fork. So each job has a fresh session, an abort is the end of one job, and two models never
lie in memory together. Nothing here may start them.

The first line that comes in is the setting, each further one a job, ``{"job", "options"}``; one
line goes out for each: ``{"ready"}`` or ``{"failed"}`` for the setting, then ``{"value"}``,
``{"error"}`` or ``{"abort"}``. All of it is JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import select
import shutil
import signal
import sys
import tempfile
import warnings
from typing import Any

from .jobs import JOBS

#: So much of what a job prints is kept: an abort says why in its last lines.
TAIL = 16 << 10

_CHUNK = 1 << 20


def serve() -> None:
    """Answer until the other end is closed."""
    # What Python and TensorFlow print must not get into the answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    lines = _Lines(0)
    setting = lines.next()
    if setting is None:
        return
    try:
        ready = _start(setting)
    except _Unusable as e:
        _send(answers, json.dumps({"failed": e.args[0]}).encode())
        return
    _send(answers, json.dumps({"ready": ready}).encode())
    while (question := lines.next()) is not None:
        _send(answers, _answer(question, setting, lines))
    _leave(setting["folder"])


class _Unusable(Exception):
    """What is asked for cannot be imported: {step, name, type, text}."""


def _start(setting: dict[str, Any]) -> dict[str, str]:
    """Import TensorFlow and what else the setting names; their versions."""
    gc.disable()  # all of it stays; collecting now costs a tenth of the import
    tf = _step("tensorflow", "tensorflow", importlib.import_module)
    for name in setting["imports"]:
        _step("import", name, importlib.import_module)
    for path in setting["op_libraries"]:
        _step("op_library", path, tf.load_op_library)
    gc.freeze()  # what all forks share is never looked at again
    gc.enable()
    return {
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
        "numpy": sys.modules["numpy"].__version__,
    }


def _step(step: str, name: str, do: Any) -> Any:
    try:
        return do(name)
    except Exception as e:
        missing = e.name if isinstance(e, ModuleNotFoundError) else None
        found = {"step": step, "name": name, "missing": missing}
        raise _Unusable({**found, "type": type(e).__name__, "text": str(e)}) from None


def _answer(question: dict[str, Any], setting: dict[str, Any], lines: _Lines) -> bytes:
    """Do a job in a fork."""
    reads_answer, writes_answer = os.pipe()
    reads_prints, writes_prints = os.pipe()
    empty = tempfile.mkdtemp(prefix="job-", dir=setting["folder"])
    function = _function(question["job"])
    with warnings.catch_warnings():
        # From 3.12 on Python warns of threads: those that numpy may have wait for work.
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        _be_the_fork(function, question["options"], setting, empty, writes_answer, writes_prints)
    os.close(writes_answer)
    os.close(writes_prints)
    answer, prints = _watch(reads_answer, reads_prints, lines, setting["folder"])
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(empty, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    if answer and code == 0:
        return answer
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    text = prints.decode(errors="replace")
    return json.dumps({"abort": {"type": name, "text": text}}).encode()


def _function(job: str) -> Any:
    """The function of a job, or the error of its module."""
    module, _, name = JOBS[job].partition(":")
    try:
        return getattr(importlib.import_module(f".{module}", __package__), name)
    except Exception as e:
        return e


def _be_the_fork(
    function: Any, options: dict[str, Any], setting: dict[str, Any], folder: str,
    answers: int, prints: int,
) -> None:  # fmt: skip
    """Answers into the pipe and ends the process, whatever happens."""
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(prints, 1)
        os.dup2(prints, 2)
        os.chdir(folder)
        _rather_this_one()
        answer: dict[str, Any]
        try:
            if isinstance(function, Exception):
                raise function
            from .settled import settle  # it imports TensorFlow

            settle(setting)
            answer = {"value": function(**options)}
        except Exception as e:
            answer = {"error": {"type": type(e).__name__, "text": str(e)}}
        with os.fdopen(answers, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        code = 0
    finally:
        os._exit(code)


def _rather_this_one() -> None:
    """Where memory runs out, let the system end this process and none of the user's."""
    try:
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("1000")
    except OSError:
        pass  # not Linux


def _watch(answers: int, prints: int, lines: _Lines, folder: str) -> tuple[bytes, bytes]:
    """All that a fork answers, and the last that it prints."""
    parts: list[bytes] = []
    tail = b""
    open_ones = [answers, prints]
    while answers in open_ones:
        for fd in select.select([*open_ones, lines.fd], [], [])[0]:
            if fd == lines.fd:
                if not lines.more():
                    _leave(folder)
                continue
            part = os.read(fd, _CHUNK)
            if not part:
                open_ones.remove(fd)
            elif fd == answers:
                parts.append(part)
            else:
                tail = (tail + part)[-TAIL:]
    # What it printed last; but a process that it left behind may hold that pipe for ever.
    while prints in open_ones and select.select([prints], [], [], 0)[0]:
        part = os.read(prints, _CHUNK)
        tail = (tail + part)[-TAIL:]
        if not part:
            break
    os.close(answers)
    os.close(prints)
    return b"".join(parts), tail


def _leave(folder: str) -> None:
    """The other end is gone: nothing of ours stays, no file and no fork."""
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


class _Lines:
    """Lines of JSON from a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def more(self) -> bool:
        """Take what there is; False at the end."""
        part = os.read(self.fd, _CHUNK)
        self._rest += part
        return bool(part)

    def next(self) -> Any:
        """The next one, or None at the end."""
        while b"\n" not in self._rest:
            if not self.more():
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)


def _send(fd: int, answer: bytes) -> None:
    with os.fdopen(os.dup(fd), "wb") as pipe:
        pipe.write(answer + b"\n")
