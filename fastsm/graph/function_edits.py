"""The order of a function's arguments and results, changed with all that goes by it.

Nodes inside a function know its arguments by name; what calls it knows them by position. So
a new order moves the descriptions of arguments in the function, and the inputs, types and
outputs of the nodes that call it. Each piece keeps its bytes, and only changes places with
others: the inverse order gives the old bytes.
Source: tensorflow/core/framework/function.proto, op_def.proto, node_def.proto (2.21).
"""

from __future__ import annotations

from struct import unpack_from

from .._core import delimited, number
from ..errors import CoreError, FormatError, RefusedError
from ..plan import enclosing
from ..source import LEN, VARINT
from ..text import count, printable
from ..views import RESERVED
from .nested import Nested, of_graph
from .nodes import CALLS, node_of, output_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from .._core import Source
    from ..plan import Field as Around
    from ..plan import Rewrite
    from ..views import MetaGraph
    from .nested import Pair

    #: Bytes that change places with others: where they begin and end, the fields around.
    Slot = tuple[int, int, Sequence[Around]]

# GraphDef and its library.
_NODE, _LIBRARY = 1, 2
_FUNCTION, _GRADIENT, _REGISTERED_GRADIENT = 1, 2, 3

# FunctionDef, and OpDef, which its signature is.
_SIGNATURE, _BODY, _RET, _FUNCTION_ATTR, _ARG_ATTR, _UNIQUE_ID = 1, 3, 4, 5, 7, 8
_INPUT_ARG, _OUTPUT_ARG = 2, 3

# NodeDef.
_INPUT, _NODE_ATTR, _FULL_TYPE = 3, 5, 7

# The members of AttrValue, and what a list may hold.
_KINDS = range(1, 11)
_LIST, _FUNC = 1, 10
_INTS, _TYPES, _SHAPES, _FUNCS = 3, 6, 7, 9
_LISTED = range(2, 10)

#: Lists of a call that are known: of its inputs, of its outputs, of neither.
#: Source: tensorflow/core/ops/functional_ops.cc; tensorflow/core/common_runtime/
#: function_utils.cc (2.21).
_READ_ONLY = "_read_only_resource_inputs"
_SHAPES_ATTR = "_input_shapes"  # of a function's arguments
_KNOWN = frozenset(["Tin", "Tout", "_output_shapes", _READ_ONLY, "_collective_manager_ids"])

#: A number of more digits is not counted up: TensorFlow reads it as an int64.
_DIGITS = 18

#: All nodes are looked at for each node that calls a function; of a signature's there is one.
_MAX_CALLS = 100

_HINT = "A name that sorts where the old one does moves nothing."


