"""The five hashes of a fingerprint, computed, and held against stored ones.

Source: tensorflow/cc/saved_model/fingerprinting.cc, fingerprinting_utils.cc and
tensorflow/core/graph/regularization/ (2.21).
"""

from __future__ import annotations

from .. import _core
from .._core import delimited
from ..errors import CoreError, FormatError, UnsupportedError
from ..plan import Rewrite
from ..source import Reader, last, merged, slices
from ..text import Record
from ..views import map_entries
from . import CHECKPOINT, CHECKSUM, HASHES, OBJECTS, PROGRAM, SIGNATURES, Fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core import Source
    from ..source import Spans
    from ..views import MetaGraph


def checksum(source: Source) -> int:
    """saved_model_checksum: Fingerprint64 of the whole file in canonical order."""
    return _core.Canon().hash(source, _core.message_id("SavedModel"), [(0, source.size)])


def graph_checksum(graph: MetaGraph) -> int:
    """What TensorFlow 2.11 wrote in field 1: the hash of the graph, as it is."""
    message = _core.message_id("GraphDef")
    return _core.Canon().hash(graph.reader.source, message, graph.graph_spans)


def program_hash(graph: MetaGraph) -> int:
    """graph_def_program_hash: the main graph without library, versions, and what differs
    from one process to the next.

    Raises UnsupportedError for a graph on which TensorFlow's own function has no result.
    """
    source = slices(graph.reader.source, graph.graph_spans)
    reader = Reader(source, graph.reader.path)
    rewrite = Rewrite(source)
    for length_at, start, end, is_call in _core.irregular_nodes(source):
        fields = reader.fields([(start, end)], "graph_def.node")
        attrs = map_entries(reader, fields, 5, "graph_def.node.attr")
        entries = _regular_call(reader, attrs) if is_call else _regular_text(reader, attrs)
        # The last of equal map keys counts: a new one at the end is enough.
        rewrite.replace(end, end, entries, [(length_at, start, end)])
    # Library and versions stay as empty messages, wherever there were none too.
    for number in (2, 4):
        for f in _core.scan(source, [(0, source.size)], only=number):
            rewrite.replace(f.start, f.end, b"")
    rewrite.replace(source.size, source.size, b"\x12\x00\x22\x00")
    regular = rewrite.source()
    return _core.Canon().hash(regular, _core.message_id("GraphDef"), [(0, regular.size)])


def _regular_call(reader: Reader, attrs: dict[str, Spans]) -> bytes:
    """What a call's attrs gain to be hashed: no uid in f's name, no config_proto."""
    if "f" not in attrs:
        raise UnsupportedError(reader.path, "a call without attr f")
    func = merged(reader.fields(attrs["f"], "attr.f"), 10)
    field = last(reader.fields(func, "attr.f.func"), 1)
    name = reader.bytes(field, "attr.f.func.name") if field else b""
    out = b""
    if uid(name) is not None:
        value = b"".join(reader.source.read(a, b - a) for a, b in attrs["f"])
        # Merging: a second func with only a name overrides the name of the first.
        out += _entry(b"f", value + delimited(10, delimited(1, without_uid(name))))
    if "config_proto" in attrs:
        out += _entry(b"config_proto", b"\x12\x00")
    return out


def _regular_text(reader: Reader, attrs: dict[str, Spans]) -> bytes:
    """What the attrs of a constant of strings gain: no value."""
    for name in ("dtype", "value"):
        if name not in attrs:
            raise UnsupportedError(reader.path, f"a constant without attr {name}")
    return _entry(b"value", b"")


def _entry(key: bytes, value: bytes) -> bytes:
    return delimited(5, delimited(1, key) + delimited(2, value))


def uid(name: bytes) -> int | None:
    """The number behind a function name's last underscore; None when there is none.

    Source: GetSuffixUID, with absl::SimpleAtoi's idea of a number.
    """
    tail = name.rpartition(b"_")[2].strip(b" \t\n\v\f\r")
    digits = tail[1:] if tail[:1] in (b"+", b"-") else tail
    if not digits.isdigit() or len(digits) > 40:
        return None
    n = int(tail)
    return n if -(1 << 63) <= n < 1 << 63 else None


def without_uid(name: bytes) -> bytes:
    """``__inference_f_12`` as ``__inference_f_``."""
    n = uid(name)
    return name if n is None else name.removesuffix(str(n).encode())


