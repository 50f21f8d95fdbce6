"""Names in what a function takes and returns, changed where they stand.

A StructuredValue is read elsewhere (`structured`); here are its dicts, lists and named
tuples as places in a file.
Source: tensorflow/core/protobuf/struct.proto (2.21).
"""

from __future__ import annotations

from ..plan import Rewrite
from ..source import VARINT, slices
from .nested import alone
from .structured import (
    BOOL,
    BOUNDED_SPEC,
    DICT,
    DTYPE,
    FLOAT64,
    INT64,
    LIST,
    NAMED_TUPLE,
    NONE,
    NUMPY,
    SHAPE,
    STRING,
    TENSOR,
    TENSOR_SPEC,
    TUPLE,
    TYPE_SPEC,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .nested import Nested

KINDS = (
    NONE, FLOAT64, INT64, STRING, BOOL, SHAPE, DTYPE, TENSOR_SPEC, TYPE_SPEC, BOUNDED_SPEC, LIST,
    TUPLE, DICT, NAMED_TUPLE, TENSOR, NUMPY,
)  # fmt: skip

# TypeSpecProto, and the classes of it whose number of tensors is told by the class.
_SPEC_CLASS, _SPEC_STATE, _N_COMPONENTS = 1, 2, 4
_SPARSE, _RAGGED = 1, 3


def values(value: Nested, kind: int) -> list[Nested]:
    """What a list or a tuple holds; nothing where it is none."""
    number, inner = value.member(KINDS)
    return inner.each(1, "values") if number == kind else []


def items(value: Nested) -> dict[str, Nested] | None:
    """What a dict holds, of equal keys the last; None where it is no dict."""
    number, inner = value.member(KINDS)
    if number != DICT:
        return None
    return {key: entry.inside(2, "") for key, entry in inner.entries(1, "fields")}


def rename_item(rewrite: Rewrite, value: Nested, old: str, new: str) -> None:
    """Give what a dict holds another key; nothing happens where it is not there."""
    number, inner = value.member(KINDS)
    if number == DICT:
        rename_entry(rewrite, inner, 1, old, new)


def rename_entry(rewrite: Rewrite, message: Nested, number: int, old: str, new: str) -> bool:
    """Give the entries of a map another key: all that have the old one, of which the last
    counts. Returns whether there are any."""
    found = [entry for key, entry in message.entries(number, "") if key == old]
    for entry in found:
        entry.put_text(rewrite, 1, new)
    return bool(found)


def pairs(value: Nested) -> dict[str, Nested]:
    """What a named tuple holds; nothing where it is none."""
    number, inner = value.member(KINDS)
    found = inner.each(2, "values") if number == NAMED_TUPLE else []
    return {pair.text(1): pair.inside(2, "value") for pair in found}


def text(value: Nested) -> str | None:
    """A string; None where it is none."""
    number, _ = value.member(KINDS)
    return value.text(STRING) if number == STRING else None


def with_text(value: Nested, new: str) -> bytes:
    """The bytes of a string, without those of the field around it, with another text."""
    ((at, end, _),) = value.occurrences
    copy = alone(slices(value.reader.source, [(at, end)]), value.reader.path, value.place)
    rewrite = Rewrite(copy.reader.source)
    copy.put_text(rewrite, STRING, new)
    changed = rewrite.source()
    return changed.read(0, changed.size)


def n_tensors(value: Nested) -> int | None:
    """How many tensors a value stands for when it is flattened; None: only TensorFlow knows.

    Source: tensorflow/python/framework/type_spec.py TypeSpec._flatten,
    tensorflow/python/ops/ragged/ragged_tensor.py RaggedTensorSpec._component_specs (2.21).
    """
    kind, inner = value.member(KINDS)
    if kind in (TENSOR_SPEC, BOUNDED_SPEC):
        return 1
    if kind != TYPE_SPEC:
        return None
    known = inner.last(_N_COMPONENTS, VARINT)
    if known and known[0].value:
        return known[0].value
    which = inner.last(_SPEC_CLASS, VARINT)
    if which and which[0].value == _SPARSE:
        return 3  # indices, values, dense_shape
    if which and which[0].value == _RAGGED:
        # (shape, dtype, ragged_rank, row_splits_dtype); one row_splits for each ragged rank
        state = values(inner.inside(_SPEC_STATE, "type_state"), TUPLE)
        rank = state[2].last(INT64, VARINT) if len(state) == 4 else None
        if rank and not rank[0].value & 1:
            return 1 + (rank[0].value >> 1)
    return None
