"""Every edit on every model, and the table that counts what came of it: see `agree`.

By default the models of REPRESENTATIVE are edited; all with FASTSM_AGREE=all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastsm import cli
from fastsm.verbs.data import verbs

from .agree import (
    CASES,
    TABLE,
    VERDICTS,
    Case,
    Disagreement,
    Expected,
    Subject,
    Trial,
    table,
    tried,
)  # fmt: skip
from .conftest import ModelFactory
from .oracle import Oracle
from .recorded import ALL, check_none_left_out, disagreeing, path_of, read

RECORDED = read(VERDICTS)

#: Of every kind one, those first where most can go wrong.
REPRESENTATIVE = [
    "alike", "saved_again", "no_function_spec", "ragged_and_sparse", "vocabulary", "keras_export",
    "tf_keras_slots", "v1_sparse", "tables_and_tags", "dangling_collection", "v2_pbtxt",
    "tensorflow_tfjs__test_objects-module_with_multiple_signatures-06eaca",
]  # fmt: skip

NAMES = list(RECORDED) if ALL else REPRESENTATIVE


@pytest.mark.parametrize("name", NAMES)
def test_every_edit_agrees(name: str, model: ModelFactory, oracle: Oracle) -> None:
    assert tried(name, path_of(name, model), oracle) == RECORDED[name]


def test_no_model_is_left_out() -> None:
    check_none_left_out(RECORDED)


def test_nothing_disagrees_and_the_table_counts_it() -> None:
    assert not disagreeing(RECORDED)
    assert TABLE.read_text() == table(RECORDED)


def test_every_edit_has_its_cases() -> None:
    """A new method of `Edit` wants a maker of cases, and a word of what is to be expected."""
    assert set(CASES) == set(verbs())
    assert all(callable(getattr(Expected, verb.replace("-", "_"))) for verb in CASES)
    recorded = {case for verdicts in RECORDED.values() for case in verdicts}
    assert all(any(case.startswith(verb) for case in recorded) for verb in CASES)


# -- that it would be seen -----------------------------------------------------------


def test_a_silent_swap_is_seen(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """Two outputs change their names everywhere: v2 goes by the order of names, and swaps."""
    trial, path = Trial(model("alike"), {}, oracle), model_copy("alike")
    file = path / "saved_model.pb"
    data = file.read_bytes().replace(b"above", b"\0\0\0\0\0").replace(b"width", b"above")
    file.write_bytes(data.replace(b"\0\0\0\0\0", b"width"))
    key = {"verb": "rename-output", "key": "serving_default"}
    swap = [("above", "between"), ("width", "above"), ("between", "width")]
    case = Case("swapped", [{**key, "old": old, "new": new} for old, new in swap])
    with pytest.raises(Disagreement) as seen:
        trial.judge(case, path)
    assert "v2 {serve} 'serving_default': other values of ['above', 'width']" in str(seen.value)
    assert "v1" not in str(seen.value) and "cc" not in str(seen.value)
    assert "saved_model_checksum is false" in str(seen.value)
    with pytest.raises(Disagreement) as seen:
        trial.judge(Case("as it was", []), path)
    assert "v1 {serve}" in str(seen.value) and "cc {serve}" in str(seen.value)


def test_object_graphs_that_disagree_are_seen(model: ModelFactory, oracle: Oracle) -> None:
    trial = Trial(model("two_signatures"), {}, oracle)
    rename = {"verb": "rename-signature", "old": "two", "new": "renamed"}
    with pytest.raises(Disagreement) as seen:
        trial.judge(Case("renamed", [rename]), model("stale_children"))
    assert str(seen.value).startswith("SavedModelV2Bundle: FailedPreconditionError: Could not")


def test_an_inverse_that_does_nothing_is_seen(
    model: ModelFactory, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(model("alike"), {}, oracle)
    (case,) = CASES["retag"](Subject(model("alike")))
    assert trial.run(case, tmp_path / "right") == "equal"
    monkeypatch.setattr(cli, "main", lambda _: sys.exit(0))
    with pytest.raises(Disagreement, match="undo leaves another"):
        trial.run(case, tmp_path / "wrong")
