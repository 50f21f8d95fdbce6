"""Tags as messages of Python have them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """A list, or a repeated field, as Python prints it."""
    return repr(list(names))


def set_of(names: Iterable[str]) -> str:
    """A set as Python prints it, in the order of the names."""
    listed = sorted(set(names))
    return f"{{{repr(listed)[1:-1]}}}" if listed else "set()"
