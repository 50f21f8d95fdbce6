"""rename-asset and replace-asset: all that names a file, and the file; TensorFlow's word."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.cli import main

from .conftest import CorpusEntry, ModelFactory
from .edits import stats
from .models import MODELS
from .oracle import ROOT, Oracle
from .test_assets import GRAPH, call, function
from .test_retag import check_fingerprint, contents
from .test_verify_model import asset, hand_made, meta_graph, node
from .wire import delimited, entry

#: Our own models with assets: their file, and the loaders that refuse them as they are.
MODELS_WITH: dict[str, tuple[str, set[str]]] = {
    "asset_collection": ("words.txt", set()),
    "asset_field": ("words.txt", set()),
    "legacy_init": ("words.txt", set()),
    "both_assets": ("words.txt", set()),
    "doubled_asset": ("words.txt", {"cc"}),
    "vocabulary": ("words.txt", set()),
    "v2_pbtxt": ("words.txt", set()),
    "nested_assets": ("wörter/an other/die wörter.txt", set()),
    "asset_names": ("w.txt", set()),
}

NEW = "a b/größe/new.txt"


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "tagger" / "1", tmp_path / "tagger"))


def names(path: Path) -> list[list[str]]:
    return [[a.filename for a in g.assets] for g in fastsm.open(path).meta_graphs]


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(w) for w in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def kept(files: dict[str, bytes]) -> dict[str, bytes]:
    """What an edit and its inverse give back byte for byte: a fingerprint has another uuid,
    and a text model another layout."""
    return {n: d for n, d in files.items() if n not in ("fingerprint.pb", "saved_model.pbtxt")}


def outputs(path: Path, oracle: Oracle, name: str, refusing: set[str]) -> dict[Any, Any]:
    """What each signature of each meta graph gives, in each loader."""
    found = {}
    feeds = MODELS[name].feeds if name in MODELS else {}
    for graph in fastsm.open(path).meta_graphs:
        for loader in ("v2", "v1", "cc"):
            tags = sorted(graph.tag_set)
            assert oracle.load(path, loader, tags).ok == (loader not in refusing)
            for key in graph.signatures if loader not in refusing else ():
                got = oracle.run(path, loader, tags, key, feeds=feeds.get(key))
                found[graph.index, loader, key] = got
    return found


# -- against TensorFlow ------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS_WITH)
def test_every_loader_reads_the_file_by_its_new_name(
    name: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    old, refusing = MODELS_WITH[name]
    want = outputs(model(name), oracle, name, refusing)
    before = contents(path)
    result = fastsm.rename_asset(path, old, NEW, sync=False)
    assert result.undo == f"fastsm rename-asset {path} '{NEW}' " + (
        f"'{old}'" if " " in old else old
    )
    after = contents(path)
    assert after[f"assets/{NEW}"] == before[f"assets/{old}"] and f"assets/{old}" not in after
    assert [a for g in names(path) for a in g].count(NEW) == {"asset_names": 2}.get(
        name, 2 if name == "doubled_asset" else 1
    )
    if "fingerprint.pb" in before:
        check_fingerprint(path, oracle)
    assert outputs(path, oracle, name, refusing) == want and want

    fastsm.rename_asset(path, NEW, old, sync=False)
    if name == "v2_pbtxt":
        assert oracle.parse(path) == oracle.parse(model(name))
    assert kept(contents(path)) == kept(before)
    assert {p.relative_to(path) for p in path.rglob("*")} == {
        p.relative_to(model(name)) for p in model(name).rglob("*")
    }


def test_several_meta_graphs_follow(tagger: Path, oracle: Oracle) -> None:
    before, want = contents(tagger), outputs(tagger, oracle, "tagger", set())
    fastsm.rename_asset(tagger, "vocabulary.txt", "v", sync=False)
    assert names(tagger) == [["v"], ["v"]]
    assert outputs(tagger, oracle, "tagger", set()) == want and len(want) == 6
    fastsm.rename_asset(tagger, "v", "vocabulary.txt", sync=False)
    assert contents(tagger) == before


def test_every_corpus_model(corpus_model: CorpusEntry, tmp_path: Path, oracle: Oracle) -> None:
    """The same verdict of each loader, there and back; or a refusal that says why."""
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    if corpus_model.catalog["parse_error"]:
        return
    files = fastsm.open(path).assets.values()
    present = [f for f in files if f.state == "present"]
    for file in files:
        if file.state == "unused":
            with pytest.raises(fastsm.MissingError, match="no meta graph names an asset"):
                fastsm.rename_asset(path, file.name, NEW)
        if file.state == "missing":
            with pytest.raises(fastsm.MissingError, match=r"neither .* is there"):
                fastsm.rename_asset(path, file.name, NEW)
    if not present:
        return
    tags = sorted(fastsm.open(path).tag_sets[0])
    loaders = ("v2", "v1", "cc")
    want = {loader: oracle.load(path, loader, tags).ok for loader in loaders}
    parsed, before = oracle.parse(path), contents(path)
    forest = any(f.name == "done" for f in present)
    for file in present:
        if forest:
            with pytest.raises(fastsm.RefusedError, match='op "StaticRegexReplace" takes'):
                fastsm.rename_asset(path, file.name, NEW)
        fastsm.rename_asset(path, file.name, NEW, force=forest, sync=False)
        assert {loader: oracle.load(path, loader, tags).ok for loader in loaders} == want
        fastsm.rename_asset(path, NEW, file.name, force=forest, sync=False)
        if "saved_model.pb" in before:
            assert kept(contents(path)) == kept(before)
        assert oracle.parse(path) == parsed


def test_tensorflow_reads_the_replaced_file(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("vocabulary")
    inputs = {"serving_default": {"words": ["fox", "the", "new"]}}
    key = next(iter(fastsm.open(path).signatures))
    feeds = inputs["serving_default"]
    first = oracle.run(path, "cc", ["serve"], key, feeds=feeds)
    (path.parent / "words").write_text("fox\nnew\nbrown\nthe\n")
    before = contents(path)
    result = fastsm.replace_asset(path, "words.txt", path.parent / "words", in_place=True)
    assert [c.name for c in result.changes] == ["assets/words.txt"]
    after = contents(path)
    assert after.pop("assets/words.txt") == b"fox\nnew\nbrown\nthe\n"
    assert before.pop("assets/words.txt") and after == before
    got = [oracle.run(path, loader, ["serve"], key, feeds=feeds) for loader in ("v2", "v1", "cc")]
    assert got[0] == got[1] == got[2] != first


# -- what changes, and what does not -----------------------------------------------------


def test_the_file_is_moved_and_not_copied(tagger: Path) -> None:
    before = (tagger / "assets" / "vocabulary.txt").stat()
    fastsm.rename_asset(tagger, "vocabulary.txt", "a/b", sync=False)
    after = (tagger / "assets" / "a" / "b").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (
        before.st_ino, before.st_mtime_ns, before.st_mode,
    )  # fmt: skip


def test_folders_that_empty_go_and_others_stay(tagger: Path) -> None:
    (tagger / "assets" / "empty").mkdir()
    (tagger / "assets" / "x" / "empty").mkdir(parents=True)
    for new in ("x/y/z/v", "x/v", "k/v", "v"):
        old = names(tagger)[0][0]
        fastsm.rename_asset(tagger, old, new, sync=False)
        found = {str(p.relative_to(tagger / "assets")) for p in (tagger / "assets").rglob("*")}
        above = {str(p) for p in Path(new).parents if str(p) != "."}
        assert found == {new, "empty", "x", "x/empty"} | above


def test_only_names_differ(tagger: Path) -> None:
    before = contents(tagger)["saved_model.pb"]
    fastsm.rename_asset(tagger, "vocabulary.txt", "VOCABULARY.TXT", sync=False)
    after = contents(tagger)["saved_model.pb"]
    assert after == before.replace(b"\x12\x0evocabulary.txt", b"\x12\x0eVOCABULARY.TXT")


def test_a_hundred_edits_do_not_grow_the_file(tagger: Path) -> None:
    before = contents(tagger)
    for i in range(50):
        fastsm.rename_asset(tagger, "vocabulary.txt", "v" * (i + 1), sync=False)
        fastsm.rename_asset(tagger, "v" * (i + 1), "vocabulary.txt", sync=False)
    assert contents(tagger) == before


def test_out_leaves_the_model_as_it_was(tagger: Path, tmp_path: Path) -> None:
    before = contents(tagger)
    result = fastsm.rename_asset(tagger, "vocabulary.txt", "a/v", out=tmp_path / "out")
    assert contents(tagger) == before
    assert names(tmp_path / "out") == [["a/v"], ["a/v"]] and result.path == str(tmp_path / "out")
    assert not (tmp_path / "out" / "assets" / "vocabulary.txt").exists()
    inode = (tmp_path / "out" / "assets" / "a" / "v").stat().st_ino
    assert inode != (tagger / "assets" / "vocabulary.txt").stat().st_ino


def test_the_same_name_writes_nothing(tagger: Path) -> None:
    before = stats(tagger)
    result = fastsm.rename_asset(tagger, "vocabulary.txt", "vocabulary.txt")
    assert not result.changed and result.undo is None
    same = fastsm.replace_asset(
        tagger, "vocabulary.txt", tagger / "assets" / "vocabulary.txt", in_place=True
    )
    assert not same.changed
    assert stats(tagger) == before


def test_edits_compose(tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("words")
    before = contents(tagger)
    with fastsm.edit(tagger, in_place=True, backup=tmp_path / "before", sync=False) as e:
        e.rename_asset("vocabulary.txt", "a")
        e.replace_asset("a", tmp_path / "words")
        e.rename_asset("a", "b/c")
        with pytest.raises(fastsm.MissingError, match="no meta graph names an asset a"):
            e.rename_asset("a", "x")
    assert contents(tagger)["assets/b/c"] == b"words"
    assert {p for p in contents(tagger) if p.startswith("assets")} == {"assets/b/c"}
    fastsm.undo(tagger, tmp_path / "before", sync=False)
    assert contents(tagger) == before


def test_undo_takes_the_new_folders_along(tagger: Path, tmp_path: Path) -> None:
    before = sorted(tagger.rglob("*"))
    fastsm.rename_asset(tagger, "vocabulary.txt", "x/y/z", backup=tmp_path / "b", sync=False)
    assert (tagger / "assets" / "x" / "y").is_dir()
    fastsm.undo(tagger, tmp_path / "b", sync=False)
    assert sorted(tagger.rglob("*")) == before


def test_a_rename_and_back_in_one_go_writes_nothing(tagger: Path) -> None:
    before = stats(tagger)
    with fastsm.edit(tagger) as e:
        e.rename_asset("vocabulary.txt", "a/b")
        e.rename_asset("a/b", "vocabulary.txt")
    assert e.result is not None and not e.result.changed
    assert stats(tagger) == before


def two(tmp_path: Path, *more: str) -> Path:
    """A model of two assets, which are there."""
    listed = ["a", "b", *more]
    path = hand_made(
        tmp_path,
        meta_graph(*(asset(f"c{i}:0", name) for i, name in enumerate(listed)), nodes=GRAPH),
    )
    (path / "assets" / "a").write_text("A")
    (path / "assets" / "b").write_text("B")
    return path


def test_two_names_change_places(tmp_path: Path) -> None:
    path = two(tmp_path)
    with fastsm.edit(path, sync=False) as e:
        for old, new in (("a", "x"), ("b", "a"), ("x", "b")):
            e.rename_asset(old, new)
    assert names(path) == [["b", "a"]]
    assert contents(path)["assets/a"] == b"B" and contents(path)["assets/b"] == b"A"


def packed(url: str, tensor: str, filename: str) -> bytes:
    value = delimited(1, delimited(1, tensor)) + delimited(2, filename)
    return delimited(1, delimited(1, url) + delimited(2, value))


URL = "type.googleapis.com/tensorflow.AssetFileDef"


def test_every_definition_of_a_name(tmp_path: Path) -> None:
    """The field and the collection that it hides, in each of two meta graphs; of a name that
    is given twice the last counts; what is no asset stays."""
    twice = delimited(6, delimited(2, "a"), delimited(1, delimited(1, "c:0")), delimited(2, "b"))
    hidden = entry(
        4, "saved_model_assets",
        delimited(5, packed("/tensorflow.AssetFileDef", "c:0", "b"), packed("x/y", "c:0", "b"),
                  packed(URL, "d:0", "other")),
    )  # fmt: skip
    doubled = entry(4, "saved_model_assets", delimited(5, packed(URL, "c:0", "b")))
    first = meta_graph(twice, hidden, nodes=GRAPH)
    second = meta_graph(hidden, doubled, nodes=GRAPH)
    path = hand_made(tmp_path, first, second)
    (path / "assets" / "b").write_text("B")
    before = contents(path)
    fastsm.rename_asset(path, "b", "longer/name", sync=False, force=True)
    data = contents(path)["saved_model.pb"]
    assert data.count(b"longer/name") == 4
    assert data.count(delimited(1, "x/y")) == 2 and data.count(b"\x12\x01b") == 2
    fastsm.rename_asset(path, "longer/name", "b", sync=False, force=True)
    assert contents(path) == before


def test_definitions_without_end(tmp_path: Path) -> None:
    """In a collection that the field hides, so that no loader reads them."""
    many = entry(4, "saved_model_assets", delimited(5, packed(URL, "c:0", "b") * 20_000))
    path = hand_made(tmp_path, meta_graph(asset("c:0", "a"), many, nodes=GRAPH))
    (path / "assets" / "a").touch()
    assert names(path) == [["a"]]
    with pytest.raises(fastsm.FormatError, match=r"past a limit of fastsm \(20,000\)"):
        fastsm.rename_asset(path, "a", "new")


def test_a_definition_without_a_name(tmp_path: Path) -> None:
    nameless = delimited(6, delimited(1, delimited(1, "c:0")))
    path = hand_made(tmp_path, meta_graph(nameless, nodes=GRAPH))
    (path / "assets" / "v").write_text("V")
    result = fastsm.rename_asset(path, "", "v", sync=False)
    assert names(path) == [["v"]] and result.undo is None


@pytest.mark.parametrize("spelled", ["./a", "x//y", "x/../a"])
def test_another_spelling_is_found(spelled: str, tmp_path: Path) -> None:
    path = hand_made(tmp_path, meta_graph(asset("c:0", spelled), nodes=GRAPH))
    plain = os.path.normpath(spelled)
    (path / "assets" / "x").mkdir()
    (path / "assets" / plain).write_text("A")
    result = fastsm.rename_asset(path, plain, "new", sync=False)
    assert names(path) == [["new"]] and (path / "assets" / "new").read_text() == "A"
    assert result.undo is None and f'it was spelled "{spelled}"' in result.warnings[0]


def test_a_name_becomes_plain(tmp_path: Path) -> None:
    """`./a` to `a` moves nothing."""
    path = hand_made(tmp_path, meta_graph(asset("c:0", "./a"), nodes=GRAPH))
    (path / "assets" / "a").write_text("A")
    result = fastsm.rename_asset(path, "a", "a", sync=False)
    assert names(path) == [["a"]] and result.warnings == []
    assert [c.name for c in result.changes] == ["saved_model.pb"]


# -- files that are not there, and names that lead out -----------------------------------


@pytest.mark.parametrize("old", ["gone", "/tmp/gone", "../gone", "sub/../../gone"])
def test_the_name_alone_changes_where_there_is_no_file(old: str, tmp_path: Path) -> None:
    path = two(tmp_path, old)
    (path / "assets" / "here").write_text("here")
    result = fastsm.rename_asset(path, old, "here", sync=False)
    assert names(path) == [["a", "b", "here"]]
    assert (path / "assets" / "here").read_text() == "here"
    assert result.undo is None and "to move: only its name changed" in result.warnings[0]
    assert [c.name for c in result.changes] == ["saved_model.pb"]


def test_neither_file_is_there(tmp_path: Path) -> None:
    path = two(tmp_path, "gone", "/etc/hostname")
    with pytest.raises(fastsm.MissingError, match="neither assets/gone nor assets/new") as e:
        fastsm.rename_asset(path, "gone", "new")
    assert "replace-asset puts a file there" in str(e.value)
    with pytest.raises(fastsm.MissingError, match="Copy the file to assets/new first"):
        fastsm.rename_asset(path, "/etc/hostname", "new")


def test_a_missing_file_is_put_there(tmp_path: Path) -> None:
    path = two(tmp_path, "sub/gone")
    (tmp_path / "words").write_text("words")
    (tmp_path / "words").chmod(0o640)
    result = fastsm.replace_asset(path, "sub/gone", tmp_path / "words", in_place=True, sync=False)
    assert (path / "assets" / "sub" / "gone").read_text() == "words"
    assert (result.before, result.after) == ({"bytes": None}, {"bytes": 5})
    assert (tmp_path / "words").stat().st_nlink == 1


@pytest.mark.parametrize("name", ["/etc/hostname", "../x", "", "."])
def test_what_leads_out_is_not_replaced(name: str, tmp_path: Path) -> None:
    path = two(tmp_path, name)
    with pytest.raises(fastsm.RefusedError, match=r"names no file of assets/") as e:
        fastsm.replace_asset(path, name, ROOT / "README.md", in_place=True)
    assert "rename-asset" in str(e.value)


# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "error", "words"),
    [
        ("../x", fastsm.RefusedError, "leads out of assets/"),
        ("/x", fastsm.RefusedError, "leads out of assets/"),
        ("a\0b", fastsm.RefusedError, "leads out of assets/"),
        ("x//y", fastsm.UsageError, "no plain path"),
        ("./x", fastsm.UsageError, "no plain path"),
        ("", fastsm.UsageError, "no plain path"),
        ("x/", fastsm.UsageError, "no plain path"),
        ("x\udcff", fastsm.UsageError, "not valid Unicode"),
        ("x" * 256, fastsm.UsageError, "255 bytes at most"),
        ("ö" * 128 + "/x", fastsm.UsageError, "255 bytes at most"),
        ("b", fastsm.RefusedError, "b is another asset of the model already"),
        ("gone", fastsm.RefusedError, "gone is another asset of the model already"),
        ("unlisted", fastsm.RefusedError, "assets/unlisted is a file already"),
        ("dangling", fastsm.RefusedError, "would lie behind a link: at /nonexistent"),
        ("folder", fastsm.RefusedError, "assets/folder is a folder already"),
        ("unlisted/x", fastsm.RefusedError, "assets/unlisted is a file already"),
        ("a/x", fastsm.RefusedError, "assets/a is a file already"),
        ("out/x", fastsm.RefusedError, "would lie behind a link: at /nonexistent/x"),
    ],
)
def test_names_that_are_refused(new: str, error: Any, words: str, tmp_path: Path) -> None:
    path = two(tmp_path, "gone")
    (path / "assets" / "folder").mkdir()
    (path / "assets" / "unlisted").touch()
    (path / "assets" / "dangling").symlink_to("/nonexistent")
    (path / "assets" / "out").symlink_to("/nonexistent")
    before = stats(path)
    with pytest.raises(error, match=words):
        fastsm.rename_asset(path, "a", new)
    assert stats(path) == before


def test_a_name_that_an_edit_before_took(tmp_path: Path) -> None:
    path = two(tmp_path)
    with fastsm.edit(path, dry_run=True) as e:
        e.rename_asset("a", "x/y")
        for new in ("x/y", "x/y/z", "x"):
            with pytest.raises(fastsm.RefusedError, match="already"):
                e.rename_asset("b", new)
        e.rename_asset("b", "a")


def test_a_missing_name_is_told_with_the_nearest(tagger: Path) -> None:
    with pytest.raises(fastsm.MissingError, match=r"Did you mean vocabulary\.txt\?"):
        fastsm.rename_asset(tagger, "vocabluary.txt", "x")
    with pytest.raises(fastsm.MissingError, match=r"It has: vocabulary\.txt"):
        fastsm.replace_asset(tagger, "", ROOT / "README.md", in_place=True)


def test_files_that_are_no_files(tagger: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, error, words in (
        (tmp_path / "gone", fastsm.MissingError, "is not there"),
        (tmp_path, fastsm.RefusedError, "cannot be read: not a regular file"),
        (tmp_path / "pipe", fastsm.RefusedError, "cannot be read: not a regular file"),
        (tmp_path / "a\0b", fastsm.RefusedError, "cannot be read"),
    ):
        with pytest.raises(error, match=words):
            fastsm.replace_asset(tagger, "vocabulary.txt", path, in_place=True)


def test_an_asset_that_is_a_folder(tmp_path: Path) -> None:
    path = two(tmp_path, "sub")
    (path / "assets" / "sub").mkdir()
    for call_it in (
        lambda: fastsm.rename_asset(path, "sub", "new"),
        lambda: fastsm.replace_asset(path, "sub", ROOT / "README.md", in_place=True),
    ):
        with pytest.raises(fastsm.RefusedError, match="assets/sub cannot be read"):
            call_it()


def forest(tmp_path: Path) -> Path:
    """Three assets as TensorFlow Decision Forests save them: one's path leads to the others."""
    library = function("load", ["x"], node("r", "StaticRegexReplace", "x"))
    path = hand_made(
        tmp_path,
        meta_graph(
            asset("done:0", "done"), asset("nodes:0", "nodes"), asset("words:0", "words"),
            nodes=node("done", "Placeholder") + node("nodes", "Placeholder")
            + node("words", "Placeholder") + call("f", "load", "done")
            + node("t", "InitializeTableFromTextFileV2", "h", "words") + library,
        ),
    )  # fmt: skip
    for name in ("done", "nodes", "words"):
        (path / "assets" / name).touch()
    return path


