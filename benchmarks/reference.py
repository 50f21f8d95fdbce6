"""A second reader of saved_model.pb, in a hundred lines and without fastsm or protobuf.

It tells what a retag must write, byte for byte, and what a summary must name.
"""
from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

Bytes = bytes | mmap.mmap


class Field(NamedTuple):
    """A length-delimited field: its tag ends at ``length_at``, its payload is start..end."""

    number: int
    length_at: int
    start: int
    end: int


def varint(data: Bytes, at: int) -> tuple[int, int]:
    """The varint at an offset, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def fields(data: Bytes, start: int, end: int) -> Iterator[Field]:
    """The length-delimited fields of the message in start..end."""
    while start < end:
        tag, at = varint(data, start)
        value, start = varint(data, at) if tag & 7 in (0, 2) else (0, at)
        if tag & 7 == 2:
            yield Field(tag >> 3, at, start, start + value)
            start += value
        elif tag & 7:
            start += {1: 8, 5: 4}[tag & 7]


def text(data: Bytes, field: Field) -> str:
    return bytes(data[field.start : field.end]).decode()


def summary(data: Bytes) -> tuple[list[str], list[str]]:
    """The tags and the signature keys of the first meta graph."""
    graph = next(f for f in fields(data, 0, len(data)) if f.number == 2)
    tags, keys = [], []
    for inner in fields(data, graph.start, graph.end):
        parts = list(fields(data, inner.start, inner.end)) if inner.number in (1, 5) else []
        if inner.number == 1:
            tags += [text(data, f) for f in parts if f.number == 4]
        else:
            keys += [text(data, f) for f in parts if f.number == 1]
    return tags, keys


def with_tag(data: Bytes, tag: str) -> list[tuple[int, int] | bytes]:
    """The file with one more tag for its first meta graph: old ranges and new bytes.

    The new tag stands before the first that sorts behind it, where sorted tags have it.
    """
    graph = next(f for f in fields(data, 0, len(data)) if f.number == 2)
    info = next(f for f in fields(data, graph.start, graph.end) if f.number == 1)
    tags = [f for f in fields(data, info.start, info.end) if f.number == 4]
    behind = [f.length_at - 1 for f in tags if text(data, f) > tag]
    at = behind[0] if behind else tags[-1].end
    new = b"\x22" + encoded(len(tag.encode())) + tag.encode()
    info_length = encoded(info.end - info.start + len(new))
    growth = len(info_length) - (info.start - info.length_at) + len(new)
    return [
        (0, graph.length_at),
        encoded(graph.end - graph.start + growth),
        (graph.start, info.length_at),
        info_length,
        (info.start, at),
        new,
        (at, len(data)),
    ]
