"""What `fastsm convert` is given, made by hand: a graph, and a checkpoint beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from .graphs import FLOAT, STRING, bytes_list, dtype, dtypes, node, node_list, saver, variable
from .tables import Maker, masked_crc
from .test_variables import entry, header
from .wire import delimited, integer

PREFIX = "model.ckpt"

#: key -> (DataType, shape), of floats.
Tensors = Mapping[str, tuple[int, tuple[int, ...]]]


def scalar(*keys: str) -> dict[str, tuple[int, tuple[int, ...]]]:
    return dict.fromkeys(keys, (FLOAT, ()))


def shape(*dims: int) -> bytes:
    """An AttrValue: a shape."""
    return delimited(7, *(delimited(2, integer(1, d)) for d in dims))


def placeholder(name: str, number: int = FLOAT, *dims: int) -> bytes:
    return node(name, "Placeholder", dtype=dtype(number), shape=shape(*dims))


def unary(name: str, op: str, *inputs: str, number: int = FLOAT) -> bytes:
    return node(name, op, *inputs, T=dtype(number))


def strings(name: str, *values: str, row: bool = False) -> bytes:
    """A Const: one string, or several in a row."""
    dims = delimited(2, integer(1, len(values))) if row else b""
    tensor = integer(1, STRING) + delimited(2, dims)
    tensor += b"".join(delimited(8, v) for v in values)
    return node(name, "Const", dtype=dtype(STRING), value=delimited(8, tensor))


def ref(name: str, *dims: int, number: int = FLOAT) -> bytes:
    return node(name, "VariableV2", dtype=dtype(number), shape=shape(*dims))


def handle(name: str, *dims: int, number: int = FLOAT) -> bytes:
    return node(name, "VarHandleOp", dtype=dtype(number), shape=shape(*dims))


def restoring(*variables: str) -> list[bytes]:
    """The nodes by which a saver restores refs of one float each."""
    n = len(variables)
    names = strings("save/names", *variables, row=True)
    return [
        strings("save/Const", "model"), names, strings("save/slices", *[""] * n, row=True),
        node(
            "save/RestoreV2", "RestoreV2", "save/Const", "save/names", "save/slices",
            dtypes=dtypes(*[FLOAT] * n),
        ),
        *(
            unary(f"save/Assign_{i}", "Assign", v, f"save/RestoreV2:{i}")
            for i, v in enumerate(variables)
        ),
        node("save/restore_all", "NoOp", *(f"^save/Assign_{i}" for i in range(n))),
    ]  # fmt: skip


#: saver_def, of `restoring`.
SAVER = saver("save/restore_all")


def graph_def(*nodes: bytes) -> bytes:
    return b"".join(delimited(1, n) for n in nodes)


def meta_graph_def(*nodes: bytes, fields: bytes = b"", info: bytes = b"") -> bytes:
    return delimited(1, info) + delimited(2, graph_def(*nodes)) + fields


def collection(*variables: str) -> bytes:
    """The collection of variables, of refs."""
    messages = [variable(f"{v}:0", f"{v}/Assign", f"{v}/read:0") for v in variables]
    return bytes_list("variables", *messages)


def asset_paths(*tensors: str) -> bytes:
    return node_list("asset_filepaths", *tensors)


def checkpoint(prefix: Path, tensors: Tensors) -> None:
    """A checkpoint of one shard: of each tensor so many zeros."""
    rows, at = [(b"", header())], 0
    for key in sorted(tensors):
        number, dims = tensors[key]
        size = 4
        for d in dims:
            size *= d
        crc = masked_crc(bytes(size))
        rows.append((key.encode(), entry(number, dims, size, offset=at, crc=crc)))
        at += size
    prefix.with_name(prefix.name + ".index").write_bytes(Maker([rows]).write())
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(bytes(at))


def put(
    folder: Path, nodes: Iterable[bytes], tensors: Tensors | None = None, *, fields: bytes = b""
) -> Path:
    """A .meta and its checkpoint; the prefix of both."""
    prefix = folder / PREFIX
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{PREFIX}.meta").write_bytes(meta_graph_def(*nodes, fields=fields))
    if tensors is not None:
        checkpoint(prefix, tensors)
    return prefix


#: x times the ref w, and what restores w.
LINE = [
    placeholder("x", FLOAT, -1), ref("w"), unary("w/read", "Identity", "w"),
    unary("y", "Mul", "x", "w/read"), *restoring("w"),
]  # fmt: skip
