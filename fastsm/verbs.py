"""The editing verbs as users call them: a plan is made, committed, and checked on the way."""

from __future__ import annotations

import os

from .commit import commit
from .edit import tags as edit_tags
from .errors import InternalError, RefusedError
from .fingerprint import NAME as FINGERPRINT
from .fingerprint.renew import with_checksum
from .locate import entries
from .model import SavedModel, as_tag_set
from .model import open as open_model
from .plan import Plan
from .source import LEN, File, Reader, from_bytes
from .text import Record, one_line, shell, tag_set
from .views import MetaGraph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ._core import Source
    from .locate import Entry
    from .plan import Change

    Path = str | os.PathLike[str]


class EditResult(Record):
    """What an edit did, or with ``dry_run`` would do.

    Attributes:
        changed: Whether anything is different now; if not, nothing was written.
        plan: The plan: which files, which bytes; None for what `undo` did.
        changes: What became of each file, sorted by name.
        warnings: What the user should know.
        before, after: What the verb changed, by name.
        path: Where the edited model is.
        undo: The command that takes it back, or None.
    """

    __slots__ = (
        "changed", "path", "before", "after", "changes", "warnings", "undo", "plan", "_folder",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        folder: str,
        plan: Plan | None,
        changes: list[Change],
        warnings: list[str],
        before: dict[str, Any],
        after: dict[str, Any],
        undo: str | None,
    ) -> None:
        self._folder = folder
        self.changed = bool(changes)
        self.path = path
        self.plan = plan
        self.changes = changes
        self.warnings = warnings
        self.before = before
        self.after = after
        self.undo = undo

    @property
    def untouched(self) -> list[Entry]:
        """The files and folders of the model in which nothing changed."""
        touched = {c.name.partition("/")[0] for c in self.changes}
        return [e for e in entries(self._folder) if e.name.rstrip("/") not in touched]

    def __repr__(self) -> str:
        if not self.changed:
            return f"EditResult(changed=False, path={self.path!r})"
        parts = [f"{k}: {v} -> {self.after[k]}" for k, v in self.before.items()]
        return f"EditResult(changed=True, path={self.path!r}, {', '.join(parts)})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "changed": self.changed,
            "before": self.before,
            "after": self.after,
            "files": [{"name": c.name, "before": c.before, "after": c.after} for c in self.changes],
            "untouched": [e.name for e in self.untouched],
            "warnings": [one_line(w) for w in self.warnings],
            "undo": self.undo,
        }


