"""`fastsm.edit`: edits that compose, all or nothing; and edits as data."""

from __future__ import annotations

import gc
import inspect
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.pbtxt import to_text
from fastsm.verbs.data import KINDS, verbs

from .edits import stats
from .oracle import ROOT
from .test_retag import contents

RANKER, TAGGER = ROOT / "examples" / "ranker" / "1", ROOT / "examples" / "tagger" / "1"


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RANKER, tmp_path / "ranker"))


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TAGGER, tmp_path / "tagger"))


def tag_sets(path: Path) -> list[list[str]]:
    return [sorted(tags) for tags in fastsm.open(path).tag_sets]


def test_an_edit_sees_those_before_it(ranker: Path) -> None:
    with fastsm.edit(ranker, sync=False) as e:
        e.retag("serve", {"serve", "gpu"})
        e.retag({"serve", "gpu"}, "tpu")
        with pytest.raises(fastsm.MissingError, match=r"tag sets here: \{tpu\}"):
            e.retag("serve", "gpu")
    assert tag_sets(ranker) == [["tpu"]]
    result = e.result
    assert result is not None and result.changed
    assert (result.before, result.after) == ({"tags": ["serve"]}, {"tags": ["tpu"]})
    assert result.undo == (
        f"fastsm retag {ranker} tpu gpu,serve && fastsm retag {ranker} gpu,serve serve"
    )
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())


def as_text(path: Path) -> Path:
    """The model with its saved_model.pb as text, after a comment that no writer keeps."""
    text = to_text((path / "saved_model.pb").read_bytes(), "")
    (path / "saved_model.pb").unlink()
    (path / "saved_model.pbtxt").write_bytes(b"# made by hand\n" + text)
    return path


def test_a_fingerprint_beside_a_text_model_stays_true(ranker: Path) -> None:
    as_text(ranker)
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())
    with fastsm.edit(ranker, in_place=True, sync=False) as e:
        e.rename_signature("rank", "order")
        e.rename_input("order", "items", "things")
    assert e.result is not None and "fingerprint.pb" in {c.name for c in e.result.changes}
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())


def test_edits_that_cancel_each_other_leave_a_text_model_as_it_is(ranker: Path) -> None:
    as_text(ranker)
    before = (ranker / "saved_model.pbtxt").stat()
    with fastsm.edit(ranker, sync=False) as e:
        e.retag("serve", "x")
        e.retag("x", "serve")
    assert e.result is not None and not e.result.changed
    after = (ranker / "saved_model.pbtxt").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_edits_of_pb_and_variables_are_one_commit(ranker: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    with fastsm.edit(ranker, in_place=True, receipt=receipt, sync=False) as e:
        e.dedupe()
        e.retag("serve", "gpu")
    one_by_one = Path(shutil.copytree(RANKER, tmp_path / "other"))
    fastsm.dedupe(one_by_one, in_place=True, sync=False)
    fastsm.retag(one_by_one, "serve", "gpu", sync=False)
    assert contents(ranker) == contents(one_by_one)
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())
    written = json.loads(receipt.read_text())
    assert written["verb"] == "edit"
    assert written["arguments"]["edits"] == [
        {"verb": "dedupe"}, {"verb": "retag", "old": ["serve"], "new": ["gpu"]},
    ]  # fmt: skip


def test_an_edit_and_its_inverse_in_one_go_write_nothing(tagger: Path) -> None:
    before = stats(tagger)
    with fastsm.edit(tagger, sync=False) as e:
        e.retag("serve", "gpu")
        e.retag("gpu", "serve")
    assert e.result is not None and not e.result.changed and e.result.undo is None
    assert stats(tagger) == before


def test_an_exception_discards_everything(ranker: Path) -> None:
    before = contents(ranker)
    with pytest.raises(KeyError), fastsm.edit(ranker, in_place=True) as e:
        e.dedupe()
        e.retag("serve", "gpu")
        raise KeyError
    assert contents(ranker) == before and e.result is None
    with pytest.raises(fastsm.UsageError, match="carried out, or discarded"):
        e.retag("serve", "gpu")


def test_nothing_is_written_before_the_end(ranker: Path) -> None:
    before = contents(ranker)
    with fastsm.edit(ranker, sync=False) as e:
        e.retag("serve", "gpu")
        assert contents(ranker) == before
    assert contents(ranker) != before


def test_a_model_that_changes_meanwhile_is_refused(ranker: Path) -> None:
    with pytest.raises(fastsm.RefusedError, match="changed since it was opened"):  # noqa: SIM117
        with fastsm.edit(ranker) as e:
            e.retag("serve", "gpu")
            os.utime(ranker / "saved_model.pb", ns=(1, 1))
    assert tag_sets(ranker) == [["serve"]]


def test_what_drops_wants_to_be_told_where(ranker: Path) -> None:
    before = contents(ranker)
    with fastsm.edit(ranker, sync=False) as e:
        for call in (e.dedupe, e.repair):
            with pytest.raises(fastsm.UsageError, match="say where to write"):
                call()
    assert contents(ranker) == before
    with pytest.raises(fastsm.UsageError, match="one of them"):
        fastsm.edit(ranker, out=ranker.parent / "out", in_place=True)


