"""The protobuf library (upb, in C) with the same messages: the honest baseline.

It parses the whole file into objects, as anything built on protobuf has to.
"""
from __future__ import annotations

import os
from typing import Any

from . import Call


def version() -> str:
    import google.protobuf

    from .. import protos

    return f"protobuf {google.protobuf.__version__} ({protos.IMPLEMENTATION})"


def call(verb: str, model: str, work: str, sync: bool) -> Call:
    return {"index": parse, "retag": retag}[verb](model, work, sync)


def parse(model: str, work: str, sync: bool) -> Call:
    """FromString alone: the bytes are in memory before the clock starts."""
    from ..protos import SavedModel

    with open(f"{model}/saved_model.pb", "rb") as file:
        data = file.read()
    kept: list[Any] = []

    def run() -> None:
        kept.append(SavedModel.FromString(data))

    return Call(run, lambda: described(kept[0].meta_graphs[0].graph_def), before=kept.clear)


def described(graph: Any) -> dict[str, object]:
    """What is in a graph: its counts, and the ops that saved_model_cli lists.

    Source: ops_used_by_graph_def, tensorflow/python/framework/meta_graph.py (2.21).
    """
    functions = {f.signature.name: f for f in graph.library.function}
    used: set[str] = set()
    waiting = [graph.node]
    while waiting:
        for node in waiting.pop():
            names = {node.op}
            if node.op in ("PartitionedCall", "StatefulPartitionedCall"):
                names.add(node.attr["f"].func.name)
            waiting += [functions[n].node_def for n in names - used if n in functions]
            used |= names
    return {
        "nodes": len(graph.node),
        "functions": len(functions),
        "ops": sorted(used - set(functions)),
    }


def retag(model: str, work: str, sync: bool) -> Call:
    """Parse, add the tag, serialise, write, rename; fingerprint.pb is left as it was."""
    from .. import files
    from ..protos import SavedModel
    from ..reference import with_tag

    path = f"{work}/saved_model.pb"

    def run() -> None:
        with open(path, "rb") as file:
            saved = SavedModel.FromString(file.read())
        saved.meta_graphs[0].meta_info_def.tags.insert(0, "gpu")
        with open(f"{path}.new", "wb") as file:
            file.write(saved.SerializeToString())
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(f"{path}.new", path)

    def result() -> bool:
        """Whether the file says what the retagged model says; upb writes another order."""
        with files.mapped(f"{model}/saved_model.pb") as data:
            want = b"".join(p if isinstance(p, bytes) else data[slice(*p)]
                            for p in with_tag(data, "gpu"))  # fmt: skip
        with open(path, "rb") as file:
            return bool(SavedModel.FromString(file.read()) == SavedModel.FromString(want))

    return Call(run, result)
