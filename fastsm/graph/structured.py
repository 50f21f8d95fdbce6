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
from ..source import LEN, VARINT, last, merged, signed
from ..views import TYPE_SPECS, read_shape, shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .._core import Field
    from ..source import Message, Reader, Spans

# The fields of StructuredValue.
NONE, FLOAT64, INT64, STRING, BOOL = 1, 11, 12, 13, 14
SHAPE, DTYPE, TENSOR_SPEC, TYPE_SPEC, BOUNDED_SPEC = 31, 32, 33, 34, 35
LIST, TUPLE, DICT, NAMED_TUPLE, TENSOR, NUMPY = 51, 52, 53, 54, 55, 56

#: Of TYPE_SPECS, those whose class the proto names itself.
REGISTERED_TYPE, EXTENSION_TYPE = 12, 13


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


def decode(reader: Reader, spans: Spans, place: str) -> Any:
    """The value that a StructuredValue holds.

    Raises FormatError: it holds none, or is broken on the wire.
    """
    message = reader.parse("StructuredValue", spans, place)
    return from_message(reader, message, place, spans[0][0] if spans else None)


def from_message(reader: Reader, message: Message, place: str, at: int | None) -> Any:
    """The value of a StructuredValue that was read already, and lies at this byte.

    Raises FormatError: it holds none.
    """
    try:
        return _value(reader, message, place)
    except _NoValue as e:
        raise FormatError(
            reader.path, "holds no value that fastsm knows", offset=at, place=str(e)
        ) from None


class _NoValue(Exception):
    """A StructuredValue that sets nothing, and its place."""


def _value(reader: Reader, message: Message, place: str) -> Any:
    if not message:
        raise _NoValue(place)
    ((number, inner),) = message.items()  # all are members of one oneof
    if number == TENSOR_SPEC:
        return _tensor_spec(inner)
    if number == LIST:
        return _values(reader, inner, place)
    if number == TUPLE:
        return tuple(_values(reader, inner, place))
    if number == DICT:
        entries = inner.get(1, {})
        return {key: _value(reader, entries[key], f"{place}[{key!r}]") for key in sorted(entries)}
    if number == NONE:
        return None
    if number in (STRING, BOOL):
        return inner
    if number == INT64:
        zigzag = inner & (1 << 64) - 1
        return (zigzag >> 1) ^ -(zigzag & 1)
    if number == FLOAT64:
        return _float64(inner)
    if number == DTYPE:
        return DType(inner & 0xFFFFFFFF)
    if number == SHAPE:
        return TensorShape(shape(inner))
    if number in (TENSOR, NUMPY):
        array = _array(reader, inner, place)
        return array if number == NUMPY else Tensor(array.dtype, array.shape, array.value)
    if number == NAMED_TUPLE:
        return _named_tuple(reader, inner, place)
    if number == TYPE_SPEC:
        return _type_spec(reader, inner, place)
    bounds = [_array(reader, inner.get(n, ()), place) for n in (4, 5)]
    return BoundedTensorSpec(_tensor_spec(inner), *bounds)


def _values(reader: Reader, message: Message, place: str) -> list[Any]:
    return [_value(reader, v, f"{place}[{i}]") for i, v in enumerate(message.get(1, ()))]


def _named_tuple(reader: Reader, message: Message, place: str) -> NamedTuple:
    names = [pair.get(1, "") for pair in message.get(2, ())]
    values = [pair.get(2, {}) for pair in message.get(2, ())]
    out = NamedTuple(
        _value(reader, v, f"{place}.{name}") for name, v in zip(names, values, strict=True)
    )
    out.name = message.get(1, "")
    out.fields = tuple(names)
    return out


def _tensor_spec(message: Message) -> TensorSpec:
    """A TensorSpecProto, or what a BoundedTensorSpecProto has of one."""
    return TensorSpec(
        TensorShape(shape(message.get(2, {}))),
        DType(message.get(3, 0) & 0xFFFFFFFF),
        message.get(1) or None,
    )


def _type_spec(reader: Reader, message: Message, place: str) -> TypeSpec:
    number = message.get(1, 0)
    # A registered class is named as "tf.RaggedTensorSpec", or by a library's own name.
    written = message.get(3, "")
    state = _value(reader, message.get(2, {}), f"{place}.type_state")
    if number == EXTENSION_TYPE:
        return ExtensionTypeSpec(written, state)
    known = "" if number == REGISTERED_TYPE else TYPE_SPECS.get(number)
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

