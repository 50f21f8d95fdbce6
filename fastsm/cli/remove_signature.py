"""Take signatures out, for every loader. The nodes and functions behind one stay in the
graph, where others may use them; its object goes where nothing else refers to it.

__saved_model_train_op can be removed, too: with that entry tf.saved_model.load fails
on a TF1 model. Without --out or --in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..verbs.signatures import remove_signature
from .editing import (
    EDIT_OPTIONS,
    GRAPH_OPTIONS,
    PLACE_OPTIONS,
    graph_keywords,
    place_keywords,
    report_place,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm remove-signature export/1 train_step debug --dry-run
  fastsm remove-signature export/1 __saved_model_train_op --in-place
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("keys",), {"metavar": "KEY", "nargs": "+", "help": "the signatures"}),
    *GRAPH_OPTIONS,
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **place_keywords(args)}
    result = remove_signature(args.path, *args.keys, **options)
    return report_place(args, "remove-signature", result)
