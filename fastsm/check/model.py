"""Findings of saved_model.pb and the files around it: what each part names must be there.

Source: tensorflow/cc/saved_model/loader.cc, loader_util.cc,
tensorflow/python/saved_model/loader_impl.py (2.21).
"""

from __future__ import annotations

import os

from ..assets import ASSETS, absent, fed_tensor, outside, same_file, unused
from ..errors import CoreError, FormatError, UnsupportedError
from ..graph.nodes import Graph, n_outputs, node_of
from ..locate import below
from ..text import count, counted, printable
from ..views import RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from ..model import SavedModel
    from ..views import Asset, MetaGraph, TensorInfo
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


def check_graph(report: Report, damage: Damage, graph: MetaGraph) -> Graph | None:
    """Signatures, saver, init op and assets of a meta graph against its nodes.

    Returns its nodes, or None where they cannot be read.
    """
    report.count("meta_graphs")
    damage.guard(lambda: graph.tags)
    damage.guard(lambda: graph.collections)
    damage.guard(lambda: graph.n_objects)
    nodes = damage.guard(lambda: Graph(graph))
    damage.guard(lambda: _check_objects(report, damage, graph, nodes))
    named = list(_named(damage, graph))
    if nodes is None:
        report.skip(f"{graph.place}: what it names, against its nodes")
        return None
    report.count("nodes", graph.n_nodes + graph.n_function_nodes)
    ids = [_tensor_id(rule, tensor) for rule, _, tensor in named]
    wanted = {where[0] for where in ids if where is not None}
    there = damage.guard(lambda: nodes.named(wanted)) or {}
    for (rule, place, tensor), where in zip(named, ids, strict=True):
        node = None if where is None else there.get(where[0])
        problem = None
        if where is None:
            problem = "is no tensor's name"
        elif node is None:
            problem = "no such node in the graph"
        elif rule == "signature-tensor":
            n = damage.guard(lambda node=node: n_outputs(node))  # type: ignore[misc]
            op = printable(node.op)
            if n is not None and where[1] >= n:
                problem = f"the node, {op}, has {counted(n, 'output')}"
            elif n is None and where[1]:
                report.skip(f'{place}: whether the op "{op}" has an output {where[1]}')
        if problem:
            report.add(
                rule, damage.file, f'"{printable(tensor)}": {problem}', place=place, key=tensor
            )
    return nodes


def _tensor_id(rule: str, name: str) -> tuple[bytes, int] | None:
    """(node, output) that a name means; None where it can mean no tensor.

    Of a signature ``x`` is ``x:0``, to C++ at least.
    Source: tensorflow/core/graph/tensor_id.cc ParseTensorName (2.21).
    """
    data = name.encode("utf-8", "surrogateescape")
    if rule != "signature-tensor":
        return node_of(data), 0
    node, _, output = data.rpartition(b":")
    if node and output.isdigit():
        return node, int(output[-18:])
    return None if not data or data.startswith(b"^") else (data, 0)


def _check_objects(
    report: Report, damage: Damage, graph: MetaGraph, nodes: Graph | None
) -> None:
    """What the model's objects name: other objects, functions, assets.

    Source: tensorflow/python/saved_model/load.py Loader (2.21).
    """
    objects = graph.objects
    if objects is None:
        return
    n, n_assets = len(objects), len(_assets(damage, graph))
    functions = objects.concrete_functions

    def add(place: str, words: str) -> None:
        report.add("model-object", damage.file, words, place=place)

    for node in objects:
        for name, to in node.child_ids:
            if not -n <= to < n:  # from the end backwards, as Python counts
                add(node.place, f"its child {printable(name)} is object {count(to)}, of {count(n)}")
        for function in node.concrete_function_names:
            if function not in functions:
                add(node.place, f'"{printable(function)}": no such concrete function')
        asset = node.asset_index
        if asset is not None and not -n_assets <= asset < n_assets:
            add(node.place, f"is asset {count(asset)}, of {count(n_assets)}")
    library = None if nodes is None else nodes.functions
    for name, concrete in functions.items():
        place = f'{objects.place}.concrete_functions["{printable(name)}"]'
        for to in concrete.bound_inputs:
            if not 0 <= to < n:
                add(place, f"takes object {count(to)}, of {count(n)}")
        if library is not None and name.encode("utf-8", "surrogateescape") not in library:
            add(place, "no such function in the graph's library")


