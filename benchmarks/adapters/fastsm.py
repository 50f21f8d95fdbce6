"""fastsm: the command as a whole process, and what is under it in process."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..jobs import RENAMED
from . import CONVERTED, CONVERTED_INPUT, CONVERTED_OUTPUT, Call, crc_call, first_tensor

FIRST = """
import sys, fastsm
x = fastsm.open(sys.argv[1]).variables[sys.argv[2]].numpy()
print(x.shape, float(x.sum()), x[::512, ::512].tobytes().hex())
"""

#: Keep the weights that W-kept holds, of a model; what later verbs ask of the rewriter.
SUBSET = """
import sys
from fastsm.bundle.opened import Bundle
from fastsm.bundle.rewrite import BundleRewrite
from fastsm.commit import commit
from fastsm.plan import Plan
plan = Plan(sys.argv[1])
rewrite = BundleRewrite(Bundle.open(sys.argv[1] + "/variables/variables"))
rewrite.keep_only(lambda key: key.startswith(b"w"))
rewrite.result().put(plan, "variables/")
commit(plan, sync=False)
"""

SCRIPT = Path(__file__).parent.parent.parent / "bin" / "fastsm"


def version() -> str:
    import fastsm

    return fastsm.__version__


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    words = {
        "show": ["show", model],
        "show-all": ["show", "--all", model],
        "retag": ["retag", work, "serve", "serve,gpu", *([] if sync else ["--no-sync"])],
        "rename": ["rename-signature", work, *RENAMED, *([] if sync else ["--no-sync"])],
        "verify": ["verify", model],
        "dedupe": ["dedupe", work, "--in-place", *([] if sync else ["--no-sync"])],
        "parity": ["parity", model, work],
        "convert": [
            "convert", f"{model}/model.ckpt", "--out", f"{work}/{CONVERTED}",
            "--input", "=".join(CONVERTED_INPUT), "--output", "=".join(CONVERTED_OUTPUT),
            *([] if sync else ["--no-sync"]),
        ],
        "strip": ["strip", work, "--in-place", *([] if sync else ["--no-sync"])],
    }  # fmt: skip
    if verb == "first":
        return [sys.executable, "-c", FIRST, *first_tensor(model)]
    if verb == "subset":
        return [sys.executable, "-c", SUBSET, work]
    return [sys.executable, str(SCRIPT), *words[verb]]


def call(verb: str, model: str, work: str, sync: bool) -> Call:
    if verb.startswith("crc"):
        from fastsm._core import crc32c

        return crc_call(crc32c, verb)
    calls = {
        "index": index, "retag": retag, "rename": rename, "verify": verify, "list": list_all,
        "strip": strip,
    }  # fmt: skip
    return calls[verb](model, work, sync)


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


def rename(model: str, work: str, sync: bool) -> Call:
    import fastsm

    def run() -> None:
        fastsm.rename_signature(work, *RENAMED, sync=sync)

    return Call(run, lambda: None)


def strip(model: str, work: str, sync: bool) -> Call:
    import fastsm

    def run() -> None:
        fastsm.strip_training_graph(work, in_place=True, sync=sync)

    return Call(run, lambda: None)


def verify(model: str, work: str, sync: bool) -> Call:
    import fastsm

    found: dict[str, Any] = {}

    def run() -> None:
        report = fastsm.verify(model)
        found.update(tensors=report.checked["tensors"] if report.ok else 0)

    return Call(run, lambda: found)


def list_all(model: str, work: str, sync: bool) -> Call:
    import fastsm

    found: dict[str, Any] = {}

    def run() -> None:
        variables = fastsm.open(f"{model}/model").variables
        found.update((key, (v.dtype, v.shape)) for key, v in variables.items())

    return Call(run, lambda: {k: [dtype, list(shape)] for k, (dtype, shape) in found.items()})

