"""What the nodes of a graph are that are no part of a model: they train, save, sum up, or tell.

Source: tensorflow/python/ops/gradients_util.py (names of nodes that compute gradients),
training/optimizer.py, summary/summary.py, ops/control_flow_assert.py (2.21).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...graph.edges import Edges
    from .flow import Flow

#: How ops are called that change what others read.
_UPDATES = (
    b"Assign", b"Apply", b"SparseApply", b"ResourceApply", b"ResourceSparseApply",
    b"ResourceScatter", b"ScatterAdd", b"ScatterDiv", b"ScatterMax", b"ScatterMin", b"ScatterMul",
    b"ScatterSub", b"ScatterUpdate", b"ScatterNdAdd", b"ScatterNdMax", b"ScatterNdMin",
    b"ScatterNdSub", b"ScatterNdUpdate", b"StridedSliceAssign", b"ResourceStridedSliceAssign",
    b"QueueEnqueue", b"QueueClose", b"LookupTableInsert", b"LookupTableImport",
    b"InitializeTable", b"Accumulator", b"ResourceAccumulator", b"BoostedTreesUpdate",
)  # fmt: skip

_SAVES = frozenset([
    b"Save", b"SaveSlices", b"SaveV2", b"Restore", b"RestoreSlice", b"RestoreV2",
    b"MergeV2Checkpoints", b"ShardedFilename",
])  # fmt: skip

#: Ops that only tell of what they are given.
_TELLS = frozenset(b"Assert PrintV2 WriteFile Abort NoOp ControlTrigger".split())

#: What is made of these is no more an output than they are.
_SPREADS = frozenset(["update", "gradient", "save", "summary"])


def roles_of(edges: Edges, flow: Flow) -> dict[int, str]:
    """Those nodes, and what is made of them, each with what it is: "update", "gradient", "save",
    "summary" or "tells"."""
    why: dict[int, str] = {}
    for row in flow.rows:
        kind = _kind(edges.op(row), edges.name(row))
        if kind is None:
            lost = [t for t in flow.taken[row] if why.get(t, "") in _SPREADS]
            if lost:
                made_of = {t.row for t in edges.inputs(row) if not t.control}
                kind = next((why[t] for t in lost if t in made_of), None)
        if kind is not None:
            why[row] = kind
    return why


def _kind(op: bytes, name: bytes) -> str | None:
    """What a node is that is no part of a model, by its op and its name."""
    if op in _SAVES:
        return "save"
    if op in _TELLS:
        return "tells"
    if op.startswith(_UPDATES):
        return "update"
    if b"Summary" in op:
        return "summary"
    return "gradient" if in_gradients(name) else None


def in_gradients(name: bytes) -> bytes | None:
    """What of a node's name stands behind the scope of gradients; None for any other node."""
    if b"gradient" not in name:
        return None
    parts = name.split(b"/")
    for i, part in enumerate(parts[:-1]):
        scope, _, number = part.rpartition(b"_")
        if part in (b"gradients", b"gradient_tape") or (scope == b"gradients" and number.isdigit()):
            return b"/".join(parts[i + 1 :])
    return None
