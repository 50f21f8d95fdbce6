"""Which checkpoint a path means: a prefix, its index file, or a folder that names one.

Source: tensorflow/python/checkpoint/checkpoint_management.py latest_checkpoint,
get_checkpoint_state; training/checkpoint_state.proto (2.21).
"""

from __future__ import annotations

import os

from ..errors import AmbiguousError, MissingError, UnsupportedError
from ..source import File
from ..text import printable

INDEX = ".index"

#: The file that names the newest checkpoint of a folder.
STATE = "checkpoint"

#: It lists every checkpoint that was kept; a larger file is something else.
MAX_STATE = 1 << 20

#: The last eight bytes of a table, which a V1 checkpoint is itself.
_MAGIC = bytes.fromhex("57fb808b247547db")

_ESCAPES = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11}


class Found:
    """A checkpoint that a path leads to.

    Attributes:
        prefix: The files' common name.
        notes: What a person should know of how it was found.
    """

    __slots__ = ("notes", "prefix")

    def __init__(self, prefix: str, notes: list[str] | None = None) -> None:
        self.prefix = prefix
        self.notes = notes or []


def find(name: str | os.PathLike[str]) -> Found | None:
    """The checkpoint at a path, or None when nothing there looks like one.

    Raises:
        AmbiguousError: A folder of several, none of them named as the newest.
        MissingError: The one that is named is not there, or only one file of it is named.
        UnsupportedError: A checkpoint of the V1 format.
    """
    path = os.fspath(name)
    if not path:
        return None
    if os.path.isdir(path):
        return _in_folder(path)
    if path.endswith(INDEX) and os.path.isfile(path):
        return Found(path.removesuffix(INDEX))
    if os.path.isfile(path + INDEX):
        return Found(path)
    prefix = _prefix_of(path)
    if prefix and os.path.isfile(prefix + INDEX):
        what = "is a file of a checkpoint" if os.path.isfile(path) else "there is nothing here"
        raise MissingError(path, what, hint=f"Did you mean {printable(prefix)}?")
    if _is_v1(path):
        raise UnsupportedError(
            path,
            "is a checkpoint of TensorFlow's old format (V1), which has no index",
            hint="TensorFlow reads it: restore it with tf.compat.v1.train.Saver, and save it anew.",
        )
    return None


def _prefix_of(path: str) -> str:
    """The prefix whose shard or ``.meta`` a path names, or to which a slash was added; or ""."""
    if path.endswith("/"):
        return path.rstrip("/")
    if path.endswith(".meta"):
        return path.removesuffix(".meta")
    prefix, data, rest = path.rpartition(".data-")
    return prefix if data and rest.replace("-of-", "").isdigit() else ""


def _is_v1(path: str) -> bool:
    """A table by itself: PATH, or the first shard of several, PATH-00000-of-NNNNN."""
    if not os.path.isfile(path):
        folder, base = os.path.split(path)
        start = base + "-00000-of-"
        try:
            shards = [n for n in os.listdir(folder or ".") if base and n.startswith(start)]
        except (OSError, ValueError):
            return False
        if not shards:
            return False
        path = os.path.join(folder, shards[0])
    try:
        source = File(path).source()
    except (OSError, ValueError):
        return False
    return source.size >= 48 and source.read(source.size - 8, 8) == _MAGIC


# -- folders --


def _in_folder(folder: str) -> Found | None:
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(INDEX) and n != INDEX)
    except OSError:
        return None
    names = [n for n in names if os.path.isfile(os.path.join(folder, n))] or names
    prefixes = [n.removesuffix(INDEX) for n in names]
    named = _newest(folder)
    if named is not None:
        return _named(folder, named, prefixes)
    if len(prefixes) > 1:
        raise AmbiguousError(
            folder,
            f"holds {len(prefixes)} checkpoints, and no file that names the newest: "
            + ", ".join(map(printable, prefixes[:8]))
            + (", ..." if len(prefixes) > 8 else ""),
            hint=f"Try: {printable(os.path.join(folder, prefixes[-1]))}",
        )
    return Found(os.path.join(folder, prefixes[0])) if prefixes else None