def retag(
    path: Path,
    old: str | Iterable[str],
    new: str | Iterable[str],
    *,
    out: Path | None = None,
    dry_run: bool = False,
    sync: bool = True,
    force: bool = False,
    backup: Path | None = None,
    receipt: Path | None = None,
    link: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> EditResult:
    """Give the meta graph with tag set ``old`` the tag set ``new``.

    In place unless ``out`` says where; fingerprint.pb stays as true as it was. All other
    bytes of the model stay as they are.

    Args:
        path: The model's folder.
        old, new: A tag, or a set of tags. A string with a comma is refused.
        out: An absent or empty folder for the edited model.
        dry_run: Do all but write.
        sync: Wait until the disk has it.
        force: Allow a tag set that another meta graph has.
        backup: A folder for the old bytes, from which `undo` restores them.
        receipt: A file for what was done.
        link: With ``out``: hard links where bytes do not change.
        progress: Called with (bytes done, bytes in all).

    Raises:
        MissingError: No meta graph has ``old``.
        RefusedError: Another one has ``new``; the model changed, or is not one to edit.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.retag("examples/ranker/1", "serve", {"serve", "gpu"}, dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', tags: ['serve'] -> ['gpu', 'serve'])
    """
    model = open_model(path)
    before, after = as_tag_set(old, model.path), as_tag_set(new, model.path)
    edit = edit_tags.retag(model.meta_graphs, before, after, path=model.path, force=force)
    arguments = {"old": sorted(before), "new": sorted(after)}
    plan = _begin(model, "retag", arguments)
    plan.warnings += edit.warnings
    expected = list(model.tag_sets)
    if edit.changes:
        expected[edit.graph.index] = after
        _write_model(plan, model, edit.source())
    done = commit(
        plan,
        out=_text(out),
        dry_run=dry_run,
        backup=_text(backup),
        receipt=_text(receipt),
        sync=sync,
        link=link,
        check=lambda name, staged: _check_tags(model, name, staged, expected),
        progress=progress,
    )
    where = _text(out) or model.path
    undo = f"fastsm retag {shell(where)} {_set(after)} {_set(before)}" if edit.changes else None
    return EditResult(
        where, model.folder, plan, done.written, done.warnings,
        {"tags": sorted(before)}, {"tags": sorted(after)}, undo,
    )  # fmt: skip


def undo(path: Path, backup: Path, *, dry_run: bool = False, sync: bool = True) -> EditResult:
    """Put back the bytes that an edit kept in a backup folder.

    Args:
        path: The model's folder.
        backup: The folder that the edit was given; it stays.
        dry_run: Do all but write.
        sync: Wait until the disk has it.

    Raises:
        MissingError: There is no backup in that folder.
        RefusedError: The model changed since that edit, or the backup is damaged.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.retag("examples/tagger/1", "train", "debug", backup="before").changed
        True
        >>> fastsm.undo("examples/tagger/1", "before").changed
        True
        >>> fastsm.undo("examples/tagger/1", "before").changed
        False
    """
    from .commit.undo import undo as undo_commit

    done = undo_commit(os.fspath(path), os.fspath(backup), dry_run=dry_run, sync=sync)
    where = os.fspath(path)
    return EditResult(where, where, None, done.written, done.warnings, {}, {}, None)


def _begin(model: SavedModel, verb: str, arguments: dict[str, Any]) -> Plan:
    """A plan over a model as it was opened. Refuses what cannot be edited rightly."""
    if model.has_chunked_twin:
        raise RefusedError(
            model.path,
            "a saved_model.cpb lies beside saved_model.pb: TensorFlow's own code reads the one "
            "or the other, and they would no longer agree",
            hint="Move saved_model.cpb out of the folder first.",
        )
    plan = Plan(model.folder, verb=verb, arguments=arguments)
    plan.read(model.located.name, model.located.file)
    if model.format == "pb" and os.path.lexists(os.path.join(model.folder, "saved_model.pbtxt")):
        plan.warnings.append(
            "saved_model.pbtxt beside saved_model.pb is not changed; no loader reads it"
        )
    return plan


def _write_model(plan: Plan, model: SavedModel, source: Source) -> None:
    """Plan a new saved_model file, and the fingerprint that only its checksum touches."""
    if model.format == "pbtxt":
        from .pbtxt import to_text

        text = to_text(source.read(0, source.size), model.reader.path)
        plan.write(model.located.name, from_bytes(text))
        return  # TensorFlow makes no fingerprint of a .pbtxt
    plan.write(model.located.name, source)
    try:
        file = File(os.path.join(model.folder, FINGERPRINT))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as e:
        raise RefusedError(model.path, f"{FINGERPRINT} cannot be read: {e}") from None
    plan.read(FINGERPRINT, file)
    content = with_checksum(file, source)
    if content is not None:
        plan.write(FINGERPRINT, content)


def _check_tags(
    model: SavedModel, name: str, staged: Source, expected: list[frozenset[str]]
) -> None:
    """What was staged must read as what was meant, or it is not published."""
    if name != model.located.name:
        return
    if model.format == "pbtxt":
        from .pbtxt import to_binary

        staged = from_bytes(to_binary(staged.read(0, staged.size), name))
    reader = Reader(staged, name)
    graphs = [f for f in reader.fields([(0, staged.size)], "") if f.number == 2 and f.wire == LEN]
    seen = [MetaGraph(reader, i, f).tag_set for i, f in enumerate(graphs)]
    if seen != expected:
        raise InternalError(
            model.path, f"staged tag sets are {' '.join(map(tag_set, seen))}: not as planned"
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)


def _set(tags: Iterable[str]) -> str:
    return shell(",".join(sorted(tags)))
