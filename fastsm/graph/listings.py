"""What the ops that read and write checkpoints list: keys, slices and dtypes, in step.

A RestoreV2 has an output, a SaveV2 an input for each tensor that it lists. The names and the
slices of the tensors are two constants that it takes, the dtypes an attribute.
Source: tensorflow/core/ops/io_ops.cc, tensorflow/core/kernels/save_restore_v2_ops.cc,
tensorflow/core/framework/tensor.cc FromProtoField (2.21).
"""

from __future__ import annotations

from ..errors import RefusedError
from ..source import last
from ..text import count, counted, printable
from .restored import MAX_WANTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .edges import Edges, Input

RESTORE, SAVE = b"RestoreV2", b"SaveV2"

#: The ops that read a checkpoint; of TensorFlow 0.x those that read one tensor each.
READERS = (RESTORE, b"Restore", b"RestoreSlice")

#: A RestoreV2 and a SaveV2 take a prefix and two constants before all else.
N_BEFORE = 3

_HINT = "fastsm verify says what else is wrong; models that TensorFlow writes have constants there"


class Listing:
    """The tensors that a RestoreV2 or SaveV2 lists, or the one of an older op.

    Attributes:
        row: The node.
        constants: The rows of the names and of the slices.
        keys, specs: Of each tensor the key, and ``6 4 0,2:-`` or b"".
        dtypes: Their DataTypes; empty for an older op.
    """

    __slots__ = ("constants", "dtypes", "keys", "row", "specs")

    def __init__(self, edges: Edges, row: int) -> None:
        self.row = row
        node = edges.node(row)
        taken = data_inputs(edges, row)
        if node.op not in (RESTORE, SAVE):
            self.constants = [i.row for i in taken[1:N_BEFORE]]
            self.keys, self.specs = self._of_one(edges)
            self.dtypes: list[int] = []
            return
        if len(taken) < N_BEFORE:
            raise unknown(edges, row, f"takes {counted(len(taken), 'input')}, not names and slices")
        self.constants = [i.row for i in taken[1:N_BEFORE]]
        self.dtypes = node.dtypes("dtypes")
        n = len(self.dtypes)
        if not n:
            raise unknown(edges, row, "lists no dtypes")
        if n > MAX_WANTED:
            most = counted(MAX_WANTED, "tensor")
            raise unknown(edges, row, f"lists {counted(n, 'dtype')}; fastsm follows {most} at most")
        self.keys = self._strings(edges, 0, "names", n)
        self.specs = self._strings(edges, 1, "slices", n)

    def _strings(self, edges: Edges, which: int, what: str, n: int) -> list[bytes]:
        """The elements of one of the constants."""
        row = self.constants[which]
        if row < 0 or edges.op(row) != b"Const":
            raise unknown(edges, self.row, f"takes its {what} from what is no constant")
        node = edges.node(row)
        sizes = node.sizes()
        if last(node.tensor(), 4):
            raise unknown(edges, self.row, f"takes its {what} from a constant of packed strings")
        if sizes != (n,):
            shown = "?" if sizes is None else "x".join(map(count, sizes)) or "one"
            raise unknown(edges, self.row, f"has {shown} {what} for {counted(n, 'dtype')}")
        found = node.strings()
        found = found[:n] or [b""]
        return found + [found[-1]] * (n - len(found))

    def _of_one(self, edges: Edges) -> tuple[list[bytes], list[bytes]]:
        """Of an op for one tensor: its name, and its slice if it has one."""
        found = []
        for row in self.constants:
            strings = edges.node(row).strings() if row >= 0 and edges.op(row) == b"Const" else []
            if not strings:
                raise unknown(edges, self.row, "takes a name from what is no constant")
            found.append(strings[0])
        return found[:1], found[1:] or [b""]


def data_inputs(edges: Edges, row: int) -> list[Input]:
    """What a node takes, without what it only waits for."""
    return [taken for taken in edges.inputs(row) if not taken.control]


def unknown(edges: Edges, row: int, problem: str) -> RefusedError:
    """What to say of a node where it cannot be told what of a checkpoint it is about."""
    return RefusedError(
        edges.nodes.graph.reader.path,
        f"{printable(edges.name(row))}, {printable(edges.op(row))}, {problem}",
        place=place_of(edges, row),
        hint=_HINT,
    )


def place_of(edges: Edges, row: int) -> str:
    """The graph, or function, that a node is in, as errors name it."""
    owner = edges.owner(row)
    if not owner:
        return f"{edges.nodes.graph.place}.graph_def"
    return edges.nodes.signature(owner)[1].removesuffix(".signature")
