"""The five hashes against CreateFingerprintDef's, and what a fingerprint.pb becomes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm import _core
from fastsm.errors import FormatError, UnsupportedError
from fastsm.fingerprint import (
    CHECKPOINT,
    CHECKSUM,
    HASHES,
    OBJECTS,
    PROGRAM,
    SIGNATURES,
    Fingerprint,
)
from fastsm.fingerprint import hashes as computed
from fastsm.fingerprint.renew import renewed as renewed_file
from fastsm.fingerprint.renew import rewritten
from fastsm.plan import Deferred
from fastsm.source import File, Reader, Source, from_bytes

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, TensorFlowFailed
from .wire import delimited, entry, integer, tag


def hashes_of(path: Path) -> dict[str, int]:
    """All five, by name."""
    model = fastsm.open(path)
    first = model.meta_graphs[0]
    index = path / "variables" / "variables.index"
    return {
        HASHES[CHECKSUM]: computed.checksum(model.reader.source),
        HASHES[PROGRAM]: computed.program_hash(first),
        HASHES[SIGNATURES]: computed.signatures_hash(first),
        HASHES[OBJECTS]: computed.objects_hash(first),
        HASHES[CHECKPOINT]: computed.checkpoint_hash(
            File(str(index)).source() if index.exists() else None
        ),
    }


def expected(oracle: Oracle, path: Path) -> dict[str, int]:
    found = oracle.fingerprint(path)._asdict()
    del found["producer"]
    return found


# -- models ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("no_meta_graphs", "stray_cpb")])
def test_models(name: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name)
    if (path / "saved_model.pb").exists():
        assert hashes_of(path) == expected(oracle, path)


def test_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    path = corpus_model.path
    if not (path / "saved_model.pb").exists():
        pytest.skip("a text model has no fingerprint")
    try:
        theirs = expected(oracle, path)
    except TensorFlowFailed as e:
        assert "does not end in an integer" in str(e)
        with pytest.raises(UnsupportedError, match="does not end in a number"):
            hashes_of(path)
    else:
        assert hashes_of(path) == theirs


# -- graphs made by hand -----------------------------------------------------------


def written(folder: Path, *meta_graphs: bytes) -> Path:
    """A model of these meta graphs, in a folder of its own."""
    data = integer(1, 1) + b"".join(delimited(2, m) for m in meta_graphs)
    (folder / "saved_model.pb").write_bytes(data)
    return folder


def node(name: str, op: str, *attrs: bytes) -> bytes:
    return delimited(1, delimited(1, name), delimited(2, op), *attrs)


PARTITIONED = "PartitionedCall"


def call(name: str, op: str = PARTITIONED, *more: bytes) -> bytes:
    """A node that calls the function of this name."""
    f = entry(5, "f", delimited(10, delimited(1, name)))
    return node("call", op, entry(5, "config_proto", delimited(2, b"\1")), f, *more)


TEXT = entry(5, "dtype", integer(6, 7))
NUMBER = entry(5, "dtype", integer(6, 1))
VALUE = entry(5, "value", delimited(8, integer(1, 7), delimited(8, b"text")))

#: What each is there for -> the fields of a GraphDef.
GRAPHS = {
    "nothing": b"",
    "a call with a number": call("__inference_f_12"),
    "a stateful call": call("f_12", "StatefulPartitionedCall"),
    "another op with an attr f": call("f_12", "Case"),
    "no number": call("f_x") + call("f_") + call("f") + call("") + call("_"),
    "zeros before": call("f_007") + call("f_000"),
    "signs": call("f_+5") + call("f_-5") + call("f_--5") + call("f_+"),
    "blanks": call("f_ 5") + call("f_5 ") + call("f_5 5") + call("f_\t5\n"),
    "as wide as fits": call("f_9223372036854775807") + call("f_-9223372036854775808"),
    "too wide": call("f_9223372036854775808") + call("f_" + "9" * 60),
    "digits of others": call("f_٣") + call("f_1e3") + call("f_0x10") + call("f_1_2"),
    "two numbers": call("f_1_2"),
    "an f that is no function": node(
        "c", "PartitionedCall", entry(5, "f", integer(3, 1)), entry(5, "config_proto")
    ),
    "an f with attrs of its own": node(
        "c",
        "PartitionedCall",
        entry(5, "config_proto", delimited(2, b"x")),
        entry(5, "f", delimited(10, delimited(1, "f_1"), entry(2, "T", integer(6, 1)))),
    ),
    "an f twice": call("f_1", PARTITIONED, entry(5, "f", delimited(10, delimited(1, "g_2")))),
    "a config that is a number": call("f_1", PARTITIONED, entry(5, "config_proto", integer(3, 1))),
    "no config": node("c", PARTITIONED, entry(5, "f", delimited(10, delimited(1, "f_1")))),
    "a text constant": node("c", "Const", TEXT, VALUE),
    "a number constant": node("c", "Const", NUMBER, VALUE),
    "a type twice": node("c", "Const", NUMBER, TEXT, VALUE)
    + node("d", "Const", TEXT, NUMBER, VALUE),
    "text that is no constant": node("p", "Placeholder", TEXT, VALUE),
    "an op twice": delimited(1, delimited(2, "Const"), TEXT, VALUE, delimited(2, "Add"))
    + delimited(1, delimited(2, "Add"), TEXT, VALUE, delimited(2, "Const")),
    "an op behind the attrs": delimited(1, TEXT, VALUE, delimited(2, "Const")),
    "a library": node("n", "Add")
    + delimited(2, delimited(1, delimited(1, delimited(1, "f")), delimited(3, delimited(2, "Mul"))))
    + node("m", "Mul"),
    "versions, of old too": integer(3, 21) + delimited(4, integer(1, 1882)),
    "debug info": delimited(5, delimited(1, "file.py")) + node("n", "Add"),
    "unknown fields": delimited(9, b"?") + tag(99, 3) + tag(99, 4) + node("n", "Add"),
}


@pytest.mark.parametrize("what", GRAPHS)
def test_graph(what: str, oracle: Oracle, tmp_path: Path) -> None:
    path = written(tmp_path, delimited(2, GRAPHS[what]))
    assert hashes_of(path) == expected(oracle, path)


def test_graph_in_parts(oracle: Oracle, tmp_path: Path) -> None:
    """The graph_def twice, in each a library: one graph, merged."""
    part = call("f_1") + delimited(2, delimited(1)) + node("c", "Const", TEXT, VALUE)
    path = written(tmp_path, delimited(2, part) + delimited(3) + delimited(2, part))
    assert hashes_of(path) == expected(oracle, path)


def test_only_the_first_meta_graph_counts(oracle: Oracle, tmp_path: Path) -> None:
    first, second = delimited(2, call("f_1")), delimited(2, call("g_1"))
    path = written(tmp_path, first, second)
    ours = hashes_of(path)
    assert ours == expected(oracle, path)
    alone = hashes_of(written(tmp_path, first))
    assert {n for n in ours if ours[n] != alone[n]} == {HASHES[CHECKSUM]}


@pytest.mark.parametrize(
    ("missing", "graph"),
    [
        ("a call without attr f", node("c", PARTITIONED, entry(5, "config_proto"))),
        ("a constant without attr value", node("c", "Const", TEXT)),
        ("a constant without attr dtype", node("c", "Const", VALUE)),
    ],
)
def test_an_attr_without_which_tensorflow_dies(
    missing: str, graph: bytes, oracle: Oracle, tmp_path: Path
) -> None:
    path = written(tmp_path, delimited(2, graph))
    with pytest.raises(TensorFlowFailed, match="SIG"):
        oracle.fingerprint(path)
    with pytest.raises(UnsupportedError, match=missing):
        hashes_of(path)


def signature(name: str) -> bytes:
    return entry(1, "x", delimited(1, f"{name}:0"), integer(2, 1)) + delimited(3, "predict")


def test_signatures_in_the_order_of_their_bytes(oracle: Oracle, tmp_path: Path) -> None:
    keys = ["é", "z", "", "a", "aa", "\U0001f600", "\uffff", "__saved_model_init_op"]
    graph = b"".join(entry(5, k, signature(k)) for k in [*keys, "a"])
    path = written(tmp_path, graph)
    assert hashes_of(path) == expected(oracle, path)


def concrete(*names: str) -> bytes:
    """An object graph with functions of these names; their bound inputs tell them apart."""
    return delimited(7, *[entry(2, n, integer(2, i)) for i, n in enumerate(names)])


@pytest.mark.parametrize(
    "names",
    [
        ["f_2", "g_1", "h_10"],
        ["f_-3", "g_2", "h_+1"],
        ["f_007", "g_6"],
        ["_1", "5"],
        [],
    ],
)
def test_functions_in_the_order_of_their_numbers(
    names: list[str], oracle: Oracle, tmp_path: Path
) -> None:
    path = written(tmp_path, concrete(*names))
    assert hashes_of(path) == expected(oracle, path)


@pytest.mark.parametrize("name", ["f", "f_", "f_x", "", "f_9223372036854775808"])
def test_a_function_without_a_number(name: str, oracle: Oracle, tmp_path: Path) -> None:
    path = written(tmp_path, concrete("g_1", name))
    with pytest.raises(TensorFlowFailed, match="does not end in an integer"):
        oracle.fingerprint(path)
    with pytest.raises(UnsupportedError, match="does not end in a number"):
        hashes_of(path)


@given(st.text("_0123456789+- abc", max_size=24))
def test_a_name_loses_only_its_number(name: str) -> None:
    encoded = name.encode()
    plain = computed.without_uid(encoded)
    assert encoded.startswith(plain)
    if computed.uid(encoded) is None:
        assert plain == encoded
    else:
        assert plain == encoded or encoded.removeprefix(plain).lstrip(b"-").isdigit()


def test_checkpoint_hash_is_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3000  # more than one window
    file = tmp_path / "variables.index"
    file.write_bytes(data)
    assert computed.checkpoint_hash(File(str(file)).source()) == _core.fingerprint64(data)
    assert computed.checkpoint_hash(None) == 0


# -- what a fingerprint.pb says ----------------------------------------------------


def reader(data: bytes) -> Reader:
    return Reader(from_bytes(data), "fingerprint.pb")


FULL = (
    b"".join(integer(n, 100 + n) for n in HASHES)
    + delimited(6, integer(1, 4))
    + delimited(7, "12345678901234567890")
)


def test_reads_every_field() -> None:
    f = Fingerprint(reader(FULL))
    assert [f.hash(n) for n in HASHES] == [101, 102, 103, 104, 105]
    assert (f.producer, f.uuid, f.covers_graph_only) == (4, "12345678901234567890", False)
    assert f.to_dict() == {
        **{name: str(100 + n) for n, name in HASHES.items()},
        "producer": 4,
        "uuid": "12345678901234567890",
    }


def test_reads_what_old_writers_left_out() -> None:
    f = Fingerprint(reader(integer(1, 7) + integer(1, (1 << 64) - 1)))
    assert (f.saved_model_checksum, f.checkpoint_hash) == ((1 << 64) - 1, 0)
    assert (f.producer, f.uuid, f.covers_graph_only) == (None, None, True)


def test_a_version_in_two_parts() -> None:
    f = Fingerprint(reader(delimited(6, integer(1, 1)) + delimited(6, integer(2, 9))))
    assert f.producer == 1


def test_damage_says_where() -> None:
    with pytest.raises(FormatError, match=r"needs 8 bytes where 1 are left \(byte 10\)"):
        Fingerprint(reader(FULL[:10] + b"\x3a\x08x"))


# -- true or not -------------------------------------------------------------------


def checks(path: Path) -> dict[str, computed.Check]:
    return {c.name: c for c in fastsm.open(path).check_fingerprint()}


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    root = Path(__file__).resolve().parent.parent
    return Path(shutil.copytree(root / "examples" / "ranker" / "1", tmp_path / "model"))


def test_true_of_a_sound_model(ranker: Path) -> None:
    assert {(c.ok, c.note) for c in checks(ranker).values()} == {(True, None)}


def test_each_hash_that_is_not_true_is_told(ranker: Path) -> None:
    stored = ranker / "fingerprint.pb"
    before = stored.read_bytes()
    for number, name in HASHES.items():
        stored.write_bytes(before + integer(number, 1))
        found = checks(ranker)
        assert {n for n, c in found.items() if not c.ok} == {name}
        assert (found[name].stored, found[name].note) == (1, None)
        assert found[name].computed != 1


def with_fingerprint(path: Path, **values: int) -> Path:
    numbers = {name: n for n, name in HASHES.items()}
    data = b"".join(integer(numbers[name], value) for name, value in values.items())
    (path / "fingerprint.pb").write_bytes(data + delimited(6, integer(1, 1)))
    return path


def test_variant_of_the_bytes_in_their_own_order(tmp_path: Path) -> None:
    graph = node("n", "Add", entry(5, "b", integer(3, 1)), entry(5, "a", integer(3, 1)))
    path = written(tmp_path, delimited(2, graph))
    source = File(str(path / "saved_model.pb")).source()
    plain = _core.fingerprint_source(source)
    assert plain != computed.checksum(source)
    check = checks(with_fingerprint(path, saved_model_checksum=plain))["saved_model_checksum"]
    assert (check.ok, check.note) == (True, "of the bytes in the file's own order")


def test_variant_of_the_graph_alone(tmp_path: Path) -> None:
    path = written(tmp_path, delimited(2, node("n", "Add")))
    value = computed.graph_checksum(fastsm.open(path).meta_graphs[0])
    assert value == _core.fingerprint64(node("n", "Add"))
    (path / "fingerprint.pb").write_bytes(integer(CHECKSUM, value))
    check = checks(path)["saved_model_checksum"]
    assert check.ok and check.note == "of the graph alone, as TensorFlow 2.11 wrote it"


def test_variant_without_the_keys(tmp_path: Path) -> None:
    path = written(tmp_path, entry(5, "a", signature("a")) + entry(5, "b", signature("b")))
    value = 0
    for key in "ab":
        value = _core.fingerprint_cat(value, _core.fingerprint64(signature(key)))
    check = checks(with_fingerprint(path, signature_def_hash=value))["signature_def_hash"]
    assert check.ok and check.note == "without the keys, as before TensorFlow 2.14"


def test_what_cannot_be_computed_is_neither_true_nor_false(tmp_path: Path) -> None:
    path = with_fingerprint(written(tmp_path, concrete("f")), saved_object_graph_hash=5)
    check = checks(path)["saved_object_graph_hash"]
    assert (check.ok, check.computed) == (None, None)
    assert check.note == "function name 'f' does not end in a number"
    assert check.to_dict() == {
        "name": "saved_object_graph_hash", "stored": "5", "computed": None, "ok": None,
        "note": check.note,
    }  # fmt: skip


def test_without_a_meta_graph_nothing_can_be_told(tmp_path: Path) -> None:
    found = checks(with_fingerprint(written(tmp_path), saved_model_checksum=5))
    assert {c.ok for c in found.values()} == {None}


# -- after an edit -----------------------------------------------------------------


def test_nothing_new_is_the_same_bytes() -> None:
    same = {n: 100 + n for n in HASHES}
    assert rewritten(reader(FULL), same) == FULL
    assert rewritten(reader(FULL), {}) == FULL


def test_a_new_hash_draws_a_new_uuid_and_leaves_the_rest() -> None:
    odd = delimited(99, "unknown") + FULL + integer(98, 1)
    f = Fingerprint(reader(rewritten(reader(odd), {CHECKSUM: 7})))
    assert [f.hash(n) for n in HASHES] == [7, 102, 103, 104, 105]
    assert f.producer == 4
    assert f.uuid is not None and f.uuid != "12345678901234567890" and f.uuid.isdigit()
    again = rewritten(reader(odd), {CHECKSUM: 7})
    assert again == rewritten(reader(odd), {CHECKSUM: 7})
    assert again.startswith(delimited(99, "unknown") + integer(1, 7) + FULL[2:10])
    assert again.endswith(integer(98, 1))


def test_without_a_uuid_none_is_made() -> None:
    data = integer(1, 5) + delimited(6, integer(1, 1))
    assert rewritten(reader(data), {CHECKSUM: 6}) == integer(1, 6) + delimited(6, integer(1, 1))


def test_a_hash_of_zero_is_left_out_and_comes_back_in_its_place() -> None:
    data = rewritten(reader(FULL), {SIGNATURES: 0})
    assert Fingerprint(reader(data)).hash(SIGNATURES) == 0
    assert integer(3, 103) not in data
    back = Fingerprint(reader(rewritten(reader(data), {SIGNATURES: 103})))
    assert [back.hash(n) for n in HASHES] == [101, 102, 103, 104, 105]


def test_a_hash_that_stood_twice_stands_once() -> None:
    data = rewritten(reader(integer(1, 5) + integer(2, 6) + integer(1, 7)), {CHECKSUM: 8})
    assert data == integer(1, 8) + integer(2, 6)


def renewed(path: Path, content: bytes) -> Deferred | None:
    file = path / "fingerprint.pb"
    file.write_bytes(content)
    return renewed_file(File(str(file)), source=source_of(b"\x08\x02"))


def source_of(data: bytes) -> Source:
    return from_bytes(data)


def test_a_renewed_checksum_is_of_the_new_bytes(tmp_path: Path) -> None:
    deferred = renewed(tmp_path, FULL)
    assert deferred is not None
    data, warning = deferred.compute(None)
    assert data is not None and warning is None
    f = Fingerprint(reader(data))
    assert f.saved_model_checksum == _core.fingerprint64(b"\x08\x02")
    assert [f.hash(n) for n in HASHES][1:] == [102, 103, 104, 105]


def test_tensorflow_2_11s_does_not_see_an_edit_beside_the_graph(tmp_path: Path) -> None:
    assert renewed(tmp_path, integer(1, 5)) is None


def test_a_damaged_fingerprint_is_removed_with_a_word(tmp_path: Path) -> None:
    deferred = renewed(tmp_path, b"\x0a\x7f")
    assert deferred is not None
    data, warning = deferred.compute(None)
    assert data is None
    assert warning is not None and "was damaged" in warning and "is removed" in warning


def test_a_checksum_that_cannot_be_computed_removes_it(tmp_path: Path) -> None:
    file = tmp_path / "fingerprint.pb"
    file.write_bytes(FULL)
    deferred = renewed_file(File(str(file)), source=source_of(b"\x12\x7f"))
    assert deferred is not None
    data, warning = deferred.compute(None)
    assert data is None
    assert warning is not None and "cannot be made true" in warning
