"""The crc32c package: the checksum that a Python program would take from a library."""
from __future__ import annotations

from . import Call, crc_call


def version() -> str:
    from importlib.metadata import version

    return version("crc32c")


def call(verb: str, model: str, work: str, sync: bool) -> Call:
    from crc32c import crc32c

    return crc_call(crc32c, verb)
