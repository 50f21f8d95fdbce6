"""What verbs print with: JSON, and lines of a screen."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# json.dumps would import json.decoder and re, a tenth of a bare interpreter's start; the
# one hard part of it, escaping strings, is this function of CPython's own.
try:
    from _json import encode_basestring_ascii as _quote
except ImportError:  # another Python
    from json.encoder import py_encode_basestring_ascii as _quote


def to_json(value: Any, indent: str = "\n") -> str:
    """Plain values (dict, list, str, int, float, bool, None) as indented JSON."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):  # JSON has neither NaN nor infinities
        text = repr(value)
        return text if value - value == 0 else _quote(text)
    inner = indent + "  "
    if isinstance(value, dict):
        if not value:
            return "{}"
        rows = [f"{_quote(k)}: {to_json(v, inner)}" for k, v in value.items()]
        return "{" + inner + ("," + inner).join(rows) + indent + "}"
    if isinstance(value, (list, tuple)):
        if not value:
            return "[]"
        if all(v is None or isinstance(v, (int, float, str)) for v in value) and len(value) <= 16:
            return "[" + ", ".join(to_json(v) for v in value) + "]"
        return "[" + inner + ("," + inner).join(to_json(v, inner) for v in value) + indent + "]"
    raise TypeError(f"not plain: {type(value).__name__}")


#: A screen is so wide, where names allow.
WIDTH = 80


def wrapped(text: str, first: str, rest: str) -> list[str]:
    """A text in lines of a screen; ``first`` and ``rest`` stand before them. Words stay whole.

    textwrap would import re.
    """
    lines = []
    line, is_empty = first, True
    for word in text.split(" "):
        longer = line + word if is_empty else f"{line} {word}"
        if len(longer) > WIDTH and not is_empty:
            lines.append(line.rstrip())
            longer = rest + word
        line, is_empty = longer, not word and len(longer) == len(rest)
    return [*lines, line.rstrip()]
