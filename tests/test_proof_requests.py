"""What the child is told to feed: warm-up requests, the names of an npz file."""

from __future__ import annotations

import base64
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm import _core
from fastsm.proof import requests

from .conftest import ModelFactory
from .oracle import ROOT
from .wire import delimited, entry

RANKER = ROOT / "examples" / "ranker" / "1"
PREDICT, CLASSIFY, REGRESS, MULTI, SESSION_RUN, STREAMED = 6, 2, 3, 4, 5, 7


def spec(key: str) -> bytes:
    return delimited(1, delimited(1, b"model") + delimited(3, key.encode()))


def record(log: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = len(log).to_bytes(8, "little")
    crcs = [_core.crc32c_mask(_core.crc32c(data)).to_bytes(4, "little") for data in (length, log)]
    return length + crcs[0] + log + crcs[1]


def predict(key: str, number: int = PREDICT, **tensors: bytes) -> bytes:
    inputs = b"".join(entry(2, name, data) for name, data in tensors.items())
    return delimited(number, delimited(1, spec(key) + inputs))


def example(name: str) -> bytes:
    """An Example of one feature without values."""
    return delimited(1, entry(1, name, b""))


def examples(*kept: bytes, context: bytes | None = None) -> bytes:
    """An Input."""
    listed = b"".join(delimited(1, data) for data in kept)
    if context is None:
        return delimited(1, listed)
    return delimited(2, listed + delimited(2, context))


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RANKER, tmp_path / "ranker"))


