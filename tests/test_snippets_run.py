"""Snippets, run as they are printed, and what came of those of all models.

By default those of the models of REPRESENTATIVE are run; all with FASTSM_AGREE=all.
"""
from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format

import fastsm
from fastsm.snippets import snippets

from . import snippets as harness
from . import triton_config
from .conftest import ModelFactory
from .models import MODELS
from .oracle import ROOT, Oracle
from .recorded import ALL, check_none_left_out, path_of, read
from .test_snippets import HOSTILE

RECORDED = read(harness.VERDICTS)

#: Among them: composites and their parts, methods named like a signature, dtypes without JSON,
#: names that are none of Python's, several meta graphs, Examples, assets, a text model, no inputs.
REPRESENTATIVE = [
    "ragged_and_sparse", "v1_sparse", "two_signatures", "dtypes", "odd_signatures", "odd_tags",
    "tables_and_tags", "asset_names", "v2_pbtxt", "stale_children",
]  # fmt: skip

#: How the verdict begins of a snippet that is not what it promises to be.
WRONG = "DISAGREES"


def wrong() -> Iterator[str]:
    """The snippets that are not what they promise to be."""
    for name, of in RECORDED.items():
        for case, verdicts in of.items():
            for title, verdict in harness._dict(verdicts).items():
                if verdict.startswith(WRONG):
                    yield f"{name} {case} {title}: {verdict}"


def test_every_snippet_works_or_says_why_not() -> None:
    assert not list(wrong())


def test_every_model_was_tried() -> None:
    check_none_left_out(RECORDED)


def test_the_table_is_that_of_the_verdicts() -> None:
    assert harness.TABLE.read_text() == harness.table(RECORDED)


def test_of_each_kind_most_work() -> None:
    """Else a program that is refused everything would pass."""
    for title in ("tf.saved_model.load", "tf.compat.v1.saved_model.load", "REST", "Triton"):
        verdicts = [v for _, _, v in harness._all(RECORDED, title)]
        assert sum(v.startswith("works") for v in verdicts) > 0.6 * len(verdicts), title


@pytest.mark.parametrize("name", list(RECORDED) if ALL else REPRESENTATIVE)
def test_snippets_do_what_is_recorded(name: str, model: ModelFactory, oracle: Oracle) -> None:
    assert harness.tried(name, path_of(name, model), oracle) == RECORDED[name]


@pytest.mark.parametrize("path", ["examples/ranker/1", "examples/tagger/1"])
def test_snippets_of_the_examples_work(path: str, oracle: Oracle) -> None:
    found = harness.tried(path, ROOT / path, oracle)
    assert found
    for verdicts in found.values():
        for title, verdict in verdicts.items():
            # Keras asks for no tags, and the tagger has several meta graphs.
            asks = title == "keras.layers.TFSMLayer" and "meta graphs" in verdict
            assert verdict.startswith("works") or asks, (title, verdict)


# -- hostile names -----------------------------------------------------------------------

#: Of them those that nothing comes of here, and those that no folder can be called.
BENIGN = ("plain", "", "a\0b", "#", "]", "größe", "{0}%s", '"""')


@pytest.mark.parametrize("name", [n for n in HOSTILE if n not in BENIGN])
def test_hostile_names_do_not_get_out_of_their_quotes(
    name: str, model: ModelFactory, oracle: Oracle, tmp_path: Path
) -> None:
    """As a folder, a tag, a signature, an input and an output."""
    path = tmp_path / (name.replace("/", "_") if "\\" not in name else "backslash")
    shutil.copytree(model("two_signatures"), path)
    opened = fastsm.open(path)
    assert isinstance(opened, fastsm.SavedModel)
    key, signature = next(iter(opened.signatures.items()))
    with fastsm.edit(path, sync=False) as edit:
        edit.rename_input(key, next(iter(signature.inputs)), f"{name}<in>")
        edit.rename_output(key, next(iter(signature.outputs)), f"{name}<out>")
        edit.rename_signature(key, f"{name}<sig>")
        edit.retag("serve", [f"{name}<tag>"])
    before = sorted(p.name for p in tmp_path.rglob("*"))
    for verdicts in harness.tried("", path, oracle, f"{name}<sig>").values():
        for title, verdict in verdicts.items():
            assert verdict.startswith("works"), (title, verdict)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_path_that_tensorflow_takes_for_a_pattern(tmp_path: Path, oracle: Oracle) -> None:
    for folder in ("a\\b", "a[b]"):
        path = Path(shutil.copytree(ROOT / "examples" / "ranker" / "1", tmp_path / folder))
        assert not oracle.load_v2(path).ok and not oracle.load_v1(path, ["serve"]).ok
        (verdicts, *_) = harness.tried("", path, oracle, "rank").values()
        for title, verdict in verdicts.items():
            if title.startswith(("tf.", "keras")):
                assert "for a pattern" in verdict
            else:
                assert verdict.startswith("works"), (title, verdict)


