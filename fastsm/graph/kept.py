"""Which objects of a TF2 model stay when it is stripped, in the saved graph and in the
checkpoint's own, and what they need beside them: functions, constants, assets, keys.

An object that is needed stays with all that lies below it. Loading restores a variable by the
names of children that lead to it from the root, so the objects on the way stay too, but with
nothing else of theirs. The checkpoint's graph has nodes of other numbers: those that the same
names lead to.

Source: tensorflow/python/saved_model/load.py Loader, tensorflow/python/checkpoint/restore.py
CheckpointPosition; tensorflow/cc/saved_model/bundle_v2.cc VisitObjectsToRestore (2.21).
"""

from __future__ import annotations

from .. import _core
from ..errors import CoreError, FormatError, MissingError, RefusedError, UsageError
from ..text import count, did_you_mean, printable, step
from .objects import KINDS, SIGNATURE_MAP, SIGNATURES_CHILD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from ..source import Message, Reader
    from ..views import MetaGraph
    from .objects import ObjectGraph, ObjectNode
    from .training import Training

    #: The steps from the root to an object: (owner, name, child).
    Way = tuple[tuple[int, str, int], ...]

#: What stays: the signatures and what they need; or all but what is for training.
SERVING, CALLABLES = "serving", "callables"

#: What identifies the optimizers of tf_keras, and the lists that its models and TensorFlow
#: keep objects in.
#: Source: tf_keras/optimizers/optimizer_v2.py and optimizer.py,
#: tensorflow/python/trackable/data_structures.py.
_OPTIMIZERS = frozenset(["optimizer", "experimentalOptimizer"])
_LIST = "trackable_list_wrapper"

#: An edge of this name leads to an optimizer, whatever that one is made of: those of Keras 3
#: have no identifier of their own.
_OPTIMIZER = "optimizer"

#: The argument of Keras' calls that says whether it is training.
_TRAINING = "training"

#: Of a longer path the beginning is left out: a file must not decide how long they all are.
_MAX_DEPTH = 100

#: What may follow the key that the checkpoint's graph gives an attribute, in the keys of the
#: tensors that it is made of: a table has ``table-keys`` and ``table-values``.
_BEHIND = b"-_/."


class Objects:
    """The saved graph as tables: each node is read once, and of most little is kept.

    Of children with equal names the last counts; the others are not there.
    """

    __slots__ = (
        "assets", "captured", "children", "constants", "dependencies", "forgetful", "functions",
        "graph", "identifiers", "n", "polymorphic", "saveables", "savers", "slots", "variables",
    )  # fmt: skip

    def __init__(self, graph: ObjectGraph) -> None:
        self.graph = graph
        self.n = len(graph)
        self.children: list[Sequence[tuple[str, int]]] = []
        self.forgetful: set[int] = set()  # objects of whose children some are left out here
        self.dependencies: dict[int, list[int]] = {}
        self.slots: dict[int, list[tuple[str, int, int]]] = {}  # (name, of, variable)
        self.saveables: dict[int, list[tuple[int, int]]] = {}
        self.functions: dict[int, list[str]] = {}
        self.polymorphic: set[int] = set()  # functions with a Python signature
        self.identifiers: dict[int, str] = {}  # of user objects
        self.variables: set[int] = set()
        self.assets: dict[int, int] = {}
        self.constants: dict[int, str] = {}
        self.captured: dict[int, str] = {}  # in which function
        self.savers: dict[int, str] = {}
        for i, message in enumerate(graph.messages()):
            self._add(i, message)

    def _add(self, i: int, message: Message) -> None:
        children = [(child.get(2, ""), child.get(1, 0)) for child in message.get(1, ())]
        if len(children) > 1:
            last = dict(children)
            if len(last) < len(children):
                children = list(last.items())
        self.children.append(children)
        kind = None
        for number in message:
            kind = KINDS.get(number, kind)
        if kind == "variable":
            self.variables.add(i)
        elif kind == "user_object":
            self.identifiers[i] = message[4].get(1, "")
        elif kind == "function":
            self.functions[i] = message[6].get(1, [])
            self.polymorphic.add(i)
        elif kind == "bare_concrete_function":
            self.functions[i] = [message[8].get(1, "")]
        elif kind == "constant":
            self.constants[i] = message[9].get(1, "")
        elif kind == "captured_tensor":
            self.captured[i] = message[12].get(2, "")
        elif kind == "asset":
            self.assets[i] = message[5].get(1, 0)
        if 15 in message:
            self.dependencies[i] = [other.get(1, 0) for other in message[15]]
        if 3 in message:
            self.slots[i] = [(s.get(2, ""), s.get(1, 0), s.get(3, 0)) for s in message[3]]
        if 11 in message:
            saveables = message[11].values()
            self.saveables[i] = [(s.get(2, 0), s.get(3, 0)) for s in saveables]
        if message.get(16):
            self.savers[i] = message[16]

    def refers(self, i: int) -> bool:
        """Whether an object refers to others, or names functions."""
        return (
            bool(self.children[i]) or i in self.functions or i in self.dependencies
            or i in self.saveables or i in self.slots or i in self.forgetful
        )  # fmt: skip


