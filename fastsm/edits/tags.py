"""Changing the tag set by which loaders find a meta graph."""

from __future__ import annotations

from .._core import delimited
from ..errors import InternalError, MissingError, RefusedError, UsageError
from ..source import LEN
from ..text import printable, serving_flag, serving_words, tag_set
from ..views import as_tag_set
from .draft import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from .._core import Field
    from ..plan import Rewrite
    from ..views import MetaGraph
    from .draft import Draft

# Field numbers: MetaGraphDef.meta_info_def and MetaInfoDef.tags.
_META_INFO, _TAGS = 1, 4

#: What TensorFlow Serving and tf.saved_model.load users ask for unless told otherwise.
#: Source: tensorflow/cc/saved_model/tag_constants.h kSavedModelTagServe.
SERVE = frozenset(["serve"])


def retag(
    draft: Draft, old: str | Iterable[str], new: str | Iterable[str], *, force: bool = False
) -> Done:
    """Give the meta graph with tag set ``old`` the tag set ``new``.

    Args:
        force: Allow a tag set that another meta graph has.

    Raises:
        MissingError: No meta graph has ``old``; lists what there is.
        RefusedError: Another meta graph has ``new``, and loaders take the first of both.
        UsageError: A tag that no file can hold.
    """
    path, graphs = draft.path, draft.graphs
    before, after = as_tag_set(old, path), as_tag_set(new, path)
    here = "tag sets here: " + (" ".join(tag_set(g.tag_set) for g in graphs) or "none")
    for tag in after:
        _check_tag(tag, path)
    target = next((g for g in graphs if g.tag_set == before), None)
    if target is None:
        raise MissingError(path, f"no meta graph has the tag set {tag_set(before)}; {here}")
    changes = before != after
    other = next((g for g in graphs if g.tag_set == after), None) if changes else None
    if other is not None and not force:
        raise RefusedError(
            path,
            f"{tag_set(after)} is already the tag set of {other.place};\n"
            f"  {here}. Nothing written.",
        )
    if changes:
        warnings = _warnings(graphs, target, other, before, after)
        tags = _merge(target.tags, after)
        rewrite = draft.rewrite()
        _replace_tags(rewrite, target, tags)
        draft.put(rewrite)
        draft.plan.warnings += warnings
        seen = draft.graphs[target.index].tags
        if seen != tags:
            raise InternalError(path, f"the new tags read as {tag_set(seen)}")
    arguments: dict[str, object] = {"old": sorted(before), "new": sorted(after)}
    return Done(
        "retag",
        {**arguments, "force": True} if force else arguments,
        f"{tag_set(before)} -> {tag_set(after)}",
        {"tags": sorted(before)},
        {"tags": sorted(after)},
        inverse=_inverse(draft.graphs, target.index, before, after) if changes else None,
    )


def _inverse(
    graphs: Sequence[MetaGraph], index: int, before: AbstractSet[str], after: AbstractSet[str]
) -> tuple[str, ...] | None:
    """The command that takes it back; None where no command line can.

    It cannot name a tag that is empty or has a comma, nor the second of equal tag sets. A meta
    graph that ``before`` hid until now has it too, and that wants --force.
    """
    first = next(g for g in graphs if g.tag_set == after)
    if first.index != index or any(tag == "" or "," in tag for tag in before | after):
        return None
    hidden = any(g.tag_set == before for g in graphs)
    words = ("retag", ",".join(sorted(after)), ",".join(sorted(before)))
    return (*words, "--force") if hidden else words


def _warnings(
    graphs: Sequence[MetaGraph],
    target: MetaGraph,
    other: MetaGraph | None,
    old: AbstractSet[str],
    new: AbstractSet[str],
) -> list[str]:
    """What loaders will do differently, a sentence each."""
    warnings = []
    if other is not None:
        first, hidden = (target, other) if target.index < other.index else (other, target)
        warnings.append(
            f"every loader takes the first meta graph with {tag_set(new)}: {first.place}; "
            f"{hidden.place} cannot be loaded by its tags any more"
        )
    freed = next((g for g in graphs if g is not target and g.tag_set == old), None)
    if freed is not None:
        warnings.append(
            f"{freed.place}, hidden until now, is what loaders now find by {tag_set(old)}"
        )
    elif old == SERVE:
        warnings.append(
            "tags match as a whole set, so loaders that ask for {serve} now fail"
            f"\n  TF Serving: {serving_words(serving_flag(new))}"
        )
    for tag in sorted(new - old):
        if "," in tag or tag != tag.strip() or not tag:
            warnings.append(
                f"TF Serving and saved_model_cli split tags at commas and cut blanks: "
                f"they cannot name {printable(tag)!r}"
            )
    return warnings


def _check_tag(tag: object, path: str) -> None:
    if not isinstance(tag, str):
        raise UsageError(path, f"a tag is a string, not {type(tag).__name__}")
    try:
        tag.encode()
    except UnicodeEncodeError:
        raise UsageError(path, f"the tag {printable(tag)} is not valid Unicode") from None


def _merge(tags: tuple[str, ...], new: AbstractSet[str]) -> tuple[str, ...]:
    """The new tags in writing order: those that stay keep their place, each of the others
    goes before the first that sorts behind it, so that sorted tags stay sorted."""
    out = list(tags)
    for tag in sorted(new - set(tags), key=str.encode):
        out.insert(_place(out, tag), tag)
    return tuple(t for t in out if t in new)


def _place(tags: Sequence[str], tag: str) -> int:
    encoded = tag.encode()
    return next((i for i, t in enumerate(tags) if t.encode() > encoded), len(tags))


def _replace_tags(rewrite: Rewrite, graph: MetaGraph, tags: tuple[str, ...]) -> None:
    """The new tags; everything else keeps its bytes."""
    reader = graph.reader
    outer = (graph.field.length_at, graph.field.at, graph.field.end)
    infos = [f for f in graph.fields if f.number == _META_INFO and f.wire == LEN]
    if not infos:
        start = graph.field.at
        rewrite.replace(start, start, delimited(_META_INFO, _tag_fields(tags)), [outer])
        return
    # A message may occur several times; its tags are those of all of them, in order.
    present: list[tuple[str, Field, Field]] = []
    for info in infos:
        for f in reader.fields([(info.at, info.end)], graph.place):
            if f.number == _TAGS and f.wire == LEN:
                present.append((reader.text(f, graph.place), f, info))
    kept = set(tags)
    names = [name for name, _, _ in present]
    for name, f, info in present:
        if name not in kept:
            rewrite.replace(f.start, f.end, b"", [outer, _prefix(info)])
    for tag in sorted(kept - set(names), key=str.encode):
        i = _place(names, tag)
        if i < len(present):
            at, info = present[i][1].start, present[i][2]
        elif present:
            at, info = present[-1][1].end, present[-1][2]
        else:
            info = infos[0]
            fields = reader.fields([(info.at, info.end)], graph.place)
            at = next((f.start for f in fields if f.number > _TAGS), info.end)
        rewrite.replace(at, at, _tag_fields([tag]), [outer, _prefix(info)])


def _prefix(field: Field) -> tuple[int, int, int]:
    return field.length_at, field.at, field.end


def _tag_fields(tags: Sequence[str]) -> bytes:
    return b"".join(delimited(_TAGS, tag.encode()) for tag in tags)
