"""Small bundles to be damaged, and what TensorFlow makes of the damaged ones."""
from __future__ import annotations

import hashlib
import os
import resource
from typing import Any

import numpy as np
import tensorflow as tf

from . import inputs
from .building import save_slices

#: TensorFlow allocates by lengths that files give; the machine of the tests must not suffer.
MAX_ADDRESSES = 24 << 30


def save_bases(folder: str) -> None:
    """The bundles that tests/damage.py damages: small, sliced and many."""
    for name in ("small", "sliced", "many"):
        os.makedirs(os.path.join(folder, name))
    rows = tf.raw_ops.TensorListFromTensor(
        tensor=tf.constant([[1.0, 2.0], [3.0, 4.0]]), element_shape=tf.constant([2])
    )
    small = {
        "a": tf.range(12, dtype=tf.float32),
        "b": tf.reshape(tf.range(12, 24, dtype=tf.float32), [3, 4]),
        "e": tf.zeros([0, 4]),
        "flags": tf.constant([True, False, True, True, False, False]),
        "i": tf.range(5, dtype=tf.int32),
        "s": tf.constant([b"one", b"", b"three times", b"four"]),
        "v": rows,
        "z": tf.constant(7.5),
    }
    _save(folder, "small", small)
    save_slices(
        os.path.join(folder, "sliced", "variables"),
        {
            "p": ("float32", [4, 6], ["4 6 0,2:-", "4 6 2,2:-"]),
            "q": ("int32", [6, 4], ["6 4 -:0,1", "6 4 -:1,3"]),
        },
    )
    # Keys that share nothing: an index of three blocks.
    keys = [hashlib.sha256(str(i).encode()).hexdigest() * 8 for i in range(1400)]
    _save(folder, "many", {k: tf.constant(float(i)) for i, k in enumerate(keys)})


def _save(folder: str, name: str, tensors: dict[str, tf.Tensor]) -> None:
    tf.raw_ops.SaveV2(
        prefix=os.path.join(folder, name, "variables"), tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors), tensors=list(tensors.values()),
    )  # fmt: skip


def read_all(prefix: str) -> dict[str, Any]:
    """Every tensor that tf.train.load_checkpoint lists, but variants: it cannot read those."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESSES, MAX_ADDRESSES))
    reader = tf.train.load_checkpoint(prefix)
    dtypes = reader.get_variable_to_dtype_map()
    return {
        key: inputs.row(np.asarray(reader.get_tensor(key)))
        for key, dtype in sorted(dtypes.items())
        if dtype != tf.variant
    }


def restore_all(prefix: str, dtypes: dict[str, str], slices: list[str]) -> dict[str, Any]:
    """Every tensor through one RestoreV2, which is told keys and dtypes, as a graph does."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESSES, MAX_ADDRESSES))
    values = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=list(dtypes), shape_and_slices=slices or [""] * len(dtypes),
        dtypes=[tf.as_dtype(d) for d in dtypes.values()],
    )  # fmt: skip
    out = {}
    for key, value in zip(dtypes, values, strict=True):
        if value.dtype == tf.variant:
            value = tf.raw_ops.TensorListStack(
                input_handle=value, element_shape=[2], element_dtype=tf.float32
            )
        out[key] = inputs.row(np.asarray(value.numpy()))
    return out
