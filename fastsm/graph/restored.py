"""What a graph restores: the keys that it asks a checkpoint for.

Session loaders run the saver's restore op: a RestoreV2 in the main graph (TF1), or in the
function that it calls (TF2).
Source: tensorflow/python/training/saver.py,
tensorflow/python/checkpoint/functional_saver.py (2.21).
"""

from __future__ import annotations

from ..errors import FormatError
from .collections import saved_variables
from .nodes import CALLS, Graph, node_of, output_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..views import MetaGraph
    from .edges import Edges
    from .nodes import Node

    #: (key, DataType or None, shape or None): what something restores.
    Wanted = tuple[bytes, int | None, tuple[int, ...] | None]

#: So many keys that a graph restores are looked at: a small graph may name the same
#: constant of keys again and again.
MAX_WANTED = 1 << 18


class Restored:
    """What a meta graph restores.

    Attributes:
        wanted: Key, dtype and shape of each tensor, MAX_WANTED at most.
        is_all: Whether there is no more: an op was found, and its keys are constants.
    """

    __slots__ = ("is_all", "wanted")

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.is_all = True


def restored(graph: MetaGraph, nodes: Graph | Edges) -> Restored:
    """What the session loaders restore for a meta graph.

    Args:
        nodes: Its nodes.

    Raises FormatError where the graph is damaged.
    """
    found = Restored()
    saver = graph.saver
    if saver is None or not saver.restore_op:
        found.is_all = False
        return found
    restore = node_of(saver.restore_op.encode())
    op = nodes.named([restore]).get(restore)
    if op is not None and op.op in CALLS:
        owner = nodes.function(op.function("f"))
        if owner is None:
            found.is_all = False
        else:
            _find(found, nodes, owner, None)
    else:
        _find(found, nodes, 0, node_of(saver.filename_tensor.encode()))
    return found


def restored_keys(graphs: Iterable[MetaGraph]) -> set[bytes] | None:
    """The keys that any of these restores; None where it cannot be told of each, or of none."""
    keys: set[bytes] = set()
    graphs = list(graphs)
    if not graphs:
        return None
    for graph in graphs:
        try:
            found = restored(graph, Graph(graph))
        except FormatError:
            return None
        if not found.is_all:
            return None
        keys.update(key for key, _, _ in found.wanted)
    return keys


#: Ops that read a checkpoint as well, and are not looked into.
_OLD_READERS = (b"Restore", b"RestoreSlice", b"LoadAndRemapMatrix")


def needed_keys(graph: MetaGraph) -> tuple[set[bytes], str]:
    """Every key that a session could restore for a meta graph, by whichever op: what has to
    stay in the checkpoint for it.

    Returns:
        The keys, and "". Or some of them, and why they may not be all.
    """
    keys: set[bytes] = set()
    try:
        nodes = Graph(graph)
        if nodes.owners(_OLD_READERS):
            return keys, f"{graph.place} has an op that reads checkpoints in an old way"
        found = Restored()
        for owner in nodes.owners([b"RestoreV2"]):
            _find(found, nodes, owner, None)
            if not found.is_all:
                return keys, f"{graph.place} restores keys that it does not name as constants"
        keys.update(key for key, _, _ in found.wanted)
        saver = graph.saver
        if saver is not None and saver.restore_op:
            if not restored(graph, nodes).is_all:
                return keys, f"{graph.place} does not tell what its saver restores"
            return keys, ""
        listed = saved_variables(graph)
    except FormatError as e:
        return keys, f"{graph.place} is damaged: {e.problem}"
    if listed is None:
        return keys, f"{graph.place} has no saver, and its variables are listed as of old"
    return keys | listed, ""


def _find(found: Restored, nodes: Graph | Edges, owner: int, prefix: bytes | None) -> None:
    """What the RestoreV2 nodes of a graph or function read from the checkpoint's prefix."""
    ops = [
        n for n in nodes.with_ops([b"RestoreV2"], owner)
        if len(n.inputs) >= 3 and prefix in (None, node_of(n.inputs[0]))
    ]  # fmt: skip
    constants = nodes.named({node_of(i) for n in ops for i in n.inputs[1:3]}, owner)
    shapes = _variable_shapes(nodes, ops) if owner == 0 else {}
    found.is_all = bool(ops)
    for n in ops:
        names, specs = (constants.get(node_of(i)) for i in n.inputs[1:3])
        if names is None or names.op != b"Const":
            found.is_all = False
            continue
        keys = names.strings()
        slices = specs.strings() if specs is not None and specs.op == b"Const" else []
        types = n.dtypes("dtypes")
        for i, key in enumerate(keys):
            if len(found.wanted) == MAX_WANTED:
                found.is_all = False
                return
            spec = slices[min(i, len(slices) - 1)] if slices else b""
            shape = _full_shape(spec) if spec else shapes.get((n.name, i))
            found.wanted.append((key, types[i] if i < len(types) else None, shape))


def _full_shape(spec: bytes) -> tuple[int, ...] | None:
    """The whole tensor's shape in ``"6 4 0,2:-"``, or None where there is none."""
    words = spec.split(b" ")[:-1]
    if not words or not all(w.isdigit() and len(w) < 19 for w in words):
        return None
    return tuple(map(int, words))


def _variable_shapes(
    nodes: Graph | Edges, restores: list[Node]
) -> dict[tuple[bytes, int], tuple[int, ...]]:
    """(RestoreV2 node, output) -> shape of the variable that it is assigned to, if static."""
    names = {n.name for n in restores}
    if not names:
        return {}
    given = [
        (node_of(n.inputs[0]), n.inputs[1])
        for n in nodes.with_ops([b"Assign", b"AssignVariableOp"]) if len(n.inputs) >= 2
    ]  # fmt: skip
    through = {
        n.name: n.inputs[0]
        for n in nodes.named({node_of(value) for _, value in given} - names).values()
        if n.op == b"Identity" and n.inputs
    }
    assigned: dict[bytes, tuple[bytes, int]] = {}
    for variable, value in given:
        source = through.get(node_of(value), value)
        if node_of(source) in names:
            assigned[variable] = (node_of(source), output_of(source))
    out = {}
    for name, n in nodes.named(assigned).items():
        if n.op in (b"VariableV2", b"Variable", b"VarHandleOp"):
            shape = n.shape("shape")
            if shape is not None and all(d >= 0 for d in shape):
                out[assigned[name]] = shape
    return out
