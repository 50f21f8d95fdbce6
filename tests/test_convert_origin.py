"""What `fastsm convert` takes a path for: which graph, which checkpoint, and why none."""
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import fastsm
from fastsm.edits.convert.origin import Origin, find_origin
from fastsm.pbtxt import message_class
from fastsm.source import Reader
from fastsm.views import meta_graphs

from .convertible import LINE, PREFIX, SAVER, checkpoint, graph_def, meta_graph_def, put, scalar
from .graphs import node, text
from .tables import Maker
from .test_variables import entry, header
from .wire import delimited, integer

META = meta_graph_def(*LINE, fields=SAVER)
GRAPH = graph_def(*LINE)


def model(origin: Origin) -> bytes:
    source = origin.model()
    return source.read(0, source.size)


def text_of(message: str, data: bytes) -> str:
    from google.protobuf import text_format

    return text_format.MessageToString(message_class(f"tensorflow.{message}").FromString(data))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return put(tmp_path, LINE, scalar("w"), fields=SAVER)


@pytest.mark.parametrize(
    "name", [PREFIX, f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001", f"{PREFIX}.meta", ""]
)
def test_every_name_of_a_checkpoint(prefix: Path, name: str) -> None:
    origin = find_origin(prefix.parent / name)
    assert (origin.kind, origin.is_text) == ("meta", False)
    assert origin.prefix == str(prefix) and origin.file.path == f"{prefix}.meta"
    assert origin.state is None and origin.notes == []


def test_the_file_that_names_the_newest(prefix: Path) -> None:
    checkpoint(prefix.with_name("model.ckpt-2"), scalar("w"))
    prefix.with_name("model.ckpt-2.meta").write_bytes(META)
    with pytest.raises(fastsm.AmbiguousError, match="holds 2 checkpoints"):
        find_origin(prefix.parent)
    state = prefix.parent / "checkpoint"
    state.write_text('model_checkpoint_path: "model.ckpt-2"\n')
    for path in (prefix.parent, state):
        origin = find_origin(path)
        assert origin.prefix == str(prefix) + "-2" and origin.file.path == f"{prefix}-2.meta"
        assert origin.state is not None and origin.state.path == str(state)


def test_the_current_folder(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prefix.parent)
    assert find_origin(PREFIX).prefix == PREFIX
    (prefix.parent / "checkpoint").write_text(f'model_checkpoint_path: "{PREFIX}"\n')
    for path in (".", "checkpoint"):
        assert os.path.samefile(find_origin(path).file.path, f"{PREFIX}.meta")


def test_a_graph_and_a_checkpoint_apart(prefix: Path, tmp_path: Path) -> None:
    meta = tmp_path / "graphs" / "g.meta"
    meta.parent.mkdir()
    meta.write_bytes(META)
    assert find_origin(meta).prefix is None
    assert find_origin(meta, str(prefix)).prefix == str(prefix)
    assert find_origin(meta, f"{prefix}.index").prefix == str(prefix)
    with pytest.raises(fastsm.MissingError, match="there is no checkpoint here"):
        find_origin(meta, str(tmp_path / "none"))
    with pytest.raises(fastsm.MissingError, match="With --checkpoint name the file"):
        find_origin(prefix, str(prefix))


def test_a_model_is_the_graph_with_some_bytes_before_it(prefix: Path, tmp_path: Path) -> None:
    assert model(find_origin(prefix)) == integer(1, 1) + delimited(2, META)
    frozen = tmp_path / "frozen.pb"
    frozen.write_bytes(GRAPH)
    origin = find_origin(frozen)
    assert (origin.kind, origin.prefix) == ("graph", None)
    assert model(origin) == integer(1, 1) + delimited(2, delimited(2, GRAPH))


@pytest.mark.parametrize("size", [100, 127, 128, 129, 16_383, 16_384, 1 << 21])
def test_lengths_of_all_sizes(tmp_path: Path, size: int) -> None:
    """Those around the places where a length takes a byte more."""
    frozen = tmp_path / "frozen.pb"
    rest = size - len(graph_def(node("n", "NoOp", filler=text(""))))
    for n in range(max(rest - 12, 0), rest + 4):
        frozen.write_bytes(graph_def(node("n", "NoOp", filler=text("x" * n))))
        (graph,) = meta_graphs(Reader(find_origin(frozen).model(), "m"))
        assert graph.n_nodes == 1 and len(graph.fields) == 1


def test_text_is_read_as_what_it_says(tmp_path: Path) -> None:
    for name, message, data, kind in (
        ("a.meta", "MetaGraphDef", META, "meta"), ("b.meta.txt", "MetaGraphDef", META, "meta"),
        ("c.pbtxt", "GraphDef", GRAPH, "graph"), ("d.pb", "GraphDef", GRAPH, "graph"),
        ("e.pbtxt", "MetaGraphDef", META, "meta"),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_text("# a comment\n\n" + text_of(message, data))
        origin = find_origin(path)
        assert (origin.kind, origin.is_text) == (kind, True), name
        read = origin.source.read(0, origin.source.size)
        binary = message_class(f"tensorflow.{message}")
        assert binary.FromString(read) == binary.FromString(data)


def test_a_text_beside_the_checkpoint(prefix: Path) -> None:
    os.rename(f"{prefix}.meta", f"{prefix}.old")
    Path(f"{prefix}.meta.txt").write_text(text_of("MetaGraphDef", META))
    assert find_origin(prefix).file.path == f"{prefix}.meta.txt"


def test_a_graph_is_told_by_its_bytes(tmp_path: Path) -> None:
    for name, data, kind in (("m.pb", META, "meta"), ("g.bin", GRAPH, "graph")):
        (tmp_path / name).write_bytes(data)
        assert find_origin(tmp_path / name).kind == kind


# -- what is none ----------------------------------------------------------------------


def refusal(path: str | Path, checkpoint: str | None = None) -> fastsm.FastsmError:
    with pytest.raises(fastsm.FastsmError) as caught:
        find_origin(path, checkpoint)
    return caught.value


def test_nothing_there(tmp_path: Path) -> None:
    for name in ("none", "none.meta", "none.pb"):
        error = refusal(tmp_path / name)
        assert isinstance(error, fastsm.MissingError) and "there is nothing here" in str(error)
    assert isinstance(refusal(""), fastsm.UsageError)
    assert isinstance(refusal("gs://bucket/model.ckpt"), fastsm.UnsupportedError)
    assert "no checkpoint and no graph" in str(refusal(tmp_path))


def test_a_folder_with_graphs_alone_names_them(tmp_path: Path) -> None:
    (tmp_path / "frozen.pb").write_bytes(GRAPH)
    error = refusal(tmp_path)
    assert "frozen.pb" in str(error) and f"fastsm convert {tmp_path}/frozen.pb" in str(error)
    (tmp_path / "train.meta").write_bytes(META)
    assert "train.meta --checkpoint PREFIX" in str(refusal(tmp_path))


def test_a_checkpoint_without_a_graph(prefix: Path) -> None:
    os.remove(f"{prefix}.meta")
    error = refusal(prefix)
    assert isinstance(error, fastsm.MissingError) and f"{prefix}.meta is not there" in str(error)
    (prefix.parent / "graph.pbtxt").write_text(text_of("GraphDef", GRAPH))
    words = str(refusal(prefix))
    assert f"--checkpoint {prefix}" in words and "graph.pbtxt" in words


def test_a_checkpoint_of_objects_has_its_graph_in_the_code(tmp_path: Path) -> None:
    key = b"_CHECKPOINTABLE_OBJECT_GRAPH"
    rows = [(b"", header()), (key, entry(7, (), 5))]
    (tmp_path / "ckpt-1.index").write_bytes(Maker([rows]).write())
    error = refusal(tmp_path / "ckpt-1")
    assert isinstance(error, fastsm.RefusedError) and "in the Python code alone" in str(error)
    assert "model.export(DIR)" in str(error)


def test_the_v1_format(tmp_path: Path) -> None:
    table = Maker([[(b"", b"")]]).write()
    (tmp_path / "old").write_bytes(table)
    (tmp_path / "old.meta").write_bytes(META)
    for path, given in ((tmp_path / "old", None), (tmp_path / "old.meta", None),
                        (tmp_path / "old.meta", str(tmp_path / "old"))):  # fmt: skip
        error = refusal(path, given)
        assert isinstance(error, fastsm.UnsupportedError) and "(V1)" in str(error)
        assert "import_meta_graph" in str(error) and "-v2" in str(error)


def test_a_savedmodel(tmp_path: Path) -> None:
    data = integer(1, 1) + delimited(2, META)
    (tmp_path / "saved_model.pb").write_bytes(data)
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        assert f"fastsm show {path}" in str(refusal(path))
    (tmp_path / "other.pb").write_bytes(data)
    assert "is a SavedModel already" in str(refusal(tmp_path / "other.pb"))
    (tmp_path / "other.pbtxt").write_text(text_of("SavedModel", data))
    assert "Rename it to saved_model.pbtxt" in str(refusal(tmp_path / "other.pbtxt"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x00" * 99, ""),
        (META[:-9], "byte "),
        (meta_graph_def(), "no nodes"),
        (delimited(1, b""), "no nodes"),
    ],
)
def test_what_is_no_graph(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "g.meta").write_bytes(data)
    error = refusal(tmp_path / "g.meta")
    assert isinstance(error, fastsm.FormatError) and re.search(words, str(error)), str(error)


def test_the_byte_of_a_fault_is_that_of_the_file(tmp_path: Path) -> None:
    broken = META.replace(b"\x12\x03Mul", b"\x12\x7fMul")
    assert broken != META
    (tmp_path / "g.meta").write_bytes(broken)
    error = refusal(tmp_path / "g.meta")
    assert error.offset is not None and abs(error.offset - broken.index(b"\x7fMul")) < 3
    assert error.path == str(tmp_path / "g.meta")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "g.meta")
    assert isinstance(refusal(tmp_path / "g.meta"), (fastsm.FormatError, fastsm.MissingError))
