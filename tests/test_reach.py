"""What is live in a graph, and what stays of all that loading runs."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import fastsm
from fastsm.graph.edges import Edges
from fastsm.graph.listed import Listed, default_saver_keys
from fastsm.graph.nodes import Graph
from fastsm.graph.ops import Ops
from fastsm.graph.reach import Action, Barrier, Reach, init_barriers, restore_barrier
from fastsm.plan import Rewrite
from fastsm.views import MetaGraph

from .graphs import (
    FLOAT,
    RESOURCE,
    bytes_list,
    count,
    dtype,
    dtypes,
    function,
    function_named,
    init_op,
    meta_graph,
    node,
    node_list,
    op,
    saver,
    text,
    variable,
)  # fmt: skip
from .oracle import Loader, Oracle
from .wire import delimited, entry, integer


class Settled:
    """A graph of which some nodes are wanted, and what loading runs for them."""

    def __init__(self, graph: MetaGraph, *roots: str, more: Sequence[Barrier] = ()) -> None:
        self.graph = graph
        self.edges = Edges(Graph(graph))
        self.reach = Reach(graph, self.edges, Ops(graph, self.edges))
        self.reach.keep(self.row(name) for name in roots)
        self.barriers = init_barriers(graph, self.edges)
        restore = restore_barrier(graph, self.edges)
        self.barriers += [restore] if restore else []
        self.listed = Listed(graph, self.edges, self.reach, [restore] if restore else [])
        self.reach.settle([*self.barriers, self.listed.barrier, *more])

    def row(self, name: str) -> int:
        row = self.edges.row(name.encode())
        assert row is not None, name
        return row

    @property
    def live(self) -> set[str]:
        rows = [r for r in range(self.edges.n) if not self.edges.owner(r) and self.reach.is_live(r)]
        return {self.edges.name(row).decode() for row in rows}

    @property
    def kept(self) -> set[str]:
        actions = [a for barrier in self.barriers for a in barrier.actions if a.is_kept]
        return {self.edges.name(action.row).decode() for action in actions}

    def waits(self, *names: str) -> list[list[bytes]]:
        """What these NoOps wait for once the graph is written."""
        rewrite = Rewrite(self.graph.reader.source)
        self.reach.write(rewrite)
        source = rewrite.source()
        self.written = source.read(0, source.size)
        reader = type(self.graph.reader)(source, "")
        [graph] = [g for g in fastsm.views.meta_graphs(reader) if g.index == self.graph.index]
        found = Graph(graph).named([name.encode() for name in names])
        return [found[name.encode()].inputs for name in names]


def made(tmp_path: Path, nodes: Sequence[bytes], *roots: str, fields: bytes = b"",
         functions: tuple[bytes, ...] = (), ops: tuple[bytes, ...] = (),
         ) -> Settled:  # fmt: skip
    graph = meta_graph(tmp_path, *nodes, fields=fields, functions=functions, ops=ops)
    return Settled(graph, *roots)


def var(name: str) -> list[bytes]:
    """A resource variable, with something that reads it and something that initializes it."""
    return [
        node(name, "VarHandleOp"), node(f"{name}/value", "Const"),
        node(f"{name}/Assign", "AssignVariableOp", name, f"{name}/value"),
        node(f"{name}/Read", "ReadVariableOp", name),
    ]  # fmt: skip


def noop(name: str, *waits: str) -> bytes:
    return node(name, "NoOp", *(f"^{w}" for w in waits))


# -- actions ---------------------------------------------------------------------------


def test_an_action_stays_for_what_is_live(tmp_path: Path) -> None:
    nodes = [*var("w"), *var("m"), noop("init", "w/Assign", "m/Assign")]
    settled = made(tmp_path, nodes, "w/Read", fields=init_op("init"))
    assert settled.kept == {"w/Assign"}
    assert settled.live == {"w", "w/Read", "w/Assign", "w/value", "init"}
    assert settled.waits("init") == [[b"^w/Assign"]]


def test_nothing_else_is_written(tmp_path: Path) -> None:
    nodes = [*var("w"), *var("m"), noop("init", "m/Assign", "w/Assign")]
    fields = init_op("init")
    settled = made(tmp_path, nodes, "w/Read", fields=fields)
    settled.waits("init")
    meta_graph(tmp_path, *nodes[:-1], noop("init", "w/Assign"), fields=fields)
    assert settled.written == (tmp_path / "saved_model.pb").read_bytes()


def test_noops_that_wait_for_noops(tmp_path: Path) -> None:
    """One is shared, one loses all, one had nothing, and they wait for each other."""
    nodes = [
        *var("w"), *var("m"), noop("a", "w/Assign", "shared", "init"), noop("b", "m/Assign"),
        noop("shared", "m/Assign", "w/Assign"), noop("empty"),
        noop("init", "a", "b", "shared", "empty"), noop("other", "shared"),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "w/Read", fields=init_op("init"))
    assert settled.live == {"w", "w/Read", "w/Assign", "w/value", "init", "a", "shared"}
    assert settled.waits("init", "a", "shared") == [
        [b"^a", b"^shared"], [b"^w/Assign", b"^shared", b"^init"], [b"^w/Assign"],
    ]  # fmt: skip


def test_what_stays_makes_more_live(tmp_path: Path) -> None:
    """A table's initializer reads an asset's variable, and that has an initializer."""
    nodes = [
        node("path", "Const"), node("asset", "VarHandleOp"),
        node("asset/Assign", "AssignVariableOp", "asset", "path"),
        node("asset/Read", "ReadVariableOp", "asset"), node("table", "HashTableV2"),
        node("table/init", "InitializeTableFromTextFileV2", "table", "asset/Read"),
        node("find", "LookupTableFindV2", "table", "x", "x"), node("x", "Placeholder"),
        node("dead", "HashTableV2"), node("path_1", "Const"),
        node("dead/init", "InitializeTableFromTextFileV2", "dead", "path_1"),
        noop("init", "asset/Assign", "dead/init", "table/init"),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "find", fields=init_op("init"))
    assert settled.kept == {"asset/Assign", "table/init"}
    assert "path" in settled.live and settled.live.isdisjoint({"path_1", "dead"})


def test_init_and_restore_settle_together(tmp_path: Path) -> None:
    """What init keeps is restored, and what restoring keeps is initialized."""
    nodes = [
        *var("w"), *var("u"), *var("t"), *var("dead"), node("f", "Const"),
        node("r", "RestoreV2", "f", "f", "f", dtypes=dtypes(FLOAT, FLOAT, FLOAT)),
        node("w/set", "AssignVariableOp", "w", "u/Read"),  # init: w from u
        node("u/restore", "StatefulPartitionedCall", "u", "t", "r",
             Tin=dtypes(RESOURCE, RESOURCE, FLOAT)),
        node("t/set", "AssignVariableOp", "t", "t/value"),
        node("dead/restore", "AssignVariableOp", "dead", "r:1"),
        noop("shard", "u/restore", "dead/restore"), noop("restore", "shard"),
        noop("init", "w/set", "t/set", "dead/Assign"),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "w/Read", fields=init_op("init") + saver("restore"))
    assert settled.kept == {"w/set", "t/set", "u/restore"}
    assert settled.waits("shard", "init") == [[b"^u/restore"], [b"^w/set", b"^t/set"]]


@pytest.mark.parametrize(
    "between",
    [
        [node("h", "Identity", "v", T=dtype(RESOURCE))],
        [node("h", "Enter", "v", T=dtype(RESOURCE))],
        [node("h", "Switch", "v", "p", T=dtype(RESOURCE)), node("p", "Const")],
        [node("g", "Enter", "v", T=dtype(RESOURCE)),
         node("h", "Merge", "g", "next", T=dtype(RESOURCE), N=count(2)),
         node("next", "NextIteration", "h", T=dtype(RESOURCE))],
        [node("h", "IdentityN", "p", "v", T=dtypes(FLOAT, RESOURCE)), node("p", "Const")],
    ],
    ids=["Identity", "Enter", "Switch", "loop", "IdentityN"],
)  # fmt: skip
def test_a_resource_is_seen_through(between: list[bytes], tmp_path: Path) -> None:
    nodes = [
        node("v", "VarHandleOp"), *between, node("set", "AssignVariableOp", "h", "c"),
        node("c", "Const"), node("read", "ReadVariableOp", "v"), noop("init", "set"),
    ]  # fmt: skip
    assert made(tmp_path, nodes, "read", fields=init_op("init")).kept == {"set"}
    assert made(tmp_path, nodes, fields=init_op("init")).kept == set()


@pytest.mark.parametrize("op_type", ["RefIdentity", "RefSwitch", "RefEnter", "RefNextIteration"])
def test_a_ref_is_seen_through(op_type: str, tmp_path: Path) -> None:
    nodes = [
        node("v", "VariableV2"), node("h", op_type, "v", "c"), node("set", "Assign", "h", "c"),
        node("again", "AssignAdd", "set", "c"), node("c", "Const"),
        node("read", "Identity", "v", T=dtype(FLOAT)), noop("init", "again"),
    ]  # fmt: skip
    assert made(tmp_path, nodes, "read", fields=init_op("init")).kept == {"again"}
    assert made(tmp_path, nodes, fields=init_op("init")).kept == set()


def test_a_handle_may_come_from_several_nodes(tmp_path: Path) -> None:
    nodes = [
        *var("v"), *var("w"), node("c", "Const"), node("a", "Enter", "v", T=dtype(RESOURCE)),
        node("b", "Merge", "a", "b", "w", T=dtype(RESOURCE), N=count(3)),
        node("set", "AssignVariableOp", "b", "c", "^c"), noop("init", "set"),
    ]  # fmt: skip
    for root, kept in (("v/Read", {"set"}), ("w/Read", {"set"}), ("c", set())):
        assert made(tmp_path, nodes, root, fields=init_op("init")).kept == kept


def test_what_touches_nothing(tmp_path: Path) -> None:
    """It stays if it may do something; what nothing tells of may, and may know by its name
    what a handle of its own leads to."""
    pure = function("pure")
    nodes = [
        node("print", "Print", "c", "c"), node("py", "PyFunc"), node("c", "Const"),
        node("sum", "Add", "c", "c"), node("idle", "PartitionedCall", f=function_named("pure")),
        node("what", "NoSuchOp", "m"), *var("m"), node("mine", "MyTable"),
        node("mine/init", "StatefulPartitionedCall", "mine", Tin=dtypes(RESOURCE)),
        noop("init", "print", "py", "sum", "idle", "what", "mine/init", "m/Assign"),
    ]  # fmt: skip
    settled = made(
        tmp_path, nodes, fields=init_op("init"), functions=(pure,), ops=(op("MyTable"),)
    )
    assert settled.kept == {"print", "py", "what", "mine/init", "m/Assign"}
    assert not any(settled.reach.live.functions)


def test_an_action_of_several_handles_keeps_them_all(tmp_path: Path) -> None:
    both = node("both", "StatefulPartitionedCall", "w", "m", Tin=dtypes(RESOURCE, RESOURCE),
                f=function_named("f"))  # fmt: skip
    nodes = [*var("w"), *var("m"), *var("n"), both, noop("init", "both", "m/Assign", "n/Assign")]
    settled = made(
        tmp_path, nodes, "w/Read", fields=init_op("init"), functions=(function("f"),)
    )
    assert settled.kept == {"both", "m/Assign"}
    assert list(settled.reach.live.functions) == [1]


# -- handles of one name ---------------------------------------------------------------


def named(name: str, shared: str, container: str = "") -> bytes:
    return node(name, "VarHandleOp", shared_name=text(shared), container=text(container))


@pytest.mark.parametrize(
    "twin, kept",
    [
        (named("twin", "w"), {"w/set"}),
        (named("twin", "one"), set()),
        (named("twin", "w", "elsewhere"), set()),
        (named("m", "w"), {"w/set"}),
    ],
)
def test_handles_of_one_name_lead_to_one_variable(
    twin: bytes, kept: set[str], tmp_path: Path
) -> None:
    name = "m" if b"m" in twin[:4] else "twin"
    nodes = [
        twin, named("v", "w"), named("dead", "d"), node("c", "Const"),
        node("w/set", "AssignVariableOp", "v", "c"), node("set", "AssignVariableOp", "dead", "c"),
        node("read", "ReadVariableOp", name), noop("init", "w/set", "set"),
    ]  # fmt: skip
    assert made(tmp_path, nodes, "read", fields=init_op("init")).kept == kept


def test_functions_may_make_a_handle_of_that_name(tmp_path: Path) -> None:
    inside, other = function("f", named("h", "w")), function("g", named("h", "d"))
    nodes = [
        named("v", "w"), named("dead", "d"), node("c", "Const"),
        node("w/set", "AssignVariableOp", "v", "c"), node("set", "AssignVariableOp", "dead", "c"),
        node("call", "PartitionedCall", f=function_named("f")), noop("init", "w/set", "set"),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "call", fields=init_op("init"), functions=(inside, other))
    assert settled.kept == {"w/set"}


SCALAR = delimited(7)
ONE = delimited(8, integer(1, FLOAT), delimited(2), delimited(5, struct.pack("<f", 1.5)))


def test_tensorflow_shares_what_is_named_alike(tmp_path: Path, oracle: Oracle) -> None:
    """What is left is run by the loaders: it has what init gave to another node's variable."""
    of = {"dtype": dtype(FLOAT)}
    nodes = [
        node("c", "Const", value=ONE, **of), noop("init", "set", "dead/set"),
        *(node(n, "VarHandleOp", shape=SCALAR, shared_name=text(shared), **of)
          for n, shared in (("v", "w"), ("twin", "w"), ("dead", "d"))),
        node("set", "AssignVariableOp", "v", "c", **of),
        node("dead/set", "AssignVariableOp", "dead", "c", **of),
        node("read", "ReadVariableOp", "twin", **of),
    ]  # fmt: skip
    read = [delimited(1, "read:0"), integer(2, FLOAT), delimited(3)]
    signature = entry(5, "s", entry(2, "y", *read))
    settled = made(tmp_path, nodes, "read", fields=init_op("init") + signature)
    assert settled.live == {"c", "init", "set", "v", "twin", "read"}
    loaders: tuple[Loader, ...] = ("v1", "cc")
    want = [oracle.run(tmp_path, loader, signature="s") for loader in loaders]
    rewrite = Rewrite(settled.graph.reader.source)
    settled.reach.write(rewrite)
    assert settled.edges.cut(rewrite, settled.reach.live) == (2, 0, 0)
    source = rewrite.source()
    (tmp_path / "saved_model.pb").write_bytes(source.read(0, source.size))
    assert [oracle.run(tmp_path, loader, signature="s") for loader in loaders] == want
    assert want[0]["y"].dtype == "float32"


