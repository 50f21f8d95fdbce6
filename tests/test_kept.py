"""Which objects stay when a model is stripped, and both object graphs written with just these:
bytes by hand, and models that TensorFlow loads."""
from __future__ import annotations

import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fastsm.commit import commit
from fastsm.edits.draft import Draft
from fastsm.edits.strip import keras_metadata
from fastsm.edits.strip.objects import tracked_source, write
from fastsm.errors import (
    FastsmError,
    FormatError,
    InternalError,
    MissingError,
    RefusedError,
    UsageError,
)
from fastsm.fingerprint import OBJECTS
from fastsm.graph.edges import Edges
from fastsm.graph.kept import CALLABLES, SERVING, Kept
from fastsm.graph.nodes import Graph
from fastsm.graph.training import Training
from fastsm.model import open as open_model
from fastsm.plan import Rewrite
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS as REGISTRY
from .oracle import Oracle
from .wire import delimited as sub
from .wire import integer

PATH = "m/saved_model.pb"
SERVE = frozenset(["serve"])


# -- graphs by hand ------------------------------------------------------------------------


def node(*fields: bytes) -> bytes:
    return sub(1, *fields)


def ref(number: int, node_id: int, name: str = "", extra: bytes = b"") -> bytes:
    node = integer(1, node_id) if node_id else b""
    return sub(number, node, sub(2, name) if name else b"", extra)


def children(**ids: int) -> bytes:
    """Children by name; ``_0`` is the name "0"."""
    return b"".join(ref(1, to, name.lstrip("_")) for name, to in ids.items())


def slot(name: str, of: int, variable: int) -> bytes:
    return sub(3, integer(1, of), sub(2, name), integer(3, variable))


def user(identifier: str = "_generic_user_object") -> bytes:
    return sub(4, sub(1, identifier), sub(2, integer(1, 1), integer(2, 1)))


LIST = user("trackable_list_wrapper")
MAP = user("signature_map")
VARIABLE = sub(7, integer(1, 1), sub(6, "v"))
RESOURCE = sub(10, b"")


def bare(name: str) -> bytes:
    return sub(8, sub(1, name))


def function(*names: str) -> bytes:
    return sub(6, *[sub(1, name) for name in names])


def concrete(name: str, *bound: int) -> bytes:
    """As TensorFlow writes it: the numbers are packed."""
    packed = b"".join(integer(2, b)[1:] or b"\0" for b in bound)
    return sub(2, sub(1, name), sub(2, sub(2, packed) if bound else b""))


def value(key: str) -> bytes:
    return sub(2, sub(1, "VARIABLE_VALUE"), sub(2, "v"), sub(3, key))


def meta_graph(*spans: bytes) -> MetaGraph:
    data = sub(2, *[sub(7, span) for span in spans])
    reader = Reader(from_bytes(data), PATH)
    (field,) = reader.fields([(0, len(data))], "")
    return MetaGraph(reader, 0, field)


def checkpoint(*nodes: bytes) -> Reader:
    return Reader(from_bytes(b"".join(nodes)), "_CHECKPOINTABLE_OBJECT_GRAPH")


