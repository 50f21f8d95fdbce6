"""Values that the inputs of a signature take.

An unknown dimension is 1, but for those of an image. A number is a small fraction, a flag is
off, an integer is 0, which every list has an element for, and 1 where it stands by itself: it
may be a size. The parts of a sparse tensor and of a ragged one fit each other. A string is what
the op that takes it asks for: see `texts`.
"""

from __future__ import annotations

from ..text import Record, counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..views import TensorInfo
    from .texts import Text

#: So many elements are written out; of more there is one that all of them are.
MAX_WRITTEN = 16

#: An input of more elements is nobody's example.
MAX_ELEMENTS = 1 << 28

#: No tensor has more dimensions, and no row splits or dense shape of an example so many numbers.
#: Source: tensorflow/core/framework/tensor_shape.h MaxDimensions.
MAX_RANK, MAX_PARTS = 254, 1 << 10

#: The side of an image whose size is unknown, and how many channels one has.
SIDE, CHANNELS = 64, (1, 3, 4)

#: Dtypes that nothing can be fed for.
UNFED = ("resource", "variant", "invalid")

#: What parts of a composite tensor are, in the order of its components.
#: Source: tensorflow/python/framework/sparse_tensor.py, indexed_slices.py and
#: tensorflow/python/ops/ragged/ragged_tensor.py, of each _to_components (2.21).
_ROLES = {
    "SparseTensorSpec": ("indices", "values", "dense_shape"),
    "IndexedSlicesSpec": ("values", "indices", "dense_shape"),
}


class Unfeedable(Exception):
    """There is no value for an input; says why."""


class Spec(Record):
    """A tensor that is fed.

    Attributes:
        name: Of the input.
        tensor: In the graph, "" where nobody names it.
        dtype, shape: As `TensorInfo` has them.
        role: Of a part of a composite: "indices", "values", "dense_shape", "row_splits",
            "flat_values" or its number; else "".
        whole: Of a part of a sparse tensor the shape of that, where it is told.
    """

    __slots__ = ("name", "tensor", "dtype", "shape", "role", "whole")

    def __init__(
        self,
        name: str,
        tensor: str,
        dtype: str,
        shape: tuple[int | None, ...] | None,
        role: str = "",
        whole: tuple[int | None, ...] | None = None,
    ) -> None:
        self.name, self.tensor, self.role, self.whole = name, tensor, role, whole
        self.dtype = dtype.removesuffix("_ref")
        self.shape = shape

    def but(self, **changed: Any) -> Spec:
        """The same with other values."""
        return Spec(**{**dict(self._values()), **changed})


class Value(Record):
    """What a tensor is fed.

    Attributes:
        spec: The tensor.
        shape: Without unknown dimensions.
        elements: All of them; or one that all are, where there are more than MAX_WRITTEN.
        text: What its strings are, or None.
    """

    __slots__ = ("spec", "shape", "elements", "text")

    def __init__(
        self, spec: Spec, shape: Sequence[int], elements: list[Any], text: Text | None = None
    ) -> None:
        self.spec, self.shape, self.elements, self.text = spec, tuple(shape), elements, text

    @property
    def n(self) -> int:
        return product(self.shape)

    @property
    def is_written(self) -> bool:
        """Whether its elements are all there: it can be written as lists in lists."""
        return len(self.elements) == self.n and bool(self.n or self.shape == (0,))


def specs_of(name: str, info: TensorInfo) -> list[Spec]:
    """The tensors behind an input or an output, a composite's in the order of TensorFlow's."""
    if info.encoding == "coo_sparse":
        rank = None if info.shape is None else len(info.shape)
        return [
            Spec(name, info.indices or "", "int64", (None, rank), "indices"),
            Spec(name, info.name, info.dtype, (None,), "values"),
            Spec(name, info.dense_shape or "", "int64", (rank,), "dense_shape", info.shape),
        ]
    if info.encoding == "composite_tensor":
        roles: Sequence[str] = _ROLES.get(info.type_spec or "", ())
        if info.type_spec == "RaggedTensorSpec":
            roles = ("flat_values", *["row_splits"] * (len(info.components) - 1))
        parts = []
        for i, component in enumerate(info.components):
            role = roles[i] if i < len(roles) else str(i)
            parts += [
                spec.but(role=role, whole=info.shape) for spec in specs_of(name, component)
            ]
        return parts
    return [Spec(name, info.name, info.dtype, info.shape)]


