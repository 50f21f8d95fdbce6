"""Building a model of tests.models in the fork."""
from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from .. import models


def build(name: str, path: str) -> None:
    """Builds from within the parent folder, so that no graph holds an absolute path."""
    parent, base = os.path.split(path)
    os.chdir(parent)
    models.build(name, base, tf=tf)


#: All that a bundle can hold but variants: by name, since numpy has not all.
NUMBERS = [
    "float32", "float64", "int32", "uint8", "int16", "int8", "complex64", "int64", "bool",
    "bfloat16", "uint16", "complex128", "float16", "uint32", "uint64", "float8_e5m2",
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz", "int4",
    "uint4", "int2", "uint2", "float4_e2m1fn",
]  # fmt: skip
QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint32": "int32", "qint16": "int16",
             "quint16": "uint16"}  # fmt: skip


def save_dtypes(prefix: str) -> dict[str, list[float] | None]:
    """A tensor of each dtype under its own name: the last of the values fits in no byte."""
    values = {}
    tensors = []
    for name in NUMBERS:
        numbers = [0, 1, 1, 0] if name == "bool" or name.endswith("int2") else [0, 1, 2, 3]
        as_numpy = np.array(numbers).astype(tf.as_dtype(name).as_numpy_dtype)
        tensors.append(tf.constant(as_numpy, tf.as_dtype(name)))
        values[name] = numbers
    for name, stored in QUANTISED.items():
        numbers = [[0, 1], [2, 100]]
        tensors.append(tf.bitcast(tf.constant(numbers, tf.as_dtype(stored)), tf.as_dtype(name)))
        values[name] = numbers
    tensors.append(tf.constant([[b"", b"a"], [b"\xff\0", b"x" * 300]]))
    values["string"] = None
    _save(prefix, list(values), [""] * len(values), tensors)
    return values


def save_slices(prefix: str, how: dict[str, tuple[str, list[int], list[str]]]) -> None:
    names, specs, tensors = [], [], []
    for key, (name, shape, slices) in how.items():
        whole = tf.reshape(tf.range(tf.reduce_prod(shape)), shape)
        for spec in slices:
            region = spec.split(" ")[-1].split(":")
            part = whole
            for axis, extent in enumerate(region):
                if extent != "-":
                    start, length = map(int, extent.split(","))
                    part = tf.gather(part, tf.range(start, start + length), axis=axis)
            as_string = name == "string"
            tensors.append(tf.strings.as_string(part) if as_string else tf.cast(part, name))
            names.append(key)
            specs.append(spec)
    _save(prefix, names, specs, tensors)


def save_variants(prefix: str) -> list[str]:
    """Lists of tensors, alone and several in one tensor; their keys."""
    lists = {
        "numbers": _list([[1.0, 2.0], [3.0, 4.0]]),
        "strings": _list([["a", ""], ["bc", "x" * 300]]),
        "nothing": tf.raw_ops.EmptyTensorList(
            element_shape=[2], max_num_elements=-1, element_dtype=tf.float32
        ),
        "several": tf.stack([_list([[1.0]]), _list([[2.0], [3.0]]), _list([[4.0]] * 100)]),
    }
    _save(prefix, list(lists), [""] * len(lists), list(lists.values()))
    return list(lists)


def _list(rows: list[list[object]]) -> tf.Tensor:
    return tf.raw_ops.TensorListFromTensor(
        tensor=tf.constant(rows), element_shape=tf.constant([len(rows[0])])
    )


def _save(prefix: str, names: list[str], specs: list[str], tensors: list[tf.Tensor]) -> None:
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=specs, tensors=tensors
    )
