"""Arrays in files: what comes back is what was saved, and a digest is equal only for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fastsm import dtypes
from fastsm.proof.child import arrays

NAMES = [name for name in dtypes.NAMES.values() if name not in ("invalid", "resource", "variant")]


def some(name: str) -> Any:
    """A 2 x 3 array of random bits, as far as the dtype has them."""
    random = np.random.default_rng(sum(name.encode()))
    dtype = arrays.numpy_dtype(name)
    if name == "string":
        words = [b"", b"a", "é".encode(), b"\0\0", b"z\0", b"x" * 70]
        return np.array([*words, None], dtype=object)[:-1].reshape(2, 3)
    if name == "bool":
        return random.integers(2, size=(2, 3)).astype(bool)
    if name.removeprefix("u") in ("int4", "int2", "float4_e2m1fn"):
        return random.integers(2, size=(2, 3)).astype(dtype)
    return np.frombuffer(random.bytes(6 * dtype.itemsize), dtype).reshape(2, 3)


def test_every_dtype_comes_back(tmp_path: Path) -> None:
    saved = {name: some(name) for name in NAMES}
    arrays.save(tmp_path / "a", saved)
    loaded = arrays.load(tmp_path / "a")
    assert list(loaded) == NAMES
    for name, array in loaded.items():
        assert arrays.dtype_name(array.dtype) == name
        assert array.dtype == saved[name].dtype
        assert array.tolist() == saved[name].tolist() or array.tobytes() == saved[name].tobytes()
        assert arrays.row(array) == arrays.row(saved[name])
        assert arrays.row(array)["shape"] == [2, 3]


@pytest.mark.tensorflow
def test_dtypes_are_those_of_tensorflow() -> None:
    import tensorflow as tf

    for name in NAMES:
        assert arrays.numpy_dtype(name) == np.dtype(tf.as_dtype(name).as_numpy_dtype)


def test_shapes_come_back(tmp_path: Path) -> None:
    saved = {
        "scalar": np.array(1.5, np.float32),
        "scalar string": np.array(b"a", dtype=object),
        "empty": np.zeros((0, 3), np.int32),
        "no strings": np.zeros((2, 0), dtype=object),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["é", "b"]),
    }
    arrays.save(tmp_path / "a", saved)
    loaded = arrays.load(tmp_path / "a")
    assert {name: a.shape for name, a in loaded.items()} == {n: a.shape for n, a in saved.items()}
    assert loaded["columns"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["scalar string"][()] == b"a"
    assert loaded["text"].tolist() == ["é".encode(), b"b"]
    loaded["scalar"] += 1  # it can be written to


def test_sign_of_small_integers_comes_back(tmp_path: Path) -> None:
    saved = {name: np.array([-2, -1, 0, 1]).astype(name) for name in ("int4", "int2")}
    arrays.save(tmp_path / "a", saved)
    for array in arrays.load(tmp_path / "a").values():
        assert array.astype(int).tolist() == [-2, -1, 0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array(0.0), np.array(-0.0)),
        (np.array(1.0), np.array(1.0, np.float32)),
        (np.zeros(3), np.zeros((3, 1))),
        (np.array([0x7FC00000], "u4").view("f4"), np.array([0x7FC00001], "u4").view("f4")),
        (np.array([b"ab", b"c"], object), np.array([b"a", b"bc"], object)),
        (np.array([1], "i1"), np.array([(1,)], arrays.numpy_dtype("qint8"))),
    ],
    ids=["-0.0", "dtype", "shape", "nan", "strings", "quantised"],
)
def test_digests_that_differ(one: Any, other: Any) -> None:
    assert arrays.row(one) != arrays.row(other)


def test_digests_that_do_not_differ() -> None:
    nan = np.array([np.nan])
    assert arrays.row(nan) == arrays.row(nan.copy())
    assert (
        arrays.row(np.array([1, 2], ">i4"))["sha256"]
        == arrays.row(np.array([1, 2]).astype("<i4"))["sha256"]
    )
    assert arrays.row(np.array(["é"])) == arrays.row(np.array(["é".encode()], object))
    # The high bits of a byte with a number of four bits are nothing.
    low, high = (np.array([b], "u1").view(ml_dtypes.uint4) for b in (0x05, 0xF5))
    assert arrays.row(low) == arrays.row(high)


@pytest.mark.parametrize("name", ["resource", "variant", "nothing", "f4", "float128", "finfo"])
def test_no_dtype(name: str) -> None:
    with pytest.raises(TypeError, match=f"no arrays of dtype {name}"):
        arrays.numpy_dtype(name)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    arrays.save(path, {"x": np.arange(3), "s": np.array([b"ab", b"c"], object)})
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"no file of arrays|ends too early"):
            arrays.load(path)


def test_only_strings_are_strings(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="bytes or text, not int"):
        arrays.save(tmp_path / "a", {"x": np.array([1], dtype=object)})
