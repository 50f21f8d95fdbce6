"""`fastsm.strip_training_graph`: a model with only what serving needs, bit for bit."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Names, Options, Path, Tags, TagSets


def strip_training_graph(
    path: Path,
    *,
    level: str = "serving",
    keep_signatures: Names = (),
    drop_signatures: Names = (),
    keep_objects: Names = (),
    drop_objects: Names = (),
    keep_save: bool = False,
    strip_debug: bool = False,
    tags: Tags | None = None,
    drop_tags: TagSets = (),
    inference_only: bool = False,
    no_gradients: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Take out of a model what only training needs.

    Nodes, functions, objects, variables and assets go that nothing kept needs. What stays
    computes what it computed, bit for bit, in every loader; no byte of it is written anew but
    where it names what went. Stripping a stripped model changes nothing.

    Args:
        path: The model's folder.
        level: ``serving`` keeps the signatures and what they need. ``callables`` keeps every
            object and function too, but for optimizers, their slots, training functions, and
            the variables that only those use.
        keep_signatures: Keys of the only signatures to keep; without it all but the train op's.
        drop_signatures: Keys of signatures that go.
        keep_objects: Paths from the root (``optimizer.iterations``) to objects that stay.
        drop_objects: Paths to objects that go, with what is below them.
        keep_save: Keep the function or ops that write a checkpoint.
        strip_debug: Also take out what only people read: the shapes that were inferred
            (``_output_shapes``, ``_input_shapes``), and where in the Python code nodes come from.
        tags: Strip this meta graph alone; the others stay whole, and their variables.
        drop_tags: The tag sets of meta graphs that go altogether.
        inference_only: With ``callables``: functions traced with training=True go too.
        no_gradients: With ``callables``: the functions of custom gradients go; who asks for
            such a gradient gets an error, never another one.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Returns:
        ``before`` and ``after`` count nodes, functions, objects and variables; ``after`` also
        has what it ``keeps`` and ``drops`` by name, and ``notes``.

    Raises:
        UsageError: No such level; neither ``out`` nor ``in_place`` nor ``dry_run``.
        MissingError: No such signature, object or meta graph.
        RefusedError: A meta graph has no signature to keep; what is kept cannot be told from
            what goes, or lacks something; nothing was written.
        FormatError: The model is damaged where that has to be read.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> result = fastsm.strip_training_graph("examples/ranker/1", dry_run=True)
        >>> result.before["functions"], result.after["functions"]
        (6, 5)
    """
    return one(
        Edit(path, **options), "strip_training_graph", level=level,
        keep_signatures=keep_signatures, drop_signatures=drop_signatures,
        keep_objects=keep_objects, drop_objects=drop_objects, keep_save=keep_save,
        strip_debug=strip_debug, tags=tags, drop_tags=drop_tags,
        inference_only=inference_only, no_gradients=no_gradients,
    )  # fmt: skip
