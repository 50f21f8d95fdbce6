"""What a model holds once it is loaded: variables, lookup tables, assets."""

from __future__ import annotations

from collections import Counter

from ..text import count, counted, printable
from .failures import Failed
from .pairs import NOT_IN_AFTER, NOT_IN_BEFORE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .passes import Answer, Pass
    from .report import Row

#: What of a model's state is compared, in the order of the report.
STATE = ("variables", "tables", "assets")


def compare_state(run: Pass, before: Answer, after: Answer) -> None:
    """Hold against each other what is there before anything is run."""
    if "died" in before:
        for kind in STATE:
            run.skip(kind, kind, f"BEFORE: {before['died']}")
        return
    if "died" in after:
        run.differ(run.row("load", "loading"), f"AFTER: {after['died']}, when its state is read", 0)
        return
    pairs = {kind: _pairs(run, kind, before, after) for kind in STATE}
    again = other = None
    suspects = {
        kind: [(old, new) for old, new in pairs[kind] if before[kind][old] != after[kind][new]]
        for kind in ("variables", "tables")
    }
    if any(suspects.values()):
        values = [
            {kind: [pair[i] for pair in found] for kind, found in suspects.items()}
            for i in range(2)
        ]
        again = run.state(run.before, values=values[0])
        other = run.state(run.after, values=values[1])
    for kind in STATE:
        if before[kind] or after[kind]:
            run.row(kind, kind)
        for old, new in pairs[kind]:
            _compare(run, kind, (old, new), before, after, again, other)
    for end, answer in (("BEFORE", before), ("AFTER", after)):
        for op in answer["other"]:
            run.skip("state", printable(op), f"{end}: its state cannot be read")


def _pairs(run: Pass, kind: str, before: Answer, after: Answer) -> list[tuple[str, str]]:
    """(BEFORE's name, AFTER's) of what both have; the rest is said not to be compared.

    In v2 they are named by the first path that leads to them, and that may have gone with what
    was stripped: then BEFORE is asked what AFTER's path leads to there.
    """
    ours, theirs = before[kind], after[kind]
    lost = [name for name in theirs if name not in ours]
    same: dict[str, str] = {}
    if lost and run.loader == "v2":
        answer = run.state(run.before, paths=lost)
        same = {} if answer is None else answer["same"]
    partner = {new: same.get(new, new) for new in theirs if same.get(new, new) in ours}
    unknown = _moved(run, partner, before, after) if kind == "variables" else set()
    pairs = [(old, new) for new, old in partner.items()]
    taken = {old for old, _ in pairs}
    for old in ours:
        if old not in taken:
            run.skip(kind, kind, NOT_IN_AFTER, part=old)
    for new in theirs:
        if new not in partner and new not in unknown:
            run.skip(kind, kind, NOT_IN_BEFORE, part=new)
    place = {old: i for i, old in enumerate(ours)}
    return sorted(pairs, key=lambda pair: place[pair[0]])


def _moved(run: Pass, partner: dict[str, str], before: Answer, after: Answer) -> set[str]:
    """Find the variables whose paths lead to others now, by their own names.

    TensorFlow counts the elements of a list: where one was stripped, those behind it have other
    positions. Names say so where BEFORE has all those of AFTER; of a model that was made anew
    they count up, and paths are what it has in common.

    Args:
        partner: AFTER's path -> BEFORE's, which is put right.

    Returns:
        Paths in AFTER of which it is not known which variable of BEFORE they lead to.
    """
    ours, theirs = before["names"], after["names"]
    n_ours, n_theirs = Counter(ours.values()), Counter(theirs.values())
    if n_theirs.keys() - n_ours.keys():
        return set()
    alone = {name: path for path, name in ours.items() if n_ours[name] == 1}
    unknown = set()
    for new, name in theirs.items():
        old = partner.get(new)
        if old is not None and ours.get(old) == name:
            moves = n_ours[name] != n_theirs[name] and _in_list(new)
            if not moves or before["variables"][old] == after["variables"][new]:
                continue
        partner.pop(new, None)
        if n_theirs[name] == 1 and name in alone:
            partner[new] = alone[name]
        else:
            unknown.add(new)
            which = counted(n_ours[name], "variable")
            why = f"which of BEFORE's {which} {printable(name)} it was is not known"
            run.skip("variables", "variables", why, part=new)
    return unknown


