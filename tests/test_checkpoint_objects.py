"""What tensors are for, told by the checkpoint's own object graph."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm import _core
from fastsm.bundle.objects import CheckpointGraph, Named, named
from fastsm.bundle.opened import Bundle
from fastsm.bundle.variables import Variables
from fastsm.errors import FormatError

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT
from .test_variables import entry, made
from .test_verify_model import rewrite
from .wire import Untidy, delimited, integer, message_type, varint

RANKER = str(ROOT / "examples" / "ranker" / "1")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def of(path: Path) -> dict[str, Named]:
    """Without the ending of the keys."""
    return {
        k.removesuffix(VALUE): n for k, n in named(fastsm.open(path).variables).items()
    }


def by_group(found: dict[str, Named]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for n in found.values():
        groups.setdefault(n.group, set()).add(n.name)
    return groups


# -- models of TensorFlow --------------------------------------------------------------


def test_a_compiled_keras_model(model: ModelFactory) -> None:
    """Its weights have keys under optimizer/, and are weights all the same."""
    found = of(model("keras_saved"))
    groups = by_group(found)
    assert set(groups) == {"weights", "optimizer slots", "other"}
    under = [n for key, n in found.items() if key.startswith("optimizer/_trainable_variables/")]
    assert under and all(n.group == "weights" for n in under)
    assert all(n.object_path and not n.object_path.startswith("optimizer") for n in under)
    assert {"adam/iteration", "adam/learning_rate"} <= groups["other"]
    slots = groups["optimizer slots"]
    assert slots and all(n.endswith(("_momentum", "_velocity")) for n in slots)
    trainable = len(under)
    assert len(slots) == 2 * trainable


def test_true_slot_variables(model: ModelFactory) -> None:
    found = of(model("tf_keras_slots"))
    slots = {k: n for k, n in found.items() if n.group == "optimizer slots"}
    assert slots == {k: n for k, n in found.items() if "/.OPTIMIZER_SLOT/" in k}
    for key, n in slots.items():
        slot = key.rpartition("/")[2]
        assert n.name.endswith(f"/{slot}") and n.object_path.endswith(f".<{slot}>")
    groups = by_group(found)
    assert not any("iter" in name for name in groups["weights"])


def test_a_keras_export_stores_weights_twice(model: ModelFactory) -> None:
    groups = by_group(of(model("keras_export")))
    assert groups["doubled"] == groups["weights"] and set(groups) == {"weights", "doubled"}


@pytest.mark.parametrize("name", ["partitioned", "train_and_serve_ref"])
def test_without_an_object_graph_nothing_is_told(name: str, model: ModelFactory) -> None:
    assert {n.group for n in of(model(name)).values()} == {"variables"}


def with_extra_key(path: Path) -> Path:
    """One more tensor in the index, on the bytes of another."""

    def add(entries: dict[bytes, bytes]) -> None:
        entries[b"nobody/asks"] = entries[min(k for k in entries if not k.startswith(b"\0"))]

    rewrite(path, add)
    return path


@pytest.mark.parametrize("name", ["train_and_serve_ref", "two_signatures", "partitioned"])
def test_what_no_meta_graph_restores(name: str, model_copy: ModelFactory) -> None:
    found = of(with_extra_key(model_copy(name)))
    assert {k for k, n in found.items() if n.group == "unreachable"} == {"nobody/asks"}


def test_what_an_unread_restore_may_read_is_not_unreachable(tmp_path: Path) -> None:
    path = with_extra_key(Path(shutil.copytree(RANKER, tmp_path / "m")))
    assert of(path)["nobody/asks"].group == "unreachable"
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"RestoreV2", b"RestoreV3"))
    assert of(path)["nobody/asks"].group == "variables"
    # the checkpoint alone: its objects do not lead there
    assert of(path / "variables" / "variables")["nobody/asks"].group == "unreachable"


def test_graphs_are_read_only_for_what_objects_leave_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(
        "fastsm.graph.restored.restored_keys", lambda graphs: read.append(1) or set()
    )
    of(Path(RANKER))
    assert not read
    found = of(with_extra_key(Path(shutil.copytree(RANKER, tmp_path / "m"))))
    assert read and found["nobody/asks"].group == "unreachable"


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"no_meta_graphs"}))
def test_nothing_that_tensorflow_saved_is_unreachable(name: str, model: ModelFactory) -> None:
    variables = fastsm.open(model(name)).variables
    found = named(variables)
    assert set(found) == set(variables) and len(found) == len(variables)
    assert not [k for k, n in found.items() if n.group == "unreachable"]
    for key, n in found.items():
        if n.group in ("weights", "doubled"):
            assert n.object_path, key


def test_a_table_is_two_tensors(model: ModelFactory) -> None:
    found = named(fastsm.open(model("vocabulary")).variables)
    for part in ("keys", "values"):
        n = found[f"counts/.ATTRIBUTES/table-{part}"]
        assert (n.group, n.object_path) == ("other", "counts")


def test_models_of_the_corpus(corpus_model: CorpusEntry) -> None:
    prefix = str(corpus_model.path / "variables" / "variables")
    if Path(prefix + ".data-00000-of-00001").exists():
        variables = Variables(Bundle.open(prefix))
        found = named(variables)
        assert list(found) == list(variables)
        assert not [k for k, n in found.items() if n.group == "unreachable"]


# -- made graphs -----------------------------------------------------------------------


def node(
    children: dict[str, int] | None = None,
    keys: dict[str, str] | None = None,
    slots: list[tuple[str, int, int]] | None = None,
    saver: str | None = None,
) -> bytes:
    """A field `nodes`; keys are checkpoint key -> full name."""
    parts = [
        delimited(1, integer(1, i), delimited(2, name)) for name, i in (children or {}).items()
    ]
    parts += [delimited(2, delimited(2, f), delimited(3, k)) for k, f in (keys or {}).items()]
    parts += [
        delimited(3, integer(1, of), delimited(2, s), integer(3, i)) for s, of, i in slots or []
    ]
    if saver is not None:
        parts.append(delimited(4, delimited(1, "Saver"), delimited(2, saver)))
    return delimited(1, *parts)


def checkpoint(folder: Path, graph: bytes, *keys: str, dtype: int = 1) -> Variables:
    """A scalar under each key, and the graph."""
    stored = varint(len(graph)) + b"crc!" + graph
    rows = [(k.encode(), entry(dtype, (), 4, offset=0)) for k in keys]
    rows.append((b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (), len(stored), offset=4)))
    return made(folder, b"\0" * 4 + stored, *sorted(rows))


def test_an_optimizer_that_was_saved_alone(tmp_path: Path) -> None:
    """The weights that it lists are still weights."""
    graph = (
        node({"opt": 1})
        + node({"_iterations": 2, "_variables": 3, "_trainable_variables": 4})
        + node(keys={"steps": "iteration"})
        + node({"0": 2, "1": 5})
        + node({"0": 6})
        + node(keys={"moment": "m"})
        + node(keys={"weight": "w"})
    )
    found = named(checkpoint(tmp_path, graph, "steps", "moment", "weight"))
    assert {k: (n.group, n.object_path) for k, n in found.items()} == {
        "steps": ("other", "opt._iterations"),
        "moment": ("optimizer slots", "opt._variables[1]"),
        "weight": ("weights", "opt._trainable_variables[0]"),
    }


def test_an_optimizer_at_the_root(tmp_path: Path) -> None:
    graph = (
        node({"iter": 1, "learning_rate": 2, "hyper": 3})
        + node(keys={"i": ""}) + node(keys={"lr": ""}) + node({"m": 4}) + node(keys={"m": ""})
    )  # fmt: skip
    found = named(checkpoint(tmp_path, graph, "i", "lr", "m"))
    assert {k: n.group for k, n in found.items()} == {
        "i": "other", "lr": "other", "m": "optimizer slots",
    }  # fmt: skip


def test_metrics_are_not_weights(tmp_path: Path) -> None:
    graph = (
        node({"keras_api": 1, "shared": 5})
        + node({"metrics": 2, "layers": 2})
        + node({"0": 3})
        + node({"total": 4, "kernel": 5})
        + node(keys={"total": "total"})
        + node(keys={"kernel": "kernel"})
    )
    found = named(checkpoint(tmp_path, graph, "total", "kernel"))
    assert {k: (n.group, n.object_path) for k, n in found.items()} == {
        "total": ("other", "keras_api.metrics[0].total"), "kernel": ("weights", "shared"),
    }  # fmt: skip


def test_what_nothing_leads_to(tmp_path: Path) -> None:
    graph = (
        node({"a": 1, "far": 99, "back": -1})
        + node({"root": 0}, keys={"a": "", "shared": ""})
        + node(keys={"lost": "lost/name", "shared": ""})
        + node(keys={"gone": ""})
    )
    found = named(checkpoint(tmp_path, graph, "a", "lost", "orphan", "shared"))
    assert {k: (n.group, n.name, n.object_path) for k, n in found.items()} == {
        "a": ("weights", "", "a"),
        "shared": ("weights", "", "a"),
        "lost": ("unreachable", "lost/name", ""),
        "orphan": ("unreachable", "", ""),
    }


def test_what_a_registered_saver_wrote_is_not_unreachable(tmp_path: Path) -> None:
    graph = node({"a": 1}) + node(saver="custom/a")
    found = named(checkpoint(tmp_path, graph, "custom/a/part"))
    assert found["custom/a/part"].group == "other"


def test_many_savers_and_many_keys(tmp_path: Path) -> None:
    """Each key is held against one of them, whatever their order and nesting."""
    names = ["a", "a/b", "b/", "c/d", "ab", *(f"s{i}/" for i in range(3000))]
    graph = node({str(i): i + 1 for i in range(len(names))})
    graph += b"".join(node(saver=name) for name in names)
    keys = ["a", "a/b/c", "b", "b/x", "c/d", "c/", "d", "0", *(f"s{i}/x" for i in range(3000))]
    found = named(checkpoint(tmp_path, graph, *keys))
    none = {k for k, n in found.items() if n.group == "unreachable"}
    assert none == {k for k in keys if not k.startswith(tuple(names))} == {"b", "c/", "d", "0"}


def test_counters_are_not_weights(tmp_path: Path) -> None:
    graph = node({"step": 1}) + node(keys={"step": "step"})
    assert named(checkpoint(tmp_path, graph, "step", dtype=3))["step"].group == "other"
    assert named(checkpoint(tmp_path, graph, "step"))["step"].group == "weights"


def test_a_chain_as_long_as_the_file_lets_it_be() -> None:
    """Paths are made when asked for, and cut: together they would take gigabytes."""
    n = 20_000
    name = "x" * 50
    graph = CheckpointGraph(b"".join(node({name: i + 1}) for i in range(n)), "ckpt")
    assert graph.reaches(n - 1) and not graph.reaches(n)
    assert graph.path(3) == f"{name}.{name}.{name}"
    assert graph.path(n - 1).startswith("...") and len(graph.path(n - 1)) < 51 * 102


def check_tables(data: bytes) -> int:
    """What protobuf reads is in the tables, and nothing else; how many objects there are."""
    tables = _core.ObjectGraph(data)
    want: Any = message_factory.GetMessageClass(message_type("TrackableObjectGraph"))()
    want.ParseFromString(data)
    assert tables.n_nodes == len(want.nodes)
    for i, n in enumerate(want.nodes):
        own = slice(tables.first_child[i], tables.first_child[i + 1])
        assert tables.child_nodes[own] == [c.node_id for c in n.children]
        assert tables.child_names[own] == [c.local_name for c in n.children]
    assert tables.values == [
        (i, a.name, a.full_name, a.checkpoint_key)
        for i, n in enumerate(want.nodes) for a in n.attributes
    ]  # fmt: skip
    assert tables.slots == [
        (i, s.slot_name, s.original_variable_node_id, s.slot_variable_node_id)
        for i, n in enumerate(want.nodes) for s in n.slot_variables
    ]  # fmt: skip
    return len(want.nodes)


@pytest.mark.parametrize("name", ["keras_saved", "tf_keras_slots", "two_signatures"])
def test_the_tables_have_what_protobuf_reads(name: str, model: ModelFactory) -> None:
    data = fastsm.open(model(name)).variables.object_graph
    assert data is not None and check_tables(data) > 1


def test_the_tables_of_untidy_graphs() -> None:
    kind = message_type("TrackableObjectGraph")
    assert sum(check_tables(Untidy(Random(seed), 40).message(kind)) for seed in range(300)) > 300


def test_as_many_objects_as_are_taken_take_bounded_time_and_memory() -> None:
    """A circle of each node with the next, and every node an optimizer of one and the same."""
    n = 1 << 17
    parts = [
        delimited(
            1, delimited(1, integer(1, (i + 1) % n), delimited(2, "iter")),
            delimited(1, integer(1, 1), delimited(2, "_trainable_variables")),
            delimited(1, integer(1, i), delimited(2, "learning_rate")),
        )
        for i in range(n)
    ]  # fmt: skip
    graph = CheckpointGraph(b"".join(parts), "ckpt")
    assert len(graph.optimizers) == n and graph.reaches(n - 1)
    with pytest.raises(FormatError, match="goes past a limit of fastsm"):
        CheckpointGraph(b"\n\0" * ((1 << 20) + 1), "ckpt")


def test_a_node_of_many_children_that_is_shared_many_times_is_walked_once() -> None:
    n = 1 << 16
    hub = delimited(1, *[delimited(1, integer(1, 1), delimited(2, "x"))] * n)
    many = [delimited(1, integer(1, 1), delimited(2, "_trainable_variables"))] * n
    has = [delimited(1, integer(1, 2), delimited(2, name)) for name in ("iter", "learning_rate")]
    graph = CheckpointGraph(delimited(1, *many, *has) + hub, "ckpt")
    assert graph.group(1) == "weights"


def test_many_optimizers_of_one_model_are_walked_once() -> None:
    n = 3000
    shared = {str(i): 2 * n + i for i in range(n)}
    parts = [node({f"optimizer{i}": i + 1 for i in range(n)})]
    parts += [node({"iter": 0, "learning_rate": 0, "_trainable_variables": n + 1})] * n
    parts += [node(shared)]
    graph = CheckpointGraph(b"".join(parts), "ckpt")
    assert graph.group(n + 1) == "weights"


def test_a_damaged_graph_is_an_error(tmp_path: Path) -> None:
    variables = checkpoint(tmp_path, b"\x0a\x05\x0a", "a")
    with pytest.raises(FormatError, match="_CHECKPOINTABLE_OBJECT_GRAPH"):
        named(variables)
    stored = (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (2,), 4))
    with pytest.raises(FormatError, match="is no single string"):
        named(made(tmp_path, b"\0" * 4, stored))


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_hostile_graphs(nodes: list[bytes]) -> None:
    data = b"".join(delimited(1, n) for n in nodes)
    try:
        graph = CheckpointGraph(data, "ckpt")
    except FormatError:
        return
    for i in range(len(nodes)):
        assert graph.group(i) and isinstance(graph.path(i), str)


NAMES = st.sampled_from(["a", "optimizer", "iter", "_variables", "_trainable_variables"])


@given(
    st.lists(st.dictionaries(NAMES, st.integers(-1, 7)), max_size=7),
    st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 7), st.integers(-1, 7)), max_size=5),
)
def test_graphs_of_any_shape(
    children: list[dict[str, int]], slots: list[tuple[int, int, int]]
) -> None:
    """Circles, several parents, slots of slots: each node has one group, and paths end."""
    of_node: dict[int, list[tuple[str, int, int]]] = {}
    for owner, original, slot in slots:
        of_node.setdefault(owner, []).append(("m", original, slot))
    data = b"".join(node(c, slots=of_node.get(i)) for i, c in enumerate(children))
    graph = CheckpointGraph(data, "ckpt")
    for i in range(len(children)):
        assert graph.group(i) in ("weights", "optimizer slots", "other", "unreachable")
        assert len(graph.path(i)) < 1000