def parts(specs: Mapping[str, Spec]) -> dict[str, str]:
    """Which plain inputs are parts of one composite: a name -> the role.

    TensorFlow 2 flattens a composite argument of a function into inputs ``x``, ``x_1``, ...
    Source: tensorflow/python/saved_model/signature_serialization.py canonicalize_signatures,
    tensorflow/python/eager/polymorphic_function/composite_tensor_utils.py (2.21).
    """
    found: dict[str, str] = {}
    for name, spec in specs.items():
        one, two = specs.get(f"{name}_1"), specs.get(f"{name}_2")
        if one is None:
            continue
        if two is not None and _is_indices(spec) and _is_dense_shape(two):
            found |= {name: "indices", f"{name}_1": "values", f"{name}_2": "dense_shape"}
        elif _is_row_splits(one):
            found[name] = "flat_values"
            n = 1
            while (part := specs.get(f"{name}_{n}")) is not None and _is_row_splits(part):
                found[f"{name}_{n}"] = "row_splits"
                n += 1
    for name, spec in specs.items():
        if name not in found and len(specs) > 1 and "splits" in name and _is_row_splits(spec):
            found[name] = "row_splits"
    return found


def _is_row_splits(spec: Spec) -> bool:
    return spec.dtype in ("int32", "int64") and spec.shape == (None,)


def _is_indices(spec: Spec) -> bool:
    return spec.dtype == "int64" and spec.shape is not None and len(spec.shape) == 2


def _is_dense_shape(spec: Spec) -> bool:
    return spec.dtype == "int64" and spec.shape is not None and len(spec.shape) == 1


def value(spec: Spec, text: Callable[[Spec], Text]) -> Value:
    """A value for a tensor.

    Args:
        text: What a tensor's strings are; asked for strings alone.

    Raises:
        Unfeedable: Its dtype cannot be fed, or it is too large for an example.
    """
    if spec.dtype in UNFED or spec.dtype.startswith("dtype "):
        raise Unfeedable(f"{_named(spec)} is of dtype {spec.dtype}, which nobody can feed")
    shape = _sized(spec)
    n = product(shape)
    if len(shape) > MAX_RANK:
        raise Unfeedable(f"{_named(spec)} has {counted(len(shape), 'dimension')}: too many")
    if n > (MAX_PARTS if spec.role in ("row_splits", "dense_shape") else MAX_ELEMENTS):
        raise Unfeedable(f"{_named(spec)} has {counted(n, 'element')}: too many for an example")
    if spec.role == "row_splits":
        return Value(spec, shape, [min(i, 1) for i in range(n)])
    if spec.role == "dense_shape":
        whole = spec.whole if spec.whole is not None and len(spec.whole) == n else (None,) * n
        return Value(spec, shape, [dim or 1 for dim in whole])
    if spec.dtype == "string":
        kind = text(spec)
        return Value(spec, shape, [kind.data] * _written(n), kind)
    return Value(spec, shape, _numbers(spec, n))


def _sized(spec: Spec) -> tuple[int, ...]:
    """A shape without unknown dimensions."""
    shape = spec.shape
    if spec.role == "row_splits":  # of one row, where it is not told how many there are
        return (2 if not shape or shape[0] is None else shape[0],)
    if shape is None:
        return (1,)
    if len(shape) == 4 and shape[3] in CHANNELS and shape[1] is shape[2] is None:
        return (shape[0] or 1, SIDE, SIDE, shape[3] or 1)
    # Of a sparse tensor: its rank is unknown.
    if (spec.role, len(shape)) in (("indices", 2), ("dense_shape", 1)) and shape[-1] is None:
        shape = (*shape[:-1], 2)
    return tuple(1 if dim is None else dim for dim in shape)


def _numbers(spec: Spec, n: int) -> list[Any]:
    """The elements of a tensor of numbers; one where there are too many."""
    if spec.dtype == "bool":
        return [False] * _written(n)
    if "int" in spec.dtype:
        lone = not spec.role and spec.shape in ((), (1,))
        return [1 if lone else 0] * _written(n)
    if n > MAX_WRITTEN:
        return [0.5]
    fractions = [(i % 9 + 1) / 10 for i in range(n)]
    return [complex(f, f) for f in fractions] if "complex" in spec.dtype else fractions


def _written(n: int) -> int:
    return n if n <= MAX_WRITTEN else 1


def product(shape: Sequence[int]) -> int:
    n = 1
    for dim in shape:
        n *= dim
    return n


def _named(spec: Spec) -> str:
    part = f" ({spec.role})" if spec.role else ""
    return f'the input "{printable(spec.name)}"{part}'
