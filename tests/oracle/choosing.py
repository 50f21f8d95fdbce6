"""Which meta graph TensorFlow's loaders choose: its own code runs, as far as it has chosen."""
from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from unittest import mock

import tensorflow as tf
from tensorflow.python.saved_model import load, load_v1_in_v2, loader_impl

from . import native

Row = tuple[int | None, str, str, str, int | None]


class Chosen(Exception):
    """What a loader of Python is stopped with: the position, and what it would read."""


def choices(path: str, requests: list[tuple[str, list[str] | None]]) -> list[Row]:
    with _stopping():
        return [_choice(path, loader, tags) for loader, tags in requests]


def _choice(path: str, loader: str, tags: list[str] | None) -> Row:
    try:
        if loader == "cc":
            return _of_cc(path, tags or [])
        if loader == "v1":
            with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                tf.compat.v1.saved_model.load(session, tags, path)
        elif loader == "v2":
            tf.saved_model.load(path, *([] if tags is None else [tags]))
        else:
            given = {} if tags is None else {"tags": tags}
            tf.lite.TFLiteConverter.from_saved_model(path, **given)
    except Chosen as chosen:
        index, reads = chosen.args
        return index, reads, "", "", None
    except tf.errors.OpError as e:
        return None, "", type(e).__name__, e.message, e.error_code
    except Exception as e:
        return None, "", type(e).__name__, str(e), None
    raise AssertionError("it was not stopped")


def _of_cc(path: str, tags: list[str]) -> Row:
    """C++ is not stopped: it loads the meta graph, and says which that was."""
    graphs = loader_impl.parse_saved_model(path).meta_graphs
    with native.Session(path, tags) as session:
        found = session.meta_graph.SerializeToString(deterministic=True)
    same = (graph.SerializeToString(deterministic=True) == found for graph in graphs)
    return list(same).index(True), "signature_def", "", "", None


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Stop loaders of Python where they have their meta graph; the file is parsed once."""
    name = "get_meta_graph_def_from_tags"
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(load, "Loader", _by_objects))
        parse = functools.cache(loader_impl.parse_saved_model)
        stack.enter_context(mock.patch.object(loader_impl, "parse_saved_model", parse))
        for kind in (loader_impl.SavedModelLoader, load_v1_in_v2._EagerSavedModelLoader):
            stack.enter_context(mock.patch.object(kind, name, _stopped(getattr(kind, name))))
        yield


def _by_objects(*_: Any) -> NoReturn:
    raise Chosen(0, "object graph")


def _stopped(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], NoReturn]:
    def chosen(self: Any, tags: Any) -> NoReturn:
        found = choose(self, tags)
        graphs = enumerate(self._saved_model.meta_graphs)
        raise Chosen(next(i for i, graph in graphs if graph is found), "signature_def")

    return chosen
