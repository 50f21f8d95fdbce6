"""Findings of what a model restores, held against what its bundle has.

Session loaders run the saver's restore op: a RestoreV2 in the main graph (TF1), or in the
function that it calls (TF2). `tf.saved_model.load` goes by the checkpoint's own object
graph, matched with the model's by the names of children.
Source: tensorflow/python/training/saver.py, tensorflow/python/checkpoint/restore.py,
tensorflow/core/protobuf/trackable_object_graph.proto (2.21).
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice

from .. import _core, dtypes
from ..bundle import OBJECT_GRAPH_KEY
from ..errors import CoreError, FormatError
from ..source import LEN, VARINT, Reader, from_bytes, last
from ..text import count, printable
from .entries import open_shard, shape_words
from .nodes import CALLS, Graph, node_of, output_of
from .table import key_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core import BundleIndex
    from ..bundle.opened import Bundle
    from ..views import MetaGraph
    from .nodes import Node
    from .report import Report

    #: (key, DataType or None, shape or None): what something restores.
    Wanted = tuple[bytes, int | None, tuple[int, ...] | None]

#: An object graph of more bytes or nodes is not looked at; the largest known have a few
#: million bytes, and some ten thousand nodes.
MAX_OBJECT_GRAPH = 1 << 26
MAX_OBJECTS = 1 << 19

#: So many keys that a graph restores are looked at: a small graph may name the same
#: constant of keys again and again.
MAX_WANTED = 1 << 18


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


def wanted_by_graph(graph: MetaGraph, nodes: Graph) -> list[Wanted]:
    """What the session loaders restore, MAX_WANTED at most.

    Raises FormatError where the graph is damaged.
    """
    saver = graph.saver
    if saver is None or not saver.restore_op:
        return []
    restore = node_of(saver.restore_op.encode())
    op = nodes.named([restore]).get(restore)
    if op is not None and op.op in CALLS:
        owner = nodes.function(op.function("f"))
        found = () if owner is None else _restored(nodes, owner, None)
        return list(islice(found, MAX_WANTED))
    prefix = node_of(saver.filename_tensor.encode())
    return list(islice(_restored(nodes, 0, prefix), MAX_WANTED))


def _restored(nodes: Graph, owner: int, prefix: bytes | None) -> Iterator[Wanted]:
    """What the RestoreV2 nodes of a graph or function read from the checkpoint's prefix."""
    ops = [
        n for n in nodes.with_ops([b"RestoreV2"], owner)
        if len(n.inputs) >= 3 and prefix in (None, node_of(n.inputs[0]))
    ]  # fmt: skip
    constants = nodes.named({node_of(i) for n in ops for i in n.inputs[1:3]}, owner)
    shapes = _variable_shapes(nodes, ops) if owner == 0 else {}
    for n in ops:
        names, specs = (constants.get(node_of(i)) for i in n.inputs[1:3])
        if names is None or names.op != b"Const":
            continue
        keys = names.strings()
        slices = specs.strings() if specs is not None and specs.op == b"Const" else []
        types = n.dtypes("dtypes")
        for i, key in enumerate(keys):
            spec = slices[min(i, len(slices) - 1)] if slices else b""
            shape = _full_shape(spec) if spec else shapes.get((n.name, i))
            yield key, types[i] if i < len(types) else None, shape


def _full_shape(spec: bytes) -> tuple[int, ...] | None:
    """The whole tensor's shape in ``"6 4 0,2:-"``, or None where there is none."""
    words = spec.split(b" ")[:-1]
    if not words or not all(w.isdigit() and len(w) < 19 for w in words):
        return None
    return tuple(map(int, words))


