"""Which meta graph each loader takes, and what it says: asked of TensorFlow, word for word."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fastsm
from fastsm.loaders import LOADERS, Pick, collisions, pick, picks

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Choice, Oracle

#: What is asked beside the tag sets of a model: what it may not have, an empty set, an empty
#: tag, tags that no command line can name, repeated ones, what Python's quotes depend on.
ODD = [
    ("serve",), ("train",), ("absent",), ("serve", "absent"), (), ("",), ("", "serve"),
    ("serve,gpu",), ("a b",), ("serve", "serve"), ("it's",), ('"',), ("[x]",), ("{é\n}",),
]  # fmt: skip


def canonical(text: str) -> str:
    """A message with what stands in braces in one order: that of sets is any."""

    def in_order(found: re.Match[str]) -> str:
        parts = re.split(r", | ", found[1])
        return "{" + " ".join(sorted(part for part in parts if part)) + "}"

    return re.sub(r"\{([^{}]*)\}", in_order, text)


def said(predicted: Pick) -> Choice:
    """A prediction as the oracle words it."""
    found = predicted.said
    if found is None:
        return Choice(predicted.meta_graph, predicted.reads)
    kind = {"NOT_FOUND": "NotFoundError"}.get(found.type, found.type)
    return Choice(None, "", kind, canonical(found.text), found.code)


def opened(path: Path) -> fastsm.SavedModel:
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    return model


def check(oracle: Oracle, path: Path) -> None:
    """Hold every request of a model against what TensorFlow makes of it."""
    model = opened(path)
    own = [graph.tags for graph in model.meta_graphs]
    requests = dict.fromkeys([*own, *ODD])
    turned = dict.fromkeys(tuple(reversed(tags)) for tags in own)
    asked: list[tuple[str, tuple[str, ...] | None]] = [("cc", tags) for tags in requests]
    asked += [(loader, tags) for loader in ("v2", "v1", "tflite") for tags in requests | turned]
    asked += [("v2", None), ("tflite", None)]
    for (loader, tags), found in zip(asked, oracle.choices(path, asked), strict=True):
        predicted = said(pick(model, loader, tags))
        found = found._replace(text=canonical(found.text))
        if loader == "cc" and predicted.meta_graph is not None and found.meta_graph is None:
            # It found one, and could not load that.
            assert not found.text.startswith("Could not find meta graph"), (loader, tags)
            continue
        assert predicted == found, (loader, tags)


#: An empty file is no model to fastsm; to TensorFlow it is one without meta graphs.
OPENED = sorted(set(MODELS) - {"no_meta_graphs"})


@pytest.mark.parametrize("name", OPENED)
def test_a_request_ends_as_tensorflow_ends_it(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    check(oracle, model(name))


def test_a_request_of_a_model_of_others_ends_as_tensorflow_ends_it(
    corpus_model: CorpusEntry, oracle: Oracle
) -> None:
    if corpus_model.catalog.get("parse_error"):
        pytest.skip("TensorFlow cannot parse it")
    check(oracle, corpus_model.path)


def test_a_model_of_no_meta_graph_ends_as_tensorflow_ends_it(
    tmp_path: Path, oracle: Oracle
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")  # the schema version alone
    check(oracle, tmp_path)


# -- all requests of a model ---------------------------------------------------------


def test_each_loader_is_asked_for_its_default_and_for_each_tag_set(model: ModelFactory) -> None:
    found = picks(opened(model("tables_and_tags")))
    asked = {loader: [p.tags for p in found if p.loader == loader] for loader in LOADERS}
    sets = [("train",), ("serve",), ("serve", "small")]
    assert asked == {
        "v2": [None, *sets],
        "v1": [("serve",), ("train",), ("serve", "small")],
        "cc": [("serve",), ("train",), ("serve", "small")],
        "serving": [None, *sets],
        "tflite": [None, *sets],
    }
    assert [p.meta_graph for p in found if p.loader == "serving"] == [1, 0, 1, 2]
    assert [p.call for p in found if p.loader == "serving"] == [
        "", "--saved_model_tags=train", "", "--saved_model_tags=serve,small"
    ]  # fmt: skip
    [refused] = [p for p in found if p.said]
    assert (refused.loader, refused.tags) == ("v2", None)


def test_the_first_of_equal_tag_sets_is_found(model: ModelFactory) -> None:
    duplicates = opened(model("duplicate_tags"))
    shadowed = [c for c in collisions(duplicates) if c.kind == "shadowed"]
    assert shadowed
    for one in shadowed:
        tags = duplicates.meta_graphs[one.meta_graph].tags
        assert {pick(duplicates, loader, tags).meta_graph for loader in LOADERS} == {one.by}


def test_letters_are_told_with_their_word(model: ModelFactory) -> None:
    [letters] = collisions(opened(model("letter_tags")))
    assert (letters.kind, letters.word) == ("letters", "serve")


def test_what_no_flag_can_name_cannot_be_asked_of_tensorflow_serving(
    model: ModelFactory,
) -> None:
    tags = opened(model("no_tags"))
    found = pick(tags, "serving", ())
    assert (found.call, found.meta_graph, found.said) == (None, None, None)
    assert pick(tags, "cc", ()).meta_graph == 0


def test_calls_hold_any_name() -> None:
    class Model:
        folder = 'a"\\\n\x1b/x'
        meta_graphs = ()
        tag_sets = ()

    for loader in ("v2", "v1", "tflite"):
        call = pick(Model(), loader, ['"', "\\"]).call  # type: ignore[arg-type]
        assert call is not None
        literals = [n.value for n in ast.walk(ast.parse(call)) if isinstance(n, ast.Constant)]
        assert {Model.folder, '"', "\\"} <= set(literals)
        assert call.isprintable()


def test_an_unknown_loader_is_refused(model: ModelFactory) -> None:
    with pytest.raises(fastsm.UsageError, match="v2, v1, cc, serving, tflite"):
        pick(opened(model("no_tags")), "v3")