def test_repair_comes_first(ranker: Path) -> None:
    with fastsm.edit(ranker, dry_run=True) as e:
        e.repair()
        e.retag("serve", "gpu")
        with pytest.raises(fastsm.UsageError, match="comes before other edits"):
            e.repair()


def test_a_fingerprint_that_lies_elsewhere_goes_on_lying_there(ranker: Path) -> None:
    fingerprint = ranker / "fingerprint.pb"
    stale = fastsm.open(ranker).fingerprint
    assert stale is not None
    from .wire import integer

    fingerprint.write_bytes(fingerprint.read_bytes() + integer(5, 12345))
    fastsm.retag(ranker, "serve", "gpu", sync=False)
    checks = {c.name: c.ok for c in fastsm.open(ranker).check_fingerprint()}
    assert checks.pop("checkpoint_hash") is False
    assert all(checks.values())


# -- as data --


def test_data_and_methods_do_the_same(ranker: Path, tmp_path: Path) -> None:
    with fastsm.edit(ranker, out=tmp_path / "a", sync=False) as e:
        e.dedupe()
        e.retag("serve", {"serve", "gpu"})
    assert e.result is not None
    with fastsm.edit(ranker, out=tmp_path / "b", sync=False) as again:
        again.apply(e.result.to_dict()["edits"])
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(ranker)


def test_every_parameter_of_an_edit_can_be_data() -> None:
    for verb, name in verbs().items():
        assert hasattr(fastsm, name), f"{verb}: no function fastsm.{name}"
        for p in list(inspect.signature(getattr(fastsm.Edit, name)).parameters.values())[1:]:
            assert p.annotation in KINDS, f"{verb}: {p}"
            if p.kind is p.VAR_POSITIONAL:
                assert p.annotation in ("str", "Tags"), f"{verb}: {p}"


WRONG: list[tuple[Any, str]] = [
    ([3], r'edits\[0\]: an edit is an object with a "verb"'),
    ([{"old": "a"}], 'an edit is an object with a "verb"'),
    ([{"verb": "retagg"}], r"no edit 'retagg'\n  Did you mean retag\?"),
    ([{"verb": "apply", "edits": []}], "there is no edit 'apply'"),
    ([{"verb": "_open"}], "there is no edit '_open'"),
    ([{"verb": "retag", "old": "serve"}], 'retag wants "new"'),
    ([{"verb": "retag", "old": 3, "new": "x"}], r"edits\[0\].old is not a string or a list"),
    ([{"verb": "retag", "old": [1], "new": "x"}], r"edits\[0\].old is not a string or a list"),
    ([{"verb": "retag", "old": "serve", "new": None}], r"edits\[0\].new is not"),
    ([{"verb": "retag", "old": "serve", "new": "x", "force": 1}], "force is not true or false"),
    ([{"verb": "retag", "old": "serve", "new": "x", "forc": True}], "retag takes no 'forc'"),
    ([{"verb": "dedupe"}, {"verb": "dedupe", "x": 1}], r"edits\[1\]: dedupe takes no 'x'"),
]


@pytest.mark.parametrize(("edits", "message"), WRONG)
def test_data_that_is_no_edit_is_refused(ranker: Path, edits: Any, message: str) -> None:
    before = contents(ranker)
    with pytest.raises(fastsm.UsageError, match=message), fastsm.edit(ranker, in_place=True) as e:
        e.apply(edits)
    assert contents(ranker) == before


def test_an_edit_of_the_second_meta_graph_renews_no_hash_of_the_first(tagger: Path) -> None:
    from .wire import integer

    fingerprint = tagger / "fingerprint.pb"
    fingerprint.write_bytes(b"".join(integer(n, 7) for n in range(1, 6)) + b"\x32\x02\x08\x04")
    with fastsm.edit(tagger, sync=False) as e:
        e.rename_signature("serving_default", "tag", tags="serve")
    assert {c.name for c in fastsm.open(tagger).check_fingerprint() if c.ok} == {
        "saved_model_checksum"
    }
    with fastsm.edit(tagger, sync=False) as e:
        e.rename_signature("serving_default", "tag", tags="train")
    assert {c.name for c in fastsm.open(tagger).check_fingerprint() if c.ok} == {
        "saved_model_checksum", "signature_def_hash",
    }  # fmt: skip


def test_an_edit_leaves_nothing_for_the_collector_to_free(tmp_path: Path) -> None:
    """Edges know their graph, and it them: of a large model that is a lot to keep."""
    model = shutil.copytree(TAGGER, tmp_path / "model")
    gc.collect()
    gc.disable()
    try:
        fastsm.strip_training_graph(model, in_place=True, sync=False)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = {type(thing).__name__ for thing in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert kinds.isdisjoint({"Edges", "EdgeIndex", "NodeIndex", "MetaGraph"})
