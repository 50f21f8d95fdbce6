"""The tensors of a main graph: which there are, and what the graph says of their types.

Source: tensorflow/core/framework/op_def.proto; node_def_util.cc OutputTypesForNode;
tensorflow/core/ops/array_ops.cc and state_ops.cc, for the shape functions (2.21).
"""

from __future__ import annotations

from .. import dtypes
from ..source import LEN, VARINT, last, merged
from ..text import counted, printable
from . import op_types
from .edges import Live, edges_of
from .nodes import node_of
from .shapes import Shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..source import Message
    from ..views import MetaGraph
    from .edges import Edges
    from .nodes import Node

# Field numbers: of MetaInfoDef and GraphDef; of OpDef, ArgDef and AttrDef.
_STRIPPED_OPS, _VERSIONS = 2, 4
_OP_NAME, _OUTPUT_ARG, _ATTR = 1, 3, 4
_TYPE, _TYPE_ATTR, _NUMBER_ATTR, _LIST_ATTR, _IS_REF = 3, 4, 5, 6, 16
_ATTR_NAME, _DEFAULT = 1, 3

# AttrValue: a list, a number, a DataType; of a list its DataTypes.
_LIST, _NUMBER, _DTYPE, _DTYPES = 1, 3, 6, 6

#: Ops that have to be fed; those of one output that may be.
_PLACEHOLDERS = (b"Placeholder", b"PlaceholderV2")
_FED = (*_PLACEHOLDERS, b"PlaceholderWithDefault")

#: Ops whose attribute ``shape`` is the shape of their output.
_SHAPED = (b"Placeholder", b"PlaceholderWithDefault", b"PlaceholderV2", b"VariableV2", b"Variable")

#: Of these, those for which no dimensions mean that nothing is known of them; of a
#: Placeholder up to this version of the graph.
_LEGACY_PLACEHOLDER = 21


class Tensor:
    """A tensor of the main graph.

    Attributes:
        name: ``x:0``.
        dtype: A DataType; 0 where the graph does not say.
        dims: The sizes, -1 for unknown ones; None for an unknown rank.
        why: Where the dtype is not known: why not.
    """

    __slots__ = ("dims", "dtype", "name", "why")

    def __init__(self, name: str, dtype: int, dims: tuple[int, ...] | None, why: str = "") -> None:
        self.name = name
        self.dtype = dtype
        self.dims = dims
        self.why = why


class Tensors:
    """Finds tensors of a meta graph's main graph by name.

    Args:
        graph: The meta graph.
        wanted: The names of those that will be asked for: the nodes are read once.
    """

    def __init__(self, graph: MetaGraph, wanted: Iterable[str]) -> None:
        self._meta_graph = graph
        self._edges = edges_of(graph)
        self._graph = self._edges.nodes
        self._nodes = self._edges.named(split(name)[0].encode() for name in wanted)
        self._ops: dict[bytes, Message | None] = {}
        self._version: int | None = None
        self._shapes: Shapes | None = None

    def find(self, name: str) -> Tensor | str:
        """The tensor of this name, ``x:0`` or ``x``; or what is wrong with the name."""
        node_name, output = split(name)
        node = self._nodes.get(node_name.encode())
        if node is None:
            return f'the graph has no node "{printable(node_name)}"'
        if output is None:
            return f'"{printable(name)}" names no output: an output is called NODE:NUMBER'
        full = f"{node_name}:{output}"
        op = self._op_def(node.op)
        shown = printable(node.op)
        if op is None:
            return Tensor(full, 0, None, f"the model does not describe its op, {shown}")
        n = 0
        for times, dtype, why in _outputs(node, op):
            if output < n + times:
                return Tensor(full, dtype, self._dims(node, output), why)
            n += times
        has = f'"{printable(node_name)}" ({shown}) has {counted(n, "output")}'
        return f"{has}, and no :{output}"

    def unfed(self, fetched: Iterable[Tensor], fed: Iterable[Tensor]) -> list[str]:
        """The placeholders that somebody has to feed and nobody does, sorted."""
        fetched, fed = list(fetched), list(fed)
        edges = self._edges
        given = _rows(edges, fed)
        if all(edges.op(row) in _FED for row in given):
            live = Live(edges)
            for row in given:
                live.nodes[row] = 1  # what only it needs does not run
            edges.walk(live, _rows(edges, fetched))
            found = [
                edges.name(row)
                for row in edges.with_op(*_PLACEHOLDERS)
                if live.nodes[row] and row not in given
            ]
        else:  # of a node that has more outputs some may be fed, and others not
            names = [[t.name.encode() for t in tensors] for tensors in (fetched, fed)]
            behind = self._graph.behind(*names)
            found = [node.name for node in behind if node.op in _PLACEHOLDERS]
        return sorted(name.decode("utf-8", "replace") for name in found)

    def names(self) -> Iterator[str]:
        """The names of all nodes of the main graph."""
        return (name.decode("utf-8", "replace") for name in self._graph.names())

    def _op_def(self, name: bytes) -> Message | None:
        """The OpDef of an op, or of a function that is called as one; None for none."""
        if name not in self._ops:
            self._ops[name] = self._find_op(name)
        return self._ops[name]

    def _find_op(self, name: bytes) -> Message | None:
        reader = self._meta_graph.reader
        function = self._graph.function(name)
        if function is not None:
            return reader.parse("OpDef", *self._graph.signature(function))
        place = f"{self._meta_graph.place}.meta_info_def.stripped_op_list"
        spans = merged(self._meta_graph.info, _STRIPPED_OPS)
        for f in reader.fields(spans, place):
            if f.number == 1 and f.wire == LEN:
                op_name = last(reader.fields([(f.at, f.end)], place), _OP_NAME)
                if op_name and reader.bytes(op_name, place) == name:
                    return reader.parse("OpDef", [(f.at, f.end)], place)
        return _known(name.decode("utf-8", "replace"))

    def _dims(self, node: Node, output: int) -> tuple[int, ...] | None:
        """The shape of an output: as it was inferred when the graph was saved, or as the op
        has it."""
        shapes = node.shapes("_output_shapes")
        if output < len(shapes):
            return shapes[output]
        if node.op not in _SHAPED:
            return self._inferred(node, output)
        if not node.attr("shape"):
            return None
        dims = node.shape("shape")
        legacy = node.op == b"Variable" or (
            node.op == b"Placeholder" and self._producer() <= _LEGACY_PLACEHOLDER
        )
        return None if dims == () and legacy else dims

    def _inferred(self, node: Node, output: int) -> tuple[int, ...] | None:
        """The shape by what the graph does before: of a graph whose writer did not leave it."""
        row = self._edges.row(node.name)
        if self._shapes is None:
            self._shapes = Shapes(self._edges)
        return None if row is None else self._shapes.of(row, output)

    def _producer(self) -> int:
        """The version of the graph, read once: it may lie behind a million nodes."""
        if self._version is not None:
            return self._version
        reader, place = self._meta_graph.reader, f"{self._meta_graph.place}.graph_def.versions"
        spans = self._meta_graph.graph_spans
        versions = [(f.at, f.end) for f in reader.each(spans, _VERSIONS, place)]
        producer = last(reader.fields(versions, place), 1, VARINT)
        self._version = producer.value if producer else 0
        return self._version


