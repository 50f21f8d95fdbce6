"""Every reference in a meta graph, and which of them lead nowhere.

A model names things all over, by name and by number: tensors, ops, functions, objects, assets,
keys of its checkpoint. No loader looks at all of them, and each fails at others; so what any of
them needs is held here against what is there. `fastsm verify` tells what it finds, and an edit
that takes things away asks it about what would be left.

Source: tensorflow/cc/saved_model/loader.cc, loader_util.cc, bundle_v2.cc;
tensorflow/python/saved_model/loader_impl.py, load.py, function_deserialization.py;
tensorflow/core/graph/graph_constructor.cc, tensorflow/core/framework/function.cc (2.21).
"""

from __future__ import annotations

from .. import _core
from ..errors import CoreError, FormatError
from ..source import last
from ..text import counted, printable
from ..views import INIT_COLLECTIONS, RESERVED, loads_by_objects
from .collections import dangling
from .edges import Edges, edges_of
from .nodes import CALLS, Graph, fed_tensor, n_outputs, node_of
from .object_references import (
    NO_FUNCTION,
    as_bytes,
    in_both,
    in_captures,
    in_objects,
    in_tracked,
    unrestored,
)
from .restored import restored
from .tracked import Keys, Outline, Trackables, wanted_by_objects
from .unresolved import Unresolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence

    from ..views import Asset, MetaGraph, TensorInfo
    from .restored import Restored, Wanted

#: What variables.index is called in a model's folder.
INDEX = "variables/variables.index"

# Field numbers of FunctionDef.
_SIGNATURE, _RET, _CONTROL_RET = 1, 4, 6

#: Kind of a `Problem` -> its rule, and what is wrong in words.
_OF_KIND = {
    "input": ("node-input", "nothing in the graph has that name"),
    "function": ("function-missing", NO_FUNCTION),
    "class": ("node-class", "no such node in the graph, to be placed with"),
    "name": ("node-twice", "two nodes of one graph have that name"),
    "ret": ("function-return", "no such node in the function"),
    "control_ret": ("function-return", "no such node in the function"),
    "gradient": ("function-missing", NO_FUNCTION),
}

#: The rules at whose findings every loader loads, and computes the same.
HARMLESS = frozenset(["gradient-unregistered"])


