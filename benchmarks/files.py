"""Model folders of hard links, and files compared without holding them in memory."""
from __future__ import annotations

import mmap
import os
import shutil

from .reference import with_tag

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


def is_retagged(path: str, original: str, tag: str) -> bool:
    """Whether a file is the original with one more tag, and all else as it was."""
    with mapped(original) as data:
        return _equals(path, data, with_tag(data, tag))


def _equals(path: str, data: mmap.mmap, pieces: list[tuple[int, int] | bytes]) -> bool:
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
