"""Which signatures of a meta graph stay."""

from __future__ import annotations

from ...errors import FormatError, MissingError, RefusedError
from ...graph.nodes import node_of
from ...text import did_you_mean, printable, shell, tag_set
from ...views import INIT_OP, tensors_of
from ..signatures import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...graph.edges import Edges
    from ...views import MetaGraph
    from ..draft import Draft
    from .request import Request


def choose(draft: Draft, graphs: Sequence[MetaGraph], request: Request) -> list[list[str]]:
    """The signatures of each meta graph that stay, sorted.

    Raises:
        MissingError: None of them has a signature that was named.
        RefusedError: Nothing would stay of one of them.
    """
    having = [Held(graph).names() for graph in graphs]
    known = sorted(set().union(*having))
    for key in (*request.keep_signatures, *request.drop_signatures):
        if key not in known:
            problem = f'no signature "{printable(key)}". {did_you_mean(key, known)}'
            raise MissingError(draft.path, problem)
    chosen = []
    for graph, names in zip(graphs, having, strict=True):
        kept = [
            key for key in names
            if (not request.keep_signatures or key in request.keep_signatures)
            and key not in request.drop_signatures
        ]  # fmt: skip
        if not kept:
            _check_may_be_none(draft, graph, request, bool(names))
        chosen.append(kept)
    return chosen


def _check_may_be_none(draft: Draft, graph: MetaGraph, request: Request, had: bool) -> None:
    """Refuse a meta graph of which nothing would be left."""
    if request.level == "callables" and graph.object_spans:
        return
    tags = tag_set(graph.tag_set)
    problem = f"{tags} has no signature"
    if had:
        problem = f"no signature of {tags} would stay"
    ways = []
    if graph.object_spans:
        ways.append("--level callables keeps the functions of its objects")
    if len(draft.graphs) > 1:
        named = shell(",".join(sorted(graph.tag_set)))
        ways.append(f"--drop-tags {named} removes this meta graph whole")
    if had:
        ways.append("keep a signature of it")
    ways.append("give it one by fastsm add-signature")
    hint = "; or ".join(ways)
    raise RefusedError(
        draft.path,
        f"{problem}: nothing says what serving needs of it",
        hint=f"{hint}." if hint.startswith("fastsm") else f"{hint[0].upper()}{hint[1:]}.",
    )


def rows(graph: MetaGraph, edges: Edges, keys: Sequence[str]) -> list[int]:
    """The nodes that signatures name: of their outputs, and of inputs, used or not.

    Raises FormatError where one is not there.
    """
    found = []
    for key in keys:
        signature = graph.signature_defs.get(key)
        if signature is None:
            continue  # tf.saved_model.load alone finds it, by the objects
        for side in ("inputs", "outputs"):
            for name, info in getattr(signature, side).items():
                place = f'{graph.place}.signature_def["{printable(key)}"].{side}'
                for tensor in tensors_of(info):
                    row = edges.row(node_of(tensor.encode("utf-8", "surrogateescape")))
                    if row is None:
                        raise FormatError(
                            graph.reader.path,
                            f'"{printable(tensor)}": no such node in the graph; '
                            "drop the signature, or mend it first",
                            place=f'{place}["{printable(name)}"]',
                        )
                    found.append(row)
    return found


def named_op(graph: MetaGraph) -> set[str]:
    """The entry of signature_def that stays though it is no signature: it names the init op.
    That which names the train op keeps tf.saved_model.load from a TF1 model, and goes."""
    return {INIT_OP} if Held(graph).names_op(INIT_OP) else set()