class References:
    """What a meta graph names, held against what is there.

    Args:
        edges: Its nodes, and who takes from whom; None where they cannot be read: then what
            is named in them is not looked at.
        tracked, keys: The checkpoint's own object graph, and the keys of the bundle; None
            where there is none to hold anything against.
        by_objects: Whether tf.saved_model.load goes by the model's objects: so it does where
            its only meta graph has any.
        skip: Told, in words, what could not be looked at.
    """

    def __init__(
        self,
        graph: MetaGraph,
        edges: Edges | None,
        tracked: Trackables | None,
        keys: Keys | None,
        *,
        by_objects: bool,
        skip: Callable[[str], object] = lambda words: None,
    ) -> None:
        self.graph = graph
        self.edges = edges
        self.tracked = tracked
        self.keys = keys
        self.by_objects = by_objects
        self._skip = skip
        self._objects = graph.objects
        self._restored: Restored | None = None
        self._by_objects: list[Wanted] | None = None
        self._both: tuple[Outline, Trackables, dict[int, int]] | None = None

    def parts(self) -> Iterator[Iterator[Unresolved]]:
        """What does not resolve, part by part: damage in one of them hides no other.

        Each part raises FormatError where the file is damaged.
        """
        yield self._in_objects()
        if self.edges is not None:
            yield self._in_graph(self.edges)
            yield self._in_functions(self.edges.nodes)
            yield self._registered_gradients(self.edges)
            yield self._signatures(self.edges)
            yield self._saver(self.edges)
            yield self._init_op(self.edges)
            yield self._in_assets(self.edges)
            yield self._in_collections(self.edges)
            if self.keys is not None:
                yield self._in_bundle(self.keys)
        if self.by_objects:
            yield self._in_checkpoint()

    # -- the graph --

    def _in_graph(self, edges: Edges) -> Iterator[Unresolved]:
        """Inputs, functions that are named, what functions return, names that are there twice."""
        for found in edges.problems():
            if found.kind == "registered":
                continue  # which takes more to judge
            rule, problem = _OF_KIND[found.kind]
            words = f'"{printable(found.name)}": {problem}'
            yield Unresolved(rule, found.place, words, found.name, found.offset)

    def _in_functions(self, nodes: Graph) -> Iterator[Unresolved]:
        """What the signatures of functions say that comes out, against what they return; and
        what goes in, against what objects give them.

        Source: function.proto FunctionDef.ret and control_ret, op_def.proto OpDef.input_arg,
        output_arg and control_output.
        """
        reader, place = self.graph.reader, f"{nodes.place}.library.function"
        concrete = self._objects.concrete_functions if self._objects is not None else {}
        for function, start, end, _, _ in nodes.index.functions():
            signature, returned, ran = [
                reader.parse("FunctionDef", [(start, end)], place, only=n).get(n, {})
                for n in (_SIGNATURE, _RET, _CONTROL_RET)
            ]
            missing = [a.get(1, "") for a in signature.get(3, ()) if a.get(1, "") not in returned]
            missing += [name for name in signature.get(20, ()) if name not in ran]
            for name in missing:
                problem = f'no node is said to return its output "{printable(name)}"'
                where = f'{place}["{printable(function)}"]'
                yield Unresolved("function-return", where, problem, name)
            known = concrete.get(function.decode("utf-8", "surrogateescape"))
            if known is not None:
                yield from in_captures(known, signature.get(2, ()))

    def _registered_gradients(self, edges: Edges) -> Iterator[Unresolved]:
        """Functions under whose names gradients are registered. What is not there keeps
        tf.saved_model.load from loading a function with a node that has such a gradient."""
        library = edges.nodes.functions
        lost = {k: f for k, f in edges.registered_gradients() if k and f not in library}
        used = _with_gradients(edges.nodes, lost)
        for op_type, name in lost.items():
            rule = "function-missing" if op_type in used else "gradient-unregistered"
            place = f'{edges.nodes.place}.library.registered_gradients["{printable(op_type)}"]'
            yield Unresolved(rule, place, f'"{printable(name)}": {NO_FUNCTION}', name)

    # -- what loading looks up in the graph --

    def _signatures(self, edges: Edges) -> Iterator[Unresolved]:
        for key, signature in self.graph.signature_defs.items():
            for side in ("inputs", "outputs"):
                for alias, info in getattr(signature, side).items():
                    place = f'{self.graph.place}.signature_def["{printable(key)}"].{side}'
                    place += f'["{printable(alias)}"]'
                    for tensor in tensors_of(info):
                        # The reserved ones name ops, which may have no output.
                        of = self._of_op if key in RESERVED else self._of_tensor
                        yield from of(edges, place, tensor)

    def _saver(self, edges: Edges) -> Iterator[Unresolved]:
        """Of what saves, the v1 loader wants a name alone: nothing runs it.

        Source: tensorflow/python/training/saver.py Saver._check_saver_def (2.21).
        """
        saver = self.graph.saver
        if saver is None:
            return
        place = f"{self.graph.place}.saver_def"
        for field in ("save_tensor", "restore_op"):
            if not getattr(saver, field):
                problem = "names none, and the v1 loader wants one"
                yield Unresolved("op-missing", f"{place}.{field}", problem)
        for field in ("filename_tensor", "restore_op"):
            yield from self._of_op(edges, f"{place}.{field}", getattr(saver, field))

    def _init_op(self, edges: Edges) -> Iterator[Unresolved]:
        init_op = self.graph.init_op
        if init_op is not None and init_op.source != "signature":
            place = f'{self.graph.place}.collection_def["{printable(init_op.source)}"]'
            yield from self._of_op(edges, place, init_op.name)

    def _in_assets(self, edges: Edges) -> Iterator[Unresolved]:
        """The tensors that are fed the paths of assets: each is there, and fed once."""
        fed: dict[tuple[bytes, int], str] = {}
        for asset in self.graph.assets:
            yield from self._of_op(edges, f"{asset.place}.tensor_info", asset.tensor)
            if not asset.tensor:
                continue
            if ":" not in asset.tensor:
                problem = "is an op: the v1 loader wants a tensor"
                yield _badly_fed(f"{asset.place}.tensor_info", asset, problem)
            other = fed.get(fed_tensor(asset))
            if other is not None:
                name, other = printable(asset.filename), printable(other)
                twice = f'"{name}" twice' if name == other else f'"{other}" and "{name}"'
                yield _badly_fed(f"{asset.place}.filename", asset, f"is fed {twice}")
            fed.setdefault(fed_tensor(asset), asset.filename)

    def _in_collections(self, edges: Edges) -> Iterator[Unresolved]:
        """Entries for which Python's loaders do not load the model."""
        who = "the v1 loader fails" if self.by_objects else "Python's loaders fail"
        init_op = self.graph.init_op
        for found in dangling(self.graph, edges):
            rule, collection = "collection-dangling", found.entry.collection
            if collection in INIT_COLLECTIONS:
                rule = "op-missing"
                told = (init_op.source, init_op.name) if init_op else None
                if found.name and told == (collection, found.name):
                    continue  # among what loading runs
            problem = f'"{printable(found.name)}": {found.problem}; {who}'
            yield Unresolved(rule, found.entry.place, problem, found.name)

    # -- the checkpoint --

    @property
    def restored(self) -> Restored:
        """What session loaders restore."""
        if self._restored is None:
            assert self.edges is not None
            self._restored = restored(self.graph, self.edges)
        return self._restored

    @property
    def restored_by_objects(self) -> list[Wanted]:
        """What tf.saved_model.load restores; none without objects on both sides."""
        if self._by_objects is None:
            found = self._outline()
            self._by_objects = wanted_by_objects(*found) if found else []
        return self._by_objects

    def _outline(self) -> tuple[Outline, Trackables, dict[int, int]] | None:
        """The objects, those of the checkpoint, and which is which; None without both."""
        if self._objects is None or self.tracked is None:
            return None
        if self._both is None:
            outline = Outline(self._objects)
            self._both = outline, self.tracked, outline.matched(self.tracked)
        return self._both

    def _in_bundle(self, keys: Keys) -> Iterator[Unresolved]:
        """The keys that are restored, against those of the bundle."""
        missing: set[tuple[bytes, int | None]] = set()
        for where, wanted in (
            ("saver_def", self.restored.wanted),
            ("object_graph_def", self.restored_by_objects),
        ):
            for key, dtype, _ in wanted:
                if key not in keys and (key, dtype) not in missing:
                    missing.add((key, dtype))
                    problem = f"{printable(key)}: restored, and not in {INDEX}"
                    yield Unresolved("restore-key", f"{self.graph.place}.{where}", problem, key)

    # -- objects --

    def _in_objects(self) -> Iterator[Unresolved]:
        if self._objects is not None:
            yield from in_objects(self._objects, len(self.graph.assets), self.edges)

    def _in_checkpoint(self) -> Iterator[Unresolved]:
        """The saved objects against those of the checkpoint."""
        found = self._outline()
        if found is not None:
            yield from in_both(*found[:2])
            yield from unrestored(*found)

    # -- helpers --

    def _of_tensor(self, edges: Edges, place: str, name: str) -> Iterator[Unresolved]:
        """A tensor of a signature."""
        where = _tensor_id(name)
        row = None if where is None else edges.row(where[0])
        problem = None
        if where is None:
            problem = "is no tensor's name"
        elif row is None:
            problem = "no such node in the graph"
        else:
            n = n_outputs(edges.node(row))
            op = printable(edges.op(row))
            if n is not None and where[1] >= n:
                problem = f"the node, {op}, has {counted(n, 'output')}"
            elif n is None and where[1]:
                self._skip(f'{place}: whether the op "{op}" has an output {where[1]}')
        if problem:
            yield Unresolved("signature-tensor", place, f'"{printable(name)}": {problem}', name)

    def _of_op(self, edges: Edges, place: str, name: str) -> Iterator[Unresolved]:
        """An op that loading runs or feeds, by its own name or that of a tensor; "" is none."""
        if name and edges.row(node_of(as_bytes(name))) is None:
            problem = f'"{printable(name)}": no such node in the graph'
            yield Unresolved("op-missing", place, problem, name)


