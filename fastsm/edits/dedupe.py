"""Finding tensors that are stored twice, and letting them share one copy.

Two entries of a checkpoint's index may point at the same bytes: every loader reads them so.
"""

from __future__ import annotations

from .._core import first_difference
from ..errors import CoreError, FormatError
from ..text import counted, size
from ..workers import JOB, run
from .draft import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bundle.rewrite import BundleRewrite
    from .draft import Draft


def dedupe(draft: Draft, progress: Callable[[int, int], object] | None = None) -> Done:
    """Let tensors that are stored twice share one copy.

    Args:
        progress: Called with (bytes compared, bytes to compare).

    Raises:
        FormatError: The index is damaged, or a tensor does not lie in its shard.
    """
    if draft.bundle is None:
        return Done("dedupe", {}, "nothing to do: it has no variables", {}, {}, drops=True)
    now, rewrite = draft.variables, draft.bundle_rewrite()
    before = rewrite.n_bytes if now is None else now.bytes_after
    shared, unequal = share_doubles(rewrite, progress)
    new = draft.variables
    assert new is not None
    what = "nothing to do: no variable is stored twice"
    if shared:
        saved = size(before - new.bytes_after)
        what = f"{counted(len(shared), 'doubled variable')} shared: {saved} less"
    if unequal:
        draft.plan.warnings.append(
            f"{counted(len(unequal), 'variable')} left alone: of another's size and checksum, "
            "and of other bytes"
        )
    return Done(
        "dedupe", {}, what,
        {"doubled": len(shared) + len(unequal), "bytes": before},
        {"doubled": len(unequal), "bytes": new.bytes_after},
        drops=True,
    )  # fmt: skip


def share_doubles(
    rewrite: BundleRewrite, progress: Callable[[int, int], object] | None = None
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Decide which tensors share their bytes, and let them.

    Candidates have the same size, checksum, dtype and shape; that their bytes are the same
    is seen by comparing them. Equal bytes of other dtypes or shapes would do as well, but are
    seldom more than chance (zeros), and then a later edit of one would be a surprise.

    Returns:
        (key, key whose bytes it gets) of each tensor, by key; and the keys of tensors that
        have another's size and checksum, and other bytes.

    Raises FormatError as `dedupe` does.
    """
    index = rewrite.bundle.index
    twins = index.twins()
    # Some may share bytes already: each place is compared once.
    places = {(first, index.entry(row)[2:4]): row for row, first in twins}
    pairs = [(first, row) for (first, _), row in places.items()]
    for pair in pairs:
        rewrite.place(pair[0]), rewrite.place(pair[1])  # raises where one is not in its shard
    if sum(index.entry(row)[4] for _, row in pairs) > rewrite.n_bytes:
        problem = "tensors overlap: they have more bytes than the shards"
        raise FormatError(rewrite.bundle.index_file.path, problem)
    equal = dict(zip(places, equal_bytes(rewrite, pairs, progress), strict=True))
    same: list[tuple[int, int]] = []
    unequal = []
    for row, first in twins:
        if equal[first, index.entry(row)[2:4]]:
            same.append((row, first))
        else:
            unequal.append(index.key(row))
    rewrite.share(same)
    return [(index.key(row), index.key(to)) for row, to in same], unequal


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


def equal_bytes(
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
