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

    from .._core import Source
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
    contents = [
        (row, rewrite.content(first), rewrite.content(row)) for (first, _), row in places.items()
    ]  # raises where one is not in its shard
    if sum(a.size for _, a, _ in contents) > rewrite.n_bytes:
        problem = "tensors overlap: they have more bytes than the shards"
        raise FormatError(bundle.index_file.path, problem)
    equal = dict(zip(places, _compare(rewrite, contents, progress), strict=True))
    pairs: list[tuple[int, int]] = []
    unequal = []
    for row, first in twins:
        if equal[first, index.entry(row)[2:4]]:
            pairs.append((row, first))
        else:
            unequal.append(index.key(row))
    rewrite.share(pairs)
    shared = [(index.key(row), index.key(to), index.entry(row)[4]) for row, to in pairs]
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
    contents: list[tuple[int, Source, Source]],
    progress: Callable[[int, int], object] | None,
) -> list[bool]:
    """Whether two tensors have the same bytes: for (row of the second, first, second) each."""
    pieces = [
        _Piece(i, start, min(JOB, a.size - start))
        for i, (_, a, _) in enumerate(contents)
        for start in range(0, a.size, JOB)
    ]
    total = sum(piece.n_bytes for piece in pieces)
    equal = [True] * len(contents)

    def do(piece: _Piece) -> None:
        row, a, b = contents[piece.pair]
        try:
            if first_difference(a, piece.start, b, piece.start, piece.n_bytes) is not None:
                equal[piece.pair] = False
        except CoreError as e:
            raise rewrite.error(row, f"its bytes cannot be compared: a shard {e}") from None

    def told(done: int) -> None:
        if progress is not None:
            progress(done, total)

    run(pieces, do, told)
    return equal
