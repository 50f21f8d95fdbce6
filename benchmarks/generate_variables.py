"""Makes the checkpoints that are measured; TensorFlow writes them.

    python -m benchmarks.generate_variables [W W-many W-4GB] [--data DIR]

W is the shipped example with 1.8 GB of weights more: 150 of 7.3 MB, and 96 of them a second
time under another key, as Keras 3 exports have all of theirs. W-kept holds the bytes that are
left when nothing is stored twice. W-many is a checkpoint of 30,000 small tensors, W-4GB one
of 64 large ones. The same seed gives the same bytes.
"""
from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

from .generate import DATA, EXAMPLE, fingerprint

#: No whole number of pages: the kernel cannot move them page by page.
N_WEIGHTS, N_DOUBLED, SHAPE = 150, 96, (1783, 1023)
N_MANY = 30_000
N_LARGE, LARGE_SHAPE = 64, (4096, 4096)


def save(prefix: Path, tensors: dict[str, tf.Tensor]) -> None:
    """Write a checkpoint of one shard, the tensors in their order."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = list(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names),
        tensors=list(tensors.values()),
    )  # fmt: skip


def weights(seed: int, n: int, shape: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for _ in range(n)]


def example_tensors(example: Path) -> dict[str, tf.Tensor]:
    reader = tf.train.load_checkpoint(str(example / "variables" / "variables"))
    return {k: tf.constant(reader.get_tensor(k)) for k in reader.get_variable_to_shape_map()}


def generate_w(example: Path, folder: Path, kept: Path) -> None:
    shutil.copytree(example, folder)
    shutil.rmtree(folder / "variables")
    tensors, once = {}, {}
    for i, weight in enumerate(weights(1, N_WEIGHTS, SHAPE)):
        once[f"w{i:03}"] = tensors[f"w{i:03}/.ATTRIBUTES/VARIABLE_VALUE"] = weight
        if i < N_DOUBLED:
            tensors[f"again/w{i:03}/.ATTRIBUTES/VARIABLE_VALUE"] = weight
    # The example's own come last: dedupe shares one of its pairs too, and subsets drop all.
    save(folder / "variables" / "variables", {**tensors, **example_tensors(example)})
    (folder / "fingerprint.pb").write_bytes(fingerprint(folder))
    kept.mkdir()
    save(kept / "kept", once)


def generate_many(folder: Path) -> None:
    rng = np.random.default_rng(2)
    save(folder / "model", {
        f"layer_{i // 3}/{'abc'[i % 3]}/.ATTRIBUTES/VARIABLE_VALUE":
            rng.standard_normal(4, np.float32)
        for i in range(N_MANY)
    })  # fmt: skip


def generate_large(folder: Path) -> None:
    save(folder / "model", {
        f"w{i:02}/.ATTRIBUTES/VARIABLE_VALUE": w
        for i, w in enumerate(weights(3, N_LARGE, LARGE_SHAPE))
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="NAME", help="W, W-many or W-4GB; else all")
    parser.add_argument("--data", type=Path, default=DATA, help="where they go")
    parser.add_argument("--example", type=Path, default=EXAMPLE, help="what W grows from")
    args = parser.parse_args()
    for name in args.sizes or ("W", "W-many", "W-4GB"):
        folder, kept = args.data / name, args.data / "W-kept"
        for old in (folder, kept) if name == "W" else (folder,):
            shutil.rmtree(old, ignore_errors=True)
        if name == "W":
            generate_w(args.example, folder, kept)
        elif name == "W-many":
            generate_many(folder)
        else:
            generate_large(folder)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        print(f"{folder}: {size:,} bytes")


if __name__ == "__main__":
    main()
