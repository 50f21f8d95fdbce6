"""The object graph and its values: wire rules by hand, the rest held against TensorFlow."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastsm.errors import FormatError
from fastsm.graph.objects import ObjectGraph
from fastsm.graph.structured import DType, TensorShape, TensorSpec, decode, type_name
from fastsm.model import open as open_model
from fastsm.source import Reader, from_bytes

from .conftest import CORPUS, ModelFactory
from .oracle import ENVIRONMENT

# -- messages by hand ------------------------------------------------------------------


def varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def scalar(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def sub(number: int, *payload: bytes | str) -> bytes:
    data = b"".join(p.encode() if isinstance(p, str) else p for p in payload)
    return varint(number << 3 | 2) + varint(len(data)) + data


def reference(node_id: int, name: str) -> bytes:
    return (scalar(1, node_id) if node_id else b"") + sub(2, name)


def node(*fields: bytes) -> bytes:
    return sub(1, *fields)


def child(node_id: int, name: str) -> bytes:
    return sub(1, reference(node_id, name))


def concrete(name: str, *fields: bytes) -> bytes:
    return sub(2, sub(1, name), sub(2, *fields))


def graph(*spans: bytes) -> ObjectGraph:
    """An object graph of one message; of several spans, merged, when given several."""
    data = b"".join(spans)
    where, at = [], 0
    for s in spans:
        where.append((at, at + len(s)))
        at += len(s)
    return ObjectGraph(Reader(from_bytes(data), "m/saved_model.pb"), where, "object_graph_def")


def value(data: bytes) -> Any:
    reader = Reader(from_bytes(data), "m/saved_model.pb")
    return decode(reader, [(0, len(data))], "signature")


USER, ASSET, FUNCTION, VARIABLE, BARE, CONSTANT, RESOURCE, CAPTURED = 4, 5, 6, 7, 8, 9, 10, 12


# -- the graph -------------------------------------------------------------------------


def test_nodes_are_counted_and_read_one_by_one() -> None:
    g = graph(
        node(child(1, "v"), sub(USER, sub(1, "_generic_user_object"))),
        node(
            sub(VARIABLE, scalar(1, 1), sub(2, sub(2, scalar(1, 3))), scalar(3, 1), sub(6, "k"))
        ),
    )
    assert len(g) == 2
    assert [n.kind for n in g] == ["user_object", "variable"]
    assert g.root.identifier == "_generic_user_object"
    v = g[1].variable
    assert v is not None
    assert (v.name, v.dtype, v.shape, v.trainable) == ("k", "float32", (3,), True)
    assert g[1].identifier == ""
    assert repr(g) == "<ObjectGraph: 2 nodes>"


def test_a_graph_in_several_spans_is_one() -> None:
    constant = node(sub(CONSTANT, sub(1, "c")))
    g = graph(node(child(1, "a")), concrete("f"), constant, concrete("g"))
    assert len(g) == 2
    assert g[1].operation == "c"
    assert list(g.concrete_functions) == ["f", "g"]


def test_a_node_of_merged_messages() -> None:
    # The kind's message comes twice: its fields are those of both, scalars of the last.
    g = graph(node(sub(VARIABLE, scalar(1, 1), sub(6, "old")), sub(VARIABLE, sub(6, "new"))))
    v = g[0].variable
    assert v is not None
    assert (v.name, v.dtype) == ("new", "float32")


def test_another_kind_clears_the_first() -> None:
    g = graph(node(sub(USER, sub(1, "x")), sub(ASSET, scalar(1, 4))))
    assert (g[0].kind, g[0].asset_index, g[0].identifier) == ("asset", 4, "")
    # And back again: what the first said stays forgotten.
    g = graph(node(sub(USER, sub(1, "x")), sub(ASSET), sub(USER, sub(3, "{}"))))
    assert (g[0].kind, g[0].identifier, g[0].metadata) == ("user_object", "", "{}")


def test_no_kind_and_unknown_fields() -> None:
    g = graph(node(sub(2000, "later"), scalar(USER, 1)))  # kind as a varint: not that field
    assert g[0].kind is None
    assert g[0].variable is None and g[0].function_spec is None
    assert g[0].concrete_function_names == []


def test_equal_child_names_are_kept_and_the_last_counts() -> None:
    g = graph(node(child(1, "f"), child(2, "f")), node(sub(ASSET)), node(sub(CONSTANT)))
    assert [(r.local_name, r.node_id) for r in g.root.children] == [("f", 1), ("f", 2)]
    found = g.child(g.root, "f")
    assert found is not None and found.id == 2
    assert g.child(g.root, "g") is None


def test_references_keep_their_fields() -> None:
    g = graph(node(child(0, "me"), child(1, "you")), node())
    me, you = g.root.children
    assert me.id_field is None and me.node_id == 0
    assert you.id_field is not None
    read = g.reader.source.read
    assert read(you.id_field.start, you.id_field.end - you.id_field.start) == scalar(1, 1)
    assert read(you.field.start, 1) == b"\x0a"


def test_slots_saveables_and_dependencies() -> None:
    slot = sub(3, scalar(1, 1), sub(2, "m"), scalar(3, 2))
    saveable = sub(11, sub(1, "VARIABLE_VALUE"), sub(2, scalar(2, 3), scalar(3, 4)))
    g = graph(node(slot, saveable, sub(15, reference(2, "d"))), node())
    (s,) = g[0].slot_variables
    assert (s.name, s.original_id, s.variable_id) == ("m", 1, 2)
    (o,) = g[0].saveable_objects
    assert (o.name, o.save_id, o.restore_id) == ("VARIABLE_VALUE", 3, 4)
    assert [r.node_id for r in g[0].dependencies] == [2]
    assert g[0].has_slot_variables and not g[1].has_slot_variables


def test_functions() -> None:
    bare = sub(BARE, sub(1, "f_2"), sub(2, "x"), sub(2, "y"))
    g = graph(
        node(sub(FUNCTION, sub(1, "f_1"), sub(1, "f_2"), sub(2, scalar(2, 1), scalar(6, 1)))),
        node(bare),
        concrete("f_1", sub(2, varint(3), varint(-1)), scalar(2, 5)),
        concrete("f_2", scalar(2, 9)),
        concrete("f_1", scalar(2, 7)),
    )
    assert g[0].concrete_function_names == ["f_1", "f_2"]
    assert len(g[0].concrete_function_fields) == 2
    spec = g[0].function_spec
    assert spec is not None
    assert (spec.is_method, spec.jit_compile, spec.fullargspec) == (True, True, None)
    assert g[1].concrete_function_names == ["f_2"]
    assert g[1].argument_keywords == ["x", "y"]
    # The last of equal keys counts, whole, in the place of the first.
    assert list(g.concrete_functions) == ["f_1", "f_2"]
    assert g.concrete_functions["f_1"].bound_inputs == [7]


def test_packed_and_single_bound_inputs() -> None:
    packed = sub(2, varint(3), varint(-1), varint(300))
    g = graph(concrete("f", packed, scalar(2, 5)))
    assert g.concrete_functions["f"].bound_inputs == [3, -1, 300, 5]
    for broken, text in [(b"\x80", "needs 2 bytes"), (b"\x80" * 11, "more than ten bytes")]:
        g = graph(concrete("f", sub(2, broken)))
        with pytest.raises(FormatError, match=text):
            _ = g.concrete_functions["f"].bound_inputs


def test_ids_outside_the_graph() -> None:
    g = graph(node(child(7, "far"), child(-1, "back")))
    assert [r.node_id for r in g.root.children] == [7, -1]
    for name, place in [("far", "children[0]"), ("back", "children[1]")]:
        with pytest.raises(FormatError, match="refers to object") as e:
            g.child(g.root, name)
        assert e.value.place == f"object_graph_def.nodes[0].{place}"
        assert e.value.offset is not None
    with pytest.raises(IndexError):
        g[1]
    with pytest.raises(IndexError):
        g[-1]
    with pytest.raises(FormatError, match="refers to object 0, of 0"):
        _ = graph().root


def test_paths_are_the_shortest_and_cycles_end() -> None:
    g = graph(
        node(child(1, "a"), child(0, "self"), child(9, "nowhere")),
        node(child(2, "b"), child(0, "up")),
        node(child(1, "back"), child(3, "c")),
        node(child(2, "again")),
        node(),
    )
    assert g.path(0) == ()
    assert g.path(3) == ("a", "b", "c")
    assert g.path(4) is None
    assert list(g.walk()) == [(0, 0, ""), (1, 0, "a"), (2, 1, "b"), (3, 2, "c")]
    assert list(graph().walk()) == []


def test_a_hundred_thousand_nodes_in_a_row() -> None:
    n = 100_000
    g = graph(b"".join(node(child(i + 1, "next")) for i in range(n)), node(sub(ASSET)))
    assert len(g) == n + 1
    assert g[n].kind == "asset"
    way = g.path(n)
    assert way is not None and len(way) == n


def test_broken_nodes_name_their_place() -> None:
    g = graph(node(sub(1, b"\x0a\x05")))  # a child whose field goes past its end
    with pytest.raises(FormatError) as e:
        _ = g[0].children
    assert e.value.place == "object_graph_def.nodes[0].children[0]"
    g = graph(node(sub(1, sub(2, b"\xff\xfe"))))
    with pytest.raises(FormatError, match="not UTF-8"):
        _ = g[0].children
    with pytest.raises(FormatError):
        len(graph(b"\x0a\x7f"))


# -- structured values -----------------------------------------------------------------

NOTHING = sub(1)


def test_of_a_value_the_last_member_counts() -> None:
    assert value(NOTHING) is None
    assert value(sub(13, "a") + sub(13, "b")) == "b"
    assert value(scalar(14, 1) + scalar(12, 5)) == -3
    one, two = sub(51, sub(1, scalar(12, 2))), sub(51, sub(1, scalar(12, 4)))
    assert value(one + two) == [1, 2]  # one list in two pieces
    assert value(one + NOTHING + two) == [2]  # the first was cleared
    assert value(sub(12, "not a number") + scalar(14, 0)) is False


def test_a_value_that_is_none() -> None:
    for data in (b"", sub(99, "later")):
        with pytest.raises(FormatError, match="holds no value"):
            value(data)


def test_a_deep_value_is_refused() -> None:
    data = NOTHING
    for _ in range(40):
        data = sub(51, sub(1, data))
    assert value(data)
    for _ in range(100_000 // 8):
        data = sub(51, sub(1, data))
    with pytest.raises(FormatError, match="nests messages deeper than 100"):
        value(data)
    spec = NOTHING
    for _ in range(60):
        spec = sub(34, scalar(1, 1), sub(2, spec))
    with pytest.raises(FormatError, match="nests messages deeper than 100"):
        value(spec)


def test_dicts_are_sorted_and_the_last_of_equal_keys_counts() -> None:
    entries = [("b", 2), ("a", 4), ("b", 6)]
    data = sub(53, *(sub(1, sub(1, k), sub(2, scalar(12, n))) for k, n in entries))
    assert value(data) == {"b": 3, "a": 2}
    assert list(value(data)) == ["a", "b"]


def test_specs() -> None:
    shape = sub(2, scalar(1, -1)) + sub(2, scalar(1, 3))
    spec = value(sub(33, sub(1, "x"), sub(2, shape), scalar(3, 1)))
    assert spec == TensorSpec(TensorShape([-1, 3]), DType(1), "x")
    assert spec != TensorSpec(TensorShape([-1, 3]), DType(1), None)
    assert len({spec, value(sub(33, sub(2, shape), scalar(3, 1)))}) == 2
    assert repr(value(sub(33))) == "TensorSpec(shape=(), dtype=tf.invalid, name=None)"
    assert type_name(spec) == "TensorSpec"
    tensor = scalar(1, 1) + sub(2, sub(2, scalar(1, 2)))
    assert repr(value(sub(55, tensor))) == "<tf.Tensor: shape=(2,), dtype=float32>"
    assert repr(value(sub(56, tensor))) == "array(..., shape=(2,), dtype=float32)"
    assert type_name(value(sub(56, tensor))) == "ndarray"
    empty_named = value(sub(54, sub(1, "T")))
    assert (type_name(empty_named), repr(empty_named)) == ("T", "T()")


# -- against TensorFlow ----------------------------------------------------------------

#: Values that TensorFlow encodes, prints, and prints again once it has decoded them.
VALUES = """
None; True; False; 0; -7; 2**62; 0.5; -1e300; float('inf'); ''; "it's"; 'ü\\x1b'
[]; (); {}; [1]; (1,); {'b': 1, 'a': [2.5, None, (True,)]}; [[], ((),)]
collections.namedtuple('Point', ['x', 'y'])(1, tf.float32)
collections.namedtuple('None_', [])()
tf.float32; tf.float16; tf.float64; tf.bfloat16; tf.string; tf.bool; tf.resource; tf.variant
tf.dtypes.experimental.int4; tf.dtypes.experimental.uint4
tf.qint8; tf.quint16; tf.complex64; tf.uint64
tf.dtypes.experimental.float8_e5m2; tf.dtypes.experimental.float8_e4m3fn
tf.TensorShape(None); tf.TensorShape([]); tf.TensorShape([1]); tf.TensorShape([None, 2, None])
[tf.TensorShape([None]), tf.TensorShape(None), tf.int8]
tf.TensorSpec([None, 3], name='x'); tf.TensorSpec(None, tf.string); tf.TensorSpec([], tf.half)
tf.TensorSpec([7], name='a/b'); [tf.TensorSpec([0])]
tf.SparseTensorSpec([None, 3]); tf.SparseTensorSpec(None, tf.string)
tf.RaggedTensorSpec([None, None]); tf.RaggedTensorSpec([2, None, 3], tf.int32, 1, tf.int32)
tf.RaggedTensorSpec([2, None], tf.int32, flat_values_spec=tf.TensorSpec([None], tf.int32))
tf.IndexedSlicesSpec([None, 2]); tf.IndexedSlicesSpec([3], tf.int32, tf.int32, tf.int32, [2])
tf.TensorArraySpec([3], tf.float32, True, False); tf.TensorArraySpec()
tf.data.DatasetSpec(tf.TensorSpec([2])); tf.data.DatasetSpec({'a': tf.TensorSpec([])})
tf.data.IteratorSpec(tf.TensorSpec([2])); tf.OptionalSpec(tf.TensorSpec([], tf.int64))
VariableSpec([2]); VariableSpec([None], tf.int32, False, 5)
RowPartitionSpec(); RowPartitionSpec(3, 5, None, tf.int32)
RowPartitionSpec(uniform_row_length=2)
NoneTensorSpec(); [NoneTensorSpec(), (VariableSpec([]),)]
BoundedTensorSpec([2], tf.int32, 0, 5, 'b'); BoundedTensorSpec([], tf.int64, -3, 2**40)
BoundedTensorSpec([], tf.float32, -3.4028235e+38, 3.4028235e+38)
BoundedTensorSpec([], tf.float32, 0.1, 0.123456789)
BoundedTensorSpec([], tf.float32, -1.5e-7, 100)
BoundedTensorSpec([], tf.float64, 0.1, 1e20); BoundedTensorSpec([], tf.float64, 1/3, 1e16/3)
BoundedTensorSpec([], tf.float64, 99999999.5, 1e8); BoundedTensorSpec([], tf.uint8, 0, 255)
"""

#: Encodes VALUES; or decodes every value of a model's object graph, maps sorted.
CHILD = r"""
import collections, json, sys
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.none_tensor import NoneTensorSpec
from tensorflow.python.framework.tensor import BoundedTensorSpec
from tensorflow.python.ops.ragged.row_partition import RowPartitionSpec
from tensorflow.python.ops.resource_variable_ops import VariableSpec
from tensorflow.python.saved_model import nested_structure_coder as coder

