"""One pair of meta graphs in one loader: what both are asked, and what is written down."""

from __future__ import annotations

import os
import shutil
import tempfile

from ..text import listed, printable, tag_set
from .failures import Failed
from .report import LOADERS, VERDICTS, ParityReport, Remark, Row, measured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..model import SavedModel
    from .pairs import Pair
    from .worker import Worker

    #: What the child says: JSON.
    Answer = dict[str, Any]


class End:
    """One of the two models, and the worker that runs it."""

    __slots__ = ("name", "path", "worker", "_folders")

    def __init__(self, name: str, model: SavedModel, worker: Worker) -> None:
        self.name, self.worker = name, worker
        self.path = os.path.abspath(model.folder)
        self._folders: list[str] = []

    def examine(self, loader: str, tags: Iterable[str], **options: Any) -> Answer:
        """Job "examine" in a fresh session. Raises Failed where the model does not load."""
        folder = tempfile.mkdtemp(dir=self.worker.folder)
        self._folders.append(folder)
        options = {"state": False, **options}
        answer: Answer = self.worker.ask(
            "examine", path=self.path, loader=loader, tags=list(tags), keep=folder, **options
        )
        return answer

    def clear(self) -> None:
        """Drop the arrays that its jobs kept."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()


class Pass:
    """One pair of meta graphs in one loader.

    Attributes:
        before, after: The two models.
        pair: The meta graphs.
        loader: "v2", "v1" or "cc".
        wanted: The ids of the calls of BEFORE that are asked for; None for all.
    """

    def __init__(
        self,
        report: ParityReport,
        pair: Pair,
        loader: str,
        ends: tuple[End, End],
        made: Answer,
        signatures: list[str] | None,
        progress: Callable[[str], object] | None,
    ) -> None:
        self.report, self.pair, self.loader = report, pair, loader
        self.before, self.after = ends
        self.wanted = None if signatures is None else [f"signature:{key}" for key in signatures]
        self._made, self._progress = made, progress
        self._tags = sorted(pair.before.tag_set)
        self._unmeasured: list[tuple[Row, Remark, dict[str, Any]]] = []

    def say(self, what: str) -> None:
        """Tell the caller what is done now."""
        if self._progress is not None:
            self._progress(f"{LOADERS[self.loader]} {tag_set(self._tags)}: {what}")

    # -- asking --

    def ask(self, end: End, **options: Any) -> Answer:
        """As `End.examine`; what is to be run is in the options."""
        graph = self.pair.before if end is self.before else self.pair.after
        return end.examine(self.loader, graph.tags, **options)

    def state(self, end: End, **options: Any) -> Answer | None:
        """What a fresh session holds before anything is run; None where it cannot be had now."""
        try:
            return self.ask(end, state=True, **options)
        except Failed:
            return None

    def examine(self, end: End, calls: list[dict[str, Any]] | None = None) -> Answer:
        """The model loaded, described and run: BEFORE on inputs that it makes, AFTER on those.

        Where that ends the process or takes too long, it is found out what does: then all else
        is done, and ``died`` says why of what was not.

        Args:
            calls: What AFTER is to run.

        Raises:
            Failed: It does not load.
        """
        first = end is self.before
        how: Answer = {"want": self._made, "twice": True} if first else {}
        asked: Answer = {"only": self.wanted} if first else {"calls": calls}
        try:
            return self.ask(end, state=True, **asked, **how)
        except Failed as failed:
            if failed.kind == "error":
                raise
            whole = failed
        try:
            answer = self.ask(end, state=True)
        except Failed as failed:
            if failed.kind != "abort":
                raise
            answer = self.ask(end)
            answer["died"] = failed.words()
        if first:
            ids = [id for id in answer["calls"] if self.wanted is None or id in self.wanted]
            each: dict[str, Answer] = {id: {"only": [id]} for id in ids}
        else:
            each = {one["id"]: {"calls": [one]} for one in calls or ()}
        limit = end.worker.timeout_s if whole.kind == "timeout" else None
        # Where loading alone takes most of the time, no call by itself would end in time.
        slow = limit is not None and sum(answer["seconds"].values()) > limit / 2
        for id, alone in each.items():
            if id not in answer["calls"]:
                continue
            try:
                if slow:
                    raise whole
                answer["calls"][id] = self.ask(end, **alone, **how)["calls"][id]
            except Failed as failed:
                answer["calls"][id]["died"] = failed.words()
        return answer

    # -- writing down --

    def row(self, kind: str, name: str, after: str | None = None) -> Row:
        """The row of that name, with a cell for this loader."""
        for row in self.report.rows:
            if (row.meta_graph, row.kind, row.name, row.after) == (self._tags, kind, name, after):
                break
        else:
            row = Row(self._tags, kind, name, after)
            self.report.rows.append(row)
        row.loaders.setdefault(self.loader, {"verdict": "not compared", "inputs": 0, "compared": 0})
        return row

    def verdict(self, row: Row, verdict: str, n: int = 1) -> None:
        """Add what came of ``n`` comparisons: the gravest verdict counts."""
        cell = row.loaders[self.loader]
        if verdict != "unstable":
            cell["compared"] += n
        cell["verdict"] = min(cell["verdict"], verdict, key=VERDICTS.index)

    def differ(self, row: Row, why: str, n: int = 1, **more: Any) -> None:
        """Add a difference; ``n`` is 0 where no two things were held against each other."""
        self.verdict(row, "differs", n)
        self.report.differences.append(self._remark(row, why, **more))

    def unstable(self, row: Row, why: str, **where: Any) -> None:
        """Add what BEFORE itself does differently each time."""
        self.verdict(row, "unstable")
        self.report.unstable.append(self._remark(row, why, **where))

    def skip(self, kind: str, name: str, why: str, **where: Any) -> None:
        """Add what is not compared."""
        self.report.not_compared.append(Remark(self._tags, kind, name, self.loader, why, **where))

    def _remark(self, row: Row, why: str, **more: Any) -> Remark:
        return Remark(
            self._tags, row.kind, row.name, self.loader, why, after=row.after, **more
        )

    def hold(
        self,
        row: Row,
        mine: Answer,
        theirs: Answer,
        before: tuple[str, str],
        after: tuple[str, str],
        **where: Any,
    ) -> None:
        """Hold two tensors against each other.

        Args:
            mine, theirs: Their digests.
            before, after: The file and the name in it of each: where the digests differ, they
                are measured later, all at once.
        """
        if mine == theirs:
            self.verdict(row, "equal")
        elif not same_spec(mine, theirs):
            self.differ(row, f"{spec(mine)} -> {spec(theirs)}", **where)
        else:
            remark = self._remark(row, "differs", **where)
            self._unmeasured.append((row, remark, {"before": before, "after": after}))

    def measure(self) -> None:
        """How far all lies apart that differs; across devices it may be close enough."""
        if not self._unmeasured:
            return
        pairs = [pair for _, _, pair in self._unmeasured]
        across = not self.report.settings["bit_for_bit"]
        try:
            measures = self.before.worker.ask("compare", pairs=pairs, across=across)
        except Failed as failed:
            measures = [None] * len(pairs)
            self.note(f"differences were not measured: {failed.words()}")
        for (row, remark, _), measure in zip(self._unmeasured, measures, strict=True):
            if measure is not None and not measure["outside"]:
                self.verdict(row, "close")
                continue
            if measure is not None:
                remark.measure, remark.why = measure, measured(measure)
            self.verdict(row, "differs")
            self.report.differences.append(remark)

    def placed(self, end: End, answer: Answer) -> None:
        """Write down where it ran; what did not run on the device that was asked for is said."""
        placement, device = answer["placement"], end.worker.about["device"]
        of = self.report.placement.setdefault(end.name.lower(), {})
        devices = of.setdefault(self.loader, {})
        for name, n in placement["devices"].items():
            devices[name] = devices.get(name, 0) + n
        if device == "cpu" or not placement["devices"]:
            return
        if not any(name.startswith("GPU") for name in placement["devices"]):
            self.note(f"{LOADERS[self.loader]}: nothing of {end.name} ran on {device}")
        for why in dict.fromkeys(placement["elsewhere"].values()):
            ops = [op for op, reason in placement["elsewhere"].items() if reason == why]
            self.note(f"not on {device}: {listed(ops)} ({why})")

    def note(self, note: str) -> None:
        """Add what else the user should know, once."""
        if note not in self.report.notes:
            self.report.notes.append(note)


def same_spec(one: Answer, other: Answer) -> bool:
    """Whether two specs or digests are of one dtype and shape."""
    return (one["dtype"], one["shape"]) == (other["dtype"], other["shape"])


def spec(of: Answer) -> str:
    """``float32[?, 64]``."""
    if of["shape"] is None:
        return f"{printable(of['dtype'])}[...]"
    dims = ", ".join("?" if d is None else str(d) for d in of["shape"])
    return f"{printable(of['dtype'])}[{dims}]"
