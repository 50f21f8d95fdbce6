"""Each rule has a page of its own, docs/rules/ID.md, which says of it what the rules say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastsm.check.rules import RULES

from .oracle import ROOT

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
