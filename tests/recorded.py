"""What the harnesses of all models wrote down, as their tests read it: see `agree.record`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .agree import corpus_models
from .conftest import CORPUS, ModelFactory
from .models import MODELS

#: Whether every model is tried, and not only a harness's REPRESENTATIVE ones.
ALL = os.environ.get("FASTSM_AGREE") == "all"


def read(verdicts: Path) -> dict[str, dict[str, Any]]:
    """What came of each model, by its name."""
    recorded: dict[str, dict[str, Any]] = json.loads(verdicts.read_text())
    return recorded


def path_of(name: str, model: ModelFactory) -> Path:
    """The folder of a model of ours, or of others; skips the test where that is not here."""
    path = model(name) if name in MODELS else CORPUS / name
    if not path.exists():
        pytest.skip("it is of the corpus, and that is not here")
    return path


def check_none_left_out(recorded: dict[str, dict[str, Any]]) -> None:
    """Fail where a model was never tried, or is there no more."""
    assert [name for name in recorded if name in MODELS] == list(MODELS)
    if corpus := list(corpus_models()):
        assert [name for name in recorded if name not in MODELS] == corpus


def disagreeing(recorded: dict[str, dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The cases in which something is not as it should be, by model and case."""
    wrong = {}
    for name, of in recorded.items():
        for case, said in of.items():
            verdict = str(said["verdict"] if isinstance(said, dict) and "verdict" in said else said)
            if verdict.startswith("DISAGREES"):
                wrong[name, case] = verdict
    return wrong
