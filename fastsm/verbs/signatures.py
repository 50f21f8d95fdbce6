"""`fastsm.rename_signature` and its like: signatures by their keys."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path, Tags


def rename_signature(
    path: Path,
    old: str,
    new: str,
    *,
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Give a signature another key.

    Every loader finds it by the new one: in signature_def, among the children of the object
    ``signatures``, and in the checkpoint's own object graph. The last lies in a shard of the
    variables, which is written anew where the model has one.

    Args:
        path: The model's folder.
        old, new: The keys.
        tags: The tag set of the meta graph; without it the only one that has the signature.
        all_meta_graphs: In all that have it.
        **options: Where and how to write: see `Edit`.

    Raises:
        MissingError: There is no such signature.
        AmbiguousError: Several meta graphs have it, and nothing says which is meant.
        RefusedError: ``new`` is reserved or taken; the model has two signatures ``old``; the
            checkpoint's own object graph cannot be read; the model changed.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.rename_signature("examples/ranker/1", "rank", "order", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', signature: rank -> order)
    """
    keywords = {"tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(Edit(path, **options), "rename_signature", old, new, **keywords)


def copy_signature(
    path: Path,
    key: str,
    new: str,
    *,
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Let a signature be found by a second key, too: both run the same function.

    Args:
        path: The model's folder.
        key, new: The key that it has, and the other one.
        tags, all_meta_graphs: In which meta graph: see `rename_signature`.
        **options: Where and how to write: see `Edit`.

    Raises:
        MissingError, AmbiguousError, RefusedError, CommitError: As `rename_signature`.

    Example:
        >>> import fastsm
        >>> fastsm.copy_signature("examples/ranker/1", "rank", "order", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', signature: None -> order)
    """
    keywords = {"tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(Edit(path, **options), "copy_signature", key, new, **keywords)


def remove_signature(
    path: Path,
    *keys: str,
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Take signatures out.

    The nodes and functions behind one stay in the graph, where others may use them. Its object
    goes where nothing else refers to it, and with it what describes the function to Python.
    ``__saved_model_train_op`` can be removed, too: with that entry tf.saved_model.load fails
    on a TF1 model.

    Args:
        path: The model's folder.
        *keys: The signatures.
        tags, all_meta_graphs: In which meta graph: see `rename_signature`.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Raises:
        UsageError: No key, or one twice; neither ``out`` nor ``in_place`` nor ``dry_run``.
        RefusedError: The entry of the init op; and as `rename_signature`.
        MissingError, AmbiguousError, CommitError: As `rename_signature`.

    Example:
        >>> import fastsm
        >>> fastsm.remove_signature("examples/ranker/1", "rank", dry_run=True)
        EditResult(changed=True, path='examples/ranker/1', signatures: ['rank'] -> [])
    """
    keywords = {"tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(Edit(path, **options), "remove_signature", *keys, **keywords)


def set_method_name(
    path: Path,
    key: str,
    method: str,
    *,
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Say by which of its methods TensorFlow Serving answers requests for a signature.

    Args:
        path: The model's folder.
        key: The signature.
        method: ``predict``, ``classify`` or ``regress``; any other text is written as it is.
        tags, all_meta_graphs: In which meta graph: see `rename_signature`.
        **options: Where and how to write: see `Edit`.

    Raises:
        RefusedError: The signature is in the object graph alone; the model changed.
        MissingError, AmbiguousError, CommitError: As `rename_signature`.

    Example:
        >>> import fastsm
        >>> fastsm.set_method_name("examples/ranker/1", "rank", "predict", dry_run=True)
        EditResult(changed=False, path='examples/ranker/1')
    """
    keywords = {"tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(Edit(path, **options), "set_method_name", key, method, **keywords)


def add_signature(
    path: Path,
    key: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    method: str = "predict",
    tags: Tags | None = None,
    all_meta_graphs: bool = False,
    **options: Unpack[Options],
) -> EditResult:
    """Let tensors of the graph be asked for by a new signature.

    Dtypes and shapes are those that the graph has; a shape that it does not say is written as
    unknown. tf.saved_model.load of a TF2 model does not see the signature: it takes functions,
    while sessions, TensorFlow Serving and saved_model_cli go by tensors.

    Args:
        path: The model's folder.
        key: The signature.
        inputs, outputs: Name -> tensor of the main graph, ``x:0`` or ``x``.
        method: As for `set_method_name`.
        tags: The tag set of the meta graph, where there are several.
        all_meta_graphs: In all of them.
        **options: Where and how to write: see `Edit`.

    Raises:
        MissingError: The graph has no such tensor; offers the nearest name.
        RefusedError: The key is reserved or taken; the graph does not say what a tensor's
            dtype is; a tensor cannot be fed or fetched so; the model changed.
        AmbiguousError: There are several meta graphs, and nothing says which is meant.
        UsageError: No output.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.add_signature(
        ...     "examples/tagger/1", "embed", {"words": "words"}, {"vectors": "Gather:0"},
        ...     tags="serve", dry_run=True)
        EditResult(changed=True, path='examples/tagger/1', signature: None -> embed)
    """
    keywords = {"method": method, "tags": tags, "all_meta_graphs": all_meta_graphs}
    return one(Edit(path, **options), "add_signature", key, inputs, outputs, **keywords)
