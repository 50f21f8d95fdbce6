"""Edits of object graphs, saved and the checkpoint's own: bytes by hand, and real models."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from fastsm.errors import FormatError, RefusedError
from fastsm.graph.object_edits import CheckpointObjectEdits, ObjectEdits, SavedObjectEdits
from fastsm.graph.objects import ObjectGraph
from fastsm.model import open as open_model
from fastsm.plan import Rewrite
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import ModelFactory
from .wire import delimited as sub
from .wire import integer

PATH = "m/saved_model.pb"


def reference(node_id: int, name: str) -> bytes:
    return (integer(1, node_id) if node_id else b"") + (sub(2, name) if name else b"")


def child(node_id: int, name: str) -> bytes:
    return sub(1, reference(node_id, name))


def node(*fields: bytes) -> bytes:
    return sub(1, *fields)


def user(identifier: str) -> bytes:
    return sub(4, sub(1, identifier), sub(2, integer(1, 1), integer(2, 1)))


def bare(name: str) -> bytes:
    return sub(8, sub(1, name))


def concrete(name: str, *bound: int) -> bytes:
    return sub(2, sub(1, name), sub(2, *[integer(2, b) for b in bound]))


DEAD = node(user("_generic_user_object"))


def saved(*spans: bytes) -> SavedObjectEdits:
    """The graph of a model's only meta graph, its object_graph_def in so many pieces."""
    data = sub(2, *[sub(7, span) for span in spans])
    reader = Reader(from_bytes(data), PATH)
    (field,) = reader.fields([(0, len(data))], "")
    return SavedObjectEdits(MetaGraph(reader, 0, field))


def saved_after(edits: ObjectEdits) -> list[bytes]:
    """The spans of object_graph_def as the edits leave them."""
    rewrite = Rewrite(edits.nodes.reader.source)
    edits.into(rewrite)
    source = rewrite.source()
    reader = Reader(source, PATH)
    (graph,) = reader.fields([(0, source.size)], "")
    return [source.read(f.at, f.end - f.at) for f in reader.fields([(graph.at, graph.end)], "")]


def tracked(*nodes: bytes) -> CheckpointObjectEdits:
    return CheckpointObjectEdits(Reader(from_bytes(b"".join(nodes)), "m/variables"), "graph")


def tracked_after(edits: ObjectEdits) -> list[bytes]:
    assert isinstance(edits, CheckpointObjectEdits)
    source = edits.source()
    return [source.read(0, source.size)]


BOTH = pytest.mark.parametrize(
    ("make", "after"), [(saved, saved_after), (tracked, tracked_after)], ids=["saved", "tracked"]
)
Make = Callable[..., ObjectEdits]
After = Callable[[ObjectEdits], list[bytes]]


# -- what both graphs have -------------------------------------------------------------


@BOTH
def test_nothing_asked_for_changes_nothing(make: Make, after: After) -> None:
    data = node(child(1, "signatures")) + node(child(0, "back"))
    edits = make(data)
    assert edits.find("signatures") == 1
    assert not edits.into(Rewrite(edits.nodes.reader.source))
    assert after(edits) == [data]


@BOTH
def test_a_child_is_renamed_where_it_stands(make: Make, after: After) -> None:
    unknown = sub(77, "kept")
    data = node(unknown, child(1, "two"), sub(1, reference(2, "one"), unknown)) + 2 * node()
    edits = make(data)
    edits.rename_child(0, "one", "z" * 300)
    assert edits.find("z" * 300) == 2 and edits.find("one") is None
    want = node(unknown, child(1, "two"), sub(1, reference(2, "z" * 300), unknown)) + 2 * node()
    assert after(edits) == [want]
    edits.rename_child(0, "z" * 300, "one")
    assert after(edits) == [data]


@BOTH
def test_an_empty_name_is_left_out_and_put_back(make: Make, after: After) -> None:
    data = node(child(1, "one")) + node()
    edits = make(data)
    edits.rename_child(0, "one", "")
    without = node(sub(1, integer(1, 1))) + node()
    assert after(edits) == [without]
    edits = make(without)
    edits.rename_child(0, "", "one")
    assert after(edits) == [data]


@BOTH
def test_of_a_name_that_occurs_twice_the_last_is_renamed(make: Make, after: After) -> None:
    edits = make(node(sub(1, sub(2, "hidden"), integer(1, 1), sub(2, "one"))) + node())
    edits.rename_child(0, "one", "two")
    want = node(sub(1, sub(2, "hidden"), integer(1, 1), sub(2, "two"))) + node()
    assert after(edits) == [want]


