"""lint: each rule fires on a model made for it, and on no sound one; and it looks at all models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import fastsm
from fastsm.check.lint_files import MAX_SIZE, NEAR
from fastsm.check.report import Finding
from fastsm.check.rules import OF_LINT, RULES
from fastsm.cli import main
from fastsm.edits import signature_def
from fastsm.errors import UsageError

from .conftest import CorpusEntry, ModelFactory
from .graphs import (
    FLOAT,
    RESOURCE,
    STRING,
    count,
    dtype,
    function,
    function_named,
    init_op,
    node,
    node_list,
    saver,
    text,
)  # fmt: skip
from .models import MODELS
from .oracle import ROOT
from .test_signatures import by_hand
from .wire import delimited, entry, integer

TAGGER = ROOT / "examples" / "tagger" / "1"

PREDICT = "tensorflow/serving/predict"


def tensor(name: str, number: int = FLOAT, *dims: int, rank: bool = True) -> bytes:
    """A TensorInfo; -1 for any size."""
    shape = b"".join(delimited(2, integer(1, d)) for d in dims) if rank else integer(3, 1)
    return delimited(1, name) + integer(2, number) + delimited(3, shape)


def signature(
    key: str, inputs: dict[str, bytes], outputs: dict[str, bytes], method: str = PREDICT
) -> bytes:
    """An entry of signature_def."""
    parts = [entry(1, name, info) for name, info in inputs.items()]
    parts += [entry(2, name, info) for name, info in outputs.items()]
    return entry(5, key, *parts, delimited(3, method))


#: A signature that no rule minds, and its nodes.
NODES = (node("x", "Placeholder", dtype=dtype(FLOAT)), node("y", "Identity", "x", T=dtype(FLOAT)))
SOUND = signature(
    "serving_default", {"x": tensor("x:0", FLOAT, -1, 3)}, {"y": tensor("y:0", FLOAT, -1, 3)}
)


def graph(*nodes: bytes, fields: bytes = SOUND, tags: tuple[str, ...] = ("serve",),
          functions: tuple[bytes, ...] = (), versions: bytes = b"") -> bytes:  # fmt: skip
    """A MetaGraphDef, with the nodes of SOUND before these."""
    info = delimited(1, *(delimited(4, tag) for tag in tags))
    library = delimited(2, *(delimited(1, f) for f in functions))
    parts = [delimited(1, n) for n in (*NODES, *nodes)]
    return info + delimited(2, *parts, library, delimited(4, versions)) + fields


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a model lies that no rule minds."""
    path = tmp_path / "model" / "1"
    path.mkdir(parents=True)
    return path


def write(folder: Path, *graphs: bytes) -> Path:
    data = integer(1, 1) + b"".join(delimited(2, g) for g in graphs)
    (folder / "saved_model.pb").write_bytes(data)
    return folder


def lint(folder: Path, *graphs: bytes, **options: object) -> list[Finding]:
    """What is found in a model of these meta graphs."""
    return fastsm.lint(write(folder, *graphs), **options).findings  # type: ignore[arg-type]


def only(findings: list[Finding]) -> tuple[str, str]:
    """The one finding: its rule, and what it says."""
    (finding,) = findings
    assert finding.severity == RULES[finding.id][0]
    assert finding.docs == f"docs/rules/{finding.id}.md"
    return finding.id, finding.message


def test_a_sound_model(folder: Path) -> None:
    assert lint(folder, graph()) == []


# -- tags --


def test_tags(folder: Path) -> None:
    rule, words = only(found := lint(folder, graph(tags=("serve", "gpu"))))
    assert rule == "no-serve-tag" and words.startswith("{gpu, serve}: ")
    assert found[0].fix == f"fastsm retag {folder} gpu,serve serve"
    fastsm.retag(folder, {"gpu", "serve"}, "serve", sync=False)
    assert fastsm.lint(folder).findings == []


def test_letters_as_tags(folder: Path) -> None:
    rule, words = only(found := lint(folder, graph(tags=tuple("serve"))))
    assert (rule, words) == (
        "tag-letters", '{e, r, s, v}: tags="serve" was given where tags=["serve"] belongs'
    )  # fmt: skip
    assert found[0].fix == f"fastsm retag {folder} e,r,s,v serve"
    assert [f.id for f in lint(folder, graph(tags=("a", "b")))] == ["no-serve-tag"]


