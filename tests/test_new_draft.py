"""Drafts of models that are not there yet: of a graph's bytes and a checkpoint elsewhere.

A model taken apart, its graph as bytes, its variables as a checkpoint of another name, and put
together again has to be the model; and an edit of what is put together, the edited model.
"""
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import fastsm
from fastsm.commit import commit
from fastsm.edits.assets import rename_asset
from fastsm.edits.draft import Draft
from fastsm.edits.signatures import rename_signature
from fastsm.edits.strip.model import strip
from fastsm.edits.strip.request import Request
from fastsm.edits.tags import retag
from fastsm.errors import (
    FastsmError,
    FormatError,
    InternalError,
    MissingError,
    UnsupportedError,
)
from fastsm.source import File, from_bytes
from fastsm.verbs.transaction import check_of

from .conftest import ModelFactory
from .edits import tree
from .models import MODELS
from .tables import Maker, read_table
from .wire import integer

STEM = "variables/variables"

#: Of text; of nothing; with a second form beside it, which no strip would follow.
OTHERS = {"v1_pbtxt", "v2_pbtxt", "no_meta_graphs", "stray_cpb"}


def without_fingerprint(path: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(path).items() if name != "fingerprint.pb"}


def apart(model: Path, folder: Path) -> Draft:
    """A draft of a model's graph and variables, which lie in a folder under other names."""
    graph = folder / "model.meta"
    shutil.copy(model / "saved_model.pb", graph)
    prefix = None
    if (model / f"{STEM}.index").exists():
        prefix = folder / "model.ckpt-7"
        for file in (model / "variables").glob("variables.*"):
            shutil.copy(file, f"{prefix}{file.name.removeprefix('variables')}")
    draft = Draft.new(str(graph), File(str(graph)).source(), prefix=prefix and str(prefix))
    for name in without_fingerprint(model):
        if name != "saved_model.pb" and not name.startswith(STEM):
            draft.write(name, File(str(model / name)).source())
    return draft


def put_together(draft: Draft, out: Path) -> dict[str, bytes]:
    commit(draft.finish(), out=str(out), check=check_of(draft), sync=False)
    return tree(out)


def request(path: str) -> Request:
    return Request(
        path, level="serving", keep_signatures=(), drop_signatures=(), keep_objects=(),
        drop_objects=(), keep_save=False, strip_debug=False, tags=None, drop_tags=(),
        inference_only=False, no_gradients=False,
    )  # fmt: skip


@pytest.fixture
def train(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    return tmp_path / "train"


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OTHERS])
def test_a_strip_is_the_strip_of_the_model(name: str, model: ModelFactory, train: Path) -> None:
    path = model(name)
    draft = apart(path, train)
    try:
        fastsm.strip_training_graph(path, out=train / "edited", sync=False)
    except FastsmError as refused:
        with pytest.raises(type(refused)) as again:
            strip(draft, request(str(path)))
        assert again.value.problem == refused.problem
        return
    strip(draft, request(str(path)))
    assert put_together(draft, train / "new") == without_fingerprint(train / "edited")


@pytest.mark.parametrize("name", ["v1_shards", "tables_and_tags", "asset_field", "no_variables"])
def test_without_an_edit_it_is_the_model(name: str, model: ModelFactory, train: Path) -> None:
    draft = apart(model(name), train)
    assert draft.changed and draft.plan.new
    assert put_together(draft, train / "1") == without_fingerprint(model(name))


def test_edits_compose(model: ModelFactory, train: Path) -> None:
    path = model("asset_field")
    with fastsm.edit(path, out=train / "edited") as e:
        e.retag("serve", "gpu")
        e.rename_signature("serving_default", "words")
        e.rename_asset("words.txt", "words/en.txt")
    draft = apart(path, train)
    retag(draft, "serve", "gpu")
    rename_signature(draft, "serving_default", "words")
    rename_asset(draft, "words.txt", "words/en.txt")
    assert put_together(draft, train / "new") == without_fingerprint(train / "edited")


