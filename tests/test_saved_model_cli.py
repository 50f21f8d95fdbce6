"""fastsm.cli.saved_model_cli prints what saved_model_cli prints; each exception has a name.

The numbers in brackets are those of the list in the module's docstring.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsm.cli import saved_model_cli
from fastsm.errors import FormatError, MissingError
from fastsm.graph.load_order import loaded_names
from fastsm.model import open as open_model

from . import cli_models
from .conftest import TESTS, ModelFactory
from .models import MODELS
from .oracle import ENVIRONMENT, Oracle, TensorFlowFailed
from .test_objects import child, concrete, node, scalar, sub, varint

NOT_LISTED = "Concrete Functions: N/A (could not be listed due to {})"
CUSTOM_OPS = NOT_LISTED.format("the existence of custom ops in the SavedModel")
UNKNOWN = NOT_LISTED.format("unknown reasons")

#: Models that saved_model_cli cannot load: its excuse, and the functions that fastsm lists [2].
NOT_LOADED = {
    "tftrt_2.0_saved_model": (CUSTOM_OPS, ["run"]),
    "saved_model_adult_rf": (
        CUSTOM_OPS,
        [
            "__call__", "_build_normalized_inputs", "_default_save_signature", "call",
            "call_and_return_all_conditional_losses", "call_get_leaves",
            "yggdrasil_model_path_tensor",
        ],
    ),
    "tf_text_regression": (CUSTOM_OPS, ["__call__"]),
    "root_is_a_dict": (UNKNOWN, ["f"]),
    "v1_slots": (UNKNOWN, ["serve", "train"]),  # its optimizer's slots: no loader can make them
    "root_is_a_list": (UNKNOWN, ["1"]),
}  # fmt: skip

#: Models with a control character in a name [4].
ESCAPED = {"odd_tags": [("'a\x1b[31mb\n'", "'a\\x1b[31mb\\x0a'")]}

#: Models of no bytes: saved_model_cli prints nothing [3].
EMPTY = {"no_meta_graphs"}

#: Models without a function: saved_model_cli leaves its last line open [8].
OPEN_END = {"root_is_a_variable", "tables_again"}

#: Models with a dict or named arguments: saved_model_cli's order is random [1].
SHUFFLED = {"keras_multi", "python_values", "keyword_arguments", "nested_outputs"}


def ours(path: Path, **options: Any) -> str:
    return "".join(line + "\n" for line in saved_model_cli.show(open_model(path), **options))


def sorted_ops(text: str) -> str:
    """Ops in any order, as one order; fastsm's are sorted as they are."""

    def sort(found: re.Match[str]) -> str:
        return found[1] + ", ".join(sorted(found[2].split(", "))) + "}"

    return re.sub(r"(contains the following ops: \{)(.*)\}$", sort, text, flags=re.MULTILINE)


def unordered(text: str) -> list[str]:
    """The lines of a text; a dict's as its letters, named arguments by their names."""
    lines: list[str] = []
    numbered = re.compile(r" +Named Argument #\d+$")
    names: list[str] = []
    for line in text.splitlines():
        if numbered.match(line):
            names.append("")
        elif names and not names[-1]:
            names[-1] = line
        else:
            lines += sorted(names)
            names = []
            has_dict = line.lstrip().startswith("Value:") and "{" in line
            lines.append("".join(sorted(line)) if has_dict else line)
    return lines + sorted(names)


def function_names(text: str) -> list[str]:
    return re.findall(r"^  Function Name: '(.*)'$", text, flags=re.MULTILINE)


def check(name: str, expected: str, path: Path) -> None:
    """Holds fastsm's --all against saved_model_cli's, allowing what ``name`` is listed for."""
    if name in EMPTY:
        assert expected == ""
        with pytest.raises(FormatError, match="is empty"):
            ours(path, all=True)
        return
    text = ours(path, all=True)
    expected = sorted_ops(expected)
    for raw, escaped in ESCAPED.get(name, []):
        assert raw in expected and escaped in text
        expected = expected.replace(raw, escaped)
    if name in OPEN_END:
        assert expected.endswith("\nConcrete Functions:")
        expected += "\n"
    if name in NOT_LOADED:
        excuse, functions = NOT_LOADED[name]
        assert expected.endswith(f"\n{excuse}\n")
        assert function_names(text) == functions
        text = text[: text.index("\nConcrete Functions:")] + f"\n{excuse}\n"
    if name in SHUFFLED:
        assert "{" in expected.rpartition("ops:")[2] or "Named Argument" in expected
        assert unordered(text) == unordered(expected)
    else:
        assert text == expected


