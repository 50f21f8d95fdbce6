"""`fastsm.undo`: an edit taken back from its backup."""

from __future__ import annotations

import os

from ..edits.draft import Done
from .transaction import EditResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .transaction import Path


def undo(path: Path, backup: Path, *, dry_run: bool = False, sync: bool = True) -> EditResult:
    """Put back the bytes that an edit kept in a backup folder.

    Args:
        path: The model's folder.
        backup: The folder that the edit was given; it stays.
        dry_run: Do all but write.
        sync: Wait until the disk has it.

    Raises:
        MissingError: There is no backup in that folder.
        RefusedError: The model changed since that edit, or the backup is damaged.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.retag("examples/tagger/1", "train", "debug", backup="before").changed
        True
        >>> fastsm.undo("examples/tagger/1", "before").changed
        True
        >>> fastsm.undo("examples/tagger/1", "before").changed
        False
    """
    from ..commit.undo import undo as undo_commit

    done = undo_commit(os.fspath(path), os.fspath(backup), dry_run=dry_run, sync=sync)
    where = os.fspath(path)
    edit = Done("undo", {}, "old bytes restored", {}, {})
    return EditResult(where, where, None, done.written, done.warnings, [edit], None)
