"""Every model is what its docstring says, by TensorFlow's own account.

Later tests rest on this: when one of these fails, TensorFlow or a builder changed, not fastsm.
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT, Loader, Oracle, TensorFlowFailed

LOADERS: tuple[Loader, ...] = ("v2", "v1", "cc")

#: (model, loader) -> what TensorFlow says instead of loading it.
DOES_NOT_LOAD: dict[tuple[str, Loader], str] = {
    ("train_op_signature", "v2"): "needs an input for each placeholder",
    ("doubled_asset", "cc"): "fed more than once",
    ("v1_slots", "v2"): "add_slot",
    ("sliced_half", "v2"): "Dtype half not supported",
    ("sliced_half", "v1"): "Dtype half not supported",
    ("sliced_half", "cc"): "Dtype half not supported",
}

#: model -> meta graphs behind the first that not every loader takes; see their own tests.
UNLOADABLE = {"v1_devices": [["worker"]], "dangling_collection": [["serve"]]}

#: (model, loader) -> what it says instead of running it, once it is loaded.
DOES_NOT_RUN: dict[tuple[str, Loader], str] = {
    ("keras_saved", "v1"): "Could not find variable",
    ("keras_saved", "cc"): "Could not find variable",
    ("keras_wrapped", "v1"): "Could not find variable",
    ("keras_wrapped", "cc"): "Could not find variable",
    ("no_saver", "cc"): "Could not find variable",
    ("no_init_op", "v1"): "Table not initialized",
    ("no_init_op", "cc"): "Table not initialized",
}

EVERY = [name for name in MODELS if name != "no_meta_graphs"]


def meta_graph(oracle: Oracle, path: Path) -> dict[str, Any]:
    (m,) = oracle.parse(path)["meta_graphs"]
    return m


def tag_sets(oracle: Oracle, path: Path) -> list[list[str]]:
    return [m["tags"] for m in oracle.parse(path)["meta_graphs"]]


def asset_text(path: Path, name: str) -> str:
    return (path / "assets" / name).read_text()


# -- every model -------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_loads_and_runs_alike_in_every_loader(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    path = model(name)
    first, *others = oracle.parse(path)["meta_graphs"]
    for m in others:
        if m["tags"] not in UNLOADABLE.get(name, []):
            assert all(oracle.load(path, loader, m["tags"]).ok for loader in LOADERS)
    signatures = [key for key in first["signatures"] if not key.startswith("__saved_model")]
    for loader in LOADERS:
        refusal = DOES_NOT_LOAD.get((name, loader))
        if refusal or not signatures:  # a run shows that it loads
            verdict = oracle.load(path, loader, first["tags"])
            assert verdict.ok if refusal is None else refusal in verdict.text
    for key in signatures:
        feeds = MODELS[name].feeds.get(key)
        outputs = []
        for loader in LOADERS:
            refusal = DOES_NOT_LOAD.get((name, loader)) or DOES_NOT_RUN.get((name, loader))
            if refusal:
                with pytest.raises(TensorFlowFailed, match=refusal):
                    oracle.run(path, loader, first["tags"], key, feeds=feeds)
            else:
                outputs.append(oracle.run(path, loader, first["tags"], key, feeds=feeds))
        assert all(output == outputs[0] and output for output in outputs)


@pytest.mark.parametrize("name", MODELS)
def test_no_path_of_the_machine_is_in_it(name: str, model: ModelFactory) -> None:
    path = model(name)
    for file in path.rglob("*"):
        if file.is_file() and file.parent.name != "debug":
            assert os.fsencode(path.parent) not in file.read_bytes()
            assert os.fsencode(ROOT) not in file.read_bytes()


@pytest.mark.parametrize("name", EVERY)
def test_fingerprint_is_true_and_over_the_deterministic_order(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    path = model(name)
    if name == "stray_cpb":
        with pytest.raises(TensorFlowFailed, match="ChunkMetadata"):
            oracle.fingerprint(path)
        return
    computed = oracle.fingerprint(path)
    if (path / "fingerprint.pb").exists():
        assert (oracle.stored_fingerprint(path) == computed) == (name != "stale_fingerprint")
    if (path / "saved_model.pb").exists():
        message = (path / "saved_model.pb").read_bytes()
        ordered = oracle.deterministic(message, "tensorflow.SavedModel")
        assert oracle.fingerprint64(ordered) == computed.saved_model_checksum
        assert len(ordered) == len(message)


@pytest.mark.parametrize(
    "name",
    [
        "asset_collection", "vocabulary", "keras_export", "tf_keras_lstm", "saved_again",
        "warmup", "trained_flow", "random_state",
    ],
)  # fmt: skip
def test_builds_the_same_bytes_again(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path, again = model(name), tmp_path / name
    oracle.build(name, again, needs=MODELS[name].needs)
    files = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for file in files:
        if file.name != "fingerprint.pb":  # its uuid is random
            assert (path / file).read_bytes() == (again / file).read_bytes(), file


def test_every_model_says_what_it_is_for() -> None:
    assert all(m.oddity.endswith(".") and len(m.oddity) < 100 for m in MODELS.values())


# -- meta graphs and tags ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train_and_serve_ref", [["train"], ["serve"]]),
        ("train_and_serve_resource", [["train"], ["serve"]]),
        ("train_op_signature", [["train"], ["serve"]]),
        ("serve_and_gpu", [["serve"], ["serve", "gpu"]]),
        ("duplicate_tags", [["serve"], ["serve"], ["train", "serve", "serve"], []]),
        ("no_tags", [[]]),
        ("letter_tags", [["s", "e", "r", "v"]]),
        ("odd_tags", [["serve,gpu"], [" serve "], [""], ["größe"], ["a\x1b[31mb\n"]]),
        ("extra_tags", [["serve", "gpu", "large"]]),
        ("two_meta_graphs_v2", [["serve"], ["serve", "copy"]]),
        ("v1_pbtxt", [["serve"], ["train"]]),
        ("both_formats", [["serve"], ["serve", "gpu"]]),
        ("no_meta_graphs", []),
        ("stale_fingerprint", [["serve", "gpu", "large", "late"]]),
        ("tables_and_tags", [["train"], ["serve"], ["serve", "small"]]),
        ("v1_devices", [["serve"], ["worker"]]),
        ("dangling_collection", [["train"], ["serve"]]),
    ],
)
def test_tag_sets(
    name: str, expected: list[list[str]], model: ModelFactory, oracle: Oracle
) -> None:
    assert tag_sets(oracle, model(name)) == expected


def test_no_meta_graphs_aborts_fingerprinting_and_loads_nowhere(
    model: ModelFactory, oracle: Oracle
) -> None:
    path = model("no_meta_graphs")
    assert (path / "saved_model.pb").stat().st_size == 0
    assert all(oracle.load(path, loader, []).kind == "error" for loader in LOADERS)
    with pytest.raises(TensorFlowFailed) as failure:
        oracle.fingerprint(path)
    assert failure.value.verdict.kind == "abort"


@pytest.mark.parametrize(
    ("name", "variable_op"),
    [("train_and_serve_ref", "VariableV2"), ("train_and_serve_resource", "VarHandleOp")],
)
def test_train_and_serve_share_a_checkpoint(
    name: str, variable_op: str, model: ModelFactory, oracle: Oracle
) -> None:
    path = model(name)
    train, serve = oracle.parse(path)["meta_graphs"]
    assert variable_op in train["ops"] and variable_op in serve["ops"]
    assert train["n_nodes"] > serve["n_nodes"]
    assert {"train_op", "summaries"} <= set(train["collections"]) - set(serve["collections"])
    keys = [entry.key for entry in oracle.index(path).entries]
    assert keys == ["b", "b/Momentum", "w", "w/Momentum"]
    both = [oracle.run(path, "v1", tags) for tags in (["train"], ["serve"])]
    assert both[0] == both[1]


def test_train_op_signature(model: ModelFactory, oracle: Oracle) -> None:
    train, serve = oracle.parse(model("train_op_signature"))["meta_graphs"]
    key = "__saved_model_train_op"
    assert train["signatures"][key]["outputs"][key]["names"] == ["train"]
    assert key not in serve["signatures"]


def test_a_second_meta_graph_takes_the_object_graph_out_of_use(
    model: ModelFactory, oracle: Oracle
) -> None:
    """tf.saved_model.load then asks for tags, as it does for TF1 models."""
    path = model("two_meta_graphs_v2")
    assert all(m["n_objects"] for m in oracle.parse(path)["meta_graphs"])
    assert "requires a `tags=` argument" in oracle.load_v2(path).text


def test_pbtxt(model: ModelFactory, oracle: Oracle) -> None:
    for name in ("v1_pbtxt", "v2_pbtxt"):
        assert oracle.parse(model(name))["format"] == "pbtxt"
        assert not (model(name) / "saved_model.pb").exists()
    assert meta_graph(oracle, model("v2_pbtxt"))["assets_from"] == "field"
    both = model("both_formats")
    assert (both / "saved_model.pbtxt").exists() and oracle.parse(both)["format"] == "pb"


# -- signatures --------------------------------------------------------------------


def test_two_signatures(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("two_signatures"))
    two = m["signatures"]["two"]
    assert list(two["inputs"]) == ["T", "Tidx", "scale", "x"]
    assert two["inputs"]["x"]["shape"] == [None, 3]
    assert two["inputs"]["scale"]["shape"] == []
    assert two["outputs"]["total"]["dtype"] == "DT_FLOAT"
    assert any("train_step" in f for f in m["concrete_functions"])
    assert "AssignSubVariableOp" in set(m["all_ops"]) - set(m["ops"])
    assert (model("two_signatures") / "fingerprint.pb").exists()


def test_without_signatures_or_variables(model: ModelFactory, oracle: Oracle) -> None:
    init = ["__saved_model_init_op"]
    bare = meta_graph(oracle, model("no_signatures"))
    assert list(bare["signatures"]) == init and bare["concrete_functions"] == []
    assert meta_graph(oracle, model("v1_no_signatures"))["signatures"] == {}
    (entry,) = oracle.index(model("no_variables")).entries
    assert entry.key == "_CHECKPOINTABLE_OBJECT_GRAPH"
    constants = model("v1_no_variables")
    assert list((constants / "variables").iterdir()) == []
    assert meta_graph(oracle, constants)["saver"] is None


def test_odd_signature_names(model: ModelFactory, oracle: Oracle) -> None:
    names = {"", " ", "a/b", "größe", "n" * 300, "serving_default"}
    assert names < set(meta_graph(oracle, model("odd_signatures"))["signatures"])


def test_encodings(model: ModelFactory, oracle: Oracle) -> None:
    v2 = meta_graph(oracle, model("ragged_and_sparse"))["signatures"]
    assert list(v2["ragged"]["inputs"]) == ["r", "r_1"]
    assert list(v2["sparse"]["inputs"]) == ["s", "s_1", "s_2"]
    ragged = v2["ragged"]["outputs"]["doubled"]
    assert (ragged["encoding"], ragged["type_spec"]) == ("composite_tensor", "RaggedTensorSpec")
    assert [c["dtype"] for c in ragged["components"]] == ["DT_FLOAT", "DT_INT64"]
    assert v2["sparse"]["outputs"]["doubled"]["encoding"] == "coo_sparse"

    sparse = meta_graph(oracle, model("v1_sparse"))["signatures"]
    given = sparse["serving_default"]["inputs"]["s"]
    assert given["encoding"] == "coo_sparse"
    assert given["names"] == ["s/values:0", "s/indices:0", "s/shape:0"]
    assert sparse["classify"]["method_name"] == "tensorflow/serving/classify"
    assert sparse["regress"]["method_name"] == "tensorflow/serving/regress"

    (signature,) = meta_graph(oracle, model("v1_ragged"))["signatures"].values()
    assert signature["inputs"]["r"]["encoding"] == "composite_tensor"
    assert signature["outputs"]["doubled"]["encoding"] == "composite_tensor"


def test_defaults(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("defaults"))
    assert m["signatures"]["serving_default"]["defaults"] == ["scale"]
    assert "PlaceholderWithDefault" in m["ops"]


def test_alike(model: ModelFactory, oracle: Oracle) -> None:
    """Another order of low, high and base is another result, and no error."""
    m = meta_graph(oracle, model("alike"))["signatures"]["serving_default"]
    assert list(m["inputs"]) == ["base", "high", "label", "low", "shift"]
    assert list(m["outputs"]) == ["above", "labels", "middle", "rows", "width"]
    path, signature = model("alike"), {"low": "high", "high": "low"}
    straight, swapped = oracle.run(path), oracle.run(path, aliases=signature)
    assert straight["width"].shape == swapped["width"].shape
    assert straight["width"] != swapped["width"]


def test_without_function_specs(model: ModelFactory, oracle: Oracle) -> None:
    """The canonicalized signature alone decides what tf.saved_model.load asks for."""
    path, whole = model("no_function_spec"), model("alike")
    assert oracle.run(path) == oracle.run(whole)


def test_warmup(model: ModelFactory) -> None:
    requests = model("warmup") / "assets.extra" / "tf_serving_warmup_requests"
    data = requests.read_bytes()
    assert data.count(b"serving_default") == 1 and data.count(b"around") == 1


# -- functions ---------------------------------------------------------------------


def test_signatures_of_one_function(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("one_function"))
    assert {"serving_default", "again", "wide"} < set(m["signatures"])
    assert sum("mix" in name for name in m["concrete_functions"]) == 2
    again = meta_graph(oracle, model("saved_again"))
    assert sum("wrapper" in name for name in again["concrete_functions"]) == 4


def test_nested_outputs(model: ModelFactory, oracle: Oracle) -> None:
    methods = oracle.survey(model("nested_outputs")).graphs[frozenset(["serve"]), "v2"].methods
    assert list(methods) == ["lone/0", "nested/0"]
    rows = methods["nested/0"]
    assert not isinstance(rows, str)
    assert [rows[f"[{i}]"].shape for i in range(4)] == [(2,), (2,), (2,), ()]


def test_control_flow(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("control_flow"))
    kinds = {"StatelessWhile", "While", "StatelessIf", "If", "StatelessCase", "Case"}
    assert len(kinds & set(m["all_ops"])) >= 3
    assert {"MapDataset", "ReduceDataset"} <= set(m["all_ops"])
    assert "Exp" in set(m["all_ops"]) - set(m["ops"])  # saved_model_cli does not follow Case

    old = meta_graph(oracle, model("v1_control_flow"))
    assert {"Enter", "Exit", "Switch", "Merge"} <= set(old["ops"])
    assert {"while_context", "cond_context"} <= set(old["collections"])


def test_hidden_write(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("hidden_write"))
    assert "WriteFile" in m["all_ops"]
    assert "WriteFile" not in m["ops"] and "WriteFile" not in m["stripped_ops"]


def test_custom_gradient(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("custom_gradient"))
    ((op_type, function),) = m["gradients"]
    assert op_type.startswith("CustomGradient-") and function in m["functions"]


def test_save_options(model: ModelFactory, oracle: Oracle) -> None:
    assert (model("debug_info") / "debug" / "saved_model_debug_info.pb").stat().st_size > 0
    aliases = meta_graph(oracle, model("aliases"))["function_aliases"]
    assert "line" in aliases.values()
    assert meta_graph(oracle, model("stripped_defaults"))["stripped_default_attrs"]


def test_devices(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("devices"))
    assert "/device:CPU:0" in m["devices"]
    saved = (model("devices") / "saved_model.pb").read_bytes()
    assert b"/job:localhost/replica:0/task:0/device:CPU:0" in saved  # of the variable

    serve, worker = oracle.parse(model("v1_devices"))["meta_graphs"]
    assert "/device:CPU:0" in serve["devices"]
    assert "/job:ps/task:3" in worker["devices"]
    for loader in LOADERS:
        verdict = oracle.load(model("v1_devices"), loader, ["worker"])
        assert "Cannot assign a device" in verdict.text


# -- assets and init ops -----------------------------------------------------------


def test_assets_and_variables_of_several_meta_graphs(
    model: ModelFactory, oracle: Oracle
) -> None:
    graphs = oracle.parse(model("tables_and_tags"))["meta_graphs"]
    words, labels = ["asset_path:0", "words.txt"], ["label_path:0", "labels.txt"]
    assert [m["assets"] for m in graphs] == [[words, labels], [words], [words]]
    assert [e.key for e in oracle.index(model("tables_and_tags")).entries] == ["bonus", "rows"]
    made = oracle.survey(model("tables_and_tags")).graphs
    for loader in LOADERS:
        train = made[frozenset(["train"]), loader].signatures
        serve = made[frozenset(["serve"]), loader].signatures
        assert train["serving_default"] == serve["serving_default"]
        assert set(train) - set(serve) == {"labels"}


@pytest.mark.parametrize(
    ("name", "source", "init_key"),
    [
        ("asset_collection", "collection", "saved_model_main_op"),
        ("legacy_init", "collection", "legacy_init_op"),
        ("asset_field", "field", None),
        ("both_assets", "field", "saved_model_main_op"),
    ],
)
def test_v1_assets(
    name: str, source: str, init_key: str | None, model: ModelFactory, oracle: Oracle
) -> None:
    m = meta_graph(oracle, model(name))
    assert (m["assets"], m["assets_from"]) == ([["asset_path:0", "words.txt"]], source)
    assert m["init_op"] == "init_tables"
    inits = {"saved_model_main_op", "legacy_init_op"} & set(m["collections"])
    assert inits == ({init_key} if init_key else set())
    assert ("__saved_model_init_op" in m["signatures"]) == (init_key is None)
    assert ("saved_model_assets" in m["collections"]) == (name != "asset_field")
    assert asset_text(model(name), "words.txt").split() == ["the", "quick", "brown", "fox"]


def test_doubled_asset(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("doubled_asset"))
    assert m["assets"] == [["asset_path:0", "words.txt"]] * 2


def test_v2_assets(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("vocabulary"))
    assert m["assets"] == [["asset_path_initializer:0", "words.txt"]]
    assert m["object_kinds"]["asset"] == 1 and m["object_kinds"]["resource"] == 2
    keys = [entry.key for entry in oracle.index(model("vocabulary")).entries]
    assert "counts/.ATTRIBUTES/table-keys" in keys and "counts/.ATTRIBUTES/table-values" in keys

    nested = meta_graph(oracle, model("nested_assets"))
    assert nested["assets"][0][1] == "wörter/an other/die wörter.txt"

    named = model("asset_names")
    files = [name for _, name in meta_graph(oracle, named)["assets"]]
    assert sorted(set(files)) == ["w.txt", "w.txt_1"] and len(files) == 3
    assert {asset_text(named, name) for name in files} == {"one", "two"}


# -- variables ---------------------------------------------------------------------


def test_dtypes(model: ModelFactory, oracle: Oracle) -> None:
    entries = oracle.index(model("dtypes")).entries
    found = {entry.dtype.removeprefix("DT_").lower() for entry in entries}
    wanted = "bfloat16 half float double int8 int16 int32 int64 uint8 uint16 uint32 uint64"
    assert {*wanted.split(), "complex64", "complex128", "bool", "string"} <= found
    assert {"float8_e4m3fn", "int4"} <= found
    assert any(e.shape == (0, 4) and e.size == 0 for e in entries)
    assert any(e.key.startswith("naïve name/") for e in entries)


def test_tensor_list(model: ModelFactory, oracle: Oracle) -> None:
    entries = {entry.key: entry for entry in oracle.index(model("tensor_list")).entries}
    assert entries["rows/.ATTRIBUTES/VARIABLE_VALUE"].dtype == "DT_VARIANT"


def test_shards_and_slices(model: ModelFactory, oracle: Oracle) -> None:
    index = oracle.index(model("shards"))
    files = sorted(p.name for p in (model("shards") / "variables").glob("*.data-*"))
    assert index.n_shards == len(files) > 2
    assert {e.shard for e in index.entries} == set(range(index.n_shards))
    assert sum(e.n_slices for e in index.entries) >= 4

    index = oracle.index(model("partitioned"))
    slices = {e.key: e.n_slices for e in index.entries if not e.key.startswith("\0")}
    assert slices == {"by_row": 3, "net/by_column": 2, "whole": 0}
    assert meta_graph(oracle, model("partitioned"))["saver"]["sharded"]

    half = [e for e in oracle.index(model("sliced_half")).entries if e.n_slices]
    assert [e.dtype for e in half] == ["DT_HALF"]


def test_many_variables(model: ModelFactory, oracle: Oracle) -> None:
    index = oracle.index(model("many_variables"))
    assert index.n_blocks >= 2 and len(index.entries) > 500
    assert (model("many_variables") / "variables" / "variables.index").stat().st_size > 1 << 18


def test_no_saver(model: ModelFactory, oracle: Oracle) -> None:
    m = meta_graph(oracle, model("no_saver"))
    assert m["saver"] is None and "variables" in m["collections"]


@pytest.mark.parametrize("name", ["dtypes", "shards", "partitioned", "keras_export"])
def test_index_agrees_with_the_checkpoint_reader(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    """The oracle's own walk of the table against tf.train.load_checkpoint."""
    tensors = oracle.tensors(model(name))
    entries = [e for e in oracle.index(model(name)).entries if not e.key.startswith("\0")]
    assert {e.key: e.shape for e in entries} == {k: t.shape for k, t in tensors.items()}


