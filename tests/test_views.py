"""What views say against what TensorFlow's own protos say, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm import dtypes
from fastsm.errors import FormatError
from fastsm.source import Reader, from_bytes
from fastsm.views import MAX_ASSETS, MAX_SIGNATURES, MetaGraph, Saver, Signature, TensorInfo

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle, TensorFlowFailed
from .wire import delimited, entry, integer, nested, tag, varint

Json = dict[str, Any]

# -- the same words as the oracle's ------------------------------------------------


def told(graph: MetaGraph) -> Json:
    """A meta graph as `oracle.reading` tells it, as far as views tell it at all."""
    return {
        "tags": list(graph.tags),
        "tensorflow_version": graph.tensorflow_version,
        "tensorflow_git_version": graph.tensorflow_git_version,
        "n_nodes": graph.n_nodes,
        "n_functions": graph.n_functions,
        "n_function_nodes": graph.n_function_nodes,
        "functions": sorted(graph.functions()),
        "ops": graph.ops(),
        "n_objects": graph.n_objects if graph.object_spans else None,
        "signatures": {k: signature_told(s) for k, s in sorted(graph.signature_defs.items())},
        "init_op": graph.init_op.name if graph.init_op else None,
        "saver": saver_told(graph.saver) if graph.saver else None,
        "collections": sorted(graph.collections),
        "assets": [[a.tensor, a.filename] for a in graph.assets],
    }


def signature_told(signature: Signature) -> Json:
    return {
        "method_name": signature.method_name,
        "inputs": {k: tensor_told(t) for k, t in sorted(signature.inputs.items())},
        "outputs": {k: tensor_told(t) for k, t in sorted(signature.outputs.items())},
        "defaults": sorted(signature.defaults),
    }


def tensor_told(info: TensorInfo) -> Json:
    row: Json = {
        "encoding": info.encoding or None,
        "dtype": dtypes.enum_name(info.dtype_number) or str(info.dtype_number),
        "shape": None if info.shape is None else list(info.shape),
        "names": names_of(info),
    }
    if info.encoding == "composite_tensor":
        row["type_spec"] = info.type_spec or ""
        row["components"] = [tensor_told(c) for c in info.components]
    return row


def names_of(info: TensorInfo) -> list[str | None]:
    if info.encoding == "composite_tensor":
        return [n for c in info.components for n in names_of(c)]
    sparse = [info.name, info.indices, info.dense_shape]
    return {"name": [info.name], "coo_sparse": sparse}.get(info.encoding, [])


def saver_told(saver: Saver) -> Json:
    return {
        "filename_tensor_name": saver.filename_tensor,
        "save_tensor_name": saver.save_tensor,
        "restore_op_name": saver.restore_op,
        "sharded": saver.sharded,
        "version": saver.version.upper(),
    }


def expected(graph: Json) -> Json:
    """The oracle's words, without what views do not tell."""
    saver = graph["saver"]
    if saver:
        saver = {k: v for k, v in saver.items() if k != "max_to_keep"}
    init_op = graph["init_op"]
    found = {
        "saver": saver,
        "collections": sorted(graph["collections"]),
        # Of a collection with two, which every loader refuses, the first.
        "init_op": init_op and init_op.split(",")[0],
    }
    names = told(MetaGraph(*_nothing()))
    return {name: found.get(name, graph[name]) for name in names}


def _nothing() -> Any:
    reader = Reader(from_bytes(delimited(2)), "")
    return reader, 0, reader.fields([(0, 2)], "")[0]


def agree(oracle: Oracle, path: Path) -> list[MetaGraph]:
    graphs = fastsm.open(path).meta_graphs
    theirs = oracle.parse(path)["meta_graphs"]
    assert [told(g) for g in graphs] == [expected(g) for g in theirs]
    return graphs


# -- models ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in MODELS if n != "no_meta_graphs"])
def test_models(name: str, model: ModelFactory, oracle: Oracle) -> None:
    agree(oracle, model(name))


