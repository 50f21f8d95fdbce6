"""Which tensors of a graph a caller would send, and which take: proposed, with what was left
out and why.

A graph for training computes more than a caller wants. Its placeholders that have no default,
and what comes out of its input pipeline, are the inputs; the outputs are what nothing takes, but
for what trains, saves, initializes or sums up, and for what is computed from labels: what the
loss takes, and what it is computed of does not.
"""

from __future__ import annotations

from ...dtypes import name as dtype_name
from ...graph.nodes import n_outputs
from ...graph.tensors import Tensor, Tensors, split
from ...text import Record
from .flow import LEAVES
from .losses import Losses
from .roles import roles_of
from .variables import VARIABLE_OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ...graph.edges import Edges
    from ...views import MetaGraph
    from .flow import Flow, Output

_PLACEHOLDERS = (b"Placeholder", b"PlaceholderV2")
_DEFAULTED = b"PlaceholderWithDefault"

#: Ops that a graph for training gets its data from: a served one is sent them.
_PIPELINES = (
    b"IteratorGetNext", b"IteratorGetNextSync", b"QueueDequeue", b"QueueDequeueV2",
    b"QueueDequeueMany", b"QueueDequeueManyV2", b"QueueDequeueUpTo", b"QueueDequeueUpToV2",
)  # fmt: skip

#: Ops of control flow whose value is another's, or none.
_CONTROL = frozenset(b"Switch RefSwitch Enter RefEnter NextIteration LoopCond".split())
_LOOPS = (b"While", b"StatelessWhile")
_MERGES = (b"Merge", b"RefMerge")

#: Ops that find values in a table.
_FINDS = (b"LookupTableFind", b"LookupTableFindV2")

#: Ops that look at no value of what they are given.
_SHAPES = frozenset(b"Shape ShapeN Size Rank ZerosLike OnesLike".split())

#: DataTypes that no caller sends or takes: a resource, a variant; above the last are refs.
_NOT_SENT = (0, 20, 21)

#: Nodes that are called so are named by their scope: what they are is their op's name.
_PLAIN = ("Merge", "Identity", "Exit")

#: Why something is no output.
_WHY = {
    "update": "changes a variable or a queue",
    "gradient": "computes gradients",
    "save": "saves or restores",
    "summary": "is a summary",
    "labels": "is computed from labels",
    "loss": "is the loss: gradients are computed of it",
    "aside": "takes nothing of a variable or a table, and other outputs do",
}


class LeftOut(Record):
    """A tensor that is not proposed.

    Attributes:
        tensor: Its name, ``x:0``.
        why: In words.
    """

    __slots__ = ("tensor", "why")

    def __init__(self, tensor: str, why: str) -> None:
        self.tensor = tensor
        self.why = why


class Proposal(Record):
    """The inputs and outputs of a signature.

    Attributes:
        inputs, outputs: Name -> tensor, ``x:0``.
        defaults: Tensors that callers may send and need not: each has a default in the graph.
        left_out: What was not taken, and why.
        tensors: What is known of each tensor that is named: dtype and shape.
    """

    __slots__ = ("inputs", "outputs", "defaults", "left_out", "tensors")

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.inputs: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.defaults: list[str] = []
        self.left_out: list[LeftOut] = []
        self.tensors = tensors

    def spec(self, tensor: str) -> str:
        """``float32[?, 64]``; ``float32[...]`` for an unknown rank."""
        known = self.tensors.get(tensor)
        if known is None:
            return "?"
        dims = "..."
        if known.dims is not None:
            dims = ", ".join("?" if d < 0 else str(d) for d in known.dims)
        return f"{dtype_name(known.dtype)}[{dims}]" if known.dtype else f"dtype not known[{dims}]"

    def to_dict(self) -> dict[str, Any]:
        def told(names: Mapping[str, str]) -> dict[str, Any]:
            return {name: self._told(tensor) for name, tensor in names.items()}

        return {
            "inputs": told(self.inputs),
            "outputs": told(self.outputs),
            "defaults": [self._told(tensor) for tensor in self.defaults],
            "left_out": [left.to_dict() for left in self.left_out],
        }

    def _told(self, tensor: str) -> dict[str, Any]:
        known = self.tensors.get(tensor)
        dims = None if known is None else known.dims
        return {
            "name": tensor,
            "dtype": dtype_name(known.dtype) if known is not None else None,
            "shape": None if dims is None else [None if d < 0 else d for d in dims],
        }


