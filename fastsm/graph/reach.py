"""What is live in a meta graph: what its roots take, and of what loading runs only that part
which touches it.

The init op and the saver's restore op run for everything that was saved. They are barriers:
NoOps that wait for actions. An action stays where it touches something live, a resource or
a ref; or where it touches none, and does something. It makes other nodes live, which other
actions touch: so all barriers settle together.
"""

from __future__ import annotations

from ..errors import FormatError
from ..text import printable
from ..views import INIT_OP
from .collections import entries
from .edges import MISSING, Live
from .function_edits import Library
from .nodes import node_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from ..plan import Rewrite
    from ..views import MetaGraph
    from .edges import Edges
    from .ops import Ops

_NOOP = b"NoOp"

#: The collections that tf.saved_model.load initializes by where there is no init op.
_TABLES, _LOCAL = "table_initializer", "local_variables"


class Action:
    """Something that loading runs.

    Args:
        row: Its node, or that of the call that it is in.
        rows, owners: The nodes and functions that stay with it; without any its node.
        handles: The nodes that it takes handles from, if it stays for them alone; none: it
            stays. Without it that is seen from the graph.

    Attributes:
        is_kept: Whether it stays; known when its barrier has settled.
    """

    __slots__ = ("handles", "is_kept", "owners", "row", "rows")

    def __init__(
        self,
        row: int,
        *,
        rows: Sequence[int] | None = None,
        owners: Sequence[int] = (),
        handles: Sequence[int] | None = None,
    ) -> None:
        self.row = row
        self.rows = [row] if rows is None else rows
        self.owners = owners
        self.handles = handles
        self.is_kept = False


class Barrier:
    """What loading runs at once.

    Attributes:
        root: The node that it is named by; MISSING where loaders go by a collection.
        noops: The NoOps between it and its actions, itself too if it is one.
        actions: What it runs, in file order.
    """

    __slots__ = ("actions", "noops", "root")

    def __init__(self, root: int, noops: Iterable[int], actions: Iterable[Action]) -> None:
        self.root = root
        self.noops = list(noops)
        self.actions = list(actions)


def init_barriers(graph: MetaGraph, edges: Edges) -> list[Barrier]:
    """What loading runs once the variables are restored.

    That is the init op; where there is none, tf.saved_model.load runs the initializers of
    tables and of local variables that the collections list.

    Raises FormatError where an op that is to be run is not in the graph.
    Source: tensorflow/python/saved_model/load_v1_in_v2.py,
    training/monitored_session.py Scaffold.default_local_init_op (2.21).
    """
    init = graph.init_op
    if init is not None:
        if init.source == "signature":  # which always names an op
            return [_named(edges, _row(graph, edges, init.name, f'signature_def["{INIT_OP}"]'))]
        place = f'collection_def["{init.source}"]'
        return [_barrier(edges, _row(graph, edges, init.name, place))]
    actions: dict[int, Action] = {}
    for entry in entries(graph, (_TABLES, _LOCAL)):
        if entry.is_variable == (entry.collection == _LOCAL):
            name = entry.names[entry.is_variable][0]  # of a variable its initializer
            row = edges.row(node_of(name.encode("utf-8", "surrogateescape")))
            if row is not None:  # else no loader imports the collection
                actions.setdefault(row, Action(row))
    return [Barrier(MISSING, (), actions.values())] if actions else []


def restore_barrier(graph: MetaGraph, edges: Edges) -> Barrier | None:
    """What the session loaders run to restore the variables; None without a saver.

    Where that is no NoOp it stays whole: the loaders ask for it by its name.

    Raises FormatError where it is not in the graph.
    """
    saver = graph.saver
    if saver is None or not saver.restore_op:
        return None
    row = _row(graph, edges, saver.restore_op, "saver_def.restore_op_name")
    return _named(edges, row)


def _named(edges: Edges, row: int) -> Barrier:
    """What a node runs that must be there: if it is no NoOp, it stays whole."""
    if edges.op(row) == _NOOP:
        return _barrier(edges, row)
    return Barrier(row, (), [Action(row, handles=())])


def _row(graph: MetaGraph, edges: Edges, name: str, place: str) -> int:
    row = edges.row(node_of(name.encode("utf-8", "surrogateescape")))
    if row is None:
        raise FormatError(
            graph.reader.path,
            f"names {printable(name)}, which is not in the graph",
            place=f"{graph.place}.{place}",
        )
    return row


