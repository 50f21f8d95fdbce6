"""Models of tf.saved_model.save: functions, signatures, tables, control flow."""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..wire import varint
from .registry import TF, model
from .words import words_file


@model()
def two_signatures(tf: TF, out: Path) -> None:
    """Two signatures, input names out of order, ops with T and Tidx, and a train_step."""

    class Scaler(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.kernel = tf.Variable(tf.random.normal([3, 2]), name="kernel")
            self.bias = tf.Variable([0.5, -0.5], name="bias")
            self.step = tf.Variable(0, dtype=tf.int64, name="step", trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
        def score(self, x):
            return {"score": tf.matmul(x, self.kernel) + self.bias}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 3], name="x"),
                tf.TensorSpec([], name="scale"),
                tf.TensorSpec([None], tf.int32, name="Tidx"),
                tf.TensorSpec([None], tf.int32, name="T"),
            ]
        )
        def two(self, x, scale, Tidx, T):
            y = scale * (tf.matmul(x, self.kernel) + self.bias)
            total = tf.reduce_sum(y, axis=1) + tf.cast(tf.reduce_sum(Tidx - T), tf.float32)
            return {"total": total, "out": y, "out_1": tf.cumsum(y, axis=0)}

        @tf.function(input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None, 2])])
        def train_step(self, x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.score(x)["score"] - y) ** 2)
            d_kernel, d_bias = tape.gradient(loss, [self.kernel, self.bias])
            self.kernel.assign_sub(0.1 * d_kernel)
            self.bias.assign_sub(0.1 * d_bias)
            self.step.assign_add(1)
            return loss

    scaler = Scaler()
    tf.saved_model.save(
        scaler, out, signatures={"serving_default": scaler.score, "two": scaler.two}
    )


