"""Every snippet of every signature of every model, run as it is printed.

    python -m tests.snippets [-j N] [MODEL...]    run all anew, and write snippets_verdicts.json
                                                  and snippets.md

Scripts are run by TensorFlow and by Keras, commands by a shell in which the servers and curl are
programs that write down how they were called. A request is read by TensorFlow Serving's rules
(`serving_json`) and run by the C++ loader, a configuration by Triton's. Where a script fails it
is asked whether the model does, whatever it is fed.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import fastsm
from fastsm.proof.failures import Failed
from fastsm.proof.setting import Setting
from fastsm.proof.worker import Worker
from fastsm.snippets import Snippet, snippets
from fastsm.snippets.values import specs_of
from fastsm.text import printable, tag_set

from . import serving_json, triton_config
from .agree import Json, as_json, record
from .oracle import Loader, Oracle
from .serving_json import Refused

VERDICTS = Path(__file__).with_name("snippets_verdicts.json")
TABLE = Path(__file__).with_name("snippets.md")

#: The loader behind each kind that runs.
LOADERS: dict[str, Loader] = {"python-v2": "v2", "python-v1": "v1", "keras": "v2", "rest": "cc"}

#: In an error: what was met first, and where it ran.
_MET = re.compile(r"\{\{.*?\}\}|(?<=find variable )\S+|(?<=for operation )\S+|(?<=running on )\S+")

#: The programs that only write down how they were called.
PROGRAMS = ("curl", "docker", "tensorflow_model_server")

_PROGRAM = """#!/bin/sh
printf '%s\\0' "${0##*/}" "$@" >"$RECORD"
case "$*" in *"-d @-"*) cat >"$RECORD.body" ;; esac
"""

MEANINGS = {
    "works": "it runs as printed, and gives what the signature says: names, dtypes, shapes",
    "none": "there is no text, and why",
    "the model": "it fails, and so does the model, whatever it is fed",
}

#: An output: the dtype and shape of each of its tensors.
Rows = Sequence[tuple[str, tuple[int, ...]]]


class Disagreement(Exception):
    """A snippet is not what it promises to be."""


class Call(NamedTuple):
    """How a program was called: its arguments, and what it was sent."""

    words: list[str]
    body: str | None


def run_shell(text: str, folder: Path, *, copies: bool = True) -> Call:
    """Runs a command, and what it calls of PROGRAMS.

    Args:
        copies: Whether ``cp`` copies; else it makes a link.
    """
    stubs, record = folder / ".stubs", folder / ".record"
    if not stubs.exists():
        stubs.mkdir(parents=True)
        for name in PROGRAMS:
            (stubs / name).write_text(_PROGRAM)
            (stubs / name).chmod(0o755)
    cp = stubs / "cp"
    cp.unlink(missing_ok=True)
    if not copies:
        cp.write_text('#!/bin/sh\nln -sfn "$2" "$3"\n')
        cp.chmod(0o755)
    env = {**os.environ, "PATH": f"{stubs}:{os.environ['PATH']}", "RECORD": str(record)}
    done = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise Disagreement(f"the shell says {done.stderr[:200]}")
    body = folder / ".record.body"
    sent = body.read_text() if body.exists() else None
    body.unlink(missing_ok=True)
    return Call(os.fsdecode(record.read_bytes()).split("\0")[:-1], sent)


class Trial:
    """The snippets of one signature.

    Args:
        scratch: A folder that commands are run in.
    """

    def __init__(
        self,
        model: fastsm.SavedModel,
        graph: Any,
        key: str,
        oracle: Oracle,
        scratch: Path,
    ) -> None:
        self.model, self.graph, self.key = model, graph, key
        self.signature = graph.signatures[key]
        self.path = os.path.abspath(model.folder)
        self.tags = sorted(graph.tag_set)
        self._oracle, self._scratch = oracle, scratch

    def verdicts(self) -> Iterator[tuple[str, str]]:
        """(title, verdict) of each snippet."""
        found: dict[str, Snippet] = {}
        for snippet in snippets(self.model, self.graph, self.key):
            found[snippet.title] = snippet
        for title, snippet in found.items():
            if not snippet.text:
                yield title, f"none: {self._without_path(snippet.note or '')}"
                continue
            try:
                yield title, self._checked(snippet)
            except (Disagreement, Refused, triton_config.Invalid) as e:
                yield title, f"DISAGREES: {self._without_path(str(e))}"

    def _checked(self, snippet: Snippet) -> str:
        if snippet.language == "python":
            return self._script(snippet)
        checks: dict[str, Callable[[Snippet], str]] = {
            "TensorFlow Serving": self._server,
            "TensorFlow Serving in Docker": self._docker,
            "REST": self._rest,
            "Triton": self._triton,
            "Triton in Docker": self._repository,
        }
        return checks[snippet.title](snippet)

    # -- scripts -----------------------------------------------------------------------

    def _script(self, snippet: Snippet) -> str:
        needs = ["keras"] if snippet.kind == "keras" else []
        verdict, outputs = self._oracle.script(snippet.text, self._scratch, needs=needs)
        if not verdict.ok:
            return self._model_fails(snippet, verdict.text)
        self._check_outputs(outputs)
        return "works"

    def _check_outputs(self, outputs: Mapping[str, Rows]) -> None:
        wanted = self.signature.outputs
        if outputs.keys() != wanted.keys():
            raise Disagreement(f"outputs {sorted(outputs)}, and not {sorted(wanted)}")
        for name, rows in outputs.items():
            specs = specs_of(name, wanted[name])
            if len(rows) != len(specs):
                raise Disagreement(f"{name} has {len(rows)} tensors, and not {len(specs)}")
            for spec, (dtype, shape) in zip(specs, rows, strict=True):
                if spec.dtype not in (dtype, "invalid", f"q{dtype}"):
                    raise Disagreement(f"{name} is {dtype}, and not {spec.dtype}")
                fits = spec.shape is None or (
                    len(spec.shape) == len(shape)
                    and all(a in (None, b) for a, b in zip(spec.shape, shape, strict=True))
                )
                if not fits:
                    raise Disagreement(f"{name} has shape {shape}, and not {spec.shape}")

    def _model_fails(self, snippet: Snippet, text: str) -> str:
        """Whether it is the model that fails: it does not load, or takes nothing at all."""
        loader = LOADERS[snippet.kind]
        tags = None if loader == "v2" and len(self.model.meta_graphs) == 1 else self.tags
        loads = self._oracle.load(self.path, loader, tags)
        if not loads.ok:
            return f"the model does not load: {self._short(loads.type, loads.text)}"
        try:
            found = _worker().ask(
                "examine", path=self.path, loader=loader, tags=self.tags, state=False,
                want={"first": True}, only=[f"signature:{self.key}"], keep=_worker().folder,
            )  # fmt: skip
        except Failed as e:
            return f"the model does not load: {self._short('', str(e))}"
        for call in found["calls"].values():
            for one in call["sets"]:
                if one["failed"]:
                    return f"the model fails: {self._short(**one['failed'])}"
        raise Disagreement(f"{snippet.title} fails: {text[-300:]}")

    def _short(self, type: str, text: str) -> str:
        """Without what differs from run to run: which node or variable is met first."""
        line = next((x for x in text.splitlines() if x.strip() and "execution error" not in x), "")
        line = _MET.sub("...", self._without_path(line)).strip()
        return f"{type}: {line}"[:100] if type else line[:100]

    def _without_path(self, text: str) -> str:
        name = os.path.basename(self.path)
        text = text.replace(self.path, "PATH")
        return text if name.isdigit() else text.replace(name, "MODEL")

    # -- TensorFlow Serving ------------------------------------------------------------

    def _server(self, snippet: Snippet) -> str:
        words = run_shell(snippet.text, self._scratch).words
        flags = self._flags(words[1:])
        self._expect(words[0] == "tensorflow_model_server", f"calls {words[0]}")
        base = flags.pop("model_base_path")
        self._expect(os.path.isabs(base), "the server wants an absolute path or URI")
        versions = [int(name) for name in os.listdir(base) if name.isdigit()]
        self._expect(bool(versions), "no version folder")
        served = os.path.realpath(os.path.join(base, str(max(versions))))
        self._expect(served == os.path.realpath(self.path), f"serves {served}")
        self._expect(int(flags.pop("rest_api_port")) != 8500, "the port of gRPC")
        self._expect(bool(flags.pop("model_name")), "no name")
        self._check_tags(flags)
        return "works"

    def _docker(self, snippet: Snippet) -> str:
        words = run_shell(snippet.text, self._scratch).words
        self._expect(words[:2] == ["docker", "run"], f"calls {words[:2]}")
        image = words.index("tensorflow/serving")
        if "--mount" in words:
            mount = words[words.index("--mount") + 1].split(",")
            source, target = (word.partition("=")[2] for word in mount[1:3])
            mode = {"readonly": "ro"}.get(mount[3], "rw")
        else:
            source, target, mode = words[words.index("-v") + 1].split(":")
        self._expect(os.path.realpath(source) == os.path.realpath(self.path), f"mounts {source}")
        name = words[words.index("-e") + 1].removeprefix("MODEL_NAME=")
        self._expect(target.startswith(f"/models/{name}/") and mode == "ro", f"mounts at {target}")
        self._expect(target.rpartition("/")[2].isdigit(), f"{target} is no version")
        self._check_tags(self._flags(words[image + 1 :]))
        return "works"

    @staticmethod
    def _flags(words: Sequence[str]) -> dict[str, str]:
        """TensorFlow's flags: --NAME=VALUE."""
        if wrong := [word for word in words if not word.startswith("--") or "=" not in word]:
            raise Disagreement(f"no flags: {wrong}")
        pairs = (word[2:].partition("=") for word in words)
        return {name: value for name, _, value in pairs}

    def _check_tags(self, flags: dict[str, str]) -> None:
        """Whether the server, with what is left of its flags, loads this meta graph."""
        asked = set(flags.pop("saved_model_tags", "serve").split(","))
        self._expect(not flags, f"flags {flags}")
        first = next((g for g in self.model.meta_graphs if g.tag_set == asked), None)
        self._expect(first is self.graph, f"asks for {asked}")

    def _rest(self, snippet: Snippet) -> str:
        call = run_shell(snippet.text, self._scratch)
        self._expect(call.words[0] == "curl" and call.words[1] == "-d", f"calls {call.words[:2]}")
        _, _, data, url = call.words
        body = serving_json.parsed(call.body if call.body is not None else data)
        verb = url.rpartition(":")[2]
        key = serving_json.signature_name(body)
        self._expect(key == self.key, f"asks for {key}")
        inputs, outputs = self.signature.inputs, self.signature.outputs
        if verb == "predict":
            dtypes = {name: info.dtype.removesuffix("_ref") for name, info in inputs.items()}
            form, tensors = serving_json.tensors(body, dtypes)
            feed = {inputs[name].name: _fed(tensor) for name, tensor in tensors.items()}
            n = 0
        else:
            examples = serving_json.examples(body)
            feed, n = {inputs["inputs"].name: {"examples": _examples(examples)}}, len(examples)
        fetch = [info.name for info in outputs.values()]
        served = self._scratch / "model"  # the server has it under another path, too
        if not served.exists():
            served.symlink_to(self.path)
        verdict, rows = self._oracle.serve(served, self.tags, feed, fetch)
        if not verdict.ok:
            return self._model_fails(snippet, verdict.text)
        got = dict(zip(outputs, rows, strict=True))
        self._check_outputs({name: [row] for name, row in got.items()})
        if verb == "predict":
            serving_json.check_answer(form, got)
        else:
            serving_json.check_results(verb, n, got)
        return f"works (:{verb})"

    # -- Triton ------------------------------------------------------------------------

    def _triton(self, snippet: Snippet) -> str:
        config = triton_config.parsed(snippet.text)
        folder = (snippet.file or "").split("/")
        self._expect(folder[1:] == [config.name, "config.pbtxt"], f"is to be {snippet.file}")
        triton_config.check(config, self.tags, self.key, self.graph.signatures)
        return "works"

    def _repository(self, snippet: Snippet) -> str:
        words = run_shell(snippet.text, self._scratch, copies=False).words
        folder = words[words.index("-v") + 1].split(":")[0]
        found = list(Path(folder).glob("*/*/model.savedmodel"))
        own = Path(self.path).resolve()
        named = any(p.resolve() == own and p.parent.name.isdigit() for p in found)
        self._expect(named, f"{found} is not the model")
        return "works"

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Disagreement(otherwise)


