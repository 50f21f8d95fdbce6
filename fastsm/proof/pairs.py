"""Which meta graph of BEFORE is held against which of AFTER."""

from __future__ import annotations

from ..text import shell, tag_set
from .report import ParityReport, Remark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import SavedModel
    from ..views import MetaGraph, Signature
    from .mapping import Mapping, Renamed

NOT_IN_AFTER, NOT_IN_BEFORE = "not in AFTER", "not in BEFORE"
NOT_ASKED = "not asked for"


class Pair:
    """A meta graph of BEFORE, the one of AFTER, and what is called otherwise there.

    Attributes:
        mended: As a `Mapping` has it.
    """

    __slots__ = ("before", "after", "renamed", "mended", "_assets")

    def __init__(
        self, before: MetaGraph, after: MetaGraph, renamed: Renamed, mapping: Mapping
    ) -> None:
        self.before, self.after, self.renamed = before, after, renamed
        self.mended, self._assets = mapping.mended, mapping.assets

    def asset(self, file: str) -> str:
        """The name in AFTER of a file of BEFORE's, ``assets/words.txt``."""
        name = file.removeprefix("assets/")
        return f"assets/{self._assets[name]}" if name in self._assets else file


def pairs(
    report: ParityReport,
    before: SavedModel,
    after: SavedModel,
    mapping: Mapping,
    tags: frozenset[str] | None,
) -> list[Pair]:
    """Meta graphs by their tag sets; what is left over on both sides alone, too."""
    if tags is not None:
        before.meta_graph(tags)  # raises, and lists what there is
    ours, theirs = _found(report, before, "BEFORE"), _found(report, after, "AFTER")
    target = {of: mapping.graph(of) for of in ours}
    partner: dict[frozenset[str], frozenset[str]] = {
        of: renamed.tags
        for of, renamed in target.items()
        if renamed.tags is not None and renamed.tags in theirs
    }
    left = [of for of in ours if target[of].tags is not None and of not in partner]
    spare = [of for of in theirs if of not in partner.values()]
    if len(left) == len(spare) == 1:
        partner[left[0]] = spare[0]
        report.notes.append(
            f"{tag_set(left[0])} is held against {tag_set(spare[0])}: the only ones left over"
        )
        left, spare = [], []
    for of, renamed in target.items():
        if tags is not None and of != tags:
            _skip_graph(report, of, NOT_ASKED)
        elif renamed.tags is None:
            _skip_graph(report, of, renamed.gone)
        elif of not in partner:
            report.differences.append(
                Remark(
                    sorted(of), "meta_graph", "", None, NOT_IN_AFTER, hint=_graph_hint(of, spare)
                )
            )
    for of in spare:
        if tags is None:
            _skip_graph(report, of, NOT_IN_BEFORE)
    return [
        Pair(graph, theirs[partner[of]], target[of], mapping)
        for of, graph in ours.items()
        if of in partner and (tags is None or of == tags)
    ]


def _found(report: ParityReport, model: SavedModel, end: str) -> dict[frozenset[str], MetaGraph]:
    """The meta graphs that loaders find: of equal tag sets the first."""
    out: dict[frozenset[str], MetaGraph] = {}
    for i, graph in enumerate(model.meta_graphs):
        if out.setdefault(graph.tag_set, graph) is not graph:
            why = f"meta_graphs[{i}] of {end}: no loader finds the second of one tag set"
            _skip_graph(report, graph.tag_set, why)
    return out


def _skip_graph(report: ParityReport, tags: frozenset[str], why: str) -> None:
    report.not_compared.append(Remark(sorted(tags), "meta_graph", "", None, why))


def _graph_hint(tags: frozenset[str], spare: list[frozenset[str]]) -> str | None:
    if not spare:
        return None
    new = ", ".join(tag_set(of) for of in spare)
    return f"renamed? AFTER has {new}: --map '{tag_set(tags)}={tag_set(spare[0])}'"


def map_hint(renamed: str) -> str:
    return f"renamed? --map {shell(renamed)}"


def signature_hint(key: str, pair: Pair) -> str | None:
    """The one signature that only AFTER has and that takes and gives the same, if so."""
    taken = {new for old in pair.before.signatures for new in pair.renamed.after(old)}
    spare = {k: s for k, s in pair.after.signatures.items() if k not in taken}
    lost = {
        k: s
        for k, s in pair.before.signatures.items()
        if pair.renamed.after(k)
        and not any(n in pair.after.signatures for n in pair.renamed.after(k))
    }
    if key not in lost:
        return None
    mine = _shape_of(lost[key])
    fits = [k for k, s in spare.items() if _shape_of(s) == mine]
    alike = [k for k, s in lost.items() if _shape_of(s) == mine]
    return map_hint(f"{key}={fits[0]}") if len(fits) == len(alike) == 1 else None


def _shape_of(signature: Signature) -> list[list[str]]:
    """What a signature takes and gives, whatever it is called."""
    return [
        sorted(info.spec() for info in infos.values())
        for infos in (signature.inputs, signature.outputs)
    ]
