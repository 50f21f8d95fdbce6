"""Edits of an object graph: names of children, references, nodes that come and go.

A TF2 model has two such graphs: the saved one in saved_model.pb, and the checkpoint's own,
which the C++ loader of TF2 models holds against it name by name. Both are lists of nodes
that refer to each other by position, so a node that goes leaves a tombstone; only at the
end of the list tombstones are cut off.
Source: tensorflow/core/protobuf/saved_object_graph.proto and
trackable_object_graph.proto; tensorflow/cc/saved_model/bundle_v2.cc (2.21).
"""
from __future__ import annotations

from .._core import delimited, number
from ..errors import FormatError, RefusedError
from ..plan import Rewrite, enclosing
from ..source import LEN, Reader, from_bytes, last
from ..text import count, printable
from .objects import NodeList, ObjectGraph, Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..plan import Field as Around
    from ..source import Message, Source
    from ..views import MetaGraph

    #: As `Rewrite.replace` takes it: (start, end, new bytes, the fields around them).
    Splice = tuple[int, int, bytes, Sequence[Around]]

# Field numbers: of the graph, of a node, of a reference; the same in both protos.
_NODES, _CHILDREN, _SLOTS = 1, 1, 3
_NODE_ID, _LOCAL_NAME = 1, 2

# Those that only the saved graph has.
_CONCRETE_FUNCTIONS = 2
_FUNCTION, _BARE, _SAVEABLE, _CAPTURED, _DEPENDENCIES = 6, 8, 11, 12, 15

#: The field of MetaGraphDef that holds the saved graph.
_OBJECT_GRAPH = 7


class Child:
    """A child of a node, as the edits so far leave it.

    Attributes:
        name: Its name there.
        node_id: The position of the node; may lie outside the graph.
    """

    __slots__ = ("gone", "name", "node_id", "reference")

    def __init__(self, name: str, node_id: int, reference: Reference | None = None) -> None:
        self.name = name
        self.node_id = node_id
        self.reference = reference  # None: it is new
        self.gone = False

    def __repr__(self) -> str:
        return f"Child({self.name!r}, {self.node_id})"


