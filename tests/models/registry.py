"""The list of models, by name. A builder is a function of TensorFlow and a folder.

TensorFlow comes as an argument, so that names and docstrings can be listed (and
tests collected) where it is not installed.
"""
from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

TF: TypeAlias = ModuleType
Function: TypeAlias = Callable[[TF, Path], None]

SEED = 7


class Model(NamedTuple):
    """A builder of one model.

    Attributes:
        name: The function's.
        function: Writes the model into a folder that does not exist yet.
        oddity: What the model is there for: the first line of the docstring.
        needs: Modules that it imports beside TensorFlow.
        feeds: signature -> alias -> values, where made-up inputs would not be valid.
    """

    name: str
    function: Function
    oddity: str
    needs: tuple[str, ...] = ()
    feeds: Mapping[str, Mapping[str, Any]] = {}


MODELS: dict[str, Model] = {}


def model(
    *, needs: tuple[str, ...] = (), feeds: Mapping[str, Mapping[str, Any]] | None = None
) -> Callable[[Function], Function]:
    """Registers a builder under its function's name."""

    def register(function: Function) -> Function:
        name = function.__name__
        oddity = (function.__doc__ or "").strip().splitlines()[0]
        MODELS[name] = Model(name, function, oddity, needs, feeds or {})
        return function

    return register


def _be_deterministic() -> None:
    """For what a seed does not reach: names with a uuid, and sets ordered by address."""
    from tensorflow.python.util.object_identity import ObjectIdentityWeakSet

    # tf_keras names the implementations of an LSTM so.
    uuid.uuid4 = lambda: uuid.UUID(int=random.getrandbits(128), version=4)

    # The variables of a traced function; Keras 3 exports them in this order.
    by_address = ObjectIdentityWeakSet.__iter__

    def by_name(variables: ObjectIdentityWeakSet) -> Iterator[Any]:
        return iter(sorted(by_address(variables), key=lambda v: getattr(v, "_unique_id", "")))

    ObjectIdentityWeakSet.__iter__ = by_name


def build(name: str, out: str | os.PathLike[str], *, tf: TF) -> None:
    """Builds one model into ``out``: same name, same TensorFlow, same bytes.

    But for the uuid in fingerprint.pb, the order of files in the debug info, and that of maps in
    a collection's CondContextDef. Call it in a process where TensorFlow has done nothing yet:
    functions are named by a global counter.

    Raises:
        KeyError: no such model.
    """
    import numpy as np

    _be_deterministic()
    random.seed(SEED)
    np.random.seed(SEED)
    tf.random.set_seed(SEED)
    MODELS[name].function(tf, Path(out))
