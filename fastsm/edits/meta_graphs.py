"""Taking meta graphs out of a model, with what no other one needs: assets and variables."""

from __future__ import annotations

from .. import _core
from ..bundle import OBJECT_GRAPH_KEY
from ..bundle.rewrite import BundleRewrite
from ..errors import (
    AmbiguousError,
    CoreError,
    FormatError,
    MissingError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from ..fingerprint import OBJECTS, PROGRAM, SIGNATURES
from ..graph.restored import needed_keys
from ..text import counted, serving_flag, serving_words, tag_set
from ..views import as_tag_set, loads_by_objects
from .assets import names_of, unnamed_files
from .draft import Done
from .mend_assets import odd_taker
from .tags import SERVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..views import MetaGraph
    from .draft import Draft


def remove_meta_graph(
    draft: Draft, *tag_sets: str | Iterable[str], all_meta_graphs: bool = False
) -> Done:
    """Take the meta graphs with these tag sets out.

    Assets that none of the others lists go too, and variables that none of them needs.

    Args:
        all_meta_graphs: All that have such a tag set; without it there must be only one.

    Raises:
        UsageError: No tag set.
        MissingError: No meta graph has one of them.
        AmbiguousError: Several have one of them.
        RefusedError: No meta graph would be left; or what is left could not be loaded.
    """
    if not tag_sets:
        raise UsageError(draft.path, "which meta graph? Name its tag set")
    gone: dict[int, MetaGraph] = {}
    wanted = [as_tag_set(tags, draft.path) for tags in tag_sets]
    for tags in wanted:
        found = _having(draft, tags)
        if len(found) > 1 and not all_meta_graphs:
            raise AmbiguousError(
                draft.path,
                f"{len(found)} meta graphs have the tag set {tag_set(tags)}, and loaders see "
                f"{found[0].place} alone: {', '.join(g.place for g in found)}",
                hint="--all-meta-graphs (all_meta_graphs=True) removes all of them; "
                "fastsm extract-meta-graph keeps the one that loaders see.",
            )
        gone.update((graph.index, graph) for graph in found)
    arguments: dict[str, Any] = {"tag_sets": [sorted(tags) for tags in wanted]}
    if all_meta_graphs:
        arguments["all_meta_graphs"] = True
    return _remove(draft, "remove-meta-graph", arguments, [gone[i] for i in sorted(gone)])


def extract_meta_graph(draft: Draft, tags: str | Iterable[str]) -> Done:
    """Take all meta graphs out but the one that loaders find by this tag set.

    Raises as `remove_meta_graph`.
    """
    wanted = as_tag_set(tags, draft.path)
    kept = _having(draft, wanted)[0]
    gone = [graph for graph in draft.graphs if graph.index != kept.index]
    arguments: dict[str, Any] = {"tags": sorted(wanted)}
    return _remove(draft, "extract-meta-graph", arguments, gone)


def _having(draft: Draft, tags: frozenset[str]) -> list[MetaGraph]:
    found = [graph for graph in draft.graphs if graph.tag_set == tags]
    if not found:
        here = " ".join(tag_set(g.tag_set) for g in draft.graphs) or "none"
        problem = f"no meta graph has the tag set {tag_set(tags)}; tag sets here: {here}"
        raise MissingError(draft.path, problem)
    return found


def _remove(
    draft: Draft, verb: str, arguments: dict[str, Any], gone: Sequence[MetaGraph]
) -> Done:
    graphs = draft.graphs
    indices = {graph.index for graph in gone}
    left = [graph for graph in graphs if graph.index not in indices]
    if not left:
        raise RefusedError(draft.path, "no meta graph would be left, and no loader loads that")
    before: dict[str, Any] = {"tag_sets": [sorted(g.tag_set) for g in graphs]}
    after: dict[str, Any] = {"tag_sets": [sorted(g.tag_set) for g in left]}
    if not gone:
        return Done(verb, arguments, f"{tag_set(left[0].tag_set)} is alone", before, after)
    warnings = _told(draft, gone, left)
    assets = _assets(draft, gone, left, warnings)
    n_all, lost = _variables(draft, left, warnings)
    splices = draft.rewrite()
    for graph in gone:
        splices.replace(graph.field.start, graph.field.end, b"")
    draft.put(splices, [PROGRAM, SIGNATURES, OBJECTS] if 0 in indices else [])
    for name in assets:
        draft.remove(name)
    more = []
    if lost:
        draft.bundle_rewrite().keep_only(lambda key: key not in lost)
        before["variables"], after["variables"] = n_all, n_all - len(lost)
        more.append(counted(len(lost), "variable"))
    if assets:
        before["assets"], after["assets"] = assets, []
        more.append(counted(len(assets), "asset"))
    draft.plan.warnings += warnings
    what = f"removes {' '.join(tag_set(g.tag_set) for g in gone)}"
    if more:
        what += f", and {' and '.join(more)} that nothing else needs"
    return Done(verb, arguments, what, before, after, drops=True)


def _told(draft: Draft, gone: Sequence[MetaGraph], left: Sequence[MetaGraph]) -> list[str]:
    """What loaders will do differently, a sentence each.

    Raises RefusedError where one of them could not load what is left.
    """
    warnings = []
    if loads_by_objects(left):
        if OBJECT_GRAPH_KEY not in _keys(draft) and not _is_damaged(draft):
            raise RefusedError(
                draft.path,
                f"{tag_set(left[0].tag_set)} would be alone: tf.saved_model.load would go by its "
                "objects, and the checkpoint has no object graph to restore them by",
            )
        warnings.append(
            f"{tag_set(left[0].tag_set)} is alone now: tf.saved_model.load goes by its objects, "
            "as it does for any TF2 model; before it saw signatures alone"
        )
    tags = [graph.tag_set for graph in left]
    if SERVE not in tags and SERVE in [graph.tag_set for graph in gone]:
        flag = serving_words(serving_flag(tags[0]))
        warnings.append(
            f"loaders that ask for {{serve}} now fail\n  TF Serving, for {tag_set(tags[0])}: {flag}"
        )
    return warnings


def _assets(
    draft: Draft,
    gone: Sequence[MetaGraph],
    left: Sequence[MetaGraph],
    warnings: list[str],
) -> list[str]:
    """The files of assets that only the meta graphs which go know of."""

    found = unnamed_files(draft, names_of(gone), left, warnings)
    odd = next(filter(None, map(odd_taker, left)), None) if found else None
    if odd is not None:
        warnings.append(
            f"{odd}, and may look for others by their names: {counted(len(found), 'asset')} of "
            "what goes stay"
        )
        return []
    return found


def _variables(
    draft: Draft, left: Sequence[MetaGraph], warnings: list[str]
) -> tuple[int, frozenset[bytes]]:
    """How many variables there are, and the keys of those that nothing that is left needs.

    Where that cannot be told there are none, and a warning says why.
    """
    keys: list[bytes] = []
    lost: frozenset[bytes] = frozenset()
    try:
        if draft.bundle is None:
            return 0, lost
        draft.bundle.check_whole()
        keys = _keys(draft)
        found, unknown = needed(draft, left)
        if not unknown:
            lost = frozenset(keys) - found
        if lost:
            trial = BundleRewrite(draft.bundle)
            trial.keep_only(lambda key: key not in lost)
            trial.result()
    except (FormatError, MissingError, RefusedError, UnsupportedError) as e:
        unknown, lost = e.problem, frozenset()
    if unknown:
        warnings.append(f"all variables stay: which of them are needed is not known, as {unknown}")
    return len(keys), lost


def _keys(draft: Draft) -> list[bytes]:
    """The keys in the checkpoint, but for slices of partitioned variables."""
    keys = draft.bundle.index.keys() if draft.bundle else []
    return [key for key in keys if _core.parse_slice_key(key) is None]


def _is_damaged(draft: Draft) -> bool:
    """Whether the index may have lost keys: what is not there may have been."""
    try:
        return draft.bundle is not None and not draft.bundle.check_whole()
    except FormatError:
        return True


def needed(draft: Draft, graphs: Sequence[MetaGraph]) -> tuple[set[bytes], str]:
    """The keys that meta graphs need, for sessions and for their objects; and why they may not
    be all, or ""."""
    found: set[bytes] = set()
    for graph in graphs:
        keys, unknown = needed_keys(graph)
        if unknown:
            return found, unknown
        found |= keys
    # tf.saved_model.load goes by the objects of a meta graph that is alone, and by the
    # checkpoint's own, which name all that was saved with them.
    if any(graph.object_spans for graph in graphs) or OBJECT_GRAPH_KEY in found:
        tracked = draft.tracked
        if tracked is not None:
            found.add(OBJECT_GRAPH_KEY)
            try:
                objects = _core.ObjectGraph(tracked.source.read(0, tracked.source.size))
            except CoreError as e:
                return found, f"the checkpoint's own object graph {e}"
            if objects.savers:
                return found, "the checkpoint holds what a registered saver wrote"
            found.update(
                key.encode("utf-8", "surrogateescape") for _, _, _, key in objects.values
            )
    return found, ""
