"""coreutils cp: what writing the file costs when nothing is edited.

It copies saved_model.pb; beside a rewrite of variables, a file of the bytes that those keep.
"""
from __future__ import annotations

import shutil
import subprocess

#: The copy's name in the work folder.
COPY = "copy.pb"


def version() -> str:
    text = subprocess.run(["cp", "--version"], capture_output=True, text=True).stdout
    return text.partition("\n")[0].rpartition(" ")[2]


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    source, target = original(verb, model), f"{work}/{COPY}"
    if sync:
        return [_path("sh"), "-c", 'cp "$1" "$2" && sync "$2"', "sh", source, target]
    return [_path("cp"), source, target]


def original(verb: str, model: str) -> str:
    """What is copied."""
    if verb in ("retag", "rename"):
        return f"{model}/saved_model.pb"
    return f"{model}-kept/kept.data-00000-of-00001"


def _path(program: str) -> str:
    return shutil.which(program) or program
