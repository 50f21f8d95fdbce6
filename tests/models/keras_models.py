"""Models of Keras 3 and of tf_keras, Keras 2's successor."""
from __future__ import annotations

from pathlib import Path

from .registry import SEED, TF, model


@model(needs=("keras",))
def keras_export(tf: TF, out: Path) -> None:
    """Keras 3 export: every weight is in the checkpoint twice, once for each loader."""
    import keras

    keras.utils.set_random_seed(SEED)
    net = keras.Sequential(
        [
            keras.Input([4], name="features"),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name="logits"),
        ]
    )
    net.export(out, verbose=False)


@model(needs=("keras",))
def keras_saved(tf: TF, out: Path) -> None:
    """Keras 3 by tf.saved_model.save, compiled and fitted: weights under optimizer/ keys."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(SEED)
    net = keras.Sequential([keras.Input([3]), keras.layers.Dense(2), keras.layers.Dense(1)])
    net.compile(optimizer=keras.optimizers.Adam(), loss="mse")
    net.fit(np.ones([4, 3]), np.ones([4, 1]), epochs=1, verbose=0)
    tf.saved_model.save(net, out)


@model(needs=("keras",))
def keras_multi(tf: TF, out: Path) -> None:
    """Keras 3 functional export with two inputs and two outputs."""
    import keras

    keras.utils.set_random_seed(SEED)
    item = keras.Input([], dtype="int32", name="item")
    context = keras.Input([5], name="context")
    embedded = keras.layers.Embedding(10, 4, name="items")(item)
    joined = keras.layers.Concatenate()([embedded, context])
    net = keras.Model(
        inputs={"item": item, "context": context},
        outputs={
            "score": keras.layers.Dense(1, name="score")(joined),
            "label": keras.layers.Dense(3, activation="softmax", name="label")(joined),
        },
    )
    net.export(out, verbose=False)


@model(needs=("keras",))
def keras_endpoints(tf: TF, out: Path) -> None:
    """Keras 3 ExportArchive with two endpoints of its own beside serving_default."""
    import keras

    keras.utils.set_random_seed(SEED)
    net = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, activation="softmax")])
    spec = [keras.InputSpec(shape=[None, 4], dtype="float32")]
    archive = keras.export.ExportArchive()
    archive.track(net)
    archive.add_endpoint("serving_default", lambda x: net(x, training=False), spec)
    archive.add_endpoint("classify", lambda x: keras.ops.argmax(net(x), axis=-1), spec)
    archive.write_out(str(out), verbose=False)


@model(needs=("tf_keras",))
def tf_keras_lstm(tf: TF, out: Path) -> None:
    """tf_keras LSTM with Adam, fitted: optimizer variables, implementations per device."""
    import numpy as np
    import tf_keras

    tf_keras.utils.set_random_seed(SEED)
    net = tf_keras.Sequential(
        [
            tf_keras.layers.Input([5, 3]),
            tf_keras.layers.LSTM(4),
            tf_keras.layers.Dense(1),
        ]
    )
    net.compile(optimizer="adam", loss="mse")
    net.fit(np.ones([2, 5, 3]), np.ones([2, 1]), epochs=1, verbose=0)
    net.save(out, save_format="tf")


@model(needs=("tf_keras",))
def tf_keras_slots(tf: TF, out: Path) -> None:
    """tf_keras with the legacy Adam: slot variables that the object graph names as slots."""
    import numpy as np
    import tf_keras

    tf_keras.utils.set_random_seed(SEED)
    net = tf_keras.Sequential([tf_keras.layers.Input([3]), tf_keras.layers.Dense(2)])
    net.compile(optimizer=tf_keras.optimizers.legacy.Adam(), loss="mse")
    net.fit(np.ones([4, 3]), np.ones([4, 2]), epochs=1, verbose=0)
    net.save(out, save_format="tf")


@model(needs=("keras",))
def keras_wrapped(tf: TF, out: Path) -> None:
    """A tf.Module around a Keras 3 model and its optimizer, with a training step as signature."""
    import keras

    keras.utils.set_random_seed(SEED)
    net = keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(net.trainable_variables)
    x, y = tf.TensorSpec([None, 3], name="x"), tf.TensorSpec([None, 1], name="y")

    class Wrapped(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.net, self.optimizer = net, optimizer
            self.scale = tf.Variable(2.0, name="scale")

        @tf.function(input_signature=[x])
        def serve(self, x):
            return {"score": self.net(x, training=False) * self.scale}

        @tf.function(input_signature=[x, y])
        def train(self, x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.net(x, training=True) - y) ** 2)
            weights = self.net.trainable_variables
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    wrapped = Wrapped()
    wrapped.train(tf.random.normal([4, 3]), tf.ones([4, 1]))
    signatures = {"serving_default": wrapped.serve, "train": wrapped.train}
    tf.saved_model.save(wrapped, out, signatures=signatures)


@model()
def v1_slots(tf: TF, out: Path) -> None:
    """A TF1 Adam in a tf.Module: tf.saved_model.load cannot make the slot variables it has."""

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tf.Variable(tf.random.normal([3, 2]), name="weight")
            self.optimizer = tf.compat.v1.train.AdamOptimizer(0.1)

        @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
        def serve(self, x):
            return {"score": tf.matmul(x, self.weight)}

        @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
        def train(self, x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.serve(x)["score"] - 1.0) ** 2)
            gradient = tape.gradient(loss, self.weight)
            self.optimizer.apply_gradients([(gradient, self.weight)])
            return {"loss": loss}

    net = Net()
    net.train(tf.ones([2, 3]))
    signatures = {"serving_default": net.serve, "train": net.train}
    tf.saved_model.save(net, out, signatures=signatures)
