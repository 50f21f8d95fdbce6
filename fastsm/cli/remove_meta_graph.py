"""Take the meta graphs with these tag sets out of a model. Assets that no other one lists
go with them, and variables that no other one needs; where that cannot be told all
variables stay, and a warning says why.

SET is comma-separated, and "" is the empty set. Without --out or --in-place the plan is
printed, and nothing is written."""

from __future__ import annotations

from ..verbs.meta_graphs import remove_meta_graph
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, parse_set, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm remove-meta-graph export/1 train eval --dry-run
  fastsm remove-meta-graph export/1 train --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("tag_sets",), {"metavar": "SET", "nargs": "+", "help": "their tag sets"}),
    (
        ("--all-meta-graphs",),
        {"action": "store_true", "help": "all that have such a tag set, also if it is several"},
    ),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    sets = [parse_set(text) for text in args.tag_sets]
    options = {"all_meta_graphs": args.all_meta_graphs, **place_keywords(args)}
    result = remove_meta_graph(args.path, *sets, **options)
    return report_place(args, "remove-meta-graph", result)
