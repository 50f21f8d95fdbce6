"""Meta graphs made by hand: nodes and functions, as few fields as they need."""

from __future__ import annotations

from pathlib import Path

import fastsm
from fastsm.model import SavedModel
from fastsm.views import MetaGraph

from .wire import delimited, entry, integer

# DataTypes.
FLOAT, STRING, RESOURCE = 1, 7, 20
FLOAT_REF = 101


def dtype(number: int) -> bytes:
    """An AttrValue: a DataType."""
    return integer(6, number)


def dtypes(*numbers: int) -> bytes:
    """An AttrValue: a list of DataTypes."""
    return delimited(1, *(integer(6, n) for n in numbers))


def count(n: int) -> bytes:
    """An AttrValue: a number."""
    return integer(3, n)


def text(value: str) -> bytes:
    """An AttrValue: a string."""
    return delimited(2, value)


def function_named(name: str) -> bytes:
    """An AttrValue: a function."""
    return delimited(10, delimited(1, name))


def node(name: str, op: str, *inputs: str, **attrs: bytes) -> bytes:
    """The fields of a NodeDef."""
    return b"".join([
        delimited(1, name), delimited(2, op), *(delimited(3, i) for i in inputs),
        *(entry(5, key, value) for key, value in attrs.items()),
    ])  # fmt: skip


def op(name: str, *inputs: bytes, attrs: tuple[bytes, ...] = (), stateful: bool = False) -> bytes:
    """The fields of an OpDef."""
    return b"".join([
        delimited(1, name), *(delimited(2, i) for i in inputs),
        *(delimited(4, a) for a in attrs), integer(17, 1) if stateful else b"",
    ])  # fmt: skip


def function(name: str, *nodes: bytes, inputs: tuple[bytes, ...] = (), stateful: bool = False,
             ) -> bytes:  # fmt: skip
    """The fields of a FunctionDef."""
    signature = op(name, *inputs, stateful=stateful)
    return delimited(1, signature) + b"".join(delimited(3, n) for n in nodes)


def saver(restore: str, filename: str = "save/Const:0") -> bytes:
    """saver_def."""
    return delimited(3, delimited(1, filename), delimited(2, "save"), delimited(3, restore))


def init_op(name: str) -> bytes:
    """The collection that names the init op."""
    return node_list("saved_model_main_op", name)


def node_list(collection: str, *names: str) -> bytes:
    """A collection of names."""
    return entry(4, collection, delimited(1, *(delimited(1, name) for name in names)))


def bytes_list(collection: str, *messages: bytes) -> bytes:
    """A collection of messages."""
    return entry(4, collection, delimited(2, *(delimited(1, m) for m in messages)))


def variable(
    name: str, initializer: str, snapshot: str = "", *, initial: str = "", resource: bool = False,
    whole: str = "",
) -> bytes:  # fmt: skip
    """A VariableDef."""
    parts = [delimited(1, name), delimited(2, initializer)]
    parts += [delimited(3, snapshot)] if snapshot else []
    parts += [delimited(4, delimited(1, whole))] if whole else []
    parts += [integer(5, 1)] if resource else []
    parts += [delimited(6, initial)] if initial else []
    return b"".join(parts)


def meta_graph(
    folder: Path, *nodes: bytes, fields: bytes = b"", functions: tuple[bytes, ...] = (),
    ops: tuple[bytes, ...] = (),
) -> MetaGraph:  # fmt: skip
    """The meta graph of a model with these nodes.

    Args:
        folder: Where its saved_model.pb is written.
        fields: What else it has: collections, a saver.
        functions: FunctionDefs.
        ops: The OpDefs that it lists.
    """
    info = delimited(1, delimited(4, "serve"), delimited(2, *(delimited(1, o) for o in ops)))
    library = delimited(2, *(delimited(1, f) for f in functions))
    graph = delimited(2, *(delimited(1, n) for n in nodes), library)
    (folder / "saved_model.pb").write_bytes(
        integer(1, 1) + delimited(2, info, graph, fields)
    )
    model = fastsm.open(folder)
    assert isinstance(model, SavedModel)
    return model.meta_graphs[0]
