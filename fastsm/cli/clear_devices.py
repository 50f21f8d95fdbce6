"""Take the devices out of a model: a node that asks for a GPU cannot run without one.
They go from all nodes, those of functions too, and from the variables and resources
of the object graph. Nothing else changes.

Without --out or --in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..verbs.clear_devices import clear_devices
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, parse_set, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm clear-devices export/1 --dry-run
  fastsm clear-devices export/1 --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("--tags",), {"metavar": "SET", "help": "of this meta graph alone; else of all"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    tags = None if args.tags is None else parse_set(args.tags)
    result = clear_devices(args.path, tags=tags, **place_keywords(args))
    return report_place(args, "clear-devices", result)
