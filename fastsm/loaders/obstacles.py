"""What keeps a loader that found a meta graph from loading it, or from calling it.

What is told without reading the graph or the checkpoint; `fastsm.verify` looks for the rest.
Source: tensorflow/python/saved_model/load.py, loader_impl.py, load_v1_in_v2.py,
training/saver.py restore, tensorflow/cc/saved_model/loader.cc, loader_util.cc GetInitOp,
tensorflow/lite/python/lite.py (2.21);
tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc.
"""

from __future__ import annotations

import os

from ..bundle import has_variables
from ..text import Record, listed, printable
from ..views import INIT_COLLECTIONS, INIT_OP, TRAIN_OP, loads_by_objects
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
    model: SavedModel, graph: MetaGraph, assets: Iterable[AssetFile] = ()
) -> list[Obstacle]:
    """What keeps loaders from a meta graph, in the order of LOADERS.

    Args:
        assets: Those of the meta graph, as `fastsm.assets` has them.

    Raises FormatError where the meta graph is damaged.
    """
    found = [
        *_variables(model, graph), *_init_op(model, graph), *_train_op(model, graph),
        *_assets(model, assets), *_signatures(model, graph), *_version(model),
    ]  # fmt: skip
    return sorted(found, key=lambda one: LOADERS.index(one.loader))


def _variables(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """There is no checkpoint."""
    if has_variables(model.folder):
        return
    prefix = os.path.join(model.folder, "variables", "variables")
    none = (
        "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for "
        f"{prefix}"
    )
    words = "variables/variables.index is not there"
    saver = graph.saver
    if loads_by_objects(model.meta_graphs):
        said = Said(
            "FileNotFoundError",
            f"{none}\n You may be trying to load on a different device from the computational "
            "device. Consider setting the `experimental_io_device` option in "
            "`tf.saved_model.LoadOptions` to the io_device such as '/job:localhost'.",
        )
        yield from (Obstacle(loader, "load", words, said) for loader in BY_OBJECTS)
    elif saver is not None and saver.restore_op:
        said = Said("NotFoundError", none)
        yield from (Obstacle(loader, "load", words, said) for loader in BY_OBJECTS)
    if saver is not None and saver.restore_op:
        said = Said("ValueError", f"The passed save_path is not a valid checkpoint: {prefix}")
        yield Obstacle("v1", "load", words, said)
        words += ": it loads, and leaves variables without values"
        yield from (Obstacle(loader, "call", words) for loader in ("cc", "serving"))


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


def _train_op(model: SavedModel, graph: MetaGraph) -> Iterator[Obstacle]:
    """tf.saved_model.load takes the train op of a TF1 model for a signature without inputs."""
    if TRAIN_OP not in graph.signature_spans or loads_by_objects(model.meta_graphs):
        return
    text = (
        "A SavedModel signature needs an input for each placeholder the signature's outputs "
        f"use. An output for signature '{TRAIN_OP}' depends on a placeholder which is not an "
        "input (i.e. the placeholder is not fed a value)."
    )
    words = f"{TRAIN_OP} has no inputs, and a train op needs some as a rule"
    for loader in BY_OBJECTS:
        yield Obstacle(loader, "load", words, Said("UnliftableError", text))


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
