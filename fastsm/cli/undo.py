"""Put back the bytes that an edit kept with --backup. Refused when the model has changed
since."""

from __future__ import annotations

from ..verbs.undo import undo
from .editing import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm retag export/1 serve serve,gpu --backup before
  fastsm undo export/1 before
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("backup",), {"metavar": "BACKUP", "help": "the folder that --backup made"}),
    (
        ("--dry-run",),
        {"action": "store_true", "help": "show what would be done, write nothing"},
    ),
    (("--no-sync",), {"action": "store_true", "help": "do not wait for the disk"}),
]


def run(args: Arguments) -> int:
    result = undo(args.path, args.backup, dry_run=args.dry_run, sync=not args.no_sync)
    return report(args, "undo", result)
