"""Why TensorFlow did not do a job: its errors, told apart."""

from __future__ import annotations

from ..text import printable


class Failed(Exception):
    """A job that has no result.

    Attributes:
        kind: "error" (an exception), "abort" (its process ended) or "timeout".
        type: The exception's class, or the signal.
        text: Its message, or what was printed last.
    """

    def __init__(self, kind: str, type: str, text: str) -> None:
        super().__init__(kind, type, text)
        self.kind = kind
        self.type = type
        self.text = text

    @property
    def cause(self) -> str:
        """ "custom-op", "kernel", "version", "variables", "device", "memory", "timeout", "crash"
        or "other"."""
        if self.kind == "timeout":
            return "timeout"
        if self.kind == "abort":
            return "crash"
        if "Op type not registered" in self.text:
            return "custom-op"
        return "other"

    def words(self) -> str:
        """One line for a person."""
        return printable(f"{self.type}: {self.text}".strip(), 300)
