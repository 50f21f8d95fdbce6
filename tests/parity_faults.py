"""Models that are not the same any more: each case a function that makes one of a copy.

A function gets a copy of a model that TensorFlow wrote, and changes one thing that counts. Its
decorator says what parity has to find with each loader, and nothing beside it: names of
signatures, callables and kinds of state, behind a colon what of them differs. Checksums are
made right, so that nobody but who looks at the values sees it.
"""
from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fastsm import _core
from fastsm.bundle.opened import Bundle

from . import damage
from .faults import Messages, child, without
from .tables import masked_crc

LOADERS = ("v2", "v1", "cc")


class Fault(NamedTuple):
    """What is done to which model, and what is found.

    Attributes:
        make: Does it to a copy.
        base: The model.
        finds: Loader -> what differs there, ``{tags} `` before it in a model of several meta
            graphs.
        may: What may differ besides: a bit that sums can round away.
    """

    make: Callable[[Messages], None]
    base: str
    finds: dict[str, frozenset[str]]
    may: frozenset[str]


FAULTS: dict[str, Fault] = {}

Finds = str | Iterable[str]


def fault(
    base: str, *every: str, v2: Finds = (), sessions: Finds = (), may: Iterable[str] = ()
) -> Callable[[Callable[[Messages], None]], Callable[[Messages], None]]:
    """Enter a function among the faults: its model, what all loaders find, what beside it
    tf.saved_model.load does, and what both sessions do."""

    def enter(make: Callable[[Messages], None]) -> Callable[[Messages], None]:
        finds = {
            loader: frozenset([*every, *_several(of)])
            for loader, of in zip(LOADERS, (v2, sessions, sessions), strict=True)
        }
        FAULTS[make.__name__] = Fault(make, base, finds, frozenset(may))
        return make

    return enter


def _several(finds: Finds) -> Iterable[str]:
    return (finds,) if isinstance(finds, str) else finds


# -- values in the checkpoint --

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

Extents = tuple[tuple[int, int], ...]


def flip(m: Messages, name: str, bit: int, part: Extents | None = None) -> None:
    """Turn a bit of a tensor's bytes, and make its checksum right.

    Args:
        bit: Counted from the lowest bit of its first byte.
        part: Which slice of a partitioned one.
    """
    folder = m.path / "variables"
    bundle = Bundle.open(str(folder / "variables"))
    key = name.encode() if part is None else _core.slice_key(name.encode(), part)
    row = list(bundle.index.keys()).index(key)
    _, _, shard, offset, size, _, _ = bundle.index.entry(row)
    file = folder / bundle.shard_name(shard)
    data = bytearray(file.read_bytes())
    data[offset + bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)
    index = damage.Bundle(folder)
    entries = index.entries()
    crc = masked_crc(bytes(data[offset : offset + size]))
    entries[key] = damage.changed(entries[key], crc=crc)
    index.write(entries.items())


@fault(
    "two_signatures", "variables: kernel",
    may=[
        "serving_default: score", "two: out", "two: out_1", "two: total", "loaded.score: score",
        "loaded.two: out", "loaded.two: out_1", "loaded.two: total", "loaded.train_step: output",
    ],
)  # fmt: skip
def lowest_bit_of_a_weight(m: Messages) -> None:
    flip(m, f"kernel{VALUE}", 0)


@fault(
    "dtypes", "serving_default: half", v2=["variables: numeric/1", "loaded.serve: half"],
    sessions="variables: float16",
)  # fmt: skip
def lowest_bit_of_a_half(m: Messages) -> None:
    flip(m, f"numeric/1{VALUE}", 0)


@fault(
    "alike", "variables: weight", "around: y", "serving_default: above", "serving_default: width",
    v2=["loaded.around: y", "loaded.measure: above", "loaded.measure: width"],
)  # fmt: skip
def sign_of_a_weight(m: Messages) -> None:
    flip(m, f"weight{VALUE}", 63)


