"""References that lead nowhere: what verify finds of each, beside what TensorFlow makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.bundle.opened import Bundle
from fastsm.check.rules import RULES
from fastsm.errors import FormatError
from fastsm.graph.references import HARMLESS, unresolved
from fastsm.graph.tracked import Keys
from fastsm.graph.unresolved import Unresolved

from .conftest import CorpusEntry, ModelFactory
from .faults import FAULTS, Messages, tracked_bytes
from .models import MODELS
from .oracle import ROOT, Loaded, Oracle, Survey


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


# -- as an edit asks for it ------------------------------------------------------------


def in_plan(path: Path) -> list[Unresolved]:
    """What an edit that leaves this model would be told."""
    tracked = keys = None
    if (path / "variables" / "variables.index").exists():
        index = Bundle.open(str(path / "variables" / "variables")).index
        keys = list(index.keys())
        tracked = tracked_bytes(path)
    return list(unresolved(fastsm.open(path).meta_graphs, tracked, keys))


#: Of these the files tell, and not the references.
OF_FILES = {"asset-missing", "index-missing", "model-damaged", "signature-one-sided"}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", FAULTS)
def test_an_edit_is_told_what_verify_finds(name: str, model_copy: ModelFactory) -> None:
    fault = FAULTS[name]
    path = model_copy(fault.base)
    messages = Messages(path)
    fault.make(messages)
    messages.write()
    told = {found.rule for found in in_plan(path)}
    assert told - {f.id for f in fastsm.verify(path).findings} == set()
    without_tracked = {"object-graph"} if name == "no_tracked_objects" else set()
    assert fault.finds - told == fault.finds & (OF_FILES | HARMLESS | without_tracked)


#: Models that are wrong as they are.
WRONG = {"dangling_collection", "doubled_asset", "stale_children"}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [n for n in MODELS if n not in WRONG | {"no_meta_graphs"}])
def test_every_reference_of_a_model_resolves(name: str, model: ModelFactory) -> None:
    assert in_plan(model(name)) == []


def test_every_reference_of_models_of_others_resolves(corpus_model: CorpusEntry) -> None:
    if corpus_model.catalog["parse_error"] is None:
        assert in_plan(corpus_model.path) == []


def test_a_damaged_object_graph_of_the_checkpoint() -> None:
    graphs = fastsm.open(ROOT / "examples" / "ranker" / "1").meta_graphs
    with pytest.raises(FormatError, match="the checkpoint's own object graph: needs 127 bytes"):
        list(unresolved(graphs, b"\x0a\x7f", []))


def test_keys_of_what_an_object_stores() -> None:
    stored = [b"", b"t", b"t-keys", b"t-values", b"t.x", b"t/y", b"t0", b"t_z", b"tt", b"u-k"]
    keys = Keys(stored)
    assert list(keys.of(b"t")) == [b"t", b"t-keys", b"t-values", b"t.x", b"t/y", b"t_z"]
    assert list(keys.of(b"u")) == [b"u-k"] and keys.holds(b"u")
    assert b"t0" in keys and b"t1" not in keys and b"" in keys
    assert not keys.holds(b"t1") and not keys.holds(b"zz") and not Keys([]).holds(b"")
