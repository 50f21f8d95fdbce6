"""Models in sessions: the v1 loader, and that of C++."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, struct_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import loader_impl, nested_structure_coder

from . import native
from .arrays import Array
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
from .settled import session_config

#: Ops that hold a variable -> those that tell whether it is initialised.
VARIABLES = {
    "VarHandleOp": "VarIsInitializedOp",
    "VariableV2": "IsVariableInitialized",
    "Variable": "IsVariableInitialized",
}
#: Those whose output is a reference, which is read where it is fetched.
REFERENCES = ("VariableV2", "Variable")

#: Ops that hold a lookup table -> those that give all that is in it.
TABLES = {
    "HashTable": "LookupTableExport",
    "HashTableV2": "LookupTableExportV2",
    "MutableHashTable": "LookupTableExport",
    "MutableHashTableV2": "LookupTableExportV2",
    "MutableHashTableOfTensors": "LookupTableExport",
    "MutableHashTableOfTensorsV2": "LookupTableExportV2",
    "MutableDenseHashTable": "LookupTableExport",
    "MutableDenseHashTableV2": "LookupTableExportV2",
}

#: Variables are read together while they are no larger than that: a session prepares a graph for
#: each set of fetches.
BATCH_BYTES = 16 << 20


class Session(Opened):
    """A session that a meta graph was loaded into.

    Attributes:
        meta_graph: Its MetaGraphDef.
    """

    meta_graph: meta_graph_pb2.MetaGraphDef

    def __init__(self, path: str, tags: list[str], meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
        super().__init__(path, tags)
        self.meta_graph = meta_graph
        self._optional = {n.name for n in self._nodes() if n.op == "PlaceholderWithDefault"}
        self.calls = {
            f"signature:{key}": self._call(key, signature)
            for key, signature in sorted(meta_graph.signature_def.items())
            if not key.startswith(INTERNAL)
        }
        self._seen: set[tuple[str, ...]] = set()

    @abstractmethod
    def run(self, fetches: Mapping[str, str], feed: Mapping[str, Array]) -> dict[str, Array]:
        """Alias -> array, for fetches alias -> tensor, and what is fed by tensor."""

    @abstractmethod
    def trace(
        self, fetches: Mapping[str, str], feed: Mapping[str, Array]
    ) -> tuple[dict[str, Array], Sequence[Any]]:
        """The same, and the GraphDefs that it ran, one a device."""

    @abstractmethod
    def dtype(self, tensor: str) -> int:
        """The DataType of a tensor of the graph."""

    @abstractmethod
    def add(self, nodes: Sequence[Any]) -> None:
        """Add nodes that take one tensor each to the graph: NodeDefs."""

    # -- signatures ------------------------------------------------------------------

    def _call(self, key: str, signature: meta_graph_pb2.SignatureDef) -> Call:
        inputs, outputs = (
            {
                spec.name: (self._known(spec, tensor), tensor)
                for alias, info in sorted(infos.items())
                for spec, tensor in tensors_of(alias, info)
            }
            for infos in (signature.inputs, signature.outputs)
        )
        for name, (spec, tensor) in inputs.items():
            optional = tensor.partition(":")[0] in self._optional
            default = getattr(signature, "defaults", {}).get(name)  # since TensorFlow 2.14
            array = None if default is None else array_of(tf.make_ndarray(default))
            inputs[name] = spec._replace(optional=optional, default=array), tensor
        fed = {name: tensor for name, (_, tensor) in inputs.items()}
        fetched = {
            name: tensor for name, (spec, tensor) in outputs.items() if spec.dtype not in HANDLES
        }
        return Call(
            "signature",
            key,
            {name: spec for name, (spec, _) in inputs.items()},
            {name: spec for name, (spec, _) in outputs.items()},
            partial(self._run, fed, fetched),
        )

    def _known(self, spec: Spec, tensor: str) -> Spec:
        """Models of TensorFlow 0 say no dtypes: the graph has them."""
        if spec.dtype != INVALID:
            return spec
        try:
            return spec._replace(dtype=_dtype(self.dtype(tensor)))
        except (KeyError, ValueError):
            return spec  # no such tensor: it fails when it is run

    def _run(
        self, fed: dict[str, str], fetched: dict[str, str], feed: Mapping[str, Array]
    ) -> dict[str, Array]:
        tensors = {fed[name]: array for name, array in feed.items() if name in fed}
        key = (*sorted(tensors), "", *sorted(fetched.values()))
        if key in self._seen:
            return self.run(fetched, tensors)
        values, graphs = self.trace(fetched, tensors)
        self._seen.add(key)
        self.placement.add(graphs)
        return values

    # -- state -------------------------------------------------------------------------

    def variables(self) -> Iterator[tuple[str, Array | Unreadable]]:
        nodes = [n for n in self._nodes() if n.op in VARIABLES]
        # All nodes are added at first: each session.run prepares the graph that has grown.
        added: list[Any] = []
        values = [self._value(i, node, added) for i, node in enumerate(nodes)]
        self.add(added)
        there: dict[str, Array] = {}
        for batch in batches(nodes):
            named = {nodes[i].name: values[i] for i in batch}
            found: dict[str, Array | Unreadable] = {}
            try:
                found.update(self.run(named, {}))
            except tf.errors.OpError:
                there = there or self._initialised(nodes)
                found.update(self._those_of(named, there))
            for name in named:
                yield name, found.pop(name)

    def _value(self, i: int, node: Any, added: list[Any]) -> str:
        """The tensor of a variable's value; what reads a resource is to be added to the graph."""
        value = f"{node.name}:0"
        if node.op in REFERENCES:
            return value
        dtype = node.attr["dtype"].type
        added.append(_node("ReadVariableOp", f"read/{i}", value, dtype=dtype))
        if _dtype(dtype) in HANDLES:
            read = f"{added[-1].name}:0"
            added.append(_node("SerializeTensor", f"serialized/{i}", read, T=dtype))
        return f"{added[-1].name}:0"

    def _initialised(self, nodes: Sequence[Any]) -> dict[str, Array]:
        """Name -> whether that variable is."""
        added = [
            _node(
                VARIABLES[node.op],
                f"is/{i}",
                f"{node.name}:0",
                **({"dtype": node.attr["dtype"].type} if node.op in REFERENCES else {}),
            )
            for i, node in enumerate(nodes)
        ]
        self.add(added)
        fetches = {node.name: f"{new.name}:0" for node, new in zip(nodes, added, strict=True)}
        return self.run(fetches, {})

    def _those_of(
        self, named: Mapping[str, str], there: Mapping[str, Array]
    ) -> dict[str, Array | Unreadable]:
        """The values of variables of which some are not initialised."""
        found: dict[str, Array | Unreadable]
        found = dict.fromkeys(named, Unreadable(NOT_INITIALISED))
        fetches = {name: tensor for name, tensor in named.items() if there[name]}
        try:
            found.update(self.run(fetches, {}))
        except tf.errors.OpError as e:  # a variant that cannot be serialised, alone
            found.update(dict.fromkeys(fetches, unreadable(e)))
        return found

    def tables(self) -> Iterator[tuple[str, Table | Unreadable]]:
        made = [(handle, node) for handle, node in self._made() if node.op in TABLES]
        added = [
            _node(
                TABLES[node.op],
                f"table/{i}",
                handle,
                Tkeys=node.attr["key_dtype"].type,
                Tvalues=node.attr["value_dtype"].type,
            )
            for i, (handle, node) in enumerate(made)
        ]
        self.add(added)
        for (handle, _), new in zip(made, added, strict=True):
            name = handle.rpartition(":")[0]
            fetches = {"keys": f"{new.name}:0", "values": f"{new.name}:1"}
            try:
                yield name, sorted_table(**self.run(fetches, {}))
            except tf.errors.OpError as e:
                yield name, unreadable(e)

    def assets(self) -> dict[str, str]:
        return asset_files(self.path, self.meta_graph)

    def other(self) -> list[str]:
        return sorted({node.op for _, node in self._made() if node.op not in TABLES})

    def _made(self) -> Iterator[tuple[str, Any]]:
        """Resources of the main graph but variables: the handle, and the node that makes it."""
        library = self.meta_graph.graph_def.library.function
        functions = {f.signature.name: f.node_def for f in library}
        for node in self._nodes():
            made = maker([node], functions)
            if made is not None:
                types = list(node.attr["Tout"].list.type) or [tf.resource.as_datatype_enum]
                if types.count(tf.resource.as_datatype_enum) == 1:
                    yield f"{node.name}:{types.index(tf.resource.as_datatype_enum)}", made

    def _nodes(self) -> Iterator[Any]:
        return iter(self.meta_graph.graph_def.node)


