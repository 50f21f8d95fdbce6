"""What a SavedModel says, parsed when it is touched: owner and spans, nothing copied.

A singular message may occur several times in a file and then is one message, merged;
so every view holds a list of spans. The last of equal map keys counts, and of a oneof
the last member: what protobuf does when it parses.
Source: tensorflow/core/protobuf/meta_graph.proto and saved_model.proto (2.21).
"""

from __future__ import annotations

from . import _core, dtypes
from .errors import CoreError, FormatError, RefusedError
from .source import LEN, VARINT, last, merged
from .text import Record, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TypeVar

    from ._core import Field, NodeIndex
    from .graph.objects import ObjectGraph
    from .source import Message, Reader, Spans

    T = TypeVar("T")

#: Keys of signature_def that hold no signature but name an op.
#: Source: tensorflow/cc/saved_model/constants.h (kSavedModelInitOpSignatureKey, ...).
INIT_OP = "__saved_model_init_op"
TRAIN_OP = "__saved_model_train_op"
RESERVED = frozenset([INIT_OP, TRAIN_OP])

#: Where an init op may be named, in the order in which the loaders look.
#: Source: tensorflow/cc/saved_model/loader_util.cc GetInitOp.
INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")

#: The collection that holds assets where asset_file_def is empty.
ASSETS_COLLECTION = "saved_model_assets"

PREDICT = "tensorflow/serving/predict"

#: More meta graphs, and more signatures or assets in one, are refused: real models have a few,
#: and a file of two bytes for each must not become objects of a thousand.
MAX_META_GRAPHS = 1000
MAX_SIGNATURES = 10_000
MAX_ASSETS = 10_000


def as_tag_set(tags: str | Iterable[str], path: str = "") -> frozenset[str]:
    """``"serve"`` or ``{"serve", "gpu"}`` as a tag set.

    Raises RefusedError for one string with a comma: it could mean one tag or several.
    """
    if isinstance(tags, str):
        if "," in tags:
            several = "{" + ", ".join(repr(t) for t in tags.split(",")) + "}"
            raise RefusedError(path, f"{tags!r}: one tag with a comma? pass {several}")
        return frozenset([tags])
    return frozenset(tags)


def map_entries(
    reader: Reader, fields: Iterable[Field], number: int, place: str
) -> dict[str, Spans]:
    """The entries of a ``map<string, Message>`` field: key -> spans of the value.

    In file order; the last of equal keys counts and takes the place of the first.
    """
    out: dict[str, Spans] = {}
    for f in fields:
        if f.number != number or f.wire != LEN:
            continue
        inner = reader.fields([(f.at, f.end)], place)
        key = last(inner, 1)
        out[reader.text(key, place) if key else ""] = merged(inner, 2)
    return out


def chosen(fields: Iterable[Field], members: tuple[int, ...]) -> list[Field]:
    """The occurrences that count of a oneof: those of its last member, unbroken."""
    run: list[Field] = []
    for f in fields:
        if f.number in members and f.wire == LEN:
            if run and run[0].number != f.number:
                run = []
            run.append(f)
    return run


