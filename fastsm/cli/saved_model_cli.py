"""The text of TensorFlow's ``saved_model_cli show``, without loading the model.

saved_model_cli loads the whole model to list its concrete functions; here they come from
the object graph, in the order in which TensorFlow would have named them. Where the two
texts differ:

1. Ops, the keys of a dict among the arguments, and named arguments are sorted;
   saved_model_cli's order is another in every run.
2. Where TensorFlow cannot load the model, saved_model_cli prints ``Concrete Functions:
   N/A``; here the functions are listed. So it is for want of an op, a kernel or a Python
   class (custom ops, TensorRT, an optimizer without Keras, a TypeSpec that nobody
   registered), where the root object is a dict or a list, and where functions call each
   other in a circle or one that is missing (then traces come in the file's order). With
   several meta graphs, which cannot be loaded without tags, both print N/A.
3. A damaged object graph is an error that names its place, not N/A; so is a
   saved_model.pb of no bytes, where saved_model_cli prints nothing.
4. Control and bidirectional characters in names are escaped.
5. The numbers of a tensor among the arguments are left out: its shape and dtype stand for
   it. A TypeSpec of another library is printed by its class and its parts, without its
   class's own repr.
6. A dtype that TensorFlow has not is printed by its number, where saved_model_cli fails.
7. ``--tag_set`` may have blanks around a tag, and be empty, in every mode; and of an
   unknown tag set or signature the error is fastsm's own.
8. The text ends with a newline also where no function is listed.

Source: tensorflow/python/tools/saved_model_cli.py, tensorflow/python/saved_model/load.py
and tensorflow/python/trackable/autotrackable.py (2.21).
"""
from __future__ import annotations

from .. import dtypes
from ..errors import MissingError
from ..text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Protocol

    from ..graph.objects import ConcreteFunction, ObjectGraph, ObjectNode
    from ..source import Reader, Spans

    class TensorInfo(Protocol):
        """What is asked of a tensor of a signature."""

        dtype_number: int
        dims: tuple[int, ...] | None
        encoding: str
        name: str

    class Signature(Protocol):
        """What is asked of a signature."""

        @property
        def inputs(self) -> Mapping[str, TensorInfo]: ...
        @property
        def outputs(self) -> Mapping[str, TensorInfo]: ...
        @property
        def method_name(self) -> str: ...

    class MetaGraph(Protocol):
        """What is asked of a meta graph."""

        place: str
        reader: Reader

        @property
        def tags(self) -> tuple[str, ...]: ...
        @property
        def signature_defs(self) -> Mapping[str, Signature]: ...
        @property
        def objects(self) -> ObjectGraph | None: ...
        @property
        def graph_spans(self) -> Spans: ...
        def ops(self) -> list[str]: ...

    class Model(Protocol):
        """What is asked of a model."""

        path: str

        @property
        def meta_graphs(self) -> Sequence[MetaGraph]: ...


KEYS = "The given SavedModel MetaGraphDef contains SignatureDefs with the following keys:"

#: Attributes that loading itself sets on the root, over a child of the same name.
#: Source: load_partial in tensorflow/python/saved_model/load.py.
SET_BY_LOADING = frozenset(["graph_debug_info", "tensorflow_git_version", "tensorflow_version"])


def show(
    model: Model,
    *,
    all: bool = False,
    tag_set: str | None = None,
    signature_def: str | None = None,
    list_ops: bool = False,
) -> Iterator[str]:
    """The lines that ``saved_model_cli show`` prints with these options.

    Raises:
        MissingError: The tag set or the signature is not there.
        FormatError: The model is damaged where it is read.
    """
    if all:
        yield from _all(model)
        return
    if tag_set is None:
        if list_ops:
            yield "--list_ops must be paired with a tag-set or with --all."
        yield from _tag_sets(model)
        return
    graph = _find(model, tag_set)
    if list_ops:
        yield _ops(graph)
    if signature_def is None:
        yield KEYS
        for key in sorted(graph.signature_defs):
            yield f'SignatureDef key: "{_plain(key)}"'
        return
    if signature_def not in graph.signature_defs:
        keys = ", ".join(map(printable, sorted(graph.signature_defs))) or "none"
        raise MissingError(
            model.path,
            f'no signature "{printable(signature_def)}" in {_set(graph)}. It has: {keys}',
        )
    yield from _signature(graph.signature_defs[signature_def], "")


def _all(model: Model) -> Iterator[str]:
    for graph in sorted(model.meta_graphs, key=lambda g: g.tags):
        yield ""
        tags = _plain(", ".join(graph.tags))
        yield f"MetaGraphDef with tag-set: '{tags}' contains the following SignatureDefs:"
        for key, signature in sorted(graph.signature_defs.items()):
            yield ""
            yield f"signature_def['{_plain(key)}']:"
            yield from _signature(signature, "  ")
        yield _ops(graph)
    yield from concrete_functions(model.meta_graphs)


def _tag_sets(model: Model) -> Iterator[str]:
    yield "The given SavedModel contains the following tag-sets:"
    for tags in sorted(graph.tags for graph in model.meta_graphs):
        yield repr(", ".join(sorted(tags)))


def _find(model: Model, tag_set: str) -> MetaGraph:
    """The first meta graph with these tags, as they stand or without blanks around them."""
    as_written = {tag for tag in tag_set.split(",") if tag}
    trimmed = {tag.strip() for tag in as_written} - {""}
    for wanted in (as_written, trimmed):
        for graph in model.meta_graphs:
            if set(graph.tags) == wanted:
                return graph
    there = " ".join(_set(graph) for graph in model.meta_graphs) or "none"
    raise MissingError(
        model.path, f"no meta graph {_braced(as_written)}; tag sets here: {there}"
    )


