"""What parity says of two models, whatever TensorFlow makes of them: a worker that is told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import fastsm
from fastsm.cli.parity import lines
from fastsm.errors import MissingError, UsageError
from fastsm.proof.child import arrays
from fastsm.proof.child.compare import compare, compare_tables
from fastsm.proof.mapping import Mapping
from fastsm.proof.report import ParityReport
from fastsm.proof.worker import Failed

from .oracle import ROOT

Feed = dict[str, Any]
Run = Callable[[Feed, dict[str, Any]], Feed]

F32 = {"dtype": "float32", "shape": [None, 4]}


def linear(feed: Feed, session: dict[str, Any]) -> Feed:
    return {"y": feed["x"] * np.float32(2)}


class Call:
    def __init__(self, run: Run = linear, *, inputs: Any = None, outputs: Any = None) -> None:
        self.run = run
        self.inputs = {"x": F32} if inputs is None else inputs
        self.outputs = {"y": F32} if outputs is None else outputs


def columns(table: dict[bytes, int]) -> tuple[Any, Any]:
    keys = np.empty(len(table), object)
    keys[:] = list(table)
    return keys, np.array(list(table.values()), "int64")


def digest(table: dict[bytes, int] | None) -> dict[str, Any]:
    """What the job says of a table; one of None was never initialised."""
    if table is None:
        return {"unreadable": "not initialised"}
    keys, values = columns(table)
    return {"n": len(table), "keys": arrays.row(keys), "values": arrays.row(values)}


class Told:
    """A model as the loaders are told to see it."""

    def __init__(self, **calls: Any) -> None:
        self.calls: dict[str, Call] = {
            f"signature:{key}": call if isinstance(call, Call) else Call(call)
            for key, call in (calls or {"rank": linear}).items()
        }
        self.variables: dict[str, Any] = {"w": np.arange(6, dtype="float32").reshape(2, 3)}
        self.tables: dict[str, Any] = {}
        self.assets: dict[str, Any] = {}
        self.other: list[str] = []
        self.same: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.seconds = 0.0
        self.devices, self.elsewhere = {"CPU:0": 2}, {}
        self.loads: Callable[[str, dict[str, Any]], None] = lambda loader, options: None

    def examine(
        self, *, path: str, loader: str, tags: list[str], keep: str, state: bool,
        want: Any = None, calls: Any = None, only: Any = None, twice: bool = False,
        values: Any = None, paths: Any = (),
    ) -> dict[str, Any]:  # fmt: skip
        session: dict[str, Any] = {}
        self.loads(loader, {"state": state, "calls": calls, "only": only})
        out: dict[str, Any] = {
            "calls": {
                id: {"inputs": call.inputs, "outputs": call.outputs, "sets": []}
                for id, call in self.calls.items()
                if loader == "v2" or id.startswith("signature:")
            },
            "variables": {}, "tables": {}, "assets": {}, "other": [], "kept": {},
            "names": self.names,
            "placement": {"devices": self.devices, "elsewhere": self.elsewhere},
            "seconds": {"load": self.seconds, "state": 0.0, "run": 0.0},
        }  # fmt: skip
        if state:
            out["variables"] = {name: arrays.row(a) for name, a in self.variables.items()}
            out["tables"] = {name: digest(table) for name, table in self.tables.items()}
            out.update(assets=self.assets, other=self.other)
        if values is not None:
            out["kept"]["variables"] = os.path.join(keep, "variables")
            kept = {name: self.variables[name] for name in values["variables"]}
            arrays.save(out["kept"]["variables"], kept)
            out["kept"]["tables"] = os.path.join(keep, "tables")
            parts = {}
            for name in values["tables"]:
                if self.tables[name] is not None:
                    parts[f"{name}/keys"], parts[f"{name}/values"] = columns(self.tables[name])
            arrays.save(out["kept"]["tables"], parts)
        if paths:
            out["same"] = {path: self.same[path] for path in paths if path in self.same}
        asked = calls
        if asked is None and want is None:
            asked = []
        if asked is None:
            asked = [{"id": id, "made": True} for id in out["calls"] if only is None or id in only]
        asked = [one for one in asked if one["id"] in out["calls"]]
        ran = []
        for one in asked:
            call = self.calls[one["id"]]
            for i, n in enumerate((1, 3)):
                kept_as = os.path.join(keep, f"{len(os.listdir(keep))}")
                if "made" in one:
                    feed = {
                        alias: np.full([n if d is None else d for d in spec["shape"]], n, "float32")
                        for alias, spec in call.inputs.items()
                    }
                    arrays.save(kept_as + "i", feed)
                elif i < len(one["sets"]):
                    given = arrays.load(one["sets"][i]["inputs"])
                    feed = {}
                    for alias in call.inputs:
                        old = one["inputs"].get(alias, alias)
                        if old in given:
                            feed[alias] = given[old]
                else:
                    continue
                made = {"how": f"unknown dimensions {n}", "inputs": kept_as + "i", "outputs": None,
                        "rows": {}, "failed": None, "again": None}  # fmt: skip
                try:
                    result = call.run(feed, session)
                except Failed:
                    raise
                except Exception as e:
                    made["failed"] = {"type": type(e).__name__, "text": str(e), "cause": "other"}
                else:
                    made["outputs"] = kept_as + "o"
                    arrays.save(kept_as + "o", result)
                    made["rows"] = {name: arrays.row(a) for name, a in result.items()}
                    ran.append((call, feed, made))
                out["calls"][one["id"]]["sets"].append(made)
        for call, feed, made in ran if twice else ():
            again = call.run(feed, session)
            made["again"] = made["rows"] == {n: arrays.row(a) for n, a in again.items()}
        return out


class Teller:
    """The worker: each model's folder has what it is told."""

    models: ClassVar[dict[str, Told]] = {}
    asked: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, setting: Any, *, timeout_s: float | None = None) -> None:
        self.setting, self.timeout_s = setting, timeout_s
        self.folder = tempfile.mkdtemp()
        self.about = {
            "tensorflow": "2.21.0", "device": setting.device, "gpus": [], "note": None,
        }  # fmt: skip

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *exc: object) -> None:
        assert os.listdir(self.folder) == []  # what jobs kept is gone
        shutil.rmtree(self.folder)

    def ask(self, job: str, **options: Any) -> Any:
        if job != "examine":
            return {"compare": compare, "compare_tables": compare_tables}[job](**options)
        self.asked.append({"model": self.models[options["path"]], **options})
        return self.models[options["path"]].examine(**options)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Teller]]:
    monkeypatch.setattr("fastsm.proof.parity.Worker", Teller)
    Teller.models, Teller.asked = {}, []
    yield Teller


