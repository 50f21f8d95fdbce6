"""`fastsm parity` with TensorFlow: models that are the same, and such as are not."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.proof.mapping import Mapping
from fastsm.proof.parity import compare
from fastsm.proof.report import ParityReport
from fastsm.proof.setting import Setting
from fastsm.proof.worker import Worker

from .conftest import ModelFactory
from .oracle import ROOT
from .test_docs import keys, session
from .test_parity import verdicts, whys

pytestmark = pytest.mark.tensorflow

RANKER, TAGGER = (ROOT / "examples" / name / "1" for name in ("ranker", "tagger"))

#: Three models: "near" has weights that are a step off, "abort" ends the process when it scores.
BUILD = """
import sys
import tensorflow as tf

X = tf.TensorSpec([None, 4], name="x")

class Model(tf.Module):
    def __init__(self, weight, aborts=False):
        self.w, self.n, self.aborts = tf.Variable(tf.fill([4, 3], weight)), tf.Variable(0.0), aborts

    @tf.function(input_signature=[X])
    def score(self, x):
        ends = [tf.raw_ops.Abort(error_msg="it was asked to")] if self.aborts else []
        with tf.control_dependencies(ends):
            return {"scores": x @ self.w}

    @tf.function(input_signature=[X])
    def count(self, x):
        return {"n": self.n.assign_add(1.0) + 0 * tf.reduce_sum(x)}

    @tf.function(input_signature=[X])
    def noise(self, x):
        return {"y": x + tf.random.normal(tf.shape(x)), "twice": 2 * x}

for name, model in (
    ("model", Model(1.0)), ("near", Model(1.0000001)), ("abort", Model(1.0, True)),
):
    signatures = {key: getattr(model, key) for key in ("score", "count", "noise")}
    tf.saved_model.save(model, f"{sys.argv[1]}/{name}", signatures)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], check=True, env=env)
    return folder


Held = Callable[..., ParityReport]


@pytest.fixture(scope="module")
def held(worker: Worker) -> Held:
    def report(before: Path, after: Path, **options: Any) -> ParityReport:
        options = {"mapping": Mapping(), "workers": [worker], **options}
        return compare(fastsm.open(before), fastsm.open(after), **options)

    return report


@pytest.mark.parametrize(
    "name",
    ["v1_pbtxt", "ragged_and_sparse", "dtypes", "vocabulary", "v1_control_flow"],
)
def test_a_copy_is_equal(name: str, held: Held, model: ModelFactory, tmp_path: Path) -> None:
    copy = shutil.copytree(model(name), tmp_path / "copy")
    report = held(model(name), copy)
    assert report.equal and report.verdict == "equal", report.differences
    assert not report.unstable
    assert {loader for row in report.rows for loader in row.loaders} == {"v2", "v1", "cc"}
    assert all(c["verdict"] == "equal" for row in report.rows for c in row.loaders.values())


def test_what_counts_and_what_is_random(built: Path, held: Held) -> None:
    report = held(built / "model", built / "model")
    assert report.equal and not report.differences
    found = verdicts(report)
    assert found["noise"] == found["loaded.noise"] == {"unstable"}
    assert found["count"] == found["loaded.count"] == found["score"] == {"equal"}
    assert {(r.name, r.part) for r in report.unstable} == {("noise", "y"), ("loaded.noise", "y")}


def test_weights_that_are_a_step_off(built: Path, held: Held) -> None:
    report = held(built / "model", built / "near", signatures=["score", "count"])
    assert verdicts(report) == {
        "score": {"differs"}, "count": {"equal"}, "variables": {"differs"},
    }  # fmt: skip
    variables = [r for r in report.differences if r.kind == "variables"]
    assert {r.loader for r in variables} == {"v2", "v1", "cc"} and len(variables) == 3
    for remark in variables:
        assert remark.why == "12 of 12 elements, by up to 1 ulp, relative 1.2e-07"
        assert remark.measure is not None
        ends = (remark.measure["before"], remark.measure["after"])
        assert ends == ("1.0", "1.0000001") and remark.measure["index"] == [0, 0]
    assert {r.part for r in report.differences if r.kind == "signature"} == {"scores"}


