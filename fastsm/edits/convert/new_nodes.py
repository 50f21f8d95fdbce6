"""Nodes that a graph did not have, encoded, and where they go.

Source: tensorflow/core/framework/node_def.proto, attr_value.proto, tensor.proto (2.21).
"""

from __future__ import annotations

from struct import iter_unpack

from ..._core import delimited, number
from ...plan import enclosing
from ...source import LEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...graph.edges import Edges
    from ...plan import Rewrite
    from ...views import MetaGraph

# Field numbers: GraphDef.node; NodeDef; AttrValue; TensorProto; TensorShapeProto.
_NODE = 1
_NAME, _OP, _INPUT, _ATTR = 1, 2, 3, 5
_LIST, _BOOL, _TYPE, _SHAPE, _TENSOR = 1, 5, 6, 7, 8
_LIST_S, _LIST_TYPE = 2, 6
_DTYPE, _TENSOR_SHAPE, _STRING_VAL = 1, 2, 8

STRING = 7


def node(name: bytes, op: bytes, inputs: Iterable[bytes] = (), **attrs: bytes) -> bytes:
    """A node of a GraphDef.

    Args:
        inputs: As ``x``, ``x:1``, ``^x``.
        attrs: AttrValues.
    """
    out = delimited(_NAME, name) + delimited(_OP, op)
    out += b"".join(delimited(_INPUT, taken) for taken in inputs)
    for key in sorted(attrs):
        out += delimited(_ATTR, delimited(1, key.encode()) + delimited(2, attrs[key]))
    return delimited(_NODE, out)


def of_type(dtype: int) -> bytes:
    """A DataType as an AttrValue."""
    return number(_TYPE, dtype)


def of_types(dtypes: Iterable[int]) -> bytes:
    """A list of DataTypes as an AttrValue."""
    return delimited(_LIST, b"".join(number(_LIST_TYPE, dtype) for dtype in dtypes))


def of_flag(value: bool) -> bytes:
    """A truth value as an AttrValue."""
    return bytes([_BOOL << 3, value])


def of_scalar_shape() -> bytes:
    """The shape of a scalar as an AttrValue."""
    return delimited(_SHAPE, b"")


def with_node(name: bytes) -> bytes:
    """The AttrValue of ``_class`` that places a node where another is."""
    return delimited(_LIST, delimited(_LIST_S, b"loc:@" + name))


def strings(name: bytes, values: Sequence[bytes] | bytes) -> bytes:
    """A Const of strings, or of one."""
    if isinstance(values, bytes):
        shape, values = b"", [values]
    else:
        shape = delimited(2, number(1, len(values)))
    tensor = number(_DTYPE, STRING) + delimited(_TENSOR_SHAPE, shape)
    tensor += b"".join(delimited(_STRING_VAL, value) for value in values)
    return node(name, b"Const", dtype=of_type(STRING), value=delimited(_TENSOR, tensor))


def free_name(edges: Edges, wanted: bytes) -> bytes:
    """A name that no node of the main graph has, and no scope: ``save``, ``save_1``."""
    alike = (name for name in map(edges.name, edges.rows(0)) if name.startswith(wanted))
    names = {name.partition(b"/")[0] for name in alike}
    name, n = wanted, 0
    while name in names:
        n += 1
        name = b"%s_%d" % (wanted, n)
    return name


def insert(rewrite: Rewrite, graph: MetaGraph, nodes: bytes) -> None:
    """Put nodes behind the last one of the main graph."""
    if not nodes:
        return
    rows = iter_unpack("=QQIIII", memoryview(graph.node_index(2)).cast("B"))
    at = max(row[0] + row[2] for row in rows if not row[5])
    parts = [f for f in graph.fields if f.number == 2 and f.wire == LEN]
    part = next(f for f in parts if f.at <= at <= f.end)
    rewrite.replace(at, at, nodes, enclosing(graph.field, part))
