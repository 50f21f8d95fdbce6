"""Edits as pure data: pieces of old files and new bytes, and what they do to a folder.

    Rewrite   one file: its splices become a source, the new file before it is written
    Plan      one model: the files to write and to remove, and the files it was made from
    Deferred  a file whose content is computed while the others are copied

Nothing here touches a disk, apart from reading the sources that it was given.
"""
from __future__ import annotations

import os
from struct import Struct

from ._core import cuts, prune, rewrite
from .errors import CoreError, InternalError, RefusedError
from .source import PATCH, File, Source
from .text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Literal

    from . import _core as core

    #: What `Rewrite.cut_all` cuts out.
    Cut = Literal["devices", "debug"]

    #: A length-delimited field around a splice, by its offsets in the source:
    #: (where its length varint begins, where its payload begins, where it ends).
    Field = tuple[int, int, int]

__all__ = [
    "Change", "Deferred", "Plan", "Rewrite", "enclosing", "is_name", "pieces", "same", "whole_file",
]  # fmt: skip

#: TensorFlow reads saved_model.pb with an int size; protobuf stops here as well.
MAX_SAVED_MODEL = 2**31 - 1

#: The folder of a model that is not there yet: nothing can ever lie below a device.
NOWHERE = os.path.join(os.devnull, "nowhere")

_WINDOW = 1 << 20


# Rows of csrc/fsm_rewrite.h.
_SPLICE = Struct("=6q").pack
_FIELD = Struct("=5q").pack
_FIELD_SIZE = 40


class Rewrite:
    """Splices over a source; their sum is a source again.

    Args:
        source: The bytes as they are; may be the output of an earlier Rewrite.
    """

    # The splices and their fields are packed rows: a plan may hold a million of them.
    __slots__ = ("_data", "_fields", "_n_fields", "_path", "_source", "_splices")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._splices = bytearray()
        self._fields = bytearray()
        self._n_fields = 0
        self._data = bytearray()
        self._path: list[tuple[Field, int]] = []  # the fields of the last splice, their rows

    def replace(self, start: int, end: int, data: bytes, within: Sequence[Field] = ()) -> None:
        """Put ``data`` where the bytes ``start`` up to ``end`` are.

        An empty range inserts, empty data deletes. Calls may come in any order; two
        insertions at one offset keep theirs, the one in the inner field first.

        Args:
            start: Offset in the source of the first byte to go.
            end: Offset behind the last byte to go.
            data: What comes instead.
            within: The length-delimited fields around the range, outermost first, each
                (length_at, start, end): their lengths follow the change.

        Raises:
            InternalError: The range is not inside the source and the fields, or the
                fields do not nest.
        """
        _, low, high = within[-1] if within else (0, 0, self._source.size)
        if not low <= start <= end <= high:
            raise InternalError("", f"splice {start}..{end} lies outside {low}..{high}")
        row = self._enter(within)
        self._splices += _SPLICE(start, end, len(self._data), len(data), row, len(within))
        self._data += data

    def source(self) -> Source:
        """The bytes after all splices, as one flat piece table.

        Untouched runs point at the files (or patch bytes) that the source's own pieces
        point at, so a rewrite of a rewrite costs no more than one. Lengths of enclosing
        fields are rewritten, as minimal varints, only where they change.

        Raises:
            InternalError: Two splices overlap.
        """
        if not self._splices:
            return self._source
        try:
            return rewrite(self._source, self._splices, self._fields, self._data)
        except CoreError as error:
            raise InternalError("", "splices overlap", offset=error.offset) from error

    def cut_all(
        self, what: Cut, within: Sequence[Field]
    ) -> tuple[list[tuple[bytes, int]], int]:
        """Cut out what all nodes of a GraphDef, and of its functions, can do without.

        The core finds it and writes the rows down: there may be a million.

        Args:
            what: ``devices`` of nodes; or what debugs them, ``debug``: their shapes as they
                were known to the writer, and where in its source they come from.
            within: The fields around the nodes, outermost first; the last is the GraphDef.

        Returns:
            (device, or name of what is cut, how often) of each; and how often of all in
            nodes of the main graph.

        Raises CoreError where the graph is damaged.
        """
        row = self._enter(within)
        _, start, end = within[-1]
        found = cuts(
            self._source, what, start, end, self._splices, self._fields, row, len(within)
        )
        self._n_fields = len(self._fields) // _FIELD_SIZE
        return found

    def cut_nodes(
        self,
        within: Sequence[Sequence[Field]],
        nodes: core.NodeIndex,
        live_nodes: bytearray,
        live_functions: bytearray,
    ) -> tuple[int, int, int]:
        """Cut the nodes and functions of a GraphDef that are not marked.

        The core writes the rows down, one for each run of neighbours. Splices inside what
        stays may come before it or after it.

        Args:
            within: For each part of the GraphDef the fields around its nodes, outermost first;
                the last is the part.
            nodes: Its index.
            live_nodes, live_functions: A byte for each row and each function: 1 stays. Nodes of
                a function go or stay with it.

        Returns:
            How many nodes of the main graph, functions and gradients of functions go.

        Raises CoreError where the graph is damaged.
        """
        spans = [(*fields[-1][1:], self._enter(fields), len(fields)) for fields in within]
        found = prune(
            self._source, nodes, spans, self._splices, self._fields, live_nodes, live_functions
        )
        self._n_fields = len(self._fields) // _FIELD_SIZE
        return found

    def _enter(self, within: Sequence[Field]) -> int:
        """The row of the innermost field; those that the last splice was not in are added."""
        path = self._path
        n = 0
        while n < len(within) and n < len(path) and path[n][0] == within[n]:
            n += 1
        del path[n:]
        for field in within[n:]:
            length_at, start, end = field
            (_, low, high), parent = path[-1] if path else ((0, 0, self._source.size), -1)
            if not low <= length_at < start <= end <= high:
                raise InternalError("", f"field {field} does not nest in {low}..{high}")
            self._fields += _FIELD(length_at, start, end, parent, 0)
            path.append((field, self._n_fields))
            self._n_fields += 1
        return path[-1][1] if path else -1


