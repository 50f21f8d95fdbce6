"""The strip itself: every meta graph, then what all of them share."""

from __future__ import annotations

from ...bundle import OBJECT_GRAPH_KEY
from ...bundle.objects import SLOTS, SUFFIX, CheckpointGraph
from ...errors import CoreError, FormatError
from ...fingerprint import OBJECTS, PROGRAM, SIGNATURES
from ...graph.edges import edges_of
from ...graph.kept import Kept
from ...graph.training import Training
from ...plan import enclosing, same
from ...source import LEN
from ...text import counted, printable, shell, size, tag_set
from ..assets import names_of, unnamed_files
from ..draft import Done
from ..mend_assets import feed_once
from ..meta_graphs import needed, remove_meta_graph
from ..resolved import check_resolved
from ..unify import unify
from . import signatures
from .counts import Counts, variable_keys
from .files import follow
from .graph import GraphStrip
from .objects import tracked_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..._core import Source
    from ...views import MetaGraph
    from ..draft import Draft
    from .request import Request

_GRAPH_DEF = 2  # of MetaGraphDef

#: The tag of graphs for training. Source: tensorflow/python/saved_model/tag_constants.py.
_TRAIN = "train"

#: What to do where a model lacks something that is to stay.
_MEND = (
    "fastsm verify tells all that is wrong with the model. A signature that needs what is not "
    "there can go: --drop-signature KEY (drop_signatures=)."
)

#: Of a model that is not there yet.
_DAMAGED = "Its outputs need that: is it the right graph, and the right checkpoint?"

#: So many functions are named in a line.
_MOST = 3


def strip(
    draft: Draft, request: Request, progress: Callable[[int, int], object] | None = None
) -> Done:
    """Cut a model down to its signatures and what they need, or to its callables.

    Signatures that stay compute what they computed, bit for bit.

    Args:
        request: What stays.
        progress: Called with (bytes compared, bytes to compare) while doubled weights are.

    Raises:
        MissingError: No signature, object or meta graph of a name that was given.
        RefusedError: Nothing would be left of a meta graph; or what it needs cannot be told
            from what it does not: nothing is guessed.
        FormatError: What is to stay is damaged.
    """
    return _Strip(draft, request, progress).done