# -- what lies behind an action --------------------------------------------------------


def test_an_identity_behind_an_assignment(tmp_path: Path) -> None:
    nodes = [
        *var("w"), *var("m"), node("w/new", "Identity", "w/value", "^w/Assign", T=dtype(FLOAT)),
        node("m/new", "Identity", "m/value", "^m/Assign", T=dtype(FLOAT)),
        node("done", "Merge", "w/new", "c", T=dtype(FLOAT), N=count(2)), node("c", "Const"),
        noop("init", "done", "m/new"),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "w/Read", fields=init_op("init"))
    assert settled.kept == {"done"} and "w/Assign" in settled.live


def test_what_is_dead_may_be_made_of_what_is_live(tmp_path: Path) -> None:
    """Reading something live, or waiting for another action, keeps nothing."""
    nodes = [
        *var("w"), *var("slot"), *var("last"),
        node("slot/init", "AssignVariableOp", "slot", "w/Read"),
        node("last/init", "AssignVariableOp", "last", "last/value", "^w/Assign"),
        noop("init", "slot/init", "w/Assign", "last/init"),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "w/Read", fields=init_op("init"))
    assert settled.kept == {"w/Assign"}


def test_what_is_dead_may_change_what_is_live_on_its_way(tmp_path: Path) -> None:
    nodes = [
        *var("w"), *var("m"), node("one", "AssignAddVariableOp", "w", "w/value"),
        node("m/init", "AssignVariableOp", "m", "m/value", "^one"), noop("init", "m/init"),
    ]  # fmt: skip
    assert made(tmp_path, nodes, "w/Read", fields=init_op("init")).kept == {"m/init"}


