"""Scripts that call a signature with TensorFlow and with Keras."""

from __future__ import annotations

from binascii import b2a_base64

from ..loaders import slots
from ..text import listed, python_list, python_str, tag_set
from . import Snippet, quoting, refusals
from .values import Unfeedable, Value, specs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .subject import Subject
    from .texts import Feature

#: Dtypes that are no attributes of the module ``tf``: numpy makes the array.
_UNNAMED = ("float8", "float4", "int4", "uint4", "int2", "uint2")

#: The dtypes of Keras' variables. Source: keras/src/backend/common/dtypes.py (3.15).
_KERAS = (
    "float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
    "int32", "int64", "bfloat16", "bool", "string", "float8_e4m3fn", "float8_e5m2", "complex64",
    "complex128",
)  # fmt: skip

#: Bytes that are more are written in base64.
_SHORT = 16

#: A call of one argument stands on one line, where it fits.
_WIDTH = 80

_TF, _NP = "import tensorflow as tf", "import numpy as np"

#: Of a feature's kind the message of tf.train.
_LISTS = {"float_list": "FloatList", "int64_list": "Int64List", "bytes_list": "BytesList"}

_PRINTED = ["for name, value in outputs.items():", "    print(name, value)"]


def v2(subject: Subject) -> Snippet:
    """tf.saved_model.load."""
    title, needs = "tf.saved_model.load", "TensorFlow 2"
    try:
        values = _values(refusals.v2(subject), subject.v2_values)
    except Unfeedable as e:
        return Snippet("python-v2", title, "python", "", needs, note=str(e))
    path = python_str(subject.path)
    tags = ""
    if len(subject.model.meta_graphs) > 1:
        tags = f", tags={python_list(subject.tags)}"
    script = _Script(subject)
    arguments = {value.spec.name: script.tensor(value) for value in values}
    called = _called("outputs = signature", arguments)
    lines = [
        f"model = tf.saved_model.load({path}{tags})",
        f"signature = model.signatures[{python_str(subject.key)}]",
        *called,
        *_PRINTED,
    ]
    needs += script.needs
    note = None
    if not subject.by_objects and len(arguments) > len(subject.signature.inputs):
        note = "tf.saved_model.load takes the parts of a composite input as inputs of their own."
    return Snippet("python-v2", title, "python", script.text(lines), needs, note=note)


def v1(subject: Subject) -> Snippet:
    """tf.compat.v1.saved_model.load, into a session."""
    title, needs = "tf.compat.v1.saved_model.load", "TensorFlow 1.15 or 2"
    try:
        values = _values(refusals.v1(subject), subject.values)
    except Unfeedable as e:
        return Snippet("python-v1", title, "python", "", needs, note=str(e))
    script = _Script()
    fed = {_tensor(v.spec.tensor): script.array(v) for v in values}
    fetched = {}
    for name, info in subject.signature.outputs.items():
        tensors = [python_str(_tensor(spec.tensor)) for spec in specs_of(name, info)]
        alone = info.encoding not in ("coo_sparse", "composite_tensor")
        fetched[name] = tensors[0] if alone else f"[{', '.join(tensors)}]"
    feeds = [f"        {python_str(tensor)}: {value}," for tensor, value in fed.items()]
    path = python_str(subject.path)
    lines = [
        "with tf.compat.v1.Session(graph=tf.Graph()) as session:",
        "    tf.compat.v1.saved_model.load("
        f"session, {python_list(subject.tags)}, {path})",
        "    fetches = {",
        *[f"        {python_str(name)}: {tensor}," for name, tensor in fetched.items()],
        "    }",
        *(["    feeds = {", *feeds, "    }"] if feeds else []),
        f"    outputs = session.run(fetches{', feeds' if feeds else ''})",
        *_PRINTED,
    ]
    return Snippet("python-v1", title, "python", script.text(lines), needs)


