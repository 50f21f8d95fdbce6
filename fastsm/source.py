"""The first room on the path of a byte: files opened for reading, sources over them, and
the messages in them, field by field. What the core finds wrong gets a path and a place.
"""

from __future__ import annotations

import os
import stat

from . import _core
from ._core import Source as Source
from .errors import CoreError, FormatError, UnsupportedError
from .text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ._core import Field

    #: Where a message lies; several spans are one message, merged.
    Spans = Sequence[tuple[int, int]]

    #: A message that was read whole, as `_core.parse` gives it: field number -> value.
    Message = dict[int, Any]

#: The fd of a piece whose bytes lie in the source's patch.
PATCH = -1

#: Up to this descriptor nobody looks how many the process may have. Above it some are kept
#: free for what opens files without `File`: folders, and what is written.
_FEW, _SPARE = 32, 16


class Identity:
    """Which file this is, and which version of it: device, inode, size, mtime in ns."""

    __slots__ = ("device", "inode", "mtime_ns", "size")

    def __init__(self, st: os.stat_result) -> None:
        self.device = st.st_dev
        self.inode = st.st_ino
        self.size = st.st_size
        self.mtime_ns = st.st_mtime_ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__
        )

    def __hash__(self) -> int:
        return hash((self.device, self.inode, self.size, self.mtime_ns))

    def __repr__(self) -> str:
        return f"Identity({', '.join(f'{n}={getattr(self, n)}' for n in self.__slots__)})"


class File:
    """A regular file open for reading; closed when the last source over it goes.

    Raises OSError as open does, and IsADirectoryError or ValueError when the path is
    no regular file (a pipe or a device would block, or never end). UnsupportedError when
    the process may not have so many files open, and may not raise that limit.
    """

    __slots__ = ("fd", "identity", "path")

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.path = path
        # O_NONBLOCK: opening a FIFO must not wait for its writer.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self.fd = os.open(path, flags)
        except OSError as e:
            import errno

            if e.errno != errno.EMFILE:
                raise
            _allow_more(path)
            self.fd = os.open(path, flags)
        if self.fd >= _FEW:
            _allow_more(path, self.fd + _SPARE)
        st = os.fstat(self.fd)
        if not stat.S_ISREG(st.st_mode):
            raise (IsADirectoryError if stat.S_ISDIR(st.st_mode) else ValueError)(
                f"{path}: not a regular file"
            )
        self.identity = Identity(st)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def source(self) -> Source:
        """The whole file, as it was when opened, as one piece."""
        size = self.identity.size
        return Source(pack_pieces([(0, size, 0, self.fd)] if size else []), b"", (self,))


def _allow_more(path: str, descriptor: int | None = None) -> None:
    """See that this process may have a descriptor as high as that; None: one more than now.

    A checkpoint has as many shards as its writer had processes. The soft limit, 1,024 most
    often, goes up only as far as it takes, by doubling.

    Raises:
        UnsupportedError: The hard limit is in the way.
    """
    try:
        import resource  # which is a file to open, too

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptor is None:
            descriptor = soft
        if soft == resource.RLIM_INFINITY or descriptor < soft:
            return
        wanted = max(2 * soft, descriptor + 1)
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        if descriptor >= wanted:
            raise ValueError
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ImportError, OSError, ValueError):
        what = "cannot be opened too: more files than a process may have open here"
        hint = "ulimit -n says how many, and allows more"
        raise UnsupportedError(path, what, hint=hint) from None


def pack_pieces(pieces: Iterable[tuple[int, int, int, int]]) -> bytes:
    """(start, length, origin, fd) records as the packed table that Source takes."""
    return b"".join(
        start.to_bytes(8, "little")
        + length.to_bytes(8, "little")
        + origin.to_bytes(8, "little")
        + fd.to_bytes(8, "little", signed=True)
        for start, length, origin, fd in pieces
    )


