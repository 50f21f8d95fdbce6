"""The files that a commit changes: where each lies, what it held, what it will hold.

Deferred content and digests may read gigabytes: they are computed beside the copying,
each in a thread of its own. One that is computed from a file that is written hands on what
it reads, so that the file is read once.
"""
from __future__ import annotations

import os

from .._core import Pipe
from ..errors import RefusedError
from ..plan import Change, Deferred, same, whole_file
from ..source import from_bytes
from ..text import printable
from .task import Task
from .write import read_by_another

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan import Plan
    from ..source import File, Source
    from .system import System

# Below this a thread costs more than it saves.
_LARGE = 1 << 20

_WINDOW = 256 << 10


class Item:
    """One file that a commit changes.

    Attributes:
        name: Its path in the model, as the plan has it.
        place: The path where its bytes lie, after links; for a file to be removed, and
            for one that lies outside the model, the name.
        old: The file as it was, None when it is new.
        path: Where it is, None when it is new.
        warning: What its deferred content had to say.
        pipe: Hands on what another thread reads of its new content, or None. Must be
            stopped in the end.
    """

    __slots__ = (
        "_after", "_before", "_deferred", "_new", "_pipe", "_task", "name", "old", "path",
        "pipe", "place", "warning",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        path: str,
        place: str,
        old: File | None,
        content: Source | Deferred | None,
        *,
        beside: bool,
        digests: bool,
    ) -> None:
        self.name = name
        self.path = None if old is None else path
        self.place = place
        self.old = old
        self.warning: str | None = None
        self._new: Source | None = None
        self._task: Task | None = None
        self._before: Task | None = None
        self._after: Task | None = None
        self._deferred = content if isinstance(content, Deferred) else None
        self.pipe: Pipe | None = None
        self._pipe: Pipe | None = None  # of the item that this one is computed from
        if isinstance(content, Deferred):
            self._task = Task(self._compute)
        else:
            self._new = content
        if digests and old is not None:
            self._before = Task(lambda: state(old.source()))
        if digests and self._deferred is None:
            self._after = Task(lambda: state(self._new))
        for task in (self._before, self._after):
            if beside and task is not None:
                task.begin()

    @property
    def new(self) -> Source | None:
        """What it will hold, None when it goes; waits for deferred content."""
        if self._task is not None:
            data, self.warning = self._task.result()
            self._task = None
            if data is not None:
                self._new = from_bytes(data)
        return self._new

    def begin(self, items: list[Item], *, hand_on: bool) -> None:
        """Let deferred content be computed in a thread of its own from now on.

        Args:
            items: Those of the commit: one of them may be what it is computed from.
            hand_on: Whether to hand on what is read of that, by its `pipe`.
        """
        if self._task is None:
            return
        of = self._deferred.of if self._deferred is not None else None
        for item in items:
            if hand_on and item._new is of is not None and read_by_another(of):
                self._pipe = item.pipe = Pipe(of)
        if not self._task.begin():
            for item in items:
                if item.pipe is self._pipe:
                    item.pipe = None
            self._pipe = None

    def _compute(self) -> tuple[bytes | None, str | None]:
        assert self._deferred is not None
        if self._pipe is None:
            return self._deferred.compute(self._deferred.of)
        try:
            return self._deferred.compute(self._pipe.tapped)
        finally:
            self._pipe.end()

    @property
    def size(self) -> int:
        """Bytes to write, as far as that is known; deferred content is small."""
        return 0 if self._new is None else self._new.size

    @property
    def moved_from(self) -> str | None:
        """The file that it becomes another name of, where it is that and replaces none."""
        file = whole_file(self._new) if self._new is not None and self.path is None else None
        return file.path if file is not None else None

    def stays(self) -> bool:
        """Whether it comes out as it was: then it is not touched."""
        if self.new is None or self.old is None:
            return self.new is None and self.old is None
        return self._deferred is not None and same(self.old.source(), self.new)

    def let_go(self) -> None:
        """Nothing more is wanted: no thread waits for who would write what it read."""
        if self.pipe is not None:
            self.pipe.stop()

    def change(self) -> Change:
        """What becomes of it, for the report."""
        return Change(self.name, self.old, self.new)

    def record(self) -> dict[str, Any]:
        """Size and digest before and after, for the receipt and the backup."""
        return {
            "path": self.name,
            "before": self._before.result() if self._before else None,
            "after": self._after.result() if self._after else state(self.new),
        }


