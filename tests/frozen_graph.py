"""The frozen graph that the documentation's pages convert. No TensorFlow is needed for it."""

from __future__ import annotations

import struct
from pathlib import Path

from google.protobuf.message_factory import GetMessageClass

from .wire import message_type

_FLOAT = 1


def put(folder: Path) -> None:
    """Put `frozen.pb` into a folder."""
    (folder / "frozen.pb").write_bytes(_frozen())


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
