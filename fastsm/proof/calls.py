"""What signatures and functions of BEFORE make of inputs, held against AFTER's."""

from __future__ import annotations

from .failures import Failed
from .mapping import flat
from .pairs import NOT_ASKED, NOT_IN_AFTER, NOT_IN_BEFORE, map_hint, signature_hint
from .passes import same_spec, spec
from .report import REMOVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .pairs import Pair
    from .passes import Answer, End, Pass
    from .report import Row


def asked(run: Pass, before: Answer) -> list[dict[str, Any]]:
    """What AFTER is to run: what BEFORE could, on the same arrays."""
    return [
        _call(run.pair, id, target, call)
        for id, call in before["calls"].items()
        if run.wanted is None or id in run.wanted
        for target in _targets(run.pair, id)
        if any(not one["failed"] for one in call["sets"])
    ]


def compare_calls(run: Pass, before: Answer, after: Answer) -> None:
    """Hold all against each other that both have, and say what one of them lacks."""
    held = _held(run, before, after)
    for call in held:
        _compare_specs(run, call)
    _ask_again(run, held)
    for call in held:
        _compare_sets(run, call)


def _targets(pair: Pair, id: str) -> list[str]:
    """The ids of AFTER for one of BEFORE."""
    kind, _, key = id.partition(":")
    return [f"signature:{new}" for new in pair.renamed.after(key)] if kind == "signature" else [id]


def _inputs(pair: Pair, target: str) -> dict[str, str]:
    """BEFORE's name -> AFTER's, of the inputs of a call of AFTER that have another."""
    kind, _, key = target.partition(":")
    return pair.renamed.inputs(key) if kind == "signature" else {}


def _outputs(pair: Pair, target: str) -> dict[str, str]:
    """As `_inputs`, the outputs."""
    kind, _, key = target.partition(":")
    return pair.renamed.outputs(key) if kind == "signature" else {}


def _call(pair: Pair, id: str, target: str, call: Answer) -> dict[str, Any]:
    """A question for AFTER: a call on the inputs that it had as ``id`` in BEFORE."""
    names = _inputs(pair, target)
    inputs = {flat(names, old): old for old in call["inputs"] if flat(names, old) != old}
    sets = [{"inputs": one["inputs"]} for one in call["sets"] if not one["failed"]]
    return {"id": target, "as": id, "inputs": inputs, "sets": sets}


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


def _held(run: Pass, before: Answer, after: Answer) -> list[_Held]:
    """What can be held against each other; of all else why it is not."""
    pair, held, taken = run.pair, [], set()
    for id, call in before["calls"].items():
        kind, name = _named(id, before["calls"])
        targets = _targets(pair, id)
        taken.update(targets)
        if run.wanted is not None and id not in run.wanted:
            run.skip(kind, name, NOT_ASKED)
            continue
        if not targets:
            run.skip(kind, name, REMOVED)
        for target in targets:
            there = after["calls"].get(target)
            if there is None and kind == "callable":
                run.skip(kind, name, NOT_IN_AFTER)
                continue
            row = run.row(kind, name, None if target == id else target.partition(":")[2])
            if there is None:
                run.differ(row, NOT_IN_AFTER, 0, hint=signature_hint(name, pair))
                continue
            _skip_failed(run, row, call)
            one = _Held(id, target, row, call, there)
            row.loaders[run.loader]["inputs"] = len(one.ran)
            if one.ran:
                held.append(one)
    for id in after["calls"]:
        if id not in taken and run.wanted is None:
            run.skip(*_named(id, after["calls"]), NOT_IN_BEFORE)
    return held


def _skip_failed(run: Pass, row: Row, call: Answer) -> None:
    """Say what BEFORE itself could not do."""
    if "died" in call:
        run.skip(row.kind, row.name, f"BEFORE: {call['died']}")
    elif not call["sets"]:
        run.skip(row.kind, row.name, "no inputs could be made")
    reasons: dict[str, list[str]] = {}
    for one in call["sets"]:
        if one["failed"]:
            reasons.setdefault(_why(one["failed"]), []).append(one["how"])
    for why, hows in reasons.items():
        for how in [None] if len(hows) == len(call["sets"]) else hows:
            run.skip(row.kind, row.name, f"BEFORE: {why}", input=how)


def _compare_specs(run: Pass, held: _Held) -> None:
    """What a call takes and gives: names, dtypes, shapes."""
    sides = {"input": _inputs(run.pair, held.target), "output": _outputs(run.pair, held.target)}
    for side, names in sides.items():
        if side == "output" and not held.outputs_known:
            continue
        ours, theirs = held.before[f"{side}s"], held.after[f"{side}s"]
        new_of = {old: flat(names, old) for old in ours}
        spare = [new for new in theirs if new not in new_of.values()]
        lost = [old for old, new in new_of.items() if new not in theirs]
        found: list[tuple[str, str, str | None]] = []
        for old in lost:
            fits = [new for new in spare if same_spec(ours[old], theirs[new])]
            alike = [other for other in lost if same_spec(ours[old], ours[other])]
            one = len(fits) == len(alike) == 1 and held.row.kind == "signature"
            hint = map_hint(f"{held.row.name}:{old}={fits[0]}") if one else None
            found.append((old, f"{side} {NOT_IN_AFTER}", hint))
        found += [(new, f"{side} {NOT_IN_BEFORE}", None) for new in spare]
        for old, new in new_of.items():
            if new not in theirs:
                continue
            if not same_spec(ours[old], theirs[new]):
                why = f"{side} {spec(ours[old])} in BEFORE, {spec(theirs[new])} in AFTER"
                found.append((old, why, None))
            if ours[old].get("optional") != theirs[new].get("optional"):
                where = "BEFORE" if ours[old].get("optional") else "AFTER"
                found.append((old, f"{side} may be left out in {where} only", None))
            elif ours[old].get("default") != theirs[new].get("default"):
                found.append((old, f"{side} has another default", None))
        for part, why, hint in found:
            run.differ(held.row, why, 0, part=part, hint=hint)
        if side == "input":
            held.same_inputs = not found


