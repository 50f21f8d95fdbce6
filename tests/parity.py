"""Every edit on every model, and strip: does parity find that the model is the same one?

    python -m tests.parity [-j N] [MODEL...]    edit all anew, and write parity_verdicts.json
                                                and parity.md

What `agree` and `strip` hold by an oracle of their own, parity must find by itself, told only
of the edits: that all is equal, bit for bit. Where an edit changes what the model computes,
as another vocabulary does, it must see that.
"""

from __future__ import annotations

import copy
import functools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import fastsm
from fastsm.proof import mapping, parity
from fastsm.proof.report import LOADERS, ParityReport, Remark
from fastsm.proof.setting import Setting
from fastsm.proof.worker import Failed, Worker

from . import agree, strip
from .agree import FAMILIES, REFUSALS, REVERSED, Case, Disagreement, Json, as_json, family, reason
from .oracle import Oracle

VERDICTS = Path(__file__).with_name("parity_verdicts.json")
TABLE = Path(__file__).with_name("parity.md")

#: A model that nobody edited: a copy of its files.
COPY = "a copy"


class Remembering(Worker):
    """Asks what BEFORE makes of inputs but once; what it makes of them again, each time."""

    def __init__(self) -> None:
        super().__init__(Setting())
        self._known: dict[str, Any] = {}

    def ask(self, job: str, **options: Any) -> Any:
        if options.get("want") is None:
            return super().ask(job, **options)
        question = json.dumps({k: v for k, v in options.items() if k != "keep"}, sort_keys=True)
        if question not in self._known:
            folder = tempfile.mkdtemp(prefix="remembered-", dir=self.folder)
            try:
                self._known[question] = super().ask(job, **{**options, "keep": folder})
            except Failed as failed:
                self._known[question] = failed
        if isinstance(answer := self._known[question], Failed):
            raise answer
        return copy.deepcopy(answer)

    def forget(self) -> None:
        """Models that are asked of next are others."""
        self._known.clear()
        for folder in Path(self.folder).glob("remembered-*"):
            shutil.rmtree(folder)


@functools.cache
def worker() -> Remembering:
    """One TensorFlow for all comparisons of a process."""
    return Remembering()


