"""How many outputs an op of TensorFlow has."""

from __future__ import annotations

from . import op_types

_known: dict[str, tuple[int, tuple[str, ...]]] = {}


def op_outputs() -> dict[str, tuple[int, tuple[str, ...]]]:
    """Op -> its outputs of one tensor each, and the attributes that number or list the others;
    of those, one that a node leaves out is 0 or an empty list."""
    if not _known:
        for words, ops in op_types.OUTPUTS.items():
            outputs = words.split()
            several = tuple(
                word[1:] if word.startswith("*") else word.partition(":")[0]
                for word in outputs if word.startswith("*") or ":" in word
            )  # fmt: skip
            known = len(outputs) - len(several), several
            _known.update(dict.fromkeys(ops.split(), known))
    return _known
