"""What all editing verbs share: their options, and the screen that tells what they did."""

from __future__ import annotations

import sys

from ..errors import UsageError
from ..text import count, counted, listed, printable, size
from .child import CHILD_OPTIONS, DEVICE_OPTION
from .progress import Progress, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..proof.report import ParityReport
    from ..verbs.transaction import EditResult
    from . import Arguments, Option

    #: Lines about what changed, before and behind those about what did not.
    Screen = Callable[[EditResult], tuple[list[str], list[str]]]

#: With --parity; without it each of them is an error, so none has a default here.
PROOF_OPTIONS: list[Option] = [
    (flags, {**how, "default": None, "help": f"with --parity: {how['help']}"})
    for flags, how in [DEVICE_OPTION, *CHILD_OPTIONS]
]

EDIT_OPTIONS: list[Option] = [
    (("--out",), {"metavar": "DIR", "help": "write the edited model here; the old one stays"}),
    (
        ("--dry-run",),
        {"action": "store_true", "help": "show what would be done, write nothing"},
    ),
    (("--backup",), {"metavar": "DIR", "help": "keep the old bytes here, for fastsm undo"}),
    (("--receipt",), {"metavar": "FILE", "help": "write down what changed, with digests"}),
    (("--no-sync",), {"action": "store_true", "help": "do not wait for the disk"}),
    (("--link",), {"action": "store_true", "help": "with --out: hard links where bytes stay"}),
    (
        ("--parity",),
        {"action": "store_true", "help": "write only if TensorFlow makes the same of it"},
    ),
    *PROOF_OPTIONS,
]

PLACE_OPTIONS: list[Option] = [
    (("--in-place",), {"action": "store_true", "help": "replace the files of the model itself"}),
]

#: Of edits of one meta graph: which.
GRAPH_OPTIONS: list[Option] = [
    (("--tags",), {"metavar": "SET", "help": "the tag set of the meta graph; else the only one"}),
    (("--all-meta-graphs",), {"action": "store_true", "help": "all that hold it"}),
]

#: The last line where a verb wants to be told where to write; it is an error or a dry run.
NOT_TOLD = "nothing written. To write: --out DIR, or --in-place"


def where_to_write(args: Arguments) -> bool:
    """Whether a verb that takes something away was told where to write."""
    return bool(args.out is not None or args.in_place or args.dry_run)


def place_keywords(args: Arguments) -> dict[str, Any]:
    """`keywords` for such a verb; one that was not told where looks, writes nothing, and has
    nothing to prove."""
    told, found = where_to_write(args), keywords(args)
    return {
        **found, "in_place": args.in_place, "dry_run": args.dry_run or not told,
        "parity": found["parity"] if told else False,
    }  # fmt: skip


def report_place(
    args: Arguments, verb: str, result: EditResult, screen: Screen | None = None
) -> int:
    """`report` for such a verb; exit code 2 when there is something to do, and it was not
    told where."""
    told = where_to_write(args)
    report(args, verb, result, dry_run=args.dry_run or not told, place=True, screen=screen)
    if told or not result.changed:
        return 0
    print(NOT_TOLD, file=sys.stderr)
    return 2


def graph_keywords(args: Arguments) -> dict[str, Any]:
    """GRAPH_OPTIONS as the Python verbs take them."""
    tags = None if args.tags is None else parse_set(args.tags)
    return {"tags": tags, "all_meta_graphs": args.all_meta_graphs}


def parse_set(text: str) -> frozenset[str]:
    """``serve,gpu`` as a tag set; "" is the empty one."""
    return frozenset(t for t in text.split(",") if t)


def keywords(args: Arguments) -> dict[str, Any]:
    """The shared options as the Python verbs take them."""
    return {
        "out": args.out, "dry_run": args.dry_run, "backup": args.backup,
        "receipt": args.receipt, "sync": not args.no_sync, "link": args.link,
        "progress": None if args.quiet or args.json else Progress(), "parity": parity_asked(args),
    }  # fmt: skip


