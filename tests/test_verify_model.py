"""verify across files: the model against its bundle, its assets, its own graph."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fastsm
from fastsm import _core
from fastsm.assets import leads_out
from fastsm.check.report import Finding
from fastsm.source import from_bytes

from .conftest import ModelFactory
from .damage import Bundle, changed, fields_of, shape
from .oracle import ROOT, Oracle
from .tables import masked_crc, read_varint
from .wire import delimited, entry, integer

Entries = dict[bytes, bytes]


def example(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / name / "1", tmp_path / "m"))


def findings(path: Path, *, quick: bool = False) -> dict[str, list[Finding]]:
    """By rule, notes and the fingerprint of a changed index aside."""
    out: dict[str, list[Finding]] = {}
    for f in fastsm.verify(path, quick=quick).findings:
        if f.severity != "note" and f.id != "fingerprint-stale":
            out.setdefault(f.id, []).append(f)
    return out


def rewrite(path: Path, change: Callable[[Entries], None]) -> None:
    """Change the entries of the model's index."""
    bundle = Bundle(path / "variables")
    entries = bundle.entries()
    change(entries)
    bundle.write(sorted(entries.items()))


# -- what is restored ------------------------------------------------------------------


def a_variable(entries: Entries) -> bytes:
    return next(k for k in entries if k.endswith(b"VARIABLE_VALUE"))


def test_a_key_that_is_restored_and_not_there(tmp_path: Path) -> None:
    path = example(tmp_path, "ranker")
    rewrite(path, lambda entries: entries.pop(a_variable(entries)) and None)
    found = findings(path)
    assert set(found) == {"restore-key", "object-key"}
    [missing] = found["restore-key"]
    assert missing.place == "meta_graphs[0].saver_def" and missing.file == "saved_model.pb"
    assert missing.key == found["object-key"][0].key
    assert "restored, and not in variables/variables.index" in missing.message
    assert set(findings(path, quick=True)) == set(found)


def test_a_key_that_a_tf1_graph_restores(tmp_path: Path) -> None:
    path = example(tmp_path, "tagger")
    lost = sorted(Bundle(path / "variables").entries())[1]
    rewrite(path, lambda entries: entries.pop(lost) and None)
    found = findings(path)
    assert set(found) == {"restore-key"}
    assert {f.key for f in found["restore-key"]} == {lost.decode()}
    assert all(f.place and f.place.endswith(".saver_def") for f in found["restore-key"])


def test_without_the_object_graph_it_is_restored_all_the_same(tmp_path: Path) -> None:
    path = example(tmp_path, "ranker")
    rewrite(path, lambda entries: entries.pop(b"_CHECKPOINTABLE_OBJECT_GRAPH") and None)
    [missing] = findings(path)["restore-key"]
    assert missing.key == "_CHECKPOINTABLE_OBJECT_GRAPH"


@pytest.mark.parametrize("name", ["ranker", "tagger"])
def test_another_dtype_of_the_same_width(name: str, tmp_path: Path) -> None:
    """float32 read as int32: every checksum is right."""
    path = example(tmp_path, name)
    keys: list[bytes] = []

    def change(entries: Entries) -> None:
        key = next(k for k, v in sorted(entries.items()) if k and v.startswith(integer(1, 1)))
        keys.append(key)
        entries[key] = changed(entries[key], dtype=3)

    rewrite(path, change)
    found = findings(path)
    assert set(found) == {"restore-dtype"}
    for f in found["restore-dtype"]:
        assert (f.key, f.expected, f.seen) == (keys[0].decode(), "float32", "int32")


@pytest.mark.parametrize("name", ["ranker", "tagger"])
def test_another_shape_of_as_many_elements(name: str, tmp_path: Path) -> None:
    path = example(tmp_path, name)
    keys: list[bytes] = []

    def change(entries: Entries) -> None:
        key = next(k for k, v in sorted(entries.items()) if k and v.startswith(integer(1, 1)))
        n_elements = dict(_integers(entries[key]))[5] // 4
        entries[key] = changed(entries[key], shape=shape(1, 1, n_elements))
        keys.append(key)

    rewrite(path, change)
    found = findings(path)
    assert set(found) == {"restore-shape"}
    assert {f.key for f in found["restore-shape"]} == {keys[0].decode()}


def _integers(value: bytes) -> list[tuple[int, int]]:
    """(number, value) of an entry's varints."""
    out = []
    for number, wire, field in fields_of(value):
        if wire == 0:
            _, at = read_varint(field, 0)
            out.append((number, read_varint(field, at)[0]))
    return out


