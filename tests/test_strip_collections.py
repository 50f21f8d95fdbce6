"""The collections of a stripped meta graph: all that they name is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.edits.strip.collections import filter_collections
from fastsm.plan import Rewrite
from fastsm.source import Reader
from fastsm.views import meta_graphs

from .graphs import bytes_list, init_op, meta_graph, node, node_list, saver, variable
from .test_reach import Settled, noop, var
from .test_views import any_of, asset_collection
from .wire import delimited, entry, integer


def filtered(settled: Settled, *assets: str) -> tuple[list[str], bytes]:
    """The collections that went, and those that are left, as the file has them."""
    rewrite = Rewrite(settled.graph.reader.source)
    gone = filter_collections(
        rewrite, settled.graph, settled.edges, settled.reach, settled.listed, assets.__contains__
    )
    source = rewrite.source()
    [graph] = meta_graphs(Reader(source, ""))
    left = [f for f in graph.fields if f.number == 4]
    return gone, b"".join(source.read(f.start, f.end - f.start) for f in left)


def after(tmp_path: Path, fields: bytes, *assets: str) -> tuple[list[str], bytes]:
    """`filtered`, of a graph in which a variable w is live, and another, m, is not."""
    nodes = [
        *var("w"), *var("m"), node("f", "Const"), noop("init", "w/Assign"),
        node("w/restore", "AssignVariableOp", "w", "r"), node("r", "RestoreV2", "f", "f", "f"),
        node("m/restore", "AssignVariableOp", "m", "r:1"),
        noop("restore", "w/restore", "m/restore"),
    ]  # fmt: skip
    more = fields + saver("restore", "f:0")
    return filtered(Settled(meta_graph(tmp_path, *nodes, fields=more), "w/Read", "f"), *assets)


W = variable("w:0", "w/Assign", "w/Read:0", initial="w/value:0", resource=True)
M = variable("m:0", "m/Assign", "m/Read:0", initial="m/value:0", resource=True)
#: What becomes of w: what restores it is what initializes it.
RESTORED = variable("w:0", "w/restore", "w/Read:0", resource=True)


def test_variables(tmp_path: Path) -> None:
    lists = [bytes_list(name, M, W, M) for name in ("variables", "trainable_variables")]
    want = [bytes_list(name, RESTORED) for name in ("variables", "trainable_variables")]
    assert after(tmp_path, b"".join(lists)) == ([], b"".join(want))
    assert after(tmp_path, b"".join(want)) == ([], b"".join(want))


def test_what_a_variable_says_else_stays(tmp_path: Path) -> None:
    odd = delimited(6, "w/value:0") + W + delimited(77, "unknown") + delimited(2, "w/Assign")
    want = RESTORED.replace(delimited(2, "w/restore"), delimited(2, "w/Assign"))
    want += delimited(77, "unknown") + delimited(2, "w/restore")
    assert after(tmp_path, bytes_list("variables", odd)) == ([], bytes_list("variables", want))


def test_a_variable_without_a_snapshot_in_its_entry(tmp_path: Path) -> None:
    """Python then looks for a name that it makes up."""
    entry = variable("w:0", "w/Assign", resource=True)
    assert after(tmp_path, bytes_list("variables", entry)) == (["variables"], b"")
    nodes = [*var("w"), node("w/Read/ReadVariableOp", "ReadVariableOp", "w")]
    graph = meta_graph(tmp_path, *nodes, fields=bytes_list("variables", entry))
    settled = Settled(graph, "w/Read")
    assert filtered(settled) == ([], bytes_list("variables", entry))
    assert "w/Read/ReadVariableOp" in settled.live


def test_a_variable_that_nothing_restores_keeps_its_initializer(tmp_path: Path) -> None:
    fields = init_op("init") + bytes_list("local_variables", W, M)
    graph = meta_graph(tmp_path, *var("w"), *var("m"), noop("init", "m/Assign"), fields=fields)
    settled = Settled(graph, "w/Read")
    want = init_op("init") + bytes_list("local_variables", W)
    assert filtered(settled) == ([], want)
    assert {"w/Assign", "w/value"} <= settled.live and "m" not in settled.live


def test_lists_of_nodes(tmp_path: Path) -> None:
    fields = node_list("mine", "w:0", "m:0", "w", "gone", "^w") + node_list("other", "m/Read:0")
    want = node_list("mine", "w:0", "w", "^w")
    assert after(tmp_path, fields) == (["other"], want)


def test_what_names_nothing_stays(tmp_path: Path) -> None:
    fields = (
        bytes_list("unknown", b"m:0", b"\xff") + entry(4, "numbers", delimited(3, integer(1, 7)))
        + entry(4, "floats", delimited(4, b"\x0d\0\0\0\0")) + entry(4, "nothing")
        + node_list("unbound_inputs", "m")
    )  # fmt: skip
    assert after(tmp_path, fields) == ([], fields)


@pytest.mark.parametrize(
    "name", ["train_op", "saved_model_train_op", "summaries", "losses", "update_ops", "savers",
             "while_context", "cond_context", "queue_runners"],
)  # fmt: skip
def test_what_only_training_uses_goes(name: str, tmp_path: Path) -> None:
    """Be it live, and be it no message that it should be."""
    for fields in (node_list(name, "w"), bytes_list(name, b"\x0a\x7f"), entry(4, name)):
        assert after(tmp_path, fields + node_list("mine", "w")) == ([name], node_list("mine", "w"))


def test_init_collections(tmp_path: Path) -> None:
    """The entry that loaders run stays with its op; one that they do not look at goes."""
    legacy = node_list("legacy_init_op", "other")
    nodes = [*var("w"), *var("m"), noop("init", "w/Assign"), noop("other", "w/Assign")]
    graph = meta_graph(tmp_path, *nodes, fields=init_op("init") + legacy)
    assert filtered(Settled(graph, "w/Read")) == (["legacy_init_op"], init_op("init"))
    graph = meta_graph(tmp_path, *nodes, fields=init_op("m/Assign"))
    assert filtered(Settled(graph, "w/Read")) == (["saved_model_main_op"], b"")


def test_of_a_name_that_is_there_twice_none_comes_back(tmp_path: Path) -> None:
    first, second = node_list("mine", "w"), node_list("mine", "m")
    assert after(tmp_path, first + second) == (["mine"], b"")
    assert after(tmp_path, second + first) == ([], second + first)


def asset(tensor: str, filename: str) -> bytes:
    return delimited(1, delimited(1, tensor)) + delimited(2, filename)


ASSET = "type.googleapis.com/tensorflow.AssetFileDef"


def test_assets(tmp_path: Path) -> None:
    a, b, again = (any_of(ASSET, asset(*x)) for x in (("a:0", "1"), ("b:0", "2"), ("a:0", "3")))
    other = any_of("type.googleapis.com/tensorflow.Other", b"\xff")
    fields = asset_collection(a, other, b, again)
    assert after(tmp_path, fields, "a:0", "b:0") == ([], asset_collection(other, b, again))
    assert after(tmp_path, fields, "b:0") == ([], asset_collection(other, b))
    assert after(tmp_path, fields) == ([], asset_collection(other))
    assert after(tmp_path, asset_collection(a)) == (["saved_model_assets"], b"")


@pytest.mark.parametrize(
    "fields, place",
    [
        (bytes_list("variables", b"\x0a\x7f"), 'collection_def["variables"].bytes_list.value[0]'),
        (asset_collection(b"\x0a\x7f"), 'collection_def["saved_model_assets"]'),
        (entry(4, "mine", b"\x0a\x7f"), 'collection_def["mine"]'),
    ],
)  # fmt: skip
def test_damage(fields: bytes, place: str, tmp_path: Path) -> None:
    with pytest.raises(fastsm.FormatError) as e:
        after(tmp_path, fields)
    assert e.value.place == f"meta_graphs[0].{place}" and e.value.offset is not None
