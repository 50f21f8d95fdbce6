"""saved_model.pbtxt, through the protobuf library: text in, the binary form out, and back.

The messages come from a descriptor pool of our own, so nothing clashes with TensorFlow's,
whichever is imported first. Comments and layout do not survive; what protobuf does not
know by name is refused, never dropped.
"""

from __future__ import annotations

import os

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError, Message

from .errors import FormatError, UnsupportedError
from .text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_classes: dict[str, type[Message]] = {}


def message_class(name: str) -> type[Message]:
    """A message class, by its full name: ``tensorflow.SavedModel``."""
    if not _classes:
        files = descriptor_pb2.FileDescriptorSet()
        with open(os.path.join(os.path.dirname(__file__), "schema.binpb"), "rb") as f:
            files.ParseFromString(f.read())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        _classes.update(
            message_factory.GetMessageClassesForFiles([f.name for f in files.file], pool)
        )
    return _classes[name]


def to_binary(text: bytes, path: str, message: str = "SavedModel") -> bytes:
    """The SavedModel in a .pbtxt file, serialised.

    Args:
        message: What it is, if that is another message.

    Raises:
        FormatError: It is not text format, or not such a message; says line and column.
        UnsupportedError: It names a field that this version of the schema has not.
    """
    model = message_class(f"tensorflow.{message}")()
    try:
        pool: Any = model.DESCRIPTOR.file.pool
        text_format.Parse(text.decode(), model, descriptor_pool=pool)
    except UnicodeDecodeError as e:
        raise FormatError(path, "is not UTF-8 text", offset=e.start) from None
    except text_format.ParseError as e:
        words = printable(str(e), 400)  # it quotes the text
        if "has no field named" in words:
            raise UnsupportedError(
                path, f"has a field that fastsm does not know: {words}",
                hint="Text format cannot carry unknown fields; convert it with the TensorFlow "
                "that wrote it, then edit the .pb.",
            ) from None  # fmt: skip
        raise FormatError(path, f"is not a {message} in text format: {words}") from None
    except RecursionError:
        raise FormatError(path, "nests messages too deep") from None
    return model.SerializeToString(deterministic=True)


def to_text(binary: bytes, path: str) -> bytes:
    """A serialised SavedModel as the text of a .pbtxt file."""
    model = message_class("tensorflow.SavedModel")()
    try:
        model.ParseFromString(binary)
    except DecodeError as e:
        raise FormatError(path, str(e)) from None
    return text_format.MessageToString(model).encode()