def _variable_shapes(
    nodes: Graph, restores: list[Node]
) -> dict[tuple[bytes, int], tuple[int, ...]]:
    """(RestoreV2 node, output) -> shape of the variable that it is assigned to, if static."""
    names = {n.name for n in restores}
    if not names:
        return {}
    through = {}
    assigned: dict[bytes, tuple[bytes, int]] = {}
    for n in nodes.with_ops([b"Identity"]):
        inputs = n.inputs
        if inputs and node_of(inputs[0]) in names:
            through[n.name] = (node_of(inputs[0]), output_of(inputs[0]))
    for n in nodes.with_ops([b"Assign", b"AssignVariableOp"]):
        inputs = n.inputs
        if len(inputs) < 2:
            continue
        value = node_of(inputs[1])
        source = (value, output_of(inputs[1])) if value in names else through.get(value)
        if source:
            assigned[node_of(inputs[0])] = source
    out = {}
    for name, n in nodes.named(assigned).items():
        if n.op in (b"VariableV2", b"Variable", b"VarHandleOp"):
            shape = n.shape("shape")
            if shape is not None and all(d >= 0 for d in shape):
                out[assigned[name]] = shape
    return out


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


class Trackable:
    """A node of the checkpoint's object graph: its children, and the keys of its values."""

    __slots__ = ("children", "keys")

    def __init__(self, reader: Reader, start: int, end: int, place: str) -> None:
        self.children: dict[bytes, int] = {}
        self.keys: dict[bytes, bytes] = {}
        for f in reader.fields([(start, end)], place):
            if f.wire != LEN or f.number not in (1, 2):
                continue
            inner = reader.fields([(f.at, f.end)], place)
            if f.number == 1:
                number, name = last(inner, 1, VARINT), last(inner, 2)
                label = reader.bytes(name, place) if name else b""
                self.children[label] = number.value & 0xFFFFFFFF if number else 0
            else:
                name, key = last(inner, 1), last(inner, 3)
                if key:
                    label = reader.bytes(name, place) if name else b""
                    self.keys[label] = reader.bytes(key, place)


def read_object_graph(
    report: Report, bundle: Bundle, entries: Entries, file: str
) -> list[Trackable] | None:
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
    reader = Reader(from_bytes(data), name)
    nodes: list[Trackable] = []
    start = 0
    try:
        while True:
            chunk = _core.scan(reader.source, [(start, len(data))], only=1, most=8192)
            nodes += [Trackable(reader, f.at, f.end, "nodes") for f in chunk if f.wire == LEN]
            if len(chunk) < 8192:
                return nodes
            if len(nodes) > MAX_OBJECTS:
                report.skip(f"the checkpoint's object graph: more than {count(MAX_OBJECTS)} nodes")
                return None
            start = chunk[-1].end
    except (CoreError, FormatError) as e:
        report.add("object-graph", file, f"{name}: {e}", key=name)
        return None


def check_object_graph(
    report: Report, nodes: list[Trackable], entries: Entries, file: str
) -> None:
    """Every key that the object graph names is in the bundle; every child is a node."""
    for i, node in enumerate(nodes):
        for key in node.keys.values():
            if not entries.holds(key):
                report.add(
                    "object-key", file,
                    f"{key_words(key)}: of object {i}, and not in the index", key=key,
                )  # fmt: skip
        for label, child in node.children.items():
            if child >= len(nodes):
                report.add(
                    "object-graph", file,
                    f"object {i}: its child {printable(label)} is object {count(child)}, of "
                    f"{count(len(nodes))}",
                    key=OBJECT_GRAPH_KEY,
                )  # fmt: skip


def wanted_by_objects(graph: MetaGraph, nodes: list[Trackable]) -> list[Wanted]:
    """What tf.saved_model.load restores: variables of the model, by the checkpoint's keys.

    Both graphs are walked from their roots, along children of equal names.
    """
    objects = graph.objects
    if objects is None or not nodes or not len(objects):
        return []
    out: list[Wanted] = []
    matched = {0: 0}
    numbers = {name: i for i, name in dtypes.NAMES.items()}
    queue = [0]
    for at in queue:  # grows while it is walked
        saved, stored = objects[at], nodes[matched[at]]
        variable = saved.variable
        key = stored.keys.get(b"VARIABLE_VALUE")
        if variable is not None and key is not None:
            shape = variable.shape
            dims = None if shape is None else tuple([-1 if d is None else d for d in shape])
            out.append((key, numbers.get(variable.dtype), dims))
        for child in saved.children:
            other = stored.children.get(child.local_name.encode("utf-8", "surrogateescape"))
            to = child.node_id
            if other is None or other >= len(nodes):
                continue
            if to not in matched and 0 <= to < len(objects):
                matched[to] = other
                queue.append(to)
    return out
