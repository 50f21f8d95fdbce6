"""Which inputs and outputs `fastsm convert` proposes, and what it leaves out and why."""
from __future__ import annotations

from pathlib import Path

import pytest

from fastsm.edits.convert.flow import Flow
from fastsm.edits.convert.proposal import Proposal, propose
from fastsm.graph.edges import edges_of

from .convertible import handle, placeholder, ref, strings, unary
from .graphs import FLOAT, STRING, count, dtype, dtypes, meta_graph, node

X = placeholder("x", FLOAT, -1)
W = [ref("w"), unary("w/read", "Identity", "w")]
LINE = [X, *W, unary("logits", "Mul", "x", "w/read")]
LABELS = placeholder("labels", FLOAT, -1)


def gradients(*forward: str, scope: str = "gradients") -> list[bytes]:
    """A node that computes the gradient of each, and one that applies what comes of them."""
    names = [f"{scope}/{name}_grad/Mul" for name in forward]
    nodes = [unary(grad, "Mul", name, name) for grad, name in zip(names, forward, strict=True)]
    return [*nodes, unary("train/update", "ApplyGradientDescent", "w", "w/read", names[-1])]


def proposed(folder: Path, *nodes: bytes, **known: dict[str, str]) -> Proposal:
    folder.mkdir(exist_ok=True)
    graph = meta_graph(folder, *nodes)
    edges = edges_of(graph)
    return propose(graph, edges, Flow(edges), **known)


def names(folder: Path, *nodes: bytes, **known: dict[str, str]) -> tuple[list[str], list[str]]:
    found = proposed(folder, *nodes, **known)
    return list(found.inputs.values()), list(found.outputs.values())


def why(proposal: Proposal) -> dict[str, str]:
    return {left.tensor: left.why for left in proposal.left_out}


def test_a_graph_for_serving(tmp_path: Path) -> None:
    found = proposed(tmp_path, *LINE, unary("y", "Softmax", "logits"))
    assert found.inputs == {"x": "x:0"} and found.outputs == {"y": "y:0"}
    assert (found.spec("x:0"), found.spec("y:0")) == ("float32[?]", "float32[...]")
    assert found.left_out == [] and found.defaults == []


def test_labels_and_what_is_computed_from_them(tmp_path: Path) -> None:
    found = proposed(
        tmp_path, *LINE, LABELS, unary("class", "Softmax", "logits"),
        unary("wrong", "Sub", "logits", "labels"), unary("loss", "Square", "wrong"),
        unary("accuracy", "Equal", "class", "labels"),
        *gradients("loss", "wrong", "logits"),
    )  # fmt: skip
    assert found.inputs == {"x": "x:0"} and found.outputs == {"class": "class:0"}
    left = why(found)
    assert left["accuracy:0"] == "is computed from labels"
    assert left["loss:0"].startswith("is the loss")
    assert left["labels:0"] == "no output that is proposed needs it"


def test_what_the_loss_is_computed_of_where_nothing_else_takes_it(tmp_path: Path) -> None:
    nodes = [*LINE, LABELS, unary("wrong", "Sub", "logits", "labels"),
             unary("loss", "Square", "wrong")]  # fmt: skip
    found = names(tmp_path, *nodes, *gradients("loss", "wrong", "logits"))
    assert found == (["x:0"], ["logits:0"])
    # Without gradients nothing tells that it is a loss.
    assert names(tmp_path, *nodes) == (["x:0", "labels:0"], ["loss:0"])


def test_a_loss_without_labels(tmp_path: Path) -> None:
    """The model ends where the last variable is taken, and what only forms that is its own."""
    nodes = [
        *LINE, unary("y", "Sigmoid", "logits"), unary("wrong", "Sub", "y", "x"),
        unary("loss", "Square", "wrong"),
    ]  # fmt: skip
    found = names(tmp_path, *nodes, *gradients("loss", "wrong", "y", "logits"))
    assert found == (["x:0"], ["y:0"])


@pytest.mark.parametrize("scope", ["gradients", "train/gradients_1", "a/gradient_tape"])
def test_the_scopes_of_gradients(tmp_path: Path, scope: str) -> None:
    nodes = [*LINE, LABELS, unary("loss", "Sub", "logits", "labels")]
    assert names(tmp_path, *nodes, *gradients("loss", "logits", scope=scope)) == (
        ["x:0"], ["logits:0"],
    )  # fmt: skip
    odd = [unary(f"my_{scope.replace('/', '_')}x/loss_grad/Mul", "Mul", "loss", "loss")]
    assert names(tmp_path, *nodes, *odd)[1] == [f"my_{scope.replace('/', '_')}x/loss_grad/Mul:0"]