@fault("dtypes", v2="variables: numeric/7", sessions="variables: int64")
def lowest_bit_of_an_integer(m: Messages) -> None:
    flip(m, f"numeric/7{VALUE}", 0)


@fault("dtypes", v2="variables: numeric/14", sessions="variables: bool")
def bool_turned(m: Messages) -> None:
    flip(m, f"numeric/14{VALUE}", 0)


@fault("dtypes", v2="variables: numeric/2", sessions="variables: float32")
def sign_of_a_zero(m: Messages) -> None:
    """Equal to what it was, as numbers go."""
    flip(m, f"numeric/2{VALUE}", 31)


@fault("dtypes", "variables: words", "serving_default: words", v2="loaded.serve: words")
def letter_of_a_string(m: Messages) -> None:
    words = [b"a", b"", "ünï\0codé".encode(), b"x" * 299 + b"y"]
    data, masked = _core.encode_strings(words)
    m.rewrite(lambda b: b.replace(f"words{VALUE}", data, _core.crc32c_unmask(masked)))


@fault("shards", "variables: wide", "serving_default: y", v2="loaded.serve: y")
def sign_in_a_slice(m: Messages) -> None:
    """In another shard than the first."""
    flip(m, f"wide{VALUE}", 31, ((24, 6), (1, 7)))


@fault("shards", "variables: bias", "serving_default: y", v2="loaded.serve: y")
def sign_in_the_last_shard(m: Messages) -> None:
    flip(m, f"bias{VALUE}", 31)


@fault("partitioned", "variables: net/by_column/part_1", "serving_default: y")
def sign_in_a_part(m: Messages) -> None:
    flip(m, "net/by_column", 31, ((0, 4), (3, 2)))


#: As the builder of many_variables has it.
NAME_OF_V7 = sha256(b"7").hexdigest() * 8


@fault("many_variables", v2=f"variables: v{NAME_OF_V7}", sessions="variables: v7")
def weight_that_nothing_reads(m: Messages) -> None:
    """Of 521 one that no signature looks at."""
    flip(m, f"v{NAME_OF_V7}{VALUE}", 3)


@fault(
    "vocabulary", v2="tables: counts", sessions="tables: MutableHashTable",
    may=["serving_default: counts", "loaded.embed: counts"],  # as words are drawn
)  # fmt: skip
def value_in_a_table(m: Messages) -> None:
    flip(m, "counts/.ATTRIBUTES/table-values", 31)


@fault(
    "train_and_serve_ref", "{train} variables: w", "{train} serving_default: y",
    "{serve} variables: w", "{serve} serving_default: y",
)  # fmt: skip
def weight_of_two_meta_graphs(m: Messages) -> None:
    flip(m, "w", 31)


# -- what is restored --


def names_to_restore(m: Messages) -> Any:
    """The names that RestoreV2 of the sessions is given."""
    nodes = [
        *m.graph.graph_def.node,
        *(n for f in m.library.function if "restore" in f.signature.name for n in f.node_def),
    ]
    [names] = [n for n in nodes if n.name.endswith("RestoreV2/tensor_names")]
    return names.attr["value"].tensor.string_val


@fault("two_signatures", sessions=["serving_default", "two", "variables: kernel"])
def not_restored_in_sessions(m: Messages) -> None:
    """The restored value of the kernel is not assigned."""
    body = m.function("traced_restore")
    without(body.node_def, next(n for n in body.node_def if n.name == "AssignVariableOp"))
    del body.control_ret["AssignVariableOp"]
    without(body.signature.control_output, "AssignVariableOp")
    for node in body.node_def:
        without(node.input, "^AssignVariableOp")


@fault("stripped_defaults", "serving_default: y", "variables: b", "variables: w")
def restored_from_another_key(m: Messages) -> None:
    """w from b, and b from w."""
    names = names_to_restore(m)
    names[0], names[1] = names[1], names[0]