def _tensor_id(name: str) -> tuple[bytes, int] | None:
    """(node, output) that a name in a signature means; None where it can mean no tensor.

    ``x`` is ``x:0``, to C++ at least.
    Source: tensorflow/core/graph/tensor_id.cc ParseTensorName (2.21).
    """
    data = as_bytes(name)
    node, _, output = data.rpartition(b":")
    if node and output.isdigit():
        return node, int(output[-18:])
    return None if not data or data.startswith(b"^") else (data, 0)


def tensors_of(info: TensorInfo) -> Iterator[str]:
    """The names of the tensors that make up one of a signature."""
    if info.encoding == "composite_tensor":
        for part in info.components:
            yield from tensors_of(part)
        return
    yield info.name
    if info.encoding == "coo_sparse":
        yield info.indices or ""
        yield info.dense_shape or ""


def _badly_fed(place: str, asset: Asset, problem: str) -> Unresolved:
    words = f'"{printable(asset.tensor)}" {problem}'
    return Unresolved("asset-tensor", place, words, asset.tensor)


def _with_gradients(nodes: Graph, types: Collection[bytes]) -> set[bytes]:
    """Those of some names of gradients that a node in a function has, calls aside.

    Source: tensorflow/python/saved_model/function_deserialization.py _get_gradient_op_type
    (2.21).
    """
    name = "_gradient_op_type"
    found = set()
    for owner in range(1, nodes.index.n_functions + 1) if types else ():
        for node in nodes.mentioning([name.encode()], owner):
            f = last(node.attr(name), 2)
            if f and node.op not in CALLS:
                found.add(nodes.graph.reader.bytes(f, node.place))
    return found.intersection(types)


