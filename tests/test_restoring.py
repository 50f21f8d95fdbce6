"""Restoring and saving what is live alone, held against what TensorFlow makes of it."""
from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

from fastsm.edits.strip.restore import write_restore, write_save
from fastsm.errors import FormatError, RefusedError
from fastsm.graph.called import reached
from fastsm.graph.collections import entries
from fastsm.graph.edges import MISSING, Edges, Live
from fastsm.graph.nodes import Graph, node_of
from fastsm.graph.ops import Ops
from fastsm.graph.reach import Reach
from fastsm.graph.restored import MAX_WANTED, restored
from fastsm.graph.restoring import Restoring
from fastsm.graph.saving import Saving
from fastsm.plan import Rewrite, same
from fastsm.source import File, Reader, Source
from fastsm.views import MetaGraph, meta_graphs

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle
from .wire import message_type

OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"

#: Those with a saver that loaders take.
MANY = [
    name for name in MODELS
    if name not in ("no_meta_graphs", "no_saver", "v1_pbtxt", "v2_pbtxt", "v1_ragged", "v1_sparse")
]  # fmt: skip


class Pruned:
    """A model whose savers restore, and save, for some handles alone.

    All else of it stays, but for nodes that only restored or saved.

    Attributes:
        source: saved_model.pb by now.
        keys: What each meta graph still restores.
        saves: Whether each still saves.
    """

    def __init__(
        self,
        path: Path,
        handles: Collection[str] | None = None,
        *,
        save: bool = False,
        tracked: bytes | None = None,
    ) -> None:
        self._graphs = read(path)
        self.before = self._graphs[0].reader.source
        rewrite = Rewrite(self.before)
        self.keys: list[list[bytes]] = []
        self.saves: list[bool] = []
        for graph in self._graphs:
            self._prune(rewrite, graph, handles, save, tracked)
        self.source: Source = rewrite.source()

    def _prune(
        self,
        rewrite: Rewrite,
        graph: MetaGraph,
        handles: Collection[str] | None,
        save: bool,
        tracked: bytes | None,
    ) -> None:
        edges = Edges(Graph(graph))
        ops = Ops(graph, edges)
        reach = Reach(graph, edges, ops)
        restoring, saving = Restoring(graph, edges, ops), Saving(graph, edges, ops)
        known = handles_of(edges, restoring)
        names = {row: edges.name(row).decode("utf-8", "replace") for row in known}
        reach.keep([row for row in known if handles is None or names[row] in handles])
        barrier = restoring.barrier(reach)
        if barrier is not None:
            reach.settle([barrier])
        if save:
            self.saves.append(saving.settle(reach))
            if self.saves[-1]:
                write_save(rewrite, saving, reach, tracked)
        self.keys.append(write_restore(rewrite, restoring, reach))
        reach.write(rewrite)
        # What neither restores nor saves stays, whatever it is.
        others = Live(edges)
        saver = set()
        for row in (restoring.row, saving.row if save else None):
            saver |= reached(edges, [] if row is None else [row])[0]
        called = [c.owner for c in (restoring.called, saving.called if save else None) if c]
        listed = [name for entry in entries(graph) for name, _ in entry.names]
        named = [edges.row(node_of(name.encode())) for name in listed]
        edges.walk(others, [row for row in named if row is not None])
        edges.walk(others, [row for row in edges.rows(0) if row not in saver])
        edges.walk(others, (), [i for i in range(1, edges.n_functions + 1) if i not in called])
        live = reach.live
        others.nodes[:] = bytes(map(max, others.nodes, live.nodes))
        others.functions[:] = bytes(map(max, others.functions, live.functions))
        edges.cut(rewrite, others)

    def put(self, path: Path) -> Path:
        """Let a copy of the model be so."""
        (path / "saved_model.pb").write_bytes(self.source.read(0, self.source.size))
        return path


def read(path: Path) -> list[MetaGraph]:
    return meta_graphs(Reader(File(str(path / "saved_model.pb")).source(), str(path)))


