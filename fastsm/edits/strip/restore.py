"""The code that restores variables, and that saves them, rewritten to what stays.

A RestoreV2 and a SaveV2 list fewer tensors, what takes their outputs gets new numbers; a
function that restores or saves loses nodes and arguments, its call the inputs for these. In a
main graph the nodes that go are cut elsewhere: here only nodes that stay are edited.
Source: tensorflow/core/framework/node_def.proto, function.proto, tensor.proto;
tensorflow/core/ops/io_ops.cc (2.21).
"""

from __future__ import annotations

from ..._core import delimited
from ...errors import RefusedError
from ...graph.function_edits import (
    Library,
    attributes,
    elements,
    keep_elements,
    renumber_field,
    varint,
)
from ...graph.listings import N_BEFORE, RESTORE, data_inputs
from ...graph.nested import alone
from ...plan import Rewrite
from ...source import VARINT, from_bytes
from ...text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...graph.called import Called, Cuts
    from ...graph.edges import Edges, Input
    from ...graph.nested import Nested, Pair
    from ...graph.reach import Reach
    from ...graph.restoring import Restoring
    from ...graph.saving import Saving

# NodeDef; GraphDef; FunctionDef, and OpDef, which its signature is.
_NAME, _INPUT = 1, 3
_NODE = 1
_SIGNATURE, _BODY, _RET, _CONTROL_RET = 1, 3, 4, 6
_CONTROL_OUTPUT = 20

# AttrValue: its members, a list, an int; of a list its types and shapes.
_KINDS = range(1, 11)
_LIST, _INT = 1, 3
_TYPES, _SHAPES = 6, 7

# TensorProto; TensorShapeProto, and its dimensions.
_CONTENT, _TENSOR_SHAPE, _STRINGS = 4, 2, 8
_DIM, _SIZE = 2, 1


def write_restore(rewrite: Rewrite, restoring: Restoring, reach: Reach) -> list[bytes]:
    """Let a saver restore what is live, and nothing else.

    Returns:
        The keys that it still restores.

    Raises:
        RefusedError: It does not tell by constants which tensors it reads.
    """
    cuts = restoring.cuts(reach)
    _Writer(rewrite, restoring.edges, reach, restoring.called, cuts).write()
    return cuts.keys


def write_save(rewrite: Rewrite, saving: Saving, reach: Reach, tracked: bytes | None) -> None:
    """Let a saver save what is live, after `Saving.settle` has kept that.

    Args:
        tracked: The checkpoint's own object graph as it is by now; None: as it was.

    Raises:
        RefusedError: The object graph cannot be replaced.
    """
    writer = _Writer(rewrite, saving.edges, reach, saving.called, saving.cuts)
    writer.write()
    if tracked is not None and saving.tracked is not None:
        writer.put_string(saving.tracked, tracked)


