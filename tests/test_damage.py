"""Every damage case is judged as it should be, and noted beside what TensorFlow does.

    python -m tests.test_damage       ask TensorFlow anew, and write damage_verdicts.json
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastsm
from fastsm.check.report import Report
from fastsm.check.rules import RULES

from . import damage
from .damage import CASES, Bundle
from .oracle import Oracle, Tensor, Verdict
from .tables import handles

VERDICTS = Path(__file__).with_name("damage_verdicts.json")

#: A model around a bundle: a SavedModel without a meta graph.
SAVED_MODEL = b"\x08\x01"

#: What RestoreV2 is told, as a graph would tell it.
DTYPES = {
    "small": {
        "a": "float32", "b": "float32", "e": "float32", "flags": "bool", "i": "int32",
        "s": "string", "v": "variant", "z": "float32",
    },
    "sliced": {"p": "float32", "q": "int32"},
}  # fmt: skip

#: No case may take longer; the slowest takes some hundredths of that.
MAX_SECONDS = 5.0


@pytest.fixture(scope="session")
def bases(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles, as TensorFlow wrote them. Not to be written to."""
    folder = tmp_path_factory.mktemp("bases")
    oracle.save_bases(folder)
    return folder


def damaged(bases: Path, name: str, folder: Path) -> Path:
    """A model's folder around a damaged copy; its bundle's prefix is variables/variables."""
    shutil.copytree(bases / CASES[name].base, folder / "variables")
    (folder / "saved_model.pb").write_bytes(SAVED_MODEL)
    CASES[name].damage(Bundle(folder / "variables"))
    return folder


# -- what fastsm says ------------------------------------------------------------------


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 95
    assert {rule for c in CASES.values() for rule in c.finds} <= set(RULES)


@pytest.mark.parametrize("base", ["small", "sliced", "many"])
def test_the_bases_are_sound(base: str, bases: Path) -> None:
    report = fastsm.verify(bases / base / "variables")
    assert report.findings == []
    assert report.checked["tensor_bytes"] == report.checked["shard_bytes"]


@pytest.mark.parametrize("name", CASES)
def test_damage_is_found(name: str, bases: Path, tmp_path: Path) -> None:
    path = damaged(bases, name, tmp_path / "m")
    start = time.monotonic()
    report = fastsm.verify(path)
    assert time.monotonic() - start < MAX_SECONDS
    assert {f.id for f in report.findings} == CASES[name].finds, report.findings
    messages = "\n".join(f.message for f in report.findings)
    for word in CASES[name].words:
        assert word in messages, messages
    errors = {rule for rule in CASES[name].finds if RULES[rule][0] == "error"}
    assert report.ok == (not errors)
    check_places(report, path)
    # The metadata tells the same without the bytes of tensors.
    quick = {f.id for f in fastsm.verify(path, quick=True).findings}
    needs_bytes = {"tensor-checksum", "tensor-strings", "tensor-variant", "bool-bytes"}
    assert quick == CASES[name].finds - needs_bytes - {"byte-order"}


def check_places(report: Report, path: Path) -> None:
    """Findings name files of the folder, and bytes that lie in them or just behind."""
    for f in report.findings:
        file = path / f.file
        if f.offset is not None and file.is_file() and f.id != "entry-range":
            assert 0 <= f.offset <= file.stat().st_size
        assert "\n" not in f.message and f.message.isprintable()
        assert (f.fix is None) == (RULES[f.id][2] is None)


def test_memory_stays_bounded(bases: Path, tmp_path: Path) -> None:
    """All cases one after the other, with lengths that lie up to 2^64."""
    for name in CASES:
        fastsm.verify(damaged(bases, name, tmp_path / name))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in CASES:
        fastsm.verify(tmp_path / name)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16 << 10  # kilobytes


@pytest.mark.parametrize("dtype", ["float16", "uint64", "string"])
def test_slices_without_objects_are_restored_one_by_one(
    dtype: str, oracle: Oracle, tmp_path: Path
) -> None:
    """TensorFlow reads each of these slices by itself, so there is nothing to find."""
    how = {"p": (dtype, [4, 6], ["4 6 0,2:-", "4 6 2,2:-"])}
    oracle.save_slices(tmp_path / "c", how)
    report = fastsm.verify(tmp_path / "c")
    assert report.findings == [] and report.checked["slices"] == 2
    assert not oracle.restore_all(tmp_path / "c", {"p": dtype})[0].ok
    for spec in how["p"][2]:
        assert oracle.restore_all(tmp_path / "c", {"p": dtype}, [spec])[0].ok


# -- damage that nobody thought of -----------------------------------------------------


