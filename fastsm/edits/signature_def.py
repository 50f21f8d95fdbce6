"""The map signature_def of a meta graph, entry by entry: what is not edited keeps its bytes.

Source: tensorflow/core/protobuf/meta_graph.proto (2.21).
"""

from __future__ import annotations

from .._core import delimited, number
from ..errors import RefusedError
from ..plan import enclosing
from ..source import LEN, last
from ..text import count, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from .._core import Field
    from ..plan import Rewrite
    from ..views import MetaGraph

# Field numbers: of MetaGraphDef, of a map's entry, of SignatureDef, of TensorInfo.
_SIGNATURE_DEF = 5
_KEY, _VALUE = 1, 2
_INPUTS, _OUTPUTS, _METHOD_NAME = 1, 2, 3
_NAME, _DTYPE, _SHAPE = 1, 2, 3

#: An entry of more bytes is not copied: a real one has some thousand, and a default of a few
#: inputs, where it has one.
MAX_ENTRY = 1 << 24


class Entry:
    """An entry of signature_def; of equal keys the last one counts, and all are edited.

    Attributes:
        key: The signature's.
        field, fields: Where it stands, and the key and the value in it.
        within: The length-delimited fields around the two.
    """

    __slots__ = ("field", "fields", "key", "within")

    def __init__(self, graph: MetaGraph, field: Field) -> None:
        place = f"{graph.place}.signature_def"
        self.field = field
        self.fields = graph.reader.fields([(field.at, field.end)], place)
        key = last(self.fields, _KEY)
        self.key = graph.reader.text(key, place) if key else ""
        self.within = enclosing(graph.field, field)


def entries(graph: MetaGraph) -> list[Entry]:
    """The entries, in file order."""
    return [
        Entry(graph, f) for f in graph.fields if f.number == _SIGNATURE_DEF and f.wire == LEN
    ]


def rename(rewrite: Rewrite, graph: MetaGraph, old: str, new: str) -> None:
    """Give the entries of a key another one, in their place."""
    for entry in entries(graph):
        if entry.key == old:
            key = last(entry.fields, _KEY)
            start, end = (key.start, key.end) if key else (entry.field.at, entry.field.at)
            rewrite.replace(start, end, delimited(_KEY, new.encode()), entry.within)


def remove(rewrite: Rewrite, graph: MetaGraph, keys: Container[str]) -> None:
    """Take the entries of these keys out."""
    for entry in entries(graph):
        if entry.key in keys:
            rewrite.replace(entry.field.start, entry.field.end, b"", entry.within[:1])


def copy(rewrite: Rewrite, graph: MetaGraph, key: str, new: str) -> None:
    """Put the entry that counts of a key in once more, under another one.

    Raises RefusedError where it is larger than any real one.
    """
    entry = [entry for entry in entries(graph) if entry.key == key][-1]
    size = entry.field.end - entry.field.at
    if size > MAX_ENTRY:
        raise RefusedError(
            graph.reader.path,
            f"signature {printable(key)!r} has {count(size)} bytes: too many to copy",
            offset=entry.field.start,
        )
    source = graph.reader.source
    rest = [source.read(f.start, f.end - f.start) for f in entry.fields if f.number != _KEY]
    _insert(rewrite, graph, new, b"".join(rest))


def add(rewrite: Rewrite, graph: MetaGraph, key: str, signature: bytes) -> None:
    """Put a new SignatureDef in."""
    _insert(rewrite, graph, key, delimited(_VALUE, signature))


def _insert(rewrite: Rewrite, graph: MetaGraph, key: str, rest: bytes) -> None:
    """A map has no order; a new entry goes before the first whose key sorts behind its own,
    so that a sorted one stays sorted, and without any to where TensorFlow would write it."""
    known = entries(graph)
    at = next((e.field.start for e in known if e.key.encode() > key.encode()), None)
    if at is None and known:
        at = known[-1].field.end
    if at is None:
        behind = (f.start for f in graph.fields if f.number > _SIGNATURE_DEF)
        at = next(behind, graph.field.end)
    entry = delimited(_SIGNATURE_DEF, delimited(_KEY, key.encode()) + rest)
    rewrite.replace(at, at, entry, enclosing(graph.field))


def set_method(rewrite: Rewrite, graph: MetaGraph, key: str, method: str) -> None:
    """Give the signature of a key another method_name; "" takes it away."""
    entry = [entry for entry in entries(graph) if entry.key == key][-1]
    new = delimited(_METHOD_NAME, method.encode()) if method else b""
    values = [f for f in entry.fields if f.number == _VALUE and f.wire == LEN]
    place = f'{graph.place}.signature_def["{printable(key)}"]'
    # A value may occur several times, and then is one message, merged.
    present = [
        (f, value)
        for value in values
        for f in graph.reader.fields([(value.at, value.end)], place)
        if f.number == _METHOD_NAME and f.wire == LEN
    ]
    if present:
        # All but the last are hidden by it, and would come to light without it.
        for f, value in present if not method else present[-1:]:
            rewrite.replace(f.start, f.end, new, [*entry.within, *enclosing(value)])
    elif new and values:
        value = values[-1]
        fields = graph.reader.fields([(value.at, value.end)], place)
        at = next((f.start for f in fields if f.number > _METHOD_NAME), value.end)
        rewrite.replace(at, at, new, [*entry.within, *enclosing(value)])
    elif new:
        end = entry.field.end
        rewrite.replace(end, end, delimited(_VALUE, new), entry.within)


def signature(
    inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], method: str
) -> bytes:
    """A SignatureDef as C++ writes it: the names of its maps sorted.

    Args:
        inputs, outputs: Name -> TensorInfo.
    """
    out = b""
    for field, infos in ((_INPUTS, inputs), (_OUTPUTS, outputs)):
        for name in sorted(infos, key=str.encode):
            entry = delimited(_KEY, name.encode()) + delimited(_VALUE, infos[name])
            out += delimited(field, entry)
    return out + (delimited(_METHOD_NAME, method.encode()) if method else b"")


def tensor_info(name: str, dtype: int, dims: Iterable[int] | None) -> bytes:
    """A TensorInfo.

    Args:
        dims: The sizes, negative for unknown; None for an unknown rank.

    Source: tensorflow/python/saved_model/utils_impl.py build_tensor_info (2.21).
    """
    if dims is None:
        shape = number(3, 1)
    else:
        shape = b"".join(
            delimited(2, number(1, max(d, -1) & (1 << 64) - 1) if d else b"") for d in dims
        )
    info = delimited(_NAME, name.encode()) + number(_DTYPE, dtype)
    return info + delimited(_SHAPE, shape)
