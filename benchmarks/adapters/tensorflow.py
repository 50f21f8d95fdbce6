"""TensorFlow reading a checkpoint, as its documentation says: tf.train.load_checkpoint."""
from __future__ import annotations

import sys
from typing import Any

from . import (
    CONVERTED,
    CONVERTED_INPUT,
    CONVERTED_OUTPUT,
    Call,
    first_tensor,
    saved_model_cli,
)

version = saved_model_cli.version

READ_ALL = """
import sys, tensorflow as tf
reader = tf.train.load_checkpoint(sys.argv[1])
for key in reader.get_variable_to_shape_map():
    reader.get_tensor(key)
"""

#: Load, and save what the signatures need: Python objects that hold no more than that.
STRIP = """
import sys, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
kept = tf.Module()
kept.held = [list(f.variables) for f in loaded.signatures.values()]
tf.saved_model.save(kept, sys.argv[2], signatures=dict(loaded.signatures))
"""

#: Where in the work folder it saves.
STRIPPED = "stripped"

#: Import the graph, restore, and save what there is, as its documentation of TF1 says.
CONVERT = """
import os, sys, tensorflow as tf
v1 = tf.compat.v1
model, out, alias, given, name, made = sys.argv[1:]
os.chdir(model)  # where the graph finds the file of its table
with tf.Graph().as_default() as graph, v1.Session() as session:
    saver = v1.train.import_meta_graph("model.ckpt.meta")
    saver.restore(session, "model.ckpt")
    signature = v1.saved_model.predict_signature_def(
        {alias: graph.get_tensor_by_name(given)}, {name: graph.get_tensor_by_name(made)}
    )
    builder = v1.saved_model.Builder(out)
    builder.add_meta_graph_and_variables(
        session,
        ["serve"],
        {"serving_default": signature},
        assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        main_op=v1.tables_initializer(),
        saver=saver,
    )
    builder.save()
"""

FIRST = """
import sys, tensorflow as tf
x = tf.train.load_checkpoint(sys.argv[1]).get_tensor(sys.argv[2])
print(x.shape, float(x.sum()), x[::512, ::512].tobytes().hex())
"""


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    if verb == "first":
        return [sys.executable, "-c", FIRST, *first_tensor(model)]
    if verb == "strip":
        return [sys.executable, "-c", STRIP, model, f"{work}/{STRIPPED}"]
    if verb == "convert":
        words = [*CONVERTED_INPUT, *CONVERTED_OUTPUT]
        return [sys.executable, "-c", CONVERT, model, f"{work}/{CONVERTED}", *words]
    if verb == "parity":
        return [sys.executable, "-m", "benchmarks.plain_parity", model, work]
    return [sys.executable, "-c", READ_ALL, f"{model}/variables/variables"]


def call(verb: str, model: str, work: str, sync: bool) -> Call:
    import tensorflow as tf

    found: dict[str, Any] = {}

    def verify() -> None:
        reader = tf.train.load_checkpoint(f"{model}/variables/variables")
        sizes = [_size(reader.get_tensor(key)) for key in reader.get_variable_to_shape_map()]
        found.update(tensors=len(sizes))

    def list_all() -> None:
        reader = tf.train.load_checkpoint(f"{model}/model")
        found.update(shapes=reader.get_variable_to_shape_map(),
                     dtypes=reader.get_variable_to_dtype_map())  # fmt: skip

    def list_result() -> dict[str, Any]:
        return {k: [found["dtypes"][k].name, v] for k, v in found["shapes"].items()}

    if verb == "verify":
        return Call(verify, lambda: found)
    return Call(list_all, list_result)


def _size(value: Any) -> int:
    return value.nbytes if hasattr(value, "nbytes") else len(value)
