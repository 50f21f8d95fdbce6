"""The list of sources, by name. A builder is a function of TensorFlow and a folder.

TensorFlow comes as an argument, as in tests.models.
"""
from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

TF: TypeAlias = ModuleType
Function: TypeAlias = Callable[[TF], None]

SEED = 7


class Source(NamedTuple):
    """A builder of what is converted, and how it is.

    Attributes:
        name: The function's.
        function: Writes it into the current folder.
        oddity: What the source is there for: the first line of the docstring.
        src: What is converted; of the folder, as all paths here are.
        inputs, outputs: alias -> tensor, of the signature.
        options: What else convert is told: ``checkpoint``, ``assets``, ``tags``, ...
        restored: What TensorFlow restores: the ``.meta`` and the checkpoint's prefix, or the
            frozen graph and "". Empty where that follows from ``src``.
        feeds: alias -> values, where made-up inputs would not be valid.
        own_saver: Whether TensorFlow can restore it by the saver that the graph has.
        proposed: Whether convert, when not told, proposes these inputs and outputs.
        refused: What the error says where convert cannot do it, as a regular expression.
    """

    name: str
    function: Function
    oddity: str
    src: str
    inputs: Mapping[str, str] = {}
    outputs: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}
    restored: tuple[str, str] = ("", "")
    feeds: Mapping[str, Any] = {}
    own_saver: bool = True
    proposed: bool = True
    refused: str = ""

    @property
    def from_tensorflow(self) -> tuple[str, str]:
        """The file of the graph, and the checkpoint's prefix or ""."""
        if self.restored[0]:
            return self.restored
        if self.src.endswith((".pb", ".pbtxt")):
            return self.src, ""
        return f"{self.src}.meta", self.src


SOURCES: dict[str, Source] = {}


def source(src: str, **of: Any) -> Callable[[Function], Function]:
    """Registers a builder under its function's name."""

    def register(function: Function) -> Function:
        name = function.__name__
        oddity = (function.__doc__ or "").strip().splitlines()[0]
        SOURCES[name] = Source(name, function, oddity, src, **of)
        return function

    return register


def build(name: str, out: str | os.PathLike[str], *, tf: TF) -> None:
    """Builds one source into the new folder ``out``, from within: no path of it is in there.

    But for what is to have an absolute path. Call it in a process of its own.

    Raises:
        KeyError: no such source.
    """
    import numpy as np

    random.seed(SEED)
    np.random.seed(SEED)
    tf.random.set_seed(SEED)
    Path(out).mkdir()
    os.chdir(out)
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(SEED)
        SOURCES[name].function(tf)
