"""verify: what a TF2 model says twice, its signatures and the names of its objects."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fastsm
from fastsm.check.report import Finding
from fastsm.edits import signature_def
from fastsm.graph.object_edits import SavedObjectEdits

from .conftest import ModelFactory
from .oracle import ROOT, Oracle
from .test_signatures import by_hand, signature_map, track, tracked_child
from .wire import delimited

RULES = ("signature-one-sided", "object-child")


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "ranker" / "1", tmp_path / "ranker"))


def findings(path: Path) -> list[Finding]:
    return [f for f in fastsm.verify(path).findings if f.id in RULES]


def said(path: Path) -> list[tuple[str, str]]:
    return [(f.id, f.message) for f in findings(path)]


def test_a_signature_of_sessions_alone(ranker: Path) -> None:
    fastsm.add_signature(ranker, "raw", {"u": "rank_user"}, {"y": "Const"}, sync=False)
    (finding,) = findings(ranker)
    assert (finding.id, finding.severity, finding.key) == ("signature-one-sided", "warning", "raw")
    assert finding.message == (
        '"raw" is in signature_def alone: tf.saved_model.load does not find it'
    )
    assert finding.place == 'meta_graphs[0].signature_def["raw"]'
    fastsm.remove_signature(ranker, "raw", in_place=True, sync=False)
    assert findings(ranker) == []


def test_a_signature_of_tf2_alone(ranker: Path) -> None:
    by_hand(ranker, lambda rewrite, graph: signature_def.remove(rewrite, graph, {"rank"}))
    (finding,) = findings(ranker)
    assert finding.message == (
        '"rank" is in the object graph alone: sessions, TF Serving and saved_model_cli do not '
        "find it"
    )


def test_the_op_of_the_model_is_no_signature(ranker: Path) -> None:
    fastsm.remove_signature(ranker, "rank", "serving_default", in_place=True, sync=False)
    assert findings(ranker) == []


def edited(change: Callable[[SavedObjectEdits], object]) -> Callable[[Path], None]:
    """An edit of the saved objects that the checkpoint does not follow."""

    def edit(path: Path) -> None:
        def splice(rewrite: object, graph: object) -> None:
            objects = SavedObjectEdits(graph)  # type: ignore[arg-type]
            change(objects)
            objects.into(rewrite)  # type: ignore[arg-type]

        by_hand(path, splice)

    return edit


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda objects: objects.rename_child(signature_map(objects), "rank", "r"),
         "signatures.rank: the checkpoint's own object graph has it, the model's has not"),
        (lambda objects: objects.rename_child(0, "signatures", "s"), "signatures: the checkpoint"),
        (lambda objects: objects.add_child(0, "more", 0), None),
        (lambda objects: objects.rename_child(0, "rank", "r"), "rank: the checkpoint"),
    ],
    ids=["signature", "all of them", "one more", "method"],
)  # fmt: skip
def test_a_child_that_the_checkpoint_alone_has(
    change: Callable[[SavedObjectEdits], object], says: str | None, ranker: Path, oracle: Oracle
) -> None:
    """It is found where C++ fails, and nowhere else."""
    assert oracle.restored_objects(ranker)[0].ok
    edited(change)(ranker)
    told = [m for rule, m in said(ranker) if rule == "object-child"]
    assert oracle.restored_objects(ranker)[0].ok == (not told)
    assert (says is None and not told) or (says and told[0].startswith(says))


@pytest.mark.tensorflow
def test_a_model_that_was_edited_in_one_place(model: ModelFactory) -> None:
    ((rule, message),) = said(model("stale_children"))
    assert rule == "object-child" and message.startswith("signatures.two: ")


def node(*fields: bytes) -> bytes:
    return delimited(1, *fields)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"", 0), (node(), 0), (node(tracked_child(0, "me")), 1),
        (node(tracked_child(0, "signatures")), 0),  # goes in a circle: the root again
        (node(tracked_child(1, "signatures")) + node(tracked_child(1, "me")), 0),
        (node(tracked_child(1, "signatures")) + node(tracked_child(0, "me")), 1),
        (node(tracked_child(1, "a"), tracked_child(1, "a"), tracked_child(2, "b")) + 2 * node(), 2),
        (node(tracked_child(9, "a"), tracked_child(-1, "b")), 0),  # which has another finding
    ],
)  # fmt: skip
def test_odd_graphs_of_a_checkpoint(ranker: Path, message: bytes, told: int) -> None:
    track(ranker, message)
    assert len([rule for rule, _ in said(ranker) if rule == "object-child"]) == told


def test_a_long_way_is_walked_and_cut(ranker: Path) -> None:
    """A chain as deep as the list is long; the saved one ends at its first step."""
    chain = [node(tracked_child(i + 1, "signatures")) for i in range(20_000)]
    track(ranker, b"".join(chain) + node())
    ((_, message),) = [s for s in said(ranker) if s[0] == "object-child"]
    assert message.startswith("signatures.signatures: ")
