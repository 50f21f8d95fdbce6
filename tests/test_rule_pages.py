"""Each rule has a page of its own, docs/rules/ID.md, which says of it what the rules say, and of
TensorFlow what it said.

    python -m tests.test_rule_pages MODELS       ask TensorFlow anew, and write rule_errors.json
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fastsm.check.rules import RULES

from . import rule_errors
from .conftest import ModelFactory
from .oracle import ROOT, Oracle

FOLDER = ROOT / "docs" / "rules"

#: The parts of a page, in this order.
PARTS = [
    "What bites", "How it comes about", "How to see it", "How to mend it", "How to silence it",
]  # fmt: skip


def page_of(rule: str) -> Path:
    return FOLDER / f"{rule}.md"


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert {page.stem for page in FOLDER.iterdir()} == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_page_says_what_the_rule_says(rule: str) -> None:
    severity, meaning, command = RULES[rule]
    article = "an" if severity == "error" else "a"
    title, first, *rest = page_of(rule).read_text().split("\n\n")
    assert title.startswith("# ") and title.count("\n") == 0
    assert " ".join(first.split()) == f"Rule `{rule}`, {article} {severity}. {meaning}"
    parts = [block[3:] for block in rest if block.startswith("## ")]
    assert [part for part in parts if part in PARTS] == PARTS
    if command:
        assert command.format(path="PATH", id=rule) in page_of(rule).read_text()


def test_no_two_pages_have_one_title() -> None:
    titles = [page_of(rule).read_text().partition("\n")[0] for rule in RULES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("rule", RULES)
def test_a_page_is_short(rule: str) -> None:
    assert 15 <= page_of(rule).read_text().count("\n") <= 60


# -- what TensorFlow says ----------------------------------------------------------------

#: What pages quote -> the case at which it was said, and by whom.
SAID = Path(__file__).with_name("rule_errors.json")

#: Pages that quote TensorFlow Serving, of which no package can be installed: by its source.
OF_SERVING = {
    "no-serving-default", "serving-method", "signature-batch", "signature-scalar",
    "version-folder",
}  # fmt: skip

#: Pages that quote what is said of gigabytes, by a process that has not saved the model, by the
#: reader of fingerprints, or of a file that is on no machine.
NOT_ASKED = {"file-outside", "fingerprint-damaged", "model-size", "op-python"}

#: What is no error.
FINE = {"loads", "load", "loads and runs", "the same", "opened as it is"}

#: Who says it, in front of a line; and the kind of an error in front of its text.
_WHO = re.compile(r"^(?! ).{2,60}?(?: {2,}|: {2,})", re.M)
_KIND = re.compile(r"^(?:\w*(?:Error|Exception)|[A-Z_]{6,}): ")
_BLANKS = re.compile(r"PATH|NAME|HOST|\.\.\.")


def plain(text: str) -> str:
    """Without what is another one each time: numbers, the order of a set, and how lines are
    broken."""

    def in_order(found: re.Match[str]) -> str:
        return f"{{{', '.join(sorted(found[1].split(', ')))}}}"

    return re.sub(r"\{('[^{}]*')\}", in_order, re.sub(r"\d+", "0", " ".join(text.split())))


def quoted(rule: str) -> list[str]:
    """The errors that a page quotes, cut where it leaves something out."""
    out = []
    for block in re.findall(r"^```text\n(.*?)^```$", page_of(rule).read_text(), re.M | re.S):
        lines: list[str] = []
        for line in block.splitlines():
            text = _WHO.sub("", line)
            broken = line.startswith(" ") or (lines and lines[-1].startswith("Unable to read"))
            if lines and text == line and not _KIND.match(text) and broken:
                lines[-1] += f" {text.strip()}"
            else:
                lines.append(text)
        for text in lines:
            words = _KIND.sub("", text.removeprefix("loads; then: "))
            if words not in FINE:
                out += [plain(part) for part in _BLANKS.split(words) if len(part.strip()) > 9]
    return out


ASKED = [rule for rule in RULES if rule not in OF_SERVING | NOT_ASKED]


@pytest.mark.parametrize("rule", ASKED)
def test_what_is_quoted_was_said(rule: str) -> None:
    noted = json.loads(SAID.read_text())
    assert [text for text in quoted(rule) if text not in noted] == []


def test_nothing_is_noted_that_no_page_quotes() -> None:
    assert set(json.loads(SAID.read_text())) == {text for r in ASKED for text in quoted(r)}


def ask(oracle: Oracle, models: Callable[[str], Path], folder: Path) -> dict[str, str]:
    """Each quotation -> the first case at which it is said."""
    wanted = sorted({text for rule in ASKED for text in quoted(rule)})
    found: dict[str, str] = {}
    for who, text in rule_errors.said(oracle, models, folder):
        words = plain(text)
        for want in wanted:
            if want not in found and want in words:
                found[want] = who
    return dict(sorted(found.items()))


@pytest.mark.tensorflow
@pytest.mark.skipif(os.environ.get("FASTSM_VERDICTS") != "all", reason="takes two minutes")
def test_tensorflow_says_it(model: ModelFactory, oracle: Oracle, tmp_path: Path) -> None:
    assert ask(oracle, model, tmp_path) == json.loads(SAID.read_text())


def main() -> None:
    models = Path(sys.argv[1])
    with Oracle() as oracle, tempfile.TemporaryDirectory() as scratch:
        found = ask(oracle, models.joinpath, Path(scratch))
    SAID.write_text(json.dumps(found, indent=1) + "\n")
    for rule in ASKED:
        for text in quoted(rule):
            if text not in found:
                print(f"{rule}: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
