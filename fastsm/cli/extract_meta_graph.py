"""Keep one meta graph of a model, the one that loaders find by SET. All others go, with
the assets and variables that it does not need: see fastsm remove-meta-graph.

SET is comma-separated, and "" is the empty set. Without --out or --in-place the plan is
printed, and nothing is written."""

from __future__ import annotations

from ..verbs.meta_graphs import extract_meta_graph
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, parse_set, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm extract-meta-graph export/1 serve --dry-run
  fastsm extract-meta-graph export/1 serve --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("tags",), {"metavar": "SET", "help": "its tag set"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    result = extract_meta_graph(args.path, parse_set(args.tags), **place_keywords(args))
    return report_place(args, "extract-meta-graph", result)
