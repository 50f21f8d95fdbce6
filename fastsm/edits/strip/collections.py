"""The collections of a stripped meta graph: what they list is there, and serves.

Python's loaders import every collection; what an entry names must be in the graph.
"""

from __future__ import annotations

from ...graph.collections import each, entries, values
from ...graph.nested import Nested
from ...graph.nodes import node_of
from ...plan import enclosing
from ...source import last
from ...views import ASSETS_COLLECTION, Asset, is_packed_asset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..._core import Field
    from ...graph.collections import Entry
    from ...graph.edges import Edges
    from ...graph.listed import Listed
    from ...graph.reach import Reach
    from ...plan import Rewrite
    from ...views import MetaGraph

#: The collections that nothing but training uses, gradients of loops among it.
#: Source: tensorflow/python/framework/ops.py GraphKeys,
#: saved_model/constants.py TRAIN_OP_KEY (2.21).
_TRAINING = frozenset([
    "train_op", "saved_model_train_op", "summaries", "summary_op", "_SUMMARY_TAGS_", "losses",
    "regularization_losses", "update_ops", "cond_context", "while_context", "queue_runners",
    "savers",
])  # fmt: skip

# Field numbers: AnyList of CollectionDef, and what an Any says; VariableDef.
_ANY_LIST, _TYPE_URL, _ANY = 5, 1, 2
_INITIALIZER, _INITIAL_VALUE = 2, 6


def filter_collections(
    rewrite: Rewrite,
    graph: MetaGraph,
    edges: Edges,
    reach: Reach,
    listed: Listed,
    keeps_asset: Callable[[str], bool],
) -> list[str]:
    """Take out of a meta graph's collections what is not live, and those of training whole.

    A collection that loses its last entry goes, too. A variable that stays, and is restored,
    is initialized by that from now on.

    Args:
        listed: Its variables, settled.
        keeps_asset: Whether the asset that a tensor is fed stays.

    Returns:
        The names of the collections that go.

    Raises FormatError where a collection is damaged.
    """
    gone: dict[str, list[tuple[Field, tuple[Field, ...]]]] = {}
    kept: dict[str, int] = {}

    def judge(name: str, stays: bool, field: Field, within: tuple[Field, ...]) -> None:
        if stays:
            kept[name] = kept.get(name, 0) + 1
        else:
            gone.setdefault(name, []).append((field, within))

    serving = {name for name, _ in each(graph)} - _TRAINING
    for entry in entries(graph, serving):
        if entry.is_variable:
            stays = listed.stays(entry)
            if stays:
                _restore(rewrite, graph, entry, listed.restored_by(entry))
        else:
            row = edges.row(node_of(entry.names[0][0].encode("utf-8", "surrogateescape")))
            stays = row is not None and reach.is_live(row)
        judge(entry.collection, stays, entry.field, entry.within)
    for field, within, stays in _assets(graph, keeps_asset):
        judge(ASSETS_COLLECTION, stays, field, within)
    whole = [name for name in gone if name not in kept]
    for name, fields in gone.items():
        for field, within in fields if name in kept else ():
            rewrite.replace(field.start, field.end, b"", enclosing(*within))
    removed = _TRAINING.union(whole)
    names = []
    for name, collection in each(graph):
        if name in removed:
            names.append(name)
            rewrite.replace(collection.start, collection.end, b"", enclosing(graph.field))
    return list(dict.fromkeys(names))


def _restore(rewrite: Rewrite, graph: MetaGraph, entry: Entry, by: bytes | None) -> None:
    """Let what restores a variable stand for what initializes it."""
    if by is None:
        return
    field = entry.field
    around = tuple(enclosing(*entry.within, field))
    variable = Nested(graph.reader, [(field.at, field.end, around)], entry.place)
    name = by.decode("utf-8", "surrogateescape")
    if variable.text(_INITIALIZER) != name:
        variable.put_text(rewrite, _INITIALIZER, name)
    for f, within in variable.fields(_INITIAL_VALUE):
        rewrite.replace(f.start, f.end, b"", within)


def _assets(
    graph: MetaGraph, keeps: Callable[[str], bool]
) -> Iterator[tuple[Field, tuple[Field, ...], bool]]:
    """The assets in their collection: (field, the fields around it, whether it stays).

    Of several that feed one tensor the last stays: Python takes that, and C++ refuses them.
    """
    reader = graph.reader
    place = f'{graph.place}.collection_def["{ASSETS_COLLECTION}"]'
    whole = dict(each(graph)).get(ASSETS_COLLECTION)
    found: list[tuple[Field, tuple[Field, ...], str | None]] = []
    for f, within in values(graph, ASSETS_COLLECTION, whole) if whole is not None else ():
        if within[-1].number == _ANY_LIST:
            packed = reader.fields([(f.at, f.end)], place)
            url, value = last(packed, _TYPE_URL), last(packed, _ANY)
            tensor = None
            if is_packed_asset(reader.text(url, place) if url else ""):
                spans = [(value.at, value.end)] if value else []
                tensor = Asset(reader, spans, f"{place}[{len(found)}]").tensor
            found.append((f, within, tensor))
    lasts = {tensor: i for i, (_, _, tensor) in enumerate(found)}
    for i, (f, within, tensor) in enumerate(found):
        yield f, within, tensor is None or (lasts[tensor] == i and keeps(tensor))