class Library:
    """The functions of a meta graph, edited in a `Rewrite` of its source."""

    def __init__(self, graph: MetaGraph) -> None:
        self.graph = graph
        self._reader = graph.reader
        self._path = graph.reader.path
        self._graph_def = of_graph(graph).inside(2, "graph_def")
        self._found: Nested | None = None
        self._index = graph.node_index(2)
        self._functions = self._index.functions()
        self._fields: dict[int, Pair] | None = None

    @property
    def _library(self) -> Nested:
        """The message itself; a graph may have a million nodes around it."""
        if self._found is None:
            self._found = self._graph_def.inside(_LIBRARY, "library")
        return self._found

    def find(self, name: str) -> Nested | None:
        """A FunctionDef by name; None where there is none, or several."""
        wanted = name.encode()
        found = [i for i, f in enumerate(self._functions) if f[0] == wanted]
        return self._owner(found[0] + 1) if len(found) == 1 else None

    def function(self, name: str) -> Nested:
        """A FunctionDef by name. Raises RefusedError where there is none, or several."""
        found = self.find(name)
        if found is None:
            raise RefusedError(
                self._path,
                f"the library has no function {printable(name)}, or several: it cannot be edited",
                place=f"{self._graph_def.place}.library",
            )
        return found

    def next_number(self, names: Iterable[str]) -> int:
        """A number above those that functions end in; their names end in one each.

        Args:
            names: Of functions that may not be in the library.
        """
        tails = [name.rpartition("_")[2] for name in names]
        tails += [f[0].rpartition(b"_")[2].decode("latin-1") for f in self._functions]
        numbers = [int(tail) for tail in tails if tail.isdecimal() and len(tail) < _DIGITS]
        return max(numbers, default=0) + 1

    def add(self, rewrite: Rewrite, name: str, function: bytes) -> None:
        """Put a FunctionDef behind the one of this name."""
        ((_, end, around),) = self.function(name).occurrences
        rewrite.replace(end, end, delimited(_FUNCTION, function), around[:-1])

    def remove(self, rewrite: Rewrite, name: str) -> None:
        """Take the FunctionDef of this name out."""
        field, around = self._field(self.function(name).spans[0][0])
        rewrite.replace(field.start, field.end, b"", around)

    def permute(self, rewrite: Rewrite, name: str, side: str, order: Sequence[int]) -> bool:
        """`permute_inputs`, or for the other side, "output", `permute_outputs`."""
        permute = self.permute_inputs if side == "input" else self.permute_outputs
        return permute(rewrite, name, order)

    def permute_inputs(self, rewrite: Rewrite, name: str, order: Sequence[int]) -> bool:
        """Move the first arguments of a function; returns whether the main graph calls it.

        Args:
            order: Which argument comes first, second, ...; those beyond stay.

        Raises RefusedError where that cannot be done rightly.
        """
        function, calls = self.function(name), self.calls(name)
        n = permute_arguments(rewrite, function, order)
        for call in calls:
            call.permute_inputs(rewrite, order, n)
        return any(not call.owner for call in calls)

    def permute_outputs(self, rewrite: Rewrite, name: str, order: Sequence[int]) -> bool:
        """Move all results of a function; returns whether the main graph calls it.

        What takes an output of a call follows: nodes, results of functions, and the tensors
        of all signatures.
        """
        function, calls = self.function(name), self.calls(name)
        permute_results(rewrite, function, order)
        moved = _moved(order)
        for call in calls:
            call.permute_outputs(rewrite, order)
            for row in self._rows(self._index.taking, call.name):
                taker = self._call(row)
                if taker.owner == call.owner:
                    taker.renumber(rewrite, call.name, moved)
            if call.owner:
                for _, entry in self._owner(call.owner).entries(_RET, "ret"):
                    _renumber(rewrite, entry, 2, [call.name], moved)
        names = {call.name for call in calls if not call.owner}
        if names:
            self._check_tensors(names, moved)
            self._renumber_signatures(rewrite, names, moved)
        return bool(names)

    def check_call(self, name: str, row: int) -> None:
        """See that arguments of a function can go, and inputs of the one node that calls it.

        Raises RefusedError where something may go by their order that nobody knows.
        """
        function, call = self.function(name), self._call(row)
        if not call.calls_only(name):
            raise self._known_to(name, f"the node {printable(call.name)}", call.node.place)
        n = len(_arguments(function, _INPUT_ARG, "input_arg"))
        _check_function_lists(function, n)
        call.check_inputs(n)

    def keep_inputs(self, rewrite: Rewrite, name: str, row: int, kept: Sequence[int]) -> None:
        """Take arguments out of a function, and what the one node gives that calls it.

        Args:
            kept: Those that stay, in order.

        Raises RefusedError where that cannot be done rightly.
        """
        n = keep_arguments(rewrite, self.function(name), kept)
        self._call(row).keep_inputs(rewrite, kept, n)

    def is_named(self, name: str) -> bool:
        """Whether any node or gradient names a function."""
        return bool(self._rows(self._index.naming, name.encode())) or any(
            name in (gradient.text(1), gradient.text(2)) for gradient in self._gradients()
        )

    def calls(self, name: str) -> list[Call]:
        """The nodes that call a function.

        Raises RefusedError where something else knows it, which may go by the order of its
        arguments.
        """
        calls = []
        rows = self._rows(self._index.naming, name.encode())
        if len(rows) > _MAX_CALLS:
            raise self._known_to(name, f"each of {count(len(rows))} nodes", self._graph_def.place)
        for row in rows:
            call = self._call(row)
            if call.op not in CALLS or not call.calls_only(name):
                raise self._known_to(name, f"the node {printable(call.name)}", call.node.place)
            calls.append(call)
        for gradient in self._gradients():
            if name in (gradient.text(1), gradient.text(2)):
                raise self._known_to(name, "a gradient", gradient.place)
        return calls

    def _gradients(self) -> list[Nested]:
        return [
            gradient
            for field in (_GRADIENT, _REGISTERED_GRADIENT)
            for gradient in self._library.each(field, "gradient")
        ]

    # -- nodes --

    def _rows(self, find: Callable[[Source, bytes], list[int]], name: bytes) -> list[int]:
        """What the index finds of a name; it reads the nodes that it has only counted so far."""
        try:
            return find(self._reader.source, name)
        except CoreError as e:
            raise self._reader.error(e, self._graph_def.place) from None

    def node(self, row: int) -> Nested:
        """The node of a row of the index, with the fields around it."""
        start, end, owner = self._row(row)
        graph = self._owner(owner)
        at, _, around = next(o for o in graph.occurrences if o[0] <= start and end <= o[1])
        before = row - 1  # the node before it, behind which its field begins
        while before >= 0 and self._row(before)[2] != owner:
            before -= 1
        if before >= 0:
            at = max(at, self._row(before)[1])
        # What follows the node, perhaps a million others, is not read.
        number = _BODY if owner else _NODE
        field = self._reader.first([(at, end)], number, graph.place)
        if field is None or field.at != start:
            near = Nested(self._reader, [(at, end, around)], graph.place)
            field = next(f for f, _ in near.holding(number) if f.at == start)
        return graph.of([(field, around)], "node")

    def _call(self, row: int) -> Call:
        return Call(self.node(row), self._row(row)[2])

    def _row(self, row: int) -> tuple[int, int, int]:
        """(start, end, owner) of a node."""
        start, _, length, _, _, owner = unpack_from("=QQIIII", self._index, 32 * row)
        return start, start + length, owner

    def _owner(self, owner: int) -> Nested:
        """The main graph, or a function."""
        if not owner:
            return self._graph_def
        name, at, _, _, _ = self._functions[owner - 1]
        return self._library.of([self._field(at)], f'function["{printable(name)}"]')

    def _field(self, at: int) -> Pair:
        """The field of the function that begins at an offset."""
        if self._fields is None:
            self._fields = {pair[0].at: pair for pair in self._library.holding(_FUNCTION)}
        if at not in self._fields:
            raise FormatError(self._path, "holds more functions than fastsm edits", offset=at)
        return self._fields[at]

    def _known_to(self, name: str, what: str, place: str) -> RefusedError:
        return RefusedError(
            self._path,
            f"{what} knows the function {printable(name)} too, and may go by the order of "
            "its arguments and results",
            place=place,
            hint=_HINT,
        )

    # -- what names the outputs of a call in the main graph --

    def _renumber_signatures(
        self, rewrite: Rewrite, calls: AbstractSet[bytes], moved: Mapping[int, int]
    ) -> None:
        for key, entry in of_graph(self.graph).entries(5, "signature_def"):
            if key in RESERVED:
                continue  # which name an op
            signature = entry.inside(2, "")
            for _, tensor in signature.entries(1, "inputs") + signature.entries(2, "outputs"):
                _renumber_tensor(rewrite, tensor.inside(2, ""), calls, moved)

    def _check_tensors(self, calls: AbstractSet[bytes], moved: Mapping[int, int]) -> None:
        """Refuse to move a tensor that something else names than a signature."""
        graph = self.graph
        named = [(f"{graph.place}.asset_file_def", a.tensor.encode()) for a in graph.assets]
        if graph.saver is not None:
            texts = [graph.saver.filename_tensor, graph.saver.save_tensor]
            named += [(f"{graph.place}.saver_def", text.encode()) for text in texts]
        for name, collection in of_graph(graph).entries(4, "collection_def"):
            kind, values = collection.inside(2, "").member(range(1, 6))
            if kind == 1:
                place = f'{graph.place}.collection_def["{printable(name)}"]'
                named += [(place, self._reader.bytes(f, place)) for f, _ in values.holding(1)]
        for place, tensor in named:
            if b":" in tensor and node_of(tensor) in calls and output_of(tensor) in moved:
                raise RefusedError(
                    self._path,
                    f"names the tensor {printable(tensor)}, which is to get another number",
                    place=place,
                    hint=_HINT,
                )


