"""One pair of meta graphs in one loader: both run, and held against each other."""

from __future__ import annotations

import os
import shutil

from ..text import count, counted, listed, printable, tag_set
from .failures import Failed
from .mapping import flat
from .pairs import NOT_ASKED, NOT_IN_AFTER, NOT_IN_BEFORE, map_hint, signature_hint
from .report import LOADERS, REMOVED, VERDICTS, ParityReport, Remark, Row, measured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..model import SavedModel
    from .pairs import Pair
    from .worker import Worker

    Answer = dict[str, Any]

#: What of a model's state is compared, in the order of the report.
STATE = ("variables", "tables", "assets")


class End:
    """One of the two models, and the worker that runs it."""

    __slots__ = ("name", "path", "worker", "_folders")

    def __init__(self, name: str, model: SavedModel, worker: Worker) -> None:
        self.name, self.worker = name, worker
        self.path = os.path.abspath(model.folder)
        self._folders: list[str] = []

    def examine(self, loader: str, tags: Iterable[str], **options: Any) -> Answer:
        """Job "examine" in a fresh session. Raises Failed where the model does not load."""
        folder = os.path.join(self.worker.folder, f"{self.name.lower()}-{len(self._folders)}")
        os.mkdir(folder)
        self._folders.append(folder)
        wanted: Answer = {"want": None, "calls": None, "only": None, "twice": False, "state": False,
                  "values": None, "paths": []}  # fmt: skip
        answer: Answer = self.worker.ask(
            "examine", path=self.path, loader=loader, tags=list(tags), keep=folder,
            **{**wanted, **options},
        )  # fmt: skip
        return answer

    def clear(self) -> None:
        """Drop the arrays that its jobs kept."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


class _Held:
    """A call of BEFORE and the one of AFTER that it is held against.

    Attributes:
        ran: What BEFORE made of each input that it takes.
        second: What it made of them in a session of their own, once asked.
        other: What AFTER made of the same.
        same_inputs: Whether both take the same.
        outputs_known: Whether both say what they return before they run.
    """

    __slots__ = (
        "id", "target", "row", "before", "after", "ran", "second", "other", "same_inputs",
        "outputs_known",
    )  # fmt: skip

    def __init__(self, id: str, target: str, row: Row, before: Answer, after: Answer) -> None:
        self.id, self.target, self.row = id, target, row
        self.before, self.after = before, after
        self.ran = [one for one in before["sets"] if not one["failed"]]
        self.second: list[Answer] | None = None
        self.other: list[Answer] = after["sets"]
        self.same_inputs = True
        self.outputs_known = bool(before["outputs"]) and bool(after["outputs"])


class Pass:
    """One pair of meta graphs in one loader."""

    def __init__(
        self,
        report: ParityReport,
        pair: Pair,
        loader: str,
        ends: tuple[End, End],
        across: bool,
        made: Answer,
        wanted: list[str] | None,
        progress: Callable[[str], object] | None,
    ) -> None:
        self.report, self.pair, self.loader = report, pair, loader
        self.before, self.after = ends
        self.across, self.made, self.wanted = across, made, wanted
        self.tags = sorted(pair.before.tag_set)
        self._progress = progress
        self._measures: list[tuple[Row, Remark, dict[str, Any]]] = []

    def run(self) -> None:
        """Load both, run both, and write down what came of it."""
        try:
            self._run()
        finally:
            self.before.clear()
            self.after.clear()

    def _run(self) -> None:
        only = None if self.wanted is None else [f"signature:{key}" for key in self.wanted]
        self._say("BEFORE")
        try:
            before = self._examined(self.before, None, only)
        except Failed as failed:
            self._skip("load", "", f"BEFORE: {failed.words()}")
            return
        self._note_placement(self.before, before)
        asked = self._asked(before, only)
        self._say("AFTER")
        try:
            after = self._examined(self.after, asked, None)
        except Failed as failed:
            self._differ(self._row("load", "loading"), f"AFTER: {failed.words()}", 0)
            return
        self._note_placement(self.after, after)
        held = self._pair_calls(before, after, only)
        for one in held:
            self._compare_specs(one)
        self._ask_again(held)
        for one in held:
            self._compare_sets(one)
        self._compare_state(before, after)
        self._measure()

    def _say(self, what: str) -> None:
        if self._progress is not None:
            self._progress(f"{LOADERS[self.loader]} {tag_set(self.tags)}: {what}")

    # -- asking --

    def _tags(self, end: End) -> tuple[str, ...]:
        return (self.pair.before if end is self.before else self.pair.after).tags

    def _ask(self, end: End, **options: Any) -> Answer:
        return end.examine(self.loader, self._tags(end), **options)

    def _examined(
        self, end: End, calls: list[dict[str, Any]] | None, only: list[str] | None
    ) -> Answer:
        """The model loaded, described and run; where that kills the process, it is found out
        what does: then all else is done, and ``died`` says why of what was not."""
        first = end is self.before
        how: dict[str, Any] = {"want": self.made, "twice": True} if first else {}
        try:
            return self._ask(end, calls=calls, only=only, state=True, **how)
        except Failed as failed:
            if failed.kind == "error":
                raise
        none: dict[str, Any] = {"only": []} if first else {"calls": []}
        try:
            answer = self._ask(end, state=True, **none, **how)
        except Failed as failed:
            if failed.kind == "error":
                raise
            answer = self._ask(end, **none, **how)
            answer["died"] = failed.words()
        ids = [one["id"] for one in calls or ()]
        if first:
            ids = [id for id in answer["calls"] if only is None or id in only]
        for id in ids:
            if id not in answer["calls"]:
                continue
            one = {"only": [id]} if first else {"calls": [c for c in calls or () if c["id"] == id]}
            try:
                answer["calls"][id] = self._ask(end, **one, **how)["calls"][id]
            except Failed as failed:
                answer["calls"][id]["died"] = failed.words()
        return answer

    def _asked(self, before: Answer, only: list[str] | None) -> list[dict[str, Any]]:
        """What AFTER is to run: what BEFORE could, on the same arrays."""
        return [
            self._call(id, target, call)
            for id, call in before["calls"].items()
            if only is None or id in only
            for target in self._targets(id)
            if any(not one["failed"] for one in call["sets"])
        ]

    def _call(self, id: str, target: str, call: Answer) -> dict[str, Any]:
        names = self._inputs(target)
        inputs = {flat(names, old): old for old in call["inputs"] if flat(names, old) != old}
        sets = [{"inputs": one["inputs"]} for one in call["sets"] if not one["failed"]]
        return {"id": target, "as": id, "inputs": inputs, "outputs": {}, "sets": sets}

    # -- names --

    def _targets(self, id: str) -> list[str]:
        """The ids of AFTER for one of BEFORE."""
        kind, _, key = id.partition(":")
        if kind != "signature":
            return [id]
        return [f"signature:{new}" for new in self.pair.renamed.after(key)]

    def _inputs(self, target: str) -> dict[str, str]:
        kind, _, key = target.partition(":")
        return self.pair.renamed.inputs(key) if kind == "signature" else {}

    def _outputs(self, target: str) -> dict[str, str]:
        kind, _, key = target.partition(":")
        return self.pair.renamed.outputs(key) if kind == "signature" else {}

    # -- writing down --

    def _row(self, kind: str, name: str, after: str | None = None) -> Row:
        """The row of that name, and in it a cell for this loader."""
        for row in self.report.rows:
            if (row.meta_graph, row.kind, row.name, row.after) == (self.tags, kind, name, after):
                break
        else:
            row = Row(self.tags, kind, name, after)
            self.report.rows.append(row)
        row.loaders.setdefault(self.loader, {"verdict": "not compared", "inputs": 0, "compared": 0})
        return row

    def _verdict(self, row: Row, verdict: str, n: int = 1) -> None:
        """The gravest verdict counts; of what was compared, all."""
        cell = row.loaders[self.loader]
        if verdict not in ("unstable", "not compared"):
            cell["compared"] += n
        cell["verdict"] = min(cell["verdict"], verdict, key=VERDICTS.index)

    def _differ(self, row: Row, why: str, n: int = 1, **more: Any) -> None:
        self._verdict(row, "differs", n)
        remark = Remark(self.tags, row.kind, row.name, self.loader, why, **more)
        self.report.differences.append(remark)

    def _skip(self, kind: str, name: str, why: str, **more: Any) -> None:
        remark = Remark(self.tags, kind, name, self.loader, why, **more)
        self.report.not_compared.append(remark)

    def _note_placement(self, end: End, answer: Answer) -> None:
        """Write down where it ran; what did not run on the device that was asked for is said."""
        placement, device = answer["placement"], end.worker.about["device"]
        of = self.report.placement.setdefault(end.name.lower(), {})
        devices = of.setdefault(self.loader, {})
        for name, n in placement["devices"].items():
            devices[name] = devices.get(name, 0) + n
        if device == "cpu" or not placement["devices"]:
            return
        if not any(name.startswith("GPU") for name in placement["devices"]):
            self._note(f"{LOADERS[self.loader]}: nothing of {end.name} ran on {device}")
        for name, ops in placement["ops"].items():
            if not name.startswith("GPU"):
                self._note(f"not on {device} but on {name}: {listed(ops)}")

    def _note(self, note: str) -> None:
        if note not in self.report.notes:
            self.report.notes.append(note)

    # -- calls --

    def _pair_calls(self, before: Answer, after: Answer, only: list[str] | None) -> list[_Held]:
        held = []
        taken = set()
        for id, call in before["calls"].items():
            kind, name = _named(id, before["calls"])
            targets = self._targets(id)
            taken.update(targets)
            if only is not None and id not in only:
                self._skip(kind, name, NOT_ASKED)
                continue
            if not targets:
                self._skip(kind, name, REMOVED)
            for target in targets:
                if target not in after["calls"] and kind == "callable":
                    self._skip(kind, name, NOT_IN_AFTER)
                    continue
                row = self._row(kind, name, None if target == id else target.partition(":")[2])
                if target not in after["calls"]:
                    self._differ(row, NOT_IN_AFTER, 0, hint=signature_hint(name, self.pair))
                    continue
                self._skip_failed(row, call)
                one = _Held(id, target, row, call, after["calls"][target])
                row.loaders[self.loader]["inputs"] = len(one.ran)
                if one.ran:
                    held.append(one)
        for id in after["calls"]:
            if id not in taken and only is None:
                kind, name = _named(id, after["calls"])
                self._skip(kind, name, NOT_IN_BEFORE)
        return held

    def _skip_failed(self, row: Row, call: Answer) -> None:
        """Say what BEFORE itself could not do."""
        if "died" in call:
            self._skip(row.kind, row.name, f"BEFORE: {call['died']}")
        reasons: dict[str, list[str]] = {}
        for one in call["sets"]:
            if one["failed"]:
                reasons.setdefault(_why(one["failed"]), []).append(one["how"])
        for why, hows in reasons.items():
            all_of = len(hows) == len(call["sets"])
            for how in [None] if all_of else hows:
                self._skip(row.kind, row.name, f"BEFORE: {why}", input=how)
        if not call["sets"] and "died" not in call:
            self._skip(row.kind, row.name, "no inputs could be made")

    def _compare_specs(self, held: _Held) -> None:
        """Inputs by name, dtype and shape; outputs that only one has."""
        for what, names in (("input", self._inputs), ("output", self._outputs)):
            ours, theirs = held.before[f"{what}s"], held.after[f"{what}s"]
            if what == "output" and not held.outputs_known:
                continue
            renamed = names(held.target)
            new_of = {old: flat(renamed, old) for old in ours}
            spare = [new for new in theirs if new not in new_of.values()]
            lost = [old for old, new in new_of.items() if new not in theirs]
            for old in lost:
                fits = [new for new in spare if _same(ours[old], theirs[new])]
                alike = [other for other in lost if _same(ours[old], ours[other])]
                hint = None
                if len(fits) == len(alike) == 1 and held.row.kind == "signature":
                    hint = map_hint(f"{held.row.name}:{old}={fits[0]}")
                self._spec(held, what, old, f"{what} {NOT_IN_AFTER}", hint)
            for new in spare:
                self._spec(held, what, new, f"{what} {NOT_IN_BEFORE}", None)
            for old, new in new_of.items():
                if new in theirs and not _same(ours[old], theirs[new]):
                    why = f"{what} is {_spec(ours[old])} in BEFORE, {_spec(theirs[new])} in AFTER"
                    self._spec(held, what, old, why, None)

    def _spec(self, held: _Held, what: str, part: str, why: str, hint: str | None) -> None:
        self._differ(held.row, why, 0, part=part, hint=hint)
        if what == "input":
            held.same_inputs = False

    def _ask_again(self, held: list[_Held]) -> None:
        """Ask BEFORE once more, in another session, for what is not equal at once: what it
        does differently itself is unstable. Where calls leave something behind, each of these
        gets sessions of its own, in both models."""
        moved = any(one["again"] is False for call in held for one in call.ran)
        suspects = [call for call in held if self._suspect(call)]
        if not suspects:
            return
        self._say("BEFORE once more")
        if not moved:
            answer = self._again(self.before, suspects)
            for call in suspects:
                call.second = _sets(answer, call.id)
            return
        for call in suspects:
            first, second = (_sets(self._again(self.before, [call]), call.id) for _ in range(2))
            if first is None or len(first) != len(call.ran) or any(s["failed"] for s in first):
                call.second = first  # it does not do it again: no row of it can be held true
                continue
            for one, fresh in zip(call.ran, first, strict=True):
                one.update(rows=fresh["rows"], outputs=fresh["outputs"])
            call.second = second
            answer = self._again(self.after, [call])
            call.other = _sets(answer, call.target) or []
            call.after = {**call.after, **answer["calls"].get(call.target, {})}

    def _again(self, end: End, held: list[_Held]) -> Answer:
        """These calls in a fresh session, on the inputs that they had."""
        first = end is self.before
        calls = [
            self._call(call.id, call.target, call.before)
            if not first
            else {**self._call(call.id, call.id, call.before), "inputs": {}}
            for call in held
        ]
        calls = list({call["id"]: call for call in calls}.values())  # of a copy, both ask for one
        try:
            return self._ask(end, calls=calls)
        except Failed as failed:
            return {"calls": {call["id"]: {"sets": [], "died": failed.words()} for call in calls}}

    def _suspect(self, call: _Held) -> bool:
        if any(one["again"] is False for one in call.ran):
            return True
        outputs = self._outputs(call.target)
        if len(call.other) != len(call.ran):
            return True
        return any(
            theirs["failed"] or theirs["rows"].get(flat(outputs, name)) != row
            for ours, theirs in zip(call.ran, call.other, strict=True)
            for name, row in ours["rows"].items()
        )

    def _compare_sets(self, held: _Held) -> None:
        row = held.row
        if len(held.other) != len(held.ran):
            if held.second is not None and len(held.second) != len(held.ran):
                self._unstable(row, "BEFORE ran once, and not again")
            elif held.same_inputs:
                why = held.after.get("died") or "it did not run"
                self._differ(row, f"AFTER: {why}")
            return
        outputs = self._outputs(held.target)
        for i, (ours, theirs) in enumerate(zip(held.ran, held.other, strict=True)):
            how = ours["how"]
            second: Answer | None = None
            if held.second is not None:
                second = held.second[i] if i < len(held.second) else {"rows": {}, "failed": True}
                if second["failed"]:
                    self._unstable(row, "BEFORE ran once, and not again", input=how)
                    continue
            if theirs["failed"]:
                if held.same_inputs:
                    self._differ(row, f"AFTER: {_why(theirs['failed'])}", input=how)
                continue
            for name, mine in ours["rows"].items():
                if second is not None and second["rows"].get(name) != mine:
                    self._unstable(
                        row, "BEFORE gives another value each time", part=name, input=how
                    )
                    continue
                new = flat(outputs, name)
                if new not in theirs["rows"]:
                    if not held.outputs_known or new in held.after["outputs"]:
                        self._differ(row, f"output {NOT_IN_AFTER}", 0, part=name, input=how)
                    continue
                self._compare_rows(
                    row, mine, theirs["rows"][new], (ours["outputs"], name),
                    (theirs["outputs"], new), part=name, input=how,
                )  # fmt: skip
            known = {flat(outputs, name) for name in ours["rows"]}
            for new in theirs["rows"]:
                if new not in known and not (held.outputs_known and new in held.after["outputs"]):
                    self._differ(row, f"output {NOT_IN_BEFORE}", 0, part=new, input=how)
        made = {name for one in held.ran for name in one["rows"]}
        for name in held.before["outputs"]:
            if name not in made:
                self._skip(row.kind, row.name, "a handle has no value", part=name)
        if not made and not held.before["outputs"]:
            self._skip(row.kind, row.name, "it returns nothing")

    def _compare_rows(
        self,
        row: Row,
        mine: Answer,
        theirs: Answer,
        before: tuple[str, str],
        after: tuple[str, str],
        **where: Any,
    ) -> None:
        """Two tensors by their digests; where these differ the tensors are measured."""
        if mine == theirs:
            self._verdict(row, "equal")
        elif not _same(mine, theirs):
            self._differ(row, f"{_spec(mine)} -> {_spec(theirs)}", **where)
        else:
            remark = Remark(self.tags, row.kind, row.name, self.loader, "differs", **where)
            self._measures.append((row, remark, {"before": before, "after": after}))

    def _unstable(self, row: Row, why: str, **where: Any) -> None:
        self._verdict(row, "unstable")
        self.report.unstable.append(
            Remark(self.tags, row.kind, row.name, self.loader, why, **where)
        )

    def _measure(self) -> None:
        """How far all that differs does; across devices it may be close enough."""
        pairs = [pair for _, _, pair in self._measures]
        if not pairs:
            return
        try:
            measures = self.before.worker.ask("compare", pairs=pairs, across=self.across)
        except Failed as failed:
            measures = [None] * len(pairs)
            self.report.notes.append(f"differences were not measured: {failed.words()}")
        for (row, remark, _), measure in zip(self._measures, measures, strict=True):
            if measure is not None and not measure["outside"]:
                self._verdict(row, "close")
                continue
            if measure is not None:
                remark.measure, remark.why = measure, measured(measure)
            self._verdict(row, "differs")
            self.report.differences.append(remark)

    # -- state --

    def _compare_state(self, before: Answer, after: Answer) -> None:
        if "died" in before:
            for kind in STATE:
                self._skip(kind, kind, f"BEFORE: {before['died']}")
            return
        if "died" in after:
            self._differ(self._row("load", "loading"), f"AFTER: its state: {after['died']}", 0)
            return
        lost = [name for name in after["variables"] if name not in before["variables"]]
        if lost and self.loader == "v2":
            # The path that is the first in BEFORE may have gone with what was stripped.
            more = self._state(self.before, paths=lost)
            if more is not None:
                before["variables"] = {**before["variables"], **more["variables"]}
        suspects = {
            kind: [n for n, row in before[kind].items() if after[kind].get(n, row) != row]
            for kind in ("variables", "tables")
        }
        kept: list[Answer | None] = [None, None]
        if any(suspects.values()):
            kept = [
                self._state(end, values=suspects, paths=suspects["variables"])
                for end in (self.before, self.after)
            ]
        for kind in STATE:
            self._compare_named(kind, before[kind], after[kind], kept)
        for end, answer in (("BEFORE", before), ("AFTER", after)):
            for op in answer["other"]:
                self._skip("state", printable(op), f"{end}: its state cannot be read")

    def _state(self, end: End, **options: Any) -> Answer | None:
        """What a fresh session holds before anything is run; None where it cannot be had."""
        none: Answer = {"only": []} if end is self.before else {"calls": []}
        try:
            return self._ask(end, state=True, **none, **options)
        except Failed:
            return None  # it could the first time: what that showed is what is known

    def _compare_named(
        self, kind: str, before: Answer, after: Answer, kept: list[Answer | None]
    ) -> None:
        again, other = kept
        if before or after:
            row = self._row(kind, kind)
        for name, mine in before.items():
            theirs = after.get(name)
            if theirs is None:
                self._skip(kind, kind, NOT_IN_AFTER, part=name)
            elif why := _no_value(mine):
                self._skip(kind, kind, f"BEFORE: {why}", part=name)
            elif why := _no_value(theirs):
                self._differ(row, f"AFTER: {why}", part=name)
            elif mine == theirs:
                self._verdict(row, "equal")
            elif kind == "assets":
                self._compare_assets(row, name, mine, theirs)
            elif again is not None and again[kind].get(name) != mine:
                self._unstable(row, "BEFORE has another value each time", part=name)
            elif kind == "tables":
                self._differ(row, _table_words(mine, theirs), part=name)
            elif again is None or other is None:
                self._differ(row, "differs", part=name)
            else:
                files = [answer["kept"]["variables"] for answer in (again, other)]
                self._compare_rows(row, mine, theirs, (files[0], name), (files[1], name), part=name)
        for name in after:
            if name not in before:
                self._skip(kind, kind, NOT_IN_BEFORE, part=name)

    def _compare_assets(self, row: Row, name: str, mine: Answer, theirs: Answer) -> None:
        if mine["sha256"] != theirs["sha256"]:
            sizes = " -> ".join(counted(of["bytes"], "byte") for of in (mine, theirs))
            self._differ(row, f"{printable(mine['file'])} has another content: {sizes}", part=name)
            return
        self._verdict(row, "equal")
        new = self.pair.assets.get(mine["file"], mine["file"])
        if theirs["file"] != new:
            names = f"{printable(mine['file'])} is called {printable(theirs['file'])}"
            self._note(f"asset {names} in AFTER")


def _named(id: str, calls: Iterable[str]) -> tuple[str, str]:
    """Kind and name of a call: a callable is told by its inputs only where it has to be."""
    kind, _, key = id.partition(":")
    if kind == "signature":
        return kind, key
    name = key.partition("(")[0]
    alone = sum(other.partition("(")[0] == f"callable:{name}" for other in calls) == 1
    return kind, f"loaded.{name if alone else key}"


def _sets(answer: Answer, id: str) -> list[Answer]:
    """What a call made of each input; empty where it is not there, or died."""
    sets: list[Answer] = answer["calls"].get(id, {}).get("sets", [])
    return sets


def _why(failed: Answer) -> str:
    """Why a call failed, as `Failed.words` says it."""
    return Failed("error", failed["type"], failed["text"]).words()


def _same(one: Answer, other: Answer) -> bool:
    """Whether two specs or digests are of one dtype and shape."""
    return (one["dtype"], one["shape"]) == (other["dtype"], other["shape"])


def _spec(of: Answer) -> str:
    """``float32[?, 64]``."""
    if of["shape"] is None:
        return f"{printable(of['dtype'])}[...]"
    dims = ", ".join("?" if d is None else str(d) for d in of["shape"])
    return f"{printable(of['dtype'])}[{dims}]"


def _no_value(of: Answer) -> str | None:
    """Why a part of the state has no value that could be compared; None where it has one."""
    if "unreadable" in of:
        return printable(of["unreadable"])
    if of.get("sha256", "") is None:
        return f"there is no file {printable(of['file'])}"
    return None


def _table_words(before: Answer, after: Answer) -> str:
    n = counted(after["n"], "entry", "entries")
    if before["n"] != after["n"]:
        return f"{count(before['n'])} -> {n}"
    return f"{n}, other {'keys' if before['keys'] != after['keys'] else 'values'}"
