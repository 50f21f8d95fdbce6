"""Why TensorFlow did not do a job: its errors told apart, by its own words.

A model that this TensorFlow cannot load or run, for want of an op, a kernel or a device, is not
one that an edit has changed.
"""

from __future__ import annotations

import re

from ..text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is told of a message is cut here.
LIMIT = 300


class Failed(Exception):
    """A job that has no result.

    Attributes:
        kind: "error" (an exception), "abort" (its process ended) or "timeout".
        type: The exception's class, or how the process ended, ``SIGABRT``.
        text: The exception's message, or what was printed last.
    """

    def __init__(self, kind: str, type: str, text: str) -> None:
        super().__init__(kind, type, text)
        self.kind = kind
        self.type = type
        self.text = text

    def __str__(self) -> str:
        return self.words()

    @property
    def cause(self) -> str:
        """What was the matter.

        Returns:
            "custom-op": It takes an op that TensorFlow has not by itself.
            "python": It takes Python code, which no SavedModel holds.
            "kernel": An op has no kernel for the device, or for the dtype.
            "version": It is of a TensorFlow that this one cannot read.
            "variables": The values of variables cannot be restored.
            "files": Another file is not there.
            "device": A node is pinned to a device that is not there.
            "memory": There is not enough.
            "timeout": It took too long.
            "crash": The process ended.
            "other": See `text`.
        """
        return self._told()[0]

    def words(self) -> str:
        """One line for a person, safe to print: ``needs the op "Foo", which ...``."""
        return self._told()[1]

    def _told(self) -> tuple[str, str]:
        """`cause` and `words`."""
        if self.kind == "timeout":
            return "timeout", f"took too long: {self.text}"
        for cause, pattern, words in _KNOWN:
            if found := pattern.search(f"{self.type}: {self.text}"):
                parts = {
                    name: printable(part or "", LIMIT) for name, part in found.groupdict().items()
                }
                return cause, words.format(**parts, text=self._message())
        if self.kind == "abort":
            text = self._message()
            return "crash", f"ended TensorFlow's process ({self.type}){': ' if text else ''}{text}"
        return "other", f"{printable(self.type)}: {self._message()}".rstrip(": ")

    def _message(self) -> str:
        """The sentence of the message that says it; of what an abort printed, the last."""
        lines = list(_sentences(self.text))
        if self.kind == "abort":
            fatal = [line for line in lines if _FATAL.search(line)]
            lines = fatal[-1:] or lines[-1:]
        return printable(lines[0] if lines else "", LIMIT)


def _sentences(text: str) -> Iterator[str]:
    """The lines of a message, without the graph's and Python's stacks."""
    for line in text.splitlines():
        cut = _AROUND.sub("", line).strip()
        if cut and not _STACK.match(line):
            yield cut


#: What a line of a message may have around it: the head of a log line, the node, the function.
_AROUND = re.compile(
    r"^[A-Z]\d{4} [\d:.]+ +\d+ [\w./]+:\d+\] "
    r"|^\d{4}-\d\d-\d\d [\d:.]+: [A-Z] [\w./]+:\d+\] "
    r"|\{\{function_node [^}]*\}\} ?| ?\[Op:\w+\]( name: \S*)?$"
)

#: Lines that say where, not what.
_STACK = re.compile(
    r"Graph execution error:|Detected at node |Node: |<stack traces unavailable>"
    r"|Restoring from checkpoint failed\. |\t \[\[|  File |    |Traceback |Hint: |\*\*\* "
    r"| You may be trying to load on a different device"
)

#: What a process prints before it ends itself.
_FATAL = re.compile(r"Check failed: |terminate called|what\(\):|^Fatal Python error")


def _known(cause: str, pattern: str, words: str) -> tuple[str, re.Pattern[str], str]:
    return cause, re.compile(pattern, re.DOTALL), words


#: cause, what TensorFlow says of it, and what we do. The first that fits is it.
_KNOWN = [
    _known(
        "custom-op",
        r"Op type not registered '(?P<op>[^']*)'",
        'needs the op "{op}", which this TensorFlow has not (--import or --op-library)',
    ),
    _known(
        "python",
        r"'_UserObject' object has no attribute '(?P<name>[^']*)'",
        "needs a Python class with {name}, and none is registered (--import a module that does)",
    ),
    _known(
        "python",
        r"Could not find callback with key=(?P<key>\w+)",
        "calls a Python function ({key}), which no SavedModel holds",
    ),
    _known(
        "kernel",
        r"No OpKernel was registered to support Op '(?P<op>[^']*)'",
        'has no kernel here for the op "{op}"',
    ),
    _known(
        "kernel",
        r"Could not find device for node: \{\{node [^}]*\}\} = (?P<op>\w+)",
        'has no kernel here for the op "{op}"',
    ),
    _known("kernel", r"Dtype \w+ not supported", "has no kernel here: {text}"),
    _known(
        "device",
        r"(?:explicitly assigned to|required incompatible device) '?(?P<device>/[\w:/]+)",
        "is pinned to {device}, which is not there",
    ),
    _known("device", r"Cannot assign a device for operation", "is pinned to a device: {text}"),
    _known(
        "version",
        r"GraphDef (?:min consumer|producer) version|GraphDef disallows consumer version",
        "is of another TensorFlow: {text}",
    ),
    _known(
        "version",
        r"NodeDef (?P<how>missing|mentions) attrs? (?P<names>'[^']*'(?:, '[^']*')*) "
        r".*?Op<name=(?P<op>\w+)",
        'is of another TensorFlow: the op "{op}" is {how} attributes here ({names})',
    ),
    _known("version", r"No attr named '\w+' in NodeDef", "is of another TensorFlow: {text}"),
    _known(
        "version",
        r"invalid DataType enum|No encoder for object .*StructuredValue",
        "is of another TensorFlow: {text}",
    ),
    _known("version", r"^InvalidVersion: ", "is of another TensorFlow: {text}"),
    _known(
        "memory",
        r"OOM when allocating tensor with shape(?P<shape>\[[\d,]*\]) and type (?P<dtype>\w+)",
        "needs more memory than there is, for {dtype} {shape}",
    ),
    _known(
        "memory", r"^SIGKILL: ", "was ended by the system (SIGKILL), as it does for want of memory"
    ),
    _known(
        "memory",
        r"^(?:MemoryError|ResourceExhaustedError): |std::bad_alloc",
        "needs more memory than there is: {text}",
    ),
    # Of several variables another one is met first each time: none is named.
    _known(
        "variables",
        r"Could not find variable |variable was uninitialized|uninitialized value",
        "takes variables that loading gives no value",
    ),
    _known(
        "variables",
        r"Unsuccessful TensorSliceReader|is not a valid checkpoint|variables\.(?:data-|index)"
        r"|TensorBundle at |not found in checkpoint|Received incompatible tensor with shape",
        "cannot restore its variables: {text}",
    ),
    _known("files", r"No such file or directory", "lacks a file: {text}"),
]
