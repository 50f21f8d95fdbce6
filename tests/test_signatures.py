"""Signatures renamed, copied, removed, added: what every loader makes of it, and the bytes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

import fastsm
from fastsm import _core
from fastsm.bundle import OBJECT_GRAPH_KEY
from fastsm.bundle.opened import Bundle
from fastsm.bundle.rewrite import BundleRewrite
from fastsm.edits import signature_def
from fastsm.edits.warmup import NAME as WARMUP
from fastsm.fingerprint import HASHES
from fastsm.graph.nodes import Graph
from fastsm.graph.object_edits import SavedObjectEdits
from fastsm.plan import Rewrite, enclosing
from fastsm.source import Reader, from_bytes
from fastsm.views import MetaGraph

from .conftest import ModelFactory
from .models import MODELS
from .oracle import Oracle, Survey
from .test_retag import contents, ranker, refuse, tagger  # noqa: F401
from .wire import Untidy, delimited, integer, message_type

INIT, TRAIN = "__saved_model_init_op", "__saved_model_train_op"

#: Models to which no edit can be made, and what the error says.
REFUSED = {"stray_cpb": "saved_model.cpb", "no_meta_graphs": "is empty"}

#: A few of each kind, for the edits that are variations of a rename.
SOME = [
    "two_signatures", "keras_export", "keras_saved", "tf_keras_lstm", "odd_signatures",
    "one_function", "saved_again", "ragged_and_sparse", "vocabulary", "defaults", "v1_sparse",
    "serve_and_gpu", "two_meta_graphs_v2", "v2_pbtxt", "asset_field", "unknown_fields",
]  # fmt: skip


def keys_of(path: Path) -> list[str]:
    """The keys that have a signature in any meta graph."""
    return sorted({key for graph in fastsm.open(path).meta_graphs for key in graph.signatures})


def without_uuid(folder: Path) -> dict[str, Any]:
    """The files of a model; of its fingerprint the hashes, as a new uuid comes from them."""
    files: dict[str, Any] = dict(contents(folder))
    model = fastsm.open(folder)
    if model.fingerprint is not None:
        files["fingerprint.pb"] = [model.fingerprint.hash(n) for n in HASHES]
    if model.format == "pbtxt":  # which is written anew: its meaning is promised, not its bytes
        files["saved_model.pbtxt"] = [g.to_dict() for g in model.meta_graphs]
    return files


def check_true(path: Path, survey: Survey) -> None:
    """Every hash is what TensorFlow computes of the edited model."""
    model = fastsm.open(path)
    stored = model.fingerprint
    if stored is None or isinstance(survey.fingerprint, str) or stored.covers_graph_only:
        return
    assert [c.name for c in model.check_fingerprint() if c.ok is False] == []
    for name in HASHES.values():
        assert getattr(stored, name) == getattr(survey.fingerprint, name), name


def renamed(survey: Survey, names: Mapping[str, str]) -> dict[Any, Any]:
    """What loaders make of a model, its signatures called as ``names`` calls them."""

    def ran(made: Mapping[str, Any]) -> dict[str, Any]:
        # Of several variables that are not there, another is met first each time.
        return {
            names.get(key, key): rows.partition(":")[0] if isinstance(rows, str) else rows
            for key, rows in made.items()
        }

    return {
        where: (loaded.error, ran(loaded.signatures), dict(loaded.methods))
        for where, loaded in survey.graphs.items()
    }


def surveyed(oracle: Oracle, path: Path, name: str, **options: Any) -> Survey:
    return oracle.survey(path, feeds=MODELS[name].feeds, **options)


# -- every model -------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_every_signature_of_every_model_is_renamed_and_back(
    name: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path, original = model_copy(name), model(name)
    if name in REFUSED:
        with pytest.raises(fastsm.FastsmError, match=REFUSED[name]):
            fastsm.rename_signature(path, "serving_default", "x")
        return
    keys, before = keys_of(path), without_uuid(path)
    if not keys:
        with pytest.raises(fastsm.MissingError):
            fastsm.rename_signature(path, "serving_default", "x", all_meta_graphs=True)
        return
    names = {key: f"{key[:40]}, once" for key in keys}

    def rename(pairs: dict[str, str]) -> None:
        with fastsm.edit(path, sync=False) as e:
            for old, new in pairs.items():
                e.rename_signature(old, new, all_meta_graphs=True)

    was = surveyed(oracle, original, name)
    rename(names)
    back = {new: old for old, new in names.items()}
    now = surveyed(oracle, path, name, names=back, words=original)
    assert renamed(was, names) == renamed(now, {})
    assert where(now.objects, path) == where(was.objects, original)
    check_true(path, now)
    rename(back)
    if name == "stale_fingerprint":  # the checksum is true now; the other hashes always were
        before["fingerprint.pb"][0] = fastsm.open(path).check_fingerprint()[0].computed
    assert without_uuid(path) == before


def where(objects: object, path: Path) -> object:
    """What C++ restores; an error without the path of the model."""
    return objects.replace(str(path), "") if isinstance(objects, str) else objects


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", SOME)
def test_a_copy_runs_the_same_and_goes_without_a_trace(
    name: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path, original = model_copy(name), model(name)
    keys, before = keys_of(path), without_uuid(path)
    with fastsm.edit(path, sync=False) as e:
        for key in keys:
            e.copy_signature(key, f"a {key}", all_meta_graphs=True)
    copies = {f"a {key}": key for key in keys}
    was = renamed(surveyed(oracle, original, name), {})
    survey = surveyed(oracle, path, name, names=copies, words=original)
    for graph, (error, signatures, methods) in renamed(survey, {}).items():
        assert (error, methods) == (was[graph][0], was[graph][2])
        for key, rows in was[graph][1].items():
            assert signatures.pop(key) == signatures.pop(f"a {key}") == rows
        assert not signatures
    check_true(path, survey)
    fastsm.remove_signature(path, *copies, all_meta_graphs=True, in_place=True, sync=False)
    assert without_uuid(path) == before


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", SOME)
def test_what_is_removed_is_gone_and_the_rest_runs_as_before(
    name: str, model: ModelFactory, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path, original = model_copy(name), model(name)
    was = surveyed(oracle, original, name)
    keys = keys_of(path)
    for gone in (keys[:1], keys[1:]):  # one, and then all
        if not gone:
            continue
        size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        result = fastsm.remove_signature(
            path, *gone, all_meta_graphs=True, in_place=True, sync=False
        )
        assert result.changed and result.undo is None
        assert sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) < size
        now = surveyed(oracle, path, name, words=original)
        for graph, (error, signatures, methods) in renamed(was, {}).items():
            left = {k: rows for k, rows in signatures.items() if k in keys_of(path)}
            assert renamed(now, {})[graph] == (error, left, methods)
        assert where(now.objects, path) == where(was.objects, original)
        check_true(path, now)
    assert keys_of(path) == []


@pytest.mark.tensorflow
def test_the_object_of_a_signature_goes_with_it(model_copy: ModelFactory) -> None:
    path = model_copy("two_signatures")
    graph = fastsm.open(path).meta_graphs[0]
    assert graph.objects is not None
    n, functions = len(graph.objects), set(graph.objects.concrete_functions)
    fastsm.remove_signature(path, "serving_default", in_place=True, sync=False)
    after = fastsm.open(path).meta_graphs[0].objects
    assert after is not None and len(after) == n
    assert (after[n - 2].kind, after[n - 2].identifier) == ("user_object", "_generic_user_object")
    assert functions - set(after.concrete_functions) == {"__inference_signature_wrapper_score_34"}
    fastsm.remove_signature(path, "two", in_place=True, sync=False)
    after = fastsm.open(path).meta_graphs[0].objects
    assert after is not None and len(after) == n - 2  # both tombstones are at the end now
    assert fastsm.open(path).meta_graphs[0].functions() == graph.functions()


@pytest.mark.tensorflow
def test_a_function_that_another_object_names_stays(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("saved_again")
    was = surveyed(oracle, path, "saved_again").graphs
    fastsm.remove_signature(path, *keys_of(path), in_place=True, sync=False)
    now = surveyed(oracle, path, "saved_again").graphs
    v2 = frozenset(["serve"]), "v2"
    assert now[v2].error == "" and now[v2].methods == was[v2].methods


# -- TF1's other entries -------------------------------------------------------------------


@pytest.mark.tensorflow
def test_without_the_train_op_tf2_loads_a_tf1_model(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("train_op_signature")
    tags = next(g.tag_set for g in fastsm.open(path).meta_graphs if TRAIN in g.signature_defs)
    assert not oracle.load_v2(path, tags).ok
    with pytest.raises(fastsm.RefusedError, match="it names an op\n  remove-signature takes"):
        fastsm.rename_signature(path, TRAIN, "train")
    fastsm.remove_signature(path, TRAIN, in_place=True, sync=False)
    for loader in ("v2", "v1", "cc"):
        assert oracle.load(path, loader, tags).ok  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda path: fastsm.remove_signature(path, INIT, in_place=True),
        lambda path: fastsm.rename_signature(path, INIT, "init"),
        lambda path: fastsm.copy_signature(path, INIT, "init"),
        lambda path: fastsm.set_method_name(path, INIT, "predict"),
    ],
)
def test_the_init_op_is_no_signature(ranker: Path, call: Any) -> None:  # noqa: F811
    with pytest.raises(fastsm.RefusedError, match="it names an op that sessions run"):
        call(ranker)


@pytest.mark.tensorflow
def test_a_signature_that_took_the_init_ops_key_can_be_mended(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    """What tf.saved_model.save(signatures={INIT: f}) makes, without a word."""
    path = model_copy("two_signatures")

    def clobber(rewrite: Rewrite, graph: MetaGraph) -> None:
        signature_def.remove(rewrite, graph, {INIT})
        signature_def.rename(rewrite, graph, "two", INIT)
        objects = SavedObjectEdits(graph)
        node = objects.find("signatures")
        assert node is not None
        objects.rename_child(node, "two", INIT)
        objects.into(rewrite)

    by_hand(path, clobber)
    assert not oracle.load_v1(path, ["serve"]).ok
    fastsm.rename_signature(path, INIT, "two", sync=False)
    assert oracle.load_v1(path, ["serve"]).ok
    for loader in ("v2", "v1", "cc"):
        assert oracle.run(path, loader, signature="two")  # type: ignore[arg-type]


def by_hand(path: Path, change: Any) -> None:
    """Splice saved_model.pb as no edit would."""
    model = fastsm.open(path)
    rewrite = Rewrite(model.reader.source)
    change(rewrite, model.meta_graphs[0])
    source = rewrite.source()
    data = source.read(0, source.size)
    (path / "saved_model.pb").write_bytes(data)


# -- one side only -------------------------------------------------------------------------


def signature_map(objects: SavedObjectEdits) -> int:
    found = objects.find("signatures")
    assert found is not None
    return found


def test_a_signature_that_sessions_alone_have(ranker: Path) -> None:  # noqa: F811
    def hide(rewrite: Rewrite, graph: MetaGraph) -> None:
        objects = SavedObjectEdits(graph)
        objects.remove_child(signature_map(objects), "rank")
        objects.into(rewrite)

    by_hand(ranker, hide)
    before = contents(ranker)
    result = fastsm.rename_signature(ranker, "rank", "order", sync=False)
    (warning,) = [w for w in result.warnings if "alone" in w and "rank" in w and "is in" in w]
    assert "in signature_def alone: tf.saved_model.load has no such signature" in warning
    assert [c.name for c in result.changes] == ["fingerprint.pb", "saved_model.pb"]
    fastsm.rename_signature(ranker, "order", "rank", sync=False)
    assert contents(ranker)["saved_model.pb"] == before["saved_model.pb"]


def test_a_signature_that_tf2_alone_has(ranker: Path) -> None:  # noqa: F811
    by_hand(ranker, lambda rewrite, graph: signature_def.remove(rewrite, graph, {"rank"}))
    with pytest.raises(fastsm.RefusedError, match="in the object graph alone, which knows no"):
        fastsm.set_method_name(ranker, "rank", "classify")
    result = fastsm.rename_signature(ranker, "rank", "order", sync=False)
    assert any("in the object graph alone: sessions, TF Serving" in w for w in result.warnings)
    with pytest.raises(fastsm.RefusedError, match=r'\{serve\} has a signature "order" already'):
        fastsm.rename_signature(ranker, "serving_default", "order")
    fastsm.remove_signature(ranker, "order", in_place=True, sync=False)
    graph = fastsm.open(ranker).meta_graphs[0]
    objects = SavedObjectEdits(graph)
    assert [c.name for c in objects.children(signature_map(objects))] == ["serving_default"]


def test_children_of_one_name_are_refused(ranker: Path) -> None:  # noqa: F811
    def double(rewrite: Rewrite, graph: MetaGraph) -> None:
        objects = SavedObjectEdits(graph)
        node = signature_map(objects)
        child = objects.known(node, "rank")
        assert child.reference is not None
        at = child.reference.field
        data = graph.reader.source.read(at.start, at.end - at.start)
        rewrite.replace(at.end, at.end, data, objects.within(node))

    by_hand(ranker, double)
    for call in (
        lambda: fastsm.rename_signature(ranker, "rank", "order"),
        lambda: fastsm.copy_signature(ranker, "rank", "order"),
        lambda: fastsm.rename_signature(ranker, "serving_default", "rank"),
    ):
        refuse(ranker, call)
    with pytest.raises(fastsm.RefusedError, match="2 children are called 'rank'"):
        fastsm.remove_signature(ranker, "rank", in_place=True)


def test_of_equal_keys_in_signature_def_all_are_edited(ranker: Path) -> None:  # noqa: F811
    def double(rewrite: Rewrite, graph: MetaGraph) -> None:
        entry = next(e for e in signature_def.entries(graph) if e.key == "rank").field
        data = graph.reader.source.read(entry.start, entry.end - entry.start)
        rewrite.replace(entry.end, entry.end, data, enclosing(graph.field))

    by_hand(ranker, double)
    before = contents(ranker)
    fastsm.rename_signature(ranker, "rank", "order", sync=False)
    assert set(fastsm.open(ranker).signatures) == {"order", "serving_default"}
    fastsm.rename_signature(ranker, "order", "rank", sync=False)
    assert contents(ranker)["saved_model.pb"] == before["saved_model.pb"]
    fastsm.remove_signature(ranker, "rank", in_place=True, sync=False)
    assert set(fastsm.open(ranker).signatures) == {"serving_default"}


# -- several meta graphs ---------------------------------------------------------------------


def test_which_meta_graph(tagger: Path) -> None:  # noqa: F811
    both = r"2 meta graphs have signature \"serving_default\": \{train\} \{serve\}"
    with pytest.raises(fastsm.AmbiguousError, match=both):
        fastsm.rename_signature(tagger, "serving_default", "tag")
    before = contents(tagger)
    result = fastsm.rename_signature(tagger, "serving_default", "tag", tags="train", sync=False)
    assert result.undo == f"fastsm rename-signature {tagger} tag serving_default"
    assert [list(g.signatures) for g in fastsm.open(tagger).meta_graphs] == [
        ["tag"], ["serving_default"],
    ]  # fmt: skip
    # There are two of the old name again: the way back has to say which.
    result = fastsm.rename_signature(tagger, "tag", "serving_default", dry_run=True)
    assert result.undo is not None and result.undo.endswith("serving_default tag --tags train")
    result = fastsm.rename_signature(tagger, "serving_default", "tag", sync=False)
    with pytest.raises(fastsm.AmbiguousError):
        fastsm.remove_signature(tagger, "tag", in_place=True)
    result = fastsm.rename_signature(
        tagger, "tag", "serving_default", all_meta_graphs=True, sync=False
    )
    assert result.undo is not None and result.undo.endswith(" --all-meta-graphs")
    assert contents(tagger) == before


def test_no_way_back_is_told_that_would_go_elsewhere(tagger: Path) -> None:  # noqa: F811
    """Two of three meta graphs are edited, and all three have the new key then."""
    with fastsm.edit(tagger, sync=False) as e:
        e.rename_signature("serving_default", "a", tags="train")
        e.rename_signature("serving_default", "b", tags="serve")
        e.copy_signature("a", "both", tags="train")
        e.copy_signature("b", "both", tags="serve")
    assert [list(g.signatures) for g in fastsm.open(tagger).meta_graphs] == [
        ["a", "both"], ["b", "both"],
    ]  # fmt: skip


@pytest.mark.tensorflow
def test_the_checkpoint_follows_when_no_meta_graph_has_the_old_key(
    model_copy: ModelFactory,
) -> None:
    path = model_copy("two_meta_graphs_v2")
    before = contents(path)
    first, second = (sorted(g.tag_set) for g in fastsm.open(path).meta_graphs)
    result = fastsm.rename_signature(path, "two", "both", tags=first, sync=False)
    assert any("its own object graph stays as it is until none has it" in w
               for w in result.warnings)  # fmt: skip
    index = "variables/variables.index"
    assert contents(path)[index] == before[index]
    fastsm.rename_signature(path, "two", "both", tags=second, sync=False)
    assert contents(path)[index] != before[index]
    fastsm.rename_signature(path, "both", "two", tags=first, sync=False)
    fastsm.rename_signature(path, "both", "two", tags=second, sync=False)
    after = contents(path)
    del before["fingerprint.pb"], after["fingerprint.pb"]
    assert after == before


# -- what is refused, and what is said -----------------------------------------------------------


@pytest.mark.parametrize("key", [INIT, TRAIN])
def test_reserved_keys_are_refused(ranker: Path, key: str) -> None:  # noqa: F811
    for call in (
        lambda: fastsm.rename_signature(ranker, "rank", key),
        lambda: fastsm.copy_signature(ranker, "rank", key),
        lambda: fastsm.add_signature(ranker, key, {}, {"y": "Const"}),
    ):
        with pytest.raises(fastsm.RefusedError, match="is reserved"):
            call()


def test_taken_keys_are_refused(ranker: Path) -> None:  # noqa: F811
    for call in (
        lambda: fastsm.rename_signature(ranker, "rank", "serving_default"),
        lambda: fastsm.copy_signature(ranker, "rank", "rank"),
        lambda: fastsm.add_signature(ranker, "rank", {}, {"y": "Const"}),
    ):
        with pytest.raises(fastsm.RefusedError, match="already\n  Rename or remove that one"):
            call()


def test_a_key_that_is_not_there_offers_the_nearest(ranker: Path) -> None:  # noqa: F811
    for call in (
        lambda: fastsm.rename_signature(ranker, "rnak", "x"),
        lambda: fastsm.copy_signature(ranker, "rnak", "x"),
        lambda: fastsm.remove_signature(ranker, "rank", "rnak", in_place=True),
        lambda: fastsm.set_method_name(ranker, "rnak", "predict"),
    ):
        before = contents(ranker)
        with pytest.raises(fastsm.MissingError) as caught:
            call()
        assert 'no signature "rnak" in {serve}\n  Did you mean rank? It has: rank, ' in str(
            caught.value
        )
        assert contents(ranker) == before


@pytest.mark.parametrize("bad", [1, "\ud800", "x" * ((1 << 20) + 1)])
def test_keys_that_no_file_can_hold(ranker: Path, bad: Any) -> None:  # noqa: F811
    for call in (
        lambda: fastsm.rename_signature(ranker, "rank", bad),
        lambda: fastsm.set_method_name(ranker, "rank", bad),
        lambda: fastsm.add_signature(ranker, "x", {}, {bad: "Const"}),
    ):
        with pytest.raises(fastsm.UsageError):
            call()


def test_what_is_removed_has_to_be_said_once_and_where(ranker: Path) -> None:  # noqa: F811
    with pytest.raises(fastsm.UsageError, match="say where to write"):
        fastsm.remove_signature(ranker, "rank")
    with pytest.raises(fastsm.UsageError, match="say which"):
        fastsm.remove_signature(ranker, in_place=True)
    with pytest.raises(fastsm.UsageError, match="named twice"):
        fastsm.remove_signature(ranker, "rank", "rank", in_place=True)


def test_an_edit_in_the_middle_that_fails_changes_nothing(ranker: Path) -> None:  # noqa: F811
    before = contents(ranker)
    with fastsm.edit(ranker, sync=False) as e:
        with pytest.raises(fastsm.RefusedError):
            e.rename_signature("rank", "serving_default")
        e.rename_signature("rank", "order")
        e.rename_signature("order", "rank")
    assert e.result is not None and not e.result.changed
    assert contents(ranker) == before


@pytest.mark.tensorflow
def test_a_key_that_sorts_elsewhere_in_a_text_model(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("v2_pbtxt")
    keys = keys_of(path)
    fastsm.rename_signature(path, keys[0], "zz", sync=False)
    assert keys_of(path) == [*keys[1:], "zz"]
    for loader in ("v2", "v1", "cc"):
        assert oracle.run(path, loader, signature="zz")  # type: ignore[arg-type]


def test_the_same_key_is_nothing_to_do(ranker: Path) -> None:  # noqa: F811
    result = fastsm.rename_signature(ranker, "rank", "rank")
    assert not result.changed and result.undo is None


def test_a_checkpoint_that_cannot_follow_refuses(ranker: Path) -> None:  # noqa: F811
    (ranker / "variables" / "variables.data-00000-of-00001").unlink()
    with pytest.raises(fastsm.RefusedError, match="own object graph has to follow this edit"):
        fastsm.rename_signature(ranker, "rank", "order")
    # A method is not in it.
    fastsm.set_method_name(ranker, "rank", "regress", sync=False)
    assert fastsm.open(ranker).signatures["rank"].method_name == "tensorflow/serving/regress"


def test_what_goes_with_serving_default(ranker: Path, tagger: Path) -> None:  # noqa: F811
    result = fastsm.rename_signature(ranker, "serving_default", "score", dry_run=True)
    assert any("name no signature ask for serving_default" in w for w in result.warnings)
    result = fastsm.remove_signature(ranker, "rank", "serving_default", dry_run=True)
    assert any("{serve} has no signature any more" in w for w in result.warnings)
    assert not any("ask for serving_default" in w for w in result.warnings)
    result = fastsm.rename_signature(ranker, "rank", "", dry_run=True)
    assert any("TF Serving takes an empty name for serving_default" in w for w in result.warnings)
    # The only one of its meta graph is there still, by another key.
    result = fastsm.rename_signature(tagger, "serving_default", "tag", tags="serve", dry_run=True)
    assert result.warnings == [
        "requests to TF Serving that name no signature ask for serving_default: they now fail"
    ]


@pytest.mark.tensorflow
def test_the_method_of_that_name_stays(model_copy: ModelFactory, oracle: Oracle) -> None:
    path = model_copy("keras_export")
    result = fastsm.rename_signature(path, "serve", "predict", sync=False)
    assert any(w.startswith("loaded.serve, the function, stays") for w in result.warnings)
    methods = surveyed(oracle, path, "keras_export").graphs[frozenset(["serve"]), "v2"].methods
    assert any(name.partition("/")[0] == "serve" for name in methods)


# -- warm-up requests ----------------------------------------------------------------------------


def records(*logs: bytes) -> bytes:
    """A TFRecord file; see tensorflow/core/lib/io/record_writer.h."""
    out = b""
    for log in logs:
        length = struct.pack("<Q", len(log))
        for part in (length, log):
            out += part + struct.pack("<I", _core.crc32c_mask(_core.crc32c(part)))
    return out


def predict(key: str) -> bytes:
    return delimited(6, delimited(1, spec(key), delimited(2, b"inputs")))


def spec(key: str) -> bytes:
    return delimited(1, delimited(1, "model"), delimited(3, key) if key else b"")


def warm_up(path: Path, data: bytes) -> list[str]:
    """What removing rank and serving_default, each alone, says of these requests."""
    (path / WARMUP).parent.mkdir(exist_ok=True)
    (path / WARMUP).write_bytes(data)
    out = []
    for key in ("rank", "serving_default"):
        result = fastsm.remove_signature(path, key, dry_run=True)
        out += [w for w in result.warnings if w.startswith(WARMUP)]
    return out


def test_warm_up_requests_that_ask_for_what_is_gone(ranker: Path) -> None:  # noqa: F811
    multi = delimited(1, delimited(1, spec("rank")), delimited(1, spec("serving_default")))
    logs = [
        predict("rank"), predict(""), predict("other"), delimited(2, delimited(1, spec("rank"))),
        delimited(3, delimited(1, spec("rank"))), delimited(4, multi),
        delimited(7, delimited(1, spec("")), delimited(1, spec("rank"))),
        delimited(5, delimited(1, spec("rank"))),  # SessionRun goes by tensors
        delimited(1, integer(1, 1)), b"",
    ]  # fmt: skip
    says = "requests ask for a signature that is there no more"
    first, second = warm_up(ranker, records(*logs))
    assert f"5 of 10 {says}" in first and f"3 of 10 {says}" in second
    assert warm_up(ranker, records(predict("other"))) == []
    assert warm_up(ranker, b"") == []


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 7, struct.pack("<Q", 1 << 63) + b"\0" * 20, struct.pack("<Q", 9) + b"\0" * 8,
        records(b"\x32\x7f"), records(delimited(6, delimited(1, b"\x0a\x09"))),
        records(predict("\0")[:-1]), records(b"\x07"),
    ],
)  # fmt: skip
def test_warm_up_requests_that_are_damaged(ranker: Path, damage: bytes) -> None:  # noqa: F811
    assert all("cannot be read" in w for w in warm_up(ranker, damage))
    assert len(warm_up(ranker, records(predict("other")) + damage)) == 2


def test_no_more_warm_up_requests_are_read_than_a_server_reads(
    ranker: Path,  # noqa: F811
) -> None:
    data = records(*[predict("other")] * 1000, predict("rank"))
    assert warm_up(ranker, data) == []


@pytest.mark.tensorflow
def test_warm_up_requests_that_tensorflow_wrote(model_copy: ModelFactory) -> None:
    path = model_copy("warmup")
    result = fastsm.rename_signature(path, "serving_default", "other", dry_run=True)
    assert any(f"{WARMUP}: 2 of 3 requests" in w for w in result.warnings)
    result = fastsm.rename_signature(path, "around", "other", dry_run=True)
    assert any(f"{WARMUP}: 1 of 3 requests" in w for w in result.warnings)


# -- methods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "written", "warning"),
    [
        ("predict", "tensorflow/serving/predict", None),
        ("classify", "tensorflow/serving/classify", "it wants one input, called inputs"),
        ("regress", "tensorflow/serving/regress", "inputs and one output, called outputs"),
        ("tensorflow/supervised/eval", None, "its methods are predict, classify, regress"),
        ("", None, "its methods are"),
        ("größe", None, "its methods are"),
    ],
)
def test_methods(
    ranker: Path, method: str, written: str | None, warning: str | None  # noqa: F811
) -> None:
    before = contents(ranker)
    result = fastsm.set_method_name(ranker, "rank", method, sync=False)
    assert fastsm.open(ranker).signatures["rank"].method_name == (
        method if written is None else written
    )
    assert len(result.warnings) == (warning is not None)
    assert warning is None or warning in result.warnings[0]
    assert all(c.ok for c in fastsm.open(ranker).check_fingerprint())
    if result.changed:
        assert result.undo == f"fastsm set-method-name {ranker} rank predict"
    fastsm.set_method_name(ranker, "rank", "predict", sync=False)
    assert contents(ranker)["saved_model.pb"] == before["saved_model.pb"]


def test_serving_takes_what_has_its_names(ranker: Path) -> None:  # noqa: F811
    from fastsm.edits.signatures import METHODS, serving_rules

    classify, regress = METHODS["classify"], METHODS["regress"]
    text = {"inputs": "string"}
    assert serving_rules("x", text, ["classes", "scores"], classify) == []
    assert serving_rules("x", text, ["scores"], classify) == []
    assert serving_rules("x", text, ["outputs"], regress) == []
    assert "tf.Examples" in serving_rules("x", {"inputs": "float32"}, ["outputs"], regress)[0]
    assert serving_rules("x", text, ["scores", "a", "b"], classify)
    assert serving_rules("x", text, ["outputs", "a"], regress)


def test_a_method_in_pieces() -> None:
    """A SignatureDef in two pieces, of several method names: the last one counts."""
    value = [delimited(2, delimited(3, m), delimited(1, b"")) for m in ("a", "b", "c")]
    entry = delimited(5, delimited(1, "x"), *value)
    for method, want in (
        ("z", delimited(5, delimited(1, "x"), *value[:2], delimited(2, delimited(3, "z"),
         delimited(1, b"")))),
        ("", delimited(5, delimited(1, "x"), *[delimited(2, delimited(1, b""))] * 3)),
    ):  # fmt: skip
        assert method_set(entry, method) == want
    assert method_set(delimited(5, delimited(1, "x")), "z") == delimited(
        5, delimited(1, "x"), delimited(2, delimited(3, "z"))
    )
    default = delimited(4, b"")
    assert method_set(delimited(5, delimited(1, "x"), delimited(2, default)), "z") == delimited(
        5, delimited(1, "x"), delimited(2, delimited(3, "z"), default)
    )


def method_set(entry: bytes, method: str) -> bytes:
    data = delimited(2, entry)
    reader = Reader(from_bytes(data), "m/saved_model.pb")
    (field,) = reader.fields([(0, len(data))], "")
    graph = MetaGraph(reader, 0, field)
    rewrite = Rewrite(reader.source)
    signature_def.set_method(rewrite, graph, "x", method)
    source = rewrite.source()
    (field,) = Reader(source, "").fields([(0, source.size)], "")
    return source.read(field.at, field.end - field.at)


# -- new signatures --------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [n for n in MODELS if n not in REFUSED])
def test_a_signature_made_anew_is_the_one_that_tensorflow_wrote(
    name: str, model_copy: ModelFactory, oracle: Oracle
) -> None:
    """Every tensor that a signature names has the dtype and the shape that stands there."""
    path = model_copy(name)
    for graph in fastsm.open(path).meta_graphs:
        if graph.tag_set in [g.tag_set for g in fastsm.open(path).meta_graphs[: graph.index]]:
            continue
        for key, signature in graph.signatures.items():
            inputs = plain(signature.inputs)
            outputs = plain(signature.outputs)
            if not outputs or set(inputs.values()) & set(outputs.values()):
                continue
            method = signature.method_name
            with fastsm.edit(path, sync=False) as e:
                e.add_signature(
                    "made anew", inputs, outputs, method=method, tags=graph.tag_set
                )
            assert e.result is not None
            if len(inputs) == len(signature.inputs):
                assert not any("cannot be run" in w for w in e.result.warnings)
            found = fastsm.open(path).meta_graphs[graph.index].signatures["made anew"]
            for there, here in (
                (signature.inputs, found.inputs), (signature.outputs, found.outputs)
            ):  # fmt: skip
                assert {n: (i.name, i.dtype, i.dims) for n, i in here.items()} == {
                    n: (i.name, i.dtype, i.dims) for n, i in there.items() if n in here
                }, key
            fastsm.remove_signature(
                path, "made anew", tags=graph.tag_set, in_place=True, sync=False
            )


def plain(infos: Mapping[str, Any]) -> dict[str, str]:
    return {name: info.name for name, info in infos.items() if info.encoding == "name"}


@pytest.mark.tensorflow
@pytest.mark.parametrize("loader", ["v2", "v1", "cc"])
def test_a_tf1_model_without_signatures_gets_one(
    loader: Any, model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("v1_no_signatures")
    before = contents(path)
    fastsm.add_signature(path, "serving_default", {"x": "x:0"}, {"y": "y:0"}, sync=False)
    assert oracle.run(path, loader)["y"].dtype == "float32"
    fastsm.remove_signature(path, "serving_default", in_place=True, sync=False)
    assert contents(path) == before


@pytest.mark.tensorflow
def test_a_new_signature_has_the_bytes_that_tensorflow_writes(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("v1_sparse")
    signatures = fastsm.open(path).signatures
    for key in ("classify", "regress"):
        s = signatures[key]
        fastsm.add_signature(
            path, f"{key}, anew", plain(s.inputs), plain(s.outputs), method=key, sync=False
        )
    graph = fastsm.open(path).meta_graphs[0]
    values = {
        entry.key: [
            graph.reader.source.read(f.at, f.end - f.at) for f in entry.fields if f.number == 2
        ]
        for entry in signature_def.entries(graph)
    }
    for key in ("classify", "regress"):
        (old,), (new,) = values[key], values[f"{key}, anew"]
        assert new == oracle.deterministic(old, "tensorflow.SignatureDef")


@pytest.mark.tensorflow
def test_a_tf2_model_is_told_who_does_not_see_it(
    model_copy: ModelFactory, oracle: Oracle
) -> None:
    path = model_copy("two_signatures")
    result = fastsm.add_signature(
        path, "bare", {"x": "serving_default_x"}, {"y": "StatefulPartitionedCall"}, sync=False
    )
    assert "tf.saved_model.load does not see" in result.warnings[0]
    survey = surveyed(oracle, path, "two_signatures")
    assert not survey.graphs[frozenset(["serve"]), "v2"].error
    for loader in ("v1", "cc"):
        rows = survey.graphs[frozenset(["serve"]), loader].signatures  # type: ignore[index]
        assert list(rows["bare"].values()) == list(rows["serving_default"].values())  # type: ignore[union-attr]
    check_true(path, survey)


@pytest.mark.parametrize(
    ("inputs", "outputs", "error", "text"),
    [
        ({}, {"y": "Gahter:0"}, fastsm.MissingError, 'no node "Gahter" in {serve}\n  Did you mea'),
        ({}, {"y": "Gather:1"}, fastsm.MissingError, "(ResourceGather) has 1 output, and no :1"),
        ({}, {"y": "Gather:x"}, fastsm.MissingError, "names no output"),
        ({}, {"y": "^Gather"}, fastsm.MissingError, 'no node "^Gather"'),
        ({}, {"y": "init_all_tables"}, fastsm.MissingError, "(NoOp) has 0 outputs, and no :0"),
        ({}, {"y": "vectors"}, fastsm.RefusedError, "is a resource handle"),
        ({"a": "words", "b": "words:0"}, {"y": "Gather"}, fastsm.RefusedError, "can be fed once"),
        ({"a": "words"}, {"y": "words:0"}, fastsm.RefusedError, "an input and an output"),
        ({"a": "words"}, {}, fastsm.UsageError, "without an output"),
    ],
)
def test_tensors_that_cannot_be_asked_for(
    tagger: Path, inputs: dict[str, str], outputs: dict[str, str],  # noqa: F811
    error: type[Exception], text: str,
) -> None:  # fmt: skip
    before = contents(tagger)
    with pytest.raises(error) as caught:
        fastsm.add_signature(tagger, "new", inputs, outputs, tags="serve")
    assert text in str(caught.value)
    assert contents(tagger) == before


@pytest.mark.parametrize(
    ("inputs", "output", "missing"),
    [
        ([], "Gather", "words"), (["words"], "Gather", None), (["words"], "loss", "labels"),
        (["words", "labels"], "loss", None), ([], "loss", "labels, words"),
        (["hash_table_Lookup/LookupTableFindV2", "labels"], "loss", None),
        (["words"], "labels", "labels"), (["words:0", "labels:0"], "train/learning_rate", None),
    ],
)  # fmt: skip
def test_a_placeholder_that_nobody_feeds(
    tagger: Path, inputs: list[str], output: str, missing: str | None  # noqa: F811
) -> None:
    result = fastsm.add_signature(
        tagger, "x", {name: name for name in inputs}, {"y": output}, tags="train", dry_run=True
    )
    says = [w for w in result.warnings if "cannot be run" in w]
    want = [f'"x" cannot be run: no input feeds {missing}, which its outputs need']
    assert says == (want if missing else [])


def chain(*inputs: str, op: str = "AddV2", name: str) -> bytes:
    return delimited(1, delimited(1, name), delimited(2, op), *[delimited(3, i) for i in inputs])


def test_what_runs_for_a_tensor() -> None:
    """Out of order, in circles, by control, and through outputs that are fed or not."""
    nodes = [
        chain("b", "^e", name="a"), chain("c:1", "c:2", name="b"), chain("lost", name="c"),
        chain("a", name="d"), chain("f", name="e"), chain("e", name="f"),
    ]  # fmt: skip
    data = delimited(2, delimited(2, *nodes))
    reader = Reader(from_bytes(data), "m/saved_model.pb")
    (field,) = reader.fields([(0, len(data))], "")
    graph = Graph(MetaGraph(reader, 0, field))

    def behind(tensor: bytes, *fed: bytes) -> str:
        return "".join(sorted(node.name.decode() for node in graph.behind([tensor], fed)))

    assert behind(b"d") == "abcdef"
    assert behind(b"d:0", b"a:0") == "d" and behind(b"d:0", b"d:0") == ""
    assert behind(b"a", b"c:1") == "abcef" and behind(b"a", b"c:1", b"c:2") == "abef"
    assert behind(b"a", b"b", b"e") == "aef" and behind(b"gone") == ""


def test_a_new_signature_of_one_of_several_meta_graphs(tagger: Path) -> None:  # noqa: F811
    with pytest.raises(fastsm.AmbiguousError):
        fastsm.add_signature(tagger, "embed", {"words": "words"}, {"vectors": "Gather"})
    result = fastsm.add_signature(
        tagger, "embed", {"words": "words"}, {"vectors": "Gather"}, all_meta_graphs=True,
        sync=False,
    )  # fmt: skip
    assert result.undo == f"fastsm remove-signature {tagger} embed --in-place --all-meta-graphs"
    for graph in fastsm.open(tagger).meta_graphs:
        found = graph.signatures["embed"]
        assert (found.inputs["words"].spec(), found.outputs["vectors"].spec()) == (
            "string[?]", "float32[?, 8]",
        )  # fmt: skip


def test_an_op_that_the_model_does_not_describe(tagger: Path) -> None:  # noqa: F811
    forget_ops(tagger)
    file = tagger / "saved_model.pb"
    file.write_bytes(file.read_bytes().replace(b"ResourceGather", b"ResourceFather"))
    with pytest.raises(fastsm.RefusedError, match="not describe its op, ResourceFather"):
        fastsm.add_signature(tagger, "embed", {}, {"y": "Gather"}, tags="train")


def test_an_op_of_tensorflow_that_the_model_does_not_describe(tagger: Path) -> None:  # noqa: F811
    fastsm.add_signature(tagger, "embed", {"w": "words"}, {"y": "Gather"}, tags="train", sync=False)
    described = fastsm.open(tagger).meta_graph("train").signatures["embed"]
    fastsm.remove_signature(tagger, "embed", tags="train", in_place=True, sync=False)
    forget_ops(tagger)
    fastsm.add_signature(tagger, "embed", {"w": "words"}, {"y": "Gather"}, tags="train", sync=False)
    assert fastsm.open(tagger).meta_graph("train").signatures["embed"] == described


def forget_ops(tagger: Path) -> None:  # noqa: F811
    """Takes the lists of ops out of a model."""

    def forget(rewrite: Rewrite, graph: MetaGraph) -> None:
        (info,) = [f for f in graph.fields if f.number == 1]
        (ops,) = [f for f in graph.info if f.number == 2]
        rewrite.replace(ops.start, ops.end, b"", enclosing(graph.field, info))

    by_hand(tagger, forget)


# -- edits as data ---------------------------------------------------------------------------------


def test_all_of_them_as_data(ranker: Path) -> None:  # noqa: F811
    before = contents(ranker)
    edits = [
        {"verb": "copy-signature", "key": "rank", "new": "again", "tags": ["serve"]},
        {"verb": "rename-signature", "old": "rank", "new": "order"},
        {"verb": "set-method-name", "key": "order", "method": "regress"},
        {"verb": "add-signature", "key": "raw", "inputs": {"user": "rank_user"},
         "outputs": {"y": "StatefulPartitionedCall:1"}},
    ]  # fmt: skip
    with fastsm.edit(ranker, sync=False, in_place=True) as e:
        e.apply(edits)
    assert e.result is not None
    told = [{k: v for k, v in item.items() if k != "method" or v == "regress"}
            for item in e.result.to_dict()["edits"]]  # fmt: skip
    assert told == edits
    assert sorted(fastsm.open(ranker).signatures) == ["again", "order", "raw", "serving_default"]
    with fastsm.edit(ranker, sync=False, in_place=True) as e:
        e.apply([{"verb": "remove-signature", "keys": ["again", "raw"]}])
        e.rename_signature("order", "rank")
        e.set_method_name("rank", "predict")
    after = contents(ranker)
    del before["fingerprint.pb"], after["fingerprint.pb"]
    assert after == before


def test_a_hundred_edits_do_not_grow_it(ranker: Path) -> None:  # noqa: F811
    before = contents(ranker)
    with fastsm.edit(ranker, sync=False, in_place=True) as e:
        for i in range(25):
            e.copy_signature("rank", f"copy {i}")
            e.rename_signature(f"copy {i}", "other")
            e.set_method_name("other", "regress")
            e.remove_signature("other")
    assert not e.result or not e.result.changed
    for _ in range(10):
        fastsm.copy_signature(ranker, "rank", "copy", sync=False)
        fastsm.remove_signature(ranker, "copy", in_place=True, sync=False)
    after = contents(ranker)
    del before["fingerprint.pb"], after["fingerprint.pb"]
    assert after == before


# -- hostile bytes ---------------------------------------------------------------------------------


def small(path: Path) -> tuple[bytes, list[tuple[int, int]]]:
    """saved_model.pb, and the stretches in which a signature is described."""
    reader = fastsm.open(path).reader
    (graph,) = fastsm.open(path).meta_graphs
    data = reader.source.read(0, reader.source.size)
    described = [(f.start, f.end) for f in graph.fields if f.number in (5, 7)]
    return data, [(0, 8), (graph.field.start, graph.field.at), *described]


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_told_and_nothing_else_happens(ranker: Path, seed: int) -> None:  # noqa: F811
    """Bytes changed, put in or cut out: an edit is done, or says why not."""
    random = Random(seed)
    data, stretches = small(ranker)
    edits = [
        lambda: fastsm.rename_signature(ranker, "rank", "order", dry_run=True),
        lambda: fastsm.copy_signature(ranker, "rank", "order", dry_run=True),
        lambda: fastsm.remove_signature(ranker, "rank", "serving_default", dry_run=True),
        lambda: fastsm.set_method_name(ranker, "rank", "regress", dry_run=True),
        lambda: fastsm.add_signature(ranker, "x", {"u": "rank_user"}, {"y": "Const"}, dry_run=True),
    ]
    for _ in range(40):
        damaged = bytearray(data)
        for _ in range(random.choice([1, 1, 3])):
            start, end = random.choice(stretches)
            at = random.randrange(start, end)
            kind = random.randrange(4)
            if kind == 0:
                damaged[at : at + 1] = bytes([random.randrange(256)])
            elif kind == 1:
                damaged[at : at + 1] = bytes([data[at] ^ 1 << random.randrange(8)])
            elif kind == 2:
                del damaged[at : at + random.randint(1, 4)]
            else:
                damaged[at:at] = random.randbytes(random.randint(1, 4))
        (ranker / "saved_model.pb").write_bytes(damaged)
        for edit in edits:
            with contextlib.suppress(fastsm.FastsmError):
                assert edit().changed in (True, False)


@pytest.mark.parametrize("seed", range(4))
def test_untidy_signatures_stay_what_they_are(ranker: Path, seed: int) -> None:  # noqa: F811
    """A SignatureDef in any way that a parser must put up with, its entry and its key too."""
    from google.protobuf.message_factory import GetMessageClass

    kind = GetMessageClass(message_type("MetaGraphDef"))
    (ranker / "fingerprint.pb").unlink()
    graph = fastsm.open(ranker).meta_graphs[0]
    payload = graph.reader.source.read(graph.field.at, graph.field.end - graph.field.at)
    random = Random(seed)
    done = 0
    for _ in range(60):
        untidy = Untidy(random, fields=random.choice([5, 20]))
        values = [
            delimited(2, untidy.message(message_type("SignatureDef")))
            for _ in range(random.choice([0, 1, 1, 2]))
        ]
        key = [delimited(1, "hidden"), delimited(1, "odd")][random.randrange(2) :]
        parts = [*key, *values]
        random.shuffle(parts)
        if delimited(1, "hidden") in parts and parts.index(delimited(1, "hidden")) > parts.index(
            delimited(1, "odd")
        ):
            continue
        model = delimited(2, payload, delimited(5, *parts))
        (ranker / "saved_model.pb").write_bytes(model)
        before = kind.FromString(payload + delimited(5, *parts)).signature_def["odd"]
        try:
            fastsm.rename_signature(ranker, "odd", "even", sync=False)
        except fastsm.FormatError:
            continue
        done += 1
        assert read_by(kind, ranker).signature_def["even"] == before
        fastsm.copy_signature(ranker, "even", "odd", sync=False)
        assert read_by(kind, ranker).signature_def["odd"] == before
        fastsm.set_method_name(ranker, "odd", "predict", sync=False)
        changed = read_by(kind, ranker).signature_def["odd"]
        assert changed.method_name == "tensorflow/serving/predict"
        changed.method_name = before.method_name
        assert changed == before
        fastsm.set_method_name(ranker, "odd", "", sync=False)
        assert read_by(kind, ranker).signature_def["odd"].method_name == ""
        fastsm.remove_signature(ranker, "odd", in_place=True, sync=False)
        fastsm.rename_signature(ranker, "even", "odd", sync=False)
        assert (ranker / "saved_model.pb").read_bytes() == model
    assert done > 20


def read_by(kind: Any, path: Path) -> Any:
    """The meta graph of a model, as protobuf reads it."""
    (graph,) = fastsm.open(path).meta_graphs
    source = graph.reader.source
    return kind.FromString(source.read(graph.field.at, graph.field.end - graph.field.at))


def track(path: Path, message: bytes) -> None:
    """Give a model this as the checkpoint's own object graph."""
    prefix = path / "variables" / "variables"
    rewrite = BundleRewrite(Bundle.open(str(prefix)))
    data, masked = _core.encode_strings([message])
    rewrite.replace(OBJECT_GRAPH_KEY, data, _core.crc32c_unmask(masked))
    new = rewrite.result()
    for name, source in [(".index", new.index), *new.shards.items()]:
        where = prefix.with_name(name) if name != ".index" else prefix.with_suffix(name)
        where.write_bytes(source.read(0, source.size))