# -- what the graph needs anyway -------------------------------------------------------


def test_a_live_node_that_waits_for_all_of_init(tmp_path: Path) -> None:
    nodes = [*var("w"), *var("m"), noop("init", "w/Assign", "m/Assign"),
             node("y", "Identity", "w/Read", "^init", T=dtype(FLOAT))]  # fmt: skip
    settled = made(tmp_path, nodes, "y", fields=init_op("init"))
    assert settled.kept == {"w/Assign", "m/Assign"}
    assert settled.waits("init") == [[b"^w/Assign", b"^m/Assign"]]


def test_an_action_that_waits_for_a_barrier(tmp_path: Path) -> None:
    """That stays, even if it waits for nothing any more."""
    nodes = [*var("w"), *var("m"), noop("restore", "m/Assign"), noop("init", "w/set"),
             node("w/set", "AssignVariableOp", "w", "w/value", "^shard"),
             noop("shard", "m/Assign"), noop("all", "restore", "shard")]  # fmt: skip
    settled = made(tmp_path, nodes, "w/Read", fields=init_op("init") + saver("all"))
    assert settled.kept == {"w/set"}
    assert settled.live == {"w", "w/Read", "w/set", "w/value", "init", "shard", "all"}
    assert settled.waits("shard", "all") == [[], [b"^shard"]]


