"""The tensors of a checkpoint as a mapping, read when they are touched.

Bytes become arrays without a copy where they can: the array then lies in the file itself,
mapped into memory. If somebody cuts that file short while such an array is in use, touching
what is gone kills the process (SIGBUS), as with any mapped file; ``numpy(copy=True)`` reads
instead, and can only fail with an error.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc BundleReader (2.21).
"""

from __future__ import annotations

import os
from _collections_abc import Mapping  # which os has imported already; collections.abc has not

from .. import _core, dtypes
from ..errors import (
    BackendMissingError,
    CoreError,
    FormatError,
    MissingError,
    UnsupportedError,
    UsageError,
)
from ..text import count, counted, printable, size
from . import OBJECT_GRAPH_KEY, SLICE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    import numpy as np

    from .objects import Named
    from .opened import Bundle

    Array = np.ndarray[Any, np.dtype[Any]]
    Bytes = bytes  # where a method has its name
    #: (start, length) for each dimension; length -1 is all of it.
    Extents = tuple[tuple[int, int], ...]

#: Those that numpy has, quantised ones as the integers that they are.
_NUMPY = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 8: "<c8", 9: "<i8", 10: "?",
    11: "i1", 12: "u1", 13: "<i4", 15: "<i2", 16: "<u2", 17: "<u2", 18: "<c16", 19: "<f2",
    22: "<u4", 23: "<u8",
}  # fmt: skip

BOOL, STRING, VARIANT = 10, 7, 21

#: The slices of one tensor may name the same bytes again, as zeros do in a checkpoint whose
#: doubled bytes were shared; but not make more than so many times the shard of it.
MAX_GROWTH = 64

#: An object graph of more bytes is not looked at; the largest known have a few million.
MAX_OBJECT_GRAPH = 1 << 26

#: So many keys are looked through for one that was meant.
_MAX_CLOSE = 5000


class Slice:
    """A part of a partitioned variable, stored by itself.

    Attributes:
        key: Its key in the index.
        extents: (start, length) for each dimension.
        shard, offset, nbytes, crc32c: Where it lies; the checksum is masked, as stored.
    """

    __slots__ = ("crc32c", "extents", "key", "nbytes", "offset", "row", "shard")

    def __init__(self, key: bytes, row: int, extents: Extents, entry: tuple[Any, ...]) -> None:
        self.key = key
        self.row = row
        self.extents = extents
        _, _, self.shard, self.offset, self.nbytes, self.crc32c, _ = entry

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple([length for _, length in self.extents])

    def __repr__(self) -> str:
        return f"Slice({_spec(self.extents)}, shard={self.shard}, offset={self.offset})"


