"""Models as tf.saved_model.load makes them: objects, functions, resources."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.composite_tensor import CompositeTensor
from tensorflow.python.ops import gen_lookup_ops
from tensorflow.python.saved_model import load_v1_in_v2, loader_impl
from tensorflow.python.trackable import asset, resource
from tensorflow.python.util import nest

from .arrays import QUANTISED, Array
from .opened import (
    HANDLES,
    INTERNAL,
    NOT_INITIALISED,
    Call,
    Opened,
    Spec,
    Table,
    Unreadable,
    array_of,
    roles,
    shape_of,
    sorted_table,
    unreadable,
)
from .session import REFERENCES, TABLES, asset_files, batches, holds, maker, tensors_of

#: Between an optimizer's path and a slot's name in the path of a variable that it keeps for
#: another, OPTIMIZER/.slots/SLOT/VARIABLE: slots are nobody's children.
SLOTS = ".slots"

#: What a function gives that returns no dict.
OUTPUT = "output"


class Objects(Opened):
    """A root object, and all that can be reached from it.

    Of a model of TensorFlow 1 it has but a graph and signatures: see `Wrapped`.
    """

    def __init__(self, path: str, tags: list[str], root: Any) -> None:
        super().__init__(path, tags)
        self._root = root
        self._seen: set[str] = set()
        signatures = getattr(root, "signatures", {})
        calls = [
            self._call("signature", key, function)
            for key, function in sorted(signatures.items())
            if not key.startswith(INTERNAL)
        ]
        for name, child in sorted(_children(root).items()):
            for function in getattr(child, "concrete_functions", ()):
                key = f"{name}({_signature_text(function)})"
                defaults = getattr(child, "_default_values", {})
                calls.append(self._call("callable", key, function, defaults))
        self.calls = {}
        for call in calls:
            n = sum(c.partition("#")[0] == f"{call.kind}:{call.key}" for c in self.calls)
            self.calls[f"{call.kind}:{call.key}" + (f"#{n + 1}" if n else "")] = call

    def close(self) -> None:
        self.calls.clear()
        self._root = None

    # -- functions ---------------------------------------------------------------------

    def _call(
        self, kind: str, key: str, function: Any, defaults: Mapping[str, Any] | None = None
    ) -> Call:
        inputs = {
            part.name: part
            for alias, spec in _arguments(function)
            if isinstance(spec, tf.TypeSpec)
            for part in _parts(alias, spec)
        }
        for name, value in (defaults or {}).items():
            if name in inputs and (default := _default(value, inputs[name])) is not None:
                inputs[name] = inputs[name]._replace(optional=True, default=default)
        outputs = {}
        for alias, value in _leaves(function.structured_outputs, OUTPUT):
            spec = value
            if tf.is_tensor(value) or isinstance(value, CompositeTensor):
                spec = tf.type_spec_from_value(value)
            if isinstance(spec, tf.TypeSpec):
                outputs.update({part.name: part for part in _parts(alias, spec)})
        run = partial(self._run, f"{kind}:{key}", function, inputs)
        return Call(kind, key, inputs, outputs, run)

    def _run(
        self, name: str, function: Any, inputs: dict[str, Spec], feed: Mapping[str, Array]
    ) -> dict[str, Array]:
        specs = function.structured_input_signature
        defaults = {n: spec.default for n, spec in inputs.items() if spec.default is not None}
        feed = {**defaults, **feed}
        leaves = []
        for alias, spec in _arguments(function):
            if not isinstance(spec, tf.TypeSpec):
                leaves.append(spec)  # part of the function, and no argument
                continue
            parts = [_tensor(feed[part.name], part) for part in _parts(alias, spec)]
            leaves.append(tf.nest.pack_sequence_as(spec, parts, expand_composites=True))
        arguments, keywords = tf.nest.pack_sequence_as(specs, leaves)
        if name in self._seen:
            return _arrays(function(*arguments, **keywords))
        context.enable_run_metadata()
        try:
            values = _arrays(function(*arguments, **keywords))
            graphs = context.context().export_run_metadata().function_graphs
        finally:
            context.disable_run_metadata()
        self._seen.add(name)
        self.placement.add(graph for ran in graphs for graph in ran.partition_graphs)
        return values

    # -- state -------------------------------------------------------------------------

    def variables(self) -> Iterator[tuple[str, Array | Unreadable]]:
        for name, found in self._named():
            if isinstance(found, tf.Variable):
                yield name, _value(found)

    def names(self) -> dict[str, str]:
        return {
            path: found.name for path, found in self._named() if isinstance(found, tf.Variable)
        }

    def first_paths(self, paths: Sequence[str]) -> dict[str, str]:
        objects = list(self._named()) if paths else []
        first = {id(found): path for path, found in objects}
        at = ((path, id(self._at(path))) for path in paths)
        return {path: first[found] for path, found in at if found in first}

    def tables(self) -> Iterator[tuple[str, Table | Unreadable]]:
        for name, found in self._objects():
            node = _created(found)
            if node is not None and node.op in TABLES:
                dtypes = [tf.as_dtype(node.attr[a].type) for a in ("key_dtype", "value_dtype")]
                yield name, _exported(found.resource_handle, *dtypes)

    def assets(self) -> dict[str, str]:
        return {
            name: tf.compat.as_str(found.asset_path.numpy())
            for name, found in self._objects()
            if isinstance(found, asset.Asset)
        }

    def other(self) -> list[str]:
        nodes = (_created(found) for _, found in self._objects())
        return sorted({n.op for n in nodes if n is not None and n.op not in TABLES})

    def _named(self) -> Iterator[tuple[str, Any]]:
        """Each object, and what optimizers keep for variables and no path leads to."""
        named = {}
        optimizers = []
        for name, found in self._objects():
            yield name, found
            if isinstance(found, tf.Variable):
                named[found._unique_id] = name
            if _slots(found):
                optimizers.append((name, found))
        for name, optimizer in optimizers:
            for of, slots in _slots(optimizer).items():
                for slot, variable in sorted(slots.items()):
                    if of in named and variable._unique_id not in named:
                        yield f"{name}/{SLOTS}/{slot}/{named[of]}", variable

    def _objects(self) -> Iterator[tuple[str, Any]]:
        """Each object by the first of its shortest paths from the root."""
        seen = {id(self._root)}
        queue = deque([("", self._root)])
        while queue:
            path, parent = queue.popleft()
            yield path, parent
            for name, child in _children(parent).items():
                if id(child) not in seen:
                    seen.add(id(child))
                    queue.append((f"{path}/{_escaped(name)}" if path else _escaped(name), child))

    def _at(self, path: str) -> Any:
        """The object there, or None."""
        optimizer, is_slot, rest = path.partition(f"/{SLOTS}/")
        if is_slot:
            slot, _, of = rest.partition("/")
            kept_for = getattr(self._at(of), "_unique_id", "")
            return _slots(self._at(optimizer)).get(kept_for, {}).get(slot)
        found = self._root
        for name in path.split("/"):
            found = {_escaped(key): child for key, child in _children(found).items()}.get(name)
        return found


class Wrapped(Objects):
    """A model of TensorFlow 1: a graph that is called, with names as sessions have them."""

    def __init__(self, path: str, tags: list[str], root: Any) -> None:
        loader = loader_impl.SavedModelLoader(path)
        self._meta_graph = loader.get_meta_graph_def_from_tags(tags)
        super().__init__(path, tags, root)

    def _call(
        self, kind: str, key: str, function: Any, defaults: Mapping[str, Any] | None = None
    ) -> Call:
        """The loader takes composites apart, and names the parts in its own way."""
        call = super()._call(kind, key, function, defaults)
        theirs: dict[str, Spec] = {}
        for alias, info in sorted(self._meta_graph.signature_def[key].inputs.items()):
            for i, (spec, _) in enumerate(tensors_of(alias, info)):
                sparse = info.WhichOneof("encoding") == "coo_sparse"
                part = spec.role if sparse else f"component_{i}"
                theirs[alias if spec.role is None else f"{alias}_{part}"] = spec
        named = {spec.name: name for name, spec in theirs.items()}

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            return call.run({named[name]: array for name, array in feed.items()})

        inputs = {
            name: call.inputs[of]._replace(alias=theirs[of].alias, role=theirs[of].role)
            for name, of in named.items()
        }
        return call._replace(inputs=inputs, run=run)

    def variables(self) -> Iterator[tuple[str, Array | Unreadable]]:
        lifted = {variable.name.rpartition(":")[0]: variable for variable in self._root.variables}
        for name, variable in lifted.items():
            yield name, _value(variable)
        # References are no objects here: the graph has them.
        graph = self._root.graph
        refs = [op for op in graph.get_operations() if op.type in REFERENCES]
        refs = [op for op in refs if op.name not in lifted]
        with graph.as_default():
            flags = [tf.raw_ops.IsVariableInitialized(ref=op.outputs[0]) for op in refs]
            values = [tf.raw_ops.Identity(input=op.outputs[0]) for op in refs]
        there = self._fetched(flags)
        for batch in batches([op.node_def for op in refs]):
            found = iter(self._fetched([values[i] for i in batch if there[i]]))
            for i in batch:
                yield refs[i].name, next(found) if there[i] else Unreadable(NOT_INITIALISED)

    def _fetched(self, tensors: Sequence[Any]) -> list[Array]:
        """The values of tensors of the graph."""
        return [_array(value) for value in self._root.prune([], tensors)()] if tensors else []

    def names(self) -> dict[str, str]:
        return {}

    def first_paths(self, paths: Sequence[str]) -> dict[str, str]:
        return {}  # names of nodes: each has one

    def tables(self) -> Iterator[tuple[str, Table | Unreadable]]:
        graph = self._root.graph
        for op in [op for op in graph.get_operations() if op.type in TABLES]:
            dtypes = op.get_attr("key_dtype"), op.get_attr("value_dtype")
            with graph.as_default():
                export = getattr(gen_lookup_ops, _python_name(TABLES[op.type]))
                exported = export(op.outputs[0], *dtypes)
            try:
                yield op.name, sorted_table(*self._fetched(list(exported)))
            except tf.errors.OpError as e:
                yield op.name, unreadable(e)

    def assets(self) -> dict[str, str]:
        return asset_files(self.path, self._meta_graph)

    def other(self) -> list[str]:
        nodes = (op.node_def for op in self._root.graph.get_operations())
        return sorted({n.op for n in nodes if n.op not in TABLES and holds(n)})


def load(path: str, tags: list[str]) -> Objects:
    """tf.saved_model.load."""
    root = tf.saved_model.load(path, tags)
    wrapped = isinstance(getattr(root, "initializer", None), load_v1_in_v2._Initializer)
    return (Wrapped if wrapped else Objects)(path, tags, root)


# -- objects -------------------------------------------------------------------------


def _children(parent: Any) -> dict[str, Any]:
    children = getattr(parent, "_trackable_children", None)
    return dict(sorted(children().items())) if children is not None else {}


def _slots(found: Any) -> dict[str, dict[str, Any]]:
    """Of an optimizer: a variable's id -> slot -> the variable that it keeps for it."""
    slots = getattr(found, "_slots", None)
    return slots if isinstance(slots, dict) else {}


