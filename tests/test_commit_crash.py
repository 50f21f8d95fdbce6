"""Every shape of a commit, failing at each of its system calls in turn.

After each failure a reader finds the old model or the new one, the error says which,
and the next edit clears what was left behind.
"""
from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsm.commit import Committed, System, commit
from fastsm.commit.undo import undo
from fastsm.errors import CommitError, FormatError, left
from fastsm.plan import Deferred, Plan
from fastsm.source import File, from_bytes

from .crash import CALLS, CHANGING, Counting, FailAt, FailFrom, PowerCut, PowerCutError, build
from .edits import MADE, SOURCES, make_new, make_sources

FILES = {
    "saved_model.pb": b"old graph" * 100,
    "fingerprint.pb": b"old fingerprint",
    "variables/variables.index": b"old index",
    "variables/variables.data-00000-of-00001": b"old data" * 50,
    "assets/vocab.txt": b"old words",
    "assets/gone.txt": b"old text",
}

Tree = dict[str, bytes]


def tree(path: Path) -> Tree | None:
    """The files of a folder, what is staged left out; None when it is not there."""
    if not path.exists():
        return None
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in path.rglob("*")
        if p.is_file() and not p.name.startswith(".fastsm-stage")
    }


def leftovers(root: Path) -> list[str]:
    return [str(p) for p in root.rglob("*fastsm-stage*")]


class Scenario:
    """An edit of a model in ``root``, and what it makes of it."""

    def __init__(
        self,
        changes: dict[str, bytes | None],
        *,
        out: str | None = None,
        backup: bool = False,
        back: bool = False,
        link: bool = False,
        proved: bool = False,
    ) -> None:
        self.changes = changes
        self.out = out
        self.backup = backup
        self.back = back  # undo is what is tried; the edit itself is done before
        self.link = link
        self.proved = proved

    def prepare(self, root: Path) -> None:
        for name, data in FILES.items():
            path = root / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if self.out == "empty":
            (root / "out").mkdir()
        if self.back:
            self.edit(root, backup=str(root / "backup"), sync=False)
        self.old = tree(root / "out") if self.out else tree(root / "model")

    def edit(self, root: Path, **options: object) -> Committed:
        plan = Plan(str(root / "model"), verb="test")
        for name, data in self.changes.items():
            if (root / "model" / name).exists():
                plan.read(name, File(os.path.join(plan.folder, name)))
            if data is None and name != "fingerprint.pb":
                plan.remove(name)
            elif name == "fingerprint.pb":
                plan.write(name, Deferred(lambda _, data=data: (data, None)))
            else:
                plan.write(name, from_bytes(data))
        return commit(plan, **options)

    def run(self, root: Path, system: System) -> Committed:
        if self.back:
            return undo(str(root / "model"), str(root / "backup"), system=system)
        options: dict[str, object] = {"system": system, "link": self.link}
        if self.out:
            options["out"] = str(root / "out")
        if self.backup:
            options["backup"] = str(root / "backup")
            options["receipt"] = str(root / "receipt.json")
        if self.proved:
            options["prove"] = lambda folder: self.prove(root, Path(folder))
        return self.edit(root, **options)

    def prove(self, root: Path, staged: Path) -> dict[str, Any]:
        """What is shown before it is published: the new model whole, beside the old one."""
        assert tree(staged) == self.new
        assert tree(root / "model") == FILES
        return {"equal": True}

    @property
    def new(self) -> Tree:
        if self.back:
            return dict(FILES)
        files = {**FILES, **self.changes}
        return {name: data for name, data in files.items() if data is not None}

    def result(self, root: Path) -> Tree | None:
        return tree(root / "out") if self.out else tree(root / "model")

    def again(self, root: Path) -> None:
        """The next edit after a crash: it goes through, and clears what was left."""
        if self.out and not tree(root / "out"):
            self.run(root, Counting())
            assert self.result(root) == self.new
        plan = Plan(str(root / "model"))
        plan.write("variables/variables.index", from_bytes(b"the next edit"))
        commit(plan, sync=False)
        if self.backup:
            # What is staged for a backup is cleared by the next backup of that name.
            shutil.rmtree(root / "backup", ignore_errors=True)
            plan = Plan(str(root / "model"))
            plan.write("variables/variables.index", from_bytes(b"one more"))
            records = {"backup": str(root / "backup"), "receipt": str(root / "receipt.json")}
            commit(plan, sync=False, **records)
        assert leftovers(root) == []


class Making(Scenario):
    """A new model of files elsewhere: some as they are, some with new bytes around them."""

    def __init__(self, *, out: str = "absent", link: bool = False, receipt: bool = False) -> None:
        super().__init__({}, out=out, link=link)
        self.receipt = receipt

    def prepare(self, root: Path) -> None:
        make_sources(root / "train")
        if self.out == "empty":
            (root / "out").mkdir()
        self.old = tree(root / "out")

    def run(self, root: Path, system: System) -> Committed:
        receipt = str(root / "receipt.json") if self.receipt else None
        return commit(
            make_new(root / "train"), out=str(root / "out"), system=system, link=self.link,
            receipt=receipt,
        )  # fmt: skip

    @property
    def new(self) -> Tree:
        return MADE

    def result(self, root: Path) -> Tree | None:
        assert tree(root / "train") == {**SOURCES, "words.txt": SOURCES["vocab.txt"]}
        return tree(root / "out")

    def again(self, root: Path) -> None:
        if tree(root / "out"):  # it is there whole: another one clears what was left
            shutil.rmtree(root / "out")
        self.run(root, Counting())
        assert self.result(root) == self.new
        assert leftovers(root) == []


