"""fastsm.run and `fastsm run`: what signatures return, held against TensorFlow's own ways."""

from __future__ import annotations

import functools
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastsm
from fastsm import cli
from fastsm.cli import run as verb
from fastsm.proof import run as proof
from fastsm.proof.child.arrays import dtype_name, row
from fastsm.proof.setting import Setting
from fastsm.proof.worker import Worker

from .conftest import ModelFactory
from .oracle import ROOT
from .wire import delimited, entry

pytestmark = pytest.mark.tensorflow

RANKER = ROOT / "examples" / "ranker" / "1"
TAGGER = ROOT / "examples" / "tagger" / "1"

LOADERS = ["v2", "v1", "cc"]
USER, ITEMS = [[0.5, -1.0, 2.0, 0.0]], [2]

Run = Callable[..., proof.Ran]


@pytest.fixture
def run(worker: Worker) -> Run:
    return functools.partial(proof.run_in, worker.setting, worker=worker)


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fastsm_run(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """The command in this process, with the worker that runs already."""
    monkeypatch.setattr(verb, "run_in", functools.partial(proof.run_in, worker=worker))

    def command(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", *map(str, words)])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return command


def rows(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: row(array) for name, array in sorted(arrays.items())}


# -- what comes out --------------------------------------------------------------------


def test_it_runs_a_signature() -> None:
    outputs = fastsm.run(RANKER, "rank", {"user": USER, "items": ITEMS})
    assert list(outputs) == ["items", "scores"]
    assert outputs["items"].tolist() == ITEMS and outputs["items"].dtype == np.int32
    assert outputs["scores"].shape == (1,) and outputs["scores"].dtype == np.float32


@pytest.mark.parametrize(
    ("path", "tags", "key", "feeds"),
    [
        (RANKER, "serve", "rank", {"user": np.array(USER, "f4"), "items": np.array(ITEMS, "i4")}),
        (TAGGER, "serve", "serving_default", {"words": np.array([b"the", b"zebra"], object)}),
    ],
    ids=["ranker", "tagger"],
)
def test_outputs_are_those_of_saved_model_cli(
    path: Path, tags: str, key: str, feeds: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    given = []
    for name, array in feeds.items():
        np.save(tmp_path / f"{name}.npy", array.astype("S") if array.dtype == object else array)
        given.append(f"{name}={tmp_path / name}.npy")
    subprocess.run(
        [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run",
         "--dir", path, "--tag_set", tags, "--signature_def", key, "--inputs", ";".join(given),
         "--outdir", tmp_path / "out"],
        check=True, capture_output=True, env={**os.environ, **Setting().environment()},
    )  # fmt: skip
    theirs = {file.stem: np.load(file, allow_pickle=True) for file in (tmp_path / "out").iterdir()}
    assert theirs
    for loader in LOADERS:
        ours = run(path, key, feeds, tags=tags, loader=loader)
        assert rows(ours.outputs) == rows(theirs)
        assert (ours.how, ours.loader, ours.tags) == ("given", loader, [tags])


@pytest.mark.parametrize(
    "name",
    ["alike", "dtypes", "sorted_names", "nested_outputs", "v1_sparse", "v1_ragged",
     "vocabulary", "ragged_and_sparse"],
)  # fmt: skip
def test_all_loaders_return_the_same(name: str, model: ModelFactory, run: Run) -> None:
    opened = fastsm.open(model(name))
    assert isinstance(opened, fastsm.SavedModel)
    ran = set()
    for graph in opened.meta_graphs:
        for key in graph.signatures:
            if key.startswith("__saved_model"):
                continue
            found = {}
            for loader in LOADERS:
                try:
                    made = run(model(name), key, random=True, tags=graph.tag_set, loader=loader)
                except fastsm.UnsupportedError:
                    continue
                found[loader] = made
            assert len(found) > 1, key
            first = next(iter(found.values()))
            for made in found.values():
                assert rows(made.inputs) == rows(first.inputs)
                assert rows(made.outputs) == rows(first.outputs)
            ran.add(key)
    assert ran


def test_a_function_of_the_root_can_be_run(run: Run) -> None:
    with pytest.raises(fastsm.MissingError) as caught:
        run(RANKER, "callable:nothing", random=True)
    assert caught.value.hint is not None
    [first, *_] = re.findall(r"callable:\w+\(.*\)", caught.value.hint)
    name = next(n for n in re.split(r", (?=callable:)", first) if "rank(" in n)
    by_name = run(RANKER, name, random=True)
    assert by_name.outputs and by_name.signature == name


# -- inputs ----------------------------------------------------------------------------


def test_made_inputs_follow_from_the_seed(run: Run, worker: Worker) -> None:
    ran = run(RANKER, "rank", random=True)
    assert ran.how == "made: unknown dimensions 1"
    assert rows(run(RANKER, "rank", random=True).inputs) == rows(ran.inputs)
    again = proof.run_in(Setting(seed=1), RANKER, "rank", random=True, worker=worker)
    assert rows(again.inputs) != rows(ran.inputs)


def test_what_is_not_given_may_be_made(run: Run) -> None:
    ran = run(RANKER, "rank", {"user": USER}, random=True)
    assert ran.how == "made: but for user, unknown dimensions 1"
    assert ran.inputs["user"].tolist() == USER
    assert rows(ran.inputs)["items"] == rows(run(RANKER, "rank", random=True).inputs)["items"]


def test_an_npz_file_may_be_given(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "given.npz"
    np.savez(file, **{"rank/user": np.array(USER), "items": np.array(ITEMS)})
    ran = run(RANKER, "rank", file)
    assert ran.inputs["user"].dtype == np.float32
    assert rows(ran.outputs) == rows(run(RANKER, "rank", {"user": USER, "items": ITEMS}).outputs)


def test_defaults_of_a_signature(model: ModelFactory, run: Run) -> None:
    opened = fastsm.open(model("defaults"))
    assert isinstance(opened, fastsm.SavedModel)
    [key] = [k for k, s in opened.signatures.items() if s.defaults]
    signature = opened.signatures[key]
    given = {n: np.ones([2 if d is None else d for d in i.shape or ()], i.dtype)
             for n, i in signature.inputs.items() if n not in signature.defaults}  # fmt: skip
    ran = run(model("defaults"), key, given)
    assert ran.inputs.keys() == signature.inputs.keys()
    for name, default in signature.defaults.items():
        assert dtype_name(ran.inputs[name].dtype) == default.dtype


def example(value: float) -> bytes:
    """An Example whose feature x is one float."""
    floats = delimited(2, delimited(1, struct.pack("<f", value)))
    return delimited(1, entry(1, "x", floats))


def test_examples_are_serialised(model: ModelFactory, run: Run) -> None:
    def regress(*examples: Any) -> proof.Ran:
        return run(model("v1_sparse"), "regress", examples={"inputs": examples})

    ran = regress({"x": [2.0]}, {"x": 3.5})
    assert ran.how == "given"
    assert ran.inputs["inputs"].tolist() == [example(2.0), example(3.5)]
    for values in ([1, "a"], [None], [1 << 70], {"a": 1}):
        with pytest.raises(fastsm.UsageError, match="the feature x of inputs"):
            regress({"x": values})


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (None, "no values for items, user; it takes items: int32[?], user: float32[1, 4]"),
        ({"user": USER}, 'signature "rank": no values for items; it takes '),
        ({"usr": USER}, 'signature "rank" has no input "usr"'),
        ({"user": USER, "items": [1.5]}, "items is float64, and the model takes int32"),
        ({"user": [1.0], "items": ITEMS}, "user has shape [1], and the model takes [1, 4]"),
        ({"user": [[1], [2, 3]], "items": ITEMS}, 'the input "user": '),
        ({"user": [object()], "items": ITEMS}, "a string is bytes or text, not object"),
        ({"user": np.array(["2020"], "M8"), "items": ITEMS}, "no arrays of dtype datetime64"),
        ({"user": USER, "items": ["a"]}, "items is string, and the model takes int32"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, text: str, run: Run) -> None:
    with pytest.raises(fastsm.UsageError) as caught:
        run(RANKER, "rank", inputs)
    assert text in caught.value.problem


def test_an_npz_file_that_does_not_fit(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "given.npz"
    np.savez(file, usr=np.ones(3))
    with pytest.raises(fastsm.UsageError, match="usr is no input of a signature"):
        run(RANKER, "rank", file)
    np.savez(file, user=np.array([object()]), items=np.array(ITEMS))
    with pytest.raises(fastsm.UsageError, match="user holds Python objects"):
        run(RANKER, "rank", file)
    file.write_bytes(b"no")
    with pytest.raises(fastsm.UsageError, match="is no npz file"):
        run(RANKER, "rank", file)


# -- what cannot be run ----------------------------------------------------------------


def test_what_is_not_there(run: Run, tmp_path: Path) -> None:
    with pytest.raises(fastsm.MissingError, match=r'no signature "rnk" in \{serve\}') as caught:
        run(RANKER, "rnk", random=True)
    assert "Did you mean rank?" in str(caught.value)
    with pytest.raises(fastsm.AmbiguousError):
        run(TAGGER, "serving_default", random=True)
    with pytest.raises(fastsm.MissingError, match="no meta graph has the tag set"):
        run(TAGGER, "serving_default", random=True, tags="gpu")
    with pytest.raises(fastsm.MissingError):
        run(tmp_path / "gone", "rank", random=True)
    with pytest.raises(fastsm.UsageError, match="is a checkpoint"):
        run(RANKER / "variables" / "variables", "rank", random=True)
    with pytest.raises(fastsm.UsageError, match="no loader 'v3': v2, v1, cc"):
        run(RANKER, "rank", random=True, loader="v3")


def test_a_model_that_a_loader_does_not_load(model: ModelFactory, run: Run) -> None:
    with pytest.raises(fastsm.UnsupportedError, match="v2 does not load it") as caught:
        run(model("v1_slots"), "serving_default", random=True)
    assert caught.value.hint == "Another loader may: --loader v1, --loader cc"
    assert run(model("v1_slots"), "serving_default", random=True, loader="v1").outputs


def test_a_signature_that_does_not_run(model: ModelFactory, run: Run) -> None:
    with pytest.raises(fastsm.UnsupportedError, match='"serving_default" does not run: ') as caught:
        run(model("no_init_op"), "serving_default", random=True, loader="v1")
    assert "no inputs were found on which it runs" in str(caught.value)


# -- the command -----------------------------------------------------------------------


def test_the_screen(fastsm_run: Cli) -> None:
    code, out, _ = fastsm_run(RANKER, "rank", "--random")
    assert code == 0
    head, settings, *rest = out.splitlines()
    assert head == f"{RANKER}   rank in {{serve}}, v2"
    assert re.fullmatch(r"TensorFlow [\d.]+, cpu, 1 thread, seed 0, oneDNN off, TF32 off", settings)
    assert rest[0] == "inputs   (made: unknown dimensions 1)"
    assert "  user: float32[1, 4]" in rest
    at = rest.index("outputs")
    assert rest[at + 1 : at + 4 : 2] == ["  items: int32[1]", "  scores: float32[1]"]
    assert re.fullmatch(r"    \[[-\d.e]+\]", rest[at + 4])
    assert fastsm_run(RANKER, "rank", "--random", "--quiet")[:2] == (0, "")


def test_json(fastsm_run: Cli) -> None:
    given = ["--input", f"user={json.dumps(USER)}", "--input", "items=[2]"]
    code, out, _ = fastsm_run(RANKER, "rank", *given, "--json", "--loader", "cc")
    found = json.loads(out)
    assert code == 0 and found["schema"] == "fastsm.run/1"
    assert found["inputs"]["user"] == {"dtype": "float32", "shape": [1, 4], "values": USER}
    assert found["outputs"]["items"] == {"dtype": "int32", "shape": [1], "values": [2]}
    assert (found["how"], found["loader"], found["tags"]) == ("given", "cc", ["serve"])
    page = (ROOT / "docs" / "json.md").read_text().partition("## fastsm.run/1")[2]
    section = page.partition("\n## ")[0]
    assert [key for key in found if key != "schema" and f"`{key}`" not in section] == []


def test_strings_are_safe_to_print(fastsm_run: Cli) -> None:
    words = json.dumps(["the", "\x1b[31mzebra"])
    code, out, _ = fastsm_run(TAGGER, "--tags", "serve", "--input", f"words={words}")
    assert code == 0 and "\x1b" not in out


def test_a_file_of_one_array_and_outputs_in_a_file(
    fastsm_run: Cli, run: Run, tmp_path: Path
) -> None:
    np.save(tmp_path / "user.npy", np.array(USER))
    out = tmp_path / "out.npz"
    words = [RANKER, "rank", "--input", f"user=@{tmp_path / 'user.npy'}", "--input", "items=[2]"]
    code, printed, _ = fastsm_run(*words, "--out", out, "--no-sync")
    assert code == 0 and printed.endswith(f"{out}   2 outputs\n")
    with np.load(out) as archive:
        assert archive.files == ["items", "scores"]
        assert rows(dict(archive)) == rows(
            fastsm.run(RANKER, "rank", {"user": USER, "items": ITEMS})
        )
    first = out.read_bytes()
    code, _, errors = fastsm_run(*words, "--out", out)
    assert code == 5 and "is there already" in errors
    assert fastsm_run(*words, "--out", out, "--force", "--no-sync")[0] == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--input", "user"], "--input takes NAME=VALUE, not 'user'"),
        (["--input", "user=[1", "--input", "items=[2]"], "--input user: this is no JSON"),
        (["--input", "user=[]", "--input", "user=[]"], "--input user is given twice"),
        (["--input", "user=@/gone.npy"], "/gone.npy: is no npy file that numpy reads"),
        (["--inputs", "a.npz", "--input", "user=[]"], "--inputs and --input: one of them"),
        (["--example", "user=[1]"], "--example user: objects are wanted"),
        (["--random", "--device", "tpu"], "there is no device 'tpu'"),
    ],
)
def test_wrong_calls(words: list[str], text: str, fastsm_run: Cli) -> None:
    code, _, errors = fastsm_run(RANKER, "rank", *words)
    assert code == 2 and text in errors


def test_without_a_gpu_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(fastsm.UnsupportedError, match="there is no gpu"):
        fastsm.run(RANKER, "rank", random=True, device="gpu")


# -- an npz file without a pickle ------------------------------------------------------


def stored(tmp_path: Path, array: Any) -> Any:
    proof.write_npz(str(tmp_path / "o.npz"), {"x": array}, force=True, sync=False)
    with np.load(tmp_path / "o.npz", allow_pickle=False) as archive:
        return archive["x"]


def test_strings_in_a_file(tmp_path: Path) -> None:
    assert stored(tmp_path, np.array([[b"a", b""]], object)).tolist() == [[b"a", b""]]
    assert stored(tmp_path, np.array([], object)).dtype == "S1"
    zeros = stored(tmp_path, np.array([b"a\0", b"\0\0"], object))
    assert zeros.dtype == "V2" and zeros.tolist() == [b"a\0", b"\0\0"]
    with pytest.raises(fastsm.UnsupportedError, match="its strings end in zeros"):
        stored(tmp_path, np.array([b"a\0", b"b"], object))


def test_dtypes_in_a_file(tmp_path: Path) -> None:
    import ml_dtypes

    half = np.array([1.5, -2], ml_dtypes.bfloat16)
    assert stored(tmp_path, half).view(ml_dtypes.bfloat16).tolist() == [1.5, -2]
    eighth = np.array([1.5], ml_dtypes.float8_e5m2)
    assert stored(tmp_path, eighth).view(ml_dtypes.float8_e5m2).tolist() == [1.5]
    quantised = np.array([(3,), (4,)], [("qint8", "i1")])
    assert stored(tmp_path, quantised).tolist() == [3, 4]
