"""What is in a SavedModel: what wrote it, its files, and each meta graph with its tags,
signatures, assets and the calls that load it. Reads the outline of saved_model.pb and
variables.index; loads nothing. Of a checkpoint: its files, what its tensors are for.

With --all, --tag_set, --signature_def, --list_ops or --dir it prints the exact text of
TensorFlow's saved_model_cli show instead."""

from __future__ import annotations

import os
import sys

from ..bundle import is_doubling
from ..errors import FormatError, MissingError, UsageError
from ..locate import entries
from ..model import SavedModel
from ..model import open as open_any
from ..text import (
    counted,
    printable,
    python_list,
    python_str,
    serving_flag,
    serving_words,
    size,
    tag_set,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..bundle import Summary
    from ..views import MetaGraph
    from . import Arguments, Option

EPILOG = """example:
  fastsm show export/1
  fastsm show export/1 --signature serving_default
  fastsm show export/1 --all        what saved_model_cli show --all prints
"""

_CLI = "as saved_model_cli: "

OPTIONS: list[Option] = [
    (
        ("path",),
        {"metavar": "PATH", "nargs": "?", "help": "the model's folder, or a checkpoint's prefix"},
    ),
    (("--tags",), {"metavar": "SET", "help": 'only this meta graph; "" is the empty set'}),
    (("--signature",), {"metavar": "KEY", "help": "all there is to one signature"}),
    (("--functions",), {"action": "store_true", "help": "list the function library"}),
    (("--ops",), {"action": "store_true", "help": "list the ops that the graph needs"}),
    (
        ("--fingerprint",),
        {"action": "store_true", "help": "check every hash of fingerprint.pb"},
    ),
    (("--dir",), {"metavar": "PATH", "help": _CLI + "the model's folder"}),
    (("--all",), {"action": "store_true", "help": _CLI + "everything"}),
    (("--tag_set",), {"metavar": "SET", "help": _CLI + "the signatures of a meta graph"}),
    (("--signature_def",), {"metavar": "KEY", "help": _CLI + "inputs and outputs of one"}),
    (("--list_ops",), {"action": "store_true", "help": _CLI + "the ops of a meta graph"}),
]

#: Words whose letters people gave as tags by writing tags="serve" where a list belongs.
_WORDS = ("serve", "train", "eval", "gpu", "tpu")


def run(args: Arguments) -> int:
    path = args.path if args.path is not None else args.dir
    if path is None:
        raise UsageError("", "say which model: fastsm show PATH")
    if args.path is not None and args.dir is not None and args.path != args.dir:
        raise UsageError("", "PATH and --dir name two models")
    if (
        args.all
        or args.dir is not None
        or args.list_ops
        or args.tag_set is not None
        or (args.signature_def is not None)
    ):
        return _as_saved_model_cli(path, args)
    model = open_any(path)
    if isinstance(model, SavedModel):
        record, text = describe(model, args), lines
    else:
        from . import checkpoint

        _refuse_model_options(path, args)
        record, text = checkpoint.describe(model), checkpoint.lines
    if args.quiet:
        return 0
    if args.json:
        from .output import to_json

        print(to_json(record))
    else:
        print("\n".join(text(record)))
    return 0


def _refuse_model_options(path: str, args: Arguments) -> None:
    for name in ("tags", "signature", "functions", "ops", "fingerprint"):
        if getattr(args, name) not in (None, False):
            raise UsageError(path, f"is a checkpoint: --{name} goes with a SavedModel")


def _as_saved_model_cli(path: str, args: Arguments) -> int:
    from . import saved_model_cli

    if args.json:
        raise UsageError(
            "", "--json goes with fastsm's own options, not with saved_model_cli's"
        )
    model = open_any(path)
    if not isinstance(model, SavedModel):
        raise UsageError(
            path, "is a checkpoint: the options of saved_model_cli go with a SavedModel"
        )
    text = saved_model_cli.show(
        model,
        all=args.all,
        tag_set=args.tag_set,
        signature_def=args.signature_def,
        list_ops=args.list_ops,
    )
    sys.stdout.writelines(f"{line}\n" for line in text)
    return 0


# -- the record: what --json prints, and what the text is made of --


def describe(model: SavedModel, args: Arguments) -> dict[str, Any]:
    """Everything that ``show`` tells of a model, as plain values."""
    graphs = model.meta_graphs
    if args.tags is not None:
        tags = [t for t in args.tags.split(",") if t]
        graphs = [model.meta_graph(set(tags))]
    if args.signature is not None:
        graphs = _with_signature(model, graphs, args.signature)
    notes: list[str] = []
    files = entries(model.folder)
    record: dict[str, Any] = {
        "schema": "fastsm.show/1",
        "path": model.path,
        "format": model.format,
        "kind": kind(model, {e.name for e in files}),
        "bytes": sum(e.bytes for e in files),
        "files": [e.to_dict() for e in files],
        "variables": _variables(model, notes),
        "fingerprint": _fingerprint(model, args.fingerprint, notes),
        "meta_graphs": [_meta_graph(model, g, args) for g in graphs],
    }
    if args.signature is not None:
        record["signature"] = args.signature
    _notes(model, record, notes)
    record["notes"] = notes
    return record


def _with_signature(model: SavedModel, graphs: list[MetaGraph], key: str) -> list[MetaGraph]:
    found = [g for g in graphs if key in g.signature_defs]
    if found:
        return found
    import difflib

    known = sorted({k for g in graphs for k in g.signatures})
    close = difflib.get_close_matches(key, known, 1)
    meant = f"Did you mean {printable(close[0])}? " if close else ""
    where = " ".join(tag_set(g.tag_set) for g in graphs) or "the model"
    raise MissingError(
        model.path,
        f'no signature "{printable(key)}" in {where}. {meant}It has: '
        + (", ".join(map(printable, known)) or "none"),
    )


def kind(model: SavedModel, names: set[str]) -> str:
    """What wrote the model: "Keras 3 export", "Keras 2 model", "TF1 Hub module", ..."""
    graphs = model.meta_graphs
    if not graphs:
        return "no meta graph"
    if "tfhub_module.pb" in names:
        return "TF1 Hub module"
    if not any(g.object_spans for g in graphs):
        return "TF1 graph"
    children = set(graphs[0].root_children)
    # keras.src.export.export_archive.ExportArchive keeps its variables under these.
    if {"_all_variables", "_misc_assets"} <= children:
        return "Keras 3 export"
    if "keras_metadata.pb" in names or "keras_api" in children:
        return "Keras 2 model"
    return "TF2 object graph"


def _variables(model: SavedModel, notes: list[str]) -> dict[str, Any] | None:
    try:
        summary = model.variables_summary
    except FormatError as e:
        notes.append(f"{e.path}: {e.problem}")
        return None
    if summary is None:
        return None
    notes += [f"variables/variables.index {problem}" for problem in summary.problems[:3]]
    if len(summary.problems) > 3:
        notes.append(f"variables/variables.index: {len(summary.problems) - 3} more problems")
    notes += doubled_note(summary)
    return summary.to_dict()


def doubled_note(summary: Summary) -> list[str]:
    """A note on variables that look stored twice, where they are worth one."""
    if not is_doubling(summary.doubled_bytes, summary.n_bytes):
        return []
    verb = "looks" if summary.doubled == 1 else "look"
    return [
        f"{counted(summary.doubled, 'variable')} ({size(summary.doubled_bytes)}) {verb} "
        "stored twice: same size and checksum"
    ]


def _fingerprint(model: SavedModel, check: bool, notes: list[str]) -> dict[str, Any] | None:
    try:
        found = model.fingerprint
    except FormatError as e:
        notes.append(f"{e.path}: {e.problem}")
        return None
    if found is None:
        if check:
            notes.append("there is no fingerprint.pb to check")
        return None
    out = found.to_dict()
    if check:
        checks = model.check_fingerprint()
        out["checks"] = [c.to_dict() for c in checks]
        stale = [c.name for c in checks if c.ok is False]
    else:
        try:
            fits: bool | None = model.is_of_index(found)
        except FormatError:
            fits = None
        out["checkpoint_hash_ok"] = fits
        stale = ["checkpoint_hash"] if fits is False else []
    notes += [
        f"fingerprint.pb is stale: its {name} is not that of this model" for name in stale
    ]
    return out


def _meta_graph(model: SavedModel, graph: MetaGraph, args: Arguments) -> dict[str, Any]:
    out = graph.to_dict()
    out["load"] = _load(model, graph)
    if args.functions:
        out["function_names"] = graph.functions()
    if args.ops:
        out["ops"] = graph.ops()
    if args.signature is not None:
        out["signatures"] = {
            k: s.to_dict() for k, s in graph.signature_defs.items() if k == args.signature
        }
    return out


def _load(model: SavedModel, graph: MetaGraph) -> dict[str, str | None]:
    """The call and the server flag that load a meta graph; None where none can."""
    first = next(g for g in model.meta_graphs if g.tag_set == graph.tag_set)
    if first is not graph:
        return {"python": None, "serving": None, "hidden_by": first.place}
    tags = sorted(graph.tag_set)
    inside = python_str(model.path)
    if len(model.meta_graphs) > 1:
        inside += f", tags={python_list(tags)}"
    call = f"tf.saved_model.load({inside})"
    return {"python": call, "serving": serving_flag(tags), "hidden_by": None}


def _notes(model: SavedModel, record: dict[str, Any], notes: list[str]) -> None:
    for graph in model.meta_graphs:
        letters = graph.tag_set
        if len(letters) > 1 and all(len(t) == 1 for t in letters):
            word = next((w for w in _WORDS if set(w) == letters), None)
            mend = f"; mend: fastsm retag {printable(model.path)} {','.join(sorted(letters))} "
            notes.append(
                f"the tags {tag_set(letters)} are the letters of a word"
                + (f"{mend}{word}" if word else "")
            )
    if len(model.meta_graphs) > 1:
        notes.append("the meta graphs share variables/ and assets/")
    if record["variables"] is None and any(g.saver for g in model.meta_graphs):
        folder = os.path.join(model.folder, "variables")
        if not os.path.isdir(folder):
            notes.append("there is no variables/: loaders that restore variables will fail")
    if model.has_chunked_twin:
        notes.append("saved_model.cpb beside saved_model.pb: no public loader reads it")


# -- the text --


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """The record as a person reads it, 80 columns where names allow."""
    yield _title(record)
    yield from _file_lines(record)
    for graph in record["meta_graphs"]:
        yield ""
        yield from _graph_lines(record, graph)
    if record["fingerprint"] and "checks" in record["fingerprint"]:
        yield ""
        yield from _check_lines(record["fingerprint"])
    if record["notes"]:
        yield ""
        for note in record["notes"]:
            yield f"note: {note}"


def _title(record: Mapping[str, Any]) -> str:
    versions = {g["tensorflow_version"] for g in record["meta_graphs"]}
    wrote = [f"TensorFlow {printable(v)}" for v in sorted(versions) if v]
    text = ", ".join(["SavedModel", *(wrote or ["unknown TensorFlow"]), record["kind"]])
    return f"{printable(record['path'], None)}   {text}   {size(record['bytes'])}"


def _file_lines(record: Mapping[str, Any]) -> Iterator[str]:
    graphs = record["meta_graphs"]
    for entry in record["files"]:
        name, about = entry["name"], ""
        if name == f"saved_model.{record['format']}":
            parts = [
                counted(sum(g["nodes"] for g in graphs), "node"),
                counted(sum(g["functions"] for g in graphs), "function"),
            ]
            objects = [g["objects"] for g in graphs if g["objects"] is not None]
            if objects:
                parts.append(counted(sum(objects), "object"))
            about = ", ".join(parts)
        elif name == "variables/":
            about = _variables_text(record["variables"])
        elif name == "fingerprint.pb":
            about = f"\n{'':34}".join(_fingerprint_text(record["fingerprint"]))
        elif name.endswith("/"):
            about = counted(entry["files"], "file")
        yield f"  {printable(name):<18} {size(entry['bytes']):>10}   {about}".rstrip()


def _variables_text(variables: Mapping[str, Any] | None) -> str:
    if variables is None:
        return "no variables.index that can be read"
    n, shards = variables["variables"], variables["shards"]
    return f"{counted(n, 'variable')} in {counted(shards, 'shard')}"


def _fingerprint_text(fingerprint: Mapping[str, Any] | None) -> list[str]:
    if fingerprint is None:
        return ["damaged"]
    producer = fingerprint["producer"]
    text = "TensorFlow 2.11's" if producer is None else f"producer {producer}"
    fits = fingerprint.get("checkpoint_hash_ok")
    if fits is not None:
        text += ", checkpoint hash true" if fits else ", checkpoint hash STALE"
    uuid = fingerprint["uuid"]
    return [text, f"uuid {printable(uuid, 40)}"] if uuid else [text]


def _graph_lines(record: Mapping[str, Any], graph: Mapping[str, Any]) -> Iterator[str]:
    yield tag_set(set(graph["tags"]))
    if "signature" in record:
        for key, signature in graph["signatures"].items():
            yield from _signature_details(key, signature)
    elif not graph["signatures"]:
        yield "  no signatures"
    else:
        width = min(18, max(map(len, map(printable, graph["signatures"]))))
        for key, signature in sorted(graph["signatures"].items()):
            yield from _signature_lines(printable(key), width, signature)
    init = graph["init_op"]
    assets = ", ".join(printable(a["filename"]) for a in graph["assets"][:5]) or "none"
    if len(graph["assets"]) > 5:
        assets += f", ... ({len(graph['assets'])} files)"
    yield from _joined(
        f"  assets: {assets}", f"init op: {printable(init['name']) if init else 'none'}"
    )
    load = graph["load"]
    if load["hidden_by"]:
        yield f"  load: no loader can, {load['hidden_by']} has the same tags and comes first"
    else:
        serving = serving_words(load["serving"])
        yield from _joined(f"  load: {load['python']}", f"TF Serving: {serving}")
    for title, names in (("functions", "function_names"), ("ops", "ops")):
        if names in graph:
            yield f"  {title}:"
            yield from (f"    {printable(n)}" for n in graph[names])


def _joined(left: str, right: str) -> list[str]:
    """Two facts on one line if they fit."""
    line = f"{left}   {right}"
    return [line] if len(line) <= 80 else [left, f"        {right}"]


def _spec(tensor: Mapping[str, Any]) -> str:
    """As TensorInfo.spec, from the record."""
    if tensor.get("components"):
        inside = ", ".join(_spec(c) for c in tensor["components"])
        return f"{printable(tensor.get('type_spec') or 'composite')}({inside})"
    shape = tensor["shape"]
    dims = "..." if shape is None else ", ".join("?" if d is None else str(d) for d in shape)
    sparse = "sparse " if tensor.get("encoding") == "coo_sparse" else ""
    return f"{sparse}{tensor['dtype']}[{dims}]"


def _signature_lines(key: str, width: int, signature: Mapping[str, Any]) -> Iterator[str]:
    sides = [
        [f"{printable(n)}: {_spec(t)}" for n, t in sorted(signature[side].items())]
        for side in ("inputs", "outputs")
    ]
    inputs, outputs = (side or ["nothing"] for side in sides)
    line = f"  {key:<{width}}   {', '.join(inputs)}  ->  {', '.join(outputs)}"
    if len(line) <= 80:
        yield line
        return
    left = " " * (width + 5)
    yield f"  {key:<{width}}   {inputs[0]}"
    yield from (left + text for text in inputs[1:])
    yield f"{left[:-4]}->  {outputs[0]}"
    yield from (left + text for text in outputs[1:])


def _signature_details(key: str, signature: Mapping[str, Any]) -> Iterator[str]:
    yield f"  signature {printable(key)}"
    yield f"    method: {printable(signature['method_name']) or 'none'}"
    for side in ("inputs", "outputs"):
        yield f"    {side}:" + ("" if signature[side] else " none")
        for name, tensor in sorted(signature[side].items()):
            yield f"      {printable(name)}: {_spec(tensor)}"
            for text in _tensor_names(tensor):
                yield f"        {text}"
            if name in signature.get("defaults", {}) and side == "inputs":
                default = signature["defaults"][name]
                yield f"        may be left out: default {_spec(default)}"


def _tensor_names(tensor: Mapping[str, Any]) -> Iterator[str]:
    if tensor.get("encoding") == "coo_sparse":
        yield f"values  {printable(tensor['name'])}"
        yield f"indices {printable(tensor['indices'])}"
        yield f"shape   {printable(tensor['dense_shape'])}"
    elif tensor.get("components"):
        for component in tensor["components"]:
            yield from _tensor_names(component)
    else:
        yield f"tensor {printable(tensor['name'])}" if tensor["name"] else "no tensor"


def _check_lines(fingerprint: Mapping[str, Any]) -> Iterator[str]:
    yield "fingerprint.pb"
    for check in fingerprint["checks"]:
        verdict = {True: "true", False: "STALE", None: "not checked"}[check["ok"]]
        text = f"  {check['name']:<24} {check['stored']:>20}   {verdict}"
        if check["ok"] is False:
            text += f": the model's is {check['computed']}"
        if check.get("note"):
            text += f" ({printable(check['note'])})"
        yield text