def keras(subject: Subject) -> Snippet:
    """keras.layers.TFSMLayer."""
    title, needs = "keras.layers.TFSMLayer", "Keras 3 with the TensorFlow backend"
    try:
        values = _values(refusals.v2(subject), subject.v2_values)
        _check_keras(subject, values)
    except Unfeedable as e:
        return Snippet("keras", title, "python", "", needs, note=str(e))
    script = _Script(subject)
    script.imports.append("import keras")
    needs += script.needs
    key = python_str(subject.key)
    tensors = {value.spec.name: script.tensor(value) for value in values}
    lines, note = [], None
    path = python_str(subject.path)
    if _is_method(subject):
        note = (
            "The model has a method of that name, which TFSMLayer would call: this class calls "
            "the signature."
        )
    if len(values) == 1 and note is None:
        lines.append(f"layer = keras.layers.TFSMLayer({path}, call_endpoint={key})")
        given = next(iter(tensors.values()))
    else:
        called = f"self._reloaded_obj.signatures[{key}]" if note else "self.call_endpoint_fn"
        lines += [
            "class Signature(keras.layers.TFSMLayer):",
            "    def call(self, inputs, training=False):",
            f"        return {called}(**inputs)",
            "",
            "",
            f"layer = Signature({path}, call_endpoint={key})",
        ]
        given = "inputs"
        note = note or "TFSMLayer hands on one tensor: this class hands on several, by name."
    floats = sorted({v.spec.dtype for v in values if _is_float(v.spec.dtype)} - {"float32"})
    if floats:
        lines.append(f"layer.autocast = False  # else {', '.join(floats)} becomes float32")
    if given == "inputs":
        lines.append("inputs = {")
        lines += [f"    {python_str(name)}: {tensor}," for name, tensor in tensors.items()]
        lines.append("}")
    lines += [f"outputs = layer({given})", *_PRINTED]
    return Snippet("keras", title, "python", script.text(lines), needs, note=note)


def _values(why: str | None, values: Callable[[], list[Value]]) -> list[Value]:
    """The values, where nothing is in the way of the loader."""
    if why is not None:
        raise Unfeedable(why)
    return values()


def _check_keras(subject: Subject, values: Sequence[Value]) -> None:
    """Raise Unfeedable where TFSMLayer cannot load the model, or call the signature."""
    graphs = subject.model.meta_graphs
    if len(graphs) > 1:
        sets = ", ".join(tag_set(graph.tag_set) for graph in graphs)
        raise Unfeedable(
            f"TFSMLayer asks for no tags, and the model has {len(graphs)} meta graphs ({sets}): "
            "fastsm extract-meta-graph makes a model of one"
        )
    unknown = [dtype for dtype in subject.captured() if dtype not in _KERAS]
    if unknown:
        raise Unfeedable(f"Keras has no variables of {listed(unknown)}, and the signature uses one")
    if not values:
        raise Unfeedable("TFSMLayer hands on an input, and this signature takes none")


def _is_method(subject: Subject) -> bool:
    """Whether the root object has an attribute that is called like the signature.

    Source: keras/src/export/tfsm_layer.py TFSMLayer.__init__ (3.15).
    """
    return subject.by_objects and subject.key in subject.graph.root_children


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def _tensor(name: str) -> str:
    """A tensor as a session wants it named; C++ takes ``x`` for ``x:0``."""
    return name if ":" in name else f"{name}:0"


def _called(function: str, arguments: dict[str, str]) -> list[str]:
    lines = quoting.arguments(arguments) if arguments else []
    if len(lines) < 2:
        call = f"{function}({''.join(lines).removesuffix(',')})"
        if len(call) <= _WIDTH:
            return [call]
    return [f"{function}(", *(f"    {line}" for line in lines), ")"]


