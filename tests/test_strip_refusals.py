"""What strip refuses: each error names the culprit, says the way out, and nothing is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fastsm
from fastsm import FormatError, MissingError, RefusedError

from .conftest import ModelFactory
from .edits import stats, tree
from .faults import FAULTS, Messages, without


class Refusal(NamedTuple):
    spoil: Callable[[Messages], object]
    base: str
    error: type[fastsm.FastsmError]
    culprit: str
    way_out: str
    options: dict[str, Any]


REFUSALS: dict[str, Refusal] = {}


def refusal(
    base: str, error: type[fastsm.FastsmError], culprit: str, way_out: str = "", **options: Any
) -> Callable[[Callable[[Messages], object]], Callable[[Messages], object]]:
    """Enter a function that spoils a model, and what strip then says."""

    def enter(spoil: Callable[[Messages], object]) -> Callable[[Messages], object]:
        REFUSALS[spoil.__name__] = Refusal(spoil, base, error, culprit, way_out, options)
        return spoil

    return enter


def refused(path: Path, error: type[fastsm.FastsmError], **options: Any) -> str:
    """What strip says, however it is called; no byte and no time is another then."""
    before, beside = (tree(path), stats(path)), set(path.parent.iterdir())
    said = set()
    for how in ({"dry_run": True}, {"out": path.parent / "out"}, {"in_place": True}):
        with pytest.raises(error) as raised:
            fastsm.strip_training_graph(path, **how, **options)  # type: ignore[arg-type]
        assert type(raised.value) is error
        said.add(str(raised.value))
    assert (tree(path), stats(path)) == before and set(path.parent.iterdir()) == beside
    [words] = said
    return words


def first(messages: Any) -> Any:
    """The message of the first key."""
    return messages[min(messages)]


def body(function: Any, name: str) -> Any:
    """A node of a function."""
    [found] = [n for n in function.node_def if n.name == name]
    return found


# -- no signature ---------------------------------------------------------------------------


@refusal("no_signatures", RefusedError, "{serve} has no signature", "--level callables keeps")
def none(m: Messages) -> None:
    pass


@refusal(
    "two_signatures", RefusedError, "no signature of {serve} would stay", "keep a signature of it",
    drop_signatures=["serving_default", "two"],
)  # fmt: skip
def none_kept(m: Messages) -> None:
    pass


@refusal("v1_no_signatures", RefusedError, "no signature", "ive it one by fastsm add-signature")
def none_and_no_objects(m: Messages) -> None:
    pass


# -- what is to stay is not there -----------------------------------------------------------


@refusal("asset_field", FormatError, '"nowhere:0": no such node in the graph', "drop the signature")
def node_of_a_signature(m: Messages) -> None:
    first(m.graph.signature_def["serving_default"].outputs).name = "nowhere:0"


@refusal("asset_field", FormatError, '"nowhere": nothing in the graph', "--drop-signature KEY")
def input_of_a_node(m: Messages) -> None:
    m.node("LookupTableFindV2").input[1] = "nowhere"


@refusal("vocabulary", FormatError, "nowhere", "fastsm verify")
def function_of_a_node(m: Messages) -> None:
    name = first(m.graph.signature_def["serving_default"].outputs).name
    m.named(name).attr["f"].func.name = "nowhere"


@refusal("vocabulary", FormatError, "number 7, of 1", "")
def asset_of_an_object(m: Messages) -> None:
    [asset] = m.objects("asset")
    asset.asset.asset_file_def_index = 7


# -- what is restored is not known ----------------------------------------------------------


@refusal("two_signatures", RefusedError, "no constant", "fastsm verify")
def names_by_an_op(m: Messages) -> None:
    function = m.function("traced_restore")
    body(function, "RestoreV2/tensor_names").op = "MyStrings"


@refusal("two_signatures", RefusedError, "names for", "fastsm verify")
def fewer_names(m: Messages) -> None:
    names = body(m.function("traced_restore"), "RestoreV2/tensor_names")
    names.attr["value"].tensor.tensor_shape.dim[0].size -= 1


@refusal("two_signatures", RefusedError, "slices for", "fastsm verify")
def more_slices(m: Messages) -> None:
    slices = body(m.function("traced_restore"), "RestoreV2/shape_and_slices")
    slices.attr["value"].tensor.tensor_shape.dim[0].size += 1


@refusal("two_signatures", RefusedError, "lists no dtypes", "fastsm verify")
def no_dtypes(m: Messages) -> None:
    body(m.function("traced_restore"), "RestoreV2").attr["dtypes"].list.ClearField("type")


@refusal("v1_trained", RefusedError, "names for", "fastsm verify")
def fewer_names_in_the_main_graph(m: Messages) -> None:
    m.named("save/RestoreV2/tensor_names").attr["value"].tensor.tensor_shape.dim[0].size -= 1


@refusal("two_signatures", RefusedError, "is given the path of the checkpoint", "fastsm verify")
def restored_by_an_op_of_another(m: Messages) -> None:
    function = m.function("traced_restore")
    other = function.node_def.add(name="other", op="RestoreMine")
    other.input.append("file_prefix")
    function.control_ret["other"] = "other"
    function.signature.control_output.append("other")


# -- the checkpoint -------------------------------------------------------------------------


@refusal(
    "two_signatures", FormatError, "restores kernel/.ATTRIBUTES/VARIABLE_VALUE, and the "
    "checkpoint has no such tensor", "--drop-signature KEY",
)  # fmt: skip
def key_is_not_stored(m: Messages) -> None:
    m.rewrite(lambda b: b.keep_only(lambda key: not key.startswith(b"kernel/")))


@refusal("two_signatures", FormatError, "and there are no variables", "fastsm verify")
def no_variables(m: Messages) -> None:
    shutil.rmtree(m.path / "variables")


@refusal("v1_trained", FormatError, "and there are no variables", "fastsm verify")
def no_variables_of_a_session(m: Messages) -> None:
    shutil.rmtree(m.path / "variables")


@refusal("two_signatures", RefusedError, "the variable kernel (object", "fastsm verify says")
def variable_without_a_path(m: Messages) -> None:
    for node in m.graph.object_graph_def.nodes:
        without(node.children, *(c for c in node.children if c.local_name == "kernel"))


@refusal("two_signatures", FormatError, "variables.index", "")
def index_is_cut(m: Messages) -> None:
    file = m.path / "variables" / "variables.index"
    file.write_bytes(file.read_bytes()[:-9])


@refusal("two_signatures", FormatError, "checksum", "")
def index_is_flipped(m: Messages) -> None:
    file = m.path / "variables" / "variables.index"
    data = bytearray(file.read_bytes())
    data[12] ^= 1  # in the block of entries, of which then none is read
    file.write_bytes(data)


# -- what was asked for ---------------------------------------------------------------------


@refusal(
    "two_signatures", MissingError, 'no signature "tow"', "serving_default, two",
    keep_signatures=["tow"],
)  # fmt: skip
def unknown_signature(m: Messages) -> None:
    pass


@refusal("two_signatures", MissingError, 'no signature "third"', "two", drop_signatures=["third"])
def unknown_signature_to_drop(m: Messages) -> None:
    pass


@refusal(
    "two_signatures", MissingError, "no object kernl", "kernel", level="callables",
    keep_objects=["kernl"],
)  # fmt: skip
def unknown_object(m: Messages) -> None:
    pass


@refusal(
    "two_signatures", RefusedError, "kernel cannot be dropped", "--drop-signature",
    drop_objects=["kernel"],
)  # fmt: skip
def object_that_is_needed(m: Messages) -> None:
    pass


@refusal("two_signatures", MissingError, "{gpu}", "serve", tags="gpu")
def unknown_meta_graph(m: Messages) -> None:
    pass


@pytest.mark.parametrize("name", REFUSALS)
def test_it_is_refused(name: str, model_copy: ModelFactory) -> None:
    case = REFUSALS[name]
    messages = Messages(model_copy(case.base))
    case.spoil(messages)
    messages.write()
    words = refused(messages.path, case.error, **case.options)
    assert case.culprit in words
    assert case.way_out in words


@pytest.mark.parametrize("name", REFUSALS)
def test_no_half_of_a_strip_is_carried_out(name: str, model_copy: ModelFactory) -> None:
    """Who goes on in a block in which a strip failed gets nothing written: by then some of
    its splices may be in the draft."""
    case = REFUSALS[name]
    messages = Messages(model_copy(case.base))
    case.spoil(messages)
    messages.write()
    before = tree(messages.path)
    with pytest.raises(fastsm.UsageError, match="discarded"), fastsm.edit(
        messages.path, in_place=True, sync=False
    ) as e, pytest.raises(case.error):
        e.strip_training_graph(**case.options)
    assert tree(messages.path) == before


def test_a_file_that_is_no_model(model_copy: ModelFactory) -> None:
    file = model_copy("two_signatures") / "saved_model.pb"
    data = file.read_bytes()
    for spoilt in (data[:-9], data[: len(data) // 2], b"\xff" + data, data + b"\x0a\xff\xff\x7f"):
        file.write_bytes(spoilt)
        assert "saved_model.pb" in refused(file.parent, FormatError)


def test_a_shape_that_is_cut_short(model_copy: ModelFactory) -> None:
    file = model_copy("two_signatures") / "saved_model.pb"
    data = bytearray(file.read_bytes())
    data[data.index(b"_output_shapes") + len(b"_output_shapes") + 1] += 1  # the length of it
    file.write_bytes(data)
    words = refused(file.parent, FormatError, strip_debug=True)
    assert "byte " in words and "meta_graphs[0].graph_def" in words


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("level", ["serving", "callables"])
def test_a_reference_that_leads_nowhere_goes_or_is_refused(
    name: str, level: str, model_copy: ModelFactory, tmp_path: Path
) -> None:
    """What strip writes has no such reference; else nothing is written."""
    fault = FAULTS[name]
    messages = Messages(model_copy(fault.base))
    fault.make(messages)
    messages.write()
    path, out = messages.path, tmp_path / "out"
    before = tree(path), stats(path)
    del before[1][path.parent]
    try:
        fastsm.strip_training_graph(path, level=level, out=out, sync=False)
    except (FormatError, RefusedError):
        assert set(tmp_path.iterdir()) == {path}
    else:
        fastsm.strip_training_graph(out, level=level, out=tmp_path / "again", sync=False)
        assert tree(tmp_path / "again") == tree(out)
    after = tree(path), stats(path)
    del after[1][path.parent]
    assert after == before
