"""`fastsm.rename_input` and `fastsm.rename_output`: other names in a signature."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path, Tags


def rename_input(
    path: Path,
    key: str,
    old: str,
    new: str,
    *,
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Give an input of a signature another name, for every loader.

    `tf.saved_model.load` binds inputs to a function's arguments as the names sort. Where the
    new name sorts elsewhere, the arguments move with it, and so do the inputs of what calls
    the function. In place unless ``out`` says where.

    Args:
        path: The model's folder.
        key: The signature.
        old, new: The input's name. A sparse or ragged input of a TF2 model is several inputs,
            ``r`` and ``r_1``, each with a name of its own.
        tags: The tag set of the meta graph, where several have the input.
        all_meta_graphs: In all of them.
        **options: Where and how to write: see `Edit`.

    Raises:
        MissingError: No such signature, or no such input.
        AmbiguousError: Several meta graphs have it.
        RefusedError: The name is taken, or is none that Python can take for an argument; or
            something else goes by the order of the arguments.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.rename_input("examples/ranker/1", "rank", "user", "who", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', input: user -> who)
    """
    edit = Edit(path, **options)
    graphs = {"tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(edit, "rename_input", key, old, new, **graphs)


def rename_output(
    path: Path,
    key: str,
    old: str,
    new: str,
    *,
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Give an output of a signature another name, for every loader.

    As `rename_input`; where the new name sorts elsewhere, the results of the function move,
    and all that takes one of them by its number follows.

    Example:
        >>> import fastsm
        >>> fastsm.rename_output("examples/ranker/1", "rank", "scores", "points", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', output: scores -> points)
    """
    edit = Edit(path, **options)
    graphs = {"tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(edit, "rename_output", key, old, new, **graphs)