def _escaped(name: str) -> str:
    """As a part of a path; the way of checkpoints' keys."""
    return name.replace(".", "..").replace("/", ".S")


def _value(variable: Any) -> Array | Unreadable:
    if not variable.is_initialized():
        return Unreadable(NOT_INITIALISED)
    if variable.dtype not in (tf.variant, tf.resource):
        return _array(variable.read_value())
    try:
        return _array(tf.io.serialize_tensor(variable.read_value()))
    except tf.errors.OpError as e:
        return unreadable(e)


def _created(found: Any) -> Any:
    """The node that makes an object's resource, or None; it may lie in a function of a function."""
    if not isinstance(found, resource.CapturableResource):
        return None
    for function in getattr(found._create_resource, "concrete_functions", ()):
        graph = function.graph.as_graph_def()
        made = maker(graph.node, {f.signature.name: f.node_def for f in graph.library.function})
        if made is not None:
            return made
    return None


def _exported(handle: Any, keys: tf.DType, values: tf.DType) -> Table | Unreadable:
    try:
        exported = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys, Tvalues=values)
    except tf.errors.OpError as e:
        return unreadable(e)
    return sorted_table(*map(_array, exported))


def _python_name(op: str) -> str:
    """``LookupTableExportV2`` as ``lookup_table_export_v2``."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", op).lower()


# -- functions -------------------------------------------------------------------------


def _arguments(function: Any) -> list[tuple[str, Any]]:
    """Alias -> what is taken, in the order in which tf.nest flattens them.

    What is no TypeSpec is a value that the function was traced with.
    """
    positional, keywords = function.structured_input_signature
    # With TensorFlow 2.12 a function that was wrapped has none: its arguments are numbers.
    kind = getattr(function, "function_type", None)
    names = list(kind.parameters) if positional and kind is not None else []
    arguments = [(names[i] if i < len(names) else str(i), a) for i, a in enumerate(positional)]
    return [
        ("/".join(map(str, (alias, *path))), spec)
        for alias, argument in [*arguments, *sorted(keywords.items())]
        for path, spec in nest.flatten_with_tuple_paths(argument)
    ]


def _signature_text(function: Any) -> str:
    """What a function takes, in a line."""
    return ", ".join(f"{alias}{_text(spec)}" for alias, spec in _arguments(function))


def _text(spec: Any) -> str:
    if not isinstance(spec, tf.TypeSpec):
        plain = spec is None or isinstance(spec, (bool, int, float, str, bytes))
        return f"={spec!r}" if plain else f"={type(spec).__name__}"
    dtype = getattr(spec, "dtype", None)
    shape = shape_of(getattr(spec, "shape", tf.TensorShape(None)))
    dims = "..." if shape is None else ",".join("?" if d is None else str(d) for d in shape)
    kind = "" if isinstance(spec, tf.TensorSpec) else f"{type(spec).__name__.removesuffix('Spec')} "
    return f": {kind}{dtype.name if dtype is not None else ''}[{dims}]"


def _leaves(structure: Any, lone: str) -> list[tuple[str, Any]]:
    """What a function returns, by name: a dict by its keys, anything else as `lone`."""
    start = () if isinstance(structure, Mapping) else (lone,)
    return [
        ("/".join(map(str, (*start, *path))), leaf)
        for path, leaf in nest.flatten_with_tuple_paths(structure)
    ]


def _parts(alias: str, spec: Any) -> list[Spec]:
    parts = tf.nest.flatten(spec, expand_composites=True)
    if len(parts) == 1 and parts[0] is spec:
        return [Spec(alias, None, spec.dtype.name, shape_of(spec.shape))]
    return [
        Spec(alias, role, part.dtype.name, shape_of(part.shape))
        for role, part in zip(roles(spec), parts, strict=True)
    ]


def _default(value: Any, spec: Spec) -> Array | None:
    """What a tensor is that an argument has by default, or None where there is none."""
    if value is None:
        return None
    try:
        return _array(tf.convert_to_tensor(value, tf.as_dtype(spec.dtype)))
    except (TypeError, ValueError, tf.errors.OpError):
        return None  # it belongs to another trace


def _arrays(result: Any) -> dict[str, Array]:
    arrays = {}
    for alias, value in _leaves(result, OUTPUT):
        if not tf.is_tensor(value) and not isinstance(value, CompositeTensor):
            continue
        parts = tf.nest.flatten(value, expand_composites=True)
        names = [part.name for part in _parts(alias, tf.type_spec_from_value(value))]
        for name, part in zip(names, parts, strict=True):
            if part.dtype.name not in HANDLES:
                arrays[name] = _array(part)
    return arrays


def _array(tensor: Any) -> Array:
    return array_of(tensor.numpy(), tensor.dtype)


def _tensor(array: Array, spec: Spec) -> Any:
    dtype = tf.as_dtype(spec.dtype)
    if spec.dtype in QUANTISED:
        return tf.bitcast(tf.constant(array.view(QUANTISED[spec.dtype])), dtype)
    return tf.constant(array, dtype)
