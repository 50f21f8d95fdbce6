"""The names that TensorFlow gives a model's functions when it loads them.

``tf.saved_model.load`` makes every function of the library anew and names it after the
old one, with a number counted up by each tensor that it makes: ``__inference_call_42``
becomes ``__inference_call_1305``. saved_model_cli sorts by these names. So its order of a
function's traces follows from the order in which functions are loaded, and from how many
tensors each has: where the numbers grow a digit, later ones sort first.
Source: tensorflow/python/saved_model/function_deserialization.py
load_function_def_library (2.21).
"""
from __future__ import annotations

from ..source import LEN, VARINT, last, merged
from .op_outputs import op_outputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Field
    from ..source import Reader, Spans

#: What the process has counted before the first function is loaded: the graph that
#: saved_model_cli opens, and the suffix of shared names.
COUNTED_BEFORE = 2

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")

# The fields of AttrValue that matter here; the whole oneof, and the list's.
_LIST, _S, _I, _B, _FUNC = 1, 2, 3, 5, 10
_ATTR_KINDS = frozenset(range(1, 11))
_ATTR_VARINTS = frozenset([_I, _B, 6])


class _Function:
    """What of a FunctionDef decides when it is loaded, and how far it counts."""

    __slots__ = ("counted_before", "n_inputs", "n_outputs", "name", "needs", "spans")

    def __init__(self, name: str, n_inputs: int, n_outputs: int, spans: Spans) -> None:
        self.name = name
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.spans = spans
        self.needs: set[str] = set()
        self.counted_before = 0


def loaded_names(reader: Reader, graph_spans: Spans, place: str) -> dict[str, str] | None:
    """Name in the library -> the name that it is loaded under.

    Args:
        graph_spans: Where the GraphDef lies.
        place: ``meta_graphs[0].graph_def``, as errors name it.

    Returns:
        None where TensorFlow cannot load the functions: they call each other in a circle,
        or one that is not there.
    """
    functions, gradients, n_gradients = _library(reader, graph_spans, place)
    sizes = _Sizes(functions)
    n_tensors = {}
    for f in functions.values():
        n_tensors[f.name] = f.n_inputs
        for node in reader.each(f.spans, 3, place):
            n_tensors[f.name] += _read_node(reader, node, f, sizes, gradients, place)
    order = _load_order(functions)
    if order is None:
        return None
    names = {}
    uid = COUNTED_BEFORE + n_gradients
    for f in order:
        uid += f.counted_before
        uid += 1 + n_tensors[f.name]  # the function's graph itself counts
        names[f.name] = f"__inference_{_bare_name(f.name)}_{uid}"
        uid += 1
    return names


class _Sizes:
    """How many outputs a node has, by its op and attributes."""

    def __init__(self, functions: dict[str, _Function]) -> None:
        self.functions = functions
        self._known = op_outputs()

    def of(self, op: str, counts: dict[str, int]) -> int:
        if op in self.functions:
            return self.functions[op].n_outputs
        n, attrs = self._known.get(op, (1, ()))
        return n + sum(counts.get(a, 0) for a in attrs)


def _library(
    reader: Reader, graph_spans: Spans, place: str
) -> tuple[dict[str, _Function], dict[str, str], int]:
    """(functions by name, gradient op type -> its function, how many have a type)."""
    place = f"{place}.library"
    functions: dict[str, _Function] = {}
    gradients: dict[str, str] = {}
    n_gradients = 0
    for f in reader.fields(merged(reader.each(graph_spans, 2, place), 2), place):
        if f.number == 1 and f.wire == LEN:
            function = _read_function(reader, f, f"{place}.function")
            functions[function.name] = function
        elif f.number == 3 and f.wire == LEN:
            fields = reader.fields([(f.at, f.end)], place)
            function_name, op_type = last(fields, 1), last(fields, 2)
            if op_type and op_type.end > op_type.at:
                n_gradients += 1
                key = reader.text(op_type, place)
                gradients[key] = reader.text(function_name, place) if function_name else ""
    return functions, gradients, n_gradients


