"""What keeps a loader that found a meta graph from loading it, or from calling it.

What is told by the outline, and by a walk along a graph that is not large; `fastsm.verify` looks
for the rest.
Source: tensorflow/python/saved_model/load.py, loader_impl.py, load_v1_in_v2.py,
training/saver.py restore, tensorflow/cc/saved_model/loader.cc, loader_util.cc GetInitOp,
tensorflow/lite/python/lite.py (2.21);
tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc.
"""

from __future__ import annotations

import os

from ..bundle import has_variables
from ..graph.edges import edges_of
from ..text import Record, listed, printable
from ..views import INIT_COLLECTIONS, INIT_OP, loads_by_objects
from .feeds import fed_twice, unfed
from .picks import BY_OBJECTS, LOADERS, Said
from .seen import seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..assets import AssetFile
    from ..model import SavedModel
    from ..views import MetaGraph

#: The ops that read an asset while the model is loaded.
_INITIALIZERS = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")


#: The ops that make variables.
_VARIABLES = (b"VarHandleOp", b"VariableV2", b"Variable")

#: An optimizer of Keras 2, which is made whole where tf_keras was imported before.
#: Source: tf_keras/src/optimizers/legacy/optimizer_v2.py, its registered revived type (2.21).
KERAS_2 = "optimizer"

#: What is said of such an optimizer alone: the one obstacle that a script takes away.
NEEDS_KERAS_2 = (
    "an optimizer of Keras 2 has slot variables: import tf_keras before, or mend it by "
    "fastsm repair --only object-slots"
)

#: Of a larger graph, and for more nodes in all its signatures, it is not told what they leave
#: unfed.
MAX_NODES, MAX_WALKED = 200_000, 5_000_000


class Obstacle(Record):
    """Why a loader does not get further.

    Attributes:
        loader: One of LOADERS.
        at: "load" or "call": where it fails, or does not do what was meant.
        words: What is wrong, in a sentence.
        said: Its error; of a message that tells of the process, too, the sentence that counts.
            None where there is none, or it is not known.
        rule: The rule of verify that found it; None where none had to be asked.
    """

    __slots__ = ("loader", "at", "words", "said", "rule")

    def __init__(
        self,
        loader: str,
        at: str,
        words: str,
        said: Said | None = None,
        *,
        rule: str | None = None,
    ) -> None:
        self.loader, self.at, self.words, self.said, self.rule = loader, at, words, said, rule


def obstacles(
    model: SavedModel, graph: MetaGraph, assets: Iterable[AssetFile] = (), *, path: bool = True
) -> list[Obstacle]:
    """What keeps loaders from a meta graph, in the order of LOADERS.

    Args:
        assets: Those of the meta graph, as `fastsm.assets` has them.
        path: What comes of where the model lies, too: a server can be told another path.

    Raises FormatError where the meta graph is damaged.
    """
    found = [
        *_slots(model, graph), *_fed_twice(model, graph), *_unfed(model, graph),
        *_assets_twice(graph), *_variables(model, graph, path), *_init_op(model, graph),
        *_assets(model, assets), *_signatures(model, graph), *(_version(model) if path else ()),
    ]  # fmt: skip
    return sorted(found, key=lambda one: LOADERS.index(one.loader))


def is_pattern(path: str) -> bool:
    """Whether TensorFlow takes a path for a pattern that does not match it: then it finds no
    checkpoint below.

    Source: tensorflow/core/util/tensor_slice_reader.cc, tsl/platform/file_system.cc Match (2.21).
    """
    _, bracket, rest = path.partition("[")
    return "\\" in path or (bool(bracket) and "]" in rest)


def slots(graph: MetaGraph) -> set[str]:
    """What the objects that have slot variables say they are; tf_keras makes `KERAS_2`."""

    def found() -> set[str]:
        return {node.identifier for node in graph.objects or () if node.has_slot_variables}

    return graph.once("slots", found)


