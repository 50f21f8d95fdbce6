"""The system calls of a commit, each a method of one small object.

Tests pass an object of their own that fails, delays or forgets them.
"""
from __future__ import annotations

import errno
import os
import sys

from .. import _core
from ..source import File

# ioctl(2) FICLONE of linux/fs.h, _IOW(0x94, 9, int) on x86, ARM and RISC-V.
_FICLONE = 0x40049409


class System:
    """What a commit asks of the operating system; each method raises OSError."""

    __slots__ = ()

    # reading

    def stat(self, path: str) -> os.stat_result:
        return os.stat(path)

    def lstat(self, path: str) -> os.stat_result:
        return os.lstat(path)

    def fstat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted: what is done to them is done in one order."""
        return sorted(os.listdir(path))

    def readlink(self, path: str) -> str:
        return os.readlink(path)

    def realpath(self, path: str) -> str:
        return os.path.realpath(path)

    def file(self, path: str) -> File:
        """A regular file opened for reading."""
        return File(path)

    def free(self, path: str) -> int | None:
        """Bytes that can still be written to a folder's file system; None: it does not say."""
        st = os.statvfs(path)
        return st.f_bavail * st.f_frsize if st.f_blocks else None

    # files

    def create(self, path: str, mode: int) -> int:
        """A new, empty file; the descriptor."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(path, flags, mode)

    def open_folder(self, path: str) -> int:
        # Not through a link: what is locked and cleared must be the folder of that name.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags)

    def close(self, fd: int) -> None:
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return os.write(fd, data)

    def allocate(self, fd: int, size: int) -> None:
        """Set disk blocks aside for a new file, so that they lie together."""
        code = _core.allocate(fd, size)
        if code:
            raise OSError(code, os.strerror(code))

    def begin_sync(self, fd: int, offset: int, n: int) -> None:
        """Let the disk begin with a part of a file, so that `sync` waits for less."""
        code = _core.begin_sync(fd, offset, n)
        if code:
            raise OSError(code, os.strerror(code))

    def copy(self, from_fd: int, to_fd: int, n: int, offset: int) -> int:
        """Copy in the kernel, to the descriptor's position; how many bytes that were."""
        # Pythons built for old systems, as conda's are, do not have it.
        if sys.platform != "linux" or not hasattr(os, "copy_file_range"):
            raise OSError(errno.ENOSYS, "no copy_file_range")
        return os.copy_file_range(from_fd, to_fd, n, offset_src=offset)

    def clone(self, from_fd: int, to_fd: int) -> None:
        """Let a file share the blocks of another until one of them is written."""
        import fcntl

        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "no FICLONE")
        fcntl.ioctl(to_fd, _FICLONE, from_fd)

    def sync(self, fd: int) -> None:
        """Wait until a file or a folder is on the disk."""
        if sys.platform == "darwin":
            import fcntl

            try:  # there, fsync leaves it in the drive's cache
                fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
                return
            except OSError:
                pass  # not every file system has it
        os.fsync(fd)

    def lock(self, fd: int, *, shared: bool) -> None:
        """Lock an open folder; BlockingIOError when another process has it."""
        import fcntl

        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    # names

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def exchange(self, a: str, b: str) -> None:
        """Let two paths change places in one step."""
        code = _core.exchange(os.fsencode(a), os.fsencode(b))
        if code:
            raise OSError(code, os.strerror(code), a, None, b)

    def link(self, old: str, new: str) -> None:
        """A second name for a file; of a symbolic link, for the link itself."""
        os.link(old, new, follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def make_folder(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def make_temporary(self) -> str:
        """A new folder in the system's place for temporary ones."""
        import tempfile

        return tempfile.mkdtemp(prefix="fastsm-")

    def remove_folder(self, path: str) -> None:
        os.rmdir(path)

    # attributes

    def chmod(self, target: int | str, mode: int) -> None:
        os.chmod(target, mode)

    def chown(self, target: int | str, user: int, group: int) -> None:
        if isinstance(target, str):
            os.chown(target, user, group, follow_symlinks=False)
        else:
            os.chown(target, user, group)

    def set_times(self, target: int | str, accessed_ns: int, modified_ns: int) -> None:
        times = (accessed_ns, modified_ns)
        if isinstance(target, str):
            os.utime(target, ns=times, follow_symlinks=False)
        else:
            os.utime(target, ns=times)

    def attributes(self, target: int | str) -> list[str]:
        """The names of the extended attributes; Python has them on Linux only."""
        return os.listxattr(target) if sys.platform == "linux" else []

    def attribute(self, target: int | str, name: str) -> bytes:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "no extended attributes")
        return os.getxattr(target, name)

    def set_attribute(self, target: int | str, name: str, value: bytes) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "no extended attributes")
        os.setxattr(target, name, value)
