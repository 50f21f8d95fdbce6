"""Every class: what it is, what it says, and that it survives a pickle."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

import fastsm
from fastsm import errors
from fastsm.errors import (
    AmbiguousError,
    BackendMissingError,
    CommitError,
    CoreError,
    FastsmError,
    FormatError,
    InternalError,
    MissingError,
    RefusedError,
    UnsupportedError,
    UsageError,
)

from .oracle import ROOT

#: Class -> exit code, and the builtin that a caller may catch instead.
CLASSES: dict[type[FastsmError], tuple[int, type[Exception] | None]] = {
    UsageError: (2, ValueError),
    FormatError: (3, ValueError),
    MissingError: (4, LookupError),
    AmbiguousError: (4, LookupError),
    RefusedError: (5, ValueError),
    CommitError: (6, OSError),
    UnsupportedError: (7, None),
    BackendMissingError: (7, None),
    InternalError: (70, None),
}


def subclasses(cls: type[FastsmError]) -> set[type[FastsmError]]:
    return {cls}.union(*(subclasses(c) for c in cls.__subclasses__()))


def test_every_class_is_here() -> None:
    assert subclasses(FastsmError) - {FastsmError} == set(CLASSES)


def test_the_module_lists_them_with_their_codes() -> None:
    """The table in the docstring is what users read."""
    lines = [line.split() for line in (errors.__doc__ or "").splitlines()]
    for cls, (code, builtin) in CLASSES.items():
        words = next(words for words in lines if words and words[0] == cls.__name__)
        expected = [builtin.__name__] if builtin else []
        assert words[1 : 2 + len(expected)] == [*expected, str(code)]


def make(cls: type[FastsmError], **more: Any) -> FastsmError:
    if cls is CommitError:
        more["on_disk"] = "old"
    options: dict[str, Any] = {"offset": 1234, "place": "meta_graphs[0]", "hint": "Try again."}
    return cls("a/model", "is odd", **{**options, **more})


@pytest.mark.parametrize("cls", CLASSES)
def test_class(cls: type[FastsmError]) -> None:
    code, builtin = CLASSES[cls]
    assert cls.exit_code == code
    assert getattr(fastsm, cls.__name__, cls) is cls
    assert builtin is None or issubclass(cls, builtin)
    assert cls.__doc__


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES)
def test_survives_a_pickle(cls: type[FastsmError], protocol: int) -> None:
    check_same(pickle.loads(pickle.dumps(make(cls), protocol)), make(cls))


@pytest.mark.parametrize("cls", CLASSES)
def test_survives_a_copy(cls: type[FastsmError]) -> None:
    check_same(copy.copy(make(cls)), make(cls))
    check_same(copy.deepcopy(make(cls)), make(cls))


def check_same(one: FastsmError, two: FastsmError) -> None:
    assert type(one) is type(two)
    assert str(one) == str(two)
    assert one.args == two.args == ("a/model", "is odd")
    assert one.__dict__ == two.__dict__
    assert one.to_dict() == two.to_dict()


@pytest.mark.parametrize("cls", CLASSES)
def test_says_path_problem_place_and_hint(cls: type[FastsmError]) -> None:
    state = " The model on disk is the old one." if cls is CommitError else ""
    line = "a/model: is odd (byte 1,234, meta_graphs[0])" + (state and "." + state)
    assert str(make(cls)) == f"{line}\n  Try again."
    found = make(cls).to_dict()
    assert found.pop("on_disk", None) == ("old" if cls is CommitError else None)
    assert found == {
        "type": cls.__name__, "exit_code": cls.exit_code, "path": "a/model",
        "problem": "is odd", "offset": 1234, "place": "meta_graphs[0]", "hint": "Try again.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "p: is odd"),
        ({"offset": 0}, "p: is odd (byte 0)"),
        ({"offset": 1_234_567}, "p: is odd (byte 1,234,567)"),
        ({"place": "tags"}, "p: is odd (tags)"),
        ({"hint": "Do this."}, "p: is odd\n  Do this."),
    ],
)
def test_text_has_what_is_known(options: dict[str, Any], text: str) -> None:
    error = FormatError("p", "is odd", **options)
    assert str(error) == text
    told = {"type": "FormatError", "exit_code": 3, "path": "p", "problem": "is odd"}
    assert error.to_dict() == {**told, **options}


def test_text_without_a_path() -> None:
    assert str(UsageError("", "--json twice")) == "--json twice"


def test_a_path_does_not_act_on_a_terminal() -> None:
    assert str(FormatError("a\x1b[2Jb", "is odd")) == r"a\x1b[2Jb: is odd"
    assert str(FormatError("x" * 999, "is odd")).startswith("x" * 999)  # it is never cut


@pytest.mark.parametrize("on_disk", ["old", "new"])
def test_a_commit_error_says_what_is_on_disk(on_disk: Any) -> None:
    error = CommitError("p", "the disk is full", on_disk=on_disk)
    assert str(error) == f"p: the disk is full. The model on disk is the {on_disk} one."
    assert error.to_dict()["on_disk"] == on_disk


# -- what the core reports ---------------------------------------------------------


def test_every_kind_of_the_core_has_words() -> None:
    header = (ROOT / "csrc" / "fsm_base.h").read_text()
    kinds = set(re.findall(r"FSM_E_(\w+)", header)) - {"NOMEM"}  # that is a MemoryError
    assert kinds == set(errors._CORE_WORDS)
    for kind in kinds:
        words = str(CoreError(kind, 5, 1000, 2))
        assert words != kind and "{" not in words
        assert words[0].islower()  # it stands behind a path


def test_core_error_fills_in_its_numbers() -> None:
    error = CoreError("TRUNCATED", 5, 1000, 2)
    assert str(error) == "needs 1,000 bytes where 2 are left"
    assert (error.kind, error.offset, error.need, error.have) == ("TRUNCATED", 5, 1000, 2)


def test_core_error_survives_a_pickle() -> None:
    error = pickle.loads(pickle.dumps(CoreError("DEPTH", 5, 100, 0)))
    assert (str(error), error.offset) == ("nests messages deeper than 100", 5)