def choose(
    graph: MetaGraph,
    tracked: Reader | None,
    *,
    level: str = SERVING,
    signatures: Collection[str] = ("s",),
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Kept:
    return Kept(graph, tracked, level=level, signatures=signatures, keep=keep, drop=drop)


def written(
    graph: MetaGraph, kept: Kept, assets: Mapping[int, int] | None = None
) -> MetaGraph:
    """The meta graph with the saved graph written anew."""
    rewrite = Rewrite(graph.reader.source)
    write(rewrite, graph, kept, assets or {})
    source = rewrite.source()
    reader = Reader(from_bytes(source.read(0, source.size)), PATH)
    (field,) = reader.fields([(0, source.size)], "")
    return MetaGraph(reader, 0, field)


def names(graph: MetaGraph) -> list[list[tuple[str, int]]]:
    """The children of each object."""
    assert graph.objects is not None
    return [node.child_ids for node in graph.objects]


def contents(reader: Reader) -> bytes:
    return reader.source.read(0, reader.source.size)


def saved_graph(graph: MetaGraph) -> bytes:
    return b"".join(graph.reader.source.read(at, end - at) for at, end in graph.object_spans)


#: A root with an optimizer, whose list of weights is nearer than the layer; a list that loses
#: its first; a signature that captures weights 5 and 6.
MODEL = [
    node(children(optimizer=1, layer=3, all=4, signatures=7), user()),
    node(children(iterations=9, weights=2), user("optimizer"), slot("m", 5, 10)),
    node(children(_0=5), LIST),
    node(children(inner=12), user()),
    node(children(_0=9, _1=6, _2=5), LIST),
    node(VARIABLE),
    node(VARIABLE),
    node(children(s=8, t=11), MAP),
    node(bare("f")),
    node(VARIABLE),
    node(VARIABLE),
    node(bare("g")),
    node(children(kernel=5), user()),
]  # fmt: skip
FUNCTIONS = [concrete("g", 9), concrete("f", 5, 6)]
#: The same in a checkpoint, in another order, with keys that go through the optimizer.
TRACKED = [
    node(children(signatures=1, all=2, optimizer=3, layer=4)),
    node(children(s=5, t=6)),
    node(children(_0=7, _1=8, _2=9)),
    node(children(weights=10, iterations=7), slot("m", 9, 11)),
    node(children(inner=12)),
    node(),
    node(),
    node(value("optimizer/iterations")),
    node(value("all/1")),
    node(value("optimizer/weights/0"), sub(5, integer(1, 1))),
    node(children(_0=9)),
    node(value("slot")),
    node(children(kernel=9)),
]  # fmt: skip


def test_serving_keeps_signatures_and_the_shortest_ways_to_what_they_capture() -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    kept = choose(graph, tracked)
    # The optimizer is as near as the list, and the list is no optimizer.
    assert list(kept.ids) == [0, 4, 5, 6, 7, 8]
    assert list(kept.functions) == ["f"]
    after = written(graph, kept)
    assert names(after) == [
        [("all", 1), ("signatures", 4)], [("0", 3), ("1", 2)], [], [], [("s", 5)], [],
    ]  # fmt: skip
    assert after.objects is not None
    assert after.objects.concrete_functions["f"].bound_inputs == [2, 3]
    assert list(after.objects.concrete_functions) == ["f"]
    # Holes are closed in step; other fields of a node stay.
    assert contents(Reader(tracked_source(tracked, kept), "")) == b"".join(
        [
            node(children(signatures=1, all=2)),
            node(children(s=3)),
            node(children(_0=4, _1=5)),
            node(),
            node(value("all/1")),
            node(value("optimizer/weights/0"), sub(5, integer(1, 1))),
        ]
    )
    found = [b"optimizer/weights/0", b"all/1", b"slot", b"optimizer/iterations"]
    assert kept.needed(found) == {b"optimizer/weights/0", b"all/1"}


def test_stripping_again_changes_nothing() -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    for level in (SERVING, CALLABLES):
        kept = choose(graph, tracked, level=level)
        once, once_tracked = written(graph, kept), tracked_source(tracked, kept)
        reader = Reader(once_tracked, tracked.path)
        again = choose(once, reader, level=level)
        assert saved_graph(written(once, again)) == saved_graph(once)
        assert contents(Reader(tracked_source(reader, again), "")) == contents(reader)


def test_callables_lose_optimizers_slots_and_what_only_these_lead_to() -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    kept = choose(graph, tracked, level=CALLABLES)
    assert [old for old in range(13) if old not in kept.ids] == [1, 2, 10, 11]
    assert kept.optimizers == [1]
    assert kept.slots == [10]
    # The list loses nothing: 9 is in it, though an optimizer calls it its own.
    assert names(written(graph, kept))[2] == [("0", 7), ("1", 4), ("2", 3)]
    kept = choose(graph, tracked, level=CALLABLES, signatures=("s", "t"), keep=["optimizer"])
    assert list(kept.ids) == list(range(13))
    assert len(kept.tracked_ids) == 13
    assert saved_graph(written(graph, kept)) == saved_graph(graph)
    assert contents(Reader(tracked_source(tracked, kept), "")) == contents(tracked)


def test_a_way_leads_through_an_optimizer_where_there_is_no_other() -> None:
    nodes = [
        node(children(optimizer=1, signatures=3), user()),
        node(children(weights=2, momentum=5), user()),
        node(children(_0=6, _1=6, _3=4, _4=5), LIST),
        node(children(s=7), MAP),
        node(VARIABLE),
        node(VARIABLE),
        node(VARIABLE),
        node(bare("f")),
    ]
    tracked = checkpoint(
        node(children(optimizer=1)),
        node(children(weights=2)),
        node(children(_3=3)),
        node(value("w")),
    )
    for level in (SERVING, CALLABLES):
        graph = meta_graph(*nodes, concrete("f", 4))
        kept = choose(graph, tracked, level=level)
        assert list(kept.ids) == [0, 1, 2, 3, 4, 7]
        assert not kept.is_whole(1)
        assert [child for child, _ in names(written(graph, kept))[2]] == ["0"]
        assert contents(Reader(tracked_source(tracked, kept), ""))[-9:] == node(value("w"))[-9:]
        assert kept.path(4) == "optimizer.weights[3]"


def test_a_slot_that_a_signature_captures_keeps_its_optimizer_and_its_variable() -> None:
    nodes = [
        node(children(o=1, w=2, signatures=5), user()),
        node(user(), slot("m", 2, 3), slot("v", 2, 4)),
        node(VARIABLE),
        node(VARIABLE),
        node(VARIABLE),
        node(children(s=6), MAP),
        node(bare("f")),
    ]
    tracked = checkpoint(
        node(children(w=1, o=2)),
        node(value("w")),
        node(slot("v", 1, 4), slot("m", 1, 3)),
        node(value("m")),
        node(value("v")),
    )
    graph = meta_graph(*nodes, concrete("f", 3))
    kept = choose(graph, tracked)
    assert list(kept.ids) == [0, 1, 2, 3, 5, 6]
    after = written(graph, kept)
    assert after.objects is not None
    assert [(s.name, s.original_id, s.variable_id) for s in after.objects[1].slot_variables] == [
        ("m", 2, 3)
    ]
    assert contents(Reader(tracked_source(tracked, kept), "")) == b"".join(
        [
            node(children(w=1, o=2)), node(value("w")), node(slot("m", 1, 3)), node(value("m")),
        ]
    )  # fmt: skip
    assert kept.needed([b"m", b"v", b"w"]) == {b"m", b"w"}


def test_a_resource_keeps_all_that_lies_below_it_and_a_table_its_functions() -> None:
    nodes = [
        node(children(table=1, signatures=2), user()),
        node(children(initialize=4, done=5), RESOURCE,
             sub(11, sub(1, "table"), sub(2, integer(2, 7), integer(3, 8)))),
        node(children(s=3), MAP),
        node(bare("f")),
        node(function("i")),
        node(children(sibling=6), sub(5, integer(1, 1))),
        node(sub(5, integer(1, 2))),
        node(bare("save")),
        node(bare("restore")),
        node(sub(5, b"")),
        node(sub(9, sub(1, "Const_3"))),
    ]  # fmt: skip
    graph = meta_graph(
        *nodes, concrete("f", 1, 10), *[concrete(name) for name in ("i", "save", "restore")]
    )
    tracked = checkpoint(
        node(children(table=1)), node(sub(2, sub(1, "table"), sub(3, "table/.ATTRIBUTES/table")))
    )
    kept = choose(graph, tracked)
    assert [i for i in range(11) if i not in kept.ids] == [9]
    assert sorted(kept.functions) == ["f", "i", "restore", "save"]
    assert kept.assets == [1, 2]
    assert kept.constants == [b"Const_3"]
    after = written(graph, kept, {1: 0, 2: 1}).objects
    assert after is not None
    assert [after[5].asset_index, after[6].asset_index] == [0, 1]
    saveable = after[1].saveable_objects[0]
    assert (saveable.name, saveable.save_id, saveable.restore_id) == ("table", 7, 8)
    keys = [
        b"table/.ATTRIBUTES/table-keys", b"table/.ATTRIBUTES/table-values",
        b"table/.ATTRIBUTES/tables", b"table/.ATTRIBUTES",
    ]  # fmt: skip
    assert kept.needed(keys) == set(keys[:2])
    with pytest.raises(FormatError, match="asset 1"):
        written(graph, kept, {2: 0})


def test_the_key_that_begins_a_tensors_the_furthest_tells_whose_it_is() -> None:
    graph = meta_graph(
        node(children(a=1, b=2, signatures=3), user()), node(VARIABLE), node(VARIABLE),
        node(children(s=4), MAP), node(bare("f")), concrete("f", 1),
    )  # fmt: skip
    tracked = checkpoint(node(children(a=1, b=2)), node(value("a")), node(value("a-b")))
    kept = choose(graph, tracked)
    keys = [b"a", b"a-b", b"a-b-c", b"a-c", b"a.d-b", b"ab", b"b", b""]
    assert kept.needed(keys) == {b"a", b"a-c", b"a.d-b"}


def test_what_a_registered_saver_wrote_stays_whole() -> None:
    saver = sub(16, "Custom")
    graph = meta_graph(
        node(children(a=1, b=2, signatures=3), user()), node(VARIABLE, saver),
        node(VARIABLE, saver), node(children(s=4), MAP), node(bare("f")), concrete("f", 1),
    )  # fmt: skip
    wrote = sub(4, sub(1, "Custom"), sub(2, "a"))
    tracked = checkpoint(node(children(a=1, b=2, c=3)), node(wrote), node(wrote), node(value("c")))
    kept = choose(graph, tracked)
    assert kept.has_saver
    assert list(kept.ids) == [0, 1, 2, 3, 4]
    assert kept.needed([b"any", b"c"]) == {b"any"}
    kept = choose(graph, tracked, signatures=())
    assert not kept.has_saver
    assert kept.needed([b"any", b"c"]) == set()


def test_a_registered_saver_may_restore_what_lies_below_its_objects() -> None:
    """What it restores is not said: all of its objects stay, and all keys that are not others'."""
    saver = sub(16, "Custom")
    graph = meta_graph(
        node(children(v=5, a=1, b=2, w=6, signatures=3), user()),
        node(children(list=7), user(), saver), node(user(), saver), node(children(s=4, t=8), MAP),
        node(bare("f")), node(VARIABLE), node(VARIABLE), node(children(_0=5), LIST),
        node(bare("g")), concrete("f", 5), concrete("g", 6),
    )  # fmt: skip
    wrote = sub(4, sub(1, "Custom"), sub(2, "a"))
    tracked = checkpoint(
        node(children(v=1, a=2, b=3, w=4)), node(value("v")), node(children(list=5), wrote),
        node(wrote), node(value("w")), node(children(_0=1)),
    )  # fmt: skip
    kept = choose(graph, tracked)
    assert [i for i in range(9) if i not in kept.ids] == [6, 8]
    assert kept.needed([b"a/custom", b"v", b"w"]) == {b"a/custom", b"v"}
    kept = choose(graph, tracked, signatures=["t"])
    assert list(kept.ids) == [0, 3, 6, 8]
    assert kept.needed([b"a/custom", b"v", b"w"]) == {b"w"}


def test_unknown_fields_and_parts_survive() -> None:
    unknown = sub(99, "x") + integer(98, 7)
    first = [
        node(ref(1, 2, "b", unknown), ref(1, 3, "signatures"), unknown, user()), node(user()),
    ]  # fmt: skip
    second = [
        node(VARIABLE, unknown), node(children(s=4), MAP), node(bare("f")),
        sub(2, sub(1, "f"), unknown, sub(2, integer(2, 2), unknown, integer(2, 2))),
    ]  # fmt: skip
    graph = meta_graph(b"".join([*first, unknown]), b"".join(second), unknown)
    kept = choose(graph, None)
    assert saved_graph(written(graph, kept)) == b"".join(
        [
            node(ref(1, 1, "b", unknown), ref(1, 2, "signatures"), unknown, user()), unknown,
            node(VARIABLE, unknown), node(children(s=3), MAP), node(bare("f")),
            sub(2, sub(1, "f"), unknown, sub(2, integer(2, 1), unknown, integer(2, 1))), unknown,
        ]
    )  # fmt: skip


def test_of_equal_names_the_last_counts() -> None:
    graph = meta_graph(
        node(ref(1, 1, "x"), ref(1, 9, "x"), ref(1, 2, "x"), children(signatures=3), user()),
        node(VARIABLE), node(VARIABLE), node(children(s=4), MAP), node(bare("f")),
        concrete("f", 1), concrete("f", 2),
    )  # fmt: skip
    tracked = checkpoint(node(ref(1, 1, "x"), ref(1, 2, "x")), node(value("a")), node(value("b")))
    kept = choose(graph, tracked)
    assert list(kept.ids) == [0, 2, 3, 4]
    assert names(written(graph, kept))[0] == [("x", 1), ("signatures", 2)]
    assert kept.needed([b"a", b"b"]) == {b"b"}


def test_of_equal_keys_of_a_map_the_last_counts() -> None:
    def saver(save: int, restore: int) -> bytes:
        return sub(11, sub(1, "t"), sub(2, integer(2, save), integer(3, restore)))

    graph = meta_graph(
        node(children(x=1, signatures=2), user()), node(RESOURCE, saver(4, 9), saver(5, 5)),
        node(children(s=3), MAP), node(bare("f")), node(bare("g")), node(bare("h")),
        sub(2, sub(1, "f"), sub(2, sub(2, b""))), concrete("f", 0), concrete("f", 1),
        sub(2, sub(1, "h"), sub(2, sub(2, b""))),
    )  # fmt: skip
    kept = choose(graph, None)
    assert list(kept.ids) == [0, 1, 2, 3, 5]
    after = written(graph, kept).objects
    assert after is not None
    assert [(s.save_id, s.restore_id) for s in after[1].saveable_objects] == [(4, 4)]
    assert {n: c.bound_inputs for n, c in after.concrete_functions.items()} == {"f": [1], "h": []}
    assert len(list(after.entries())) == 2


def test_cycles_end() -> None:
    graph = meta_graph(
        node(children(a=1, me=0, signatures=2), user()), node(children(b=1, root=0), RESOURCE),
        node(children(s=3), MAP), node(bare("f")), concrete("f", 1),
    )  # fmt: skip
    tracked = checkpoint(node(children(a=1, me=0)), node(children(b=1, root=0)))
    kept = choose(graph, tracked)
    assert list(kept.ids) == [0, 1, 2, 3]
    assert list(kept.tracked_ids) == [0, 1]


# -- refusals --------------------------------------------------------------------------------


def damaged(*changes: bytes) -> MetaGraph:
    return meta_graph(
        node(children(a=1, signatures=2), user()), node(VARIABLE), node(children(s=3), MAP),
        *changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (damaged(node(bare("f")), concrete("f", 9)), "object 9, of 4"),
        (damaged(node(bare("f"))), "names f, which"),
        (damaged(node(bare("f"), ref(15, 9, "x")), concrete("f")), "object 9, of 4"),
        (damaged(node(bare("f"), children(x=9)), concrete("f")), "object 9, of 4"),
        (damaged(node(bare("f"), slot("m", 9, 1)), concrete("f")), "object 9, of 4"),
        (damaged(node(children(x=(1 << 64) - 2), RESOURCE)), "object -2, of 4"),
        (
            damaged(node(RESOURCE, sub(11, sub(1, "x"), sub(2, integer(2, 9))))),
            "object 9, of 4",
        ),
        (damaged(), "object 3, of 3"),
        (meta_graph(b""), "no object"),
    ],
    ids=range(9),
)
def test_damage_in_what_stays_is_told_with_its_place(graph: MetaGraph, words: str) -> None:
    with pytest.raises(FormatError, match=words) as e:
        choose(graph, None)
    assert "object_graph_def" in str(e.value.place)


