"""The public face: open a SavedModel, look at it, edit it."""

from __future__ import annotations

import os

from . import _core, bundle
from . import fingerprint as fingerprints
from .errors import (
    AmbiguousError,
    CoreError,
    FormatError,
    MissingError,
)
from .locate import CHUNKED, Located, is_model, locate
from .source import LEN, File, Reader
from .text import count, counted, printable, tag_set
from .views import as_tag_set, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Any, TypeVar

    from ._core import Source
    from .assets import AssetFile
    from .bundle import Summary
    from .bundle.find import Found
    from .bundle.variables import Variables
    from .fingerprint import Fingerprint
    from .fingerprint.hashes import Check
    from .views import MetaGraph, Signature

    T = TypeVar("T")


def open(path: str | os.PathLike[str]) -> SavedModel | Checkpoint:
    """Open a SavedModel: its folder, or the saved_model.pb inside it. Or a checkpoint: its
    prefix (``ckpt/model-10``), its index file, or a folder of them: then the newest.

    Nothing but the outline of the file is read; the rest is when it is touched.

    Returns:
        A SavedModel, or for a checkpoint a Checkpoint: what is there decides, so a type checker
        wants an ``isinstance`` before what only one of them has. Both have ``variables``, and
        are context managers, though nothing is lost by not closing them.

    Raises:
        MissingError: Nothing is there.
        FormatError: What is there is neither, or a damaged one.
        AmbiguousError: A folder of several checkpoints, none of them named as the newest.
        UnsupportedError: An archive, a URL, a .cpb, a .pbtxt with unknown fields, a checkpoint
            of the V1 format.

    Example:
        >>> import fastsm
        >>> model = fastsm.open("examples/ranker/1")
        >>> sorted(model.signatures)
        ['rank', 'serving_default']
        >>> model.signatures["serving_default"].outputs["score"]
        TensorInfo(name='StatefulPartitionedCall_1:0', dtype='float32', shape=(None,))
    """
    if not is_model(path):
        from .bundle.find import find

        found = find(path)
        if found:
            return Checkpoint(os.fspath(path), found)
    return SavedModel(locate(path))


