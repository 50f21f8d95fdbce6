"""A model repository of Triton's: config.pbtxt for a signature, and where the model goes.

Source: triton-inference-server/tensorflow_backend src/tensorflow.cc (ValidateTensorFlowSavedModel),
src/tensorflow_utils.cc (CompareDims, ConvertDataType), src/tensorflow_backend_tf.cc
(TRITONTF_ModelCreateFromSavedModel); triton-inference-server/common protobuf/model_config.proto.
"""

from __future__ import annotations

from ..text import printable, tag_set
from . import Snippet, quoting, refusals
from .serving import absolute
from .values import Unfeedable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..views import TensorInfo
    from .subject import Subject

#: The folder of models, and a release whose image has the TensorFlow backend.
REPOSITORY, IMAGE = "model_repository", "nvcr.io/nvidia/tritonserver:24.12-py3"

#: So many requests the server may put into one batch.
MAX_BATCH = 8

#: dtype -> Triton's DataType. Source: tensorflow_utils.cc ConvertDataType.
TYPES = {
    "bool": "TYPE_BOOL", "uint8": "TYPE_UINT8", "uint16": "TYPE_UINT16", "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64", "int8": "TYPE_INT8", "int16": "TYPE_INT16", "int32": "TYPE_INT32",
    "int64": "TYPE_INT64", "float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}  # fmt: skip


def repository(subject: Subject) -> list[Snippet]:
    """config.pbtxt, and the commands that make the repository and start the server."""
    titles = ("Triton", "pbtxt"), ("Triton in Docker", "sh")
    needs = "Triton with its TensorFlow backend"
    try:
        _check(subject)
    except Unfeedable as e:
        return [
            Snippet("triton", title, language, "", needs, note=str(e)) for title, language in titles
        ]
    file = f"{REPOSITORY}/{subject.name}/config.pbtxt"
    texts = (_config(subject), None), (_commands(subject), f"{file} is the file above.")
    config, commands = (
        Snippet("triton", title, language, text, needs, note=note)
        for (title, language), (text, note) in zip(titles, texts, strict=True)
    )
    config.file = file
    config.note = _unknown(subject)
    commands.needs = "Docker"
    return [config, commands]


def _config(subject: Subject) -> str:
    inputs, outputs = subject.signature.inputs, subject.signature.outputs
    batched = _has_batch(subject)
    lines = [
        f"name: {quoting.pbtxt(subject.name)}",
        'platform: "tensorflow_savedmodel"',
        f"max_batch_size: {MAX_BATCH if batched else 0}",
        *_tensors("input", inputs, batched),
        *_tensors("output", outputs, batched),
        *_parameter("TF_GRAPH_TAG", subject.tags[0], "serve"),
        *_parameter("TF_SIGNATURE_DEF", subject.key, "serving_default"),
    ]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, infos: Mapping[str, TensorInfo], batched: bool) -> list[str]:
    listed = []
    for name, info in infos.items():
        shape = (-1,) if info.shape is None else [-1 if d is None else d for d in info.shape]
        dims = list(shape[1:] if batched else shape)
        # There are no dims of nothing: an element is told to be a scalar.
        said = f"dims: [ {', '.join(map(str, dims)) or 1} ]"
        if not dims:
            said += " reshape { shape: [ ] }"
        dtype = TYPES[info.dtype.removesuffix("_ref")]
        listed.append(f"  {{ name: {quoting.pbtxt(name)} data_type: {dtype} {said} }}")
    return [f"{kind} [", *(f"{line}," for line in listed[:-1]), listed[-1], "]"]


def _parameter(key: str, value: str, default: str) -> list[str]:
    if value == default:
        return []
    return [f'parameters {{ key: "{key}" value {{ string_value: {quoting.pbtxt(value)} }} }}']


def _commands(subject: Subject) -> str:
    folder = f"{REPOSITORY}/{subject.name}/{subject.version or 1}"
    lines = [
        f"mkdir -p {folder}",
        f"cp -rL {absolute(subject.path)} {folder}/model.savedmodel",
        "docker run --rm -p 8000:8000 -p 8001:8001 \\",
        f'  -v "$PWD"/{REPOSITORY}:/models:ro \\',
        f"  {IMAGE} tritonserver --model-repository=/models",
    ]
    return "\n".join(lines) + "\n"


def _has_batch(subject: Subject) -> bool:
    """Whether all tensors have a first dimension that is unknown: the server may fill it."""
    infos = (*subject.signature.inputs.values(), *subject.signature.outputs.values())
    return all(info.shape and info.shape[0] is None for info in infos)


def _unknown(subject: Subject) -> str | None:
    infos = {**subject.signature.inputs, **subject.signature.outputs}
    names = [f'"{printable(name)}"' for name, info in infos.items() if info.shape is None]
    if not names:
        return None
    return f"The rank of {', '.join(names)} is unknown: set dims to what you feed and get."


def _check(subject: Subject) -> None:
    """Raise Unfeedable where Triton would not load the model, or not call the signature."""
    if why := refusals.cc(subject):
        raise Unfeedable(why)
    if len(subject.tags) != 1 or not subject.tags[0]:
        raise Unfeedable(
            f"Triton asks for one tag, and the tag set is {tag_set(subject.tags)}: fastsm retag "
            "gives it another"
        )
    if not subject.key:
        raise Unfeedable('Triton takes the name "" for serving_default')
    signature = subject.signature
    for kind, infos in (("input", signature.inputs), ("output", signature.outputs)):
        if not infos:
            raise Unfeedable(f"Triton wants an {kind}, and this signature has none")
        for name, info in infos.items():
            called = f'the {kind} "{printable(name)}"'
            if info.encoding in ("coo_sparse", "composite_tensor"):
                raise Unfeedable(f"{called} is {info.spec()}, and Triton takes one tensor for each")
            if info.dtype.removesuffix("_ref") not in TYPES:
                raise Unfeedable(f"{called} is {info.dtype}, and Triton has no such data type")
            if "\0" in name:
                raise Unfeedable(f"Triton ends the name of {called} at its zero byte")