def _in_list(path: str) -> bool:
    return any(part.isdigit() for part in path.split("/"))


def _compare(
    run: Pass,
    kind: str,
    names: tuple[str, str],
    before: Answer,
    after: Answer,
    again: Answer | None,
    other: Answer | None,
) -> None:
    """One variable, table or asset.

    Args:
        again, other: BEFORE and AFTER in a session more, with the values of what differs; None
            where they were not to be had.
    """
    row = run.row(kind, kind)
    old, new = names
    mine, theirs = before[kind][old], after[kind][new]
    if why := _no_value(mine):
        run.skip(kind, kind, f"BEFORE: {why}", part=old)
    elif (why := _no_value(theirs)) and kind == "variables" and run.pair.mended:
        run.skip(kind, kind, f"AFTER: {why}, since it was repaired", part=old)
    elif why:
        run.differ(row, f"AFTER: {why}", part=old)
    elif mine == theirs:
        run.verdict(row, "equal")
    elif kind == "assets":
        _compare_assets(run, row, old, mine, theirs)
    elif again is not None and again[kind].get(old) != mine:
        run.unstable(row, "BEFORE has another value each time", part=old)
    elif kind == "tables":
        run.differ(row, _table(run, names, mine, theirs, again, other), part=old)
    elif again is None or other is None:
        run.differ(row, "differs", part=old)
    else:
        files = [answer["kept"]["variables"] for answer in (again, other)]
        run.hold(row, mine, theirs, (files[0], old), (files[1], new), part=old)


def _no_value(of: Answer) -> str | None:
    """Why a part of the state has no value that could be compared; None where it has one."""
    if "unreadable" in of:
        return printable(of["unreadable"])
    if of.get("sha256", "") is None:
        return f"there is no file {printable(of['file'])}"
    return None


def _compare_assets(run: Pass, row: Row, name: str, mine: Answer, theirs: Answer) -> None:
    """By what is in the file; its name is only said."""
    if mine["sha256"] != theirs["sha256"]:
        sizes = " -> ".join(counted(of["bytes"], "byte") for of in (mine, theirs))
        run.differ(row, f"{printable(mine['file'])} has another content: {sizes}", part=name)
        return
    run.verdict(row, "equal")
    if theirs["file"] != run.pair.asset(mine["file"]):
        names = f"{printable(mine['file'])} is called {printable(theirs['file'])}"
        run.note(f"asset {names} in AFTER")


def _table(
    run: Pass,
    names: tuple[str, str],
    mine: Answer,
    theirs: Answer,
    again: Answer | None,
    other: Answer | None,
) -> str:
    """How two tables differ, in words."""
    n = counted(theirs["n"], "entry", "entries")
    words = n if mine["n"] == theirs["n"] else f"{count(mine['n'])} -> {n}"
    if again is None or other is None:
        return f"{words}, not the same ones"
    files = {end: of["kept"]["tables"] for end, of in (("before", again), ("after", other))}
    try:
        [found] = run.before.worker.ask("compare_tables", **files, names=[names])
    except Failed:
        return f"{words}, not the same ones"
    for what, verb in (("lost", "not in AFTER"), ("new", "not in BEFORE"), ("changed", "changed")):
        if what in found:
            first = printable(found[what]["key"])
            if what == "changed":
                first += f": {' -> '.join(map(printable, found[what]['values']))}"
            words += f"; {counted(found[what]['n'], 'key')} {verb} (first {first})"
    return words
