"""Failures of TensorFlow told apart: by texts that it gave, and by models that it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fastsm.proof.failures import Failed
from fastsm.proof.worker import Worker

from .conftest import CORPUS, ModelFactory

#: (type, text) as TensorFlow 2.21 raised it; the cause and what is said of it.
TEXTS = {
    "an op that is not there": (
        "NotFoundError",
        "Op type not registered 'TRTEngineOp' in binary running on vm. Make sure the Op and "
        "Kernel are registered in the binary running in this process. Note that if you are ...",
        "custom-op",
        'needs the op "TRTEngineOp", which this TensorFlow has not (--import or --op-library)',
    ),
    "a class": (
        "AttributeError",
        "'_UserObject' object has no attribute 'add_slot'",
        "python",
        "needs a Python class with add_slot, and none is registered "
        "(--import a module that does)",
    ),
    "a function in Python": (
        "InvalidArgumentError",
        "Graph execution error:\n\nDetected at node PyFunc defined at (most recent call last):\n"
        "<stack traces unavailable>\nValueError: Could not find callback with key=pyfunc_0 in "
        "the registry.\nTraceback (most recent call last):\n\n  File \"/a/script_ops.py\", line "
        "257, in __call__\n    raise ValueError(\n\n\n\t [[{{node PyFunc}}]] [Op:__inference_f]",
        "python",
        "calls a Python function (pyfunc_0), which no SavedModel holds",
    ),
    "a kernel": (
        "InvalidArgumentError",
        "Restoring from checkpoint failed. This is most likely due to a mismatch between the "
        "current graph and the graph from the checkpoint. Original error:\n\nGraph execution "
        "error:\n\nDetected at node 'a/b' defined at (most recent call last):\nNode: 'a/b'\nNo "
        "OpKernel was registered to support Op 'BoostedTreesBucketize' used by {{node a/b}} "
        "with these attrs: [num_features=1]\nRegistered devices: [CPU]\nRegistered kernels:\n"
        "  <no registered kernels>\n\n\t [[a/b]]",
        "kernel",
        'has no kernel here for the op "BoostedTreesBucketize"',
    ),
    "a kernel of a dtype": (
        "InvalidArgumentError",
        "{{function_node __wrapped__RestoreV2_dtypes_1_device_/job:localhost/replica:0/task:0/"
        "device:CPU:0}} Dtype half not supported. [Op:RestoreV2]",
        "kernel",
        "has no kernel here: Dtype half not supported.",
    ),
    "a device": (
        "InvalidArgumentError",
        "Cannot assign a device for operation a: {{node a}} was explicitly assigned to "
        "/device:GPU:0 but available devices are [ /job:localhost/replica:0/task:0/device:CPU:0 "
        "]. Make sure the device specification refers to a valid device.\n\t [[a]]",
        "device",
        "is pinned to /device:GPU:0, which is not there",
    ),
    "a device of others": (
        "InvalidArgumentError",
        "Cannot assign a device for operation V/IsInitialized/VarIsInitializedOp: Could not "
        "satisfy explicit device specification '' because the node {{colocation_node V}} was "
        "colocated with a group of nodes that required incompatible device '/device:GPU:3'. "
        "All available devices [/job:localhost/replica:0/task:0/device:CPU:0]. \n",
        "device",
        "is pinned to /device:GPU:3, which is not there",
    ),
    "too new": (
        "ValueError",
        "GraphDef min consumer version 99999 above current version 2474 for TensorFlow 2.21.0.  "
        "Please upgrade TensorFlow.",
        "version",
        "is of another TensorFlow: GraphDef min consumer version 99999 above current version "
        "2474 for TensorFlow 2.21.0.  Please upgrade TensorFlow.",
    ),
    "a dtype": (
        "ValueError",
        "Converting GraphDef to Graph has failed with an error: 'AttrValue has invalid DataType "
        "enum: 29\n\t for attr 'dtype''",
        "version",
        "is of another TensorFlow: Converting GraphDef to Graph has failed with an error: "
        "'AttrValue has invalid DataType enum: 29",
    ),
    "attributes": (
        "InvalidArgumentError",
        "NodeDef missing attrs 'num_batch_threads', 'max_batch_size' from Op<name=BatchFunction; "
        "signature=in_tensors:, captured_tensors: -> out_tensors:; attr=f:func; ...>; NodeDef: "
        "{{node batch_func}}",
        "version",
        'is of another TensorFlow: the op "BatchFunction" is missing attributes here '
        "('num_batch_threads', 'max_batch_size')",
    ),
    "memory": (
        "ResourceExhaustedError",
        "OOM when allocating tensor with shape[1048576,1048576,100] and type float on /job:"
        "localhost/replica:0/task:0/device:CPU:0 by allocator mklcpu\n\t [[{{node a}}]]\nHint: "
        "If you want to see a list of allocated tensors when OOM happens, add ...",
        "memory",
        "needs more memory than there is, for float [1048576,1048576,100]",
    ),
    "checksum": (
        "DataLossError",
        "TensorBundle at /m/variables/variables shard 0 (8 bytes): Checksum does not match: "
        "stored 683723185 vs. calculated on the restored bytes 1643951254\n\t [[{{node R}}]]",
        "variables",
        "cannot restore its variables: TensorBundle at /m/variables/variables shard 0 (8 bytes):"
        " Checksum does not match: stored 683723185 vs. calculated on the restored bytes "
        "1643951254",
    ),
    "no variables": (
        "FailedPreconditionError",
        "Could not find variable w. This could mean that the variable has been deleted.\n\t [[]]",
        "variables",
        "takes variables that loading gives no value",
    ),
    "no asset": (
        "NotFoundError",
        "Graph execution error:\n\n/m/assets/voc.txt; No such file or directory\n\t [[{{node t/"
        "InitializeTableFromTextFileV2}}]]",
        "files",
        "lacks a file: /m/assets/voc.txt; No such file or directory",
    ),
    "anything else": (
        "InvalidArgumentError",
        "Graph execution error:\n\nDetected at node Reshape defined at (most recent call last):\n"
        '  File "<frozen runpy>", line 198, in _run_module_as_main\n\n  File "/a/z.py", line 1, '
        "in f\n\nInput to reshape is a tensor with 3 values, but the requested shape has 4\n"
        "\t [[{{node Reshape}}]] [Op:__inference_signature_wrapper_f_28]",
        "other",
        "InvalidArgumentError: Input to reshape is a tensor with 3 values, but the requested "
        "shape has 4",
    ),
    "nothing said": ("AssertionError", "", "other", "AssertionError"),
    "a bell": ("ValueError", "\x1b]0;x\x07", "other", "ValueError: \\x1b]0;x\\x07"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_errors(name: str) -> None:
    kind, text, cause, words = TEXTS[name]
    failed = Failed("error", kind, text)
    assert (failed.cause, failed.words()) == (cause, words)
    assert str(failed) == words


@pytest.mark.parametrize(
    ("type", "text", "cause", "words"),
    [
        (
            "SIGABRT",
            "2026-01-01 00:00:00.123: F tensorflow/core/framework/tensor.cc:852] Check failed: "
            "dtype() == expected_dtype (1 vs. 3)\n*** Check failure stack trace: ***\n    @  0x1\n",
            "crash",
            "ended TensorFlow's process (SIGABRT): Check failed: dtype() == expected_dtype "
            "(1 vs. 3)",
        ),
        (
            "SIGABRT",
            "terminate called after throwing an instance of 'std::bad_alloc'\n"
            "  what():  std::bad_alloc\n",
            "memory",
            "needs more memory than there is: what():  std::bad_alloc",
        ),
        (
            "SIGSEGV",
            "I0000 00:00:1795391130.4 5275 port.cc:153] oneDNN\nFatal Python error: "
            "Segmentation fault\n\nCurrent thread 0x00 (most recent call first):\n",
            "crash",
            "ended TensorFlow's process (SIGSEGV): Fatal Python error: Segmentation fault",
        ),
        ("SIGSEGV", "", "crash", "ended TensorFlow's process (SIGSEGV)"),
        ("SIGKILL", "", "memory",
         "was ended by the system (SIGKILL), as it does for want of memory"),
    ],
)  # fmt: skip
def test_aborts(type: str, text: str, cause: str, words: str) -> None:
    failed = Failed("abort", type, text)
    assert (failed.cause, failed.words()) == (cause, words)


def test_a_time_that_was_up() -> None:
    failed = Failed("timeout", "", "no answer in 600 s")
    assert (failed.cause, failed.words()) == ("timeout", "took too long: no answer in 600 s")


# -- TensorFlow's own ------------------------------------------------------------------


def failure(worker: Worker, path: Path, loader: str) -> Failed:
    """Why the model does not load, or else why its first call does not run."""
    options = {"want": {"seed": 0}, "state": False, "keep": worker.folder}
    try:
        answer = worker.ask("examine", path=str(path), loader=loader, tags=["serve"], **options)
    except Failed as failed:
        return failed
    sets = [one for call in answer["calls"].values() for one in call["sets"]]
    how = next(one["failed"] for one in sets if one["failed"])
    return Failed("error", how["type"], how["text"])


def without(what: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        for file in sorted(path.glob(what)):
            file.unlink()

    return damage


def edited(pattern: str, text: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        file = path / "saved_model.pbtxt"
        new, n = re.subn(pattern, text, file.read_text())
        assert n
        file.write_text(new)

    return damage


def flipped(path: Path) -> None:
    shard = path / "variables" / "variables.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[0] ^= 1
    shard.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "cause", "words"),
    [
        ("two_signatures", without("variables/*"), "variables", " variables"),
        ("two_signatures", flipped, "variables", "Checksum does not match"),
        ("vocabulary", without("assets/*"), "files", "lacks a file"),
        ("v1_pbtxt", edited(r"(producer: \d+)", r"\1 min_consumer: 99999"), "version",
         "min consumer version 99999"),
        ("v1_pbtxt", edited('op: "Placeholder"', 'op: "NoSuchOp"'), "custom-op", '"NoSuchOp"'),
        ("v1_pbtxt", edited('key: "dtype"', 'key: "dtyp"'), "version", "'dtyp"),
    ],
    ids=["no variables", "a bit", "no assets", "too new", "no such op", "attributes"],
)  # fmt: skip
@pytest.mark.parametrize("loader", ["v1", "cc"])
def test_a_model_that_is_damaged(
    name: str, damage: Callable[[Path], None], cause: str, words: str, loader: str,
    worker: Worker, model_copy: ModelFactory,
) -> None:  # fmt: skip
    path = model_copy(name)
    damage(path)
    failed = failure(worker, path, loader)
    assert failed.cause == cause, failed.text
    assert words in failed.words()


#: Models of others that TensorFlow refuses: where they start, by which loader, why.
REFUSED = [
    ("tensorflow_decision-forests__", "v2", "custom-op", "SimpleML"),
    ("tensorflow_decision-forests__", "cc", "custom-op", "SimpleML"),
    ("graphcore_tensorflow__testdata-tftrt", "v1", "custom-op", "TRTResource"),
    ("tensorflow_serving__testdata-tf_text", "v2", "custom-op", "ConstrainedSequence"),
    ("tensorflow_tfx__chicago_taxi-trained", "v1", "kernel", "BoostedTreesBucketize"),
    ("DJY160017_tensorflow__testdata-half_plus_two-2b", "v1", "version", "0.12.head"),
    ("graphcore_tensorflow__graphdef2mlir", "cc", "version", "BatchFunction"),
    ("triton-inference-server_server__no_config_no_batch", "v2", "variables", "matching files"),
    ("siddharthverma314_dads__policy", "v2", "variables", "incompatible tensor"),
]


@pytest.mark.parametrize(("name", "loader", "cause", "words"), REFUSED)
def test_a_model_of_others(
    name: str, loader: str, cause: str, words: str, worker: Worker
) -> None:
    found = sorted(CORPUS.glob(f"{name}*"))
    if not found:
        pytest.skip("no corpus: FASTSM_CORPUS names none")
    tags = ["serve", "tpu"] if "graphdef2mlir" in name else ["serve"]
    with pytest.raises(Failed) as caught:
        worker.ask(
            "examine", path=str(found[0]), loader=loader, tags=tags, only=[], keep=worker.folder
        )
    assert caught.value.cause == cause, caught.value.text
    assert words in caught.value.words()


@pytest.mark.parametrize("loader", ["v1", "cc"])
def test_a_model_that_pins_a_gpu_loads_all_the_same(
    loader: str, worker: Worker, model_copy: ModelFactory
) -> None:
    """Soft placement: without it a session refuses to."""
    path = model_copy("v1_pbtxt")
    edited(r'(op: "Var\w+")', r'\1 device: "/device:GPU:0"')(path)
    options = {"tags": ["serve"], "only": [], "keep": worker.folder}
    worker.ask("examine", path=str(path), loader=loader, **options)
