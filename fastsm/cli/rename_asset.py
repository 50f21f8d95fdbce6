"""Give a file of assets/ another name, in every meta graph that lists it. In place unless
--out says where; the file and what names it change at once.

OLD and NEW are relative to assets/, and NEW may have folders in it. Where the file of
OLD is not there, or OLD leads out of assets/, only its name changes, to that of a file
that is."""

from __future__ import annotations

from ..verbs.assets import rename_asset
from .editing import EDIT_OPTIONS, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm rename-asset export/1 words.txt text/words.txt --dry-run
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("old",), {"metavar": "OLD", "help": "the name it has"}),
    (("new",), {"metavar": "NEW", "help": "the name it gets"}),
    (
        ("--force",),
        {"action": "store_true", "help": "even if an op may look for other files by the path"},
    ),
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    result = rename_asset(args.path, args.old, args.new, force=args.force, **keywords(args))
    return report(args, "rename-asset", result)
