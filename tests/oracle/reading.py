"""What TensorFlow's own protos and tables say about a model's files."""
from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import (
    fingerprint_pb2,
    meta_graph_pb2,
    tensor_bundle_pb2,
)
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.saved_model import loader_impl
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting
from tensorflow.python.tools import saved_model_cli

from . import inputs

Json = dict[str, Any]

ASSETS_KEY = tf.compat.v1.saved_model.constants.ASSETS_KEY
MAIN_OP_KEY = tf.compat.v1.saved_model.constants.MAIN_OP_KEY
LEGACY_INIT_OP_KEY = tf.compat.v1.saved_model.constants.LEGACY_INIT_OP_KEY
INIT_OP_SIGNATURE = "__saved_model_init_op"


def versions() -> dict[str, str]:
    modules = ("tensorflow", "keras", "tf_keras", "numpy", "google.protobuf")
    return {m: sys.modules[m].__version__ for m in modules if m in sys.modules}


# -- fingerprints ------------------------------------------------------------------


def fingerprint(path: str) -> Json:
    return _fingerprint_row(fingerprinting.CreateFingerprintDef(path))


def stored_fingerprint(path: str) -> Json:
    return _fingerprint_row(fingerprinting.ReadSavedModelFingerprint(path))


def _fingerprint_row(serialized: bytes) -> Json:
    message = fingerprint_pb2.FingerprintDef.FromString(serialized)
    return {
        "saved_model_checksum": message.saved_model_checksum,
        "graph_def_program_hash": message.graph_def_program_hash,
        "signature_def_hash": message.signature_def_hash,
        "saved_object_graph_hash": message.saved_object_graph_hash,
        "checkpoint_hash": message.checkpoint_hash,
        "producer": message.version.producer,
    }


def fingerprint64(data: str) -> str:
    hashed = tf.fingerprint(tf.constant([base64.b64decode(data)]), method="farmhash64")
    return str(int.from_bytes(hashed.numpy().tobytes(), "little"))


# -- variants ----------------------------------------------------------------------


def variants(prefix: str, keys: list[str]) -> dict[str, Json]:
    """What RestoreV2 makes of tensors of variants, as TensorFlow writes them elsewhere.

    Returns:
        key -> shape, and content: of the TensorProto that it serialises the tensor to.
    """
    tensors = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=keys, shape_and_slices=[""] * len(keys),
        dtypes=[tf.variant] * len(keys),
    )  # fmt: skip
    out = {}
    for key, tensor in zip(keys, tensors, strict=True):
        proto = tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(tensor).numpy())
        content = base64.b64encode(proto.tensor_content).decode()
        out[key] = {"shape": tensor.shape.as_list(), "content": content}
    return out


# -- saved_model.pb ----------------------------------------------------------------


def parse(path: str) -> Json:
    """What a reader should see.

    Returns:
        format: "pb" or "pbtxt", by the precedence of the loaders.
        schema_version: int.
        meta_graphs: a list of dicts, see `_meta_graph`.
    """
    saved_model = loader_impl.parse_saved_model(path)
    is_pb = os.path.exists(os.path.join(path, "saved_model.pb"))
    return {
        "format": "pb" if is_pb else "pbtxt",
        "schema_version": saved_model.saved_model_schema_version,
        "meta_graphs": [_meta_graph(m) for m in saved_model.meta_graphs],
    }


def graph_tensors(path: str) -> list[dict[str, Json]]:
    """Of each meta graph the tensors of its main graph: name -> [DataType, shape or None]."""
    found = []
    for m in loader_impl.parse_saved_model(path).meta_graphs:
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(m.graph_def, name="")
            found.append({
                tensor.name: [tensor.dtype.as_datatype_enum, _shape(tensor.shape.as_proto())]
                for op in graph.get_operations()
                for tensor in op.outputs
            })  # fmt: skip
    return found


def handles(path: str) -> list[dict[str, list[int]]]:
    """Of each meta graph and node of its main graph: which inputs are resources or refs."""
    found = []
    for m in loader_impl.parse_saved_model(path).meta_graphs:
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(m.graph_def, name="")
            found.append({
                op.name: [
                    i for i, dtype in enumerate(op._input_types)
                    if dtype._is_ref_dtype or dtype == tf.resource
                ]
                for op in graph.get_operations()
            })  # fmt: skip
    return found


