"""Other names and other contents for the files of assets/, in every meta graph at once.

A name stands in asset_file_def, or packed into the collection saved_model_assets: of TF1's
Builder, in both perhaps, where loaders read the first alone. An edit changes all of them.
Source: tensorflow/core/protobuf/meta_graph.proto AssetFileDef,
tensorflow/cc/saved_model/loader_util.cc GetAssetFileDefs (2.21).
"""

from __future__ import annotations

import os

from .._core import delimited
from ..assets import ASSETS, leads_out, linked_out, meant, path_of, real_path, same_file
from ..errors import CoreError, FormatError, InternalError, MissingError, RefusedError, UsageError
from ..graph.nodes import Graph
from ..graph.paths import OPENERS, takers
from ..plan import is_name
from ..source import LEN, File, last
from ..text import did_you_mean, printable, size
from ..views import ASSETS_COLLECTION, MAX_ASSETS, is_packed_asset
from .draft import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core import Field, Source
    from ..plan import Rewrite
    from ..views import MetaGraph
    from .draft import Draft

# Field numbers: MetaGraphDef.collection_def and asset_file_def, CollectionDef.any_list,
# Any.type_url and value, AssetFileDef.tensor_info and filename, TensorInfo.name.
_COLLECTIONS, _ASSET, _ANY_LIST, _TYPE_URL, _VALUE = 4, 6, 5, 1, 2
_TENSOR, _FILENAME, _NAME = 1, 2, 1

#: What a file system takes for the name of a file or a folder, in bytes.
_MAX_NAME = 255


class Definition:
    """An AssetFileDef, where it stands.

    Attributes:
        graph: Its meta graph.
        filename: As it is spelled.
        fields: The fields that it lies in, the meta graph first, itself last.
        item: What to cut out to be rid of it: the AssetFileDef, or the Any around it.
    """

    __slots__ = ("fields", "filename", "graph", "item", "_name")

    def __init__(self, graph: MetaGraph, fields: list[Field], item: Field) -> None:
        self.graph = graph
        self.fields = fields
        self.item = item
        inner = fields[-1]
        place = f"{graph.place}.asset_file_def"
        self._name = last(graph.reader.fields([(inner.at, inner.end)], place), _FILENAME)
        self.filename = graph.reader.text(self._name, place) if self._name else ""

    def rename(self, rewrite: Rewrite, new: str) -> None:
        """Splice another filename in."""
        within = [_prefix(f) for f in self.fields]
        if self._name is None:
            end = self.fields[-1].end
            rewrite.replace(end, end, delimited(_FILENAME, new.encode()), within)
        else:
            within.append(_prefix(self._name))
            rewrite.replace(self._name.at, self._name.end, new.encode(), within)

    def name_output(self, rewrite: Rewrite) -> None:
        """Splice ``:0`` behind the name of an op, so that it is a tensor's."""
        reader, inner = self.graph.reader, self.fields[-1]
        place = f"{self.graph.place}.asset_file_def"
        names = [
            (info, name)
            for info in reader.fields([(inner.at, inner.end)], place)
            if info.number == _TENSOR and info.wire == LEN
            for name in reader.fields([(info.at, info.end)], place)
            if name.number == _NAME and name.wire == LEN
        ]
        info, name = names[-1]  # the last counts
        within = [_prefix(f) for f in (*self.fields, info, name)]
        rewrite.replace(name.end, name.end, b":0", within)

    def cut(self, rewrite: Rewrite) -> None:
        """Splice it out."""
        outer = self.fields[: self.fields.index(self.item)]
        rewrite.replace(self.item.start, self.item.end, b"", [_prefix(f) for f in outer])


def definitions(graph: MetaGraph) -> list[Definition]:
    """All that a meta graph says of assets: the field, then the collection, also where the
    field hides it. What is no AssetFileDef there is passed over.

    Raises FormatError where that is damaged, or without end.
    """
    found = []
    for definition in _definitions(graph):
        found.append(definition)
        if len(found) > 2 * MAX_ASSETS:
            error = CoreError("LIMIT", definition.item.start, 2 * MAX_ASSETS, len(found))
            raise graph.reader.error(error, f"{graph.place}: its assets")
    return found


