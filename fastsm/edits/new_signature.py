"""A signature for tensors that the graph has already."""

from __future__ import annotations

from .. import dtypes
from ..errors import MissingError, RefusedError, UsageError
from ..fingerprint import SIGNATURES
from ..graph.tensors import Tensor, Tensors, split
from ..text import did_you_mean, printable, tag_set
from . import signature_def
from .draft import Done
from .signatures import (
    METHODS,
    Held,
    check_free,
    check_key,
    check_text,
    inverse,
    put,
    said,
    serving_rules,
    shown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..views import MetaGraph
    from .draft import Draft

#: What no caller can send or receive.
_HANDLES = {20: "a resource handle", 21: "a variant"}


def add_signature(
    draft: Draft,
    key: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    method: str = "predict",
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Let tensors of the graph be asked for by a new signature.

    Dtypes and shapes are those of the graph; a shape that it does not know is written as
    unknown. tf.saved_model.load of a TF2 model does not see the signature: there signatures
    are functions, and sessions, TensorFlow Serving and saved_model_cli alone go by tensors.

    Args:
        inputs, outputs: Name -> tensor, ``x:0`` or ``x``.
        method: As for `set_method_name`.

    Raises:
        MissingError: The graph has no such tensor; offers the nearest name.
        AmbiguousError: There are several meta graphs, and nothing says which is meant.
        RefusedError: The key is reserved or taken; the graph does not say what a tensor's
            dtype is; a tensor cannot be fed or fetched so.
        UsageError: No output, or a name that no file can hold.
    """
    check_key(draft, key)
    check_text(draft, method, "a method")
    for name, tensor in (*inputs.items(), *outputs.items()):
        check_text(draft, name, "a name")
        check_text(draft, tensor, "a tensor")
    if not outputs:
        raise UsageError(draft.path, "a signature without an output: nothing can be asked of it")
    new = METHODS.get(method, method)
    graphs = draft.choose(tags, all_meta_graphs, lambda graph: True, "a graph for it")
    held = [Held(graph) for graph in graphs]
    if not held:
        raise MissingError(draft.path, "it has no meta graph")
    warnings: list[str] = []
    rewrite = draft.rewrite()
    for h in held:
        check_free(draft, h, key, more=1)
        tensors = Tensors(h.graph, [*inputs.values(), *outputs.values()])
        found = _find(draft, h.graph, tensors, [*inputs.values(), *outputs.values()])
        fed = {name: found[tensor] for name, tensor in inputs.items()}
        fetched = {name: found[tensor] for name, tensor in outputs.items()}
        _check_run(draft, fed, fetched)
        entry = signature_def.signature(
            {name: _info(tensor) for name, tensor in fed.items()},
            {name: _info(tensor) for name, tensor in fetched.items()},
            new,
        )
        signature_def.add(rewrite, h.graph, key, entry)
        unfed = tensors.unfed(fetched.values(), fed.values())
        if unfed:
            few = ", ".join(map(printable, unfed[:3])) + (", ..." if len(unfed) > 3 else "")
            warnings.append(
                f'"{printable(key)}" cannot be run: no input feeds {few}, which its outputs need'
            )
        warnings += serving_rules(
            key, {name: dtypes.name(tensor.dtype) for name, tensor in fed.items()}, fetched, new
        )
    if len(draft.graphs) == 1 and held[0].objects is not None:
        warnings.append(
            f'tf.saved_model.load does not see "{printable(key)}": of a TF2 model it takes '
            "functions; sessions, TF Serving and saved_model_cli see it"
        )
    put(draft, rewrite, {SIGNATURES}, None, warnings)
    arguments = {"key": key, "inputs": dict(inputs), "outputs": dict(outputs), "method": method}
    return Done(
        "add-signature", {**arguments, **said(tags, all_meta_graphs)},
        f"new signature {shown(key)}", {"signature": None}, {"signature": key},
        inverse=inverse(draft, held, key, "remove-signature", key, "--in-place"),
    )  # fmt: skip


def _find(
    draft: Draft, graph: MetaGraph, tensors: Tensors, names: list[str]
) -> dict[str, Tensor]:
    """The tensors of these names, all of a dtype that can be sent and received."""
    found = {}
    for name in names:
        tensor = tensors.find(name)
        if isinstance(tensor, str):
            node = split(name)[0]
            known = [known for known in tensors.names() if _alike(known, node)]
            hint = None if node in known else did_you_mean(node, known or tensors.names())
            raise MissingError(draft.path, f"{tensor} in {tag_set(graph.tag_set)}", hint=hint)
        if not tensor.dtype:
            raise RefusedError(
                draft.path,
                f'the dtype of "{printable(tensor.name)}" cannot be told: {tensor.why}',
                hint="A signature has to say it; fastsm does not guess.",
            )
        if tensor.dtype in _HANDLES:
            raise RefusedError(
                draft.path,
                f'"{printable(tensor.name)}" is {_HANDLES[tensor.dtype]}, which no caller can '
                "send or receive",
                hint="Take a tensor that is computed from it.",
            )
        found[name] = tensor
    return found


def _alike(name: str, other: str) -> bool:
    """Whether names begin or end alike: of many, only those are compared further."""
    return name[:3] == other[:3] or name.rpartition("/")[2] == other.rpartition("/")[2]


def _check_run(draft: Draft, fed: Mapping[str, Tensor], fetched: Mapping[str, Tensor]) -> None:
    """Raises RefusedError for what no session would run.

    Source: tensorflow/core/common_runtime/direct_session.cc; graph/subgraph.cc FeedInputs.
    """
    names: set[str] = set()
    for tensor in fed.values():
        if tensor.name in names:
            problem = f'two inputs are "{printable(tensor.name)}": a tensor can be fed once'
            raise RefusedError(draft.path, problem)
        names.add(tensor.name)
    for tensor in fetched.values():
        if tensor.name in names:
            raise RefusedError(
                draft.path,
                f'"{printable(tensor.name)}" is an input and an output: the C++ session fetches '
                "nothing that is fed",
            )


def _info(tensor: Tensor) -> bytes:
    return signature_def.tensor_info(tensor.name, tensor.dtype, tensor.dims)
