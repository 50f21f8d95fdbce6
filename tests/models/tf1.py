"""Models of the TF1 Builder: meta graphs, tags, collections, init ops."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .registry import TF, model
from .words import words_file


def _line(tf: TF, *, use_resource: bool = True) -> dict[str, Any]:
    """y = w * x + b in the default graph; returns its predict signature."""
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None], name="x")
    w = v1.get_variable("w", initializer=tf.constant(0.5), use_resource=use_resource)
    b = v1.get_variable("b", initializer=tf.constant(2.0), use_resource=use_resource)
    y = tf.add(w * x, b, name="y")
    return {"serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y})}


def _save_lines(
    tf: TF, out: Path, tag_sets: Sequence[Sequence[str]], *, as_text: bool = False, **options
) -> None:
    """One meta graph of the same line for each tag set."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = _line(tf)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(session, tag_sets[0], signatures, **options)
        for tags in tag_sets[1:]:
            builder.add_meta_graph(tags, signatures, **options)
        builder.save(as_text=as_text)


def _train_and_serve(
    tf: TF, builder: Any, *, use_resource: bool, with_train_op: bool = False
) -> None:
    """{train} with a momentum optimizer and {serve} without: two graphs, one checkpoint."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = _line(tf, use_resource=use_resource)
        graph = v1.get_default_graph()
        target = v1.placeholder(tf.float32, [None], name="target")
        loss = tf.reduce_mean((graph.get_tensor_by_name("y:0") - target) ** 2, name="loss")
        v1.summary.scalar("loss", loss)
        train_op = v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, name="train")
        v1.add_to_collection(v1.GraphKeys.TRAIN_OP, train_op)
        session.run(v1.global_variables_initializer())
        session.run(train_op, {"x:0": [1.0, 2.0], "target:0": [3.0, 5.0]})
        options = {"train_op": train_op} if with_train_op else {}
        builder.add_meta_graph_and_variables(session, ["train"], signatures, **options)
    with tf.Graph().as_default():
        builder.add_meta_graph(["serve"], _line(tf, use_resource=use_resource))
    builder.save()


@model()
def train_and_serve_ref(tf: TF, out: Path) -> None:
    """TF1 meta graphs {train} and {serve} that share ref variables."""
    _train_and_serve(tf, tf.compat.v1.saved_model.Builder(str(out)), use_resource=False)


@model()
def train_and_serve_resource(tf: TF, out: Path) -> None:
    """TF1 meta graphs {train} and {serve} that share resource variables."""
    _train_and_serve(tf, tf.compat.v1.saved_model.Builder(str(out)), use_resource=True)


@model()
def train_op_signature(tf: TF, out: Path) -> None:
    """TF1 internal _SavedModelBuilder with a train op: the signature __saved_model_train_op."""
    from tensorflow.python.saved_model.builder_impl import _SavedModelBuilder

    builder = _SavedModelBuilder(str(out))
    _train_and_serve(tf, builder, use_resource=True, with_train_op=True)


@model()
def serve_and_gpu(tf: TF, out: Path) -> None:
    """TF1 meta graphs {serve} and {serve, gpu}: one tag set inside another."""
    _save_lines(tf, out, [["serve"], ["serve", "gpu"]])


@model()
def duplicate_tags(tf: TF, out: Path) -> None:
    """Tag sets [serve], [serve], [train, serve, serve] and []: shadowed, doubled, empty."""
    _save_lines(tf, out, [["serve"], ["serve"], ["train", "serve", "serve"], []])


@model()
def no_tags(tf: TF, out: Path) -> None:
    """One meta graph with the empty tag set."""
    _save_lines(tf, out, [[]])


@model()
def letter_tags(tf: TF, out: Path) -> None:
    """The tags {s, e, r, v}: what a string passed as a tag set becomes."""
    _save_lines(tf, out, [list("serv")])


@model()
def odd_tags(tf: TF, out: Path) -> None:
    """Tags with a comma, a blank, no character, beyond ASCII, and a control character."""
    _save_lines(tf, out, [["serve,gpu"], [" serve "], [""], ["größe"], ["a\x1b[31mb\n"]])


@model()
def v1_pbtxt(tf: TF, out: Path) -> None:
    """TF1 written as saved_model.pbtxt."""
    _save_lines(tf, out, [["serve"], ["train"]], as_text=True)


@model()
def stripped_defaults(tf: TF, out: Path) -> None:
    """TF1 with strip_default_attrs and clear_devices."""
    _save_lines(tf, out, [["serve"]], strip_default_attrs=True, clear_devices=True)


@model()
def v1_no_signatures(tf: TF, out: Path) -> None:
    """TF1 without a signature_def."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        _line(tf)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()


