"""What an init op runs: the ops that do something, behind groups and calls."""

from __future__ import annotations

from ..errors import FormatError
from ..graph.nodes import CALLS, Graph, node_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..graph.nodes import Node
    from ..views import MetaGraph

#: Ops that only wait, hold or hand on.
_IDLE = frozenset([
    b"NoOp", b"Const", b"Identity", b"IdentityN", b"Placeholder", b"VarHandleOp", b"VariableV2",
    b"Variable", b"HashTable", b"HashTableV2", b"MutableHashTable", b"MutableHashTableV2",
    b"ReadVariableOp", *CALLS,
])  # fmt: skip

#: So many nodes are looked at, and so many groups of groups; init ops wait for some ten.
_MAX_NODES, _MAX_DEPTH = 1000, 8


def init_ops(graph: MetaGraph, name: str) -> list[str] | None:
    """The ops that an init op runs, through what it waits for and the functions it calls.

    Returns:
        Their names, sorted; None where the graph does not tell, or there are too many nodes.
    """
    try:
        nodes = _nodes(Graph(graph), node_of(name.encode("utf-8", "surrogateescape")))
        ops = {node.op for node in nodes} - _IDLE
    except (FormatError, _TooMany):
        return None
    return sorted(op.decode("utf-8", "replace") for op in ops)


class _TooMany(Exception):
    """There are more nodes than are looked at."""


def _nodes(graph: Graph, init: bytes) -> Iterator[Node]:
    """What an init op is, and waits for; and all of the functions that these call."""
    n = 0
    known: set[bytes] = set()
    wanted = {init}
    called: dict[int, None] = {}
    for _ in range(_MAX_DEPTH):
        known |= wanted
        found = list(graph.named(wanted).values()) if wanted else []
        wanted = {node_of(taken) for node in found if node.op == b"NoOp" for taken in node.inputs}
        wanted -= known
        n += len(known)
        if n > _MAX_NODES:
            raise _TooMany
        called.update(dict.fromkeys(_called(graph, found)))
        yield from found
    if wanted:
        raise _TooMany
    queue = list(called)
    for owner in queue:  # grows while it is walked
        rows = graph.body(owner)
        n += len(rows)
        if n > _MAX_NODES:
            raise _TooMany
        found = [graph.at(row) for row in rows]
        more = [to for to in _called(graph, found) if to not in called]
        called.update(dict.fromkeys(more))
        queue += dict.fromkeys(more)
        yield from found


def _called(graph: Graph, nodes: Iterable[Node]) -> Iterator[int]:
    """The functions that nodes call."""
    for node in nodes:
        owner = graph.function(node.function("f") if node.op in CALLS else node.op)
        if owner is not None:
            yield owner
