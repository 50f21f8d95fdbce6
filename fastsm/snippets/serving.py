"""How TensorFlow Serving is started for a model, and what a signature is asked over REST.

Source: tensorflow_serving/model_servers/main.cc, server_core.cc, http_rest_api_handler.cc,
sources/storage_path/file_system_storage_path_source.cc, util/json_tensor.cc,
servables/tensorflow/classifier.cc, regressor.cc, predict_util.cc.
"""

from __future__ import annotations

import os
from binascii import b2a_base64

from ..loaders import is_pattern
from ..text import listed, printable, shell, tag_set
from . import Snippet, quoting, refusals
from .values import Unfeedable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..views import TensorInfo
    from .subject import Subject
    from .texts import Feature
    from .values import Value

PORT = 8501

#: Dtypes that JSON is read as. Source: json_tensor.cc AddValueToTensor.
READ = (
    "float32", "float64", "int32", "int16", "int8", "uint8", "string", "int64", "bool", "uint32",
    "uint64",
)  # fmt: skip

#: What the verb of the URL is for a method; for any other it is "predict".
_VERBS = {"tensorflow/serving/classify": "classify", "tensorflow/serving/regress": "regress"}

#: An output -> what it has to be.
_RESULTS = {
    "classes": "string[batch, classes]", "scores": "float32[batch, classes]",
    "outputs": "float32[batch] or float32[batch, 1]",
}  # fmt: skip

#: A tensor of more elements is nothing for JSON.
MAX_ELEMENTS = 10_000_000


def server(subject: Subject) -> list[Snippet]:
    """The command that starts the server, and the one that does so in Docker."""
    why = refusals.cc(subject)
    flags = _tags(subject)
    if why is None and flags is None:
        tags = tag_set(subject.tags)
        why = f"no flag names the tag set {tags}: fastsm retag gives it another"
    titles = (
        ("TensorFlow Serving", "tensorflow_model_server"),
        ("TensorFlow Serving in Docker", "Docker"),
    )
    if why is not None or flags is None:
        return [Snippet("serving", title, "sh", "", needs, note=why) for title, needs in titles]
    texts = (_local(subject, flags), _docker(subject, flags))
    return [
        Snippet("serving", title, "sh", text, needs, note=note)
        for (title, needs), (text, note) in zip(titles, texts, strict=True)
    ]


def _tags(subject: Subject) -> list[str] | None:
    """The flag by which the server finds the meta graph: none of {serve}. None: there is none."""
    tags = subject.tags
    if tags == ["serve"]:
        return []
    if not tags or any(not tag or "," in tag for tag in tags):
        return None
    return [f"--saved_model_tags={','.join(tags)}"]


def _local(subject: Subject, flags: list[str]) -> tuple[str, str | None]:
    above = os.path.dirname(os.path.normpath(subject.path))
    base, before, note = absolute(above or "."), [], None
    why = _not_a_version(subject)
    if why:
        served = f"served/{subject.name}"
        base = absolute(served)
        before = [
            f"mkdir -p {served}",
            f"ln -sfn {absolute(subject.path)} {served}/1",
        ]
        note = f"Of the folder around it, the server would not load the model: {why}."
    lines = [
        "tensorflow_model_server \\",
        f"  --rest_api_port={PORT} \\",
        f"  --model_name={subject.name} \\",
        *[f"  {shell(flag)} \\" for flag in flags],
        f"  --model_base_path={base}",
    ]
    return "\n".join([*before, *lines]) + "\n", note


def _docker(subject: Subject, flags: list[str]) -> tuple[str, None]:
    target = f"/models/{subject.name}/{subject.version or 1}"
    source = absolute(subject.path)
    mount = f"-v {source}:{target}:ro"
    if ":" in os.path.abspath(subject.path):  # that is where -v splits; --mount does at commas
        mount = f"--mount type=bind,source={source},target={target},readonly"
    lines = [
        f"docker run --rm -p {PORT}:{PORT} \\",
        f"  {mount} \\",
        f"  -e MODEL_NAME={subject.name} \\",
        f"  tensorflow/serving{' '.join(['', *map(shell, flags)])}",
    ]
    return "\n".join(lines) + "\n", None


