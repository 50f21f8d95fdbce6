"""Findings of the collections: entries for which Python's loaders do not load the model."""

from __future__ import annotations

from ..graph.collections import dangling
from ..text import printable
from ..views import INIT_COLLECTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..graph.nodes import Graph
    from ..views import MetaGraph
    from .model import Damage
    from .report import Report


def check_collections(
    report: Report, damage: Damage, graph: MetaGraph, nodes: Graph, *, by_objects: bool
) -> None:
    """Names in the collections of a meta graph against its nodes.

    Args:
        by_objects: Whether tf.saved_model.load goes by the model's objects, and so looks
            at no collection.
    """
    damage.guard(lambda: _check(report, damage.file, graph, nodes, by_objects))


def _check(
    report: Report, file: str, graph: MetaGraph, nodes: Graph, by_objects: bool
) -> None:
    who = "the v1 loader fails" if by_objects else "Python's loaders fail"
    init_op = graph.init_op
    for found in dangling(graph, nodes):
        rule, collection = "collection-dangling", found.entry.collection
        if collection in INIT_COLLECTIONS:
            rule = "op-missing"
            told = (init_op.source, init_op.name) if init_op else None
            if found.name and told == (collection, found.name):
                continue  # among what loading runs
        report.add(
            rule, file, f'"{printable(found.name)}": {found.problem}; {who}',
            place=found.entry.place, key=found.name,
        )  # fmt: skip