# -- against TensorFlow ----------------------------------------------------------------


@pytest.fixture(scope="module")
def cli() -> Iterator[Oracle]:
    """A TensorFlow that has done nothing else: the session's own may have imported Keras,
    and what a process has counted before decides how functions are named."""
    with Oracle() as child:
        yield child


@pytest.fixture(scope="module")
def odd_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of tests.cli_models, each in a folder by its name."""
    out = tmp_path_factory.mktemp("odd")
    subprocess.run(
        [sys.executable, "-m", "tests.cli_models", str(out)],
        cwd=TESTS.parent,
        env={**os.environ, **ENVIRONMENT},
        check=True,
        capture_output=True,
    )
    return out


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_all_of_a_model(name: str, model: ModelFactory, cli: Oracle) -> None:
    path = model(name)
    check(name, cli.cli_show(path), path)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", cli_models.BUILDERS)
def test_all_of_odd_functions(name: str, odd_models: Path, cli: Oracle) -> None:
    path = odd_models / name
    check(name, cli.cli_show(path), path)


@pytest.mark.tensorflow
def test_all_of_the_corpus(corpus_model: Any, cli: Oracle) -> None:
    if not corpus_model.catalog["cli_show_all"]["result"].startswith("ok"):
        with pytest.raises(TensorFlowFailed):
            cli.cli_show(corpus_model.path)
        with pytest.raises(FormatError):
            ours(corpus_model.path, all=True)
        return
    name = corpus_model.catalog["id"].rpartition("-")[0]
    name = next((n for n in NOT_LOADED if name.endswith("-" + n)), name)
    check(name, cli.cli_show(corpus_model.path), corpus_model.path)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", sorted(set(MODELS) - EMPTY))
def test_the_other_modes(name: str, model: ModelFactory, cli: Oracle) -> None:
    path = model(name)
    assert ours(path) == cli.cli_show(path, [])
    assert ours(path, list_ops=True) == cli.cli_show(path, ["--list_ops"])
    graphs = open_model(path).meta_graphs
    for tags in {graph.tag_set for graph in graphs}:
        if any("," in tag or tag != tag.strip() or not tag for tag in tags):
            continue  # saved_model_cli cannot name them
        tag_set = ",".join(sorted(tags))
        assert ours(path, tag_set=tag_set) == cli.cli_show(path, ["--tag_set", tag_set])
        # The first one is the one that is found.
        keys = next(g for g in graphs if g.tag_set == tags).signature_defs
        for key in list(keys)[:3]:
            text = ours(path, tag_set=tag_set, signature_def=key, list_ops=True)
            options = ["--tag_set", tag_set, "--signature_def", key, "--list_ops"]
            if not tags:  # [7]: saved_model_cli takes the empty set for the keys alone
                with pytest.raises(TensorFlowFailed, match="at least one non-empty"):
                    cli.cli_show(path, options)
                continue
            assert text == sorted_ops(cli.cli_show(path, options))


@pytest.mark.tensorflow
def test_functions_are_named_as_loading_names_them(odd_models: Path) -> None:
    # 31 functions, most of them of dozens of nodes: the numbers pass 100 and 1000.
    (graph,) = open_model(odd_models / "many_traces").meta_graphs
    names = loaded_names(graph.reader, graph.graph_spans, graph.place)
    assert names is not None and len(names) == graph.n_functions
    numbers = sorted(int(n.rpartition("_")[2]) for n in names.values())
    assert numbers[0] < 100 and numbers[-1] > 1000
    assert len(set(numbers)) == len(numbers)


# -- by hand ---------------------------------------------------------------------------


def entry(number: int, key: str, value: bytes) -> bytes:
    return sub(number, sub(1, key), sub(2, value))


def function(name: str, *calls: str) -> bytes:
    """A FunctionDef of a GraphDef's library that calls others."""
    nodes = [sub(3, sub(1, f"n{i}"), sub(2, c)) for i, c in enumerate(calls)]
    return sub(1, sub(1, sub(1, name)), *nodes)


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """A function that writes a saved_model.pb of these meta graphs' fields."""

    def write(*graphs: bytes) -> Path:
        data = b"\x08\x01" + b"".join(sub(2, g) for g in graphs)
        (tmp_path / "saved_model.pb").write_bytes(data)
        return tmp_path

    return write