def _fed(tensor: serving_json.Tensor) -> Json:
    elements = tensor.elements
    if tensor.dtype == "string":
        elements = [base64.b64encode(element).decode() for element in elements]
    return {"dtype": tensor.dtype, "shape": tensor.shape, "elements": elements}


def _examples(examples: Sequence[Mapping[str, tuple[str, list[Any]]]]) -> list[Json]:
    return [
        {
            name: (
                kind,
                [base64.b64encode(v).decode() for v in values] if kind == "bytes_list" else values,
            )
            for name, (kind, values) in one.items()
        }
        for one in examples
    ]


@cache
def _worker() -> Worker:
    """For what fails: it tries a model with many inputs."""
    return Worker(Setting())


def tried(name: str, path: Path, oracle: Oracle, only: str = "") -> Json:
    """What came of the snippets of a model: "TAGS KEY" -> title -> verdict.

    Args:
        only: With what the names of signatures begin that are tried.
    """
    try:
        model = fastsm.open(path.absolute())
    except fastsm.FastsmError as e:
        return {"unreadable": e.problem.partition("\n")[0]}
    assert isinstance(model, fastsm.SavedModel)
    out: Json = {}
    for i, graph in enumerate(model.meta_graphs):
        hidden = any(graph.tag_set == g.tag_set for g in model.meta_graphs[:i])
        for key in graph.signatures:
            if not key.startswith(only):
                continue
            with tempfile.TemporaryDirectory() as scratch:
                trial = Trial(model, graph, key, oracle, Path(scratch))
                place = f"{tag_set(graph.tag_set)}{' (hidden)' if hidden else ''}"
                out[f"{place} {printable(key)}"] = dict(trial.verdicts())
    return out


