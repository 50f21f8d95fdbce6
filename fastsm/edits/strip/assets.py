"""Which assets of a meta graph stay."""

from __future__ import annotations

from ...graph.nodes import fed_tensor
from ...plan import enclosing
from ...source import LEN
from ..mend_assets import odd_taker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from ...graph.edges import Edges
    from ...plan import Rewrite
    from ...views import MetaGraph

_ASSET_FILE_DEF = 6  # of MetaGraphDef


def nodes(graph: MetaGraph, edges: Edges) -> list[int | None]:
    """The node that each asset is fed to; None where there is none of that name."""
    return [edges.row(fed_tensor(asset)[0]) for asset in graph.assets]


def must_all_stay(graph: MetaGraph) -> str | None:
    """Why no asset of a meta graph may go, in words; None where one may.

    Without an object graph nothing tells of files that are found beside the one that is
    named: an op that is not known to open that file alone may look for others.
    """
    return None if graph.object_spans else odd_taker(graph)


def write(rewrite: Rewrite, graph: MetaGraph, kept: Container[int]) -> dict[int, int]:
    """Cut out the definitions of all other assets; returns old index -> new."""
    found = [f for f in graph.fields if f.number == _ASSET_FILE_DEF and f.wire == LEN]
    ids: dict[int, int] = {}
    for i, field in enumerate(found):
        if i in kept:
            ids[i] = len(ids)
        else:
            rewrite.replace(field.start, field.end, b"", enclosing(graph.field))
    return ids
