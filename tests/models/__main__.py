"""python -m tests.models OUT [NAME...]"""
from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from ..oracle import Oracle, TensorFlowFailed
from . import MODELS


def main() -> int:
    listed = "\n".join(f"  {m.name:24} {m.oddity}" for m in MODELS.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.models",
        description="Build test models with TensorFlow, each into OUT/NAME.",
        epilog="models:\n" + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(MODELS)):
        parser.error(f"no model {', '.join(unknown)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = False
    with Oracle() as oracle:
        for name in arguments.names or MODELS:
            missing = [n for n in MODELS[name].needs if not importlib.util.find_spec(n)]
            if missing:
                print(f"{name}: skipped, no {', '.join(missing)} here", file=sys.stderr)
                continue
            try:
                oracle.build(name, (arguments.out / name).resolve(), needs=MODELS[name].needs)
            except TensorFlowFailed as e:
                print(f"{name}: {e}", file=sys.stderr)
                failed = True
            else:
                print(name)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
