"""What a .meta says of its saver: several, sharded, partial, renamed, none, of old."""
from __future__ import annotations

from typing import Any

from .checkpoints import PREFIX, X_TO_Y, line, save
from .registry import TF, source


@source(PREFIX, **X_TO_Y)
def several_savers(tf: TF) -> None:
    """Three savers in the graph; the .meta names the last, the first has other keys."""
    v1 = tf.compat.v1
    line(tf)
    w, b = v1.global_variables()
    v1.train.Saver({"other/w": b, "other/b": w}, name="other")
    v1.train.Saver([w], name="half")
    save(tf, saver=v1.train.Saver(max_to_keep=3))


@source(PREFIX, **X_TO_Y)
def shards(tf: TF) -> None:
    """A sharded saver over variables of two devices: a checkpoint of two files."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None], name="x")
    with tf.device("/device:CPU:0"):
        w = v1.get_variable("w", initializer=tf.constant(0.37), use_resource=False)
        steps = v1.get_variable("steps", initializer=tf.constant(7, tf.int64))
    b = v1.get_variable("b", initializer=tf.constant([2.1, 3.1]), use_resource=False)
    tf.add(w * x + tf.cast(steps, tf.float32), b, name="y")
    save(tf, saver=v1.train.Saver(sharded=True))


@source(PREFIX, **X_TO_Y)
def averages(tf: TF) -> None:
    """Moving averages restored into the variables: keys that are not the variables' names."""
    v1 = tf.compat.v1
    line(tf)
    average = v1.train.ExponentialMovingAverage(0.5)
    update = average.apply(v1.trainable_variables())
    raise_ = [v1.assign_add(v, 1.25) for v in v1.trainable_variables()]
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run(raise_)
        session.run(update)
        v1.train.Saver().save(session, "all.ckpt", write_meta_graph=False, write_state=False)
    saver = v1.train.Saver(
        {f"{v.op.name}/ExponentialMovingAverage": v for v in v1.trainable_variables()}
    )
    saver.export_meta_graph(f"{PREFIX}.meta")
    with v1.Session() as session:
        saver.restore(session, "all.ckpt")
        saver.save(session, PREFIX, write_meta_graph=False, write_state=False)


@source(PREFIX, **X_TO_Y)
def subset(tf: TF) -> None:
    """A saver of some variables; the output needs no others."""
    v1 = tf.compat.v1
    line(tf)
    v1.get_variable("unsaved", initializer=tf.constant([1.0, 2.0]))
    keep = [v for v in v1.global_variables() if v.op.name != "unsaved"]
    save(tf, saver=v1.train.Saver(keep))


@source(PREFIX, **X_TO_Y)
def more_in_checkpoint(tf: TF) -> None:
    """A checkpoint of more than the graph for serving has, whose .meta is written beside it."""
    v1 = tf.compat.v1
    line(tf)
    v1.get_variable("head", initializer=tf.constant([1.0, 2.0]))
    save(tf, write_meta_graph=False)
    with tf.Graph().as_default():
        line(tf)
        v1.train.Saver().export_meta_graph(f"{PREFIX}.meta")


@source(PREFIX, **X_TO_Y)
def no_saver_def(tf: TF) -> None:
    """A .meta of tf.compat.v1.train.export_meta_graph: it has no saver."""
    v1 = tf.compat.v1
    line(tf)
    v1.train.export_meta_graph(f"{PREFIX}.meta")
    save(tf, write_meta_graph=False)