RANKER, TAGGER = (str(ROOT / "examples" / name / "1") for name in ("ranker", "tagger"))


@pytest.fixture
def held(told: type[Teller], tmp_path: Path) -> Callable[..., ParityReport]:
    """Two models that are told, held against each other; their folders are those of `ranker`."""

    def report(before: Told, after: Told, **options: Any) -> ParityReport:
        new = str(tmp_path / "after")
        shutil.copytree(RANKER, new, dirs_exist_ok=True)
        told.models = {RANKER: before, new: after}
        return fastsm.parity(RANKER, new, **options)

    return report


def verdicts(report: ParityReport) -> dict[str, set[str]]:
    return {r.title: {of["verdict"] for of in r.loaders.values()} for r in report.rows}


def whys(remarks: list[Any]) -> dict[Any, set[str]]:
    out: dict[Any, set[str]] = {}
    for r in remarks:
        out.setdefault(r.name if r.part is None else (r.name, r.part), set()).add(r.why)
    return out


def test_equal(held: Callable[..., ParityReport]) -> None:
    report = held(Told(rank=linear, order=linear), Told(rank=linear, order=linear))
    assert report.equal and report.exit_code == 0
    assert verdicts(report) == {"rank": {"equal"}, "order": {"equal"}, "variables": {"equal"}}
    assert report.compared == 3 * (2 + 2 + 1)
    assert not report.differences and not report.unstable and not report.not_compared
    assert lines(report) == [
        "rank        v2 equal   v1 equal   C++ equal   (2 inputs)",
        "order       v2 equal   v1 equal   C++ equal   (2 inputs)",
        "variables   v2 equal   v1 equal   C++ equal   (1)",
        "bit for bit: TensorFlow 2.21.0, cpu, 1 thread, seed 0, oneDNN off, TF32 off",
        "parity: equal",
    ]


def test_another_value_is_shown(held: Callable[..., ParityReport]) -> None:
    def other(feed: Feed, session: dict[str, Any]) -> Feed:
        y = linear(feed, session)["y"]
        y[-1, 2] = np.nextafter(y[-1, 2], np.float32(9))
        return {"y": y}

    report = held(Told(), Told(rank=other))
    assert report.exit_code == 1 and not report.equal
    assert [r.measure["ulp"] for r in report.differences if r.measure] == [1] * 6
    assert lines(report)[:3] == [
        "rank        v2 differs   v1 differs   C++ differs   (2 inputs)",
        "  y   1 of 4 elements, by up to 1 ulp, relative 1.2e-07   (2 of 2 inputs)",
        "    first [0, 2]: 2.0 -> 2.0000002",
    ]
    assert lines(report)[-1] == "parity: differs in rank"


def test_a_row_that_only_some_loaders_see_otherwise(held: Callable[..., ParityReport]) -> None:
    def by_loader() -> Told:
        told = Told()
        told.loads = lambda loader, options: setattr(
            told, "variables", {"w": np.float32([loader == "v1"])}
        )
        return told

    report = held(Told(), by_loader(), loaders=["v1", "cc"])
    assert report.loaders == ["v1", "cc"]
    assert verdicts(report)["variables"] == {"differs"}


def wide(feed: Feed, session: dict[str, Any]) -> Feed:
    return {"y": np.float64(feed["x"] * 2)}


def tall(feed: Feed, session: dict[str, Any]) -> Feed:
    return {"y": (feed["x"] * np.float32(2)).T}


def breaks(feed: Feed, session: dict[str, Any]) -> Feed:
    raise ValueError("Op type not registered 'Foo' in binary")


def dies(feed: Feed, session: dict[str, Any]) -> Feed:
    raise Failed("abort", "SIGABRT", "Check failed: n > 0")


