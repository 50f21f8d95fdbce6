"""Renaming the inputs and outputs of signatures, in all that is said of them.

A TF2 model says them twice: signature_def for sessions and servers, the object graph for
`tf.saved_model.load`, which binds them by position. The places are told in docs/format.md.
"""

from __future__ import annotations

from ..errors import MissingError, RefusedError
from ..fingerprint import OBJECTS, PROGRAM, SIGNATURES
from ..graph.function_edits import Library
from ..graph.nested import of_graph
from ..graph.structured_edits import rename_entry
from ..graph.wrapper import Wrapper, copy_of, wrapper_of
from ..text import did_you_mean, listed, printable
from ..views import Signature
from . import warmup
from .draft import Done
from .signatures import (
    Held,
    Tracked,
    check_text,
    find,
    inverse,
    one_sided,
    put,
    said,
    serving_rules,
    shown,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..graph.object_edits import SavedObjectEdits
    from ..plan import Rewrite
    from .draft import Draft

# MetaGraphDef.signature_def; SignatureDef.inputs, outputs, defaults.
_SIGNATURES, _INPUTS, _OUTPUTS, _DEFAULTS = 5, 1, 2, 4


def rename_input(
    draft: Draft,
    key: str,
    old: str,
    new: str,
    *,
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Give an input of a signature another name.

    Raises:
        MissingError: There is no such signature or input; lists what there is.
        AmbiguousError: Several meta graphs have the signature, and nothing says which is meant.
        RefusedError: ``new`` is taken, or the rename cannot be done in every place.
    """
    return _rename(draft, "input", key, old, new, tags, all_meta_graphs)


def rename_output(
    draft: Draft,
    key: str,
    old: str,
    new: str,
    *,
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Give an output of a signature another name: as `rename_input`."""
    return _rename(draft, "output", key, old, new, tags, all_meta_graphs)


def _rename(
    draft: Draft,
    side: str,
    key: str,
    old: str,
    new: str,
    tags: str | Iterable[str] | None,
    all_meta_graphs: bool,
) -> Done:
    check_text(draft, new, f"the name of an {side}")
    all_held = [_Renaming(h, side, key) for h in find(draft, key, tags, all_meta_graphs)]
    renamings = [renaming for renaming in all_held if old in renaming.names]
    if not renamings:
        known = sorted({name for renaming in all_held for name in renaming.names})
        problem = f'no {side} "{printable(old)}" in signature "{printable(key)}"'
        raise MissingError(draft.path, problem, hint=did_you_mean(old, known))
    verb = f"rename-{side}"
    done = Done(
        verb, {"key": key, "old": old, "new": new, **said(tags, all_meta_graphs)},
        f"signature {shown(key)}: {side} {shown(old)} -> {shown(new)}", {side: old}, {side: new},
    )  # fmt: skip
    if old == new:
        return done
    held = [renaming.held for renaming in renamings]
    warnings = [*one_sided(draft, held, key), *warmup.tensor_warnings(draft, key, side, old)]
    tracked = Tracked(draft)
    rewrite, touches = draft.rewrite(), set()
    for renaming in renamings:
        touches |= renaming.into(rewrite, old, new, tracked)
        warnings += renaming.serving_warnings(old, new)
    put(draft, rewrite, touches, tracked, warnings)
    done.inverse = inverse(draft, held, key, verb, key, new, old)
    return done


class _Renaming:
    """A rename in one meta graph.

    Attributes:
        held: The signatures of the meta graph.
        names: Those of the inputs, or of the outputs, of the signature.
    """

    def __init__(self, held: Held, side: str, key: str) -> None:
        self.held = held
        self.side = side
        self.key = key
        self._graph = held.graph
        self._path = held.graph.reader.path
        self._signature: Signature | None = None
        self._wrapper: Wrapper | None = None
        if key in held.defs:
            self._signature = held.graph.signature_defs[key]
        if held.in_objects(key):
            objects, map_id = held.objects, held.map_id
            assert objects is not None and map_id is not None
            self._node_id = objects.known(map_id, key).node_id
            self._wrapper = wrapper_of(self._graph, objects.graph[self._node_id])
        self.names = self._check_names()

    def _check_names(self) -> set[str]:
        """The names, which must be the same in both places."""
        signature, wrapper = self._signature, self._wrapper
        tensors = None if wrapper is None else set(wrapper.names(self.side))
        if signature is None:
            assert tensors is not None
            return tensors
        names = set(signature.inputs if self.side == "input" else signature.outputs)
        if tensors is not None and tensors != names:
            raise RefusedError(
                self._path,
                f"the object graph, which tf.saved_model.load goes by, has the {self.side}s "
                f"{listed(sorted(tensors))}; signature_def has {listed(sorted(names))}",
                place=f'{self._graph.place}.signature_def["{printable(self.key)}"]',
                hint="Nobody can tell which of them are the same.",
            )
        return names

    def into(self, rewrite: Rewrite, old: str, new: str, tracked: Tracked) -> set[int]:
        """Make the splices; returns which hashes of a fingerprint see them, were this the
        first meta graph."""
        if new in self.names:
            raise RefusedError(
                self._path,
                f'signature "{printable(self.key)}" has an {self.side} "{printable(new)}" already',
                hint=f"Rename that one first, or choose another name for {printable(old)}.",
            )
        touches: set[int] = set()
        if self._signature is not None:
            entry = of_graph(self._graph).entry(_SIGNATURES, "signature_def", self.key)
            assert entry is not None
            maps = (_INPUTS, _DEFAULTS) if self.side == "input" else (_OUTPUTS,)
            for number in maps:
                rename_entry(rewrite, entry, number, old, new)
            touches.add(SIGNATURES)
        if self._wrapper is None:
            return touches
        touches.add(OBJECTS)
        if self._is_shared():
            self._rename_copy(rewrite, old, new, tracked)
        elif not self._rejoin(rewrite, old, new, tracked):
            order = self._wrapper.rename(rewrite, self.side, old, new)
            if order and Library(self._graph).permute(
                rewrite, self._wrapper.function, self.side, order
            ):
                touches.add(PROGRAM)
        return touches

    def serving_warnings(self, old: str, new: str) -> list[str]:
        """What TensorFlow Serving accepted, and will not any more."""
        signature = self._signature
        if signature is None:
            return []
        inputs = {name: info.dtype for name, info in signature.inputs.items()}
        outputs = dict.fromkeys(signature.outputs, "")
        before = serving_rules(self.key, inputs, outputs, signature.method_name)
        for names in (inputs,) if self.side == "input" else (outputs,):
            names[new] = names.pop(old)
        after = serving_rules(self.key, inputs, outputs, signature.method_name)
        return [w for w in after if w not in before]

    # -- a function that others have, too --

    @property
    def _objects(self) -> SavedObjectEdits:
        assert self.held.objects is not None
        return self.held.objects

    def _is_shared(self) -> bool:
        """Whether something else refers to the signature's object.

        Raises RefusedError where another object is of the same function: which of them to
        rename nobody said.
        """
        wrapper = self._wrapper
        assert wrapper is not None
        for node in self._objects.graph:
            if node.id != self._node_id and wrapper.function in node.concrete_function_names:
                raise RefusedError(
                    self._path,
                    f"shares its function {printable(wrapper.function)} with {node.place}, "
                    "which would be renamed too",
                    place=wrapper.node.place,
                )
        return self._objects.references(self._node_id) > 1

    def _rename_copy(self, rewrite: Rewrite, old: str, new: str, tracked: Tracked) -> None:
        """Let the signature have an object and a function of its own, and rename in those."""
        wrapper, library = self._wrapper, Library(self._graph)
        assert wrapper is not None and self.held.map_id is not None
        name = f"{wrapper.function}_{library.next_number(self._objects.graph.concrete_functions)}"
        copy = copy_of(wrapper, library.function(wrapper.function))
        order = copy.wrapper.rename(copy.rewrite, self.side, old, new)
        copy.permute(self.side, order)
        copy.rename_function(name)
        node, concrete, function = copy.parts()
        library.add(rewrite, wrapper.function, function)
        wrapper.add_concrete(rewrite, name, concrete)
        self._objects.point_child(self.held.map_id, self.key, self._objects.append(node))
        self._objects.into(rewrite)
        where = tracked.find([self.held], self.key)
        if where is not None:
            edits = tracked.edits
            child = edits.known(where, self.key)
            edits.point_child(where, self.key, edits.append(edits.payload(child.node_id)))

    def _rejoin(self, rewrite: Rewrite, old: str, new: str, tracked: Tracked) -> bool:
        """Undo `_rename_copy`, where the copy comes to be what it was copied from.

        Returns whether it does.
        """
        wrapper = self._wrapper
        assert wrapper is not None and self.held.map_id is not None
        function, _, number = wrapper.function.rpartition("_")
        graph = self._objects.graph
        if not number.isdecimal() or function not in graph.concrete_functions:
            return False
        if self._node_id != len(graph) - 1:
            return False
        library = Library(self._graph)
        mine, theirs = library.find(wrapper.function), library.find(function)
        if mine is None or theirs is None or library.is_named(wrapper.function):
            return False
        users = (n for n in graph if function in n.concrete_function_names)
        first, second = next(users, None), next(users, None)
        if first is None or first.kind != "bare_concrete_function" or second is not None:
            return False
        copy = copy_of(wrapper, mine)
        copy.permute(self.side, copy.wrapper.rename(copy.rewrite, self.side, old, new))
        copy.rename_function(function)
        if copy.parts() != copy_of(wrapper_of(self._graph, first), theirs).parts():
            return False
        changes = tracked.changes
        where = tracked.find([self.held], self.key)
        if where is not None:
            edits = tracked.edits
            mine_there = edits.known(where, self.key).node_id
            twin = self._twin(tracked, where, first.id)
            if twin is None or edits.payload(twin) != edits.payload(mine_there):
                tracked.changes = changes
                return False
            edits.point_child(where, self.key, twin)
            edits.bury([mine_there])
        self._objects.point_child(self.held.map_id, self.key, first.id)
        self._objects.bury([self._node_id])
        self._objects.into(rewrite)
        library.remove(rewrite, wrapper.function)
        return True

    def _twin(self, tracked: Tracked, where: int, node_id: int) -> int | None:
        """The checkpoint's object for an object of the saved graph, by another signature."""
        for child in self._objects.children(self.held.map_id or 0):
            if child.node_id == node_id and child.name != self.key:
                found = tracked.edits.child(where, child.name)
                if found is not None:
                    return found.node_id
        return None
