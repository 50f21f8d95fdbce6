"""Edits as pure data: pieces of old files and new bytes, and what they do to a folder.

    Rewrite   one file: its splices become a source, the new file before it is written
    Plan      one model: the files to write and to remove, and the files it was made from
    Deferred  a file whose content is computed while the others are copied

Nothing here touches a disk, apart from reading the sources that it was given.
"""
from __future__ import annotations

import os
from array import array

from .errors import InternalError, RefusedError
from .source import PATCH, File, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    #: A length-delimited field around a splice, by its offsets in the source:
    #: (where its length varint begins, where its payload begins, where it ends).
    Field = tuple[int, int, int]

__all__ = [
    "Change", "Deferred", "Plan", "Rewrite", "is_name", "pieces", "same", "whole_file",
]  # fmt: skip

#: TensorFlow reads saved_model.pb with an int size; protobuf stops here as well.
MAX_SAVED_MODEL = 2**31 - 1

_WINDOW = 1 << 20


class Rewrite:
    """Splices over a source; their sum is a source again.

    Args:
        source: The bytes as they are; may be the output of an earlier Rewrite.
    """

    # One row a splice, in arrays: a plan may hold a million. `_inner` is the row of the
    # innermost field in the field arrays, which list each field after its parent.
    __slots__ = (
        "_data", "_data_end", "_depth", "_end", "_field_end", "_field_parent", "_field_start",
        "_inner", "_length_at", "_path", "_rows", "_sorted", "_source", "_start",
    )  # fmt: skip

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start = array("q")
        self._end = array("q")
        self._data = bytearray()
        self._data_end = array("q")
        self._inner = array("q")
        self._depth = array("B")
        self._length_at = array("q")
        self._field_start = array("q")
        self._field_end = array("q")
        self._field_parent = array("q")
        self._path: list[Field] = []  # the fields around the last splice, and their rows
        self._rows: list[int] = []
        self._sorted = True

    def __len__(self) -> int:
        return len(self._start)

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
        last = within[-1] if within else (0, 0, self._source.size)
        if not last[1] <= start <= end <= last[2]:
            raise InternalError("", f"splice {start}..{end} lies outside its field {last}")
        inner = self._enter(within)
        if self._start and self._sorted:
            before = self._start[-1], self._end[-1], -self._depth[-1]
            self._sorted = before <= (start, end, -len(within))
        self._start.append(start)
        self._end.append(end)
        self._data += data
        self._data_end.append(len(self._data))
        self._inner.append(inner)
        self._depth.append(len(within))

    def source(self) -> Source:
        """The bytes after all splices, as one flat piece table.

        Untouched runs point at the files (or patch bytes) that the source's own pieces
        point at, so a rewrite of a rewrite costs no more than one. Lengths of enclosing
        fields are rewritten, as minimal varints, only where they change.

        Raises:
            InternalError: Two splices overlap.
        """
        if not self._start:
            return self._source
        if not self._sorted:
            self._sort()
        table = _Table(self._source)
        for start, end, data in self._in_order(self._growth()):
            table.keep_to(start)
            table.skip_to(end)
            table.add(data)
        return table.finish()

    def _enter(self, within: Sequence[Field]) -> int:
        """The row of the innermost field, new rows added for those not open already."""
        path, rows = self._path, self._rows
        n = 0
        while n < len(within) and n < len(path) and path[n] == within[n]:
            n += 1
        if n == len(within) == len(path):
            return rows[-1] if rows else -1
        del path[n:], rows[n:]
        for field in within[n:]:
            length_at, start, end = field
            outer = path[-1] if path else (0, 0, self._source.size)
            if not outer[1] <= length_at < start <= end <= outer[2]:
                raise InternalError("", f"field {field} does not nest in {outer}")
            self._field_parent.append(rows[-1] if rows else -1)
            rows.append(len(self._length_at))
            path.append(field)
            self._length_at.append(length_at)
            self._field_start.append(start)
            self._field_end.append(end)
        return rows[-1] if rows else -1

    def _sort(self) -> None:
        """Bring the splices into file order, and list each field once, in file order."""
        old = Rewrite(self._source)
        for name in self.__slots__:
            setattr(old, name, getattr(self, name))
        self.__init__(self._source)  # type: ignore[misc]
        start, end, depth = old._start, old._end, old._depth
        # At one offset an insertion comes before a replacement, and at the shared end of
        # nested fields what goes into the inner one comes before what follows it.
        order = sorted(range(len(start)), key=lambda i: (start[i], end[i], -depth[i]))
        view = memoryview(old._data)
        for i in order:
            within = []
            row = old._inner[i]
            while row >= 0:
                field = old._length_at[row], old._field_start[row], old._field_end[row]
                within.append(field)
                row = old._field_parent[row]
            begin = old._data_end[i - 1] if i else 0
            self.replace(start[i], end[i], bytes(view[begin : old._data_end[i]]), within[::-1])
        self._sorted = True

    def _growth(self) -> array[int]:
        """By how many bytes each field's payload grows."""
        growth = array("q", bytes(8 * len(self._length_at)))
        before = 0
        for start, end, data_end, row in zip(
            self._start, self._end, self._data_end, self._inner, strict=True
        ):
            if row >= 0:
                growth[row] += data_end - before - (end - start)
            before = data_end
        # Children stand behind their parents: from the back, each is final when met.
        for row in range(len(growth) - 1, -1, -1):
            grown = growth[row]
            parent = self._field_parent[row]
            if grown and parent >= 0:
                start = self._field_start[row]
                old = start - self._length_at[row]
                new = _varint_size(self._field_end[row] - start + grown)
                growth[parent] += grown + new - old
        return growth

    def _in_order(self, growth: array[int]) -> Iterator[tuple[int, int, bytes | memoryview]]:
        """(start, end, data) of the splices and of the lengths that change."""
        row, n_rows = 0, len(growth)
        before = 0
        data = memoryview(self._data)
        length_at, field_start, field_end = self._length_at, self._field_start, self._field_end
        for start, end, data_end in zip(self._start, self._end, self._data_end, strict=True):
            while row < n_rows and length_at[row] < start:
                if growth[row]:
                    at = field_start[row]
                    yield length_at[row], at, _varint(field_end[row] - at + growth[row])
                row += 1
            yield start, end, data[before:data_end]
            before = data_end