@model()
def no_variables(tf: TF, out: Path) -> None:
    """A function without variables: the checkpoint holds the object graph alone."""

    class Half(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def __call__(self, x):
            return {"y": x * 0.5 + 2.0}

    tf.saved_model.save(Half(), out)


@model()
def no_signatures(tf: TF, out: Path) -> None:
    """A module with a function that nobody has traced: no signature, no concrete function."""

    class Counter(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.count = tf.Variable(3.0)

        @tf.function
        def add(self, x):
            return self.count.assign_add(x)

    tf.saved_model.save(Counter(), out)


@model()
def vocabulary(tf: TF, out: Path) -> None:
    """A lookup table that reads a vocabulary asset, and a mutable one in the checkpoint."""

    class Tokens(tf.Module):  # type: ignore[misc]
        def __init__(self, words: Path) -> None:
            self.table = tf.lookup.StaticVocabularyTable(
                tf.lookup.TextFileInitializer(
                    str(words),
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                num_oov_buckets=2,
            )
            self.counts = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
            self.counts.insert(tf.constant([0, 1], tf.int64), tf.constant([7.0, 5.0]))
            self.embedding = tf.Variable(tf.random.normal([6, 2]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def embed(self, words):
            ids = self.table.lookup(words)
            return {
                "ids": ids,
                "counts": self.counts.lookup(ids),
                "vectors": tf.gather(self.embedding, ids),
            }

    with words_file(out) as words:
        tokens = Tokens(words)
        tf.saved_model.save(tokens, out, signatures=tokens.embed)


@model()
def asset_names(tf: TF, out: Path) -> None:
    """Three assets of one base name, two with one content: TensorFlow writes w.txt, w.txt_1."""

    class Texts(tf.Module):  # type: ignore[misc]
        def __init__(self, paths: list[Path]) -> None:
            self.assets = [tf.saved_model.Asset(str(path)) for path in paths]

        @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="mark")])
        def serve(self, mark):
            texts = [tf.io.read_file(asset.asset_path) for asset in self.assets]
            return {"text": tf.strings.join([mark, *texts])}

    folder = out.with_name(out.name + ".texts")
    paths = [folder / name / "w.txt" for name in "abc"]
    for path, text in zip(paths, ["one", "two", "two"], strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    texts = Texts(paths)
    tf.saved_model.save(texts, out, signatures=texts.serve)
    shutil.rmtree(folder)


@model()
def odd_signatures(tf: TF, out: Path) -> None:
    """Signature names that are empty, blank, slashed, beyond ASCII, and 300 characters long."""

    class Plus(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def one(self, x):
            return {"y": x + 1.0}

    plus = Plus()
    names = ["serving_default", "", " ", "a/b", "größe", "n" * 300]
    tf.saved_model.save(plus, out, signatures=dict.fromkeys(names, plus.one))


@model(
    feeds={
        "ragged": {"r": [1.0, 2.0, 3.0], "r_1": [0, 2, 3]},
        "sparse": {"s": [[0, 1], [1, 0]], "s_1": [1.0, 2.0], "s_2": [2, 3]},
        "ragged()": {"0": [1.0, 2.0, 3.0], "1": [0, 2, 3]},
        "sparse()": {"0": [[0, 1], [1, 0]], "1": [1.0, 2.0], "2": [2, 3]},
    }
)
def ragged_and_sparse(tf: TF, out: Path) -> None:
    """Ragged and sparse inputs and outputs: composite_tensor and coo_sparse TensorInfo."""

    class Composite(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.RaggedTensorSpec([None, None])])
        def ragged(self, r):
            return {"doubled": r * 2.0, "sums": tf.reduce_sum(r, axis=1)}

        @tf.function(input_signature=[tf.SparseTensorSpec([None, 3])])
        def sparse(self, s):
            return {"doubled": s * 2.0, "dense": tf.sparse.to_dense(s)}

    composite = Composite()
    tf.saved_model.save(
        composite,
        out,
        signatures={"ragged": composite.ragged, "sparse": composite.sparse},
    )


@model(feeds={"composite": {"values": [1.0, -2.0, 3.0], "splits": [0, 2, 3]}})
def sorted_names(tf: TF, out: Path) -> None:
    """Inputs and outputs that can be taken for each other, composite outputs among them."""

    class Sorted(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tf.Variable([1.5, -2.0])

        @tf.function(input_signature=[tf.TensorSpec([2], name=name) for name in "bdfh"])
        def mix(self, b, d, f, h):
            x = b - 2.0 * d + self.weight * f
            return {"c": x, "e": x / h, "g": h - 3.0 * x, "i": tf.cast(x, tf.float64)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], name="values"),
                tf.TensorSpec([None], tf.int64, name="splits"),
            ]
        )
        def composite(self, values, splits):
            ragged = tf.RaggedTensor.from_row_splits(values, splits)
            return {
                "dense": values * self.weight[0],
                "ragged": ragged + 1.0,
                "sparse": tf.sparse.from_dense(values[None]),
                "twice": tf.stack([ragged, ragged]),
                "whole": values - 1.0,
            }

    module = Sorted()
    tf.saved_model.save(
        module, out, signatures={"mix": module.mix, "composite": module.composite}
    )


@model()
def control_flow(tf: TF, out: Path) -> None:
    """While, If, Case, map_fn, a dataset's function and XLA: functions named by attributes."""

    class Flow(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rate = tf.Variable(1.5)

        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def loops(self, x):
            i = tf.constant(0)
            while i < 3:
                x = x * self.rate
                i += 1
            if tf.reduce_sum(x) > 0.0:
                x = x + 1.0
            else:
                x = x - 1.0
            return {"y": x}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], name="x"),
                tf.TensorSpec([], tf.int32, name="branch"),
            ]
        )
        def branches(self, x, branch):
            arms = [lambda: x * 2.0, lambda: tf.exp(x), lambda: x + self.rate]
            chosen = tf.switch_case(branch, arms)
            mapped = tf.map_fn(lambda v: v * v, chosen)
            rows = tf.data.Dataset.from_tensor_slices(mapped).map(lambda v: v + 1.0)
            return {"mapped": mapped, "total": rows.reduce(0.0, lambda s, v: s + v)}

        @tf.function(input_signature=[tf.TensorSpec([2, 2], name="x")], jit_compile=True)
        def compiled(self, x):
            return {"y": tf.nn.relu(tf.matmul(x, x)) * self.rate}

    flow = Flow()
    tf.saved_model.save(
        flow,
        out,
        signatures={
            "serving_default": flow.loops,
            "branches": flow.branches,
            "compiled": flow.compiled,
        },
    )