def parity_asked(args: Arguments) -> bool | dict[str, Any]:
    """Whether the edited model is to be proved, and with what."""
    asked: dict[str, Any] = {}
    for (flag,), how in PROOF_OPTIONS:
        name = how.get("dest", flag.lstrip("-"))
        value = vars(args)[name]
        if value is not None:
            asked[name] = value
            if not args.parity:
                raise UsageError("", f"{flag} goes with --parity")
    if args.parity and not args.quiet and not args.json:
        asked["progress"] = Stage()
    return asked or args.parity


def report(
    args: Arguments,
    verb: str,
    result: EditResult,
    *,
    dry_run: bool | None = None,
    place: bool = False,
    screen: Screen | None = None,
) -> int:
    """Print what an edit did, or with --dry-run would do: the same lines.

    Args:
        place: Whether it is of a verb that wants to be told where to write.
        screen: What to print in place of the files that change.
    """
    dry_run = args.dry_run if dry_run is None else dry_run
    out: str | None = vars(args).get("out")
    if args.json:
        from .output import to_json

        print(
            to_json({"schema": f"fastsm.{verb}/1", "dry_run": dry_run, **result.to_dict()})
        )
    elif not args.quiet:
        for line in _lines(args, result, out, bool(dry_run), place, screen):
            print(line)
    if not args.json:
        for warning in result.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if result.undo and out is None and not args.quiet and not dry_run:
            print(f"undo: {result.undo}")
    return 0


def _lines(
    args: Arguments,
    result: EditResult,
    out: str | None,
    dry_run: bool,
    place: bool,
    screen: Screen | None,
) -> list[str]:
    head = f"{printable(args.path, None)}   {result.what}".rstrip()
    if place and not result.changed and out is None:
        return [head]
    lines = [head + " " * 3 + "(dry run)" if dry_run else head]
    if not result.changed:
        lines.append(
            "  nothing to do: it is so already" if out is None else "  copied as it is"
        )
    shown = [] if screen else result.changes
    width = max([17, *(len(printable(c.name)) for c in shown)])
    for change in shown:
        lines.append(f"  {printable(change.name):<{width}} {_change(change.before, change.after)}")
    above, below = screen(result) if screen and result.changed else ([], [])
    lines += above
    if result.changed and result.untouched:
        lines.append(f"  {'untouched':<{width}} " + ", ".join(
            f"{printable(e.name)} ({counted(e.files, 'file')}, {size(e.bytes)})"
            if e.name.endswith("/") else printable(e.name)
            for e in result.untouched
        ))  # fmt: skip
    lines += below
    if result.parity is not None:
        lines += _parity_lines(result.parity, width)
    if out is not None and not dry_run:
        lines.append(f"  {'written to':<{width}} {printable(out, None)}")
    if args.dry_run:
        lines.append(NOT_TOLD if place and not (args.in_place or out) else "nothing written.")
    return lines


def _parity_lines(report: ParityReport, width: int) -> list[str]:
    """In which loaders the edited model was the same, and what of it was not compared."""
    from ..proof.report import LOADERS
    from .output import wrapped
    from .parity import not_compared

    ran = [row.loaders for row in report.rows]
    loaders = [
        words for name, words in LOADERS.items()
        if any(of[name]["verdict"] != "not compared" for of in ran if name in of)
    ]  # fmt: skip
    lines = [f"  {'parity':<{width}} {report.verdict} in {', '.join(loaders)}"]
    unstable = listed(dict.fromkeys(remark.name for remark in report.unstable))
    if report.unstable:
        lines += wrapped(f"unstable: {unstable}", "    ", "      ")
    for what, why in not_compared(report):
        lines += wrapped(f"not compared: {what}: {why}", "    ", "      ")
    return lines


def _change(before: int | None, after: int | None) -> str:
    if after is None:
        return "removed"
    if before is None:
        return f"new, {count(after)} bytes"
    if max(before, after) < 1000 or before == after:
        return "rewritten"
    return f"{count(before)} -> {count(after)} bytes"
