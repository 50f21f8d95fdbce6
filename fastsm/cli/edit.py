"""Several edits of a model as one: all of them are done, or none. Each sees what those
before it did.

PLAN is a file of JSON, or - for stdin, with a list of edits:
{"edits": [{"verb": "retag", "old": "serve", "new": ["serve", "gpu"]}, ...]}. A verb
takes what its Python method takes, by the same names; what --json prints as "edits" is
such a list. Edits that can be taken back are done in place unless --out says where;
with one that drops something, --out or --in-place is needed."""

from __future__ import annotations

from ..verbs.data import read
from ..verbs.transaction import Edit
from .editing import (
    EDIT_OPTIONS,
    PLACE_OPTIONS,
    parity_asked,
    place_keywords,
    report,
    report_place,
    where_to_write,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm edit export/1 plan.json --dry-run
  fastsm edit export/1 plan.json --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("plan",), {"metavar": "PLAN", "help": "a file of JSON; - for stdin"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    edits = read(args.plan)
    with Edit(args.path, **place_keywords(args)) as edit:
        edit.apply(edits)
        drops = any(done.drops for done in edit.done)
        if not drops and not where_to_write(args):
            edit.dry_run, edit.parity = False, parity_asked(args)
    assert edit.result is not None
    if drops:
        return report_place(args, "edit", edit.result)
    return report(args, "edit", edit.result)
