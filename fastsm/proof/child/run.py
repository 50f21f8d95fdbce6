"""The job "run": one call of one model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import arrays, inputs
from .examine import failed
from .opened import opened


def run(
    path: str, loader: str, tags: Sequence[str], call: str, want: Mapping[str, Any], keep: str
) -> dict[str, Any]:
    """Load a model and run it.

    Args:
        path: The model.
        loader: ``v2``, ``v1`` or ``cc``.
        tags: Of the meta graph.
        call: ``signature:KEY`` or ``callable:NAME(SPECS)``.
        want: What it is fed; see `inputs.sets_of`, of which the first set counts.
        keep: A folder for the arrays.

    Returns:
        calls: Where it has no such call: those that it has. Then there is nothing else.
        how: Where the inputs are from.
        inputs, outputs: Files of arrays; no outputs where it failed.
        failed: The error or None: type, text, and whether the inputs are to blame.
        handles: Outputs that are no values.
        devices: Device -> how many nodes ran there.
    """
    with opened(path, loader, tags) as model:
        if call not in model.calls:
            return {"calls": list(model.calls)}
        here = model.calls[call]
        one = next(inputs.sets_of(here, {**want, "first": True}, model))
        files = {"inputs": one.feed, "outputs": one.outputs}
        answer: dict[str, Any] = {"how": one.how, "failed": None}
        for name, kept in files.items():
            answer[name] = None if kept is None else os.path.join(keep, name)
            if kept is not None:
                arrays.save(answer[name], kept)
        if one.error is not None:
            unfit = isinstance(one.error, inputs.InputError)
            answer["failed"] = {**failed(one.error), "unfit": unfit}
        outputs = one.outputs or {}
        answer["handles"] = [name for name in here.outputs if one.outputs and name not in outputs]
        answer["devices"] = model.placement.told()["devices"]
        return answer
