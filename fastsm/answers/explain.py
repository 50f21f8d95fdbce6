"""`fastsm.explain`: the four questions, answered for one model."""

from __future__ import annotations

import os

from ..errors import FormatError, RefusedError, UsageError
from ..loaders import LOADERS, collisions, methods, obstacles, pick, picks, seen
from ..model import SavedModel
from ..model import open as open_any
from ..text import counted, listed, printable
from ..views import ASSETS_COLLECTION, TRAIN_OP, as_tag_set, loads_by_objects
from .explanation import (
    Assets,
    Checkpoint,
    Explained,
    Explanation,
    Hindered,
    Loading,
    Tagged,
    Tags,
)
from .loading import init_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..views import MetaGraph, Signature, TensorInfo

#: Tags of which one that the model has not is the example of a request that fails.
_EXAMPLES = ("train", "serve", "gpu", "eval")

#: The collection that the v1 builder keeps the train op in.
_TRAIN_COLLECTION = "saved_model_train_op"


def explain(
    path: str | os.PathLike[str],
    tags: str | Iterable[str] | None = None,
    *,
    check: bool = False,
) -> Explanation:
    """Answer for a SavedModel: why a list of tags? what is a signature, and do I need one? what
    is the assets_collection? why not a Saver checkpoint?

    Nothing is loaded. What loaders say is TensorFlow's own text.

    Args:
        tags: A request: what each loader makes of it; the other answers are about the meta
            graph that it finds, if any. None: about all of them.
        check: Look for what keeps loaders from the model as a quick `fastsm.verify` does.

    Raises:
        MissingError: Nothing is there.
        FormatError: It is no SavedModel, or a damaged one.
        UsageError: It is a checkpoint.

    Example:
        >>> import fastsm
        >>> explanation = fastsm.explain("examples/ranker/1")
        >>> [(e.key, e.loaders) for e in explanation.signatures]
        [('rank', ['v2', 'v1', 'cc', 'serving', 'tflite']), ...]
        >>> explanation.tags.refused[0].said.type
        'ValueError'
    """
    model = open_any(path)
    if not isinstance(model, SavedModel):
        raise UsageError(
            os.fspath(path),
            "is a checkpoint, and no SavedModel: it holds values, and no graph",
            hint="fastsm convert makes a model of a checkpoint with its .meta",
        )
    out = Explanation(model)
    out.notes = []
    asked = None if tags is None else _asked(model, tags)
    graphs = model.meta_graphs
    if asked is not None:
        wanted = frozenset(asked)
        graphs = [g for g in graphs if g.tag_set == wanted][:1]
    out.tags = _tags(model, asked)
    out.signatures = [e for graph in graphs for e in _signatures(model, graph)]
    out.methods = methods(model) if graphs else []
    out.assets = _assets(model, graphs)
    out.checkpoint = _checkpoint(model, graphs, out)
    out.obstacles = _obstacles(model, graphs, out.assets)
    if check:
        from .checked import checked

        more, notes = checked(model, graphs)
        out.obstacles += more
        out.notes += notes
    return out


