"""What the strings of an input are: what the op that takes them asks for.

A model that parses Examples takes no word, and one that decodes images no Example. So an input is
followed through the graph, and into the functions that it is handed to, up to the first op that
takes a string apart.
"""

from __future__ import annotations

from binascii import a2b_base64

from .. import dtypes
from .._core import delimited, number
from ..graph.edges import edges_of
from ..graph.nodes import CALLS
from ..graph.tensors import split
from ..text import Record
from .values import product

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..graph.edges import Edges
    from ..views import MetaGraph

#: So many nodes are looked at for one input.
MAX_NODES = 2000

#: An Example of more values, or more keys at once, are nobody's.
MAX_VALUES = 1 << 16

#: Ops that hand strings on as they are, or some of them.
_PASSING = frozenset(
    b"""
    Identity IdentityN StopGradient PlaceholderWithDefault Reshape ExpandDims Squeeze Unpack Pack
    ConcatV2 StridedSlice GatherV2 Slice StringStrip EnsureShape Switch Merge Enter
    TensorListFromTensor TensorListGetItem
    """.split()
)

#: Ops that call a function -> how many inputs come before its arguments.
_CALLING = {
    **dict.fromkeys(CALLS, 0), b"While": 0, b"StatelessWhile": 0, b"If": 1, b"StatelessIf": 1,
    b"Case": 1, b"StatelessCase": 1,
}  # fmt: skip

#: A black image of 32 by 32 pixels, as PNG and as JPEG; 16 samples of silence, as WAV.
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAGUlEQVRIie3BMQEAAADCoPVP7WENoAAAAG4MIAAB"
    "yKKI/gAAAABJRU5ErkJggg=="
)
_WAV = (
    "UklGRkQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YSAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAA=="
)


class Feature(Record):
    """A feature of an Example.

    Attributes:
        key: Its name.
        kind: "float_list", "int64_list" or "bytes_list".
        values: Floats, integers of one byte, or text.
    """

    __slots__ = ("key", "kind", "values")

    def __init__(self, key: str, kind: str, values: list[float] | list[int] | list[str]) -> None:
        self.key, self.kind, self.values = key, kind, values

    def encoded(self) -> bytes:
        """The entry of an Example's map.

        Source: tensorflow/core/example/feature.proto, example.proto.
        """
        from struct import pack

        field = ("bytes_list", "float_list", "int64_list").index(self.kind) + 1
        if self.kind == "bytes_list":
            listed = b"".join(delimited(1, str(v).encode()) for v in self.values)
        elif self.kind == "float_list":
            listed = delimited(1, pack(f"<{len(self.values)}f", *self.values))
        else:  # packed: a number by itself is left out where it is 0
            listed = delimited(1, bytes(int(v) for v in self.values))
        feature = delimited(field, listed)
        return delimited(1, delimited(1, self.key.encode()) + delimited(2, feature))


class Text(Record):
    """What a string is.

    Attributes:
        what: In words: "a word", "an Example".
        data: The string.
        features: Of an Example its features, in the order of their keys; else None.
        call: The expression of Python that makes it with TensorFlow, or None.
    """

    __slots__ = ("what", "data", "features", "call")

    def __init__(
        self,
        what: str,
        data: bytes,
        *,
        features: list[Feature] | None = None,
        call: str | None = None,
    ) -> None:
        self.what, self.data, self.features, self.call = what, data, features, call


WORD = Text("a word", b"text")
PNG = Text(
    "a PNG image", a2b_base64(_PNG),
    call="tf.io.encode_png(tf.zeros([32, 32, 3], tf.uint8)).numpy()",
)  # fmt: skip


def example(features: list[Feature]) -> Text:
    """A serialised tf.train.Example."""
    features = sorted(features, key=lambda feature: feature.key)
    inside = b"".join(feature.encoded() for feature in features)
    return Text("an Example", delimited(1, inside), features=features)


def text_of(graph: MetaGraph, tensor: str) -> Text:
    """What the strings of a tensor are.

    Args:
        tensor: In the main graph, as a signature names it.

    Raises FormatError where the graph is damaged.
    """
    edges = edges_of(graph)
    name, output = split(tensor)
    row = edges.row(name.encode())
    if row is None:
        return WORD
    seen = {(row, output or 0)}
    queue = [(row, output or 0)]
    for row, output in queue:
        for taker, position in _takers(edges, row, output):
            op = edges.op(taker)
            if op in _TEXTS:
                found = _TEXTS[op](edges, taker)
                if found is not None:
                    return found
            for onward in _onward(edges, taker, position):
                if onward not in seen and len(queue) < MAX_NODES:
                    seen.add(onward)
                    queue.append(onward)
    return WORD


def _takers(edges: Edges, row: int, output: int) -> Iterator[tuple[int, int]]:
    """(node, position of its input) of what takes a tensor. A row below 0: an argument of a
    function, see `_argument`."""
    if row < 0:
        owner, argument = _owner(row), output
        names = edges.nodes.arguments(owner)
        if argument < len(names):
            for node in edges.nodes.mentioning([names[argument]], owner):
                taker = edges.row(node.name, owner)
                if taker is not None:
                    for i, taken in enumerate(edges.inputs(taker)):
                        if taken.arg == argument and not taken.control:
                            yield taker, i
        return
    for taker in edges.takers(row):
        for i, taken in enumerate(edges.inputs(taker)):
            if taken.row == row and not taken.control and output in (taken.output, _ANY):
                yield taker, i


