"""The saved object graph: the Python objects of a TF2 model, their names and functions.

A graph may hold a hundred thousand nodes. Their places are kept in a packed index, and a
node is parsed when it is touched, anew each time. Every reference keeps the field that it
was read from, so that an edit can change the number of a node where it stands.
Source: tensorflow/core/protobuf/saved_object_graph.proto and
trackable_object_graph.proto (2.21).
"""
from __future__ import annotations

from .. import _core, dtypes
from ..errors import CoreError, FormatError
from ..source import LEN, VARINT, last, merged
from ..text import count, printable
from ..views import chosen, shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeVar

    from .._core import Field
    from ..source import Message, Reader, Spans

    T = TypeVar("T")

#: The fields of SavedObject that make up its oneof, by the name of the kind.
KINDS = {
    4: "user_object", 5: "asset", 6: "function", 7: "variable", 8: "bare_concrete_function",
    9: "constant", 10: "resource", 12: "captured_tensor",
}  # fmt: skip

#: The child of the root whose children are the signatures, and what kind of object it is.
#: Source: tensorflow/python/saved_model/signature_serialization.py (2.21).
SIGNATURES_CHILD, SIGNATURE_MAP = "signatures", "signature_map"

#: More nodes than this are refused; their index would take 96 MiB. The largest models
#: known have some ten thousand.
MAX_OBJECTS = 1 << 22

#: So many fields are looked at in one go; each is an object of 64 bytes for a moment.
_CHUNK = 8192


class Reference:
    """A name for another node: a child, or a dependency.

    Attributes:
        local_name: The attribute, key or index that it has in its owner.
        node_id: The position of the other node; may lie outside the graph.
        field: The ObjectReference in its owner.
        id_field: The number itself, or None where it is left out, being 0.
    """

    __slots__ = ("field", "id_field", "local_name", "node_id")

    def __init__(self, reader: Reader, field: Field, place: str) -> None:
        fields = reader.fields([(field.at, field.end)], place)
        name = last(fields, 2)
        self.field = field
        self.id_field = last(fields, 1, VARINT)
        self.local_name = reader.text(name, place) if name else ""
        self.node_id = int32(self.id_field)

    def __repr__(self) -> str:
        return f"Reference({self.local_name!r}, {self.node_id})"


class SlotVariable:
    """A variable that an optimizer keeps for another: the momentum of a kernel.

    Attributes:
        name: The slot, ``m``.
        original_id, variable_id: The nodes of the other variable and of this one.
        field: The SlotVariableReference in the optimizer.
        original_field, variable_field: The numbers, or None where one is left out, being 0.
    """

    __slots__ = (
        "field", "name", "original_field", "original_id", "variable_field", "variable_id",
    )  # fmt: skip

    def __init__(self, reader: Reader, field: Field, place: str) -> None:
        fields = reader.fields([(field.at, field.end)], place)
        name = last(fields, 2)
        self.field = field
        self.name = reader.text(name, place) if name else ""
        self.original_field = last(fields, 1, VARINT)
        self.original_id = int32(self.original_field)
        self.variable_field = last(fields, 3, VARINT)
        self.variable_id = int32(self.variable_field)

    def __repr__(self) -> str:
        return f"SlotVariable({self.name!r}, {self.original_id}, {self.variable_id})"


class SaveableObject:
    """The functions that save and restore an object's own state, under one name.

    Attributes:
        name: The attribute of the checkpoint, or "" for the object itself.
        save_id, restore_id: The nodes of the two functions.
        field: The map's entry in its owner.
        save_field, restore_field: The numbers, or None where one is left out, being 0.
    """

    __slots__ = ("field", "name", "restore_field", "restore_id", "save_field", "save_id")

    def __init__(self, reader: Reader, field: Field, place: str) -> None:
        entry = reader.fields([(field.at, field.end)], place)
        name = last(entry, 1)
        fields = reader.fields(merged(entry, 2), place)
        self.field = field
        self.name = reader.text(name, place) if name else ""
        self.save_field = last(fields, 2, VARINT)
        self.save_id = int32(self.save_field)
        self.restore_field = last(fields, 3, VARINT)
        self.restore_id = int32(self.restore_field)

    def __repr__(self) -> str:
        return f"SaveableObject({self.name!r}, {self.save_id}, {self.restore_id})"


