"""The first room on the path of a byte: files opened for reading, and sources over them."""
from __future__ import annotations

import os
import stat

from ._core import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PATCH", "File", "Identity", "Source", "from_bytes", "pack_pieces", "slices"]

#: The fd of a piece whose bytes lie in the source's patch.
PATCH = -1


class Identity:
    """Which file this is, and which version of it: device, inode, size, mtime in ns."""

    __slots__ = ("device", "inode", "mtime_ns", "size")

    def __init__(self, st: os.stat_result) -> None:
        self.device = st.st_dev
        self.inode = st.st_ino
        self.size = st.st_size
        self.mtime_ns = st.st_mtime_ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__
        )

    def __hash__(self) -> int:
        return hash((self.device, self.inode, self.size, self.mtime_ns))

    def __repr__(self) -> str:
        return f"Identity({', '.join(f'{n}={getattr(self, n)}' for n in self.__slots__)})"


class File:
    """A regular file open for reading; closed when the last source over it goes.

    Raises OSError as open does, and IsADirectoryError or ValueError when the path is
    no regular file (a pipe or a device would block, or never end).
    """

    __slots__ = ("fd", "identity", "path")

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.path = path
        # O_NONBLOCK: opening a FIFO must not wait for its writer.
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        st = os.fstat(self.fd)
        if not stat.S_ISREG(st.st_mode):
            raise (IsADirectoryError if stat.S_ISDIR(st.st_mode) else ValueError)(
                f"{path}: not a regular file"
            )
        self.identity = Identity(st)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def source(self) -> Source:
        """The whole file, as it was when opened, as one piece."""
        size = self.identity.size
        return Source(pack_pieces([(0, size, 0, self.fd)] if size else []), b"", (self,))


def pack_pieces(pieces: Iterable[tuple[int, int, int, int]]) -> bytes:
    """(start, length, origin, fd) records as the packed table that Source takes."""
    return b"".join(
        start.to_bytes(8, "little")
        + length.to_bytes(8, "little")
        + origin.to_bytes(8, "little")
        + fd.to_bytes(8, "little", signed=True)
        for start, length, origin, fd in pieces
    )


def from_bytes(data: bytes) -> Source:
    """Bytes in memory as a source."""
    return Source(pack_pieces([(0, len(data), 0, PATCH)] if data else []), data)


def slices(source: Source, spans: Iterable[tuple[int, int]]) -> Source:
    """The bytes of these spans, one behind the other, as a source of their own."""
    table = memoryview(source.pieces).cast("Q")
    pieces: list[tuple[int, int, int, int]] = []
    at = 0
    for start, end in spans:
        for i in range(0, len(table), 4):
            begin, length = table[i], table[i + 1]
            low, high = max(start, begin), min(end, begin + length)
            if low < high:
                fd = table[i + 3] - (1 << 64) if table[i + 3] >> 63 else table[i + 3]
                pieces.append((at, high - low, table[i + 2] + low - begin, fd))
                at += high - low
    return Source(pack_pieces(pieces), source.patch, source.keep)