def test_equal_tag_sets(folder: Path) -> None:
    rule, words = only(lint(folder, graph(), graph(tags=("serve", "serve"))))
    assert rule == "tag-set-twice" and "of meta_graphs[0], too" in words


@pytest.mark.parametrize("tag", ["a,b", " a", ""])
def test_tags_that_no_flag_names(folder: Path, tag: str) -> None:
    rule, _ = only(lint(folder, graph(), graph(tags=(tag,))))
    assert rule == "tag-spelling"


def test_objects_beside_another_meta_graph(folder: Path) -> None:
    objects = delimited(7, delimited(1, delimited(4, delimited(1, "_generic_user_object"))))
    found = lint(folder, graph(fields=SOUND + objects), graph(tags=("gpu",)))
    assert [f.id for f in found] == ["objects-ignored"]


# -- signatures --


def test_no_signature(folder: Path) -> None:
    init = signature("__saved_model_init_op", {}, {"__saved_model_init_op": tensor("y")}, "")
    assert only(lint(folder, graph(fields=init)))[0] == "no-signature"
    assert only(lint(folder, graph(fields=b"")))[0] == "no-signature"
    assert lint(folder, graph(), graph(fields=b"", tags=("train",))) == []


def test_no_default_signature(folder: Path) -> None:
    fields = signature("score", {}, {"y": tensor("y:0", FLOAT, -1)})
    rule, words = only(found := lint(folder, graph(fields=fields)))
    assert (rule, words) == ("no-serving-default", "1 signature: score")
    assert found[0].fix == f"fastsm copy-signature {folder} score serving_default"


@pytest.mark.parametrize(
    ("method", "inputs", "outputs", "words"),
    [
        ("tensorflow/serving/regress", {"x": STRING}, ["outputs"], "one input, called inputs"),
        ("tensorflow/serving/regress", {"inputs": FLOAT}, ["outputs"], "an input of strings"),
        ("tensorflow/serving/regress", {"inputs": STRING}, ["y"], "one output, called outputs"),
        ("tensorflow/serving/classify", {"inputs": STRING}, ["y"], "classes, or scores, or both"),
        ("tensorflow/serving/nonsense", {"x": FLOAT}, ["y"], "predict, classify, regress"),
        ("", {"x": FLOAT}, ["y"], "no method"),
    ],
)
def test_methods(
    folder: Path, method: str, inputs: dict[str, int], outputs: list[str], words: str
) -> None:
    fields = signature(
        "serving_default", {n: tensor("x:0", t, -1) for n, t in inputs.items()},
        {n: tensor("y:0", FLOAT, -1) for n in outputs}, method,
    )  # fmt: skip
    rule, said = only(lint(folder, graph(fields=fields)))
    assert rule == "serving-method" and words in said
    assert lint(folder, graph(), graph(fields=fields, tags=("eval",))) == []


def test_a_method_that_is_served(folder: Path) -> None:
    fields = signature(
        "serving_default", {"inputs": tensor("x:0", STRING, rank=False)},
        {"classes": tensor("y:0", STRING, -1, -1)}, "tensorflow/serving/classify",
    )  # fmt: skip
    assert lint(folder, graph(fields=fields)) == []


@pytest.mark.parametrize(
    ("rule", "info"),
    [
        ("signature-scalar", tensor("x:0", FLOAT)),
        ("signature-rank", tensor("x:0", FLOAT, rank=False)),
        ("signature-batch", tensor("x:0", FLOAT, 1, 3)),
    ],
)
def test_shapes(folder: Path, rule: str, info: bytes) -> None:
    fields = signature(
        "serving_default", {"a": info, "b": tensor("x:0", FLOAT, -1)},
        {"y": tensor("y:0", FLOAT, -1)},
    )  # fmt: skip
    found, words = only(lint(folder, graph(fields=fields)))
    assert found == rule and words.startswith("a float32[")


def test_a_shape_that_is_left_out_is_no_scalar(folder: Path) -> None:
    bare = delimited(1, "x:0")
    fields = signature("serving_default", {"x": bare}, {"y": tensor("y:0", FLOAT, -1)})
    assert lint(folder, graph(fields=fields)) == []


