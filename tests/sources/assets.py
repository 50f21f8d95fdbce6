"""Tables and their files."""
from __future__ import annotations

import os
from typing import Any

from .checkpoints import PREFIX, save
from .registry import TF, source

WORDS = "the\nquick\nbrown\nfox\n"


def put(path: str, text: str = WORDS) -> str:
    """Writes a file of words, and its folder."""
    if folder := os.path.dirname(path):
        os.makedirs(folder, exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def by_file(tf: TF, path: str, *, key: str = "text", default: Any = -1) -> Any:
    """A table of the lines of a file: to their numbers, or from them."""
    index = tf.lookup.TextFileIndex
    columns = [(tf.string, index.WHOLE_LINE), (tf.int64, index.LINE_NUMBER)]
    (key_type, of_key), (value_type, of_value) = columns if key == "text" else columns[::-1]
    made = tf.lookup.TextFileInitializer(path, key_type, of_key, value_type, of_value)
    return tf.lookup.StaticHashTable(made, default)


def _text(tf: TF) -> Any:
    return tf.compat.v1.placeholder(tf.string, [None], name="text")


def _vectors(tf: TF, ids: Any) -> None:
    v1 = tf.compat.v1
    rows = v1.get_variable("rows", [5, 2], initializer=v1.random_normal_initializer(seed=3))
    tf.gather(rows, ids + 1, name="vectors")


TEXT_TO_VECTORS = {
    "inputs": {"text": "text:0"},
    "outputs": {"vectors": "vectors:0"},
    "feeds": {"text": ["fox", "the", "nobody"]},
}


@source(PREFIX, **TEXT_TO_VECTORS)
def vocabulary(tf: TF) -> None:
    """A table of a text file, which lies beside the checkpoint and is named relatively."""
    _vectors(tf, by_file(tf, put("words.txt")).lookup(_text(tf)))
    save(tf)


@source(
    PREFIX,
    inputs={"text": "text:0", "index": "index:0"},
    outputs={"ids": "ids:0", "kind": "kind:0", "label": "label:0", "vectors": "vectors:0"},
    feeds={"text": ["fox", "the", "nobody"], "index": [1, 0, 9]},
)
def tables(tf: TF) -> None:
    """Four tables: of two files in folders, of constants, of words that are out of vocabulary."""
    v1 = tf.compat.v1
    text, index = _text(tf), v1.placeholder(tf.int64, [None], name="index")
    keys, values = tf.constant(["fox", "the"]), tf.constant([7, 8], tf.int64)
    constants = tf.lookup.KeyValueTensorInitializer(keys, values)
    tf.identity(tf.lookup.StaticHashTable(constants, -1).lookup(text), name="kind")
    tf.identity(
        by_file(tf, put("labels/labels.txt", "no\nyes\n"), key="number", default="?").lookup(index),
        name="label",
    )
    ids = by_file(tf, put("größe/die wörter.txt")).lookup(text)
    buckets = tf.lookup.TextFileInitializer(
        "größe/die wörter.txt", tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
    )  # fmt: skip
    spread = tf.lookup.StaticVocabularyTable(buckets, num_oov_buckets=3).lookup(text)
    tf.add(ids * 10, spread, name="ids")
    _vectors(tf, ids)
    save(tf)


@source(
    PREFIX,
    inputs={"text": "text:0"},
    outputs={"ids": "ids:0", "more": "more:0", "again": "again:0"},
    feeds={"text": ["fox", "the", "nobody"]},
)
def same_names(tf: TF) -> None:
    """Three files of one name: two of the same content, one of another."""
    v1 = tf.compat.v1
    text = _text(tf)
    paths = put("a/w.txt"), put("b/w.txt", "fox\nthe\n"), put("c/w.txt")
    for name, path in zip(("ids", "more", "again"), paths, strict=True):
        tf.identity(by_file(tf, path).lookup(text), name=name)
    v1.get_variable("unused", initializer=tf.constant(1.0))
    save(tf)


@source(PREFIX, **TEXT_TO_VECTORS)
def absolute_asset(tf: TF) -> None:
    """A file named by an absolute path, beside the checkpoint."""
    path = os.path.abspath(put("words.txt"))
    _vectors(tf, by_file(tf, path).lookup(_text(tf)))
    save(tf)


@source(
    PREFIX, **TEXT_TO_VECTORS, options={"assets": {"table_file:0": "kept/words.txt"}}
)
def moved_asset(tf: TF) -> None:
    """A file that is gone from where the graph has it; the option names another place."""
    path = tf.constant("/no/such/folder/words.txt", name="table_file")
    _vectors(tf, by_file(tf, path).lookup(_text(tf)))
    save(tf)
    put("kept/words.txt")


@source(PREFIX, **TEXT_TO_VECTORS)
def unlisted_asset(tf: TF) -> None:
    """A table's file that no collection has: only its op tells of it."""
    v1 = tf.compat.v1
    _vectors(tf, by_file(tf, put("words.txt")).lookup(_text(tf)))
    v1.get_default_graph().clear_collection(v1.GraphKeys.ASSET_FILEPATHS)
    save(tf)


@source(
    PREFIX,
    inputs={"text": "text:0"},
    outputs={"ids": "ids:0"},
    feeds={"text": ["fox", "the", "nobody"]},
)
def old_table(tf: TF) -> None:
    """A table of the first TF1: HashTable, whose handle is a ref to a string."""
    v1 = tf.compat.v1
    raw, path = v1.raw_ops, tf.constant(put("words.txt"), name="path")
    table = raw.HashTable(key_dtype=tf.string, value_dtype=tf.int64, shared_name="words")
    v1.add_to_collection(
        v1.GraphKeys.TABLE_INITIALIZERS,
        raw.InitializeTableFromTextFile(
            table_handle=table, filename=path, key_index=-2, value_index=-1
        ),
    )
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, path)
    default = tf.constant(-1, tf.int64)
    found = raw.LookupTableFind(table_handle=table, keys=_text(tf), default_value=default)
    offset = v1.get_variable("offset", initializer=tf.constant(100, tf.int64))
    tf.add(found, offset, name="ids")
    save(tf)


