"""System objects that fail: at the Nth call, or as a power cut does.

A power cut is modelled pessimistically. The bytes of a file are sure once the file was
synced; the names in a folder, once that folder was. What was not synced is lost or kept,
in any combination: changes of names reach the disk in any order, as long as changes of
the same name keep theirs.
"""
from __future__ import annotations

import itertools
import os
import random
import stat
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

from fastsm.commit import System

CALLS = {name for name in vars(System) if not name.startswith("_")}

#: The calls between which a disk is never another.
CHANGING = {
    "create", "write", "copy", "clone", "sync", "rename", "exchange", "link", "symlink",
    "unlink", "make_folder", "make_temporary", "remove_folder",
}  # fmt: skip


class Counting(System):
    """Passes every call on, and lets `call` act before and after."""

    def __init__(self) -> None:
        self.n = 0
        self.log: list[str] = []

    def call(self, name: str, real: Callable[[], Any], arguments: tuple) -> Any:
        return real()


def _wrap(name: str) -> Callable[..., Any]:
    original = getattr(System, name)

    def method(self: Counting, *args: Any, **kwargs: Any) -> Any:
        self.n += 1
        self.log.append(name)
        # A real sync proves nothing here, and takes milliseconds.
        real = (lambda: None) if name == "sync" else lambda: original(self, *args, **kwargs)
        return self.call(name, real, args)

    method.__name__ = name
    return method


for _name in CALLS:
    setattr(Counting, _name, _wrap(_name))


class FailAt(Counting):
    """Raises at the Nth call, before it is made or after it was."""

    def __init__(self, at: int, error: BaseException, *, after: bool = False) -> None:
        super().__init__()
        self.at = at
        self.error = error
        self.after = after

    @property
    def failed(self) -> bool:
        return self.n >= self.at

    def call(self, name: str, real: Callable[[], Any], arguments: tuple) -> Any:
        if self.n != self.at:
            return real()
        if self.after or name == "close":  # close(2) closes, whatever it then says
            real()
        raise self.error


class FailFrom(Counting):
    """Raises at each call of the given names, from the Nth on."""

    def __init__(self, at: int, error: OSError, which: Container[str]) -> None:
        super().__init__()
        self.at = at
        self.error = error
        self.which = which
        self.failed = False

    def call(self, name: str, real: Callable[[], Any], arguments: tuple) -> Any:
        if self.n < self.at or name not in self.which:
            return real()
        self.failed = True
        raise self.error


