"""What TensorFlow itself restores of a checkpoint with a graph, or of a frozen graph."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from .. import sources
from . import inputs
from .running import Row, _session

v1 = tf.compat.v1

#: Ops that fill a table, and of those that read a file the input that names it.
FILLS = {
    "InitializeTable": None,
    "InitializeTableV2": None,
    "LookupTableImport": None,
    "LookupTableImportV2": None,
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
}


def build_source(name: str, path: str) -> None:
    sources.build(name, path, tf=tf)


def restore(
    folder: str,
    graph: str,
    prefix: str,
    out: str,
    *,
    given: Mapping[str, str],
    made: Mapping[str, str],
    signature: str,
    method: str,
    tags: Sequence[str],
    assets: Mapping[str, str],
    own_saver: bool,
    seed: int,
    feeds: Mapping[str, Any],
) -> dict[str, Any]:
    """Restores it as people do, in its folder; saves it by SavedModelBuilder; runs it.

    Args:
        graph: The file of a MetaGraphDef, or of a GraphDef where there is no prefix.
        out: Where the SavedModel goes; words of inputs come from its assets.
        given, made: alias -> tensor, of the signature.
        assets: tensor -> the file that it is to name instead.
        own_saver: Whether the graph's saver can restore it; else a new one does.

    Returns:
        outputs: alias -> row.
        variables: as `variables` has them.
        built: Whether TensorFlow's builder has them, too: it finds variables by collections.
    """
    os.chdir(folder)
    with tf.Graph().as_default() as here, v1.Session() as session:
        saver = _imported(graph, prefix, assets)
        if saver is not None and not own_saver:
            saver = v1.train.Saver()
        init = _init_op(here, by_op=not prefix)
        known = bool(v1.global_variables()) or not _variable_ops(here)
        if saver is not None:
            saver.restore(session, prefix)
        elif prefix:
            session.run(list(_restores(here, prefix)))
        if init is not None:
            session.run(init)
        state = _values(session)
        info = v1.saved_model.build_tensor_info
        described = v1.saved_model.build_signature_def(
            {alias: info(here.get_tensor_by_name(name)) for alias, name in given.items()},
            {alias: info(here.get_tensor_by_name(name)) for alias, name in made.items()},
            method,
        )
        if known:
            builder = v1.saved_model.Builder(out)
            builder.add_meta_graph_and_variables(
                session,
                list(tags),
                {signature: described},
                assets_collection=list(_assets(here)) or None,
                main_op=None if _main_ops(here) else init,
                saver=saver,
            )
            builder.save()
        maker = inputs.maker(out, seed, feeds, {})
        fed = {}
        for alias, name in given.items():
            tensor = here.get_tensor_by_name(name)
            fed[name] = maker.array(alias, tensor.dtype.base_dtype, tensor.shape)
        values = session.run(dict(made), fed)
    rows = {alias: inputs.row(np.asarray(value)) for alias, value in values.items()}
    return {"outputs": rows, "variables": state, "built": known}


def initialise(meta: str, prefix: str) -> None:
    """Saves what the initializers of a graph's variables make."""
    os.makedirs(os.path.dirname(prefix))
    message = v1.MetaGraphDef()
    with open(meta, "rb") as file:
        message.ParseFromString(file.read())
    for i, node in enumerate(message.graph_def.node):
        if "seed2" in node.attr:
            node.attr["seed2"].i = i + 1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(message)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, prefix, write_meta_graph=False, write_state=False)


def variables(path: str, tags: Sequence[str]) -> dict[str, Row]:
    """The variables of a SavedModel that v1 has loaded: node -> row; those without a value not."""
    with _session(path, "v1", list(tags)) as (session, _):
        return _values(session)


def _imported(graph: str, prefix: str, assets: Mapping[str, str]) -> Any:
    """Puts it into the default graph; the saver, if there is one."""
    message = v1.MetaGraphDef() if prefix else v1.GraphDef()
    with open(graph, "rb") as file:
        data = file.read()
    try:
        message.ParseFromString(data)
    except Exception:
        message.Clear()
        text_format.Parse(data.decode(), message)
    for node in (message.graph_def if prefix else message).node:
        if node.op == "Const" and f"{node.name}:0" in assets:
            value = os.path.abspath(assets[f"{node.name}:0"]).encode()
            node.attr["value"].tensor.string_val[:] = [value]
    if prefix:
        return v1.train.import_meta_graph(message)
    tf.graph_util.import_graph_def(message, name="")
    return None


def _main_ops(graph: tf.Graph) -> list[Any]:
    keys = ("saved_model_main_op", "legacy_init_op")
    return [op for key in keys for op in graph.get_collection(key)]


def _init_op(graph: tf.Graph, *, by_op: bool) -> Any:
    """The graph's own init op; else one of all tables and local variables, if any.

    Args:
        by_op: There are no collections: what fills a table is found by its op.
    """
    if found := _main_ops(graph):
        return found[0]
    fills = graph.get_collection(v1.GraphKeys.TABLE_INITIALIZERS)
    if by_op:
        fills = [op for op in graph.get_operations() if op.type in FILLS]
    local = [v.initializer for v in v1.local_variables()]
    return tf.group(*fills, *local, name="init_all") if fills or local else None


def _assets(graph: tf.Graph) -> Iterator[tf.Tensor]:
    """The collection's, then those that only a table's op has."""
    seen = set()
    listed = graph.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
    for op in graph.get_operations():
        if (at := FILLS.get(op.type)) is not None:
            listed.append(op.inputs[at])
    for tensor in listed:
        if tensor.name not in seen:
            seen.add(tensor.name)
            yield tensor


def _variable_ops(graph: tf.Graph) -> list[Any]:
    kinds = ("VarHandleOp", "VariableV2", "Variable")
    return [op for op in graph.get_operations() if op.type in kinds]


def _restores(graph: tf.Graph, prefix: str) -> Iterator[tf.Operation]:
    """Of variables that no collection has: each from the key of its node's name."""
    for op in _variable_ops(graph):
        [value] = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[op.name], shape_and_slices=[""], dtypes=[_dtype(op)]
        )
        if op.type == "VarHandleOp":
            yield tf.raw_ops.AssignVariableOp(resource=op.outputs[0], value=value)
        else:
            yield v1.raw_ops.Assign(ref=op.outputs[0], value=value, validate_shape=False).op


def _values(session: Any) -> dict[str, Row]:
    """What the variables of the session's graph hold, by the names of their nodes."""
    graph = session.graph
    with graph.as_default():
        has, read = {}, {}
        for op in _variable_ops(graph):
            with tf.device(op.device):
                if op.type == "VarHandleOp":
                    has[op.name] = tf.raw_ops.VarIsInitializedOp(resource=op.outputs[0])
                    read[op.name] = tf.raw_ops.ReadVariableOp(
                        resource=op.outputs[0], dtype=_dtype(op)
                    )
                else:
                    has[op.name] = v1.raw_ops.IsVariableInitialized(ref=op.outputs[0])
                    read[op.name] = op.outputs[0]
        holds = session.run(has)
        values = session.run({name: read[name] for name in _sorted(holds)})
    return {name: inputs.row(np.asarray(value)) for name, value in values.items()}


def _sorted(holds: Mapping[str, Any]) -> Iterable[str]:
    return sorted(name for name, value in holds.items() if value)


def _dtype(op: tf.Operation) -> tf.DType:
    return tf.as_dtype(op.get_attr("dtype"))