def op_list() -> str:
    """The OpList of all ops that TensorFlow has."""
    buffer = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return base64.b64encode(buffer).decode()


def saver_code(path: str) -> list[dict[str, Json]]:
    """Of each meta graph what its saver runs: "restore" and "save", see `_saver_code`."""
    return [
        {
            "restore": _saver_code(m, m.saver_def.restore_op_name, "RestoreV2"),
            "save": _saver_code(m, m.saver_def.save_tensor_name, "SaveV2"),
        }
        for m in loader_impl.parse_saved_model(path).meta_graphs
    ]


def _saver_code(m: meta_graph_pb2.MetaGraphDef, name: str, op: str) -> Json:
    """The ops of a kind that run for a node: of each the key, slice and dtype of its tensors.

    Where a function is called for them also that: its arguments, and all that goes by these.
    """
    nodes = {node.name: node for node in m.graph_def.node}
    node = nodes.get(name.partition(":")[0])
    functions = {f.signature.name: f for f in m.graph_def.library.function}
    if node is None or node.attr["f"].func.name not in functions:
        return {"ops": [_listed(n, nodes) for n in m.graph_def.node if n.op == op]}
    f = functions[node.attr["f"].func.name]
    body = {n.name: n for n in f.node_def}
    return {
        "ops": [_listed(n, body) for n in f.node_def if n.op == op],
        "nodes": [n.name for n in f.node_def],
        "inputs": [i for i in node.input if not i.startswith("^")],
        "types": list(node.attr["Tin"].list.type),
        "read_only": list(node.attr["_read_only_resource_inputs"].list.i),
        "arguments": [arg.name for arg in f.signature.input_arg],
        "shapes": len(f.attr["_input_shapes"].list.shape),
        "attributes": {i: sorted(f.arg_attr[i].attr) for i in sorted(f.arg_attr)},
        "user_names": {
            i: a.attr["_user_specified_name"].s.decode() for i, a in sorted(f.arg_attr.items())
        },
        "unique_ids": dict(sorted(f.resource_arg_unique_id.items())),
        "controls": sorted(f.control_ret.items()),
        "control_output": list(f.signature.control_output),
    }


def _listed(node: Any, nodes: dict[str, Any]) -> Json:
    names, slices = (
        [text.decode() for text in tf.make_ndarray(nodes[i.partition(":")[0]].attr["value"].tensor)]
        for i in node.input[1:3]
    )
    return list(zip(names, slices, node.attr["dtypes"].list.type, strict=True))


def _meta_graph(m: meta_graph_pb2.MetaGraphDef) -> Json:
    """Tags are in file order; names of ops and functions are sorted."""
    functions = m.graph_def.library.function
    bodies = [node for function in functions for node in function.node_def]
    has_objects = m.HasField("object_graph_def")
    return {
        "tags": list(m.meta_info_def.tags),
        "tensorflow_version": m.meta_info_def.tensorflow_version,
        "tensorflow_git_version": m.meta_info_def.tensorflow_git_version,
        "stripped_default_attrs": m.meta_info_def.stripped_default_attrs,
        "stripped_ops": sorted(op.name for op in m.meta_info_def.stripped_op_list.op),
        "graph_producer": m.graph_def.versions.producer,
        "n_nodes": len(m.graph_def.node),
        "n_functions": len(functions),
        "n_function_nodes": len(bodies),
        "functions": sorted(function.signature.name for function in functions),
        # What saved_model_cli --list_ops prints: it follows calls only, not While, If, ...
        "ops": sorted(saved_model_cli._get_ops_in_metagraph(m)),
        "all_ops": sorted({node.op for node in [*m.graph_def.node, *bodies]}),
        "devices": sorted({node.device for node in [*m.graph_def.node, *bodies]} - {""}),
        "gradients": sorted(
            (g.registered_op_type, g.gradient_func)
            for g in m.graph_def.library.registered_gradients
        ),
        "function_aliases": dict(sorted(m.meta_info_def.function_aliases.items())),
        "n_objects": len(m.object_graph_def.nodes) if has_objects else None,
        "object_kinds": _object_kinds(m) if has_objects else None,
        "concrete_functions": sorted(m.object_graph_def.concrete_functions),
        "signatures": {key: _signature(s) for key, s in sorted(m.signature_def.items())},
        "init_op": _init_op(m),
        "saver": _saver(m) if m.HasField("saver_def") else None,
        "collections": {k: c.WhichOneof("kind") for k, c in sorted(m.collection_def.items())},
        **_assets(m),
    }


