"""What signatures feed, against what the graph wants fed.

Source: tensorflow/python/saved_model/load_v1_in_v2.py _extract_signatures,
tensorflow/core/common_runtime/graph_execution_state.cc (2.21).
"""

from __future__ import annotations

from ..graph.tensors import Tensor, Tensors
from ..views import tensors_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..views import MetaGraph, Signature, TensorInfo


def fed_twice(signature: Signature) -> str | None:
    """A tensor that several inputs are, or None; the first that TensorFlow meets, which sorts
    them."""
    seen: set[str] = set()
    for name in _tensors(dict(sorted(signature.inputs.items()))):
        if name in seen:
            return name
        seen.add(name)
    return None


def unfed(graph: MetaGraph, key: str) -> list[str]:
    """The placeholders that the outputs of one of signature_def need and its inputs are not.

    Raises FormatError where the graph is damaged.
    """

    def found() -> list[str]:
        signature = graph.signature_defs[key]
        fetched, fed = _tensors(signature.outputs), _tensors(signature.inputs)
        tensors = Tensors(graph, [*fetched, *fed])
        return tensors.unfed(*([_found(tensors, name) for name in of] for of in (fetched, fed)))

    return graph.once(f"unfed {key}", found)


def _found(tensors: Tensors, name: str) -> Tensor:
    """A tensor; what is none may be an op, as that which trains is."""
    found = tensors.find(name)
    return found if isinstance(found, Tensor) else Tensor(name, 0, None)


def _tensors(infos: Mapping[str, TensorInfo]) -> list[str]:
    return [name for info in infos.values() for name in tensors_of(info)]
