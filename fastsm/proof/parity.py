"""`fastsm.parity`: whether two models are the same model, by what TensorFlow makes of them."""

from __future__ import annotations

import contextlib
import os

from ..errors import MissingError, UsageError
from ..model import SavedModel
from ..model import open as open_any
from ..text import did_you_mean, printable
from ..views import as_tag_set
from .calls import asked, compare_calls
from .child.tolerances import TOLERANCES
from .failures import Failed
from .pairs import pairs
from .passes import End, Pass
from .report import LOADERS, ParityReport
from .state import STATE, compare_state
from .worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..views import MetaGraph
    from .mapping import Mapping
    from .setting import Setting

    Path = str | os.PathLike[str]
    Tags = str | Iterable[str]
    Answer = dict[str, Any]

_ORDER = ("load", "signature", "callable", *STATE)


def parity(
    before: Path,
    after: Path,
    *,
    device: str = "cpu",
    before_device: str | None = None,
    after_device: str | None = None,
    loaders: str | Iterable[str] = tuple(LOADERS),
    signatures: str | Iterable[str] | None = None,
    inputs: Path | None = None,
    map: Iterable[str] | Mapping = (),
    receipt: Path | None = None,
    tags: Tags | None = None,
    seed: int = 0,
    python: Path | None = None,
    imports: Iterable[str] = (),
    op_libraries: Iterable[Path] = (),
    timeout: float | None = 600.0,
    progress: Callable[[str], object] | None = None,
) -> ParityReport:
    """Whether AFTER is the same model as BEFORE, by what TensorFlow makes of both.

    Each meta graph is loaded by each of TensorFlow's loaders, in a process of its own. Of the
    two are compared what each signature and each function of the root returns on the same
    inputs, the variables, the tables and the assets: on one device bit for bit, across devices
    within `child.compare.TOLERANCES`. What BEFORE cannot do, or does differently each time, is
    no difference: the report tells it apart. Nothing counts as equal that was not compared.

    Args:
        before, after: Two models' folders.
        device: "cpu", "gpu", "gpu:N", or "auto" (a GPU if there is one).
        before_device, after_device: For one of the two only.
        loaders: Of "v2" (`tf.saved_model.load`), "v1" (a session) and "cc" (C++, as TensorFlow
            Serving).
        signatures: Only these, by BEFORE's keys; else all, and the callables.
        inputs: An npz file to feed instead of made inputs.
        map: What has another name in AFTER, ``OLD=NEW``: see `mapping.Mapping`.
        receipt: The receipt of the edit, which tells what it renamed and removed.
        tags: Only the meta graph of BEFORE with this tag set.
        seed: Of the inputs, and of TensorFlow's random ops.
        python: The interpreter that has TensorFlow; else this one.
        imports: Modules to import behind TensorFlow, for the ops that they bring.
        op_libraries: Libraries of custom ops to load.
        timeout: How many seconds a model may take to load and run in one loader; None: any.
        progress: Called with what is done now, in words.

    Raises:
        UsageError: A loader, a device or a rename that is none, a checkpoint in place of a model.
        MissingError: No such signature or tag set in BEFORE.
        BackendMissingError: No TensorFlow.
        UnsupportedError: No such GPU.

    Example:
        >>> import fastsm
        >>> report = fastsm.parity("export/1", "export/2")    # doctest: +SKIP
        >>> report.equal                                      # doctest: +SKIP
        True
    """
    from .mapping import Mapping
    from .setting import Setting

    old, new = _model(before), _model(after)
    asked = [loaders] if isinstance(loaders, str) else list(loaders)
    for name in asked or [""]:
        if name not in LOADERS:
            raise UsageError("", f"no loader {printable(name)!r}: {', '.join(LOADERS)}")
    if receipt is not None:
        if map:
            raise UsageError("", "names and a receipt that maps them: one of them")
        map = Mapping.of_receipt(os.fspath(receipt), old)
    elif not isinstance(map, Mapping):
        map = Mapping.parse(list(map), old)

    def setting(device: str) -> Setting:
        return Setting(
            device=device, seed=seed, python=None if python is None else os.fspath(python),
            imports=tuple(imports), op_libraries=tuple(os.fspath(file) for file in op_libraries),
        )  # fmt: skip

    imports, op_libraries = list(imports), list(op_libraries)
    settings = [setting(before_device or device), setting(after_device or device)]
    if settings[0] == settings[1]:
        del settings[1]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(one, timeout_s=timeout)) for one in settings]
        return compare(
            old, new, workers, loaders=[name for name in LOADERS if name in asked],
            signatures=[signatures] if isinstance(signatures, str) else signatures,
            inputs=None if inputs is None else os.path.abspath(inputs), mapping=map,
            tags=None if tags is None else as_tag_set(tags), progress=progress,
        )  # fmt: skip


