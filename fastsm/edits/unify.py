"""Variables that session loaders and tf.saved_model.load restore into two places, made one.

The handle that signatures read gets the value of the variable's own key. Where it got the value
of a second key before, the bytes of both are held against each other, and then the second is
restored no more; where it is that of an object which no function takes, the one object stands
for both, in both object graphs, and the checkpoint needs its bytes once.
"""

from __future__ import annotations

from collections import Counter

from .. import _core
from .._core import delimited
from ..bundle import OBJECT_GRAPH_KEY
from ..errors import CoreError, FormatError
from ..fingerprint import PROGRAM
from ..graph.edges import edges_of
from ..graph.function_edits import Library
from ..graph.handles import Handles
from ..graph.listings import READERS
from ..graph.object_edits import CheckpointObjectEdits, SavedObjectEdits
from ..graph.ops import Ops
from ..graph.reach import Reach
from ..graph.restoring import restoring_of
from ..graph.saving import Saving
from ..graph.tracked import Trackables, matched
from ..source import from_bytes
from ..text import Record, printable
from ..views import loads_by_objects
from .dedupe import equal_bytes
from .slots import remove_slots
from .strip.restore import write_restore, write_save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .._core import BundleIndex
    from ..graph.called import Called, Cuts
    from ..graph.handles import Twin
    from ..graph.objects import ObjectNode
    from ..plan import Rewrite
    from ..source import Reader
    from .draft import Draft

    Progress = Callable[[int, int], object]

_INPUT = 3  # NodeDef.input


class Unified(Record):
    """What was made one in a model.

    Attributes:
        restored: The handles of variables that session loaders did not find, and find now.
        merged: Of variables that were restored twice (key, the key that they had beside).
        slots: The slot variables that are variables now, as ``optimizer/m``.
        left: What had to stay as it was, a sentence each.
    """

    __slots__ = ("left", "merged", "restored", "slots")

    restored: list[str]
    merged: list[tuple[str, str]]
    slots: list[str]
    left: list[str]

    def __init__(self) -> None:
        self.restored, self.merged, self.slots, self.left = [], [], [], []


def unify(draft: Draft, progress: Progress | None = None, *, slots: bool = True) -> Unified:
    """Let all loaders restore a model's variables into the same places, each once.

    Args:
        progress: Called with (bytes compared, bytes to compare).
        slots: Whether slot variables become variables.

    Raises:
        FormatError: The model or its variables are damaged.
        RefusedError: The checkpoint's own object graph has to follow, and cannot be read; or
            the code that restores does not tell what it reads.
    """
    done = Unified()
    model = _model(draft)
    if model is not None:
        doubled = _proved(draft, model.doubled(), done, progress)
        _rewire(draft, model, model.lost(done), doubled, done)
    if slots:
        done.slots = remove_slots(draft)
    return done


def restore_read(draft: Draft) -> list[str]:
    """Restore what signatures read and nothing restores, where its key goes elsewhere.

    Returns:
        A sentence for each variable of which that cannot be said.

    Raises as `unify`.
    """
    done = Unified()
    model = _model(draft)
    if model is not None:
        _rewire(draft, model, model.lost(done), [], done)
    return done.left


def merge_doubled(draft: Draft) -> list[str]:
    """Restore variables once that session loaders restore twice, into two handles.

    Returns:
        A sentence where there is none, as the bytes show.

    Raises as `unify`.
    """
    done = Unified()
    model = _model(draft)
    if model is not None:
        _rewire(draft, model, [], _proved(draft, model.doubled(), done, None), done)
    if not done.merged:
        return done.left[:1]
    draft.plan.warnings += done.left
    return []


def _rewire(
    draft: Draft, model: _Model, lost: list[Twin], doubled: list[Twin], done: Unified
) -> None:
    """Let the handles that are read have the values of their keys.

    Args:
        lost: Variables whose handle nothing is restored into.
        doubled: Those whose handle another key is restored into, with the same value.
    """
    if not lost and not doubled:
        return
    rewrite, tracked, lost_keys = draft.rewrite(), None, []
    if doubled:
        draft.bundle_rewrite()  # raises where the variables cannot be written
        objects = _Objects(model, doubled)
        tracked = objects.into(rewrite)
        keys = frozenset(model.restore_once(rewrite, doubled, tracked))
        if not model.reads_elsewhere():
            lost_keys = [key for key in objects.keys_gone if key not in keys]
    model.rewire(rewrite, [*lost, *doubled])
    draft.put(rewrite, [PROGRAM])
    if tracked is not None:
        draft.put_tracked(from_bytes(tracked))
    if lost_keys:
        draft.bundle_rewrite().drop(lost_keys)
    done.restored += sorted(model.name(t.read) for t in lost)
    done.merged += sorted((printable(t.key), printable(t.other_key or b"")) for t in doubled)