def from_bytes(data: bytes) -> Source:
    """Bytes in memory as a source."""
    return Source(pack_pieces([(0, len(data), 0, PATCH)] if data else []), data)


def slices(source: Source, spans: Iterable[tuple[int, int]]) -> Source:
    """The bytes of these spans, one behind the other, as a source of their own."""
    table = memoryview(source.pieces).cast("Q")
    pieces: list[tuple[int, int, int, int]] = []
    at = 0
    for start, end in spans:
        for i in range(0, len(table), 4):
            begin, length = table[i], table[i + 1]
            low, high = max(start, begin), min(end, begin + length)
            if low < high:
                fd = table[i + 3] - (1 << 64) if table[i + 3] >> 63 else table[i + 3]
                pieces.append((at, high - low, table[i + 2] + low - begin, fd))
                at += high - low
    return Source(pack_pieces(pieces), source.patch, source.keep)


def joined(parts: Iterable[tuple[Source, int, int]]) -> Source:
    """Stretches (source, start, end), one behind the other, as a source of their own.

    A stretch that goes on where the one before ended becomes one piece with it. There may
    be a million of them.
    """
    table, patch = bytearray(), bytearray()
    patches: dict[int, int] = {}  # id of a source -> where its patch lies in the new one
    keep: list[object] = []
    start = length = origin = 0  # the piece that may yet grow
    fd = PATCH
    for source, low, high in parts:
        if id(source) not in patches:
            patches[id(source)] = len(patch)
            patch += source.patch
            keep += [source, *(source.keep or ())]
        rows = memoryview(source.pieces).cast("q")
        for i in range(0, len(rows), 4):
            begin, n, from_, of = rows[i : i + 4]
            skip = max(low - begin, 0)
            n = min(high - begin, n) - skip
            if n <= 0:
                continue
            from_ += skip + (patches[id(source)] if of == PATCH else 0)
            if length and fd == of and origin + length == from_:
                length += n
                continue
            if length:
                table += pack_pieces([(start, length, origin, fd)])
            start, length, origin, fd = start + length, n, from_, of
    if length:
        table += pack_pieces([(start, length, origin, fd)])
    return Source(bytes(table), bytes(patch), tuple(keep))


# -- messages --

# Wire types, as Field.wire has them.
VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5

#: A name, a tag or a path longer than this is refused: no writer makes one, and a
#: file must not decide how much memory its names take.
MAX_TEXT = 1 << 20


#: More fields of one number than that are not read.
_MANY = 1 << 24


