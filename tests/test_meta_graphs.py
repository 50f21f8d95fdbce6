"""remove-meta-graph and extract-meta-graph: what goes, what stays, what loaders make of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fastsm
from fastsm import _core
from fastsm.bundle.opened import Bundle
from fastsm.model import SavedModel

from .conftest import CorpusEntry, ModelFactory
from .edits import stats
from .models import MODELS
from .oracle import ROOT, Oracle, TensorFlowFailed
from .test_dedupe import LOADERS, Outputs, outputs
from .test_retag import contents
from .wire import delimited, entry, integer

#: Models of several meta graphs that loaders tell apart.
SEVERAL = [
    "train_and_serve_ref", "train_and_serve_resource", "train_op_signature", "serve_and_gpu",
    "duplicate_tags", "odd_tags", "v1_pbtxt", "two_meta_graphs_v2", "both_formats",
    "dangling_collection", "tables_and_tags", "v1_devices",
]  # fmt: skip


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "tagger" / "1", tmp_path / "tagger"))


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "ranker" / "1", tmp_path / "ranker"))


def keys(path: Path) -> set[str]:
    found = Bundle.open(str(path / "variables" / "variables")).index.keys()
    return {key.decode() for key in found if _core.parse_slice_key(key) is None}


def tag_sets(path: Path) -> list[list[str]]:
    with fastsm.open(path) as model:
        assert isinstance(model, SavedModel)
        return [sorted(tags) for tags in model.tag_sets]


def spans(path: Path) -> list[bytes]:
    """The bytes of each meta graph, its tag and length too."""
    with fastsm.open(path) as model:
        assert isinstance(model, SavedModel)
        fields = [graph.field for graph in model.meta_graphs]
        return [model.reader.source.read(f.start, f.end - f.start) for f in fields]


def inodes(path: Path) -> dict[str, int]:
    return {p.name: p.stat().st_ino for p in (path / "variables").iterdir()}


def of(tags: list[str], computed: Outputs) -> Outputs:
    return {key: value for key, value in computed.items() if sorted(key[2]) == tags}


# -- every loader --


@pytest.mark.parametrize("name", SEVERAL)
def test_what_is_left_computes_what_it_computed(
    name: str,
    model: ModelFactory,
    tmp_path: Path,
    oracle: Oracle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Made-up words are lines of the assets, of which some go.
    fed = {"serving_default": {"text": ["the", "zebra", "no"]}}
    if name == "tables_and_tags":
        monkeypatch.setitem(MODELS, name, MODELS[name]._replace(feeds=fed))
    original = model(name)
    before, parts = outputs(original, name, oracle), spans(original)
    seen: list[list[str]] = []
    for i, tags in enumerate(tag_sets(original)):
        if tags in seen:
            continue  # hidden behind another of its tags
        seen.append(tags)
        out = tmp_path / str(i)
        result = fastsm.extract_meta_graph(original, set(tags), out=out, sync=False)
        assert result.changed and tag_sets(out) == [tags] and spans(out) == [parts[i]]
        after = outputs(out, name, oracle)
        assert after == of(tags, before) and after
        assert keys(out) <= keys(original)
        assert oracle.tensors(out).items() <= oracle.tensors(original).items()
        check_fingerprint(out, oracle)
        others = [set(t) for t in tag_sets(original) if t != tags]
        hidden = tag_sets(original).count(tags) > 1
        if not hidden:
            again = tmp_path / f"{i} by the others"
            fastsm.remove_meta_graph(
                original, *others, all_meta_graphs=True, out=again, sync=False
            )
            assert contents(again) == contents(out)


def check_fingerprint(path: Path, oracle: Oracle) -> None:
    if (path / "fingerprint.pb").exists():
        assert oracle.stored_fingerprint(path)[:5] == oracle.fingerprint(path)[:5]


def test_the_list_of_models_is_all_of_them(model: ModelFactory) -> None:
    """So that no model of several meta graphs is left out."""
    found = []
    for name in MODELS:
        path = model(name)
        try:
            if len(tag_sets(path)) > 1:
                found.append(name)
        except fastsm.FormatError:
            assert name == "no_meta_graphs"
    assert sorted(found) == sorted(SEVERAL)


def test_variables_that_only_training_has(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    original = model("train_and_serve_ref")
    assert keys(original) == {"w", "b", "w/Momentum", "b/Momentum"}
    result = fastsm.remove_meta_graph(original, "train", out=tmp_path / "serve", sync=False)
    assert keys(tmp_path / "serve") == {"w", "b"}
    assert (result.before["variables"], result.after["variables"]) == (4, 2)
    assert result.what == "removes {train}, and 2 variables that nothing else needs"
    assert set(oracle.tensors(tmp_path / "serve")) == {"w", "b"}
    assert fastsm.verify(tmp_path / "serve").ok


def test_assets_and_variables_that_only_training_has(model: ModelFactory, tmp_path: Path) -> None:
    original = model("tables_and_tags")
    result = fastsm.remove_meta_graph(original, "train", out=tmp_path / "out", sync=False)
    assert assets(original) - assets(tmp_path / "out") == {"labels.txt"}
    assert keys(original) - keys(tmp_path / "out") == {"bonus"}
    assert result.what == "removes {train}, and 1 variable and 1 asset that nothing else needs"
    result = fastsm.remove_meta_graph(original, "serve", out=tmp_path / "other", sync=False)
    assert result.what == "removes {serve}"
    assert assets(tmp_path / "other") == assets(original)


def test_shards_stay_the_same_files_where_all_is_needed(model_copy: ModelFactory) -> None:
    path = model_copy("train_and_serve_ref")
    before, files = inodes(path), contents(path)
    result = fastsm.remove_meta_graph(path, "serve", in_place=True, sync=False)
    assert result.changed and inodes(path) == before
    assert [name for name, data in contents(path).items() if data != files[name]] == [
        "saved_model.pb"
    ]
    assert not any("variables" in warning for warning in result.warnings)


def test_a_tf2_model_that_is_alone_again(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("two_meta_graphs_v2")
    before = inodes(path)
    result = fastsm.remove_meta_graph(path, {"serve", "copy"}, in_place=True, sync=False)
    assert any("goes by its objects" in warning for warning in result.warnings)
    assert inodes(path) == before and oracle.load_v2(path).ok
    assert fastsm.verify(path).ok
    assert all(check.ok for check in fastsm.open(path).check_fingerprint())


def test_one_that_tensorflow_could_not_load_alone(
    model_copy: ModelFactory, model: ModelFactory, oracle: Oracle
) -> None:
    """By its objects it wants the checkpoint's, which a checkpoint of TF1 has not."""
    path = model_copy("two_meta_graphs_v2")
    shutil.rmtree(path / "variables")
    shutil.copytree(model("serve_and_gpu") / "variables", path / "variables")
    before = contents(path)
    with pytest.raises(fastsm.RefusedError, match="has no object graph to restore them by"):
        fastsm.extract_meta_graph(path, "serve", in_place=True)
    assert contents(path) == before
    (path / "saved_model.pb").write_bytes(spans(path)[0])
    assert not oracle.load_v2(path).ok


