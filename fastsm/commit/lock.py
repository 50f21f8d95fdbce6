"""Who works on a folder now, and what a commit that was cut short left behind.

Staged files and folders have names of their own, the same each time: a crash leaves
at most one set of them, and the next commit that gets the lock clears it.
"""
from __future__ import annotations

import errno
import os
import stat

from ..errors import CommitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .system import System

#: How every staged name inside a model begins. No loader looks at such a name.
STAGED = ".fastsm-stage"

# What flock says where there are no locks: some FUSE file systems, and NFS, which wants
# a descriptor open for writing and no folder has one.
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def staged_beside(path: str) -> str:
    """Where the folder or file at ``path`` is staged: beside it, and never a number.

    TF Serving loads each folder whose name is a number, whatever is in it.
    """
    parent, name = os.path.split(path)
    return os.path.join(parent, f".{name}{STAGED}")


class FolderLock:
    """A lock on a folder, held until `release`.

    Args:
        path: The folder, without links.
        name: What the user calls it.
        shared: Others may read as well; for copying out of it.

    Attributes:
        held: False where the file system knows no locks.

    Raises:
        CommitError: Another process has it.
        OSError: It cannot be opened.
    """

    __slots__ = ("_fd", "_system", "held")

    def __init__(self, system: System, path: str, name: str, *, shared: bool = False) -> None:
        self._system = system
        self._fd = -1
        self._fd = system.open_folder(path)
        self.held = True
        try:
            system.lock(self._fd, shared=shared)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _NO_LOCKS:
                self.held = False
                return
            self.release()
            if not isinstance(error, BlockingIOError):
                raise
            raise CommitError(
                name, "another fastsm is at work on it", on_disk="old", hint="try again later"
            ) from None

    def __del__(self) -> None:
        self.release()

    def is_on(self, path: str) -> bool:
        """Whether the locked folder is still the one at ``path``."""
        mine, there = self._system.fstat(self._fd), self._system.stat(path)
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                self._system.close(fd)
            except OSError:
                pass  # nothing was written to it


def clear_inside(system: System, folder: str) -> None:
    """Remove staged files that a crash left in a model; the caller holds its lock."""
    for name in system.names(folder):
        path = os.path.join(folder, name)
        if name.startswith(STAGED) and not stat.S_ISDIR(system.lstat(path).st_mode):
            system.unlink(path)


def clear_beside(system: System, path: str) -> None:
    """Remove the staged folder that a crash left beside ``path``.

    Raises:
        CommitError: A commit that still runs has it.
    """
    staged = staged_beside(path)
    try:
        lock = FolderLock(system, staged, path)
    except FileNotFoundError:
        return
    try:
        remove_tree(system, staged)
    finally:
        lock.release()


def remove_tree(system: System, path: str) -> None:
    """Remove a folder and all in it; links are removed, not followed."""
    folders = [path]
    for folder in folders:  # grows while it is walked
        # Without write permission its names cannot be removed; it is going anyway.
        if system.lstat(folder).st_mode & 0o700 != 0o700:
            system.chmod(folder, 0o700)
        for name in system.names(folder):
            below = os.path.join(folder, name)
            if stat.S_ISDIR(system.lstat(below).st_mode):
                folders.append(below)
            else:
                system.unlink(below)
    for folder in reversed(folders):
        system.remove_folder(folder)
