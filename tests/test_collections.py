"""Entries of collections that Python's loaders cannot import: found where TensorFlow fails."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastsm
from fastsm.check.report import Finding
from fastsm.graph import collections
from fastsm.graph.collections import entries
from fastsm.model import SavedModel
from fastsm.plan import Rewrite
from fastsm.source import LEN

from .conftest import CorpusEntry, ModelFactory
from .oracle import ROOT, Oracle
from .test_dedupe import outputs
from .wire import delimited, entry, integer

DANGLING = "collection-dangling"


def found_in(path: Path, rule: str = DANGLING) -> list[Finding]:
    return [f for f in fastsm.verify(path, quick=True).findings if f.id == rule]


def add_collection(path: Path, name: str, *kind: bytes, graph: int = 0) -> None:
    """Append a collection to a meta graph."""
    with fastsm.open(path) as model:
        assert isinstance(model, SavedModel)
        field = model.meta_graphs[graph].field
        rewrite = Rewrite(model.reader.source)
        within = [(field.length_at, field.at, field.end)]
        rewrite.replace(field.end, field.end, entry(4, name, *kind), within)
        new = rewrite.source()
        data = new.read(0, new.size)
    (path / "saved_model.pb").write_bytes(data)


def node_list(*names: str) -> bytes:
    return delimited(1, *(delimited(1, name) for name in names))


def bytes_list(*messages: bytes) -> bytes:
    return delimited(2, *(delimited(1, message) for message in messages))


# -- against TensorFlow ----------------------------------------------------------------


def strings(data: bytes) -> Iterator[int]:
    """Where a length-delimited field begins that reads as a name."""
    for at in range(2, len(data)):
        n = data[at - 1]
        text = data[at : at + n]
        is_name = text[:1].isalpha() and all(32 < byte < 127 for byte in text)
        if data[at - 2] & 7 == LEN and n == len(text) and is_name:
            yield at


def of_each_kind(path: Path) -> dict[str, tuple[int, int]]:
    """Where in saved_model.pb the first entry of each collection lies."""
    with fastsm.open(path) as model:
        assert isinstance(model, SavedModel)
        found: dict[str, tuple[int, int]] = {}
        for e in entries(model.meta_graphs[0]):
            found.setdefault(e.collection, (e.field.at, e.field.end))
    return found


def agree(path: Path, oracle: Oracle, tags: set[str]) -> bool:
    """Whether v1 loads it, and verify, of which the same is asked, says so."""
    found = found_in(path)
    loaded = oracle.load_v1(path, tags)
    assert loaded.ok == (found == []), (loaded, found)
    return loaded.ok


@pytest.mark.parametrize(
    "name, tags",
    [("v1_control_flow", {"serve"}), ("train_and_serve_ref", {"train"}),
     ("train_and_serve_resource", {"train"})],
)  # fmt: skip
def test_every_name_of_an_entry_matters_as_it_does_to_tensorflow(
    name: str, tags: set[str], model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy(name)
    file = path / "saved_model.pb"
    whole = file.read_bytes()
    verdicts = {agree(path, oracle, tags): 1}
    assert verdicts == {True: 1}
    for start, end in of_each_kind(path).values():
        # A node's name is not length-delimited by itself: it is what the field holds.
        places = list(strings(whole[start:end])) or [0]
        for at in places:
            changed = whole[: start + at] + b"?" + whole[start + at + 1 :]
            file.write_bytes(changed)
            ok = agree(path, oracle, tags)
            verdicts[ok] = verdicts.get(ok, 0) + 1
    assert verdicts[False] >= 6


QUEUE_RUNNER = [delimited(1, "x"), delimited(2, "y"), delimited(3, "y"), delimited(4, "y:0")]


@pytest.mark.parametrize(
    "name, kind, ok",
    [
        ("mine", node_list("x", "x:0", "x:-1"), True),
        ("mine", node_list("y:1"), False),
        ("mine", node_list("x:1"), False),
        ("mine", node_list("x", "nowhere"), False),
        ("mine", node_list("nowhere:0"), False),
        ("mine", node_list("x:0:0"), False),
        ("mine", node_list("x:"), False),
        ("mine", node_list("^x"), False),
        ("mine", node_list(""), False),
        ("mine", node_list("save/restore_all:0"), False),
        ("mine", node_list("save/restore_all"), True),
        ("mine", node_list("save/RestoreV2:1"), True),
        ("mine", node_list("save/RestoreV2:2"), False),
        ("mine", node_list("save/RestoreV2:-3"), False),
        ("mine", bytes_list(b"nowhere", b"\xff"), True),
        ("mine", delimited(3, integer(1, 7)), True),
        ("mine", node_list("nowhere") + bytes_list(b"kept"), True),  # of a oneof the last
        ("mine", bytes_list(b"lost") + node_list("x") + node_list("nowhere"), False),
        ("unbound_inputs", node_list(), True),
        ("variables", node_list("x:0"), True),
        ("variables", node_list("nowhere:0"), False),
        ("queue_runners", bytes_list(b"".join(QUEUE_RUNNER)), True),
        *[
            ("queue_runners", bytes_list(b"".join(QUEUE_RUNNER[:i] + QUEUE_RUNNER[i + 1 :])),
             i == 1)
            for i in range(4)
        ],
        ("global_step", bytes_list(delimited(1, "w:0") + integer(5, 1)), False),
        ("global_step", bytes_list(delimited(1, "w:0") + delimited(2, "y") + integer(5, 1)), True),
        ("global_step", bytes_list(delimited(1, "w") + delimited(2, "y") + integer(5, 1)), False),
        ("model_variables", bytes_list(delimited(1, "w") + delimited(2, "y")), False),
        ("moving_average_variables",
         bytes_list(delimited(1, "x:0") + delimited(2, "y") + delimited(3, "y:0")), True),
        ("concatenated_variables", bytes_list(b"nothing to parse"), True),
    ],
)  # fmt: skip
def test_collections_made_by_hand(
    name: str, kind: bytes, ok: bool, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("stripped_defaults")
    add_collection(path, name, kind)
    loaded, found = oracle.load_v1(path, {"serve"}), found_in(path)
    assert loaded.ok is ok, loaded
    assert (found == []) is ok
    assert oracle.load_cc(path, {"serve"}).ok  # looks at none


def test_of_one_name_twice_the_last_counts(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("stripped_defaults")
    add_collection(path, "mine", node_list("nowhere"))
    assert not agree(path, oracle, {"serve"})
    add_collection(path, "mine", node_list("x"))
    assert agree(path, oracle, {"serve"})


def test_models_of_others(corpus_model: CorpusEntry) -> None:
    """What TensorFlow's v1 loader takes, or refuses for another reason, is not found fault with."""
    try:
        found = found_in(corpus_model.path)
    except fastsm.FormatError:
        return
    assert found == []
    assert not any("KeyError" in loaded["result"] for loaded in corpus_model.catalog["load_v1"])


