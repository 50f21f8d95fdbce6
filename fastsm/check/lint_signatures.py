"""Findings of single signatures: what servers cannot ask of them, and what two places say of one.

Source: tensorflow_serving/servables/tensorflow/predict_util.cc, classifier.cc, regressor.cc,
tensorflow_serving/batching/batching_session.cc, tensorflow_serving/util/json_tensor.cc;
tensorflow/python/saved_model/load.py (2.21).
"""

from __future__ import annotations

from ..edits.signatures import METHODS, serving_wants
from ..graph.edges import edges_of
from ..graph.nodes import node_of
from ..graph.objects import SIGNATURE_MAP, SIGNATURES_CHILD
from ..graph.structured import TensorSpec
from ..text import counted, listed, printable
from ..views import RESERVED, TRAIN_OP, loads_by_objects
from .lint_names import is_served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import SavedModel
    from ..views import MetaGraph, Signature, TensorInfo
    from .model import Damage
    from .report import Report

    Dims = tuple[int | None, ...] | None

#: Ops whose value the caller has to give.
_FED = frozenset([b"Placeholder", b"PlaceholderV2"])


def check_signatures(report: Report, damage: Damage, model: SavedModel, graph: MetaGraph) -> None:
    """Look at each signature of a meta graph, and at the entry of a train op."""
    for key, signature in graph.signature_defs.items():
        if key in RESERVED and key in signature.outputs:
            continue
        place = f'{graph.place}.signature_def["{printable(key)}"]'
        if is_served(graph):
            _check_method(report, damage.file, place, key, signature)
            _check_shapes(report, damage.file, place, key, signature)
    if loads_by_objects(model.meta_graphs):
        damage.guard(lambda: _check_agreement(report, damage.file, graph))
    else:
        damage.guard(lambda: _check_train_op(report, damage.file, graph))


# -- what servers ask of it --


def _check_method(report: Report, file: str, place: str, key: str, signature: Signature) -> None:
    """The server checks the inputs and outputs by which it classifies or regresses. The name of
    a method it checks where it is told to, and older ones always."""
    method = signature.method_name
    short = next((word for word, text in METHODS.items() if text == method), None)
    if short is not None:
        # Old writers left dtypes out, and the server does not look.
        inputs = {n: info.dtype for n, info in signature.inputs.items() if info.dtype_number}
        inputs = {name: inputs.get(name, "string") for name in signature.inputs}
        wants = serving_wants(inputs, signature.outputs, method)
        if wants:
            report.add(
                "serving-method", file,
                f"TF Serving cannot {short} by it: that takes {' and '.join(wants)}",
                place=place, key=key, seen=method,
            )  # fmt: skip
        return
    shown = f'method "{printable(method)}"' if method else "no method"
    report.add(
        "serving-method", file,
        f"{shown}: TF Serving takes {listed(METHODS)}, if it looks: old servers do, others "
        "with --enable_signature_method_name_check",
        place=f"{place}.method_name", key=key, expected=METHODS["predict"], seen=method,
    )  # fmt: skip


def _check_shapes(report: Report, file: str, place: str, key: str, signature: Signature) -> None:
    """Servers stack the requests of a batch along the first dimension of each input."""
    given = {n: t for n, t in signature.inputs.items() if t.encoding == "name"}
    inputs = {n: t for n, t in given.items() if t.has_shape}
    scalars = [name for name, info in inputs.items() if info.shape == ()]
    unknown = [name for name, info in inputs.items() if info.shape is None]
    if signature.method_name in (METHODS["classify"], METHODS["regress"]):
        unknown = []  # the server itself makes that input
    rows = {name: info.shape[0] for name, info in inputs.items() if info.shape}
    fixed = [name for name, n in rows.items() if n is not None]
    for rule, names, words in (
        ("signature-scalar", scalars, "takes a scalar: \"instances\" of TF Serving's REST API, and "
         "batching, give one value for each row"),
        ("signature-rank", unknown, "has an unknown rank: TFLite makes a scalar of it, and Triton "
         "has to be told its dims"),
        ("signature-batch", fixed if len(fixed) < len(rows) else [],
         "takes a fixed number of rows, and other inputs any: requests cannot be batched"),
    ):  # fmt: skip
        if names:
            shown = listed((f"{printable(n)} {inputs[n].spec()}" for n in names), 3)
            report.add(rule, file, f"{shown} {words}", place=f"{place}.inputs", key=key)