def handles_of(edges: Edges, restoring: Restoring) -> list[int]:
    """The nodes of the main graph whose values are restored."""
    if restoring.row is None:
        return []
    if restoring.called is None:
        rows, _ = reached(edges, [restoring.row])
        taking = [r for r in sorted(rows) if edges.op(r) in (b"Assign", b"AssignVariableOp")]
        found = [row for r in taking for row in edges.taken(r)[:1]]
    else:
        taken = edges.taken(restoring.called.call)
        found = sorted(taken[i] for a in restoring.actions for i in a.arguments)
    return [row for row in found if row != MISSING]


def handle_names(path: Path) -> list[str]:
    """The names of all that is restored, of every meta graph."""
    found = []
    for graph in read(path):
        edges = Edges(Graph(graph))
        ops = Ops(graph, edges)
        rows = handles_of(edges, Restoring(graph, edges, ops))
        found += [edges.name(row).decode("utf-8", "replace") for row in rows]
    return found


def needed(path: Path) -> set[str]:
    """All nodes of the main graph that signatures and the init op take."""
    found = set()
    for graph in read(path):
        edges = Edges(Graph(graph))
        reach = Reach(graph, edges, Ops(graph, edges))
        infos = [t for s in graph.signatures.values() for t in s.outputs.values()]
        names = [t.name for t in infos] + [c.name for t in infos for c in t.components]
        names += [t.indices or "" for t in infos] + [t.dense_shape or "" for t in infos]
        names += [graph.init_op.name] if graph.init_op else []
        rows = [edges.row(node_of(name.encode())) for name in names]
        reach.keep([row for row in rows if row is not None])
        found |= {edges.name(r).decode() for r in edges.rows(0) if reach.live.nodes[r]}
    return found


# -- everything stays ---------------------------------------------------------------------


@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize("name", MANY)
def test_what_restores_only_live_handles_stays_as_it_is(
    model: ModelFactory, name: str, save: bool
) -> None:
    check_nothing_goes(Pruned(model(name), save=save), model(name))


def test_real_models_stay_as_they_are(corpus_model: CorpusEntry) -> None:
    if not (corpus_model.path / "saved_model.pb").exists():
        pytest.skip("a text model")
    for save in (False, True):
        check_nothing_goes(Pruned(corpus_model.path, save=save), corpus_model.path)


def check_nothing_goes(pruned: Pruned, path: Path) -> None:
    assert same(pruned.source, pruned.before)
    wanted = [restored(g, Graph(g)).wanted if g.saver else [] for g in read(path)]
    assert pruned.keys == [list(dict.fromkeys(key for key, _, _ in keys)) for keys in wanted]


# -- some go ------------------------------------------------------------------------------

SERVING = [
    "two_signatures", "unknown_fields", "keras_export", "tf_keras_lstm", "tf_keras_slots",
    "vocabulary", "dtypes", "no_signatures", "no_variables", "devices", "train_signature",
    "random_state", "trained_flow", "train_and_serve_ref", "train_and_serve_resource",
    "partitioned", "v1_shards", "tables_again", "old_restore",
]  # fmt: skip


@pytest.mark.parametrize("name", SERVING)
def test_signatures_give_the_same_with_what_they_need(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle, name: str
) -> None:
    path, need = model(name), needed(model(name))
    pruned = Pruned(path, [handle for handle in handle_names(path) if handle in need])
    out = pruned.put(model_copy(name))
    before = oracle.survey(path, feeds=MODELS[name].feeds)
    after = oracle.survey(out, words=path, feeds=MODELS[name].feeds)
    assert after.graphs == before.graphs
    check_code(oracle, path, out, pruned)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "name", ["dtypes", "tf_keras_lstm", "tables_again", "old_restore", "partitioned", "v1_shards"]
)
def test_any_handles_are_restored_with_what_is_theirs(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle, name: str, seed: int
) -> None:
    path = model(name)
    handles = sorted(set(handle_names(path)))
    kept = random.Random(seed).sample(handles, random.Random(-seed).randint(1, len(handles) - 1))
    pruned = Pruned(path, kept)
    out = pruned.put(model_copy(name))
    for loader in ("v1", "cc"):
        assert oracle.load(out, loader, ["serve"]).ok
    check_code(oracle, path, out, pruned)
    again = Pruned(out, kept)
    assert same(again.source, again.before)
    assert again.keys == pruned.keys


