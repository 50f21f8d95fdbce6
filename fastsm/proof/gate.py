"""The gate of an edit: it is written only if TensorFlow makes of it what it made of the old model.

A commit calls it between staging and publishing; see `commit.shown`.
"""

from __future__ import annotations

from ..errors import RefusedError, UnsupportedError
from ..text import counted, listed, printable, tag_set
from .mapping import Mapping
from .report import LOADERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..model import SavedModel
    from .report import ParityReport, Remark

#: So many differences are told in an error.
_MOST = 3

_KEPT = (
    "Nothing was written: the model on disk is the old one. To see all of it: --out DIR without "
    "--parity, then fastsm parity."
)


def prove(
    model: SavedModel,
    staged: str,
    where: str,
    edits: Iterable[dict[str, Any]],
    options: dict[str, Any],
) -> ParityReport:
    """Hold a model and what an edit would make of it against each other.

    Args:
        model: The old one.
        staged: The folder of the edited one.
        where: Where that will be.
        edits: What was done, as data: they tell what has another name.
        options: For `parity`.

    Raises:
        RefusedError: Something differs.
        UnsupportedError: Nothing could be compared.
    """
    from .parity import parity

    progress = options.get("progress")
    try:
        report = parity(model.path, staged, map=Mapping.of_edits(edits, model), **options)
    finally:
        if progress is not None:
            progress("")  # the next line is another's
    report.after = where
    if report.differences:
        problem = f"the edited model differs: {told(report.differences)}"
        raise RefusedError(model.path, problem, hint=_KEPT)
    if not report.equal:
        problem = f"nothing could be compared: {told(report.not_compared)}"
        raise UnsupportedError(model.path, problem, hint=_KEPT)
    return report


def told(remarks: Sequence[Remark]) -> str:
    """Remarks in a line, the first few: ``rank: scores: 3 of 8 elements (v2, v1)``."""
    texts: dict[str, dict[str, None]] = {}
    for remark in remarks:
        name = tag_set(remark.meta_graph) if remark.kind == "meta_graph" else remark.name
        names = [printable(part) for part in (name, remark.part) if part]
        loaders = texts.setdefault(": ".join([*names, remark.why]), {})
        if remark.loader is not None:
            loaders[LOADERS[remark.loader]] = None
    found = [
        f"{text} ({listed(loaders)})" if loaders else text
        for text, loaders in list(texts.items())[:_MOST]
    ]
    if len(texts) > _MOST:
        found.append(f"and {counted(len(texts) - _MOST, 'more', 'more')}")
    return "; ".join(found) or "it has nothing that can be called"