def test_files_that_are_found_by_their_names_stay(tmp_path: Path) -> None:
    path = forest(tmp_path)
    for name, words in (("done", "other files"), ("nodes", "nodes")):
        with pytest.raises(fastsm.RefusedError) as e:
            fastsm.rename_asset(path, name, "new")
        assert f'op "StaticRegexReplace" takes the path of done, and may look for {words}' in str(
            e.value
        )
        assert "--force renames it all the same" in str(e.value)
    fastsm.rename_asset(path, "words", "new", sync=False)
    result = fastsm.rename_asset(path, "nodes", "other", force=True, sync=False)
    assert result.undo == f"fastsm rename-asset {path} other nodes --force"
    assert names(path) == [["done", "other", "new"]]


# -- links -------------------------------------------------------------------------------


def test_a_link_inside_the_model(tmp_path: Path) -> None:
    path = two(tmp_path, "link")
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "text").write_text("text")
    (path / "assets" / "link").symlink_to("../assets.extra/text")
    result = fastsm.rename_asset(path, "link", "sub/new", sync=False)
    assert (path / "assets" / "sub" / "new").read_text() == "text"
    assert not os.path.lexists(path / "assets" / "link")
    assert (path / "assets.extra" / "text").read_text() == "text"
    assert "assets/link was a link; assets/sub/new has what it led to" in result.warnings


