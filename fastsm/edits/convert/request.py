"""What a conversion is asked for."""

from __future__ import annotations

import os

from ...text import Record, shell
from ...views import as_tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Request(Record):
    """What a conversion is asked for.

    Attributes:
        path: What the model is made from.
        checkpoint: The prefix of the checkpoint, where ``path`` does not say it.
        inputs, outputs: Name -> tensor; None: to be proposed.
        signature, method: The key of the signature, and its method.
        tags: The tag set.
        guess: Whether to take what is proposed.
        strip: Whether only what the signature needs is written.
        assets: Tensor -> file, for paths that lead nowhere.
    """

    __slots__ = (
        "assets", "checkpoint", "guess", "inputs", "method", "outputs", "path", "signature",
        "strip", "tags",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        checkpoint: str | None = None,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        signature: str = "serving_default",
        method: str = "predict",
        tags: str | Iterable[str] = "serve",
        guess: bool = False,
        strip: bool = False,
        assets: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> None:
        self.path = path
        self.checkpoint = checkpoint
        self.inputs = None if inputs is None else dict(inputs)
        self.outputs = None if outputs is None else dict(outputs)
        self.signature = signature
        self.method = method
        self.tags = as_tag_set(tags, path)
        self.guess = guess
        self.strip = strip
        self.assets = {tensor: os.fspath(file) for tensor, file in (assets or {}).items()}

    @property
    def told(self) -> bool:
        """Whether nothing is left to be proposed, or that may be taken."""
        return self.guess or self.outputs is not None

    def arguments(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> dict[str, Any]:
        """By the names of `fastsm.convert`'s parameters, as JSON has them."""
        out: dict[str, Any] = {"inputs": dict(inputs), "outputs": dict(outputs)}
        out |= {"signature": self.signature, "method": self.method, "tags": sorted(self.tags)}
        if self.checkpoint is not None:
            out["checkpoint"] = self.checkpoint
        if self.strip:
            out["strip"] = True
        return {**out, "assets": self.assets} if self.assets else out

    def command(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
        """The command line that asks for it, in parts that stand together."""
        parts = [f"fastsm convert {shell(self.path)}"]
        if self.checkpoint is not None:
            parts.append(f"--checkpoint {shell(self.checkpoint)}")
        parts += [f"--input {shell(f'{name}={tensor}')}" for name, tensor in inputs.items()]
        parts += [f"--output {shell(f'{name}={tensor}')}" for name, tensor in outputs.items()]
        if self.signature != "serving_default":
            parts.append(f"--signature {shell(self.signature)}")
        if self.method != "predict":
            parts.append(f"--method {shell(self.method)}")
        if self.tags != {"serve"}:
            parts.append(f"--tags {shell(','.join(sorted(self.tags)))}")
        parts += [f"--asset {shell(f'{t}={file}')}" for t, file in self.assets.items()]
        return [*parts, *(["--strip"] if self.strip else []), "--out DIR"]
