"""Who takes from whom in a graph and its functions, and what of them is needed.

The core resolves every name once; a walk over a million nodes then takes milliseconds.
Source: tensorflow/core/framework/node_def.proto, function.proto, attr_value.proto,
tensorflow/core/graph/tensor_id.cc (2.21).
"""

from __future__ import annotations

from .. import _core
from ..errors import CoreError
from ..plan import enclosing
from ..source import LEN, last, merged
from ..text import printable
from ..views import map_entries
from .nodes import Graph, node_of, output_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core import Field
    from ..plan import Rewrite
    from ..views import MetaGraph
    from .nodes import Node

#: An input that comes from no node.
MISSING = -1

# Field numbers: NodeDef.input and attr; FunctionDef.ret, attr and control_ret; GradientDefs and
# RegisteredGradients of FunctionDefLibrary.
_INPUT, _NODE_ATTR, _RET, _ATTR, _CONTROL_RET, _GRADIENT, _REGISTERED = 3, 5, 4, 5, 6, 2, 3

#: So many inputs are remembered: functions are gone through again and again, with some two
#: for each of their nodes.
_MAX_INPUTS = 1 << 16

#: The attribute by which functions say that each can stand for the others.
_IMPLEMENTS = "api_implements"


class Input:
    """One input of a node.

    Attributes:
        text: As the file has it: ``x:1``, ``^x``; in a function also ``x:output:1``.
        row: The node that it comes from, of the same owner; MISSING where it is none.
        arg: Of an argument of the function its position; MISSING where it is none.
        control: Whether it is ``^x``.
        output: Which output of the node; in a function which of those of that name.
    """

    __slots__ = ("arg", "control", "output", "row", "text")

    def __init__(self, text: bytes, row: int, arg: int) -> None:
        self.text = text
        self.row, self.arg = row, arg
        self.control = text[:1] == b"^"
        self.output = 0 if self.control else output_of(text)

    def __repr__(self) -> str:
        return f"Input({printable(self.text)!r}, row={self.row}, arg={self.arg})"


class Live:
    """What is known to be needed of a graph.

    Attributes:
        nodes: A byte for each row, 1 where it is. Nodes of functions only where a walk began
            at one: a function is live as a whole.
        functions: The same for each function; that of owner i is at i - 1.
    """

    __slots__ = ("functions", "nodes")

    def __init__(self, edges: Edges) -> None:
        self.nodes = bytearray(edges.n)
        self.functions = bytearray(edges.n_functions)


class Problem:
    """A name that does not resolve.

    Attributes:
        kind: What has the name: "input", "function", "class" (colocation, of the main graph),
            "name" (a node whose name is taken), "ret", "control_ret", "gradient" (of a
            function), or "registered" (a gradient of an op).
        name: The name: of an input as the file has it.
        owner: 0 for the main graph, i + 1 for function i; of a gradient 0.
        row: The node; MISSING for what functions return, and gradients.
        offset: Where it is in the file.
        place: The message, as errors name it.
    """

    __slots__ = ("kind", "name", "offset", "owner", "place", "row")

    def __init__(
        self, kind: str, name: bytes, owner: int, row: int, offset: int, place: str
    ) -> None:
        self.kind, self.name = kind, name
        self.owner, self.row = owner, row
        self.offset, self.place = offset, place

    def __repr__(self) -> str:
        return f"<Problem {self.kind} {printable(self.name)} in {self.place}>"


def edges_of(graph: MetaGraph) -> Edges:
    """The edges of a meta graph, resolved once. Raises FormatError as `Edges`."""
    return graph.once("edges", lambda: Edges(Graph(graph)))