def test_damage_in_what_goes_is_no_matter() -> None:
    graph = meta_graph(
        node(children(a=7, b=1, signatures=2), user()), node(children(x=9), ref(15, 8)),
        node(children(t=12, s=3), MAP), node(bare("f")), node(function("gone"), slot("m", 7, 8)),
        concrete("f"), concrete("h", 77),
    )  # fmt: skip
    tracked = checkpoint(node(children(b=7, signatures=5), slot("m", 9, 9)))
    kept = choose(graph, tracked)
    assert list(kept.ids) == [0, 2, 3]
    assert contents(Reader(tracked_source(tracked, kept), "")) == node()


def test_a_variable_without_a_way_in_the_checkpoint_is_refused() -> None:
    nodes = [
        node(children(a=1, signatures=2), user()), node(VARIABLE), node(children(s=3), MAP),
        node(bare("f")), concrete("f", 1),
    ]  # fmt: skip
    for tracked in (checkpoint(node(children(b=1)), node(value("b"))), checkpoint()):
        with pytest.raises(RefusedError, match=r"variable v .object 1. .* in the checkpoint alike"):
            choose(meta_graph(*nodes), tracked)
    assert list(choose(meta_graph(*nodes), None).ids) == [0, 1, 2, 3]
    nodes[0] = node(children(signatures=2), user())
    with pytest.raises(RefusedError, match="no names of children lead to it from the root:"):
        choose(meta_graph(*nodes), None)


