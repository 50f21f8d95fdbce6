"""What the objects of a model and of its checkpoint name, and which of it is not there.

Source: tensorflow/python/saved_model/load.py Loader;
tensorflow/cc/saved_model/bundle_v2.cc RecurseObjectsToRestore (2.21).
"""

from __future__ import annotations

from bisect import bisect_right

from ..dtypes import REF
from ..errors import FormatError
from ..text import count, counted, printable
from .nodes import node_of
from .structured import TensorSpec, TypeSpec
from .unresolved import Unresolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..source import Message
    from .edges import Edges
    from .objects import ConcreteFunction, ObjectGraph, ObjectNode
    from .tracked import Keys, Outline, Trackables

NO_FUNCTION = "no such function in the graph's library"

_RESOURCE = 20  # DataType

#: The functions without which tf.saved_model.load makes no resource, or an empty one.
#: Source: tensorflow/python/trackable/resource.py CapturableResource (2.21).
_OF_RESOURCE = ("_create_resource", "_initialize")


def in_objects(objects: ObjectGraph, n_assets: int, edges: Edges | None) -> Iterator[Unresolved]:
    """References of the saved objects to each other, to functions, assets and nodes.

    Args:
        n_assets: How many the meta graph has.
        edges: Its nodes, where they can be read.
    """
    n = len(objects)
    arguments: dict[int, set[bytes]] = {}
    for node in objects:
        problems = list(_of_node(objects, node, n_assets))
        if edges is not None:
            problems += _in_graph(node, edges, arguments)
        for problem in problems:
            yield Unresolved("model-object", node.place, problem)
    library = None if edges is None else edges.nodes.functions
    for name, concrete in objects.concrete_functions.items():
        place = f'{objects.place}.concrete_functions["{printable(name)}"]'
        for to in concrete.bound_inputs:
            if not 0 <= to < n:
                problem = f"takes object {count(to)}, of {count(n)}"
                yield Unresolved("model-object", place, problem)
        if library is not None and as_bytes(name) not in library:
            yield Unresolved("model-object", place, NO_FUNCTION, name)


def _of_node(objects: ObjectGraph, node: ObjectNode, n_assets: int) -> Iterator[str]:
    """What is wrong with a saved object, in words."""
    n = len(objects)
    for what, name, to, lowest in _referred(node, n):
        if not lowest <= to < n:
            yield f"{what} {printable(name)} is object {count(to)}, of {count(n)}"
    for function in node.concrete_function_names:
        if function not in objects.concrete_functions:
            yield f'"{printable(function)}": no such concrete function'
    asset = node.asset_index
    if asset is not None and not -n_assets <= asset < n_assets:
        yield f"is asset {count(asset)}, of {count(n_assets)}"
    if node.kind == "resource":
        children = {name for name, _ in node.child_ids}
        for name in _OF_RESOURCE:
            if name not in children:
                yield f"is a resource, and has no function {name}"


def _referred(node: ObjectNode, n: int) -> Iterator[tuple[str, str, int, int]]:
    """(in words, name, number, the lowest that it can be) of what an object refers to.

    Python takes a number from the end backwards, too, where it indexes a list.
    """
    for name, to in node.child_ids:
        yield "its child", name, to, -n
    for name, to in node.dependency_ids:
        yield "its dependency", name, to, 0
    for name, original, variable in node.slot_ids:
        yield "its slot", name, variable, 0
        yield "the variable of its slot", name, original, 0
    for name, save, restore in node.saveable_ids:
        yield "what saves its", name, save, -n
        yield "what restores its", name, restore, -n


def _in_graph(node: ObjectNode, edges: Edges, arguments: dict[int, set[bytes]]) -> Iterator[str]:
    """What a saved object names in the graph and is not there, in words.

    Args:
        arguments: Of functions that were looked at.
    """
    if node.kind == "constant" and edges.row(as_bytes(node.operation)) is None:
        yield f'"{printable(node.operation)}": no such node in the graph'
    if node.captured_tensor is None:
        return
    tensor, function = node.captured_tensor
    owner, name = edges.nodes.function(as_bytes(function)), node_of(as_bytes(tensor))
    if owner is None:
        yield f'"{printable(function)}": {NO_FUNCTION}'
    elif edges.row(name, owner) is None:
        if owner not in arguments:
            arguments[owner] = set(edges.nodes.arguments(owner))
        if name not in arguments[owner]:
            yield f'"{printable(tensor)}": no such tensor in {printable(function)}'