def test_descriptions_that_disagree(model_copy: ModelFactory) -> None:
    """What sessions call two is another function than tf.saved_model.load finds."""
    path = model_copy("two_signatures")
    rule = {"only": ["signature-disagrees"]}
    assert fastsm.lint(path, **rule).findings == []
    by_hand(path, lambda r, g: signature_def.remove(r, g, {"two"}))
    by_hand(path, lambda r, g: signature_def.copy(r, g, "serving_default", "two"))
    found = fastsm.lint(path, **rule).findings
    assert [f.message.partition(":")[0] for f in found] == ["inputs", "outputs"]
    assert "scale is in the object graph alone" in found[0].message
    assert "out is in the object graph alone" in found[1].message


# -- what loading runs --


def test_a_train_op_that_takes_placeholders(folder: Path) -> None:
    def found(taken: str) -> list[Finding]:
        train = signature("__saved_model_train_op", {}, {"__saved_model_train_op": tensor("t")}, "")
        return lint(folder, graph(node("t", "NoOp", f"^{taken}"), fields=SOUND + train))

    rule, words = only(result := found("y"))
    assert rule == "train-op" and words.startswith("t takes x: ")
    assert result[0].fix == f"fastsm remove-signature {folder} __saved_model_train_op"
    assert found("t") == []


def test_two_init_ops(folder: Path) -> None:
    nodes = [node("a", "NoOp"), node("b", "NoOp")]
    listed = node_list("saved_model_main_op", "a", "b")
    assert only(lint(folder, graph(*nodes, fields=SOUND + listed)))[0] == "init-op-twice"
    assert lint(folder, graph(*nodes, fields=SOUND + init_op("a"))) == []


def looks_up(init: bytes, *nodes: bytes) -> bytes:
    """A meta graph with a table that its signature looks up in."""
    table = node("t", "HashTableV2", key_dtype=dtype(STRING), value_dtype=dtype(FLOAT))
    find = node("f", "LookupTableFindV2", "t", "x", "c")
    fields = signature(
        "serving_default", {"x": tensor("x:0", STRING, -1)}, {"y": tensor("f:0", FLOAT, -1)}
    )
    return graph(table, node("c", "Const"), find, *nodes, fields=fields + init)


def test_a_table_that_nothing_fills(folder: Path) -> None:
    fill = node("i", "InitializeTableV2", "t", "c", "c")
    rule, words = only(lint(folder, looks_up(b"", fill)))
    assert rule == "table-uninitialized" and words.startswith("node t: ")
    assert lint(folder, looks_up(init_op("i"), fill)) == []
    # Two nodes of one shared name are one table.
    twin = node("t2", "HashTableV2", shared_name=text("t"))
    assert lint(folder, looks_up(init_op("j"), twin, node("j", "InitializeTableV2", "t2"))) == []


def test_a_variable_that_nothing_sets(folder: Path) -> None:
    handle = node("v", "VarHandleOp", dtype=dtype(FLOAT))
    read = node("r", "ReadVariableOp", "v", dtype=dtype(FLOAT))
    assign = node("v/Assign", "AssignVariableOp", "v", "x", dtype=dtype(FLOAT))
    fields = signature("serving_default", {}, {"y": tensor("r:0", FLOAT, -1)})
    rule, words = only(lint(folder, graph(handle, read, assign, fields=fields)))
    assert rule == "variable-uninitialized" and "C++ and TF Serving fail" in words
    assert lint(folder, graph(handle, read, assign, fields=fields + init_op("v/Assign"))) == []
    restored = saver("v/Assign", "y:0")
    (finding,) = lint(folder, graph(handle, read, assign, fields=fields + restored))
    assert finding.id == "index-missing"  # what it would be restored from
    waits = node("w", "Identity", "r", "^v/Assign")
    fields = signature("serving_default", {}, {"y": tensor("w:0", FLOAT, -1)})
    assert lint(folder, graph(handle, read, assign, waits, fields=fields)) == []


# -- ops --


