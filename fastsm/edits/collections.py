"""Taking entries that lead nowhere out of collections, so that Python can import the rest."""

from __future__ import annotations

from ..graph.collections import COLLECTION, dangling, entries
from ..graph.nodes import Graph, node_of
from ..plan import enclosing
from ..source import LEN, last
from ..text import printable
from ..views import INIT_COLLECTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..graph.collections import Entry
    from ..plan import Rewrite
    from ..views import MetaGraph
    from .draft import Draft


def remove_dangling(draft: Draft) -> list[str]:
    """Let go the entries for which Python's loaders fail. A collection that loses its last goes
    whole: TensorFlow writes none that is empty.

    What loading runs is no entry that may go. Nor is a variable that is in the graph where no
    saver restores it: without its entry v1 would load the model, and not restore it.

    Returns:
        Of each entry that stays, why.
    """
    rewrite = draft.rewrite()
    left = []
    for graph in draft.graphs:
        left += [
            f"{entry.place} stays: it names what is not there, and by it alone, as there is no "
            f"saver, {printable(entry.names[0][0])} is restored"
            for entry in _remove(rewrite, graph)
        ]
    draft.put(rewrite)
    return left


def _remove(rewrite: Rewrite, graph: MetaGraph) -> list[Entry]:
    """Cut out what may go; the entries that may not."""
    nodes = Graph(graph)
    gone: dict[str, list[Entry]] = {}
    kept = []
    is_restored = graph.saver is not None and bool(graph.saver.restore_op)
    there = {} if is_restored else nodes.ops_of(_variables(graph))
    for found in dangling(graph, nodes):
        entry = found.entry
        if entry.collection in INIT_COLLECTIONS:
            continue
        if entry.is_variable and node_of(entry.names[0][0].encode()) in there:
            kept.append(entry)
        else:
            gone.setdefault(entry.collection, []).append(entry)
    sizes: dict[str, int] = {}
    for entry in entries(graph):
        sizes[entry.collection] = sizes.get(entry.collection, 0) + 1
    for entry in (e for those in gone.values() for e in those):
        if len(gone[entry.collection]) < sizes[entry.collection]:
            rewrite.replace(entry.field.start, entry.field.end, b"", enclosing(*entry.within))
    # Of a collection that is there twice the last counts, and the first must not come back.
    for f in graph.fields if gone else ():
        if f.number == COLLECTION and f.wire == LEN:
            key = last(graph.reader.fields([(f.at, f.end)], graph.place), 1)
            name = graph.reader.text(key, graph.place) if key else ""
            if name in gone and len(gone[name]) == sizes[name]:
                rewrite.replace(f.start, f.end, b"", enclosing(graph.field))
    return kept


def _variables(graph: MetaGraph) -> set[bytes]:
    return {node_of(e.names[0][0].encode()) for e in entries(graph) if e.is_variable}
