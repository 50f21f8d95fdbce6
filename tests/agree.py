"""Every edit on every model: does every loader see the new one, and compute what it did?

    python -m tests.agree [-j N] [MODEL...]    edit all anew, and write agree_verdicts.json
                                               and agree.md

A `Case` is edits as data. `Expected` does the same edits to what the loaders made of the
model before; what they make of the edited model must be equal to that, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import itertools
import json
import multiprocessing
import os
import re
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fastsm
from fastsm import cli
from fastsm.edits.repair import MENDERS
from fastsm.verbs.data import verbs
from fastsm.views import MetaGraph, Signature

from .models import MODELS
from .oracle import Loaded, Oracle, Survey, Tensor, TensorFlowFailed
from .tables import handles
from .test_retag import contents

VERDICTS = Path(__file__).with_name("agree_verdicts.json")
TABLE = Path(__file__).with_name("agree.md")

Json = dict[str, Any]
Graphs = dict[tuple[frozenset[str], str], Loaded]
Rows = dict[str, Tensor] | str

#: Tries a model: its name, where it is, and the cases that are wanted.
How = Callable[[str, Path, Oracle, str], Json]


class Case(NamedTuple):
    """Edits of one model as one.

    Attributes:
        name: Its row in the table; alone the verb, where that says all.
        edits: As `fastsm edit` takes them.
    """

    name: str
    edits: list[Json]


#: Errors that say why a model is not edited.
REFUSALS = (fastsm.RefusedError, fastsm.MissingError, fastsm.FormatError, fastsm.UnsupportedError)


class Disagreement(Exception):
    """An edit that a loader, verify or the inverse does not agree with."""


# -- which edits there are -----------------------------------------------------------


class Subject:
    """A model, and which of its things the edits are of.

    Attributes:
        graphs: The meta graphs that loaders can find, each with its signatures.
        graph, key: The meta graph and the signature that has most inputs, then outputs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = fastsm.open(path)
        assert isinstance(self.model, fastsm.SavedModel)
        sets = self.model.tag_sets
        self.graphs = [
            g for i, g in enumerate(self.model.meta_graphs) if g.tag_set not in sets[:i]
        ]
        all_of = [(g, key, s) for g in self.graphs for key, s in g.signatures.items()]
        self.graph: MetaGraph | None = None
        self.key = ""
        if all_of:
            self.graph, self.key, _ = max(
                all_of, key=lambda of: (len(of[2].inputs), len(of[2].outputs))
            )

    @property
    def signature(self) -> Signature:
        assert self.graph is not None
        return self.graph.signatures[self.key]

    def here(self, **arguments: Any) -> Json:
        """Arguments, and the tags of the meta graph where the signature's key leaves a choice."""
        assert self.graph is not None
        if sum(self.key in g.signatures for g in self.graphs) > 1:
            arguments["tags"] = sorted(self.graph.tag_set)
        return arguments


Maker = Callable[[Subject], Iterator[Case]]

CASES: dict[str, Maker] = {}


def of(verb: str) -> Callable[[Maker], Maker]:
    """Registers what makes the cases of a verb."""

    def register(maker: Maker) -> Maker:
        CASES[verb] = maker
        return maker

    return register


def cases(subject: Subject) -> Iterator[Case]:
    """All cases that apply to a model."""
    for maker in CASES.values():
        yield from maker(subject)
    yield from _combined(subject)


@of("retag")
def _retag(subject: Subject) -> Iterator[Case]:
    for graph in subject.graphs[:1]:
        old, new = sorted(graph.tag_set), ["fastsm-a", "fastsm-b"]
        yield Case("retag", [{"verb": "retag", "old": old, "new": new}])


@of("rename-signature")
def _rename_signature(subject: Subject) -> Iterator[Case]:
    if subject.graph:
        edit = {"verb": "rename-signature", "old": subject.key, "new": "new_key"}
        yield Case("rename-signature", [subject.here(**edit)])
        if "tags" in subject.here():
            name = "rename-signature, all meta graphs"
            yield Case(name, [{**edit, "all_meta_graphs": True}])


@of("copy-signature")
def _copy_signature(subject: Subject) -> Iterator[Case]:
    if subject.graph:
        edit = {"verb": "copy-signature", "key": subject.key, "new": "copied"}
        yield Case("copy-signature", [subject.here(**edit)])


