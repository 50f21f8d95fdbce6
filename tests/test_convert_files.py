"""The files of a graph's tables, as assets: which are taken, from where, and which are not."""
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import fastsm
from fastsm.verbs.convert import ConvertResult

from .convertible import LINE, asset_paths, placeholder, put, ref, scalar, strings, unary
from .graphs import RESOURCE, STRING, dtype, init_op, node
from .wire import delimited

#: A table that is filled from the file that `path` holds; ids looks something up in it.
TABLE = [
    placeholder("text", STRING, -1), node("table", "HashTableV2", key_dtype=dtype(STRING)),
    node("fill", "InitializeTableFromTextFileV2", "table", "path"),
    node("ids", "LookupTableFindV2", "table", "text", "text", Tout=dtype(STRING)),
]  # fmt: skip


def source(folder: Path, path: str, *, fields: bytes = b"") -> Path:
    return put(folder, [strings("path", path), *TABLE], fields=fields).with_name("model.ckpt.meta")


def convert(meta: Path, out: Path | None = None, **how: object) -> ConvertResult:
    return fastsm.convert(
        meta, out, outputs={"ids": "ids:0"}, sync=False, dry_run=out is None, **how,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that is not the graph's."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_beside_the_graph(tmp_path: Path, here: Path, listed: bool) -> None:
    fields = asset_paths("path:0") if listed else b""
    meta = source(tmp_path / "src", "words/the words.txt", fields=fields)
    (meta.parent / "words").mkdir()
    (meta.parent / "words" / "the words.txt").write_text("a\nb\n")
    result = convert(meta, tmp_path / "out")
    assert (tmp_path / "out" / "assets" / "the words.txt").read_text() == "a\nb\n"
    (asset,) = fastsm.open(tmp_path / "out").meta_graphs[0].assets
    assert (asset.filename, asset.tensor) == ("the words.txt", "path:0")
    assert [(a.said, a.tensor) for a in result.assets] == [("words/the words.txt", "path:0")]
    assert fastsm.verify(tmp_path / "out").ok
    assert fastsm.open(tmp_path / "out").meta_graphs[0].init_op is not None


def test_where_a_relative_path_is_looked_for(tmp_path: Path, here: Path) -> None:
    """Below the graph's folder, as it is said; then by its name alone."""
    meta = source(tmp_path / "src", "data/words.txt")
    places = [meta.parent / "data", meta.parent, meta.parent / "assets"]
    for i, place in enumerate(places):
        place.mkdir(exist_ok=True)
        (place / "words.txt").write_text(str(i))
    for i, place in enumerate(places):
        convert(meta, tmp_path / f"out{i}")
        assert (tmp_path / f"out{i}" / "assets" / "words.txt").read_text() == str(i)
        (place / "words.txt").unlink()
    looked = f"not there. Looked for: {meta.parent}/data/words.txt"
    with pytest.raises(fastsm.MissingError, match=re.escape(looked)):
        convert(meta)


def test_a_file_beside_the_checkpoint(tmp_path: Path, here: Path) -> None:
    nodes = [strings("path", "words.txt"), *TABLE, ref("w")]
    meta = put(tmp_path / "graph", nodes).with_name("model.ckpt.meta")
    prefix = put(tmp_path / "weights", LINE, scalar("w"))
    (prefix.parent / "words.txt").write_text("w")
    (asset,) = convert(meta, checkpoint=prefix).assets
    assert asset.file == str(prefix.parent / "words.txt")


def test_the_current_folder_is_no_place_for_a_graph_to_choose_from(
    tmp_path: Path, here: Path
) -> None:
    """A stranger's graph must not decide what of it is published."""
    (here / ".ssh").mkdir()
    (here / ".ssh" / "id_rsa").write_text("s")
    meta = source(tmp_path / "src", ".ssh/id_rsa")
    with pytest.raises(fastsm.MissingError, match="only where you name it") as caught:
        convert(meta)
    assert "--asset path:0=.ssh/id_rsa" in str(caught.value)
    assert [a.name for a in convert(meta, assets={"path:0": ".ssh/id_rsa"}).assets] == ["id_rsa"]


def test_an_absolute_path_is_taken_beside_the_graph_alone(tmp_path: Path, here: Path) -> None:
    secret = here / "secret"
    secret.write_text("s")
    meta = source(tmp_path / "src", str(secret))
    with pytest.raises(fastsm.MissingError, match="only where you name it") as caught:
        convert(meta)
    assert f"--asset path:0={secret}" in str(caught.value)
    result = convert(meta, tmp_path / "out", assets={"path": secret})
    assert [a.file for a in result.assets] == [str(secret)]
    beside = source(tmp_path / "src", str(tmp_path / "src" / "sub" / "words.txt"))
    (tmp_path / "src" / "sub").mkdir()
    (tmp_path / "src" / "sub" / "words.txt").write_text("w")
    assert [a.name for a in convert(beside).assets] == ["words.txt"]


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "link", "/dev/zero", "\0", ""])
def test_paths_that_lead_out(tmp_path: Path, here: Path, path: str) -> None:
    (tmp_path / "secret").write_text("s")
    meta = source(tmp_path / "src", path)
    (meta.parent / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(fastsm.MissingError, match="--asset path:0="):
        convert(meta)


def test_the_path_of_another_machine(tmp_path: Path, here: Path) -> None:
    meta = source(tmp_path / "src", "/home/somebody/vocab/words.txt")
    (meta.parent / "words.txt").write_text("w")
    assert [a.file for a in convert(meta).assets] == [str(meta.parent / "words.txt")]


def test_equal_names(tmp_path: Path, here: Path) -> None:
    """One file for one content, and other names for others."""
    nodes = list(TABLE)
    for i, name in enumerate(["b", "c", "d"]):
        nodes += [
            strings(f"path{i}", f"{name}/w.txt"),
            node(f"t{i}", "HashTableV2", key_dtype=dtype(STRING)),
            node(f"fill{i}", "InitializeTableFromTextFileV2", f"t{i}", f"path{i}"),
        ]
    meta = put(tmp_path / "src", [strings("path", "a/w.txt"), *nodes]).with_name("model.ckpt.meta")
    for name, content in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "3")):
        (meta.parent / name).mkdir()
        (meta.parent / name / "w.txt").write_text(content)
    convert(meta, tmp_path / "out")
    assets = {p.name: p.read_text() for p in (tmp_path / "out" / "assets").iterdir()}
    assert assets == {"w.txt": "1", "w_1.txt": "2", "w_2.txt": "3"}
    described = {a.tensor: a.filename for a in fastsm.open(tmp_path / "out").meta_graphs[0].assets}
    assert described == {"path:0": "w.txt", "path0:0": "w_1.txt", "path1:0": "w.txt",
                         "path2:0": "w_2.txt"}  # fmt: skip


