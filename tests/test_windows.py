"""Parts of tensors, read and never mapped: the same values, of bounded memory."""

from __future__ import annotations

import mmap
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm.bundle.variables import Variable
from fastsm.bundle.windows import WINDOW, pick, windows
from fastsm.cli.variables import describe_one, statistics
from fastsm.errors import FormatError, UnsupportedError

from .conftest import ModelFactory
from .oracle import ROOT
from .tables import masked_crc
from .test_opened import header, table
from .test_variables import entry, extents, made, sliced


def test_windows_are_the_values(tmp_path: Path) -> None:
    values = np.arange(WINDOW // 4 + 1000, dtype="<f4")
    n = values.size
    variable = made(tmp_path, values.tobytes(), (b"a", entry(1, (n,), 4 * n)))["a"]
    parts = list(windows(variable))
    assert [p.nbytes for p in parts] == [WINDOW, 4000]
    assert (np.concatenate(parts) == values).all()


def test_windows_of_slices_come_slice_by_slice(tmp_path: Path) -> None:
    variable = sliced(tmp_path, ((2, 2), 0), ((0, 2), 8))
    assert [p.tolist() for p in windows(variable)] == [[0, 1, 2, 3]]
    with pytest.raises(FormatError, match="do not cover"):
        list(windows(sliced(tmp_path, ((0, 2), 0))))


def test_windows_go_on_from_slice_to_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastsm.bundle.windows.WINDOW", 12)
    variable = sliced(tmp_path, ((4, 4), 0), ((0, 4), 16), n=8)
    assert [p.tolist() for p in windows(variable)] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_many_slices_of_one_tensor(tmp_path: Path) -> None:
    """Twenty thousand rows: each is looked at a few times, never by all others."""
    from fastsm import _core

    n = 20_000
    values = np.arange(n * 2, dtype="<f4").reshape(n, 2)
    slices = [extents((i, 1), (0, 2)) for i in range(n)]
    entries = [(b"w", entry(1, (n, 2), 0, slices=slices))]
    for i in range(n):
        key = _core.slice_key(b"w", [(i, 1), (0, 2)])
        crc = masked_crc(values[i].tobytes())
        entries.append((key, entry(1, (1, 2), 8, offset=8 * i, crc=crc)))
    made(tmp_path, values.tobytes(), *sorted(entries))
    start = time.process_time()
    record = describe_one(fastsm.open(tmp_path / "b"), "w")
    assert time.process_time() - start < 5
    assert record["checksum_ok"] is True and record["statistics"]["max"] == 2 * n - 1
    assert record["text"] == np.array2string(
        values, max_line_width=78, threshold=100, separator=", "
    )


def test_strings_have_no_windows(model: ModelFactory) -> None:
    variable = fastsm.open(model("dtypes")).variables["words/.ATTRIBUTES/VARIABLE_VALUE"]
    with pytest.raises(UnsupportedError, match="no elements of one size"):
        list(windows(variable))


@given(st.data(), st.lists(st.integers(0, 6), max_size=4))
def test_what_is_picked_is_numpys(
    tmp_path_factory: pytest.TempPathFactory, data: Any, shape: list[int]
) -> None:
    values = np.arange(int(np.prod(shape)), dtype="<i8").reshape(shape)
    stored = entry(9, tuple(shape), values.nbytes, offset=1)
    variable = made(tmp_path_factory.getbasetemp(), b"x" + values.tobytes(), (b"a", stored))["a"]
    indices = [
        sorted(data.draw(st.sets(st.integers(0, dim - 1)) if dim else st.just(set())))
        for dim in shape
    ]
    assert (pick(variable, indices) == values[np.ix_(*indices)]).all()


def partitioned(folder: Path, values: np.ndarray[Any, Any], rows: int, columns: int) -> Variable:
    """float32, cut behind so many rows and columns; the slices lie in no order."""
    from fastsm import _core

    n, m = values.shape
    cuts = [
        ((r, rs), (c, cs))
        for r, rs in ((rows, n - rows), (0, rows))
        for c, cs in ((0, columns), (columns, m - columns))
    ]
    entries = {b"w": entry(1, (n, m), 0, slices=[extents(*cut) for cut in cuts])}
    data = b""
    for (r, rs), (c, cs) in cuts:
        part = values[r : r + rs, c : c + cs].tobytes()
        entries[_core.slice_key(b"w", [(r, rs), (c, cs)])] = entry(
            1, (rs, cs), len(part), offset=len(data)
        )
        data += part
    return made(folder, data, *sorted(entries.items()))["w"]


def test_picked_from_slices(tmp_path: Path) -> None:
    values = np.arange(35, dtype="<f4").reshape(5, 7)
    variable = partitioned(tmp_path, values, 2, 3)
    for indices in ([[0, 1, 4], [2, 3, 6]], [[4], [0]], [[], [1]], [list(range(5)), [0, 6]]):
        assert (pick(variable, indices) == values[np.ix_(*indices)]).all()
    overlapping = sliced(tmp_path, ((0, 2), 0), ((1, 2), 0))
    with pytest.raises(FormatError, match="its slices overlap"):
        pick(overlapping, [[0, 1]])


# -- as `fastsm variables PATH KEY` shows them -----------------------------------------


@pytest.mark.parametrize(
    "shape", [(20_000,), (200, 200), (2, 9000), (7, 6, 500), (30, 1, 30, 30), (10_001, 1)]
)
@pytest.mark.parametrize("dtype", ["<f4", "<i8", "?", "<c8"])
def test_the_ends_are_printed_as_numpy_prints_them(
    shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(len(shape))
    values = (rng.standard_normal(shape) * 100).astype(dtype)
    number = {"<f4": 1, "<i8": 9, "?": 10, "<c8": 8}[dtype]
    made(tmp_path, values.tobytes(), (b"a", entry(number, shape, values.nbytes)))
    record = describe_one(fastsm.open(tmp_path / "b"), "a")
    assert record["text"] == np.array2string(
        values, max_line_width=78, threshold=100, separator=", "
    )
    assert record["values"] is None


def test_the_ends_of_a_partitioned_tensor(tmp_path: Path) -> None:
    values = np.arange(90_000, dtype="<f4").reshape(300, 300)
    partitioned(tmp_path, values, 2, 298)
    record = describe_one(fastsm.open(tmp_path / "b"), "w")
    assert record["text"] == np.array2string(
        values, max_line_width=78, threshold=100, separator=", "
    )
    found = record["statistics"]
    assert (found["min"], found["max"], found["zero"]) == (0, 89_999, 1)
    assert found["mean"] == pytest.approx(values.mean(dtype="f8"))


def test_too_many_ends_are_not_printed(tmp_path: Path) -> None:
    shape = (2,) * 15
    made(tmp_path, bytes(1 << 15), (b"a", entry(4, shape, 1 << 15)))
    record = describe_one(fastsm.open(tmp_path / "b"), "a")
    assert record["text"] == "(values not shown: the ends of 15 dimensions)"
    assert record["statistics"]["zero"] == 1 << 15


def test_nothing_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever cuts the file short meanwhile kills the process."""
    monkeypatch.setattr(mmap, "mmap", None)
    for n in (12, 20_000):
        made(tmp_path, bytes(4 * n), (b"a", entry(1, (n,), 4 * n)), (b"b", entry(10, (n,), n)))
        for key in "ab":
            assert describe_one(fastsm.open(tmp_path / "b"), key)["statistics"]["zero"] == n


def test_a_shard_cut_while_it_is_read(tmp_path: Path) -> None:
    n = 1 << 20
    model = made(tmp_path, bytes(4 * n), (b"a", entry(1, (n,), 4 * n)))
    parts = windows(model["a"])
    next(parts)
    (tmp_path / "b.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(FormatError, match="became shorter"):
        list(parts)


def huge(folder: Path, dtype: int, shape: tuple[int, ...], n_bytes: int) -> Path:
    """A tensor of so many bytes, all of them a hole."""
    (folder / "b.index").write_bytes(table((b"", header()), (b"a", entry(dtype, shape, n_bytes))))
    with open(folder / "b.data-00000-of-00001", "wb") as f:
        f.truncate(n_bytes)
    return folder / "b"


@pytest.mark.parametrize("dtype", [1, 7, 21])
def test_a_huge_tensor_takes_little(dtype: int, tmp_path: Path) -> None:
    """100 GB; the address space of the process is a hundredth of that."""
    prefix = huge(tmp_path, dtype, (25_000, 1_000_000), 10**11)
    program = "ulimit -v 1000000 && exec $0 -m fastsm variables $1 a"
    done = subprocess.run(
        ["sh", "-c", program, sys.executable, str(prefix)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "crc32c    0x00000000 (masked)   not computed" in done.stdout
    shown = "[0., 0., 0., ..., 0., 0., 0.]" if dtype == 1 else "(values not shown: 100.0 GB)"
    assert shown in done.stdout


def test_statistics_take_one_window(tmp_path: Path) -> None:
    model = fastsm.open(huge(tmp_path, 1, (1 << 24,), 1 << 26))
    describe_one(model, "a")
    tracemalloc.start()
    try:
        assert describe_one(model, "a")["statistics"]["zero"] == 1 << 24
        assert tracemalloc.get_traced_memory()[1] < 8 * WINDOW
    finally:
        tracemalloc.stop()


def test_progress_of_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("fastsm.cli.progress.Progress.__call__", lambda _, *now: seen.append(now))
    describe_one(fastsm.open(huge(tmp_path, 1, (1 << 20,), 1 << 22)), "a")
    assert seen == [(i * WINDOW, 4 * WINDOW) for i in range(1, 5)]


@pytest.mark.parametrize("number", [1, 2, 14, 19])
def test_statistics_of_what_is_no_number(number: int, tmp_path: Path) -> None:
    """All but two are infinite or no number; sums go over the top."""
    dtype = {1: "f4", 2: "f8", 14: "bfloat16", 19: "f2"}[number]
    import ml_dtypes

    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    values = np.array([np.nan, np.inf, -np.inf, 0, 2], kind)
    variables = made(tmp_path, values.tobytes(), (b"a", entry(number, (5,), values.nbytes)))
    assert statistics(windows(variables["a"])) == {
        "min": 0, "max": 2, "mean": 1, "zero": 1, "nan": 1, "inf": 2,
    }  # fmt: skip
    nothing = statistics([np.full(3, np.nan, kind)])
    assert nothing == {"min": None, "max": None, "mean": None, "zero": 0, "nan": 3, "inf": 0}
    if number == 2:
        found = statistics([np.full(4, 1e308)])
        assert found is not None and (found["max"], found["mean"]) == (1e308, np.inf)


def test_many_strings_of_many_dimensions_are_not_printed(tmp_path: Path) -> None:
    n = 2**15
    data = bytes(n) + b"crc!"
    made(tmp_path, data, (b"a", entry(7, (2,) * 15, n + 4)), (b"b", entry(7, (n,), n + 4)))
    record = describe_one(fastsm.open(tmp_path / "b"), "a")
    assert record["text"] == "(values not shown: the ends of 15 dimensions)"
    record = describe_one(fastsm.open(tmp_path / "b"), "b")
    assert record["text"].startswith("[b'', b'', b'', ..., b''")
