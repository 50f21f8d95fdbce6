"""What calls are fed: made arrays, and given ones held against what a call asks for."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from fastsm.proof.child import arrays, given, inputs
from fastsm.proof.child.arrays import numpy_dtype, row

pytestmark = pytest.mark.tensorflow

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int | None, ...] | None


class Spec(NamedTuple):
    alias: str
    role: str | None
    dtype: str
    shape: Shape
    optional: bool = False
    default: Array | None = None


class Call:
    """A call whose ``takes`` says what is wrong with a feed, or ""; ``fed`` is all it was fed."""

    kind = "signature"
    key = "k"

    def __init__(
        self,
        specs: Mapping[str, tuple[str, Shape]],
        takes: Callable[[dict[str, Array]], str | None] = lambda feed: None,
    ) -> None:
        self.inputs = {}
        for name, (dtype, shape) in specs.items():
            alias, _, role = name.rstrip("]").partition("[")
            self.inputs[name] = Spec(alias, role or None, dtype, shape)
        self.takes = takes
        self.fed: list[dict[str, Array]] = []

    def lacking(self, feed: Mapping[str, Array]) -> list[str]:
        return [n for n, spec in self.inputs.items() if n not in feed and not spec.optional]

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        self.fed.append(dict(feed))
        wrong = self.takes(dict(feed))
        if wrong:
            raise ValueError(wrong)
        return {"n": np.array(len(self.fed))}


class Opened(NamedTuple):
    path: str = "/nowhere"
    tags: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no model to look for ops in."""
    text = inputs.Text("words", lambda *_: b"word")
    monkeypatch.setattr(inputs, "texts_of", lambda *_: [text])


def sets(call: Call, opened: Opened | None = None, **want: Any) -> list[inputs.InputSet]:
    return list(inputs.sets_of(call, want, opened or Opened()))


def shapes(found: inputs.InputSet) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in found.feed.items()}


# -- made ------------------------------------------------------------------------------


def test_unknown_dimensions_are_one_and_then_three() -> None:
    found = sets(Call({"x": ("float32", (None, 4)), "y": ("int64", (None, None)),
                       "z": ("string", None), "c": ("float32", (2,))}))  # fmt: skip
    assert [f.how for f in found] == ["made: unknown dimensions 1", "made: unknown dimensions 3"]
    for n, f in zip((1, 3), found, strict=True):
        assert shapes(f) == {"x": (n, 4), "y": (n, n), "z": (n,), "c": (2,)}
        assert f.error is None and f.outputs is not None


def test_known_dimensions_make_one_set() -> None:
    assert [f.how for f in sets(Call({"x": ("float32", (2, 3))}))] == ["made"]
    assert [f.feed for f in sets(Call({}))] == [{}]


def test_a_flag_is_off_and_on() -> None:
    found = sets(Call({"training": ("bool", ())}))
    assert [f.feed["training"].item() for f in found] == [False, True]
    assert [f.how for f in found] == ["made: flags off", "made: flags on"]
    both = sets(Call({"mask": ("bool", (50,))}))[0].feed["mask"]
    assert both.any() and not both.all()


def test_an_integer_by_itself_is_another_in_each_set() -> None:
    call = Call({"branch": ("int32", ()), "x": ("float32", (3,))})
    found = sets(call)
    assert [f.feed["branch"].item() for f in found] == [1, 2, 0]
    assert [f.how for f in found] == [f"made: lone integers {n}" for n in (1, 2, 0)]
    assert len({row(f.feed["x"])["sha256"] for f in found}) == 3
    # That there is none of zero is no finding, if it runs on others.
    call = Call({"k": ("int32", ())}, lambda feed: None if feed["k"] else "k must be positive")
    assert [f.error for f in sets(call)] == [None, None]


