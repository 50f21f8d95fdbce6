"""How a converted model restores: by the graph's own saver, or by a new one; and what else
loading runs."""
from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.graph.edges import edges_of
from fastsm.graph.listings import Listing
from fastsm.graph.nodes import node_of
from fastsm.graph.restored import restored
from fastsm.model import SavedModel
from fastsm.verbs.convert import ConvertResult
from fastsm.views import MetaGraph

from .convertible import (
    LINE,
    SAVER,
    collection,
    graph_def,
    handle,
    placeholder,
    put,
    ref,
    restoring,
    scalar,
    strings,
    unary,
)
from .graphs import (
    FLOAT,
    STRING,
    bytes_list,
    dtype,
    init_op,
    node,
    node_list,
    saver,
    variable,
)
from .wire import delimited, integer

#: Handles and refs, local ones too; y takes them all.
X = placeholder("x", FLOAT, -1)


def model_of(path: Path) -> MetaGraph:
    model = fastsm.open(path)
    assert isinstance(model, SavedModel)
    return model.meta_graphs[0]


def convert(src: Path, out: Path | None = None, **how: object) -> ConvertResult:
    return fastsm.convert(
        src, out, outputs={"y": "y:0"}, sync=False, dry_run=out is None, **how,
    )  # type: ignore[arg-type]  # fmt: skip


def sum_of(*names: str) -> list[bytes]:
    """y, which takes x and these."""
    return [node("y", "AddN", "x", *names, T=dtype(FLOAT))]


