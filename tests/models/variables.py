"""Models whose variables are the oddity: dtypes, shards, slices, index blocks."""
from __future__ import annotations

from pathlib import Path

from .registry import TF, model


@model()
def dtypes(tf: TF, out: Path) -> None:
    """Variables of every common dtype, a string, a scalar, an empty one, and odd names."""
    import numpy as np

    numbers = np.arange(6).reshape(2, 3)

    class Dtypes(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.numeric = [
                tf.Variable(tf.cast(numbers % 2, dtype), name=dtype.name)
                for dtype in (
                    tf.bfloat16, tf.half, tf.float32, tf.float64,
                    tf.int8, tf.int16, tf.int32, tf.int64,
                    tf.uint8, tf.uint16, tf.uint32, tf.uint64,
                    tf.complex64, tf.complex128, tf.bool,
                )
            ]  # fmt: skip
            small = tf.dtypes.experimental
            self.float8 = tf.Variable(tf.cast([0.5, -2.0], small.float8_e4m3fn), name="float8")
            self.int4 = tf.Variable(tf.cast([1, -2, 3], small.int4), name="int4")
            self.words = tf.Variable([["a", ""], ["ünï\0codé", "x" * 300]], name="words")
            self.scalar = tf.Variable(3.25, name="scalar")
            self.empty = tf.Variable(tf.zeros([0, 4]), name="empty")
            setattr(self, "naïve name", tf.Variable(1.0, name="plain"))

        @tf.function(input_signature=[tf.TensorSpec([], name="x")])
        def serve(self, x):
            floats = self.numeric[:4]
            total = tf.add_n([tf.reduce_sum(tf.cast(v, tf.float32)) for v in floats])
            return {
                "y": x * total,
                "words": self.words.read_value(),
                "half": self.numeric[1].read_value(),
                "bfloat16": self.numeric[0].read_value(),
                "complex": self.numeric[12].read_value(),
            }

    module = Dtypes()
    tf.saved_model.save(module, out, signatures=module.serve)


@model()
def tensor_list(tf: TF, out: Path) -> None:
    """A variable of dtype variant that holds a TensorList: a DT_VARIANT entry in the bundle."""

    class Rows(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            rows = tf.raw_ops.TensorListFromTensor(
                tensor=tf.constant([[1.0, 2.0], [3.0, 4.0]]), element_shape=tf.constant([2])
            )
            self.rows = tf.Variable(rows, name="rows")
            self.weight = tf.Variable([2.0, 3.0], name="weight")

        @tf.function(input_signature=[tf.TensorSpec([2], name="x")])
        def serve(self, x):
            rows = tf.raw_ops.TensorListStack(
                input_handle=self.rows.read_value(),
                element_shape=tf.constant([2]),
                element_dtype=tf.float32,
            )
            return {"y": x * self.weight + tf.reduce_sum(rows, axis=0)}

    module = Rows()
    tf.saved_model.save(module, out, signatures=module.serve)


@model()
def shards(tf: TF, out: Path) -> None:
    """Several shards of at most 400 bytes: MaxShardSizePolicy also cuts tensors into slices."""

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.wide = tf.Variable(tf.random.normal([30, 8]), name="wide")
            self.tall = tf.Variable(tf.random.normal([8, 10]), name="tall")
            self.bias = tf.Variable(tf.random.normal([10]), name="bias")

        @tf.function(input_signature=[tf.TensorSpec([None, 30], name="x")])
        def serve(self, x):
            return {"y": tf.matmul(tf.matmul(x, self.wide), self.tall) + self.bias}

    net = Net()
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=400)
    tf.saved_model.save(
        net,
        out,
        signatures=net.serve,
        options=tf.saved_model.SaveOptions(experimental_sharding_callback=policy),
    )


@model()
def sliced_half(tf: TF, out: Path) -> None:
    """Slices of float16, which TensorFlow writes but cannot read back: no loader takes it."""

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.wide = tf.Variable(tf.cast(tf.random.normal([30, 8]), tf.half), name="wide")

        @tf.function(input_signature=[tf.TensorSpec([None, 30], tf.half, name="x")])
        def serve(self, x):
            return {"y": tf.matmul(x, self.wide)}

    net = Net()
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=200)
    tf.saved_model.save(
        net,
        out,
        signatures=net.serve,
        options=tf.saved_model.SaveOptions(experimental_sharding_callback=policy),
    )


@model()
def many_variables(tf: TF, out: Path) -> None:
    """An index of several blocks of 256 KiB: hundreds of variables with very long names."""
    from hashlib import sha256

    class Many(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            # Keys share no prefix, so the table cannot shorten them.
            for i in range(520):
                name = sha256(str(i).encode()).hexdigest() * 8
                setattr(self, f"v{name}", tf.Variable(float(i), name=f"v{i}"))
            self.last = tf.Variable(2.0, name="last")

        @tf.function(input_signature=[tf.TensorSpec([], name="x")])
        def serve(self, x):
            return {"y": x * self.last + self.variables[0] + self.variables[-2]}

    many = Many()
    tf.saved_model.save(many, out, signatures=many.serve)


@model()
def partitioned(tf: TF, out: Path) -> None:
    """TF1 variables cut by fixed_size_partitioner, on two axes, with a sharded Saver."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6], name="x")
        by_row = v1.get_variable(
            "by_row",
            [6, 4],
            partitioner=v1.fixed_size_partitioner(3),
            initializer=v1.random_normal_initializer(seed=1),
            use_resource=False,
        )
        by_column = v1.get_variable(
            "net/by_column",
            [4, 5],
            partitioner=v1.fixed_size_partitioner(2, axis=1),
            initializer=v1.random_normal_initializer(seed=2),
            use_resource=False,
        )
        whole = v1.get_variable("whole", [5], initializer=v1.ones_initializer())
        y = x @ tf.convert_to_tensor(by_row) @ tf.convert_to_tensor(by_column) + whole
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y}),
            },
            saver=v1.train.Saver(sharded=True),
        )
        builder.save()
