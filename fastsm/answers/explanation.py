"""What `fastsm.explain` returns: the answers, as data."""

from __future__ import annotations

from ..errors import MissingError
from ..text import Record, did_you_mean, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..assets import AssetFile
    from ..loaders import Collision, Obstacle, Pick
    from ..model import SavedModel
    from ..snippets import Snippet
    from ..views import Default, MetaGraph, TensorInfo


class Tagged(Record):
    """A meta graph, by its tags.

    Attributes:
        meta_graph: Its position.
        tags: As listed, in file order.
        nodes, functions: Of its graph.
        objects: Of its object graph; None without one.
    """

    __slots__ = ("meta_graph", "tags", "nodes", "functions", "objects")

    meta_graph: int
    tags: tuple[str, ...]
    nodes: int
    functions: int
    objects: int | None


class Tags(Record):
    """Why a list of tags: which there are, and who finds what.

    Attributes:
        meta_graphs: All of the model.
        asked: What each loader makes of the tags that were asked for; empty where none were.
        picks: What each takes by default and for each tag set; see `fastsm.loaders.picks`.
        refused: What they say of a tag set that the model has not.
        collisions: See `fastsm.loaders.collisions`.
    """

    __slots__ = ("meta_graphs", "asked", "picks", "refused", "collisions")

    meta_graphs: list[Tagged]
    asked: list[Pick]
    picks: list[Pick]
    refused: list[Pick]
    collisions: list[Collision]


class Explained(Record):
    """A signature, and who calls it.

    Attributes:
        meta_graph: The position of the meta graph.
        key: Its name.
        words: What it takes and gives; "" where only the object graph has it.
        inputs, outputs: Name -> TensorInfo.
        defaults: Inputs that may be left out.
        method_name: By what TensorFlow Serving takes requests; None as for `words`.
        loaders: Those that find it.
    """

    __slots__ = (
        "meta_graph", "key", "words", "inputs", "outputs", "defaults", "method_name", "loaders",
    )  # fmt: skip

    meta_graph: int
    key: str
    words: str
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    defaults: dict[str, Default]
    method_name: str | None
    loaders: list[str]


class Assets(Record):
    """The assets_collection: which files, and how the graph gets at them.

    Attributes:
        kept: Where each meta graph that was looked at lists them: "asset_file_def",
            "saved_model_assets", or None where it has none.
        files: Of assets/, and names that mean none there.
    """

    __slots__ = ("kept", "files")

    kept: list[str | None]
    files: list[AssetFile]


class Loading(Record):
    """What loading a meta graph runs, in this order.

    Attributes:
        meta_graph: Its position.
        restore_op: What fills the variables in a session, or None.
        init_op: What a session runs then, or None.
        source: Where the init op is named: "signature" or a collection.
        runs: The ops behind the init op, sorted; None where that is not known.
        train_op: The op of a training step, where it has one that loaders know of.
    """

    __slots__ = ("meta_graph", "restore_op", "init_op", "source", "runs", "train_op")

    meta_graph: int
    restore_op: str | None
    init_op: str | None
    source: str | None
    runs: list[str] | None
    train_op: str | None


class Checkpoint(Record):
    """Why not a Saver checkpoint: what this model has beside the one in it, and what it lacks.

    Attributes:
        prefix: What a Saver, or tf.train.load_checkpoint, is told; None without a checkpoint.
        variables, bytes: How many, and their size.
        loading: What loading runs, of each meta graph that was looked at.
        has: What a Saver checkpoint would not have, in words.
        lacks: What a Saver's folder has, and this has not, in words.
    """

    __slots__ = ("prefix", "variables", "bytes", "loading", "has", "lacks")

    prefix: str | None
    variables: int
    bytes: int
    loading: list[Loading]
    has: list[str]
    lacks: list[str]


class Hindered(Record):
    """An obstacle, of a meta graph."""

    __slots__ = ("meta_graph", "obstacle")

    def __init__(self, meta_graph: int, obstacle: Obstacle) -> None:
        self.meta_graph, self.obstacle = meta_graph, obstacle

    def to_dict(self) -> dict[str, Any]:
        return {"meta_graph": self.meta_graph, **self.obstacle.to_dict()}


class Explanation(Record):
    """The four questions, answered for one model.

    Attributes:
        path: As the caller named it.
        tags: Why a list of tags?
        signatures: What is a signature, and do I need one?
        methods: Functions that tf.saved_model.load gives beside them.
        assets: What is the assets_collection?
        checkpoint: Why not a Saver checkpoint?
        obstacles: What keeps loaders from loading it; `fastsm.verify` may find more.
        notes: What could not be told, in words.
    """

    __slots__ = (
        "path", "tags", "signatures", "methods", "assets", "checkpoint", "obstacles", "notes",
        "_model",
    )  # fmt: skip

    path: str
    tags: Tags
    signatures: list[Explained]
    methods: list[str]
    assets: Assets
    checkpoint: Checkpoint
    obstacles: list[Hindered]
    notes: list[str]

    def __init__(self, model: SavedModel) -> None:
        self._model = model
        self.path = model.path

    @property
    def model(self) -> SavedModel:
        """The model that it explains."""
        return self._model

    def called(self, key: str) -> Explained:
        """The signature of a key: of several meta graphs that have it, of the one that is
        served by default, {serve}, else of the first.

        Raises MissingError where no meta graph that was looked at has it.
        """
        found = [e for e in self.signatures if e.key == key and e.method_name is not None]
        if not found:
            raise MissingError(
                self.path,
                f'no signature "{printable(key)}"',
                hint=did_you_mean(key, dict.fromkeys(e.key for e in self.signatures)),
            )
        graphs = self._model.meta_graphs
        served = (e for e in found if graphs[e.meta_graph].tag_set == {"serve"})
        return next(served, found[0])

    def snippets(self, key: str) -> list[Snippet]:
        """How each program calls a signature, see `called`, as text that works as printed.

        Raises MissingError where no meta graph that was looked at has it.
        """
        from ..snippets import snippets

        return snippets(self._model, self._graph(key), key)

    def python(self, key: str) -> Snippet:
        """The first of `snippets`: tf.saved_model.load."""
        from ..snippets import python_v2

        return python_v2(self._model, self._graph(key), key)

    def _graph(self, key: str) -> MetaGraph:
        return self._model.meta_graphs[self.called(key).meta_graph]

    def __repr__(self) -> str:
        keys = ", ".join(printable(e.key) for e in self.signatures)
        return f"<Explanation {printable(self.path)}: {keys or 'no signatures'}>"