def _signature(signature: meta_graph_pb2.SignatureDef) -> Json:
    return {
        "method_name": signature.method_name,
        "inputs": {k: _tensor_info(t) for k, t in sorted(signature.inputs.items())},
        "outputs": {k: _tensor_info(t) for k, t in sorted(signature.outputs.items())},
        "defaults": sorted(signature.defaults),
    }


def _tensor_info(info: meta_graph_pb2.TensorInfo) -> Json:
    """``names`` are the tensors it stands for: one, a sparse tensor's values, indices and
    dense shape, or those of a composite's components, in order."""
    encoding = info.WhichOneof("encoding")
    row: Json = {
        "encoding": encoding,
        "dtype": dtype_name(info.dtype),
        "shape": _shape(info.tensor_shape),
        "names": tensor_names(info),
    }
    if encoding == "composite_tensor":
        spec = info.composite_tensor.type_spec
        row["type_spec"] = spec.type_spec_class_name
        row["components"] = [_tensor_info(c) for c in info.composite_tensor.components]
    return row


def tensor_names(info: meta_graph_pb2.TensorInfo) -> list[str]:
    match info.WhichOneof("encoding"):
        case "name":
            return [info.name]
        case "coo_sparse":
            sparse = info.coo_sparse
            return [
                sparse.values_tensor_name,
                sparse.indices_tensor_name,
                sparse.dense_shape_tensor_name,
            ]
        case "composite_tensor":
            return [n for c in info.composite_tensor.components for n in tensor_names(c)]
    return []


def dtype_name(number: int) -> str:
    """The enum's name, as DT_FLOAT; the number itself where it has none."""
    known = types_pb2.DataType.DESCRIPTOR.values_by_number.get(number)
    return known.name if known else str(number)


def _shape(shape: Any) -> list[int | None] | None:
    if shape.unknown_rank:
        return None
    return [None if dim.size == -1 else dim.size for dim in shape.dim]


def _object_kinds(m: meta_graph_pb2.MetaGraphDef) -> dict[str, int]:
    """Kind of object -> how many; a user object counts as its identifier."""
    kinds: dict[str, int] = {}
    for node in m.object_graph_def.nodes:
        kind = node.WhichOneof("kind") or ""
        kind = node.user_object.identifier if kind == "user_object" else kind
        kinds[kind] = kinds.get(kind, 0) + 1
    return dict(sorted(kinds.items()))


def _assets(m: meta_graph_pb2.MetaGraphDef) -> Json:
    """(tensor name, file name) in order; the field wins over the collection where both are."""
    found, source = list(m.asset_file_def), "field"
    if not found and ASSETS_KEY in m.collection_def:
        source = "collection"
        for packed in m.collection_def[ASSETS_KEY].any_list.value:
            asset = meta_graph_pb2.AssetFileDef()
            packed.Unpack(asset)
            found.append(asset)
    return {
        "assets": [(asset.tensor_info.name, asset.filename) for asset in found],
        "assets_from": source if found else None,
    }


def _init_op(m: meta_graph_pb2.MetaGraphDef) -> str | None:
    """What the session loaders run after restoring: the signature wins over the collections."""
    if INIT_OP_SIGNATURE in m.signature_def:
        return str(m.signature_def[INIT_OP_SIGNATURE].outputs[INIT_OP_SIGNATURE].name)
    for key in (MAIN_OP_KEY, LEGACY_INIT_OP_KEY):
        if key in m.collection_def:
            return ",".join(m.collection_def[key].node_list.value)
    return None


def _saver(m: meta_graph_pb2.MetaGraphDef) -> Json:
    saver = m.saver_def
    return {
        "filename_tensor_name": saver.filename_tensor_name,
        "save_tensor_name": saver.save_tensor_name,
        "restore_op_name": saver.restore_op_name,
        "max_to_keep": saver.max_to_keep,
        "sharded": saver.sharded,
        "version": saver.CheckpointFormatVersion.Name(saver.version),
    }