def tags(*names: str) -> bytes:
    return sub(1, *(sub(4, name) for name in names))


def objects(*fields: bytes) -> bytes:
    return sub(7, *fields)


TENSOR = sub(52, sub(1, sub(33, sub(1, "x"), scalar(3, 1))))  # (TensorSpec([], name="x"),)
SIGNATURE = sub(3, sub(52, sub(1, TENSOR), sub(1, sub(53))))  # ((TensorSpec, ), {})


def test_signatures_line_by_line(written: Any) -> None:
    dims = sub(3, sub(2, scalar(1, -1)), sub(2, scalar(1, -7)), sub(2))
    inputs = [
        entry(1, "b", sub(1, "b:0") + scalar(2, 101) + dims),
        entry(1, "a", sub(4, sub(1, "values:0"), sub(2, "i:0"), sub(3, "d:0"))),
        entry(1, "c", sub(1, "c:0") + scalar(2, 77) + sub(3, scalar(3, 1))),
    ]
    path = written(tags("serve", "gpu", "serve") + entry(5, "k", b"".join(inputs)))
    text = ours(path, tag_set="gpu,serve", signature_def="k", list_ops=True)
    assert text == (
        "The MetaGraph with tag set ['serve', 'gpu', 'serve'] contains the following ops: "
        "set()\n"
        "The given SavedModel SignatureDef contains the following input(s):\n"
        "  inputs['a'] tensor_info:\n"
        "      dtype: DT_INVALID\n"
        "      shape: ()\n"
        "      name: \n"
        "  inputs['b'] tensor_info:\n"
        "      dtype: DT_FLOAT_REF\n"
        "      shape: (-1, -7, 0)\n"
        "      name: b:0\n"
        "  inputs['c'] tensor_info:\n"
        "      dtype: dtype 77\n"
        "      shape: unknown_rank\n"
        "      name: c:0\n"
        "The given SavedModel SignatureDef contains the following output(s):\n"
        "Method name is: \n"
    )
    assert ours(path) == (
        "The given SavedModel contains the following tag-sets:\n'gpu, serve, serve'\n"
    )


def test_what_is_not_there(written: Any) -> None:
    path = written(tags("serve") + entry(5, "k", b""), tags("train"))
    with pytest.raises(MissingError, match=r"no meta graph \{gpu\}; .*\{serve\} \{train\}"):
        ours(path, tag_set="gpu")
    with pytest.raises(MissingError, match=r'no signature "j" in \{serve\}\. It has: k'):
        ours(path, tag_set="serve", signature_def="j")
    with pytest.raises(MissingError, match="It has: none"):
        ours(path, tag_set="train", signature_def="j")


def test_blanks_around_tags(written: Any) -> None:
    path = written(tags(" serve"), tags("serve") + entry(5, "k", b""), tags())
    assert "SignatureDef key" not in ours(path, tag_set=" serve")  # as it stands, if there
    assert "SignatureDef key" in ours(path, tag_set="serve , ,")
    assert "SignatureDef key" not in ours(path, tag_set="")


def functions_of(path: Path) -> list[str]:
    """The lines after "Concrete Functions:"."""
    text = ours(path, all=True)
    return text[text.index("Concrete Functions:") :].splitlines()[1:]


def test_which_children_are_functions(written: Any) -> None:
    root = node(
        child(1, "f"), child(3, "v"), child(1, "both"), child(3, "both"), child(2, "bare"),
        child(1, "tensorflow_version"), child(0, "self"),
    )  # fmt: skip
    path = written(
        tags("serve")
        + objects(
            root,
            node(sub(6, sub(1, "a"))),
            node(sub(8, sub(1, "gone"), sub(2, "x"), sub(2, "y"))),
            node(sub(7)),
            concrete("a", SIGNATURE),
        )
    )
    assert functions_of(path) == [
        "  Function Name: 'bare'",
        "    Option #1",
        "      Callable with:",
        "        Argument #1",
        "          x",
        "        Argument #2",
        "          y",
        "",
        "  Function Name: 'f'",
        "    Option #1",
        "      Callable with:",
        "        Argument #1",
        "          x: TensorSpec(shape=(), dtype=tf.float32, name='x')",
    ]


