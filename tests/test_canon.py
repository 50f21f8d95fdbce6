"""The canonical streamer against what C++ protobuf itself serialises deterministically."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastsm import _core
from fastsm.errors import CoreError
from fastsm.source import PATCH, Source, from_bytes, pack_pieces

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, TensorFlowFailed
from .wire import (
    Untidy,
    delimited,
    entry,
    integer,
    message_type,
    nested,
    tag,
    varint,
)

#: Messages up to this size are ordered in memory, larger ones are streamed.
#: Source: csrc/fsm_unit.h FSM_UNIT_MAX.
UNIT_MAX = 64 << 10

#: What a model is made of: maps, oneofs, packed fields, recursion, every scalar type.
TYPES = [
    "NodeDef", "AttrValue", "FunctionDef", "SignatureDef", "SavedObjectGraph", "TensorProto",
    "StructuredValue", "GraphDebugInfo", "CollectionDef", "GraphDef", "MetaGraphDef",
    "SavedModel",
]  # fmt: skip


def canonical(source: Source, name: str) -> bytes:
    """The canonical form, which the hash must be a hash of."""
    canon, message = _core.Canon(), _core.message_id(name)
    whole = [(0, source.size)]
    # Map entries gain absent keys and values, truncated numbers their sign: at most threefold.
    written = canon.write(source, message, whole, 4 * source.size + 64)
    assert canon.hash(source, message, whole) == _core.fingerprint64(written)
    return written


def agree(oracle: Oracle, data: bytes, name: str) -> None:
    written = canonical(from_bytes(data), name)
    assert written == oracle.deterministic(data, f"tensorflow.{name}")


# -- untidy messages ---------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_untidy_messages(name: str, oracle: Oracle) -> None:
    @settings(max_examples=25, derandomize=True, deadline=None)
    @given(seed=st.integers(0, 1 << 32), fields=st.integers(1, 200))
    def check(seed: int, fields: int) -> None:
        agree(oracle, Untidy(Random(seed), fields).message(message_type(name)), name)

    check()


@pytest.mark.parametrize("name", TYPES)
def test_untidy_large_messages(name: str, oracle: Oracle) -> None:
    """Past UNIT_MAX at many levels: what is streamed and what is put in order in memory."""

    @settings(max_examples=12, derandomize=True, deadline=None)
    @given(seed=st.integers(0, 1 << 32), bulk=st.sampled_from([900, 9_000, UNIT_MAX]))
    def check(seed: int, bulk: int) -> None:
        data = Untidy(Random(seed), 120, bulk).message(message_type(name))
        agree(oracle, data, name)

    check()


@settings(max_examples=50, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    bulk=st.sampled_from([0, 900, UNIT_MAX]),
    name=st.sampled_from(TYPES),
    length=st.sampled_from([1, 2, 3, 7, 4096]),
)
def test_pieces_may_end_anywhere(seed: int, bulk: int, name: str, length: int) -> None:
    data = Untidy(Random(seed), 60, bulk).message(message_type(name))
    assume(len(data) < 50_000 * length)  # a million pieces say no more than these
    assert canonical(in_pieces(data, length), name) == canonical(from_bytes(data), name)


def in_pieces(data: bytes, length: int) -> Source:
    """The bytes as pieces of this length, their origins in reverse order."""
    parts = [data[i : i + length] for i in range(0, len(data), length)]
    patch = b"".join(reversed(parts))
    table, origin = [], len(patch)
    for i, part in enumerate(parts):
        origin -= len(part)
        table.append((i * length, len(part), origin, PATCH))
    return Source(pack_pieces(table), patch)


# -- rules, one by one -------------------------------------------------------------

#: What each is there for -> message and bytes.
SMALL: dict[str, tuple[str, bytes]] = {
    "an empty message": ("NodeDef", b""),
    "an entry of nothing": ("NodeDef", delimited(5)),
    "an entry without a key": ("NodeDef", delimited(5, delimited(2, integer(3, 1)))),
    "an entry without a value": ("NodeDef", delimited(5, delimited(1, "k"))),
    "an entry of numbers without either": ("FunctionDef", delimited(8)),
    "a default of proto2": ("GraphDebugInfo.FileLineCol", integer(1, 0) + delimited(5)),
    "a default of proto3": ("TensorInfo.CooSparse", delimited(1)),
    "a default in a oneof": ("AttrValue", integer(5, 0)),
    "minus zero": ("SaverDef", tag(6, 5) + b"\0\0\0\x80"),
    "zero": ("SaverDef", tag(6, 5) + b"\0\0\0\0"),
    "a number too wide for its field": ("VersionDef", integer(1, 1 << 32 | 7)),
    "a sign bit that a field gains": ("VersionDef", integer(1, 0xFFFFFFFF)),
    "a key that another begins with": (
        "NodeDef",
        entry(5, "Tidx", integer(6, 3)) + entry(5, "T", integer(6, 1)),
    ),
    "bytes above 127 in keys": (
        "NodeDef",
        entry(5, "é", integer(3, 1)) + entry(5, "z", integer(3, 2)),
    ),
    "equal keys": (
        "NodeDef",
        entry(5, "a", integer(3, 1)) + entry(5, "b") + entry(5, "a", integer(3, 2)),
    ),
    # What lies between was once taken for checked.
    "a field between two spans of a merged message": (
        "MetaGraphDef",
        delimited(1, integer(7, 1))
        + delimited(3, delimited(2, "b"), delimited(1, "a"))
        + delimited(1, delimited(5, "2.21.0")),
    ),
    "a oneof member, another, and the first again": (
        "AttrValue",
        delimited(7, integer(3, 1)) + integer(3, 1) + delimited(7, delimited(2)),
    ),
    "a oneof message in two parts": (
        "AttrValue",
        delimited(7, integer(3, 1)) + delimited(7, delimited(2)),
    ),
    "packed and not": (
        "TensorProto",
        integer(7, 1) + delimited(7, varint(2), varint(3, 4)) + integer(7, -1),
    ),
    "nothing, packed": ("TensorProto", delimited(7)),
    "a group": ("NodeDef", tag(60, 3) + integer(1, 5) + tag(60, 4)),
    "a group under a known number": ("NodeDef", tag(1, 3) + tag(1, 4) + delimited(1, "n")),
}


@pytest.mark.parametrize("what", SMALL)
def test_rule(what: str, oracle: Oracle) -> None:
    name, data = SMALL[what]
    agree(oracle, data, name)


@pytest.mark.parametrize("what", SMALL)
def test_rule_in_a_large_message(what: str, oracle: Oracle) -> None:
    """The same where the message is streamed: an unknown field makes it large."""
    name, data = SMALL[what]
    agree(oracle, delimited(1000, b"x" * UNIT_MAX) + data, name)


# -- large messages ----------------------------------------------------------------


def node(name: str, *attrs: bytes) -> bytes:
    return delimited(1, name) + delimited(2, "Const") + b"".join(attrs)


def graph_of_nodes_out_of_order() -> bytes:
    """Nodes of every size around the limit, their fields and the graph's out of order."""
    out = b""
    for i, size in enumerate([0, 100, UNIT_MAX - 60, UNIT_MAX, UNIT_MAX + 60, 300_000] * 3):
        value = entry(5, "value", delimited(8, delimited(4, b"\1" * size)))
        fields = [entry(5, "dtype", integer(6, 1)), value, delimited(2, "Const")]
        fields.append(delimited(1, f"n{i}"))
        out += delimited(1, *fields) + (delimited(4, integer(1, i)) if i % 5 == 0 else b"")
    return out


