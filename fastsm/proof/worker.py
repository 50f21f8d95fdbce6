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

from ..errors import BackendMissingError, FastsmError, UnsupportedError, UsageError
from ..text import counted, listed, printable
from .failures import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .setting import Setting

CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child")

#: The oldest Python that can run the child.
OLDEST = (3, 10)

#: So much is read from the pipe at a time, and of what the child printed when it did not start.
_CHUNK = 1 << 20
_TAIL = 16 << 10

#: The longest that poll(2) waits.
_LONGEST_MS = (1 << 31) - 1

#: So many lines may a site print when its Python starts.
_GREETINGS = 1000

#: So long a child whose pipe is closed may take to end by itself, in seconds.
_GRACE_S = 1.0

#: Source: CUresult of cuda.h.
_CUDA_ERRORS = {100: "the driver has no GPU", 803: "the driver and its library do not fit"}


class Worker:
    """A child process with TensorFlow. It starts with the first question.

    Attributes:
        setting: What TensorFlow is started with.
        timeout_s: How long a job may take, or the start; None for ever.
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

    def close(self) -> None:
        """End the child and all that it started, and remove the folder."""
        self._kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def folder(self) -> str:
        """A temporary folder that both ends see. Nothing of it stays."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="fastsm-")
        return self._folder

    @property
    def about(self) -> dict[str, Any]:
        """What runs there, asked once.

        Returns:
            tensorflow, python, numpy: versions.
            built_with_cuda: Whether that TensorFlow can use CUDA.
            gpus: The names of the GPUs that it is allowed: none or one.
            device: What is used, "cpu", or "gpu:N" as the caller counts.
            note: Why "auto" is the CPU, or None.

        Raises:
            UnsupportedError: The GPU that is asked for is not there.
        """
        if self._about is None:
            found = self._ask("about", {})
            number = self.setting.gpu
            note = None
            if number is not None and not found["gpus"]:
                why, hint = self._no_gpu(found)
                if self.setting.device != "auto":
                    where = self.setting.python or ""
                    raise UnsupportedError(where, f"no {self.setting.device}: {why}", hint=hint)
                note, number = f"no GPU: {why}", None
            self._about = {
                **self._versions,
                "built_with_cuda": found["built_with_cuda"],
                "gpus": found["gpus"],
                "device": "cpu" if number is None else f"gpu:{number}",
                "note": note,
            }
        return self._about

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
        if self._child is not None and self._child.poll() is not None:
            self._kill()  # it ended since the last job
        if self._child is None:
            self._start()
        try:
            self._send({"job": job, "options": options})
            line = self._line()
        except BaseException:
            self._kill()  # what is under way is nobody's any more
            raise
        if line is None:
            self._kill()
            raise Failed("timeout", "", f"no answer in {self.timeout_s:g} s")
        if not line:
            raise Failed("abort", *self._end())
        answer = json.loads(line)
        if "value" in answer:
            return answer["value"]
        ((kind, how),) = answer.items()
        raise Failed(kind, how["type"], how["text"])

    # -- starting ----------------------------------------------------------------------

    def _start(self) -> None:
        interpreter = self.setting.interpreter
        try:
            with open(self._log, "wb") as log:
                self._child = subprocess.Popen(
                    [interpreter, CHILD],
                    cwd=self.folder,
                    env=self.setting.environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # interrupts are ours, and all forks end together
                )
        except OSError as e:
            why = e.strerror or str(e)
            raise UsageError(interpreter, f"this interpreter does not run: {why}") from None
        self._rest = b""
        try:
            self._greet(interpreter)
        except BaseException:
            self._kill()
            raise

    def _greet(self, interpreter: str) -> None:
        """Hear which Python it is, tell it the setting, and hear of its TensorFlow."""
        python = self._python()
        if python is None:
            _, said = self._end()
            hint = f"It says: {_last(said)}" if said else None
            raise UsageError(interpreter, "this is no Python 3 that runs", hint=hint)
        if tuple(map(int, python.split(".")[:2])) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UsageError(interpreter, f"this is Python {python}; it takes {oldest} or later")
        self._send({**self.setting.for_child(), "folder": self.folder})
        line = self._line()
        if not line:
            ended, said = self._end() if line is not None else ("it takes too long", "")
            why = f"{ended}: {_last(said)}" if said else ended
            raise UnsupportedError(interpreter, f"TensorFlow cannot be imported there: {why}")
        first = json.loads(line)
        if "failed" in first:
            raise _unusable(interpreter, first["failed"])
        self._versions = {"python": python, **first["ready"]}

    def _python(self) -> str | None:
        """The version of the child's Python, or None where it is none."""
        for _ in range(_GREETINGS):
            if not (line := self._line()):
                break
            if line.startswith(b'{"python": '):
                return str(json.loads(line)["python"])
        return None

    def _no_gpu(self, found: dict[str, Any]) -> tuple[str, str]:
        """Why TensorFlow sees no GPU, and what to do."""
        cpu = "--device cpu compares on the CPU."
        if not found["built_with_cuda"]:
            version = self._versions["tensorflow"]
            return f"TensorFlow {version} is built without CUDA", f"Install another one, or {cpu}"
        if isinstance(found["driver"], str):
            return f"there is no NVIDIA driver ({printable(found['driver'])})", cpu
        # Those that it may see: what it was started with is one of them, or none.
        allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        there = self._ask("about", {"visible": allowed})
        if names := there["gpus"]:
            return f"TensorFlow sees {counted(len(names), 'GPU')} ({listed(names)})", cpu
        if there["driver"]["n"]:
            return (
                "TensorFlow cannot load its CUDA libraries",
                "pip install 'tensorflow[and-cuda]' brings them.",
            )
        code = there["driver"]["error"]
        return _CUDA_ERRORS.get(code, f"the driver does not start (error {code})"), cpu

    # -- the pipe ----------------------------------------------------------------------

    @property
    def _log(self) -> str:
        """Where the child prints; its forks do not."""
        return os.path.join(self.folder, "log")

    def _send(self, question: dict[str, Any]) -> None:
        assert self._child is not None and self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(question).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # it ended, as the answer will tell

    def _line(self) -> bytes | None:
        """A line from the child; empty at its end, None when time is up."""
        assert self._child is not None and self._child.stdout is not None
        fd = self._child.stdout.fileno()
        end = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        ready = select.poll()  # select(2) takes no descriptor past 1,023
        ready.register(fd, select.POLLIN)
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not ready.poll(None if left is None else min(left * 1000, _LONGEST_MS)):
                return None
            parts.append(os.read(fd, _CHUNK))
            if not parts[-1]:
                return b""
        head, _, self._rest = parts[-1].partition(b"\n")
        return b"".join([*parts[:-1], head])

    def _end(self) -> tuple[str, str]:
        """How a child that says nothing more ended, and what it printed last."""
        assert self._child is not None
        try:
            self._child.wait(_GRACE_S)  # else it would have been us who ended it
        except subprocess.TimeoutExpired:
            pass
        code = self._kill()
        with open(self._log, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            text = log.read().decode(errors="replace")
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name, text

    def _kill(self) -> int:
        """End the child and its forks, whatever they do; the code that it ended with."""
        child, self._child = self._child, None
        if child is None:
            return 0
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of ended ones
            pass
        for pipe in (child.stdin, child.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass  # what it did not read
        return child.wait()


def _unusable(interpreter: str, how: dict[str, Any]) -> FastsmError:
    """The error for a child that cannot import what it should."""
    error = printable(f"{how['type']}: {how['text']}", 500)
    if how["step"] != "tensorflow":
        return UsageError(
            "", f"the {how['step']} {printable(how['name'])} cannot be loaded: {error}"
        )
    if how["missing"] == "tensorflow":
        return BackendMissingError(
            interpreter, "TensorFlow is not installed there",
            hint="pip install 'fastsm[tf]', or name a Python that has it with --python.",
        )  # fmt: skip
    return UnsupportedError(interpreter, f"TensorFlow cannot be imported there: {error}")


def _last(text: str) -> str:
    """The last line of what was printed."""
    lines = text.split("\n")
    return printable(next((line.strip() for line in reversed(lines) if line.strip()), ""))