def test_the_graph_s_own(tmp_path: Path) -> None:
    prefix = put(tmp_path / "src", LINE, scalar("w"), fields=SAVER)
    result = convert(prefix, tmp_path / "out")
    assert result.saver == "the graph's own: 1 tensor restored" and result.init == "nothing"
    graph = model_of(tmp_path / "out")
    meta = (tmp_path / "src" / "model.ckpt.meta").read_bytes()
    data = (tmp_path / "out" / "saved_model.pb").read_bytes()
    assert graph_def(*LINE) in data and SAVER in data and graph_def(*LINE) in meta
    assert graph.tags == ("serve",) and list(graph.signatures) == ["serving_default"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["saved_model.pb", "variables"]
    assert fastsm.verify(tmp_path / "out").ok


def new_saver(tmp_path: Path, *nodes: bytes, **how: object) -> tuple[MetaGraph, ConvertResult]:
    prefix = put(tmp_path / "src", nodes, **how)  # type: ignore[arg-type]
    result = convert(prefix, tmp_path / "out")
    return model_of(tmp_path / "out"), result


def assigned(graph: MetaGraph) -> dict[str, tuple[bytes, bytes]]:
    """Variable -> (key, slice) that a model restores into it."""
    edges = edges_of(graph)
    found = {}
    for row in edges.with_op(b"Assign", b"AssignVariableOp"):
        variable, value = edges.node(row).inputs
        source = edges.row(node_of(value))
        assert source is not None
        if edges.op(source) == b"Identity":
            value = edges.node(source).inputs[0]
            source = edges.row(node_of(value))
            assert source is not None
        if edges.op(source) == b"RestoreV2":
            listing = Listing(edges, source)
            output = int(value.partition(b":")[2] or b"0")
            found[variable.decode()] = (listing.keys[output], listing.specs[output])
    return found


def test_a_new_one_for_refs_and_handles(tmp_path: Path) -> None:
    read = unary("h/Read", "ReadVariableOp", "h")
    nodes = [X, ref("r"), handle("h"), read, *sum_of("r", "h/Read")]
    graph, result = new_saver(tmp_path, *nodes, tensors=scalar("r", "h"))
    assert result.saver == "a new saver, as there was none: 2 variables"
    assert assigned(graph) == {"r": (b"r", b""), "h": (b"h", b"")}
    assert graph.saver is not None
    assert graph.saver.to_dict() == {
        "filename_tensor": "save/Const:0", "save_tensor": "save/control_dependency:0",
        "restore_op": "save/restore_all", "sharded": False, "version": "V2",
    }  # fmt: skip
    edges = edges_of(graph)
    assert restored(graph, edges).is_all and not list(edges.problems())
    (saving,) = edges.with_op(b"SaveV2")
    assert [t.text for t in edges.inputs(saving)[3:]] == [b"r", b"save/ReadVariableOp_1"]
    assert fastsm.verify(tmp_path / "out").ok


def test_a_new_one_for_slices(tmp_path: Path) -> None:
    """What is restored of a part of a variable is what its VariableDef says."""
    whole = [integer(2, 4), integer(2, 6)]

    def part(name: str, offset: int) -> bytes:
        place = [integer(3, 0), integer(3, offset), integer(4, 4), integer(4, 3)]
        info = delimited(1, "v"), *whole, *place
        return variable(f"{name}:0", "init", f"{name}:0") + delimited(4, *info)

    nodes = [X, ref("v/a", 4, 3), ref("v/b", 4, 3), node("init", "NoOp"), *sum_of("v/a", "v/b")]
    fields = bytes_list("variables", part("v/a", 0), part("v/b", 3))
    graph, _ = new_saver(tmp_path, *nodes, fields=fields, tensors={"v": (FLOAT, (4, 6))})
    assert assigned(graph) == {"v/a": (b"v", b"4 6 0,4:0,3"), "v/b": (b"v", b"4 6 0,4:3,3")}


def test_the_scope_of_a_new_one_is_free(tmp_path: Path) -> None:
    nodes = [X, ref("r"), *sum_of("r"), strings("save/other", "a"), strings("save_1", "b")]
    graph, _ = new_saver(tmp_path, *nodes, tensors=scalar("r"))
    assert graph.saver is not None and graph.saver.restore_op == "save_2/restore_all"


def test_one_of_tensorflow_0_is_replaced(tmp_path: Path) -> None:
    nodes = [
        X, ref("r"), *sum_of("r"), strings("save/Const", "m"), strings("n", "r"), strings("s", ""),
        unary("save/restore", "RestoreSlice", "save/Const", "n", "s"),
        unary("save/Assign", "Assign", "r", "save/restore"),
        node("save/restore_all", "NoOp", "^save/Assign"),
    ]  # fmt: skip
    graph, result = new_saver(tmp_path, *nodes, fields=SAVER, tensors=scalar("r"))
    assert result.saver.startswith("a new saver, as the graph's own cannot")
    assert graph.saver is not None and graph.saver.restore_op == "save_1/restore_all"
    assert sum(f.number == 3 for f in graph.fields) == 1


def test_what_the_checkpoint_lacks_and_no_output_needs(tmp_path: Path) -> None:
    nodes = [X, ref("r"), ref("slot"), ref("other", 2), *sum_of("r")]
    graph, result = new_saver(tmp_path, *nodes, tensors=scalar("r", "other"))
    assert set(assigned(graph)) == {"r"}
    (warning,) = result.warnings
    assert "2 variables of the graph not restored" in warning and "slot, other" in warning


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (scalar("other"), "r is not in the checkpoint"),
        ({"r": (2, ())}, "r is of dtype float64 there, of float32 in the graph"),
        ({"r": (1, (2,))}, r"r is of shape \[2\] there, of \[\] in the graph"),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_a_checkpoint_of_something_else(
    tmp_path: Path, tensors: object, words: str, own: bool
) -> None:
    nodes = [X, ref("r"), *sum_of("r"), *(restoring("r") if own else ())]
    prefix = put(tmp_path / "src", nodes, tensors, fields=SAVER * own)  # type: ignore[arg-type]
    with pytest.raises(fastsm.MissingError, match=words):
        convert(prefix)


def test_a_strip_restores_what_is_there(tmp_path: Path) -> None:
    """A key that only training needs is no reason to refuse then."""
    nodes = [X, ref("r"), ref("slot"), *sum_of("r"), *restoring("r", "slot")]
    prefix = put(tmp_path / "src", nodes, scalar("r"), fields=SAVER)
    with pytest.raises(fastsm.MissingError, match="With --strip only what the outputs need"):
        convert(prefix)
    result = convert(prefix, tmp_path / "out", strip=True)
    assert result.saver == "the graph's own: 1 tensor restored"
    assert set(assigned(model_of(tmp_path / "out"))) == {"r"}


def test_variables_that_nothing_restores(tmp_path: Path) -> None:
    nodes = [X, ref("r"), ref("more"), *sum_of("r", "more"), *restoring("r")]
    prefix = put(tmp_path / "src", nodes, scalar("r", "more"), fields=SAVER)
    with pytest.raises(fastsm.RefusedError, match=r"saver never restores.*: more"):
        convert(prefix)


def test_no_checkpoint(tmp_path: Path) -> None:
    meta = put(tmp_path / "src", LINE, fields=SAVER).with_name("model.ckpt.meta")
    with pytest.raises(fastsm.RefusedError, match=r"1 variable \(w\).*no checkpoint"):
        convert(meta)
    frozen = tmp_path / "frozen.pb"
    frozen.write_bytes(graph_def(*LINE))
    with pytest.raises(fastsm.RefusedError, match="Name it: --checkpoint PREFIX"):
        convert(frozen)


def test_a_graph_and_a_checkpoint_by_their_nodes(tmp_path: Path) -> None:
    """A GraphDef has no collections: its variables are known by their nodes."""
    prefix = put(tmp_path / "src", LINE, scalar("w"))
    (tmp_path / "graph.pb").write_bytes(graph_def(X, ref("w"), *sum_of("w")))
    convert(tmp_path / "graph.pb", tmp_path / "out", checkpoint=prefix)
    assert assigned(model_of(tmp_path / "out")) == {"w": (b"w", b"")}


def test_variables_that_are_not_needed_and_no_checkpoint(tmp_path: Path) -> None:
    """Without values for them nothing restores: loaders must not try."""
    nodes = [X, ref("w"), unary("y", "Tanh", "x"), *restoring("w")]
    meta = put(tmp_path / "src", nodes, fields=SAVER).with_name("model.ckpt.meta")
    convert(meta, tmp_path / "out")
    assert model_of(tmp_path / "out").saver is None
    assert not (tmp_path / "out" / "variables").exists()


def test_a_checkpoint_that_the_graph_does_not_need(tmp_path: Path) -> None:
    prefix = put(tmp_path / "src", [X, unary("y", "Tanh", "x")], scalar("w"))
    result = convert(prefix, tmp_path / "out")
    assert result.found.checkpoint is None and not (tmp_path / "out" / "variables").exists()
    assert any("the checkpoint is not taken along" in w for w in result.warnings)


# -- what else loading runs ------------------------------------------------------------


def test_local_variables_are_initialized(tmp_path: Path) -> None:
    nodes = [
        *LINE[:3], ref("count"), strings("zero", "0"),
        unary("count/Assign", "Assign", "count", "zero"), *sum_of("w/read", "count"),
        unary("w/Assign", "Assign", "w", "zero"), *restoring("w"),
    ]  # fmt: skip
    local = bytes_list("local_variables", variable("count:0", "count/Assign", "count:0"))
    prefix = put(tmp_path / "src", nodes, scalar("w"), fields=SAVER + collection("w") + local)
    result = convert(prefix, tmp_path / "out")
    assert result.init == "a new init op: initializes 1 local variable"
    graph = model_of(tmp_path / "out")
    assert graph.init_op is not None and graph.init_op.source == "saved_model_main_op"
    edges = edges_of(graph)
    row = edges.row(graph.init_op.name.encode())
    assert row is not None and [i.text for i in edges.inputs(row)] == [b"^count/Assign"]


def test_tables_by_their_collection_alone(tmp_path: Path) -> None:
    """An initializer that the collection does not list is somebody else's to run."""
    table = [node("t", "HashTableV2", key_dtype=dtype(STRING)), strings("k", "a")]
    fills = [node(f, "LookupTableImportV2", "t", "k", "k") for f in ("one", "two")]
    find = node("y", "LookupTableFindV2", "t", "k", "k", Tout=dtype(STRING))
    listed = node_list("table_initializer", "two")
    meta = put(tmp_path / "src", [*table, *fills, find], fields=listed)
    convert(meta.with_name("model.ckpt.meta"), tmp_path / "out")
    edges = edges_of(model_of(tmp_path / "out"))
    row = edges.row(b"init_tables")
    assert row is not None and [i.text for i in edges.inputs(row)] == [b"^two"]


def test_an_init_op_of_its_own_stays(tmp_path: Path) -> None:
    nodes = [
        *LINE[:3], ref("count"), strings("zero", "0"), unary("set", "Assign", "count", "zero"),
        node("mine", "NoOp", "^set"), *sum_of("w/read", "count"), *restoring("w"),
    ]  # fmt: skip
    prefix = put(tmp_path / "src", nodes, scalar("w"), fields=SAVER + init_op("mine"))
    result = convert(prefix, tmp_path / "out")
    assert result.init == "the graph's own, mine"
    graph = model_of(tmp_path / "out")
    assert graph.init_op is not None and graph.init_op.name == "mine"


def test_a_mutable_table_is_not_filled_by_loading(tmp_path: Path) -> None:
    """What the saver puts into it is in the checkpoint; the import is the saver's."""
    table = [node("t", "MutableHashTableV2"), strings("k", "a")]
    save = [
        node("save/restore_all", "NoOp", "^save/Assign_0", "^import"),
        node("import", "LookupTableImportV2", "t", "k", "k"),
    ]
    nodes = [n for n in restoring("w") if b"restore_all" not in n]
    prefix = put(tmp_path / "src", [*LINE[:4], *table, *nodes, *save], scalar("w"), fields=SAVER)
    assert convert(prefix).init == "nothing"


def test_the_object_graph_of_a_savedmodel(tmp_path: Path) -> None:
    fields = SAVER + delimited(7, delimited(1))
    prefix = put(tmp_path / "src", LINE, scalar("w"), fields=fields)
    with pytest.raises(fastsm.RefusedError, match="SavedModel of TF2"):
        convert(prefix)


def test_devices_are_told(tmp_path: Path) -> None:
    nodes = list(LINE)
    nodes[3] += delimited(4, "/job:worker/task:1/device:GPU:0")
    nodes[2] += delimited(4, "/device:CPU:0")
    prefix = put(tmp_path / "src", nodes, scalar("w"), fields=SAVER)
    (warning,) = convert(prefix).warnings
    assert "/job:worker/task:1/device:GPU:0 (1)" in warning and "CPU" not in warning


def test_other_savers_stay_what_they_are(tmp_path: Path) -> None:
    """saver_def names one of several; a RestoreV2 of another is none of it."""
    other = [n.replace(b"save/", b"else/") for n in restoring("w")]
    nodes = [*LINE[:4], *other, *restoring("w")]
    prefix = put(tmp_path / "src", nodes, scalar("w"), fields=saver("save/restore_all"))
    assert convert(prefix).saver == "the graph's own: 1 tensor restored"