#: The dtype of an input or output that says none.
INVALID = "invalid"

#: What calls a function.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")

#: Ops whose resource is gone when the run ends.
_PASSING = ("TensorArrayV3", "StackV2")

#: Nodes that are added to a graph lie below this name.
_ADDED = "fastsm_examined"


class V1(Session):
    """tf.compat.v1.saved_model.load."""

    def __init__(self, path: str, tags: list[str]) -> None:
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=session_config())
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, tags, path)
        except BaseException:
            self._session.close()
            raise
        super().__init__(path, tags, meta_graph)

    def close(self) -> None:
        self._session.close()

    def run(self, fetches: Mapping[str, str], feed: Mapping[str, Array]) -> dict[str, Array]:
        return self._arrays(self._session.run(dict(fetches), feed_dict=dict(feed)))

    def trace(
        self, fetches: Mapping[str, str], feed: Mapping[str, Array]
    ) -> tuple[dict[str, Array], Sequence[Any]]:
        options = tf.compat.v1.RunOptions(output_partition_graphs=True)
        metadata = tf.compat.v1.RunMetadata()
        values = self._session.run(
            dict(fetches), feed_dict=dict(feed), options=options, run_metadata=metadata
        )
        return self._arrays(values), metadata.partition_graphs

    def dtype(self, tensor: str) -> int:
        return int(self._graph.get_tensor_by_name(tensor).dtype.as_datatype_enum)

    def add(self, nodes: Sequence[Any]) -> None:
        names = {node.name for node in nodes}
        sources = {node.input[0] for node in nodes if node.input[0].rpartition(":")[0] not in names}
        graph_def = graph_pb2.GraphDef(node=nodes, versions=self.meta_graph.graph_def.versions)
        tensors = {source: self._graph.get_tensor_by_name(source) for source in sorted(sources)}
        with self._graph.as_default():
            tf.graph_util.import_graph_def(graph_def, input_map=tensors, name="")

    @staticmethod
    def _arrays(values: Mapping[str, Any]) -> dict[str, Array]:
        return {alias: array_of(v) for alias, v in values.items() if v is not None}


