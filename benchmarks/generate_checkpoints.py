"""Makes the checkpoints that are converted; TensorFlow writes them.

    python -m benchmarks.generate_checkpoints [C C-large] [--data DIR]

What a training run of TF1 leaves: model.ckpt with its .meta, and the file that a table reads.
C is a small classifier of words. C-large has 88 MB: layers, Adam's two moments of each, and a
graph of 52,000 nodes. The same seed gives the same weights.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

from .adapters import CONVERTED_INPUT, CONVERTED_OUTPUT
from .generate import DATA

_v1 = tf.compat.v1


class Size(NamedTuple):
    """Layers, their width, and how often each is activated."""

    layers: int
    width: int
    activations: int


SIZES = {"C": Size(2, 32, 1), "C-large": Size(28, 501, 128)}

WORDS = [f"word{i:04}" for i in range(1000)]


def _node(of: tuple[str, str]) -> str:
    return of[1].partition(":")[0]


def network(size: Size) -> Any:
    """Words to scores in the default graph; the loss that is to become less."""
    text = _v1.placeholder(tf.string, [None], _node(CONVERTED_INPUT))
    index = tf.lookup.TextFileIndex
    lines = tf.lookup.TextFileInitializer(
        "words.txt", tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
    )
    ids = tf.lookup.StaticHashTable(lines, 0).lookup(text)

    def normal(seed: int) -> Any:
        return _v1.random_normal_initializer(stddev=size.width**-0.5, seed=seed)

    with _v1.variable_scope("words", initializer=normal(7)):
        h = tf.gather(_v1.get_variable("rows", [len(WORDS), size.width], use_resource=False), ids)
    for i in range(size.layers):
        with _v1.variable_scope(f"layer_{i}", initializer=normal(8 + i)):
            h = tf.matmul(h, _v1.get_variable("kernel", [size.width, size.width]))
            for _ in range(size.activations):
                h = tf.tanh(h) * 1.5
    scores = tf.identity(h, _node(CONVERTED_OUTPUT))
    return tf.reduce_mean((scores - 0.5) ** 2, name="loss")


def generate(name: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    here = Path.cwd()
    os.chdir(folder)  # the graph is to name no folder of this machine
    Path("words.txt").write_text("".join(f"{word}\n" for word in WORDS))
    with tf.Graph().as_default(), _v1.Session() as session:
        loss = network(SIZES[name])
        _v1.summary.scalar("loss", loss)
        adam = _v1.train.AdamOptimizer()
        adam.minimize(loss, global_step=_v1.train.get_or_create_global_step(), name="train")
        saver = _v1.train.Saver()
        session.run(_v1.global_variables_initializer())
        rng = np.random.default_rng(9)
        for slot in adam.variables():  # a step would not give the same bits every time
            slot.load(rng.standard_normal(slot.shape).astype(np.float32), session)
        saver.save(session, "model.ckpt")
    os.chdir(here)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="NAME", help="C or C-large; else both")
    parser.add_argument("--data", type=Path, default=DATA, help="where they go")
    args = parser.parse_args()
    for name in args.sizes or SIZES:
        folder = args.data / name
        shutil.rmtree(folder, ignore_errors=True)
        generate(name, folder)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        print(f"{folder}: {size:,} bytes")


if __name__ == "__main__":
    main()