class Variable:
    """What a SavedVariable says of a variable; its value lies in the checkpoint.

    Attributes:
        name: As TensorFlow named it, without ``:0``.
        dtype: ``float32``.
        shape: Dimensions, None for an unknown one; None for an unknown rank.
        trainable: Whether an optimizer may change it.
        device: Where it was when it was saved, if that was kept.
    """

    __slots__ = ("device", "dtype", "name", "shape", "trainable")

    def __init__(self, message: Message) -> None:
        dims = shape(message.get(2, {}))
        self.name: str = message.get(6, "")
        self.device: str = message.get(7, "")
        self.dtype = dtypes.name(message.get(1, 0) & 0xFFFFFFFF)
        self.shape = None if dims is None else tuple([None if d < 0 else d for d in dims])
        self.trainable: bool = message.get(3, False)

    def __repr__(self) -> str:
        dims = "?" if self.shape is None else self.shape
        return f"Variable({self.name!r}, {self.dtype}, {dims}, trainable={self.trainable})"


class FunctionSpec:
    """The Python signature that a tf.function had.

    Attributes:
        is_method: Whether its first argument is the object that it belongs to.
        jit_compile: True, False, or None where it was left open.
    """

    __slots__ = ("_fields", "_place", "_reader", "is_method", "jit_compile")

    def __init__(self, reader: Reader, spans: Spans, place: str) -> None:
        self._reader = reader
        self._fields = reader.fields(spans, place)
        self._place = place
        method, jit = last(self._fields, 2, VARINT), last(self._fields, 6, VARINT)
        self.is_method = bool(method and method.value)
        self.jit_compile = {1: True, 2: False}.get(jit.value) if jit else None

    @property
    def fullargspec(self) -> Any:
        """inspect's FullArgSpec, as a named tuple; None where there is none."""
        return self._decode(1, "fullargspec")

    @property
    def input_signature(self) -> Any:
        """The TensorSpecs that tf.function was given, or None."""
        return self._decode(5, "input_signature")

    def _decode(self, number: int, name: str) -> Any:
        spans = merged(self._fields, number)
        if not spans:
            return None
        from .structured import decode

        return decode(self._reader, spans, f"{self._place}.{name}")


class ConcreteFunction:
    """A function of the library, and what its Python side takes and returns.

    Attributes:
        name: Its name in the function library.
        field: The entry of the map concrete_functions.
        place: It, as errors name it.
    """

    __slots__ = ("_reader", "_spans", "field", "name", "place")

    def __init__(
        self, reader: Reader, name: str, field: Field, spans: Spans, place: str
    ) -> None:
        self._reader = reader
        self._spans = spans
        self.place = place
        self.name = name
        self.field = field

    def __repr__(self) -> str:
        return f"ConcreteFunction({self.name!r})"

    @property
    def fields(self) -> list[Field]:
        """The fields of the SavedConcreteFunction."""
        return self._reader.fields(self._spans, self.place)

    @property
    def bound_inputs(self) -> list[int]:
        """The nodes whose tensors it captures, in the order of its last arguments."""
        found: list[int] = self._field(2).get(2, [])
        return found

    @property
    def input_signature(self) -> Any:
        """(positional, by name): a tuple and a dict of specs and Python values.

        Raises FormatError where the file holds no such value.
        """
        return self._decode(3, "canonicalized_input_signature")

    @property
    def output_signature(self) -> Any:
        """The structure of specs that it returns."""
        return self._decode(4, "output_signature")

    def _field(self, number: int) -> Message:
        return self._reader.parse("SavedConcreteFunction", self._spans, self.place, only=number)

    def _decode(self, number: int, name: str) -> Any:
        from .structured import from_message

        message = self._field(number).get(number, {})
        return from_message(self._reader, message, f"{self.place}.{name}", self.field.start)