class Native(Session):
    """LoadSavedModel in C++, which TensorFlow Serving uses, through the C API."""

    def __init__(self, path: str, tags: list[str]) -> None:
        self._session = native.Session(path, tags, session_config().SerializeToString())
        super().__init__(path, tags, self._session.meta_graph)

    def close(self) -> None:
        self._session.close()

    def run(self, fetches: Mapping[str, str], feed: Mapping[str, Array]) -> dict[str, Array]:
        return self._session.run(fetches, feed)

    def trace(
        self, fetches: Mapping[str, str], feed: Mapping[str, Array]
    ) -> tuple[dict[str, Array], Sequence[Any]]:
        options = tf.compat.v1.RunOptions(output_partition_graphs=True)
        metadata = tf.compat.v1.RunMetadata()
        values = self._session.run(fetches, feed, options, metadata)
        return values, metadata.partition_graphs

    def dtype(self, tensor: str) -> int:
        return self._session.dtype(tensor)

    def add(self, nodes: Sequence[Any]) -> None:
        for node in nodes:
            self._session.add(node)


def tensors_of(alias: str, info: meta_graph_pb2.TensorInfo) -> list[tuple[Spec, str]]:
    """The tensors behind an input or output, a composite's in the order of tf.nest."""
    encoding = info.WhichOneof("encoding")
    shape = shape_of(tf.TensorShape(info.tensor_shape if info.HasField("tensor_shape") else None))
    if encoding == "coo_sparse":
        sparse = info.coo_sparse
        rank = None if shape is None else len(shape)
        return [
            (Spec(alias, "indices", "int64", (None, rank)), sparse.indices_tensor_name),
            (Spec(alias, "values", _dtype(info.dtype), (None,)), sparse.values_tensor_name),
            (Spec(alias, "dense_shape", "int64", (rank,)), sparse.dense_shape_tensor_name),
        ]
    if encoding == "composite_tensor":
        parts = [part for c in info.composite_tensor.components for part in tensors_of(alias, c)]
        named = _roles(info.composite_tensor.type_spec, len(parts))
        return [
            (spec._replace(role=role), tensor)
            for role, (spec, tensor) in zip(named, parts, strict=True)
        ]
    return [(Spec(alias, None, _dtype(info.dtype), shape), info.name)]


