"""The third shape of a commit, ``--out``, and a new model: a whole folder, staged beside and
put in place.

In place, files that do not change are hard links to the old ones, the staged folder
changes places with the model in one step, and then the old one is deleted. For
``--out`` they are copies, sharing blocks where the file system can, and one rename lets
the new folder appear complete. Folders, links, modes, owners, extended attributes and
times are kept either way.

The folder in place is then another one of the same name: a shell that stands in the
model's folder stands in a deleted one afterwards.
"""
from __future__ import annotations

import errno
import os
import stat

from ..errors import CommitError, RefusedError
from ..text import printable
from .lock import STAGED, FolderLock, clear_beside, clear_inside, remove_tree, staged_beside
from .write import ELSEWHERE, NO_LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..source import Source
    from .items import Item
    from .write import Writer


# What the system says of two folders that it cannot exchange: they are on different
# mounts, or the file system or the kernel has no such call.
_APART = {errno.EXDEV, errno.EBUSY}
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


class Entry:
    """A file that does not change.

    Attributes:
        path: Where its bytes are now.
        place: Its path in the new folder.
        st: What it is; of a link, the link's own.
        text: Where a link leads, None for a file.
    """

    __slots__ = ("path", "place", "st", "text")

    def __init__(self, path: str, place: str, st: os.stat_result, text: str | None) -> None:
        self.path = path
        self.place = place
        self.st = st
        self.text = text


def _above(places: Iterable[str]) -> set[str]:
    """The folders that these lie in, at any depth."""
    found: set[str] = set()
    for place in places:
        while (place := os.path.dirname(place)) and place not in found:
            found.add(place)
    return found