def test_a_checkpoint_graph_that_is_damaged_is_told() -> None:
    graph = meta_graph(*MODEL, *FUNCTIONS)
    with pytest.raises(FormatError, match="_CHECKPOINTABLE_OBJECT_GRAPH"):
        choose(graph, checkpoint(b"\x0a\x05\x0a"))


def test_damaged_graphs_are_told_or_written_soundly() -> None:
    """Bytes changed anywhere in either graph: an error that says what is wrong, or graphs in
    which all that is kept is there, so that stripping again changes nothing."""
    parts = [b"".join([*MODEL, *FUNCTIONS]), b"".join(TRACKED)]
    done = 0
    for seed in range(4000):
        chance = random.Random(seed)
        changed = [bytearray(part) for part in parts]
        for _ in range(chance.randrange(1, 4)):
            part = chance.choice(changed)
            part[chance.randrange(len(part))] = chance.choice([0, 1, 5, 9, chance.randrange(256)])
        options: dict[str, Any] = {"level": chance.choice([SERVING, CALLABLES])}
        if chance.random() < 0.2:
            options["keep"] = ["optimizer"]
        graph, tracked = meta_graph(bytes(changed[0])), checkpoint(bytes(changed[1]))
        try:
            kept = choose(graph, tracked, **options)
            after, new = written(graph, kept), Reader(tracked_source(tracked, kept), "")
        except InternalError:
            raise
        except FastsmError:
            continue
        again = choose(after, new, **options)
        assert len(again.ids) == len(kept.ids), seed
        assert len(again.tracked_ids) == len(kept.tracked_ids), seed
        assert saved_graph(written(after, again)) == saved_graph(after), seed
        assert contents(Reader(tracked_source(new, again), "")) == contents(new), seed
        done += 1
    assert 1000 < done < 3500


