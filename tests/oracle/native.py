"""TensorFlow's C and C++ interfaces by ctypes, out of the wheel's shared libraries.

The C API is a session loader in C++, the one that TensorFlow Serving has; the C++
symbols serialise a message in the order that fingerprints are computed over.
"""
from __future__ import annotations

import base64
import ctypes
import functools
import mmap
import os
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import errors_impl

Array = np.ndarray[Any, np.dtype[Any]]


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


@functools.cache
def _library() -> ctypes.CDLL:
    folder = os.path.dirname(tf.__file__)
    library = ctypes.CDLL(os.path.join(folder, "libtensorflow_cc.so.2"))
    for name, result in {
        "TF_NewStatus": c_void_p,
        "TF_Message": c_char_p,
        "TF_NewGraph": c_void_p,
        "TF_NewSessionOptions": c_void_p,
        "TF_NewBuffer": POINTER(Buffer),
        "TF_LoadSessionFromSavedModel": c_void_p,
        "TF_GraphOperationByName": c_void_p,
        "TF_AllocateTensor": c_void_p,
        "TF_TensorData": c_void_p,
        "TF_TensorByteSize": c_size_t,
        "TF_Dim": c_int64,
    }.items():
        getattr(library, name).restype = result
    return library


class _Status:
    """A TF_Status; ``check`` raises what it holds."""

    def __init__(self) -> None:
        self.pointer = c_void_p(_library().TF_NewStatus())

    def check(self) -> None:
        code = _library().TF_GetCode(self.pointer)
        if code:
            message = _library().TF_Message(self.pointer).decode(errors="replace")
            raise errors_impl.exception_type_from_error_code(code)(None, None, message)


# -- the second loader of C++ --------------------------------------------------------

#: What a message object is filled with before it is constructed, to see how far it reaches.
UNTOUCHED = b"\xaa"

#: absl::OkStatus() as the word that a Status is.
OK = 1