@pytest.mark.tensorflow
def test_tensorflow_agrees_about_missing_keys(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("two_signatures")
    assert findings(path) == {} and oracle.load_v2(path).ok
    rewrite(path, lambda entries: entries.pop(a_variable(entries)) and None)
    assert "restore-key" in findings(path)
    assert not oracle.load_v2(path).ok
    assert not oracle.load_cc(path, {"serve"}).ok


@pytest.mark.tensorflow
def test_a_damaged_object_graph(model_copy: ModelFactory) -> None:
    """The checksum is made true, so that only its own structure can tell."""
    path = model_copy("two_signatures")
    bundle = Bundle(path / "variables")
    entries = bundle.entries()
    key = b"_CHECKPOINTABLE_OBJECT_GRAPH"
    where = dict(_integers(entries[key]))
    start, size = where[4], where[5]
    data = bundle.data
    stored = bytes(data[start : start + size])
    head = len(stored) - len(_core.string_elements(from_bytes(stored), 0, size, 1)[0])
    data[start + head] = 0xFF
    data[start + head + 1] = 0xFF
    bundle.data = bytes(data)
    lengths = (size - head).to_bytes(4, "little")
    crc = masked_crc(lengths + bytes(data[start + head - 4 : start + size]))
    entries[key] = changed(entries[key], crc=crc)
    bundle.write(sorted(entries.items()))
    assert set(findings(path)) == {"object-graph"}


# -- a model made by hand --------------------------------------------------------------


def node(name: str, op: str, *inputs: str) -> bytes:
    return delimited(
        1, delimited(1, name), delimited(2, op), *(delimited(3, i) for i in inputs)
    )


def asset(tensor: str, filename: str) -> bytes:
    return delimited(6, delimited(1, delimited(1, tensor)), delimited(2, filename))


def meta_graph(*fields: bytes, nodes: bytes = b"") -> bytes:
    return delimited(2, delimited(1, delimited(4, "serve")), delimited(2, nodes), *fields)


def hand_made(tmp_path: Path, *graphs: bytes) -> Path:
    path = tmp_path / "m"
    (path / "assets").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(integer(1, 1) + b"".join(graphs))
    return path


GRAPH = b"".join([
    node("x", "Placeholder"), node("y", "Identity", "x"), node("c", "Const"),
    node("h", "HashTableV2"), node("t", "InitializeTableFromTextFileV2", "h", "c"),
])  # fmt: skip


def test_a_signature_names_what_is_not_there(tmp_path: Path) -> None:
    signature = entry(
        5, "s", entry(1, "in", delimited(1, "x:0")), entry(2, "out", delimited(1, "gone:0"))
    )
    [found] = findings(hand_made(tmp_path, meta_graph(signature, nodes=GRAPH))).values()
    assert [f.id for f in found] == ["signature-tensor"]
    assert found[0].place == 'meta_graphs[0].signature_def["s"].outputs["out"]'
    assert found[0].message == '"gone:0": no such node in the graph'


def test_a_signature_names_an_output_that_is_not_there(tmp_path: Path) -> None:
    split = node("u", "Unique", "x")
    outputs = {"x:1": "Placeholder, has 1 output", "u:2": "Unique, has 2 outputs", "u:1": ""}
    for tensor, words in outputs.items():
        signature = entry(5, "s", entry(2, "out", delimited(1, tensor)))
        graph = meta_graph(signature, nodes=GRAPH + split)
        path = hand_made(tmp_path / tensor[0] / tensor[2], graph)
        found = findings(path).get("signature-tensor", [])
        assert [f.message for f in found] == ([f'"{tensor}": the node, {words}'] if words else [])


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ("x:0", ""), ("x", ""), ("x:00", ""), ("two:1", ""), ("call:0", ""), ("custom:0", ""),
        ("", "is no tensor's name"), ("^x", "is no tensor's name"),
        ("x:", "no such node in the graph"), ("x:-1", "no such node in the graph"),
        ("x:0:0", "no such node in the graph"),
        ("x:99999999999999999999", "the node, Placeholder, has 1 output"),
        ("two:2", "the node, Split, has 2 outputs"),
        ("call:1", "the node, PartitionedCall, has 1 output"),
        ("none:0", "the node, NoOp, has 0 outputs"),
    ],
)  # fmt: skip
def test_names_of_tensors(tensor: str, words: str, tmp_path: Path) -> None:
    """As ParseTensorName of TensorFlow takes them apart."""
    found = findings(hand_made(tmp_path, with_output(tensor))).get("signature-tensor", [])
    assert [f.message for f in found] == ([f'"{tensor}": {words}'] if words else [])


def with_output(tensor: str) -> bytes:
    """A meta graph with a signature of one output."""
    nodes = (
        node("x", "Placeholder"), node("none", "NoOp"), node("custom", "Custom"),
        attributed("two", "Split", entry(5, "num_split", integer(3, 2))),
        attributed("call", "PartitionedCall", entry(5, "Tout", delimited(1, integer(6, 1)))),
    )  # fmt: skip
    signature = entry(5, "s", entry(2, "out", delimited(1, tensor)))
    return meta_graph(signature, nodes=b"".join(nodes))