# -- what is told ----------------------------------------------------------------------


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "tagger" / "1", tmp_path / "m"))


def test_the_finding(tagger: Path) -> None:
    assert found_in(tagger) == []
    add_collection(tagger, "my\nlosses", node_list("gone:0"), graph=1)
    [found] = found_in(tagger)
    assert found.place == r'meta_graphs[1].collection_def["my\x0alosses"].node_list.value[0]'
    assert (found.key, found.severity) == ("gone:0", "error")
    assert found.message == '"gone:0": no such node in the graph; Python\'s loaders fail'
    assert found.fix and found.fix.endswith(f"--only {DANGLING}")


def test_of_a_tf2_model_only_v1_looks(tmp_path: Path) -> None:
    path = Path(shutil.copytree(ROOT / "examples" / "ranker" / "1", tmp_path / "m"))
    add_collection(path, "train_op", node_list("gone"))
    [found] = found_in(path)
    assert found.message.endswith("the v1 loader fails")


def test_tensorflow_agrees_who_looks(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("two_signatures")
    add_collection(path, "train_op", node_list("gone"))
    assert len(found_in(path)) == 1
    assert oracle.load_v2(path).ok and not oracle.load_v1(path, {"serve"}).ok
    path = model_copy("two_meta_graphs_v2")
    add_collection(path, "train_op", node_list("gone"))
    [found] = found_in(path)
    assert found.message.endswith("Python's loaders fail")
    assert not oracle.load_v2(path, {"serve"}).ok and not oracle.load_v1(path, {"serve"}).ok


def test_an_init_op_is_another_rule(model_copy: ModelFactory, oracle: Oracle) -> None:
    """No entry of theirs is one that can go; and it is told once."""
    path = model_copy("two_signatures")  # names its init op in a signature, too
    add_collection(path, "saved_model_main_op", node_list("gone"))
    [found] = found_in(path, "op-missing")
    assert found.place == 'meta_graphs[0].collection_def["saved_model_main_op"].node_list.value[0]'
    assert found_in(path) == [] and not oracle.load_v1(path, {"serve"}).ok
    path = model_copy("asset_collection")
    add_collection(path, "saved_model_main_op", node_list("gone"))
    [found] = found_in(path, "op-missing")
    assert found.key == "gone" and not oracle.load_v1(path, {"serve"}).ok


def test_a_message_that_does_not_parse(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("stripped_defaults")
    add_collection(path, "variables", bytes_list(b"\x0a\x7f"))
    [found] = found_in(path, "model-damaged")
    assert found.place == 'meta_graphs[0].collection_def["variables"].bytes_list.value[0]'
    assert not oracle.load_v1(path, {"serve"}).ok


def test_more_names_than_are_looked_up(tagger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collections, "MAX_NAMES", 20)
    add_collection(tagger, "mine", node_list(*(f"gone_{i}" for i in range(30))))
    report = fastsm.verify(tagger, quick=True)
    assert [f for f in report.findings if f.severity == "error"] == []
    assert any("past a limit of fastsm" in words for words in report.not_checked)


# -- mended ----------------------------------------------------------------------------


def mend(path: Path) -> fastsm.EditResult:
    return fastsm.repair(path, only=DANGLING, in_place=True, sync=False)


def test_what_leads_nowhere_goes_and_nothing_else(tagger: Path) -> None:
    """A collection of which nothing is left goes whole; of others the rest stays."""
    original = (tagger / "saved_model.pb").read_bytes()
    add_collection(tagger, "mine", node_list("gone", "gone:0"), graph=1)
    result = mend(tagger)
    assert (result.before, result.after) == ({DANGLING: 2}, {DANGLING: 0})
    assert (tagger / "saved_model.pb").read_bytes() == original
    add_collection(tagger, "mine", node_list("save/restore_all"), graph=0)
    want = (tagger / "saved_model.pb").read_bytes()
    (tagger / "saved_model.pb").write_bytes(original)
    add_collection(tagger, "mine", node_list("gone", "save/restore_all", "gone:0"), graph=0)
    assert mend(tagger).changed and (tagger / "saved_model.pb").read_bytes() == want
    stat = os.stat(tagger / "saved_model.pb")
    assert not mend(tagger).changed and os.stat(tagger / "saved_model.pb") == stat


def test_of_a_name_that_is_there_twice_none_comes_back(tagger: Path) -> None:
    original = (tagger / "saved_model.pb").read_bytes()
    add_collection(tagger, "mine", node_list("hidden"))
    add_collection(tagger, "mine", node_list("gone"))
    assert mend(tagger).before == {DANGLING: 1}
    assert (tagger / "saved_model.pb").read_bytes() == original


def test_every_loader_computes_what_it_computed(
    model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    for name in ("train_and_serve_ref", "v1_control_flow"):
        path = model_copy(name)
        want = outputs(path, name, oracle)
        variable = delimited(1, "lost:0") + delimited(2, "lost/Assign") + delimited(3, "lost:0")
        add_collection(path, "train_op", node_list("gone"))
        add_collection(path, "local_variables", bytes_list(variable))
        broken = outputs(path, name, oracle)
        assert {k: v for k, v in broken.items() if k[0] == "cc"} == {
            k: v for k, v in want.items() if k[0] == "cc"
        }
        assert "error KeyError" in broken.values()
        assert mend(path).changed
        assert outputs(path, name, oracle) == want


def test_an_init_op_does_not_go(model_copy: ModelFactory) -> None:
    path = model_copy("asset_collection")
    add_collection(path, "saved_model_main_op", node_list("gone"))
    before = (path / "saved_model.pb").read_bytes()
    result = fastsm.repair(path, in_place=True, sync=False)
    assert not result.changed and (path / "saved_model.pb").read_bytes() == before
    assert "op-missing (1 finding): nothing mends that" in result.warnings


def test_the_only_way_to_a_variable_does_not_go(model_copy: ModelFactory) -> None:
    """Without a saver the v1 loader restores what the collections list."""
    path = model_copy("no_saver")
    assert found_in(path) == []
    whole = (path / "saved_model.pb").read_bytes()
    broken = whole.replace(b"w/Assign", b"w/Nowher")
    # The node keeps its name: the entry alone is changed.
    start, end = of_each_kind(path)["variables"]
    (path / "saved_model.pb").write_bytes(whole[:start] + broken[start:end] + whole[end:])
    assert len(found_in(path)) == 1
    add_collection(path, "mine", node_list("gone"))
    result = mend(path)
    assert (result.before, result.after) == ({DANGLING: 2}, {DANGLING: 1})
    assert result.what == f"mends {DANGLING} (1)"
    [warning] = result.warnings
    assert warning.endswith("by it alone, as there is no saver, w:0 is restored")
    [left] = found_in(path)
    assert left.key == "w/Nowher"
    with pytest.raises(fastsm.RefusedError, match="as there is no saver, w:0 is restored"):
        mend(path)


def test_many_collections_are_mended_in_time(tagger: Path) -> None:
    original = (tagger / "saved_model.pb").read_bytes()
    with fastsm.open(tagger) as model:
        assert isinstance(model, SavedModel)
        field = model.meta_graphs[0].field
        rewrite = Rewrite(model.reader.source)
        many = b"".join(entry(4, f"mine {i}", node_list("gone")) for i in range(20_000))
        rewrite.replace(field.end, field.end, many, [(field.length_at, field.at, field.end)])
        new = rewrite.source()
        data = new.read(0, new.size)
    (tagger / "saved_model.pb").write_bytes(data)
    began = time.process_time()
    assert mend(tagger).changed
    assert time.process_time() - began < 20
    assert (tagger / "saved_model.pb").read_bytes() == original
