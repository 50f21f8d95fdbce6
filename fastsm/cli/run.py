"""Run a signature of a model with TensorFlow, and print what it returns. TensorFlow
runs in a process of its own; --python names another interpreter that has it."""

from __future__ import annotations

import sys

from ..errors import UsageError
from ..proof.report import LOADERS
from ..proof.run import DEFAULT_SIGNATURE, run_in, write_npz
from ..proof.setting import Setting
from ..text import counted, printable, tag_set
from .child import CHILD_OPTIONS, DEVICE_OPTION, child_keywords
from .editing import parse_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..bundle.variables import Array
    from ..proof.run import Ran
    from . import Arguments, Option

EPILOG = """inputs:
  --inputs takes numpy's npz files; an array is called INPUT, or SIGNATURE/INPUT
  --input x='[[1, 2, 3]]' is JSON; --input x=@x.npy a file of one array
  --example x='[{"age": [22], "name": ["ann"]}]' makes serialised tf.Examples
  the parts of a sparse input x are x[values], x[indices], x[dense_shape], those
  of a ragged one x[flat_values], x[row_splits/0], ...
  a float may become a narrower one, an integer what holds it, and nothing else

example:
  fastsm run export/1 serving_default --inputs batch.npz --out scores.npz
  fastsm run export/1 serving_default --input x='[[0.5, 2.0]]'
  fastsm run export/1 --random --loader cc
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder"}),
    (
        ("signature",),
        {
            "metavar": "SIGNATURE", "nargs": "?", "default": DEFAULT_SIGNATURE,
            "help": f"its key; else {DEFAULT_SIGNATURE}",
        },
    ),
    (("--inputs",), {"metavar": "FILE", "help": "an npz file that has the inputs"}),
    (
        ("--input",),
        {
            "metavar": "NAME=VALUE", "action": "append",
            "help": "one input, as JSON or @FILE.npy; may be repeated",
        },
    ),
    (
        ("--example",),
        {
            "metavar": "NAME=JSON", "action": "append", "dest": "examples",
            "help": "tf.Examples for one input; may be repeated",
        },
    ),
    (("--random",), {"action": "store_true", "help": "make the inputs that are not given"}),
    (("--tags",), {"metavar": "SET", "help": "the tag set of the meta graph; else the only one"}),
    (
        ("--loader",),
        {
            "metavar": "NAME", "default": "v2",
            "help": "v2 (tf.saved_model.load, default), v1 (a session), or cc (C++, as TF Serving)",
        },
    ),
    DEVICE_OPTION,
    (("--out",), {"metavar": "FILE", "help": "write the outputs into this npz file"}),
    (("--force",), {"action": "store_true", "help": "replace it if it is there"}),
    (("--no-sync",), {"action": "store_true", "help": "do not wait for the disk"}),
    *CHILD_OPTIONS,
]  # fmt: skip


def run(args: Arguments) -> int:
    given = {name: _value(name, text) for name, text in _pairs("--input", args.input)}
    examples = {name: _examples(name, text) for name, text in _pairs("--example", args.examples)}
    if given and args.inputs is not None:
        raise UsageError("", "--inputs and --input: one of them")
    keywords = child_keywords(args)
    timeout = keywords.pop("timeout")
    ran = run_in(
        Setting(**keywords), args.path, args.signature, given or args.inputs, examples=examples,
        random=args.random, tags=None if args.tags is None else parse_set(args.tags),
        loader=args.loader, timeout=timeout,
    )  # fmt: skip
    if args.out is not None:
        write_npz(args.out, ran.outputs, force=args.force, sync=not args.no_sync)
    if args.json:
        from .output import to_json

        print(to_json({"schema": "fastsm.run/1", **record(ran, args.out)}))
    elif not args.quiet:
        for line in lines(ran):
            print(line)
        if args.out is not None:
            print(f"{printable(args.out, None)}   {counted(len(ran.outputs), 'output')}")
    if not args.json:
        for note in ran.notes:
            print(f"note: {note}", file=sys.stderr)
    return 0


def _pairs(option: str, words: list[str] | None) -> Iterator[tuple[str, str]]:
    """NAME=VALUE, each name once."""
    seen = set()
    for word in words or ():
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise UsageError("", f"{option} takes NAME=VALUE, not {printable(word)!r}")
        if name in seen:
            raise UsageError("", f"{option} {printable(name)} is given twice")
        seen.add(name)
        yield name, value


def _value(name: str, text: str) -> Any:
    """What an input is to be: JSON, or the array of a file."""
    if not text.startswith("@"):
        return _json("--input", name, text)
    from ..proof.child import given

    try:
        return given.array(text[1:])
    except given.Unfitting as e:
        raise UsageError(text[1:], printable(str(e), 500)) from None


def _examples(name: str, text: str) -> list[dict[str, Any]]:
    found = _json("--example", name, text)
    several = found if isinstance(found, list) else [found]
    if not all(isinstance(features, dict) for features in several):
        raise UsageError("", f"--example {printable(name)}: objects are wanted, one an Example")
    return several


def _json(option: str, name: str, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise UsageError(
            "", f"{option} {printable(name)}: this is no JSON: {e}",
            hint="Text stands in quotes, and lists in brackets: --input 'x=[\"a\", \"b\"]'",
        ) from None  # fmt: skip


def lines(ran: Ran) -> Iterator[str]:
    """The screen: what ran, inputs that were made, outputs."""
    yield (
        f"{printable(ran.path, None)}   {printable(ran.signature)} in {tag_set(ran.tags)}, "
        f"{LOADERS[ran.loader]}"
    )
    yield ran.settings
    if len(ran.devices) > 1:
        nodes = ", ".join(f"{device} {n:,}" for device, n in ran.devices.items())
        yield f"nodes: {nodes}"
    if ran.how != "given":
        yield f"inputs   ({ran.how})"
        yield from _arrays(ran.inputs)
    yield "outputs"
    yield from _arrays(ran.outputs)
    for name in ran.handles:
        yield f"  {printable(name)}: a handle, no values"


def _arrays(arrays: dict[str, Array]) -> Iterator[str]:
    from .values import as_text

    for name, array in arrays.items():
        yield f"  {printable(name)}: {_spec(array)}"
        for line in as_text(array).splitlines():
            yield f"    {line}"


def _spec(array: Array) -> str:
    from ..proof.child.arrays import dtype_name

    return f"{dtype_name(array.dtype)}[{', '.join(map(str, array.shape))}]"


def record(ran: Ran, out: str | None) -> dict[str, Any]:
    """What --json prints."""
    found = {name: value for name, value in ran._values() if name not in ("inputs", "outputs")}
    for name in ("inputs", "outputs"):
        found[name] = {key: _described(array) for key, array in getattr(ran, name).items()}
    return {**found, "out": out}


def _described(array: Array) -> dict[str, Any]:
    from ..proof.child.arrays import dtype_name
    from .values import MAX_VALUES, plain_values

    return {
        "dtype": dtype_name(array.dtype),
        "shape": list(array.shape),
        "values": plain_values(array) if array.size <= MAX_VALUES else None,
    }
