"""Changing the tag set by which loaders find a meta graph."""

from __future__ import annotations

from .._core import delimited
from ..errors import MissingError, RefusedError, UsageError
from ..plan import Rewrite
from ..source import LEN
from ..text import printable, serving_flag, serving_words, tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from .._core import Field, Source
    from ..views import MetaGraph

# Field numbers: MetaGraphDef.meta_info_def and MetaInfoDef.tags.
_META_INFO, _TAGS = 1, 4

#: What TensorFlow Serving and tf.saved_model.load users ask for unless told otherwise.
#: Source: tensorflow/cc/saved_model/tag_constants.h kSavedModelTagServe.
SERVE = frozenset(["serve"])


class Retag:
    """A retag thought through: what changes and what the user should know.

    Attributes:
        graph: The meta graph whose tags change.
        tags: Its tags afterwards, in the order in which they are written.
        warnings: What loaders will do differently, a sentence each.
    """

    __slots__ = ("graph", "tags", "warnings")

    def __init__(self, graph: MetaGraph, tags: tuple[str, ...], warnings: list[str]) -> None:
        self.graph = graph
        self.tags = tags
        self.warnings = warnings

    @property
    def changes(self) -> bool:
        return frozenset(self.tags) != self.graph.tag_set

    def source(self) -> Source:
        """The file with the new tags; everything else keeps its bytes."""
        return _replace_tags(self.graph, self.tags)


def retag(
    graphs: Sequence[MetaGraph],
    old: AbstractSet[str],
    new: AbstractSet[str],
    *,
    path: str,
    force: bool = False,
) -> Retag:
    """Decide how the meta graph with tag set ``old`` gets the tag set ``new``.

    Args:
        graphs: All meta graphs of the model, in file order.
        path: The model, as errors name it.
        force: Allow a tag set that another meta graph has.

    Raises:
        MissingError: No meta graph has ``old``; lists what there is.
        RefusedError: Another meta graph has ``new``, and loaders take the first of both.
        UsageError: A tag that no file can hold.
    """
    here = "tag sets here: " + (" ".join(tag_set(g.tag_set) for g in graphs) or "none")
    for tag in new:
        _check_tag(tag, path)
    target = next((g for g in graphs if g.tag_set == old), None)
    if target is None:
        raise MissingError(path, f"no meta graph has the tag set {tag_set(old)}; {here}")
    result = Retag(target, _merge(target.tags, new), [])
    if not result.changes:
        return result
    other = next((g for g in graphs if g.tag_set == new), None)
    if other is not None:
        if not force:
            raise RefusedError(
                path,
                f"{tag_set(new)} is already the tag set of {other.place};\n"
                f"  {here}. Nothing written.",
            )
        first, hidden = (target, other) if target.index < other.index else (other, target)
        result.warnings.append(
            f"every loader takes the first meta graph with {tag_set(new)}: {first.place}; "
            f"{hidden.place} cannot be loaded by its tags any more"
        )
    freed = next((g for g in graphs if g is not target and g.tag_set == old), None)
    if freed is not None:
        result.warnings.append(
            f"{freed.place}, hidden until now, is what loaders now find by {tag_set(old)}"
        )
    elif old == SERVE:
        result.warnings.append(
            "tags match as a whole set, so loaders that ask for {serve} now fail"
            f"\n  TF Serving: {serving_words(serving_flag(new))}"
        )
    for tag in sorted(new - old):
        if "," in tag or tag != tag.strip() or not tag:
            result.warnings.append(
                f"TF Serving and saved_model_cli split tags at commas and cut blanks: "
                f"they cannot name {printable(tag)!r}"
            )
    return result


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


def _replace_tags(graph: MetaGraph, tags: tuple[str, ...]) -> Source:
    reader = graph.reader
    rewrite = Rewrite(reader.source)
    outer = (graph.field.length_at, graph.field.at, graph.field.end)
    infos = [f for f in graph.fields if f.number == _META_INFO and f.wire == LEN]
    if not infos:
        start = graph.field.at
        rewrite.replace(start, start, delimited(_META_INFO, _tag_fields(tags)), [outer])
        return rewrite.source()
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
    return rewrite.source()


def _prefix(field: Field) -> tuple[int, int, int]:
    return field.length_at, field.at, field.end


def _tag_fields(tags: Sequence[str]) -> bytes:
    return b"".join(delimited(_TAGS, tag.encode()) for tag in tags)
