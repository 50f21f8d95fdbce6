"""The rules by which TensorFlow Serving reads a request over REST, and writes the answer.

Source: tensorflow_serving/util/json_tensor.cc, servables/tensorflow/classifier.cc, regressor.cc.
"""
from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Refused(Exception):
    """The server answers with an error; says which rule it is."""


class Tensor(NamedTuple):
    """What a request says of an input: of strings the elements are bytes."""

    dtype: str
    shape: tuple[int, ...]
    elements: list[Any]


#: dtype -> least and greatest whole number.
_WHOLE = {
    **dict.fromkeys(("int32", "int16", "int8", "uint8"), (-(1 << 31), (1 << 31) - 1)),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}

#: dtype -> bits of its fraction, greatest number.
_DECIMAL = {"float32": (24, 3.4028234663852886e38), "float64": (53, 1.7976931348623157e308)}

#: What AddSingleValueAndAdvance writes.
WRITTEN = {*_WHOLE, *_DECIMAL, "string", "bool"}


def parsed(body: str) -> dict[str, Any]:
    """A body: an object, of names that end at a zero byte."""
    found = json.loads(body, object_pairs_hook=_object)
    if not isinstance(found, dict):
        raise Refused("Is not object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise Refused("a name twice: which one counts is the parser's")
    return dict(pairs)


def signature_name(body: Mapping[str, Any]) -> str:
    name = body.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise Refused("'signature_name' key must be a string value")
    return name or "serving_default"


def tensors(body: Mapping[str, Any], dtypes: Mapping[str, str]) -> tuple[str, dict[str, Tensor]]:
    """FillPredictRequestFromJson.

    Args:
        dtypes: An input's name -> its dtype.

    Returns:
        "row" or "columnar", and the inputs.
    """
    if not dtypes:
        raise Refused("Failed to get input map for signature")
    if ("instances" in body) == ("inputs" in body):
        raise Refused("one of 'inputs' or 'instances'")
    if "inputs" in body:
        return "columnar", _columns(body["inputs"], dtypes)
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise Refused("Excepting 'instances' to be an list/array, not empty")
    return "row", _rows(instances, dtypes)


def _rows(instances: list[Any], dtypes: Mapping[str, str]) -> dict[str, Tensor]:
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise Refused("instances is a plain list, but expecting list of objects")
    named = _is_named(instances[0])
    made: dict[str, list[Tensor]] = {}
    for element in instances:
        if _is_named(element) != named:
            raise Refused("objects and others in 'instances'")
        row = {_cut(n): v for n, v in element.items()} if named else {next(iter(dtypes)): element}
        if row.keys() != dtypes.keys():
            raise Refused(f"keys must be equal to: {sorted(dtypes)}")
        for name, value in row.items():
            made.setdefault(name, []).append(tensor(value, dtypes[name]))
    batch = {}
    for name, parts in made.items():
        if len({part.shape for part in parts}) > 1:
            raise Refused("Expecting shape")
        elements = [element for part in parts for element in part.elements]
        batch[name] = Tensor(parts[0].dtype, (len(parts), *parts[0].shape), elements)
    return batch


def _columns(value: Any, dtypes: Mapping[str, str]) -> dict[str, Tensor]:
    if not isinstance(value, dict) or _is_base64(value):
        if len(dtypes) > 1:
            raise Refused("inputs is a plain value/list, but expecting an object")
        ((name, dtype),) = dtypes.items()
        return {name: tensor(value, dtype)}
    # Names are looked up as C strings.
    missing = [name for name in dtypes if _cut(name) not in value]
    if missing:
        raise Refused(f"Missing named input: {missing}")
    return {name: tensor(value[_cut(name)], dtype) for name, dtype in dtypes.items()}


def tensor(value: Any, dtype: str) -> Tensor:
    """A value in lists in lists, all of them as long as the first of their level."""
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        if not level:
            break
        level = level[0]
    elements: list[Any] = []
    _fill(value, 0, shape, dtype, elements)
    return Tensor(dtype, tuple(shape), elements)


def _fill(value: Any, level: int, shape: Sequence[int], dtype: str, into: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise Refused("found at incorrect level")
        into.append(_element(value, dtype))
        return
    if level >= len(shape) or len(value) != shape[level]:
        raise Refused("Encountered list at unexpected level or size")
    for inner in value:
        _fill(inner, level + 1, shape, dtype, into)


def _element(value: Any, dtype: str) -> Any:
    """AddValueToTensor, and of an object its bytes."""
    if isinstance(value, dict):
        if dtype != "string" or not _is_base64(value):
            raise Refused(f"an object is not of expected type: {dtype}")
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error:
            raise Refused("Unable to base64 decode") from None
    whole = type(value) is int
    if dtype in _DECIMAL:
        if not (whole or type(value) is float):
            raise Refused(f"not of expected type: {dtype}")
        bits, greatest = _DECIMAL[dtype]
        if whole and abs(value) >= 1 << bits:
            raise Refused("without loss of precision")
        if math.isfinite(value) and abs(value) > greatest:
            raise Refused("without loss of precision")
        return float(value)
    if dtype in _WHOLE:
        least, most = _WHOLE[dtype]
        if not whole or not least <= value <= most:
            raise Refused(f"not of expected type: {dtype}")
        return value
    if dtype == "bool" and type(value) is bool:
        return value
    if dtype == "string" and isinstance(value, str):
        return value.encode()
    raise Refused(f"to type: {dtype}")


def examples(body: Mapping[str, Any]) -> list[dict[str, tuple[str, list[Any]]]]:
    """FillClassificationRequestFromJson, and that of regression: of each Example a feature's name
    -> its kind and its values."""
    found = body.get("examples")
    if not isinstance(found, list) or not found:
        raise Refused("key 'examples' is expected, a list that is not empty")
    if not all(isinstance(example, dict) for example in found):
        raise Refused("Example must be JSON object")
    return [{_cut(name): _feature(value) for name, value in one.items()} for one in found]


def _feature(value: Any) -> tuple[str, list[Any]]:
    kinds = []
    elements: list[Any] = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, (bool, int)):
            kinds.append("int64_list")
            elements.append(int(one))
        elif isinstance(one, float):
            kinds.append("float_list")
            elements.append(one)
        elif isinstance(one, str) or _is_base64(one):
            kinds.append("bytes_list")
            elements.append(_element(one, "string"))
        else:
            raise Refused("element with unexpected JSON type")
    if len(set(kinds)) > 1:
        raise Refused("Unexpected element type in feature")
    return kinds[0] if kinds else "bytes_list", elements


def check_answer(form: str, outputs: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """MakeJsonFromTensors: raise Refused where the outputs cannot be written.

    Args:
        form: "row" or "columnar".
        outputs: Name -> dtype and shape.
    """
    if not outputs:
        raise Refused("Cannot convert empty tensor map to JSON")
    for name, (dtype, _) in outputs.items():
        if dtype not in WRITTEN:
            raise Refused(f"Failed to write JSON value for tensor type: {dtype} of {name}")
    if form == "row":
        shapes = [shape for _, shape in outputs.values()]
        if any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
            raise Refused("has inconsistent batch size, or no shape")


def check_results(
    verb: str, n: int, outputs: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """PostProcessClassificationResult, and that of regression."""
    for name, (dtype, shape) in outputs.items():
        if verb == "classify":
            if len(shape) != 2 or shape[0] != n:
                raise Refused(f"Expected Tensor shape: [batch_size num_classes] of {name}")
            if dtype != {"classes": "string", "scores": "float32"}[name]:
                raise Refused(f"{name} is {dtype}")
        elif shape not in ((n,), (n, 1)) or dtype != "float32":
            raise Refused(f"Expected output batch size of {n}, floats")


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _cut(name: str) -> str:
    return name.partition("\0")[0]
