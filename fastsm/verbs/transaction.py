"""`fastsm.edit`: edits of a model, one plan, one commit; and what an edit returns."""

from __future__ import annotations

import os

from ..commit import commit
from ..edits.draft import Draft
from ..errors import InternalError, RefusedError, UsageError
from ..locate import entries
from ..model import SavedModel
from ..model import open as open_any
from ..source import Reader, from_bytes
from ..text import Record, did_you_mean, one_line, printable, shell
from ..views import meta_graphs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, TypedDict

    from typing_extensions import Unpack

    from .._core import Source
    from ..edits.draft import Done
    from ..locate import Entry
    from ..plan import Change, Plan
    from ..proof.report import ParityReport
    from ..views import MetaGraph

    Path = str | os.PathLike[str]
    Tags = str | Iterable[str]
    Names = str | Iterable[str]
    TagSets = str | Iterable[Tags]

    class Options(TypedDict, total=False):
        """What `Edit` takes beside the path, and every edit of one call."""

        out: Path | None
        in_place: bool
        dry_run: bool
        sync: bool
        backup: Path | None
        receipt: Path | None
        link: bool
        progress: Callable[[int, int], object] | None
        parity: bool | Mapping[str, Any]


#: What ``parity`` can say, for `fastsm.parity`.
_PARITY = (
    "device", "python", "loaders", "signatures", "inputs", "seed", "imports", "op_libraries",
    "timeout", "progress",
)  # fmt: skip

#: How many names stand behind PATH in the commands that take edits back; options follow them.
_NAMES = {
    "retag": 2, "rename-asset": 2, "rename-signature": 2, "remove-signature": 1,
    "set-method-name": 2, "rename-input": 3, "rename-output": 3,
}  # fmt: skip


class EditResult(Record):
    """What an edit did, or with ``dry_run`` would do.

    Attributes:
        changed: Whether anything is different now; if not, nothing was written.
        plan: The plan: which files, which bytes; None for what `undo` did.
        changes: What became of each file, sorted by name.
        warnings: What the user should know.
        before, after: What the edits changed, by name: of several that changed the same, the
            first ``before`` and the last ``after``.
        edits: What was done, in order.
        path: Where the edited model is.
        undo: The command that takes it back, or None.
        parity: How the edited model was held against the old one; None where that was not asked
            for, or nothing is different.
    """

    __slots__ = (
        "changed", "path", "before", "after", "edits", "changes", "warnings", "undo", "parity",
        "plan", "_folder",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        folder: str,
        plan: Plan | None,
        changes: list[Change],
        warnings: list[str],
        edits: list[Done],
        undo: str | None,
        parity: ParityReport | None = None,
    ) -> None:
        self._folder = folder
        self.changed = bool(changes)
        self.path = path
        self.plan = plan
        self.changes = changes
        self.warnings = warnings
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        for edit in edits:
            self.before = {**edit.before, **self.before}
            self.after = {**self.after, **edit.after}
        self.edits = edits
        self.undo = undo
        self.parity = parity

    @property
    def what(self) -> str:
        """What was done, in a few words."""
        return "; ".join(edit.what for edit in self.edits)

    @property
    def untouched(self) -> list[Entry]:
        """The files of the model, and its folders that hold any, in which nothing changed."""
        if self.plan is not None and self.plan.new:
            return []
        touched = {c.name.partition("/")[0] for c in self.changes}
        return [e for e in entries(self._folder) if e.files and e.name.rstrip("/") not in touched]

    def size_of(self, name: str) -> tuple[int, int]:
        """The bytes of a file, or a folder (``variables/``), of the model before and after."""
        changed = {c.name: c for c in self.changes if c.name == name or c.name.startswith(name)}
        path, stays = os.path.join(self._folder, name), 0
        found = [path] if os.path.isfile(path) else []
        for folder, _, files in os.walk(path):
            found += [os.path.join(folder, file) for file in files]
        for file in found:
            if os.path.relpath(file, self._folder) not in changed:
                stays += os.lstat(file).st_size
        before = sum(c.before or 0 for c in changed.values())
        return stays + before, stays + sum(c.after or 0 for c in changed.values())

    def __repr__(self) -> str:
        if not self.changed:
            return f"EditResult(changed=False, path={self.path!r})"
        parts = [f"{k}: {v} -> {self.after.get(k)}" for k, v in self.before.items()]
        return f"EditResult(changed=True, path={self.path!r}, {', '.join(parts)})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "changed": self.changed,
            "before": self.before,
            "after": self.after,
            "edits": [{"verb": e.verb, **e.arguments} for e in self.edits],
            "files": [{"name": c.name, "before": c.before, "after": c.after} for c in self.changes],
            "untouched": [e.name for e in self.untouched],
            "warnings": [one_line(w) for w in self.warnings],
            "undo": self.undo,
            "parity": None if self.parity is None else self.parity.to_dict(),
        }