@pytest.mark.parametrize("name", ["tf_keras_lstm", "tables_again", "old_restore", "v1_shards"])
def test_nothing_is_left_to_restore(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle, name: str
) -> None:
    pruned = Pruned(model(name), ())
    out = pruned.put(model_copy(name))
    assert pruned.keys == [[]]
    assert oracle.saver_code(out)[0]["restore"]["ops"] == []
    for loader in ("v2", "v1", "cc"):
        assert oracle.load(out, loader, ["serve"]).ok


def check_code(oracle: Oracle, before: Path, after: Path, pruned: Pruned) -> None:
    """The code that restores has what it had of the tensors that stay, and no more."""
    for old, new, keys in zip(
        oracle.saver_code(before), oracle.saver_code(after), pruned.keys, strict=True
    ):
        check_function(old["restore"], new["restore"])
        listed = [tensor for op in new["restore"]["ops"] for tensor in op]
        assert list(dict.fromkeys(key for key, _, _ in listed)) == [k.decode() for k in keys]
        left = [tensor for op in old["restore"]["ops"] for tensor in op]
        assert all(tensor in left for tensor in listed)


def check_function(old: dict[str, Any], new: dict[str, Any]) -> None:
    """All that goes by the arguments of a function goes with them."""
    if "arguments" not in new:
        return
    at = [old["arguments"].index(argument) for argument in new["arguments"]]
    assert at == sorted(at)
    for listed in ("inputs", "types"):
        assert new[listed] == [old[listed][i] for i in at]
    assert new["shapes"] == (len(at) if old["shapes"] else 0)
    for of_each in ("attributes", "user_names", "unique_ids"):
        assert new[of_each] == {
            str(i): old[of_each][str(j)] for i, j in enumerate(at) if str(j) in old[of_each]
        }
    assert new["read_only"] == [at.index(i) for i in old["read_only"] if i in at]
    assert sorted(new["control_output"]) == sorted(key for key, _ in new["controls"])
    assert all(name in new["nodes"] for _, name in new["controls"])


def test_all_that_goes_by_arguments_goes_with_them(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    pruned = Pruned(model("old_restore"), ["bias", "step"])
    [code] = oracle.saver_code(pruned.put(model_copy("old_restore")))
    new = code["restore"]
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    assert new["ops"] == [[["bias" + value, "", 1]], [["step" + value, "", 9]]]
    assert new["inputs"] == ["saver_filename", "bias", "step"]
    assert new["unique_ids"] == {"1": 12, "2": 13}
    assert new["read_only"] == [2]
    assert new["shapes"] == 3
    assert [key for key, _ in new["controls"]] == [
        "AssignVariableOp_1", "AssignVariableOp_2", "RestoreV2", "RestoreV2_1",
    ]  # fmt: skip


def test_a_constant_that_two_ops_share_is_copied_where_they_differ(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    # Of two tensors the first op goes on to read the second, the other one the first.
    pruned = Pruned(model("old_restore"), ["bias", "step"])
    out = pruned.put(model_copy("old_restore"))
    [code] = oracle.saver_code(out)
    slices = "RestoreV2/shape_and_slices"
    constants = [name for name in code["restore"]["nodes"] if name.startswith(slices)]
    assert constants == [slices, f"{slices}_1", f"{slices}_2"]
    assert oracle.load(out, "cc", ["serve"]).ok


# -- what cannot be cut -------------------------------------------------------------------


def changed(path: Path, change: Callable[[Any, Any, Any], None]) -> Path:
    """The model with (meta graph, restore call, its function) changed."""
    file = path / "saved_model.pb"
    kind = message_factory.GetMessageClass(message_type("SavedModel"))
    message: Any = kind.FromString(file.read_bytes())
    m = message.meta_graphs[0]
    [call] = [n for n in m.graph_def.node if n.name == m.saver_def.restore_op_name]
    name = call.attr["f"].func.name
    [function] = [f for f in m.graph_def.library.function if f.signature.name == name]
    change(m, call, function)
    file.write_bytes(message.SerializeToString(deterministic=True))
    return path


def node(function: Any, name: str) -> Any:
    [found] = [n for n in function.node_def if n.name == name]
    return found


def no_constant(m: Any, call: Any, function: Any) -> None:
    """The names come through an Identity."""
    middle = function.node_def.add(name="middle", op="Identity")
    middle.input.append("RestoreV2/tensor_names:output:0")
    middle.attr["T"].type = 7
    node(function, "RestoreV2").input[1] = "middle:output:0"


def fewer_names(m: Any, call: Any, function: Any) -> None:
    del node(function, "RestoreV2/tensor_names").attr["value"].tensor.tensor_shape.dim[0]


def fewer_dtypes(m: Any, call: Any, function: Any) -> None:
    del node(function, "RestoreV2").attr["dtypes"].list.type[2:]


def no_dtypes(m: Any, call: Any, function: Any) -> None:
    del node(function, "RestoreV2").attr["dtypes"].list.type[:]


def many_dtypes(m: Any, call: Any, function: Any) -> None:
    node(function, "RestoreV2").attr["dtypes"].list.type.extend([1] * MAX_WANTED)


def packed_names(m: Any, call: Any, function: Any) -> None:
    node(function, "RestoreV2/tensor_names").attr["value"].tensor.tensor_content = b"\1a" * 4


def output_beyond(m: Any, call: Any, function: Any) -> None:
    node(function, "Identity").input[0] = "RestoreV2:tensors:9"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (no_constant, "takes its names from what is no constant"),
        (fewer_names, "has one names for 4 dtypes"),
        (fewer_dtypes, "has 4 names for 2 dtypes"),
        (no_dtypes, "lists no dtypes"),
        (many_dtypes, "lists 262,148 dtypes; fastsm follows 262,144 tensors at most"),
        (packed_names, "takes its names from a constant of packed strings"),
        (output_beyond, "has no output 9, which is taken"),
    ],
)
def test_what_is_read_must_be_told_by_constants(
    model_copy: ModelFactory, change: Callable[[Any, Any, Any], None], problem: str
) -> None:
    path = changed(model_copy("two_signatures"), change)
    with pytest.raises(RefusedError, match=problem) as e:
        Pruned(path, ["kernel"])
    assert "RestoreV2, RestoreV2" in str(e.value)
    assert 'library.function["__inference__traced_restore_' in str(e.value)
    assert e.value.hint


