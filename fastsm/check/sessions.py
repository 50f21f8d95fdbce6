"""Findings of a TF2 model whose loaders do not agree: what the one kind restores and the other
does not, and what keeps the objects of a model from being made.

Source: tensorflow/python/saved_model/load.py (2.21).
"""

from __future__ import annotations

from ..errors import RefusedError
from ..graph.handles import Handles
from ..graph.restoring import restoring_of
from ..graph.tracked import matched
from ..text import counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..graph.edges import Edges
    from ..graph.tracked import Trackables
    from ..views import MetaGraph
    from .model import Damage
    from .report import Report
    from .restore import Entries


def check_handles(
    report: Report,
    damage: Damage,
    graph: MetaGraph,
    edges: Edges,
    tracked: Trackables,
    entries: Entries,
) -> None:
    """What sessions restore into handles, against what tf.saved_model.load does."""
    place = f"{graph.place}.saver_def"
    try:
        handles = damage.guard(lambda: _handles(graph, edges, tracked))
    except RefusedError as e:
        report.skip(f"{place}: which handles it restores into: {e.problem}")
        return
    if handles is None:
        return

    def add(row: int, words: str, key: bytes | None = None) -> None:
        name = printable(edges.name(row))
        report.add("restore-handle", damage.file, f"{name}: {words}", place=place, key=key or name)

    twice = 0
    for twin in handles.twins:
        own, other = printable(twin.key), printable(twin.other_key or b"")
        if twin.other_key is None:
            seen = printable(edges.name(twin.written))
            add(twin.read, f"never restored; {own}, its value, goes into {seen}", twin.key)
            continue
        doubled = twin.is_doubled(entries.index, entries.rows)
        twice += doubled is True
        if doubled is False:
            add(twin.read, f"restored from {other}, not the value of {own}", twin.key)
    for row, _ in handles.unrestored:
        add(row, "never restored")
    if twice:
        words = f"{counted(twice, 'variable')} restored from two keys each, into two handles"
        report.add("restore-twice", damage.file, words, place=place, seen=twice)


def _handles(graph: MetaGraph, edges: Edges, tracked: Trackables) -> Handles:
    objects = graph.objects
    assert objects is not None
    return Handles(graph, edges, restoring_of(graph), tracked, matched(objects, tracked))


def check_slots(report: Report, damage: Damage, graph: MetaGraph) -> None:
    """Slot variables, which only their optimizer's own class can make."""
    objects = graph.objects
    if objects is None:
        return
    owners = [node for node in objects if node.has_slot_variables]
    called = {node: name for node, _, name in objects.walk()} if owners else {}
    for node in owners:
        name = called.get(node.id, "an object")
        n = counted(len(node.slot_variables), "slot variable")
        report.add(
            "object-slots", damage.file, f"{printable(name)} has {n}",
            place=f"{node.place}.slot_variables", key=name,
        )  # fmt: skip
