"""How names, numbers, sets and records of a model are put into words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: A name in a message is cut here; a model can hold names of megabytes.
NAME_LIMIT = 200

#: Names are not compared with more than so many, for "did you mean".
_MAX_CLOSE = 5000

# Characters that change how a terminal shows what follows: the bidirectional
# controls of Unicode 15 (UAX #9) and the invisible separators.
_HIDDEN = frozenset(
    [0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF]
    + list(range(0x202A, 0x202F))
    + list(range(0x2066, 0x206A))
)


def printable(name: str | bytes, limit: int | None = NAME_LIMIT) -> str:
    """A name from a model, safe to print: nothing in it acts on a terminal.

    Control, escape, bidirectional and invalid characters become ``\\x1b`` or
    ``\\u202e``; a name longer than ``limit`` characters is cut and says so.
    """
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    if limit is not None and len(name) > limit:
        return f"{printable(name[:limit], None)}... ({count(len(name))} characters)"
    if name.isascii() and name.isprintable():
        return name
    out = []
    for ch in name:
        code = ord(ch)
        if 0xDC80 <= code <= 0xDCFF:  # an undecodable byte, kept by surrogateescape
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x20 or 0x7F <= code < 0xA0:
            out.append(f"\\x{code:02x}")
        elif code in _HIDDEN or 0xD800 <= code <= 0xDFFF:
            out.append(f"\\u{code:04x}")
        else:
            out.append(ch)
    return "".join(out)


def count(n: int) -> str:
    """``1234567`` as ``1,234,567``."""
    return f"{n:,}"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """``1 node``, ``2 nodes``, ``0 nodes``."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(names: Iterable[str], most: int = 20) -> str:
    """``a, b, c``; of many names the first, and how many there are."""
    known = list(names)
    shown = ", ".join(map(printable, known[:most]))
    return f"{shown}, ... ({count(len(known))})" if len(known) > most else shown or "none"


def size(n: int) -> str:
    """A number of bytes as a person reads it: ``60 bytes``, ``43.8 kB``, ``65.2 MB``."""
    if n < 1000:
        return f"{n} byte" if n == 1 else f"{n} bytes"
    value, units = n / 1000, ["TB", "GB", "MB", "kB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop()
    unit = units[-1]
    return f"{value:.1f} {unit}"


def tag_set(tags: Iterable[str]) -> str:
    """A tag set as ``{gpu, serve}``: sorted, each tag safe to print."""
    return "{" + ", ".join(printable(t) for t in sorted(tags)) + "}"


def one_line(message: str) -> str:
    """A message that was laid out for a terminal, as JSON holds it."""
    return message.replace("\n  ", " ")


def shell(word: str) -> str:
    """A word as a shell reads it, safe to print; shlex would import re for it."""
    if word and all(c.isascii() and (c.isalnum() or c in "@%+=:,./-_") for c in word):
        return word
    if word == printable(word, None):
        return "'" + word.replace("'", "'\"'\"'") + "'"
    out = []
    for c in word:
        if c.isascii() and c.isprintable() and c not in "'\\":
            out.append(c)
        else:
            out += [f"\\x{byte:02x}" for byte in c.encode("utf-8", "surrogateescape")]
    return f"$'{''.join(out)}'"


#: How Python and JSON escape some characters in a string.
SHORT_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def python_str(text: str) -> str:
    """A str literal of Python, safe to print."""
    return f'"{"".join(_python(c) for c in text)}"'


def _python(c: str) -> str:
    if c in SHORT_ESCAPES:
        return SHORT_ESCAPES[c]
    if c == printable(c):
        return c
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def python_list(names: Iterable[str]) -> str:
    """A list of str literals, safe to print."""
    return f"[{', '.join(map(python_str, names))}]"


def serving_flag(tags: Iterable[str]) -> str | None:
    """The flag by which TensorFlow Serving loads a meta graph with these tags.

    It splits the flag at commas; without one it asks for {serve}: then that is "". None
    for a tag set that no flag can name.
    Source: tensorflow_serving/model_servers/main.cc.
    """
    names = sorted(tags)
    if names == ["serve"]:
        return ""
    if not names or any(not t or "," in t for t in names):
        return None
    return "--saved_model_tags=" + ",".join(map(printable, names))


def serving_words(flag: str | None) -> str:
    """A serving flag as a person reads it."""
    return "no flag names this tag set" if flag is None else flag or "default settings"


class Record:
    """A value made of its ``__slots__``; names with a leading underscore stay private."""

    __slots__ = ()

    def _values(self) -> list[tuple[str, Any]]:
        names: tuple[str, ...] = tuple(self.__slots__)
        return [(n, getattr(self, n)) for n in names if not n.startswith("_")]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        # Mappings may be equal in another order, so they take no part.
        parts = [v for _, v in self._values() if not isinstance(v, (dict, list))]
        return hash((type(self), *parts))

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


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """What to say of a name that is not there: `` Did you mean x? It has: x, y``."""
    import difflib

    known = [n for n, _ in zip(names, range(_MAX_CLOSE), strict=False)]
    close = difflib.get_close_matches(name, known, 1)
    meant = f"Did you mean {printable(close[0])}? " if close else ""
    shown = ", ".join(map(printable, known[:20])) + (", ..." if len(known) > 20 else "")
    return f"{meant}It has: {shown or 'none'}"


def step(name: str) -> str:
    """A child's name as a step of an object's path: ``.kernel``, ``[1]``."""
    return f"[{name}]" if name.isascii() and name.isdigit() else f".{name}"