@source(
    PREFIX,
    inputs={"text": "text:0"},
    outputs={"count": "count:0"},
    feeds={"text": ["fox", "the", "nobody"]},
)
def saved_table(tf: TF) -> None:
    """A mutable table, whose rows are in the checkpoint, beside a variable."""
    v1 = tf.compat.v1
    counts = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, -1.0, name="counts")
    w = v1.get_variable("w", initializer=tf.constant(0.37))
    tf.multiply(counts.lookup(_text(tf)), w, name="count")
    fill = counts.insert(tf.constant(["fox", "the"]), tf.constant([3.5, 4.5]))
    saver = v1.train.Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run(fill)
        saver.save(session, PREFIX, write_state=False)


@source(
    PREFIX,
    inputs={"text": "text:0"},
    outputs={"vectors": "vectors:0"},
    feeds={"text": ["fox", "the", "nobody"]},
)
def main_op(tf: TF) -> None:
    """An init op in the collection saved_model_main_op, that does what the tables' would not."""
    v1 = tf.compat.v1
    ids = by_file(tf, put("words.txt")).lookup(_text(tf))
    local = v1.get_variable(
        "shift", initializer=tf.constant(1, tf.int64), trainable=False,
        collections=[v1.GraphKeys.LOCAL_VARIABLES],
    )  # fmt: skip
    _vectors(tf, (ids + local) % 4)
    with tf.control_dependencies([v1.tables_initializer(), v1.local_variables_initializer()]):
        v1.add_to_collection("saved_model_main_op", v1.assign_add(local, 2).op)
    save(tf)
