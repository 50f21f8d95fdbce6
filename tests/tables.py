"""Tables in LevelDB's format in plain Python: taken apart, and put together right or wrong.

Independent of the core but for its crc32c, which has tests of its own.
"""

from __future__ import annotations

from fastsm import _core

from .wire import varint

MAGIC = bytes.fromhex("57fb808b247547db")

Entries = list[tuple[bytes, bytes]]


def u32(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def masked_crc(data: bytes) -> int:
    crc = _core.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, behind it)."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def footer(data: bytes) -> tuple[int, int, int, int]:
    """(metaindex offset and size, index offset and size)."""
    at = len(data) - 48
    out = []
    for _ in range(4):
        value, at = read_varint(data, at)
        out.append(value)
    return out[0], out[1], out[2], out[3]


def block_entries(body: bytes) -> Entries:
    """The entries of a block that is not compressed."""
    n_restarts = int.from_bytes(body[-4:], "little")
    end = len(body) - 4 - 4 * n_restarts
    at, key, out = 0, b"", []
    while at < end:
        shared, at = read_varint(body, at)
        fresh, at = read_varint(body, at)
        size, at = read_varint(body, at)
        key = key[:shared] + body[at : at + fresh]
        at += fresh
        out.append((key, body[at : at + size]))
        at += size
    return out


def handles(data: bytes) -> list[tuple[int, int]]:
    """(offset, size) of every data block."""
    _, _, offset, size = footer(data)
    out = []
    for _, value in block_entries(data[offset : offset + size]):
        start, at = read_varint(value, 0)
        length, _ = read_varint(value, at)
        out.append((start, length))
    return out


def read_table(data: bytes) -> list[Entries]:
    """The entries of each data block."""
    return [block_entries(data[o : o + n]) for o, n in handles(data)]


def make_body(entries: Entries, interval: int = 16) -> bytes:
    """The body of a block, restart array and all; entries in any order."""
    body, restarts, before = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % interval == 0:
            restarts.append(len(body))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value))
        body += key[shared:] + value
        before = key
    restarts = restarts or [0]
    return body + b"".join(map(u32, restarts)) + u32(len(restarts))


def sealed(body: bytes, kind: int = 0) -> bytes:
    """A block with its trailer."""
    return body + bytes([kind]) + u32(masked_crc(body + bytes([kind])))


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def snappy(body: bytes) -> bytes:
    """The body as literals of Snappy."""
    out = varint(len(body))
    for i in range(0, len(body), 60):
        piece = body[i : i + 60]
        out += bytes([(len(piece) - 1) << 2]) + piece
    return out


class Maker:
    """A table to be written, each part of which can be made wrong.

    Attributes:
        blocks: (body, type) of each data block.
        separators: The key of each in the index block.
        handles: Ordinal of a block -> the handle's bytes to write instead of the true ones.
        index_body: Changes the body of the index block.
        padding, footer: The footer's bytes between handles and magic; all of it instead.
    """

    def __init__(self, blocks: list[Entries]) -> None:
        self.blocks = [(make_body(b), 0) for b in blocks]
        self.separators = [b[-1][0] + b"\0" for b in blocks]
        self.handles: dict[int, bytes] = {}
        self.index_body = bytes
        self.metaindex_handle: bytes | None = None
        self.index_handle: bytes | None = None
        self.padding: bytes | None = None

    def write(self) -> bytes:
        out = b""
        rows: Entries = []
        for i, (body, kind) in enumerate(self.blocks):
            where = self.handles.get(i, handle(len(out), len(body)))
            rows.append((self.separators[i], where))
            out += sealed(body, kind)
        meta = self.metaindex_handle or handle(len(out), 8)
        out += sealed(make_body([]))
        index = self.index_body(make_body(rows, 1))
        where = self.index_handle or handle(len(out), len(index))
        out += sealed(index)
        ends = meta + where
        padding = bytes(40 - len(ends)) if self.padding is None else self.padding
        return out + (ends + padding)[:40] + MAGIC