# -- of a model as an edit would leave it --


def unresolved(
    graphs: Sequence[MetaGraph],
    tracked: bytes | None,
    keys: Iterable[bytes] | None,
    among: Container[int] | None = None,
) -> Iterator[Unresolved]:
    """What does not resolve in a model, so that some loader of it fails.

    Args:
        graphs: Its meta graphs.
        tracked: The checkpoint's own object graph; None where there is none.
        keys: The keys of its bundle; None where there is none.
        among: The positions of the meta graphs to look at; None: all.

    Raises FormatError where something is damaged.
    """
    by_objects = loads_by_objects(graphs)
    objects = None if tracked is None else _trackables(tracked)
    stored = None if keys is None else Keys(keys)
    for graph in graphs:
        if among is not None and graph.index not in among:
            continue
        references = References(graph, edges_of(graph), objects, stored, by_objects=by_objects)
        for part in references.parts():
            yield from (found for found in part if found.rule not in HARMLESS)
    if objects is not None and stored is not None:
        yield from in_tracked(objects, stored)


def _trackables(message: bytes) -> Trackables:
    try:
        return Trackables(_core.ObjectGraph(message))
    except CoreError as e:
        words = f"the checkpoint's own object graph: {e}"
        raise FormatError("", words, offset=e.offset) from None
