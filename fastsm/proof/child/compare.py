"""Job "compare": by how much arrays differ that are not the same bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays
from .tolerances import TOLERANCES

Array = np.ndarray[Any, np.dtype[Any]]

#: Elements that are looked at at once: what is made of them stays far below the arrays.
_CHUNK = 1 << 20

#: A value is shown in so many characters.
_SHOWN = 60


def compare(pairs: list[dict[str, Any]], *, across: bool) -> list[dict[str, Any]]:
    """How two arrays differ, for each pair of one dtype and shape.

    Args:
        pairs: Of each ``before`` and ``after``, (file, name) of `arrays`.
        across: Whether they come from two devices: what is within TOLERANCES counts as close.

    Returns:
        For each pair a dict; what says nothing of its dtype is absent.
            n, differing: How many elements there are, and how many differ in any bit.
            outside: How many of these are not close; ``differing`` unless ``across``.
            ulp: The largest number of steps from the one float to the other.
            relative, absolute: The largest error, relative to BEFORE where that is not zero.
            nan, infinite: How many are so in one of the two only; infinities of two signs, too.
            zero_sign, nan_bits: How many differ in no more than that.
            index, before, after: The first that differs (of two devices: that is not close).
    """
    files: dict[str, dict[str, Array]] = {}

    def array(file: str, name: str) -> Array:
        if file not in files:
            files[file] = arrays.load(file)
        return files[file][name]

    out = []
    for pair in pairs:
        ends = (pair["before"][0], pair["after"][0])
        for file in [file for file in files if file not in ends]:
            del files[file]
        out.append(difference(array(*pair["before"]), array(*pair["after"]), across=across))
    return out


def difference(before: Array, after: Array, *, across: bool = False) -> dict[str, Any]:
    """What `compare` says of one pair."""
    if before.dtype != after.dtype or before.shape != after.shape:
        raise ValueError(f"{before.dtype}{before.shape} beside {after.dtype}{after.shape}")
    a, b = (x[x.dtype.names[0]] if x.dtype.names else x for x in (before, after))
    a, b = a.reshape(-1), b.reshape(-1)
    found: dict[str, Any] = {"n": a.size, "differing": 0, "outside": 0}
    first = None
    for start in range(0, a.size, _CHUNK):
        x, y = a[start : start + _CHUNK], b[start : start + _CHUNK]
        where = np.flatnonzero(_differ(x, y))
        if not where.size:
            continue
        x, y = x[where], y[where]
        outside = _measure(x, y, found) if _is_float(a.dtype) else _count(x, y, found)
        if not across:
            outside = np.ones(len(where), bool)
        found["differing"] += len(where)
        found["outside"] += int(outside.sum())
        if first is None and outside.any():
            first = start + int(where[outside][0])
    if first is not None:
        found["index"] = [int(i) for i in np.unravel_index(first, before.shape)]
        found["before"], found["after"] = _shown(a[first]), _shown(b[first])
    return found


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.name in TOLERANCES


def _differ(a: Array, b: Array) -> Any:
    """Which elements differ in any bit; NaNs of the same bits do not."""
    if a.dtype.kind == "O":
        return a != b
    width = a.dtype.itemsize
    bits = [np.ascontiguousarray(x).view(np.uint8).reshape(-1, width) for x in (a, b)]
    return (bits[0] != bits[1]).any(axis=1)


def _count(a: Array, b: Array, found: dict[str, Any]) -> Any:
    """Of differing integers how far they lie apart; of all, that none is close."""
    if a.dtype.kind in "iu" or "int" in a.dtype.name:
        signed = a.dtype.name.startswith("int")
        x, y = (v.astype(np.int64 if signed else np.uint64) for v in (a, b))
        low, high = (f(x, y).view(np.uint64) for f in (np.minimum, np.maximum))
        _most(found, "absolute", int((high - low).max()))
    return np.ones(len(a), bool)


def _measure(a: Array, b: Array, found: dict[str, Any]) -> Any:
    """Add the errors of differing floats; which of them are not close."""
    relative, absolute = TOLERANCES[a.dtype.name]
    if a.dtype.kind == "c":
        part = np.dtype(f"f{a.dtype.itemsize // 2}")
        x, y = (np.ascontiguousarray(v).view(part) for v in (a, b))
        changed = _differ(x, y)
        x, y = x[changed], y[changed]
    else:
        x, y = a, b
    _steps(x, y, found)
    with np.errstate(all="ignore"):
        wide = np.complex128 if a.dtype.kind == "c" else np.float64
        v, w = a.astype(wide), b.astype(wide)
        error, size = np.abs(v - w), np.abs(v)
        known = np.isfinite(error)
        close = known & (error <= absolute + relative * size)
        if known.any():
            _most(found, "absolute", float(error[known].max()))
        known &= size > 0
        if known.any():
            _most(found, "relative", float((error[known] / size[known]).max()))
    return ~(close | (v == w) | (np.isnan(v) & np.isnan(w)))


def _steps(a: Array, b: Array, found: dict[str, Any]) -> None:
    """Add how many floats lie between: of all these formats the bits, without the sign, count
    up with the value."""
    width = a.dtype.itemsize
    sign = np.uint64(1 << (8 * width - 1))
    x, y = (np.ascontiguousarray(v).view(f"u{width}").astype(np.uint64) for v in (a, b))
    below = (x & sign) != (y & sign)
    x, y = x & ~sign, y & ~sign
    steps = np.where(below, x + y, np.maximum(x, y) - np.minimum(x, y))
    with np.errstate(all="ignore"):
        v, w = a.astype(np.float64), b.astype(np.float64)
    nan = np.isnan(v), np.isnan(w)
    _add(found, "nan", nan[0] ^ nan[1])
    _add(found, "nan_bits", nan[0] & nan[1])
    number = ~(nan[0] | nan[1])
    _add(found, "zero_sign", number & (v == 0) & (w == 0))
    _add(found, "infinite", number & (np.isinf(v) | np.isinf(w)))
    if number.any():
        _most(found, "ulp", int(steps[number].max()))


def _most(found: dict[str, Any], name: str, value: float) -> None:
    found[name] = max(found.get(name, value), value)


def _add(found: dict[str, Any], name: str, which: Any) -> None:
    if n := int(which.sum()):
        found[name] = found.get(name, 0) + n


def _shown(value: Any) -> str:
    """A value in words: of a float as few digits as tell it from all others."""
    text = repr(value) if isinstance(value, bytes) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def compare_tables(before: str, after: str, names: list[list[str]]) -> list[dict[str, Any]]:
    """How lookup tables differ, by their keys.

    Args:
        before, after: Files of `arrays`, with ``NAME/keys`` and ``NAME/values`` of each table.
        names: Of each table its name in ``before`` and in ``after``.

    Returns:
        Of each ``lost``, ``new`` and ``changed`` where there are any: ``n`` keys that only BEFORE
        has, that only AFTER has, that lead to another value; and of the first its ``key``, and
        ``values`` in the two where these changed.
    """
    files = [arrays.load(file) for file in (before, after)]
    out = []
    for pair in names:
        old, new = (
            _entries(file[f"{name}/keys"], file[f"{name}/values"])
            for file, name in zip(files, pair, strict=True)
        )
        found: dict[str, Any] = {}
        for what, keys in (
            ("lost", [key for key in old if key not in new]),
            ("new", [key for key in new if key not in old]),
            ("changed", [key for key in old if key in new and _id(old[key]) != _id(new[key])]),
        ):
            if keys:
                key = keys[0]
                found[what] = {"n": len(keys), "key": _shown(key)}
                if what == "changed":
                    found[what]["values"] = [_shown(table[key][()]) for table in (old, new)]
        out.append(found)
    return out


def _entries(keys: Array, values: Array) -> dict[Any, Array]:
    """Key -> value; a key of several elements as the list of them in words."""
    simple = keys.ndim == 1 and keys.dtype.kind in "Obiu"
    of = keys if simple else [str(key.tolist()) for key in keys]
    return {key: values[i] for i, key in enumerate(of)}


def _id(value: Any) -> Any:
    """What is equal where every bit is."""
    value = np.asarray(value)
    return tuple(value.flat) if value.dtype.kind == "O" else value.tobytes()