@model()
def v1_no_variables(tf: TF, out: Path) -> None:
    """TF1 of constants: no saver_def, and a variables folder with nothing in it."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        y = tf.add(x, 1.0, name="y")
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y})},
        )
        builder.save()


@model()
def v1_control_flow(tf: TF, out: Path) -> None:
    """TF1 while and cond of old: Enter, Switch, and context messages in the collections."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [], name="x")
        w = v1.get_variable("w", initializer=tf.constant(1.5), use_resource=False)
        _, y = tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, v * w), (0, x))
        z = tf.cond(y > 0.0, lambda: y + 1.0, lambda: y - 1.0)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": v1.saved_model.predict_signature_def({"x": x}, {"z": z})},
        )
        builder.save()


@model(
    feeds={
        "serving_default": {
            "s_indices": [[0, 1], [1, 2]],
            "s_values": [1.5, -2.0],
            "s_dense_shape": [2, 3],
        },
        "classify": {"inputs": ["", ""]},
        "regress": {"inputs": ["", ""]},
    }
)
def v1_sparse(tf: TF, out: Path) -> None:
    """TF1 signatures with coo_sparse inputs and outputs; classify and regress methods."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        s = v1.sparse_placeholder(tf.float32, [None, 3], name="s")
        # Copies: the C++ session refuses to fetch what is fed.
        doubled = tf.SparseTensor(
            tf.identity(s.indices), s.values * 2.0, tf.identity(s.dense_shape)
        )
        info = v1.saved_model.build_tensor_info
        examples = v1.placeholder(tf.string, [None], name="examples")
        parsed = v1.parse_example(examples, {"v": v1.FixedLenFeature([], tf.float32, 0.0)})
        scores = tf.sigmoid(parsed["v"], name="scores")
        labels = v1.as_string(tf.cast(scores > 0.5, tf.int32), name="labels")
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": v1.saved_model.build_signature_def(
                    {"s": info(s)},
                    {"doubled": info(doubled), "dense": info(v1.sparse_tensor_to_dense(s))},
                    v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
                ),
                "classify": v1.saved_model.classification_signature_def(
                    examples, labels, tf.expand_dims(scores, 1)
                ),
                "regress": v1.saved_model.regression_signature_def(examples, scores),
            },
        )
        builder.save()


@model(
    feeds={
        "serving_default": {
            alias: value
            for values, splits in (("r[0]", "r[1]"), ("r_component_0", "r_component_1"))
            for alias, value in ((values, [1.0, 2.0, 3.0]), (splits, [0, 2, 3]))
        }
    }
)
def v1_ragged(tf: TF, out: Path) -> None:
    """TF1 signature with a ragged input and output: composite_tensor on both sides."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        r = v1.ragged.placeholder(tf.float32, ragged_rank=1, name="r")
        doubled = tf.RaggedTensor.from_row_splits(
            r.values * 2.0, tf.identity(r.row_splits), validate=False
        )
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {"r": info(r)},
            {"doubled": info(doubled), "sums": info(tf.reduce_sum(r, axis=1))},
            v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
        )
        builder = v1.saved_model.Builder(str(out))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def _table(tf: TF, words: Path) -> tuple[dict[str, Any], Any]:
    """A hash table read from a file, in the default graph: (signatures, init op)."""
    v1 = tf.compat.v1
    asset = tf.constant(str(words), name="asset_path")
    # Adds the asset to the collection ASSET_FILEPATHS by itself.
    initializer = tf.lookup.TextFileInitializer(
        asset,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticHashTable(initializer, default_value=-1)
    text = v1.placeholder(tf.string, [None], name="text")
    rows = v1.get_variable("rows", [5, 2], initializer=v1.random_normal_initializer(seed=3))
    ids = table.lookup(text)
    vectors = tf.gather(rows, ids + 1, name="vectors")
    signatures = {
        "serving_default": v1.saved_model.predict_signature_def(
            {"text": text}, {"ids": ids, "vectors": vectors}
        )
    }
    return signatures, v1.tables_initializer(name="init_tables")


def _save_table(tf: TF, out: Path, builder: Any, init_key: str, *, twice: bool = False) -> None:
    """Saves the hash table; the two builders name the arguments differently."""
    v1 = tf.compat.v1
    assets_key = "assets_list" if init_key == "init_op" else "assets_collection"
    with words_file(out) as words, tf.Graph().as_default(), v1.Session() as session:
        signatures, init_op = _table(tf, words)
        session.run(v1.global_variables_initializer())
        assets = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
        options = {assets_key: assets * 2 if twice else assets, init_key: init_op}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures, **options)
        builder.save()


