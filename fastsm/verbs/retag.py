"""`fastsm.retag`: another tag set for a meta graph."""

from __future__ import annotations

from ..edit import tags as edit_tags
from ..errors import InternalError
from ..model import SavedModel, as_tag_set
from ..source import LEN, Reader, from_bytes
from ..text import shell, tag_set
from ..views import MetaGraph
from .editing import EditResult, begin, carry_out, open_model, text, write_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._core import Source
    from .editing import Path


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
    plan = begin(model, "retag", arguments)
    plan.warnings += edit.warnings
    expected = list(model.tag_sets)
    if edit.changes:
        expected[edit.graph.index] = after
        write_model(plan, model, edit.source())
    done = carry_out(
        plan,
        out=out,
        dry_run=dry_run,
        backup=backup,
        receipt=receipt,
        sync=sync,
        link=link,
        check=lambda name, staged: _check_tags(model, name, staged, expected),
        progress=progress,
    )
    where = text(out) or model.path
    undo = f"fastsm retag {shell(where)} {_set(after)} {_set(before)}" if edit.changes else None
    return EditResult(
        where, model.folder, plan, done.written, done.warnings,
        {"tags": sorted(before)}, {"tags": sorted(after)}, undo,
    )  # fmt: skip


def _check_tags(
    model: SavedModel, name: str, staged: Source, expected: list[frozenset[str]]
) -> None:
    """What was staged must read as what was meant, or it is not published."""
    if name != model.located.name:
        return
    if model.format == "pbtxt":
        from ..pbtxt import to_binary

        staged = from_bytes(to_binary(staged.read(0, staged.size), name))
    reader = Reader(staged, name)
    graphs = [f for f in reader.fields([(0, staged.size)], "") if f.number == 2 and f.wire == LEN]
    seen = [MetaGraph(reader, i, f).tag_set for i, f in enumerate(graphs)]
    if seen != expected:
        raise InternalError(
            model.path, f"staged tag sets are {' '.join(map(tag_set, seen))}: not as planned"
        )


def _set(tags: Iterable[str]) -> str:
    return shell(",".join(sorted(tags)))
