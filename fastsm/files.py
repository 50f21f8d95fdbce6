"""The files of a model's folder: what is there and how large, nothing opened."""
from __future__ import annotations

import os

from .record import Record

#: A walk stops after this many entries: a model has thousands of files at most, and a
#: path may by mistake be the root of a disk.
MAX_ENTRIES = 100_000


class Entry(Record):
    """A file, or a folder with all that is in it.

    Attributes:
        name: Its name in the model's folder, with a slash behind a folder's.
        bytes: Its size, or the sum of its files'.
        files: How many files that is.
    """

    __slots__ = ("bytes", "files", "name")

    def __init__(self, name: str, bytes: int, files: int) -> None:
        self.name = name
        self.bytes = bytes
        self.files = files


def entries(folder: str) -> list[Entry]:
    """What lies in the folder, sorted by name. Links are counted, never followed.

    Raises OSError when the folder itself cannot be read; what cannot be read below it
    counts nothing.
    """
    left = [MAX_ENTRIES]
    found = []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_dir(follow_symlinks=False):
            size, n = _below(entry.path, left)
            found.append(Entry(entry.name + "/", size, n))
        else:
            found.append(Entry(entry.name, entry.stat(follow_symlinks=False).st_size, 1))
    return found


def _below(folder: str, left: list[int]) -> tuple[int, int]:
    size = n = 0
    pending = [folder]
    while pending and left[0] > 0:
        try:
            listing = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in listing:
            left[0] -= 1
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                size += entry.stat(follow_symlinks=False).st_size
                n += 1
    return size, n
