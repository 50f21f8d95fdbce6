"""The edited model whole, in a folder that no reader finds, to be proved before it is published.

Where a commit stages a whole folder, that is it. Where it stages files beside the old ones, or
writes nothing, a folder is made for the time of the proof: links to what is there already, and
what is new.
"""

from __future__ import annotations

import os
import stat

from ..errors import RefusedError
from ..source import Identity
from ..text import printable
from .files import Files
from .lock import remove_tree
from .tree import Entry, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .items import Item
    from .write import Writer

    #: Called with the folder of the edited model. What it raises ends the commit; what it
    #: returns goes into the receipt.
    Prove = Callable[[str], dict[str, Any]]


class Shown(Tree):
    """The edited model in a folder of its own, for a while.

    Args:
        path: It is staged beside this, and never goes there.
        staged: Files that are staged already: name -> path. Others that are new are written.
    """

    __slots__ = ("_have",)

    def __init__(
        self, writer: Writer, items: list[Item], path: str, staged: Mapping[str, str]
    ) -> None:
        self._have = staged
        super().__init__(writer, items, None, out=path, link=False)

    def stage(self) -> None:
        """Build the folder; it need not outlive a power cut."""
        writer = self._writer
        total, sync = writer.total, writer.sync
        writer.sync = False
        try:
            super().stage()
        finally:
            writer.sync = sync
            writer.total += total

    def _entry(self, path: str, place: str, st: os.stat_result) -> Entry:
        try:
            return super()._entry(path, place, st)
        except RefusedError:  # what cannot be copied can be linked to
            return Entry(path, place, st, None)

    def _shares(self, entry: Entry) -> bool:
        if entry.text is not None:
            return super()._shares(entry)
        self._writer.system.symlink(entry.path, self._new(entry.place))
        return True

    def _write(self, item: Item) -> None:
        if item.name in self._have:
            self._writer.system.symlink(self._have[item.name], self._new(item.place))
        else:
            super()._write(item)

    def _size(self) -> int:
        return sum(item.size for item in self._items if item.name not in self._have)


def prove_staged(
    writer: Writer, items: list[Item], shape: Files | Tree, prove: Prove
) -> dict[str, Any] | None:
    """Have a commit's edited model proved, between staging and publishing.

    Returns:
        What the proof found; None where no file is another one.
    """
    if isinstance(shape, Tree):
        return _proved(writer, shape.folder, prove)
    if not shape.changes:
        return None
    return _show(Shown(writer, items, writer.plan.folder, shape.staged), writer, prove)


def prove_dry(writer: Writer, items: list[Item], prove: Prove) -> dict[str, Any]:
    """As `prove_staged`, for a dry run: what is new is written to a temporary folder."""
    writer.doing = "making a temporary folder"
    folder = writer.system.make_temporary()
    try:
        return _show(Shown(writer, items, os.path.join(folder, "model"), {}), writer, prove)
    finally:
        try:
            remove_tree(writer.system, folder)
        except OSError:
            pass  # a warning tells


def _show(shown: Shown, writer: Writer, prove: Prove) -> dict[str, Any]:
    try:
        shown.stage()
        return _proved(writer, shown.folder, prove)
    finally:
        shown.settle(False)


def _proved(writer: Writer, folder: str, prove: Prove) -> dict[str, Any]:
    """Have the model in a folder proved.

    Raises:
        RefusedError: It is another one afterwards: models can write files when they are run.
    """
    writer.doing = "proving the edited model"
    before = _files(writer, folder)
    record = prove(folder)
    after = _files(writer, folder)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            problem = f"{printable(name)} of the edited model changed while it was proved"
            raise RefusedError(writer.plan.path, problem)
    return record


def _files(writer: Writer, folder: str) -> dict[str, Identity]:
    """The files in a folder, at any depth; of a link what it leads to."""
    system, found, folders = writer.system, {}, [folder]
    for above in folders:  # grows while it is walked
        for name in system.names(above):
            path = os.path.join(above, name)
            st = system.lstat(path)
            if stat.S_ISDIR(st.st_mode):
                folders.append(path)
                continue
            if stat.S_ISLNK(st.st_mode):
                try:
                    st = system.stat(path)
                except FileNotFoundError:
                    pass  # it leads nowhere
            found[os.path.relpath(path, folder)] = Identity(st)
    return found