def map_of_large_entries() -> bytes:
    keys = [f"k{i * 37 % 100:02}" for i in range(130)]  # some twice
    return b"".join(entry(5, k, delimited(2, k[1:] * 20_000)) for k in keys)


def map_of_many_entries() -> bytes:
    return b"".join(entry(5, f"k{i * 7919 % 20_000}", integer(3, i)) for i in range(25_000))


def functions_out_of_order() -> bytes:
    """Every map of a function, backwards, and each large."""
    out = []
    for number in (4, 5, 6):
        for i in reversed(range(3000)):
            value = delimited(2, "v" * 30) if number == 5 else b"v" * 30
            out.append(entry(number, f"key{i}", value))
    for i in reversed(range(3000)):
        out.append(delimited(7, integer(1, i) + delimited(2, entry(1, "a", integer(3, i)))))
    return delimited(2, delimited(1, b"".join(out), delimited(1, delimited(1, "f"))))


def packed(count: int, width: int) -> bytes:
    return b"".join(varint(i % 300, width) for i in range(count))


def nested_packed() -> bytes:
    """Lengths that shrink at every level, some past the size of their own prefix."""
    tensor = delimited(10, packed(16_000, 5)) + delimited(1000, b"x" * 60)
    value = delimited(8, tensor)
    return nested(8, lambda inner: delimited(10, entry(2, "a", inner)), value)


