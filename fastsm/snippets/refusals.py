"""Why a loader cannot load the model, or has no values in it, whatever signature is called.

What can be told from the outline, and from one walk along the graph: no more is looked for.
`fastsm verify` finds the rest.
"""

from __future__ import annotations

from ..bundle import has_variables
from ..graph.edges import edges_of
from ..graph.tensors import Tensor, Tensors
from ..loaders import obstacles
from ..text import listed, printable, tag_set
from .values import specs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..views import Signature, TensorInfo
    from .subject import Subject


#: The ops that make variables.
_VARIABLES = (b"VarHandleOp", b"VariableV2", b"Variable")

#: An optimizer of Keras 2, which is made whole where tf_keras was imported before.
#: Source: tf_keras/src/optimizers/legacy/optimizer_v2.py, its registered revived type (2.21).
KERAS_2 = "optimizer"


def v2(subject: Subject) -> str | None:
    """Why tf.saved_model.load refuses the model, or None.

    Source: tensorflow/python/saved_model/load.py, load_v1_in_v2.py (2.21).
    """
    why = _hidden(subject) or _pattern(subject)
    if why:
        return why
    if subject.by_objects:
        if slots(subject) - {KERAS_2}:
            return (
                "tf.saved_model.load fails (add_slot): an optimizer has slot variables; "
                "fastsm repair --only object-slots mends it"
            )
        return _obstacle(subject, "v2")
    signatures = subject.graph.signature_defs
    for key, signature in signatures.items():
        if twice := _fed_twice(signature):
            return (
                f'tf.saved_model.load fails: the signature "{printable(key)}" has several inputs '
                f"that are {printable(twice)}; fastsm remove-signature leaves it out"
            )
    for key in signatures:
        if unfed := _unfed(subject, key):
            return (
                f'tf.saved_model.load fails: the signature "{printable(key)}" does not feed '
                f"{listed(unfed)}, which its outputs need; fastsm remove-signature leaves it out"
            )
    return _obstacle(subject, "v2")


def v1(subject: Subject) -> str | None:
    """Why tf.compat.v1.saved_model.load refuses the model, or the signature does not run."""
    why = _hidden(subject) or _pattern(subject) or _obstacle(subject, "v1")
    if why is None and (unfed := _unfed(subject, subject.key)):
        why = f"the signature does not feed {listed(unfed)}, which its outputs need"
    return why


def cc(subject: Subject) -> str | None:
    """Why LoadSavedModel of C++, and so each server, refuses the model, or None.

    Source: tensorflow/cc/saved_model/loader.cc, tensorflow/core/common_runtime/graph_execution
    _state.cc: an endpoint is fed once (2.21).
    """
    why = _hidden(subject)
    tensors = [asset.tensor for asset in subject.graph.assets]
    twice = next((name for name in tensors if tensors.count(name) > 1), None)
    if why is None and twice is not None:
        why = (
            f"C++ refuses the model: {printable(twice)} is fed two assets; "
            "fastsm repair --only asset-tensor mends it"
        )
    return why or _no_saver(subject) or _obstacle(subject, "cc")


def _no_saver(subject: Subject) -> str | None:
    """Source: tensorflow/cc/saved_model/loader.cc: without a saver it restores nothing (2.21)."""
    graph = subject.graph
    if (graph.saver is not None and graph.saver.restore_op) or not has_variables(subject.path):
        return None
    if not edges_of(graph).nodes.owners(_VARIABLES):
        return None
    return "saver_def names no op that restores: C++ loads it, and leaves variables without values"


def slots(subject: Subject) -> set[str]:
    """What the objects that have slot variables say they are; tf_keras makes `KERAS_2`."""
    graph = subject.graph

    def found() -> set[str]:
        return {node.identifier for node in graph.objects or () if node.has_slot_variables}

    return graph.once("slots", found) if subject.by_objects else set()


def _hidden(subject: Subject) -> str | None:
    first = next(g for g in subject.model.meta_graphs if g.tag_set == subject.graph.tag_set)
    if first is subject.graph:
        return None
    return (
        f"no loader finds this meta graph: {first.place} has the tags "
        f"{tag_set(subject.tags)} too, and comes first; fastsm remove-meta-graph leaves it out"
    )


def is_pattern(path: str) -> bool:
    """Whether TensorFlow takes a path for a pattern that does not match it: then it finds no
    checkpoint below.

    Source: tensorflow/core/util/tensor_slice_reader.cc, tsl/platform/file_system.cc Match (2.21).
    """
    _, bracket, rest = path.partition("[")
    return "\\" in path or (bool(bracket) and "]" in rest)


def _pattern(subject: Subject) -> str | None:
    if not is_pattern(subject.path) or not has_variables(subject.path):
        return None
    return (
        "TensorFlow takes a path with \\ or [] for a pattern, and finds no checkpoint there: "
        "move the model"
    )


def _obstacle(subject: Subject, loader: str) -> str | None:
    """What else keeps a loader from the meta graph."""
    found = (o for o in obstacles(subject.model, subject.graph) if o.loader == loader)
    # Whether a train op is fed all that it needs is known here.
    words = [o.words for o in found if o.said is None or o.said.type != "UnliftableError"]
    return words[0] if words else None


def _fed_twice(signature: Signature) -> str | None:
    """A tensor that several inputs are."""
    names = _tensors(signature.inputs)
    return next((name for name in names if names.count(name) > 1), None)


def _tensors(infos: Mapping[str, TensorInfo]) -> list[str]:
    return [spec.tensor for name, info in infos.items() for spec in specs_of(name, info)]


def _unfed(subject: Subject, key: str) -> list[str]:
    """The placeholders that a signature's outputs need and its inputs are not."""
    graph = subject.graph

    def found() -> list[str]:
        signature = graph.signature_defs[key]
        names = [_tensors(infos) for infos in (signature.outputs, signature.inputs)]
        tensors = Tensors(graph, [*names[0], *names[1]])
        looked_up = ([(n, tensors.find(n)) for n in of] for of in names)
        # What is no tensor may be an op, as that which trains is.
        fetched, fed = (
            [t if isinstance(t, Tensor) else Tensor(n, 0, None) for n, t in of] for of in looked_up
        )
        return tensors.unfed(fetched, fed)

    return graph.once(f"unfed {key}", found)
