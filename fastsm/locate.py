"""Finds the SavedModel behind a path, and says what lies there when it is none."""
from __future__ import annotations

import os

from . import _core
from .errors import CoreError, FormatError, MissingError, UnsupportedError
from .source import File, Source, from_bytes
from .text import count, printable

#: The file of a model by format, in the order in which every loader looks.
#: Source: tensorflow/cc/saved_model/constants.h, loader.cc ReadSavedModel.
FILES = {"pb": "saved_model.pb", "pbtxt": "saved_model.pbtxt"}
CHUNKED = "saved_model.cpb"

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".gz", ".7z", ".rar", ".zst")

# How other files begin that end up under this name.
_MAGIC = (
    (b"version https://git-lfs", "is a Git LFS pointer", "Run: git lfs pull"),
    (b"\x89HDF", "is an HDF5 file (Keras 2 .h5)", "Load it in Keras and call model.export()."),
    (b"PK\x03\x04", "is a zip archive (a .keras file is one)", "Extract it first, or load it in Keras and call model.export()."),
    (b"\x1f\x8b", "is gzip-compressed", "Decompress it first."),
    (b"<!DOCTYPE", "is a web page", "Download the file itself, not its page."),
    (b"<html", "is a web page", "Download the file itself, not its page."),
)  # fmt: skip

#: A .pbtxt of more than this is refused: protobuf needs some ten times as much memory.
MAX_TEXT_FILE = 1 << 30


class Located:
    """The files of a model.

    Attributes:
        path: As the caller named it.
        folder: The model's folder, as the path leads to it.
        format: "pb" or "pbtxt".
        name: ``saved_model.pb`` or ``saved_model.pbtxt``.
        file: That file, open.
    """

    __slots__ = ("file", "folder", "format", "name", "path")

    def __init__(self, path: str, folder: str, format: str, file: File) -> None:
        self.path = path
        self.folder = folder
        self.format = format
        self.name = FILES[format]
        self.file = file

    @property
    def file_path(self) -> str:
        """The file, as errors name it."""
        return os.path.join(self.folder, self.name)

    def source(self) -> Source:
        """The model's bytes; of a .pbtxt its binary form.

        Raises FormatError or UnsupportedError for a .pbtxt that protobuf cannot read.
        """
        if self.format == "pb":
            return self.file.source()
        from .pbtxt import to_binary

        size = self.file.identity.size
        if size > MAX_TEXT_FILE:
            raise UnsupportedError(self.file_path, f"has {count(size)} bytes of text: too many")
        return from_bytes(to_binary(self.file.source().read(0, size), self.file_path))


def locate(path: str | os.PathLike[str]) -> Located:
    """Find the SavedModel in a folder, or in the file inside it.

    Raises:
        MissingError: Nothing is there.
        FormatError: Something else is there; says what, and where to look.
        UnsupportedError: An archive, a URL, a .cpb.
    """
    name = os.fspath(path)
    scheme, separator, _ = name.partition("://")
    if separator and scheme.isalnum():
        raise UnsupportedError("", f"{printable(scheme)}:// paths are not read yet: copy the model here")
    try:
        if not os.path.isdir(name):
            return _from_file(name)
        for format, file in FILES.items():
            if os.path.lexists(os.path.join(name, file)):
                return Located(name, name, format, File(os.path.join(name, file)))
        raise _nothing_in(name)
    except OSError as e:
        raise FormatError(e.filename or name, f"cannot be read: {e.strerror or e}") from None
    except ValueError as e:
        if isinstance(e, FormatError):
            raise
        raise FormatError(name, "is not a regular file, or not a possible path") from None


def _from_file(name: str) -> Located:
    if not os.path.lexists(name):
        raise _missing(name)
    folder, base = os.path.split(name)
    for format, file in FILES.items():
        if base == file:
            return Located(name, folder or ".", format, File(name))
    if base == CHUNKED:
        raise _chunked(name)
    if base.endswith(_ARCHIVES):
        raise UnsupportedError(name, "is an archive: extract it first")
    opened = File(name)
    source = opened.source()
    try:
        what = other_kind(source) or ("is not a SavedModel's folder", None)
    except CoreError:
        what = ("is not a SavedModel's folder", None)
    raise FormatError(name, what[0], hint=what[1] or "Name the folder that holds saved_model.pb.")


def _missing(name: str) -> MissingError:
    parent, base = os.path.split(name.rstrip("/"))
    try:
        beside = sorted(os.listdir(parent or "."))
    except OSError:
        beside = []
    import difflib

    close = difflib.get_close_matches(base, beside, 1)
    hint = f"Did you mean {printable(os.path.join(parent, close[0]))}?" if close else None
    return MissingError(name, "there is nothing here", hint=hint)


def _chunked(name: str) -> UnsupportedError:
    return UnsupportedError(
        name, "is a model in chunks (.cpb), which fastsm does not read yet",
        hint="TensorFlow's public wheels cannot load it either; export it as saved_model.pb.",
    )  # fmt: skip


def _nothing_in(folder: str) -> FormatError | UnsupportedError:
    """The folder is there, the model is not: say what is."""
    chunked = os.path.join(folder, CHUNKED)
    if os.path.exists(chunked):
        return _chunked(chunked)
    below = []
    for entry in sorted(os.listdir(folder)):
        inside = os.path.join(folder, entry)
        if any(os.path.lexists(os.path.join(inside, f)) for f in FILES.values()):
            below.append(entry)
    if not below:
        hint = None
        if any(e.endswith((".index", ".meta")) for e in os.listdir(folder)):
            hint = "There is a checkpoint here, without a SavedModel around it."
        return FormatError(folder, "no saved_model.pb or saved_model.pbtxt here", hint=hint)
    numbers = all(e.isdigit() for e in below)
    below.sort(key=lambda e: (int(e) if e.isdigit() else 0, e))
    noun = ("version" if numbers else "model") + ("s" if len(below) > 1 else "")
    shown = ", ".join(printable(e) for e in below[:8]) + (", ..." if len(below) > 8 else "")
    example = printable(os.path.join(folder, below[-1]))
    verb = "lie" if len(below) > 1 else "lies"
    return FormatError(
        folder, f"no saved_model.pb here; {noun} {shown} {verb} below. Try: fastsm show {example}"
    )


def other_kind(source: Source) -> tuple[str, str | None] | None:
    """What a file is that is no SavedModel: (what is wrong, what to do), or None."""
    if source.size == 0:
        return "is empty (0 bytes)", "Copy or export the model again."
    head = source.read(0, min(source.size, 4096))
    for magic, what, hint in _MAGIC:
        if head.startswith(magic):
            return (f"{what} ({count(source.size)} bytes)" if "LFS" in what else what), hint
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
        nodes = _core.NodeIndex(source, [(0, source.size)], 1)
        if nodes.n_nodes and all(_op_like(n) for n in nodes.names()):
            return (
                f"is a GraphDef (frozen graph), not a SavedModel: {count(nodes.n_nodes)} nodes, "
                "no meta graph.",
                None,
            )
    return None


def _op_like(name: bytes) -> bool:
    return name.isascii() and name.replace(b"_", b"").replace(b">", b"").isalnum()
