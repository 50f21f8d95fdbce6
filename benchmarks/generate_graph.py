"""Makes the large graph that is stripped; TensorFlow writes what it grows from.

    python -m benchmarks.generate_graph [--data DIR]

G is a TF1 model of a million nodes, 137 MB: towers over shared weights, their gradients, Adam
and a Saver. TensorFlow writes two towers; the second is copied under new names, forward and
backward. A signature needs half of the nodes, and a third of the checkpoint. TF1 wrote no
fingerprint, so G has none. The same bytes every time.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

from . import protos
from .generate import DATA, around, det, field, write

#: Layers of a tower and their width; nodes in all.
N_LAYERS, WIDTH, N_NODES = 20, 16, 1_000_000

_v1 = tf.compat.v1


def tower(x: Any, kernels: list[Any], biases: list[Any]) -> Any:
    """Layers, each a product and what becomes of it."""
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        with tf.name_scope(f"fc{i}"):
            y = tf.nn.bias_add(tf.matmul(x, kernel), bias)
            y = tf.nn.softplus(tf.nn.relu(tf.tanh(y)))
            x = tf.nn.elu(y)
            if i % 4:  # some of it has no gradient, so that both halves have as many nodes
                x = tf.add_n([tf.stop_gradient(tf.round(y)), x])
    return x


def plant(folder: Path) -> None:
    """Save two towers, with what trains them."""
    with tf.Graph().as_default(), _v1.Session() as session:
        rng = np.random.default_rng(7)
        x = _v1.placeholder(tf.float32, [None, WIDTH], "x")
        target = _v1.placeholder(tf.float32, [None, WIDTH], "target")

        def variable(name: str, *shape: int) -> Any:
            value = rng.standard_normal(shape, np.float32) / WIDTH**0.5
            return _v1.get_variable(name, initializer=value, use_resource=False)

        kernels = [variable(f"kernel_{i}", WIDTH, WIDTH) for i in range(N_LAYERS)]
        biases = [variable(f"bias_{i}", WIDTH) for i in range(N_LAYERS)]
        outputs = []
        for i in range(2):
            with tf.name_scope(f"t{i}"):
                outputs.append(tower(x, kernels, biases))
        y = tf.add_n(outputs, "towers")
        loss = tf.reduce_mean((y - target) ** 2, name="loss")
        variables = kernels + biases
        gradients = _v1.gradients(loss, variables)
        adam = _v1.train.AdamOptimizer()
        adam.apply_gradients(zip(gradients, variables, strict=True))
        session.run(_v1.global_variables_initializer())
        for slot in adam.variables():  # a step would not give the same bits every time
            slot.load(rng.standard_normal(slot.shape).astype(np.float32), session)
        signature = _v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = _v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, strip_default_attrs=True
        )
        builder.save()


#: The names that belong to the tower that is copied.
_COPIED = re.compile(r"\bt1/")


class Copies:
    """A GraphDef whose second tower stands there many times."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.copied = [n for n in graph.node if _COPIED.search(n.name)]
        self.n = 2 + (N_NODES - len(graph.node)) // len(self.copied)

    def nodes(self) -> Iterator[Any]:
        """All nodes; the copies behind the last node of forward or of backward."""
        ends = {self._side(node): node.name for node in self.copied}
        for node in self.graph.node:
            yield self._with_copies(node)
            side = self._side(node)
            if ends.get(side) == node.name:
                for i in range(2, self.n):
                    for copied in self.copied:
                        if self._side(copied) == side:
                            yield self._renamed(copied, i)

    @staticmethod
    def _side(node: Any) -> bool:
        return bool(node.name.startswith("gradients/"))

    @staticmethod
    def _renamed(node: Any, i: int) -> Any:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.name = _COPIED.sub(f"t{i}/", copy.name)
        copy.input[:] = [_COPIED.sub(f"t{i}/", text) for text in copy.input]
        if "_class" in copy.attr:
            places = copy.attr["_class"].list.s
            places[:] = [_COPIED.sub(f"t{i}/", p.decode()).encode() for p in places]
        return copy

    def _with_copies(self, node: Any) -> Any:
        """A node that takes the tower's outputs takes the copies', too."""
        if node.op != "AddN" or _COPIED.search(node.name):
            return node
        taken = [text for text in node.input if _COPIED.search(text)]
        node.input.extend(_COPIED.sub(f"t{i}/", text) for i in range(2, self.n) for text in taken)
        node.attr["N"].i = len(node.input)
        return node


def grow(path: Path) -> None:
    """Write a saved_model.pb anew, with all towers."""
    model = protos.SavedModel.FromString(path.read_bytes())
    (meta,) = model.meta_graphs
    graph = meta.graph_def
    copies = [field(1, det(node)) for node in Copies(graph).nodes()]
    before, after, rest = protos.MetaGraphDef(), protos.MetaGraphDef(), protos.SavedModel()
    before.meta_info_def.CopyFrom(meta.meta_info_def)
    after.CopyFrom(meta)
    after.ClearField("meta_info_def")
    after.ClearField("graph_def")
    rest.CopyFrom(model)
    rest.ClearField("meta_graphs")
    graph.ClearField("node")
    whole = around(2, [*copies, det(graph)])
    write(path, [det(rest), *around(2, [det(before), *whole, det(after)])])


def generate(folder: Path) -> None:
    staged = folder.with_name(f".{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    plant(staged)
    grow(staged / "saved_model.pb")
    (staged / "fingerprint.pb").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="where it goes")
    args = parser.parse_args()
    args.data.mkdir(parents=True, exist_ok=True)
    folder = args.data / "G"
    generate(folder)
    print(f"{folder}: {os.path.getsize(folder / 'saved_model.pb'):,} bytes")


if __name__ == "__main__":
    main()
