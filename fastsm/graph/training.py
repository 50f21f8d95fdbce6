"""Which functions of a library train, and which compute gradients of others.

A function trains if it, or one that it names, applies gradients: an op of an optimizer, or
gradients and an assignment together. That is a guess, and called one where it is told.

Source: tensorflow/core/ops/training_ops.cc, resource_variable_ops.cc;
tensorflow/python/eager/backprop.py, tensorflow/python/ops/gradients_util.py (names of nodes);
tensorflow/python/eager/polymorphic_function/atomic_function.py (names of gradients) (2.21).
"""

from __future__ import annotations

from ..source import last

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .edges import Edges

#: What the ops of optimizers begin with.
APPLIES = (b"Apply", b"SparseApply", b"ResourceApply", b"ResourceSparseApply")

#: The name scopes in which gradients are computed: of a tape, and of tf.gradients.
SCOPES = frozenset([b"gradient_tape", b"gradients"])

#: By which attributes a function names those that compute its gradient, and how an op names the
#: type under which its gradient is registered.
_NAMED = ("forward_function_name", "backward_function_name")
_OP_TYPE = "_gradient_op_type"


class Training:
    """What of a function library trains, and what gradients need.

    Args:
        edges: The edges of its graph.

    Attributes:
        functions: The names of functions that train, and of those that name them.

    Raises FormatError where the graph is damaged.
    """

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        owners = range(1, edges.n_functions + 1)
        self._callees: list[list[int]] = [[], *map(edges.callees, owners)]  # by owner
        self._callers: list[list[int]] = [[] for _ in self._callees]
        for owner in owners:
            for callee in self._callees[owner]:
                self._callers[callee].append(owner)
        self._pairs = _lists(edges.gradients())
        self._registered = _lists(edges.registered_gradients())
        self._gradients: dict[int, set[bytes]] = {}
        self.functions = {self._name(owner) for owner in self._find()}

    def called(self, names: Iterable[str]) -> set[str]:
        """These functions, and all that they name, and that those name."""
        return {self._name(owner) for owner in self._below(self._owners(names))}

    def gradients(self, names: Iterable[str]) -> set[str]:
        """The functions that compute gradients of these, and of those that they name."""
        found: set[bytes] = set()
        for owner in self._below(self._owners(names)):
            found |= self._gradients_of(owner)
        return {self._name(owner) for owner in self._known(found)}

    def _gradients_of(self, owner: int) -> set[bytes]:
        """The functions that a function names as its gradient, or as that of its nodes."""
        found = self._gradients.get(owner)
        if found is None:
            name = self._edges.nodes.function_name(owner)
            named = (self._edges.function_attr(owner, attr) for attr in _NAMED)
            found = {function for function in named if function}
            found.update(self._pairs.get(name, ()))
            for op_type in self._op_types(owner):
                found.update(self._registered.get(op_type, ()))
            self._gradients[owner] = found
        return found

    def _op_types(self, owner: int) -> set[bytes]:
        """The types under which the gradients of a function's nodes are registered."""
        if not self._registered:
            return set()
        nodes, found = self._edges.nodes, set()
        for node in nodes.mentioning([_OP_TYPE.encode()], owner):
            op_type = last(node.attr(_OP_TYPE), 2)
            if op_type is not None:
                found.add(nodes.graph.reader.bytes(op_type, node.place))
        return found

    # -- which train --

    def _find(self) -> set[int]:
        ops = self._edges.nodes.index.names()
        found = self._above(self._using(op for op in ops if op.startswith(APPLIES)))
        assigning = self._above(
            self._using(op for op in ops if op.startswith(b"Assign") and op.endswith(b"VariableOp"))
        )
        unknown = self._below(assigning - found)
        computing = self._above({owner for owner in unknown if self._has_gradients(owner)})
        return found | (assigning & computing)

    def _using(self, ops: Iterable[bytes]) -> set[int]:
        """The functions with nodes of these ops."""
        return set(self._edges.nodes.index.using(ops)) - {0}

    def _has_gradients(self, owner: int) -> bool:
        """Whether nodes of a function stand in a scope of gradients."""
        edges = self._edges
        names = (edges.name(row) for row in edges.rows(owner))
        return any(not SCOPES.isdisjoint(name.split(b"/")[:-1]) for name in names)

    # -- the library --

    def _above(self, owners: Iterable[int]) -> set[int]:
        """Functions, and all that name them."""
        return _reached(owners, self._callers)

    def _below(self, owners: Iterable[int]) -> set[int]:
        """Functions, and all that they name."""
        return _reached(owners, self._callees)

    def _owners(self, names: Iterable[str]) -> set[int]:
        return self._known(name.encode("utf-8", "surrogateescape") for name in names)

    def _known(self, names: Iterable[bytes]) -> set[int]:
        """Those functions that the library has."""
        return {owner for owner in map(self._edges.nodes.function, names) if owner is not None}

    def _name(self, owner: int) -> str:
        return self._edges.nodes.function_name(owner).decode("utf-8", "surrogateescape")


def _reached(start: Iterable[int], leads: list[list[int]]) -> set[int]:
    found = set(start)
    queue = list(found)
    for owner in queue:  # which grows meanwhile
        for to in leads[owner]:
            if to not in found:
                found.add(to)
                queue.append(to)
    return found


def _lists(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    out: dict[bytes, list[bytes]] = {}
    for key, value in pairs:
        out.setdefault(key, []).append(value)
    return out
