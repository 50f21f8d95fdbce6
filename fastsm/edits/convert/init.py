"""What loading has to run beside the saver: the initializers of tables and of local variables.

Source: tensorflow/python/training/monitored_session.py Scaffold.default_local_init_op;
python/saved_model/builder_impl.py SavedModelBuilder._maybe_add_main_op (2.21).
"""

from __future__ import annotations

from ..._core import delimited
from ...graph.collections import COLLECTION, NODE_LIST, entries
from ...graph.nodes import node_of
from ...plan import enclosing
from ...views import INIT_COLLECTIONS
from .new_nodes import node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...graph.edges import Edges
    from ...plan import Rewrite
    from ...views import MetaGraph
    from .variables import Variables

#: The collection of the ops that fill tables.
_TABLES = "table_initializer"

#: Ops that do so, where no collection lists them.
_FILLS = (
    b"InitializeTable", b"InitializeTableV2", b"InitializeTableFromTextFile",
    b"InitializeTableFromTextFileV2", b"InitializeTableFromDataset", b"LookupTableImport",
    b"LookupTableImportV2",
)  # fmt: skip

#: Ops that make a table that is filled once, and those whose tables can also be filled by the
#: saver, or while they are used.
_TABLE = (b"HashTable", b"HashTableV2")
_MUTABLE = (
    b"MutableHashTable", b"MutableHashTableV2", b"MutableHashTableOfTensors",
    b"MutableHashTableOfTensorsV2", b"MutableDenseHashTable", b"MutableDenseHashTableV2",
)  # fmt: skip


class Initializers:
    """What of a graph loading has to run.

    Attributes:
        own: The init op that the graph names itself; None without one.
        tables: The rows of the ops that fill tables, in the order of their collection.
        locals: The rows of the ops that initialize local variables.
    """

    def __init__(self, graph: MetaGraph, edges: Edges, variables: Variables) -> None:
        self._edges = edges
        self.own = graph.init_op
        rows: list[int] = []
        for entry in entries(graph, (_TABLES,)):
            row = edges.row(node_of(entry.names[0][0].encode("utf-8", "surrogateescape")))
            if row is not None:
                rows.append(row)
        tables = set(edges.with_op(*_TABLE))
        filling = [r for r in edges.with_op(*_FILLS) if tables.intersection(edges.taken(r)[:1])]
        rows = rows or filling
        self.tables = list(dict.fromkeys(rows))
        self.locals = list(dict.fromkeys(variables.initializers.values()))

    def empty(self, used: set[int], run: Iterable[int]) -> tuple[list[int], list[int]]:
        """The tables that are empty when a model is loaded.

        Args:
            used: The nodes that the outputs need.
            run: All that loading runs.

        Returns:
            Those that cannot be asked then, and those that can.
        """
        edges = self._edges
        filled = {t for row in run if edges.op(row) in _FILLS for t in edges.taken(row)[:1]}
        found = [
            [row for row in edges.with_op(*ops) if row in used and row not in filled]
            for ops in (_TABLE, _MUTABLE)
        ]
        return found[0], found[1]

    @property
    def rows(self) -> list[int]:
        """The nodes that a new init op waits for; none where none is needed."""
        return [] if self.own is not None else [*self.locals, *self.tables]


def new_init_op(edges: Edges, rows: Iterable[int], name: bytes) -> bytes:
    """A node that waits for some."""
    return node(name, b"NoOp", [b"^" + edges.name(row) for row in rows])


def name_init_op(rewrite: Rewrite, graph: MetaGraph, name: bytes) -> None:
    """Let loaders find the init op: by the collection in which all of them look, old ones too."""
    value = delimited(NODE_LIST, delimited(1, name))
    entry = delimited(1, INIT_COLLECTIONS[0].encode()) + delimited(2, value)
    at = next((f.start for f in graph.fields if f.number > COLLECTION), graph.field.end)
    rewrite.replace(at, at, delimited(COLLECTION, entry), enclosing(graph.field))
