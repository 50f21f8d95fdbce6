"""Fixtures: models that TensorFlow builds, TensorFlow as an oracle, models of others.

    def test_it(model, oracle):            # both need TensorFlow: marked, skipped without
        path = model("two_signatures")     # shared by the session: read only
    def test_edit(model_copy):
        path = model_copy("asset_field")   # a copy of the test's own
    def test_real(corpus_model):           # once for every model of the corpus
        corpus_model.path, corpus_model.catalog

FASTSM_MODELS names a folder where built models are kept from session to session;
FASTSM_CORPUS the folder of the corpus (by default one beside the checkout, if any).
"""
from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastsm.proof.setting import Setting
from fastsm.proof.worker import Worker

from .models import MODELS
from .oracle import Oracle

TESTS = Path(__file__).resolve().parent
CORPUS = Path(os.environ.get("FASTSM_CORPUS") or TESTS.parents[1] / "shared" / "corpus")

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None

ModelFactory = Callable[[str], Path]


# -- TensorFlow --------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "tensorflow: starts TensorFlow in a child process (set by the fixtures)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="TensorFlow is not installed")
    for item in items:
        if not {"oracle", "worker"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.tensorflow)
        if not HAS_TENSORFLOW and item.get_closest_marker("tensorflow"):
            item.add_marker(missing)


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    with Oracle() as child:
        yield child


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """The child of `fastsm parity`, on the CPU with one thread. It is not to be closed."""
    with Worker(Setting()) as child:
        yield child


# -- models of our own -------------------------------------------------------------


@pytest.fixture(scope="session")
def model(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> ModelFactory:
    """name -> folder of the model, built when first asked for. Not to be written to."""
    folder = _models_folder(tmp_path_factory)

    def built(name: str) -> Path:
        missing = [m for m in MODELS[name].needs if importlib.util.find_spec(m) is None]
        if missing:
            pytest.skip(f"{name} needs {', '.join(missing)}")
        path = folder / name
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
                oracle.build(name, Path(scratch) / name, needs=MODELS[name].needs)
                try:
                    os.rename(Path(scratch) / name, path)
                except OSError:  # another process built it meanwhile
                    if not path.exists():
                        raise
        return path

    return built


@pytest.fixture
def model_copy(model: ModelFactory, tmp_path: Path) -> ModelFactory:
    """name -> a copy of the model in the test's tmp_path, to be edited."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(model(name), tmp_path / name))

    return copied


def _models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of the session; or a kept one, for these very builders."""
    if kept := os.environ.get("FASTSM_MODELS"):
        sources = sorted((TESTS / "models").glob("*.py"))
        digest = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:12]
        name = importlib.metadata.packages_distributions()["tensorflow"][0]  # or tensorflow-cpu
        version = importlib.metadata.version(name)
        folder = Path(kept) / f"tensorflow-{version}-{digest}"
    else:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# -- models of others --------------------------------------------------------------


class CorpusEntry(NamedTuple):
    """A model or checkpoint written by others.

    Attributes:
        path: The model's folder; of a checkpoint, its prefix (one has only a ``.meta``).
        catalog: What TensorFlow 2.21 said of it, as catalog.json has it.
    """

    path: Path
    catalog: dict[str, Any]


def _corpus(kind: str) -> list[Any]:
    """Parameters for every entry of "savedmodel" or "checkpoint"; one that skips if none."""
    catalog = CORPUS / "catalog.json"
    if not catalog.exists():
        skip = pytest.mark.skip(reason="no corpus: FASTSM_CORPUS names none")
        return [pytest.param(None, marks=skip, id="none")]
    entries = [e for e in json.loads(catalog.read_text()) if e["kind"] == kind]
    return [pytest.param(CorpusEntry(_corpus_path(e), e), id=e["id"]) for e in entries]


def _corpus_path(entry: dict[str, Any]) -> Path:
    folder = CORPUS / str(entry["id"])
    if entry["kind"] == "savedmodel":
        return folder
    files = sorted([*folder.glob("*.index"), *folder.glob("*.meta")])
    return files[0].with_suffix("")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, kind in (("corpus_model", "savedmodel"), ("corpus_checkpoint", "checkpoint")):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, _corpus(kind))
