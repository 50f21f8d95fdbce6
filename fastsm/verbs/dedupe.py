"""`fastsm.dedupe`: tensors that are stored twice share one copy."""

from __future__ import annotations

from ..edit.dedupe import dedupe as edit_dedupe
from ..text import counted
from .editing import (
    EditResult,
    begin,
    carry_out,
    must_say_where,
    open_bundle,
    open_model,
    taken_back,
    text,
    write_variables,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .editing import Path


def dedupe(
    path: Path,
    *,
    out: Path | None = None,
    in_place: bool = False,
    dry_run: bool = False,
    sync: bool = True,
    backup: Path | None = None,
    receipt: Path | None = None,
    link: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> EditResult:
    """Let variables that are stored twice share their bytes.

    Keras 3 exports store every weight under two keys. Here both keys come to point at one
    copy, proved equal byte by byte; the checkpoint shrinks, and every loader reads what it
    read before. saved_model.pb is not touched; fingerprint.pb's checkpoint_hash is made true.

    Args:
        path: The model's folder.
        out: An absent or empty folder for the new model.
        in_place: Replace the model's own variables.
        dry_run: Do all but write.
        sync: Wait until the disk has it.
        backup: A folder for the old bytes, from which `undo` restores them.
        receipt: A file for what was done.
        link: With ``out``: hard links where files do not change.
        progress: Called with (bytes done, bytes in all).

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
    must_say_where(path, out, in_place, dry_run)
    model = open_model(path)
    plan = begin(model, "dedupe", {}, only_variables=True)
    bundle = open_bundle(model)
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    check = None
    if bundle is not None:
        edit = edit_dedupe(bundle, progress)
        write_variables(plan, model, edit.new)
        check = edit.new.check
        n, left = len(edit.shared), len(edit.unequal)
        before = {"doubled": n + left, "bytes": edit.new.bytes_before}
        after = {"doubled": left, "bytes": edit.new.bytes_after}
        if left:
            plan.warnings.append(
                f"{counted(left, 'variable')} left alone: of another's size and checksum, and of "
                "other bytes"
            )
    done = carry_out(
        plan, out=out, dry_run=dry_run, backup=backup, receipt=receipt, sync=sync, link=link,
        check=check, progress=progress,
    )  # fmt: skip
    where = text(out) or model.path
    undo = taken_back(where, backup) if done.changed else None
    return EditResult(
        where, model.folder, plan, done.written, done.warnings, before, after, undo
    )
