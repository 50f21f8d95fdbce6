"""The door to the disk: the only room that writes, renames, links or unlinks.

    system     the system calls, one method each
    lock       who works on a folder; what a crash left behind
    items      the files that change, deferred content, digests
    task       work beside the writing, in a thread of its own
    write      a source onto the disk, read back
    files      shapes a and b: one file, or one file and fingerprint.pb, in place
    tree       shape c, --out and a new model: a whole folder, exchanged or new
    shown      the edited model whole, to be proved before it is published
    single     one new file that is no part of a model
    record     the backup and the receipt
    undo       a backup put back

A commit stages everything, checks it, and publishes it by one rename or exchange. At
every moment a reader finds the old model or the new one.
"""
from __future__ import annotations

import errno
import os

from ..errors import CommitError, CoreError, FastsmError, RefusedError, UsageError
from ..source import Identity
from ..text import printable
from .files import Files
from .items import items_of, warnings_of
from .lock import FolderLock, staged_beside
from .system import System
from .write import ELSEWHERE, HINTS, Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, NoReturn

    from ..plan import Change, Plan
    from ..source import Source
    from .items import Item
    from .record import Backup, Receipt
    from .shown import Prove
    from .tree import Tree

__all__ = ["Committed", "System", "commit"]

# Errors that another place may not have.
_HERE_ONLY = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV, errno.EBUSY, errno.ENOSYS,
    errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSPC, errno.EDQUOT,
}  # fmt: skip


class Committed:
    """What a commit did.

    Attributes:
        changed: Whether the model differs from the one before.
        plan: What was asked for.
        path: Where the model is now, as the caller named it.
        written: What became of each file, sorted by name.
        warnings: What the user should know.
    """

    __slots__ = ("changed", "path", "plan", "warnings", "written")

    def __init__(
        self, plan: Plan, path: str, written: list[Change], warnings: list[str]
    ) -> None:
        self.plan = plan
        self.changed = bool(written)
        self.path = path
        self.written = written
        self.warnings = warnings

    def __repr__(self) -> str:
        return f"Committed({self.path!r}, changed={self.changed}, written={self.written})"


def commit(
    plan: Plan,
    *,
    out: str | None = None,
    dry_run: bool = False,
    backup: str | None = None,
    receipt: str | None = None,
    sync: bool = True,
    link: bool = False,
    check: Callable[[str, Source], object] | None = None,
    prove: Prove | None = None,
    progress: Callable[[int, int], object] | None = None,
    system: System | None = None,
) -> Committed:
    """Carry a plan out, whole or not at all.

    An empty plan writes nothing; with ``out`` the model is copied there all the same. A plan
    of a new model wants ``out``, or ``dry_run``.

    Args:
        out: A folder, absent or empty, for the edited model; the model itself stays.
        dry_run: Find out all that can be found out without writing.
        backup: A folder, absent or empty, for the old bytes of the files that change;
            `undo` puts them back.
        receipt: A file for what was done: digests before and after, untouched ranges.
        sync: Wait until everything is on the disk. Without it the model survives a killed
            process, but not a power cut.
        link: In ``out``, hard links instead of copies of the files that do not change.
        check: Called with each written file's name and staged bytes before anything is
            published; what it raises ends the commit.
        prove: Called with a folder that holds the edited model whole, before it is published;
            what it raises ends the commit, and what it returns goes into the receipt. Not
            where nothing changes.
        progress: Called with (bytes done, bytes in all).
        system: The system calls, for tests.

    Raises:
        UsageError: ``backup`` together with ``out``, ``link`` without, or an empty path.
        RefusedError: The model changed since it was opened, a file lies outside it
            through a link, or a destination is not absent or empty, or inside the model.
        CommitError: The disk, or another writer; says which model is there now.
    """
    for option, path in (("out", out), ("backup", backup), ("receipt", receipt)):
        if path == "":  # which would be the current folder
            raise UsageError(plan.path, f"--{option}: the path is empty")
    if out is not None and backup is not None:
        raise UsageError(plan.path, "--out leaves the model as it is: nothing to back up")
    if link and out is None:
        raise UsageError(plan.path, "--link goes with --out")
    if plan.new and out is None and not dry_run:
        raise UsageError(plan.path, "a new model needs a folder: --out DIR")
    writer = Writer(plan, system or System(), sync, progress)
    try:
        return _commit(writer, out, dry_run, backup, receipt, link, check, prove)
    except BaseException as error:
        _fail(writer, error, plan.path if out is None else out, in_place=out is None)