def _ask_again(run: Pass, held: list[_Held]) -> None:
    """Ask BEFORE once more, in another session, for what is not equal at once: what it does
    differently itself is unstable. Where calls leave something behind, each of these gets
    sessions of its own, in both models."""
    moved = any(one["again"] is False for call in held for one in call.ran)
    suspects = [call for call in held if _is_suspect(run.pair, call)]
    if not suspects:
        return
    run.say("BEFORE once more")
    if not moved:
        answer = _again(run, run.before, suspects)
        for call in suspects:
            call.second = _sets(answer, call.id)
        return
    for call in suspects:
        first, call.second = (_sets(_again(run, run.before, [call]), call.id) for _ in range(2))
        if len(first) != len(call.ran) or any(one["failed"] for one in first):
            call.second = first  # it does not do it again: nothing can be held against it
            continue
        call.ran = [
            {**one, "rows": fresh["rows"], "outputs": fresh["outputs"]}
            for one, fresh in zip(call.ran, first, strict=True)
        ]
        answer = _again(run, run.after, [call])
        call.other = _sets(answer, call.target)
        call.after = {**call.after, **answer["calls"].get(call.target, {})}


def _again(run: Pass, end: End, held: list[_Held]) -> Answer:
    """These calls in a fresh session, on the inputs that they had."""
    calls = {}  # of a copy, two would ask for one
    for call in held:
        if end is run.after:
            calls[call.target] = _call(run.pair, call.id, call.target, call.before)
        else:
            same = _call(run.pair, call.id, call.id, call.before)
            calls[call.id] = {**same, "inputs": {}}
    try:
        return run.ask(end, calls=list(calls.values()))
    except Failed as failed:
        return {"calls": {id: {"sets": [], "died": failed.words()} for id in calls}}


def _is_suspect(pair: Pair, call: _Held) -> bool:
    """Whether AFTER does not give the same at once.

    Both ran the same calls in the same order: what one call leaves to the next is the same then.
    """
    if len(call.other) != len(call.ran):
        return True
    outputs = _outputs(pair, call.target)
    return any(
        theirs["failed"] or theirs["rows"].get(flat(outputs, name)) != row
        for ours, theirs in zip(call.ran, call.other, strict=True)
        for name, row in ours["rows"].items()
    )


def _compare_sets(run: Pass, held: _Held) -> None:
    """What came out, for each input."""
    row = held.row
    second = held.second
    if second is not None and (
        len(second) != len(held.ran) or any(one["failed"] for one in second)
    ):
        run.unstable(row, "BEFORE ran once, and not again")
        return
    if len(held.other) != len(held.ran):
        if held.same_inputs:
            run.differ(row, f"AFTER: {held.after.get('died') or 'does not run it'}")
        return
    for i, (ours, theirs) in enumerate(zip(held.ran, held.other, strict=True)):
        if not theirs["failed"]:
            _compare_outputs(run, held, ours, theirs, second[i]["rows"] if second else None)
        elif held.same_inputs:
            run.differ(row, f"AFTER: {_why(theirs['failed'])}", input=ours["how"])
    made = {name for one in held.ran for name in one["rows"]}
    for name in held.before["outputs"]:
        if name not in made:
            run.skip(row.kind, row.name, "a handle has no value", part=name)
    if not made and not held.before["outputs"]:
        run.skip(row.kind, row.name, "it returns nothing")


def _compare_outputs(
    run: Pass, held: _Held, ours: Answer, theirs: Answer, second: Answer | None
) -> None:
    """What came out of one input.

    Args:
        second: The digests that BEFORE gave in another session; None where it was not asked.
    """
    row, outputs, how = held.row, _outputs(run.pair, held.target), ours["how"]
    for name, mine in ours["rows"].items():
        new = flat(outputs, name)
        if second is not None and second.get(name) != mine:
            run.unstable(row, "BEFORE gives another value each time", part=name, input=how)
        elif new in theirs["rows"]:
            run.hold(
                row, mine, theirs["rows"][new], (ours["outputs"], name),
                (theirs["outputs"], new), part=name, input=how,
            )  # fmt: skip
        elif not held.outputs_known or new in held.after["outputs"]:
            run.differ(row, f"output {NOT_IN_AFTER}", 0, part=name, input=how)
    known = {flat(outputs, name) for name in ours["rows"]}
    for new in theirs["rows"]:
        if new not in known and not (held.outputs_known and new in held.after["outputs"]):
            run.differ(row, f"output {NOT_IN_BEFORE}", 0, part=new, input=how)


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