@of("remove-signature")
def _remove_signature(subject: Subject) -> Iterator[Case]:
    if subject.graph:
        verb = "remove-signature"
        yield Case(verb, [subject.here(verb=verb, keys=[subject.key])])
        if len(subject.graph.signatures) > 1:
            keys = list(subject.graph.signatures)
            tags = sorted(subject.graph.tag_set)
            yield Case(f"{verb}, all", [{"verb": verb, "keys": keys, "tags": tags}])


@of("set-method-name")
def _set_method_name(subject: Subject) -> Iterator[Case]:
    if subject.graph:
        edit = {"verb": "set-method-name", "key": subject.key, "method": "somebody/else"}
        yield Case("set-method-name", [subject.here(**edit)])


@of("add-signature")
def _add_signature(subject: Subject) -> Iterator[Case]:
    """The tensors of a signature that there is, under other names."""
    if subject.graph:
        given, made = subject.signature.inputs, subject.signature.outputs
        if all(info.encoding == "name" for info in [*given.values(), *made.values()]):
            edit = {
                "verb": "add-signature",
                "key": "added",
                "inputs": {f"{alias}_": info.name for alias, info in given.items()},
                "outputs": {f"{alias}_": info.name for alias, info in made.items()},
            }
            if len(subject.graphs) > 1:
                edit["tags"] = sorted(subject.graph.tag_set)
            yield Case("add-signature", [edit])


@of("rename-input")
def _rename_input(subject: Subject) -> Iterator[Case]:
    yield from _rename_aliases(subject, "rename-input")


@of("rename-output")
def _rename_output(subject: Subject) -> Iterator[Case]:
    yield from _rename_aliases(subject, "rename-output")


def _rename_aliases(subject: Subject, verb: str) -> Iterator[Case]:
    """Each place in the order of names is reached: kept, from first to last, and back."""
    if not subject.graph:
        return
    signature = subject.signature
    aliases = sorted(signature.inputs if verb == "rename-input" else signature.outputs)
    if not aliases:
        return

    def edit(old: str, new: str) -> Json:
        return subject.here(verb=verb, key=subject.key, old=old, new=new)

    first, last = aliases[0], aliases[-1]
    yield Case(f"{verb}, order kept", [edit(last, f"{last}_renamed")])
    if len(aliases) > 1:
        yield Case(f"{verb}, first to last", [edit(first, f"{last}_renamed")])
        if first > "A":
            yield Case(f"{verb}, last to first", [edit(last, "A")])
        swap = [edit(first, "between"), edit(last, first), edit("between", last)]
        if "tags" not in subject.here():  # else inputs of one name are not fed alike any more
            yield Case(f"{verb}, two swapped", swap)


@of("rename-asset")
def _rename_asset(subject: Subject) -> Iterator[Case]:
    for name in _assets(subject):
        new = f"renamed/{name}"
        yield Case("rename-asset", [{"verb": "rename-asset", "old": name, "new": new}])


@of("replace-asset")
def _replace_asset(subject: Subject) -> Iterator[Case]:
    """By itself, and by its lines in the opposite order."""
    for name in _assets(subject):
        file = subject.path / "assets" / name
        edit = {"verb": "replace-asset", "name": name}
        if file.exists():
            yield Case("replace-asset, equal content", [{**edit, "file": str(file)}])
            yield Case("replace-asset", [{**edit, "file": REVERSED}])


#: Stands for a file with the lines of an asset in the opposite order, made for each case.
REVERSED = "reversed"


def _assets(subject: Subject) -> list[str]:
    return [a.filename for g in subject.graphs for a in g.assets][:1]


@of("remove-meta-graph")
def _remove_meta_graph(subject: Subject) -> Iterator[Case]:
    verb = "remove-meta-graph"
    if len(subject.model.meta_graphs) > 1:
        for name, graph in (("the first", subject.graphs[0]), ("the last", subject.graphs[-1])):
            edit: Json = {"verb": verb, "tag_sets": [sorted(graph.tag_set)]}
            doubled = subject.model.tag_sets.count(graph.tag_set) > 1
            edit |= {"all_meta_graphs": True} if doubled else {}
            yield Case(f"{verb}, {name}", [edit])


@of("extract-meta-graph")
def _extract_meta_graph(subject: Subject) -> Iterator[Case]:
    for graph in subject.graphs[-1:]:
        tags = sorted(graph.tag_set)
        yield Case("extract-meta-graph, the last", [{"verb": "extract-meta-graph", "tags": tags}])


@of("clear-devices")
def _clear_devices(subject: Subject) -> Iterator[Case]:
    yield Case("clear-devices", [{"verb": "clear-devices"}])


