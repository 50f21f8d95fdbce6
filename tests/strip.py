"""Every model stripped: do the loaders compute what they did, and how much is left?

    python -m tests.strip [-j N] [MODEL...]    strip all anew, and write strip_verdicts.json
                                               and strip.md

What `agree` holds of an edit is held here of strip, on both levels, and what strip alone
promises: a second strip finds nothing to do; what is missing was named; and a model that a
session loader could not run, and now can, computes there what tf.saved_model.load did.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fastsm

from .agree import (
    FAMILIES,
    MEANINGS,
    REFUSALS,
    Case,
    Disagreement,
    Json,
    Trial,
    as_json,
    family,
    reason,
    record,
)
from .models import MODELS
from .oracle import Oracle, TensorFlowFailed
from .test_retag import contents

VERDICTS = Path(__file__).with_name("strip_verdicts.json")
TABLE = Path(__file__).with_name("strip.md")

LEVELS = ("serving", "callables")

OPTIONS = "serving, --strip-debug --keep-save"
DROPPED = "serving, --drop-signature train"

#: What is done to each model, by case.
CASES: dict[str, Json] = {
    **{level: {"level": level} for level in LEVELS},
    OPTIONS: {"strip_debug": True, "keep_save": True},
}

#: What is also done to one that has a signature that trains.
MORE = {"train_signature": {DROPPED: {"drop_signatures": ["train"]}}}
COUNTS = ("nodes", "functions", "function_nodes", "objects", "variables")


class StripTrial(Trial):
    """A model, and what TensorFlow makes of it once it is stripped."""

    def strip(self, scratch: Path, **asked: Any) -> Json:
        """Strips the model into another folder, and looks at what is there.

        Args:
            asked: What strip is asked for.

        Returns:
            verdict: "equal", "loads" or "edited" as `Trial.run` has them, and what loads now
                or runs now; "refused: ..."; "nothing to do".
            before, after: bytes of saved_model.pb and variables/, and what strip counts.
            drops: how much of each kind.

        Raises:
            Disagreement: It is not what it promises to be.
        """
        out = scratch / "stripped"
        try:
            result = fastsm.strip_training_graph(self._path, out=out, sync=False, **asked)
        except REFUSALS as refusal:
            self._expect(contents(self._path) == self.before, "refused, and yet files changed")
            self._expect(not out.exists(), "refused, and yet there is a folder")
            return {"verdict": f"refused: {reason(refusal)}"}
        self._expect(contents(self._path) == self.before, "the model itself changed")
        if not result.changed:
            return {"verdict": "nothing to do"}
        verdict = self.judge(Case("strip", [{"verb": "strip-training-graph", **asked}]), out)
        self._expect(not (lost := list(self._unnamed(result))), f"not named: {lost}")
        mended = list(self._mended())
        self._twice(out, asked)
        return {
            "verdict": ", ".join([verdict, *mended]),
            "before": _figures(result, 0),
            "after": _figures(result, 1),
            "drops": {k: len(names) for k, names in result.after["drops"].items() if names},
        }

    def _unnamed(self, result: fastsm.EditResult) -> Iterator[str]:
        """Signatures and methods that are not there any more, and nobody said so."""
        drops = result.after["drops"]
        for of, before in self.graphs.items():
            after = self.edited.graphs.get(of)
            if before.error or after is None or after.error:
                continue
            for key in set(before.signatures) - set(after.signatures) - set(drops["signatures"]):
                yield f"{of[1]} signature {key!r}"
            for method in sorted(set(before.methods) - set(after.methods)):
                name = method.rpartition("/")[0]
                if name not in {*drops["functions"], *drops["objects"]}:
                    yield f"{of[1]} method {name!r}"

    def _mended(self) -> Iterator[str]:
        """Loaders that run a signature now, and did not; they must agree with v2's before."""
        for of, after in self.edited.graphs.items():
            before, v2 = self.graphs.get(of), self.graphs.get((of[0], "v2"))
            if before is None or of[1] == "v2":
                continue
            runs = [
                key
                for key, rows in after.signatures.items()
                if isinstance(before.signatures.get(key, ""), str) and not isinstance(rows, str)
            ]
            for key in runs:
                wanted = "" if v2 is None else v2.signatures.get(key, "")
                if not isinstance(wanted, str) and wanted != after.signatures[key]:
                    raise Disagreement(f"{of[1]} {key!r} runs now, and is not what v2 computes")
            if runs and not before.error:
                yield f"{of[1]} runs {fastsm.text.tag_set(of[0])} now"

    def _twice(self, out: Path, asked: Json) -> None:
        """A stripped model stays as it is, in place and as a copy."""
        before = contents(out)
        asked = {k: v for k, v in asked.items() if k != "drop_signatures"}  # there is none now
        again = fastsm.strip_training_graph(out, in_place=True, sync=False, **asked)
        self._expect(not again.changed, "strips a stripped model once more")
        copy = out.with_name("again")
        fastsm.strip_training_graph(out, out=copy, sync=False, **asked)
        self._expect(contents(copy) == before, "a second strip gives other bytes")


