"""What a snippet is about: a signature of a meta graph of a model, by a path."""

from __future__ import annotations

import os

from .. import dtypes
from ..errors import FastsmError, MissingError
from ..graph.objects import SIGNATURE_MAP, SIGNATURES_CHILD
from ..graph.structured import TensorSpec
from ..graph.tensors import Tensor, Tensors
from ..text import did_you_mean, printable, tag_set
from ..views import loads_by_objects
from .values import Spec, Unfeedable, Value, parts, specs_of, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..graph.objects import ConcreteFunction, ObjectGraph
    from ..model import SavedModel
    from ..views import MetaGraph
    from .texts import Text

#: A name that every server takes in its URLs and folders.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


class Subject:
    """A signature, and what all texts about it say.

    Attributes:
        model, graph, key, signature: As they were asked for.
        path: The model's folder, as the caller named it.
        tags: Of the meta graph, each once, sorted.
        name: What servers call the model: the name of its folder, or of the one around it.
        version: The number that its folder is named by, or None.
    """

    def __init__(self, model: SavedModel, graph: MetaGraph, key: str) -> None:
        if key not in graph.signatures:
            raise MissingError(
                model.path,
                f'no signature "{printable(key)}" in {tag_set(graph.tag_set)}',
                hint=did_you_mean(key, graph.signatures),
            )
        self.model, self.graph, self.key = model, graph, key
        self.signature = graph.signatures[key]
        self.path = model.folder
        self.tags = sorted(graph.tag_set)
        above, own = os.path.split(os.path.abspath(self.path))
        self.version = int(own) if own.isascii() and own.isdigit() and len(own) < 19 else None
        called = os.path.basename(above) if self.version is not None else own
        plain = "".join(c if c in _PLAIN else "_" for c in called).strip(".")
        self.name = plain if plain.strip("_") else "model"
        self._texts: dict[str, Text] = {}

    @property
    def by_objects(self) -> bool:
        """Whether tf.saved_model.load makes the model from its objects."""
        return loads_by_objects(self.model.meta_graphs)

    # -- what is fed --

    def values(self) -> list[Value]:
        """A value for each tensor that sessions feed.

        Raises Unfeedable where an input can have none.
        """
        inputs = self.signature.inputs
        specs = [spec for name, info in inputs.items() for spec in specs_of(name, info)]
        return self._values(specs)

    def v2_values(self) -> list[Value]:
        """A value for each argument of the function that tf.saved_model.load makes; the name of
        its spec is the argument's.

        Raises:
            Unfeedable: An input can have none; or there is no such function.
        """
        if self.by_objects:
            return self._values(self._arguments())
        found = []
        for name, info in sorted(self.signature.inputs.items()):
            for i, spec in enumerate(specs_of(name, info)):
                # Source: tensorflow/python/saved_model/load_v1_in_v2.py
                # _EagerSavedModelLoader._extract_signatures.
                if spec.role:
                    part = spec.role if info.encoding == "coo_sparse" else f"component_{i}"
                    name_in_v2 = f"{name}_{part}"
                else:
                    name_in_v2 = name
                found.append((name_in_v2, spec))
        values = self._values([spec for _, spec in found])
        return [
            Value(v.spec.but(name=name), v.shape, v.elements, v.text)
            for v, (name, _) in zip(values, found, strict=True)
        ]

    def captured(self) -> list[str]:
        """The dtypes of the variables behind the function that tf.saved_model.load makes."""
        objects = self.graph.objects if self.by_objects else None
        function = _function(objects, self.key) if objects is not None else None
        if objects is None or function is None:
            return []
        nodes = [objects[i] for i in function.bound_inputs if 0 <= i < len(objects)]
        return sorted({v.dtype for node in nodes for v in [node.variable] if v is not None})

    def _values(self, specs: list[Spec]) -> list[Value]:
        specs = self._told(specs)
        plain = {spec.name: spec for spec in specs if not spec.role}
        roles = parts(plain)
        return [
            value(spec.but(role=roles.get(spec.name, spec.role)), self._text) for spec in specs
        ]

    def _told(self, specs: list[Spec]) -> list[Spec]:
        """With the dtypes and shapes of the graph where a signature tells none."""
        unknown = [spec.tensor for spec in specs if spec.dtype == "invalid"]
        if not unknown:
            return specs
        tensors = Tensors(self.graph, unknown)
        found = {name: tensors.find(name) for name in unknown}
        return [
            spec.but(dtype=dtypes.name(tensor.dtype), shape=_shape(tensor.dims))
            if isinstance(tensor := found.get(spec.tensor), Tensor) and tensor.dtype
            else spec
            for spec in specs
        ]

    def _text(self, spec: Spec) -> Text:
        if spec.tensor not in self._texts:
            from .texts import text_of  # who has no strings to make does not read the graph

            self._texts[spec.tensor] = text_of(self.graph, spec.tensor)
        return self._texts[spec.tensor]

    def _arguments(self) -> list[Spec]:
        """What the function behind the signature takes, by the object graph."""
        objects = self.graph.objects
        assert objects is not None
        function = _function(objects, self.key)
        found = _arguments(function) if function is not None else None
        if found is None:
            raise Unfeedable(
                f'the object graph has no signature "{printable(self.key)}", only signature_def '
                "has: tf.saved_model.load does not find it"
            )
        inputs = self.signature.inputs
        return [
            Spec(name, inputs[name].name if name in inputs else "", spec.dtype, spec.shape)
            for name, spec in found.items()
        ]


def _shape(dims: tuple[int, ...] | None) -> tuple[int | None, ...] | None:
    return None if dims is None else tuple([None if dim < 0 else dim for dim in dims])


def _function(objects: ObjectGraph, key: str) -> ConcreteFunction | None:
    """The function behind a signature, as tf.saved_model.load finds it; None where there is none.

    Source: tensorflow/python/saved_model/function_deserialization.py
    setup_bare_concrete_function (2.21).
    """
    if not len(objects):
        return None
    holder = objects.child(objects.root, SIGNATURES_CHILD)
    if holder is None or holder.identifier != SIGNATURE_MAP:
        return None
    node = objects.child(holder, key)
    if node is None or not node.concrete_function_names:
        return None
    return objects.concrete_functions.get(node.concrete_function_names[0])


def _arguments(function: ConcreteFunction) -> dict[str, Spec] | None:
    """Name -> spec of what a function takes by name; None where it takes anything else."""
    try:
        _, named = function.input_signature
    except (FastsmError, TypeError, ValueError):
        return None
    if not isinstance(named, dict) or not all(isinstance(s, TensorSpec) for s in named.values()):
        return None
    return {n: Spec(n, "", dtypes.name(s.dtype.number), s.shape.dims) for n, s in named.items()}
