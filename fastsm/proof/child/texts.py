"""What the strings of a model's inputs may be: what its ops that take strings ask for.

A model that parses Examples takes no word, and one that decodes images no Example. So its graph
is looked through for such ops, and each gives a kind of text that is tried.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2, types_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.loader_impl import parse_saved_model

#: Makes a string from (random, which element it is, the size that is tried).
Make = Callable[[np.random.Generator, int, int], bytes]

#: No more kinds are tried of a model.
MAX_TEXTS = 24

#: The side of an image, the samples of a sound.
SIDE, SAMPLES = 32, 1600


class Text(NamedTuple):
    """A kind of text: in words, and what makes one."""

    what: str
    make: Make


def texts_of(path: str, tags: Sequence[str], words: Sequence[bytes]) -> list[Text]:
    """The kinds of text that a meta graph may take; the first is its words.

    Args:
        path: The model's folder.
        tags: Those of the meta graph.
        words: What a word is drawn from.
    """

    def word(random: np.random.Generator, i: int, size: int) -> bytes:
        return words[int(random.integers(len(words)))]

    graphs = [
        graph_def
        for meta_graph in parse_saved_model(path).meta_graphs
        if set(meta_graph.meta_info_def.tags) == set(tags)
        for graph_def in [meta_graph.graph_def]
    ][:1]
    found = [Text("words", word)]
    nodes = [node for graph in graphs for node in _all_nodes(graph)]
    ops = {node.op for node, _ in nodes}
    binary = [Text(*_BINARY[op]) for op in _BINARY if op in ops]
    for node, scope in nodes:
        if node.op in _EXAMPLES:
            parsed = _features(node, scope)
            if parsed is not None:
                found.append(Text("an Example", _example(parsed, word)))
                found += [Text(f"an Example of {t.what}", _example(parsed, t.make)) for t in binary]
        elif node.op in _SEQUENCES:
            parsed_two = _sequence(node, scope)
            if parsed_two is not None:
                found.append(Text("a SequenceExample", _sequence_example(*parsed_two, word)))
        elif node.op in _FROM_NODE:
            what, maker = _FROM_NODE[node.op]
            found.append(Text(what, maker(node)))
    if "DecodeBase64" in ops:
        binary += [Text(f"base64 of {t.what}", _encoded(t.make)) for t in [*found, *binary]]
    found += binary
    found += [Text("no text", lambda *_: b""), Text("numbers as text", _digits)]
    unique: dict[Any, Text] = {}
    for text in found:
        unique.setdefault((text.what, text.make(np.random.default_rng(0), 0, 3)), text)
    kinds = list(unique.values())
    return kinds if len(kinds) <= MAX_TEXTS else [*kinds[: MAX_TEXTS - 2], *kinds[-2:]]


# -- the graph --


class _Scope(NamedTuple):
    """Where a node's inputs are looked up: the nodes beside it, by name."""

    nodes: Mapping[str, node_def_pb2.NodeDef]


def _all_nodes(
    graph: graph_pb2.GraphDef,
) -> Iterator[tuple[node_def_pb2.NodeDef, _Scope]]:
    """The nodes of the main graph and of all functions."""
    for nodes in [graph.node, *(function.node_def for function in graph.library.function)]:
        scope = _Scope({node.name: node for node in nodes})
        for node in nodes:
            yield node, scope


def _constant(name: str, scope: _Scope) -> Any:
    """The value of an input that is a constant, or None."""
    for _ in range(len(scope.nodes)):
        node = scope.nodes.get(name.lstrip("^").partition(":")[0])
        if node is None:
            return None
        if node.op == "Const":
            return tf.make_ndarray(node.attr["value"].tensor)
        if node.op != "Identity":
            return None
        name = node.input[0]
    return None


def _arguments(node: node_def_pb2.NodeDef) -> dict[str, list[str]]:
    """The inputs of a node, by the names that its op has for them."""
    op = op_def_registry.get(node.op)
    inputs = iter(name for name in node.input if not name.startswith("^"))
    found: dict[str, list[str]] = {}
    for argument in op.input_arg if op is not None else ():
        n = 1
        if argument.number_attr:
            n = node.attr[argument.number_attr].i
        elif argument.type_list_attr:
            n = len(node.attr[argument.type_list_attr].list.type)
        found[argument.name] = [name for _, name in zip(range(n), inputs, strict=False)]
    return found


