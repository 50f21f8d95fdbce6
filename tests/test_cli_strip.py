"""`fastsm strip-training-graph` from outside: its screen, its JSON, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.cli import strip_training_graph as screen

from .conftest import ModelFactory
from .test_cli import Run, contents, here, run

__all__ = ["here", "run"]

NOT_TOLD = "nothing written. To write: --out DIR, or --in-place\n"


def test_a_look_is_the_dry_run_and_ends_with_2(run: Run, here: Path) -> None:
    before = contents(here)
    dry, look = run("strip", "ranker", "--dry-run"), run("strip-training-graph", "ranker")
    assert (dry.code, dry.err) == (0, "")
    assert (look.code, look.err) == (2, NOT_TOLD)
    assert dry.out == look.out + NOT_TOLD
    assert contents(here) == before


def test_it_prints_what_it_does(run: Run, here: Path) -> None:
    before = contents(here / "ranker")
    dry = run("strip", "ranker", "--dry-run").out
    done = run("strip", "ranker", "--out", "slim")
    assert done.code == 0 and contents(here / "ranker") == before
    shown = dry.replace("   (dry run)", "").replace(NOT_TOLD, "")
    assert done.out == shown + "  written to        slim\n"
    assert run("strip", "ranker", "--in-place", "--quiet") == (0, "", "")
    names = {p.relative_to(here / "slim") for p in (here / "slim").rglob("*") if p.is_file()}
    for name in names:
        assert (here / "ranker" / name).read_bytes() == (here / "slim" / name).read_bytes()
    again = run("strip", "ranker", "--in-place")
    assert again.code == 0 and len(again.out.splitlines()) == 1


def test_numbers_and_percent(run: Run, here: Path) -> None:
    record = run("strip", "ranker", "--dry-run", "--json").json
    lines = run("strip", "ranker", "--dry-run").out.splitlines()
    pb = next(f for f in record["files"] if f["name"] == "saved_model.pb")
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    percent = round(100 * (pb["after"] - pb["before"]) / pb["before"])
    assert rows["saved_model.pb"] == [
        f"{pb['before']:,}", "B", f"{pb['after']:,}", "B", str(percent), "%"
    ]  # fmt: skip
    for name in ("nodes", "functions", "objects", "variables"):
        old, new = record["before"][name], record["after"][name]
        assert rows[name][:2] == [f"{old:,}", f"{new:,}"]


def test_bytes_of_a_folder_are_those_of_all_its_files(here: Path) -> None:
    def total(folder: str) -> int:
        return sum(p.stat().st_size for p in (here / folder / "variables").iterdir())

    result = fastsm.strip_training_graph(here / "ranker", out=here / "slim", sync=False)
    assert result.size_of("variables/") == (total("ranker"), total("slim"))
    before = total("ranker")
    in_place = fastsm.strip_training_graph(here / "ranker", in_place=True, sync=False)
    assert in_place.size_of("variables/") == (before, total("ranker"))
    assert in_place.size_of("saved_model.pb")[1] == (here / "ranker/saved_model.pb").stat().st_size
    assert in_place.size_of("assets/") == (0, 0)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (43839, 17218, "     -61 %"),
        (100, 0, "    -100 %"),
        (1000, 999, "      -0 %"),
        (10, 13, "     +30 %"),
        (7, 7, ""),
        (0, 0, ""),
    ],
)
def test_percent(before: int, after: int, text: str) -> None:
    assert screen._percent(before, after) == text


def test_names_are_wrapped_and_safe_to_print() -> None:
    names = [f"layers[{i}].kernel" for i in range(9)] + ["a\x1b[31m"]
    lines = screen._wrapped(names)
    assert all(len(line) <= 72 for line in lines) and len(lines) > 2
    assert ", ".join(line.strip(" ,") for line in lines) == ", ".join([*names[:9], "a\\x1b[31m"])


@pytest.mark.tensorflow
def test_verbose_names_what_goes(run: Run, model: ModelFactory) -> None:
    path = str(model("train_signature"))
    words = ("strip", path, "--dry-run", "--drop-signature", "train")
    short, long = run(*words).out, run(*words, "--verbose").out
    assert "signature train" in short and "velocity/0" not in short
    assert "velocity/0" in long


def test_what_it_was_told_wrongly(run: Run, here: Path) -> None:
    before = contents(here)
    done = run("strip", "ranker", "--level", "callable", "--dry-run")
    assert done.code == 2 and "serving" in done.err and "callables" in done.err
    done = run("strip", "ranker", "--keep-signature", "serving_defualt", "--dry-run")
    assert done.code == 4 and "serving_default" in done.err
    done = run("strip", "ranker", "--drop-object", "nowhere", "--dry-run")
    assert done.code == 4 and "nowhere" in done.err
    done = run("strip", "tagger", "--tags", "nope", "--dry-run", "--json")
    assert done.code == 4 and done.json["error"]["type"] == "MissingError"
    done = run("strip", "tagger", "--drop-tags", "nope", "--dry-run")
    assert done.code == 4 and "{serve}" in done.err
    assert contents(here) == before


def test_a_meta_graph_for_training_goes_when_told(run: Run, here: Path) -> None:
    kept = run("strip", "tagger", "--dry-run")
    assert kept.code == 0 and "--drop-tags train" in kept.out + kept.err
    done = run("strip", "tagger", "--drop-tags", "train", "--out", "slim", "--json")
    assert done.code == 0
    assert fastsm.open("slim").tag_sets == [frozenset({"serve"})]
    (edit,) = done.json["edits"]
    assert edit == {
        "verb": "strip-training-graph", "level": "serving", "drop_tags": [["train"]]
    }  # fmt: skip


def plan(edits: list[dict[str, Any]], folder: Path) -> str:
    path = folder / "plan.json"
    path.write_text(json.dumps(edits))
    return str(path)


def test_as_part_of_a_plan(run: Run, here: Path) -> None:
    strip = {"verb": "strip-training-graph", "drop_tags": ["train"], "strip_debug": True}
    path = plan([strip, {"verb": "retag", "old": "serve", "new": "gpu"}], here)
    assert run("edit", "tagger", path, "--out", "slim").code == 0
    assert fastsm.open("slim").tag_sets == [frozenset({"gpu"})]
    assert run("edit", "tagger", path).code == 2  # nobody said where


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"drop_tags": [1]}, "drop_tags is not a string or a list of strings and lists"),
        ({"drop_tags": [["a", ["b"]]]}, "drop_tags is not a string or a list of strings"),
        ({"keep_signatures": {"a": "b"}}, "keep_signatures is not a string or a list of strings"),
        ({"keep_save": "yes"}, "keep_save is not true or false"),
        ({"keep_saves": True}, "did you mean keep_save"),
    ],
)
def test_wrong_plans(run: Run, here: Path, given: dict[str, Any], text: str) -> None:
    path = plan([{"verb": "strip-training-graph", **given}], here)
    done = run("edit", "ranker", path, "--dry-run")
    assert done.code == 2 and text.lower() in done.err.lower()