#: Which output of a node is not known: of those in functions names come before numbers.
_ANY = -1


def _onward(edges: Edges, row: int, position: int) -> Iterator[tuple[int, int]]:
    """The tensors that a node hands an input on as."""
    op = edges.op(row)
    if op in _PASSING:
        yield row, _ANY
    elif op in _CALLING and position >= _CALLING[op]:
        for owner in edges.calls(row):
            yield -owner, position - _CALLING[op]


def _owner(row: int) -> int:
    """The function whose argument stands for a row."""
    return -row


# -- Examples ------------------------------------------------------------------------


def _parse_example(edges: Edges, row: int) -> Text | None:
    """Of ParseExample and its like. None where the keys are no constants.

    Source: tensorflow/core/ops/parsing_ops.cc.
    """
    node = edges.node(row)
    sparse: list[bytes] | None
    dense: list[bytes] | None
    ragged: list[bytes] | None
    taken = [taken.row for taken in edges.inputs(row) if not taken.control]
    if node.op == b"ParseSingleExample":
        sparse, dense, ragged = node.strings_in("sparse_keys"), node.strings_in("dense_keys"), []
    elif node.op == b"ParseExampleV2":
        sparse, dense, ragged = (_keys(edges, taken[i : i + 1]) for i in (2, 3, 4))
    else:
        n = [node.number_in(name) or 0 for name in ("Nsparse", "Ndense")]
        sparse = _keys(edges, taken[2 : 2 + n[0]])
        dense = _keys(edges, taken[2 + n[0] : 2 + n[0] + n[1]])
        ragged = []
    if sparse is None or dense is None or ragged is None:
        return None
    features = []
    left = MAX_VALUES
    types, shapes = node.dtypes("Tdense"), node.shapes("dense_shapes")
    for key, dtype, shape in zip(dense, types, shapes, strict=False):
        n_values = product([max(d, 1) for d in shape or ()])
        left -= n_values
        if left < 0:
            return None
        features.append(_feature(key, dtype, n_values))
    for keys, name in ((sparse, "sparse_types"), (ragged, "ragged_value_types")):
        features += [_feature(k, t, 1) for k, t in zip(keys, node.dtypes(name), strict=False)]
    return example(features)


def _feature(key: bytes, dtype: int, n: int) -> Feature:
    name = key.decode("utf-8", "replace")
    if dtypes.name(dtype) == "string":
        return Feature(name, "bytes_list", ["text"] * n)
    if dtypes.name(dtype) == "int64":
        return Feature(name, "int64_list", [0] * n)
    return Feature(name, "float_list", [0.5] * n)


def _keys(edges: Edges, rows: Sequence[int]) -> list[bytes] | None:
    """Keys that are constants: one vector of them, or one scalar each. None: they are not."""
    keys: list[bytes] = []
    for row in rows:
        while row >= 0 and edges.op(row) == b"Identity":
            row = edges.taken(row)[0]
        if row < 0 or edges.op(row) != b"Const":
            return None
        node = edges.node(row)
        stored = node.strings()
        n = product(node.sizes() or ())
        if n > MAX_VALUES:
            return None
        keys += (stored + stored[-1:] * (n - len(stored)))[:n]
    return keys


# -- what is taken apart otherwise -----------------------------------------------------


def _always(text: Text) -> Callable[[Edges, int], Text | None]:
    return lambda edges, row: text


def _csv(edges: Edges, row: int) -> Text:
    node = edges.node(row)
    delimiter = node.string("field_delim") or b","
    return Text("comma-separated numbers", delimiter.join([b"1"] * len(node.dtypes("OUT_TYPE"))))


def _raw(edges: Edges, row: int) -> Text:
    size = dtypes.SIZES.get(edges.node(row).dtype("out_type") or 0, 1)
    return Text("raw bytes", bytes(size))


def _tensor(edges: Edges, row: int) -> Text | None:
    """A serialised tensor of one element, which is 0.

    Source: tensorflow/core/framework/tensor.proto.
    """
    dtype = edges.node(row).dtype("out_type") or 0
    if dtype not in dtypes.SIZES:
        return None
    dim = delimited(2, number(1, 1))
    content = delimited(4, bytes(dtypes.SIZES[dtype]))
    return Text("a serialised tensor", number(1, dtype) + delimited(2, dim) + content)


#: Op -> what it takes: a function of the edges and the row of the node.
_TEXTS: dict[bytes, Callable[[Edges, int], Text | None]] = {
    b"ParseExample": _parse_example,
    b"ParseExampleV2": _parse_example,
    b"ParseSingleExample": _parse_example,
    # All but these two of the ops that decode an image take a PNG.
    # Source: tensorflow/core/kernels/image/decode_image_op.cc.
    **dict.fromkeys((b"DecodePng", b"DecodeJpeg", b"DecodeImage"), _always(PNG)),
    b"DecodeWav": _always(Text("a WAV sound", a2b_base64(_WAV))),
    b"DecodeBase64": _always(Text("web-safe base64", b"dGV4dA")),
    b"StringToNumber": _always(Text("a number as text", b"1")),
    b"DecodeCSV": _csv,
    b"DecodeRaw": _raw,
    b"ParseTensor": _tensor,
}
