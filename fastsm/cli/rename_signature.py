"""Rename a signature, for every loader: in signature_def, in the object graph, and in the
checkpoint's own. In place unless --out says where; fingerprint.pb stays true.

The function of a model that has the same name (loaded.serve) keeps it."""

from __future__ import annotations

from ..verbs.signatures import rename_signature
from .editing import EDIT_OPTIONS, GRAPH_OPTIONS, graph_keywords, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm rename-signature export/1 serving_default predict --dry-run
  fastsm rename-signature export/1 serving_default predict --tags serve
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("old",), {"metavar": "OLD", "help": "the key it has"}),
    (("new",), {"metavar": "NEW", "help": "the key it gets"}),
    *GRAPH_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **keywords(args)}
    result = rename_signature(args.path, args.old, args.new, **options)
    return report(args, "rename-signature", result)