def tidy(v):
    if isinstance(v, dict):
        return {k: tidy(v[k]) for k in sorted(v)}
    if isinstance(v, tuple) and hasattr(v, "_fields"):
        return type(v)(*(tidy(x) for x in v))
    return type(v)(tidy(x) for x in v) if type(v) in (list, tuple) else v

def told(message):
    try:
        v = tidy(coder.decode_proto(message))
    except ValueError as e:  # a type that nobody registered here
        return None
    return [message.SerializeToString().hex(), repr(v), str(v), type(v).__name__]

asked = json.load(sys.stdin)
out = [told(coder.encode_structure(eval(v))) for v in asked["values"]]
for path in asked["models"]:
    model = saved_model_pb2.SavedModel.FromString(open(path + "/saved_model.pb", "rb").read())
    for m in model.meta_graphs:
        g = m.object_graph_def
        messages = []
        for f in g.concrete_functions.values():
            messages += [f.canonicalized_input_signature, f.output_signature]
        for n in g.nodes:
            if n.WhichOneof("kind") == "function":
                spec = n.function.function_spec
                messages += [spec.fullargspec, spec.input_signature]
        # Of a tensor among the defaults fastsm does not print the numbers.
        rows = [told(x) for x in messages if x.WhichOneof("kind")]
        out += [row for row in rows if row is None or "<tf.Tensor" not in row[1]]