def _named(folder: str, named: str, prefixes: list[str]) -> Found:
    """The checkpoint that a folder's state file names; never one outside the folder."""
    path = os.path.join(folder, named)
    inside = os.path.normpath(path).startswith(os.path.normpath(folder) + os.sep)
    if folder in (".", ""):
        inside = not os.path.isabs(named) and not os.path.normpath(named).startswith("..")
    if inside and os.path.isfile(path + INDEX):
        return Found(os.path.normpath(path) if ".." in named else path)
    base = os.path.basename(named)
    state = os.path.join(folder, STATE)
    if not inside and base in prefixes:
        note = f"{STATE} names {printable(named)}, outside this folder; took {printable(base)} here"
        return Found(os.path.join(folder, base), [note])
    where = "outside this folder, where fastsm does not look" if not inside else "not there"
    has = ", ".join(map(printable, prefixes[:8])) or "none"
    raise MissingError(
        state, f"names {printable(named)} as the newest checkpoint, which is {where}; "
        f"checkpoints here: {has}",
    )  # fmt: skip


def _newest(folder: str) -> str | None:
    """``model_checkpoint_path`` of the folder's state file; None when there is none to read."""
    path = os.path.join(folder, STATE)
    try:
        source = File(path).source()
        if source.size > MAX_STATE:
            return None
        text = source.read(0, source.size).decode("utf-8", "surrogateescape")
    except (OSError, ValueError):
        return None
    return state_path(text)


def state_path(text: str) -> str | None:
    """The last ``model_checkpoint_path`` of a CheckpointState in protobuf's text format.

    None where the text is not one, as TensorFlow then ignores it, or where it names none.
    """
    found, field, at = None, "", 0
    while True:
        at = _skip_blank(text, at)
        if at == len(text):
            return found or None
        c = text[at]
        if c in "\"'":
            value = ""
            while at < len(text) and text[at] in "\"'":  # strings side by side are one
                part, at = _string(text, at)
                if part is None:
                    return None
                value += part
                at = _skip_blank(text, at)
            if field == "model_checkpoint_path":
                found = value
        elif c.isalnum() or c in "_-+.":
            end = at
            while end < len(text) and (text[end].isalnum() or text[end] in "_-+."):
                end += 1
            word, at = text[at:end], end
            if not (word[0].isdigit() or word[0] in "-+."):
                field = word
        elif c in ":,;[]":
            at += 1
        else:
            return None


def _skip_blank(text: str, at: int) -> int:
    while at < len(text) and (text[at].isspace() or text[at] == "#"):
        if text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            at += 1
    return at


def _string(text: str, at: int) -> tuple[str | None, int]:
    """The quoted string at a place, and the place behind it; (None, 0) when it has no end."""
    quote, at = text[at], at + 1
    out = bytearray()
    while at < len(text) and text[at] not in (quote, "\n"):
        c, at = text[at], at + 1
        if c != "\\":
            out += c.encode("utf-8", "surrogateescape")
            continue
        c, at = text[at : at + 1], at + 1
        digits = ""
        if c in "01234567" and c:
            while len(digits) < 3 and text[at - 1 : at] and text[at - 1] in "01234567":
                digits, at = digits + text[at - 1], at + 1
            at -= 1
            out.append(int(digits, 8) & 0xFF)
        elif c in "xX" and c:
            while len(digits) < 2 and text[at : at + 1] and text[at] in "0123456789abcdefABCDEF":
                digits, at = digits + text[at], at + 1
            if not digits:
                return None, 0
            out.append(int(digits, 16))
        elif c:
            out += bytes([_ESCAPES[c]]) if c in _ESCAPES else c.encode("utf-8", "surrogateescape")
    if at >= len(text) or text[at] != quote:
        return None, 0
    return out.decode("utf-8", "surrogateescape"), at + 1
