"""clear-devices: which bytes go, and that every loader computes what it computed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

import fastsm
from fastsm.graph.nodes import Graph
from fastsm.model import SavedModel
from fastsm.plan import Rewrite, enclosing

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT, Oracle
from .test_dedupe import LOADERS, outputs
from .test_retag import REFUSED, check_fingerprint, contents
from .wire import delimited, entry, integer, message_type, varint

GPU_MODEL = "tensorflow_serving__testdata-saved_model_half_plus_two_gpu"


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "ranker" / "1", tmp_path / "ranker"))


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "tagger" / "1", tmp_path / "tagger"))


def message(data: bytes) -> Any:
    return message_factory.GetMessageClass(message_type("SavedModel")).FromString(data)


def clear(saved_model: Any) -> dict[str, int]:
    """Do it by protobuf: how often each device was named."""
    seen: dict[str, int] = {}

    def clear_one(holder: Any) -> None:
        if holder.device:
            seen[holder.device] = seen.get(holder.device, 0) + 1
            holder.device = ""

    def clear_variable(variable: Any) -> None:
        clear_one(variable)
        for component in variable.experimental_distributed_variable_components:
            clear_variable(component)

    for graph in saved_model.meta_graphs:
        for node in graph.graph_def.node:
            clear_one(node)
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                clear_one(node)
        for thing in graph.object_graph_def.nodes:
            if thing.HasField("variable"):
                clear_variable(thing.variable)
            if thing.HasField("resource"):
                clear_one(thing.resource)
    return seen


def check(path: Path) -> dict[str, int]:
    """Clear a model's devices; all else is as it was, and its bytes are."""
    file = path / "saved_model.pb"
    before = file.read_bytes()
    want = message(before)
    seen = clear(want)
    result = fastsm.clear_devices(path, in_place=True, sync=False)
    assert result.before == {"devices": seen} and result.after == {"devices": {}}
    after = file.read_bytes()
    assert message(after) == want
    assert result.changed is bool(seen)
    if not seen:
        assert after == before
        return seen
    # A field takes a tag and a length beside the name, and lengths around it shrink.
    gone = sum((len(d.encode()) + 2) * n for d, n in seen.items())
    assert gone <= len(before) - len(after) <= gone + 2 * sum(seen.values()) + 16
    stat = os.stat(file)
    again = fastsm.clear_devices(path, in_place=True, sync=False)
    assert not again.changed and os.stat(file) == stat
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_every_model(name: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy(name)
    if not (path / "saved_model.pb").exists():
        result = fastsm.clear_devices(path, in_place=True, sync=False)
        assert result.changed
        assert not fastsm.clear_devices(path, in_place=True, sync=False).changed
        return
    if name == "no_meta_graphs":
        with pytest.raises(fastsm.FormatError):
            fastsm.clear_devices(path, in_place=True)
        return
    if name in REFUSED and clear(message((path / "saved_model.pb").read_bytes())):
        with pytest.raises(fastsm.RefusedError, match=REFUSED[name]):
            fastsm.clear_devices(path, in_place=True)
        return
    was_true = fingerprint_is_true(path, oracle)
    check(path)
    assert fingerprint_is_true(path, oracle) is was_true or name == "stale_fingerprint"


def fingerprint_is_true(path: Path, oracle: Oracle) -> bool | None:
    if not (path / "fingerprint.pb").exists():
        return None
    return oracle.stored_fingerprint(path)[:5] == oracle.fingerprint(path)[:5]


def test_every_corpus_model(corpus_model: CorpusEntry, tmp_path: Path) -> None:
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    if corpus_model.catalog["parse_error"] or not (path / "saved_model.pb").exists():
        return
    seen = check(path)
    assert set(corpus_model.catalog["devices"]) <= set(seen)


@pytest.mark.parametrize(
    "name",
    ["two_signatures", "keras_export", "vocabulary", "v1_control_flow", "asset_field",
     "train_and_serve_ref", "train_and_serve_resource"],
)  # fmt: skip
def test_outputs_stay_bit_equal(
    name: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    result = fastsm.clear_devices(model(name), out=tmp_path / "out", sync=False)
    assert result.changed
    computed = outputs(tmp_path / "out", name, oracle)
    assert computed == outputs(model(name), name, oracle)
    assert set(LOADERS) == {key[0] for key, value in computed.items() if isinstance(value, dict)}


def test_a_model_for_a_gpu_computes_without_one(
    corpus_model: CorpusEntry, tmp_path: Path, oracle: Oracle
) -> None:
    if not corpus_model.path.name.startswith(GPU_MODEL):
        return
    before = oracle.load_v1(corpus_model.path, ["serve"])
    assert not before.ok and "Cannot assign a device" in before.text
    fastsm.clear_devices(corpus_model.path, out=tmp_path / "out", sync=False)
    for loader in LOADERS:
        assert oracle.load(tmp_path / "out", loader, ["serve"]).ok
    computed = [oracle.run(tmp_path / "out", loader, ["serve"]) for loader in LOADERS]
    assert computed[0] == computed[1] == computed[2]


# -- what it is told --


def test_one_meta_graph_alone(tagger: Path) -> None:
    def devices(i: int) -> int:
        with fastsm.open(tagger) as model:
            assert isinstance(model, SavedModel)
            graph, rewrite = model.meta_graphs[i], Rewrite(model.reader.source)
            [f] = [f for f in graph.fields if f.number == 2]
            return len(rewrite.cut_all("devices", enclosing(graph.field, f))[0])

    assert devices(0) and devices(1)
    result = fastsm.clear_devices(tagger, tags="serve", in_place=True, sync=False)
    assert result.edits[0].arguments == {"tags": ["serve"]}
    assert devices(0) and not devices(1)
    with pytest.raises(fastsm.MissingError, match=r"no meta graph has the tag set \{gpu\}"):
        fastsm.clear_devices(tagger, tags="gpu", dry_run=True)


def test_it_wants_to_be_told_where(ranker: Path) -> None:
    before = contents(ranker)
    with pytest.raises(fastsm.UsageError, match="say where to write"):
        fastsm.clear_devices(ranker)
    assert fastsm.clear_devices(ranker, dry_run=True).changed
    assert contents(ranker) == before


def test_the_command(ranker: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "fastsm", "clear-devices", *words],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    before = contents(ranker)
    code, out, err = run(str(ranker))
    assert code == 2 and "clears /device:CPU:0 (32)" in out and "nothing written" in err
    assert contents(ranker) == before
    code, out, _ = run(str(ranker), "--out", str(tmp_path / "new"), "--json")
    told = json.loads(out)
    assert code == 0 and told["schema"] == "fastsm.clear-devices/1"
    assert told["before"] == {"devices": {"/device:CPU:0": 32, "/device:CPU:*": 5}}
    code, out, err = run(str(tmp_path / "new"))
    assert (code, out, err) == (0, f"{tmp_path / 'new'}   no device to clear\n", "")
    code, _, err = run(str(ranker), "--tags", "gpu", "--dry-run")
    assert code == 4 and "no meta graph has the tag set {gpu}" in err


def test_it_composes(ranker: Path, oracle: Oracle) -> None:
    with fastsm.edit(ranker, in_place=True, sync=False) as e:
        e.clear_devices()
        e.retag("serve", "gpu")
        e.clear_devices()
    first, _, last = e.done
    assert first.before["devices"] and not last.before["devices"]
    check_fingerprint(ranker, oracle)
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())


def test_what_else_splices_go_with_it(ranker: Path) -> None:
    """Rows of the core stand beside rows of Python's, in any order."""
    with fastsm.open(ranker) as model:
        assert isinstance(model, SavedModel)
        [graph] = model.meta_graphs
        [info] = [f for f in graph.fields if f.number == 1]
        [inside] = [f for f in graph.fields if f.number == 2]
        for late in (False, True):
            rewrite = Rewrite(graph.reader.source)
            for step in (late, not late):
                if step:
                    at = info.end
                    rewrite.replace(at, at, b"", enclosing(graph.field, info))
                    rewrite.replace(at, at, delimited(4, "late"), enclosing(graph.field, info))
                    continue
                rewrite.cut_all("devices", enclosing(graph.field, inside))
            new = rewrite.source()
            want = message((ranker / "saved_model.pb").read_bytes())
            clear_nodes_of(want)
            want.meta_graphs[0].meta_info_def.tags.append("late")
            assert message(new.read(0, new.size)) == want


def clear_nodes_of(saved_model: Any) -> None:
    for graph in saved_model.meta_graphs:
        functions = graph.graph_def.library.function
        for nodes in (graph.graph_def.node, *(f.node_def for f in functions)):
            for node in nodes:
                node.device = ""


def test_a_stale_hash_that_does_not_see_it_stays_stale(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    """Of nodes the fingerprint has a hash over the first meta graph's own."""
    path = model_copy("two_meta_graphs_v2")
    hashes = oracle.fingerprint(path)
    false = (hashes[0], 7, *hashes[2:5])
    fields = b"".join(integer(i + 1, value) for i, value in enumerate(false))
    (path / "fingerprint.pb").write_bytes(fields + delimited(6, integer(1, 4)))
    fastsm.clear_devices(path, tags={"serve", "copy"}, in_place=True, sync=False)
    stored = oracle.stored_fingerprint(path)
    assert stored.graph_def_program_hash == 7
    assert stored.saved_model_checksum == oracle.fingerprint(path).saved_model_checksum
    fastsm.clear_devices(path, in_place=True, sync=False)
    assert oracle.stored_fingerprint(path)[:5] == oracle.fingerprint(path)[:5]


# -- odd models --


def hand_made(folder: Path, *parts: bytes) -> Path:
    folder.mkdir()
    graph = delimited(2, delimited(1, delimited(4, "serve")), *parts)
    (folder / "saved_model.pb").write_bytes(graph)
    return folder


def test_variables_and_resources(tmp_path: Path) -> None:
    component = delimited(8, delimited(7, "/gpu:1"), delimited(8, delimited(7, "/gpu:2")))
    variable = delimited(7, delimited(7, "/gpu:0"), component, delimited(6, "w"))
    resource = delimited(10, delimited(1, "/cpu:0"))
    function = delimited(6, delimited(1, "f"))
    nodes = b"".join(delimited(1, kind) for kind in (function, variable, resource, function))
    path = hand_made(tmp_path / "m", delimited(7, nodes))
    assert check(path) == {"/gpu:0": 1, "/gpu:1": 1, "/gpu:2": 1, "/cpu:0": 1}


def test_a_graph_in_two_halves(tmp_path: Path) -> None:
    """A message that occurs twice is one, merged."""
    node = delimited(1, delimited(1, "a"), delimited(4, "/cpu:0"))
    library = delimited(2, delimited(1, delimited(3, delimited(4, "/gpu:0"))))
    graph = delimited(2, node + library) + delimited(2, library + node)
    path = hand_made(tmp_path / "m", graph, delimited(7, delimited(1, delimited(7, b""))))
    assert check(path) == {"/cpu:0": 2, "/gpu:0": 2}


def test_lengths_wider_than_needed(tmp_path: Path) -> None:
    inner = delimited(1, "a") + delimited(4, "/cpu:0")
    node = b"\x0a" + varint(len(inner), 5) + inner
    path = hand_made(tmp_path / "m", delimited(2, node))
    assert fastsm.clear_devices(path, in_place=True, sync=False).changed
    [graph] = message((path / "saved_model.pb").read_bytes()).meta_graphs
    assert [(n.name, n.device) for n in graph.graph_def.node] == [("a", "")]


def test_what_is_on_no_device_stays(tmp_path: Path) -> None:
    """An empty name, or a field of that number that is no string."""
    node = delimited(1, delimited(4, ""), integer(4, 7))
    path = hand_made(tmp_path / "m", delimited(2, node))
    before = contents(path)
    assert not fastsm.clear_devices(path, in_place=True, sync=False).changed
    assert contents(path) == before


@pytest.mark.parametrize(
    "graph",
    [
        delimited(2, delimited(1, b"\x22\x7f")),
        delimited(2, delimited(2, delimited(1, delimited(3, b"\x22\x7f/")))),
        delimited(2, delimited(1, delimited(4, b"/" * 5000))),
        delimited(7, delimited(1, delimited(7, delimited(7, b"\xff\xfe")))),
        delimited(7, delimited(1, delimited(10, b"\x0a\x7f"))),
    ],
)
def test_a_damaged_graph(graph: bytes, tmp_path: Path) -> None:
    path = hand_made(tmp_path / "m", graph)
    before = contents(path)
    with pytest.raises(fastsm.FormatError) as caught:
        fastsm.clear_devices(path, in_place=True, sync=False)
    assert caught.value.place and caught.value.offset is not None
    assert contents(path) == before


def test_devices_that_are_no_text_are_shown_safely(tmp_path: Path) -> None:
    node = delimited(1, delimited(4, b"/\x1b[31m\xff"))
    path = hand_made(tmp_path / "m", delimited(2, node))
    result = fastsm.clear_devices(path, in_place=True, sync=False)
    assert result.what == "clears /\\x1b[31m\ufffd (1)"
    assert not fastsm.clear_devices(path, in_place=True, sync=False).changed


def test_a_hundred_thousand_nodes(tmp_path: Path) -> None:
    names = delimited(1, "n"), delimited(2, "NoOp"), delimited(4, "/cpu:0")
    node = delimited(1, *names, entry(5, "k", b""))
    path = hand_made(tmp_path / "m", delimited(2, node * 100_000))
    assert check(path) == {"/cpu:0": 100_000}
    with fastsm.open(path) as model:
        assert isinstance(model, SavedModel)
        assert len(Graph(model.meta_graphs[0]).named([b"n"])) == 1