class ObjectNode:
    """One SavedObject.

    Attributes:
        graph: The graph it belongs to.
        id: Its position there; 0 is the root.
        kind: A value of KINDS, or None where the file sets none.
    """

    __slots__ = ("_message", "_number", "_span", "graph", "id", "kind", "place")

    def __init__(self, graph: ObjectGraph, node_id: int, at: int, end: int) -> None:
        self.graph = graph
        self.id = node_id
        self.place = f"{graph.place}.nodes[{node_id}]"
        self._span = (at, end)
        self._message = graph.message(node_id, at, end)
        self._number = 0
        for number in self._message:
            if number in KINDS:
                self._number = number
        self.kind = KINDS.get(self._number)

    @property
    def field(self) -> Field:
        """The whole SavedObject in the file."""
        return self.graph.field(self.id)

    @property
    def fields(self) -> list[Field]:
        """Its fields."""
        return self.graph.reader.fields([self._span], self.place)

    def __repr__(self) -> str:
        what = self.identifier if self.kind == "user_object" else self.kind
        return f"<ObjectNode {self.id}: {what}>"

    # -- what it refers to --

    @property
    def children(self) -> list[Reference]:
        """Its children, in file order; equal names are kept, of which the last counts."""
        return [
            Reference(self.graph.reader, f, f"{self.place}.children[{i}]")
            for i, f in enumerate(self._all(1))
        ]

    @property
    def child_ids(self) -> list[tuple[str, int]]:
        """The names and numbers of its children: `children` without where they stand."""
        return [(child.get(2, ""), child.get(1, 0)) for child in self._message.get(1, ())]

    @property
    def dependencies(self) -> list[Reference]:
        """Nodes that must be there before this one can be made."""
        return [
            Reference(self.graph.reader, f, f"{self.place}.dependencies[{i}]")
            for i, f in enumerate(self._all(15))
        ]

    @property
    def slot_variables(self) -> list[SlotVariable]:
        """What an optimizer keeps for other variables."""
        return [
            SlotVariable(self.graph.reader, f, f"{self.place}.slot_variables[{i}]")
            for i, f in enumerate(self._all(3))
        ]

    @property
    def slot_ids(self) -> list[tuple[str, int, int]]:
        """Of its slots: name, the other variable, the slot's own: `slot_variables` without
        where they stand."""
        slots = self._message.get(3, ())
        return [(slot.get(2, ""), slot.get(1, 0), slot.get(3, 0)) for slot in slots]

    @property
    def dependency_ids(self) -> list[tuple[str, int]]:
        """The names and numbers of its dependencies, as `child_ids` has them."""
        return [(to.get(2, ""), to.get(1, 0)) for to in self._message.get(15, ())]

    @property
    def saveable_ids(self) -> list[tuple[str, int, int]]:
        """Of its saveable objects, by name the last: name, what saves, what restores."""
        named: dict[str, Message] = self._message.get(11, {})
        return [(name, to.get(2, 0), to.get(3, 0)) for name, to in named.items()]

    @property
    def has_slot_variables(self) -> bool:
        return 3 in self._message

    @property
    def saveable_objects(self) -> list[SaveableObject]:
        """The functions that save and restore it; equal names are kept, the last counts."""
        place = f"{self.place}.saveable_objects"
        return [SaveableObject(self.graph.reader, f, place) for f in self._all(11)]

    # -- what it is --

    @property
    def identifier(self) -> str:
        """Of a user object, what revives it: ``_tf_keras_model``; else ""."""
        return self._inside("user_object", 1, "")

    @property
    def version(self) -> tuple[int, int]:
        """Of a user object: (producer, min_consumer)."""
        version: Message = self._inside("user_object", 2, {})
        return version.get(1, 0), version.get(2, 0)

    @property
    def metadata(self) -> str:
        """Of a user object: what Keras before 2.5 left there as JSON; else ""."""
        return self._inside("user_object", 3, "")

    @property
    def registered_name(self) -> str:
        """The class that a library registered for saving, or ""."""
        name: str = self._message.get(13, "")
        return name

    @property
    def registered_saver(self) -> str:
        """The saver that a library registered, or ""."""
        saver: str = self._message.get(16, "")
        return saver

    @property
    def concrete_function_names(self) -> list[str]:
        """Of a function its traces, of a bare concrete function the one it is; else none."""
        if self.kind == "bare_concrete_function":
            return [self._inside("bare_concrete_function", 1, "")]
        return self._inside("function", 1, [])

    @property
    def concrete_function_fields(self) -> list[Field]:
        """Where those names stand."""
        if self.kind == "bare_concrete_function":
            name = last(self._fields_inside(), 1)
            return [name] if name else []
        return _listed(self._fields_inside(), 1) if self.kind == "function" else []

    @property
    def argument_keywords(self) -> list[str]:
        """Of a bare concrete function: the names of its arguments."""
        return self._inside("bare_concrete_function", 2, [])

    @property
    def function_spec(self) -> FunctionSpec | None:
        """Of a function: the Python signature it had."""
        number = {"function": 2, "bare_concrete_function": 4}.get(self.kind or "")
        if number is None:
            return None
        spans = self._message[self._number].get(number)
        place = f"{self.place}.{self.kind}.function_spec"
        return FunctionSpec(self.graph.reader, spans, place) if spans else None

    @property
    def variable(self) -> Variable | None:
        """Of a variable: its name, dtype and shape."""
        return Variable(self._message[self._number]) if self.kind == "variable" else None

    @property
    def asset_index(self) -> int | None:
        """Of an asset: its position in asset_file_def."""
        return self._inside("asset", 1, 0) if self.kind == "asset" else None

    @property
    def operation(self) -> str:
        """Of a constant: the node of the main graph that holds its value."""
        return self._inside("constant", 1, "")

    @property
    def captured_tensor(self) -> tuple[str, str] | None:
        """Of a captured tensor: its name, and the concrete function it lies in."""
        if self.kind != "captured_tensor":
            return None
        return self._inside("captured_tensor", 1, ""), self._inside("captured_tensor", 2, "")

    # -- helpers --

    def _all(self, number: int) -> list[Field]:
        return _listed(self.fields, number)

    def _inside(self, kind: str, number: int, default: T) -> T:
        """The value of a field of its kind's message, or the default if it is of another."""
        if self.kind != kind:
            return default
        value: T = self._message[self._number].get(number, default)
        return value

    def _fields_inside(self) -> list[Field]:
        """The fields of its kind's message."""
        spans = [(f.at, f.end) for f in chosen(self.fields, tuple(KINDS))]
        return self.graph.reader.fields(spans, f"{self.place}.{self.kind}")


