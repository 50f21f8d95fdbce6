"""The code that restores: the saver that the graph has, or a new one.

A graph without one has none because it never was saved by itself, as a GraphDef; and one that
reads as TensorFlow 0.x did cannot read the checkpoints of today.
Source: tensorflow/python/training/saver.py BaseSaverBuilder;
core/kernels/save_restore_v2_ops.cc; python/saved_model/loader_impl.py (2.21).
"""

from __future__ import annotations

from math import prod

from ..._core import delimited, number, slice_key
from ...bundle.rewrite import spec as slice_spec
from ...dtypes import REF, SIZES
from ...dtypes import name as dtype_name
from ...errors import MissingError, RefusedError
from ...graph.edges import edges_of
from ...graph.listings import READERS, RESTORE
from ...graph.nodes import node_of
from ...graph.restored import restored
from ...plan import enclosing
from ...source import LEN
from ...text import counted, listed, printable
from .new_nodes import (
    STRING,
    node,
    of_flag,
    of_scalar_shape,
    of_type,
    of_types,
    strings,
    with_node,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...bundle.opened import Bundle
    from ...graph.edges import Edges
    from ...plan import Rewrite
    from ...views import MetaGraph
    from .flow import Flow
    from .variables import Variable

#: MetaGraphDef.saver_def, and SaverDef.version of today's format.
_SAVER, _V2 = 3, 2

#: What a saver calls a checkpoint that is not given; loaders give it.
_DEFAULT_PATH = b"model"

#: So many things are named in an error.
_MOST = 8


class Entries:
    """The tensors of a checkpoint, by key."""

    def __init__(self, bundle: Bundle) -> None:
        self._index = bundle.index
        self.path = bundle.prefix
        self.rows = {key: i for i, key in enumerate(bundle.index.keys())}

    def problem(
        self, key: bytes, dtype: int | None, dims: tuple[int, ...] | None, spec: bytes = b""
    ) -> str | None:
        """Why a tensor cannot be restored from it, in words; None where it can.

        Args:
            dims: The shape of what it is restored into; of a slice that of the whole tensor.
            spec: Of a slice which it is.
        """
        if key not in self.rows:
            return f"{printable(key)} is not in the checkpoint"
        stored, shape, _, _, n_bytes, _, n_slices = self._index.entry(self.rows[key])
        if dtype is not None and dtype % REF != stored:
            a, b = dtype_name(dtype % REF), dtype_name(stored)
            return f"{printable(key)} is of dtype {b} there, of {a} in the graph"
        if spec:
            dims = _whole(spec)
        if dims is not None and shape is not None and dims != shape:
            there, here = _shown(shape), _shown(dims)
            return f"{printable(key)} is of shape {there} there, of {here} in the graph"
        if n_slices:
            return self._problem_of_slices(key, stored, shape or ())
        return _misfit(printable(key), stored, shape, n_bytes)

    def _problem_of_slices(self, key: bytes, dtype: int, whole: tuple[int, ...]) -> str | None:
        """What is wrong with a slice of a partitioned tensor, in words."""
        for extents in self._index.slices(self.rows[key]):
            name = f"the slice {slice_spec(extents)} of {printable(key)}"
            row = self.rows.get(slice_key(key, extents))
            if row is None:
                return f"{name} is not in the checkpoint"
            dims = tuple(d if n < 0 else n for d, (_, n) in zip(whole, extents, strict=False))
            stored, shape, _, _, n_bytes, _, _ = self._index.entry(row)
            if (stored, shape) != (dtype, dims):
                return f"{name} is of another dtype or shape"
            if problem := _misfit(name, stored, shape, n_bytes):
                return problem
        return None


def _misfit(name: str, dtype: int, shape: tuple[int, ...] | None, n_bytes: int) -> str | None:
    """That an entry has not as many bytes as its shape takes, in words."""
    if dtype not in SIZES or shape is None or n_bytes == SIZES[dtype] * prod(shape):
        return None
    return f"{name} has {counted(n_bytes, 'byte')}, and the shape {_shown(shape)}"


def _whole(spec: bytes) -> tuple[int, ...] | None:
    words = spec.split(b" ")[:-1]
    return tuple(map(int, words)) if all(w.isdigit() for w in words) else None


def _shown(dims: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, dims))}]"


