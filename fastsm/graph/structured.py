"""StructuredValue: what a function takes and returns, as plain Python values.

None, bool, int, float, str, list, tuple and dict stand for themselves; the classes
here stand for TensorFlow's own. ``repr`` and ``str`` give what TensorFlow's decoded
value gives, so both can be shown to people who know its output.

A dict's keys come sorted: the file holds a map, which has no order, and TensorFlow's
own order changes from run to run.
Source: tensorflow/core/protobuf/struct.proto,
tensorflow/python/saved_model/nested_structure_coder.py (2.21).
"""
from __future__ import annotations

from .. import dtypes
from ..errors import FormatError
from ..source import FIXED64, LEN, VARINT, last, merged, signed
from ..views import read_shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .._core import Field
    from ..source import Reader, Spans

#: Values inside values; a level is two messages, and protobuf stops at 100 of them.
MAX_DEPTH = 50

# The fields of StructuredValue.
NONE, FLOAT64, INT64, STRING, BOOL = 1, 11, 12, 13, 14
SHAPE, DTYPE, TENSOR_SPEC, TYPE_SPEC, BOUNDED_SPEC = 31, 32, 33, 34, 35
LIST, TUPLE, DICT, NAMED_TUPLE, TENSOR, NUMPY = 51, 52, 53, 54, 55, 56

#: Every member of the oneof, and the wire type it is written with.
KINDS = {
    NONE: LEN, FLOAT64: FIXED64, INT64: VARINT, STRING: LEN, BOOL: VARINT,
    SHAPE: LEN, DTYPE: VARINT, TENSOR_SPEC: LEN, TYPE_SPEC: LEN, BOUNDED_SPEC: LEN,
    LIST: LEN, TUPLE: LEN, DICT: LEN, NAMED_TUPLE: LEN, TENSOR: LEN, NUMPY: LEN,
}  # fmt: skip

#: TypeSpecProto.TypeSpecClass -> the Python class. A registered class (12) and an
#: extension type (13) are named by the proto itself.
EXTENSION_TYPE = 13
TYPE_SPEC_CLASSES = {
    1: "SparseTensorSpec", 2: "IndexedSlicesSpec", 3: "RaggedTensorSpec", 4: "TensorArraySpec",
    5: "DatasetSpec", 6: "IteratorSpec", 7: "OptionalSpec", 8: "PerReplicaSpec",
    9: "VariableSpec", 10: "RowPartitionSpec",
}  # fmt: skip


class Value:
    """The base of what stands for a value of TensorFlow's own."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__
        )

    def __hash__(self) -> int:
        return hash(repr(self))


class DType(Value):
    """A tf.DType, by its number in the file."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"tf.{dtypes.name(self.number)}"

    def __str__(self) -> str:
        return f"<dtype: '{dtypes.name(self.number)}'>"


class TensorShape(Value):
    """A tf.TensorShape: None for an unknown dimension, no ``dims`` for an unknown rank."""

    __slots__ = ("dims",)

    def __init__(self, dims: Iterable[int] | None) -> None:
        # Only -1 is unknown; TensorFlow keeps any other size that a file has.
        self.dims = None if dims is None else tuple([None if d == -1 else d for d in dims])

    def __repr__(self) -> str:
        return f"TensorShape({None if self.dims is None else list(self.dims)})"

    def __str__(self) -> str:
        return "<unknown>" if self.dims is None else str(self.dims)


