"""Snippets: texts that call a signature. That they work is `tests.snippets`' to show."""
from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest

import fastsm
from fastsm.snippets import KINDS, Snippet, quoting, snippets
from fastsm.snippets.texts import WORD, Text
from fastsm.snippets.values import Spec, Unfeedable, parts, value
from fastsm.text import python_str

from .conftest import ModelFactory
from .oracle import ROOT

RANKER = "examples/ranker/1"

#: Names that try to end their quotes, or to act on a terminal.
HOSTILE = [
    "plain", 'a"b', "a'b", "a\\b", "a\nb", 'x"); import os; ("', "'; rm -rf /; echo '", "$(id)`id`",
    "\\", '"""', "{0}%s", "größe", "\x1b[31m", "a\u202eb", "\U0001f600", "a\0b", "", "#", "]",
]  # fmt: skip


def of(path: str, key: str) -> dict[str, list[Snippet]]:
    """The snippets of a signature of a model's first meta graph, by kind."""
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    found: dict[str, list[Snippet]] = {}
    for snippet in snippets(model, model.meta_graphs[0], key):
        found.setdefault(snippet.kind, []).append(snippet)
    return found


# -- quotes ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_a_python_literal_is_the_text(text: str) -> None:
    assert ast.literal_eval(python_str(text)) == text
    assert ast.literal_eval(quoting.python_bytes(text.encode())) == text.encode()
    assert python_str(text).isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_json_literal_is_the_text_within_a_shells_quotes(text: str) -> None:
    literal = quoting.json(text)
    assert json.loads(literal) == text
    assert "'" not in literal and literal.isascii() and literal.isprintable()
    assert shlex.split(f"echo '{literal}'") == ["echo", literal]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_pbtxt_literal_is_the_text(text: str) -> None:
    from google.protobuf import struct_pb2, text_format

    message = text_format.Parse(f"string_value: {quoting.pbtxt(text)}", struct_pb2.Value())
    assert message.string_value == text


@pytest.mark.parametrize("text", HOSTILE)
def test_keyword_arguments_are_those_names(text: str) -> None:
    def function(**named: int) -> dict[str, int]:
        return named

    call = f"function({' '.join(quoting.arguments({text: '1', 'lambda': '2'}))})"
    assert eval(call, {"function": function}) == {text: 1, "lambda": 2}
    assert quoting.arguments({"x": "1"}) == ["x=1,"]


# -- what there is -----------------------------------------------------------------------


def test_each_kind_is_there_in_order() -> None:
    model = fastsm.open(RANKER)
    assert isinstance(model, fastsm.SavedModel)
    found = [s.kind for s in snippets(model, model.meta_graphs[0], "rank")]
    assert tuple(dict.fromkeys(found)) == KINDS


def test_a_signature_that_is_not_there() -> None:
    with pytest.raises(fastsm.MissingError, match="Did you mean rank"):
        of(RANKER, "rnk")


def test_a_script_names_the_path_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert f'tf.saved_model.load("{RANKER}")' in of(RANKER, "rank")["python-v2"][0].text
    monkeypatch.chdir(ROOT / "examples")
    local, docker = of("ranker/1", "rank")["serving"]
    assert '--model_base_path="$PWD"/ranker\n' in local.text and local.note is None
    assert '-v "$PWD"/ranker/1:/models/ranker/1:ro' in docker.text


def test_a_hidden_meta_graph_is_called_by_nothing(model: ModelFactory) -> None:
    found = fastsm.open(model("duplicate_tags"))
    assert isinstance(found, fastsm.SavedModel)
    sets = found.tag_sets
    hidden = next(g for i, g in enumerate(found.meta_graphs) if g.tag_set in sets[:i])
    for snippet in snippets(found, hidden, next(iter(hidden.signatures))):
        assert not snippet.text and "comes first" in (snippet.note or "")


# -- values ------------------------------------------------------------------------------


def word(spec: Spec) -> Text:
    return WORD


@pytest.mark.parametrize(
    "spec",
    [
        Spec("x", "x:0", "float32", (1 << 40,)),
        Spec("x", "x:0", "float32", (1,) * 300),
        Spec("x", "x:0", "int64", (1 << 40,), "row_splits"),
        Spec("x", "x:0", "int64", (1 << 20,), "dense_shape"),
        Spec("x", "x:0", "resource", ()),
        Spec("x", "x:0", "variant", (None,)),
        Spec("x", "x:0", "dtype 77", ()),
    ],
)
def test_what_nobody_feeds_has_no_value(spec: Spec) -> None:
    with pytest.raises(Unfeedable, match='the input "x"'):
        value(spec, word)


@pytest.mark.parametrize(
    "spec, shape, elements",
    [
        (Spec("x", "", "float32", (None, 3)), (1, 3), [0.1, 0.2, 0.3]),
        (Spec("x", "", "float32_ref", None), (1,), [0.1]),
        (Spec("x", "", "float32", (None, 28, 28)), (1, 28, 28), [0.5]),
        (Spec("x", "", "float32", (None, None, None, 3)), (1, 64, 64, 3), [0.5]),
        (Spec("x", "", "float32", (0, 3)), (0, 3), []),
        (Spec("x", "", "int32", ()), (), [1]),
        (Spec("x", "", "int32", (None,)), (1,), [0]),
        (Spec("x", "", "bool", (2,)), (2,), [False, False]),
        (Spec("x", "", "complex64", ()), (), [0.1 + 0.1j]),
        (Spec("x", "", "string", (None, 2)), (1, 2), [b"text", b"text"]),
        (Spec("x", "", "int64", (None,), "row_splits"), (2,), [0, 1]),
        (Spec("x", "", "int64", (4,), "row_splits"), (4,), [0, 1, 1, 1]),
        (Spec("x", "", "int64", (None, None), "indices"), (1, 2), [0, 0]),
        (Spec("x", "", "int64", (None,), "indices"), (1,), [0]),
        (Spec("x", "", "int64", (None,), "dense_shape", (None, 7)), (2,), [1, 7]),
        (Spec("x", "", "int64", (3,), "dense_shape"), (3,), [1, 1, 1]),
    ],
)
def test_values_fit_their_specs(spec: Spec, shape: tuple[int, ...], elements: list[Any]) -> None:
    made = value(spec, word)
    assert (made.shape, made.elements) == (shape, elements)


def test_parts_of_composites_are_told_by_their_names() -> None:
    """As TensorFlow 2 flattens them."""
    ints, floats = ("int64", (None,)), ("float32", (None,))
    named = {"r": floats, "r_1": ints, "r_2": ints, "s": ("int64", (None, 2)), "s_1": floats,
             "s_2": ("int64", (2,)), "ids": ints, "x": floats, "x_1": floats}  # fmt: skip
    specs = {name: Spec(name, "", dtype, shape) for name, (dtype, shape) in named.items()}
    assert parts(specs) == {
        "r": "flat_values", "r_1": "row_splits", "r_2": "row_splits",
        "s": "indices", "s_1": "values", "s_2": "dense_shape",
    }  # fmt: skip
