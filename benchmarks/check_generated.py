"""Holds the generated models against TensorFlow; needs it, unlike the generator.

    python -m benchmarks.check_generated [S M M-bare L L-bare L-flat XL] [--data DIR]

Each model must parse, stand in the map order that TensorFlow writes, and have the
fingerprint that TensorFlow computes; each but XL must load in tf.saved_model.load with all
its functions and compute what the shipped example computes.
"""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import (
    fingerprint_pb2,
    meta_graph_pb2,
    saved_model_pb2,
    trackable_object_graph_pb2,
)
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

from .adapters import CONVERTED_INPUT, CONVERTED_OUTPUT
from .generate import DATA, EXAMPLE

# Loading all of XL takes TensorFlow 13 GB; its bytes are checked like the others'.
TOO_LARGE_TO_LOAD = ("XL",)


def lies(folder: Path) -> list[str]:
    """The hashes in a model's fingerprint.pb that TensorFlow computes otherwise."""
    stored = fingerprint_pb2.FingerprintDef.FromString((folder / "fingerprint.pb").read_bytes())
    true = fingerprint_pb2.FingerprintDef.FromString(
        fingerprinting.CreateFingerprintDef(str(folder))
    )
    return [
        f"{f.name} is {getattr(stored, f.name)}, TensorFlow has {getattr(true, f.name)}"
        for f in true.DESCRIPTOR.fields
        if f.name != "uuid" and getattr(stored, f.name) != getattr(true, f.name)
    ]


def problems(folder: Path, example: Path) -> list[str]:
    """What TensorFlow finds wrong with a model."""
    found = []
    data = (folder / "saved_model.pb").read_bytes()
    model = saved_model_pb2.SavedModel.FromString(data)
    if model.SerializeToString(deterministic=True) != data:
        found.append("not in TensorFlow's order")
    # The example has four: two functions and their signatures' wrappers.
    n_copies = len(model.meta_graphs[0].object_graph_def.concrete_functions) - 4
    del data, model
    if (folder / "fingerprint.pb").exists():
        found += lies(folder)
    elif not folder.name.endswith("-bare"):
        found.append("no fingerprint.pb")
    if folder.name in TOO_LARGE_TO_LOAD:
        return found
    loaded, first = tf.saved_model.load(str(folder)), tf.saved_model.load(str(example))
    users, items = tf.random.stateless_normal([3, 4], [1, 2]), tf.constant([1, 5, 9])
    inputs = {"user": users, "item": items}
    want = first.signatures["serving_default"](**inputs)["score"]
    layers = [getattr(loaded, n) for n in dir(loaded) if n.startswith("layer_")]
    methods = [
        (name, getattr(owner, name))
        for owner in (loaded, *layers)
        for name in dir(owner)
        if name.startswith(("serve_", "rank_"))
    ]
    if len(methods) != n_copies:
        found.append(f"{len(methods)} of {n_copies} copied functions load")
    calls = [loaded.signatures["serving_default"](**inputs)]
    calls += [method(inputs) for name, method in methods if name.startswith("serve_")][-1:]
    if any(tf.reduce_any(got["score"] != want) for got in calls):
        found.append("computes something else than the example")
    return found


def misread(folder: Path, before: Path) -> list[str]:
    """What TensorFlow reads otherwise from rewritten variables than from those before."""
    new, old = (
        tf.train.load_checkpoint(str(f / "variables" / "variables")) for f in (folder, before)
    )
    shapes, dtypes = new.get_variable_to_shape_map(), new.get_variable_to_dtype_map()
    return [
        f"{key} is another tensor"
        for key in shapes
        if shapes[key] != old.get_variable_to_shape_map()[key]
        or dtypes[key] != old.get_variable_to_dtype_map()[key]
        or np.any(new.get_tensor(key) != old.get_tensor(key))
    ] or ([] if shapes else ["no tensor is left"])


def unlike(folder: Path, before: Path, old: str, new: str) -> list[str]:
    """What is wrong with the variables of a model in which a signature got another key."""

    def objects(folder: Path) -> trackable_object_graph_pb2.TrackableObjectGraph:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        data = reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        return trackable_object_graph_pb2.TrackableObjectGraph.FromString(data)

    want = objects(before)
    (to,) = (c.node_id for c in want.nodes[0].children if c.local_name == "signatures")
    (child,) = (c for c in want.nodes[to].children if c.local_name == old)
    child.local_name = new
    found = [] if objects(folder) == want else ["the checkpoint's own object graph is another"]
    return found + [w for w in misread(folder, before) if not w.startswith("_CHECKPOINTABLE")]


