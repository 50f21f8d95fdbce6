"""What lies at a path, when it is no SavedModel that can be read: words for the error.

Imported only when something is wrong.
"""

from __future__ import annotations

import os

from . import _core
from .errors import CoreError, FormatError, MissingError, UnsupportedError
from .locate import CHUNKED, FILES
from .source import File, merged
from .text import count, counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .source import Reader, Source, Spans

#: What to do with a graph that is in no SavedModel.
CONVERT = "fastsm convert FILE makes a SavedModel of it."

# How other files begin that end up under this name.
_MAGIC = (
    (b"version https://git-lfs", "is a Git LFS pointer", "Run: git lfs pull"),
    (b"\x89HDF", "is an HDF5 file (Keras 2 .h5)", "Load it in Keras and call model.export()."),
    (b"PK\x03\x04", "is a zip archive (a .keras file is one)",
     "Extract it first, or load it in Keras and call model.export()."),
    (b"\x1f\x8b", "is gzip-compressed", "Decompress it first."),
    (b"<!DOCTYPE", "is a web page", "Download the file itself, not its page."),
    (b"<html", "is a web page", "Download the file itself, not its page."),
)  # fmt: skip


def missing(name: str) -> MissingError:
    parent, base = os.path.split(name.rstrip("/"))
    try:
        beside = sorted(os.listdir(parent or "."))
    except OSError:
        beside = []
    import difflib

    close = difflib.get_close_matches(base, beside, 1)
    hint = f"Did you mean {printable(os.path.join(parent, close[0]))}?" if close else None
    return MissingError(name, "there is nothing here", hint=hint)


def chunked(name: str) -> UnsupportedError:
    return UnsupportedError(
        name, "is a model in chunks (.cpb), which fastsm does not read yet",
        hint="TensorFlow's public wheels cannot load it either; export it as saved_model.pb.",
    )  # fmt: skip


def not_a_model(name: str) -> FormatError:
    """A file that no SavedModel is kept in: say what it is, if that can be told."""
    try:
        what = other_kind(File(name).source()) or ("is not a SavedModel's folder", None)
    except CoreError:
        what = ("is not a SavedModel's folder", None)
    return FormatError(name, what[0], hint=what[1] or "Name the folder that holds saved_model.pb.")


def nothing_in(folder: str) -> FormatError | UnsupportedError:
    """The folder is there, the model is not: say what is."""
    path = os.path.join(folder, CHUNKED)
    if os.path.exists(path):
        return chunked(path)
    below = []
    for entry in sorted(os.listdir(folder)):
        inside = os.path.join(folder, entry)
        if any(os.path.lexists(os.path.join(inside, f)) for f in FILES.values()):
            below.append(entry)
    if not below:
        hint = None
        if any(e.endswith(".meta") for e in os.listdir(folder)):
            hint = "There is a graph here (.meta). With its checkpoint it becomes a SavedModel: "
            hint += "fastsm convert FILE.meta --checkpoint PREFIX"
        return FormatError(folder, "no saved_model.pb or saved_model.pbtxt here", hint=hint)
    numbers = all(e.isdigit() for e in below)
    below.sort(key=lambda e: (int(e) if e.isdigit() else 0, e))
    noun = ("version" if numbers else "model") + ("s" if len(below) > 1 else "")
    shown = ", ".join(printable(e) for e in below[:8]) + (", ..." if len(below) > 8 else "")
    example = printable(os.path.join(folder, below[-1]))
    verb = "lie" if len(below) > 1 else "lies"
    return FormatError(
        folder,
        f"no saved_model.pb here; {noun} {shown} {verb} below. Try: fastsm show {example}",
    )


def other_kind(source: Source) -> tuple[str, str | None] | None:
    """What a file is that is no SavedModel: (what is wrong, what to do), or None."""
    if source.size == 0:
        return "is empty (0 bytes)", "Copy or export the model again."
    found = instead(source)
    if found:
        return found
    head = source.read(0, min(source.size, 4096))
    if head[4:8] == b"TFL3":
        return "is a TFLite model, not a SavedModel", None
    if head.isascii() and all(b >= 0x20 or b in b"\t\n\r" for b in head):
        if b"saved_model_schema_version" in head or b"meta_graphs" in head:
            return "is in text format", "Rename it to saved_model.pbtxt."
        if b"item {" in head or b"item{" in head:
            return "is a label map in text format, not a SavedModel", None
        return "is text, not a SavedModel", None
    first = _core.scan(source, [(0, source.size)], only=1, most=1)
    if first and first[0].wire == 2 and first[0].start == 0:
        if is_graph(source, [(0, source.size)]):
            n = counted(_core.NodeIndex(source, [(0, source.size)], 0).n_nodes, "node")
            return (
                f"is a GraphDef (frozen graph), not a SavedModel: {n}, no meta graph.", CONVERT
            )
        parts = merged(_core.scan(source, [(0, source.size)]), 2)
        if is_graph(source, parts):
            return "is a MetaGraphDef (a .meta file), not a SavedModel", CONVERT
    return None


def is_graph(source: Source, spans: Spans) -> bool:
    """Whether a message can be a GraphDef: it has nodes, and they name ops."""
    try:
        nodes = _core.NodeIndex(source, spans, 1)
    except CoreError:
        return False
    return bool(nodes.n_nodes) and all(_op_like(n) for n in nodes.names())


def instead(source: Source) -> tuple[str, str] | None:
    """What lies where any file should, by how it begins: (what it is, what to do), or None."""
    head = source.read(0, min(source.size, 64))
    for magic, what, hint in _MAGIC:
        if head.startswith(magic):
            return (f"{what} ({count(source.size)} bytes)" if "LFS" in what else what), hint
    return None


def _op_like(name: bytes) -> bool:
    return name.isascii() and name.replace(b"_", b"").replace(b">", b"").isalnum()


#: Names of the fields in which most of a file lies, for the place of a truncation.
_META_GRAPH_FIELDS = {
    1: "meta_info_def", 2: "graph_def", 3: "saver_def", 4: "collection_def",
    5: "signature_def", 6: "asset_file_def", 7: "object_graph_def",
}  # fmt: skip


def truncated(reader: Reader, error: CoreError) -> FormatError | None:
    """A file that ends too early: which field it ends in, and what that needs.

    Args:
        error: What the core found when it read SavedModel's own fields.
    """
    source = reader.source
    if error.kind != "TRUNCATED" or not error.offset < source.size:
        return None
    head = source.read(error.offset, min(11, source.size - error.offset))
    if head[0] != 2 << 3 | 2:  # meta_graphs; the rest of SavedModel is one number
        return None
    try:
        place = f"meta_graphs[{_core.count(source, [(0, error.offset)], 2)}]"
    except CoreError:
        return None  # it ends in a group
    need = error.need
    payload = next((i + 1 for i in range(1, len(head)) if head[i] < 0x80), None)
    if payload is None:
        return None
    try:
        _core.scan(source, [(error.offset + payload, source.size)])
    except CoreError as inner:
        if inner.kind != "TRUNCATED":
            return None
        if inner.offset < source.size:
            number = source.read(inner.offset, 1)[0] >> 3
            place += "." + _META_GRAPH_FIELDS.get(number, f"field {number}")
            need = inner.need
    return FormatError(
        reader.path,
        f"ends at byte {count(source.size)}; {place} needs {count(need)}. Partial download?",
    )
