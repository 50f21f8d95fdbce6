"""Messages deep inside a file, with the fields around them: what a splice there must know.

A view tells what a message says; this tells where it says so. It reads as protobuf does: a
singular message may occur several times and then is one, of equal keys of a map the last
counts, and of a oneof the last member.
"""

from __future__ import annotations

from .. import _core
from .._core import delimited
from ..errors import CoreError
from ..plan import enclosing
from ..source import LEN, Reader
from ..text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core import Field, Source
    from ..plan import Field as Around
    from ..plan import Rewrite
    from ..views import MetaGraph

    #: Where an occurrence begins and ends, and the fields around it, its own last.
    Occurrence = tuple[int, int, tuple[Around, ...]]

    #: A field, and the fields around it.
    Pair = tuple[Field, tuple[Around, ...]]


class Nested:
    """A message and the fields around it.

    Attributes:
        reader: What it is read from.
        place: ``meta_graphs[0].graph_def``, as errors name it.
        occurrences: Where it stands.
    """

    __slots__ = ("occurrences", "place", "reader")

    def __init__(self, reader: Reader, occurrences: Iterable[Occurrence], place: str) -> None:
        self.reader = reader
        self.occurrences = list(occurrences)
        self.place = place

    def __bool__(self) -> bool:
        """Whether it is there at all."""
        return bool(self.occurrences)

    def __repr__(self) -> str:
        return f"<Nested {self.place or 'message'}: {self.spans}>"

    @property
    def spans(self) -> list[tuple[int, int]]:
        return [(at, end) for at, end, _ in self.occurrences]

    def fields(self, only: int = 0) -> Iterator[Pair]:
        """Its fields, each with the fields around it.

        Args:
            only: The number of those that are wanted; 0: all.
        """
        for at, end, around in self.occurrences:
            try:
                found = _core.scan(self.reader.source, [(at, end)], only=only)
            except CoreError as e:
                raise self.reader.error(e, self.place) from None
            for f in found:
                yield f, around

    # -- what lies in it --

    def inside(self, number: int, name: str) -> Nested:
        """The singular message in a field; what it has of it, merged."""
        return self.of(self.holding(number), name)

    def each(self, number: int, name: str) -> list[Nested]:
        """The messages of a repeated field."""
        return [self.of([p], f"{name}[{i}]") for i, p in enumerate(self.holding(number))]

    def entries(self, number: int, name: str) -> list[tuple[str, Nested]]:
        """The entries of a map with keys of text, equal ones too: (key, entry)."""
        out = []
        for pair in self.holding(number):
            entry = self.of([pair], name)
            key = entry.text(1)
            entry.place = f'{self.place}.{name}["{printable(key)}"]'
            out.append((key, entry))
        return out

    def entry(self, number: int, name: str, key: str) -> Nested | None:
        """The value of the entry that counts for a key; None where there is none."""
        found = [entry for other, entry in self.entries(number, name) if other == key]
        if not found:
            return None
        value = found[-1].inside(2, "value")
        value.place = found[-1].place
        return value

    def member(self, members: Iterable[int], name: str = "") -> tuple[int, Nested]:
        """Which member of a oneof counts, and where it stands; 0 where none is set.

        Of a member that is no message the second is empty.
        """
        among = frozenset(members)
        number = 0
        run: list[Pair] = []
        for pair in self.fields():
            if pair[0].number in among:
                if pair[0].number != number:
                    number, run = pair[0].number, []
                run.append(pair)
        return number, self.of((p for p in run if p[0].wire == LEN), name)

    def text(self, number: int) -> str:
        """The string in a field, "" where there is none. Raises FormatError: not UTF-8."""
        found = self.last(number)
        return self.reader.text(found[0], self.place) if found else ""

    def last(self, number: int, wire: int = LEN) -> Pair | None:
        """The field that counts of a singular scalar or string."""
        found = [p for p in self.fields(number) if p[0].wire == wire]
        return found[-1] if found else None

    def data(self) -> bytes:
        """All its bytes. For messages that are known to be small, or about to be copied."""
        return b"".join(self.reader.source.read(at, end - at) for at, end in self.spans)

    # -- edits --

    def put_text(self, rewrite: Rewrite, number: int, text: str) -> None:
        """Give a string field another value; a field that is not there comes first.

        It stays where it is, and an empty string stays a field: map entries have them.
        """
        found = self.last(number)
        data = delimited(number, text.encode())
        if found:
            f, around = found
            rewrite.replace(f.start, f.end, data, around)
        else:
            at, _, around = self.occurrences[-1]
            rewrite.replace(at, at, data, around)

    def holding(self, number: int) -> list[Pair]:
        """The length-delimited fields with this number."""
        return [pair for pair in self.fields(number) if pair[0].wire == LEN]

    def of(self, pairs: Iterable[Pair], name: str) -> Nested:
        """The message that such fields are, merged."""
        return Nested(
            self.reader,
            [(f.at, f.end, (*around, *enclosing(f))) for f, around in pairs],
            f"{self.place}.{name}" if name and self.place else name or self.place,
        )


def of_graph(graph: MetaGraph) -> Nested:
    """A whole meta graph."""
    field = graph.field
    occurrence = (field.at, field.end, tuple(enclosing(field)))
    return Nested(graph.reader, [occurrence], graph.place)


def alone(source: Source, path: str, place: str) -> Nested:
    """A message that is all of a source: a copy, to be edited by itself."""
    return Nested(Reader(source, path), [(0, source.size, ())], place)