def test_names_for_paths_that_have_none(tmp_path: Path, here: Path) -> None:
    """A path that is no file's name, or acts on a terminal: the name is that of the file."""
    (here / "given.txt").write_text("w")
    for i, path in enumerate(["..", "a/", "\x1b[2J.txt", "x" * 300]):
        meta = source(tmp_path / f"src{i}", path)
        result = convert(meta, tmp_path / f"out{i}", assets={"path:0": "given.txt"})
        assert [a.name for a in result.assets] == ["given.txt"]


def test_what_is_no_file_or_not_asked_for(tmp_path: Path, here: Path) -> None:
    meta = source(tmp_path / "src", "words.txt")
    with pytest.raises(fastsm.UsageError, match="those that are: path:0"):
        convert(meta, assets={"text:0": "words.txt"})
    with pytest.raises(fastsm.MissingError, match="it is the file of path:0"):
        convert(meta, assets={"path:0": here / "none"})
    os.mkfifo(here / "pipe")
    with pytest.raises(fastsm.RefusedError, match="not a regular file"):
        convert(meta, assets={"path:0": here / "pipe"})


def test_assets_that_are_described_already(tmp_path: Path, here: Path) -> None:
    def described(name: str) -> bytes:
        info = delimited(1, delimited(1, "path:0"))
        return delimited(6, info, delimited(2, name))

    meta = source(tmp_path / "src", "/gone/words.txt", fields=described("sub/w.txt"))
    with pytest.raises(fastsm.MissingError, match=r"assets/sub/w\.txt"):
        convert(meta)
    (meta.parent / "assets" / "sub").mkdir(parents=True)
    (meta.parent / "assets" / "sub" / "w.txt").write_text("w")
    convert(meta, tmp_path / "out")
    assert (tmp_path / "out" / "assets" / "sub" / "w.txt").read_text() == "w"
    assert len(fastsm.open(tmp_path / "out").meta_graphs[0].assets) == 1
    meta = source(tmp_path / "src", "w.txt", fields=described("../../w.txt"))
    with pytest.raises(fastsm.RefusedError, match="no plain path"):
        convert(meta)


def test_a_path_behind_a_default(tmp_path: Path, here: Path) -> None:
    path = node("path", "PlaceholderWithDefault", "said", dtype=dtype(STRING))
    nodes = [strings("said", "words.txt"), path, *TABLE]
    meta = put(tmp_path / "src", nodes).with_name("model.ckpt.meta")
    (meta.parent / "words.txt").write_text("w")
    assert [(a.tensor, a.said) for a in convert(meta).assets] == [("path:0", "words.txt")]


def test_a_table_that_nothing_fills(tmp_path: Path, here: Path) -> None:
    nodes = [n for n in TABLE if b"fill" not in n]
    meta = put(tmp_path / "src", nodes).with_name("model.ckpt.meta")
    (warning,) = convert(meta).warnings
    assert warning == "loading does not fill table: looking something up there fails"
    nodes.append(unary("fill", "LookupTableImportV2", "table", "text", "text", number=RESOURCE))
    meta = put(tmp_path / "src", nodes).with_name("model.ckpt.meta")
    result = convert(meta)
    assert result.warnings == [] and result.init == "a new init op: fills 1 table"
    # An init op of the graph's own that does something else does not fill it.
    nodes.append(node("mine", "NoOp"))
    meta = put(tmp_path / "src", nodes, fields=init_op("mine")).with_name("model.ckpt.meta")
    assert convert(meta).warnings == [warning]


def test_a_table_that_can_be_filled_later(tmp_path: Path, here: Path) -> None:
    nodes = [
        placeholder("text", STRING, -1), node("table", "MutableHashTableV2"),
        node("ids", "LookupTableFindV2", "table", "text", "text", Tout=dtype(STRING)),
    ]  # fmt: skip
    meta = put(tmp_path / "src", nodes).with_name("model.ckpt.meta")
    assert convert(meta).warnings == ["loading does not fill table: it starts empty"]
