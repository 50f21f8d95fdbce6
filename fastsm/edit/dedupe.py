"""Finding tensors that are stored twice, and letting them share one copy.

Two entries of a checkpoint's index may point at the same bytes: every loader reads them so.
"""

from __future__ import annotations

from .._core import first_difference
from ..bundle.rewrite import BundleRewrite
from ..errors import CoreError, FormatError
from ..text import Record
from ..workers import JOB, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bundle.opened import Bundle
    from ..bundle.rewrite import Rewritten


class Dedupe(Record):
    """A dedupe thought through.

    Attributes:
        shared: (key, key whose bytes it gets, bytes) of each tensor, by key.
        n_bytes: What their second copies take.
        unequal: Keys of tensors that have another's size and checksum, and other bytes.
        new: The checkpoint's files afterwards.
    """

    __slots__ = ("shared", "n_bytes", "unequal", "new")

    def __init__(
        self, shared: list[tuple[bytes, bytes, int]], unequal: list[bytes], new: Rewritten
    ) -> None:
        self.shared = shared
        self.n_bytes = new.bytes_before - new.bytes_after
        self.unequal = unequal
        self.new = new


def dedupe(bundle: Bundle, progress: Callable[[int, int], object] | None = None) -> Dedupe:
    """Decide which tensors share their bytes.

    Candidates have the same size, checksum, dtype and shape; that their bytes are the same
    is seen by comparing them. Equal bytes of other dtypes or shapes would do as well, but are
    seldom more than chance (zeros), and then a later edit of one would be a surprise.

    Args:
        progress: Called with (bytes compared, bytes to compare).

    Raises:
        FormatError: The index is damaged, or a tensor does not lie in its shard.
    """
    rewrite = BundleRewrite(bundle)
    index = bundle.index
    twins = index.twins()
    # Some may share bytes already: each place is compared once.
    places = {(first, index.entry(row)[2:4]): row for row, first in twins}
    pairs = [(first, row) for (first, _), row in places.items()]
    for pair in pairs:
        rewrite.place(pair[0]), rewrite.place(pair[1])  # raises where one is not in its shard
    if sum(index.entry(row)[4] for _, row in pairs) > rewrite.n_bytes:
        problem = "tensors overlap: they have more bytes than the shards"
        raise FormatError(bundle.index_file.path, problem)
    equal = dict(zip(places, _compare(rewrite, pairs, progress), strict=True))
    same: list[tuple[int, int]] = []
    unequal = []
    for row, first in twins:
        if equal[first, index.entry(row)[2:4]]:
            same.append((row, first))
        else:
            unequal.append(index.key(row))
    rewrite.share(same)
    shared = [(index.key(row), index.key(to), index.entry(row)[4]) for row, to in same]
    return Dedupe(shared, unequal, rewrite.result())


class _Piece:
    """A stretch of two tensors, to be compared.

    Attributes:
        pair: Which two: their place in the list.
        start, n_bytes: The stretch.
    """

    __slots__ = ("n_bytes", "pair", "start")

    def __init__(self, pair: int, start: int, n_bytes: int) -> None:
        self.pair = pair
        self.start = start
        self.n_bytes = n_bytes


def _compare(
    rewrite: BundleRewrite,
    pairs: list[tuple[int, int]],
    progress: Callable[[int, int], object] | None,
) -> list[bool]:
    """Whether the bytes of two rows are the same, for each pair."""
    index = rewrite.bundle.index
    sources = {shard: rewrite.bundle.shard(shard).source() for shard in index.shards()}
    sizes = [index.entry(row)[4] for _, row in pairs]
    pieces = [
        _Piece(i, start, min(JOB, size - start))
        for i, size in enumerate(sizes)
        for start in range(0, size, JOB)
    ]
    total = sum(sizes)
    equal = [True] * len(pairs)

    def do(piece: _Piece) -> None:
        one, other = pairs[piece.pair]
        (shard, at), (other_shard, other_at) = index.entry(one)[2:4], index.entry(other)[2:4]
        try:
            differs = first_difference(
                sources[shard], at + piece.start,
                sources[other_shard], other_at + piece.start, piece.n_bytes,
            )  # fmt: skip
        except CoreError as e:
            raise rewrite.error(other, f"its bytes cannot be compared: a shard {e}") from None
        if differs is not None:
            equal[piece.pair] = False

    def told(done: int) -> None:
        if progress is not None:
            progress(done, total)

    run(pieces, do, told)
    return equal
