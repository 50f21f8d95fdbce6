"""What a saver saves, tensor by tensor, and which of it can still be saved.

A TF1 model has the SaveV2 ops in its main graph, a TF2 model in a function that the save op
calls. What is read of a variable that is gone is not saved any more.
Source: tensorflow/python/training/saver.py,
tensorflow/python/checkpoint/functional_saver.py (2.21).
"""

from __future__ import annotations

from ..errors import RefusedError
from ..text import printable
from .called import Called, Cuts, called_by, reached
from .listings import N_BEFORE, SAVE, Listing, data_inputs, place_of
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
        for row in sorted(rows):
            if edges.op(row) in (*_OLD_WRITERS, *CALLS) and self._is_lost(
                data_inputs(edges, row), live
            ):
                raise RefusedError(
                    edges.nodes.graph.reader.path,
                    f"{printable(edges.name(row))}, {printable(edges.op(row))}, saves variables "
                    "that go with others that stay, and cannot be cut",
                    place=place_of(edges, row),
                    hint="Without --keep-save (keep_save) the code that saves goes as a whole.",
                )
        writers = [row for row in sorted(rows) if edges.op(row) == SAVE]
        for row in writers:
            values = data_inputs(edges, row)[N_BEFORE:]
            self._keep_slots(row, [i for i, v in enumerate(values) if not self._is_lost([v], live)])
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
        lost = {
            i for i, taken in enumerate(data_inputs(edges, called.call))
            if self._is_lost([taken], live.nodes)
        }  # fmt: skip
        rows = edges.rows(called.owner)
        waited = set(called.controls.values())
        doing = [row for row in rows if row in waited or self._ops.is_stateful(row)]
        writers = [row for row in doing if edges.op(row) == SAVE]
        runs = []
        for row in doing:
            if row in writers:
                values = data_inputs(edges, row)[N_BEFORE:]
                kept = [i for i, v in enumerate(values) if not _arguments(edges, [v]) & lost]
                self._keep_slots(row, kept)
                self._find_tracked(called, row, values)
            elif _arguments(edges, data_inputs(edges, row)) & lost:
                continue
            if row not in cuts.apart:
                runs.append(row)
        if writers and not set(writers) - cuts.apart:
            return False
        self._drop_files(rows, writers)
        whole = len(runs) == len(doing) and not cuts.inputs
        cuts.apart.update(doing)
        kept_rows, arguments = reached(
            edges, [*(row for row, _ in called.results), *runs], apart=cuts.apart, cut=cuts.inputs
        )
        arguments |= called.returned
        if whole:
            kept_rows, arguments = set(rows), set(range(len(called.inputs)))
        else:
            cuts.rows, cuts.arguments = kept_rows, sorted(arguments)
        waits = [taken.row for taken in edges.inputs(called.call) if taken.control]
        reach.keep(
            [row for row in [*(called.inputs[i] for i in sorted(arguments)), *waits] if row >= 0],
            [owner for row in sorted(kept_rows) for owner in edges.calls(row)],
        )
        live.nodes[called.call] = 1
        live.functions[called.owner - 1] = 1
        return True

    def _keep_slots(self, row: int, kept: list[int]) -> None:
        """Let a SaveV2 save no more than these of its tensors."""
        n = len(data_inputs(self.edges, row)) - N_BEFORE
        if not kept:
            self.cuts.apart.add(row)
        elif len(kept) < n:
            self.cuts.slots[row] = kept
            self.cuts.inputs[row] = {N_BEFORE + i for i in range(n)}.difference(
                N_BEFORE + i for i in kept
            )

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
        keys = Listing(self.edges, row).keys
        for i, key in enumerate(keys[: len(values)]):
            if key == _TRACKED:
                for argument in _arguments(self.edges, [values[i]]):
                    source = called.inputs[argument]
                    if source >= 0 and self.edges.op(source) == b"Const":
                        self.tracked = source

    def _is_lost(self, inputs: Iterable[Input], live: bytearray) -> bool:
        """Whether what is taken depends on a state, of a variable or table, that is gone."""
        edges, ops = self.edges, self._ops
        seen: set[int] = set()
        todo = [taken.row for taken in inputs]
        while todo:
            row = todo.pop()
            if row < 0 or row in seen or live[row]:
                continue
            seen.add(row)
            if ops.is_stateful(row) and not ops.handles(row):
                return True
            todo += [taken.row for taken in data_inputs(edges, row)]
        return False


def _arguments(edges: Edges, inputs: Iterable[Input]) -> set[int]:
    """The arguments of a function that something is made from."""
    found: set[int] = set()
    seen: set[int] = set()
    todo = list(inputs)
    while todo:
        taken = todo.pop()
        if taken.row < 0:
            found.add(taken.arg)
        elif taken.row not in seen:
            seen.add(taken.row)
            todo += data_inputs(edges, taken.row)
    found.discard(-1)
    return found
