"""Change the tag set by which loaders find a meta graph. In place unless --out says where;
everything but the tags keeps its bytes, and fingerprint.pb stays true.

SET is comma-separated, and "" is the empty set."""

from __future__ import annotations

from ..verbs.retag import retag
from .editing import EDIT_OPTIONS, keywords, parse_set, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm retag export/1 serve serve,gpu --dry-run
  fastsm retag export/1 serve serve,gpu --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("old",), {"metavar": "OLD", "help": "the tag set it has"}),
    (("new",), {"metavar": "NEW", "help": "the tag set it gets"}),
    (("--force",), {"action": "store_true", "help": "even if another meta graph has NEW"}),
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    old, new = parse_set(args.old), parse_set(args.new)
    result = retag(args.path, old, new, force=args.force, **keywords(args))
    return report(args, "retag", result)
