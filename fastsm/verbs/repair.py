"""`fastsm.repair`: what verify finds and can be mended, mended."""

from __future__ import annotations

from ..check.verify import verify
from ..edits.draft import Done
from ..edits.repair import MENDERS, Found
from ..errors import RefusedError, UsageError
from ..text import counted, printable
from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from ..check.report import Report
    from ..edits.draft import Draft
    from .transaction import EditResult, Options, Path


def repair(
    path: Path, *, only: str | Iterable[str] | None = None, **options: Unpack[Options]
) -> EditResult:
    """Mend what `verify` finds wrong with a model, where that can be done without a loss.

    `verify` is run first. What it finds and nothing mends is in the result's warnings, and
    stays as it is.

    Args:
        path: The model's folder.
        only: The rules to mend, by verify's ids; without it all but those that take
            something away (``restore-twice``, ``stray-shard``, ``asset-unused``).
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Returns:
        ``before`` and ``after`` count the findings that are mended, by rule.

    Raises:
        UsageError: ``only`` names no rule, or one that nothing mends; or see `dedupe`.
        RefusedError: The index has other damage, which writing it anew would make final; or
            of the rules that ``only`` names nothing can be mended.
        FormatError: Slices that should be put together are damaged.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.repair("examples/ranker/1", dry_run=True)
        EditResult(changed=False, path='examples/ranker/1')
    """
    return one(Edit(path, **options), "repair", only=only)


def mend(
    draft: Draft,
    only: str | Iterable[str] | None,
    progress: Callable[[int, int], object] | None,
) -> Done:
    """`repair`, in a draft of a model that is as it lies on the disk."""
    wanted = _wanted(draft.path, only)
    report = verify(draft.path, progress=progress)
    counts, left = _sorted_out(report, wanted, only is not None)
    after: dict[str, int] = {}
    reasons: list[str] = []
    for rule in counts:
        here = [f for f in report.findings if f.id == rule]
        found = Found({f.key for f in here if f.key is not None}, {f.file for f in here})
        stays = MENDERS[rule].mend(draft, found) or []
        reasons += stays
        after[rule] = len(stays)
    reasons = list(dict.fromkeys(reasons))
    if only is not None and reasons and counts == after:
        more = f" (and {len(reasons) - 1:,} more like this)" if len(reasons) > 1 else ""
        problem, _, hint = reasons[0].partition("\n  ")
        raise RefusedError(draft.path, problem + more, hint=hint or None)
    draft.plan.warnings += [*left, *reasons]
    done = {rule: n - after[rule] for rule, n in counts.items() if n > after[rule]}
    mended = ", ".join(f"{rule} ({n})" for rule, n in done.items())
    return Done(
        "repair", {} if only is None else {"only": wanted},
        f"mends {mended}" if mended else "nothing to mend", dict(counts), after, drops=True,
    )  # fmt: skip


def _wanted(path: str, only: str | Iterable[str] | None) -> list[str]:
    if only is None:
        return [rule for rule, mender in MENDERS.items() if not mender.named_only]
    named = [only] if isinstance(only, str) else list(only)
    if not named:
        raise UsageError(path, "only: no rule is named")
    for rule in named:
        if rule not in MENDERS:
            raise UsageError(
                path, f"nothing mends {printable(rule)!r}",
                hint=f"It mends: {', '.join(MENDERS)}",
            )  # fmt: skip
    return [rule for rule in MENDERS if rule in named]


def _sorted_out(
    report: Report, wanted: list[str], named: bool
) -> tuple[dict[str, int], list[str]]:
    """How many findings of each rule are to be mended; a warning for each that is not."""
    by_rule: dict[str, int] = dict(report.omitted)
    for f in report.findings:
        if f.severity != "note" or (named and f.id in wanted):
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
