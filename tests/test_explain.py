"""fastsm.explain and its screens: of every model; and what keeps loaders from one, asked of
TensorFlow."""
from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

import fastsm
from fastsm.answers.explanation import Explanation
from fastsm.cli import main
from fastsm.cli.explain import QUESTIONS
from fastsm.loaders import LOADERS, Obstacle

from . import wire
from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT, Loader, Oracle

RANKER, TAGGER = (str(ROOT / "examples" / name / "1") for name in ("ranker", "tagger"))

Capture = pytest.CaptureFixture[str]


def screen(capsys: Capture, *words: object, code: int = 0) -> str:
    """What `fastsm explain` prints."""
    with pytest.raises(SystemExit) as end:
        main(["explain", *map(str, words)])
    out, err = capsys.readouterr()
    assert end.value.code == code, err
    return out if not code else err


# -- every model ---------------------------------------------------------------------


def check_all(capsys: Capture, path: Path) -> None:
    """All spellings of the verb end well, and print nothing that acts on a terminal."""
    spoken = screen(capsys, path, "--check")
    assert all(line.isprintable() for line in spoken.splitlines())
    told = json.loads(screen(capsys, path, "--json"))
    found = fastsm.explain(path)
    assert told == {"schema": "fastsm.explain/1", **json.loads(json.dumps(found.to_dict()))}
    for explained in found.signatures[:3]:
        if explained.method_name is not None:
            text = screen(capsys, path, "--signature", explained.key)
            assert "# tf.saved_model.load" in text
    for graph in found.tags.meta_graphs[:3]:
        if not any("," in tag or not tag for tag in graph.tags):
            screen(capsys, path, ",".join(graph.tags))
            assert fastsm.explain(path, graph.tags).tags.asked


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"no_meta_graphs"}))
def test_a_model_is_explained(name: str, model: ModelFactory, capsys: Capture) -> None:
    check_all(capsys, model(name))


def test_a_model_of_others_is_explained(corpus_model: CorpusEntry, capsys: Capture) -> None:
    if corpus_model.catalog["parse_error"]:
        pytest.skip("TensorFlow cannot parse it")
    check_all(capsys, corpus_model.path)


@pytest.mark.parametrize("path", [RANKER, TAGGER])
def test_a_damaged_model_is_explained_or_refused(path: str, tmp_path: Path) -> None:
    data = (Path(path) / "saved_model.pb").read_bytes()
    shutil.copytree(path, tmp_path / "m")
    file = tmp_path / "m" / "saved_model.pb"
    chance = random.Random(7)
    ends = {"read": 0, "refused": 0}
    for i in range(200):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            changed[chance.randrange(len(data))] = chance.randrange(256)
        cut = chance.randrange(len(data)) if i % 4 == 0 else len(data)
        file.write_bytes(changed[:cut])
        try:
            found = fastsm.explain(tmp_path / "m", check=True)
            assert found.to_dict()
            for explained in found.signatures:
                if explained.method_name is not None:
                    found.snippets(explained.key)
            ends["read"] += 1
        except fastsm.FastsmError:
            ends["refused"] += 1
    assert ends["read"] > 20 and ends["refused"] > 20, ends