@pytest.fixture
def scratch(bases: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copied(base: str) -> Path:
        if not (tmp_path / base).exists():
            shutil.copytree(bases / base, tmp_path / base)
        return tmp_path / base

    return copied


ANY = settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@ANY
@given(base=st.sampled_from(["small", "sliced"]), at=st.integers(0), bit=st.integers(0, 7))
def test_every_flip_in_a_shard_is_found(
    base: str, at: int, bit: int, scratch: Callable[[str], Path]
) -> None:
    bundle = Bundle(scratch(base))
    sound = bytes(bundle.data)
    bundle.flip(damage.DATA, at % len(sound), 1 << bit)
    report = fastsm.verify(bundle.folder / "variables")
    bundle.data = sound
    assert not report.ok
    assert all(f.file == damage.DATA for f in report.findings)


@ANY
@given(base=st.sampled_from(["small", "many"]), at=st.integers(0), bit=st.integers(0, 7))
def test_every_flip_in_an_index_is_found(
    base: str, at: int, bit: int, scratch: Callable[[str], Path]
) -> None:
    bundle = Bundle(scratch(base))
    sound = bytes(bundle.index)
    bundle.flip(damage.INDEX, at % len(sound), 1 << bit)
    report = fastsm.verify(bundle.folder / "variables", quick=True)
    bundle.index = sound
    assert report.findings
    # Only the block that nobody reads and the footer's padding are not in a checksum's care.
    in_blocks = any(o <= at % len(sound) < o + n + 5 for o, n in handles(sound))
    assert not (in_blocks and report.ok)


@ANY
@given(
    cuts=st.lists(st.tuples(st.integers(0), st.binary(max_size=20)), min_size=1, max_size=4),
    end=st.integers(0),
)
def test_any_index_is_read_to_an_end(
    cuts: list[tuple[int, bytes]], end: int, scratch: Callable[[str], Path]
) -> None:
    """Overwritten in places and cut off: a report, whatever it says."""
    bundle = Bundle(scratch("small"))
    sound = bytes(bundle.index)
    data = bytearray(sound)
    for at, piece in cuts:
        at %= len(data)
        data[at : at + len(piece)] = piece
    bundle.index = bytes(data[: end % (len(data) + 1)] if end % 3 else data)
    report = fastsm.verify(bundle.folder / "variables")
    bundle.index = sound
    assert isinstance(report.to_dict()["findings"], list)


# -- what TensorFlow does --------------------------------------------------------------


def verdict(got: tuple[Verdict, dict[str, Tensor]], want: dict[str, Tensor]) -> str:
    """``right``, ``silent`` (other tensors than were saved, without a word), ``error:
    TYPE`` or ``abort: SIGNAL``."""
    answer, tensors = got
    if answer.ok:
        return "right" if tensors == want else "silent"
    return f"{answer.kind}: {answer.type}" if answer.type else answer.kind


def ask(
    oracle: Oracle, bases: Path, folder: Path, names: Iterable[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """(case, the verdict of the Python reader and of the op) of these cases."""
    many = oracle.read_all(bases / "many" / "variables")[1]
    dtypes = {**DTYPES, "many": dict.fromkeys(many, "float32")}
    want = {
        base: (
            oracle.read_all(bases / base / "variables")[1],
            oracle.restore_all(bases / base / "variables", dtypes[base])[1],
        )
        for base in dtypes
    }
    for name in names:
        prefix = damaged(bases, name, folder / name) / "variables" / "variables"
        base = CASES[name].base
        read, restored = want[base]
        yield name, {
            "reader": verdict(oracle.read_all(prefix), read),
            "op": verdict(oracle.restore_all(prefix, dtypes[base]), restored),
        }
        shutil.rmtree(folder / name)


def is_worth_a_fork(noted: dict[str, str]) -> bool:
    """Whether TensorFlow says nothing, or dies: what it does well is asked with all."""
    return any(v == "silent" or v.startswith("abort") for v in noted.values())


def test_tensorflow_does_as_noted(oracle: Oracle, bases: Path, tmp_path: Path) -> None:
    """Of all cases with FASTSM_VERDICTS=all; else of those where it is silent or dies."""
    noted = json.loads(VERDICTS.read_text())
    assert list(noted) == list(CASES)
    if os.environ.get("FASTSM_VERDICTS") != "all":
        noted = {name: row for name, row in noted.items() if is_worth_a_fork(row)}
    assert len(noted) > 20
    assert dict(ask(oracle, bases, tmp_path, noted)) == noted


def main() -> None:
    with Oracle() as oracle, tempfile.TemporaryDirectory() as scratch:
        bases = Path(scratch) / "bases"
        bases.mkdir()
        oracle.save_bases(bases)
        found = dict(ask(oracle, bases, Path(scratch), CASES))
    VERDICTS.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} cases", file=sys.stderr)


if __name__ == "__main__":
    main()
