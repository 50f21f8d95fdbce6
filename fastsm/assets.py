"""The assets of a model: what its meta graphs call files, against the files in assets/.

Source: tensorflow/cc/saved_model/loader_util.cc GetAssetFileDefs,
tensorflow/python/saved_model/loader_impl.py get_asset_tensors, load.py (2.21).
"""

from __future__ import annotations

import os

from .errors import FormatError
from .graph.nodes import Graph
from .graph.paths import takers
from .locate import below
from .text import Record, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal

    from .views import Asset, MetaGraph

    State = Literal["present", "missing", "unsafe", "unused"]

#: The folder that assets' names are relative to.
ASSETS = "assets"

#: What no loader reads: TensorFlow Serving has its own files there.
EXTRA = "assets.extra"


# -- names --


def outside(name: str) -> str | None:
    """Why a name, taken below ``assets/``, means no file there, or None. Nothing is opened.

    Source: tensorflow/core/platform/path.cc JoinPath, which C++ joins by, and Python's
    os.path.join (2.21).
    """
    if "\0" in name:
        return "holds a NUL byte, which no file's name can"
    if os.path.isabs(name):
        joined = f"{ASSETS}/{printable(name.lstrip('/'))}"
        return f"is absolute: to Python that file, to C++ {joined}"
    if os.path.normpath(name).split("/")[0] == "..":
        return f"leads out of {ASSETS}/"
    return None


def leads_out(name: str) -> bool:
    """Whether a name, taken below ``assets/``, leads anywhere else."""
    return outside(name) is not None


def inside(folder: str, name: str) -> list[str]:
    """The files of a model's folder that a name means, by their paths there.

    One for a name that leads nowhere else; for one that does, what C++ or Python would find
    without leaving the folder, C++ first. Nothing is looked at.
    """
    if "\0" in name:
        return []
    found = [os.path.join(ASSETS, name.lstrip("/"))]
    if os.path.isabs(name):
        found.append(os.path.relpath(os.path.normpath(name), os.path.realpath(folder)))
    paths = dict.fromkeys(map(os.path.normpath, found))
    return [path for path in paths if path.split("/")[0] not in ("..", ".")]


def meant(folder: str, name: str) -> list[str]:
    """Those of `inside` that lie in ``assets/``, by their paths there."""
    parts = (path.partition("/") for path in inside(folder, name))
    return [rest for first, _, rest in parts if first == ASSETS and rest]


def same_file(a: str, b: str) -> bool:
    """Whether two names are spellings of one."""
    return os.path.normpath(a) == os.path.normpath(b)


def path_of(folder: str, name: str) -> str:
    """The file of a name that does not lead out."""
    return os.path.join(folder, ASSETS, name)


def real_path(folder: str, name: str) -> str | None:
    """Where the file of a name that does not lead out lies, links followed; None: nothing is
    there. To follow a path of thousands of folders takes long, and one that is not there may
    have them."""
    path = path_of(folder, name)
    return os.path.realpath(path) if os.path.lexists(path) else None


def linked_out(folder: str, name: str) -> str | None:
    """Where the file of a name leads through links, if that is out of the model."""
    real = os.path.realpath(path_of(folder, name))
    inside = os.path.join(os.path.realpath(folder), "")
    return None if real.startswith(inside) else real


def absent(folder: str, name: str) -> str | None:
    """Why there is no file of a name that does not lead out, in words; None: there is."""
    path = path_of(folder, name)
    if os.path.isfile(path):
        return None
    if os.path.normpath(name) == ".":
        return f"is {ASSETS}/ itself, and no file"
    what = f"{ASSETS}/{printable(name)}"
    if os.path.isdir(path):
        return f"{what} is a folder"
    return f"{what} is {'no regular file' if os.path.exists(path) else 'not there'}"


def files(folder: str) -> list[str]:
    """The files below ``assets/``, by their paths in it, sorted. Links are files."""
    found = below(os.path.join(folder, ASSETS), lambda words: None)
    return sorted(name for name, e in found if not e.is_dir(follow_symlinks=False))