# -- Keras -------------------------------------------------------------------------


def test_keras_export_has_every_weight_twice(model: ModelFactory, oracle: Oracle) -> None:
    for name in ("keras_export", "keras_multi", "keras_endpoints"):
        tensors = oracle.tensors(model(name))
        copies: dict[str, list[str]] = {"variables": [], "_all_variables": []}
        for key, tensor in tensors.items():
            copies.setdefault(key.split("/")[0], []).append(tensor.sha256)
        assert sorted(copies["variables"]) == sorted(copies["_all_variables"]) != []
    multi = meta_graph(oracle, model("keras_multi"))["signatures"]["serving_default"]
    assert (list(multi["inputs"]), list(multi["outputs"])) == (
        ["context", "item"],
        ["label", "score"],
    )
    endpoints = meta_graph(oracle, model("keras_endpoints"))["signatures"]
    assert {"classify", "serving_default"} < set(endpoints)


def test_keras_saved_keeps_weights_under_the_optimizer(
    model: ModelFactory, oracle: Oracle
) -> None:
    keys = [entry.key for entry in oracle.index(model("keras_saved")).entries]
    assert any(key.startswith("optimizer/_trainable_variables/") for key in keys)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tf_keras_lstm", "_tf_keras_rnn_layer"), ("tf_keras_slots", "optimizer")],
)
def test_tf_keras(name: str, kind: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name)
    assert meta_graph(oracle, path)["object_kinds"][kind] == 1
    assert (path / "keras_metadata.pb").exists()
    keys = [entry.key for entry in oracle.index(path).entries]
    slots = [key for key in keys if ".OPTIMIZER_SLOT" in key]
    assert bool(slots) == (name == "tf_keras_slots")
    assert any(key.startswith("optimizer/") or "keras_api/optimizer" in key for key in keys)


