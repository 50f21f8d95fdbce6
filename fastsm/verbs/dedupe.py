"""`fastsm.dedupe`: tensors that are stored twice share one copy."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path


def dedupe(path: Path, **options: Unpack[Options]) -> EditResult:
    """Let variables that are stored twice share their bytes.

    Keras 3 exports store every weight under two keys. Here both keys come to point at one
    copy, proved equal byte by byte; the checkpoint shrinks, and every loader reads what it
    read before. saved_model.pb is not touched; fingerprint.pb's checkpoint_hash is made true.

    Args:
        path: The model's folder.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Raises:
        UsageError: Neither ``out`` nor ``in_place`` nor ``dry_run``, or the first two.
        FormatError: The variables are damaged.
        RefusedError: The model changed, or is not one to edit.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.dedupe("examples/ranker/1", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', doubled: 3 -> 0, bytes: 7550 -> 4190)
    """
    return one(Edit(path, **options), "dedupe")