@fault("dtypes", sessions=["variables: plain", "variables: scalar"])
def restored_from_another_key_in_sessions(m: Messages) -> None:
    """int8 as uint8 would not load; two scalars of one dtype do."""
    names = names_to_restore(m)
    one = next(i for i, n in enumerate(names) if n.startswith(b"scalar/"))
    other = next(i for i, n in enumerate(names) if n.startswith("naïve name/".encode()))
    names[one], names[other] = names[other], names[one]


@fault("dtypes", v2=["variables: naïve name", "variables: scalar"])
def restored_from_another_key_by_objects(m: Messages) -> None:
    """What tf.saved_model.load goes by says so, and the session's function does not."""
    root = m.tracked.nodes[0]
    one, other = (
        m.tracked.nodes[child(root, name).node_id].attributes[0]
        for name in ("scalar", "naïve name")
    )
    one.checkpoint_key, other.checkpoint_key = other.checkpoint_key, one.checkpoint_key


@fault("stripped_defaults", "variables: b", "serving_default", may=["serving_default: y"])
def not_restored(m: Messages) -> None:
    """The group of assignments loses one."""
    group = m.named(m.graph.saver_def.restore_op_name)
    while not any("Assign" in name for name in group.input):
        group = m.named(group.input[0].removeprefix("^"))
    del group.input[0]


@fault("two_signatures", v2="loading")
def not_restored_by_objects(m: Messages) -> None:
    """The checkpoint's own object graph does not know the kernel."""
    root = m.tracked.nodes[0]
    m.tracked.nodes[child(root, "kernel").node_id].attributes.clear()
    without(root.children, child(root, "kernel"))


# -- what a signature is --


def swap(one: Any, other: Any) -> None:
    kept = type(one)()
    kept.CopyFrom(one)
    one.CopyFrom(other)
    other.CopyFrom(kept)


@fault("alike", sessions=["serving_default: above", "serving_default: width"])
def outputs_swapped(m: Messages) -> None:
    """In signature_def alone; tf.saved_model.load goes by the function."""
    outputs = m.graph.signature_def["serving_default"].outputs
    swap(outputs["above"], outputs["width"])


@fault("alike", v2=["serving_default: above", "serving_default: width"])
def outputs_of_the_function_swapped(m: Messages) -> None:
    """In the function alone; signature_def is swapped too, so that sessions see nothing."""
    body = m.function("signature_wrapper_measure")
    outputs = m.graph.signature_def["serving_default"].outputs
    args = [arg.name for arg in body.signature.output_arg]
    at = {alias: args[int(outputs[alias].name.partition(":")[2])] for alias in ("above", "width")}
    one, other = at["above"], at["width"]
    body.ret[one], body.ret[other] = body.ret[other], body.ret[one]
    swap(outputs["above"], outputs["width"])


@fault(
    "alike",
    sessions=["serving_default: above", "serving_default: middle", "serving_default: width"],
)
def inputs_swapped(m: Messages) -> None:
    inputs = m.graph.signature_def["serving_default"].inputs
    swap(inputs["low"], inputs["high"])


@fault("stripped_defaults", "serving_default: y")
def output_of_another_tensor(m: Messages) -> None:
    """Of the same dtype and shape."""
    m.graph.signature_def["serving_default"].outputs["y"].name = "mul:0"


@fault("two_signatures", sessions="two: out_1")
def output_of_another_tensor_in_sessions(m: Messages) -> None:
    outputs = m.graph.signature_def["two"].outputs
    outputs["out_1"].name = outputs["out"].name


@fault(
    "alike",
    sessions=["serving_default: above", "serving_default: middle", "serving_default: width"],
)
def inputs_of_a_call_swapped(m: Messages) -> None:
    """The node of the main graph that calls the signature's function gets them."""
    call = next(n for n in m.graph.graph_def.node if n.name == "StatefulPartitionedCall_1")
    one, other = (
        list(call.input).index(name) for name in ("serving_default_low", "serving_default_high")
    )
    call.input[one], call.input[other] = call.input[other], call.input[one]


@fault("alike", sessions="serving_default: width")
def an_output_less(m: Messages) -> None:
    del m.graph.signature_def["serving_default"].outputs["width"]


