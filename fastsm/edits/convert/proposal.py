"""Which tensors of a graph a caller would send, and which take: proposed, with what was left
out and why.

A graph for training computes more than a caller wants. Its placeholders that have no default,
and what comes out of its input pipeline, are the inputs; the outputs are what nothing takes, but
for what trains, saves, initializes or sums up, and for what is computed from labels: what the
loss takes, and what it is computed of does not.
Source: tensorflow/python/ops/gradients_util.py (names of nodes that compute gradients),
training/optimizer.py, summary/summary.py, ops/control_flow_assert.py (2.21).
"""

from __future__ import annotations

from ...dtypes import name as dtype_name
from ...graph.nodes import n_outputs
from ...graph.tensors import Tensor, Tensors, split
from ...text import Record
from .variables import VARIABLE_OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
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

#: How ops are called that change what others read.
_UPDATES = (
    b"Assign", b"Apply", b"SparseApply", b"ResourceApply", b"ResourceSparseApply",
    b"ResourceScatter", b"ScatterAdd", b"ScatterDiv", b"ScatterMax", b"ScatterMin", b"ScatterMul",
    b"ScatterSub", b"ScatterUpdate", b"ScatterNdAdd", b"ScatterNdMax", b"ScatterNdMin",
    b"ScatterNdSub", b"ScatterNdUpdate", b"StridedSliceAssign", b"ResourceStridedSliceAssign",
    b"QueueEnqueue", b"QueueClose", b"LookupTableInsert", b"LookupTableImport",
    b"InitializeTable", b"Accumulator", b"ResourceAccumulator", b"BoostedTreesUpdate",
)  # fmt: skip

_SAVES = frozenset([
    b"Save", b"SaveSlices", b"SaveV2", b"Restore", b"RestoreSlice", b"RestoreV2",
    b"MergeV2Checkpoints", b"ShardedFilename",
])  # fmt: skip

#: Ops that only tell of what they are given.
_TELLS = frozenset(b"Assert PrintV2 WriteFile Abort NoOp ControlTrigger".split())

#: Ops of control flow whose value is another's, or none.
_CONTROL = frozenset(b"Switch RefSwitch Enter RefEnter NextIteration LoopCond".split())
_LEAVES = (b"Exit", b"RefExit", b"TensorArrayGatherV3", b"TensorArrayConcatV3")
_LOOPS = (b"While", b"StatelessWhile")
_MERGES = (b"Merge", b"RefMerge")

#: Ops that a variable's value goes through on its way to a layer.
_READS = frozenset(
    b"""
    VariableV2 Variable VarHandleOp ReadVariableOp Identity Enter RefEnter Switch RefSwitch Cast
    Reshape Transpose Squeeze ExpandDims ConcatV2 Concat Unpack
    """.split()
)

#: Ops that find values in a table.
_FINDS = (b"LookupTableFind", b"LookupTableFindV2")

#: Ops that look at no value of what they are given.
_SHAPES = frozenset(b"Shape ShapeN Size Rank ZerosLike OnesLike".split())

#: DataTypes that no caller sends or takes: a resource, a variant; above the last are refs.
_NOT_SENT = (0, 20, 21)

#: Ops by which a model gives its last values another form.
_FORMS = frozenset(
    b"""
    Softmax LogSoftmax Sigmoid Tanh Relu Relu6 Elu Selu Softplus Exp Identity Reshape Squeeze
    ExpandDims StridedSlice Transpose Gather GatherV2
    """.split()
)

#: Ops whose gradient may be the one that comes back to them, without a node of its own.
_PASSES_ON = frozenset(b"Identity Add AddV2 AddN Sub CheckNumerics Print".split())

#: So many losses are gone back from: a graph of more is no model's.
_MOST_LOSSES = 64

