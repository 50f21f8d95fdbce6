"""The files that a graph's tables read, taken along as assets.

The path of such a file is a constant of the graph: of the machine that it was made on, and as
good as anything a stranger writes into a file. So what it says is looked for below the folders
of the graph and of the checkpoint; a file elsewhere is taken only where the caller names it.
Source: tensorflow/python/ops/lookup_ops.py TextFileInitializer; training/saver.py;
python/saved_model/builder_impl.py _maybe_save_assets, get_asset_filename_to_add (2.21).
"""

from __future__ import annotations

import os

from ..._core import delimited
from ...assets import ASSETS
from ...errors import MissingError, RefusedError, UsageError
from ...graph.collections import entries
from ...graph.edges import edges_of
from ...graph.nodes import node_of
from ...plan import enclosing, is_name, same
from ...source import File
from ...text import Record, listed, printable, shell
from ..signature_def import tensor_info
from .new_nodes import STRING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..._core import Source
    from ...graph.edges import Edges
    from ...views import MetaGraph
    from ..draft import Draft

#: The collection of the tensors that hold paths.
_COLLECTION = "asset_filepaths"

#: Ops that fill a table from a file, and which input is its path.
_READS = {b"InitializeTableFromTextFile": 1, b"InitializeTableFromTextFileV2": 1}

#: What a file system takes for the name of a file, in bytes, less what makes one unique.
_MAX_NAME = 250

# Field numbers: MetaGraphDef.asset_file_def, AssetFileDef.tensor_info and filename.
_ASSET, _TENSOR, _FILENAME = 6, 1, 2


class AssetTaken(Record):
    """A file that became an asset.

    Attributes:
        tensor: What is fed its path, ``x:0``.
        name: Its name in ``assets/``.
        file: Where it was.
        said: The path in the graph.
    """

    __slots__ = ("tensor", "name", "file", "said")

    def __init__(self, tensor: str, name: str, file: str, said: str) -> None:
        self.tensor = tensor
        self.name = name
        self.file = file
        self.said = said


def take_files(
    draft: Draft, graph: MetaGraph, folders: Sequence[str], named: Mapping[str, str]
) -> list[AssetTaken]:
    """Take the files along that a graph reads, and describe them.

    Args:
        folders: Those of what the model is made from.
        named: Tensor -> file, where the caller says so.

    Returns:
        The files, in the order of the graph's list.

    Raises:
        MissingError: One is not there, or not where it may be taken from.
        UsageError: ``named`` has a tensor that is none of theirs.
    """
    edges = edges_of(graph)
    described = {asset.tensor: asset.filename for asset in graph.assets}
    tensors = _tensors(graph, edges)
    said = {_full(tensor): file for tensor, file in named.items()}
    for tensor in said:
        if tensor not in tensors and tensor not in described:
            has = listed(tensors, 8)
            raise UsageError(
                draft.path, f"--asset {printable(tensor)}: no file is read by that tensor; "
                f"those that are: {has}",
            )  # fmt: skip
    taken = []
    contents: dict[str, Source] = {}
    for tensor, filename in described.items():
        if not is_name(filename):
            problem = f'it names an asset "{printable(filename)}", which is no plain path'
            raise RefusedError(draft.path, problem)
        path = os.path.join(ASSETS, filename)
        file = said[tensor] if tensor in said else _look(draft, tensor, path, folders)
        contents[filename] = _read(draft, tensor, file)
        taken.append(AssetTaken(tensor, filename, file, path))
    for tensor, row in tensors.items():
        if tensor in described:
            continue
        path = _said(edges, row)
        file = said[tensor] if tensor in said else _look(draft, tensor, path, folders)
        content = _read(draft, tensor, file)
        name = _name(_base(path) or _base(file) or "asset", content, contents)
        contents[name] = content
        taken.append(AssetTaken(tensor, name, file, path))
    rewrite = draft.rewrite()
    outer = enclosing(graph.field)
    at = next((f.start for f in graph.fields if f.number > _ASSET), graph.field.end)
    new = [asset for asset in taken if asset.tensor not in described]
    for asset in new:
        info = tensor_info(asset.tensor, STRING, ())
        entry = delimited(_TENSOR, info) + delimited(_FILENAME, asset.name.encode())
        rewrite.replace(at, at, delimited(_ASSET, entry), outer)
    if new:
        draft.put(rewrite)
    for name, content in contents.items():
        draft.write(f"{ASSETS}/{name}", content)
    return taken


