"""Let variables that are stored twice share their bytes: Keras 3 exports store every
weight under two keys. Both then point at one copy, proved equal byte by byte.

saved_model.pb is not touched, fingerprint.pb stays true, and loaders read what they
read before. Without --out or --in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..text import counted, size
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
    result = dedupe(args.path, **place_keywords(args))
    before, after = result.before, result.after
    if not before:
        what = "nothing to do: it has no variables"
    elif not result.changed:
        what = "nothing to do: no variable is stored twice"
    else:
        n = before["doubled"] - after["doubled"]
        saved = size(before["bytes"] - after["bytes"])
        what = f"{counted(n, 'doubled variable')} shared: {saved} less"
    return report_place(args, "dedupe", what, result)
