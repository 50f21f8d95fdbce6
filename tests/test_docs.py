"""The documentation is true: its screens are run, its Python is run, its links lead somewhere.

    python -m tests.test_docs       write the screens into README.md and docs/ anew
"""
from __future__ import annotations

import doctest
import fnmatch
import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastsm
from fastsm.cli import ALIASES, COMMON, VERBS, _module, _parse

from . import frozen_graph
from .conftest import HAS_TENSORFLOW
from .oracle import ENVIRONMENT, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that holds a copy of the examples, as a checkout does, and the frozen
    graph that pages convert."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    frozen_graph.put(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def session(folder: Path) -> Callable[[str], str]:
    """A shell in a folder, with `fastsm` on its path: what a command prints on a terminal."""
    tools = folder / ".bin"
    tools.mkdir()
    (tools / "fastsm").write_text(f'#!/bin/sh\nexec {sys.executable} -m fastsm "$@"\n')
    (tools / "fastsm").chmod(0o755)
    env = {
        **os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1", "COLUMNS": "80",
    }  # fmt: skip

    def run(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    return run


def with_true_screens(page: str, run: Callable[[str], str]) -> str:
    """A page with what its commands really print, each after the other in one folder."""

    def true(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        commands = [line for line in match[2].splitlines() if line.startswith("$ ")]
        if not HAS_TENSORFLOW and any("parity" in line for line in commands):
            return match[0]
        screens = [f"{line}\n{run(line[2:])}" for line in commands]
        return "```console\n" + "".join(screens) + "```"

    return BLOCK.sub(true, page)


def pages_with(*languages: str) -> list[Path]:
    """The pages that have a block in one of these languages."""
    return [p for p in PAGES if any(m[1] in languages for m in BLOCK.finditer(p.read_text()))]


def called(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages_with("console"), ids=called)
def test_screens_are_what_the_commands_print(page: Path, examples: Path) -> None:
    text = page.read_text()
    assert with_true_screens(text, session(examples)) == text


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        if match[1] == language:
            yield text.count("\n", 0, match.start()) + 1, match[2]


def check_doctest(test: doctest.DocTest) -> int:
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)
    return len(test.examples)


@pytest.mark.parametrize("page", pages_with("python"), ids=called)
def test_python_of_the_pages(page: Path, examples: Path) -> None:
    for line, code in blocks(page, "python"):
        if ">>>" in code:
            parser = doctest.DocTestParser()
            check_doctest(parser.get_doctest(code, {}, page.name, str(page), line))


QUESTIONS = sorted((ROOT / "docs" / "questions").glob("*.md"))


@pytest.mark.tensorflow
def test_python_of_the_questions_runs(examples: Path) -> None:
    """All of it in one process, for TensorFlow starts slowly."""
    (examples / "export").mkdir()
    for page in QUESTIONS:
        for line, code in blocks(page, "python"):
            (examples / f"{page.stem}_{line}.py").write_text(code)
    run = (
        "import pathlib, runpy\n"
        "for path in sorted(pathlib.Path('.').glob('*.py')):\n    runpy.run_path(str(path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", run], env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_list_of_questions_has_every_page() -> None:
    listed = re.findall(
        r"^- \[(.+)\]\(questions/(.+)\.md\)$", (ROOT / "docs" / "questions.md").read_text(), re.M
    )
    titles = {p.stem: p.read_text().partition("\n")[0].removeprefix("# ") for p in QUESTIONS}
    assert {stem: title for title, stem in listed} == titles
    assert len(listed) == len(titles)


@pytest.mark.parametrize("page", QUESTIONS, ids=called)
def test_a_question_is_answered_at_once(page: Path) -> None:
    """Below its title stand some lines, and no more of them than one looks at."""
    title, answer, *_ = page.read_text().split("\n\n")
    assert title.startswith("# ") and (answer[0].isalnum() or answer[0] == "`")
    assert answer.count("\n") <= 3
    assert page.read_text().count("\n") <= 90


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(fastsm.__path__, "fastsm."):
        if found.name not in ("fastsm.__main__", "fastsm._core", "fastsm.proof.child.__main__"):
            yield found.name


def with_tensorflow(name: str) -> object:
    """What runs in the child imports it."""
    marks = [pytest.mark.tensorflow] if name.startswith("fastsm.proof.child.") else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", ["fastsm", *map(with_tensorflow, modules())])
def test_docstrings(name: str, examples: Path) -> None:
    module = importlib.import_module(name)
    assert module.__doc__ or Path(str(module.__file__)).stat().st_size == 0
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        if test.examples:
            check_doctest(test)


@pytest.mark.parametrize(
    "name",
    ["open", "explain", "verify", "lint", "convert", "retag", "rename_input", "rename_output",
     "rename_asset", "replace_asset", "dedupe", "repair", "strip_training_graph",
     "export_weights", "undo", "run", "parity"],
)
def test_public_verbs_have_an_example(name: str) -> None:
    verb = getattr(fastsm, name)
    assert ">>> " in verb.__doc__


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_links_lead_somewhere(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def shell_lines(page: Path) -> Iterator[str]:
    """The lines of a page's shell that call fastsm."""
    for language, prompt in (("sh", ""), ("console", "$ ")):
        for _, block in blocks(page, language):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(f"{prompt}fastsm "):
                    yield line.removeprefix(prompt)


@pytest.mark.parametrize("page", pages_with("sh", "console"), ids=called)
def test_commands_are_what_the_command_line_takes(page: Path) -> None:
    for command in shell_lines(page):
        words = shlex.split(command, comments=True)[1:]
        ends = [i for i, word in enumerate(words) if word in ("|", ">", "<", "&&", ";")]
        verb, *rest = words[: min(ends, default=len(words))]
        if verb in [*VERBS, *ALIASES] and rest != ["--help"]:
            _parse(verb, _module(verb), rest)
        assert verb in [*VERBS, *ALIASES, "VERB", "--version", "--help"], command


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_sentences_name_verbs_and_options_that_exist(page: Path) -> None:
    for code in re.findall(r"`fastsm ([a-z][^`]+)`", BLOCK.sub("", page.read_text())):
        verb, *rest = code.split()
        module = _module(verb)
        known = {flag for flags, _ in [*module.OPTIONS, *COMMON] for flag in flags} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, code


def test_every_part_of_the_core_is_told() -> None:
    table = (ROOT / "docs" / "design.md").read_text().partition("| C | what |")[2]
    named = re.findall(r"`(fsm_\w+\*?)`", table.partition("\n\n")[0])
    for header in (ROOT / "csrc").glob("*.h"):
        assert any(fnmatch.fnmatch(header.stem, name) for name in named), header.name
    for name in named:
        assert list((ROOT / "csrc").glob(f"{name}.h")), name


def test_the_readme_tells_of_every_verb() -> None:
    text = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"fastsm {verb} " not in text] == []


#: Fields whose keys are a model's own names.
NAMED = {"signatures", "inputs", "outputs", "defaults", "devices"}


def keys(value: object, named: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not named:
                yield key
            yield from keys(inner, named=not named and key in NAMED)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.mark.parametrize(
    "command",
    [
        "show examples/ranker/1 --json",
        "show examples/ranker/1/variables/variables --json",
        "variables examples/ranker/1 --json",
        "variables examples/ranker/1 taste/bias --json",
        "show examples/tagger/1 --json --functions --ops --signature serving_default",
        "show examples/ranker/1 --json --fingerprint",
        "show examples/ranker/1 --json --tags nope",
        "assets examples/tagger/1 --json",
        "explain examples/ranker/1 --json --signature rank --check",
        "explain examples/tagger/1 gpu --json",
        "verify examples/ranker/1 --json",
        "verify examples/tagger/1 --json --quick",
        "lint examples/ranker/1 --json --tf-version 2.3",
        "retag examples/ranker/1 serve gpu --json --receipt receipt.json --backup before",
        "dedupe examples/ranker/1 --json --dry-run",
        "strip-training-graph examples/ranker/1 --json --dry-run",
        "strip examples/tagger/1 --json --dry-run --drop-tags train",
        "edit examples/ranker/1 /dev/stdin --json < plan.json",
        "clear-devices examples/ranker/1 --json --dry-run",
        "rename-input examples/ranker/1 rank user who --json",
        "rename-output examples/ranker/1 rank scores points --json",
        "remove-meta-graph examples/tagger/1 train --json --dry-run",
        "extract-meta-graph examples/tagger/1 serve --json --dry-run",
        "rename-asset examples/tagger/1 vocabulary.txt v --json",
        "rename-signature examples/ranker/1 rank order --json --tags serve",
        "copy-signature examples/tagger/1 serving_default again --json --all-meta-graphs",
        "remove-signature examples/ranker/1 rank serving_default --json --dry-run",
        "set-method-name examples/ranker/1 rank classify --json",
        "add-signature examples/tagger/1 all --output y=tags --tags serve --json",
        "replace-asset examples/tagger/1 vocabulary.txt plan.json --json --dry-run",
        "convert examples/checkpoint --json",
        "repair examples/ranker/1 --json --dry-run",
        "export-weights examples/ranker/1 w.npz --json",
        "undo examples/ranker/1 before --json",
    ],
)
def test_every_field_of_json_is_documented(command: str, examples: Path) -> None:
    page = (ROOT / "docs" / "json.md").read_text()
    run = session(examples)
    (examples / "plan.json").write_text("[]")
    if command.startswith("undo"):
        run("fastsm retag examples/ranker/1 serve gpu --backup before")
    documents = [json.loads(run(f"fastsm {command} 2>/dev/null"))]
    for written in (examples / "receipt.json", examples / "before" / "manifest.json"):
        if written.exists():
            documents.append(json.loads(written.read_text()))
    for document in documents:
        assert f"## {document['schema']}" in page.replace(", fastsm.", "\n## fastsm.")
        missing = {k for k in keys(document) if f"`{k}`" not in page and f'"{k}"' not in page}
        assert missing - {"error", "gpu", "old", "new"} == set()


def rewrite() -> None:
    for page in PAGES:
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(ROOT / "examples", Path(scratch) / "examples")
            frozen_graph.put(Path(scratch))
            text = page.read_text()
            true = with_true_screens(text, session(Path(scratch)))
            if true != text:
                page.write_text(true)
                print(f"{page.relative_to(ROOT)} rewritten")


if __name__ == "__main__":
    rewrite()