class _Closing:
    """What a ``with`` statement closes at its end."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class SavedModel(_Closing):
    """A SavedModel on disk, read when it is touched.

    Attributes:
        path: As the caller named it.
        folder: The folder that holds it.
        format: "pb" or "pbtxt".
        reader: Its saved_model.pb (of a .pbtxt the binary form).
        located: Its files, as they were found.
    """

    def __init__(self, located: Located) -> None:
        self.located = located
        self.path = located.path
        self.folder = located.folder
        self.format = located.format
        self.reader = Reader(located.source(), located.file_path)
        self._meta_graphs: list[MetaGraph] | None = None
        self._variables: Variables | None = None
        self._outline()

    # -- meta graphs --

    def _outline(self) -> None:
        """Find the meta graphs, and tell what the file is when it is no SavedModel."""
        source = self.reader.source
        try:
            fields = _core.scan(source, [(0, source.size)])
        except CoreError as e:
            from .diagnose import truncated

            what = self._other_kind()
            raise what or truncated(self.reader, e) or self.reader.error(e, "") from None
        graphs = listed(self.reader, fields)
        if not graphs or (fields[0].number, fields[0].wire) == (1, LEN):
            what = self._other_kind()
            if what:
                raise what
        self._meta_graphs = graphs

    def _other_kind(self) -> FormatError | None:
        from .diagnose import other_kind

        try:
            what = other_kind(self.reader.source)
        except CoreError:
            return None
        return FormatError(self.reader.path, what[0], hint=what[1]) if what else None

    @property
    def meta_graphs(self) -> list[MetaGraph]:
        """The meta graphs, in file order. A closed model has none to give: ValueError."""
        if self._meta_graphs is None:
            raise ValueError(f"{self.path}: the model is closed")
        return self._meta_graphs

    @property
    def tag_sets(self) -> list[frozenset[str]]:
        """The tag set of each meta graph, in file order; equal ones may repeat."""
        return [g.tag_set for g in self.meta_graphs]

    def meta_graph(self, tags: str | Iterable[str]) -> MetaGraph:
        """The meta graph that TensorFlow finds by these tags: exactly the set, the first.

        Raises MissingError, listing what there is.
        Source: tensorflow/cc/saved_model/reader.cc FindMetaGraphDef.
        """
        wanted = as_tag_set(tags, self.path)
        for graph in self.meta_graphs:
            if graph.tag_set == wanted:
                return graph
        raise MissingError(
            self.path,
            f"no meta graph has the tag set {tag_set(wanted)}; {self._list_tag_sets()}",
        )

    def only_meta_graph(self) -> MetaGraph:
        """The one meta graph; AmbiguousError or MissingError when there is not one."""
        graphs = self.meta_graphs
        if not graphs:
            raise MissingError(self.path, "the model has no meta graph")
        if len(graphs) > 1:
            raise AmbiguousError(
                self.path,
                f"there are {len(graphs)} meta graphs: say which; {self._list_tag_sets()}",
            )
        return graphs[0]

    def _list_tag_sets(self) -> str:
        return "tag sets here: " + (" ".join(tag_set(t) for t in self.tag_sets) or "none")

    @property
    def signatures(self) -> dict[str, Signature]:
        """The signatures of the only meta graph; AmbiguousError with several."""
        return self.only_meta_graph().signatures

    # -- what lies beside saved_model.pb --

    @property
    def fingerprint(self) -> Fingerprint | None:
        """What fingerprint.pb says, or None; FormatError when it is damaged."""
        path = os.path.join(self.folder, fingerprints.NAME)
        try:
            source = File(path).source()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as e:
            words = getattr(e, "strerror", None) or "not a regular file"
            raise FormatError(path, f"cannot be read: {words}") from None
        if source.size > fingerprints.MAX_SIZE:
            raise FormatError(path, f"has {count(source.size)} bytes: no fingerprint has")
        return fingerprints.Fingerprint(Reader(source, path))

    def check_fingerprint(self, *, known: int | None = None) -> list[Check]:
        """Each hash of fingerprint.pb, stored and computed; empty without one.

        Reads all of saved_model.pb, in constant memory.

        Args:
            known: The checksum of saved_model.pb in canonical order, where it was computed.
        """
        stored = self.fingerprint
        if stored is None:
            return []
        from .fingerprint.hashes import check

        return check(stored, self.reader.source, self.meta_graphs, self._index_source(), known)

    def is_of_index(self, stored: Fingerprint) -> bool:
        """Whether its checkpoint_hash is that of variables.index: cheap, the file is small.

        Raises FormatError when the index cannot be read.
        """
        index = self._index_source()
        try:
            return stored.checkpoint_hash == (_core.fingerprint_source(index) if index else 0)
        except CoreError as e:
            path = bundle.index_path(self.folder)
            raise FormatError(path, str(e), offset=e.offset) from None

    def _index_source(self) -> Source | None:
        try:
            return File(bundle.index_path(self.folder)).source()
        except (OSError, ValueError):
            return None

    @property
    def variables_summary(self) -> Summary | None:
        """The variables counted from variables.index alone, or None without one.

        Raises FormatError when it is no table at all.
        """
        try:
            return bundle.summary(self.folder)
        except (OSError, ValueError) as e:
            if isinstance(e, FormatError):
                raise
            path = bundle.index_path(self.folder)
            words = getattr(e, "strerror", None) or "not a regular file"
            raise FormatError(path, f"cannot be read: {words}") from None

    @property
    def variables(self) -> Variables:
        """The tensors of the checkpoint in the model, by key; none when it has none.

        Raises FormatError when variables.index is no table at all.

        Example:
            >>> import fastsm
            >>> variables = fastsm.open("examples/ranker/1").variables
            >>> variables["_all_variables/0/.ATTRIBUTES/VARIABLE_VALUE"]
            <Variable _all_variables/0/.ATTRIBUTES/VARIABLE_VALUE: float32[4, 8]>
        """
        if self._variables is None:
            from .bundle.opened import Bundle
            from .bundle.variables import Variables

            prefix = bundle.index_path(self.folder).removesuffix(".index")
            there = bundle.has_variables(self.folder)
            opened = Bundle.open(prefix, path=self.path) if there else None
            graphs = self.meta_graphs
            self._variables = Variables(opened, lambda: _restored_keys(graphs))
        return self._variables

    @property
    def assets(self) -> dict[str, AssetFile]:
        """The assets by name: those that meta graphs name, then files of assets/ that none does.

        Raises FormatError where a meta graph's assets cannot be read.

        Example:
            >>> import fastsm
            >>> assets = fastsm.open("examples/tagger/1").assets
            >>> assets["vocabulary.txt"].bytes, assets["vocabulary.txt"].state
            (71, 'present')
            >>> [(use.tags, use.tensor, use.ops) for use in assets["vocabulary.txt"].uses]
            [(['train'], 'asset_path:0', ['InitializeTableFromTextFileV2']), ...]
        """
        from .assets import asset_files

        return asset_files(self.folder, self.meta_graphs)

    @property
    def has_chunked_twin(self) -> bool:
        """Whether a saved_model.cpb lies beside it: TensorFlow's fingerprint code prefers it."""
        return os.path.lexists(os.path.join(self.folder, CHUNKED))

    # -- as a value --

    def close(self) -> None:
        """Let go of the file; what was not read yet cannot be any more."""
        self._meta_graphs = None
        self._variables = None

    def __repr__(self) -> str:
        return f"<SavedModel {printable(self.path)}: {self._list_tag_sets()}>"

    def __eq__(self, other: object) -> bool:
        """Whether two models say the same in all that `to_dict` gives; no bytes are compared."""
        if not isinstance(other, SavedModel):
            return NotImplemented
        mine, theirs = self.to_dict(), other.to_dict()
        return bool(mine["meta_graphs"] == theirs["meta_graphs"])

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """What a person would want to see of it, as plain values."""
        return {
            "path": self.path,
            "format": self.format,
            "meta_graphs": [g.to_dict() for g in self.meta_graphs],
        }