class Tracked:
    """The checkpoint's own graph, and which of its nodes is which saved object.

    Attributes:
        tables: What it says.
        node: Saved object -> node, -1 for none.
        object: Node -> saved object, -1 for none.

    Raises FormatError where it is broken on the wire, or has more nodes than any real one.
    """

    def __init__(self, reader: Reader, objects: Objects) -> None:
        try:
            self.tables = _core.ObjectGraph(reader.source.read(0, reader.source.size))
        except CoreError as e:
            raise reader.error(e, "") from None
        self.n = self.tables.n_nodes
        self.node = [-1] * objects.n
        self.object = [-1] * self.n
        self._children: dict[int, dict[str, int]] = {}
        self._match(objects)

    def children(self, node: int) -> dict[str, int]:
        """The children of a node that are nodes; of equal names the last."""
        found = self._children.get(node)
        if found is None:
            found = {name: to for name, to in self.named(node) if 0 <= to < self.n}
            self._children[node] = found
        return found

    def named(self, node: int) -> list[tuple[str, int]]:
        """The names and numbers of the children of a node, as the file has them."""
        low, high = self.tables.first_child[node], self.tables.first_child[node + 1]
        names, nodes = self.tables.child_names[low:high], self.tables.child_nodes[low:high]
        return list(zip(names, nodes, strict=True))

    def leads(self, owner: int, name: str, to: int) -> bool:
        """Whether the checkpoint's graph has an edge of the saved one, too."""
        node = self.node[owner]
        return node >= 0 and 0 <= self.node[to] == self.children(node).get(name, -1)

    def has(self, *ids: int) -> bool:
        """Whether these are objects, and all are nodes of the checkpoint's graph."""
        return all(0 <= i < len(self.node) and self.node[i] >= 0 for i in ids)

    def _match(self, objects: Objects) -> None:
        """Walk both graphs by equal names, breadth first: what both reach are pairs. Slot
        variables, which are nobody's children, come last."""
        if not objects.n or not self.n:
            return
        queue: list[int] = []
        self._pair(0, 0, queue)
        self._walk(objects, queue)
        slots = {
            (owner, name, of): to
            for owner, found in objects.slots.items() for name, of, to in found
        }  # fmt: skip
        queue = []
        for owner, name, of, node in self.tables.slots:
            if 0 <= of < self.n and 0 <= node < self.n:
                to = slots.get((self.object[owner], name, self.object[of]), -1)
                if 0 <= to < objects.n:
                    self._pair(to, node, queue)
        self._walk(objects, queue)

    def _walk(self, objects: Objects, queue: list[int]) -> None:
        for owner in queue:  # which grows meanwhile
            below = objects.children[owner]
            here = self.children(self.node[owner]) if below else {}
            for name, to in below:
                if name in here and 0 <= to < objects.n:
                    self._pair(to, here[name], queue)

    def _pair(self, i: int, node: int, queue: list[int]) -> None:
        if self.node[i] < 0 and self.object[node] < 0:
            self.node[i], self.object[node] = node, i
            queue.append(i)


