"""Names and values of a model as literals of a language: none of them ends its quotes.

What a terminal would act on is escaped, too: a text may be printed as it is.
"""

from __future__ import annotations

import keyword

from ..text import SHORT_ESCAPES, printable, python_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

def as_text(data: bytes) -> str | None:
    """A string as text, where it is some: UTF-8 that has nothing in it that acts on a terminal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text == printable(text, None) else None


def python_bytes(data: bytes) -> str:
    """A bytes literal of Python."""
    return f'b"{"".join(_byte(b) for b in data)}"'


def _byte(b: int) -> str:
    c = chr(b)
    return SHORT_ESCAPES.get(c, c if 0x20 <= b < 0x7F else f"\\x{b:02x}")


def arguments(values: dict[str, str]) -> list[str]:
    """Keyword arguments, a line each: names that are none of Python's go in a dict."""
    # Beyond ASCII Python may take two names for one (NFKC), and then finds neither.
    plain = (n.isascii() and n.isidentifier() and not keyword.iskeyword(n) for n in values)
    if all(plain):
        return [f"{name}={value}," for name, value in values.items()]
    return ["**{", *(f"    {python_str(n)}: {v}," for n, v in values.items()), "}"]


def json(text: str) -> str:
    """A string of JSON, in ASCII; without ``'``, so that a shell may have it in those."""
    return f'"{"".join(_json(c) for c in text)}"'


def _json(c: str) -> str:
    if c in SHORT_ESCAPES:
        return SHORT_ESCAPES[c]
    if " " <= c < "\x7f" and c != "'":
        return c
    units = c.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def pbtxt(text: str) -> str:
    """A string of protobuf's text format, in ASCII.

    Source: protobuf's text format, octal escapes of bytes.
    """
    data = text.encode("utf-8", "surrogateescape")
    return f'"{"".join(_octal(b) for b in data)}"'


def _octal(b: int) -> str:
    c = chr(b)
    return SHORT_ESCAPES.get(c, c if 0x20 <= b < 0x7F else f"\\{b:03o}")


def nested(shape: Sequence[int], elements: Sequence[Any], word: Callable[[Any], str]) -> str:
    """Elements in row-major order as lists in lists.

    Args:
        shape: Of as many elements as there are.
        word: An element as the language has it.
    """
    if not shape:
        return word(elements[0])
    step = len(elements) // shape[0] if shape[0] else 0
    rows = [
        nested(shape[1:], elements[i * step : (i + 1) * step], word) for i in range(shape[0])
    ]
    return f"[{', '.join(rows)}]"
