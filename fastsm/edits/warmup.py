"""The requests with which TensorFlow Serving warms a model up, before it answers others.

A request that fails keeps the model from being served. They lie in a TFRecord file of
PredictionLog messages, of which only the signatures' names are read here.
Source: tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc;
tensorflow_serving/apis/prediction_log.proto, inference.proto, model.proto;
tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

from ..errors import CoreError, FastsmError
from ..source import LEN, Reader, last, merged
from ..text import count, printable
from ..views import map_entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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

# Field numbers: of PredictionLog, of its logs, of a request, of ModelSpec.
_CLASSIFY, _REGRESS, _MULTI, _PREDICT, _STREAMED = 2, 3, 4, 6, 7
_REQUEST = 1
_MODEL_SPEC, _TASKS = 1, 1
_SIGNATURE_NAME = 3
_INPUTS, _OUTPUT_FILTER = 2, 3


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
        reader = Reader(source, NAME)
        found = [name in _tensors(reader, log, key, side) for log in _logs(reader)]
    except FastsmError as e:
        return [f"{NAME} cannot be read ({e.problem}): it may name what is called otherwise now"]
    if not any(found):
        return []
    return [
        f'{NAME}: {count(sum(found))} of {count(len(found))} requests name the {side} '
        f'"{printable(name)}", which is called otherwise now; TF Serving does not load a model '
        "whose warm-up fails"
    ]


def _tensors(reader: Reader, log: Spans, key: str, side: str) -> set[str]:
    """The inputs of a signature that requests to predict name, or the outputs they want."""
    names: set[str] = set()
    for f in reader.fields(log, ""):
        if f.wire != LEN or f.number not in (_PREDICT, _STREAMED):
            continue
        for start, end in merged(reader.fields([(f.at, f.end)], ""), _REQUEST):
            fields = reader.fields([(start, end)], "")
            if _name(reader, merged(fields, _MODEL_SPEC)) != key:
                continue
            if side == "input":
                names.update(map_entries(reader, fields, _INPUTS, ""))
            else:
                wanted = [g for g in fields if g.number == _OUTPUT_FILTER and g.wire == LEN]
                names.update(reader.text(g, "") for g in wanted)
    return names


def signature_names(source: Source) -> Iterator[set[str]]:
    """The signatures that each request asks for, of the first MAX_RECORDS.

    Raises FormatError where the file is damaged.
    """
    reader = Reader(source, NAME)
    for log in _logs(reader):
        yield set(_named(reader, log))


def _logs(reader: Reader) -> Iterator[Spans]:
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
        yield [(at + _HEADER, at + _HEADER + n)]
        at += _HEADER + n + _FOOTER


def _named(reader: Reader, log: Spans) -> Iterator[str]:
    """The signatures' names in a PredictionLog; there is one, but for streams and tasks."""
    for f in reader.fields(log, ""):
        if f.wire != LEN or f.number not in (_CLASSIFY, _REGRESS, _MULTI, _PREDICT, _STREAMED):
            continue
        for request in reader.fields([(f.at, f.end)], ""):
            if request.wire != LEN or request.number != _REQUEST:
                continue
            fields = reader.fields([(request.at, request.end)], "")
            if f.number != _MULTI:
                yield _name(reader, merged(fields, _MODEL_SPEC))
                continue
            for start, end in merged(fields, _TASKS):
                yield _name(reader, merged(reader.fields([(start, end)], ""), _MODEL_SPEC))


def _name(reader: Reader, spec: Spans) -> str:
    name = last(reader.fields(spec, ""), _SIGNATURE_NAME)
    return (reader.text(name, "") if name else "") or SERVING_DEFAULT
