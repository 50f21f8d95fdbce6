"""Every source converted: do the loaders compute what TensorFlow's own restore of it does?

    python -m tests.convert [-j N] [SOURCE...]    convert all anew, and write
                                                  convert_verdicts.json and convert.md

TensorFlow restores a source, holds its variables, runs the outputs, and saves what it has by
its own SavedModelBuilder. A converted model must give the same bits in every loader, hold the
same variables, and say the same of its signature, tags and assets.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fastsm

from .agree import REFUSALS, Disagreement, Json, as_json, corpus_checkpoints, nameless
from .oracle import Loader, Oracle, Restored, Survey, TensorFlowFailed
from .sources import SOURCES, Source
from .test_retag import contents

VERDICTS = Path(__file__).with_name("convert_verdicts.json")
TABLE = Path(__file__).with_name("convert.md")

LOADERS: tuple[Loader, ...] = ("v2", "v1", "cc")

#: What convert is asked for beside the signature, by case.
CASES: dict[str, Json] = {
    "told": {},
    "guessed": {"guess": True},
    "stripped": {"strip": True},
    "linked": {"link": True},
}

#: What TensorFlow calls the method "predict".
METHOD = "tensorflow/serving/predict"


def _other(name: str, oddity: str, src: str, **of: Any) -> Source:
    return Source(name, lambda _: None, oddity, src, **of)


#: Checkpoints of others, by their names in the corpus.
OTHERS = {
    s.name: s
    for s in (
        _other(
            "DJY160017_tensorflow__ckpt-testdata-ckpt-9d9b47",
            "Of TensorFlow 1.2: convolutions of noise, without a placeholder.",
            "ckpt",
            outputs={"Conv2D_1": "Conv2D_1:0", "scalar": "ScalarW/read:0"},
            proposed=False,
        ),
        _other(
            "SciSharp_TensorFlow.NET__ckpt-graph-word_rnn_untrained-dfabdb",
            "Of TensorFlow 1.13: a stack of LSTMs that trains, its weights made up here.",
            "word_rnn_untrained.meta",
            inputs={"x": "x:0", "is_training": "is_training:0"},
            outputs={"logits": "output/dense/BiasAdd:0"},
            options={"checkpoint": "made/up"},
            restored=("word_rnn_untrained.meta", "made/up"),
            feeds={"is_training": False},
            proposed=False,
        ),
        _other(
            "DJY160017_tensorflow__ckpt-testdata-model.ckpt-46900-b26152",
            "A checkpoint without its .meta.", "model.ckpt-46900", refused=r"\.meta",
        ),
        _other(
            "GoogleCloudPlatform_training-data-analyst__ckpt-checkpoints-babyweight-ab95e5",
            "A folder with an object checkpoint of Keras.", "", refused="object",
        ),
        _other(
            "graphcore_tensorflow__ckpt-lso_ckpt_tf2.2-ckpt-cd9751",
            "An object checkpoint in two shards.", "ckpt", refused="object",
        ),
    )
}  # fmt: skip

ALL_SOURCES = {**SOURCES, **OTHERS}


def prepared(name: str, folder: Path, oracle: Oracle) -> None:
    """Makes a source's folder: TensorFlow writes it, or it is copied from the corpus."""
    if name in SOURCES:
        oracle.build_source(name, folder)
        return
    shutil.copytree(corpus_checkpoints()[name], folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    graph, prefix = OTHERS[name].from_tensorflow
    if not OTHERS[name].refused and not (folder / f"{prefix}.index").exists():
        oracle.initialise(folder / graph, folder / prefix)


class Conversion:
    """A source, and what TensorFlow makes of it.

    Attributes:
        truth: What TensorFlow's own restore computes and holds.
        built: What the loaders make of the model that TensorFlow's own builder wrote of it.
        converted: What they make of the one that was judged last.
    """

    converted: Survey

    def __init__(self, source: Source, folder: Path, oracle: Oracle) -> None:
        self.source, self.folder, self._oracle = source, folder, oracle
        self.before = contents(folder)
        self._own = folder.with_name(f"{folder.name}.tensorflow")
        self.signature: str = source.options.get("signature", "serving_default")
        self.tags: list[str] = source.options.get("tags", ["serve"])
        self.truth: Restored | None = None
        self.built: Survey | None = None
        if source.refused:
            return
        graph, prefix = source.from_tensorflow
        self.truth = oracle.restore(
            folder,
            graph,
            prefix,
            self._own,
            given=dict(source.inputs),
            made=dict(source.outputs),
            signature=self.signature,
            method=METHOD,
            tags=self.tags,
            assets=dict(source.options.get("assets", {})),
            own_saver=source.own_saver,
            feeds=dict(source.feeds),
        )
        if self.truth.built:
            self.built = self._survey(self._own)

    def convert(self, out: Path, *, guess: bool = False, **how: Any) -> fastsm.ConvertResult:
        """Converts it, as `CASES` have it."""
        options = dict(self.source.options)
        if "checkpoint" in options:
            options["checkpoint"] = self.folder / options["checkpoint"]
        if "assets" in options:
            options["assets"] = {t: self.folder / f for t, f in options["assets"].items()}
        if guess:
            options["guess"] = True
        else:
            options |= {"inputs": self.source.inputs, "outputs": self.source.outputs}
        return fastsm.convert(self.folder / self.source.src, out, sync=False, **options, **how)

    def run(self, scratch: Path, **how: Any) -> Json:
        """Converts it into a new folder, and looks at what is there.

        Returns:
            verdict: "equal in v2, v1, cc", or in fewer, and which do not run it and are right
                in that; "refused: ...".
            nodes, findings: of the model.

        Raises:
            Disagreement: It is not what it promises to be.
        """
        out = scratch / "converted"
        try:
            self.convert(out, **how)
        except REFUSALS as refusal:
            self._expect(contents(self.folder) == self.before, "refused, and yet files changed")
            self._expect(not out.exists(), "refused, and yet there is a folder")
            self._expect(not any(scratch.iterdir()), "refused, and yet something is left")
            other = self.source.refused and not re.search(self.source.refused, str(refusal))
            self._expect(not other, f"refused for another reason: {refusal}")
            problem = refusal.problem.replace(str(self.folder), "SRC")
            return {"verdict": f"refused: {nameless(problem)}"}
        self._expect(contents(self.folder) == self.before, "the source itself changed")
        self._expect(not self.source.refused, "converts what it cannot")
        verdict = self.judge(out, stripped="strip" in how)
        self._judge_files(out, linked="link" in how, stripped="strip" in how)
        again = scratch / "again"
        self.convert(again, **how)
        self._expect(contents(again) == contents(out), "other bytes the second time")
        (graph,) = self._oracle.parse(out)["meta_graphs"]
        findings = Counter(f.id for f in fastsm.verify(out).findings)
        return {
            "verdict": verdict,
            "nodes": graph["n_nodes"] + graph["n_function_nodes"],
            **({"findings": dict(sorted(findings.items()))} if findings else {}),
        }

    def judge(self, path: Path, *, stripped: bool = False) -> str:
        """Holds a converted model against what TensorFlow makes of the source."""
        assert self.truth is not None
        self.converted = self._survey(path)
        equal, others = [], []
        wrong: list[str] = []
        for loader in LOADERS:
            found = self._ran(self.converted, loader)
            if found == self.truth.outputs:
                equal.append(loader)
            elif isinstance(found, str) and self.built and self._ran(self.built, loader) == found:
                others.append(f"{loader} fails as on TensorFlow's own")
            else:
                wrong.append(f"{loader}: {_apart(found, self.truth.outputs)}")
        wrong += self._described_otherwise(path, stripped=stripped)
        wrong += self._held_otherwise(path, stripped=stripped)
        wrong += [
            f"verify: {f.id}" for f in fastsm.verify(path).findings if f.severity == "error"
        ]
        self._expect(not wrong, "; ".join(wrong))
        return ", ".join([f"equal in {' '.join(equal)}", *others])

    def _survey(self, path: Path) -> Survey:
        words = self._own if self._own.exists() else path
        return self._oracle.survey(path, words=words, feeds={self.signature: self.source.feeds})

    def _ran(self, survey: Survey, loader: Loader) -> Any:
        """Rows of the signature, or why there are none."""
        loaded = survey.graphs.get((frozenset(self.tags), loader))
        if loaded is None:
            return f"no tags {self.tags}"
        return loaded.error or loaded.signatures.get(self.signature, "no such signature")

    def _described_otherwise(self, path: Path, *, stripped: bool) -> Iterator[str]:
        """What saved_model.pb says: tags, signature, assets, and how it is restored."""
        graphs = self._oracle.parse(path)["meta_graphs"]
        if len(graphs) != 1:
            yield f"{len(graphs)} meta graphs"
            return
        (graph,) = graphs
        if sorted(graph["tags"]) != sorted(self.tags):
            yield f"tags {graph['tags']}"
        described = graph["signatures"].get(self.signature, {})
        for side, told in (("inputs", self.source.inputs), ("outputs", self.source.outputs)):
            names = {alias: info["names"] for alias, info in described.get(side, {}).items()}
            if names != {alias: [tensor] for alias, tensor in told.items()}:
                yield f"{side} {names}"
        assert self.truth is not None
        if self.truth.variables and graph["saver"] is None and not stripped:
            yield "no saver"
        if self.built is None:
            return
        (own,) = self._oracle.parse(self._own)["meta_graphs"]
        wanted = own["signatures"][self.signature]
        if _with_known(described, wanted) != wanted:
            yield f"signature {described}, TensorFlow's {wanted}"
        mine, theirs = _assets(path, graph), _assets(self._own, own)
        if (mine.items() - theirs.items()) if stripped else mine != theirs:
            yield f"assets {sorted(mine)}, TensorFlow's {sorted(theirs)}, or other content"

    def _held_otherwise(self, path: Path, *, stripped: bool) -> Iterator[str]:
        """What variables hold once the model is loaded."""
        assert self.truth is not None
        held = self.truth.variables
        try:
            holds = self._oracle.variables(path, self.tags)
        except TensorFlowFailed as e:
            yield f"no variables: {str(e).partition(chr(10))[0]}"
            return
        for name in sorted(holds.keys() | held.keys()):
            if name not in holds:
                if not stripped:
                    yield f"variable {name} has no value"
            elif holds[name] != held.get(name):
                yield f"variable {name} has another value"

    def _judge_files(self, out: Path, *, linked: bool, stripped: bool) -> None:
        """variables/ is the checkpoint, byte for byte, or its very files."""
        _, prefix = self.source.from_tensorflow
        folder = out / "variables"
        names = {p.name.removeprefix("variables."): p for p in folder.glob("*")}
        if not prefix:
            self._expect(not names, f"variables of a frozen graph: {sorted(names)}")
        elif not stripped:
            base = self.folder / prefix
            of = {
                p.name.removeprefix(f"{base.name}."): p
                for p in base.parent.iterdir()
                if p.name.startswith((f"{base.name}.data-", f"{base.name}.index"))
            }
            self._expect(sorted(names) == sorted(of), f"files {sorted(names)}")
            for name, path in of.items():
                self._expect(path.read_bytes() == names[name].read_bytes(), f"another {name}")
                same = os.path.samefile(path, names[name])
                self._expect(same == linked, f"{name} is {'' if same else 'not '}linked")

    @staticmethod
    def _expect(holds: object, problem: str) -> None:
        if not holds:
            raise Disagreement(problem)


def _assets(path: Path, graph: Json) -> dict[str, str]:
    """tensor -> digest of the file that is fed to it."""
    found = {}
    for tensor, name in graph["assets"]:
        file = path / "assets" / name
        data = file.read_bytes() if file.is_file() else b""
        found[tensor] = hashlib.sha256(data).hexdigest() if file.is_file() else "no file"
    return found


def _with_known(described: Json, theirs: Json) -> Json:
    """A signature with the shapes of another where it has none.

    A graph has no shapes in it where `_output_shapes` is missing; TensorFlow infers them.
    """
    known = {**described, "inputs": {}, "outputs": {}}
    for side in ("inputs", "outputs"):
        for alias, info in described.get(side, {}).items():
            if info["shape"] is None:
                info = {**info, "shape": theirs[side].get(alias, {}).get("shape")}
            known[side][alias] = info
    return known


def _apart(found: Any, truth: Mapping[str, Any]) -> str:
    if isinstance(found, str):
        return found.partition("\n")[0][:200]
    names = sorted(a for a in found.keys() | truth.keys() if found.get(a) != truth.get(a))
    return f"other values of {names}"


def cases(source: Source) -> dict[str, Json]:
    """Those of CASES that say something of it."""
    if source.refused:
        return {"told": CASES["told"]}
    return {
        case: how
        for case, how in CASES.items()
        if (case != "guessed" or source.proposed)
        and (case != "linked" or source.from_tensorflow[1])
    }


def tried(name: str, oracle: Oracle, only: str = "") -> Json:
    """What came of converting a source, by case; a disagreement is a verdict "DISAGREES: ..."."""
    source, out = ALL_SOURCES[name], {}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home).resolve() / "source"
        prepared(name, folder, oracle)
        conversion = Conversion(source, folder, oracle)
        for case, how in cases(source).items():
            if case.startswith(only):
                out[case] = judged(conversion, **how)
    return out


