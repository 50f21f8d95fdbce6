"""Writing both object graphs with exactly the objects that stay, under new numbers.

Objects keep their order, and all that is not a reference its bytes: fields that fastsm does not
know are copied. Numbers are put in place of the old ones.
Source: tensorflow/core/protobuf/saved_object_graph.proto, trackable_object_graph.proto (2.21).
"""

from __future__ import annotations

from ..._core import delimited, number
from ...errors import FormatError
from ...graph.objects import Reference, SaveableObject, SlotVariable
from ...plan import enclosing
from ...source import LEN, VARINT, from_bytes
from ...text import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..._core import Field
    from ...graph.kept import Kept
    from ...plan import Rewrite
    from ...source import Reader, Source
    from ...views import MetaGraph

# Field numbers: of a graph, of a node, of a reference; the same in both protos.
_NODES, _CHILDREN, _SLOTS = 1, 1, 3
_NODE_ID, _LOCAL_NAME = 1, 2
_SLOT_OF, _SLOT_VARIABLE = 1, 3

# Those that only the saved graph has, and only the checkpoint's.
_OBJECT_GRAPH, _CONCRETE_FUNCTIONS, _BOUND_INPUTS = 7, 2, 2
_ASSET, _FUNCTION, _SAVEABLE, _DEPENDENCIES = 5, 6, 11, 15
_ATTRIBUTES, _REGISTERED_SAVER = 2, 4

#: What an element of a list of numbers begins with that is not packed.
_UNPACKED = number(_BOUND_INPUTS, 1)[:1]


def write(rewrite: Rewrite, graph: MetaGraph, kept: Kept, asset_ids: Mapping[int, int]) -> None:
    """Write the saved graph of a meta graph.

    Args:
        rewrite: Of the source that the meta graph lies in.
        kept: What stays of it.
        asset_ids: Old position -> new position, in asset_file_def.

    Raises:
        FormatError: An object that stays names an asset that is not among these; or the graph
            is damaged in a part that was not looked at before.
    """
    nodes = _Saved(graph.reader, kept, asset_ids)
    for f in graph.fields:
        if f.number == _OBJECT_GRAPH and f.wire == LEN:
            data = nodes.graph(f.at, f.end)
            rewrite.replace(f.at, f.end, data, enclosing(graph.field, f))


def tracked_source(tracked: Reader, kept: Kept) -> Source:
    """The checkpoint's own graph with exactly the objects that stay.

    Args:
        tracked: The graph as it is: the one that `kept` was given.
    """
    return from_bytes(_Checkpoint(tracked, kept).graph(0, tracked.source.size))


