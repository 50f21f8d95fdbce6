"""What parity says of every edit on every model, and the table that counts it: see `parity`.

By default the models of REPRESENTATIVE are edited; all with FASTSM_AGREE=all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from .agree import corpus_models
from .conftest import CORPUS, ModelFactory
from .models import MODELS
from .oracle import Oracle
from .parity import TABLE, VERDICTS, table, tried, worker

ALL = os.environ.get("FASTSM_AGREE") == "all"

RECORDED: dict[str, dict[str, Any]] = json.loads(VERDICTS.read_text())

#: Of objects and of sessions one: assets, tables, names out of order.
REPRESENTATIVE = ["alike", "asset_field"]

@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    worker().close()
    worker.cache_clear()


@pytest.mark.parametrize("name", list(RECORDED) if ALL else REPRESENTATIVE)
def test_an_edited_model_is_the_same(name: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name) if name in MODELS else CORPUS / name
    if not path.exists():
        pytest.skip("it is of the corpus, and that is not here")
    assert tried(name, path, oracle) == RECORDED[name]


def test_no_model_is_left_out() -> None:
    assert [name for name in RECORDED if name in MODELS] == list(MODELS)
    if corpus := list(corpus_models()):
        assert [name for name in RECORDED if name not in MODELS] == corpus


def test_nothing_disagrees_and_the_table_counts_it() -> None:
    wrong = {
        (name, case): verdict
        for name, verdicts in RECORDED.items()
        for case, verdict in verdicts.items()
        if str(verdict).startswith("DISAGREES")
    }
    assert not wrong
    assert TABLE.read_text() == table(RECORDED)
