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


def first_tensor(model: str) -> tuple[str, str]:
    """The arguments of what reads one tensor: the checkpoint, and the tensor's key."""
    return f"{model}/model", "w00/.ATTRIBUTES/VARIABLE_VALUE"


#: The signature that a converted checkpoint gets: alias and tensor of its input, and output.
CONVERTED_INPUT, CONVERTED_OUTPUT = ("text", "text:0"), ("scores", "scores:0")

#: Where in the work folder a converted model goes.
CONVERTED = "converted"


def crc_call(checksum: Callable[[bytes], int], verb: str) -> Call:
    """The checksum of so many MiB, ``crc 4``, over and over until that is 512 MiB."""
    import random

    data = random.Random(5).randbytes(1 << 20) * int(verb.partition(" ")[2])
    found: list[int] = []

    def run() -> None:
        for _ in range((512 << 20) // len(data)):
            found[:] = [checksum(data)]

    return Call(run, lambda: found)