# -- fingerprint.pb --


def stored(path: Path, oracle: Oracle) -> None:
    """Write a true fingerprint.pb."""
    hashes = oracle.fingerprint(path)
    fields = [integer(i + 1, value) for i, value in enumerate(hashes[:5]) if value]
    (path / "fingerprint.pb").write_bytes(b"".join(fields) + delimited(6, integer(1, 4)))


@pytest.mark.parametrize("first", [True, False])
def test_a_graph_with_objects_beside_one_without(
    first: bool, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """The hashes are of the first meta graph, which may be another one afterwards."""
    path = model_copy("two_signatures")
    [with_objects], [without, _] = spans(path), spans(model("train_and_serve_ref"))
    both = [without, with_objects] if first else [with_objects, without]
    (path / "saved_model.pb").write_bytes(b"".join(both))
    stored(path, oracle)
    check_fingerprint(path, oracle)
    (path / "other").mkdir()
    for tags in ("serve", "train"):
        out = path.with_name(f"only {tags}")
        shutil.rmtree(path / "other", ignore_errors=True)
        fastsm.extract_meta_graph(path, tags, out=out, sync=False)
        check_fingerprint(out, oracle)
        assert oracle.stored_fingerprint(out).saved_object_graph_hash or tags == "train"


# -- what is needed --


def joined(path: Path, *models: Path) -> Path:
    """Several models' meta graphs in the first one's folder."""
    shutil.copytree(models[0], path)
    data = b"".join((m / "saved_model.pb").read_bytes() for m in models)
    (path / "saved_model.pb").write_bytes(data)
    return path


def test_without_a_saver_the_collections_tell(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    trained, bare = model("train_and_serve_resource"), tmp_path / "bare"
    fastsm.extract_meta_graph(model("no_saver"), "serve", out=bare, sync=False)
    fastsm.retag(bare, "serve", "bare", sync=False)
    path = joined(tmp_path / "joined", trained, bare)
    assert tag_sets(path) == [["train"], ["serve"], ["bare"]]
    want = of(["bare"], outputs(path, "no_saver", oracle))
    result = fastsm.extract_meta_graph(path, "bare", out=tmp_path / "out", sync=False)
    assert keys(tmp_path / "out") == {"w", "b"} and not [w for w in result.warnings if "stay" in w]
    assert of(["bare"], outputs(tmp_path / "out", "no_saver", oracle)) == want
    assert isinstance(want["v1", "serving_default", ("bare",)], dict)


def test_a_graph_without_variables_needs_none(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    constants = tmp_path / "constants"
    fastsm.retag(model("v1_no_variables"), "serve", "constants", out=constants, sync=False)
    path = joined(tmp_path / "joined", model("train_and_serve_ref"), constants)
    want = of(["constants"], outputs(path, "", oracle))
    result = fastsm.extract_meta_graph(path, "constants", out=tmp_path / "out", sync=False)
    assert keys(tmp_path / "out") == set() and result.after["variables"] == 0
    assert of(["constants"], outputs(tmp_path / "out", "", oracle)) == want
    assert {type(value) for value in want.values()} == {dict}
    assert fastsm.verify(tmp_path / "out").findings == []


def node(name: str, op: str, *inputs: str, attr: bytes = b"") -> bytes:
    names = b"".join(delimited(3, i) for i in inputs)
    return delimited(1, delimited(1, name), delimited(2, op), names, attr)


def strings(name: str, *values: str) -> bytes:
    tensor = b"".join(delimited(8, value) for value in values)
    return node(name, "Const", attr=entry(5, "value", delimited(8, tensor)))


def restoring(tags: str, *parts: bytes, nodes: bytes, restore_op: str = "all") -> bytes:
    saver = delimited(3, delimited(1, "prefix:0"), delimited(3, restore_op))
    graph = delimited(2, node("prefix", "Placeholder") + nodes)
    return delimited(2, delimited(1, delimited(4, tags)), graph, saver, *parts)


WITH_CONSTANTS = (
    strings("keys", "w") + strings("slices", "")
    + node("restore", "RestoreV2", "prefix", "keys", "slices") + node("all", "NoOp", "^restore")
)  # fmt: skip


@pytest.mark.parametrize(
    "nodes, why",
    [
        (WITH_CONSTANTS, ""),
        (WITH_CONSTANTS + node("more", "RestoreV2", "elsewhere", "x", "slices"),
         "restores keys that it does not name as constants"),
        (WITH_CONSTANTS + node("more", "Restore", "prefix", "keys"),
         "has an op that reads checkpoints in an old way"),
        (node("all", "MyRestore", "prefix"), "does not tell what its saver restores"),
        (delimited(2, delimited(1, delimited(3, node("r", "RestoreV2", "p", "k", "s")[2:])))
         + WITH_CONSTANTS, "restores keys that it does not name as constants"),
    ],
)  # fmt: skip
def test_where_it_cannot_be_told_all_variables_stay(
    nodes: bytes, why: str, model_copy: ModelFactory
) -> None:
    path = model_copy("train_and_serve_ref")
    train, _ = spans(path)
    (path / "saved_model.pb").write_bytes(train + restoring("odd", nodes=nodes))
    before = inodes(path)
    result = fastsm.extract_meta_graph(path, "odd", in_place=True, sync=False)
    assert tag_sets(path) == [["odd"]]
    if not why:
        assert keys(path) == {"w"} and result.warnings == []
        return
    assert inodes(path) == before and len(keys(path)) == 4
    [warning] = result.warnings
    assert warning.startswith("all variables stay: ") and why in warning
    assert "variables" not in result.before


def test_another_restore_op_than_the_savers_counts(model_copy: ModelFactory) -> None:
    path = model_copy("train_and_serve_ref")
    train, _ = spans(path)
    more = strings("more", "b") + node("other", "RestoreV2", "elsewhere", "more", "slices")
    graph = restoring("odd", nodes=WITH_CONSTANTS + more)
    (path / "saved_model.pb").write_bytes(train + graph)
    fastsm.extract_meta_graph(path, "odd", in_place=True, sync=False)
    assert keys(path) == {"w", "b"}


@pytest.mark.parametrize("damage", ["index", "shard gone", "shard short"])
def test_damaged_variables_stay(damage: str, model_copy: ModelFactory) -> None:
    path = model_copy("train_and_serve_ref")
    index = path / "variables" / "variables.index"
    shard = path / "variables" / "variables.data-00000-of-00001"
    if damage == "index":
        data = bytearray(index.read_bytes())
        data[5] ^= 0xFF
        index.write_bytes(data)
    elif damage == "shard gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:1])
    before = contents(path)
    result = fastsm.remove_meta_graph(path, "train", in_place=True, sync=False)
    assert any(w.startswith("all variables stay: ") for w in result.warnings)
    after = contents(path)
    assert {n for n in before if before[n] != after.get(n)} == {"saved_model.pb"}


# -- assets --


def with_assets(tags: str, *names: str, collection: bool = False, nodes: bytes = b"") -> bytes:
    assets = [
        delimited(1, delimited(1, f"a{i}:0")) + delimited(2, name)
        for i, name in enumerate(names)
    ]
    if collection:
        url = "type.googleapis.com/tensorflow.AssetFileDef"
        packed = [delimited(1, delimited(1, url), delimited(2, a)) for a in assets]
        kind = delimited(5, *packed)
        listed = entry(4, "saved_model_assets", kind)
    else:
        listed = b"".join(delimited(6, a) for a in assets)
    holders = b"".join(node(f"a{i}", "Placeholder") for i in range(len(names)))
    return delimited(2, delimited(1, delimited(4, tags)), delimited(2, holders + nodes), listed)


def files(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / "assets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)


def assets(folder: Path) -> set[str]:
    below = folder / "assets"
    return {str(p.relative_to(below)) for p in below.rglob("*") if not p.is_dir()}


@pytest.mark.parametrize("collection", [False, True])
def test_assets_that_none_else_lists_go(collection: bool, tmp_path: Path) -> None:
    path = tmp_path / "m"
    files(path, "mine.txt", "shared.txt", "sub/mine.txt", "stray.txt", "spelled.txt")
    train = ["mine.txt", "shared.txt", "sub/../spelled.txt", "sub/mine.txt", "../out.txt", "lost"]
    (path / "saved_model.pb").write_bytes(
        with_assets("train", *train, collection=collection)
        + with_assets("serve", "./shared.txt", "spelled.txt")
    )
    (tmp_path / "out.txt").write_text("outside")
    result = fastsm.remove_meta_graph(path, "train", in_place=True, sync=False)
    assert assets(path) == {"shared.txt", "stray.txt", "spelled.txt"}
    assert result.before["assets"] == ["assets/mine.txt", "assets/sub/mine.txt"]
    assert result.what == "removes {train}, and 2 assets that nothing else needs"
    assert (tmp_path / "out.txt").exists()


def test_what_a_kept_asset_is_a_link_to_stays(tmp_path: Path) -> None:
    path = tmp_path / "m"
    files(path, "target.txt", "alone.txt")
    os.symlink("target.txt", path / "assets" / "link.txt")
    os.symlink("alone.txt", path / "assets" / "mine.txt")
    (path / "saved_model.pb").write_bytes(
        with_assets("train", "target.txt", "mine.txt") + with_assets("serve", "link.txt")
    )
    result = fastsm.remove_meta_graph(path, "train", in_place=True, sync=False)
    assert assets(path) == {"target.txt", "alone.txt", "link.txt", "mine.txt"}
    assert any("assets/mine.txt is a link" in warning for warning in result.warnings)


def test_assets_stay_beside_an_op_that_may_look_for_others(tmp_path: Path) -> None:
    path = tmp_path / "m"
    files(path, "mine.txt", "done")
    odd = node("load", "SimpleMLLoadModelFromPath", "a0")
    (path / "saved_model.pb").write_bytes(
        with_assets("train", "mine.txt") + with_assets("serve", "done", nodes=odd)
    )
    result = fastsm.remove_meta_graph(path, "train", in_place=True, sync=False)
    assert assets(path) == {"mine.txt", "done"}
    assert any("may look for others by their names" in warning for warning in result.warnings)


def test_an_asset_renamed_before_goes_under_its_new_name(tmp_path: Path) -> None:
    path = tmp_path / "m"
    files(path, "mine.txt")
    (path / "saved_model.pb").write_bytes(with_assets("train", "mine.txt") + with_assets("serve"))
    with fastsm.edit(path, in_place=True, sync=False) as e:
        e.rename_asset("mine.txt", "sub/other.txt")
        e.remove_meta_graph("train")
    assert assets(path) == set()


# -- which meta graphs --


def refused(path: Path, kind: type[Exception], match: str, call: Callable[[], object]) -> None:
    before = contents(path)
    with pytest.raises(kind, match=match):
        call()
    assert contents(path) == before


def test_what_is_refused(tagger: Path) -> None:
    def remove(*sets: str) -> Callable[[], object]:
        return lambda: fastsm.remove_meta_graph(tagger, *sets, in_place=True)

    refused(tagger, fastsm.RefusedError, "no meta graph would be left", remove("train", "serve"))
    refused(tagger, fastsm.MissingError, r"tag sets here: \{train\} \{serve\}", remove("gpu"))
    refused(tagger, fastsm.UsageError, "which meta graph", remove())
    refused(tagger, fastsm.RefusedError, "one tag with a comma", remove("train,serve"))
    refused(
        tagger, fastsm.MissingError, r"no meta graph has the tag set \{gpu\}",
        lambda: fastsm.extract_meta_graph(tagger, "gpu", in_place=True),
    )  # fmt: skip
    refused(
        tagger, fastsm.UsageError, "say where to write",
        lambda: fastsm.extract_meta_graph(tagger, "serve"),
    )  # fmt: skip


def test_several_of_one_tag_set(model_copy: ModelFactory) -> None:
    path = model_copy("duplicate_tags")
    assert tag_sets(path) == [["serve"], ["serve"], ["serve", "train"], []]
    with pytest.raises(fastsm.AmbiguousError) as caught:
        fastsm.remove_meta_graph(path, "serve", in_place=True)
    assert "loaders see meta_graphs[0] alone: meta_graphs[0], meta_graphs[1]" in str(caught.value)
    first = spans(path)[0]
    out = path.with_name("extracted")
    fastsm.extract_meta_graph(path, "serve", out=out, sync=False)
    assert spans(out) == [first]
    fastsm.remove_meta_graph(path, "serve", [], all_meta_graphs=True, in_place=True, sync=False)
    assert tag_sets(path) == [["serve", "train"]]


def test_the_only_one_is_extracted_already(ranker: Path) -> None:
    before = stats(ranker)
    result = fastsm.extract_meta_graph(ranker, "serve", in_place=True, sync=False)
    assert not result.changed and stats(ranker) == before


def test_edits_see_each_other(tagger: Path, tmp_path: Path) -> None:
    with fastsm.edit(tagger, in_place=True, sync=False) as e:
        e.retag("train", "debug")
        e.remove_meta_graph({"debug"})
        e.retag("serve", "gpu")
        with pytest.raises(fastsm.MissingError):
            e.remove_meta_graph("serve")
    assert tag_sets(tagger) == [["gpu"]]
    other = Path(shutil.copytree(ROOT / "examples" / "tagger" / "1", tmp_path / "other"))
    fastsm.remove_meta_graph(other, "train", in_place=True, sync=False)
    fastsm.retag(other, "serve", "gpu", sync=False)
    assert contents(tagger) == contents(other)


def test_as_data(tagger: Path, tmp_path: Path) -> None:
    result = fastsm.remove_meta_graph(tagger, "train", out=tmp_path / "one", sync=False)
    plan = result.to_dict()["edits"]
    assert plan == [{"verb": "remove-meta-graph", "tag_sets": [["train"]]}]
    with fastsm.edit(tagger, out=tmp_path / "two", sync=False) as e:
        e.apply(plan)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with fastsm.edit(tagger, dry_run=True) as e:
        for wrong in (["train", 7], "train", [["train", 7]], [True]):
            with pytest.raises(fastsm.UsageError, match=r"edits\[0\].tag_sets"):
                e.apply([{"verb": "remove-meta-graph", "tag_sets": wrong}])
        e.apply([{"verb": "extract-meta-graph", "tags": ["serve"]}])
    assert e.done[0].verb == "extract-meta-graph"


def test_the_commands(tagger: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "fastsm", *words],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    before = contents(tagger)
    code, out, err = run("remove-meta-graph", str(tagger), "train")
    assert code == 2 and "removes {train}, and 2 variables" in out and "nothing written" in err
    assert contents(tagger) == before
    code, out, _ = run(
        "extract-meta-graph", str(tagger), "serve", "--out", str(tmp_path / "new"), "--json"
    )
    told = json.loads(out)
    assert code == 0 and told["schema"] == "fastsm.extract-meta-graph/1"
    assert told["after"]["tag_sets"] == [["serve"]]
    code, out, _ = run("extract-meta-graph", str(tmp_path / "new"), "serve")
    assert (code, out) == (0, f"{tmp_path / 'new'}   {{serve}} is alone\n")
    code, _, err = run("remove-meta-graph", str(tagger), "", "--dry-run")
    assert code == 4 and "no meta graph has the tag set {}" in err
    code, _, err = run("remove-meta-graph", str(tagger))
    assert code == 2


def test_every_model_doubled_and_halved(
    corpus_model: CorpusEntry, tmp_path: Path
) -> None:
    """What a second meta graph brought goes with it: the bytes are those of before."""
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    if corpus_model.catalog["parse_error"] or not (path / "saved_model.pb").exists():
        return
    before = contents(path)
    data = before["saved_model.pb"]
    [graph] = spans(path)
    (tags,) = tag_sets(path)
    [fields] = _core.scan(_source(graph), [(0, len(graph))])
    other = delimited(2, graph[fields.at :], delimited(1, delimited(4, "doubled")))
    (path / "saved_model.pb").write_bytes(data + other)
    try:
        fastsm.remove_meta_graph(path, {*tags, "doubled"}, in_place=True, sync=False)
    except fastsm.RefusedError as e:
        assert "has no object graph to restore them by" in str(e)
        assert not (path / "variables" / "variables.index").exists()
        return
    after = contents(path)
    after.pop("fingerprint.pb", None), before.pop("fingerprint.pb", None)
    assert after == before


def _source(data: bytes) -> _core.Source:
    from fastsm.source import from_bytes

    return from_bytes(data)


def test_all_loaders_are_asked(model: ModelFactory, oracle: Oracle) -> None:
    """The comparison above compares numbers, not failures."""
    computed = outputs(model("train_and_serve_ref"), "train_and_serve_ref", oracle)
    assert {key[0] for key, value in computed.items() if isinstance(value, dict)} == set(LOADERS)
    with pytest.raises(TensorFlowFailed):
        oracle.run(model("train_and_serve_ref"), "v1", ["nope"])


def test_functions_that_restore_are_looked_at_in_time(model_copy: ModelFactory) -> None:
    """Of ten thousand each is looked into once."""
    path = model_copy("train_and_serve_ref")
    train, _ = spans(path)
    constants = strings("keys", "w") + strings("slices", "")
    body = _nodes(constants + node("r", "RestoreV2", "p", "keys", "slices"))
    inside = b"".join(delimited(3, n) for n in body)
    library = b"".join(
        delimited(1, delimited(1, delimited(1, f"f{i}")), inside) for i in range(10_000)
    )
    graph = restoring("odd", nodes=delimited(2, library) + WITH_CONSTANTS)
    (path / "saved_model.pb").write_bytes(train + graph)
    began = time.process_time()
    fastsm.extract_meta_graph(path, "odd", in_place=True, sync=False)
    assert time.process_time() - began < 10
    assert keys(path) == {"w"}


def _nodes(graph: bytes) -> list[bytes]:
    fields = _core.scan(_source(graph), [(0, len(graph))])
    return [graph[f.at : f.end] for f in fields]
