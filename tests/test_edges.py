"""The edges of a graph, walks along them and cuts: held against the same done by protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from google.protobuf import message_factory

import fastsm
from fastsm.errors import FormatError
from fastsm.graph.edges import MISSING, Edges, Live, Problem
from fastsm.graph.nodes import Graph
from fastsm.plan import Rewrite, enclosing
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import CorpusEntry, ModelFactory
from .wire import delimited, entry, integer, message_type, varint

# -- the same, by protobuf --------------------------------------------------------------


def named_functions(attrs: Any) -> Iterator[str]:
    """The functions that attributes name, at any depth."""
    for value in attrs.values():
        lists = list(value.list.func) if value.WhichOneof("value") == "list" else []
        for func in [value.func] if value.WhichOneof("value") == "func" else lists:
            yield func.name
            yield from named_functions(func.attr)


def producer(text: str, owner: int) -> str:
    """What an input comes from: ParseTensorName, and InstantiateFunction of function.cc."""
    if text.startswith("^"):
        return text[1:]
    if owner:
        return text.partition(":")[0]
    head, colon, tail = text.rpartition(":")
    return head if colon and tail.isdigit() else text


class Expected:
    """The edges of a GraphDef."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        library = list(graph.library.function)
        self.functions = {f.signature.name: i for i, f in reversed(list(enumerate(library, 1)))}
        bodies = [list(graph.node), *(list(f.node_def) for f in library)]
        self.args = [[], *([a.name for a in f.signature.input_arg] for f in library)]
        self.nodes = [(owner, node) for owner, body in enumerate(bodies) for node in body]
        self.rows: dict[tuple[int, str], int] = {}
        for row, (owner, node) in enumerate(self.nodes):
            self.rows.setdefault((owner, node.name), row)

    def inputs(self, row: int) -> list[tuple[int, int]]:
        owner, node = self.nodes[row]
        out = []
        for text in node.input:
            name = producer(text, owner)
            arg = self.args[owner].index(name) if name in self.args[owner] else MISSING
            out.append((MISSING if arg != MISSING else self.rows.get((owner, name), MISSING), arg))
        return out

    def calls(self, row: int) -> set[int]:
        node = self.nodes[row][1]
        names = {*named_functions(node.attr), node.op}
        return {self.functions[name] for name in names if name in self.functions}

    def walk(self, rows: list[int], owners: list[int]) -> tuple[set[int], set[int]]:
        live, functions = set(), set()
        todo, called = list(rows), list(owners)
        while todo or called:
            if todo:
                row = todo.pop()
                if row in live:
                    continue
                live.add(row)
                todo += [r for r, _ in self.inputs(row) if r != MISSING]
                called += self.calls(row)
            else:
                owner = called.pop()
                if owner not in functions:
                    functions.add(owner)
                    for row, (of, _) in enumerate(self.nodes):
                        if of == owner:
                            called += self.calls(row)
        return live, functions

    def cut(self, rows: set[int], owners: set[int]) -> Any:
        """The graph without what is not in these."""
        out = type(self.graph)()
        out.CopyFrom(self.graph)
        library = out.library
        stay = {f.signature.name for i, f in enumerate(library.function, 1) if i in owners}
        main = [node for row, (owner, node) in enumerate(self.nodes) if owner == 0 and row in rows]
        keep(out.node, main)
        keep(library.function, [f for f in library.function if f.signature.name in stay])
        keep(
            library.gradient,
            [g for g in library.gradient if {g.function_name, g.gradient_func} <= stay],
        )
        keep(
            library.registered_gradients,
            [g for g in library.registered_gradients if g.gradient_func in stay],
        )
        was_empty = self.graph.HasField("library") and not self.graph.library.ByteSize()
        if not library.ByteSize() and not was_empty:
            out.ClearField("library")
        return out


def keep(repeated: Any, kept: list[Any]) -> None:
    copies = [type(m).FromString(m.SerializeToString()) for m in kept]
    del repeated[:]
    repeated.extend(copies)


def parsed(name: str, data: bytes) -> Any:
    return message_factory.GetMessageClass(message_type(name)).FromString(data)