class Edit:
    """Edits of a model: each sees what those before it did, and all are written at once.

    Used as a context manager: at the end of the block the edits are carried out, whole or not
    at all; an exception in it discards them. Nothing is written before.

    Args:
        path: The model's folder.
        out: An absent or empty folder for the edited model; the model itself stays.
        in_place: Replace the model's own files. Edits that can be taken back do so anyway;
            those that drop something want to be told: one of ``out`` and ``in_place``.
        dry_run: Do all but write.
        sync: Wait until the disk has it.
        backup: A folder for the old bytes, from which `undo` restores them.
        receipt: A file for what was done.
        link: With ``out``: hard links where bytes do not change.
        progress: Called with (bytes done, bytes in all).
        parity: Before anything is written, hold what TensorFlow makes of the edited model against
            what it makes of the old one: True, or options of `fastsm.parity`, as
            ``{"device": "gpu", "python": "/opt/tf/bin/python"}``. A dry run does that, too.

    Attributes:
        done: What was done so far, in order.
        dry_run, parity: As they were given; may be changed until the block ends.
        result: What came of it, once the block has ended; None before.

    Raises:
        RefusedError: Not a model to edit; or at the end: it changed meanwhile, or ``parity``
            found a difference.
        CommitError: At the end: the disk; says which model is there now.
        UnsupportedError, BackendMissingError: At the end: ``parity`` could compare nothing, or
            there is no TensorFlow.
        UsageError: At the end: a strip or a repair failed, and the block went on.
    """

    def __init__(
        self,
        path: Path,
        *,
        out: Path | None = None,
        in_place: bool = False,
        dry_run: bool = False,
        sync: bool = True,
        backup: Path | None = None,
        receipt: Path | None = None,
        link: bool = False,
        progress: Callable[[int, int], object] | None = None,
        parity: bool | Mapping[str, Any] = False,
    ) -> None:
        if out is not None and in_place:
            raise UsageError(os.fspath(path), "out and in_place: one of them")
        for name in () if isinstance(parity, bool) else parity:
            if name not in _PARITY:
                problem = f"parity has no {printable(str(name))!r}"
                raise UsageError(os.fspath(path), problem, hint=did_you_mean(str(name), _PARITY))
        self._told = out is not None or in_place or dry_run
        self._options: Any = {
            "out": _text(out), "sync": sync, "backup": _text(backup),
            "receipt": _text(receipt), "link": link, "progress": progress,
        }  # fmt: skip
        self.dry_run = dry_run
        self.parity = parity if isinstance(parity, bool) else dict(parity)
        self._progress = progress
        self._model = _open_model(path)
        self._draft = Draft(
            self._model.path, self._model.located, self._model.reader, elsewhere=out is not None
        )
        self.done: list[Done] = []
        self._over = False
        self.result: EditResult | None = None

    def __enter__(self) -> Edit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._carry_out()
        self._over = True

    # -- the edits --

    def retag(self, old: Tags, new: Tags, *, force: bool = False) -> None:
        """Another tag set for a meta graph: see `fastsm.retag`."""
        from ..edits.tags import retag

        self._add(retag(self._open, old, new, force=force))

    def rename_asset(self, old: str, new: str, *, force: bool = False) -> None:
        """Another name for a file of assets/: see `fastsm.rename_asset`."""
        from ..edits.assets import rename_asset

        self._add(rename_asset(self._open, old, new, force=force))

    def replace_asset(self, name: str, file: Path) -> None:
        """Another content for a file of assets/: see `fastsm.replace_asset`."""
        from ..edits.assets import replace_asset

        self._must_say_where()
        self._add(replace_asset(self._open, name, file))

    def remove_meta_graph(self, *tag_sets: Tags, all_meta_graphs: bool = False) -> None:
        """Take meta graphs out: see `fastsm.remove_meta_graph`."""
        from ..edits.meta_graphs import remove_meta_graph

        self._must_say_where()
        self._add(remove_meta_graph(self._open, *tag_sets, all_meta_graphs=all_meta_graphs))

    def extract_meta_graph(self, tags: Tags) -> None:
        """Take all meta graphs out but one: see `fastsm.extract_meta_graph`."""
        from ..edits.meta_graphs import extract_meta_graph

        self._must_say_where()
        self._add(extract_meta_graph(self._open, tags))

    def clear_devices(self, *, tags: Tags | None = None) -> None:
        """No node and no variable on a device of its own: see `fastsm.clear_devices`."""
        from ..edits.devices import clear_devices

        self._must_say_where()
        self._add(clear_devices(self._open, tags=tags))

    def rename_signature(
        self, old: str, new: str, *, tags: Tags | None = None, all_meta_graphs: bool = False
    ) -> None:
        """Another key for a signature: see `fastsm.rename_signature`."""
        from ..edits.signatures import rename_signature

        self._add(
            rename_signature(self._open, old, new, tags=tags, all_meta_graphs=all_meta_graphs)
        )

    def copy_signature(
        self, key: str, new: str, *, tags: Tags | None = None, all_meta_graphs: bool = False
    ) -> None:
        """A second key for a signature: see `fastsm.copy_signature`."""
        from ..edits.signatures import copy_signature

        self._add(
            copy_signature(self._open, key, new, tags=tags, all_meta_graphs=all_meta_graphs)
        )

    def remove_signature(
        self, *keys: str, tags: Tags | None = None, all_meta_graphs: bool = False
    ) -> None:
        """Take signatures out: see `fastsm.remove_signature`."""
        from ..edits.signatures import remove_signature

        self._must_say_where()
        self._add(
            remove_signature(self._open, *keys, tags=tags, all_meta_graphs=all_meta_graphs)
        )

    def set_method_name(
        self, key: str, method: str, *, tags: Tags | None = None, all_meta_graphs: bool = False
    ) -> None:
        """Another method for a signature: see `fastsm.set_method_name`."""
        from ..edits.signatures import set_method_name

        self._add(
            set_method_name(self._open, key, method, tags=tags, all_meta_graphs=all_meta_graphs)
        )

    def add_signature(
        self,
        key: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        *,
        method: str = "predict",
        tags: Tags | None = None,
        all_meta_graphs: bool = False,
    ) -> None:
        """A signature for tensors of the graph: see `fastsm.add_signature`."""
        from ..edits.new_signature import add_signature

        self._add(
            add_signature(
                self._open, key, inputs, outputs, method=method, tags=tags,
                all_meta_graphs=all_meta_graphs,
            )
        )  # fmt: skip

    def rename_input(
        self,
        key: str,
        old: str,
        new: str,
        *,
        tags: Tags | None = None,
        all_meta_graphs: bool = False,
    ) -> None:
        """Another name for an input of a signature: see `fastsm.rename_input`."""
        from ..edits.signature_names import rename_input

        done = rename_input(
            self._open, key, old, new, tags=tags, all_meta_graphs=all_meta_graphs
        )
        self._add(done)

    def rename_output(
        self,
        key: str,
        old: str,
        new: str,
        *,
        tags: Tags | None = None,
        all_meta_graphs: bool = False,
    ) -> None:
        """Another name for an output of a signature: see `fastsm.rename_output`."""
        from ..edits.signature_names import rename_output

        done = rename_output(
            self._open, key, old, new, tags=tags, all_meta_graphs=all_meta_graphs
        )
        self._add(done)

    def dedupe(self) -> None:
        """Let variables that are stored twice share their bytes: see `fastsm.dedupe`."""
        from ..edits.dedupe import dedupe

        self._must_say_where()
        self._add(dedupe(self._open, self._progress))

    def strip_training_graph(
        self,
        *,
        level: str = "serving",
        keep_signatures: Names = (),
        drop_signatures: Names = (),
        keep_objects: Names = (),
        drop_objects: Names = (),
        keep_save: bool = False,
        strip_debug: bool = False,
        tags: Tags | None = None,
        drop_tags: TagSets = (),
        inference_only: bool = False,
        no_gradients: bool = False,
    ) -> None:
        """Only what serving needs: see `fastsm.strip_training_graph`."""
        from ..edits.strip.model import strip
        from ..edits.strip.request import Request

        self._must_say_where()
        request = Request(
            self._draft.path, level=level, keep_signatures=_names(keep_signatures),
            drop_signatures=_names(drop_signatures), keep_objects=_names(keep_objects),
            drop_objects=_names(drop_objects), keep_save=keep_save, strip_debug=strip_debug,
            tags=tags, drop_tags=(drop_tags,) if isinstance(drop_tags, str) else tuple(drop_tags),
            inference_only=inference_only, no_gradients=no_gradients,
        )  # fmt: skip
        self._add_steps(lambda: strip(self._open, request, self._progress))

    def repair(self, *, only: str | Iterable[str] | None = None) -> None:
        """Mend what `verify` finds: see `fastsm.repair`. Before any other edit: the findings
        are of the model as it lies on the disk."""
        from .repair import mend

        self._must_say_where()
        if self._open.changed:
            problem = "repair mends what verify finds on the disk: it comes before other edits"
            raise UsageError(self._draft.path, problem)
        self._add_steps(lambda: mend(self._draft, only, self._progress))

    def apply(self, edits: Iterable[Mapping[str, Any]]) -> None:
        """Edits as data, in order.

        Args:
            edits: Of each its ``verb`` ("rename-signature") and what the method of that name
                takes, by its parameters' names: what `EditResult.to_dict` has as ``edits``.

        Raises:
            UsageError: No such verb, or not what it takes.
        """
        from .data import call

        for i, item in enumerate(edits):
            call(self, item, f"edits[{i}]")

    # -- how they are carried out --

    @property
    def _open(self) -> Draft:
        if self._over:
            raise UsageError(self._draft.path, "the edits are carried out, or discarded, already")
        return self._draft

    def _must_say_where(self) -> None:
        """An edit that takes something away does so where it is told to, and nowhere else."""
        if not self._told:
            raise UsageError(
                self._draft.path,
                "say where to write: out=DIR, or in_place=True; or dry_run=True for a look",
            )

    def _add(self, done: Done) -> None:
        self.done.append(done)

    def _add_steps(self, act: Callable[[], Done]) -> None:
        """Add an edit of several steps. Where it fails the block is over: some of them may be
        in the draft, and half of an edit is never carried out."""
        try:
            self._add(act())
        except BaseException:
            self._over = True
            raise

    def _carry_out(self) -> None:
        draft, options = self._open, self._options
        plan = draft.finish()
        edits = [{"verb": done.verb, **done.arguments} for done in self.done]
        if len(self.done) == 1:
            plan.verb, plan.arguments = self.done[0].verb, self.done[0].arguments
        else:
            plan.verb, plan.arguments = "edit", {"edits": edits}
        where = options["out"] or self._model.path
        reports: list[ParityReport] = []

        def prove(staged: str) -> dict[str, Any]:
            from ..proof.gate import prove  # starts TensorFlow, in a process of its own

            asked = {} if isinstance(self.parity, bool) else dict(self.parity)
            reports.append(prove(self._model, staged, where, edits, asked))
            return reports[0].to_dict()

        committed = commit(
            plan, check=check_of(draft), prove=None if self.parity is False else prove,
            dry_run=self.dry_run, **options,
        )  # fmt: skip
        self.result = EditResult(
            where, self._model.folder, plan, committed.written, committed.warnings, self.done,
            self._undo(where) if committed.changed else None, reports[0] if reports else None,
        )  # fmt: skip

    def _undo(self, where: str) -> str | None:
        """The commands that take all of it back: the inverse of each edit, or the backup."""
        inverses = [done.inverse for done in reversed(self.done) if done.changes]
        if inverses and None not in inverses:
            return " && ".join(command(words, where) for words in inverses if words)
        backup = self._options["backup"]
        return None if backup is None else f"fastsm undo {shell(where)} {shell(backup)}"


