"""Findings of what a model restores, held against what its bundle has.

Session loaders restore what `fastsm.graph.restored` finds. `tf.saved_model.load` goes by
the checkpoint's own object graph, matched with the model's by the names of children.
Source: tensorflow/python/checkpoint/restore.py,
tensorflow/core/protobuf/trackable_object_graph.proto (2.21).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from .. import _core, dtypes
from ..bundle import OBJECT_GRAPH_KEY
from ..bundle.variables import MAX_OBJECT_GRAPH
from ..errors import CoreError, FormatError
from ..text import count, printable
from .entries import open_shard, shape_words
from .table import key_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core import BundleIndex, ObjectGraph
    from ..bundle.opened import Bundle
    from ..graph.restored import Wanted
    from ..views import MetaGraph
    from .report import Report


class Entries:
    """The entries of a bundle by key: dtype and shape."""

    def __init__(self, index: BundleIndex) -> None:
        self._index = index
        self.rows = {k: i for i, k in enumerate(index.keys())}
        self._sorted: list[bytes] | None = None

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    def holds(self, key: bytes) -> bool:
        """Whether an entry is stored for a key of an object graph.

        An object of several tensors has one key there, and entries named after it: a
        lookup table ``t`` is stored as ``t-keys`` and ``t-values``.
        """
        if self._sorted is None:
            self._sorted = sorted(self.rows)
        i = bisect_left(self._sorted, key)
        return i < len(self._sorted) and self._sorted[i].startswith(key)

    def of(self, key: bytes) -> tuple[int, tuple[int, ...] | None]:
        """(DataType, shape) of an entry."""
        dtype, shape, *_ = self._index.entry(self.rows[key])
        return dtype, shape


def check_restored(
    report: Report, file: str, place: str, wanted: list[Wanted], entries: Entries, index: str
) -> None:
    """Hold what is restored against the entries.

    Args:
        file, place: What says that it is restored: saved_model.pb and where in it.
        index: The bundle's index, as findings name it.
    """
    for key, dtype, shape in wanted:
        name = key_words(key)
        if key not in entries:
            words = f"{name}: restored, and not in {index}"
            report.add("restore-key", file, words, place=place, key=key)
            continue
        stored_dtype, stored_shape = entries.of(key)
        if dtype is not None and dtype % dtypes.REF != stored_dtype:
            a, b = dtypes.name(dtype % dtypes.REF), dtypes.name(stored_dtype)
            report.add(
                "restore-dtype", file, f"{name}: restored as {a}, stored as {b}", place=place,
                key=key, expected=a, seen=b,
            )  # fmt: skip
        if shape is not None and stored_shape is not None and not _fits(shape, stored_shape):
            a, b = shape_words(shape), shape_words(stored_shape)
            report.add(
                "restore-shape", file, f"{name}: restored as {a}, stored as {b}", place=place,
                key=key, expected=a, seen=b,
            )  # fmt: skip


def _fits(wanted: tuple[int, ...], stored: tuple[int, ...]) -> bool:
    return len(wanted) == len(stored) and all(
        w in (-1, s) for w, s in zip(wanted, stored, strict=True)
    )


# -- the checkpoint's own object graph --


class Trackables:
    """The objects of a checkpoint's object graph: children and keys by their names."""

    def __init__(self, tables: ObjectGraph) -> None:
        self.tables = tables
        self._children: dict[int, dict[str, int]] = {}
        self._keys: dict[int, dict[str, str]] = {}
        for node, name, _, key in tables.values:
            if key:
                self._keys.setdefault(node, {})[name] = key

    def __len__(self) -> int:
        return self.tables.n_nodes

    def key(self, node: int, name: str) -> str | None:
        """The checkpoint key of a value of an object."""
        return self._keys.get(node, {}).get(name)

    def each_child(self, node: int) -> Iterator[tuple[str, int]]:
        """(name, number) of the children of an object, in their order; equal names are kept."""
        own = range(self.tables.first_child[node], self.tables.first_child[node + 1])
        return ((self.tables.child_names[i], self.tables.child_nodes[i]) for i in own)

    def children(self, node: int) -> dict[str, int]:
        """Name -> number, which may be that of no object."""
        found = self._children.get(node)
        if found is None:
            found = self._children[node] = dict(self.each_child(node))
        return found


def read_object_graph(
    report: Report, bundle: Bundle, entries: Entries, file: str
) -> Trackables | None:
    """The checkpoint's object graph, or None: there is none, or it is damaged (a finding)."""
    if OBJECT_GRAPH_KEY not in entries:
        return None
    dtype, shape, shard, offset, size, _, n_slices = bundle.index.entry(
        entries.rows[OBJECT_GRAPH_KEY]
    )
    name = OBJECT_GRAPH_KEY.decode()
    if size > MAX_OBJECT_GRAPH:
        report.skip(f"the checkpoint's object graph: {count(size)} bytes")
        return None
    if dtype != 7 or shape != () or n_slices:
        words = f"{name}: {dtypes.name(dtype)} {shape_words(shape)} of {count(size)} bytes"
        report.add("object-graph", file, words, key=name, expected="string []")
        return None
    try:
        source = open_shard(bundle, shard).source()
        [data] = _core.string_elements(source, offset, size, 1)
    except (CoreError, FormatError, LookupError, OverflowError):
        return None  # the entry's own finding tells
    try:
        return Trackables(_core.ObjectGraph(data))
    except CoreError as e:
        if e.kind == "LIMIT":
            report.skip(f"the checkpoint's object graph: it {e}")
        else:
            report.add("object-graph", file, f"{name}: {e}", key=name)
        return None


def check_object_graph(report: Report, nodes: Trackables, entries: Entries, file: str) -> None:
    """Every key that the object graph names is in the bundle; every child is a node."""
    tables = nodes.tables
    for i, _, _, key in tables.values:
        stored = key.encode()
        if stored and not entries.holds(stored):
            words = f"{key_words(stored)}: of object {i}, and not in the index"
            report.add("object-key", file, words, key=stored)
    for place, child in enumerate(tables.child_nodes):
        if not 0 <= child < len(nodes):
            owner = bisect_right(tables.first_child, place) - 1
            report.add(
                "object-graph", file,
                f"object {owner}: its child {printable(tables.child_names[place])} is object "
                f"{count(child)}, of {count(len(nodes))}",
                key=OBJECT_GRAPH_KEY,
            )  # fmt: skip


def wanted_by_objects(graph: MetaGraph, nodes: Trackables) -> list[Wanted]:
    """What tf.saved_model.load restores: variables of the model, by the checkpoint's keys.

    Both graphs are walked from their roots, along children of equal names.
    """
    objects = graph.objects
    if objects is None or not len(nodes) or not len(objects):
        return []
    out: list[Wanted] = []
    matched = {0: 0}
    numbers = {name: i for i, name in dtypes.NAMES.items()}
    queue = [0]
    for at in queue:  # grows while it is walked
        saved, stored = objects[at], matched[at]
        variable = saved.variable
        key = nodes.key(stored, "VARIABLE_VALUE")
        if variable is not None and key is not None:
            shape = variable.shape
            dims = None if shape is None else tuple([-1 if d is None else d for d in shape])
            out.append((key.encode(), numbers.get(variable.dtype), dims))
        for child in saved.children:
            other = nodes.children(stored).get(child.local_name)
            to = child.node_id
            if other is None or not 0 <= other < len(nodes):
                continue
            if to not in matched and 0 <= to < len(objects):
                matched[to] = other
                queue.append(to)
    return out