def _restored_keys(graphs: list[MetaGraph]) -> set[bytes] | None:
    from .graph.restored import restored_keys

    return restored_keys(graphs)


class Checkpoint(_Closing):
    """A checkpoint that no SavedModel is around, read when it is touched.

    Attributes:
        path: As the caller named it.
        prefix: Its files' common name, ``ckpt/model-10``.
        notes: What a person should know of how it was found.
    """

    def __init__(self, path: str, found: Found) -> None:
        from .bundle.opened import Bundle
        from .bundle.variables import Variables

        self.path = path
        self.prefix = found.prefix
        self.notes = found.notes
        self._variables: Variables | None = Variables(Bundle.open(found.prefix, path=path))

    @property
    def variables(self) -> Variables:
        """Its tensors, by key. A closed checkpoint has none to give: ValueError."""
        if self._variables is None:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return self._variables

    @property
    def variables_summary(self) -> Summary:
        """Its variables counted, from the index alone."""
        return bundle.Summary(self.variables.index)

    def close(self) -> None:
        """Let go of the files; arrays that lie in them stay."""
        self._variables = None

    def __repr__(self) -> str:
        return f"<Checkpoint {printable(self.prefix)}: {counted(len(self.variables), 'tensor')}>"

    def __eq__(self, other: object) -> bool:
        """Whether two say the same of the same keys: dtype, shape, size and checksum."""
        if not isinstance(other, Checkpoint):
            return NotImplemented
        return self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    def _content(self) -> list[tuple[Any, ...]]:
        out = []
        for v in self.variables.values():
            parts = [(p.extents, p.crc32c) for p in v.slices]
            out.append((v.key, v.dtype, v.shape, v.nbytes, v.crc32c, parts))
        return out

    def to_dict(self) -> dict[str, Any]:
        """What a person would want to see of it, as plain values."""
        return {
            "path": self.path,
            "prefix": self.prefix,
            "variables": [v.to_dict() for v in self.variables.values()],
        }