class _Nodes:
    """An object graph, written part by part in the order of the file."""

    def __init__(self, reader: Reader, kept: Kept, place: str, ids: Mapping[int, int]) -> None:
        self._reader = reader
        self._kept = kept
        self._place = place
        self._ids = ids
        self._n = 0  # nodes so far
        self._data, self._base = b"", 0  # the bytes at hand, and where they begin

    def graph(self, start: int, end: int) -> bytes:
        """The new bytes of one part of the graph."""
        out = []
        for f in self._reader.fields([(start, end)], self._place):
            self._data, self._base = self._reader.source.read(f.start, f.end - f.start), f.start
            if f.number == _NODES and f.wire == LEN:
                if self._n in self._ids:
                    out.append(self._node(f, self._n))
                self._n += 1
            else:
                out.append(self._other(f))
        return b"".join(out)

    def _node(self, field: Field, i: int) -> bytes:
        raise NotImplementedError

    def _other(self, field: Field) -> bytes:
        return self._raw(field)

    # -- pieces --

    def _raw(self, field: Field) -> bytes:
        return self._data[field.start - self._base : field.end - self._base]

    def _inside(self, field: Field) -> list[Field]:
        return self._reader.fields([(field.at, field.end)], self._place)

    def _changed(self, field: Field, new: Mapping[tuple[int, int], bytes | None]) -> bytes:
        """A message's field with some of its fields replaced, by number and wire type: None
        leaves one as it is. Of several the last counts, and only that one stays.

        What is left out of a reference is 0, the root, and stays 0: nothing is ever put in.
        """
        if not any(value is not None for value in new.values()):
            return self._raw(field)
        fields = self._inside(field)
        counts = {(f.number, f.wire): f.start for f in fields}
        out = []
        for f in fields:
            value = new.get((f.number, f.wire))
            if value is None:
                out.append(self._raw(f))
            elif counts[f.number, f.wire] == f.start:
                out.append(value)
        return delimited(field.number, b"".join(out))

    def _to(self, field: int, old: int) -> bytes | None:
        """A reference's number in the new graph; None where it stays the same."""
        new = self._ids[old]
        return None if new == old else number(field, new)

    def _children(
        self, fields: Iterable[Field], known: Sequence[tuple[str, int]], names: Mapping[str, str]
    ) -> dict[int, bytes]:
        """Where a child stands that stays -> what becomes of it.

        Args:
            known: The names and numbers of the children, if none is left out.
            names: What those that stay are called then.
        """
        here = [f for f in fields if f.number == _CHILDREN and f.wire == LEN]
        if len(here) != len(known):  # equal names are known once
            read = [Reference(self._reader, f, self._place) for f in here]
            known = [(reference.local_name, reference.node_id) for reference in read]
        last = {name: (f, to) for f, (name, to) in zip(here, known, strict=True)}
        return {
            last[name][0].start: self._reference(*last[name], name, new)
            for name, new in names.items()
        }

    def _reference(self, field: Field, to: int, name: str, new: str) -> bytes:
        """A child or a dependency that stays.

        Args:
            to, name: Its number and its name, as they were.
            new: Its name.
        """
        if self._ids[to] == to and name == new:
            return self._raw(field)
        plain = number(_NODE_ID, to) + delimited(_LOCAL_NAME, name.encode())
        named = delimited(_LOCAL_NAME, new.encode())
        low, high = field.at - self._base, field.end - self._base
        if self._data[low:high] == plain:  # as every writer writes it
            return delimited(field.number, number(_NODE_ID, self._ids[to]) + named)
        return self._changed(
            field, {(_NODE_ID, VARINT): self._to(_NODE_ID, to),
                    (_LOCAL_NAME, LEN): None if name == new else named},
        )  # fmt: skip

    def _slot(self, field: Field, owner: int, saved: Callable[[int], int]) -> bytes:
        """A slot variable; b"" for one that does not stay.

        Args:
            owner: The optimizer, in the saved graph.
            saved: The number that a node has there.
        """
        slot = SlotVariable(self._reader, field, self._place)
        of, variable = slot.original_id, slot.variable_id
        there = of in self._ids and variable in self._ids
        if not there or not self._kept.keeps_slot(owner, saved(of), saved(variable)):
            return b""
        return self._changed(
            field, {(_SLOT_OF, VARINT): self._to(_SLOT_OF, of),
                    (_SLOT_VARIABLE, VARINT): self._to(_SLOT_VARIABLE, variable)},
        )  # fmt: skip


class _Checkpoint(_Nodes):
    """A TrackableObjectGraph."""

    def __init__(self, reader: Reader, kept: Kept) -> None:
        super().__init__(reader, kept, "", kept.tracked_ids)

    def _node(self, field: Field, i: int) -> bytes:
        assert self._kept.tracked is not None
        objects = self._kept.tracked.object
        saved, whole = objects[i], self._kept.is_whole(objects[i])
        if whole and not self._kept.objects.refers(saved):
            return self._raw(field)  # as nearly all are
        fields = self._inside(field)
        known = self._kept.tracked.named(i)
        children = self._children(fields, known, self._kept.tracked_children(i))
        out = []
        for f in fields:
            if f.wire != LEN:
                out.append(self._raw(f))
            elif f.number == _CHILDREN:
                out.append(children.get(f.start, b""))
            elif f.number == _SLOTS:
                out.append(self._slot(f, saved, objects.__getitem__))
            elif whole or f.number not in (_ATTRIBUTES, _REGISTERED_SAVER):
                out.append(self._raw(f))
        return delimited(_NODES, b"".join(out))


