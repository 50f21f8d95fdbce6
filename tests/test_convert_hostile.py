"""What `fastsm convert` makes of damaged and hostile sources: an error in words, and no file.

The shipped checkpoint is damaged at random, each time in the same ways: by bytes, by fields of
its graph, by entries of its index.
"""
from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

import fastsm
from fastsm._core import slice_key
from fastsm.cli import main
from fastsm.edits.convert.origin import find_origin
from fastsm.errors import FormatError, MissingError

from .convertible import LINE, SAVER, graph_def, placeholder, put, ref, scalar, unary
from .edits import tree
from .graphs import FLOAT, node
from .tables import Maker, masked_crc, read_table
from .test_variables import entry, extents, header
from .wire import message_type

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "checkpoint"

#: Exit codes of errors in words.
SAID = {2, 3, 4, 5, 7}

#: What `verify` alone can find: it reads what the tensors hold.
ONLY_VERIFY = {"tensor-checksum", "tensor-strings", "tensor-value", "entry-overlap"}

NAMES = ["", "^", "nowhere", ":0", "x:-1", "x:9", "\x1b[31m", "../../up", "/etc/passwd", "a" * 300]
OPS = ["Const", "NoOp", "Identity", "RestoreV2", "VarHandleOp", "Enter", "Exit", "Merge", "None"]

Random = random.Random


# -- at random ------------------------------------------------------------------------------


def by_bytes(data: bytes, r: Random) -> bytes:
    out = bytearray(data)
    for _ in range(r.choice([1, 1, 3])):
        at = r.randrange(len(out))
        what = r.randrange(5)
        if what == 0:
            out[at] ^= 1 << r.randrange(8)
        elif what == 1:
            out[at] = r.choice([0, 0x7F, 0x80, 0xFF])
        elif what == 2 and at:
            del out[at:]
        elif what == 3:
            out[at:at] = out[at : at + r.choice([1, 8, 64])]
        else:
            out[at : at + 16] = bytes(16)
    return bytes(out)


def by_fields(data: bytes, r: Random) -> bytes:
    meta: Any = GetMessageClass(message_type("MetaGraphDef")).FromString(data)
    for _ in range(r.choice([1, 1, 2])):
        one = r.choice(meta.graph_def.node)
        other = r.choice([*NAMES, r.choice(meta.graph_def.node).name])
        what = r.randrange(10)
        if what == 0:
            one.name = other
        elif what == 1:
            one.op = r.choice(OPS)
        elif what == 2:
            one.input.append(other)
        elif what == 3:
            one.input[:] = [other]
        elif what == 4:
            one.attr["dtype"].type = r.choice([0, 7, 20, 999])
        elif what == 5:
            one.attr["shape"].shape.dim.add().size = r.choice([-7, 1 << 62])
        elif what == 6:
            one.attr["value"].tensor.string_val.append(b"/etc/passwd")
        elif what == 7:
            meta.saver_def.restore_op_name = other
        elif what == 8:
            key = r.choice(sorted(meta.collection_def))
            meta.collection_def[key].node_list.value.append(other)
        else:
            meta.graph_def.node.remove(one)
    return bytes(meta.SerializeToString(deterministic=True))


def by_entries(data: bytes, r: Random) -> bytes:
    blocks = read_table(data)
    block = r.choice(blocks)
    row = r.randrange(len(block))
    key, value = block[row]
    block[row] = r.choice([
        (key, by_bytes(value, r)), (key + b"x", value), (by_bytes(key + b"y", r), value),
    ])  # fmt: skip
    return Maker(blocks).write()


DAMAGES = [
    (".meta", by_bytes), (".meta", by_fields), (".index", by_bytes), (".index", by_entries),
    (".data-00000-of-00001", by_bytes),
]  # fmt: skip

OPTIONS = [["--guess"], ["--guess", "--strip"], ["--output", "tags=tags:0"], []]


