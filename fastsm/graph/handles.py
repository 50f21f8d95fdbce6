"""Handles of variables against the objects that they are: what two kinds of loaders restore.

Session loaders run the saver's restore op, which puts the values of keys into handles of the
main graph. ``tf.saved_model.load`` puts them into objects. Which handle is which object is told
by the calls of the main graph: the last inputs of a call are what its function captures, and
the object graph lists the same, in the same order, as objects.

Models of Keras 3 have two Python objects for a variable, and TensorFlow makes a handle for
each. So a key may go into a handle that nothing reads (``Variable_3``), and the one that the
signatures read gets the value of another key, or none at all.
Source: tensorflow/python/saved_model/save.py _map_captures_to_created_tensors,
_call_function_with_mapped_captures (2.21).
"""

from __future__ import annotations

from collections import Counter

from .edges import Live
from .nodes import CALLS, node_of
from .references import tensors_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._core import BundleIndex
    from ..views import MetaGraph
    from .edges import Edges
    from .objects import ObjectGraph
    from .restoring import Restoring
    from .tracked import Trackables

_HANDLE = b"VarHandleOp"


class Twin:
    """A variable with two handles: one that is read, and one that its key is put into.

    Attributes:
        object_id: The variable.
        key: Its key in the checkpoint.
        read: The row of the handle that calls take for it.
        written: That of the handle which the key is restored into; nothing else takes it.
        other_key: The key that is restored into ``read``; None where nothing is.
    """

    __slots__ = ("key", "object_id", "other_key", "read", "written")

    def __init__(
        self, object_id: int, key: bytes, read: int, written: int, other_key: bytes | None
    ) -> None:
        self.object_id = object_id
        self.key = key
        self.read = read
        self.written = written
        self.other_key = other_key

    def is_doubled(self, index: BundleIndex, rows: Mapping[bytes, int]) -> bool | None:
        """Whether both keys look the same in a bundle, by size and checksum.

        None where there are not two of one dtype and shape, neither in slices.

        Args:
            rows: Key -> its row in the index.
        """
        a, b = rows.get(self.key), rows.get(self.other_key or b"")
        if a is None or b is None:
            return None
        one, other = index.entry(a), index.entry(b)
        if one[:2] != other[:2] or one[6] or other[6]:
            return None
        return one[4:6] == other[4:6]

    def __repr__(self) -> str:
        return f"Twin({self.object_id}, {self.key!r}, {self.read}, {self.written})"


class Handles:
    """The handles of a meta graph that tf.saved_model.load loads by its objects.

    Args:
        restoring: What its saver restores.
        tracked: The checkpoint's own object graph.
        found: What `matched` found of the two object graphs.

    Attributes:
        twins: The variables with two handles, by the row that is read.
        unrestored: (row, object) of other variables that calls take and that nothing gives a
            value: neither the restore op, nor the init op.

    Raises:
        FormatError: The graph is damaged.
        RefusedError: The restore op does not tell by constants which tensors it reads.
    """

    def __init__(
        self,
        graph: MetaGraph,
        edges: Edges,
        restoring: Restoring,
        tracked: Trackables,
        found: Mapping[int, int],
    ) -> None:
        self.twins: list[Twin] = []
        self.unrestored: list[tuple[int, int]] = []
        objects, called = graph.objects, restoring.called
        if objects is None or called is None:
            return
        self._edges = edges
        restores = _Restores(restoring)
        self._init = self._read = b""
        self._names: Counter[tuple[bytes, bytes]] = Counter()
        pairs = _paired(edges, objects)
        for row, to in pairs.items():
            key = (tracked.key(found.get(to, -1), "VARIABLE_VALUE") or "").encode()
            written = restores.elsewhere(key, row)
            if written is None and row in restores.given:
                continue
            if not self._init:
                self._run(graph)
            if self._init[row] or self._is_shared(row):
                continue
            if written is not None and written not in pairs and self._is_alike(row, written):
                self.twins.append(Twin(to, key, row, written, restores.key_of(row)))
            elif row not in restores.given:
                self.unrestored.append((row, to))

    def _run(self, graph: MetaGraph) -> None:
        """See which nodes run when a model is loaded, and which for any signature, too."""
        live = Live(self._edges)
        init = graph.init_op
        self._edges.walk(live, self._rows([init.name] if init else []))
        self._init = bytes(live.nodes)
        tensors = [
            tensor for signature in graph.signature_defs.values()
            for info in signature.outputs.values() for tensor in tensors_of(info)
        ]  # fmt: skip
        self._edges.walk(live, self._rows(tensors))
        self._read = bytes(live.nodes)
        owners = range(self._edges.n_functions + 1)
        rows = [row for o in owners for row in self._edges.with_op(_HANDLE, owner=o)]
        self._names = Counter(self._edges.node(row).shared_name for row in rows)

    def _is_shared(self, row: int) -> bool:
        """Whether another node makes the same handle."""
        return self._names[self._edges.node(row).shared_name] > 1

    def _rows(self, tensors: Iterable[str]) -> list[int]:
        found = [self._edges.row(node_of(t.encode("utf-8", "surrogateescape"))) for t in tensors]
        return [row for row in found if row is not None]

    def _is_alike(self, read: int, written: int) -> bool:
        """Whether two handles may be of one variable, and nothing reads the second."""
        if self._edges.op(written) != _HANDLE or self._read[written] or self._is_shared(written):
            return False
        a, b = self._edges.node(read), self._edges.node(written)
        return a.dtype("dtype") == b.dtype("dtype") and a.shape("shape") == b.shape("shape")