# -- which barriers there are ----------------------------------------------------------


def init_signature(name: str) -> bytes:
    return entry(
        5, "__saved_model_init_op", entry(2, "__saved_model_init_op", delimited(1, name))
    )


def test_an_init_op_that_is_an_action(tmp_path: Path) -> None:
    """That a collection names can go; a signature would be left that names it."""
    for roots, live in ((["w/Read"], {"w", "w/Read", "w/Assign", "w/value"}), ([], set())):
        settled = made(tmp_path, var("w"), *roots, fields=init_op("w/Assign"))
        assert settled.live == live
    settled = made(tmp_path, var("w"), fields=init_signature("w/Assign"))
    assert settled.live == {"w", "w/Assign", "w/value"} and settled.kept == {"w/Assign"}


def test_a_restore_op_that_is_an_action_stays(tmp_path: Path) -> None:
    settled = made(tmp_path, var("w"), fields=saver("w/Assign"))
    assert settled.kept == {"w/Assign"} and "w" in settled.live


def test_which_init_op_counts(tmp_path: Path) -> None:
    nodes = [*var("w"), noop("a", "w/Assign"), noop("b", "w/Assign"), noop("c", "w/Assign")]
    main, legacy = init_op("b"), node_list("legacy_init_op", "c")
    signature = init_signature("a")
    for fields, name in ((main + legacy + signature, "a"), (legacy + main, "b"), (legacy, "c")):
        settled = made(tmp_path, nodes, "w/Read", fields=fields)
        [barrier] = settled.barriers
        assert barrier.root == settled.row(name)
        assert settled.live & {"a", "b", "c"} == {name}


