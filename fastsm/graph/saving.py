"""What a saver saves, tensor by tensor, and which of it can still be saved.

A TF1 model has the SaveV2 ops in its main graph, a TF2 model in a function that the save op
calls. What is read of a variable that is gone is not saved any more.
Source: tensorflow/python/training/saver.py,
tensorflow/python/checkpoint/functional_saver.py (2.21).
"""

from __future__ import annotations

from ..errors import RefusedError
from ..text import counted, printable
from .called import Called, Cuts, called_by, reached
from .edges import MISSING
from .listings import N_BEFORE, SAVE, Listing, data_inputs, place_of, unknown
from .nodes import CALLS, node_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..views import MetaGraph
    from .edges import Edges, Input
    from .ops import Ops
    from .reach import Reach

#: Ops of TensorFlow 0.x that save, and are not cut.
_OLD_WRITERS = (b"Save", b"SaveSlices")

_PACK = b"Pack"

#: The key of the checkpoint's own object graph.
_TRACKED = b"_CHECKPOINTABLE_OBJECT_GRAPH"


class Saving:
    """What the saver of a meta graph saves.

    Attributes:
        edges: The edges of its graph.
        row: The node whose output the save tensor is; None where there is none.
        called: The function that it calls, where that can be cut.
        cuts: What goes of the code that saves; set by `settle`.
        tracked: The constant in the main graph that the object graph is saved from; None
            without one. Set by `settle`.
    """

    def __init__(self, graph: MetaGraph, edges: Edges, ops: Ops) -> None:
        self.edges, self._ops = edges, ops
        name = graph.saver.save_tensor if graph.saver else ""
        self.row = edges.row(node_of(name.encode())) if name else None
        self.called = called_by(edges, self.row)
        self.cuts = Cuts()
        self.tracked: int | None = None

    def settle(self, reach: Reach) -> bool:
        """Keep what saves that which is live; to be called when all else is settled.

        Returns:
            Whether anything is left to save; if not, nothing was kept.

        Raises:
            RefusedError: The code that saves cannot be cut to that.
        """
        if self.row is None:
            return False
        self.cuts, self.tracked = Cuts(), None
        return self._settle_main(reach) if self.called is None else self._settle_called(reach)

    def _settle_main(self, reach: Reach) -> bool:
        edges, cuts, live = self.edges, self.cuts, reach.live.nodes
        assert self.row is not None
        rows, _ = reached(edges, [self.row])
        saving = [r for r in sorted(rows) if edges.op(r) in (SAVE, *_OLD_WRITERS, *CALLS)]
        lost = self._lost([i.row for row in saving for i in data_inputs(edges, row)], live)
        for row in saving:
            stays = [i.row not in lost for i in data_inputs(edges, row)]
            if edges.op(row) == SAVE:
                self._keep_slots(row, [i for i, stay in enumerate(stays[N_BEFORE:]) if stay])
            elif not all(stays):
                raise RefusedError(
                    edges.nodes.graph.reader.path,
                    f"{printable(edges.name(row))}, {printable(edges.op(row))}, saves variables "
                    "that go with others that stay, and cannot be cut",
                    place=place_of(edges, row),
                    hint="Without --keep-save (keep_save) the code that saves goes as a whole.",
                )
        writers = [row for row in saving if edges.op(row) == SAVE]
        if writers and not set(writers) - cuts.apart:
            return False
        self._drop_files(rows, writers)
        kept, _ = reached(edges, [self.row], apart=cuts.apart, cut=cuts.inputs)
        for row in kept:
            live[row] = 1
            if any(taken.control and taken.row in cuts.apart for taken in edges.inputs(row)):
                cuts.inputs.setdefault(row, set())
        reach.keep(owners=[owner for row in sorted(kept) for owner in edges.calls(row)])
        return True

    def _settle_called(self, reach: Reach) -> bool:
        edges, cuts, called, live = self.edges, self.cuts, self.called, reach.live
        assert called is not None
        lost = self._lost(called.inputs, live.nodes)
        gone = {i for i, row in enumerate(called.inputs) if row in lost}
        rows = edges.rows(called.owner)
        lost = self._made_of(rows, gone)
        waited = set(called.controls.values())
        doing = [row for row in rows if row in waited or self._ops.is_stateful(row)]
        writers = [row for row in doing if edges.op(row) == SAVE]
        runs = []
        for row in doing:
            if row in writers:
                values = data_inputs(edges, row)[N_BEFORE:]
                stays = [v.row not in lost and v.arg not in gone for v in values]
                self._keep_slots(row, [i for i, stay in enumerate(stays) if stay])
                self._find_tracked(called, row, values)
            elif row in lost:
                continue
            if row not in cuts.apart:
                runs.append(row)
        if writers and not set(writers) - cuts.apart:
            return False
        self._drop_files(rows, writers)
        whole = len(runs) == len(doing) and not cuts.inputs
        cuts.apart.update(doing)
        kept, arguments = reached(
            edges, [*(row for row, _ in called.results), *runs], apart=cuts.apart, cut=cuts.inputs
        )
        arguments |= called.returned
        if whole:
            kept, arguments = set(rows), set(range(len(called.inputs)))
        else:
            cuts.rows, cuts.arguments = kept, sorted(arguments)
        waits = [taken.row for taken in edges.inputs(called.call) if taken.control]
        taken_rows = [*(called.inputs[i] for i in sorted(arguments)), *waits]
        reach.keep(
            [row for row in taken_rows if row != MISSING],
            [owner for row in sorted(kept) for owner in edges.calls(row)],
        )
        live.nodes[called.call] = 1
        live.functions[called.owner - 1] = 1
        return True

    def _keep_slots(self, row: int, kept: list[int]) -> None:
        """Let a SaveV2 save no more than these of its tensors."""
        edges, cuts = self.edges, self.cuts
        n = len(data_inputs(edges, row)) - N_BEFORE
        if not kept:
            cuts.apart.add(row)
        elif len(kept) < n:
            if len(Listing(edges, row).keys) != n:
                raise unknown(edges, row, f"is given {counted(n, 'tensor')} for other names")
            cuts.slots[row] = kept
            stay = {N_BEFORE + i for i in kept}
            cuts.inputs[row] = {i for i in range(N_BEFORE, N_BEFORE + n) if i not in stay}

    def _drop_files(self, rows: Iterable[int], writers: Iterable[int]) -> None:
        """Let nobody merge the files that no SaveV2 writes any more."""
        edges, cuts = self.edges, self.cuts
        files: dict[bool, set[int]] = {True: set(), False: set()}
        for row in writers:
            files[row in cuts.apart].add(data_inputs(edges, row)[0].row)
        gone = files[True] - files[False]
        for row in sorted(rows) if gone else ():
            if edges.op(row) == _PACK:
                lost = {i for i, t in enumerate(data_inputs(edges, row)) if t.row in gone}
                if lost:
                    cuts.inputs[row] = lost

    def _find_tracked(self, called: Called, row: int, values: list[Input]) -> None:
        """See whether a SaveV2 of the function saves the object graph, and from where."""
        edges = self.edges
        keys = Listing(edges, row).keys
        for i, key in enumerate(keys[: len(values)]):
            if key == _TRACKED:
                _, arguments = reached(
                    edges, [], inputs=[values[i]], apart=set(edges.rows(called.owner))
                )
                for source in [called.inputs[argument] for argument in sorted(arguments)]:
                    if source != MISSING and edges.op(source) == b"Const":
                        self.tracked = source

    def _lost(self, rows: Iterable[int], live: bytearray) -> set[int]:
        """The nodes among some, and what they take, that depend on a state, of a variable or a
        table, that is gone."""
        edges, ops = self.edges, self._ops
        takers: dict[int, list[int]] = {}
        gone: list[int] = []
        seen: set[int] = set()
        todo = list(rows)
        while todo:
            row = todo.pop()
            if row == MISSING or row in seen or live[row]:
                continue
            seen.add(row)
            if ops.is_stateful(row) and not ops.handles(row):
                gone.append(row)
            for taken in data_inputs(edges, row):
                takers.setdefault(taken.row, []).append(row)
                todo.append(taken.row)
        return _spread(gone, takers)

    def _made_of(self, rows: Iterable[int], arguments: set[int]) -> set[int]:
        """The nodes of a function that are made of some of its arguments."""
        takers: dict[int, list[int]] = {}
        begun: list[int] = []
        for row in rows:
            for taken in data_inputs(self.edges, row):
                if taken.row != MISSING:
                    takers.setdefault(taken.row, []).append(row)
                elif taken.arg in arguments:
                    begun.append(row)
        return _spread(begun, takers)


def _spread(rows: Iterable[int], takers: dict[int, list[int]]) -> set[int]:
    """These nodes and all that take from them."""
    found: set[int] = set()
    todo = list(rows)
    while todo:
        row = todo.pop()
        if row not in found:
            found.add(row)
            todo += takers.get(row, ())
    return found