def _set(graph: MetaGraph) -> str:
    return _braced(set(graph.tags))


def _braced(tags: set[str]) -> str:
    from ..text import tag_set

    return tag_set(tags)


def _ops(graph: MetaGraph) -> str:
    ops = graph.ops()
    listed = "{" + ", ".join(map(repr, sorted(ops))) + "}" if ops else "set()"
    return f"The MetaGraph with tag set {list(graph.tags)} contains the following ops: {listed}"


def _signature(signature: Signature, indent: str) -> Iterator[str]:
    for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        yield f"{indent}The given SavedModel SignatureDef contains the following {kind}(s):"
        for name, tensor in sorted(tensors.items()):
            yield f"{indent}  {kind}s['{_plain(name)}'] tensor_info:"
            yield from _tensor(tensor, indent + "      ")
    yield f"{indent}Method name is: {_plain(signature.method_name)}"


def _tensor(tensor: TensorInfo, indent: str) -> Iterator[str]:
    number = tensor.dtype_number
    yield f"{indent}dtype: {dtypes.enum_name(number) or dtypes.name(number)}"
    shape = "unknown_rank"
    if tensor.dims is not None:
        shape = f"({', '.join(map(str, tensor.dims))})"
    yield f"{indent}shape: {shape}"
    # Sparse and composite tensors have no name of their own.
    yield f"{indent}name: {_plain(tensor.name) if tensor.encoding == 'name' else ''}"


# -- concrete functions ----------------------------------------------------------------


def concrete_functions(graphs: Sequence[MetaGraph]) -> Iterator[str]:
    """The functions that the root object of a loaded model has, and how to call them."""
    objects = [found for found in (graph.objects for graph in graphs) if found is not None]
    if not objects:
        return
    yield ""
    first = objects[0]
    if len(graphs) > 1:
        yield "Concrete Functions: N/A (could not be listed due to unknown reasons)"
        return
    yield "Concrete Functions:"
    names = _LoadedNames(graphs[0])
    blank = False
    for name, node in sorted(_functions(first).items()):
        if blank:
            yield ""
        blank = True
        yield f"  Function Name: '{_plain(name)}'"
        for index, trace in enumerate(names.ordered(node.concrete_function_names), 1):
            yield from _option(node, first.concrete_functions.get(trace), index)


def _functions(objects: ObjectGraph) -> dict[str, ObjectNode]:
    """The root's children that are functions, by the name they have once loaded."""
    found: dict[str, ObjectNode] = {}
    root = objects.root
    for i, (name, node_id) in enumerate(root.child_ids):
        child = objects.child_at(root, i, node_id)
        # A later child of the same name takes the place of an earlier one.
        found.pop(name, None)
        if child.kind in ("function", "bare_concrete_function"):
            found[name] = child
    return {name: node for name, node in found.items() if name not in SET_BY_LOADING}


class _LoadedNames:
    """The names of functions once they are loaded, read only when their order matters."""

    __slots__ = ("_graph", "_names")

    def __init__(self, graph: MetaGraph) -> None:
        self._graph = graph
        self._names: dict[str, str] | None = None

    def ordered(self, functions: list[str]) -> list[str]:
        """Names in the library, sorted by the names that they are loaded under."""
        if len(set(functions)) < 2:
            return functions
        if self._names is None:
            from ..graph.load_order import loaded_names

            place = f"{self._graph.place}.graph_def"
            found = loaded_names(self._graph.reader, self._graph.graph_spans, place)
            self._names = found or {}
        names = self._names
        if not all(f in names for f in functions):
            return functions
        return sorted(functions, key=lambda f: names[f])


def _option(node: ObjectNode, function: ConcreteFunction | None, index: int) -> list[str]:
    signature = function.input_signature if function is not None else None
    args: Sequence[Any] = ()
    kwargs: Sequence[Any] = ()
    if signature:
        args, named = signature
        kwargs = list(named)
    elif node.kind == "bare_concrete_function":
        args = node.argument_keywords
    lines = []
    if args:
        lines += [f"    Option #{index}", "      Callable with:", *_arguments(args, "Argument")]
    return lines + _arguments(kwargs, "Named Argument")


def _arguments(values: Sequence[Any], kind: str) -> list[str]:
    from ..graph.structured import TensorShape, TensorSpec, type_name

    lines = []
    for index, value in enumerate(values, 1):
        lines.append(f"        {kind} #{index}")
        if isinstance(value, str):
            lines.append(f"          {_plain(value)}")
            continue
        if isinstance(value, TensorSpec):
            lines.append(f"          {_plain(str(value.name))}: {value!r}")
            continue
        lines.append(f"          DType: {_plain(type_name(value))}")
        if isinstance(value, TensorShape) and value.dims is not None:
            value = value.dims
        if isinstance(value, dict):
            inside = "".join([f"'{_plain(k)}': {_item(v)}, " for k, v in value.items()])
            lines.append(f"          Value: {{{inside}\b\b}}")
        elif isinstance(value, (list, tuple)):
            inside = "".join([f"{_item(v)}, " for v in value])
            # The backspaces are saved_model_cli's: they hide the last comma on a terminal.
            lines.append(f"          Value: [{inside}\b\b]")
        else:
            lines.append(f"          Value: {_plain(str(value))}")
    return lines


def _item(value: Any) -> str:
    return f"'{_plain(value)}'" if isinstance(value, str) else _plain(str(value))


def _plain(name: str) -> str:
    """A name from the model, whole, and safe to print."""
    return printable(name, None)
