"""Nodes of a graph by name, and the few attributes of them that checks need.

Source: tensorflow/core/framework/node_def.proto, attr_value.proto, tensor.proto (2.21).
"""

from __future__ import annotations

from struct import iter_unpack, unpack_from

from ..errors import CoreError
from ..source import LEN, VARINT, last, merged
from ..text import printable
from ..views import map_entries, read_shape
from .op_outputs import op_outputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from .._core import Field
    from ..source import Reader, Spans
    from ..views import Asset, MetaGraph

#: So many names are looked for in the bytes of nodes; of more, each node is read.
_FEW = 8

#: So much of a graph is looked through at once.
_WINDOW = 1 << 18

CALLS = (b"PartitionedCall", b"StatefulPartitionedCall")


class Node:
    """A NodeDef, its attributes read when asked for.

    Attributes:
        name, op: As the file has them.
        fields: Its fields.
    """

    __slots__ = ("_attrs", "_reader", "end", "fields", "name", "op", "place", "start")

    def __init__(self, reader: Reader, start: int, end: int, op: bytes, place: str) -> None:
        self._reader = reader
        self.start, self.end = start, end
        self.place = place
        self.op = op
        self.fields = reader.fields([(start, end)], place)
        name = last(self.fields, 1)
        self.name = reader.bytes(name, place) if name else b""
        self._attrs: dict[str, Spans] | None = None

    @property
    def inputs(self) -> list[bytes]:
        """Its inputs, as the file writes them."""
        found = [f for f in self.fields if f.number == 3 and f.wire == LEN]
        return [self._reader.bytes(f, self.place) for f in found]

    def attr(self, name: str) -> list[Field]:
        """The fields of an AttrValue; none when there is no such attribute."""
        if self._attrs is None:
            self._attrs = map_entries(self._reader, self.fields, 5, self.place)
        return self._reader.fields(self._attrs.get(name, []), self.place)

    def function(self, name: str) -> bytes:
        """The function that an attribute names, or b""."""
        func = self._reader.fields(merged(self.attr(name), 10), self.place)
        f = last(func, 1)
        return self._reader.bytes(f, self.place) if f else b""

    def string(self, name: str) -> bytes:
        """The string in an attribute, or b""."""
        f = last(self.attr(name), 2)
        return self._reader.bytes(f, self.place) if f else b""

    @property
    def shared_name(self) -> tuple[bytes, bytes]:
        """Of a node that makes a handle: (container, name) of what it leads to.

        Nodes that name a resource or a variable alike share it.
        Source: tensorflow/core/framework/resource_mgr.cc ContainerInfo::Init (2.21).
        """
        return self.string("container"), self.string("shared_name") or self.name

    def dtype(self, name: str) -> int | None:
        """The DataType in an attribute."""
        f = last(self.attr(name), 6, VARINT)
        return f.value if f else None

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape in an attribute, -1 for unknown dimensions; None for an unknown rank."""
        spans = merged(self.attr(name), 7)
        return read_shape(self._reader, spans, self.place) if spans else None

    def dtypes(self, name: str) -> list[int]:
        """The list of DataTypes in an attribute."""
        out: list[int] = []
        for f in self._reader.fields(merged(self.attr(name), 1), self.place):
            if f.number == 6 and f.wire == VARINT:
                out.append(f.value)
            elif f.number == 6 and f.wire == LEN:
                out += _varints(self._reader.bytes(f, self.place))
        return out

    def shapes(self, name: str) -> list[tuple[int, ...] | None]:
        """The list of shapes in an attribute, each as `shape` has it."""
        listed = self._reader.fields(merged(self.attr(name), 1), self.place)
        found = [f for f in listed if f.number == 7 and f.wire == LEN]
        return [read_shape(self._reader, [(f.at, f.end)], self.place) for f in found]

    def strings_in(self, name: str) -> list[bytes]:
        """The list of strings in an attribute."""
        listed = self._reader.fields(merged(self.attr(name), 1), self.place)
        found = [f for f in listed if f.number == 2 and f.wire == LEN]
        return [self._reader.bytes(f, self.place) for f in found]

    def number_in(self, name: str) -> int | None:
        """The number in an attribute, or how many DataTypes it lists; None without it."""
        fields = self.attr(name)
        f = last(fields, 3, VARINT)
        return f.value if f else len(self.dtypes(name)) if fields else None

    def payload(self, field: Field) -> bytes:
        """The bytes of a field that lies in it."""
        return self._reader.bytes(field, self.place)

    def varints(self, field: Field) -> list[int]:
        """The numbers of a repeated field: one, or a packed list."""
        return [field.value] if field.wire == VARINT else list(_varints(self.payload(field)))

    def within(self, spans: Spans) -> list[Field]:
        """The fields of a message that lies in it."""
        return self._reader.fields(spans, self.place)

    def strings(self) -> list[bytes]:
        """Of a Const: its strings, as stored: those left out at the end are as the last."""
        found = [f for f in self.tensor() if f.number == 8 and f.wire == LEN]
        return [self._reader.bytes(f, self.place) for f in found]

    def sizes(self) -> tuple[int, ...] | None:
        """Of a Const: the shape of its tensor; None for an unknown rank."""
        return read_shape(self._reader, merged(self.tensor(), 2), self.place)

    def tensor(self) -> list[Field]:
        """Of a Const: the fields of its tensor."""
        return self._reader.fields(merged(self.attr("value"), 8), self.place)


def _varints(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


#: Ops of signatures that have one output: for them the table need not be made.
_ONE_OUTPUT = (b"Placeholder", b"PlaceholderWithDefault", b"Const", b"Identity")


def n_outputs(node: Node) -> int | None:
    """How many outputs a node has; None where its op, or an attribute, is not known."""
    if node.op in _ONE_OUTPUT:
        return 1
    n, attrs = op_outputs().get(node.op.decode("utf-8", "replace"), (None, ()))
    for name in attrs:
        more = node.number_in(name)
        if n is None or more is None:
            return None
        n += more
    return n


#: So often the nodes are gone through for what a tensor needs. A sorted graph takes one pass,
#: loops in it one more each that they are nested.
_PASSES = 20


class Graph:
    """The nodes of a meta graph, found by name or op; names are read when they are wanted.

    Attributes:
        graph: The meta graph.
        index: A row for each node.
        place: ``meta_graphs[0].graph_def``, as errors name it.
    """

    def __init__(self, graph: MetaGraph) -> None:
        self.graph = graph
        self._reader = graph.reader
        self.index = graph.node_index(2)
        self._names = self.index.names()
        self.place = f"{graph.place}.graph_def"
        self._ids = {name: i for i, name in enumerate(self._names)}
        self._functions: list[tuple[bytes, int, int, int, int]] | None = None
        self._owners: dict[bytes, int] | None = None

    @property
    def _library(self) -> list[tuple[bytes, int, int, int, int]]:
        """Of each function its name, start, end, first row and number of nodes."""
        if self._functions is None:
            self._functions = self.index.functions()
        return self._functions

    def _rows(self, owner: int) -> Iterator[tuple[int, int, int, int, int, int]]:
        rows = memoryview(self.index).cast("B")
        if owner:
            _, _, _, first, n = self._library[owner - 1]
            rows = rows[32 * first : 32 * (first + n)]
        for row in iter_unpack("=QQIIII", rows):
            if row[5] == owner:
                yield row

    def named(self, wanted: Iterable[bytes], owner: int = 0) -> dict[bytes, Node]:
        """The nodes with these names.

        Args:
            owner: 0 for the main graph, i + 1 for function i.
        """
        found = self._named(wanted, owner)
        return {name: self._node(*where) for name, where in found.items()}

    def ops_of(self, wanted: Iterable[bytes]) -> dict[bytes, bytes]:
        """Of those nodes of the main graph with these names the ops."""
        return {name: self._names[op] for name, (_, _, op) in self._named(wanted, 0).items()}

    def _named(self, wanted: Iterable[bytes], owner: int) -> dict[bytes, tuple[int, int, int]]:
        """Name -> (start, length, op) of nodes; of equal names the last."""
        names = set(wanted)
        lengths = set(map(len, names))
        found: dict[bytes, tuple[int, int, int]] = {}
        for start, at, length, n, op, _ in self._rows(owner) if names else ():
            if n in lengths:
                name = self._reader.source.read(at, n)
                if name in names:
                    found[name] = (start, length, op)
        return found

    def names(self) -> Iterator[bytes]:
        """The names of the nodes of the main graph, in file order."""
        for _, at, _, n, _, _ in self._rows(0):
            yield self._reader.source.read(at, n)

    def behind(self, tensors: Iterable[bytes], fed: Iterable[bytes]) -> Iterator[Node]:
        """The nodes of the main graph that run for some tensors, in no order.

        Args:
            tensors: As ``x:0`` or ``x``.
            fed: Those that are given, ``x:0``: what only they need does not run.

        What is not in the graph is passed over. A node is written behind those that it takes
        from, but for loops: so one pass from the end finds nearly all, and a few find all.
        """
        given = {(node_of(t), output_of(t)) for t in fed}
        rows = memoryview(self.index).cast("B")
        seen: set[bytes] = set()
        wanted = {node_of(t) for t in tensors if (node_of(t), output_of(t)) not in given}
        for _ in range(_PASSES):
            for i in range(len(rows) - 32, -32, -32):
                if not wanted:
                    return
                start, at, length, n, op, owner = unpack_from("=QQIIII", rows, i)
                name = self._reader.source.read(at, n) if not owner else b""
                if name not in wanted:
                    continue
                wanted.remove(name)
                seen.add(name)
                node = self._node(start, length, op)
                yield node
                for taken in node.inputs:
                    source = node_of(taken)
                    runs = taken[:1] == b"^" or (source, output_of(taken)) not in given
                    if runs and source not in seen:
                        wanted.add(source)

    def with_ops(self, ops: Iterable[bytes], owner: int = 0) -> Iterator[Node]:
        """The nodes of these ops, in file order."""
        ids = {self._ids[op] for op in ops if op in self._ids}
        for start, _, length, _, op, _ in self._rows(owner) if ids else ():
            if op in ids:
                yield self._node(start, length, op)

    def owners(self, ops: Iterable[bytes]) -> list[int]:
        """Where there are nodes of these ops: 0 the main graph, i + 1 function i."""
        ids = {self._ids[op] for op in ops if op in self._ids}
        if not ids:
            return []
        rows = iter_unpack("=QQIIII", memoryview(self.index).cast("B"))
        return sorted({row[5] for row in rows if row[4] in ids})

    def taken(self, names: Iterable[bytes]) -> set[bytes]:
        """Those nodes of the main graph that some node of it takes an output of."""
        wanted = set(names)
        nodes = self.mentioning(wanted)
        return wanted.intersection(node_of(taken) for n in nodes for taken in n.inputs)

    def mentioning(self, names: Collection[bytes], owner: int = 0) -> Iterator[Node]:
        """The nodes that may take an output of any of these, in file order, and no fewer.

        Args:
            owner: As for `named`; of a function its arguments are mentioned, too.
        """
        for start, _, length, _, op, _ in self._mentioning(names, owner):
            yield self._node(start, length, op)

    def _mentioning(
        self, names: Collection[bytes], owner: int
    ) -> Iterator[tuple[int, int, int, int, int, int]]:
        """The rows in whose bytes one of these names is, and perhaps more: looking for a
        name takes a thirtieth of the time of reading the node."""
        if len(names) > _FEW:
            yield from self._rows(owner)
            return
        source, window, base = self._reader.source, b"", 0
        for row in self._rows(owner):
            start, length = row[0], row[2]
            if length > _WINDOW:
                yield row
                continue
            if not base <= start <= start + length <= base + len(window):
                base = start
                try:
                    window = source.read(start, min(_WINDOW, source.size - start))
                except CoreError as e:
                    raise self._reader.error(e, self.place) from None
            low = start - base
            for name in names:
                if window.find(name, low, low + length) >= 0:
                    yield row
                    break

    @property
    def functions(self) -> set[bytes]:
        """The names of the function library."""
        return {f[0] for f in self._library}

    def function_name(self, owner: int) -> bytes:
        """The name of the function that an owner is."""
        return self._library[owner - 1][0]

    def body(self, owner: int) -> range:
        """The rows of a function's nodes."""
        _, _, _, first, n = self._library[owner - 1]
        return range(first, first + n)

    def definition(self, owner: int, number: int) -> tuple[list[Field], str]:
        """Of a function the fields with this number, and its place as errors name it."""
        name, start, end, _, _ = self._library[owner - 1]
        place = f'{self.place}.library.function["{printable(name)}"]'
        return self._reader.each([(start, end)], number, place), place

    def function(self, name: bytes) -> int | None:
        """The owner that a function is, or None."""
        if self._owners is None:
            self._owners = {}
            for i, f in enumerate(self._library, 1):
                self._owners.setdefault(f[0], i)
        return self._owners.get(name)

    def size(self, owner: int) -> int:
        """How many nodes the main graph, or a function, has."""
        return self._library[owner - 1][4] if owner else self.graph.n_nodes

    def signature(self, owner: int) -> tuple[Spans, str]:
        """The OpDef that a function has: where it lies, and its place as errors name it."""
        found, place = self.definition(owner, 1)
        return merged(found, 1), f"{place}.signature"

    def arguments(self, owner: int) -> list[bytes]:
        """The names of a function's arguments.

        Source: tensorflow/core/framework/function.proto FunctionDef.signature,
        op_def.proto OpDef.input_arg.
        """
        signature, place = self.signature(owner)
        found = []
        for f in self._reader.fields(signature, place):
            if f.number == 2 and f.wire == LEN:
                argument = last(self._reader.fields([(f.at, f.end)], place), 1)
                found.append(self._reader.bytes(argument, place) if argument else b"")
        return found

    def at(self, row: int) -> Node:
        """The node of a row."""
        rows = memoryview(self.index).cast("B")
        start, _, length, _, op, _ = unpack_from("=QQIIII", rows, 32 * row)
        return self._node(start, length, op)

    def _node(self, start: int, length: int, op: int) -> Node:
        return Node(self._reader, start, start + length, self._names[op], self.place)


def node_of(tensor: bytes) -> bytes:
    """The node that a tensor comes out of: of ``x:0``, ``x`` and ``^x``; also of ``f:out:0``."""
    return tensor.lstrip(b"^").partition(b":")[0]


def output_of(tensor: bytes) -> int:
    """Which output of its node a tensor is."""
    tail = tensor.rpartition(b":")[2]
    return int(tail) if b":" in tensor and tail.isdigit() and len(tail) < 10 else 0


def fed_tensor(asset: Asset) -> tuple[bytes, int]:
    """The tensor that is fed an asset's path: ``x`` is ``x:0``."""
    tensor = asset.tensor.encode("utf-8", "surrogateescape")
    return node_of(tensor), output_of(tensor)