def _definitions(graph: MetaGraph) -> Iterator[Definition]:
    reader = graph.reader
    for f in graph.fields:
        if f.number == _ASSET and f.wire == LEN:
            yield Definition(graph, [graph.field, f], f)
    place = f'{graph.place}.collection_def["{ASSETS_COLLECTION}"]'

    def inside(field: Field, number: int) -> list[Field]:
        fields = reader.fields([(field.at, field.end)], place)
        return [f for f in fields if f.number == number and f.wire == LEN]

    for entry in graph.fields:
        if entry.number != _COLLECTIONS or entry.wire != LEN:
            continue
        key = last(inside(entry, 1), 1)
        if key is None or reader.text(key, place) != ASSETS_COLLECTION:
            continue
        for collection in inside(entry, 2):
            for values in inside(collection, _ANY_LIST):
                for item in inside(values, 1):
                    url = last(inside(item, _TYPE_URL), _TYPE_URL)
                    value = last(inside(item, _VALUE), _VALUE)
                    if value and url and is_packed_asset(reader.text(url, place)):
                        path = [graph.field, entry, collection, values, item, value]
                        yield Definition(graph, path, item)


def read_definitions(graph: MetaGraph) -> list[Definition]:
    """The definitions that loaders read: those of the field, or where it has none, of the
    collection, of which the last of equal keys counts."""
    found = definitions(graph)
    own = [d for d in found if len(d.fields) == 2]
    return own or [d for d in found if d.fields[1].start == found[-1].fields[1].start]


def _prefix(field: Field) -> tuple[int, int, int]:
    return field.length_at, field.at, field.end


# -- rename-asset --


def rename_asset(draft: Draft, old: str, new: str, *, force: bool = False) -> Done:
    """Give an asset another name, in every meta graph that lists it, and move its file.

    Where the file is not there, or ``old`` leads out of ``assets/``, the name alone changes:
    then the file of ``new`` has to be there.

    Args:
        old: Its name, relative to ``assets/``.
        new: Another one; may have folders in it.
        force: Even if an op takes the path that may look for other files by it.

    Raises:
        MissingError: No meta graph names ``old``; or neither file is there.
        RefusedError: ``new`` is taken, or leads out; or see ``force``.
        UsageError: ``new`` can be no file's name.
    """
    _check_new(draft, new)
    named = [d for graph in draft.graphs for d in definitions(graph)]
    these = [d for d in named if _is(d.filename, old)]
    if not these:
        raise _no_asset(draft, old, [d.filename for d in named])
    arguments: dict[str, object] = {"old": old, "new": new}
    done = Done(
        "rename-asset", {**arguments, "force": True} if force else arguments,
        f"asset {printable(old)} -> {printable(new)}", {"asset": old}, {"asset": new},
    )  # fmt: skip
    spelled = {d.filename for d in these}
    if spelled == {new}:
        return done
    others = [d for d in named if not _is(d.filename, old)]
    moved = None if not _may_be(old) or same_file(old, new) else draft.file(_file(old))
    if moved is not None:
        check_free(draft, new, others)
        _check_links(draft, old, others)
        if not force:
            _check_takers(draft, old, these)
    elif draft.file(_file(new)) is None:
        raise MissingError(
            draft.path, f"neither {_shown(old)} nor {_shown(new)} is there",
            hint=f"fastsm replace-asset puts a file there: name it as {printable(old)}"
            if _may_be(old) else f"Copy the file to {_shown(new)} first.",
        )  # fmt: skip
    rewrite = draft.rewrite()
    for definition in these:
        definition.rename(rewrite, new)
    draft.put(rewrite)
    if {d.filename for graph in draft.graphs for d in definitions(graph)} != {
        new, *(d.filename for d in others)
    }:  # fmt: skip
        raise InternalError(draft.path, "the new names of assets do not read as meant")
    warnings = draft.plan.warnings
    if moved is None:
        if not same_file(old, new):
            warnings.append(f"there was no {_shown(old)} to move: only its name changed")
    else:
        draft.write(_file(new), moved)
        draft.remove(_file(old))
        if os.path.islink(path_of(draft.folder, old)):
            warnings.append(f"{_shown(old)} was a link; {_shown(new)} has what it led to")
    if moved is not None and spelled == {os.path.normpath(old)}:
        done.inverse = ("rename-asset", new, os.path.normpath(old), *(["--force"] * force))
    elif moved is not None:
        odd = printable(sorted(spelled - {os.path.normpath(old)})[0])
        warnings.append(f'it was spelled "{odd}": renaming it back would not spell it so')
    return done