def _barrier(edges: Edges, root: int) -> Barrier:
    """The NoOps from a node on, and the actions that they wait for."""
    noops: list[int] = []
    actions: dict[int, Action] = {}
    seen, found = {root}, [root]
    while found:
        row = found.pop()
        if edges.op(row) != _NOOP:
            actions[row] = Action(row)
            continue
        noops.append(row)
        for taken in edges.taken(row):
            if taken != MISSING and taken not in seen:
                seen.add(taken)
                found.append(taken)
    return Barrier(root, noops, [actions[row] for row in sorted(actions)])


class Reach:
    """What is live in a meta graph.

    Attributes:
        live: The nodes and functions that are, so far.
    """

    def __init__(self, graph: MetaGraph, edges: Edges, ops: Ops) -> None:
        self.graph = graph
        self.live = Live(edges)
        self._edges = edges
        self._ops = ops
        self._held: dict[int, None] = {}

    def is_live(self, row: int) -> bool:
        """Whether a node of the main graph is live."""
        return bool(self.live.nodes[row])

    def keep(self, rows: Iterable[int] = (), owners: Iterable[int] = ()) -> None:
        """Let nodes of the main graph and functions be live, with all that they take."""
        self._edges.walk(self.live, rows, owners)

    def hold(self, row: int) -> None:
        """Let a node be live, and nothing of what it takes."""
        self.live.nodes[row] = 1

    def producers(self, row: int) -> list[int]:
        """The nodes that a node takes its handles from."""
        handles = self._ops.handles(row)
        if not handles:
            return []
        taken = self._edges.taken(row)
        return [taken[i] for i in handles if taken[i] != MISSING]

    def settle(self, barriers: Sequence[Barrier]) -> None:
        """Keep what loading must run for what is live, and what is live by that.

        All other roots must have been kept before. An action that the graph needs anyway
        stays; a NoOp that the graph needs waits for all that it waited for.
        """
        noops = dict.fromkeys(row for barrier in barriers for row in barrier.noops)
        held = {row: None for row in noops if not self.is_live(row)}
        for row in held:
            self.hold(row)
        actions = [action for barrier in barriers for action in barrier.actions]
        flow = _Flow(self, noops)
        needed: set[int] = set()  # NoOps of those held that something else takes
        kept = flow.begin(actions)
        while kept:
            fresh: list[int] = []
            for action in kept:
                action.is_kept = True
                fresh += self._fresh(action.rows, held, needed)
                self.keep(action.rows, action.owners)
            kept = flow.flood(fresh)
        for action in actions:
            if action.handles is None:
                action.is_kept = self.is_live(action.row)
        self._let_go(barriers, held, needed)

    def _fresh(
        self, rows: Iterable[int], held: Container[int], needed: set[int]
    ) -> list[int]:
        """The nodes that become live with some; told are the held NoOps that they take."""
        found: dict[int, None] = {}
        stack = list(rows)
        while stack:
            row = stack.pop()
            if row in held:
                needed.add(row)
            if row in found or self.live.nodes[row]:
                continue
            found[row] = None
            stack += [taken for taken in self._edges.taken(row) if taken != MISSING]
        return list(found)

    def _let_go(
        self, barriers: Sequence[Barrier], held: dict[int, None], needed: set[int]
    ) -> None:
        """Of the NoOps that were held, let those go that wait for nothing any more."""
        above: dict[int, list[int]] = {}
        for row in held:
            for taken in self._edges.taken(row):
                above.setdefault(taken, []).append(row)
        stays = {b.root for b in barriers if b.root in held}
        stack = [row for row in above if row != MISSING and row not in held and self.is_live(row)]
        stack += [*stays, *needed]
        stays.update(needed)
        while stack:
            for row in above.pop(stack.pop(), ()):
                if row not in stays:
                    stays.add(row)
                    stack.append(row)
        for row in held:
            if row not in stays:
                self.live.nodes[row] = 0
        self._held.update(held)

    def write(self, rewrite: Rewrite) -> None:
        """Take out of the NoOps that stay what they no longer wait for."""
        library = Library(self.graph)
        for row in sorted(self._held):
            if not self.is_live(row):
                continue
            gone = [t != MISSING and not self.is_live(t) for t in self._edges.taken(row)]
            if not any(gone):
                continue
            node = library.node(row)
            for (f, around), goes in zip(node.holding(3), gone, strict=True):
                if goes:
                    rewrite.replace(f.start, f.end, b"", around)


