"""What the entries of a meta graph's collections name in its graph.

Python's loaders import every collection: a name in a list of nodes is looked up, and of
some collections each entry is a message whose names are looked up. Where the graph lacks
one of them, nothing of the model loads. C++ looks at assets and init ops alone.
Source: tensorflow/python/framework/meta_graph.py import_scoped_meta_graph, and what it
calls: the functions given to ops.register_proto_function (2.21).
"""

from __future__ import annotations

from ..errors import CoreError
from ..source import LEN, last
from ..text import counted, printable
from ..views import chosen
from .nodes import n_outputs
from .op_outputs import op_outputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from .._core import Field
    from ..source import Message
    from ..views import MetaGraph
    from .edges import Edges
    from .nodes import Graph, Node

# Field numbers: MetaGraphDef.collection_def, and of CollectionDef the two that are looked at.
COLLECTION, NODE_LIST, BYTES_LIST = 4, 1, 2

#: Of the collections whose entries are made objects, the message that an entry is.
_MESSAGES = {
    "variables": "VariableDef",
    "trainable_variables": "VariableDef",
    "local_variables": "VariableDef",
    "model_variables": "VariableDef",
    "metric_variables": "VariableDef",
    "moving_average_variables": "VariableDef",
    "global_step": "VariableDef",
    "cond_context": "CondContextDef",
    "while_context": "WhileContextDef",
    "queue_runners": "QueueRunnerDef",
}

#: The collections of variables.
VARIABLES = frozenset([name for name, kind in _MESSAGES.items() if kind == "VariableDef"])

#: The one collection that no import looks into.
_UNBOUND = "unbound_inputs"

#: Of a name as ``x:y``, the output.
_NO_NUMBER = -(1 << 31)

#: So many names of a meta graph are looked up; the largest known have some ten thousand.
MAX_NAMES = 1 << 18


class Entry:
    """An entry of a collection.

    Attributes:
        collection: The collection's name.
        place: Where it stands in the meta graph.
        field: The entry itself.
        within: The fields around it, outermost first; the second is the whole collection.
        names: What an import looks up of it: (name, whether it must be a tensor's).
        message: What the entry says, of those that are messages; else None.
    """

    __slots__ = ("collection", "field", "message", "names", "place", "within")

    def __init__(
        self,
        collection: str,
        place: str,
        field: Field,
        within: tuple[Field, ...],
        names: list[tuple[str, bool]],
        message: Message | None,
    ) -> None:
        self.collection = collection
        self.place = place
        self.field = field
        self.within = within
        self.names = names
        self.message = message

    @property
    def is_variable(self) -> bool:
        """Whether it is a VariableDef; the first of its names is the variable then."""
        return self.within[-1].number == BYTES_LIST and (
            _MESSAGES.get(self.collection) == "VariableDef"
        )


def entries(graph: MetaGraph, only: Container[str] | None = None) -> Iterator[Entry]:
    """The entries that name something in the graph, in file order.

    Args:
        only: The collections to look into; None for all.

    Raises FormatError where a collection, or a message in it, is damaged.
    """
    reader = graph.reader
    for name, whole in dict(each(graph)).items():
        if name == _UNBOUND or (only is not None and name not in only):
            continue
        message = _MESSAGES.get(name)
        for n, (f, within) in enumerate(values(graph, name, whole)):
            parsed = None
            kind = within[-1].number
            if kind == NODE_LIST:
                here = f"{_place(graph, name)}.node_list.value[{n}]"
                names = [(reader.text(f, here), False)]
            elif kind == BYTES_LIST and message is not None:
                here = f"{_place(graph, name)}.bytes_list.value[{n}]"
                parsed = reader.parse(message, [(f.at, f.end)], here)
                names = list(_NAMES[message](parsed))
            else:
                break
            yield Entry(name, here, f, within, names, parsed)


def each(graph: MetaGraph) -> Iterator[tuple[str, Field]]:
    """The collections of a meta graph, in file order: (name, field). Of a name that is there
    twice the last counts."""
    reader = graph.reader
    for f in graph.fields:
        if f.number == COLLECTION and f.wire == LEN:
            key = last(reader.fields([(f.at, f.end)], graph.place), 1)
            yield reader.text(key, graph.place) if key else "", f


def values(
    graph: MetaGraph, name: str, whole: Field
) -> Iterator[tuple[Field, tuple[Field, ...]]]:
    """The values of a collection: (field, the fields around it, outermost first). The number
    of the last around it says of which kind they are."""
    reader, place = graph.reader, _place(graph, name)
    kinds = [
        (kind, value) for value in reader.fields([(whole.at, whole.end)], place)
        if value.number == 2 and value.wire == LEN
        for kind in reader.fields([(value.at, value.end)], place)
    ]  # fmt: skip
    around = {kind.start: value for kind, value in kinds}
    for kind in chosen([kind for kind, _ in kinds], (1, 2, 3, 4, 5)):
        within = (graph.field, whole, around[kind.start], kind)
        for f in reader.fields([(kind.at, kind.end)], place):
            if f.number == 1 and f.wire == LEN:
                yield f, within


def _place(graph: MetaGraph, name: str) -> str:
    return f'{graph.place}.collection_def["{printable(name)}"]'