@pytest.mark.parametrize("folder", ["3", "a:b", "it's", "2/../3"])
def test_the_server_finds_the_model(folder: str, tmp_path: Path) -> None:
    """Wherever it lies, and though there is a newer version beside it."""
    path = tmp_path / "ranker" / os.path.normpath(folder)
    shutil.copytree(ROOT / "examples" / "ranker" / "1", path)
    newer = tmp_path / "ranker" / "10"
    newer.mkdir()
    (tmp_path / "ranker" / "2").mkdir()
    model = fastsm.open(tmp_path / "ranker" / folder)
    assert isinstance(model, fastsm.SavedModel)
    trial = harness.Trial(model, model.meta_graphs[0], "rank", Oracle(), tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    found = snippets(model, model.meta_graphs[0], "rank")
    local, docker = (s for s in found if s.kind == "serving")
    assert trial._server(local) == trial._docker(docker) == "works"
    assert "served/" in local.text
    newer.rmdir()
    local = next(s for s in snippets(model, model.meta_graphs[0], "rank") if s.kind == "serving")
    assert ("served/" in local.text) == (path.name != "3")
    assert trial._server(local) == "works"


def test_the_commands_for_triton_copy_the_model(tmp_path: Path) -> None:
    path = ROOT / "examples" / "ranker" / "1"
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    found = snippets(model, model.meta_graphs[0], "rank")
    config, commands = (s for s in found if s.kind == "triton")
    harness.run_shell(commands.text, tmp_path)
    assert config.file is not None
    (tmp_path / config.file).write_text(config.text)
    (copied,) = tmp_path.glob("model_repository/ranker/1/model.savedmodel")
    files = {p.relative_to(path) for p in path.rglob("*")}
    assert {p.relative_to(copied) for p in copied.rglob("*")} == files


# -- Triton's own message ----------------------------------------------------------------


def test_triton_itself_parses_the_configurations(model: ModelFactory) -> None:
    """By its client's model_config.proto, where that is installed."""
    client = importlib.util.find_spec("tritonclient")
    if client is None or not client.submodule_search_locations:
        pytest.skip("tritonclient is not installed")
    file = Path(client.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None and spec.loader is not None
    pb2 = importlib.util.module_from_spec(spec)  # alone: the package wants gRPC
    spec.loader.exec_module(pb2)

    n = 0
    for name in REPRESENTATIVE if not ALL else [n for n in RECORDED if n in MODELS]:
        opened = fastsm.open(model(name))
        assert isinstance(opened, fastsm.SavedModel)
        for graph in opened.meta_graphs:
            for key in graph.signatures:
                for snippet in snippets(opened, graph, key):
                    if snippet.language == "pbtxt" and snippet.text:
                        config = text_format.Parse(snippet.text, pb2.ModelConfig())
                        triton_config.check(
                            config, sorted(graph.tag_set), key, graph.signatures
                        )
                        n += 1
    assert n > 5


# -- what strings are --------------------------------------------------------------------

#: A model with an input for each op that takes strings apart, most of them in a loop's body.
MAKE = """
import tensorflow as tf

outputs = {}
dense = {"a": tf.io.FixedLenFeature([3], tf.float32), "n": tf.io.FixedLenFeature([], tf.int64),
         "t": tf.io.FixedLenFeature([2], tf.string)}
more = {"v": tf.io.VarLenFeature(tf.int64), "r": tf.io.RaggedFeature(tf.float32)}


def each(function, dtype):
    return lambda x: tf.map_fn(function, x, fn_output_signature=dtype)


def one_example(x):
    return tf.io.parse_single_example(x, dense)["a"]


def image(x):
    return tf.reduce_sum(tf.io.decode_png(x, channels=3)[:16, :16])


def photo(x):
    return tf.shape(tf.io.decode_jpeg(x))[0]


def sound(x):
    return tf.audio.decode_wav(x)[1]


def tensor(x):
    return tf.io.parse_tensor(x, tf.int16)[0]


def in_branch(x):
    return tf.cond(tf.size(x) > 0, lambda: tf.strings.to_number(x), lambda: tf.zeros([1]))


calls = {
    "example": lambda x: tf.io.parse_example(x, dense)["a"],
    "examples": lambda x: tf.io.parse_example(x, {**dense, **more})["n"],
    "one_example": each(one_example, tf.float32),
    "image": each(image, tf.uint8),
    "photo": each(photo, tf.int32),
    "any_image": each(lambda x: tf.shape(tf.io.decode_image(x))[0], tf.int32),
    "sound": each(sound, tf.int32),
    "number": lambda x: tf.strings.to_number(tf.strings.strip(x)),
    "in_branch": in_branch,
    "base64": lambda x: tf.io.decode_base64(tf.expand_dims(x, 1)),
    "csv": lambda x: tf.io.decode_csv(x, [[0], [0.0]], field_delim=";")[1],
    "raw": lambda x: tf.io.decode_raw(x, tf.int32),
    "tensor": each(tensor, tf.int16),
    "words": lambda x: tf.strings.length(x),
}


@tf.function(input_signature=[{name: tf.TensorSpec([None], tf.string) for name in calls}])
def all_of_them(inputs):
    return {name: call(inputs[name]) for name, call in calls.items()}


module = tf.Module()
module.all = all_of_them
tf.saved_model.save(module, PATH, all_of_them)
"""


def test_strings_are_what_the_ops_take(oracle: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "1"
    verdict, _ = oracle.script(MAKE.replace("PATH", repr(str(path))), tmp_path)
    assert verdict.ok, verdict
    ((_, verdicts),) = harness.tried("", path, oracle).items()
    assert {title: said.partition(" (")[0] for title, said in verdicts.items()} == dict.fromkeys(
        verdicts, "works"
    )