def enclosing(*fields: core.Field) -> list[Field]:
    """Fields that a splice lies in, outermost first, as `Rewrite` takes them."""
    return [(f.length_at, f.at, f.end) for f in fields]


def pieces(source: Source) -> Iterator[tuple[int, int, int, int]]:
    """The rows of a source's table: (start, length, origin, fd), fd PATCH for new bytes."""
    table = memoryview(source.pieces).cast("q")
    return zip(table[0::4], table[1::4], table[2::4], table[3::4], strict=True)


def same(a: Source, b: Source) -> bool:
    """Whether two sources hold the same bytes; reads only where their pieces differ.

    Raises CoreError when a file cannot be read.
    """
    if a.size != b.size:
        return False
    rows_a, rows_b = pieces(a), pieces(b)
    end_a = end_b = at = 0
    shift_a = shift_b = fd_a = fd_b = 0
    while at < a.size:
        if at == end_a:
            start, length, origin, fd_a = next(rows_a)
            end_a, shift_a = start + length, origin - start
        if at == end_b:
            start, length, origin, fd_b = next(rows_b)
            end_b, shift_b = start + length, origin - start
        end = min(end_a, end_b)
        if fd_a == fd_b != PATCH and shift_a == shift_b:
            at = end
        while at < end:
            n = min(end - at, _WINDOW)
            if a.read(at, n) != b.read(at, n):
                return False
            at += n
    return True


def whole_file(source: Source) -> File | None:
    """The file that a source is, from its first byte to its last; else None."""
    for file in source.keep or ():
        if isinstance(file, File) and source.size == file.identity.size:
            rows = list(pieces(source)) if len(source) <= 1 else None
            if rows == [] or rows == [(0, source.size, 0, file.fd)]:
                return file
    return None


class Deferred:
    """A file's content, computed while other files are being copied.

    Args:
        compute: Called once, perhaps in a second thread, with ``of`` or a twin of it; returns
            the new bytes, or None to remove the file, and a warning or None. Must only read.
        of: What it is computed from. Where the plan writes that too, the two are done
            together, and the bytes are read once.
    """

    __slots__ = ("compute", "of")

    def __init__(
        self,
        compute: Callable[[Source | None], tuple[bytes | None, str | None]],
        of: Source | None = None,
    ) -> None:
        self.compute = compute
        self.of = of


class Change:
    """What a plan does to one file.

    Attributes:
        name: The file's path in the model folder, with slashes.
        before: Its size in bytes, None when it is new.
        after: Its size afterwards, None when it is removed or not yet computed.
    """

    __slots__ = ("_new", "_old", "after", "before", "name")

    def __init__(self, name: str, old: File | None, new: Source | None) -> None:
        self.name = name
        self.before = old.identity.size if old is not None else None
        self.after = new.size if new is not None else None
        self._old = old
        self._new = new

    def __repr__(self) -> str:
        return f"Change({self.name!r}, before={self.before}, after={self.after})"

    def untouched(self) -> Iterator[tuple[int, int, int]]:
        """The runs taken over as they were: (offset before, offset after, length)."""
        if self._old is not None and self._new is not None:
            for start, length, origin, fd in pieces(self._new):
                if fd == self._old.fd:
                    yield origin, start, length


