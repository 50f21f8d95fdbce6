"""What the objects of a model and of its checkpoint name, and which of it is not there.

Source: tensorflow/python/saved_model/load.py Loader;
tensorflow/cc/saved_model/bundle_v2.cc RecurseObjectsToRestore (2.21).
"""

from __future__ import annotations

from bisect import bisect_right

from ..text import count, printable
from .nodes import node_of
from .unresolved import Unresolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from .edges import Edges
    from .objects import ObjectGraph, ObjectNode
    from .tracked import Keys, Trackables

NO_FUNCTION = "no such function in the graph's library"

#: The functions without which tf.saved_model.load makes no resource, or an empty one.
#: Source: tensorflow/python/trackable/resource.py CapturableResource (2.21).
_OF_RESOURCE = ("_create_resource", "_initialize")


def in_objects(objects: ObjectGraph, n_assets: int, edges: Edges | None) -> Iterator[Unresolved]:
    """References of the saved objects to each other, to functions, assets and nodes.

    Args:
        n_assets: How many the meta graph has.
        edges: Its nodes, where they can be read.
    """
    library = None if edges is None else edges.nodes.functions
    for node in objects:
        for problem in _of_node(objects, node, n_assets, library, edges):
            yield Unresolved("model-object", node.place, problem)
    n = len(objects)
    for name, concrete in objects.concrete_functions.items():
        place = f'{objects.place}.concrete_functions["{printable(name)}"]'
        for to in concrete.bound_inputs:
            if not 0 <= to < n:
                problem = f"takes object {count(to)}, of {count(n)}"
                yield Unresolved("model-object", place, problem)
        if library is not None and as_bytes(name) not in library:
            problem = NO_FUNCTION
            yield Unresolved("model-object", place, problem, name)


def _of_node(
    objects: ObjectGraph,
    node: ObjectNode,
    n_assets: int,
    library: Container[bytes] | None,
    edges: Edges | None,
) -> Iterator[str]:
    """What is wrong with a saved object, in words."""
    n = len(objects)
    for what, to, lowest in _referred(node, n):
        if not lowest <= to < n:
            yield f"{what} is object {count(to)}, of {count(n)}"
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
                yield f"a resource, and has no function {name}"
    if edges is None:
        return
    if node.kind == "constant" and edges.row(as_bytes(node.operation)) is None:
        yield f'"{printable(node.operation)}": no such node in the graph'
    if node.captured_tensor is not None:
        tensor, function = node.captured_tensor
        owner = edges.nodes.function(as_bytes(function))
        if owner is None:
            yield f'"{printable(function)}": {NO_FUNCTION}'
        elif not _is_in(edges, owner, node_of(as_bytes(tensor))):
            yield f'"{printable(tensor)}": no such tensor in {printable(function)}'


def _referred(node: ObjectNode, n: int) -> Iterator[tuple[str, int, int]]:
    """(in words, number, the lowest that it can be) of what an object refers to.

    Python takes the number of a child from the end backwards, too, where it indexes a list.
    """
    for name, to in node.child_ids:
        yield f"its child {printable(name)}", to, -n
    for name, to in node.dependency_ids:
        yield f"its dependency {printable(name)}", to, 0
    for name, original, variable in node.slot_ids:
        yield f"its slot {printable(name)}", variable, 0
        yield f"the variable of its slot {printable(name)}", original, 0
    for name, save, restore in node.saveable_ids:
        yield f"what saves its {printable(name)}", save, -n
        yield f"what restores its {printable(name)}", restore, -n


def _is_in(edges: Edges, owner: int, name: bytes) -> bool:
    """Whether a function has a node, or an argument, of this name."""
    return edges.row(name, owner) is not None or name in edges.nodes.arguments(owner)


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


def in_both(objects: ObjectGraph, tracked: Trackables) -> Iterator[Unresolved]:
    """Children that the checkpoint's own object graph has, and the model's has not.

    Both are walked from their roots, as C++ does: into each tracked object once.
    """
    seen: set[int] = set()
    path: list[str] = []
    walk: list[tuple[Iterator[tuple[str, int]], dict[str, int]]] = []
    step: tuple[int, int] | None = (0, 0) if len(objects) and len(tracked) else None
    while step is not None:
        saved, stored = step
        # Of equal names C++ takes the first.
        walk.append((tracked.each_child(stored), dict(reversed(objects[saved].child_ids))))
        step = None
        while walk and step is None:
            children, named = walk[-1]
            for name, stored in children:
                if stored in seen or not 0 <= stored < len(tracked):
                    continue  # one that is no node has a finding of its own
                seen.add(stored)
                saved = named.get(name, -1)
                path.append(name)
                if 0 <= saved < len(objects):
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
    objects: ObjectGraph, tracked: Trackables, matched: dict[int, int]
) -> Iterator[Unresolved]:
    """Objects that tf.saved_model.load leaves without the value that they had.

    A variable to which names do not lead in both graphs alike: of one that the root reaches
    loading fails, of another one the function that captures it. And a resource whose state is
    in the checkpoint, and which has no function that takes it from there.

    Args:
        matched: Object of the model -> object of the checkpoint, as `tracked.matched` has it.
    """
    children: list[list[int]] = []
    slots: set[int] = set()
    variables: dict[int, str] = {}
    for node in objects:
        children.append([to for _, to in node.child_ids])
        slots.update(variable for _, _, variable in node.slot_ids)
        stored = matched.get(node.id)
        has_values = stored is not None and tracked.has_values(stored)
        if node.variable is not None and not has_values:
            variables[node.id] = node.variable.name
        elif node.kind == "resource" and has_values and not node.saveable_ids:
            problem = "the checkpoint has its contents, and it has no function that restores them"
            yield Unresolved("object-unrestored", node.place, problem)
    needed = _reached(children) if variables else set()
    for concrete in objects.concrete_functions.values() if variables else ():
        needed.update(concrete.bound_inputs)
    for at, name in variables.items():
        if at in needed and at not in slots:
            place = f"{objects.place}.nodes[{at}]"
            problem = f"no path leads to the variable {printable(name)} in the checkpoint"
            yield Unresolved("object-unrestored", place, problem, name)


def _reached(children: list[list[int]]) -> set[int]:
    """The objects that the root reaches."""
    seen = {0}
    queue = [0]
    for at in queue:  # grows while it is walked
        for to in children[at]:
            if 0 <= to < len(children) and to not in seen:
                seen.add(to)
                queue.append(to)
    return seen
