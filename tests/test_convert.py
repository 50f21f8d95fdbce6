"""Sources converted, and that it would be seen if one were not: see `convert`.

By default the sources of REPRESENTATIVE are converted; all with FASTSM_AGREE=all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastsm

from .agree import Disagreement
from .convert import (
    ALL_SOURCES,
    OTHERS,
    TABLE,
    VERDICTS,
    Conversion,
    judged,
    names_here,
    prepared,
    table,
    tried,
)
from .oracle import Oracle
from .recorded import ALL, disagreeing, read
from .sources import SOURCES

RECORDED = read(VERDICTS)

#: Of every kind one: resources and refs, parts, local variables, tables and files of one name,
#: loops of old, a saver made anew, text, a folder, frozen graphs, refusals.
REPRESENTATIVE = [
    "refs", "locals_too", "trained", "tables", "old_loops", "no_saver_def_parts", "averages",
    "text_meta", "folder_absolute", "frozen_tables", "format_v1", "asset_elsewhere",
]  # fmt: skip

NAMES = list(RECORDED) if ALL else REPRESENTATIVE

Converted = Callable[[str], Conversion]


@pytest.fixture
def conversion(oracle: Oracle, tmp_path: Path) -> Converted:
    """name -> the source, made in the test's own folder, and what TensorFlow makes of it."""

    def of(name: str) -> Conversion:
        folder = tmp_path.resolve() / "source"
        prepared(name, folder, oracle)
        return Conversion(ALL_SOURCES[name], folder, oracle)

    return of


@pytest.mark.parametrize("name", NAMES)
def test_a_source_computes_what_tensorflow_restores(name: str, oracle: Oracle) -> None:
    if name not in names_here():
        pytest.skip("it is of the corpus, and that is not here")
    assert tried(name, oracle) == RECORDED[name]


def test_no_source_is_left_out() -> None:
    assert [name for name in RECORDED if name in SOURCES] == list(SOURCES)
    assert [name for name in RECORDED if name not in SOURCES] == list(OTHERS)
    if others := [name for name in names_here() if name not in SOURCES]:
        assert sorted(others) == sorted(OTHERS)


def test_nothing_disagrees_and_the_table_tells_it() -> None:
    assert not disagreeing(RECORDED)
    assert TABLE.read_text() == table(RECORDED)


def test_every_refusal_is_for_its_reason() -> None:
    for name, of in RECORDED.items():
        refused = of["told"]["verdict"].startswith("refused: ")
        assert refused == bool(ALL_SOURCES[name].refused), name


def test_every_source_says_what_it_is_for() -> None:
    assert all(s.oddity.endswith(".") and len(s.oddity) < 100 for s in ALL_SOURCES.values())


# -- that it would be seen -----------------------------------------------------------


def other_shard(path: Path, of: Conversion) -> None:
    """The variables of another step."""
    for file in (path / "variables").iterdir():
        shutil.copy(of.folder / "kept" / file.name.replace("variables", "model-5"), file)