def test_dead_code_may_be_as_odd_as_it_likes(model_copy: ModelFactory) -> None:
    path = changed(model_copy("two_signatures"), no_constant)
    assert Pruned(path, ()).keys == [[]]


def test_what_another_op_reads_from_the_checkpoint_is_not_known(model_copy: ModelFactory) -> None:
    def change(m: Any, call: Any, function: Any) -> None:
        function.node_def.add(name="custom", op="ReadsItself", input=["file_prefix"])

    path = changed(model_copy("two_signatures"), change)
    with pytest.raises(RefusedError, match="custom, ReadsItself, is given the path"):
        Pruned(path, ["kernel"])


def test_a_function_that_is_called_twice_restores_all(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    def change(m: Any, call: Any, function: Any) -> None:
        twin = m.graph_def.node.add()
        twin.CopyFrom(call)
        twin.name = "twin"

    path = changed(model_copy("two_signatures"), change)
    pruned = Pruned(path, ["kernel"])
    assert same(pruned.source, pruned.before)
    assert pruned.keys == Pruned(model("two_signatures")).keys


def test_a_list_by_argument_that_nobody_knows_is_left_whole(model_copy: ModelFactory) -> None:
    def change(m: Any, call: Any, function: Any) -> None:
        call.attr["_strange"].list.i.extend(range(len(call.input)))

    pruned = Pruned(changed(model_copy("two_signatures"), change), ["kernel"])
    assert same(pruned.source, pruned.before)


def test_a_call_with_other_inputs_than_its_function_is_damaged(model_copy: ModelFactory) -> None:
    def change(m: Any, call: Any, function: Any) -> None:
        call.input.append("kernel")

    with pytest.raises(FormatError, match="has other inputs than the function that it calls"):
        Pruned(changed(model_copy("two_signatures"), change))


# -- saving -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "two_signatures", "tf_keras_lstm", "vocabulary", "tables_again", "devices", "partitioned",
        "train_and_serve_ref", "train_and_serve_resource", "v1_shards", "keras_export",
        "trained_flow",
    ],
)  # fmt: skip
def test_what_is_saved_is_restored(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle, name: str
) -> None:
    path, need = model(name), needed(model(name))
    kept = [handle for handle in handle_names(path) if handle in need]
    pruned = Pruned(path, kept, save=True)
    assert all(pruned.saves)
    out = pruned.put(model_copy(name))
    before = oracle.survey(path, feeds=MODELS[name].feeds)
    tags = sorted(next(tags for tags, _ in before.graphs))
    variables = out / "variables"
    oracle.save_variables(out, tags, out / "new" / "variables")
    saved = {e.key for e in oracle.index(out / "new" / "variables").entries}
    shutil.rmtree(variables)
    (out / "new").rename(variables)
    after = oracle.survey(out, words=path, feeds=MODELS[name].feeds)
    for key, loaded in before.graphs.items():
        if key[1] != "v2":
            assert after.graphs[key] == loaded
    old, new = (oracle.saver_code(p) for p in (path, out))
    for one, other in zip(old, new, strict=True):
        check_function(one["save"], other["save"])
    keys = {k for g in new for op in g["save"]["ops"] for k, _, _ in op}
    assert keys >= {k.decode() for graph in pruned.keys for k in graph}
    assert keys <= saved
    if len(kept) < len(handle_names(path)):
        assert keys < {k for g in old for op in g["save"]["ops"] for k, _, _ in op}


