"""Which ops and attributes a release of TensorFlow has.

Source: the op registries of its minor releases, in `fastsm.graph.op_releases`.
"""

from __future__ import annotations

from ..errors import UsageError
from ..graph import op_facts
from ..graph.op_releases import ATTRS_SINCE, GRAPH_DEF_VERSIONS, IGNORING, SINCE, UNTIL

#: The releases that are known, oldest first.
RELEASES = tuple(GRAPH_DEF_VERSIONS)


class Releases:
    """What one release has, and when the rest came and went.

    Args:
        version: The release, ``2.12`` or ``2.12.1``; None for all.

    Attributes:
        release: The minor release; None for all: an op counts as missing where the newest has
            it no more, or none has it.

    Raises UsageError for a release that is not known.
    """

    def __init__(self, version: str | None = None) -> None:
        self.release: str | None = None
        if version is not None:
            self.release = ".".join(version.split(".")[:2])
            if self.release not in RELEASES or not _is_patch(version.split(".")[2:]):
                raise UsageError(
                    "", f"{version!r} is no version of TensorFlow that fastsm knows",
                    hint=f"It knows {RELEASES[0]} to {RELEASES[-1]}.",
                )  # fmt: skip
        self._at = RELEASES.index(self.release or RELEASES[-1])
        self._ops = self._spans(SINCE, UNTIL)
        known = {*op_facts.PLAIN.split(), *op_facts.STATEFUL.split()}
        for names in op_facts.HANDLES.values():
            known.update(names.split())
        for op in known:
            self._ops.setdefault(op, (0, len(RELEASES) - 1))
        self._attrs: dict[str, dict[str, tuple[int, int]]] = {}
        for name, span in self._spans(ATTRS_SINCE, {}).items():
            op, _, attr = name.partition(".")
            self._attrs.setdefault(op, {})[attr] = span

    def _spans(self, since: dict[str, str], until: dict[str, str]) -> dict[str, tuple[int, int]]:
        """Name -> the first and the last release that has it, by their positions."""
        last = {name: r for r, names in until.items() for name in names.split()}
        first = {name: r for r, names in since.items() for name in names.split()}
        newest, oldest = RELEASES[-1], RELEASES[0]
        return {
            name: (
                RELEASES.index(first.get(name, oldest)), RELEASES.index(last.get(name, newest))
            )
            for name in first.keys() | last.keys()
        }  # fmt: skip

    @property
    def graph_def_version(self) -> int:
        """What the release gives as the version of the graphs that it writes."""
        return GRAPH_DEF_VERSIONS[RELEASES[self._at]]

    @property
    def name(self) -> str:
        """The release as people write it; of all the newest."""
        return f"TensorFlow {RELEASES[self._at]}"

    def is_known(self, op: str) -> bool:
        """Whether any release has an op."""
        return op in self._ops

    def lacks(self, op: str) -> str | None:
        """Why the release does not have an op that another has, in words; None: it does."""
        return self._words(self._ops.get(op))

    def lacking_attrs(self, op: str) -> dict[str, str]:
        """The attributes for which the release refuses an op, and why, in words."""
        return {} if self._at >= RELEASES.index(IGNORING) else self.later(op)

    def later(self, op: str) -> dict[str, str]:
        """The attributes that came to an op after the release, and when, in words."""
        spans = self._attrs.get(op, {})
        found = {attr: self._words(span) for attr, span in spans.items()}
        return {attr: words for attr, words in found.items() if words}

    def ops(self) -> set[str]:
        """The ops that the release has."""
        return {op for op, span in self._ops.items() if not self._words(span)}

    def _words(self, span: tuple[int, int] | None) -> str | None:
        if span is None or span[0] <= self._at <= span[1]:
            return None
        first, last = span
        if self._at < first:
            return f"came with TensorFlow {RELEASES[first]}"
        return f"is in TensorFlow up to {RELEASES[last]}"


def _is_patch(rest: list[str]) -> bool:
    """Whether what stands behind ``2.12`` in a version is the number of a patch, or nothing."""
    return not rest or (len(rest) == 1 and rest[0].isascii() and rest[0].isalnum())
