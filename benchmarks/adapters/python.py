"""The bare interpreter: what any Python program costs before it does anything."""
from __future__ import annotations

import sys


def version() -> str:
    return sys.version.partition(" ")[0]


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    return [sys.executable, "-c", "pass"]