def test_what_it_is_made_of(model: ModelFactory, train: Path) -> None:
    """Every file is looked at again, be it one whose bytes lie in no file of the model."""
    draft = apart(model("v1_shards"), train)
    draft.plan.take(text := File(__file__))
    found = {os.path.basename(file.path) for file in draft.finish().sources}
    shards = {p.name for p in train.iterdir()}
    assert found == shards | {os.path.basename(text.path)}
    assert len(shards) > 3


def test_a_checkpoint_that_is_called_variables(model: ModelFactory, train: Path) -> None:
    """Its files have the names that they get, and are new all the same."""
    path = model("v1_shards")
    graph = path / "saved_model.pb"
    draft = Draft.new("graph", File(str(graph)).source(), prefix=str(path / STEM))
    plan = draft.finish()
    assert not plan.reads
    assert {c.name for c in plan.changes()} == without_fingerprint(path).keys()
    assert put_together(draft, train / "1") == without_fingerprint(path)


def test_strays_of_the_checkpoint_stay_behind(model: ModelFactory, train: Path) -> None:
    draft = apart(model("v1_shards"), train)
    (train / "model.ckpt-7.data-00000-of-00009").write_bytes(b"of another save")
    assert put_together(draft, train / "1") == without_fingerprint(model("v1_shards"))


def test_the_index_is_read_back(model: ModelFactory, train: Path) -> None:
    draft = apart(model("v1_trained"), train)
    strip(draft, request("x"))
    draft.finish()
    index, check = f"{STEM}.index", check_of(draft)
    assert draft.variables is not None
    check(index, draft.variables.index)
    with pytest.raises(InternalError, match="the new index is not sound"):
        check(index, File(str(train / "model.ckpt-7.index")).source())  # of longer shards
    with pytest.raises(InternalError, match="does not read as planned"):
        check("saved_model.pb", from_bytes(b""))


# --- checkpoints that will not do ----------------------------------------------------------


def checkpoint(model: ModelFactory, folder: Path) -> Path:
    for file in (model("v1_shards") / "variables").glob("variables.*"):
        shutil.copy(file, folder / f"ckpt{file.name.removeprefix('variables')}")
    return folder / "ckpt"


def test_a_checkpoint_that_is_not_there(train: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.index: there is nothing here"):
        Draft.new("x", from_bytes(b""), prefix=str(train / "none"))


def test_a_checkpoint_that_has_lost_a_shard(model: ModelFactory, train: Path) -> None:
    prefix = checkpoint(model, train)
    shards = sorted(train.glob("ckpt.data-*"))
    shards[-1].unlink()
    with pytest.raises(MissingError, match=rf"{shards[-1].name}: there is nothing here; .*found"):
        Draft.new("x", from_bytes(b""), prefix=str(prefix))


def test_a_checkpoint_whose_shard_is_cut_short(model: ModelFactory, train: Path) -> None:
    prefix = checkpoint(model, train)
    shard = max(train.glob("ckpt.data-*"))
    with open(shard, "r+b") as file:
        file.truncate(shard.stat().st_size - 1)
    draft = Draft.new("x", from_bytes(b""), prefix=str(prefix))
    with pytest.raises(FormatError, match="its bytes end at"):
        draft.finish()


def test_a_damaged_index(model: ModelFactory, train: Path) -> None:
    prefix = checkpoint(model, train)
    index = train / "ckpt.index"
    data = index.read_bytes()
    index.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    with pytest.raises(FormatError):
        Draft.new("x", from_bytes(b""), prefix=str(prefix))


def test_a_checkpoint_of_another_byte_order(model: ModelFactory, train: Path) -> None:
    prefix = checkpoint(model, train)
    index = train / "ckpt.index"
    [(key, header), *others], *blocks = read_table(index.read_bytes())
    assert key == b""
    big_endian = header + integer(2, 1)  # BundleHeaderProto.endianness
    index.write_bytes(Maker([[(key, big_endian), *others], *blocks]).write())
    with pytest.raises(UnsupportedError, match="big-endian"):
        Draft.new("x", from_bytes(b""), prefix=str(prefix))
