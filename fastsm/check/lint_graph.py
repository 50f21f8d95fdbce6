"""Findings of a meta graph's nodes: what other machines, other processes and other releases of
TensorFlow lack, what loading leaves empty, and what training left behind.

What no loader and no signature runs is told only where it keeps the model from being loaded.
Source: tensorflow/core/framework/op.cc OpNotFound, node_def_util.cc ValidateNodeDef,
tensorflow/core/framework/versions.cc CheckVersions, tensorflow/core/common_runtime/placer.cc,
tensorflow/python/ops/script_ops.py (2.21).
"""

from __future__ import annotations

from ..edits.devices import devices
from ..errors import FormatError
from ..graph.edges import MISSING, Live
from ..graph.nodes import fed_tensor, node_of
from ..graph.paths import OPENERS
from ..graph.reach import init_barriers, restore_barrier
from ..graph.training import APPLIES, SCOPES, Training
from ..source import last, merged
from ..text import count, counted, listed, printable
from ..views import RESERVED, loads_by_objects, tensors_of
from .providers import provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from ..graph.edges import Edges
    from ..graph.reach import Barrier
    from ..model import SavedModel
    from ..views import MetaGraph
    from .model import Damage
    from .releases import Releases
    from .report import Report

#: Ops that call back into the process that made the graph.
#: Source: tensorflow/core/ops/script_ops.cc.
_PYTHON = frozenset([b"PyFunc", b"PyFuncStateless", b"EagerPyFunc"])

#: Tables that are filled once, by an initializer; mutable ones may begin empty.
_TABLES = frozenset([b"HashTable", b"HashTableV2"])

#: What makes a variable, and what sets one.
_VARIABLES = frozenset([b"Variable", b"VariableV2", b"VarHandleOp"])
_ASSIGNS = frozenset([b"Assign", b"AssignVariableOp"])

#: Which inputs of an op that opens a file, if not the first, are its path.
_PATH_AT = {
    b"InitializeTableFromTextFile": 1, b"InitializeTableFromTextFileV2": 1,
    b"InitializeTRTResource": 1,
}  # fmt: skip

# GraphDef.versions, NodeDef.device.
_VERSIONS, _DEVICE = 4, 4

#: A constant of more bytes is no path.
_MAX_CONST = 1 << 16


def check_graph(
    report: Report,
    damage: Damage,
    model: SavedModel,
    graph: MetaGraph,
    edges: Edges,
    releases: Releases,
) -> None:
    """Look at the nodes of a meta graph, and at those of its functions."""
    looked = _Graph(report, damage.file, model, graph, edges)
    damage.guard(lambda: looked.check_ops(releases))
    damage.guard(lambda: looked.check_attributes(releases))
    damage.guard(lambda: looked.check_versions(releases))
    others: list[Callable[[], None]] = [
        looked.check_devices, looked.check_python, looked.check_state, looked.check_paths,
        looked.check_training,
    ]  # fmt: skip
    for check in others:
        damage.guard(check)


