"""The checkpoint's own object graph: which objects own its tensors, and what they are for.

A key is the shortest path from the root to an object when it was saved, and says little of
what the tensor is: Keras 3 stores the weights of a compiled model under ``optimizer/``. So a
tensor is told by the objects that lead to it, never by its key.

Source: tensorflow/core/protobuf/trackable_object_graph.proto;
tensorflow/python/checkpoint/util.py and graph_view.py (2.21).
"""

from __future__ import annotations

from ..graph.objects import Reference, SlotVariable
from ..source import LEN, Reader, from_bytes, last
from ..text import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .variables import Variables

#: What a tensor is for, in the order in which they are shown. "variables" are those of a
#: checkpoint without an object graph, which does not tell.
GROUPS = ("weights", "optimizer slots", "doubled", "other", "unreachable", "variables")

WEIGHTS, SLOTS, DOUBLED, OTHER, UNREACHABLE, VARIABLES = GROUPS

#: A child of these names counts an optimizer's steps: Keras 2's legacy ones, Keras 3 and later
#: Keras 2. With a learning rate, or a list of its variables, beside it: an optimizer.
_STEPS = {"iter", "_iterations"}
_BESIDE = {"learning_rate", "_learning_rate", "_variables"}

#: An edge of this name leads to an optimizer, whatever that one is made of.
_OPTIMIZER = "optimizer"

#: Where a Keras 3 optimizer lists the model's weights, which are not its own.
_NOT_OWN = "_trainable_variables"

#: A path of more names is cut at its beginning: a file must not decide how long they all are.
MAX_DEPTH = 100

_COUNTERS = ("int32", "int64", "uint32", "uint64")
_OPAQUE = ("string", "variant")


class Named(Record):
    """What the object graph says of a tensor.

    Attributes:
        group: One of GROUPS.
        name: As the program named the variable, ``dense/kernel``; "" where that is not kept.
    """

    __slots__ = ("_graph", "_node", "group", "name")

    def __init__(
        self, group: str, name: str = "", graph: CheckpointGraph | None = None, node: int = -1
    ) -> None:
        self.group = group
        self.name = name
        self._graph = graph
        self._node = node

    @property
    def object_path(self) -> str:
        """The child names that lead to it from the root, ``layers[1].kernel``: the shortest
        path, but not through an optimizer where there is another. "" where none leads to it."""
        return self._graph.path(self._node) if self._graph else ""


class _Node:
    """A TrackableObject."""

    __slots__ = ("attributes", "children", "savers", "slots")

    def __init__(self, reader: Reader, span: tuple[int, int], place: str) -> None:
        self.children: list[tuple[str, int]] = []
        self.attributes: list[tuple[str, str]] = []  # checkpoint key, full name
        self.slots: list[tuple[str, int, int]] = []  # name, of which node, node
        self.savers: list[str] = []
        for f in reader.fields([span], place):
            if f.wire != LEN:
                continue
            if f.number == 1:
                child = Reference(reader, f, place)
                self.children.append((child.local_name, child.node_id))
            elif f.number == 2:
                inner = reader.fields([(f.at, f.end)], place)
                full, key = last(inner, 2), last(inner, 3)
                if key:
                    full_name = reader.text(full, place) if full else ""
                    self.attributes.append((reader.text(key, place), full_name))
            elif f.number == 3:
                slot = SlotVariable(reader, f, place)
                self.slots.append((slot.name, slot.original_id, slot.variable_id))
            elif f.number == 4:
                saver = last(reader.fields([(f.at, f.end)], place), 2)
                self.savers.append(reader.text(saver, place) if saver else "")

    @property
    def is_optimizer(self) -> bool:
        names = {name for name, _ in self.children}
        return bool(self.slots) or (not _STEPS.isdisjoint(names) and not _BESIDE.isdisjoint(names))