class Call:
    """A node that calls a function, or takes something from one that does.

    Attributes:
        node: Where it stands.
        owner: The graph it is in: 0 the main one, i + 1 function i.
    """

    __slots__ = ("_attrs", "name", "node", "op", "owner")

    def __init__(self, node: Nested, owner: int) -> None:
        self.node = node
        self.owner = owner
        self.name, self.op = (
            node.reader.bytes(found[0], node.place) if found else b""
            for found in (node.last(1), node.last(2))
        )
        node.place += f'["{printable(self.name)}"]'
        self._attrs = attributes(node)

    def calls_only(self, name: str) -> bool:
        """Whether it names that function in the attribute "f", and no other names any."""
        for key, value in self._attrs.items():
            kind, inner = value.member(_KINDS)
            if kind == _FUNC:
                if key != "f" or inner.text(1) != name or inner.holding(2):
                    return False
            elif kind == _LIST and inner.holding(_FUNCS):
                return False
        return True

    def permute_inputs(self, rewrite: Rewrite, order: Sequence[int], n: int) -> None:
        """Move its first inputs, of which it must have ``n``."""
        inputs = [(f.start, f.end, around) for f, around in self._inputs()]
        types = self._list("Tin", _TYPES)
        self._check(len(inputs) == len(types) == n, "inputs")
        self._check_lists(n, _moved(order))
        permute(rewrite, self.node, inputs, order)
        permute(rewrite, self.node, types, order)

    def check_inputs(self, n: int) -> None:
        """See that it has n inputs, and no list of n that may go by their order."""
        types = self._list("Tin", _TYPES)
        self._check(len(self._inputs()) == len(types) == n, "inputs")
        self._check_lists(n, {})

    def keep_inputs(self, rewrite: Rewrite, kept: Sequence[int], n: int) -> None:
        """Take out all of its n inputs but some."""
        self.check_inputs(n)
        stay = frozenset(kept)
        for i, (f, around) in enumerate(self._inputs()):
            if i not in stay:
                rewrite.replace(f.start, f.end, b"", around)
        for key in ("Tin", _READ_ONLY):
            value = self._attrs.get(key)
            kind, values = value.member(_KINDS) if value else (0, None)
            if not values or kind != _LIST:
                continue
            if key == "Tin":
                keep_elements(rewrite, values, _TYPES, stay)
                continue
            read = _numbers(values, _INTS)
            new = {old: i for i, old in enumerate(kept)}
            keep_elements(
                rewrite, values, _INTS, [i for i, old in enumerate(read) if old in new],
                [new.get(old, 0) for old in read],
            )  # fmt: skip

    def permute_outputs(self, rewrite: Rewrite, order: Sequence[int]) -> None:
        """Move all of its outputs."""
        types, shapes = self._list("Tout", _TYPES), self._list("_output_shapes", _SHAPES)
        self._check(len(types) == len(order) and len(shapes) in (0, len(order)), "outputs")
        self._check_lists(len(order), {})
        if self.node.holding(_FULL_TYPE):
            raise self._refused("has a full type, which goes by the order of its outputs")
        permute(rewrite, self.node, types, order)
        permute(rewrite, self.node, shapes, order)

    def renumber(self, rewrite: Rewrite, call: bytes, moved: Mapping[int, int]) -> None:
        """Follow the outputs of another node of its graph."""
        for pair in self._inputs():
            renumber_field(rewrite, self.node, pair, [call], moved)

    # -- helpers --

    def _inputs(self) -> list[Pair]:
        """Its inputs that are tensors."""
        reader, place = self.node.reader, self.node.place
        found = self.node.holding(_INPUT)
        return [p for p in found if not reader.bytes(p[0], place).startswith(b"^")]

    def _list(self, attr: str, number: int) -> list[Slot]:
        value = self._attrs.get(attr)
        kind, values = value.member(_KINDS) if value else (0, None)
        return elements(values, number) if values and kind == _LIST else []

    def _check_lists(self, n: int, moved: Mapping[int, int]) -> None:
        """Refuse a list of n that nobody knows: it may go by what moves."""
        for key, value in self._attrs.items():
            kind, values = value.member(_KINDS)
            if kind != _LIST:
                continue
            if key not in _KNOWN and is_list_of(values, n):
                raise self._refused(f"has a list {printable(key)} that fastsm does not know")
            if key == _READ_ONLY and any(i in moved for i in _numbers(values, _INTS)):
                raise self._refused("reads a resource that is one of the arguments that move")

    def _check(self, fits: bool, what: str) -> None:
        if not fits:
            raise FormatError(
                self.node.reader.path,
                f"has other {what} than the function that it calls",
                offset=self.node.spans[0][0],
                place=self.node.place,
            )

    def _refused(self, problem: str) -> RefusedError:
        return RefusedError(self.node.reader.path, problem, place=self.node.place, hint=_HINT)


