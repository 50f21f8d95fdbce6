"""Parity finds what is not the same, where it is, and nothing else: see `parity_faults`.

By default the faults of REPRESENTATIVE are made; all with FASTSM_AGREE=all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastsm import text
from fastsm.proof.report import ParityReport

from .conftest import ModelFactory
from .faults import Messages
from .parity import Trial, worker
from .parity_faults import FAULTS, LOADERS

pytestmark = pytest.mark.tensorflow

#: Of each kind one, on few models.
REPRESENTATIVE = [
    "sign_of_a_zero", "letter_of_a_string", "sign_in_a_slice", "restored_from_another_key",
    "not_restored", "outputs_swapped", "outputs_of_the_function_swapped", "op_of_main",
    "output_of_another_tensor", "function_of_one_signature", "lines_exchanged",
    "table_not_filled_in_sessions", "default_of_an_input",
]  # fmt: skip

NAMES = list(FAULTS) if os.environ.get("FASTSM_AGREE") == "all" else REPRESENTATIVE


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    worker().close()
    worker.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_found_where_it_is(name: str, model: ModelFactory, tmp_path: Path) -> None:
    fault = FAULTS[name]
    spoilt = Messages(Path(shutil.copytree(model(fault.base), tmp_path / "model")))
    fault.make(spoilt)
    spoilt.write()
    report = Trial(model(fault.base)).compare(spoilt.path)
    assert report.exit_code == 1
    for loader in LOADERS:
        names = found(report, loader)
        assert fault.finds[loader] <= names <= fault.finds[loader] | fault.may, loader
    assert any(fault.finds.values())


def found(report: ParityReport, loader: str) -> set[str]:
    """What differs in a loader, as `parity_faults` names it."""
    several = len(report.meta_graphs) > 1
    return {
        (f"{text.tag_set(r.meta_graph)} " if several else "")
        + (r.name if r.part is None else f"{r.name}: {r.part}")
        for r in report.differences
        if r.loader in (loader, None)
    }