def check(graph: MetaGraph, random: Random) -> None:
    """Hold all that Edges says of a meta graph against protobuf."""
    whole = graph.reader.source.read(0, graph.reader.source.size)
    message = parsed("SavedModel", whole).meta_graphs[graph.index]
    expected = Expected(message.graph_def)
    edges = Edges(Graph(graph))
    assert (edges.n, edges.n_functions) == (
        len(expected.nodes),
        len(message.graph_def.library.function),
    )
    for row, (owner, node) in enumerate(expected.nodes):
        assert (edges.name(row), edges.op(row)) == (node.name.encode(), node.op.encode())
        assert edges.owner(row) == owner
        assert edges.row(node.name.encode(), owner) == expected.rows[owner, node.name]
        inputs = edges.inputs(row)
        assert [i.text.decode() for i in inputs] == list(node.input)
        assert [(i.row, i.arg) for i in inputs] == expected.inputs(row)
        assert set(edges.calls(row)) == expected.calls(row)
        classes = [s.decode() for s in node.attr["_class"].list.s] if "_class" in node.attr else []
        placed = [s.removeprefix("loc:@") for s in classes if s.startswith("loc:@")]
        assert [name.decode() for name in edges.colocated(row)] == placed
    for owner in range(edges.n_functions + 1):
        rows = [row for row, (of, _) in enumerate(expected.nodes) if of == owner]
        assert list(edges.rows(owner)) == rows
        if owner:
            called: set[int] = set().union(*map(expected.calls, rows))
            assert sorted(edges.callees(owner)) == sorted(called)
    takers: dict[int, list[int]] = {}
    for row, (_, node) in enumerate(expected.nodes):
        sources = zip(expected.inputs(row), node.input, strict=True)
        for source in {r for (r, _), text in sources if not text.startswith("^")}:
            takers.setdefault(source, []).append(row)
    for row in random.sample(range(edges.n), min(edges.n, 50)):
        assert edges.takers(row) == takers.get(row, [])
    named = [set(expected.calls(row)) for row in range(edges.n)]
    for owner in random.sample(range(1, edges.n_functions + 1), min(edges.n_functions, 20)):
        assert edges.callers(owner) == [row for row, owners in enumerate(named) if owner in owners]
    main = [row for row, (owner, _) in enumerate(expected.nodes) if owner == 0]
    for n in (0, 1, 3):
        rows = random.sample(main, min(n, len(main)))
        owners = random.sample(range(1, edges.n_functions + 1), min(n // 2, edges.n_functions))
        live = Live(edges)
        for row in rows:  # step by step it is the same
            edges.walk(live, [row])
        edges.walk(live, owners=owners)
        nodes, functions = expected.walk(rows, owners)
        assert {row for row in range(edges.n) if live.nodes[row]} == nodes
        assert {i + 1 for i in range(edges.n_functions) if live.functions[i]} == functions
        displaced = [
            row
            for row in sorted(nodes)
            if expected.nodes[row][0] == 0
            and any(
                expected.rows.get((0, name.decode())) not in nodes for name in edges.colocated(row)
            )
        ]
        assert edges.displaced(live) == displaced
        rewrite = Rewrite(graph.reader.source)
        counts = edges.cut(rewrite, live)
        after = rewrite.source()
        left = parsed("SavedModel", after.read(0, after.size)).meta_graphs[graph.index]
        want = expected.cut(nodes, functions)
        assert left.graph_def == want
        assert counts[:2] == (
            len(message.graph_def.node) - len(want.node),
            len(message.graph_def.library.function) - len(want.library.function),
        )


OURS = (
    "two_signatures", "control_flow", "custom_gradient", "tables_and_tags", "tf_keras_lstm",
    "keras_saved", "v1_control_flow", "train_and_serve_ref", "legacy_init", "partitioned",
    "two_meta_graphs_v2", "unknown_fields",
)  # fmt: skip


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", OURS)
def test_edges_of_models(name: str, model: ModelFactory) -> None:
    for graph in fastsm.open(model(name)).meta_graphs:
        check(graph, Random(name))
        assert list(Edges(Graph(graph)).problems()) == []


def test_edges_of_the_corpus(corpus_model: CorpusEntry) -> None:
    try:
        graphs = fastsm.open(corpus_model.path).meta_graphs
    except fastsm.FastsmError:
        pytest.skip("not a model")
    for graph in graphs:
        if graph.n_nodes + graph.n_function_nodes < 4000:  # the Python above takes its time
            check(graph, Random(1))
        else:
            Edges(Graph(graph))


# -- graphs by hand ----------------------------------------------------------------------


def node(name: str, op: str = "NoOp", *inputs: str, attrs: bytes = b"") -> bytes:
    return delimited(
        1, delimited(1, name), delimited(2, op), *[delimited(3, i) for i in inputs], attrs
    )


def inner(name: str, op: str = "NoOp", *inputs: str, attrs: bytes = b"") -> bytes:
    """A node of a function."""
    return b"\x1a" + node(name, op, *inputs, attrs=attrs)[1:]


def attr(key: str, *value: bytes) -> bytes:
    return entry(5, key, *value)


def func(name: str, *attrs: bytes) -> bytes:
    """An AttrValue: a NameAttrList."""
    return delimited(10, delimited(1, name), *[b"\x12" + a[1:] for a in attrs])


def funcs(*names: str) -> bytes:
    return delimited(1, *[delimited(9, delimited(1, n)) for n in names])


def located(*names: str) -> bytes:
    return attr("_class", delimited(1, *[delimited(2, n) for n in names]))


def function(name: str, *parts: bytes, args: tuple[str, ...] = ()) -> bytes:
    signature = delimited(1, delimited(1, name), *[delimited(2, delimited(1, a)) for a in args])
    return delimited(1, signature, *parts)


def library(*parts: bytes) -> bytes:
    return delimited(2, *parts)


def graph_of(*parts: bytes, spans: int = 1) -> MetaGraph:
    """A meta graph whose GraphDef has these fields; in so many pieces."""
    step = -(-len(parts) // spans) or 1
    pieces = [b"".join(parts[i : i + step]) for i in range(0, len(parts), step)] or [b""]
    data = delimited(2, *[delimited(2, piece) for piece in pieces])
    reader = Reader(from_bytes(data), "m/saved_model.pb")
    (field,) = reader.fields([(0, len(data))], "")
    return MetaGraph(reader, 0, field)


def edges_of(*parts: bytes, spans: int = 1) -> Edges:
    return Edges(Graph(graph_of(*parts, spans=spans)))


def told(problems: Iterator[Problem]) -> list[tuple[str, str, int, int]]:
    return [(p.kind, p.name.decode(), p.owner, p.row) for p in problems]


def cut_to(edges: Edges, live: Live) -> bytes:
    """The GraphDefs that a cut leaves, one behind the other."""
    rewrite = Rewrite(edges.nodes.graph.reader.source)
    edges.cut(rewrite, live)
    reader = Reader(rewrite.source(), "")
    (meta,) = reader.fields([(0, reader.source.size)], "")
    parts = reader.fields([(meta.at, meta.end)], "")
    return b"".join(reader.source.read(f.at, f.end - f.at) for f in parts)


def test_inputs_of_both_kinds() -> None:
    body = [inner("m", "Op", "x", "y:1", "n:out:2", "^n", "^x"), inner("n", "Op", "n:out:0")]
    edges = edges_of(
        node("a", "Op", "b:1", "^b", "c:0", "b"),
        node("b"),
        library(function("f", *body, args=("x", "y"))),
        node("c:0", "Op", "c:0:7", "a:", "a:1x", "^a:1", ":0"),
    )
    assert [(i.row, i.arg, i.control, i.output) for i in edges.inputs(0)] == [
        (1, -1, False, 1), (1, -1, True, 0), (-1, -1, False, 0), (1, -1, False, 0),
    ]  # fmt: skip
    assert [(i.row, i.arg, i.control, i.output) for i in edges.inputs(2)] == [
        (-1, 0, False, 0), (-1, 1, False, 1), (3, -1, False, 2), (3, -1, True, 0),
        (-1, 0, True, 0),
    ]  # fmt: skip
    assert [i.row for i in edges.inputs(4)] == [4, -1, -1, -1, -1]
    assert list(edges.rows(0)) == [0, 1, 4] and list(edges.rows(1)) == [2, 3]
    assert edges.with_op(b"Op") == [0, 4] and edges.with_op(b"Op", b"x", owner=1) == [2, 3]
    assert edges.row(b"n") is None and edges.row(b"n", 1) == 3 and edges.row(b"x", 1) is None


def test_functions_are_named_in_every_way() -> None:
    deep = func("outer", attr("g", func("", attr("h", funcs("c", "d")))))
    edges = edges_of(
        node("n", "a", attrs=attr("f", func("b")) + attr("g", deep)),
        node("plain"),
        library(*[function(name) for name in "abcde"]),
    )
    assert sorted(edges.calls(0)) == [1, 2, 3, 4] and edges.calls(1) == []
    assert told(edges.problems()) == [("function", "outer", 0, 0)]
    live = Live(edges)
    edges.walk(live, [0])
    assert (live.nodes, live.functions) == (b"\1\0", b"\1\1\1\1\0")


def test_a_walk_ends_in_circles() -> None:
    edges = edges_of(
        node("a", "f", "b"), node("b", "NoOp", "^a", "b"), node("c", "NoOp", "a"),
        library(
            function("f", inner("n", "g", "n")), function("g", inner("n", "f")), function("h")
        ),
    )  # fmt: skip
    live = Live(edges)
    edges.walk(live, [1])
    assert (live.nodes, live.functions) == (b"\1\1\0\0\0", b"\1\1\0")
    edges.walk(live, owners=[3])
    assert live.functions == b"\1\1\1"
    inside = Live(edges)
    edges.walk(inside, [3])
    assert (inside.nodes, inside.functions) == (b"\0\0\0\1\0", b"\1\1\0")


def test_what_does_not_resolve_is_told() -> None:
    edges = edges_of(
        node("a", "Op", "gone:1", "a", "^lost", attrs=located("loc:@a", "loc:@nowhere", "odd")),
        node("a", "Op", attrs=attr("f", func("missing"))),
        library(
            function(
                "f", inner("x", "Op", attrs=located("loc:@anything")), inner("y", "Op", "z"),
                entry(4, "out", "gone:out:0"), entry(4, "ok", "x"), entry(6, "c", "lost"),
                args=("x",),
            ),
            delimited(2, delimited(1, "f"), delimited(2, "no_gradient")),
            delimited(3, delimited(1, "unregistered"), delimited(2, "type")),
        ),
    )  # fmt: skip
    assert told(edges.problems()) == [
        ("registered", "unregistered", 0, -1),
        ("gradient", "no_gradient", 0, -1),
        ("ret", "gone:out:0", 1, -1),
        ("control_ret", "lost", 1, -1),
        ("input", "gone:1", 0, 0),
        ("input", "^lost", 0, 0),
        ("class", "nowhere", 0, 0),
        ("name", "a", 0, 1),
        ("function", "missing", 0, 1),
        ("name", "x", 1, 2),
        ("input", "z", 1, 3),
    ]
    source = edges.nodes.graph.reader.source
    for p in edges.problems():
        assert p.name in source.read(p.offset, min(40, source.size - p.offset))
    assert [p.place for p in edges.problems()][-1] == (
        'meta_graphs[0].graph_def.library.function["f"].node_def["y"]'
    )
    assert edges.gradients() == [(b"f", b"no_gradient")]
    assert edges.registered_gradients() == [(b"type", b"unregistered")]


def test_functions_that_stand_for_each_other() -> None:
    def told_by(name: str, implements: str) -> bytes:
        return function(name, entry(5, "api_implements", delimited(2, implements)))

    parts = [told_by("cpu", "lstm"), function("f"), told_by("gpu", "lstm"), told_by("x", "gru")]
    edges = edges_of(library(*parts))
    assert edges.implementations() == {b"lstm": [1, 3], b"gru": [4]}
    assert edges.function_attr(2, "api_implements") is None


def test_functions_of_one_name_live_together() -> None:
    twins = [function("f", inner("n", "g")), function("g"), function("f", inner("n", "h"))]
    edges = edges_of(node("a", "f"), library(*twins, function("h"), function("i")))
    for walk in ({"rows": [0]}, {"owners": [1]}, {"owners": [3]}):
        live = Live(edges)
        edges.walk(live, **walk)
        assert live.functions == b"\1\1\1\1\0"


def test_a_cut_leaves_all_other_bytes() -> None:
    payload = node("wide")[2:]
    wide = b"\x0a" + varint(len(payload), width=3) + payload
    parts = [
        node("a"), integer(3, 7), node("b"), wide, node("c"), delimited(9, "unknown"), node("d"),
        library(function("f"), delimited(15, "more"), function("g"), function("h")),
        node("e"), library(function("i")), delimited(4, integer(1, 5)), library(),
    ]  # fmt: skip
    for spans in (1, 2, 5):
        edges = edges_of(*parts, spans=spans)
        live = Live(edges)
        names = [edges.name(row) for row in range(edges.n)]
        edges.walk(live, [names.index(b"a"), names.index(b"d")], [2])
        left = b"".join([
            parts[0], parts[1], parts[5], parts[6],
            library(delimited(15, "more"), function("g")), parts[10], parts[11],
        ])  # fmt: skip
        assert cut_to(edges, live) == left
        edges.walk(live, range(edges.n), range(1, edges.n_functions + 1))
        assert cut_to(edges, live) == b"".join(parts)


def test_gradients_go_with_their_functions() -> None:
    parts = [
        function("f"), function("g"), function("h"),
        delimited(2, delimited(1, "f"), delimited(2, "g")),
        delimited(2, delimited(1, "f"), delimited(2, "h")),
        delimited(2, delimited(1, "h"), delimited(2, "g")),
        delimited(2, delimited(1, "f"), delimited(2, "not there")),
        delimited(3, delimited(1, "g"), delimited(2, "type")),
        delimited(3, delimited(1, "h"), delimited(2, "type")),
    ]  # fmt: skip
    edges = edges_of(library(*parts))
    live = Live(edges)
    edges.walk(live, owners=[1, 2])
    assert cut_to(edges, live) == library(*parts[:2], parts[3], parts[7])
    assert cut_to(edges, Live(edges)) == b""


def test_a_cut_and_other_splices() -> None:
    """Inputs taken out of nodes that stay, in the same rewrite, before and after the cut."""
    edges = edges_of(
        node("a"), node("b", "NoOp", "^a", "^c"), node("c"), node("d", "NoOp", "^c", "^b"),
        library(function("f"), function("g")), node("e"),
    )  # fmt: skip
    graph = edges.nodes.graph
    live = Live(edges)
    edges.walk(live, [0], [2])
    for row in (1, 3):
        live.nodes[row] = 1
    rewrite = Rewrite(graph.reader.source)

    def drop(row: int, which: int) -> None:
        node = edges.node(row)
        taken = [f for f in node.fields if f.number == 3][which]
        (around,) = [f for f in graph.fields if f.number == 2]
        inside = graph.reader.fields([(around.at, around.end)], "")
        (whole,) = [f for f in inside if f.at == node.start]
        rewrite.replace(taken.start, taken.end, b"", enclosing(graph.field, around, whole))

    drop(3, 0)
    edges.cut(rewrite, live)
    drop(1, 1)
    reader = Reader(rewrite.source(), "")
    (meta,) = reader.fields([(0, reader.source.size)], "")
    (found,) = reader.fields([(meta.at, meta.end)], "")
    assert reader.source.read(found.at, found.end - found.at) == (
        node("a") + node("b", "NoOp", "^a") + node("d", "NoOp", "^b") + library(function("g"))
    )


@pytest.mark.parametrize("damage", ["node", "attr", "function"])
def test_damage_is_told_with_its_place(damage: str) -> None:
    parts = {
        "node": [delimited(1, delimited(1, "n"), b"\x1a\x7f")],
        "attr": [node("n", attrs=delimited(5, delimited(1, "k"), b"\x12\x05\x52\x7f"))],
        "function": [library(delimited(1, delimited(1, delimited(1, "f"), b"\x12\x02\x0a\x7f")))],
    }[damage]
    with pytest.raises(FormatError) as caught:
        edges_of(*parts)
    assert caught.value.offset is not None and "graph_def" in str(caught.value)