def test_the_object_graph_that_is_saved_is_the_new_one(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    for name in ("two_signatures", "devices"):
        out = model_copy(name)
        handles = sorted(set(handle_names(out)))
        Pruned(out, handles[:1], save=True, tracked=b"new\xff").put(out)
        oracle.save_variables(out, ["serve"], out / "new" / "variables")
        shards = (out / "new").glob("variables.data-*")
        assert any(b"new\xff" in shard.read_bytes() for shard in shards)


def test_nothing_is_left_to_save(model: ModelFactory) -> None:
    for name in ("train_and_serve_ref", "v1_shards", "partitioned"):
        assert not any(Pruned(model(name), (), save=True).saves)


def test_an_empty_shard_is_not_merged(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    # What lies on the other device goes: the count of steps, and a rate.
    pruned = Pruned(model("v1_shards"), ["w", "b"], save=True)
    [code] = oracle.saver_code(pruned.put(model_copy("v1_shards")))
    assert [[key for key, _, _ in op] for op in code["save"]["ops"]] == [["b", "w"]]
    assert [[key for key, _, _ in op] for op in code["restore"]["ops"]] == [["b", "w"]]


def test_what_saves_as_a_whole_is_refused_where_some_of_it_goes(model_copy: ModelFactory) -> None:
    def change(m: Any, call: Any, function: Any) -> None:
        name = m.saver_def.save_tensor_name.partition(":")[0]
        [save] = [n for n in m.graph_def.node if n.name == name]
        twin = m.graph_def.node.add()
        twin.CopyFrom(save)
        twin.name = "twin"

    path = changed(model_copy("two_signatures"), change)
    assert Pruned(path, save=True).saves == [True]
    with pytest.raises(RefusedError, match="saves variables that go with others"):
        Pruned(path, ["kernel"], save=True)


# -- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["old_restore", "tables_again", "v1_shards", "partitioned"])
def test_damaged_code_is_an_error_or_is_cut(
    model: ModelFactory, model_copy: ModelFactory, name: str
) -> None:
    rnd = random.Random(name)
    whole = (model(name) / "saved_model.pb").read_bytes()
    words = (b"RestoreV2", b"SaveV2", b"traced_restore", b"traced_save", b"AssignVariableOp")
    near = [i for i in range(len(whole)) if whole.startswith(words, i)]
    path = model_copy(name)
    ends = set()
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(rnd.randint(1, 3)):
            data[rnd.choice(near) + rnd.randint(-20, 60)] ^= 1 << rnd.randrange(8)
        (path / "saved_model.pb").write_bytes(data)
        try:
            handles = handle_names(path)
            Pruned(path, handles[::2], save=True, tracked=b"new")
            ends.add("cut")
        except (FormatError, RefusedError) as e:
            ends.add(type(e).__name__)
    assert ends == {"cut", "FormatError", "RefusedError"}