class _Flow:
    """How what is live reaches actions: through handles, and through what actions take.

    An action may be but the end of a chain: an Identity behind an Assign, a Merge behind a
    condition. So what it takes counts with it: what changes something live, wherever it is;
    and what does something without a handle, if only nodes that do nothing lie between. What
    lies behind another action counts with that one.
    """

    def __init__(self, reach: Reach, noops: Container[int]) -> None:
        self._reach = reach
        self._edges: Edges = reach._edges
        self._ops: Ops = reach._ops
        self._noops = noops
        self._actions: dict[int, list[Action]] = {}  # of nodes
        self._leads: dict[int, list[int | Action]] = {}  # node -> what takes a handle from it
        self._takers: dict[int, list[int]] = {}  # node -> what takes anything from it
        self._touching: set[int] = set()  # nodes that count where what they touch is live
        self._sources: list[int] = []  # those that make a handle, and take none
        self._hot: set[int] = set()  # those that do

    def begin(self, actions: Iterable[Action]) -> list[Action]:
        """Take the actions in; those to be kept for what is live by now."""
        kept = []
        for action in actions:
            if action.handles is None:
                self._actions.setdefault(action.row, []).append(action)
            elif action.handles:
                self._lead(action, action.handles)
            else:
                kept.append(action)
        doing, idle = self._look_behind()
        kept += self._heated(doing, idle)
        found = [row for row in self._sources if not self._ops.is_own(row)]
        found += self._shared()
        return kept + self.flood([*found, *filter(self._reach.is_live, self._leads)])

    def flood(self, rows: Iterable[int]) -> list[Action]:
        """The actions that are to be kept as these nodes are live; each is told once."""
        kept: list[Action] = []
        stack = [row for row in rows if row in self._leads]
        while stack:
            for taker in self._leads.pop(stack.pop(), ()):
                if not isinstance(taker, int):
                    kept.append(taker)
                    continue
                if taker in self._leads:
                    stack.append(taker)
                if taker in self._touching:
                    kept += self._heated([taker])
        return [action for action in kept if not action.is_kept]

    def _look_behind(self) -> tuple[list[int], set[int]]:
        """Enter all that actions take; which nodes do something without a handle, and which
        do nothing."""
        ops = self._ops
        doing, idle = [], set()
        stack = list(self._actions)
        seen = set(stack)
        while stack:
            row = stack.pop()
            is_action = row in self._actions
            changes = ops.changes(row)
            before = self._reach.producers(row) if is_action or changes else []
            if not ops.is_known(row) or (changes and not before):
                doing.append(row)
            elif before:
                self._touching.add(row)
                self._lead(row, before)
            elif not ops.is_stateful(row):
                idle.add(row)
            for taken in self._edges.taken(row):
                if taken == MISSING or taken in self._noops or taken in self._actions:
                    continue
                self._takers.setdefault(taken, []).append(row)
                if taken not in seen:
                    seen.add(taken)
                    stack.append(taken)
        return doing, idle

    def _shared(self) -> list[int]:
        """Let handles of one name lead to each other; those that functions make by that name."""
        edges, live = self._edges, self._reach.live
        made = {edges.op(row) for row in self._sources}
        rows = dict.fromkeys([*self._sources, *edges.with_op(*made)])
        named: dict[tuple[bytes, bytes], list[int]] = {}
        for row in rows:
            named.setdefault(edges.node(row).shared_name, []).append(row)
        for alike in named.values():
            for row, other in zip(alike, [*alike[1:], alike[0]], strict=True):
                if row != other:
                    self._leads.setdefault(row, []).append(other)
        inside = [
            edges.node(row).shared_name
            for owner, is_live in enumerate(live.functions, 1) if is_live
            for row in edges.with_op(*made, owner=owner)
        ]  # fmt: skip
        return [row for name in inside for row in named.get(name, ())[:1]]

    def _lead(self, taker: int | Action, producers: Iterable[int]) -> None:
        """Say that a handle comes to something, and how it comes to where it comes from."""
        stack: list[tuple[int | Action, Iterable[int]]] = [(taker, producers)]
        while stack:
            taker, producers = stack.pop()
            for row in producers:
                if row not in self._leads:
                    self._leads[row] = []
                    before = self._reach.producers(row)
                    stack.append((row, before))
                    if not before:
                        self._sources.append(row)
                self._leads[row].append(taker)

    def _heated(self, rows: Iterable[int], through: Container[int] | None = None) -> list[Action]:
        """The actions that these nodes are, or lie behind.

        Args:
            through: The nodes that may lie between; None: any.
        """
        kept: list[Action] = []
        hot = self._hot if through is None else set()
        stack = [row for row in rows if row not in hot]
        hot.update(stack)
        while stack:
            row = stack.pop()
            kept += self._actions.get(row, ())
            for taker in self._takers.get(row, ()):
                if taker not in hot and (through is None or taker in through):
                    hot.add(taker)
                    stack.append(taker)
        return kept
