"""Prove with TensorFlow that AFTER is the same model as BEFORE: both are loaded by each
of its loaders and run on the same inputs, and what comes out is compared bit for bit,
as are the variables, the tables and the assets.

Exit code 1 when they differ, 7 when nothing could be compared. Nothing is written."""

from __future__ import annotations

from ..proof.parity import parity
from ..proof.report import CALLED, LOADERS, first, subject
from ..text import count, counted, listed, printable, tag_set
from .child import CHILD_OPTIONS, DEVICE_OPTION, child_keywords
from .editing import parse_set
from .output import WIDTH, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..proof.report import ParityReport, Remark, Row
    from . import Arguments, Option

EPILOG = """example:
  fastsm parity export/1 export/2
  fastsm parity export/1 export/2 --map rank=order --signature rank
  fastsm parity export/1 export/1 --after-device gpu
"""

OPTIONS: list[Option] = [
    (("before",), {"metavar": "BEFORE", "help": "a model's folder"}),
    (("after",), {"metavar": "AFTER", "help": "the folder of what should be the same model"}),
    DEVICE_OPTION,
    (("--before-device",), {"metavar": "D", "help": "for BEFORE only"}),
    (("--after-device",), {"metavar": "D", "help": "for AFTER only"}),
    (
        ("--loader",),
        {"metavar": "NAME", "action": "append", "help": "only this: v2, v1, cc; may be repeated"},
    ),
    (
        ("--signature",),
        {"metavar": "KEY", "action": "append", "help": "only this one of BEFORE; may be repeated"},
    ),
    (("--inputs",), {"metavar": "FILE", "help": "an npz file to feed, not made inputs"}),
    (
        ("--map",),
        {"metavar": "OLD=NEW", "action": "append",
         "help": "what is called otherwise in AFTER; may be repeated"},
    ),
    (("--receipt",), {"metavar": "FILE", "help": "of the edit: tells what it renamed"}),
    (("--tags",), {"metavar": "SET", "help": "only the meta graph of BEFORE with these tags"}),
    *CHILD_OPTIONS,
]  # fmt: skip


#: Of one row so many differences are printed; --json has them all.
MAX_ALIKE = 8


def run(args: Arguments) -> int:
    from .progress import Stage

    stage = Stage()
    try:
        report = parity(
            args.before, args.after, before_device=args.before_device,
            after_device=args.after_device, loaders=args.loader or tuple(LOADERS),
            signatures=args.signature, inputs=args.inputs, map=args.map or (),
            receipt=args.receipt, tags=None if args.tags is None else parse_set(args.tags),
            progress=None if args.quiet or args.json else stage, **child_keywords(args),
        )  # fmt: skip
    finally:
        stage.clear()
    if args.json:
        from .output import to_json

        print(to_json({"schema": "fastsm.parity/1", **report.to_dict()}))
    else:
        for line in lines(report, quiet=args.quiet):
            print(line)
    return report.exit_code


# -- the screen --


def lines(report: ParityReport, *, quiet: bool = False) -> list[str]:
    """The screen: a line for each row and what is to be said of it, then what was not
    compared, and what came of it all. Quiet: only what is not as it should be."""
    out = []
    if not quiet:
        out += _table(report)
    else:
        for row in report.rows:
            about = _findings(report, row, "  ")
            out += [row.title, *about] if about else []
    out += [
        line
        for remark in report.differences
        if remark.kind == "meta_graph"
        for line in _remark(tag_set(remark.meta_graph), [remark], "")
    ]
    if not quiet or report.exit_code == 7:
        out += _below(report)
    return out


