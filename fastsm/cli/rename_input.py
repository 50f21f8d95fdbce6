"""Give an input of a signature another name, for every loader. In place unless --out
says where.

tf.saved_model.load binds the inputs of a TF2 model to a function's arguments as the
names sort. Where NEW sorts elsewhere than OLD, the arguments move with it. A sparse or
ragged input is several inputs there, r and r_1, each with a name of its own."""

from __future__ import annotations

from ..verbs.signature_names import rename_input
from .editing import EDIT_OPTIONS, GRAPH_OPTIONS, graph_keywords, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm rename-input export/1 serving_default keras_tensor features --dry-run
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("key",), {"metavar": "KEY", "help": "the signature"}),
    (("old",), {"metavar": "OLD", "help": "the name that the input has"}),
    (("new",), {"metavar": "NEW", "help": "the name that it gets"}),
    *GRAPH_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **keywords(args)}
    result = rename_input(args.path, args.key, args.old, args.new, **options)
    return report(args, "rename-input", result)
