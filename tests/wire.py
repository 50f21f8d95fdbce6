"""The protobuf wire format by hand, and messages that no tidy writer would write.

`Untidy` makes them from the schema that fastsm ships, through a descriptor pool of its
own: the default pool belongs to whoever imports TensorFlow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib.resources import files
from random import Random

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LEN, GROUP, END_GROUP, FIXED32 = range(6)


def varint(value: int, width: int = 0) -> bytes:
    """A number as a varint of at least ``width`` bytes; negative ones take ten."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire: int, width: int = 0) -> bytes:
    return varint(number << 3 | wire, width)


def integer(number: int, value: int) -> bytes:
    """A varint field."""
    return tag(number, VARINT) + varint(value)


def delimited(number: int, *parts: bytes | str) -> bytes:
    """A length-delimited field: a string, bytes, or a message's fields."""
    payload = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return tag(number, LEN) + varint(len(payload)) + payload


def entry(number: int, key: bytes | str, *value: bytes | str) -> bytes:
    """A map entry whose value is a string or a message."""
    return delimited(number, delimited(1, key), delimited(2, *value))


# -- the schema --------------------------------------------------------------------


def _pool() -> descriptor_pool.DescriptorPool:
    stored = files("fastsm").joinpath("schema.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(stored).file:
        pool.Add(file)
    return pool


_POOL = _pool()


def message_type(name: str) -> Descriptor:
    """A message of TensorFlow by its name without the package, ``AttrValue.ListValue``."""
    return _POOL.FindMessageTypeByName(f"tensorflow.{name}")


# -- untidy messages ---------------------------------------------------------------

F = FieldDescriptor
_FIXED = {
    F.TYPE_FIXED32: FIXED32, F.TYPE_FLOAT: FIXED32,
    F.TYPE_FIXED64: FIXED64, F.TYPE_DOUBLE: FIXED64,
}  # fmt: skip
_DELIMITED = {F.TYPE_STRING, F.TYPE_BYTES, F.TYPE_MESSAGE}

#: Some are prefixes of others, which is where protobuf's two implementations differ.
_WORDS = ["", "T", "Tidx", "Tin", "identity", "identity_1", "a", "b", "f", "é", "名前", "\0"]
_NUMBERS = [0, 1, 2, 127, 128, 300, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63]
_UNKNOWN = [60, 63, 64, 1000, (1 << 29) - 1]


def wire_of(field: FieldDescriptor) -> int:
    """How one value of a field is written."""
    return LEN if field.type in _DELIMITED else _FIXED.get(field.type, VARINT)


def is_packable(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated) and field.type not in _DELIMITED


class Untidy:
    """Writes valid messages in every way that a parser must put up with.

    Fields come in any order and any number of times, so that singular messages are merged
    and oneof members clash; map entries lack keys or values, repeat them and hold unknown
    fields; scalars are packed, unpacked, default or too wide for their type; tags, lengths
    and values are wider than they need be; known numbers have wrong wire types; unknown
    fields and groups lie in between.

    Args:
        random: Where all choices come from.
        fields: About how many fields to write, over all levels together.
        bulk: Strings have this many bytes now and then, and packed fields as many values.
    """

    def __init__(self, random: Random, fields: int, bulk: int = 0) -> None:
        self.random = random
        self.left = fields
        self.bulk = bulk

    def message(self, m: Descriptor, depth: int = 0) -> bytes:
        """The payload of a message of this type."""
        most = 4 if m.GetOptions().map_entry else 2 + self.left // (1 + depth)
        parts = []
        for _ in range(self.random.randint(0, most)):
            if self.left <= 0:
                break
            self.left -= 1
            parts.append(self.field(m, depth))
        return b"".join(parts)

    def field(self, m: Descriptor, depth: int) -> bytes:
        """A field of this message, or one that it does not know."""
        chance = self.random.random()
        if not m.fields or chance < 0.06:
            return self.unknown(self.random.choice(_UNKNOWN), depth)
        field = self.random.choice(m.fields)
        if chance < 0.1:
            return self.misfit(field, depth)
        if is_packable(field) and self.random.random() < 0.6:
            values = [self.scalar(field) for _ in range(self.random.randint(0, 4))]
            if self.bulk and self.random.random() < 0.3:
                values *= self.bulk // 4
            return self.delimited(field.number, b"".join(values))
        if field.type in _DELIMITED:
            return self.delimited(field.number, self.payload(field, depth))
        return self.tag(field.number, wire_of(field)) + self.scalar(field)

    def payload(self, field: FieldDescriptor, depth: int) -> bytes:
        if field.type == F.TYPE_MESSAGE:
            return b"" if depth > 90 else self.message(field.message_type, depth + 1)
        text = self.random.choice(_WORDS).encode()
        if self.bulk and self.random.random() < 0.3:
            text += self.random.choice([b"x", b"y"]) * self.bulk
        if field.type == F.TYPE_BYTES:
            text += self.random.randbytes(self.random.randint(0, 3))
        return text

    def scalar(self, field: FieldDescriptor) -> bytes:
        if field.type in _FIXED:
            double = field.type in (F.TYPE_DOUBLE, F.TYPE_FIXED64)
            return struct.pack("<d" if double else "<f", self.random.choice([0.0, -0.0, 1.5]))
        return self.varint(self.random.choice(_NUMBERS) - self.random.randint(0, 1))

    def unknown(self, number: int, depth: int, wire: int | None = None) -> bytes:
        if wire is None:
            wire = self.random.choice([VARINT, FIXED64, LEN, FIXED32, GROUP])
        head = self.tag(number, wire)
        if wire == VARINT:
            return head + self.varint(self.random.choice(_NUMBERS))
        if wire == LEN:
            return self.delimited(number, self.random.randbytes(self.random.randint(0, 9)))
        if wire != GROUP:
            return head + self.random.randbytes(8 if wire == FIXED64 else 4)
        inside = b""
        while depth < 90 and self.random.random() < 0.6:
            inside += self.unknown(self.random.choice([1, 2, *_UNKNOWN]), depth + 1)
        return head + inside + self.tag(number, END_GROUP)

    def misfit(self, field: FieldDescriptor, depth: int) -> bytes:
        """A known number with a wire type that its field does not have."""
        fits = {wire_of(field)} | ({LEN} if is_packable(field) else set())
        wires = [w for w in (VARINT, FIXED64, LEN, FIXED32, GROUP) if w not in fits]
        return self.unknown(field.number, depth, self.random.choice(wires))

    # -- wider than it need be: protobuf reads five bytes of a tag or a length, ten of a value

    def _width(self, most: int) -> int:
        return self.random.randint(2, most) if self.random.random() < 0.08 else 0

    def tag(self, number: int, wire: int) -> bytes:
        return tag(number, wire, self._width(5))

    def delimited(self, number: int, payload: bytes) -> bytes:
        return self.tag(number, LEN) + varint(len(payload), self._width(5)) + payload

    def varint(self, value: int) -> bytes:
        return varint(value, self._width(10))


def nested(depth: int, wrap: Callable[[bytes], bytes], inside: bytes = b"") -> bytes:
    """``wrap`` applied ``depth`` times."""
    for _ in range(depth):
        inside = wrap(inside)
    return inside
