"""Answer four questions for this model: why a list of tags? what is a signature, and do
I need one? what is the assets_collection? why a SavedModel and not a Saver checkpoint?

Which meta graph each loader takes, and why another request fails, in its own words; how
a signature is called, as text that works as printed. Nothing is loaded."""

from __future__ import annotations

from ..answers.explain import explain
from ..errors import UsageError
from ..text import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm explain export/1
  fastsm explain export/1 serve,gpu            what loaders make of these tags
  fastsm explain export/1 --signature serving_default
"""

#: The questions, by the words that --question takes.
QUESTIONS = ("tags", "signatures", "assets", "saver")

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (
        ("tags",),
        {
            "metavar": "TAGS", "nargs": "?",
            "help": 'what a loader is asked for, as a,b; "" is the empty set',
        },
    ),
    (
        ("--signature",),
        {"metavar": "KEY", "help": "one signature, and how each program calls it"},
    ),
    (
        ("--question",),
        {"metavar": "WORD", "help": "one answer: tags, signatures, assets or saver"},
    ),
    (
        ("--check",),
        {"action": "store_true", "help": "look for what keeps loaders from it, as verify does"},
    ),
]  # fmt: skip


def run(args: Arguments) -> int:
    if args.question is not None and args.question not in QUESTIONS:
        raise UsageError("", f"--question takes {', '.join(QUESTIONS)}")
    if args.question is not None and args.signature is not None:
        raise UsageError("", "--question and --signature: one of them")
    tags = None if args.tags is None else [tag for tag in args.tags.split(",") if tag]
    explanation = explain(args.path, tags, check=args.check)
    key = args.signature
    snippets = None if key is None else explanation.snippets(key)
    if args.json:
        from .output import to_json

        record = {"schema": "fastsm.explain/1", **explanation.to_dict()}
        if snippets is not None:
            record["snippets"] = plain(snippets)
        print(to_json(record))
    elif not args.quiet:
        from .explained import lines, signature_lines

        found = lines(explanation, args.question)
        if snippets is not None:
            found = signature_lines(explanation, key, snippets)
        print("\n".join(found))
    return 0
