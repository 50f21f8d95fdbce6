"""The requests with which TensorFlow Serving warms a model up, before it answers others.

A request that fails keeps the model from being served. They lie in a TFRecord file of
PredictionLog messages; what they ask for is read here, and never a tensor.
Source: tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc;
tensorflow_serving/apis/prediction_log.proto, inference.proto, model.proto;
tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

from .. import _core
from ..errors import CoreError, FastsmError, FormatError
from ..source import LEN, Reader, last, merged
from ..text import count, printable
from ..views import chosen, map_entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core import Field
    from ..source import Source, Spans
    from .draft import Draft

NAME = "assets.extra/tf_serving_warmup_requests"

#: What a request that names no signature asks for.
#: Source: tensorflow/cc/saved_model/signature_constants.h kDefaultServingSignatureDefKey.
SERVING_DEFAULT = "serving_default"

#: The server refuses a file with more. Source: WarmupConsts::kMaxNumRecords.
MAX_RECORDS = 1000

# Before a record its length and a checksum of that, behind it a checksum.
_HEADER, _FOOTER = 12, 4

CLASSIFY, REGRESS, MULTI, SESSION_RUN, PREDICT, STREAMED = (
    "classify", "regress", "multi-inference", "session-run", "predict", "streamed predict",
)  # fmt: skip

#: Of PredictionLog: the field of a log -> of what kind its requests are.
_LOGS = {2: CLASSIFY, 3: REGRESS, 4: MULTI, 5: SESSION_RUN, 6: PREDICT, 7: STREAMED}

# Field numbers: of a log, of a request, of ModelSpec, of Input.
_REQUEST = 1
_MODEL_SPEC, _TASKS = 1, 1
_SIGNATURE_NAME = 3
_INPUTS, _OUTPUT_FILTER = 2, 3
_EXAMPLE_LIST, _WITH_CONTEXT = 1, 2
_EXAMPLES, _CONTEXT = 1, 2


class Request:
    """A request of the file.

    Attributes:
        kind: "predict" or another of the six.
        signatures: The keys that it asks for: one, but several of multi-inference, and none of
            session-run, which names tensors.
    """

    def __init__(self, reader: Reader, kind: str, fields: list[Field]) -> None:
        self.kind = kind
        self._reader = reader
        self._fields = fields
        if kind == MULTI:
            specs = [
                merged(reader.fields([(start, end)], ""), _MODEL_SPEC)
                for start, end in merged(fields, _TASKS)
            ]
        else:
            specs = [merged(fields, _MODEL_SPEC)] if kind != SESSION_RUN else []
        self.signatures = [_name(reader, spec) for spec in specs]

    def inputs(self) -> dict[str, Spans]:
        """Of a request to predict: an input's name -> its TensorProto."""
        return map_entries(self._reader, self._fields, _INPUTS, "")

    def outputs(self) -> list[str]:
        """Of a request to predict: the outputs that it wants; none: all."""
        wanted = [f for f in self._fields if f.number == _OUTPUT_FILTER and f.wire == LEN]
        return [self._reader.text(f, "") for f in wanted]

    def examples(self) -> list[Spans]:
        """Of a request to classify, to regress or to do several: its Examples.

        A context comes before the Example that it is for: as one message, the Example's own
        features count. So the server makes them.
        Source: tensorflow_serving/servables/tensorflow/util.cc InputToSerializedExampleTensor.
        """
        reader = self._reader
        fields = reader.fields(merged(self._fields, _INPUTS), "")
        lists = chosen(fields, (_EXAMPLE_LIST, _WITH_CONTEXT))
        inner = reader.fields([(f.at, f.end) for f in lists], "")
        context = merged(inner, _CONTEXT) if lists and lists[0].number == _WITH_CONTEXT else []
        return [[*context, (f.at, f.end)] for f in inner if f.number == _EXAMPLES and f.wire == LEN]


