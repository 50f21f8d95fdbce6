"""How much there is of a model: what a person compares before and after."""

from __future__ import annotations

from ... import _core
from ...bundle import OBJECT_GRAPH_KEY
from ...text import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..draft import Draft


class Counts(Record):
    """What a model consists of, by now.

    Attributes:
        nodes: Of the main graphs.
        functions, function_nodes: In the libraries.
        objects: In the object graphs.
        variables: Keys of the checkpoint; a partitioned one is one, its object graph none.
        variable_bytes: Of the shards.
        signatures: Their keys, sorted, each once.
    """

    __slots__ = (
        "function_nodes", "functions", "nodes", "objects", "signatures", "variable_bytes",
        "variables",
    )  # fmt: skip

    def __init__(self, draft: Draft, kept: set[bytes] | None = None) -> None:
        """Count.

        Args:
            kept: The keys that the checkpoint has now; None for those that it had.
        """
        graphs = draft.graphs
        for graph in graphs:
            graph.node_index(2)  # which is needed anyway: one pass less
        self.nodes = sum(graph.n_nodes for graph in graphs)
        self.functions = sum(graph.n_functions for graph in graphs)
        self.function_nodes = sum(graph.n_function_nodes for graph in graphs)
        self.objects = sum(graph.n_objects for graph in graphs)
        self.signatures = sorted({key for graph in graphs for key in graph.signatures})
        keys = variable_keys(draft)
        self.variables = len(keys if kept is None else kept.intersection(keys))
        self.variable_bytes = _bytes(draft)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(self.__slots__)}


def variable_keys(draft: Draft) -> list[bytes]:
    """The keys of the checkpoint as it was, without those of slices and of its object graph."""
    keys = draft.bundle.index.keys() if draft.bundle else []
    return [
        key for key in keys
        if key != OBJECT_GRAPH_KEY and (key[:1] != b"\0" or _core.parse_slice_key(key) is None)
    ]  # fmt: skip


def _bytes(draft: Draft) -> int:
    new = draft.variables
    if new is not None:
        return new.bytes_after
    if draft.bundle is None:
        return 0
    index = draft.bundle.index
    return sum(draft.bundle.shard(shard).identity.size for shard in index.shards())
