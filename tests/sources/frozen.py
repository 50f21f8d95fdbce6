"""Frozen graphs: a GraphDef whose variables have become constants."""
from __future__ import annotations

from typing import Any

from .assets import by_file, put
from .checkpoints import X_TO_Y, line
from .registry import TF, source


def freeze(tf: TF, *outputs: str) -> Any:
    v1 = tf.compat.v1
    graph = v1.get_default_graph().as_graph_def()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        return v1.graph_util.convert_variables_to_constants(session, graph, list(outputs))


def write(tf: TF, graph: Any, name: str) -> None:
    tf.io.write_graph(graph, ".", name, as_text=name.endswith("txt"))


@source("frozen.pb", **X_TO_Y)
def frozen(tf: TF) -> None:
    """A frozen graph."""
    line(tf)
    write(tf, freeze(tf, "y"), "frozen.pb")


@source("frozen.pbtxt", **X_TO_Y)
def frozen_text(tf: TF) -> None:
    """A frozen graph as text."""
    line(tf)
    write(tf, freeze(tf, "y"), "frozen.pbtxt")


@source(
    "frozen.pb", inputs={"x": "x:0"}, outputs={"y": "y:0", "half": "half:0"}
)
def frozen_loops(tf: TF) -> None:
    """A frozen graph with loops of TF1, whose contexts are lost, and two outputs."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    x = v1.placeholder(tf.float32, [], name="x")
    w = v1.get_variable("w", initializer=tf.constant(1.5), use_resource=False)
    [y] = tf.while_loop(lambda v: v < 20.0, lambda v: [v * w + 1.0], [x])
    tf.identity(y, name="y")
    tf.multiply(tf.cond(y > 30.0, lambda: y, lambda: y - 1.0), 0.5, name="half")
    write(tf, freeze(tf, "y", "half"), "frozen.pb")


@source("frozen.pb", inputs={"x": "x:0"}, outputs={"y": "y:0"})
def frozen_functions(tf: TF) -> None:
    """A frozen graph with a library of functions."""
    v1 = tf.compat.v1
    v1.enable_control_flow_v2()
    x = v1.placeholder(tf.float32, [], name="x")
    w = v1.get_variable("w", initializer=tf.constant(1.5))
    [y] = tf.while_loop(lambda v: v < 20.0, lambda v: [v * w + 1.0], [x])
    tf.identity(y, name="y")
    write(tf, freeze(tf, "y"), "frozen.pb")


@source(
    "frozen.pb",
    inputs={"text": "text:0", "index": "index:0"},
    outputs={"vectors": "vectors:0", "label": "label:0"},
    feeds={"text": ["fox", "the", "nobody"], "index": [1, 0, 9]},
)
def frozen_tables(tf: TF) -> None:
    """A frozen graph with two tables, their initializers kept by name: no collection has them."""
    v1 = tf.compat.v1
    text = v1.placeholder(tf.string, [None], name="text")
    index = v1.placeholder(tf.int64, [None], name="index")
    rows = v1.get_variable("rows", [5, 2], initializer=v1.random_normal_initializer(seed=3))
    tf.gather(rows, by_file(tf, put("words.txt")).lookup(text) + 1, name="vectors")
    numbers, names = tf.constant([0, 1], tf.int64), tf.constant(["no", "yes"])
    labels = tf.lookup.KeyValueTensorInitializer(numbers, names)
    tf.identity(tf.lookup.StaticHashTable(labels, "?").lookup(index), name="label")
    inits = [op.name for op in v1.get_collection(v1.GraphKeys.TABLE_INITIALIZERS)]
    write(tf, freeze(tf, "vectors", "label", *inits), "frozen.pb")

