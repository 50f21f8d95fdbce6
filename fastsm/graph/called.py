"""What of a graph runs when some of its nodes do not, and the function that one node calls.

A function body may lose nodes only where it is known what it is for: that of restoring and of
saving. Elsewhere it stays as it is.
Source: tensorflow/core/framework/function.proto, op_def.proto (2.21).
"""

from __future__ import annotations

from ..errors import FormatError, RefusedError
from ..text import count, counted, printable
from .function_edits import Library
from .listings import data_inputs, place_of
from .nodes import CALLS, node_of, output_of
from .ops import is_handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from .edges import Edges, Input

# OpDef: its arguments. FunctionDef: what it returns, and what has run then.
_INPUT_ARG = 2
_RET, _CONTROL_RET = 4, 6


class Cuts:
    """What goes of the nodes that stay, where a graph restores or saves fewer tensors.

    Attributes:
        slots: Of each RestoreV2 and SaveV2 that loses tensors those that stay, in order.
        inputs: Of nodes the inputs that go, by their place among those with data.
        apart: Nodes that may go though others that stay wait for them.
        rows: Of a function the nodes that stay; None where none goes, or for a main graph.
        arguments: Of a function the arguments that stay, in order.
        keys: What is still restored: keys in the checkpoint, each once.
    """

    __slots__ = ("apart", "arguments", "inputs", "keys", "rows", "slots")

    def __init__(self) -> None:
        self.slots: dict[int, list[int]] = {}
        self.inputs: dict[int, set[int]] = {}
        self.apart: set[int] = set()
        self.rows: set[int] | None = None
        self.arguments: list[int] = []
        self.keys: list[bytes] = []


class Called:
    """A function that one node of the main graph calls, and nothing else.

    Attributes:
        call, owner: The node; the function, as `Edges` counts owners.
        name: The function's.
        handles: Which of its arguments are resources or refs.
        inputs: The row in the main graph that each argument comes from, MISSING for none.
        results: The (row, output) that it returns.
        returned: The arguments that it returns.
        controls: Key -> the row that has run when it returns; MISSING for none.
    """

    def __init__(self, edges: Edges, library: Library, call: int, owner: int) -> None:
        graph = edges.nodes.graph
        self._edges = edges
        self.call, self.owner = call, owner
        spans, place = edges.nodes.signature(owner)
        message = graph.reader.parse("OpDef", spans, place)
        self.name: str = message.get(1, "")
        arguments = message.get(_INPUT_ARG, [])
        self.handles = frozenset(
            i for i, arg in enumerate(arguments) if is_handle(arg.get(3, 0)) or arg.get(16)
        )
        self.inputs = [taken.row for taken in data_inputs(edges, call)]
        if len(self.inputs) != len(arguments):
            raise FormatError(
                graph.reader.path,
                f"{printable(edges.name(call))} has {counted(len(self.inputs), 'input')}, and "
                f"{printable(self.name)}, which it calls, {count(len(arguments))}",
                place=place_of(edges, call),
            )
        function = library.function(self.name)
        names = {arg.get(1, "").encode(): i for i, arg in enumerate(arguments)}
        self.results: list[tuple[int, int]] = []
        self.returned: set[int] = set()
        for _, entry in function.entries(_RET, "ret"):
            tensor = entry.text(2).encode()
            row = edges.row(node_of(tensor), owner)
            if row is not None:
                self.results.append((row, output_of(tensor)))
            elif node_of(tensor) in names:
                self.returned.add(names[node_of(tensor)])
        self.controls = {
            key: -1 if row is None else row
            for key, entry in function.entries(_CONTROL_RET, "control_ret")
            for row in [edges.row(entry.text(2).encode(), owner)]
        }


def called_by(edges: Edges, call: int | None) -> Called | None:
    """The function that a node of the main graph calls; None where it calls none, or what it
    calls cannot be cut: another node calls it too, or it is more than a name."""
    if call is None or edges.op(call) not in CALLS:
        return None
    name = edges.node(call).function("f")
    owner = edges.nodes.function(name)
    if owner is None:
        return None
    if edges.callers(owner) != [call] or any(
        name in pair for pair in [*edges.gradients(), *edges.registered_gradients()]
    ):
        return None
    library = Library(edges.nodes.graph)
    try:
        library.check_call(name.decode("utf-8", "replace"), call)
    except RefusedError:
        return None
    return Called(edges, library, call, owner)


def reached(
    edges: Edges,
    rows: Iterable[int],
    *,
    inputs: Iterable[Input] = (),
    apart: Collection[int] = (),
    cut: Mapping[int, Collection[int]] | None = None,
    among: bytearray | None = None,
) -> tuple[set[int], set[int]]:
    """What runs with some nodes: these, what they take, what they wait for.

    Args:
        inputs: What is taken beside that.
        apart: Nodes that run only for their outputs: that others wait for them is an order,
            no need.
        cut: Of nodes the inputs that do not count, by their place among those with data.
        among: Rows that may be reached; None: all.

    Returns:
        Rows, and the arguments of their function.
    """
    seen: set[int] = set()
    arguments: set[int] = set()
    todo = [row for row in rows if row >= 0]
    taken: Iterable[Input] = inputs
    while True:
        for one in taken:
            if one.row < 0:
                if one.arg >= 0 and not one.control:
                    arguments.add(one.arg)
            elif not (one.control and one.row in apart):
                todo.append(one.row)
        while todo and (todo[-1] in seen or (among is not None and not among[todo[-1]])):
            todo.pop()
        if not todo:
            return seen, arguments
        row = todo.pop()
        seen.add(row)
        taken = left(edges, row, (cut or {}).get(row, ()))


def left(edges: Edges, row: int, cut: Collection[int]) -> list[Input]:
    """The inputs of a node without some of those with data."""
    taken = edges.inputs(row)
    if not cut:
        return taken
    out, i = [], 0
    for one in taken:
        if one.control or i not in cut:
            out.append(one)
        i += not one.control
    return out