def _proved(
    draft: Draft, twins: list[Twin], done: Unified, progress: Progress | None
) -> list[Twin]:
    """Those both of whose keys have the same bytes, seen by comparing them."""
    if not twins:
        return []
    rewrite = draft.bundle_rewrite()
    pairs = [(rewrite.rows[t.key], rewrite.rows[t.other_key or b""]) for t in twins]
    for pair in pairs:
        rewrite.place(pair[0]), rewrite.place(pair[1])  # raises where one is not in its shard
    equal = equal_bytes(rewrite, pairs, progress)
    done.left += [_differ(t) for t, same in zip(twins, equal, strict=True) if not same]
    return [t for t, same in zip(twins, equal, strict=True) if same]


def _differ(twin: Twin) -> str:
    return (
        f"{printable(twin.key)} is one variable with {printable(twin.other_key or b'')}, and has "
        "another value: session loaders compute with the one, tf.saved_model.load with the other"
    )


class _Model:
    """A model that is loaded by its objects, and how sessions restore it.

    Attributes:
        handles: Its handles, against its objects.
    """

    def __init__(self, draft: Draft, index: BundleIndex, tracked: Reader) -> None:
        self.graph = draft.graphs[0]
        self._index = index
        self._rows: dict[bytes, int] | None = None
        self._kept: dict[int, frozenset[int]] = {}  # call -> the inputs that it still has
        self.tracked = tracked
        try:
            tables = _core.ObjectGraph(tracked.source.read(0, tracked.source.size))
        except CoreError as e:
            raise FormatError(
                draft.path, f"the checkpoint's own object graph is damaged: {e}"
            ) from None
        self.trackables = Trackables(tables)
        self.edges = edges_of(self.graph)
        self._ops = Ops(self.graph, self.edges)
        self._restoring = restoring_of(self.graph)
        objects = self.graph.objects
        assert objects is not None
        self.objects = objects
        self.found = matched(objects, self.trackables)
        self.handles = Handles(
            self.graph, self.edges, self._restoring, self.trackables, self.found
        )

    @property
    def _saving(self) -> Saving:
        """What its saver saves, which only an edit has to know."""
        return self.graph.once("saving", lambda: Saving(self.graph, self.edges, self._ops))

    def lost(self, done: Unified) -> list[Twin]:
        """The variables whose handle nothing is restored into; told is what else is wrong."""
        twins = self.handles.twins
        done.left += [
            _differ(t) for t in twins if t.other_key is not None and self._is_doubled(t) is False
        ]
        done.left += [
            f"{self.name(row)} is read, and no key of the checkpoint is known to be its"
            for row, _ in self.handles.unrestored
        ]
        return [t for t in twins if t.other_key is None]

    def doubled(self) -> list[Twin]:
        """Those whose handle another key is restored into that looks the same."""
        return [t for t in self.handles.twins if self._is_doubled(t)]

    def _is_doubled(self, twin: Twin) -> bool | None:
        if self._rows is None:
            self._rows = {key: i for i, key in enumerate(self._index.keys())}
        return twin.is_doubled(self._index, self._rows)

    def name(self, row: int) -> str:
        return printable(self.edges.name(row))

    def rewire(self, rewrite: Rewrite, twins: Iterable[Twin]) -> None:
        """Let what restores and saves take the handles that are read."""
        to = {t.written: self.edges.name(t.read) for t in twins}
        library = Library(self.graph)
        for call in dict.fromkeys([self._restoring.row, self._saving.row]):
            if call is None:
                continue
            pairs = zip(library.node(call).holding(_INPUT), self.edges.inputs(call), strict=True)
            data = [(pair, taken) for pair, taken in pairs if not taken.control]
            for i, ((f, around), taken) in enumerate(data):
                if taken.row in to and i in self._kept.get(call, (i,)):
                    rewrite.replace(f.start, f.end, delimited(_INPUT, to[taken.row]), around)

    def restore_once(
        self, rewrite: Rewrite, twins: Iterable[Twin], tracked: bytes | None
    ) -> list[bytes]:
        """Take out what restores, and saves, the second keys.

        Args:
            tracked: The checkpoint's own object graph, if it is another now.

        Returns:
            The keys that are restored still.
        """
        reach = Reach(self.graph, self.edges, self._ops)
        live = reach.live
        live.nodes[:], live.functions[:] = b"\1" * len(live.nodes), b"\1" * len(live.functions)
        self._restoring.barrier(reach)
        gone = {twin.read for twin in twins}
        for row in gone:
            live.nodes[row] = 0
        called = self._restoring.called
        assert called is not None
        for action in self._restoring.actions:
            assert action.step is not None
            action.step.is_kept = gone.isdisjoint(called.inputs[i] for i in action.arguments)
        saving = self._saving
        if saving.called is not None and saving.settle(reach):
            write_save(rewrite, saving, reach, tracked)
            self._keep(saving.called, saving.cuts)
        self._keep(called, self._restoring.cuts(reach))
        return write_restore(rewrite, self._restoring, reach)

    def reads_elsewhere(self) -> bool:
        """Whether anything but the restore function reads the checkpoint."""
        called = self._restoring.called
        owners = set(range(self.edges.n_functions + 1)) - {called.owner if called else -1}
        return any(self.edges.with_op(*READERS, owner=owner) for owner in owners)

    def _keep(self, called: Called, cuts: Cuts) -> None:
        if cuts.rows is not None:
            self._kept[called.call] = frozenset(cuts.arguments)


