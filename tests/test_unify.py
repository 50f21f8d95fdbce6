"""Models whose loaders do not agree: of Keras 3, and with slot variables. Repaired, every
loader makes of them what one made before."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm

from .conftest import CorpusEntry, ModelFactory
from .oracle import Oracle
from .test_retag import contents

LOADERS = ("v2", "v1", "cc")


def ids(path: Path) -> list[str]:
    """The rules that find something, but for notes."""
    return [f.id for f in fastsm.verify(path).findings if f.severity != "note"]


def repair(path: Path, rule: str) -> fastsm.EditResult:
    """Mend a rule in place; twice, which must do nothing more."""
    result = fastsm.repair(path, only=rule, in_place=True, sync=False)
    after = contents(path)
    assert not fastsm.repair(path, only=rule, in_place=True, sync=False).changed
    assert contents(path) == after
    return result


def assert_true_fingerprint(path: Path, oracle: Oracle) -> None:
    assert oracle.stored_fingerprint(path) == oracle.fingerprint(path)


# -- object-slots --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v1_slots", "tf_keras_slots"])
def test_slot_variables_become_variables(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    [found] = [f for f in fastsm.verify(path).findings if f.id == "object-slots"]
    assert found.message in ("optimizer has 2 slot variables", "optimizer has 4 slot variables")
    sessions = {key: oracle.run(path, "cc", signature=key) for key in signatures(path)}
    result = repair(path, "object-slots")
    assert result.before == {"object-slots": 1} and result.after == {"object-slots": 0}
    assert ids(path) == []
    assert oracle.restored_objects(path)[0].ok
    assert_true_fingerprint(path, oracle)
    for loader in LOADERS:
        assert {key: oracle.run(path, loader, signature=key) for key in sessions} == sessions


def signatures(path: Path) -> list[str]:
    return list(fastsm.open(path).meta_graphs[0].signatures)


def test_a_slot_that_a_function_takes_is_restored(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    """The training step of v1_slots reads both: as children of their optimizer they have the
    values that were saved."""
    path = model_copy("v1_slots")
    assert "add_slot" in oracle.load_v2(path).text
    before = oracle.tensors(path)
    repair(path, "object-slots")
    [graph] = fastsm.open(path).meta_graphs
    assert graph.objects is not None
    optimizer = graph.objects.child(graph.objects.root, "optimizer")
    assert optimizer is not None and optimizer.slot_variables == []
    children = dict(optimizer.child_ids)
    variables = [graph.objects[children[name]].variable for name in ("m_1", "v_1")]
    assert [v.name for v in variables if v is not None] == ["weight/Adam", "weight/Adam_1"]
    after = oracle.tensors(path)
    key = "_CHECKPOINTABLE_OBJECT_GRAPH"
    assert before.pop(key) != after.pop(key) and before == after


def test_slots_of_a_function_need_the_object_graph_of_the_checkpoint(
    model_copy: ModelFactory,
) -> None:
    path = model_copy("v1_slots")
    (path / "variables" / "variables.data-00000-of-00001").unlink()
    before = contents(path)
    with pytest.raises(fastsm.RefusedError) as e:
        fastsm.repair(path, only="object-slots", in_place=True, sync=False)
    assert "has to follow this edit, and it cannot be read" in e.value.problem
    assert contents(path) == before


def test_models_of_others_with_slots_load(
    corpus_model: CorpusEntry, oracle: Oracle, tmp_path: Path
) -> None:
    said = corpus_model.catalog["load_v2"]["result"]
    if not said.endswith("has no attribute 'add_slot'"):
        assert "object-slots" not in ids(corpus_model.path) or said != "ok"
        return
    assert "object-slots" in ids(corpus_model.path)
    fastsm.repair(corpus_model.path, only="object-slots", out=tmp_path / "out", sync=False)
    assert "object-slots" not in ids(tmp_path / "out")
    assert oracle.load_v2(tmp_path / "out").ok
    assert oracle.restored_objects(tmp_path / "out") == oracle.restored_objects(corpus_model.path)
