"""Let variables that are stored twice share their bytes: Keras 3 exports store every
weight under two keys. Both then point at one copy, proved equal byte by byte.

saved_model.pb is not touched, fingerprint.pb stays true, and loaders read what they
read before. Without --out or --in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..verbs.dedupe import dedupe
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm dedupe export/1 --dry-run
  fastsm dedupe export/1 --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    return report_place(args, "dedupe", dedupe(args.path, **place_keywords(args)))
