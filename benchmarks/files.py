"""Model folders of hard links, and files compared without holding them in memory."""
from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable

from .reference import Pieces

WINDOW = 1 << 22


def link_model(model: str, work: str) -> None:
    """Make ``work`` the model again, by hard links: a tool that edits replaces files."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(model, work, copy_function=os.link)


def mapped(path: str) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def is_copy(path: str, original: str) -> bool:
    with mapped(original) as data:
        return _equals(path, data, [(0, len(data))])


def begins_with(path: str, original: str) -> bool:
    """Whether a file has all bytes of the original, and then perhaps more."""
    with mapped(original) as data, mapped(path) as copy:
        return all(
            copy[start : min(start + WINDOW, len(data))]
            == data[start : min(start + WINDOW, len(data))]
            for start in range(0, len(data), WINDOW)
        )


def is_edited(path: str, original: str, edit: Callable[[mmap.mmap], Pieces]) -> bool:
    """Whether a file is the original, edited as the reference does it, byte for byte."""
    with mapped(original) as data:
        return _equals(path, data, edit(data))


def _equals(path: str, data: mmap.mmap, pieces: Pieces) -> bool:
    with open(path, "rb", buffering=0) as file:
        for piece in pieces:
            if isinstance(piece, bytes):
                if file.read(len(piece)) != piece:
                    return False
                continue
            for start in range(*piece, WINDOW):
                want = data[start : min(start + WINDOW, piece[1])]
                if file.read(len(want)) != want:
                    return False
        return not file.read(1)
