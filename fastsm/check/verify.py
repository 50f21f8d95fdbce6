"""`fastsm.verify`: all checks of a model or a checkpoint, one after the other."""

from __future__ import annotations

import os

from ..bundle import OBJECT_GRAPH_KEY
from ..bundle.find import find
from ..bundle.opened import Bundle
from ..errors import CoreError, FormatError
from ..graph.object_references import in_tracked
from ..graph.references import INDEX
from ..graph.restored import MAX_WANTED
from ..locate import Located, is_model, locate
from ..model import SavedModel
from ..source import File
from ..text import counted, printable
from ..views import loads_by_objects
from . import model as models
from . import restore
from .descriptions import check_descriptions
from .entries import check_entries
from .report import Report
from .sessions import check_handles, check_slots
from .table import check_index, open_index
from .tensors import check_tensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..graph.references import References
    from ..graph.tracked import Trackables
    from ..views import MetaGraph

    Progress = Callable[[int, int], object]

VARIABLES = "variables"

NO_INDEX = "tensors, and what is restored of them: the index cannot be read"


def verify(
    path: str | os.PathLike[str],
    *,
    quick: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Check a SavedModel, or a checkpoint by its prefix: every byte, and what must agree.

    Damage is a finding, never an error. Nothing is run, nothing is written, and no file
    outside the model's folder is opened because the model names it.

    Args:
        quick: Leave out what reads much: the bytes of tensors, and hashes of whole files.
        progress: Called with bytes done and bytes in all, while tensors are read.

    Returns:
        The report: ``ok`` is true when nothing is an error.

    Raises:
        MissingError: Nothing is there.
        FormatError: What is there is neither a SavedModel nor a checkpoint.
        UnsupportedError: An archive, a URL, a .cpb.

    Example:
        >>> import fastsm
        >>> report = fastsm.verify("examples/ranker/1")
        >>> report.ok
        True
        >>> [(finding.id, finding.severity) for finding in report.findings]
        [('restore-twice', 'note'), ('doubled-weights', 'note')]
    """
    checkpoint = None if is_model(path) else find(path)
    report = Report(os.fspath(path), alone=checkpoint is not None)
    if checkpoint is not None:
        _check_checkpoint(report, checkpoint.prefix, quick, progress)
        if os.path.isdir(path):
            _skip_others(report, checkpoint.prefix)
    else:
        check_model(report, locate(path), tensors=not quick, whole=not quick, progress=progress)
    report.sort()
    return report


def _check_checkpoint(
    report: Report, prefix: str, quick: bool, progress: Progress | None
) -> None:
    bundle = _check_bundle(report, prefix, lambda name: name, not quick, progress)
    if bundle is not None:
        file = os.path.basename(prefix) + ".index"
        _objects(report, bundle, restore.Entries(bundle.index), file)


def _skip_others(report: Report, prefix: str) -> None:
    """Of a folder the newest checkpoint was checked: name the others."""
    folder, base = os.path.split(prefix)
    others = [n for n in sorted(os.listdir(folder)) if n.endswith(".index")]
    others = [printable(n.removesuffix(".index")) for n in others if n != base + ".index"]
    if others:
        more = f" and {counted(len(others) - 8, 'other')}" if len(others) > 8 else ""
        report.skip(f"other checkpoints than {printable(base)}: {', '.join(others[:8])}{more}")


def check_model(
    report: Report,
    located: Located,
    *,
    tensors: bool,
    whole: bool,
    progress: Progress | None = None,
) -> SavedModel | None:
    """Check a SavedModel.

    Args:
        tensors: Whether the bytes of tensors are read.
        whole: Whether all of saved_model.pb is.

    Returns:
        The model; None where it is too damaged to be opened.
    """
    prefix = os.path.join(located.folder, VARIABLES, VARIABLES)
    model = _open_model(report, located, os.path.lexists(prefix + ".index"))
    bundle = _check_bundle(report, prefix, lambda n: f"{VARIABLES}/{n}", tensors, progress)
    if model is not None:
        checksum = _check_agreement(report, model, bundle, whole)
        models.check_fingerprint(report, model, not whole, checksum)
    models.check_links(report, located.folder)
    return model


def _open_model(report: Report, located: Located, has_index: bool) -> SavedModel | None:
    """The model, or None with a finding: a damaged file in what else is a model's folder."""
    try:
        return SavedModel(located)
    except FormatError as e:
        if not has_index and _is_another_kind(located):
            raise
        words = e.problem + (f". {e.hint}" if e.hint else "")
        report.add("model-damaged", located.name, words, offset=e.offset, place=e.place)
        report.skip(f"{located.name}, and what it names in other files")
    return None


def _is_another_kind(located: Located) -> bool:
    from ..diagnose import other_kind

    try:
        return other_kind(located.file.source()) is not None
    except CoreError:
        return False


# -- the bundle --


def _check_bundle(
    report: Report,
    prefix: str,
    name: Callable[[str], str],
    tensors: bool,
    progress: Progress | None,
) -> Bundle | None:
    """The bundle, as far as it can be opened; None where there is none to speak of."""
    index_name = name(os.path.basename(prefix) + ".index")
    try:
        file = File(prefix + ".index")
    except FileNotFoundError:
        if _look_for_shards(report, prefix, index_name):
            report.skip(NO_INDEX)
        return None
    except (OSError, ValueError) as e:
        words = getattr(e, "strerror", None) or "not a regular file"
        report.add("index-missing", index_name, f"cannot be read: {words}")
        report.skip(NO_INDEX)
        return None
    index = open_index(report, index_name, file.source())
    if index is None:
        report.skip(NO_INDEX)
        return None
    check_index(report, index_name, index)
    bundle = Bundle(prefix, prefix, file, index)
    shards = check_entries(report, bundle, name)
    if tensors:
        check_tensors(report, bundle, name, shards, progress)
    else:
        n_bytes = sum(e.size for entries in shards.values() for e in entries)
        report.skip(f"the bytes of tensors ({counted(n_bytes, 'byte')})")
    return bundle


def _look_for_shards(report: Report, prefix: str, index_name: str) -> bool:
    """Whether there are shards without an index, which is a finding."""
    folder, base = os.path.split(prefix)
    try:
        found = sorted(n for n in os.listdir(folder or ".") if n.startswith(base + ".data-"))
    except OSError:
        return False
    if found:
        report.add(
            "index-missing", index_name,
            f"is not there; found: {', '.join(map(printable, found[:8]))}", seen=len(found),
        )  # fmt: skip
    return bool(found)


# -- the model and its bundle --


def _check_agreement(
    report: Report, model: SavedModel, bundle: Bundle | None, whole: bool
) -> int | None:
    """saved_model.pb, and what it names in the bundle and in assets/.

    Returns its checksum, where it was read whole.
    """
    checksum = None
    damage = models.Damage(report, model.located.name)
    if whole:
        checksum = models.check_whole(damage, model)
    else:
        report.skip(f"{model.located.name}: every field of every message")
    entries = None if bundle is None else restore.Entries(bundle.index)
    objects = None
    if bundle is not None and entries is not None:
        objects = _objects(report, bundle, entries, INDEX)
    # So goes tf.saved_model.load by the objects of a model, and not by its collections.
    by_objects = loads_by_objects(model.meta_graphs)
    for graph in model.meta_graphs:
        references = models.check_references(
            report, damage, graph, objects, entries.keys if entries else None,
            by_objects=by_objects,
        )  # fmt: skip
        if references.edges is not None:
            _check_restored(report, damage, graph, references, entries)
            if by_objects and objects is not None and entries is not None:
                check_handles(report, damage, graph, references.edges, objects, entries)
    if by_objects:
        check_descriptions(report, damage, model.meta_graphs[0])
        damage.guard(lambda: check_slots(report, damage, model.meta_graphs[0]))
        if entries is not None and OBJECT_GRAPH_KEY not in entries.rows:
            report.add(
                "object-graph", INDEX, "it has none: tf.saved_model.load does not restore the "
                "model's objects",
                key=OBJECT_GRAPH_KEY,
            )  # fmt: skip
    models.check_assets(report, damage, model)
    return checksum


def _objects(
    report: Report, bundle: Bundle, entries: restore.Entries, file: str
) -> Trackables | None:
    n_skipped = len(report.not_checked)
    objects = restore.read_object_graph(report, bundle, entries, file)
    if objects is not None:
        report.count("objects", len(objects))
        models.add_unresolved(report, file, in_tracked(objects, entries.keys))
    elif OBJECT_GRAPH_KEY in entries.rows and n_skipped == len(report.not_checked):
        report.skip("the checkpoint's object graph, and what tf.saved_model.load restores by it")
    return objects


def _check_restored(
    report: Report,
    damage: models.Damage,
    graph: MetaGraph,
    references: References,
    entries: restore.Entries | None,
) -> None:
    found = damage.guard(lambda: references.restored)
    wanted = found.wanted if found else []
    if entries is None:
        variables = [key for key, *_ in wanted if key != OBJECT_GRAPH_KEY]
        known = any(f.id in ("index-missing", "index-footer") for f in report.findings)
        # Python's loaders open the checkpoint of a model that has a saver, whatever it restores.
        if (variables or (graph.saver is not None and graph.saver.restore_op)) and not known:
            what = f"restores {counted(len(variables), 'variable')}" if variables else "has a saver"
            report.add(
                "index-missing", INDEX, f"is not there; {graph.place} {what}",
                place=f"{graph.place}.saver_def",
            )  # fmt: skip
        return
    report.count("restored", len(wanted))
    if len(wanted) >= MAX_WANTED:
        report.skip(f"{graph.place}: what it restores beyond {counted(len(wanted), 'key')}")
    by_objects = damage.guard(lambda: references.restored_by_objects) or []
    for field, those in (("saver_def", wanted), ("object_graph_def", by_objects)):
        restore.check_restored(report, damage.file, f"{graph.place}.{field}", those, entries)
