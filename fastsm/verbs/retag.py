"""`fastsm.retag`: another tag set for a meta graph."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path, Tags


def retag(
    path: Path, old: Tags, new: Tags, *, force: bool = False, **options: Unpack[Options]
) -> EditResult:
    """Give the meta graph with tag set ``old`` the tag set ``new``.

    In place unless ``out`` says where; fingerprint.pb stays as true as it was. All other
    bytes of the model stay as they are.

    Args:
        path: The model's folder.
        old, new: A tag, or a set of tags. A string with a comma is refused.
        force: Allow a tag set that another meta graph has.
        **options: Where and how to write: see `Edit`.

    Raises:
        MissingError: No meta graph has ``old``.
        RefusedError: Another one has ``new``; the model changed, or is not one to edit.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.retag("examples/ranker/1", "serve", {"serve", "gpu"}, dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', tags: ['serve'] -> ['gpu', 'serve'])
    """
    return one(Edit(path, **options), "retag", old, new, force=force)