def test_a_linked_file_is_replaced_where_it_lies(tmp_path: Path) -> None:
    path = two(tmp_path, "link")
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "text").write_text("text")
    (path / "assets" / "link").symlink_to("../assets.extra/text")
    (tmp_path / "new").write_text("new")
    result = fastsm.replace_asset(path, "link", tmp_path / "new", in_place=True, sync=False)
    assert (path / "assets" / "link").is_symlink()
    assert (path / "assets.extra" / "text").read_text() == "new"
    assert result.warnings == ["assets/link is a link: what it leads to is replaced"]


def test_a_link_out_of_the_model(tmp_path: Path) -> None:
    """As in caches of downloads: not in place, and --out writes real files."""
    path = two(tmp_path, "link")
    (tmp_path / "blob").write_text("blob")
    (path / "assets" / "link").symlink_to("../../blob")
    before = stats(path)
    (tmp_path / "file").write_text("file")
    for call_it in (
        lambda: fastsm.rename_asset(path, "link", "new"),
        lambda: fastsm.replace_asset(path, "link", tmp_path / "file", in_place=True),
    ):
        with pytest.raises(fastsm.RefusedError, match=r"is a link to .*blob, outside the model"):
            call_it()
    assert stats(path) == before
    fastsm.rename_asset(path, "link", "new", out=tmp_path / "out", sync=False)
    new = tmp_path / "out" / "assets" / "new"
    assert new.read_text() == "blob" and not new.is_symlink()
    assert not os.path.lexists(tmp_path / "out" / "assets" / "link")
    fastsm.replace_asset(path, "link", tmp_path / "file", out=tmp_path / "out2", sync=False)
    assert (tmp_path / "out2" / "assets" / "link").read_text() == "file"
    assert (tmp_path / "blob").read_text() == "blob"


