"""What savers of other models and releases look like: how else a model restores and saves."""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from . import tf2
from .edited import _edit
from .registry import TF, model


@model()
def v1_shards(tf: TF, out: Path) -> None:
    """TF1 with variables on two devices, a RestoreV2 and a SaveV2 for each; steps are counted."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        with tf.device("/device:CPU:0"):
            v1.get_variable("seen", initializer=tf.constant(7, tf.int64), use_resource=False)
            v1.get_variable("rate", initializer=tf.constant(0.25))
        w = v1.get_variable("w", initializer=tf.constant(0.5))
        v1.get_variable("slot", initializer=tf.constant([1.0, 2.0]), use_resource=False)
        b = v1.get_variable("b", initializer=tf.constant(2.0), use_resource=False)
        y = tf.add(w * x, b, name="y")
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


@model()
def tables_again(tf: TF, out: Path) -> None:
    """Loaded and saved again with a table: what restores it is a function, called as a whole."""
    first = out.with_name(out.name + ".first")
    tf2.vocabulary(tf, first)
    loaded = tf.saved_model.load(str(first))
    again = tf.Module()
    again.loaded, again.step = loaded, tf.Variable(3, dtype=tf.int64)
    tf.saved_model.save(again, out, signatures=dict(loaded.signatures))
    shutil.rmtree(first)


@model()
def old_restore(tf: TF, out: Path) -> None:
    """Restores as TF 2.0 did, with two RestoreV2, and names all that goes by arguments."""
    tf2.two_signatures(tf, out)

    def age(saved_model: Any) -> None:
        m = saved_model.meta_graphs[0]
        [call] = [n for n in m.graph_def.node if n.name == m.saver_def.restore_op_name]
        library = m.graph_def.library.function
        [body] = [f for f in library if f.signature.name == call.attr["f"].func.name]
        nodes = {node.name: node for node in body.node_def}
        # Two ops of two tensors each; they share their slices, of which one is written down.
        half, second = nodes["RestoreV2"], body.node_def.add()
        second.CopyFrom(half)
        second.name = "RestoreV2_1"
        names = body.node_def.add()
        names.CopyFrom(nodes["RestoreV2/tensor_names"])
        names.name = "RestoreV2_1/tensor_names"
        second.input[1] = "RestoreV2_1/tensor_names:output:0"
        second.input.append("^RestoreV2")
        constants = nodes["RestoreV2/tensor_names"], names, nodes["RestoreV2/shape_and_slices"]
        first_names, second_names, slices = (node.attr["value"].tensor for node in constants)
        assert len(first_names.string_val) == 4
        del first_names.string_val[2:], second_names.string_val[:2], slices.string_val[1:]
        for node in constants:
            node.attr["value"].tensor.tensor_shape.dim[0].size = 2
            node.attr["_output_shapes"].list.shape[0].dim[0].size = 2
        for node, gone in ((half, slice(2, 4)), (second, slice(0, 2))):
            del node.attr["dtypes"].list.type[gone], node.attr["_output_shapes"].list.shape[2:]
        for node in body.node_def:
            for i, name in enumerate(node.input):
                if name.startswith("RestoreV2:tensors:") and int(name[-1]) >= 2:
                    node.input[i] = f"RestoreV2_1:tensors:{int(name[-1]) - 2}"
        for name in ("RestoreV2", "RestoreV2_1"):
            body.control_ret[name] = name
            body.signature.control_output.append(name)
        for i in range(1, len(body.signature.input_arg)):
            body.resource_arg_unique_id[i] = 10 + i
        call.attr["_read_only_resource_inputs"].list.i.extend([1, 3])

    _edit(out, age)
