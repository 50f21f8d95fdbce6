"""Give an output of a signature another name, for every loader. In place unless --out
says where.

tf.saved_model.load takes the outputs of a TF2 model from a function's results as the
names sort. Where NEW sorts elsewhere than OLD, the results move with it, and whatever
takes one of them by its number follows."""

from __future__ import annotations

from ..verbs.signature_names import rename_output
from .editing import EDIT_OPTIONS, GRAPH_OPTIONS, graph_keywords, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm rename-output export/1 serving_default output_0 score --dry-run
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("key",), {"metavar": "KEY", "help": "the signature"}),
    (("old",), {"metavar": "OLD", "help": "the name that the output has"}),
    (("new",), {"metavar": "NEW", "help": "the name that it gets"}),
    *GRAPH_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **keywords(args)}
    result = rename_output(args.path, args.key, args.old, args.new, **options)
    return report(args, "rename-output", result)
