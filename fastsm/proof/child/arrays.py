"""Arrays in files, and their digests: how the two ends of the worker hand tensors over.

A file holds MAGIC, the length of a JSON header (8 bytes), the header, and the elements of each
array in row-major order, little-endian; strings as a length (8 bytes) and bytes each. Nothing in
it is ever executed. An array of strings is one of objects that are bytes.

TensorFlow is not imported here: fastsm's own process reads these files, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

MAGIC = b"fsm-arr1"

#: A header is no longer than this: it is read whole.
MAX_HEADER = 64 << 20

#: So many bytes of strings are put together before they are written or hashed.
_CHUNK = 1 << 20

#: TensorFlow's quantised dtypes are integers in a struct of one field of that name.
#: Source: tensorflow/python/framework/dtypes.py.
QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint16": "int16", "quint16": "uint16",
             "qint32": "int32"}  # fmt: skip

#: Dtypes that numpy has by itself, by TensorFlow's names.
_PLAIN = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip

#: Elements of less than a byte lie in the low bits of one; the other bits are no value.
_LOW_BITS = {"int4": 0x0F, "uint4": 0x0F, "float4_e2m1fn": 0x0F, "int2": 0x03, "uint2": 0x03}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """TensorFlow's name of numpy's dtype: ``string`` of objects, bytes and text."""
    if dtype.kind in "OSUT":
        return "string"
    if dtype.names and dtype.names[0] in QUANTISED:
        return str(dtype.names[0])
    return str(dtype.name)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """numpy's dtype for a dtype of TensorFlow.

    Raises:
        TypeError: It has none: a resource, a variant, or a name that is no dtype.
        ImportError: It needs ml_dtypes, which TensorFlow brings along.
    """
    if name == "string":
        return np.dtype(object)
    if name in QUANTISED:
        return np.dtype([(name, QUANTISED[name])])
    if name in _PLAIN:
        return np.dtype(name)
    import ml_dtypes

    known = getattr(ml_dtypes, name, None)
    if not isinstance(known, type) or not issubclass(known, np.generic):
        raise TypeError(f"no arrays of dtype {name}")
    return np.dtype(known)


def save(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write arrays into a file, in their order."""
    header = [[name, dtype_name(a.dtype), list(a.shape)] for name, a in arrays.items()]
    data = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(MAGIC + len(data).to_bytes(8, "little") + data)
        for array in arrays.values():
            for part in _parts(np.asarray(array)):
                file.write(part)


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a file that `save` wrote.

    Raises:
        ValueError: It is none, or it ends too early.
    """
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{os.fspath(path)} is no file of arrays")
        header = json.loads(_exactly(file, _number(file, MAX_HEADER)))
        return {name: _read(file, dtype, tuple(map(int, shape))) for name, dtype, shape in header}


def row(array: Array) -> dict[str, Any]:
    """The digest of an array: dtype, shape, sha256; equal if and only if equal bit for bit.

    So -0.0 is another value than 0.0, and a NaN is equal to one of the same payload.
    """
    digest = hashlib.sha256()
    for part in _parts(np.asarray(array)):
        digest.update(part)
    return {
        "dtype": dtype_name(array.dtype),
        "shape": list(array.shape),
        "sha256": digest.hexdigest(),
    }


def text_bytes(element: Any) -> bytes:
    """An element of an array of strings: text is UTF-8 in TensorFlow."""
    if isinstance(element, str):
        return element.encode()
    if isinstance(element, (bytes, bytearray, memoryview)):
        return bytes(element)
    raise TypeError(f"a string is bytes or text, not {type(element).__name__}")


def _parts(array: Array) -> Iterator[bytes | memoryview]:
    """The elements in order, as a file and a digest have them."""
    name = dtype_name(array.dtype)
    if name == "string":
        chunk = bytearray()
        for element in array.flat:
            data = text_bytes(element)
            chunk += len(data).to_bytes(8, "little") + data
            if len(chunk) >= _CHUNK:
                yield bytes(chunk)
                chunk.clear()
        yield bytes(chunk)
        return
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.kind in "iufc":
        flat = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    raw = flat.view(np.uint8)
    yield (raw & _LOW_BITS[name] if name in _LOW_BITS else raw).data


def _read(file: BinaryIO, dtype: str, shape: tuple[int, ...]) -> Array:
    n = 1
    for dim in shape:
        n *= dim
    if dtype == "string":
        strings = np.empty(n, dtype=object)
        for i in range(n):
            strings[i] = _exactly(file, _number(file, _left(file)))
        return strings.reshape(shape)
    kind = numpy_dtype(dtype)
    if n * kind.itemsize > _left(file):
        raise ValueError("a file of arrays ends too early")
    array = np.empty(n, dtype=kind)
    view = array.view(np.uint8)
    if file.readinto(view.data) != view.nbytes:  # type: ignore[attr-defined]
        raise ValueError("a file of arrays ends too early")
    if dtype in ("int4", "int2"):  # the high bits repeat the sign
        bits = 8 - _LOW_BITS[dtype].bit_length()
        view[:] = ((view << bits).view(np.int8) >> bits).view(np.uint8)
    if sys.byteorder == "big" and kind.kind in "iufc":
        array.byteswap(inplace=True)
    return array.reshape(shape)


def _number(file: BinaryIO, most: int) -> int:
    n = int.from_bytes(_exactly(file, 8), "little")
    if n > most:
        raise ValueError("a file of arrays ends too early")
    return n


def _exactly(file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) != n:
        raise ValueError("a file of arrays ends too early")
    return data


def _left(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size - file.tell()
