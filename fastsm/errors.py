"""Every error that fastsm raises, and the exit code of each.

    FastsmError                 exit
      UsageError      ValueError   2   the call is wrong
      FormatError     ValueError   3   not readable as what it should be
      MissingError    LookupError  4   what was asked for is not there
      AmbiguousError  LookupError  4   several things fit
      RefusedError    ValueError   5   could be done, but not rightly
      CommitError     OSError      6   the disk, or another writer
      UnsupportedError             7   a format or a kind that fastsm cannot do (yet)
      BackendMissingError          7   TensorFlow, or an optional package, is not installed
      InternalError               70   a bug of ours

An error's text is one line, ``<path>: <what is wrong> (byte 1,234, <place>)``,
and a hint on what to do next where there is one.
"""

from __future__ import annotations

from . import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal


class CoreError(Exception):
    """What csrc/ reports: a kind and numbers, not yet an error for a person.

    Never reaches a user: the room that called the core knows the path and the
    place, and raises a FormatError or a CommitError with them.

    Attributes:
        kind: The name of the fsm_status, without its prefix: "TRUNCATED", "UTF8", ...
        offset: The byte of the source where it was seen.
        need, have: What csrc/fsm_base.h says for the kind.
    """

    def __init__(self, kind: str, offset: int, need: int, have: int) -> None:
        super().__init__(kind, offset, need, have)
        self.kind = kind
        self.offset = offset
        self.need = need
        self.have = have

    def __str__(self) -> str:
        words = _CORE_WORDS.get(self.kind, self.kind)
        return words.format(need=text.count(self.need), have=text.count(self.have))


_CORE_WORDS = {
    "IO": "cannot be read: errno {need}",
    "CHANGED": "became shorter while it was read",
    "TRUNCATED": "needs {need} bytes where {have} are left",
    "VARINT": "holds a number of more than ten bytes",
    "TAG": "holds no protobuf field here",
    "WIRE": "holds a field of a wire type that protobuf has not",
    "GROUP": "holds a group that does not begin or end",
    "DEPTH": "nests messages deeper than {need}",
    "UTF8": "holds a string that is not UTF-8",
    "LIMIT": "goes past a limit of fastsm ({need})",
    "INVALID": "holds a value that its field cannot have",
    "MAGIC": "is not a table: its last eight bytes are not a table's magic number",
    "HANDLE": "points at a block outside the file",
    "BLOCK": "holds a block whose entries do not fit",
    "RESTARTS": "holds a block whose restart array is broken",
    "CRC": "holds a block whose checksum does not match",
    "SNAPPY": "holds a compressed block that does not decode",
    "ORDER": "holds keys that do not ascend",
}


class FastsmError(Exception):
    """The base of all errors of fastsm.

    Attributes:
        path: The model or the file it is about, as the caller named it; may be "".
        problem: What is wrong, one sentence without a full stop.
        offset: The byte of the file where it was seen, or None.
        place: The field, as ``meta_graphs[0].signature_def["serving_default"]``, or None.
        hint: What the user can do next, or None.
        exit_code: What the command line exits with.
    """

    exit_code = 70
    _extra: tuple[str, ...] = ()

    def __init__(
        self,
        path: str,
        problem: str,
        *,
        offset: int | None = None,
        place: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.path = path
        self.problem = problem
        self.offset = offset
        self.place = place
        self.hint = hint
        super().__init__(path, problem)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))

    def __str__(self) -> str:
        where = []
        if self.offset is not None:
            where.append(f"byte {text.count(self.offset)}")
        if self.place:
            where.append(self.place)
        head = f"{text.printable(self.path, None)}: " if self.path else ""
        line = head + self.problem
        if where:
            line += f" ({', '.join(where)})"
        return f"{line}\n  {self.hint}" if self.hint else line

    def to_dict(self) -> dict[str, Any]:
        """The error as the ``error`` object that ``--json`` prints."""
        out: dict[str, Any] = {"type": type(self).__name__, "exit_code": self.exit_code}
        for name in ("path", "problem", "offset", "place", "hint", *self._extra):
            value = getattr(self, name)
            if value is not None:
                out[name] = text.one_line(value) if isinstance(value, str) else value
        return out


def _rebuild(cls: type[FastsmError], state: dict[str, Any]) -> FastsmError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = (state["path"], state["problem"])
    return error


class UsageError(FastsmError, ValueError):
    """The call itself is wrong: an option, an argument, a combination of them."""

    exit_code = 2


class FormatError(FastsmError, ValueError):
    """The bytes are not what they should be; says which byte and which field."""

    exit_code = 3


class MissingError(FastsmError, LookupError):
    """What was asked for is not there; the text lists what is."""

    exit_code = 4


class AmbiguousError(FastsmError, LookupError):
    """Several things fit what was asked for; the text lists them."""

    exit_code = 4


class RefusedError(FastsmError, ValueError):
    """An edit that cannot be done rightly, or not safely; nothing was written."""

    exit_code = 5


class CommitError(FastsmError, OSError):
    """Writing failed.

    Attributes:
        on_disk: "old" or "new": which model a reader finds at the path now; "none" where there
            was none, and is none.
    """

    exit_code = 6
    _extra = ("on_disk",)

    def __init__(
        self,
        path: str,
        problem: str,
        *,
        on_disk: Literal["old", "new", "none"],
        offset: int | None = None,
        place: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(path, problem, offset=offset, place=place, hint=hint)
        self.errno = None  # OSError took its two arguments for number and text
        self.filename = path
        self.on_disk = on_disk

    def __str__(self) -> str:
        line, *rest = super().__str__().split("\n", 1)
        return "\n".join([f"{line}. {left(self.on_disk)}", *rest])


def left(on_disk: str) -> str:
    """Which model a commit that failed left, in words."""
    if on_disk == "none":
        return "No model was written."
    return f"The model on disk is the {on_disk} one."


class UnsupportedError(FastsmError):
    """A format, a file kind or a request that fastsm cannot handle."""

    exit_code = 7


class BackendMissingError(FastsmError):
    """TensorFlow or an optional package is needed and not installed; names the extra."""

    exit_code = 7


class InternalError(FastsmError):
    """A bug in fastsm: the text asks for a report."""

    exit_code = 70