def test_values_follow_from_seed_name_dtype_and_shape_alone() -> None:
    alone = sets(Call({"x": ("float32", (2, 3))}))[0].feed["x"]
    among = sets(Call({"a": ("int32", (5,)), "x": ("float32", (2, 3))}))[0].feed["x"]
    assert row(alone) == row(among)
    for other, seed in [({"y": ("float32", (2, 3))}, 0), ({"x": ("float32", (3, 2))}, 0),
                        ({"x": ("float32", (2, 3))}, 1)]:  # fmt: skip
        [made] = sets(Call(other), seed=seed)[0].feed.values()
        assert sorted(made.flat) != sorted(alone.flat)


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "bfloat16", "float8_e5m2", "float8_e4m3fn",
     "float4_e2m1fn", "complex64", "complex128", "int8", "int16", "int32", "int64", "uint8",
     "uint16", "uint32", "uint64", "int4", "uint4", "int2", "uint2", "qint8", "quint8", "qint16",
     "quint16", "qint32", "bool", "string"],
)  # fmt: skip
def test_every_dtype_is_made(dtype: str) -> None:
    made = sets(Call({"x": (dtype, (40,))}))[0].feed["x"]
    assert made.dtype == numpy_dtype(dtype)
    assert len({element.tobytes() if dtype != "string" else element for element in made}) > 1
    if "int" in dtype:
        [lone, *_] = sets(Call({"x": (dtype, ())}))
        assert lone.feed["x"].dtype == numpy_dtype(dtype) and lone.feed["x"].shape == ()
        plain = made.view(made.dtype[0]) if made.dtype.names else made
        assert plain.astype(int).min() >= 0 and plain.astype(int).max() <= 3


def test_words_are_those_of_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "assets" / "in").mkdir(parents=True)
    (tmp_path / "assets" / "in" / "vocabulary").write_bytes(b"ape\t1\nbee\t2\n" + b"x" * 200)
    made = sets(Call({"x": ("string", (30,))}), Opened(str(tmp_path)))[0].feed["x"]
    assert {word for element in made for word in element.split()} == {b"ape", b"bee"}


@pytest.mark.parametrize("dtype", ["resource", "variant"])
def test_a_handle_cannot_be_made(dtype: str) -> None:
    [found] = sets(Call({"x": (dtype, ())}))
    assert str(found.error) == f"no inputs of dtype {dtype} can be made, which x takes"
    assert isinstance(found.error, inputs.InputError)


def test_what_is_too_large_is_not_made() -> None:
    call = Call({"x": ("float64", (1 << 20, 1 << 20))})
    assert "more than 1 GiB: use --inputs" in str(sets(call)[0].error)
    assert not call.fed


# -- composites ------------------------------------------------------------------------


def test_a_sparse_tensor_is_one() -> None:
    call = Call({"s[indices]": ("int64", (None, 2)), "s[values]": ("float32", (None,)),
                 "s[dense_shape]": ("int64", (2,))})  # fmt: skip
    for f in sets(call):
        n, at, dims = (f.feed[f"s[{part}]"] for part in ("values", "indices", "dense_shape"))
        assert at.shape == (len(n), 2) and (at < dims).all()
        assert at.tolist() == sorted(at.tolist()) and len({tuple(i) for i in at.tolist()}) == len(n)


def test_indexed_slices_are_so() -> None:
    call = Call({"s[values]": ("float32", (None, 4)), "s[indices]": ("int32", (None,)),
                 "s[dense_shape]": ("int32", (2,))})  # fmt: skip
    found = sets(call)[1].feed
    assert found["s[values]"].shape == (3, 4)
    assert found["s[indices]"].tolist() == [0, 1, 2]
    assert found["s[indices]"].dtype == "int32"


def test_a_ragged_tensor_is_one() -> None:
    call = Call({"r[flat_values]": ("string", (None,)), "r[row_splits/0]": ("int64", (None,)),
                 "r[row_splits/1]": ("int32", (None,))})  # fmt: skip
    for n, f in zip((1, 3), sets(call), strict=True):
        outer, inner = f.feed["r[row_splits/0]"], f.feed["r[row_splits/1]"]
        assert len(outer) == n + 1 and len(inner) == outer[-1] + 1
        assert len(f.feed["r[flat_values]"]) == inner[-1]
        for splits in (outer, inner):
            assert splits[0] == 0 and (np.diff(splits) >= 0).all()
    assert inner.dtype == "int32"
    assert len(set(np.diff(outer))) > 1


