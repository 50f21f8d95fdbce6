"""What is imported when: a start costs what it imports, and a room only looks up the page.

`sys.modules` of a fresh interpreter is held, not a clock.
"""
from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ModelFactory
from .oracle import ROOT

RANKER = str(ROOT / "examples" / "ranker" / "1")
TAGGER = str(ROOT / "examples" / "tagger" / "1")

#: Modules that cost more than all of `fastsm show`. No plain command imports one.
_COSTLY = """
    argparse asyncio bz2 collections.abc concurrent.futures contextlib csv ctypes dataclasses
    datetime decimal difflib email enum functools gettext glob google.protobuf hashlib http
    importlib.metadata importlib.resources importlib.util inspect json locale logging lzma
    multiprocessing numpy pathlib pickle pprint random re selectors shutil signal socket ssl
    string subprocess tempfile tensorflow textwrap threading tokenize traceback types
    typing typing_extensions unittest urllib uuid warnings weakref zipfile zlib
"""
COSTLY = set(_COSTLY.split())

#: What `fastsm show PATH` adds to a bare interpreter: all of it, in words that are argued
#: about before one is added.
SHOW = {
    "__future__", "cython_runtime",
    "fastsm", "fastsm._core", "fastsm.bundle", "fastsm.cli", "fastsm.cli.show",
    "fastsm.dtypes", "fastsm.errors", "fastsm.fingerprint", "fastsm.locate", "fastsm.model",
    "fastsm.source", "fastsm.text", "fastsm.views",
}  # fmt: skip


def modules(code: str) -> set[str]:
    """What is imported in a fresh interpreter after `code`, beyond what it starts with."""
    program = f"import sys; before = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    names = done.stdout.splitlines()[-1].split()
    return {n for n in names if not n.startswith("_cython_")}  # one a Cython release


def command(*words: str) -> set[str]:
    """What `fastsm WORDS` imports."""
    return modules(
        "from fastsm.cli import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit as e: assert not e.code, e.code"
    )


def test_importing_fastsm_imports_nothing_else() -> None:
    assert modules("import fastsm") <= {"__future__", "fastsm"}


def test_every_public_name_can_be_had() -> None:
    code = "import fastsm\nfor name in fastsm.__all__: assert getattr(fastsm, name), name"
    assert modules(code).isdisjoint({"numpy", "google.protobuf", "tensorflow"})


def test_version_needs_no_core() -> None:
    assert command("--version") == {"__future__", "fastsm", "fastsm.cli"}


def test_show_imports_exactly_this() -> None:
    assert command("show", RANKER) == SHOW


def test_show_as_json_adds_a_writer_and_no_reader() -> None:
    assert command("show", RANKER, "--json") == SHOW | {"_json", "fastsm.cli.output"}


@pytest.mark.parametrize(
    "words",
    [
        ["show", RANKER],
        ["show", TAGGER, "--json"],
        ["show", TAGGER, "--functions", "--ops"],
        ["show", RANKER, "--fingerprint"],
        ["show", TAGGER, "--all"],
        ["show", "--dir", TAGGER, "--tag_set", "serve", "--signature_def", "serving_default"],
        ["show", RANKER, "--signature", "rank"],
        ["show", RANKER + "/variables/variables"],
        ["variables", RANKER],
        ["variables", RANKER, "--json"],
        ["assets", TAGGER],
        ["assets", TAGGER, "--json"],
        ["explain", TAGGER],
        ["explain", RANKER, "serve", "--json", "--signature", "rank"],
        ["verify", RANKER],
        ["verify", TAGGER, "--quick", "--json", "--fail-on", "warning"],
        ["lint", RANKER],
        ["lint", TAGGER, "--tf-version", "2.12", "--only", "op-version", "--fail-on", "never"],
        ["retag", RANKER, "serve", "serve,gpu", "--dry-run"],
        ["retag", TAGGER, "serve", "gpu", "--dry-run", "--json"],
        ["dedupe", RANKER, "--dry-run"],
        ["rename-signature", RANKER, "rank", "order", "--dry-run"],
        ["copy-signature", TAGGER, "serving_default", "a", "--tags", "serve", "--dry-run"],
        ["remove-signature", RANKER, "rank", "serving_default", "--dry-run"],
        ["set-method-name", RANKER, "rank", "classify", "--dry-run"],
        ["add-signature", TAGGER, "all", "--tags", "serve", "--output", "y=tags", "--output",
         "z=Gather", "--dry-run"],
        ["rename-input", RANKER, "rank", "user", "who", "--dry-run"],
        ["rename-output", RANKER, "rank", "scores", "points", "--dry-run"],
        ["rename-asset", TAGGER, "vocabulary.txt", "a/b", "--dry-run"],
        ["replace-asset", TAGGER, "vocabulary.txt", __file__, "--dry-run", "--json"],
    ],
    ids=lambda words: " ".join(Path(w).parent.name if "/" in w else w for w in words),
)
def test_plain_commands_import_nothing_costly(words: list[str]) -> None:
    assert command(*words) & COSTLY == set()