def want(path: Path, data: bytes | None = None, **how: Any) -> tuple[Any, list[str]]:
    if data is not None:
        (path / "assets.extra").mkdir(exist_ok=True)
        (path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(data)
    model = fastsm.open(path)
    assert isinstance(model, fastsm.SavedModel)
    return requests.want(model, **how)


def decoded(inputs: Any) -> Any:
    def value(kept: Any) -> Any:
        if "tensor" in kept:
            return base64.b64decode(kept["tensor"])
        return [base64.b64decode(s) for s in kept["strings"]]

    return {name: value(kept) for name, kept in inputs.items()}


def test_a_model_without_requests(ranker: Path) -> None:
    assert want(ranker, seed=7) == ({"seed": 7, "requests": {}}, [])


def test_requests_to_predict(ranker: Path) -> None:
    data = record(predict("rank", user=b"U", item=b"")) + record(predict("", item=b"I"))
    wanted, notes = want(ranker, data + record(predict("rank", STREAMED, user=b"S")))
    assert notes == []
    first, third = wanted["requests"]["rank"]
    assert (first["name"], third["name"]) == ("warm-up request 1", "warm-up request 3")
    assert decoded(first["inputs"]) == {"user": b"U", "item": b""}
    assert decoded(third["inputs"]) == {"user": b"S"}
    [second] = wanted["requests"]["serving_default"]
    assert decoded(second["inputs"]) == {"item": b"I"}


def test_examples_of_requests_to_classify_and_to_regress(ranker: Path) -> None:
    one, two, context = example("one"), example("two"), example("both")
    logs = [
        delimited(CLASSIFY, delimited(1, spec("rank") + delimited(2, examples(one, two)))),
        delimited(
            REGRESS, delimited(1, spec("rank") + delimited(2, examples(one, context=context)))
        ),
        delimited(
            REGRESS, delimited(1, spec("rank") + delimited(2, examples(one, two, context=b"")))
        ),
    ]
    wanted, notes = want(ranker, b"".join(map(record, logs)))
    assert notes == []
    assert [decoded(r["inputs"]) for r in wanted["requests"]["rank"]] == [
        {"inputs": [one, two]}, {"inputs": [context + one]}, {"inputs": [one, two]},
    ]  # fmt: skip


def test_several_tasks_of_one_request(ranker: Path) -> None:
    tasks = b"".join(
        delimited(1, spec(key) + delimited(2, b"tensorflow/serving/regress"))
        for key in ("rank", "serving_default")
    )
    log = delimited(MULTI, delimited(1, tasks + delimited(2, examples(example("x")))))
    wanted, notes = want(ranker, record(log))
    assert notes == []
    assert list(wanted["requests"]) == ["rank", "serving_default"]
    for [request] in wanted["requests"].values():
        assert decoded(request["inputs"]) == {"inputs": [example("x")]}


def test_what_is_not_used_is_said(ranker: Path) -> None:
    logs = [
        predict("gone"), predict("rank"), predict("gone"),
        delimited(SESSION_RUN, delimited(1, spec("rank"))),
        *[predict("serving_default")] * 20,
    ]  # fmt: skip
    wanted, notes = want(ranker, b"".join(map(record, logs)))
    assert notes == [
        '2 warm-up requests not used: they ask for the signature "gone", which is not there',
        "1 warm-up request not used: they name tensors and no signature",
        'of signature "serving_default" 16 of 20 warm-up requests are used',
    ]
    assert {key: len(of) for key, of in wanted["requests"].items()} == {
        "rank": 1, "serving_default": 16,
    }  # fmt: skip


def test_a_damaged_file_is_used_as_far_as_it_is_whole(ranker: Path) -> None:
    whole = record(predict("rank", user=b"U"))
    for damaged in (whole[:-1], whole[:5], whole[:12] + b"X" + whole[13:], b"X" + whole[1:]):
        wanted, notes = want(ranker, whole + damaged)
        assert len(wanted["requests"]["rank"]) == 1
        assert len(notes) == 1 and "warmup_requests is used up to request 1: it " in notes[0]
    wanted, [note] = want(ranker, b"no records at all")
    assert wanted["requests"] == {} and "is not used: it " in note
    for n in range(len(whole)):
        want(ranker, whole[:n])


def test_a_folder_in_place_of_the_file(ranker: Path) -> None:
    (ranker / "assets.extra" / "tf_serving_warmup_requests").mkdir(parents=True)
    assert "is not used" in want(ranker)[1][0]


@pytest.mark.tensorflow
def test_requests_that_tensorflow_wrote(model: ModelFactory) -> None:
    wanted, notes = want(model("warmup"))
    assert notes == []
    assert {key: len(of) for key, of in wanted["requests"].items()} == {
        "serving_default": 2, "around": 1,
    }  # fmt: skip
    assert sorted(wanted["requests"]["serving_default"][0]["inputs"]) == [
        "base", "high", "label", "low", "shift",
    ]  # fmt: skip


# -- an npz file -----------------------------------------------------------------------


def npz(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", b"")
    return path


@pytest.mark.parametrize("name", ["user", "rank/user", "user[values]", "callable:f(x)/x"])
def test_names_of_inputs(ranker: Path, tmp_path: Path, name: str) -> None:
    path = npz(tmp_path / "given.npz", name)
    assert want(ranker, inputs=str(path))[0]["inputs"] == str(path)


@pytest.mark.parametrize("name", ["usr", "rank/usr", "order/user", "usr[values]"])
def test_names_of_no_input(ranker: Path, tmp_path: Path, name: str) -> None:
    path = npz(tmp_path / "given.npz", "user", name)
    with pytest.raises(fastsm.UsageError) as caught:
        want(ranker, inputs=str(path))
    assert caught.value.problem == f"{name} is no input of a signature"
    assert "user" in str(caught.value.hint)


def test_what_is_no_npz_file(ranker: Path, tmp_path: Path) -> None:
    whole = io.BytesIO(npz(tmp_path / "given.npz", "user").read_bytes()).getvalue()
    for data in (b"", b"hello", whole[: len(whole) // 2]):
        (tmp_path / "bad.npz").write_bytes(data)
        with pytest.raises(fastsm.UsageError, match="is no npz file"):
            want(ranker, inputs=str(tmp_path / "bad.npz"))
    with pytest.raises(fastsm.UsageError, match="cannot be read: No such file"):
        want(ranker, inputs=str(tmp_path / "gone.npz"))