def test_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    try:
        oracle.parse(corpus_model.path)
    except TensorFlowFailed:
        with pytest.raises(FormatError):
            fastsm.open(corpus_model.path)
    else:
        agree(oracle, corpus_model.path)


# -- meta graphs made by hand ------------------------------------------------------


def written(folder: Path, *meta_graphs: bytes) -> Path:
    data = b"".join(delimited(2, m) for m in meta_graphs)
    (folder / "saved_model.pb").write_bytes(data)
    return folder


def graph_of(folder: Path, meta_graph: bytes) -> MetaGraph:
    return fastsm.open(written(folder, meta_graph)).meta_graphs[0]


def signature(*fields: bytes) -> bytes:
    return entry(5, "serve", *fields)


def info(*fields: bytes) -> bytes:
    """A signature with one input of these fields."""
    return signature(entry(1, "x", *fields))


def shape(*sizes: int) -> bytes:
    return b"".join(delimited(2, integer(1, n)) for n in sizes)


SPARSE = delimited(1, "values:0") + delimited(2, "indices:0") + delimited(3, "shape:0")
COMPONENTS = delimited(2, delimited(1, "a:0"), integer(2, 1)) + delimited(2, delimited(1, "b:0"))
RAGGED = delimited(1, integer(1, 3), delimited(3, "RaggedTensorSpec"))
ANY = "type.googleapis.com/tensorflow.AssetFileDef"
ASSET = delimited(1, delimited(1, "path:0")) + delimited(2, "words.txt")


def asset_collection(*values: bytes) -> bytes:
    return entry(4, "saved_model_assets", delimited(5, *[delimited(1, v) for v in values]))


def any_of(url: str, value: bytes = ASSET) -> bytes:
    return delimited(1, url) + delimited(2, value)


