"""Edits as data: a file of JSON as `fastsm edit` takes it, and one edit of it carried out.

    {"edits": [{"verb": "retag", "old": ["serve"], "new": ["gpu", "serve"]}, ...]}

Which verbs there are, and what each takes, is said by the methods of `Edit` alone.
"""

from __future__ import annotations

import inspect
import json
import sys

from ..errors import FormatError, MissingError, UsageError
from ..text import count, did_you_mean, printable
from .transaction import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: No plan that a person or a script writes has more bytes.
MAX_PLAN = 16 << 20

#: What a parameter may be, by its annotation in `Edit`.
KINDS = {
    "str": "a string",
    "bool": "true or false",
    "Tags": "a string or a list of strings",
    "Tags | None": "a string, a list of strings or null",
    "Names": "a string or a list of strings",
    "TagSets": "a string or a list of strings and lists of strings",
    "str | Iterable[str] | None": "a string, a list of strings or null",
    "str | None": "a string or null",
    "Mapping[str, str]": "an object of strings",
    "Path": "a string",
}

#: Methods of `Edit` that are no edits.
_OTHER = {"apply"}


def verbs() -> dict[str, str]:
    """Verb -> the method of `Edit` that does it."""
    methods = [n for n, f in vars(Edit).items() if callable(f) and not n.startswith("_")]
    return {n.replace("_", "-"): n for n in methods if n not in _OTHER}


def read(path: str) -> list[Any]:
    """The edits in a file of JSON; of ``-`` those on stdin.

    Raises:
        MissingError, FormatError: There is no such file, or it holds no list of edits.
    """
    shown = "stdin" if path == "-" else path
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_PLAN + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_PLAN + 1)
    except FileNotFoundError:
        raise MissingError(shown, "there is no such plan") from None
    except OSError as e:
        raise FormatError(shown, f"cannot be read: {e.strerror}") from None
    if len(data) > MAX_PLAN:
        raise FormatError(shown, f"has more than {count(MAX_PLAN)} bytes: no plan has")
    try:
        plan = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise FormatError(shown, f"is no JSON: {printable(str(e))}") from None
    edits = plan.get("edits") if isinstance(plan, dict) else plan
    if not isinstance(edits, list):
        raise FormatError(
            shown, "holds no list of edits",
            hint='A plan is {"edits": [{"verb": "retag", "old": "serve", "new": "gpu"}]}.',
        )  # fmt: skip
    return edits


def call(edit: Edit, item: Mapping[str, Any], where: str) -> None:
    """Do an edit that is given as data.

    Args:
        where: Its place in the plan, for errors.

    Raises:
        UsageError: It names no verb, or not what that verb takes.
    """
    known = verbs()
    if not isinstance(item, dict) or not isinstance(item.get("verb"), str):
        raise UsageError("", f'{where}: an edit is an object with a "verb"')
    verb = item["verb"]
    if verb not in known:
        raise UsageError(
            "", f"{where}: there is no edit {printable(verb)!r}", hint=did_you_mean(verb, known)
        )
    method = getattr(edit, known[verb])
    given = {name: value for name, value in item.items() if name != "verb"}
    takes = dict(inspect.signature(method).parameters)
    args: list[Any] = []
    for name, p in takes.items():
        if p.kind is p.VAR_POSITIONAL:
            args = _listed(given.pop(name, []), p.annotation, f"{where}.{name}")
    for name, value in given.items():
        if name not in takes:
            problem = f"{where}: {verb} takes no {printable(str(name))!r}"
            raise UsageError("", problem, hint=did_you_mean(str(name), takes))
        if not _fits(value, takes[name].annotation):
            raise UsageError("", f"{where}.{name} is not {KINDS[takes[name].annotation]}")
    for name, p in takes.items():
        if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and name not in given:
            raise UsageError("", f'{where}: {verb} wants "{name}"')
    positional = [given.pop(n) for n, p in takes.items() if p.kind is p.POSITIONAL_OR_KEYWORD
                  and n in given]  # fmt: skip
    method(*positional, *args, **given)


def _listed(value: Any, annotation: str, where: str) -> list[Any]:
    """The values of a parameter that takes any number."""
    if not isinstance(value, list):
        raise UsageError("", f"{where} is not a list")
    for i, item in enumerate(value):
        if not _fits(item, annotation):
            raise UsageError("", f"{where}[{i}] is not {KINDS[annotation]}")
    return value


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value of JSON is what a parameter takes."""
    kind = KINDS[annotation]
    if value is None:
        return kind.endswith("null")
    if isinstance(value, bool):
        return annotation == "bool"
    if isinstance(value, str):
        return kind.startswith("a string")
    if isinstance(value, list):
        if annotation == "TagSets":
            return all(_fits(v, "Tags") for v in value)
        return "list" in kind and all(isinstance(v, str) for v in value)
    return (
        isinstance(value, dict)
        and annotation.startswith("Mapping")
        and all(isinstance(v, str) for v in value.values())
    )