class Reader:
    """A source and the name of the file behind it.

    Attributes:
        source: The bytes.
        path: The file, as errors name it.
    """

    __slots__ = ("path", "source")

    def __init__(self, source: Source, path: str) -> None:
        self.source = source
        self.path = path

    def fields(self, spans: Spans, place: str) -> list[Field]:
        """The fields of a message, in file order; payloads are not entered.

        Raises FormatError, with the byte, where the wire format is broken.
        """
        try:
            return _core.scan(self.source, spans)
        except CoreError as e:
            raise self.error(e, place) from None

    def parse(
        self,
        message: str,
        spans: Spans,
        place: str,
        *,
        only: int = 0,
        located: str = "TensorProto",
    ) -> Message:
        """A message of a type, ``StructuredValue``, with all that lies in it.

        Args:
            only: The number of the one field to read; 0: all.
            located: A type of messages that are not entered, but given as spans.

        Raises FormatError where the wire format is broken, or a string is not UTF-8.
        """
        try:
            return _core.parse(self.source, message, spans, only=only, located=located)
        except CoreError as e:
            where = self._where(message, spans, e.offset) if e.offset is not None else ""
            raise self.error(e, place + where) from None

    def _where(self, message: str, spans: Spans, offset: int) -> str:
        """Which field of a message holds a byte: ``.children[3].local_name``, and of a map
        ``.inputs["x"].dtype``; as deep as the fields around it are whole."""
        try:
            fields = _core.scan(self.source, spans)
        except CoreError:
            return ""
        seen: dict[int, int] = {}
        for f in fields:
            seen[f.number] = seen.get(f.number, 0) + 1
            if f.wire != LEN or not f.at <= offset <= f.end:
                continue
            known = _core.field_of(message, f.number)
            if known is None:
                break
            name, repeats, inner = known
            inside = [(f.at, f.end)]
            if inner.endswith("Entry"):
                return f".{name}" + self._where_in_entry(inner, inside, offset)
            index = f"[{seen[f.number] - 1}]" if repeats else ""
            return f".{name}{index}" + (self._where(inner, inside, offset) if inner else "")
        return ""

    def _where_in_entry(self, message: str, spans: Spans, offset: int) -> str:
        """The same in an entry of a map: its key, then which field of its value."""
        try:
            fields = _core.scan(self.source, spans)
            key = last(fields, 1)
            words = self.source.read(key.at, min(key.end - key.at, MAX_TEXT)) if key else b""
        except CoreError:
            return ""
        value, known = last(fields, 2), _core.field_of(message, 2)
        where = f'["{printable(words)}"]'
        if value is None or known is None or not known[2] or not value.at <= offset <= value.end:
            return where
        return where + self._where(known[2], [(value.at, value.end)], offset)

    def first(self, spans: Spans, number: int, place: str) -> Field | None:
        """The first field with this number; what comes after it is not read."""
        try:
            found = _core.scan(self.source, spans, only=number, most=1)
        except CoreError as e:
            raise self.error(e, place) from None
        return found[0] if found else None

    def each(self, spans: Spans, number: int, place: str) -> list[Field]:
        """The length-delimited fields with this number, of a message of perhaps a million
        others."""
        try:
            found = _core.scan(self.source, spans, only=number, most=_MANY)
        except CoreError as e:
            raise self.error(e, place) from None
        return [f for f in found if f.wire == LEN]

    def count(self, spans: Spans, number: int, place: str) -> int:
        """How many length-delimited fields with this number the message has."""
        try:
            return _core.count(self.source, spans, number)
        except CoreError as e:
            raise self.error(e, place) from None

    def joined(self, spans: Spans) -> bytes:
        """The bytes of a message; of one that lies in several spans, as one that is merged."""
        return b"".join([self.source.read(start, end - start) for start, end in spans])

    def text(self, field: Field, place: str) -> str:
        """The string in a field. Raises FormatError when it is not UTF-8 or too long."""
        data = self.bytes(field, place)
        try:
            return data.decode()
        except UnicodeDecodeError as e:
            raise self.error(CoreError("UTF8", field.at + e.start, 0, 0), place) from None

    def bytes(self, field: Field, place: str) -> bytes:
        """The payload of a length-delimited field, at most MAX_TEXT bytes."""
        n = field.end - field.at
        try:
            if n > MAX_TEXT:
                raise CoreError("LIMIT", field.at, MAX_TEXT, n)
            return self.source.read(field.at, n)
        except CoreError as e:
            raise self.error(e, place) from None

    def error(self, e: CoreError, place: str) -> FormatError:
        """What the core found, as the error a person sees."""
        return FormatError(self.path, str(e), offset=e.offset, place=place or None)


def last(fields: Iterable[Field], number: int, wire: int = LEN) -> Field | None:
    """The field that counts of a singular scalar or string: the last one."""
    found = None
    for f in fields:
        if f.number == number and f.wire == wire:
            found = f
    return found


def merged(fields: Iterable[Field], number: int) -> list[tuple[int, int]]:
    """The spans of a singular message: its occurrences are one message, merged."""
    return [(f.at, f.end) for f in fields if f.number == number and f.wire == LEN]


def signed(value: int) -> int:
    """An int64 or int32 varint as the number it stands for."""
    return value - (1 << 64) if value >> 63 else value
