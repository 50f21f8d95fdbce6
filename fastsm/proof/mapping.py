"""What is called otherwise in an edited model: meta graphs, signatures, inputs, outputs, assets.

Edits say it themselves: each is followed, in order, from the names that BEFORE has. Where there
are only the two models, a person says it: ``--map OLD=NEW``.
"""

from __future__ import annotations

import json
import os

from ..commit.record import RECEIPT_SCHEMA
from ..edits.signatures import Held
from ..errors import AmbiguousError, FormatError, MissingError, RefusedError, UsageError
from ..text import did_you_mean, listed, printable, tag_set
from ..views import RESERVED, as_tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from ..model import SavedModel
    from ..views import MetaGraph

    Path = str | os.PathLike[str]

#: A receipt lists the runs of bytes that stayed, a line each.
_MAX_RECEIPT = 256 << 20

#: The two sides of a signature, as verbs and --map name them.
_SIDES = ("input", "output")


def rename(names: dict[str, str], old: str, new: str) -> None:
    """Let what is called ``old`` by now be called ``new``; where nothing is, nothing changes.

    Args:
        names: First name -> name by now, of those that have another.
    """
    first = next((before for before, now in names.items() if now == old), None)
    if first is None:
        if old in names:  # it was called that once
            return
        first = old
    names.pop(first, None)
    if first != new:
        names[first] = new


class Named:
    """A signature by now.

    Attributes:
        origin: The key that it, or what it is a copy of, has in BEFORE; None of a new one.
        sides: "input" and "output": name in BEFORE -> name by now, of those that have another.
    """

    __slots__ = ("origin", "sides")

    def __init__(self, origin: str | None) -> None:
        self.origin = origin
        self.sides: dict[str, dict[str, str]] = {side: {} for side in _SIDES}

    def copy(self) -> Named:
        other = Named(self.origin)
        other.sides = {side: dict(names) for side, names in self.sides.items()}
        return other


class Renamed:
    """A meta graph of BEFORE, and what is called otherwise in AFTER.

    Attributes:
        before: Its tag set.
        tags: Its tag set in AFTER; None where no loader finds it there.
        gone: Why not, in words.
        signatures: Those of AFTER by their keys, as far as it is known.
    """

    __slots__ = ("_known", "before", "gone", "signatures", "tags")

    def __init__(self, tags: frozenset[str], keys: Iterable[str] = ()) -> None:
        self.before = tags
        self.tags: frozenset[str] | None = tags
        self.gone = ""
        self.signatures = {key: Named(key) for key in keys}
        self._known = frozenset(self.signatures)

    def after(self, key: str) -> list[str]:
        """The keys that a signature of BEFORE has in AFTER: two where it was copied, none where
        it was removed."""
        if key not in self._known:
            return [key]
        return [now for now, named in self.signatures.items() if named.origin == key]

    def inputs(self, key: str) -> dict[str, str]:
        """Of a signature of AFTER the inputs that have another name: BEFORE's -> AFTER's."""
        return self._side(key, "input")

    def outputs(self, key: str) -> dict[str, str]:
        """As `inputs`, the outputs."""
        return self._side(key, "output")

    def _side(self, key: str, side: str) -> dict[str, str]:
        named = self.signatures.get(key)
        return {} if named is None else dict(named.sides[side])

    def rename(self, old: str, new: str) -> None:
        """Let a signature have another key, and its place."""
        now = self.signatures.items()
        self.signatures = {new if key == old else key: named for key, named in now}

    def keep(self, keeps: Callable[[str], bool]) -> None:
        """Let only these keys stay."""
        now = self.signatures.items()
        self.signatures = {key: named for key, named in now if keeps(key)}


def flat(names: dict[str, str], tensor: str) -> str:
    """The name in AFTER of a tensor: of ``x``, and of ``x[values]``, a part of a composite x.

    Args:
        names: What `Renamed.inputs` or `Renamed.outputs` gives.
    """
    if tensor in names:
        return names[tensor]
    head, bracket, part = tensor.rpartition("[")
    return names[head] + bracket + part if bracket and head in names else tensor


