"""What is asked of a strip, option by option, each judged by TensorFlow.

Where each requirement is held; what has no file is held here:

- R1 signatures: all stay that are not named; `test_strip` holds every model, here one by one
- R2 every reference resolves: `test_references`, and `follows` here of each model that is written
- R3 the checkpoint holds what is needed, byte for byte: here; shards: `test_bundle_rewrite`
- R4 a signature stands in three places, and goes from all: here; numbers, lists: `test_kept`
- R5 what loading runs, and what restores: `test_reach`, `test_restoring`
- R6 no init op, no saver: `test_reach`, and here of whole models
- R7 what is known of ops: `test_ops`
- R8 assets: here
- R9 callables, objects by their paths, gradients, tf_keras: here and in `test_kept`
- R10 doubled and lost variables: `test_unify`; on their way through a strip: here
- R11 what saves: `test_restoring`; saved and restored by TensorFlow: here
- R12 meta graphs, one and many: here
- R13 fingerprint, op list, aliases, shapes and debug info: here
- R14 the same bytes each time, a second strip changes nothing: `follows`; undone: here, and
  `test_edit_crash` and `test_commit` for the rest
- R15 cost: `benchmarks`; numbers before and after: here and in `test_cli_strip`
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.cli import main
from fastsm.commit import commit
from fastsm.edits import signature_def
from fastsm.fingerprint import SIGNATURES
from fastsm.graph.nodes import Graph

from .conftest import ModelFactory
from .models import MODELS
from .oracle import Oracle, Survey, TensorFlowFailed
from .test_kept import computed
from .test_retag import contents
from .test_unify import draft_of

SERVE = frozenset(["serve"])


def strip(path: Path, out: Path, **options: Any) -> fastsm.EditResult:
    before = contents(path)
    result = fastsm.strip_training_graph(path, out=out, sync=False, **options)
    assert contents(path) == before
    return result


def surveyed(path: Path, oracle: Oracle, words: Path | None = None) -> Survey:
    return oracle.survey(path, words=words or path, feeds=MODELS[(words or path).name].feeds)


def follows(
    path: Path, out: Path, oracle: Oracle, keys: Collection[str] | None = None, **options: Any
) -> tuple[Survey, Survey]:
    """Strip a model, and hold what each loader makes of it against what it made before.

    Args:
        keys: The signatures that stay; None for all.

    Returns:
        What TensorFlow makes of the model, and of the stripped one.
    """
    strip(path, out, **options)
    before, after = surveyed(path, oracle), surveyed(out, oracle, path)
    gone = {frozenset(tags) for tags in options.get("drop_tags", ())}
    for of, was in before.graphs.items():
        if of[0] in gone:
            assert of not in after.graphs
        elif not was.error:
            now = after.graphs[of]
            assert not now.error, (of, now.error)
            stay = set(was.signatures) if keys is None else set(keys) & set(was.signatures)
            assert set(now.signatures) == stay, of
            for key in stay:
                rows = was.signatures[key]
                assert isinstance(rows, str) or now.signatures[key] == rows, (of, key)
            for key, rows in now.methods.items():
                assert isinstance(was.methods[key], str) or was.methods[key] == rows, (of, key)
    if not isinstance(before.objects, str):
        assert not isinstance(after.objects, str), after.objects
    assert_sound(path, out, after)
    again = {name: asked for name, asked in options.items() if not name.startswith("drop_")}
    strip(out, out.with_name("again"), **again)
    assert contents(out.with_name("again")) == contents(out)
    shutil.rmtree(out.with_name("again"))
    return before, after


def assert_sound(path: Path, out: Path, after: Survey) -> None:
    """Nothing is wrong that was not before, and the fingerprint is what TensorFlow computes."""
    assert found(out) <= found(path)
    stored = fastsm.open(out).fingerprint
    if stored is not None:
        assert not isinstance(after.fingerprint, str)
        said = stored.to_dict()
        wanted = after.fingerprint._asdict()
        names = [name for name in wanted if name != "producer"]
        assert [int(said[name]) for name in names] == [wanted[name] for name in names]


def found(path: Path) -> set[str]:
    return {f.id for f in fastsm.verify(path).findings}


def signatures(path: Path) -> list[str]:
    return sorted({key for g in fastsm.open(path).meta_graphs for key in g.signatures})


def size(path: Path) -> int:
    return sum(len(content) for content in contents(path).values())


# -- signatures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["train_signature", "control_flow", "keras_endpoints", "v1_sparse", "v1_trained_ref",
     "two_meta_graphs_v2"],
)  # fmt: skip
def test_each_signature_alone(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model(name)
    keys = signatures(path)
    assert len(keys) > 1
    for i, key in enumerate(keys):
        follows(path, tmp_path / f"only {i}", oracle, {key}, keep_signatures=[key])
        left = tmp_path / f"without {i}"
        follows(path, left, oracle, {*keys} - {key}, drop_signatures=[key], level="callables")


def test_a_signature_goes_from_all_three_places(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    strip(model("train_signature"), tmp_path / "out", drop_signatures=["train"])
    draft = draft_of(tmp_path / "out")
    (graph,) = draft.graphs
    assert "train" not in graph.signature_defs and graph.objects is not None
    held = graph.objects.child(graph.objects.root, "signatures")
    assert held is not None
    assert sorted(key for key, _ in held.child_ids) == ["embed", "serving_default"]
    assert draft.tracked is not None
    assert b"train" not in draft.tracked.source.read(0, draft.tracked.source.size)


def test_a_signature_of_signature_def_alone(
    model_copy: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """tf.saved_model.load never had it; sessions have it as before."""
    path = model_copy("two_signatures")
    info = fastsm.open(path).meta_graphs[0].signatures["serving_default"]
    fastsm.add_signature(
        path, "added", inputs={a: i.name for a, i in info.inputs.items()},
        outputs={a: i.name for a, i in info.outputs.items()}, in_place=True, sync=False,
    )  # fmt: skip
    _, after = follows(path, tmp_path / "out", oracle, {"added"}, keep_signatures=["added"])
    assert list(after.graphs[SERVE, "v1"].signatures) == ["added"]
    assert not after.graphs[SERVE, "v2"].signatures
    _, after = follows(
        path, tmp_path / "without", oracle, {"two", "serving_default"}, drop_signatures=["added"]
    )
    assert "added" not in after.graphs[SERVE, "cc"].signatures


def test_a_signature_of_the_objects_alone(
    model_copy: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """Sessions never had it; tf.saved_model.load has it as before."""
    path = model_copy("two_signatures")
    draft = draft_of(path)
    rewrite = draft.rewrite()
    signature_def.remove(rewrite, draft.graphs[0], {"two"})
    draft.put(rewrite, [SIGNATURES])
    commit(draft.finish(), sync=False)
    _, after = follows(path, tmp_path / "out", oracle, {"two"}, keep_signatures=["two"])
    assert list(after.graphs[SERVE, "v2"].signatures) == ["two"]
    _, after = follows(
        path, tmp_path / "without", oracle, {"serving_default"}, drop_signatures=["two"]
    )
    assert list(after.graphs[SERVE, "v2"].signatures) == ["serving_default"]


def test_the_signature_of_the_train_op_goes(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    follows(model("train_op_signature"), out, oracle)
    assert b"__saved_model_train_op" not in (out / "saved_model.pb").read_bytes()


# -- meta graphs -------------------------------------------------------------------------------

SEVERAL = [
    "train_and_serve_ref", "train_and_serve_resource", "tables_and_tags", "two_meta_graphs_v2",
]  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_one_meta_graph_of_several(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """The others stay as they are, byte for byte, and so does what they restore."""
    path = model(name)
    for i, graph in enumerate(fastsm.open(path).meta_graphs):
        out = tmp_path / f"one {i}"
        follows(path, out, oracle, tags=graph.tag_set)
        old, new = draft_of(path), draft_of(out)
        for one, other in zip(old.graphs, new.graphs, strict=True):
            same = raw(old, one) == raw(new, other)
            assert same == (one.index != i)

def raw(draft: Any, graph: Any) -> bytes:
    found: bytes = draft.reader.source.read(graph.field.at, graph.field.end - graph.field.at)
    return found


@pytest.mark.parametrize("name", SEVERAL)
def test_a_meta_graph_goes_whole(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model(name)
    for i, graph in enumerate(fastsm.open(path).meta_graphs):
        out = tmp_path / f"without {i}"
        keys = {
            key for g in fastsm.open(path).meta_graphs if g.tag_set != graph.tag_set
            for key in g.signatures
        }  # fmt: skip
        follows(path, out, oracle, keys, drop_tags=[graph.tag_set])


def test_damage_of_a_meta_graph_that_is_left_alone_is_no_matter(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model("dangling_collection")
    assert "collection-dangling" in found(path)
    follows(path, tmp_path / "out", oracle, tags=["train"])


def test_what_tells_of_objects_and_code_stays_with_a_meta_graph_that_is_left_alone(
    model_copy: ModelFactory, tmp_path: Path
) -> None:
    path = model_copy("two_meta_graphs_v2")
    (path / "debug").mkdir()
    (path / "debug" / "saved_model_debug_info.pb").write_bytes(b"")
    (path / "keras_metadata.pb").write_bytes(b"")
    strip(path, tmp_path / "one", tags=["serve"])
    strip(path, tmp_path / "all")
    extra = {"debug/saved_model_debug_info.pb", "keras_metadata.pb"}
    assert extra <= set(contents(tmp_path / "one"))
    assert not extra & set(contents(tmp_path / "all"))


# -- objects -----------------------------------------------------------------------------------


def test_an_optimizer_that_is_kept_has_its_slots(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """tf_keras goes on where the training of the original stood."""
    path, out = model("tf_keras_slots"), tmp_path / "out"
    result = strip(path, out, level="callables", keep_objects=["optimizer"])
    assert not result.after["drops"]["slots"] and not result.after["drops"]["optimizer"]
    keys = {entry.key for entry in oracle.index(out).entries}
    assert {e.key for e in oracle.index(path).entries} == keys
    program = """
        import sys, numpy, tf_keras
        for path in sys.argv[1:]:
            net = tf_keras.models.load_model(path)
            x = numpy.ones([2, 3], "float32")
            net.fit(x, numpy.ones([2, 2]), verbose=0)
            print([w.tobytes().hex() for w in net.get_weights() + net.optimizer.get_weights()])
    """
    first, second = computed(program, path, out)
    assert first == second


@pytest.mark.parametrize(
    "path_of", ["layer_with_weights-0/kernel", "keras_api/metrics/0/count", "optimizer/iter"]
)
@pytest.mark.parametrize("level", ["serving", "callables"])
def test_objects_are_named_as_variables_prints_them(
    path_of: str, level: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model("tf_keras_slots")
    assert f"  {path_of}\n" in f"{printed(path)}\n"
    plain = tmp_path / "plain"
    strip(path, plain, level=level)
    follows(path, tmp_path / "out", oracle, level=level, keep_objects=[path_of])
    key = f"{path_of}/.ATTRIBUTES/VARIABLE_VALUE"
    kept, without = (
        {entry.key for entry in oracle.index(p).entries} for p in (tmp_path / "out", plain)
    )
    assert kept == without | {key}


def printed(path: Path) -> str:
    """What `fastsm variables` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as e:
        main(["variables", str(path)])
    assert e.value.code == 0
    return out.getvalue()


