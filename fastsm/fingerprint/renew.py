"""Making fingerprint.pb true after an edit, and leaving alone what the edit left alone."""

from __future__ import annotations

from .. import _core
from .._core import delimited, number
from ..errors import CoreError, FormatError, UnsupportedError
from ..plan import Deferred, same
from ..source import Reader, from_bytes, merged, slices
from . import (
    CHECKPOINT,
    CHECKSUM,
    HASHES,
    MAX_SIZE,
    NAME,
    OBJECTS,
    PROGRAM,
    SIGNATURES,
    UUID,
    Fingerprint,
)
from .hashes import (
    checkpoint_hash,
    checksum,
    graph_checksum,
    objects_hash,
    program_hash,
    signatures_hash,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from ..source import File, Source
    from ..views import MetaGraph

_U64 = (1 << 64) - 1


def renewed(
    file: File,
    *,
    source: Source | None = None,
    index: Source | None = None,
    touched: Container[int] = (),
    old: MetaGraph | None = None,
    new: MetaGraph | None = None,
) -> Deferred | None:
    """fingerprint.pb after an edit: the hashes that see it anew, the others as they were.

    Args:
        file: fingerprint.pb as it is.
        source: What saved_model.pb becomes; None when it stays.
        index: What variables.index becomes; None when it stays.
        touched: The hashes that see the edit, if it is one of the first meta graph.
        old, new: That meta graph before and after, where there is one.

    Returns:
        Content for a plan, computed when it is needed; None when it stays as it is.
        A fingerprint that cannot be made true is removed, with a warning.
    """
    content = file.source().read(0, min(file.identity.size, MAX_SIZE))
    reader = Reader(from_bytes(content), file.path)
    try:
        stored = Fingerprint(reader)
    except FormatError as e:
        damage = f"{NAME} was damaged ({e.problem}) and is removed"
        return Deferred(lambda _: (None, damage))
    found: dict[int, Callable[[Source], int]] = {}
    if source is not None and not stored.covers_graph_only:
        found[CHECKSUM] = checksum
    elif old is not None and new is not None and not _kept(PROGRAM, old, new):
        # TensorFlow 2.11's hash of the graph, functions too, does not see the rest.
        found[CHECKSUM] = lambda _: graph_checksum(new)
    if old is not None and new is not None:
        found.update(_of_graph(stored, touched, old, new))
    if index is not None and stored.checkpoint_hash != 0:
        # A fingerprint without that hash says nothing of the variables.
        found[CHECKPOINT] = lambda _: checkpoint_hash(index)
    if not found:
        return None

    def compute(read: Source | None) -> tuple[bytes | None, str | None]:
        whole = read or source or from_bytes(b"")
        try:
            return rewritten(reader, {n: function(whole) for n, function in found.items()}), None
        except (CoreError, FormatError, UnsupportedError) as e:
            problem = getattr(e, "problem", str(e))
            return None, f"{NAME} cannot be made true ({problem}) and is removed"

    return Deferred(compute, source)


#: The field of a meta graph that a hash is of: graph_def, signature_def, object_graph_def.
_PARTS = {PROGRAM: 2, SIGNATURES: 5, OBJECTS: 7}


def _kept(number: int, old: MetaGraph, new: MetaGraph) -> bool:
    """Whether what a hash is of kept its bytes; reads those that did not."""
    a, b = (slices(g.reader.source, merged(g.fields, _PARTS[number])) for g in (old, new))
    return same(a, b)


def _of_graph(
    stored: Fingerprint, touched: Container[int], old: MetaGraph, new: MetaGraph
) -> dict[int, Callable[[Source], int]]:
    """The hashes of a meta graph that see an edit. One that the writer left out stays out."""
    found: dict[int, Callable[[Source], int]] = {}
    seen = {n for n in _PARTS if n in touched and not _kept(n, old, new)}
    if PROGRAM in seen and stored.hash(PROGRAM):
        found[PROGRAM] = lambda _: program_hash(new)
    if OBJECTS in seen and (stored.hash(OBJECTS) or not old.object_spans):
        found[OBJECTS] = lambda _: objects_hash(new)
    before = stored.hash(SIGNATURES)
    if SIGNATURES in seen and (before or not old.signature_spans):

        def signatures(_: Source) -> int:
            # Before TensorFlow 2.14 the keys were left out, and nothing else tells.
            keys = not old.signature_spans or before != signatures_hash(old, keys=False)
            return signatures_hash(new, keys=keys)

        found[SIGNATURES] = signatures
    return found


def rewritten(reader: Reader, hashes: dict[int, int]) -> bytes:
    """The file with these hashes replaced, and a uuid made from its hashes if it had one.

    All else, unknown fields too, keeps its bytes and its place. A fingerprint says what
    a model is, so equal models get equal ones: the uuid is derived, never drawn.
    """
    fields = reader.fields([(0, reader.source.size)], "")
    old = Fingerprint(reader)
    new: dict[int, bytes] = {}
    all_hashes = {n: hashes.get(n, old.hash(n)) for n in HASHES}
    for n, value in hashes.items():
        new[n] = number(n, value) if value else b""  # as TensorFlow leaves a zero out
    if old.uuid is not None and any(old.hash(n) != v for n, v in hashes.items()):
        new[UUID] = delimited(UUID, _uuid(all_hashes.values()).encode())
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