def unused(folder: str, names: Iterable[str]) -> list[str]:
    """The files below ``assets/`` that none of these names means, sorted, by their paths there.

    What a used one leads to through links is used as well.
    """
    used: set[str | None] = set()
    for name in set(names):
        used.update(meant(folder, name))
        if not leads_out(name):
            used.add(real_path(folder, name))
    below_here = os.path.realpath(os.path.join(folder, ASSETS))
    return [
        name for name in files(folder)
        if name not in used and os.path.join(below_here, name) not in used
    ]  # fmt: skip


# -- the list --


class AssetUse(Record):
    """One definition of an asset in a meta graph.

    Attributes:
        meta_graph: The position of the meta graph.
        tags: Its tag set, sorted.
        filename: As it is spelled there.
        tensor: The tensor that is fed the path.
        ops: The ops that take the path in the end, sorted; None where that is not known.
    """

    __slots__ = ("meta_graph", "tags", "filename", "tensor", "ops")

    def __init__(self, graph: MetaGraph, asset: Asset, ops: list[str] | None) -> None:
        self.meta_graph = graph.index
        self.tags = sorted(graph.tag_set)
        self.filename = asset.filename
        self.tensor = asset.tensor
        self.ops = ops

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "ops": self.ops}


class AssetFile(Record):
    """A file of ``assets/``, or a name that a meta graph has for one.

    Attributes:
        name: Its path in ``assets/``; of an unsafe one, the name as it is spelled.
        state: "present", "missing", "unsafe" (the name or a link leads out), "unused".
        problem: What is wrong, in words; None where nothing is.
        bytes: Its size; None where there is no file, or none to be looked at.
        uses: The definitions that name it, in file order.
    """

    __slots__ = ("name", "state", "problem", "bytes", "uses")

    def __init__(self, folder: str, name: str, uses: list[AssetUse]) -> None:
        self.name = name
        self.uses = uses
        self.bytes: int | None = None
        self.state: State = "present" if uses else "unused"
        if not uses:
            self.problem: str | None = "no meta graph names it"
            self.bytes = os.lstat(path_of(folder, name)).st_size
            return
        self.problem = outside(name)
        if self.problem is None and (real := linked_out(folder, name)):
            self.problem = f"is a link to {printable(real)}, out of the model"
        if self.problem is not None:
            self.state = "unsafe"
            return
        spelled = {use.filename for use in uses}
        self.problem = next(filter(None, (absent(folder, s) for s in sorted(spelled))), None)
        if self.problem is not None:
            self.state = "missing"
            return
        self.bytes = os.stat(path_of(folder, name)).st_size

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "problem": self.problem, "bytes": self.bytes}


def asset_files(folder: str, graphs: Iterable[MetaGraph]) -> dict[str, AssetFile]:
    """The assets of a model by name: those that meta graphs name, in file order, then files
    that none does, sorted.

    Nothing outside ``assets/`` is looked at because a model names it.

    Raises FormatError where a meta graph's assets cannot be read.
    """
    named: dict[str, list[AssetUse]] = {}
    for graph in graphs:
        for asset, ops in zip(graph.assets, _ops(graph), strict=False):
            unsafe = leads_out(asset.filename)
            name = asset.filename if unsafe else os.path.normpath(asset.filename)
            named.setdefault(name, []).append(AssetUse(graph, asset, ops))
    for name in unused(folder, [use.filename for uses in named.values() for use in uses]):
        named[name] = []
    return {name: AssetFile(folder, name, uses) for name, uses in named.items()}


def _ops(graph: MetaGraph) -> list[list[str] | None]:
    """Of each asset the ops that take its path; None where the graph does not tell."""
    if not graph.assets:
        return []
    try:
        found = takers(Graph(graph))
    except FormatError:
        found = None
    if found is None:
        return [None] * len(graph.assets)
    return [sorted(ops) for ops in found]
