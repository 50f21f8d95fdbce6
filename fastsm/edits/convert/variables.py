"""The variables of a main graph: which there are, what a saver restores of them, and under which
keys a checkpoint has them.

Source: tensorflow/python/ops/variables.py SaveSliceInfo, resource_variable_ops.py and
ref_variable.py _init_from_proto; core/framework/variable.proto;
python/training/saving/saveable_object_util.py op_list_to_dict (2.21).
"""

from __future__ import annotations

from ...dtypes import REF
from ...graph.collections import entries
from ...graph.edges import MISSING
from ...graph.listings import RESTORE, data_inputs
from ...graph.nodes import node_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...graph.edges import Edges
    from ...source import Message
    from ...views import MetaGraph

#: Ops that make a variable.
VARIABLE_OPS = (b"VariableV2", b"Variable", b"VarHandleOp")
_HANDLE = b"VarHandleOp"

#: Ops that give a variable its value, by their first two inputs.
ASSIGNS = (b"Assign", b"AssignVariableOp")

#: The collections of variables that a saver saves, and of those that it does not.
_GLOBAL, LOCAL = "variables", "local_variables"

# Field numbers: VariableDef.variable_name, initializer_name and save_slice_info_def;
# SaveSliceInfoDef.full_name, full_shape, var_offset and var_shape.
_NAME, _INITIALIZER, _SLICE = 1, 2, 4
_FULL_NAME, _FULL_SHAPE, _OFFSET, _SHAPE = 1, 2, 3, 4


class Variable:
    """A variable of a main graph.

    Attributes:
        row: Its node.
        is_handle: Whether that makes a resource handle; else it is a ref.
        dtype: Its DataType.
        dims: Its shape; None where that is not known.
        key, spec: The tensor of a checkpoint that it is saved as, and of a part of a
            partitioned one which slice: ``6 4 0,2:0,4``, else b"".
    """

    __slots__ = ("_edges", "is_handle", "key", "row", "spec")

    def __init__(self, edges: Edges, row: int) -> None:
        self._edges = edges
        self.row = row
        self.is_handle = edges.op(row) == _HANDLE
        self.key, self.spec = edges.name(row), b""

    @property
    def dtype(self) -> int:
        return (self._edges.node(self.row).dtype("dtype") or 0) % REF

    @property
    def dims(self) -> tuple[int, ...] | None:
        dims = self._edges.node(self.row).shape("shape")
        return None if dims is None or any(d < 0 for d in dims) else dims

    def saved_as(self, message: Message) -> None:
        """Take over what its VariableDef says."""
        info: Message | None = message.get(_SLICE)
        if info:
            name: str = info.get(_FULL_NAME, "")
            self.key = name.encode("utf-8", "surrogateescape")
            whole = " ".join(str(n) for n in info.get(_FULL_SHAPE, ()))
            pairs = zip(info.get(_OFFSET, ()), info.get(_SHAPE, ()), strict=False)
            self.spec = f"{whole} {':'.join(f'{a},{n}' for a, n in pairs)}".encode()


class Variables:
    """The variables of a main graph.

    Attributes:
        by_row: Node -> variable, in file order.
        listed: The rows of those that the collection of variables names; None without one.
        initializers: Of local variables, row -> the row of the op that initializes it.
    """

    def __init__(self, graph: MetaGraph, edges: Edges) -> None:
        self._edges = edges
        self.by_row = {row: Variable(edges, row) for row in edges.with_op(*VARIABLE_OPS)}
        self.listed: set[int] | None = None
        self.initializers: dict[int, int] = {}
        for entry in entries(graph, (_GLOBAL, LOCAL)):
            if entry.message is None:
                continue
            row = edges.row(_node(entry.message.get(_NAME, "")))
            if row is None or row not in self.by_row:
                continue
            if entry.collection == LOCAL:
                initializer = edges.row(_node(entry.message.get(_INITIALIZER, "")))
                if initializer is not None:
                    self.initializers[row] = initializer
                continue
            self.listed = self.listed or set()
            self.listed.add(row)
            self.by_row[row].saved_as(entry.message)

    def among(self, rows: Iterable[int]) -> list[int]:
        """The rows of the variables among some nodes, in file order."""
        found = set(rows)
        return [row for row in self.by_row if row in found]

    def saved(self) -> list[Variable]:
        """Those that a saver of all would save: what the collection lists; without one, all
        that nothing calls local."""
        return [
            v for row, v in self.by_row.items()
            if (row in self.listed if self.listed is not None else row not in self.initializers)
        ]  # fmt: skip

    def assigned_by(self, rows: Iterable[int]) -> dict[int, int]:
        """What some nodes give values to: variable -> the node that assigns it."""
        edges, found = self._edges, {}
        for row in rows:
            if edges.op(row) in ASSIGNS:
                taken = edges.taken(row)
                if taken and taken[0] in self.by_row:
                    found[taken[0]] = row
        return found

    def restored_by(self, rows: Iterable[int]) -> set[int]:
        """The variables that some nodes give a value to that was read from a checkpoint."""
        edges = self._edges
        found = set()
        for variable, row in self.assigned_by(rows).items():
            stack, seen = [t.row for t in data_inputs(edges, row)[1:]], set()
            while stack:
                at = stack.pop()
                if at == MISSING or at in seen:
                    continue
                seen.add(at)
                if edges.op(at) == RESTORE:
                    found.add(variable)
                    break
                stack += edges.taken(at)
        return found


def _node(name: str) -> bytes:
    return node_of(name.encode("utf-8", "surrogateescape"))
