"""Which signatures each loader finds in a meta graph, and what else can be called.

Source: tensorflow/python/saved_model/load.py, signature_serialization.py, load_v1_in_v2.py
_extract_signatures, tensorflow/cc/saved_model/loader.cc (2.21).
"""

from __future__ import annotations

from ..graph.objects import SIGNATURE_MAP, SIGNATURES_CHILD
from ..views import loads_by_objects
from .picks import BY_OBJECTS, LOADERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import SavedModel
    from ..views import MetaGraph


def seen(model: SavedModel, graph: MetaGraph) -> dict[str, list[str]]:
    """Signature -> the loaders that find it; those of signature_def first, in file order.

    Raises FormatError where the meta graph is damaged.
    """
    listed = graph.signatures.keys()
    named = _named(graph) if loads_by_objects(model.meta_graphs) else listed
    return {
        key: [x for x in LOADERS if key in (named if x in BY_OBJECTS else listed)]
        for key in dict.fromkeys([*listed, *named])
    }


def methods(model: SavedModel) -> list[str]:
    """The functions that tf.saved_model.load gives as attributes of what it returns.

    Raises FormatError where the object graph is damaged.
    """
    graphs = model.meta_graphs
    objects = graphs[0].objects if loads_by_objects(graphs) else None
    if objects is None or not len(objects):
        return []
    root = objects.root
    return [
        name
        for i, (name, node) in enumerate(root.child_ids)
        if objects.child_at(root, i, node).kind == "function"
    ]


def _named(graph: MetaGraph) -> dict[str, None]:
    """The signatures that the object graph has."""
    objects = graph.objects
    if objects is None or not len(objects):
        return {}
    holder = objects.child(objects.root, SIGNATURES_CHILD)
    if holder is None or holder.identifier != SIGNATURE_MAP:
        return {}
    return dict.fromkeys(name for name, _ in holder.child_ids)
