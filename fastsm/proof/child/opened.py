"""A model that TensorFlow has loaded, in any of its loaders, behind one interface.

Composites are flattened alike everywhere: the parts of a sparse input ``x`` are ``x[indices]``,
``x[values]`` and ``x[dense_shape]``, those of a ragged one ``x[flat_values]``,
``x[row_splits/0]``, ... from the outermost; of any other ``x[0]``, ``x[1]``, ...
"""

from __future__ import annotations

import functools
import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels
from tensorflow.python.saved_model import loader_impl

from . import arrays
from .arrays import Array

#: Signatures that TensorFlow keeps for itself: what initialises and what trains.
INTERNAL = "__saved_model_"

#: Dtypes whose tensors are handles, and no values.
HANDLES = ("resource", "variant")

#: The parts of a composite, as tf.nest flattens it.
_ROLES: dict[type, Sequence[str]] = {
    tf.SparseTensorSpec: ("indices", "values", "dense_shape"),
    tf.IndexedSlicesSpec: ("values", "indices", "dense_shape"),
}


NOT_INITIALISED = "not initialised"


class Unreadable(NamedTuple):
    """A resource whose value cannot be had, and why."""

    why: str


class Spec(NamedTuple):
    """An input or an output of a call, or a part of a composite one.

    Attributes:
        alias: Its name.
        role: Of which part of a composite this is; None where it is a tensor by itself.
        dtype: As TensorFlow calls it, ``float32``.
        shape: Its dimensions, None where one is unknown; None for an unknown rank.
        optional: Whether an input may be left out, since the model has a value for it.
        default: That value where it is known, or what SignatureDef.defaults says.
    """

    alias: str
    role: str | None
    dtype: str
    shape: tuple[int | None, ...] | None
    optional: bool = False
    default: Array | None = None

    @property
    def name(self) -> str:
        """What it is fed or found by."""
        return self.alias if self.role is None else f"{self.alias}[{self.role}]"


class Call(NamedTuple):
    """What can be run.

    Attributes:
        kind: ``signature`` or ``callable``.
        key: A signature's key, or a function's name and what it takes.
        inputs: By the name that each is fed by.
        outputs: By name, where they are known before it runs.
        run: Feeds arrays by name, in their order, and gives those that come out. Outputs that
            are handles are left out.
    """

    kind: str
    key: str
    inputs: dict[str, Spec]
    outputs: dict[str, Spec]
    run: Callable[[Mapping[str, Array]], dict[str, Array]]

    def lacking(self, feed: Mapping[str, Array]) -> list[str]:
        """Inputs that must be fed, and are not."""
        return sorted(n for n, spec in self.inputs.items() if n not in feed and not spec.optional)


class Table(NamedTuple):
    """What a lookup table holds, in the order of its keys."""

    keys: Array
    values: Array


class Opened(ABC):
    """A loaded model.

    Attributes:
        path: Its folder.
        tags: Of the meta graph.
        calls: id -> what can be run: ``signature:KEY``, and in v2 ``callable:NAME(SPECS)``.
        placement: Where the nodes of calls have run.
    """

    calls: dict[str, Call]

    def __init__(self, path: str, tags: list[str]) -> None:
        self.path, self.tags = path, tags
        self.placement = Placement(path, tags)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds."""

    @abstractmethod
    def variables(self) -> Iterator[tuple[str, Array | Unreadable]]:
        """Its variables and their values, one after the other: none is held longer.

        By name of the node in the main graph; in v2 by the first path from the root that leads
        to each, ``layers/0/kernel``. A variant is what it serialises to.
        """

    def names(self) -> dict[str, str]:
        """What variables are called besides, where `variables` goes by paths: path -> name."""
        return {}

    def first_paths(self, paths: Sequence[str]) -> dict[str, str]:
        """Those of some paths from the root that lead to an object -> the first that does."""
        return {}

    @abstractmethod
    def tables(self) -> Iterator[tuple[str, Table | Unreadable]]:
        """Its lookup tables and what they hold."""

    @abstractmethod
    def assets(self) -> dict[str, str]:
        """Name -> the file that the loader has for it."""

    @abstractmethod
    def other(self) -> list[str]:
        """Ops of resources that are neither variables nor tables: nobody can look into them."""


class Placement:
    """Where nodes have run."""

    #: Why an op did not run on the GPU, the strongest reason last; "host": TensorFlow's choice.
    REASONS = ("host", "pinned by the model", "no kernel there")

    def __init__(self, path: str, tags: Sequence[str]) -> None:
        self._model = path, tags
        self._n_nodes: Counter[str] = Counter()
        self._elsewhere: dict[str, str] = {}

    def add(self, graphs: Iterable[Any]) -> None:
        """Add what ran, a GraphDef a device."""
        has_gpu = _has_gpu()
        for graph in graphs:
            for node in graph.node:
                device = node.device.rpartition("device:")[2]
                self._n_nodes[device] += 1
                if has_gpu and device.startswith("CPU") and not node.op.startswith("_"):
                    known = self._elsewhere.get(node.op, "host")
                    self._elsewhere[node.op] = max(known, self._why(node), key=self.REASONS.index)

    def told(self) -> dict[str, Any]:
        """What is said of it.

        Returns:
            devices: ``CPU:0`` -> how many nodes.
            elsewhere: Where there is a GPU: ops of which any node ran on the CPU -> one of
                `REASONS`.
        """
        return {
            "devices": dict(sorted(self._n_nodes.items())),
            "elsewhere": dict(sorted(self._elsewhere.items())),
        }

    def _why(self, node: Any) -> str:
        if not runs_on_gpu(node):
            return "no kernel there"
        pinned = any(f"/{node.name}".endswith(f"/{n}") for n in self._pinned.get(node.op, ()))
        return "pinned by the model" if pinned else "host"

    @functools.cached_property
    def _pinned(self) -> dict[str, list[str]]:
        """Op -> names of the nodes that the model has on a CPU; of bodies, within them."""
        path, tags = self._model
        graph = loader_impl.SavedModelLoader(path).get_meta_graph_def_from_tags(tags).graph_def
        pinned: dict[str, list[str]] = {}
        for body in (graph.node, *(f.node_def for f in graph.library.function)):
            for node in body:
                if "CPU" in node.device.upper():
                    pinned.setdefault(node.op, []).append(node.name)
        return pinned


def runs_on_gpu(node: Any) -> bool:
    """Whether TensorFlow has a kernel for a node there: one of "DEFAULT" is for any device."""
    return any(
        kernel.device_type in ("GPU", "DEFAULT")
        and all(_allows(c, node) for c in kernel.constraint)
        for kernel in _kernels(node.op)
    )


@functools.cache
def _kernels(op: str) -> Sequence[Any]:
    found = kernels.get_registered_kernels_for_op(op).kernel
    return tuple(found)


def _allows(constraint: Any, node: Any) -> bool:
    """Whether a node's dtypes are among those that a kernel is for."""
    attr = node.attr[constraint.name]
    types = [attr.type] if attr.WhichOneof("value") == "type" else attr.list.type
    return set(types) <= set(constraint.allowed_values.list.type)