def attributed(name: str, op: str, attribute: bytes) -> bytes:
    return delimited(1, delimited(1, name), delimited(2, op), attribute)


def test_outputs_that_cannot_be_counted_are_not_checked(tmp_path: Path) -> None:
    report = fastsm.verify(hand_made(tmp_path, with_output("custom:5")))
    assert report.ok
    assert report.not_checked == [
        'meta_graphs[0].signature_def["s"].outputs["out"]: '
        'whether the op "Custom" has an output 5'
    ]


def test_objects_that_lead_nowhere(tmp_path: Path) -> None:
    def child(node_id: int) -> bytes:
        return delimited(1, integer(1, node_id), delimited(2, "c"))

    objects = delimited(
        7,
        delimited(1, child(1), child(3)),
        delimited(1, delimited(6, delimited(1, "f"), delimited(1, "g"))),
        delimited(1, delimited(5, integer(1, 7))),
        entry(2, "f", integer(2, 0), integer(2, 9)),
    )
    [found] = findings(hand_made(tmp_path, meta_graph(objects, nodes=GRAPH))).values()
    assert {f.id for f in found} == {"model-object"}
    graph = "meta_graphs[0].object_graph_def"
    function = f'{graph}.concrete_functions["f"]'
    assert {(f.place, f.message) for f in found} == {
        (f"{graph}.nodes[0]", "its child c is object 3, of 3"),
        (f"{graph}.nodes[1]", '"g": no such concrete function'),
        (f"{graph}.nodes[2]", "is asset 7, of 0"),
        (function, "takes object 9, of 3"),
        (function, "no such function in the graph's library"),
    }


def test_a_saver_that_restores_nothing(tmp_path: Path) -> None:
    saver = delimited(3, delimited(1, "c:0"))
    [found] = findings(hand_made(tmp_path, meta_graph(saver, nodes=GRAPH))).values()
    assert [(f.id, f.place) for f in found] == [
        ("op-missing", "meta_graphs[0].saver_def.restore_op"),
        ("op-missing", "meta_graphs[0].saver_def.save_tensor"),
    ]


def test_every_tensor_of_a_sparse_input(tmp_path: Path) -> None:
    sparse = delimited(4, delimited(1, "x:0"), delimited(2, "i:0"), delimited(3, "y:0"))
    signature = entry(5, "s", entry(1, "in", sparse))
    [found] = findings(hand_made(tmp_path, meta_graph(signature, nodes=GRAPH))).values()
    assert [f.key for f in found] == ["i:0"]


def test_the_saver_and_the_init_op(tmp_path: Path) -> None:
    saver = delimited(
        3, delimited(1, "save/Const:0"), delimited(2, "no_matter"), delimited(3, "save/restore_all")
    )
    init = entry(4, "legacy_init_op", delimited(1, delimited(1, "init")))
    found = findings(hand_made(tmp_path, meta_graph(saver, init, nodes=GRAPH)))
    assert set(found) == {"op-missing", "index-missing"}  # a saver, and nothing to restore from
    assert {f.key for f in found["op-missing"]} == {"save/Const:0", "save/restore_all", "init"}


