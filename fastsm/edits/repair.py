"""Mending what `fastsm verify` finds: a mender for each rule that can be mended.

A mender takes away one kind of finding and changes no value that a loader reads. What was
lost cannot be brought back here: a checksum that fails, a block that is gone.
"""

from __future__ import annotations

from ..errors import FormatError, RefusedError
from ..text import printable
from . import mend_assets
from .collections import remove_dangling
from .slots import remove_slots
from .unify import merge_doubled, restore_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bundle.rewrite import BundleRewrite
    from .draft import Draft

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


def _variables(draft: Draft) -> BundleRewrite:
    """The rewrite of the checkpoint, to which menders add.

    Raises RefusedError when its index has damage that a rewrite would make final.
    """
    try:
        return draft.bundle_rewrite(mends=_REWRITTEN)
    except FormatError as e:
        raise RefusedError(
            e.path,
            f"{e.problem}; an index written anew would lose for good what cannot be read now",
            offset=e.offset,
        ) from None


def _restart_array(draft: Draft, found: Found) -> None:
    """The entries are all there: the index is written anew from them, in order."""
    _variables(draft)


def _unrestorable_slices(draft: Draft, found: Found) -> None:
    """One dense tensor in the place of its slices; TensorFlow reads every dtype so."""
    rewrite = _variables(draft)
    for key, row in rewrite.rows.items():
        if printable(key) in found.keys and rewrite.bundle.index.entry(row)[6]:
            rewrite.make_dense(key)


def _collection_dangling(draft: Draft, found: Found) -> list[str]:
    """Python's loaders import every entry of a collection: those that lead nowhere go."""
    return remove_dangling(draft)


def _restore_handle(draft: Draft, found: Found) -> list[str]:
    """What session loaders restore goes into the handles that signatures read."""
    return restore_read(draft)


def _restore_twice(draft: Draft, found: Found) -> list[str]:
    """Of two keys of one variable, and of two objects that it is, one stays."""
    return merge_doubled(draft)


def _object_slots(draft: Draft, found: Found) -> None:
    """Only an optimizer's own class can make them: they become variables as others are."""
    remove_slots(draft)


def _stray_shard(draft: Draft, found: Found) -> None:
    """No entry lies in these files: they go."""
    for name in sorted(found.files):
        draft.remove(name)


def _asset_outside(draft: Draft, found: Found) -> list[str]:
    return mend_assets.bring_inside(draft)


def _asset_tensor(draft: Draft, found: Found) -> list[str]:
    return mend_assets.feed_once(draft)


def _asset_unused(draft: Draft, found: Found) -> list[str]:
    return mend_assets.remove_unused(draft)


def _link_outside(draft: Draft, found: Found) -> list[str]:
    """A model that is written elsewhere has real files; in place no link is followed."""
    if draft.elsewhere:
        return []
    return [
        f"{name} is a link out of the model, and what it leads to is another's\n  "
        "--out DIR writes a model of real files"
        for name in sorted(found.files)
    ]


class Mender:
    """How the findings of a rule are mended.

    Attributes:
        mend: Adds what it takes to a draft. May return a sentence for each finding that it
            had to leave: why, and the way out.
        named_only: Only where the rule is named: what goes might be wanted by somebody.
    """

    __slots__ = ("mend", "named_only")

    def __init__(
        self, mend: Callable[[Draft, Found], list[str] | None], *, named_only: bool = False
    ) -> None:
        self.mend = mend
        self.named_only = named_only


#: By rule, in the order in which they are run.
MENDERS: dict[str, Mender] = {
    "restart-array": Mender(_restart_array),
    "unrestorable-slices": Mender(_unrestorable_slices),
    "collection-dangling": Mender(_collection_dangling),
    "restore-handle": Mender(_restore_handle),
    "restore-twice": Mender(_restore_twice, named_only=True),
    "object-slots": Mender(_object_slots),
    "stray-shard": Mender(_stray_shard, named_only=True),
    "asset-outside": Mender(_asset_outside),
    "asset-tensor": Mender(_asset_tensor),
    "asset-unused": Mender(_asset_unused, named_only=True),
    "link-outside": Mender(_link_outside),
}
