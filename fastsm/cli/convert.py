"""Make a SavedModel of a checkpoint and its graph (.meta), or of a frozen graph: without
TensorFlow, and without the code that built it.

SRC is a checkpoint's prefix or its folder, with the .meta beside it; a .meta itself; or
a GraphDef (.pb, .pbtxt). Without --output it shows which inputs and outputs it would
take, and the command that takes them, and writes nothing."""

from __future__ import annotations

import sys

from ..text import counted, listed, printable, shell, size
from ..verbs.convert import convert
from .add_signature import named
from .editing import EDIT_OPTIONS, parse_set
from .output import wrapped
from .progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..verbs.convert import ConvertResult
    from . import Arguments, Option

EPILOG = """example:
  fastsm convert train/model.ckpt-1000
  fastsm convert train/model.ckpt-1000 --output y=probs:0 --out export/1
  fastsm convert frozen.pb --output scores=Softmax:0 --out export/1
"""

#: Those options of editing verbs that make sense for a model that is new; other words for some.
_SHARED = {
    "--out": "write the model into this folder, absent or empty",
    "--dry-run": "", "--receipt": "", "--no-sync": "",
    "--link": "hard links to the checkpoint's files, not copies",
}  # fmt: skip

#: So many lines of a kind are shown.
_MOST = 12

#: A command goes on in the next line from here.
_WIDTH = 84

OPTIONS: list[Option] = [
    (("path",), {"metavar": "SRC", "help": "a checkpoint, its .meta, or a frozen graph"}),
    (
        ("--checkpoint",),
        {"metavar": "PREFIX", "help": "the checkpoint, if it is not beside the graph"},
    ),
    (
        ("--input",),
        {"metavar": "NAME=TENSOR", "action": "append",
         "help": "an input; without any: the placeholders that the outputs need"},
    ),
    (
        ("--output",),
        {"metavar": "NAME=TENSOR", "action": "append", "help": "an output; may be repeated"},
    ),
    (("--guess",), {"action": "store_true", "help": "take the outputs that are proposed"}),
    (
        ("--signature",),
        {"metavar": "KEY", "default": "serving_default", "help": "its key (serving_default)"},
    ),
    (
        ("--method",),
        {"metavar": "METHOD", "default": "predict",
         "help": "predict (so without this), classify, regress, or a text"},
    ),
    (("--tags",), {"metavar": "SET", "default": "serve", "help": "the tag set (serve)"}),
    (
        ("--asset",),
        {"metavar": "TENSOR=FILE", "action": "append",
         "help": "the file for the path in that tensor; may be repeated"},
    ),
    (("--strip",), {"action": "store_true", "help": "write only what the signature needs"}),
    *((flags, {**how, "help": _SHARED[flags[0]] or how["help"]})
      for flags, how in EDIT_OPTIONS if flags[0] in _SHARED),
]  # fmt: skip


def run(args: Arguments) -> int:
    files = named(args.asset, "--asset", "TENSOR=FILE", first=True)
    outputs = named(args.output, "--output") if args.output else None
    told = outputs is not None or args.guess
    dry_run = args.dry_run or not told or args.out is None
    result = convert(
        args.path, args.out if told else None, checkpoint=args.checkpoint,
        inputs=named(args.input, "--input") if args.input else None, outputs=outputs,
        signature=args.signature, method=args.method, tags=parse_set(args.tags),
        guess=args.guess, strip=args.strip, assets=files, dry_run=dry_run, sync=not args.no_sync,
        receipt=None if dry_run else args.receipt, link=args.link and not dry_run,
        progress=None if args.quiet or args.json else Progress(),
    )  # fmt: skip
    if args.json:
        from .output import to_json

        print(to_json({"schema": "fastsm.convert/1", "dry_run": dry_run, **result.to_dict()}))
    elif not args.quiet:
        for line in _lines(args, result, dry_run):
            print(line)
    if not args.json:
        for warning in result.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if not dry_run:
        if not args.quiet and not args.json:
            for line in _how_to_call(args, result):
                print(line)
        return 0
    if not args.json:
        sys.stdout.flush()  # which comes first, also where both are one
        for line in _not_written(args, result):
            print(line, file=sys.stdout if args.dry_run else sys.stderr)
    return 0 if args.dry_run else 2


