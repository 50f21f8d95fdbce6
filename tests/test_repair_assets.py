"""Repair of assets: names that lead out are brought inside or refused, a file that is fed
twice is fed once, unused files go where they are named; TensorFlow's word for all of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.cli import main
from fastsm.pbtxt import message_class

from .conftest import ModelFactory
from .oracle import ROOT, Oracle
from .test_assets import GRAPH
from .test_edit_assets import MODELS_WITH, URL, forest, names, outputs, packed
from .test_retag import check_fingerprint, contents
from .test_verify_model import asset, hand_made, meta_graph, node
from .wire import delimited, entry, integer

LOADERS = ("v2", "v1", "cc")


def changed(path: Path, change: Callable[[Any], object]) -> Path:
    """The model's protobuf, changed by a function."""
    file = path / "saved_model.pb"
    message = message_class("tensorflow.SavedModel").FromString(file.read_bytes())
    change(message)
    file.write_bytes(message.SerializeToString(deterministic=True))
    return path


def ids(path: Path) -> dict[str, int]:
    """How many findings there are of each rule about assets."""
    found: dict[str, int] = {}
    for f in fastsm.verify(path).findings:
        if f.id.startswith("asset-"):
            found[f.id] = found.get(f.id, 0) + 1
    return found


def listing(path: Path) -> list[str]:
    """The files in assets/."""
    folder = path / "assets"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