@of("strip-training-graph")
def _strip(_: Subject) -> Iterator[Case]:
    verb = "strip-training-graph"
    yield Case(verb, [{"verb": verb}])
    yield Case(f"{verb}, callables", [{"verb": verb, "level": "callables"}])


@of("dedupe")
def _dedupe(_: Subject) -> Iterator[Case]:
    yield Case("dedupe", [{"verb": "dedupe"}])


@of("repair")
def _repair(subject: Subject) -> Iterator[Case]:
    yield Case("repair", [{"verb": "repair"}])
    found = {f.id for f in fastsm.verify(subject.path).findings}
    if only := sorted(found & set(MENDERS)):
        yield Case("repair, by name", [{"verb": "repair", "only": only}])


def _combined(subject: Subject) -> Iterator[Case]:
    """Edits of edits: each names what those before it left."""
    if not subject.graph:
        return
    known, tags = verbs(), ["fastsm-a", "fastsm-b"]
    edits: list[Json] = [{"verb": "retag", "old": sorted(subject.graph.tag_set), "new": tags}]
    here = {"tags": tags}
    edits.append({"verb": "rename-signature", "old": subject.key, "new": "new_key", **here})
    key = {"key": "new_key", **here}
    for alias in sorted(subject.signature.inputs)[:1]:
        edits.append({"verb": "rename-input", **key, "old": alias, "new": f"zz_{alias}"})
    for alias in sorted(subject.signature.outputs)[-1:]:
        edits.append({"verb": "rename-output", **key, "old": alias, "new": f"A_{alias}"})
    edits.append({"verb": "copy-signature", **key, "new": "copied"})
    for name in _assets(subject):
        edits.append({"verb": "rename-asset", "old": name, "new": f"renamed/{name}"})
    if all(edit["verb"] in known for edit in edits):
        yield Case("several as one", edits)


# -- what is to be expected ----------------------------------------------------------


