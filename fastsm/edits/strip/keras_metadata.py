"""keras_metadata.pb: what tf_keras knows of objects, each by its number in the saved graph.

Source: tf_keras/protobuf/saved_metadata.proto, tf_keras/saving/legacy/saved_model/load.py.
"""

from __future__ import annotations

from ..._core import delimited, number
from ...graph.objects import int32
from ...source import LEN, VARINT, Reader, from_bytes, last

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "keras_metadata.pb"

# Of SavedMetadata, and of the SavedObject in it.
_NODES, _NODE_ID = 1, 2


def renumbered(data: bytes, ids: Mapping[int, int], path: str = NAME) -> bytes:
    """The file for a saved graph in which objects have other numbers.

    Args:
        data: Its content.
        ids: Old number -> new number; what is said of others goes.
        path: The file, as errors name it.

    Raises FormatError where it is broken on the wire.
    """
    reader = Reader(from_bytes(data), path)
    out = []
    for i, f in enumerate(reader.fields([(0, len(data))], "")):
        if f.number != _NODES or f.wire != LEN:
            out.append(data[f.start : f.end])
            continue
        fields = reader.fields([(f.at, f.end)], f"nodes[{i}]")
        id_field = last(fields, _NODE_ID, VARINT)
        old = int32(id_field)
        if old not in ids:
            continue
        if ids[old] == old:
            out.append(data[f.start : f.end])
            continue
        # The number is there: the root's, which is left out, stays the same.
        parts = [
            number(_NODE_ID, ids[old]) if g is id_field else data[g.start : g.end]
            for g in fields if g is id_field or (g.number, g.wire) != (_NODE_ID, VARINT)
        ]  # fmt: skip
        out.append(delimited(_NODES, b"".join(parts)))
    return b"".join(out)
