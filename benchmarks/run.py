"""Measures every job with every tool that does it, and writes the results as JSON.

    python -m benchmarks.run [JOB...] [--runs N] [--data DIR] [--results FILE]

A round runs each tool of a job once, in turn, so that whatever else the machine does falls
on all of them; the first round warms up and is not counted. What each run printed or wrote
is checked, and a tool that fails, or differs from the oracle, is a failed row.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import files, reference
from .adapters import CONVERTED, adapter
from .adapters.cp import COPY, original
from .adapters.tensorflow import STRIPPED
from .jobs import JOBS, RENAMED, Job

HERE = Path(__file__).parent
ROOT = HERE.parent
DATA = HERE / "data"
RESULTS = HERE / "results.json"
#: A process that is over in a tenth of a second has five runs in each round: its least
#: time is what the scheduler lets through.
QUICK_S, QUICK_RUNS = 0.1, 5
#: Peak memory hardly varies; it has runs of its own, with a hook that costs start-up time.
PEAK_RUNS = 2


#: What the editing verbs must write, as the reference has it.
EDITS = {
    "retag": lambda data: reference.with_tag(data, "gpu"),
    "rename": lambda data: reference.with_signature(data, *RENAMED),
}


class Wrong(Exception):
    """Why a run does not count."""


class Run(NamedTuple):
    """One run of a child.

    Attributes:
        wall_s, cpu_s: Of the whole process.
        output: Its stdout.
    """

    wall_s: float
    cpu_s: float
    output: str


def spawn(argv: list[str], work: Path, **more_env: str) -> Run:
    """Run a child to its end. Raises Wrong when it fails, with its last words."""
    # Python as it is installed: a PYTHONDONTWRITEBYTECODE would compile fastsm every time.
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **more_env,
    }
    out, err = work / "out", work / "err"
    to = [
        (os.POSIX_SPAWN_OPEN, fd, str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for fd, path in ((1, out), (2, err))
    ]
    start = time.perf_counter()
    try:
        pid = os.posix_spawn(argv[0], argv, env, file_actions=to)
    except OSError as e:
        raise Wrong(f"{os.path.basename(argv[0])}: {e.strerror}") from None
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    if code:
        last = err.read_text(errors="replace").strip().rpartition("\n")[2]
        raise Wrong(f"exit code {code}: {last[:200]}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, out.read_text(errors="replace"))


class Bench:
    """The models, a scratch folder beside them, and what the oracles said."""

    def __init__(self, data: Path, runs: int) -> None:
        self.data = data
        self.runs = runs
        self.scratch = data / ".scratch"
        self.work = self.scratch / "work"
        self.said: dict[str, str] = {}  # saved_model_cli's text, by job
        self.fingerprints: dict[str, bytes] = {}  # those found true, by model
        self.indexes: dict[str, bytes] = {}  # those that TensorFlow reads rightly, by job

    def row(self, job: Job, tool: str) -> dict[str, Any]:
        return {"job": job.name, "tool": tool, "in_process": bool(job.repeat), "problem": None}

    def measure(self, job: Job) -> list[dict[str, Any]]:
        """The rows of a job."""
        rows = {tool: self.row(job, tool) for tool in job.tools}
        samples: dict[str, dict[str, list[float]]] = {
            tool: {"wall_s": [], "cpu_s": [], "peak_bytes": []} for tool in job.tools
        }
        # What the others say is what fastsm is held against, so it comes last.
        order = sorted(job.tools, key=lambda tool: tool == "fastsm")
        for i in range(1 + self.runs + PEAK_RUNS):
            for tool in order:
                if rows[tool]["problem"]:
                    continue
                seen = samples[tool]
                quick = not job.repeat and min(seen["wall_s"], default=1) < QUICK_S
                for _ in range(QUICK_RUNS if quick and i <= self.runs else 1):
                    try:
                        got = self.once(job, tool, for_peak=i > self.runs)
                    except Wrong as e:
                        rows[tool]["problem"] = str(e)
                        break
                    for figure, values in got.items() if i else ():
                        seen[figure] += values
        for tool, row in rows.items():
            if not row["problem"]:
                row |= {f: spread(v) for f, v in samples[tool].items() if v}
        return list(rows.values())

    def once(self, job: Job, tool: str, for_peak: bool) -> dict[str, list[float]]:
        """One checked run; its figures."""
        model, work = self.data / job.model, self.work
        files.link_model(str(model), str(work))
        if job.sync is not None:
            os.sync()  # what earlier runs left unwritten is not this one's
        if job.repeat:
            if for_peak:
                return {}  # the child has told it
            words = [tool, job.verb, str(model), str(work), "sync" if job.sync else "no"]
            child = [sys.executable, "-m", "benchmarks.child", *words, str(job.repeat)]
            got = json.loads(spawn(child, self.scratch).output)
            self.check_call(job, tool, got.pop("result"))
            return {**got, "peak_bytes": [got["peak_bytes"]]}
        argv = adapter(tool).command(job.verb, str(model), str(work), bool(job.sync))
        if not for_peak:
            run = spawn(argv, self.scratch)
            self.check_process(job, tool, run.output)
            return {"wall_s": [run.wall_s], "cpu_s": [run.cpu_s]}
        if argv[0] != sys.executable:
            return {}
        peak = self.scratch / "peak"
        hook = {"PYTHONPATH": f"{HERE / 'hook'}:{ROOT}", "BENCHMARK_PEAK": str(peak)}
        spawn(argv, self.scratch, **hook)
        return {"peak_bytes": [int(peak.read_text()) << 10]}

    # -- is what came out right? --

    def check_process(self, job: Job, tool: str, output: str) -> None:
        if tool == "cp":
            if not files.is_copy(
                str(self.work / COPY), original(job.verb, str(self.data / job.model))
            ):
                raise Wrong("no true copy")
        elif job.verb in EDITS:
            self.check_edited(job)
        elif job.verb in ("subset", "dedupe"):
            self.check_rewritten(job)
        elif job.verb == "strip":
            self.check_stripped(job, tool)
        elif job.verb == "convert":
            self.check_made(job, tool, self.work / CONVERTED, "--converted")
        elif job.verb == "verify":
            if tool == "fastsm" and "0 errors" not in output:
                raise Wrong("finds errors in a model that has none")
        elif job.verb == "parity":
            if not output.endswith("equal\n"):
                raise Wrong("finds a copy of a model to be another one")
        elif job.verb == "first":
            if self.said.setdefault(job.name, output) != output:
                raise Wrong("reads another tensor than TensorFlow")
        elif tool == "saved_model_cli":
            if "signature_def" not in output and "inputs[" not in output:
                raise Wrong("printed no signature")
            self.said.setdefault(job.name, in_order(output))
        elif job.verb == "show-all":
            if job.name not in self.said:
                raise Wrong("no text of saved_model_cli to compare with")
            if in_order(output) != self.said[job.name]:
                raise Wrong("prints something else than saved_model_cli")
        elif tool == "fastsm":
            with files.mapped(str(self.data / job.model / "saved_model.pb")) as data:
                tags, keys = reference.summary(data)
            lines = [f"{{{','.join(tags)}}}", *(f"  {k}" for k in keys if k[:2] != "__")]
            for line in lines:
                if not re.search(rf"^{re.escape(line)}( |$)", output, re.MULTILINE):
                    raise Wrong(f"does not show {line.strip()}")

    def check_call(self, job: Job, tool: str, result: Any) -> None:
        if job.verb == "strip":
            if tool == "fastsm":
                self.check_stripped(job, tool)
            return
        if job.verb in EDITS:
            if tool == "fastsm":
                self.check_edited(job)
            elif not result:
                raise Wrong("wrote something else than the edited model")
            return
        found = json.dumps(result, sort_keys=True)
        if self.said.setdefault(job.name, found) != found:
            raise Wrong("finds something else than the tool before it")

    def check_rewritten(self, job: Job) -> None:
        """The shard must hold what W-kept does, and TensorFlow read each tensor as before."""
        model, variables = str(self.data / job.model), self.work / "variables"
        shard = str(variables / "variables.data-00000-of-00001")
        if not files.begins_with(shard, original(job.verb, model)):
            raise Wrong("the shard holds other bytes than are to be kept")
        index = (variables / "variables.index").read_bytes()
        if job.name not in self.indexes:
            module = "benchmarks.check_generated"
            check = [sys.executable, "-m", module, "--rewritten", str(self.work), model]
            spawn(check, self.scratch)
            self.indexes[job.name] = index
        if self.indexes[job.name] != index:
            raise Wrong("variables.index is another one in each run")

    def check_stripped(self, job: Job, tool: str) -> None:
        """Every signature must compute in TensorFlow what it computed before, bit for bit."""
        found = self.work / STRIPPED if tool == "tensorflow" else self.work
        self.check_made(job, tool, found, "--stripped")

    def check_made(self, job: Job, tool: str, found: Path, how: str) -> None:
        """A model must be what check_generated wants when it is told how it was made; of
        fastsm's the bytes must be the same in every run."""
        true = self.scratch / f"{job.name}, {tool}"
        if not true.exists():
            module = "benchmarks.check_generated"
            check = [sys.executable, "-m", module, how, str(found)]
            spawn([*check, str(self.data / job.model)], self.scratch)
            shutil.copytree(found, true, copy_function=os.link)
        elif tool == "fastsm":
            names = {p.relative_to(true) for p in true.rglob("*") if p.is_file()}
            if names != {p.relative_to(found) for p in found.rglob("*") if p.is_file()}:
                raise Wrong("other files in each run")
            if not all(same(found / name, true / name) for name in names):
                raise Wrong("other bytes in each run")

    def check_edited(self, job: Job) -> None:
        """The file must be the reference's byte for byte, the fingerprint TensorFlow's, and
        the checkpoint's own object graph, as TensorFlow reads it, one with the new names."""
        before = self.data / job.model
        edited = str(self.work / "saved_model.pb")
        if not files.is_edited(edited, str(before / "saved_model.pb"), EDITS[job.verb]):
            raise Wrong("saved_model.pb is not what the edit makes of it, byte for byte")
        stored = self.work / "fingerprint.pb"
        if stored.exists() != (before / "fingerprint.pb").exists():
            raise Wrong("fingerprint.pb came or went")
        if stored.exists() and stored.read_bytes() != self.true_fingerprint(job):
            raise Wrong("fingerprint.pb differs from the one that was true before")
        if job.verb == "rename":
            self.check_objects(job)

    def check_objects(self, job: Job) -> None:
        """The variables must be what they were once TensorFlow had read them rightly."""
        folder = self.work / "variables"
        files_now = b"".join(p.read_bytes() for p in sorted(folder.iterdir()))
        if job.name not in self.indexes:
            module = "benchmarks.check_generated"
            words = ["--renamed", str(self.work), str(self.data / job.model), *RENAMED]
            spawn([sys.executable, "-m", module, *words], self.scratch)
            self.indexes[job.name] = files_now
        if self.indexes[job.name] != files_now:
            raise Wrong("the variables are other ones in each run")

    def true_fingerprint(self, job: Job) -> bytes:
        """The work folder's fingerprint.pb, once TensorFlow has found it true."""
        model = f"{job.verb} {job.model}"
        if model not in self.fingerprints:
            module = "benchmarks.check_generated"
            check = [sys.executable, "-m", module, "--fingerprint", str(self.work)]
            spawn(check, self.scratch)
            self.fingerprints[model] = (self.work / "fingerprint.pb").read_bytes()
        return self.fingerprints[model]


