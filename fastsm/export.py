"""`fastsm.export_weights`: the variables of a model or a checkpoint in one file for others.

    npz          numpy's: a zip of .npy files, not compressed; written a tensor at a time
    safetensors  through its library, from the shards as they lie in memory-mapped files

Checksums are held before a tensor is written. A dtype that the format has not is an error:
nothing is written as something else.
"""

from __future__ import annotations

import os

from .commit.single import write_new
from .errors import (
    BackendMissingError,
    FormatError,
    MissingError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from .locate import is_model
from .model import SavedModel
from .model import open as open_any
from .text import Record, counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .bundle.objects import Named
    from .bundle.variables import Variable, Variables
    from .model import Checkpoint

    Progress = Callable[[int, int], object]
    #: The name that a tensor gets, and the tensor.
    Chosen = list[tuple[str, Variable]]

FORMATS = ("npz", "safetensors")
NAMES = ("object", "key")

#: Dtypes that a file of the format can hold. Quantised ones are stored as their integers.
_INTEGERS = {"qint8": "int8", "quint8": "uint8", "qint16": "int16", "quint16": "uint16",
             "qint32": "int32"}  # fmt: skip
_BOTH = {
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "float32", "float64", "complex64", *_INTEGERS,
}  # fmt: skip
_HOLDS = {
    "npz": _BOTH | {"complex128"},
    "safetensors": _BOTH
    | {"bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"},
}

#: A zip has 16 bits for the length of a name.
MAX_NAME = 16_000

#: So many bytes of a tensor are held at a time.
_WINDOW = 1 << 20

#: The safetensors library hands longer tensors to the system as they lie in the mapped file,
#: and gets an error where that has become shorter meanwhile. Others it copies first, which
#: would end the process: those are read into memory for it.
_READ = 64 << 10


class Exported(Record):
    """A tensor in the file.

    Attributes:
        name: What it is called there.
        key: Its key in the checkpoint.
        dtype: Its dtype in the checkpoint, ``float32``.
        shape: Its dimensions.
        bytes: What it takes.
    """

    __slots__ = ("name", "key", "dtype", "shape", "bytes")

    def __init__(self, name: str, variable: Variable) -> None:
        self.name = name
        self.key = variable.key
        self.dtype = variable.dtype
        self.shape = variable.shape or ()
        self.bytes = variable.nbytes


class ExportResult(Record):
    """What was exported.

    Attributes:
        path: The file.
        format: "npz" or "safetensors".
        tensors: What is in it, in the order of the checkpoint's index.
        bytes: What they take.
        warnings: What the user should know.
    """

    __slots__ = ("path", "format", "tensors", "bytes", "warnings")

    def __init__(self, path: str, format: str, chosen: Chosen, warnings: list[str]) -> None:
        self.path = path
        self.format = format
        self.tensors = [Exported(name, v) for name, v in chosen]
        self.bytes = sum(v.nbytes for _, v in chosen)
        self.warnings = warnings

    def __repr__(self) -> str:
        n = counted(len(self.tensors), "tensor")
        return f"ExportResult({self.path!r}, {self.format}, {n}, {self.bytes} bytes)"


def export_weights(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: str | None = None,
    names: str = "object",
    only: str | None = None,
    force: bool = False,
    sync: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> ExportResult:
    """Write the variables of a model, or of a checkpoint, into one file.

    Args:
        path: The model's folder, or a checkpoint's prefix.
        out: The file; it appears whole or not at all.
        to: "npz" or "safetensors"; None: as the name of ``out`` ends.
        names: "object": tensors are named by the objects that lead to them
            (``layers[1].kernel``) where the checkpoint knows that and no two have one name;
            "key": by the checkpoint's keys.
        only: A pattern (``*kernel*``) that the name or the key must match.
        force: Replace a file that is there.
        sync: Wait until the disk has it.
        progress: Called with (bytes done, bytes in all).

    Raises:
        UsageError: ``to`` or ``names`` is none of these.
        MissingError: There is nothing to export, or the pattern fits nothing.
        UnsupportedError: A tensor has a dtype that the format cannot hold.
        FormatError: A tensor is damaged, or the index, which may have lost some.
        BackendMissingError: The safetensors package is not installed.
        RefusedError: ``out`` is there already, or lies inside the model.
        CommitError: The disk.

    Example:
        >>> import fastsm
        >>> fastsm.export_weights("examples/ranker/1", "weights.npz", only="_all*", names="key")
        ExportResult('weights.npz', npz, 3 tensors, 3360 bytes)
    """
    out = os.fspath(out)
    to = _format(out, to)
    if names not in NAMES:
        raise UsageError("", f"names: one of {', '.join(NAMES)}, not {printable(names)!r}")
    model = open_any(path)
    _check_outside(model, out)
    if model.variables.bundle is not None:
        # A broken restart array loses no key.
        model.variables.bundle.check_whole(but=("RESTARTS",))
    warnings: list[str] = []
    chosen = _choose(os.fspath(path), model.variables, names, only, warnings)
    _check_names(os.fspath(path), {name for name, _ in chosen}, to)
    _check_dtypes(os.fspath(path), chosen, to)
    total = sum(v.nbytes for _, v in chosen)
    write = _write_npz if to == "npz" else _writer_of_safetensors(chosen)
    write_new(
        out,
        lambda staged: write(staged, chosen, progress),
        need=total,
        force=force,
        sync=sync,
    )
    return ExportResult(out, to, chosen, warnings)


# -- what is asked for --


def _format(out: str, to: str | None) -> str:
    if to is None:
        to = os.path.splitext(out)[1].removeprefix(".")
        if to not in FORMATS:
            problem = "its ending names no format"
            raise UsageError(out, problem, hint=f"Say which: --to {' or '.join(FORMATS)}")
    if to not in FORMATS:
        raise UsageError("", f"the formats are {', '.join(FORMATS)}, not {printable(to)!r}")
    return to


def _check_outside(model: SavedModel | Checkpoint, out: str) -> None:
    """Refuse a file in the model, or one of the checkpoint's own."""
    real = os.path.realpath(out)
    if isinstance(model, SavedModel):
        folder = model.folder
    else:
        bundle = model.variables.bundle
        mine = [bundle.index_file.path, *map(bundle.shard_path, bundle.index.shards())]
        if real in map(os.path.realpath, mine):
            raise RefusedError(out, f"is a file of the checkpoint {printable(model.path, None)}")
        folder = os.path.dirname(os.path.realpath(bundle.folder))
        if not is_model(folder):
            return
    if real.startswith(os.path.join(os.path.realpath(folder), "")):
        raise RefusedError(out, f"lies inside the model {printable(folder, None)}")


def _choose(
    path: str, variables: Variables, names: str, only: str | None, warnings: list[str]
) -> Chosen:
    """The tensors to write and their names, in the order of the index."""
    from .bundle.objects import fits

    named = _named(variables, warnings) if names == "object" or only is not None else {}
    found = _object_names(variables, named) if names == "object" else {}
    chosen = []
    for key in variables:
        # What is no text has no name in either format; control characters have bad ones.
        name = printable(found.get(key) or key, None)
        if only is None or fits(only, key, named.get(key), name):
            chosen.append((name, variables[key]))
    if not chosen:
        what = "there are no variables" if only is None else f"no variable fits {printable(only)!r}"
        raise MissingError(path, what)
    if any(len(name) > MAX_NAME for name, _ in chosen):
        raise UnsupportedError(path, f"a variable's name has more than {MAX_NAME:,} characters")
    seen: dict[str, str] = {}
    for name, v in chosen:
        if seen.setdefault(name, v.key) != v.key:
            problem = f'two variables would have the name "{printable(name)}"'
            raise UnsupportedError(path, problem, hint="--only one of them")
    return chosen


def _named(variables: Variables, warnings: list[str]) -> dict[str, Named]:
    """What the object graph says of each tensor; a damaged one says nothing."""
    try:
        return variables.named
    except FormatError as e:
        warnings.append(f"names are the checkpoint's keys: its object graph {e.problem}")
        return {}


def _object_names(variables: Variables, named: dict[str, Named]) -> dict[str, str]:
    """key -> object path, where there is one and it is nobody else's name."""
    paths = {key: what.object_path for key, what in named.items()}
    taken: dict[str, int] = {}
    for key in variables:
        for name in {paths.get(key, ""), key}:
            taken[name] = taken.get(name, 0) + 1
    return {key: name for key, name in paths.items() if name and taken.get(name) == 1}


def _check_names(path: str, names: set[str], to: str) -> None:
    """Refuse names under which the format's readers find something else."""
    problem = None
    if to == "safetensors" and "__metadata__" in names:
        problem = 'safetensors keeps the name "__metadata__" for itself'
    elif to == "npz":  # which ends names in .npy, and finds them with the ending and without
        twice = next((name for name in sorted(names) if f"{name}.npy" in names), None)
        if twice is not None:
            problem = f'numpy takes "{printable(twice)}.npy" for "{printable(twice)}"'
    if problem is not None:
        raise UnsupportedError(path, problem, hint="--only leaves one out")


def _check_dtypes(path: str, chosen: Chosen, to: str) -> None:
    bad = [(name, v.dtype) for name, v in chosen if v.dtype not in _HOLDS[to]]
    if bad:
        name, dtype = bad[0]
        more = f", nor {counted(len(bad) - 1, 'other tensor')}" if len(bad) > 1 else ""
        raise UnsupportedError(
            path,
            f'{to} cannot hold "{printable(name)}", which is {dtype}{more}',
            hint="--only names those to export" + (
                "; safetensors holds more dtypes" if to == "npz" else ""
            ),
        )  # fmt: skip


# -- npz --


def _write_npz(staged: str, chosen: Chosen, progress: Progress | None) -> None:
    import zipfile

    import numpy as np

    done, total = 0, sum(v.nbytes for _, v in chosen)
    with zipfile.ZipFile(staged, "w", zipfile.ZIP_STORED) as archive:
        for name, v in chosen:
            v.check()
            dtype = np.dtype(_INTEGERS.get(v.dtype, v.dtype)).newbyteorder("<")
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False,
                      "shape": v.shape}  # fmt: skip
            # The same model gives the same file: no time, and no name of who wrote it.
            entry = zipfile.ZipInfo(name + ".npy")
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array_header_2_0(file, header)
                for part in _parts(v):
                    file.write(part)
                    done += len(part)
                    if progress is not None:
                        progress(done, total)


def _parts(v: Variable) -> Iterator[Any]:
    """The elements of a tensor in order, as they lie in memory, some rows at a time."""
    shape = v.shape or ()
    if not shape or v.nbytes <= _WINDOW or not shape[0]:
        yield v.numpy(copy=True).tobytes()
        return
    rows = max(1, _WINDOW * shape[0] // v.nbytes)
    for start in range(0, shape[0], rows):
        yield v.read(slice(start, start + rows)).reshape(-1).data.cast("B")


# -- safetensors --


def _writer_of_safetensors(
    chosen: Chosen,
) -> Callable[[str, Chosen, Progress | None], None]:
    try:
        import safetensors
    except ImportError:
        raise BackendMissingError(
            "", "the safetensors package is not installed",
            hint="pip install 'fastsm[safetensors]'",
        ) from None  # fmt: skip

    def write(staged: str, chosen: Chosen, progress: Progress | None) -> None:
        done, total = 0, sum(v.nbytes for _, v in chosen)
        tensors, keep = {}, []
        for name, v in chosen:
            v.check()
            array = v.raw() if v.nbytes > _READ else _elements(v)
            keep.append(array)
            tensors[name] = safetensors.TensorSpec(
                dtype=_INTEGERS.get(v.dtype, v.dtype), shape=list(v.shape or ()),
                data_ptr=array.ctypes.data, data_len=array.nbytes,
            )  # fmt: skip
            done += v.nbytes
            if progress is not None:
                progress(done // 2, total)
        try:
            safetensors.serialize_file(tensors, staged)
        except safetensors.SafetensorError as e:
            raise OSError(str(e)) from None
        if progress is not None:
            progress(total, total)

    return write


def _elements(v: Variable) -> Any:
    """What `Variable.raw` returns, in memory of its own."""
    import numpy as np

    if v.dtype == "bool":
        return v.numpy(copy=True).reshape(-1).view(np.uint8)
    return np.frombuffer(v.bytes(), np.uint8)