# -- edited ------------------------------------------------------------------------


def test_unknown_fields_survive_in_every_message(model: ModelFactory, oracle: Oracle) -> None:
    """TensorFlow's own parser keeps them, at all depths, and every loader ignores them."""
    message = (model("unknown_fields") / "saved_model.pb").read_bytes()
    unknown = bytes.fromhex("c03e9601 c93e0102030405060708 d23e03616263")
    unknown += bytes.fromhex("db3ec03e07dc3e ed3e01020304")
    assert message.count(unknown) == 20
    assert oracle.deterministic(message, "tensorflow.SavedModel").count(unknown) == 20


def test_dangling_collections_stop_python_alone(model: ModelFactory, oracle: Oracle) -> None:
    path = model("dangling_collection")
    verdicts = [oracle.load(path, loader, ["serve"]) for loader in LOADERS]
    assert [v.ok for v in verdicts] == [False, False, True]
    assert "refers to a Tensor which does not exist" in verdicts[0].text


def test_children_that_only_the_checkpoint_has_stop_one_loader(
    model: ModelFactory, oracle: Oracle
) -> None:
    """SavedModelV2Bundle looks for them by their names in saved_model.pb."""
    path = model("stale_children")
    assert all(oracle.load(path, loader, ["serve"]).ok for loader in LOADERS)
    verdict, _ = oracle.restored_objects(path)
    assert verdict.text == "Could not find saved object to restore for signatures.two"
    verdict, objects = oracle.restored_objects(model("two_signatures"))
    assert verdict.ok and objects == [1, 2, 3]
    verdict, _ = oracle.restored_objects(model("two_meta_graphs_v2"))
    assert "exactly one MetaGraphDef" in verdict.text