def spans_of_one_library() -> bytes:
    """A library in forty parts between nodes, in each a function, together large."""
    parts = []
    for i in range(40):
        body = delimited(3, node(f"n{i}", entry(5, "b", integer(3, 1)), entry(5, "a")))
        function = delimited(1, body * 60, delimited(1, delimited(1, f"f{i}")))
        parts += [delimited(2, function), delimited(1, node(f"m{i}"))]
    return b"".join(parts)


def unsorted_then_merged() -> bytes:
    """A small message that is sorted in memory, and then turns out to be part of a large
    one: its entries must be looked for where they lie in the file."""
    first = b"".join(entry(2, k, integer(2, 1)) for k in ("z", "abc", "zz", "b"))
    second = b"".join(entry(2, f"k{i}", b"") for i in reversed(range(9000)))
    return delimited(7, first) + delimited(7, second)


def levels_out_of_order() -> bytes:
    """Forty levels, each large, each with what comes first last."""
    return nested(
        40,
        lambda inner: delimited(3, "s" * (UNIT_MAX // 8)) + delimited(2, inner) + integer(1, 7),
        delimited(3, "s" * UNIT_MAX),
    )


def alternating() -> bytes:
    """Thirty thousand runs of fields: names and inputs in turn, packed and not."""
    dims = b"".join(integer(7, i) + delimited(4, b"c") for i in range(20_000))
    return dims + b"".join(integer(13, 1) + integer(10, i) for i in range(10_000))


LARGE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nodes out of order": ("GraphDef", graph_of_nodes_out_of_order),
    "a map of large entries": ("NodeDef", map_of_large_entries),
    "a map of many entries": ("NodeDef", map_of_many_entries),
    "a function's maps": ("GraphDef", functions_out_of_order),
    "packed numbers, too wide": ("TensorProto", lambda: delimited(10, packed(70_000, 4))),
    "packed numbers, in parts": ("TensorProto", lambda: delimited(16, packed(9_000, 3)) * 9),
    "packed numbers, one by one": (
        "TensorProto",
        lambda: b"".join(integer(17, i) for i in range(40_000)),
    ),
    "lengths that shrink at every level": ("AttrValue", nested_packed),
    "one message in many parts": ("GraphDef", spans_of_one_library),
    "a part that was sorted already": ("MetaGraphDef", unsorted_then_merged),
    "levels out of order": ("FullTypeDef", levels_out_of_order),
    "fields that alternate": ("TensorProto", alternating),
    "a string": ("AttrValue", lambda: delimited(2, b"s" * 1_000_000)),
    "a string twice": ("AttrValue", lambda: delimited(2, b"s" * 99_999) + delimited(2, b"t")),
    "an unknown string before": ("AttrValue", lambda: delimited(99, b"s" * 99_999) + integer(3, 1)),
    "an unknown group": (
        "NodeDef",
        lambda: tag(99, 3, 4) + delimited(1, b"s" * 99_999) + integer(2, 3) + tag(99, 4),
    ),
}


@pytest.mark.parametrize("what", LARGE)
def test_large(what: str, oracle: Oracle) -> None:
    name, build = LARGE[what]
    data = build()
    assert len(data) > UNIT_MAX
    agree(oracle, data, name)


# -- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("filler", [b"", b"x" * UNIT_MAX])
def test_nests_as_deep_as_protobuf_allows(filler: bytes, oracle: Oracle) -> None:
    """A hundred messages in one another, groups included."""
    big = delimited(3, filler) if filler else b""

    def types(levels: int, inside: bytes = big) -> bytes:
        return nested(levels, lambda inner: delimited(2, inner), inside)

    def group(levels: int) -> bytes:
        return tag(99, 3) * levels + tag(99, 4) * levels

    def attrs(levels: int) -> bytes:
        """Three messages a level: a function, its map's entry, the entry's value."""
        return nested(levels, lambda v: delimited(10, entry(2, "a", v)), delimited(2, filler))

    for data, name in [
        (types(100), "FullTypeDef"),
        (types(50, big + group(50)), "FullTypeDef"),
        (attrs(33), "AttrValue"),
    ]:
        agree(oracle, data, name)
    for data, name in [
        (types(101), "FullTypeDef"),
        (types(50, big + group(51)), "FullTypeDef"),
        (attrs(34), "AttrValue"),
    ]:
        refused(oracle, data, name, "DEPTH")


def refused(oracle: Oracle, data: bytes, name: str, kind: str) -> None:
    """By both; by ours with this kind of error."""
    source, message = from_bytes(data), _core.message_id(name)
    with pytest.raises(CoreError) as raised:
        _core.Canon().hash(source, message, [(0, source.size)])
    assert raised.value.kind == kind
    with pytest.raises(TensorFlowFailed, match="ValueError"):
        oracle.deterministic(data, f"tensorflow.{name}")


@pytest.mark.parametrize("filler", [b"", delimited(1000, b"x" * UNIT_MAX)])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("TRUNCATED", b"\x0a\x05name"),
        ("TRUNCATED", b"\x0a"),
        ("TRUNCATED", b"\x0a\x80"),
        ("TRUNCATED", delimited(7, b"\x12\x05")),
        ("VARINT", tag(99, 0) + b"\xff" * 11),
        ("TAG", b"\0\0"),
        ("WIRE", b"\x0e\0"),
        ("GROUP", tag(1, 4)),
        ("GROUP", tag(99, 3) + tag(98, 4)),
        ("GROUP", tag(99, 3)),
        ("INVALID", entry(5, "f", delimited(1, delimited(4, b"\0\0\0")))),
        ("TRUNCATED", entry(5, "i", delimited(1, delimited(3, b"\x80")))),
    ],
)
def test_refuses_what_protobuf_refuses(
    kind: str, data: bytes, filler: bytes, oracle: Oracle
) -> None:
    refused(oracle, filler + data, "NodeDef", kind)