class Expected:
    """What the loaders make of a model, as edits should leave it.

    Attributes:
        names: A signature's new key -> the key it had.
        aliases: A signature's new key -> new alias of an input -> the alias it had.
        put_in: Asset -> the file that replaces it.
        findings: Rules of verify that tell of the edit.
        same_objects: Whether C++ restores the objects that it did.
        fewer: Whether methods may go.
    """

    def __init__(self, graphs: Mapping[Any, Loaded], subject: Subject) -> None:
        self.graphs: Graphs = dict(graphs)
        self.names: dict[str, str] = {}
        self.aliases: dict[str, dict[str, str]] = {}
        self.put_in: dict[str, str] = {}
        self.findings: set[str] = set()
        self.same_objects = True
        self.fewer = False
        self.key, model = subject.key, subject.model
        self.n_graphs = len(model.meta_graphs)
        #: Tag sets that several meta graphs have; what hides the second may go.
        self.doubled = {tags for tags, n in Counter(model.tag_sets).items() if n > 1}
        # tf.saved_model.load then follows the object graph, and never sees signature_def.
        self.by_objects = self.n_graphs == 1 and bool(model.meta_graphs[0].n_objects)

    def apply(self, edits: Iterable[Json]) -> None:
        for edit in edits:
            arguments = {k: v for k, v in edit.items() if k != "verb"}
            getattr(self, edit["verb"].replace("-", "_"))(**arguments)

    def retag(self, old: list[str], new: list[str]) -> None:
        self.graphs = {
            (frozenset(new) if tags == frozenset(old) else tags, loader): loaded
            for (tags, loader), loaded in self.graphs.items()
        }

    def rename_signature(self, old: str, new: str, **which: Any) -> None:
        self.names[new] = self.names.pop(old, old)
        if old in self.aliases:
            self.aliases[new] = self.aliases.pop(old)
        self._signatures({old: [new]}, **which)

    def copy_signature(self, key: str, new: str, **which: Any) -> None:
        self.names[new] = self.names.get(key, key)
        self.aliases[new] = dict(self.aliases.get(key, {}))
        self._signatures({key: [key, new]}, **which)

    def remove_signature(self, keys: list[str], **which: Any) -> None:
        self._signatures({key: [] for key in keys}, **which)

    def set_method_name(self, key: str, method: str, **which: Any) -> None:
        """No loader looks at it."""

    def add_signature(
        self, key: str, inputs: Json, outputs: Json, tags: list[str] | None = None
    ) -> None:
        """As `_add_signature` has it: a signature that there is once more, all names longer."""
        for (having, loader), loaded in self.graphs.items():
            if (tags is None or having == frozenset(tags)) and not (
                loader == "v2" and self.by_objects
            ):
                rows = loaded.signatures.get(self.key)
                if rows is not None:
                    with_it = {**loaded.signatures, key: _longer(rows)}
                    self.graphs[having, loader] = loaded._replace(signatures=with_it)
        self.names[key] = self.key
        if self.by_objects:
            self.findings.add("signature-one-sided")
        self.aliases[key] = {alias: alias[:-1] for alias in inputs}

    def rename_input(self, key: str, old: str, new: str, **_: Any) -> None:
        """Results stay; what is fed under the new name is what was fed under the old one."""
        aliases = self.aliases.setdefault(key, {})
        for end in ("", *_ENDS):
            aliases[new + end] = aliases.pop(old + end, old + end)

    def rename_output(self, key: str, old: str, new: str, **which: Any) -> None:
        def renamed(rows: Rows) -> Rows:
            if isinstance(rows, str):
                return rows
            return {
                new + alias[len(old) :] if alias == old or alias.startswith(f"{old}[") else alias: t
                for alias, t in rows.items()
            }

        self._signatures({key: [key]}, renamed, **which)

    def rename_asset(self, old: str, new: str) -> None:
        """Loaders find it by its new name."""

    def replace_asset(self, name: str, file: str) -> None:
        """What loaders make of the model with that file put into assets/ by hand."""
        self.put_in[name] = file

    def remove_meta_graph(self, tag_sets: list[list[str]], **_: Any) -> None:
        gone = set(map(frozenset, tag_sets))
        self.graphs = {of: loaded for of, loaded in self.graphs.items() if of[0] not in gone}
        self.n_graphs -= len(gone)

    def extract_meta_graph(self, tags: list[str]) -> None:
        kept = frozenset(tags)
        self.graphs = {of: loaded for of, loaded in self.graphs.items() if of[0] == kept}
        self.n_graphs = 1

    def clear_devices(self) -> None:
        """Placed elsewhere they compute the same."""

    def strip_training_graph(
        self, *, drop_signatures: Iterable[str] = (), **_: Any
    ) -> None:
        """Signatures stay; objects may go, and those methods that stay compute the same."""
        self.fewer, self.same_objects = True, False
        self._signatures({key: [] for key in drop_signatures})

    def dedupe(self) -> None:
        """The values stay."""

    def repair(self, only: list[str] | None = None) -> None:
        """What could be loaded stays as it was. Variables may be one, or be found by others."""
        self.same_objects = False

    def _signatures(
        self,
        become: Mapping[str, list[str]],
        change: Callable[[Rows], Rows] = lambda rows: rows,
        *,
        tags: list[str] | None = None,
        all_meta_graphs: bool = False,
    ) -> None:
        """Every signature that is a key of ``become`` appears under each of those names."""
        for of, loaded in self.graphs.items():
            if tags is None or of[0] == frozenset(tags):
                signatures = {
                    new: change(rows) if key in become else rows
                    for key, rows in loaded.signatures.items()
                    for new in become.get(key, [key])
                }
                self.graphs[of] = loaded._replace(signatures=signatures)


#: What tf.saved_model.load adds to the alias of a composite input of a TF1 signature, and
#: what `Oracle.run` adds for the session loaders.
_ENDS = (
    "_values", "_indices", "_dense_shape", "[0]", "[1]", "_component_0", "_component_1",
)  # fmt: skip


def _longer(rows: Rows) -> Rows:
    return rows if isinstance(rows, str) else {f"{a}_": tensor for a, tensor in rows.items()}


def differences(expected: Expected, graphs: Mapping[Any, Loaded]) -> Iterator[str]:
    """What the loaders make of the edited model, where that is not as expected.

    What did not load or run before may do so now, or fail in another way.
    """
    appeared = {of for of in set(graphs) - set(expected.graphs) if of[0] in expected.doubled}
    if set(expected.graphs) != set(graphs) - appeared:
        yield f"the meta graphs are {sorted(map(str, graphs))}"
        return
    for of, wanted in expected.graphs.items():
        got, where = graphs[of], f"{of[1]} {fastsm.text.tag_set(of[0])}"
        if wanted.error:
            continue
        if got.error:
            yield f"{where} does not load: {got.error}"
            continue
        kinds = [("signatures", wanted.signatures, got.signatures)]
        if wanted.methods:
            kinds.append(("methods", wanted.methods, got.methods))
        for kind, before, after in kinds:
            lost = set(before) - set(after) if expected.fewer and kind == "methods" else set()
            if set(before) - lost != set(after):
                yield f"{where} has {kind} {sorted(after)}, not {sorted(before)}"
            for key in set(before) & set(after):
                old, new = before[key], after[key]
                if not isinstance(old, str) and old != new:
                    yield f"{where} {key!r}: {_apart(old, new)}"


