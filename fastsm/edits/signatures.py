"""Signatures: renamed, copied, removed, their methods; so that every loader sees the same.

A TF2 model describes a signature twice. Sessions, TensorFlow Serving and saved_model_cli
read signature_def; tf.saved_model.load reads the children of an object called
``signatures``, and the C++ loader of TF2 models also the checkpoint's own object graph.
Source: tensorflow/python/saved_model/signature_serialization.py,
tensorflow/cc/saved_model/bundle_v2.cc (2.21).
"""

from __future__ import annotations

from ..bundle import OBJECT_GRAPH_KEY
from ..errors import MissingError, RefusedError, UsageError
from ..fingerprint import OBJECTS, SIGNATURES
from ..graph.object_edits import CheckpointObjectEdits, SavedObjectEdits
from ..graph.objects import SIGNATURE_MAP, SIGNATURES_CHILD
from ..source import MAX_TEXT
from ..text import did_you_mean, printable, tag_set
from ..views import MAX_SIGNATURES, PREDICT, RESERVED, TRAIN_OP, as_tag_set
from . import signature_def, warmup
from .draft import Done
from .warmup import SERVING_DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from ..plan import Rewrite
    from ..views import MetaGraph
    from .draft import Draft

#: Short words for the methods that TensorFlow Serving knows.
#: Source: tensorflow/cc/saved_model/signature_constants.h.
METHODS = {
    "predict": PREDICT,
    "classify": "tensorflow/serving/classify",
    "regress": "tensorflow/serving/regress",
}


class Held:
    """The signatures of a meta graph, in both places.

    Attributes:
        graph: The meta graph.
        defs: Those in signature_def, by their keys.
        objects: Edits of its object graph; None for a TF1 model.
        map_id: The object whose children they are; None where there is none.
    """

    def __init__(self, graph: MetaGraph) -> None:
        self.graph = graph
        self.defs = graph.signature_spans
        self.objects = SavedObjectEdits(graph) if graph.object_spans else None
        self.map_id: int | None = None
        if self.objects is not None:
            found = self.objects.find(SIGNATURES_CHILD)
            if found is not None and self.objects.graph[found].identifier == SIGNATURE_MAP:
                self.map_id = found

    def in_objects(self, key: str) -> bool:
        """Whether tf.saved_model.load finds it.

        Raises RefusedError where two children have that name.
        """
        return (
            self.objects is not None
            and self.map_id is not None
            and self.objects.child(self.map_id, key) is not None
        )

    def has(self, key: str) -> bool:
        """Whether any loader finds it. The entry of an op is no signature."""
        return (key in self.defs and not self.names_op(key)) or self.in_objects(key)

    def names_op(self, key: str) -> bool:
        """Whether a reserved key does what it is reserved for."""
        return (
            key in RESERVED and key in self.defs and key in self.graph.signature_defs[key].outputs
        )

    def names(self) -> list[str]:
        """All of them, sorted."""
        keys = {key for key in self.defs if not self.names_op(key)}
        if self.objects is not None and self.map_id is not None:
            keys.update(child.name for child in self.objects.children(self.map_id))
        return sorted(keys)


# -- the edits -------------------------------------------------------------------------------