def _keys(names: Sequence[str], scope: _Scope) -> list[bytes] | None:
    """Keys that are constants: one vector of them, or one scalar each. None: they are not."""
    keys: list[bytes] = []
    for name in names:
        value = _constant(name, scope)
        if value is None:
            return None
        keys += [bytes(key) for key in np.asarray(value).reshape(-1)]
    return keys


# -- Examples --


class _Feature(NamedTuple):
    """A feature that is parsed: its key, its dtype, how many values."""

    key: bytes
    dtype: int
    n: int


def _n_values(shape: Any) -> int:
    """An unknown dimension is 2: such a feature has a stride of the others."""
    n = 1
    for dim in shape.dim:
        n *= dim.size if dim.size >= 0 else 2
    return n if not shape.unknown_rank else 2


def _features(node: node_def_pb2.NodeDef, scope: _Scope) -> list[_Feature] | None:
    """What ParseExample and its like parse. None where the keys are no constants.

    Source: tensorflow/core/ops/parsing_ops.cc.
    """
    attr = node.attr
    dense_types = attr["Tdense"].list.type
    dense_n = [_n_values(shape) for shape in attr["dense_shapes"].list.shape]
    sparse_types = attr["sparse_types"].list.type
    ragged_types = attr["ragged_value_types"].list.type
    if node.op == "ParseSingleExample":
        keys = {"dense_keys": list(attr["dense_keys"].list.s),
                "sparse_keys": list(attr["sparse_keys"].list.s)}  # fmt: skip
    else:
        keys = {}
        arguments = _arguments(node)
        for name in ("dense_keys", "sparse_keys", "ragged_keys"):
            found = _keys(arguments.get(name, []), scope)
            if found is None:
                return None
            keys[name] = found
    features = list(map(_Feature, keys["dense_keys"], dense_types, dense_n))
    for name, types in (("sparse_keys", sparse_types), ("ragged_keys", ragged_types)):
        pairs = zip(keys.get(name, ()), types, strict=False)
        features += [_Feature(key, dtype, 2) for key, dtype in pairs]
    return features


def _sequence(
    node: node_def_pb2.NodeDef, scope: _Scope
) -> tuple[list[_Feature], list[_Feature]] | None:
    """What ParseSequenceExample and its like parse: of the context, of the lists."""
    attr, arguments = node.attr, _arguments(node)

    def of(prefix: str, type_names: Mapping[str, str]) -> list[_Feature] | None:
        features: list[_Feature] = []
        for kind, types in type_names.items():
            keys = _keys(arguments.get(f"{prefix}_{kind}_keys", []), scope)
            if keys is None:
                return None
            dtypes = attr[types].list.type
            shapes = attr[f"{prefix}_{kind}_shapes"].list.shape
            ns = [_n_values(s) for s in shapes] or [2] * len(keys)
            features += map(_Feature, keys, dtypes, ns)
        return features

    context = of("context", {"dense": "Tcontext_dense", "sparse": "context_sparse_types",
                             "ragged": "context_ragged_value_types"})  # fmt: skip
    lists = of("feature_list", {"dense": "feature_list_dense_types",
                                "sparse": "feature_list_sparse_types",
                                "ragged": "feature_list_ragged_value_types"})  # fmt: skip
    return None if context is None or lists is None else (context, lists)


def _feature(
    feature: _Feature, random: np.random.Generator, text: Make, i: int
) -> tf.train.Feature:
    n = feature.n
    if feature.dtype == types_pb2.DT_STRING:
        strings = [text(random, i, 1) for _ in range(n)]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=strings))
    if feature.dtype == types_pb2.DT_INT64:
        whole = random.integers(4, size=n).tolist()
        return tf.train.Feature(int64_list=tf.train.Int64List(value=whole))
    floats = random.standard_normal(n).tolist()
    return tf.train.Feature(float_list=tf.train.FloatList(value=floats))


def _by_key(
    features: Sequence[_Feature], random: np.random.Generator, text: Make, i: int
) -> dict[str, tf.train.Feature]:
    return {f.key.decode(errors="replace"): _feature(f, random, text, i) for f in features}


