"""`fastsm.convert`: a SavedModel of a checkpoint and its graph, or of a frozen graph."""

from __future__ import annotations

import os

from ..commit import commit
from ..edits.convert.model import Conversion
from ..edits.convert.request import Request
from ..errors import FastsmError, UsageError
from ..text import listed
from .transaction import EditResult, check_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .transaction import Path, Tags


class ConvertResult(EditResult):
    """What a conversion did, or would do; beside what `EditResult` has:

    Attributes:
        proposal: The inputs and outputs, and what was left out.
        found: What the model is made from.
        saver, init: What restores the variables, and what else loading runs, in words.
        assets: The files taken along.
        command: The command line that asks for just this, in parts that stand together.
        told: Whether the outputs were said, or guessed as was asked for.
        problem: Where they were not: what stands in the way of taking those proposed; or None.
    """

    __slots__ = ("proposal", "found", "saver", "init", "assets", "command", "told", "problem")

    def __init__(
        self,
        conversion: Conversion,
        out: str | None,
        changes: list[Any],
        warnings: list[str],
        problem: FastsmError | None,
    ) -> None:
        draft, request = conversion.draft, conversion.request
        done = [] if conversion.done is None else [conversion.done]
        where = request.path if out is None else out
        super().__init__(where, draft.folder, draft.plan, changes, warnings, done, None)
        self.proposal = conversion.proposal
        self.found = conversion.found
        self.saver, self.init = conversion.saver, conversion.init
        self.assets = conversion.assets
        self.command = request.command(self.proposal.inputs, self.proposal.outputs)
        self.told = request.told
        self.problem = problem

    def __repr__(self) -> str:
        names = f"inputs={self.proposal.inputs}, outputs={self.proposal.outputs}"
        return f"ConvertResult(changed={self.changed}, path={self.path!r}, {names})"

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "source": self.found.to_dict(),
            "proposal": self.proposal.to_dict(),
            "saver": self.saver,
            "init": self.init,
            "assets": [asset.to_dict() for asset in self.assets],
            "command": " ".join(self.command),
            "told": self.told,
            "problem": None if self.problem is None else self.problem.to_dict(),
        }


def convert(
    src: Path,
    out: Path | None = None,
    *,
    checkpoint: Path | None = None,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    signature: str = "serving_default",
    method: str = "predict",
    tags: Tags = "serve",
    guess: bool = False,
    strip: bool = False,
    assets: Mapping[str, Path] | None = None,
    dry_run: bool = False,
    sync: bool = True,
    receipt: Path | None = None,
    link: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ConvertResult:
    """Make a SavedModel of a checkpoint and its graph, or of a frozen graph.

    The graph keeps its bytes. It gets tags and a signature; its own saver restores the
    variables, or a new one where it has none that can; its init op, or else the initializers of
    its tables and local variables, are run by loading; files that tables read become assets.

    Args:
        src: A checkpoint (its prefix, or its folder) with its .meta; the .meta itself; or a
            GraphDef, as bytes or text.
        out: An absent or empty folder for the model.
        checkpoint: The prefix of the checkpoint, where it does not lie beside the graph.
        inputs, outputs: Name -> tensor, ``x:0``. Without ``inputs`` they are the placeholders
            without a default that the outputs need. Without ``outputs`` some are proposed.
        signature, method: Its key; ``predict``, ``classify``, ``regress``, or a text.
        tags: The tag set.
        guess: Take the outputs that are proposed.
        strip: Write only what the signature needs, as `strip_training_graph` does.
        assets: Tensor -> file, where the path in the graph leads nowhere or too far.
        dry_run: Do all but write.
        sync: Wait until the disk has it.
        receipt: A file for what was done.
        link: Hard links of the checkpoint's and the assets' files, in place of copies.
        progress: Called with (bytes done, bytes in all).

    Raises:
        MissingError: No graph, no checkpoint; a tensor, a key of the checkpoint or an asset
            that is not there.
        AmbiguousError: A folder of several checkpoints, none of them named as the newest.
        RefusedError: The outputs need variables that nothing restores; nothing was written.
        UnsupportedError: A checkpoint of the V1 format, and other things that cannot be read.
        FormatError: The graph or the checkpoint is damaged.
        UsageError: Neither ``out`` nor ``dry_run``; neither ``outputs`` nor ``guess``.
        CommitError: The disk; there is no model.

    Example:
        >>> import fastsm
        >>> result = fastsm.convert("examples/checkpoint", dry_run=True)
        >>> result.proposal.outputs
        {'tags': 'tags:0'}
        >>> result = fastsm.convert("examples/checkpoint", "exported", outputs={"tags": "tags"})
        >>> fastsm.open("exported").signatures["serving_default"].outputs["tags"].name
        'tags:0'
    """
    path = os.fspath(src)
    if out is None and not dry_run:
        problem = "say where to write: out=DIR; or dry_run=True for a look"
        raise UsageError(path, problem)
    request = Request(
        path, checkpoint=None if checkpoint is None else os.fspath(checkpoint), inputs=inputs,
        outputs=outputs, signature=signature, method=method, tags=tags, guess=guess, strip=strip,
        assets=assets,
    )  # fmt: skip
    conversion = Conversion(request)
    if not request.told and not dry_run:
        found = conversion.proposal
        names = [f"{name}={tensor}" for name, tensor in found.outputs.items()]
        raise UsageError(
            path, f"say which tensors are its outputs: outputs=; proposed: {listed(names, 8)}",
            hint="guess=True takes what is proposed; dry_run=True shows it.",
        )  # fmt: skip
    try:
        conversion.carry_out()
    except FastsmError as e:
        if request.told:
            raise
        return ConvertResult(conversion, None, [], conversion.draft.plan.warnings, e)
    draft, done = conversion.draft, conversion.done
    assert done is not None
    plan = draft.finish()
    plan.verb, plan.arguments = done.verb, done.arguments
    where = None if out is None else os.fspath(out)
    committed = commit(
        plan, out=where, dry_run=dry_run, sync=sync, link=link, progress=progress,
        receipt=None if receipt is None else os.fspath(receipt), check=check_of(draft),
    )  # fmt: skip
    return ConvertResult(conversion, where, committed.written, committed.warnings, None)