def test_an_object_that_is_dropped_takes_what_only_it_needs(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model("random_state")
    strip(path, tmp_path / "plain", level="callables", keep_objects=["momentum"])
    follows(path, tmp_path / "out", oracle, level="callables", drop_objects=["serve"])
    kept, left = (oracle.index(tmp_path / name).entries for name in ("plain", "out"))
    assert {e.key.partition("/")[0] for e in kept} - {e.key.partition("/")[0] for e in left} == {
        "momentum"
    }


# -- callables ---------------------------------------------------------------------------------

PREDICT = """
    import sys, numpy, tf_keras
    for path in sys.argv[1:]:
        net = tf_keras.models.load_model(path)
        x = numpy.ones([2, *net.input_shape[1:]], "float32")
        print(net.predict(x, verbose=0).tobytes().hex(), len(net.weights))
"""


@pytest.mark.parametrize("name", ["tf_keras_lstm", "tf_keras_slots"])
def test_tf_keras_loads_what_is_left(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model(name)
    outs = []
    for options in (
        {}, {"inference_only": True}, {"no_gradients": True}, {"strip_debug": True},
        {"keep_save": True},
    ):  # fmt: skip
        outs.append(tmp_path / "-".join(["out", *options]))
        follows(path, outs[-1], oracle, level="callables", **options)
    first, *others = computed(PREDICT, path, *outs)
    assert others == [first] * len(outs)
    # For serving there is no Keras model left.
    strip(path, tmp_path / "serving")
    assert not (tmp_path / "serving" / "keras_metadata.pb").exists()


GRADIENT = """
    import sys, tensorflow as tf
    for path in sys.argv[1:]:
        loaded = tf.saved_model.load(path)
        x = tf.constant([-3.0, 0.25, 2.0])
        try:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(loaded.serve(x)["y"] ** 2)
            print(tape.gradient(y, x).numpy().tolist())
        except LookupError:
            print("LookupError")
"""


def test_a_gradient_is_the_programs_own_or_an_error(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model("custom_gradient")
    for name, options in (
        ("with", {}), ("without", {"no_gradients": True}), ("inference", {"inference_only": True}),
    ):  # fmt: skip
        follows(path, tmp_path / name, oracle, level="callables", **options)
    outs = [tmp_path / name for name in ("with", "without", "inference")]
    said = computed(GRADIENT, path, *outs)
    assert said[0].startswith("[") and said == [said[0], said[0], "LookupError", "LookupError"]
    assert size(outs[1]) < size(outs[0])


def test_traces_of_training_go_with_inference_only(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model("tf_keras_lstm")
    plain = strip(path, tmp_path / "plain", level="callables")
    lean = strip(path, tmp_path / "lean", level="callables", inference_only=True)
    assert lean.after["functions"] < plain.after["functions"]
    said = computed(
        """
        import sys, tensorflow as tf
        for path in sys.argv[1:]:
            loaded = tf.saved_model.load(path)
            try:
                loaded(tf.ones([2, 5, 3]), training=True)
            except ValueError:
                print("none of training")
            else:
                print(loaded(tf.ones([2, 5, 3]), training=False).numpy().tobytes().hex())
        """,
        path, tmp_path / "plain", tmp_path / "lean",
    )  # fmt: skip
    assert said[0] == said[1] and said[2] == "none of training"


@pytest.mark.parametrize("option", ["inference_only", "no_gradients"])
def test_what_is_for_callables_alone(option: str, model: ModelFactory, tmp_path: Path) -> None:
    with pytest.raises(fastsm.UsageError) as e:
        strip(model("custom_gradient"), tmp_path / "out", **{option: True})
    flag = option.replace("_", "-")
    assert e.value.problem == (
        f"--{flag} ({option}) is for --level callables: at serving no such function stays"
    )
    assert not (tmp_path / "out").exists()


# -- what saves --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["serving", "callables"])
@pytest.mark.parametrize(
    "name",
    ["train_and_serve_ref", "train_and_serve_resource", "v1_trained_ref", "v1_shards",
     "partitioned", "train_signature", "trained_flow", "tables_again", "dtypes",
     "tf_keras_lstm", "keras_export"],
)  # fmt: skip
def test_what_is_kept_is_saved_and_restored_by_sessions(
    name: str, level: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """The checkpoint that the stripped model's own saver writes serves as well as the one that
    it has, in every loader."""
    path, out = model(name), tmp_path / "out"
    tried = {"level": level, "keep_save": True}
    _, after = follows(path, out, oracle, **tried)
    for i, graph in enumerate(fastsm.open(out).meta_graphs):
        again = tmp_path / f"saved {i}"
        shutil.copytree(out, again)
        shutil.rmtree(again / "variables")
        oracle.save_variables(out, graph.tag_set, again / "variables" / "variables")
        saved = surveyed(again, oracle, path)
        for loader in ("v2", "v1", "cc"):
            of = graph.tag_set, loader
            assert saved.graphs[of] == after.graphs[of]
        assert saved.objects == after.objects
    with pytest.raises(TensorFlowFailed, match=r"(does not exist|not in graph|not an element)"):
        strip(path, tmp_path / "mute", level=level)
        oracle.save_variables(tmp_path / "mute", graph.tag_set, tmp_path / "x" / "variables")


# -- debug -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["tf_keras_lstm", "trained_flow", "keras_export", "v1_trained", "debug_info"]
)
def test_what_only_people_read_goes(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model(name)
    strip(path, tmp_path / "plain")
    follows(path, tmp_path / "lean", oracle, strip_debug=True)
    plain, lean = ((tmp_path / n / "saved_model.pb").read_bytes() for n in ("plain", "lean"))
    assert len(lean) < 0.95 * len(plain)
    assert b"_output_shapes" in plain or name == "debug_info"
    for word in (b"_output_shapes", b"_input_shapes"):
        assert word not in lean
    assert not any(name.startswith("debug/") for name in contents(tmp_path / "plain"))
    # The same in two steps.
    strip(tmp_path / "plain", tmp_path / "two", strip_debug=True)
    assert contents(tmp_path / "two") == contents(tmp_path / "lean")


# -- files and models of all kinds -------------------------------------------------------------


@pytest.mark.parametrize("level", ["serving", "callables"])
@pytest.mark.parametrize(
    "name",
    ["v2_pbtxt", "v1_pbtxt", "no_variables", "v1_no_variables", "no_saver", "no_init_op",
     "legacy_init", "doubled_asset", "both_assets", "vocabulary", "nested_assets", "aliases",
     "keras_wrapped"],
)  # fmt: skip
def test_models_of_all_kinds(
    name: str, level: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    follows(model(name), tmp_path / "out", oracle, level=level, strip_debug=True)


def test_an_asset_that_is_fed_twice_is_fed_once(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """The C++ loader, which refuses the original, computes what the others do."""
    _, after = follows(model("doubled_asset"), tmp_path / "out", oracle)
    rows = after.graphs[SERVE, "v1"].signatures
    assert rows and after.graphs[SERVE, "cc"].signatures == rows


def test_the_asset_of_what_goes_goes_and_files_that_nothing_names_stay(
    model_copy: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path = model_copy("tables_and_tags")
    others = {
        "assets.extra/tf_serving_warmup_requests": b"x",
        "assets/sibling.txt": b"y",
        "tfhub_module.pb": b"z",
        "README.md": b"# mine\n",
    }
    for name, content in others.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    result = strip(path, tmp_path / "out", drop_signatures=["labels"])
    assert result.after["drops"]["assets"] == ["assets/labels.txt"]
    left = contents(tmp_path / "out")
    assert others.items() <= left.items()
    assert "assets/labels.txt" not in left and "assets/words.txt" in left
    after = surveyed(tmp_path / "out", oracle, path)
    assert all(not loaded.error for loaded in after.graphs.values())


def test_tensors_that_stay_keep_their_bytes(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    for name in ("tf_keras_lstm", "partitioned", "v1_shards", "trained_flow", "v1_trained"):
        strip(model(name), tmp_path / name)
        before = {e.key: e for e in oracle.index(model(name)).entries}
        for entry in oracle.index(tmp_path / name).entries:
            if entry.key == "_CHECKPOINTABLE_OBJECT_GRAPH":
                continue
            was = before[entry.key]
            assert entry[1:3] + entry[5:] == was[1:3] + was[5:]
        stored = oracle.tensors(tmp_path / name)
        stored.pop("_CHECKPOINTABLE_OBJECT_GRAPH", None)
        assert stored.items() <= oracle.tensors(model(name)).items()


def test_ops_and_aliases_that_are_listed_are_there(
    model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    for name in ("trained_flow", "aliases", "v1_trained"):
        strip(model(name), tmp_path / name)
        parsed = oracle.parse(tmp_path / name)["meta_graphs"]
        for graph, said in zip(fastsm.open(tmp_path / name).meta_graphs, parsed, strict=True):
            nodes = Graph(graph)
            info = said.get("meta_info_def", {})
            ops = {op["name"] for op in info.get("stripped_op_list", {}).get("op", [])}
            used = {op.decode() for op in nodes.index.names()}
            assert ops <= used
            library = {function.decode() for function in nodes.functions}
            assert set(info.get("function_aliases", {})) <= library


# -- beside other edits ------------------------------------------------------------------------


def one_by_one(path: Path, scratch: Path, edits: list[dict[str, Any]]) -> Path:
    for i, edit in enumerate(edits):
        with fastsm.edit(path, out=scratch / f"step {i}", sync=False) as e:
            e.apply([edit])
        path = scratch / f"step {i}"
    return path


STRIP = {"verb": "strip-training-graph"}
RENAME = {"verb": "rename-signature", "old": "serving_default", "new": "predict"}
RETAG = {"verb": "retag", "old": ["serve"], "new": ["serve", "slim"]}


@pytest.mark.parametrize(
    ("name", "edits"),
    [
        ("train_signature", [RENAME, {**STRIP, "drop_signatures": ["train"]}]),
        ("train_signature", [{**STRIP, "keep_signatures": ["serving_default"]}, RENAME, RETAG]),
        ("keras_export", [{"verb": "dedupe"}, STRIP, RETAG]),
        ("keras_saved", [{"verb": "repair"}, STRIP]),
        ("tf_keras_lstm", [{**STRIP, "level": "callables"}, STRIP]),
        ("v1_trained", [RENAME, STRIP, {"verb": "clear-devices"}]),
        ("vocabulary", [STRIP, {"verb": "rename-asset", "old": "words.txt", "new": "w.txt"}]),
        (
            "train_and_serve_ref",
            [{"verb": "remove-meta-graph", "tag_sets": [["train"]]}, STRIP],
        ),
    ],
)  # fmt: skip
def test_several_edits_at_once_are_as_one_after_the_other(
    name: str, edits: list[dict[str, Any]], model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    path, together = model(name), tmp_path / "together"
    with fastsm.edit(path, out=together, sync=False) as e:
        e.apply(edits)
    apart = one_by_one(path, tmp_path, edits)
    ours, theirs = contents(together), contents(apart)
    # A fingerprint has a number of its own for each time that it is written.
    if ours.pop("fingerprint.pb", None) is not None:
        theirs.pop("fingerprint.pb")
        assert oracle.stored_fingerprint(together) == oracle.fingerprint(together)
        assert oracle.stored_fingerprint(apart) == oracle.fingerprint(apart)
    assert ours == theirs
    assert all(not g.error for g in surveyed(together, oracle, path).graphs.values())


def test_two_strips_in_place_are_taken_back(model_copy: ModelFactory, tmp_path: Path) -> None:
    path = model_copy("tf_keras_lstm")
    first = contents(path)
    fastsm.strip_training_graph(
        path, level="callables", in_place=True, backup=tmp_path / "one", sync=False
    )
    second = contents(path)
    fastsm.strip_training_graph(path, in_place=True, backup=tmp_path / "two", sync=False)
    assert first != second != contents(path)
    fastsm.undo(path, tmp_path / "two", sync=False)
    assert contents(path) == second
    fastsm.undo(path, tmp_path / "one", sync=False)
    assert contents(path) == first