class Tree:
    """Stages a complete folder and puts it in place.

    Args:
        out: Where it goes; None: in the place of the model.
        link: For ``out``, hard links where files do not change.

    Raises:
        RefusedError: The folder holds something that cannot be copied.
    """

    __slots__ = (
        "_check", "_clones", "_entries", "_folders", "_in_place", "_items", "_links", "_lock",
        "_published", "_root", "_stage", "_staged", "_target", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        writer: Writer,
        items: list[Item],
        check: Callable[[str, Source], object] | None,
        *,
        out: str | None,
        link: bool,
    ) -> None:
        self._writer = writer
        self._items = items
        self._check = check
        self._in_place = out is None
        self._links = link or out is None
        self._clones = True
        self._root = writer.plan.folder
        self._target = self._root if out is None else writer.system.realpath(out)
        self._stage = staged_beside(self._target)
        self._lock: FolderLock | None = None
        self._published = False
        self._staged: os.stat_result | None = None
        # (place, what it is; None: it is new), each after its parent.
        self._folders: list[tuple[str, os.stat_result | None]] = []
        self._entries: list[Entry] = []
        self._survey()

    @property
    def folder(self) -> str:
        """Where the new folder is staged."""
        return self._stage

    def space(self) -> tuple[str, int]:
        """The folder that must have room, and for how many bytes, not counting copies."""
        return os.path.dirname(self._target), self._size()

    def clear(self) -> None:
        """Remove what a crash left behind."""
        self._writer.doing = "clearing away what a crash left behind"
        if self._in_place:
            clear_inside(self._writer.system, self._root)
        clear_beside(self._writer.system, self._target)

    def stage(self) -> None:
        """Build the new folder beside its place."""
        writer, system = self._writer, self._writer.system
        writer.doing = f"making {self._stage}"
        system.make_folder(self._stage, 0o777 if self._folders[0][1] is None else 0o700)
        self._staged = system.stat(self._stage)
        self._lock = FolderLock(system, self._stage, self._target)
        for place, _ in self._folders[1:]:
            system.make_folder(self._new(place), 0o700)
        copies = [entry for entry in self._entries if not self._shares(entry)]
        writer.total = sum(entry.st.st_size for entry in copies) + self._size()
        writer.check_space(os.path.dirname(self._target), writer.total)
        for entry in copies:
            writer.copy(entry.path, self._new(entry.place), entry.place)
        for item in self._items:
            self._write(item)
        self._finish_folders()

    def publish(self) -> None:
        """Let the new folder appear."""
        system = self._writer.system
        if self._in_place:
            self._writer.doing = "exchanging the old folder and the new one"
            try:
                system.exchange(self._stage, self._target)
            except OSError as error:
                if error.errno in _APART:
                    raise self._apart("") from error
                if error.errno in _NO_EXCHANGE:
                    raise self._impossible(
                        "this file system cannot exchange two folders in one step"
                    ) from error
                raise
        else:
            self._writer.doing = f"renaming the new folder to {self._target}"
            system.rename(self._stage, self._target)
        self._published = True
        self._writer.sync_folder(os.path.dirname(self._target))

    def is_new(self) -> bool:
        """Whether a reader finds the new folder now: the disk is asked, not remembered."""
        if self._staged is None:
            return False
        try:
            there = self._writer.system.lstat(self._target)
        except FileNotFoundError:
            return False
        except OSError:
            return self._published
        return (there.st_dev, there.st_ino) == (self._staged.st_dev, self._staged.st_ino)

    def settle(self, new: bool) -> None:
        """Delete the folder that no reader finds: the old one, or the staged one."""
        writer = self._writer
        if self._staged is None:  # what is there, if anything, is another's
            return
        try:
            if new and self._in_place:
                # Until the exchange is on the disk, a power cut could bring the old one back.
                writer.sync_folder(os.path.dirname(self._target))
            remove_tree(writer.system, self._stage)
        except FileNotFoundError:
            pass
        except OSError as error:
            writer.warnings.append(
                f"{printable(self._stage, None)} could not be deleted ({error.strerror}); "
                "the next edit will"
            )
        finally:
            if self._lock is not None:
                self._lock.release()

    def _survey(self) -> None:
        """List what the folder holds and what becomes of it."""
        system = self._writer.system
        changed = {item.place for item in self._items}
        if self._writer.plan.new:
            self._folders.append(("", None))
            return
        root = system.stat(self._root)
        if self._in_place and system.stat(os.path.dirname(self._root)).st_dev != root.st_dev:
            raise self._apart("")
        self._folders.append(("", root))
        for folder, _ in self._folders:  # grows while it is walked
            for name in system.names(os.path.join(self._root, folder)):
                place = os.path.join(folder, name)
                path = os.path.join(self._root, place)
                st = system.lstat(path)
                if stat.S_ISDIR(st.st_mode):
                    if self._in_place and st.st_dev != root.st_dev:
                        raise self._apart(place)
                    self._folders.append((place, st))
                elif place not in changed and not place.startswith(STAGED):
                    self._entries.append(self._entry(path, place, st))
        self._drop_emptied()

    def _drop_emptied(self) -> None:
        """Leave out folders that removed files leave empty; not those of the model itself."""
        removes = self._writer.plan.removes
        gone = _above(item.place for item in self._items if item.name in removes)
        kept = _above(item.place for item in self._items if item.name not in removes)
        kept |= _above(entry.place for entry in self._entries)
        # A folder in which nothing was removed stays, be it empty, and those above it.
        rest = [place for place, _ in self._folders if place not in gone]
        kept.update(rest, _above(rest))
        self._folders = [f for f in self._folders if f[0] in kept or "/" not in f[0]]

    def _entry(self, path: str, place: str, st: os.stat_result) -> Entry:
        system = self._writer.system
        if stat.S_ISREG(st.st_mode):
            return Entry(path, place, st, None)
        if not stat.S_ISLNK(st.st_mode):
            if self._links:
                return Entry(path, place, st, None)
            raise RefusedError(
                self._writer.plan.path,
                f"{printable(place)} is a pipe, a socket or a device: not copied",
            )
        text = system.readlink(path)
        real = system.realpath(path)
        if self._in_place or not os.path.exists(real):
            return Entry(path, place, st, text)
        if os.path.join(real, "").startswith(os.path.join(self._root, "")):
            # A link into the model stays one, into the new model.
            above = os.path.normpath(os.path.join(os.path.dirname(place), text)).split("/")[0]
            if os.path.isabs(text) or above == "..":
                text = os.path.relpath(real, os.path.dirname(path))
            return Entry(path, place, st, text)
        st = system.stat(real)
        if not stat.S_ISREG(st.st_mode):
            raise RefusedError(
                self._writer.plan.path,
                f"{printable(place)} is a link to {printable(real, None)}, outside the model "
                "and not a file",
                hint="copy the model with cp -rL first, if that is meant to be part of it",
            )
        return Entry(real, place, st, None)

    def _shares(self, entry: Entry) -> bool:
        """Put an unchanged file in place without copying its bytes, if that can be done."""
        writer, system = self._writer, self._writer.system
        new = self._new(entry.place)
        writer.doing = f"linking {entry.place}"
        if self._links and (entry.text is None or self._in_place):
            try:
                system.link(entry.path, new)
                return True
            except OSError as error:
                if error.errno == errno.EXDEV and self._in_place:
                    raise self._apart("") from error  # a bind mount has its parent's device
                if error.errno not in NO_LINK and error.errno != errno.EXDEV:
                    raise
        if entry.text is not None:
            system.symlink(entry.text, new)
            writer.keep_owner(entry.st, new)
            system.set_times(new, entry.st.st_atime_ns, entry.st.st_mtime_ns)
            return True
        if self._clones:
            self._clones = writer.clone(entry.path, new, entry.place)
            return self._clones
        return False

    def _write(self, item: Item) -> None:
        """Put a changed file in place, and the folders above it that are new."""
        if item.new is None:
            return
        have = {place for place, _ in self._folders}
        above: list[str] = []
        while (parent := os.path.dirname(above[-1] if above else item.place)) not in have:
            above.append(parent)
        for place in reversed(above):
            self._writer.system.make_folder(self._new(place), 0o777)
            self._folders.append((place, None))
        new = self._new(item.place)
        whole = item.path if item.stays() else item.moved_from
        if whole is None:
            self._writer.put(
                item.new, new, item.name,
                like=item.path, check=self._check, pipe=item.pipe,
            )  # fmt: skip
            return
        system = self._writer.system
        real = system.realpath(whole)  # another name of a link would lead elsewhere
        if not self._may_share(real) or not self._shares(
            Entry(real, item.place, system.stat(real), None)
        ):
            self._writer.copy(whole, new, item.name)

    def _size(self) -> int:
        """Bytes of the changed files that must be written, not linked."""
        return sum(
            item.size
            for item in self._items
            if not (self._links and item.moved_from and self._may_share(item.moved_from))
        )

    def _may_share(self, path: str) -> bool:
        """Whether a file may become one of the new folder's as it is.

        Not one from outside the model, and in place only one that the new folder has no
        longer under its old name: two names of one file would be a trap for whoever
        writes to one of them. What a new model is made of is all from outside.
        """
        system = self._writer.system
        real = system.realpath(path)
        if self._writer.plan.new:
            beside = os.path.dirname(self._target)
            return system.stat(real).st_dev == system.stat(beside).st_dev
        if self._in_place:
            return real in (os.path.join(self._root, item.place) for item in self._items)
        return real.startswith(os.path.join(self._root, ""))

    def _finish_folders(self) -> None:
        """Give the folders their attributes and sync them, each after what is in it."""
        writer, system = self._writer, self._writer.system
        changed = {os.path.dirname(item.place) for item in self._items if not item.stays()}
        for place, st in reversed(self._folders):
            new = self._new(place)
            writer.doing = f"finishing {place or self._stage}"
            fd = system.open_folder(new)  # before its mode may forbid that
            try:
                if st is not None:
                    old = os.path.join(self._root, place)
                    times = bool(place) and place not in changed
                    writer.keep_attributes(old, st, fd, times=times)
                writer.sync_open_folder(fd)
            finally:
                system.close(fd)

    def _apart(self, place: str) -> CommitError:
        what = f"{printable(place)} is" if place else "its folder is"
        return self._impossible(f"{what} a mount point, and cannot be exchanged in one step")

    def _impossible(self, problem: str) -> CommitError:
        return CommitError(self._writer.plan.path, problem, on_disk="old", hint=ELSEWHERE)

    def _new(self, place: str) -> str:
        return os.path.join(self._stage, place) if place else self._stage