def state(source: Source | None) -> dict[str, Any] | None:
    """Size and digest of a file, None of one that is not there."""
    return None if source is None else {"size": source.size, "sha256": digest(source)}


def digest(source: Source) -> str:
    """The SHA-256 of a source, in hexadecimal."""
    import hashlib

    sha = hashlib.sha256()
    buffer = memoryview(bytearray(min(_WINDOW, source.size)))
    at = 0
    while at < source.size:
        part = buffer[: source.size - at]
        source.readinto(at, part)
        sha.update(part)
        at += len(part)
    return sha.hexdigest()


def warnings_of(items: list[Item]) -> list[str]:
    """What deferred contents had to say, once they are computed."""
    return [item.warning for item in items if item.warning]


def items_of(
    plan: Plan, system: System, *, elsewhere: bool, digests: bool, dry_run: bool
) -> list[Item]:
    """The plan's files in the order to write them: known, deferred, to be removed.

    What takes long is begun, in threads: `let_go` of the items in the end.

    Args:
        elsewhere: The model is written to another folder, where links that lead out of
            it become real files.
        digests: Whether a record wants them.
        dry_run: Nothing will be written.

    Raises:
        RefusedError: A file lies outside the model, through a link.
    """
    if not elsewhere:
        _check_moved(plan, system)
    writes = sorted(plan.writes.items(), key=lambda w: (isinstance(w[1], Deferred), w[0]))
    known = [content.size for _, content in writes if not isinstance(content, Deferred)]
    beside = sum(known) >= _LARGE
    items = []
    for name, content in [*writes, *((name, None) for name in sorted(plan.removes))]:
        path = os.path.join(plan.folder, name)
        old = plan.reads.get(name)
        if old is None and not plan.new:
            try:
                old = system.file(path)
            except FileNotFoundError:
                pass
            except (IsADirectoryError, ValueError):
                problem = f"{printable(name)} is there, and is not a file"
                raise RefusedError(plan.path, problem) from None
        place = _place(plan, system, name, content is None, elsewhere)
        items.append(Item(name, path, place, old, content, beside=beside, digests=digests))
    for item in items:
        if beside:
            item.begin(items, hand_on=not dry_run)
    return items


def _check_moved(plan: Plan, system: System) -> None:
    """Refuse to move a file of the model that is a link out of it: what it leads to is
    another's."""
    for content in plan.writes.values():
        file = None if isinstance(content, Deferred) else whole_file(content)
        for name, read in plan.reads.items() if file is not None else ():
            if read is file:
                _place(plan, system, name, goes=False, elsewhere=False)


def _place(plan: Plan, system: System, name: str, goes: bool, elsewhere: bool) -> str:
    """Where below the model's folder the bytes of a name lie."""
    if plan.new:
        return name
    path = os.path.join(plan.folder, name)
    if goes:  # the link goes, not what it leads to
        parent, last = os.path.split(path)
        real = os.path.join(system.realpath(parent), last)
    else:
        real = system.realpath(path)
    if real == path:
        return name
    inside = os.path.join(plan.folder, "")
    if real.startswith(inside):
        return real[len(inside) :]
    if elsewhere:
        return name
    raise RefusedError(
        plan.path,
        f"{printable(name)} is a link to {printable(real, None)}, outside the model",
        hint="--out DIR writes a model of real files",
    )
