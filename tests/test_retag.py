"""Retag: what changes, what does not, what is refused; and TensorFlow's word for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.edits.tags import _merge
from fastsm.text import tag_set

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

#: Models that cannot be retagged, and what the error says.
REFUSED = {"stray_cpb": "saved_model.cpb", "no_meta_graphs": "is empty"}

NEW = frozenset(["fastsm-a", "fastsm-b"])


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "ranker" / "1", tmp_path / "ranker"))


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "tagger" / "1", tmp_path / "tagger"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def without_tags(parsed: dict[str, Any]) -> dict[str, Any]:
    graphs = [{k: v for k, v in g.items() if k != "tags"} for g in parsed["meta_graphs"]]
    return {**parsed, "meta_graphs": graphs}


def check_there_and_back(path: Path, oracle: Oracle) -> None:
    """Retag every meta graph that can be found, and take it back."""
    tag_sets = fastsm.open(path).tag_sets
    for index, tags in enumerate(tag_sets):
        if tags in tag_sets[:index]:
            continue  # hidden: no loader finds it, nor do we
        before, parsed = contents(path), oracle.parse(path)
        written = parsed["meta_graphs"][index]["tags"]

        result = fastsm.retag(path, tags, NEW, sync=False)
        assert result.changed
        # No command line can name a tag with a comma, or the empty one.
        assert (result.undo is None) == any(tag == "" or "," in tag for tag in tags)
        after = oracle.parse(path)
        assert without_tags(after) == without_tags(parsed)
        for i, (old, new) in enumerate(
            zip(parsed["meta_graphs"], after["meta_graphs"], strict=True)
        ):
            assert new["tags"] == (sorted(NEW) if i == index else old["tags"])
        if "fingerprint.pb" in before and "saved_model.pb" in before:
            check_fingerprint(path, oracle)
        changed = {n for n, data in contents(path).items() if before.get(n) != data}
        assert changed <= {"saved_model.pb", "saved_model.pbtxt", "fingerprint.pb"}

        fastsm.retag(path, NEW, tags, sync=False, force=True)
        if written == sorted(set(written)):
            if "saved_model.pb" in before:
                assert contents(path)["saved_model.pb"] == before["saved_model.pb"]
            assert oracle.parse(path) == parsed


def check_fingerprint(path: Path, oracle: Oracle) -> None:
    """The checksum is what TensorFlow computes of the edited model."""
    stored = fastsm.open(path).fingerprint
    assert stored is not None
    if not stored.covers_graph_only:
        assert stored.saved_model_checksum == oracle.fingerprint(path).saved_model_checksum


@pytest.mark.parametrize("name", MODELS)
def test_every_model_there_and_back(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    if name in REFUSED:
        with pytest.raises(fastsm.FastsmError, match=REFUSED[name]):
            fastsm.retag(path, "serve", NEW)
        return
    check_there_and_back(path, oracle)


def test_every_corpus_model_there_and_back(
    corpus_model: CorpusEntry, tmp_path: Path, oracle: Oracle
) -> None:
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    if corpus_model.catalog["parse_error"]:
        with pytest.raises(fastsm.FormatError):
            fastsm.open(path)
        return
    check_there_and_back(path, oracle)


@pytest.mark.parametrize("loader", ["v2", "v1", "cc"])
@pytest.mark.parametrize(
    "name", ["two_signatures", "keras_export", "vocabulary", "serve_and_gpu", "asset_field"]
)
def test_outputs_stay_bit_equal(
    name: str, loader: Any, model_copy: ModelFactory, model: ModelFactory, oracle: Oracle
) -> None:
    original, path = model(name), model_copy(name)
    fastsm.retag(path, "serve", NEW, sync=False)
    signatures = fastsm.open(original).meta_graph("serve").signatures
    assert signatures
    for key in signatures:
        want = oracle.run(original, loader, ["serve"], key, feeds=MODELS[name].feeds.get(key))
        got = oracle.run(path, loader, sorted(NEW), key, feeds=MODELS[name].feeds.get(key))
        assert got == want
    assert not oracle.load(path, loader, ["serve"]).ok


# -- what it does to the bytes --


def test_writes_nothing_when_nothing_changes(ranker: Path) -> None:
    before = os.stat(ranker / "saved_model.pb")
    result = fastsm.retag(ranker, "serve", {"serve"})
    assert not result.changed and repr(result).startswith("EditResult(changed=False")
    after = os.stat(ranker / "saved_model.pb")
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_dry_run_writes_nothing(ranker: Path) -> None:
    before = contents(ranker)
    result = fastsm.retag(ranker, "serve", {"serve", "gpu"}, dry_run=True)
    assert result.changed and contents(ranker) == before


def test_same_input_same_bytes(ranker: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        fastsm.retag(ranker, "serve", {"x", "serve"}, out=tmp_path / out, sync=False)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert fastsm.open(ranker).tag_sets == [{"serve"}]


def test_a_hundred_edits_do_not_grow_the_file(ranker: Path) -> None:
    before = contents(ranker)["saved_model.pb"]
    for _ in range(50):
        fastsm.retag(ranker, "serve", {"serve", "gpu"}, sync=False)
        fastsm.retag(ranker, {"serve", "gpu"}, "serve", sync=False)
    assert contents(ranker)["saved_model.pb"] == before
    assert sorted(os.listdir(ranker)) == sorted(os.listdir(EXAMPLES / "ranker" / "1"))


@pytest.mark.parametrize(
    ("tags", "new", "written"),
    [
        (("serve",), {"serve", "gpu"}, ("gpu", "serve")),
        (("serve", "gpu"), {"serve", "gpu", "tpu"}, ("serve", "gpu", "tpu")),
        (("serve", "gpu"), {"serve"}, ("serve",)),
        (("a", "b", "c"), {"a", "c"}, ("a", "c")),
        (("a", "c"), {"a", "b", "c"}, ("a", "b", "c")),
        ((), {"b", "a"}, ("a", "b")),
        (("x",), set(), ()),
        (("serve", "serve"), {"serve", "z"}, ("serve", "serve", "z")),
    ],
)
def test_order_of_tags(tags: tuple[str, ...], new: set[str], written: tuple[str, ...]) -> None:
    assert _merge(tags, new) == written


def test_empty_set_there_and_back(ranker: Path) -> None:
    before = contents(ranker)["saved_model.pb"]
    fastsm.retag(ranker, "serve", set(), sync=False)
    assert fastsm.open(ranker).tag_sets == [frozenset()]
    fastsm.retag(ranker, set(), "serve", sync=False)
    assert contents(ranker)["saved_model.pb"] == before


def test_long_tags_grow_the_lengths_around_them(ranker: Path) -> None:
    before = contents(ranker)["saved_model.pb"]
    tag = "x" * 20_000
    fastsm.retag(ranker, "serve", tag, sync=False)
    assert fastsm.open(ranker).tag_sets == [{tag}]
    fastsm.retag(ranker, tag, "serve", sync=False)
    assert contents(ranker)["saved_model.pb"] == before


# -- what it says --


def test_missing_old_lists_what_there_is(tagger: Path) -> None:
    with pytest.raises(
        fastsm.MissingError, match=r"\{nope\}; tag sets here: \{train\} \{serve\}"
    ):
        fastsm.retag(tagger, "nope", "x")


def test_taken_new_is_refused_and_force_says_what_follows(tagger: Path) -> None:
    with pytest.raises(fastsm.RefusedError, match=r"already the tag set of meta_graphs\[1\]"):
        fastsm.retag(tagger, "train", "serve")
    result = fastsm.retag(tagger, "train", "serve", force=True, sync=False)
    assert (
        "every loader takes the first meta graph with {serve}: meta_graphs[0]"
        in result.warnings[0]
    )
    assert fastsm.open(tagger).meta_graph("serve").index == 0


def test_losing_serve_warns_with_the_server_flag(ranker: Path) -> None:
    result = fastsm.retag(ranker, "serve", {"serve", "gpu"}, dry_run=True)
    assert len(result.warnings) == 1
    assert "--saved_model_tags=gpu,serve" in result.warnings[0]


def test_a_hidden_meta_graph_that_appears_is_told(tagger: Path) -> None:
    fastsm.retag(tagger, "train", "serve", force=True, sync=False)
    result = fastsm.retag(tagger, "serve", "old", dry_run=True)
    assert "meta_graphs[1], hidden until now" in result.warnings[0]


def test_the_inverse_takes_back_what_was_retagged(tagger: Path, ranker: Path) -> None:
    first = fastsm.retag(tagger, "train", "serve", force=True, dry_run=True)
    assert first.undo == f"fastsm retag {tagger} serve train"
    # Of two {serve} the command would take the other one.
    assert fastsm.retag(tagger, "serve", "train", force=True, sync=False).undo is None
    # Both are {train} now; when the first is not, the second one is found.
    seen = fastsm.retag(tagger, "train", "gpu", dry_run=True)
    assert seen.undo == f"fastsm retag {tagger} gpu train --force"
    for odd in ("a,b", ""):
        assert fastsm.retag(ranker, "serve", {odd}, dry_run=True).undo is None


@pytest.mark.parametrize("new", [{"a,b"}, {" a"}, {""}])
def test_tags_that_tools_cannot_name_are_warned_of(ranker: Path, new: set[str]) -> None:
    result = fastsm.retag(ranker, "serve", new, dry_run=True)
    assert any("cannot name" in w for w in result.warnings)


def test_a_string_with_a_comma_is_refused(ranker: Path) -> None:
    with pytest.raises(
        fastsm.RefusedError, match=r"one tag with a comma\? pass \{'serve', 'gpu'\}"
    ):
        fastsm.retag(ranker, "serve", "serve,gpu")


@pytest.mark.parametrize("new", [{1}, {"\ud800"}])
def test_tags_that_no_file_can_hold(ranker: Path, new: Any) -> None:
    with pytest.raises(fastsm.UsageError):
        fastsm.retag(ranker, "serve", new)


def test_pbtxt_beside_pb_is_left_alone_and_told(ranker: Path) -> None:
    (ranker / "saved_model.pbtxt").write_text("not read")
    result = fastsm.retag(ranker, "serve", "x", sync=False)
    assert "saved_model.pbtxt" in result.warnings[0]
    assert (ranker / "saved_model.pbtxt").read_text() == "not read"


def test_damaged_fingerprint_is_removed_with_a_warning(ranker: Path) -> None:
    (ranker / "fingerprint.pb").write_bytes(b"\x0a\xff\xff")
    result = fastsm.retag(ranker, "serve", "x", sync=False)
    assert not (ranker / "fingerprint.pb").exists()
    assert any("damaged" in w for w in result.warnings)


def test_stale_hashes_that_retag_does_not_touch_stay_stale(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("two_signatures")
    before = fastsm.open(path).fingerprint
    stored = (path / "fingerprint.pb").read_bytes()
    assert before is not None
    lie = before.checkpoint_hash ^ 1
    from fastsm.fingerprint.renew import rewritten
    from fastsm.source import Reader, from_bytes

    (path / "fingerprint.pb").write_bytes(rewritten(Reader(from_bytes(stored), ""), {5: lie}))
    fastsm.retag(path, "serve", "x", sync=False)
    after = fastsm.open(path).fingerprint
    assert after is not None and after.checkpoint_hash == lie
    assert after.saved_model_checksum == oracle.fingerprint(path).saved_model_checksum
    assert after.uuid not in (None, before.uuid)


def refuse(path: Path, call: Callable[[], object]) -> None:
    before = contents(path)
    with pytest.raises(fastsm.FastsmError):
        call()
    assert contents(path) == before


def test_nothing_is_written_when_it_is_refused(tagger: Path) -> None:
    refuse(tagger, lambda: fastsm.retag(tagger, "train", "serve"))
    refuse(tagger, lambda: fastsm.retag(tagger, "serve", "a,b"))
    refuse(tagger, lambda: fastsm.retag(tagger, "serve", "x", out=tagger / "inside"))


def test_tag_set_is_sorted_and_safe() -> None:
    assert tag_set({"b", "a\x1b[31m"}) == "{a\\x1b[31m, b}"