class ObjectEdits:
    """Edits of an object graph: seen here at once, and worked into a `Rewrite` by `into`.

    What would leave two children of one name in a node, or finds two, is refused: loading
    keeps the last of them, and says nothing.

    Args:
        nodes: The graph.
        within: The length-delimited fields around each of its spans, outermost first.
    """

    #: A node's type, and what remains of one that is no more.
    message = ""
    tombstone = b""

    def __init__(self, nodes: NodeList, within: Sequence[Sequence[Around]]) -> None:
        self.nodes = nodes
        self._around = within
        self._children: dict[int, list[Child]] = {}  # of the nodes that were looked at
        self._splices: dict[int, list[Splice]] = {}
        self._appended: list[bytes] = []
        self._buried: set[int] = set()
        self._counts: list[int] | None = None

    def __len__(self) -> int:
        """The number of nodes, the appended ones included."""
        return len(self.nodes) + len(self._appended)

    # -- what is there --

    def children(self, node_id: int) -> list[Child]:
        """The children of a node, in their order. Raises FormatError where it is damaged."""
        return [child for child in self._entries(node_id) if not child.gone]

    def child(self, node_id: int, name: str) -> Child | None:
        """The child of this name, or None.

        Raises RefusedError where there are several, and FormatError where it is no node.
        """
        found = [child for child in self.children(node_id) if child.name == name]
        if not found:
            return None
        place = f"{self._place(node_id)}.children"
        if len(found) > 1:
            raise RefusedError(
                self.nodes.reader.path,
                f"{count(len(found))} children are called {printable(name)!r}: loading keeps "
                "the last, and nobody can tell which was meant",
                place=place,
            )
        if not 0 <= found[0].node_id < len(self):
            problem = f"refers to object {found[0].node_id}, of {count(len(self))}"
            raise FormatError(self.nodes.reader.path, problem, place=place)
        return found[0]

    def known(self, node_id: int, name: str) -> Child:
        """The child of this name. Raises KeyError where there is none; and as `child`."""
        child = self.child(node_id, name)
        if child is None:
            raise KeyError(name)
        return child

    def find(self, *path: str) -> int | None:
        """The node to which these names of children lead from the root; None for none.

        Raises as `child`.
        """
        node_id = 0
        if not len(self):
            return None
        for name in path:
            found = self.child(node_id, name)
            if found is None:
                return None
            node_id = found.node_id
        return node_id

    def within(self, node_id: int) -> list[Around]:
        """The length-delimited fields around what lies in a node, as `Rewrite.replace`
        takes them."""
        field = self.nodes.field(node_id)
        return [*self.around(field.start), *enclosing(field)]

    def around(self, offset: int) -> Sequence[Around]:
        """Those around what lies in the graph itself at an offset: a node, an entry."""
        for (start, end), around in zip(self.nodes.spans, self._around, strict=True):
            if start <= offset <= end:
                return around
        raise IndexError(f"offset {offset} lies outside the object graph")

    def references(self, node_id: int) -> int:
        """How often other nodes refer to one."""
        return self._counted()[node_id]

    def payload(self, node_id: int) -> bytes:
        """A node, as it was before the edits of it."""
        if node_id >= len(self.nodes):
            return self._appended[node_id - len(self.nodes)]
        _, at, end = self.nodes.where(node_id)
        return self.nodes.reader.source.read(at, end - at)

    # -- edits --

    def rename_child(self, node_id: int, old: str, new: str) -> None:
        """Give a child another name; it keeps its place among the others.

        Raises KeyError where there is none, RefusedError where another child has the new
        name; and as `child`.
        """
        child = self.known(node_id, old)
        if new != old:
            self._check_free(node_id, new)
            child.name = new

    def add_child(self, node_id: int, name: str, to: int) -> None:
        """Let a node refer to another one by a name.

        It goes before the first child whose name sorts behind it: TensorFlow writes the
        signatures of a model sorted.

        Raises RefusedError where a child has that name.
        """
        self._check_free(node_id, name)
        entries, key = self._entries(node_id), name.encode()
        place = next((i for i, c in enumerate(entries) if c.name.encode() > key), len(entries))
        entries.insert(place, Child(name, to))
        self._count(to, 1)

    def remove_child(self, node_id: int, name: str) -> int:
        """Take a reference away; the node that it led to stays. Returns which that was.

        Raises KeyError where there is none; and as `child`.
        """
        child = self.known(node_id, name)
        if child.reference is None:
            self._entries(node_id).remove(child)
        child.gone = True
        self._count(child.node_id, -1)
        return child.node_id

    def point_child(self, node_id: int, name: str, to: int) -> None:
        """Let a child be another node; its name and its place stay.

        Raises KeyError where there is none; and as `child`.
        """
        child = self.known(node_id, name)
        self._count(child.node_id, -1)
        child.node_id = to
        self._count(to, 1)

    def append(self, node: bytes) -> int:
        """Put a node behind all others; returns its position.

        Raises RefusedError where something refers to a node that is not there: it would
        come to mean this one.
        """
        n = len(self)
        lost = next((to for to in self._all_targets() if to >= n), None)
        if lost is not None:
            raise RefusedError(
                self.nodes.reader.path,
                f"something refers to object {lost}, of {count(n)}: with one more it could "
                "come to mean that",
                place=self.nodes.place,
            )
        self._appended.append(node)
        self._counts = None
        return n

    def replace(
        self, node_id: int, start: int, end: int, data: bytes, within: Sequence[Around] = ()
    ) -> None:
        """Replace bytes of a node, but not of its children: as `Rewrite.replace`.

        Args:
            within: The length-delimited fields around them inside the node.
        """
        self._splices.setdefault(node_id, []).append((start, end, data, within))

    def bury(self, node_ids: Iterable[int]) -> list[int]:
        """Turn those of the nodes into tombstones to which nothing refers; returns which.

        What only a buried node referred to stays as it is.
        """
        counts = self._counted()
        found = []
        for i in sorted(set(node_ids)):
            if i < len(self.nodes) and not counts[i] and i not in self._buried:
                message = self._message(i)
                for to in self._targets(i, message):
                    self._count(to, -1)
                self._buried.add(i)
                self._bury_functions(message)
                found.append(i)
        return found

    def into(self, rewrite: Rewrite) -> bool:
        """Work the edits into a rewrite of the graph's source; returns whether there are any.

        Where a node was buried, all tombstones at the end are cut off.
        """
        n = kept = len(self.nodes)
        if self._buried and not self._appended:
            counts = self._counted()
            while not counts[kept - 1] and (kept - 1 in self._buried or self._is_dead(kept - 1)):
                kept -= 1
        changed = False
        for i in sorted({*self._buried, *self._children, *self._splices, *range(kept, n)}):
            for start, end, data, within in self._of_node(i, i >= kept):
                rewrite.replace(start, end, data, within)
                changed = True
        if self._appended:
            at = self.nodes.where(n - 1)[2] if n else self.nodes.spans[-1][1]
            new = b"".join(delimited(_NODES, node) for node in self._appended)
            rewrite.replace(at, at, new, self.around(at))
            changed = True
        return changed

    # -- splices --

    def _of_node(self, i: int, cut: bool) -> Iterator[Splice]:
        field = self.nodes.field(i)
        around = self.around(field.start)
        within = [*around, *enclosing(field)]
        if cut:
            yield field.start, field.end, b"", around
        elif i not in self._buried:
            yield from self._of_children(i, field.at, within)
            for start, end, data, inside in self._splices.get(i, ()):
                yield start, end, data, [*within, *inside]
        elif not self._is_dead(i):
            yield field.at, field.end, self.tombstone, within

    def _of_children(self, i: int, at: int, within: Sequence[Around]) -> Iterator[Splice]:
        for child in self._children.get(i, ()):
            if child.reference is None:  # it goes behind the one before it
                yield at, at, delimited(_CHILDREN, _reference(child)), within
                continue
            field = child.reference.field
            at = field.end
            if child.gone:
                yield field.start, field.end, b"", within
                continue
            around = [*within, *enclosing(field)]
            if child.node_id != child.reference.node_id:
                found = child.reference.id_field
                start, end = (found.start, found.end) if found else (field.at, field.at)
                yield start, end, number(_NODE_ID, child.node_id), around
            if child.name != child.reference.local_name:
                inner = self.nodes.reader.fields([(field.at, field.end)], self._place(i))
                name = last(inner, _LOCAL_NAME)
                start, end = (name.start, name.end) if name else (field.end, field.end)
                yield start, end, _name(child.name), around

    # -- helpers --

    def _place(self, node_id: int) -> str:
        return f"{self.nodes.place}.nodes[{node_id}]"

    def _entries(self, node_id: int) -> list[Child]:
        if node_id not in self._children:
            _, at, end = self.nodes.where(node_id)
            place = f"{self._place(node_id)}.children"
            reader = self.nodes.reader
            references = [
                Reference(reader, f, place)
                for f in reader.fields([(at, end)], place)
                if f.number == _CHILDREN and f.wire == LEN
            ]
            self._children[node_id] = [Child(r.local_name, r.node_id, r) for r in references]
        return self._children[node_id]

    def _check_free(self, node_id: int, name: str) -> None:
        if any(child.name == name for child in self.children(node_id)):
            raise RefusedError(
                self.nodes.reader.path,
                f"a child is called {printable(name)!r} already",
                place=f"{self._place(node_id)}.children",
            )

    def _is_dead(self, node_id: int) -> bool:
        """Whether a node was a tombstone before."""
        _, at, end = self.nodes.where(node_id)
        return end - at < 64 and self._is_tombstone(self.nodes.reader.source.read(at, end - at))

    def _is_tombstone(self, payload: bytes) -> bool:
        return payload == self.tombstone

    # -- who refers to whom --

    def _message(self, node_id: int) -> Message:
        if node_id < len(self.nodes):
            reader = self.nodes.reader
            _, at, end = self.nodes.where(node_id)
        else:
            node = self._appended[node_id - len(self.nodes)]
            reader = Reader(from_bytes(node), self.nodes.reader.path)
            at, end = 0, len(node)
        place = self._place(node_id)
        return reader.parse(self.message, [(at, end)], place, located="FunctionSpec")

    def _targets(self, node_id: int, message: Message) -> Iterator[int]:
        """What a node refers to, as the edits so far leave it."""
        if node_id in self._children:
            yield from (child.node_id for child in self.children(node_id))
        else:
            yield from (child.get(_NODE_ID, 0) for child in message.get(_CHILDREN, ()))
        for slot in message.get(_SLOTS, ()):
            yield slot.get(1, 0)
            yield slot.get(3, 0)

    def _all_targets(self) -> Iterator[int]:
        for i in range(len(self)):
            if i not in self._buried:
                yield from self._targets(i, self._message(i))

    def _counted(self) -> list[int]:
        """How often each node is referred to; the root always."""
        if self._counts is None:
            self._counts = [0] * len(self)
            self._count(0, 1)
            for to in self._all_targets():
                self._count(to, 1)
        return self._counts

    def _count(self, node_id: int, n: int) -> None:
        if self._counts is not None and 0 <= node_id < len(self._counts):
            self._counts[node_id] += n

    def _bury_functions(self, message: Message) -> None:
        """What goes with a buried node beside the list of nodes."""


