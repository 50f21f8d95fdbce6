"""A model made of a graph and a checkpoint: the edits that it takes, as one.

What TensorFlow's builder would have been told is found in the graph: tags and a signature are
new; the saver is the graph's own where that can read the checkpoint; the init op is its own, or
fills its tables; the files that those read are assets. Nodes, collections and variables stay
byte for byte.
Source: tensorflow/python/saved_model/builder_impl.py (2.21).
"""

from __future__ import annotations

import os

from ...errors import CoreError, RefusedError
from ...graph.edges import edges_of
from ...graph.tensors import split
from ...plan import enclosing
from ...source import LEN
from ...text import Record, counted, listed, printable, tag_set
from ..draft import Done, Draft
from ..new_signature import add_signature
from ..resolved import check_resolved
from ..tags import retag
from .files import take_files
from .flow import Flow
from .init import Initializers, name_init_op, new_init_op
from .new_nodes import free_name, insert
from .origin import find_origin
from .proposal import propose
from .saver import Entries, NewSaver, check_keys, choose, drop_saver, no_checkpoint, restoring_rows
from .variables import ASSIGNS, VARIABLE_OPS, Variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...views import MetaGraph
    from .files import AssetTaken
    from .origin import Origin
    from .proposal import Proposal
    from .request import Request

#: So many devices are named in a warning.
_MOST = 3


class Found(Record):
    """What was found at a path, before anything is made of it.

    Attributes:
        kind: "meta" or "graph".
        file: The file of the graph.
        is_text: Whether that is text.
        checkpoint: The prefix of the checkpoint; None without one.
        bytes: What the graph's file holds.
        tensorflow_version: Who wrote the graph; "" where it does not say.
        nodes, variables: How many the graph has.
        notes: How it was found.
    """

    __slots__ = (
        "kind", "file", "is_text", "checkpoint", "bytes", "tensorflow_version", "nodes",
        "variables", "notes",
    )  # fmt: skip

    def __init__(self, origin: Origin, prefix: str | None, graph: MetaGraph, n: int) -> None:
        self.kind = origin.kind
        self.file = origin.file.path
        self.is_text = origin.is_text
        self.checkpoint = prefix
        self.bytes = origin.file.identity.size
        self.tensorflow_version = graph.tensorflow_version
        self.nodes = graph.n_nodes
        self.variables = n
        self.notes = origin.notes


