"""Findings of saved_model.pb and the files around it: what each part names must be there.

Source: tensorflow/cc/saved_model/loader.cc, loader_util.cc,
tensorflow/python/saved_model/loader_impl.py (2.21).
"""

from __future__ import annotations

import os

from ..assets import ASSETS, absent, outside, unused
from ..errors import CoreError, FormatError, UnsupportedError
from ..graph.edges import edges_of
from ..graph.nodes import Graph, node_of
from ..graph.references import References
from ..locate import below
from ..text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ..graph.tracked import Keys, Trackables
    from ..graph.unresolved import Unresolved
    from ..model import SavedModel
    from ..views import Asset, MetaGraph
    from .report import Report

    T = TypeVar("T")

#: What `errors` says where fastsm gives up and the file may be sound.
PAST_LIMIT = "a limit of fastsm"

class Damage:
    """Turns what a part of saved_model.pb raises into findings: each place once."""

    def __init__(self, report: Report, file: str) -> None:
        self.report = report
        self.file = file
        self._seen: set[tuple[int | None, str]] = set()

    def guard(self, read: Callable[[], T]) -> T | None:
        """What a function returns, or None with a finding where the file is damaged."""
        try:
            return read()
        except FormatError as e:
            self.add(e.problem, e.offset, e.place)
        except CoreError as e:
            self.add(str(e), e.offset, None)
        return None

    def add(self, problem: str, offset: int | None, place: str | None) -> None:
        if PAST_LIMIT in problem:
            self.report.skip(f"{self.file}: {place or 'all of it'} {problem}")
            return
        # The same byte is often reached by several ways.
        where = (offset, "" if offset is not None else place or problem)
        if where in self._seen:
            return
        self._seen.add(where)
        self.report.add("model-damaged", self.file, problem, offset=offset, place=place)


def check_whole(damage: Damage, model: SavedModel) -> int | None:
    """Walk all of saved_model.pb by its schema: every field of every message.

    Returns the hash that comes of it, the fingerprint's checksum; None where it is damaged.
    """
    from ..fingerprint.hashes import checksum

    source = model.reader.source
    damage.report.count("model_bytes", source.size)
    return damage.guard(lambda: checksum(source))


def check_references(
    report: Report,
    damage: Damage,
    graph: MetaGraph,
    tracked: Trackables | None,
    keys: Keys | None,
    *,
    by_objects: bool,
) -> References:
    """Everything that a meta graph names, against what is there.

    Args:
        tracked, keys, by_objects: As `References` takes them.
    """
    report.count("meta_graphs")
    damage.guard(lambda: graph.tags)
    damage.guard(lambda: graph.collections)
    damage.guard(lambda: graph.n_objects)
    report.count("signatures", len(damage.guard(lambda: graph.signature_defs) or ()))
    edges = damage.guard(lambda: edges_of(graph))
    if edges is None:
        report.skip(f"{graph.place}: what it names, against its nodes")
    else:
        report.count("nodes", graph.n_nodes + graph.n_function_nodes)
    references = References(
        graph, edges, tracked, keys, by_objects=by_objects, skip=report.skip
    )
    for part in references.parts():
        damage.guard(lambda part=part: add_unresolved(report, damage.file, part))  # type: ignore[misc]
    return references


def add_unresolved(report: Report, file: str, found: Iterable[Unresolved]) -> None:
    """A finding for each reference of a file that leads nowhere."""
    for one in found:
        report.add(
            one.rule, file, one.problem, offset=one.offset, place=one.place, key=one.name
        )


# -- files --


def check_assets(report: Report, damage: Damage, model: SavedModel) -> None:
    """Assets of every meta graph against the files in assets/."""
    named: set[str] = set()
    for graph in model.meta_graphs:
        missing: list[Asset] = []
        for asset in _assets(damage, graph):
            report.count("assets")
            named.add(asset.filename)
            words = outside(asset.filename)
            if words:
                report.add(
                    "asset-outside", damage.file,
                    f'"{printable(asset.filename)}": {words} (not opened)',
                    place=f"{asset.place}.filename", key=asset.filename,
                )  # fmt: skip
            elif not os.path.isfile(os.path.join(model.folder, ASSETS, asset.filename)):
                missing.append(asset)
        _add_missing(report, damage, model, graph, missing)
    for name in unused(model.folder, named):
        report.add("asset-unused", f"{ASSETS}/{printable(name)}", "no meta graph names it")


def _assets(damage: Damage, graph: MetaGraph) -> tuple[Asset, ...]:
    return damage.guard(lambda: graph.assets) or ()


def _add_missing(
    report: Report, damage: Damage, model: SavedModel, graph: MetaGraph, missing: list[Asset]
) -> None:
    """Assets that are not there: an error where some node takes the path."""
    nodes = damage.guard(lambda: Graph(graph)) if missing else None
    wanted = {node_of(asset.tensor.encode("utf-8", "surrogateescape")) for asset in missing}
    taken = damage.guard(lambda: nodes.taken(wanted)) if nodes is not None else None
    for asset in missing:
        node = node_of(asset.tensor.encode("utf-8", "surrogateescape"))
        read = taken is None or node in taken
        words = absent(model.folder, asset.filename)
        report.add(
            "asset-missing" if read else "asset-unread", damage.file,
            f'"{printable(asset.filename)}": {words}{"" if read else "; no node takes its path"}',
            place=f"{asset.place}.filename", key=asset.filename,
        )  # fmt: skip


def check_links(report: Report, folder: str) -> None:
    """Links among the model's files that lead out of its folder."""
    inside = os.path.realpath(folder) + os.sep
    for name, entry in below(folder, report.skip):
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not (target + os.sep).startswith(inside):
                report.add(
                    "link-outside", printable(name),
                    f"is a link to {printable(target)}", seen=printable(target),
                )  # fmt: skip


# -- fingerprint.pb --


def check_fingerprint(
    report: Report, model: SavedModel, quick: bool, checksum: int | None
) -> None:
    """fingerprint.pb against the files: each hash that can be told by itself.

    Args:
        checksum: What `check_whole` returned.
    """
    from ..fingerprint import NAME

    try:
        stored = model.fingerprint
        if stored is None:
            return
        if quick:
            report.skip(f"{NAME}: the hashes over saved_model.pb")
            if not model.is_of_index(stored):
                _stale(report, NAME, "checkpoint_hash", stored.checkpoint_hash, None)
            return
        checks = model.check_fingerprint(known=checksum)
    except (FormatError, UnsupportedError) as e:
        report.add("fingerprint-damaged", NAME, e.problem, offset=e.offset)
        return
    for check in checks:
        report.count("hashes")
        if check.ok is False:
            _stale(report, NAME, check.name, check.stored, check.computed)
        elif check.ok is None:
            report.skip(f"{NAME}: {check.name}: {check.note}")


def _stale(report: Report, file: str, name: str, stored: int, computed: int | None) -> None:
    words = "" if computed is None else f", the files' is {computed}"
    report.add(
        "fingerprint-stale", file, f"{name}: says {stored}{words}", key=name, expected=stored,
        seen=computed,
    )  # fmt: skip