def _is(filename: str, name: str) -> bool:
    """Whether a definition's filename means the asset of a name."""
    if leads_out(filename) or leads_out(name):
        return filename == name
    return same_file(filename, name)


def _may_be(name: str) -> bool:
    """Whether a name can be that of a file in ``assets/``."""
    return not leads_out(name) and os.path.normpath(name) != "."


def _file(name: str) -> str:
    """The path in the model's folder of an asset that does not lead out."""
    return f"{ASSETS}/{os.path.normpath(name)}"


def _shown(name: str) -> str:
    return printable(name if leads_out(name) else f"{ASSETS}/{name}")


def _no_asset(draft: Draft, name: str, known: list[str]) -> MissingError:
    names = list(dict.fromkeys(known))
    words = f"no meta graph names an asset {printable(name) or repr(name)}."
    return MissingError(draft.path, f"{words} {did_you_mean(name, names)}")


def _check_new(draft: Draft, new: str) -> None:
    """Refuse what can be no asset's name, here or on another system's disk."""
    if leads_out(new):
        raise RefusedError(
            draft.path, f"{printable(new)} leads out of {ASSETS}/: loaders would not agree on it"
        )
    if not is_name(new):
        problem = f"{printable(new)!r} is no plain path in {ASSETS}/: write it as sub/name"
        raise UsageError(draft.path, problem)
    try:
        parts = new.encode().split(b"/")
    except UnicodeEncodeError:
        raise UsageError(draft.path, f"{printable(new)} is not valid Unicode") from None
    if max(map(len, parts)) > _MAX_NAME:
        problem = f"{printable(new)}: a file's name has {_MAX_NAME} bytes at most"
        raise UsageError(draft.path, problem)


def check_free(draft: Draft, new: str, others: list[Definition]) -> None:
    """Refuse a name that something else has."""
    if any(_is(d.filename, new) for d in others):
        raise RefusedError(draft.path, f"{printable(new)} is another asset of the model already")
    real = linked_out(draft.folder, new)
    if real is not None:
        problem = f"{_shown(new)} would lie behind a link: at {printable(real)}, out of the model"
        raise RefusedError(draft.path, problem)
    if any(name.startswith(_file(new) + "/") for name in draft.plan.writes):
        raise RefusedError(draft.path, f"{_shown(new)} is a folder already")
    parts = _file(new).split("/")
    for n in range(2, len(parts) + 1):
        name = "/".join(parts[:n])
        path = os.path.join(draft.folder, name)
        planned = name in draft.plan.writes
        if planned or (os.path.lexists(path) and name not in draft.plan.removes):
            if n < len(parts) and not planned and os.path.isdir(path):
                continue
            what = "a folder" if not planned and os.path.isdir(path) else "a file"
            raise RefusedError(draft.path, f"{printable(name)} is {what} already")


def _check_links(draft: Draft, old: str, others: list[Definition]) -> None:
    """Refuse to move a file to which another asset leads, by a link or by way of a parent."""
    plain = os.path.normpath(old)
    parent, name = os.path.split(path_of(draft.folder, plain))
    there = os.path.join(os.path.realpath(parent), name)
    for d in others:
        if leads_out(d.filename):
            leads = plain in meant(draft.folder, d.filename)
        else:
            real = real_path(draft.folder, d.filename)
            leads = real == there and _file(d.filename) not in draft.plan.writes
        if leads:
            raise RefusedError(
                draft.path,
                f"the asset {printable(d.filename)} leads to {_shown(old)}, and would be lost",
                hint="fastsm repair --only asset-outside makes that a plain name."
                if leads_out(d.filename) else None,
            )  # fmt: skip


