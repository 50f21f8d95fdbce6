"""`fastsm convert` at the prompt: what a person sees, the exit codes, and the command it prints."""
from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fastsm
from fastsm.cli import main

from .convertible import LINE, SAVER, placeholder, put, ref, scalar, strings, unary
from .graphs import STRING, dtype, node


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*words: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            main([str(w) for w in words])
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return command


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    put(tmp_path / "my train", LINE, scalar("w"), fields=SAVER)
    monkeypatch.chdir(tmp_path)
    return "my train/model.ckpt"


def test_a_proposal(run: Any, prefix: str) -> None:
    done = run("convert", prefix)
    assert done.code == 2
    assert done.out == (
        "my train/model.ckpt   a graph with its checkpoint   (dry run)\n"
        "  graph        my train/model.ckpt.meta  "
        "560 bytes, 10 nodes, 1 variable\n"
        "  checkpoint   my train/model.ckpt\n"
        "\n"
        "signature serving_default (proposed)\n"
        "  input   x  x:0  float32[?]\n"
        "  output  y  y:0  float32[...]\n"
        "when it is loaded\n"
        "  restores     the graph's own: 1 tensor restored\n"
        "  runs         nothing\n"
    )
    assert done.err == (
        "nothing written. To write:\n"
        "  fastsm convert 'my train/model.ckpt' --input x=x:0 --output y=y:0 --out DIR\n"
    )
    assert run("convert", prefix, "--dry-run").code == 0
    assert [p.name for p in Path().iterdir()] == ["my train"]


def test_the_command_does_what_was_shown(run: Any, prefix: str) -> None:
    extra = ["--signature", "my key", "--method", "classify", "--tags", "serve,gpu", "--strip"]
    told = run("convert", prefix, *extra).err.partition("To write:\n")[2]
    words = shlex.split(told.replace("\\\n", " "))
    assert words[:2] == ["fastsm", "convert"] and words[-2:] == ["--out", "DIR"]
    assert run(*words[1:]).code == 0
    (graph,) = fastsm.open("DIR").meta_graphs
    assert graph.tag_set == {"serve", "gpu"} and graph.signatures["my key"].method_name == (
        "tensorflow/serving/classify"
    )
    run("convert", prefix, *extra, "--guess", "--out", "guessed")
    for name in ("saved_model.pb", "variables/variables.index"):
        assert Path("DIR", name).read_bytes() == Path("guessed", name).read_bytes()


def test_what_is_written_is_said_and_how_to_call_it(run: Any, prefix: str) -> None:
    done = run("convert", prefix, "--guess", "--out", "out")
    assert done.code == 0 and done.err == ""
    assert "  written      variables/variables.data-00000-of-00001  4 bytes\n" in done.out
    assert 'tf.saved_model.load("out")' in done.out and "x=tf.constant" in done.out
    assert done.out.endswith("fastsm explain out tells how else\n")
    assert run("convert", prefix, "--guess", "--out", "quiet", "--quiet") == (0, "", "")


def test_told_and_no_place(run: Any, prefix: str) -> None:
    done = run("convert", prefix, "--output", "y=y")
    assert done.code == 2 and "(proposed)" not in done.out and "To write:" in done.err
    assert run("convert", prefix, "--output", "y=y", "--dry-run").code == 0


def test_json(run: Any, prefix: str) -> None:
    done = run("convert", prefix, "--json")
    told = json.loads(done.out)
    assert done.code == 2 and done.err == ""
    assert told["schema"] == "fastsm.convert/1" and told["dry_run"] and not told["told"]
    assert told["source"]["kind"] == "meta" and told["source"]["checkpoint"] == prefix
    assert told["proposal"]["outputs"]["y"] == {"name": "y:0", "dtype": "float32", "shape": None}
    assert told["problem"] is None and told["saver"].startswith("the graph's own")
    assert shlex.split(told["command"])[2] == prefix
    done = run("convert", prefix, "--json", "--guess", "--out", "out")
    told = json.loads(done.out)
    assert done.code == 0 and told["told"] and told["changed"] and not told["dry_run"]
    assert {f["name"] for f in told["files"]} == {
        "saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001",
    }  # fmt: skip


