"""Writes the results as Markdown between two comments of a file, or to stdout.

    python -m benchmarks.report [README.md] [--results FILE]

The comments are <!-- benchmarks:begin --> and <!-- benchmarks:end -->. First the goals with
what was measured, then the absolute values, then what they were measured on.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .jobs import GOALS, START_S, Goal
from .run import RESULTS

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
TITLES = {
    "python": "`python -c pass`",
    "upb": "upb",
    "cp": "`cp`",
}

Rows = dict[tuple[str, str], dict[str, Any]]


class Outcome:
    """A goal and what came of it.

    Attributes:
        value: The measured number; None when a row it needs is missing or failed.
        cpu: Where the goal is on wall time, the same of CPU time.
        met: Whether it is within the limit; None when it is not known.
    """

    def __init__(self, goal: Goal, rows: Rows) -> None:
        self.goal = goal
        self.value = measured(goal, rows)
        in_cpu = goal._replace(figure="cpu_s")
        self.cpu = measured(in_cpu, rows) if goal.figure == "wall_s" else None
        self.met: bool | None = None
        if self.value is not None:
            least = goal.relation == "faster"
            self.met = self.value >= goal.limit if least else self.value <= goal.limit

    @property
    def word(self) -> str:
        return "not measured" if self.met is None else "met" if self.met else "**missed**"


def measured(goal: Goal, rows: Rows) -> float | None:
    """The number that a goal limits; None when a row it needs is missing or failed."""
    which = "max" if goal.figure == "peak_bytes" else "min"

    def figure(tool: str, job: str) -> float | None:
        value = rows.get((tool, job), {}).get(goal.figure, {}).get(which)
        return None if value is None else float(value)

    ours = figure("fastsm", goal.job)
    if goal.relation == "alone" or ours is None:
        return ours
    theirs = figure(*goal.rival)
    if theirs is None:
        return None
    ratios = {"times": ours / theirs, "faster": theirs / ours, "more": ours - theirs}
    ratios["started"] = (ours - START_S) / theirs
    return ratios[goal.relation]


def amount(value: float, goal: Goal) -> str:
    """A goal's number with its unit."""
    if goal.relation in ("times", "started", "faster"):
        return f"{value:.0f}x" if value >= 20 else f"{value:.3g}x"
    return size(value) if goal.figure == "peak_bytes" else duration(value)


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def goals(outcomes: list[Outcome]) -> list[str]:
    rows = []
    for o in outcomes:
        bound = "at least" if o.goal.relation == "faster" else "at most"
        value = "-" if o.value is None else amount(o.value, o.goal)
        if o.cpu is not None:
            value += f" (CPU: {amount(o.cpu, o.goal)})"
        rows.append([o.goal.text, f"{bound} {amount(o.goal.limit, o.goal)}", value, o.word])
    return table(["what", "goal", "measured", ""], rows)


def losses(outcomes: list[Outcome], rows: Rows) -> list[str]:
    """Where fastsm misses a goal, or is the slower one, in words."""
    lines = [
        f"- {o.goal.text}: {amount(o.value, o.goal)}, wanted {amount(o.goal.limit, o.goal)}."
        for o in outcomes
        if o.met is False and o.value is not None
    ]
    told = {o.goal.job for o in outcomes if o.met is False}
    for (tool, job), row in rows.items():
        ours = rows.get(("fastsm", job), {})
        if tool in ("fastsm", "python") or job in told:
            continue
        if not (ours.get("wall_s") and row.get("wall_s")):
            continue
        ratio = ours["wall_s"]["min"] / row["wall_s"]["min"]
        if ratio > 1:
            lines.append(f"- {job}: fastsm takes {ratio:.2f}x the time of {title(tool)}.")
    return ["Where fastsm loses:", "", *lines] if lines else []


def absolute(rows: Rows) -> list[str]:
    cells = []
    for (tool, job), row in rows.items():
        if row["problem"]:
            cells.append([job, title(tool), f"failed: {row['problem']}", "", "", ""])
            continue
        wall, cpu, peak = row["wall_s"], row["cpu_s"], row.get("peak_bytes")
        cells.append([
            f"{job} (in process)" if row["in_process"] else job,
            title(tool),
            " / ".join(duration(wall[k]) for k in ("min", "median", "max")),
            duration(cpu["min"]),
            size(peak["max"]) if peak else "-",
            str(wall["n"]),
        ])  # fmt: skip
    head = ["job", "tool", "wall: min / median / max", "CPU: min", "peak memory", "n"]
    return table(head, cells)


def title(tool: str) -> str:
    return TITLES.get(tool, tool)


def report(results: dict[str, Any]) -> str:
    """The whole section, without its comments."""
    rows: Rows = {(r["tool"], r["job"]): r for r in results["rows"]}
    outcomes = [Outcome(g, rows) for g in GOALS]
    machine = results["machine"]
    tools = ", ".join(f"{title(t)} {v}" for t, v in results["tools"].items())
    return "\n".join([
        *goals(outcomes), "",
        *losses(outcomes, rows), "",
        *absolute(rows), "",
        f"{tools}. {machine['cores']} cores of {machine['cpu']}, "
        f"{size(machine['memory_bytes'])} of memory, {machine['kernel']}, "
        f"{machine['filesystem']}; {results['date']}.",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="the file to write into")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what run.py wrote")
    args = parser.parse_args()
    text = report(json.loads(args.results.read_text()))
    if not args.file:
        print(text)
        return
    page = args.file.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        parser.error(f"{args.file}: needs one {BEGIN} and one {END}")
    before, rest = page.split(BEGIN)
    args.file.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