def _apart(old: dict[str, Tensor], new: Rows) -> str:
    if isinstance(new, str):
        return new
    if set(old) != set(new):
        return f"outputs {sorted(new)}, not {sorted(old)}"
    return f"other values of {sorted(alias for alias in old if old[alias] != new[alias])}"


def n_ran(graphs: Mapping[Any, Loaded]) -> int:
    """How many signatures and methods gave results."""
    return sum(
        not isinstance(rows, str)
        for loaded in graphs.values()
        for rows in itertools.chain(loaded.signatures.values(), loaded.methods.values())
    )


# -- trying it -----------------------------------------------------------------------


class Trial:
    """A model, what TensorFlow makes of it, and what it makes of each edited copy.

    Attributes:
        unsteady: Outputs that are others each time; they are not compared.
        edited: What TensorFlow makes of the edited copy that was judged last.
    """

    edited: Survey

    def __init__(self, path: Path, feeds: Mapping[str, Any], oracle: Oracle) -> None:
        self.subject = Subject(path)
        self.before = contents(path)
        self._path, self._feeds, self._oracle = path, feeds, oracle
        self.survey = oracle.survey(path, feeds=feeds)
        again = oracle.survey(path, feeds=feeds)
        self.unsteady: set[str] = set()
        self.graphs = {
            of: self._steady(loaded, again.graphs[of]) for of, loaded in self.survey.graphs.items()
        }
        self.stored, self.true = _fingerprint(path)
        self.findings = Counter(f.id for f in fastsm.verify(path).findings)

    def _steady(self, one: Loaded, other: Loaded) -> Loaded:
        """What is the same in both; the rest is text."""

        def steady(rows: Mapping[str, Rows], again: Mapping[str, Rows]) -> dict[str, Rows]:
            moves = {
                key
                for key, row in rows.items()
                if not isinstance(row, str) and row != again[key]
            }
            self.unsteady |= moves
            return {key: "unsteady" if key in moves else row for key, row in rows.items()}

        return Loaded(
            one.error,
            steady(one.signatures, other.signatures),
            steady(one.methods, other.methods),
        )

    def run(self, case: Case, scratch: Path) -> str:
        """Edits a copy, and takes it back.

        Returns:
            "equal", where results were compared; "loads", "edited" where the model has none,
            or TensorFlow does not load it; "refused: ..."; "nothing to do".

        Raises:
            Disagreement: None of these.
        """
        copy, backup = scratch / "model", scratch / "backup"
        shutil.copytree(self._path, copy)
        case = with_files(case, self._path, scratch)
        try:
            with fastsm.edit(copy, in_place=True, sync=False, backup=backup) as e:
                e.apply(case.edits)
        except REFUSALS as refusal:
            self._expect(contents(copy) == self.before, "refused, and yet files changed")
            return f"refused: {reason(refusal)}"
        assert e.result is not None
        if not e.result.changed:
            self._expect(contents(copy) == self.before, "not changed, and yet files changed")
            return "nothing to do"
        verdict = self.judge(case, copy)
        self._take_back(case, e.result, copy)
        return verdict

    def judge(self, case: Case, path: Path) -> str:
        """Holds an edited model against what is to be expected of it."""
        expected = Expected(self.graphs, self.subject)
        expected.apply(case.edits)
        if expected.put_in:
            by_hand = path.with_name("by_hand")
            shutil.copytree(self._path, by_hand)
            for name, file in expected.put_in.items():
                shutil.copyfile(file, by_hand / "assets" / name)
            made = self._oracle.survey(by_hand, words=self._path, feeds=self._feeds)
            expected.graphs = dict(made.graphs)
        survey = self._oracle.survey(
            path,
            words=self._path,
            feeds=self._feeds,
            names=expected.names,
            aliases=expected.aliases,
        )
        self.edited = survey
        apart = list(differences(expected, survey.graphs))
        before, after = self.survey.objects, survey.objects
        moved = before != after if expected.same_objects else isinstance(after, str)
        if moved and not isinstance(before, str):
            apart.append(f"SavedModelV2Bundle: {after}")
        new = Counter(f.id for f in fastsm.verify(path).findings) - self.findings
        apart += [f"verify finds {id}" for id in new if id not in expected.findings]
        apart += self._false_hashes(path, survey)
        self._expect(not apart, "; ".join(apart))
        loaded = any(loaded.error == "" for loaded in expected.graphs.values())
        verdict = "equal" if n_ran(expected.graphs) else "loads" if loaded else "edited"
        mended = [
            f"{of[1]} loads {fastsm.text.tag_set(of[0])} now"
            for of, before in expected.graphs.items()
            if before.error and not survey.graphs[of].error
        ]
        return ", ".join([verdict, *mended])

    def _false_hashes(self, path: Path, survey: Survey) -> Iterator[str]:
        """What was true of fingerprint.pb is true, as TensorFlow computes it."""
        if isinstance(self.survey.fingerprint, str) or not self.stored:
            return
        stored, _ = _fingerprint(path)
        for name in self.true:
            wanted = getattr(self.survey.fingerprint, name)
            if self.stored[name] != wanted:
                continue  # true in the way of an older release
            if stored.get(name) != getattr(survey.fingerprint, name):
                yield f"fingerprint.pb: {name} is false"

    def _take_back(self, case: Case, result: fastsm.EditResult, path: Path) -> None:
        self._expect(result.undo, "says nothing of undo")
        assert result.undo is not None
        for command in result.undo.split(" && "):
            program, verb, *words = shlex.split(command)
            with (
                contextlib.redirect_stdout(io.StringIO()) as out,
                contextlib.redirect_stderr(out),
                contextlib.suppress(SystemExit),
            ):
                code: Any = "no exit"
                try:
                    cli.main([verb, "--no-sync", *words])
                except SystemExit as ended:
                    code = ended.code
            self._expect((program, code) == ("fastsm", 0), f"{command}: {code} {out.getvalue()}")
        after = contents(path)
        self._expect(set(after) == set(self.before), f"undo leaves {sorted(after)}")
        for name, data in after.items():
            if data != self.before[name]:
                self._expect(self._as_good(case, name, path), f"undo leaves another {name}")

    def _as_good(self, case: Case, name: str, path: Path) -> bool:
        """Whether a file that an edit and its inverse left is as good as the original one.

        Of fingerprint.pb only its uuid may be another, and a hash that was false before, or
        true in the way of an older release. A .pbtxt is written anew, and an index that was
        compressed is not any more. Tags that were doubled or out of order come back in order.
        """
        retagged = any(edit["verb"] == "retag" for edit in case.edits) and any(
            list(g.tags) != sorted(set(g.tags)) for g in self.subject.graphs
        )
        if name == "fingerprint.pb":
            stored, true = _fingerprint(path)
            computed = self.survey.fingerprint
            moved = {n for n in _HASHES if n not in self.true or (retagged and n == _HASHES[0])}
            if not isinstance(computed, str):  # true in the way of an older release
                moved |= {n for n in self.true & true if self.stored[n] != getattr(computed, n)}
            if self._was_compressed(INDEX):
                moved.add("checkpoint_hash")
            return all(stored[n] == self.stored[n] for n in {*self.stored} - moved)
        if name == "saved_model.pbtxt" or (name == "saved_model.pb" and retagged):
            old, new = self._oracle.parse(self._path), self._oracle.parse(path)
            for m in itertools.chain(old["meta_graphs"], new["meta_graphs"]):
                m["tags"] = sorted(set(m["tags"]))
            return bool(old == new)
        same = name == INDEX and self._oracle.index(self._path) == self._oracle.index(path)
        return same and self._was_compressed(name)

    def _was_compressed(self, name: str) -> bool:
        data = self.before.get(name)
        return data is not None and any(data[at + size] == SNAPPY for at, size in handles(data))

    @staticmethod
    def _expect(holds: object, problem: str) -> None:
        if not holds:
            raise Disagreement(problem)


