"""What all editing verbs share: the model to edit, the files that go with a change, the
commit, and what it returns."""

from __future__ import annotations

import os

from ..bundle import has_variables, index_path
from ..bundle.opened import Bundle
from ..commit import commit
from ..errors import RefusedError, UsageError
from ..fingerprint import NAME as FINGERPRINT
from ..fingerprint.renew import with_checkpoint, with_checksum
from ..locate import entries
from ..model import SavedModel
from ..model import open as open_any
from ..plan import Plan
from ..source import File, from_bytes
from ..text import Record, one_line, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._core import Source
    from ..bundle.rewrite import Rewritten
    from ..commit import Committed
    from ..locate import Entry
    from ..plan import Change

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


def open_model(path: Path) -> SavedModel:
    """The model to edit.

    Raises RefusedError for a checkpoint that is no part of one: verbs that edit keep all
    files of a model true to each other, and here would not know which those are.
    """
    model = open_any(path)
    if not isinstance(model, SavedModel):
        raise RefusedError(
            os.fspath(path),
            "is a checkpoint, not a model: it can be read, and only models are edited",
        )
    return model


def open_bundle(model: SavedModel) -> Bundle | None:
    """The variables of the model; None when it has none.

    Raises FormatError when the index cannot be read, or is no table.
    """
    if not has_variables(model.folder):
        return None
    prefix = index_path(model.folder).removesuffix(".index")
    return Bundle.open(prefix, path=model.path)


def must_say_where(path: Path, out: Path | None, in_place: bool, dry_run: bool) -> None:
    """A verb that takes something away does so where it is told to, and nowhere else.

    Raises UsageError when that is not said, or said twice.
    """
    if out is not None and in_place:
        raise UsageError(os.fspath(path), "out and in_place: one of them")
    if out is None and not in_place and not dry_run:
        problem = "say where to write: out=DIR, or in_place=True; or dry_run=True for a look"
        raise UsageError(os.fspath(path), problem)


def taken_back(where: str, backup: Path | None) -> str | None:
    """The command that puts a backup back, where there is one."""
    return None if backup is None else f"fastsm undo {shell(where)} {shell(os.fspath(backup))}"


def begin(
    model: SavedModel, verb: str, arguments: dict[str, Any], *, only_variables: bool = False
) -> Plan:
    """A plan over a model as it was opened. Refuses what cannot be edited rightly.

    Args:
        arguments: What the verb was asked to do, for the receipt.
        only_variables: saved_model.pb stays as it is, whatever lies beside it.
    """
    plan = Plan(model.folder, verb=verb, arguments=arguments)
    plan.read(model.located.name, model.located.file)
    if only_variables:
        return plan
    if model.has_chunked_twin:
        raise RefusedError(
            model.path,
            "a saved_model.cpb lies beside saved_model.pb: TensorFlow's own code reads the one "
            "or the other, and they would no longer agree",
            hint="Move saved_model.cpb out of the folder first.",
        )
    if model.format == "pb" and os.path.lexists(os.path.join(model.folder, "saved_model.pbtxt")):
        plan.warnings.append(
            "saved_model.pbtxt beside saved_model.pb is not changed; no loader reads it"
        )
    return plan


def write_model(plan: Plan, model: SavedModel, source: Source) -> None:
    """Plan a new saved_model file, and the fingerprint that only its checksum touches."""
    if model.format == "pbtxt":
        from ..pbtxt import to_text

        written = to_text(source.read(0, source.size), model.reader.path)
        plan.write(model.located.name, from_bytes(written))
        return  # TensorFlow makes no fingerprint of a .pbtxt
    plan.write(model.located.name, source)
    file = _fingerprint(plan, model)
    content = with_checksum(file, source) if file else None
    if content is not None:
        plan.write(FINGERPRINT, content)


def write_variables(plan: Plan, model: SavedModel, new: Rewritten) -> None:
    """Plan the files of rewritten variables, and the fingerprint that sees their index."""
    new.put(plan, "variables/")
    if new.index_changes:
        file = _fingerprint(plan, model)
        content = with_checkpoint(file, new.index) if file else None
        if content is not None:
            plan.write(FINGERPRINT, content)


def _fingerprint(plan: Plan, model: SavedModel) -> File | None:
    """fingerprint.pb, as the plan is made from it; None where there is none."""
    try:
        file = File(os.path.join(model.folder, FINGERPRINT))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        words = getattr(e, "strerror", None) or "not a regular file"
        raise RefusedError(model.path, f"{FINGERPRINT} cannot be read: {words}") from None
    plan.read(FINGERPRINT, file)
    return file


def carry_out(
    plan: Plan,
    *,
    out: Path | None,
    dry_run: bool,
    backup: Path | None,
    receipt: Path | None,
    sync: bool,
    link: bool,
    check: Callable[[str, Source], object] | None,
    progress: Callable[[int, int], object] | None,
) -> Committed:
    """`commit`, with paths as callers give them."""
    return commit(
        plan,
        out=text(out),
        dry_run=dry_run,
        backup=text(backup),
        receipt=text(receipt),
        sync=sync,
        link=link,
        check=check,
        progress=progress,
    )


def text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)
