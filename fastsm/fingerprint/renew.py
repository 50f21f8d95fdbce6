"""Making fingerprint.pb true after an edit, and leaving alone what the edit left alone."""

from __future__ import annotations

from .. import _core
from .._core import delimited, number
from ..errors import CoreError, FormatError
from ..plan import Deferred
from ..source import Reader, from_bytes
from . import CHECKPOINT, CHECKSUM, HASHES, MAX_SIZE, NAME, UUID, Fingerprint
from .hashes import checkpoint_hash, checksum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..source import File, Source

_U64 = (1 << 64) - 1


def with_checksum(file: File, source: Source) -> Deferred | None:
    """fingerprint.pb after an edit that only saved_model_checksum can see.

    Args:
        file: fingerprint.pb as it is.
        source: What saved_model.pb becomes.

    Returns:
        Content for a plan, computed when it is needed; None when it stays as it is.
        A fingerprint that cannot be made true is removed, with a warning.
    """
    # TensorFlow 2.11's hash of the graph does not see the rest.
    return _renewed(
        file, source,
        lambda old: not old.covers_graph_only, lambda new: {CHECKSUM: checksum(new)},
    )  # fmt: skip


def with_checkpoint(file: File, index: Source) -> Deferred | None:
    """The same for an edit that only checkpoint_hash can see.

    Args:
        index: What variables.index becomes.
    """
    # A fingerprint without that hash says nothing of the variables.
    return _renewed(
        file, index,
        lambda old: old.checkpoint_hash != 0, lambda new: {CHECKPOINT: checkpoint_hash(new)},
    )  # fmt: skip


def _renewed(
    file: File,
    source: Source,
    sees: Callable[[Fingerprint], bool],
    hashes: Callable[[Source], dict[int, int]],
) -> Deferred | None:
    reader = Reader(
        from_bytes(file.source().read(0, min(file.identity.size, MAX_SIZE))), file.path
    )
    try:
        old = Fingerprint(reader)
    except FormatError as e:
        damage = f"{NAME} was damaged ({e.problem}) and is removed"
        return Deferred(lambda _: (None, damage))
    if not sees(old):
        return None

    def compute(new: Source | None) -> tuple[bytes | None, str | None]:
        try:
            return rewritten(reader, hashes(new or source)), None
        except CoreError as e:
            return None, f"{NAME} cannot be made true ({e}) and is removed"

    return Deferred(compute, source)


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
        new[n] = number(n, value)
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
