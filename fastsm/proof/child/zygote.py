"""The child: TensorFlow imported once, and a fork for each job.

Importing TensorFlow starts neither its runtime nor CUDA: both start with the first operation, in
the fork. So each job has a fresh session, an abort is the end of one job, and two models never
lie in memory together. Nothing here may start them.

The first line that comes in is the setting, each further one a job, ``{"job", "options"}``. One
line goes out for each: ``{"ready"}`` or ``{"failed"}`` for the setting, then ``{"value"}``,
``{"error"}`` or ``{"abort"}``. All of it is JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from .jobs import JOBS

#: So much of what a job prints is kept: an abort says why in its last lines.
TAIL = 16 << 10

#: What a job imported of these is imported here, too, so that the next one finds it there:
#: loading a Keras model takes half a second for that. They start no runtime.
SHARED = ("keras", "tensorflow", "tf_keras")

_CHUNK = 1 << 20


def serve() -> None:
    """Answer until the other end is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, forks would end without a status
    pipe = _Pipe()
    setting = pipe.next()
    if setting is None:
        return
    try:
        ready = _start(setting)
    except _Unusable as e:
        pipe.send(json.dumps({"failed": e.args[0]}).encode())
        return
    pipe.send(json.dumps({"ready": ready}).encode())
    while (question := pipe.next()) is not None:
        answer, imported = _answer(question, setting, pipe)
        pipe.send(answer)
        _import(imported)
    _leave(setting["folder"])


# -- TensorFlow ------------------------------------------------------------------------


class _Unusable(Exception):
    """What cannot be imported, {step, name, missing, type, text}."""


def _start(setting: dict[str, Any]) -> dict[str, str]:
    """Import TensorFlow and what else the setting names; their versions."""
    gc.disable()  # what is imported stays; to look through it takes a tenth of the time
    tf = _step("tensorflow", "tensorflow", importlib.import_module)
    np = _step("tensorflow", "numpy", importlib.import_module)
    for name in setting["imports"]:
        _step("module", name, importlib.import_module)
    for path in setting["op_libraries"]:
        _step("op library", path, tf.load_op_library)
    gc.freeze()  # and is shared with the forks as long as nobody touches it
    gc.enable()
    return {"tensorflow": tf.__version__, "numpy": np.__version__}


def _step(step: str, name: str, do: Callable[[str], Any]) -> Any:
    try:
        return do(name)
    except BaseException as e:  # SystemExit, too
        missing = e.name if isinstance(e, ModuleNotFoundError) else None
        how = {"step": step, "name": name, "missing": missing}
        raise _Unusable({**how, "type": type(e).__name__, "text": str(e)}) from None


def _import(names: list[str]) -> None:
    """Import what a job did, in its order."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            return  # the next job will tell, if it needs it


# -- a job -----------------------------------------------------------------------------


def _answer(
    question: dict[str, Any], setting: dict[str, Any], pipe: _Pipe
) -> tuple[bytes, list[str]]:
    """Do a job in a fork: its answer, and what it imported."""
    function = _function(question["job"])
    reads_answer, writes_answer = os.pipe()
    reads_prints, writes_prints = os.pipe()
    empty = tempfile.mkdtemp(prefix="job-", dir=setting["folder"])
    with warnings.catch_warnings():
        # From 3.12 on Python warns of threads; those of numpy wait for work, and TensorFlow has
        # none yet.
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        pipe.close()
        outputs = (writes_answer, writes_prints)
        _be_the_fork(function, question["options"], setting, empty, *outputs)
    os.close(writes_answer)
    os.close(writes_prints)
    answer, prints = _watch(reads_answer, reads_prints, pipe, setting["folder"])
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(empty, ignore_errors=True)
    imported, newline, answer = answer.partition(b"\n")
    if newline and status == 0:
        return answer, json.loads(imported)
    text = prints.decode(errors="replace")
    how = {"type": ending(os.waitstatus_to_exitcode(status)), "text": text}
    return json.dumps({"abort": how}).encode(), []


def ending(code: int) -> str:
    """How a process ended: ``SIGABRT``, ``exit code 1``."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _function(job: str) -> Callable[..., Any]:
    """The function of a job; if its module cannot be imported, one that says so."""
    module, _, name = JOBS[job].partition(":")
    try:
        function: Callable[..., Any] = getattr(
            importlib.import_module(f".{module}", __package__), name
        )
    except Exception as e:
        error = e

        def function(**options: Any) -> NoReturn:
            raise error

    return function


def _be_the_fork(
    function: Callable[..., Any], options: dict[str, Any], setting: dict[str, Any], folder: str,
    answers: int, prints: int,
) -> None:  # fmt: skip
    """Answers into the pipe and ends the process, whatever happens."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(prints, 1)
        os.dup2(prints, 2)
        os.chdir(folder)
        _rather_this_one()
        there = set(sys.modules)
        answer: dict[str, Any]
        try:
            from .settled import settle  # it imports TensorFlow

            settle(setting)
            answer = {"value": function(**options)}
        except Exception as e:
            answer = {"error": {"type": type(e).__name__, "text": str(e)}}
        new = [name for name in sys.modules if name not in there]
        shared = [name for name in new if name.partition(".")[0] in SHARED]
        lines = f"{json.dumps(shared)}\n{json.dumps(answer)}".encode()
        with os.fdopen(answers, "wb") as pipe:
            pipe.write(lines)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()  # into the pipe: it is what the abort says
    finally:
        os._exit(code)


def _rather_this_one() -> None:
    """Where memory runs out, let the system end this process and none of the user's."""
    try:
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("1000")
    except OSError:
        pass  # not Linux


def _watch(answers: int, prints: int, pipe: _Pipe, folder: str) -> tuple[bytes, bytes]:
    """All that a fork answers, and the last that it prints."""
    parts: list[bytes] = []
    tail = b""
    reading = [answers, prints, pipe.fd]
    while answers in reading:
        for fd in select.select(reading, [], [])[0]:
            if fd == pipe.fd:
                if not pipe.more():
                    _leave(folder)
            elif not (part := os.read(fd, _CHUNK)):
                reading.remove(fd)
            elif fd == answers:
                parts.append(part)
            else:
                tail = (tail + part)[-TAIL:]
    # The rest of what it printed. A process that it left behind may hold that end for ever.
    while prints in reading and select.select([prints], [], [], 0)[0]:
        if not (part := os.read(prints, _CHUNK)):
            break
        tail = (tail + part)[-TAIL:]
    os.close(answers)
    os.close(prints)
    return b"".join(parts), tail


# -- the other end ---------------------------------------------------------------------


class _Pipe:
    """Lines of JSON, from the other end and to it."""

    def __init__(self) -> None:
        self.fd = 0
        self._rest = b""
        # What Python and TensorFlow print must not get among the answers.
        self._out = os.dup(1)
        os.dup2(2, 1)

    def more(self) -> bool:
        """Take what there is; False at the end."""
        part = os.read(self.fd, _CHUNK)
        self._rest += part
        return bool(part)

    def next(self) -> Any:
        """The next line, or None at the end."""
        while b"\n" not in self._rest:
            if not self.more():
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def send(self, line: bytes) -> None:
        with os.fdopen(os.dup(self._out), "wb") as out:
            out.write(line + b"\n")

    def close(self) -> None:
        """In a fork: the other end must see when this process is gone, whatever it does."""
        os.close(self._out)


def _leave(folder: str) -> None:
    """The other end is gone: no file of it stays, and no process."""
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