def test_another_composite_is_not_made() -> None:
    call = Call({"c[0]": ("float32", (None,)), "c[1]": ("float32", (None,))})
    assert "no inputs can be made for a composite" in str(sets(call)[0].error)


# -- the search ------------------------------------------------------------------------


def test_a_size_that_an_error_names_is_tried_first() -> None:
    def takes(feed: dict[str, Array]) -> str | None:
        n = feed["x"].shape[1]
        return None if n == 784 else f"Matrix size-incompatible: In[0]: [1,{n}], In[1]: [784,10]."

    call = Call({"x": ("float32", (None, None))}, takes)
    found = sets(call)
    assert [shapes(f) for f in found] == [{"x": (1, 784)}, {"x": (3, 784)}]
    assert [f.how for f in found] == [
        "made: unknown dimensions 1 and 784", "made: unknown dimensions 3 and 784",
    ]  # fmt: skip
    assert len(call.fed) <= 6


@pytest.mark.parametrize(
    ("specs", "takes", "how"),
    [
        ({"x": ("float32", (None, None, None, 3))}, lambda x: x.shape[1:] == (224, 224, 3),
         "unknown dimensions 1 and 224"),
        ({"x": ("float32", None)}, lambda x: x.ndim == 4, "unknown dimensions 1, rank 4"),
        ({"x": ("int64", (None,))}, lambda x: not x.any(), "unknown dimensions 1, zeros"),
        ({"x": ("float32", (None,))}, lambda x: (x == 1).all(), "unknown dimensions 1, ones"),
        ({"x": ("float32", (9,))}, lambda x: (x > 0).all(), "ones"),
        ({"x": ("float32", (9,))}, lambda x: len(set(x)) == 9 and (x > 0).all(), "fractions"),
    ],
)  # fmt: skip
def test_others_are_tried_until_one_runs(
    specs: Any, takes: Callable[[Array], bool], how: str
) -> None:
    call = Call(specs, lambda feed: None if takes(feed["x"]) else "no")
    first = sets(call)[0]
    assert first.error is None
    assert first.how == f"made: {how}"
    assert takes(first.feed["x"])


def test_plain_inputs_may_be_the_parts_of_a_composite() -> None:
    def takes(feed: dict[str, Array]) -> str | None:
        splits = feed["r_1"]
        whole = (
            len(splits) == len(feed["r"]) + 1
            and splits[0] == 0
            and splits[-1] == len(feed["r"])
            and (np.diff(splits) >= 0).all()
        )
        return None if whole else "no row splits"

    found = sets(Call({"r": ("float32", (None,)), "r_1": ("int64", (None,))}, takes))
    assert [f.error for f in found] == [None, None]
    assert found[1].how == "made: unknown dimensions 3, parts of a ragged tensor"


def test_where_nothing_runs_it_is_the_first_error() -> None:
    call = Call({"x": ("float32", (None, None))}, lambda feed: f"no {len(feed['x'])}")
    first, second = sets(call)
    assert (str(first.error), str(second.error)) == ("no 1", "no 3")
    assert first.outputs is None and shapes(first) == {"x": (1, 1)}
    assert inputs.MAX_TRIES / 4 < len(call.fed) <= 2 * inputs.MAX_TRIES + 2
    assert max(feed["x"].size for feed in call.fed) <= inputs.MAX_ELEMENTS
    assert len({row(feed["x"])["sha256"] for feed in call.fed}) > len(call.fed) / 2


def test_where_no_input_helps_none_is_tried() -> None:
    call = Call({"x": ("float32", (None,))}, lambda _: "No OpKernel was registered to support Op")
    assert [f.error is None for f in sets(call)] == [False, False]
    assert len(call.fed) == 2


def test_sets_that_are_the_same_are_one() -> None:
    """Three rows are no other set where only two run."""
    call = Call({"x": ("int64", (None,))}, lambda f: None if len(f["x"]) == 2 else "want 2")
    assert [shapes(f) for f in sets(call)] == [{"x": (2,)}]