class CheckpointObjectEdits(ObjectEdits):
    """Edits of the object graph that a checkpoint has of its own.

    Args:
        reader: The message.
        place: Its key, as errors name it.
    """

    message = "TrackableObjectGraph.TrackableObject"

    def __init__(self, reader: Reader, place: str) -> None:
        super().__init__(NodeList(reader, [(0, reader.source.size)], place), [()])

    def source(self) -> Source:
        """The message with the edits in it."""
        rewrite = Rewrite(self.nodes.reader.source)
        self.into(rewrite)
        return rewrite.source()

    def _is_tombstone(self, payload: bytes) -> bool:
        # has_checkpoint_values, which says no: newer writers give it to every node.
        return payload in (b"", b"\x2a\x00", b"\x2a\x02\x08\x00")


class SavedObjectEdits(ObjectEdits):
    """Edits of the saved object graph of a meta graph, which must have one.

    Attributes:
        functions_gone: The names whose concrete functions went with the last node that
            named them; the functions of the library stay, which graphs call too.
    """

    message = "SavedObject"

    #: Revives as an object without any attribute.
    #: Source: tensorflow/python/saved_model/load.py Loader._recreate_base_user_object.
    tombstone = delimited(
        4, delimited(1, b"_generic_user_object") + delimited(2, number(1, 1) + number(2, 1))
    )

    def __init__(self, graph: MetaGraph) -> None:
        fields = [f for f in graph.fields if f.number == _OBJECT_GRAPH and f.wire == LEN]
        self.graph = ObjectGraph(
            graph.reader, [(f.at, f.end) for f in fields], f"{graph.place}.object_graph_def"
        )
        within = [enclosing(graph.field, f) for f in fields]
        super().__init__(self.graph, within)
        self.functions_gone: set[str] = set()
        self._users: dict[str, int] | None = None

    def into(self, rewrite: Rewrite) -> bool:
        """Work the edits into a rewrite of saved_model.pb; returns whether there are any."""
        changed = super().into(rewrite)
        if self.functions_gone:
            reader, place = self.graph.reader, f"{self.graph.place}.concrete_functions"
            for f in self.graph.entries():
                key = last(reader.fields([(f.at, f.end)], place), 1)
                if (reader.text(key, place) if key else "") in self.functions_gone:
                    rewrite.replace(f.start, f.end, b"", self.around(f.start))
        return changed

    def _targets(self, node_id: int, message: Message) -> Iterator[int]:
        yield from super()._targets(node_id, message)
        yield from (d.get(_NODE_ID, 0) for d in message.get(_DEPENDENCIES, ()))
        for saveable in message.get(_SAVEABLE, {}).values():
            yield saveable.get(2, 0)
            yield saveable.get(3, 0)

    def _all_targets(self) -> Iterator[int]:
        yield from super()._all_targets()
        for name, function in self.graph.concrete_functions.items():
            if name not in self.functions_gone:
                yield from function.bound_inputs

    def _bury_functions(self, message: Message) -> None:
        if self._users is None:
            self._users = {}
            for i in range(len(self)):
                for name in _functions_of(self._message(i)):
                    self._users[name] = self._users.get(name, 0) + 1
        for name in _functions_of(message):
            self._users[name] -= 1
            if not self._users[name] and name in self.graph.concrete_functions:
                for to in self.graph.concrete_functions[name].bound_inputs:
                    self._count(to, -1)
                self.functions_gone.add(name)


def _functions_of(message: Message) -> list[str]:
    """The concrete functions that a node names. Only the last of a oneof's members counts,
    and the others are counted too: a function too many stays rather than one too few."""
    names: list[str] = list(message.get(_FUNCTION, {}).get(1, ()))
    names.append(message.get(_BARE, {}).get(1, ""))
    names.append(message.get(_CAPTURED, {}).get(2, ""))
    return [name for name in names if name]


def _reference(child: Child) -> bytes:
    return (number(_NODE_ID, child.node_id) if child.node_id else b"") + _name(child.name)


def _name(name: str) -> bytes:
    # An empty string is left out, as every writer leaves it out.
    return delimited(_LOCAL_NAME, name.encode()) if name else b""