class Trial:
    """A model, and what parity says of it and of what edits make of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.subject = agree.Subject(path)

    def compare(self, after: Path, edits: Iterable[Json] = ()) -> ParityReport:
        """What parity says, told of edits as a receipt tells them."""
        before = self.subject.model
        return parity.compare(
            before, _opened(after), [worker()], mapping=mapping.Mapping.of_edits(edits, before)
        )

    def copied(self, scratch: Path) -> Json:
        """A model is the same as its copy in another folder.

        Returns:
            "a copy" -> the verdict; "not compared" and "unstable" -> what, by reason.
        """
        shutil.copytree(self.path, scratch / "model")
        report = self.compare(scratch / "model")
        out: Json = {COPY: self.judge(report)}
        for name in ("not_compared", "unstable"):
            if of := self._told(getattr(report, name)):
                out[name.replace("_", " ")] = of
        return out

    def edited(self, case: Case, scratch: Path) -> str:
        """A verdict of MEANINGS on an edited copy.

        Raises Disagreement where parity sees a difference that is none, or none where one is.
        """
        case = agree.with_files(case, self.path, scratch)
        out = scratch / "model"
        try:
            with fastsm.edit(self.path, out=out, sync=False) as e:
                e.apply(case.edits)
        except REFUSALS as refusal:
            return f"refused: {reason(refusal)}"
        assert e.result is not None
        if not e.result.changed:
            return "nothing to do"
        report = self.compare(out, e.result.to_dict()["edits"])
        if any(edit.get("file") == str(scratch / REVERSED) for edit in case.edits):
            return self._changed(report)
        return self.judge(report)

    def judge(self, report: ParityReport) -> str:
        """Whether all that could be compared is equal."""
        if report.differences:
            told = self._told(report.differences, parts=True)
            raise Disagreement("; ".join(f"{what}: {why}" for what, why in told.items()))
        if not report.compared:
            return "not comparable"
        return "equal, but for what is unstable" if report.unstable else "equal"

    def _changed(self, report: ParityReport) -> str:
        """What another content of an asset changes: the asset itself at least."""
        kinds = {remark.kind for remark in report.differences}
        if report.compared and "assets" not in kinds:
            raise Disagreement("an asset has another content, and parity does not see it")
        return f"seen in: {', '.join(sorted(kinds))}" if kinds else "not comparable"

    def _told(self, remarks: Iterable[Remark], *, parts: bool = False) -> dict[str, str]:
        """What is said of what: tag sets, names and loaders -> why."""
        said: dict[tuple[str, str], list[str]] = {}
        for r in remarks:
            name = ": ".join(filter(None, [r.name, r.part if parts else None]))
            where = f"{fastsm.text.tag_set(r.meta_graph)} {name}".strip()
            of = said.setdefault((where, agree.short(r.why, self.path)), [])
            if r.loader is not None and LOADERS[r.loader] not in of:
                of.append(LOADERS[r.loader])
        told: dict[str, str] = {}
        for (where, why), of in said.items():
            what = " ".join([where, *of])
            told[what] = f"{told[what]}; {why}" if what in told else why
        return told


def _opened(path: Path) -> fastsm.SavedModel:
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    return model


#: Cases that differ from others of their verb in what `agree` looks at, and parity does not.
_ALIKE = ("first to last", "last to first")


def cases(trial: Trial, name: str) -> dict[str, Case]:
    """What `agree` and `strip` do to a model: each verb, and several as one."""
    of = {c.name: c for c in agree.cases(trial.subject) if not c.name.endswith(_ALIKE)}
    for what, asked in {**strip.CASES, **strip.MORE.get(name, {})}.items():
        if what not in strip.LEVELS:  # which are among agree's
            verb = "strip-training-graph"
            of[f"{verb}, {what}"] = Case(what, [{"verb": verb, **asked}])
    return of


def tried(name: str, path: Path, oracle: Oracle, only: str = "") -> Json:
    """What came of a copy and of all edits of a model, by case; a disagreement is
    "DISAGREES: ..."."""
    worker().forget()
    try:
        trial = Trial(path)
    except fastsm.FormatError as e:
        return {"unreadable": e.problem.partition("\n")[0]}
    out: Json = {}
    for case_name, case in {COPY: None, **cases(trial, name)}.items():
        if not case_name.startswith(only):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                if case is None:
                    out.update(trial.copied(Path(scratch)))
                else:
                    out[case_name] = trial.edited(case, Path(scratch))
            except Disagreement as e:
                out[case_name] = f"DISAGREES: {e}"
            except Exception as e:
                out[case_name] = f"DISAGREES: {type(e).__name__}: {e}"
    return out


# -- the table -----------------------------------------------------------------------

#: What a verdict begins with -> what it means, in the table.
MEANINGS = {
    "equal": "parity finds each bit equal in every loader that takes the model (exit code 0)",
    "seen": "the edit changes what the model computes, and parity sees it (1)",
    "not comparable": "TensorFlow runs nothing that both models have, and parity says so (7)",
    "refused": "the edit is refused; there is nothing to compare",
    "nothing to do": "there is nothing to edit",
}

_NO_CASES = {"unreadable", "not compared", "unstable"}


def table(recorded: Mapping[str, Json]) -> str:
    """The verdicts counted, as Markdown."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for name, of in recorded.items():
        for case, verdict in of.items():
            if case not in _NO_CASES:
                kind = next((m for m in MEANINGS if verdict.startswith(m)), "DISAGREES")
                counts.setdefault((case, family(name)), Counter())[kind] += 1
    rows = sorted({case for case, _ in counts}, key=lambda case: (case != COPY, agree.order(case)))
    sizes = Counter(family(name) for name in recorded)
    lines = [
        "# Parity of every edit on every model",
        "",
        "Written by `python -m tests.parity`; `tests/test_parity_all.py` holds it true.",
        "",
        *(f"- **{word}**: {meaning}." for word, meaning in MEANINGS.items()),
        "",
        "| edit | " + " | ".join(f"{f} ({sizes[f]})" for f in FAMILIES) + " |",
        "| --- |" + " --- |" * len(FAMILIES),
    ]
    for case in rows:
        cells = [_cell(counts.get((case, f), Counter())) for f in FAMILIES]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    lines += ["", f"In all: {_cell(sum(counts.values(), Counter()))}."]
    for kind, head in (
        ("not compared", "What of a copy is not compared"),
        ("unstable", "What is another each time, and no difference"),
    ):
        lines += ["", f"## {head}", ""]
        told = [
            f"- {name}, {what}: {why}"
            for name, of in recorded.items()
            for what, why in of.get(kind, {}).items()
        ]
        lines += told or ["Nothing."]
    lines += ["", "## Not opened", ""]
    lines += [f"- {n}: {of['unreadable']}" for n, of in recorded.items() if "unreadable" in of]
    return "\n".join(lines) + "\n"


def _cell(counts: Counter[str]) -> str:
    kinds = [*MEANINGS, "DISAGREES"]
    return ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts[kind]) or "-"


def _write(recorded: Mapping[str, Json]) -> None:
    VERDICTS.write_text(as_json(recorded))
    TABLE.write_text(table(recorded))


if __name__ == "__main__":
    agree.record("python -m tests.parity", tried, VERDICTS, _write)
