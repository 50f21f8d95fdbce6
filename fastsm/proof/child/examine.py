"""The job "examine": what one loader makes of one meta graph."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import arrays, inputs
from .arrays import Array
from .opened import Call, Opened, Spec, Unreadable, file_row, opened

Json = dict[str, Any]


def examine(
    path: str,
    loader: str,
    tags: Sequence[str],
    *,
    want: Mapping[str, Any] | None = None,
    calls: Sequence[Mapping[str, Any]] | None = None,
    only: Sequence[str] | None = None,
    twice: bool = False,
    state: bool = True,
    paths: Sequence[str] = (),
    values: Mapping[str, Sequence[str]] | None = None,
    keep: str,
) -> Json:
    """Load a model, describe its state, run it.

    Args:
        path: The model.
        loader: ``v2``, ``v1`` or ``cc``.
        tags: Of the meta graph.
        want: How inputs are made: see `inputs.sets_of`. Then every call is run.
        calls: What is run instead, on inputs that are kept: of each the ``id`` here, the id
            that it has there (``as``), ``inputs`` (name here -> name there, where it differs)
            and ``sets`` (of each the file of ``inputs``).
        only: Ids of the calls that are run; the others are described.
        twice: Each set is run again at the end, in the same session.
        state: Variables, tables and assets are described, as they are before anything runs.
        paths: Of objects, in v2: which are the same as which by its first path.
        values: Names of ``variables`` and of ``tables`` that are kept as arrays, too.
        keep: A folder for the arrays; each job makes one of its own in it.

    Returns:
        calls: id -> ``inputs`` and ``outputs`` (name -> dtype and shape; ``optional``
            and the digest of a ``default`` where it is so), and of each of ``sets``
            ``how`` its inputs were made, the files ``inputs`` and ``outputs``, ``rows`` (an
            output's name -> its digest), why it ``failed`` or None, and whether it did the same
            ``again`` or None.
        variables: Name -> its digest; ``{"unreadable": why}`` where there is no value.
        tables: Name -> n, and the digests of its ``keys`` and ``values``; or as variables.
        assets: Name -> ``file`` in the model, its sha256 and size (null: there is no such file).
        same: Of ``paths`` those that lead to an object -> its first path.
        names: Path -> name of each variable, in v2.
        other: Ops of resources that nobody can look into.
        placement: See `Placement.told`.
        kept: ``variables`` and ``tables`` -> the file with the arrays that ``values`` names; a
            table's are ``NAME/keys`` and ``NAME/values``.
        seconds: Spent in ``load``, ``state``, ``run``.
    """
    keep = tempfile.mkdtemp(prefix="examined-", dir=keep)
    seconds: dict[str, float] = {}
    started = time.monotonic()
    with opened(path, loader, tags) as model:
        seconds["load"] = time.monotonic() - started
        answer: Json = {}
        files = Files(model.path)
        if state or values:
            started = time.monotonic()
            answer.update(_state(model, files, paths, values or {}, keep))
            seconds["state"] = time.monotonic() - started
        started = time.monotonic()
        runs = _Runs(keep, files)
        answer["calls"] = {
            id: {"inputs": _specs(call.inputs), "outputs": _specs(call.outputs), "sets": []}
            for id, call in model.calls.items()
        }
        for id, sets in _asked(model, runs, want, calls, only):
            answer["calls"][id]["sets"] = sets
        if twice:
            for id, described in answer["calls"].items():
                for one in described["sets"]:
                    one["again"] = runs.again(model.calls[id], one)
        seconds["run"] = time.monotonic() - started
        answer["placement"] = model.placement.told()
    answer["seconds"] = seconds
    return answer


def _asked(
    model: Opened,
    runs: _Runs,
    want: Mapping[str, Any] | None,
    calls: Sequence[Mapping[str, Any]] | None,
    only: Sequence[str] | None,
) -> Iterator[tuple[str, list[Json]]]:
    """Id -> what became of each set of inputs."""
    if calls is not None:
        for asked in calls:
            id = asked["id"]
            if id in model.calls and (only is None or id in only):
                names = asked.get("inputs") or {}
                yield id, [runs.kept(model.calls[id], names, one) for one in asked["sets"]]
    elif want is not None:
        for id, call in model.calls.items():
            if only is None or id in only:
                yield id, [runs.made(one) for one in inputs.sets_of(call, want, model)]


class _Runs:
    """Runs calls and keeps what goes in and what comes out, in files of a folder."""

    def __init__(self, keep: str, files: Files) -> None:
        self._keep = keep
        self._files = files
        self._n = 0
        #: A set's file of inputs -> name there -> name here.
        self._names: dict[str, dict[str, str]] = {}

    def made(self, one: inputs.InputSet) -> Json:
        """What ran while inputs were made."""
        outputs = None if one.outputs is None else self._files.apart(one.outputs)
        return self._kept(one.how, self._file("inputs", one.feed), outputs, one.error)

    def kept(self, call: Call, names: Mapping[str, str], one: Mapping[str, Any]) -> Json:
        """Run on the inputs of a file, in their order: of two that feed one tensor the last
        counts.

        Args:
            names: Name here -> name there, of inputs; parts of composites go with them.
        """
        here = {_there(spec, names): name for name, spec in call.inputs.items()}
        self._names[one["inputs"]] = here
        outputs, error = self._run(call, one["inputs"])
        return self._kept(one.get("how", ""), one["inputs"], outputs, error)

    def again(self, call: Call, one: Json) -> bool | None:
        """Whether a set that ran does the same once more; None where it did not run."""
        if one["failed"] is not None:
            return None
        outputs, error = self._run(call, one["inputs"])
        return error is None and _rows(outputs or {}) == one["rows"]

    def _run(self, call: Call, file: str) -> tuple[dict[str, Array] | None, Exception | None]:
        here = self._names.get(file)
        feed = arrays.load(file)
        if here is not None:
            feed = {here[name]: array for name, array in feed.items() if name in here}
        try:
            if lacking := call.lacking(feed):
                raise inputs.InputError(f"no values for {', '.join(lacking)}")
            return self._files.apart(call.run(feed)), None
        except Exception as e:
            return None, e

    def _kept(
        self,
        how: str,
        file: str,
        outputs: dict[str, Array] | None,
        error: Exception | None,
    ) -> Json:
        return {
            "how": how,
            "inputs": file,
            "outputs": None if outputs is None else self._file("outputs", outputs),
            "rows": _rows(outputs or {}),
            "failed": None if error is None else failed(error),
            "again": None,
        }

    def _file(self, what: str, of: Mapping[str, Array]) -> str:
        self._n += 1
        path = os.path.join(self._keep, f"{self._n}.{what}")
        arrays.save(path, of)
        return path


class Files:
    """Paths of the model's own files among strings: what they are, wherever the model lies."""

    def __init__(self, folder: str) -> None:
        self._folder = os.fsencode(folder) + b"/"
        self._rows: dict[bytes, Json] = {}

    def row(self, path: str) -> Json:
        """Its path in the model, sha256 and size; see `file_row`."""
        key = os.fsencode(path)
        if key not in self._rows:
            self._rows[key] = file_row(path, os.fsdecode(self._folder))
        return self._rows[key]

    def apart(self, of: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays in which a path is ``asset:`` and the file's sha256; of what is no file, the
        path from the model's folder."""
        return {name: self.plain(array) for name, array in of.items()}

    def plain(self, array: Array) -> Array:
        """The same of one array."""
        if array.dtype.kind != "O":
            return array
        named = [self._named(arrays.text_bytes(element)) for element in array.flat]
        made: Array = np.empty(len(named), dtype=object)
        made[:] = named
        return np.reshape(made, array.shape)

    def _named(self, text: bytes) -> bytes:
        if not text.startswith(self._folder):
            return text
        digest = self.row(os.fsdecode(text))["sha256"]
        return text[len(self._folder) :] if digest is None else b"asset:" + digest.encode()


def failed(error: Exception) -> Json:
    """An error as data."""
    text = str(getattr(error, "message", None) or error)
    return {"type": type(error).__name__, "text": text}


def _there(spec: Spec, names: Mapping[str, str]) -> str:
    """What an input is called there."""
    return names.get(spec.name) or spec._replace(alias=names.get(spec.alias, spec.alias)).name


def _specs(specs: Mapping[str, Spec]) -> Json:
    described: Json = {}
    for name, spec in specs.items():
        described[name] = {"dtype": spec.dtype, "shape": spec.shape}
        if spec.optional:
            described[name]["optional"] = True
        if spec.default is not None:
            described[name]["default"] = arrays.row(spec.default)
    return described


def _rows(outputs: Mapping[str, Array]) -> Json:
    return {name: arrays.row(array) for name, array in outputs.items()}


def _state(
    model: Opened,
    files: Files,
    paths: Sequence[str],
    values: Mapping[str, Sequence[str]],
    keep: str,
) -> Json:
    kept: dict[str, dict[str, Array]] = {"variables": {}, "tables": {}}
    variables: Json = {}
    for name, value in model.variables():
        if isinstance(value, Unreadable):
            variables[name] = {"unreadable": value.why}
            continue
        variables[name] = arrays.row(plain := files.plain(value))
        if name in values.get("variables", ()):
            kept["variables"][name] = plain
    tables: Json = {}
    for name, table in model.tables():
        if isinstance(table, Unreadable):
            tables[name] = {"unreadable": table.why}
            continue
        parts = files.apart(table._asdict())
        tables[name] = {"n": len(table.keys), **_rows(parts)}
        if name in values.get("tables", ()):
            kept["tables"].update({f"{name}/{part}": array for part, array in parts.items()})
    answer: Json = {
        "variables": variables,
        "tables": tables,
        "assets": {name: files.row(file) for name, file in model.assets().items()},
        "other": model.other(),
        "same": model.first_paths(paths),
        "names": model.names(),
    }
    if values:
        answer["kept"] = {kind: os.path.join(keep, kind) for kind in kept}
        for kind, of in kept.items():
            arrays.save(answer["kept"][kind], of)
    return answer
