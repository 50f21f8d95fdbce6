"""`fastsm.run`: what a signature of a model returns, by TensorFlow in a child process."""

from __future__ import annotations

import os

from ..commit.single import write_new
from ..errors import BackendMissingError, MissingError, UnsupportedError, UsageError
from ..model import SavedModel
from ..model import open as open_any
from ..text import Record, did_you_mean, listed, printable, tag_set
from . import requests
from .failures import Failed
from .report import LOADERS
from .setting import Setting
from .worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ..bundle.variables import Array
    from ..views import MetaGraph

    Path = str | os.PathLike[str]

DEFAULT_SIGNATURE = "serving_default"


class Ran(Record):
    """What a signature returned.

    Attributes:
        path: The model, as the caller named it.
        signature: Its key, or the id of a callable.
        tags: Of the meta graph, sorted.
        loader: "v2", "v1" or "cc".
        settings: What ran it, in words.
        notes: What the user should know.
        how: Where the inputs are from, in words.
        inputs, outputs: Name -> array.
        handles: Outputs that are resources or variants, and no values.
        devices: Device -> how many nodes ran there.
    """

    __slots__ = (
        "path", "signature", "tags", "loader", "settings", "notes", "how", "inputs", "outputs",
        "handles", "devices",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        signature: str,
        tags: list[str],
        loader: str,
        settings: str,
        notes: list[str],
        how: str,
        inputs: dict[str, Array],
        outputs: dict[str, Array],
        handles: list[str],
        devices: dict[str, int],
    ) -> None:
        self.path, self.signature, self.tags, self.loader = path, signature, tags, loader
        self.settings, self.notes, self.how = settings, notes, how
        self.inputs, self.outputs = inputs, outputs
        self.handles, self.devices = handles, devices


def run(
    path: Path,
    signature: str = DEFAULT_SIGNATURE,
    inputs: Path | Mapping[str, Any] | None = None,
    *,
    examples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    random: bool = False,
    tags: str | Iterable[str] | None = None,
    loader: str = "v2",
    device: str = "cpu",
    seed: int = 0,
    python: Path | None = None,
    imports: Iterable[str] = (),
    op_libraries: Iterable[Path] = (),
    timeout: float | None = 600.0,
) -> dict[str, Any]:
    """Run a signature, in a process of its own that imports TensorFlow.

    Args:
        path: The model's folder.
        signature: Its key; or ``callable:NAME(...)``, as `fastsm.parity` reports functions of
            the root.
        inputs: Input name -> array, or nested lists; or an npz file of them. The parts of a
            sparse input ``x`` are ``x[values]``, ``x[indices]``, ``x[dense_shape]``, those of a
            ragged one ``x[flat_values]``, ``x[row_splits/0]``, ...
        examples: Input name -> tf.Examples, each a feature's name -> its values.
        random: Make the inputs that are not given. They follow from ``seed``.
        tags: The tag set of the meta graph; None: the only one.
        loader: "v2" (`tf.saved_model.load`), "v1" (a session) or "cc" (C++, as TensorFlow
            Serving).
        device: "cpu", "gpu", "gpu:N", or "auto" (a GPU if there is one).
        seed: Of made inputs, and of TensorFlow's random ops.
        python: The interpreter that has TensorFlow; else this one.
        imports: Modules to import behind TensorFlow, for the ops that they bring.
        op_libraries: Libraries of custom ops to load.
        timeout: How many seconds it may take; None: any.

    Returns:
        Output name -> numpy array; strings are bytes, in an array of objects.

    Raises:
        UsageError: Inputs that are missing, unknown, or of another dtype or shape.
        MissingError: No such signature or tag set.
        AmbiguousError: Several meta graphs, and no ``tags``.
        BackendMissingError: No TensorFlow.
        UnsupportedError: TensorFlow does not load or run it; no such GPU.

    Example:
        >>> import fastsm
        >>> fastsm.run("export/1", inputs={"x": [[1.0, 2.0]]})    # doctest: +SKIP
        {'y': array([[0.5]], dtype=float32)}
    """
    setting = Setting(
        device=device, seed=seed, python=python, imports=tuple(imports),
        op_libraries=tuple(os.fspath(file) for file in op_libraries),
    )  # fmt: skip
    outputs: dict[str, Any] = run_in(
        setting, path, signature, inputs, examples=examples, random=random, tags=tags,
        loader=loader, timeout=timeout,
    ).outputs  # fmt: skip
    return outputs


