"""What runs in a child: a call in process, timed again and again; or a tool's version.

    python -m benchmarks.child TOOL VERB MODEL WORK SYNC REPEAT
    python -m benchmarks.child TOOL

Prints a line of JSON: the calls' times, the process's peak memory, and what came out.
"""
from __future__ import annotations

import json
import sys
import time

from .adapters import adapter
from .files import link_model


def peak_bytes() -> int:
    with open("/proc/self/status") as status:
        return next(int(s.split()[1]) << 10 for s in status if s.startswith("VmHWM:"))


def measure(
    tool: str, verb: str, model: str, work: str, sync: bool, repeat: int
) -> dict[str, object]:
    """Time a call: once to warm up, then ``repeat`` times, each on fresh files."""
    link_model(model, work)
    call = adapter(tool).call(verb, model, work, sync)
    walls, cpus = [], []
    for _ in range(repeat + 1):
        link_model(model, work)
        call.before()
        wall, cpu = time.perf_counter(), time.process_time()
        call.run()
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
    return {
        "wall_s": walls[1:],
        "cpu_s": cpus[1:],
        "peak_bytes": peak_bytes(),
        "result": call.result(),
    }


def main(tool: str, *words: str) -> None:
    if not words:
        print(json.dumps(adapter(tool).version()))
        return
    verb, model, work, sync, repeat = words
    print(json.dumps(measure(tool, verb, model, work, sync == "sync", int(repeat))))


if __name__ == "__main__":
    main(*sys.argv[1:])