def _figures(result: fastsm.EditResult, which: int) -> Json:
    sizes = {"pb": result.size_of("saved_model.pb"), "bytes": result.size_of("variables/")}
    counts = (result.before, result.after)[which]
    return {**{k: v[which] for k, v in sizes.items()}, **{k: counts[k] for k in COUNTS}}


def tried(name: str, path: Path, oracle: Oracle, only: str = "") -> Json:
    """What came of stripping a model, by level; a disagreement is a verdict "DISAGREES: ..."."""
    feeds = MODELS[name].feeds if name in MODELS else {}
    try:
        trial = StripTrial(path, feeds, oracle)
    except fastsm.FormatError as e:
        return {"unreadable": e.problem.partition("\n")[0]}
    except TensorFlowFailed as e:
        return {"unreadable by TensorFlow": e.verdict.text.replace(str(path), "PATH")[:100]}
    out: Json = {}
    for case, asked in {**CASES, **MORE.get(name, {})}.items():
        if case.startswith(only):
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    out[case] = trial.strip(Path(scratch), **asked)
                except Disagreement as e:
                    out[case] = {"verdict": f"DISAGREES: {e}"}
                except Exception as e:
                    out[case] = {"verdict": f"DISAGREES: {type(e).__name__}: {e}"}
    return out


# -- the table -----------------------------------------------------------------------


class Row(NamedTuple):
    """What a prototype in Python with protobuf made of a larger model of a kind.

    It was written before fastsm's strip, to learn what has to be done; its outputs were
    bit-identical too.
    """

    pb: tuple[int, int]
    bytes: tuple[int, int]
    nodes: tuple[int, int]
    functions: tuple[int, int]
    objects: tuple[int, int]


#: A model -> what the prototype made of one of the same kind, on the level serving.
PROTOTYPE = {
    "train_signature": Row((69489, 15903), (4308, 1442), (43, 12), (8, 5), (32, 11)),
    "keras_saved": Row((77627, 19031), (8809, 2751), (161, 13), (4, 3), (93, 15)),
    "keras_export": Row((57274, 21326), (5206, 2539), (88, 15), (5, 4), (28, 13)),
    "tf_keras_lstm": Row((729122, 50852), (34840, 10324), (77, 16), (92, 7), (167, 18)),
    "tf_keras_slots": Row((151180, 22231), (16908, 4360), (77, 15), (29, 3), (139, 17)),
    "v1_trained": Row((133464, 23545), (4565, 1271), (729, 135), (0, 0), (0, 0)),
    "v1_trained_ref": Row((105441, 19165), (4565, 1271), (492, 100), (8, 0), (0, 0)),
    "trained_flow": Row((304686, 64529), (1575580, 1574390), (53, 25), (92, 33), (72, 38)),
    "trained_ragged": Row((297780, 116117), (1575519, 1574436), (49, 24), (90, 43), (70, 37)),
    "random_state": Row((37229, 14480), (1427, 752), (22, 9), (8, 5), (19, 8)),
    "trained_conv": Row((25601, 16640), (5708, 5707), (17, 10), (4, 3), (10, 8)),
}