def _model(path: Path) -> SavedModel:
    model = open_any(path)
    if not isinstance(model, SavedModel):
        raise UsageError(os.fspath(path), "is a checkpoint: parity runs models")
    return model


def compare(
    before: SavedModel,
    after: SavedModel,
    workers: Sequence[Worker],
    *,
    mapping: Mapping,
    loaders: Sequence[str] = tuple(LOADERS),
    signatures: Iterable[str] | None = None,
    inputs: str | None = None,
    tags: frozenset[str] | None = None,
    progress: Callable[[str], object] | None = None,
) -> ParityReport:
    """`parity` of opened models, by workers that the caller closes.

    Args:
        workers: BEFORE's and AFTER's, or one for both.
    """
    from .requests import want

    report = ParityReport(before.path, after.path, loaders)
    found = pairs(report, before, after, mapping, tags)
    report.meta_graphs = [
        {"before": sorted(pair.before.tag_set), "after": sorted(pair.after.tag_set)}
        for pair in found
    ]
    wanted = None if signatures is None else list(dict.fromkeys(signatures))
    _check_signatures(before, [pair.before for pair in found], wanted)
    made, notes = want(before, seed=workers[0].setting.seed, inputs=inputs)
    report.notes += notes
    ends = (End("BEFORE", before, workers[0]), End("AFTER", after, workers[-1]))
    _describe(report, ends)
    for pair in found:
        for loader in loaders:
            _run(Pass(report, pair, loader, ends, made, wanted, progress))
    first_rows = {id(row): i for i, row in enumerate(report.rows)}
    place = {tuple(sorted(pair.before.tag_set)): i for i, pair in enumerate(found)}
    report.rows.sort(
        key=lambda r: (place[tuple(r.meta_graph)], _ORDER.index(r.kind), first_rows[id(r)])
    )
    return report


def _check_signatures(
    before: SavedModel, graphs: list[MetaGraph], wanted: list[str] | None
) -> None:
    known = dict.fromkeys(key for graph in graphs for key in graph.signatures)
    for key in wanted or ():
        if key not in known:
            raise MissingError(
                before.path, f"no signature {printable(key)!r}", hint=did_you_mean(key, known)
            )


def _describe(report: ParityReport, ends: tuple[End, End]) -> None:
    """Write down what runs the two."""
    words = {}
    for end in ends:
        about = end.worker.about
        words[end.name.lower()] = end.worker.setting.fixed(about)
        if about.get("note") and about["note"] not in report.notes:
            report.notes.append(about["note"])
    report.settings = {**words, "bit_for_bit": words["before"] == words["after"]}
    if not report.settings["bit_for_bit"]:
        report.settings["tolerances"] = dict(TOLERANCES)


def _run(run: Pass) -> None:
    """Load both models in one loader, run both, and write down what came of it."""
    try:
        run.say("BEFORE")
        try:
            before = run.examine(run.before)
        except Failed as failed:
            run.skip("load", "", f"BEFORE: {failed.words()}")
            return
        run.placed(run.before, before)
        run.say("AFTER")
        try:
            after = run.examine(run.after, asked(run, before))
        except Failed as failed:
            run.differ(run.row("load", "loading"), f"AFTER: {failed.words()}", 0)
            return
        run.placed(run.after, after)
        compare_calls(run, before, after)
        compare_state(run, before, after)
        run.measure()
    finally:
        run.before.clear()
        run.after.clear()