class NodeList:
    """The nodes of an object graph, a model's or a checkpoint's: where each of them lies.

    Attributes:
        reader, spans: Where the graph lies; several spans are one message, merged.
        place: ``meta_graphs[0].object_graph_def``, as errors name it.
    """

    __slots__ = ("_nodes", "place", "reader", "spans")

    def __init__(self, reader: Reader, spans: Spans, place: str) -> None:
        self.reader = reader
        self.spans = spans
        self.place = place
        self._nodes: memoryview | None = None

    @property
    def _index(self) -> memoryview:
        """Where each node lies: its field's start, payload and end, three numbers a node."""
        if self._nodes is None:
            n = self.reader.count(self.spans, 1, self.place)
            if n > MAX_OBJECTS:
                at = self.spans[0][0]
                limit = CoreError("LIMIT", at, MAX_OBJECTS, n)
                raise self.reader.error(limit, f"{self.place}.nodes")
            index = memoryview(bytearray(24 * n)).cast("Q")
            i = 0
            for f in self._each(1):
                index[i], index[i + 1], index[i + 2] = f.start, f.at, f.end
                i += 3
            self._nodes = index
        return self._nodes

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self._index) // 3

    def where(self, node_id: int) -> tuple[int, int, int]:
        """Of the node at this position: its field's start, its payload, its end.

        Raises IndexError where there is none.
        """
        if not 0 <= node_id < len(self):
            raise IndexError(f"no node {node_id} among {len(self)}")
        index, i = self._index, 3 * node_id
        return index[i], index[i + 1], index[i + 2]

    def field(self, node_id: int) -> Field:
        """The node at this position, as it stands in the graph."""
        start, _, end = self.where(node_id)
        (field,) = self.reader.fields([(start, end)], f"{self.place}.nodes[{node_id}]")
        return field

    def _each(self, number: int) -> Iterator[Field]:
        """The length-delimited fields with this number, a few thousand at a time."""
        for start, end in self.spans:
            while True:
                try:
                    chunk = _core.scan(
                        self.reader.source, [(start, end)], only=number, most=_CHUNK
                    )
                except CoreError as e:
                    raise self.reader.error(e, self.place) from None
                for f in chunk:
                    if f.wire == LEN:
                        yield f
                if len(chunk) < _CHUNK:
                    break
                start = chunk[-1].end