def _roles(type_spec: struct_pb2.TypeSpecProto, n: int) -> list[str]:
    """By number where TensorFlow does not know the type, or has other parts for it."""
    value = struct_pb2.StructuredValue(type_spec_value=type_spec)
    try:
        named = roles(nested_structure_coder.decode_proto(value))
    except Exception:  # any class of anybody's may decode itself
        named = []
    return named if len(named) == n else [str(i) for i in range(n)]


def _dtype(enum: int) -> str:
    """TensorFlow's name of it, of what a reference refers to; `INVALID` of none."""
    try:
        return str(tf.as_dtype(enum).base_dtype.name)
    except TypeError:
        return INVALID


def batches(nodes: Sequence[Any]) -> Iterator[list[int]]:
    """Positions of variables that are read together; what is of unknown size alone."""
    batch: list[int] = []
    size = 0
    for i, node in enumerate(nodes):
        shape = tf.TensorShape(node.attr["shape"].shape)
        n = shape.num_elements()
        dtype = tf.as_dtype(node.attr["dtype"].type)
        n_bytes = BATCH_BYTES if n is None or not dtype.size else n * dtype.size
        if batch and size + n_bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(i)
        size += n_bytes
    if batch:
        yield batch


def asset_files(path: str, meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, str]:
    """The tensor that is fed -> the file, as TensorFlow finds them."""
    files = loader_impl.get_asset_tensors(os.path.abspath(path), meta_graph)
    return {tensor: os.fsdecode(file) for tensor, file in sorted(files.items())}


def _node(op: str, name: str, source: str, **types: int) -> Any:
    """A NodeDef that is added to a graph.

    Args:
        source: The tensor that it takes.
        types: Its attributes, all of them dtypes.
    """
    attr = {key: attr_value_pb2.AttrValue(type=dtype) for key, dtype in types.items()}
    return node_def_pb2.NodeDef(name=f"{_ADDED}/{name}", op=op, input=[source], attr=attr)


def holds(node: Any) -> bool:
    """Whether a node makes a resource that stays, and no variable: a handle comes out, none goes
    in."""
    op = op_def_registry.get(node.op)
    if op is None or node.op in (*VARIABLES, *_PASSING, "Placeholder"):
        return False
    if node.op in TABLES:
        return True
    handle = tf.resource.as_datatype_enum
    makes = any(arg.type == handle for arg in op.output_arg)
    return makes and op.is_stateful and all(arg.type != handle for arg in op.input_arg)


def maker(nodes: Iterable[Any], functions: Mapping[str, Sequence[Any]]) -> Any:
    """The first of some nodes that makes a resource, or None; it may do so in a function.

    Args:
        functions: Name -> the nodes of its body.
    """
    for node in nodes:
        if holds(node):
            return node
        if node.op in _CALLS and all(i.startswith("^") for i in node.input):
            body = functions.get(node.attr["f"].func.name, ())
            if (made := maker(body, functions)) is not None:
                return made
    return None
