"""The job "examine": what the loaders make of models, through one worker."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastsm.proof.worker import Worker

from .conftest import ModelFactory
from .oracle import ROOT

Json = dict[str, Any]
Examine = Callable[..., Json]

SESSIONS = ["v1", "cc"]
LOADERS = ["v2", *SESSIONS]


@pytest.fixture
def examine(worker: Worker) -> Examine:
    """A model's path, the loader, tags -> what the job says of it."""

    def asked(path: Path, loader: str, *tags: str, **options: Any) -> Json:
        options = {"want": {"seed": 0}, "keep": worker.folder, **options}
        tag_set = list(tags or ["serve"])
        return worker.ask("examine", path=str(path), loader=loader, tags=tag_set, **options)

    return asked


def rows(answer: Json, id: str) -> list[Json]:
    """What a call returned for each set of inputs."""
    sets = answer["calls"][id]["sets"]
    assert sets and not any(one["failed"] for one in sets), sets
    return [one["rows"] for one in sets]


# -- composites ------------------------------------------------------------------------


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("v1_ragged", ["flat_values", "row_splits/0"]),
        ("v1_sparse", ["indices", "values", "dense_shape"]),
    ],
)
def test_composites_have_the_same_parts_in_every_loader(
    name: str, parts: list[str], loader: str, model: ModelFactory, examine: Examine
) -> None:
    call = examine(model(name), loader)["calls"]["signature:serving_default"]
    (alias,) = {n.partition("[")[0] for n in call["inputs"]}
    assert list(call["inputs"]) == [f"{alias}[{part}]" for part in parts]
    doubled = [f"doubled[{part}]" for part in parts]
    assert [n for n in call["outputs"] if n.startswith("doubled")] == doubled
    assert set(doubled) < set(call["sets"][0]["rows"])


@pytest.mark.parametrize("name", ["v1_ragged", "v1_sparse", "ragged_and_sparse"])
def test_loaders_agree_about_composites(
    name: str, model: ModelFactory, examine: Examine
) -> None:
    v2, v1, cc = (examine(model(name), loader) for loader in LOADERS)
    for id in cc["calls"]:
        assert rows(v2, id) == rows(v1, id) == rows(cc, id)


# -- state -----------------------------------------------------------------------------


def test_tables_hold_what_the_asset_says(model: ModelFactory, examine: Examine) -> None:
    v2, v1, cc = (examine(model("vocabulary"), loader, only=[]) for loader in LOADERS)
    assert {name: table["n"] for name, table in v2["tables"].items()} == {"table": 4, "counts": 2}
    assert v1["tables"] == cc["tables"]
    assert v1["tables"]["hash_table"] == v2["tables"]["table"]
    for answer in (v2, v1, cc):
        (asset,) = answer["assets"].values()
        assert asset["file"] == "assets/words.txt"


@pytest.mark.parametrize("loader", SESSIONS)
def test_a_table_that_nobody_initialises(
    loader: str, model: ModelFactory, examine: Examine
) -> None:
    answer = examine(model("no_init_op"), loader)
    assert answer["tables"] == {"hash_table": {"unreadable": "not initialised"}}
    (one, *_) = answer["calls"]["signature:serving_default"]["sets"]
    assert one["failed"] is not None and one["rows"] == {}


@pytest.mark.parametrize("name", ["dtypes", "two_signatures"])
def test_sessions_have_the_same_variables(
    name: str, model: ModelFactory, examine: Examine
) -> None:
    v2, v1, cc = (examine(model(name), loader, only=[])["variables"] for loader in LOADERS)
    assert v1 == cc and v1
    assert sorted(map(repr, v2.values())) == sorted(map(repr, v1.values()))


def test_a_table_that_a_function_makes(model: ModelFactory, examine: Examine) -> None:
    """A model that was loaded and saved again."""
    again, first = (
        [examine(model(name), loader, only=[])["tables"] for loader in LOADERS]
        for name in ("tables_again", "vocabulary")
    )
    for tables, made_first in zip(again, first, strict=True):
        assert list(map(repr, tables.values())) == list(map(repr, made_first.values()))


