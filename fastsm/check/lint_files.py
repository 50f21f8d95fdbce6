"""Findings of the model's folder: its name, its size, what lies beside saved_model.pb.

Source: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc,
tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc;
tensorflow/core/util/fingerprinting/fingerprinting.cc CreateFingerprintDef (2.21).
"""

from __future__ import annotations

import os

from ..edits import warmup
from ..errors import CoreError, FormatError
from ..locate import CHUNKED, FILES
from ..source import File, Reader
from ..text import counted, printable, size
from ..views import RESERVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..locate import Located
    from ..model import SavedModel
    from ..views import Signature
    from .report import Report

#: What protobuf reads of a message; C++ and Python refuse more.
MAX_SIZE = (1 << 31) - 1

#: From here on a model is told to be near that.
NEAR = MAX_SIZE * 9 // 10

#: Versions are of 64 bits.
_MAX_VERSION = (1 << 63) - 1


def check_files(report: Report, located: Located, model: SavedModel | None) -> None:
    """Look at the folder, and at what lies in it.

    Args:
        model: The model in it; None where it cannot be read.
    """
    _check_folder(report, located.folder)
    n = located.file.identity.size
    if located.format == "pb" and n >= NEAR:
        left = f"{size(MAX_SIZE - n)} below" if n <= MAX_SIZE else "beyond"
        report.add(
            "model-size", located.name, f"{size(n)}: {left} what protobuf reads", seen=n,
            expected=f"at most {MAX_SIZE}",
        )  # fmt: skip
    for other, words in (
        (FILES["pbtxt"], "no loader reads it: a second version of the model, or an old one"),
        (CHUNKED, "no public loader reads it, and TensorFlow's fingerprint is made of it"),
    ):
        if other != located.name and os.path.lexists(os.path.join(located.folder, other)):
            report.add("twin-file", other, f"lies beside {located.name}: {words}")
    if model is not None:
        _check_warmup(report, model)


def _check_folder(report: Report, folder: str) -> None:
    """Versions are folders called by numbers; of two with one number one is served."""
    parent, name = os.path.split(os.path.abspath(folder))
    version = _version(name)
    if version is None:
        report.add(
            "version-folder", "",
            f'"{printable(name)}" is no number: TF Serving finds no version in its parent',
            seen=printable(name),
        )  # fmt: skip
        return
    try:
        others = sorted(n for n in os.listdir(parent) if n != name and _version(n) == version)
    except OSError:
        others = []
    if others:
        report.add(
            "version-folder", "",
            f"{printable(others[0])} beside it is version {version}, too: TF Serving loads one",
            seen=printable(name),
        )  # fmt: skip


def _version(name: str) -> int | None:
    if not (name.isascii() and name.isdigit() and len(name) <= 30):
        return None
    number = int(name)
    return number if number <= _MAX_VERSION else None


# -- the requests that warm a server up --


def _check_warmup(report: Report, model: SavedModel) -> None:
    """Hold each request against the signature that it asks for."""
    path = os.path.join(model.folder, warmup.NAME)
    if not os.path.lexists(path):
        return
    signatures: dict[str, list[Signature]] = {}
    try:
        for graph in model.meta_graphs:
            for key, signature in graph.signature_defs.items():
                if key not in RESERVED:
                    signatures.setdefault(key, []).append(signature)
    except FormatError:
        return  # which is a finding already
    try:
        reader = Reader(File(path).source(), path)
        for i, log in enumerate(warmup.requests(reader, check=True)):
            for request in log:
                for words in _problems(request, signatures):
                    report.add("warmup-request", warmup.NAME, f"record {i}: {words}", key=str(i))
    except (FormatError, CoreError) as e:
        problem = e.problem if isinstance(e, FormatError) else str(e)
        report.add("warmup-request", warmup.NAME, f"damaged: {problem}", offset=e.offset)
    except (OSError, ValueError) as e:
        words = getattr(e, "strerror", None) or "not a regular file"
        report.add("warmup-request", warmup.NAME, f"cannot be read: {words}")


def _problems(request: warmup.Request, signatures: dict[str, list[Signature]]) -> list[str]:
    """What no meta graph has of what a request asks for."""
    found = []
    for key in request.signatures:
        known = signatures.get(key)
        if known is None:
            found.append(f'no signature "{printable(key)}"')
        elif request.kind == warmup.PREDICT:
            given = request.inputs().keys()
            for side, names in (("input", given), ("output", request.outputs())):
                for name in names:
                    if not any(name in getattr(s, f"{side}s") for s in known):
                        found.append(f'"{printable(key)}" has no {side} "{printable(name)}"')
            missing = [set(s.inputs) - given for s in known if not s.defaults]
            if missing and all(missing):
                n = len(min(missing, key=len))
                found.append(f'"{printable(key)}" takes {counted(n, "input")} more than it gives')
    return found
