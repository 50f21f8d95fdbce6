"""Which functions of a library train, and which compute gradients: libraries by hand, and the
names that TensorFlow gives."""
from __future__ import annotations

import pytest

import fastsm
from fastsm.errors import FormatError
from fastsm.graph.edges import Edges
from fastsm.graph.nodes import Graph
from fastsm.graph.training import Training
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import ModelFactory
from .wire import delimited as sub
from .wire import entry


def text(name: str, value: str) -> bytes:
    return entry(5, name, sub(2, value))


def calls(name: str, function: str) -> bytes:
    return node(name, "StatefulPartitionedCall", entry(5, "f", sub(10, sub(1, function))))


def node(name: str, op: str, *attrs: bytes) -> bytes:
    return sub(3, sub(1, name), sub(2, op), *attrs)


def function(name: str, *fields: bytes) -> bytes:
    return sub(1, sub(1, sub(1, name)), *fields)


def training(*library: bytes) -> Training:
    data = sub(2, sub(2, sub(2, *library)))
    reader = Reader(from_bytes(data), "m/saved_model.pb")
    (field,) = reader.fields([(0, len(data))], "")
    return Training(Edges(Graph(MetaGraph(reader, 0, field))))


@pytest.mark.parametrize(
    "op", ["ResourceApplyAdam", "ResourceSparseApplyFtrl", "ApplyMomentum", "SparseApplyAdagrad"]
)
def test_what_applies_gradients_trains_and_what_calls_it(op: str) -> None:
    found = training(
        function("inner", node("update", op)),
        function("while", calls("body", "inner")),
        function("step", calls("loop", "while"), calls("step", "step")),
        function("serve", calls("y", "other")),
        function("other", node("y", "Identity"), node("z", "ReApply")),
    )
    assert found.functions == {"inner", "while", "step"}
    assert found.called(["step", "missing"]) == {"inner", "while", "step"}
    assert found.called(["serve"]) == {"serve", "other"}


@pytest.mark.parametrize("op", ["AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"])
@pytest.mark.parametrize(
    ("name", "trains"),
    [
        ("gradient_tape/mul", True),
        ("cond/gradients/mul", True),
        ("gradients/", True),
        ("gradients", False),
        ("my_gradients/mul", False),
        ("gradients_1/mul", False),
    ],
)
def test_gradients_train_where_something_is_assigned(op: str, name: str, trains: bool) -> None:
    found = training(
        function("step", calls("g", "gradient"), calls("a", "assign")),
        function("gradient", node(name, "Mul")),
        function("assign", node("a", op)),
        function("restore", calls("a", "assign")),
    )
    assert found.functions == ({"step"} if trains else set())


def test_gradients_are_found_by_all_three_names() -> None:
    found = training(
        sub(3, sub(1, "custom_grad"), sub(2, "CustomGradient-7")),
        sub(3, sub(1, "other_grad"), sub(2, "CustomGradient-8")),
        sub(3, sub(1, "nowhere"), sub(2, "CustomGradient-7")),
        sub(2, sub(1, "inner"), sub(2, "inner_grad")),
        function(
            "serve", calls("y", "inner"), text("forward_function_name", "forward"),
            text("backward_function_name", "backward"),
        ),
        function("inner", node("y", "IdentityN", text("_gradient_op_type", "CustomGradient-7"))),
        *[function(name) for name in ("custom_grad", "other_grad", "inner_grad")],
        function("forward", calls("y", "deep")),
        function("deep", text("backward_function_name", "backward")),
        function("backward", node("y", "IdentityN", text("_gradient_op_type", ""))),
    )  # fmt: skip
    assert found.gradients(["serve"]) == {"forward", "backward", "inner_grad", "custom_grad"}
    assert found.gradients(["inner"]) == {"custom_grad", "inner_grad"}
    assert found.gradients(["forward", "missing"]) == {"backward"}
    assert found.gradients(["backward"]) == set()


def test_the_functions_of_models(model: ModelFactory) -> None:
    """Those that train by the models' own words."""
    expected = {
        "two_signatures": ["train_step"], "random_state": ["train"], "trained_flow": ["train"],
        "trained_conv": ["train"], "train_signature": ["signature_wrapper_train", "train"],
        "tf_keras_lstm": [], "keras_saved": [], "control_flow": [], "vocabulary": [],
    }  # fmt: skip
    for name, functions in expected.items():
        (graph,) = fastsm.open(model(name)).meta_graphs
        found = Training(Edges(Graph(graph))).functions
        names = sorted(n.removeprefix("__inference_").rpartition("_")[0] for n in found)
        assert names == functions, name


def test_damage_is_told() -> None:
    cut = sub(3, b"\x0a\x05x")
    with pytest.raises(FormatError, match=r"graph_def"):
        training(cut, function("f"))
