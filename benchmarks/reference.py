"""A second reader of saved_model.pb, in a hundred lines and without fastsm or protobuf.

It tells what a retag and a rename must write, byte for byte, and what a summary must name.
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


#: What a file becomes: ranges of the old one, and new bytes.
Pieces = list[tuple[int, int] | bytes]


def with_tag(data: Bytes, tag: str) -> Pieces:
    """The file with one more tag for its first meta graph.

    The new tag stands before the first that sorts behind it, where sorted tags have it.
    """
    graph = next(f for f in fields(data, 0, len(data)) if f.number == 2)
    info = next(f for f in fields(data, graph.start, graph.end) if f.number == 1)
    tags = [f for f in fields(data, info.start, info.end) if f.number == 4]
    behind = [f.length_at - 1 for f in tags if text(data, f) > tag]
    at = behind[0] if behind else tags[-1].end
    new = b"\x22" + encoded(len(tag.encode())) + tag.encode()
    return spliced(data, [([graph, info], at, at, new)])


def with_signature(data: Bytes, old: str, new: str) -> Pieces:
    """The file with another key for a signature of its first meta graph: in signature_def
    and among the children of the object graph's ``signatures``."""
    graph = next(f for f in fields(data, 0, len(data)) if f.number == 2)
    splices = []
    for top in fields(data, graph.start, graph.end):
        if top.number == 5:
            key = next(f for f in fields(data, top.start, top.end) if f.number == 1)
            if text(data, key) == old:
                splices.append(([graph, top, key], key.start, key.end, new.encode()))
        elif top.number == 7:
            nodes = [f for f in fields(data, top.start, top.end) if f.number == 1]
            signatures = nodes[next(to for to, _, name in children(data, nodes[0])
                                    if text(data, name) == "signatures")]  # fmt: skip
            for _, child, name in children(data, signatures):
                if text(data, name) == old:
                    around = [graph, top, signatures, child, name]
                    splices.append((around, name.start, name.end, new.encode()))
    return spliced(data, splices)


def children(data: Bytes, node: Field) -> Iterator[tuple[int, Field, Field]]:
    """Of each child of an object its number, its field and the name in it."""
    for child in fields(data, node.start, node.end):
        if child.number == 1:
            name = next(f for f in fields(data, child.start, child.end) if f.number == 2)
            number = varint(data, child.start + 1)[0] if data[child.start] == 8 else 0
            yield number, child, name


def spliced(data: Bytes, splices: list[tuple[list[Field], int, int, bytes]]) -> Pieces:
    """The file with some ranges replaced, each within fields whose lengths follow.

    Args:
        splices: (the fields around it, start, end, new bytes) of each range.
    """
    grown: dict[Field, int] = {}
    changes: dict[tuple[int, int], bytes] = {}
    for around, start, end, new in splices:
        growth = len(new) - (end - start)
        changes[start, end] = new
        for f in reversed(around):
            grown[f] = grown.get(f, 0) + growth
    # Inner lengths first: one that takes another number of bytes makes the outer ones grow.
    for f in sorted(grown, key=lambda f: f.end - f.start):
        changes[f.length_at, f.start] = encoded(f.end - f.start + grown[f])
        more = len(changes[f.length_at, f.start]) - (f.start - f.length_at)
        for outer in grown:
            if outer is not f and outer.start <= f.length_at and f.end <= outer.end:
                grown[outer] += more
    pieces: Pieces = []
    at = 0
    for (start, end), new in sorted(changes.items()):
        pieces += [(at, start), new]
        at = end
    return [*pieces, (at, len(data))]
