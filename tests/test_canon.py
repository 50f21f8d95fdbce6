"""The canonical streamer against what C++ protobuf itself serialises deterministically."""
from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsm import _core
from fastsm.errors import CoreError
from fastsm.source import PATCH, Source, from_bytes, pack_pieces

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, TensorFlowFailed
from .wire import (
    LEN,
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