# -- functions -----------------------------------------------------------------------------


def permute_arguments(rewrite: Rewrite, function: Nested, order: Sequence[int]) -> int:
    """Move the first arguments of a FunctionDef; returns how many it has in all."""
    arguments = _arguments(function, _INPUT_ARG, "input_arg")
    n = len(arguments)
    if n < len(order):
        raise _unfit(function, "arguments", n, len(order))
    shapes = _check_function_lists(function, n)
    permute(rewrite, function, shapes, order)
    permute(rewrite, function, arguments, order)
    moved = _moved(order)
    for field, name in ((_ARG_ATTR, "arg_attr"), (_UNIQUE_ID, "resource_arg_unique_id")):
        for entry in function.each(field, name):
            _rekey(rewrite, entry, moved)
    return n


def keep_arguments(rewrite: Rewrite, function: Nested, kept: Sequence[int]) -> int:
    """Take out all arguments of a FunctionDef but some; returns how many it had."""
    arguments = _arguments(function, _INPUT_ARG, "input_arg")
    stay = frozenset(kept)
    for i, (start, end, around) in enumerate(arguments):
        if i not in stay:
            rewrite.replace(start, end, b"", around)
    if _check_function_lists(function, len(arguments)):
        _, values = attributes(function, _FUNCTION_ATTR)[_SHAPES_ATTR].member(_KINDS)
        keep_elements(rewrite, values, _SHAPES, stay)
    moved = _moved(kept)
    for field, name in ((_ARG_ATTR, "arg_attr"), (_UNIQUE_ID, "resource_arg_unique_id")):
        for f, around in function.holding(field):
            entry = function.of([(f, around)], name)
            if _key(entry) in stay:
                _rekey(rewrite, entry, moved)
            else:
                rewrite.replace(f.start, f.end, b"", around)
    return len(arguments)