def test_without_an_init_op_collections_count(tmp_path: Path) -> None:
    nodes = [
        *var("w"), *var("local"), *var("gone"), node("t", "HashTableV2"), node("c", "Const"),
        node("t/init", "InitializeTableV2", "t", "c", "c"), node("d", "HashTableV2"),
        node("d/init", "InitializeTableV2", "d", "c", "c"),
        node("find", "LookupTableFindV2", "t", "local/Read", "c"),
    ]  # fmt: skip
    listed = [variable(f"{v}:0", f"{v}/Assign", resource=True) for v in ("local", "gone")]
    fields = node_list("table_initializer", "t/init", "d/init") + bytes_list(
        "local_variables", *listed
    )
    settled = made(tmp_path, nodes, "find", fields=fields)
    assert settled.kept == {"t/init", "local/Assign"}
    assert settled.live.isdisjoint({"d", "gone", "w"})
    settled = made(tmp_path, [*nodes, noop("init")], "find", fields=fields + init_op("init"))
    assert settled.kept == set()  # no loader asks the collections then


@pytest.mark.parametrize(
    "fields, place",
    [
        (init_op("gone"), 'collection_def["saved_model_main_op"]'),
        (node_list("legacy_init_op", "gone:0"), 'collection_def["legacy_init_op"]'),
        (init_signature("gone"), 'signature_def["__saved_model_init_op"]'),
        (saver("gone"), "saver_def.restore_op_name"),
    ],
)  # fmt: skip
def test_an_op_that_is_not_there(fields: bytes, place: str, tmp_path: Path) -> None:
    with pytest.raises(fastsm.FormatError, match="which is not in the graph") as e:
        made(tmp_path, var("w"), fields=fields)
    assert e.value.place == f"meta_graphs[0].{place}"