# -- objects by their paths ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["layer.inner", "layer/inner", ".layer.inner"])
def test_an_object_is_kept_by_its_path_with_all_below_it(path: str) -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    if path.startswith("."):
        with pytest.raises(MissingError, match=r"no object \.layer\.inner"):
            choose(graph, tracked, keep=[path])
        return
    kept = choose(graph, tracked, signatures=(), keep=[path])
    assert list(kept.ids) == [0, 3, 5, 7, 12]
    assert [kept.is_whole(i) for i in (0, 3, 5, 12)] == [False, False, True, True]
    # That way serves; no other one is kept for the variable.
    assert names(written(graph, kept))[0] == [("layer", 1), ("signatures", 3)]


def test_names_with_dots_and_brackets_are_found_and_lists_go_by_position() -> None:
    graph = meta_graph(
        node(ref(1, 1, "a.b"), ref(1, 2, "a"), user()), node(user()),
        node(ref(1, 3, "b"), ref(1, 4, "c[0]"), user()), node(children(_0=4), LIST), node(VARIABLE),
    )  # fmt: skip
    for path, found in {"a.b": 1, "a/b": 3, "a.b[0]": 4, "a.b.0": 4, "a.c[0]": 4}.items():
        kept = choose(graph, None, keep=[path])
        assert kept.is_whole(found), path
        assert kept.path(found) in ("a.b", "a.b[0]", "a.c[0]")