#: A variable is so many nodes at most before what takes it: what reads and casts it.
_NEAR = 4

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
            self._why = why = self._exclude()
            # What waits for an update, or has the shape of an input, has not its value.
            self._values = self._flow.depends(
                sources, lambda row: row not in why and edges.op(row) not in _SHAPES
            )
            self._leave_out_labels()
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

    # -- what is no output --

    def _exclude(self) -> dict[int, str]:
        """The nodes that train, save, sum up, or tell of others; and what is made of that."""
        edges, why = self._edges, dict[int, str]()
        for row in self._flow.rows:
            kind = _kind(edges.op(row), edges.name(row))
            if kind is None:
                lost = [t for t in self._flow.taken[row] if why.get(t, "") in _SPREADS]
                if lost:
                    made_of = {t.row for t in edges.inputs(row) if not t.control}
                    kind = next((why[t] for t in lost if t in made_of), None)
            if kind is not None:
                why[row] = kind
        return why

    def _leave_out_labels(self) -> None:
        """Leave out the loss, and what depends on what only it needs: labels.

        Gradients are computed of the loss, and of all between it and the variables. So going
        back from it along those, what depends on fewer inputs is the model's own, and the
        inputs that it does without are labels. Where nothing does, the model ends with the last
        node that takes a variable, or with a loop.
        """
        flow, why, depends = self._flow, self._why, self._depends
        inner = self._inner()
        self._strangers = self._meet_no_variable() if inner else 0
        labels = 0
        # Of a loop not all nodes have gradients: what ends among those is not yet the loss.
        before = flow.behind(t for row in inner for t in flow.taken[row])
        losses = sorted(inner - before) or [
            row for row in sorted(inner) if inner.isdisjoint(flow.takers[row])
        ]
        why.update(dict.fromkeys(losses[_MOST_LOSSES:], "loss"))
        for loss in losses[:_MOST_LOSSES]:
            between, ends = self._back(loss, inner, self._has_fewer)
            if ends:
                own = 0
                for row in ends:
                    own |= depends[row]
                labels |= depends[loss] & ~own
            else:
                between, ends = self._back(loss, inner, self._takes_variable)
                between -= self._activations(ends, inner)
            why.update(dict.fromkeys(between if ends else [loss], "loss"))
        for row, bits in depends.items() if labels else ():
            if bits & labels:
                why.setdefault(row, "labels")

    def _back(
        self, loss: int, inner: set[int], is_end: Callable[[int, int], bool]
    ) -> tuple[set[int], set[int]]:
        """The nodes from a loss back to where it is computed from the model, and the ends of
        that which are the model's."""
        between, ends, stack = {loss}, set(), [loss]
        while stack:
            for taken in self._flow.taken[stack.pop()]:
                if taken not in inner or taken in between:
                    continue
                if is_end(taken, loss):
                    ends.add(taken)
                else:
                    between.add(taken)
                    stack.append(taken)
        return between, ends - between

    def _has_fewer(self, row: int, loss: int) -> bool:
        """Whether a node depends on other inputs than the loss, which are fewer; and on none
        that only a loss is made of."""
        bits = self._depends[row]
        return bits != self._depends[loss] and not bits & self._strangers

    def _meet_no_variable(self) -> int:
        """The inputs, by bits, that go through no layer: labels, weights of samples, masks of a
        loss. 0 where none goes through one."""
        edges, values = self._edges, self._values
        read = self._flow.beyond(
            edges.with_op(*VARIABLE_OPS),
            lambda row: edges.op(row) not in _READS or row in values,
        )
        met = sources = 0
        for row, bits in values.items():
            sources |= bits
            if not read.isdisjoint(self._flow.taken[row]):
                met |= bits
        return sources & ~met if met else 0

    def _takes_variable(self, row: int, _: int) -> bool:
        """Whether a node takes a variable, or what is made of one without any input; or leaves a
        loop, in which others may."""
        edges = self._edges
        if edges.op(row) in _LEAVES:
            return True
        for taken in self._flow.taken[row]:
            for _ in range(_NEAR):
                if edges.op(taken) in VARIABLE_OPS:
                    return True
                if taken in self._depends or not self._flow.taken[taken]:
                    break
                taken = self._flow.taken[taken][0]
        return False

    def _activations(self, ends: set[int], inner: set[int]) -> set[int]:
        """What only gives the last nodes of a model another form: it is the model's, too."""
        found: set[int] = set()
        stack = list(ends)
        while stack:
            for taker in self._flow.takers[stack.pop()]:
                if taker in inner and taker not in found and self._edges.op(taker) in _FORMS:
                    found.add(taker)
                    stack.append(taker)
        return found

    def _inner(self) -> set[int]:
        """The nodes between an input and the loss: those of which gradients are computed, and
        those between these that hand a gradient on as it is."""
        edges, flow = self._edges, self._flow
        inner = {r for r in self._with_gradient() if r in self._depends and r not in self._why}
        below = set(inner)
        for row in reversed(flow.rows):
            if edges.op(row) in _PASSES_ON and not below.isdisjoint(flow.takers[row]):
                below.add(row)
        for row in flow.rows:
            if row in below and not inner.isdisjoint(flow.taken[row]):
                inner.add(row)
        return {row for row in inner if row in self._depends and row not in self._why}

    def _with_gradient(self) -> set[int]:
        """The nodes of which gradients are computed, by the names of those that do so."""
        edges, found = self._edges, set()
        for row in self._flow.rows:
            name = edges.name(row)
            if b"_grad/" in name and (inside := _in_gradients(name)):
                forward = edges.row(inside.partition(b"_grad/")[0])
                if forward is not None:
                    found.add(forward)
        return found

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
        return op in _LEAVES or (
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


#: What is made of these is no more an output than they are.
_SPREADS = frozenset(["update", "gradient", "save", "summary"])


def _kind(op: bytes, name: bytes) -> str | None:
    """What a node is that is no part of a model, by its op and its name."""
    if op in _SAVES:
        return "save"
    if op in _TELLS:
        return "tells"
    if op.startswith(_UPDATES):
        return "update"
    if b"Summary" in op:
        return "summary"
    return "gradient" if _in_gradients(name) else None


def _in_gradients(name: bytes) -> bytes | None:
    """What of a node's name stands behind the scope of gradients; None for any other node."""
    if b"gradient" not in name:
        return None
    parts = name.split(b"/")
    for i, part in enumerate(parts[:-1]):
        scope, _, number = part.rpartition(b"_")
        if part in (b"gradients", b"gradient_tape") or (scope == b"gradients" and number.isdigit()):
            return b"/".join(parts[i + 1 :])
    return None

