"""The files that a commit changes: where each lies, what it held, what it will hold.

Deferred content and digests may read gigabytes: they are computed beside the copying,
each in a thread of its own. One that is computed from a file that is written hands on what
it reads, so that the file is read once.
"""
from __future__ import annotations

import os

from ..errors import RefusedError
from ..plan import Change, Deferred, same, whole_file
from ..source import from_bytes
from ..text import printable
from .task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Pipe
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
    """

    __slots__ = (
        "_after", "_before", "_deferred", "_new", "_reader", "_pipe", "_task", "name", "old",
        "path", "place", "warning",
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
        self._reader: Item | None = None
        self._pipe: Pipe | None = None
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

    def begin(self, pipe: Pipe | None = None) -> bool:
        """Let deferred content be computed in a thread of its own from now on.

        Args:
            pipe: Over what it is computed from: hands on what is read of that.

        Returns:
            Whether there is such a thread now; only then the pipe will be ended.
        """
        if self._task is None:
            return False
        self._pipe = pipe
        begun = self._task.begin()
        if not begun:
            self._pipe = None
        return begun

    def is_read_by(self, item: Item) -> bool:
        """Whether another item is computed from this one's new content; then `begin_beside`
        begins it."""
        if item._deferred is None or self._new is None or item._deferred.of is not self._new:
            return False
        self._reader = item
        return True

    def begin_beside(self, pipe: Pipe | None) -> bool:
        """Begin what is computed from this file's new content, if anything is."""
        return self._reader is not None and self._reader.begin(pipe)

    def _compute(self) -> tuple[bytes | None, str | None]:
        assert self._deferred is not None
        pipe = self._pipe
        if pipe is None:
            return self._deferred.compute(self._deferred.of)
        try:
            return self._deferred.compute(pipe.tapped)
        finally:
            pipe.end()

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


def items_of(plan: Plan, system: System, *, elsewhere: bool, digests: bool) -> list[Item]:
    """The plan's files in the order to write them: known, deferred, to be removed.

    Args:
        elsewhere: The model is written to another folder, where links that lead out of
            it become real files.

    Raises:
        RefusedError: A file lies outside the model, through a link.
    """
    writes = sorted(plan.writes.items(), key=lambda w: (isinstance(w[1], Deferred), w[0]))
    known = [content.size for _, content in writes if not isinstance(content, Deferred)]
    beside = sum(known) >= _LARGE
    items = []
    for name, content in [*writes, *((name, None) for name in sorted(plan.removes))]:
        path = os.path.join(plan.folder, name)
        old = plan.reads.get(name)
        if old is None:
            try:
                old = system.file(path)
            except FileNotFoundError:
                pass
            except (IsADirectoryError, ValueError):
                problem = f"{printable(name)} is there, and is not a file"
                raise RefusedError(plan.path, problem) from None
        place = _place(plan, system, name, content is None, elsewhere)
        items.append(Item(name, path, place, old, content, beside=beside, digests=digests))
    if beside:
        _begin(items)
    return items


def _begin(items: list[Item]) -> None:
    """Begin with deferred content; but what is computed from a file that is written waits
    for that, to read it together."""
    for item in items:
        if not any(other.is_read_by(item) for other in items):
            item.begin()


def _place(plan: Plan, system: System, name: str, goes: bool, elsewhere: bool) -> str:
    """Where below the model's folder the bytes of a name lie."""
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
