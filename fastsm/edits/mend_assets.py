"""Mending what verify finds of assets: names that lead out, files fed twice, unused files.

Each mender returns a sentence for each finding that it had to leave: why; the way out, where
there is one, is on a line of its own.
"""

from __future__ import annotations

import os
import stat

from .._core import number
from ..assets import ASSETS, inside, leads_out, linked_out, path_of, same_file, unused
from ..errors import FormatError, RefusedError
from ..fingerprint import NAME as FINGERPRINT
from ..graph.nodes import Graph, fed_tensor
from ..graph.object_edits import SavedObjectEdits
from ..graph.objects import KINDS
from ..graph.paths import OPENERS, takers
from ..locate import CHUNKED, FILES
from ..source import VARINT
from ..text import printable, shell
from ..views import chosen
from .assets import check_free, definitions, read_definitions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from .._core import Source
    from ..plan import Rewrite
    from ..views import MetaGraph
    from .assets import Definition
    from .draft import Draft

#: SavedAsset.asset_file_def_index.
_INDEX = 1

#: What lies in a model's folder and is no asset.
_OWN = frozenset([*FILES.values(), CHUNKED, FINGERPRINT, "variables"])


# -- asset-outside --


def bring_inside(draft: Draft) -> list[str]:
    """Names that lead out of ``assets/`` become those of files in it.

    Only a file that lies in the model's folder already is taken; nothing else is opened.
    """
    named = [d for graph in draft.graphs for d in definitions(graph)]
    read = [a.filename for graph in draft.graphs for a in graph.assets]
    left: list[str] = []
    files: dict[str, str] = {}  # name -> the file of assets/
    copies: dict[str, Source] = {}
    for name in sorted({d.filename for d in named if leads_out(d.filename)}):
        try:
            files[name], content = _inside(draft, name, named)
        except RefusedError as e:
            command = f"fastsm rename-asset {shell(draft.path)} {shell(name)} NEW"
            way_out = f"Copy the file to {ASSETS}/ yourself as NEW, then: {command}"
            left += [f'"{printable(name)}": {e.problem}\n  {way_out}'] * read.count(name)
            continue
        if content is not None:
            copies[files[name]] = content
    rewrite = draft.rewrite()
    for definition in named:
        if definition.filename in files:
            definition.rename(rewrite, files[definition.filename])
    if files:
        draft.put(rewrite)
    for name, content in copies.items():
        draft.write(f"{ASSETS}/{name}", content)
    return left


def _inside(
    draft: Draft, name: str, named: list[Definition]
) -> tuple[str, Source | None]:
    """The file of ``assets/`` that a name that leads out is to be, and what to copy there.

    Raises RefusedError where that cannot be told, or done.
    """
    found = [
        path for path in inside(draft.folder, name)
        if linked_out(draft.folder, os.path.relpath(path, ASSETS)) is None
        and os.path.isfile(os.path.join(draft.folder, path))
    ]  # fmt: skip
    if not found:
        raise RefusedError(draft.path, "means no file of the model's folder; no other is opened")
    if len(found) > 1:
        cc, python = map(printable, found)
        raise RefusedError(draft.path, f"is {cc} to C++ and {python} to Python: both are there")
    top, _, rest = found[0].partition("/")
    if top == ASSETS:
        return rest, None
    if top in _OWN:
        raise RefusedError(draft.path, f"is {printable(found[0])}, which is no asset")
    check_free(draft, found[0], named)
    return found[0], draft.file(found[0])


# -- asset-tensor --


def feed_once(draft: Draft, among: Container[int] | None = None) -> list[str]:
    """Of definitions that feed one tensor one file the first stays; objects that are assets by
    the others become those of the first. One that feeds an op feeds its first output.

    Args:
        among: The positions of the meta graphs to mend; None: all.
    """
    left: list[str] = []
    rewrite = draft.rewrite()
    graphs = [graph for graph in draft.graphs if among is None or graph.index in among]
    changed = [_feed_once(graph, rewrite, left) for graph in graphs]
    if any(changed):
        draft.put(rewrite)
    return left


def _feed_once(graph: MetaGraph, rewrite: Rewrite, left: list[str]) -> bool:
    assets = graph.assets
    first: dict[tuple[bytes, int], int] = {}
    stands_for = list(range(len(assets)))  # which definition each is to be
    for i, asset in enumerate(assets):
        tensor = fed_tensor(asset)
        if not asset.tensor or first.setdefault(tensor, i) == i:
            continue
        other = assets[first[tensor]]
        if same_file(other.filename, asset.filename):
            stands_for[i] = first[tensor]
        else:
            left.append(
                f'"{printable(asset.tensor)}" is fed "{printable(other.filename)}" and '
                f'"{printable(asset.filename)}" in {graph.place}: only who saved the model can '
                "tell which is meant"
            )
    stays = [i for i, j in enumerate(stands_for) if i == j]
    ops = [i for i in stays if assets[i].tensor and ":" not in assets[i].tensor]
    n = len(ops) + len(assets) - len(stays)
    if not n:
        return False
    live = read_definitions(graph)
    if [d.filename for d in live] != [a.filename for a in assets]:
        left += [f"{graph.place} lists its assets in parts that are merged: not edited"] * n
        return False
    for i in ops:
        live[i].name_output(rewrite)
    for i in set(range(len(assets))).difference(stays):
        live[i].cut(rewrite)
    place = {i: n for n, i in enumerate(stays)}
    _renumber(graph, rewrite, [place[j] for j in stands_for])
    return True


def _renumber(graph: MetaGraph, rewrite: Rewrite, new: list[int]) -> None:
    """Let objects that are assets say other positions in the list.

    Args:
        new: The new position of each.
    """
    if not graph.object_spans:
        return
    edits = SavedObjectEdits(graph)
    reader, n = graph.reader, len(new)
    for node in edits.graph:
        index = node.asset_index  # a negative one counts from the end, as Python does
        if index is None or not -n <= index < n or new[index] == index:
            continue
        data = number(_INDEX, new[index]) if new[index] else b""
        for f in chosen(node.fields, tuple(KINDS)):
            for inner in reader.fields([(f.at, f.end)], node.place):
                if inner.number == _INDEX and inner.wire == VARINT:
                    around = [(f.length_at, f.at, f.end)]
                    edits.replace(node.id, inner.start, inner.end, data, around)
    edits.into(rewrite)


# -- asset-unused --


def remove_unused(draft: Draft) -> list[str]:
    """Files of ``assets/`` that no meta graph names go."""
    left = []
    named = [a.filename for graph in draft.graphs for a in graph.assets]
    found = unused(draft.folder, named)
    odd = next(filter(None, map(odd_taker, draft.graphs)), None) if found else None
    if odd is not None:
        return [f"{odd}, and may look for others by their names: they stay"] * len(found)
    for name in found:
        if stat.S_ISREG(os.lstat(path_of(draft.folder, name)).st_mode):
            draft.remove(f"{ASSETS}/{name}")
        else:
            left.append(f"{ASSETS}/{printable(name)} is no regular file: remove it yourself")
    return left


def odd_taker(graph: MetaGraph) -> str | None:
    """What takes a path and may open other files than that one, in words."""
    if not graph.assets:
        return None
    try:
        found = takers(Graph(graph))
    except FormatError:
        found = None
    if found is None:
        return f"{graph.place} does not tell which ops take the paths of assets"
    ops = sorted(set().union(*found) - OPENERS)
    return f'the op "{printable(ops[0])}" takes the path of an asset' if ops else None
