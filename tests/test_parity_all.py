"""What parity says of every edit on every model, and the table that counts it: see `parity`.

By default the models of REPRESENTATIVE are edited; all with FASTSM_AGREE=all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import ModelFactory
from .oracle import Oracle
from .parity import TABLE, VERDICTS, table, tried, worker
from .recorded import ALL, check_none_left_out, disagreeing, path_of, read

RECORDED = read(VERDICTS)

#: Of objects and of sessions one: assets, tables, names out of order.
REPRESENTATIVE = ["alike", "asset_field"]

@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    worker().close()
    worker.cache_clear()


@pytest.mark.parametrize("name", list(RECORDED) if ALL else REPRESENTATIVE)
def test_an_edited_model_is_the_same(name: str, model: ModelFactory, oracle: Oracle) -> None:
    assert tried(name, path_of(name, model), oracle) == RECORDED[name]


def test_no_model_is_left_out() -> None:
    check_none_left_out(RECORDED)


def test_nothing_disagrees_and_the_table_counts_it() -> None:
    assert not disagreeing(RECORDED)
    assert TABLE.read_text() == table(RECORDED)
