"""What a model is to be made from: a graph, and a checkpoint that has its variables' values.

A .meta file is a MetaGraphDef as it stands in saved_model.pb, and a frozen graph is what
stands in one: so the new file is theirs with some bytes before it.
Source: tensorflow/python/training/saver.py Saver.save, export_meta_graph;
tensorflow/python/tools/freeze_graph.py (2.21).
"""

from __future__ import annotations

import os

from ..._core import Canon, NodeIndex, message_id, number
from ...bundle import OBJECT_GRAPH_KEY
from ...bundle.find import INDEX, STATE, find
from ...bundle.opened import Bundle
from ...diagnose import instead, is_graph
from ...errors import (
    CoreError,
    FormatError,
    MissingError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from ...locate import MAX_TEXT_FILE, is_model
from ...source import LEN, VARINT, File, Reader, from_bytes, joined
from ...text import count, listed, printable, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from ..._core import Source
    from ...source import Spans

META = ".meta"

#: How the file of a checkpoint's graph is called behind its prefix, as text too.
_METAS = (META, ".meta.txt", ".meta.pbtxt")

#: How other files are called that hold a graph.
_GRAPHS = (".pb", ".pbtxt", ".pb.txt", ".meta.txt")

# Field numbers: SavedModel.saved_model_schema_version and meta_graphs, MetaGraphDef.graph_def.
_VERSION, _META_GRAPHS, _GRAPH_DEF = 1, 2, 2


class Origin:
    """What a model is made from.

    Attributes:
        path: As the caller named it.
        kind: "meta", a MetaGraphDef; or "graph", a GraphDef.
        is_text: Whether it is in text format.
        file: The file of the graph.
        source: The message in it; of a text its binary form.
        prefix: The checkpoint; None where there is none.
        state: The file that named the checkpoint, where one did.
        notes: What a person should know of how it was found.
    """

    def __init__(
        self, path: str, file: str, prefix: str | None, notes: list[str], state: str | None = None
    ) -> None:
        self.path = path
        self.prefix = prefix
        self.notes = notes
        self.state = None if state is None else _open(state)
        self.file = _open(file)
        self.source = self.file.source()
        _check_kind(self.source, file)
        self.is_text = _is_text(self.source)
        self.kind: Literal["meta", "graph"]
        if self.is_text:
            self.kind, self.source = _from_text(self.file)
        else:
            self.kind = _kind(self.source, file)
        self._check_graph()

    def model(self) -> Source:
        """A saved_model.pb with this one meta graph, and nothing in it that is not in the
        file."""
        size = self.source.size
        head = b""
        if self.kind == "graph":
            head = _opening(_GRAPH_DEF, size)
        head = number(_VERSION, 1) + _opening(_META_GRAPHS, len(head) + size) + head
        before = from_bytes(head)
        return joined([(before, 0, len(head)), (self.source, 0, size)])

    def _check_graph(self) -> None:
        """Read it once as it lies in its file, where what is wrong has its place."""
        reader = Reader(self.source, self.file.path)
        whole: Spans = [(0, self.source.size)]
        spans = whole if self.kind == "graph" else _graph_in(reader, whole)
        try:
            n = NodeIndex(self.source, spans, 1).n_nodes
        except CoreError as e:
            raise reader.error(e, "graph_def") from None
        if not n:
            raise FormatError(self.file.path, "its graph has no nodes")
        if not self.is_text:  # which a parser has been through
            message = message_id("MetaGraphDef" if self.kind == "meta" else "GraphDef")
            try:
                Canon().hash(self.source, message, whole)  # goes through every field of it
            except CoreError as e:
                if e.kind != "LIMIT":  # nothing wrong was found as far as it went
                    raise reader.error(e, "") from None


def find_origin(path: str | os.PathLike[str], checkpoint: str | None = None) -> Origin:
    """What lies at a path.

    Args:
        path: A checkpoint's prefix or one of its files, its folder, its .meta, a frozen graph.
        checkpoint: The prefix of the checkpoint; None: the one that the path says.

    Raises:
        MissingError: There is nothing there, or no graph, or no checkpoint.
        AmbiguousError: A folder of several checkpoints, none of them named as the newest.
        RefusedError: It is a SavedModel already; or a checkpoint whose graph is only in code.
        UnsupportedError: A checkpoint of the V1 format; an archive, a URL.
        FormatError: It is no graph.
    """
    name = os.fspath(path)
    if not name:
        raise UsageError("", "the path is empty: name a checkpoint, a .meta or a frozen graph")
    scheme, separator, _ = name.partition("://")
    if separator and scheme.isalnum():
        problem = f"{printable(scheme)}:// paths are not read yet: copy the files here"
        raise UnsupportedError("", problem)
    if is_model(name):
        raise RefusedError(
            name, "is a SavedModel already", hint=f"fastsm show {shell(name)} tells what is in it."
        )
    if os.path.basename(name) == STATE and os.path.isfile(name):
        name = os.path.dirname(name) or "."
    if os.path.isfile(name) and not (
        name.endswith(INDEX) or _is_shard(name) or os.path.isfile(name + INDEX)
    ):
        return _of_graph(name, checkpoint)
    if checkpoint is not None:
        what = "there is nothing here" if not os.path.exists(name) else "is no file of a graph"
        raise MissingError(name, what, hint="With --checkpoint name the file that has the graph.")
    return _of_checkpoint(name)


def _of_graph(name: str, checkpoint: str | None) -> Origin:
    """From a file that holds a graph."""
    notes: list[str] = []
    prefix = None
    if checkpoint is not None:
        found = _find(checkpoint)
        if found is None:
            raise MissingError(checkpoint, "there is no checkpoint here")
        prefix, notes = found
    elif name.endswith(META) and os.path.isfile(name.removesuffix(META) + INDEX):
        prefix = name.removesuffix(META)
    elif name.endswith(META):
        _find(name.removesuffix(META))  # of the V1 format, perhaps
    elif not name.endswith(_GRAPHS):
        _find(name)
    return Origin(name, name, prefix, notes)


def _of_checkpoint(name: str) -> Origin:
    """From a checkpoint: its prefix, its index or shard, or its folder."""
    found = _find(name)
    if found is None:
        raise _nothing(name)
    prefix, notes = found
    meta = next((prefix + end for end in _METAS if os.path.isfile(prefix + end)), None)
    if meta is None:
        raise _no_graph(name, prefix)
    state = os.path.join(name, STATE)
    return Origin(name, meta, prefix, notes, state if os.path.isfile(state) else None)


def _find(name: str) -> tuple[str, list[str]] | None:
    """The prefix of the checkpoint that a path means, and what to know of it.

    Raises as `fastsm.bundle.find.find`, and for the V1 format with code that reads it.
    """
    try:
        found = find(_prefix(name))
    except UnsupportedError:
        raise _old(name) from None
    return None if found is None else (found.prefix, found.notes)


def _prefix(name: str) -> str:
    """The prefix, where a shard is named."""
    return name.rpartition(".data-")[0] if _is_shard(name) else name


def _is_shard(name: str) -> bool:
    _, data, rest = name.rpartition(".data-")
    return bool(data) and rest.replace("-of-", "").isdigit()


def _old(name: str) -> UnsupportedError:
    """What to say of a checkpoint of the V1 format: TensorFlow still restores it."""
    prefix = name.removesuffix(META)
    return UnsupportedError(
        prefix,
        "is a checkpoint of TensorFlow's old format (V1), which has no index",
        hint="TensorFlow 2.21 still reads it, and saves it anew; then convert that:\n"
        "    import tensorflow.compat.v1 as tf\n"
        "    with tf.Graph().as_default(), tf.Session() as session:\n"
        f"        saver = tf.train.import_meta_graph({printable(prefix + META, None)!r})\n"
        f"        saver.restore(session, {printable(prefix, None)!r})\n"
        f"        tf.train.Saver().save(session, {printable(prefix + '-v2', None)!r})",
    )


def _no_graph(name: str, prefix: str) -> MissingError | RefusedError:
    """A checkpoint without a .meta beside it: why, and where its graph may be."""
    folder = os.path.dirname(prefix)
    beside = _graphs_in(folder or ".")
    keys = Bundle.open(prefix).index.keys()
    problem = f"{printable(prefix + META, None)} is not there: a checkpoint alone has no graph"
    if OBJECT_GRAPH_KEY in keys:
        return RefusedError(
            name,
            "is a checkpoint of objects (tf.train.Checkpoint, Keras), which has no graph: that is "
            "in the Python code alone",
            hint="Build the model with that code, load the checkpoint into it, and export it: "
            "model.export(DIR) or tf.saved_model.save(model, DIR).",
        )
    shown = listed([os.path.join(folder, n) for n in beside], 4)
    words = f"fastsm convert GRAPH --checkpoint {shell(prefix)}"
    hint = f"Name the file that has it: {words}. "
    hint += f"Beside it: {shown}" if beside else "A .meta of another step does, or a graph.pbtxt."
    return MissingError(name, problem, hint=hint)


def _graphs_in(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [n for n in names if n.endswith((META, *_GRAPHS))]


def _nothing(name: str) -> MissingError:
    if not os.path.exists(name):
        return MissingError(name, "there is nothing here, and no checkpoint of that prefix")
    graphs = _graphs_in(name) if os.path.isdir(name) else []
    if graphs:
        path = os.path.join(name, graphs[-1])
        return MissingError(
            name,
            "there is no checkpoint here (PREFIX.index); files that may hold a graph: "
            + listed(graphs, 8),
            hint=f"Name one: fastsm convert {shell(path)}"
            + (" --checkpoint PREFIX" if path.endswith(META) else ""),
        )
    return MissingError(name, "there is no checkpoint and no graph here")


# -- the file of the graph --


def _open(path: str) -> File:
    try:
        return File(path)
    except FileNotFoundError:
        raise MissingError(path, "there is nothing here") from None
    except (OSError, ValueError) as e:
        words = getattr(e, "strerror", None) or "not a regular file"
        raise FormatError(path, f"cannot be read: {words}") from None


def _check_kind(source: Source, path: str) -> None:
    """Raises FormatError for what is plainly something else: a pointer, an archive, a web page."""
    if not source.size:
        raise FormatError(path, "is empty (0 bytes)", hint="Copy or save it again.")
    found = instead(source)
    if found is not None:
        raise FormatError(path, found[0], hint=found[1])


def _is_text(source: Source) -> bool:
    head = source.read(0, min(source.size, 4096))
    return all(b >= 0x20 or b in b"\t\n\r" for b in head)


def _from_text(file: File) -> tuple[Literal["meta", "graph"], Source]:
    """The kind of message in a text file, and its binary form."""
    from ...pbtxt import to_binary

    size = file.identity.size
    if size > MAX_TEXT_FILE:
        raise UnsupportedError(file.path, f"has {count(size)} bytes of text: too many")
    text = file.source().read(0, size)
    first = _first_field(text)
    if first in (b"saved_model_schema_version", b"meta_graphs"):
        raise RefusedError(
            file.path, "is a SavedModel already, in text format",
            hint="Rename it to saved_model.pbtxt, in a folder of its own.",
        )  # fmt: skip
    if first in (b"node", b"library", b"versions", b"version", b"debug_info"):
        return "graph", from_bytes(to_binary(text, file.path, "GraphDef"))
    return "meta", from_bytes(to_binary(text, file.path, "MetaGraphDef"))


def _first_field(text: bytes) -> bytes:
    """The name of the first field of a message in text format."""
    for line in text.splitlines():
        words = line.split(b"#")[0].replace(b"{", b" ").replace(b":", b" ").split()
        if words:
            return words[0]
    return b""


def _kind(source: Source, path: str) -> Literal["meta", "graph"]:
    """What message a file holds.

    Both begin with a message in field 1: of a GraphDef that is a node, of a MetaGraphDef what
    is told of it, and its graph is field 2.
    """
    whole = [(0, source.size)]
    if path.endswith(META):
        return "meta"
    reader = Reader(source, path)
    first = reader.first(whole, _VERSION, "")
    if first is not None and first.wire == VARINT:
        raise RefusedError(
            path, "is a SavedModel already", hint="Call it saved_model.pb, in a folder of its own."
        )
    if is_graph(source, whole):
        return "graph"
    if is_graph(source, _graph_in(reader, whole)):
        return "meta"
    hint = "It should be a GraphDef (a frozen graph), or a MetaGraphDef (a .meta file)."
    raise FormatError(path, "is no graph that TensorFlow writes", hint=hint)


def _graph_in(reader: Reader, spans: Spans) -> list[tuple[int, int]]:
    """The graph of a MetaGraphDef."""
    return [(f.at, f.end) for f in reader.each(spans, _GRAPH_DEF, "")]


def _opening(field: int, size: int) -> bytes:
    """What stands before a length-delimited field of so many bytes."""
    out = bytearray([field << 3 | LEN])
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
