"""What edits rename, against what they did: the tensors behind a name are those of before."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.errors import (
    AmbiguousError,
    FastsmError,
    FormatError,
    MissingError,
    RefusedError,
    UsageError,
)
from fastsm.proof.mapping import VERBS, Mapping, flat
from fastsm.verbs.data import verbs
from fastsm.views import RESERVED, MetaGraph, TensorInfo

from .conftest import ModelFactory

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

SERVE, GPU = frozenset(["serve"]), frozenset(["gpu"])

#: Of all kinds: several meta graphs, several signatures, equal tag sets, composite tensors.
MODELS = [
    "two_signatures", "v1_sparse", "v1_slots", "tables_and_tags", "duplicate_tags",
    "two_meta_graphs_v2", "ragged_and_sparse", "train_op_signature", "odd_signatures",
]  # fmt: skip

Tensors = dict[str, dict[str, dict[str, str]]]


def described(info: TensorInfo) -> str:
    """The tensor of the graph that it is. Which result of a function's call is not said: they
    stand in the order of their names."""
    return re.sub(r"(PartitionedCall\w*):\d+", r"\1", str(info.to_dict()))


def tensors(graph: MetaGraph) -> Tensors:
    """Signature -> side -> name -> the tensor that it is."""
    return {
        key: {
            "input": {name: described(info) for name, info in signature.inputs.items()},
            "output": {name: described(info) for name, info in signature.outputs.items()},
        }
        for key, signature in graph.signature_defs.items()
        if key not in RESERVED
    }


def seen(graphs: list[MetaGraph]) -> dict[frozenset[str], Tensors]:
    """What loaders see: the first meta graph of each tag set."""
    found: dict[frozenset[str], Tensors] = {}
    for graph in graphs:
        found.setdefault(graph.tag_set, tensors(graph))
    return found


def carried(before: Tensors, renamed: Any) -> Tensors:
    """The signatures of BEFORE under the names that they have in AFTER."""
    out: Tensors = {}
    for key, sides in before.items():
        for now in renamed.after(key):
            maps = {"input": renamed.inputs(now), "output": renamed.outputs(now)}
            out[now] = {
                side: {maps[side].get(name, name): of for name, of in names.items()}
                for side, names in sides.items()
            }
    return out


def any_edit(rng: random.Random, graphs: list[MetaGraph]) -> dict[str, Any]:
    """An edit that may be possible."""
    graph = rng.choice(graphs)
    keys = [key for key in graph.signature_defs if key not in RESERVED] or ["none"]
    key = rng.choice(keys)
    new = rng.choice([*keys, "a", "b", "c"])
    said = rng.choice([{}, {"tags": sorted(graph.tag_set)}, {"all_meta_graphs": True}])
    verb = rng.choice(
        ["rename-signature"] * 3 + ["copy-signature"] * 2 + ["remove-signature", "retag"]
        + ["rename-input", "rename-output"] * 4 + ["extract-meta-graph"] * (rng.random() < 0.1)
        + ["remove-meta-graph", "set-method-name"]
    )  # fmt: skip
    if verb == "retag":
        tags = rng.choice([["gpu"], ["serve"], sorted(graph.tag_set), ["gpu", "tpu"]])
        return {"verb": verb, "old": sorted(graph.tag_set), "new": tags, "force": True}
    if verb == "extract-meta-graph":
        return {"verb": verb, "tags": sorted(graph.tag_set)}
    if verb == "remove-meta-graph":
        return {"verb": verb, "tag_sets": [sorted(graph.tag_set)], "all_meta_graphs": True}
    if verb == "remove-signature":
        return {"verb": verb, "keys": [key], **said}
    if verb == "set-method-name":
        return {"verb": verb, "key": key, "method": "predict", **said}
    if verb == "rename-signature":
        return {"verb": verb, "old": key, "new": new, **said}
    if verb == "copy-signature":
        return {"verb": verb, "key": key, "new": new, **said}
    signature = graph.signature_defs.get(key)
    side = verb.partition("-")[2]
    names = list(getattr(signature, f"{side}s")) if signature else []
    old = rng.choice(names or ["none"])
    return {"verb": verb, "key": key, "old": old, "new": rng.choice([*names, "x", "y"]), **said}


@pytest.mark.parametrize("name", MODELS)
def test_any_edits(name: str, model: ModelFactory, tmp_path: Path) -> None:
    path = model(name)
    opened = fastsm.open(path)
    before = seen(opened.meta_graphs)
    rng = random.Random(name)
    n_done = n_renamed = 0
    for _ in range(12):
        done: list[dict[str, Any]] = []
        edit = fastsm.edit(path, dry_run=True)
        for _ in range(rng.randrange(1, 12)):
            asked = any_edit(rng, edit._draft.graphs)
            try:
                edit.apply([asked])
            except FastsmError:
                continue
            done.append(asked)
        n_done += len(done)
        mapping = Mapping.of_edits([{"verb": d.verb, **d.arguments} for d in edit.done], opened)
        assert len(edit.done) == len(done)
        after = seen(edit._draft.graphs)
        for tags, of in before.items():
            renamed = mapping.graph(tags)
            if renamed.tags is None:
                assert renamed.gone
                continue
            expected = after[renamed.tags]
            assert carried(of, renamed) == expected, done
            n_renamed += expected != of
        found = [mapping.graph(tags).tags for tags in before]
        assert len(set(found) - {None}) + found.count(None) == len(before)
    assert n_done > 12
    assert n_renamed


def test_each_verb_is_followed() -> None:
    assert set(VERBS) == set(verbs())


@pytest.fixture
def ranker() -> Any:
    return fastsm.open(EXAMPLES / "ranker" / "1")


@pytest.fixture
def tagger() -> Any:
    return fastsm.open(EXAMPLES / "tagger" / "1")


def test_nothing_known_is_the_same() -> None:
    same = Mapping().graph(SERVE)
    assert (same.tags, same.after("x"), same.inputs("x")) == (SERVE, ["x"], {})
    assert same.outputs("x") == Mapping().assets == {}


def test_parts_of_a_composite_follow_it() -> None:
    names = {"x": "y", "a[b]": "c"}
    assert [flat(names, name) for name in ("x", "x[values]", "x[row_splits/0]", "a[b]")] == [
        "y", "y[values]", "y[row_splits/0]", "c",
    ]  # fmt: skip
    assert [flat(names, name) for name in ("z", "z[values]", "y")] == ["z", "z[values]", "y"]


def test_removed(ranker: Any, tagger: Any) -> None:
    key = "serving_default"
    strip = {"verb": "strip-training-graph", "drop_signatures": [key]}
    for edit in ({"verb": "remove-signature", "keys": [key]}, strip):
        assert Mapping.of_edits([edit], ranker).graph(SERVE).after(key) == []
    only = {"verb": "strip-training-graph", "keep_signatures": key}
    assert Mapping.of_edits([only], ranker).graph(SERVE).after(key) == [key]
    gone = Mapping.of_edits([{"verb": "remove-meta-graph", "tag_sets": ["train"]}], tagger)
    assert gone.graph(frozenset(["train"])).tags is None
    assert gone.graph(frozenset(["train"])).gone == "removed by the edit"
    assert gone.graph(SERVE).tags == SERVE
    dropped = {"verb": "strip-training-graph", "drop_tags": ["train"]}
    assert Mapping.of_edits([dropped], tagger).graph(frozenset(["train"])).tags is None


def test_a_new_signature_is_no_old_one(ranker: Any) -> None:
    """Even under the key of one that was removed."""
    new = {"verb": "add-signature", "key": "serving_default", "inputs": {}, "outputs": {}}
    edits = [{"verb": "remove-signature", "keys": ["serving_default"]}, new]
    edits.append({"verb": "rename-signature", "old": "serving_default", "new": "b"})
    assert Mapping.of_edits(edits, ranker).graph(SERVE).after("serving_default") == []


def test_hidden(tagger: Any) -> None:
    """Of equal tag sets loaders see the first: here the train graph, as it is the first."""
    edit = {"verb": "retag", "old": "train", "new": "serve", "force": True}
    mapping = Mapping.of_edits([edit], tagger)
    assert mapping.graph(frozenset(["train"])).tags == SERVE
    hidden = mapping.graph(SERVE)
    assert (hidden.tags, hidden.gone) == (
        None, "hidden by the edit: loaders find another by {serve}",
    )  # fmt: skip


def test_assets(tagger: Any) -> None:
    edits = [
        {"verb": "rename-asset", "old": "vocabulary.txt", "new": "a.txt"},
        {"verb": "rename-asset", "old": "a.txt", "new": "b.txt"},
    ]
    assert Mapping.of_edits(edits, tagger).assets == {"vocabulary.txt": "b.txt"}
    edits.append({"verb": "rename-asset", "old": "b.txt", "new": "vocabulary.txt"})
    assert Mapping.of_edits(edits, tagger).assets == {}


def test_edits_of_another_model(ranker: Any, tagger: Any) -> None:
    rename = {"verb": "rename-signature", "old": "other", "new": "b"}
    with pytest.raises(RefusedError, match=r'no signature "other".*rename-signature'):
        Mapping.of_edits([rename], ranker)
    retag = {"verb": "retag", "old": ["train"], "new": ["debug"]}
    assert Mapping.of_edits([retag], tagger).graph(frozenset(["train"])).tags == {"debug"}
    with pytest.raises(RefusedError, match=r"no meta graph \{train\}"):
        Mapping.of_edits([retag], ranker)


@pytest.mark.parametrize(
    "edit",
    [
        None, [], {}, {"verb": 1}, {"verb": "undo"}, {"verb": ["retag"]}, {"verb": "retag"},
        {"verb": "retag", "old": [1], "new": "x"}, {"verb": "remove-signature", "keys": [1]},
        {"verb": "remove-signature", "keys": {}}, {"verb": "remove-meta-graph", "tag_sets": [3]},
        {"verb": "rename-signature", "old": "serving_default", "new": ["x"]},
        {"verb": "rename-input", "key": "serving_default", "old": None, "new": "x"},
        {"verb": "extract-meta-graph", "tags": 5}, {"verb": "rename-asset", "old": "x"},
        {"verb": "strip-training-graph", "keep_signatures": [None]},
    ],
)  # fmt: skip
def test_no_edit(edit: Any, ranker: Any) -> None:
    with pytest.raises(FormatError, match=r"edits\[0\]"):
        Mapping.of_edits([edit], ranker)


# -- receipts --------------------------------------------------------------------------------


def test_receipt(ranker: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ranker.folder, tmp_path / "m"))
    receipt = tmp_path / "receipt.json"
    with fastsm.edit(copy, receipt=receipt) as edit:
        edit.rename_signature("serving_default", "main")
        edit.copy_signature("main", "again")
        edit.retag("serve", "gpu")
    renamed = Mapping.of_receipt(receipt, ranker).graph(SERVE)
    assert (renamed.tags, renamed.after("serving_default")) == (GPU, ["main", "again"])
    receipt.unlink()
    fastsm.rename_signature(copy, "main", "serving_default", receipt=receipt)
    with pytest.raises(RefusedError, match="another model"):
        Mapping.of_receipt(receipt, ranker)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nonsense", '{"schema": "fastsm.backup/1"}', "[" * 100_000,
     '{"schema": "fastsm.receipt/1"}', '{"schema": "fastsm.receipt/1", "arguments": {}}',
     '{"schema": "fastsm.receipt/1", "verb": "edit", "arguments": {"edits": 1}}',
     '{"schema": "fastsm.receipt/1", "verb": ["edit"], "arguments": {}}'],
)  # fmt: skip
def test_no_receipt(text: str, ranker: Any, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(text)
    with pytest.raises(FormatError):
        Mapping.of_receipt(path, ranker)
    with pytest.raises(MissingError, match="no such receipt"):
        Mapping.of_receipt(tmp_path / "none", ranker)
    with pytest.raises(FormatError, match="cannot be read"):
        Mapping.of_receipt(tmp_path, ranker)


def test_receipt_of_an_undo(ranker: Any, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    undo = {"schema": "fastsm.receipt/1", "verb": "undo", "arguments": {"backup": "b"}}
    path.write_text(json.dumps(undo))
    with pytest.raises(UsageError, match="other way round"):
        Mapping.of_receipt(path, ranker)


# -- what a person says ----------------------------------------------------------------------


def test_map(model: ModelFactory) -> None:
    opened = fastsm.open(model("two_signatures"))
    (graph,) = opened.meta_graphs
    a, b = graph.signature_defs["serving_default"], graph.signature_defs["two"]
    x, y = next(iter(a.inputs)), next(iter(b.outputs))
    words = [
        "serving_default=two", "two=b=c", "{serve}={gpu, big}", f"serving_default:{x}=p:q",
        f"two:output:{y}=z",
    ]  # fmt: skip
    renamed = Mapping.parse(words, opened).graph(SERVE)
    assert renamed.tags == {"gpu", "big"}
    assert (renamed.after("serving_default"), renamed.after("two")) == (["two"], ["b=c"])
    assert renamed.inputs("two") == {x: "p:q"}
    assert renamed.outputs("b=c") == {y: "z"}
    assert renamed.inputs("b=c") == renamed.outputs("two") == {}


def test_map_of_a_copy(ranker: Any) -> None:
    words = ["serving_default=serving_default", "serving_default=main"]
    renamed = Mapping.parse(words, ranker).graph(SERVE)
    assert renamed.after("serving_default") == ["serving_default", "main"]


def test_map_of_a_name_in_all_that_have_it(model: ModelFactory) -> None:
    opened = fastsm.open(model("v1_slots"))
    (graph,) = opened.meta_graphs
    keys = [key for key in graph.signature_defs if key not in RESERVED]
    name = next(iter(graph.signature_defs[keys[0]].inputs))
    having = [key for key in keys if name in graph.signature_defs[key].inputs]
    renamed = Mapping.parse([f"{name}=other"], opened).graph(graph.tag_set)
    assert [key for key in keys if renamed.inputs(key) == {name: "other"}] == having


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["serving_default"], UsageError, "OLD=NEW is wanted"),
        (["=x"], MissingError, 'nothing is called ""'),
        (["serving_defalt=x"], MissingError, "Did you mean serving_default"),
        (["{train}={gpu}"], MissingError, r"no meta graph.*\{train\}.*tag sets here: \{serve\}"),
        (["{serve}=gpu"], UsageError, "becomes a tag set"),
        (["{serve}={a}", "{serve}={b}"], UsageError, "two names"),
        (["serving_default:nothing=x"], MissingError, 'in signature "serving_default"'),
    ],
)
def test_map_says_nothing(words: list[str], error: type[Exception], text: str, ranker: Any) -> None:
    with pytest.raises(error, match=text):
        Mapping.parse(words, ranker)


def test_map_contradicts_itself(model: ModelFactory, tagger: Any) -> None:
    opened = fastsm.open(model("two_signatures"))
    (graph,) = opened.meta_graphs
    inputs = list(graph.signature_defs["serving_default"].inputs)
    for words in (
        ["serving_default=a", "two=a"], ["serving_default=two"],
        [f"serving_default:{inputs[0]}=a", f"serving_default:{inputs[0]}=b"],
    ):  # fmt: skip
        with pytest.raises(UsageError, match="one for two"):
            Mapping.parse(words, opened)
    with pytest.raises(UsageError, match="a meta graph"):
        Mapping.parse(["{train}={serve}"], tagger)


def test_map_of_a_name_on_both_sides(ranker: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ranker.folder, tmp_path / "m"))
    signature = ranker.meta_graphs[0].signature_defs["serving_default"]
    name, out = next(iter(signature.inputs)), next(iter(signature.outputs))
    fastsm.rename_output(copy, "serving_default", out, name)
    opened = fastsm.open(copy)
    with pytest.raises(AmbiguousError, match=r"input serving_default:.*output.*\n.*KEY:input:"):
        Mapping.parse([f"{name}=other"], opened)
    renamed = Mapping.parse([f"serving_default:output:{name}=other"], opened).graph(SERVE)
    assert renamed.outputs("serving_default") == {name: "other"}
    assert renamed.inputs("serving_default") == {}