# -- asset-outside -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vocabulary", "asset_field", "asset_collection"])
def test_a_name_through_the_parent_is_made_plain(
    name: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """`../assets/words.txt` loads everywhere, and the folder cannot be moved."""
    path = model_copy(name)
    want = outputs(path, oracle, name, set())
    before = contents(path)
    fastsm.rename_asset(path, "words.txt", "x" * 19, sync=False)
    data = (path / "saved_model.pb").read_bytes()
    assert data.count(b"x" * 19) == 1
    (path / "saved_model.pb").write_bytes(data.replace(b"x" * 19, b"../assets/words.txt"))
    (path / "assets" / ("x" * 19)).rename(path / "assets" / "words.txt")
    assert ids(path) == {"asset-outside": 1}
    assert outputs(path, oracle, name, set()) == want
    result = fastsm.repair(path, in_place=True, sync=False)
    assert (result.before["asset-outside"], result.after["asset-outside"]) == (1, 0)
    assert ids(path) == {} and names(path) == [["words.txt"]]
    assert contents(path)["saved_model.pb"] == before["saved_model.pb"]
    assert outputs(path, oracle, name, set()) == want


def test_an_absolute_name_becomes_what_cc_reads(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("vocabulary")
    want = oracle.run(path, "cc")

    def change(m: Any) -> None:
        m.meta_graphs[0].asset_file_def[0].filename = "/nonexistent/words.txt"

    changed(path, change)
    (path / "assets" / "nonexistent").mkdir()
    (path / "assets" / "words.txt").rename(path / "assets" / "nonexistent" / "words.txt")
    assert [oracle.load(path, loader, ["serve"]).ok for loader in LOADERS] == [False, False, True]
    fastsm.repair(path, only="asset-outside", in_place=True, sync=False)
    assert names(path) == [["nonexistent/words.txt"]] and ids(path) == {}
    assert [oracle.run(path, loader) for loader in LOADERS] == [want] * 3


def outside(tmp_path: Path, *names: str) -> Path:
    listed = [asset(f"c{i}:0", name) for i, name in enumerate(names)]
    return hand_made(tmp_path, meta_graph(*listed, nodes=GRAPH))


def test_a_file_elsewhere_in_the_model_is_copied(tmp_path: Path) -> None:
    path = outside(tmp_path, "../v.txt", "../assets.extra/w", "../v.txt")
    (path / "assets.extra").mkdir()
    (path / "v.txt").write_text("v")
    (path / "assets.extra" / "w").write_text("w")
    assert ids(path) == {"asset-outside": 3}
    result = fastsm.repair(path, only=["asset-outside"], in_place=True, sync=False)
    assert result.what == "mends asset-outside (3)"
    assert names(path) == [["v.txt", "assets.extra/w", "v.txt"]]
    assert (path / "assets" / "v.txt").read_text() == (path / "v.txt").read_text() == "v"
    assert not (path / "assets" / "v.txt").samefile(path / "v.txt")
    assert (path / "assets" / "assets.extra" / "w").read_text() == "w"
    assert "asset-outside" not in ids(path)


def test_an_absolute_name_in_the_model_itself(tmp_path: Path) -> None:
    path = outside(tmp_path, f"{tmp_path}/m/assets/v")
    (path / "assets" / "v").write_text("v")
    fastsm.repair(path, only="asset-outside", in_place=True, sync=False)
    assert names(path) == [["v"]]


UNMENDED = {
    "/etc/hostname": "means no file of the model's folder; no other is opened",
    "../../secret": "means no file of the model's folder; no other is opened",
    "..": "means no file of the model's folder; no other is opened",
    "a\0b": "means no file of the model's folder; no other is opened",
    "../saved_model.pb": "is saved_model.pb, which is no asset",
    "../variables/v": "is variables/v, which is no asset",
    "../taken": "is taken already",
    "../assets/out": "means no file of the model's folder; no other is opened",
    "../out": "means no file of the model's folder; no other is opened",
    "../assets/sub": "means no file of the model's folder; no other is opened",
}


@pytest.mark.parametrize("name", UNMENDED)
def test_what_cannot_be_brought_inside_is_refused(name: str, tmp_path: Path) -> None:
    path = outside(tmp_path, name, "taken")
    (tmp_path / "secret").write_text("secret")
    (path / "variables").mkdir()
    (path / "assets" / "sub").mkdir()
    for file in ("assets/taken", "taken", "variables/v"):
        (path / file).write_text("text")
    (path / "assets" / "out").symlink_to("../../secret")
    (path / "out").symlink_to("../secret")
    before = contents(path)
    with pytest.raises(fastsm.RefusedError) as e:
        fastsm.repair(path, only="asset-outside", in_place=True)
    if name != "../taken":
        assert UNMENDED[name] in str(e.value)
    assert "Copy the file to assets/ yourself" in str(e.value.hint)
    assert f"fastsm rename-asset {path} " in str(e.value.hint)
    # Without --only it is told, and the rest is mended.
    result = fastsm.repair(path, in_place=True, sync=False)
    assert not result.changed
    assert f"{e.value.problem}\n  {e.value.hint}" in result.warnings
    assert result.what == "nothing to mend"
    assert contents(path) == before


def test_the_way_out_that_is_told(tmp_path: Path) -> None:
    path = outside(tmp_path, "/etc/hostname")
    (path / "assets" / "host").write_text("host")
    assert fastsm.rename_asset(path, "/etc/hostname", "host", sync=False).changed
    assert ids(path) == {}


def test_two_files_for_one_name(tmp_path: Path) -> None:
    """C++ finds one and Python the other: nobody can tell which is meant."""
    absolute = f"{tmp_path}/m/assets/v"
    path = outside(tmp_path, absolute)
    for file in (path / "assets" / "v", path / "assets" / absolute.lstrip("/")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("v")
    with pytest.raises(fastsm.RefusedError, match=r"to C\+\+ and assets/v to Python: both"):
        fastsm.repair(path, only="asset-outside", in_place=True)


def test_some_are_mended_and_some_are_told(tmp_path: Path) -> None:
    path = outside(tmp_path, "../assets/a", "/etc/hostname", "../assets/a")
    (path / "assets" / "a").touch()
    result = fastsm.repair(path, only="asset-outside", in_place=True, sync=False)
    assert (result.before, result.after) == ({"asset-outside": 3}, {"asset-outside": 1})
    assert result.what == "mends asset-outside (2)"
    assert names(path) == [["a", "/etc/hostname", "a"]]
    assert ids(path) == {"asset-outside": 1}


@pytest.mark.parametrize("name", ["/etc/hostname", "../../m.secret", "../out"])
def test_nothing_outside_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = outside(tmp_path, name)
    (tmp_path / "m.secret").write_text("secret")
    (path / "out").symlink_to("../m.secret")
    seen: list[str] = []
    true = os.open

    def spy(target, *more, **how):  # type: ignore[no-untyped-def]
        seen.append(os.path.realpath(os.fsdecode(target)))
        return true(target, *more, **how)

    monkeypatch.setattr(os, "open", spy)
    with pytest.raises(fastsm.RefusedError):
        fastsm.repair(path, only="asset-outside", out=tmp_path / "new")
    assert {p for p in seen if not p.startswith(str(path))} == set()


# -- asset-tensor ------------------------------------------------------------------------


def test_cc_loads_again_what_was_fed_twice(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("doubled_asset")
    want = outputs(path, oracle, "doubled_asset", {"cc"})
    assert ids(path) == {"asset-tensor": 1}
    result = fastsm.repair(path, only="asset-tensor", in_place=True, sync=False)
    assert result.after == {"asset-tensor": 0} and ids(path) == {}
    got = outputs(path, oracle, "doubled_asset", set())
    assert {k: v for k, v in got.items() if k[1] != "cc"} == want
    # What is left is what the Builder writes that is given the asset once.
    single = fastsm.open(model("asset_collection")).meta_graphs[0]
    assert names(path) == [[a.filename for a in single.assets]]


def test_objects_follow_in_a_tf2_model(model_copy: ModelFactory, oracle: Oracle) -> None:
    """Python goes by positions in the list: three of them move."""
    path = model_copy("asset_names")
    want = outputs(path, oracle, "asset_names", set())

    def change(m: Any) -> None:
        (graph,) = m.meta_graphs
        one, two, three = list(graph.asset_file_def)
        del graph.asset_file_def[:]
        graph.asset_file_def.extend([three, one, two, one, three])
        places = {0: 1, 1: 2, 2: 4}
        for obj in graph.object_graph_def.nodes:
            if obj.WhichOneof("kind") == "asset":
                obj.asset.asset_file_def_index = places[obj.asset.asset_file_def_index]

    changed(path, change)
    assert ids(path) == {"asset-tensor": 2}
    assert outputs(path, oracle, "asset_names", {"cc"}) == {
        k: v for k, v in want.items() if k[1] != "cc"
    }
    fastsm.repair(path, only="asset-tensor", in_place=True, sync=False)
    check_fingerprint(path, oracle)
    graph = fastsm.open(path).meta_graphs[0]
    assert [a.tensor for a in graph.assets] == [
        f"asset_path_initializer{n}:0" for n in ("_2", "", "_1")
    ]
    assert graph.objects is not None
    indices = [n.asset_index for n in graph.objects if n.kind == "asset"]
    assert sorted(i for i in indices if i is not None) == [0, 1, 2]
    assert outputs(path, oracle, "asset_names", set()) == want


@pytest.mark.parametrize("name", ["asset_field", "vocabulary"])
def test_an_op_that_is_fed_becomes_a_tensor(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    before = contents(path)["saved_model.pb"]
    want = oracle.run(path, "v1")

    def change(m: Any) -> None:
        (one,) = m.meta_graphs[0].asset_file_def
        m.meta_graphs[0].asset_file_def.add().CopyFrom(one)
        one.tensor_info.name = one.tensor_info.name.removesuffix(":0")

    changed(path, change)
    assert ids(path) == {"asset-tensor": 2} and not oracle.load_v1(path, ["serve"]).ok
    fastsm.repair(path, only="asset-tensor", in_place=True, sync=False)
    assert len(contents(path)["saved_model.pb"]) == len(before)
    assert [oracle.run(path, loader) for loader in LOADERS] == [want] * 3


def test_positions_in_every_spelling(tmp_path: Path) -> None:
    """From the end, as Python counts; given twice; left out; too large."""
    def saved(*index: bytes) -> bytes:
        return delimited(1, delimited(5, *index))

    objects = delimited(
        7, saved(integer(1, 2)), saved(integer(1, 2**64 - 1)), saved(integer(1, 7), integer(1, 1)),
        saved(), saved(integer(1, 9)), delimited(1, delimited(5, integer(1, 2)), delimited(5)),
    )  # fmt: skip
    listed = [asset("c:0", "a"), asset("c", "./a"), asset("d:0", "b")]
    path = hand_made(tmp_path, meta_graph(*listed, objects, nodes=GRAPH + node("d", "Const")))
    for name in "ab":
        (path / "assets" / name).touch()
    fastsm.repair(path, only="asset-tensor", in_place=True, sync=False)
    graph = fastsm.open(path).meta_graphs[0]
    assert names(path) == [["a", "b"]] and graph.objects is not None
    assert [n.asset_index for n in graph.objects] == [1, 1, 0, 0, 9, 1]


def test_of_doubles_in_a_collection_the_first_stays(tmp_path: Path) -> None:
    values = [packed(URL, "c:0", "a"), packed("/tensorflow.AssetFileDef", "c:0", "a")]
    other = entry(4, "saved_model_assets", delimited(5, packed(URL, "x:0", "gone")))
    live = entry(4, "saved_model_assets", delimited(5, *values), delimited(5, values[1]))
    path = hand_made(tmp_path, meta_graph(other, live, nodes=GRAPH))
    (path / "assets" / "a").touch()
    assert ids(path) == {"asset-tensor": 2}
    fastsm.repair(path, only="asset-tensor", in_place=True, sync=False)
    assert names(path) == [["a"]] and ids(path) == {}
    data = (path / "saved_model.pb").read_bytes()
    assert values[0] in data and values[1] not in data and b"gone" in data


def test_a_list_in_two_parts(tmp_path: Path) -> None:
    """Of the value of a map's entry there may be two: they are one message."""
    value = packed(URL, "c:0", "a")
    half = delimited(2, delimited(5, value))
    key = delimited(1, "saved_model_assets")
    other = delimited(4, key + delimited(2, delimited(1, delimited(1, "x"))) + half + half)
    path = hand_made(tmp_path, meta_graph(other, nodes=GRAPH))
    (path / "assets" / "a").touch()
    assert ids(path) == {"asset-tensor": 1}
    fastsm.repair(path, only="asset-tensor", in_place=True, sync=False)
    assert ids(path) == {}


def test_a_list_behind_another_kind_is_left(tmp_path: Path) -> None:
    """What comes before another member of the oneof does not count; it is not guessed at."""
    value = delimited(5, packed(URL, "c:0", "a"))
    kinds = value + delimited(1, delimited(1, "x")) + value + value
    path = hand_made(tmp_path, meta_graph(entry(4, "saved_model_assets", kinds), nodes=GRAPH))
    (path / "assets" / "a").touch()
    assert ids(path) == {"asset-tensor": 1}
    with pytest.raises(fastsm.RefusedError, match="in parts that are merged: not edited"):
        fastsm.repair(path, only="asset-tensor", in_place=True)


def test_two_files_for_one_tensor_are_left(tmp_path: Path) -> None:
    path = hand_made(tmp_path, meta_graph(asset("c:0", "a"), asset("c:0", "b"), nodes=GRAPH))
    for name in "ab":
        (path / "assets" / name).touch()
    with pytest.raises(fastsm.RefusedError, match=r'is fed "a" and "b" in meta_graphs.0.: only'):
        fastsm.repair(path, only="asset-tensor", in_place=True)
    result = fastsm.repair(path, dry_run=True)
    assert "only who saved the model can tell" in result.warnings[-1]


# -- asset-unused ------------------------------------------------------------------------


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "tagger" / "1", tmp_path / "tagger"))


def test_unused_files_go_only_where_named(tagger: Path) -> None:
    for name in ("a", "sub/b", "sub/c\x1b", "vocabulary.txt~"):
        (tagger / "assets" / name).parent.mkdir(exist_ok=True)
        (tagger / "assets" / name).write_text("left over")
    (tagger / "assets" / "empty").mkdir()
    result = fastsm.repair(tagger, in_place=True, sync=False)
    assert not result.changed and result.warnings == []
    result = fastsm.repair(tagger, only="asset-unused", in_place=True, sync=False)
    assert result.before == {"asset-unused": 4} and result.after == {"asset-unused": 0}
    assert listing(tagger) == ["vocabulary.txt"]
    assert sorted(p.name for p in (tagger / "assets").iterdir()) == ["empty", "vocabulary.txt"]
    assert [c.name for c in result.changes if c.after is not None] == []


def test_one_unused_file_takes_its_folder_with_it(tagger: Path) -> None:
    """The commit of a single file, without a new folder."""
    (tagger / "assets" / "x" / "y").mkdir(parents=True)
    (tagger / "assets" / "x" / "y" / "z").touch()
    inode = tagger.stat().st_ino
    fastsm.repair(tagger, only="asset-unused", in_place=True, sync=False)
    assert not (tagger / "assets" / "x").exists() and tagger.stat().st_ino == inode


def test_the_folder_of_assets_stays(tmp_path: Path) -> None:
    path = hand_made(tmp_path, meta_graph(nodes=GRAPH))
    (path / "assets" / "a").touch()
    fastsm.repair(path, only="asset-unused", in_place=True, sync=False)
    assert (path / "assets").is_dir() and listing(path) == []


def test_what_an_asset_leads_to_is_used(tagger: Path) -> None:
    (tagger / "assets" / "vocabulary.txt").rename(tagger / "assets" / "words")
    (tagger / "assets" / "vocabulary.txt").symlink_to("words")
    assert ids(tagger) == {}
    assert fastsm.open(tagger).assets.keys() == {"vocabulary.txt"}


def test_links_and_pipes_stay(tmp_path: Path) -> None:
    path = hand_made(tmp_path, meta_graph(nodes=GRAPH))
    (path / "assets" / "link").symlink_to("/nonexistent")
    os.mkfifo(path / "assets" / "pipe")
    with pytest.raises(fastsm.RefusedError, match="assets/link is no regular file: remove it"):
        fastsm.repair(path, only="asset-unused", in_place=True)
    (path / "assets" / "file").touch()
    result = fastsm.repair(path, only="asset-unused", in_place=True, sync=False)
    assert result.after == {"asset-unused": 2}
    assert sorted(os.listdir(path / "assets")) == ["link", "pipe"]


def test_files_that_an_op_may_look_for_stay(tmp_path: Path) -> None:
    path = forest(tmp_path)
    (path / "assets" / "more").touch()
    with pytest.raises(fastsm.RefusedError, match='"StaticRegexReplace" takes the path') as e:
        fastsm.repair(path, only="asset-unused", in_place=True)
    assert "look for others by their names: they stay" in str(e.value)


# -- and all of them ---------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS_WITH)
def test_sound_models_need_none(name: str, model: ModelFactory) -> None:
    found = ids(model(name))
    assert found == ({"asset-tensor": 1} if name == "doubled_asset" else {})


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = outside(tmp_path, "../assets/a", "/etc/hostname")
    (path / "assets" / "a").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["verify", "m"])
    assert "fix: fastsm repair m --only asset-outside\n" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["repair", "m", "--only", "asset-outside", "--in-place"])
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("m   mends asset-outside (1)\n")
    assert 'warning: "/etc/hostname": means no file of the model\'s folder' in shown.err
    with pytest.raises(SystemExit) as ended:
        main(["repair", "m", "--only", "asset-outside", "--in-place", "--json"])
    assert ended.value.code == 5