class ObjectGraph(NodeList):
    """A SavedObjectGraph."""

    __slots__ = ("_functions",)

    def __init__(self, reader: Reader, spans: Spans, place: str) -> None:
        super().__init__(reader, spans, place)
        self._functions: dict[str, ConcreteFunction] | None = None

    def __repr__(self) -> str:
        return f"<ObjectGraph: {len(self)} nodes>"

    # -- nodes --

    def __getitem__(self, node_id: int) -> ObjectNode:
        """The node at this position. Raises IndexError where there is none."""
        _, at, end = self.where(node_id)
        return ObjectNode(self, node_id, at, end)

    def __iter__(self) -> Iterator[ObjectNode]:
        for i in range(len(self)):
            yield self[i]

    def messages(self) -> Iterator[Message]:
        """What each node says, as `Reader.parse` gives it: for one pass over many."""
        index = iter(self._index)
        for i, (_, at, end) in enumerate(zip(index, index, index, strict=True)):
            yield self.message(i, at, end)

    def message(self, node_id: int, at: int, end: int) -> Message:
        """What the node at this position says, which is in these bytes.

        The Python signature of a function, which is large and seldom asked for, as spans.
        """
        place = f"{self.place}.nodes[{node_id}]"
        return self.reader.parse("SavedObject", [(at, end)], place, located="FunctionSpec")

    @property
    def root(self) -> ObjectNode:
        """The object that was saved. Raises FormatError where there is no node at all."""
        return self.follow(0, self.place)

    def follow(self, node_id: int, place: str, field: Field | None = None) -> ObjectNode:
        """The node that something in the file refers to.

        Args:
            node_id: Its number.
            place, field: What refers to it, for the error.

        Raises FormatError where there is no such node.
        """
        if not 0 <= node_id < len(self):
            raise FormatError(
                self.reader.path,
                f"refers to object {node_id}, of {count(len(self))}",
                offset=field.start if field else None,
                place=place,
            )
        return self[node_id]

    def child_at(self, node: ObjectNode, i: int, node_id: int) -> ObjectNode:
        """The node that child i of another refers to, by its number there.

        Raises FormatError where there is no such node.
        """
        if 0 <= node_id < len(self):
            return self[node_id]
        reference = node.children[i]  # which knows where its number stands
        return self.follow(node_id, f"{node.place}.children[{i}]", reference.id_field)

    def child(self, node: ObjectNode, name: str) -> ObjectNode | None:
        """The child of this name: of several the last, as loading leaves it."""
        found = [(i, n) for i, (local_name, n) in enumerate(node.child_ids) if local_name == name]
        return self.child_at(node, *found[-1]) if found else None

    def path(self, node_id: int) -> tuple[str, ...] | None:
        """The shortest way from the root to a node, by the names of children.

        The root's is empty; of equally short ways it is the first in file order. None for
        a node that no way leads to. References that lead nowhere are passed over.
        """
        # Ways share their beginnings: only the last step of each is kept.
        steps: dict[int, tuple[int, str]] = {}
        for found, owner, name in self.walk():
            steps[found] = (owner, name)
            if found == node_id:
                names = []
                while found:
                    found, name = steps[found]
                    names.append(name)
                return tuple(reversed(names))
        return None

    def walk(self) -> Iterator[tuple[int, int, str]]:
        """(node, its owner, its name there) of all that the root reaches, nearest first.

        Each node comes once, whatever cycles there are; the root as its own owner.
        References that lead nowhere are passed over.
        """
        n = len(self)
        if not n:
            return
        seen = bytearray(n)
        seen[0] = 1
        yield 0, 0, ""
        queue = [0]
        for owner in queue:  # grows while it is walked
            for name, to in self[owner].child_ids:
                if 0 <= to < n and not seen[to]:
                    seen[to] = 1
                    yield to, owner, name
                    queue.append(to)

    # -- functions --

    def entries(self) -> Iterator[Field]:
        """The entries of the map concrete_functions, those that a later one hides included."""
        return self._each(2)

    @property
    def concrete_functions(self) -> dict[str, ConcreteFunction]:
        """Name in the function library -> ConcreteFunction, in file order.

        Of equal names the last counts, and takes the place of the first.
        """
        if self._functions is None:
            place = f"{self.place}.concrete_functions"
            found: dict[str, ConcreteFunction] = {}
            for f in self.entries():
                entry = self.reader.parse(
                    "SavedObjectGraph.ConcreteFunctionsEntry", [(f.at, f.end)], place,
                    located="SavedConcreteFunction",
                )  # fmt: skip
                name = entry.get(1, "")
                here = f'{place}["{printable(name)}"]'
                found[name] = ConcreteFunction(self.reader, name, f, entry.get(2, []), here)
            self._functions = found
        return self._functions


def int32(field: Field | None) -> int:
    """The number in a varint field of an int32; 0 where it is left out."""
    if field is None:
        return 0
    low = field.value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _listed(fields: Iterable[Field], number: int) -> list[Field]:
    return [f for f in fields if f.number == number and f.wire == LEN]