def _model(draft: Draft) -> _Model | None:
    """None where there is nothing to find."""
    if not loads_by_objects(draft.graphs) or draft.bundle is None or draft.tracked is None:
        return None
    return _Model(draft, draft.bundle.index, draft.tracked)


class _Objects:
    """Objects that no function takes, each in favour of the one that is the same variable.

    What led to the one leads to the other, in both object graphs: a list of a model's variables
    has as many, and each has its value.

    Attributes:
        keys_gone: The keys that no object has any more.
    """

    def __init__(self, model: _Model, twins: Sequence[Twin]) -> None:
        self._saved = SavedObjectEdits(model.graph)
        self._tracked = CheckpointObjectEdits(model.tracked, OBJECT_GRAPH_KEY.decode())
        self.keys_gone: list[bytes] = []
        tables = model.trackables.tables
        by_key: dict[bytes, list[int]] = {}
        for node, _, _, key in tables.values:
            by_key.setdefault(key.encode(), []).append(node)
        n_values = Counter([node for node, *_ in tables.values] + [n for n, _ in tables.savers])
        saved_of: dict[int, list[int]] = {}
        for to, node in model.found.items():
            saved_of.setdefault(node, []).append(to)
        pairs: list[tuple[Twin, int, int]] = []
        for twin in twins:
            assert twin.other_key is not None
            nodes = by_key.get(twin.other_key, [])
            objects = saved_of.get(nodes[0], []) if len(nodes) == 1 else []
            if not nodes:
                self.keys_gone.append(twin.other_key)
            elif len(objects) == 1:
                pairs.append((twin, objects[0], nodes[0]))
        saved_parents = _parents(
            ((n.id, n.child_ids) for n in model.objects), {saved for _, saved, _ in pairs}
        )
        tracked_parents = _parents(
            ((i, model.trackables.each_child(i)) for i in range(len(model.trackables))),
            {stored for _, _, stored in pairs},
        )
        for twin, saved, stored in pairs:
            saved_names, tracked_names = saved_parents[saved], tracked_parents[stored]
            if (
                _is_same(model.objects[saved], model.objects[twin.object_id])
                and n_values[stored] == 1
                and not model.trackables.children(stored)
                and self._saved.references(saved) == len(saved_names)
                and self._tracked.references(stored) == len(tracked_names)
            ):
                for node, name in saved_names:
                    self._saved.point_child(node, name, twin.object_id)
                for node, name in tracked_names:
                    self._tracked.point_child(node, name, model.found[twin.object_id])
                self._saved.bury([saved])
                self._tracked.bury([stored])
                self.keys_gone.append(twin.other_key or b"")

    def into(self, rewrite: Rewrite) -> bytes | None:
        """Work what happened into a rewrite of saved_model.pb; returns the checkpoint's own
        object graph, or None where it is as it was."""
        if not self._saved.into(rewrite):
            return None
        source = self._tracked.source()
        return source.read(0, source.size)


def _parents(
    graph: Iterable[tuple[int, Iterable[tuple[str, int]]]], wanted: Collection[int]
) -> dict[int, list[tuple[int, str]]]:
    """Of each object that is wanted (owner, name) of all references to it as a child."""
    found: dict[int, list[tuple[int, str]]] = {node: [] for node in wanted}
    for owner, children in graph:
        for name, to in children:
            if to in found:
                found[to].append((owner, name))
    return found


def _is_same(one: ObjectNode, other: ObjectNode) -> bool:
    """Whether two objects are variables of one name and kind, and the first is nothing else."""
    a, b = one.variable, other.variable
    return (
        a is not None
        and b is not None
        and (a.name, a.dtype, a.shape) == (b.name, b.dtype, b.shape)
        and not (one.child_ids or one.saveable_objects or one.registered_saver)
    )