# -- what two places say of it --


def _check_agreement(report: Report, file: str, graph: MetaGraph) -> None:
    """Hold what sessions go by against what tf.saved_model.load does, for each signature that
    both have; `check_descriptions` tells of others."""
    objects = graph.objects
    if objects is None or not len(objects):
        return
    holder = objects.child(objects.root, SIGNATURES_CHILD)
    if holder is None or holder.identifier != SIGNATURE_MAP:
        return
    functions = objects.concrete_functions
    for key, node_id in dict(holder.child_ids).items():
        signature = graph.signature_defs.get(key)
        names = (
            objects[node_id].concrete_function_names if 0 <= node_id < len(objects) else []
        )
        if signature is None or len(names) != 1 or names[0] not in functions:
            continue
        concrete = functions[names[0]]
        place = f'{graph.place}.signature_def["{printable(key)}"]'
        structure = concrete.input_signature
        if isinstance(structure, tuple) and len(structure) == 2:
            _compare(report, file, place, key, "inputs", signature.inputs, structure[1])
        _compare(report, file, place, key, "outputs", signature.outputs, concrete.output_signature)


def _compare(
    report: Report, file: str, place: str, key: str, side: str,
    infos: dict[str, TensorInfo], specs: Any,
) -> None:  # fmt: skip
    if not isinstance(specs, dict) or not all(type(s) is TensorSpec for s in specs.values()):
        return  # composite ones are spread over several tensors
    differences = []
    for name in sorted(infos.keys() | specs.keys()):
        if name not in specs:
            differences.append(f"{printable(name)} is in signature_def alone")
        elif name not in infos:
            differences.append(f"{printable(name)} is in the object graph alone")
        elif (seen := _other(infos[name], specs[name])) is not None:
            differences.append(f"{printable(name)} is {infos[name].spec()} and {seen}")
    if differences:
        report.add(
            "signature-disagrees", file, f"{side}: {listed(differences, 4)}",
            place=f"{place}.{side}", key=key, seen=len(differences),
        )  # fmt: skip


def _other(info: TensorInfo, spec: TensorSpec) -> str | None:
    """What the objects say of a tensor, if it is anything else than signature_def does."""
    from .. import dtypes

    dims: Dims = spec.shape.dims
    fits = info.encoding != "name" or (
        info.dtype_number == spec.dtype.number and _compatible(info.shape, dims)
    )
    if fits:
        return None
    shape = "..." if dims is None else ", ".join("?" if d is None else str(d) for d in dims)
    return f"{dtypes.name(spec.dtype.number)}[{shape}]"


def _compatible(a: Dims, b: Dims) -> bool:
    """Whether a tensor can have both shapes."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(
        x is None or y is None or x == y for x, y in zip(a, b, strict=True)
    )


# -- the train op --


def _check_train_op(report: Report, file: str, graph: MetaGraph) -> None:
    """Source: tensorflow/python/saved_model/load_v1_in_v2.py _extract_signatures, which makes a
    function of each entry but that of the init op (2.21)."""
    from ..graph.edges import Live

    entry = graph.signature_defs.get(TRAIN_OP)
    if entry is None or TRAIN_OP not in entry.outputs:
        return
    edges = edges_of(graph)
    row = edges.row(node_of(entry.outputs[TRAIN_OP].name.encode("utf-8", "surrogateescape")))
    if row is None:
        return
    live = Live(edges)
    edges.walk(live, [row])
    fed = [edges.name(r) for r in edges.with_op(*_FED) if live.nodes[r]]
    if fed:
        names = listed((printable(name) for name in fed), 3)
        report.add(
            "train-op", file,
            f"{printable(entry.outputs[TRAIN_OP].name)} takes {names}: "
            f"{counted(len(fed), 'placeholder')} that the entry has no inputs for",
            place=f'{graph.place}.signature_def["{TRAIN_OP}"]', key=TRAIN_OP,
        )  # fmt: skip
