"""TensorFlow's messages for the benchmarks, through protobuf and without TensorFlow.

The pool is private and fed with the same FileDescriptorSet that fastsm reads .pbtxt with.
"""
from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import api_implementation

#: What does the work: the generated files need upb's map order, the rival its speed.
IMPLEMENTATION: str = api_implementation.Type()

_pool = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(
    files("fastsm").joinpath("schema.binpb").read_bytes()
).file:
    _pool.Add(_file)


def message(name: str) -> Any:
    """The class of a message, named without its package."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"tensorflow.{name}"))


AttrValue = message("AttrValue")
FingerprintDef = message("FingerprintDef")
FunctionDef = message("FunctionDef")
MetaGraphDef = message("MetaGraphDef")
NodeDef = message("NodeDef")
SavedModel = message("SavedModel")
SignatureDef = message("SignatureDef")
TensorInfo = message("TensorInfo")
TensorProto = message("TensorProto")