@model()
def hidden_write(tf: TF, out: Path) -> None:
    """WriteFile in a function that no signature reaches: saved_model_cli scan sees nothing."""

    class Module(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def serve(self, x):
            return {"y": x + 1.0}

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def dump(self, path):
            tf.io.write_file(path, "written")
            return tf.constant(True)

    module = Module()
    tf.saved_model.save(module, out, signatures=module.serve)


@model()
def defaults(tf: TF, out: Path) -> None:
    """A signature with a default: SignatureDef.defaults, and a PlaceholderWithDefault."""

    two = tf.constant(2.0)

    class Scaled(tf.Module):  # type: ignore[misc]
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], name="x"),
                tf.TensorSpec([], name="scale"),
            ]
        )
        def serve(self, x, scale=two):
            return {"y": x * scale}

    scaled = Scaled()
    tf.saved_model.save(scaled, out, signatures=scaled.serve)


@model()
def custom_gradient(tf: TF, out: Path) -> None:
    """A custom gradient: a registered gradient in the library, functions behind it."""

    @tf.custom_gradient
    def clipped(x):
        def gradient(upstream):
            return tf.clip_by_value(upstream, -1.0, 1.0)

        return tf.identity(x), gradient

    class Clip(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def serve(self, x):
            return {"y": clipped(x * self.weight)}

    clip = Clip()
    tf.saved_model.save(
        clip,
        out,
        signatures=clip.serve,
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=True),
    )


@model()
def debug_info(tf: TF, out: Path) -> None:
    """Saved with save_debug_info: a debug folder with the stack traces of the nodes."""
    _save_line(tf, out, save_debug_info=True)


@model()
def extra_tags(tf: TF, out: Path) -> None:
    """Tags beside "serve": SaveOptions.extra_tags."""
    _save_line(tf, out, extra_tags={"gpu", "large"})


@model()
def aliases(tf: TF, out: Path) -> None:
    """Function aliases: MetaInfoDef.function_aliases names the traced functions."""
    _save_line(tf, out, with_aliases=True)


def _save_line(tf: TF, out: Path, *, with_aliases: bool = False, **options) -> None:
    """y = weight * x + 1, saved with the given SaveOptions."""

    class Line(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tf.Variable([2.0, 3.0])

        @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
        def serve(self, x):
            return {"y": x * self.weight + 1.0}

    line = Line()
    if with_aliases:
        options["function_aliases"] = {"line": line.serve}
    tf.saved_model.save(
        line, out, signatures=line.serve, options=tf.saved_model.SaveOptions(**options)
    )


@model()
def alike(tf: TF, out: Path) -> None:
    """Inputs and outputs of one dtype and shape: in another order, they swap without an error."""

    class Alike(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tf.Variable([2.0, 3.0], name="weight")

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 2], name="low"),
                tf.TensorSpec([None, 2], name="high"),
                tf.TensorSpec([None, 2], name="base"),
                tf.TensorSpec([], tf.int32, name="shift"),
                tf.TensorSpec([None], tf.string, name="label"),
            ]
        )
        def measure(self, low, high, base, shift, label):
            moved = tf.cast(shift, tf.float32) * self.weight
            return {
                "width": high - low + moved,
                "middle": (low + 2.0 * high) / 3.0 - base,
                "above": low * self.weight - base,
                "labels": tf.strings.join([label, tf.strings.as_string(shift)], "-"),
                "rows": tf.shape(low)[0],
            }

        @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
        def around(self, x):
            names = tf.fill([tf.shape(x)[0]], "x")
            measured = self.measure(x, x + 1.0, x * 0.5, 2, names)
            return {"y": measured["width"] - measured["above"], "n": measured["rows"]}

    model = Alike()
    tf.saved_model.save(
        model, out, signatures={"serving_default": model.measure, "around": model.around}
    )