def test_actions_of_another_kind(tmp_path: Path) -> None:
    """Those inside of a call, told by their handles, settle with the others."""
    nodes = [*var("w"), *var("u"), *var("m"), noop("init", "u/Assign", "m/Assign"),
             node("call", "StatefulPartitionedCall", "w", "u", "m")]  # fmt: skip
    graph = meta_graph(tmp_path, *nodes, fields=init_op("init"), functions=(function("f"),))
    edges = Edges(Graph(graph))
    w, u, m, call = (edges.row(name) for name in (b"w", b"u", b"m", b"call"))
    assert None not in (w, u, m, call)
    both = Action(call, rows=[w, u], owners=[1], handles=[w, u])
    one, always = Action(call, rows=[m], handles=[m]), Action(call, rows=[], handles=[])
    settled = Settled(graph, "w/Read", more=[Barrier(call, (), [both, one, always])])
    assert [a.is_kept for a in (both, one, always)] == [True, False, True]
    assert settled.kept == {"u/Assign"} and list(settled.reach.live.functions) == [1]
    assert "m" not in settled.live


@pytest.mark.parametrize("op_type", ["Assign", "AssignVariableOp", "NoSuchOp", "Merge"])
def test_actions_that_lack_inputs(op_type: str, tmp_path: Path) -> None:
    """No loader takes these; and nothing goes wrong with them."""
    nodes = [
        *var("w"), node("none", op_type), node("gone", op_type, "nowhere", "^nowhere"),
        noop("init", "none", "gone", "nowhere"),
    ]  # fmt: skip
    fields = init_op("init") + saver("init") + bytes_list("variables", *LISTED)
    settled = made(tmp_path, nodes, "w/Read", fields=fields)
    assert settled.waits("init")[0][-1] == b"^nowhere"


# -- cost ------------------------------------------------------------------------------


