"""The list of assets: files, who uses them, and what is wrong with names and files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import fastsm
from fastsm.assets import AssetFile, leads_out, meant
from fastsm.cli import main
from fastsm.graph import paths

from .conftest import ModelFactory
from .oracle import ROOT
from .test_verify_model import asset, attributed, hand_made, meta_graph, node
from .wire import delimited, entry, integer

TAGGER = str(ROOT / "examples" / "tagger" / "1")

GRAPH = node("c", "Const") + node("t", "InitializeTableFromTextFileV2", "h", "c")


def assets(path: Path) -> dict[str, AssetFile]:
    return fastsm.open(path).assets


def screen(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["assets", str(path), *options])
    assert ended.value.code == 0
    return capsys.readouterr().out


# -- what is there -----------------------------------------------------------------------


def test_a_file_of_two_meta_graphs() -> None:
    [file] = assets(Path(TAGGER)).values()
    assert (file.name, file.state, file.bytes, file.problem) == (
        "vocabulary.txt", "present", 71, None,
    )  # fmt: skip
    assert [(u.meta_graph, u.tags, u.filename, u.tensor, u.ops) for u in file.uses] == [
        (i, [tag], "vocabulary.txt", "asset_path:0", ["InitializeTableFromTextFileV2"])
        for i, tag in enumerate(["train", "serve"])
    ]


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("asset_collection", "InitializeTableFromTextFileV2"),
        ("asset_field", "InitializeTableFromTextFileV2"),
        ("vocabulary", "InitializeTableFromTextFileV2"),
        ("v2_pbtxt", "InitializeTableFromTextFileV2"),
        ("asset_names", "ReadFile"),
    ],
)
def test_what_takes_a_path_in_the_end(name: str, ops: str, model: ModelFactory) -> None:
    files = assets(model(name))
    assert {f.state for f in files.values()} == {"present"}
    assert [u.ops for f in files.values() for u in f.uses] == [[ops]] * (
        3 if name == "asset_names" else 1
    )


def test_two_tensors_of_one_file(model: ModelFactory) -> None:
    files = assets(model("asset_names"))
    tensors = {name: [u.tensor for u in file.uses] for name, file in files.items()}
    first, second, third = "", "_1", "_2"
    assert tensors == {
        "w.txt": [f"asset_path_initializer{n}:0" for n in (first, second)],
        "w.txt_1": [f"asset_path_initializer{third}:0"],
    }


def call(name: str, function: str, *inputs: str) -> bytes:
    return delimited(
        1, delimited(1, name), delimited(2, "PartitionedCall"),
        *(delimited(3, i) for i in inputs), entry(5, "f", delimited(10, delimited(1, function))),
    )  # fmt: skip


def function(name: str, arguments: list[str], *nodes: bytes) -> bytes:
    declared = (delimited(2, delimited(1, a)) for a in arguments)
    signature = delimited(1, delimited(1, name), *declared)
    return delimited(2, delimited(1, signature, *(b"\x1a" + n[1:] for n in nodes)))


def ops_of(tmp_path: Path, *nodes: bytes) -> list[str] | None:
    path = hand_made(tmp_path, meta_graph(asset("c:0", "a"), nodes=b"".join(nodes)))
    (path / "assets" / "a").touch()
    return assets(path)["a"].uses[0].ops


def test_through_variables_identities_and_calls(tmp_path: Path) -> None:
    inner = function(
        "inner", ["x", "y"], node("i", "Identity", "y"), node("r", "ReadFile", "i:output:0"),
        node("n", "StringLength", "x"),
    )  # fmt: skip
    assert ops_of(
        tmp_path, node("c", "Placeholder"), node("v", "VarHandleOp"),
        node("s", "AssignVariableOp", "v", "c"), node("q", "VarIsInitializedOp", "v"),
        node("g", "ReadVariableOp", "v", "^s"), node("other", "Const", "^g"),
        call("f", "inner", "other", "g:0", "^s"), inner,
    ) == ["ReadFile"]  # fmt: skip


def test_a_variable_that_is_assigned_takes_no_path_of_its_handle(tmp_path: Path) -> None:
    assert ops_of(
        tmp_path, node("c", "VarHandleOp"), node("s", "AssignVariableOp", "c", "other"),
        node("other", "Const"),
    ) == []  # fmt: skip


def test_functions_that_call_each_other(tmp_path: Path) -> None:
    def calling(name: str, other: str) -> bytes:
        return function(name, ["x"], call("c", other, "x"), node("r", f"Op{name}", "x"))

    assert ops_of(
        tmp_path, node("c", "Placeholder"), call("f", "a", "c"), calling("a", "b"),
        calling("b", "a"),
    ) == ["Opa", "Opb"]  # fmt: skip


def test_a_path_handed_on_too_often_is_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_MAX_NODES", 5_000)
    chain = [node(f"n{i}", "Identity", f"n{i - 1}" if i else "c") for i in range(80)]
    assert ops_of(tmp_path, node("c", "Placeholder"), *reversed(chain)) is None
    assert "too much to tell what takes it" in screen(tmp_path / "m", capsys)
    shown = json.loads(screen(tmp_path / "m", capsys, "--json"))
    assert shown["assets"][0]["uses"][0]["ops"] is None


@pytest.mark.parametrize("n", [1, 8, 9, 40])
def test_nodes_among_many_and_large_ones(n: int, tmp_path: Path) -> None:
    """However many names are looked for, and wherever the nodes lie."""
    large = entry(5, "large", delimited(2, "x" * 300_000))
    between = b"".join(node(f"n{i}", "Const", "^asset_0") for i in range(20_000))
    readers = b"".join(
        delimited(1, delimited(1, f"r{i}"), delimited(3, f"asset_{i}:0"), *[large] * (i == 0),
                  delimited(2, f"Read{i}"))
        for i in range(n)
    )  # fmt: skip
    listed = [asset(f"asset_{i}:0", f"a{i}") for i in range(n)]
    path = hand_made(
        tmp_path,
        meta_graph(*listed, nodes=between + readers + between + node("last", "Last", "asset_0")),
    )
    found = [file.uses[0].ops for file in assets(path).values()]
    assert found == [["Last", "Read0"], *([f"Read{i}"] for i in range(1, n))]


def test_what_a_function_captures(tmp_path: Path) -> None:
    """tf.saved_model.load hands a function the asset, which no node of the graph does."""
    library = function("f", ["x", "captured"], node("r", "ReadFile", "captured"))
    objects = delimited(
        7,
        delimited(1, delimited(5)),
        entry(2, "f", integer(2, 0)),
    )
    path = hand_made(
        tmp_path, meta_graph(asset("c:0", "a"), objects, nodes=node("c", "Const") + library)
    )
    (path / "assets" / "a").touch()
    assert assets(path)["a"].uses[0].ops == ["ReadFile"]


# -- what is wrong -----------------------------------------------------------------------


def odd(tmp_path: Path, *names: str) -> Path:
    listed = [asset(f"c{i}:0", name) for i, name in enumerate(names)]
    return hand_made(tmp_path, meta_graph(*listed, nodes=GRAPH))


@pytest.mark.parametrize(
    ("name", "state", "problem"),
    [
        ("gone.txt", "missing", "assets/gone.txt is not there"),
        ("", "missing", "is assets/ itself, and no file"),
        (".", "missing", "is assets/ itself, and no file"),
        ("sub", "missing", "assets/sub is a folder"),
        ("pipe", "missing", "assets/pipe is no regular file"),
        ("there.txt/", "missing", "assets/there.txt/ is not there"),
        ("/tmp/x", "unsafe", "is absolute: to Python that file, to C++ assets/tmp/x"),
        ("../v.txt", "unsafe", "leads out of assets/"),
        ("sub/../../v", "unsafe", "leads out of assets/"),
        ("a\0b", "unsafe", "holds a NUL byte, which no file's name can"),
        ("out", "unsafe", "is a link to /nonexistent/file, out of the model"),
        ("folder/x", "unsafe", "is a link to /nonexistent/x, out of the model"),
        ("there.txt", "present", None),
        ("./sub//../there.txt", "present", None),
    ],
)
def test_names_and_files(name: str, state: str, problem: str | None, tmp_path: Path) -> None:
    path = odd(tmp_path, name)
    (path / "assets" / "sub").mkdir()
    os.mkfifo(path / "assets" / "pipe")
    (path / "assets" / "there.txt").write_text("there")
    (path / "assets" / "out").symlink_to("/nonexistent/file")
    (path / "assets" / "folder").symlink_to("/nonexistent")
    file = next(iter(assets(path).values()))
    spelled = name if state == "unsafe" else os.path.normpath(name)
    assert (file.name, file.state, file.problem) == (spelled, state, problem)
    assert file.bytes == (5 if state == "present" else None)
    assert [u.filename for u in file.uses] == [name]


def test_spellings_of_one_file_are_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = odd(tmp_path, "a//b", "./a/b", "a/b")
    (path / "assets" / "a").mkdir()
    (path / "assets" / "a" / "b").touch()
    assert [(n, len(f.uses)) for n, f in assets(path).items()] == [("a/b", 3)]
    assert 'spelled "a//b"' in screen(path, capsys)


def test_unused_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = odd(tmp_path, "../assets/used.txt", "/one.txt")
    (path / "assets" / "sub").mkdir()
    (path / "assets.extra").mkdir()
    for name in ("assets/used.txt", "assets/one.txt", "assets/sub/un\x1bused", "assets.extra/x"):
        (path / name).write_text("12345")
    (path / "assets" / "nowhere").symlink_to("/nonexistent")
    unused = [f for f in assets(path).values() if f.state == "unused"]
    assert [(f.name, f.problem) for f in unused] == [
        (name, "no meta graph names it") for name in ("nowhere", "sub/un\x1bused")
    ]
    found = {f.file for f in fastsm.verify(path).findings if f.id == "asset-unused"}
    assert found == {"assets/nowhere", "assets/sub/un\\x1bused"}
    shown = screen(path, capsys)
    assert "unused   2 files   (no meta graph names them)\n" in shown
    assert "    5 bytes  sub/un\\x1bused\n" in shown
    assert shown.endswith(
        "assets.extra/ has 1 file: no loader reads them, TensorFlow Serving may\n"
    )


def test_what_a_name_means_inside() -> None:
    assert meant("/m", "a//b") == ["a/b"]
    assert meant("/m", "../assets/v") == ["v"]
    assert meant("/m", "/tmp/x") == ["tmp/x"]
    assert meant("/m", "/m/assets/x") == ["m/assets/x", "x"]
    assert meant("/m", "../v") == meant("/m", "..") == meant("/m", "") == meant("/m", "a\0") == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../etc/passwd", "a/../../x"])
def test_nothing_outside_is_looked_at(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = odd(tmp_path, name)
    seen: list[str] = []
    for call in ("open", "stat", "lstat", "scandir", "readlink"):
        true = getattr(os, call)

        def spy(target, *more, _true=true, **how):  # type: ignore[no-untyped-def]
            seen.append(os.path.abspath(os.fsdecode(target)) if isinstance(target, str) else "")
            return _true(target, *more, **how)

        monkeypatch.setattr(os, call, spy)
    assert leads_out(name)
    assert assets(path)[name].state == "unsafe"
    around = str(tmp_path)
    assert [p for p in seen if not p.startswith(around) and not around.startswith(p)] == []


def test_a_damaged_graph_leaves_the_list(tmp_path: Path) -> None:
    path = odd(tmp_path, "a")
    data = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(data.replace(b"\x0a\x01c", b"\x0a\x7fc"))
    assert assets(path)["a"].uses[0].ops is None


def test_a_model_without_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = odd(tmp_path, "gone")
    shutil.rmtree(path / "assets")
    assert screen(path, capsys).endswith(
        "0 assets\n\nmissing   1 file\n             gone   c0:0   {serve}\n"
        "             taken by nothing\n             assets/gone is not there\n"
    )


def test_no_line_is_wider_than_a_screen_without_reason(
    model: ModelFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("asset_names", "nested_assets", "doubled_asset"):
        lines = screen(model(name), capsys).splitlines()
        assert all(len(line) <= 80 for line in lines[1:]), name


def test_a_checkpoint_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["assets", f"{TAGGER}/variables/variables"])
    assert ended.value.code == 2
    assert "is a checkpoint: only models have assets" in capsys.readouterr().err


def test_an_attribute_is_no_input(tmp_path: Path) -> None:
    """A node that only mentions the tensor, as `_class` does, takes nothing."""
    mention = attributed("m", "Const", entry(5, "_class", delimited(1, delimited(2, "loc:@c"))))
    assert ops_of(tmp_path, node("c", "Const"), mention) == []
