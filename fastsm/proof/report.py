"""What a comparison found: one record, of which the screen and ``--json`` are made."""

from __future__ import annotations

from ..text import Record, count, counted, plain, printable, tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: The loaders, in the order in which they are asked, as a person calls them.
LOADERS = {"v2": "v2", "v1": "v1", "cc": "C++"}

#: Kinds of rows that are called: what is compared is what they return.
CALLED = ("signature", "callable")

#: Why something of BEFORE has nothing in AFTER that it is held against: an edit was to do that.
REMOVED = "removed by the edit"

#: What became of a row in a loader, the gravest first.
VERDICTS = ("differs", "unstable", "close", "equal", "not compared")


class Row(Record):
    """One thing that was to be compared: a signature, a callable, or a kind of state.

    Attributes:
        meta_graph: BEFORE's tag set, sorted.
        kind: "signature", "callable", "variables", "tables", "assets" or "load".
        name: Its key in BEFORE; a callable's as Python has it, ``loaded.serve``; else the kind.
        after: Its key in AFTER, where that is another; else None.
        loaders: Loader -> what came of it: ``verdict`` of VERDICTS, ``inputs`` (on how many it
            was run) and ``compared`` (how many tensors, tables or files were held against each
            other).
    """

    __slots__ = ("meta_graph", "kind", "name", "after", "loaders")

    def __init__(
        self, meta_graph: list[str], kind: str, name: str, after: str | None = None
    ) -> None:
        self.meta_graph, self.kind, self.name, self.after = meta_graph, kind, name, after
        self.loaders: dict[str, dict[str, Any]] = {}

    @property
    def title(self) -> str:
        """Its name, safe to print, and what it is called now."""
        name = printable(self.name)
        return name if self.after is None else f"{name} -> {printable(self.after)}"


