"""The tensors of a checkpoint: every value as TensorFlow reads it, and what it cannot read."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm.bundle.opened import Bundle
from fastsm.bundle.variables import Variable, Variables
from fastsm.errors import (
    BackendMissingError,
    FormatError,
    MissingError,
    UnsupportedError,
    UsageError,
)

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT, Oracle, Tensor
from .test_opened import header, table
from .wire import delimited, integer, tag, varint

RANKER = str(ROOT / "examples" / "ranker" / "1")
WEIGHT = "_all_variables/2/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def of(prefix: str | os.PathLike[str]) -> Variables:
    return Variables(Bundle.open(os.fspath(prefix)))


def digest(value: np.ndarray[Any, Any]) -> str:
    """As the oracle's."""
    if value.dtype == object:
        data = b"".join(len(e).to_bytes(8, "little") + e for e in value.flat)
    else:
        data = np.ascontiguousarray(value).tobytes()
    return hashlib.sha256(data).hexdigest()


def check_all(variables: Variables, want: dict[str, Tensor]) -> int:
    """All that TensorFlow lists is there, and what it reads is the same; how much that is."""
    assert set(variables) == set(want) - {GRAPH}
    n = 0
    for key, tensor in want.items():
        if key == GRAPH:
            continue
        variable = variables[key]
        array = variable.numpy()
        assert array.shape == tensor.shape == variable.shape
        assert not array.flags.writeable
        variable.check()
        if tensor.sha256:
            assert digest(array) == tensor.sha256, key
            assert digest(variable.numpy(copy=True)) == tensor.sha256, key
            n += 1
        if variable.shape and variable.dtype not in ("string", "variant"):
            assert variable.bytes() == array.tobytes()
            half = slice(variable.shape[0] // 2, None)
            assert variable.read(half).tobytes() == array[half].tobytes()
    return n


# -- as TensorFlow reads them ----------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"no_meta_graphs"}))  # not one to open
def test_values_are_tensorflows(name: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name)
    variables = fastsm.open(path).variables
    if not (path / "variables" / "variables.index").exists():
        assert len(variables) == 0
        return
    check_all(variables, oracle.tensors(path))


def test_values_of_the_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    prefix = corpus_model.path / "variables" / "variables"
    if not Path(f"{prefix}.index").exists():
        return
    bundle = Bundle.open(str(prefix))
    if any(not os.path.exists(bundle.shard_path(i)) for i in bundle.index.shards()):
        pytest.skip("its shards are not in the corpus")
    want = oracle.tensors(corpus_model.path)
    assert check_all(Variables(bundle), want) == len(set(want) - {GRAPH})


def test_values_of_checkpoints_of_the_corpus(
    corpus_checkpoint: CorpusEntry, oracle: Oracle
) -> None:
    if Path(f"{corpus_checkpoint.path}.index").exists():
        want = oracle.tensors(corpus_checkpoint.path)
        assert check_all(of(corpus_checkpoint.path), want) == len(set(want) - {GRAPH})


def test_every_dtype(oracle: Oracle, tmp_path: Path) -> None:
    values = oracle.save_dtypes(tmp_path / "all")
    want = oracle.tensors(tmp_path / "all")
    variables = of(tmp_path / "all")
    assert set(variables) == set(values)
    for name, numbers in values.items():
        variable = variables[name]
        array = variable.numpy()
        assert variable.dtype == name
        assert digest(array) == want[name].sha256
        variable.check()
        if numbers is not None:
            assert array.astype(np.complex128).tolist() == numbers
            assert variable.read(slice(1, None)).tolist() == array[1:].tolist()
    assert variables["qint32"].numpy().dtype == np.int32
    assert variables["string"].read(slice(1, 2)).tolist() == [[b"\xff\0", b"x" * 300]]


#: dtypes that TensorFlow saves in slices; of some of them it cannot put slices together.
SLICED = ["float32", "float64", "int32", "bool", "bfloat16", "int4", "complex64",
          "float16", "uint16", "uint32", "uint64", "string"]  # fmt: skip


@pytest.mark.parametrize("dtype", SLICED)
def test_partitioned_in_every_dtype(dtype: str, oracle: Oracle, tmp_path: Path) -> None:
    how = {
        "rows": [dtype, [4, 6], ["4 6 0,1:-", "4 6 1,3:-"]],
        "columns": [dtype, [4, 6], ["4 6 -:0,2", "4 6 -:2,4"]],
        "blocks": [dtype, [3, 2, 2], ["3 2 2 0,2:0,1:-", "3 2 2 0,2:1,1:-", "3 2 2 2,1:-:-"]],
        "explicit": [dtype, [4], ["4 0,3", "4 3,1"]],
        "odd/ÿ": [dtype, [2], ["2 0,1", "2 1,1"]],
    }
    oracle.save_slices(tmp_path / "cut", how)
    variables = of(tmp_path / "cut")
    assert set(variables) == set(how)
    want = oracle.tensors(tmp_path / "cut")
    for key, (_, shape, slices) in how.items():
        n = int(np.prod(shape))
        counted = np.arange(n).reshape(shape)
        variable = variables[key]
        assert len(variable.slices) == len(slices) and variable.is_partitioned
        assert variable.shard is None and variable.offset is None and variable.crc32c is None
        array = variable.numpy()
        if dtype == "string":
            counted = np.array([str(i).encode() for i in range(n)], object).reshape(shape)
            with pytest.raises(UnsupportedError, match="no bytes in one piece"):
                variable.bytes()
        else:
            counted = counted.astype(array.dtype)
            assert variable.bytes() == counted.tobytes()
        assert array.dtype == counted.dtype and (array == counted).all()
        variable.check()
        if want[key].sha256:
            assert digest(array) == want[key].sha256
        for start in range(shape[0] + 1):
            for stop in range(shape[0] + 1):
                rows = variable.read(slice(start, stop))
                assert rows.shape == counted[start:stop].shape
                assert (rows == counted[start:stop]).all()
    unread = {k for k, tensor in want.items() if not tensor.sha256}
    cannot = dtype in ("float16", "uint16", "uint32", "uint64", "string")
    assert unread == (set(how) if cannot else set())


@pytest.mark.tensorflow
def test_variants_are_those_that_tensorflow_restores(oracle: Oracle, tmp_path: Path) -> None:
    """RestoreV2 makes lists of the bytes, and serialises them anew: to the bytes read here."""
    keys = oracle.save_variants(tmp_path / "v")
    variables = of(tmp_path / "v")
    for key, (shape, content) in oracle.variants(tmp_path / "v", keys).items():
        value = variables[key].numpy()
        messages = value.reshape(-1).tolist()
        lengths = b"".join(varint(len(m)) for m in messages)
        assert value.shape == shape and content == lengths + b"".join(messages), key
        variables[key].check()
    assert variables["several"].numpy().shape == (3,)


def test_variants_are_their_messages(model: ModelFactory) -> None:
    variable = fastsm.open(model("tensor_list")).variables["rows/.ATTRIBUTES/VARIABLE_VALUE"]
    value = variable.numpy()[()]
    assert variable.dtype == "variant" and variable.shape == ()
    assert value.startswith(delimited(1, "tensorflow::TensorList"))
    variable.check()


# -- the mapping -----------------------------------------------------------------------


def test_a_mapping_by_key() -> None:
    variables = fastsm.open(RANKER).variables
    assert repr(variables) == "<Variables: 6 tensors>"
    assert len(variables) == 6 and list(variables) == sorted(variables)
    assert GRAPH not in variables and variables.get("nope") is None
    assert variables.object_graph is not None
    variable = variables[WEIGHT]
    assert isinstance(variable, Variable)
    assert repr(variable) == f"<Variable {WEIGHT}: float32[100, 8]>"
    assert (variable.dtype, variable.shape, variable.nbytes) == ("float32", (100, 8), 3200)
    assert (variable.shard, variable.shards, variable.slices) == (0, [0], [])
    assert variables.by_size()[:2] == [WEIGHT, "variables/2/.ATTRIBUTES/VARIABLE_VALUE"]
    assert [v.key for v in variables.values()] == list(variables)
    assert (variable.name, variable.group) == ("traits/embeddings", "weights")
    assert variable.object_path == "_all_variables[2]" and list(variables.named) == list(variables)


def test_a_key_that_is_not_there() -> None:
    variables = fastsm.open(RANKER).variables
    with pytest.raises(MissingError) as caught:
        variables["_all_variables/2/.ATTRIBUTES/VARIABLE_VALU"]
    assert str(caught.value) == (
        f"{RANKER}: no variable has the key _all_variables/2/.ATTRIBUTES/VARIABLE_VALU; "
        f"there are 6\n  Did you mean {WEIGHT}?"
    )


def test_a_model_without_variables_has_none(model: ModelFactory) -> None:
    variables = Variables(None)
    assert len(variables) == 0 and list(variables) == [] and "x" not in variables
    assert variables.object_graph is None and variables.by_size() == []
    assert variables.named == {}
    with pytest.raises(MissingError, match="there are 0"):
        variables["x"]


def test_damage_is_told_with_a_key_that_may_be_lost(model_copy: ModelFactory) -> None:
    path = model_copy("many_variables")
    file = path / "variables" / "variables.index"
    keys = list(fastsm.open(path).variables)
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(data)
    variables = fastsm.open(path).variables
    with pytest.raises(MissingError, match="the index is damaged and may have lost it"):
        for key in keys:
            variables[key]


# -- the arrays ------------------------------------------------------------------------


def test_arrays_lie_in_the_file() -> None:
    variable = fastsm.open(RANKER).variables[WEIGHT]
    array = variable.numpy()
    assert not array.flags.owndata and not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    copied = variable.numpy(copy=True)
    copied[0, 0] += 1
    assert (array[1:] == copied[1:]).all() and array[0, 0] != copied[0, 0]


def test_an_array_outlives_the_model() -> None:
    array = fastsm.open(RANKER).variables[WEIGHT].numpy()
    assert np.isfinite(array).all()


def entry(
    dtype: int, shape: tuple[int, ...], size: int, *, offset: int = 0, shard: int = 0, crc: int = 0,
    slices: list[bytes] | None = None,
) -> bytes:  # fmt: skip
    dims = [delimited(2, integer(1, d)) for d in shape]
    fields = integer(1, dtype) + delimited(2, *dims) + integer(3, shard) + integer(4, offset)
    fields += integer(5, size) + tag(6, 5) + crc.to_bytes(4, "little")
    return fields + b"".join(delimited(7, s) for s in slices or [])


def extents(*pairs: tuple[int, int] | None) -> bytes:
    """A TensorSliceProto."""
    return b"".join(
        delimited(1) if p is None else delimited(1, integer(1, p[0]), integer(2, p[1]))
        for p in pairs
    )


def made(folder: Path, data: bytes, *entries: tuple[bytes, bytes]) -> Variables:
    """A checkpoint of one shard, entries in the order given."""
    (folder / "b.index").write_bytes(table((b"", header()), *entries))
    (folder / "b.data-00000-of-00001").write_bytes(data)
    return of(folder / "b")


def test_unaligned_bytes_are_copied(tmp_path: Path) -> None:
    data = b"x" + np.arange(3.0).tobytes()
    variables = made(tmp_path, data, (b"a", entry(2, (3,), 24, offset=1)))
    array = variables["a"].numpy()
    assert array.tolist() == [0, 1, 2] and array.flags.aligned and not array.flags.writeable


def test_bools_are_bools(tmp_path: Path) -> None:
    variables = made(tmp_path, b"\0\1\2\xff", (b"a", entry(10, (4,), 4)))
    for array in (variables["a"].numpy(), variables["a"].numpy(copy=True)):
        assert array.tolist() == [False, True, True, True]
        assert set(array.tobytes()) <= {0, 1}


def test_rows(tmp_path: Path) -> None:
    values = np.arange(12, dtype="<f4").reshape(4, 3)
    variables = made(
        tmp_path, values.tobytes(), (b"a", entry(1, (4, 3), 48)), (b"s", entry(1, (), 4))
    )
    variable = variables["a"]
    assert (variable.read(slice(1, 3)) == values[1:3]).all()
    assert (variable.read(slice(-1, None)) == values[-1:]).all()
    assert variable.read(slice(3, 1)).shape == (0, 3)
    with pytest.raises(UsageError, match="without a step"):
        variable.read(slice(0, 4, 2))
    with pytest.raises(UsageError, match="without a step"):
        variable.read(1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="s is a scalar: it has no rows"):
        variables["s"].read(slice(0, 1))


def test_rows_of_a_huge_tensor_cost_what_they_are(tmp_path: Path) -> None:
    """1 TB, most of it a hole in the file."""
    n = 1 << 28
    folder = tmp_path
    (folder / "b.index").write_bytes(table((b"", header()), (b"a", entry(1, (n, 1024), n << 12))))
    with open(folder / "b.data-00000-of-00001", "wb") as f:
        f.seek(((n - 2) << 12) + 4)
        f.write(np.float32(7).tobytes())
        f.truncate(n << 12)
    variable = of(folder / "b")["a"]
    rows = variable.read(slice(n - 2, n - 1))
    assert rows.shape == (1, 1024) and rows[0, 1] == 7
    assert variable.numpy()[n - 2, 1] == 7


# -- what does not fit -----------------------------------------------------------------

VALUES = np.arange(12, dtype="<f4").tobytes()

MISFITS = {
    "dtype 0": (entry(0, (12,), 48), r"a: has invalid, which no tensor"),
    "dtype 99": (entry(99, (12,), 48), r"a: has dtype 99, which no tensor"),
    "ref": (entry(101, (12,), 48), r"a: has float32_ref, which no tensor"),
    "resource": (entry(20, (), 48), r"a: has resource, which no tensor"),
    "negative": (entry(1, (-12,), 48), r"a: has no possible shape: float32\[-12\]"),
    "overflow": (entry(1, (1 << 62, 1 << 62), 48), r"a: stored size is 48 bytes, but float32"),
    "huge": (entry(1, (1 << 40,), 48), r"takes 4,398,046,511,104$"),
    "size + 1": (entry(1, (12,), 49), r"stored size is 49 bytes, but float32\[12\] takes 48$"),
    "size - 1": (entry(1, (12,), 47), r"stored size is 47 bytes"),
    "negative size": (entry(1, (12,), -48), r"stored size is -48 bytes"),
    "offset past": (entry(1, (12,), 48, offset=4), r"ends at byte 48; a is said to be at 4\.\.52"),
    "offset huge": (entry(1, (12,), 48, offset=1 << 62), r"ends at byte 48"),
    "offset negative": (entry(1, (12,), 48, offset=-8), r"a is said to be at -8\.\.40"),
    "strings": (entry(7, (2,), 48), r"its elements do not fit its 48 bytes"),
    "too many strings": (entry(7, (1 << 40,), 48), r"stored size is 48 bytes, for 1,099"),
    "variants": (entry(21, (3,), 12), r"its elements do not fit its 12 bytes"),
    "unknown rank": (
        integer(1, 1) + delimited(2, integer(3, 1)) + integer(5, 48),
        r"a: has no possible shape: float32\[\.\.\.\]",
    ),
}  # fmt: skip

READERS: list[Callable[[Variable], object]] = [
    lambda v: v.numpy(), lambda v: v.numpy(copy=True), lambda v: v.check(),
]  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_entries_that_do_not_fit(name: str, tmp_path: Path) -> None:
    stored, text = MISFITS[name]
    data = VALUES if "string" not in name else b"\xff" * 48
    variable = made(tmp_path, data, (b"a", stored))["a"]
    for read in READERS[:2]:
        with pytest.raises(FormatError, match=text):
            read(variable)
    with pytest.raises(FormatError):
        variable.check()
    assert variable.to_dict()["key"] == "a"


def test_more_dimensions_than_numpy_has(tmp_path: Path) -> None:
    variables = made(tmp_path, b"\0" * 4, (b"a", entry(1, (1,) * 100, 4)))
    for read in READERS[:2]:
        with pytest.raises(UnsupportedError, match="a: numpy has no arrays of this shape"):
            read(variables["a"])


def test_an_absurd_empty_tensor(tmp_path: Path) -> None:
    variables = made(tmp_path, b"", (b"a", entry(1, (1 << 62, 1 << 62, 0), 0)))
    with pytest.raises(UnsupportedError, match="a: numpy has no arrays of this shape"):
        variables["a"].numpy()


def test_an_empty_tensor(tmp_path: Path) -> None:
    variables = made(
        tmp_path, b"crc!", (b"a", entry(1, (0, 4), 0)), (b"s", entry(7, (0,), 4))
    )
    assert variables["a"].numpy().shape == (0, 4)
    assert variables["a"].read(slice(0, 0)).shape == (0, 4)
    assert variables["s"].numpy().shape == (0,)


def test_a_shard_that_is_not_there(tmp_path: Path) -> None:
    variable = made(tmp_path, VALUES, (b"a", entry(1, (12,), 48, shard=3)))["a"]
    for read in READERS:
        with pytest.raises(MissingError, match=r"b\.data-00003-of-00001: there is nothing here"):
            read(variable)


def test_a_flipped_bit_is_found_by_check_alone(tmp_path: Path) -> None:
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(f"{RANKER}/variables/variables{suffix}", tmp_path)
    data = tmp_path / "variables.data-00000-of-00001"
    variable = of(tmp_path / "variables")[WEIGHT]
    variable.check()
    flipped = bytearray(data.read_bytes())
    assert variable.offset is not None
    flipped[variable.offset + 5] ^= 1
    data.write_bytes(flipped)
    variable = of(tmp_path / "variables")[WEIGHT]
    variable.numpy()
    with pytest.raises(FormatError, match=r"the checksum does not match: stored 0x[0-9a-f]{8}"):
        variable.check()


def test_a_shard_cut_while_it_is_open(tmp_path: Path) -> None:
    variables = made(tmp_path, VALUES, (b"a", entry(1, (12,), 48)), (b"b", entry(1, (12,), 48)))
    data = tmp_path / "b.data-00000-of-00001"
    assert variables["a"].shard == 0 and variables.shard(0).size == 48
    data.write_bytes(VALUES[:8])
    with pytest.raises(FormatError, match="became shorter while it was read"):
        variables["a"].numpy(copy=True)
    with pytest.raises(FormatError, match="became shorter while it was read"):
        variables["b"].numpy()


def test_big_endian_is_refused_but_listed(tmp_path: Path) -> None:
    (tmp_path / "b.index").write_bytes(
        table((b"", header(endianness=1)), (b"a", entry(1, (12,), 48)))
    )
    (tmp_path / "b.data-00000-of-00001").write_bytes(VALUES)
    variables = of(tmp_path / "b")
    assert variables["a"].spec() == "float32[12]"
    for read in READERS:
        with pytest.raises(UnsupportedError, match="big-endian"):
            read(variables["a"])


@pytest.mark.parametrize("dtype", [14, 24, 29, 33])
def test_without_ml_dtypes(
    dtype: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    size = 2 if dtype == 14 else 1
    variables = made(tmp_path, b"\0\0", (b"a", entry(dtype, (1,), size)))
    with pytest.raises(BackendMissingError) as caught:
        variables["a"].numpy()
    name = variables["a"].dtype
    assert str(caught.value) == (
        f"{tmp_path}/b: a is {name}, which numpy has not by itself\n  pip install 'fastsm[dtypes]'"
    )
    assert variables["a"].bytes() == b"\0" * size


# -- slices that do not fit ------------------------------------------------------------


def sliced(folder: Path, *parts: tuple[tuple[int, int] | None, int], n: int = 4) -> Variable:
    """float32[n] of slices ((start, length), offset); the whole shard is 48 bytes."""
    from fastsm import _core

    slices = [extents(p) for p, _ in parts]
    rows = {b"w": entry(1, (n,), 0, slices=slices)}
    for p, offset in parts:
        start, length = p or (0, -1)
        key = _core.slice_key(b"w", [(start, length)])
        size = n if p is None else length
        rows[key] = entry(1, (size,), 4 * size, offset=offset)
    return made(folder, VALUES, *sorted(rows.items()))["w"]


def test_slices_that_fit(tmp_path: Path) -> None:
    variable = sliced(tmp_path, ((2, 2), 0), ((0, 2), 8))
    assert variable.numpy().tolist() == [2, 3, 0, 1]
    assert variable.nbytes == 16 and variable.shards == [0]
    assert variable.to_dict()["slices"][0]["extents"] == [[2, 2]]
    assert repr(variable.slices[0]) == "Slice([2:4], shard=0, offset=0)"
    assert sliced(tmp_path, (None, 4)).numpy().tolist() == [1, 2, 3, 4]
    # the same bytes twice, as after sharing
    assert sliced(tmp_path, ((2, 2), 4), ((0, 2), 4)).numpy().tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([((0, 2), 0)], r"its slices do not cover float32\[4\] once"),
        ([((0, 2), 0), ((2, 2), 0), ((1, 1), 0)], "do not cover .* once"),
        ([((0, 2), 0), ((1, 2), 0)], r"its slice \[1:3\] overlaps another"),
        ([((0, 5), 0)], r"its slice \[0:5\] is not within float32\[4\]"),
        ([((-1, 5), 0)], "is not within"),
        ([((1 << 62, 2), 0), ((0, 4), 0)], "is not within"),
        ([((0, 2), 0), ((2, 2), 44)], r"ends at byte 48; w is said to be at 44\.\.52"),
    ],
)
def test_slices_that_do_not(parts: list[Any], text: str, tmp_path: Path) -> None:
    variable = sliced(tmp_path, *parts)
    with pytest.raises(FormatError, match=text):
        variable.numpy()