def _not_a_version(subject: Subject) -> str | None:
    """Why the server, told the folder around it, would not load the model; None: it would."""
    own = os.path.basename(os.path.abspath(subject.path))
    if is_pattern(os.path.abspath(subject.path)):
        return "TensorFlow takes \\ or [] in its path for a pattern"
    if subject.version is None:
        return f"it loads folders that are numbers, and {printable(own)} is none"
    try:
        beside = os.listdir(os.path.dirname(os.path.abspath(subject.path)))
    except OSError:
        return None
    newer = [
        name
        for name in beside
        if name.isascii() and name.isdigit() and int(name) > subject.version
    ]
    if not newer:
        return None
    return f"it loads the newest, and {max(newer, key=int)} is newer than {printable(own)}"


def absolute(path: str) -> str:
    """A path as the server wants it, for a shell."""
    if os.path.isabs(path):
        return shell(path)
    path = os.path.normpath(path)
    return '"$PWD"' if path == "." else f'"$PWD"/{shell(path)}'


# -- REST ----------------------------------------------------------------------------


def rest(subject: Subject) -> Snippet:
    """A request with curl."""
    title, needs = "REST", f"curl, and the server above on port {PORT}"
    try:
        if why := refusals.cc(subject):
            raise Unfeedable(why)
        asked = _request(subject)
    except Unfeedable as e:
        return Snippet("rest", title, "sh", "", needs, note=str(e))
    url = f"http://localhost:{PORT}/v1/models/{subject.name}:{asked.verb}"
    if asked.is_json:
        text = f"curl -d '{asked.body}' \\\n  {url}\n"
    else:
        script = f"import json; print(json.dumps({asked.body}))"
        text = f"python3 -c '{script}' |\n  curl -d @- {url}\n"
        needs = f"Python 3, {needs}"
    return Snippet("rest", title, "sh", text, needs, note=asked.note)


class _Request:
    """What is asked: the verb of the URL, the body and what is to be known.

    Attributes:
        is_json: Whether the body is JSON; else it is an expression of Python, as short.
    """

    def __init__(self, verb: str, body: str, note: str | None, *, is_json: bool = True) -> None:
        self.verb, self.body, self.note, self.is_json = verb, body, note, is_json


def _request(subject: Subject) -> _Request:
    method = subject.signature.method_name
    verb = _VERBS.get(method)
    if verb is None:
        return _predict(subject)
    why = _takes_no_examples(subject, verb)
    if why is None:
        return _examples(subject, verb)
    asked = _predict(subject)
    asked.note = f"Its method is {verb}, but the server refuses :{verb}: {why}."
    return asked


def _takes_no_examples(subject: Subject, verb: str) -> str | None:
    """Why the server cannot have a signature classify or regress; None: it can."""
    inputs, outputs = subject.signature.inputs, subject.signature.outputs
    wanted, n = (["classes", "scores"], (1, 2)) if verb == "classify" else (["outputs"], (1,))
    if list(inputs) != ["inputs"]:
        return f'it wants one input, "inputs"; there are {listed(inputs)}'
    info = inputs["inputs"]
    if info.dtype != "string" or info.encoding != "name":
        return f"it feeds serialised Examples, and the input is {info.spec()}"
    if info.shape is not None and len(info.shape) != 1:
        return f"it feeds a list of serialised Examples, and the input is {info.spec()}"
    if len(outputs) not in n or not any(name in outputs for name in wanted):
        named = " or ".join(f'"{name}"' for name in wanted)
        return f"it wants {named} as output; there are {listed(outputs)}"
    for name in wanted:
        if name in outputs and not _is_result(verb, name, outputs[name]):
            wants = _RESULTS[name]
            return f'it wants the output "{name}" as {wants}, which is {outputs[name].spec()}'
    return None


def _is_result(verb: str, name: str, info: TensorInfo) -> bool:
    """Whether an output is what the server makes a result of."""
    if info.dtype != ("string" if name == "classes" else "float32"):
        return False
    if info.shape is None or verb == "classify":
        return info.shape is None or len(info.shape) == 2
    return len(info.shape) == 1 or (len(info.shape) == 2 and info.shape[1] in (None, 1))


