"""`fastsm.clear_devices`: a model that asks for no device."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path, Tags


def clear_devices(
    path: Path, *, tags: Tags | None = None, **options: Unpack[Options]
) -> EditResult:
    """Take the devices out of a model, so that the loader places everything.

    A node that asks for ``/device:GPU:1`` cannot be run where there is none, and v1 and
    TensorFlow Serving refuse the model. Devices go from all nodes, those of functions too, and
    from the variables and resources of the object graph; what is placed beside what
    (``_class``) stays, and so do the values.

    Args:
        path: The model's folder.
        tags: The tag set of the one meta graph to do it to; else all.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Raises:
        UsageError: Neither ``out`` nor ``in_place`` nor ``dry_run``, or the first two.
        MissingError: No meta graph has these tags.
        FormatError: A graph is damaged.
        RefusedError: The model changed, or is not one to edit.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.clear_devices("examples/ranker/1", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', devices: {...} -> {})
    """
    return one(Edit(path, **options), "clear_devices", tags=tags)
