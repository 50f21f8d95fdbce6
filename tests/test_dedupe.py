"""Dedupe: what is shared, what loaders make of it, what is refused; and a crash at any call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastsm
from fastsm import _core, workers
from fastsm.bundle.opened import Bundle
from fastsm.bundle.rewrite import BundleRewrite
from fastsm.edits import dedupe as edit
from fastsm.edits.dedupe import share_doubles

from .conftest import CorpusEntry, ModelFactory
from .crash import FailAt
from .models import MODELS
from .oracle import ROOT, Loader, Oracle, Tensor, TensorFlowFailed
from .test_retag import contents

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

#: Models in which something is stored twice: Keras 3 exports, and equal numbers by chance.
DOUBLED = ["keras_endpoints", "keras_export", "keras_multi", "many_variables", "partitioned"]


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "ranker" / "1", tmp_path / "ranker"))


def bundle(path: Path) -> Bundle:
    return Bundle.open(str(path / "variables" / "variables"))


def values(path: Path) -> dict[bytes, bytes]:
    """The stored bytes of every entry that has some."""
    opened = bundle(path)
    out = {}
    for row, key in enumerate(opened.index.keys()):
        _, _, shard, offset, size, _, n_slices = opened.index.entry(row)
        if not n_slices:
            out[key] = opened.shard(shard).source().read(offset, size)
    return out


# -- what it does --


def test_both_keys_point_at_one_copy(ranker: Path) -> None:
    before, stored = values(ranker), contents(ranker)
    result = fastsm.dedupe(ranker, in_place=True, sync=False)
    assert result.changed and result.before["doubled"] == 3 and result.after["doubled"] == 0
    assert values(ranker) == before
    index = bundle(ranker).index
    assert index.doubles() == (0, 0, 0) and index.twins() == []
    size = (ranker / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size == result.after["bytes"] < result.before["bytes"]
    changed = {n for n, data in contents(ranker).items() if stored[n] != data}
    assert changed == {
        "fingerprint.pb", "variables/variables.index", "variables/variables.data-00000-of-00001",
    }  # fmt: skip
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())


def test_a_second_time_nothing_is_written(ranker: Path) -> None:
    fastsm.dedupe(ranker, in_place=True, sync=False)
    before = os.stat(ranker)
    result = fastsm.dedupe(ranker, in_place=True, sync=False)
    assert not result.changed and os.stat(ranker) == before


def test_out_leaves_the_model_and_copies_one_with_nothing_to_do(
    ranker: Path, tmp_path: Path
) -> None:
    before = contents(ranker)
    fastsm.dedupe(ranker, out=tmp_path / "a", sync=False)
    fastsm.dedupe(tmp_path / "a", out=tmp_path / "b", sync=False)
    assert contents(ranker) == before
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != before


def test_the_same_model_gives_the_same_bytes(ranker: Path, tmp_path: Path) -> None:
    fastsm.dedupe(ranker, out=tmp_path / "out", sync=False)
    fastsm.dedupe(ranker, in_place=True, sync=False)
    assert contents(ranker) == contents(tmp_path / "out")


def test_a_backup_takes_it_back(ranker: Path, tmp_path: Path) -> None:
    before = contents(ranker)
    result = fastsm.dedupe(ranker, in_place=True, backup=tmp_path / "before", sync=False)
    assert result.undo == f"fastsm undo {ranker} {tmp_path / 'before'}"
    fastsm.undo(ranker, tmp_path / "before", sync=False)
    assert contents(ranker) == before


def test_a_model_without_variables_has_nothing_to_do(ranker: Path) -> None:
    shutil.rmtree(ranker / "variables")
    result = fastsm.dedupe(ranker, in_place=True)
    assert not result.changed and result.before == {}


def test_equal_checksums_are_no_proof(ranker: Path) -> None:
    """Tensors of one size and checksum with other bytes: made by changing bytes and no index."""
    opened = bundle(ranker)
    row, _ = opened.index.twins()[0]
    _, _, _, offset, _, _, _ = opened.index.entry(row)
    data = ranker / "variables" / "variables.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[offset] ^= 1
    data.write_bytes(damaged)
    before = values(ranker)
    shared, unequal = share_doubles(BundleRewrite(bundle(ranker)))
    assert len(shared) == 2 and unequal == [opened.index.key(row)]
    result = fastsm.dedupe(ranker, in_place=True, sync=False)
    assert result.warnings == [
        "1 variable left alone: of another's size and checksum, and of other bytes"
    ]
    assert values(ranker) == before


def test_threads_and_pieces_find_the_same(ranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "JOB", 64)
    monkeypatch.setattr(workers, "THREADED", 0)
    monkeypatch.setattr(workers, "cpus", lambda: 4)
    told: list[tuple[int, int]] = []
    opened = bundle(ranker)
    shared, _ = share_doubles(BundleRewrite(opened), lambda *done: told.append(done))
    assert len(shared) == 3
    assert told == sorted(told) and told[-1] == (3360, 3360)
    for row, _ in opened.index.twins():
        _, _, _, offset, size, _, _ = opened.index.entry(row)
        data = ranker / "variables" / "variables.data-00000-of-00001"
        whole = data.read_bytes()
        for at in (offset, offset + size // 2, offset + size - 1):
            data.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            _, unequal = share_doubles(BundleRewrite(bundle(ranker)))
            assert unequal == [opened.index.key(row)]
        data.write_bytes(whole)


# -- what it refuses --


def test_it_wants_to_be_told_where(ranker: Path) -> None:
    before = contents(ranker)
    with pytest.raises(fastsm.UsageError) as e:
        fastsm.dedupe(ranker)
    assert str(e.value) == (
        f"{ranker}: say where to write: out=DIR, or in_place=True; or dry_run=True for a look"
    )
    with pytest.raises(fastsm.UsageError, match="out and in_place: one of them"):
        fastsm.dedupe(ranker, out=ranker.parent / "out", in_place=True)
    for option in ("out", "backup", "receipt"):
        with pytest.raises(fastsm.UsageError, match=f"--{option}: the path is empty"):
            fastsm.dedupe(ranker, **{option: ""}, in_place=option != "out")
    assert contents(ranker) == before


def test_a_damaged_index_is_refused(ranker: Path) -> None:
    index = ranker / "variables" / "variables.index"
    data = bytearray(index.read_bytes())
    data[30] ^= 1
    index.write_bytes(data)
    with pytest.raises(fastsm.FormatError) as e:
        fastsm.dedupe(ranker, in_place=True)
    assert e.value.problem == "holds a block whose checksum does not match"


def test_a_shard_that_is_too_short_is_refused(ranker: Path) -> None:
    data = ranker / "variables" / "variables.data-00000-of-00001"
    os.truncate(data, 100)
    before = contents(ranker)
    with pytest.raises(fastsm.FormatError) as e:
        fastsm.dedupe(ranker, in_place=True)
    assert "its bytes end at " in e.value.problem
    assert e.value.problem.endswith(", and variables.data-00000-of-00001 has 100")
    assert contents(ranker) == before


def test_the_command_wants_to_be_told_where(ranker: Path) -> None:
    before = contents(ranker)

    def command(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "fastsm", *words],
            cwd=ranker.parent, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    last = "nothing written. To write: --out DIR, or --in-place\n"
    code, out, err = command("dedupe", "ranker")
    assert (code, err) == (2, last) and out.startswith("ranker   3 doubled variables shared: ")
    assert command("dedupe", "ranker", "--dry-run") == (0, out + last, "")
    assert command("dedupe", "ranker", "--quiet") == (2, "", last)
    _, out, _ = command("dedupe", "ranker", "--in-place", "--dry-run")
    assert out.endswith("\nnothing written.\n")
    assert contents(ranker) == before
    assert command("dedupe", "ranker", "--in-place", "--quiet") == (0, "", "")
    after = contents(ranker)
    # Where there is nothing to do, there is nothing to be told.
    for words in ([], ["--dry-run"], ["--in-place"], ["--in-place", "--dry-run"]):
        assert command("dedupe", "ranker", *words) == (
            0, "ranker   nothing to do: no variable is stored twice\n", "",
        )  # fmt: skip
        for only in ([], ["--only", "stray-shard"]):
            assert command("repair", "ranker", *words, *only) == (
                0, "ranker   nothing to mend\n", "",
            )  # fmt: skip
    assert contents(ranker) == after
    assert command("dedupe", "ranker", "--out", "same") == (
        0,
        "ranker   nothing to do: no variable is stored twice\n  copied as it is\n"
        "  written to        same\n",
        "",
    )
    assert command("dedupe", "ranker", "--in-place", "--out", "x")[0] == 2


# -- a crash --


def test_a_failure_at_any_call_leaves_the_old_model_or_the_new(
    ranker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastsm import commit as door

    old = contents(ranker)
    fastsm.dedupe(ranker, out=tmp_path / "new", sync=False)
    new = contents(tmp_path / "new")
    seen = set()
    for at in range(1, 1000):
        path = Path(shutil.copytree(EXAMPLES / "ranker" / "1", tmp_path / "tried"))
        system = FailAt(at, OSError(5, "Input/output error"))
        monkeypatch.setattr(door, "System", lambda system=system: system)
        try:
            fastsm.dedupe(path, in_place=True)
        except fastsm.CommitError as e:
            seen.add(e.on_disk)
            assert contents(path) == (old if e.on_disk == "old" else new)
        except FileNotFoundError:
            raise AssertionError("the model is gone") from None
        else:
            assert contents(path) == new
        monkeypatch.undo()
        # Whatever was left lying about, the next edit clears away.
        fastsm.dedupe(path, in_place=True, sync=False)
        assert contents(path) == new
        shutil.rmtree(path)
        if not system.failed:
            break
    assert seen == {"old", "new"}


# -- TensorFlow's word for it --

LOADERS: tuple[Loader, ...] = ("v2", "v1", "cc")

Outputs = dict[tuple[str, str, tuple[str, ...]], dict[str, Tensor] | str]


def outputs(path: Path, name: str, oracle: Oracle) -> Outputs:
    """What each loader computes with each signature, or how that ends."""
    out: Outputs = {}
    for graph in fastsm.open(path).meta_graphs:
        tags = sorted(graph.tag_set)
        for loader in LOADERS:
            if not graph.signatures:
                out[loader, "", tuple(tags)] = oracle.load(path, loader, tags).kind
            for key in graph.signatures:
                feeds = MODELS[name].feeds.get(key) if name in MODELS else None
                try:
                    run = oracle.run(path, loader, tags, key, feeds=feeds)
                    out[loader, key, tuple(tags)] = run
                except TensorFlowFailed as e:
                    out[loader, key, tuple(tags)] = f"{e.verdict.kind} {e.verdict.type}"
    return out


@pytest.mark.parametrize("name", DOUBLED)
def test_outputs_stay_bit_equal(
    name: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    result = fastsm.dedupe(model(name), out=tmp_path / "out", sync=False)
    assert result.changed
    computed = outputs(tmp_path / "out", name, oracle)
    assert computed == outputs(model(name), name, oracle)
    assert set(LOADERS) == {key[0] for key, value in computed.items() if isinstance(value, dict)}
    assert oracle.tensors(tmp_path / "out") == oracle.tensors(model(name))
    if not (model(name) / "fingerprint.pb").exists():
        return  # a TF1 model has none, and gets none
    stored, true = oracle.stored_fingerprint(tmp_path / "out"), oracle.fingerprint(tmp_path / "out")
    assert stored.checkpoint_hash == true.checkpoint_hash


@pytest.mark.parametrize("name", MODELS)
def test_every_model_reads_as_before(
    name: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    path = model(name)
    if name == "no_meta_graphs" or not (path / "variables" / "variables.index").exists():
        return
    result = fastsm.dedupe(path, out=tmp_path / "out", sync=False)
    assert result.changed == bool(bundle(path).index.twins())
    assert oracle.tensors(tmp_path / "out") == oracle.tensors(path)
    if not result.changed:
        assert contents(tmp_path / "out") == contents(path)


def test_every_corpus_model_computes_as_before(
    corpus_model: CorpusEntry, tmp_path: Path, oracle: Oracle
) -> None:
    path = corpus_model.path
    if corpus_model.catalog["parse_error"] or not bundle_there(path):
        return
    result = fastsm.dedupe(path, out=tmp_path / "out", sync=False)
    assert values(tmp_path / "out") == values(path)
    if result.changed:
        assert oracle.tensors(tmp_path / "out") == oracle.tensors(path)
        assert outputs(tmp_path / "out", "", oracle) == outputs(path, "", oracle)


def bundle_there(path: Path) -> bool:
    return (path / "variables" / "variables.index").exists()


def test_the_core_names_the_first_byte_that_differs() -> None:
    from fastsm.source import from_bytes

    a, b = from_bytes(b"x" * 600_000 + b"abc"), from_bytes(b"y" + b"x" * 600_000 + b"abd")
    assert _core.first_difference(a, 0, b, 1, 600_003) == 600_002
    assert _core.first_difference(a, 0, b, 1, 600_002) is None
    with pytest.raises(fastsm.errors.CoreError):
        _core.first_difference(a, 0, b, 1, 600_004)


def test_a_checkpoint_that_is_no_part_of_a_model_is_refused(ranker: Path) -> None:
    prefix = shutil.copytree(ranker / "variables", ranker.parent / "alone") / "variables"
    for verb in (fastsm.dedupe, fastsm.repair):
        with pytest.raises(fastsm.RefusedError) as e:
            verb(prefix, dry_run=True)
        assert str(e.value) == (
            f"{prefix}: is a checkpoint, not a model: it can be read, and only models are edited"
        )


def rewrite_index(prefix: Path, added: list[tuple[bytes, int, int]]) -> None:
    """Add entries of 4,000 bytes of zeros at places that are there: (key, offset, size)."""
    opened = Bundle.open(str(prefix))
    sizes = [(0, opened.shard(0).identity.size)]
    fresh = [(0, offset, size, True) for _, offset, size in added]
    layout = _core.Layout(opened.index, b"\1" * len(opened.index), sizes, fresh=fresh)
    entries = [
        (key, _core.new_entry(4, (size,), size, 7), i) for i, (key, _, size) in enumerate(added)
    ]
    Path(f"{prefix}.index").write_bytes(layout.write(entries))


def test_entries_that_overlap_many_times_are_not_compared_for_ever(ranker: Path) -> None:
    prefix = ranker / "variables" / "variables"
    rewrite_index(prefix, [(b"x%03d" % i, i, 4000) for i in range(500)])
    with pytest.raises(fastsm.FormatError) as e:
        fastsm.dedupe(ranker, dry_run=True)
    assert e.value.problem == "tensors overlap: they have more bytes than the shards"


def test_entries_that_share_bytes_already_are_compared_once(ranker: Path) -> None:
    """Three keys at each of two places with the same bytes: one place is left."""
    opened = bundle(ranker)
    row, first = opened.index.twins()[0]
    offsets = [opened.index.entry(i)[3] for i in (row, first)]
    size = opened.index.entry(row)[4]
    added = [(b"x%d%d" % (i, n), at, size) for i, at in enumerate(offsets) for n in range(3)]
    rewrite_index(ranker / "variables" / "variables", added)
    before = values(ranker)
    result = fastsm.dedupe(ranker, in_place=True, sync=False)
    assert result.before["doubled"] == 3 + 3 and result.after["doubled"] == 0
    assert values(ranker) == before
    index = bundle(ranker).index
    rows = [i for i, key in enumerate(index.keys()) if key.startswith(b"x")]
    assert len({index.entry(i)[2:4] for i in rows}) == 1