def _named(damage: Damage, graph: MetaGraph) -> Iterator[tuple[str, str, str]]:
    """(rule, place, tensor or op) of all that a meta graph names in its graph."""
    for key, signature in (damage.guard(lambda: graph.signature_defs) or {}).items():
        damage.report.count("signatures")
        # The reserved ones name ops, which may have no output.
        rule = "op-missing" if key in RESERVED else "signature-tensor"
        for side in ("inputs", "outputs"):
            for name, info in getattr(signature, side).items():
                place = f'{graph.place}.signature_def["{printable(key)}"].{side}'
                for tensor in _tensors(info):
                    if tensor or key not in RESERVED:  # of no name is: there is no such op
                        yield rule, f'{place}["{printable(name)}"]', tensor
    saver = damage.guard(lambda: graph.saver)
    if saver is not None:
        for field in ("filename_tensor", "save_tensor", "restore_op"):
            name = getattr(saver, field)
            # A TF1 model that only restores has no save tensor worth the name.
            if name and field != "save_tensor":
                yield "op-missing", f"{graph.place}.saver_def.{field}", name
    init_op = damage.guard(lambda: graph.init_op)
    if init_op is not None and init_op.source != "signature" and init_op.name:
        place = f'{graph.place}.collection_def["{printable(init_op.source)}"]'
        yield "op-missing", place, init_op.name
    for asset in _assets(damage, graph):
        if asset.tensor:
            yield "op-missing", f"{asset.place}.tensor_info", asset.tensor


def _tensors(info: TensorInfo) -> Iterator[str]:
    """The names of the tensors that make up one of a signature."""
    if info.encoding == "composite_tensor":
        for part in info.components:
            yield from _tensors(part)
        return
    yield info.name
    if info.encoding == "coo_sparse":
        yield info.indices or ""
        yield info.dense_shape or ""


# -- files --


def check_assets(report: Report, damage: Damage, model: SavedModel) -> None:
    """Assets of every meta graph against the files in assets/."""
    named: set[str] = set()
    for graph in model.meta_graphs:
        missing: list[Asset] = []
        fed: dict[tuple[bytes, int], str] = {}
        for asset in _assets(damage, graph):
            place = f"{asset.place}.filename"
            name = printable(asset.filename)
            report.count("assets")
            named.add(asset.filename)
            words = outside(asset.filename)
            if words:
                report.add(
                    "asset-outside", damage.file, f'"{name}": {words} (not opened)',
                    place=place, key=asset.filename,
                )  # fmt: skip
            elif not os.path.isfile(os.path.join(model.folder, ASSETS, asset.filename)):
                missing.append(asset)
            tensor = fed_tensor(asset)
            if asset.tensor and ":" not in asset.tensor:
                report.add(
                    "asset-tensor", damage.file,
                    f'"{printable(asset.tensor)}" is an op: the v1 loader wants a tensor',
                    place=f"{asset.place}.tensor_info", key=asset.tensor,
                )  # fmt: skip
            if asset.tensor and tensor in fed:
                other = fed[tensor]
                both = f'"{printable(other)}" and "{name}"'
                twice = f'"{name}" twice' if same_file(other, asset.filename) else both
                report.add(
                    "asset-tensor", damage.file, f'"{printable(asset.tensor)}" is fed {twice}',
                    place=place, key=asset.tensor,
                )  # fmt: skip
            fed.setdefault(tensor, asset.filename)
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

