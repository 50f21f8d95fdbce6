"""Models that were saved with all that trained them: what stripping takes out of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .registry import TF, model
from .words import words_file


@model()
def train_signature(tf: TF, out: Path) -> None:
    """A tf.Module with momentum of its own, a counter, and its training step as a signature."""

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.hidden = tf.Variable(tf.random.normal([4, 8]), name="hidden")
            self.bias = tf.Variable(tf.zeros([8]), name="bias")
            self.logits = tf.Variable(tf.random.normal([8, 2]), name="logits")
            self.velocity = [tf.Variable(tf.zeros_like(v)) for v in self.weights()]
            self.squares = [tf.Variable(tf.zeros_like(v)) for v in self.weights()]
            self.step = tf.Variable(0, dtype=tf.int64, name="step", trainable=False)

        def weights(self) -> list[Any]:
            return [self.hidden, self.bias, self.logits]

        @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
        def embed(self, x):
            return {"embedding": tf.nn.relu(tf.matmul(x, self.hidden) + self.bias)}

        @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
        def serve(self, x):
            return {"score": tf.nn.softmax(tf.matmul(self.embed(x)["embedding"], self.logits))}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 4], name="x"),
                tf.TensorSpec([None, 2], name="y"),
            ]
        )
        def train(self, x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.serve(x)["score"] - y) ** 2)
            gradients = tape.gradient(loss, self.weights())
            moments = zip(self.weights(), gradients, self.velocity, self.squares, strict=True)
            for weight, gradient, velocity, square in moments:
                velocity.assign(0.9 * velocity + gradient)
                square.assign(0.99 * square + 0.01 * gradient**2)
                weight.assign_sub(0.1 * velocity / (tf.sqrt(square) + 1e-7))
            return {"loss": loss, "step": self.step.assign_add(1)}

    net = Net()
    net.train(tf.ones([2, 4]), tf.ones([2, 2]))
    signatures = {"serving_default": net.serve, "embed": net.embed, "train": net.train}
    tf.saved_model.save(net, out, signatures=signatures)


@model()
def trained_conv(tf: TF, out: Path) -> None:
    """A convolution, and the training step that goes through it."""

    class Conv(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.kernel = tf.Variable(tf.random.normal([3, 3, 1, 4]), name="kernel")
            self.bias = tf.Variable(tf.zeros([4]), name="bias")

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], name="image")])
        def serve(self, image):
            convolved = tf.nn.conv2d(image, self.kernel, strides=1, padding="SAME") + self.bias
            pooled = tf.nn.max_pool2d(tf.nn.relu(convolved), 2, 2, "VALID")
            return {"features": tf.reduce_mean(pooled, axis=[1, 2])}

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1]), tf.TensorSpec([None, 4])])
        def train(self, image, target):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.serve(image)["features"] - target) ** 2)
            d_kernel, d_bias = tape.gradient(loss, [self.kernel, self.bias])
            self.kernel.assign_sub(0.1 * d_kernel)
            self.bias.assign_sub(0.1 * d_bias)
            return loss

    conv = Conv()
    tf.saved_model.save(conv, out, signatures=conv.serve)


@model()
def random_state(tf: TF, out: Path) -> None:
    """A generator's state and a counter that the signature moves on; momentum, and a step."""

    class Noisy(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.generator = tf.random.Generator.from_seed(11)
            self.weight = tf.Variable([1.0, -2.0, 0.5], name="weight")
            self.momentum = tf.Variable(tf.zeros([3]), name="momentum")
            self.calls = tf.Variable(0, dtype=tf.int64, name="calls")
            self.step = tf.Variable(0, dtype=tf.int64, name="step")

        @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
        def serve(self, x):
            noise = self.generator.uniform([3])
            return {"y": x * self.weight + noise, "calls": self.calls.assign_add(1)}

        @tf.function(input_signature=[tf.TensorSpec([None, 3])])
        def train(self, x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((x * self.weight) ** 2)
            self.momentum.assign(0.9 * self.momentum + tape.gradient(loss, self.weight))
            self.weight.assign_sub(0.1 * self.momentum)
            self.step.assign_add(1)
            return loss

    noisy = Noisy()
    tf.saved_model.save(noisy, out, signatures=noisy.serve)


class _Kinds:
    """What functions refer to each other by, in one model: a base of tf.Module's.

    Loops, branches, mapped functions, datasets, XLA, tables, a custom gradient.
    """

    def build(self, tf: TF, words: Path) -> None:
        self.vocabulary = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                str(words),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            num_oov_buckets=1,
        )
        self.names = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer([0, 1], ["low", "high"], tf.int64, tf.string), "?"
        )
        self.counts = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
        self.counts.insert(tf.constant([0, 2], tf.int64), tf.constant([3.0, 5.0]))
        self.seen = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 0)
        self.rows = tf.Variable(tf.random.normal([5, 4]), name="rows")
        self.kernel = tf.Variable(tf.random.normal([4, 2]), name="kernel")
        self.moments = [tf.Variable(tf.zeros_like(v)) for v in (self.rows, self.kernel)]