def test_ops_of_libraries(folder: Path) -> None:
    rule, words = only(lint(folder, graph(node("a", "Nonsense"))))
    assert (rule, words) == ("op-custom", "Nonsense: a library registers it")
    nodes = [node("a", "TFText>NgramsStringJoin"), node("b", "WordpieceTokenizeWithOffsets")]
    _, words = only(lint(folder, graph(*nodes)))
    assert words.endswith(": import tensorflow_text registers them")
    _, words = only(lint(folder, graph(node("a", "Resampler"))))
    assert words == "Resampler: tf.contrib, which TensorFlow 2 does not have, registers it"
    assert lint(folder, graph(node("a", "f"), functions=(function("f"),))) == []


def test_python_functions(folder: Path) -> None:
    call = node("p", "PyFunc", "x", token=text("pyfunc_0"))
    assert lint(folder, graph(call)) == []
    fields = signature("serving_default", {}, {"y": tensor("p:0", FLOAT, -1)})
    assert only(lint(folder, graph(call, fields=fields)))[0] == "op-python"
    inside = function("f", node("p", "EagerPyFunc", token=text("pyfunc_0")))
    nodes = [node("p", "PartitionedCall", f=function_named("f"))]
    assert only(lint(folder, graph(*nodes, functions=(inside,), fields=fields)))[0] == "op-python"


@pytest.mark.parametrize(
    ("version", "nodes", "words"),
    [
        ("2.9", ["DisableCopyOnRead"], "DisableCopyOnRead came with TensorFlow 2.10: node n0"),
        ("2.9.3", ["DisableCopyOnRead"], "DisableCopyOnRead came with TensorFlow 2.10: node n0"),
        ("2.10", ["DisableCopyOnRead"], ""),
        (None, ["DisableCopyOnRead"], ""),
        ("1.4", ["Add"], ""),
        ("1.4", ["AddV2", "AddV2"], "AddV2 came with TensorFlow 1.5: 2 nodes, as n0"),
        ("2.5", ["Rpc"], "Rpc is in TensorFlow up to 2.4: node n0"),
        (None, ["Rpc"], "Rpc is in TensorFlow up to 2.4: node n0"),
        ("2.4", ["Rpc"], ""),
    ],
)
def test_releases(folder: Path, version: str | None, nodes: list[str], words: str) -> None:
    made = [node(f"n{i}", op_name) for i, op_name in enumerate(nodes)]
    found = lint(folder, graph(*made), tf_version=version)
    assert [f.message for f in found if f.id == "op-version"] == ([words] if words else [])


def test_attributes_that_came_later(folder: Path) -> None:
    made = graph(node("c", "Conv2D", "x", "x", explicit_paddings=count(1), T=dtype(FLOAT)))
    _, words = only(lint(folder, made, tf_version="1.13"))
    assert words == "Conv2D.explicit_paddings came with TensorFlow 1.14: node c"
    assert lint(folder, made, tf_version="1.14") == []
    assert lint(folder, graph(node("c", "Conv2D", "x", "x")), tf_version="1.13") == []


def test_versions_of_graphs(folder: Path) -> None:
    late = graph(versions=integer(1, 3000) + integer(2, 2000))
    rule, words = only(lint(folder, late, tf_version="2.12"))
    assert rule == "graph-version" and "min_consumer is 2000, and TensorFlow 2.12 is 1395" in words
    assert lint(folder, late, tf_version="2.20") == []
    bad = graph(versions=integer(1, 1000) + integer(3, 1395))
    assert only(lint(folder, bad, tf_version="2.12"))[0] == "graph-version"
    assert lint(folder, bad, tf_version="2.13") == []


@pytest.mark.parametrize("version", ["2", "2.99", "3.0", "two", "2.12.1.1", ""])
def test_releases_that_are_not_known(folder: Path, version: str) -> None:
    with pytest.raises(UsageError, match="is no version of TensorFlow that fastsm knows"):
        lint(folder, graph(), tf_version=version)


# -- where it runs --


def placed(device: str) -> bytes:
    return node("d", "NoOp") + delimited(4, device)