def test_a_file_that_another_asset_is_a_link_to(tmp_path: Path) -> None:
    path = two(tmp_path, "link")
    (path / "assets" / "link").symlink_to("a")
    with pytest.raises(fastsm.RefusedError, match="the asset link leads to assets/a"):
        fastsm.rename_asset(path, "a", "new")
    fastsm.rename_asset(path, "link", "new", sync=False)
    fastsm.rename_asset(path, "a", "renamed", sync=False)
    assert contents(path)["assets/new"] == contents(path)["assets/renamed"] == b"A"


@pytest.mark.parametrize("name", ["../assets/a", "sub/../../assets/a", "/a"])
def test_a_file_that_another_name_leads_to(name: str, tmp_path: Path) -> None:
    path = two(tmp_path, name)
    with pytest.raises(fastsm.RefusedError, match="leads to assets/a, and would be lost") as e:
        fastsm.rename_asset(path, "a", "new")
    assert "repair --only asset-outside" in str(e.value)
    fastsm.repair(path, only="asset-outside", in_place=True, sync=False)
    fastsm.rename_asset(path, "a", "new", sync=False)
    assert names(path) == [["new", "b", "new"]]


def test_a_file_with_two_hard_links(tmp_path: Path) -> None:
    path = two(tmp_path)
    os.link(path / "assets" / "a", tmp_path / "twin")
    fastsm.rename_asset(path, "a", "new", sync=False)
    assert (path / "assets" / "new").samefile(tmp_path / "twin")
    (tmp_path / "file").write_text("file")
    fastsm.replace_asset(path, "new", tmp_path / "file", in_place=True, sync=False)
    assert (tmp_path / "twin").read_text() == "A"
    assert (path / "assets" / "new").read_text() == "file"


