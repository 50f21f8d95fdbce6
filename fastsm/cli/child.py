"""The options of verbs that run TensorFlow in a child process."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import Arguments, Option

DEVICE_OPTION: Option = (
    ("--device",),
    {"metavar": "D", "default": "cpu", "help": "cpu (default), gpu, gpu:N, or auto"},
)

#: Where TensorFlow is, and how it is started.
CHILD_OPTIONS: list[Option] = [
    (
        ("--seed",),
        {
            "metavar": "N", "type": int, "default": 0,
            "help": "of made inputs and random ops; else 0",
        },
    ),
    (("--python",), {"metavar": "PY", "help": "the interpreter that has TensorFlow; else this"}),
    (
        ("--import",),
        {
            "metavar": "MODULE", "action": "append", "dest": "imports",
            "help": "import it behind TensorFlow, for the ops it brings; may be repeated",
        },
    ),
    (
        ("--op-library",),
        {
            "metavar": "FILE", "action": "append", "dest": "op_libraries",
            "help": "load this library of custom ops; may be repeated",
        },
    ),
    (
        ("--timeout",),
        {
            "metavar": "S", "type": float, "default": 600.0,
            "help": "seconds for a model in a loader; else 600",
        },
    ),
]  # fmt: skip


def child_keywords(args: Arguments) -> dict[str, Any]:
    """These options as the Python verbs take them."""
    return {
        "device": args.device, "seed": args.seed, "python": args.python,
        "imports": args.imports or (), "op_libraries": args.op_libraries or (),
        "timeout": args.timeout,
    }  # fmt: skip