class TensorInfo(Record):
    """A tensor of a signature.

    Attributes:
        name: The tensor in the graph, ``x:0``; the values of a sparse one; "" where the
            encoding has no single name.
        dtype: ``float32``; a number TensorFlow does not know: ``dtype 77``.
        shape: Dimensions, None for an unknown one; None for an unknown rank.
        encoding: "name", "coo_sparse", "composite_tensor", or "" when none is set.
        indices, dense_shape: The other two tensors of a sparse one.
        type_spec: The class of a composite one, ``RaggedTensorSpec``.
        components: The tensors that a composite one is made of.
        dtype_number: The DataType as the file has it.
        dims: The sizes as the file has them, -1 for unknown; None for an unknown rank.
    """

    __slots__ = (
        "components", "dense_shape", "dims", "dtype", "dtype_number", "encoding",
        "indices", "name", "shape", "type_spec", "_has_shape",
    )  # fmt: skip

    def __init__(self, message: Message) -> None:
        self.dtype_number = message.get(2, 0) & 0xFFFFFFFF
        self.dtype = dtypes.name(self.dtype_number)
        self._has_shape = 3 in message
        self.dims = shape(message.get(3, {}))
        self.shape = (
            None if self.dims is None else tuple([None if d < 0 else d for d in self.dims])
        )
        self.name: str = message.get(1, "")
        self.encoding = ""
        self.indices: str | None = None
        self.dense_shape: str | None = None
        self.type_spec: str | None = None
        self.components: tuple[TensorInfo, ...] = ()
        if 1 in message:
            self.encoding = "name"
        elif 4 in message:
            self.encoding = "coo_sparse"
            self.name, self.indices, self.dense_shape = [
                message[4].get(n, "") for n in (1, 2, 3)
            ]
        elif 5 in message:
            self.encoding = "composite_tensor"
            self._read_composite(message[5])

    @property
    def has_shape(self) -> bool:
        """Whether the file says a shape; old writers left it out, which reads as a scalar's."""
        return self._has_shape

    def _read_composite(self, message: Message) -> None:
        spec = message.get(1, {})
        if spec.get(3):
            self.type_spec = spec[3]
        elif 1 in spec:
            self.type_spec = TYPE_SPECS.get(spec[1], f"type spec {spec[1]}")
        self.components = tuple([TensorInfo(part) for part in message.get(2, ())])

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name, "dtype": self.dtype}
        out["shape"] = None if self.shape is None else list(self.shape)
        if self.encoding != "name":
            out["encoding"] = self.encoding
        for n in ("indices", "dense_shape", "type_spec"):
            if getattr(self, n) is not None:
                out[n] = getattr(self, n)
        if self.components:
            out["components"] = [c.to_dict() for c in self.components]
        return out

    def __repr__(self) -> str:
        parts = [f"name={self.name!r}", f"dtype={self.dtype!r}", f"shape={self.shape!r}"]
        if self.encoding != "name":
            parts.append(f"encoding={self.encoding!r}")
        if self.components:
            parts.append(f"components={self.components!r}")
        return f"TensorInfo({', '.join(parts)})"

    def spec(self) -> str:
        """``float32[?, 64]``; ``float32[...]`` for an unknown rank."""
        if self.encoding == "composite_tensor" and self.components:
            inside = ", ".join(c.spec() for c in self.components)
            return f"{printable(self.type_spec or 'composite')}({inside})"
        dims = (
            "..."
            if self.shape is None
            else ", ".join("?" if d is None else str(d) for d in self.shape)
        )
        sparse = "sparse " if self.encoding == "coo_sparse" else ""
        return f"{sparse}{self.dtype}[{dims}]"


def tensors_of(info: TensorInfo) -> Iterator[str]:
    """The names of the tensors that make up one of a signature."""
    if info.encoding == "composite_tensor":
        for part in info.components:
            yield from tensors_of(part)
        return
    if info.name:
        yield info.name
    if info.encoding == "coo_sparse":
        yield from filter(None, (info.indices, info.dense_shape))


#: TypeSpecProto.TypeSpecClass -> the Python class.
#: Source: tensorflow/core/protobuf/struct.proto (2.21).
TYPE_SPECS = {
    1: "SparseTensorSpec", 2: "IndexedSlicesSpec", 3: "RaggedTensorSpec", 4: "TensorArraySpec",
    5: "DatasetSpec", 6: "IteratorSpec", 7: "OptionalSpec", 8: "PerReplicaSpec",
    9: "VariableSpec", 10: "RowPartitionSpec", 12: "RegisteredTypeSpec",
    13: "ExtensionTypeSpec",
}  # fmt: skip


def read_shape(reader: Reader, spans: Spans, place: str) -> tuple[int, ...] | None:
    """The sizes in a TensorShapeProto, as `shape` has them."""
    return shape(reader.parse("TensorShapeProto", spans, place))


