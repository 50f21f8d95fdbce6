"""`fastsm.lint`: what will bite whoever loads, serves or moves a model.

All that `verify` finds without reading tensors, and what is no damage: tags and signatures that
loaders and servers do not find, ops that they do not have, what training left behind.
"""

from __future__ import annotations

import os

from ..errors import UsageError
from ..graph.edges import edges_of
from ..locate import is_model, locate
from ..text import did_you_mean
from .lint_files import check_files
from .lint_graph import check_graph
from .lint_names import check_names
from .lint_signatures import check_signatures
from .model import Damage
from .releases import Releases
from .report import Report
from .rules import RULES
from .verify import check_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def lint(
    path: str | os.PathLike[str],
    *,
    tf_version: str | None = None,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Report:
    """Look for what will bite in a model, and say what mends it.

    Tensors are not read, nothing is run, nothing is written.

    Args:
        tf_version: The TensorFlow that is to load it, ``2.12``; None for any that is known.
        only: The rules to look for; none for all.
        ignore: Rules that are not to be looked for.

    Returns:
        The report: ``ok`` is true when nothing is an error.

    Raises:
        MissingError: Nothing is there.
        FormatError: What is there is no SavedModel.
        UnsupportedError: An archive, a URL, a .cpb.
        UsageError: A checkpoint; a rule or a version of TensorFlow that is not known.

    Example:
        >>> import fastsm
        >>> report = fastsm.lint("examples/tagger/1", ignore=["no-serving-default"])
        >>> [(finding.id, finding.severity) for finding in report.findings]
        []
        >>> fastsm.lint("examples/ranker/1", tf_version="1.15").ok
        False
    """
    chosen, ignored = _known(only), _known(ignore)
    releases = Releases(tf_version)
    if not is_model(path):
        from ..bundle.find import find

        if find(path) is not None:
            raise UsageError(
                os.fspath(path), "is a checkpoint: lint is about models",
                hint="fastsm verify checks one.",
            )  # fmt: skip
    report = Report(os.fspath(path))
    located = locate(path)
    model = check_model(report, located, tensors=False, whole=True)
    check_files(report, located, model)
    if model is not None:
        damage = Damage(report, located.name)
        check_names(report, damage, model)
        for graph in model.meta_graphs:
            damage.guard(lambda graph=graph: check_signatures(report, damage, model, graph))  # type: ignore[misc]
            edges = damage.guard(lambda graph=graph: edges_of(graph))  # type: ignore[misc]
            if edges is not None:
                check_graph(report, damage, model, graph, edges, releases)
    report.keep(lambda rule: (not chosen or rule in chosen) and rule not in ignored)
    report.sort()
    return report


def _known(rules: Iterable[str]) -> frozenset[str]:
    """Raises UsageError for a rule that there is not."""
    if isinstance(rules, str):
        rules = [rules]
    names = list(rules)
    for name in names:
        if name not in RULES:
            raise UsageError("", f"there is no rule {name!r}", hint=did_you_mean(name, RULES))
    return frozenset(names)