# -- variables.index ---------------------------------------------------------------

FOOTER_SIZE = 48
SNAPPY = 1


def index(path: str) -> Json:
    """Header and entries, read with TensorFlow's protos from the table's blocks.

    TensorFlow has no Python door to offsets and checksums of entries, so the table is
    walked here. No checksum of a block is looked at: this says what is written.

    Source: tensorflow/core/lib/io/format.cc, table/block.cc (2.21).
    """
    with open(_prefix(path) + ".index", "rb") as f:
        table = f.read()
    footer = table[-FOOTER_SIZE:]
    if len(table) < FOOTER_SIZE or footer[-8:] != bytes.fromhex("57fb808b247547db"):
        raise ValueError("not an sstable (bad magic number)")
    _, at = _handle(footer, 0)
    (offset, size), _ = _handle(footer, at)
    entries: list[tuple[bytes, bytes]] = []
    n_blocks = 0
    for _, value in _block(table, offset, size):
        handle, _ = _handle(value, 0)
        entries += _block(table, *handle)
        n_blocks += 1
    header = tensor_bundle_pb2.BundleHeaderProto.FromString(entries[0][1])
    return {
        "n_shards": header.num_shards,
        "n_blocks": n_blocks,
        "entries": [_entry_row(key, value) for key, value in entries[1:]],
    }


def tensors(path: str) -> dict[str, Any]:
    reader = tf.train.load_checkpoint(_prefix(path))
    shapes = reader.get_variable_to_shape_map()
    rows = {}
    for key, dtype in sorted(reader.get_variable_to_dtype_map().items()):
        try:
            rows[key] = inputs.row(np.asarray(reader.get_tensor(key)))
        except (tf.errors.OpError, RuntimeError, TypeError, ValueError):
            rows[key] = _restored(path, key, dtype) or (dtype.name, shapes[key], "")
    return rows


def _restored(path: str, key: str, dtype: tf.DType) -> Any:
    """A tensor through the op: it reads what the reader cannot, such as int4."""
    try:
        [value] = tf.raw_ops.RestoreV2(
            prefix=_prefix(path), tensor_names=[key], shape_and_slices=[""], dtypes=[dtype]
        )
        return inputs.row(np.asarray(value.numpy()))
    except (tf.errors.OpError, RuntimeError, TypeError, ValueError, NotImplementedError):
        return None


def latest_checkpoint(folder: str) -> str | None:
    found: str | None = tf.train.latest_checkpoint(folder)
    return found


def _prefix(path: str) -> str:
    return os.path.join(path, "variables", "variables") if os.path.isdir(path) else path


def _entry_row(key: bytes, value: bytes) -> list[Any]:
    entry = tensor_bundle_pb2.BundleEntryProto.FromString(value)
    return [
        key.decode("utf-8", "surrogateescape"),
        dtype_name(entry.dtype),
        [dim.size for dim in entry.shape.dim],
        entry.shard_id,
        entry.offset,
        entry.size,
        entry.crc32c,
        len(entry.slices),
    ]


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    body = table[offset : offset + size]
    if table[offset + size] == SNAPPY:
        body = _unsnap(body)
    n_restarts = int.from_bytes(body[-4:], "little")
    end, at, key = len(body) - 4 - 4 * n_restarts, 0, b""
    while at < end:
        n_shared, at = _varint(body, at)
        n_unshared, at = _varint(body, at)
        n_value, at = _varint(body, at)
        key = key[:n_shared] + body[at : at + n_unshared]
        at += n_unshared
        yield key, body[at : at + n_value]
        at += n_value


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _unsnap(data: bytes) -> bytes:
    """A raw Snappy block. Source: google/snappy, format_description.txt."""
    size, at = _varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                n_bytes = length - 60
                length = int.from_bytes(data[at : at + n_bytes], "little") + 1
                at += n_bytes
            out += data[at : at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, back = (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[at]
            at += 1
        else:
            n_bytes = 2 if tag & 3 == 2 else 4
            length = (tag >> 2) + 1
            back = int.from_bytes(data[at : at + n_bytes], "little")
            at += n_bytes
        for _ in range(length):  # a copy may overlap what it writes
            out.append(out[-back])
    if len(out) != size:
        raise ValueError(f"Snappy block of {len(out)} bytes says {size}")
    return bytes(out)


