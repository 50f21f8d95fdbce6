"""What the documentation's pages convert: a checkpoint with its .meta, and a frozen graph, as
training scripts leave them. Made of the examples, so that no TensorFlow is needed."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from google.protobuf.message_factory import GetMessageClass

from .wire import message_type

#: The checkpoint's prefix, in the folder that it is put in.
PREFIX = "train/model.ckpt-1000"

_FLOAT = 1


def put(folder: Path) -> None:
    """Put `train/` and `frozen.pb` into a folder that has the examples."""
    (folder / "train").mkdir()
    _put_checkpoint(folder)
    (folder / "frozen.pb").write_bytes(_frozen())


def _put_checkpoint(folder: Path) -> None:
    """The tagger's training graph as a Saver writes it, over the tagger's variables."""
    tagger = folder / "examples" / "tagger" / "1"
    for file in (tagger / "variables").iterdir():
        shutil.copy(file, folder / f"{PREFIX}{file.name.removeprefix('variables')}")
    saved = GetMessageClass(message_type("SavedModel")).FromString(
        (tagger / "saved_model.pb").read_bytes()
    )
    (graph,) = (g for g in saved.meta_graphs if "train" in g.meta_info_def.tags)
    del graph.meta_info_def.tags[:]
    for field in ("signature_def", "asset_file_def"):
        graph.ClearField(field)
    for name in [name for name in graph.collection_def if name.startswith("saved_model_")]:
        del graph.collection_def[name]
    # The vocabulary lies where the training ran, and its path is that of another machine.
    (folder / f"{PREFIX}.meta").write_bytes(graph.SerializeToString(deterministic=True))
    shutil.copy(tagger / "assets" / "vocabulary.txt", folder / "train")


def _frozen() -> bytes:
    """A GraphDef: probabilities = softmax(x * kernel), the kernel a constant."""
    graph = GetMessageClass(message_type("GraphDef"))()
    graph.versions.producer = 1
    x = graph.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = _FLOAT
    for size in (-1, 4):
        x.attr["shape"].shape.dim.add().size = size
    kernel = graph.node.add(name="kernel", op="Const")
    kernel.attr["dtype"].type = _FLOAT
    value = kernel.attr["value"].tensor
    value.dtype = _FLOAT
    for size in (4, 2):
        value.tensor_shape.dim.add().size = size
    value.tensor_content = struct.pack("<8f", *range(8))
    for name, op, *inputs in (
        ("logits", "MatMul", "x", "kernel"), ("probabilities", "Softmax", "logits"),
    ):  # fmt: skip
        node = graph.node.add(name=name, op=op)
        node.input.extend(inputs)
        node.attr["T"].type = _FLOAT
    out: bytes = graph.SerializeToString(deterministic=True)
    return out
