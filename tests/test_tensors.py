"""Tensors of a main graph: dtypes and shapes, held against TensorFlow's own import of it."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from fastsm.graph.nodes import Graph
from fastsm.graph.tensors import Tensor, Tensors
from fastsm.model import open as open_model
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, TensorFlowFailed
from .wire import delimited, entry, integer

FLOAT, INT32, STRING = 1, 3, 7

Dims: TypeAlias = "tuple[int | None, ...]"


def held_against(
    graphs: list[MetaGraph], theirs: list[dict[str, object]], *, same_version: bool
) -> None:
    """Hold every tensor against what TensorFlow says, which infers more shapes than it once
    did; and look one output behind the last."""
    for graph, known in zip(graphs, theirs, strict=True):
        tensors = Tensors(graph, known)
        counts: dict[str, int] = {}
        for name, (dtype, shape) in known.items():  # type: ignore[misc]
            tensor = tensors.find(name)
            assert isinstance(tensor, Tensor), (name, tensor)
            assert (tensor.name, tensor.dtype) == (name, dtype), tensor.why
            dims = tensor.dims and tuple(d if d >= 0 else None for d in tensor.dims)
            assert dims == shape or (not same_version and fits(dims, shape)), name
            node = name.rpartition(":")[0]
            counts[node] = counts.get(node, 0) + 1
        for name in Graph(graph).names():
            node = name.decode()
            n = counts.get(node, 0)
            assert isinstance(Tensors(graph, [node]).find(f"{node}:{n}"), str), node


def fits(a: Dims | None, b: Dims | None) -> bool:
    """Whether two shapes can be of one tensor."""
    if a is None or b is None:
        return True
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(i is None or j is None or i == j for i, j in pairs)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [n for n in MODELS if n != "no_meta_graphs"])
def test_every_tensor_of_every_model(
    name: str, model: ModelFactory, oracle: Oracle
) -> None:
    graphs = open_model(model(name)).meta_graphs
    theirs = oracle.graph_tensors(model(name))
    held_against(graphs, theirs, same_version=True)  # type: ignore[arg-type]


def test_every_tensor_of_the_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    if corpus_model.catalog["parse_error"]:
        pytest.skip("it cannot be read")
    try:
        theirs = oracle.graph_tensors(corpus_model.path)
    except TensorFlowFailed as e:
        pytest.skip(f"TensorFlow cannot import it: {e}")
    graphs = open_model(corpus_model.path).meta_graphs
    held_against(graphs, theirs, same_version=False)  # type: ignore[arg-type]


# -- messages by hand --------------------------------------------------------------------


def a_graph(*fields: bytes, ops: bytes = b"") -> MetaGraph:
    """A meta graph with these fields in its GraphDef, and these OpDefs."""
    data = delimited(2, delimited(1, delimited(2, ops)), delimited(2, *fields))
    reader = Reader(from_bytes(data), "m/saved_model.pb")
    (field,) = reader.fields([(0, len(data))], "")
    return MetaGraph(reader, 0, field)


def node(name: str, op: str, **attrs: bytes) -> bytes:
    entries = [entry(5, key, value) for key, value in attrs.items()]
    return delimited(1, delimited(1, name), delimited(2, op), *entries)


def op_def(name: str, *outputs: bytes, attrs: bytes = b"") -> bytes:
    return delimited(1, delimited(1, name), *[delimited(3, o) for o in outputs], attrs)


def default(name: str, value: bytes) -> bytes:
    return delimited(4, delimited(1, name), delimited(3, value))


def found(graph: MetaGraph, name: str) -> tuple[int, object] | str:
    tensor = Tensors(graph, [name]).find(name)
    return tensor if isinstance(tensor, str) else (tensor.dtype or tensor.why, tensor.dims)  # type: ignore[return-value]


def test_outputs_of_every_kind() -> None:
    ops = op_def(
        "All", integer(3, FLOAT), delimited(4, "T"),
        integer(3, STRING) + delimited(5, "N"), delimited(6, "L"),
        delimited(4, "T") + delimited(5, "N"), integer(3, INT32) + integer(16, 1),
        attrs=default("N", integer(3, 1)) + default("L", delimited(1, integer(6, INT32))),
    )  # fmt: skip
    named = {"T": integer(6, 9), "N": integer(3, 2), "L": delimited(1, delimited(6, b"\1\7"))}
    graph = a_graph(node("a", "All", **named), node("b", "All", T=integer(6, 2)), ops=ops)
    kinds = [found(graph, f"a:{i}") for i in range(9)]
    assert [k[0] for k in kinds] == [FLOAT, 9, STRING, STRING, FLOAT, STRING, 9, 9, 100 + INT32]
    assert found(graph, "a:9") == '"a" (All) has 9 outputs, and no :9'
    # Attributes that a node leaves out are those of the op.
    assert [found(graph, f"b:{i}")[0] for i in range(6)] == [FLOAT, 2, STRING, INT32, 2, 103]


def test_a_call_of_a_function_by_its_name() -> None:
    library = delimited(2, delimited(1, delimited(
        1, delimited(1, "f_1"), delimited(3, delimited(1, "y"), integer(3, FLOAT)),
    )))  # fmt: skip
    assert found(a_graph(node("a", "f_1"), library), "a") == (FLOAT, None)


@pytest.mark.parametrize(
    ("attrs", "says"),
    [
        ({}, "its attribute T holds none"),
        ({"T": integer(6, 0)}, "its attribute T holds none"),
        ({"T": integer(6, 77)}, "its attribute T holds none"),
        ({"T": integer(6, -1)}, "its attribute T holds none"),
        ({"T": integer(3, 1)}, "its attribute T holds none"),
    ],
)
def test_dtypes_that_cannot_be_told(attrs: dict[str, bytes], says: str) -> None:
    graph = a_graph(node("a", "Op", **attrs), ops=op_def("Op", delimited(4, "T"), b""))
    assert found(graph, "a:0") == (says, None)
    assert found(graph, "a:1") == ("its op has none", None)


@pytest.mark.parametrize("n", [-1, -(1 << 63), (1 << 63) - 1, 1 << 31])
def test_a_number_of_outputs_that_cannot_be(n: int) -> None:
    ops = op_def("Op", integer(3, FLOAT) + delimited(5, "N"), integer(3, INT32))
    graph = a_graph(node("a", "Op", N=integer(3, n)), ops=ops)
    assert found(graph, "a:0") == ((INT32, None) if n < 0 else (FLOAT, None))
    assert found(graph, "a:999999999") == (
        '"a" (Op) has 1 output, and no :999999999' if n < 0 else (FLOAT, None)
    )


SHAPE = delimited(7, delimited(2, integer(1, 5)))
SCALAR = delimited(7, b"")


@pytest.mark.parametrize(
    ("op", "attr", "producer", "dims"),
    [
        ("Placeholder", SHAPE, 0, (5,)), ("Placeholder", SCALAR, 22, ()),
        ("Placeholder", SCALAR, 21, None), ("Placeholder", delimited(7, integer(3, 1)), 22, None),
        ("VariableV2", SCALAR, 0, ()), ("Variable", SCALAR, 22, None),
        ("Variable", SHAPE, 22, (5,)),
        ("Other", SHAPE, 22, None), ("Placeholder", None, 22, None),
    ],
)  # fmt: skip
def test_shapes_of_old_graphs(
    op: str, attr: bytes | None, producer: int, dims: tuple[int, ...] | None
) -> None:
    attrs = {} if attr is None else {"shape": attr}
    versions = delimited(4, integer(1, producer))
    graph = a_graph(node("a", op, **attrs), versions, ops=op_def(op, integer(3, FLOAT)))
    assert found(graph, "a") == (FLOAT, dims)


def test_an_inferred_shape_comes_first() -> None:
    inferred = delimited(1, delimited(7, integer(3, 1)), delimited(7, delimited(2, integer(1, -1))))
    ops = op_def("Placeholder", integer(3, FLOAT), integer(3, FLOAT), integer(3, FLOAT))
    graph = a_graph(node("a", "Placeholder", _output_shapes=inferred, shape=SHAPE), ops=ops)
    assert [found(graph, f"a:{i}")[1] for i in range(3)] == [None, (-1,), (5,)]
