"""The static shape of a tensor, where the graph's writer did not leave it.

A frozen graph has no `_output_shapes`. What its last nodes do to a shape is simple most often,
and a server wants at least to know the rank. Nothing here is a guess: where an op is not known,
or a value it goes by is no constant, so is the shape.
Source: the shape functions in tensorflow/core/ops and core/framework/common_shape_fns.cc (2.21).
"""

from __future__ import annotations

from ..source import LEN, VARINT, merged, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .edges import Edges
    from .nodes import Node

    #: The sizes, -1 for unknown ones; None for an unknown rank.
    Dims = tuple[int, ...] | None

#: So many nodes are gone back.
_FAR = 100

#: A constant of more numbers says no shape and no axes.
_MOST = 64

#: Ops that give what they are given another value, and no other shape.
_SAME = frozenset(
    b"""
    Abs BiasAdd Cast Ceil CheckNumerics ClipByValue Elu Erf Exp FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars Floor FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Identity
    LeakyRelu Log LogSoftmax LogicalNot Neg OnesLike PreventGradient Print Reciprocal Relu Relu6
    Round Rsqrt Selu Sigmoid Sign Softmax Softplus Softsign Sqrt Square StopGradient Tanh
    ZerosLike
    """.split()
)

#: Ops of two tensors, each as large as the other or repeated.
_BROADCAST = frozenset(
    b"""
    Add AddV2 Div Equal FloorDiv Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr Maximum
    Minimum Mul NotEqual Pow RealDiv SquaredDifference Sub
    """.split()
)

_REDUCTIONS = frozenset(b"All Any Max Mean Min Prod Sum".split())
_SHAPED = (b"Placeholder", b"PlaceholderWithDefault", b"VariableV2", b"Variable")
_WINDOWS = (b"Conv2D", b"DepthwiseConv2dNative", b"AvgPool", b"MaxPool")