def other(feed: Feed, session: dict[str, Any]) -> Feed:
    return {"y": feed["x"] * np.float32(3)}


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (Call(wide), "float32[1, 4] -> float64[1, 4]"),
        (Call(tall), "float32[1, 4] -> float32[4, 1]"),
        (Call(breaks), 'AFTER: needs the op "Foo"'),
        (Call(dies), "AFTER: ended TensorFlow's process (SIGABRT): Check failed: n > 0"),
        (Call(other), "4 of 4 elements, by up to 4,194,304 ulp, relative 0.5"),
        (Call(outputs={"z": F32}, run=lambda f, s: {"z": f["x"]}), "output not in AFTER"),
        (Call(outputs={"y": F32, "z": F32}, run=lambda f, s: {"y": f["x"] * 2, "z": f["x"]}),
         "output not in BEFORE"),
        (Call(outputs={}, run=lambda f, s: {"z": f["x"]}), "output not in AFTER"),
        (Call(inputs={}, run=lambda f, s: {"y": 1 / 0}), "input not in AFTER"),
        (Call(inputs={"x": F32, "z": F32}, run=breaks), "input not in BEFORE"),
        (Call(inputs={"x": {"dtype": "float64", "shape": [None, 4]}}, run=breaks),
         "input float32[?, 4] in BEFORE, float64[?, 4] in AFTER"),
        (Call(inputs={"x": {**F32, "default": "a"}}), "input has another default"),
        (Call(inputs={"x": {**F32, "optional": True}}), "input may be left out in AFTER only"),
        (Call(inputs={"x": {"dtype": "float32", "shape": None}}),
         "input float32[?, 4] in BEFORE, float32[...] in AFTER"),
    ],
)  # fmt: skip
def test_each_kind_of_difference_of_a_call(
    after: Call, why: str, held: Callable[..., ParityReport]
) -> None:
    report = held(Told(rank=linear, order=linear), Told(rank=after, order=linear))
    assert report.verdict == "differs" and report.exit_code == 1
    found = [w for ws in whys(report.differences).values() for w in ws]
    assert any(w.startswith(why) for w in found), found
    assert {r.loader for r in report.differences} == {"v2", "v1", "cc"}
    assert verdicts(report) == {"rank": {"differs"}, "order": {"equal"}, "variables": {"equal"}}
    assert {r.name for r in report.differences} == {"rank"}
    assert report.unstable == [] == report.not_compared


def test_a_missing_input_says_nothing_else(held: Callable[..., ParityReport]) -> None:
    """That it does not run, then, is no news."""
    report = held(Told(), Told(rank=Call(inputs={}, run=breaks)), loaders="v1")
    assert whys(report.differences) == {("rank", "x"): {"input not in AFTER"}}


def test_a_missing_signature(held: Callable[..., ParityReport]) -> None:
    report = held(Told(rank=linear, order=linear), Told(rank=linear, sort=linear))
    assert whys(report.differences) == {"order": {"not in AFTER"}}
    assert whys(report.not_compared) == {"sort": {"not in BEFORE"}}
    assert verdicts(report)["order"] == {"differs"}
    assert lines(report)[-1].startswith("parity: differs in order.  not compared: sort (")


def test_callables_of_both_are_compared(held: Callable[..., ParityReport]) -> None:
    before, after = Told(), Told()
    for id in (
        "callable:serve(float32[?, 4])",
        "callable:f(x)",
        "callable:f(y)",
        "callable:gone()",
    ):
        before.calls[id] = Call()
        after.calls[id] = Call(other if id == "callable:f(y)" else linear)
    del after.calls["callable:gone()"]
    after.calls["callable:new()"] = Call()
    report = held(before, after)
    assert verdicts(report) == {
        "rank": {"equal"}, "loaded.serve": {"equal"}, "loaded.f(x)": {"equal"},
        "loaded.f(y)": {"differs"}, "variables": {"equal"},
    }  # fmt: skip
    assert [set(r.loaders) for r in report.rows if r.kind == "callable"] == [{"v2"}] * 3
    assert whys(report.not_compared) == {
        "loaded.gone": {"not in AFTER"}, "loaded.new": {"not in BEFORE"},
    }  # fmt: skip


# -- what BEFORE cannot do ---------------------------------------------------------------


def never(*loaders: str, kind: str = "error", text: str = "no") -> Callable[..., None]:
    def loads(loader: str, options: dict[str, Any]) -> None:
        if loader in loaders:
            raise Failed(kind, "ValueError" if kind == "error" else "SIGSEGV", text)

    return loads


@pytest.mark.parametrize("kind", ["error", "abort", "timeout"])
def test_a_loader_that_does_not_load_before_is_no_difference(
    kind: str, held: Callable[..., ParityReport], told: type[Teller]
) -> None:
    before = Told()
    before.loads = never("v2", kind=kind)
    report = held(before, Told())
    assert report.equal and all("v2" not in row.loaders for row in report.rows)
    [skipped] = report.not_compared
    assert (skipped.loader, skipped.kind) == ("v2", "load") and "BEFORE: " in skipped.why
    assert not [a for a in told.asked if a["loader"] == "v2" and a["model"] is not before]


def test_nothing_compared_is_not_equal(held: Callable[..., ParityReport]) -> None:
    before = Told()
    before.loads = never("v2", "v1", "cc", text="Op type not registered 'Foo' in binary")
    report = held(before, Told())
    assert (report.equal, report.compared, report.exit_code) == (False, 0, 7)
    assert lines(report, quiet=True)[-1] == "parity: nothing compared"
    assert any("Foo" in line for line in lines(report, quiet=True))


def test_variables_alone_do_not_make_a_model_equal(held: Callable[..., ParityReport]) -> None:
    report = held(Told(rank=breaks), Told(rank=breaks))
    assert verdicts(report) == {"rank": {"not compared"}, "variables": {"equal"}}
    assert (report.equal, report.exit_code) == (False, 7)
    assert {r.loader for r in report.not_compared} == {"v2", "v1", "cc"}


def test_a_model_without_anything_to_call_is_its_state(held: Callable[..., ParityReport]) -> None:
    before, after = Told(), Told()
    before.calls, after.calls = {}, {}
    assert held(before, after).exit_code == 0
    before.calls["callable:f()"] = Call()
    assert held(before, after).exit_code == 7  # it could be called, and cannot be any more


def test_a_signature_that_before_cannot_run(held: Callable[..., ParityReport]) -> None:
    report = held(Told(rank=linear, order=breaks), Told(rank=linear, order=linear))
    assert report.equal
    assert verdicts(report)["order"] == {"not compared"}
    assert {(r.name, r.input) for r in report.not_compared} == {("order", None)}


