"""The checkpoint's own object graph: which objects own its tensors, and what they are for.

A key is the shortest path from the root to an object when it was saved, and says little of
what the tensor is: Keras 3 stores the weights of a compiled model under ``optimizer/``. So a
tensor is told by the objects that lead to it, never by its key.

Source: tensorflow/core/protobuf/trackable_object_graph.proto;
tensorflow/python/checkpoint/util.py and graph_view.py (2.21).
"""

from __future__ import annotations

from bisect import bisect_right

from .. import _core
from ..errors import CoreError, FormatError
from ..text import Record, step
from . import OBJECT_GRAPH_KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .variables import Variables

#: What a tensor is for, in the order in which they are shown. "variables" are those of which
#: no object tells: all of a checkpoint without an object graph.
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

#: Names of children that tell what their owners or they are.
_TELLING = _STEPS | _BESIDE | {_OPTIMIZER, "keras_api", "metrics"}

_UNREACHED, _ROOT, _FIRST_SLOT = -1, -2, -3

#: A path of more names is cut at its beginning: a file must not decide how long they all are.
MAX_DEPTH = 100

#: int32, int64, uint32, uint64; string, variant.
_COUNTERS = {3, 9, 22, 23}
_OPAQUE = {7, 21}


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


#: The end of nearly every key, which says nothing.
#: Source: tensorflow/python/trackable/base.py VARIABLE_VALUE_KEY, OBJECT_ATTRIBUTES_NAME.
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def fits(pattern: str, key: str, named: Named | None, *more: str) -> bool:
    """Whether a shell pattern fits a tensor's key, the key without its end, its name, or one
    of ``more``."""
    from fnmatch import fnmatchcase

    names = {key, key.removesuffix(SUFFIX), *more, named.name if named else ""} - {""}
    return any(fnmatchcase(name, pattern) for name in names)


