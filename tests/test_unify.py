"""Models whose loaders do not agree: of Keras 3, and with slot variables. Repaired, every
loader makes of them what one made before."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import fastsm
from fastsm import _core
from fastsm.commit import commit
from fastsm.edits.draft import Draft
from fastsm.edits.unify import unify
from fastsm.fingerprint import PROGRAM
from fastsm.graph.edges import Edges
from fastsm.graph.function_edits import Library, attributes
from fastsm.graph.nodes import Graph
from fastsm.graph.objects import ObjectGraph
from fastsm.graph.restored import restored as restored_by

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, Tensor, TensorFlowFailed
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


# -- restore-handle ------------------------------------------------------------------------------


def messages(path: Path, rule: str) -> list[str]:
    return [f.message for f in fastsm.verify(path).findings if f.id == rule]


@pytest.mark.parametrize(("name", "n"), [("keras_saved", 4), ("keras_wrapped", 22)])
def test_sessions_find_the_variables_of_keras_3(
    name: str, n: int, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """As TensorFlow saves a model of Keras 3: the training step, too, has its optimizer."""
    path = model_copy(name)
    before = {key: oracle.run(path, "v2", signature=key) for key in signatures(path)}
    for loader in ("v1", "cc"):
        with pytest.raises(TensorFlowFailed, match="Could not find variable"):
            oracle.run(path, loader)
    assert ids(path) == ["restore-handle"] * n
    variables = contents(path / "variables")
    result = repair(path, "restore-handle")
    assert result.before == {"restore-handle": n} and result.after == {"restore-handle": 0}
    assert ids(path) == [] and contents(path / "variables") == variables
    assert_true_fingerprint(path, oracle)
    assert oracle.restored_objects(path)[0].ok
    for loader in LOADERS:
        assert {key: oracle.run(path, loader, signature=key) for key in before} == before


def test_it_says_where_the_value_goes(model: ModelFactory) -> None:
    assert messages(model("keras_saved"), "restore-handle")[0] == (
        "sequential/dense/kernel: never restored; "
        "optimizer/_trainable_variables/0/.ATTRIBUTES/VARIABLE_VALUE, its value, goes into "
        "Variable_3"
    )


def test_a_plain_repair_mends_what_sessions_do_not_find(model_copy: ModelFactory) -> None:
    path = model_copy("keras_saved")
    assert fastsm.repair(path, in_place=True, sync=False).before == {"restore-handle": 4}
    assert ids(path) == []


def test_a_handle_that_another_signature_reads_stays(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    """Were its value put elsewhere, that signature would find none."""
    path = model_copy("keras_saved")
    fastsm.add_signature(
        path, "raw", inputs={"x": "serving_default_inputs:0"},
        outputs={"kernel": "Variable_3/Read/ReadVariableOp:0"}, in_place=True, sync=False,
    )  # fmt: skip
    kernel = oracle.run(path, "cc", signature="raw")
    assert "sequential/dense/kernel: never restored" in messages(path, "restore-handle")
    result = fastsm.repair(path, only="restore-handle", in_place=True, sync=False)
    assert (result.before, result.after) == ({"restore-handle": 4}, {"restore-handle": 1})
    assert result.warnings[1:] == [  # the first is of the signature
        "sequential/dense/kernel is read, and no key of the checkpoint is known to be its"
    ]
    assert oracle.run(path, "cc", signature="raw") == kernel


def test_two_nodes_of_one_name_are_one_handle(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    """What is restored by the one is read by the other: that is no fault."""
    path = model_copy("keras_saved")
    before = oracle.run(path, "v2")
    draft = draft_of(path)
    edges = Edges(Graph(draft.graphs[0]))
    row, rewrite = edges.row(b"Variable_3"), draft.rewrite()
    assert row is not None
    node = Library(draft.graphs[0]).node(row)
    attributes(node)["shared_name"].put_text(rewrite, 2, "sequential/dense/kernel")
    draft.put(rewrite, [PROGRAM])
    commit(draft.finish(), sync=False)
    assert len(messages(path, "restore-handle")) == 3
    repair(path, "restore-handle")
    assert ids(path) == []
    for loader in LOADERS:
        assert oracle.run(path, loader) == before


# -- restore-twice -------------------------------------------------------------------------------


def restored(path: Path) -> list[bytes]:
    """The keys that a session restores."""
    [graph] = fastsm.open(path).meta_graphs
    return sorted(key for key, *_ in restored_by(graph, Graph(graph)).wanted)


@pytest.mark.parametrize(("name", "n"), [("keras_export", 8), ("keras_multi", 5)])
def test_an_export_of_keras_3_has_its_variables_once(
    name: str, n: int, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    before = {key: oracle.run(path, "v2", signature=key) for key in signatures(path)}
    tensors = oracle.tensors(path)
    objects = fastsm.open(path).meta_graphs[0].objects
    assert objects is not None
    lists = {
        name: values(objects, name, tensors)
        for name in ("variables", "trainable_variables", "_all_variables")
    }
    [words] = messages(path, "restore-twice")
    assert words == f"{n} variables restored from two keys each, into two handles"
    assert not fastsm.repair(path, in_place=True, sync=False).changed
    result = repair(path, "restore-twice")
    assert result.before == {"restore-twice": 1} and result.after == {"restore-twice": 0}
    assert fastsm.verify(path).findings == []
    assert_true_fingerprint(path, oracle)
    assert oracle.restored_objects(path)[0].ok
    for loader in LOADERS:
        assert {key: oracle.run(path, loader, signature=key) for key in before} == before
    # Once in the checkpoint, once in a session, and every list of variables as it was.
    after = oracle.tensors(path)
    kept = {key: t for key, t in tensors.items() if not key.startswith("_all_variables/")}
    key = "_CHECKPOINTABLE_OBJECT_GRAPH"
    assert len(kept) == n + 1 and kept.pop(key) != after.pop(key) and kept == after
    assert restored(path) == sorted(k.encode() for k in after)
    objects = fastsm.open(path).meta_graphs[0].objects
    assert objects is not None
    assert {name: values(objects, name, after) for name in lists} == lists


def values(objects: ObjectGraph, name: str, tensors: dict[str, Tensor]) -> list[Tensor]:
    """The values of the variables in a list of the root, by the key that each is found under."""
    shared = {objects[to].id: f"variables/{i}" for i, to in children(objects, "variables")}
    return [
        tensors[f"{shared.get(to, f'{name}/{i}')}/.ATTRIBUTES/VARIABLE_VALUE"]
        for i, to in children(objects, name)
    ]


def children(objects: ObjectGraph, name: str) -> list[tuple[str, int]]:
    found = objects.child(objects.root, name)
    assert found is not None
    return found.child_ids


def test_only_exports_of_keras_3_are_unified(model: ModelFactory) -> None:
    """Equal values are no sign: momenta that are zero, biases that are."""
    found = {name for name in MODELS if name != "no_meta_graphs" and is_doubled(model(name))}
    assert found == {"keras_export", "keras_multi", "keras_endpoints"}


def is_doubled(path: Path) -> bool:
    return bool(messages(path, "restore-twice"))


def replace(path: Path, key: str, content: bytes, *, crc32c: bool = True) -> None:
    """Another value for a key; without a new checksum where it is not wanted."""
    draft = draft_of(path)
    rewrite = draft.bundle_rewrite()
    old = _core.crc32c(rewrite.content(rewrite.row(key)).read(0, len(content)))
    rewrite.replace(key, content, None if crc32c else old)
    commit(draft.finish(), sync=False)


def draft_of(path: Path) -> Draft:
    model = fastsm.open(path)
    return Draft(model.path, model.located, model.reader)


OWN = "variables/7/.ATTRIBUTES/VARIABLE_VALUE"
OTHER = "_all_variables/2/.ATTRIBUTES/VARIABLE_VALUE"


def test_two_values_of_one_variable_are_an_error(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    """Session loaders and tf.saved_model.load compute with other numbers: which are meant?"""
    path = model_copy("keras_export")
    replace(path, OTHER, struct.pack("<2f", 1, 2))
    assert oracle.run(path, "v2") != oracle.run(path, "cc")
    assert messages(path, "restore-handle") == [
        f"sequential/logits/bias_1: restored from {OTHER}, not the value of {OWN}"
    ]
    before = contents(path)
    with pytest.raises(fastsm.RefusedError) as e:
        fastsm.repair(path, only="restore-handle", in_place=True, sync=False)
    assert e.value.problem == (
        f"{OWN} is one variable with {OTHER}, and has another value: session loaders compute "
        "with the one, tf.saved_model.load with the other"
    )
    assert contents(path) == before
    # The others are what they were, and can be one.
    run = oracle.run(path, "cc")
    assert fastsm.repair(path, only="restore-twice", in_place=True, sync=False).changed
    assert oracle.run(path, "cc") == run != oracle.run(path, "v2")


def test_bytes_are_compared_and_not_their_checksums(model_copy: ModelFactory) -> None:
    path = model_copy("keras_export")
    replace(path, OTHER, struct.pack("<2f", 1, 2), crc32c=False)
    assert is_doubled(path)
    done = unify(draft_of(path))
    assert len(done.merged) == 7 and (OWN, OTHER) not in done.merged
    assert done.left == [
        f"{OWN} is one variable with {OTHER}, and has another value: session loaders compute "
        "with the one, tf.saved_model.load with the other"
    ]


# -- unify ---------------------------------------------------------------------------------------


def test_unify_does_all_of_it(model: ModelFactory) -> None:
    found = {}
    for name in ("keras_endpoints", "keras_saved", "v1_slots", "two_signatures", "v1_sparse"):
        draft = draft_of(model(name))
        done = unify(draft)
        found[name] = done
        assert draft.changed == any(done.to_dict().values())
        again = unify(draft)
        assert not any(again.to_dict().values())
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    assert found["keras_endpoints"].merged == [
        (f"variables/{i}{value}", f"_all_variables/{1 - i}{value}") for i in (0, 1)
    ]
    weights = ("dense/bias", "dense/kernel", "dense_1/bias", "dense_1/kernel")
    assert found["keras_saved"].restored == [f"sequential/{name}" for name in weights]
    assert found["v1_slots"].slots == ["optimizer/m", "optimizer/v"]
