"""What a graph computes for its training alone: the loss, labels, and what is made of them.

Source: tensorflow/python/ops/gradients_util.py (names of nodes that compute gradients; 2.21).
"""

from __future__ import annotations

from .flow import LEAVES
from .roles import in_gradients
from .variables import VARIABLE_OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...graph.edges import Edges
    from .flow import Flow

#: Ops that a variable's value goes through on its way to a layer.
_READS = frozenset(
    b"""
    VariableV2 Variable VarHandleOp ReadVariableOp Identity Enter RefEnter Switch RefSwitch Cast
    Reshape Transpose Squeeze ExpandDims ConcatV2 Concat Unpack
    """.split()
)

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


class Losses:
    """The losses of a graph, from which gradients begin.

    Args:
        depends: Of each node the inputs that it depends on, by bits.
        values: The same, of those that it takes values of.
        roles: What is no part of a model, see `roles_of`.

    Attributes:
        why: The nodes that are for training alone, each with "loss" or "labels".
    """

    def __init__(
        self, edges: Edges, flow: Flow, depends: dict[int, int], values: dict[int, int],
        roles: dict[int, str],
    ) -> None:  # fmt: skip
        self._edges, self._flow, self._roles = edges, flow, roles
        self._depends, self._values = depends, values
        self.why: dict[int, str] = {}
        inner = self._inner()
        if inner:
            self._strangers = self._meet_no_variable()
            self._find(inner)

    def _find(self, inner: set[int]) -> None:
        """Find the loss, and what depends on what only it needs: labels.

        Gradients are computed of the loss, and of all between it and the variables. So going
        back from it along those, what depends on fewer inputs is the model's own, and the
        inputs that it does without are labels. Where nothing does, the model ends with the last
        node that takes a variable, or with a loop.
        """
        flow, why, depends = self._flow, self.why, self._depends
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
            if bits & labels and row not in self._roles:
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
        if edges.op(row) in LEAVES:
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
        inner = {r for r in self._with_gradient() if r in self._depends and r not in self._roles}
        below = set(inner)
        for row in reversed(flow.rows):
            if edges.op(row) in _PASSES_ON and not below.isdisjoint(flow.takers[row]):
                below.add(row)
        for row in flow.rows:
            if row in below and not inner.isdisjoint(flow.taken[row]):
                inner.add(row)
        return {row for row in inner if row in self._depends and row not in self._roles}

    def _with_gradient(self) -> set[int]:
        """The nodes of which gradients are computed, by the names of those that do so."""
        edges, found = self._edges, set()
        for row in self._flow.rows:
            name = edges.name(row)
            if b"_grad/" in name and (inside := in_gradients(name)):
                forward = edges.row(inside.partition(b"_grad/")[0])
                if forward is not None:
                    found.add(forward)
        return found