_COLUMNS = ("pb", "bytes", "nodes", "functions", "function_nodes", "objects", "variables")
_HEADS = (
    "saved_model.pb", "variables/", "nodes", "functions", "their nodes", "objects", "variables",
)  # fmt: skip


def table(recorded: Mapping[str, Json]) -> str:
    """Verdicts and sizes, as Markdown."""
    lines = [
        "# Every model stripped",
        "",
        "Written by `python -m tests.strip`; `tests/test_strip.py` holds it true. Bytes and",
        "counts are before → after, and under them what the loaders make of it:",
        "",
        *(f"- **{word}**: {meaning}." for word, meaning in MEANINGS.items()),
        "",
        "An original that a loader did not take or run is no rule for that loader. Where a",
        "session loader runs a signature now and did not before, its outputs are those that",
        "`tf.saved_model.load` gave before.",
    ]
    for level in (*CASES, DROPPED):
        lines += ["", f"## {level}", "", f"In all: {_counted(recorded, level)}.", ""]
        lines += _sums(recorded, level)
        if level == OPTIONS:
            continue
        lines += ["", _row("model", *_HEADS, "loaders"), "| --- |" + " --- |" * (len(_HEADS) + 1)]
        for kind in FAMILIES:
            rows = [(n, r[level]) for n, r in recorded.items() if family(n) == kind and level in r]
            for name, of in rows:
                if "after" in of:
                    lines.append(_row(name, *_changes(of), of["verdict"]))
    lines += [
        "",
        "## Beside the prototype",
        "",
        "strip was first written as a prototype in Python with protobuf, on larger models of",
        "the same kinds. What is left of each, in percent; level serving:",
        "",
        _row("kind", "saved_model.pb", "prototype", "nodes", "prototype", "objects", "prototype"),
        "| --- |" + " --- |" * 6,
    ]
    for name, row in PROTOTYPE.items():
        found = recorded.get(name, {})
        of = found.get(DROPPED, found.get("serving", {}))
        if "after" in of:
            cells = []
            for figure in ("pb", "nodes", "objects"):
                cells += [
                    _left(of["before"][figure], of["after"][figure]),
                    _left(*getattr(row, figure)),
                ]
            lines.append(_row(name, *cells))
    lines += ["", "## Not stripped", ""]
    for level in CASES:
        for name, r in recorded.items():
            verdict = r.get(level, {}).get("verdict", "")
            if verdict and "after" not in r[level]:
                lines.append(f"- {name}, {level}: {verdict}")
    for name, r in recorded.items():
        lines += [f"- {name}, {k}: {v}" for k, v in r.items() if k.startswith("unreadable")]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _changes(of: Json) -> list[str]:
    pairs = [(of["before"][c], of["after"][c]) for c in _COLUMNS]
    return [f"{a:,}" if a == b else f"{a:,} → {b:,}" for a, b in pairs]


def _left(before: int, after: int) -> str:
    return f"{100 * after / before:.0f} %" if before else "-"


def _counted(recorded: Mapping[str, Json], level: str) -> str:
    kinds = Counter(
        next((m for m in MEANINGS if r[level]["verdict"].startswith(m)), "DISAGREES")
        for r in recorded.values()
        if level in r
    )
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())


def _sums(recorded: Mapping[str, Json], level: str) -> Iterator[str]:
    for kind in FAMILIES:
        models = [r.get(level, {}) for name, r in recorded.items() if family(name) == kind]
        of = [r for r in models if "after" in r]
        if of:
            sums = [
                f"{head} {sum(r['before'][c] for r in of):,} → {sum(r['after'][c] for r in of):,}"
                for c, head in zip(_COLUMNS[:2], _HEADS[:2], strict=True)
            ]
            yield f"- {kind} ({len(of)}): {', '.join(sums)}"


def _write(recorded: Mapping[str, Json]) -> None:
    VERDICTS.write_text(as_json(recorded))
    TABLE.write_text(table(recorded))


if __name__ == "__main__":
    record("python -m tests.strip", tried, VERDICTS, _write)
