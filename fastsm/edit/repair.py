"""Mending what `fastsm verify` finds: a mender for each rule that can be mended.

A mender takes away one kind of finding and changes no value that a loader reads. What was
lost cannot be brought back here: a checksum that fails, a block that is gone.
"""

from __future__ import annotations

from ..errors import FormatError, RefusedError
from ..text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bundle.opened import Bundle
    from ..bundle.rewrite import BundleRewrite, Rewritten

#: Damage of an index that goes when it is written anew, by CoreError's kind.
_REWRITTEN = frozenset(["RESTARTS"])


class Found:
    """What is to be mended: the findings of one rule.

    Attributes:
        keys: The checkpoint keys that they are about, as findings have them.
        files: The files, in the model's folder.
    """

    __slots__ = ("files", "keys")

    def __init__(self, keys: set[str], files: set[str]) -> None:
        self.keys = keys
        self.files = files


class Repair:
    """A repair thought through.

    Attributes:
        variables: The checkpoint's new files; None when they stay.
        gone: Files to remove, in the model's folder.
    """

    __slots__ = ("bundle", "gone", "rewrite")

    def __init__(self, bundle: Bundle | None) -> None:
        self.bundle = bundle
        self.gone: set[str] = set()
        self.rewrite: BundleRewrite | None = None

    def begin_rewrite(self) -> BundleRewrite:
        """The rewrite of the checkpoint, to which menders add.

        Raises RefusedError when its index has damage that a rewrite would make final.
        """
        from ..bundle.rewrite import BundleRewrite

        if self.rewrite is None:
            if self.bundle is None:
                raise RefusedError("", "there are no variables to mend")
            try:
                self.rewrite = BundleRewrite(self.bundle, mends=_REWRITTEN)
            except FormatError as e:
                raise RefusedError(
                    e.path,
                    f"{e.problem}; an index written anew would lose for good what cannot be "
                    "read now",
                    offset=e.offset,
                ) from None
        return self.rewrite

    @property
    def variables(self) -> Rewritten | None:
        return None if self.rewrite is None else self.rewrite.result()


def _restart_array(repair: Repair, found: Found) -> None:
    """The entries are all there: the index is written anew from them, in order."""
    repair.begin_rewrite()


def _unrestorable_slices(repair: Repair, found: Found) -> None:
    """One dense tensor in the place of its slices; TensorFlow reads every dtype so."""
    rewrite = repair.begin_rewrite()
    for key, row in rewrite.rows.items():
        if printable(key) in found.keys and rewrite.bundle.index.entry(row)[6]:
            rewrite.make_dense(key)


def _stray_shard(repair: Repair, found: Found) -> None:
    """No entry lies in these files: they go."""
    repair.gone |= found.files


class Mender:
    """How the findings of a rule are mended.

    Attributes:
        mend: Adds what it takes to a repair.
        named_only: Only where the rule is named: what goes might be wanted by somebody.
    """

    __slots__ = ("mend", "named_only")

    def __init__(
        self, mend: Callable[[Repair, Found], None], *, named_only: bool = False
    ) -> None:
        self.mend = mend
        self.named_only = named_only


#: By rule, in the order in which they are run.
MENDERS: dict[str, Mender] = {
    "restart-array": Mender(_restart_array),
    "unrestorable-slices": Mender(_unrestorable_slices),
    "stray-shard": Mender(_stray_shard, named_only=True),
}