def warnings(draft: Draft, gone: set[str]) -> list[str]:
    """What to say of requests that ask for signatures that are there no more."""
    try:
        source = draft.file(NAME)
        if source is None:
            return []
        found = list(signature_names(source))
    except FastsmError as e:
        return [f"{NAME} cannot be read ({e.problem}): it may ask for what is there no more"]
    n = sum(not gone.isdisjoint(names) for names in found)
    if not n:
        return []
    return [
        f"{NAME}: {count(n)} of {count(len(found))} requests ask for a signature that is there "
        "no more; TF Serving does not load a model whose warm-up fails"
    ]


def tensor_warnings(draft: Draft, key: str, side: str, name: str) -> list[str]:
    """What to say of requests that name an input of a signature, or want an output, that is
    called otherwise now.

    Args:
        side: "input" or "output".
    """
    try:
        source = draft.file(NAME)
        if source is None:
            return []
        found = [
            any(name in _tensors(request, side) for request in log if key in request.signatures)
            for log in requests(Reader(source, NAME))
        ]
    except FastsmError as e:
        return [f"{NAME} cannot be read ({e.problem}): it may name what is called otherwise now"]
    if not any(found):
        return []
    return [
        f"{NAME}: {count(sum(found))} of {count(len(found))} requests name the {side} "
        f'"{printable(name)}", which is called otherwise now; TF Serving does not load a model '
        "whose warm-up fails"
    ]


def _tensors(request: Request, side: str) -> Iterable[str]:
    """The inputs that a request to predict names, or the outputs that it wants."""
    if request.kind not in (PREDICT, STREAMED):
        return ()
    return request.inputs() if side == "input" else request.outputs()


def signature_names(source: Source) -> Iterator[set[str]]:
    """The signatures that each log asks for, of the first MAX_RECORDS.

    Raises FormatError where the file is damaged.
    """
    for log in requests(Reader(source, NAME)):
        yield {key for request in log for key in request.signatures}


def requests(reader: Reader, *, check: bool = False) -> Iterator[list[Request]]:
    """The requests of each log: one, but for streams. Of the first MAX_RECORDS.

    Args:
        check: Hold checksums, as the server does.

    Raises FormatError where the file is damaged.
    """
    for log in _logs(reader, check):
        yield [
            Request(reader, _LOGS[f.number], reader.fields([(start, end)], ""))
            for f in reader.fields(log, "")
            if f.wire == LEN and f.number in _LOGS
            for start, end in merged(reader.fields([(f.at, f.end)], ""), _REQUEST)
        ]


def _logs(reader: Reader, check: bool) -> Iterator[Spans]:
    """Where each PredictionLog lies, of the first MAX_RECORDS."""
    source = reader.source
    at = 0
    for _ in range(MAX_RECORDS):
        left = source.size - at
        if not left:
            return
        if left < _HEADER + _FOOTER:
            raise reader.error(CoreError("TRUNCATED", at, _HEADER + _FOOTER, left), "")
        n = int.from_bytes(source.read(at, 8), "little")
        if n > left - _HEADER - _FOOTER:
            raise reader.error(CoreError("TRUNCATED", at, n, left - _HEADER - _FOOTER), "")
        start, end = at + _HEADER, at + _HEADER + n
        if check:
            _check(reader, at, at + 8)
            _check(reader, start, end)
        yield [(start, end)]
        at = end + _FOOTER


def _check(reader: Reader, start: int, end: int) -> None:
    """Hold the checksum behind some bytes."""
    source = reader.source
    stored = int.from_bytes(source.read(end, 4), "little")
    if _core.crc32c_mask(_core.crc32c(source.read(start, end - start))) != stored:
        raise FormatError(reader.path, "holds a record whose checksum does not match", offset=start)


def _name(reader: Reader, spec: Spans) -> str:
    name = last(reader.fields(spec, ""), _SIGNATURE_NAME)
    return (reader.text(name, "") if name else "") or SERVING_DEFAULT
