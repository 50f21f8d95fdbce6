"""How a source lies on the disk: folders, `checkpoint` files, text, apart from its graph."""
from __future__ import annotations

import os

from .checkpoints import X_TO_Y, line, save
from .registry import TF, source


@source("model.ckpt", **X_TO_Y, restored=("model.ckpt.meta.txt", "model.ckpt"))
def text_meta(tf: TF) -> None:
    """The .meta is text, beside the checkpoint."""
    v1 = tf.compat.v1
    line(tf)
    save(tf, write_meta_graph=False)
    v1.train.Saver().export_meta_graph("model.ckpt.meta.txt", as_text=True)


@source("model.ckpt", **X_TO_Y)
def text_in_meta(tf: TF) -> None:
    """The .meta is text, and its name does not say so."""
    v1 = tf.compat.v1
    line(tf)
    save(tf, write_meta_graph=False)
    v1.train.Saver().export_meta_graph("model.ckpt.meta", as_text=True)


@source(
    "graph/model.meta",
    **X_TO_Y,
    options={"checkpoint": "weights/other"},
    restored=("graph/model.meta", "weights/other"),
)
def meta_apart(tf: TF) -> None:
    """The .meta lies in another folder than the checkpoint, under another name."""
    line(tf)
    os.mkdir("weights")
    save(tf, "weights/other")
    os.mkdir("graph")
    os.rename("weights/other.meta", "graph/model.meta")


@source("kept", **X_TO_Y, restored=("kept/model-7.meta", "kept/model-7"))
def folder(tf: TF) -> None:
    """A folder of three checkpoints, whose `checkpoint` file names the newest relatively."""
    v1 = tf.compat.v1
    line(tf)
    w, _ = v1.global_variables()
    saver = v1.train.Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        for step in (3, 5, 7):
            session.run(v1.assign_add(w, step))
            saver.save(session, "kept/model", global_step=step)


@source("kept", **X_TO_Y, restored=("kept/model-3.meta", "kept/model-3"))
def folder_absolute(tf: TF) -> None:
    """A `checkpoint` file that names one by an absolute path, and not the last one written."""
    v1 = tf.compat.v1
    folder(tf)
    newest = os.path.abspath("kept/model-3")
    v1.train.update_checkpoint_state(
        "kept", newest, [newest, os.path.abspath("kept/model-7")]
    )


@source("kept", **X_TO_Y, restored=("kept/model-7.meta", "kept/model-7"))
def folder_moved(tf: TF) -> None:
    """A `checkpoint` file with the absolute path of a folder that is elsewhere now."""
    v1 = tf.compat.v1
    folder(tf)
    v1.train.update_checkpoint_state("kept", "/no/such/folder/model-7")


@source("kept/model-5", **X_TO_Y)
def one_of_several(tf: TF) -> None:
    """The prefix of an older checkpoint, in a folder of three."""
    folder(tf)


@source("größe/ein Modell 1.0", **X_TO_Y)
def odd_path(tf: TF) -> None:
    """Blanks, dots and letters that are no ASCII in folder and prefix."""
    line(tf)
    os.mkdir("größe")
    save(tf, "größe/ein Modell 1.0")


@source("run", **X_TO_Y, restored=("run/model.ckpt-4.meta", "run/model.ckpt-4"))
def estimator(tf: TF) -> None:
    """The folder of a MonitoredTrainingSession: graph.pbtxt, events, model.ckpt-N."""
    v1 = tf.compat.v1
    y = line(tf)
    step = v1.train.get_or_create_global_step()
    loss = tf.reduce_mean((y - 3.0) ** 2)
    train = v1.train.GradientDescentOptimizer(0.1).minimize(loss, global_step=step)
    with v1.train.MonitoredTrainingSession(
        checkpoint_dir="run", save_checkpoint_steps=2, save_summaries_steps=100
    ) as session:
        for _ in range(4):
            session.run(train, {"x:0": [1.0, 2.0]})
