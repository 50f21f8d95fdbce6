"""fingerprint.pb: what it says, whether it is true, and making it true after an edit.

A fingerprint holds five hashes of a model. An edit says which of them it touches: these
are computed anew, the others stay as they were, so that an old lie is not laundered.

Source: tensorflow/cc/saved_model/fingerprinting.cc, fingerprinting_utils.cc and
tensorflow/core/graph/regularization/ (2.21); fingerprint.proto. Which wheel writes which
variant was measured on 2.11 to 2.21.
"""
from __future__ import annotations

from . import _core, encode
from .encode import delimited
from .errors import CoreError, FormatError, UnsupportedError
from .reader import VARINT, Reader, last, merged
from .record import Record
from .source import File, Source, from_bytes, slices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .plan import Deferred
    from .views import MetaGraph

NAME = "fingerprint.pb"

#: The hashes by field number.
#: Source: tensorflow/core/protobuf/fingerprint.proto.
CHECKSUM, PROGRAM, SIGNATURES, OBJECTS, CHECKPOINT = 1, 2, 3, 4, 5
HASHES = {
    CHECKSUM: "saved_model_checksum",
    PROGRAM: "graph_def_program_hash",
    SIGNATURES: "signature_def_hash",
    OBJECTS: "saved_object_graph_hash",
    CHECKPOINT: "checkpoint_hash",
}
_VERSION, _UUID = 6, 7

_U64 = (1 << 64) - 1

#: No writer's fingerprint has a hundred bytes more than its hashes; a larger file is none.
MAX_SIZE = 1 << 16


class Fingerprint(Record):
    """What a fingerprint.pb says.

    Attributes:
        saved_model_checksum, graph_def_program_hash, signature_def_hash,
        saved_object_graph_hash, checkpoint_hash: The hashes; 0 when the file has none.
        producer: The version of the algorithm; None before TensorFlow 2.12, whose
            saved_model_checksum covers the graph alone.
        uuid: Drawn when the model was written; None before TensorFlow 2.19.
    """

    __slots__ = (*HASHES.values(), "producer", "uuid")

    saved_model_checksum: int
    graph_def_program_hash: int
    signature_def_hash: int
    saved_object_graph_hash: int
    checkpoint_hash: int
    producer: int | None
    uuid: str | None

    def __init__(self, reader: Reader) -> None:
        """Read it. Raises FormatError where it is damaged."""
        fields = reader.fields([(0, reader.source.size)], "")
        for number, name in HASHES.items():
            f = last(fields, number, VARINT)
            setattr(self, name, f.value if f else 0)
        version = merged(fields, _VERSION)
        producer = last(reader.fields(version, "version"), 1, VARINT)
        self.producer = producer.value if producer else None
        uuid = last(fields, _UUID)
        self.uuid = reader.text(uuid, "uuid") if uuid else None

    def hash(self, number: int) -> int:
        """The hash with this field number."""
        value: int = getattr(self, HASHES[number])
        return value

    @property
    def covers_graph_only(self) -> bool:
        """Whether field 1 is TensorFlow 2.11's graph_def_checksum."""
        return self.producer is None

    def to_dict(self) -> dict[str, object]:
        """64-bit hashes as strings: JSON numbers lose their last digits."""
        out: dict[str, object] = {n: str(getattr(self, n)) for n in HASHES.values()}
        out["producer"] = self.producer
        out["uuid"] = self.uuid
        return out


# -- the five hashes --


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
    from .plan import Rewrite

    source = slices(graph.reader.source, graph.graph_spans)
    reader = Reader(source, graph.reader.path)
    rewrite = Rewrite(source)
    for length_at, start, end, is_call in _core.irregular_nodes(source):
        entries = _regular_call(reader, start, end) if is_call else _entry(b"value", b"")
        # The last of equal map keys counts: a new one at the end is enough.
        rewrite.replace(end, end, entries, [(length_at, start, end)])
    # Library and versions stay as empty messages, wherever there were none too.
    for number in (2, 4):
        for f in _core.scan(source, [(0, source.size)], only=number):
            rewrite.replace(f.start, f.end, b"")
    rewrite.replace(source.size, source.size, b"\x12\x00\x22\x00")
    regular = rewrite.source()
    return _core.Canon().hash(regular, _core.message_id("GraphDef"), [(0, regular.size)])