def _scores(tf: TF, self: Any, vectors: Any, branch: Any) -> dict[str, Any]:
    """Vectors through every kind of function."""

    @tf.custom_gradient
    def clipped(x):
        return tf.identity(x), lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

    @tf.function(jit_compile=True)
    def compiled(x):
        return tf.tanh(x) * 2.0

    def halved(i, x):
        return [i + 1, x * 0.5 + self.kernel[0, 0]]

    _, vectors = tf.while_loop(
        lambda i, x: i < 3, halved, [0, vectors], shape_invariants=[
            tf.TensorShape([]), tf.TensorShape([None, 4])
        ],
    )  # fmt: skip
    x = tf.cond(
        tf.reduce_sum(vectors) > 0.0, lambda: vectors + self.kernel[0, 1], lambda: vectors - 1.0
    )
    x = clipped(compiled(tf.matmul(x, self.kernel)))
    x = tf.switch_case(
        tf.convert_to_tensor(branch), [lambda: x, lambda: x * self.kernel[0, 0], lambda: -x]
    )
    x = tf.map_fn(lambda row: row * row, x)
    rows = tf.data.Dataset.from_tensor_slices(x).map(lambda row: row + self.kernel[0])
    total = rows.reduce(tf.zeros([2]), lambda state, row: state + row)
    side = tf.cast(tf.reduce_sum(x, axis=1) > 1.0, tf.int64)
    return {"x": x, "total": total, "name": self.names.lookup(side)}


def _step(tf: TF, self: Any, loss: Any, tape: Any) -> Any:
    """One of momentum."""
    weights = [self.rows, self.kernel]
    for weight, moment, gradient in zip(
        weights, self.moments, tape.gradient(loss, weights), strict=True
    ):
        moment.assign(0.9 * moment + tf.convert_to_tensor(gradient))
        weight.assign_sub(0.1 * moment)
    return loss


@model()
def trained_flow(tf: TF, out: Path) -> None:
    """Loops, branches, datasets, XLA, tables, a custom gradient; with its training step."""

    class Flow(_Kinds, tf.Module):  # type: ignore[misc]
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, name="words"),
                tf.TensorSpec([], tf.int32, name="branch"),
            ]
        )
        def serve(self, words, branch):
            ids = self.vocabulary.lookup(words)
            scores = _scores(tf, self, tf.gather(self.rows, ids), branch)
            return {**scores, "counts": self.counts.lookup(ids)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def train(self, words):
            ids = self.vocabulary.lookup(words)
            with tf.GradientTape() as tape:
                x = _scores(tf, self, tf.gather(self.rows, ids), 0)["x"]
                loss = tf.reduce_sum(x)
            self.seen.insert(ids, ids + 1)
            return _step(tf, self, loss, tape)

    with words_file(out) as words:
        flow = Flow()
        flow.build(tf, words)
        tf.saved_model.save(
            flow,
            out,
            signatures=flow.serve,
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=True),
        )


@model(
    feeds={
        "serving_default": {"words": ["the", "fox", "cat"], "words_1": [0, 2, 3]},
        "serve()": {"0": ["the", "fox", "cat"], "1": [0, 2, 3]},
        "train()": {"0": ["the", "fox", "cat"], "1": [0, 2, 3]},
    }
)
def trained_ragged(tf: TF, out: Path) -> None:
    """Ragged words in and ragged vectors out, tables, and a training step."""

    class Ragged(_Kinds, tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.string)])
        def serve(self, words):
            vectors = self.vectors(words)
            scores = _scores(tf, self, tf.reduce_mean(vectors, axis=1), 1)
            return {**scores, "vectors": vectors}

        @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.string)])
        def train(self, words):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(self.vectors(words).flat_values ** 2)
                loss += tf.reduce_sum(self.kernel**2)
            return _step(tf, self, loss, tape)

        def vectors(self, words):
            ids = tf.ragged.map_flat_values(self.vocabulary.lookup, words)
            return tf.ragged.map_flat_values(tf.gather, self.rows, ids)

    with words_file(out) as words:
        ragged = Ragged()
        ragged.build(tf, words)
        tf.saved_model.save(ragged, out, signatures=ragged.serve)