@BOTH
@pytest.mark.parametrize(
    ("name", "place"), [("a", 0), ("c", 1), ("e", 2)], ids=["first", "between", "last"]
)
def test_a_new_child_goes_where_its_name_sorts(
    make: Make, after: After, name: str, place: int
) -> None:
    children = [child(1, "b"), child(1, "d")]
    edits = make(node(*children, sub(77, "kept")) + node())
    edits.add_child(0, name, 0)
    children.insert(place, child(0, name))
    assert after(edits) == [node(*children, sub(77, "kept")) + node()]
    edits.remove_child(0, name)
    assert not edits.into(Rewrite(edits.nodes.reader.source))


@BOTH
def test_a_node_without_children_gets_one(make: Make, after: After) -> None:
    edits = make(node(sub(77, "kept")))
    edits.add_child(0, "self", 0)
    edits.add_child(0, "a", 0)
    want = node(child(0, "a"), child(0, "self"), sub(77, "kept"))
    assert after(edits) == [want]


@BOTH
def test_a_child_is_removed_and_another_takes_its_name(make: Make, after: After) -> None:
    edits = make(node(child(1, "a"), child(2, "b")) + 2 * node())
    assert edits.remove_child(0, "a") == 1
    edits.rename_child(0, "b", "a")
    assert [(c.name, c.node_id) for c in edits.children(0)] == [("a", 2)]
    assert after(edits) == [node(child(2, "a")) + 2 * node()]


@BOTH
def test_an_edit_of_a_child_that_is_not_there(make: Make, after: After) -> None:
    edits = make(node(child(1, "a")) + node())
    with pytest.raises(KeyError):
        edits.rename_child(0, "b", "c")
    with pytest.raises(KeyError):
        edits.remove_child(1, "a")
    assert edits.find("a", "b") is None and make(b"").find("a") is None


@BOTH
def test_names_that_are_taken_or_doubled_are_refused(make: Make, after: After) -> None:
    edits = make(node(child(1, "a"), child(1, "b"), child(0, "b")) + node())
    with pytest.raises(RefusedError, match="called 'b' already"):
        edits.rename_child(0, "a", "b")
    with pytest.raises(RefusedError, match="called 'a' already"):
        edits.add_child(0, "a", 1)
    for edit in (edits.find, lambda name: edits.remove_child(0, name)):
        with pytest.raises(RefusedError, match="2 children are called 'b'"):
            edit("b")


@BOTH
@pytest.mark.parametrize("node_id", [2, 1 << 30, -1, -(1 << 31)])
def test_a_child_that_is_no_node_is_told(make: Make, after: After, node_id: int) -> None:
    edits = make(node(child(node_id, "a")) + node())
    with pytest.raises(FormatError, match=f"refers to object {node_id}, of 2"):
        edits.find("a")


@BOTH
def test_cycles_end(make: Make, after: After) -> None:
    edits = make(node(child(0, "me"), child(1, "it")) + node(child(1, "me"), child(0, "up")))
    assert edits.find(*["me"] * 50, "it", *["me"] * 50, "up") == 0
    edits.remove_child(0, "it")
    assert edits.bury([1]) == []  # it refers to itself


@BOTH
def test_what_is_referred_to_is_not_buried(make: Make, after: After) -> None:
    slot = sub(3, integer(1, 2), integer(3, 3))
    data = node(child(1, "a"), slot) + 3 * node(sub(77, "x"))
    edits = make(data)
    assert edits.bury([0, 1, 2, 3, 99]) == []
    assert after(edits) == [data]


@BOTH
def test_tombstones_at_the_end_are_cut(make: Make, after: After) -> None:
    dead = {saved: DEAD, tracked: node()}[make]
    alive = node(sub(77, "x"))
    edits = make(node(child(1, "a"), child(3, "b")) + alive + dead + alive)
    assert edits.bury([edits.remove_child(0, "a")]) == [1]
    assert after(edits) == [node(child(3, "b")) + dead + dead + alive]
    assert edits.bury([edits.remove_child(0, "b")]) == [3]
    assert after(edits) == [node()]


@BOTH
def test_what_a_buried_node_referred_to_can_follow(make: Make, after: After) -> None:
    alive = node(sub(77, "x"))
    edits = make(node(child(1, "a")) + node(child(2, "b")) + alive)
    assert edits.bury([edits.remove_child(0, "a")]) == [1]
    assert after(edits)[0].endswith(alive)
    assert edits.bury([2]) == [2]
    assert after(edits) == [node()]


@BOTH
def test_nodes_are_appended(make: Make, after: After) -> None:
    edits = make(node(child(1, "a")) + node())
    assert edits.append(child(1, "old")) == 2
    edits.add_child(0, "new", 2)
    edits.remove_child(0, "a")
    assert edits.bury([1]) == []  # the new node refers to it
    assert after(edits) == [node(child(2, "new")) + node() + node(child(1, "old"))]