def judged(conversion: Conversion, **how: Any) -> Json:
    """What came of one case."""
    with tempfile.TemporaryDirectory(dir=conversion.folder.parent) as scratch:
        try:
            of = conversion.run(Path(scratch), **how)
        except Disagreement as e:
            return {"verdict": f"DISAGREES: {e}"}
        except Exception as e:
            return {"verdict": f"DISAGREES: {type(e).__name__}: {e}"}
    if of["verdict"].startswith("refused") and not conversion.source.refused:
        of["verdict"] = f"DISAGREES: {of['verdict']}"
    return of


# -- the table -----------------------------------------------------------------------


def table(recorded: Mapping[str, Json]) -> str:
    """The verdicts, as Markdown."""
    counted = Counter(
        of["verdict"].partition(":")[0].partition(",")[0]
        for r in recorded.values()
        for of in r.values()
    )
    lines = [
        "# Every source converted",
        "",
        "Written by `python -m tests.convert`; `tests/test_convert.py` holds it true.",
        "",
        "- **equal in v2 v1 cc**: `tf.saved_model.load`, `tf.compat.v1.saved_model.load` and the",
        "  loader in C++ compute the bits that TensorFlow's own restore of the source computes.",
        "  The variables hold the same bits, too; tags, signature and assets are those of",
        "  TensorFlow's own builder; the shards are the checkpoint's, byte for byte.",
        "- **refused**: with a reason; nothing was written.",
        "",
        f"In all: {', '.join(f'{n} {kind}' for kind, n in counted.most_common())}.",
        "",
        f"| source | | {' | '.join(CASES)} | nodes, stripped |",
        "| --- |" + " --- |" * (len(CASES) + 2),
    ]
    for name, r in recorded.items():
        cells = [r.get(case, {}).get("verdict", "-") for case in CASES]
        nodes = "-"
        if "nodes" in r.get("stripped", {}):
            nodes = f"{r['told']['nodes']:,} → {r['stripped']['nodes']:,}"
        lines.append(f"| {name} | {ALL_SOURCES[name].oddity} | {' | '.join(cells)} | {nodes} |")
    return "\n".join(lines) + "\n"


@functools.cache
def _own_oracle() -> Oracle:
    return Oracle()


def _in_process(question: tuple[str, str]) -> Json:
    name, only = question
    return tried(name, _own_oracle(), only)


def names_here() -> list[str]:
    """The sources that can be had here."""
    return [*SOURCES, *(name for name in corpus_checkpoints() if name in OTHERS)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.convert")
    parser.add_argument("-j", type=int, default=os.cpu_count(), help="processes of TensorFlow")
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    names = arguments.names or names_here()
    recorded = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}
    with multiprocessing.Pool(arguments.j) as pool:
        questions = [(name, arguments.only) for name in names]
        for name, new in zip(names, pool.imap(_in_process, questions), strict=True):
            recorded[name] = {**recorded.get(name, {}), **new} if arguments.only else new
            print(name, *(f"{case}: {of['verdict']}" for case, of in new.items()), sep="\n  ",
                  flush=True)  # fmt: skip
            in_order = {n: recorded[n] for n in ALL_SOURCES if n in recorded}
            VERDICTS.write_text(as_json(in_order))
            TABLE.write_text(table(in_order))


if __name__ == "__main__":
    main()