def rename_signature(
    draft: Draft,
    old: str,
    new: str,
    *,
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Give a signature another key.

    Raises:
        MissingError: There is no such signature.
        AmbiguousError: Several meta graphs have it, and nothing says which is meant.
        RefusedError: ``new`` is reserved or taken; the model has two signatures ``old``.
    """
    check_key(draft, new)
    held = find(draft, old, tags, all_meta_graphs)
    done = Done(
        "rename-signature", {"old": old, "new": new, **said(tags, all_meta_graphs)},
        f"signature {shown(old)} -> {shown(new)}", {"signature": old}, {"signature": new},
    )  # fmt: skip
    if old == new:
        return done
    for h in held:
        check_free(draft, h, new)
    warnings = [
        *one_sided(draft, held, old), *_lost(draft, held, {old}, renamed=True), *_odd(new),
    ]  # fmt: skip
    tracked = Tracked(draft)
    rewrite, touches = draft.rewrite(), set()
    where = tracked.find(held, old)
    if where is not None:
        tracked.edits.rename_child(where, old, new)
    for h in held:
        if old in h.defs:
            signature_def.rename(rewrite, h.graph, old, new)
            touches.add(SIGNATURES)
        if h.objects is not None and h.map_id is not None and h.in_objects(old):
            h.objects.rename_child(h.map_id, old, new)
            h.objects.into(rewrite)
    put(draft, rewrite, touches, tracked, warnings)
    done.inverse = inverse(draft, held, new, "rename-signature", new, old)
    return done


def copy_signature(
    draft: Draft,
    key: str,
    new: str,
    *,
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Let a signature be found by a second key, too.

    Raises:
        MissingError: There is no signature ``key``.
        AmbiguousError: Several meta graphs have it, and nothing says which is meant.
        RefusedError: ``new`` is reserved or taken; the model has two signatures ``key``.
    """
    check_key(draft, new)
    held = find(draft, key, tags, all_meta_graphs)
    for h in held:
        check_free(draft, h, new, more=1)
    warnings = [*one_sided(draft, held, key), *_odd(new)]
    tracked = Tracked(draft)
    rewrite, touches = draft.rewrite(), set()
    where = tracked.find(held, key)
    if where is not None:
        tracked.edits.add_child(where, new, tracked.edits.known(where, key).node_id)
    for h in held:
        if key in h.defs:
            signature_def.copy(rewrite, h.graph, key, new)
            touches.add(SIGNATURES)
        if h.objects is not None and h.map_id is not None and h.in_objects(key):
            h.objects.add_child(h.map_id, new, h.objects.known(h.map_id, key).node_id)
            h.objects.into(rewrite)
    put(draft, rewrite, touches, tracked, warnings)
    return Done(
        "copy-signature", {"key": key, "new": new, **said(tags, all_meta_graphs)},
        f"signature {shown(key)} also as {shown(new)}", {"signature": None}, {"signature": new},
        inverse=inverse(draft, held, new, "remove-signature", new, "--in-place"),
    )  # fmt: skip


def remove_signature(
    draft: Draft,
    *keys: str,
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Take signatures out.

    The nodes and the functions behind one stay in the graph, where others may use them. Its
    object goes, if nothing else refers to it, and what describes its function to Python.
    The entry of a train op can be removed, too: it keeps TF2 from loading TF1 models.

    Raises:
        MissingError: There is no such signature.
        AmbiguousError: Several meta graphs have one, and nothing says which is meant.
        RefusedError: It is the init op's entry; the model has two signatures of that key.
        UsageError: No key, or one twice.
    """
    if not keys or len(set(keys)) < len(keys):
        problem = "a key is named twice" if keys else "say which signatures to remove"
        raise UsageError(draft.path, problem)
    parts: dict[int, tuple[Held, set[str]]] = {}
    for key in keys:
        for h in find(draft, key, tags, all_meta_graphs, removing=True):
            parts.setdefault(h.graph.index, (h, set()))[1].add(key)
    having = {key: [h for h, theirs in parts.values() if key in theirs] for key in keys}
    gone = set(keys) - {TRAIN_OP}
    warnings = [w for key in keys for w in one_sided(draft, having[key], key)]
    warnings += _lost(draft, [h for h, _ in parts.values()], gone)
    tracked = Tracked(draft)
    rewrite, touches = draft.rewrite(), set()
    for key, held in having.items():
        where = tracked.find(held, key)
        if where is not None:
            tracked.edits.bury([tracked.edits.remove_child(where, key)])
    for h, theirs in parts.values():
        if not theirs.isdisjoint(h.defs):
            signature_def.remove(rewrite, h.graph, theirs)
            touches.add(SIGNATURES)
        if h.objects is not None and h.map_id is not None:
            for key in sorted(theirs):
                if h.in_objects(key):
                    h.objects.bury([h.objects.remove_child(h.map_id, key)])
            h.objects.into(rewrite)
            if h.objects.functions_gone:
                touches.add(OBJECTS)
    put(draft, rewrite, touches, tracked, warnings)
    names = list(keys)
    return Done(
        "remove-signature", {"keys": names, **said(tags, all_meta_graphs)},
        f"without signature {', '.join(map(shown, names))}", {"signatures": names},
        {"signatures": []}, drops=True,
    )  # fmt: skip


def set_method_name(
    draft: Draft,
    key: str,
    method: str,
    *,
    tags: str | Iterable[str] | None = None,
    all_meta_graphs: bool = False,
) -> Done:
    """Say by which of its methods TensorFlow Serving answers requests for a signature.

    Args:
        method: ``predict``, ``classify`` or ``regress``; any other text is written as it is.

    Raises:
        MissingError: There is no such signature.
        AmbiguousError: Several meta graphs have it, and nothing says which is meant.
        RefusedError: It is not in signature_def, and nothing else has methods.
    """
    check_text(draft, method, "a method")
    new = METHODS.get(method, method)
    held = find(draft, key, tags, all_meta_graphs)
    for h in held:
        if key not in h.defs:
            raise RefusedError(
                draft.path,
                f'signature "{printable(key)}" is in the object graph alone, which knows no '
                "methods",
            )
    old = sorted({h.graph.signature_defs[key].method_name for h in held})
    done = Done(
        "set-method-name", {"key": key, "method": method, **said(tags, all_meta_graphs)},
        f"signature {shown(key)}: method {shown(new)}",
        {"method": old[0] if len(old) == 1 else old}, {"method": new},
    )  # fmt: skip
    if old == [new]:
        return done
    warnings = []
    rewrite = draft.rewrite()
    for h in held:
        signature = h.graph.signature_defs[key]
        dtypes = {name: info.dtype for name, info in signature.inputs.items()}
        warnings += serving_rules(key, dtypes, signature.outputs, new)
        signature_def.set_method(rewrite, h.graph, key, new)
    put(draft, rewrite, {SIGNATURES}, None, warnings)
    # A method that is called "predict" and no more cannot be asked for.
    if len(old) == 1 and old[0] not in METHODS:
        short = {text: word for word, text in METHODS.items()}
        words = ("set-method-name", key, short.get(old[0], old[0]))
        done.inverse = inverse(draft, held, key, *words)
    return done


# -- what they share -------------------------------------------------------------------------


def check_text(draft: Draft, text: object, what: str) -> None:
    """Raises UsageError for what no file can hold."""
    if not isinstance(text, str):
        raise UsageError(draft.path, f"{what} is a string, not {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError(draft.path, f"{printable(text)!r} is not valid Unicode") from None
    if size > MAX_TEXT:
        raise UsageError(draft.path, f"{what} of {size:,} bytes: a name has {MAX_TEXT:,} at most")


def check_key(draft: Draft, key: str) -> None:
    """Raises for a key that no signature may have."""
    check_text(draft, key, "a key")
    if key in RESERVED:
        raise RefusedError(
            draft.path,
            f"{key} is reserved: loaders take it for the name of an op, and run that",
            hint="Choose another key.",
        )


def check_free(draft: Draft, held: Held, key: str, more: int = 0) -> None:
    """Raises RefusedError where a signature has this key, or there are ``more`` than can be."""
    if key in held.defs or held.in_objects(key):
        raise RefusedError(
            draft.path,
            f'{tag_set(held.graph.tag_set)} has a signature "{printable(key)}" already',
            hint="Rename or remove that one first, or choose another key.",
        )
    if len(held.defs) + more > MAX_SIGNATURES:
        raise RefusedError(draft.path, f"{MAX_SIGNATURES:,} signatures are the most there can be")


def find(
    draft: Draft,
    key: str,
    tags: str | Iterable[str] | None,
    all_meta_graphs: bool,
    *,
    removing: bool = False,
) -> list[Held]:
    """What an edit of a signature is about: see `Draft.choose`.

    Args:
        removing: Whether the entry of a train op counts, too.

    Raises MissingError where there is no such signature, with the nearest one.
    """
    looked: dict[int, Held] = {}

    def holds(graph: MetaGraph) -> bool:
        held = looked[graph.index] = Held(graph)
        return held.has(key) or (removing and key == TRAIN_OP and key in held.defs)

    chosen = draft.choose(tags, all_meta_graphs, holds, f'signature "{printable(key)}"')
    if chosen:
        return [looked[graph.index] for graph in chosen]
    if any(held.names_op(key) for held in looked.values()):
        raise RefusedError(
            draft.path,
            f"{key} is no signature: it names an op"
            + ("" if key == TRAIN_OP else " that sessions run once the variables are restored"),
            hint="remove-signature takes it away." if key == TRAIN_OP else None,
        )
    where = " ".join(tag_set(held.graph.tag_set) for held in looked.values()) or "the model"
    known = sorted({k for held in looked.values() for k in held.names()})
    raise MissingError(
        draft.path, f'no signature "{printable(key)}" in {where}', hint=did_you_mean(key, known)
    )


class Tracked:
    """The checkpoint's own object graph, which has to follow the saved ones.

    The C++ loader of TF2 models wants to find each child of this graph in the saved one.

    Attributes:
        edits: Edits of it, once something was found in it.
        changes: Whether something was found.
        warnings: What the user should know.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._edits: CheckpointObjectEdits | None = None
        self.changes = False
        self.warnings: list[str] = []

    @property
    def edits(self) -> CheckpointObjectEdits:
        assert self._edits is not None
        return self._edits

    def find(self, held: Sequence[Held], key: str) -> int | None:
        """The object here whose child this signature is; None where nothing has to follow.

        Before the saved graphs change. Raises RefusedError when it cannot be read.
        """
        graphs = {h.graph.index for h in held if h.in_objects(key)}
        if not graphs:
            return None
        if any(g.index not in graphs and Held(g).in_objects(key) for g in self._draft.graphs):
            self.warnings.append(
                f'the checkpoint knows "{printable(key)}" for all meta graphs: its own object '
                "graph stays as it is until none has it"
            )
            return None
        if self._edits is None:
            reader = self._draft.tracked
            if reader is None:
                return None
            self._edits = CheckpointObjectEdits(reader, OBJECT_GRAPH_KEY.decode())
        found = self.edits.find(SIGNATURES_CHILD)
        if found is None or self.edits.child(found, key) is None:
            return None
        self.changes = True
        return found

    def put(self) -> None:
        """Hand it to the draft, as it was edited."""
        self._draft.put_tracked(self.edits.source())


def put(
    draft: Draft,
    rewrite: Rewrite,
    touches: Iterable[int],
    tracked: Tracked | None,
    warnings: Iterable[str],
) -> None:
    """Hand an edit to the draft, all of it or nothing."""
    if tracked is not None and tracked.changes:
        draft.bundle_rewrite()  # raises where the variables cannot be written
    draft.put(rewrite, touches)
    if tracked is not None and tracked.changes:
        tracked.put()
    draft.plan.warnings += [*warnings, *(tracked.warnings if tracked else ())]


def said(tags: str | Iterable[str] | None, all_meta_graphs: bool) -> dict[str, Any]:
    """How an edit was told its meta graphs, as its arguments."""
    out: dict[str, Any] = {} if tags is None else {"tags": sorted(as_tag_set(tags))}
    return {**out, "all_meta_graphs": True} if all_meta_graphs else out


def inverse(
    draft: Draft, held: Sequence[Held], key: str, *words: str
) -> tuple[str, ...] | None:
    """A command that edits a signature just where it was edited.

    Args:
        held: Where that was.
        key: The signature by now.
        words: The command, without the options that say which meta graph.
    """
    edited = [h.graph.index for h in held]
    having = [graph.index for graph in draft.graphs if Held(graph).has(key)]
    if having == edited:
        return words if len(having) == 1 else (*words, "--all-meta-graphs")
    sets = [graph.tag_set for graph in draft.graphs]
    mine = sets[edited[0]]
    if len(edited) == 1 and sets.index(mine) == edited[0] and not any("," in t for t in mine):
        return (*words, "--tags", ",".join(sorted(mine)))
    return None


def shown(text: str) -> str:
    return printable(text) if text else '""'


# -- what the user should know ---------------------------------------------------------------


def serving_rules(
    key: str, inputs: Mapping[str, str], outputs: Iterable[str], method: str
) -> list[str]:
    """What TensorFlow Serving would not accept of a signature.

    Args:
        inputs: Name -> dtype.

    Source: tensorflow_serving/servables/tensorflow/predict_util.cc, classifier.cc,
    regressor.cc.
    """
    if method not in METHODS.values():
        known = ", ".join(METHODS)
        return [f'TF Serving refuses requests for "{printable(key)}": its methods are {known}']
    wants = serving_wants(inputs, outputs, method)
    if not wants:
        return []
    return [f'TF Serving refuses requests for "{printable(key)}": it wants {" and ".join(wants)}']


def serving_wants(inputs: Mapping[str, str], outputs: Iterable[str], method: str) -> list[str]:
    """What TensorFlow Serving wants by a method of a signature, and this one has not.

    Args:
        inputs: Name -> dtype.

    Source: as for `serving_rules`.
    """
    names, wants = set(outputs), []
    if method == PREDICT:
        return []
    if set(inputs) != {"inputs"}:
        wants.append("one input, called inputs")
    elif inputs["inputs"] != "string":
        wants.append("an input of strings: tf.Examples, serialized")
    if method == METHODS["regress"] and names != {"outputs"}:
        wants.append("one output, called outputs")
    if method == METHODS["classify"] and (
        not 1 <= len(names) <= 2 or names.isdisjoint({"classes", "scores"})
    ):
        wants.append("outputs called classes, or scores, or both")
    return wants


def one_sided(draft: Draft, held: Sequence[Held], key: str) -> Iterator[str]:
    """Of a signature that only some loaders find."""
    # TF2 loads the object graph only where there is one meta graph.
    if key in RESERVED or len(draft.graphs) > 1:
        return
    for h in held:
        if h.objects is None:
            continue
        if not h.in_objects(key):
            yield (
                f'"{printable(key)}" is in signature_def alone: tf.saved_model.load has no such '
                "signature, before and after"
            )
        elif key not in h.defs:
            yield (
                f'"{printable(key)}" is in the object graph alone: sessions, TF Serving and '
                "saved_model_cli have no such signature, before and after"
            )


def _lost(
    draft: Draft, held: Sequence[Held], gone: set[str], *, renamed: bool = False
) -> Iterator[str]:
    """Of keys that are there no more.

    Args:
        renamed: Their signatures are there still, by other keys.
    """
    for h in held:
        if not renamed and h.names() and gone.issuperset(h.names()):
            yield f"{tag_set(h.graph.tag_set)} has no signature any more: nothing can be served"
        elif SERVING_DEFAULT in gone and SERVING_DEFAULT in h.defs:
            yield (
                "requests to TF Serving that name no signature ask for serving_default: they "
                "now fail"
            )
        if h.objects is None or len(draft.graphs) > 1:
            continue
        for child in h.objects.children(0):
            known = 0 <= child.node_id < len(h.objects.graph)
            if child.name in gone and known and h.objects.graph[child.node_id].kind == "function":
                yield (
                    f"loaded.{printable(child.name)}, the function, stays as it is: signatures "
                    "alone change"
                )
    yield from warmup.warnings(draft, gone)


def _odd(key: str) -> Iterator[str]:
    """Of a key that cannot be asked for."""
    if not key:
        yield "TF Serving takes an empty name for serving_default: it cannot be asked for this one"