@functools.cache
def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def opened(path: str, loader: str, tags: Sequence[str]) -> Opened:
    """Load a meta graph with ``v2`` (tf.saved_model.load), ``v1`` (a session) or ``cc`` (C++).

    Raises:
        Exception: TensorFlow does not load it; whatever it raises.
    """
    from . import session, v2

    load: dict[str, Callable[[str, list[str]], Opened]]
    load = {"v2": v2.load, "v1": session.V1, "cc": session.Native}
    return load[loader](os.path.abspath(path), list(tags))


def roles(spec: Any) -> list[str]:
    """What the parts of a composite are, by its TypeSpec, in the order of tf.nest."""
    n = len(tf.nest.flatten(spec, expand_composites=True))
    if isinstance(spec, tf.RaggedTensorSpec):
        return ["flat_values", *(f"row_splits/{i}" for i in range(n - 1))]
    known = _ROLES.get(type(spec), ())
    return [known[i] if i < len(known) else str(i) for i in range(n)]


def array_of(value: Any, dtype: tf.DType | None = None) -> Array:
    """What TensorFlow hands out as an array: a lone string comes as bytes, not as an array.

    Args:
        dtype: TensorFlow's, where numpy's does not say it: quantised integers.
    """
    if isinstance(value, (bytes, str)):
        array = np.empty((), dtype=object)
        array[()] = value
        return array
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = array.astype(object)
    if dtype is not None and dtype.is_quantized and array.dtype.names is None:
        array = array.view(arrays.numpy_dtype(dtype.name))
    return array


def unreadable(error: tf.errors.OpError) -> Unreadable:
    """Why an op could not read a resource."""
    # "HashTable is not initialized.", and in Python's sessions a story around it.
    if "not initialized" in error.message:
        return Unreadable(NOT_INITIALISED)
    return Unreadable(f"{type(error).__name__}: {error.message}")


def shape_of(shape: Any) -> tuple[int | None, ...] | None:
    """A tf.TensorShape in plain numbers."""
    return None if shape.rank is None else tuple(shape.as_list())


def sorted_table(keys: Array, values: Array) -> Table:
    """In the order of the keys, which is no order of the table's own."""
    if keys.ndim == 1 and keys.dtype.kind in "Obiuf":
        order = np.argsort(keys, kind="stable")
    else:
        rows = [tuple(row.flat) if row.dtype == object else row.tobytes() for row in keys]
        order = np.array(sorted(range(len(rows)), key=rows.__getitem__), dtype=int)
    return Table(keys[order], values[order])


def file_row(path: str, folder: str) -> dict[str, Any]:
    """The digest of a file: its path in the model, sha256, size.

    One that is not there, or no file, has no digest.
    """
    named = os.path.relpath(path, folder) if os.path.isabs(path) else path
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            n_bytes = 0
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                n_bytes += len(chunk)
    except OSError:
        return {"file": named, "sha256": None, "bytes": None}
    return {"file": named, "sha256": digest.hexdigest(), "bytes": n_bytes}