def run_in(
    setting: Setting,
    path: Path,
    signature: str,
    inputs: Path | Mapping[str, Any] | None = None,
    *,
    examples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    random: bool = False,
    tags: str | Iterable[str] | None = None,
    loader: str = "v2",
    timeout: float | None = 600.0,
    worker: Worker | None = None,
) -> Ran:
    """`run`, with all that there is to tell.

    Args:
        worker: One with this setting that runs already, and is left running.
    """
    if loader not in LOADERS:
        raise UsageError("", f"no loader {printable(loader)!r}: {', '.join(LOADERS)}")
    model = open_any(path)
    if not isinstance(model, SavedModel):
        raise UsageError(os.fspath(path), "is a checkpoint: a model runs")
    graph = model.only_meta_graph() if tags is None else model.meta_graph(tags)
    call = _call(model.path, graph, signature)
    given: dict[str, Any] = {}
    file: str | None = None
    if isinstance(inputs, (str, os.PathLike)):
        file = os.path.abspath(inputs)
    elif inputs is not None:
        given = dict(inputs)
    _check_given(model.path, graph, signature, file, [*given, *(examples or {})])
    want: dict[str, Any] = {
        "seed": setting.seed, "made": random, "defaults": requests.defaults(graph),
        "examples": {name: list(several) for name, several in (examples or {}).items()},
        "inputs": file,
    }  # fmt: skip
    own = None if worker is not None else Worker(setting, timeout_s=timeout)
    try:
        at = worker or own
        assert at is not None
        about = at.about
        if given:
            want["inputs"] = os.path.join(at.folder, "given")
            _save(want["inputs"], given)
        try:
            answer = at.ask(
                "run", path=os.path.abspath(model.folder), loader=loader,
                tags=sorted(graph.tag_set), call=call, want=want, keep=at.folder,
            )  # fmt: skip
        except Failed as e:
            others = ", ".join(f"--loader {name}" for name in LOADERS if name != loader)
            raise UnsupportedError(
                model.path, f"{LOADERS[loader]} does not load it: {e.words()}",
                hint=f"Another loader may: {others}",
            ) from None  # fmt: skip
        if "calls" in answer:
            known = [name for name in answer["calls"] if name.startswith(requests.CALLABLE)]
            raise MissingError(
                model.path, f"there is no {printable(call)}", hint=did_you_mean(call, known)
            )
        _raise_failure(model.path, graph, signature, answer)
        fed, outputs = _load(answer["inputs"]), _load(answer["outputs"])
    finally:
        if own is not None:
            own.close()
    return Ran(
        path=model.path, signature=signature, tags=sorted(graph.tag_set), loader=loader,
        settings=setting.fixed(about), notes=[about["note"]] if about["note"] else [],
        how=answer["how"], inputs=fed, outputs=outputs, handles=answer["handles"],
        devices=answer["devices"],
    )  # fmt: skip


def _call(path: str, graph: MetaGraph, signature: str) -> str:
    """The id of a call. Functions of the root are known only once they are loaded."""
    if signature.startswith(requests.CALLABLE):
        return signature
    if signature not in graph.signatures:
        raise MissingError(
            path, f'no signature "{printable(signature)}" in {tag_set(graph.tag_set)}',
            hint=did_you_mean(signature, graph.signatures),
        )  # fmt: skip
    return f"signature:{signature}"


def _check_given(
    path: str, graph: MetaGraph, key: str, file: str | None, names: Sequence[str]
) -> None:
    """Refuse inputs that the signature has not."""
    if file is not None:
        requests.check_names(file, requests.npz_names(file), [graph])
    if key not in graph.signatures:
        return
    inputs = graph.signatures[key].inputs
    for name in names:
        if name not in inputs and name.rpartition("[")[0] not in inputs:
            raise UsageError(
                path, f'signature "{printable(key)}" has no input "{printable(name)}"',
                hint=did_you_mean(name, inputs),
            )  # fmt: skip


def _save(path: str, given: Mapping[str, Any]) -> None:
    """Hand arrays over. Raises UsageError for one that is none, or that no tensor holds."""
    from .child import arrays

    arrays.save(path, {name: as_array(name, value) for name, value in given.items()})


