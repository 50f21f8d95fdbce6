"""What is in the graph: loops, functions, devices, modules, pipelines."""
from __future__ import annotations

from typing import Any

from .checkpoints import PREFIX, X_TO_Y, line, save
from .registry import TF, source


def _loops(tf: TF, *, use_resource: bool) -> None:
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [], name="x")
    w = v1.get_variable("w", initializer=tf.constant(1.5), use_resource=use_resource)

    def body(i: Any, v: Any) -> Any:
        more = tf.cond(v > 2.0, lambda: v * w, lambda: v + w)
        [more] = tf.while_loop(lambda u: u < 9.0, lambda u: [u * w + 0.1], [more])
        return i + 1, more

    _, y = tf.while_loop(lambda i, _: i < 3, body, (0, x))
    tf.cond(y > 0.0, lambda: y + 1.0, lambda: y - w, name="choice")
    tf.identity(y, name="y")
    save(tf)


@source(PREFIX, inputs={"x": "x:0"}, outputs={"y": "y:0", "choice": "choice/Merge:0"})
def old_loops(tf: TF) -> None:
    """Loops in loops and conds of TF1: Enter, Switch, and contexts in the collections."""
    tf.compat.v1.disable_control_flow_v2()
    _loops(tf, use_resource=False)


@source(
    PREFIX, inputs={"x": "x:0"}, outputs={"y": "y:0", "choice": "choice/Identity:0"}
)
def loops(tf: TF) -> None:
    """The same as functions: While, If and a library."""
    tf.compat.v1.enable_control_flow_v2()
    _loops(tf, use_resource=True)


@source(PREFIX, inputs={"x": "x:0"}, outputs={"last": "last:0"})
def recurrent(tf: TF) -> None:
    """A recurrent cell by dynamic steps, tensor arrays in a loop of TF1, and its gradients."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    x = v1.placeholder(tf.float32, [None, 4, 3], name="x")
    normal = v1.random_normal_initializer(seed=9)
    kernel = v1.get_variable("kernel", [5, 2], initializer=normal, use_resource=False)
    steps = tf.TensorArray(tf.float32, size=4).unstack(tf.transpose(x, [1, 0, 2]))
    made = tf.TensorArray(tf.float32, size=4)

    def step(i: Any, h: Any, out: Any) -> Any:
        h = tf.tanh(tf.matmul(tf.concat([steps.read(i), h], 1), kernel))
        return i + 1, h, out.write(i, h)

    start = tf.zeros([tf.shape(x)[0], 2])
    shapes = (tf.TensorShape([]), tf.TensorShape([None, 2]), tf.TensorShape(None))
    _, _, made = tf.while_loop(
        lambda i, *_: i < 4, step, (0, start, made), shape_invariants=shapes
    )
    last = tf.identity(made.stack()[-1], name="last")
    loss = tf.reduce_sum(last**2)
    v1.train.GradientDescentOptimizer(0.1).minimize(loss)
    save(tf)


@source(PREFIX, inputs={"x": "x:0"}, outputs={"y": "y:0"})
def functions(tf: TF) -> None:
    """Functions with gradients of their own, called by a graph of TF1."""
    v1 = tf.compat.v1

    @tf.custom_gradient
    def clipped(x: Any) -> Any:
        return tf.clip_by_value(x, 0.0, 6.0), lambda dy: dy * 0.5

    @tf.function
    def body(x: Any) -> Any:
        return clipped(x) * 2.0

    x = v1.placeholder(tf.float32, [None], name="x")
    w = v1.get_variable("w", initializer=tf.constant(1.5))
    tf.identity(body(x * w), name="y")
    save(tf)


@source(PREFIX, **X_TO_Y)
def pinned(tf: TF) -> None:
    """Nodes and variables pinned to a device that every machine has."""
    with tf.device("/job:localhost/replica:0/task:0/device:CPU:0"):
        line(tf)
        save(tf)


@source(PREFIX, inputs={"x": "module/x:0"}, outputs={"choice": "module/choice/Merge:0"})
def module(tf: TF) -> None:
    """A graph imported into a scope, as tensorflow_hub does: all names and contexts moved."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    with tf.Graph().as_default():
        y = line(tf, use_resource=False)
        [y] = tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: [v * 1.5 + 1.0], [y])
        tf.cond(tf.reduce_sum(y) > 0.0, lambda: y, lambda: -y, name="choice")
        inner = v1.train.export_meta_graph(clear_extraneous_savers=True)
    v1.train.import_meta_graph(inner, import_scope="module")
    v1.add_to_collection("tfhub_signature", "default")
    save(tf)


@source(
    PREFIX, inputs={"x": "IteratorGetNext:0"}, outputs={"y": "y:0"}, proposed=False
)
def pipeline(tf: TF) -> None:
    """Inputs come from a tf.data iterator; the signature feeds what it gives."""
    v1 = tf.compat.v1
    data = tf.data.Dataset.from_tensors(tf.constant([1.0, 2.0])).repeat()
    x = v1.data.make_initializable_iterator(data).get_next()
    w = v1.get_variable("w", initializer=tf.constant(0.37))
    tf.multiply(x, w, name="y")
    save(tf)


@source(
    PREFIX,
    inputs={"x": "x:0"},
    outputs={"values": "top:0", "indices": "top:1", "last": "split:2"},
    proposed=False,
)
def many_outputs(tf: TF) -> None:
    """Nodes of several outputs, of which some are asked for."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [2, 6], name="x")
    w = v1.get_variable("w", initializer=tf.constant([0.3, -2.0, 0.9, 1.1, 0.2, 4.0]))
    tf.math.top_k(x * w, 2, name="top")
    tf.split(x + w, 3, axis=1, name="split")
    save(tf)


@source(
    PREFIX,
    inputs={"values": "s/values:0", "indices": "s/indices:0", "shape": "s/shape:0"},
    outputs={"product": "product:0"},
    feeds={"values": [1.5, -2.0], "indices": [[0, 1], [1, 2]], "shape": [2, 3]},
)
def sparse(tf: TF) -> None:
    """A sparse placeholder: three tensors, whose shape is unknown until it is fed."""
    v1 = tf.compat.v1
    s = v1.sparse_placeholder(tf.float32, name="s")
    w = v1.get_variable("w", [3, 2], initializer=v1.random_normal_initializer(seed=3))
    product = v1.sparse_tensor_dense_matmul(s, w)
    tf.identity(product, name="product")
    save(tf)


@source(
    PREFIX,
    inputs={"examples": "examples:0"},
    outputs={"scores": "scores:0"},
    options={"signature": "parse", "method": "predict", "tags": ["serve", "parse"]},
    feeds={"examples": ["", ""]},
)
def parsed(tf: TF) -> None:
    """Serialised examples, a signature of another name, two tags."""
    v1 = tf.compat.v1
    examples = v1.placeholder(tf.string, [None], name="examples")
    features = v1.parse_example(examples, {"v": v1.FixedLenFeature([], tf.float32, 0.25)})
    w = v1.get_variable("w", initializer=tf.constant(0.37))
    tf.sigmoid(features["v"] * w, name="scores")
    save(tf)