def check_of(draft: Draft) -> Callable[[str, Source], None]:
    """What was staged of a draft must read as what was meant, or it is not published.

    Returns:
        What `commit` takes as ``check``. Raises InternalError where it does not.
    """

    def check(name: str, staged: Source) -> None:
        new = draft.variables
        if new is not None:
            new.check(name, staged)
        if name != draft.name:
            return
        if draft.format == "pbtxt":
            from ..pbtxt import to_binary

            staged = from_bytes(to_binary(staged.read(0, staged.size), name))
        if _outline(meta_graphs(Reader(staged, name))) != _outline(draft.graphs):
            raise InternalError(draft.path, f"the staged {name} does not read as planned")

    return check


def _outline(graphs: Iterable[MetaGraph]) -> list[object]:
    """What a model says first of all: tags and signatures, whose order a .pbtxt loses."""
    return [(graph.tags, sorted(graph.signature_spans)) for graph in graphs]


def edit(path: Path, **options: Unpack[Options]) -> Edit:
    """Several edits of a model as one: see `Edit`.

    Example:
        >>> import fastsm
        >>> with fastsm.edit("examples/ranker/1", dry_run=True) as e:
        ...     e.retag("serve", {"serve", "gpu"})
        ...     e.retag({"serve", "gpu"}, "gpu")
        >>> e.result
        EditResult(changed=True, path='examples/ranker/1', tags: ['serve'] -> ['gpu'])
    """
    return Edit(path, **options)