class Mapping:
    """The names of BEFORE -> those of AFTER; what is not known of is called the same.

    Attributes:
        assets: Files of ``assets/`` that have another name, relative to it.
        mended: Whether a repair is among the edits: variables that nothing serves by may be
            without a value then.
    """

    __slots__ = ("_graphs", "assets", "mended")

    def __init__(self) -> None:
        self._graphs: dict[frozenset[str], Renamed] = {}
        self.assets: dict[str, str] = {}
        self.mended = False

    def graph(self, tags: frozenset[str]) -> Renamed:
        """The meta graph that loaders find in BEFORE by these tags."""
        return self._graphs.get(tags) or Renamed(tags)

    @classmethod
    def of_edits(cls, edits: Iterable[dict[str, Any]], model: SavedModel) -> Mapping:
        """What edits rename.

        Args:
            edits: As `fastsm edit` takes them, in order: ``EditResult.to_dict()["edits"]``.
            model: BEFORE.

        Raises:
            FormatError: One of them is none.
            RefusedError: They are edits of another model.
        """
        found = cls()
        graphs = [Renamed(graph.tag_set, _keys(graph)) for graph in model.meta_graphs]
        for graph in graphs:
            found._graphs.setdefault(graph.before, graph)
        following = _Following(model.path, list(graphs), found.assets)
        for i, edit in enumerate(edits):
            following.do(edit, f"edits[{i}]")
            found.mended |= edit["verb"] == "repair"
        for graph in graphs:
            first = next((g for g in following.graphs if g.tags == graph.tags), graph)
            if graph not in following.graphs:
                graph.tags, graph.gone = None, "removed by the edit"
            elif first is not graph:
                graph.gone = (
                    f"hidden by the edit: loaders find another by {tag_set(graph.tags or ())}"
                )
        for graph in graphs:
            if graph.gone:
                graph.tags = None
        return found

    @classmethod
    def of_receipt(cls, path: Path, model: SavedModel) -> Mapping:
        """What the edit renamed that a receipt is of.

        Args:
            path: The file that ``--receipt`` wrote.
            model: BEFORE.

        Raises:
            MissingError, FormatError: There is no such file, or it is no receipt.
            RefusedError: It is the receipt of another model's edit.
            UsageError: It is of an undo, which says nothing of names.
        """
        name = os.fspath(path)
        try:
            with open(name, "rb") as file:
                data = file.read(_MAX_RECEIPT + 1)
            receipt = json.loads(data) if len(data) <= _MAX_RECEIPT else None
        except FileNotFoundError:
            raise MissingError(name, "there is no such receipt") from None
        except OSError as e:
            raise FormatError(name, f"cannot be read: {e.strerror}") from None
        except (ValueError, RecursionError):
            receipt = None
        if not isinstance(receipt, dict) or receipt.get("schema") != RECEIPT_SCHEMA:
            raise FormatError(name, f"is no {RECEIPT_SCHEMA}: what an edit writes with --receipt")
        verb, arguments = receipt.get("verb"), receipt.get("arguments")
        if verb == "undo":
            raise UsageError(
                name,
                "is of an undo, and does not say what that took back",
                hint="Compare the other way round, with the receipt of the edit.",
            )
        if not isinstance(arguments, dict):
            raise FormatError(name, "does not say what was edited")
        edits = arguments.get("edits") if verb == "edit" else [{"verb": verb, **arguments}]
        if not isinstance(edits, list):
            raise FormatError(name, "does not say what was edited")
        return cls.of_edits(edits, model)

    @classmethod
    def parse(cls, words: Iterable[str], model: SavedModel) -> Mapping:
        """What ``--map`` says.

        Args:
            words: ``OLD=NEW``: of a signature's key; of the name of an input or an output, in
                all signatures that have it, or as ``KEY:OLD=NEW`` in one; of a tag set as
                ``{a,b}={c}``. All of them are about the names of BEFORE.
            model: BEFORE.

        Raises:
            UsageError: One says nothing, or two of them contradict each other.
            MissingError: Nothing has that name; lists what there is.
            AmbiguousError: Several things have.
        """
        found = cls()
        graphs: list[Renamed] = []
        for meta_graph in model.meta_graphs:
            graph = Renamed(meta_graph.tag_set, _keys(meta_graph))
            if found._graphs.setdefault(graph.before, graph) is graph:
                graphs.append(graph)
        said = _Said(model, graphs)
        for word in words:
            said.add(word)
        said.put()
        return found


