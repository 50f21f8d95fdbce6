"""A reference that leads nowhere."""

from __future__ import annotations


class Unresolved:
    """A reference that leads nowhere.

    Attributes:
        rule: Which kind it is: the id of a rule of `fastsm verify`.
        place: What names it, as errors name places; None in a checkpoint.
        name: What it names, where that is a name.
        problem: What is wrong, one line, safe to print.
        offset: A byte of the file near it, or None.
    """

    __slots__ = ("name", "offset", "place", "problem", "rule")

    def __init__(
        self,
        rule: str,
        place: str | None,
        problem: str,
        name: str | bytes | None = None,
        offset: int | None = None,
    ) -> None:
        self.rule = rule
        self.place = place
        self.name = name
        self.problem = problem
        self.offset = offset

    def __repr__(self) -> str:
        return f"Unresolved({self.rule!r}, {self.place!r}, {self.problem!r})"
