"""Findings of what a model restores, held against what its bundle has.

Session loaders restore what `fastsm.graph.restored` finds. `tf.saved_model.load` goes by
the checkpoint's own object graph, matched with the model's by the names of children.
Source: tensorflow/python/checkpoint/restore.py,
tensorflow/core/protobuf/trackable_object_graph.proto (2.21).
"""

from __future__ import annotations

from .. import _core, dtypes
from ..bundle import OBJECT_GRAPH_KEY
from ..bundle.variables import MAX_OBJECT_GRAPH
from ..errors import CoreError, FormatError
from ..graph.tracked import Keys, Trackables
from ..text import count, printable
from .entries import open_shard, shape_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import BundleIndex
    from ..bundle.opened import Bundle
    from ..graph.restored import Wanted
    from .report import Report


class Entries:
    """The entries of a bundle: dtype and shape by key.

    Attributes:
        index: The index.
        rows: Key -> row of it.
        keys: The keys alone.
    """

    def __init__(self, index: BundleIndex) -> None:
        self.index = index
        self.rows = {k: i for i, k in enumerate(index.keys())}
        self.keys = Keys(self.rows)

    def of(self, key: bytes) -> tuple[int, tuple[int, ...] | None]:
        """(DataType, shape) of an entry."""
        dtype, shape, *_ = self.index.entry(self.rows[key])
        return dtype, shape


def check_restored(
    report: Report, file: str, place: str, wanted: list[Wanted], entries: Entries
) -> None:
    """Hold dtype and shape of what is restored against the entries.

    Args:
        file, place: What says that it is restored: saved_model.pb and where in it.
    """
    for key, dtype, shape in wanted:
        if key not in entries.rows:
            continue  # which has a finding of its own
        name = printable(key)
        stored_dtype, stored_shape = entries.of(key)
        if dtype is not None and dtype % dtypes.REF != stored_dtype:
            a, b = dtypes.name(dtype % dtypes.REF), dtypes.name(stored_dtype)
            report.add(
                "restore-dtype", file, f"{name}: restored as {a}, stored as {b}", place=place,
                key=key, expected=a, seen=b,
            )  # fmt: skip
        if shape is not None and stored_shape is not None and not _fits(shape, stored_shape):
            a, b = shape_words(shape), shape_words(stored_shape)
            report.add(
                "restore-shape", file, f"{name}: restored as {a}, stored as {b}", place=place,
                key=key, expected=a, seen=b,
            )  # fmt: skip


def _fits(wanted: tuple[int, ...], stored: tuple[int, ...]) -> bool:
    return len(wanted) == len(stored) and all(
        w in (-1, s) for w, s in zip(wanted, stored, strict=True)
    )


# -- the checkpoint's own object graph --


def read_object_graph(
    report: Report, bundle: Bundle, entries: Entries, file: str
) -> Trackables | None:
    """The checkpoint's object graph, or None: there is none, or it is damaged (a finding)."""
    if OBJECT_GRAPH_KEY not in entries.rows:
        return None
    dtype, shape, shard, offset, size, _, n_slices = bundle.index.entry(
        entries.rows[OBJECT_GRAPH_KEY]
    )
    name = OBJECT_GRAPH_KEY.decode()
    if size > MAX_OBJECT_GRAPH:
        report.skip(f"the checkpoint's object graph: {count(size)} bytes")
        return None
    if dtype != 7 or shape != () or n_slices:
        words = f"{name}: {dtypes.name(dtype)} {shape_words(shape)} of {count(size)} bytes"
        report.add("object-graph", file, words, key=name, expected="string []")
        return None
    try:
        source = open_shard(bundle, shard).source()
        [data] = _core.string_elements(source, offset, size, 1)
    except (CoreError, FormatError, LookupError, OverflowError):
        return None  # the entry's own finding tells
    try:
        return Trackables(_core.ObjectGraph(data))
    except CoreError as e:
        if e.kind == "LIMIT":
            report.skip(f"the checkpoint's object graph: it {e}")
        else:
            report.add("object-graph", file, f"{name}: {e}", key=name)
        return None
