"""Taking devices out of a model: where its nodes and variables are put is the loader's then.

Source: tensorflow/python/framework/meta_graph.py import_scoped_meta_graph, whose
clear_devices does it to the main graph's nodes (2.21).
"""

from __future__ import annotations

from ..errors import CoreError
from ..fingerprint import PROGRAM
from ..plan import Rewrite, enclosing
from ..source import LEN
from ..text import counted, printable
from ..views import as_tag_set
from .draft import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._core import Field
    from ..source import Reader
    from ..views import MetaGraph
    from .draft import Draft

# Field numbers: MetaGraphDef.graph_def and object_graph_def, SavedObject.variable and
# resource; SavedVariable.device and experimental_distributed_variable_components,
# SavedResource.device.
_GRAPH, _OBJECTS, _VARIABLE, _RESOURCE = 2, 7, 7, 10
_VARIABLE_DEVICE, _COMPONENTS, _RESOURCE_DEVICE = 7, 8, 1

#: So many devices are named in a line.
_MOST = 4


def clear_devices(draft: Draft, *, tags: str | Iterable[str] | None = None) -> Done:
    """Take the devices from all nodes, of the main graph and of functions, and from the
    variables and resources of the object graph.

    Args:
        tags: The tag set of the one meta graph to do it to; None for all.

    Raises:
        MissingError: No meta graph has these tags.
        FormatError: A graph is damaged.
    """
    graphs = draft.graphs
    if tags is not None:
        graphs = draft.choose(tags, False, lambda graph: True, "devices")
    rewrite = draft.rewrite()
    counts: dict[str, int] = {}
    hashed = False  # whether graph_def_program_hash sees it: of the first graph's own nodes
    for graph in graphs:
        n_main = _clear_nodes(rewrite, graph, counts)
        hashed = hashed or (graph.index == 0 and n_main > 0)
        _clear_objects(rewrite, graph, counts)
    if counts:
        draft.put(rewrite, [PROGRAM] if hashed else [])
    arguments = {} if tags is None else {"tags": sorted(as_tag_set(tags))}
    return Done(
        "clear-devices", arguments, _words(counts), {"devices": counts}, {"devices": {}},
        drops=True,
    )  # fmt: skip


def _words(counts: dict[str, int]) -> str:
    if not counts:
        return "no device to clear"
    names = sorted(counts, key=lambda name: (-counts[name], name))
    named = [f"{printable(name)} ({counts[name]:,})" for name in names[:_MOST]]
    more = sum(counts[name] for name in names[_MOST:])
    if more:
        named.append(f"{counted(len(names) - _MOST, 'other')} ({more:,})")
    return f"clears {', '.join(named)}"


def _add(counts: dict[str, int], device: str, n: int = 1) -> None:
    counts[device] = counts.get(device, 0) + n


def devices(graph: MetaGraph) -> dict[str, int]:
    """The devices of a meta graph's nodes, of its functions too, and how often each is there.

    Raises FormatError where the graph is damaged.
    """
    counts: dict[str, int] = {}
    _clear_nodes(Rewrite(graph.reader.source), graph, counts)  # which is thrown away
    return counts


def _clear_nodes(rewrite: Rewrite, graph: MetaGraph, counts: dict[str, int]) -> int:
    """Cut out the devices of a meta graph's nodes; how many the main graph's had."""
    n_main = 0
    for f in graph.fields:
        if f.number != _GRAPH or f.wire != LEN:
            continue
        try:
            found, n = rewrite.cut_all("devices", enclosing(graph.field, f))
        except CoreError as e:
            raise graph.reader.error(e, f"{graph.place}.graph_def") from None
        n_main += n
        for name, times in found:
            _add(counts, name.decode("utf-8", "replace"), times)
    return n_main


def _clear_objects(rewrite: Rewrite, graph: MetaGraph, counts: dict[str, int]) -> None:
    """Cut out where the model's variables and resources were when they were saved."""
    numbers = {"variable": _VARIABLE, "resource": _RESOURCE}
    around = iter([f for f in graph.fields if f.number == _OBJECTS and f.wire == LEN])
    outer: Field | None = None
    for node in graph.objects or ():
        if node.kind not in numbers:
            continue
        whole = node.field
        while outer is None or whole.start >= outer.end:
            outer = next(around)
        for f in node.fields:
            if f.number == numbers[node.kind] and f.wire == LEN:
                within = [graph.field, outer, whole, f]
                number = _VARIABLE_DEVICE if f.number == _VARIABLE else _RESOURCE_DEVICE
                _clear_message(rewrite, graph.reader, within, number, node.place, counts)


def _clear_message(
    rewrite: Rewrite,
    reader: Reader,
    within: Sequence[Field],
    number: int,
    place: str,
    counts: dict[str, int],
) -> None:
    """Cut out the device of a SavedVariable, its components' too, or of a SavedResource."""
    inside = within[-1]
    for f in reader.fields([(inside.at, inside.end)], place):
        if f.wire != LEN or f.at == f.end:
            continue
        if f.number == number:
            _add(counts, reader.text(f, place))
            rewrite.replace(f.start, f.end, b"", enclosing(*within))
        elif f.number == _COMPONENTS and number == _VARIABLE_DEVICE:
            _clear_message(rewrite, reader, [*within, f], number, place, counts)
