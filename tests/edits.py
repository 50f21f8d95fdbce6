"""A model whose bytes do not matter, and edits of it, for the tests of the commit."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastsm.plan import Deferred, Plan, Rewrite
from fastsm.source import File, Source, from_bytes, joined

OLD = b"an old graph, and then " + b"." * 500
NEW = b"a new graph, and then " + b"." * 500


def make_model(folder: Path) -> Path:
    """The files of a model; their bytes do not matter here."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(OLD)
    (folder / "fingerprint.pb").write_bytes(b"old fingerprint")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"data" * 100)
    (folder / "assets" / "vocab.txt").write_bytes(b"a b c")
    return folder


def read(plan: Plan, name: str) -> Source:
    file = File(os.path.join(plan.folder, name))
    plan.read(name, file)
    return file.source()


def retag(path: Path, *, fingerprint: bytes | None = b"new fingerprint") -> Plan:
    """A plan as retag makes it: a few bytes of one file, and the fingerprint's."""
    plan = Plan(str(path), verb="retag", arguments={"old": ["serve"], "new": ["gpu"]})
    rewrite = Rewrite(read(plan, "saved_model.pb"))
    rewrite.replace(0, 6, b"a new")
    plan.write("saved_model.pb", rewrite.source())
    if (path / "fingerprint.pb").exists():
        read(plan, "fingerprint.pb")
        plan.write("fingerprint.pb", Deferred(lambda _: (fingerprint, None)))
    return plan


def move(path: Path) -> Plan:
    """A plan that touches several files: one changes its name, and the graph names it."""
    plan = retag(path)
    plan.write("assets/words.txt", read(plan, "assets/vocab.txt"))
    plan.remove("assets/vocab.txt")
    return plan


#: What a new model is made of, and what comes of it.
SOURCES = {
    "model.meta": b"a graph" * 80,
    "model.index": b"an index",
    "model.data-00000-of-00001": b"data" * 99,
    "vocab.txt": b"some words",
}
MADE = {
    "saved_model.pb": b"head" + SOURCES["model.meta"],
    "variables/variables.index": SOURCES["model.index"],
    "variables/variables.data-00000-of-00001": SOURCES["model.data-00000-of-00001"],
    "assets/words.txt": SOURCES["vocab.txt"],
}


def make_sources(folder: Path) -> Path:
    """The files that a new model is made of; their bytes do not matter here."""
    folder.mkdir(parents=True)
    for name, data in SOURCES.items():
        (folder / name).write_bytes(data)
    (folder / "words.txt").symlink_to("vocab.txt")
    return folder


def make_new(folder: Path) -> Plan:
    """A plan of a new model: new bytes before one file, others as they are."""
    names = ("model.meta", "model.index", "model.data-00000-of-00001", "words.txt")
    sources = [File(str(folder / name)).source() for name in names]
    head = from_bytes(b"head")
    sources[0] = joined([(head, 0, head.size), (sources[0], 0, sources[0].size)])
    plan = Plan(str(folder / "model"), verb="convert", arguments={"tags": ["serve"]}, new=True)
    for name, source in zip(MADE, sources, strict=True):
        plan.write(name, source)
    return plan


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def stats(path: Path) -> dict[Path, os.stat_result]:
    """Everything that an edit could disturb, access times apart."""
    return {
        p: os.stat_result(st[:7] + (0,) + st[8:])
        for p in [path.parent, path, *path.rglob("*")]
        for st in [p.lstat()]
    }


RETAGGED = {"saved_model.pb": NEW, "fingerprint.pb": b"new fingerprint"}


def moved(before: dict[str, bytes]) -> dict[str, bytes]:
    after = {**before, **RETAGGED, "assets/words.txt": b"a b c"}
    del after["assets/vocab.txt"]
    return after


def set_attribute(path: Path) -> None:
    try:
        os.setxattr(path, "user.origin", b"the lab")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