def test_a_gradient_that_is_handed_on(tmp_path: Path) -> None:
    """The gradient of an Identity, or an Add, may be what comes back, without a node."""
    nodes = [
        *LINE, LABELS, unary("same", "Identity", "logits"), unary("plus", "Add", "same", "same"),
        unary("loss", "Sub", "plus", "labels"),
    ]  # fmt: skip
    found = names(tmp_path, *nodes, *gradients("loss", "logits"))
    assert found == (["x:0"], ["plus:0"])


def test_what_saves_sums_up_checks_or_trains_is_no_output(tmp_path: Path) -> None:
    found = proposed(
        tmp_path, *LINE, unary("y", "Tanh", "logits"), strings("tag", "y"),
        unary("summary", "HistogramSummary", "tag", "y"),
        node("all", "MergeSummary", "summary", N=count(1)),
        unary("size", "Shape", "y"), unary("fits", "Less", "size", "size"),
        node("check", "Assert", "fits", "y", T=dtypes(FLOAT)),
        unary("keep", "Assign", "w", "y"), unary("kept", "Identity", "keep"),
        node("save/SaveV2", "SaveV2", "tag", "tag", "tag", "y", dtypes=dtypes(FLOAT)),
        node("step", "NoOp", "^keep"), node("queue", "FIFOQueueV2"),
        node("put", "QueueEnqueueV2", "queue", "y", Tcomponents=dtypes(FLOAT)),
    )  # fmt: skip
    assert found.outputs == {"y": "y:0"} and found.left_out == []


def test_what_is_made_for_a_summary_alone(tmp_path: Path) -> None:
    nodes = [*LINE, strings("tag", "y"), unary("zeros", "Square", "logits"),
             unary("summary", "ScalarSummary", "tag", "zeros")]  # fmt: skip
    found = proposed(tmp_path, *nodes, unary("y", "Tanh", "logits"))
    assert found.outputs == {"y": "y:0"}
    assert why(found) == {"zeros:0": "is made for a summary, a check or a print"}
    # Where there is nothing else it may be what is meant.
    assert names(tmp_path, *nodes)[1] == ["zeros:0"]


def test_shapes_and_constants_are_no_outputs(tmp_path: Path) -> None:
    found = names(tmp_path, *LINE, unary("rows", "Shape", "x"), strings("c", "a"),
                  unary("half", "Square", "rows"))  # fmt: skip
    assert found == (["x:0"], ["logits:0"])


def test_defaults_need_not_be_sent(tmp_path: Path) -> None:
    rate = node("rate", "PlaceholderWithDefault", "one", dtype=dtype(FLOAT))
    found = proposed(tmp_path, *LINE, unary("one", "Square", "w/read"), rate,
                     unary("y", "Mul", "logits", "rate"))  # fmt: skip
    assert found.inputs == {"x": "x:0"} and found.defaults == ["rate:0"]


def test_a_graph_without_placeholders_takes_what_its_pipeline_gives(tmp_path: Path) -> None:
    pipe = node("next", "IteratorGetNext", "it", output_types=dtypes(STRING, FLOAT))
    nodes = [node("it", "IteratorV2"), pipe, *W, unary("y", "Mul", "next:1", "w/read")]
    found = proposed(tmp_path, *nodes)
    assert found.inputs == {"next_1": "next:1"} and found.outputs == {"y": "y:0"}


def test_what_comes_from_a_queue_may_be_labels(tmp_path: Path) -> None:
    queue = [node("q", "FIFOQueueV2"),
             node("next", "QueueDequeueV2", "q", component_types=dtypes(FLOAT))]  # fmt: skip
    nodes = [*LINE, *queue, unary("loss", "Sub", "logits", "next")]
    assert names(tmp_path, *nodes, *gradients("loss", "logits")) == (["x:0"], ["logits:0"])


def test_a_generator_has_no_input(tmp_path: Path) -> None:
    noise = node("noise", "RandomStandardNormal", "n", T=dtype(3), dtype=dtype(FLOAT))
    found = names(tmp_path, *W, strings("n", "1"), noise, unary("y", "Mul", "noise", "w/read"))
    assert found == ([], ["y:0"])


