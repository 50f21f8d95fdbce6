"""Names and numbers in words; what comes from a model must not act on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsm.text import (
    NAME_LIMIT,
    Record,
    count,
    counted,
    one_line,
    plain,
    printable,
    serving_flag,
    serving_words,
    size,
    tag_set,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("serving_default", "serving_default"),
        ("naïve 名前 🎉", "naïve 名前 🎉"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\r\tc\0", r"a\x0ab\x0d\x09c\x00"),
        ("\x7f\x80\x9b\x9f\xa0", "\\x7f\\x80\\x9b\\x9f\xa0"),  # C1 controls act, too
        ("\u202eoverride\u202c", r"\u202eoverride\u202c"),
        ("\u2066isolate\u2069", r"\u2066isolate\u2069"),
        ("\u200b\u200e\u200f\u061c\ufeff", r"\u200b\u200e\u200f\u061c\ufeff"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("\udcff\udc80", r"\xff\x80"),  # what surrogateescape made of bytes
        ("\ud800", r"\ud800"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_printable_takes_bytes() -> None:
    assert printable(b"caf\xc3\xa9") == "café"
    assert printable(b"caf\xe9") == r"caf\xe9"


def test_a_long_name_is_cut_and_says_so() -> None:
    assert printable("x" * NAME_LIMIT) == "x" * 200
    assert printable("x" * 201) == "x" * 200 + "... (201 characters)"
    assert printable("\n" * 1_234_567) == r"\x0a" * 200 + "... (1,234,567 characters)"
    assert printable("abcdef", 3) == "abc... (6 characters)"
    assert printable("x" * 201, None) == "x" * 201


@given(st.text() | st.binary())
def test_nothing_that_is_shown_acts_on_a_terminal(name: str | bytes) -> None:
    shown = printable(name)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(
        unicodedata.bidirectional(c)
        in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for c in shown
    )
    shown.encode()  # and it can be written anywhere


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=200))
def test_a_plain_name_is_shown_as_it_is(name: str) -> None:
    assert printable(name) == name


def test_counts() -> None:
    assert (count(0), count(999), count(1_234_567)) == ("0", "999", "1,234,567")
    assert [counted(n, "node") for n in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]
    assert counted(1000, "entry", "entries") == "1,000 entries"
    assert counted(1, "entry", "entries") == "1 entry"


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (43_770, "43.8 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),  # never "1000.0 kB"
        (65_200_000, "65.2 MB"),
        (1_900_000_000, "1.9 GB"),
        (3 * 10**12, "3.0 TB"),
        (4 * 10**15, "4000.0 TB"),
    ],
)
def test_size(n: int, words: str) -> None:
    assert size(n) == words


def test_tag_sets() -> None:
    assert tag_set(["serve", "gpu"]) == "{gpu, serve}"
    assert tag_set([]) == "{}"
    assert tag_set(["\x1b"]) == r"{\x1b}"


def test_serving_flags() -> None:
    assert serving_flag(["serve"]) == "" and serving_words("") == "default settings"
    assert serving_flag({"serve", "gpu"}) == "--saved_model_tags=gpu,serve"
    for tags in ([], [""], ["a,b"], ["serve", ""]):
        assert serving_flag(tags) is None
    assert serving_words(None) == "no flag names this tag set"


def test_one_line() -> None:
    assert one_line("a;\n  b") == "a; b"


# -- records -----------------------------------------------------------------------


class Point(Record):
    __slots__ = ("x", "y", "_cache")

    def __init__(self, x: object, y: object = None) -> None:
        self.x = x
        self.y = y
        self._cache = object()


class Other(Point):
    __slots__ = ()


def test_a_record_is_its_values() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert Point(1, 2) != Point(2, 1)
    assert Point(1) != Other(1)
    assert Point(1) != 1


def test_equal_records_of_mappings_have_one_hash() -> None:
    one, two = Point({"a": 1, "b": 2}), Point({"b": 2, "a": 1})
    assert one == two and hash(one) == hash(two)


def test_a_record_in_words() -> None:
    assert repr(Point("a")) == "Point(x='a')"  # what is None is not told
    assert repr(Point(1, (2, 3))) == "Point(x=1, y=(2, 3))"
    assert Point("a").to_dict() == {"x": "a"}


def test_plain_values() -> None:
    value = {"b": Point(1, (2, None)), 3: frozenset(["z", "a"])}
    assert plain(value) == {"b": {"x": 1, "y": [2, None]}, "3": ["a", "z"]}