SMALL = {"saved_model.pb": b"new graph" * 90, "fingerprint.pb": b"new fingerprint"}
WIDE = {
    **SMALL,
    "assets/gone.txt": None,
    "assets/vocab.txt": b"new words",
    "assets.extra/a/b": b"more",
}

SCENARIOS = {
    "one file": Scenario({"variables/variables.index": b"new index"}),
    "one file removed": Scenario({"assets/gone.txt": None}),
    "with fingerprint": Scenario(SMALL),
    "with fingerprint removed": Scenario({**SMALL, "fingerprint.pb": None}),
    "with backup": Scenario(SMALL, backup=True),
    "folder": Scenario(WIDE),
    "folder with backup": Scenario(WIDE, backup=True),
    "out": Scenario(SMALL, out="absent"),
    "out, empty": Scenario(WIDE, out="empty"),
    "out, linked": Scenario(SMALL, out="absent", link=True),
    "proved with backup": Scenario(SMALL, backup=True, proved=True),
    "proved out": Scenario(WIDE, out="absent", proved=True),
    "undo": Scenario(SMALL, back=True),
    "undo of a folder": Scenario(WIDE, back=True),
    "new": Making(),
    "new, linked": Making(link=True),
    "new, empty, with receipt": Making(out="empty", receipt=True),
}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing: these tests make 10,000 models."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="fastsm-test-") as folder:
        yield Path(folder)


@pytest.fixture
def fresh(scratch: Path, scenario: Scenario) -> Callable[[], Path]:
    """Makes a root with the model in it, a new one each time."""

    def make() -> Path:
        root = scratch / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        scenario.prepare(root)
        return root

    return make


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_an_error_at_each_call(
    scenario: Scenario, fresh: Callable[[], Path], code: int, after: bool
) -> None:
    for at in range(1, 2000):
        root = fresh()
        system = FailAt(at, OSError(code, os.strerror(code)), after=after)
        try:
            scenario.run(root, system)
        except FormatError:  # undo could not read the backup
            assert scenario.result(root) == scenario.old
        except CommitError as raised:
            found = scenario.result(root)
            assert found == (scenario.new if raised.on_disk == "new" else scenario.old), at
            assert left(raised.on_disk) in str(raised)
            before = "none" if isinstance(scenario, Making) else "old"
            assert raised.on_disk in ("new", before)
            if raised.on_disk == "old" and scenario.backup:
                assert not (root / "backup").exists()
        else:
            assert scenario.result(root) == scenario.new, at
        if not system.failed:
            assert leftovers(root) == []
            return
        scenario.again(root)
    raise AssertionError("the commit does not end")


@pytest.mark.parametrize("names", [CHANGING, CALLS - {"close"}], ids=["changing", "all"])
def test_a_disk_that_stays_broken(
    scenario: Scenario, fresh: Callable[[], Path], names: set[str]
) -> None:
    for at in range(1, 2000):
        root = fresh()
        system = FailFrom(at, OSError(errno.EROFS, os.strerror(errno.EROFS)), names)
        try:
            scenario.run(root, system)
        except FormatError:
            assert scenario.result(root) == scenario.old
        except CommitError as raised:
            expected = scenario.new if raised.on_disk == "new" else scenario.old
            allowed = [expected]
            if "fingerprint.pb" in scenario.changes and not scenario.out:
                allowed.append(_without_fingerprint(expected))
            assert scenario.result(root) in allowed, at
        else:
            assert scenario.result(root) == scenario.new, at
        if not system.failed:
            return
        scenario.again(root)
    raise AssertionError("the commit does not end")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_interruption_at_each_call(
    scenario: Scenario, fresh: Callable[[], Path], after: bool
) -> None:
    for at in range(1, 2000):
        root = fresh()
        system = FailAt(at, KeyboardInterrupt(), after=after)
        try:
            scenario.run(root, system)
        except KeyboardInterrupt as raised:
            on_disk = getattr(raised, "on_disk", "old")
            assert scenario.result(root) == (scenario.new if on_disk == "new" else scenario.old)
        else:
            assert scenario.result(root) == scenario.new
        if not system.failed:
            assert leftovers(root) == []
            return
        scenario.again(root)
    raise AssertionError("the commit does not end")


def test_a_power_cut_at_each_call(
    scenario: Scenario, fresh: Callable[[], Path], scratch: Path
) -> None:
    whole = Counting()
    scenario.run(fresh(), whole)
    calls = [n for n, name in enumerate(whole.log, 1) if name in CHANGING]
    for at in [*calls, len(whole.log) + 1]:
        root = fresh()
        system = PowerCut(root, at)
        done = at > len(whole.log)
        allowed = [scenario.new] if done else [scenario.old, scenario.new]
        if "fingerprint.pb" in scenario.changes and not scenario.out and not done:
            # Between two names of files in place; a folder is exchanged whole.
            allowed += [_without_fingerprint(model) for model in tuple(allowed)]
        try:
            scenario.run(root, system)
        except PowerCutError:
            assert not done
        for disk, keep in system.outcomes():
            found = scratch / "found"
            build(disk, found, keep)
            result = scenario.result(found)
            assert result in allowed, (at, keep, system.log[-3:])
            if scenario.backup and result != scenario.old:
                undo(str(found / "model"), str(found / "backup"), sync=False)
                assert tree(found / "model") == FILES
            scenario.again(found)
            shutil.rmtree(found)
        system.close_all()


def _without_fingerprint(model: Tree | None) -> Tree:
    return {name: data for name, data in (model or {}).items() if name != "fingerprint.pb"}