def _tensors(graph: MetaGraph, edges: Edges) -> dict[str, int]:
    """The tensors that hold the paths of files, each with its node: those that the collection
    lists, and those that a table is filled by."""
    found: dict[str, int] = {}
    for entry in entries(graph, (_COLLECTION,)):
        row = edges.row(node_of(entry.names[0][0].encode("utf-8", "surrogateescape")))
        if row is not None:
            found[_full(entry.names[0][0])] = row
    for row in edges.with_op(*_READS):
        taken = edges.inputs(row)
        which = _READS[edges.op(row)]
        if which < len(taken) and taken[which].row >= 0 and not taken[which].control:
            at = taken[which]
            name = edges.name(at.row).decode("utf-8", "surrogateescape")
            found.setdefault(f"{name}:{at.output}", at.row)
    return found


def _base(path: str) -> str:
    """The last part of a path, where that can be the name of an asset."""
    base = os.path.basename(path)
    fits = is_name(base) and printable(base, None) == base
    return base if fits and len(base.encode()) <= _MAX_NAME else ""


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def _said(edges: Edges, row: int) -> str:
    """The path that a constant holds, or one behind a default; "" where there is none."""
    for _ in range(4):
        if edges.op(row) == b"Const":
            values = edges.node(row).strings()
            return values[0].decode("utf-8", "surrogateescape") if values else ""
        taken = edges.taken(row)
        if edges.op(row) not in (b"PlaceholderWithDefault", b"Identity") or not taken:
            break
        row = taken[0]
    return ""


def _look(draft: Draft, tensor: str, path: str, folders: Sequence[str]) -> str:
    """The file of a path, where it may be taken from.

    Raises MissingError.
    """
    candidates = list(_candidates(path, folders))
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    what = f'the path of a file is fed to {printable(tensor)}: the graph says "{printable(path)}"'
    file = "FILE"
    if not path:
        what = f"the path of a file is fed to {printable(tensor)}, and the graph does not say which"
    elif "\0" not in path and os.path.isfile(path):
        what += ", which does not lie beside it: such a file is taken only where you name it"
        file = path
    else:
        what += f", which is not there. Looked for: {listed(candidates, 4)}"
    raise MissingError(draft.path, what, hint=f"Name it: --asset {shell(f'{tensor}={file}')}")


def _candidates(path: str, folders: Sequence[str]) -> Iterator[str]:
    """Where the file of a path may be: below the folders as it is said; or, of a path of another
    machine, in them by its name."""
    if not path or "\0" in path:
        return
    base = os.path.basename(path)
    found = [os.path.join(folder, path) for folder in folders]
    for folder in folders if base else ():
        found += [os.path.join(folder, base), os.path.join(folder, ASSETS, base)]
    roots = [os.path.join(os.path.realpath(folder or "."), "") for folder in folders]
    for candidate in dict.fromkeys(found):
        if os.path.realpath(candidate).startswith(tuple(roots)):
            yield candidate


def _read(draft: Draft, tensor: str, file: str) -> Source:
    try:
        return File(file).source()
    except FileNotFoundError:
        raise MissingError(file, f"is not there; it is the file of {printable(tensor)}") from None
    except (OSError, ValueError) as e:
        words = getattr(e, "strerror", None) or "not a regular file"
        raise RefusedError(file, f"cannot be read: {words}") from None


def _name(base: str, content: Source, contents: Mapping[str, Source]) -> str:
    """A name in ``assets/`` that no other content has; the same content is one file."""
    stem, end = os.path.splitext(base)
    name, n = base, 0
    while name in contents and not same(contents[name], content):
        n += 1
        name = f"{stem}_{n}{end}"
    return name