def _read_function(reader: Reader, field: Field, place: str) -> _Function:
    spans = [(field.at, field.end)]
    signature = reader.fields(merged(reader.each(spans, 1, place), 1), place)
    name = last(signature, 1)
    n_inputs, n_outputs = (
        sum(f.number == n and f.wire == LEN for f in signature) for n in (2, 3)
    )
    return _Function(reader.text(name, place) if name else "", n_inputs, n_outputs, spans)


def _read_node(
    reader: Reader,
    node: Field,
    function: _Function,
    sizes: _Sizes,
    gradients: dict[str, str],
    place: str,
) -> int:
    """Notes which functions a node needs; returns how many tensors it makes."""
    fields = reader.fields([(node.at, node.end)], place)
    op_field = last(fields, 2)
    op = reader.text(op_field, place) if op_field else ""
    called: list[str] = []
    counts: dict[str, int] = {}
    gradient = ""
    shares = False
    for f in fields:
        if f.number != 5 or f.wire != LEN:
            continue
        entry = reader.fields([(f.at, f.end)], place)
        run = _chosen(reader.fields(merged(entry, 2), place))
        if not run:
            continue
        kind = run[0].number
        if kind not in (_LIST, _S, _I, _B, _FUNC):
            continue
        key_field = last(entry, 1)
        key = reader.text(key_field, place) if key_field else ""
        if kind == _I:
            counts[key] = run[-1].value
        elif kind == _B:
            shares = shares or (key == "use_node_name_sharing" and run[-1].value != 0)
        elif kind == _S:
            if key == "_gradient_op_type" and op not in _CALLS:
                gradient = reader.bytes(run[-1], place).decode("utf-8", "replace")
        else:
            inner = reader.fields([(f.at, f.end) for f in run], place)
            if kind == _FUNC:
                called.append(_function_name(reader, inner, place))
            else:
                counts[key] = _n_types(reader, inner, place)
                called += [
                    _function_name(reader, reader.fields([(g.at, g.end)], place), place)
                    for g in inner
                    if g.number == 9 and g.wire == LEN
                ]
    if op in sizes.functions:
        function.needs.add(op)
    elif gradient in gradients:
        function.needs.add(gradients[gradient])
    else:
        function.needs.update(called)
    if op == "HashTableV2" and not shares:
        function.counted_before += 1  # its shared name gets a number of its own
    return sizes.of(op, counts)


def _chosen(fields: list[Field]) -> list[Field]:
    """The occurrences of AttrValue's last member."""
    run: list[Field] = []
    for f in fields:
        wire = VARINT if f.number in _ATTR_VARINTS else 5 if f.number == 4 else LEN
        if f.number in _ATTR_KINDS and f.wire == wire:
            if run and run[0].number != f.number:
                run = []
            run.append(f)
    return run


def _function_name(reader: Reader, fields: list[Field], place: str) -> str:
    name = last(fields, 1)
    return reader.text(name, place) if name else ""


def _n_types(reader: Reader, fields: list[Field], place: str) -> int:
    """The number of types in an AttrValue's list."""
    n = 0
    for f in fields:
        if f.number == 6 and f.wire == VARINT:
            n += 1
        elif f.number == 6 and f.wire == LEN:
            n += sum(byte < 0x80 for byte in reader.bytes(f, place))
    return n


def _load_order(functions: dict[str, _Function]) -> list[_Function] | None:
    """The functions, those that others need first, in TensorFlow's order."""
    needed_by: dict[str, list[str]] = {}
    waiting = {}
    for f in functions.values():
        waiting[f.name] = len(f.needs)
        for need in f.needs:
            needed_by.setdefault(need, []).append(f.name)
    ready = [name for name, n in waiting.items() if not n]
    order = []
    while ready:
        name = ready.pop()
        order.append(functions[name])
        for other in needed_by.get(name, ()):
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return order if len(order) == len(functions) else None


def _bare_name(name: str) -> str:
    """``__inference_call_42`` as ``call``: what TensorFlow puts around a name is taken off."""
    head, _, number = name.rpartition("_")
    if head.startswith("__inference_") and number.isdecimal():
        return head[len("__inference_") :]
    return name