def _check_takers(draft: Draft, old: str, these: list[Definition]) -> None:
    """Refuse where the asset may be found by its name, and not by the tensor that is fed it.

    An op that is not known to open the path alone may look for other files by it: those of
    TensorFlow Decision Forests take the folder of one asset and read all there.
    """
    for graph in {d.graph.index: d.graph for d in these}.values():
        try:
            found = takers(Graph(graph))
        except FormatError:
            found = None
        if found is None:
            problem = f"{graph.place} does not tell which ops take the path of {printable(old)}"
            raise RefusedError(draft.path, problem, hint="--force renames it all the same.")
        assets = graph.assets
        mine: set[str] = set()
        for asset, ops in zip(assets, found, strict=True):
            if _is(asset.filename, old):
                mine |= ops
        for asset, ops in zip(assets, found, strict=True):
            odd = sorted(ops - OPENERS)
            if odd and (not mine or _is(asset.filename, old)):
                raise RefusedError(
                    draft.path,
                    f'the op "{printable(odd[0])}" takes the path of {printable(asset.filename)}, '
                    f"and may look for {'other files' if mine else printable(old)} by it",
                    hint="--force renames it all the same.",
                )


# -- replace-asset --


def replace_asset(draft: Draft, name: str, file: str | os.PathLike[str]) -> Done:
    """Let an asset have the content of a file.

    Args:
        name: Its name, relative to ``assets/``.
        file: A regular file, anywhere.

    Raises:
        MissingError: No meta graph names the asset, or there is no such file.
        RefusedError: The name leads out of ``assets/``; or the file is none that can be read.
    """
    names = [d.filename for graph in draft.graphs for d in definitions(graph)]
    if not any(_is(filename, name) for filename in names):
        raise _no_asset(draft, name, names)
    if not _may_be(name):
        raise RefusedError(
            draft.path,
            f'"{printable(name)}" names no file of {ASSETS}/',
            hint=f"Copy the file to {ASSETS}/ yourself, and rename the asset to it: "
            "fastsm rename-asset",
        )
    new = _open(os.fspath(file))
    old = draft.file(_file(name))
    draft.write(_file(name), new)
    if os.path.islink(path_of(draft.folder, os.path.normpath(name))):
        draft.plan.warnings.append(f"{_shown(name)} is a link: what it leads to is replaced")
    before = None if old is None else old.size
    return Done(
        "replace-asset", {"name": name, "file": os.fspath(file)},
        f"asset {printable(name)}: {'not there' if before is None else size(before)} -> "
        f"{size(new.size)}",
        {"bytes": before}, {"bytes": new.size}, drops=True,
    )  # fmt: skip


def _open(path: str) -> Source:
    """The content of a file that the user names."""
    try:
        return File(path).source()
    except FileNotFoundError:
        raise MissingError(path, "is not there") from None
    except (OSError, ValueError) as e:
        words = getattr(e, "strerror", None) or "not a regular file"
        raise RefusedError(path, f"cannot be read: {words}") from None


# -- files that go --


def names_of(graphs: Iterable[MetaGraph]) -> set[str]:
    """The filenames in all definitions of some meta graphs, as they are spelled."""
    return {d.filename for graph in graphs for d in definitions(graph)}


def unnamed_files(
    draft: Draft, names: Iterable[str], left: Iterable[MetaGraph], warnings: list[str]
) -> list[str]:
    """The files that some names mean, and no name in the meta graphs that are left.

    A link stays, with a warning: what it leads to is not the model's.

    Returns:
        Their paths in the model's folder, sorted.
    """
    kept = {path for name in names_of(left) for path in meant(draft.folder, name)}
    alone = {path for name in names for path in meant(draft.folder, name)} - kept
    used = {real_path(draft.folder, name) for name in kept} - {None}
    found = []
    for name in sorted(alone):
        path = f"{ASSETS}/{name}"
        if draft.file(path) is None or real_path(draft.folder, name) in used:
            continue
        if os.path.islink(path_of(draft.folder, name)):
            warnings.append(f"{printable(path)} is a link, which nothing needs: remove it yourself")
        else:
            found.append(path)
    return found