def test_a_slice_that_is_not_stored(tmp_path: Path) -> None:
    variables = made(tmp_path, VALUES, (b"w", entry(1, (4,), 0, slices=[extents((0, 4))])))
    with pytest.raises(FormatError, match=r"w: its slice \[0:4\] is not stored"):
        variables["w"].numpy()
    assert variables.by_size() == ["w"]


def test_a_slice_of_another_rank_or_dtype(tmp_path: Path) -> None:
    from fastsm import _core

    key = _core.slice_key(b"w", [(0, 4), (0, 1)])
    stored = entry(1, (4, 1), 16)
    part = extents((0, 4), (0, 1))
    variables = made(
        tmp_path, VALUES, (key, stored), (b"w", entry(1, (4,), 0, slices=[part]))
    )
    with pytest.raises(FormatError, match="has another rank"):
        variables["w"].numpy()
    variables = made(
        tmp_path, VALUES, (key, stored), (b"w", entry(3, (4, 1), 0, slices=[part]))
    )
    with pytest.raises(FormatError, match="is stored as something else"):
        variables["w"].numpy()


def test_slices_that_say_more_than_their_shards_hold(tmp_path: Path) -> None:
    """A thousand slices of one extent: the tensor would be far larger than the file."""
    parts = [((12 * i, 12), 0) for i in range(1000)]
    variable = sliced(tmp_path, *parts, n=12_000)
    with pytest.raises(FormatError, match=r"its slices say 48\.0 kB, of shards that are far"):
        variable.numpy()


