"""Write the variables of a model, or of a checkpoint, into one file for other programs.

npz is numpy's format; safetensors wants the package of that name. Each tensor is held
against its checksum first. A dtype that the format has not is an error (7)."""

from __future__ import annotations

import sys

from ..export import export_weights
from ..text import count, counted, printable, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Arguments, Option

EPILOG = """example:
  fastsm export-weights export/1 weights.safetensors
  fastsm export-weights checkpoints/model.ckpt-1000 kernels.npz --only "*kernel*"
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder, or a checkpoint's prefix"}),
    (("out",), {"metavar": "OUT", "help": "the file to write"}),
    (("--to",), {"metavar": "FORMAT", "help": "npz or safetensors; else as OUT ends"}),
    (
        ("--names",),
        {
            "metavar": "WHICH", "default": "object",
            "help": "object: by the objects that lead to a variable (default); "
            "key: by the checkpoint's keys",
        },
    ),
    (("--only",), {"metavar": "GLOB", "help": "those whose name or key fits this pattern"}),
    (("--force",), {"action": "store_true", "help": "replace OUT if it is there"}),
    (("--no-sync",), {"action": "store_true", "help": "do not wait for the disk"}),
]  # fmt: skip


def run(args: Arguments) -> int:
    progress = None
    if not args.quiet and not args.json:
        from .progress import Progress

        progress = Progress()
    result = export_weights(
        args.path, args.out, to=args.to, names=args.names, only=args.only, force=args.force,
        sync=not args.no_sync, progress=progress,
    )  # fmt: skip
    if args.json:
        from .output import to_json

        print(to_json({"schema": "fastsm.export-weights/1", **result.to_dict()}))
        return 0
    if not args.quiet:
        n = counted(len(result.tensors), "tensor")
        print(f"{printable(result.path, None)}   {result.format}, {n}, {size(result.bytes)}")
        for tensor in result.tensors[:MAX_LISTED]:
            shape = ", ".join(map(str, tensor.shape))
            print(f"  {printable(tensor.name)}: {tensor.dtype}[{shape}]")
        if len(result.tensors) > MAX_LISTED:
            print(f"  and {count(len(result.tensors) - MAX_LISTED)} more")
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


#: So many tensors are listed; --json has them all.
MAX_LISTED = 20
