"""Where the path of an asset goes: from the tensor that is fed it to the ops that take it.

Source: tensorflow/python/trackable/asset.py, tensorflow/core/ops/lookup_ops.cc,
io_ops.cc (2.21).
"""

from __future__ import annotations

from .nodes import CALLS, node_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .nodes import Graph, Node

    #: Something that holds a path: the graph or function that it is of, and the node or
    #: the argument.
    Holder = tuple[int, bytes]

#: Ops that give what they take.
_SAME = frozenset([b"Identity", b"ReadVariableOp"])

#: Ops of a variable that holds a path, which do nothing with the path.
_ABOUT = frozenset([b"VarIsInitializedOp", b"IsVariableInitialized", b"DestroyResourceOp"])

#: Ops that write their second input into the variable that is their first.
_ASSIGN = frozenset([b"AssignVariableOp", b"Assign"])

#: Ops that open the file of the path that they take, and no other.
OPENERS = frozenset([
    "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "InitializeTRTResource",
    "InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "ReadFile",
    "TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset",
])  # fmt: skip

#: So many nodes are read: a hostile graph may hand a path on from one to the next, or have each
#: of a million take it. That would be seconds; models have some ten.
_MAX_NODES = 1 << 20

#: What going through a graph counts as, in nodes that are read: an eighth of its own, and for
#: a small one so many.
_PASS, _LEAST = 8, 100

#: More assets than this are not followed: each node notes which it holds.
_MAX_ASSETS = 1000


def takers(graph: Graph) -> list[set[str]] | None:
    """The ops that take the path of each asset of a meta graph in the end.

    Through variables, identities and calls; a control input takes nothing.

    Returns:
        The ops of each asset, in the order of its assets; None where there is too much to
        follow.

    Raises FormatError where the graph is damaged.
    """
    assets = graph.graph.assets
    if len(assets) > _MAX_ASSETS:
        return None
    taken: dict[bytes, int] = {}  # op -> the assets whose paths it takes, by bits
    held: dict[Holder, int] = {}  # which assets' paths a holder may have, by bits
    for i, asset in enumerate(assets):
        holder = 0, node_of(asset.tensor.encode("utf-8", "surrogateescape"))
        held[holder] = held.get(holder, 0) | 1 << i
    for holder, i in _captured(graph):
        held[holder] = held.get(holder, 0) | 1 << i
    fresh: dict[int, dict[bytes, int]] = {}  # those of `held` that were not followed yet
    for (owner, name), bits in held.items():
        fresh.setdefault(owner, {})[name] = bits
    left = _MAX_NODES
    while fresh:
        owner, here = fresh.popitem()
        left -= max(graph.size(owner) // _PASS, _LEAST)
        for node in graph.mentioning(here, owner):
            left -= 1
            if left < 0:
                return None
            for to, bits in _steps(graph, node, owner, here):
                if to is None:
                    taken[node.op] = taken.get(node.op, 0) | bits
                elif bits & ~held.get(to, 0):
                    held[to] = held.get(to, 0) | bits
                    known = fresh.setdefault(to[0], {})
                    known[to[1]] = known.get(to[1], 0) | bits
        if left < 0:
            return None
    return [
        {op.decode("utf-8", "replace") for op, bits in taken.items() if bits >> i & 1}
        for i in range(len(assets))
    ]


def _captured(graph: Graph) -> Iterator[tuple[Holder, int]]:
    """The arguments by which functions of a TF2 model capture an asset: (holder, asset)."""
    objects = graph.graph.objects
    n = len(graph.graph.assets)
    found = ((node.id, node.asset_index) for node in objects or ())
    indices = {node_id: index for node_id, index in found if index is not None}
    if objects is None or not indices:
        return
    for name, concrete in objects.concrete_functions.items():
        captures = [indices.get(to) for to in concrete.bound_inputs]
        function = graph.function(name.encode("utf-8", "surrogateescape"))
        if function is None or all(index is None for index in captures):
            continue
        names = graph.arguments(function)[-len(captures) :]
        for argument, index in zip(names, captures, strict=False):
            if index is not None and -n <= index < n:
                yield (function, argument), index % n


def _steps(
    graph: Graph, node: Node, owner: int, here: dict[bytes, int]
) -> Iterator[tuple[Holder | None, int]]:
    """What a node does with what it takes of these: (what holds it then, or None; the bits)."""
    for i, taken in enumerate(node.inputs):
        bits = 0 if taken.startswith(b"^") else here.get(node_of(taken), 0)
        if not bits or node.op in _ABOUT:
            continue
        if node.op in _SAME:
            yield (owner, node.name), bits
        elif node.op not in _ASSIGN:
            yield _argument(graph, node, i), bits
        elif i == 1:
            yield (owner, node_of(node.inputs[0])), bits


def _argument(graph: Graph, node: Node, i: int) -> Holder | None:
    """What input i of a call is in the function that it calls; None for any other node."""
    function = graph.function(node.function("f") if node.op in CALLS else node.op)
    if function is None:
        return None
    names = graph.arguments(function)
    return (function, names[i]) if i < len(names) else None
