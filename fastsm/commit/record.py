"""What is kept of an edit: the old bytes for `undo`, and a receipt of what was done.

A backup is minimal: the files that the edit changes or removes, as they were, below
``files/``, and a manifest with the digests of both versions. It is complete and on the
disk before the model changes. Both documents hold no time and no path of the machine
beyond those that the caller named, so the same edit gives the same bytes.
"""
from __future__ import annotations

import errno
import os
import stat

from ..source import from_bytes
from .items import warnings_of
from .lock import clear_beside, remove_tree, staged_beside
from .write import NO_LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan import Plan
    from .items import Item
    from .write import Writer

BACKUP_SCHEMA = "fastsm.backup/1"
RECEIPT_SCHEMA = "fastsm.receipt/1"

#: Names in a backup.
MANIFEST = "manifest.json"
FILES = "files"


class Backup:
    """The old bytes of what changes, in a folder of their own.

    A file with one name only is kept as a hard link, in no time: the commit never writes
    to it, and takes that name away. Others are copied.
    """

    __slots__ = ("_folder", "_items", "_made", "_stage", "_writer")

    def __init__(self, writer: Writer, items: list[Item], folder: str) -> None:
        self._writer = writer
        self._items = items
        self._folder = writer.system.realpath(folder)
        self._stage = staged_beside(self._folder)
        self._made: os.stat_result | None = None

    def stage(self) -> None:
        """Write it beside its place."""
        writer, system = self._writer, self._writer.system
        writer.doing = f"writing the backup {self._folder}"
        clear_beside(system, self._folder)
        system.make_folder(self._stage, 0o777)
        self._made = system.stat(self._stage)
        system.make_folder(os.path.join(self._stage, FILES), 0o777)
        folders = [self._stage, os.path.join(self._stage, FILES)]
        for item in self._items:
            if item.path is not None and not item.stays():
                parts = item.name.split("/")
                for i in range(1, len(parts)):
                    folder = os.path.join(self._stage, FILES, *parts[:i])
                    if folder not in folders:
                        system.make_folder(folder, 0o777)
                        folders.append(folder)
                self._keep(item, item.path, os.path.join(self._stage, FILES, *parts))
        manifest = {
            **_head(BACKUP_SCHEMA, writer.plan),
            "files": [record for _, record in _records(self._items)],
        }
        path = os.path.join(self._stage, MANIFEST)
        writer.put(from_bytes(_json(manifest)), path, MANIFEST, like=None)
        for folder in reversed(folders):
            writer.sync_folder(folder)

    def publish(self) -> None:
        """Let it appear, complete."""
        self._writer.doing = f"writing the backup {self._folder}"
        self._writer.system.rename(self._stage, self._folder)
        self._writer.sync_folder(os.path.dirname(self._folder))

    def settle(self, new: bool) -> None:
        """Without the edit there is nothing to undo: take it away."""
        if new or self._made is None:
            return
        system = self._writer.system
        for path in (self._stage, self._folder):
            try:
                st = system.lstat(path)
                if (st.st_dev, st.st_ino) == (self._made.st_dev, self._made.st_ino):
                    remove_tree(system, path)
            except OSError:
                pass  # a backup too many harms nobody: undo finds nothing to do

    def _keep(self, item: Item, old: str, new: str) -> None:
        writer, system = self._writer, self._writer.system
        st = system.lstat(old)
        if st.st_nlink == 1 and stat.S_ISREG(st.st_mode):
            try:
                system.link(old, new)
                return
            except OSError as error:
                if error.errno not in NO_LINK and error.errno != errno.EXDEV:
                    raise
        if not writer.clone(old, new, item.name):
            writer.copy(old, new, item.name)
        writer.doing = f"writing the backup {self._folder}"


class Receipt:
    """What was done, as JSON, in a file."""

    __slots__ = ("_items", "_made", "_out", "_path", "_stage", "_writer")

    def __init__(self, writer: Writer, items: list[Item], path: str, out: str | None) -> None:
        self._writer = writer
        self._items = items
        self._path = writer.system.realpath(path)
        self._stage = staged_beside(self._path)
        self._made = False
        self._out = out

    def stage(self, parity: dict[str, Any] | None) -> None:
        """Write it beside its place, so that a full disk is found before the edit.

        Args:
            parity: What the proof of the edited model found; None without one.
        """
        writer = self._writer
        writer.doing = f"writing the receipt {self._path}"
        files = [
            {**record, "untouched": [list(run) for run in item.change().untouched()]}
            for item, record in _records(self._items)
        ]
        receipt = {
            **_head(RECEIPT_SCHEMA, writer.plan),
            "path": writer.plan.path,
            "out": self._out,
            "changed": bool(files),
            "files": files,
            "parity": parity,
            "warnings": writer.warnings + warnings_of(self._items),
        }
        try:
            writer.system.unlink(self._stage)  # of a run that was cut short
        except FileNotFoundError:
            pass
        self._made = True
        writer.put(from_bytes(_json(receipt)), self._stage, self._path, like=None)

    def publish(self) -> None:
        """Give it its name."""
        self._writer.doing = f"writing the receipt {self._path}"
        self._writer.system.rename(self._stage, self._path)
        self._writer.sync_folder(os.path.dirname(self._path))

    def settle(self, new: bool) -> None:
        """Of a model that is new there is a receipt, of another none."""
        if not self._made:
            return
        system = self._writer.system
        try:
            if new:
                system.rename(self._stage, self._path)
            else:
                system.unlink(self._stage)
        except OSError:
            pass


def _head(schema: str, plan: Plan) -> dict[str, Any]:
    from .. import __version__

    return {
        "schema": schema,
        "fastsm": __version__,
        "verb": plan.verb,
        "arguments": plan.arguments,
    }


def _records(items: list[Item]) -> list[tuple[Item, dict[str, Any]]]:
    changed = sorted((i for i in items if not i.stays()), key=lambda item: item.name)
    return [(item, item.record()) for item in changed]


def _json(document: dict[str, Any]) -> bytes:
    import json

    return (json.dumps(document, indent=1) + "\n").encode("ascii")
