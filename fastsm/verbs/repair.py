"""`fastsm.repair`: what verify finds and can be mended, mended."""

from __future__ import annotations

import os

from ..check.verify import verify
from ..edit.repair import MENDERS, Found, Repair
from ..errors import UsageError
from ..text import counted, printable
from .editing import (
    EditResult,
    begin,
    carry_out,
    must_say_where,
    open_bundle,
    open_model,
    taken_back,
    text,
    write_variables,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..check.report import Report
    from .editing import Path


def repair(
    path: Path,
    *,
    only: str | Iterable[str] | None = None,
    out: Path | None = None,
    in_place: bool = False,
    dry_run: bool = False,
    sync: bool = True,
    backup: Path | None = None,
    receipt: Path | None = None,
    link: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> EditResult:
    """Mend what `verify` finds wrong with a model, where that can be done without a loss.

    `verify` is run first. What it finds and nothing mends is in the result's warnings, and
    stays as it is.

    Args:
        path: The model's folder.
        only: The rules to mend, by verify's ids; without it all but those that take a file
            away (``stray-shard``).
        out: An absent or empty folder for the mended model.
        in_place: Replace the model's own files.
        dry_run: Do all but write.
        sync: Wait until the disk has it.
        backup: A folder for the old bytes, from which `undo` restores them.
        receipt: A file for what was done.
        link: With ``out``: hard links where files do not change.
        progress: Called with (bytes done, bytes in all).

    Returns:
        ``before`` and ``after`` count the findings that are mended, by rule.

    Raises:
        UsageError: ``only`` names no rule, or one that nothing mends; or see `dedupe`.
        RefusedError: The index has other damage, which writing it anew would make final.
        FormatError: Slices that should be put together are damaged.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.repair("examples/ranker/1", dry_run=True)
        EditResult(changed=False, path='examples/ranker/1')
    """
    must_say_where(path, out, in_place, dry_run)
    wanted = _wanted(path, only)
    model = open_model(path)
    plan = begin(model, "repair", {"only": wanted}, only_variables=True)
    report = verify(path, progress=progress)
    counts, left = _sorted_out(report, wanted, only is not None)
    plan.warnings += left
    repairs = Repair(open_bundle(model) if counts else None)
    for rule in counts:
        here = [f for f in report.findings if f.id == rule]
        found = Found({f.key for f in here if f.key is not None}, {f.file for f in here})
        MENDERS[rule].mend(repairs, found)
    new = repairs.variables
    if new is not None:
        write_variables(plan, model, new)
    for name in sorted(repairs.gone):
        plan.remove(name)
    done = carry_out(
        plan, out=out, dry_run=dry_run, backup=backup, receipt=receipt, sync=sync, link=link,
        check=None if new is None else new.check, progress=progress,
    )  # fmt: skip
    where = text(out) or model.path
    undo = taken_back(where, backup) if done.changed else None
    return EditResult(
        where, model.folder, plan, done.written, done.warnings,
        dict(counts), dict.fromkeys(counts, 0), undo,
    )  # fmt: skip


def _wanted(path: Path, only: str | Iterable[str] | None) -> list[str]:
    if only is None:
        return [rule for rule, mender in MENDERS.items() if not mender.named_only]
    named = [only] if isinstance(only, str) else list(only)
    if not named:
        raise UsageError(os.fspath(path), "only: no rule is named")
    for rule in named:
        if rule not in MENDERS:
            raise UsageError(
                os.fspath(path), f"nothing mends {printable(rule)!r}",
                hint=f"It mends: {', '.join(MENDERS)}",
            )  # fmt: skip
    return [rule for rule in MENDERS if rule in named]


def _sorted_out(
    report: Report, wanted: list[str], named: bool
) -> tuple[dict[str, int], list[str]]:
    """How many findings of each rule are to be mended; a warning for each that is not."""
    by_rule: dict[str, int] = dict(report.omitted)
    for f in report.findings:
        if f.severity != "note":
            by_rule[f.id] = by_rule.get(f.id, 0) + 1
    counts = {rule: by_rule.pop(rule) for rule in wanted if rule in by_rule}
    left = []
    for rule, n in by_rule.items():
        if rule in MENDERS:
            if not named:
                left.append(f"{rule} ({counted(n, 'finding')}): mended only by --only {rule}")
        else:
            left.append(f"{rule} ({counted(n, 'finding')}): nothing mends that")
    return counts, left