def one(edit: Edit, verb: str, *args: Any, **keywords: Any) -> EditResult:
    """Do one edit, and nothing else."""
    with edit:
        getattr(edit, verb)(*args, **keywords)
    assert edit.result is not None
    return edit.result


def command(words: Sequence[str], path: str) -> str:
    """An edit as a command line.

    Args:
        words: The verb, what stands behind PATH, then options.
    """
    verb, *rest = words
    n = _NAMES[verb]
    names, options = [path, *rest[:n]], rest[n:]
    if options[:1] == ["--tags"] and options[1].startswith("-"):
        options = [f"--tags={options[1]}"]
    if any(name.startswith("-") for name in names):
        names, options = [*options, "--", *names], []
    return " ".join(["fastsm", verb, *map(shell, [*names, *options])])


def _open_model(path: Path) -> SavedModel:
    """The model to edit.

    Raises RefusedError for a checkpoint that is no part of one: edits keep all files of a
    model true to each other, and here nobody would know which those are.
    """
    model = open_any(path)
    if not isinstance(model, SavedModel):
        raise RefusedError(
            os.fspath(path),
            "is a checkpoint, not a model: it can be read, and only models are edited",
        )
    return model


def _names(names: Names) -> tuple[str, ...]:
    """Names, or one."""
    return (names,) if isinstance(names, str) else tuple(names)


def _text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)