class _Table:
    """A piece table in the making: parts of one source and new bytes, in order."""

    __slots__ = (
        "_cursor", "_fd", "_length", "_old", "_origin", "_out", "_patch", "_row", "_size",
        "_source",
    )  # fmt: skip

    def __init__(self, source: Source) -> None:
        self._source = source
        self._old = memoryview(source.pieces).cast("q")
        self._row = 0  # of the old piece that holds the cursor, times four
        self._cursor = 0
        self._out = array("q")
        self._size = 0  # of all that is in _out
        self._patch = bytearray()
        # The piece that may still grow.
        self._fd = PATCH
        self._origin = 0
        self._length = 0

    def keep_to(self, offset: int) -> None:
        """Take over the source's bytes from the cursor up to ``offset``."""
        cursor, old = self._cursor, self._old
        if offset < cursor:
            raise InternalError("", f"splices overlap at byte {offset}")
        while cursor < offset:
            row = self._row
            skip = cursor - old[row]
            left = old[row + 1] - skip
            n = offset - cursor
            if n >= left:
                n = left
                self._row = row + 4
            fd = old[row + 3]
            origin = old[row + 2] + skip
            cursor += n
            if fd == PATCH:
                self.add(self._source.patch[origin : origin + n])
            elif fd == self._fd and origin == self._origin + self._length:
                self._length += n
            else:
                self._close()
                self._fd, self._origin, self._length = fd, origin, n
        self._cursor = cursor

    def skip_to(self, offset: int) -> None:
        """Leave out the source's bytes from the cursor up to ``offset``."""
        old = self._old
        while self._row < len(old) and old[self._row] + old[self._row + 1] <= offset:
            self._row += 4
        self._cursor = offset

    def add(self, data: bytes | memoryview) -> None:
        """Append new bytes."""
        if not data:
            return
        if self._fd != PATCH:
            self._close()
            self._fd, self._origin, self._length = PATCH, len(self._patch), 0
        self._patch += data
        self._length += len(data)

    def finish(self) -> Source:
        """Take over the rest of the source; the table as a source."""
        self.keep_to(self._source.size)
        self._close()
        return Source(self._out.tobytes(), bytes(self._patch), self._source.keep)

    def _close(self) -> None:
        if self._length:
            out = self._out
            out.append(self._size)
            out.append(self._length)
            out.append(self._origin)
            out.append(self._fd)
            self._size += self._length


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _varint_size(n: int) -> int:
    return max(1, (n.bit_length() + 6) // 7)


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
        function: Called once, perhaps in a second thread; returns the new bytes, or None
            to remove the file, and a warning or None. Must only read.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], tuple[bytes | None, str | None]]) -> None:
        self.function = function


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
    """What an edit does to a model's folder.

    Args:
        path: The model folder as the caller named it; links in it are resolved once, here.
        verb: The edit, for the receipt: "retag".
        arguments: What it was asked to do, for the receipt; JSON values.

    Attributes:
        folder: The real path of the model's folder.
        device, inode: Which folder that was when the plan was begun.
        reads: The files that the plan was made from, by name; commit refuses when one of
            them changed since it was opened.
        writes: The new content by name.
        removes: The names to remove.
        warnings: What the user should know.

    Raises OSError when the folder cannot be found.
    """

    __slots__ = (
        "arguments", "device", "folder", "inode", "path", "reads", "removes", "verb",
        "warnings", "writes",
    )  # fmt: skip

    def __init__(
        self, path: str, *, verb: str = "edit", arguments: dict[str, Any] | None = None
    ) -> None:
        self.path = path
        self.folder = os.path.realpath(path)
        st = os.stat(self.folder)
        self.device, self.inode = st.st_dev, st.st_ino
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
            raise RefusedError(self.path, f"{name} changed since it was opened")

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


def is_name(name: str) -> bool:
    """Whether a string is the path of a file inside a model, with slashes."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") for part in parts)


def _check_name(name: str) -> None:
    if not is_name(name):
        raise InternalError("", f"not a path inside a model: {name!r}")