def _check_function_lists(function: Nested, n: int) -> list[Slot]:
    """The shapes of a FunctionDef's n arguments, none where it does not tell.

    Raises RefusedError for a list of n that nobody knows: it may go by their order."""
    shapes: list[Slot] = []
    for key, value in attributes(function, _FUNCTION_ATTR).items():
        kind, values = value.member(_KINDS)
        if kind != _LIST:
            continue
        if key == _SHAPES_ATTR and len(elements(values, _SHAPES)) == n:
            shapes = elements(values, _SHAPES)
        elif is_list_of(values, n):
            problem = f"has a list {printable(key)} that fastsm does not know"
            raise RefusedError(function.reader.path, problem, place=function.place, hint=_HINT)
    return shapes


def permute_results(rewrite: Rewrite, function: Nested, order: Sequence[int]) -> None:
    """Move all results of a FunctionDef; what it returns goes by their names."""
    results = _arguments(function, _OUTPUT_ARG, "output_arg")
    if len(results) != len(order):
        raise _unfit(function, "results", len(results), len(order))
    permute(rewrite, function, results, order)


def _arguments(function: Nested, number: int, name: str) -> list[Slot]:
    signature = function.inside(_SIGNATURE, "signature")
    pairs = signature.holding(number)
    for i, pair in enumerate(pairs):
        argument = signature.of([pair], f"{name}[{i}]")
        if argument.text(5) or argument.text(6):  # number_attr, type_list_attr
            problem = "stands for several tensors"
            raise RefusedError(function.reader.path, problem, place=argument.place, hint=_HINT)
    return [(f.start, f.end, around) for f, around in pairs]


