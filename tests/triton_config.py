"""The rules by which Triton's TensorFlow backend takes a config.pbtxt for a SavedModel.

Source: triton-inference-server/common protobuf/model_config.proto;
triton-inference-server/core src/model_config_utils.cc (ValidateIOShape);
triton-inference-server/tensorflow_backend src/tensorflow.cc (ValidateTensorFlowSavedModel),
src/tensorflow_utils.cc (CompareDims), src/tensorflow_backend_tf.cc
(TRITONTF_ModelCreateFromSavedModel).
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

#: The data types of model_config.proto, in its order.
TYPES = (
    "TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64",
    "TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64",
    "TYPE_STRING", "TYPE_BF16",
)  # fmt: skip

#: dtype -> the data type that the backend makes of it.
BACKEND = {
    "bool": "TYPE_BOOL", "float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
    **{f"int{n}": f"TYPE_INT{n}" for n in (8, 16, 32, 64)},
    **{f"uint{n}": f"TYPE_UINT{n}" for n in (8, 16, 32, 64)},
}  # fmt: skip


class Invalid(Exception):
    """Triton would not load the model with this; says why."""


def parsed(text: str) -> Any:
    """A ModelConfig, of those fields that a snippet may set."""
    config = _model_config()()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as e:
        raise Invalid(str(e)) from None
    return config


@cache
def _model_config() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", syntax="proto3")
    file.package = "inference"
    types = file.enum_type.add(name="DataType")
    for i, name in enumerate(TYPES):
        types.value.add(name=name, number=i)
    field = descriptor_pb2.FieldDescriptorProto
    messages = {
        "ModelTensorReshape": [("shape", field.TYPE_INT64, "", True)],
        **{
            kind: [
                ("name", field.TYPE_STRING, "", False),
                ("data_type", field.TYPE_ENUM, "DataType", False),
                ("dims", field.TYPE_INT64, "", True),
                ("reshape", field.TYPE_MESSAGE, "ModelTensorReshape", False),
            ]
            for kind in ("ModelInput", "ModelOutput")
        },
        "ModelParameter": [("string_value", field.TYPE_STRING, "", False)],
        "Parameters": [
            ("key", field.TYPE_STRING, "", False),
            ("value", field.TYPE_MESSAGE, "ModelParameter", False),
        ],
        "ModelConfig": [
            ("name", field.TYPE_STRING, "", False),
            ("platform", field.TYPE_STRING, "", False),
            ("max_batch_size", field.TYPE_INT32, "", False),
            ("input", field.TYPE_MESSAGE, "ModelInput", True),
            ("output", field.TYPE_MESSAGE, "ModelOutput", True),
            ("parameters", field.TYPE_MESSAGE, "Parameters", True),
        ],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for i, (called, kind, of, repeated) in enumerate(fields, 1):
            made = message.field.add(name=called, number=i, type=kind)
            made.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if of:
                made.type_name = f".inference.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def check(config: Any, tags: Sequence[str], key: str, signatures: Mapping[str, Any]) -> None:
    """Raise Invalid where Triton would not load a model, or not as this signature.

    Args:
        tags: Of the meta graph.
        key: Of the signature.
        signatures: All that the meta graph has.
    """
    parameters = _parameters(config)
    if {parameters.pop("TF_GRAPH_TAG", "") or "serve"} != set(tags):
        raise Invalid("Could not find meta graph def matching supplied tags")
    asked = parameters.pop("TF_SIGNATURE_DEF", "") or "serving_default"
    if asked != key or asked not in signatures:
        raise Invalid(f"takes the signature {asked}")
    if parameters:
        raise Invalid(f"unknown parameters {parameters}")
    if config.platform != "tensorflow_savedmodel":
        raise Invalid(f"platform {config.platform}")
    signature = signatures[key]
    if {io.name for io in config.input} != signature.inputs.keys():
        raise Invalid("configuration expects other inputs than the model provides")
    if len(config.input) != len(signature.inputs) or not config.input:
        raise Invalid("an input twice, or none")
    names = [io.name for io in config.output]
    if not names or len(set(names)) < len(names) or not set(names) <= signature.outputs.keys():
        raise Invalid(f"unexpected inference output among {names}")
    for listed, infos in ((config.input, signature.inputs), (config.output, signature.outputs)):
        for io in listed:
            _check_io(io, infos[io.name], batched=config.max_batch_size > 0)


def _parameters(config: Any) -> dict[str, str]:
    found = config.parameters
    if hasattr(found, "items"):  # a map, as the real message has it
        return {key: value.string_value for key, value in found.items()}
    return {entry.key: entry.value.string_value for entry in found}


def _check_io(io: Any, info: Any, *, batched: bool) -> None:
    type_name = io.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[io.data_type]
    if BACKEND.get(info.dtype.removesuffix("_ref")) != type_name.name:
        raise Invalid(f"configuration expects datatype {type_name.name} for {info.dtype}")
    if info.encoding != "name" or not info.name:
        raise Invalid(f"{io.name} is no one tensor")
    if not io.dims:
        raise Invalid("model input must specify 'dims'")
    if any(dim < 1 and dim != -1 for dim in io.dims):
        raise Invalid("dimension must be integer >= 1, or -1 to indicate a variable-size dimension")
    dims = list(io.dims)
    if io.HasField("reshape"):
        dims = list(io.reshape.shape)
        if -1 in [*dims, *io.dims] or _product(dims) != _product(io.dims):
            raise Invalid("has different size for dims and reshape")
    full = [-1, *dims] if batched else dims
    if info.shape is None or not info.shape:
        if info.shape == () and full:
            raise Invalid(f"a scalar, configured as {full}")
        return
    shape = [-1 if dim is None else dim for dim in info.shape]
    if batched and shape[0] != -1:
        raise Invalid("for the model to support batching the first dimension must be -1")
    if shape != full:
        raise Invalid(f"the model expects shape {shape}, the configuration specifies {full}")


def _product(dims: Sequence[int]) -> int:
    n = 1
    for dim in dims:
        n *= dim
    return n
