"""TensorFlow's C interface by ctypes, out of the wheel's shared library.

It is a session loader in C++, the one that TensorFlow Serving has.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import errors_impl

from .arrays import Array, dtype_name, numpy_dtype, text_bytes


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


@functools.cache
def library() -> ctypes.CDLL:
    """TensorFlow's own library."""
    name = "libtensorflow_cc.2.dylib" if sys.platform == "darwin" else "libtensorflow_cc.so.2"
    loaded = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), name))
    for name, result in {
        "TF_NewStatus": c_void_p,
        "TF_Message": c_char_p,
        "TF_NewGraph": c_void_p,
        "TF_NewSessionOptions": c_void_p,
        "TF_NewBuffer": POINTER(Buffer),
        "TF_NewBufferFromString": POINTER(Buffer),
        "TF_LoadSessionFromSavedModel": c_void_p,
        "TF_GraphOperationByName": c_void_p,
        "TF_NewOperation": c_void_p,
        "TF_FinishOperation": c_void_p,
        "TF_AllocateTensor": c_void_p,
        "TF_TensorData": c_void_p,
        "TF_TensorByteSize": c_size_t,
        "TF_Dim": c_int64,
    }.items():
        getattr(loaded, name).restype = result
    return loaded


class Status:
    """A TF_Status; ``check`` raises what it holds."""

    def __init__(self) -> None:
        self.pointer = c_void_p(library().TF_NewStatus())

    def check(self) -> None:
        code = library().TF_GetCode(self.pointer)
        if code:
            message = library().TF_Message(self.pointer).decode(errors="replace")
            raise errors_impl.exception_type_from_error_code(code)(None, None, message)


