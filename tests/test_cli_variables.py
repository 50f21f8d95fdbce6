"""`fastsm variables`: what is listed, and one tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastsm.cli import main
from fastsm.cli.variables import cut

from .conftest import ModelFactory
from .oracle import ROOT
from .test_opened import header, table
from .test_variables import entry, extents, made

RANKER = str(ROOT / "examples" / "ranker" / "1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["variables", *map(str, words)])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_groups_the_largest_first(run: Any) -> None:
    code, out, err = run(RANKER)
    assert (code, err) == (0, "")
    assert out == (
        f"{RANKER}   6 tensors, 6.7 kB in 1 shard\n"
        "\n"
        "weights   3 tensors, 3.4 kB\n"
        "     3.2 kB  float32[100, 8]  traits/embeddings   _all_variables/2\n"
        "  128 bytes  float32[4, 8]    taste/kernel        _all_variables/0\n"
        "   32 bytes  float32[8]       taste/bias          _all_variables/1\n"
        "\n"
        "doubled   3 tensors, 3.4 kB   (look like weights stored twice)\n"
        "     3.2 kB  float32[100, 8]  traits/embeddings   variables/2\n"
        "  128 bytes  float32[4, 8]    taste/kernel        variables/0\n"
        "   32 bytes  float32[8]       taste/bias          variables/1\n"
    )


def test_whole_keys(run: Any) -> None:
    _, out, _ = run(RANKER, "--keys")
    assert out.splitlines()[1] == (
        "     3.2 kB  float32[100, 8]  _all_variables/2/.ATTRIBUTES/VARIABLE_VALUE  (weights)"
    )


@pytest.mark.parametrize("glob", ["taste/*", "*variables/[01]", "taste*"])
def test_only(glob: str, run: Any) -> None:
    code, out, _ = run(RANKER, "--only", glob, "--json")
    record = json.loads(out)
    assert code == 0 and record["only"] == glob
    assert {t["name"] for t in record["tensors"]} == {"taste/kernel", "taste/bias"}
    assert record["variables"] == 4 and record["bytes"] == 320


def test_only_of_nothing(run: Any) -> None:
    code, _, err = run(RANKER, "--only", "nope*")
    assert (code, err) == (4, f"fastsm: {RANKER}: no tensor's key or name fits 'nope*'\n")


@pytest.mark.parametrize(
    "word", ["_all_variables/1", "_all_variables/1/.ATTRIBUTES/VARIABLE_VALUE", "taste/bias",
             "_all_variables[1]"],
)  # fmt: skip
def test_one_tensor_by_any_of_its_names(word: str, run: Any) -> None:
    code, out, err = run(RANKER, word)
    assert (code, err) == (0, "")
    assert out == (
        "taste/bias   float32[8]   32 bytes   weights\n"
        "  key       _all_variables/1/.ATTRIBUTES/VARIABLE_VALUE\n"
        "  object    _all_variables[1]\n"
        "  stored    variables.data-00000-of-00001, bytes 3,488..3,520\n"
        "  crc32c    0x0fd7fffa (masked)   true\n"
        "  values    min 0, max 0, mean 0, zero 8\n"
        "\n"
        "[0., 0., 0., 0., 0., 0., 0., 0.]\n"
    )


def test_a_name_that_is_not_there(run: Any) -> None:
    code, _, err = run(RANKER, "taste/kernl")
    assert code == 4
    assert err == (
        f"fastsm: {RANKER}: no tensor has the key or name taste/kernl\n"
        "  Did you mean taste/kernel?\n"
    )


def test_one_or_several(run: Any) -> None:
    code, _, err = run(RANKER, "taste/bias", "--only", "*")
    assert code == 2 and "give one of them" in err


def test_an_empty_key_is_no_key(tmp_path: Path, run: Any) -> None:
    """It is not the name of all those that have none."""
    made(tmp_path, bytes(16), (b"a", entry(1, (4,), 16)), (b"b", entry(1, (4,), 16)))
    code, _, err = run(tmp_path / "b", "")
    assert code == 2 and "KEY is empty" in err


def test_values_as_json(tmp_path: Path, run: Any) -> None:
    values = np.array([0, 1.5, np.nan, np.inf, -np.inf, -2], "<f4")
    made(tmp_path, values.tobytes(), (b"a", entry(1, (6,), 24)), (b"c", entry(8, (), 8)))
    code, out, _ = run(tmp_path / "b", "a", "--json")
    record = json.loads(out)
    assert code == 0 and record["values"] == [0, 1.5, "nan", "inf", "-inf", -2]
    assert record["statistics"] == {
        "min": -2.0, "max": 1.5, "mean": pytest.approx(-1 / 6), "zero": 1, "nan": 1, "inf": 2,
    }  # fmt: skip
    assert record["checksum_ok"] is False  # the entry has none
    assert "the checksum does not match" in record["notes"][0]
    record = json.loads(run(tmp_path / "b", "c", "--json")[1])
    assert record["values"] == [0, 1.5] and record["statistics"] is None


def test_many_values_are_not_printed(tmp_path: Path, run: Any) -> None:
    made(tmp_path, b"\1" * 20_000, (b"a", entry(4, (20_000,), 20_000)))
    record = json.loads(run(tmp_path / "b", "a", "--json")[1])
    assert record["values"] is None and record["statistics"]["mean"] == 1
    out = run(tmp_path / "b", "a")[1]
    assert "[1, 1, 1, ..., 1, 1, 1]" in out


def test_every_dtype_can_be_printed(model: ModelFactory, run: Any) -> None:
    path = model("dtypes")
    keys = [t["key"] for t in json.loads(run(path, "--json")[1])["tensors"]]
    assert len(keys) == 21
    for key in keys:
        for more in ([], ["--json"]):
            code, out, err = run(path, key, *more)
            assert (code, err) == (0, "") and out, key
    assert "[b'a', b'']" in run(path, "words")[1]
    assert run(path, "int4")[1].endswith("[ 1, -2,  3]\n")


def test_damaged_slices_are_notes(tmp_path: Path, run: Any) -> None:
    made(
        tmp_path, b"\0" * 48,
        (b"a", entry(1, (12,), 48)), (b"w", entry(1, (4,), 0, slices=[extents((0, 4))])),
    )  # fmt: skip
    code, out, _ = run(tmp_path / "b")
    assert code == 0 and "2 tensors, 48 bytes in 1 shard" in out
    assert out.endswith("w: its slice [0:4] is not stored\n")
    assert run(tmp_path / "b", "w")[0] == 3


def test_a_big_endian_checkpoint_is_listed(tmp_path: Path, run: Any) -> None:
    graph = (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (), 5))
    data = table((b"", header(endianness=1)), graph, (b"a", entry(1, (12,), 48)))
    (tmp_path / "b.index").write_bytes(data)
    (tmp_path / "b.data-00000-of-00001").write_bytes(b"\0" * 48)
    code, out, _ = run(tmp_path / "b")
    assert code == 0 and "float32[12]  a\n" in out
    assert "note: the object graph cannot be read: " in out and "big-endian" in out
    code, _, err = run(tmp_path / "b", "a")
    assert code == 7 and "is a big-endian checkpoint" in err


def test_names_of_a_model_are_safe_to_print(tmp_path: Path, run: Any) -> None:
    made(tmp_path, b"\0" * 4, (b"a\x1b[2J\xe2\x80\xae\xff", entry(1, (), 4)))
    for words in ([], ["--keys"], ["a\x1b[2J\u202e\udcff"]):
        code, out, _ = run(tmp_path / "b", *words)
        assert code == 0 and "a\\x1b[2J\\u202e\\xff" in out and "\x1b" not in out


def test_long_names_lose_their_middle(tmp_path: Path, run: Any) -> None:
    key = b"model/" + b"very_long/" * 20 + b"kernel"
    made(tmp_path, b"\0" * 4, (key, entry(1, (), 4)))
    line = run(tmp_path / "b")[1].splitlines()[3]
    assert len(line) == 80 and "..." in line and line.endswith("/kernel")
    assert cut("abcdef", 6) == "abcdef"


def test_a_model_without_variables(model: ModelFactory, run: Any) -> None:
    code, out, _ = run(model("v1_no_variables"))
    assert code == 0 and out.endswith("   0 tensors, 0 bytes in 0 shards\n")


def test_quiet(run: Any) -> None:
    assert run(RANKER, "--quiet") == (0, "", "")