def _regular_call(reader: Reader, start: int, end: int) -> bytes:
    """The attrs of a call as they are hashed: no uid in f's name, no config_proto."""
    from .views import map_entries

    attrs = map_entries(reader, reader.fields([(start, end)], "graph_def.node"), 5, "attr")
    if "f" not in attrs or "config_proto" not in attrs:
        raise UnsupportedError(reader.path, "a call without attr f or config_proto")
    value = b"".join(reader.source.read(a, b - a) for a, b in attrs["f"])
    func = merged(reader.fields(attrs["f"], "attr.f"), 10)
    name = last(reader.fields(func, "attr.f.func"), 1)
    plain = without_uid(reader.bytes(name, "attr.f.func.name") if name else b"")
    # Merging: a second func with only a name overrides the name of the first.
    value += delimited(10, delimited(1, plain))
    return _entry(b"f", value) + _entry(b"config_proto", b"\x12\x00")


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
    from .views import map_entries

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
    from .views import map_entries

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

    __slots__ = ("computed", "name", "note", "ok", "stored")

    def __init__(self, name: str, stored: int, computed: int | None, note: str | None) -> None:
        self.name = name
        self.stored = stored
        self.computed = computed
        self.ok = None if computed is None else computed == stored
        self.note = note

    def to_dict(self) -> dict[str, object]:
        computed = None if self.computed is None else str(self.computed)
        out = {"name": self.name, "stored": str(self.stored), "computed": computed, "ok": self.ok}
        return {**out, "note": self.note} if self.note else out


def check(
    stored: Fingerprint, source: Source, graphs: list[MetaGraph], index: Source | None
) -> list[Check]:
    """Compute every hash and hold it against the stored one.

    Args:
        stored: What fingerprint.pb says.
        source: saved_model.pb.
        graphs: Its meta graphs; only the first is hashed by itself.
        index: variables.index, or None.
    """
    if not graphs:
        return [Check(n, stored.hash(i), None, "no meta graph") for i, n in HASHES.items()]
    first = graphs[0]

    def whole() -> tuple[int, str | None]:
        if stored.covers_graph_only:
            return graph_checksum(first), "of the graph alone, as TensorFlow 2.11 wrote it"
        value = checksum(source)
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

    functions = {
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


def check_checkpoint(stored: Fingerprint, index: Source | None) -> Check:
    """checkpoint_hash alone: it reads variables.index and nothing else."""
    name = HASHES[CHECKPOINT]
    try:
        return Check(name, stored.checkpoint_hash, checkpoint_hash(index), None)
    except CoreError as e:
        return Check(name, stored.checkpoint_hash, None, str(e))


# -- after an edit --


def with_checksum(file: File, source: Source) -> Deferred | None:
    """fingerprint.pb after an edit that only saved_model_checksum can see.

    Args:
        file: fingerprint.pb as it is.
        source: What saved_model.pb becomes.

    Returns:
        Content for a plan, computed when it is needed; None when it stays as it is.
        A fingerprint that cannot be made true is removed, with a warning.
    """
    from .plan import Deferred

    reader = Reader(from_bytes(file.source().read(0, min(file.identity.size, MAX_SIZE))), file.path)
    try:
        old = Fingerprint(reader)
    except FormatError as e:
        damage = f"{NAME} was damaged ({e.problem}) and is removed"
        return Deferred(lambda: (None, damage))
    if old.covers_graph_only:
        return None  # TensorFlow 2.11's hash of the graph does not see the rest

    def compute() -> tuple[bytes | None, str | None]:
        try:
            return rewritten(reader, {CHECKSUM: checksum(source)}), None
        except CoreError as e:
            return None, f"{NAME} cannot be made true ({e}) and is removed"

    return Deferred(compute)


def rewritten(reader: Reader, hashes: dict[int, int]) -> bytes:
    """The file with these hashes replaced, and a uuid made from its hashes if it had one.

    All else, unknown fields too, keeps its bytes and its place. A fingerprint says what
    a model is, so equal models get equal ones: the uuid is derived, never drawn.
    """
    fields = reader.fields([(0, reader.source.size)], "")
    old = Fingerprint(reader)
    new: dict[int, bytes] = {}
    all_hashes = {n: hashes.get(n, old.hash(n)) for n in HASHES}
    for number, value in hashes.items():
        new[number] = encode.number(number, value)
    if old.uuid is not None and any(old.hash(n) != v for n, v in hashes.items()):
        new[_UUID] = delimited(_UUID, _uuid(all_hashes.values()).encode())
    # In its old place where it has one, else behind the fields with lower numbers.
    present = {f.number for f in fields}
    waiting = sorted(n for n in new if n not in present)
    out = bytearray()
    for f in fields:
        while waiting and waiting[0] < f.number:
            out += new[waiting.pop(0)]
        # Of a field that occurs twice the last counts; the first takes its place.
        out += new.get(f.number, reader.source.read(f.start, f.end - f.start))
        if f.number in new:
            new[f.number] = b""
    return bytes(out) + b"".join(new[n] for n in waiting)


def _uuid(hashes: Iterable[int]) -> str:
    """A number of 128 bits in decimal, as TensorFlow writes one, folded from the hashes."""
    high, low = 0, _U64
    for value in hashes:
        high = _core.fingerprint_cat(high, value)
        low = _core.fingerprint_cat(low, value)
    return f"{high << 64 | low:020d}"
