"""Findings of a TF2 model whose loaders do not agree: what the one kind restores and the other
does not, and what keeps the objects of a model from being made.

Source: tensorflow/python/saved_model/load.py (2.21).
"""

from __future__ import annotations

from ..text import counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..views import MetaGraph
    from .model import Damage
    from .report import Report


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