class TensorSpec(Value):
    """A tf.TensorSpec; ``name`` is None where the file has none."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, shape: TensorShape, dtype: DType, name: str | None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.name = name

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype={self.dtype!r}, name={self.name!r})"


class BoundedTensorSpec(TensorSpec):
    """A TensorSpec whose values lie between two others."""

    __slots__ = ("maximum", "minimum")

    def __init__(self, spec: TensorSpec, minimum: Array, maximum: Array) -> None:
        super().__init__(spec.shape, spec.dtype, spec.name)
        self.minimum = minimum
        self.maximum = maximum

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundedTensorSpec) and repr(self) == repr(other)

    __hash__ = Value.__hash__

    def __repr__(self) -> str:
        return (
            f"BoundedTensorSpec(shape={self.shape}, dtype={self.dtype!r}, name={self.name!r}, "
            f"minimum={self.minimum!r}, maximum={self.maximum!r})"
        )


class Array(Value):
    """A TensorProto: a bound or a constant.

    ``repr`` is numpy's for a scalar; of more values only their shape is told.
    """

    __slots__ = ("dtype", "shape", "value")

    def __init__(self, dtype: DType, shape: TensorShape, value: object) -> None:
        self.dtype = dtype
        self.shape = shape
        self.value = value

    def __repr__(self) -> str:
        name = dtypes.name(self.dtype.number)
        if self.value is None:
            return f"array(..., shape={self.shape}, dtype={name})"
        value = self.value
        number = _numpy_float(value, name) if isinstance(value, float) else repr(value)
        # numpy leaves out the types that a Python number would give.
        implied = name in ("float64", "int64", "bool")
        return f"array({number})" if implied else f"array({number}, dtype={name})"


class Tensor(Array):
    """A tf.Tensor that is a default or a constant. ``repr`` leaves its numbers out."""

    __slots__ = ()

    def __repr__(self) -> str:
        name = dtypes.name(self.dtype.number)
        return f"<tf.Tensor: shape={self.shape}, dtype={name}>"


class TypeSpec(Value):
    """Any other tf.TypeSpec: the name of its class, and the values that it is made of.

    Only TensorFlow, or the library that registered the class, knows what they mean.
    """

    __slots__ = ("name", "state")

    def __init__(self, name: str, state: object) -> None:
        self.name = name
        self.state = state

    def __repr__(self) -> str:
        state = self.state
        if isinstance(state, tuple):
            if self.name == "VariableSpec" and len(state) in (3, 4):
                # Before 2.8 a VariableSpec had no alias_id.
                shape, dtype, trainable, alias = (*state, None)[:4]
                return (
                    f"VariableSpec(shape={shape}, dtype={dtype!r}, trainable={trainable!r}, "
                    f"alias_id={alias!r})"
                )
            if self.name == "RowPartitionSpec" and len(state) == 4:
                nrows, nvals, length = (_only_dim(s) for s in state[:3])
                return (
                    f"RowPartitionSpec(nrows={nrows}, nvals={nvals}, "
                    f"uniform_row_length={length}, dtype={state[3]!r})"
                )
        return f"{self.name}{state!r}"


class ExtensionTypeSpec(TypeSpec):
    """The spec of a tf.experimental.ExtensionType, whose class is not here.

    TensorFlow, without the class, takes an AnonymousExtensionTypeSpec for it: its
    ``name``. ``registered_name`` is what the class was registered as.
    """

    __slots__ = ("registered_name",)

    def __init__(self, registered_name: str, state: object) -> None:
        super().__init__("AnonymousExtensionTypeSpec", state)
        self.registered_name = registered_name

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ExtensionTypeSpec)
            and self.registered_name == other.registered_name
            and self.state == other.state
        )

    __hash__ = Value.__hash__

    def __repr__(self) -> str:
        pairs = self.state if isinstance(self.state, tuple) else ()
        if not all(isinstance(p, tuple) and len(p) == 2 for p in pairs):
            return super().__repr__()
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


class NamedTuple(tuple):  # type: ignore[type-arg]
    """A collections.namedtuple: a tuple with names for its values and for itself."""

    name: str
    fields: tuple[str, ...]

    def __repr__(self) -> str:
        inside = ", ".join(f"{n}={v!r}" for n, v in zip(self.fields, self, strict=True))
        return f"{self.name}({inside})"


def type_name(value: object) -> str:
    """The name of the class that TensorFlow's decoded value has."""
    if isinstance(value, (NamedTuple, TypeSpec)):
        return value.name
    if isinstance(value, Array):
        return "EagerTensor" if isinstance(value, Tensor) else "ndarray"
    return type(value).__name__


