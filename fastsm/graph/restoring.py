"""What a saver restores, action by action, and which of it runs for the handles that are live.

The restore op of a TF1 model waits for assignments, which are nodes of the main graph like
others. That of a TF2 model calls a function, which is given the handles of all variables and
tables: its actions are the nodes in it that have a state. An action goes with its handles, and
a tensor that no action takes any more is not read.
Source: tensorflow/python/training/saver.py,
tensorflow/python/checkpoint/functional_saver.py (2.21).
"""

from __future__ import annotations

from .called import Called, Cuts, called_by, reached
from .edges import MISSING, edges_of
from .listings import READERS, Listing, data_inputs, unknown
from .nodes import node_of
from .ops import Ops
from .reach import Action as Step
from .reach import Barrier, restore_barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..views import MetaGraph
    from .edges import Edges
    from .reach import Reach

#: Ops that hand on the path of a checkpoint, or make another one of it.
_PATHS = frozenset(
    b"Identity StringJoin ShardedFilename Pack Select SelectV2 StaticRegexFullMatch".split()
)

#: So many nodes are gone through to see what each action needs, three or four for each that
#: TensorFlow writes: in a function where all is tangled that would be all for each.
_MAX_STEPS = 1 << 20


class Action:
    """One thing that a restore function does.

    Attributes:
        row: The node.
        arguments: Which arguments of the function it is given handles in; none, and it always
            runs.
        needs, owners: All arguments that it needs, and the functions that it calls.
        step: What `Restoring.barrier` makes of it.
    """

    __slots__ = ("_restoring", "arguments", "needs", "owners", "row", "step")

    def __init__(
        self,
        restoring: Restoring,
        row: int,
        arguments: list[int],
        needs: list[int],
        owners: list[int],
    ) -> None:
        self._restoring = restoring
        self.row = row
        self.arguments = arguments
        self.needs, self.owners = needs, owners
        self.step: Step | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it stays; known when its barrier has settled."""
        return self.step is not None and self.step.is_kept

    @property
    def tensors(self) -> list[tuple[int, int]]:
        """What it takes from the checkpoint: (the row of the op that reads, which)."""
        return self._restoring.taken(self.row)


def restoring_of(graph: MetaGraph) -> Restoring:
    """What the saver of a meta graph restores, looked up once. Raises as `Restoring`."""

    def make() -> Restoring:
        edges = edges_of(graph)
        return Restoring(graph, edges, Ops(graph, edges))

    return graph.once("restoring", make)


class Restoring:
    """What the saver of a meta graph restores.

    Attributes:
        edges: The edges of its graph.
        row: The restore op; None where there is none.
        called: The function that it calls, where that can be cut; else None, and what it does
            are nodes of the main graph.
        actions: What that function does, in file order.
    """

    def __init__(self, graph: MetaGraph, edges: Edges, ops: Ops) -> None:
        self._graph, self.edges = graph, edges
        name = graph.saver.restore_op if graph.saver else ""
        self.row = edges.row(node_of(name.encode())) if name else None
        path = graph.saver.filename_tensor if graph.saver else ""
        self._path = edges.row(node_of(path.encode())) if path else None
        self.called = called_by(edges, self.row)
        self.actions: list[Action] = []
        self._listings: dict[int, Listing] = {}
        self._cuts: Cuts | None = None
        self._apart: set[int] = set()
        if self.called is not None and not self._find_actions(self.called, ops):
            self.called, self.actions = None, []

    @property
    def call(self) -> int | None:
        """The node that calls the function; None where there is no function to cut."""
        return self.called.call if self.called else None

    def _find_actions(self, called: Called, ops: Ops) -> bool:
        """What the function does; whether that can be told in reasonable time."""
        edges, n_steps = self.edges, 0
        readers = set(edges.with_op(*READERS, owner=called.owner))
        waited = set(called.controls.values())
        rows = [
            row for row in edges.rows(called.owner)
            if row not in readers and (row in waited or ops.is_stateful(row))
        ]  # fmt: skip
        self._apart = readers.union(rows)
        for row in rows:
            taken = data_inputs(edges, row)
            handles = [taken[i] for i in ops.handles(row)]
            _, arguments = reached(edges, [], inputs=handles, apart=self._apart)
            found, needs = reached(edges, [row], apart=self._apart)
            owners = [owner for r in sorted(found) for owner in edges.calls(r)]
            self.actions.append(
                Action(self, row, sorted(arguments & called.handles), sorted(needs), owners)
            )
            n_steps += len(found)
            if n_steps > _MAX_STEPS:
                return False
        return True

    def taken(self, row: int) -> list[tuple[int, int]]:
        """What a node of the function takes of the checkpoint, perhaps by way of others: (the
        row of the op that reads, which of its outputs)."""
        edges = self.edges
        rows, _ = reached(edges, [row], apart=self._apart)
        return [
            (taken.row, taken.output)
            for r in sorted(rows) if edges.op(r) not in READERS
            for taken in data_inputs(edges, r)
            if taken.row != MISSING and edges.op(taken.row) in READERS
        ]  # fmt: skip

    # -- what runs --

    def barrier(self, reach: Reach) -> Barrier | None:
        """What restoring runs, to be settled with all else that loading runs; None for nothing.

        The node that calls the function is live from then on, and so is that, but not what
        either takes: each action brings what it needs of that.

        Raises FormatError where the restore op is not in the graph.
        """
        called = self.called
        if called is None:
            return restore_barrier(self._graph, self.edges)
        reach.hold(called.call)
        reach.live.functions[called.owner - 1] = 1
        waits = [taken.row for taken in self.edges.inputs(called.call) if taken.control]
        rows, arguments = reached(self.edges, [row for row, _ in called.results], apart=self._apart)
        owners = [owner for row in sorted(rows) for owner in self.edges.calls(row)]
        steps = [self._step(called, arguments | called.returned, owners, (), waits)]
        for action in self.actions:
            handles = [called.inputs[i] for i in action.arguments if called.inputs[i] != MISSING]
            action.step = self._step(called, action.needs, action.owners, handles)
            steps.append(action.step)
        return Barrier(called.call, (), steps)

    def _step(
        self,
        called: Called,
        arguments: Iterable[int],
        owners: list[int],
        handles: Sequence[int],
        waits: Iterable[int] = (),
    ) -> Step:
        """What the main graph and its library need for some of what the function does."""
        rows = [*(called.inputs[i] for i in sorted(arguments)), *waits]
        rows = [row for row in rows if row != MISSING]
        return Step(called.call, rows=rows, owners=owners, handles=handles)

    # -- what goes --

    def cuts(self, reach: Reach) -> Cuts:
        """What goes of the code that restores when only what is live stays; to be asked when
        all is settled.

        Raises:
            RefusedError: It does not tell by constants which tensors it reads.
        """
        if self._cuts is None:
            self._cuts = self._find_cuts(reach)
        return self._cuts

    def _find_cuts(self, reach: Reach) -> Cuts:
        cuts = Cuts()
        if self.row is None:
            return cuts
        edges, called = self.edges, self.called
        if called is None:
            live = reach.live.nodes
            rows, _ = reached(edges, [self.row], among=live)
            readers = [row for row in sorted(rows) if edges.op(row) in READERS]
            used = self._taken_of(readers, live)
        elif all(action.is_kept for action in self.actions):
            # It stays as it is, and goes on to read what nothing takes.
            rows, used = set(edges.rows(called.owner)), {}
            readers = edges.with_op(*READERS, owner=called.owner)
        else:
            kept = [action.row for action in self.actions if action.is_kept]
            rows, arguments = reached(
                edges, [*(row for row, _ in called.results), *kept], apart=self._apart
            )
            cuts.rows, cuts.arguments = rows, sorted(arguments | called.returned)
            readers = [row for row in sorted(rows) if edges.op(row) in READERS]
            used = self._used(rows)
        keys: list[bytes] = []
        for row in readers:
            listing = self.listing(row)
            stay = sorted(used.get(row, ())) or range(len(listing.keys))
            keys += [self.key(row, i) for i in stay]
            if len(stay) < len(listing.keys):
                cuts.slots[row] = list(stay)
        cuts.keys = list(dict.fromkeys([*keys, *self._inner_keys(rows)]))
        return cuts

    def listing(self, row: int) -> Listing:
        """What a node that reads the checkpoint lists. Raises RefusedError."""
        if row not in self._listings:
            self._listings[row] = Listing(self.edges, row)
        return self._listings[row]

    def keys(self, action: Action) -> list[bytes]:
        """The keys of the tensors that an action takes. Raises RefusedError."""
        return [self.key(row, output) for row, output in action.tensors]

    def key(self, row: int, output: int) -> bytes:
        """The key of a tensor that a node reads. Raises RefusedError."""
        keys = self.listing(row).keys
        if output >= len(keys):
            raise unknown(self.edges, row, f"has no output {output}, which is taken")
        return keys[output]

    def _used(self, rows: Iterable[int]) -> dict[int, set[int]]:
        """Which outputs of nodes of the function are taken in it, or returned."""
        assert self.called is not None
        used: dict[int, set[int]] = {}
        for row in rows:
            for taken in data_inputs(self.edges, row):
                used.setdefault(taken.row, set()).add(taken.output)
        for row, output in self.called.results:
            used.setdefault(row, set()).add(output)
        return used

    def _taken_of(self, readers: Iterable[int], live: bytearray) -> dict[int, set[int]]:
        """Which outputs of nodes of the main graph live ones take."""
        edges = self.edges
        used: dict[int, set[int]] = {reader: set() for reader in readers}
        takers = dict.fromkeys(row for reader in used for row in edges.takers(reader) if live[row])
        for row in takers:  # each once: it may take from many of them
            for taken in data_inputs(edges, row):
                if taken.row in used:
                    used[taken.row].add(taken.output)
        return used

    def _inner_keys(self, rows: set[int]) -> Iterator[bytes]:
        """The keys that functions read which are given the path of the checkpoint.

        Args:
            rows: What runs of the main graph, or of the restore function.
        """
        edges = self.edges
        for row in self._given_path(rows):
            if edges.op(row) in READERS:
                continue
            owners = edges.calls(row)
            if not owners:
                raise unknown(
                    edges, row, "is given the path of the checkpoint: which tensors it reads there "
                    "is not known",
                )  # fmt: skip
            seen = set()
            while owners:
                owner = owners.pop()
                if owner not in seen:
                    seen.add(owner)
                    owners += [o for r in edges.rows(owner) for o in edges.calls(r)]
            for owner in sorted(seen):
                for reader in edges.with_op(*READERS, owner=owner):
                    yield from self.listing(reader).keys

    def _given_path(self, rows: set[int]) -> list[int]:
        """Those of some nodes that take the path of the checkpoint, but for what hands it on."""
        edges, called = self.edges, self.called
        takes: dict[tuple[int, int], list[int]] = {}  # (row, argument) -> who takes it
        for row in rows:
            for taken in data_inputs(edges, row):
                takes.setdefault((taken.row, taken.arg), []).append(row)
        paths = [(self._path, -1)] if called is None and self._path is not None else []
        if called is not None:
            paths = [
                (-1, i) for i, row in enumerate(called.inputs)
                if i not in called.handles and self._path in (None, row)
            ]  # fmt: skip
        seen = set()
        for path in paths:  # grows while it is walked
            for row in takes.get(path, ()):
                if row not in seen:
                    seen.add(row)
                    if edges.op(row) in _PATHS:
                        paths.append((row, -1))
        return sorted(row for row in seen if edges.op(row) not in _PATHS)