#: Of the two below: what the coo_sparse signature is fed.
_SPARSE = {
    "sparse": {
        "s_indices": [[0, 1], [1, 3]],
        "s_values": [1.5, -2.0],
        "s_dense_shape": [2, 4],
    }
}


@model(feeds=_SPARSE)
def v1_trained(tf: TF, out: Path) -> None:
    """TF1 graph of training as it stands: while and cond of old, two tables, averages, Adam."""
    _save_trained(tf, out, use_resource=True)


@model(feeds=_SPARSE)
def v1_trained_ref(tf: TF, out: Path) -> None:
    """The same with ref variables, and an input pipeline whose functions serving needs not."""
    _save_trained(tf, out, use_resource=False)


def _save_trained(tf: TF, out: Path, *, use_resource: bool) -> None:
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    with words_file(out) as words, tf.Graph().as_default(), v1.Session() as session:
        asset = tf.constant(str(words), name="asset_path")
        initializer = tf.lookup.TextFileInitializer(
            asset,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        vocabulary = tf.lookup.StaticHashTable(initializer, default_value=-1)
        labels = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer([0, 1], ["no", "yes"], tf.int64, tf.string), "?"
        )

        def variable(name: str, shape: list[int], seed: int) -> Any:
            return v1.get_variable(
                name,
                shape,
                initializer=v1.random_normal_initializer(seed=seed),
                use_resource=use_resource,
            )

        rows, kernel = variable("rows", [5, 4], 1), variable("kernel", [4, 2], 2)
        rate = v1.get_variable("rate", initializer=tf.constant(1.5), use_resource=use_resource)

        def logits(vectors: Any, kernel: Any) -> Any:
            _, x = tf.while_loop(
                lambda i, _: i < 3, lambda i, v: (i + 1, v * rate), (0, tf.matmul(vectors, kernel))
            )
            return tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + 1.0, lambda: x - 1.0)

        text = v1.placeholder(tf.string, [None], name="text")
        averages = v1.train.ExponentialMovingAverage(0.9)
        learnt = averages.apply([rows, kernel])
        served = logits(tf.gather(rows, vocabulary.lookup(text) + 1), averages.average(kernel))
        label = labels.lookup(tf.argmax(served, axis=1))
        s = v1.sparse_placeholder(tf.float32, [None, 4], name="s")
        sparse = v1.sparse_tensor_dense_matmul(s, kernel, name="sparse")

        pipeline = tf.data.Dataset.from_tensors(["the", "fox"]).map(tf.strings.lower).repeat()
        batch = v1.data.make_one_shot_iterator(pipeline).get_next()
        trained = logits(tf.gather(rows, vocabulary.lookup(batch) + 1), kernel)
        loss = tf.reduce_mean((trained - 1.0) ** 2, name="loss")
        v1.summary.scalar("loss", loss)
        step = v1.train.get_or_create_global_step()
        train = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        v1.add_to_collection(v1.GraphKeys.TRAIN_OP, tf.group(train, learnt, name="train"))
        main_op = tf.group(v1.tables_initializer(), name="init_all")
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        session.run("train")
        info = v1.saved_model.build_tensor_info
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": v1.saved_model.predict_signature_def(
                    {"text": text}, {"logits": served, "label": label}
                ),
                "sparse": v1.saved_model.build_signature_def(
                    {"s": info(s)},
                    {"product": info(sparse)},
                    v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
                ),
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=main_op,
        )
        builder.save()


@model()
def no_init_op(tf: TF, out: Path) -> None:
    """TF1 with a table and no init op: only tf.saved_model.load finds the table's initializer."""
    v1 = tf.compat.v1
    with words_file(out) as words, tf.Graph().as_default(), v1.Session() as session:
        asset = tf.constant(str(words), name="asset_path")
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            default_value=-1,
        )
        text = v1.placeholder(tf.string, [None], name="text")
        scale = v1.get_variable("scale", initializer=tf.constant(3.0))
        unused = v1.get_variable("unused", initializer=tf.constant(4.0))
        ids = table.lookup(text)
        y = tf.cast(ids, tf.float32) * scale
        v1.add_to_collection(v1.GraphKeys.LOCAL_INIT_OP, tf.group(unused.initializer))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": v1.saved_model.predict_signature_def({"text": text}, {"y": y})},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()