# -- the table -----------------------------------------------------------------------


def table(recorded: Mapping[str, Json]) -> str:
    """Verdicts, as Markdown."""
    titles = list(
        dict.fromkeys(t for r in recorded.values() for of in r.values() if of for t in _dict(of))
    )
    lines = [
        "# Every snippet of every signature",
        "",
        "Written by `python -m tests.snippets`; `tests/test_snippets_run.py` holds it true.",
        "",
        *(f"- **{word}**: {meaning}." for word, meaning in MEANINGS.items()),
        "",
        f"| snippet | {' | '.join(MEANINGS)} |",
        "| --- |" + " --- |" * len(MEANINGS),
    ]
    for title in titles:
        kinds: Counter[str] = Counter()
        for _, _, verdict in _all(recorded, title):
            kinds[next((m for m in MEANINGS if verdict.startswith(m)), "DISAGREES")] += 1
        lines.append(f"| {title} | {' | '.join(str(kinds[m]) for m in MEANINGS)} |")
    for title in titles:
        others = [
            f"- {name}, {case}: {verdict}"
            for name, case, verdict in _all(recorded, title)
            if not verdict.startswith("works")
        ]
        if others:
            lines += ["", f"## {title}", "", *others]
    return "\n".join(lines) + "\n"


def _dict(of: Any) -> dict[str, str]:
    return of if isinstance(of, dict) else {}


def _all(recorded: Mapping[str, Json], title: str) -> Iterator[tuple[str, str, str]]:
    """(model, signature, verdict) of a snippet, wherever it is."""
    for name, of in recorded.items():
        for case, verdicts in of.items():
            if title in _dict(verdicts):
                yield name, case, verdicts[title]


def _write(recorded: Mapping[str, Json]) -> None:
    VERDICTS.write_text(as_json(recorded))
    TABLE.write_text(table(recorded))


if __name__ == "__main__":
    record("python -m tests.snippets", tried, VERDICTS, _write)