def tracked_child(node_id: int, name: str) -> bytes:
    return delimited(1, integer(1, node_id), delimited(2, name))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (b"\x0a\x7f", "needs 127 bytes where 0 are left"),
        (delimited(1, b"\x0a\x7f"), "needs 127 bytes where 0 are left"),
        (delimited(1, delimited(1, delimited(2, b"\xff"))), "not UTF-8"),
        (delimited(1, tracked_child(7, "signatures")), "refers to object 7, of 1"),
        (delimited(1, tracked_child(-1, "signatures")), "refers to object -1, of 1"),
        (delimited(1, *[tracked_child(0, "signatures")] * 2), "2 children are called 'signatures'"),
        (delimited(1, tracked_child(0, "signatures"), *[tracked_child(0, "rank")] * 2),
         "2 children are called 'rank'"),
        (delimited(1, *[tracked_child(0, n) for n in ("signatures", "rank", "order")]),
         "a child is called 'order' already"),
    ],
)  # fmt: skip
def test_a_checkpoint_with_an_odd_object_graph(
    ranker: Path, message: bytes, says: str  # noqa: F811
) -> None:
    track(ranker, message)
    before = contents(ranker)
    with pytest.raises(fastsm.FastsmError) as caught:
        fastsm.rename_signature(ranker, "rank", "order")
    assert says in str(caught.value) and "_CHECKPOINTABLE_OBJECT_GRAPH" in str(caught.value)
    assert contents(ranker) == before


@pytest.mark.parametrize(
    "message",
    [
        b"", delimited(1, b""), delimited(1, tracked_child(0, "me")),
        delimited(1, tracked_child(0, "signatures")),
        delimited(1, tracked_child(1, "signatures")) + delimited(1, tracked_child(0, "other")),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_know_the_signature(
    ranker: Path, message: bytes  # noqa: F811
) -> None:
    track(ranker, message)
    result = fastsm.rename_signature(ranker, "rank", "order", sync=False)
    assert [c.name for c in result.changes] == ["fingerprint.pb", "saved_model.pb"]


def test_a_checkpoint_whose_signatures_are_the_root(ranker: Path) -> None:  # noqa: F811
    """A circle, and the signature's object is the root, which never goes."""
    track(ranker, delimited(1, tracked_child(0, "signatures"), tracked_child(0, "rank")))
    fastsm.remove_signature(ranker, "rank", in_place=True, sync=False)
    index = Bundle.open(str(ranker / "variables" / "variables"))
    rewrite = BundleRewrite(index)
    source = rewrite.content(rewrite.row(OBJECT_GRAPH_KEY))
    (left,) = _core.string_elements(source, 0, source.size, 1)
    assert left == delimited(1, tracked_child(0, "signatures"))
