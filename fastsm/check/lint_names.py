"""Findings of tags, and of which meta graphs have signatures: what loaders ask a model for.

Source: tensorflow/cc/saved_model/reader.cc FindMetaGraphDef; tensorflow/python/saved_model/load.py
load_partial; tensorflow_serving/model_servers/main.cc (2.21).
"""

from __future__ import annotations

from ..edits.warmup import SERVING_DEFAULT
from ..loaders.collisions import word_of
from ..text import counted, listed, printable, shell, tag_set
from ..views import INIT_COLLECTIONS, RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import SavedModel
    from ..views import MetaGraph
    from .model import Damage
    from .report import Report

SERVE = frozenset(["serve"])

#: Tags of meta graphs that are there for something else.
#: Source: tensorflow/python/saved_model/tag_constants.py; tensorflow_transform/saved/constants.py.
_OTHERWISE = frozenset(["train", "eval", "transform"])


def check_names(report: Report, damage: Damage, model: SavedModel) -> None:
    """Look at the tags of all meta graphs, and at what each has signatures for."""
    graphs = [g for g in model.meta_graphs if damage.guard(lambda g=g: g.tags) is not None]  # type: ignore[misc]
    _check_tags(report, model, graphs)
    for graph in graphs:
        damage.guard(lambda graph=graph: _check_signatures(report, model, graph))  # type: ignore[misc]
        damage.guard(lambda graph=graph: _check_init_op(report, damage.file, graph))  # type: ignore[misc]


def is_served(graph: MetaGraph) -> bool:
    """Whether a meta graph is there to be served, as far as its tags tell."""
    return "serve" in graph.tag_set or graph.tag_set.isdisjoint(_OTHERWISE)


# -- tags --


def _check_tags(report: Report, model: SavedModel, graphs: list[MetaGraph]) -> None:
    file = model.located.name
    first: dict[frozenset[str], MetaGraph] = {}
    letters = False
    for graph in graphs:
        place = f"{graph.place}.meta_info_def.tags"
        word = word_of(graph.tag_set)
        if word:
            letters = letters or word == "serve"
            report.add(
                "tag-letters", file,
                f'{tag_set(graph.tag_set)}: tags="{word}" was given where tags=["{word}"] belongs',
                place=place, fix=_retag(model, graph, word),
            )  # fmt: skip
        for tag in sorted(graph.tag_set):
            if not tag or "," in tag or tag != tag.strip():
                report.add(
                    "tag-spelling", file,
                    f'"{printable(tag)}": no --saved_model_tags and no --tag_set can name it',
                    place=place, key=tag,
                )  # fmt: skip
        other = first.setdefault(graph.tag_set, graph)
        if other is not graph:
            report.add(
                "tag-set-twice", file,
                f"{tag_set(graph.tag_set)} is the tag set of {other.place}, too: every loader "
                "takes that one",
                place=place,
            )  # fmt: skip
    if graphs and SERVE not in first and not letters:
        sets = listed(tag_set(tags) for tags in first)
        report.add(
            "no-serve-tag", file,
            f"{sets}: TF Serving, Triton and TFLiteConverter ask for {{serve}} by default",
            place=f"{graphs[0].place}.meta_info_def.tags",
            fix=_retag(model, graphs[0], "serve") if len(graphs) == 1 else None,
        )  # fmt: skip
    with_objects = [graph for graph in graphs if graph.object_spans]
    if len(model.meta_graphs) > 1:
        for graph in with_objects:
            report.add(
                "objects-ignored", file,
                f"tf.saved_model.load goes by objects only in models of one meta graph; here are "
                f"{len(model.meta_graphs)}",
                place=f"{graph.place}.object_graph_def",
            )  # fmt: skip


def _retag(model: SavedModel, graph: MetaGraph, word: str) -> str | None:
    """The command that gives a meta graph this one tag, if that can be said."""
    sets = [other.tag_set for other in model.meta_graphs]
    if frozenset([word]) in sets or sets.count(graph.tag_set) > 1:
        return None
    if any("," in tag or not tag for tag in graph.tag_set):
        return None
    old = shell(",".join(sorted(graph.tag_set))) if graph.tag_set else '""'
    return f"fastsm retag {shell(model.path)} {old} {word}"


# -- signatures and ops that go by name --


def _check_signatures(report: Report, model: SavedModel, graph: MetaGraph) -> None:
    if not is_served(graph):
        return
    place = f"{graph.place}.signature_def"
    keys = [
        key for key, s in graph.signature_defs.items() if not (key in RESERVED and key in s.outputs)
    ]
    if not keys:
        kept = "names an op, and nothing else" if graph.signature_defs else "is empty"
        words = f"it {kept}: no server can be asked for anything"
        report.add("no-signature", model.located.name, words, place=place)
    elif SERVING_DEFAULT not in keys:
        only = f"{counted(len(keys), 'signature')}: {listed(map(printable, sorted(keys)), 4)}"
        fix = None
        if len(keys) == 1 and len(model.meta_graphs) == 1 and not keys[0].startswith("-"):
            fix = (
                f"fastsm copy-signature {shell(model.path)} {shell(keys[0])} {SERVING_DEFAULT}"
            )
        report.add("no-serving-default", model.located.name, only, place=place, fix=fix)


def _check_init_op(report: Report, file: str, graph: MetaGraph) -> None:
    """Source: tensorflow/cc/saved_model/loader_util.cc GetInitOp,
    tensorflow/python/saved_model/loader_impl.py _get_main_op_tensor (2.21)."""
    init = graph.init_op
    if init is None or init.source not in INIT_COLLECTIONS:
        return
    n = len(graph.nodes_in(init.source))
    if n > 1:
        report.add(
            "init-op-twice", file,
            f"{n} ops, where the loaders want one",
            place=f'{graph.place}.collection_def["{init.source}"]', seen=n,
        )  # fmt: skip