class _Strip:
    """One strip of a draft.

    Attributes:
        done: What came of it.
    """

    def __init__(
        self,
        draft: Draft,
        request: Request,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self.draft = draft
        self.request = request
        self.notes: list[str] = []
        self._hint = _DAMAGED if draft.plan.new else _MEND
        if draft.bundle is not None:
            draft.bundle.check_whole()  # what its index has lost would pass for not needed
        before, self._tracked = Counts(draft), draft.tracked
        named = names_of(draft.graphs)
        if request.drop_tags:
            remove_meta_graph(draft, *request.drop_tags, all_meta_graphs=True)
        meant = self._meant()
        self._keys = signatures.choose(draft, meant, request)
        self._among = frozenset(graph.index for graph in meant)
        # Take away what stands in the way of loaders, and what is there twice.
        # An optimizer that is asked for is of no use without its slots.
        self._unified = unify(draft, progress, slots=not request.keep_objects)
        self.notes += feed_once(draft, self._among)
        self._graphs = self._now()
        self._edges = [edges_of(graph) for graph in self._graphs]
        self._kept, tracked = self._choose_objects()
        self._parts = parts = [
            GraphStrip(graph, edges, keys, kept, request)
            for graph, edges, keys, kept in zip(
                self._graphs, self._edges, self._keys, self._kept, strict=True
            )
        ]
        self._functions = {
            name.decode("utf-8", "replace")
            for edges in self._edges for name in edges.nodes.functions
        }  # fmt: skip
        self._staying = set().union(*(part.functions for part in parts))
        self._write(parts, tracked)
        if request.strip_debug:
            self._cut_debug()
        self._check()
        self._remove_files(named)
        self.done = self._tell(before, Counts(draft, self._stay))

    # -- what stays --

    def _meant(self) -> list[MetaGraph]:
        if self.request.tags is None:
            return list(self.draft.graphs)
        return self.draft.choose(self.request.tags, False, lambda graph: True, "a graph")

    def _choose_objects(self) -> tuple[list[Kept | None], Source | None]:
        """The objects of each meta graph that stay; the checkpoint's own graph of them, or None
        where that stays as it is."""
        having = [graph for graph in self.draft.graphs if graph.object_spans]
        if not having:
            return [None] * len(self._graphs), None
        tracked = self.draft.tracked
        kept = [self._kept_of(i) for i in range(len(self._graphs))]
        if tracked is None:
            return kept, None
        sources = [tracked_source(tracked, k) for k in kept if k is not None]
        if len(sources) == len(having) and all(same(sources[0], other) for other in sources):
            return kept, sources[0]
        # The checkpoint has one graph of objects for all meta graphs: they lose the same, or none.
        self.notes.append(
            "all objects stay: meta graphs share the checkpoint's, and need others of them"
        )
        return [self._whole(i) for i in range(len(self._graphs))], None

    def _kept_of(self, i: int) -> Kept | None:
        graph, request = self._graphs[i], self.request
        if not graph.object_spans:
            return None
        return Kept(
            graph,
            self.draft.tracked,
            level=request.level,
            signatures=self._keys[i],
            keep=request.keep_objects,
            drop=request.drop_objects,
            training=Training(self._edges[i]),
            gradients=not request.no_gradients,
            inference_only=request.inference_only,
        )

    def _whole(self, i: int) -> Kept | None:
        graph = self._graphs[i]
        if not graph.object_spans:
            return None
        everything = ("",)
        return Kept(
            graph, self.draft.tracked, level="serving", signatures=self._keys[i], keep=everything
        )

    # -- splices --

    def _write(self, parts: Sequence[GraphStrip], tracked: Source | None) -> None:
        draft = self.draft
        self._had = set(variable_keys(draft))
        stored = set(draft.bundle.index.keys()) if draft.bundle else set()
        objects = tracked.read(0, tracked.size) if tracked is not None else None
        rewrite = draft.rewrite()
        stay: set[bytes] = set()
        for part in parts:
            restored = part.write(rewrite, objects)
            lost = sorted(restored - stored - {OBJECT_GRAPH_KEY})
            if lost:
                what = f"{part.graph.place} restores {printable(lost[0])}"
                where = "the checkpoint has no such tensor" if stored else "there are no variables"
                raise FormatError(draft.path, f"{what}, and {where}", hint=self._hint)
            stay |= restored
            if part.kept is not None:
                stay |= part.kept.needed(stored)
        if any(graph.object_spans for graph in draft.graphs):
            stay.add(OBJECT_GRAPH_KEY)
        self._stay = self._with_others(stay, stored)
        draft.put(rewrite, [PROGRAM, SIGNATURES, OBJECTS])
        old = draft.tracked
        if tracked is not None and old is not None and not same(old.source, tracked):
            draft.put_tracked(tracked)
        if stored - self._stay:
            draft.bundle_rewrite().keep_only(self._stay.__contains__)

    def _with_others(self, stay: set[bytes], stored: set[bytes]) -> set[bytes]:
        """The keys that stay: those of the meta graphs that are left alone, too."""
        others = [graph for graph in self.draft.graphs if graph.index not in self._among]
        found, unknown = needed(self.draft, others) if others else (set(), "")
        if unknown:
            self.notes.append(
                f"all variables stay: which of them are needed is not known, as {unknown}"
            )
            return stored
        return stay | found

    def _cut_debug(self) -> None:
        rewrite = self.draft.rewrite()
        for graph in self._now():
            for f in graph.fields:
                if f.number == _GRAPH_DEF and f.wire == LEN:
                    try:
                        rewrite.cut_all("debug", enclosing(graph.field, f))
                    except CoreError as e:
                        raise graph.reader.error(e, f"{graph.place}.graph_def") from None
        self.draft.put(rewrite, [PROGRAM])

    def _now(self) -> list[MetaGraph]:
        """The meta graphs to strip, as they are now."""
        return [graph for graph in self.draft.graphs if graph.index in self._among]

    # -- after --

    def _check(self) -> None:
        """Follow every reference of what would be written.

        Raises FormatError where one leads nowhere.
        """
        bundle = self.draft.bundle
        keys = None if bundle is None else self._stay.intersection(bundle.index.keys())
        check_resolved(
            self.draft, keys, "it is no model to strip", hint=self._hint, among=self._among
        )

    def _remove_files(self, named: set[str]) -> None:
        draft = self.draft
        assets = unnamed_files(draft, named, draft.graphs, draft.plan.warnings)
        for name in assets:
            draft.remove(name)
        ids = next((kept.ids for kept in self._kept if kept is not None), None)
        # A meta graph that is left alone has use for all that there is.
        alone = len(self._among) < len(draft.graphs)
        level = "callables" if alone else self.request.level
        self._files = assets, follow(draft, level, ids)

    # -- words --

    def _tell(self, before: Counts, after: Counts) -> Done:
        now: dict[str, Any] = after.to_dict()
        now["keeps"] = {"signatures": after.signatures}
        now["drops"] = {
            "signatures": sorted(set(before.signatures) - set(after.signatures)),
            "functions": sorted(self._functions - self._staying),
            **self._lost_variables(),
            **self._lost_objects(),
            "assets": self._files[0],
            "files": self._files[1],
        }
        now["notes"] = [
            *self._of_unified(), *self._of_writers(), *self._spared(), *self._of_training(),
            *self.notes,
        ]  # fmt: skip
        return Done(
            "strip-training-graph", self.request.arguments(), f"level: {self.request.level}",
            before.to_dict(), now, drops=True,
        )  # fmt: skip

    def _lost_variables(self) -> dict[str, list[str]]:
        """The keys that go, by what they are for, sorted."""
        groups: dict[str, list[str]] = {"doubled": [], "slots": [], "variables": []}
        merged = {key for pair in self._unified.merged for key in pair}
        slots = self._slots()
        # TF1 calls a slot after its variable: w/Momentum.
        # Source: tensorflow/python/training/slot_creator.py (2.21).
        slots.update(key for key in self._had if key.rpartition(b"/")[0] in self._had)
        for key in sorted(self._had - self._stay):
            name = key.decode("utf-8", "replace")
            group = "doubled" if name in merged else "slots" if key in slots else "variables"
            groups[group].append(name.removesuffix(SUFFIX))
        return groups

    def _slots(self) -> set[bytes]:
        """The keys of what only optimizers have."""
        tracked = self._tracked
        if tracked is None:
            return set()
        graph = CheckpointGraph(tracked.source.read(0, tracked.source.size), self.draft.path)
        return {
            key.encode("utf-8", "surrogateescape")
            for node, _, _, key in graph.tables.values if graph.group(node) == SLOTS
        }  # fmt: skip

    def _lost_objects(self) -> dict[str, list[str]]:
        """The paths of objects that go: optimizers, and functions that a program can call."""
        found: dict[str, list[str]] = {"optimizer": [], "objects": []}
        for kept in self._kept:
            if kept is not None:
                found["optimizer"] += map(kept.path, kept.optimizers)
                found["objects"] += map(kept.path, kept.callables)
        return {kind: list(dict.fromkeys(filter(None, paths))) for kind, paths in found.items()}

    def _of_unified(self) -> list[str]:
        """What was mended for loaders, in words."""
        restored, left = self._unified.restored, self._unified.left
        words = []
        if restored:
            words.append(
                f"{counted(len(restored), 'variable')} that session loaders did not find "
                "are restored now"
            )
        return [*words, *left]

    def _of_writers(self) -> list[str]:
        """Which signatures train, or keep a state."""
        return [
            f"signature {printable(key)} changes variables ({printable(op)}), and what it needs "
            f"stays; --drop-signature {shell(key)} drops it"
            for part in self._parts for key, op in part.writers().items()
        ]  # fmt: skip

    def _of_training(self) -> list[str]:
        """What it would save to drop the meta graphs for training, where others serve."""
        words = []
        graphs = self.draft.graphs
        for graph in graphs if len(graphs) > 1 else ():
            if _TRAIN not in graph.tag_set:
                continue
            tags = ",".join(sorted(graph.tag_set))
            words.append(
                f"{tag_set(graph.tag_set)} stays, {size(graph.field.end - graph.field.at)} of "
                f"saved_model.pb; --drop-tags {shell(tags)} drops it, and the variables that only "
                "it needs"
            )
        return words

    def _spared(self) -> list[str]:
        """Why functions stay that look like training."""
        reasons: dict[str, list[str]] = {}
        for kept in self._kept:
            for name, why in kept.spared.items() if kept is not None else ():
                reasons.setdefault(why, []).append(name)
        return [
            f"{counted(len(names), 'function')} of training stay, as {why}: "
            f"{', '.join(map(printable, names[:_MOST]))}{', ...' if len(names) > _MOST else ''}"
            for why, names in reasons.items()
        ]  # fmt: skip
