"""Facts of ops: which have a state, which inputs of a node are resources or refs.

Of TensorFlow's own ops a table tells; of others the op list that the meta graph brings, and
of functions their signatures. An op that none of them knows counts as having a state, and
each of its inputs as a handle.
Source: tensorflow/core/framework/op_def.proto (2.21).
"""

from __future__ import annotations

from ..source import LEN, last, merged
from . import op_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..source import Message
    from ..views import MetaGraph
    from .edges import Edges
    from .nodes import Node

    #: Whether an op has a state; its inputs, as op_facts.HANDLES has them.
    Facts = tuple[bool, Sequence[str]]

# DataTypes: a resource, and what is above this is a ref.
_RESOURCE, _LAST_VALUE = 20, 100

#: Ops that only look at what a handle leads to, or hand it on; what has no state does, too.
_READING = frozenset(
    b"""
    ReadVariableOp _ReadVariablesOp ReadVariableXlaSplitND VariableShape VarIsInitializedOp
    IsVariableInitialized ResourceGather ResourceGatherNd LookupTableFind LookupTableFindV2
    LookupTableSize LookupTableSizeV2 LookupTableExport LookupTableExportV2 RefIdentity
    RefSwitch RefMerge RefSelect RefEnter RefExit RefNextIteration DebugGradientRefIdentity
    QueueSize QueueSizeV2 QueueIsClosed QueueIsClosedV2
    """.split()
)


def is_handle(dtype: int) -> bool:
    """Whether tensors of a DataType lead to what is kept elsewhere: resources, and refs."""
    return dtype == _RESOURCE or dtype > _LAST_VALUE


class Ops:
    """Facts of the nodes of a meta graph, of its functions too.

    Args:
        graph: The meta graph.
        edges: Its edges.
    """

    def __init__(self, graph: MetaGraph, edges: Edges) -> None:
        self._graph = graph
        self._edges = edges
        self._facts: dict[bytes, Facts | None] = {}
        self._fixed: dict[bytes, list[int] | None] = {}  # of ops whose nodes are all alike
        self._stateful: frozenset[str] = frozenset()
        self._table: dict[str, str] = {}
        self._listed: dict[bytes, tuple[int, int]] | None = None

    def is_known(self, row: int) -> bool:
        """Whether anything tells of the op of a node."""
        return self._of(self._edges.op(row)) is not None

    def is_own(self, row: int) -> bool:
        """Whether a node's op is one of TensorFlow's own."""
        self._of(self._edges.op(row))
        return self._edges.op(row).decode("utf-8", "replace") in self._table

    def is_stateful(self, row: int) -> bool:
        """Whether the op of a node has a state, or may have one."""
        facts = self._of(self._edges.op(row))
        return facts is None or facts[0]

    def handles(self, row: int) -> list[int]:
        """Which of a node's inputs are resources or refs, control inputs not counted.

        Of an op that nothing tells of: all.
        """
        op = self._edges.op(row)
        facts = self._of(op)
        if facts is None:
            return list(range(sum(not i.control for i in self._edges.inputs(row))))
        if op not in self._fixed:
            alike = all(word in ("@", "&", ".") for word in facts[1])
            self._fixed[op] = [i for i, w in enumerate(facts[1]) if w != "."] if alike else None
        fixed = self._fixed[op]
        if not fixed and fixed is not None:
            return fixed
        n = len(self._edges.taken(row))
        if fixed is None:
            return _handles(self._edges.node(row), facts[1], n)
        return [i for i in fixed if i < n]

    def changes(self, row: int) -> bool:
        """Whether the op of a node may change something: what a handle leads to if it is given
        one, or else something that nothing in the graph tells of."""
        op = self._edges.op(row)
        facts = self._of(op)
        if facts is None:
            return True
        return op not in _READING and (facts[0] or any(w.endswith("&") for w in facts[1]))

    def _of(self, op: bytes) -> Facts | None:
        """The facts of an op; None where nothing tells of it."""
        if op not in self._facts:
            self._facts[op] = self._look_up(op)
        return self._facts[op]

    def _look_up(self, op: bytes) -> Facts | None:
        if not self._table:
            self._stateful = frozenset(op_facts.STATEFUL.split())
            self._table = dict.fromkeys([*op_facts.PLAIN.split(), *self._stateful], "")
            for inputs, ops in op_facts.HANDLES.items():
                self._table.update(dict.fromkeys(ops.split(), inputs))
        name = op.decode("utf-8", "replace")
        if name in self._table:
            return name in self._stateful, self._table[name].split()
        reader = self._graph.reader
        if self._listed is None:
            self._listed = self._read_list()
        if op in self._listed:
            return facts_of(reader.parse("OpDef", [self._listed[op]], self._list_place))
        owner = self._edges.nodes.function(op)
        if owner is not None:
            spans, place = self._edges.nodes.signature(owner)
            return facts_of(reader.parse("OpDef", spans, place))
        return None

    @property
    def _list_place(self) -> str:
        return f"{self._graph.place}.meta_info_def.stripped_op_list"

    def _read_list(self) -> dict[bytes, tuple[int, int]]:
        """Name -> where its OpDef lies, of each op that the meta graph lists."""
        reader, place = self._graph.reader, self._list_place
        found = {}
        for f in reader.fields(merged(self._graph.info, 2), place):
            if f.number == 1 and f.wire == LEN:
                name = last(reader.fields([(f.at, f.end)], place), 1)
                found[reader.bytes(name, place) if name else b""] = (f.at, f.end)
        return found


def facts_of(op: Message) -> Facts:
    """The facts of an OpDef, its inputs as op_facts.HANDLES has them."""
    types: dict[str, list[int]] = {
        attr.get(1, ""): attr.get(7, {}).get(1, {}).get(6, []) for attr in op.get(4, ())
    }
    return op.get(17, False), [_word(arg, types) for arg in op.get(2, ())]


def _word(arg: Message, allowed: dict[str, list[int]]) -> str:
    if arg.get(16):
        kind = "&"
    elif is_handle(arg.get(3, 0)):
        kind = "@"
    elif arg.get(6):
        kind = f"*{arg[6]}"
    else:
        may_be = allowed.get(arg.get(4, ""), []) or [_RESOURCE] if arg.get(4) else []
        kind = f"={arg[4]}" if any(map(is_handle, may_be)) else "."
    return f"{arg[5]}:{kind}" if arg.get(5) else kind


def _handles(node: Node, inputs: Sequence[str], n: int) -> list[int]:
    """Which of the first n inputs of a node are handles."""
    found: list[int] = []
    at = 0
    for word in inputs:
        number, colon, kind = word.rpartition(":")
        if kind.startswith("*"):
            types = node.dtypes(kind[1:])[: n - at]
            found += [at + i for i, dtype in enumerate(types) if is_handle(dtype)]
            at += len(types)
            continue
        # What is no number, or is negative, no loader takes.
        times = min((node.number_in(number) or 0) if colon else 1, n - at)
        if kind in ("@", "&") or (kind != "." and is_handle(node.dtype(kind[1:]) or 0)):
            found += range(at, at + times)
        at += times
    return found
