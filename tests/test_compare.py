"""How far arrays lie apart: what is measured, for every dtype, and what counts as close."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fastsm.proof.child import arrays
from fastsm.proof.child.compare import compare, difference
from fastsm.proof.child.tolerances import TOLERANCES
from fastsm.proof.report import first, measured

FLOATS = [
    "float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz",
]  # fmt: skip


def of(values: Any, dtype: str = "float32") -> Any:
    return np.array(values).astype(arrays.numpy_dtype(dtype))


def bits(values: list[int], dtype: str) -> Any:
    kind = arrays.numpy_dtype(dtype)
    return np.array(values, f"u{kind.itemsize}").view(kind)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_step_of_a_float_is_an_ulp(dtype: str) -> None:
    one = of([1.0, 0.5, -1.0], dtype)
    width = one.dtype.itemsize
    far = one.copy()
    far.view(f"u{width}")[0] += 1
    far.view(f"u{width}")[2] += 2
    found = difference(one, far)
    assert (found["n"], found["differing"], found["ulp"]) == (3, 2, 2)
    assert found["index"] == [0] and float(found["before"]) == 1
    eps = float(far[0]) - 1
    assert eps > 0 and found["absolute"] == pytest.approx(2 * eps)
    assert found["relative"] == pytest.approx(2 * eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_steps_are_counted_through_zero(dtype: str) -> None:
    width = arrays.numpy_dtype(dtype).itemsize
    least = 1
    found = difference(bits([least], dtype), bits([least | 1 << (8 * width - 1)], dtype))
    assert found["ulp"] == 2  # from the least float above zero to the one below


def test_the_widest_step_of_a_double_does_not_overflow() -> None:
    found = difference(of([np.inf], "float64"), of([-np.inf], "float64"))
    assert found["ulp"] == 2 * struct.unpack("<q", struct.pack("<d", np.inf))[0]
    assert found["infinite"] == 1 and "absolute" not in found


def test_the_sign_of_zero_is_a_difference_that_is_said() -> None:
    found = difference(of([0.0, 1.0]), of([-0.0, 1.0]))
    assert (found["differing"], found["zero_sign"], found["ulp"]) == (1, 1, 0)
    assert measured(found) == "1 of 2 elements: the sign of zero"
    assert first(found) == "first [0]: 0.0 -> -0.0"


def test_nan_is_equal_to_nan_of_the_same_bits_and_to_nothing_else() -> None:
    nan = bits([0x7FC00000, 0x7FC00000, 0x7FC00000], "float32")
    found = difference(nan, bits([0x7FC00000, 0x7FC00001, 0x3F800000], "float32"))
    assert (found["differing"], found["nan_bits"], found["nan"]) == (2, 1, 1)
    assert "ulp" not in found and "relative" not in found
    assert difference(nan, nan)["differing"] == 0
    assert measured(difference(nan[:2], nan.view("u4")[:2].copy().view("f4")))


def test_only_the_bits_of_nan() -> None:
    found = difference(bits([0x7FC00000], "float32"), bits([0xFFC00000], "float32"))
    assert measured(found) == "1 of 1 element: the bits of NaN"


def test_the_relative_error_is_that_of_what_is_not_zero() -> None:
    found = difference(of([0.0, 2.0]), of([1e-3, 2.5]))
    assert found["relative"] == pytest.approx(0.25) and found["absolute"] == pytest.approx(0.5)
    assert "relative" not in difference(of([0.0]), of([1.0]))


def test_the_first_that_differs_and_where() -> None:
    a = np.zeros((3, 4), "float32")
    b = a.copy()
    b[1, 2], b[2, 0] = 0.25, 9
    found = difference(a, b)
    assert found["index"] == [1, 2] and (found["before"], found["after"]) == ("0.0", "0.25")
    assert first(found) == "first [1, 2]: 0.0 -> 0.25"


def test_a_scalar_has_an_index_of_no_numbers() -> None:
    found = difference(of(1.0), of(2.0))
    assert found["index"] == [] and first(found) == "1.0 -> 2.0"


def test_large_arrays_are_looked_at_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastsm.proof.child.compare._CHUNK", 4)
    a = np.arange(11, dtype="float32")
    b = a.copy()
    b[[5, 9]] += [1, 4]
    found = difference(a, b)
    assert (found["differing"], found["index"], found["absolute"]) == (2, [5], 4.0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "int4", "uint4", "qint8"])
def test_integers_differ_by_a_number(dtype: str) -> None:
    kind = arrays.numpy_dtype(dtype)
    a, b = (np.array(v, "int8").astype("int8" if kind.fields else kind) for v in ([1, 7], [1, 3]))
    if kind.fields:
        a, b = a.view(kind), b.view(kind)
    found = difference(a, b)
    assert (found["differing"], found["absolute"], found["index"]) == (1, 4, [1])
    assert (found["before"], found["after"]) == ("7", "3")
    assert "ulp" not in found


def test_integers_that_lie_as_far_apart_as_can_be() -> None:
    ends = np.iinfo("int64")
    found = difference(np.array([ends.min]), np.array([ends.max]))
    assert found["absolute"] == 2**64 - 1


def test_strings_and_bools_are_counted() -> None:
    a = np.array([b"a", b"\xff", b"c"], object)
    b = np.array([b"a", b"b", b"\x1b"], object)
    found = difference(a, b)
    assert (found["differing"], found["index"]) == (2, [1])
    assert found["before"] == r"b'\xff'"
    assert measured(found) == "2 of 3 elements"
    flags = difference(np.array([True, False]), np.array([True, True]))
    assert measured(flags) == "1 of 2 elements" and "absolute" not in flags


def test_complex_numbers_are_measured_by_their_parts() -> None:
    a = np.array([1 + 1j, 2 + 0j], "complex64")
    b = a.copy()
    b.view("float32")[1] = np.nextafter(np.float32(1), np.float32(2))
    found = difference(a, b)
    assert (found["differing"], found["ulp"], found["index"]) == (1, 1, [0])


def test_what_is_of_another_shape_is_not_measured() -> None:
    with pytest.raises(ValueError, match="beside"):
        difference(of([1.0]), of([[1.0]]))
    with pytest.raises(ValueError, match="beside"):
        difference(of([1.0]), of([1.0], "float64"))


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64", "complex128"])
def test_across_devices_what_is_within_the_tolerance_is_close(dtype: str) -> None:
    relative, absolute = TOLERANCES[dtype]
    near = of([1.0, np.nan, np.inf, 0.0], dtype)
    other = near.copy()
    step = max(relative / 2, float(_eps(dtype)))
    other[0] = of(1.0 + step, dtype)
    other[3] = of(absolute / 2, dtype)
    assert difference(near, other, across=True)["outside"] == 0
    far = near.copy()
    far[0] = of(1.0 + 4 * (relative + absolute), dtype)
    found = difference(near, far, across=True)
    assert (found["outside"], found["index"]) == (1, [0])


def _eps(dtype: str) -> float:
    return float(ml_dtypes.finfo(arrays.numpy_dtype(dtype)).eps)


@pytest.mark.parametrize(
    ("a", "b"), [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (1.0, np.inf), (np.inf, -np.inf)]
)
def test_what_is_not_finite_in_one_only_is_never_close(a: float, b: float) -> None:
    found = difference(of([0.5, a]), of([0.5, b]), across=True)
    assert (found["outside"], found["index"]) == (1, [1])


def test_integers_are_exact_across_devices_too() -> None:
    assert difference(np.array([1]), np.array([2]), across=True)["outside"] == 1


def test_of_what_is_close_and_what_is_not_the_latter_is_shown() -> None:
    a = of([1.0, 1.0])
    found = difference(a, of([1.000001, 1.1]), across=True)
    assert (found["differing"], found["outside"], found["index"]) == (2, 1, [1])


def test_the_job_reads_pairs_from_files(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    arrays.save(one, {"x": of([1.0, 2.0]), "s": np.array([b"a"], object)})
    arrays.save(other, {"y": of([1.0, 3.0]), "s": np.array([b"b"], object)})
    pairs = [
        {"before": [one, "x"], "after": [other, "y"]},
        {"before": [one, "s"], "after": [other, "s"]},
        {"before": [one, "x"], "after": [one, "x"]},
    ]
    found = compare(pairs, across=False)
    assert [one["differing"] for one in found] == [1, 1, 0]
    assert measured(found[0]) == "1 of 2 elements, by up to 4,194,304 ulp, relative 0.5"
