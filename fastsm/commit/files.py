"""The first two shapes of a commit: one file, or one file and fingerprint.pb, in place.

Each new file is staged in the model's folder and renamed over the old one, which is
never written to: whoever has it open, or linked, keeps it as it was.

With a fingerprint beside it, the order of the names decides what a crash can show:

    fingerprint.pb   -> .fastsm-stage.old    old file, no fingerprint
    .fastsm-stage.0  -> saved_model.pb       new file, no fingerprint: the commit point
    .fastsm-stage.1  -> fingerprint.pb       new file, new fingerprint

so a fingerprint that is there is true. Each step is on the disk before the next.
"""
from __future__ import annotations

import os

from .lock import STAGED, clear_beside, clear_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..source import Source
    from .items import Item
    from .write import Writer

FINGERPRINT = "fingerprint.pb"


class Files:
    """Replaces or removes one file, and fingerprint.pb with it."""

    __slots__ = (
        "_check", "_folder", "_items", "_published", "_staged", "_stash", "_steps", "_writer",
    )  # fmt: skip

    def __init__(
        self, writer: Writer, items: list[Item], check: Callable[[str, Source], object] | None
    ) -> None:
        self._writer = writer
        self._check = check
        self._folder = writer.plan.folder
        # The fingerprint last: it must not be there before what it describes.
        self._items = sorted(items, key=lambda item: item.name == FINGERPRINT)
        self._stash = os.path.join(self._folder, f"{STAGED}.old")
        self._staged: list[str] = []
        self._published = False
        # (item, its staged path or None to remove it, what is staged) of what changes.
        self._steps: list[tuple[Item, str | None, os.stat_result | None]] = []

    @staticmethod
    def fits(folder: str, items: list[Item]) -> bool:
        """Whether these files can be replaced so that a crash shows no mixture."""
        others = sum(item.name != FINGERPRINT for item in items)
        return others <= 1 and all(
            os.path.isdir(os.path.dirname(os.path.join(folder, item.place))) for item in items
        )

    @property
    def changes(self) -> bool:
        """Whether anything is to be published, once it is staged."""
        return bool(self._steps)

    @property
    def staged(self) -> dict[str, str]:
        """Where the new files are, by their names."""
        return {item.name: path for item, path, _ in self._steps if path is not None}

    def space(self) -> tuple[str, int]:
        """The folder that must have room, and for how many bytes."""
        return self._folder, self._size()

    def clear(self) -> None:
        """Remove what a crash left behind."""
        self._writer.doing = "clearing away what a crash left behind"
        clear_inside(self._writer.system, self._folder)
        clear_beside(self._writer.system, self._folder)

    def stage(self) -> None:
        """Write the new files beside the old ones."""
        self._writer.total = self._size()
        for i, item in enumerate(self._items):
            if item.stays():
                continue
            if item.new is None:
                self._steps.append((item, None, None))
                continue
            path = os.path.join(self._folder, f"{STAGED}.{i}")
            self._staged.append(path)  # before it is there: it must be cleared away
            like = item.path or item.moved_from
            st = self._writer.put(
                item.new, path, item.name,
                like=like, check=self._check, pipe=item.pipe,
            )  # fmt: skip
            self._steps.append((item, path, st))

    def publish(self) -> None:
        """Put the new names in place; the first of them decides."""
        system = self._writer.system
        hidden = len(self._steps) == 2 and self._steps[1][0].path is not None
        if hidden:
            fingerprint = self._steps[1][0]
            self._writer.doing = f"replacing {fingerprint.name}"
            system.rename(self._target(fingerprint), self._stash)
            self._sync(fingerprint)
        for i, (item, path, _) in enumerate(self._steps):
            self._writer.doing = f"replacing {item.name}"
            if path is not None:
                system.rename(path, self._target(item))
            elif i == 0:
                system.unlink(self._target(item))
            self._published = True
            self._sync(item)
            if path is None:
                self._drop_emptied(item)

    def _drop_emptied(self, item: Item) -> None:
        """Remove the folders that a removed file left empty; not those of the model itself."""
        folder = os.path.dirname(item.place)
        while "/" in folder:
            try:
                self._writer.system.remove_folder(os.path.join(self._folder, folder))
            except OSError:
                return  # most often because it is not empty
            folder = os.path.dirname(folder)

    def is_new(self) -> bool:
        """Whether a reader finds the new model now: the disk is asked, not remembered."""
        if not self._steps:
            return False
        item, path, staged = self._steps[0]
        try:
            there = self._lstat(self._target(item))
        except OSError:
            return self._published
        if staged is None or there is None:
            return path is None and there is None
        return (staged.st_dev, staged.st_ino) == (there.st_dev, there.st_ino)

    def settle(self, new: bool) -> None:
        """Complete the new model or put the old one back, as far as can be; clear away."""
        if len(self._steps) == 2:
            try:
                self._settle_fingerprint(new)
            except OSError:
                pass  # then there is none, which is true as well
        for path in (*self._staged, self._stash):
            try:
                self._writer.system.unlink(path)
            except OSError:
                pass  # the next commit clears it

    def _settle_fingerprint(self, new: bool) -> None:
        """Put the fingerprint beside the file that it describes, if it is not there."""
        (item, staged, _), (fingerprint, path, _) = self._steps
        if not new:
            # The old one, but only where the old file is sure to be: its successor still
            # has its staged name.
            path = self._stash if self._lstat(staged or self._target(item)) else None
        if path and self._lstat(path) and not self._lstat(self._target(fingerprint)):
            self._sync(item)
            self._writer.system.rename(path, self._target(fingerprint))
            self._sync(fingerprint)

    def _size(self) -> int:
        return sum(item.size for item in self._items)

    def _target(self, item: Item) -> str:
        return os.path.join(self._folder, item.place)

    def _sync(self, item: Item) -> None:
        self._writer.sync_folder(os.path.dirname(self._target(item)))

    def _lstat(self, path: str) -> os.stat_result | None:
        try:
            return self._writer.system.lstat(path)
        except FileNotFoundError:
            return None
