"""Add a signature for tensors of the graph, whose dtypes and shapes it has from there. In
place unless --out says where; fingerprint.pb stays true.

tf.saved_model.load of a TF2 model does not see it: it takes functions. TensorFlow
Serving, sessions and saved_model_cli go by tensors, and do."""

from __future__ import annotations

from ..errors import UsageError
from ..text import printable
from ..verbs.signatures import add_signature
from .editing import EDIT_OPTIONS, GRAPH_OPTIONS, graph_keywords, keywords, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm add-signature export/1 embed --input words=words:0 --output vectors=Gather:0
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (("key",), {"metavar": "KEY", "help": "the new signature"}),
    (
        ("--input",),
        {"metavar": "NAME=TENSOR", "action": "append", "help": "an input; may be repeated"},
    ),
    (
        ("--output",),
        {"metavar": "NAME=TENSOR", "action": "append", "help": "an output; may be repeated"},
    ),
    (
        ("--method",),
        {"metavar": "METHOD", "default": "predict",
         "help": "predict (so without this), classify, regress, or a text"},
    ),
    *GRAPH_OPTIONS,
    *EDIT_OPTIONS,
]  # fmt: skip


def run(args: Arguments) -> int:
    options = {**graph_keywords(args), **keywords(args)}
    inputs, outputs = named(args.input, "--input"), named(args.output, "--output")
    result = add_signature(
        args.path, args.key, inputs, outputs, method=args.method, **options
    )
    return report(args, "add-signature", result)


def named(
    words: list[str] | None, option: str, form: str = "NAME=TENSOR", *, first: bool = False
) -> dict[str, str]:
    """``NAME=TENSOR`` by name; a tensor's name has no equals sign, and a name may.

    Args:
        form: What to say, where it is something else.
        first: Whether the first equals sign counts, and not the last.
    """
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=") if first else word.rpartition("=")
        if not equals or not value:
            raise UsageError("", f"{option} {printable(word)}: say {form}")
        if name in found:
            raise UsageError("", f"{option} {printable(name)} is named twice")
        found[name] = value
    return found