json.dump(out, sys.stdout)
"""


def tensorflow_says(values: list[str], models: list[Path]) -> list[list[str] | None]:
    answer = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps({"values": values, "models": [str(m) for m in models]}),
        env={**os.environ, **ENVIRONMENT},
        check=True,
        capture_output=True,
        text=True,
    )
    says: list[list[str] | None] = json.loads(answer.stdout)
    return says


def check(rows: list[list[str] | None]) -> int:
    """How many of the rows TensorFlow could decode; of those, ours print the same."""
    known = [row for row in rows if row is not None]
    for data, expected_repr, expected_str, expected_type in known:
        ours = value(bytes.fromhex(data))
        assert (repr(ours), str(ours), type_name(ours)) == (
            expected_repr,
            expected_str,
            expected_type,
        )
    return len(known)


@pytest.mark.tensorflow
def test_every_kind_of_value_prints_as_tensorflows() -> None:
    values = [v.strip() for line in VALUES.strip().splitlines() for v in line.split("; ")]
    assert check(tensorflow_says(values, [])) == len(values)


@pytest.mark.tensorflow
@pytest.mark.parametrize("which", ["models", "corpus"])
def test_every_value_of_a_model_prints_as_tensorflows(which: str, model: ModelFactory) -> None:
    if which == "models":
        folders = [model(name) for name in ("two_signatures", "ragged_and_sparse", "dtypes")]
    else:
        folders = sorted(CORPUS.iterdir()) if CORPUS.exists() else []
    folders = [f for f in folders if (f / "saved_model.pb").exists()]
    if not folders:
        pytest.skip("no corpus")
    assert check(tensorflow_says([], folders)) > 20


def test_every_object_of_the_corpus_is_read(corpus_model: Any) -> None:
    if not (corpus_model.path / "saved_model.pb").exists():
        pytest.skip("a .pbtxt")
    counts = []
    for meta_graph in open_model(corpus_model.path).meta_graphs:
        g = meta_graph.objects
        if g is None:
            continue
        counts.append(len(g))
        for n in g:
            assert n.kind is not None
            for r in [*n.children, *n.dependencies]:
                g.follow(r.node_id, n.place)
            for name in n.concrete_function_names:
                for bound in g.concrete_functions[name].bound_inputs:
                    g.follow(bound, n.place)
    assert counts == [c for c in corpus_model.catalog["object_graph_nodes"] if c]


def test_names_of_models(model: ModelFactory) -> None:
    (meta_graph,) = open_model(model("two_signatures")).meta_graphs
    g = meta_graph.objects
    assert g is not None
    by_path = {"/".join(g.path(i) or ()): n for i, n in enumerate(g)}
    assert by_path["signatures"].identifier == "signature_map"
    kernel = by_path["kernel"].variable
    assert kernel is not None and kernel.shape == (3, 2)
    score = by_path["score"]
    (name,) = score.concrete_function_names
    f = g.concrete_functions[name]
    args, kwargs = f.input_signature
    assert repr(args) == "(TensorSpec(shape=(None, 3), dtype=tf.float32, name='x'),)"
    assert kwargs == {}
    assert list(f.output_signature) == ["score"]
    assert sorted(g[i].kind for i in f.bound_inputs) == ["variable", "variable"]
    spec = score.function_spec
    assert spec is not None and spec.fullargspec.name == "FullArgSpec"
