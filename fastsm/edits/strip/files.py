"""The files beside saved_model.pb and the variables that follow a strip."""

from __future__ import annotations

from ...source import from_bytes
from .keras_metadata import NAME as KERAS_METADATA
from .keras_metadata import renumbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..draft import Draft

#: Where nodes come from in their writer's source.
DEBUG_INFO = "debug/saved_model_debug_info.pb"


def follow(draft: Draft, level: str, ids: Mapping[int, int] | None) -> list[str]:
    """Let the other files of the model be true to it.

    Args:
        level: At ``serving`` there is no Keras model left to tell of, and no debug info.
        ids: Old number of an object -> new one; None where they kept their numbers.

    Returns:
        The files that went.

    Raises:
        FormatError: keras_metadata.pb is damaged.
    """
    gone = []
    metadata = draft.file(KERAS_METADATA)
    if level == "serving":
        gone = [n for n in (DEBUG_INFO, KERAS_METADATA) if draft.file(n) is not None]
    elif metadata is not None and ids is not None:
        content = renumbered(metadata.read(0, metadata.size), ids)
        draft.write(KERAS_METADATA, from_bytes(content))
    for name in gone:
        draft.remove(name)
    return gone