def test_write_has_a_limit() -> None:
    source = from_bytes(delimited(1, b"n" * 99))
    canon, message = _core.Canon(), _core.message_id("NodeDef")
    assert canon.write(source, message, [(0, 101)], 101) == delimited(1, b"n" * 99)
    with pytest.raises(CoreError) as raised:
        canon.write(source, message, [(0, 101)], 100)
    assert raised.value.kind == "LIMIT"


def test_several_spans_are_one_message(oracle: Oracle) -> None:
    a, b = node("x", entry(5, "b", integer(3, 1))), node("y", entry(5, "a", integer(3, 1)))
    source = from_bytes(a + b"elsewhere" + b)
    spans = [(0, len(a)), (len(a) + 9, source.size)]
    value = _core.Canon().hash(source, _core.message_id("NodeDef"), spans)
    assert value == _core.fingerprint64(oracle.deterministic(a + b, "tensorflow.NodeDef"))


def test_unknown_message_has_no_id() -> None:
    with pytest.raises(KeyError):
        _core.message_id("NoSuchDef")


# -- models ------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name) / "saved_model.pb"
    if not path.exists():
        pytest.skip("a text model has no bytes to put in order")
    agree(oracle, path.read_bytes(), "SavedModel")


def test_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    path = corpus_model.path / "saved_model.pb"
    if not path.exists():
        pytest.skip("a text model has no bytes to put in order")
    agree(oracle, path.read_bytes(), "SavedModel")
