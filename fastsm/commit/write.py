"""Sources and files onto the disk: gather, copy in the kernel, keep attributes, read back."""
from __future__ import annotations

import errno
import os
import stat

from .._core import Pipe
from ..errors import CommitError, RefusedError
from ..plan import pieces
from ..source import PATCH, Identity
from ..text import printable, size
from .task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..plan import Plan
    from ..source import Source
    from .system import System

# Fits the second-level cache. Measured on ext4, 1.9 GB shifted by five bytes, against cp
# of the file as it is: 64 KiB 1.4 times its time, 256 KiB 1.1 times, 1 MiB 1.3 times;
# copy_file_range, which must split every page, 2.4 times.
_BUFFER = 256 << 10

# A run of a file this long is worth a call of its own to the kernel.
_LONG = 1 << 20

# The most that one call copies, so that progress and Ctrl-C come through.
_STRIDE = 64 << 20

# Then it copies page to page.
_PAGE = 4096

# A stretch this long is worth a second thread, which reads while this one writes: 0.65 of
# cp's time for 1.9 GB on ext4, against 1.0 in one thread. Of a shorter one, waiting for
# each other takes what that saves.
_AHEAD = 32 << 20

# Copied runs are compared at this many bytes of either end.
_END = 4096

# What copy_file_range says where it cannot help; reading and writing then do.
_NO_COPY = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}

#: The way out of whatever cannot be done in the model's own place.
ELSEWHERE = "--out DIR writes the edited model to another place"

#: What can be done about what the system says.
HINTS = {errno.EMFILE: "ulimit -n allows more"}

#: What link(2) says where a file cannot have one more name: then it is copied.
NO_LINK = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}

# An owner or an extended attribute that may not be set is left, as cp -p leaves it.
_MAY_NOT = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