@pytest.mark.parametrize("loader", LOADERS)
def test_references_are_read(loader: str, model: ModelFactory, examine: Examine) -> None:
    """Of the same numbers as a model of resources, under the same names."""
    references, resources = (
        examine(model(f"train_and_serve_{kind}"), loader, "train", only=[])["variables"]
        for kind in ("ref", "resource")
    )
    assert references == resources and len(references) == 4


def test_slots_are_named_by_what_they_are_kept_for(
    model: ModelFactory, examine: Examine
) -> None:
    path = model("tf_keras_slots")
    names = ["optimizer/.slots/m/layer_with_weights-0/kernel", "no/such", "optimizer/.slots/x/y"]
    answer = examine(path, "v2", only=[], paths=names)
    variables = answer["variables"]
    assert "optimizer/.slots/m/layer-0/kernel" in variables
    assert answer["same"] == {names[0]: "optimizer/.slots/m/layer-0/kernel"}
    digests = {row["sha256"] for row in variables.values()}
    in_session = examine(path, "cc", only=[])["variables"]
    assert digests == {row["sha256"] for row in in_session.values()}


def test_a_variant_is_compared_by_what_it_serialises_to(
    model: ModelFactory, examine: Examine
) -> None:
    v2, v1, cc = (examine(model("tensor_list"), loader, only=[]) for loader in LOADERS)
    digests = [{row["sha256"] for row in answer["variables"].values()} for answer in (v2, v1, cc)]
    assert digests[0] == digests[1] == digests[2] and len(digests[0]) == 2


@pytest.mark.parametrize("loader", LOADERS)
def test_a_path_of_an_asset_is_what_lies_there(
    loader: str, model: ModelFactory, model_copy: ModelFactory, examine: Examine
) -> None:
    """Models lie in two folders: that alone is no difference, another file is one."""
    copy = model_copy("asset_names")
    first = examine(model("asset_names"), loader)
    second = examine(copy, loader)
    for part in ("variables", "assets"):
        assert first[part] == second[part]
    id = "signature:serving_default"
    assert rows(first, id) == rows(second, id)
    for file in (copy / "assets").rglob("*"):
        if file.is_file():
            file.write_text("other")
    third = examine(copy, loader)
    assert first["assets"] != third["assets"]
    if loader in SESSIONS:  # these have the paths in variables
        assert first["variables"] != third["variables"]


# -- calls -----------------------------------------------------------------------------


def test_what_is_not_asked_for_is_described_and_not_run(
    model: ModelFactory, examine: Examine
) -> None:
    answer = examine(model("two_signatures"), "v2", only=["signature:two"], state=False)
    ran = {id for id, call in answer["calls"].items() if call["sets"]}
    assert ran == {"signature:two"} and "signature:serving_default" in answer["calls"]
    assert "variables" not in answer


def test_a_session_that_remembers_says_so(model: ModelFactory, examine: Examine) -> None:
    """A callable trains: what ran before it does another thing after it."""
    answer = examine(model("two_signatures"), "v2", twice=True)
    assert not any(one["again"] for one in answer["calls"]["signature:two"]["sets"])
    answer = examine(model("two_signatures"), "v2", twice=True, only=["signature:two"])
    assert all(one["again"] for one in answer["calls"]["signature:two"]["sets"])


@pytest.mark.parametrize("loader", LOADERS)
def test_kept_inputs_are_run_again(loader: str, model: ModelFactory, examine: Examine) -> None:
    id = "signature:serving_default"
    before = examine(model("vocabulary"), loader)
    asked = {"id": id, "as": id, "inputs": {}, "sets": before["calls"][id]["sets"]}
    after = examine(model("vocabulary"), loader, want=None, calls=[asked, {**asked, "id": "gone"}])
    assert rows(after, id) == rows(before, id)
    assert after["calls"][id]["sets"][0]["inputs"] == before["calls"][id]["sets"][0]["inputs"]
    renamed = {**asked, "inputs": {"words": "gone"}}
    after = examine(model("vocabulary"), loader, want=None, calls=[renamed])
    failed = {"type": "InputError", "text": "no values for words"}
    assert after["calls"][id]["sets"][0]["failed"] == failed


