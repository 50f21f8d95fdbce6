"""Renaming inputs and outputs: every loader binds the new name to what the old one was."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm._core import delimited
from fastsm.edits.draft import Draft
from fastsm.edits.signature_names import rename_input, rename_output
from fastsm.edits.signatures import Held, copy_signature
from fastsm.graph.function_edits import Library
from fastsm.graph.nested import Nested, of_graph
from fastsm.graph.structured_edits import rename_entry
from fastsm.locate import locate
from fastsm.pbtxt import to_binary, to_text
from fastsm.plan import Rewrite
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph, Signature

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, Survey

SIDES = ("input", "output")

#: Names that sort before and behind all others.
FIRST, LAST = "AAA", "zzz"

SERVE = frozenset(["serve"])

#: Models whose signatures cannot be edited, as no edit can.
NOT_EDITED = {"no_meta_graphs", "stray_cpb"}

#: Those whose outputs are computed after each rename: what signatures are made of differs.
COMPUTED = [
    "two_signatures", "ragged_and_sparse", "defaults", "vocabulary", "control_flow",
    "keras_multi", "tf_keras_slots", "v1_sparse", "v1_ragged", "two_meta_graphs_v2",
    "asset_collection", "v2_pbtxt",
]  # fmt: skip


def rename(path: Path, side: str, key: str, old: str, new: str, **options: Any) -> Any:
    verb = fastsm.rename_input if side == "input" else fastsm.rename_output
    return verb(path, key, old, new, **options)


def named(signature: Signature, side: str) -> list[str]:
    return list(signature.inputs if side == "input" else signature.outputs)


def contents(folder: Path) -> dict[str, bytes]:
    """All files; of a fingerprint nothing, its uuid is made anew."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "fingerprint.pb")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def computed(survey: Survey, renamed: Mapping[str, str]) -> Any:
    """What a survey says of all signatures; ``renamed``: old output -> new, in all of them."""

    def row(name: str) -> str:
        head, bracket, tail = name.partition("[")
        return renamed.get(head, head) + bracket + tail

    return {
        where: loaded.error or {
            key: rows if isinstance(rows, str) else {row(n): v for n, v in rows.items()}
            for key, rows in loaded.signatures.items()
        }
        for where, loaded in survey.graphs.items()
    }  # fmt: skip


def check(
    oracle: Oracle,
    path: Path,
    before: Survey,
    side: str,
    key: str,
    old: str,
    new: str,
    **options: Any,
) -> None:
    """Rename and survey: the loaders compute the same, the fingerprint is as true as it was.
    Then take it back: all bytes are the old ones.

    Args:
        options: ``feeds`` of `Oracle.survey`; of the rename the others.
    """
    feeds = options.pop("feeds", {})
    files = contents(path)
    result = rename(path, side, key, old, new, **options)
    aliases = {key: {new: old}} if side == "input" else {}
    after = oracle.survey(path, feeds=feeds, aliases=aliases)
    wanted = computed(before, {})
    if side == "output":
        for where, rows in computed(before, {old: new}).items():
            elsewhere = options.get("tags", where[0]) != where[0]
            if not elsewhere and not isinstance(rows, str) and key in rows:
                wanted[where] = {**wanted[where], key: rows[key]}
    assert computed(after, {}) == wanted
    assert after.objects == before.objects
    if (path / "fingerprint.pb").exists() and not isinstance(after.fingerprint, str):
        assert oracle.stored_fingerprint(path) == after.fingerprint
    assert result.undo.split()[:2] == ["fastsm", f"rename-{side}"]
    rename(path, side, key, new, old, **options)
    assert contents(path) == files