class Remark(Record):
    """What is said of one thing in one loader: that it differs, is unstable, or why it was
    not compared.

    Attributes:
        meta_graph: BEFORE's tag set, sorted; AFTER's of a meta graph that only AFTER has.
        kind: As of a `Row`; or "meta_graph" of a whole one, "load" of all in a loader.
        name, after: As of a `Row`; "" and None of these two.
        loader: "v2", "v1" or "cc"; None where it is of no loader.
        part: The input, output, variable, table or asset; None of all of it.
        input: On which input, in words; None where inputs play no part.
        why: What is so, in words, safe to print.
        measure: Of tensors that differ, how far they do: see `child.compare.compare`.
        hint: What may be behind it and what to do, or None.
    """

    __slots__ = (
        "meta_graph", "kind", "name", "after", "loader", "part", "input", "why", "measure",
        "hint",
    )  # fmt: skip

    def __init__(
        self,
        meta_graph: list[str],
        kind: str,
        name: str,
        loader: str | None,
        why: str,
        *,
        after: str | None = None,
        part: str | None = None,
        input: str | None = None,
        measure: dict[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        self.meta_graph, self.kind, self.name, self.loader = meta_graph, kind, name, loader
        self.after, self.part, self.input, self.why = after, part, input, why
        self.measure, self.hint = measure, hint

    def of(self, row: Row) -> bool:
        """Whether it is said of that row."""
        names = ("meta_graph", "kind", "name", "after")
        return all(getattr(self, name) == getattr(row, name) for name in names)


class ParityReport(Record):
    """What `fastsm.parity` returns.

    Attributes:
        before, after: As the caller named them.
        meta_graphs: ``before`` and ``after``: the tag sets that were held against each other.
        rows: What was to be compared, in BEFORE's order.
        differences: What is not the same.
        unstable: What BEFORE makes differently each time it is asked: nothing can be held
            against that.
        not_compared: What was held against nothing, and why: it may be the same or not.
        notes: What else the user should know.
        settings: ``before`` and ``after``: with what TensorFlow on what device, and what was
            fixed, in words. ``bit_for_bit``: whether both are the same, so that every bit
            counts; if not, ``tolerances``, dtype -> (relative, absolute).
        placement: Of each model, loader -> device -> how many nodes ran there.
        loaders: Those that were asked.
    """

    __slots__ = (
        "before", "after", "meta_graphs", "loaders", "settings", "placement", "rows", "differences",
        "unstable", "not_compared", "notes",
    )  # fmt: skip

    def __init__(self, before: str, after: str, loaders: Iterable[str]) -> None:
        self.before, self.after = before, after
        self.loaders = list(loaders)
        self.settings: dict[str, Any] = {}
        self.placement: dict[str, Any] = {}
        self.meta_graphs: list[dict[str, list[str]]] = []
        self.rows: list[Row] = []
        self.differences: list[Remark] = []
        self.unstable: list[Remark] = []
        self.not_compared: list[Remark] = []
        self.notes: list[str] = []

    @property
    def compared(self) -> int:
        """How many tensors, tables and files were held against each other.

        0 where the model can be called and no call was compared: that its variables are the
        same does not say that it is.
        """
        called = [row for row in self.rows if row.kind in CALLED]
        n = sum(_compared(row) for row in self.rows)
        if any(map(_compared, called)):
            return n
        skipped = [r for r in self.not_compared if r.kind in (*CALLED, "load") and r.why != REMOVED]
        return 0 if called or skipped else n

    @property
    def equal(self) -> bool:
        """Whether something was compared, and nothing differs."""
        return not self.differences and self.compared > 0

    @property
    def verdict(self) -> str:
        """ "differs", "nothing compared", or else "equal"; "close" across devices."""
        if self.differences:
            return "differs"
        if not self.compared:
            return "nothing compared"
        verdicts = {of["verdict"] for row in self.rows for of in row.loaders.values()}
        return "close" if "close" in verdicts else "equal"

    @property
    def exit_code(self) -> int:
        """0 equal, 1 differs, 7 nothing compared."""
        return {"differs": 1, "nothing compared": 7}.get(self.verdict, 0)

    def to_dict(self) -> dict[str, Any]:
        out = {name: plain(value) for name, value in self._values()}
        head = {name: out.pop(name) for name in ("before", "after")}
        return {
            **head, "verdict": self.verdict, "equal": self.equal, "compared": self.compared,
            **out,
        }  # fmt: skip

    def __repr__(self) -> str:
        n = ", ".join(
            counted(len(what), noun, nouns)
            for what, noun, nouns in (
                (self.differences, "difference", None),
                (self.unstable, "unstable", "unstable"),
                (self.not_compared, "not compared", "not compared"),
            )
            if what
        )
        more = f" ({n})" if n else ""
        return f"<ParityReport {self.verdict}: {count(self.compared)} compared{more}>"


def _compared(row: Row) -> int:
    return sum(of["compared"] for of in row.loaders.values())


def measured(measure: dict[str, Any]) -> str:
    """A measure in words: ``3 of 8 elements, by up to 2 ulp, relative 6e-08``."""
    n = measure["n"]
    out = f"{count(measure['outside'])} of {counted(n, 'element')}"
    if measure.get("zero_sign") == measure["differing"]:
        return f"{out}: the sign of zero"
    if measure.get("nan_bits") == measure["differing"]:
        return f"{out}: the bits of NaN"
    far = []
    if "ulp" in measure:
        far.append(f"{count(measure['ulp'])} ulp")
    if "relative" in measure:
        far.append(f"relative {measure['relative']:.2g}")
    elif "absolute" in measure:
        far.append(f"absolute {measure['absolute']:.2g}")
    if far:
        out += f", by up to {', '.join(far)}"
    for name, words in (("nan", "NaN"), ("infinite", "infinite")):
        if name in measure:
            out += f", {count(measure[name])} {words} in one of them"
    return out


def first(measure: dict[str, Any]) -> str:
    """The first element that differs: ``first [0, 3]: 0.25 -> 0.5``; of a scalar its value."""
    before, after = (printable(measure[end]) for end in ("before", "after"))
    values = f"{before} -> {after}"
    return f"first {measure['index']}: {values}" if measure["index"] else values


def subject(remark: Remark, *, several: bool) -> str:
    """What a remark is about, without its loader: ``serve``, ``{train}``, ``{serve} rank``.

    Args:
        several: Whether to say of which meta graph.
    """
    if remark.kind == "meta_graph":
        return tag_set(remark.meta_graph)
    name = printable(remark.name)
    if several:
        tags = tag_set(remark.meta_graph)
        name = f"{tags} {name}" if name else tags
    return name