def _example(features: Sequence[_Feature], text: Make) -> Make:
    def make(random: np.random.Generator, i: int, size: int) -> bytes:
        values = tf.train.Features(feature=_by_key(features, random, text, i))
        data: bytes = tf.train.Example(features=values).SerializeToString(deterministic=True)
        return data

    return make


def _sequence_example(context: Sequence[_Feature], lists: Sequence[_Feature], text: Make) -> Make:
    def make(random: np.random.Generator, i: int, size: int) -> bytes:
        rows = {
            feature.key.decode(errors="replace"): tf.train.FeatureList(
                feature=[_feature(feature, random, text, i) for _ in range(max(size, 1))]
            )
            for feature in lists
        }
        example = tf.train.SequenceExample(
            context=tf.train.Features(feature=_by_key(context, random, text, i)),
            feature_lists=tf.train.FeatureLists(feature_list=rows),
        )
        data: bytes = example.SerializeToString(deterministic=True)
        return data

    return make


_EXAMPLES = {"ParseExample", "ParseExampleV2", "ParseSingleExample"}
_SEQUENCES = {"ParseSequenceExample", "ParseSequenceExampleV2", "ParseSingleSequenceExample"}


# -- what is decoded otherwise --


def _eager(make: Callable[[], Any]) -> bytes:
    """Runs ops that have no part in a model's graph."""
    with tf.init_scope(), tf.device("/CPU:0"):
        data: bytes = make().numpy()
    return data


def _pixels(random: np.random.Generator) -> Any:
    return random.integers(256, size=(SIDE, SIDE, 3)).astype(np.uint8)


def _png(random: np.random.Generator, i: int, size: int) -> bytes:
    return _eager(lambda: tf.io.encode_png(_pixels(random)))


def _jpeg(random: np.random.Generator, i: int, size: int) -> bytes:
    return _eager(lambda: tf.io.encode_jpeg(_pixels(random)))


def _wav(random: np.random.Generator, i: int, size: int) -> bytes:
    samples = (random.random((SAMPLES, 1)) - 0.5).astype(np.float32)
    return _eager(lambda: tf.audio.encode_wav(samples, 16_000))


def _digits(random: np.random.Generator, i: int, size: int) -> bytes:
    return b"%d" % random.integers(4)


def _encoded(make: Make) -> Make:
    return lambda *how: base64.urlsafe_b64encode(make(*how)).rstrip(b"=")


_PNG, _JPEG, _WAV = ("a PNG image", _png), ("a JPEG image", _jpeg), ("a WAV sound", _wav)

#: Ops that decode what has a format: what they take.
_BINARY: dict[str, tuple[str, Make]] = {
    "DecodePng": _PNG, "DecodeImage": _PNG, "DecodeJpeg": _JPEG, "DecodeAndCropJpeg": _JPEG,
    "ExtractJpegShape": _JPEG, "DecodeWav": _WAV,
}  # fmt: skip


def _raw(node: node_def_pb2.NodeDef) -> Make:
    dtype = tf.as_dtype(node.attr["out_type"].type)
    return lambda random, i, size: random.integers(4, size=size * dtype.size, dtype="u1").tobytes()


def _tensor(node: node_def_pb2.NodeDef) -> Make:
    dtype = tf.as_dtype(node.attr["out_type"].type)

    def make(random: np.random.Generator, i: int, size: int) -> bytes:
        values = random.integers(4, size=size).astype(dtype.as_numpy_dtype)
        data: bytes = tf.make_tensor_proto(values, dtype).SerializeToString(deterministic=True)
        return data

    return make


def _csv(node: node_def_pb2.NodeDef) -> Make:
    n = len(node.attr["OUT_TYPE"].list.type)
    delimiter: bytes = node.attr["field_delim"].s or b","
    return lambda random, i, size: delimiter.join(_digits(random, i, size) for _ in range(n))


#: Ops that say in their attributes what they take.
_FROM_NODE: dict[str, tuple[str, Callable[[node_def_pb2.NodeDef], Make]]] = {
    "DecodeRaw": ("raw bytes", _raw),
    "DecodePaddedRaw": ("raw bytes", _raw),
    "ParseTensor": ("a serialised tensor", _tensor),
    "DecodeCSV": ("comma-separated numbers", _csv),
}
