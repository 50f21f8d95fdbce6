"""A checkpoint and its .meta, as tf.compat.v1.train.Saver writes them."""
from __future__ import annotations

from typing import Any

from .registry import TF, source

PREFIX = "model.ckpt"

X_TO_Y = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}


def line(tf: TF, *, use_resource: bool = True) -> Any:
    """y = w * x + b in the default graph; returns y."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None], name="x")
    w = v1.get_variable("w", initializer=tf.constant(0.37), use_resource=use_resource)
    b = v1.get_variable("b", initializer=tf.constant(2.1), use_resource=use_resource)
    return tf.add(w * x, b, name="y")


def save(tf: TF, prefix: str = PREFIX, saver: Any = None, **options: Any) -> None:
    """Initialises all variables, and saves them."""
    v1 = tf.compat.v1
    options = {"write_state": False, **options}
    saver = saver or v1.train.Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        saver.save(session, prefix, **options)


@source(PREFIX, **X_TO_Y)
def plain(tf: TF) -> None:
    """Two resource variables and a line."""
    line(tf)
    save(tf)


@source(PREFIX, **X_TO_Y)
def refs(tf: TF) -> None:
    """The same with ref variables, as TF1 made them by default."""
    line(tf, use_resource=False)
    save(tf)


@source(PREFIX, inputs={"x": "x:0"}, outputs={"y": "net/y:0"})
def partitions(tf: TF) -> None:
    """Variables in parts, one of them along the second axis, of both kinds."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None, 7], name="x")
    rows = v1.fixed_size_partitioner(3)
    with v1.variable_scope("net", initializer=v1.random_normal_initializer(seed=3)):
        kernel = v1.get_variable("kernel", [7, 6], partitioner=rows, use_resource=False)
        columns = v1.get_variable(
            "columns", [6, 5], partitioner=v1.fixed_size_partitioner(2, axis=1)
        )
        h = tf.matmul(x, tf.convert_to_tensor(kernel))
        tf.matmul(h, tf.convert_to_tensor(columns), name="y")
    save(tf)


@source(
    PREFIX,
    inputs={"ids": "ids:0"},
    outputs={"rows": "rows:0", "flags": "flags:0", "words": "words:0", "sums": "sums:0"},
    feeds={"ids": [0, 2, 1]},
)
def dtypes(tf: TF) -> None:
    """Variables of strings, halves, booleans, int64 and complex numbers."""
    v1 = tf.compat.v1
    ids = v1.placeholder(tf.int64, [None], name="ids")
    half = v1.get_variable("half", initializer=tf.constant([0.1, 2.5, -3.0], tf.float16))
    brain = v1.get_variable("brain", initializer=tf.constant([0.5, -1.5, 9.0], tf.bfloat16))
    truth = v1.get_variable("truth", initializer=tf.constant([True, False, True]))
    words = v1.get_variable("words_", initializer=tf.constant(["one", "", "größe"]))
    phase = v1.get_variable(
        "phase", initializer=tf.constant([1 + 2j, -1j, 3.5], tf.complex64), use_resource=False
    )
    count = v1.get_variable("count", initializer=tf.constant(2**40, tf.int64))
    tf.cast(tf.gather(half, ids), tf.float32, name="rows")
    tf.gather(truth, ids, name="flags")
    tf.gather(words, ids, name="words")
    both = tf.gather(phase, ids) + tf.cast(tf.gather(tf.cast(brain, tf.float32), ids), tf.complex64)
    tf.stack([tf.math.real(both), tf.math.imag(both), tf.cast(ids + count, tf.float32)],
             name="sums")  # fmt: skip
    save(tf)


@source(PREFIX, inputs={"x": "x:0", "rate": "rate:0"}, outputs={"steps": "steps:0"})
def locals_too(tf: TF) -> None:
    """Local variables, which no checkpoint has: their initializers belong to the init op."""
    v1 = tf.compat.v1
    y = line(tf)
    rate = v1.placeholder(tf.float32, [], name="rate")
    local = [v1.GraphKeys.LOCAL_VARIABLES]
    counted = v1.get_variable(
        "counted", initializer=tf.constant(40.0), collections=local, trainable=False
    )
    twice = v1.get_variable(
        "twice", initializer=tf.constant([2.0, 3.0]), collections=local, trainable=False,
        use_resource=False,
    )  # fmt: skip
    tf.add(tf.reduce_sum(y) * rate + counted, twice, name="steps")
    save(tf)