class Writer:
    """Writes new files for one commit.

    Args:
        sync: Whether to wait until what was written is on the disk.
        progress: Called with (bytes done, bytes in all).

    Attributes:
        doing: What is being done, for the message when it fails: "writing saved_model.pb".
        published: Whether the new model is what readers find.
        total: How many bytes there are to write.
        warnings: What the user should know.
    """

    __slots__ = (
        "_begun", "_buffer", "_copies", "_done", "_progress", "doing", "plan", "published", "sync",
        "system", "total", "warnings",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        system: System,
        sync: bool,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self.plan = plan
        self.system = system
        self.sync = sync
        self.doing = "opening the model"
        self.published = False
        self.total = 0
        self.warnings = list(plan.warnings)
        self._progress = progress
        self._done = 0
        self._buffer: memoryview | None = None
        self._copies = True
        self._begun = 0

    def put(
        self,
        source: Source,
        path: str,
        name: str,
        *,
        like: str | None,
        check: Callable[[str, Source], object] | None = None,
        pipe: Pipe | None = None,
        times: bool = False,
    ) -> os.stat_result:
        """Write a new file, sync it, read it back; what it is now.

        Args:
            name: What the model calls it.
            like: A file whose owner, mode and extended attributes it gets.
            check: Called with the name and the staged file, raises when that is wrong.
            pipe: From a thread that reads the source as well, for reasons of its own.
            times: Whether it gets the times of ``like`` as well.

        Raises:
            CommitError: It reads back differently from what was planned.
        """
        self.doing = f"writing {name}"
        system = self.system
        fd = system.create(path, 0o666 if like is None else 0o600)
        try:
            self._fill(fd, source, pipe)
            if like is not None:
                self.keep_attributes(like, system.stat(like), fd, times=times)
            if self.sync:
                system.sync(fd)
            st = system.fstat(fd)
        finally:
            system.close(fd)
        self.doing = f"reading {name} back"
        staged = system.file(path).source()
        at = _first_difference(source, staged)
        if at >= 0:
            raise CommitError(
                self.plan.path,
                f"{printable(name)} reads back differently from what was written",
                on_disk="old",
                offset=at,
            )
        if check is not None:
            check(name, staged)
        return st

    def copy(self, old: str, new: str, name: str) -> None:
        """Copy a file that does not change, its attributes and times with it.

        Raises:
            RefusedError: Somebody wrote to it meanwhile.
        """
        self.doing = f"copying {name}"
        file = self.system.file(old)
        self.put(file.source(), new, name, like=old, times=True)
        if Identity(self.system.fstat(file.fd)) != file.identity:
            problem = f"{printable(name)} changed while it was copied"
            raise RefusedError(self.plan.path, problem)

    def clone(self, old: str, new: str, name: str) -> bool:
        """Like `copy`, sharing blocks with the old file; False where that cannot be done."""
        self.doing = f"copying {name}"
        system = self.system
        file = system.file(old)
        fd = system.create(new, 0o600)
        try:
            try:
                system.clone(file.fd, fd)
            except OSError:
                system.unlink(new)
                return False
            self.keep_attributes(old, system.stat(old), fd, times=True)
            if self.sync:
                system.sync(fd)
        finally:
            system.close(fd)
        return True

    def keep_attributes(
        self, old: str, st: os.stat_result, new: int | str, *, times: bool = False
    ) -> None:
        """Give a new file or folder the owner, extended attributes and mode of an old one."""
        system = self.system
        self.keep_owner(st, new)
        try:
            for name in system.attributes(old):
                self._allowed(system.set_attribute, new, name, system.attribute(old, name))
        except OSError as error:
            if error.errno not in _MAY_NOT:
                raise
        # Last: a change of owner clears bits of the mode, and without write permission
        # no attribute can be set.
        system.chmod(new, stat.S_IMODE(st.st_mode))
        if times:
            system.set_times(new, st.st_atime_ns, st.st_mtime_ns)

    def keep_owner(self, st: os.stat_result, new: int | str) -> None:
        """Give a new file, folder or link the owner of an old one, as far as allowed."""
        system = self.system
        now = system.lstat(new) if isinstance(new, str) else system.fstat(new)
        if (now.st_uid, now.st_gid) != (st.st_uid, st.st_gid) and not self._allowed(
            system.chown, new, st.st_uid, st.st_gid
        ):
            # Who may not give a file away may still give it to another group of his.
            self._allowed(system.chown, new, -1, st.st_gid)

    def _allowed(self, call: Callable[..., object], *arguments: object) -> bool:
        """Make a call that may not be allowed here; whether it was."""
        try:
            call(*arguments)
        except OSError as error:
            if error.errno not in _MAY_NOT:
                raise
            return False
        return True

    def sync_folder(self, path: str) -> None:
        """Wait until the names in a folder are on the disk."""
        if self.sync:
            fd = self.system.open_folder(path)
            try:
                self.sync_open_folder(fd)
            finally:
                self.system.close(fd)

    def sync_open_folder(self, fd: int) -> None:
        if self.sync:
            try:
                self.system.sync(fd)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a file system that has no such thing
                    raise

    def check_space(self, folder: str, need: int) -> None:
        """Find out before a byte is written whether there is room.

        Raises:
            CommitError: There is not.
        """
        self.doing = "looking for free space"
        free = self.system.free(folder)
        if free is not None and free < need:
            raise CommitError(
                self.plan.path,
                f"needs {size(need)} free in {printable(folder, None)}, {size(free)} there",
                on_disk="old",
            )

    def _fill(self, fd: int, source: Source, pipe: Pipe | None) -> None:
        if source.size >= _LONG:
            self._allowed(self.system.allocate, fd, source.size)
        self._begun = 0  # everything before is on its way to the disk
        at = 0  # everything before has been written
        if pipe is not None:
            at = self._receive(fd, source, pipe, at)
        for start, length, origin, file in kernel_runs(source) if at == 0 else ():
            self._gather(fd, source, at, start)
            at = start + self._copy(fd, file, origin, length)
            self._begin_sync(fd, at)
        self._gather(fd, source, at, source.size)

    def _begin_sync(self, fd: int, end: int) -> None:
        """The disk works while the rest is copied, so that `sync` finds it half done.

        1.9 GB on ext4, synced, least of four runs each on a busy machine: 0.94 s; without
        this 1.5 s; cp and sync 1.4 s. The four lay far apart: up to 4.0, 4.2 and 9.7 s.
        """
        if self.sync and end - self._begun >= _STRIDE:
            self._allowed(self.system.begin_sync, fd, self._begun, end - self._begun)
            self._begun = end

    def _gather(self, fd: int, source: Source, start: int, end: int) -> None:
        """Write a stretch of a source through the buffer; a long one is read ahead."""
        if end - start >= _AHEAD:
            pipe = Pipe(source)
            if Task(lambda: _read(pipe, start, end)).begin():
                # Where that ended early, reading it here tells why.
                start = self._receive(fd, source, pipe, start)
        if start == end:
            return
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_BUFFER))
        while start < end:
            # To a multiple of the buffer first: whole pages go faster from there.
            part = self._buffer[: min(end - start, _BUFFER - start % _BUFFER)]
            source.readinto(start, part)
            self._write(fd, part, start)
            start += len(part)

    def _receive(self, fd: int, source: Source, pipe: Pipe, at: int) -> int:
        """Write what another thread reads, and what it leaves out, from ``at`` on; how far
        that went."""
        try:
            while (found := pipe.take()) is not None:
                start, part = found
                self._gather(fd, source, at, start)
                self._write(fd, part, start)
                at = start + len(part)
        finally:
            pipe.stop()
        return at

    def _write(self, fd: int, part: memoryview, at: int) -> None:
        n = len(part)
        self._count(n)
        while part:
            part = part[self.system.write(fd, part) :]
        self._begin_sync(fd, at + n)

    def _copy(self, fd: int, file: int, origin: int, length: int) -> int:
        """Copy a run of a file in the kernel, as far as that goes; how far it went."""
        done = 0
        while self._copies and done < length:
            try:
                n = self.system.copy(file, fd, min(length - done, _STRIDE), origin + done)
            except OSError as error:
                if error.errno not in _NO_COPY:
                    raise
                self._copies = False
                break
            if n == 0:  # the file ends here, or its file system pretends to have no size
                break
            done += n
            self._count(n)
        return done

    def _count(self, n: int) -> None:
        self._done += n
        if self._progress is not None:
            # Deferred content and backups are small, and were not counted before.
            self._progress(min(self._done, self.total), self.total)


