"""TensorFlow as an oracle: a child process that answers what TensorFlow sees and does.

The child (``python -m tests.oracle``) imports TensorFlow once and then forks for
every question, so that an abort inside TensorFlow costs one fork and not the
child, no question can leave anything behind for the next, and a model is built
from the same state however many were built before it.

Nothing here imports TensorFlow.
"""
from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

ROOT = Path(__file__).resolve().parents[2]

Loader = Literal["v2", "v1", "cc"]
StrPath: TypeAlias = "str | os.PathLike[str]"

#: Read when TensorFlow is imported. A fixed hash seed because saved_model_cli
#: prints sets; no GPU, so that results are the same on every machine.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore",
}


class Verdict(NamedTuple):
    """Whether TensorFlow could do it, and if not, how it ended.

    ``kind`` is "ok", "error" (an exception: ``type`` is its class), "abort" (the
    process died: ``type`` is the signal) or "timeout". ``text`` is the message, or
    what an aborting TensorFlow wrote to stderr last.
    """

    kind: Literal["ok", "error", "abort", "timeout"]
    type: str = ""
    text: str = ""

    @property
    def ok(self) -> bool:
        return self.kind == "ok"


class TensorFlowFailed(Exception):
    """A question that wants data, and TensorFlow has none to give; ``verdict`` says why."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(f"{verdict.type}: {verdict.text}")


class Fingerprint(NamedTuple):
    """The fields of a FingerprintDef that can be computed from the files (all but the uuid)."""

    saved_model_checksum: int
    graph_def_program_hash: int
    signature_def_hash: int
    saved_object_graph_hash: int
    checkpoint_hash: int
    producer: int


class Tensor(NamedTuple):
    """A tensor by its digest: two are equal bit for bit when their rows are equal.

    ``dtype`` is numpy's name, or "string"; the sha256 is over little-endian row-major bytes,
    over each string's length (8 bytes) and bytes for strings.
    """

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Entry(NamedTuple):
    """One row of variables.index; ``n_slices`` counts the slices that a full entry lists."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int
    n_slices: int


class Index(NamedTuple):
    """variables.index: its header, and its entries in file order.

    The key of a slice holds bytes that are not UTF-8: they are surrogate escapes here.
    """

    n_shards: int
    n_blocks: int
    entries: tuple[Entry, ...]


class Loaded(NamedTuple):
    """What a loader makes of a meta graph. A signature that it cannot run has no rows but text.

    ``error`` is "" where it loads. ``methods`` are those of tf.saved_model.load's root.
    """

    error: str = ""
    signatures: Mapping[str, dict[str, Tensor] | str] = {}
    methods: Mapping[str, dict[str, Tensor] | str] = {}


class Choice(NamedTuple):
    """Which meta graph a loader chose, or how it refused.

    Attributes:
        meta_graph: Its position; None where it chose none, or C++ could not load it.
        reads: "object graph" or "signature_def"; "" where it chose none.
        type, text, code: Its error.
    """

    meta_graph: int | None
    reads: str = ""
    type: str = ""
    text: str = ""
    code: int | None = None


class Survey(NamedTuple):
    """What all loaders make of a model.

    Attributes:
        objects: What SavedModelV2Bundle restores, or why it does not.
        fingerprint: What CreateFingerprintDef computes, or why it does not.
        graphs: (its tag set, loader) of each meta graph that can be found.
    """

    objects: tuple[int, ...] | str
    fingerprint: Fingerprint | str
    graphs: dict[tuple[frozenset[str], Loader], Loaded]


class Restored(NamedTuple):
    """What TensorFlow itself made of a source.

    Attributes:
        outputs: alias -> what it computed.
        variables: Node -> what it holds.
        built: Whether its own builder wrote a SavedModel of it, too.
    """

    outputs: dict[str, Tensor]
    variables: dict[str, Tensor]
    built: bool