class _Script:
    """A script: imports, Examples, and what follows.

    Args:
        subject: What tf.saved_model.load is to load; None where it is not called.

    Attributes:
        imports: Beside TensorFlow's.
        needs: What else has to be installed: ", tf_keras" or "".
    """

    def __init__(self, subject: Subject | None = None) -> None:
        self.imports: list[str] = []
        self.needs = ""
        self._eager = True
        if subject is not None and subject.by_objects and slots(subject.graph):
            self.needs = ", tf_keras"
            self.imports.append("import tf_keras  # whose optimizer the model has")
        self._examples: list[Sequence[Feature]] = []

    def tensor(self, value: Value) -> str:
        """A value as an eager tensor."""
        dtype = value.spec.dtype
        if dtype.startswith(_UNNAMED):
            self._need(_NP)
            kind = f'tf.as_dtype("{dtype}").as_numpy_dtype'
            made = f"np.array({self._lists(value)}, {kind})"
            if not value.is_written:
                made = f"np.full({list(value.shape)}, {self._element(value)}, {kind})"
            return f"tf.constant({made})"
        if value.is_written:
            return f"tf.constant({self._lists(value)}, tf.{dtype})"
        shape = list(value.shape)
        if not value.n or not any(value.elements):
            return f"tf.zeros({shape}, tf.{dtype})"
        return f"tf.fill({shape}, tf.constant({self._element(value)}, tf.{dtype}))"

    def array(self, value: Value) -> str:
        """A value as a session takes it: lists, which it makes arrays of the right dtype of.

        There is no TensorFlow in it: in a session an op has no value.
        """
        self._eager = False
        if value.is_written:
            return self._lists(value)
        self._need(_NP)
        shape = list(value.shape)
        if value.spec.dtype == "string":
            return f"np.full({shape}, {self._element(value)}, object)"
        if not value.n or not any(value.elements):
            return f"np.zeros({shape})"
        return f"np.full({shape}, {self._element(value)})"

    def text(self, lines: Sequence[str]) -> str:
        """The whole script."""
        imports = sorted({*self.imports, _TF}, key=lambda line: line.split()[1])
        apart = ["", ""] if lines[0].startswith("class ") else [""]
        examples = [
            line
            for features in self._examples
            for line in _example(self._example(features), features)
        ]
        return "\n".join([*imports, *apart, *examples, *lines]) + "\n"

    def _need(self, line: str) -> None:
        if line not in self.imports:
            self.imports.append(line)

    def _lists(self, value: Value) -> str:
        return quoting.nested(value.shape, value.elements, lambda e: self._word(value, e))

    def _element(self, value: Value) -> str:
        return self._word(value, value.elements[0]) if value.elements else "0"

    def _word(self, value: Value, element: Any) -> str:
        if not isinstance(element, bytes):
            return repr(element)
        text = value.text
        if text is not None and text.features is not None:
            return f"{self._example(text.features)}.SerializeToString()"
        if text is not None and text.call is not None and self._eager:
            return text.call
        written = quoting.as_text(element)
        if written is not None:
            return python_str(written)
        if len(element) <= _SHORT:
            return quoting.python_bytes(element)
        self._need("import base64")
        return f'base64.b64decode("{b2a_base64(element, newline=False).decode()}")'

    def _example(self, features: Sequence[Feature]) -> str:
        """The name of the variable that holds an Example."""
        if features not in self._examples:
            self._examples.append(features)
        n = self._examples.index(features) + 1
        return "example" if n == 1 else f"example_{n}"


def _example(name: str, features: Sequence[Feature]) -> list[str]:
    """The lines that make an Example."""
    lines = ["features = {"]
    for feature in features:
        listed = f"tf.train.{_LISTS[feature.kind]}(value={_listed(feature.values)})"
        made = f"tf.train.Feature({feature.kind}={listed})"
        lines.append(f"    {python_str(feature.key)}: {made},")
    made = "tf.train.Example(features=tf.train.Features(feature=features))"
    return [*lines, "}", f"{name} = {made}"]


def _listed(values: Sequence[Any]) -> str:
    """The values of a feature: they are all the same."""
    one = quoting.python_bytes(values[0].encode()) if isinstance(values[0], str) else values[0]
    return f"[{one}]" if len(values) == 1 else f"[{one}] * {len(values)}"
