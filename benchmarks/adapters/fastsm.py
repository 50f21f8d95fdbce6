"""fastsm: the command as a whole process, and what is under it in process."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import Call

SCRIPT = Path(__file__).parent.parent.parent / "bin" / "fastsm"


def version() -> str:
    import fastsm

    return fastsm.__version__


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    words = {
        "show": ["show", model],
        "show-all": ["show", "--all", model],
        "retag": ["retag", work, "serve", "serve,gpu", *([] if sync else ["--no-sync"])],
    }
    return [sys.executable, str(SCRIPT), *words[verb]]


def call(verb: str, model: str, work: str, sync: bool) -> Call:
    return {"index": index, "retag": retag}[verb](model, work, sync)


def index(model: str, work: str, sync: bool) -> Call:
    """What `show --all` asks of a graph: its counts and the ops used, read from the disk."""
    import fastsm
    from fastsm._core import NodeIndex

    graph = fastsm.open(model).meta_graphs[0]
    source, spans = graph.reader.source, graph.graph_spans
    found: dict[str, Any] = {}

    def run() -> None:
        nodes = NodeIndex(source, spans)
        found.update(nodes=nodes.n_nodes, functions=nodes.n_functions, ops=nodes.ops_used())

    return Call(run, lambda: {**found, "ops": sorted(op.decode() for op in found["ops"])})


def retag(model: str, work: str, sync: bool) -> Call:
    import fastsm

    def run() -> None:
        fastsm.retag(work, {"serve"}, {"serve", "gpu"}, sync=sync)

    return Call(run, lambda: None)