def same(one: Path, other: Path) -> bool:
    if not other.stat().st_size:
        return not one.stat().st_size
    return files.is_copy(str(one), str(other))


def in_order(text: str) -> str:
    """saved_model_cli's text with its sets of ops, and its dicts of arguments, sorted:
    theirs is the order of Python's hash and of upb's, another in every run."""

    def ordered(match: re.Match[str]) -> str:
        # A dict ends in a comma, a blank and two backspaces.
        return match[1] + str(sorted(re.split(r", (?=')|, \x08\x08$", match[2])))

    return re.sub(r"(contains the following ops: |Value: )\{(.*)\}", ordered, text)


def spread(values: list[float]) -> dict[str, float | int]:
    return {
        "n": len(values),
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
    }


# -- which tools, on what --


def versions(tools: set[str], scratch: Path) -> dict[str, str]:
    found = {}
    for tool in sorted(tools):
        try:
            child = [sys.executable, "-m", "benchmarks.child", tool]
            found[tool] = json.loads(spawn(child, scratch).output)
        except Wrong as e:
            found[tool] = f"none ({e})"
    return found


def machine(data: Path) -> dict[str, Any]:
    def line(path: str, key: str) -> str:
        with open(path) as file:
            return next((s.split(":", 1)[1].strip() for s in file if s.startswith(key)), "?")

    system = os.uname()
    find = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(data)]
    kind = subprocess.run(find, capture_output=True, text=True)
    return {
        "cpu": line("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_bytes": int(line("/proc/meminfo", "MemTotal").split()[0]) << 10,
        "kernel": f"{system.sysname} {system.release} {system.machine}",
        "filesystem": kind.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="a job's name or its beginning")
    parser.add_argument("--runs", type=int, default=7, help="rounds that count (7)")
    parser.add_argument("--data", type=Path, default=DATA, help="where generate.py wrote")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON to write")
    args = parser.parse_args()
    jobs = [j for j in JOBS if not args.jobs or j.name.startswith(tuple(args.jobs))]
    bench = Bench(args.data, args.runs)
    bench.scratch.mkdir(parents=True, exist_ok=True)
    rows = []
    for job in jobs:
        for row in bench.measure(job):
            wall = row.get("wall_s", {})
            figures = f"{wall['min']:.4f} s" if wall else f"FAILED: {row['problem']}"
            print(f"{row['job']:<22} {row['tool']:<16} {figures}", flush=True)
            rows.append(row)
    tools = {tool for job in jobs for tool in job.tools}
    results = {
        "schema": "fastsm.benchmarks/1",
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(args.data),
        "tools": versions(tools, bench.scratch),
        "rows": rows,
    }
    shutil.rmtree(bench.scratch)
    args.results.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(any(row["problem"] for row in rows))


if __name__ == "__main__":
    main()
