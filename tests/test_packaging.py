"""What is shipped: version, metadata, and what the wheel and the sdist hold.

`make dist` builds both; FASTSM_DIST names the folder they are in.
"""
from __future__ import annotations

import email
import email.message
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import fastsm

from .oracle import ROOT

DIST = os.environ.get("FASTSM_DIST")

#: The wheel is carried into images where size counts; two fifths of it are the extension.
WHEEL_LIMIT = 1_100_000

needs_dist = pytest.mark.skipif(DIST is None, reason="FASTSM_DIST names no folder")


def shipped(pattern: str) -> Path:
    assert DIST is not None
    found = sorted(Path(DIST).glob(pattern))
    assert len(found) == 1, found
    return found[0]


def tracked() -> list[str]:
    """The files under version control; empty outside a checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel() -> dict[str, bytes]:
    with zipfile.ZipFile(shipped("*.whl")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> email.message.Message:
    name = next(name for name in wheel if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel[name])


@pytest.fixture(scope="module")
def sdist() -> set[str]:
    with tarfile.open(shipped("*.tar.gz")) as archive:
        return {m.name.partition("/")[2] for m in archive if m.isfile()}


# -- the checkout ----------------------------------------------------------------------


def test_versions_agree() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", fastsm.__version__)
    assert f" {fastsm.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert importlib.metadata.version("fastsm") == fastsm.__version__


def test_nothing_generated_is_tracked() -> None:
    files = tracked()
    assert "fastsm/_core.pyx" in files and "csrc/fsm_schema_tables.c" in files
    built = re.compile(r"fastsm/.*\.(c|so)$|\.(o|pyc|whl|egg-info)$|(^|/)(build|dist|\.venv)/")
    assert [name for name in files if built.search(name)] == []


def test_scripts_can_be_run() -> None:
    for name in ("bin/fastsm", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name


# -- the wheel -------------------------------------------------------------------------


@needs_dist
def test_wheel_is_small(wheel: dict[str, bytes]) -> None:
    assert shipped("*.whl").stat().st_size < WHEEL_LIMIT


@needs_dist
def test_wheel_holds_the_package_and_nothing_else(wheel: dict[str, bytes]) -> None:
    info = f"fastsm-{fastsm.__version__}.dist-info/"
    modules = {
        str(p.relative_to(ROOT)) for p in (ROOT / "fastsm").rglob("*.py")
    } | {"fastsm/py.typed", "fastsm/_core.pyi", "fastsm/schema.binpb"}  # fmt: skip
    script = f"fastsm-{fastsm.__version__}.data/scripts/fastsm"
    rest = {name for name in wheel if not name.startswith(info)} - modules - {script}
    assert modules <= set(wheel)
    assert len(rest) == 1 and re.fullmatch(r"fastsm/_core\.cpython-3\d+-.+\.so", rest.pop())
    assert info + "licenses/LICENSE" in wheel
    assert info + "entry_points.txt" not in wheel  # a launcher would cost more than show


@needs_dist
@pytest.mark.tensorflow
def test_wheel_runs_tensorflow_in_a_child(tmp_path: Path) -> None:
    """The child is a folder that is run by its path: all of it is there."""
    with zipfile.ZipFile(shipped("*.whl")) as archive:
        archive.extractall(tmp_path)
    model = str(ROOT / "examples" / "ranker" / "1")
    done = subprocess.run(
        [sys.executable, "-m", "fastsm", "parity", model, model, "--loader", "v1"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.endswith("parity: equal\n") and not done.stderr, done
    assert done.returncode == 0


@needs_dist
def test_wheel_script_names_no_python(wheel: dict[str, bytes]) -> None:
    script = wheel[f"fastsm-{fastsm.__version__}.data/scripts/fastsm"]
    assert script.startswith(b"#!python\n")  # installers put theirs
    assert script.endswith(b"from fastsm.cli import main\n\nmain()\n")


@needs_dist
def test_metadata(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "fastsm"
    assert metadata["Version"] == fastsm.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert len(metadata["Summary"]) < 100
    required = [d for d in metadata.get_all("Requires-Dist", []) if "extra ==" not in d]
    assert sorted(re.match(r"[a-z_]+", d)[0] for d in required) == ["numpy", "protobuf"]
    assert metadata.get_all("Provides-Extra") == ["dtypes", "safetensors", "tf"]


@needs_dist
def test_readme_is_the_description(metadata: email.message.Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert text.strip() == (ROOT / "README.md").read_text().strip()


# -- the sdist -------------------------------------------------------------------------


@needs_dist
def test_sdist_holds_what_building_and_testing_take(sdist: set[str]) -> None:
    left_out = re.compile(r"\.ci/|\.git|\.github/")
    wanted = {name for name in tracked() if not left_out.match(name)}
    assert wanted - sdist == set()


@needs_dist
def test_sdist_holds_nothing_generated(sdist: set[str]) -> None:
    assert "fastsm/_core.c" not in sdist
    assert not [n for n in sdist if n.endswith((".so", ".o", ".pyc"))]
