"""What is done beside the writing: digests, hashes, reading ahead."""
from __future__ import annotations

import _thread
import errno
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import fastsm.commit.task as task
from fastsm._core import Pipe
from fastsm.commit import System, commit
from fastsm.commit.task import Task
from fastsm.errors import CommitError, CoreError
from fastsm.plan import Deferred, Plan, Rewrite
from fastsm.source import Source, from_bytes

from .edits import make_model, read, tree

SIZE = 40 << 20


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(1).randbytes(SIZE)


@pytest.fixture
def folder(tmp_path: Path, data: bytes) -> Path:
    folder = make_model(tmp_path / "model")
    (folder / "saved_model.pb").write_bytes(data)
    return folder


def plan_of(folder: Path, compute: Callable[[Source | None], tuple] | None) -> Plan:
    """Five bytes more at the front, and a fingerprint computed from the result."""
    plan = Plan(str(folder))
    rewrite = Rewrite(read(plan, "saved_model.pb"))
    rewrite.replace(0, 0, b"a new")
    source = rewrite.source()
    plan.write("saved_model.pb", source)
    read(plan, "fingerprint.pb")
    if compute is not None:
        plan.write("fingerprint.pb", Deferred(compute, source))
    return plan


def digest(source: Source, *, step: int = 100_000) -> bytes:
    sha = hashlib.sha256()
    for at in range(0, source.size, step):
        sha.update(source.read(at, min(step, source.size - at)))
    return sha.hexdigest().encode()


def in_order(source: Source) -> bytes:
    return digest(source)


def backwards(source: Source) -> bytes:
    whole = bytearray(source.size)
    for at in reversed(range(0, source.size, 1 << 20)):
        part = source.read(at, min(1 << 20, source.size - at))
        whole[at : at + len(part)] = part
    return digest(from_bytes(bytes(whole)))


def with_gaps(source: Source) -> bytes:
    for at in range(0, source.size - (1 << 20), 3 << 20):
        source.read(at, 1 << 20)
    return b"did not look at all"


def nothing(source: Source) -> bytes:
    return b"looked at nothing"


@pytest.mark.parametrize("look", [in_order, backwards, with_gaps, nothing])
def test_what_looks_at_a_file_while_it_is_written(
    folder: Path, data: bytes, look: Callable[[Source], bytes]
) -> None:
    seen = []

    def compute(source: Source | None) -> tuple[bytes, None]:
        assert source is not None
        seen.append(_thread.get_ident())
        return look(source), None

    commit(plan_of(folder, compute), sync=False)
    want = b"a new" + data
    assert (folder / "saved_model.pb").read_bytes() == want
    assert (folder / "fingerprint.pb").read_bytes() == look(from_bytes(want))
    assert seen != [_thread.get_ident()]


def test_a_long_stretch_is_read_ahead(
    folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretches = []

    class Watched(Pipe):
        def read(self, start: int, stop: int) -> None:
            stretches.append((start, stop))
            super().read(start, stop)

    monkeypatch.setattr("fastsm.commit.write.Pipe", Watched)
    commit(plan_of(folder, None), sync=False)
    assert (folder / "saved_model.pb").read_bytes() == b"a new" + data
    assert stretches == [(0, SIZE + 5)]


def test_without_threads(
    folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(task._thread, "start_new_thread", no_more)
    commit(plan_of(folder, lambda s: (digest(s), None)), sync=False)
    assert (folder / "saved_model.pb").read_bytes() == b"a new" + data
    assert (folder / "fingerprint.pb").read_bytes() == digest(from_bytes(b"a new" + data))


def test_a_dry_run_computes_without_writing(folder: Path) -> None:
    before = tree(folder)
    done = commit(plan_of(folder, lambda s: (digest(s), None)), dry_run=True)
    assert [c.after for c in done.written] == [64, SIZE + 5]
    assert tree(folder) == before


@pytest.mark.parametrize("seen", [0, 5 << 20])
def test_what_fails_beside_leaves_the_old_model(folder: Path, seen: int) -> None:
    def compute(source: Source | None) -> tuple[bytes, None]:
        assert source is not None
        source.read(0, seen)
        raise ZeroDivisionError("a bug in a hash")

    before = tree(folder)
    with pytest.raises(ZeroDivisionError):
        commit(plan_of(folder, compute), sync=False)
    assert tree(folder) == before


class Full(System):
    """A disk that is full after two writes."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.n += 1
        if self.n > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, data)


def test_a_failed_write_lets_the_reader_go(folder: Path) -> None:
    """The other thread waits for nobody who takes what it read."""
    before = tree(folder)
    ended = _thread.allocate_lock()
    ended.acquire()

    def compute(source: Source | None) -> tuple[bytes, None]:
        assert source is not None
        try:
            return digest(source), None
        finally:
            ended.release()

    for compute_or_none in (compute, None):
        with pytest.raises(CommitError, match="No space left"):
            commit(plan_of(folder, compute_or_none), system=Full())
        assert tree(folder) == before
    assert ended.acquire(timeout=60)


def test_a_file_that_became_shorter(folder: Path) -> None:
    plan = plan_of(folder, None)
    os.truncate(folder / "saved_model.pb", SIZE // 2)
    with pytest.raises(Exception, match="changed since it was opened"):
        commit(plan, sync=False)


# --- the pipe itself ---------------------------------------------------------------------


def test_a_pipe_hands_on_what_is_read() -> None:
    data = random.Random(2).randbytes(1 << 20)
    pipe = Pipe(from_bytes(data))

    def reads() -> None:
        tapped = pipe.tapped
        tapped.read(0, 300_000)
        tapped.read(200_000, 300_000)
        tapped.read(800_000, 100_000)  # a jump
        tapped.read(0, 10)  # back
        pipe.end()

    assert Task(reads).begin()
    got = {}
    while (found := pipe.take()) is not None:
        got[found[0]] = bytes(found[1])
    assert sum(map(len, got.values())) == 600_000
    assert all(data[at : at + len(part)] == part for at, part in got.items())
    assert 800_000 in got


def test_a_pipe_reports_what_cannot_be_read() -> None:
    pipe = Pipe(from_bytes(b"short"))
    with pytest.raises(CoreError, match="needs 6 bytes"):
        pipe.read(0, 6)
    pipe.end()
    assert pipe.take() is None


def test_a_pipe_is_made_once() -> None:
    pipe = Pipe(from_bytes(b""))
    with pytest.raises(ValueError, match="made once"):
        pipe.__init__(from_bytes(b""))  # type: ignore[misc]


def test_a_task_is_done_once() -> None:
    calls = []
    job = Task(lambda: calls.append(_thread.get_ident()))
    assert job.begin()
    assert job.result() is job.result() is None
    assert not job.begin()
    assert len(calls) == 1 and calls != [_thread.get_ident()]
