"""Why a loader cannot load the model, or has no values in it, whatever signature is called."""

from __future__ import annotations

from ..loaders import NEEDS_KERAS_2, obstacles, unfed
from ..text import listed, tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .subject import Subject


def v2(subject: Subject) -> str | None:
    """Why tf.saved_model.load refuses the model, or None."""
    return _hidden(subject) or _obstacle(subject, "v2", "tf.saved_model.load fails: ")


def v1(subject: Subject) -> str | None:
    """Why tf.compat.v1.saved_model.load refuses the model, or the signature does not run."""
    why = _hidden(subject) or _obstacle(subject, "v1", "")
    if why is None and (names := unfed(subject.graph, subject.key)):
        why = f"the signature does not feed {listed(names)}, which its outputs need"
    return why


def cc(subject: Subject) -> str | None:
    """Why LoadSavedModel of C++, and so each server, refuses the model wherever it lies."""
    return _hidden(subject) or _obstacle(subject, "cc", "C++ refuses the model: ", path=False)


def _hidden(subject: Subject) -> str | None:
    first = next(g for g in subject.model.meta_graphs if g.tag_set == subject.graph.tag_set)
    if first is subject.graph:
        return None
    return (
        f"no loader finds this meta graph: {first.place} has the tags "
        f"{tag_set(subject.tags)} too, and comes first; fastsm remove-meta-graph leaves it out"
    )


def _obstacle(
    subject: Subject, loader: str, fails: str, *, path: bool = True
) -> str | None:
    """What keeps a loader from the meta graph.

    Args:
        fails: What is said before it, where it is loading that fails.
        path: As `obstacles` takes it.
    """
    for one in obstacles(subject.model, subject.graph, path=path):
        if one.loader == loader and one.words != NEEDS_KERAS_2:
            return (fails if one.at == "load" else "") + one.words
    return None
