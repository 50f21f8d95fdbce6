"""Say by which of its methods TensorFlow Serving answers requests for a signature. In
place unless --out says where; fingerprint.pb stays true.

METHOD is predict, classify or regress; any other text is written as it is."""

from __future__ import annotations

from ..verbs.signatures import set_method_name
from .editing import EDIT_OPTIONS, GRAPH_OPTIONS, graph_keywords, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm set-method-name export/1 serving_default predict
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("key",), {"metavar": "KEY", "help": "the signature"}),
    (("method",), {"metavar": "METHOD", "help": "predict, classify, regress, or a text"}),
    *GRAPH_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **keywords(args)}
    result = set_method_name(args.path, args.key, args.method, **options)
    return report(args, "set-method-name", result)