class _Restores:
    """Which key goes into which handle.

    Attributes:
        given: The rows of all handles that the restore function does anything with.
    """

    def __init__(self, restoring: Restoring) -> None:
        assert restoring.called is not None
        self.given: set[int] = set()
        self._of: dict[int, bytes | None] = {}  # None: several, or it cannot be told
        self._into: dict[bytes, int | None] = {}
        for action in restoring.actions:
            rows = [restoring.called.inputs[i] for i in action.arguments]
            self.given.update(rows)
            if len(rows) == len(action.tensors) == 1 and rows[0] >= 0:
                [key], [row] = restoring.keys(action), rows
                self._of[row] = None if row in self._of else key
                self._into[key] = None if key in self._into else row
            else:
                self._of.update(dict.fromkeys(rows))

    def key_of(self, row: int) -> bytes | None:
        """The one key that goes into a handle."""
        return self._of.get(row)

    def elsewhere(self, key: bytes, row: int) -> int | None:
        """The one other handle that a key goes into, and no other key does.

        None where that cannot be told, or several keys go into this one.
        """
        other = self._into.get(key)
        if other is None or other == row or self._of.get(other) != key:
            return None
        return None if row in self._of and self._of[row] is None else other


def _paired(edges: Edges, objects: ObjectGraph) -> dict[int, int]:
    """Handle -> object, of the variables that the calls of the main graph take.

    A handle that is two objects, or an object that is two handles, is left out.
    """
    captured: dict[bytes, tuple[int, list[int]]] = {}
    found: dict[int, set[int]] = {}
    handles: dict[int, set[int]] = {}
    for call in edges.with_op(*CALLS):
        name = edges.node(call).function("f")
        if name not in captured:
            captured[name] = _captured(edges, name, objects)
        n, bound = captured[name]
        taken = [i for i in edges.inputs(call) if not i.control] if bound else []
        if not bound or not len(bound) <= len(taken) == n:
            continue
        for i, to in zip(taken[-len(bound) :], bound, strict=True):
            if 0 <= to < len(objects) and i.row >= 0 and edges.op(i.row) == _HANDLE:
                found.setdefault(i.row, set()).add(to)
                handles.setdefault(to, set()).add(i.row)
    return {
        handle: min(to) for handle, to in sorted(found.items())
        if len(to) == 1 and len(handles[min(to)]) == 1 and objects[min(to)].kind == "variable"
    }  # fmt: skip


def _captured(edges: Edges, name: bytes, objects: ObjectGraph) -> tuple[int, list[int]]:
    """How many arguments a function has, and what the last of them are: objects."""
    concrete = objects.concrete_functions.get(name.decode("utf-8", "surrogateescape"))
    owner = edges.nodes.function(name)
    if concrete is None or owner is None:
        return 0, []
    return len(edges.nodes.arguments(owner)), concrete.bound_inputs