def _commit(
    writer: Writer,
    out: str | None,
    dry_run: bool,
    backup: str | None,
    receipt: str | None,
    link: bool,
    check: Callable[[str, Source], object] | None,
    prove: Prove | None,
) -> Committed:
    plan, system = writer.plan, writer.system
    for folder in (out, backup):
        if folder is not None:
            _check_vacant(writer, folder)
    if receipt is not None:
        _check_receipt(writer, receipt, out)
        _check_outside(writer, receipt)
    if plan.empty and out is None and receipt is None:
        return Committed(plan, plan.path, [], writer.warnings)
    if plan.new and out is None:  # a dry run: there is no place yet to look at
        _check_unchanged(writer, None)
        return Committed(plan, plan.path, plan.changes(), writer.warnings)

    items: list[Item] = []
    lock = None
    if not plan.new:
        lock = FolderLock(system, plan.folder, plan.path, shared=out is not None or dry_run)
    try:
        if lock is not None and not lock.held:
            writer.warnings.append("no locks here: let nobody else edit the model meanwhile")
        _check_unchanged(writer, lock)
        digests = not dry_run and (backup is not None or receipt is not None)
        items = items_of(
            plan, system, elsewhere=out is not None, digests=digests, dry_run=dry_run
        )
        shape = _shape(writer, items, out, link, check)
        writer.check_space(*shape.space())
        if not dry_run:
            records = _records(writer, items, out, backup, receipt)
            _carry_out(writer, lock, items, shape, prove, *records)
        elif prove is not None and (out is not None or not all(i.stays() for i in items)):
            from .shown import prove_dry

            prove_dry(writer, items, prove)
            _check_unchanged(writer, lock)
        written = sorted((item.change() for item in items if not item.stays()), key=_name)
        warnings = writer.warnings + warnings_of(items)
    finally:
        for item in items:
            item.let_go()
        if lock is not None:
            lock.release()
    return Committed(plan, plan.path if out is None else out, written, warnings)


def _name(change: Change) -> str:
    return change.name


def _shape(
    writer: Writer,
    items: list[Item],
    out: str | None,
    link: bool,
    check: Callable[[str, Source], object] | None,
) -> Files | Tree:
    if out is None and Files.fits(writer.plan.folder, items):
        return Files(writer, items, check)
    from .tree import Tree

    return Tree(writer, items, check, out=out, link=link)


def _records(
    writer: Writer, items: list[Item], out: str | None, backup: str | None, receipt: str | None
) -> tuple[Backup | None, Receipt | None]:
    if backup is None and receipt is None:
        return None, None
    from .record import Backup, Receipt

    return (
        Backup(writer, items, backup) if backup is not None else None,
        Receipt(writer, items, receipt, out) if receipt is not None else None,
    )


def _carry_out(
    writer: Writer,
    lock: FolderLock | None,
    items: list[Item],
    shape: Files | Tree,
    prove: Prove | None,
    backup: Backup | None,
    receipt: Receipt | None,
) -> None:
    """Stage, check, prove and publish; after an error leave the old model or the new one."""
    new, parity = False, None
    try:
        shape.clear()
        # The model first: what it holds is digested meanwhile.
        shape.stage()
        if prove is not None:
            from .shown import prove_staged

            parity = prove_staged(writer, items, shape, prove)
        if backup is not None:
            backup.stage()
        if receipt is not None:
            receipt.stage(parity)
        _check_unchanged(writer, lock)
        if backup is not None:
            backup.publish()
        shape.publish()
        new = True
        if receipt is not None:
            receipt.publish()
    except BaseException:
        # An interruption may come between a call and the line that notes it.
        new = shape.is_new()
        raise
    finally:
        writer.published = new
        for part in (shape, backup, receipt):
            if part is not None:
                part.settle(new)


