"""Every edit on every model: that `agree` sees what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastsm import cli
from fastsm.verbs.data import verbs

from .agree import CASES, Case, Disagreement, Expected, Subject, Trial
from .conftest import ModelFactory
from .oracle import Oracle


def test_every_edit_has_its_cases() -> None:
    """A new method of `Edit` wants a maker of cases, and a word of what is to be expected."""
    assert set(verbs()) <= set(CASES)
    assert all(callable(getattr(Expected, verb.replace("-", "_"))) for verb in CASES)


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
