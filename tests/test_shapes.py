"""Shapes by what leads to a tensor, held against those that TensorFlow inferred."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.edits.convert.origin import find_origin
from fastsm.graph.edges import edges_of
from fastsm.graph.shapes import Shapes
from fastsm.model import SavedModel
from fastsm.source import Reader
from fastsm.views import MetaGraph, meta_graphs

from .conftest import CorpusEntry, ModelFactory
from .convertible import placeholder, unary
from .graphs import FLOAT, dtype, meta_graph, node
from .oracle import ROOT
from .wire import delimited, integer, varint

EXAMPLES = ROOT / "examples"


class Unsaid:
    """Something without the shapes that TensorFlow left in it: edges of whose nodes one, or that
    node."""

    def __init__(self, of: Any, row: int | None = None) -> None:
        self._of, self._row = of, row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)

    def node(self, row: int) -> Any:
        return Unsaid(self._of.node(row)) if row == self._row else self._of.node(row)

    def shapes(self, name: str) -> list[None]:
        return []


def check(graph: MetaGraph) -> int:
    """Hold each node's shape, as it follows from those that it takes, against what is said of it;
    how many are known."""
    edges, n = edges_of(graph), 0
    for row in list(edges.rows(0))[:5000]:
        said = edges.node(row).shapes("_output_shapes")
        if not said:
            continue
        found = Shapes(Unsaid(edges, row)).of(row)  # type: ignore[arg-type]
        if found is not None:
            n += 1
            where = edges.name(row), edges.op(row), found, said[0]
            assert said[0] is not None and len(found) == len(said[0]), where
            assert all(a in (-1, b) for a, b in zip(found, said[0], strict=True)), where
    return n


def graphs_of(path: Path) -> Iterator[MetaGraph]:
    model = fastsm.open(path)
    assert isinstance(model, SavedModel)
    yield from model.meta_graphs


def test_the_examples() -> None:
    assert sum(check(g) for n in ("ranker", "tagger") for g in graphs_of(EXAMPLES / n / "1")) > 50
    origin = find_origin(EXAMPLES / "checkpoint")
    assert check(meta_graphs(Reader(origin.model(), "m"))[0]) > 50


@pytest.mark.parametrize("name", ["dtypes", "trained_conv", "partitioned", "v1_control_flow"])
def test_models(name: str, model: ModelFactory) -> None:
    for graph in graphs_of(model(name)):
        check(graph)


def test_models_of_the_corpus(corpus_model: CorpusEntry) -> None:
    try:
        graphs = list(graphs_of(corpus_model.path))
    except fastsm.FastsmError:
        return
    for graph in graphs:
        check(graph)


# -- op by op --------------------------------------------------------------------------


def ints(name: str, *values: int, packed: bool = False) -> bytes:
    """A Const: a row of int32."""
    numbers = b"".join(v.to_bytes(4, "little", signed=True) for v in values)
    listed = b"".join(varint(v) for v in values)
    inside = delimited(7, listed) if packed else delimited(4, numbers)
    tensor = integer(1, 3) + delimited(2, delimited(2, integer(1, len(values)))) + inside
    return node(name, "Const", dtype=dtype(3), value=delimited(8, tensor))


def flag(value: bool) -> bytes:
    return integer(5, value)


def shape_of(folder: Path, *nodes: bytes, tensor: str = "y") -> tuple[int, ...] | None:
    folder.mkdir(exist_ok=True)
    x = [placeholder("x", FLOAT, -1, 7, 1), placeholder("m", FLOAT, 4, 3), placeholder("u")]
    edges = edges_of(meta_graph(folder, *x, *nodes))
    row = edges.row(tensor.encode())
    assert row is not None
    return Shapes(edges).of(row)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("constant", "y", "shape"),
    [
        (None, unary("y", "Softmax", "x"), (-1, 7, 1)),
        (None, unary("y", "Add", "x", "m"), (-1, 7, 3)),
        (None, unary("y", "Add", "x", "u"), None),
        (None, unary("y", "MatMul", "m", "u"), (4, -1)),
        (None, node("y", "MatMul", "u", "m", transpose_b=flag(True)), (-1, 4)),
        ((-1, 7), unary("y", "Reshape", "x", "s"), (-1, 7)),
        ((2, -1), unary("y", "Reshape", "m", "s"), (2, 6)),
        ((), unary("y", "Reshape", "u", "s"), ()),
        ((-1, -1), unary("y", "Reshape", "m", "s"), None),
        ((1,), unary("y", "Mean", "x", "s"), (-1, 1)),
        ((0, -1), unary("y", "Max", "x", "s"), (7,)),
        ((1,), node("y", "Sum", "x", "s", keep_dims=flag(True)), (-1, 1, 1)),
        ((9,), unary("y", "Mean", "x", "s"), None),
        ((1,), unary("y", "ArgMax", "m", "s"), (4,)),
        ((0,), unary("y", "ExpandDims", "m", "s"), (1, 4, 3)),
        ((1, 0), unary("y", "Transpose", "m", "s"), (3, 4)),
        (None, node("y", "Squeeze", "x", squeeze_dims=delimited(1, integer(3, 2))), (-1, 7)),
        (None, node("y", "Squeeze", "x"), None),
        (None, unary("y", "Mystery", "x"), None),
        (None, unary("y", "Relu", "y"), None),
        (None, unary("y", "Relu", "nowhere"), None),
        (None, unary("y", "ReadVariableOp", "nowhere"), None),
    ],
)
def test_ops(
    tmp_path: Path, constant: tuple[int, ...] | None, y: bytes, shape: tuple[int, ...] | None,
    packed: bool,
) -> None:  # fmt: skip
    nodes = [y] if constant is None else [ints("s", *constant, packed=packed), y]
    assert shape_of(tmp_path, *nodes) == shape


def test_images(tmp_path: Path) -> None:
    nodes = [
        placeholder("image", FLOAT, -1, 8, 8, 3), placeholder("k", FLOAT, 3, 3, 3, 16),
        unary("c", "Conv2D", "image", "k"), unary("p", "MaxPool", "c"),
        node("y", "Squeeze", "p", squeeze_dims=delimited(1, delimited(3, varint(1), varint(2)))),
    ]  # fmt: skip
    assert shape_of(tmp_path, *nodes) == (-1, 16)


def test_a_long_way_ends(tmp_path: Path) -> None:
    chain = [unary(f"n{i}", "Relu", f"n{i + 1}") for i in range(5000)]
    assert shape_of(tmp_path, *chain, unary("n5000", "Relu", "m"), tensor="n0") is None
    assert shape_of(tmp_path, *chain, unary("n5000", "Relu", "m"), tensor="n4990") == (4, 3)