@model()
def one_function(tf: TF, out: Path) -> None:
    """Signatures of one function: traced once for two keys, and again for a third."""

    class One(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rate = tf.Variable(0.25, name="rate")

        @tf.function
        def mix(self, first, second):
            return {"mixed": first * self.rate + second, "rest": second - first}

    one = One()
    vectors = [tf.TensorSpec([None], name=name) for name in ("first", "second")]
    matrices = [tf.TensorSpec([None, 3], name=name) for name in ("first", "second")]
    mixed = one.mix.get_concrete_function(*vectors)
    wide = one.mix.get_concrete_function(*matrices)
    tf.saved_model.save(
        one, out, signatures={"serving_default": mixed, "again": mixed, "wide": wide}
    )


@model()
def nested_outputs(tf: TF, out: Path) -> None:
    """A method that takes and returns dicts in tuples in lists; a signature with one output."""

    class Nested(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tf.Variable([1.0, -1.0], name="weight")

        @tf.function(
            input_signature=[
                {"a": tf.TensorSpec([2]), "b": (tf.TensorSpec([2]), tf.TensorSpec([]))}
            ]
        )
        def nested(self, x):
            b, scale = x["b"]
            return [{"sum": x["a"] + b, "scaled": (b * scale, self.weight * scale)}, scale]

        @tf.function(input_signature=[tf.TensorSpec([2], name="x")])
        def lone(self, x):
            return self.nested({"a": x, "b": (self.weight, 2.0)})[0]["sum"]

    nested = Nested()
    tf.saved_model.save(nested, out, signatures=nested.lone)


@model()
def saved_again(tf: TF, out: Path) -> None:
    """Loaded and saved again: signatures around signatures, and an old one kept as a child."""
    first = out.with_name(out.name + ".first")
    alike(tf, first)
    loaded = tf.saved_model.load(str(first))
    shutil.rmtree(first)
    keeper = tf.Module()
    keeper.loaded = loaded
    keeper.kept = loaded.signatures["around"]
    tf.saved_model.save(keeper, out, signatures=dict(loaded.signatures))


@model()
def devices(tf: TF, out: Path) -> None:
    """Devices of nodes and of variables: SAVE_VARIABLE_DEVICES, tf.device in a function."""

    class Placed(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            with tf.device("/device:CPU:0"):
                self.weight = tf.Variable([0.5, 1.5], name="weight")

        @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
        def serve(self, x):
            with tf.device("/device:CPU:0"):
                return {"y": x * self.weight}

    placed = Placed()
    policy = tf.saved_model.experimental.VariablePolicy.SAVE_VARIABLE_DEVICES
    tf.saved_model.save(
        placed,
        out,
        signatures=placed.serve,
        options=tf.saved_model.SaveOptions(experimental_variable_policy=policy),
    )


@model()
def warmup(tf: TF, out: Path) -> None:
    """Warm-up requests for TensorFlow Serving in assets.extra: of a predict log each."""
    alike(tf, out)
    folder = out / "assets.extra"
    folder.mkdir()
    values = {
        "low": tf.constant([[0.0, 1.0]]),
        "high": tf.constant([[2.0, 3.0]]),
        "base": tf.constant([[0.5, 0.5]]),
        "shift": tf.constant(1),
        "label": tf.constant(["a"]),
    }
    x = {"x": tf.constant([[1.0, 2.0]])}
    path = str(folder / "tf_serving_warmup_requests")
    with tf.io.TFRecordWriter(path) as records:
        for key, inputs in (("", values), ("serving_default", values), ("around", x)):
            records.write(_predict_log(tf, key, inputs))


def _predict_log(tf: TF, key: str, inputs: dict[str, Any]) -> bytes:
    """A PredictionLog that holds a PredictRequest for a signature, as Serving's protos have it.

    Source: tensorflow_serving/apis/prediction_log.proto, predict.proto, model.proto.
    """

    def field(number: int, *payload: bytes) -> bytes:
        data = b"".join(payload)
        return bytes([number << 3 | 2]) + varint(len(data)) + data

    spec = field(1, field(1, b"model"), field(3, key.encode()) if key else b"")
    tensors = [
        field(2, field(1, alias.encode()), field(2, proto.SerializeToString()))
        for alias, value in inputs.items()
        for proto in [tf.make_tensor_proto(value)]
    ]
    return field(6, field(1, spec, *tensors))