def _keys(graph: MetaGraph) -> list[str]:
    """The signatures of a meta graph, for any loader."""
    try:
        return Held(graph).names()
    except (FormatError, RefusedError):  # its objects are damaged: sessions see these
        return sorted(set(graph.signature_defs) - set(RESERVED))


# -- from edits ------------------------------------------------------------------------------


class _Following:
    """What becomes of names while edits are followed.

    Attributes:
        graphs: The meta graphs that are left, in file order.
    """

    def __init__(self, path: str, graphs: list[Renamed], assets: dict[str, str]) -> None:
        self.graphs = graphs
        self._path = path
        self._assets = assets
        self._edit: dict[str, Any] = {}
        self._where = ""

    def do(self, edit: object, where: str) -> None:
        verb = edit.get("verb") if isinstance(edit, dict) else None
        if not isinstance(edit, dict) or not isinstance(verb, str) or verb not in VERBS:
            raise FormatError(self._path, f"{where} is no edit that this fastsm knows")
        self._edit, self._where = edit, where
        follow = VERBS[verb]
        if follow is not None:
            follow(self)

    def retag(self) -> None:
        graph = self._by_tags(self._tags("old"))[0]
        graph.tags = self._tags("new")

    def rename_signature(self) -> None:
        old, new = self._text("old"), self._text("new")
        for graph in self._having(old):
            graph.rename(old, new)

    def copy_signature(self) -> None:
        key, new = self._text("key"), self._text("new")
        for graph in self._having(key):
            graph.signatures[new] = graph.signatures[key].copy()

    def add_signature(self) -> None:
        key = self._text("key")
        for graph in self._graphs():
            graph.signatures.setdefault(key, Named(None))

    def remove_signature(self) -> None:
        for key in self._list("keys"):
            if key in RESERVED:
                continue  # it names an op, and is never called
            for graph in self._having(key):
                del graph.signatures[key]

    def rename_input(self) -> None:
        self._rename_side("input")

    def rename_output(self) -> None:
        self._rename_side("output")

    def remove_meta_graph(self, name: str = "tag_sets") -> None:
        for tags in self._list(name, self._as_tags):
            gone = self._by_tags(tags)
            self.graphs[:] = [graph for graph in self.graphs if graph not in gone]

    def extract_meta_graph(self) -> None:
        self.graphs[:] = self._by_tags(self._tags("tags"))[:1]

    def strip(self) -> None:
        if "drop_tags" in self._edit:
            self.remove_meta_graph("drop_tags")
        keeps = self._list("keep_signatures") if "keep_signatures" in self._edit else []
        drops = self._list("drop_signatures") if "drop_signatures" in self._edit else []
        for graph in self._graphs():
            graph.keep(lambda key: (not keeps or key in keeps) and key not in drops)

    def rename_asset(self) -> None:
        rename(self._assets, self._text("old"), self._text("new"))

    def _rename_side(self, side: str) -> None:
        key, old, new = self._text("key"), self._text("old"), self._text("new")
        for graph in self._having(key):
            rename(graph.signatures[key].sides[side], old, new)

    # -- which meta graphs --

    def _graphs(self) -> list[Renamed]:
        """Those that an edit may be about."""
        if self._edit.get("tags") is None:
            return self.graphs
        return self._by_tags(self._tags("tags"))[:1]

    def _having(self, key: str) -> list[Renamed]:
        """Those among them that have a signature; where it was not said, one alone had it."""
        found = [graph for graph in self._graphs() if key in graph.signatures]
        return found or self._refuse(f'no signature "{printable(key)}"')

    def _by_tags(self, tags: frozenset[str]) -> list[Renamed]:
        found = [graph for graph in self.graphs if graph.tags == tags]
        return found or self._refuse(f"no meta graph {tag_set(tags)}")

    def _refuse(self, lacks: str) -> list[Renamed]:
        verb = self._edit["verb"]
        problem = f"has {lacks}, which {self._where} ({verb}) is about"
        raise RefusedError(self._path, problem, hint="These are edits of another model.")

    # -- what was asked --

    def _text(self, name: str) -> str:
        value = self._edit.get(name)
        return value if isinstance(value, str) else self._wrong(name)

    def _list(self, name: str, each: Callable[[str, object], Any] | None = None) -> list[Any]:
        """A list of names, or one; or of what else ``each`` makes of its elements."""
        value = self._edit.get(name)
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            return [self._wrong(name)]
        if each is not None:
            return [each(name, item) for item in value]
        return value if all(isinstance(item, str) for item in value) else [self._wrong(name)]

    def _tags(self, name: str) -> frozenset[str]:
        return self._as_tags(name, self._edit.get(name))

    def _as_tags(self, name: str, value: object) -> frozenset[str]:
        if isinstance(value, str):
            return as_tag_set(value, self._path)
        if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            return frozenset(value)
        return frozenset([self._wrong(name)])

    def _wrong(self, name: str) -> str:
        raise FormatError(self._path, f"{self._where}.{name} is not what an edit has there")