class Oracle:
    """The parent's end. Starts the child at the first question; ``close`` ends it.

    Methods that ask for data raise `TensorFlowFailed`; those that ask whether
    something works return a `Verdict`.
    """

    def __init__(self, python: str = sys.executable, *, timeout_s: float = 120.0) -> None:
        self.python = python
        self.timeout_s = timeout_s
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.communicate()  # end of input: the child leaves by itself
            self._child = None

    # -- what is in the files ------------------------------------------------------

    def fingerprint(self, path: StrPath) -> Fingerprint:
        """What CreateFingerprintDef computes from the files, whatever fingerprint.pb says."""
        return Fingerprint(**self._data("fingerprint", path))

    def stored_fingerprint(self, path: StrPath) -> Fingerprint:
        """What fingerprint.pb says."""
        return Fingerprint(**self._data("stored_fingerprint", path))

    def parse(self, path: StrPath) -> dict[str, Any]:
        """What saved_model.pb or .pbtxt says, by TensorFlow's protos: see `reading.parse`."""
        return self._data("parse", path)

    def graph_tensors(
        self, path: StrPath
    ) -> list[dict[str, tuple[int, tuple[int | None, ...] | None]]]:
        """Of each meta graph: the name of every tensor of its main graph -> DataType, shape.

        As TensorFlow has them once it has imported the graph.
        """
        return [
            {name: (dtype, None if shape is None else tuple(shape))
             for name, (dtype, shape) in tensors.items()}
            for tensors in self._data("graph_tensors", path)
        ]  # fmt: skip

    def handles(self, path: StrPath) -> list[dict[str, list[int]]]:
        """Of each meta graph and node of its main graph: which inputs are resources or refs.

        By the op's definition: what is read from a ref is none.
        """
        return list(self._data("handles", path))

    def op_list(self) -> bytes:
        """The OpList of all ops that TensorFlow has."""
        return base64.b64decode(self._data("op_list"))

    def saver_code(self, path: StrPath) -> list[dict[str, Any]]:
        """What the saver of each meta graph runs; see `reading.saver_code`."""
        return list(self._data("saver_code", path))

    def deterministic(self, message: bytes, type_name: str) -> bytes:
        """The message as C++ serialises it deterministically.

        Args:
            message: A serialised message, in any field and map order.
            type_name: As ``tensorflow.SavedModel``; nested types as
                ``tensorflow.MetaGraphDef.MetaInfoDef``.
        """
        text = self._data("deterministic", base64.b64encode(message).decode(), type_name)
        return base64.b64decode(text)

    def fingerprint64(self, data: bytes) -> int:
        """FarmHash's Fingerprint64, as TensorFlow computes it."""
        return int(self._data("fingerprint64", base64.b64encode(data).decode()))

    def index(self, path: StrPath) -> Index:
        """The entries of variables.index (``path`` is a model, or a checkpoint's prefix)."""
        answer = self._data("index", path)
        rows = (
            Entry(key, dtype, tuple(shape), *rest)
            for key, dtype, shape, *rest in answer["entries"]
        )
        return Index(answer["n_shards"], answer["n_blocks"], tuple(rows))

    def tensors(self, path: StrPath) -> dict[str, Tensor]:
        """What tf.train.load_checkpoint reads from a model, or from a checkpoint's prefix.

        ``sha256`` is "" where it cannot read a tensor that it lists: variants, slices of
        half. int4 and its like are read by the op RestoreV2.
        """
        return _tensors(self._data("tensors", path))

    # -- what it does --------------------------------------------------------------

    def load(self, path: StrPath, loader: Loader, tags: Iterable[str] | None) -> Verdict:
        """Loads with "v2", "v1" or "cc"; ``tags`` None is possible for v2 only."""
        return self._ask(f"load_{loader}", path, _listed(tags))[0]

    def load_v2(self, path: StrPath, tags: Iterable[str] | None = None) -> Verdict:
        """``tf.saved_model.load``."""
        return self.load(path, "v2", tags)

    def load_v1(self, path: StrPath, tags: Iterable[str]) -> Verdict:
        """``tf.compat.v1.saved_model.load`` into a session."""
        return self.load(path, "v1", tags)

    def load_cc(self, path: StrPath, tags: Iterable[str]) -> Verdict:
        """``LoadSavedModel`` in C++, which TensorFlow Serving uses, through the C API."""
        return self.load(path, "cc", tags)

    def choices(
        self, path: StrPath, requests: Iterable[tuple[str, Iterable[str] | None]]
    ) -> list[Choice]:
        """Which meta graph loaders choose, by (loader, tags): "tflite" is one, too."""
        asked = [(loader, _listed(tags)) for loader, tags in requests]
        return [Choice(*row) for row in self._data("choices", path, asked)]

    def run(
        self,
        path: StrPath,
        loader: Loader = "v2",
        tags: Iterable[str] | None = ("serve",),
        signature: str = "serving_default",
        *,
        seed: int = 0,
        feeds: Mapping[str, Any] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> dict[str, Tensor]:
        """Runs a signature on inputs made from its specs; see `inputs.make`.

        Args:
            seed: Of the inputs. An input's values follow from the seed, its alias, dtype
                and shape, not from its position.
            feeds: alias -> nested lists, instead of a made input.
            aliases: new alias -> the alias it had: the renamed input gets the old values.

        Returns:
            output alias -> Tensor; a composite output as ``alias[0]``, ``alias[1]``, ...
        """
        rows = self._data(
            "run",
            path,
            loader,
            _listed(tags),
            signature,
            seed=seed,
            feeds=dict(feeds or {}),
            aliases=dict(aliases or {}),
        )
        return _tensors(rows)

    def survey(
        self,
        path: StrPath,
        *,
        seed: int = 0,
        words: StrPath | None = None,
        feeds: Mapping[str, Mapping[str, Any]] | None = None,
        names: Mapping[str, str] | None = None,
        aliases: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Survey:
        """Loads every meta graph in every loader, and runs all that can be run.

        Args:
            seed: Of the inputs, as for `run`.
            words: The model whose assets the words of inputs come from; else ``path``.
            feeds: A signature's key -> alias -> nested lists, by the names that they had.
            names: new key of a signature -> the key it had.
            aliases: new key of a signature -> new alias -> the alias it had.
        """
        rows = self._data(
            "survey",
            path,
            seed=seed,
            words=words or path,
            feeds=dict(feeds or {}),
            names=dict(names or {}),
            aliases=dict(aliases or {}),
        )
        objects, computed = rows["objects"], rows["fingerprint"]
        return Survey(
            objects if isinstance(objects, str) else tuple(objects),
            computed if isinstance(computed, str) else Fingerprint(**computed),
            {
                (frozenset(tags), loader): Loaded(made)
                if isinstance(made, str)
                else Loaded("", *(_ran(made.get(kind, {})) for kind in Loaded._fields[1:]))
                for tags, loader, made in rows["graphs"]
            },
        )

    def script(
        self, text: str, folder: StrPath, *, needs: Sequence[str] = ()
    ) -> tuple[Verdict, dict[str, list[tuple[str, tuple[int, ...]]]]]:
        """Runs a script in a folder.

        Args:
            needs: Modules that are imported before, for all scripts to come.

        Returns:
            Of the dict that it calls ``outputs``: name -> dtype and shape of its tensors: one,
            or those of a composite in the order of tf.nest.
        """
        verdict, outputs = self._ask("script", text, folder, preload=needs)
        return verdict, {
            name: [(dtype, tuple(shape)) for dtype, shape in rows]
            for name, rows in (outputs or {}).items()
        }

    def serve(
        self, path: StrPath, tags: Iterable[str], feed: Mapping[str, Any], fetch: Sequence[str]
    ) -> tuple[Verdict, list[tuple[str, tuple[int, ...]]]]:
        """Runs tensors of a model's graph as TensorFlow Serving does, in C++.

        Args:
            feed: A tensor's name -> ``dtype``, ``shape`` and ``elements`` (strings as base64), or
                ``examples``: of each Example a feature's name -> its kind and its values.

        Returns:
            dtype and shape of what is fetched.
        """
        verdict, rows = self._ask("serve", path, _listed(tags), dict(feed), list(fetch))
        return verdict, [(dtype, tuple(shape)) for dtype, shape in rows or []]

    def save_variables(self, path: StrPath, tags: Iterable[str], prefix: StrPath) -> None:
        """Loads a model with v1, and lets its own saver save the variables there."""
        self._data("save_variables", path, _listed(tags), prefix)

    def restored_objects(self, path: StrPath) -> tuple[Verdict, list[int]]:
        """What C++'s SavedModelV2Bundle restores: ids of objects of saved_model.pb.

        It fails where the checkpoint's own object graph has a child that saved_model.pb lacks.
        """
        verdict, ids = self._ask("restored_objects", path)
        return verdict, ids or []

    def cli_show(self, path: StrPath, args: Sequence[str] = ("--all",)) -> str:
        """What ``saved_model_cli show --dir path ARGS`` prints."""
        return str(self._data("cli_show", path, list(args)))

    def build(self, name: str, path: StrPath, *, needs: Sequence[str] = ()) -> None:
        """Builds the model ``name`` of tests.models into the folder ``path``."""
        self._data("build", name, path, preload=list(needs))

    def build_source(self, name: str, path: StrPath) -> None:
        """Builds the source ``name`` of tests.sources into the new folder ``path``."""
        self._data("build_source", name, path)

    def restore(
        self, folder: StrPath, graph: str, prefix: str, out: StrPath, *, seed: int = 0, **of: Any
    ) -> Restored:
        """What TensorFlow restores of a source and computes, and its SavedModel of that.

        See `converting.restore`.
        """
        rows = self._data("restore", folder, graph, prefix, out, seed=seed, **of)
        return Restored(_tensors(rows["outputs"]), _tensors(rows["variables"]), rows["built"])

    def initialise(self, meta: StrPath, prefix: StrPath) -> None:
        """Saves what the initializers of a .meta's variables make, with a fixed seed."""
        self._data("initialise", meta, prefix)

    def variables(self, path: StrPath, tags: Iterable[str]) -> dict[str, Tensor]:
        """What the variables of a model hold once v1 has loaded it, by their nodes' names."""
        return _tensors(self._data("variables", path, list(tags)))

    def save_dtypes(self, prefix: StrPath) -> dict[str, Any]:
        """A checkpoint of a tensor of every dtype that can be saved; see `building`.

        Returns:
            dtype's name -> its values as numbers, or for the others null.
        """
        return self._data("save_dtypes", prefix)

    def save_slices(self, prefix: StrPath, how: Mapping[str, Any]) -> None:
        """A checkpoint of partitioned tensors, of any dtype.

        Args:
            how: key -> [dtype, shape, the slices as SaveV2 takes them, ``"4 6 0,2:-"``]; the
                elements are counted up in row-major order, strings are those numbers.
        """
        self._data("save_slices", prefix, dict(how))

    def save_variants(self, prefix: StrPath) -> list[str]:
        """A checkpoint of tensors of variants; their keys."""
        return list(self._data("save_variants", prefix))

    def variants(self, prefix: StrPath, keys: Sequence[str]) -> dict[str, tuple[Any, bytes]]:
        """key -> shape and bytes of tensors of variants that RestoreV2 read.

        The bytes are those of a TensorProto's content: a varint length of each, then each.
        """
        rows = self._data("variants", prefix, list(keys))
        return {k: (tuple(r["shape"]), base64.b64decode(r["content"])) for k, r in rows.items()}

    def save_bases(self, folder: StrPath) -> None:
        """The bundles that tests/damage.py damages, a folder each."""
        self._data("save_bases", folder)

    def read_all(self, prefix: StrPath) -> tuple[Verdict, dict[str, Tensor]]:
        """What tf.train.load_checkpoint lists and reads, variants aside; all or an error."""
        verdict, rows = self._ask("read_all", prefix)
        return verdict, _tensors(rows or {})

    def restore_all(
        self, prefix: StrPath, dtypes: Mapping[str, str], slices: Sequence[str] = ()
    ) -> tuple[Verdict, dict[str, Tensor]]:
        """What RestoreV2 reads, told keys and dtypes, and of each which slice; all or an error."""
        verdict, rows = self._ask("restore_all", prefix, dict(dtypes), list(slices))
        return verdict, _tensors(rows or {})

    def latest_checkpoint(self, folder: StrPath) -> str | None:
        """``tf.train.latest_checkpoint``."""
        return self._data("latest_checkpoint", folder)

    def versions(self) -> dict[str, str]:
        """Package -> version of what the child has imported."""
        return self._data("versions")

    # -- the pipe ------------------------------------------------------------------

    def _data(self, call: str, *args: Any, **options: Any) -> Any:
        verdict, value = self._ask(call, *args, **options)
        if not verdict.ok:
            raise TensorFlowFailed(verdict)
        return value

    def _ask(
        self, call: str, *args: Any, preload: Sequence[str] = (), **options: Any
    ) -> tuple[Verdict, Any]:
        child = self._running()
        assert child.stdin is not None and child.stdout is not None
        question = {
            "call": call,
            "args": args,
            "options": options,
            "preload": preload,
            "timeout_s": self.timeout_s,
        }
        child.stdin.write(json.dumps(question, default=os.fspath) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            code = child.wait()
            self._child = None
            raise RuntimeError(f"the oracle's own process ended with {_ending(code)}")
        verdict, value = json.loads(line)
        return Verdict(*verdict), value

    def _running(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [self.python, "-m", "tests.oracle"],
                cwd=ROOT,
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._child


def _tensors(rows: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: Tensor(d, tuple(shape), sha) for name, (d, shape, sha) in rows.items()}


def _ran(results: Mapping[str, Any]) -> dict[str, dict[str, Tensor] | str]:
    return {k: r if isinstance(r, str) else _tensors(r) for k, r in results.items()}


def _listed(tags: Iterable[str] | None) -> list[str] | None:
    return None if tags is None else list(tags)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
