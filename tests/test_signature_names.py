"""Renaming inputs and outputs: every loader binds the new name to what the old one was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.views import Signature

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, Survey

SIDES = ("input", "output")

#: Names that sort before and behind all others.
FIRST, LAST = "AAA", "zzz"

SERVE = frozenset(["serve"])

#: Models whose signatures cannot be edited, as no edit can.
NOT_EDITED = {"no_meta_graphs", "stray_cpb"}

#: Those whose outputs are computed after each rename: what signatures are made of differs.
COMPUTED = [
    "two_signatures", "ragged_and_sparse", "defaults", "vocabulary", "control_flow",
    "keras_multi", "tf_keras_slots", "v1_sparse", "v1_ragged", "two_meta_graphs_v2",
    "asset_collection", "v2_pbtxt",
]  # fmt: skip


def rename(path: Path, side: str, key: str, old: str, new: str, **options: Any) -> Any:
    verb = fastsm.rename_input if side == "input" else fastsm.rename_output
    return verb(path, key, old, new, **options)


def named(signature: Signature, side: str) -> list[str]:
    return list(signature.inputs if side == "input" else signature.outputs)


def contents(folder: Path) -> dict[str, bytes]:
    """All files; of a fingerprint nothing, its uuid is made anew."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "fingerprint.pb")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def computed(survey: Survey, renamed: Mapping[str, str]) -> Any:
    """What a survey says of all signatures; ``renamed``: old output -> new, in all of them."""

    def row(name: str) -> str:
        head, bracket, tail = name.partition("[")
        return renamed.get(head, head) + bracket + tail

    return {
        where: loaded.error or {
            key: rows if isinstance(rows, str) else {row(n): v for n, v in rows.items()}
            for key, rows in loaded.signatures.items()
        }
        for where, loaded in survey.graphs.items()
    }  # fmt: skip


def check(
    oracle: Oracle,
    path: Path,
    before: Survey,
    side: str,
    key: str,
    old: str,
    new: str,
    **options: Any,
) -> None:
    """Rename and survey: the loaders compute the same, the fingerprint is as true as it was.
    Then take it back: all bytes are the old ones.

    Args:
        options: ``feeds`` of `Oracle.survey`; of the rename the others.
    """
    feeds = options.pop("feeds", {})
    files = contents(path)
    result = rename(path, side, key, old, new, **options)
    aliases = {key: {new: old}} if side == "input" else {}
    after = oracle.survey(path, feeds=feeds, aliases=aliases)
    wanted = computed(before, {})
    if side == "output":
        for where, rows in computed(before, {old: new}).items():
            elsewhere = options.get("tags", where[0]) != where[0]
            if not elsewhere and not isinstance(rows, str) and key in rows:
                wanted[where] = {**wanted[where], key: rows[key]}
    assert computed(after, {}) == wanted
    assert after.objects == before.objects
    if (path / "fingerprint.pb").exists() and not isinstance(after.fingerprint, str):
        assert oracle.stored_fingerprint(path) == after.fingerprint
    assert result.undo.split()[:2] == ["fastsm", f"rename-{side}"]
    rename(path, side, key, new, old, **options)
    assert contents(path) == files


# -- TensorFlow's word for it ----------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("key", ["mix", "composite"])
def test_names_that_move(side: str, key: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    """Nothing is swapped where dtypes and shapes would let it be."""
    path = model_copy("sorted_names")
    feeds = MODELS["sorted_names"].feeds
    before = oracle.survey(path, feeds=feeds)
    here = sorted(named(fastsm.open(path).signatures[key], side))
    for old, new in [
        (here[0], LAST), (here[-1], FIRST), (here[0], here[1] + "_"), (here[-1], here[0] + "_"),
        (here[1], here[1] + "_"),
    ]:  # fmt: skip
        check(oracle, path, before, side, key, old, new, feeds=feeds)


@pytest.mark.parametrize("name", COMPUTED)
def test_models(name: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    path, feeds = model_copy(name), dict(MODELS[name].feeds)
    before = oracle.survey(path, feeds=feeds)
    for tags, key, side, old, new in moves(path):
        moved = {k: {**f, **_under(f, old, new)} for k, f in feeds.items()}
        check(oracle, path, before, side, key, old, new, feeds=moved, tags=tags)


def _under(feeds: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Feeds of the parts of an input, ``s_values`` and ``r[0]``, by its new name."""
    return {new + n[len(old) :]: v for n, v in feeds.items() if n.startswith(old) and n != old}


def moves(path: Path) -> Iterator[tuple[frozenset[str], str, str, str, str]]:
    """A rename of an input and of an output of each signature, past all others."""
    seen: set[frozenset[str]] = set()
    for graph in fastsm.open(path).meta_graphs:
        if graph.tag_set in seen:
            continue
        seen.add(graph.tag_set)
        for key, signature in graph.signatures.items():
            for side in SIDES:
                found = named(signature, side)
                if len(found) > 1:
                    yield graph.tag_set, key, side, max(found), FIRST
                elif found:
                    yield graph.tag_set, key, side, found[0], LAST


def test_corpus(corpus_model: CorpusEntry, tmp_path: Path) -> None:
    path = Path(shutil.copytree(corpus_model.path, tmp_path / "model"))
    if corpus_model.catalog["parse_error"]:
        with pytest.raises(fastsm.FormatError):
            rename(path, "input", "serving_default", "x", "y")
    else:
        _there_and_back(path)


@pytest.mark.parametrize("name", [n for n in MODELS if n not in {*COMPUTED, *NOT_EDITED}])
def test_there_and_back(name: str, model_copy: ModelFactory) -> None:
    _there_and_back(model_copy(name))


def _there_and_back(path: Path) -> None:
    """Edit and inverse edit, also of many names at once, give the old bytes."""
    files = contents(path)
    model = fastsm.open(path)
    if model.format == "pbtxt":
        pytest.skip("a .pbtxt is written anew")
    renames = list(moves(path))
    for i, (tags, key, side, old, new) in enumerate(renames):
        try:
            rename(path, side, key, old, new, tags=tags)
        except fastsm.RefusedError as e:  # of names like 0/x: TensorFlow sorts them as arg_0_x
            assert "sort the inputs differently" in str(e) and new == FIRST
            renames[i] = tags, key, side, old, LAST
            rename(path, side, key, old, LAST, tags=tags)
    assert (contents(path) != files) == bool(renames)
    for tags, key, side, old, new in reversed(renames):
        graph = fastsm.open(path).meta_graph(tags)
        assert new in named(graph.signatures[key], side)
        rename(path, side, key, new, old, tags=tags)
    assert contents(path) == files


# -- a function that two signatures share --------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("copied", ["mix", "composite"])
@pytest.mark.parametrize("renamed", ["copied", "again"])
def test_a_copy_is_renamed_alone(
    side: str, copied: str, renamed: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """The other keeps its names; the way back shares the function again, byte for byte."""
    path = model_copy("sorted_names")
    fastsm.copy_signature(path, copied, "again")
    feeds = dict(MODELS["sorted_names"].feeds)
    if copied in feeds:
        feeds["again"] = feeds[copied]
    before = oracle.survey(path, feeds=feeds)
    key = copied if renamed == "copied" else "again"
    here = sorted(named(fastsm.open(path).signatures[key], side))
    for old, new in [(here[0], LAST), (here[1], here[1] + "_")]:
        check(oracle, path, before, side, key, old, new, feeds=feeds)