def restoring_rows(graph: MetaGraph, edges: Edges, flow: Flow) -> set[int] | None:
    """What runs when the saver of a graph restores; None where it has none that restores a
    checkpoint of today."""
    saver = graph.saver
    if saver is None or not (saver.restore_op and saver.filename_tensor and saver.save_tensor):
        return None
    row, path = _row(edges, saver.restore_op), _row(edges, saver.filename_tensor)
    if row is None or path is None:
        return None
    rows = flow.behind([row])
    readers = {edges.op(r) for r in rows} & set(READERS)
    return rows if readers == {RESTORE} and path in rows else None


def _row(edges: Edges, name: str) -> int | None:
    return edges.row(node_of(name.encode("utf-8", "surrogateescape")))


def check_keys(path: str, graph: MetaGraph, bundle: Bundle, *, stripped: bool) -> int:
    """Hold what the saver of a graph restores against the checkpoint.

    Args:
        stripped: Whether the graph restores only what its signature needs.

    Returns:
        How many tensors it restores.

    Raises:
        MissingError: The checkpoint lacks some, or has them otherwise; lists them.
    """
    entries = Entries(bundle)
    wanted = restored(graph, edges_of(graph)).wanted
    problems = [p for key, dtype, dims in wanted if (p := entries.problem(key, dtype, dims))]
    if problems:
        raise unfit(path, entries, problems, stripped=stripped)
    return len(dict.fromkeys(key for key, _, _ in wanted))


def unfit(path: str, entries: Entries, problems: list[str], *, stripped: bool) -> MissingError:
    """What to say where a checkpoint is not that of a graph."""
    hint = "Is it the checkpoint of this graph? Another one is named by --checkpoint PREFIX."
    if not stripped:
        hint += " With --strip only what the outputs need is restored."
    n = counted(len(problems), "tensor")
    return MissingError(
        path,
        f"the checkpoint {printable(entries.path, None)} does not fit: {n} of the graph: "
        + "; ".join(problems[:_MOST])
        + ("; ..." if len(problems) > _MOST else ""),
        hint=hint,
    )