def test_a_retag_in_python_imports_nothing_costly() -> None:
    found = modules(f"import fastsm\nfastsm.retag({RANKER!r}, 'serve', 'gpu', dry_run=True)")
    assert found & COSTLY == set()
    assert not {n for n in found if n.startswith("fastsm.cli")}


def test_only_odd_spellings_cost_argparse() -> None:
    assert "argparse" in command("show", RANKER, "--signature=rank")


def test_only_the_chosen_verb_is_imported() -> None:
    found = command("retag", RANKER, "serve", "gpu", "--dry-run")
    assert {"fastsm.cli.show", "fastsm.cli.undo"}.isdisjoint(found)
    assert {"fastsm.cli.retag", "fastsm.verbs"}.isdisjoint(command("show", RANKER))


# -- text models, beside TensorFlow ----------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("first", ["fastsm", "tensorflow"])
def test_a_text_model_and_tensorflow_do_not_clash(first: str, model: ModelFactory) -> None:
    """fastsm reads .pbtxt through protobuf; its messages are not those of TensorFlow."""
    path = str(model("v2_pbtxt"))
    ours = f"import fastsm; ours = fastsm.open({path!r}).tag_sets"
    theirs = (
        "from tensorflow.python.saved_model.loader_impl import parse_saved_model\n"
        f"theirs = [set(g.meta_info_def.tags) for g in parse_saved_model({path!r}).meta_graphs]"
    )
    order = [ours, theirs] if first == "fastsm" else [theirs, ours]
    found = modules("\n".join([*order, "assert [set(t) for t in ours] == theirs, (ours, theirs)"]))
    assert {"fastsm", "tensorflow", "google.protobuf"} <= found


# -- rooms -----------------------------------------------------------------------------

#: (from, to) that look the other way, inside a function, and why.
UPWARD = {
    ("locate", "diagnose"): "words for an error, when there is one",
    ("views", "graph"): "a meta graph hands out its own object graph",
}


def rooms() -> dict[str, int]:
    """Each room and its row in the table of docs/design.md."""
    table = (ROOT / "docs" / "design.md").read_text().partition("| room |")[2].partition("\n\n")[0]
    order: dict[str, int] = {}
    for row, line in enumerate(table.splitlines()[2:]):
        first = line.split("|")[1]
        order |= {name.rstrip("/"): row for name in re.findall(r"`([^`]+)`", first)}
    return order


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(room, whether at module level) of what a file of fastsm imports from fastsm."""
    tree = ast.parse(path.read_text())
    here = ["fastsm", *path.relative_to(ROOT / "fastsm").parts[:-1]]
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in typing_only:
            continue
        base = here[: len(here) - node.level + 1] if node.level else []
        base += node.module.split(".") if node.module else []
        for name in [base + [a.name] for a in node.names] if base == ["fastsm"] else [base]:
            if name[0] == "fastsm" and name[1:] != ["__version__"]:
                yield name[1], id(node) in top


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "fastsm").parts[0].removesuffix(".py").removesuffix(".pyx")


SOURCES = sorted((ROOT / "fastsm").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    here = room_of(path)
    if here in ("__init__", "__main__"):
        return  # the doors of the house
    order = rooms()
    assert here in order, f"docs/design.md has no row for {here}"
    for there, at_top in imports(path):
        if there != here and order[there] >= order[here]:
            assert (here, there) in UPWARD, f"{here} imports {there}"
            assert not at_top, f"{here} imports {there} at its head"


def test_every_room_of_the_table_is_there() -> None:
    there = {room_of(p) for p in SOURCES} | {"_core", "csrc"}
    assert set(rooms()) <= there


# -- TensorFlow ------------------------------------------------------------------------

CHILD = ROOT / "fastsm" / "proof" / "child"
#: What the child may count on beside the standard library: TensorFlow, and what it brings.
WITH_TENSORFLOW = {"tensorflow", "numpy", "ml_dtypes", "google"}


def outside(path: Path) -> Iterator[tuple[str, bool]]:
    """(package, whether at module level) of what a file imports that is not of fastsm."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            yield name.partition(".")[0], node in tree.body


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tensorflow_is_imported_in_the_child_alone(path: Path) -> None:
    found = dict(outside(path))
    if CHILD in path.parents:
        assert {n for n in found if n not in sys.stdlib_module_names} <= WITH_TENSORFLOW
        assert all(there == "proof" for there, _ in imports(path))
    else:
        assert "tensorflow" not in found
        assert not found.get("numpy"), "numpy is imported where it is used"


@pytest.mark.parametrize("path", sorted(CHILD.glob("*.py")), ids=lambda p: p.name)
def test_the_child_imports_nothing_of_fastsm(path: Path) -> None:
    """It is run by its path, maybe under a Python that has no fastsm."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1 and (node.module or "").partition(".")[0] != "fastsm"
        elif isinstance(node, ast.Import):
            assert not [a.name for a in node.names if a.name.startswith("fastsm.")]


def test_only_who_asks_for_tensorflow_imports_its_room() -> None:
    dry = ["retag", RANKER, "serve", "gpu", "--dry-run"]
    for words in (["show", RANKER], ["verify", RANKER], dry):
        assert not {name for name in command(*words) if name.startswith("fastsm.proof")}
