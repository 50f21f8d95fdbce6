"""Models stripped, and the table that says what came of each: see `strip`.

By default the models of REPRESENTATIVE are stripped; all with FASTSM_AGREE=all.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

import fastsm

from .agree import Case, Disagreement
from .conftest import ModelFactory
from .oracle import Loaded, Oracle
from .recorded import ALL, check_none_left_out, disagreeing, path_of, read
from .strip import TABLE, VERDICTS, StripTrial, table, tried

RECORDED = read(VERDICTS)

#: Of every kind one: objects, sessions, tables, partitions, slots, doubled weights, refusals.
REPRESENTATIVE = [
    "train_signature", "random_state", "trained_flow", "keras_export", "keras_saved",
    "tf_keras_slots", "v1_trained_ref", "tables_and_tags", "partitioned", "no_saver",
    "no_init_op", "no_signatures",
    "tensorflow_tfjs__test_objects-module_with_multiple_signatures-06eaca",
]  # fmt: skip

NAMES = list(RECORDED) if ALL else REPRESENTATIVE


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_computes_the_same_bits(name: str, model: ModelFactory, oracle: Oracle) -> None:
    assert tried(name, path_of(name, model), oracle) == RECORDED[name]


def test_no_model_is_left_out() -> None:
    check_none_left_out(RECORDED)


def test_nothing_disagrees_and_the_table_tells_it() -> None:
    assert not disagreeing(RECORDED)
    assert TABLE.read_text() == table(RECORDED)


# -- that it would be seen -----------------------------------------------------------


STRIP = Case("strip", [{"verb": "strip-training-graph"}])


def test_other_bits_are_seen(model: ModelFactory, model_copy: ModelFactory, oracle: Oracle) -> None:
    trial, path = StripTrial(model("no_variables"), {}, oracle), model_copy("no_variables")
    assert trial.judge(STRIP, path).startswith("equal")
    half, third = struct.pack("<f", 0.5), struct.pack("<f", 1 / 3)
    data = (path / "saved_model.pb").read_bytes()
    assert half in data
    (path / "saved_model.pb").write_bytes(data.replace(half, third))
    (path / "fingerprint.pb").unlink()
    with pytest.raises(Disagreement) as seen:
        trial.judge(STRIP, path)
    for loader in ("v2", "v1", "cc"):
        assert f"{loader} {{serve}} 'serving_default': other values of ['y']" in str(seen.value)


def test_what_goes_unnamed_is_seen(
    model: ModelFactory, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, strip = StripTrial(model("two_signatures"), {}, oracle), fastsm.strip_training_graph

    def silent(*args: Any, **options: Any) -> fastsm.EditResult:
        result = strip(*args, **options)
        for kind in ("functions", "objects"):
            result.after["drops"][kind] = []
        return result

    monkeypatch.setattr(fastsm, "strip_training_graph", silent)
    with pytest.raises(Disagreement, match=r"not named: .*'train_step'"):
        trial.strip(tmp_path)


def test_a_strip_that_never_ends_is_seen(
    model: ModelFactory, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, strip = StripTrial(model("no_variables"), {}, oracle), fastsm.strip_training_graph

    def restless(*args: Any, **options: Any) -> fastsm.EditResult:
        if options.get("in_place"):
            return fastsm.retag(args[0], "serve", "gpu", sync=False)
        return strip(*args, **options)

    monkeypatch.setattr(fastsm, "strip_training_graph", restless)
    with pytest.raises(Disagreement, match="once more"):
        trial.strip(tmp_path)


def test_what_is_mended_wrongly_is_seen(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    trial = StripTrial(model("keras_saved"), {}, oracle)
    assert "v1 runs {serve} now" in trial.strip(made(tmp_path / "right"))["verdict"]
    of = (frozenset(["serve"]), "v2")
    rows = {
        key: {alias: t._replace(sha256="") for alias, t in rows.items()}
        for key, rows in trial.graphs[of].signatures.items()
        if not isinstance(rows, str)
    }
    trial.graphs[of] = Loaded("something else", rows)
    with pytest.raises(Disagreement, match="is not what v2 computes"):
        trial.strip(made(tmp_path / "wrong"))


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