def propose(
    graph: MetaGraph,
    edges: Edges,
    flow: Flow,
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
) -> Proposal:
    """Look for the inputs and the outputs of a graph.

    Args:
        inputs, outputs: Those that are known already: name -> tensor; None: to be found.

    Raises FormatError where the graph is damaged.
    """
    return _Search(graph, edges, flow, inputs, outputs).proposal


class _Search:
    """One search.

    Attributes:
        proposal: What was found.
    """

    def __init__(
        self,
        graph: MetaGraph,
        edges: Edges,
        flow: Flow,
        inputs: Mapping[str, str] | None,
        outputs: Mapping[str, str] | None,
    ) -> None:
        self._graph, self._edges, self._flow = graph, edges, flow
        self._left: list[tuple[Output, str]] = []  # not proposed, and why
        self._given = inputs is not None
        sources = self._sources(inputs)
        if outputs is None:
            self._depends = self._flow.depends(sources)
            self._why = why = roles_of(edges, flow)
            # What waits for an update, or has the shape of an input, has not its value.
            self._values = self._flow.depends(
                sources, lambda row: row not in why and edges.op(row) not in _SHAPES
            )
            why.update(Losses(edges, flow, self._depends, self._values, dict(why)).why)
            taken = self._sinks({row for row, _ in sources})
        else:
            taken = [at for at in map(self._output, outputs.values()) if at is not None]
        fed = {row for row, _ in sources}
        behind = self._flow.behind([row for row, _ in taken], fed)
        needed = self._needed(sources, behind, taken) if inputs is None else []
        if outputs is not None and inputs is None:
            needed = [at for at in needed if at not in taken]
        defaults = [(r, 0) for r in sorted(behind) if edges.op(r) == _DEFAULTED]
        self.proposal = self._told(inputs, outputs, needed, taken, defaults)

    # -- where data comes from --

    def _sources(self, inputs: Mapping[str, str] | None) -> list[Output]:
        edges = self._edges
        if inputs is not None:
            found = [at for at in map(self._output, inputs.values()) if at is not None]
            return list(dict.fromkeys(found))
        found = [(row, 0) for row in edges.with_op(*_PLACEHOLDERS)]
        for row in edges.with_op(*_PIPELINES):
            found += [(row, i) for i in range(n_outputs(edges.node(row)) or 1)]
        saver = self._graph.saver
        path = saver.filename_tensor.partition(":")[0].encode() if saver else b""
        return found or [
            (row, 0) for row in edges.with_op(_DEFAULTED)
            if edges.name(row) != path and not edges.name(row).startswith(b"save")
        ]  # fmt: skip

    def _output(self, tensor: str) -> Output | None:
        name, output = split(tensor)
        row = self._edges.row(name.encode("utf-8", "surrogateescape"))
        return None if row is None or output is None else (row, output)

    def _needed(
        self, sources: list[Output], behind: set[int], outputs: list[Output]
    ) -> list[Output]:
        """The sources that anything takes that runs, or waits for; and those that are outputs."""
        rows = dict.fromkeys(row for row, _ in sources)
        takers = {t for row in rows for t in self._flow.takers[row] if t in behind}
        taken, waited = set(outputs), set()
        for taker in takers:
            for t in self._edges.inputs(taker):
                if t.control:
                    waited.add(t.row)
                else:
                    taken.add((t.row, t.output))
        return [at for at in sources if at in taken or at[0] in waited]

    # -- what is one --

    def _sinks(self, sources: set[int]) -> list[Output]:
        """The outputs of nodes that nothing of the model takes.

        Args:
            sources: The nodes where data comes from.
        """
        edges, why = self._edges, self._why
        inside = self._flow.inside()
        first: list[int] = []
        second: list[int] = []
        for row in self._flow.rows:
            if row in sources or (sources and not self._values.get(row)):
                continue
            op, takers = edges.op(row), self._flow.takers[row]
            if row in why:
                if why[row] in ("loss", "labels") and all(t in why for t in takers):
                    self._left.append(((row, 0), _WHY[why[row]]))
                continue
            model = [t for t in takers if t not in why]
            if any(not sources or self._values.get(t) for t in model):
                continue
            if op in _CONTROL or (not sources and self._is_still(row)):
                continue
            kinds = {why.get(t, "tells") for t in takers}
            if row in inside:
                self._left.append(((row, 0), "is inside a loop or a branch"))
            elif self._leaves(row) or (kinds and kinds <= {"summary", "tells"}):
                second.append(row)
            elif op != _DEFAULTED:
                first.append(row)
        if first:
            for row in second:
                words = "leaves a loop, and nothing takes it"
                if not self._leaves(row):
                    words = "is made for a summary, a check or a print"
                self._left.append(((row, 0), words))
        rows = sorted(self._computed(first) or second)
        return [
            (row, i) for row in rows for i in range(n_outputs(edges.node(row)) or 1)
            if not i or edges.op(row) not in _MERGES  # of these it says which came
        ]  # fmt: skip

    def _computed(self, rows: list[int]) -> list[int]:
        """Those of some ends that the value of a variable or a table comes to, if there is any.

        Beside them, lengths and limits that nothing takes are by-products of training, and in a
        graph without inputs initial values are. What only hands an input on is asked for by its
        name: it stays.
        """
        edges, why = self._edges, self._why
        holders = [(row, 0) for row in edges.with_op(*VARIABLE_OPS, *_FINDS)]
        learned = self._flow.depends(holders, lambda row: row not in why)
        if not any(row in learned for row in rows):
            return rows
        if self._values and "gradient" not in self._why.values():
            return rows  # of a graph that somebody made for serving, with all its ends
        kept = [
            row for row in rows
            if row in learned or (edges.op(row) == b"Identity" and row in self._values)
        ]  # fmt: skip
        self._left += [((row, 0), _WHY["aside"]) for row in rows if row not in kept]
        return kept

    def _is_still(self, row: int) -> bool:
        """Whether a node only holds a constant or a variable, or reads one."""
        edges, op = self._edges, self._edges.op(row)
        if op in (b"Identity", b"ReadVariableOp"):
            return all(edges.op(taken) in VARIABLE_OPS for taken in self._flow.taken[row])
        return op in (b"Const", b"VarIsInitializedOp", b"IsVariableInitialized", *VARIABLE_OPS)

    def _leaves(self, row: int) -> bool:
        """Whether a node is where a value comes out of a loop."""
        op, taken = self._edges.op(row), self._flow.taken[row]
        return op in LEAVES or (
            op == b"Identity" and bool(taken) and self._edges.op(taken[0]) in _LOOPS
        )

    # -- in words --

    def _told(
        self,
        inputs: Mapping[str, str] | None,
        outputs: Mapping[str, str] | None,
        needed: list[Output],
        taken: list[Output],
        defaults: list[Output],
    ) -> Proposal:
        left = sorted(self._left)
        if outputs is None and not self._given:
            unsent = [at for at in self._sources(None) if at not in needed]
            left += [(at, "no output that is proposed needs it") for at in unsent]
        shown = [*needed, *taken, *defaults, *(at for at, _ in left)]
        names = {at: self._name(at) for at in shown}
        wanted = [*names.values(), *(inputs or {}).values(), *(outputs or {}).values()]
        tensors = Tensors(self._graph, wanted)
        known = {}
        for name in wanted:
            tensor = tensors.find(name)
            if not isinstance(tensor, str):
                known[name] = tensor
        proposal = Proposal(known)

        def sent(at: Output) -> bool:
            tensor = known.get(names[at])
            return tensor is not None and tensor.dtype % 100 not in _NOT_SENT

        proposal.inputs = dict(inputs) if inputs is not None else self._named(needed, names)
        if outputs is not None:
            proposal.outputs = dict(outputs)
        else:
            proposal.outputs = self._named(filter(sent, taken), names)
        proposal.defaults = [names[at] for at in defaults if sent(at)]
        proposal.left_out = [LeftOut(names[at], why) for at, why in left if sent(at)]
        return proposal

    def _name(self, at: Output) -> str:
        name = self._edges.name(at[0]).decode("utf-8", "surrogateescape")
        return f"{name}:{at[1]}"

    @staticmethod
    def _named(found: Iterable[Output], names: dict[Output, str]) -> dict[str, str]:
        """Each by the last part of its node's name, made unique."""
        out: dict[str, str] = {}
        taken: dict[str, int] = {}
        for at in found:
            scope, _, base = names[at].rpartition(":")[0].rpartition("/")
            if scope and base.rstrip("0123456789").rstrip("_") in _PLAIN:
                base = scope.rpartition("/")[2]
            base = base if at[1] == 0 else f"{base}_{at[1]}"
            name = base
            while name in out:
                taken[base] = taken.get(base, 0) + 1
                name = f"{base}_{taken[base]}"
            out[name] = names[at]
        return out