class Edges:
    """The edges of a meta graph's GraphDef: of the main graph, which is owner 0, and of its
    functions, which are owners 1 and on.

    A node is a row: those of the main graph and of functions, in file order. Of nodes with
    equal names the first has the name; no loader takes such a graph.

    Attributes:
        nodes: The nodes.
        n, n_functions: How many rows and functions there are.

    Raises FormatError where the graph is damaged.
    """

    def __init__(self, nodes: Graph) -> None:
        self.nodes = nodes
        self._reader = nodes.graph.reader
        try:
            self._core = _core.EdgeIndex(nodes.index, self._reader.source)
        except CoreError as e:
            raise self._reader.error(e, nodes.place) from None
        self._inputs: dict[int, list[Input]] = {}  # those that were read last
        self._n_inputs = 0
        self.n, self.n_functions = len(nodes.index), nodes.index.n_functions

    # -- nodes --

    def row(self, name: bytes, owner: int = 0) -> int | None:
        """The row of a node, by its name."""
        return self._core.row(name, owner)

    def name(self, row: int) -> bytes:
        return self._core.name(row)

    def op(self, row: int) -> bytes:
        return self._core.op(row)

    def owner(self, row: int) -> int:
        return self._core.owner(row)

    def node(self, row: int) -> Node:
        """The NodeDef itself."""
        return self.nodes.at(row)

    def rows(self, owner: int) -> Iterable[int]:
        """The rows of an owner, in file order."""
        if owner:
            return self.nodes.body(owner)
        return (row for row in range(self.n) if self._core.owner(row) == 0)

    def with_op(self, *ops: bytes, owner: int = 0) -> list[int]:
        """The rows of an owner's nodes with one of these ops, in file order."""
        return self._core.with_ops(ops, owner)

    # -- nodes as `Graph` finds them, which reads no name --

    def named(self, wanted: Iterable[bytes], owner: int = 0) -> dict[bytes, Node]:
        """The nodes with these names, of an owner."""
        return {name: self.node(row) for name, row in self._found(wanted, owner)}

    def ops_of(self, wanted: Iterable[bytes]) -> dict[bytes, bytes]:
        """Of those nodes of the main graph with these names the ops."""
        return {name: self.op(row) for name, row in self._found(wanted, 0)}

    def _found(self, wanted: Iterable[bytes], owner: int) -> Iterator[tuple[bytes, int]]:
        for name in wanted:
            row = self.row(name, owner)
            if row is not None:
                yield name, row

    def with_ops(self, ops: Iterable[bytes], owner: int = 0) -> Iterator[Node]:
        """The nodes of these ops, in file order."""
        return map(self.node, self.with_op(*ops, owner=owner))

    def function(self, name: bytes) -> int | None:
        """The owner that a function is, or None."""
        return self.nodes.function(name)

    # -- edges --

    def inputs(self, row: int) -> list[Input]:
        """What a node takes, in file order. Not to be changed."""
        found = self._inputs.get(row)
        if found is None:
            edges = self._core.edges_of(row)
            found = [
                Input(
                    text,
                    number if kind == _core.TO_NODE else MISSING,
                    number if kind == _core.TO_ARGUMENT else MISSING,
                )
                for text, (kind, number) in zip(self.node(row).inputs, edges, strict=False)
            ]
            self._n_inputs += 1 + len(found)
            if self._n_inputs > _MAX_INPUTS:
                self._inputs.clear()
                self._n_inputs = 1 + len(found)
            self._inputs[row] = found
        return found

    def taken(self, row: int) -> list[int]:
        """The nodes that a node's inputs come from, in file order; MISSING where it is none.

        Faster than `inputs`, which read the node. Control inputs are the last in every graph
        that TensorFlow takes.
        """
        return self._core.taken(row)

    def takers(self, row: int) -> list[int]:
        """The nodes that take an output of a node, in file order; not those that only wait."""
        return [
            other
            for other in self._core.takers(row)
            if any(taken.row == row and not taken.control for taken in self.inputs(other))
        ]

    def calls(self, row: int) -> list[int]:
        """The functions that a node names: as its op, or anywhere in its attributes; owners."""
        return [
            number + 1 for kind, number in self._core.edges_of(row) if kind == _core.TO_FUNCTION
        ]

    def callers(self, owner: int) -> list[int]:
        """The nodes that name a function, in the main graph and in functions, in file order."""
        return self._core.callers(owner)

    def callees(self, owner: int) -> list[int]:
        """The functions that the nodes of a function name, each once; owners."""
        return [number + 1 for number in self._core.callees(owner)]

    def colocated(self, row: int) -> list[bytes]:
        """The nodes that a node is placed with, by ``_class``."""
        return [name for name, _ in self._classes(self.node(row))]

    def _classes(self, node: Node) -> Iterator[tuple[bytes, int]]:
        listed = self._reader.fields(merged(node.attr("_class"), 1), node.place)
        for f in listed:
            if f.number == 2 and f.wire == LEN:
                text = self._reader.bytes(f, node.place)
                if text.startswith(b"loc:@"):
                    yield text[5:], f.start

    def walk(self, live: Live, rows: Iterable[int] = (), owners: Iterable[int] = ()) -> None:
        """Mark nodes, all that they take, data and control, and all functions named on the way,
        inside functions too. What is marked already is not gone through again.

        Args:
            rows: Nodes to begin at.
            owners: Functions to begin at.
        """
        self._core.walk(live.nodes, live.functions, rows, owners)

    def displaced(self, live: Live) -> list[int]:
        """The live rows of the main graph that are colocated with a node that is not."""
        return self._core.displaced(live.nodes)

    def ops(self, live: Live) -> list[bytes]:
        """The ops of what is live: of nodes of the main graph, and of all in live functions."""
        return self._core.live_ops(live.nodes, live.functions)

    def cut(self, rewrite: Rewrite, live: Live) -> tuple[int, int, int]:
        """Cut what is not live out of the file: main graph's nodes, functions, and gradients
        of functions that are not there.

        Returns:
            How many of each go.
        """
        graph = self.nodes.graph
        parts = [f for f in graph.fields if f.number == 2 and f.wire == LEN]
        within = [enclosing(graph.field, f) for f in parts]
        try:
            return rewrite.cut_nodes(within, self.nodes.index, live.nodes, live.functions)
        except CoreError as e:
            raise self._reader.error(e, self.nodes.place) from None

    # -- the library --

    def function_attr(self, owner: int, name: str) -> bytes | None:
        """The string in an attribute of a function; None where it has none such."""
        fields, place = self.nodes.definition(owner, _ATTR)
        value = map_entries(self._reader, fields, _ATTR, place).get(name, [])
        f = last(self._reader.fields(value, place), 2)
        return self._reader.bytes(f, place) if f else None

    def implementations(self) -> dict[bytes, list[int]]:
        """The functions that say that they implement the same: of each such name, the owners.

        Source: tensorflow/core/grappler/optimizers/implementation_selector.cc (2.21).
        """
        found: dict[bytes, list[int]] = {}
        for owner in range(1, self.n_functions + 1):
            name = self.function_attr(owner, _IMPLEMENTS)
            if name:
                found.setdefault(name, []).append(owner)
        return found

    def gradients(self) -> list[tuple[bytes, bytes]]:
        """(function, the function that is its gradient) of each GradientDef."""
        return [(function, gradient) for function, gradient, _ in self._pairs(_GRADIENT)]

    def registered_gradients(self) -> list[tuple[bytes, bytes]]:
        """(op type, the function that is its gradient), as tf.custom_gradient has them."""
        return [(op_type, gradient) for gradient, op_type, _ in self._pairs(_REGISTERED)]

    def _pairs(self, number: int) -> Iterator[tuple[bytes, bytes, Field]]:
        """The strings 1 and 2 of each message in a field of the library."""
        place = f"{self.nodes.place}.library"
        for f in self._reader.each(self.nodes.index.libraries(), number, place):
            inside = self._reader.fields([(f.at, f.end)], place)
            yield self._string(inside, 1, place), self._string(inside, 2, place), f

    def _string(self, fields: list[Field], number: int, place: str) -> bytes:
        f = last(fields, number)
        return self._reader.bytes(f, place) if f else b""

    # -- what does not resolve --

    def problems(self) -> Iterator[Problem]:
        """All names that do not resolve: those of gradients, of functions' results, then those
        of nodes in file order."""
        for gradient, _, f in self._pairs(_REGISTERED):
            if self.nodes.function(gradient) is None:
                yield self._gradient("registered", gradient, f)
        for function, gradient, f in self._pairs(_GRADIENT):
            for name in (function, gradient):
                if self.nodes.function(name) is None:
                    yield self._gradient("gradient", name, f)
        for i in range(self._core.n_loose):
            at, what = self._core.loose(i)
            if what == _core.LOOSE_RESULT:
                yield from self._at_results(at + 1)
            else:
                yield from self._at_node(at, what)

    def _gradient(self, kind: str, name: bytes, f: Field) -> Problem:
        return Problem(kind, name, 0, MISSING, f.start, f"{self.nodes.place}.library")

    def _at_results(self, owner: int) -> Iterator[Problem]:
        known = set(self.nodes.arguments(owner))
        for kind, number in (("ret", _RET), ("control_ret", _CONTROL_RET)):
            entries, place = self.nodes.definition(owner, number)
            for f in entries:
                fields = self._reader.fields([(f.at, f.end)], place)
                text = self._string(fields, 2, place)
                name = node_of(text)
                if name not in known and self.row(name, owner) is None:
                    yield Problem(kind, text, owner, MISSING, f.start, place)

    def _at_node(self, row: int, what: int) -> Iterator[Problem]:
        node, owner = self.node(row), self.owner(row)
        place = f'{self.nodes.place}.node["{printable(node.name)}"]'
        if owner:
            function = printable(self.nodes.function_name(owner))
            place = f'{self.nodes.place}.library.function["{function}"]'
            place += f'.node_def["{printable(node.name)}"]'
        found: list[tuple[str, bytes, int]] = []
        if what & _core.LOOSE_NAME:
            found.append(("name", node.name, node.start))
        if what & _core.LOOSE_INPUT:
            inputs = [f for f in node.fields if f.number == _INPUT and f.wire == LEN]
            for f, taken in zip(inputs, self.inputs(row), strict=True):
                if taken.row == taken.arg == MISSING:
                    found.append(("input", taken.text, f.start))
        if what & _core.LOOSE_FUNCTION:
            for name, offset in self._named(node.fields, _NODE_ATTR, place):
                if name and self.nodes.function(name) is None:
                    found.append(("function", name, offset))
        if what & _core.LOOSE_CLASS:
            for name, offset in self._classes(node):
                if self.row(name) is None:
                    found.append(("class", name, offset))
        for kind, name, offset in found:
            yield Problem(kind, name, owner, row, offset, place)

    def _named(self, fields: list[Field], number: int, place: str) -> Iterator[tuple[bytes, int]]:
        """The functions that attributes name, and where: (name, offset of the NameAttrList).

        Args:
            number: Of the attributes among the fields.
        """
        for spans in map_entries(self._reader, fields, number, place).values():
            value = self._reader.fields(spans, place)
            listed = self._reader.fields(merged(value, 1), place)
            lists = [f for f in value if f.number == 10] + [f for f in listed if f.number == 9]
            for f in lists:
                if f.wire == LEN:
                    inside = self._reader.fields([(f.at, f.end)], place)
                    yield self._string(inside, 1, place), f.start
                    yield from self._named(inside, 2, place)