def apart(folder: Path, before: Path) -> list[str]:
    """The signatures that a session computes otherwise in a stripped model than before."""

    def outputs(path: Path) -> dict[str, dict[str, np.ndarray]]:
        found = {}
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            graph = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
            for key, signature in graph.signature_def.items():
                if key.startswith("__"):
                    continue
                feed = {t.name: values(t) for _, t in sorted(signature.inputs.items())}
                names = {alias: t.name for alias, t in signature.outputs.items()}
                found[key] = session.run(names, feed)
        return found

    def values(tensor: meta_graph_pb2.TensorInfo) -> np.ndarray:
        dims = [3 if d.size < 0 else d.size for d in tensor.tensor_shape.dim]
        made = np.random.default_rng(6).standard_normal(dims)
        return (made * 2).astype(tf.as_dtype(tensor.dtype).as_numpy_dtype)

    new, old = outputs(folder), outputs(before)
    if set(new) != set(old):
        return [f"its signatures are {sorted(new)}"]
    return [
        f"{key} computes another {alias}"
        for key, of in old.items()
        for alias, value in of.items()
        if value.tobytes() != new[key][alias].tobytes()
    ]


def unrestored(folder: Path, source: Path) -> list[str]:
    """What a converted model computes or holds otherwise than TensorFlow restores."""
    text, given = CONVERTED_INPUT
    scores, made = CONVERTED_OUTPUT

    def seen(session: tf.compat.v1.Session, given: str, made: str) -> dict[str, np.ndarray]:
        held = {v.op.name: v for v in tf.compat.v1.global_variables()}
        found = {"its output": session.run(made, {given: ["word0001", "nobody", "word0999"]})}
        return {**found, **{name: session.run(v) for name, v in held.items()}}

    here, folder = Path.cwd(), folder.absolute()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        os.chdir(source)
        saver = tf.compat.v1.train.import_meta_graph("model.ckpt.meta")
        saver.restore(session, "model.ckpt")
        session.run(tf.compat.v1.tables_initializer())
        want = seen(session, given, made)
    os.chdir(here)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = loaded.signature_def["serving_default"]
        got = seen(session, signature.inputs[text].name, signature.outputs[scores].name)
    return [
        f"{name} is another"
        for name in sorted(want.keys() | got.keys())
        if name not in want or name not in got or want[name].tobytes() != got[name].tobytes()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="MODEL")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--example", type=Path, default=EXAMPLE)
    parser.add_argument("--fingerprint", type=Path, help="look at this folder's only")
    parser.add_argument("--rewritten", type=Path, nargs=2, metavar=("FOLDER", "BEFORE"),
                        help="compare the variables of these two only")  # fmt: skip
    parser.add_argument("--renamed", nargs=4, metavar=("FOLDER", "BEFORE", "OLD", "NEW"),
                        help="see that the variables of the one go with its new key")  # fmt: skip
    parser.add_argument("--stripped", type=Path, nargs=2, metavar=("FOLDER", "BEFORE"),
                        help="see that signatures compute the same")  # fmt: skip
    parser.add_argument("--converted", type=Path, nargs=2, metavar=("FOLDER", "SOURCE"),
                        help="see that it computes what is restored of its source")  # fmt: skip
    args = parser.parse_args()
    if args.converted:
        sys.exit("; ".join(unrestored(*args.converted)) or 0)
    if args.stripped:
        sys.exit("; ".join(apart(*args.stripped)) or 0)
    if args.renamed:
        folder, before, old, new = args.renamed
        sys.exit("; ".join(unlike(Path(folder), Path(before), old, new)) or 0)
    if args.rewritten:
        sys.exit("; ".join(misread(*args.rewritten)) or 0)
    if args.fingerprint:
        sys.exit("; ".join(lies(args.fingerprint)) or 0)
    failed = False
    for name in args.sizes or ("S", "M", "M-bare", "L", "L-bare", "L-flat", "XL"):
        found = problems(args.data / name, args.example)
        failed |= bool(found)
        print(f"{name}: {'; '.join(found) or 'as TensorFlow has it'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
