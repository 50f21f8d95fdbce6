"""The variables that a meta graph's collections list, and what of the graph they need.

A VariableDef names the variable, what initializes it and what reads it; Python's loaders
look up all of them. What restores a variable may stand for what initializes it: then the
random numbers that it began with need not stay.
Source: tensorflow/core/framework/variable.proto,
tensorflow/python/training/saver.py Saver (2.21).
"""

from __future__ import annotations

from ..errors import RefusedError
from ..text import printable
from .collections import VARIABLES, entries
from .edges import MISSING
from .nodes import node_of
from .reach import Action, Barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..views import MetaGraph
    from .collections import Entry
    from .edges import Edges
    from .reach import Reach

#: The ops that give a variable, their first input, a value.
_ASSIGN = (b"Assign", b"AssignVariableOp")

#: The collection of the variables that are saved.
_SAVED = "variables"


class Listed:
    """The variables in the collections of a meta graph.

    Args:
        restores: What restores variables.

    Attributes:
        barrier: The entries as what loading runs: to settle with the others.
    """

    def __init__(
        self, graph: MetaGraph, edges: Edges, reach: Reach, restores: Iterable[Barrier] = ()
    ) -> None:
        self._edges = edges
        self._reach = reach
        self._assigned: dict[int, int] = {}  # variable -> what restores it
        for action in (a for barrier in restores for a in barrier.actions):
            if action.row != MISSING and edges.op(action.row) in _ASSIGN:
                for variable in edges.taken(action.row)[:1]:
                    self._assigned.setdefault(variable, action.row)
        self._actions: dict[tuple[int, ...], Action] = {}
        for entry in entries(graph, VARIABLES):
            rows = self._rows(entry)
            if rows:
                self._actions.setdefault(rows, Action(rows[0], rows=rows, handles=rows[:1]))
        self.barrier = Barrier(MISSING, (), self._actions.values())

    def stays(self, entry: Entry) -> bool:
        """Whether an entry's variable is live, and all that the entry needs with it."""
        rows = self._rows(entry)
        return bool(rows) and self._actions[rows].is_kept

    def is_live(self, entry: Entry) -> bool:
        """Whether an entry's variable is live."""
        row = self._edges.row(_node(entry, 0))
        return row is not None and self._reach.is_live(row)

    def restored_by(self, entry: Entry) -> bytes | None:
        """The node that restores an entry's variable; None where nothing does."""
        row = self._edges.row(_node(entry, 0))
        return self._edges.name(self._assigned[row]) if row in self._assigned else None

    def _rows(self, entry: Entry) -> tuple[int, ...]:
        """The nodes that an entry needs, its variable first; () where one is not there."""
        if not entry.is_variable:
            return ()
        row = self._edges.row
        variable = row(_node(entry, 0))
        # What initializes it, and the value that it is initialized with, can be done without.
        first = len(entry.names) - 1 if variable in self._assigned else 1
        rows = [variable, *(row(_node(entry, i)) for i in range(first, len(entry.names)))]
        return () if None in rows else tuple(r for r in rows if r is not None)


def _node(entry: Entry, i: int) -> bytes:
    return node_of(entry.names[i][0].encode("utf-8", "surrogateescape"))


def default_saver_keys(graph: MetaGraph, listed: Listed) -> set[bytes]:
    """The keys that v1 restores for a meta graph without a saver, of what is live.

    Call it when `listed` has settled.

    Raises:
        RefusedError: It does not tell by which key a live variable is restored.
    """
    keys = set()
    for entry in entries(graph, (_SAVED,)):
        name = entry.names[0][0]
        if entry.message is None:
            problem = "lists its variables as of old, and no saver says what is restored"
        elif listed.stays(entry):
            whole = entry.message.get(4, {}).get(1)  # of a slice, the variable that it is of
            keys.add((whole or name.partition(":")[0]).encode("utf-8", "surrogateescape"))
            continue
        elif listed.is_live(entry):
            problem = f"needs {printable(name)}, and lists it by what is not in the graph"
        else:
            continue
        raise RefusedError(
            graph.reader.path,
            f"{graph.place} {problem}",
            place=entry.place,
            hint="fastsm verify says what is wrong with the collections.",
        )
    return keys
