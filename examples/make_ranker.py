"""Writes the examples beside this file: two models, and the checkpoint of a third.

    python examples/make_ranker.py [OUT] [NAME...]

``ranker/1`` and ``tagger/1`` are SavedModels, ``checkpoint/`` is what a tf.train.Saver leaves
of training the tagger. Needs TensorFlow 2.21 with Keras 3. The seed fixes what they compute and
all bytes of the tagger and the checkpoint. Those of the ranker differ from run to run: Keras
lists the variables of a function in the order of their addresses, and ``fingerprint.pb`` has a
random uuid.
"""
from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import tensorflow as tf

v1 = tf.compat.v1

SEED = 7
N_ITEMS, N_FEATURES, WIDTH = 100, 4, 8
WORDS = "the a of to in is it you that he was for on are with as his they be at".split()  # noqa: SIM905
VOCABULARY = "vocabulary.txt"


def make_ranker(out: str) -> None:
    """Keras 3, two towers: scores an item for a user; ``rank`` sorts a user's candidates.

    The checkpoint holds every weight twice, under ``variables`` for tf.saved_model.load and
    under ``_all_variables`` for the session loaders: that is how Keras 3 exports.
    """
    keras.utils.set_random_seed(SEED)
    user = keras.Input([N_FEATURES], name="user")
    item = keras.Input([], dtype="int32", name="item")
    taste = keras.layers.Dense(WIDTH, name="taste")(user)
    traits = keras.layers.Embedding(N_ITEMS, WIDTH, name="traits")(item)
    score = keras.layers.Dot(axes=1, name="score")([taste, traits])
    ranker = keras.Model({"user": user, "item": item}, score, name="ranker")

    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"score": ranker(inputs, training=False)[:, 0]}

    def rank(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        items = inputs["items"]
        users = tf.repeat(inputs["user"], tf.size(items), axis=0)
        scores = ranker({"user": users, "item": items}, training=False)[:, 0]
        scores, order = tf.math.top_k(scores, tf.size(items))
        return {"items": tf.gather(items, order), "scores": scores}

    archive = keras.export.ExportArchive()
    archive.track(ranker)
    user_spec = tf.TensorSpec([None, N_FEATURES], tf.float32, name="user")
    item_spec = tf.TensorSpec([None], tf.int32, name="item")
    one_user = tf.TensorSpec([1, N_FEATURES], tf.float32, name="user")
    items_spec = tf.TensorSpec([None], tf.int32, name="items")
    archive.add_endpoint("serving_default", serve, [{"user": user_spec, "item": item_spec}])
    archive.add_endpoint("rank", rank, [{"user": one_user, "items": items_spec}])
    archive.write_out(out, verbose=False)


def make_tagger(out: str) -> None:
    """TF1: two classes for each word. {train} has the optimizer, {serve} has not."""
    builder = v1.saved_model.Builder(out)
    for tag in ("train", "serve"):
        with tf.Graph().as_default(), v1.Session() as session:
            words, tags, logits = tagger()
            signatures = {
                "serving_default": v1.saved_model.predict_signature_def(
                    {"words": words}, {"tags": tags, "logits": logits}
                )
            }
            options = {
                "main_op": v1.tables_initializer(),
                "assets_collection": v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
                "strip_default_attrs": True,
            }
            if tag == "serve":
                builder.add_meta_graph([tag], signatures, **options)
                continue
            train(session, words, logits)
            builder.add_meta_graph_and_variables(session, [tag], signatures, **options)
    builder.save()


def make_checkpoint(out: str) -> None:
    """TF1: the tagger as its training leaves it: variables, the graph in a .meta, a file that
    names the newest; and the vocabulary, which the graph names by its path."""
    os.makedirs(out)
    with tf.Graph().as_default(), v1.Session() as session:
        words, _, logits = tagger()
        train(session, words, logits)
        v1.train.Saver().save(session, f"{out}/tagger", global_step=1)
    shutil.copy(VOCABULARY, out)


def tagger() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The graph of the tagger: its words, the class of each, and how clear that is."""
    Path(VOCABULARY).write_text("".join(f"{word}\n" for word in WORDS))
    v1.set_random_seed(SEED)
    words = v1.placeholder(tf.string, [None], name="words")
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            VOCABULARY,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        default_value=len(WORDS),
    )
    normal = v1.random_normal_initializer(seed=SEED)
    vectors = v1.get_variable("vectors", [len(WORDS) + 1, 8], initializer=normal)
    kernel = v1.get_variable("kernel", [8, 2], initializer=normal)
    logits = tf.gather(vectors, table.lookup(words)) @ kernel
    return words, tf.argmax(logits, axis=-1, name="tags"), logits


def train(session: v1.Session, words: tf.Tensor, logits: tf.Tensor) -> None:
    """One step: whether a word has an odd number of letters."""
    labels = v1.placeholder(tf.int64, [None], name="labels")
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    loss = tf.reduce_mean(losses, name="loss")
    step = v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, name="train")
    session.run([v1.global_variables_initializer(), v1.tables_initializer()])
    session.run(step, {words: WORDS, labels: [len(word) % 2 for word in WORDS]})


#: What makes each example, and the folder that is made.
EXAMPLES = {
    "ranker": (make_ranker, "ranker/1"),
    "tagger": (make_tagger, "tagger/1"),
    "checkpoint": (make_checkpoint, "checkpoint"),
}


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve()
    # A graph remembers the path that its asset had at export: from within a scratch folder,
    # and by relative names, that path says nothing about the machine.
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for name in sys.argv[2:] or EXAMPLES:
            make, folder = EXAMPLES[name]
            make(folder)
            shutil.rmtree(out / name, ignore_errors=True)
            shutil.copytree(name, out / name)
        os.chdir(out)


if __name__ == "__main__":
    main()
