"""Slot variables of optimizers, taken out of the saved object graph so that it loads.

``tf.saved_model.load`` makes a slot variable by a method of its optimizer, ``add_slot``. Where
the optimizer's class is not there (that of TF1 never is, that of Keras 2 only where its library
was imported), the optimizer is an object without methods, and loading fails. Without the
reference the variable is loaded as every other one.
Source: tensorflow/python/saved_model/load.py Loader._load_nodes (2.21).
"""

from __future__ import annotations

from .. import _core
from ..bundle import OBJECT_GRAPH_KEY
from ..errors import CoreError, RefusedError
from ..graph.object_edits import CheckpointObjectEdits, SavedObjectEdits
from ..graph.tracked import Trackables, matched
from ..views import loads_by_objects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..graph.objects import ObjectGraph, ObjectNode, SlotVariable
    from .draft import Draft


def remove_slots(draft: Draft) -> list[str]:
    """Take the references to slot variables out of a model that is loaded by its objects.

    A slot variable that a saved function takes, a training step, becomes a child of its
    optimizer, in the checkpoint's own object graph too: else nothing would restore it.

    Returns:
        The slots that went, as ``optimizer/m``, in file order.

    Raises:
        RefusedError: The checkpoint's own object graph has to follow, and is damaged.
        FormatError: The model is damaged.
    """
    if not loads_by_objects(draft.graphs):
        return []
    edits = SavedObjectEdits(draft.graphs[0])
    objects = edits.graph
    owners = [node for node in objects if node.has_slot_variables]
    if not owners:
        return []
    lost = _lost(objects, owners)
    tracked = _Tracked(draft, edits) if lost else None
    called = {node: name for node, _, name in objects.walk()}
    names = []
    for node in owners:
        for slot in node.slot_variables:
            edits.replace(node.id, slot.field.start, slot.field.end, b"")
            names.append(f"{called.get(node.id, node.id)}/{slot.name}")
            if tracked is not None and slot.variable_id in lost:
                lost.remove(slot.variable_id)
                tracked.add_child(node, slot)
    rewrite = draft.rewrite()
    edits.into(rewrite)
    if tracked is not None:
        tracked.put()
    draft.put(rewrite)
    return names


def _lost(objects: ObjectGraph, owners: list[ObjectNode]) -> set[int]:
    """The slot variables that functions take, and that nothing but their slot leads to."""
    slots = {slot.variable_id for node in owners for slot in node.slot_variables}
    functions = objects.concrete_functions.values()
    taken = slots.intersection(i for f in functions for i in f.bound_inputs)
    return taken.difference(node for node, _, _ in objects.walk()) if taken else taken


class _Tracked:
    """The children that slot variables become, in both object graphs."""

    def __init__(self, draft: Draft, edits: SavedObjectEdits) -> None:
        self._draft = draft
        self._saved = edits
        self._edits: CheckpointObjectEdits | None = None
        self._matched: dict[int, int] = {}
        self._slots: dict[tuple[int, str, int], int] = {}
        reader = draft.tracked
        if reader is None:
            return
        try:
            tables = _core.ObjectGraph(reader.source.read(0, reader.source.size))
        except CoreError as e:
            raise RefusedError(
                draft.path, f"the checkpoint's own object graph has to follow, and is damaged: {e}"
            ) from None
        self._matched = matched(edits.graph, Trackables(tables))
        # (optimizer, slot, variable) -> slot variable, all by their numbers in the checkpoint
        self._slots = {(at, name, of): to for at, name, of, to in tables.slots}
        self._edits = CheckpointObjectEdits(reader, OBJECT_GRAPH_KEY.decode())

    def add_child(self, node: ObjectNode, slot: SlotVariable) -> None:
        """Let a slot variable be a child of its optimizer, where the checkpoint knows it."""
        owner, of = self._matched.get(node.id), self._matched.get(slot.original_id)
        if self._edits is None or owner is None or of is None:
            return
        to = self._slots.get((owner, slot.name, of))
        if to is not None:
            name = f"{slot.name}_{slot.original_id}"
            self._saved.add_child(node.id, name, slot.variable_id)
            self._edits.add_child(owner, name, to)

    def put(self) -> None:
        if self._edits is not None:
            self._draft.put_tracked(self._edits.source())
