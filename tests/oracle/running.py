"""Loading and running models in TensorFlow's three loaders, and saved_model_cli."""
from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model.loader_impl import parse_saved_model
from tensorflow.python.tools import saved_model_cli

from . import inputs, native
from .reading import fingerprint, tensor_names

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
        return _call(tf.saved_model.load(path, tags).signatures[signature], maker)
    with _session(path, loader, tags or []) as (session, meta_graph):
        return _run(session, _signature(meta_graph, signature), maker)


def survey(
    path: str,
    *,
    seed: int,
    words: str,
    feeds: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    aliases: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """All that the loaders make of a model, each of its meta graphs loaded once by each.

    Signatures run in the order of the names that they had, then methods; where one does
    something else the second time the model keeps a state, and is loaded anew for each. They
    run in an empty folder: some write files.

    Args:
        words: The model whose assets the words of inputs come from.
        feeds: A signature's old name -> what it is fed; see `run`. "NAME()" of a method,
            whose inputs are called "0", "1", ...
        names: A signature's new name -> the one it had.
        aliases: A signature's new name -> its inputs' new alias -> the one it had.

    Returns:
        objects: ids, see `native.restored_objects`.
        fingerprint: what CreateFingerprintDef computes.
        graphs: [tags, loader, what it makes of that meta graph] of each:
            signatures: key -> rows.
            methods: of v2 only: functions of the root -> rows.
        An error is text instead of any of these.
    """

    def tried(call: Callable[[inputs.Maker], dict[str, Row]], key: str) -> Any:
        fed = feeds.get(names.get(key, key), {})
        maker = inputs.maker(words, seed, fed, aliases.get(key, {}))
        result = _tried(call, maker)
        for texts in inputs.OTHER_WORDS if isinstance(result, str) else []:
            again = _tried(call, maker._replace(words=texts))
            result = result if isinstance(again, str) else again
        return result

    def in_order(keys: Iterable[str]) -> list[str]:
        shown = [key for key in keys if not key.startswith("__saved_model_")]
        return sorted(shown, key=lambda key: (names.get(key, key), key))

    def all_of(tags: list[str], loader: str) -> dict[str, Any]:
        with _opened(path, loader, tags) as calls:
            kinds = {
                "signatures": in_order(calls["signatures"]),
                "methods": sorted(calls["methods"]),
            }
            made = {
                kind: {key: tried(calls[kind][key], _fed(kind, key)) for key in keys}
                for kind, keys in kinds.items()
            }
            moved = any(
                not isinstance(rows, str) and tried(calls[kind][key], _fed(kind, key)) != rows
                for kind, of in made.items()
                for key, rows in of.items()
            )
        for kind, keys in kinds.items() if moved else ():
            for key in keys:
                with _opened(path, loader, tags) as calls:
                    made[kind][key] = tried(calls[kind][key], _fed(kind, key))
        return made

    path, words = os.path.abspath(path), os.path.abspath(words)
    graphs = []
    tag_sets = [list(m.meta_info_def.tags) for m in parse_saved_model(path).meta_graphs]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for i, tags in enumerate(tag_sets):
            if set(tags) not in map(set, tag_sets[:i]):  # else no loader finds it
                for loader in ("v2", "v1", "cc"):
                    graphs.append((tags, loader, _tried(all_of, tags, loader)))
    return {
        "objects": _tried(native.restored_objects, path),
        "fingerprint": _tried(fingerprint, path) if tag_sets else "no meta graph",
        "graphs": graphs,
    }


def _fed(kind: str, key: str) -> str:
    """The name under which feeds have what a signature or a method takes."""
    return key if kind == "signatures" else f"{key.partition('/')[0]}()"


@contextlib.contextmanager
def _opened(path: str, loader: str, tags: list[str]) -> Iterator[dict[str, dict[str, Any]]]:
    """A model loaded anew: what can be called, by kind and name."""
    if loader == "v2":
        loaded = tf.saved_model.load(path, tags)
        of = {"signatures": getattr(loaded, "signatures", {}), "methods": _methods(loaded)}
        yield {kind: {k: partial(_call, f) for k, f in fs.items()} for kind, fs in of.items()}
        return
    with _session(path, loader, tags) as (session, meta_graph):
        signatures = meta_graph.signature_def
        run = {key: partial(_run, session, signature) for key, signature in signatures.items()}
        yield {"signatures": run, "methods": {}}


def save_variables(path: str, tags: list[str], prefix: str) -> None:
    """Load a model with v1, and let its own saver save the variables."""
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    with _session(path, "v1", tags) as (session, meta_graph):
        saver = tf.compat.v1.train.Saver(saver_def=meta_graph.saver_def)
        saver.save(session, prefix, write_meta_graph=False, write_state=False)


def _tried(function: Callable[..., Any], *args: Any) -> Any:
    """What it returns, or the error in words."""
    try:
        return function(*args)
    except Exception as e:
        return f"{type(e).__name__}: {e}"[:1000]


def _methods(loaded: Any) -> dict[str, Any]:
    """The concrete functions of the functions that the root has; several as NAME/0, NAME/1."""
    methods = {}
    for name, child in loaded._trackable_children().items():
        if hasattr(child, "concrete_functions"):
            for i, function in enumerate(child.concrete_functions):
                methods[f"{name}/{i}"] = function
    return methods


def _call(function: Any, maker: inputs.Maker) -> dict[str, Row]:
    """Inputs follow what the loaded function asks for: signature_def plays no part here."""
    specs = function.structured_input_signature
    _, by_alias = specs
    aliases = [str(i) for i in range(len(tf.nest.flatten(specs, expand_composites=True)))]
    if by_alias:
        aliases[-len(by_alias) :] = sorted(by_alias)  # as a nest is flattened
    made = [
        _argument(alias, spec, maker)
        for alias, spec in zip(
            aliases, tf.nest.flatten(specs, expand_composites=True), strict=True
        )
    ]
    arguments, keywords = tf.nest.pack_sequence_as(specs, made, expand_composites=True)
    rows = {}
    result = function(*arguments, **keywords)
    for alias, value in (result.items() if isinstance(result, dict) else [("", result)]):
        parts = tf.nest.flatten(value, expand_composites=True)
        single = len(parts) == 1 and parts[0] is value
        for i, part in enumerate(parts):
            if tf.is_tensor(part):
                row = inputs.row(np.asarray(part.numpy()))
                rows[alias if single else f"{alias}[{i}]"] = row
    return rows


def _argument(alias: str, spec: Any, maker: inputs.Maker) -> Any:
    """A made tensor; what is no tensor is part of the function, and stays."""
    if not isinstance(spec, tf.TensorSpec):
        return spec
    return tf.constant(maker.array(alias, spec.dtype, spec.shape), spec.dtype)


@contextlib.contextmanager
def _session(path: str, loader: str, tags: list[str]) -> Iterator[tuple[Any, Any]]:
    """A session of "v1" or "cc" with the model loaded into it, and the MetaGraphDef."""
    with tf.Graph().as_default(), contextlib.ExitStack() as stack:
        session: Any
        if loader == "v1":
            session = stack.enter_context(tf.compat.v1.Session())
            yield session, tf.compat.v1.saved_model.load(session, tags, path)
        else:
            session = stack.enter_context(native.Session(path, tags))
            yield session, session.meta_graph


def _signature(
    meta_graph: meta_graph_pb2.MetaGraphDef, key: str
) -> meta_graph_pb2.SignatureDef:
    if key not in meta_graph.signature_def:
        raise KeyError(f"no signature {key!r} in {sorted(meta_graph.signature_def)}")
    return meta_graph.signature_def[key]


def _run(
    session: Any, signature: meta_graph_pb2.SignatureDef, maker: inputs.Maker
) -> dict[str, Row]:
    """Tensors are fed and fetched by the names of the SignatureDef."""
    feed = {}
    # Of two that feed one tensor the last counts, whatever they are called now.
    for alias in sorted(signature.inputs, key=lambda new: maker.aliases.get(new, new)):
        feed.update(_feed(alias, signature.inputs[alias], maker))
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
