"""The rules of TensorFlow Serving and of Triton that snippets are held against, held themselves."""
from __future__ import annotations

from typing import Any

import pytest

from fastsm.views import TensorInfo

from . import triton_config
from .serving_json import Refused, Tensor, check_answer, examples, parsed, tensors

ONE = {"x": "float32"}
TWO = {"x": "float32", "ids": "int64"}


@pytest.mark.parametrize(
    "body, dtypes, wanted",
    [
        ('{"instances": [1, 2.5]}', ONE, {"x": Tensor("float32", (2,), [1.0, 2.5])}),
        ('{"inputs": [[1]]}', ONE, {"x": Tensor("float32", (1, 1), [1.0])}),
        ('{"inputs": 3}', {"x": "int32"}, {"x": Tensor("int32", (), [3])}),
        ('{"inputs": {"b64": "aGk="}}', {"b64": "string"}, {"b64": Tensor("string", (), [b"hi"])}),
        ('{"instances": [{"b64": "aGk="}]}', {"x": "string"},
         {"x": Tensor("string", (1,), [b"hi"])}),
        ('{"instances": [{"x": [1], "ids": 2}]}', TWO,
         {"x": Tensor("float32", (1, 1), [1.0]), "ids": Tensor("int64", (1,), [2])}),
        ('{"inputs": {"x": [], "ids": [2]}}', TWO,
         {"x": Tensor("float32", (0,), []), "ids": Tensor("int64", (1,), [2])}),
    ],
)  # fmt: skip
def test_requests_are_read(body: str, dtypes: dict[str, str], wanted: dict[str, Tensor]) -> None:
    assert tensors(parsed(body), dtypes)[1] == wanted


@pytest.mark.parametrize(
    "body, dtypes",
    [
        ("[]", ONE),
        ('{"instances": []}', ONE),
        ('{"instances": [1], "inputs": [1]}', ONE),
        ("{}", ONE),
        ('{"inputs": [1]}', {}),
        ('{"instances": [1]}', TWO),
        ('{"instances": [{"x": 1}]}', TWO),
        ('{"instances": [{"x": 1, "ids": 1, "more": 1}]}', TWO),
        ('{"instances": [{"x": 1, "ids": 1}, {"x": [1], "ids": 1}]}', TWO),
        ('{"inputs": [1]}', TWO),
        ('{"inputs": {"x": 1}}', TWO),
        ('{"inputs": [[1], [1, 2]]}', ONE),
        ('{"inputs": [[1], 1]}', ONE),
        ('{"inputs": ["1"]}', ONE),
        ('{"inputs": [true]}', ONE),
        ('{"inputs": [16777217]}', ONE),
        ('{"inputs": [1.0]}', {"x": "int32"}),
        ('{"inputs": [3000000000]}', {"x": "int32"}),
        ('{"inputs": [-1]}', {"x": "uint64"}),
        ('{"inputs": [1]}', {"x": "bool"}),
        ('{"inputs": [0.5]}', {"x": "float16"}),
        ('{"inputs": [1]}', {"x": "uint16"}),
        ('{"inputs": [{"b64": "?"}]}', {"x": "string"}),
        ('{"inputs": [{"b64": "aGk=", "y": 1}]}', {"x": "string"}),
    ],
)
def test_requests_are_refused(body: str, dtypes: dict[str, str]) -> None:
    with pytest.raises(Refused):
        tensors(parsed(body), dtypes)


def test_examples_are_read_by_the_kind_of_their_values() -> None:
    body = '{"examples": [{"a": 1, "b": [0.5, 1.5], "c": ["x", {"b64": "aGk="}], "d": true}]}'
    assert examples(parsed(body)) == [
        {
            "a": ("int64_list", [1]),
            "b": ("float_list", [0.5, 1.5]),
            "c": ("bytes_list", [b"x", b"hi"]),
            "d": ("int64_list", [1]),
        }
    ]
    for refused in ('{"examples": []}', '{"examples": [{"a": [1, 0.5]}]}', '{"examples": [[1]]}'):
        with pytest.raises(Refused):
            examples(parsed(refused))


def test_answers_in_rows_have_one_batch() -> None:
    one, other = ("float32", (2, 3)), ("float32", (3,))
    check_answer("row", {"a": one, "b": ("string", (2,))})
    check_answer("columnar", {"a": one, "b": other, "c": ("int64", ())})
    for wrong in ({"a": one, "b": other}, {"a": ("int64", ())}, {"a": ("complex64", (2,))}, {}):
        with pytest.raises(Refused):
            check_answer("row", wrong)


# -- Triton ------------------------------------------------------------------------------


class Signature:
    def __init__(self) -> None:
        self.inputs = {"x": info(1, [-1, 4])}
        self.outputs = {"y": info(3, [-1]), "n": info(9, [])}


def info(dtype: int, dims: list[int]) -> TensorInfo:
    return TensorInfo({1: "t:0", 2: dtype, 3: {2: [{1: dim} for dim in dims]}})


GOOD = """
name: "m" platform: "tensorflow_savedmodel" max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] } ]
output [
  { name: "y" data_type: TYPE_INT32 dims: [ -1 ] },
  { name: "n" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
parameters { key: "TF_SIGNATURE_DEF" value { string_value: "key" } }
"""


def test_a_good_configuration_is_taken() -> None:
    signatures: Any = {"key": Signature()}
    triton_config.check(triton_config.parsed(GOOD), ["serve"], "key", signatures)


@pytest.mark.parametrize(
    "old, new",
    [
        ("tensorflow_savedmodel", "tensorflow_graphdef"),
        ('"key"', '"other"'),
        ("TF_SIGNATURE_DEF", "TF_GRAPH_TAG"),
        ('"x"', '"z"'),
        ('"y"', '"x"'),
        ("TYPE_FP32", "TYPE_FP64"),
        ("TYPE_INT32", "TYPE_STRING"),
        ("[ -1, 4 ]", "[ 4 ]"),
        ("[ -1, 4 ]", "[ -1, 5 ]"),
        ("[ -1, 4 ]", "[ ]"),
        ("[ -1, 4 ]", "[ 0, 4 ]"),
        ("reshape { shape: [ ] }", ""),
        ("max_batch_size: 0", "max_batch_size: 8"),
        ("dims: [ 1 ]", "dims: [ 2 ]"),
        ("TYPE_INT64", "TYPE_LONG"),
        ("max_batch_size", "max_batch"),
    ],
)
def test_a_bad_configuration_is_not(old: str, new: str) -> None:
    signatures: Any = {"key": Signature()}
    assert old in GOOD
    with pytest.raises(triton_config.Invalid):
        config = triton_config.parsed(GOOD.replace(old, new))
        triton_config.check(config, ["serve"], "key", signatures)
