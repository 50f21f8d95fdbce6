"""Every error: what else it is, how it reads, and that it survives a process boundary."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import fastsm
from fastsm import errors
from fastsm.errors import CoreError, FastsmError

#: Class -> (exit code, what else it is): as the documentation promises.
KINDS: dict[type[FastsmError], tuple[int, type[Exception]]] = {
    errors.UsageError: (2, ValueError),
    errors.FormatError: (3, ValueError),
    errors.MissingError: (4, LookupError),
    errors.AmbiguousError: (4, LookupError),
    errors.RefusedError: (5, ValueError),
    errors.CommitError: (6, OSError),
    errors.UnsupportedError: (7, Exception),
    errors.BackendMissingError: (7, Exception),
    errors.InternalError: (70, Exception),
}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def make(kind: type[FastsmError], **more: Any) -> FastsmError:
    if kind is errors.CommitError:
        more.setdefault("on_disk", "new")
    return kind("m/1", "is not well", **more)


def test_these_are_all() -> None:
    found = [FastsmError]
    for kind in found:
        found += kind.__subclasses__()
    assert set(found[1:]) == set(KINDS)
    public = {getattr(fastsm, name) for name in fastsm.__all__ if name.endswith("Error")}
    assert public == set(found)


@every_kind
def test_base_and_exit_code(kind: type[FastsmError]) -> None:
    code, other = KINDS[kind]
    assert kind.exit_code == code
    assert issubclass(kind, FastsmError) and issubclass(kind, other)


@every_kind
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_and_copies(kind: type[FastsmError], protocol: int) -> None:
    error = make(kind, offset=7, place="meta_graphs[0]", hint="Do this.")
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(other) is kind
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


@every_kind
def test_text(kind: type[FastsmError]) -> None:
    disk = ". The model on disk is the new one." if kind is errors.CommitError else ""
    assert str(make(kind)) == f"m/1: is not well{disk}"
    assert str(make(kind, offset=1234)) == f"m/1: is not well (byte 1,234){disk}"
    full = make(kind, offset=1234, place="x[0]", hint="Do this.")
    assert str(full) == f"m/1: is not well (byte 1,234, x[0]){disk}\n  Do this."
    assert str(make(kind, hint="Do this.")).splitlines()[1:] == ["  Do this."]


def test_text_without_a_path_and_with_a_hostile_one() -> None:
    assert str(errors.UsageError("", "say which")) == "say which"
    assert "\x1b" not in str(errors.FormatError("m\x1b[1m", "is odd"))


@every_kind
def test_as_a_dict(kind: type[FastsmError]) -> None:
    found = make(kind, place="x").to_dict()
    assert found.pop("on_disk", "new") == "new"
    assert found == {
        "type": kind.__name__, "exit_code": kind.exit_code, "path": "m/1",
        "problem": "is not well", "place": "x",
    }  # fmt: skip


def test_every_finding_of_the_core_has_words() -> None:
    from fastsm._core import Source, scan
    from fastsm.source import from_bytes

    with pytest.raises(CoreError) as caught:
        scan(from_bytes(b"\x0a\x7fx"), [(0, 3)])
    assert str(caught.value) == "needs 127 bytes where 1 are left"
    assert Source(b"").size == 0
    for kind in errors._CORE_WORDS:
        assert "{" not in str(CoreError(kind, 0, 1, 2))