def test_an_input_that_before_does_not_take(held: Callable[..., ParityReport]) -> None:
    def one(feed: Feed, session: dict[str, Any]) -> Feed:
        if len(feed["x"]) > 1:
            raise ValueError("one at a time")
        return linear(feed, session)

    report = held(Told(rank=one), Told(rank=one))
    assert report.equal and report.rows[0].loaders["v1"]["inputs"] == 1
    assert {r.input for r in report.not_compared} == {"unknown dimensions 3"}


def test_a_call_that_kills_before_is_told_from_the_others(
    held: Callable[..., ParityReport],
) -> None:
    report = held(Told(rank=linear, order=dies), Told(rank=linear, order=linear))
    assert report.equal and verdicts(report)["order"] == {"not compared"}
    [why] = whys(report.not_compared)["order"]
    assert why == "BEFORE: ended TensorFlow's process (SIGABRT): Check failed: n > 0"


def late(feed: Feed, session: dict[str, Any]) -> Feed:
    raise Failed("timeout", "", "no answer in 10 s")


@pytest.mark.parametrize("seconds", [4.0, 6.0])
def test_a_call_that_takes_too_long(
    seconds: float, held: Callable[..., ParityReport], told: type[Teller]
) -> None:
    """Where loading takes most of the time each call is not waited for by itself."""
    before = Told(rank=linear, order=late)
    before.seconds = seconds
    report = held(before, Told(rank=linear, order=linear), loaders="v1", timeout=10.0)
    slow = {"order"} if seconds < 5 else {"order", "rank"}
    assert {r.name for r in report.not_compared} == slow
    assert all("no answer in 10 s" in r.why for r in report.not_compared)
    assert report.exit_code == (0 if seconds < 5 else 7)
    assert len([a for a in told.asked if a["model"] is before]) == (4 if seconds < 5 else 2)


def test_a_model_that_takes_too_long_to_load_is_asked_twice(
    held: Callable[..., ParityReport], told: type[Teller]
) -> None:
    before = Told()
    before.loads = never("v1", kind="timeout")
    assert held(before, Told(), loaders="v1").exit_code == 7
    assert len(told.asked) == 2


def test_a_loader_that_does_not_load_after_is_a_difference(
    held: Callable[..., ParityReport],
) -> None:
    after = Told()
    after.loads = never("cc", text="broken")
    report = held(Told(), after)
    assert report.exit_code == 1
    assert [(r.loader, r.kind) for r in report.differences] == [("cc", "load")]
    assert "loading" in " ".join(lines(report)) and "C++ differs" in " ".join(lines(report))


def test_state_that_cannot_be_read(held: Callable[..., ParityReport]) -> None:
    def loads(loader: str, options: dict[str, Any]) -> None:
        if options["state"]:
            raise Failed("abort", "SIGSEGV", "")

    before, after = Told(), Told()
    before.loads = loads
    report = held(before, after)
    assert report.equal and verdicts(report) == {"rank": {"equal"}}
    assert set(whys(report.not_compared)) == {"variables", "tables", "assets"}
    before.loads, after.loads = after.loads, loads
    report = held(before, after)
    assert report.exit_code == 1 and {r.kind for r in report.differences} == {"load"}
    assert verdicts(report)["rank"] == {"equal"}


# -- what is not the same each time ------------------------------------------------------


def counter(step: float = 1.0) -> Run:
    def count(feed: Feed, session: dict[str, Any]) -> Feed:
        session["n"] = session.get("n", 0.0) + step
        return {"y": feed["x"] * 0 + np.float32(session["n"])}

    return count


def random(seed: int) -> Run:
    generator = np.random.default_rng(seed)
    return lambda feed, session: {
        "y": generator.random(feed["x"].shape, "float32"), "z": feed["x"]
    }  # fmt: skip


def test_random_outputs_are_unstable_and_the_others_equal(
    held: Callable[..., ParityReport],
) -> None:
    both = {"y": F32, "z": F32}
    one, other = (Told(rank=Call(random(seed), outputs=both)) for seed in range(2))
    report = held(one, other)
    assert report.equal and verdicts(report)["rank"] == {"unstable"}
    assert whys(report.unstable) == {("rank", "y"): {"BEFORE gives another value each time"}}
    assert report.rows[0].loaders["v2"]["compared"] == 2  # z, on two inputs
    assert lines(report)[-1] == "parity: equal (unstable: rank)"
    assert any("unstable: y" in line for line in lines(report))


def test_a_random_output_hides_no_other_difference(held: Callable[..., ParityReport]) -> None:
    def changed(feed: Feed, session: dict[str, Any]) -> Feed:
        return {**random(1)(feed, session), "z": feed["x"] + np.float32(1)}

    both = {"y": F32, "z": F32}
    report = held(Told(rank=Call(random(0), outputs=both)), Told(rank=Call(changed, outputs=both)))
    assert report.exit_code == 1 and verdicts(report)["rank"] == {"differs"}
    assert {r.part for r in report.differences} == {"z"}
    assert {r.part for r in report.unstable} == {"y"}


def test_only_random_outputs_are_nothing_compared(held: Callable[..., ParityReport]) -> None:
    values = np.random.default_rng(0)

    def noise(feed: Feed, session: dict[str, Any]) -> Feed:
        return {"y": values.random(feed["x"].shape, "float32")}

    report = held(Told(rank=noise), Told(rank=noise))
    assert report.exit_code == 7 and report.unstable


def test_models_that_count_are_compared_at_once(
    held: Callable[..., ParityReport], told: type[Teller]
) -> None:
    """Both ran the same calls in the same order: what one leaves to the next is the same."""
    report = held(Told(rank=counter(), order=counter()), Told(rank=counter(), order=counter()))
    assert report.equal and not report.unstable
    assert len(told.asked) == 3 * 2
    report = held(Told(rank=counter(), order=counter()), Told(rank=counter(), order=counter(2)))
    assert verdicts(report) == {
        "rank": {"equal"}, "order": {"differs"}, "variables": {"equal"}
    }  # fmt: skip
    assert "1.0 -> 2.0" in " ".join(lines(report))