def with_files(case: Case, path: Path, scratch: Path) -> Case:
    """A case whose files are there: those that are made of the model's own lie in scratch."""
    edits = []
    for edit in case.edits:
        if edit.get("file") == REVERSED:
            lines = (path / "assets" / edit["name"]).read_bytes().splitlines()
            (scratch / REVERSED).write_bytes(b"\n".join(lines[::-1]) + b"\n")
            edit = {**edit, "file": str(scratch / REVERSED)}
        edits.append(edit)
    return case._replace(edits=edits)


INDEX = "variables/variables.index"

#: The type of a block of a table that is compressed.
SNAPPY = 1

_HASHES = (
    "saved_model_checksum", "graph_def_program_hash", "signature_def_hash",
    "saved_object_graph_hash", "checkpoint_hash",
)  # fmt: skip


def _fingerprint(path: Path) -> tuple[Json, set[str]]:
    """What fingerprint.pb says, and which of its hashes are true."""
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    if model.fingerprint is None:
        return {}, set()
    checks = model.check_fingerprint()
    says = {name: getattr(model.fingerprint, name) for name in (*_HASHES, "producer")}
    return says, {c.name for c in checks if c.ok}


def reason(refusal: fastsm.FastsmError) -> str:
    """Why an edit was refused, whatever the names and numbers."""
    return nameless(refusal.problem)