class Plan:
    """What an edit does to a model's folder, or what a new model is made of.

    Args:
        path: The model folder as the caller named it; links in it are resolved once, here.
            Of a new model, what it is made from.
        verb: The edit, for the receipt: "retag".
        arguments: What it was asked to do, for the receipt; JSON values.
        new: Whether there is no model yet.

    Attributes:
        folder: The real path of the model's folder; of a new one, NOWHERE.
        device, inode: Which folder that was when the plan was begun.
        new: As given.
        reads: The files that the plan was made from, by name; commit refuses when one of
            them changed since it was opened.
        writes: The new content by name.
        removes: The names to remove.
        warnings: What the user should know.

    Raises OSError when the folder cannot be found.
    """

    __slots__ = (
        "_taken", "arguments", "device", "folder", "inode", "new", "path", "reads", "removes",
        "verb", "warnings", "writes",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        verb: str = "edit",
        arguments: dict[str, Any] | None = None,
        new: bool = False,
    ) -> None:
        self.path = path
        self.new = new
        self.folder = NOWHERE if new else os.path.realpath(path)
        self.device = self.inode = -1
        if not new:
            st = os.stat(self.folder)
            self.device, self.inode = st.st_dev, st.st_ino
        self._taken: list[File] = []
        self.verb = verb
        self.arguments = arguments or {}
        self.reads: dict[str, File] = {}
        self.writes: dict[str, Source | Deferred] = {}
        self.removes: set[str] = set()
        self.warnings: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not self.writes and not self.removes

    def read(self, name: str, file: File) -> None:
        """Say that the plan was made from a file of the model, opened as ``file``.

        Raises:
            RefusedError: It was opened before, and another file is there now.
        """
        _check_name(name)
        if self.reads.setdefault(name, file).identity != file.identity:
            raise RefusedError(self.path, f"{printable(name)} changed since it was opened")

    def take(self, *files: File) -> None:
        """Say that the plan was made from files elsewhere, opened as these."""
        self._taken += files

    @property
    def sources(self) -> list[File]:
        """The files elsewhere that the plan was made from: those given to `take`, and those
        that new content lies in. Commit refuses when one of them changed."""
        known = {id(file): file for file in self.reads.values()}
        found: dict[int, File] = {}
        for files in (self._taken, *map(_files, self.writes.values())):
            found.update((id(file), file) for file in files if id(file) not in known)
        return list(found.values())

    def write(self, name: str, content: Source | Deferred) -> None:
        """Give a file new content; the content it has already is no change.

        The file's old version must have been given to `read`, where there is one.

        Raises:
            RefusedError: saved_model.pb would grow beyond what TensorFlow can load.
        """
        _check_name(name)
        old = self.reads.get(name)
        self.removes.discard(name)
        self.writes.pop(name, None)
        if isinstance(content, Source):
            if name == "saved_model.pb":
                self._check_limit(content.size, old.identity.size if old else 0)
            if old is not None and same(old.source(), content):
                return
        self.writes[name] = content

    def remove(self, name: str) -> None:
        """Take a file out of the model."""
        _check_name(name)
        self.writes.pop(name, None)
        self.removes.add(name)

    def changes(self) -> list[Change]:
        """What becomes of each file, sorted by name; deferred sizes are None."""
        out = []
        for name in sorted({*self.writes, *self.removes}):
            old, new = self.reads.get(name), self.writes.get(name)
            out.append(Change(name, old, new if isinstance(new, Source) else None))
        return out

    def _check_limit(self, size: int, before: int) -> None:
        if size > MAX_SAVED_MODEL and size > before:
            raise RefusedError(
                self.path,
                f"saved_model.pb would have {size:,} bytes; TensorFlow loads at most "
                f"{MAX_SAVED_MODEL:,}",
            )


def _files(content: Source | Deferred) -> Iterable[File]:
    kept = (content.keep or ()) if isinstance(content, Source) else ()
    return [file for file in kept if isinstance(file, File)]


def is_name(name: str) -> bool:
    """Whether a string is the path of a file inside a model, with slashes."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") for part in parts)


def _check_name(name: str) -> None:
    if not is_name(name):
        raise InternalError("", f"not a path inside a model: {name!r}")