class _Graph:
    """A meta graph, and what of it runs.

    Attributes:
        served: What signatures run.
        loading: What session loaders run: the init op and the restore op.
        called: What tf.saved_model.load hands out runs: signatures, functions, tables.
    """

    def __init__(
        self, report: Report, file: str, model: SavedModel, graph: MetaGraph, edges: Edges
    ) -> None:
        self._report, self._file = report, file
        self.graph, self.edges = graph, edges
        self.place = f"{graph.place}.graph_def"
        self.by_objects = loads_by_objects(model.meta_graphs)
        self.served, self.loading, self.called = Live(edges), Live(edges), Live(edges)
        edges.walk(self.served, self._signature_rows())
        edges.walk(self.loading, self._loading_rows())
        edges.walk(self.called, self._signature_rows(), self._callables())

    def _add(
        self,
        rule: str,
        words: str,
        key: str | bytes | None = None,
        expected: str | None = None,
        seen: int | None = None,
    ) -> None:
        self._report.add(
            rule, self._file, words, place=self.place, key=key, expected=expected, seen=seen
        )

    def _signature_rows(self) -> list[int]:
        """The nodes that the outputs of signatures come from, those of ops aside."""
        found = []
        for key, signature in self.graph.signature_defs.items():
            if key in RESERVED and key in signature.outputs:
                continue
            for info in signature.outputs.values():
                for tensor in tensors_of(info):
                    row = self.edges.row(node_of(tensor.encode("utf-8", "surrogateescape")))
                    if row is not None:
                        found.append(row)
        return found

    def _loading_rows(self) -> list[int]:
        barriers = []
        for find in (_init_barriers, _restore_barriers):
            try:
                barriers += find(self.graph, self.edges)
            except FormatError:
                continue  # an op that is not there: verify's finding
        found = [row for b in barriers for row in (b.root, *(a.row for a in b.actions))]
        return [row for row in found if row != MISSING]

    def _callables(self) -> list[int]:
        """The functions that objects of a model name, as owners."""
        objects = self.graph.objects if self.by_objects else None
        names = objects.concrete_functions if objects is not None else ()
        owners = (self.edges.function(n.encode("utf-8", "surrogateescape")) for n in names)
        return [owner for owner in owners if owner is not None]

    # -- what TensorFlow has --

    def _rows(self, op: bytes, live: Live | None = None) -> list[int]:
        """The nodes with an op: of the main graph and of functions; of those that are live."""
        found: list[int] = []
        for owner in self.edges.nodes.index.using([op]):
            rows = self.edges.with_op(op, owner=owner)
            if live is None or (owner and live.functions[owner - 1]):
                found += rows
            elif not owner:
                found += [row for row in rows if live.nodes[row]]
        return found

    def _some(self, rows: Collection[int]) -> str:
        """``3 nodes, f/x among them``."""
        name = printable(self.edges.name(min(rows)))
        return f"node {name}" if len(rows) == 1 else f"{counted(len(rows), 'node')}, as {name}"

    def check_ops(self, releases: Releases) -> None:
        """A graph with an op that is not registered is not loaded, whether it runs or not."""
        custom: dict[str | None, list[str]] = {}
        for op in sorted(self.edges.nodes.index.names()):
            name = op.decode("utf-8", "replace")
            if self.edges.function(op) is not None:
                continue
            if not releases.is_known(name):
                custom.setdefault(provider(name), []).append(name)
            elif why := releases.lacks(name):
                words = f"{printable(name)} {why}: {self._some(self._rows(op))}"
                self._add("op-version", words, key=name)
        for who, names in custom.items():
            ops = listed(map(printable, names), 4)
            registers = f"{who or 'a library'} registers {'it' if len(names) == 1 else 'them'}"
            self._add("op-custom", f"{ops}: {registers}", key=names[0], seen=len(names))

    def check_attributes(self, releases: Releases) -> None:
        """Old releases refuse an attribute that an op does not have, also with the value that
        it would have without it."""
        for op in sorted(self.edges.nodes.index.names()):
            name = op.decode("utf-8", "replace")
            lacking = releases.lacking_attrs(name)
            if not lacking or releases.lacks(name) or self.edges.function(op) is not None:
                continue
            found: dict[str, list[int]] = {}
            for row in self._rows(op):
                node = self.edges.node(row)
                for attr in lacking:
                    if node.attr(attr):
                        found.setdefault(attr, []).append(row)
            for attr, rows in found.items():
                key = f"{name}.{attr}"
                words = f"{printable(key)} {lacking[attr]}: {self._some(rows)}"
                self._add("op-version", words, key=key)

    def check_versions(self, releases: Releases) -> None:
        reader = self.graph.reader
        fields = reader.each(self.graph.graph_spans, _VERSIONS, self.place)
        spans = merged(fields, _VERSIONS)
        versions = reader.parse("VersionDef", spans, f"{self.place}.versions")
        have, least = releases.graph_def_version, versions.get(2, 0)
        if least > have:
            self._add(
                "graph-version",
                f"min_consumer is {least}, and {releases.name} is {have}: it refuses the graph",
                expected=f"at most {have}", seen=least,
            )  # fmt: skip
        elif have in versions.get(3, ()):
            self._add(
                "graph-version", f"bad_consumers lists {have}, which {releases.name} is", seen=have,
            )  # fmt: skip

    # -- where it runs --

    def check_devices(self) -> None:
        """Of functions another job's or task's alone: their calls place softly else."""
        placed = devices(self.graph)
        remote = {device for device in placed if _is_remote(device)}
        foreign = {device for device in placed if _is_foreign(device)}
        found = self._placed(foreign, 0) if foreign else {}
        for owner in range(1, self.edges.n_functions + 1) if remote else ():
            if self.called.functions[owner - 1] or self.loading.functions[owner - 1]:
                for device, n in self._placed(remote, owner).items():
                    found[device] = found.get(device, 0) + n
        if found:
            names = sorted(found, key=lambda d: (-found[d], d))
            shown = listed((f"{printable(d)} ({count(found[d])})" for d in names), 3)
            softly = "" if remote.intersection(found) else ", unless they place softly"
            n = sum(found.values())
            self._add(
                "device-pinned",
                f"{counted(n, 'node')} placed on {shown}: sessions without that fail{softly}",
                seen=n,
            )  # fmt: skip

    def _placed(self, devices: Collection[str], owner: int) -> dict[str, int]:
        """How many nodes of an owner are placed on each of these."""
        found: dict[str, int] = {}
        names = [device.encode("utf-8", "surrogateescape") for device in devices]
        for node in self.edges.nodes.mentioning(names, owner):
            f = last(node.fields, _DEVICE)
            device = self.graph.reader.text(f, node.place) if f else ""
            if device in devices:
                found[device] = found.get(device, 0) + 1
        return found

    def check_python(self) -> None:
        for op in sorted(_PYTHON):
            rows = self._rows(op, self.called)
            if rows:
                by = "a signature" if self._rows(op, self.served) else "a function of the model"
                self._add(
                    "op-python",
                    f"{op.decode()} ({self._some(rows)}): {by} calls a Python function that only "
                    "the process that saved it had",
                    key=op,
                )  # fmt: skip

    # -- what loading leaves empty --

    def check_state(self) -> None:
        """Tables and variables of the main graph that signatures take and loading does not.

        Source: tensorflow/core/kernels/lookup_util.cc, tensorflow/cc/saved_model/loader.cc
        LoadSavedModelInternal.
        """
        kinds = [("table-uninitialized", _TABLES)]
        if not self.by_objects:  # where they are objects, restore-handle tells
            kinds.append(("variable-uninitialized", _VARIABLES))
        for rule, ops in kinds:
            rows = self.edges.with_op(*ops)
            ready = {self._shared(row) for row in rows if self.loading.nodes[row]}
            bare = [
                row for row in rows
                if self.served.nodes[row] and self._shared(row) not in ready
                and not self._is_set(row)
            ]  # fmt: skip
            if bare:
                what = "table" if ops is _TABLES else "variable"
                does = "init op fills" if ops is _TABLES else "init op or restore op sets"
                # Of a graph without a saver v1 makes one of its own.
                who = "C++ and TF Serving" if self.graph.saver is None else "sessions"
                self._add(
                    rule, f"{self._some(bare)}: no {does} it: {who} fail when the {what} is read",
                    key=self.edges.name(bare[0]), seen=len(bare),
                )  # fmt: skip

    def _shared(self, row: int) -> tuple[bytes, bytes]:
        return self.edges.node(row).shared_name

    def _is_set(self, row: int) -> bool:
        """Whether signatures themselves set a variable."""
        return any(
            self.served.nodes[taker] and self.edges.op(taker) in _ASSIGNS
            for taker in self.edges.takers(row)
        )

    # -- files --

    def check_paths(self) -> None:
        fed = {fed_tensor(asset)[0] for asset in self.graph.assets}
        for op in sorted(OPENERS):
            for row in self._rows(op.encode()):
                owner = self.edges.owner(row)
                runs = any(
                    live.functions[owner - 1] if owner else live.nodes[row]
                    for live in (self.loading, self.called)
                )
                for path in self._paths(row, op.encode(), fed) if runs else ():
                    name = printable(self.edges.name(row))
                    self._report.add(
                        "file-outside", self._file,
                        f'{op} opens "{printable(path)}", which is no asset of the model',
                        place=f'{self.place}.node["{name}"]', key=path,
                    )  # fmt: skip

    def _paths(self, row: int, op: bytes, fed: set[bytes]) -> Iterator[bytes]:
        """The paths that a node is given by a constant."""
        taken = [i for i in self.edges.inputs(row) if not i.control]
        at = _PATH_AT.get(op, 0)
        source = taken[at].row if at < len(taken) else MISSING
        for _ in range(100):  # identities between them; a hostile graph may have a circle
            if source == MISSING or self.edges.op(source) != b"Identity":
                break
            before = self.edges.inputs(source)
            source = before[0].row if before else MISSING
        if source == MISSING or self.edges.op(source) != b"Const":
            return
        node = self.edges.node(source)
        if node.end - node.start <= _MAX_CONST and not (
            self.edges.owner(source) == 0 and node.name in fed
        ):
            yield from (path for path in node.strings() if path)

    # -- training --

    def check_training(self) -> None:
        """What applies gradients, or computes them, and is run by no signature."""
        if "train" in self.graph.tag_set and "serve" not in self.graph.tag_set:
            return  # it is there for that
        edges = self.edges
        ops = [op for op in edges.nodes.index.names() if op.startswith(APPLIES)]
        applying = [row for op in sorted(ops) for row in self._rows(op)]
        idle = [row for row in applying if not self._is_served(row)]
        parts = []
        if idle:
            kinds = sorted({edges.op(row).decode("utf-8", "replace") for row in idle})
            parts.append(f"{counted(len(idle), 'node')} of optimizers ({listed(kinds, 3)})")
        idle_names = (edges.name(row) for row in edges.rows(0) if not self.served.nodes[row])
        n = sum(
            1 for name in idle_names
            if b"gradient" in name and not SCOPES.isdisjoint(name.split(b"/")[:-1])
        )  # fmt: skip
        if n:
            parts.append(f"{counted(n, 'node')} of gradients")
        functions = [
            name for name in Training(edges).functions
            if not self.served.functions[self._owner(name) - 1]
        ]  # fmt: skip
        if functions:
            parts.append(counted(len(functions), "training function"))
        slots = sum(len(node.slot_ids) for node in self.graph.objects or ())
        if slots:
            parts.append(counted(slots, "slot variable"))
        if parts:
            self._add(
                "training-nodes", f"{', '.join(parts)}: no signature runs that", seen=len(parts),
            )  # fmt: skip

    def _is_served(self, row: int) -> bool:
        owner = self.edges.owner(row)
        return bool(self.served.functions[owner - 1] if owner else self.served.nodes[row])

    def _owner(self, name: str) -> int:
        owner = self.edges.function(name.encode("utf-8", "surrogateescape"))
        assert owner is not None
        return owner


def _init_barriers(graph: MetaGraph, edges: Edges) -> list[Barrier]:
    # Without an init op tf.saved_model.load goes by collections, and no other loader does.
    return [] if graph.init_op is None else init_barriers(graph, edges)


def _restore_barriers(graph: MetaGraph, edges: Edges) -> list[Barrier]:
    barrier = restore_barrier(graph, edges)
    return [] if barrier is None else [barrier]


#: What a process is called that runs alone.
#: Source: tensorflow/core/util/device_name_utils.cc ParseFullName (2.21).
_HERE = {"job": "localhost", "replica": "0", "task": "0"}


def _is_remote(device: str) -> bool:
    """Whether a device is one of another process."""
    parts = (part.partition(":") for part in device.split("/"))
    return any(name in _HERE and at not in ("", "*", _HERE[name]) for name, _, at in parts)


def _is_foreign(device: str) -> bool:
    """Whether a device is any other than the first CPU of the process itself."""
    if _is_remote(device):
        return True
    for part in device.split("/"):
        name, _, rest = part.partition(":")
        kind, _, number = (rest if name == "device" else part).partition(":")
        if name and name not in _HERE:
            return kind.upper() not in ("CPU", "*") or number not in ("", "*", "0")
    return False
