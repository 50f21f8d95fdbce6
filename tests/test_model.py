"""fastsm.open and what it gives: laziness, lookups, values."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.cli.output import to_json

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RANKER, TAGGER = EXAMPLES / "ranker" / "1", EXAMPLES / "tagger" / "1"


def test_meta_graph_by_exact_set() -> None:
    model = fastsm.open(TAGGER)
    assert model.tag_sets == [{"train"}, {"serve"}]
    assert model.meta_graph("serve").index == 1
    assert model.meta_graph(["serve", "serve"]).index == 1
    with pytest.raises(
        fastsm.MissingError, match=r"\{serve, train\}; tag sets here: \{train\} \{serve\}"
    ):
        model.meta_graph({"serve", "train"})


def test_first_of_equal_tag_sets(model: ModelFactory) -> None:
    assert fastsm.open(model("duplicate_tags")).meta_graph("serve").index == 0


def test_signatures_of_the_only_meta_graph() -> None:
    assert set(fastsm.open(RANKER).signatures) == {"rank", "serving_default"}
    with pytest.raises(fastsm.AmbiguousError, match=r"2 meta graphs: say which"):
        _ = fastsm.open(TAGGER).signatures


def test_reading_the_outline_reads_nothing_else(tmp_path: Path) -> None:
    # A meta graph whose insides are no protobuf at all: found, and wrong when touched.
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x03\xff\xff\xff")
    model = fastsm.open(tmp_path)
    assert len(model.meta_graphs) == 1
    with pytest.raises(fastsm.FormatError, match=r"meta_graphs\[0\]"):
        _ = model.tag_sets


def test_a_file_of_little_does_not_become_objects_of_much(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x12\x00" * 1001)
    with pytest.raises(fastsm.FormatError, match=r"past a limit of fastsm \(1,000\)"):
        fastsm.open(tmp_path)
    entries = b"".join(b"\x2a\x07\x0a\x05%05d" % i for i in range(10_001))
    size = len(entries)
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    (tmp_path / "saved_model.pb").write_bytes(b"\x12" + length + entries)
    with pytest.raises(fastsm.FormatError, match=r"past a limit of fastsm \(10,000\)"):
        _ = fastsm.open(tmp_path).signatures


def test_context_manager_and_close() -> None:
    with fastsm.open(RANKER) as model:
        assert model.tag_sets
    with pytest.raises(ValueError, match="the model is closed"):
        _ = model.tag_sets


def test_equality_is_of_what_it_says(tmp_path: Path) -> None:
    assert fastsm.open(RANKER) == fastsm.open(RANKER)
    assert fastsm.open(RANKER) != fastsm.open(TAGGER)
    fastsm.retag(RANKER, "serve", "x", out=tmp_path / "x", sync=False)
    assert fastsm.open(RANKER) != fastsm.open(tmp_path / "x")


def test_reprs_say_what_it_is() -> None:
    model = fastsm.open(TAGGER)
    assert repr(model).endswith("tag sets here: {train} {serve}>")
    assert repr(model.meta_graphs[0]) == "<MetaGraph 0 ['train']: 1 signatures, 130 nodes>"
    tensor = model.meta_graphs[0].signatures["serving_default"].inputs["words"]
    assert repr(tensor) == "TensorInfo(name='words:0', dtype='string', shape=(None,))"


def test_open_by_str_and_pathlike() -> None:
    assert fastsm.open(str(RANKER)) == fastsm.open(RANKER)


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = fastsm.nope  # type: ignore[attr-defined]
    assert set(fastsm.__all__) <= set(dir(fastsm))


@pytest.mark.parametrize("name", [n for n in MODELS if n != "no_meta_graphs"])
def test_counts_are_tensorflows(name: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name)
    check_counts(fastsm.open(path), oracle.parse(path))


def test_counts_of_the_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    if corpus_model.catalog["parse_error"]:
        pytest.skip("TensorFlow cannot parse it either")
    model = fastsm.open(corpus_model.path)
    check_counts(model, oracle.parse(corpus_model.path))
    assert sum(g.n_nodes for g in model.meta_graphs) == corpus_model.catalog["nodes"]


def check_counts(model: fastsm.SavedModel, parsed: dict) -> None:  # type: ignore[type-arg]
    assert [list(g.tags) for g in model.meta_graphs] == [g["tags"] for g in parsed["meta_graphs"]]
    for graph, want in zip(model.meta_graphs, parsed["meta_graphs"], strict=True):
        assert graph.n_nodes == want["n_nodes"]
        assert graph.n_functions == want["n_functions"]
        assert graph.n_function_nodes == want["n_function_nodes"]
        assert graph.ops() == sorted(want["ops"])
        assert sorted(graph.functions()) == want["functions"]
        assert graph.n_objects == (want["n_objects"] or 0)
        assert graph.tensorflow_version == want["tensorflow_version"]
    assert to_json(model.to_dict())