def _slots(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """Slot variables are made by a method that only their optimizer's class has."""
    found = slots(graph) if loads_by_objects(model.meta_graphs) else set()
    if not found:
        return
    words = "an optimizer has slot variables; fastsm repair --only object-slots mends it"
    if found == {KERAS_2}:
        words = NEEDS_KERAS_2
    said = Said("AttributeError", "'_UserObject' object has no attribute 'add_slot'")
    yield from (Obstacle(loader, "load", words, said) for loader in BY_OBJECTS)


def _fed_twice(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """tf.saved_model.load makes a function of each signature of a TF1 model."""
    if loads_by_objects(model.meta_graphs):
        return
    for key, signature in graph.signature_defs.items():
        twice = fed_twice(signature)
        if twice is not None:
            words = (
                f'the signature "{printable(key)}" has several inputs that are '
                f"{printable(twice)}; fastsm remove-signature leaves it out"
            )
            text = f"TF_Output {twice} appears more than once in the input list"
            said = Said("InvalidArgumentError", text)
            yield from (Obstacle(loader, "load", words, said) for loader in BY_OBJECTS)
            return


def _unfed(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """And such a function needs an input for each placeholder."""
    if loads_by_objects(model.meta_graphs) or graph.n_nodes > MAX_NODES:
        return
    left = MAX_WALKED
    for key in graph.signature_spans:
        left -= graph.n_nodes
        if left < 0:
            return
        names = unfed(graph, key)
        if names:
            words = (
                f'the signature "{printable(key)}" does not feed {listed(names)}, which its '
                "outputs need; fastsm remove-signature leaves it out"
            )
            text = (
                "A SavedModel signature needs an input for each placeholder the signature's "
                f"outputs use. An output for signature '{key}' depends on a placeholder which is "
                "not an input (i.e. the placeholder is not fed a value)."
            )
            for loader in BY_OBJECTS:
                yield Obstacle(loader, "load", words, Said("UnliftableError", text))
            return


def _assets_twice(graph: MetaGraph) -> Iterator[Obstacle]:
    """C++ feeds each definition of an asset, and each tensor once."""
    seen: set[str] = set()
    for asset in graph.assets:
        if asset.tensor in seen:
            words = (
                f"{printable(asset.tensor)} is fed two assets; fastsm repair --only asset-tensor "
                "mends it"
            )
            said = Said(
                "INVALID_ARGUMENT", f'Endpoint "{asset.tensor}" fed more than once.', 3
            )
            yield from (Obstacle(loader, "load", words, said) for loader in ("cc", "serving"))
            return
        seen.add(asset.tensor)


def _variables(model: SavedModel, graph: MetaGraph, path: bool) -> Iterator[Obstacle]:
    """There is no checkpoint, or none that is found."""
    prefix = os.path.join(model.folder, "variables", "variables")
    if has_variables(model.folder) and _restores_nothing(graph):
        words = (
            "saver_def names no op that restores: C++ loads it, and leaves variables without "
            "values"
        )
        yield from (Obstacle(loader, "call", words) for loader in ("cc", "serving"))
    if not has_variables(model.folder):
        words = "variables/variables.index is not there"
    elif path and is_pattern(model.folder):
        words = (
            "TensorFlow takes a path with \\ or [] for a pattern, and finds no checkpoint there: "
            "move the model"
        )
    else:
        return
    none = (
        "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for "
        f"{prefix}"
    )
    saver = graph.saver
    by_saver = saver is not None and bool(saver.restore_op)
    if loads_by_objects(model.meta_graphs):
        said = Said(
            "FileNotFoundError",
            f"{none}\n You may be trying to load on a different device from the computational "
            "device. Consider setting the `experimental_io_device` option in "
            "`tf.saved_model.LoadOptions` to the io_device such as '/job:localhost'.",
        )
        yield from (Obstacle(loader, "load", words, said) for loader in BY_OBJECTS)
    elif by_saver:
        said = Said("NotFoundError", none)
        yield from (Obstacle(loader, "load", words, said) for loader in BY_OBJECTS)
    if not by_saver:
        return
    said = Said("ValueError", f"The passed save_path is not a valid checkpoint: {prefix}")
    yield Obstacle("v1", "load", words, said)
    if has_variables(model.folder):  # C++ looks for it, and then restores by the pattern
        said = Said("NOT_FOUND", none, 5)
        yield from (Obstacle(loader, "load", words, said) for loader in ("cc", "serving"))
    else:
        words += ": it loads, and leaves variables without values"
        yield from (Obstacle(loader, "call", words) for loader in ("cc", "serving"))


def _restores_nothing(graph: MetaGraph) -> bool:
    """Whether a graph has variables, and no op that gives them values."""
    saver = graph.saver
    if saver is not None and saver.restore_op:
        return False
    return bool(edges_of(graph).nodes.owners(_VARIABLES))


def _init_op(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """Session loaders run one op, where there is one."""
    if INIT_OP in graph.signature_spans:
        return
    for name in INIT_COLLECTIONS:
        if name not in graph.collections:
            continue
        ops = graph.nodes_in(name)
        if len(ops) != 1:
            words = f"the collection {name} lists {len(ops)} ops, and not one"
            text = f"Expected exactly one SavedModel init op. Found {len(ops)}: {ops!r}."
            by_sessions = ["v1"]
            if not loads_by_objects(model.meta_graphs):
                by_sessions += BY_OBJECTS
            for loader in by_sessions:
                yield Obstacle(loader, "load", words, Said("RuntimeError", text))
            said = Said(
                "FAILED_PRECONDITION", f"Expected exactly one main op in : {model.folder}", 9
            )
            yield from (Obstacle(loader, "load", words, said) for loader in ("cc", "serving"))
        return


def _assets(model: SavedModel, assets: Iterable[AssetFile]) -> Iterator[Obstacle]:
    """A file is not there that is read."""
    by_objects = loads_by_objects(model.meta_graphs)
    for asset in assets:
        ops = {op for use in asset.uses for op in use.ops or ()}
        if asset.state != "missing" or not ops:
            continue
        at = "call" if ops.isdisjoint(_INITIALIZERS) else "load"
        path = os.path.join(model.folder, "assets", asset.name)
        text = f"{path}; No such file or directory"
        words = f"{asset.problem}, and {listed(sorted(ops))} reads it"
        for loader in LOADERS:
            if loader in ("cc", "serving"):
                said = Said("NOT_FOUND", text, 5)
            elif loader in BY_OBJECTS and by_objects:
                said = Said("FileNotFoundError", text)
            else:
                said = Said("NotFoundError", text)
            yield Obstacle(loader, at, words, said)


def _signatures(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """TFLiteConverter converts signatures, and nothing else."""
    if not any("tflite" in loaders for loaders in seen(model, graph).values()):
        said = Said("ValueError", "Only support at least one signature key.")
        yield Obstacle("tflite", "load", "there is no signature to convert", said)


def _version(model: SavedModel) -> Iterator[Obstacle]:
    """TensorFlow Serving is told a folder, and loads those below it that are numbers."""
    name = os.path.basename(os.path.abspath(model.folder))
    if not (name.isascii() and name.isdigit()):
        words = f"it loads folders whose name is a number, and {printable(name)} is none"
        yield Obstacle("serving", "load", words)
