"""A model as edits leave it, before anything is written: what they see and what they change.

An edit is a function from a draft and a request to a `Done`. It looks at the draft's views,
hands in splices, and the next edit sees a model that has them: so edits compose, and all of
them are one plan, one commit.
"""

from __future__ import annotations

import os

from .. import _core
from ..bundle import OBJECT_GRAPH_KEY, has_variables, index_path
from ..errors import AmbiguousError, FormatError, MissingError, RefusedError
from ..fingerprint import NAME as FINGERPRINT
from ..fingerprint.renew import renewed
from ..locate import CHUNKED, FILES
from ..plan import Plan, Rewrite, same
from ..source import File, Reader, Source, from_bytes
from ..text import Record, printable, tag_set
from ..views import as_tag_set, meta_graphs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from typing import Any

    from ..bundle.opened import Bundle
    from ..bundle.rewrite import BundleRewrite, Rewritten
    from ..locate import Located
    from ..views import MetaGraph

_STRING = 7  # DataType of the entry that holds the checkpoint's object graph


class Done(Record):
    """What an edit did to a draft.

    Attributes:
        verb: Its name on the command line.
        arguments: What it was asked, by the names of its Python parameters; JSON values.
        what: What it did, in a few words: ``{serve} -> {gpu, serve}``.
        before, after: What changed, by name.
        inverse: The command that takes it back, without the path: the verb and the words
            behind PATH; None where there is none, or nothing changed.
        drops: Whether something went that the model cannot give back.
    """

    __slots__ = ("verb", "arguments", "what", "before", "after", "inverse", "drops")

    def __init__(
        self,
        verb: str,
        arguments: dict[str, Any],
        what: str,
        before: dict[str, Any],
        after: dict[str, Any],
        *,
        inverse: tuple[str, ...] | None = None,
        drops: bool = False,
    ) -> None:
        self.verb = verb
        self.arguments = arguments
        self.what = what
        self.before = before
        self.after = after
        self.inverse = inverse
        self.drops = drops

    @property
    def changes(self) -> bool:
        """Whether anything is different."""
        return self.inverse is not None or self.before != self.after