def nameless(problem: str) -> str:
    """The first line of a problem, whatever its names and numbers."""
    text = problem.partition("\n")[0]
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '"..."', text)
    text = re.sub(r"\{[^}]*\}", "{...}", text)
    return re.sub(r"\d[\d,]*", "N", text)


def tried(name: str, path: Path, oracle: Oracle, only: str = "") -> Json:
    """What came of all edits of a model.

    Returns:
        case -> verdict; a disagreement is "DISAGREES: ..." there. And what says which models
        cannot show much: "loaders" -> why one does not load it, "unsteady" outputs.
    """
    feeds = MODELS[name].feeds if name in MODELS else {}
    try:
        trial = Trial(path, feeds, oracle)
    except fastsm.FormatError as e:
        return {"unreadable": e.problem.partition("\n")[0]}
    except TensorFlowFailed as e:
        return {"unreadable by TensorFlow": short(f"{e.verdict.type}: {e.verdict.text}", path)}
    out: Json = {}
    errors = {
        f"{loader} {fastsm.text.tag_set(tags)}": short(loaded.error, path)
        for (tags, loader), loaded in trial.survey.graphs.items()
        if loaded.error
    }
    if errors:
        out["loaders"] = errors
    if trial.unsteady:
        out["unsteady"] = sorted(trial.unsteady)
    for case in cases(trial.subject):
        if not case.name.startswith(only) or any(e["verb"] not in verbs() for e in case.edits):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                out[case.name] = trial.run(case, Path(scratch))
            except Disagreement as e:
                out[case.name] = f"DISAGREES: {e}"
            except Exception as e:
                out[case.name] = f"DISAGREES: {type(e).__name__}: {e}"
    return out


def short(error: str, path: Path) -> str:
    """An error of TensorFlow, the same on every machine."""
    return error.replace(str(path), "PATH").partition("\n")[0][:100]


# -- the table -----------------------------------------------------------------------


def family(name: str) -> str:
    """Who wrote a model: a heading of the table."""
    if name not in MODELS:
        return "models of others"
    match MODELS[name].needs, MODELS[name].function.__module__.rpartition(".")[2]:
        case ("keras",), _:
            return "Keras 3"
        case ("tf_keras",), _:
            return "Keras 2"
        case _, "tf1":
            return "TF1"
        case _, "edited":
            return "edited protos"
    return "tf.Module"


FAMILIES = ("tf.Module", "Keras 3", "Keras 2", "TF1", "edited protos", "models of others")

#: What a verdict begins with -> what it means, in the table.
MEANINGS = {
    "equal": "every loader that took the model before computes the same bits",
    "loads": "every loader takes it as before; there is nothing to run",
    "edited": "TensorFlow loaded it nowhere before; it was edited and taken back",
    "refused": "refused with a reason; no byte changed",
    "nothing to do": "there is nothing to edit; no byte changed",
}

_NO_CASES = {"loaders", "unsteady", "unreadable", "unreadable by TensorFlow"}