class Kept:
    """Which objects of a meta graph stay, in both graphs.

    Args:
        graph: The meta graph, which has objects.
        tracked: The checkpoint's own object graph; None where there is none.
        level: ``serving``: the signatures and what they need; ``callables``: all objects but
            what is for training.
        signatures: The keys of the signatures that stay.
        keep: Paths of objects to keep, with all that lies below them: ``model.optimizer``,
            ``layers[1].kernel``, ``model/optimizer``.
        drop: Paths of objects to drop, with what only they lead to.
        training: What of the library trains, and what gradients need. For serving it only
            tells which functions are spared.
        gradients: Whether gradients of the callables can still be computed.
        inference_only: Drop traces with ``training=True``, too, and what gradients need.

    Attributes:
        ids: Old number -> new number, in the saved graph; ascending, the root stays 0.
        tracked_ids: The same in the checkpoint's graph.
        functions: The functions of the library that objects that stay name, and those that
            their gradients need, in a fixed order.
        spared: Functions that look like training and stay: name -> why.

    Raises:
        MissingError: No object has a path that is given.
        UsageError: An object is to be kept and dropped.
        RefusedError: Something that stays needs an object that is to be dropped; or a variable
            that it needs cannot be found in the checkpoint.
        FormatError: One of the graphs is damaged where it matters.
    """

    def __init__(
        self,
        graph: MetaGraph,
        tracked: Reader | None,
        *,
        level: str,
        signatures: Collection[str],
        keep: Sequence[str] = (),
        drop: Sequence[str] = (),
        training: Training | None = None,
        gradients: bool = True,
        inference_only: bool = False,
    ) -> None:
        assert graph.objects is not None
        self.objects = Objects(graph.objects)
        n = self.objects.n
        if not n:
            problem, place = "has no object: the first is the root", self.objects.graph.place
            raise FormatError(graph.reader.path, problem, place=place)
        self.tracked = Tracked(tracked, self.objects) if tracked is not None else None
        self.functions: dict[str, None] = {}
        self.spared: dict[str, str] = {}
        self._training = training
        self._whole = bytearray(n)  # what stays with all that it has
        self._edges: dict[int, set[str]] = {}  # children that stay to lead to others
        self._slots: set[tuple[int, int]] = set()  # the same: (owner, slot variable)
        self._by: dict[int, int] = {}  # object -> what needs it, other than as a child
        self._closed: set[int] = set()  # what no child leads into
        self._unsaid: set[str] = set()  # functions that no object names any more
        self._queue: list[int] = []  # what stays and was not followed yet
        self._savers: dict[str, list[int]] = {}
        for i, saver in self.objects.savers.items():
            self._savers.setdefault(saver, []).append(i)
        self._optimizers = self._find_optimizers()
        self._paths: dict[int, tuple[int, str]] | None = None

        kept = {self._resolve(path): path for path in keep}
        gone = {self._resolve(path): path for path in drop}
        both = next((kept[way] for way in kept if way in gone), None)
        if both is not None:
            raise UsageError(graph.reader.path, f"{printable(both)} is to be kept and dropped")
        self._closed.update(_target(way) for way in gone)
        spared = self._below(map(_target, kept))
        if level == CALLABLES:
            self._close(spared, inference_only)
        self._start(signatures)
        if level == CALLABLES:
            self._close_functions()
            self._need(0, 0)
        for way in kept:
            self._keep(way)
        self._follow()
        if level == CALLABLES and gradients and not inference_only:
            self._need_gradients()
        self._leave_captures(spared)
        self._check(gone)
        self._connect()
        self.ids = _numbered(self._staying())
        found = (self.tracked.node[i] for i in self._reach()) if self.tracked else ()
        self.tracked_ids = _numbered(sorted(found))

    # -- for the writers --

    def is_whole(self, i: int) -> bool:
        """Whether an object stays with all that it has; else it only leads to others."""
        return bool(self._whole[i])

    def children(self, i: int) -> dict[str, str]:
        """The names of the children that an object keeps, and how they are called then.

        Where a list loses some, those behind them move up.
        """
        below, edges, whole = self.objects.children[i], self._edges.get(i, ()), self._whole
        names = [name for name, to in below if name in edges or (whole[i] and whole[to])]
        moved: dict[str, str] = {}
        if len(names) < len(below) and self.objects.identifiers.get(i) == _LIST:
            places = sorted((int(name), name) for name in names if _is_index(name))
            moved = {name: str(place) for place, (_, name) in enumerate(places)}
        return {name: moved.get(name, name) for name in names}

    def tracked_children(self, node: int) -> dict[str, str]:
        """The same of a node of the checkpoint's graph."""
        assert self.tracked is not None
        i, children = self.tracked.object[node], self.tracked.children(node)
        below = dict(self.objects.children[i])
        return {
            name: new for name, new in self.children(i).items()
            if name in children and self.tracked.leads(i, name, below[name])
        }  # fmt: skip

    def keeps_slot(self, owner: int, of: int, variable: int) -> bool:
        """Whether an optimizer keeps a slot variable, by the numbers of the three."""
        there = of in self.ids and variable in self.ids
        return there and (bool(self._whole[owner]) or (owner, variable) in self._slots)

    def is_said(self, name: str) -> bool:
        """Whether objects that stay may name a function."""
        return name not in self._unsaid

    # -- what they need --

    @property
    def constants(self) -> list[bytes]:
        """The nodes of the main graph that `constant` objects name."""
        names = [name for i, name in self.objects.constants.items() if self._whole[i]]
        return [name.encode() for name in dict.fromkeys(names)]

    @property
    def assets(self) -> list[int]:
        """The positions in asset_file_def that `asset` objects name."""
        return sorted({index for i, index in self.objects.assets.items() if self._whole[i]})

    @property
    def has_saver(self) -> bool:
        """Whether a registered saver wrote something that stays: its keys are unknown."""
        return any(self._whole[i] for i in self.objects.savers)

    def needed(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those keys of the checkpoint that objects which stay need.

        A tensor's key is the one in the checkpoint's graph, or begins with that: what a table
        is made of has keys of its own. Where a registered saver wrote something that stays,
        all keys stay of which no object tells.
        """
        if self.tracked is None:
            return set()
        staying: dict[bytes, bool] = {}
        for node, _, _, text in self.tracked.tables.values:
            key = text.encode("utf-8", "surrogateescape")
            stays = node in self.tracked_ids and self.is_whole(self.tracked.object[node])
            staying[key] = staying.get(key, False) or stays
        untold = self.has_saver
        said = sorted(key for key in staying if key)
        found: set[bytes] = set()
        around: list[bytes] = []  # those that the key at hand begins with
        at = 0
        for key in sorted(keys):
            while at < len(said) and said[at] <= key:
                around.append(said[at])
                at += 1
                while len(around) > 1 and not around[-1].startswith(around[-2]):
                    del around[-2]
            while around and not key.startswith(around[-1]):
                around.pop()
            of = next(
                (a for a in reversed(around) if len(a) == len(key) or key[len(a)] in _BEHIND), None
            )
            if untold if of is None else staying[of]:
                found.add(key)
        return found

    # -- words --

    def path(self, i: int) -> str:
        """The names of children that lead to an object from the root, ``layers[1].kernel``:
        the shortest way, but not through an optimizer where there is another. "" for none."""
        if self._paths is None:
            self._paths = self._ways(lambda owner, name, to: True)
        names: list[str] = []
        while i and i in self._paths and len(names) < _MAX_DEPTH:
            i, name = self._paths[i]
            names.append(step(name))
        return "".join(reversed(names)).removeprefix(".")

    @property
    def optimizers(self) -> list[int]:
        """The optimizers that do not stay as what they are."""
        return [i for i in sorted(self._optimizers) if not self._whole[i]]

    @property
    def slots(self) -> list[int]:
        """The slot variables that do not stay."""
        found = {to for slots in self.objects.slots.values() for _, _, to in slots}
        return [i for i in sorted(found) if 0 <= i < self.objects.n and i not in self.ids]

    @property
    def variables(self) -> list[int]:
        """The variables that do not stay."""
        return [i for i in sorted(self.objects.variables) if i not in self.ids]

    @property
    def callables(self) -> list[int]:
        """The functions with a Python signature that do not stay."""
        return [
            i for i in sorted(self.objects.functions)
            if i not in self.ids and i in self.objects.polymorphic
        ]  # fmt: skip

    # -- selection --

    def _find_optimizers(self) -> set[int]:
        o = self.objects
        named = {
            to for below in o.children for name, to in below
            if name == _OPTIMIZER and to in o.identifiers
        }  # fmt: skip
        by_kind = {i for i, identifier in o.identifiers.items() if identifier in _OPTIMIZERS}
        return (named | by_kind | set(o.slots)) - {0}

    def _close(self, spared: set[int], inference_only: bool) -> None:
        """Close what is for training, but for what is spared."""
        o = self.objects
        closed = set(self._optimizers)
        for owner in self._optimizers & set(o.slots):
            closed.update(to for _, _, to in o.slots[owner])
        if self._training is not None:
            said = {name for i in spared for name in o.functions.get(i, ())}
            self._unsaid = self._training.functions - said
        if inference_only:
            for i in o.polymorphic - spared:
                self._unsaid.update(_training_traces(o.graph[i]))
        self._closed |= closed - spared

    def _start(self, signatures: Collection[str]) -> None:
        """Begin with the signatures that stay, and forget the others."""
        o = self.objects
        found = dict(o.children[0]).get(SIGNATURES_CHILD, -1)
        if 0 < found < o.n and o.identifiers.get(found) == SIGNATURE_MAP:
            o.children[found] = [(key, to) for key, to in o.children[found] if key in signatures]
            o.forgetful.add(found)
            self._keep(((0, SIGNATURES_CHILD, found),))
            for key, to in o.children[found]:
                self._is_there(found, to)
                self._spare(key, to)
                self._need(to, to)
        if 0 not in o.identifiers:  # what loading makes must be whole
            self._need(0, 0)

    def _close_functions(self) -> None:
        """Close the functions that only train."""
        for i, names in self.objects.functions.items():
            if names and self._unsaid.issuperset(names):
                self._closed.add(i)

    def _spare(self, key: str, i: int) -> None:
        """Let what a signature calls stay, be it training."""
        names = self.objects.functions.get(i, ())
        self._unsaid.difference_update(names)
        training = self._training
        if training is None or training.functions.isdisjoint(names):
            return  # what calls a function that trains is one
        for name in sorted(training.called(names) & training.functions):
            self._unsaid.discard(name)
            self.spared.setdefault(name, f"the signature {printable(key)} calls it")

    def _keep(self, way: Way) -> None:
        """Keep an object that was asked for, and the way to it."""
        for owner, name, _ in way:
            self._lead(owner, name)
        self._need(_target(way), _target(way))

    def _lead(self, owner: int, name: str) -> None:
        """Let a child stay as a step to something."""
        self._edges.setdefault(owner, set()).add(name)
        if owner not in self.objects.identifiers:
            self._need(owner, owner)

    def _below(self, ids: Iterable[int]) -> set[int]:
        """Objects, and all that lies below them and is not closed."""
        o = self.objects
        found = set(ids) - self._closed
        queue = list(found)
        for i in queue:  # which grows meanwhile
            below = [to for _, to in o.children[i]] + [to for _, _, to in o.slots.get(i, ())]
            for to in below:
                if 0 <= to < o.n and to not in found and to not in self._closed:
                    found.add(to)
                    queue.append(to)
        return found

    def _need(self, i: int, by: int | None) -> None:
        """Let an object stay as a whole.

        Args:
            by: The object that cannot do without it; None for its owner.
        """
        if by is not None:
            self._by.setdefault(i, by)
        if not self._whole[i]:
            self._whole[i] = 1
            self._queue.append(i)

    def _follow(self) -> None:
        """Let all stay that what stays needs."""
        o = self.objects
        while self._queue:
            i = self._queue.pop()
            for _, to in o.children[i]:
                if self._is_there(i, to) and to not in self._closed:
                    self._need(to, None)
            for to in o.dependencies.get(i, ()):
                # The trace of a function that trains goes, and the function is there.
                if self._is_there(i, to) and not (i in o.functions and to in self._closed):
                    self._need(to, i)
            for pair in o.saveables.get(i, ()):
                for to in pair:
                    if self._is_there(i, to):
                        self._need(to, i)
            for _, of, to in o.slots.get(i, ()):
                if self._is_there(i, of) and self._is_there(i, to):
                    self._need(of, None)
                    self._need(to, None)
            if i in o.savers:  # which reads and writes all of its objects in one call
                for to in self._savers[o.savers[i]]:
                    self._need(to, i)
            for name in o.functions.get(i, ()):
                if name not in self._unsaid:
                    self._need_function(name, i)
            if i in o.captured:
                self._need_function(o.captured[i], i)

    def _need_function(self, name: str, by: int) -> None:
        if name in self.functions:
            return
        self.functions[name] = None
        concrete = self.objects.graph.concrete_functions.get(name)
        if concrete is None:
            node = self.objects.graph[by]
            problem = f"names {printable(name)}, which concrete_functions has not"
            raise FormatError(
                node.graph.reader.path, problem, offset=node.field.start, place=node.place
            )
        for to in concrete.bound_inputs:
            if not 0 <= to < self.objects.n:
                place = f"{concrete.place}.bound_inputs"
                self.objects.graph.follow(to, place, concrete.field)
            self._need(to, by)

    def _need_gradients(self) -> None:
        """Let the functions stay that compute gradients of those which stay."""
        known = self.objects.graph.concrete_functions
        while self._training is not None:
            more = self._training.gradients(self.functions) - self.functions.keys()
            if not more:
                return
            for name in sorted(more):
                if name in known:
                    self._need_function(name, 0)
                else:
                    self.functions[name] = None
            self._follow()

    def _need_savers(self) -> None:
        """Let what registered savers wrote stay, where they may restore a variable that stays:
        one that lies below their objects. What they write, and to where, is not known.

        Source: tensorflow/python/saved_model/registration (2.21).
        """
        o = self.objects
        if all(self._whole[i] for i in o.savers):
            return
        owners: list[list[int]] = [[] for _ in range(o.n)]
        for owner, below in enumerate(o.children):
            for _, to in below:
                if 0 <= to < o.n:
                    owners[to].append(owner)
        above = {i for i in o.variables if self._whole[i]}
        queue = list(above)
        for i in queue:  # which grows meanwhile
            for owner in owners[i]:
                if owner not in above:
                    above.add(owner)
                    queue.append(owner)
        if not above.isdisjoint(o.savers):
            for i in sorted(o.savers):
                self._need(i, i)
            self._follow()

    def _leave_captures(self, spared: set[int]) -> None:
        """Let the variables go that only functions captured which train."""
        known = self.objects.graph.concrete_functions
        for name in self._unsaid.intersection(known):
            for i in known[name].bound_inputs:
                if i in self.objects.variables and i not in self._by and i not in spared:
                    self._whole[i] = 0

    def _check(self, gone: dict[Way, str]) -> None:
        """Refuse where something cannot be dropped."""
        path = self.objects.graph.reader.path
        for way, name in gone.items():
            by = self._by.get(_target(way), None if way else 0)
            if by is None:
                continue
            if by == _target(way):
                raise RefusedError(
                    path, f"{printable(name) or 'the root'} cannot be dropped: it holds signatures "
                    "or objects that are to stay",
                    hint="Signatures go with --drop-signature KEY (drop_signatures=).",
                )  # fmt: skip
            raise RefusedError(
                path, f"{printable(name)} cannot be dropped: {self._words(by)} needs it",
                hint="fastsm show lists the signatures; --drop-signature drops one of them.",
            )  # fmt: skip

    def _words(self, i: int) -> str:
        """An object as a person knows it."""
        names = self.objects.functions.get(i)
        return printable(self.path(i) or (names[0] if names else f"object {i}"))

    def _is_there(self, owner: int, to: int) -> bool:
        """That there is an object. Raises FormatError where there is none."""
        if 0 <= to < self.objects.n:
            return True
        node = self.objects.graph[owner]
        references = [(r.node_id, r.id_field) for r in (*node.children, *node.dependencies)]
        for slot in node.slot_variables:
            references += [
                (slot.original_id, slot.original_field), (slot.variable_id, slot.variable_field),
            ]  # fmt: skip
        for saveable in node.saveable_objects:
            references += [
                (saveable.save_id, saveable.save_field),
                (saveable.restore_id, saveable.restore_field),
            ]  # fmt: skip
        self.objects.graph.follow(to, node.place, dict(references).get(to))
        return False

    # -- ways --

    def _ways(self, leads: Callable[[int, str, int], bool]) -> dict[int, tuple[int, str]]:
        """Object -> (owner, name): the last step of the shortest way to it.

        A way goes through an optimizer, or what is to be dropped, only where there is no other:
        Keras 3 lists a model's weights in its optimizer, too, and there they are nearest.

        Args:
            leads: Whether an edge may be gone.
        """
        o = self.objects
        avoided = self._optimizers | self._closed
        steps: dict[int, tuple[int, str]] = {0: (0, "")}
        queue, later = [0], []
        while queue:
            for owner in queue:  # which grows meanwhile
                for name, to in o.children[owner]:
                    if not 0 <= to < o.n or to in steps or not leads(owner, name, to):
                        continue
                    if to in avoided:
                        later.append((owner, name, to))
                    else:
                        steps[to] = owner, name
                        queue.append(to)
            queue = []
            for owner, name, to in later:
                if to not in steps:
                    steps[to] = owner, name
                    queue.append(to)
            later, avoided = [], set()
        return steps

    def _connect(self) -> None:
        """Keep a way to each object that has values in the checkpoint."""
        tracked, o = self.tracked, self.objects
        if tracked is None:
            valued = o.variables.union(o.saveables)
        else:
            tables = tracked.tables
            nodes = {owner for owner, *_ in tables.values} | {i for i, _ in tables.savers}
            valued = o.variables.union(tracked.object[node] for node in nodes) - {-1}
        slots = {
            to: (owner, of) for owner, found in o.slots.items() for _, of, to in found
            if tracked is None or tracked.has(owner, of, to)
        }  # fmt: skip
        steps: dict[int, tuple[int, str]] | None = None
        walked = {0}
        while True:
            self._follow()
            self._need_savers()
            reached = self._reach()
            todo = [i for i in sorted(valued) if self._whole[i] and i not in reached]
            n = len(walked), len(self._slots)
            if todo and steps is None:
                steps = self._ways(tracked.leads if tracked else lambda owner, name, to: True)
            for i in todo:  # which grows meanwhile
                if i not in (steps or ()) and i in slots and (slots[i][0], i) not in self._slots:
                    self._slots.add((slots[i][0], i))
                    self._need(slots[i][1], slots[i][0])
                    todo += slots[i]
                while steps and i in steps and i not in walked:
                    walked.add(i)
                    i, name = steps[i]
                    self._lead(i, name)
            if n == (len(walked), len(self._slots)):
                break
        for i in sorted(o.variables):
            if self._whole[i] and i not in reached:
                raise self._unconnected(i)

    def _unconnected(self, i: int) -> RefusedError:
        variable = self.objects.graph[i].variable
        name = printable(variable.name) if variable else ""
        problem = f"the variable {name or 'without a name'} (object {count(i)}) is needed, and "
        problem += (
            "no names of children lead to it from the root" if self.tracked is None else
            "no names of children lead to it from the root in the model and in the checkpoint alike"
        )  # fmt: skip
        return RefusedError(
            self.objects.graph.reader.path, f"{problem}: loading could not restore it",
            hint="fastsm verify says what is wrong with the model's objects.",
        )  # fmt: skip

    def _reach(self) -> set[int]:
        """What loading restores: the objects that kept children lead to in both graphs."""
        o, tracked = self.objects, self.tracked
        if tracked is not None and not tracked.n:
            return set()
        found = {0}
        queue = [0]
        for owner in queue:  # which grows meanwhile
            below = o.children[owner]
            if not below:
                continue
            edges, whole = self._edges.get(owner, ()), self._whole[owner]
            for name, to in below:
                if to in found or not (name in edges or (whole and self._whole[to])):
                    continue
                if tracked is None or tracked.leads(owner, name, to):
                    found.add(to)
                    queue.append(to)
        for owner, slots in o.slots.items():
            for _, of, to in slots:
                if owner in found and of in found and self._leads_slot(owner, of, to):
                    found.add(to)
        return found

    def _leads_slot(self, owner: int, of: int, to: int) -> bool:
        whole = self._whole
        there = self.tracked is None or self.tracked.node[to] >= 0
        return there and bool(
            (owner, to) in self._slots or (whole[owner] and whole[of] and whole[to])
        )

    def _staying(self) -> list[int]:
        """What stays, whole or not."""
        stays = bytearray(self._whole)
        stays[0] = 1
        for owner, names in self._edges.items():
            stays[owner] = 1
            for name, to in self.objects.children[owner]:
                if name in names:
                    stays[to] = 1
        return [i for i, there in enumerate(stays) if there]

    # -- what was asked for --

    def _resolve(self, path: str) -> Way:
        """The steps that a path means: ``model.optimizer``, ``model/optimizer``, ``a[0]``.

        Names may hold dots, slashes and brackets themselves: all readings are tried, those
        with the longest names first.
        """
        o = self.objects
        back: dict[tuple[int, int], tuple[tuple[int, int], str]] = {}
        stack = [(0, 0)]
        seen = {(0, 0)}
        while stack:
            here = stack.pop()
            node, at = here
            if at == len(path):
                way: list[tuple[int, str, int]] = []
                while here in back:
                    to = here[0]
                    here, name = back[here]
                    way.append((here[0], name, to))
                return tuple(reversed(way))
            for name, to, end in sorted(
                _steps(path, at, o.children[node]), key=lambda step: step[2]
            ):
                there = to, end
                if 0 <= to < o.n and there not in seen:
                    seen.add(there)
                    back[there] = here, name
                    stack.append(there)
        names = (self.path(i) for i in range(1, o.n) if self.path(i))
        raise MissingError(
            o.graph.reader.path, f"no object {printable(path)}", hint=did_you_mean(path, names)
        )


def _training_traces(function: ObjectNode) -> Iterator[str]:
    """The traces of a function that were made with ``training=True``.

    Source: tensorflow/python/saved_model/function_serialization.py,
    tensorflow/python/util/tf_inspect.py FullArgSpec: what an argument is that is no tensor is
    part of a trace's signature (2.21).
    """
    spec = function.function_spec
    arguments = spec.fullargspec if spec else None
    names = arguments[0] if isinstance(arguments, tuple) and arguments else None
    at = -1
    if spec and isinstance(names, list) and _TRAINING in names:
        at = names.index(_TRAINING) - spec.is_method
    known = function.graph.concrete_functions
    for name in function.concrete_function_names:
        signature = known[name].input_signature if name in known else None
        if not isinstance(signature, tuple) or len(signature) != 2:
            continue
        given, named = signature
        if isinstance(given, tuple) and 0 <= at < len(given):
            value = given[at]
        else:
            value = named.get(_TRAINING) if isinstance(named, dict) else None
        if value is True:
            yield name


def _steps(
    path: str, at: int, children: Iterable[tuple[str, int]]
) -> Iterator[tuple[str, int, int]]:
    """(name, node, where the path goes on) of those children that the path may mean next."""
    bracket = path.startswith("[", at)
    start = at + (bracket or (at > 0 and path[at] in "./"))
    for name, to in children:
        end = start + len(name)
        if not name or not path.startswith(name, start):
            continue
        if bracket:
            if path.startswith("]", end):
                yield name, to, end + 1
        elif end == len(path) or path[end] in "./[":
            yield name, to, end


def _target(way: Way) -> int:
    """The object that a way leads to."""
    return way[-1][2] if way else 0


def _is_index(name: str) -> bool:
    """Whether a name is the position of an element in a list."""
    return name.isascii() and name.isdigit() and len(name) < 10 and str(int(name)) == name


def _numbered(ids: Iterable[int]) -> dict[int, int]:
    return {old: new for new, old in enumerate(ids)}