def in_captures(concrete: ConcreteFunction, arguments: Sequence[Message]) -> Iterator[Unresolved]:
    """What a function captures, against its last arguments, which are given that.

    Args:
        arguments: The OpDef.ArgDefs of the function in the library.

    Source: tensorflow/python/saved_model/load.py _setup_function_captures,
    tensorflow/python/eager/polymorphic_function/restore_captures.py (2.21).
    """
    n, n_captured = len(arguments), len(concrete.bound_inputs)
    free = arguments[: max(0, n - n_captured)]
    if n_captured > n:
        problem = f"captures {counted(n_captured, 'object')}, and has {counted(n, 'argument')}"
        yield Unresolved("model-object", concrete.place, problem)
    elif any(argument.get(3) == _RESOURCE for argument in free):
        try:
            takes_some = _may_be_resource(concrete.input_signature)
        except FormatError:  # of a gradient's function there is none
            return
        if not takes_some:
            problem = "a resource that it captures is no object"
            yield Unresolved("model-object", concrete.place, problem)


def _may_be_resource(spec: object) -> bool:
    """Whether something that a caller gives may be a resource."""
    if isinstance(spec, dict):
        spec = list(spec.values())
    if isinstance(spec, list | tuple):
        return any(map(_may_be_resource, spec))
    if isinstance(spec, TensorSpec):
        return spec.dtype.number % REF == _RESOURCE
    return isinstance(spec, TypeSpec)


def as_bytes(name: str) -> bytes:
    """A name as the graph has it."""
    return name.encode("utf-8", "surrogateescape")


# -- the checkpoint's own object graph --


def in_tracked(tracked: Trackables, keys: Keys) -> Iterator[Unresolved]:
    """References of the checkpoint's objects to each other and to its keys."""
    tables, n = tracked.tables, len(tracked)
    for i, _, _, key in tables.values:
        if key and not keys.holds(key.encode()):
            problem = f"{printable(key)}: of object {i}, and not in the index"
            yield Unresolved("object-key", None, problem, key)
    for place, child in enumerate(tables.child_nodes):
        if not 0 <= child < n:
            owner = bisect_right(tables.first_child, place) - 1
            yield _lost(owner, f"its child {printable(tables.child_names[place])}", child, n)
    for owner, name, original, variable in tables.slots:
        for what, to in (("its slot", variable), ("the variable of its slot", original)):
            if not 0 <= to < n:
                yield _lost(owner, f"{what} {printable(name)}", to, n)


def _lost(owner: int, what: str, to: int, n: int) -> Unresolved:
    problem = f"object {owner}: {what} is object {count(to)}, of {count(n)}"
    return Unresolved("object-graph", None, problem)


def in_both(outline: Outline, tracked: Trackables) -> Iterator[Unresolved]:
    """Children that the checkpoint's own object graph has, and the model's has not.

    Both are walked from their roots, as C++ does: into each tracked object once.
    """
    seen: set[int] = set()
    path: list[str] = []
    walk: list[tuple[Iterator[tuple[str, int]], dict[str, int]]] = []
    step: tuple[int, int] | None = (0, 0) if len(outline) and len(tracked) else None
    while step is not None:
        saved, stored = step
        # Of equal names C++ takes the first.
        walk.append((tracked.each_child(stored), dict(reversed(outline.children[saved]))))
        step = None
        while walk and step is None:
            children, named = walk[-1]
            for name, stored in children:
                if stored in seen or not 0 <= stored < len(tracked):
                    continue  # one that is no node has a finding of its own
                seen.add(stored)
                saved = named.get(name, -1)
                path.append(name)
                if 0 <= saved < len(outline):
                    step = saved, stored
                    break
                yield _lacking(path)
                path.pop()
            else:
                walk.pop()
                if path:
                    path.pop()


def _lacking(path: list[str]) -> Unresolved:
    way = ("..." if len(path) > 9 else "") + ".".join(map(printable, path[-9:]))
    problem = f"{way}: the checkpoint's own object graph has it, the model's has not"
    return Unresolved("object-child", None, problem, path[-1])


def unrestored(
    outline: Outline, tracked: Trackables, matched: dict[int, int]
) -> Iterator[Unresolved]:
    """Objects that tf.saved_model.load leaves without the value that they had.

    A variable to which names do not lead in both graphs alike: of one that the root reaches
    loading fails, of another one the function that captures it. And a resource whose state is
    in the checkpoint, and which has no function that takes it from there.

    Args:
        matched: Object of the model -> object of the checkpoint.
    """
    place = f"{outline.objects.place}.nodes"
    valued = {at for at, stored in matched.items() if tracked.has_values(stored)}
    for at in outline.unsaved:
        if at in valued:
            problem = "the checkpoint has its contents, and it has no function that restores them"
            yield Unresolved("object-unrestored", f"{place}[{at}]", problem)
    lost = [at for at in outline.variables if at not in valued and at not in outline.slots]
    needed = outline.reached() if lost else set()
    for concrete in outline.objects.concrete_functions.values() if lost else ():
        needed.update(concrete.bound_inputs)
    for at in lost:
        if at in needed:
            name = outline.variables[at].name
            problem = f"no path leads to the variable {printable(name)} in the checkpoint"
            yield Unresolved("object-unrestored", f"{place}[{at}]", problem, name)
