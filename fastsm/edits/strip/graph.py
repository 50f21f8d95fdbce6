"""What stays of one meta graph, and the splices that cut out the rest."""

from __future__ import annotations

from ...errors import FormatError
from ...graph.edges import MISSING, Live
from ...graph.function_edits import Library, keep_elements
from ...graph.listed import Listed, default_saver_keys
from ...graph.nodes import node_of
from ...graph.ops import Ops
from ...graph.reach import Reach, init_barriers
from ...graph.restoring import restoring_of
from ...graph.saving import Saving
from ...text import count, printable
from .. import signature_def
from . import assets, meta_info, objects, signatures
from .collections import filter_collections
from .restore import write_restore, write_save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...graph.edges import Edges
    from ...graph.kept import Kept
    from ...plan import Rewrite
    from ...views import MetaGraph
    from .request import Request

# NodeDef.attr; of an AttrValue its list, of that the strings.
_ATTR, _LIST, _STRINGS = 5, 1, 2

#: The attribute that names nodes to be placed with, and how it does.
_CLASS, _WITH = "_class", b"loc:@"


class GraphStrip:
    """What stays of a meta graph.

    Args:
        graph: The meta graph.
        edges: Its edges.
        keys: The signatures that stay.
        kept: The objects that stay; None where there are none.
        request: What else is asked for.

    Attributes:
        assets: The positions of the assets that stay.
        reach: What is live in its graph.

    Raises:
        FormatError: The part that stays is damaged.
        RefusedError: What it restores cannot be told apart.
    """

    def __init__(
        self,
        graph: MetaGraph,
        edges: Edges,
        keys: Sequence[str],
        kept: Kept | None,
        request: Request,
    ) -> None:
        self.graph = graph
        self.edges = edges
        self.kept = kept
        self.signatures = keys
        ops = Ops(graph, edges)
        self.reach = Reach(graph, edges, ops)
        self._restoring = restoring_of(graph)
        self._keeps_save = request.keep_save
        self._keep_roots()
        self._listed = self._settle()
        self._keep_siblings()
        saving = Saving(graph, edges, ops) if self._keeps_save else None
        self._saving = saving if saving is not None and saving.settle(self.reach) else None
        self.assets = {
            i for i, row in enumerate(assets.nodes(graph, edges))
            if row is not None and self.reach.is_live(row)
        }  # fmt: skip

    # -- what stays --

    def _keep_roots(self) -> None:
        """Let what is needed stay, whatever it is that loading runs."""
        rows = signatures.rows(self.graph, self.edges, self.signatures)
        functions: list[bytes] = []
        saver = self.graph.saver
        if saver is not None and saver.filename_tensor:
            rows.append(self._row(saver.filename_tensor.encode(), "saver_def"))
        fed = assets.nodes(self.graph, self.edges)
        stay: Iterable[int] = range(len(fed)) if assets.must_all_stay(self.graph) else ()
        if self.kept is not None:
            rows += [self._row(name, "object_graph_def") for name in self.kept.constants]
            functions = [name.encode("utf-8", "surrogateescape") for name in self.kept.functions]
            stay = [*stay, *self.kept.assets]
        rows += [row for i in stay if (row := self._fed(fed, i)) is not None]
        if self.kept is not None and self._keeps_save:
            rows += self._saved(self.kept)
        self.reach.keep(rows, [self._owner(name) for name in functions])

    def _saved(self, kept: Kept) -> list[int]:
        """The handles of what objects that stay have in the checkpoint.

        A session that saves it anew has to save these too: loading by objects looks for them.
        """
        called = self._restoring.called
        if called is None:
            return []
        taken = {a.row: self._restoring.keys(a) for a in self._restoring.actions}
        needed = kept.needed({key for keys in taken.values() for key in keys})
        rows = [
            called.inputs[i] for action in self._restoring.actions for i in action.arguments
            if not needed.isdisjoint(taken[action.row])
        ]  # fmt: skip
        return [row for row in rows if row != MISSING]

    def _settle(self) -> Listed:
        """Let that stay which loading must run for what stays."""
        restores = [b for b in [self._restoring.barrier(self.reach)] if b is not None]
        listed = Listed(self.graph, self.edges, self.reach, restores)
        inits = init_barriers(self.graph, self.edges)
        self.reach.settle([*inits, *restores, listed.barrier])
        return listed

    def _keep_siblings(self) -> None:
        """Keep the functions that can stand for one that stays, on another device perhaps.

        Nothing calls them: Grappler picks one of those that say that they implement the same.
        Source: tensorflow/core/grappler/optimizers/implementation_selector.cc (2.21).
        """
        edges, live = self.edges, self.reach.live
        seen: set[bytes | None] = {None}
        kept = [i + 1 for i, is_live in enumerate(live.functions) if is_live]
        wanted = {edges.function_attr(owner, "api_implements") for owner in kept} - seen
        if not wanted:
            return
        for name, owners in edges.implementations().items():
            if name in wanted:
                self.reach.keep((), [o for o in owners if not self._is_of_training(o)])

    def _is_of_training(self, owner: int) -> bool:
        """Whether a function is one of the pair that computes a gradient."""
        return any(
            self.edges.function_attr(owner, name) is not None
            for name in ("forward_function_name", "backward_function_name")
        )

    def _fed(self, fed: Sequence[int | None], i: int) -> int | None:
        """The node that an asset is fed to which an object names by its position."""
        if not 0 <= i < len(fed):
            problem = f"an asset is number {count(i)}, of {count(len(fed))} in asset_file_def"
            place = f"{self.graph.place}.object_graph_def"
            raise FormatError(self.graph.reader.path, problem, place=place)
        return fed[i]

    def _row(self, tensor: bytes, place: str) -> int:
        row = self.edges.row(node_of(tensor))
        if row is None:
            problem = f"names {printable(tensor)}, which is not in the graph"
            raise FormatError(
                self.graph.reader.path, problem, place=f"{self.graph.place}.{place}"
            )
        return row

    def _owner(self, name: bytes) -> int:
        owner = self.edges.nodes.function(name)
        if owner is None:
            problem = f"names the function {printable(name)}, which is not in the library"
            raise FormatError(
                self.graph.reader.path, problem, place=f"{self.graph.place}.object_graph_def"
            )
        return owner

    # -- what goes --

    def write(self, rewrite: Rewrite, tracked: bytes | None) -> set[bytes]:
        """Cut out all else.

        Args:
            tracked: The checkpoint's own object graph as it will be; None without one.

        Returns:
            The keys of the checkpoint that sessions restore for what stays.

        Raises RefusedError where that cannot be told.
        """
        graph, edges, reach = self.graph, self.edges, self.reach
        restored = set(write_restore(rewrite, self._restoring, reach))
        if graph.saver is None or not graph.saver.restore_op:
            restored |= default_saver_keys(graph, self._listed)
        if self._saving is not None:
            write_save(rewrite, self._saving, reach, tracked)
        reach.write(rewrite)
        self._leave_places(rewrite)
        filter_collections(rewrite, graph, edges, reach, self._listed, self._keeps_asset)
        gone = set(graph.signature_spans).difference(self.signatures, signatures.named_op(graph))
        signature_def.remove(rewrite, graph, gone)
        ids = assets.write(rewrite, graph, self.assets)
        if self.kept is not None:
            objects.write(rewrite, graph, self.kept, ids)
        ops = {op.decode("utf-8", "replace") for op in self._ops()}
        meta_info.filter_info(rewrite, graph, ops, self.functions)
        edges.cut(rewrite, reach.live)
        return restored

    @property
    def functions(self) -> set[str]:
        """The names of the functions that stay."""
        name = self.edges.nodes.function_name
        live = self.reach.live.functions
        return {
            name(i + 1).decode("utf-8", "surrogateescape")
            for i, is_live in enumerate(live) if is_live
        }  # fmt: skip

    def writers(self) -> dict[str, str]:
        """The signatures that change variables when they are run: key -> an op that does it."""
        found: dict[str, str] = {}
        if not self._writers(self.signatures):  # which takes one walk, and not one for each
            return found
        for key in self.signatures:
            ops = self._writers([key])
            if ops:
                found[key] = ops[0].decode("utf-8", "replace")
        return found

    def _writers(self, keys: Sequence[str]) -> list[bytes]:
        """The ops that change variables when signatures are run, sorted."""
        live = Live(self.edges)
        self.edges.walk(live, signatures.rows(self.graph, self.edges, keys))
        return sorted(op for op in self.edges.ops(live) if _writes(op))

    def _ops(self) -> set[bytes]:
        """The ops of what stays. Functions that restore and save lose nodes of theirs."""
        live = Live(self.edges)
        live.nodes, live.functions = self.reach.live.nodes, bytearray(self.reach.live.functions)
        found: set[bytes] = set()
        codes = [(self._restoring.called, self._restoring.cuts(self.reach))]
        if self._saving is not None:
            codes.append((self._saving.called, self._saving.cuts))
        for called, cuts in codes:
            if called is not None and cuts.rows is not None:
                live.functions[called.owner - 1] = 0
                found.update(map(self.edges.op, cuts.rows))
        return found.union(self.edges.ops(live))

    def _keeps_asset(self, tensor: str) -> bool:
        row = self.edges.row(node_of(tensor.encode("utf-8", "surrogateescape")))
        return row is not None and self.reach.is_live(row)

    def _leave_places(self, rewrite: Rewrite) -> None:
        """Let nodes that are placed with one that goes be placed without it.

        Source: tensorflow/core/graph/graph_constructor.cc, which looks for each (2.21).
        """
        rows = self.edges.displaced(self.reach.live)
        library = Library(self.graph) if rows else None
        for row in rows:
            assert library is not None
            node = library.node(row)
            for field, around in node.holding(_ATTR):
                entry = node.of([(field, around)], "attr")
                if entry.text(1) != _CLASS:
                    continue
                listed = entry.inside(2, "value").inside(_LIST, "list")
                places = [listed.reader.bytes(f, listed.place) for f, _ in listed.holding(_STRINGS)]
                kept = [i for i, place in enumerate(places) if self._is_there(place)]
                if kept:
                    keep_elements(rewrite, listed, _STRINGS, set(kept))
                else:
                    rewrite.replace(field.start, field.end, b"", around)

    def _is_there(self, place: bytes) -> bool:
        """Whether something of ``_class`` does not name a node that goes."""
        if not place.startswith(_WITH):
            return True
        row = self.edges.row(place[len(_WITH) :])
        return row is not None and self.reach.is_live(row)


def _writes(op: bytes) -> bool:
    """Whether an op changes a variable: assigns to it, adds to it, or trains it.

    Source: tensorflow/core/ops/{state_ops,resource_variable_ops,training_ops}.cc (2.21).
    """
    name = op.removeprefix(b"Resource")
    return name.startswith((b"Assign", b"Scatter", b"Apply", b"SparseApply", b"StridedSliceAssign"))
