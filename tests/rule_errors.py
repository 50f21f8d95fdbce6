"""Models at which TensorFlow says what the pages of the rules quote of it.

Those of `faults` and `damage`, and some more: a whole model with a damaged checkpoint, as the
loaders see it, and what only `fastsm lint` tells of.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .damage import CASES, DATA, INDEX, Bundle, header, shape, with_header
from .faults import FAULTS, Messages
from .oracle import ROOT, Oracle, Verdict
from .wire import integer

#: A damage to a model's folder.
Change = Callable[[Path], object]

EXAMPLES = ("ranker", "tagger")


class Case(NamedTuple):
    """A model, and what is asked of it.

    Attributes:
        base: One of the examples, or of the project's models.
        run: Whether its signatures are run, too.
    """

    name: str
    base: str
    change: Change
    tags: tuple[str, ...] = ("serve",)
    run: bool = False


def said(oracle: Oracle, models: Callable[[str], Path], folder: Path) -> Iterator[tuple[str, str]]:
    """(case and who said it, what it said) of every case."""
    for case in [*_of_bundles(), *_of_messages(), *_as_they_are(), *_of_faults()]:
        path = folder / case.name
        base = ROOT / "examples" / case.base / "1" if case.base in EXAMPLES else models(case.base)
        shutil.copytree(base, path)
        case.change(path)
        yield from _loaded(oracle, case, path)
        shutil.rmtree(path)
    yield from _bundles(oracle, folder)


def _loaded(oracle: Oracle, case: Case, path: Path) -> Iterator[tuple[str, str]]:
    asked: list[tuple[str, Verdict]] = [
        ("v2", oracle.load_v2(path)), ("v2, tags", oracle.load_v2(path, case.tags)),
        ("v1", oracle.load_v1(path, case.tags)), ("C++", oracle.load_cc(path, case.tags)),
    ]  # fmt: skip
    for who, verdict in asked:
        if not verdict.ok:
            yield f"{case.name}: {who}", f"{verdict.type}: {verdict.text}"
    yield f"{case.name}: objects", str(oracle.restored_objects(path)[0].text)
    if case.run:
        for (_, loader), made in oracle.survey(path).graphs.items():
            for calls in (made.signatures, made.methods):
                for rows in calls.values():
                    if isinstance(rows, str):
                        yield f"{case.name}: {loader}, run", rows


def _bundles(oracle: Oracle, folder: Path) -> Iterator[tuple[str, str]]:
    from .test_damage import DTYPES, damaged

    bases = folder / "bases"
    bases.mkdir()
    oracle.save_bases(bases)
    many = oracle.read_all(bases / "many" / "variables")[1]
    dtypes = {**DTYPES, "many": dict.fromkeys(many, "float32")}
    for name, case in CASES.items():
        prefix = damaged(bases, name, folder / name) / "variables" / "variables"
        for who, verdict in (
            ("reader", oracle.read_all(prefix)[0]),
            ("op", oracle.restore_all(prefix, dtypes[case.base])[0]),
        ):
            yield f"{name}: {who}", f"{verdict.type}: {verdict.text}"
        shutil.rmtree(folder / name)


# -- cases -----------------------------------------------------------------------------


def _of_bundles() -> Iterator[Case]:
    """A checkpoint damaged in a whole model."""

    def of(change: Callable[[Bundle], object]) -> Change:
        return lambda path: change(Bundle(path / "variables"))

    def first(b: Bundle) -> str:
        """The first variable of float32."""
        entries = sorted(b.entries().items())
        return next(k for k, v in entries if k and v.startswith(integer(1, 1))).decode()

    def without(b: Bundle, *keys: str) -> None:
        b.write([(k, v) for k, v in b.entries().items() if k.decode() not in keys])

    changes: dict[str, Callable[[Bundle], object]] = {
        "byte": lambda b: b.flip(DATA, 100),
        "no shard": lambda b: (b.folder / DATA).unlink(),
        "a folder": lambda b: ((b.folder / DATA).unlink(), (b.folder / DATA).mkdir()),
        "no variables": lambda b: shutil.rmtree(b.folder),
        "no header": lambda b: without(b, ""),
        "two shards": lambda b: with_header(b, header(2)),
        "dtype": lambda b: b.entry(first(b), dtype=3),
        "shape": lambda b: b.entry(first(b), shape=shape(1, 1, 32)),
        "key": lambda b: without(b, first(b)),
        "entry": lambda b: b.write([
            (k, v[:-2] if k == first(b).encode() else v) for k, v in b.entries().items()
        ]),
        "size": lambda b: b.entry(first(b), size=7),
        "shard": lambda b: b.entry(first(b), shard=3),
        "index": lambda b: b.flip(INDEX, 5),
    }  # fmt: skip
    for base in EXAMPLES:
        for name, change in changes.items():
            yield Case(f"{base}, {name}", base, of(change))


def _of_messages() -> Iterator[Case]:
    """saved_model.pb edited, and the files around it."""

    def of(change: Callable[[Any], object]) -> Change:
        """Change every meta graph."""

        def edit(path: Path) -> None:
            messages = Messages(path)
            for graph in messages.saved.meta_graphs:
                change(graph)
            messages.write()

        return edit

    def tagged(*tags: str) -> Change:
        return of(lambda g: (g.meta_info_def.ClearField("tags"), g.meta_info_def.tags.extend(tags)))

    def asset(name: str) -> Change:
        def change(graph: Any) -> None:
            for definition in graph.asset_file_def:
                definition.filename = name

        return of(change)

    def an_op(graph: Any) -> None:
        definition = graph.asset_file_def[0].tensor_info
        definition.name = definition.name.partition(":")[0]

    def placed(graph: Any) -> None:
        for node in graph.graph_def.node:
            node.device = "/job:worker/task:1"

    def two_init_ops(graph: Any) -> None:
        ops = graph.collection_def["saved_model_main_op"].node_list.value
        ops.append(ops[0])

    def train_op(graph: Any) -> None:
        key = "__saved_model_train_op"
        graph.signature_def[key].outputs[key].name = "words"

    def no_saver(graph: Any) -> None:
        graph.ClearField("saver_def")
        for name in ("variables", "trainable_variables"):
            graph.collection_def.pop(name, None)

    def cut(path: Path) -> None:
        file = path / "saved_model.pb"
        file.write_bytes(file.read_bytes()[:-20])

    yield Case("cut off", "tagger", cut)
    yield Case("noise", "tagger", lambda p: (p / "saved_model.pb").write_bytes(b"\xff" * 200))
    yield Case("never restored", "train_and_serve_ref", of(no_saver), run=True)
    yield Case("tagged", "ranker", tagged("prod"))
    yield Case("letters", "ranker", tagged("v", "s", "e", "r"))
    yield Case("absolute", "asset_field", asset("/etc/hostname"))
    yield Case("an op", "asset_field", of(an_op))
    yield Case("placed", "tagger", of(placed))
    yield Case("two init ops", "tagger", of(two_init_ops))
    yield Case("train op", "tagger", of(train_op))
    yield Case(
        "custom op", "tagger", of(lambda g: g.graph_def.node.add(name="n", op="MyCustomOp"))
    )
    yield Case(
        "newer", "tagger",
        of(lambda g: setattr(g.graph_def.versions, "min_consumer", 99999)),
    )  # fmt: skip


def _as_they_are() -> Iterator[Case]:
    """Models that TensorFlow wrote."""
    for name in (
        "keras_saved", "stale_children", "sliced_half", "no_init_op", "no_saver", "v1_slots",
        "two_meta_graphs_v2", "dangling_collection",
    ):  # fmt: skip
        yield Case(name, name, lambda path: None, run=True)


def _of_faults() -> Iterator[Case]:
    for name, fault in FAULTS.items():

        def change(path: Path, make: Callable[[Messages], None] = fault.make) -> None:
            messages = Messages(path)
            make(messages)
            messages.write()

        yield Case(name, fault.base, change, run="run" in fault.verdicts.values())