def test_a_key_that_begins_with_a_zero_byte_and_is_no_slice(tmp_path: Path) -> None:
    variables = made(tmp_path, VALUES, (b"\0name", entry(1, (12,), 48)), (b"\xff", entry(1, (), 4)))
    assert list(variables) == ["\0name", "\udcff"]
    assert variables["\udcff"].numpy() == 0


@given(st.binary(max_size=80))
def test_hostile_entries(stored: bytes) -> None:
    """Read, or an error of ours."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        for value in (stored, integer(1, 7) + delimited(2) + integer(5, 48) + stored):
            for key, variable in made(Path(folder), VALUES, (b"a", value)).items():
                assert key == "a"
                for read in READERS:
                    try:
                        read(variable)
                    except fastsm.FastsmError:
                        pass


@given(st.binary(min_size=1, max_size=60))
def test_hostile_strings(data: bytes) -> None:
    from tempfile import TemporaryDirectory

    n = len(varint(len(data)))
    with TemporaryDirectory() as folder:
        for number in (7, 21):
            variables = made(Path(folder), data, (b"a", entry(number, (n,), len(data))))
            try:
                assert variables["a"].numpy().shape == (n,)
            except FormatError:
                pass


# -- what listing imports --------------------------------------------------------------


def test_listing_needs_no_numpy() -> None:
    program = (
        "import sys, fastsm\n"
        f"variables = fastsm.open({RANKER!r}).variables\n"
        "assert [v.spec() for v in variables.values()] and variables.by_size()\n"
        "assert variables.object_graph\n"
        "assert not {'numpy', 'ml_dtypes', 'mmap', 'collections'} & set(sys.modules)\n"
        f"variables[{WEIGHT!r}].check()\n"
        "assert 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