class Shapes:
    """Finds shapes of outputs of a main graph by what leads to them."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._known: dict[tuple[int, int], Dims] = {}

    def of(self, row: int, output: int = 0, far: int = _FAR) -> Dims:
        """The shape of an output of a node.

        Raises FormatError where the graph is damaged.
        """
        at = row, output
        if at not in self._known:
            self._known[at] = None  # what is asked for on the way to itself is not known
            self._known[at] = self._find(row, output, far) if far and row >= 0 else None
        return self._known[at]

    def _find(self, row: int, output: int, far: int) -> Dims:
        edges = self._edges
        node, op = edges.node(row), edges.op(row)
        stored = node.shapes("_output_shapes")
        if output < len(stored):
            return stored[output]
        if output:
            return None
        taken = [t for t in edges.inputs(row) if not t.control]

        def given(i: int) -> Dims:
            return self.of(taken[i].row, taken[i].output, far - 1) if i < len(taken) else None

        def numbers(i: int) -> list[int] | None:
            return self._numbers(taken[i].row) if i < len(taken) else None

        if op in _SAME:
            return given(0)
        if op in _BROADCAST:
            return _broadcast(given(0), given(1))
        if op in _REDUCTIONS or op in (b"ArgMax", b"ArgMin"):
            keeps = _flag(node, "keep_dims") and op in _REDUCTIONS
            return _without(given(0), numbers(1), keeps=keeps)
        if op in _WINDOWS:
            return _window(node, op, given(0), given(1))
        if op == b"Const":
            return node.sizes()
        if op in _SHAPED:
            # Of old ones no sizes mean that nothing is known.
            return (node.shape("shape") or None) if node.attr("shape") else None
        if op == b"ReadVariableOp":
            return self._behind(taken[0].row) if taken else None
        rule = _RULES.get(op)
        return rule(node, given, numbers) if rule is not None else None

    def _behind(self, row: int) -> Dims:
        """The shape of the variable that a node makes a handle of."""
        if row < 0 or self._edges.op(row) != b"VarHandleOp":
            return None
        handle = self._edges.node(row)
        return handle.shape("shape") if handle.attr("shape") else None

    def _numbers(self, row: int) -> list[int] | None:
        """The integers of a constant; None of anything else."""
        if row < 0 or self._edges.op(row) != b"Const":
            return None
        node = self._edges.node(row)
        sizes = node.sizes()
        width = {3: 4, 9: 8}.get(node.dtype("dtype") or 0)
        if width is None or sizes is None or len(sizes) > 1:
            return None
        n = sizes[0] if sizes else 1
        if not 0 <= n <= _MOST:
            return None
        found: list[int] = []
        for f in node.tensor():
            if f.number == 4 and f.wire == LEN:
                data = node.payload(f)
                found += [
                    int.from_bytes(data[i : i + width], "little", signed=True)
                    for i in range(0, len(data) - width + 1, width)
                ]
            elif f.number in (7, 10):
                found += [signed(v) for v in node.varints(f)]
        if n == 0:
            return []
        found = found[:n] or [0]
        return found + [found[-1]] * (n - len(found))


def _broadcast(a: Dims, b: Dims) -> Dims:
    if a is None or b is None:
        return None
    n = max(len(a), len(b))
    out = []
    for x, y in zip((1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b, strict=True):
        if x == 1 or y == 1:
            out.append(y if x == 1 else x)
        else:
            out.append(max(x, y))  # where one is not known it is 1 or as the other
    return tuple(out)


def _axes(axes: list[int] | None, rank: int) -> set[int] | None:
    if axes is None or not all(-rank <= axis < rank for axis in axes):
        return None
    return {axis % rank for axis in axes}


def _without(dims: Dims, axes: list[int] | None, *, keeps: bool) -> Dims:
    """A shape without some of its dimensions, or with 1 in their place."""
    gone = None if dims is None else _axes(axes, len(dims))
    if dims is None or gone is None:
        return None
    if keeps:
        return tuple(1 if i in gone else d for i, d in enumerate(dims))
    return tuple(d for i, d in enumerate(dims) if i not in gone)


def _window(node: Node, op: bytes, dims: Dims, kernel: Dims) -> Dims:
    """What a window that goes over images makes of them: their sizes are left open."""
    if dims is None or len(dims) != 4:
        return None
    channel = {b"": 3, b"NHWC": 3, b"NCHW": 1}.get(node.string("data_format"))
    if channel is None:
        return None
    depth = dims[channel]
    if op in (b"Conv2D", b"DepthwiseConv2dNative"):
        if kernel is None or len(kernel) != 4:
            depth = -1
        elif op == b"Conv2D":
            depth = kernel[3]
        else:
            depth = -1 if min(kernel[2:]) < 0 else kernel[2] * kernel[3]
    out = [dims[0], -1, -1, -1]
    out[channel] = depth
    return tuple(out)


def _flag(node: Node, name: str) -> bool:
    return any(f.number == 5 and f.wire == VARINT and f.value for f in node.attr(name))


def _matmul(node: Node, given: Callable[[int], Dims], _: object) -> Dims:
    a, b = given(0), given(1)
    rows = -1 if a is None or len(a) != 2 else a[_flag(node, "transpose_a")]
    columns = -1 if b is None or len(b) != 2 else b[not _flag(node, "transpose_b")]
    return rows, columns


def _reshape(
    _: Node, given: Callable[[int], Dims], numbers: Callable[[int], list[int] | None]
) -> Dims:
    """The size that is left open follows from the others where all are known."""
    new, old = numbers(1), given(0)
    if new is None or new.count(-1) > 1 or min(new, default=0) < -1:
        return None
    if -1 in new and old is not None and min(old, default=0) >= 0:
        n = known = 1
        for d in old:
            n *= d
        for d in new:
            known *= d if d >= 0 else 1
        if known and n % known == 0:
            new = [n // known if d < 0 else d for d in new]
    return tuple(new)


def _squeeze(node: Node, given: Callable[[int], Dims], _: object) -> Dims:
    dims = given(0)
    axes = [
        signed(v)
        for f in node.within(merged(node.attr("squeeze_dims"), 1)) if f.number == 3
        for v in node.varints(f)
    ]  # fmt: skip
    if axes:
        return _without(dims, axes, keeps=False)
    return None if dims is None or -1 in dims else tuple(d for d in dims if d != 1)


def _expand(
    _: Node, given: Callable[[int], Dims], numbers: Callable[[int], list[int] | None]
) -> Dims:
    dims, axis = given(0), numbers(1)
    gap = None if dims is None or axis is None else _axes(axis, len(dims) + 1)
    if dims is None or gap is None or len(gap) != 1:
        return None
    (at,) = gap
    return (*dims[:at], 1, *dims[at:])


def _transpose(
    _: Node, given: Callable[[int], Dims], numbers: Callable[[int], list[int] | None]
) -> Dims:
    dims, order = given(0), numbers(1)
    if order is None or sorted(order) != list(range(len(order))):
        return None
    if dims is None:
        return (-1,) * len(order)
    return tuple(dims[i] for i in order) if len(dims) == len(order) else None


_RULES: dict[bytes, Callable[..., Dims]] = {
    b"MatMul": _matmul, b"Reshape": _reshape, b"Squeeze": _squeeze, b"ExpandDims": _expand,
    b"Transpose": _transpose,
}  # fmt: skip

