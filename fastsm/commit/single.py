"""One new file that is no part of a model: it appears whole or not at all.

It is written in a folder of its own beside its place, because a library that writes files
may use names of its own; a crash leaves that folder, and the next try clears it away.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import CommitError, FastsmError, RefusedError
from ..text import printable, size
from .lock import FolderLock, clear_beside, remove_tree, staged_beside
from .system import System
from .write import HINTS, NO_LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def write_new(
    path: str,
    fill: Callable[[str], object],
    *,
    need: int = 0,
    force: bool = False,
    sync: bool = True,
    system: System | None = None,
) -> None:
    """Make a file.

    Args:
        path: Where it appears.
        fill: Called with the path of an empty file, writes it, or puts another there.
        need: How many bytes it will have, about.
        force: Replace a file that is there.
        sync: Wait until the disk has it.
        system: The system calls, for tests.

    Raises:
        RefusedError: Something is there already, or there is no folder for it.
        CommitError: The disk.
        And what ``fill`` raises.
    """
    try:
        _write_new(path, fill, need, force, sync, system or System())
    except OSError as error:
        if isinstance(error, FastsmError):
            raise
        reason = error.strerror or str(error)
        hint = HINTS.get(error.errno or 0)
        raise CommitError(
            path, f"cannot be written: {reason}", on_disk="old", hint=hint
        ) from error


def _write_new(
    path: str, fill: Callable[[str], object], need: int, force: bool, sync: bool, system: System
) -> None:
    target = system.realpath(path)
    mode = _check_target(path, target, force, system)
    parent = os.path.dirname(target)
    stage = staged_beside(target)
    staged = os.path.join(stage, os.path.basename(target))
    clear_beside(system, target)
    free = system.free(parent)
    if free is not None and free < need:
        problem = f"needs {size(need)} free in {printable(parent, None)}, {size(free)} there"
        raise CommitError(path, problem, on_disk="old")
    system.make_folder(stage, 0o700)
    lock = None
    try:
        lock = FolderLock(system, stage, path)
        fd = system.create(staged, 0o666)
        # What a new file may be, by the user's umask; a library may make it narrower.
        try:
            new_mode = stat.S_IMODE(system.fstat(fd).st_mode)
        finally:
            system.close(fd)
        fill(staged)
        _finish(staged, new_mode if mode is None else mode, sync, system)
        _publish(path, staged, target, force, system)
        if sync:
            _sync_folder(parent, system)
    finally:
        try:
            remove_tree(system, stage)
        except OSError:
            pass  # the next try clears it
        if lock is not None:
            lock.release()


def _check_target(path: str, target: str, force: bool, system: System) -> int | None:
    """The mode of the file that is to be replaced; None when there is none."""
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        raise RefusedError(path, f"no folder {printable(parent, None)}", hint="make it first")
    try:
        st = system.lstat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(st.st_mode):
        raise RefusedError(path, "is there, and is not a file")
    if not force:
        raise RefusedError(path, "is there already", hint="--force writes over it")
    return stat.S_IMODE(st.st_mode)


def _finish(staged: str, mode: int, sync: bool, system: System) -> None:
    file = system.file(staged)
    system.chmod(file.fd, mode)
    if sync:
        system.sync(file.fd)


def _publish(path: str, staged: str, target: str, force: bool, system: System) -> None:
    if not force:
        try:
            system.link(staged, target)  # which a file that is there meanwhile forbids
            return
        except FileExistsError:
            raise RefusedError(path, "is there already", hint="--force writes over it") from None
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
    system.rename(staged, target)


def _sync_folder(path: str, system: System) -> None:
    fd = system.open_folder(path)
    try:
        system.sync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        system.close(fd)
