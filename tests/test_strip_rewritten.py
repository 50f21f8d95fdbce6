"""A model in other bytes of the same meaning is stripped to the same: fields come in another
order, messages in two parts, keys of maps twice, nodes and functions after those that take them.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

import fastsm

from .conftest import ModelFactory
from .damage import fields_of
from .tables import read_varint
from .test_retag import contents
from .wire import delimited, message_type, tag, varint

SAVED_MODEL = message_type("SavedModel")

MODELS = (
    "two_signatures", "train_signature", "vocabulary", "trained_flow", "keras_saved",
    "tf_keras_slots", "custom_gradient", "old_restore", "two_meta_graphs_v2", "v1_trained",
    "v1_trained_ref", "no_saver", "partitioned", "train_and_serve_resource",
)  # fmt: skip

LEVELS = ("serving", "callables")


class Rewriter:
    """Writes a message in other bytes.

    Args:
        random: Where all choices come from.
        often: How often, of 1.
    """

    def __init__(self, random: Random, often: float) -> None:
        self._random = random
        self._often = often

    def message(self, data: bytes, kind: Descriptor) -> bytes:
        """The payload of a message in other bytes."""
        found = fields_of(data)
        is_entry = kind.GetOptions().map_entry
        out: list[tuple[int, bytes]] = []
        for number, _, raw in found:
            field = kind.fields_by_number.get(number)
            inside = field.message_type if field else None
            if inside is None:
                out.append((number, raw))
                continue
            if inside.GetOptions().map_entry and self._does():
                others = [other for n, _, other in found if n == number]
                out.append((number, self._earlier(raw, self._random.choice(others))))
            payload = self.message(payload_of(raw), inside)
            parts = [payload] if field.is_repeated or is_entry else self._in_parts(payload)
            out += [(number, self._field(number, part)) for part in parts]
        if is_entry:
            return b"".join(raw for _, raw in out)
        if self._does():
            self._shuffle(out)
        if self._does():
            out.append((9999, delimited(9999, b"of a later version")))
        return b"".join(raw for _, raw in out)

    def _does(self) -> bool:
        return self._random.random() < self._often

    def _field(self, number: int, payload: bytes) -> bytes:
        n = len(payload)
        width = len(varint(n)) + self._random.randint(0, 1) if self._does() else 0
        return tag(number, 2) + varint(n, width) + payload

    def _in_parts(self, payload: bytes) -> list[bytes]:
        if not self._does():
            return [payload]
        fields = [raw for _, _, raw in fields_of(payload)]
        at = self._random.randint(0, len(fields))
        return [b"".join(fields[:at]), b"".join(fields[at:])]

    def _earlier(self, raw: bytes, other: bytes) -> bytes:
        """An entry of a map with the key of one and the value of another, which is not to count."""
        key = [f for n, _, f in fields_of(payload_of(raw)) if n == 1]
        value = [f for n, _, f in fields_of(payload_of(other)) if n != 1]
        return tag(read_varint(raw, 0)[0] >> 3, 2) + _with_length(b"".join([*key, *value]))

    def _shuffle(self, fields: list[tuple[int, bytes]]) -> None:
        """Fields in another order; those of one number keep theirs."""
        order = [number for number, _ in fields]
        self._random.shuffle(order)
        queues: dict[int, list[bytes]] = {}
        for number, raw in fields:
            queues.setdefault(number, []).append(raw)
        fields[:] = [(number, queues[number].pop(0)) for number in order]


def _with_length(payload: bytes) -> bytes:
    return varint(len(payload)) + payload


def payload_of(raw: bytes) -> bytes:
    """What a length-delimited field holds."""
    _, at = read_varint(raw, 0)
    n, at = read_varint(raw, at)
    return raw[at : at + n]


def parsed(data: bytes) -> Any:
    """A SavedModel with what protobuf knows of it."""
    message: Any = GetMessageClass(SAVED_MODEL).FromString(data)
    message.DiscardUnknownFields()
    for graph in message.meta_graphs:
        if not graph.graph_def.library.ByteSize():
            graph.graph_def.ClearField("library")
    return message


def sort(messages: Any, key: Any) -> None:
    """Sorts a repeated field."""
    copies = sorted((type(m).FromString(m.SerializeToString()) for m in messages), key=key)
    del messages[:]
    messages.extend(copies)


def each_list(saved: Any) -> list[Any]:
    """The lists whose order means nothing: nodes, functions, and nodes of these."""
    found = []
    for graph in saved.meta_graphs:
        library = graph.graph_def.library
        found += [graph.graph_def.node, *(f.node_def for f in library.function), library.function]
    return found


def name_of(message: Any) -> str:
    """The name of a NodeDef or FunctionDef."""
    return str(message.signature.name if hasattr(message, "signature") else message.name)


def in_order(saved: Any) -> Any:
    """A model whose nodes and functions are sorted."""
    for messages in each_list(saved):
        sort(messages, name_of)
    return saved


def check_same(path: Path, data: bytes, scratch: Path, level: str) -> None:
    """That the model is stripped to the same from these bytes as from its own."""
    file = path / "saved_model.pb"
    own = file.read_bytes()
    assert in_order(parsed(data)) == in_order(parsed(own)), "it is another model"
    fastsm.strip_training_graph(path, level=level, out=scratch / "own", sync=False)
    file.write_bytes(data)
    fastsm.strip_training_graph(path, level=level, out=scratch / "other", sync=False)
    wanted, got = contents(scratch / "own"), contents(scratch / "other")
    for found in (wanted, got):
        found.pop("fingerprint.pb", None)
    one, other = wanted.pop("saved_model.pb"), got.pop("saved_model.pb")
    assert got == wanted
    assert in_order(parsed(other)) == in_order(parsed(one))
    again = scratch / "again"
    fastsm.strip_training_graph(scratch / "other", level=level, out=again, sync=False)
    assert contents(again) == contents(scratch / "other")


@pytest.mark.parametrize("often", [0.02, 0.3])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MODELS)
def test_other_bytes(
    name: str, level: str, often: float, model_copy: ModelFactory, tmp_path: Path
) -> None:
    path = model_copy(name)
    rewriter = Rewriter(Random(f"{name} {level}"), often)
    data = (path / "saved_model.pb").read_bytes()
    check_same(path, rewriter.message(data, SAVED_MODEL), tmp_path, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MODELS)
def test_another_order(name: str, level: str, model_copy: ModelFactory, tmp_path: Path) -> None:
    path = model_copy(name)
    random = Random(f"{name} {level}")
    saved = parsed((path / "saved_model.pb").read_bytes())
    for messages in each_list(saved):
        sort(messages, lambda _: random.random())
    check_same(path, saved.SerializeToString(deterministic=True), tmp_path, level)
