"""Facts of ops: which have a state, which inputs are resources or refs."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.graph import op_facts
from fastsm.graph.edges import Edges
from fastsm.graph.nodes import Graph
from fastsm.graph.ops import Ops, facts_of
from fastsm.model import SavedModel
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import CorpusEntry, ModelFactory
from .graphs import (
    FLOAT,
    FLOAT_REF,
    RESOURCE,
    count,
    dtype,
    dtypes,
    function,
    meta_graph,
    node,
    op,
)  # fmt: skip
from .oracle import Oracle
from .wire import delimited, integer


def facts(graph: MetaGraph) -> tuple[Edges, Ops]:
    edges = Edges(Graph(graph))
    return edges, Ops(graph, edges)


def test_the_table_says_what_an_op_definition_says(oracle: Oracle, tmp_path: Path) -> None:
    """Both ways give the same for each op that TensorFlow has."""
    data = oracle.op_list()
    reader = Reader(from_bytes(data), "")
    found = reader.parse("OpList", [(0, len(data))], "")[1]
    edges, ops = facts(meta_graph(tmp_path, *(node(o[1], o[1]) for o in found)))
    assert len(found) > 1500
    for o in found:
        stateful, inputs = facts_of(o)
        while inputs and inputs[-1].endswith("."):
            inputs = inputs[:-1]
        known = ops._of(o[1].encode())
        assert known is not None
        assert (known[0], list(known[1])) == (stateful, list(inputs)), o[1]
        row = edges.row(o[1].encode())
        assert row is not None and ops.is_own(row)


def test_no_op_is_listed_twice() -> None:
    listed = [*op_facts.PLAIN.split(), *" ".join(op_facts.HANDLES.values()).split()]
    assert len(listed) == len(set(listed))
    assert set(listed).isdisjoint(set(op_facts.STATEFUL.split()) - set(listed))


@pytest.mark.parametrize(
    "name",
    ["v1_trained", "v1_trained_ref", "v1_control_flow", "trained_flow", "tf_keras_lstm",
     "random_state", "partitioned", "asset_collection"],
)  # fmt: skip
def test_handles_are_those_that_tensorflow_sees(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    path = model(name)
    graphs = fastsm.open(path).meta_graphs
    for graph, want in zip(graphs, oracle.handles(path), strict=True):
        edges, ops = facts(graph)
        rows = {edges.name(row).decode(): row for row in range(edges.n) if not edges.owner(row)}
        assert {n: ops.handles(row) for n, row in rows.items()} == want
        assert any(want.values())


def test_every_op_of_models_of_others_is_known(corpus_model: CorpusEntry) -> None:
    """By the table, the op list, or a function; but for ops of packages that functions use."""
    try:
        with fastsm.open(corpus_model.path) as model:
            assert isinstance(model, SavedModel)
            graphs = [(graph, *facts(graph)) for graph in model.meta_graphs]
    except fastsm.FormatError:
        return
    for _, edges, ops in graphs:
        assert all(ops.is_known(r) for r in range(edges.n) if not edges.owner(r))


# -- by hand ---------------------------------------------------------------------------


def handles(graph: MetaGraph, name: str = "n") -> list[int]:
    edges, ops = facts(graph)
    row = edges.row(name.encode())
    assert row is not None
    return ops.handles(row)


@pytest.mark.parametrize(
    "made, want",
    [
        (node("n", "Identity", "a", T=dtype(RESOURCE)), [0]),
        (node("n", "Identity", "a", T=dtype(FLOAT)), []),
        (node("n", "Identity", "a"), []),
        (node("n", "Switch", "a", "b", T=dtype(RESOURCE)), [0]),
        (node("n", "Merge", "a", "b", T=dtype(RESOURCE), N=count(2)), [0, 1]),
        (node("n", "Merge", "a", "b", T=dtype(FLOAT_REF), N=count(1 << 60)), [0, 1]),
        (node("n", "Assign", "a", "b", "^c"), [0]),
        (node("n", "RefSwitch", "a", "b"), [0]),
        (node("n", "AssignVariableOp", "^c", "a", "b"), [0]),
        (node("n", "PartitionedCall", "a", "b", "c", Tin=dtypes(FLOAT, RESOURCE, RESOURCE)),
         [1, 2]),
        (node("n", "PartitionedCall", "a", Tin=dtypes(FLOAT, RESOURCE, RESOURCE)), []),
        (node("n", "While", "a", "b", T=dtypes(RESOURCE, FLOAT)), [0]),
        (node("n", "If", "p", "a", "b", Tcond=dtype(FLOAT), Tin=dtypes(FLOAT, RESOURCE)), [2]),
        (node("n", "Const"), []),
    ],
)  # fmt: skip
def test_of_own_ops(made: bytes, want: list[int], tmp_path: Path) -> None:
    around = [node(name, "Placeholder") for name in "abcp"]
    assert handles(meta_graph(tmp_path, *around, made)) == want


def argument(name: str, *fields: bytes) -> bytes:
    return delimited(1, name) + b"".join(fields)


MINE = op(
    "Mine",
    argument("x", delimited(4, "T"), delimited(5, "N")),
    argument("h", integer(3, RESOURCE)),
    argument("all", delimited(6, "Ts")),
    argument("r", integer(3, FLOAT), integer(16, 1)),
    attrs=(delimited(1, "T"), delimited(1, "N"), delimited(1, "Ts")),
)


def test_of_ops_that_the_model_lists(tmp_path: Path) -> None:
    around = [node(name, "Placeholder") for name in "abcde"]
    mine = node("n", "Mine", *"abcde", T=dtype(FLOAT), N=count(1), Ts=dtypes(FLOAT, RESOURCE))
    graph = meta_graph(tmp_path, *around, mine, ops=(op("Other"), MINE))
    assert handles(graph) == [1, 3, 4]
    edges, ops = facts(graph)
    row = edges.row(b"n")
    assert row is not None
    assert ops.is_known(row) and not ops.is_stateful(row) and not ops.is_own(row)


def test_of_functions(tmp_path: Path) -> None:
    f = function("f", inputs=(argument("x", integer(3, FLOAT)), argument("h", integer(3, 20))))
    g = function("g", stateful=True)
    around = [node(name, "Placeholder") for name in "ab"]
    nodes = [*around, node("n", "f", "a", "b"), node("m", "g")]
    graph = meta_graph(tmp_path, *nodes, functions=(f, g))
    assert handles(graph) == [1]
    edges, ops = facts(graph)
    n, m = edges.row(b"n"), edges.row(b"m")
    assert n is not None and m is not None
    assert (ops.is_stateful(n), ops.is_stateful(m)) == (False, True)
    assert ops.is_known(n) and not ops.is_own(n)


def test_of_an_op_that_nothing_tells_of(tmp_path: Path) -> None:
    graph = meta_graph(
        tmp_path, node("a", "Const"), node("n", "NoSuch", "a", "^a", "a"), ops=(MINE,)
    )
    edges, ops = facts(graph)
    row = edges.row(b"n")
    assert row is not None
    assert not ops.is_known(row) and ops.is_stateful(row) and ops.changes(row)
    assert ops.handles(row) == [0, 1]


def test_what_changes_what_a_handle_leads_to(tmp_path: Path) -> None:
    made = [
        node("v", "VarHandleOp"), node("r", "VariableV2"), node("c", "Const"),
        node("read", "ReadVariableOp", "v"), node("write", "AssignVariableOp", "v", "c"),
        node("same", "Identity", "v", T=dtype(RESOURCE)), node("set", "Assign", "r", "c"),
        node("ref", "RefIdentity", "r"), node("random", "RandomUniform", "c"),
        node("pure", "PartitionedCall", "v", Tin=dtypes(RESOURCE)),
        node("call", "StatefulPartitionedCall", "v", Tin=dtypes(RESOURCE)),
        node("no", "StatefulPartitionedCall", "c", Tin=dtypes(FLOAT)),
    ]  # fmt: skip
    edges, ops = facts(meta_graph(tmp_path, *made))
    changing = {edges.name(row) for row in range(edges.n) if ops.changes(row)}
    assert changing == {b"v", b"r", b"write", b"set", b"random", b"call", b"no"}
    assert {edges.name(r) for r in range(edges.n) if ops.changes(r) and ops.handles(r)} == {
        b"write", b"set", b"call"
    }  # fmt: skip


def test_a_damaged_op_list(tmp_path: Path) -> None:
    graph = meta_graph(tmp_path, node("n", "Mine"), ops=(delimited(1, "Mine") + b"\x12\x7f",))
    _, ops = facts(graph)
    with pytest.raises(fastsm.FormatError) as e:
        ops.is_known(0)
    assert e.value.place and e.value.place.startswith("meta_graphs[0].meta_info_def")