@BOTH
def test_no_node_is_appended_that_something_lost_would_find(make: Make, after: After) -> None:
    edits = make(node(child(2, "lost")))
    with pytest.raises(RefusedError, match="something refers to object 2, of 1"):
        edits.append(b"")


@BOTH
def test_bytes_of_a_node_are_replaced(make: Make, after: After) -> None:
    data = node(child(1, "a")) + node(sub(77, sub(1, "old")))
    edits = make(data)
    _, at, end = edits.nodes.where(1)
    (field,) = edits.nodes.reader.fields([(at, end)], "")
    (inner,) = edits.nodes.reader.fields([(field.at, field.end)], "")
    within = [(field.length_at, field.at, field.end)]
    edits.replace(1, inner.start, inner.end, sub(1, "n" * 200), within)
    edits.rename_child(0, "a", "b")
    assert after(edits) == [node(child(1, "b")) + node(sub(77, sub(1, "n" * 200)))]
    # what is buried has no bytes to replace
    edits.remove_child(0, "b")
    edits.bury([1])
    assert after(edits) == [node()]


@BOTH
def test_a_damaged_node_is_told_and_where(make: Make, after: After) -> None:
    edits = make(node(b"\x0a\x05a") + node())
    with pytest.raises(FormatError, match=r"nodes\[0\]"):
        edits.find("a")
    with pytest.raises(FormatError, match=r"nodes\[0\]"):
        edits.bury([1])


# -- what only the saved one has ---------------------------------------------------------


def test_a_graph_in_several_pieces() -> None:
    pieces = [
        node(child(1, "a"), child(2, "b")) + concrete("f_1"),
        node(child(3, "c")),
        b"",
        node(bare("f_1")) + node() + concrete("f_1", 3),
    ]
    edits = saved(*pieces)
    edits.rename_child(1, "c", "d")
    assert edits.bury([edits.remove_child(0, "b")]) == [2]
    edits.add_child(1, "b", 0)
    assert saved_after(edits) == [
        node(child(1, "a")),
        node(child(0, "b"), child(3, "d")),
        b"",
        DEAD + node(),
    ]
    assert edits.functions_gone == {"f_1"}


def test_dependencies_savers_and_functions_count_as_references() -> None:
    depends = sub(15, reference(1, "trace_0"))
    saver = sub(11, sub(1, "table"), sub(2, integer(2, 2), integer(3, 3)))
    data = node(depends, saver) + 4 * node(sub(77, "x")) + concrete("f_1", 4)
    edits = saved(data)
    assert edits.bury(range(5)) == []
    assert saved_after(edits) == [data]


@pytest.mark.parametrize(
    "other",
    [bare("f_1"), sub(6, sub(1, "f_0"), sub(1, "f_1")), sub(12, sub(1, "t"), sub(2, "f_1"))],
    ids=["bare", "function", "captured"],
)
def test_a_function_stays_while_another_node_names_it(other: bytes) -> None:
    data = node(child(1, "a"), child(2, "b")) + node(other) + node(bare("f_1"))
    functions = concrete("f_0") + concrete("f_1", 1)
    edits = saved(data + functions)
    assert edits.bury([edits.remove_child(0, "b")]) == [2]
    assert not edits.functions_gone
    assert saved_after(edits) == [node(child(1, "a")) + node(other) + functions]


def test_a_function_that_goes_lets_its_variables_go() -> None:
    data = node(child(1, "f")) + node(bare("f_1")) + node(sub(77, "x")) + concrete("f_1", 2)
    edits = saved(data)
    assert edits.bury([2]) == []
    assert edits.bury([edits.remove_child(0, "f"), 2]) == [1, 2]
    assert saved_after(edits) == [node()]


# -- real ones ---------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["two_signatures", "vocabulary", "keras_saved", "tf_keras_slots"])
def test_references_are_those_that_the_views_see(name: str, model: ModelFactory) -> None:
    (graph,) = open_model(model(name)).meta_graphs
    edits = SavedObjectEdits(graph)
    assert graph.objects is not None
    counts = [1] + [0] * (len(edits) - 1)
    for to in _references(graph.objects):
        counts[to] += 1
    assert edits._counted() == counts
    assert edits.bury(range(len(edits))) == []
    assert all(counts)


def _references(objects: ObjectGraph) -> list[int]:
    found = []
    for n in objects:
        found += [r.node_id for r in [*n.children, *n.dependencies]]
        for slot in n.slot_variables:
            found += [slot.original_id, slot.variable_id]
        for saveable in n.saveable_objects:
            found += [saveable.save_id, saveable.restore_id]
    for function in objects.concrete_functions.values():
        found += function.bound_inputs
    return found
