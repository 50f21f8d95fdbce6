"""What a strip is asked for."""

from __future__ import annotations

from ...errors import UsageError
from ...text import Record, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal

    Level = Literal["serving", "callables"]

#: Which part of a model stays; see `Request.level`.
LEVELS = ("serving", "callables")


class Request(Record):
    """What a strip is asked for.

    Args:
        path: The model, as errors name it.
        level: ``serving``: the signatures, and what they need. ``callables``: also all that
            `tf.saved_model.load` gives, but for what only training uses: optimizers, their
            slots, training functions, and variables that nothing else has.
        keep_signatures: The signatures that stay; none: all of them.
        drop_signatures: Signatures that go.
        keep_objects: Paths of objects that stay, with all below them.
        drop_objects: Paths of objects that go.
        keep_save: Whether the model can still be saved by a session (``Saver.save``).
        strip_debug: Whether shapes as the writer knew them go, and debug infos.
        tags: The tag set of the one meta graph to strip; None for all.
        drop_tags: Tag sets of meta graphs that go whole.
        inference_only: Whether functions as they were traced for training go: ``callables``.
        no_gradients: Whether functions that compute gradients go: ``callables``.

    Raises:
        UsageError: An option that the level has not, or two that contradict each other.
    """

    __slots__ = (
        "drop_objects", "drop_signatures", "drop_tags", "inference_only", "keep_objects",
        "keep_save", "keep_signatures", "level", "no_gradients", "strip_debug", "tags",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        level: str = "serving",
        keep_signatures: Iterable[str] = (),
        drop_signatures: Iterable[str] = (),
        keep_objects: Iterable[str] = (),
        drop_objects: Iterable[str] = (),
        keep_save: bool = False,
        strip_debug: bool = False,
        tags: str | Iterable[str] | None = None,
        drop_tags: Iterable[str | Iterable[str]] = (),
        inference_only: bool = False,
        no_gradients: bool = False,
    ) -> None:
        self.level = level
        self.keep_signatures = tuple(keep_signatures)
        self.drop_signatures = tuple(drop_signatures)
        self.keep_objects = tuple(keep_objects)
        self.drop_objects = tuple(drop_objects)
        self.keep_save = keep_save
        self.strip_debug = strip_debug
        self.tags = tags if tags is None or isinstance(tags, str) else frozenset(tags)
        self.drop_tags = tuple(
            tags if isinstance(tags, str) else frozenset(tags) for tags in drop_tags
        )
        self.inference_only = inference_only
        self.no_gradients = no_gradients
        problem = self._problem()
        if problem:
            raise UsageError(path, problem)

    def _problem(self) -> str:
        if self.level not in LEVELS:
            return f'no level "{printable(self.level)}"; levels are {", ".join(LEVELS)}'
        for what, keep, drop in (
            ("signature", self.keep_signatures, self.drop_signatures),
            ("object", self.keep_objects, self.drop_objects),
        ):
            both = sorted(set(keep).intersection(drop))
            if both:
                return f'the {what} "{printable(both[0])}" is to be kept and dropped'
        if self.level == "serving":
            for given, option in (
                (self.inference_only, "inference_only"),
                (self.no_gradients, "no_gradients"),
            ):
                if given:
                    return (
                        f"--{option.replace('_', '-')} ({option}) is for --level callables: "
                        "at serving no such function stays"
                    )
        return ""

    def arguments(self) -> dict[str, Any]:
        """What was asked for, beyond the defaults: JSON values, as a plan has them."""
        found: dict[str, Any] = {"level": self.level}
        for name in (
            "keep_signatures", "drop_signatures", "keep_objects", "drop_objects",
        ):  # fmt: skip
            if getattr(self, name):
                found[name] = list(getattr(self, name))
        for name in ("keep_save", "strip_debug", "inference_only", "no_gradients"):
            if getattr(self, name):
                found[name] = True
        if self.tags is not None:
            found["tags"] = _said(self.tags)
        if self.drop_tags:
            found["drop_tags"] = [_said(tags) for tags in self.drop_tags]
        return found


def _said(tags: str | frozenset[str]) -> str | list[str]:
    return tags if isinstance(tags, str) else sorted(tags)
