"""`fastsm.remove_meta_graph` and `fastsm.extract_meta_graph`: fewer meta graphs."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path, Tags


def remove_meta_graph(
    path: Path, *tag_sets: Tags, all_meta_graphs: bool = False, **options: Unpack[Options]
) -> EditResult:
    """Take meta graphs out of a model.

    Their bytes go, the assets that no other meta graph lists, and the variables that no other
    needs: none that one restores in a session, and none of the checkpoint's own object graph
    where one of them has objects. Where that cannot be told all variables stay, with a warning.

    Args:
        path: The model's folder.
        *tag_sets: The tag set of each.
        all_meta_graphs: All that have such a tag set; without it there must be only one.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Raises:
        UsageError: No tag set; neither ``out`` nor ``in_place`` nor ``dry_run``.
        MissingError: No meta graph has one of them.
        AmbiguousError: Several have one of them.
        RefusedError: No meta graph would be left, or one that tf.saved_model.load could not
            restore; the model changed, or is not one to edit.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.remove_meta_graph("examples/tagger/1", "train", dry_run=True)
        EditResult(changed=True, ... tag_sets: [['train'], ['serve']] -> [['serve']], ...)
    """
    edit = Edit(path, **options)
    return one(edit, "remove_meta_graph", *tag_sets, all_meta_graphs=all_meta_graphs)


def extract_meta_graph(path: Path, tags: Tags, **options: Unpack[Options]) -> EditResult:
    """Keep one meta graph of a model: the one that loaders find by these tags.

    All others go, as by `remove_meta_graph`.

    Args:
        path: The model's folder.
        tags: Its tag set.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Raises:
        UsageError, RefusedError, CommitError: As `remove_meta_graph`.
        MissingError: No meta graph has these tags.

    Example:
        >>> import fastsm
        >>> fastsm.extract_meta_graph("examples/tagger/1", "serve", dry_run=True)
        EditResult(changed=True, ... tag_sets: [['train'], ['serve']] -> [['serve']], ...)
    """
    return one(Edit(path, **options), "extract_meta_graph", tags)
