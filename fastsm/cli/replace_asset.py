"""Let a file of assets/ have the content of FILE; one that is missing is put there.

NAME is relative to assets/, and one that a meta graph names. Nothing else of the model
changes. Without --out or --in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..verbs.assets import replace_asset
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm replace-asset export/1 words.txt new-words.txt --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("name",), {"metavar": "NAME", "help": "the asset's name"}),
    (("file",), {"metavar": "FILE", "help": "what it is to hold"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    result = replace_asset(args.path, args.name, args.file, **place_keywords(args))
    return report_place(args, "replace-asset", result)