def _unfit(function: Nested, what: str, n: int, wanted: int) -> FormatError:
    return FormatError(
        function.reader.path,
        f"has {n} {what}, where the object graph tells of {wanted}",
        offset=function.spans[0][0],
        place=function.place,
    )


def _rekey(rewrite: Rewrite, entry: Nested, moved: Mapping[int, int]) -> None:
    """Let the entry of a map by argument follow that."""
    found = entry.last(1, VARINT)
    new = moved.get(_key(entry))
    if new is None:
        return
    value = varint(new)  # a key stands in its entry though it be 0
    if found:
        field, around = found
        rewrite.replace(field.length_at, field.end, value, around)
    else:
        at, _, around = entry.occurrences[-1]
        rewrite.replace(at, at, b"\x08" + value, around)


def _key(entry: Nested) -> int:
    """The argument that the entry of a map is of."""
    found = entry.last(1, VARINT)
    return found[0].value & 0xFFFFFFFF if found else 0


# -- pieces that change places ---------------------------------------------------------------


def permute(
    rewrite: Rewrite, message: Nested, slots: Sequence[Slot], order: Sequence[int]
) -> None:
    """Put the bytes of slot order[i] into slot i; slots beyond the order stay."""
    source = message.reader.source
    pieces = [source.read(start, end - start) for start, end, _ in slots[: len(order)]]
    for (start, end, around), old, data in zip(slots, order, pieces, strict=False):
        if pieces[old] != data:
            rewrite.replace(start, end, pieces[old], around)


def elements(values: Nested, number: int) -> list[Slot]:
    """The elements of a repeated field: messages and strings whole, numbers without tags,
    so that packed ones may change places with others."""
    slots: list[Slot] = []
    for f, around in values.fields(number):
        if f.wire == VARINT:
            slots.append((f.length_at, f.end, around))
        elif f.wire == LEN and number in (_INTS, _TYPES):
            slots += _packed(values, (f, around))
        elif f.wire == LEN:
            slots.append((f.start, f.end, around))
    return slots


def _packed(values: Nested, pair: Pair) -> Iterator[Slot]:
    """The numbers in a packed field."""
    f, around = pair
    inner = (*around, *enclosing(f))
    start = f.at
    for at, byte in enumerate(values.reader.bytes(f, values.place), f.at + 1):
        if byte < 0x80:
            yield start, at, inner
            start = at


def varint(value: int) -> bytes:
    """A number as it stands in a field, without the tag; 0 too."""
    return number(1, value)[1:] or b"\0"