#: What each is there for -> the fields of a MetaGraphDef.
ODD = {
    "nothing": b"",
    # meta info
    "tags that repeat": delimited(1, delimited(4, "b"), delimited(4, "a"), delimited(4, "b")),
    "a tag of nothing": delimited(1, delimited(4)),
    "info in two parts": delimited(1, delimited(4, "a"), delimited(5, "1"))
    + delimited(3)
    + delimited(1, delimited(5, "2.21.0"), delimited(4, "b")),
    "info with fields it does not know": delimited(
        1, tag(99, 3), delimited(4, "in a group"), tag(99, 4), integer(4, 7), delimited(4, "a")
    ),
    "varints wider than needed": tag(1, 2, 3) + varint(6, 2) + tag(4, 2, 2) + varint(3, 1) + b"abc",
    # signatures
    "a signature without a key": delimited(5, delimited(2, delimited(3, "m"))),
    "a signature without a value": delimited(5, delimited(1, "k")),
    "a key behind its value": delimited(5, delimited(2, delimited(3, "m")), delimited(1, "k")),
    "a key twice in an entry": delimited(5, delimited(1, "a"), delimited(1, "b")),
    "a value twice in an entry": delimited(
        5, delimited(1, "a"), delimited(2, entry(1, "x")), delimited(2, entry(1, "y"))
    ),
    "equal keys": signature(entry(1, "x"), delimited(3, "one")) + signature(delimited(3, "two")),
    "a method twice": signature(delimited(3, "one"), delimited(3, "two")),
    "defaults": signature(entry(1, "x"), entry(4, "x", integer(1, 1)), entry(4, "a")),
    "reserved keys": entry(5, "__saved_model_init_op", entry(2, "__saved_model_init_op"))
    + entry(5, "__saved_model_train_op"),
    # tensors
    "a name": info(delimited(1, "x:0"), integer(2, 1), delimited(3, shape(-1, 3))),
    "an empty name": info(delimited(1)),
    "a sparse tensor": info(delimited(4, SPARSE), integer(2, 9)),
    "a sparse tensor in two parts": info(delimited(4, SPARSE), delimited(4, delimited(2, "i:0"))),
    "a composite tensor": info(delimited(5, RAGGED, COMPONENTS)),
    "a composite tensor in two parts": info(
        delimited(5, COMPONENTS), delimited(5, RAGGED, COMPONENTS)
    ),
    "a composite of composites": info(delimited(5, delimited(2, delimited(5, RAGGED, COMPONENTS)))),
    "a name, then sparse": info(delimited(1, "x:0"), delimited(4, delimited(1, "v:0"))),
    "sparse, a name, sparse": info(
        delimited(4, SPARSE), delimited(1, "x:0"), delimited(4, delimited(1, "v:0"))
    ),
    "no encoding": info(integer(2, 1)),
    "a dtype too wide": info(integer(2, (1 << 32) + 1)),
    "a dtype that no TensorFlow has": info(integer(2, 77)),
    "a reference": info(integer(2, 101)),
    "a dtype twice": info(integer(2, 1), integer(2, 9)),
    "a scalar's shape": info(delimited(3)),
    "an unknown rank": info(delimited(3, integer(3, 1))),
    "a rank that is known after all": info(delimited(3, integer(3, 1), integer(3, 0))),
    "a shape in two parts": info(delimited(3, shape(1)), delimited(3, shape(2))),
    "dimensions without a size": info(delimited(3, delimited(2), delimited(2, delimited(2, "n")))),
    "a size twice": info(delimited(3, delimited(2, integer(1, 1), integer(1, 2)))),
    "a large size": info(delimited(3, shape((1 << 63) - 1))),
    # assets
    "assets in the field": delimited(6, ASSET)
    + delimited(6, ASSET)
    + asset_collection(any_of(ANY)),
    "assets in the collection": asset_collection(any_of(ANY), any_of("/tensorflow.AssetFileDef")),
    "an asset of nothing": delimited(6),
    "an asset in the collection, of nothing": asset_collection(delimited(1, ANY)),
    # init op and saver
    "an init op": entry(4, "saved_model_main_op", delimited(1, delimited(1, "init"))),
    "an old init op": entry(4, "legacy_init_op", delimited(1, delimited(1, "old"))),
    "both": entry(4, "legacy_init_op", delimited(1, delimited(1, "old")))
    + entry(4, "saved_model_main_op", delimited(1, delimited(1, "main"))),
    "an init op in the signature": entry(
        4, "saved_model_main_op", delimited(1, delimited(1, "main"))
    )
    + entry(5, "__saved_model_init_op", entry(2, "__saved_model_init_op", delimited(1, "sig"))),
    "a saver": delimited(
        3, delimited(1, "f:0"), delimited(2, "s:0"), delimited(3, "r"), integer(5, 1), integer(7, 2)
    ),
    "a saver in two parts": delimited(3, delimited(1, "f:0"), integer(7, 1))
    + delimited(3, delimited(3, "r")),
    "a saver of defaults": delimited(3),
    # graph and objects
    "a graph in two parts": delimited(2, delimited(1, delimited(2, "Add")))
    + delimited(
        2,
        delimited(
            2, delimited(1, delimited(1, delimited(1, "f")), delimited(3, delimited(2, "Mul")))
        ),
    ),
    "objects in two parts": delimited(7, delimited(1)) + delimited(7, delimited(1), delimited(1)),
    "objects of nothing": delimited(7),
}


@pytest.mark.parametrize("what", ODD)
def test_odd(what: str, oracle: Oracle, tmp_path: Path) -> None:
    agree(oracle, written(tmp_path, ODD[what]))


def test_meta_graphs_are_not_merged(oracle: Oracle, tmp_path: Path) -> None:
    one, two = (delimited(1, delimited(4, t)) for t in ("a", "b"))
    assert len(agree(oracle, written(tmp_path, one, two, b"", one))) == 4


