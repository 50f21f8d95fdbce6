"""The small encoder: fields in protobuf's wire format, written minimally.

Source: protobuf's "Encoding" page.
"""

from __future__ import annotations


def varint(n: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first."""
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def delimited(number: int, payload: bytes) -> bytes:
    """A length-delimited field: a string, bytes or a message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(field: int, value: int) -> bytes:
    """A varint field; nothing for zero, proto3's default."""
    return varint(field << 3) + varint(value) if value else b""