class _Saved(_Nodes):
    """A SavedObjectGraph."""

    def __init__(self, reader: Reader, kept: Kept, asset_ids: Mapping[int, int]) -> None:
        graph = kept.objects.graph
        super().__init__(reader, kept, graph.place, kept.ids)
        self._asset_ids = asset_ids
        self._entries = {
            graph.concrete_functions[name].field.start: name
            for name in kept.functions if name in graph.concrete_functions
        }  # fmt: skip

    def _node(self, field: Field, i: int) -> bytes:
        kept, objects = self._kept, self._kept.objects
        whole = kept.is_whole(i)
        if whole and not objects.refers(i) and i not in objects.assets:
            return self._raw(field)  # as nearly all are
        names = kept.children(i)
        fields = self._inside(field)
        children = self._children(fields, objects.children[i], names)
        out = []
        for f in fields:
            if f.wire != LEN:
                out.append(self._raw(f))
            elif f.number == _CHILDREN:
                out.append(children.get(f.start, b""))
            elif f.number == _DEPENDENCIES:
                reference = Reference(self._reader, f, self._place)
                to, name = reference.node_id, reference.local_name
                if to in self._ids:  # a function depends on its children, by their names
                    out.append(self._reference(f, to, name, names.get(name, name)))
            elif f.number == _SLOTS:
                out.append(self._slot(f, i, lambda node: node))
            elif f.number == _SAVEABLE:
                if whole:
                    out.append(self._saveable(f))
            elif f.number == _FUNCTION and i in objects.polymorphic:
                out.append(self._function(f))
            elif f.number == _ASSET and i in objects.assets:
                out.append(self._asset(f, objects.assets[i]))
            else:
                out.append(self._raw(f))
        return delimited(_NODES, b"".join(out))

    def _saveable(self, field: Field) -> bytes:
        saveable = SaveableObject(self._reader, field, self._place)
        if saveable.save_id not in self._ids or saveable.restore_id not in self._ids:
            return b""  # one that a later one of its name hides
        new = {
            (2, VARINT): self._to(2, saveable.save_id),
            (3, VARINT): self._to(3, saveable.restore_id),
        }
        out = [
            self._changed(f, new) if f.number == 2 and f.wire == LEN else self._raw(f)
            for f in self._inside(field)
        ]
        return delimited(field.number, b"".join(out))

    def _function(self, field: Field) -> bytes:
        """A function, without the traces that do not stay."""
        out = []
        for f in self._inside(field):
            is_name = f.number == 1 and f.wire == LEN
            if not is_name or self._kept.is_said(self._reader.text(f, self._place)):
                out.append(self._raw(f))
        return delimited(field.number, b"".join(out))

    def _asset(self, field: Field, old: int) -> bytes:
        new = self._asset_ids.get(old)
        if new is None:
            raise FormatError(
                self._reader.path, f"names asset {count(old)}, which is not there",
                offset=field.start, place=self._place,
            )  # fmt: skip
        return self._changed(field, {(1, VARINT): None if new == old else number(1, new)})

    def _other(self, field: Field) -> bytes:
        if field.number != _CONCRETE_FUNCTIONS or field.wire != LEN:
            return self._raw(field)
        if field.start not in self._entries:
            return b""
        out = []
        for f in self._inside(field):
            if f.number == 2 and f.wire == LEN:
                inside = b"".join(map(self._bound, self._inside(f)))
                out.append(delimited(2, inside))
            else:
                out.append(self._raw(f))
        return delimited(field.number, b"".join(out))

    def _bound(self, field: Field) -> bytes:
        """A field of a SavedConcreteFunction, the numbers of what it captures anew."""
        if field.number != _BOUND_INPUTS or field.wire not in (VARINT, LEN):
            return self._raw(field)
        span = [(field.start, field.end)]
        message = self._reader.parse("SavedConcreteFunction", span, self._place, only=_BOUND_INPUTS)
        ids = message.get(_BOUND_INPUTS, [])
        new = [self._ids[i] for i in ids]
        if new == ids:
            return self._raw(field)
        # A packed list has no field numbers, and an element that is 0 is there.
        numbers = [number(1, i)[1:] or b"\0" for i in new]
        if field.wire == LEN:
            return delimited(_BOUND_INPUTS, b"".join(numbers))
        return _UNPACKED + numbers[0]