class CheckpointGraph:
    """A TrackableObjectGraph: which objects there are, and what leads to each.

    Args:
        data: The message.
        path: The checkpoint, as errors name it.

    Attributes:
        tables: What it says.
        optimizers: Nodes that are optimizers.
        slots: Nodes that are slots by the graph's own word.
        owned, measured: Nodes to which only optimizers lead; to which only metrics lead.
        held: Of the owned, those that an optimizer holds by name: its steps, its learning rate.

    Raises FormatError where it is broken on the wire, or has more nodes than any real one.
    """

    def __init__(self, data: bytes, path: str) -> None:
        try:
            self.tables = tables = _core.ObjectGraph(data)
        except CoreError as e:
            place = OBJECT_GRAPH_KEY.decode()
            raise FormatError(path, str(e), offset=e.offset, place=place) from None
        self._n = n = tables.n_nodes
        self._first = tables.first_child
        self._names = tables.child_names
        #: A child that is none of the nodes is n here, which always counts as seen.
        self._child = [c if 0 <= c < n else n for c in tables.child_nodes]
        #: Node -> the child, by its place in the tables, that is the last step of its path;
        #: ROOT; UNREACHED; below these the slot, counted downwards.
        self._step = [_UNREACHED] * n
        metrics = self._find_owners()
        outside = self._walk([0] if n else [], self.optimizers | metrics)
        self.owned = self._owned(outside, self.optimizers)
        for node in self.owned:
            outside[node] = 1
        self.measured = self._owned(outside, metrics)
        self.slots = {node for _, _, _, node in tables.slots}
        held = {self._child[i] for node in self.optimizers for i in self._children(node)}
        self.held = held & self.owned
        self._name_slots()

    def _children(self, node: int) -> range:
        """The children of a node, by their places in the tables."""
        return range(self._first[node], self._first[node + 1])

    def _owner(self, child: int) -> int:
        """The node that has the child with this place in the tables."""
        return bisect_right(self._first, child) - 1

    def _find_owners(self) -> set[int]:
        """Find the optimizers, and where Keras 2 keeps its metrics: sums and counts."""
        found: dict[str, set[int]] = {name: set() for name in _TELLING}
        for i, name in enumerate(self._names):
            if name in _TELLING:
                found[name].add(i)
        having = {name: {self._owner(i) for i in places} for name, places in found.items()}
        steps = {node for name in _STEPS for node in having[name]}
        beside = {node for name in _BESIDE for node in having[name]}
        named = {self._child[i] for i in found[_OPTIMIZER]} - {0, self._n}
        self.optimizers = {owner for owner, *_ in self.tables.slots} | (steps & beside) | named
        api = {self._child[i] for i in found["keras_api"] if self._owner(i) == 0}
        return {self._child[i] for i in found["metrics"] if self._owner(i) in api} - {self._n}

    def _walk(self, start: list[int], closed: set[int]) -> bytearray:
        """Walk breadth first, and through no closed node; each node without a path gets one.

        Returns a byte for each node: whether it was reached, and is not closed.
        Source: trackable_view.py _descendants_with_paths.
        """
        seen = bytearray(self._n + 1)
        seen[self._n] = 1
        step, first, child = self._step, self._first, self._child
        queue: list[int] = []
        for node in start:
            if not seen[node]:
                seen[node] = 1
                queue.append(node)
            if step[node] == _UNREACHED:
                step[node] = _ROOT
        for node in queue:  # which grows meanwhile
            if node in closed:
                continue
            for i in range(first[node], first[node + 1]):
                to = child[i]
                if not seen[to]:
                    seen[to] = 1
                    if step[to] == _UNREACHED:
                        step[to] = i
                    queue.append(to)
        for node in closed:
            seen[node] = 0
        return seen

    def _owned(self, outside: bytearray, owners: set[int]) -> set[int]:
        """What only these lead to."""
        owned: set[int] = set()
        seen = bytearray(self._n + 1)
        seen[self._n] = 1
        step, first, child, names = self._step, self._first, self._child, self._names
        queue = [node for node in sorted(owners) if step[node] != _UNREACHED]
        for node in queue:
            seen[node] = 1
        shared: list[int] = []
        for node in queue:
            is_owner = node in owners
            for i in range(first[node], first[node + 1]):
                to = child[i]
                if seen[to]:
                    continue
                if step[to] == _UNREACHED:
                    step[to] = i
                if is_owner and names[i] == _NOT_OWN:
                    shared.append(to)
                    continue
                seen[to] = 1
                queue.append(to)
                if not outside[to] and to not in owners:
                    owned.add(to)
        self._walk(shared, self.optimizers)  # weights that only the optimizer was saved with
        return owned

    def _name_slots(self) -> None:
        """A slot has no parent; its path goes on from its variable's, by its name in brackets."""
        step = self._step
        for i, (owner, _, original, node) in enumerate(self.tables.slots):
            leads = self.reaches(owner) and self.reaches(original) and 0 <= node < self._n
            if leads and step[node] == _UNREACHED:
                step[node] = _FIRST_SLOT - i

    def reaches(self, node: int) -> bool:
        """Whether a path leads to the node."""
        return 0 <= node < self._n and self._step[node] != _UNREACHED

    def path(self, node: int) -> str:
        """``layers[1].kernel``; of a slot ``layers[1].kernel.<m>``; "" for the root."""
        names: list[str] = []
        while self.reaches(node) and self._step[node] != _ROOT:
            if len(names) > MAX_DEPTH:
                names[-1] = "..."
                break
            i = self._step[node]
            if i <= _FIRST_SLOT:
                _, slot, node, _ = self.tables.slots[_FIRST_SLOT - i]
                names.append(f".<{slot}>")
                continue
            name, node = self._names[i], self._owner(i)
            names.append(step(name))
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
    - unreachable: tensors that no object holds to which a path leads from the root; of a
      model only if no meta graph restores them either, and that can be told of each;
    - variables: those of which no object tells.

    Raises FormatError where the object graph is damaged.
    """
    out = _by_objects(variables)
    untold = [key for key, found in out.items() if found.group in (UNREACHABLE, VARIABLES)]
    if untold and variables.restored_keys:
        restored = variables.restored_keys()
        for key in untold:
            reaches = restored is None or variables.key_bytes(key) in restored
            out[key].group = VARIABLES if reaches else UNREACHABLE
    return out


def _by_objects(variables: Variables) -> dict[str, Named]:
    data = variables.object_graph
    if data is None:
        return {key: Named(VARIABLES) for key in variables}
    graph = CheckpointGraph(data, variables.bundle.path)
    said: dict[str, tuple[int, str]] = {}
    for node, _, full_name, key in graph.tables.values:
        if key and (key not in said or not graph.reaches(said[key][0])):
            said[key] = (node, full_name)
    savers = _shortest(name for i, name in graph.tables.savers if name and graph.reaches(i))
    out: dict[str, Named] = {}
    others = _others(variables.index)
    for key, row in variables.rows().items():
        found = said.get(key) or _of_table(said, key)
        if found is None:
            by_saver = key.startswith(savers[bisect_right(savers, key) - 1]) if savers else False
            out[key] = Named(OTHER if by_saver else UNREACHABLE)
            continue
        node, name = found
        group = graph.group(node)
        if group == WEIGHTS and (row in others or key not in said):
            group = OTHER
        out[key] = Named(group, name, graph, node)
    _mark_doubled(variables, out)
    return out


def _shortest(names: Iterable[str]) -> list[str]:
    """Names of which none begins with another one, sorted: if a key begins with one of them,
    then with the last one that is not behind the key."""
    out: list[str] = []
    for name in sorted(set(names)):
        if not out or not name.startswith(out[-1]):
            out.append(name)
    return out


def _of_table(said: dict[str, tuple[int, str]], key: str) -> tuple[int, str] | None:
    """A lookup table is saved as two tensors, and the graph names it once.

    Source: tensorflow/python/ops/lookup_ops.py MutableHashTable._Saveable.
    """
    for ending in ("-keys", "-values"):
        if key.endswith(ending):
            return said.get(key.removesuffix(ending))
    return None


def _others(index: _core.BundleIndex) -> set[int]:
    """The rows of counters, strings and variants."""
    return {
        row
        for row, dtype in enumerate(index.dtypes())
        if dtype in _OPAQUE or (dtype in _COUNTERS and index.entry(row)[1] == ())
    }


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