class Session:
    """TF_LoadSessionFromSavedModel.

    Attributes:
        meta_graph: The MetaGraphDef that was loaded.

    Source: tensorflow/c/c_api.h, tf_tensor.h (2.21).
    """

    def __init__(self, path: str, tags: list[str], config: bytes = b"") -> None:
        """Load it.

        Args:
            config: A serialised ConfigProto.
        """
        status = Status()
        options = c_void_p(library().TF_NewSessionOptions())
        library().TF_SetConfig(options, config, c_size_t(len(config)), status.pointer)
        status.check()
        self._graph = c_void_p(library().TF_NewGraph())
        buffer = library().TF_NewBuffer()
        self._session = c_void_p(
            library().TF_LoadSessionFromSavedModel(
                options,
                None,
                os.fsencode(path),
                (c_char_p * len(tags))(*(tag.encode() for tag in tags)),
                len(tags),
                self._graph,
                buffer,
                status.pointer,
            )
        )
        status.check()
        self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(_taken(buffer))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all that it holds but the graph."""
        status = Status()
        library().TF_CloseSession(self._session, status.pointer)
        library().TF_DeleteSession(self._session, status.pointer)

    def run(
        self,
        fetches: Mapping[str, str],
        feed_dict: Mapping[str, Array],
        options: Any = None,
        run_metadata: Any = None,
    ) -> dict[str, Array]:
        """As a session of Python does.

        Args:
            fetches: alias -> tensor, or operation: it runs, and gives nothing.
            feed_dict: tensor -> array.
            options: RunOptions.
            run_metadata: A RunMetadata, to be filled.

        Returns:
            alias -> array.
        """
        if not fetches:
            return {}
        tensors = {alias: name for alias, name in fetches.items() if ":" in name}
        targets = [name for name in fetches.values() if ":" not in name]
        n_in, n_out = len(feed_dict), len(tensors)
        status = Status()
        given = None
        if options is not None:
            data = options.SerializeToString()
            given = library().TF_NewBufferFromString(data, c_size_t(len(data)))
        told = None if run_metadata is None else library().TF_NewBuffer()
        places = (Output * n_in)(*map(self._output, feed_dict))
        wanted = (Output * n_out)(*map(self._output, tensors.values()))
        values = (c_void_p * n_out)()
        fed: list[int] = []
        try:
            for array in feed_dict.values():
                fed.append(_to_tensor(array))
            library().TF_SessionRun(
                self._session,
                given,
                places,
                (c_void_p * n_in)(*fed),
                n_in,
                wanted,
                values,
                n_out,
                (c_void_p * len(targets))(*(self._output(t).operation for t in targets)),
                len(targets),
                told,
                status.pointer,
            )
            status.check()
            if run_metadata is not None:
                run_metadata.ParseFromString(_taken(told))
            return {a: _to_array(c_void_p(v)) for a, v in zip(tensors, values, strict=True)}
        finally:
            for tensor in (*fed, *filter(None, values)):
                library().TF_DeleteTensor(c_void_p(tensor))
            if given is not None:
                library().TF_DeleteBuffer(given)

    def dtype(self, tensor: str) -> int:
        """The DataType of a tensor of the graph.

        Raises:
            KeyError: It has no such tensor.
        """
        output = self._output(tensor)
        if output.index >= library().TF_OperationNumOutputs(c_void_p(output.operation)):
            raise KeyError(f"no tensor {tensor!r} in the graph")
        return int(library().TF_OperationOutputType(output))

    def add(self, added: Any) -> None:
        """Add a node to the graph.

        Args:
            added: A NodeDef whose inputs are tensors, and whose attributes dtypes.
        """
        status = Status()
        node = c_void_p(
            library().TF_NewOperation(self._graph, added.op.encode(), added.name.encode())
        )
        for tensor in added.input:
            library().TF_AddInput(node, self._output(tensor))
        for name, value in added.attr.items():
            library().TF_SetAttrType(node, name.encode(), value.type)
        library().TF_FinishOperation(node, status.pointer)
        status.check()

    def _output(self, name: str) -> Output:
        operation, _, index = name.partition(":")
        pointer = library().TF_GraphOperationByName(self._graph, operation.encode())
        if not pointer:
            raise KeyError(f"no operation {operation!r} in the graph")
        return Output(pointer, int(index or 0))


def _taken(buffer: Any) -> bytes:
    """What a TF_Buffer holds; it is freed."""
    data = ctypes.string_at(buffer.contents.data, buffer.contents.length)
    library().TF_DeleteBuffer(buffer)
    return data


# -- tensors -----------------------------------------------------------------------

# A TF_TString is 24 bytes; the low two bits of the first say which of four kinds.
# Source: tensorflow/tsl/platform/ctstring_internal.h (2.21).
TSTRING_SIZE = 24
SMALL, LARGE, OFFSET, VIEW = range(4)

#: What the views given to TensorFlow point to: a variable may keep such a tensor.
_viewed: list[ctypes.Array[ctypes.c_char]] = []


def _to_tensor(value: Array) -> int:
    value = np.asarray(value)
    dims = (c_int64 * value.ndim)(*value.shape)
    dtype = tf.as_dtype(dtype_name(value.dtype))
    if dtype == tf.string:
        data: Any = b"".join(map(_view, value.flat))
        n_bytes = len(data)
    else:
        value = np.ascontiguousarray(value)
        data, n_bytes = value.ctypes.data, value.nbytes
    tensor = library().TF_AllocateTensor(dtype.as_datatype_enum, dims, len(dims), c_size_t(n_bytes))
    if n_bytes:
        at = library().TF_TensorData(c_void_p(tensor))
        ctypes.memmove(at, c_void_p(data) if isinstance(data, int) else data, n_bytes)
    return int(tensor)


def _to_array(tensor: c_void_p) -> Array:
    dims = [library().TF_Dim(tensor, i) for i in range(library().TF_NumDims(tensor))]
    dtype = tf.as_dtype(library().TF_TensorType(tensor)).base_dtype
    address = library().TF_TensorData(tensor)
    if dtype == tf.string:
        strings = np.empty(int(np.prod(dims, dtype=np.int64)), dtype=object)
        for i in range(strings.size):
            strings[i] = _string_at(address + TSTRING_SIZE * i)
        return strings.reshape(dims)
    array = np.empty(dims, dtype=numpy_dtype(dtype.name))
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, c_void_p(address), array.nbytes)
    return array


def _view(element: Any) -> bytes:
    text = text_bytes(element)
    kept = ctypes.create_string_buffer(text, len(text) + 1)
    _viewed.append(kept)
    words = (len(text) << 2 | VIEW, ctypes.addressof(kept), 0)
    return b"".join(word.to_bytes(8, "little") for word in words)


def _string_at(address: int) -> bytes:
    raw = ctypes.string_at(address, TSTRING_SIZE)
    kind, size = raw[0] & 3, int.from_bytes(raw[:8], "little") >> 2
    if kind == SMALL:
        return raw[1 : 1 + (raw[0] >> 2)]
    if kind == OFFSET:
        size = int.from_bytes(raw[:4], "little") >> 2
        return ctypes.string_at(address + int.from_bytes(raw[4:8], "little"), size)
    at = 16 if kind == LARGE else 8
    return ctypes.string_at(int.from_bytes(raw[at : at + 8], "little"), size)