# -- TensorFlow's word for it ----------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("key", ["mix", "composite"])
def test_names_that_move(side: str, key: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    """Nothing is swapped where dtypes and shapes would let it be."""
    path = model_copy("sorted_names")
    feeds = MODELS["sorted_names"].feeds
    before = oracle.survey(path, feeds=feeds)
    here = sorted(named(fastsm.open(path).signatures[key], side))
    for old, new in [
        (here[0], LAST), (here[-1], here[0] + "_"), (here[1], here[1] + "_"),
    ]:  # fmt: skip
        check(oracle, path, before, side, key, old, new, feeds=feeds)


@pytest.mark.parametrize("name", COMPUTED)
def test_models(name: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    path, feeds = model_copy(name), dict(MODELS[name].feeds)
    before = oracle.survey(path, feeds=feeds)
    for tags, key, side, old, new in moves(path):
        moved = {k: {**f, **_under(f, old, new)} for k, f in feeds.items()}
        check(oracle, path, before, side, key, old, new, feeds=moved, tags=tags)


def _under(feeds: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Feeds of the parts of an input, ``s_values`` and ``r[0]``, by its new name."""
    return {new + n[len(old) :]: v for n, v in feeds.items() if n.startswith(old) and n != old}


def moves(path: Path) -> Iterator[tuple[frozenset[str], str, str, str, str]]:
    """A rename of an input and of an output of each signature, past all others."""
    seen: set[frozenset[str]] = set()
    for graph in fastsm.open(path).meta_graphs:
        if graph.tag_set in seen:
            continue
        seen.add(graph.tag_set)
        for key, signature in graph.signatures.items():
            for side in SIDES:
                found = named(signature, side)
                if len(found) > 1:
                    yield graph.tag_set, key, side, max(found), FIRST
                elif found:
                    yield graph.tag_set, key, side, found[0], LAST


def test_corpus(corpus_model: CorpusEntry, tmp_path: Path) -> None:
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    if corpus_model.catalog["parse_error"]:
        with pytest.raises(fastsm.FormatError):
            rename(path, "input", "serving_default", "x", "y")
    else:
        _there_and_back(path)


@pytest.mark.parametrize("name", [n for n in MODELS if n not in {*COMPUTED, *NOT_EDITED}])
def test_there_and_back(name: str, model_copy: ModelFactory) -> None:
    _there_and_back(model_copy(name))


def findings(path: Path) -> list[str]:
    """What verify finds wrong, a false fingerprint or descriptions that disagree among it."""
    return sorted(finding.id for finding in fastsm.verify(path).findings)


def _there_and_back(path: Path) -> None:
    """Edit and inverse edit, also of many names at once, give the old bytes."""
    text = path / "saved_model.pbtxt"
    if fastsm.open(path).format == "pbtxt":  # written anew, in the protobuf library's layout
        text.write_bytes(to_text(to_binary(text.read_bytes(), str(text)), str(text)))
    files, found = contents(path), findings(path)
    renames = list(moves(path))
    for i, (tags, key, side, old, new) in enumerate(renames):
        try:
            rename(path, side, key, old, new, tags=tags)
        except fastsm.RefusedError as e:  # of names like 0/x: TensorFlow sorts them as arg_0_x
            assert "sort the inputs differently" in str(e) and new == FIRST
            renames[i] = tags, key, side, old, LAST
            rename(path, side, key, old, LAST, tags=tags)
    assert (contents(path) != files) == bool(renames)
    assert set(findings(path)) <= set(found)  # a checksum that was false is true now
    for tags, key, side, old, new in reversed(renames):
        graph = fastsm.open(path).meta_graph(tags)
        assert new in named(graph.signatures[key], side)
        rename(path, side, key, new, old, tags=tags)
    assert contents(path) == files


# -- a function that two signatures share --------------------------------------------------


@pytest.mark.parametrize(
    ("side", "key", "renamed"),
    [("input", "mix", "mix"), ("input", "mix", "again"), ("output", "composite", "again")],
)
def test_a_copy_is_renamed_alone(
    side: str, key: str, renamed: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """The other keeps its names; the way back shares the function again, byte for byte."""
    path = model_copy("sorted_names")
    fastsm.copy_signature(path, key, "again")
    feeds = dict(MODELS["sorted_names"].feeds)
    if key in feeds:
        feeds["again"] = feeds[key]
    before = oracle.survey(path, feeds=feeds)
    old = min(named(fastsm.open(path).signatures[key], side))
    check(oracle, path, before, side, renamed, old, LAST, feeds=feeds)


@pytest.mark.parametrize("side", SIDES)
def test_calls_inside_functions(side: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    """The function behind a signature's: calls in the bodies of others follow, too."""
    path = model_copy("sorted_names")
    feeds = MODELS["sorted_names"].feeds
    before = oracle.survey(path, feeds=feeds)
    files = contents(path)

    def reverse(rewrite: Rewrite, graph: MetaGraph) -> None:
        library = Library(graph)
        [name] = {name for name in graph.functions() if name.startswith("__inference_mix_")}
        callers = {call.owner for call in library.calls(name)}
        assert callers and 0 not in callers
        assert not library.permute(rewrite, name, side, [3, 2, 1, 0])

    crafted(path, reverse)
    assert contents(path) != files
    assert computed(oracle.survey(path, feeds=feeds), {}) == computed(before, {})
    crafted(path, reverse)
    assert contents(path) == files


# -- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("new", ["größe", "match", "a-1", "_a", "9", "kwargs", "A B", "名"])
def test_names_that_tensorflow_takes(new: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("defaults")  # inputs scale and x
    before = oracle.survey(path)
    old = "scale" if new < "b" else "x"
    check(oracle, path, before, "input", "serving_default", old, new)


@pytest.mark.parametrize("new", ["class", "None", "self", "", "a²", "-"])
def test_names_that_it_does_not_take(
    new: str, model_copy: ModelFactory, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused; and where that check is left out, tf.saved_model.load cannot run it, or not
    as the sessions do."""
    path = model_copy("defaults")
    if new == "-":  # which becomes arg__, and sorts before scale as it is, too
        rename(path, "input", "serving_default", "x", "_")
        refused = "and of the name of another input"
    else:
        refused = "cannot be the name of a Python argument"
    files = contents(path)
    with pytest.raises(fastsm.RefusedError, match=refused):
        rename(path, "input", "serving_default", "scale", new)
    assert contents(path) == files
    monkeypatch.setattr("fastsm.graph.wrapper.Wrapper._check_arguments", lambda *_: None)
    rename(path, "input", "serving_default", "scale", new)
    graphs = oracle.survey(path, aliases={"serving_default": {new: "scale", "_": "x"}}).graphs
    loaded = graphs[SERVE, "v2"]
    assert loaded.error or isinstance(loaded.signatures["serving_default"], str)
    assert not isinstance(graphs[SERVE, "v1"].signatures["serving_default"], str)


def test_two_orders(model_copy: ModelFactory) -> None:
    """A blank sorts before letters, the _ that becomes of it behind capitals."""
    path = model_copy("two_signatures")  # T, Tidx, scale, x
    rename(path, "input", "two", "Tidx", "TI")
    with pytest.raises(fastsm.RefusedError, match="sort the inputs differently"):
        rename(path, "input", "two", "x", "T a")


def test_taken_or_not_there(model_copy: ModelFactory) -> None:
    path = model_copy("two_signatures")
    with pytest.raises(fastsm.RefusedError, match='has an input "scale" already'):
        rename(path, "input", "two", "x", "scale")
    with pytest.raises(fastsm.RefusedError, match='has an output "out_1" already'):
        rename(path, "output", "two", "out", "out_1")
    with pytest.raises(fastsm.MissingError, match=r'no input "scala"(.|\n)*Did you mean scale'):
        rename(path, "input", "two", "scala", "y")
    with pytest.raises(fastsm.MissingError, match=r'no signature "tow"(.|\n)*Did you mean two'):
        rename(path, "input", "tow", "x", "y")
    with pytest.raises(fastsm.RefusedError, match="it names an op"):
        rename(path, "output", "__saved_model_init_op", "__saved_model_init_op", "y")
    with pytest.raises(fastsm.UsageError, match="not int"):
        rename(path, "input", "two", "x", 3)  # type: ignore[arg-type]
    with pytest.raises(fastsm.UsageError, match="not valid Unicode"):
        rename(path, "input", "two", "x", "\udc80")
    assert not rename(path, "input", "two", "x", "x").changed


def test_several_meta_graphs(model_copy: ModelFactory) -> None:
    path = model_copy("two_meta_graphs_v2")
    files = contents(path)
    with pytest.raises(fastsm.AmbiguousError, match="2 meta graphs have"):
        rename(path, "input", "two", "x", "A")
    result = rename(path, "input", "two", "x", "A", all_meta_graphs=True)
    for graph in fastsm.open(path).meta_graphs:
        assert sorted(graph.signatures["two"].inputs) == ["A", "T", "Tidx", "scale"]
    assert "--all-meta-graphs" in result.undo
    rename(path, "input", "two", "A", "x", all_meta_graphs=True)
    assert contents(path) == files


def test_edits_compose(model_copy: ModelFactory, oracle: Oracle) -> None:
    """Two inputs change names; no loader can tell it from a model that was written so."""
    path = model_copy("sorted_names")
    feeds = MODELS["sorted_names"].feeds
    before = oracle.survey(path, feeds=feeds)
    files = contents(path)
    swap = [("b", "between"), ("h", "b"), ("between", "h")]
    with fastsm.edit(path) as e:
        for old, new in swap:
            e.rename_input("mix", old, new)
    after = oracle.survey(path, feeds=feeds, aliases={"mix": {"b": "h", "h": "b"}})
    assert computed(after, {}) == computed(before, {})
    with fastsm.edit(path) as e:
        for old, new in swap:
            e.rename_input("mix", old, new)
    assert contents(path) == files


# -- what is refused -----------------------------------------------------------------------

Change = Callable[[Rewrite, MetaGraph], object]


def crafted(path: Path, change: Change) -> None:
    """Change saved_model.pb, and nothing that should follow."""
    model = fastsm.open(path)
    rewrite = Rewrite(model.reader.source)
    change(rewrite, model.meta_graphs[0])
    source = rewrite.source()
    data = source.read(0, source.size)  # before the file goes that it is read from
    (path / "saved_model.pb").write_bytes(data)


def put(rewrite: Rewrite, message: Nested, data: bytes) -> None:
    _, end, around = message.occurrences[-1]
    rewrite.replace(end, end, data, around)


def entry(key: str, value: bytes) -> bytes:
    return delimited(1, key.encode()) + delimited(2, value)


def function_of(graph: MetaGraph, key: str) -> str:
    """The name of a signature's function."""
    held = Held(graph)
    assert held.objects is not None and held.map_id is not None
    node = held.objects.graph[held.objects.known(held.map_id, key).node_id]
    return node.concrete_function_names[0]


def function(graph: MetaGraph) -> Nested:
    return Library(graph).function(function_of(graph, "mix"))


def call(graph: MetaGraph) -> Nested:
    """The node that calls it."""
    [found] = Library(graph).calls(function_of(graph, "mix"))
    return found.node


def with_node(op: str, value: Callable[[str], bytes]) -> Change:
    """One more node, with an attribute made of the name of mix's function."""

    def change(rewrite: Rewrite, graph: MetaGraph) -> None:
        name = function_of(graph, "mix")
        attr = delimited(5, entry("any", value(name)))
        node = delimited(1, b"more") + delimited(2, (op or name).encode()) + attr
        put(rewrite, of_graph(graph).inside(2, ""), delimited(1, node))

    return change


def with_attr(of: Callable[[MetaGraph], Nested], name: str, value: bytes) -> Change:
    """One more attribute, of the function or of the node that calls it."""
    return lambda rewrite, graph: put(
        rewrite, of(graph), delimited(5, entry(name, delimited(1, value)))
    )


def with_gradient(rewrite: Rewrite, graph: MetaGraph) -> None:
    library = of_graph(graph).inside(2, "").inside(2, "")
    gradient = delimited(1, function_of(graph, "mix").encode()) + delimited(2, b"other")
    put(rewrite, library, delimited(2, gradient))


def with_collection(rewrite: Rewrite, graph: MetaGraph) -> None:
    tensor = graph.signatures["mix"].outputs["c"].name.encode()
    names = delimited(1, delimited(1, tensor))
    put(rewrite, of_graph(graph), delimited(4, entry("mine", names)))


def renamed_in(*numbers: int) -> Change:
    """The input b in a map of the signature alone."""

    def change(rewrite: Rewrite, graph: MetaGraph) -> None:
        signature = of_graph(graph).entry(5, "", "mix")
        assert signature is not None
        for number in numbers:
            assert rename_entry(rewrite, signature, number, "b", "bb")

    return change


def with_another_user(rewrite: Rewrite, graph: MetaGraph) -> None:
    """A second object of the function."""
    bare = delimited(8, delimited(1, function_of(graph, "mix").encode()))
    put(rewrite, of_graph(graph).inside(7, ""), delimited(1, bare))


STRINGS = delimited(2, b"?")

#: What was changed -> (the side that is renamed, the error, the change).
REFUSED: dict[str, tuple[str, str, Change]] = {
    "an attribute names the function": (
        "input", "node more knows the function",
        with_node("If", lambda name: delimited(10, delimited(1, name.encode()))),
    ),
    "a list names it": (
        "output", "node more knows the function",
        with_node(
            "Case", lambda name: delimited(1, delimited(9, delimited(1, name.encode())))
        ),
    ),
    "an op is called so": (
        "input", "node more knows the function", with_node("", lambda _: b""),
    ),
    "a gradient": ("input", "a gradient knows the function", with_gradient),
    "a list of as many as the call has inputs": (
        "input", "has a list _new", with_attr(call, "_new", STRINGS * 5),
    ),
    "a list of as many as the call has outputs": (
        "output", "has a list _new", with_attr(call, "_new", STRINGS * 4),
    ),
    "a list of as many as the function has arguments": (
        "input", "has a list _new", with_attr(function, "_new", STRINGS * 5),
    ),
    "an input that is a resource to read": (
        "input", "reads a resource that is one of the arguments",
        with_attr(call, "_read_only_resource_inputs", delimited(3, b"\x02\x04")),
    ),
    "a full type": (
        "output", "has a full type", lambda r, g: put(r, call(g), delimited(7, b"\x08\x01")),
    ),
    "a collection that names an output": (
        "output", "names the tensor", with_collection,
    ),
    "another name in signature_def": (
        "input", "goes by, has the inputs b, d, f, h; signature_def has bb, d, f, h",
        renamed_in(1),
    ),
    "another object of the function": (
        "input", "shares its function", with_another_user,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, model_copy: ModelFactory) -> None:
    side, problem, change = REFUSED[name]
    path = model_copy("sorted_names")
    crafted(path, change)
    files = contents(path)
    old = {"input": "d", "output": "c"}[side]
    with pytest.raises(fastsm.RefusedError, match=problem):
        rename(path, side, "mix", old, LAST)
    assert contents(path) == files
    in_place = ("another name in signature_def", "another object of the function")
    if name not in in_place:  # nothing moves, so nothing has to be known
        rename(path, side, "mix", old, old + "_")


def test_a_function_that_too_many_nodes_call(model_copy: ModelFactory) -> None:
    """For each of them all nodes would be looked at."""
    path = model_copy("sorted_names")

    def more_calls(rewrite: Rewrite, graph: MetaGraph) -> None:
        node = delimited(1, call(graph).data())
        put(rewrite, of_graph(graph).inside(2, ""), node * 100)

    crafted(path, more_calls)
    with pytest.raises(fastsm.RefusedError, match="each of 101 nodes knows the function"):
        rename(path, "output", "mix", "c", LAST)


def test_damaged(model: ModelFactory) -> None:
    """Bytes changed anywhere: an error that says what is wrong, or an edit with a way back."""
    path = model("sorted_names")
    data = (path / "saved_model.pb").read_bytes()
    done = 0
    for seed in range(600):
        chance = random.Random(seed)
        damaged = bytearray(data)
        for _ in range(4):
            damaged[chance.randrange(len(data))] = chance.randrange(256)
        side, old = chance.choice([("input", "d"), ("output", "c"), ("output", "i")])
        edit = rename_input if side == "input" else rename_output
        try:
            reader = Reader(from_bytes(bytes(damaged)), "saved_model.pb")
            draft = Draft(str(path), locate(str(path)), reader)
            if seed % 3 == 0:
                copy_signature(draft, "mix", "again")
            before = draft.reader.source.read(0, draft.reader.source.size)
            new = chance.choice([FIRST, LAST])
            edit(draft, "mix", old, new)
            edit(draft, "mix", new, old)
        except fastsm.InternalError:
            raise
        except fastsm.FastsmError:
            continue
        assert draft.reader.source.read(0, draft.reader.source.size) == before
        done += 1
    assert 100 < done < 500


# -- what is said --------------------------------------------------------------------------


def test_methods_of_serving(model_copy: ModelFactory) -> None:
    path = model_copy("no_variables")
    rename(path, "input", "serving_default", "x", "inputs")
    fastsm.rename_output(path, "serving_default", "y", "outputs")
    fastsm.set_method_name(path, "serving_default", "regress")
    [warning] = rename(path, "output", "serving_default", "outputs", "y").warnings
    assert "it wants" in warning and "one output, called outputs" in warning


def test_signatures_of_one_side(model_copy: ModelFactory) -> None:
    """What only sessions see is renamed for them, and said to be so."""
    path = model_copy("two_signatures")
    fastsm.add_signature(path, "more", {"x": "two_x:0"}, {"y": "StatefulPartitionedCall:0"})
    [warning] = rename(path, "input", "more", "x", "class").warnings
    assert "is in signature_def alone" in warning
    assert list(fastsm.open(path).signatures["more"].inputs) == ["class"]


def test_warm_up(model_copy: ModelFactory) -> None:
    """A request to predict that names the input, or asks for the output."""
    path = model_copy("two_signatures")
    spec = delimited(1, delimited(3, b"two"))
    logs = [
        delimited(6, delimited(1, spec + delimited(2, entry("x", b"")))),
        delimited(6, delimited(1, spec + delimited(3, b"total"))),
        delimited(6, delimited(1, delimited(2, entry("x", b"")))),  # of serving_default
    ]
    records = b"".join(
        len(log).to_bytes(8, "little") + b"crc." + log + b"crc." for log in logs
    )
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    file.write_bytes(records)
    [warning] = rename(path, "input", "two", "x", "A").warnings
    assert '1 of 3 requests name the input "x"' in warning
    [warning] = rename(path, "output", "two", "total", "A").warnings
    assert '1 of 3 requests name the output "total"' in warning
    assert not rename(path, "input", "two", "T", "B").warnings
    file.write_bytes(records[:-1])
    [warning] = rename(path, "input", "two", "B", "T").warnings
    assert "cannot be read" in warning