def _fail(writer: Writer, error: BaseException, path: str, *, in_place: bool) -> NoReturn:
    """Raise an error in words, with what is on the disk now."""
    before: Literal["old", "none"] = "none" if writer.plan.new else "old"
    on_disk: Literal["old", "new", "none"] = "new" if writer.published else before
    doing = printable(writer.doing, None)
    if isinstance(error, CoreError):
        if error.kind == "CHANGED" and not writer.published:
            what = "a file that it is made from" if writer.plan.new else "a file of the model"
            raise RefusedError(path, f"{what} became shorter while it was read")
        reason = os.strerror(error.need) if error.kind == "IO" else str(error)
        raise CommitError(path, f"{doing}: {reason}", on_disk=on_disk) from error
    if isinstance(error, OSError) and not isinstance(error, FastsmError):
        hint = HINTS.get(error.errno or 0)
        if in_place and not writer.published and error.errno in _HERE_ONLY:
            hint = ELSEWHERE
        reason = error.strerror or str(error)
        raise CommitError(path, f"{doing}: {reason}", on_disk=on_disk, hint=hint) from error
    if isinstance(error, CommitError) or not isinstance(error, FastsmError):
        # An interruption, or what the caller's check or progress raised, says it as well.
        error.on_disk = on_disk  # type: ignore[attr-defined]
    raise error


def _check_unchanged(writer: Writer, lock: FolderLock | None) -> None:
    """Refuse when the model, or another file, is not the one that the plan was made from."""
    plan, system = writer.plan, writer.system
    if lock is not None:
        st = system.stat(plan.folder)
        if (st.st_dev, st.st_ino) != (plan.device, plan.inode) or not lock.is_on(plan.folder):
            raise RefusedError(plan.path, "another folder is there since the model was opened")
    files = [(name, os.path.join(plan.folder, name), file) for name, file in plan.reads.items()]
    for name, path, file in [*files, *((f.path, f.path, f) for f in plan.sources)]:
        try:
            same = Identity(system.stat(path)) == file.identity
        except FileNotFoundError:
            same = False
        if not same:
            raise RefusedError(plan.path, f"{printable(name, None)} changed since it was opened")


def _check_vacant(writer: Writer, folder: str) -> None:
    """Refuse a destination that holds something, or that lies inside the model."""
    _check_outside(writer, folder)
    stage = staged_beside(os.path.realpath(folder))
    for path in (writer.plan.folder, *(file.path for file in writer.plan.sources)):
        if _is_below(os.path.realpath(path), stage):
            problem = f"is staged in {printable(stage, None)}, where {printable(path, None)} lies"
            raise RefusedError(folder, problem, hint="name another folder")
    try:
        names = writer.system.names(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise RefusedError(folder, "is a file; a folder, absent or empty, is wanted") from None
    if names:
        found = f"is not empty: it has {printable(names[0])}"
        raise RefusedError(folder, found, hint="name a new folder")


def _check_receipt(writer: Writer, receipt: str, out: str | None) -> None:
    """Refuse a receipt in the new model, or in the place of what the plan is made from."""
    real = os.path.realpath(receipt)
    if os.path.isdir(real):
        raise RefusedError(receipt, "is a folder; a file is wanted")
    if out is not None and _is_below(real, os.path.realpath(out)):
        raise RefusedError(receipt, f"lies inside the new model {printable(out, None)}")
    for file in writer.plan.sources:
        if os.path.realpath(file.path) == real:
            raise RefusedError(receipt, "is a file that the model is made from")


def _is_below(path: str, folder: str) -> bool:
    """Whether a real path is a folder, or lies in it."""
    return os.path.join(path, "").startswith(os.path.join(folder, ""))


def _check_outside(writer: Writer, path: str) -> None:
    real = os.path.realpath(path)
    if _is_below(real, writer.plan.folder):
        raise RefusedError(path, f"lies inside the model {printable(writer.plan.path, None)}")
    parent = os.path.dirname(real)
    if not os.path.isdir(parent):
        raise RefusedError(path, f"no folder {printable(parent, None)}", hint="make it first")