@pytest.mark.parametrize(
    ("device", "is_found"),
    [
        ("/device:GPU:0", True), ("/gpu:1", True), ("/device:TPU:0", True), ("/job:ps", True),
        ("/job:localhost/replica:0/task:0/device:GPU:0", True), ("/task:1", True),
        ("/replica:2", True), ("/device:CPU:1", True), ("/device:XLA_CPU:0", True),
        ("/device:CPU:0", False), ("/cpu:0", False), ("/device:CPU:*", False), ("/task:0", False),
        ("/job:localhost/replica:0/task:0/device:CPU:0", False), ("/job:localhost", False),
    ],
)  # fmt: skip
def test_devices(folder: Path, device: str, is_found: bool) -> None:
    assert [f.id for f in lint(folder, graph(placed(device)))] == ["device-pinned"] * is_found
    if is_found:
        fastsm.clear_devices(folder, in_place=True, sync=False)
        assert fastsm.lint(folder).findings == []


@pytest.mark.parametrize(
    ("device", "is_found"), [("/device:GPU:0", False), ("/job:ps/task:3/device:CPU:0", True)]
)
def test_devices_in_functions(folder: Path, device: str, is_found: bool) -> None:
    """Calls place softly, but not in another process."""
    body = function("f", placed(device))
    call = node("c", "PartitionedCall", f=function_named("f"))
    fields = signature("serving_default", {}, {"y": tensor("c:0", FLOAT, -1)})
    found = lint(folder, graph(call, functions=(body,), fields=fields))
    assert [f.id for f in found] == ["device-pinned"] * is_found
    assert lint(folder, graph(functions=(body,))) == []  # which nothing calls


def constant(name: str, value: str) -> bytes:
    tensor_proto = delimited(8, integer(1, STRING), delimited(2), delimited(8, value))
    return node(name, "Const", dtype=dtype(STRING), value=tensor_proto)


def test_files_that_are_no_assets(folder: Path) -> None:
    path = "/home/someone/words.txt"
    nodes = [
        constant("path", path), node("same", "Identity", "path"),
        node("file", "ReadFile", "same"),
    ]  # fmt: skip
    fields = signature("serving_default", {}, {"y": tensor("file:0", STRING)})
    rule, words = only(lint(folder, graph(*nodes, fields=fields)))
    assert (rule, words) == (
        "file-outside", f'ReadFile opens "{path}", which is no asset of the model'
    )  # fmt: skip
    assert lint(folder, graph(*nodes)) == []  # which nothing runs
    (folder / "assets").mkdir()
    (folder / "assets" / "words.txt").write_text("a\n")
    asset = delimited(6, delimited(1, delimited(1, "path:0")), delimited(2, "words.txt"))
    assert lint(folder, graph(*nodes, fields=fields + asset)) == []


# -- training --


def test_what_training_left(folder: Path) -> None:
    nodes = [node("gradients/a", "Identity", "x"), node("b", "ApplyAdam")]
    rule, words = only(found := lint(folder, graph(*nodes)))
    assert (rule, words) == (
        "training-nodes",
        "1 node of optimizers (ApplyAdam), 1 node of gradients: no signature runs that",
    )
    assert found[0].fix == f"fastsm strip-training-graph {folder}"
    assert lint(folder, graph(), graph(*nodes, tags=("train",))) == []
    fields = signature("serving_default", {}, {"y": tensor("all:0", FLOAT, -1)})
    step = node("all", "Identity", "gradients/a", "^b")
    assert lint(folder, graph(*nodes, step, fields=fields)) == []


def test_functions_that_train(folder: Path) -> None:
    step = function("step", node("a", "ResourceApplyAdam", inputs_of=dtype(RESOURCE)))
    _, words = only(lint(folder, graph(functions=(step,))))
    assert words.endswith("1 training function: no signature runs that")


# -- the folder --


def test_version_folders(tmp_path: Path, folder: Path) -> None:
    named = tmp_path / "model" / "export"
    named.mkdir()
    assert only(lint(named, graph()))[0] == "version-folder"
    twin = tmp_path / "model" / "01"
    twin.mkdir()
    rule, words = only(lint(folder, graph()))
    assert rule == "version-folder" and words.startswith("01 beside it is version 1, too")
    assert only(lint(twin, graph()))[0] == "version-folder"


def test_files_beside(folder: Path) -> None:
    for name in ("saved_model.pbtxt", "saved_model.cpb"):
        (folder / name).touch()
        assert only(lint(folder, graph()))[0] == "twin-file"
        (folder / name).unlink()


