"""Models whose functions take odd arguments: what saved_model_cli prints of them is odd too.

    python -m tests.cli_models OUT

builds them all into OUT/NAME. Not among tests.models: nothing but the listing of concrete
functions tells them from others.
"""
from __future__ import annotations

import collections
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BUILDERS: dict[str, Callable[..., Any]] = {}

Point = collections.namedtuple("Point", ["x", "label"])


def builder(function: Callable[..., Any]) -> Callable[..., Any]:
    BUILDERS[function.__name__] = function
    return function


@builder
def python_values(tf: Any) -> Any:
    """Arguments that are no tensors, at the top and inside others."""
    module = tf.Module()

    @tf.function
    def f(x, *rest):
        return x

    x = tf.TensorSpec([2], name="x")
    for rest in (
        ["word"], [""], ["it's"], [5, -1], [2.5, float("inf")], [None, True], [[]], [()], [{}],
        [[1, "a", None]], [(x, [x])], [{"b": "text", "a": x, "c": [1, {"z": 2}]}],
        [tf.float32], [[tf.int8]], [tf.TensorShape([1, None])], [[tf.TensorShape(None)]],
        [Point(x, "p")], [tf.constant(2)],
    ):  # fmt: skip
        f.get_concrete_function(x, *rest)
    module.f = f
    return module


@builder
def keyword_arguments(tf: Any) -> Any:
    """Keyword-only arguments, defaults, and a concrete function of keywords alone."""
    module = tf.Module()
    x = tf.TensorSpec([None], name="x")

    @tf.function
    def keywords(x, *, scale=2.0, bias=None):
        return x * scale

    keywords.get_concrete_function(x, scale=tf.TensorSpec([], name="scale"))
    keywords.get_concrete_function(x, bias=3)

    @tf.function
    def only(*, a, b):
        return a + b

    only.get_concrete_function(a=x, b=tf.TensorSpec([None]))

    @tf.function
    def nothing():
        return tf.constant(1.0)

    nothing.get_concrete_function()

    @tf.function
    def untraced(x):
        return x

    module.keywords, module.only, module.nothing = keywords, only, nothing
    module.untraced = untraced
    return module


@builder
def bare_functions(tf: Any) -> Any:
    """Concrete functions as attributes, one under a name that loading takes for itself."""
    module = tf.Module()
    x = tf.TensorSpec([3], name="x")

    @tf.function
    def f(x, y=1.0, *, z=None):
        return x * y

    module.bare = f.get_concrete_function(x)
    module.with_tensor = f.get_concrete_function(x, tf.TensorSpec([], name="y"), z=2)
    module.tensorflow_version = f.get_concrete_function(tf.TensorSpec([4], name="hidden"))
    module.both = f
    return module


@builder
def specs(tf: Any) -> Any:
    """Composite arguments: sparse, ragged, variables, datasets, optionals, bounds."""
    from tensorflow.python.framework.tensor import BoundedTensorSpec

    module = tf.Module()
    module.v = tf.Variable([1.0, 2.0])

    @tf.function
    def f(x):
        return tf.constant(1.0)

    for spec in (
        tf.SparseTensorSpec([None, 3]),
        tf.RaggedTensorSpec([None, None], tf.int32),
        [tf.SparseTensorSpec([2, 3]), tf.RaggedTensorSpec([2, None])],
        {"s": tf.SparseTensorSpec([4, 3])},
        tf.IndexedSlicesSpec([None, 2]),
        tf.TensorArraySpec([3]),
        tf.data.DatasetSpec(tf.TensorSpec([2])),
        tf.OptionalSpec(tf.TensorSpec([], tf.int64)),
        BoundedTensorSpec([2], tf.float32, 0.5, 2, "bounded"),
        module.v,
        tf.TensorSpec(None, tf.string),
    ):
        f.get_concrete_function(spec)
    module.f = f
    return module


@builder
def extension_types(tf: Any) -> Any:
    """A class that only this module knows."""

    # Not by a class statement: its annotations would be strings that name ``tf``.
    base = tf.experimental.ExtensionType
    members = {"__name__": "lib.Pair", "__annotations__": {"a": tf.Tensor, "n": int}}
    Pair = type(base)("Pair", (base,), members)
    module = tf.Module()

    @tf.function
    def f(x):
        return tf.constant(1.0)

    f.get_concrete_function(Pair.Spec(a=tf.TensorSpec([2]), n=3))
    f.get_concrete_function([Pair.Spec(a=tf.TensorSpec([2]), n=4)])
    module.f = f
    return module


@builder
def many_traces(tf: Any) -> Any:
    """Enough functions for their numbers to grow a digit twice, calling one another."""
    module = tf.Module()
    module.v = tf.Variable(tf.ones([4]))

    @tf.function
    def inner(x):
        top, _ = tf.math.top_k(x, 2)
        return tf.reduce_sum(top) + tf.add_n(tf.unstack(module.v))

    @tf.function
    def outer(x, n):
        for _ in range(n):
            x = x + inner(x)
        if tf.reduce_sum(x) > 0.0:
            x = x - 1.0
        parts = tf.split(x, 3)
        return tf.concat(parts, 0)

    for n in range(1, 30):
        outer.get_concrete_function(tf.TensorSpec([3 * n], name=f"x{n}"), n % 4)
    module.outer = outer
    module.inner = inner
    return module


@builder
def tables_and_gradients(tf: Any) -> Any:
    """Tables without a shared name, saved gradients: each takes a number of its own."""
    module = tf.Module()

    @tf.custom_gradient
    def clipped(x):
        return tf.identity(x), lambda dy: tf.clip_by_value(dy, -1.0, 1.0)

    @tf.function
    def f(x):
        table = tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)
        size = tf.raw_ops.LookupTableSizeV2(table_handle=table)
        return clipped(x) + tf.cast(size, tf.float32)

    for n in range(12):
        f.get_concrete_function(tf.TensorSpec([n]))
    module.f = f
    return module


@builder
def odd_names(tf: Any) -> Any:
    """Children that are no attributes, and functions of one name and several bodies."""
    module = tf.Module()
    x = tf.TensorSpec([], name="Größe")

    def named(name):
        def body(x):
            return x

        body.__name__ = name
        return tf.function(body, input_signature=[x])

    setattr(module, "a b/c", named("f"))
    module.größe = named("f_1")
    module.Zeta, module._private, module.__call__ = named("g"), named("g"), named("h")
    module.child = tf.Module()
    module.child.inner = named("inner")
    return module


@builder
def root_is_a_dict(tf: Any) -> Any:
    """The saved object is a tracked dict with a function in it."""
    module = tf.Module()
    f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([1])])
    module.d = {"f": f, "v": tf.Variable(1.0)}
    return module.d


@builder
def root_is_a_list(tf: Any) -> Any:
    """The saved object is a tracked list with a function in it."""
    module = tf.Module()
    f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([1])])
    module.items = [tf.Variable(1.0), f]
    return module.items


@builder
def root_is_a_variable(tf: Any) -> Any:
    """The saved object is a variable."""
    return tf.Variable(1.0)


def main() -> int:
    import tensorflow as tf

    out = Path(sys.argv[1])
    for name, build in BUILDERS.items():
        gradients = name == "tables_and_gradients"
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=gradients)
        tf.saved_model.save(build(tf), str(out / name), options=options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
