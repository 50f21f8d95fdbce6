"""An open checkpoint: its index, and its shards as they are asked for.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc BundleReader and naming.cc
DataFilename (2.21).
"""

from __future__ import annotations

import os

from .. import _core
from ..errors import CoreError, FormatError, MissingError, UnsupportedError
from ..source import File
from ..text import counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

#: The bundle format that this reads. Source: tensor_bundle.h kTensorBundleVersion.
VERSION = 1

#: A folder of more files than this is not searched for stray shards.
MAX_FILES = 100_000


class Bundle:
    """A checkpoint of the V2 format: PREFIX.index and PREFIX.data-NNNNN-of-NNNNN.

    Attributes:
        prefix: The files' common name, ``export/1/variables/variables``.
        path: As the caller named it.
        index_file: PREFIX.index, open.
        index: What it says.
    """

    def __init__(self, prefix: str, path: str, index_file: File, index: _core.BundleIndex) -> None:
        self.prefix = prefix
        self.path = path
        self.index_file = index_file
        self.index = index
        self._shards: dict[int, File] = {}
        self._there: list[str] | None = None

    @classmethod
    def open(cls, prefix: str, *, path: str | None = None, lenient: bool = True) -> Bundle:
        """Open a checkpoint by its prefix.

        Args:
            path: How errors and the result name it; the prefix itself when None.
            lenient: Read what can be read of a damaged index; ``index.problems()`` tells.

        Raises:
            MissingError: There is no index.
            FormatError: It is no table; when not lenient, it is damaged.
        """
        name = prefix + ".index"
        try:
            file = File(name)
        except FileNotFoundError:
            raise MissingError(name, "there is nothing here") from None
        except (OSError, ValueError) as e:
            words = getattr(e, "strerror", None) or "not a regular file"
            raise FormatError(name, f"cannot be read: {words}") from None
        try:
            index = _core.BundleIndex(file.source(), lenient=lenient)
        except CoreError as e:
            raise FormatError(name, str(e), offset=e.offset) from None
        return cls(prefix, prefix if path is None else path, file, index)

    # -- its files --

    @property
    def folder(self) -> str:
        """The folder that holds the files."""
        return os.path.dirname(self.prefix) or "."

    @property
    def n_shards(self) -> int:
        """Data files, as the header says; not held against anything."""
        return self.index.n_shards

    def shard_name(self, shard: int) -> str:
        """The file of a shard, without its folder."""
        return f"{os.path.basename(self.prefix)}.data-{shard:05d}-of-{self.n_shards:05d}"

    def shard_path(self, shard: int) -> str:
        return os.path.join(os.path.dirname(self.prefix), self.shard_name(shard))

    def shard(self, shard: int) -> File:
        """The file of a shard, opened once.

        Raises MissingError, naming it and what lies there instead, or FormatError.
        """
        file = self._shards.get(shard)
        if file is None:
            path = self.shard_path(shard)
            try:
                file = self._shards[shard] = File(path)
            except FileNotFoundError:
                raise self._no_shard(path) from None
            except (OSError, ValueError) as e:
                words = getattr(e, "strerror", None) or "not a regular file"
                raise FormatError(path, f"cannot be read: {words}") from None
        return file

    def _no_shard(self, path: str) -> MissingError:
        there = self._shard_files()
        found = ", ".join(printable(n) for n in there[:8]) + (", ..." if len(there) > 8 else "")
        said = f"the index says {counted(self.n_shards, 'shard')}"
        return MissingError(path, f"there is nothing here; {said}, found: {found or 'none'}")

    def _shard_files(self) -> list[str]:
        """The files beside the index that are named as shards of this prefix, sorted.

        Looked up once: a hostile index misses a million.
        """
        if self._there is not None:
            return self._there
        start = os.path.basename(self.prefix) + ".data-"
        out = []
        try:
            with os.scandir(self.folder) as listing:
                for n, entry in enumerate(listing):
                    if n == MAX_FILES:
                        break
                    if entry.name.startswith(start) and _is_shard(entry.name[len(start) :]):
                        out.append(entry.name)
        except OSError:
            out = []
        self._there = sorted(out)
        return self._there

    def stray_shards(self) -> list[str]:
        """Files named as shards of this prefix in which no entry lies, sorted.

        A checkpoint of no tensor has a shard all the same, with nothing in it.
        """
        used = {self.shard_name(i) for i in self.index.shards() or {0}}
        return [name for name in self._shard_files() if name not in used]

    # -- whether it is one to read --

    def check_whole(self, *, but: Container[str] = ()) -> bool:
        """See that the index has lost none of its keys; listing needs none of this.

        Args:
            but: Kinds of damage to overlook, as CoreError names them.

        Returns:
            Whether there is none of these either.

        Raises:
            FormatError: It is damaged.
        """
        whole = True
        for kind, _, offset, harmless, _ in self.index.problems():
            if harmless:
                continue
            if kind not in but:
                words = str(CoreError(kind, offset, 0, 0))
                raise FormatError(self.index_file.path, words, offset=offset)
            whole = False
        return whole

    def check_readable(self) -> None:
        """See that values can be read rightly; listing needs none of this.

        Raises:
            FormatError: There is no header, or it counts no shards.
            UnsupportedError: The values are big-endian, or of a version for other readers.

        Source: tensor_bundle.cc BundleReader::BundleReader; framework/versions.cc
        CheckVersions.
        """
        path = self.index_file.path
        if not self.index.has_header:
            raise FormatError(path, "has no header: the number of shards is not known")
        n_shards, endianness, _, producer, min_consumer, refuses = self.index.header()
        if producer < 0:
            raise UnsupportedError(
                path,
                f"producer version {producer} is below 0, the least that TensorFlow supports",
                hint="Please regenerate the checkpoint.",
            )
        if min_consumer > VERSION:
            raise UnsupportedError(
                path,
                f"wants a reader of checkpoint version {min_consumer} or later; this one, and "
                f"TensorFlow 2.21, read version {VERSION}",
            )
        if refuses:
            raise UnsupportedError(
                path, f"disallows readers of checkpoint version {VERSION}, as this one is"
            )
        if endianness == 1:
            raise UnsupportedError(
                path,
                "is a big-endian checkpoint, which fastsm does not read",
                hint="TensorFlow reads it, and saves it anew in this machine's order.",
            )
        if n_shards < 1:
            raise FormatError(path, f"says {counted(n_shards, 'shard')}: there is at least one")

    def __repr__(self) -> str:
        return f"<Bundle {printable(self.path)}: {counted(len(self.index), 'entry', 'entries')}>"


def _is_shard(rest: str) -> bool:
    """Whether a name goes on as ``00000-of-00001`` does."""
    number, of, count = rest.partition("-of-")
    return bool(of) and number.isdigit() and count.isdigit() and number.isascii()