class FailOn(Counting):
    """Raises an error at each call of one name; of the Nth of them, where that is given."""

    def __init__(self, name: str, error: OSError, *, only: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.error = error
        self.only = only
        self.seen = 0

    def call(self, name: str, real: Callable[[], Any], arguments: tuple) -> Any:
        if name == self.name:
            self.seen += 1
            if self.only is None or self.seen == self.only:
                raise self.error
        return real()


# --- the power cut -----------------------------------------------------------------------


class PowerCutError(BaseException):
    """The process is gone: nothing catches this."""


class Node:
    """A file, a folder or a link on the modelled disk."""

    def __init__(self, kind: str, content: bytes = b"", fd: int = -1) -> None:
        self.kind = kind
        self.content = content  # of a file, as last synced; of a link, its text
        self.fd = fd  # of a file that is being written
        self.names: dict[str, Node] = {}

    def volatile(self) -> bytes:
        """A file's content as the running system sees it."""
        return self.content if self.fd < 0 else os.pread(self.fd, 1 << 30, 0)


#: One step of the journal: entries that change together, (folder, name, what it names).
Step = list[tuple[Node, str, "Node | None"]]


class PowerCut(Counting):
    """Everything stops at the Nth call; `outcomes` are the disks that may be found then."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__()
        self.root = root
        self.at = at
        self.nodes: dict[tuple[int, int], Node] = {}
        self.tree = self._snapshot(str(root))
        self.steps: list[Step] = []  # not yet sure

    def _snapshot(self, path: str) -> Node:
        st = os.lstat(path)
        key = st.st_dev, st.st_ino
        if key in self.nodes:
            return self.nodes[key]
        if stat.S_ISDIR(st.st_mode):
            node = Node("folder")
            for name in os.listdir(path):
                node.names[name] = self._snapshot(os.path.join(path, name))
        elif stat.S_ISLNK(st.st_mode):
            node = Node("link", os.fsencode(os.readlink(path)))
        else:
            node = Node("file", Path(path).read_bytes())
        self.nodes[key] = node
        return node

    def _at(self, path: str | int) -> Node:
        st = os.fstat(path) if isinstance(path, int) else os.lstat(path)
        return self.nodes[st.st_dev, st.st_ino]

    def _entry(self, path: str, node: Node | None) -> tuple[Node, str, Node | None]:
        folder, name = os.path.split(path)
        return self._at(os.path.realpath(folder)), name, node

    def _born(self, path: str, node: Node) -> None:
        st = os.lstat(path)
        self.nodes[st.st_dev, st.st_ino] = node
        self.steps.append([self._entry(path, node)])

    def call(self, name: str, real: Callable[[], Any], arguments: tuple) -> Any:
        if self.n >= self.at:
            if name == "close":  # as the end of a process does
                real()
            raise PowerCutError
        if name == "rename":
            old, new = arguments
            step = [self._entry(old, None), self._entry(new, self._at(old))]
            real()
            self.steps.append(step)
            return None
        if name == "exchange":
            a, b = arguments
            step = [self._entry(a, self._at(b)), self._entry(b, self._at(a))]
            real()
            self.steps.append(step)
            return None
        if name == "link":
            old, new = arguments
            real()
            self.steps.append([self._entry(new, self._at(old))])
            return None
        if name in ("unlink", "remove_folder"):
            entry = self._entry(arguments[0], None)
            real()
            self.steps.append([entry])
            return None
        result = real()
        if name == "create":
            self._born(arguments[0], Node("file", fd=os.dup(result)))
        elif name == "make_folder":
            self._born(arguments[0], Node("folder"))
        elif name == "symlink":
            self._born(arguments[1], Node("link", os.fsencode(arguments[0])))
        elif name == "sync":
            self._sync(self._at(arguments[0]))
        return result

    def _sync(self, node: Node) -> None:
        if node.kind == "file":
            node.content = node.volatile()
            return
        sure = [any(f is node for f, _, _ in step) for step in self.steps]
        for i in range(len(sure) - 1, -1, -1):
            if sure[i]:
                for j in self._builds_on(i):
                    sure[j] = True
        for step, is_sure in zip(self.steps, sure, strict=True):
            if is_sure:
                _apply(step)
        self.steps = [s for s, is_sure in zip(self.steps, sure, strict=True) if not is_sure]

    def _builds_on(self, i: int) -> list[int]:
        """The earlier steps that change a name which step i changes."""
        names = {(id(folder), name) for folder, name, _ in self.steps[i]}
        return [
            j
            for j in range(i)
            if any((id(folder), name) in names for folder, name, _ in self.steps[j])
        ]

    def outcomes(self) -> Iterator[tuple[Node, bool]]:
        """(the disk, whether unsynced bytes are kept); leaves the disk as it found it."""
        n = len(self.steps)
        dice = random.Random(self.at)
        choices = {(True,) * n, (False,) * n}
        if n <= 4:
            choices.update(itertools.product((True, False), repeat=n))
        for part in (0.5, 0.9) * 4:
            choices.add(tuple(dice.random() < part for _ in range(n)))
        for kept in {self._possible(choice) for choice in choices}:
            touched = {id(f): f for i in kept for f, _, _ in self.steps[i]}.values()
            saved = [(folder, dict(folder.names)) for folder in touched]
            for i in kept:
                _apply(self.steps[i])
            for keep in (False, True):
                yield self.tree, keep
            for folder, names in saved:
                folder.names = names

    def _possible(self, choice: tuple[bool, ...]) -> tuple[int, ...]:
        """The chosen steps, without those that build on one that was not chosen."""
        kept = list(choice)
        for i in range(len(kept)):
            kept[i] = kept[i] and all(kept[j] for j in self._builds_on(i))
        return tuple(i for i, is_kept in enumerate(kept) if is_kept)

    def close_all(self) -> None:
        for node in self.nodes.values():
            if node.fd >= 0:
                os.close(node.fd)
                node.fd = -1


def _apply(step: Step) -> None:
    for folder, name, node in step:
        if node is None:
            folder.names.pop(name, None)
    for folder, name, node in step:
        if node is not None:
            folder.names[name] = node


def build(node: Node, path: Path, keep: bool, made: dict[int, Path] | None = None) -> None:
    """Write a modelled disk out, with or without the bytes that were not synced."""
    made = {} if made is None else made
    if node.kind == "folder":
        path.mkdir()
        for name, below in node.names.items():
            build(below, path / name, keep, made)
    elif node.kind == "link":
        path.symlink_to(os.fsdecode(node.content))
    elif id(node) in made:
        os.link(made[id(node)], path)
    else:
        path.write_bytes(node.volatile() if keep else node.content)
        made[id(node)] = path