def saved_variables(graph: MetaGraph) -> set[bytes] | None:
    """The keys that v1 restores for a meta graph without a saver: those of its variables.

    None where their collection is of another kind than today's, and does not tell.
    Source: tensorflow/python/training/saver.py _create_saver_from_imported_meta_graph,
    saving/saveable_object_util.py op_list_to_dict (2.21).
    """
    keys = set()
    for entry in entries(graph):
        if entry.collection != "variables":
            continue
        if entry.message is None:
            return None
        whole = entry.message.get(4, {}).get(1)  # of a slice, the variable that it is of
        name = whole or entry.names[0][0].partition(":")[0]
        keys.add(name.encode("utf-8", "surrogateescape"))
    return keys


def _variable(m: Message) -> Iterator[tuple[str, bool]]:
    """Source: tensorflow/python/ops/resource_variable_ops.py and ref_variable.py,
    _init_from_proto (2.21)."""
    is_resource = m.get(5, False)
    name = m.get(1, "")
    yield name, is_resource
    yield m.get(2, ""), False  # its initializer
    if m.get(6):
        yield m[6], False  # its initial value
    if m.get(3) or not is_resource:
        yield m.get(3, ""), False  # its snapshot
    else:
        yield f"{name.partition(':')[0]}/Read/ReadVariableOp:0", True


def _context(m: Message, values: int, nested: int) -> Iterator[tuple[str, bool]]:
    """What a cond and a while context have in common.

    Source: tensorflow/python/ops/control_flow_ops.py ControlFlowContext (2.21).
    """
    inside = m.get(values, {})
    outer: dict[str, str] = inside.get(2, {})
    for name in outer.values():
        yield name, False
    for name in dict.fromkeys(v.split(":")[0] for v in inside.get(1, ()) if v not in outer):
        yield name, False
    for context in m.get(nested, ()):
        for number, names in ((1, _cond), (2, _while)):
            if number in context:
                yield from names(context[number])


def _cond(m: Message) -> Iterator[tuple[str, bool]]:
    yield m.get(2, ""), False  # the predicate
    yield m.get(3, ""), False  # the pivot
    yield from _context(m, 5, 6)


def _while(m: Message) -> Iterator[tuple[str, bool]]:
    if m.get(11):
        yield m[11], False  # how often at most
    for number in (6, 7, 5):  # the pivots
        yield m.get(number, ""), False
    for number in (8, 10):  # what leaves the loop, and what enters it
        for name in m.get(number, ()):
            yield name, False
    yield from _context(m, 9, 12)


def _queue_runner(m: Message) -> Iterator[tuple[str, bool]]:
    """Source: tensorflow/python/training/queue_runner_impl.py (2.21)."""
    yield m.get(1, ""), False
    for name in m.get(2, ()):
        yield name, False
    yield m.get(3, ""), False
    yield m.get(4, ""), False


_NAMES = {
    "VariableDef": _variable,
    "CondContextDef": _cond,
    "WhileContextDef": _while,
    "QueueRunnerDef": _queue_runner,
}


# -- which of them are there --


class Dangling:
    """An entry that cannot be imported.

    Attributes:
        entry: The entry.
        name: The first of its names that is not found.
        problem: What is wrong with that, in words.
    """

    __slots__ = ("entry", "name", "problem")

    def __init__(self, entry: Entry, name: str, problem: str) -> None:
        self.entry = entry
        self.name = name
        self.problem = problem


def dangling(graph: MetaGraph, nodes: Graph | Edges) -> Iterator[Dangling]:
    """The entries of collections for which Python's loaders fail, in file order.

    Args:
        nodes: The meta graph's nodes.

    Raises FormatError where a collection or a node is damaged, or past fastsm's limits.
    """
    wanted: set[bytes] = set()
    several: set[bytes] = set()  # nodes of which another output than the first is named
    for entry in entries(graph):
        for name, _ in entry.names:
            node, output = _parts(name)
            wanted.add(node)
            if output not in (None, 0):
                several.add(node)
        if len(wanted) > MAX_NAMES:
            error = CoreError("LIMIT", entry.field.start, MAX_NAMES, len(wanted))
            raise graph.reader.error(error, entry.place)
    ops = nodes.ops_of(wanted)
    may_have_none = {op.encode() for op, (n, _) in op_outputs().items() if not n}
    several.update(node for node, op in ops.items() if op in may_have_none)
    there = nodes.named(several)
    for entry in entries(graph):
        for name, is_tensor in entry.names:
            problem = _problem(name, is_tensor, ops, there)
            if problem is not None:
                yield Dangling(entry, name, problem)
                break


def _parts(name: str) -> tuple[bytes, int | None]:
    """(node, output) that a name means; the output None of an op, -(1 << 31) where it is no
    number.

    Source: tensorflow/python/framework/ops.py Graph._as_graph_element_locked (2.21).
    """
    node, colon, output = name.partition(":")
    encoded = node.encode("utf-8", "surrogateescape")
    if not colon:
        return encoded, None
    try:
        return encoded, int(output)
    except ValueError:
        return encoded, _NO_NUMBER


def _problem(
    name: str, is_tensor: bool, ops: dict[bytes, bytes], there: dict[bytes, Node]
) -> str | None:
    """What is wrong with a name; None where it is found."""
    node, output = _parts(name)
    if output == _NO_NUMBER or (is_tensor and output is None):
        return "is no tensor's name"
    if node not in ops:
        return "no such node in the graph"
    if output is not None and node in there:
        n = n_outputs(there[node])
        # Python counts from the end backwards, too.
        if n is not None and not -n <= output < n:
            return f"the node, {printable(ops[node])}, has {counted(n, 'output')}"
    return None
