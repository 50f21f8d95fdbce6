"""The values of arrays, as verbs print them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..bundle.variables import Array

#: More values than this are not printed as JSON.
MAX_VALUES = 10_000

#: So many values at each end of a dimension are printed, where not all are.
EDGE = 3

#: A string among the values is cut here.
_MAX_STRING = 60

WIDTH = 80


def plain_values(array: Array) -> Any:
    """Nested lists, as JSON holds them: strings as text, complex numbers as two."""
    if array.dtype == object:
        return _nested(array.tolist(), lambda v: v.decode("utf-8", "backslashreplace"))
    if array.dtype.kind == "c":
        return _nested(array.tolist(), lambda v: [v.real, v.imag])
    return _of_numpy(array).tolist()


def _of_numpy(array: Array) -> Array:
    """Values of a dtype of ml_dtypes as those of numpy's own, which print as they should; of a
    quantised one their integers."""
    if array.dtype.names:
        return array[array.dtype.names[0]]
    if array.dtype.kind != "V":
        return array
    return array.astype(int if "int" in array.dtype.name else float)


def _nested(value: Any, plain: Any) -> Any:
    return [_nested(v, plain) for v in value] if isinstance(value, list) else plain(value)


def as_text(array: Array, threshold: int = 100) -> str:
    """As numpy prints an array: the middle of one with more elements left out."""
    import numpy as np

    if array.size <= MAX_VALUES:
        array = _of_numpy(array)
    formatter: Any = {"object": _string} if array.dtype == object else None
    return np.array2string(
        array,
        max_line_width=WIDTH - 2,
        threshold=threshold,
        edgeitems=EDGE,
        separator=", ",
        formatter=formatter,
    )


def _string(value: bytes) -> str:
    cut = "..." if len(value) > _MAX_STRING else ""
    return f"{value[:_MAX_STRING]!r}{cut}"