OUTSIDE = ["../../../etc/passwd", "/etc/passwd", "a/../../x", "..", "x/../../assets2/y", "a\0b"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_asset_that_leads_out_is_never_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hand_made(tmp_path, meta_graph(asset("c:0", name), nodes=GRAPH))
    seen: list[str] = []
    for function in ("open", "stat", "lstat", "scandir"):
        true = getattr(os, function)

        def spy(target, *more, _true=true, **how):  # type: ignore[no-untyped-def]
            seen.append(os.path.abspath(os.fsdecode(target)) if isinstance(target, str) else "")
            return _true(target, *more, **how)

        monkeypatch.setattr(os, function, spy)
    found = findings(path)
    assert set(found) == {"asset-outside"}
    assert found["asset-outside"][0].message.endswith(" (not opened)")
    assert found["asset-outside"][0].place == "meta_graphs[0].asset_file_def[0].filename"
    # Looking where the folder itself leads is looking at its ancestors.
    around = str(tmp_path)
    assert [p for p in seen if not p.startswith(around) and not around.startswith(p)] == []


@pytest.mark.parametrize("name", ["a", "a/b", "./a", "a/../b", "..a", "a..", "a/..b/c"])
def test_names_that_stay_inside(name: str) -> None:
    assert not leads_out(name)


def test_assets(tmp_path: Path) -> None:
    path = hand_made(
        tmp_path,
        meta_graph(
            asset("c:0", "there.txt"), asset("c:0", "gone.txt"), asset("x:0", "sub/there.txt"),
            asset("y:0", "unread.txt"), nodes=GRAPH,
        ),
    )  # fmt: skip
    (path / "assets" / "sub").mkdir()
    for name in ("there.txt", "sub/there.txt", "nobody.txt"):
        (path / "assets" / name).write_text("words")
    found = findings(path)
    assert set(found) == {"asset-missing", "asset-tensor", "asset-unread"}
    assert [f.key for f in found["asset-missing"]] == ["gone.txt"]
    assert [f.key for f in found["asset-unread"]] == ["unread.txt"]
    assert found["asset-tensor"][0].key == "c:0"
    unused = [f for f in fastsm.verify(path).findings if f.id == "asset-unused"]
    assert [f.file for f in unused] == ["assets/nobody.txt"]


@pytest.mark.parametrize("target", ["nothing", "vocabulary.txt", "/nonexistent/file"])
def test_an_asset_that_is_a_link_to_nothing(target: str, tmp_path: Path) -> None:
    path = example(tmp_path, "tagger")
    file = path / "assets" / "vocabulary.txt"
    file.unlink()
    file.symlink_to(target)
    found = findings(path)
    assert [f.key for f in found.pop("asset-missing")] == ["vocabulary.txt"] * 2
    assert set(found) == ({"link-outside"} if target.startswith("/") else set())


def test_variables_that_are_not_there(tmp_path: Path) -> None:
    path = example(tmp_path, "tagger")
    shutil.rmtree(path / "variables")
    [found] = findings(path).values()
    assert {f.id for f in found} == {"index-missing"}
    assert "meta_graphs[0] restores" in found[0].message


# -- fingerprint.pb --------------------------------------------------------------------


def test_a_large_model_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastsm.fingerprint import hashes

    calls = []
    whole = hashes.checksum
    monkeypatch.setattr(hashes, "checksum", lambda source: calls.append(1) or whole(source))
    report = fastsm.verify(example(tmp_path, "ranker"))
    assert report.ok and report.checked["hashes"] == 5
    assert len(calls) == 1


def test_a_fingerprint_that_is_no_file(tmp_path: Path) -> None:
    path = example(tmp_path, "ranker")
    (path / "fingerprint.pb").unlink()
    for make in (Path.mkdir, os.mkfifo):
        make(path / "fingerprint.pb")
        [[found]] = findings(path).values()
        assert found.id == "fingerprint-damaged"
        assert found.message == "cannot be read: not a regular file"
        if make is Path.mkdir:
            (path / "fingerprint.pb").rmdir()


def test_each_hash_is_told_apart(tmp_path: Path) -> None:
    path = example(tmp_path, "ranker")
    file = path / "fingerprint.pb"
    stored = fastsm.open(path).fingerprint
    assert stored is not None
    rows = [(1, stored.saved_model_checksum), (2, 7), (3, stored.signature_def_hash), (4, 7),
            (5, 7)]  # fmt: skip
    file.write_bytes(b"".join(integer(n, v) for n, v in rows) + delimited(6, integer(1, 4)))
    found = [f for f in fastsm.verify(path).findings if f.severity == "warning"]
    assert {f.id for f in found} == {"fingerprint-stale"}
    assert [f.key for f in found] == sorted(
        ["checkpoint_hash", "graph_def_program_hash", "saved_object_graph_hash"]
    )
    assert {f.expected for f in found} == {"7"} and fastsm.verify(path).ok
    quick = fastsm.verify(path, quick=True)
    assert [f.key for f in quick.findings if f.severity == "warning"] == ["checkpoint_hash"]
    file.write_bytes(b"\xff" * 30)
    assert "fingerprint-damaged" in {f.id for f in fastsm.verify(path).findings}


# -- saved_model.pb --------------------------------------------------------------------


def test_names_are_safe_to_print(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    signature = entry(5, evil, entry(1, evil, delimited(1, evil)))
    path = hand_made(tmp_path, meta_graph(signature, asset(evil, evil), nodes=GRAPH))
    for f in fastsm.verify(path).findings:
        for text in (f.message, f.place, f.key, f.file):
            assert text is None or text.isprintable()


def test_damage_in_the_middle_of_the_graph(tmp_path: Path) -> None:
    """Any byte may change: a report comes of it, and the bundle is checked."""
    path = example(tmp_path, "ranker")
    file = path / "saved_model.pb"
    sound = file.read_bytes()
    for at in range(0, len(sound), 997):
        data = bytearray(sound)
        data[at] ^= 0x80
        file.write_bytes(data)
        report = fastsm.verify(path)
        assert report.checked["tensors"] == 7
        # The hash of the whole file sees what the structure does not.
        assert any(f.id in ("model-damaged", "fingerprint-stale") for f in report.findings)