@fault("two_signatures", sessions="two")
def a_signature_less(m: Messages) -> None:
    del m.graph.signature_def["two"]


@fault("stripped_defaults", sessions="serving_default: x")
def dimension_of_an_input(m: Messages) -> None:
    m.graph.signature_def["serving_default"].inputs["x"].tensor_shape.dim[0].size = 3


# -- what is computed --


def in_function(m: Messages, function: str, name: str) -> Any:
    """A node of a function, by its name."""
    return next(n for n in m.function(function).node_def if n.name == name)


def put_floats(node: Any, *values: float) -> None:
    """Give a Const other floats."""
    tensor = node.attr["value"].tensor
    tensor.ClearField("float_val")
    tensor.tensor_content = struct.pack(f"<{len(values)}f", *values)


@fault("no_variables", "serving_default: y", v2="loaded.__call__: y")
def constant_of_a_function(m: Messages) -> None:
    put_floats(in_function(m, "__call__", "mul/y"), 0.25)


@fault("no_variables", "serving_default: y", v2="loaded.__call__: y")
def last_bit_of_a_constant(m: Messages) -> None:
    put_floats(in_function(m, "__call__", "mul/y"), 0.5 + 2**-24)


@fault("v1_no_variables", "serving_default: y")
def constant_of_main(m: Messages) -> None:
    put_floats(m.named("y/y"), -1.0)


@fault("stripped_defaults", "serving_default: y")
def op_of_main(m: Messages) -> None:
    """y = w * x - b."""
    m.named("y").op = "Sub"


@fault("no_variables", "serving_default: y", v2="loaded.__call__: y")
def op_of_a_function(m: Messages) -> None:
    in_function(m, "__call__", "add").op = "Sub"


@fault("alike", "around: y", v2="loaded.around: y")
def function_of_one_signature(m: Messages) -> None:
    """What only the signature around and its method call."""
    body = m.function("__inference_around")
    [half] = [n for n in body.node_def if n.op == "Const" and n.name.startswith("mul")]
    put_floats(half, 0.25)


@fault("two_signatures", v2="loaded.train_step: output")
def method_that_no_signature_calls(m: Messages) -> None:
    """The loss of train_step, of (y - score) to the third power."""
    put_floats(in_function(m, "__inference_train_step", "pow/y"), 3.0)


@fault("two_signatures", v2="loaded.train_step: output")
def rate_of_a_training_step(m: Messages) -> None:
    """The loss is the same until the second step."""
    put_floats(in_function(m, "__inference_train_step", "mul/x"), 0.2)


@fault("control_flow", "serving_default: y", v2="loaded.loops: y")
def body_of_a_loop(m: Messages) -> None:
    """How often x is multiplied."""
    in_function(m, "while_cond", "while/Less/y").attr["value"].tensor.int_val[0] = 4


@fault(
    "control_flow", "branches: mapped", "branches: total",
    v2=["loaded.branches: mapped", "loaded.branches: total"],
)  # fmt: skip
def branches_of_a_case(m: Messages) -> None:
    for function in m.library.function:
        for node in function.node_def:
            if node.op.endswith("Case"):
                first, second, *_ = node.attr["branches"].list.func
                first.name, second.name = second.name, first.name


@fault("defaults", sessions="serving_default: y")
def default_of_an_input(m: Messages) -> None:
    """What a PlaceholderWithDefault gives where nothing is fed."""
    put_floats(m.named("serving_default_scale/input"), 4.0)


@fault("defaults", sessions="serving_default: scale")
def default_that_a_signature_tells(m: Messages) -> None:
    """What a server gives to a PlaceholderWithDefault, by SignatureDef.defaults."""
    m.graph.signature_def["serving_default"].defaults["scale"].float_val[0] = 4.0


@fault(
    "ragged_and_sparse", "sparse: doubled[values]", v2="loaded.sparse: doubled[values]"
)
def constant_behind_a_composite(m: Messages) -> None:
    put_floats(in_function(m, "__inference_sparse", "mul/y"), -2.0)