class Draft:
    """A model as the edits so far leave it.

    Args:
        path: The model, as errors name it.
        located: Its files, as they were found and opened; None: there is none yet, see `new`.
        reader: Its saved_model.pb; of a .pbtxt the binary form.
        elsewhere: Whether the edited model is written to another folder.

    Attributes:
        path, folder: As errors name it, and where it is.
        format, name: "pb" or "pbtxt"; the name of the file that ``reader`` is of.
        elsewhere: As given.
        reader: Its saved_model.pb by now.
        plan: What becomes of its files; complete after `finish`.
        touched: Which hashes of its fingerprint the edits can be seen in, but for the
            checksum of the whole; if they are edits of the first meta graph.
    """

    def __init__(
        self, path: str, located: Located | None, reader: Reader, *, elsewhere: bool = False
    ) -> None:
        self.path = path
        self.elsewhere = elsewhere
        self.plan = Plan(path, new=True) if located is None else Plan(located.folder)
        self.folder = self.plan.folder
        self.format = "pb" if located is None else located.format
        self.name = FILES[self.format]
        if located is not None:
            self.plan.read(self.name, located.file)
        self.touched: set[int] = set()
        self._first = self.reader = reader
        self._graphs: list[MetaGraph] | None = None
        self._past: list[MetaGraph] = []
        self._bundle: Bundle | None = None
        self._rewrite: BundleRewrite | None = None
        self._rewritten: Rewritten | None = None
        self._tracked: Reader | None = None

    @classmethod
    def new(cls, path: str, source: Source, *, prefix: str | None = None) -> Draft:
        """A model that is not there yet.

        Args:
            path: What it is made from, as errors name it.
            source: Its saved_model.pb.
            prefix: Its variables: a checkpoint, wherever it lies; None: it has none.

        Raises:
            MissingError: There is no such checkpoint, or not all of it.
            FormatError: Its index is damaged.
            UnsupportedError: It is one that cannot be read.
        """
        draft = cls(path, None, Reader(source, path), elsewhere=True)
        if prefix is not None:
            from ..bundle.opened import Bundle

            draft._bundle = bundle = Bundle.open(prefix)
            draft.bundle_rewrite()  # all of it is new
            for shard in sorted(bundle.index.shards()):
                bundle.shard(shard)
        return draft

    # -- saved_model.pb --

    @property
    def graphs(self) -> list[MetaGraph]:
        """The meta graphs by now, in file order; others after each `put`."""
        if self._graphs is None:
            self._graphs = meta_graphs(self.reader)
        return self._graphs

    def rewrite(self) -> Rewrite:
        """Splices over saved_model.pb as it is by now, to be handed to `put`."""
        return Rewrite(self.reader.source)

    def put(self, rewrite: Rewrite, touches: Iterable[int] = ()) -> None:
        """Let these splices be part of the model.

        Args:
            touches: The hashes of the fingerprint that see them, but for the checksum:
                PROGRAM (the graph, functions too), SIGNATURES, OBJECTS (concrete functions).

        Raises:
            RefusedError: The model also has a chunked file, which stays as it was.
        """
        if self.reader is self._first:
            self._check_alone()
        self.reader = Reader(rewrite.source(), self.reader.path)
        self._past += self._graphs or ()
        self._graphs = None
        self.touched.update(touches)

    def _check_alone(self) -> None:
        """Look for other forms of the model beside the one that changes."""
        if os.path.lexists(os.path.join(self.folder, CHUNKED)):
            raise RefusedError(
                self.path,
                f"a {CHUNKED} lies beside saved_model.pb: TensorFlow's own code reads the one "
                "or the other, and they would no longer agree",
                hint=f"Move {CHUNKED} out of the folder first.",
            )
        text = os.path.join(self.folder, "saved_model.pbtxt")
        if self.format == "pb" and os.path.lexists(text):
            self.plan.warnings.append(
                "saved_model.pbtxt beside saved_model.pb is not changed; no loader reads it"
            )

    def choose(
        self,
        tags: str | Iterable[str] | None,
        all_meta_graphs: bool,
        holds: Callable[[MetaGraph], object],
        what: str,
    ) -> list[MetaGraph]:
        """The meta graphs that an edit is about.

        Args:
            tags: The tag set of the one that is meant; None for the only one that holds it.
            all_meta_graphs: All that hold it, instead.
            holds: Whether a meta graph holds the thing to edit.
            what: The thing in words, ``signature "x"``.

        Returns:
            Those that hold it; none when none does.

        Raises:
            MissingError: No meta graph has these tags.
            AmbiguousError: Several hold it, and nothing says which is meant.
        """
        graphs = self.graphs
        if tags is not None:
            wanted = as_tag_set(tags, self.path)
            # Loaders take the first of equal tag sets.
            graphs = [g for g in graphs if g.tag_set == wanted][:1]
            if not graphs:
                here = " ".join(tag_set(g.tag_set) for g in self.graphs) or "none"
                problem = f"no meta graph has the tag set {tag_set(wanted)}; tag sets here: {here}"
                raise MissingError(self.path, problem)
        found = [g for g in graphs if holds(g)]
        if len(found) > 1 and not all_meta_graphs:
            those = " ".join(tag_set(g.tag_set) for g in found)
            raise AmbiguousError(
                self.path,
                f"{len(found)} meta graphs have {what}: {those}",
                hint="Say which with --tags SET (tags=), or --all-meta-graphs.",
            )
        return found

    # -- variables --

    @property
    def bundle(self) -> Bundle | None:
        """The variables as they were; None when there are none.

        Raises FormatError when the index cannot be read, or is no table.
        """
        if self._bundle is None and has_variables(self.folder):
            from ..bundle.opened import Bundle  # a retag needs none

            prefix = index_path(self.folder).removesuffix(".index")
            self._bundle = Bundle.open(prefix, path=self.path)
        return self._bundle

    def bundle_rewrite(self, *, mends: Container[str] = ()) -> BundleRewrite:
        """What becomes of the variables: the one rewrite that all edits add to.

        Args:
            mends: See `BundleRewrite`; of the first call.

        Raises:
            RefusedError: There are no variables.
            FormatError: Their index is damaged.
        """
        from ..bundle.rewrite import BundleRewrite

        if self._rewrite is None:
            if self.bundle is None:
                raise RefusedError(self.path, "it has no variables")
            stem = "variables" if self.plan.new else None
            self._rewrite = BundleRewrite(self.bundle, mends=mends, stem=stem)
        self._rewritten = None
        return self._rewrite

    @property
    def variables(self) -> Rewritten | None:
        """The files of the variables by now; None when no edit asked for others."""
        if self._rewritten is None and self._rewrite is not None:
            self._rewritten = self._rewrite.result()
        return self._rewritten

    @property
    def tracked(self) -> Reader | None:
        """The checkpoint's own object graph by now, a TrackableObjectGraph; None without one.

        Raises:
            RefusedError: It is there and cannot be read whole, so it cannot follow an edit.
        """
        if self._tracked is None and self.bundle is not None:
            index = self.bundle.index
            row = next((i for i, k in enumerate(index.keys()) if k == OBJECT_GRAPH_KEY), None)
            if row is not None:
                name = OBJECT_GRAPH_KEY.decode()
                self._tracked = Reader(from_bytes(self._read_tracked(row)), name)
        return self._tracked

    def _read_tracked(self, row: int) -> bytes:
        from ..bundle.rewrite import BundleRewrite

        assert self.bundle is not None
        try:
            BundleRewrite(self.bundle).check([row])
            dtype, shape, shard, offset, size, _, _ = self.bundle.index.entry(row)
            if dtype != _STRING or shape:
                raise FormatError(self.bundle.index_file.path, "it is no scalar string")
            source = self.bundle.shard(shard).source()
            return _core.string_elements(source, offset, size, 1)[0]
        except (FormatError, MissingError) as e:
            raise RefusedError(
                self.path,
                "the checkpoint's own object graph has to follow this edit, and it cannot be "
                f"read: {e}",
                hint="Get all files of variables/ first; fastsm verify says what is missing.",
            ) from None

    def put_tracked(self, source: Source) -> None:
        """Let these bytes be the checkpoint's own object graph."""
        before = self.tracked
        assert before is not None
        self._tracked = Reader(source, before.path)
        data, masked = _core.encode_strings([source.read(0, source.size)])
        crc = _core.crc32c_unmask(masked)
        self.bundle_rewrite().replace(OBJECT_GRAPH_KEY, data, crc)

    # -- other files --

    def file(self, name: str) -> Source | None:
        """A file of the model's folder by now; None when it is not there.

        Args:
            name: Its path in the folder, with slashes.

        Raises:
            RefusedError: It is there, and no regular file that can be read.
        """
        if name in self.plan.removes:
            return None
        planned = self.plan.writes.get(name)
        if isinstance(planned, Source):
            return planned
        file = self.plan.reads.get(name)
        if file is None:
            try:
                file = File(os.path.join(self.folder, name))
            except (FileNotFoundError, NotADirectoryError):
                return None
            except (OSError, ValueError) as e:
                words = getattr(e, "strerror", None) or "not a regular file"
                problem = f"{printable(name)} cannot be read: {words}"
                raise RefusedError(self.path, problem) from None
            self.plan.read(name, file)
        return file.source()

    def write(self, name: str, content: Source) -> None:
        """Let a file have this content; it may be new."""
        self.file(name)  # the plan holds the new content against it
        self.plan.write(name, content)

    def remove(self, name: str) -> None:
        """Take a file out of the model; one that an edit brought is gone again."""
        if self.file(name) is not None:
            self.plan.remove(name)
        if name not in self.plan.reads:
            self.plan.removes.discard(name)

    # -- the end --

    @property
    def changed(self) -> bool:
        """Whether any edit changed something, be it taken back by another."""
        return (
            self.plan.new or self.reader is not self._first or self._rewrite is not None
            or not self.plan.empty
        )  # fmt: skip

    def finish(self) -> Plan:
        """The plan, with all files that change. Not to be edited any more."""
        plan, source = self.plan, None
        if self.plan.new or self.reader is not self._first:
            source = self._write_model()
        new = self.variables
        if new is not None:
            new.put(plan, "variables/")
        index = new.index if new and "variables/variables.index" in plan.writes else None
        if not plan.new and (source is not None or index is not None):
            self._write_fingerprint(source, index)
        for graph in (*self._past, *(self._graphs or ())):
            graph.forget()
        return plan

    def _write_model(self) -> Source | None:
        """Plan saved_model.pb as it is by now; None when it is as it was."""
        name, source = self.name, self.reader.source
        if self.format == "pbtxt":
            from ..pbtxt import to_text

            # Whole, and not as it was spelled: only where there is something to tell.
            if not same(source, self._first.source):
                text = to_text(source.read(0, source.size), self.reader.path)
                self.plan.write(name, from_bytes(text))
        else:
            self.plan.write(name, source)
        # TensorFlow makes no fingerprint of a .pbtxt; one that is there is of its binary form.
        return source if name in self.plan.writes else None

    def _write_fingerprint(self, source: Source | None, index: Source | None) -> None:
        """Plan a fingerprint.pb as true as it was.

        Args:
            source: The new saved_model.pb, or None.
            index: The new variables.index, or None.
        """
        try:
            file = File(os.path.join(self.folder, FINGERPRINT))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as e:
            words = getattr(e, "strerror", None) or "not a regular file"
            raise RefusedError(self.path, f"{FINGERPRINT} cannot be read: {words}") from None
        self.plan.read(FINGERPRINT, file)
        old, new = meta_graphs(self._first)[:1], self.graphs[:1]
        content = renewed(
            file, source=source, index=index, touched=self.touched if source else (),
            old=old[0] if old else None, new=new[0] if new else None,
        )  # fmt: skip
        if content is not None:
            self.plan.write(FINGERPRINT, content)
