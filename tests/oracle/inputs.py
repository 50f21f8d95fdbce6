"""Inputs for a signature, made from its specs alone."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Array = np.ndarray[Any, np.dtype[Any]]

#: Lines of assets that strings are drawn from, and what they are drawn from without assets.
N_WORDS = 1000
LETTERS = [letter.encode() for letter in "abcdefgh"]

#: And where a model takes none of these: no text, or an Example with a number called x, x2.
OTHER_WORDS = [
    [b""],
    [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                    for name, value in (("x", 2.0), ("x2", 3.0))
                }
            )
        ).SerializeToString(deterministic=True)
    ],
]


class Maker(NamedTuple):
    """Makes the same array for the same (seed, alias, dtype, shape), whoever asks.

    Unknown dimensions become 2, an unknown rank 1. Floats are normal, integers 0 to 3,
    strings lines of the model's text assets, or letters. ``feeds`` overrides by alias;
    ``aliases`` maps a renamed alias to the one whose values it gets.
    """

    seed: int
    words: list[bytes]
    feeds: Mapping[str, Any]
    aliases: Mapping[str, str]

    def array(self, alias: str, dtype: tf.DType, shape: tf.TensorShape) -> Array:
        alias = self.aliases.get(alias, alias)
        if alias in self.feeds:
            fed = np.array(self.feeds[alias], dtype=dtype.as_numpy_dtype)
            return np.vectorize(str.encode, otypes="O")(fed) if dtype == tf.string else fed
        dims = [2] if shape.rank is None else [2 if d is None else d for d in shape.as_list()]
        digest = hashlib.sha256(f"{self.seed} {alias}".encode()).digest()
        random = np.random.default_rng(list(digest))
        if dtype == tf.string:
            words = np.array(self.words, dtype=object)
            return np.array(words[random.integers(len(words), size=dims)], dtype=object)
        if dtype == tf.bool:
            return random.integers(2, size=dims).astype(bool)
        if dtype.is_integer:
            return random.integers(4, size=dims).astype(dtype.as_numpy_dtype)
        if dtype.is_floating:
            return random.standard_normal(dims).astype(dtype.as_numpy_dtype)
        if dtype.is_complex:
            parts = random.standard_normal([*dims, 2])
            return (parts[..., 0] + 1j * parts[..., 1]).astype(dtype.as_numpy_dtype)
        raise NotImplementedError(f"no inputs of dtype {dtype.name}")

    def sparse(self, alias: str, dtype: tf.DType, shape: tf.TensorShape) -> tuple[Array, ...]:
        """(values, indices, dense shape): the diagonal of a 2 x 2 x ... tensor.

        Or what ``feeds`` has under ``ALIAS_values``, ``_indices`` and ``_dense_shape``, which
        is what tf.saved_model.load calls the three inputs.
        """
        dtypes = {"values": dtype.as_numpy_dtype, "indices": np.int64, "dense_shape": np.int64}
        if all(f"{alias}_{part}" in self.feeds for part in dtypes):
            return tuple(np.array(self.feeds[f"{alias}_{p}"], t) for p, t in dtypes.items())
        rank = 2 if shape.rank is None else shape.rank
        dims = [2] * rank if shape.rank is None else [d or 2 for d in shape.as_list()]
        n = min(dims)
        indices = np.repeat(np.arange(n, dtype=np.int64)[:, None], rank, axis=1)
        values = self.array(alias, dtype, tf.TensorShape([n]))
        return values, indices, np.array(dims, np.int64)


def maker(path: str, seed: int, feeds: Mapping[str, Any], aliases: Mapping[str, str]) -> Maker:
    return Maker(seed, _words(os.path.join(path, "assets")) or LETTERS, feeds, aliases)


def _words(folder: str) -> list[bytes]:
    words: set[bytes] = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as f:
                words.update(line.strip() for line in f.read(1 << 20).splitlines())
    return sorted(w for w in words if w and len(w) < 100)[:N_WORDS]


def row(value: Array) -> tuple[str, Sequence[int], str]:
    """(dtype, shape, sha256) of an array; of strings, the lengths are hashed too."""
    if value.dtype.kind in "OS":  # a lone string comes as bytes, not as an array of objects
        elements = [bytes(v) for v in value.flat]
        data = b"".join(len(e).to_bytes(8, "little") + e for e in elements)
        return "string", value.shape, hashlib.sha256(data).hexdigest()
    data = np.ascontiguousarray(value).tobytes()
    return value.dtype.name, value.shape, hashlib.sha256(data).hexdigest()