def _examples(subject: Subject, verb: str) -> _Request:
    """Examples as JSON: a feature's key -> its values."""
    ((value,),) = [subject.values()]
    features: list[Feature] = value.text.features or [] if value.text is not None else []
    told = {quoting.json(f.key): _feature(f) for f in features if not _cut(f.key)}
    note = None
    if not features:
        note = "Which features its Examples have is not told by the graph: fill them in."
    example = _object(told)
    return _Request(verb, _object({**_named(subject), '"examples"': f"[{example}]"}), note)


def _feature(feature: Feature) -> str:
    words = [_word(v) if isinstance(v, (int, float)) else quoting.json(v) for v in feature.values]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


def _predict(subject: Subject) -> _Request:
    """Tensors as JSON: in rows where all inputs and outputs have a batch, else in columns.

    Of outputs in rows the server wants one first dimension, of inputs as well.
    """
    inputs, outputs = subject.signature.inputs, subject.signature.outputs
    _check(subject)
    values = subject.values()
    shapes = [info.shape for info in (*inputs.values(), *outputs.values())]
    rows = all(shape and shape[0] is None for shape in shapes)
    rows = rows and not any(value.spec.role for value in values)
    is_json = all(value.is_written for value in values)
    cells = {
        value.spec.name: _lists(value, value.shape[1:] if rows else value.shape, is_json)
        for value in values
    }
    if len(cells) == 1:
        (told,) = cells.values()
    else:
        told = _object({quoting.json(name): cell for name, cell in cells.items()})
    members = {**_named(subject)}
    members['"instances"' if rows else '"inputs"'] = f"[{told}]" if rows else told
    return _Request("predict", _object(members), None, is_json=is_json)


def _check(subject: Subject) -> None:
    """Raise Unfeedable for what REST has no form for."""
    inputs, outputs = subject.signature.inputs, subject.signature.outputs
    if not subject.key:
        raise Unfeedable('the server takes the name "" for serving_default')
    if not inputs:
        raise Unfeedable("TensorFlow Serving refuses a request over REST for no inputs; gRPC goes")
    if not outputs:
        raise Unfeedable("TensorFlow Serving has no answer in JSON for no outputs; gRPC goes")
    for kind, infos in (("input", inputs), ("output", outputs)):
        for name, info in infos.items():
            called = f'the {kind} "{printable(name)}"'
            if info.encoding in ("coo_sparse", "composite_tensor"):
                several = "; gRPC can leave it out (output_filter)" if kind == "output" else ""
                raise Unfeedable(
                    f"{called} is {info.spec()}, and the server takes one tensor for each{several}"
                )
            if info.dtype.removesuffix("_ref") not in READ:
                verb = "read as" if kind == "input" else "written for"
                raise Unfeedable(f"no JSON is {verb} {info.dtype}, which {called} is; gRPC goes")
    if len(inputs) > 1 and any(map(_cut, inputs)):
        raise Unfeedable("the server ends a name in JSON at a zero byte, and an input has one")


def _cut(name: str) -> bool:
    return "\0" in name


def _named(subject: Subject) -> dict[str, str]:
    """The member that names the signature; without it, it is serving_default."""
    if subject.key == "serving_default":
        return {}
    return {'"signature_name"': quoting.json(subject.key)}


def _lists(value: Value, shape: Sequence[int], is_json: bool) -> str:
    """A tensor, or a row of it, in JSON or in Python."""

    def word(element: Any) -> str:
        if isinstance(element, bytes):
            return _text(value.spec.name, element)
        return _word(element) if is_json else repr(element)

    if value.is_written:
        return quoting.nested(shape, value.elements, word)
    if value.n > MAX_ELEMENTS:
        name = printable(value.spec.name)
        raise Unfeedable(f'the input "{name}" has {value.n:,} elements: too many for JSON')
    made = word(value.elements[0]) if value.elements else ""
    for n in reversed(shape):
        made = f"[{made}]" + (f" * {n}" if n > 1 else "") if n else "[]"
    return made


def _text(name: str, data: bytes) -> str:
    """A string; one of bytes in base64, which needs no quotes but its own."""
    text = None if name.endswith("_bytes") else quoting.as_text(data)
    if text is not None:
        return quoting.json(text)
    return _object({'"b64"': f'"{b2a_base64(data, newline=False).decode()}"'})


def _word(element: Any) -> str:
    if isinstance(element, bool):
        return str(element).lower()
    return repr(element)


def _object(members: dict[str, str]) -> str:
    """Members whose names are quoted."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in members.items()) + "}"
