"""What a model is to be run on, for the child: warm-up requests, a file of arrays.

Tensors are handed on as they lie in their files; nothing is decoded here, and nothing unpickled.
"""

from __future__ import annotations

import base64
import os
import zipfile

from ..edits import warmup
from ..errors import FastsmError, UsageError
from ..source import File, Reader
from ..text import count, counted, did_you_mean, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..edits.warmup import Request
    from ..model import SavedModel
    from ..views import MetaGraph

    Json = dict[str, Any]

#: Of a signature no more warm-up requests are run.
MAX_REQUESTS = 16

#: The one input of signatures that classify or regress.
#: Source: tensorflow/cc/saved_model/signature_constants.h kClassifyInputs, kRegressInputs.
EXAMPLES = "inputs"

#: Where the signature of a name in an npz file would be a function of the root.
CALLABLE = "callable:"


def want(model: SavedModel, *, seed: int = 0, inputs: str | None = None) -> tuple[Json, list[str]]:
    """What `child.inputs.sets_of` is to make of a model.

    Args:
        seed: Of what is made.
        inputs: An npz file, which is fed instead; its names are ``INPUT`` or
            ``SIGNATURE/INPUT``.

    Returns:
        What the child is told, and what is not used, in words.

    Raises:
        UsageError: ``inputs`` is no npz file, or has a name that is no input.
    """
    wanted: Json = {"seed": seed}
    if inputs is not None:
        check_names(inputs, npz_names(inputs), model.meta_graphs)
        wanted["inputs"] = os.path.abspath(inputs)
    wanted["requests"], notes = warm_up(model)
    return wanted, notes


def defaults(graph: MetaGraph) -> dict[str, dict[str, str]]:
    """A signature's key -> an input's name -> the TensorProto that it is when left out, as
    base64."""
    return {
        key: {name: _base64(default.encoded()) for name, default in signature.defaults.items()}
        for key, signature in graph.signatures.items()
        if signature.defaults
    }


# -- a file of arrays --


def npz_names(path: str) -> list[str]:
    """The names of the arrays in an npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except OSError as e:
        raise UsageError(path, f"cannot be read: {e.strerror or e}") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as e:
        raise UsageError(
            path, f"is no npz file: {e}", hint="numpy.savez(FILE, INPUT=array) writes one."
        ) from None


def check_names(path: str, names: Sequence[str], graphs: Sequence[MetaGraph]) -> None:
    """Refuse a name that is no input of any signature: nobody would feed that array."""
    known: dict[str, None] = {}
    qualified: dict[str, None] = {}
    for graph in graphs:
        for key, signature in graph.signatures.items():
            known.update(dict.fromkeys(signature.inputs))
            qualified.update(dict.fromkeys(f"{key}/{name}" for name in signature.inputs))
    known.update(qualified)
    for name in names:
        whole = name.rpartition("[")[0] if name.endswith("]") else ""
        if not (name in known or whole in known or name.startswith(CALLABLE)):
            raise UsageError(
                path, f"{printable(name)} is no input of a signature",
                hint=did_you_mean(name, known),
            )  # fmt: skip


# -- warm-up requests --


def warm_up(model: SavedModel) -> tuple[dict[str, list[Json]], list[str]]:
    """The requests with which TensorFlow Serving warms the model up.

    Returns:
        A signature's key -> ``name`` and ``inputs`` of each; and what is not used, in words.
    """
    path = os.path.join(model.folder, *warmup.NAME.split("/"))
    try:
        source = File(path).source()
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as e:
        return {}, [f"{warmup.NAME} is not used: {getattr(e, 'strerror', None) or 'it is no file'}"]
    keys = {key for graph in model.meta_graphs for key in graph.signatures}
    found: dict[str, list[Json]] = {}
    notes: dict[str, int] = {}
    left_out: dict[str, int] = {}

    def note(text: str) -> None:
        notes[text] = notes.get(text, 0) + 1

    n = 0
    try:
        for log in warmup.requests(Reader(source, path), check=True):
            for request in log:
                n += 1
                if request.kind == warmup.SESSION_RUN:
                    note("name tensors and no signature")
                for key in request.signatures:
                    if key not in keys:
                        note(f'ask for the signature "{printable(key)}", which is not there')
                    elif len(found.get(key, ())) >= MAX_REQUESTS:
                        left_out[key] = left_out.get(key, 0) + 1
                    else:
                        inputs = _inputs(Reader(source, path), request)
                        found.setdefault(key, []).append(
                            {"name": f"warm-up request {n}", "inputs": inputs}
                        )
    except FastsmError as e:
        note_of = f"{warmup.NAME} is used up to request {n}" if n else f"{warmup.NAME} is not used"
        return found, [f"{note_of}: it {e.problem}"]
    said = [
        f"{counted(times, 'warm-up request')} not used: they {why}" for why, times in notes.items()
    ]
    said += [
        f'of signature "{printable(key)}" {MAX_REQUESTS} of {count(MAX_REQUESTS + more)} warm-up '
        "requests are used"
        for key, more in left_out.items()
    ]
    return found, said


def _inputs(reader: Reader, request: Request) -> Json:
    """What a request feeds: an input's name -> a TensorProto, or serialised Examples."""
    if request.kind in (warmup.PREDICT, warmup.STREAMED):
        return {
            name: {"tensor": _base64(reader.joined(spans))}
            for name, spans in request.inputs().items()
        }
    strings = [_base64(reader.joined(spans)) for spans in request.examples()]
    return {EXAMPLES: {"strings": strings}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