def test_unknown_paths_and_contradictions_are_refused() -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    with pytest.raises(MissingError, match=r"no object optimiser") as e:
        choose(graph, tracked, keep=["optimiser"])
    assert "Did you mean optimizer?" in str(e.value.hint)
    with pytest.raises(MissingError, match=r"no object layer\.x"):
        choose(graph, tracked, drop=["layer.x"])
    with pytest.raises(UsageError, match="layer is to be kept and dropped"):
        choose(graph, tracked, keep=["layer"], drop=["layer"])


def test_an_object_is_dropped_with_what_only_it_leads_to() -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    kept = choose(graph, tracked, level=CALLABLES, drop=["layer"])
    assert [i for i in range(13) if i not in kept.ids] == [1, 2, 3, 10, 11, 12]
    kept = choose(graph, tracked, keep=["layer"], drop=["layer.inner"], signatures=())
    assert list(kept.ids) == [0, 3, 7]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("all[1]", r"all\[1\] cannot be dropped: signatures.s needs it"),
        ("signatures.s", "signatures.s cannot be dropped: it holds signatures"),
        ("signatures", "signatures cannot be dropped: it holds"),
        ("", "the root cannot be dropped: it holds"),
    ],
)
def test_what_a_signature_needs_cannot_be_dropped(path: str, words: str) -> None:
    graph, tracked = meta_graph(*MODEL, *FUNCTIONS), checkpoint(*TRACKED)
    for level in (SERVING, CALLABLES):
        with pytest.raises(RefusedError, match=words) as e:
            choose(graph, tracked, level=level, drop=[path])
        assert "--drop-signature" in str(e.value.hint)


# -- size ------------------------------------------------------------------------------------