def decode(reader: Reader, spans: Spans, place: str, depth: int = 0) -> Any:
    """The value that a StructuredValue holds.

    Raises FormatError: it holds none, nests too deep, or is broken on the wire.
    """
    if depth > MAX_DEPTH:
        raise FormatError(
            reader.path, f"nests values deeper than {MAX_DEPTH}", offset=_at(spans), place=place
        )
    run = _chosen(reader.fields(spans, place))
    if not run:
        raise FormatError(
            reader.path, "holds no value that fastsm knows", offset=_at(spans), place=place
        )
    number = run[0].number
    if number == NONE:
        return None
    if number == FLOAT64:
        return _float64(run[-1].value)
    if number == INT64:
        zigzag = run[-1].value
        return (zigzag >> 1) ^ -(zigzag & 1)
    if number == STRING:
        return reader.text(run[-1], place)
    if number == BOOL:
        return bool(run[-1].value)
    if number == DTYPE:
        return DType(run[-1].value & 0xFFFFFFFF)
    inner = [(f.at, f.end) for f in run]
    if number == SHAPE:
        return TensorShape(read_shape(reader, inner, place))
    if number in (TENSOR, NUMPY):
        array = _array(reader, inner, place)
        return array if number == NUMPY else Tensor(array.dtype, array.shape, array.value)
    fields = reader.fields(inner, place)
    if number in (LIST, TUPLE):
        values = _values(reader, fields, place, depth)
        return values if number == LIST else tuple(values)
    if number == DICT:
        return _dict(reader, fields, place, depth)
    if number == NAMED_TUPLE:
        return _named_tuple(reader, fields, place, depth)
    if number == TYPE_SPEC:
        return _type_spec(reader, fields, place, depth)
    spec = _tensor_spec(reader, fields, place)
    if number == TENSOR_SPEC:
        return spec
    bounds = [_array(reader, merged(fields, n), place) for n in (4, 5)]
    return BoundedTensorSpec(spec, *bounds)


def _chosen(fields: list[Field]) -> list[Field]:
    """The occurrences of the oneof's last member; another member in between clears it."""
    run: list[Field] = []
    for f in fields:
        if KINDS.get(f.number) == f.wire:
            if run and run[0].number != f.number:
                run = []
            run.append(f)
    return run


def _values(reader: Reader, fields: list[Field], place: str, depth: int) -> list[Any]:
    members = [f for f in fields if f.number == 1 and f.wire == LEN]
    return [
        decode(reader, [(f.at, f.end)], f"{place}[{i}]", depth + 1)
        for i, f in enumerate(members)
    ]


def _dict(reader: Reader, fields: list[Field], place: str, depth: int) -> dict[str, Any]:
    entries: dict[str, Spans] = {}
    for f in fields:
        if f.number == 1 and f.wire == LEN:
            key, spans = _pair(reader, f, place)
            entries[key] = spans
    return {
        key: decode(reader, entries[key], f"{place}[{key!r}]", depth + 1)
        for key in sorted(entries)
    }


def _named_tuple(reader: Reader, fields: list[Field], place: str, depth: int) -> NamedTuple:
    pairs = [_pair(reader, f, place) for f in fields if f.number == 2 and f.wire == LEN]
    out = NamedTuple(decode(reader, s, f"{place}.{key}", depth + 1) for key, s in pairs)
    name = last(fields, 1)
    out.name = reader.text(name, place) if name else ""
    out.fields = tuple([key for key, _ in pairs])
    return out


def _pair(reader: Reader, field: Field, place: str) -> tuple[str, Spans]:
    """A key and where its value lies: a map's entry, or a PairValue."""
    inner = reader.fields([(field.at, field.end)], place)
    key = last(inner, 1)
    return (reader.text(key, place) if key else ""), merged(inner, 2)


def _tensor_spec(reader: Reader, fields: list[Field], place: str) -> TensorSpec:
    name = last(fields, 1)
    dtype = last(fields, 3, VARINT)
    return TensorSpec(
        TensorShape(read_shape(reader, merged(fields, 2), place)),
        DType(dtype.value & 0xFFFFFFFF if dtype else 0),
        reader.text(name, place) if name and name.end > name.at else None,
    )