class Variable:
    """A tensor of a checkpoint: what its entry says; its values when they are asked for.

    Attributes:
        key: The checkpoint key.
        dtype_number: The DataType as the file has it.
        shape: Dimensions; None when the entry says that the rank is unknown.
    """

    __slots__ = ("_all", "_entry", "_slices", "dtype_number", "key", "row", "shape")

    def __init__(self, all: Variables, key: str, row: int) -> None:
        entry = all.bundle.index.entry(row)
        self._all = all
        self._entry = entry
        self._slices: list[Slice] | None = None
        self.key = key
        self.row = row
        self.dtype_number: int = entry[0]
        self.shape: tuple[int, ...] | None = entry[1]

    # -- what the entry says --

    @property
    def dtype(self) -> str:
        """``float32``; a number that TensorFlow does not know: ``dtype 77``."""
        return dtypes.name(self.dtype_number)

    @property
    def is_partitioned(self) -> bool:
        return self._entry[6] > 0

    @property
    def shard(self) -> int | None:
        """The shard that holds it; None for a partitioned one, whose slices have shards."""
        return None if self.is_partitioned else self._entry[2]

    @property
    def offset(self) -> int | None:
        """The byte in the shard where it begins; None for a partitioned one."""
        return None if self.is_partitioned else self._entry[3]

    @property
    def crc32c(self) -> int | None:
        """The checksum of its bytes, masked, as stored; None for a partitioned one."""
        return None if self.is_partitioned else self._entry[5]

    @property
    def nbytes(self) -> int:
        """What it takes in the shards, as the index says; of a partitioned one, its slices."""
        if not self.is_partitioned:
            return self._entry[4]
        return sum(part.nbytes for part in self.slices)

    @property
    def slices(self) -> list[Slice]:
        """The parts of a partitioned variable, as listed; empty for any other.

        Raises FormatError where one that is listed is not stored, or is not within the shape.
        """
        if self._slices is None:
            self._slices = self._find_slices() if self.is_partitioned else []
        return self._slices

    @property
    def shards(self) -> list[int]:
        """The shards that hold it, ascending."""
        if self.is_partitioned:
            return sorted({part.shard for part in self.slices})
        return [self._entry[2]]

    # -- what the checkpoint's object graph says of it --

    @property
    def name(self) -> str:
        """As the program named it, ``dense/kernel``; "" where the checkpoint does not tell.

        Raises FormatError where the object graph is damaged; so do the next two.
        """
        return self._all.named[self.key].name

    @property
    def object_path(self) -> str:
        """How objects lead to it, ``layers[1].kernel``; "" where none do."""
        return self._all.named[self.key].object_path

    @property
    def group(self) -> str:
        """What it is for, one of `fastsm.bundle.objects.GROUPS`: "weights", ..."""
        return self._all.named[self.key].group

    def spec(self) -> str:
        """``float32[64, 32]``."""
        dims = "..." if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.dtype}[{dims}]"

    def to_dict(self) -> dict[str, Any]:
        number, shape, shard, offset, n_bytes, crc, n_slices = self._entry
        out: dict[str, Any] = {
            "key": self.key,
            "dtype": dtypes.name(number),
            "shape": None if shape is None else [*shape],
            "bytes": self.nbytes if n_slices else n_bytes,
            "shard": None if n_slices else shard,
            "offset": None if n_slices else offset,
            "crc32c": None if n_slices else crc,
        }
        if n_slices:
            out["slices"] = [
                {"extents": [list(e) for e in part.extents], "bytes": part.nbytes,
                 "shard": part.shard, "offset": part.offset, "crc32c": part.crc32c}
                for part in self.slices
            ]  # fmt: skip
        return out

    def __repr__(self) -> str:
        return f"<Variable {printable(self.key)}: {self.spec()}>"

    # -- its values --

    def numpy(self, *, copy: bool = False) -> Array:
        """The values, as a read-only array in the file's own memory where that is possible.

        It is not, and a copy is read, where the file has the bytes at an address that the
        dtype cannot have, and of partitioned variables, strings and variants. Strings are
        an array of ``bytes`` objects; so are variants: each is a VariantTensorDataProto.
        The checksum is not looked at: `check` does that.

        Args:
            copy: Read the bytes into an array of one's own, which can be written to.

        Raises:
            FormatError: The entry, or a slice, does not fit its dtype, shape or shard.
            MissingError: The shard is not there.
            BackendMissingError: The dtype needs ml_dtypes, which is not installed.
            UnsupportedError: The checkpoint is big-endian, or for other readers.

        Example:
            >>> import fastsm
            >>> variables = fastsm.open("examples/ranker/1").variables
            >>> variables["_all_variables/0/.ATTRIBUTES/VARIABLE_VALUE"].numpy().dtype
            dtype('float32')
        """
        shape = self._begin()
        if not shape:
            return self._whole(shape, copy)
        array = None if copy else self._mapped(shape)
        return self._whole(shape, copy) if array is None else array

    def read(self, rows: slice) -> Array:
        """Some rows: ``read(slice(10, 20))`` is ``numpy()[10:20]``, reading little else.

        Of strings and variants all is read, for their rows have no places of their own.

        Args:
            rows: Along the first dimension, one after the other: without a step.

        Raises as `numpy` does; UsageError for a scalar, or a step.
        """
        shape = self._begin()
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise UsageError("", "read takes a slice of the first dimension, without a step")
        if not shape:
            raise UsageError("", f"{printable(self.key)} is a scalar: it has no rows")
        start, stop, _ = rows.indices(shape[0])
        return self._rows(shape, start, max(start, stop))

    def raw(self) -> Array:
        """The bytes of the elements in order, as a read-only array of uint8.

        In the file's own memory, at any address; of a partitioned variable, and of bools
        that are neither 0 nor 1, a copy. Raises as `bytes` does; of strings and variants
        UnsupportedError.
        """
        import numpy as np

        shape = self._begin()
        if self.dtype_number in (STRING, VARIANT):
            raise UnsupportedError(self._path, f"{printable(self.key)} has no elements of one size")
        if not self.is_partitioned and self._entry[4]:
            _, _, shard, offset, n_bytes, _, _ = self._entry
            self._check_size(shape, n_bytes)
            self._extent(shard, offset, n_bytes)
            array = np.frombuffer(self._all.map(shard), np.uint8, n_bytes, offset)
            if self.dtype_number != BOOL or array.max() <= 1:
                return array
        raw = self._raw(shape, 0, shape[0] if shape else 1).reshape(-1)
        if self.dtype_number == BOOL:
            np.minimum(raw, 1, out=raw)
        raw.flags.writeable = False
        return raw

    def bytes(self) -> bytes:
        """The bytes as a checkpoint stores them: elements in order, little-endian.

        Of a partitioned variable those of the whole. Raises as `numpy` does, and
        UnsupportedError for partitioned strings, which are stored nowhere in one piece.
        """
        shape = self._begin()
        if self.is_partitioned:
            if self.dtype_number in (STRING, VARIANT):
                raise UnsupportedError(
                    self._path, f"{printable(self.key)} has no bytes in one piece: read its slices"
                )
            return self._raw(shape, 0, shape[0] if shape else 1).tobytes()
        if self.dtype_number not in (STRING, VARIANT):
            self._check_size(shape, self._entry[4])
        return self._stored(self._entry)

    def check(self) -> None:
        """Hold the bytes against their checksum, in constant memory.

        Raises FormatError, with the shard, where they do not match; else as `numpy` does.
        """
        shape = self._begin()
        parts: list[tuple[tuple[int, ...], tuple[Any, ...]]] = [(shape, self._entry)]
        if self.is_partitioned:
            parts = [(p.shape, self._all.index.entry(p.row)) for p in self.slices]
        kind = {STRING: _core.STRING, VARIANT: _core.VARIANT}.get(self.dtype_number, _core.DENSE)
        rows: dict[int, list[tuple[int, int, int, int, int]]] = {}
        for part, (_, _, shard, offset, n_bytes, crc, _) in parts:
            if self.dtype_number not in (STRING, VARIANT):
                self._check_size(part, n_bytes)
            self._extent(shard, offset, n_bytes)
            rows.setdefault(shard, []).append((offset, n_bytes, _product(part), crc, kind))
        for shard, of_shard in rows.items():
            source = self._all.shard(shard)
            for status, _, place, expected, seen, _, _ in _core.check_tensors(source, of_shard):
                if status is not None:
                    if status == "UNREAD" and expected:
                        words = f"cannot be read: {os.strerror(expected)}"
                    else:
                        words = _CHECK_WORDS[status].format(expected, seen)
                    raise FormatError(
                        self._all.bundle.shard_path(shard), f"{printable(self.key)}: {words}",
                        offset=place,
                    )  # fmt: skip

    # -- how they are read --

    def stretches(self) -> list[tuple[Extents, int, int]]:
        """Where the elements lie: one after the other, from a place in a shard on.

        Returns:
            (which part of the tensor, shard, offset); of a partitioned variable its slices.

        Raises as `numpy` does; of strings and variants UnsupportedError.
        """
        shape = self._begin()
        if self.dtype_number in (STRING, VARIANT):
            raise UnsupportedError(self._path, f"{printable(self.key)} has no elements of one size")
        if self.is_partitioned:
            self._check_cover(shape, self.slices)
            return [(part.extents, part.shard, part.offset) for part in self.slices]
        _, _, shard, offset, n_bytes, _, _ = self._entry
        self._check_size(shape, n_bytes)
        self._extent(shard, offset, n_bytes)
        return [(tuple([(0, dim) for dim in shape]), shard, offset)]

    @property
    def _path(self) -> str:
        """The index, as errors name it."""
        return self._all.bundle.index_file.path

    def error(self, problem: str) -> FormatError:
        """What is wrong with it, as a person reads it."""
        return FormatError(self._path, f"{printable(self.key)}: {problem}")

    def _begin(self) -> tuple[int, ...]:
        """See that there is a dtype and a shape to read by, whatever the bytes are."""
        self._all.check_readable()
        known = self.dtype_number in dtypes.SIZES or self.dtype_number in (STRING, VARIANT)
        if not known:
            raise self.error(f"has {self.dtype}, which no tensor in a checkpoint can have")
        if self.shape is None or min(self.shape, default=0) < 0:
            raise self.error(f"has no possible shape: {self.spec()}")
        return self.shape

    def _check_size(self, shape: tuple[int, ...], n_bytes: int) -> None:
        takes = _product(shape) * dtypes.SIZES[self.dtype_number]
        if takes != n_bytes:
            spec = f"{self.dtype}[{', '.join(map(str, shape))}]"
            raise self.error(
                f"stored size is {count(n_bytes)} bytes, but {spec} takes {count(takes)}"
            )

    def _check_count(self, n: int, n_bytes: int) -> None:
        """Strings and variants take a byte or more each."""
        if n > n_bytes:
            raise self.error(f"stored size is {count(n_bytes)} bytes, for {count(n)} elements")

    def _extent(self, shard: int, offset: int, n_bytes: int) -> _core.Source:
        """The shard, after seeing that it holds these bytes."""
        source = self._all.shard(shard)
        if offset < 0 or n_bytes < 0 or offset > source.size or n_bytes > source.size - offset:
            raise FormatError(
                self._all.bundle.shard_path(shard),
                f"ends at byte {count(source.size)}; {printable(self.key)} is said to be at "
                f"{count(offset)}..{count(offset + n_bytes)}",
            )
        return source

    def _stored(self, entry: tuple[Any, ...]) -> Bytes:
        _, _, shard, offset, n_bytes, _, _ = entry
        source = self._extent(shard, offset, n_bytes)
        try:
            return source.read(offset, n_bytes)
        except CoreError as e:
            raise FormatError(self._all.bundle.shard_path(shard), str(e), offset=e.offset) from None

    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype of its arrays, but of strings and variants. Raises BackendMissingError."""
        import numpy as np

        if self.dtype_number in _NUMPY:
            found: np.dtype[Any] = np.dtype(_NUMPY[self.dtype_number])
            return found
        try:
            import ml_dtypes
        except ImportError:
            raise BackendMissingError(
                self._all.bundle.path,
                f"{printable(self.key)} is {self.dtype}, which numpy has not by itself",
                hint="pip install 'fastsm[dtypes]'",
            ) from None
        other: np.dtype[Any] = np.dtype(getattr(ml_dtypes, self.dtype))
        return other

    def _mapped(self, shape: tuple[int, ...]) -> Array | None:
        """The values where they lie, or None when they cannot be had there."""
        if self.is_partitioned or self.dtype_number in (STRING, VARIANT):
            return None
        import numpy as np

        _, _, shard, offset, n_bytes, _, _ = self._entry
        self._check_size(shape, n_bytes)
        self._extent(shard, offset, n_bytes)
        dtype = self.numpy_dtype()
        if n_bytes == 0 or offset % dtype.alignment:
            return None
        memory = self._all.map(shard)
        array = np.frombuffer(memory, np.uint8, n_bytes, offset)
        if self.dtype_number == BOOL and array.max() > 1:
            return None  # numpy's bools are 0 or 1: a copy is made of others
        return self._shaped(array.view(dtype), shape)

    def _whole(self, shape: tuple[int, ...], copy: bool) -> Array:
        array = self._rows(shape, 0, shape[0] if shape else 1)
        if not copy:
            array.flags.writeable = False
        return array

    def _rows(self, shape: tuple[int, ...], start: int, stop: int) -> Array:
        """Rows [start, stop) in an array of their own; of a scalar, all."""
        import numpy as np

        some = (stop - start, *shape[1:]) if shape else ()
        if self.dtype_number in (STRING, VARIANT):
            return self._objects(shape, start, stop)
        dtype = self.numpy_dtype()
        raw = self._raw(shape, start, stop)
        if self.dtype_number == BOOL:
            np.minimum(raw, 1, out=raw)
        return self._shaped(raw.reshape(-1).view(dtype), some)

    def _shaped(self, flat: Array, shape: tuple[int, ...]) -> Array:
        try:
            return flat.reshape(shape)
        except ValueError:  # more dimensions than numpy has
            raise UnsupportedError(
                self._path, f"{printable(self.key)}: numpy has no arrays of this shape"
            ) from None

    def _raw(self, shape: tuple[int, ...], start: int, stop: int) -> Array:
        """The bytes of rows [start, stop), the last dimension being those of an element."""
        import numpy as np

        item = dtypes.SIZES[self.dtype_number]
        if self.is_partitioned:
            return self._assemble(shape, start, stop, np.dtype(np.uint8), (item,))
        _, _, shard, offset, n_bytes, _, _ = self._entry
        self._check_size(shape, n_bytes)
        self._extent(shard, offset, n_bytes)
        row = n_bytes // shape[0] if shape and shape[0] else n_bytes
        raw = np.empty((stop - start) * row, np.uint8)
        self.fill(raw, shard, offset + start * row)
        return raw

    def fill(self, raw: Array, shard: int, offset: int) -> None:
        """Read bytes of a shard into a contiguous array, all of it."""
        try:
            self._all.shard(shard).readinto(offset, raw.data)
        except CoreError as e:
            raise FormatError(self._all.bundle.shard_path(shard), str(e), offset=e.offset) from None

    def _objects(self, shape: tuple[int, ...], start: int, stop: int) -> Array:
        import numpy as np

        if self.is_partitioned:
            return self._assemble(shape, start, stop, np.dtype(object), ())
        elements = self._elements(self._entry, _product(shape))
        flat = np.empty(len(elements), object)
        flat[:] = elements
        return self._shaped(flat, shape)[start:stop].copy() if shape else flat.reshape(())

    def _elements(self, entry: tuple[Any, ...], n: int) -> list[Bytes]:
        """The strings or variants of an entry."""
        _, _, shard, offset, n_bytes, _, _ = entry
        source = self._extent(shard, offset, n_bytes)
        self._check_count(n, n_bytes)
        is_variant = self.dtype_number == VARIANT
        try:
            return _core.string_elements(source, offset, n_bytes, n, variant=is_variant)
        except CoreError as e:
            path = self._all.bundle.shard_path(shard)
            problem = f"{printable(self.key)}: its elements do not fit its {count(n_bytes)} bytes"
            raise FormatError(path, problem, offset=e.offset) from None

    # -- partitioned variables --

    def _find_slices(self) -> list[Slice]:
        shape = self.shape or ()
        out = []
        for listed in self._all.index.slices(self.row):
            key = _core.slice_key(self._all.key_bytes(self.key), listed)
            row = self._all.row_of(key)
            if row is None:
                raise self.error(f"its slice {_spec(listed)} is not stored")
            if len(listed) != len(shape):
                raise self.error(f"its slice {_spec(listed)} has another rank than {self.spec()}")
            extents = tuple(
                [
                    (start, dim if length < 0 else length)
                    for (start, length), dim in zip(listed, shape, strict=True)
                ]
            )
            for (start, length), dim in zip(extents, shape, strict=True):
                if start < 0 or length > dim or start > dim - length:
                    raise self.error(f"its slice {_spec(listed)} is not within {self.spec()}")
            out.append(Slice(key, row, extents, self._all.index.entry(row)))
        return out

    def _assemble(
        self,
        shape: tuple[int, ...],
        start: int,
        stop: int,
        dtype: np.dtype[Any],
        inner: tuple[int, ...],
    ) -> Array:
        """Rows [start, stop) out of the slices, which must cover each element once.

        Args:
            inner: Dimensions of each element in the array: its bytes, or none.
        """
        import numpy as np

        parts = self.slices
        self._check_cover(shape, parts)
        some = (stop - start, *shape[1:]) if shape else ()
        try:
            whole: Array = np.empty(some + inner, dtype)
            covered = np.zeros(some, np.bool_)
        except ValueError:
            raise UnsupportedError(
                self._path, f"{printable(self.key)}: numpy has no arrays of this shape"
            ) from None
        for part in parts:
            low, high = part.extents[0][0] if shape else 0, 1
            if shape:
                low, high = max(low, start), min(low + part.extents[0][1], stop)
            if low >= high:
                continue
            region: tuple[slice, ...] = ()
            if shape:
                rest = [slice(s, s + n) for s, n in part.extents[1:]]
                region = (slice(low - start, high - start), *rest)
            if covered[region].any():
                raise self.error(f"its slice {_spec(part.extents)} overlaps another")
            covered[region] = True
            self._place(whole, region, part, low, high, inner)
        if not covered.all():
            raise self.error(f"its slices do not cover {self.spec()}")
        return whole

    def _check_cover(self, shape: tuple[int, ...], parts: list[Slice]) -> None:
        """Before anything is allocated: the slices are of its dtype and make up its size."""
        held = 0
        for part in parts:
            number, dims, *_, n_slices = self._all.index.entry(part.row)
            if number != self.dtype_number or dims != part.shape or n_slices:
                raise self.error(f"its slice {_spec(part.extents)} is stored as something else")
            source = self._extent(part.shard, part.offset, part.nbytes)
            if number in dtypes.SIZES:
                self._check_size(part.shape, part.nbytes)
            else:
                self._check_count(_product(part.shape), part.nbytes)
            held = max(held, source.size)
        if sum(_product(part.shape) for part in parts) != _product(shape):
            raise self.error(f"its slices do not cover {self.spec()} once")
        takes = sum(part.nbytes for part in parts)
        if takes > MAX_GROWTH * sum(self._all.shard(i).size for i in self.shards):
            raise self.error(f"its slices say {size(takes)}, of shards that are far smaller")

    def _place(
        self,
        whole: Array,
        region: tuple[slice, ...],
        part: Slice,
        low: int,
        high: int,
        inner: tuple[int, ...],
    ) -> None:
        """Put rows [low, high) of the tensor, out of one slice, where they belong."""
        import numpy as np

        first = low - part.extents[0][0] if part.extents else 0
        target = whole[region]
        if not inner:
            elements = self._elements(self._all.index.entry(part.row), _product(part.shape))
            flat = np.empty(len(elements), object)
            flat[:] = elements
            rows: Array = flat.reshape(part.shape)
            whole[region] = rows[first : first + high - low] if part.extents else rows
            return
        row = _product(part.shape[1:]) * inner[0]
        if target.flags.c_contiguous:
            self.fill(target, part.shard, part.offset + first * row)
            return
        values = np.empty(target.shape, np.uint8)
        self.fill(values, part.shard, part.offset + first * row)
        whole[region] = values


#: What `check` says, by the status that the core has.
_CHECK_WORDS = {
    "CRC": "the checksum does not match: stored {:#010x}, of the bytes {:#010x}",
    "LENGTHS": "its elements take {:,} bytes, the entry has {:,}",
    "VARINT": "holds a length that is none",
    "LENGTH_CRC": "the checksum of the lengths does not match: stored {:#010x}, theirs {:#010x}",
    "ELEMENT_CRC": "a checksum does not match: stored {:#010x}, of the bytes {:#010x}",
    "OUTSIDE": "needs {:,} bytes, the shard has {:,}",
    "UNREAD": "its shard became shorter while it was read",
}


class Variables(Mapping[str, Variable]):
    """The tensors of a checkpoint by key, in the order of the index; nothing is read before.

    Slices of partitioned variables are in `Variable.slices`, the checkpoint's own object
    graph in `object_graph`; neither is a key here. A key that is not UTF-8 has its odd
    bytes as surrogates, as file names have in Python.

    Args:
        restored_keys: What gives the keys that the graphs of a model restore, None where
            it cannot be told; left out where there is no model around the checkpoint.

    Attributes:
        bundle: The checkpoint, or None: a model without variables has none.
    """

    def __init__(
        self, bundle: Bundle | None, restored_keys: Callable[[], set[bytes] | None] | None = None
    ) -> None:
        self.bundle: Bundle = bundle  # type: ignore[assignment]
        self.restored_keys = restored_keys
        self._rows: dict[bytes, int] | None = None
        self._keys: dict[str, int] | None = None
        self._sizes: dict[str, int] | None = None
        self._sources: dict[int, _core.Source] = {}
        self._maps: dict[int, Any] = {}
        self._readable = False
        self._named: dict[str, Named] | None = None

    # -- the mapping --

    @property
    def index(self) -> _core.BundleIndex:
        return self.bundle.index

    def _all_rows(self) -> dict[bytes, int]:
        """Every key of the index, slices and all, and its row."""
        if self._rows is None:
            keys = self.index.keys() if self.bundle else []
            self._rows = {key: row for row, key in enumerate(keys)}
        return self._rows

    def rows(self) -> dict[str, int]:
        """The keys, and the row that each has in the index. Not to be changed."""
        if self._keys is None:
            names = self.index.names() if self.bundle else []
            slice_prefix, graph = SLICE_PREFIX.decode(), OBJECT_GRAPH_KEY.decode()
            self._keys = {
                name: row
                for row, name in enumerate(names)
                if name != graph
                and not (
                    name.startswith(slice_prefix) and _core.parse_slice_key(self.key_bytes(name))
                )
            }
        return self._keys

    def __getitem__(self, key: str) -> Variable:
        """The variable with this key. Raises MissingError, with one that may be meant."""
        rows = self._keys
        row = (self.rows() if rows is None else rows).get(key)
        if row is None:
            raise self._missing(key)
        return Variable(self, key, row)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows())

    def __len__(self) -> int:
        return len(self.rows())

    def __contains__(self, key: object) -> bool:
        return key in self.rows()

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401

    def _missing(self, key: str) -> MissingError:
        import difflib

        path = self.bundle.path if self.bundle else ""
        keys = self.rows()
        close = difflib.get_close_matches(str(key), list(keys)[:_MAX_CLOSE], 1)
        hint = f"Did you mean {printable(close[0])}?" if close else None
        what = f"no variable has the key {printable(str(key))}; there are {count(len(keys))}"
        if self.bundle and self.index.n_problems:
            what += ", but the index is damaged and may have lost it"
        return MissingError(path, what, hint=hint)

    def __repr__(self) -> str:
        return f"<Variables: {counted(len(self), 'tensor')}>"

    # -- what lies beside them in the index --

    @property
    def object_graph(self) -> bytes | None:
        """The checkpoint's own object graph, a serialised TrackableObjectGraph, or None.

        Raises FormatError where the entry is no scalar string, or does not fit its shard.
        """
        row = self.row_of(OBJECT_GRAPH_KEY)
        if row is None:
            return None
        entry = Variable(self, OBJECT_GRAPH_KEY.decode(), row)
        if entry.dtype_number != STRING or entry.shape != () or entry.is_partitioned:
            raise entry.error("is no single string")
        if entry.nbytes > MAX_OBJECT_GRAPH:
            raise entry.error(f"has {count(entry.nbytes)} bytes: no object graph has")
        self.check_readable()
        [graph] = entry._elements(self.index.entry(row), 1)
        return graph

    @property
    def named(self) -> dict[str, Named]:
        """What each key is for, and what a person calls it; see `fastsm.bundle.objects.named`."""
        if self._named is None:
            from .objects import named

            self._named = named(self) if self.bundle else {}
        return self._named

    def sizes(self) -> dict[str, int]:
        """The bytes that each tensor takes, by key: 0 where its slices are damaged."""
        if self._sizes is None:
            sizes = self.index.sizes() if self.bundle else []
            self._sizes = {key: max(0, sizes[row]) for key, row in self.rows().items()}
            for key, row in self.rows().items():
                if not sizes[row] and self.index.entry(row)[6]:  # partitioned
                    try:
                        self._sizes[key] = max(0, self[key].nbytes)
                    except FormatError:
                        continue
        return self._sizes

    def by_size(self) -> list[str]:
        """The keys, the largest tensor first; those of one size in the order of the index."""
        sizes = self.sizes()
        return sorted(sizes, key=sizes.__getitem__, reverse=True)

    # -- for Variable --

    def key_bytes(self, key: str) -> bytes:
        return key.encode("utf-8", "surrogateescape")

    def row_of(self, key: bytes) -> int | None:
        """The row of any key of the index."""
        return self._all_rows().get(key)

    def check_readable(self) -> None:
        if not self._readable:
            self.bundle.check_readable()
            self._readable = True

    def shard(self, shard: int) -> _core.Source:
        source = self._sources.get(shard)
        if source is None:
            source = self._sources[shard] = self.bundle.shard(shard).source()
        return source

    def map(self, shard: int) -> Any:
        """The shard in memory, read-only; the arrays in it keep it."""
        memory = self._maps.get(shard)
        if memory is None:
            import mmap

            file = self.bundle.shard(shard)
            try:
                memory = mmap.mmap(file.fd, file.identity.size, access=mmap.ACCESS_READ)
            except ValueError:
                raise FormatError(file.path, "became shorter while it was read") from None
            self._maps[shard] = memory
        return memory


def _product(dims: Iterable[int]) -> int:
    n = 1
    for dim in dims:
        n *= dim
    return n


def _spec(extents: Iterable[tuple[int, int]]) -> str:
    """A slice as ``[0:2, :]``."""
    return "[" + ", ".join(
        ":" if n < 0 and not start else f"{start}:{start + n}" for start, n in extents
    ) + "]"  # fmt: skip