def test_what_stands_in_the_way_is_told_beside_the_proposal(run: Any, tmp_path: Path) -> None:
    nodes = [
        placeholder("text", STRING, -1), node("t", "HashTableV2", key_dtype=dtype(STRING)),
        strings("path", "/no/words.txt"),
        node("fill", "InitializeTableFromTextFileV2", "t", "path"),
        node("ids", "LookupTableFindV2", "t", "text", "text", Tout=dtype(STRING)),
    ]  # fmt: skip
    meta = put(tmp_path, nodes).with_name("model.ckpt.meta")
    done = run("convert", meta)
    assert done.code == 2 and "output  ids   ids:0   string[...]" in done.out
    assert "it cannot be converted so: the path of a file" in done.err
    assert "--asset path:0=FILE" in done.err
    told = json.loads(run("convert", meta, "--json").out)
    assert told["problem"]["type"] == "MissingError" and not told["changed"]
    done = run("convert", meta, "--guess", "--out", tmp_path / "out")
    assert done.code == 4 and done.err.startswith("fastsm: ") and not (tmp_path / "out").exists()


def test_no_output_that_is_plain(run: Any, tmp_path: Path) -> None:
    meta = put(tmp_path, [strings("c", "a")]).with_name("model.ckpt.meta")
    done = run("convert", meta)
    assert done.code == 2 and "no output: no tensor of the graph is plainly one" in done.out
    assert "--output NAME=TENSOR --out DIR" in done.err
    assert run("convert", meta, "--guess", "--out", tmp_path / "out").code == 5


def test_names_are_safe_to_print(run: Any, tmp_path: Path) -> None:
    nodes = [placeholder("x\x1b[2J"), ref("w"), unary("y\x1b[2J\u202e", "Mul", "x\x1b[2J", "w")]
    prefix = put(tmp_path, nodes, scalar("w"))
    done = run("convert", prefix)
    assert done.code == 2
    for text in (done.out, done.err):
        assert "\x1b" not in text and "\u202e" not in text
    assert r"x\x1b[2J:0" in done.out


def test_words_that_make_no_sense(run: Any, prefix: str) -> None:
    for words in (
        ["--input", "x"], ["--asset", "=f"], ["--output", "y=y", "--output", "y=z"],
        ["--tags", "a", "--in-place"],
    ):  # fmt: skip
        assert run("convert", prefix, *words).code == 2
    done = run("convert", prefix, "--output", "y=nothing", "--dry-run")
    assert done.code == 4 and 'no node "nothing"' in done.err
    done = run("convert", prefix, "--output", "y=y", "--out", "my train")
    assert done.code == 5


def test_python_wants_to_be_told(prefix: str) -> None:
    with pytest.raises(fastsm.UsageError, match="say where to write"):
        fastsm.convert(prefix)
    with pytest.raises(fastsm.UsageError, match=r"proposed: y=y:0") as caught:
        fastsm.convert(prefix, "out")
    assert "guess=True" in str(caught.value) and not Path("out").exists()
    result = fastsm.convert(prefix, "out", guess=True, sync=False)
    assert result.changed and result.path == "out"
    assert repr(result) == (
        "ConvertResult(changed=True, path='out', inputs={'x': 'x:0'}, outputs={'y': 'y:0'})"
    )


def test_other_verbs_point_here(run: Any, prefix: str, tmp_path: Path) -> None:
    assert "fastsm convert" in run("show", prefix).out
    assert "fastsm convert" in run("show", f"{prefix}.meta").err or "Did you mean" in run(
        "show", f"{prefix}.meta"
    ).err
    (tmp_path / "frozen.pb").write_bytes(Path(f"{prefix}.meta").read_bytes())
    assert "fastsm convert" in run("show", tmp_path / "frozen.pb").err
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "x.meta").write_bytes(b"")
    assert "fastsm convert" in run("show", tmp_path / "alone").err
