"""The base of small immutable results: equality, repr and ``to_dict`` from their slots."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Record:
    """A value made of its ``__slots__``; names with a leading underscore stay private."""

    __slots__ = ()

    def _values(self) -> list[tuple[str, Any]]:
        return [(n, getattr(self, n)) for n in self.__slots__ if not n.startswith("_")]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def __repr__(self) -> str:
        inside = ", ".join(f"{n}={v!r}" for n, v in self._values() if v is not None)
        return f"{type(self).__name__}({inside})"

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, as ``--json`` prints them."""
        return {n: plain(v) for n, v in self._values() if v is not None}


def plain(value: Any) -> Any:
    """A value as JSON holds it: records and mappings as dicts, sequences as lists."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    return value
