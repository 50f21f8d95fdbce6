"""saved_model.pbtxt: read, edited and written through protobuf; what it cannot carry is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm.errors import FastsmError
from fastsm.pbtxt import to_binary, to_text

from .conftest import ModelFactory
from .oracle import Oracle

SMALL = b"""# a comment
saved_model_schema_version: 1
meta_graphs { meta_info_def { tags: "serve" } }
"""


@pytest.mark.parametrize("name", ["v1_pbtxt", "v2_pbtxt"])
def test_reads_as_tensorflow_does(name: str, model: ModelFactory, oracle: Oracle) -> None:
    path = model(name)
    opened, parsed = fastsm.open(path), oracle.parse(path)
    assert opened.format == "pbtxt"
    assert [list(g.tags) for g in opened.meta_graphs] == [g["tags"] for g in parsed["meta_graphs"]]
    assert [sorted(g.signatures) for g in opened.meta_graphs] == [
        sorted(k for k in g["signatures"] if not k.startswith("__saved_model"))
        for g in parsed["meta_graphs"]
    ]


@pytest.mark.parametrize("loader", ["v2", "v1", "cc"])
def test_retagged_text_loads(loader: str, model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("v1_pbtxt")
    fastsm.retag(path, "serve", {"serve", "gpu"}, sync=False)
    assert not (path / "saved_model.pb").exists()
    assert oracle.load(path, loader, ["gpu", "serve"]).ok  # type: ignore[arg-type]


def test_text_there_and_back() -> None:
    binary = to_binary(SMALL, "x")
    assert to_binary(to_text(binary, "x"), "x") == binary


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pbtxt").write_bytes(SMALL + b"meta_graphs { nonsense: 1 }")
    with pytest.raises(fastsm.UnsupportedError, match="nonsense"):
        fastsm.open(tmp_path)


@pytest.mark.parametrize(
    "text", [b"meta_graphs {", b"\xff\xfe", b"meta_graphs { meta_info_def: 5 }"]
)
def test_what_is_no_text_format(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "saved_model.pbtxt").write_bytes(text)
    with pytest.raises(fastsm.FormatError, match=r"saved_model\.pbtxt"):
        fastsm.open(tmp_path)


def test_nesting_is_bounded(tmp_path: Path) -> None:
    deep = b"meta_graphs { object_graph_def { nodes { function { function_spec { fullargspec { "
    deep += b"list_value { values { " * 5000
    (tmp_path / "saved_model.pbtxt").write_bytes(deep)
    with pytest.raises(fastsm.FormatError):
        fastsm.open(tmp_path)


@pytest.mark.parametrize("field", ["tags", "no_such_field"])
def test_what_a_parser_quotes_is_safe_to_print(field: str) -> None:
    text = b'meta_graphs { meta_info_def { %s: \x1b[31m "serve" } }' % field.encode()
    with pytest.raises(FastsmError) as info:
        to_binary(text, "saved_model.pbtxt")
    assert "\x1b" not in str(info.value)
    assert "1:" in str(info.value)  # line and column
    with pytest.raises(FastsmError) as info:
        to_binary(b"x" * 100_000, "saved_model.pbtxt")
    assert len(str(info.value)) < 1000
