"""Mend what fastsm verify finds, where that can be done without a loss. What it finds
and nothing mends is told, and stays as it is.

ID is a rule of verify: restart-array, unrestorable-slices, collection-dangling,
restore-handle, object-slots, asset-outside, asset-tensor, link-outside (with --out),
and only where named: restore-twice, stray-shard, asset-unused. Without --out or
--in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..verbs.repair import repair
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm repair export/1 --dry-run
  fastsm repair export/1 --only restart-array --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("--only",), {"metavar": "ID,...", "help": "mend the findings of these rules alone"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    only = None if args.only is None else [rule for rule in args.only.split(",") if rule]
    result = repair(args.path, only=only, **place_keywords(args))
    return report_place(args, "repair", result)
