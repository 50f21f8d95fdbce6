"""The protobuf library (upb, in C) with the same messages: the honest baseline.

It parses the whole file into objects, as anything built on protobuf has to.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..reference import Pieces
from . import Call


def version() -> str:
    import google.protobuf

    from .. import protos

    return f"protobuf {google.protobuf.__version__} ({protos.IMPLEMENTATION})"


def call(verb: str, model: str, work: str, sync: bool) -> Call:
    calls = {"index": parse, "strip": parse, "retag": retag, "rename": rename}
    return calls[verb](model, work, sync)


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
    from ..reference import with_tag

    def edit(saved: Any) -> None:
        saved.meta_graphs[0].meta_info_def.tags.insert(0, "gpu")

    return _edited(edit, lambda data: with_tag(data, "gpu"), model, work, sync)


def rename(model: str, work: str, sync: bool) -> Call:
    """The same with another key for a signature, in signature_def and the object graph; the
    checkpoint's own object graph is left as it was."""
    from ..jobs import RENAMED
    from ..reference import with_signature

    old, new = RENAMED

    def edit(saved: Any) -> None:
        graph = saved.meta_graphs[0]
        graph.signature_def[new].CopyFrom(graph.signature_def[old])
        del graph.signature_def[old]
        nodes = graph.object_graph_def.nodes
        (to,) = (c.node_id for c in nodes[0].children if c.local_name == "signatures")
        for child in nodes[to].children:
            if child.local_name == old:
                child.local_name = new

    return _edited(edit, lambda data: with_signature(data, old, new), model, work, sync)


def _edited(
    edit: Callable[[Any], None],
    reference: Callable[[Any], Pieces],
    model: str,
    work: str,
    sync: bool,
) -> Call:
    """Read, parse, edit, serialise, write, rename."""
    from .. import files
    from ..protos import SavedModel

    path = f"{work}/saved_model.pb"

    def run() -> None:
        with open(path, "rb") as file:
            saved = SavedModel.FromString(file.read())
        edit(saved)
        with open(f"{path}.new", "wb") as file:
            file.write(saved.SerializeToString())
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(f"{path}.new", path)

    def result() -> bool:
        """Whether the file says what the edited model says; upb writes another order."""
        with files.mapped(f"{model}/saved_model.pb") as data:
            want = b"".join(p if isinstance(p, bytes) else data[slice(*p)] for p in reference(data))
        with open(path, "rb") as file:
            return bool(SavedModel.FromString(file.read()) == SavedModel.FromString(want))

    return Call(run, result)