def signatures_hash(graph: MetaGraph, *, keys: bool = True) -> int:
    """signature_def_hash; before TensorFlow 2.14 it left the keys out."""
    canon, message = _core.Canon(), _core.message_id("SignatureDef")
    place = f"{graph.place}.signature_def"
    entries = map_entries(graph.reader, graph.fields, 5, place)
    total = 0
    for key, spans in sorted((k.encode(), v) for k, v in entries.items()):
        if keys:
            total = _core.fingerprint_cat(total, _core.fingerprint64(key))
        total = _core.fingerprint_cat(total, canon.hash(graph.reader.source, message, spans))
    return total


def objects_hash(graph: MetaGraph) -> int:
    """saved_object_graph_hash: the concrete functions, by uid; the nodes are not hashed.

    Raises UnsupportedError when a function's name ends in no number: then TensorFlow
    makes no fingerprint at all.
    """
    if not graph.object_spans:
        return 0
    reader, place = graph.reader, f"{graph.place}.object_graph_def"
    entries = map_entries(reader, reader.fields(graph.object_spans, place), 2, place)
    by_uid = {}
    for name, spans in entries.items():
        encoded = name.encode()
        n = uid(encoded)
        if n is None:
            raise UnsupportedError(
                reader.path, f"function name {name!r} does not end in a number", place=place
            )
        by_uid[n] = encoded, spans
    canon, message = _core.Canon(), _core.message_id("SavedConcreteFunction")
    total = 0
    for _, (encoded, spans) in sorted(by_uid.items(), key=lambda item: item[0]):
        total = _core.fingerprint_cat(total, _core.fingerprint64(without_uid(encoded)))
        total = _core.fingerprint_cat(total, canon.hash(reader.source, message, spans))
    return total


def checkpoint_hash(index: Source | None) -> int:
    """checkpoint_hash: of the bytes of variables.index; 0 without one."""
    return _core.fingerprint_source(index) if index else 0


class Check(Record):
    """One hash of a fingerprint, as stored and as computed.

    Attributes:
        name: ``saved_model_checksum`` and so on.
        stored, computed: The two; computed is None when it cannot be told.
        note: Which older variant it is true by, or why it cannot be told.
    """

    __slots__ = ("name", "stored", "computed", "ok", "note")

    def __init__(self, name: str, stored: int, computed: int | None, note: str | None) -> None:
        self.name = name
        self.stored = stored
        self.computed = computed
        self.ok = None if computed is None else computed == stored
        self.note = note

    def to_dict(self) -> dict[str, object]:
        computed = None if self.computed is None else str(self.computed)
        out: dict[str, object] = {
            "name": self.name, "stored": str(self.stored), "computed": computed, "ok": self.ok,
        }  # fmt: skip
        return {**out, "note": self.note} if self.note else out


def check(
    stored: Fingerprint,
    source: Source,
    graphs: list[MetaGraph],
    index: Source | None,
    known: int | None = None,
) -> list[Check]:
    """Compute every hash and hold it against the stored one.

    Args:
        stored: What fingerprint.pb says.
        source: saved_model.pb.
        graphs: Its meta graphs; only the first is hashed by itself.
        index: variables.index, or None.
        known: What `checksum` gives for the source, where that was computed already.
    """
    if not graphs:
        return [Check(n, stored.hash(i), None, "no meta graph") for i, n in HASHES.items()]
    first = graphs[0]

    def whole() -> tuple[int, str | None]:
        if stored.covers_graph_only:
            return graph_checksum(first), "of the graph alone, as TensorFlow 2.11 wrote it"
        value = checksum(source) if known is None else known
        if value != stored.saved_model_checksum:
            plain = _core.fingerprint_source(source)
            if plain == stored.saved_model_checksum:
                return plain, "of the bytes in the file's own order"
        return value, None

    def signatures() -> tuple[int, str | None]:
        value = signatures_hash(first)
        if value != stored.signature_def_hash:
            older = signatures_hash(first, keys=False)
            if older == stored.signature_def_hash:
                return older, "without the keys, as before TensorFlow 2.14"
        return value, None

    functions: dict[int, Callable[[], tuple[int, str | None]]] = {
        CHECKSUM: whole,
        PROGRAM: lambda: (program_hash(first), None),
        SIGNATURES: signatures,
        OBJECTS: lambda: (objects_hash(first), None),
        CHECKPOINT: lambda: (checkpoint_hash(index), None),
    }
    out = []
    for number, name in HASHES.items():
        computed: int | None
        note: str | None
        try:
            computed, note = functions[number]()
        except (CoreError, FormatError, UnsupportedError) as e:
            computed, note = None, getattr(e, "problem", str(e))
        out.append(Check(name, stored.hash(number), computed, note))
    return out
