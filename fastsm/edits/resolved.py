"""Every reference of what a draft would write, followed before it is written."""

from __future__ import annotations

from ..errors import FormatError
from ..graph.references import unresolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .draft import Draft


def check_resolved(
    draft: Draft,
    keys: Iterable[bytes] | None,
    verdict: str,
    *,
    hint: str,
    among: Container[int] | None = None,
) -> None:
    """See that every reference leads somewhere, so that the loaders find what they look up.

    Args:
        keys: The keys that the checkpoint will have; None without one.
        verdict: What it means if one does not: "it is no model to strip".
        hint: What can be done about it.
        among: The positions of the meta graphs to look at; None: all.

    Raises FormatError for the first that does not, and where something is damaged.
    """
    tracked = draft.tracked.source if draft.tracked is not None else None
    data = None if tracked is None else tracked.read(0, tracked.size)
    first = next(unresolved(draft.graphs, data, keys, among), None)
    if first is not None:
        problem = f"{first.problem} ({first.rule}): {verdict}"
        raise FormatError(draft.path, problem, place=first.place, hint=hint)