# -- what they look like -----------------------------------------------------------


def tensor(folder: Path, *fields: bytes) -> TensorInfo:
    return graph_of(folder, info(*fields)).signatures["serve"].inputs["x"]


def test_a_tensor_in_words(tmp_path: Path) -> None:
    dense = tensor(tmp_path, delimited(1, "x:0"), integer(2, 1), delimited(3, shape(-1, 3)))
    assert repr(dense) == "TensorInfo(name='x:0', dtype='float32', shape=(None, 3))"
    assert dense.spec() == "float32[?, 3]"
    assert dense.to_dict() == {"name": "x:0", "dtype": "float32", "shape": [None, 3]}
    assert tensor(tmp_path, delimited(3, integer(3, 1))).spec() == "invalid[...]"


def test_a_sparse_tensor_in_words(tmp_path: Path) -> None:
    sparse = tensor(tmp_path, delimited(4, SPARSE), integer(2, 9), delimited(3, shape(5)))
    assert sparse.spec() == "sparse int64[5]"
    assert sparse.to_dict() == {
        "name": "values:0", "dtype": "int64", "shape": [5], "encoding": "coo_sparse",
        "indices": "indices:0", "dense_shape": "shape:0",
    }  # fmt: skip


def test_a_composite_tensor_in_words(tmp_path: Path) -> None:
    ragged = tensor(tmp_path, delimited(5, RAGGED, COMPONENTS))
    assert ragged.spec() == "RaggedTensorSpec(float32[], invalid[])"
    assert [c["name"] for c in ragged.to_dict()["components"]] == ["a:0", "b:0"]
    assert "components=(TensorInfo(name='a:0'" in repr(ragged)


@pytest.mark.parametrize(
    ("number", "name"), [(1, "SparseTensorSpec"), (13, "ExtensionTypeSpec"), (99, "type spec 99")]
)
def test_a_type_spec_without_a_name(number: int, name: str, tmp_path: Path) -> None:
    composite = tensor(tmp_path, delimited(5, delimited(1, integer(1, number)), COMPONENTS))
    assert composite.type_spec == name


def test_reserved_keys_are_no_signatures(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, ODD["reserved keys"] + signature(entry(1, "x")))
    assert list(graph.signatures) == ["serve"]
    assert len(graph.signature_defs) == 3
    assert graph.init_op is not None and graph.init_op.source == "signature"


def test_order_of_the_file_is_kept_and_no_part_of_equality(tmp_path: Path) -> None:
    a, b = entry(1, "a"), entry(1, "b")
    one = graph_of(tmp_path, signature(a, b)).signatures["serve"]
    two = graph_of(tmp_path, signature(b, a)).signatures["serve"]
    assert (list(one.inputs), list(two.inputs)) == (["a", "b"], ["b", "a"])
    assert one == two and hash(one) == hash(two)
    assert one != graph_of(tmp_path, signature(a)).signatures["serve"]


def test_the_last_of_equal_keys_takes_the_place_of_the_first(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, signature(*[entry(1, k) for k in ("b", "a", "b")]))
    assert list(graph.signatures["serve"].inputs) == ["b", "a"]


def test_root_children(tmp_path: Path) -> None:
    child = delimited(1, integer(1, 1), delimited(2, "child"))
    graph = graph_of(tmp_path, delimited(7, delimited(1, child, delimited(1)), delimited(1, child)))
    assert graph.root_children == ("child", "")
    assert graph_of(tmp_path, b"").root_children == ()


def test_saver_versions(tmp_path: Path) -> None:
    for number, name in [(0, "legacy"), (1, "V1"), (2, "V2"), (5, "5")]:
        saver = graph_of(tmp_path, delimited(3, integer(7, number))).saver
        assert saver is not None and saver.version == name


# -- what is refused ---------------------------------------------------------------