# -- given -----------------------------------------------------------------------------


def npz(folder: Path, **kept: Any) -> str:
    path = folder / "given.npz"
    np.savez(path, **kept)
    return str(path)


def test_given_inputs_are_the_only_set(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.ones((5, 2), np.float32), y=np.array([1, 2]))
    call = Call({"x": ("float32", (None, 2)), "y": ("int64", (None,))})
    [found] = sets(call, inputs=path)
    assert found.how == "given"
    assert shapes(found) == {"x": (5, 2), "y": (2,)}


def test_inputs_that_are_not_given_are_made_with_as_many_rows(tmp_path: Path) -> None:
    call = Call({"x": ("float32", (None,)), "y": ("int64", (None, 3))})
    path = npz(tmp_path, x=np.ones(5, np.float32))
    for found in sets(call, inputs=path):
        assert found.how.startswith("made: but for x")
        assert shapes(found) == {"x": (5,), "y": (5, 3)}
    [refused] = sets(call, inputs=path, made=False)
    assert str(refused.error) == "no values for y"


def test_inputs_with_a_default_are_left_out_once(tmp_path: Path) -> None:
    call = Call({"x": ("float32", (2,)), "scale": ("float32", ()), "base": ("float32", ())})
    two = np.array(2, np.float32)
    call.inputs["scale"] = call.inputs["scale"]._replace(optional=True)
    call.inputs["base"] = call.inputs["base"]._replace(default=two)
    made, without = sets(call)
    assert made.feed.keys() == call.inputs.keys() and made.feed["base"] != two
    assert without.how == "made, defaults of base, scale"
    assert without.feed.keys() == {"x", "base"} and without.feed["base"] == two
    path = npz(tmp_path, x=np.ones(2))
    [given] = sets(call, inputs=path)
    assert given.how == "given" and given.feed.keys() == {"x", "base"}
    [given] = sets(call, inputs=path, made=False)
    assert given.error is None and given.feed["base"] == two


def test_a_name_may_say_of_which_signature(tmp_path: Path) -> None:
    path = npz(tmp_path, **{"k/x": np.array([7.0]), "x": np.array([1.0]), "other/x": np.zeros(1)})
    [found] = sets(Call({"x": ("float64", (None,))}), inputs=path)
    assert found.feed["x"].tolist() == [7.0]


def test_a_file_of_arrays_can_be_given(tmp_path: Path) -> None:
    arrays.save(tmp_path / "a", {"x": np.array([b"z\0"], object)})
    [found] = sets(Call({"x": ("string", (None,))}), inputs=str(tmp_path / "a"))
    assert found.feed["x"].tolist() == [b"z\0"]


@pytest.mark.parametrize(
    ("array", "dtype", "fitted"),
    [
        (np.array([1.5]), "float32", [1.5]),
        (np.array([0.1]), "bfloat16", None),
        (np.array([1, 2]), "uint8", [1, 2]),
        (np.array([1, 2]), "float32", [1.0, 2.0]),
        (np.array([1, 2]), "bfloat16", [1.0, 2.0]),
        (np.array([1, 2]), "complex64", [1, 2]),
        (np.array([1, 7]), "int4", None),
        (np.array([1.0]), "complex64", [1 + 0j]),
        (np.array([np.inf, np.nan]), "float16", None),
        (np.array(["é", "b"]), "string", ["é".encode(), b"b"]),
        (np.array([b"a", b"bc"]), "string", [b"a", b"bc"]),
        (np.array([b"a\0", b"b\0"], "V2"), "string", [b"a\0", b"b\0"]),
        (np.array([1, 2], "i1"), "qint8", None),
        (np.array([1, 2], ">i4"), "int32", [1, 2]),
    ],
)
def test_what_fits(array: Any, dtype: str, fitted: Any, tmp_path: Path) -> None:
    call = Call({"x": (dtype, (None,))})
    [found] = sets(call, inputs=npz(tmp_path, x=array))
    assert found.error is None
    assert found.feed["x"].dtype == numpy_dtype(dtype)
    if fitted is not None:
        assert found.feed["x"].tolist() == fitted


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e5m2", "int4", "qint8"])
def test_dtypes_that_an_npz_has_no_name_for(dtype: str, tmp_path: Path) -> None:
    array = sets(Call({"x": (dtype, (6,))}))[0].feed["x"]
    # What numpy writes of float8_e5m2 it does not read.
    kept = array.view("V1") if dtype == "float8_e5m2" else array
    [found] = sets(Call({"x": (dtype, (6,))}), inputs=npz(tmp_path, x=kept))
    assert row(found.feed["x"]) == row(array)