def keep_elements(
    rewrite: Rewrite,
    values: Nested,
    number: int,
    kept: Container[int],
    new: Sequence[int] | None = None,
) -> None:
    """Take out all elements of a repeated field but some, and numbers whose last one goes with
    the field that packs them.

    Args:
        kept: Which stay, by their place.
        new: What each number becomes; None: what it is.
    """
    i = 0
    for f, around in values.fields(number):
        slots: list[Slot] = []
        if f.wire == VARINT:
            slots.append((f.length_at, f.end, around))
        elif f.wire != LEN:
            continue
        elif number in (_INTS, _TYPES):
            slots += _packed(values, (f, around))
        else:
            slots.append((f.start, f.end, around))
        own = range(i, i + len(slots))
        i += len(slots)
        if not any(at in kept for at in own):
            if slots:
                rewrite.replace(f.start, f.end, b"", around)
            continue
        for at, (start, end, within) in zip(own, slots, strict=True):
            if at not in kept:
                rewrite.replace(start, end, b"", within)
            elif new is not None:
                data = varint(new[at])
                if data != values.reader.source.read(start, end - start):
                    rewrite.replace(start, end, data, within)


def is_list_of(values: Nested, n: int) -> bool:
    """Whether an AttrValue's list has n elements, of whatever kind."""
    for kind in _LISTED:
        if kind in (_INTS, _TYPES):
            found = len(elements(values, kind))
        elif kind in (4, 5):  # packed floats and bools
            size = 4 if kind == 4 else 1
            found = sum(
                (f.end - f.at) // size if f.wire == LEN else 1 for f, _ in values.fields(kind)
            )
        else:
            found = len(values.holding(kind))
        if found == n and n:
            return True
    return False


def _numbers(values: Nested, number: int) -> list[int]:
    source = values.reader.source
    out = []
    for start, end, _ in elements(values, number):
        value = 0
        for i, byte in enumerate(source.read(start, end - start)):
            value |= (byte & 0x7F) << 7 * i
        out.append(value)
    return out


def attributes(message: Nested, number: int = _NODE_ATTR) -> dict[str, Nested]:
    """The attributes of a node or function: name -> AttrValue; the last of equal ones."""
    return {key: entry.inside(2, "") for key, entry in message.entries(number, "attr")}


def _moved(order: Sequence[int]) -> dict[int, int]:
    return {old: new for new, old in enumerate(order) if old != new}


# -- the numbers of outputs ------------------------------------------------------------------


def _renumber_tensor(
    rewrite: Rewrite, tensor: Nested, calls: AbstractSet[bytes], moved: Mapping[int, int]
) -> None:
    """A TensorInfo, with the components that it may have."""
    kind, encoding = tensor.member((1, 4, 5))
    if kind == 1:
        _renumber(rewrite, tensor, 1, calls, moved)
    elif kind == 4:
        for field in (1, 2, 3):
            _renumber(rewrite, encoding, field, calls, moved)
    elif kind == 5:
        for component in encoding.each(2, "components"):
            _renumber_tensor(rewrite, component, calls, moved)


def _renumber(
    rewrite: Rewrite,
    message: Nested,
    field: int,
    calls: Sequence[bytes] | AbstractSet[bytes],
    moved: Mapping[int, int],
) -> None:
    found = message.last(field)
    if found:
        renumber_field(rewrite, message, found, calls, moved)


def renumber_field(
    rewrite: Rewrite,
    message: Nested,
    pair: Pair,
    calls: Sequence[bytes] | AbstractSet[bytes],
    moved: Mapping[int, int],
) -> None:
    """Give the tensor in a field its new number: ``f:1``, ``f:output:1``, or ``f`` for the
    first output as nodes write it."""
    field, around = pair
    tensor = message.reader.bytes(field, message.place)
    if node_of(tensor) not in calls or output_of(tensor) not in moved:
        return
    new = moved[output_of(tensor)]
    head, colon, tail = tensor.rpartition(b":")
    if colon and not tail.isdigit():
        raise FormatError(
            message.reader.path,
            f"names the tensor {printable(tensor)} without its number",
            offset=field.start,
            place=message.place,
        )
    head = head if colon else tensor
    plain = field.number == _INPUT and b":" not in head  # the input of a node in the main graph
    data = head if plain and not new else head + b":%d" % new
    rewrite.replace(field.start, field.end, delimited(field.number, data), around)
