"""What a TF2 model says twice: its signatures.

Sessions go by signature_def, tf.saved_model.load by the saved objects.
Source: tensorflow/python/saved_model/load.py (2.21).
"""

from __future__ import annotations

from ..graph.objects import SIGNATURE_MAP, SIGNATURES_CHILD
from ..text import printable
from ..views import RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..views import MetaGraph
    from .model import Damage
    from .report import Report


def check_descriptions(report: Report, damage: Damage, graph: MetaGraph) -> None:
    """Hold the two descriptions of the signatures of a model's only meta graph together."""
    damage.guard(lambda: _check(report, damage.file, graph))


def _check(report: Report, file: str, graph: MetaGraph) -> None:
    objects = graph.objects
    if objects is None or not len(objects):
        return
    holder = objects.child(objects.root, SIGNATURES_CHILD)
    found: set[str] = set()
    if holder is not None and holder.identifier == SIGNATURE_MAP:
        found = {name for name, _ in holder.child_ids}
    defs = {k for k, s in graph.signature_defs.items() if not (k in RESERVED and k in s.outputs)}
    for key in sorted(defs - found):
        report.add(
            "signature-one-sided", file,
            f'"{printable(key)}" is in signature_def alone: tf.saved_model.load does not find it',
            place=f'{graph.place}.signature_def["{printable(key)}"]', key=key,
        )  # fmt: skip
    for key in sorted(found - defs):
        report.add(
            "signature-one-sided", file,
            f'"{printable(key)}" is in the object graph alone: sessions, TF Serving and '
            "saved_model_cli do not find it",
            place=f"{objects.place}.nodes[{holder.id if holder else 0}].children", key=key,
        )  # fmt: skip