def test_a_hundred_thousand_objects_take_no_time_that_grows_with_their_square() -> None:
    """A chain, whose paths would be long, and a list of all, whose names all move up."""
    n = 50_000
    chain = [node(children(next=i + 1), user()) for i in range(n)]
    chain[0] = node(children(next=1, list=n, signatures=n + 1), user())
    wide = node(b"".join(ref(1, n + 3 + i, str(i)) for i in range(n)), LIST)
    bound = range(n + 4, 2 * n + 3)
    nodes = [*chain[:-1], node(VARIABLE), wide, node(children(s=n + 2), MAP), node(bare("f"))]
    graph = meta_graph(b"".join([*nodes, *[node(VARIABLE)] * n, concrete("f", n - 1, *bound)]))
    tracked = checkpoint(
        *chain[:-1], node(value("end")), wide, node(), node(),
        *[node(value(f"list/{i}")) for i in range(n)],
    )  # fmt: skip
    start = time.process_time()
    kept = choose(graph, tracked)
    after = written(graph, kept)
    tracked_source(tracked, kept)
    assert time.process_time() - start < 10  # two, when this was written
    assert len(kept.ids) == 2 * n + 2
    assert after.objects is not None
    assert after.objects[n].child_ids[-1][0] == str(n - 2)
    assert kept.path(n - 1).count(".") == 99
    assert len(kept.needed(f"list/{i}".encode() for i in range(n))) == n - 1


# -- models that TensorFlow loads --------------------------------------------------------------


def select(path: Path, level: str, **options: Any) -> tuple[Draft, Kept]:
    """What stays of a model with one meta graph."""
    model = open_model(path)
    draft = Draft(str(path), model.located, model.reader)
    (graph,) = draft.graphs
    kept = Kept(
        graph, draft.tracked, level=level, signatures=graph.signatures,
        training=Training(Edges(Graph(graph))), **options,
    )  # fmt: skip
    return draft, kept


def prune(path: Path, level: str, **options: Any) -> Kept:
    """Leave only the objects that stay; the graph, its signatures and the variables as they
    are."""
    draft, kept = select(path, level, **options)
    (graph,), tracked = draft.graphs, draft.tracked
    rewrite = draft.rewrite()
    write(rewrite, graph, kept, {i: i for i in range(len(graph.assets))})
    draft.put(rewrite, [OBJECTS])
    if tracked is not None:
        draft.put_tracked(tracked_source(tracked, kept))
    metadata = draft.file(keras_metadata.NAME)
    if metadata is not None:
        data = metadata.read(0, metadata.size)
        draft.write(keras_metadata.NAME, from_bytes(keras_metadata.renumbered(data, kept.ids)))
    commit(draft.finish())
    return kept


def computed(program: str, *paths: Path) -> list[str]:
    """What a program of TensorFlow's prints of each of these, a line each."""
    words = [sys.executable, "-c", textwrap.dedent(program), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-len(paths) :]


MODELS = [
    "control_flow", "keras_export", "keras_saved", "random_state", "tf_keras_lstm",
    "tf_keras_slots", "train_signature", "trained_flow", "trained_ragged", "two_signatures",
    "vocabulary",
]  # fmt: skip


