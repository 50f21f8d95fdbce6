"""Messages of one file, field by field; what the core finds wrong gets a path and a place."""
from __future__ import annotations

from . import _core
from .errors import CoreError, FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._core import Field, Source

    #: Where a message lies; several spans are one message, merged.
    Spans = Sequence[tuple[int, int]]

# Wire types, as Field.wire has them.
VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5

#: A name, a tag or a path longer than this is refused: no writer makes one, and a
#: file must not decide how much memory its names take.
MAX_TEXT = 1 << 20


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

    def first(self, spans: Spans, number: int, place: str) -> Field | None:
        """The first field with this number; what comes after it is not read."""
        try:
            found = _core.scan(self.source, spans, only=number, most=1)
        except CoreError as e:
            raise self.error(e, place) from None
        return found[0] if found else None

    def count(self, spans: Spans, number: int, place: str) -> int:
        """How many length-delimited fields with this number the message has."""
        try:
            return _core.count(self.source, spans, number)
        except CoreError as e:
            raise self.error(e, place) from None

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
