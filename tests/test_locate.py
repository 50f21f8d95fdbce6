"""What lies at a path: the model, or what else it is and what to do about it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import fastsm
from fastsm.locate import entries, locate

RANKER = Path(__file__).resolve().parents[1] / "examples" / "ranker" / "1"


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RANKER, tmp_path / "ranker"))


def wrong(path: Path | str, kind: type[fastsm.FastsmError]) -> str:
    with pytest.raises(kind) as caught:
        fastsm.open(path)
    return str(caught.value)


@pytest.mark.parametrize("inside", ["", "saved_model.pb"])
def test_folder_or_the_file_in_it(ranker: Path, inside: str) -> None:
    located = locate(ranker / inside)
    assert (located.format, located.name) == ("pb", "saved_model.pb")
    assert located.file.identity.size == os.path.getsize(ranker / "saved_model.pb")


def test_relative_file_in_the_current_folder(ranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ranker)
    assert fastsm.open("saved_model.pb").tag_sets == [{"serve"}]
    assert fastsm.open(".").tag_sets == [{"serve"}]


def test_pb_wins_over_pbtxt(ranker: Path) -> None:
    (ranker / "saved_model.pbtxt").write_text("nonsense")
    assert fastsm.open(ranker).format == "pb"


def test_nothing_there_offers_a_near_name(ranker: Path) -> None:
    text = wrong(ranker.parent / "rankr", fastsm.MissingError)
    assert "there is nothing here" in text and "Did you mean" in text and "ranker?" in text


def test_a_folder_too_high(ranker: Path, tmp_path: Path) -> None:
    for version in ("1", "3", "12"):
        shutil.copytree(ranker, tmp_path / "served" / version)
    text = wrong(tmp_path / "served", fastsm.FormatError)
    assert "no saved_model.pb here; versions 1, 3, 12 lie below. Try: fastsm show" in text
    assert text.endswith("served/12")


def test_a_single_model_below(ranker: Path) -> None:
    assert "model ranker lies below" in wrong(ranker.parent, fastsm.FormatError)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "no saved_model.pb or saved_model.pbtxt here" in wrong(tmp_path, fastsm.FormatError)


def test_a_graph_without_its_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "ckpt-1.meta").write_bytes(b"")
    assert "There is a graph here (.meta)" in wrong(tmp_path, fastsm.FormatError)


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip", "m.tgz"])
def test_archives(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert "is an archive: extract it first" in wrong(tmp_path / name, fastsm.UnsupportedError)


@pytest.mark.parametrize("url", ["gs://bucket/model", "s3://b/m", "https://host/m"])
def test_urls(url: str) -> None:
    scheme = url.partition(":")[0]
    assert wrong(url, fastsm.UnsupportedError) == (
        f"{scheme}:// paths are not read yet: copy the model here"
    )


def test_chunks_alone(tmp_path: Path) -> None:
    (tmp_path / "saved_model.cpb").write_bytes(b"x")
    assert "model in chunks (.cpb)" in wrong(tmp_path, fastsm.UnsupportedError)
    assert "model in chunks" in wrong(tmp_path / "saved_model.cpb", fastsm.UnsupportedError)


#: What else is found under the name saved_model.pb, and what is said of it.
OTHERS = {
    b"": "is empty (0 bytes)",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n": "Run: git lfs pull",
    b"item {\n  id: 1\n  name: 'cat'\n}\n": "is a label map in text format",
    b"saved_model_schema_version: 1\nmeta_graphs {\n}\n": "Rename it to saved_model.pbtxt.",
    b"hello\n": "is text, not a SavedModel",
    b"\x89HDF\r\n\x1a\n" + bytes(8): "is an HDF5 file",
    b"PK\x03\x04" + bytes(9): "is a zip archive",
    b"\x1f\x8b\x08" + bytes(9): "is gzip-compressed",
    b"<!DOCTYPE html><html>": "is a web page",
    b"\x1c\x00\x00\x00TFL3" + bytes(9): "is a TFLite model",
    # GraphDef { node { name: "x" op: "Placeholder" } versions { producer: 1 } }
    b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder\x22\x02\x08\x01": (
        "is a GraphDef (frozen graph), not a SavedModel: 1 node, no meta graph."
    ),
}


@pytest.mark.parametrize("data", OTHERS, ids=lambda d: repr(d[:8]))
def test_other_files_under_the_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(data)
    text = wrong(tmp_path, fastsm.FormatError)
    assert OTHERS[data] in text and "saved_model.pb" in text


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.7, 0.99])
def test_truncated_names_the_field_and_the_bytes(ranker: Path, keep: float) -> None:
    file = ranker / "saved_model.pb"
    whole = file.read_bytes()
    n = int(len(whole) * keep)
    file.write_bytes(whole[:n])
    text = wrong(ranker, fastsm.FormatError)
    assert f"ends at byte {n:,}; meta_graphs[0]" in text
    assert "Partial download?" in text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x12", "needs 1 bytes where 0 are left (byte 1)"),
        (b"\x12\x05\x0a", "meta_graphs[0]"),
        (b"\x13\x12\x7f", "needs 127 bytes where 0 are left (byte 1)"),  # in a group
        (b"\x0f", "of a wire type that protobuf has not (byte 0)"),
        (b"\x00\x01", "holds no protobuf field here (byte 0)"),
        (b"\x0c", "a group that does not begin or end (byte 0)"),
        (b"\x08" + b"\xff" * 11, "a number of more than ten bytes (byte 1)"),
    ],
)
def test_broken_wire_says_where(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "saved_model.pb").write_bytes(data)
    assert text in wrong(tmp_path, fastsm.FormatError)


def test_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "saved_model.pb")
    assert "not a regular file" in wrong(tmp_path, fastsm.FormatError)


def test_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").symlink_to("nowhere")
    assert "cannot be read: No such file" in wrong(tmp_path, fastsm.FormatError)


def test_an_empty_path() -> None:
    assert "the path is empty" in wrong("", fastsm.UsageError)


def test_a_path_with_a_null_byte() -> None:
    wrong("a\0b", fastsm.FastsmError)


def test_entries_count_links_and_never_follow_them(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "a").write_bytes(b"x" * 10)
    (tmp_path / "variables" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").write_bytes(b"yy")
    found = {e.name: (e.bytes, e.files) for e in entries(str(tmp_path))}
    assert found["b"] == (2, 1)
    assert found["variables/"][1] == 2