@source(PREFIX, **X_TO_Y)
def trained(tf: TF) -> None:
    """A training graph: Adam and its slots, summaries, a queue, asserts, a step that counts."""
    v1 = tf.compat.v1
    y = line(tf)
    step = v1.train.get_or_create_global_step()
    label = v1.placeholder_with_default([3.0, 5.0], [2], name="label")
    weight = v1.placeholder(tf.float32, [], name="weight")
    target = v1.train.limit_epochs(label, num_epochs=3)
    queue = v1.FIFOQueue(4, [tf.float32], [[2]])
    v1.train.add_queue_runner(v1.train.QueueRunner(queue, [queue.enqueue([target])]))
    with tf.control_dependencies([v1.assert_non_negative(tf.shape(y), name="check")]):
        loss = tf.reduce_mean(weight * (y - queue.dequeue()) ** 2, name="loss")
    v1.summary.scalar("loss", loss)
    v1.summary.histogram("y", y)
    v1.summary.merge_all()
    train = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step, name="train")
    v1.add_to_collection(v1.GraphKeys.TRAIN_OP, train)
    saver = v1.train.Saver()
    v1.add_to_collection(v1.GraphKeys.SAVERS, saver)
    with v1.Session() as session:
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        for _ in range(3):
            session.run(queue.enqueue([[3.0, 5.0]]))
            session.run(train, {"x:0": [1.0, 2.0], weight: 0.5})
        saver.save(session, PREFIX, global_step=None, write_state=False)


@source(
    PREFIX,
    inputs={"x": "x:0", "keep_prob": "keep_prob:0"},
    outputs={"y": "y:0"},
    feeds={"keep_prob": 1.0},
    proposed=False,
)
def dropout_told(tf: TF) -> None:
    """Dropout by keep_prob, a placeholder with default, that is fed by the signature."""
    _dropout(tf)


@source(PREFIX, **X_TO_Y)
def dropout(tf: TF) -> None:
    """Dropout by keep_prob, a placeholder with default, that no one feeds."""
    _dropout(tf)


def _dropout(tf: TF) -> None:
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    keep = v1.placeholder_with_default(tf.constant(1.0), [], name="keep_prob")
    w = v1.get_variable("w", [4, 3], initializer=v1.random_normal_initializer(seed=5))
    kept = tf.floor(keep + v1.random_uniform([3], seed=4, maxval=0.5)) / keep
    tf.multiply(tf.matmul(x, w), kept, name="y")
    save(tf)


@source(
    PREFIX,
    inputs={"text": "text:0"},
    outputs={"ids": "ids:0", "length": "length:0", "loud": "loud:0"},
    feeds={"text": ["größe", "", "the fox"]},
)
def texts(tf: TF) -> None:
    """Strings in and out, with constants that are no ASCII and no UTF-8."""
    v1 = tf.compat.v1
    text = v1.placeholder(tf.string, [None], name="text")
    rows = v1.get_variable("rows", [11], initializer=v1.random_normal_initializer(seed=6))
    tf.gather(rows, tf.strings.to_hash_bucket_fast(text, 11), name="ids")
    tf.strings.length(text, unit="BYTE", name="length")
    tf.strings.join([text, tf.constant("→ größe"), tf.constant(b"\xff\x00")], name="loud")
    save(tf)


@source(
    PREFIX,
    inputs={"x": "tower/x:0", "x_1": "tower_1/x:0"},
    outputs={"y": "tower/y:0", "y_1": "tower_1/y:0"},
)
def scopes(tf: TF) -> None:
    """Two towers in name scopes, and keys that are no ASCII: aliases must be made unique."""
    v1 = tf.compat.v1
    kept = {}
    for scope, key in (("tower", "größe/w"), ("tower_1", "größe/ w\x01")):
        with v1.variable_scope(scope):
            x = v1.placeholder(tf.float32, [2, None], name="x")
            kept[key] = w = v1.get_variable("w", [3, 2], initializer=v1.ones_initializer())
            tf.matmul(w * (0.3 + len(kept)), x, name="y")
    save(tf, saver=v1.train.Saver(kept))
