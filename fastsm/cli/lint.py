"""Tell what will bite whoever loads, serves or moves a model, and what mends it: tags and
signatures that are not found, ops and devices that others lack, what training left.

Exit code 1 when something is found, by --fail-on. Nothing is written or loaded."""

from __future__ import annotations

from ..check.lint import lint
from . import verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm lint export/1
  fastsm lint export/1 --tf-version 2.12 --fail-on warning
  fastsm lint export/1 --ignore version-folder --ignore no-serving-default
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (
        ("--tf-version",),
        {"metavar": "X.Y", "help": "the TensorFlow that is to load it; without: any known one"},
    ),
    (("--only",), {"metavar": "ID", "action": "append", "help": "look for this rule; repeatable"}),
    (("--ignore",), {"metavar": "ID", "action": "append", "help": "not for this; repeatable"}),
    verify.FAIL_ON,
]


def run(args: Arguments) -> int:
    verify.check_fail_on(args)
    report = lint(
        args.path, tf_version=args.tf_version, only=args.only or (), ignore=args.ignore or ()
    )
    return verify.tell(report, args, "fastsm.lint/1")
