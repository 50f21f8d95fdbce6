"""Loading and running models in TensorFlow's three loaders, and saved_model_cli."""
from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.tools import saved_model_cli

from . import inputs, native
from .reading import tensor_names

Row = tuple[str, Sequence[int], str]


def load_v2(path: str, tags: list[str] | None) -> None:
    tf.saved_model.load(path, tags)


def load_v1(path: str, tags: list[str]) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, tags, path)


def run(
    path: str,
    loader: str,
    tags: list[str] | None,
    signature: str,
    *,
    seed: int,
    feeds: Mapping[str, Any],
    aliases: Mapping[str, str],
) -> dict[str, Row]:
    maker = inputs.maker(path, seed, feeds, aliases)
    if loader == "v2":
        return _run_v2(path, tags, signature, maker)
    return _run_session(path, loader, tags or [], signature, maker)


def _run_v2(
    path: str, tags: list[str] | None, signature: str, maker: inputs.Maker
) -> dict[str, Row]:
    """Inputs follow what the loaded function asks for: signature_def plays no part here."""
    function = tf.saved_model.load(path, tags).signatures[signature]
    _, specs = function.structured_input_signature
    arguments = {
        alias: tf.constant(maker.array(alias, spec.dtype, spec.shape), spec.dtype)
        for alias, spec in specs.items()
    }
    rows = {}
    for alias, value in function(**arguments).items():
        parts = tf.nest.flatten(value, expand_composites=True)
        single = len(parts) == 1 and parts[0] is value
        for i, part in enumerate(parts):
            rows[alias if single else f"{alias}[{i}]"] = inputs.row(np.asarray(part.numpy()))
    return rows


def _run_session(
    path: str, loader: str, tags: list[str], key: str, maker: inputs.Maker
) -> dict[str, Row]:
    """The session loaders: tensors are fed and fetched by the names of the SignatureDef."""
    with tf.Graph().as_default(), contextlib.ExitStack() as stack:
        session: Any
        if loader == "v1":
            session = stack.enter_context(tf.compat.v1.Session())
            meta_graph = tf.compat.v1.saved_model.load(session, tags, path)
        else:
            session = stack.enter_context(native.Session(path, tags))
            meta_graph = session.meta_graph
        if key not in meta_graph.signature_def:
            raise KeyError(f"no signature {key!r} in {sorted(meta_graph.signature_def)}")
        signature = meta_graph.signature_def[key]
        feed = {}
        for alias, info in signature.inputs.items():
            feed.update(_feed(alias, info, maker))
        fetches = {}
        for alias, info in signature.outputs.items():
            names = _fetched(info)
            single = info.WhichOneof("encoding") == "name"
            fetches.update(
                {alias if single else f"{alias}[{i}]": name for i, name in enumerate(names)}
            )
        values = session.run(fetches, feed_dict=feed)
    return {alias: inputs.row(np.asarray(value)) for alias, value in values.items()}


def _feed(alias: str, info: meta_graph_pb2.TensorInfo, maker: inputs.Maker) -> dict[str, Any]:
    if info.WhichOneof("encoding") == "composite_tensor":
        feed = {}
        for i, component in enumerate(info.composite_tensor.components):
            feed.update(_feed(f"{alias}[{i}]", component, maker))
        return feed
    shape, dtype = tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype)
    if info.WhichOneof("encoding") == "coo_sparse":
        return dict(zip(tensor_names(info), maker.sparse(alias, dtype, shape), strict=True))
    return {info.name: maker.array(alias, dtype, shape)}


def _fetched(info: meta_graph_pb2.TensorInfo) -> list[str]:
    """The tensors behind an output, in the order in which tf.nest flattens the composite."""
    names = tensor_names(info)
    if info.WhichOneof("encoding") == "coo_sparse":
        values, indices, dense_shape = names
        return [indices, values, dense_shape]
    return names


def cli_show(path: str, args: list[str]) -> str:
    """In the fork, where nobody has parsed absl's global flags yet."""
    sys.argv = ["saved_model_cli", "show", "--dir", path, *args]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            saved_model_cli.main()
        except SystemExit as e:
            if e.code:
                raise RuntimeError(f"exit code {e.code}: {printed.getvalue()}") from e
    return printed.getvalue()
