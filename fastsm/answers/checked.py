"""What verify finds, as obstacles: which loaders fail by it.

Source: tensorflow/python/saved_model/load.py, load_v1_in_v2.py, framework/meta_graph.py,
tensorflow/cc/saved_model/loader.cc (2.21); the verdicts beside the tests hold what came of each.
"""

from __future__ import annotations

from ..check.rules import RULES
from ..check.verify import verify
from ..loaders import LOADERS, Obstacle
from ..loaders.picks import BY_OBJECTS
from ..text import counted
from ..views import loads_by_objects
from .explanation import Hindered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..check.report import Finding
    from ..model import SavedModel
    from ..views import MetaGraph

#: Those that import a graph into a session.
_SESSIONS = ("v1", "cc", "serving")

#: What only tf.saved_model.load minds, where it goes by the objects.
_OF_OBJECTS = frozenset([
    "object-slots", "object-unrestored", "model-object", "object-graph", "object-key",
])  # fmt: skip

#: What is in the way of whoever imports the graph.
_OF_GRAPHS = frozenset(["node-class", "node-input", "node-twice", "op-missing"])

#: What is in the way of whoever restores by the field that the finding's place names.
_OF_VALUES = frozenset(["restore-key", "restore-dtype", "restore-shape"])


def checked(model: SavedModel, graphs: Sequence[MetaGraph]) -> tuple[list[Hindered], list[str]]:
    """The errors of a quick `fastsm.verify`.

    Returns:
        Those of which it is known who fails to load; the others, counted, in words.
    """
    by_objects = loads_by_objects(model.meta_graphs)
    found: dict[tuple[int, str, str], list[Finding]] = {}
    others = 0
    for finding in verify(model.path, quick=True).findings:
        if RULES[finding.id][0] != "error":
            continue
        loaders = _failing(finding, by_objects)
        others += not loaders
        for graph in graphs:
            if finding.place is None or _is_of(finding.place, graph):
                for loader in loaders:
                    found.setdefault((graph.index, loader, finding.id), []).append(finding)
    hindered = []
    for (index, loader, rule), those in found.items():
        more = f" (and {counted(len(those) - 1, 'other')})" if len(those) > 1 else ""
        words = f"{those[0].message}{more}"
        hindered.append(Hindered(index, Obstacle(loader, "load", words, rule=rule)))
    hindered.sort(key=lambda one: (one.meta_graph, LOADERS.index(one.obstacle.loader)))
    notes = [f"fastsm verify finds {counted(others, 'more error')}"] if others else []
    return hindered, notes


def _is_of(place: str, graph: MetaGraph) -> bool:
    return not place.startswith("meta_graphs[") or place.startswith(graph.place)


def _failing(finding: Finding, by_objects: bool) -> tuple[str, ...]:
    """The loaders that do not load by what a finding tells; none where that depends."""
    sessions = _SESSIONS if by_objects else LOADERS
    if finding.id in _OF_OBJECTS:
        return BY_OBJECTS if by_objects else ()
    if finding.id in _OF_GRAPHS:
        return sessions
    if finding.id in _OF_VALUES:
        return BY_OBJECTS if "object_graph_def" in (finding.place or "") else sessions
    if finding.id == "collection-dangling":
        return ("v1",) if by_objects else ("v2", "v1", "tflite")
    if finding.id == "signature-tensor" and not by_objects:
        return BY_OBJECTS
    return ()