@pytest.mark.parametrize(
    ("array", "dtype", "text"),
    [
        (np.array([1.5]), "int32", "x is float64, and the model takes int32"),
        (np.array([300]), "uint8", "x is int64 with values that uint8 cannot hold"),
        (np.array([-1]), "uint64", "x is int64 with values that uint64 cannot hold"),
        (np.array([(1 << 53) + 1]), "float64", "x is int64 with values that float64 cannot hold"),
        (np.array([257]), "bfloat16", "x is int64 with values that bfloat16 cannot hold"),
        (np.array([8]), "int4", "x is int64 with values that int4 cannot hold"),
        (np.array([1e300]), "float32", "x is float64 with values that float32 cannot hold"),
        (np.array([1]), "bool", "x is int64, and the model takes bool"),
        (np.array([True]), "int32", "x is bool, and the model takes int32"),
        (np.array([1]), "string", "x is int64, and the model takes string"),
        (np.array(["a"]), "float32", "x is string, and the model takes float32"),
        (np.array([1j]), "float32", "x is complex128, and the model takes float32"),
        (np.array([[1.0]]), "float64", "x has shape [1, 1], and the model takes [?]"),
        (np.array(1.0), "float64", "x has shape [], and the model takes [?]"),
        (np.array([1], "M8[s]"), "int64", "x is datetime64[s], and the model takes int64"),
        (np.array([1]), "resource", "x: no array can be given of dtype resource"),
        (np.array([(1, 2)], "i4,i4"), "int64", "x is void64, and the model takes int64"),
    ],
)
def test_what_does_not_fit(array: Any, dtype: str, text: str, tmp_path: Path) -> None:
    call = Call({"x": (dtype, (None,))})
    [found] = sets(call, inputs=npz(tmp_path, x=array))
    assert isinstance(found.error, inputs.InputError)
    assert str(found.error) == text
    assert not call.fed


class Evil:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    path = npz(tmp_path, x=np.array([Evil(trap)], dtype=object))
    with pytest.raises(given.Unfitting, match="never unpickled"):
        given.arrays(path)
    pickled = io.BytesIO()
    np.save(pickled, np.array([Evil(trap)], dtype=object))
    (tmp_path / "bare.npz").write_bytes(pickled.getvalue()[128:])
    with pytest.raises(given.Unfitting, match="no npz file"):
        given.arrays(str(tmp_path / "bare.npz"))
    assert not trap.exists()


def test_what_is_no_npz(tmp_path: Path) -> None:
    whole = Path(npz(tmp_path, x=np.arange(50))).read_bytes()
    for n in [0, 1, 10, 100, 200, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "cut.npz").write_bytes(whole[:n])
        with pytest.raises(given.Unfitting):
            given.arrays(str(tmp_path / "cut.npz"))
    np.save(tmp_path / "one.npy", np.arange(3))
    with pytest.raises(given.Unfitting, match="one array"):
        given.arrays(str(tmp_path / "one.npy"))
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("x.txt", "hello")
    with pytest.raises(given.Unfitting, match=r"x\.txt is no array"):
        given.arrays(str(tmp_path / "text.npz"))
    flipped = bytearray(whole)
    flipped[180] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    with pytest.raises(given.Unfitting, match="CRC"):
        given.arrays(str(tmp_path / "flipped.npz"))
