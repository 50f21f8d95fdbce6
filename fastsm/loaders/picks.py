"""What a loader finds for a request: tags match as a whole set, and the first that fits counts.

Source: tensorflow/python/saved_model/load.py load_partial, load_v1_in_v2.py and loader_impl.py
get_meta_graph_def_from_tags, tensorflow/cc/saved_model/reader.cc FindMetaGraphDef,
tensorflow/lite/python/lite.py TFLiteConverterV2.from_saved_model (2.21);
tensorflow_serving/model_servers/server.cc: saved_model_tags, split at commas.
"""

from __future__ import annotations

from ..errors import UsageError
from ..text import Record, listed, python_list, python_str, serving_flag
from ..views import loads_by_objects
from . import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model import SavedModel

#: tf.saved_model.load, tf.compat.v1.saved_model.load, LoadSavedModel of C++, TensorFlow Serving
#: (which is LoadSavedModel with its own flag), TFLiteConverter.from_saved_model.
LOADERS = ("v2", "v1", "cc", "serving", "tflite")

#: Those that go by the objects of a model, where it has any and one meta graph.
BY_OBJECTS = ("v2", "tflite")

#: What is asked for where nothing else is: tag_constants.SERVING, kSavedModelTagServe.
SERVE = "serve"

OBJECTS, SIGNATURES = "object graph", "signature_def"


class Said(Record):
    """An error as a loader words it.

    Attributes:
        type: The exception's class; of C++ the name of the status.
        text: The message. Sets are in the order of their tags; TensorFlow's own order differs
            from process to process.
        code: Of C++ the number of the status.
    """

    __slots__ = ("type", "text", "code")

    def __init__(self, type: str, text: str, code: int | None = None) -> None:
        self.type, self.text, self.code = type, text, code


class Pick(Record):
    """What a loader takes for a request.

    Attributes:
        loader: One of LOADERS.
        tags: What it is asked for, as given; None for its default, where no tags are named.
        meta_graph: The position of the one that it takes; None where it takes none.
        reads: "object graph" or "signature_def": where it finds what can be called.
        call: The call; of TensorFlow Serving the flag, "" where none is needed. None where
            there is no way to ask.
        said: Its error, where it finds none.
    """

    __slots__ = ("loader", "tags", "meta_graph", "reads", "call", "said")

    def __init__(
        self,
        loader: str,
        tags: tuple[str, ...] | None,
        meta_graph: int | None,
        reads: str,
        call: str | None,
        said: Said | None,
    ) -> None:
        self.loader, self.tags = loader, tags
        self.meta_graph, self.reads, self.call, self.said = meta_graph, reads, call, said


def pick(model: SavedModel, loader: str, tags: Sequence[str] | None = None) -> Pick:
    """What a loader takes of a model for these tags.

    Args:
        loader: One of LOADERS.
        tags: As they are given, in that order; None for what it does without. "v1" and "cc"
            have no such default, and are asked for {serve} then.

    Raises:
        UsageError: There is no such loader.
        FormatError: The tags of the model cannot be read.
    """
    if loader not in LOADERS:
        raise UsageError("", f"no loader {loader!r}: it is one of {listed(LOADERS)}")
    if tags is None and loader in ("v1", "cc"):
        tags = (SERVE,)
    asked = None if tags is None else tuple(tags)
    by_objects = loader in BY_OBJECTS and loads_by_objects(model.meta_graphs)
    call = _call(model, loader, asked)
    found = said = None
    if call is not None:
        found = _find(model, loader, asked)
        said = _refusal(model, loader, asked, by_objects) if found is None else None
    return Pick(loader, asked, found, OBJECTS if by_objects else SIGNATURES, call, said)


def picks(model: SavedModel) -> list[Pick]:
    """What each loader takes without tags, or for {serve}, and for each tag set of the model."""
    sets = [tuple(sorted(tags)) for tags in dict.fromkeys(model.tag_sets)]
    found = []
    for loader in LOADERS:
        first = pick(model, loader)
        found.append(first)
        found += [pick(model, loader, tags) for tags in sets if tags != first.tags]
    return found


def _find(model: SavedModel, loader: str, asked: tuple[str, ...] | None) -> int | None:
    """The position of the meta graph that a loader takes, or None."""
    if asked is None and loader == "v2":
        return 0 if len(model.meta_graphs) == 1 else None
    wanted = frozenset((SERVE,) if asked is None else asked)
    return next((g.index for g in model.meta_graphs if g.tag_set == wanted), None)


def _call(model: SavedModel, loader: str, asked: tuple[str, ...] | None) -> str | None:
    path = python_str(model.folder)
    tags = "" if asked is None else python_list(asked)
    if loader == "v1":
        return f"tf.compat.v1.saved_model.load(session, {tags}, {path})"
    if loader == "cc":
        return f"LoadSavedModel(session_options, run_options, {path}, {{{tags[1:-1]}}}, &bundle)"
    if loader == "serving":
        return "" if asked is None else serving_flag(asked)
    function = {"v2": "tf.saved_model.load", "tflite": "tf.lite.TFLiteConverter.from_saved_model"}
    return f"{function[loader]}({path}{tags and f', tags={tags}'})"


# -- in their own words --


def _refusal(
    model: SavedModel, loader: str, asked: tuple[str, ...] | None, by_objects: bool
) -> Said:
    if loader in ("cc", "serving"):
        return _not_found((SERVE,) if asked is None else asked)
    if asked is not None:
        request = words.listed(asked)
    else:  # of v2 there is no refusal then but this
        request = words.set_of((SERVE,))
        if loader == "v2":
            return _which(model)
    if by_objects:
        [graph] = model.meta_graphs
        return Said(
            "ValueError",
            f"Got an incompatible argument to `tags`: {request}. The SavedModel at "
            f"{model.folder} has one MetaGraph with tags {words.listed(graph.tags)}. You "
            "may omit the argument, pass 'None', or pass matching tags.",
        )
    available = ", ".join(words.set_of(tags) for tags in model.tag_sets)
    return Said(
        "RuntimeError",
        f"MetaGraphDef associated with tags {request.strip('[]')} could not be found in "
        f"SavedModel, with available tags '[{available}]'. To inspect available tag-sets in the "
        "SavedModel, please use the SavedModel CLI: `saved_model_cli`.",
    )


def _which(model: SavedModel) -> Said:
    sets = ", ".join(words.listed(graph.tags) for graph in model.meta_graphs)
    return Said(
        "ValueError",
        "Importing a SavedModel with `tf.saved_model.load` requires a `tags=` argument if there "
        "is more than one MetaGraph. Got `tags=None`, but there are "
        f"{len(model.meta_graphs)} MetaGraphs in the SavedModel with tag sets: [{sets}]. Pass a "
        "`tags=` argument to load this SavedModel.",
    )


def _not_found(asked: tuple[str, ...]) -> Said:
    return Said(
        "NOT_FOUND",
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(set(asked)))}"
        " }. To inspect available tag-sets in the SavedModel, please use the SavedModel CLI: "
        "`saved_model_cli`",
        5,
    )