@pytest.mark.parametrize("waits", [False, True])
def test_a_chain_of_initializers_takes_linear_time(waits: bool, tmp_path: Path) -> None:
    """Each makes the next one live; and may be behind it."""
    n = 20_000
    nodes = [node(f"r{n}", "Const"), node(f"s{n}", "Const")]
    for i in range(n):
        behind = [f"^s{i + 1}"] if waits else []
        nodes += [
            node(f"v{i}", "VarHandleOp"), node(f"r{i}", "ReadVariableOp", f"v{i}"),
            node(f"s{i}", "AssignVariableOp", f"v{i}", f"r{i + 1}", *behind),
        ]  # fmt: skip
    nodes.append(noop("init", *(f"s{i}" for i in range(n))))
    graph = meta_graph(tmp_path, *nodes, fields=init_op("init"))
    start = time.perf_counter()
    settled = Settled(graph, "r0")
    assert len(settled.kept) == n
    assert time.perf_counter() - start < 10


def test_a_long_way_of_handles_takes_linear_time(tmp_path: Path) -> None:
    """Each action goes by another end of it."""
    n = 20_000
    nodes = [node("i0", "VarHandleOp"), node("c", "Const"), node("f", "Const")]
    for i in range(n):
        nodes += [
            node(f"i{i + 1}", "Identity", f"i{i}", T=dtype(RESOURCE)),
            node(f"s{i}", "AssignVariableOp", f"i{i}", "c"),
        ]  # fmt: skip
    nodes.append(noop("all", *(f"s{i}" for i in range(n))))
    graph = meta_graph(tmp_path, *nodes, fields=saver("all", "f:0") + init_op("all"))
    start = time.perf_counter()
    assert len(Settled(graph, "i0").kept) == n
    assert time.perf_counter() - start < 10


# -- variables that collections list ---------------------------------------------------


def keys(settled: Settled) -> set[bytes]:
    return default_saver_keys(settled.graph, settled.listed)


LISTED = [
    variable("w:0", "w/Assign", "w/Read:0", initial="w/value:0", resource=True),
    variable("m:0", "m/Assign", "m/Read:0", initial="m/value:0", resource=True),
]


def test_without_a_saver_keys_are_names(tmp_path: Path) -> None:
    fields = bytes_list("variables", *LISTED)
    settled = made(tmp_path, [*var("w"), *var("m")], "w/Read", fields=fields)
    assert keys(settled) == {b"w"}
    assert settled.live == {"w", "w/Read", "w/Assign", "w/value"}


def test_of_a_slice_the_key_is_the_whole_variable(tmp_path: Path) -> None:
    part = variable("w:0", "w/Assign", "w/Read:0", resource=True, whole="all/of/it")
    settled = made(tmp_path, var("w"), "w/Read", fields=bytes_list("variables", part, LISTED[1]))
    assert keys(settled) == {b"all/of/it"}


def test_no_collection_and_no_saver(tmp_path: Path) -> None:
    assert keys(made(tmp_path, var("w"), "w/Read")) == set()


def test_what_initializes_a_listed_variable_makes_others_live(tmp_path: Path) -> None:
    nodes = [*var("w"), *var("m"), *var("n"), node("set", "AssignVariableOp", "w", "m/Read")]
    listed = [
        variable("w:0", "set", "w/Read:0", resource=True), LISTED[1],
        variable("n:0", "n/Assign", "n/Read:0", resource=True),
    ]  # fmt: skip
    settled = made(tmp_path, nodes, "w/Read", fields=bytes_list("variables", *listed))
    assert keys(settled) == {b"w", b"m"} and "m/value" in settled.live


@pytest.mark.parametrize(
    "fields, problem",
    [
        (node_list("variables", "w:0"), "lists its variables as of old"),
        (bytes_list("variables", variable("w:0", "gone", resource=True)),
         "needs w:0, and lists it by what is not in the graph"),
    ],
)  # fmt: skip
def test_what_does_not_tell_what_is_restored(
    fields: bytes, problem: str, tmp_path: Path
) -> None:
    settled = made(tmp_path, var("w"), "w/Read", fields=fields)
    with pytest.raises(fastsm.RefusedError, match=problem) as e:
        keys(settled)
    assert e.value.hint and e.value.place