def table(recorded: Mapping[str, Json]) -> str:
    """The verdicts counted, as Markdown."""
    models = {
        name: {case: v for case, v in r.items() if case not in _NO_CASES}
        for name, r in recorded.items()
    }
    counts: dict[tuple[str, str], Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for name, verdicts in models.items():
        for case, verdict in verdicts.items():
            kind = next((m for m in MEANINGS if verdict.startswith(m)), "DISAGREES")
            counts.setdefault((case, family(name)), Counter())[kind] += 1
            if kind == "refused":
                reasons.setdefault(case, Counter())[verdict.partition(": ")[2]] += 1
    rows = list(dict.fromkeys(case for verdicts in models.values() for case in verdicts))
    rows.sort(key=order)
    lines = [
        "# Every edit on every model",
        "",
        "Written by `python -m tests.agree`; `tests/test_agree.py` holds it true.",
        "",
        *(f"- **{word}**: {meaning}." for word, meaning in MEANINGS.items()),
        "",
        "| edit | " + " | ".join(f"{f} ({_n_models(recorded, f)})" for f in FAMILIES) + " |",
        "| --- |" + " --- |" * len(FAMILIES),
    ]
    for case in rows:
        cells = [_cell(counts.get((case, f), Counter())) for f in FAMILIES]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    total: Counter[str] = sum(counts.values(), Counter())
    lines += ["", f"In all: {_cell(total)}.", "", "## Refused", ""]
    for case in rows:
        for why, n in sorted(reasons.get(case, Counter()).items()):
            lines.append(f"- {case} ({n}): {why}")
    lines += ["", "## Models that a loader does not take, or fastsm", ""]
    for name, r in recorded.items():
        for kind in ("unreadable", "unreadable by TensorFlow"):
            if kind in r:
                lines.append(f"- {name}, {kind}: {r[kind]}")
        for of, error in r.get("loaders", {}).items():
            lines.append(f"- {name}, {of}: {error}")
    lines += ["", "## Outputs that are others each time, and not compared", ""]
    lines += [f"- {n}: {', '.join(r['unsteady'])}" for n, r in recorded.items() if "unsteady" in r]
    return "\n".join(lines) + "\n"


def order(case: str) -> tuple[int, str]:
    verbs = list(CASES)
    verb = case.partition(",")[0]
    return (verbs.index(verb) if verb in verbs else len(verbs)), case


def _n_models(recorded: Mapping[str, Json], name: str) -> int:
    return sum(family(model) == name for model in recorded)


def _cell(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[m]} {m}" for m in MEANINGS if counts[m]) or "-"


@functools.cache
def _own_oracle() -> Oracle:
    return Oracle()


def _in_process(question: tuple[How, str, Path, str]) -> Json:
    how, name, path, only = question
    if not path.exists():
        _own_oracle().build(name, path, needs=MODELS[name].needs)
    return how(name, path, _own_oracle(), only)


def corpus_models() -> dict[str, Path]:
    """The models of others, by name; none without a corpus."""
    from .conftest import _corpus

    return {p.id: p.values[0].path for p in _corpus("savedmodel") if p.values[0]}


def corpus_checkpoints() -> dict[str, Path]:
    """The folders of checkpoints of others, by name; none without a corpus."""
    from .conftest import _corpus

    return {p.id: p.values[0].path.parent for p in _corpus("checkpoint") if p.values[0]}


def record(prog: str, how: How, verdicts: Path, write: Callable[[dict[str, Json]], None]) -> None:
    """A command that tries all models, or those it is told, in several processes.

    Args:
        how: Tries one model; of its cases those whose names begin with a word.
        verdicts: The file of what came of them so far.
        write: Called after each model with what came of all.
    """
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("-j", type=int, default=os.cpu_count(), help="processes of TensorFlow")
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("--models", type=Path, help="a folder of models that are built already")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    corpus = corpus_models()
    names = arguments.names or [*MODELS, *corpus]
    with tempfile.TemporaryDirectory() as scratch, multiprocessing.Pool(arguments.j) as pool:
        built = arguments.models or Path(scratch)
        questions = [(how, n, corpus.get(n) or built / n, arguments.only) for n in names]
        recorded = json.loads(verdicts.read_text()) if verdicts.exists() else {}
        for name, new in zip(names, pool.imap(_in_process, questions), strict=True):
            recorded[name] = {**recorded.get(name, {}), **new} if arguments.only else new
            wrong = [f"{k}: {v}" for k, v in new.items() if "DISAGREES" in str(v)]
            print(name, f"{len(new)} tried", *wrong, sep="\n  ", flush=True)
            write({n: recorded[n] for n in [*MODELS, *corpus] if n in recorded})


def as_json(recorded: Mapping[str, Json]) -> str:
    return json.dumps(recorded, indent=1, ensure_ascii=False) + "\n"


def _write(recorded: Mapping[str, Json]) -> None:
    VERDICTS.write_text(as_json(recorded))
    TABLE.write_text(table(recorded))


if __name__ == "__main__":
    record("python -m tests.agree", tried, VERDICTS, _write)