@pytest.mark.parametrize("level", [SERVING, CALLABLES])
@pytest.mark.parametrize("name", MODELS)
def test_models_load_and_compute_the_same(
    name: str, level: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    feeds = REGISTRY[name].feeds
    before, path = oracle.survey(model(name), feeds=feeds), model_copy(name)
    kept = prune(path, level)
    after = oracle.survey(path, feeds=feeds, words=model(name))
    assert isinstance(after.objects, tuple), after.objects
    assert len(after.objects) <= len(before.objects)
    for where, was in before.graphs.items():
        now = after.graphs[where]
        assert (now.error, now.signatures) == (was.error, was.signatures)
        for method, result in now.methods.items():
            assert result == was.methods[method], method
    gone = {kept.path(i) for i in kept.callables}
    lost = set(before.graphs[SERVE, "v2"].methods) - set(after.graphs[SERVE, "v2"].methods)
    assert {method.partition("/")[0] for method in lost} <= gone
    # Once more changes nothing.
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    content = [p.read_bytes() for p in files]
    prune(path, level)
    assert [p.read_bytes() for p in files] == content


def test_what_trains_goes_from_the_callables_with_what_only_it_captured(
    model_copy: ModelFactory,
) -> None:
    kept = prune(model_copy("trained_flow"), CALLABLES)
    assert [kept.path(i) for i in kept.callables] == ["train"]
    assert [kept.path(i) for i in kept.variables] == ["moments[0]", "moments[1]"]
    kept = prune(model_copy("random_state"), CALLABLES, keep=["train"])
    assert not kept.callables
    assert not kept.variables


def test_a_signature_that_trains_stays_with_its_reason(model_copy: ModelFactory) -> None:
    path = model_copy("train_signature")
    kept = prune(path, CALLABLES)
    assert len(kept.ids) == kept.objects.n
    reasons = kept.spared
    assert set(reasons.values()) == {"the signature train calls it"}
    _, kept = select(path, SERVING)
    assert kept.spared == reasons


def test_a_function_that_is_kept_for_serving_computes_the_same(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("two_signatures")
    kept = prune(path, SERVING, keep=["train_step"])
    assert not kept.variables
    before, after = (oracle.survey(p).graphs[SERVE, "v2"] for p in (model(path.name), path))
    assert list(after.methods) == ["train_step/0"]
    assert after.methods["train_step/0"] == before.methods["train_step/0"]
    assert after.signatures == before.signatures


@pytest.mark.parametrize("inference_only", [False, True])
@pytest.mark.parametrize("name", ["tf_keras_lstm", "tf_keras_slots"])
def test_tf_keras_loads_the_callables(
    name: str, inference_only: bool, model: ModelFactory, model_copy: ModelFactory
) -> None:
    before, path = model(name), model_copy(name)
    kept = prune(path, CALLABLES, inference_only=inference_only)
    assert kept.optimizers
    lstm = name == "tf_keras_lstm"
    assert len(kept.functions) == (10 if inference_only else 16) if lstm else 8
    program = """
        import sys, numpy, tf_keras
        for path in sys.argv[1:]:
            net = tf_keras.models.load_model(path)
            x = numpy.ones([2, *net.input_shape[1:]], "float32")
            print(net.predict(x, verbose=0).tobytes().hex(), len(net.trainable_weights))
            net.fit(x, net.predict(x, verbose=0) + 1, verbose=0)  # with a new optimizer
    """
    first, second = computed(program, before, path)
    assert first == second


@pytest.mark.parametrize("name", ["custom_gradient", "trained_flow"])
def test_gradients_that_a_program_defines_stay_with_callables(
    name: str, model: ModelFactory, model_copy: ModelFactory
) -> None:
    for options in ({"gradients": False}, {"inference_only": True}):
        _, kept = select(model(name), CALLABLES, **options)
        assert not any("internal_grad_fn" in name for name in kept.functions)
    path = model_copy(name)
    kept = prune(path, CALLABLES)
    assert any("internal_grad_fn" in name for name in kept.functions)
    program = """
        import sys, tensorflow as tf
        for path in sys.argv[1:]:
            loaded = tf.saved_model.load(path)
            x = tf.constant([-3.0, 0.25, 2.0])
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(loaded.serve(x)["y"] ** 2)
            print(tape.gradient(y, x).numpy().tolist())
    """
    if name == "custom_gradient":
        first, second = computed(program, model(name), path)
        assert first == second


def test_keras_metadata_follows_the_objects() -> None:
    def said(node_id: int, *more: bytes) -> bytes:
        return sub(1, *more, integer(2, node_id) if node_id else b"", sub(3, "root"), sub(99, "x"))

    data = said(0) + said(2) + sub(98, "y") + said(3, integer(2, 7)) + said(4)
    kept = {0: 0, 3: 1, 4: 4, 7: 2}
    new = said(0) + sub(98, "y") + said(1) + said(4)
    assert keras_metadata.renumbered(data, kept) == new
    assert keras_metadata.renumbered(new, {0: 0, 1: 1, 4: 4}) == new
    with pytest.raises(FormatError, match=r"keras_metadata\.pb"):
        keras_metadata.renumbered(b"\x0a\x05\x0a", kept)


def test_models_of_others_load(
    corpus_model: CorpusEntry, oracle: Oracle, tmp_path: Path
) -> None:
    """Those of which tf.saved_model.load takes the original."""
    if not corpus_model.catalog["has_object_graph"]:
        pytest.skip("a TF1 model")
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    path.chmod(0o755)
    for p in path.rglob("*"):
        p.chmod(0o755)
    loaded, restored = oracle.load_v2(path).ok, oracle.restored_objects(path)[0].ok
    for level in (CALLABLES, SERVING):
        prune(path, level)
        assert oracle.load_v2(path).ok >= loaded
        assert oracle.restored_objects(path)[0].ok >= restored