def restored_objects(path: str) -> list[int]:
    """SavedModelV2Bundle::Load and VisitObjectsToRestore: the objects that have values.

    The object graph of the checkpoint is walked, that of saved_model.pb beside it by the names
    of children; one that only the checkpoint has is an error.

    Returns:
        ids of objects of saved_model.pb, in the order in which they are visited.

    Source: tensorflow/cc/saved_model/bundle_v2.h (2.21). It has no C interface.
    """
    bundle = ctypes.create_string_buffer(UNTOUCHED * 4096, 4096)
    at = ctypes.addressof(bundle)
    # MetaGraphDef, TrackableObjectGraph, and two pointers that are null.
    for message in ("12MetaGraphDef", "20TrackableObjectGraph"):
        construct = _library()[f"_ZN10tensorflow{message}C1EPN6google8protobuf5ArenaE"]
        construct(c_void_p(at), None)
        n_bytes = len(bundle.raw.rstrip(UNTOUCHED))
        at = ctypes.addressof(bundle) + -(-n_bytes // 8) * 8
    ctypes.memset(at, 0, 2 * ctypes.sizeof(c_void_p))

    text = ctypes.create_string_buffer(os.fsencode(path))
    string = (c_uint64 * 4)(ctypes.addressof(text), len(text) - 1)  # a std::string
    status = c_uint64()
    _symbol("_ZN10tensorflow18SavedModelV2Bundle4Load")(ctypes.byref(status), string, bundle)
    _check(status)

    visited = []

    @ctypes.CFUNCTYPE(c_void_p, POINTER(c_uint64), c_void_p, POINTER(c_int), c_void_p)
    def visit(status: Any, _: int, node: Any, trackable: int) -> int:
        visited.append(node[0])
        status[0] = OK
        return ctypes.addressof(status.contents)

    @ctypes.CFUNCTYPE(ctypes.c_bool, c_void_p, c_void_p, c_int)
    def copy(*_: object) -> bool:
        return False  # it holds nothing

    # A std::function: two words of its own, how it is copied, how it is called.
    callback = (c_void_p * 4)(
        None, None, ctypes.cast(copy, c_void_p), ctypes.cast(visit, c_void_p)
    )
    walk = _symbol("_ZN10tensorflow18SavedModelV2Bundle21VisitObjectsToRestore")
    walk(ctypes.byref(status), bundle, callback)
    _check(status)
    return visited


def _check(status: c_uint64) -> None:
    """Raises what an absl::Status holds."""
    as_c = _Status()
    _symbol("_ZN3tsl25Set_TF_Status_from_Status")(as_c.pointer, ctypes.byref(status))
    as_c.check()


def _symbol(start: str) -> Any:
    """The one function whose mangled name starts so; what follows has absl's version in it."""
    library = _library()
    with (
        open(library._name, "rb") as f,
        mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as data,
    ):
        at = data.find(b"\0" + start.encode()) + 1
        if not at:
            raise KeyError(start)
        return library[data[at : data.find(b"\0", at)].decode()]


def load(path: str, tags: list[str]) -> None:
    with Session(path, tags):
        pass


class Session:
    """TF_LoadSessionFromSavedModel, with the ``run`` of a Python session.

    Nothing but the session is freed: the fork ends soon.

    Source: tensorflow/c/c_api.h, tf_tensor.h (2.21).
    """

    def __init__(self, path: str, tags: list[str]) -> None:
        library, status = _library(), _Status()
        self._graph = c_void_p(library.TF_NewGraph())
        buffer = library.TF_NewBuffer()
        self._session = c_void_p(
            library.TF_LoadSessionFromSavedModel(
                c_void_p(library.TF_NewSessionOptions()),
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
        serialized = ctypes.string_at(buffer.contents.data, buffer.contents.length)
        self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(serialized)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        status = _Status()
        _library().TF_CloseSession(self._session, status.pointer)
        _library().TF_DeleteSession(self._session, status.pointer)

    def run(
        self, fetches: Mapping[str, str], feed_dict: Mapping[str, Array]
    ) -> dict[str, Array]:
        """alias -> array, for ``fetches`` alias -> tensor and ``feed_dict`` tensor -> array."""
        n_in, n_out = len(feed_dict), len(fetches)
        values = (c_void_p * n_out)()
        status = _Status()
        _library().TF_SessionRun(
            self._session,
            None,
            (Output * n_in)(*map(self._output, feed_dict)),
            (c_void_p * n_in)(*map(_to_tensor, feed_dict.values())),
            n_in,
            (Output * n_out)(*map(self._output, fetches.values())),
            values,
            n_out,
            None,
            0,
            None,
            status.pointer,
        )
        status.check()
        return {alias: _to_array(c_void_p(v)) for alias, v in zip(fetches, values, strict=True)}

    def _output(self, name: str) -> Output:
        operation, _, index = name.partition(":")
        pointer = _library().TF_GraphOperationByName(self._graph, operation.encode())
        if not pointer:
            raise KeyError(f"no operation {operation!r} in the graph")
        return Output(pointer, int(index or 0))


# -- tensors -----------------------------------------------------------------------

# A TF_TString is 24 bytes; the low two bits of the first say which of four kinds.
# Source: tensorflow/tsl/platform/ctstring_internal.h (2.21).
TSTRING_SIZE = 24
SMALL, LARGE, OFFSET, VIEW = range(4)

#: What the views given to TensorFlow point to, kept alive until the fork ends.
_viewed: list[ctypes.Array[ctypes.c_char]] = []


def _to_tensor(value: Array) -> int:
    dtype = tf.as_dtype(value.dtype if value.dtype != object else "string")
    data = b"".join(map(_view, value.flat)) if dtype == tf.string else value.tobytes()
    dims = (c_int64 * value.ndim)(*value.shape)
    tensor = _library().TF_AllocateTensor(
        dtype.as_datatype_enum, dims, value.ndim, c_size_t(len(data))
    )
    ctypes.memmove(_library().TF_TensorData(c_void_p(tensor)), data, len(data))
    return int(tensor)


def _to_array(tensor: c_void_p) -> Array:
    library = _library()
    dims = [library.TF_Dim(tensor, i) for i in range(library.TF_NumDims(tensor))]
    dtype = tf.as_dtype(library.TF_TensorType(tensor))
    address = library.TF_TensorData(tensor)
    if dtype == tf.string:
        n = int(np.prod(dims, dtype=np.int64))
        strings = [_string_at(address + TSTRING_SIZE * i) for i in range(n)]
        return np.array(strings, dtype=object).reshape(dims)
    data = ctypes.string_at(address, library.TF_TensorByteSize(tensor)) if address else b""
    return np.frombuffer(data, dtype.as_numpy_dtype).reshape(dims)


def _view(text: bytes) -> bytes:
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


# -- messages ----------------------------------------------------------------------

#: Room for any generated message object; the largest is a few hundred bytes.
MESSAGE_SIZE = 1 << 16


def deterministic(message: str, type_name: str) -> str:
    """SerializeToStringDeterministic of the generated C++ class, base64 in and out.

    Python's own deterministic order (upb) is another: it sorts "Tidx" before "T".

    Raises:
        KeyError: no such class in libtensorflow_framework.
        ValueError: the bytes do not parse.
    """
    library = ctypes.CDLL(
        os.path.join(os.path.dirname(tf.__file__), "libtensorflow_framework.so.2")
    )
    # Itanium names: tensorflow::A_B::A_B(google::protobuf::Arena*). A nested message
    # A.B is the C++ class A_B.
    package, _, name = type_name.partition(".")
    name = name.replace(".", "_")
    cls = f"{len(package)}{package}{len(name)}{name}"
    try:
        construct = getattr(library, f"_ZN{cls}C1EPN6google8protobuf5ArenaE")
        byte_size = getattr(library, f"_ZNK{cls}12ByteSizeLongEv")
    except AttributeError:
        raise KeyError(f"no C++ class for {type_name}") from None
    parse = library["_ZN6google8protobuf11MessageLite14ParseFromArrayEPKvi"]
    serialize = library[
        "_ZN3tsl30SerializeToBufferDeterministicERKN6google8protobuf11MessageLiteEPcm"
    ]
    parse.restype = serialize.restype = ctypes.c_bool
    byte_size.restype = c_size_t
    this = ctypes.create_string_buffer(MESSAGE_SIZE)
    construct(this, None)
    data = base64.b64decode(message)
    if not parse(this, data, len(data)):
        raise ValueError(f"not a {type_name}")
    out = ctypes.create_string_buffer(size := byte_size(this))
    if not serialize(this, out, c_size_t(size)):
        raise ValueError(f"{type_name} was not serialised")
    return base64.b64encode(out.raw[:size]).decode()
