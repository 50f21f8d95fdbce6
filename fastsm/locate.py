"""Finds the SavedModel behind a path, and the files of its folder."""

from __future__ import annotations

import os

from .errors import FormatError, UnsupportedError, UsageError
from .source import File, Source, from_bytes
from .text import Record, count, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The file of a model by format, in the order in which every loader looks.
#: Source: tensorflow/cc/saved_model/constants.h, loader.cc ReadSavedModel.
FILES = {"pb": "saved_model.pb", "pbtxt": "saved_model.pbtxt"}
CHUNKED = "saved_model.cpb"

_ARCHIVES = (
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tar.xz",
    ".zip",
    ".gz",
    ".7z",
    ".rar",
    ".zst",
)

#: A .pbtxt of more than this is refused: protobuf needs some ten times as much memory.
MAX_TEXT_FILE = 1 << 30


class Located:
    """The files of a model.

    Attributes:
        path: As the caller named it.
        folder: The model's folder, as the path leads to it.
        format: "pb" or "pbtxt".
        name: ``saved_model.pb`` or ``saved_model.pbtxt``.
        file: That file, open.
    """

    __slots__ = ("file", "folder", "format", "name", "path")

    def __init__(self, path: str, folder: str, format: str, file: File) -> None:
        self.path = path
        self.folder = folder
        self.format = format
        self.name = FILES[format]
        self.file = file

    @property
    def file_path(self) -> str:
        """The file, as errors name it."""
        return os.path.join(self.folder, self.name)

    def source(self) -> Source:
        """The model's bytes; of a .pbtxt its binary form.

        Raises FormatError or UnsupportedError for a .pbtxt that protobuf cannot read.
        """
        if self.format == "pb":
            return self.file.source()
        from .pbtxt import to_binary

        size = self.file.identity.size
        if size > MAX_TEXT_FILE:
            raise UnsupportedError(self.file_path, f"has {count(size)} bytes of text: too many")
        return from_bytes(to_binary(self.file.source().read(0, size), self.file_path))


def is_model(path: str | os.PathLike[str]) -> bool:
    """Whether there is a SavedModel's file in a folder, or the path is of one."""
    name = os.fspath(path)
    if os.path.basename(name) in FILES.values():
        return True
    return any(os.path.lexists(os.path.join(name, file)) for file in FILES.values())


def locate(path: str | os.PathLike[str]) -> Located:
    """Find the SavedModel in a folder, or in the file inside it.

    Raises:
        MissingError: Nothing is there.
        FormatError: Something else is there; says what, and where to look.
        UnsupportedError: An archive, a URL, a .cpb.
        UsageError: The path is empty.
    """
    name = os.fspath(path)
    if not name:
        raise UsageError("", "the path is empty: name the folder that holds saved_model.pb")
    scheme, separator, _ = name.partition("://")
    if separator and scheme.isalnum():
        raise UnsupportedError(
            "", f"{printable(scheme)}:// paths are not read yet: copy the model here"
        )
    try:
        if not os.path.isdir(name):
            return _from_file(name)
        for format, file in FILES.items():
            if os.path.lexists(os.path.join(name, file)):
                return Located(name, name, format, File(os.path.join(name, file)))
        from .diagnose import nothing_in

        raise nothing_in(name)
    except OSError as e:
        raise FormatError(e.filename or name, f"cannot be read: {e.strerror or e}") from None
    except ValueError as e:
        if isinstance(e, FormatError):
            raise
        raise FormatError(name, "is not a regular file, or not a possible path") from None


def _from_file(name: str) -> Located:
    from . import diagnose

    if not os.path.lexists(name):
        raise diagnose.missing(name)
    folder, base = os.path.split(name)
    for format, file in FILES.items():
        if base == file:
            return Located(name, folder or ".", format, File(name))
    if base == CHUNKED:
        raise diagnose.chunked(name)
    if base.endswith(_ARCHIVES):
        raise UnsupportedError(name, "is an archive: extract it first")
    raise diagnose.not_a_model(name)


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

    __slots__ = ("name", "bytes", "files")

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


def below(
    folder: str, skip: Callable[[str], object]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What lies below a folder, by its path in it; links are not followed.

    Args:
        skip: Told, in words, what could not be looked at.
    """
    pending, left = [""], MAX_ENTRIES
    while pending:
        at = pending.pop()
        try:
            listing = list(os.scandir(os.path.join(folder, at)))
        except OSError as e:
            skip(f"{printable(at) or 'the folder'}: cannot be listed: {e.strerror}")
            continue
        for entry in listing:
            left -= 1
            if left < 0:
                more = f"the folder has more than {count(MAX_ENTRIES)} files"
                skip(f"links and unused assets: {more}")
                return
            name = f"{at}/{entry.name}" if at else entry.name
            yield name, entry
            if entry.is_dir(follow_symlinks=False):
                pending.append(name)