def _table(report: ParityReport) -> list[str]:
    """Rows in columns, below a line for each meta graph where there are several."""
    loaders = [n for n in report.loaders if any(n in row.loaders for row in report.rows)]
    indent = "  " if _heads(report) else ""
    cells = {id(row): [_cell(row, n) for n in loaders] for row in report.rows}
    widths = [max((len(of[i]) for of in cells.values()), default=0) for i in range(len(loaders))]
    ends = {id(row): _end(row) for row in report.rows}
    titles = _titles(report, {id(row): (*cells[id(row)], ends[id(row)]) for row in report.rows})
    room = WIDTH - len(indent) - sum(widths) - 3 * (len(widths) + 1)
    room = max(room - max(map(len, ends.values()), default=0), 12)
    width = max((len(title) for title in titles.values() if len(title) <= room), default=0)
    out = []
    for graph in report.meta_graphs:
        if indent:
            new = "" if graph["after"] == graph["before"] else f" -> {tag_set(graph['after'])}"
            out.append(tag_set(graph["before"]) + new)
        for row in report.rows:
            if row.meta_graph != graph["before"] or id(row) not in titles:
                continue
            title = titles[id(row)]
            if len(title) > room:  # a long name has a line of its own
                out += wrapped(title, indent, indent + "    ")
                title = ""
            parts = [f"{c:<{w}}" for c, w in zip(cells[id(row)], widths, strict=True)]
            line = "   ".join([f"{title:<{width}}", *parts, ends[id(row)]])
            out.append((indent + line).rstrip())
            out += _findings(report, row, indent + "  ")
    return out


def _titles(report: ParityReport, told: dict[int, tuple[str, ...]]) -> dict[int, str]:
    """What the rows that are shown are called, by the row's id.

    A Python function has a trace for each kind of arguments that it was called with: those of
    which the same is said are one row.

    Args:
        told: What is said of each, beside what is found in it.
    """
    traces: dict[tuple[object, ...], list[Row]] = {}
    for row in report.rows:
        alike: tuple[object, ...] = (id(row),)
        if row.kind == "callable" and "(" in row.name:
            found = _findings(report, row, "")
            alike = (*row.meta_graph, _base(row.name), *told[id(row)], *found)
        traces.setdefault(alike, []).append(row)
    titles = {}
    for first_row, *more in traces.values():
        name = f"{printable(_base(first_row.name))} ({count(len(more) + 1)} traces)"
        titles[id(first_row)] = name if more else first_row.title
    return titles


def _base(name: str) -> str:
    """The name of a Python function without the arguments of its trace."""
    return name.partition("(")[0]


def _heads(report: ParityReport) -> bool:
    """Whether each meta graph needs a line that names it."""
    graphs = report.meta_graphs
    return len(graphs) > 1 or any(of["after"] != of["before"] for of in graphs)


def _cell(row: Row, loader: str) -> str:
    if loader not in row.loaders:
        return ""
    verdict = row.loaders[loader]["verdict"]
    return f"{LOADERS[loader]} {'-' if verdict == 'not compared' else verdict}"


def _end(row: Row) -> str:
    """Behind the verdicts: on how many inputs, or how many of them."""
    name = "inputs" if row.kind in CALLED else "compared"
    ns = {of[name]: None for of in row.loaders.values() if of["verdict"] != "not compared"}
    if row.kind == "load" or not ns:
        return ""
    if row.kind in CALLED:
        return f"({counted(max(ns), 'input')})" if max(ns) else ""
    if len(ns) == 1:
        return f"({count(max(ns))})"
    each = [f"{LOADERS[n]} {count(of[name])}" for n, of in row.loaders.items()]
    return f"({', '.join(each)})"


def _findings(report: ParityReport, row: Row, indent: str) -> list[str]:
    """What differs in a row, and what is unstable, by output."""
    out = []
    for head, remarks in (("", report.differences), ("unstable: ", report.unstable)):
        parts: dict[str | None, list[Remark]] = {}
        for remark in remarks:
            if remark.of(row):
                parts.setdefault(remark.part, []).append(remark)
        for part, found in list(parts.items())[:MAX_ALIKE]:
            name = head + (printable(part) if part is not None else "")
            out += _remark(name, found, indent, row)
        if len(parts) > MAX_ALIKE:
            out.append(f"{indent}and {count(len(parts) - MAX_ALIKE)} more; --json lists them")
    return out


