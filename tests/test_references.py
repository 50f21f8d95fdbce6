"""References that lead nowhere: what verify finds of each, beside what TensorFlow makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.check.rules import RULES
from fastsm.graph.references import HARMLESS

from .conftest import ModelFactory
from .faults import FAULTS, Messages
from .oracle import Loaded, Oracle, Survey


@pytest.fixture(scope="module")
def surveys() -> dict[str, Survey]:
    """What loaders make of the models without a fault."""
    return {}


def verdicts(before: Survey, after: Survey) -> dict[str, str]:
    """What of a model each loader makes less than before."""
    out = {}
    for (tags, loader), was in before.graphs.items():
        out[loader] = verdict(was, after.graphs[tags, loader])
    was = isinstance(before.objects, str)
    out["objects"] = "load" if isinstance(after.objects, str) and not was else "ok"
    return out


def verdict(was: Loaded, now: Loaded) -> str:
    if now.error:
        return "ok" if was.error else "load"
    found = "ok"
    for before, after in ((was.signatures, now.signatures), (was.methods, now.methods)):
        for key, rows in before.items():
            if isinstance(rows, str) or rows == after.get(key):
                continue
            if isinstance(after.get(key, ""), str):
                return "run"
            found = "differs"
    return found


def found(path: Path) -> set[str]:
    """The rules that find something, apart from what is no loader's business."""
    aside = {"fingerprint-stale", "shard-gap", "shard-trailing", "asset-unused"}
    return {f.id for f in fastsm.verify(path).findings} - aside


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_found_and_what_loaders_make_of_it(
    name: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle,
    surveys: dict[str, Survey],
) -> None:  # fmt: skip
    fault = FAULTS[name]
    path = model_copy(fault.base)
    messages = Messages(path)
    fault.make(messages)
    messages.write()
    assert found(path) - found(model(fault.base)) == fault.finds
    if fault.base not in surveys:
        surveys[fault.base] = oracle.survey(model(fault.base))
    assert verdicts(surveys[fault.base], oracle.survey(path)) == fault.verdicts


def test_the_errors_are_those_at_which_a_loader_fails() -> None:
    """The exceptions, by name: a function in the attributes of a function's name, which a
    loader comes to only where the function has a use for it; signatures that one side lacks,
    and what only the C++ loader of TF2 models looks at, which are warnings."""
    minded = {
        name for name, fault in FAULTS.items() if any(v != "ok" for v in fault.verdicts.values())
    }
    errors = {
        name for name, fault in FAULTS.items()
        if any(RULES[rule][0] == "error" for rule in fault.finds)
    }  # fmt: skip
    assert errors - minded == {"function_in_the_attributes_of_a_function"}
    assert minded - errors == {
        "child_that_the_checkpoint_alone_has", "functions_without_traces", "no_objects",
        "no_signatures", "resource_without_destroyer", "signatures_of_another_kind",
    }  # fmt: skip


def test_what_is_harmless_is_no_error() -> None:
    assert all(RULES[rule][0] == "note" for rule in HARMLESS)
