"""One module a tool: how it is called, and its version.

    version() -> str                     imports the tool, so it runs in a child
    command(verb, model, work, sync)     the words of a whole process
    call(verb, model, work, sync)        the same work as a function, for an in-process row

``model`` is the folder as generated, ``work`` a folder of hard links to its files that an
edit may replace, ``sync`` whether what is written must be on the disk. A tool has what its
jobs in jobs.py ask of it.
"""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Call(NamedTuple):
    """Work to be timed in process.

    Attributes:
        run: What is timed.
        result: Tells afterwards what came out.
        before: Called before each run, untimed.
    """

    run: Callable[[], object]
    result: Callable[[], object]
    before: Callable[[], object] = int


def adapter(tool: str) -> ModuleType:
    """The module of a tool."""
    return import_module(f"{__name__}.{tool}")