# -- assets and tables --


def asset(m: Messages, name: str) -> Path:
    return m.path / "assets" / name


@fault(
    "vocabulary", "serving_default: counts", "serving_default: ids", "serving_default: vectors",
    v2=[
        "assets: table/_initializer/_filename", "tables: table", "loaded.embed: counts",
        "loaded.embed: ids", "loaded.embed: vectors",
    ],
    sessions=["assets: asset_path_initializer:0", "tables: hash_table", "variables: Variable"],
)  # fmt: skip
def lines_exchanged(m: Messages) -> None:
    file = asset(m, "words.txt")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[0], lines[1] = lines[1], lines[0]
    file.write_bytes(b"".join(lines))


@fault(
    "asset_collection", "assets: asset_path:0", "tables: hash_table", "serving_default: ids",
    "serving_default: vectors",
)  # fmt: skip
def lines_exchanged_in_tf1(m: Messages) -> None:
    lines_exchanged(m)


@fault(
    "asset_names", "serving_default: text", v2=["assets: assets/0", "loaded.serve: text"],
    sessions=["assets: asset_path_initializer_2:0", "variables: Variable_2"],
)  # fmt: skip
def asset_changed(m: Messages) -> None:
    """Of two files one, of one name in different folders."""
    asset(m, "w.txt_1").write_text("twe")


@fault("vocabulary", sessions=["serving_default", "tables: hash_table"])
def table_not_filled_in_sessions(m: Messages) -> None:
    """The init op does not run what reads the vocabulary."""
    key = "__saved_model_init_op"
    op = m.named(m.graph.signature_def[key].outputs[key].name)
    without(op.input, *(i for i in op.input if "Call" in i))


@fault("asset_field", sessions=["serving_default", "tables: hash_table"])
def no_init_op(m: Messages) -> None:
    """tf.saved_model.load finds the table's initializer in a collection."""
    del m.graph.signature_def["__saved_model_init_op"]


@fault("asset_collection", "serving_default", "tables: hash_table")
def no_main_op(m: Messages) -> None:
    for name in ("saved_model_main_op", "table_initializer"):
        m.graph.collection_def.pop(name, None)


@fault("vocabulary", v2=["loaded.embed", "serving_default", "tables: table"])
def table_not_filled_by_objects(m: Messages) -> None:
    """What fills it when tf.saved_model.load does is another function, which fills nothing."""
    tables = [o for o in m.graph.object_graph_def.nodes if o.WhichOneof("kind") == "resource"]
    [filled] = [t for t in tables if any(c.local_name == "_initializer" for c in t.children)]
    [mutable] = [t for t in tables if t != filled]
    child(filled, "_initialize").node_id = child(mutable, "_initialize").node_id


@fault(
    "tables_and_tags",
    "{train} assets: asset_path:0", "{train} assets: label_path:0", "{train} labels: label",
    "{train} tables: hash_table", "{train} tables: hash_table_1",
    "{train} serving_default: ids", "{train} serving_default: vectors",
    "{serve} assets: asset_path:0", "{serve} tables: hash_table",
    "{serve} serving_default: ids", "{serve} serving_default: vectors",
    "{serve, small} assets: asset_path:0", "{serve, small} tables: hash_table",
    "{serve, small} serving_default: ids", "{serve, small} serving_default: vectors",
)  # fmt: skip
def assets_exchanged(m: Messages) -> None:
    """Each table is filled from the other one's file."""
    one, other = (m.path / "assets" / name for name in ("words.txt", "labels.txt"))
    kept = one.read_bytes()
    shutil.copyfile(other, one)
    other.write_bytes(kept)


@fault("tables_and_tags", "{train} labels: label", "{train} tables: hash_table_1")
def table_of_another_asset(m: Messages) -> None:
    """In one meta graph of three, the label's table reads the vocabulary."""
    words, labels = sorted(
        (n for n in m.graph.graph_def.node if "InitializeTable" in n.op), key=lambda n: n.name
    )
    labels.input[1] = words.input[1]