def refusal(folder: Path, meta_graph: bytes, attribute: str) -> FormatError:
    graph = graph_of(folder, meta_graph)
    with pytest.raises(FormatError) as raised:
        getattr(graph, attribute)
    return raised.value


@pytest.mark.parametrize(
    ("meta_graph", "attribute", "offset", "place"),
    [
        (delimited(1, delimited(4, b"a\xff")), "tags", 7, "meta_graphs[0].meta_info_def.tags"),
        (
            delimited(1, delimited(5, b"\xff")),
            "tensorflow_version",
            6,
            "meta_graphs[0].meta_info_def",
        ),
        (delimited(5, delimited(1, b"\x80")), "signatures", 6, "meta_graphs[0].signature_def"),
        (
            info(delimited(1, b"\xff")),
            "signatures",
            22,
            'meta_graphs[0].signature_def["serve"].inputs["x"].name',
        ),
    ],
)
def test_text_that_is_no_text(
    meta_graph: bytes, attribute: str, offset: int, place: str, tmp_path: Path
) -> None:
    error = refusal(tmp_path, meta_graph, attribute)
    assert error.problem == "holds a string that is not UTF-8"
    assert (error.offset, error.place) == (offset, place)
    data = (tmp_path / "saved_model.pb").read_bytes()
    assert data[offset] >= 0x80


def test_broken_fields_say_where(tmp_path: Path) -> None:
    error = refusal(tmp_path, info(b"\x0a\x7f"), "signatures")
    assert error.place == 'meta_graphs[0].signature_def["serve"].inputs["x"]'
    assert error.problem == "needs 127 bytes where 0 are left"
    broken = graph_of(tmp_path, delimited(2, delimited(1, b"\x0a\x7f")))
    assert broken.n_nodes == 1  # counting does not look inside
    with pytest.raises(FormatError, match=r"needs 127 bytes .* meta_graphs\[0\].graph_def"):
        broken.ops()


@pytest.mark.parametrize(
    ("value", "what"),
    [(any_of("tensorflow.AssetFile"), "tensorflow.AssetFile"), (delimited(2, ASSET), "nothing")],
)
def test_an_asset_of_another_type(value: bytes, what: str, tmp_path: Path) -> None:
    error = refusal(tmp_path, asset_collection(any_of(ANY), value), "assets")
    assert error.problem == f"holds {what} where an AssetFileDef belongs"
    assert error.place == 'meta_graphs[0].collection_def["saved_model_assets"][1]'


def test_composites_end(tmp_path: Path) -> None:
    fields = nested(60, lambda inner: delimited(5, delimited(2, inner)), delimited(1, "x:0"))
    error = refusal(tmp_path, info(fields), "signatures")
    assert "nests messages deeper than 100" in error.problem


def test_a_text_of_megabytes(tmp_path: Path) -> None:
    error = refusal(tmp_path, delimited(1, delimited(4, b"x" * ((1 << 20) + 1))), "tags")
    assert "goes past a limit of fastsm (1,048,576)" in error.problem


def test_assets_without_end(tmp_path: Path) -> None:
    many = delimited(6) * (MAX_ASSETS + 1)
    error = refusal(tmp_path, many, "assets")
    assert "goes past a limit of fastsm (10,000)" in error.problem
    packed = delimited(1, delimited(1, "/tensorflow.AssetFileDef"))
    error = refusal(tmp_path, asset_collection_of(packed * (MAX_ASSETS + 1)), "assets")
    assert "goes past a limit of fastsm (10,000)" in error.problem


def asset_collection_of(values: bytes) -> bytes:
    return entry(4, "saved_model_assets", delimited(5, values))


def test_signatures_without_end(tmp_path: Path) -> None:
    many = b"".join(entry(5, str(i)) for i in range(MAX_SIGNATURES + 1))
    error = refusal(tmp_path, many, "signature_defs")
    assert "goes past a limit of fastsm (10,000)" in error.problem