def as_array(name: str, value: Any) -> Array:
    """An array, or nested lists, as an array that a tensor can hold.

    Raises:
        UsageError: It is none: lists of several lengths, objects, dates.
    """
    import numpy as np

    from .child import arrays

    problem = f'the input "{printable(name)}"'
    try:
        array = np.asarray(value)
        if array.dtype.kind in "SU" and not isinstance(value, np.ndarray):
            array = np.asarray(value, dtype=object)  # numpy's own strings end before their zeros
        if array.dtype.kind in "OSUT":
            for element in array.flat:
                arrays.text_bytes(element)
        elif array.dtype.kind != "V" or array.dtype.names:
            arrays.numpy_dtype(arrays.dtype_name(array.dtype))
    except (TypeError, ValueError) as e:
        raise UsageError("", f"{problem}: {printable(str(e))}") from None
    except ImportError:
        raise _no_dtypes() from None
    return array


def _load(path: str) -> dict[str, Array]:
    from .child import arrays

    try:
        return arrays.load(path)
    except ImportError:
        raise _no_dtypes() from None


def _no_dtypes() -> BackendMissingError:
    return BackendMissingError(
        "", "a dtype that numpy has not by itself needs ml_dtypes, which is not installed",
        hint='pip install "fastsm[dtypes]"',
    )  # fmt: skip


def _raise_failure(path: str, graph: MetaGraph, signature: str, answer: Mapping[str, Any]) -> None:
    how = answer["failed"]
    if how is None:
        return
    if how["unfit"]:
        problem, hint = printable(how["text"], 500), None
        if how["type"] == "Lacking":
            hint = "--inputs FILE.npz or --input NAME=VALUE give them, --random makes them."
            if signature in graph.signatures:
                inputs = graph.signatures[signature].inputs
                takes = listed(f"{name}: {info.spec()}" for name, info in inputs.items())
                problem += f"; it takes {takes}"
        raise UsageError(path, f'signature "{printable(signature)}": {problem}', hint=hint)
    words = Failed("error", how["type"], how["text"]).words()
    made = "no inputs were found on which it runs" if answer["how"].startswith("made") else ""
    raise UnsupportedError(
        path, f'signature "{printable(signature)}" does not run: {words}',
        hint=f"{made}; --inputs gives it some." if made else None,
    )  # fmt: skip


# -- a file of outputs --


def write_npz(
    out: str, arrays: Mapping[str, Array], *, force: bool = False, sync: bool = True
) -> None:
    """Write arrays into an npz file, without a pickle.

    Strings become bytes of a fixed size (dtype S), as numpy has them; where some end in zeros,
    which numpy would drop, void of that size (dtype V). Dtypes of ml_dtypes become void, too:
    so numpy writes them.

    Raises:
        UnsupportedError: Strings that end in zeros, and are not all of one size.
        RefusedError: ``out`` is there already.
        CommitError: The disk.
    """
    storable = {name: _storable(out, name, array) for name, array in arrays.items()}

    def fill(staged: str) -> None:
        import zipfile

        import numpy as np

        with zipfile.ZipFile(staged, "w", zipfile.ZIP_STORED) as archive:
            for name, array in storable.items():
                entry = zipfile.ZipInfo(name + ".npy")  # no time in it: the same file each time
                with archive.open(entry, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    write_new(out, fill, need=sum(a.nbytes for a in storable.values()), force=force, sync=sync)


def _storable(out: str, name: str, array: Array) -> Array:
    import numpy as np

    if array.dtype.names:
        return np.asarray(array[array.dtype.names[0]])
    if array.dtype.kind in "fV" and array.dtype.isbuiltin == 2:
        return np.asarray(array.view(f"V{array.dtype.itemsize}"))
    if array.dtype != object:
        return array
    strings = [bytes(element) for element in array.flat]
    sizes = {len(s) for s in strings}
    if not any(s.endswith(b"\0") for s in strings):
        dtype = f"S{max(sizes, default=1) or 1}"
    elif len(sizes) == 1:
        dtype = f"V{sizes.pop()}"
    else:
        raise UnsupportedError(
            out, f'npz cannot hold "{printable(name)}": its strings end in zeros, and are of '
            "several sizes", hint="fastsm.run in Python returns them.",
        )  # fmt: skip
    return np.asarray(np.array(strings, dtype=dtype).reshape(array.shape))