def kernel_runs(source: Source) -> list[tuple[int, int, int, int]]:
    """The pieces of a source that the kernel copies well: long, and moved by whole pages."""
    return [
        (start, length, origin, file)
        for start, length, origin, file in pieces(source)
        if file != PATCH and length >= _LONG and (start - origin) % _PAGE == 0
    ]


def read_by_another(source: Source) -> bool:
    """Whether a source is written faster from what another thread reads."""
    return source.size >= _AHEAD and not kernel_runs(source)


def _read(pipe: Pipe, start: int, end: int) -> None:
    try:
        pipe.read(start, end)
    finally:
        pipe.end()


def _first_difference(planned: Source, staged: Source) -> int:
    """The offset of a byte that is not as planned, or -1.

    New bytes and short runs are compared whole; of a long run, the two ends.
    """
    if planned.size != staged.size:
        return int(min(planned.size, staged.size))
    at = 0  # everything before has been compared
    for start, length, _, file in pieces(planned):
        if file != PATCH and length >= _LONG:
            for low, high in ((at, start + _END), (start + length - _END, start + length)):
                differs = _compare(planned, staged, low, high)
                if differs >= 0:
                    return differs
            at = start + length
    return _compare(planned, staged, at, planned.size)


def _compare(a: Source, b: Source, start: int, end: int) -> int:
    """The offset of a window in which the sources differ, or -1."""
    while start < end:
        n = min(end - start, _BUFFER)
        if a.read(start, n) != b.read(start, n):
            return start
        start += n
    return -1
