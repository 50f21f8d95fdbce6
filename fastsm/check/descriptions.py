"""What a TF2 model says twice: its signatures, and the names of its objects.

Sessions go by signature_def, tf.saved_model.load by the saved objects; the C++ loader of TF2
models holds the checkpoint's own object graph against these.
Source: tensorflow/python/saved_model/load.py; tensorflow/cc/saved_model/bundle_v2.cc
RecurseObjectsToRestore (2.21).
"""

from __future__ import annotations

from ..graph.objects import SIGNATURE_MAP, SIGNATURES_CHILD
from ..text import printable
from ..views import RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..views import MetaGraph
    from .model import Damage
    from .report import Report
    from .restore import Trackables


def check_descriptions(
    report: Report, damage: Damage, graph: MetaGraph, nodes: Trackables | None
) -> None:
    """Hold the descriptions of a model's only meta graph against each other.

    Args:
        nodes: The checkpoint's own object graph, where it can be read.
    """
    damage.guard(lambda: _check_signatures(report, damage.file, graph))
    if nodes is not None and len(nodes):
        damage.guard(lambda: _check_children(report, damage.file, graph, nodes))


def _check_signatures(report: Report, file: str, graph: MetaGraph) -> None:
    objects = graph.objects
    if objects is None or not len(objects):
        return
    holder = objects.child(objects.root, SIGNATURES_CHILD)
    found: set[str] = set()
    if holder is not None and holder.identifier == SIGNATURE_MAP:
        found = {name for name, _ in holder.child_ids}
    defs = {k for k, s in graph.signature_defs.items() if not (k in RESERVED and k in s.outputs)}
    for key in sorted(defs - found):
        report.add(
            "signature-one-sided", file,
            f'"{printable(key)}" is in signature_def alone: tf.saved_model.load does not find it',
            place=f'{graph.place}.signature_def["{printable(key)}"]', key=key,
        )  # fmt: skip
    for key in sorted(found - defs):
        report.add(
            "signature-one-sided", file,
            f'"{printable(key)}" is in the object graph alone: sessions, TF Serving and '
            "saved_model_cli do not find it",
            place=f"{objects.place}.nodes[{holder.id if holder else 0}].children", key=key,
        )  # fmt: skip


def _check_children(report: Report, file: str, graph: MetaGraph, nodes: Trackables) -> None:
    """Walk both graphs from their roots, as C++ does: into each tracked object once."""
    objects = graph.objects
    if objects is None or not len(objects):
        return
    seen: set[int] = set()
    path: list[str] = []
    walk: list[tuple[Iterator[tuple[str, int]], dict[str, int]]] = []
    saved, stored = 0, 0
    while True:
        # Of equal names C++ takes the first.
        named = dict(reversed(objects[saved].child_ids))
        walk.append((nodes.each_child(stored), named))
        step = _next(report, file, walk, path, seen, (len(objects), len(nodes)))
        if step is None:
            return
        saved, stored = step


def _next(
    report: Report,
    file: str,
    walk: list[tuple[Iterator[tuple[str, int]], dict[str, int]]],
    path: list[str],
    seen: set[int],
    sizes: tuple[int, int],
) -> tuple[int, int] | None:
    """The next pair of nodes to go into; a finding for each child that has no pair."""
    while walk:
        children, named = walk[-1]
        for name, stored in children:
            if stored in seen or not 0 <= stored < sizes[1]:
                continue  # one that is no node has a finding of its own
            seen.add(stored)
            saved = named.get(name)
            if saved is not None and 0 <= saved < sizes[0]:
                path.append(name)
                return saved, stored
            way = ".".join(map(printable, [*path[-8:], name]))
            report.add(
                "object-child", file,
                f"{'...' if len(path) > 8 else ''}{way}: the checkpoint's own object graph has it, "
                "the model's has not",
                key=name,
            )  # fmt: skip
        walk.pop()
        if path:
            path.pop()
    return None
