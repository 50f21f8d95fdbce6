"""Only what serving needs: signatures, and the nodes, functions, objects, variables
and assets that they use. Optimizers, their slots, training steps and the weights that
Keras 3 stores twice go; what stays computes the same bits in every loader.

--level serving (the default) keeps signatures alone, --level callables also the methods
that Python calls (loaded.f, model.predict). SET is comma-separated, and "" is the empty
set. Without --out or --in-place the plan is printed, and nothing is written."""

from __future__ import annotations

from ..text import count, counted, listed, printable
from ..verbs.strip import strip_training_graph
from .editing import EDIT_OPTIONS, PLACE_OPTIONS, parse_set, place_keywords, report_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..verbs.transaction import EditResult
    from . import Arguments, Option

EPILOG = """example:
  fastsm strip-training-graph export/1 --dry-run --verbose
  fastsm strip-training-graph export/1 --out export/2
  fastsm strip export/1 --level callables --drop-signature train --out export/2
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (
        ("--level",),
        {"metavar": "LEVEL", "default": "serving", "help": "serving (default) or callables"},
    ),
    (
        ("--keep-signature",),
        {"metavar": "KEY", "action": "append", "help": "keep this signature, and only those named"},
    ),
    (
        ("--drop-signature",),
        {"metavar": "KEY", "action": "append", "help": "drop this signature; may be repeated"},
    ),
    (
        ("--keep-object",),
        {"metavar": "PATH", "action": "append", "help": "keep the object that this path leads to"},
    ),
    (
        ("--drop-object",),
        {"metavar": "PATH", "action": "append", "help": "drop it, and what is below it"},
    ),
    (("--keep-save",), {"action": "store_true", "help": "keep what writes a checkpoint"}),
    (
        ("--strip-debug",),
        {"action": "store_true", "help": "drop inferred shapes and debug info of nodes, too"},
    ),
    (
        ("--inference-only",),
        {"action": "store_true", "help": "with callables: drop traces with training=True"},
    ),
    (
        ("--no-gradients",),
        {"action": "store_true", "help": "with callables: drop functions of custom gradients"},
    ),
    (("--tags",), {"metavar": "SET", "help": "strip this meta graph alone"}),
    (
        ("--drop-tags",),
        {"metavar": "SET", "action": "append", "help": "take this meta graph out altogether"},
    ),
    (("--verbose",), {"action": "store_true", "help": "name all that goes and stays"}),
    *PLACE_OPTIONS,
    *EDIT_OPTIONS,
]


def run(args: Arguments) -> int:
    result = strip_training_graph(
        args.path,
        level=args.level,
        keep_signatures=args.keep_signature or (),
        drop_signatures=args.drop_signature or (),
        keep_objects=args.keep_object or (),
        drop_objects=args.drop_object or (),
        keep_save=args.keep_save,
        strip_debug=args.strip_debug,
        tags=None if args.tags is None else parse_set(args.tags),
        drop_tags=[parse_set(text) for text in args.drop_tags or ()],
        inference_only=args.inference_only,
        no_gradients=args.no_gradients,
        **place_keywords(args),
    )
    return report_place(
        args, "strip-training-graph", result, lambda result: _screen(result, args.verbose)
    )


#: Kind of what goes -> its noun, of many, and what is to be said of it.
_DROPPED = {
    "signatures": ("signature", "signatures", ""),
    "doubled": ("doubled variable", "doubled variables", " (bytes compared equal)"),
    "optimizer": ("optimizer", "optimizers", ""),
    "slots": ("slot variable", "slot variables", ""),
    "variables": ("other variable", "other variables", ""),
    "functions": ("function", "functions", ""),
    "objects": ("Python method", "Python methods", ""),
    "assets": ("asset", "assets", ""),
    "files": ("file", "files", ""),
}

#: Kinds whose names are told even so, where they are few.
_NAMED = ("signatures", "optimizer", "objects", "assets", "files")
FEW = 6

#: Kinds of which one shows that there was something to train with.
_TRAINED = ("optimizer", "slots", "variables")


def _screen(result: EditResult, verbose: bool) -> tuple[list[str], list[str]]:
    """How much less there is; and what stays, and what goes."""
    keeps, drops = result.after["keeps"], result.after["drops"]
    noun = "signature" if len(keeps["signatures"]) == 1 else "signatures"
    kept = [f"{noun} {listed(keeps['signatures'])} (same bits)"] if keeps["signatures"] else []
    gone = _dropped(drops, verbose)
    asked = result.edits[0].arguments
    if drops["objects"] and asked["level"] == "serving":
        gone.append("keep the methods with --level callables")
    lines = _section("keeps", kept) + _section("drops", gone)
    trained = asked.get("keep_objects") or any(drops[k] for k in _TRAINED)
    if result.before["objects"] and not trained:
        lines.append("no optimizer or slots found")
    return _table(result), lines + [f"note: {note}" for note in result.after["notes"]]


def _table(result: EditResult) -> list[str]:
    """Bytes of files, and what is in them, before and after."""
    rows = []
    folders = [name for name in ("variables/", "assets/") if _changes(result, name)]
    rest = [c.name for c in result.changes if "/" not in c.name and c.name != "fingerprint.pb"]
    for name in [*sorted(rest, key=lambda n: n != "saved_model.pb"), *folders]:
        rows.append((printable(name), *result.size_of(name), " B"))
    for name in ("nodes", "functions", "objects", "variables"):
        if result.before[name]:
            rows.append((name, result.before[name], result.after[name], "  "))
    names = max(14, *(len(row[0]) for row in rows))
    figures = max(15, *(len(count(n)) + 4 for row in rows for n in row[1:3]))
    lines = [f"  {'':{names}}{'before':>{figures}}{'after':>{figures}}"]
    for name, before, after, unit in rows:
        cells = "".join(f"{count(n) + unit:>{figures}}" for n in (before, after))
        lines.append(f"  {name:<{names}}{cells}{_percent(before, after)}".rstrip())
    return lines


def _changes(result: EditResult, folder: str) -> bool:
    return any(c.name.startswith(folder) for c in result.changes)


def _percent(before: int, after: int) -> str:
    """How much less or more, rounded: ``-61 %``."""
    if before == after or not before:
        return ""
    percent = round(100 * (after - before) / before)
    return f"{percent:>+8} %" if percent else f"{'-0' if after < before else '+0':>8} %"


def _section(head: str, lines: list[str]) -> list[str]:
    return [f"{head if i == 0 else '':<8}{line}" for i, line in enumerate(lines)]


def _dropped(drops: dict[str, list[str]], verbose: bool) -> list[str]:
    """A line for each kind; with ``verbose`` all names under it, and else of some kinds a few."""
    lines: list[str] = []
    for kind, (one, many, remark) in _DROPPED.items():
        names = drops[kind]
        if not names:
            continue
        if kind in _NAMED and not verbose and len(names) <= FEW:
            lines.append(f"{one if len(names) == 1 else many} {listed(names)}{remark}")
        else:
            lines.append(counted(len(names), one, many) + remark)
            lines += _wrapped(names) if verbose else []
    return lines or ["nodes that nothing kept needs"]


def _wrapped(names: list[str]) -> list[str]:
    """Names in lines of a terminal's width, a little further in."""
    lines, line = [], ""
    for name in map(printable, names):
        if line and len(line) + len(name) + 2 > 68:
            lines.append(f"  {line},")
            line = ""
        line += f", {name}" if line else name
    return [*lines, f"  {line}"]
