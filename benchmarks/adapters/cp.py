"""coreutils cp of saved_model.pb: what writing that file costs when nothing is edited."""
from __future__ import annotations

import shutil
import subprocess

#: The copy's name in the work folder.
COPY = "copy.pb"


def version() -> str:
    text = subprocess.run(["cp", "--version"], capture_output=True, text=True).stdout
    return text.partition("\n")[0].rpartition(" ")[2]


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    source, target = f"{model}/saved_model.pb", f"{work}/{COPY}"
    if sync:
        return [_path("sh"), "-c", 'cp "$1" "$2" && sync "$2"', "sh", source, target]
    return [_path("cp"), source, target]


def _path(program: str) -> str:
    return shutil.which(program) or program