def swapped_shards(path: Path, of: Conversion) -> None:
    """Each shard under the other's name."""
    one, other = sorted((path / "variables").glob("*.data-*"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def swapped_keys(path: Path, of: Conversion) -> None:
    """Each of two variables restored from the other's key."""
    edited(path, b"\x42\x01b\x42\x01w", b"\x42\x01w\x42\x01b")


def no_init(path: Path, of: Conversion) -> None:
    """An init op that no loader looks for."""
    edited(path, b"saved_model_main_op", b"saved_model_main_oq")


def swapped_outputs(path: Path, of: Conversion) -> None:
    """Each of two outputs under the other's name."""
    with fastsm.edit(path, in_place=True, sync=False) as e:
        for old, new in (("ids", "between"), ("more", "ids"), ("between", "more")):
            e.rename_output("serving_default", old, new)


def no_asset(path: Path, of: Conversion) -> None:
    """An asset that was not copied."""
    next((path / "assets").iterdir()).unlink()


def other_asset(path: Path, of: Conversion) -> None:
    """An asset with the lines of another file."""
    next((path / "assets").iterdir()).write_text("nobody\nfox\nthe\n")


def other_tags(path: Path, of: Conversion) -> None:
    """One tag more."""
    fastsm.retag(path, "serve", {"serve", "gpu"}, sync=False)


def other_method(path: Path, of: Conversion) -> None:
    """A method that nobody asked for."""
    fastsm.set_method_name(path, "serving_default", "tensorflow/serving/regress", sync=False)


def edited(path: Path, old: bytes, new: bytes) -> None:
    data = (path / "saved_model.pb").read_bytes()
    assert old in data and len(old) == len(new)
    (path / "saved_model.pb").write_bytes(data.replace(old, new))


@pytest.mark.parametrize(
    ("name", "fault", "seen"),
    [
        ("folder", other_shard, "variable w has another value"),
        ("folder", other_shard, r"v2: other values of \['y'\]; v1: .*; cc: other values"),
        ("shards", swapped_shards, "v2: .*; v1: .*; cc: .*; no variables: "),
        ("refs", swapped_keys, "variable b has another value"),
        ("vocabulary", no_init, "v1: .*; cc: .*able not initialized"),
        ("locals_too", no_init, "variable counted has no value"),
        ("same_names", swapped_outputs, "other values of .*outputs .*'ids'"),
        ("vocabulary", no_asset, "or other content"),
        ("vocabulary", no_asset, "v2: .*; v1: .*; cc: "),
        ("vocabulary", other_asset, "other values of .*or other content"),
        ("plain", other_tags, "tags"),
        ("plain", other_method, "signature .*regress"),
    ],
)
def test_a_fault_is_seen(
    name: str,
    fault: Callable[[Path, Conversion], None],
    seen: str,
    conversion: Converted,
    tmp_path: Path,
) -> None:
    of, out = conversion(name), tmp_path / "converted"
    of.convert(out)
    assert of.judge(out).startswith("equal in v2 v1 cc")
    fault(out, of)
    with pytest.raises(Disagreement, match=seen):
        of.judge(out)


def test_what_is_done_to_the_source_is_seen(
    conversion: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, convert = conversion("plain"), fastsm.convert

    def careless(src: Path, out: Path, **options: Any) -> Any:
        (of.folder / "checkpoint").write_text("mine")
        return convert(src, out, **options)

    monkeypatch.setattr(fastsm, "convert", careless)
    assert judged(of)["verdict"] == "DISAGREES: the source itself changed"


def test_what_a_refusal_leaves_is_seen(
    conversion: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = conversion("format_v1")

    def littering(src: Path, out: Path, **options: Any) -> Any:
        Path(out).with_name("litter").touch()
        raise fastsm.RefusedError(str(src), "no")

    monkeypatch.setattr(fastsm, "convert", littering)
    assert judged(of)["verdict"] == "DISAGREES: refused, and yet something is left"


def test_a_refusal_without_need_is_seen(
    conversion: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = conversion("plain")

    def timid(src: Path, out: Path, **options: Any) -> Any:
        raise fastsm.RefusedError(str(src), "no")

    monkeypatch.setattr(fastsm, "convert", timid)
    assert judged(of)["verdict"] == "DISAGREES: refused: no"


def test_copies_in_the_place_of_links_are_seen(
    conversion: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, convert = conversion("plain"), fastsm.convert

    def copying(src: Path, out: Path, *, link: bool, **options: Any) -> Any:
        return convert(src, out, **options)

    monkeypatch.setattr(fastsm, "convert", copying)
    assert "is not linked" in judged(of, link=True)["verdict"]


def test_other_bytes_the_second_time_are_seen(
    conversion: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, convert, made = conversion("plain"), fastsm.convert, []

    def restless(src: Path, out: Path, **options: Any) -> Any:
        made.append(result := convert(src, out, **options))
        (Path(out) / "assets.extra").write_text("x" * len(made))
        return result

    monkeypatch.setattr(fastsm, "convert", restless)
    assert judged(of)["verdict"] == "DISAGREES: other bytes the second time"
