"""The child: one JSON question a line on stdin, one JSON answer a line on stdout.

A question is {call, args, options, preload, timeout_s}; an answer is
[[kind, type, text], value]. TensorFlow is imported once; each question is
answered in a fork. That is safe because importing TensorFlow starts neither its
runtime nor its thread pools: those start with the first operation, in the fork.
"""
from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
import warnings
from typing import IO, Any

warnings.simplefilter("ignore")

#: call -> module:function. The modules import TensorFlow.
CALLS = {
    "fingerprint": "reading:fingerprint",
    "stored_fingerprint": "reading:stored_fingerprint",
    "fingerprint64": "reading:fingerprint64",
    "parse": "reading:parse",
    "graph_tensors": "reading:graph_tensors",
    "handles": "reading:handles",
    "op_list": "reading:op_list",
    "saver_code": "reading:saver_code",
    "index": "reading:index",
    "tensors": "reading:tensors",
    "deterministic": "native:deterministic",
    "load_v2": "running:load_v2",
    "load_v1": "running:load_v1",
    "load_cc": "native:load",
    "choices": "choosing:choices",
    "restored_objects": "native:restored_objects",
    "run": "running:run",
    "survey": "running:survey",
    "script": "scripts:script",
    "serve": "scripts:serve",
    "save_variables": "running:save_variables",
    "cli_show": "running:cli_show",
    "versions": "reading:versions",
    "build": "building:build",
    "build_source": "converting:build_source",
    "restore": "converting:restore",
    "variables": "converting:variables",
    "initialise": "converting:initialise",
    "save_dtypes": "building:save_dtypes",
    "save_slices": "building:save_slices",
    "save_variants": "building:save_variants",
    "variants": "reading:variants",
    "save_bases": "damaged:save_bases",
    "read_all": "damaged:read_all",
    "restore_all": "damaged:restore_all",
    "latest_checkpoint": "reading:latest_checkpoint",
}

#: How much of what an aborting TensorFlow wrote to stderr is passed on, in bytes.
TAIL = 4096

Answer = tuple[tuple[str, str, str], Any]


def main() -> None:
    # Python's and TensorFlow's own prints must not get into the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for target in CALLS.values():
        _function(target)
    for line in sys.stdin:
        question = json.loads(line)
        for name in question["preload"]:
            importlib.import_module(name)
        answers.write(json.dumps(_answer_in_fork(question)) + "\n")
        answers.flush()


def _function(target: str) -> Any:
    module, name = target.split(":")
    return getattr(importlib.import_module(f".{module}", __package__), name)


def _answer_in_fork(question: dict[str, Any]) -> Answer:
    readable, writable = os.pipe()
    with tempfile.TemporaryFile() as stderr:
        pid = os.fork()
        if pid == 0:
            os.close(readable)
            _be_the_fork(question, writable, stderr)
        os.close(writable)
        with os.fdopen(readable, "rb") as pipe:
            answer = _drain(pipe, question["timeout_s"])
        if answer is None:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if answer is None:
            return ("timeout", "", f"no answer in {question['timeout_s']} s"), None
        if answer:
            verdict, value = json.loads(answer)
            return tuple(verdict), value
        code = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - TAIL))
        return ("abort", name, stderr.read().decode(errors="replace")), None


def _be_the_fork(question: dict[str, Any], writable: int, stderr: IO[bytes]) -> None:
    """Answers into the pipe and ends the process, whatever happens."""
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(stderr.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        function = _function(CALLS[question["call"]])
        answer: Answer
        try:
            answer = ("ok", "", ""), function(*question["args"], **question["options"])
        except Exception as e:
            answer = ("error", type(e).__name__, str(e)), None
        with os.fdopen(writable, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def _drain(pipe: IO[bytes], timeout_s: float) -> bytes | None:
    """All that the fork writes; empty if it died before it answered, None when time is up."""
    deadline = time.monotonic() + timeout_s
    parts = []
    while True:
        left_s = max(0.0, deadline - time.monotonic())
        if not select.select([pipe], [], [], left_s)[0]:
            return None
        part = os.read(pipe.fileno(), 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)


if __name__ == "__main__":
    main()
