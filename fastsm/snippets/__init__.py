"""How a signature is called, as text that works as printed.

All in it comes from the model: names are quoted for the language that they stand in, and the
values are such as the model takes. Where a loader cannot call the signature there is no text,
and a note that says why.
"""

from __future__ import annotations

from ..text import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import SavedModel
    from ..views import MetaGraph

#: What there is a snippet for, in this order. Of "serving" and "triton" there are two.
KINDS = ("python-v2", "python-v1", "keras", "serving", "rest", "triton")


class Snippet(Record):
    """How one program calls a signature.

    Attributes:
        kind: One of KINDS.
        title: What it is, in a few words.
        language: "python", "sh" or "pbtxt".
        file: The name that it wants to be saved under, or None.
        text: What is to be run or saved; "" where that cannot work.
        needs: What has to be installed or running.
        note: What else is to be known; where there is no text, why.
    """

    __slots__ = ("kind", "title", "language", "file", "text", "needs", "note")

    def __init__(
        self,
        kind: str,
        title: str,
        language: str,
        text: str,
        needs: str,
        *,
        file: str | None = None,
        note: str | None = None,
    ) -> None:
        self.kind, self.title, self.language = kind, title, language
        self.file, self.text, self.needs, self.note = file, text, needs, note


def python_v2(model: SavedModel, graph: MetaGraph, key: str) -> Snippet:
    """How tf.saved_model.load calls a signature: the first of its `snippets`."""
    from . import python
    from .subject import Subject

    return python.v2(Subject(model, graph, key))


def snippets(model: SavedModel, graph: MetaGraph, key: str) -> list[Snippet]:
    """How each program calls a signature; see `KINDS`.

    Args:
        model: The model, by the path that is to stand in the texts.
        graph: One of its meta graphs.
        key: A key of ``graph.signatures``.

    Raises:
        MissingError: The meta graph has no such signature.
        FormatError: The model is damaged.
    """
    from . import python, serving, triton
    from .subject import Subject

    subject = Subject(model, graph, key)
    return [
        python.v2(subject),
        python.v1(subject),
        python.keras(subject),
        *serving.server(subject),
        serving.rest(subject),
        *triton.repository(subject),
    ]