def test_loops_and_branches(tmp_path: Path) -> None:
    """Nothing inside one can be fetched; what leaves a loop can, and is rarely meant."""
    loop = [
        unary("while/Enter", "Enter", "x"),
        unary("while/Merge", "Merge", "while/Enter", "while/Next"),
        unary("while/Switch", "Switch", "while/Merge", "more"),
        unary("while/Body", "Tanh", "while/Switch:1"),
        unary("while/Aside", "Square", "while/Body"),
        unary("while/Next", "NextIteration", "while/Body"),
        unary("while/Exit", "Exit", "while/Switch"),
        node("more", "LoopCond", "c"), strings("c", ""),
    ]  # fmt: skip
    found = proposed(tmp_path, X, *loop)
    assert found.outputs == {"while": "while/Exit:0"}
    assert why(found) == {"while/Aside:0": "is inside a loop or a branch"}
    found = proposed(tmp_path, X, *loop, unary("y", "Tanh", "x"))
    assert found.outputs == {"y": "y:0"}
    assert why(found)["while/Exit:0"] == "leaves a loop, and nothing takes it"


def test_a_branch_gives_its_value_and_not_which_it_was(tmp_path: Path) -> None:
    found = names(
        tmp_path, X, placeholder("p", 10),
        unary("cond/Switch", "Switch", "x", "p"), unary("cond/a", "Tanh", "cond/Switch"),
        unary("cond/b", "Sigmoid", "cond/Switch:1"),
        node("cond/Merge", "Merge", "cond/a", "cond/b", T=dtype(FLOAT), N=count(2)),
    )  # fmt: skip
    assert found == (["x:0", "p:0"], ["cond/Merge:0"])


def test_all_outputs_of_a_node(tmp_path: Path) -> None:
    k = strings("k", "1")
    found = proposed(tmp_path, X, k, node("top", "TopKV2", "x", "k", T=dtype(FLOAT)))
    assert found.outputs == {"top": "top:0", "top_1": "top:1"}
    assert found.spec("top:1") == "int32[...]"


def test_handles_and_unknown_ops_are_not_proposed(tmp_path: Path) -> None:
    found = names(tmp_path, *LINE, handle("v"), unary("mine", "MyOwnOp", "logits"),
                  node("list", "TensorListFromTensor", "logits", "logits"),
                  unary("y", "Tanh", "logits"))  # fmt: skip
    assert found == (["x:0"], ["y:0"])


def test_names_are_unique(tmp_path: Path) -> None:
    found = proposed(
        tmp_path, X, placeholder("a/x"), unary("a/y", "Add", "x", "a/x"),
        unary("b/y", "Sub", "x", "a/x"), unary("c/y", "Mul", "x", "a/x"),
    )  # fmt: skip
    assert found.inputs == {"x": "x:0", "x_1": "a/x:0"}
    assert found.outputs == {"y": "a/y:0", "y_1": "b/y:0", "y_2": "c/y:0"}


def test_what_is_known_is_kept(tmp_path: Path) -> None:
    nodes = [*LINE, unary("y", "Tanh", "logits"), LABELS, unary("z", "Add", "y", "labels")]
    found = proposed(tmp_path, *nodes, outputs={"logits": "logits"})
    assert found.inputs == {"x": "x:0"} and found.outputs == {"logits": "logits"}
    found = proposed(tmp_path, *nodes, inputs={"between": "y:0"})
    assert found.inputs == {"between": "y:0"} and found.outputs == {"z": "z:0"}
    found = proposed(tmp_path, *nodes, inputs={}, outputs={"z": "z:0"})
    assert found.inputs == {} and found.outputs == {"z": "z:0"}


def test_a_tangle_ends(tmp_path: Path) -> None:
    """Nodes against their order, and in circles."""
    chain = [unary(f"n{i}", "Add", f"n{i + 1}", f"n{(i * 7) % 3000}") for i in range(3000)]
    found = names(tmp_path, *chain, unary("n3000", "Tanh", "x"), X)
    assert found[0] in ([], ["x:0"])


def test_more_placeholders_than_bits(tmp_path: Path) -> None:
    n = 600
    nodes = [placeholder(f"x{i}") for i in range(n)]
    sums = [unary("s0", "Tanh", "x0")]
    sums += [unary(f"s{i}", "Add", f"s{i - 1}", f"x{i}") for i in range(1, n)]
    found = names(tmp_path, *nodes, *sums)
    assert found == ([f"x{i}:0" for i in range(n)], [f"s{n - 1}:0"])