def test_no_meta_graph_at_all(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert "no loader finds anything" in screen(capsys, tmp_path)
    found = fastsm.explain(tmp_path, check=True)
    assert (found.signatures, found.assets.files, found.checkpoint.loading) == ([], [], [])


# -- the answers ---------------------------------------------------------------------


def test_the_signatures_of_a_model_of_objects() -> None:
    found = fastsm.explain(RANKER)
    assert [e.key for e in found.signatures] == ["rank", "serving_default"]
    assert all(e.loaders == list(LOADERS) for e in found.signatures)
    assert found.methods == ["rank", "serving_default"]
    assert found.signatures[1].words == (
        "takes item: int32[?], user: float32[?, 4]; gives score: float32[?]"
    )
    assert {p.reads for p in found.tags.picks if p.loader == "v2"} == {"object graph"}


def test_a_signature_that_one_kind_of_loader_finds(model: ModelFactory) -> None:
    by_loaders = {e.key: e.loaders for e in fastsm.explain(model("stale_children")).signatures}
    finding = {tuple(loaders) for loaders in by_loaders.values()}
    assert finding <= {LOADERS, ("v2", "tflite"), ("v1", "cc", "serving")}


def test_the_assets_of_a_model(model: ModelFactory) -> None:
    found = fastsm.explain(TAGGER).assets
    assert found.kept == ["saved_model_assets", "saved_model_assets"]
    assert [f.name for f in found.files] == ["vocabulary.txt"]
    assert fastsm.explain(model("asset_field")).assets.kept == ["asset_file_def"]
    assert fastsm.explain(RANKER).assets.files == []


def test_what_loading_runs(model: ModelFactory) -> None:
    [one] = fastsm.explain(TAGGER, "serve").checkpoint.loading
    assert (one.meta_graph, one.restore_op) == (1, "save/restore_all")
    assert one.runs == ["InitializeTableFromTextFileV2"]
    [one] = fastsm.explain(model("vocabulary")).checkpoint.loading
    assert one.source == "signature"
    assert one.runs is not None and "InitializeTableFromTextFileV2" in one.runs
    [one] = fastsm.explain(RANKER).checkpoint.loading
    assert one.runs == []


def test_a_request_is_answered_before_all_else(capsys: Capture) -> None:
    found = fastsm.explain(TAGGER, ["gpu"])
    assert {p.loader for p in found.tags.asked} == set(LOADERS)
    assert not any(p.meta_graph for p in found.tags.asked) and not found.signatures
    assert "2. " not in screen(capsys, TAGGER, "gpu")
    assert fastsm.explain(TAGGER, {"serve"}).signatures[0].meta_graph == 1
    with pytest.raises(fastsm.RefusedError, match="one tag with a comma"):
        fastsm.explain(TAGGER, "serve,gpu")


def test_each_question_alone_is_a_part_of_the_screen(capsys: Capture) -> None:
    whole = screen(capsys, RANKER)
    for i, question in enumerate(QUESTIONS, 1):
        part = screen(capsys, RANKER, "--question", question).split("\n", 2)[2]
        assert part.startswith(f"{i}. ") and part in whole
    assert len(whole.splitlines()) < 100 and max(map(len, whole.splitlines())) < 110


def test_the_served_one_of_several_is_shown() -> None:
    found = fastsm.explain(TAGGER)
    assert found.called("serving_default").meta_graph == 1
    assert 'tags=["serve"]' in found.python("serving_default").text
    with pytest.raises(fastsm.MissingError, match="Did you mean serving_default"):
        found.snippets("serving_defualt")


def test_wrong_calls(capsys: Capture, tmp_path: Path) -> None:
    assert "tags, signatures, assets, saver" in screen(
        capsys, RANKER, "--question", "tag", code=2
    )
    assert "one of them" in screen(
        capsys, RANKER, "--question", "tags", "--signature", "rank", code=2
    )
    assert "is a checkpoint" in screen(capsys, f"{RANKER}/variables/variables", code=2)
    assert "no signature" in screen(capsys, RANKER, "--signature", "x", "--quiet", code=4)


# -- what keeps loaders from a model ---------------------------------------------------


def obstacles(found: Explanation, loader: str, at: str = "load") -> list[Obstacle]:
    """What keeps a loader from the first meta graph."""
    return [
        one.obstacle for one in found.obstacles
        if (one.meta_graph, one.obstacle.loader, one.obstacle.at) == (0, loader, at)
    ]  # fmt: skip


#: What the oracle calls the statuses of C++.
KINDS = {
    "NOT_FOUND": "NotFoundError", "FAILED_PRECONDITION": "FailedPreconditionError",
    "INVALID_ARGUMENT": "InvalidArgumentError",
}  # fmt: skip


def opened(path: Path) -> fastsm.SavedModel:
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    return model


def check_obstacles(oracle: Oracle, path: Path) -> set[str]:
    """Hold what is told of each loader against what it says; those that fail to load."""
    found = fastsm.explain(path)
    tags = found.tags.meta_graphs[0].tags
    failing = set()
    loaders: tuple[Loader, ...] = ("v2", "v1", "cc")
    for loader in loaders:
        verdict = oracle.load(path, loader, tags)
        told = [one.said for one in obstacles(found, loader)]
        assert verdict.ok == (not told), (loader, verdict)
        if told:  # of several, whichever it meets first
            assert any(
                said and verdict.type == KINDS.get(said.type, said.type)
                and said.text in verdict.text
                for said in told
            ), (loader, verdict)  # fmt: skip
            failing.add(loader)
    return failing


def test_a_model_of_objects_without_its_checkpoint(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("two_signatures")
    shutil.rmtree(path / "variables")
    assert check_obstacles(oracle, path) == {"v2", "v1"}
    assert obstacles(fastsm.explain(path), "cc", "call")


@pytest.mark.parametrize("name", ["v1_trained", "train_and_serve_ref"])
def test_a_tf1_model_without_its_checkpoint(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    shutil.rmtree(path / "variables")
    assert check_obstacles(oracle, path) == {"v2", "v1"}


@pytest.mark.parametrize("name", ["vocabulary", "tables_and_tags", "v1_trained"])
def test_a_vocabulary_that_is_not_there(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    for file in (path / "assets").iterdir():
        file.unlink()
    assert check_obstacles(oracle, path) == {"v2", "v1", "cc"}


def test_a_train_op_among_the_signatures(model: ModelFactory, oracle: Oracle) -> None:
    assert check_obstacles(oracle, model("train_op_signature")) == {"v2"}


@pytest.mark.parametrize(
    ("name", "failing"),
    [("v1_slots", {"v2"}), ("doubled_asset", {"cc"})],
)
def test_what_one_loader_alone_minds(
    name: str, failing: set[str], model: ModelFactory, oracle: Oracle
) -> None:
    assert check_obstacles(oracle, model(name)) == failing


@pytest.mark.parametrize("name", ["two_signatures", "v1_trained"])
def test_a_path_that_tensorflow_takes_for_a_pattern(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    assert check_obstacles(oracle, path.rename(path.with_name("a[b]c"))) == {"v2", "v1", "cc"}


def with_fields(path: Path, *more: bytes) -> Path:
    """A model whose first meta graph says more; of equal keys of a map the last counts."""
    file = path / "saved_model.pb"
    data, field = file.read_bytes(), opened(path).meta_graphs[0].field
    changed = wire.delimited(2, data[field.at : field.end], *more)
    file.write_bytes(data[: field.start] + changed + data[field.end :])
    return path


@pytest.mark.parametrize("ops", [["init_all_tables"] * 2, []])
def test_an_init_op_that_is_not_one(
    ops: list[str], model_copy: ModelFactory, oracle: Oracle
) -> None:
    names = wire.delimited(1, *(wire.delimited(1, op) for op in ops))
    path = with_fields(model_copy("tables_and_tags"), wire.entry(4, "saved_model_main_op", names))
    assert check_obstacles(oracle, path) == {"v2", "v1", "cc"}


def test_an_input_that_is_fed_twice(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("v1_trained")
    [graph] = opened(path).meta_graphs
    [info, *_] = graph.signatures["serving_default"].inputs.values()
    tensor = wire.delimited(1, info.name) + wire.integer(2, info.dtype_number)
    stored = graph.reader.joined(graph.signature_spans["serving_default"])
    twice = stored + wire.entry(1, "again", tensor)
    path = with_fields(path, wire.entry(5, "serving_default", twice))
    assert check_obstacles(oracle, path) == {"v2"}


def test_what_is_told_of_models_of_others_is_true(corpus_model: CorpusEntry) -> None:
    catalog = corpus_model.catalog
    if catalog["parse_error"]:
        pytest.skip("TensorFlow cannot parse it")
    result = catalog["load_v2"]["result"]
    told = [one.said for one in obstacles(fastsm.explain(corpus_model.path), "v2")]
    assert result != "ok" or not told
    for text in ("add_slot", "more than once"):
        assert (text in result) == any(said is not None and text in said.text for said in told)


@pytest.mark.parametrize("name", ["legacy_init", "no_init_op", "v1_no_variables", "no_saver"])
def test_nothing_keeps_loaders_from_a_sound_model(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    assert check_obstacles(oracle, model(name)) == set()


# -- large ones ----------------------------------------------------------------------------


def meta_graph(tags: list[str], n_signatures: int) -> bytes:
    info = wire.delimited(1, *(wire.delimited(4, tag) for tag in tags))
    tensor = wire.delimited(1, "x:0") + wire.integer(2, 1)
    signatures = (
        wire.entry(5, f"s{i}", wire.entry(1, "x", tensor), wire.entry(2, "y", tensor))
        for i in range(n_signatures)
    )
    return wire.delimited(2, info, *signatures)


@pytest.mark.parametrize(
    "graphs",
    [
        [meta_graph([f"t{i}"], 2) for i in range(500)],
        [meta_graph(["serve"], 2)] * 500,
        [meta_graph(["serve"], 5000)],
        [meta_graph([f"t{i}" for i in range(20_000)] * 2, 1)],
    ],
    ids=["meta graphs", "shadowed", "signatures", "tags"],
)
def test_a_screen_stays_one_to_be_read(
    graphs: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"".join(graphs))
    spoken = screen(capsys, tmp_path)
    assert len(spoken.splitlines()) < 130 and len(spoken) < 20_000