@source(PREFIX, inputs={"x": "x:0"}, outputs={"y": "y:0"})
def no_saver_def_parts(tf: TF) -> None:
    """No saver, and variables in parts, refs and resources: slices are restored anew."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None, 7], name="x")
    normal = v1.random_normal_initializer(seed=3)
    of_rows = v1.fixed_size_partitioner(3)
    kernel = v1.get_variable("k", [7, 6], initializer=normal, partitioner=of_rows)
    refs = v1.get_variable(
        "refs", [6, 4], initializer=normal, partitioner=of_rows, use_resource=False
    )
    bias = v1.get_variable("bias", [4], initializer=normal, use_resource=False)
    h = tf.matmul(x, tf.convert_to_tensor(kernel))
    tf.add(tf.matmul(h, tf.convert_to_tensor(refs)), bias, name="y")
    v1.train.export_meta_graph(f"{PREFIX}.meta")
    save(tf, write_meta_graph=False)


@source(PREFIX, inputs={"x": "x:0"}, outputs={"z": "z:0"})
def no_collection(tf: TF) -> None:
    """No saver and no collection of variables: only their nodes tell of them."""
    v1 = tf.compat.v1
    line(tf)
    line_ref = v1.get_variable("c", initializer=tf.constant(1.3), use_resource=False)
    tf.add(tf.compat.v1.get_default_graph().get_tensor_by_name("y:0"), line_ref, name="z")
    v1.train.export_meta_graph(f"{PREFIX}.meta", collection_list=[])
    save(tf, write_meta_graph=False)


@source(PREFIX, **X_TO_Y, own_saver=False)
def old_restore_ops(tf: TF) -> None:
    """A saver of TensorFlow 0.x: RestoreSlice, which cannot read a checkpoint of today."""
    from tensorflow.python.ops import io_ops
    from tensorflow.python.training import saver as savers

    class Builder(savers.BaseSaverBuilder):
        def bulk_restore(self, filename, saveables, preferred_shard, restore_sequentially):
            return [
                io_ops._restore_slice(filename, spec.name, spec.slice_spec, tf.as_dtype(spec.dtype))
                for saveable in saveables
                for spec in saveable.specs
            ]

    v1 = tf.compat.v1
    line(tf, use_resource=False)
    save(tf, write_meta_graph=False)
    of_old = v1.train.Saver(write_version=v1.train.SaverDef.V1, builder=Builder())
    of_old.export_meta_graph(f"{PREFIX}.meta")


@source(PREFIX, inputs={"x": "x:0"}, outputs={"y": "y:0"})
def reshaped(tf: TF) -> None:
    """A saver that reshapes, in sequence: the checkpoint has a variable in another shape."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    w = v1.get_variable("w", [3, 2], initializer=v1.random_normal_initializer(seed=3))
    b = v1.get_variable("b", initializer=tf.constant([0.5, 2.1]), use_resource=False)
    tf.add(tf.matmul(x, w), b, name="y")
    saver = v1.train.Saver(reshape=True, restore_sequentially=True)
    saver.export_meta_graph(f"{PREFIX}.meta")
    with tf.Graph().as_default():
        v1.get_variable("w", [6], initializer=v1.random_normal_initializer(seed=4))
        v1.get_variable("b", initializer=tf.constant([[0.7], [2.9]]))
        save(tf, write_meta_graph=False)


@source(PREFIX, **X_TO_Y, options={"signature": "mine"})
def described_before(tf: TF) -> None:
    """A .meta that has tags and signatures already."""

    def describe(meta: Any) -> None:
        meta.meta_info_def.tags.extend(["train", "eval"])
        for key in ("serving_default", "other"):
            signature = meta.signature_def[key]
            signature.method_name = "tensorflow/serving/predict"
            signature.outputs["w"].name = "w/Read/ReadVariableOp:0"
            signature.outputs["w"].dtype = tf.float32.as_datatype_enum
            signature.outputs["w"].tensor_shape.SetInParent()

    line(tf)
    save(tf)
    edited(tf, describe)


@source(PREFIX, **X_TO_Y)
def stripped_defaults(tf: TF) -> None:
    """A .meta written with strip_default_attrs."""
    line(tf)
    save(tf, strip_default_attrs=True)


def edited(tf: TF, edit: Any, path: str = f"{PREFIX}.meta") -> None:
    """Writes a .meta that `edit` has changed."""
    with open(path, "rb") as file:
        meta = tf.compat.v1.MetaGraphDef.FromString(file.read())
    edit(meta)
    with open(path, "wb") as file:
        file.write(meta.SerializeToString())


@source(PREFIX, **X_TO_Y)
def no_producer(tf: TF) -> None:
    """A .meta that names no release, no producer and no ops, as of the first TF1."""

    def age(meta: Any) -> None:
        meta.meta_info_def.Clear()
        meta.graph_def.ClearField("versions")
        for node in meta.graph_def.node:
            node.attr.pop("_output_shapes", None)
            node.op = "Variable" if node.op == "VariableV2" else node.op

    line(tf, use_resource=False)
    save(tf)
    edited(tf, age)