class CheckpointGraph:
    """A TrackableObjectGraph.

    Args:
        data: The message.
        path: The checkpoint, as errors name it.

    Raises FormatError where it is broken on the wire, or has more nodes than any real one.
    """

    def __init__(self, data: bytes, path: str) -> None:
        reader = Reader(from_bytes(data), path)
        place = "_CHECKPOINTABLE_OBJECT_GRAPH"
        fields = reader.fields([(0, len(data))], place)
        spans = [(f.at, f.end) for f in fields if f.number == 1 and f.wire == LEN]
        self.nodes = [_Node(reader, s, f"{place}.nodes[{i}]") for i, s in enumerate(spans)]
        self.optimizers = {i for i, node in enumerate(self.nodes) if node.is_optimizer}
        for node in self.nodes:
            self.optimizers |= {
                i for name, i in node.children if name == _OPTIMIZER and 0 < i < len(self.nodes)
            }
        #: Node -> the node before it on its path, and its name there; the root has none.
        self._before: dict[int, tuple[int, str] | None] = {}
        metrics = self._metrics()
        outside = self._walk([0] if self.nodes else [], self.optimizers | metrics)
        #: Nodes to which only optimizers lead; to which only metrics lead.
        self.owned = self._owned(outside, self.optimizers)
        self.measured = self._owned(outside | self.owned, metrics)
        #: Of these, the ones that an optimizer holds by name: its steps, its learning rate.
        self.held = {c for i in self.optimizers for _, c in self._children(i)} & self.owned
        #: Nodes that are slots by the graph's own word.
        self.slots = {s for node in self.nodes for _, _, s in node.slots}
        self._name_slots()

    def _children(self, node: int) -> list[tuple[str, int]]:
        return [(n, c) for n, c in self.nodes[node].children if 0 <= c < len(self.nodes)]

    def _walk(self, start: list[int], closed: set[int]) -> set[int]:
        """The nodes that can be reached, breadth first, without going through closed ones.

        Each that has no path yet gets one. Source: trackable_view.py _descendants_with_paths.
        """
        seen = set(start)
        queue = list(start)
        for node in queue:  # which grows meanwhile
            self._before.setdefault(node, None)
            if node in closed:
                continue
            for name, child in self._children(node):
                if child not in seen:
                    seen.add(child)
                    self._before.setdefault(child, (node, name))
                    queue.append(child)
        return seen - closed

    def _metrics(self) -> set[int]:
        """Where Keras 2 keeps its metrics: sums and counts, which are no weights."""
        api = [c for name, c in self._children(0) if name == "keras_api"] if self.nodes else []
        return {c for i in api for name, c in self._children(i) if name == "metrics"}

    def _owned(self, outside: set[int], owners: set[int]) -> set[int]:
        """What only these lead to."""
        owned: set[int] = set()
        queue = [i for i in sorted(owners) if i in self._before]
        seen = set(queue)
        shared: list[int] = []
        for node in queue:
            for name, child in self._children(node):
                if child in seen:
                    continue
                if node in owners and name == _NOT_OWN:
                    self._before.setdefault(child, (node, name))
                    shared.append(child)
                    continue
                seen.add(child)
                self._before.setdefault(child, (node, name))
                queue.append(child)
                if child not in outside and child not in owners:
                    owned.add(child)
        self._walk(shared, self.optimizers)  # weights that only the optimizer was saved with
        return owned

    def _name_slots(self) -> None:
        """A slot has no parent; its path goes on from its variable's, by its name in brackets."""
        for i, node in enumerate(self.nodes):
            if i in self._before:
                for name, original, slot in node.slots:
                    if original in self._before and 0 <= slot < len(self.nodes):
                        self._before.setdefault(slot, (original, f"<{name}>"))

    def reaches(self, node: int) -> bool:
        """Whether a path leads to the node."""
        return node in self._before

    def path(self, node: int) -> str:
        """``layers[1].kernel``; of a slot ``layers[1].kernel.<m>``; "" for the root."""
        names: list[str] = []
        at = self._before.get(node)
        while at is not None and len(names) <= MAX_DEPTH:
            names.append(f"[{at[1]}]" if at[1].isascii() and at[1].isdigit() else f".{at[1]}")
            at = self._before[at[0]]
        if at is not None:
            names[-1] = "..."
        return "".join(reversed(names)).removeprefix(".")

    def group(self, node: int) -> str:
        """What the tensors of a node are for, as far as the graph alone tells."""
        if not self.reaches(node):
            return UNREACHABLE
        if node in self.slots:
            return SLOTS
        if node in self.owned:
            return OTHER if node in self.held else SLOTS
        return OTHER if node in self.measured else WEIGHTS


def named(variables: Variables) -> dict[str, Named]:
    """What each key of a checkpoint is for, and what a person calls it.

    - weights: what objects hold that are no optimizers;
    - optimizer slots: what only an optimizer leads to, such as moments;
    - doubled: weights that look the same as others (size, checksum, dtype, shape) and have
      the same name, as Keras 3 exports store each;
    - other: counters, an optimizer's steps and settings, metrics, strings, and variants;
    - unreachable: tensors that no object holds to which a path leads from the root. Loading
      by objects reads none of these; loading by name may;
    - variables: all, where there is no object graph.

    Raises FormatError where the object graph is damaged.
    """
    data = variables.object_graph
    if data is None:
        return {key: Named(VARIABLES) for key in variables}
    graph = CheckpointGraph(data, variables.bundle.path)
    said: dict[str, Named] = {}
    savers: tuple[str, ...] = ()
    for i, node in enumerate(graph.nodes):
        for key, full_name in node.attributes:
            group = graph.group(i)
            if key not in said or said[key].group == UNREACHABLE:
                said[key] = Named(group, full_name, graph, i)
        savers += tuple(name for name in node.savers if name and graph.reaches(i))
    out: dict[str, Named] = {}
    for key in variables:
        found = said.get(key) or _of_table(said, key)
        if found is None:
            by_saver = bool(savers) and key.startswith(savers)
            found = Named(OTHER if by_saver else UNREACHABLE)
        elif found.group == WEIGHTS and _is_other(variables, key):
            found.group = OTHER
        out[key] = found
    _mark_doubled(variables, out)
    return out


def _of_table(said: dict[str, Named], key: str) -> Named | None:
    """A lookup table is saved as two tensors, and the graph names it once.

    Source: tensorflow/python/ops/lookup_ops.py MutableHashTable._Saveable.
    """
    for ending in ("-keys", "-values"):
        table = said.get(key.removesuffix(ending)) if key.endswith(ending) else None
        if table:
            group = OTHER if table.group == WEIGHTS else table.group
            return Named(group, table.name, table._graph, table._node)
    return None


def _is_other(variables: Variables, key: str) -> bool:
    variable = variables[key]
    is_counter = variable.shape == () and variable.dtype in _COUNTERS
    return is_counter or variable.dtype in _OPAQUE


def _mark_doubled(variables: Variables, out: dict[str, Named]) -> None:
    index = variables.index
    alike: dict[int, list[int]] = {}
    for row, first in index.twins():
        alike.setdefault(first, [first]).append(row)
    for rows in alike.values():
        names: set[str] = set()
        for row in rows:
            found = out.get(index.key(row).decode("utf-8", "surrogateescape"))
            if found and found.group == WEIGHTS:
                if names and (not found.name or found.name in names or names == {""}):
                    found.group = DOUBLED
                names.add(found.name)
