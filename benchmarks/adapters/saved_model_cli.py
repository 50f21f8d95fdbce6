"""saved_model_cli, TensorFlow's own tool, as its wheel installs it."""
from __future__ import annotations

import os
import sys

FLAGS = {
    "show": ["--tag_set", "serve", "--signature_def", "serving_default"],
    "show-all": ["--all"],
}


def version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for wheel in ("tensorflow-cpu", "tensorflow"):
        try:
            return f"TensorFlow {version(wheel)}"
        except PackageNotFoundError:
            continue
    raise ModuleNotFoundError("no TensorFlow")


def command(verb: str, model: str, work: str, sync: bool) -> list[str]:
    script = os.path.join(os.path.dirname(sys.executable), "saved_model_cli")
    return [sys.executable, script, "show", "--dir", model, *FLAGS[verb]]
