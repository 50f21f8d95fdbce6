"""Makes the models that are stripped; TensorFlow writes them.

    python -m benchmarks.generate_training [T T-large] [--data DIR]

A stack of square layers with Adam's two moments of each and a training step: T has 96 MB, a
third of it what its signature needs, T-large 1.9 GB. T-large-kept holds the bytes of that
third. The same seed gives the same weights.
"""
from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf

from .generate import DATA
from .generate_variables import save, weights

#: Layers and their width; no whole number of pages, so the kernel cannot move them by pages.
SIZES = {"T": (8, 1001), "T-large": (80, 1410)}


class Adam(tf.Module):
    """Two moments of each weight, and how a step is made of them."""

    def __init__(self, kernels: list[tf.Variable]) -> None:
        super().__init__()
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.first = [tf.Variable(tf.zeros_like(k), trainable=False) for k in kernels]
        self.second = [tf.Variable(tf.ones_like(k), trainable=False) for k in kernels]

    def apply(self, kernels: list[tf.Variable], gradients: list[tf.Tensor]) -> None:
        self.iterations.assign_add(1)
        slots = zip(kernels, gradients, self.first, self.second, strict=True)
        for kernel, gradient, first, second in slots:
            first.assign(0.9 * first + 0.1 * gradient)
            second.assign(0.999 * second + 0.001 * gradient**2)
            kernel.assign_sub(0.001 * first / (tf.sqrt(second) + 1e-7))


class Stack(tf.Module):
    """Layers of tanh."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.kernels = [tf.Variable(w / width**0.5) for w in weights(4, n, (width, width))]
        self.optimizer = Adam(self.kernels)
        x = tf.TensorSpec([None, width], name="x")
        self.serve = tf.function(self.forward, input_signature=[x])
        self.train = tf.function(self.step, input_signature=[x, x])

    def forward(self, x: Any) -> dict[str, tf.Tensor]:
        for kernel in self.kernels:
            x = tf.tanh(tf.matmul(x, kernel))
        return {"y": x}

    def step(self, x: Any, y: Any) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.forward(x)["y"] - y) ** 2)
        self.optimizer.apply(self.kernels, tape.gradient(loss, self.kernels))
        return loss


def generate(name: str, folder: Path, kept: Path) -> None:
    stack = Stack(*SIZES[name])
    tf.saved_model.save(stack, str(folder), signatures=stack.serve)
    if name == "T-large":
        kept.mkdir()
        save(kept / "kept", {f"w{i:03}": kernel for i, kernel in enumerate(stack.kernels)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="NAME", help="T or T-large; else both")
    parser.add_argument("--data", type=Path, default=DATA, help="where they go")
    args = parser.parse_args()
    for name in args.sizes or SIZES:
        folder, kept = args.data / name, args.data / f"{name}-kept"
        for old in (folder, kept):
            shutil.rmtree(old, ignore_errors=True)
        generate(name, folder, kept)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        print(f"{folder}: {size:,} bytes")


if __name__ == "__main__":
    main()
