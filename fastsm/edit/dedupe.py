"""Finding tensors that are stored twice, and letting them share one copy.

Two entries of a checkpoint's index may point at the same bytes: every loader reads them so.
"""

from __future__ import annotations

from .._core import first_difference
from ..bundle.rewrite import BundleRewrite
from ..errors import CoreError, FormatError
from ..text import Record

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
    for (first, _), row in places.items():
        rewrite.content(first), rewrite.content(row)  # raises where one is not in its shard
    total, done = sum(index.entry(row)[4] for row in places.values()), 0
    if total > rewrite.n_bytes:
        problem = "tensors overlap: they have more bytes than the shards"
        raise FormatError(bundle.index_file.path, problem)
    equal = {}
    for place, row in places.items():
        a, b = rewrite.content(place[0]), rewrite.content(row)
        try:
            equal[place] = first_difference(a, 0, b, 0, a.size) is None
        except CoreError as e:
            raise rewrite.error(row, f"its bytes cannot be compared: a shard {e}") from None
        done += a.size
        if progress is not None:
            progress(done, total)
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