def _type_spec(reader: Reader, fields: list[Field], place: str, depth: int) -> TypeSpec:
    number = last(fields, 1, VARINT)
    name = last(fields, 3)
    # A registered class is named as "tf.RaggedTensorSpec", or by a library's own name.
    written = reader.text(name, place) if name else ""
    known = TYPE_SPEC_CLASSES.get(number.value) if number else None
    state = decode(reader, merged(fields, 2), f"{place}.type_state", depth + 1)
    if number and number.value == EXTENSION_TYPE:
        return ExtensionTypeSpec(written, state)
    return TypeSpec(known or written.rpartition(".")[2] or "TypeSpec", state)


# -- numbers ---------------------------------------------------------------------------


def _array(reader: Reader, spans: Spans, place: str) -> Array:
    """A TensorProto; its value only if it is a scalar number."""
    fields = reader.fields(spans, place)
    dtype = last(fields, 1, VARINT)
    number = dtype.value & 0xFFFFFFFF if dtype else 0
    dims = read_shape(reader, merged(fields, 2), place)
    value = _scalar(reader, fields, number, place) if dims == () else None
    return Array(DType(number), TensorShape(dims), value)


#: DataType -> struct's letter, and the field of TensorProto that holds such numbers.
_SCALARS = {
    1: ("f", 5), 2: ("d", 6), 3: ("i", 7), 4: ("B", 7), 5: ("h", 7), 6: ("b", 7),
    9: ("q", 10), 10: ("?", 11), 17: ("H", 7), 22: ("I", 16), 23: ("Q", 17),
}  # fmt: skip


def _scalar(reader: Reader, fields: list[Field], dtype: int, place: str) -> object:
    if dtype not in _SCALARS:
        return None
    import struct

    letter, number = _SCALARS[dtype]
    size = struct.calcsize("<" + letter)
    content = last(fields, 4)
    if content and content.end - content.at == size:
        return struct.unpack("<" + letter, reader.bytes(content, place))[0]
    # Several are one: the last counts, packed or not.
    raw: bytes | int = 0
    for f in fields:
        if f.number == number and f.wire != LEN:
            raw = f.value
        elif f.number == number and f.end > f.at:
            raw = reader.bytes(f, place)
    if isinstance(raw, bytes):
        if letter in "fd":
            return struct.unpack("<" + letter, raw[-size:])[0] if len(raw) >= size else None
        raw = _last_varint(raw)
    if letter in "fd":
        return struct.unpack("<" + letter, raw.to_bytes(size, "little"))[0]
    if letter == "?":
        return bool(raw)
    return signed(raw) if letter.islower() else raw


def _last_varint(packed: bytes) -> int:
    """The last number of a packed field; 0 if it breaks off."""
    value = shift = out = 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            out, value, shift = value & (1 << 64) - 1, 0, 0
    return out


def _float64(bits: int) -> float:
    import struct

    out: float = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    return out


def _numpy_float(value: float, dtype: str) -> str:
    """A number as numpy prints it alone: the shortest digits, eight decimals at most."""
    if value != value or value in (float("inf"), float("-inf")):
        return repr(value)
    for digits in range(17):  # the fewest that read back as the same number
        shortest = f"{value:.{digits}e}"
        if (_float32(float(shortest)) if dtype == "float32" else float(shortest)) == value:
            break
    mantissa, _, exponent = shortest.partition("e")
    if value and not 1e-4 <= abs(value) < 1e8:
        if digits > 8:
            mantissa, _, exponent = f"{value:.8e}".partition("e")
        return f"{mantissa.rstrip('0') if '.' in mantissa else mantissa + '.'}e{exponent}"
    decimals = min(max(digits - int(exponent), 1), 8)
    return f"{value:.{decimals}f}".rstrip("0")


def _float32(value: float) -> float:
    import struct

    try:
        out: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:  # rounded up past the largest there is
        return float("inf")
    return out


def _only_dim(shape: object) -> int | None:
    return shape.dims[0] if isinstance(shape, TensorShape) and shape.dims else None


def _at(spans: Spans) -> int | None:
    return spans[0][0] if spans else None
