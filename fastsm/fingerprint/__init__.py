"""fingerprint.pb: what it says (here), whether that is true (`hashes`), and making it
true after an edit (`renew`).

A fingerprint holds five hashes of a model. An edit says which of them it touches: these
are computed anew, the others stay as they were, so that an old lie is not laundered.

Source: tensorflow/core/protobuf/fingerprint.proto (2.21). Which wheel writes which
variant was measured on 2.11 to 2.21.
"""

from __future__ import annotations

from ..source import VARINT, last, merged
from ..text import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..source import Reader

NAME = "fingerprint.pb"

#: The hashes by field number.
#: Source: tensorflow/core/protobuf/fingerprint.proto.
CHECKSUM, PROGRAM, SIGNATURES, OBJECTS, CHECKPOINT = 1, 2, 3, 4, 5
HASHES = {
    CHECKSUM: "saved_model_checksum",
    PROGRAM: "graph_def_program_hash",
    SIGNATURES: "signature_def_hash",
    OBJECTS: "saved_object_graph_hash",
    CHECKPOINT: "checkpoint_hash",
}
VERSION, UUID = 6, 7

#: No writer's fingerprint has a hundred bytes more than its hashes; a larger file is none.
MAX_SIZE = 1 << 16


class Fingerprint(Record):
    """What a fingerprint.pb says.

    Attributes:
        saved_model_checksum, graph_def_program_hash, signature_def_hash,
        saved_object_graph_hash, checkpoint_hash: The hashes; 0 when the file has none.
        producer: The version of the algorithm; None before TensorFlow 2.12, whose
            saved_model_checksum covers the graph alone.
        uuid: Drawn when the model was written; None before TensorFlow 2.19.
    """

    __slots__ = (*HASHES.values(), "producer", "uuid")

    saved_model_checksum: int
    graph_def_program_hash: int
    signature_def_hash: int
    saved_object_graph_hash: int
    checkpoint_hash: int
    producer: int | None
    uuid: str | None

    def __init__(self, reader: Reader) -> None:
        """Read it. Raises FormatError where it is damaged."""
        fields = reader.fields([(0, reader.source.size)], "")
        for number, name in HASHES.items():
            f = last(fields, number, VARINT)
            setattr(self, name, f.value if f else 0)
        version = merged(fields, VERSION)
        producer = last(reader.fields(version, "version"), 1, VARINT)
        self.producer = producer.value if producer else None
        uuid = last(fields, UUID)
        self.uuid = reader.text(uuid, "uuid") if uuid else None

    def hash(self, number: int) -> int:
        """The hash with this field number."""
        value: int = getattr(self, HASHES[number])
        return value

    @property
    def covers_graph_only(self) -> bool:
        """Whether field 1 is TensorFlow 2.11's graph_def_checksum."""
        return self.producer is None

    def to_dict(self) -> dict[str, object]:
        """64-bit hashes as strings: JSON numbers lose their last digits."""
        out: dict[str, object] = {n: str(getattr(self, n)) for n in HASHES.values()}
        out["producer"] = self.producer
        out["uuid"] = self.uuid
        return out
