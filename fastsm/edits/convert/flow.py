"""Which nodes of a main graph depend on which tensors, and which run inside a loop or a branch.

Every node is gone through a few times at most, whatever the graph: the bits of what it depends
on spread along its edges in an order in which a node stands behind what it takes, but for loops.
"""

from __future__ import annotations

from ...graph.edges import MISSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from ...graph.edges import Edges

    #: An output of a node: its row, and which.
    Output = tuple[int, int]

#: Loops take a pass more each that they are nested; in a tangle of them it goes without.
_PASSES = 20

#: Of more tensors it is not told which, only that it is one of them.
_MAX_BITS = 256

#: Ops that enter a loop or a branch, and those that leave it.
_ENTERS = (b"Enter", b"RefEnter")
_EXITS = (b"Exit", b"RefExit")
_SWITCHES = (b"Switch", b"RefSwitch")
_MERGES = (b"Merge", b"RefMerge")

#: Ops by which a value comes out of a loop, that of each step together as well.
LEAVES = (*_EXITS, b"TensorArrayGatherV3", b"TensorArrayConcatV3")


class Flow:
    """The edges of a main graph, in order.

    Who tells inputs and outputs asks for what is `behind` these alone: what takes a pass over
    all nodes is made when it is wanted.
    """

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._taken: dict[int, list[int]] = {}
        self._takers: dict[int, list[int]] = {}
        self._rows: list[int] = []

    @property
    def taken(self) -> dict[int, list[int]]:
        """Row -> the nodes that it takes from or waits for, in file order."""
        if not self._taken:
            edges = self._edges
            self._taken = {
                row: [t for t in edges.taken(row) if t != MISSING] for row in edges.rows(0)
            }
        return self._taken

    @property
    def takers(self) -> dict[int, list[int]]:
        """Row -> the nodes that take from it or wait for it, in file order."""
        if not self._takers:
            self._takers = {row: [] for row in self.taken}
            for row, those in self.taken.items():
                for taken in dict.fromkeys(those):
                    self._takers[taken].append(row)
        return self._takers

    @property
    def rows(self) -> list[int]:
        """The nodes, each behind what it takes, but for loops."""
        if not self._rows:
            self._rows = self._ordered()
        return self._rows

    def _ordered(self) -> list[int]:
        all_taken = self.taken
        out: list[int] = []
        seen: set[int] = set()
        for root in all_taken:
            stack = [] if root in seen else [(root, iter(all_taken[root]))]
            seen.add(root)
            while stack:
                row, rest = stack[-1]
                fresh = next((t for t in rest if t not in seen), None)
                if fresh is None:
                    out.append(row)
                    stack.pop()
                else:
                    seen.add(fresh)
                    stack.append((fresh, iter(all_taken[fresh])))
        return out

    def depends(
        self, sources: Sequence[Output], through: Callable[[int], bool] | None = None
    ) -> dict[int, int]:
        """Of each node the sources that it depends on, by bits; those of none are left out.

        Args:
            sources: Tensors. A node that is one takes nothing; all of its outputs must be.
            through: Whether what a node takes counts; None: of each.
        """
        bits = {at: 1 << min(i, _MAX_BITS) for i, at in enumerate(sources)}
        given: dict[int, int] = {}
        for (row, _), bit in bits.items():
            given[row] = given.get(row, 0) | bit
        found, taken_by = dict(given), self.taken
        several = {row for row, bit in given.items() if bit & (bit - 1)}
        for _ in range(_PASSES):
            changed = False
            for row in self.rows:
                if row in given or (through is not None and not through(row)):
                    continue
                known = found.get(row, 0)
                new = known
                for taken in taken_by[row]:
                    if taken in several:
                        new |= self._of_outputs(row, taken, bits)
                    else:
                        new |= found.get(taken, 0)
                if new != known:
                    found[row] = new
                    changed = True
            if not changed:
                break
        return found

    def _of_outputs(self, row: int, taken: int, bits: dict[Output, int]) -> int:
        """The bits of those outputs of a node that another takes."""
        mine = [t.output for t in self._edges.inputs(row) if t.row == taken and not t.control]
        return sum({bits.get((taken, output), 0) for output in mine})

    def behind(self, rows: Iterable[int], fed: Container[int] = ()) -> set[int]:
        """The nodes that run for some: they themselves, what they take, what they wait for.

        Args:
            fed: Nodes that do not run.
        """
        seen: set[int] = set()
        stack = [row for row in rows if row not in fed]
        while stack:
            row = stack.pop()
            if row not in seen:
                seen.add(row)
                those = self._edges.taken(row)
                stack += [t for t in those if t not in seen and t not in fed and t != MISSING]
        return seen

    def beyond(self, rows: Iterable[int], stop: Callable[[int], bool]) -> set[int]:
        """Some nodes, and all that take from them, up to those where it stops."""
        seen: set[int] = set()
        stack = list(rows)
        while stack:
            row = stack.pop()
            if row not in seen and not stop(row):
                seen.add(row)
                stack += self.takers[row]
        return seen

    def inside(self) -> set[int]:
        """The nodes inside a loop or a branch, whose values no session can fetch.

        Source: tensorflow/core/kernels/control_flow_ops.cc (2.21).
        """
        op, with_op = self._edges.op, self._edges.with_op
        loops = self.beyond(with_op(*_ENTERS), lambda row: op(row) in _EXITS)
        ends = (*_EXITS, *_MERGES)
        return loops | self.beyond(with_op(*_SWITCHES), lambda row: op(row) in ends)