@pytest.mark.parametrize("loader", SESSIONS)
def test_an_input_with_a_default_may_be_left_out(
    loader: str, model: ModelFactory, examine: Examine
) -> None:
    path = model("defaults")
    id = "signature:serving_default"
    before = examine(path, loader)["calls"][id]
    assert before["inputs"]["scale"]["optional"] and "optional" not in before["inputs"]["x"]
    sets = before["sets"][:1]
    left_out = {"id": id, "as": id, "inputs": {"scale": "gone"}, "sets": sets}
    after = examine(path, loader, want=None, calls=[left_out])
    assert rows(after, id)[0].keys() == {"y"}
    needed = {"id": id, "as": id, "inputs": {"x": "gone"}, "sets": sets}
    (one,) = examine(path, loader, want=None, calls=[needed])["calls"][id]["sets"]
    assert one["failed"]["text"] == "no values for x"


def test_a_default_argument_is_fed_where_it_is_left_out(
    model: ModelFactory, examine: Examine
) -> None:
    (id,) = [id for id in examine(model("defaults"), "v2", only=[])["calls"] if "serve(" in id]
    call = examine(model("defaults"), "v2", only=[id])["calls"][id]
    scale = call["inputs"]["scale"]
    left_out = {"id": id, "as": id, "inputs": {"scale": "gone"}, "sets": call["sets"][:1]}
    after = examine(model("defaults"), "v2", want=None, calls=[left_out])
    assert scale["optional"] and scale["default"]["shape"] == []
    assert rows(after, id)[0]["y"] != call["sets"][0]["rows"]["y"]


# -- placement -------------------------------------------------------------------------


@pytest.mark.parametrize("loader", LOADERS)
def test_all_of_it_runs_on_the_cpu(loader: str, model: ModelFactory, examine: Examine) -> None:
    placement = examine(model("devices"), loader)["placement"]
    assert list(placement["devices"]) == ["CPU:0"] and placement["devices"]["CPU:0"] > 3
    assert placement["elsewhere"] == {}


#: With a GPU that is not there, and kernels for it of Mul of floats and of Identity.
_PLACED = """
import json, sys
from tensorflow.core.framework import attr_value_pb2, graph_pb2, kernel_def_pb2, types_pb2
from fastsm.proof.child import opened
Kernel, Value = kernel_def_pb2.KernelDef, attr_value_pb2.AttrValue
floats = Kernel.AttrConstraint(name="T", allowed_values=Value(
    list=Value.ListValue(type=[types_pb2.DT_FLOAT])))
kernels = {
    "Mul": [Kernel(device_type="GPU", constraint=[floats]), Kernel(device_type="CPU")],
    "Identity": [Kernel(device_type="DEFAULT")],
}
opened._has_gpu = lambda: True
opened._kernels = lambda op: kernels.get(op, [])
graph = graph_pb2.GraphDef()
for name, op, dtype, device in json.load(sys.stdin):
    node = graph.node.add(name=name, op=op, device="/job:localhost/device:" + device)
    node.attr["T"].type = dtype
placement = opened.Placement(sys.argv[1], ["serve"])
placement.add([graph])
print(json.dumps(placement.told()))
"""


def test_why_an_op_is_not_on_the_gpu(model: ModelFactory) -> None:
    """The model "devices" has its "mul" on a CPU."""

    def placed(*nodes: tuple[str, str, int, str]) -> Json:
        done = subprocess.run(
            [sys.executable, "-c", _PLACED, model("devices")], input=json.dumps(nodes),
            capture_output=True, text=True, cwd=ROOT, check=True,
        )  # fmt: skip
        told: Json = json.loads(done.stdout)
        return told

    told = placed(
        ("a/mul", "Mul", 1, "CPU:0"), ("b", "Mul", 1, "GPU:0"), ("c", "Identity", 3, "CPU:0"),
        ("d", "Save", 1, "CPU:0"), ("_e", "_Send", 1, "CPU:0"),
    )  # fmt: skip
    assert told["devices"] == {"CPU:0": 4, "GPU:0": 1}
    assert told["elsewhere"] == {
        "Identity": "host", "Mul": "pinned by the model", "Save": "no kernel there",
    }  # fmt: skip
    told = placed(("a/other", "Mul", 1, "CPU:0"), ("a/whole", "Mul", 3, "CPU:0"))
    assert told["elsewhere"] == {"Mul": "no kernel there"}