def test_models_that_count_are_compared_in_sessions_of_their_own(
    held: Callable[..., ParityReport], told: type[Teller]
) -> None:
    """Where AFTER lacks a call, those behind it find another state."""
    old, new = Told(rank=counter(), order=counter()), Told(rank=counter(), order=counter())
    old.calls = {"callable:first()": Call(counter()), **old.calls}
    report = held(old, new, loaders="v2")
    assert report.equal and not report.unstable
    alone = [a for a in told.asked if len(a.get("calls") or ()) == 1]
    assert len(alone) == 2 * 3  # each call: BEFORE twice, AFTER once


def test_a_value_that_changes_between_sessions_only(held: Callable[..., ParityReport]) -> None:
    sessions: list[int] = []

    def seeded(feed: Feed, session: dict[str, Any]) -> Feed:
        if "n" not in session:
            sessions.append(1)
            session["n"] = len(sessions)
        return {"y": feed["x"] * 0 + np.float32(session["n"])}

    report = held(Told(rank=linear, order=seeded), Told(rank=linear, order=seeded))
    assert verdicts(report)["order"] == {"unstable"} and report.equal


# -- state -------------------------------------------------------------------------------


def test_a_variable_of_another_value(held: Callable[..., ParityReport]) -> None:
    after = Told()
    after.variables["w"] = after.variables["w"].copy()
    after.variables["w"][1, 2] = 6
    report = held(Told(), after)
    assert whys(report.differences) == {
        ("variables", "w"): {"1 of 6 elements, by up to 2,097,152 ulp, relative 0.2"}
    }
    assert verdicts(report) == {"rank": {"equal"}, "variables": {"differs"}}
    assert "first [1, 2]: 5.0 -> 6.0" in " ".join(lines(report))


def test_a_variable_of_another_dtype(held: Callable[..., ParityReport]) -> None:
    after = Told()
    after.variables["w"] = after.variables["w"].astype("float64")
    report = held(Told(), after)
    assert whys(report.differences) == {("variables", "w"): {"float32[2, 3] -> float64[2, 3]"}}


def test_variables_that_one_of_them_lacks_are_named(held: Callable[..., ParityReport]) -> None:
    before, after = Told(), Told()
    before.variables |= {f"slot/{i}": np.float32(i) for i in range(9)}
    after.variables["new"] = np.float32(1)
    report = held(before, after)
    assert report.equal
    found = whys(report.not_compared)
    assert found["variables", "slot/0"] == {"not in AFTER"}
    assert found["variables", "new"] == {"not in BEFORE"}
    text = " ".join(lines(report))
    assert "variables: slot/0, slot/1, slot/2, ... (9): not in AFTER" in text


def test_a_variable_that_is_another_each_time(held: Callable[..., ParityReport]) -> None:
    before = Told()
    sessions: list[int] = []

    def loads(loader: str, options: dict[str, Any]) -> None:
        sessions.append(1)
        before.variables = {"w": np.float32([len(sessions)])}

    before.loads = loads
    report = held(before, Told())
    assert verdicts(report)["variables"] == {"unstable"}


TABLE = {b"a": 1, b"b": 2}


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({}, "2 -> 0 entries; 2 keys not in AFTER (first b'a')"),
        ({b"a": 1, b"b": 3}, "2 entries; 1 key changed (first b'b': 2 -> 3)"),
        ({b"a": 1, b"c": 2}, "2 entries; 1 key not in AFTER (first b'b'); 1 key not in BEFORE "
         "(first b'c')"),
        ({b"a": 1, b"b": 2, b"c": 3}, "2 -> 3 entries; 1 key not in BEFORE (first b'c')"),
        (None, "AFTER: not initialised"),
    ],
)  # fmt: skip
def test_tables(after: Any, why: str, held: Callable[..., ParityReport]) -> None:
    old, new = Told(), Told()
    old.tables = {"words": TABLE, "same": TABLE}
    new.tables = {"words": after, "same": TABLE}
    report = held(old, new)
    assert whys(report.differences) == {("tables", "words"): {why}}
    assert report.rows[-1].loaders["v1"] == {"verdict": "differs", "inputs": 0, "compared": 2}


def test_assets(held: Callable[..., ParityReport]) -> None:
    old, new = Told(), Told()
    old.assets = {f"asset{i}": {"file": f"{i}.txt", "sha256": "a", "bytes": 3} for i in range(3)}
    new.assets = {
        "asset0": {"file": "0.txt", "sha256": "b", "bytes": 4},
        "asset1": {"file": "one.txt", "sha256": "a", "bytes": 3},
    }
    report = held(old, new)
    assert whys(report.differences) == {
        ("assets", "asset0"): {"0.txt has another content: 3 bytes -> 4 bytes"}
    }
    assert "asset 1.txt is called one.txt in AFTER" in report.notes
    assert whys(report.not_compared) == {("assets", "asset2"): {"not in AFTER"}}


def test_state_that_nobody_can_read_is_named(held: Callable[..., ParityReport]) -> None:
    old = Told()
    old.other = ["BoostedTreesEnsembleResourceHandleOp"]
    report = held(old, Told())
    assert report.equal and "BoostedTrees" in " ".join(lines(report))


# -- what is asked for -------------------------------------------------------------------


def test_only_some_signatures(held: Callable[..., ParityReport]) -> None:
    before = Told(rank=linear, serving_default=other)
    before.calls["callable:f()"] = Call()
    report = held(before, Told(rank=linear, serving_default=linear), signatures="rank")
    assert report.equal
    assert whys(report.not_compared) == {
        "serving_default": {"not asked for"}, "loaded.f": {"not asked for"}
    }  # fmt: skip


