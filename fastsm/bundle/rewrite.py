"""A checkpoint written anew: some keys dropped, bytes shared, shards merged, slices put
together, tensors replaced or added. Nothing is written here: the result is data for a plan.

What is kept keeps its order and lies end to end, as TensorFlow's own writer lays it; its
bytes are copied, its checksums and its entries' other fields stay. Where nothing changes,
every file stays as it is, byte for byte.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc BundleWriter (2.21).
"""

from __future__ import annotations

import os

from .. import _core
from ..errors import CoreError, FormatError, InternalError, MissingError
from ..source import File, from_bytes, joined, slices
from ..text import count, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from .._core import Source
    from ..plan import Plan
    from .opened import Bundle

#: DataType numbers whose elements have lengths of their own, or are held to be 0 or 1.
BOOL, STRING, VARIANT = 10, 7, 21

#: Tensors are checked in calls of about so many bytes, so that Ctrl-C comes through.
_BATCH = 64 << 20


class BundleRewrite:
    """What becomes of a checkpoint; at first, nothing.

    Args:
        bundle: The checkpoint as it is.
        mends: Kinds of damage of its index that a rewrite takes away, as CoreError names
            them; any other damage is an error.
        stem: The common name of the new files, where all of them are new, in another folder;
            None: they take the place of the old ones.

    Raises:
        FormatError: The index is damaged, or has no header.
        UnsupportedError: It is big-endian, or of another version.
    """

    def __init__(
        self, bundle: Bundle, *, mends: Container[str] = (), stem: str | None = None
    ) -> None:
        self.bundle = bundle
        self._stem = stem
        self._damaged = not bundle.check_whole(but=mends)
        bundle.check_readable()
        self._rows: dict[bytes, int] | None = None
        self._keep = bytearray(b"\1") * len(bundle.index)
        self._same_as: dict[int, int] = {}
        self._merge = False
        # New entries by key: the entry without a place, and which of `_fresh` has its bytes.
        self._added: dict[bytes, tuple[bytes, int]] = {}
        self._fresh: list[tuple[int, int, int, bool]] = []
        self._contents: list[Source | None] = []

    # -- what is there --

    @property
    def rows(self) -> dict[bytes, int]:
        """The row of each key in the index."""
        if self._rows is None:
            self._rows = {key: i for i, key in enumerate(self.bundle.index.keys())}
        return self._rows

    @property
    def n_bytes(self) -> int:
        """What all shards hold. Tensors that overlap say more, and would take for ever."""
        shards = self.bundle.index.shards()
        return sum(self.bundle.shard(shard).identity.size for shard in shards)

    def row(self, key: str | bytes) -> int:
        """The row of a key. Raises MissingError when there is none."""
        name = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
        row = self.rows.get(name)
        if row is None:
            what = f'no variable has the key "{printable(name)}"'
            raise MissingError(self.bundle.index_file.path, what)
        return row

    def slice_rows(self, row: int) -> list[int]:
        """The rows of the slices that a partitioned tensor's entry lists, in its order.

        Raises FormatError when one of them is not there.
        """
        index = self.bundle.index
        name = index.key(row)
        out = []
        for extents in index.slices(row):
            found = self.rows.get(_core.slice_key(name, extents))
            if found is None:
                raise self.error(row, f"its slice {spec(extents)} is not there")
            out.append(found)
        return out

    def error(self, row: int, problem: str) -> FormatError:
        """What is wrong with an entry, as an error."""
        key = self.bundle.index.key(row)
        parts = _core.parse_slice_key(key)
        name = f'"{printable(key if parts is None else parts[0])}"'
        if parts is not None:
            name += f" {spec(parts[1])}"
        return FormatError(self.bundle.index_file.path, f"{name}: {problem}")

    def place(self, row: int) -> tuple[int, int, int]:
        """(shard, offset, size) of the bytes of an entry. Raises FormatError where they are
        not in their shard."""
        _, _, shard, offset, size, _, _ = self.bundle.index.entry(row)
        file = self.bundle.shard(shard)
        if offset < 0 or size < 0 or offset + size > file.identity.size:
            raise self.error(row, _outside(offset + size, file))
        return shard, offset, size

    def content(self, row: int) -> Source:
        """The bytes of an entry, as they are stored. Raises FormatError as `place` does."""
        shard, offset, size = self.place(row)
        return slices(self.bundle.shard(shard).source(), [(offset, offset + size)])

    # -- what is asked for --

    def drop(self, keys: Iterable[str | bytes]) -> None:
        """Let these tensors go; a partitioned one's slices go with it."""
        for key in keys:
            row = self.row(key)
            self._keep[row] = 0
            if self.bundle.index.entry(row)[6]:
                for part in self.slice_rows(row):
                    self._keep[part] = 0

    def keep_only(self, wanted: Callable[[bytes], bool]) -> None:
        """Let all tensors go but those whose key is wanted; slices follow their tensor."""
        index = self.bundle.index
        keys = index.keys()
        parts = {
            part: row for row, key in enumerate(keys) if index.entry(row)[6]
            for part in self.slice_rows(row)
        }  # fmt: skip
        for row in range(len(keys)):
            if not wanted(keys[parts.get(row, row)]):
                self._keep[row] = 0

    def share(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Let the first row of each pair have the bytes of the second, which are the same."""
        self._same_as.update(pairs)

    def merge_shards(self) -> None:
        """Put everything into one shard."""
        self._merge = True

    def replace(self, key: str | bytes, content: bytes | Source, crc32c: int | None = None) -> None:
        """Give a tensor other bytes, in its place among the others; dtype and shape stay.

        Args:
            content: The bytes as a shard holds them.
            crc32c: Their checksum, not masked, where it is known; for a string or variant
                tensor it must be.
        """
        row = self.row(key)
        parts = self.slice_rows(row) if self.bundle.index.entry(row)[6] else [row]
        places = [self.bundle.index.entry(part)[2:4] for part in parts]
        self.drop([self.bundle.index.key(row)])
        self._put(row, content, crc32c, min(places, default=self._end()))

    def add(
        self, key: str | bytes, dtype: int, shape: Sequence[int], content: bytes | Source,
        crc32c: int | None = None,
    ) -> None:  # fmt: skip
        """Add a tensor behind all others, or in the place of a dropped one's name."""
        name = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
        source, crc = _measured(content, crc32c)
        entry = _core.new_entry(dtype, shape, source.size, _core.crc32c_mask(crc))
        shard, offset = self._end()
        self._added[name] = entry, len(self._fresh)
        self._fresh.append((shard, offset, source.size, False))
        self._contents.append(source)

    def make_dense(self, key: str | bytes) -> None:
        """Put the slices of a partitioned tensor together, so that it is a plain one.

        Slices that lie one behind the other already stay where they are: their checksums
        are combined and no byte is read.

        Raises:
            FormatError: The slices do not make up the tensor.
            UnsupportedError: They make it up of too many stretches.
        """
        from .dense import dense

        row = self.row(key)
        parts = self.slice_rows(row)
        made = dense(self, row, parts)
        value = self.bundle.index.value(row)
        self.drop([self.bundle.index.key(row)])
        if made.place is None:
            first = min(self.bundle.index.entry(part)[2:4] for part in parts)
            self._put(row, made.content, made.crc32c, first)
            return
        entry = _core.patch_entry(value, made.size, _core.crc32c_mask(made.crc32c), dense=True)
        self._added[self.bundle.index.key(row)] = entry, len(self._fresh)
        self._fresh.append((*made.place, made.size, True))
        self._contents.append(None)

    def _put(
        self, row: int, content: bytes | Source, crc32c: int | None, place: tuple[int, int]
    ) -> None:
        source, crc = _measured(content, crc32c)
        key, value = self.bundle.index.key(row), self.bundle.index.value(row)
        entry = _core.patch_entry(value, source.size, _core.crc32c_mask(crc), dense=True)
        # What the key was given before goes: its bytes would stay as a gap.
        _, which = self._added.get(key, (b"", len(self._fresh)))
        self._added[key] = entry, which
        self._fresh[which : which + 1] = [(*place, source.size, False)]
        self._contents[which : which + 1] = [source]

    def _end(self) -> tuple[int, int]:
        """Behind the last byte of the last shard."""
        last = max(self.bundle.index.shards(), default=0)
        return last, self.bundle.shard(last).identity.size

    # -- what comes of it --

    def check_kept(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Hold the bytes that are kept against their checksums.

        Args:
            progress: Called with (bytes done, bytes in all).

        Raises FormatError for the first tensor that is damaged.
        """
        index = self.bundle.index
        places: dict[tuple[int, int, int], int] = {}
        for row in range(len(index)):
            _, _, shard, offset, size, _, n_slices = index.entry(row)
            if self._keep[row] and not n_slices:
                places.setdefault((shard, offset, size), row)
        rows = [row for _, row in sorted(places.items())]
        total, done = sum(size for _, _, size in places), 0
        if total > self.n_bytes:
            problem = "tensors overlap: they have more bytes than the shards"
            raise FormatError(self.bundle.index_file.path, problem)
        while rows:
            shard, n, size = index.entry(rows[0])[2], 0, 0
            while n < len(rows) and size < _BATCH and index.entry(rows[n])[2] == shard:
                size += index.entry(rows[n])[4]
                n += 1
            self.check(rows[:n])
            done += size
            del rows[:n]
            if progress is not None:
                progress(done, total)

    def check(self, rows: list[int]) -> None:
        """Hold the bytes of some entries, all of one shard, against their checksums.

        Raises FormatError for the first that is damaged.
        """
        shard = self.bundle.index.entry(rows[0])[2]
        kinds = {BOOL: _core.BOOL, STRING: _core.STRING, VARIANT: _core.VARIANT}
        wanted = []
        for row in rows:
            dtype, shape, _, offset, size, crc, _ = self.bundle.index.entry(row)
            self.place(row)  # raises where the bytes are not there
            n = 1
            for dim in shape or ():
                n = min(n * max(dim, 0), size + 1)
            wanted.append((offset, size, n, crc, kinds.get(dtype, _core.DENSE)))
        found = _core.check_tensors(self.bundle.shard(shard).source(), wanted)
        for row, (status, _, place, _, _, _, _) in zip(rows, found, strict=True):
            if status is not None:
                name = self.bundle.shard_name(shard)
                raise self.error(row, f"its bytes are damaged ({name}, byte {count(place)})")

    def result(self) -> Rewritten:
        """The new files, before anything is written.

        Raises FormatError for an entry that does not lie in its shard.
        """
        layout, index = self._lay_out()
        return Rewritten(self.bundle, layout, index, self._contents, stem=self._stem)

    def _lay_out(self) -> tuple[_core.Layout, Source | None]:
        """Where everything goes, and the new index; None when the old one stays."""
        bundle = self.bundle
        shards = sorted(bundle.index.shards())
        sizes = [(shard, bundle.shard(shard).identity.size) for shard in shards]
        try:
            layout = _core.Layout(
                bundle.index, bytes(self._keep), sizes, same_as=list(self._same_as.items()),
                fresh=self._fresh, merge=self._merge,
            )  # fmt: skip
        except CoreError as e:
            raise self._misplaced(e) from None
        changes = (
            self._damaged or bool(self._added) or bool(self._same_as)
            or 0 in self._keep or any(new != old for old, new, _ in layout.shards)
        )  # fmt: skip
        if not changes:
            return layout, None
        entries = [(key, entry, which) for key, (entry, which) in sorted(self._added.items())]
        try:
            return layout, from_bytes(layout.write(entries))
        except CoreError as e:
            raise FormatError(bundle.index_file.path, str(e)) from None

    def _misplaced(self, e: CoreError) -> FormatError:
        if e.offset >= len(self.bundle.index):
            raise InternalError("", f"new bytes {e.offset - len(self.bundle.index)} have no place")
        _, _, shard, _, _, _, _ = self.bundle.index.entry(e.offset)
        file = self.bundle.shard(shard)
        return self.error(e.offset, _outside(e.need, file))


class Rewritten:
    """The files of a checkpoint as a rewrite makes them.

    Attributes:
        index: The new index.
        index_changes: Whether it is another one, or in another place.
        shards: The content of each shard that is not as and where it was, by its new name.
        gone: Names of shards that are there no more under that name.
        bytes_before, bytes_after: What all shards hold.
    """

    def __init__(
        self, bundle: Bundle, layout: _core.Layout, index: Source | None,
        contents: list[Source | None], *, stem: str | None = None,
    ) -> None:  # fmt: skip
        self._bundle = bundle
        self._moves = stem is not None
        self._stem = os.path.basename(bundle.prefix) if stem is None else stem
        self.index_changes = self._moves or index is not None
        self.index = bundle.index_file.source() if index is None else index
        files = {shard: bundle.shard(shard) for shard, _, _ in layout.shards}
        parts: dict[int, list[tuple[Source, int, int]]] = {}
        sources = {shard: file.source() for shard, file in files.items()}
        for to, shard, origin, size in layout.runs():
            source = contents[origin] if shard is None else sources[shard]
            if source is None:
                raise InternalError("", "a run of new bytes that are old ones")
            start = 0 if shard is None else origin
            parts.setdefault(to, []).append((source, start, start + size))
        # A checkpoint that loses its last tensor has one shard, and nothing in it.
        names = {to for _, to, _ in layout.shards if to is not None} or ({0} if files else set())
        self.shards: dict[str, Source] = {}
        self.bytes_after = 0
        kept = set()
        for to in sorted(names):
            name = f"{self._stem}.data-{to:05d}-of-{layout.n_shards:05d}"
            content = joined(parts.get(to, ()))
            self.bytes_after += content.size
            old = next((f for s, f in files.items() if bundle.shard_name(s) == name), None)
            kept.add(name)
            if self._moves or old is None or content.pieces != old.source().pieces:
                self.shards[name] = content
        stays = not self._moves
        self.gone = sorted({bundle.shard_name(s) for s in files} - kept) if stays else []
        self.bytes_before = sum(file.identity.size for file in files.values())
        self._files: dict[str, File] = {bundle.shard_name(s): f for s, f in files.items()}

    def put(self, plan: Plan, folder: str) -> None:
        """Plan these files.

        Args:
            folder: Where the checkpoint lies in the plan's folder: ``variables/``, or "".
        """
        index = f"{self._stem}.index"
        if self._moves:
            plan.take(self._bundle.index_file, *self._files.values())
        else:
            plan.read(folder + index, self._bundle.index_file)
            for name, file in self._files.items():
                plan.read(folder + name, file)
        for name, content in self.shards.items():
            plan.write(folder + name, content)
        for name in self.gone:
            plan.remove(folder + name)
        if self.index_changes:
            plan.write(folder + index, self.index)

    def check(self, name: str, staged: Source) -> None:
        """Read a staged index back: it must be sound, and lie in the new shards.

        Raises InternalError when it is not.
        """
        if name.rpartition("/")[2] != f"{self._stem}.index":
            return
        try:
            index = _core.BundleIndex(staged)
            _core.Layout(index, b"\1" * len(index), self._new_sizes(index))
        except CoreError as e:
            raise InternalError(self._bundle.path, f"the new index is not sound: {e}") from None

    def _new_sizes(self, index: _core.BundleIndex) -> list[tuple[int, int]]:
        out = []
        for shard in sorted(index.shards()):
            name = f"{self._stem}.data-{shard:05d}-of-{index.n_shards:05d}"
            content = self.shards[name] if name in self.shards else self._files[name].source()
            out.append((shard, content.size))
        return out


def spec(extents: Sequence[tuple[int, int]]) -> str:
    """A slice as TensorFlow writes it: ``0,4:-``."""
    return ":".join("-" if n < 0 else f"{start},{n}" for start, n in extents)


def _measured(content: bytes | Source, crc32c: int | None) -> tuple[Source, int]:
    """Content as a source, and its checksum."""
    if isinstance(content, bytes):
        return from_bytes(content), _core.crc32c(content) if crc32c is None else crc32c
    return content, _core.crc32c_source(content) if crc32c is None else crc32c


def _outside(end: int, file: File) -> str:
    has = f"{printable(os.path.basename(file.path))} has {count(file.identity.size)}"
    return f"its bytes end at {count(end)}, and {has}"