def shape(message: Message) -> tuple[int, ...] | None:
    """The sizes in a TensorShapeProto, -1 for unknown ones; None for an unknown rank."""
    if message.get(3):
        return None
    return tuple([dim.get(1, 0) for dim in message.get(2, ())])


class Default(Record):
    """The value that a signature gives an input that the caller leaves out."""

    __slots__ = ("dtype", "shape", "_reader", "_spans")

    def __init__(self, reader: Reader, spans: Spans, place: str) -> None:
        self._reader, self._spans = reader, spans
        fields = reader.fields(spans, place)
        number = last(fields, 1, VARINT)
        self.dtype = dtypes.name(number.value & 0xFFFFFFFF if number else 0)
        self.shape = read_shape(reader, merged(fields, 2), place)

    def encoded(self) -> bytes:
        """The TensorProto, as it lies in the file."""
        return self._reader.joined(self._spans)


class Signature(Record):
    """A SignatureDef: what can be asked of a meta graph, and by which names.

    Attributes:
        key: Its name in signature_def.
        inputs, outputs: Name -> TensorInfo, in file order.
        method_name: ``tensorflow/serving/predict``, or what else the file says.
        defaults: Input name -> Default, for inputs that may be left out.
    """

    __slots__ = ("key", "inputs", "outputs", "method_name", "defaults")

    def __init__(self, reader: Reader, key: str, spans: Spans, place: str) -> None:
        message = reader.parse("SignatureDef", spans, place)
        self.key = key
        self.inputs = _tensor_infos(message.get(1, {}))
        self.outputs = _tensor_infos(message.get(2, {}))
        self.method_name: str = message.get(3, "")
        self.defaults = {
            name: Default(reader, where, f'{place}.defaults["{printable(name)}"]')
            for name, where in message.get(4, {}).items()
        }

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "inputs": {n: t.to_dict() for n, t in self.inputs.items()},
            "outputs": {n: t.to_dict() for n, t in self.outputs.items()},
            "method_name": self.method_name,
        }
        if self.defaults:
            out["defaults"] = {n: d.to_dict() for n, d in self.defaults.items()}
        return out


def _tensor_infos(messages: dict[str, Message]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(message) for name, message in messages.items()}


class Asset(Record):
    """An AssetFileDef: a file under ``assets/`` and the tensor that is fed its path.

    Attributes:
        filename: As the file says it, relative to ``assets/``; not checked here.
        tensor: The tensor's name.
        place: Where it stands, ``meta_graphs[0].asset_file_def[2]``.
    """

    __slots__ = ("filename", "tensor", "_place")

    def __init__(self, reader: Reader, spans: Spans, place: str) -> None:
        message = reader.parse("AssetFileDef", spans, place)
        self.filename: str = message.get(2, "")
        self.tensor = TensorInfo(message.get(1, {})).name
        self._place = place

    @property
    def place(self) -> str:
        return self._place


def is_packed_asset(type_url: str) -> bool:
    """Whether an Any of this type holds an AssetFileDef: what stands before the last slash
    is free."""
    return type_url.rpartition("/")[2] == "tensorflow.AssetFileDef"