@model()
def asset_collection(tf: TF, out: Path) -> None:
    """TF1 public Builder with a hash table: assets in the collection, main_op."""
    _save_table(tf, out, tf.compat.v1.saved_model.Builder(str(out)), "main_op")


@model()
def doubled_asset(tf: TF, out: Path) -> None:
    """TF1 public Builder given an asset twice: it lists it twice, and C++ refuses it."""
    _save_table(tf, out, tf.compat.v1.saved_model.Builder(str(out)), "main_op", twice=True)


@model()
def asset_field(tf: TF, out: Path) -> None:
    """TF1 internal _SavedModelBuilder: assets in asset_file_def, the init op as a signature."""
    from tensorflow.python.saved_model.builder_impl import _SavedModelBuilder

    _save_table(tf, out, _SavedModelBuilder(str(out)), "init_op")


@model()
def tables_and_tags(tf: TF, out: Path) -> None:
    """TF1 {train}, {serve}, {serve, small}: an asset of all, one of {train}, shared variables."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(out))
    with words_file(out) as words:
        labels = words.with_name("labels.txt")
        labels.write_text("no\nyes\n")

        with tf.Graph().as_default(), v1.Session() as session:
            signatures, init_op = _table(tf, words)
            index_to_label = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    tf.constant(str(labels), name="label_path"),
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                ),
                default_value="?",
            )
            index = v1.placeholder(tf.int64, [None], name="index")
            bonus = v1.get_variable("bonus", [2], initializer=v1.ones_initializer())
            signatures["labels"] = v1.saved_model.predict_signature_def(
                {"index": index}, {"label": index_to_label.lookup(index), "bonus": bonus + 1.0}
            )
            init_op = v1.tables_initializer(name="init_all_tables")
            session.run(v1.global_variables_initializer())
            builder.add_meta_graph_and_variables(
                session,
                ["train"],
                signatures,
                assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
                main_op=init_op,
            )
        for tags in (["serve"], ["serve", "small"]):
            with tf.Graph().as_default():
                signatures, init_op = _table(tf, words)
                builder.add_meta_graph(
                    tags,
                    signatures,
                    assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
                    main_op=init_op,
                )
        builder.save()


@model()
def v1_devices(tf: TF, out: Path) -> None:
    """TF1 {serve} on the CPU of this machine, {worker} with nodes on those of another."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(out))
    with tf.Graph().as_default(), v1.Session() as session:
        with tf.device("/device:CPU:0"):
            signatures = _line(tf, use_resource=False)
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
    with tf.Graph().as_default():
        with tf.device("/job:ps/task:3"):
            signatures = _line(tf, use_resource=False)
        builder.add_meta_graph(["worker"], signatures)
    builder.save()