def test_wrong_requests(tmp_path: Path, told: type[Teller]) -> None:
    with pytest.raises(MissingError, match="nope"):
        fastsm.parity(RANKER, RANKER, signatures="nope")
    with pytest.raises(UsageError, match="no loader 'c'"):
        fastsm.parity(RANKER, RANKER, loaders=["c"])
    with pytest.raises(MissingError, match="gpu"):
        fastsm.parity(RANKER, RANKER, tags="gpu")
    with pytest.raises(UsageError, match="checkpoint"):
        fastsm.parity(RANKER, f"{RANKER}/variables/variables")
    with pytest.raises(UsageError, match="one of them"):
        fastsm.parity(RANKER, RANKER, map=["rank=order"], receipt="r.json")
    with pytest.raises(UsageError, match="device"):
        fastsm.parity(RANKER, RANKER, device="tpu")
    assert told.asked == []


# -- across devices ----------------------------------------------------------------------


def nearly(feed: Feed, session: dict[str, Any]) -> Feed:
    return {"y": linear(feed, session)["y"] * np.float32(1 + 2e-6)}


def test_two_settings_are_compared_within_tolerances(
    held: Callable[..., ParityReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = held(Told(), Told(rank=nearly), after_device="gpu")
    assert report.verdict == "close" and report.exit_code == 0
    assert verdicts(report) == {"rank": {"close"}, "variables": {"equal"}}
    assert report.settings["bit_for_bit"] is False
    assert report.settings["tolerances"]["float32"] == (1e-5, 1e-6)
    assert lines(report)[-1].startswith("parity: close")
    assert "gpu" in report.settings["after"] and "cpu" in report.settings["before"]
    report = held(Told(), Told(rank=other), after_device="gpu")
    assert report.exit_code == 1


def test_what_did_not_run_on_the_gpu_is_named(held: Callable[..., ParityReport]) -> None:
    def on(devices: dict[str, int], elsewhere: dict[str, str]) -> Told:
        told = Told()
        told.devices, told.elsewhere = devices, elsewhere
        return told

    gpu = on({"CPU:0": 3, "GPU:0": 4}, {"HashTableV2": "no kernel there", "Const": "host"})
    report = held(gpu, gpu, device="gpu")
    assert report.notes == [
        "not on gpu: HashTableV2 (no kernel there)", "not on gpu: Const (host)"
    ]  # fmt: skip
    assert report.placement["after"]["cc"] == {"CPU:0": 3, "GPU:0": 4}
    assert report.settings["bit_for_bit"] and report.equal
    report = held(on({"CPU:0": 3}, {}), gpu, device="gpu", loaders="v1")
    assert report.notes[0] == "v1: nothing of BEFORE ran on gpu"
    assert held(on({"CPU:0": 3}, {}), Told()).notes == []


def test_one_device_by_two_names_is_one(held: Callable[..., ParityReport]) -> None:
    report = held(Told(), Told(rank=nearly), device="cpu", after_device="cpu")
    assert report.settings["bit_for_bit"] and report.exit_code == 1


def test_what_has_no_value_before_is_not_compared(held: Callable[..., ParityReport]) -> None:
    old, new = Told(), Told()
    old.tables, new.tables = {"t": None}, {"t": TABLE}
    old.assets = {"a": {"file": "a.txt", "sha256": None, "bytes": None}}
    new.assets = old.assets
    report = held(old, new)
    assert report.equal and whys(report.not_compared) == {
        ("tables", "t"): {"BEFORE: not initialised"},
        ("assets", "a"): {"BEFORE: there is no file a.txt"},
    }
    new.tables, old.tables = old.tables, new.tables
    assert whys(held(old, new).differences) == {("tables", "t"): {"AFTER: not initialised"}}


def test_outputs_that_have_no_value_are_named(held: Callable[..., ParityReport]) -> None:
    handle = {"dtype": "resource", "shape": []}
    both = Call(outputs={"y": F32, "h": handle})
    report = held(
        Told(rank=both, order=Call(lambda f, s: {}, outputs={})),
        Told(rank=both, order=Call(lambda f, s: {}, outputs={})),
    )
    assert report.equal
    assert whys(report.not_compared) == {
        ("rank", "h"): {"a handle has no value"}, "order": {"it returns nothing"}
    }  # fmt: skip
    assert verdicts(report)["order"] == {"not compared"}


# -- names -------------------------------------------------------------------------------


def test_renamed_signatures_inputs_and_outputs(told: type[Teller], tmp_path: Path) -> None:
    new = str(tmp_path / "after")
    with fastsm.edit(RANKER, out=new) as e:
        e.rename_input("rank", "user", "who")
        e.rename_output("rank", "scores", "points")
        e.rename_signature("rank", "order")
        e.copy_signature("order", "again")
        e.remove_signature("serving_default")

    def rank(feed: Feed, session: dict[str, Any]) -> Feed:
        return {"scores": feed["user"] * 2}

    def order(feed: Feed, session: dict[str, Any]) -> Feed:
        return {"points": feed["who"] * 2}

    before = Call(rank, inputs={"user": F32}, outputs={"scores": F32})
    after = Call(order, inputs={"who": F32}, outputs={"points": F32})
    told.models = {
        RANKER: Told(rank=before, serving_default=linear),
        new: Told(order=after, again=after),
    }
    assert e.result is not None
    from fastsm.proof.mapping import Mapping

    mapping = Mapping.of_edits(e.result.to_dict()["edits"], fastsm.open(RANKER))
    report = fastsm.parity(RANKER, new, map=mapping)
    assert report.equal
    assert verdicts(report) == {
        "rank -> order": {"equal"}, "rank -> again": {"equal"}, "variables": {"equal"}
    }  # fmt: skip
    assert whys(report.not_compared) == {"serving_default": {"removed by the edit"}}
    words = ["rank=order", "rank:user=who", "rank:scores=points"]
    report = fastsm.parity(RANKER, new, map=words)
    assert whys(report.differences) == {"serving_default": {"not in AFTER"}}
    assert whys(report.not_compared) == {"again": {"not in BEFORE"}}
    report = fastsm.parity(RANKER, new, map=["rank=order"])
    assert {r.hint for r in report.differences if r.name == "rank"} == {
        None,
        "renamed? --map rank:user=who", "renamed? --map rank:scores=points"
    }  # fmt: skip


def test_a_lost_signature_that_fits_a_new_one(told: type[Teller], tmp_path: Path) -> None:
    new = str(tmp_path / "after")
    fastsm.rename_signature(RANKER, "rank", "order", out=new)
    told.models = {
        RANKER: Told(rank=linear, serving_default=linear),
        new: Told(order=linear, serving_default=linear),
    }
    report = fastsm.parity(RANKER, new)
    assert {r.hint for r in report.differences} == {"renamed? --map rank=order"}
    assert "  not in AFTER" in lines(report)
    assert "    renamed? --map rank=order" in lines(report)


# -- several meta graphs -----------------------------------------------------------------


def graphs(told: type[Teller], after: str, **options: Any) -> ParityReport:
    told.models = {TAGGER: Told(serving_default=linear), after: Told(serving_default=linear)}
    return fastsm.parity(TAGGER, after, **options)


def test_meta_graphs_by_their_tags(told: type[Teller], tmp_path: Path) -> None:
    report = graphs(told, TAGGER)
    tags = [of["before"] for of in report.meta_graphs]
    assert len(tags) == 2 and report.equal
    assert [row.meta_graph for row in report.rows] == [tags[0]] * 2 + [tags[1]] * 2
    text = lines(report)
    assert text[0] == "{" + ", ".join(tags[0]) + "}" and text[1].startswith("  serving_default")
    asked = {tuple(a["tags"]) for a in told.asked}
    assert {tuple(sorted(t)) for t in asked} == {tuple(t) for t in tags}


def test_the_only_ones_left_over_are_held_against_each_other(
    told: type[Teller], tmp_path: Path
) -> None:
    new = str(tmp_path / "after")
    fastsm.retag(TAGGER, "serve", "gpu", out=new)
    report = graphs(told, new)
    assert report.equal
    assert report.notes == ["{serve} is held against {gpu}: the only ones left over"]
    assert "{serve} -> {gpu}" in lines(report)


def test_meta_graphs_that_one_of_them_lacks(told: type[Teller], tmp_path: Path) -> None:
    new = str(tmp_path / "after")
    fastsm.extract_meta_graph(TAGGER, "serve", out=new)
    report = graphs(told, new)
    assert report.exit_code == 1
    assert [(r.kind, r.meta_graph, r.why) for r in report.differences] == [
        ("meta_graph", ["train"], "not in AFTER")
    ]
    assert "{train}   not in AFTER" in lines(report)
    told.models = {new: Told(serving_default=linear), TAGGER: Told(serving_default=linear)}
    report = fastsm.parity(new, TAGGER)
    assert report.equal
    assert [(r.meta_graph, r.why) for r in report.not_compared] == [(["train"], "not in BEFORE")]


def test_a_meta_graph_that_was_removed_on_purpose(told: type[Teller], tmp_path: Path) -> None:
    new, receipt = str(tmp_path / "after"), tmp_path / "receipt.json"
    fastsm.remove_meta_graph(TAGGER, "train", out=new, receipt=receipt)
    report = graphs(told, new, receipt=receipt)
    assert report.equal and [r.meta_graph for r in report.not_compared] == [["train"]]


def test_one_meta_graph_that_is_asked_for(told: type[Teller]) -> None:
    report = graphs(told, TAGGER, tags="train")
    assert {tuple(row.meta_graph) for row in report.rows} == {("train",)}
    assert [(r.meta_graph, r.why) for r in report.not_compared] == [(["serve"], "not asked for")]


def test_what_has_another_first_path_in_after(held: Callable[..., ParityReport]) -> None:
    """A strip takes paths away: what is left of them leads to the same object in BEFORE."""
    old, new = Told(), Told()
    old.variables = {"optimizer/w": np.float32([1, 2]), "optimizer/m": np.float32([0])}
    new.variables = {"layer/w": np.float32([1, 2])}
    old.tables, new.tables = {"optimizer/t": TABLE}, {"layer/t": {b"a": 0, b"b": 2}}
    old.same = {"layer/w": "optimizer/w", "layer/t": "optimizer/t"}
    report = held(old, new, loaders="v2")
    assert whys(report.differences) == {
        ("tables", "optimizer/t"): {"2 entries; 1 key changed (first b'a': 1 -> 0)"}
    }
    assert whys(report.not_compared) == {("variables", "optimizer/m"): {"not in AFTER"}}
    assert verdicts(report)["variables"] == {"equal"}
    report = held(old, new, loaders="v1")  # names of nodes are what they are
    assert len(whys(report.not_compared)) == 5 and not report.differences


def test_elements_of_a_list_that_have_moved(held: Callable[..., ParityReport]) -> None:
    """A strip takes an element out, and TensorFlow counts what is left."""
    old, new = Told(), Told()
    one, other = np.float32([1, 2]), np.float32([3])
    old.variables = {"layers/0/w": np.float32([0]), "layers/1/w": one, "layers/2/w": other}
    old.names = {"layers/0/w": "a/w:0", "layers/1/w": "b/w:0", "layers/2/w": "c/w:0"}
    new.variables = {"layers/0/w": one, "layers/1/w": other}
    new.names = {"layers/0/w": "b/w:0", "layers/1/w": "c/w:0"}
    report = held(old, new, loaders="v2")
    assert report.equal
    assert whys(report.not_compared) == {("variables", "layers/0/w"): {"not in AFTER"}}
    new.variables["layers/1/w"] = np.float32([4])
    report = held(old, new, loaders="v2")
    assert list(whys(report.differences)) == [("variables", "layers/2/w")]
    # A model that was made anew counts its names on: then paths tell.
    new.names = {"layers/0/w": "c/w:0", "layers/1/w": "d/w:0"}
    report = held(old, new, loaders="v2")
    assert set(whys(report.differences)) == {
        ("variables", "layers/0/w"), ("variables", "layers/1/w")
    }  # fmt: skip


def test_elements_of_one_name_that_may_have_moved(held: Callable[..., ParityReport]) -> None:
    old, new = Told(), Told()
    old.variables = {f"w/{i}": np.float32([i]) for i in range(3)}
    old.names = dict.fromkeys(old.variables, "Variable:0")
    new.variables = {"w/0": np.float32([1])}
    new.names = {"w/0": "Variable:0"}
    report = held(old, new, loaders="v2")
    assert not report.differences
    why = "which of BEFORE's 3 variables Variable:0 it was is not known"
    assert whys(report.not_compared)["variables", "w/0"] == {why, "not in AFTER"}
    new.variables = dict(old.variables, **{"w/0": np.float32([5])})  # none is gone
    new.names = old.names
    assert list(whys(held(old, new, loaders="v2").differences)) == [("variables", "w/0")]


def test_a_variable_that_a_repair_leaves_without_a_value(
    held: Callable[..., ParityReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Told(), Told()
    examine = new.examine

    def without(**options: Any) -> dict[str, Any]:
        out = examine(**options)
        out["variables"] = {name: {"unreadable": "not initialised"} for name in out["variables"]}
        return out

    monkeypatch.setattr(new, "examine", without)
    report = held(old, new)
    assert whys(report.differences) == {("variables", "w"): {"AFTER: not initialised"}}
    report = held(old, new, map=Mapping.of_edits([{"verb": "repair"}], fastsm.open(RANKER)))
    assert report.equal
    why = "AFTER: not initialised, since it was repaired"
    assert whys(report.not_compared) == {("variables", "w"): {why}}


# -- the screen --------------------------------------------------------------------------


def test_traces_of_which_the_same_is_said_are_one_row(held: Callable[..., ParityReport]) -> None:
    before, after = Told(), Told()
    for i in range(6):
        id = f"callable:__call__(inputs: float32[?,224,224,3], training={i}, mask=None)"
        before.calls[id], after.calls[id] = Call(), Call(other if i in (2, 3) else linear)
    found = lines(held(before, after, loaders=["v2", "v1"]))
    assert found[:4] == [
        "rank                         v2 equal     v1 equal   (2 inputs)",
        "loaded.__call__ (4 traces)   v2 equal                (2 inputs)",
        "loaded.__call__ (2 traces)   v2 differs              (2 inputs)",
        "  y   4 of 4 elements, by up to 4,194,304 ulp, relative 0.5   (2 of 2 inputs)",
    ]
    assert found[-1] == "parity: differs in loaded.__call__"


def test_long_names_and_many_graphs_stay_within_the_screen(
    told: type[Teller], tmp_path: Path
) -> None:
    new = str(tmp_path / "after")
    fastsm.retag(TAGGER, "serve", {"serve", "gpu"}, out=new)
    name = "a_signature_of_a_name/that_is_longer/than_what_is_left_beside_three_columns"
    told.models = {
        TAGGER: Told(**{name: linear, "short": linear}), new: Told(**{name: other, "short": linear})
    }  # fmt: skip
    found = lines(fastsm.parity(TAGGER, new))
    assert max(map(len, found)) <= 80
    assert f"  {name}" in found and "{serve} -> {gpu, serve}" in found
    text = "    y   4 of 4 elements, by up to 4,194,304 ulp, relative 0.5   (2 of 2 inputs)"
    assert text in found


def test_a_difference_is_told_once_for_all_loaders(held: Callable[..., ParityReport]) -> None:
    def by_loader(loader: str) -> Told:
        told = Told()
        value = {"v1": 8.0, "cc": 4.0, "v2": 4.0}
        told.loads = lambda at, options: told.variables.update(w=np.float32([value[at]]))
        return told

    before, after = Told(), by_loader("v1")
    before.variables["w"] = np.float32([2.0])
    text = lines(held(before, after))
    assert "  w   1 of 1 element, by up to 8,388,608 ulp, relative 1   (v2, C++)" in text
    assert "  w   1 of 1 element, by up to 16,777,216 ulp, relative 3   (v1)" in text


def test_copies_are_told_apart(told: type[Teller], tmp_path: Path) -> None:
    new = str(tmp_path / "after")
    fastsm.copy_signature(RANKER, "rank", "again", out=new)
    from fastsm.proof.mapping import Mapping

    edits = [{"verb": "copy-signature", "key": "rank", "new": "again"}]
    mapping = Mapping.of_edits(edits, fastsm.open(RANKER))
    told.models = {RANKER: Told(rank=linear), new: Told(rank=linear, again=other)}
    report = fastsm.parity(RANKER, new, map=mapping)
    assert verdicts(report) == {
        "rank": {"equal"}, "rank -> again": {"differs"}, "variables": {"equal"}
    }  # fmt: skip
    assert {r.after for r in report.differences} == {"again"}
    assert sum("4,194,304 ulp" in line for line in lines(report)) == 1