class NewSaver:
    """A saver for variables that have none.

    Attributes:
        nodes: What it adds to the graph.
        definition: Its SaverDef.
    """

    def __init__(self, edges: Edges, variables: Sequence[Variable], scope: bytes) -> None:
        self._edges, self._scope = edges, scope
        path = self._in(b"Const")
        names = [v.key for v in variables]
        specs = [v.spec for v in variables]
        types = [v.dtype for v in variables]
        of_string = of_type(STRING)
        head = {"dtype": of_string, "shape": of_scalar_shape()}
        parts = [
            strings(self._in(b"filename/input"), _DEFAULT_PATH),
            node(
                self._in(b"filename"), b"PlaceholderWithDefault", [self._in(b"filename/input")],
                **head,
            ),
            node(path, b"PlaceholderWithDefault", [self._in(b"filename")], **head),
        ]  # fmt: skip
        values = [self._value(v, i, parts) for i, v in enumerate(variables)]
        for op in (b"SaveV2", b"RestoreV2"):
            listing = [self._in(op + end) for end in (b"/tensor_names", b"/shape_and_slices")]
            parts += [strings(listing[0], names), strings(listing[1], specs)]
            taken = [path, *listing, *(values if op == b"SaveV2" else ())]
            parts.append(node(self._in(op), op, taken, dtypes=of_types(types)))
        saved = self._in(b"control_dependency")
        parts.append(
            node(
                saved, b"Identity", [path, b"^" + self._in(b"SaveV2")], T=of_string,
                _class=with_node(path),
            )
        )  # fmt: skip
        assigned = [self._assign(v, i, parts) for i, v in enumerate(variables)]
        done = self._in(b"restore_all")
        parts.append(node(done, b"NoOp", [b"^" + name for name in assigned]))
        self.nodes = b"".join(parts)
        self.definition = (
            delimited(1, path + b":0") + delimited(2, saved + b":0") + delimited(3, done)
            + number(4, 5) + bytes([6 << 3 | 5]) + _HOURS + number(7, _V2)
        )  # fmt: skip

    def _in(self, name: bytes) -> bytes:
        return self._scope + b"/" + name

    def _value(self, variable: Variable, i: int, parts: list[bytes]) -> bytes:
        """What is saved of a variable: a ref itself, of a handle what it leads to."""
        name = self._edges.name(variable.row)
        if not variable.is_handle:
            return name
        read = self._in(b"ReadVariableOp" + (b"_%d" % i if i else b""))
        parts.append(node(read, b"ReadVariableOp", [name], dtype=of_type(variable.dtype)))
        return read

    def _assign(self, variable: Variable, i: int, parts: list[bytes]) -> bytes:
        """The name of the node that gives a variable what was read for it."""
        name, end = self._edges.name(variable.row), b"_%d" % i if i else b""
        value = self._in(b"RestoreV2") + (b":%d" % i if i else b"")
        of_dtype = of_type(variable.dtype)
        if variable.is_handle:
            identity, assign = self._in(b"Identity" + end), self._in(b"AssignVariableOp" + end)
            parts.append(node(identity, b"Identity", [value], T=of_dtype))
            parts.append(node(assign, b"AssignVariableOp", [name, identity], dtype=of_dtype))
        else:
            assign = self._in(b"Assign" + end)
            parts.append(
                node(
                    assign, b"Assign", [name, value], T=of_dtype, use_locking=of_flag(True),
                    validate_shape=of_flag(variable.dims is not None),
                    _class=with_node(name),
                )
            )  # fmt: skip
        return assign

    def put(self, rewrite: Rewrite, graph: MetaGraph) -> None:
        """Let the graph have this saver, and no other. Its nodes are put in elsewhere."""
        drop_saver(rewrite, graph, delimited(_SAVER, self.definition))


#: SaverDef.keep_checkpoint_every_n_hours, 10000.0 as a float.
_HOURS = bytes.fromhex("00401c46")


def drop_saver(rewrite: Rewrite, graph: MetaGraph, instead: bytes = b"") -> None:
    """Take out the saver_def of a graph.

    Args:
        instead: The field that takes its place.
    """
    outer = enclosing(graph.field)
    found = [f for f in graph.fields if f.number == _SAVER and f.wire == LEN]
    for f in found:
        rewrite.replace(f.start, f.end, instead if f is found[-1] else b"", outer)
    if not found and instead:
        at = next((f.start for f in graph.fields if f.number > _SAVER), graph.field.end)
        rewrite.replace(at, at, instead, outer)


def choose(
    path: str, variables: Iterable[Variable], needed: set[int], entries: Entries
) -> tuple[list[Variable], list[str]]:
    """Which variables a new saver restores: those that the checkpoint has.

    Args:
        needed: The rows of those that must be.

    Returns:
        The variables; and the keys of those that the checkpoint does not have, or otherwise.

    Raises:
        MissingError: It does not have one that is needed.
    """
    found, lost, problems = [], [], []
    for v in variables:
        problem = entries.problem(v.key, v.dtype, None if v.spec else v.dims, v.spec)
        if problem is None:
            found.append(v)
        elif v.row in needed:
            problems.append(problem)
        else:
            lost.append(v.key.decode("utf-8", "replace"))
    if problems:
        raise unfit(path, entries, problems, stripped=True)
    return found, lost


def no_checkpoint(path: str, names: list[str]) -> RefusedError:
    """What to say of a graph with variables, and no values for them."""
    n = counted(len(names), "variable")
    return RefusedError(
        path,
        f"the graph has {n} ({listed(names, 4)}), and there is no checkpoint with "
        f"{'its value' if len(names) == 1 else 'their values'}",
        hint="Name it: --checkpoint PREFIX, of PREFIX.index and PREFIX.data-00000-of-00001.",
    )
