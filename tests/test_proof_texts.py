"""Strings that models take: made from what their ops ask for, until each signature runs."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastsm.proof import run as proof
from fastsm.proof.worker import Worker

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.tensorflow

Run = Callable[..., proof.Ran]


@pytest.fixture
def run(worker: Worker) -> Run:
    return functools.partial(proof.run_in, worker.setting, worker=worker, random=True)


def saved(folder: Path, rank: int, **functions: Callable[[Any], Any]) -> Path:
    """A model with a signature of one string input ``s`` for each function."""
    module = tf.Module()
    spec = tf.TensorSpec([None] * rank, tf.string, name="s")
    for name, function in functions.items():
        setattr(module, name, tf.function(function, input_signature=[spec]))
    signatures = {name: getattr(module, name) for name in functions}
    tf.saved_model.save(module, str(folder), signatures)
    return folder


def parsed(s: Any) -> dict[str, Any]:
    """Dense, sparse and ragged features of every dtype, none of which may be left out."""
    features = tf.io.parse_example(
        s,
        {
            "pair": tf.io.FixedLenFeature([2], tf.float32),
            "flag": tf.io.FixedLenFeature([], tf.int64),
            "word": tf.io.FixedLenFeature([], tf.string),
            "rows": tf.io.FixedLenSequenceFeature([3], tf.float32, allow_missing=True),
            "tags": tf.io.VarLenFeature(tf.string),
            "bag": tf.io.RaggedFeature(tf.int64),
        },
    )
    return {
        "pair": features["pair"], "flag": features["flag"], "word": features["word"],
        "rows": features["rows"], "tags": tf.sparse.to_dense(features["tags"]),
        "bag": features["bag"].to_tensor(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("texts") / "examples", 1, parsed=parsed)


def test_an_example_has_what_is_parsed(examples: Path, run: Run) -> None:
    ran = run(examples, "parsed")
    assert ran.how == "made: unknown dimensions 1, an Example"
    outputs = {name: array.shape for name, array in ran.outputs.items()}
    assert outputs == {"pair": (1, 2), "flag": (1,), "word": (1,), "rows": (1, 2, 3),
                       "tags": (1, 2), "bag": (1, 2)}  # fmt: skip
    assert ran.outputs["rows"].any() and ran.outputs["word"][0]
    again = run(examples, "parsed", loader="v1")
    assert again.inputs["s"].tolist() == ran.inputs["s"].tolist()


def pixels(image: Any) -> dict[str, Any]:
    return {"size": tf.shape(image), "sum": tf.reduce_sum(tf.cast(image, tf.int64))}


def test_images_in_examples(tmp_path: Path, run: Run) -> None:
    def in_example(s: Any) -> dict[str, Any]:
        features = tf.io.parse_example(s, {"png": tf.io.FixedLenFeature([], tf.string)})
        return pixels(tf.io.decode_png(features["png"][0], channels=3))

    def in_one(s: Any) -> dict[str, Any]:
        features = tf.io.parse_single_example(s[0], {"jpg": tf.io.FixedLenFeature([], tf.string)})
        return pixels(tf.io.decode_jpeg(features["jpg"], channels=3))

    path = saved(tmp_path / "images", 1, in_example=in_example, in_one=in_one)
    for key, kind in (("in_example", "PNG"), ("in_one", "")):
        ran = run(path, key)
        assert f"an Example of a {kind}" in ran.how
        assert ran.outputs["size"].tolist() == [32, 32, 3] and ran.outputs["sum"] > 0


def test_sequences(tmp_path: Path, run: Run) -> None:
    def batch(s: Any) -> dict[str, Any]:
        context, lists, _ = tf.io.parse_sequence_example(
            s,
            {"id": tf.io.FixedLenFeature([], tf.int64), "kind": tf.io.VarLenFeature(tf.string)},
            {"steps": tf.io.FixedLenSequenceFeature([2], tf.float32)},
        )
        return {"id": context["id"], "steps": lists["steps"]}

    def one(s: Any) -> dict[str, Any]:
        context, lists = tf.io.parse_single_sequence_example(
            s[0],
            {"id": tf.io.FixedLenFeature([], tf.int64)},
            {"words": tf.io.FixedLenSequenceFeature([], tf.string)},
        )
        return {"id": context["id"], "words": lists["words"]}

    path = saved(tmp_path / "sequences", 1, batch=batch, one=one)
    ran = run(path, "batch")
    assert ran.how.endswith("a SequenceExample") and ran.outputs["steps"].shape == (1, 1, 2)
    ran = run(path, "one")
    assert ran.how.endswith("a SequenceExample") and ran.outputs["words"].all()


DECODERS: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "png": (lambda s: pixels(tf.io.decode_png(s)), "image"),
    "jpeg": (lambda s: pixels(tf.io.decode_and_crop_jpeg(s, [0, 0, 4, 4])), "a JPEG image"),
    "any": (lambda s: pixels(tf.io.decode_image(s, expand_animations=False)), "image"),
    "wav": (lambda s: {"y": tf.audio.decode_wav(s).audio}, "a WAV sound"),
    "web": (lambda s: pixels(tf.io.decode_jpeg(tf.io.decode_base64(s))), "base64 of a"),
    "number": (lambda s: {"y": tf.strings.to_number(s)}, "numbers as text"),
    "csv": (
        lambda s: {"y": tf.stack(tf.io.decode_csv(s, [[0.0], [0.0], [0.0]], field_delim=";"))},
        "comma-separated numbers",
    ),
    "tensor": (lambda s: {"y": tf.io.parse_tensor(s, tf.int32)}, "a serialised tensor"),
    "raw": (lambda s: {"y": tf.io.decode_raw(s, tf.float64)}, "raw bytes"),
}


def test_what_is_decoded(tmp_path: Path, run: Run) -> None:
    path = saved(tmp_path / "decoders", 0, **{name: how for name, (how, _) in DECODERS.items()})
    for name, (_, how) in DECODERS.items():
        ran = run(path, name, loader="cc")
        assert how in ran.how, name
        assert all(array.size for array in ran.outputs.values()), name
    web = run(path, "web").inputs["s"][()]
    assert base64.urlsafe_b64decode(web + b"=" * (-len(web) % 4))[:4] in (
        b"\x89PNG",
        b"\xff\xd8\xff\xe0",
    )


def test_a_model_that_takes_any_text_gets_words(tmp_path: Path, run: Run) -> None:
    def lower(s: Any) -> dict[str, Any]:
        return {"y": tf.strings.lower(s)}

    def image(s: Any) -> dict[str, Any]:
        return pixels(tf.io.decode_png(s[0]))

    path = saved(tmp_path / "lower", 1, lower=lower, image=image)
    ran = run(path, "lower")
    assert ran.how == "made: unknown dimensions 1"
    assert ran.outputs["y"].tolist() == ran.inputs["s"].tolist()
    assert np.char.isalpha(ran.inputs["s"].astype("U")).all()
