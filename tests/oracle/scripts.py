"""Running scripts as they are printed, and requests as TensorFlow Serving runs them."""
from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from . import native

Row = tuple[str, Sequence[int]]


def script(text: str, folder: str) -> dict[str, list[Row]]:
    os.chdir(folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "script.py", "exec"), names)
    return {name: [_row(part) for part in _parts(v)] for name, v in names["outputs"].items()}


def serve(path: str, tags: list[str], feed: Mapping[str, Any], fetch: list[str]) -> list[Row]:
    """One tensor for each name; a name without a number is its first, as in C++."""
    fed = {name: _fed(value) for name, value in feed.items()}
    with tf.Graph().as_default(), native.Session(path, tags) as session:
        values = session.run({str(i): name for i, name in enumerate(fetch)}, feed_dict=fed)
    return [_row(values[str(i)]) for i in range(len(fetch))]


def _fed(value: Mapping[str, Any]) -> Any:
    if "examples" in value:
        made = [_example(features) for features in value["examples"]]
        return np.array([example.SerializeToString() for example in made], dtype=object)
    if value["dtype"] == "string":
        elements = np.empty(len(value["elements"]), dtype=object)
        elements[:] = [base64.b64decode(text) for text in value["elements"]]
    else:
        elements = np.array(value["elements"], tf.as_dtype(value["dtype"]).as_numpy_dtype)
    return elements.reshape(value["shape"])


def _example(features: Mapping[str, Any]) -> Any:
    example = tf.train.Example()
    for name, (kind, values) in features.items():
        if kind == "bytes_list":
            values = [base64.b64decode(text) for text in values]
        getattr(example.features.feature[name], kind).value.extend(values)
    return example


def _parts(value: Any) -> list[Any]:
    """The tensors behind an output."""
    if isinstance(value, list):  # of a composite, fetched part by part
        return value
    return list(tf.nest.flatten(value, expand_composites=True))


def _row(value: Any) -> Row:
    if tf.is_tensor(value):
        return value.dtype.name, value.shape.as_list()
    array = np.asarray(value)
    name = "string" if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype).name
    return name, list(array.shape)
