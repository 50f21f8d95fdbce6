"""The variables of a model: what variables.index says of them, without reading a shard.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc and
tensorflow/core/protobuf/tensor_bundle.proto (2.21).
"""

from __future__ import annotations

import os

from .. import _core
from ..errors import CoreError, FormatError
from ..source import File
from ..text import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The entry that holds the checkpoint's own object graph, not a variable.
#: Source: tensorflow/python/trackable/base.py OBJECT_GRAPH_PROTO_KEY.
OBJECT_GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"

#: Keys of the slices of partitioned variables begin with this (an ordered code's zero).
SLICE_PREFIX = b"\0"

#: Doubled variables are worth a word from this fraction of all bytes on, and from 1 kB:
#: two zero biases or counters are no finding.
DOUBLED_SHARE = 100


def is_doubling(doubled_bytes: int, n_bytes: int) -> bool:
    """Whether so much of a bundle looks stored twice that a person should know."""
    return doubled_bytes * DOUBLED_SHARE > max(n_bytes, 1000 * DOUBLED_SHARE)


def problems(index: _core.BundleIndex) -> list[str]:
    """What is damaged in an index, in words."""
    return [
        str(CoreError(kind, offset, 0, 0)) + f" (byte {offset:,})"
        for kind, _, offset, harmless, _ in index.problems()
        if not harmless
    ]


class Summary(Record):
    """The variables of a bundle, counted.

    Attributes:
        n_variables: Tensors by name; slices of one and the object graph do not count.
        n_bytes: What their entries hold.
        n_shards: Data files, as the header says.
        doubled: Tensors that look stored again: same size, checksum, dtype and shape.
        doubled_bytes: What these second copies take.
        problems: What is damaged, in words; the counts are of the rest.
    """

    __slots__ = ("n_variables", "n_bytes", "n_shards", "doubled", "doubled_bytes", "problems")

    def __init__(self, index: _core.BundleIndex) -> None:
        n = len(index)
        keys = [index.key(i) for i in range(n)]
        graph = sum(k == OBJECT_GRAPH_KEY for k in keys)
        self.n_variables = n - graph - sum(k.startswith(SLICE_PREFIX) for k in keys)
        self.n_bytes = index.total_bytes
        self.n_shards = index.n_shards
        _, self.doubled, self.doubled_bytes = index.doubles()
        self.problems = problems(index)

    def to_dict(self) -> dict[str, Any]:
        return {
            "variables": self.n_variables, "bytes": self.n_bytes, "shards": self.n_shards,
            "doubled": self.doubled, "doubled_bytes": self.doubled_bytes,
            "problems": self.problems,
        }  # fmt: skip


def index_path(folder: str) -> str:
    """Where a SavedModel keeps its index."""
    return os.path.join(folder, "variables", "variables.index")


def has_variables(folder: str) -> bool:
    """Whether a SavedModel has an index, or keeps what it has to itself."""
    try:
        os.lstat(index_path(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # who opens it says why that cannot be done
    return True


def summary(folder: str) -> Summary | None:
    """The variables of the SavedModel in a folder; None when it has no variables.index.

    Raises FormatError when that is no table at all, OSError when it cannot be read.
    """
    path = index_path(folder)
    try:
        source = File(path).source()
    except FileNotFoundError:
        return None
    try:
        return Summary(_core.BundleIndex(source, lenient=True))
    except CoreError as e:
        raise FormatError(path, str(e), offset=e.offset) from None
