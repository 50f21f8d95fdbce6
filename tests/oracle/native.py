"""TensorFlow's C++ interfaces by ctypes: what has no interface in C.

The symbols load a model by the second loader, and serialise a message in the order that
fingerprints are computed over.
"""
from __future__ import annotations

import base64
import ctypes
import mmap
import os
from ctypes import POINTER, c_int, c_size_t, c_uint64, c_void_p
from typing import Any

import tensorflow as tf

from fastsm.proof.child.native import Session, Status, library

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
        construct = library()[f"_ZN10tensorflow{message}C1EPN6google8protobuf5ArenaE"]
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
    as_c = Status()
    _symbol("_ZN3tsl25Set_TF_Status_from_Status")(as_c.pointer, ctypes.byref(status))
    as_c.check()


def _symbol(start: str) -> Any:
    """The one function whose mangled name starts so; what follows has absl's version in it."""
    loaded = library()
    with (
        open(loaded._name, "rb") as f,
        mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as data,
    ):
        at = data.find(b"\0" + start.encode()) + 1
        if not at:
            raise KeyError(start)
        return loaded[data[at : data.find(b"\0", at)].decode()]


def load(path: str, tags: list[str]) -> None:
    with Session(path, tags):
        pass


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