class Conversion:
    """A model that is being made.

    Attributes:
        draft: The model.
        found: What it is made from.
        proposal: Its inputs and outputs.
        done: What was done; None before `carry_out`.
        saver, init: What restores and what else loading runs, in words.
        assets: The files taken along.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        origin = find_origin(request.path, request.checkpoint)
        files = [origin.file.path, *([origin.prefix] if origin.prefix is not None else [])]
        self._folders = list(dict.fromkeys(map(os.path.dirname, files)))
        draft = Draft.new(request.path, origin.model(), prefix=origin.prefix)
        prefix = origin.prefix
        if prefix is not None and not edges_of(draft.graphs[0]).with_op(*VARIABLE_OPS):
            prefix = None
            draft = Draft.new(request.path, origin.model())
            origin.notes.append("the graph has no variables: the checkpoint is not taken along")
        if draft.graphs[0].object_spans:
            raise RefusedError(
                origin.file.path,
                "is the meta graph of a SavedModel of TF2: it has an object graph, whose variables "
                "only the model's own checkpoint restores",
                hint="Get the whole model: saved_model.pb, variables/ and assets/.",
            )
        self.draft = draft
        named_by = [origin.state] if origin.state is not None else []
        draft.plan.take(origin.file, *named_by)
        graph = draft.graphs[0]
        self._edges = edges_of(graph)
        self._variables = Variables(graph, self._edges)
        self._flow = Flow(self._edges)
        self.found = Found(origin, prefix, graph, len(self._variables.by_row))
        self.proposal: Proposal = propose(
            graph, self._edges, self._flow, inputs=request.inputs, outputs=request.outputs
        )
        self.done: Done | None = None
        self.saver = "nothing: the graph has no variables"
        self.init = "nothing"
        self._new_init = b""
        self.assets: list[AssetTaken] = []

    def carry_out(self) -> Done:
        """Do the edits.

        Raises:
            RefusedError: The outputs need what nothing restores.
            MissingError: A tensor, a key of the checkpoint or a file that is not there.
            FormatError: The graph or the checkpoint is damaged.
        """
        request, draft, proposal = self.request, self.draft, self.proposal
        if not proposal.outputs:
            raise RefusedError(
                request.path, "no tensor of the graph is plainly an output",
                hint="Say which: --output NAME=TENSOR. fastsm convert --json lists those left out.",
            )
        draft.plan.warnings += self.found.notes
        self._add_code()
        retag(draft, draft.graphs[0].tags, request.tags)
        tags = draft.graphs[0].tag_set
        add_signature(
            draft, request.signature, proposal.inputs, proposal.outputs, method=request.method
        )
        before, after = {}, self._counts()
        if request.strip:
            before = after
            from ..strip.model import strip  # which is half of all the code
            from ..strip.request import Request as StripRequest

            done = strip(draft, StripRequest(request.path, keep_signatures=[request.signature]))
            after = self._counts()
            draft.plan.warnings += list(done.after.get("notes", ()))
        self._check_restored()
        self.assets = take_files(draft, draft.graphs[0], self._folders, request.assets)
        if not request.strip:  # which has seen to that
            keys = None if draft.bundle is None else draft.bundle.index.keys()
            hint = "--strip (strip=True) leaves out what the outputs do not need."
            check_resolved(draft, keys, "no loader takes such a graph", hint=hint)
        self.init = self._init_words()
        self._tell_devices()
        self.done = Done(
            "convert", request.arguments(proposal.inputs, proposal.outputs),
            f"-> {tag_set(tags)} {printable(request.signature)}", before,
            {
                **after, "signature": request.signature, "tags": sorted(tags),
                "assets": [asset.to_dict() for asset in self.assets],
            },
        )  # fmt: skip
        return self.done

    def _counts(self) -> dict[str, int]:
        graph = self.draft.graphs[0]
        return {"nodes": graph.n_nodes, "functions": graph.n_functions}

    # -- what restores, and what loading runs --

    def _add_code(self) -> None:
        """Let loading restore what the outputs need, and run what else they need."""
        edges, graph, flow = self._edges, self.draft.graphs[0], self._flow
        fed = set(self._rows(self.proposal.inputs.values()))
        behind = flow.behind(self._rows(self.proposal.outputs.values()), fed)
        needed = set(self._variables.among(behind))
        inits = Initializers(graph, edges, self._variables)
        runs = flow.behind(inits.rows if inits.own is None else self._rows([inits.own.name]))
        given = set(self._variables.assigned_by(runs))
        nodes, rewrite = b"", self.draft.rewrite()
        bundle = self.draft.bundle
        if bundle is None:
            if needed - given:
                raise no_checkpoint(self.request.path, self._names(needed - given))
            if graph.saver is not None:
                drop_saver(rewrite, graph)
        else:
            restoring = restoring_rows(graph, edges, flow)
            if restoring is None:
                saver = self._new_saver(needed - given, Entries(bundle))
                nodes += saver.nodes
                saver.put(rewrite, graph)
            else:
                self._check_needed(needed - given, restoring)
                self.saver = "the graph's own"
                runs |= restoring
        if inits.rows:
            name = free_name(edges, b"init_tables" if inits.tables else b"init_locals")
            nodes += new_init_op(edges, inits.rows, name)
            name_init_op(rewrite, graph, name)
            self._new_init = name
        insert(rewrite, graph, nodes)
        self.draft.put(rewrite)
        self._tell_empty(*inits.empty(behind, runs))

    def _rows(self, tensors: Iterable[str]) -> list[int]:
        """The nodes that tensors are outputs of; of those that there are."""
        names = (split(tensor)[0].encode("utf-8", "surrogateescape") for tensor in tensors)
        return [row for name in names if (row := self._edges.row(name)) is not None]

    def _tell_empty(self, fail: list[int], start_empty: list[int]) -> None:
        """Warn of tables that loading does not fill."""
        for rows, words in (
            (fail, "looking something up there fails"), (start_empty, "it starts empty"),
        ):  # fmt: skip
            if rows:
                names = listed(self._names(rows), 4)
                self.draft.plan.warnings.append(f"loading does not fill {names}: {words}")

    def _new_saver(self, needed: set[int], entries: Entries) -> NewSaver:
        graph_has = self.draft.graphs[0].saver is not None
        listed_ = self._variables.saved()
        extra = [v for row, v in self._variables.by_row.items() if row in needed]
        wanted = list(dict.fromkeys([*listed_, *extra]))
        found, lost = choose(self.request.path, wanted, needed, entries)
        if lost:
            self.draft.plan.warnings.append(
                f"{counted(len(lost), 'variable')} of the graph not restored, as the checkpoint "
                f"does not have {'it' if len(lost) == 1 else 'them'} so, and no output needs "
                f"{'it' if len(lost) == 1 else 'them'}: {listed(lost, 4)}"
            )
        why = "the graph's own cannot read such a checkpoint" if graph_has else "there was none"
        self.saver = f"a new saver, as {why}: {counted(len(found), 'variable')}"
        return NewSaver(self._edges, found, free_name(self._edges, b"save"))

    def _check_needed(self, needed: set[int], restoring: set[int]) -> None:
        """Refuse where an output needs a variable that the saver does not restore."""
        lost = sorted(needed - self._variables.restored_by(restoring))
        if not lost:
            return
        n = counted(len(lost), "variable")
        raise RefusedError(
            self.request.path,
            f"the outputs need {n} that the graph's saver never restores, and nothing "
            f"initializes: {listed(self._names(lost), 8)}",
            hint="Is it the right output? The .meta of a saver of all variables restores them.",
        )

    def _check_restored(self) -> None:
        """Hold what is restored in the end against the checkpoint."""
        bundle, graph = self.draft.bundle, self.draft.graphs[0]
        if bundle is None or graph.saver is None:
            return
        n = check_keys(self.request.path, graph, bundle, stripped=self.request.strip)
        if self.saver == "the graph's own":
            self.saver = f"the graph's own: {counted(n, 'tensor')} restored"

    def _init_words(self) -> str:
        """What loading runs beside the saver, as the graph is in the end."""
        graph = self.draft.graphs[0]
        if graph.init_op is None:
            return "nothing"
        edges = edges_of(graph)
        row = edges.row(self._new_init) if self._new_init else None
        if row is None:
            return f"the graph's own, {printable(graph.init_op.name)}"
        ops = [edges.op(taken) for taken in edges.taken(row)]
        n_locals = sum(op in ASSIGNS for op in ops)
        n_tables = len(ops) - n_locals
        parts = [f"fills {counted(n_tables, 'table')}"] if n_tables else []
        parts += [f"initializes {counted(n_locals, 'local variable')}"] if n_locals else []
        return f"a new init op: {', '.join(parts)}" if parts else "nothing"

    def _names(self, rows: set[int] | list[int]) -> list[str]:
        return [self._edges.name(row).decode("utf-8", "replace") for row in sorted(rows)]

    # -- what to know --

    def _tell_devices(self) -> None:
        """Warn of devices that loaders may not have."""
        graph = self.draft.graphs[0]
        found: dict[str, int] = {}
        for f in graph.fields:
            if f.number == 2 and f.wire == LEN:
                try:
                    devices, _ = self.draft.rewrite().cut_all(
                        "devices", enclosing(graph.field, f)
                    )
                except CoreError as e:
                    raise graph.reader.error(e, f"{graph.place}.graph_def") from None
                for name, n in devices:
                    found[name.decode("utf-8", "replace")] = n
        pinned = sorted((d for d in found if not _is_any(d)), key=lambda d: (-found[d], d))
        if pinned:
            shown = ", ".join(f"{printable(d)} ({found[d]:,})" for d in pinned[:_MOST])
            more = ", ..." if len(pinned) > _MOST else ""
            self.draft.plan.warnings.append(
                f"nodes are pinned to devices: {shown}{more}; fastsm clear-devices lets loaders "
                "place them"
            )


def _is_any(device: str) -> bool:
    """Whether every machine has a device: the first CPU of this one."""
    parts = [part.lower() for part in device.split("/") if part]
    return all(
        part in ("cpu:0", "device:cpu:0", "cpu:*", "device:cpu:*", "job:localhost", "replica:0",
                 "task:0")
        for part in parts
    )  # fmt: skip