def _asked(model: SavedModel, tags: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        return tuple(as_tag_set(tags, model.path))
    named = tuple(tags)
    if not all(isinstance(tag, str) for tag in named):
        raise RefusedError(model.path, "a tag is a string")
    return named


# -- why a list of tags? --


def _tags(model: SavedModel, asked: tuple[str, ...] | None) -> Tags:
    out = Tags()
    out.meta_graphs = [_tagged(graph) for graph in model.meta_graphs]
    out.asked = [] if asked is None else [pick(model, loader, asked) for loader in LOADERS]
    out.picks = picks(model)
    absent = next(tag for tag in _EXAMPLES if frozenset([tag]) not in model.tag_sets[:1000])
    out.refused = [pick(model, loader, (absent,)) for loader in LOADERS]
    out.collisions = collisions(model)
    return out


def _tagged(graph: MetaGraph) -> Tagged:
    out = Tagged()
    out.meta_graph, out.tags = graph.index, graph.tags
    out.nodes, out.functions = graph.n_nodes, graph.n_functions
    out.objects = graph.n_objects if graph.object_spans else None
    return out


# -- what is a signature, and do I need one? --


def _signatures(model: SavedModel, graph: MetaGraph) -> list[Explained]:
    found = []
    signatures = graph.signatures
    for key, loaders in seen(model, graph).items():
        out = Explained()
        out.meta_graph, out.key, out.loaders = graph.index, key, loaders
        signature = signatures.get(key)
        out.inputs = dict(sorted(signature.inputs.items())) if signature else {}
        out.outputs = dict(sorted(signature.outputs.items())) if signature else {}
        out.defaults = signature.defaults if signature else {}
        out.method_name = signature.method_name if signature else None
        out.words = _words(signature) if signature else ""
        found.append(out)
    return found


def _words(signature: Signature) -> str:
    takes, gives = _named(signature.inputs), _named(signature.outputs)
    return f"takes {takes or 'nothing'}; gives {gives or 'nothing'}"


def _named(infos: dict[str, TensorInfo]) -> str:
    return ", ".join(f"{printable(name)}: {t.spec()}" for name, t in sorted(infos.items()))


# -- what is the assets_collection? --


def _assets(model: SavedModel, graphs: Sequence[MetaGraph]) -> Assets:
    from ..assets import ASSETS, asset_files

    out = Assets()
    out.kept = [_kept(graph) for graph in graphs]
    out.files = []
    if any(out.kept) or os.path.isdir(os.path.join(model.folder, ASSETS)):
        # Of all meta graphs: a file is not unused because one of them does not name it.
        files = asset_files(model.folder, model.meta_graphs).values()
        asked = {graph.index for graph in graphs}
        out.files = [
            f for f in files if not f.uses or any(use.meta_graph in asked for use in f.uses)
        ]
    return out


def _kept(graph: MetaGraph) -> str | None:
    if any(f.number == 6 for f in graph.fields):
        return "asset_file_def"
    return ASSETS_COLLECTION if ASSETS_COLLECTION in graph.collections else None


# -- why not a Saver checkpoint? --


def _checkpoint(
    model: SavedModel, graphs: Sequence[MetaGraph], explanation: Explanation
) -> Checkpoint:
    out = Checkpoint()
    out.prefix, out.variables, out.bytes = None, 0, 0
    try:
        summary = model.variables_summary
    except FormatError as e:
        summary = None
        explanation.notes.append(f"{e.path}: {e.problem}")
    if summary is not None:
        out.prefix = os.path.join(model.folder, "variables", "variables")
        out.variables, out.bytes = summary.n_variables, summary.n_bytes
    out.loading = [_loading(graph) for graph in graphs]
    out.has = _has(graphs, out.loading, explanation)
    out.lacks = _lacks(out.loading)
    return out


def _loading(graph: MetaGraph) -> Loading:
    out = Loading()
    saver, init = graph.saver, graph.init_op
    out.meta_graph = graph.index
    out.restore_op = (saver.restore_op or None) if saver else None
    out.init_op, out.source = (init.name, init.source) if init else (None, None)
    out.runs = init_ops(graph, init.name) if init else None
    out.train_op = _train_op(graph)
    return out


def _train_op(graph: MetaGraph) -> str | None:
    train = graph.signature_defs.get(TRAIN_OP)
    if train is not None:
        return train.outputs[TRAIN_OP].name if TRAIN_OP in train.outputs else ""
    for name in (_TRAIN_COLLECTION, "train_op"):
        ops = graph.nodes_in(name) if name in graph.collections else []
        if ops:
            return ops[0]
    return None


def _has(
    graphs: Sequence[MetaGraph], loading: Sequence[Loading], explanation: Explanation
) -> list[str]:
    nodes, functions = sum(g.n_nodes for g in graphs), sum(g.n_functions for g in graphs)
    has = [f"{'the graph' if len(graphs) == 1 else 'graphs'}: {counted(nodes, 'node')}"]
    if functions:
        has[0] += f", {counted(functions, 'function')}"
    if explanation.signatures:
        has.append(counted(len(explanation.signatures), "signature"))
    present = sum(f.state == "present" for f in explanation.assets.files)
    if present:
        has.append(f"{counted(present, 'asset')}, by paths that go along")
    runs = sorted({op for one in loading for op in one.runs or ()})
    if runs:
        has.append(f"the init op, which runs {listed(runs, 4)}")
    if loads_by_objects(explanation.model.meta_graphs):
        objects = counted(explanation.model.meta_graphs[0].n_objects, "object")
        has.append(f"{objects}, from which tf.saved_model.load makes variables and methods")
    return has if graphs else []


def _lacks(loading: Sequence[Loading]) -> list[str]:
    lacks = ["earlier steps: a Saver keeps several, and a file that names the newest"]
    if not any(one.train_op for one in loading):
        lacks.append("a train op that it names: to train on takes the code that made the model")
    return lacks


# -- what keeps loaders --


def _obstacles(
    model: SavedModel, graphs: Sequence[MetaGraph], assets: Assets
) -> list[Hindered]:
    found = []
    for graph in graphs:
        used = [f for f in assets.files if any(u.meta_graph == graph.index for u in f.uses)]
        found += [Hindered(graph.index, one) for one in obstacles(model, graph, used)]
    return found