class _Writer:
    """What goes of nodes, handed to a rewrite.

    Args:
        called: The function that is edited; None: nodes of the main graph are.
    """

    def __init__(
        self, rewrite: Rewrite, edges: Edges, reach: Reach, called: Called | None, cuts: Cuts
    ) -> None:
        self._rewrite = rewrite
        self._edges = edges
        self._live = reach.live.nodes
        self._library = Library(edges.nodes.graph)
        self._called = called
        self._cuts = cuts
        # Of each op that loses tensors: how many it lists.
        self._before = {row: len(self._edges.node(row).dtypes("dtypes")) for row in cuts.slots}
        # What becomes of constants: of these themselves; of copies, by who takes them as which
        # input, their names.
        self._changed: dict[int, int] = {}  # row -> an op that it follows
        self._copies: dict[tuple[int, int], bytes] = {}

    def write(self) -> None:
        """Edit all nodes that are to be edited."""
        if self._called is None:
            self._write_main()
        elif self._cuts.rows is not None:
            self._write_function(self._called, self._cuts.rows)

    def _write_main(self) -> None:
        edges, cuts = self._edges, self._cuts
        edited = {*cuts.slots, *cuts.inputs}
        for row in cuts.slots:
            if edges.op(row) == RESTORE:
                edited.update(self._live_takers(row))
        copied = self._share_constants()
        for row in sorted({*edited, *self._changed, *copied}):
            node = self._library.node(row)
            self._edit(row, node)
            self._add_copies(node, _NODE, copied.get(row, ()))

    def _write_function(self, called: Called, rows: set[int]) -> None:
        rewrite = self._rewrite
        function = self._library.function(called.name)
        copied = self._share_constants()
        owned = self._edges.rows(called.owner)
        for row, (f, around) in zip(owned, function.holding(_BODY), strict=True):
            if row in rows:
                node = function.of([(f, around)], "node_def")
                self._edit(row, node)
                self._add_copies(node, _BODY, copied.get(row, ()))
            else:
                rewrite.replace(f.start, f.end, b"", around)
        for _, entry in function.entries(_RET, "ret"):
            found = entry.last(2)
            for row in self._cuts.slots:
                if found:
                    self._renumber(entry, found, row)
        gone = set()
        for f, around in function.holding(_CONTROL_RET):
            entry = function.of([(f, around)], "control_ret")
            key, name = entry.text(1), entry.text(2).encode()
            if called.controls[key] not in rows:
                gone.add(key)
            elif self._edges.row(name, called.owner) in rows:
                continue
            rewrite.replace(f.start, f.end, b"", around)
        signature = function.inside(_SIGNATURE, "signature")
        for f, around in signature.holding(_CONTROL_OUTPUT):
            if signature.reader.text(f, signature.place) in gone:
                rewrite.replace(f.start, f.end, b"", around)
        self._library.keep_inputs(rewrite, called.name, called.call, self._cuts.arguments)

    # -- nodes --

    def _edit(self, row: int, node: Nested) -> None:
        self._edit_inputs(row, node)
        cuts, op = self._cuts, self._edges.op(row)
        kept = cuts.slots.get(row)
        if kept is not None:
            self._keep_listed(node, "dtypes", _TYPES, kept, self._before[row])
            if op == RESTORE:
                self._keep_listed(node, "_output_shapes", _SHAPES, kept, self._before[row])
        if row in self._changed:
            self._edit_constant(self._rewrite, node, self._changed[row])
        lost = cuts.inputs.get(row)
        if lost and op == b"Pack":
            n = len(data_inputs(self._edges, row))
            _put_int(self._rewrite, attributes(node).get("N"), n - len(lost))
            _put_size(self._rewrite, node, n, n - len(lost))

    def _edit_inputs(self, row: int, node: Nested) -> None:
        """Let a node take what is left to take, where it is by now."""
        rewrite, lost = self._rewrite, self._cuts.inputs.get(row, ())
        i = 0
        pairs = node.holding(_INPUT)
        for pair, taken in zip(pairs, self._edges.inputs(row), strict=True):
            f, around = pair
            if taken.control:
                if self._is_gone(taken):
                    rewrite.replace(f.start, f.end, b"", around)
                continue
            copy = self._copies.get((row, i))
            if i in lost:
                rewrite.replace(f.start, f.end, b"", around)
            elif copy is not None:
                rewrite.replace(f.start, f.end, delimited(_INPUT, copy), around)
            elif taken.row in self._cuts.slots:
                self._renumber(node, pair, taken.row)
            i += 1

    def _is_gone(self, taken: Input) -> bool:
        """Whether what a node waits for is cut here."""
        if self._called is None or self._cuts.rows is None:
            return taken.row in self._cuts.apart
        if taken.row < 0:
            return taken.arg >= 0 and taken.arg not in self._cuts.arguments
        return taken.row not in self._cuts.rows

    def _renumber(self, message: Nested, pair: Pair, row: int) -> None:
        """Follow the outputs of an op that reads fewer tensors."""
        moved = {old: new for new, old in enumerate(self._cuts.slots[row]) if old != new}
        renumber_field(self._rewrite, message, pair, [self._edges.name(row)], moved)

    def _keep_listed(
        self, node: Nested, attr: str, number: int, kept: Sequence[int], n: int
    ) -> None:
        """Shorten a list that has an element for each of n tensors."""
        value = attributes(node).get(attr)
        kind, values = value.member(_KINDS) if value else (0, None)
        if values and kind == _LIST and len(elements(values, number)) == n:
            keep_elements(self._rewrite, values, number, frozenset(kept))

    # -- constants --

    def _share_constants(self) -> dict[int, list[tuple[bytes, int]]]:
        """See which constants are shortened, and which are copied as others need them too.

        Returns:
            Row -> the copies to be made: (name, the op that it follows).
        """
        edges, slots = self._edges, self._cuts.slots
        uses: dict[int, list[tuple[int, int]]] = {}
        for row in sorted(slots):
            for i in range(1, N_BEFORE):
                uses.setdefault(data_inputs(edges, row)[i].row, []).append((row, i))
        copied: dict[int, list[tuple[bytes, int]]] = {}
        names: set[bytes] = set()
        for constant, users in uses.items():
            first = users[0][0]
            alike = all(slots[row] == slots[first] for row, _ in users)
            if alike and set(self._live_takers(constant)) <= {row for row, _ in users}:
                self._changed[constant] = first
                continue
            for row, i in users:
                name = self._new_name(constant, names)
                copied.setdefault(constant, []).append((name, row))
                self._copies[row, i] = name + b":output:0" if self._called else name
        return copied

    def _live_takers(self, row: int) -> list[int]:
        """Who takes outputs of a node, of those that stay."""
        rows = self._cuts.rows
        stay = self._live if self._called is None or rows is None else None
        return [r for r in self._edges.takers(row) if (stay[r] if stay else r in (rows or ()))]

    def _new_name(self, constant: int, names: set[bytes]) -> bytes:
        """A name for a copy that no node of its graph has."""
        edges = self._edges
        base, owner, i = edges.name(constant), edges.owner(constant), 1
        while edges.row(b"%s_%d" % (base, i), owner) is not None or b"%s_%d" % (base, i) in names:
            i += 1
        names.add(b"%s_%d" % (base, i))
        return b"%s_%d" % (base, i)

    def _add_copies(self, node: Nested, number: int, copies: Sequence[tuple[bytes, int]]) -> None:
        """Put copies of a constant behind it."""
        _, end, around = node.occurrences[-1]
        for name, row in copies:
            copy = alone(from_bytes(node.data()), node.reader.path, node.place)
            rewrite = Rewrite(copy.reader.source)
            copy.put_text(rewrite, _NAME, name.decode("utf-8", "surrogateescape"))
            self._edit_constant(rewrite, copy, row)
            source = rewrite.source()
            data = delimited(number, source.read(0, source.size))
            self._rewrite.replace(end, end, data, around[:-1])

    def _edit_constant(self, rewrite: Rewrite, node: Nested, row: int) -> None:
        """Let a constant have the elements alone that an op still lists."""
        kept, n = self._cuts.slots[row], self._before[row]
        tensor = _tensor(node)
        strings = tensor.holding(_STRINGS)
        stay = set(kept)
        last = min(len(strings), n) - 1  # those that are left out are as this one
        if kept[-1] > last:
            stay.add(last)
        for i, (f, around) in enumerate(strings):
            if i not in stay or i > last:
                rewrite.replace(f.start, f.end, b"", around)
        _put_size(rewrite, node, n, len(kept))
        _put_dimension(rewrite, tensor.inside(_TENSOR_SHAPE, "tensor_shape"), n, len(kept))

    def put_string(self, row: int, data: bytes) -> None:
        """Let a constant be this string."""
        tensor = _tensor(self._library.node(row))
        strings = tensor.holding(_STRINGS)
        if len(strings) != 1 or tensor.holding(_CONTENT):
            raise RefusedError(
                tensor.reader.path,
                f"{printable(self._edges.name(row))}, which the object graph is saved from, is "
                "no single string",
                place=tensor.place,
                hint="Without --keep-save (keep_save) the code that saves goes as a whole.",
            )
        f, around = strings[0]
        self._rewrite.replace(f.start, f.end, delimited(_STRINGS, data), around)


def _tensor(node: Nested) -> Nested:
    """The tensor of a Const."""
    _, tensor = attributes(node)["value"].member(_KINDS)
    return tensor


def _put_size(rewrite: Rewrite, node: Nested, old: int, new: int) -> None:
    """Let a node that is known to have one output of so many elements be known to have
    another number of them."""
    value = attributes(node).get("_output_shapes")
    kind, values = value.member(_KINDS) if value else (0, None)
    if values and kind == _LIST:
        for shape in values.each(_SHAPES, "shape"):
            _put_dimension(rewrite, shape, old, new)


def _put_dimension(rewrite: Rewrite, shape: Nested, old: int, new: int) -> None:
    """Let a vector's shape have another size."""
    dims = shape.holding(_DIM)
    size = shape.of(dims, "dim").last(_SIZE, VARINT) if len(dims) == 1 else None
    if size and size[0].value == old:
        rewrite.replace(size[0].length_at, size[0].end, varint(new), size[1])


def _put_int(rewrite: Rewrite, value: Nested | None, new: int) -> None:
    """Let an attribute be another number."""
    found = value.last(_INT, VARINT) if value else None
    if found:
        rewrite.replace(found[0].length_at, found[0].end, varint(new), found[1])