# -- the oracle itself -------------------------------------------------------------


@pytest.mark.parametrize("name", ["two_signatures", "v1_sparse", "tables_and_tags"])
def test_a_survey_is_what_single_runs_are(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    path, feeds = model(name), MODELS[name].feeds
    survey = oracle.survey(path, feeds=feeds)
    assert survey.fingerprint == oracle.fingerprint(path)
    for m in oracle.parse(path)["meta_graphs"]:
        keys = [key for key in m["signatures"] if not key.startswith("__saved_model")]
        for loader in LOADERS:
            loaded = survey.graphs[frozenset(m["tags"]), loader]
            assert loaded.error == "" and sorted(loaded.signatures) == keys
            for key, rows in loaded.signatures.items():
                fed = feeds.get(key)
                assert rows == oracle.run(path, loader, m["tags"], key, feeds=fed)


def test_a_survey_tells_what_does_not_load(model: ModelFactory, oracle: Oracle) -> None:
    graphs = oracle.survey(model("v1_devices")).graphs
    assert "Cannot assign a device" in graphs[frozenset(["worker"]), "cc"].error
    assert graphs[frozenset(["serve"]), "cc"].error == ""
    survey = oracle.survey(model("no_meta_graphs"))
    assert survey.graphs == {} and isinstance(survey.fingerprint, str)


def test_a_question_without_answer_is_a_timeout(
    model: ModelFactory, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model("two_signatures")
    with monkeypatch.context() as patch:
        patch.setattr(oracle, "timeout_s", 0.0)
        assert oracle.load_v2(path).kind == "timeout"
    assert oracle.load_v2(path).ok


def test_inputs_follow_the_seed_and_the_alias(model: ModelFactory, oracle: Oracle) -> None:
    path = model("two_signatures")
    assert oracle.run(path) == oracle.run(path)
    assert oracle.run(path, seed=1) != oracle.run(path)
    assert oracle.run(path, aliases={"x": "renamed"}) != oracle.run(path)


def test_deterministic_sorts_map_keys_as_cpp_does(model: ModelFactory, oracle: Oracle) -> None:
    """upb writes "Tidx" before "T": the file and the order that is hashed differ."""
    message = (model("two_signatures") / "saved_model.pb").read_bytes()
    ordered = oracle.deterministic(message, "tensorflow.SavedModel")
    assert ordered != message and sorted(ordered) == sorted(message)
    with pytest.raises(TensorFlowFailed, match="no C\\+\\+ class"):
        oracle.deterministic(b"", "tensorflow.NoSuchMessage")
    with pytest.raises(TensorFlowFailed, match="not a"):
        oracle.deterministic(b"\xff", "tensorflow.NodeDef")


def test_cli_show(model: ModelFactory, oracle: Oracle) -> None:
    path = model("two_signatures")
    shown = oracle.cli_show(path, ["--tag_set", "serve", "--signature_def", "serving_default"])
    assert "inputs['x'] tensor_info:\n      dtype: DT_FLOAT\n      shape: (-1, 3)" in shown
    assert "signature_def['two']:" in oracle.cli_show(path)
    with pytest.raises(TensorFlowFailed, match="could not be found"):
        oracle.cli_show(path, ["--tag_set", "train", "--signature_def", "two"])


def test_the_command_lists_and_refuses(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.models"]
    shown = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0 and all(name in shown.stdout for name in MODELS)
    refused = subprocess.run(
        [*command, str(tmp_path), "nope"], cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 2 and "no model nope" in refused.stderr


# -- what trained them -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ops", "keys"),
    [
        ("train_signature", {"AssignSubVariableOp"}, {"velocity/0", "squares/2", "step"}),
        ("trained_conv", {"Conv2DBackpropFilter"}, {"kernel"}),
        ("random_state", {"RngReadAndSkip", "AssignVariableOp"}, {"generator/_state_var"}),
        ("trained_flow", {"While", "If", "Case", "ReduceDataset"}, {"moments/0", "seen"}),
        ("trained_ragged", {"While", "StringToHashBucketFast"}, {"moments/1", "counts"}),
        ("v1_trained", {"StackPushV2", "ResourceApplyAdam"}, {"kernel/Adam_1", "beta1_power"}),
        ("v1_trained_ref", {"Switch", "ApplyAdam"}, {"rows/ExponentialMovingAverage"}),
    ],
)  # fmt: skip
def test_what_trained_it_is_in_it(
    name: str, ops: set[str], keys: set[str], model: ModelFactory, oracle: Oracle
) -> None:
    path = model(name)
    assert ops <= set(meta_graph(oracle, path)["all_ops"])
    stored = {entry.key.partition("/.ATTRIBUTES")[0] for entry in oracle.index(path).entries}
    assert keys <= stored


# -- models of others, and the examples --------------------------------------------


def test_corpus_is_as_the_catalog_says(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    path, catalog = corpus_model
    if catalog["parse_error"]:
        with pytest.raises(TensorFlowFailed):
            oracle.parse(path)
        return
    assert tag_sets(oracle, path) == catalog["tag_sets"]


@pytest.mark.parametrize(
    ("name", "tags", "signatures"),
    [
        ("ranker", [["serve"]], {"serving_default", "rank"}),
        ("tagger", [["train"], ["serve"]], {"serving_default"}),
    ],
)
def test_examples(
    name: str, tags: list[list[str]], signatures: set[str], oracle: Oracle
) -> None:
    path = ROOT / "examples" / name / "1"
    assert tag_sets(oracle, path) == tags
    serve = oracle.parse(path)["meta_graphs"][-1]
    assert {key for key in serve["signatures"] if not key.startswith("__")} == signatures
    for key in signatures:
        v2, v1, cc = (oracle.run(path, loader, ["serve"], key) for loader in LOADERS)
        assert v2 == v1 == cc
    files = [p for p in path.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 60_000
    for word in (b"/tmp", b"/home", b"site-packages"):
        assert not any(word in p.read_bytes() for p in files)
