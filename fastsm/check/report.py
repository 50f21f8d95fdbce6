"""What a check found: findings, and the report that holds them."""

from __future__ import annotations

from ..text import Record, counted, printable, shell
from .rules import RULES, SEVERITIES, fix_of, page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Of one rule so many findings are kept in one file, and the rest counted: a damaged
#: index may spoil a million keys.
MAX_FINDINGS = 10_000

#: And so many in all files: an index may name a million shards.
MAX_OF_RULE = 50_000


class Finding(Record):
    """One thing that is wrong, or worth knowing.

    Attributes:
        id: Its rule, a key of `rules.RULES`.
        severity: "error", "warning" or "note".
        file: The file in the model's folder, with slashes; "" for the folder itself.
        offset: The byte of the file; None where it is about no byte.
        size: How many bytes it is about, from offset on; None where that says nothing.
        place: The field of saved_model.pb, ``meta_graphs[0].asset_file_def[2]``; else None.
        key: The checkpoint key, or the name, that it is about; else None.
        expected, seen: What should be there and what is, in words; None where the message
            says it all.
        message: One line, safe to print.
        fix: The command that mends it, or None.
        docs: The page about its rule, in the project's repository.
    """

    __slots__ = (
        "id", "severity", "file", "offset", "size", "place", "key", "expected", "seen",
        "message", "fix", "docs",
    )  # fmt: skip

    id: str
    severity: str
    file: str
    offset: int | None
    size: int | None
    place: str | None
    key: str | None
    expected: str | None
    seen: str | None
    message: str
    fix: str | None
    docs: str


class Report(Record):
    """What `fastsm.verify` and `fastsm.lint` return.

    Attributes:
        path: As the caller named it.
        findings: By file and offset; of one kind in one file at most MAX_FINDINGS,
            in all files at most MAX_OF_RULE.
        not_checked: What was not looked at, in words: it may be wrong all the same.
        checked: What was looked at: counts by name.
        omitted: How many findings were counted and not kept, by id.

    Args:
        alone: It is of a checkpoint without a model, which no verb mends.
    """

    __slots__ = ("path", "findings", "not_checked", "checked", "omitted", "_alone", "_kept")

    def __init__(self, path: str, *, alone: bool = False) -> None:
        self.path = path
        self._alone = alone
        self.findings: list[Finding] = []
        self.not_checked: list[str] = []
        self.checked: dict[str, int] = {}
        self.omitted: dict[str, int] = {}
        self._kept: dict[tuple[str, str | None], int] = {}  # None: in all files

    def add(
        self,
        rule: str,
        file: str,
        message: str,
        *,
        offset: int | None = None,
        size: int | None = None,
        place: str | None = None,
        key: str | bytes | None = None,
        expected: object = None,
        seen: object = None,
        fix: str | None = None,
    ) -> None:
        """Write a finding down; the rule says how grave it is and what mends it.

        Args:
            fix: The command that mends it, where another model would need another one.
        """
        in_file, in_all = self._kept.get((rule, file), 0), self._kept.get((rule, None), 0)
        if in_file >= MAX_FINDINGS or in_all >= MAX_OF_RULE:
            self.omitted[rule] = self.omitted.get(rule, 0) + 1
            return
        self._kept[rule, file], self._kept[rule, None] = in_file + 1, in_all + 1
        f = Finding()
        f.id = rule
        f.severity = RULES[rule][0]
        f.file = file
        f.offset, f.size, f.place = offset, size, place
        f.key = None if key is None else printable(key)
        f.expected = None if expected is None else str(expected)
        f.seen = None if seen is None else str(seen)
        f.message = message
        f.fix = None if self._alone else fix or fix_of(rule, shell(self.path))
        f.docs = page(rule)
        self.findings.append(f)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Let go of the findings of all rules but those that are wanted."""
        self.findings = [f for f in self.findings if wanted(f.id)]
        self.omitted = {rule: n for rule, n in self.omitted.items() if wanted(rule)}

    def count(self, what: str, n: int = 1) -> None:
        """Count what was looked at."""
        self.checked[what] = self.checked.get(what, 0) + n

    def skip(self, what: str) -> None:
        """Write down what was not looked at, once."""
        if what not in self.not_checked:
            self.not_checked.append(what)

    def sort(self) -> None:
        """Findings by file, offset and rule: the same model gives the same report."""
        self.findings.sort(
            key=lambda f: (f.file, -1 if f.offset is None else f.offset, f.place or "", f.id,
                           f.key or "")
        )  # fmt: skip

    def n(self, severity: str) -> int:
        """How many findings of a severity there are, those not kept included."""
        more = sum(n for rule, n in self.omitted.items() if RULES[rule][0] == severity)
        return more + sum(f.severity == severity for f in self.findings)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and notes do not count."""
        return self.n("error") == 0

    def worst(self) -> str | None:
        """The gravest severity among the findings, or None."""
        return next((s for s in SEVERITIES if self.n(s)), None)

    def to_dict(self) -> dict[str, Any]:
        out = super().to_dict()
        return {
            "path": out["path"], "ok": self.ok,
            **{s + "s": self.n(s) for s in SEVERITIES},
            "checked": out["checked"], "not_checked": out["not_checked"],
            "findings": out["findings"], "omitted": out["omitted"],
        }  # fmt: skip

    def __repr__(self) -> str:
        counts = ", ".join(counted(self.n(s), s) for s in SEVERITIES)
        return f"<Report {printable(self.path)}: {counts}>"