def _lines(args: Arguments, result: ConvertResult, dry_run: bool) -> Iterator[str]:
    found, proposal = result.found, result.proposal
    by = f", TensorFlow {printable(found.tensorflow_version)}" if found.tensorflow_version else ""
    what = "a graph with its checkpoint" if found.checkpoint else "a graph"
    yield f"{printable(args.path, None)}   {what}{by}" + " " * 3 * dry_run + "(dry run)" * dry_run
    kind = "text, " if found.is_text else ""
    yield (
        f"  graph        {printable(found.file, None)}  {kind}{size(found.bytes)}, "
        f"{counted(found.nodes, 'node')}, {counted(found.variables, 'variable')}"
    )
    if found.checkpoint:
        yield f"  checkpoint   {printable(found.checkpoint, None)}"
    yield ""
    given = "" if result.told and not args.guess else " (proposed)"
    yield f"signature {printable(args.signature)}{given}"
    rows = [("input", n, t) for n, t in proposal.inputs.items()]
    rows += [("output", n, t) for n, t in proposal.outputs.items()]
    yield from _table([(a, printable(n), printable(t), proposal.spec(t)) for a, n, t in rows])
    if not proposal.inputs:
        yield "  no input: the outputs need no placeholder"
    if not proposal.outputs:
        yield "  no output: no tensor of the graph is plainly one"
    for tensor in proposal.defaults[:_MOST]:
        yield f"  not sent     {printable(tensor)}  {proposal.spec(tensor)}: has a default"
    if given:
        yield from _left_out(result)
    if result.problem is None:
        yield "when it is loaded"
        yield f"  restores     {result.saver}"
        yield f"  runs         {result.init}"
        for asset in result.assets:
            name, file = printable(asset.name), printable(asset.file, None)
            yield f"  asset        {name} from {file}, fed to {printable(asset.tensor)}"
        for change in result.changes if not dry_run else ():
            yield f"  written      {printable(change.name)}  {size(change.after or 0)}"


def _left_out(result: ConvertResult) -> Iterator[str]:
    """The tensors that were not taken, by the reason."""
    reasons: dict[str, list[str]] = {}
    for left in result.proposal.left_out:
        words = f"{printable(left.tensor)} {result.proposal.spec(left.tensor)}"
        reasons.setdefault(left.why, []).append(words)
    if reasons:
        yield "left out"
    for why, names in reasons.items():
        yield from wrapped(listed(names, _MOST), "  ", "  ")
        yield f"    {why}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows in columns, as wide as they need to be."""
    columns = list(zip(*rows, strict=True))
    widths = [min(max(map(len, column)), 40) for column in columns[:-1]]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        yield "  " + "  ".join([*cells, row[-1]])


def _not_written(args: Arguments, result: ConvertResult) -> Iterator[str]:
    """Why, and what to do."""
    if result.problem is not None:
        yield f"it cannot be converted so: {result.problem.problem}"
        if result.problem.hint:
            yield f"  {result.problem.hint}"
    yield "nothing written. To write:" if not (args.dry_run and result.told) else "nothing written."
    if not (args.dry_run and result.told):
        command = list(result.command)
        if not result.proposal.outputs:
            command.insert(-1, "--output NAME=TENSOR")
        line, lines = "  " + command[0], []
        for part in command[1:]:
            if len(line) + len(part) > _WIDTH:
                lines.append(line + " \\")
                line = "   "
            line += f" {part}"
        yield "\n".join([*lines, line])


def _how_to_call(args: Arguments, result: ConvertResult) -> Iterator[str]:
    from ..model import SavedModel
    from ..model import open as open_model
    from ..snippets import snippets

    model = open_model(args.out)
    assert isinstance(model, SavedModel)
    graph = model.meta_graphs[0]
    for snippet in snippets(model, graph, args.signature):
        if snippet.kind == "python-v2" and snippet.text:
            yield "to call it:"
            yield from (f"  {line}" for line in snippet.text.rstrip().splitlines())
    yield f"fastsm explain {shell(args.out)} tells how else"
