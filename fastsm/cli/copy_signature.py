"""Let a signature be found by a second key, too: both run the same function. In place
unless --out says where; fingerprint.pb stays true."""

from __future__ import annotations

from ..verbs.signatures import copy_signature
from .editing import EDIT_OPTIONS, GRAPH_OPTIONS, graph_keywords, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm copy-signature export/1 serve serving_default
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("key",), {"metavar": "KEY", "help": "the key it has"}),
    (("new",), {"metavar": "NEW", "help": "the key it gets beside that"}),
    *GRAPH_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **keywords(args)}
    result = copy_signature(args.path, args.key, args.new, **options)
    return report(args, "copy-signature", result)
