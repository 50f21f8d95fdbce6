"""The checkpoint's own object graph beside the model's, and the keys that stand in a bundle.

``tf.saved_model.load`` restores by it: both graphs are walked from their roots, along children
of equal names, and a value goes where the names agree.
Source: tensorflow/python/checkpoint/restore.py, checkpoint.py;
tensorflow/core/protobuf/trackable_object_graph.proto (2.21).
"""

from __future__ import annotations

from bisect import bisect_left

from .. import dtypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .. import _core
    from .objects import ObjectGraph, Variable
    from .restored import Wanted

#: An object of several tensors has one key in the object graph, and entries named after it: a
#: lookup table ``t`` is stored as ``t-keys`` and ``t-values``.
_ENDINGS = (b"-", b".", b"/", b"_")


class Keys:
    """The keys of a bundle."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._sorted = sorted(keys)

    def __contains__(self, key: bytes) -> bool:
        i = bisect_left(self._sorted, key)
        return self._sorted[i : i + 1] == [key]

    def holds(self, key: bytes) -> bool:
        """Whether anything is stored for a key of an object graph."""
        return any(True for _ in self.of(key))

    def of(self, key: bytes) -> Iterator[bytes]:
        """What is stored for a key of an object graph: the keys of the entries."""
        if key in self:
            yield key
        for ending in _ENDINGS:
            i = bisect_left(self._sorted, key + ending)
            while i < len(self._sorted) and self._sorted[i].startswith(key + ending):
                yield self._sorted[i]
                i += 1


class Trackables:
    """The objects of a checkpoint's object graph: children and keys by their names."""

    def __init__(self, tables: _core.ObjectGraph) -> None:
        self.tables = tables
        self._children: dict[int, dict[str, int]] = {}
        self._keys: dict[int, dict[str, str]] = {}
        for node, name, _, key in tables.values:
            if key:
                self._keys.setdefault(node, {})[name] = key
        self._valued = {node for node, *_ in tables.values} | {node for node, _ in tables.savers}

    def __len__(self) -> int:
        return self.tables.n_nodes

    def key(self, node: int, name: str) -> str | None:
        """The checkpoint key of a value of an object."""
        return self._keys.get(node, {}).get(name)

    def has_values(self, node: int) -> bool:
        """Whether the checkpoint has any value of an object."""
        return node in self._valued

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


class Outline:
    """What of the saved objects is held against the checkpoint's; each object is read once.

    Attributes:
        objects: The saved objects.
        children: Of each object the names and numbers of its children.
        variables: What is said of those objects that are variables.
        slots: The objects that are slot variables.
        unsaved: The resources without a function that restores them.
    """

    def __init__(self, objects: ObjectGraph) -> None:
        self.objects = objects
        self.children: list[list[tuple[str, int]]] = []
        self.variables: dict[int, Variable] = {}
        self.slots: set[int] = set()
        self.unsaved: list[int] = []
        for node in objects:
            self.children.append(node.child_ids)
            self.slots.update(slot for _, _, slot in node.slot_ids)
            if node.variable is not None:
                self.variables[node.id] = node.variable
            elif node.kind == "resource" and not node.saveable_ids:
                self.unsaved.append(node.id)

    def __len__(self) -> int:
        return len(self.children)

    def matched(self, tracked: Trackables) -> dict[int, int]:
        """Object of the model -> object of the checkpoint, of those that names lead to in
        both."""
        if not len(tracked) or not self.children:
            return {}
        found = {0: 0}
        queue = [0]
        for at in queue:  # grows while it is walked
            children = tracked.children(found[at])
            for name, to in self.children[at]:
                other = children.get(name)
                if other is None or not 0 <= other < len(tracked):
                    continue
                if to not in found and 0 <= to < len(self):
                    found[to] = other
                    queue.append(to)
        return found

    def reached(self) -> set[int]:
        """The objects that the root reaches."""
        seen = {0}
        queue = [0] if self.children else []
        for at in queue:  # grows while it is walked
            for _, to in self.children[at]:
                if 0 <= to < len(self) and to not in seen:
                    seen.add(to)
                    queue.append(to)
        return seen


def matched(objects: ObjectGraph, tracked: Trackables) -> dict[int, int]:
    """`Outline.matched`, for who looks at these objects once."""
    return Outline(objects).matched(tracked)


def wanted_by_objects(
    outline: Outline, tracked: Trackables, matched: dict[int, int]
) -> list[Wanted]:
    """What tf.saved_model.load restores: variables of the model, by the checkpoint's keys.

    Args:
        matched: Object of the model -> object of the checkpoint.
    """
    out: list[Wanted] = []
    numbers = {name: i for i, name in dtypes.NAMES.items()}
    for at, stored in matched.items():
        variable = outline.variables.get(at)
        key = tracked.key(stored, "VARIABLE_VALUE")
        if variable is not None and key is not None:
            shape = variable.shape
            dims = None if shape is None else tuple([-1 if d is None else d for d in shape])
            out.append((key.encode(), numbers.get(variable.dtype), dims))
    return out
