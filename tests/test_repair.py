"""Repair: what verify finds is gone afterwards, and TensorFlow loads what it could not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import fastsm
from fastsm import _core
from fastsm.check.rules import RULES
from fastsm.edits.draft import Draft
from fastsm.edits.repair import MENDERS, Found

from .conftest import ModelFactory
from .oracle import Oracle
from .test_retag import contents

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HALF = "wide/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "ranker" / "1", tmp_path / "ranker"))


def break_restarts(path: Path, restart: int = 7) -> bytes:
    """Another offset in the restart array of the first data block, its checksum made true."""
    file = path / "variables" / "variables.index"
    data = bytearray(file.read_bytes())
    # The block before the metaindex block, which is 13 bytes long, and the index block.
    footer = len(data) - 48
    metaindex = data[footer] & 0x7F | (data[footer + 1] << 7 if data[footer] & 0x80 else 0)
    end = metaindex - 5
    n = int.from_bytes(data[end - 4 : end], "little")
    at = end - 4 - 4 * n
    data[at : at + 4] = restart.to_bytes(4, "little")
    crc = _core.crc32c_mask(_core.crc32c(bytes(data[: end + 1])))
    data[end + 1 : end + 5] = crc.to_bytes(4, "little")
    file.write_bytes(data)
    return bytes(data)


def ids(path: Path) -> set[str]:
    return {f.id for f in fastsm.verify(path).findings if f.severity != "note"}


def test_every_mender_is_for_a_rule_that_names_it() -> None:
    named = {rule for rule, (_, _, fix) in RULES.items() if fix and "fastsm repair" in fix}
    assert named == set(MENDERS)


def test_a_broken_restart_array_is_written_anew(ranker: Path) -> None:
    whole = contents(ranker)
    break_restarts(ranker)
    assert "restart-array" in ids(ranker)
    result = fastsm.repair(ranker, in_place=True, sync=False)
    assert (result.before, result.after) == ({"restart-array": 1}, {"restart-array": 0})
    assert contents(ranker)["variables/variables.index"] == whole["variables/variables.index"]
    assert ids(ranker) == set()


def test_tensorflow_reads_again_what_it_could_not_seek(ranker: Path, oracle: Oracle) -> None:
    break_restarts(ranker, 1 << 30)
    assert not oracle.load_v2(ranker).ok
    fastsm.repair(ranker, in_place=True, sync=False)
    assert oracle.load_v2(ranker).ok
    assert oracle.tensors(ranker) == oracle.tensors(EXAMPLES / "ranker" / "1")


def test_slices_that_tensorflow_cannot_restore_become_dense(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("sliced_half")
    assert ids(path) == {"unrestorable-slices"}
    assert not any(oracle.load(path, loader, ["serve"]).ok for loader in ("v2", "v1", "cc"))
    result = fastsm.repair(path, in_place=True, sync=False)
    assert result.before == {"unrestorable-slices": 1}
    assert ids(path) == set()
    assert all(oracle.load(path, loader, ["serve"]).ok for loader in ("v2", "v1", "cc"))
    outputs = [oracle.run(path, loader) for loader in ("v2", "v1", "cc")]
    assert outputs[0] == outputs[1] == outputs[2]
    assert oracle.tensors(path)[HALF].dtype == "float16"


def test_damaged_slices_are_not_put_together_under_a_true_checksum(
    model_copy: ModelFactory,
) -> None:
    path = model_copy("sliced_half")
    data = path / "variables" / "variables.data-00000-of-00003"
    damaged = bytearray(data.read_bytes())
    damaged[5] ^= 1
    data.write_bytes(damaged)
    before = contents(path)
    with pytest.raises(fastsm.FormatError) as e:
        fastsm.repair(path, in_place=True, sync=False)
    assert e.value.problem == (
        f'"{HALF}" 0,10:0,8: its bytes are damaged (variables.data-00000-of-00003, byte 0)'
    )
    assert contents(path) == before


def test_stray_shards_go_only_where_named(ranker: Path) -> None:
    stray = ranker / "variables" / "variables.data-00000-of-00002"
    stray.write_bytes(b"left over")
    before = contents(ranker)
    result = fastsm.repair(ranker, in_place=True, sync=False)
    assert not result.changed and contents(ranker) == before
    assert result.warnings == ["stray-shard (1 finding): mended only by --only stray-shard"]
    result = fastsm.repair(ranker, only="stray-shard", in_place=True, sync=False)
    assert [(c.name, c.after) for c in result.changes] == [
        ("variables/variables.data-00000-of-00002", None)
    ]
    assert not stray.exists() and ids(ranker) == set()


def test_nothing_to_mend_writes_nothing(ranker: Path) -> None:
    before = contents(ranker)
    result = fastsm.repair(ranker, in_place=True)
    assert not result.changed and result.before == {} and contents(ranker) == before


def test_what_nothing_mends_is_told(ranker: Path) -> None:
    data = ranker / "variables" / "variables.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[100] ^= 1
    data.write_bytes(damaged)
    result = fastsm.repair(ranker, dry_run=True)
    assert result.warnings == ["tensor-checksum (1 finding): nothing mends that"]


def test_an_index_with_other_damage_is_not_written_anew(
    model_copy: ModelFactory,
) -> None:
    path = model_copy("many_variables")
    index = path / "variables" / "variables.index"
    data = bytearray(index.read_bytes())
    data[200] ^= 1
    index.write_bytes(data)
    before = contents(path)
    result = fastsm.repair(path, dry_run=True)
    assert any(w.startswith("data-block (1 finding)") for w in result.warnings)
    model = fastsm.open(path)
    draft = Draft(model.path, model.located, model.reader)
    with pytest.raises(fastsm.RefusedError) as e:
        MENDERS["restart-array"].mend(draft, Found(set(), set()))
    assert e.value.problem == (
        "holds a block whose checksum does not match; an index written anew would lose for good "
        "what cannot be read now"
    )
    assert contents(path) == before


def test_unknown_rules_are_refused(ranker: Path) -> None:
    with pytest.raises(fastsm.UsageError, match="only: no rule is named"):
        fastsm.repair(ranker, only=[], in_place=True)
    with pytest.raises(fastsm.UsageError) as e:
        fastsm.repair(ranker, only=["tensor-checksum"], dry_run=True)
    assert str(e.value) == (
        f"{ranker}: nothing mends 'tensor-checksum'\n"
        f"  It mends: {', '.join(MENDERS)}"
    )


def test_a_backup_takes_it_back(ranker: Path, tmp_path: Path) -> None:
    break_restarts(ranker)
    before = contents(ranker)
    fastsm.repair(ranker, in_place=True, backup=tmp_path / "before", sync=False)
    fastsm.undo(ranker, tmp_path / "before", sync=False)
    assert contents(ranker) == before


def test_a_link_that_leads_out_becomes_a_file_elsewhere(ranker: Path, tmp_path: Path) -> None:
    shard = ranker / "variables" / "variables.data-00000-of-00001"
    shard.rename(tmp_path / "blob")
    shard.symlink_to(tmp_path / "blob")
    before = contents(ranker)
    with pytest.raises(fastsm.RefusedError, match="is a link out of the model") as e:
        fastsm.repair(ranker, only="link-outside", in_place=True)
    assert e.value.hint == "--out DIR writes a model of real files"
    result = fastsm.repair(ranker, in_place=True)
    assert not result.changed and "is a link out of the model" in " ".join(result.warnings)
    assert shard.is_symlink()
    result = fastsm.repair(ranker, only="link-outside", out=tmp_path / "out", sync=False)
    assert (result.before, result.after) == ({"link-outside": 1}, {"link-outside": 0})
    assert contents(tmp_path / "out") == before
    assert "link-outside" not in ids(tmp_path / "out")


def test_a_repair_that_fails_half_way_ends_the_edits(
    ranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_restarts(ranker)
    before = contents(ranker)

    def half(draft: Draft, found: Found) -> None:
        draft.remove("fingerprint.pb")
        raise fastsm.RefusedError("", "no more")

    monkeypatch.setattr(MENDERS["restart-array"], "mend", half)
    with pytest.raises(fastsm.UsageError, match="discarded"), fastsm.edit(
        ranker, in_place=True
    ) as e:
        with pytest.raises(fastsm.RefusedError, match="no more"):
            e.repair()
        e.retag("serve", "gpu")
    assert contents(ranker) == before
