"""Whole messages, as protobuf parses them."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsm import _core
from fastsm.errors import CoreError, FormatError
from fastsm.source import Reader, from_bytes

from .wire import Untidy, delimited, entry, integer, message_type, nested

TYPES = [
    "StructuredValue", "SavedObjectGraph", "SignatureDef", "SavedObject", "TypeSpecProto",
    "TensorInfo", "NodeDef", "AttrValue", "FunctionDef", "CollectionDef", "GraphDebugInfo",
    "MetaGraphDef",
]  # fmt: skip


def parse(data: bytes, name: str, **how: Any) -> dict[int, Any]:
    return _core.parse(from_bytes(data), name, [(0, len(data))], **how)


def canonical(data: bytes, name: str) -> bytes:
    """As C++ would write it (test_canon proves that). It forgets what a map's entry holds of
    unknown fields; protobuf's Python instead takes the whole entry for unknown."""
    whole = [(0, len(data))]
    canon, kind = _core.Canon(), _core.message_id(name)
    return canon.write(from_bytes(data), kind, whole, 4 * len(data) + 64)


def fill(message: Any, values: dict[int, Any], data: bytes) -> Any:
    """A message of protobuf's with what was parsed."""
    for number, value in values.items():
        field = message.DESCRIPTOR.fields_by_number[number]
        inner = getattr(message, field.name)
        if isinstance(value, dict) and field.is_repeated:
            of_value = field.message_type.fields_by_name["value"]
            for key, v in value.items():
                if of_value.message_type:
                    put(inner[key], v, data)
                else:
                    inner[key] = scalar(of_value, v, data)
        elif field.is_repeated:
            for v in value:
                if field.message_type:
                    put(inner.add(), v, data)
                else:
                    inner.append(scalar(field, v, data))
        elif field.message_type:
            inner.SetInParent()
            put(inner, value, data)
        else:
            setattr(message, field.name, scalar(field, value, data))
    return message


def put(message: Any, value: Any, data: bytes) -> None:
    if isinstance(value, dict):
        fill(message, value, data)
    else:
        whole = b"".join(data[start:end] for start, end in value)
        name = message.DESCRIPTOR.full_name.removeprefix("tensorflow.")
        message.MergeFromString(canonical(whole, name))


def scalar(field: F, value: Any, data: bytes) -> Any:
    if field.type == F.TYPE_BYTES:
        return data[slice(*value)]
    if field.type in (F.TYPE_FLOAT, F.TYPE_DOUBLE):
        letter, n = ("f", 4) if field.type == F.TYPE_FLOAT else ("d", 8)
        return struct.unpack(f"<{letter}", value.to_bytes(n, "little"))[0]
    if field.type == F.TYPE_SINT64:
        value &= (1 << 64) - 1
        return (value >> 1) ^ -(value & 1)
    return value & (1 << 64) - 1 if field.type == F.TYPE_UINT64 else value


@pytest.mark.parametrize("name", TYPES)
def test_untidy_messages(name: str) -> None:
    kind = message_type(name)

    @settings(max_examples=60, derandomize=True, deadline=None)
    @given(
        seed=st.integers(0, 1 << 32),
        fields=st.integers(1, 300),
        located=st.sampled_from(["TensorProto", "StructuredValue", "NodeDef", "AttrValue"]),
    )
    def check(seed: int, fields: int, located: str) -> None:
        data = Untidy(Random(seed), fields).message(kind)
        message = message_factory.GetMessageClass(kind)
        ours = fill(message(), parse(data, name, located=located), data)
        theirs = message.FromString(canonical(data, name))
        for whole in (ours, theirs):
            whole.DiscardUnknownFields()
        assert ours == theirs

    check()


def test_one_field_alone() -> None:
    data = delimited(2, integer(3, 1)) + delimited(1, "name") + integer(3, 9)
    assert parse(data, "TensorSpecProto", only=1) == {1: "name"}
    assert parse(data, "TensorSpecProto", only=2) == {2: {3: True}}
    assert parse(data, "TensorSpecProto", only=4) == {}


def test_what_is_located_is_not_read() -> None:
    tensor, broken = delimited(55, b"\xff\xff"), delimited(53, b"\xff\xff")
    assert parse(tensor + tensor, "StructuredValue") == {55: [(3, 5), (8, 10)]}
    with pytest.raises(CoreError):
        parse(broken, "StructuredValue")
    assert parse(broken, "StructuredValue", located="DictValue") == {53: [(3, 5)]}


def test_an_entry_without_key_or_value_has_the_defaults() -> None:
    assert parse(delimited(1), "DictValue") == {1: {"": {}}}
    assert parse(delimited(1), "DictValue", located="StructuredValue") == {1: {"": []}}
    assert parse(delimited(8), "FunctionDef") == {8: {0: 0}}


def test_an_error_names_the_field_and_the_byte() -> None:
    def error(data: bytes, name: str) -> tuple[str | None, int | None]:
        reader = Reader(from_bytes(data), "m/saved_model.pb")
        with pytest.raises(FormatError) as e:
            reader.parse(name, [(0, len(data))], "here")
        return e.value.place, e.value.offset

    good, bad = delimited(1, delimited(2, "x")), delimited(1, delimited(2, b"ab\xff"))
    assert error(good + bad, "SavedObject") == ("here.children[1].local_name", 11)
    assert error(entry(1, "k", bad), "SignatureDef")[0] == 'here.inputs["k"].name'
    assert error(delimited(7, b"\x0f"), "SavedObject") == ("here.variable", 2)
    assert error(b"\x0a\x05", "SavedObject") == ("here", 0)
    deep = nested(101, lambda inside: delimited(51, delimited(1, inside)))
    place, _ = error(deep, "StructuredValue")
    assert place is not None and place.count("values[0]") == 50


def test_more_than_a_file_should_make_objects_of() -> None:
    data = delimited(1) * ((1 << 18) + 1)
    with pytest.raises(CoreError) as e:
        parse(data, "ListValue")
    assert e.value.kind == "LIMIT"