def _rows(edges: Edges, tensors: Iterable[Tensor]) -> set[int]:
    """The nodes that tensors come out of."""
    rows = (edges.row(node_of(tensor.name.encode())) for tensor in tensors)
    return {row for row in rows if row is not None}


def split(name: str) -> tuple[str, int | None]:
    """A tensor's name as a node's and the number of its output."""
    node, colon, output = name.rpartition(":")
    if not colon:
        return name, 0
    digits = output.isascii() and output.isdigit() and len(output) < 10
    return node, int(output) if digits else None


def _known(name: str) -> Message | None:
    """The OpDef of an op of TensorFlow, as far as it is about outputs; None of any other.

    Graphs that were never part of a SavedModel bring no list of their ops.
    """
    outputs = next((k for k, ops in op_types.OUTPUTS.items() if name in ops.split()), None)
    if outputs is None:
        return None
    attrs = []
    for default, ops in op_types.DEFAULTS.items():
        if name in ops.split():
            attr, _, text = default.partition("=")
            numbers = [int(n) for n in text.split(",") if n]
            value: Message = {_LIST: {_DTYPES: numbers}}
            if len(numbers) == 1:  # a number and a DataType are told apart by who asks
                value[_NUMBER] = value[_DTYPE] = numbers[0]
            attrs.append({_ATTR_NAME: attr, _DEFAULT: value})
    return {_OUTPUT_ARG: [_output_arg(word) for word in outputs.split()], _ATTR: attrs}


def _output_arg(word: str) -> Message:
    """An ArgDef, of a word of `op_types.OUTPUTS`."""
    if word.startswith("*"):
        return {_LIST_ATTR: word[1:]}
    number, _, kind = word.rpartition(":")
    arg: Message = {_IS_REF: kind.startswith("&"), _NUMBER_ATTR: number}
    kind = kind.lstrip("&")
    if kind.startswith("="):
        arg[_TYPE] = int(kind[1:])
    else:
        arg[_TYPE_ATTR] = kind
    return arg


def _outputs(node: Node, op: Message) -> Iterator[tuple[int, int, str]]:
    """(how many, their dtype or 0, why 0) of a node's outputs, in order."""
    attrs = {attr.get(1, ""): attr.get(_DEFAULT, {}) for attr in op.get(_ATTR, ())}
    for arg in op.get(_OUTPUT_ARG, ()):
        ref = dtypes.REF if arg.get(_IS_REF) else 0
        listed, number, typed = arg.get(_LIST_ATTR), arg.get(_NUMBER_ATTR), arg.get(_TYPE_ATTR)
        if listed:
            found = node.dtypes(listed) if node.attr(listed) else attrs.get(listed, {}).get(1, {})
            for dtype in found.get(6, []) if isinstance(found, dict) else found:
                yield _typed(1, dtype, ref, listed)
            continue
        times = 1
        if number:
            stored = node.number_in(number)
            times = attrs.get(number, {}).get(3, 0) if stored is None else stored
        dtype = arg.get(_TYPE, 0)
        if typed:
            stored = node.dtype(typed)
            dtype = attrs.get(typed, {}).get(6, 0) if stored is None else stored
        yield _typed(times if times < 1 << 63 else 0, dtype, ref, typed or "")


def _typed(times: int, dtype: int, ref: int, attr: str) -> tuple[int, int, str]:
    if dtype in dtypes.NAMES and dtype:
        return times, dtype + ref, ""
    return times, 0, f"its attribute {printable(attr)} holds none" if attr else "its op has none"
