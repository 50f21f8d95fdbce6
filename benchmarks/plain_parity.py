"""What `fastsm parity` does, as a script of TensorFlow alone: in one process, and no more.

    python -m benchmarks.plain_parity BEFORE AFTER

Both models are loaded by tf.saved_model.load, by a session of Python and by one of C++; each
signature, and each function of the root, is run on two inputs, of BEFORE twice, and all
variables are read. Only TensorFlow's C interface comes from fastsm: its wheel brings no binding.
"""
from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

#: Name of what is called, or of a variable -> arrays.
Found = dict[str, list[Any]]

SIZES = (1, 3)


def made(specs: Any, size: int) -> Any:
    """Inputs in place of their specs: unknown dimensions have this size."""
    random = np.random.default_rng(size)

    def array(spec: Any) -> Any:
        shape = [size if n is None else n for n in spec.shape]
        dtype = tf.as_dtype(spec.dtype).as_numpy_dtype
        if np.issubdtype(dtype, np.floating):
            return random.normal(size=shape).astype(dtype)
        return random.integers(0, 4, shape).astype(dtype)

    return tf.nest.map_structure(array, specs)


def runs(calls: dict[str, tuple[Any, Callable[..., Any]]], times: int) -> Found:
    """What each call returns, on all inputs, so many times over: the first time counts."""
    found: Found = {}
    for _ in range(times):
        for name, (specs, call) in sorted(calls.items()):
            results = [call(made(specs, size)) for size in SIZES]
            found.setdefault(name, [np.asarray(a) for r in results for a in tf.nest.flatten(r)])
    return found


def by_objects(path: str, times: int) -> Found:
    loaded = tf.saved_model.load(path)
    calls = {}
    for key, function in loaded.signatures.items():
        calls[key] = (function.structured_input_signature, _called(function))
    for name, function in vars(loaded).items():
        for i, trace in enumerate(getattr(function, "concrete_functions", ())):
            calls[f"{name} {i}"] = (trace.structured_input_signature, _called(trace))
    held = tf.train.TrackableView(loaded).descendants()
    variables = [v for v in held if isinstance(v, tf.Variable)]
    return {"variables": [v.numpy() for v in variables], **runs(calls, times)}


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(feed: Any) -> Any:
        args, named = tf.nest.map_structure(tf.constant, feed)
        return function(*args, **named)

    return call


class Spec:
    """What a TensorInfo says."""

    def __init__(self, info: Any) -> None:
        self.dtype = info.dtype
        self.shape = [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]


def by_session(path: str, times: int) -> Found:
    with v1.Session(graph=tf.Graph()) as session:
        meta_graph = v1.saved_model.load(session, ["serve"], path)
        return _both(session.run, meta_graph, times)


def by_cc(path: str, times: int) -> Found:
    native = importlib.import_module("fastsm.proof.child.native")
    with native.Session(path, ["serve"]) as session:
        return _both(session.run, session.meta_graph, times)


def _both(run: Callable[..., Any], meta_graph: Any, times: int) -> Found:
    """Variables that were restored, and what signatures return."""
    variables = []
    for node in meta_graph.graph_def.node:
        if node.op == "ReadVariableOp" and node.name.endswith("/Read/ReadVariableOp"):
            with contextlib.suppress(tf.errors.FailedPreconditionError):
                variables.append(run({"value": f"{node.name}:0"}, {})["value"])
    calls = {}
    for key, signature in meta_graph.signature_def.items():
        if key.startswith("__"):
            continue
        fetches = {alias: info.name for alias, info in signature.outputs.items()}
        specs = {info.name: Spec(info) for info in signature.inputs.values()}
        calls[key] = (specs, lambda feed, f=fetches: run(f, feed))
    return {"variables": variables, **runs(calls, times)}


def main(before: str, after: str) -> None:
    for load in (by_objects, by_session, by_cc):
        one, other = load(before, times=2), load(after, times=1)
        assert set(one) == set(other)
        for name, arrays in one.items():
            pairs = zip(arrays, other[name], strict=True)
            assert all(a.tobytes() == b.tobytes() for a, b in pairs), name
    print("equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