def _remark(name: str, remarks: list[Remark], indent: str, row: Row | None = None) -> list[str]:
    """Remarks about one output: what is said in each loader, each text once."""
    texts: dict[tuple[str, ...], list[Remark]] = {}
    for remark in remarks:
        lines = [remark.why]
        if remark.measure:
            lines.append(first(remark.measure))
        if remark.hint:
            lines.append(remark.hint)
        texts.setdefault(tuple(lines), []).append(remark)
    # Of inputs of several shapes, the first tells it; how many there are is said.
    out = []
    told: set[str | None] = set()
    for (why, *more), of in texts.items():
        new = [r.loader for r in of if r.loader not in told]
        if not new:
            continue
        told.update(new)
        where = [LOADERS[n] for n in dict.fromkeys(new) if n is not None]
        notes = [] if row is None or len(where) == len(row.loaders) else [", ".join(where)]
        n = max(len({r.input for r in remarks if r.loader == loader and r.input}) for loader in new)
        if row is not None and n:
            total = max(c["inputs"] for c in row.loaders.values())
            notes += [f"{n} of {total} inputs"] if total > 1 else []
        text = f"{why}   ({'; '.join(notes)})" if notes else why
        out += wrapped(f"{name}   {text}" if name else text, indent, indent + "    ")
        for line in more:
            out += wrapped(line, indent + "  ", indent + "    ")
    return out


def _below(report: ParityReport) -> list[str]:
    """Notes, what ran it, what was not compared, and the verdict."""
    out = []
    for note in report.notes:
        out += wrapped(f"note: {note}", "", "  ")
    settings = report.settings
    if settings.get("bit_for_bit"):
        out += wrapped(f"bit for bit: {settings['before']}", "", "  ")
    elif settings:
        out += wrapped(f"within tolerances: BEFORE {settings['before']}", "", "  ")
        out += wrapped(f"AFTER {settings['after']}", "  ", "  ")
    skipped = not_compared(report)
    verdict = f"parity: {_verdict(report)}"
    if not skipped:
        return [*out, *wrapped(verdict, "", "  ")]
    line = f"{verdict}.  not compared: {', '.join(f'{what} ({why})' for what, why in skipped)}"
    if len(line) <= WIDTH:
        return [*out, line]
    out.append("not compared")
    for what, why in skipped:
        out += wrapped(f"{what}: {why}", "  ", "    ")
    return [*out, *wrapped(verdict, "", "  ")]


def _verdict(report: ParityReport) -> str:
    words = report.verdict
    if report.differences:
        names = dict.fromkeys(
            tag_set(r.meta_graph) if r.kind == "meta_graph" else _base(r.name)
            for r in report.differences
        )
        words += f" in {listed(names)}"
    if report.unstable:
        names = dict.fromkeys(_base(r.name) for r in report.unstable)
        words += f" (unstable: {listed(names)})"
    return words


def not_compared(report: ParityReport) -> list[tuple[str, str]]:
    """(what, why) of what was not compared: of one kind, in the same loaders and for one reason
    named together."""
    compared = {_base(row.name) for row in report.rows if row.kind == "callable"}
    several = _heads(report)
    subjects: dict[tuple[str, str, str], list[Remark]] = {}
    for remark in report.not_compared:
        why = remark.why if remark.input is None else f"{remark.why}; input {remark.input}"
        name = subject(remark, several=several)
        if remark.kind == "callable" and _base(remark.name) not in compared:
            name = _base(name)  # all that it is made for
        subjects.setdefault((why, remark.kind, name), []).append(remark)
    groups: dict[tuple[str, str, str], list[str]] = {}
    for (why, kind, name), remarks in subjects.items():
        loaders = dict.fromkeys(r.loader for r in remarks if r.loader is not None)
        where = ", ".join(LOADERS[loader] for loader in loaders)
        if kind == "load":
            name, where = f"{name} {where}".strip(), ""
        elif kind == "callable" or len(loaders) == len(report.loaders):
            where = ""
        if parts := dict.fromkeys(r.part for r in remarks if r.part is not None):
            name, where = f"{name}{f' in {where}' if where else ''}: {listed(parts, 3)}", ""
        groups.setdefault((why, kind, where), []).append(name)
    return [
        (f"{listed(names)} in {where}" if where else listed(names), why)
        for (why, _, where), names in groups.items()
    ]