@pytest.mark.parametrize("abort", ["before", "after"])
def test_a_signature_that_ends_the_process(abort: str, built: Path, held: Held) -> None:
    models = [built / "abort", built / "model"]
    report = held(*(models if abort == "before" else models[::-1]), loaders=["v2"])
    remarks = report.not_compared if abort == "before" else report.differences
    assert {r.name for r in remarks} == {"score", "loaded.score"}
    for remark in remarks:
        assert remark.why.startswith(f"{abort.upper()}: ended TensorFlow's process (SIGABRT)")
        assert "it was asked to" in remark.why
    assert verdicts(report)["count"] == verdicts(report)["variables"] == {"equal"}
    assert report.exit_code == (0 if abort == "before" else 1)


def test_two_settings_are_compared_within_tolerances(
    built: Path, held: Held, worker: Worker
) -> None:
    """As two devices are."""
    with Worker(Setting(threads=2)) as other:
        report = held(
            built / "model", built / "near", workers=[worker, other], signatures=["score"],
            loaders=["v1"],
        )  # fmt: skip
    assert report.verdict == "close" and report.exit_code == 0
    assert verdicts(report) == {"score": {"close"}, "variables": {"close"}}
    assert "1 thread" in report.settings["before"] and "2 threads" in report.settings["after"]


def test_a_table_of_other_keys(held: Held, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    old = (TAGGER / "assets" / "vocabulary.txt").read_text()
    words.write_text(old.replace("the\n", "zebra\n", 1))
    fastsm.replace_asset(TAGGER, "vocabulary.txt", words, out=tmp_path / "new")
    report = held(TAGGER, tmp_path / "new", tags=frozenset(["serve"]))
    assert {r.loader for r in report.differences} == {"v2", "v1", "cc"}
    found = whys(report.differences)
    assert {name for name, _ in found} == {"tables", "assets"}
    [table] = [why for (name, _), why in found.items() if name == "tables"]
    assert table == {
        "20 entries; 1 key not in AFTER (first b'the'); 1 key not in BEFORE (first b'zebra')"
    }


def test_what_was_renamed_and_stripped(held: Held, tmp_path: Path) -> None:
    with fastsm.edit(RANKER, out=tmp_path / "new") as e:
        e.rename_output("rank", "scores", "points")
        e.rename_signature("rank", "order")
        e.strip_training_graph()
    assert e.result is not None
    mapping = Mapping.of_edits(e.result.to_dict()["edits"], fastsm.open(RANKER))
    report = held(RANKER, tmp_path / "new", mapping=mapping)
    assert report.equal and verdicts(report)["rank -> order"] == {"equal"}
    assert {r.name for r in report.not_compared} == {
        "loaded.rank", "loaded.serving_default", "variables"
    }  # fmt: skip
    report = held(RANKER, tmp_path / "new", loaders=["v2"])
    assert {(r.name, r.why) for r in report.differences} == {("rank", "not in AFTER")}


# -- the command -------------------------------------------------------------------------


def test_exit_codes(model: ModelFactory, tmp_path: Path) -> None:
    run = session(tmp_path)
    assert run(f"fastsm parity {RANKER} {RANKER} --loader v1 --quiet; echo $?") == "0\n"
    fastsm.rename_signature(RANKER, "rank", "order", out=tmp_path / "new")
    out = run(f"fastsm parity {RANKER} new --loader cc --quiet; echo $?")
    assert out == "rank\n  not in AFTER\n    renamed? --map rank=order\n1\n"
    slots = model("v1_slots")  # TensorFlow 2 cannot load it
    out = run(f"fastsm parity {slots} {slots} --loader v2; echo $?")
    assert out.splitlines()[-2:] == ["parity: nothing compared", "7"]
    assert "v2: BEFORE: needs a Python class with add_slot" in out


def test_json_is_the_report(tmp_path: Path) -> None:
    fastsm.rename_signature(RANKER, "rank", "order", out=tmp_path / "new")
    run = session(tmp_path)
    found = json.loads(run(f"fastsm parity {RANKER} new --map rank=order --loader cc --json"))
    assert found["schema"] == "fastsm.parity/1" and found["equal"] is True
    assert found["before"] == str(RANKER) and found["after"] == "new"
    assert found["placement"].pop("before")["cc"].keys() == {"CPU:0"}
    found["placement"].pop("after")
    page = (ROOT / "docs" / "json.md").read_text()
    assert {key for key in keys(found) if f"`{key}`" not in page} - {"schema"} == set()
