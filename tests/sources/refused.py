"""What cannot be converted, each with its reason."""
from __future__ import annotations

from typing import Any

from .assets import by_file, put
from .checkpoints import PREFIX, X_TO_Y, line, save
from .registry import TF, source
from .savers import edited


@source(PREFIX, **X_TO_Y, refused="V1")
def format_v1(tf: TF) -> None:
    """A checkpoint in the format V1: one file without an index."""
    v1 = tf.compat.v1
    line(tf)
    save(tf, saver=v1.train.Saver(write_version=v1.train.SaverDef.V1))


@source("objects-1", **X_TO_Y, refused="graph")
def objects(tf: TF) -> None:
    """A checkpoint of TF2 objects: the graph is in the code alone."""
    from tensorflow.python.eager import context

    with context.eager_mode():
        held = tf.train.Checkpoint(w=tf.Variable(0.37), b=tf.Variable(2.1))
        held.save("objects")


@source(PREFIX, **X_TO_Y, refused="not in the checkpoint")
def keys_missing(tf: TF) -> None:
    """A checkpoint that lacks a key which the saver restores."""
    v1 = tf.compat.v1
    line(tf)
    v1.train.Saver().export_meta_graph(f"{PREFIX}.meta")
    w, _ = v1.global_variables()
    save(tf, saver=v1.train.Saver([w]), write_meta_graph=False)


@source(PREFIX, **X_TO_Y, refused="shape")
def other_shapes(tf: TF) -> None:
    """A checkpoint that has a variable in another shape."""
    v1 = tf.compat.v1
    line(tf)
    v1.train.Saver().export_meta_graph(f"{PREFIX}.meta")
    with tf.Graph().as_default():
        v1.get_variable("w", initializer=tf.constant([0.37, 1.0]))
        v1.get_variable("b", initializer=tf.constant(2.1))
        save(tf, write_meta_graph=False)


@source(PREFIX, **X_TO_Y, refused="dtype")
def other_dtypes(tf: TF) -> None:
    """A checkpoint that has a variable in another dtype."""
    v1 = tf.compat.v1
    line(tf)
    v1.train.Saver().export_meta_graph(f"{PREFIX}.meta")
    with tf.Graph().as_default():
        v1.get_variable("w", initializer=tf.constant(0.37, tf.float64))
        v1.get_variable("b", initializer=tf.constant(2.1))
        save(tf, write_meta_graph=False)


@source(PREFIX, **X_TO_Y, refused="restores")
def unrestored(tf: TF) -> None:
    """A saver of some variables; the output needs another."""
    v1 = tf.compat.v1
    line(tf)
    w, _ = v1.global_variables()
    save(tf, saver=v1.train.Saver([w]))


@source(PREFIX, inputs={"text": "text:0"}, outputs={"ids": "ids:0"}, refused="gone.txt")
def asset_gone(tf: TF) -> None:
    """A table's file that is not there any more."""
    import os

    v1 = tf.compat.v1
    text = v1.placeholder(tf.string, [None], name="text")
    tf.identity(by_file(tf, put("gone.txt")).lookup(text), name="ids")
    v1.get_variable("w", initializer=tf.constant(0.37))
    save(tf)
    os.remove("gone.txt")


@source(PREFIX, inputs={"text": "text:0"}, outputs={"ids": "ids:0"}, refused="/etc/passwd")
def asset_elsewhere(tf: TF) -> None:
    """A table's file that is there, by an absolute path that is not beside the source."""
    v1 = tf.compat.v1
    text = v1.placeholder(tf.string, [None], name="text")
    tf.identity(by_file(tf, "/etc/passwd").lookup(text), name="ids")
    v1.get_variable("w", initializer=tf.constant(0.37))
    save(tf)


@source(PREFIX, **X_TO_Y, refused="meta")
def cut_meta(tf: TF) -> None:
    """A .meta that ends too early."""
    line(tf)
    save(tf)
    with open(f"{PREFIX}.meta", "r+b") as file:
        file.truncate(file.seek(0, 2) - 7)


@source(PREFIX, **X_TO_Y, refused="no graph|node")
def no_graph(tf: TF) -> None:
    """A .meta without a graph."""

    def empty(meta: Any) -> None:
        meta.ClearField("graph_def")

    line(tf)
    save(tf)
    edited(tf, empty)