def test_a_graph_of_many_losses_ends(tmp_path: Path) -> None:
    """Each is gone back from: of more than any model has only some."""
    nodes, forward = list(LINE), []
    for i in range(400):
        nodes.append(unary(f"l{i}", "Mean", "logits"))
        forward.append(f"l{i}")
    found = proposed(tmp_path, *nodes, *gradients(*forward))
    assert found.inputs == {"x": "x:0"} and found.outputs == {"logits": "logits:0"}
    words = "is the loss: gradients are computed of it"
    assert why(found) == {f"l{i}:0": words for i in range(400)}


def test_a_loop_on_the_way_to_the_loss(tmp_path: Path) -> None:
    """Not all its nodes have gradients: those where they end are not losses."""
    found = proposed(
        tmp_path, X, LABELS, placeholder("rate"), *W,
        unary("while/Enter", "Enter", "x"), unary("while/w", "Enter", "w/read"),
        unary("while/Merge", "Merge", "while/Enter", "while/Next"),
        unary("while/Switch", "Switch", "while/Merge", "more"),
        unary("while/drop", "Mul", "while/Switch:1", "rate"),
        unary("while/Body", "MatMul", "while/drop", "while/w"),
        unary("while/Next", "NextIteration", "while/Body"),
        unary("while/Exit", "Exit", "while/Switch"),
        node("more", "LoopCond", "c"), strings("c", ""),
        unary("class", "Softmax", "while/Exit"),
        unary("wrong", "Sub", "class", "labels"), unary("loss", "Square", "wrong"),
        *gradients("while/drop", "while/Exit", "class", "wrong", "loss"),
    )  # fmt: skip
    assert found.inputs == {"x": "x:0", "rate": "rate:0"}
    assert found.outputs == {"class": "class:0"}
    assert why(found)["labels:0"] == "no output that is proposed needs it"


def test_by_products_are_no_outputs(tmp_path: Path) -> None:
    """Beside what variables make of an input, its limits are not asked for; a key is."""
    aside = [unary("least", "Min", "x"), unary("key", "Identity", "x")]
    trained = [unary("loss", "Mean", "logits"), *gradients("logits", "loss")]
    found = proposed(tmp_path, *LINE, *aside, *trained)
    assert found.outputs == {"logits": "logits:0", "key": "key:0"}
    assert why(found)["least:0"] == "takes nothing of a variable or a table, and other outputs do"
    table = [unary("words", "HashTableV2"), strings("other", "")]
    find = node("ids", "LookupTableFindV2", "words", "x", "other", Tout=dtype(STRING))
    found = proposed(tmp_path, *LINE, *table, find, *trained)
    assert found.outputs == {"logits": "logits:0", "ids": "ids:0"}
    # A graph that is not trained has the ends that somebody gave it.
    found = proposed(tmp_path, *LINE, *aside)
    assert found.outputs == {"logits": "logits:0", "least": "least:0", "key": "key:0"}


def test_weights_of_samples_are_no_inputs(tmp_path: Path) -> None:
    """They go through no layer, as the labels."""
    found = proposed(
        tmp_path, *LINE, LABELS, placeholder("weight"), unary("wrong", "Sub", "logits", "labels"),
        unary("square", "Square", "wrong"), unary("weighted", "Mul", "weight", "square"),
        unary("loss", "Mean", "weighted"),
        *gradients("logits", "wrong", "square", "weighted", "loss"),
    )  # fmt: skip
    assert (found.inputs, found.outputs) == ({"x": "x:0"}, {"logits": "logits:0"})


def test_a_graph_without_inputs_gives_what_its_variables_make(tmp_path: Path) -> None:
    found = proposed(
        tmp_path, *W, unary("y", "Square", "w/read"),
        strings("names", ""), unary("first", "RandomStandardNormal", "names"),
        unary("w/Assign", "Assign", "w", "first"),
    )  # fmt: skip
    assert (found.inputs, found.outputs) == ({}, {"y": "y:0"})


def test_as_json(tmp_path: Path) -> None:
    told = proposed(tmp_path, *LINE).to_dict()
    assert told == {
        "inputs": {"x": {"name": "x:0", "dtype": "float32", "shape": [None]}},
        "outputs": {"logits": {"name": "logits:0", "dtype": "float32", "shape": None}},
        "defaults": [], "left_out": [],
    }  # fmt: skip
