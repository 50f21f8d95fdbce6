"""Models that TensorFlow wrote and its own protos changed afterwards.

What no public interface of TensorFlow writes, or only an old release did.
"""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import tf1, tf2
from .registry import TF, model


def _edit(out: Path, change: Callable[[Any], None]) -> None:
    """Parses saved_model.pb, changes the message, writes it and a true fingerprint.pb."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = out / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString(deterministic=True))
    refingerprint(out)


def refingerprint(out: Path) -> None:
    """Writes a true fingerprint.pb, without a uuid, where there was one."""
    from tensorflow.core.protobuf import fingerprint_pb2
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    stored = out / "fingerprint.pb"
    if stored.exists():
        fingerprint = fingerprint_pb2.FingerprintDef.FromString(
            fingerprinting.CreateFingerprintDef(str(out))
        )
        stored.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _to_pbtxt(out: Path) -> None:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    path = out / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (out / "saved_model.pbtxt").write_text(text_format.MessageToString(message))
    path.unlink()


@model()
def v2_pbtxt(tf: TF, out: Path) -> None:
    """TF2 with a vocabulary, converted to saved_model.pbtxt; no fingerprint.pb."""
    tf2.vocabulary(tf, out)
    _to_pbtxt(out)
    (out / "fingerprint.pb").unlink()


@model()
def both_formats(tf: TF, out: Path) -> None:
    """saved_model.pb and a saved_model.pbtxt of another model beside it: the .pb wins."""
    tf1.letter_tags(tf, out)
    _to_pbtxt(out)
    other = out.with_name(out.name + ".other")
    tf1.serve_and_gpu(tf, other)
    shutil.move(other / "saved_model.pb", out / "saved_model.pb")
    shutil.rmtree(other)


@model()
def nested_assets(tf: TF, out: Path) -> None:
    """TF2 assets in sub-folders with unicode and blanks, as an edit of the proto allows."""
    tf2.vocabulary(tf, out)
    name = "wörter/an other/die wörter.txt"
    target = out / "assets" / name
    target.parent.mkdir(parents=True)

    def move(saved_model: Any) -> None:
        (asset,) = saved_model.meta_graphs[0].asset_file_def
        (out / "assets" / asset.filename).rename(target)
        asset.filename = name

    _edit(out, move)


@model()
def legacy_init(tf: TF, out: Path) -> None:
    """TF1 with the init op in the collection legacy_init_op, as models of 2016 have it."""
    tf1.asset_collection(tf, out)

    def rename(saved_model: Any) -> None:
        collections = saved_model.meta_graphs[0].collection_def
        collections["legacy_init_op"].CopyFrom(collections["saved_model_main_op"])
        del collections["saved_model_main_op"]

    _edit(out, rename)


@model()
def both_assets(tf: TF, out: Path) -> None:
    """TF1 assets in the field and, with a name that does not exist, in the collection."""
    tf1.asset_collection(tf, out)

    def copy(saved_model: Any) -> None:
        from tensorflow.core.protobuf import meta_graph_pb2

        (meta_graph,) = saved_model.meta_graphs
        (packed,) = meta_graph.collection_def["saved_model_assets"].any_list.value
        asset = meta_graph_pb2.AssetFileDef()
        packed.Unpack(asset)
        meta_graph.asset_file_def.append(asset)
        asset.filename = "not there.txt"
        packed.Pack(asset)

    _edit(out, copy)


@model()
def unknown_fields(tf: TF, out: Path) -> None:
    """Fields that no release has, of every wire type, in messages at all depths."""
    tf2.two_signatures(tf, out)

    # Field 1000: varint, 1001: fixed64, 1002: length-delimited, 1003: a group, 1005: fixed32.
    unknown = bytes.fromhex("c03e 9601" "c93e 0102030405060708" "d23e 03 616263")
    unknown += bytes.fromhex("db3e c03e 07 dc3e" "ed3e 01020304")

    def grow(saved_model: Any) -> None:
        (m,) = saved_model.meta_graphs
        signature = m.signature_def["two"]
        for message in (
            saved_model,
            m,
            m.meta_info_def,
            m.meta_info_def.stripped_op_list.op[0],
            m.graph_def,
            m.graph_def.node[0],
            m.graph_def.library,
            m.graph_def.library.function[0],
            m.graph_def.library.function[0].signature,
            m.graph_def.library.function[0].node_def[0],
            m.saver_def,
            signature,
            signature.inputs["x"],
            signature.inputs["x"].tensor_shape,
            signature.inputs["x"].tensor_shape.dim[0],
            m.collection_def["saved_model_main_op"],
            m.object_graph_def,
            m.object_graph_def.nodes[0],
            m.object_graph_def.nodes[0].children[0],
            next(iter(sorted(m.object_graph_def.concrete_functions.items())))[1],
        ):
            message.MergeFromString(unknown)

    _edit(out, grow)


@model()
def two_meta_graphs_v2(tf: TF, out: Path) -> None:
    """TF2 with a second meta graph {serve, copy}: its object graph is not used any more."""
    tf2.two_signatures(tf, out)

    def double(saved_model: Any) -> None:
        copy = saved_model.meta_graphs.add()
        copy.CopyFrom(saved_model.meta_graphs[0])
        copy.meta_info_def.tags.append("copy")

    _edit(out, double)


@model()
def no_saver(tf: TF, out: Path) -> None:
    """TF1 variables without a saver_def, as TF1 Hub modules are: C++ restores nothing."""
    tf1.stripped_defaults(tf, out)
    _edit(out, lambda m: m.meta_graphs[0].ClearField("saver_def"))


@model()
def stray_cpb(tf: TF, out: Path) -> None:
    """Garbage in a saved_model.cpb beside the .pb: only fingerprinting opens it."""
    tf2.no_variables(tf, out)
    (out / "saved_model.cpb").write_bytes(b"not a chunked proto")


@model()
def no_meta_graphs(tf: TF, out: Path) -> None:
    """A saved_model.pb of no bytes: it parses, as no meta graph."""
    out.mkdir()
    (out / "saved_model.pb").touch()


@model()
def stale_fingerprint(tf: TF, out: Path) -> None:
    """TF2 edited without its fingerprint.pb: every loader takes it, the checksum is false."""
    tf2.extra_tags(tf, out)
    true = (out / "fingerprint.pb").read_bytes()
    _edit(out, lambda m: m.meta_graphs[0].meta_info_def.tags.append("late"))
    (out / "fingerprint.pb").write_bytes(true)


@model()
def no_function_spec(tf: TF, out: Path) -> None:
    """TF2 without the function_spec of signatures, as releases before 2.4 wrote them."""
    tf2.alike(tf, out)

    def clear(saved_model: Any) -> None:
        for node in saved_model.meta_graphs[0].object_graph_def.nodes:
            if node.WhichOneof("kind") == "bare_concrete_function":
                node.bare_concrete_function.ClearField("function_spec")

    _edit(out, clear)


@model()
def dangling_collection(tf: TF, out: Path) -> None:
    """TF1 with a collection that names a node that is gone, and a variable that is."""
    tf1.train_and_serve_resource(tf, out)

    def dangle(saved_model: Any) -> None:
        from tensorflow.core.framework import variable_pb2

        serve = saved_model.meta_graphs[1]
        serve.collection_def["train_op"].node_list.value.append("Adam")
        serve.collection_def["losses"].node_list.value.extend(["y:0", "gone:0"])
        variables = serve.collection_def["trainable_variables"].bytes_list
        gone = variable_pb2.VariableDef.FromString(variables.value[0])
        gone.variable_name = "gone:0"
        variables.value.append(gone.SerializeToString(deterministic=True))

    _edit(out, dangle)


@model()
def stale_children(tf: TF, out: Path) -> None:
    """TF2 with a signature renamed in saved_model.pb alone: not in the checkpoint's graph."""
    tf2.two_signatures(tf, out)

    def rename(saved_model: Any) -> None:
        (m,) = saved_model.meta_graphs
        m.signature_def["renamed"].CopyFrom(m.signature_def["two"])
        del m.signature_def["two"]
        nodes = m.object_graph_def.nodes
        (signatures,) = (c.node_id for c in nodes[0].children if c.local_name == "signatures")
        (child,) = (c for c in nodes[signatures].children if c.local_name == "two")
        child.local_name = "renamed"

    _edit(out, rename)