@pytest.mark.parametrize(("end", "damage"), DAMAGES)
def test_damage_at_random(
    tmp_path: Path, end: str, damage: Callable[[bytes, Random], bytes],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(EXAMPLE, source)
    monkeypatch.chdir(tmp_path)
    (file,) = source.glob(f"*{end}")
    data = file.read_bytes()
    codes = set()
    for seed in range(60):
        file.write_bytes(damage(data, Random(seed)))
        before = tree(tmp_path)
        options = OPTIONS[seed % len(OPTIONS)]
        with pytest.raises(SystemExit) as exit:
            main(["convert", "source", "--out", "out", "--no-sync", *options])
        code = exit.value.code
        said = "".join(capsys.readouterr())
        assert code in SAID | {0}, (seed, said)
        assert said.replace("\n", "").isprintable(), (seed, said)
        codes.add(code)
        left = {name: b for name, b in tree(tmp_path).items() if not name.startswith("out/")}
        assert left == before, seed
        if code:
            assert sorted(p.name for p in tmp_path.iterdir()) == ["source"], (seed, code)
        else:
            found = {f.id for f in fastsm.verify(out).findings if f.severity == "error"}
            assert found <= ONLY_VERIFY, (seed, found)
            shutil.rmtree(out)
    assert codes & SAID, "none of it was damage"


# -- one by one -----------------------------------------------------------------------------


def refused(path: Path, message: str, **how: Any) -> None:
    out = path.parent / "out"
    with pytest.raises((FormatError, MissingError), match=message):
        fastsm.convert(path, out, outputs={"y": "y:0"}, sync=False, **how)
    assert not out.exists()


def test_a_field_that_is_broken_deep_inside(tmp_path: Path) -> None:
    """In an attribute that nobody asks for: no protobuf parses such a file."""
    nodes = [*LINE, node("z", "NoOp", note=b"\x12\x05abc")]  # five bytes of which three are there
    prefix = put(tmp_path, nodes, scalar("w"), fields=SAVER)
    refused(prefix, r"needs 5 bytes where 3 are left \(byte [\d,]+\)")
    data = (tmp_path / "model.ckpt.meta").read_bytes()
    with pytest.raises(FormatError) as info:
        find_origin(prefix)
    assert info.value.offset is not None
    assert data[info.value.offset :].startswith(b"\x12\x05abc")


@pytest.mark.parametrize("strip", [False, True])
def test_what_outputs_do_not_need_may_be_cut(tmp_path: Path, strip: bool) -> None:
    nodes = [*LINE, unary("z", "Identity", "nowhere")]
    prefix = put(tmp_path, nodes, scalar("w"), fields=SAVER)
    if not strip:
        refused(prefix, r'"nowhere".*node-input.*no loader takes such a graph[^$]*--strip')
        return
    result = fastsm.convert(prefix, tmp_path / "out", outputs={"y": "y:0"}, strip=True)
    assert not [f for f in fastsm.verify(result.path).findings if f.severity == "error"]


def test_what_outputs_need_must_be_there(tmp_path: Path) -> None:
    nodes = [*LINE[:3], unary("y", "Mul", "x", "nowhere"), *LINE[4:]]
    prefix = put(tmp_path, nodes, scalar("w"), fields=SAVER)
    for strip in (False, True):
        refused(prefix, '"nowhere"', strip=strip)


def test_an_entry_of_another_size(tmp_path: Path) -> None:
    prefix = put(tmp_path, LINE, scalar("w"), fields=SAVER)
    rows = [(b"", header()), (b"w", entry(FLOAT, (), 8, crc=masked_crc(bytes(8))))]
    (tmp_path / "model.ckpt.index").write_bytes(Maker([rows]).write())
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(bytes(8))
    refused(prefix, r"w has 8 bytes, and the shape \[\]")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (entry(FLOAT, (2,), 8), None),
        (entry(FLOAT, (2,), 12), r"the slice 0,2 of w has 12 bytes, and the shape \[2\]"),
        (entry(FLOAT, (3,), 12), "the slice 0,2 of w is of another dtype or shape"),
        (entry(3, (2,), 8), "the slice 0,2 of w is of another dtype or shape"),
        (None, "the slice 0,2 of w is not in the checkpoint"),
    ],
)
def test_slices_that_are_other_ones(
    tmp_path: Path, part: bytes | None, message: str | None
) -> None:
    line = [LINE[0], ref("w", 2), *LINE[2:]]
    prefix = put(tmp_path / "source", line, scalar("w"), fields=SAVER)
    whole = entry(FLOAT, (2,), 0, slices=[extents((0, 2))])
    rows = [(b"", header()), (b"w", whole)]
    rows += [(slice_key(b"w", ((0, 2),)), part)] if part is not None else []
    prefix.with_name("model.ckpt.index").write_bytes(Maker([sorted(rows)]).write())
    prefix.with_name("model.ckpt.data-00000-of-00001").write_bytes(bytes(12))
    if message is None:
        fastsm.convert(prefix, tmp_path / "out", outputs={"y": "y:0"}, sync=False)
    else:
        refused(prefix, message)


def test_a_shard_cut_short(tmp_path: Path) -> None:
    prefix = put(tmp_path, LINE, scalar("w"), fields=SAVER)
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(bytes(3))
    refused(prefix, "its bytes end at 4, and .* has 3")


def test_cycles_end(tmp_path: Path) -> None:
    nodes = [*LINE, unary("a", "Identity", "b"), unary("b", "Identity", "a")]
    nodes += [unary("c", "Identity", "c")]
    prefix = put(tmp_path, nodes, scalar("w"), fields=SAVER)
    result = fastsm.convert(prefix, dry_run=True)
    assert "y" in result.proposal.outputs


# -- large ----------------------------------------------------------------------------------


def test_more_nodes_than_fields_are_listed(tmp_path: Path) -> None:
    line = graph_def(unary("n", "Identity", "x")) * 270_000
    (tmp_path / "graph.pb").write_bytes(graph_def(placeholder("x")) + line)
    assert find_origin(tmp_path / "graph.pb").kind == "graph"


def test_thousands_of_inputs_and_of_names(tmp_path: Path) -> None:
    """Once through, not once for each: 2,000 would take minutes."""
    n = 2000
    names = [f"a{i}/x" for i in range(n)]
    total = node("sum", "AddN", *names, T=b"\x30\x01", N=b"\x18" + b"\xd0\x0f")
    graph = graph_def(*map(placeholder, names), total)
    (tmp_path / "graph.pb").write_bytes(graph)
    result = fastsm.convert(tmp_path / "graph.pb", dry_run=True)
    assert len(result.proposal.inputs) == n
    assert list(result.proposal.inputs)[:3] == ["x", "x_1", "x_2"]
    assert list(result.proposal.outputs.values()) == ["sum:0"]