def test_functions_that_cannot_be_loaded_stand_in_file_order(written: Any) -> None:
    b, a = (
        sub(3, sub(52, sub(1, sub(52, sub(1, sub(13, name)))), sub(1, sub(53))))
        for name in ("second", "first")
    )
    graph = objects(
        node(child(1, "f")), node(sub(6, sub(1, "f_9"), sub(1, "f_8"))),
        concrete("f_9", b), concrete("f_8", a),
    )  # fmt: skip
    for library in (
        function("f_9", "f_8") + function("f_8", "f_9"),  # in a circle
        function("f_9"),  # one that is not there
    ):
        path = written(tags("serve") + graph + sub(2, sub(2, library)))
        lines = [line.strip() for line in functions_of(path)]
        assert lines.index("second") < lines.index("first")
    library = function("f_9") + function("f_8")  # the last is loaded first
    path = written(tags("serve") + graph + sub(2, sub(2, library)))
    lines = [line.strip() for line in functions_of(path)]
    assert lines.index("first") < lines.index("second")


def test_tensors_and_foreign_specs_among_arguments(written: Any) -> None:
    # [5]: saved_model_cli prints a tensor's numbers, and needs a foreign class to be there.
    tensor = sub(55, scalar(1, 1) + sub(2, sub(2, scalar(1, 2))) + sub(4, b"\0" * 8))
    state = sub(52, sub(1, sub(31, sub(2, scalar(1, 4)))), sub(1, scalar(32, 3)))
    spec = sub(34, scalar(1, 12), sub(2, state), sub(3, "lib.ops.TwoSpec"))
    args = sub(52, sub(1, tensor), sub(1, spec))
    signature = sub(3, sub(52, sub(1, args), sub(1, sub(53))))
    graph = objects(node(child(1, "f")), node(sub(6, sub(1, "a"))), concrete("a", signature))
    assert functions_of(written(tags("serve") + graph))[3:] == [
        "        Argument #1",
        "          DType: EagerTensor",
        "          Value: <tf.Tensor: shape=(2,), dtype=float32>",
        "        Argument #2",
        "          DType: TwoSpec",
        "          Value: TwoSpec(TensorShape([4]), tf.int32)",
    ]


def test_a_damaged_object_graph_is_an_error(written: Any) -> None:
    f = node(sub(6, sub(1, "a")))
    for fields, message in [
        ([], "refers to object 0, of 0"),
        ([node(child(5, "f"))], "refers to object 5, of 1"),
        ([node(child(1, "f")), f, concrete("a")], "holds no value"),
    ]:
        path = written(tags("serve") + objects(*fields))
        with pytest.raises(FormatError, match=message) as e:
            ours(path, all=True)
        assert e.value.place is not None and "object_graph_def" in e.value.place


def test_several_meta_graphs_cannot_be_listed(written: Any) -> None:
    path = written(tags("serve"), tags("train") + objects(node()))
    assert ours(path, all=True).endswith(f"\n{UNKNOWN}\n")
    path = written(tags("serve"), tags("train"))
    assert "Concrete Functions" not in ours(path, all=True)


def test_a_packed_list_of_types_counts(written: Any) -> None:
    # A While of three outputs: its types packed, one number of two bytes.
    types = sub(1, sub(6, varint(1), varint(300), varint(7)))
    body = sub(3, sub(1, "w"), sub(2, "While"), entry(5, "T", types))
    library = sub(1, sub(1, sub(1, "__inference_f_4")), body) + function("plain")
    path = written(tags("serve") + sub(2, sub(2, library)))
    (graph,) = open_model(path).meta_graphs
    assert loaded_names(graph.reader, graph.graph_spans, graph.place) == {
        "plain": "__inference_plain_3",
        "__inference_f_4": "__inference_f_8",
    }
