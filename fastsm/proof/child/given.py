"""Arrays that were given: read from a file, and held against what a call asks for.

A name is an input's (``x``, ``x[values]`` of a part of a composite), or a signature's and an
input's: ``serving_default/x``. Nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import arrays as files
from .arrays import Array, dtype_name, numpy_dtype


class Unfitting(Exception):
    """Given arrays that cannot be read, or that no input takes; the text is for a person."""


def arrays(path: str) -> dict[str, Array]:
    """The arrays of a file: numpy's ``.npz``, or one that `arrays.save` wrote."""
    with open(path, "rb") as file:
        ours = file.read(len(files.MAGIC)) == files.MAGIC
    if ours:
        return files.load(path)
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise Unfitting("is no npz file but one array: numpy.savez gives it a name")
            return {name: _read(archive, name) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise Unfitting(f"is no npz file that numpy reads: {e}") from None


def _read(archive: Any, name: str) -> Array:
    try:
        array: Array = archive[name]
    except ValueError as e:
        if "allow_pickle" in str(e):
            raise Unfitting(
                f"{name} holds Python objects, which are never unpickled: "
                "strings are to be saved as bytes (dtype S) or text (dtype U)"
            ) from None
        raise
    if not isinstance(array, np.ndarray):
        raise Unfitting(f"{name} is no array (.npy)")
    return array


def array(path: str) -> Array:
    """The one array of a file: numpy's ``.npy``."""
    try:
        with open(path, "rb") as file:
            found: Array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as e:
        raise Unfitting(f"is no npy file that numpy reads: {e}") from None
    return found


def examples(given: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Array]:
    """Serialised tf.Examples.

    Args:
        given: An input's name -> of each Example a feature's name -> its values. Integers make
            an int64_list, floats (or both) a float_list, text a bytes_list.

    Raises:
        Unfitting: Values are of none of these kinds.
    """
    made = {}
    for alias, several in given.items():
        made[alias] = np.empty(len(several), dtype=object)
        made[alias][:] = [_example(alias, features) for features in several]
    return made


def _example(alias: str, features: Mapping[str, Any]) -> bytes:
    import tensorflow as tf

    kinds: dict[type, str] = {int: "int64_list", float: "float_list", str: "bytes_list"}
    example = tf.train.Example()
    for name, values in features.items():
        values = values if isinstance(values, list) else [values]
        types = {type(value) for value in values}
        if not types <= kinds.keys() or (str in types and len(types) > 1):
            raise Unfitting(
                f"the feature {name} of {alias} is to be a list of integers, of floats or of text"
            )
        feature = example.features.feature[name]
        kind = kinds[float if float in types else next(iter(types), float)]
        values = [v.encode() for v in values] if kind == "bytes_list" else values
        try:
            getattr(feature, kind).value.extend(values)
        except (ValueError, TypeError) as e:
            raise Unfitting(f"the feature {name} of {alias}: {e}") from None
    data: bytes = example.SerializeToString(deterministic=True)
    return data


def fitting(call: Any, given: Mapping[str, Array]) -> dict[str, Array]:
    """Those of given arrays that a call takes, as its inputs ask for them.

    Raises:
        Unfitting: One does not fit: its dtype, its shape.
    """
    found = {}
    for alias, spec in call.inputs.items():
        for name in (f"{call.key}/{alias}", alias):
            if name in given:
                found[alias] = fitted(name, given[name], spec.dtype, spec.shape)
                break
    return found


def fitted(name: str, array: Array, dtype: str, shape: tuple[int | None, ...] | None) -> Array:
    """An array as an input takes it.

    Numbers are converted where that loses nothing but digits: an integer to a dtype that holds
    it, a float to a narrower one that does not overflow.

    Raises:
        Unfitting: Its dtype or its shape is another one.
    """
    if shape is not None and (
        len(shape) != array.ndim
        or any(d is not None and d != n for d, n in zip(shape, array.shape, strict=False))
    ):
        raise Unfitting(
            f"{name} has shape {_shape(array.shape)}, and the model takes {_shape(shape)}"
        )
    if dtype == "string" and array.size:
        return _strings(name, array)
    try:
        wanted = numpy_dtype(dtype)
    except TypeError:
        raise Unfitting(f"{name}: no array can be given of dtype {dtype}") from None
    if array.dtype == wanted:
        return array
    if not array.size:  # lists of nothing have no dtype
        return np.empty(array.shape, wanted)
    if array.dtype == np.dtype(f"V{wanted.itemsize}"):
        # How an npz holds dtypes that numpy has not by itself: as bytes without a name.
        return array.view(wanted)
    if wanted.names and array.dtype == wanted[0]:
        return np.ascontiguousarray(array).view(wanted)
    if _converts(array, wanted, dtype):
        with np.errstate(all="ignore"):
            converted: Array = array.astype(wanted)
        if _same_numbers(array, converted):
            return converted
        raise Unfitting(f"{name} is {dtype_name(array.dtype)} with values that {dtype} cannot hold")
    raise Unfitting(f"{name} is {dtype_name(array.dtype)}, and the model takes {dtype}")


def _converts(array: Array, wanted: np.dtype[Any], dtype: str) -> bool:
    """Whether an array of numbers may become one of another dtype; bools are only bools."""
    kind = array.dtype.kind
    if wanted.names or wanted.kind == "b":
        return False
    if "int" in dtype:
        return kind in "iu"
    if dtype.startswith("complex"):
        return kind in "iufc"
    return kind in "iuf"


def _same_numbers(array: Array, converted: Array) -> bool:
    """Whether no integer has become another number, and no finite number infinite."""
    if array.dtype.kind in "iu":
        # By Python's numbers, which compare exactly; numpy's would wrap, and wrap back.
        exact = converted.astype(np.float64) if converted.dtype.kind == "V" else converted
        return bool(array.tolist() == exact.tolist())
    return bool((np.isfinite(array) <= np.isfinite(converted.astype(np.complex128))).all())


def _strings(name: str, array: Array) -> Array:
    """Bytes as they are, text as UTF-8; void of a fixed size are bytes with their zeros."""
    if array.dtype.kind not in "OSUTV" or array.dtype.names:
        raise Unfitting(f"{name} is {dtype_name(array.dtype)}, and the model takes string")
    made: Array = np.empty(array.shape, dtype=object)
    try:
        for i, element in enumerate(array.reshape(-1).tolist()):
            made.flat[i] = files.text_bytes(element)
    except TypeError as e:
        raise Unfitting(f"{name}: {e}") from None
    return made


def _shape(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"