class InitOp(Record):
    """The op that the session loaders run once the variables are restored.

    Attributes:
        name: The op; found where the loaders look first.
        source: ``signature`` or the name of the collection it was found in.
    """

    __slots__ = ("name", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source


class Saver(Record):
    """A SaverDef: how the session loaders restore the variables."""

    __slots__ = ("filename_tensor", "save_tensor", "restore_op", "sharded", "version")

    def __init__(self, reader: Reader, spans: Spans, place: str) -> None:
        message = reader.parse("SaverDef", spans, place)
        self.filename_tensor, self.save_tensor, self.restore_op = [
            message.get(n, "") for n in (1, 2, 3)
        ]
        self.sharded: bool = message.get(5, False)
        version = message.get(7, 0)
        self.version = ("legacy", "V1", "V2")[version] if 0 <= version < 3 else str(version)


def meta_graphs(reader: Reader) -> list[MetaGraph]:
    """The meta graphs of a SavedModel, in file order.

    Raises FormatError for a file that is damaged, or has more than MAX_META_GRAPHS.
    """
    fields = reader.fields([(0, reader.source.size)], "")
    return listed(reader, fields)


def listed(reader: Reader, fields: Iterable[Field]) -> list[MetaGraph]:
    """`meta_graphs`, from the fields of the SavedModel."""
    found = [f for f in fields if f.number == 2 and f.wire == LEN]
    if len(found) > MAX_META_GRAPHS:
        error = CoreError("LIMIT", found[-1].start, MAX_META_GRAPHS, len(found))
        raise reader.error(error, "meta_graphs")
    return [MetaGraph(reader, i, f) for i, f in enumerate(found)]


def loads_by_objects(graphs: Sequence[MetaGraph]) -> bool:
    """Whether tf.saved_model.load makes a model from its objects: of several meta graphs it
    imports one as TF1 did.

    Source: tensorflow/python/saved_model/load.py load_partial (2.21).
    """
    return len(graphs) == 1 and bool(graphs[0].object_spans)


class MetaGraph:
    """One MetaGraphDef of a model; everything but its place is read when asked for.

    Attributes:
        index: Its position in the file.
        place: ``meta_graphs[0]``, as errors name it.
        reader, field: Where it lies in SavedModel; ``fields`` are its own fields.
    """

    __slots__ = ("_cache", "_fields", "field", "index", "place", "reader")

    def __init__(self, reader: Reader, index: int, field: Field) -> None:
        self.reader = reader
        self.index = index
        self.field = field
        self.place = f"meta_graphs[{index}]"
        self._fields: list[Field] | None = None
        self._cache: dict[str, Any] = {}

    @property
    def fields(self) -> list[Field]:
        if self._fields is None:
            self._fields = self.reader.fields([(self.field.at, self.field.end)], self.place)
        return self._fields

    def __repr__(self) -> str:
        return (
            f"<MetaGraph {self.index} {sorted(self.tag_set)}: "
            f"{len(self.signatures)} signatures, {self.n_nodes} nodes>"
        )

    def __eq__(self, other: object) -> bool:
        """Whether two meta graphs say the same; graphs are compared by their counts."""
        return isinstance(other, MetaGraph) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.index, self.tag_set))

    # -- meta info --

    @property
    def info(self) -> list[Field]:
        """The fields of its MetaInfoDef."""
        if "info" not in self._cache:
            self._cache["info"] = self.reader.fields(
                merged(self.fields, 1), f"{self.place}.meta_info_def"
            )
        fields: list[Field] = self._cache["info"]
        return fields

    def _info_text(self, number: int) -> str:
        f = last(self.info, number)
        return self.reader.text(f, f"{self.place}.meta_info_def") if f else ""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in file order, repeated ones included."""
        if "tags" not in self._cache:
            place = f"{self.place}.meta_info_def.tags"
            self._cache["tags"] = tuple(
                self.reader.text(f, place) for f in self.info if f.number == 4 and f.wire == LEN
            )
        tags: tuple[str, ...] = self._cache["tags"]
        return tags

    @property
    def tag_set(self) -> frozenset[str]:
        """What a loader matches: the whole set, and nothing but it."""
        return frozenset(self.tags)

    @property
    def tensorflow_version(self) -> str:
        """Who wrote it, ``2.21.0``; old writers left "" or ``0.12.head``."""
        return self._info_text(5)

    @property
    def tensorflow_git_version(self) -> str:
        return self._info_text(6)

    # -- signatures --

    @property
    def signature_spans(self) -> dict[str, Spans]:
        """signature_def: key -> spans of its SignatureDef, the reserved keys included."""
        if "signature_spans" not in self._cache:
            place = f"{self.place}.signature_def"
            entries = map_entries(self.reader, self.fields, 5, place)
            if len(entries) > MAX_SIGNATURES:
                error = CoreError("LIMIT", self.field.start, MAX_SIGNATURES, len(entries))
                raise self.reader.error(error, place)
            self._cache["signature_spans"] = entries
        found: dict[str, Spans] = self._cache["signature_spans"]
        return found

    @property
    def signature_defs(self) -> dict[str, Signature]:
        """All of signature_def, the reserved keys that name an op included."""
        if "signature_defs" not in self._cache:
            place = f"{self.place}.signature_def"
            self._cache["signature_defs"] = {
                key: Signature(self.reader, key, spans, f'{place}["{printable(key)}"]')
                for key, spans in self.signature_spans.items()
            }
        defs: dict[str, Signature] = self._cache["signature_defs"]
        return defs

    @property
    def signatures(self) -> dict[str, Signature]:
        """Key -> Signature, in file order, without the reserved keys."""
        return {k: s for k, s in self.signature_defs.items() if k not in RESERVED}

    # -- collections --

    @property
    def collections(self) -> dict[str, Spans]:
        """collection_def: name -> spans of its CollectionDef, in file order."""
        if "collections" not in self._cache:
            self._cache["collections"] = map_entries(
                self.reader, self.fields, 4, f"{self.place}.collection_def"
            )
        found: dict[str, Spans] = self._cache["collections"]
        return found

    def _collection_values(self, name: str, kind: int) -> list[Field]:
        """The values of a collection, if they are of this kind (1 node names, 5 Any)."""
        place = f'{self.place}.collection_def["{name}"]'
        run = chosen(self.reader.fields(self.collections.get(name, []), place), (1, 2, 3, 4, 5))
        if not run or run[0].number != kind:
            return []
        inner = self.reader.fields([(f.at, f.end) for f in run], place)
        return [f for f in inner if f.number == 1 and f.wire == LEN]

    def nodes_in(self, name: str) -> list[str]:
        """The node names in a collection; none where it holds something else."""
        place = f'{self.place}.collection_def["{printable(name)}"].node_list'
        return [self.reader.text(f, place) for f in self._collection_values(name, 1)]

    @property
    def init_op(self) -> InitOp | None:
        """What the session loaders run after restoring, or None."""
        if INIT_OP in self.signature_defs:
            outputs = self.signature_defs[INIT_OP].outputs
            if INIT_OP in outputs:
                return InitOp(outputs[INIT_OP].name, "signature")
        for name in INIT_COLLECTIONS:
            ops = self.nodes_in(name)
            if ops:
                return InitOp(ops[0], name)
        return None

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Its asset definitions: asset_file_def, or where that is empty the collection.

        Source: tensorflow/cc/saved_model/loader_util.cc GetAssetFileDefs.
        """
        place = f"{self.place}.asset_file_def"
        own = [f for f in self.fields if f.number == 6 and f.wire == LEN]
        self._check_n_assets(own, place)
        if own:
            return tuple(
                Asset(self.reader, [(f.at, f.end)], f"{place}[{i}]") for i, f in enumerate(own)
            )
        place = f'{self.place}.collection_def["{ASSETS_COLLECTION}"]'
        packed = self._collection_values(ASSETS_COLLECTION, 5)
        self._check_n_assets(packed, place)
        out = []
        for i, f in enumerate(packed):
            here = f"{place}[{i}]"
            wrapped = self.reader.fields([(f.at, f.end)], here)
            url, value = last(wrapped, 1), last(wrapped, 2)
            name = self.reader.text(url, here) if url else ""
            if not is_packed_asset(name):
                raise FormatError(
                    self.reader.path,
                    f"holds {printable(name) or 'nothing'} where an AssetFileDef belongs",
                    offset=f.start,
                    place=here,
                )
            spans = [(value.at, value.end)] if value else []
            out.append(Asset(self.reader, spans, here))
        return tuple(out)

    def _check_n_assets(self, fields: list[Field], place: str) -> None:
        if len(fields) > MAX_ASSETS:
            error = CoreError("LIMIT", fields[MAX_ASSETS].start, MAX_ASSETS, len(fields))
            raise self.reader.error(error, place)

    @property
    def saver(self) -> Saver | None:
        spans = merged(self.fields, 3)
        return Saver(self.reader, spans, f"{self.place}.saver_def") if spans else None

    # -- the graph --

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What is made of it when it is asked for, and remembered.

        Args:
            name: Of the thing, the same wherever it is asked for.
        """
        if name not in self._cache:
            self._cache[name] = make()
        found: T = self._cache[name]
        return found

    def forget(self) -> None:
        """Let go of what was made of it. Some of that refers to it in turn, and would be freed
        only when Python looks for such circles."""
        self._cache.clear()

    @property
    def graph_spans(self) -> Spans:
        return merged(self.fields, 2)

    def node_index(self, depth: int) -> NodeIndex:
        """The nodes of graph and functions: 0 counts, 1 names too, 2 a row each."""
        for deeper in range(2, depth, -1):  # says as much, and is there already
            if f"nodes{deeper}" in self._cache:
                depth = deeper
        key = f"nodes{depth}"
        if key not in self._cache:
            try:
                self._cache[key] = _core.NodeIndex(self.reader.source, self.graph_spans, depth)
            except CoreError as e:
                raise self.reader.error(e, f"{self.place}.graph_def") from None
        index: NodeIndex = self._cache[key]
        return index

    @property
    def n_nodes(self) -> int:
        """Nodes of the main graph."""
        return self.node_index(0).n_nodes

    @property
    def n_functions(self) -> int:
        return self.node_index(0).n_functions

    @property
    def n_function_nodes(self) -> int:
        return self.node_index(0).n_function_nodes

    def ops(self) -> list[str]:
        """The ops that the main graph needs, sorted: its own, and those of the functions
        that it reaches as saved_model_cli reaches them."""
        return sorted(n.decode("utf-8", "replace") for n in self.node_index(1).ops_used())

    def functions(self) -> list[str]:
        """The names of the function library, in file order."""
        return [f[0].decode("utf-8", "replace") for f in self.node_index(1).functions()]

    # -- the object graph --

    @property
    def object_spans(self) -> Spans:
        """object_graph_def; empty for a TF1 model."""
        return merged(self.fields, 7)

    @property
    def n_objects(self) -> int:
        return self.reader.count(self.object_spans, 1, f"{self.place}.object_graph_def")

    @property
    def objects(self) -> ObjectGraph | None:
        """The saved object graph, or None for a TF1 model."""
        from .graph.objects import ObjectGraph

        place = f"{self.place}.object_graph_def"
        spans = self.object_spans
        return ObjectGraph(self.reader, spans, place) if spans else None

    @property
    def root_children(self) -> tuple[str, ...]:
        """The names of the root object's children; its first node alone is read."""
        place = f"{self.place}.object_graph_def.nodes[0]"
        root = self.reader.first(self.object_spans, 1, place)
        names = []
        for child in self.reader.fields([(root.at, root.end)], place) if root else ():
            if child.number == 1 and child.wire == LEN:
                name = last(self.reader.fields([(child.at, child.end)], place), 2)
                names.append(self.reader.text(name, place) if name else "")
        return tuple(names)

    def to_dict(self) -> dict[str, Any]:
        """What ``show --json`` prints of it."""
        out: dict[str, Any] = {
            "index": self.index,
            "tags": list(self.tags),
            "tensorflow_version": self.tensorflow_version,
            "signatures": {k: s.to_dict() for k, s in self.signatures.items()},
            "assets": [a.to_dict() for a in self.assets],
            "init_op": self.init_op.to_dict() if self.init_op else None,
            "saver": self.saver.to_dict() if self.saver else None,
            "nodes": self.n_nodes,
            "functions": self.n_functions,
            "function_nodes": self.n_function_nodes,
            "objects": self.n_objects if self.object_spans else None,
            "collections": list(self.collections),
        }
        return out