def test_the_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, graph())
    size = os.path.getsize(folder / "saved_model.pb")
    assert NEAR > MAX_SIZE * 0.8
    monkeypatch.setattr("fastsm.check.lint_files.NEAR", size)
    rule, words = only(fastsm.lint(folder).findings)
    assert rule == "model-size" and "below what protobuf reads" in words
    monkeypatch.setattr("fastsm.check.lint_files.MAX_SIZE", size - 1)
    assert "beyond what protobuf reads" in only(fastsm.lint(folder).findings)[1]


def test_warm_up(model_copy: ModelFactory) -> None:
    path = model_copy("warmup")
    rules = {"version-folder", "signature-scalar"}
    assert {f.id for f in fastsm.lint(path).findings} <= rules
    fastsm.rename_signature(path, "serving_default", "other", sync=False)
    found = [f for f in fastsm.lint(path).findings if f.id == "warmup-request"]
    assert found and 'no signature "serving_default"' in found[0].message
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.write_bytes(file.read_bytes()[:-3])
    assert any("damaged" in f.message for f in fastsm.lint(path).findings)


# -- the report --


def test_which_rules(folder: Path) -> None:
    made = graph(node("a", "Nonsense"), node("b", "ApplyAdam"), tags=("gpu",))
    assert {f.id for f in lint(folder, made)} == {"op-custom", "training-nodes", "no-serve-tag"}
    assert [f.id for f in lint(folder, made, only=["op-custom"])] == ["op-custom"]
    left = lint(folder, made, ignore=("op-custom", "no-serve-tag"))
    assert [f.id for f in left] == ["training-nodes"]
    for option in ("only", "ignore"):
        with pytest.raises(UsageError, match="there is no rule 'op-costum'") as raised:
            lint(folder, made, **{option: ["op-costum"]})
        assert str(raised.value.hint).startswith("Did you mean op-custom?")


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(folder, graph(node("a", "Nonsense"), tags=("serve",))))
    assert run("lint", path) == 0
    assert "op-custom" in capsys.readouterr().out
    assert run("lint", path, "--fail-on", "warning") == 1
    assert run("lint", path, "--fail-on", "warning", "--ignore", "op-custom") == 0
    assert run("lint", path, "--fail-on=never", "--only=op-custom") == 0
    assert run("lint", path, "--fail-on", "always") == 2
    assert run("lint", path, "--tf-version", "0.1") == 2
    assert run("lint", str(folder.parent / "nothing")) == 4
    capsys.readouterr()
    assert run("lint", path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fastsm.lint/1" and document["warnings"] == 1
    assert document["findings"][0]["docs"] == "docs/rules/op-custom.md"


def test_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a checkpoint") as raised:
        fastsm.lint(TAGGER / "variables" / "variables")
    assert raised.value.hint == "fastsm verify checks one."
    with pytest.raises(fastsm.MissingError):
        fastsm.lint(tmp_path / "nothing")


# -- all models --

#: Models of ours that are made for a rule of lint's: what it finds that is no note.
FOUND = {
    "duplicate_tags": {"tag-set-twice"},
    "extra_tags": {"no-serve-tag"},
    "letter_tags": {"tag-letters"},
    "no_init_op": {"table-uninitialized"},
    "no_saver": {"variable-uninitialized"},
    "no_signatures": {"no-signature"},
    "no_tags": {"no-serve-tag"},
    "odd_tags": {"no-serve-tag"},
    "stale_fingerprint": {"no-serve-tag"},
    "train_op_signature": {"train-op"},
    "v1_devices": {"device-pinned"},
    "v1_no_signatures": {"no-signature"},
}


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"no_meta_graphs"}))
def test_models(name: str, model: ModelFactory) -> None:
    found = {f.id for f in fastsm.lint(model(name)).findings if f.severity != "note"}
    assert found & OF_LINT == FOUND.get(name, set())


def test_models_of_others(corpus_model: CorpusEntry) -> None:
    report = fastsm.lint(corpus_model.path)
    again = fastsm.lint(corpus_model.path)
    assert report.to_dict() == again.to_dict()