# -- the command line --------------------------------------------------------------------


def test_the_screens(
    tagger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tagger.parent)
    assert run("rename-asset", "tagger", "vocabulary.txt", "v") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("tagger   asset vocabulary.txt -> v\n  assets/v ")
    assert shown.endswith("undo: fastsm rename-asset tagger v vocabulary.txt\n")
    Path("words").write_text("words")
    assert run("replace-asset", "tagger", "v", "words") == 2
    told = capsys.readouterr()
    assert told.out.startswith("tagger   asset v: 71 bytes -> 5 bytes   (dry run)\n")
    assert "nothing written. To write: --out DIR, or --in-place" in told.err
    assert run("replace-asset", "tagger", "v", "words", "--in-place", "--backup", "b") == 0
    assert "undo: fastsm undo tagger b" in capsys.readouterr().out
    assert run("undo", "tagger", "b") == 0
    assert (tagger / "assets" / "v").stat().st_size == 71


def test_json(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rename-asset", tagger, "vocabulary.txt", "v", "--dry-run", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done["schema"] == "fastsm.rename-asset/1" and done["dry_run"] is True
    assert (done["before"], done["after"]) == ({"asset": "vocabulary.txt"}, {"asset": "v"})
    assert done["edits"] == [{"verb": "rename-asset", "old": "vocabulary.txt", "new": "v"}]
    assert run("rename-asset", tagger, "nope", "v", "--json") == 4
    failed = json.loads(capsys.readouterr().out)
    assert failed["error"]["type"] == "MissingError"
    assert run("rename-asset", tagger, "vocabulary.txt", "/v", "--json") == 5
    capsys.readouterr()
    assert run("replace-asset", tagger, "vocabulary.txt", tagger, "--in-place") == 5


def test_as_data(tagger: Path) -> None:
    (tagger.parent / "words").write_text("words")
    with fastsm.edit(tagger, in_place=True, sync=False) as e:
        e.apply([
            {"verb": "rename-asset", "old": "vocabulary.txt", "new": "v"},
            {"verb": "replace-asset", "name": "v", "file": str(tagger.parent / "words")},
        ])  # fmt: skip
    assert (tagger / "assets" / "v").read_text() == "words"


def test_a_name_that_acts_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = two(tmp_path, "\x1b[31mred")
    (path / "assets" / "\x1b[31mred").touch()
    assert run("rename-asset", path, "\x1b[31mred", "x\u202ey") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "asset \\x1b[31mred -> x\\u202ey" in shown


def test_names_of_thousands_of_folders_take_no_time(tmp_path: Path) -> None:
    """No folder of such a path is there: none is looked for one by one."""
    deep = ["a/" * 2000 + str(i) for i in range(1000)]
    listed = b"".join(
        delimited(6, delimited(1, delimited(1, "a:0")), delimited(2, name))
        for name in [*deep, "kept.txt"]
    )
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "kept.txt").write_text("x")
    graph = delimited(1, delimited(4, "serve")) + delimited(2, b"") + listed
    (tmp_path / "saved_model.pb").write_bytes(delimited(2, graph))
    start = time.process_time()
    fastsm.rename_asset(tmp_path, "kept.txt", "new.txt", force=True, sync=False)
    fastsm.verify(tmp_path)
    assert time.process_time() - start < 5