#: Every editing verb -> what it does to names; None: nothing.
VERBS: dict[str, Callable[[_Following], None] | None] = {
    "retag": _Following.retag,
    "rename-signature": _Following.rename_signature,
    "copy-signature": _Following.copy_signature,
    "remove-signature": _Following.remove_signature,
    "add-signature": _Following.add_signature,
    "rename-input": _Following.rename_input,
    "rename-output": _Following.rename_output,
    "set-method-name": None,
    "rename-asset": _Following.rename_asset,
    "replace-asset": None,
    "strip-training-graph": _Following.strip,
    "remove-meta-graph": _Following.remove_meta_graph,
    "extract-meta-graph": _Following.extract_meta_graph,
    "clear-devices": None,
    "dedupe": None,
    "repair": None,
}


# -- from a person ---------------------------------------------------------------------------


class _Said:
    """What ``--map`` says, collected: all of it is about the names of BEFORE."""

    def __init__(self, model: SavedModel, graphs: Sequence[Renamed]) -> None:
        self._path = model.path
        self._graphs = graphs
        self._sets: dict[frozenset[str], frozenset[str]] = {}
        self._keys: dict[str, list[str]] = {}
        # (key, side) -> old -> new
        self._names: dict[tuple[str, str], dict[str, str]] = {}
        #: key -> side -> names, of all meta graphs.
        self._known: dict[str, dict[str, set[str]]] = {}
        for graph in graphs:
            for key in graph.signatures:
                self._known.setdefault(key, {side: set() for side in _SIDES})
        for meta_graph in model.meta_graphs:
            for key, signature in meta_graph.signature_defs.items():
                if key in self._known:
                    self._known[key]["input"].update(signature.inputs)
                    self._known[key]["output"].update(signature.outputs)

    def add(self, word: str) -> None:
        """Take one ``OLD=NEW``; names may have ``=`` and ``:`` in them."""
        found = []
        for old, new in _cuts(word, "="):
            found += [(what, new) for what in self._meant(old)]
        if not found:
            self._missing(word)
        if len({what[0] for what, _ in found}) > 1 or len({new for _, new in found}) > 1:
            meant = listed(_words(what, new) for what, new in found)
            raise AmbiguousError(
                self._path,
                f"--map {printable(word)} may mean: {meant}",
                hint="KEY:input:OLD=NEW or KEY:output:OLD=NEW says which.",
            )
        for what, new in found:
            self._take(what, new, word)

    def put(self) -> None:
        """Let the meta graphs have these names."""
        for graph in self._graphs:
            graph.tags = self._sets.get(graph.before, graph.before)
            now: dict[str, Named] = {}
            for key in graph.signatures:
                for new in self._keys.get(key, [key]):
                    if new in now:
                        self._twice(f'the signature "{printable(new)}"')
                    now[new] = Named(key)
                    for side in _SIDES:
                        names = self._names.get((key, side), {})
                        stays = self._known[key][side].difference(names)
                        if len({*names.values(), *stays}) < len(names) + len(stays):
                            self._twice(f'an {side} of "{printable(key)}"')
                        now[new].sides[side] = dict(names)
            graph.signatures = now
        if len({graph.tags for graph in self._graphs}) < len(self._graphs):
            self._twice("a meta graph")

    def _meant(self, old: str) -> list[tuple[str, ...]]:
        """What has this name: kind, then its own name; of a name of a tensor its signature."""
        if old.startswith("{") and old.endswith("}"):
            tags = _tags(old)
            return [("tags", *sorted(tags))] if any(g.before == tags for g in self._graphs) else []
        if old in self._known:
            return [("signature", old)]
        found: list[tuple[str, ...]] = []
        for key, sides in self._known.items():
            for side, names in sides.items():
                spelled = {f"{key}:{name}": name for name in names}
                spelled.update({f"{key}:{side}:{name}": name for name in names})
                if old in spelled:
                    found.append((side, key, spelled[old]))
        if found:
            return found
        return [
            (side, key, old)
            for key, sides in self._known.items()
            for side, names in sides.items()
            if old in names
        ]

    def _take(self, what: tuple[str, ...], new: str, word: str) -> None:
        kind, *names = what
        if kind == "tags":
            if not (new.startswith("{") and new.endswith("}")):
                problem = f"--map {printable(word)}: a tag set becomes a tag set: {{a,b}}={{c}}"
                raise UsageError(self._path, problem)
            if self._sets.setdefault(frozenset(names), _tags(new)) != _tags(new):
                self._twice(tag_set(names))
        elif kind == "signature":
            if new not in self._keys.setdefault(names[0], []):
                self._keys[names[0]].append(new)
        else:
            key, old = names
            if self._names.setdefault((key, kind), {}).setdefault(old, new) != new:
                self._twice(f'the {kind} "{printable(old)}" of "{printable(key)}"')

    def _missing(self, word: str) -> None:
        if "=" not in word:
            problem = f"--map {printable(word)}: OLD=NEW is wanted"
            raise UsageError(self._path, problem)
        old = word.partition("=")[0]
        if old.startswith("{"):
            here = " ".join(tag_set(graph.before) for graph in self._graphs) or "none"
            problem = f"--map: no meta graph has the tag set {printable(old)}"
            raise MissingError(self._path, f"{problem}; tag sets here: {here}")
        names = {n for sides in self._known.values() for these in sides.values() for n in these}
        key, colon, name = old.partition(":")
        if colon and key in self._known:
            old, names = name, {n for these in self._known[key].values() for n in these}
        else:
            names.update(self._known)
        problem = f'--map: nothing is called "{printable(old)}"'
        if colon and key in self._known:
            problem += f' in signature "{printable(key)}"'
        raise MissingError(self._path, problem, hint=did_you_mean(old, sorted(names)))

    def _twice(self, what: str) -> None:
        raise UsageError(self._path, f"--map: two names for one thing, or one for two: {what}")


def _cuts(word: str, at: str) -> Iterator[tuple[str, str]]:
    """The ways to cut a word in two; none is empty."""
    for i, c in enumerate(word):
        if c == at and 0 < i < len(word) - 1:
            yield word[:i], word[i + 1 :]


def _tags(text: str) -> frozenset[str]:
    """``{a, b}`` as a tag set."""
    return frozenset(tag for part in text[1:-1].split(",") if (tag := part.strip()))


def _words(what: tuple[str, ...], new: str) -> str:
    kind, *names = what
    name = tag_set(names) if kind == "tags" else ":".join(names)
    return f"{kind} {name} -> {new}"
