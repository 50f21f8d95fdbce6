"""`fastsm.rename_asset` and `fastsm.replace_asset`: the files that a model takes along."""

from __future__ import annotations

from .transaction import Edit, one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .transaction import EditResult, Options, Path


def rename_asset(
    path: Path, old: str, new: str, *, force: bool = False, **options: Unpack[Options]
) -> EditResult:
    """Give an asset another name, in every meta graph that lists it, and move its file.

    The file and what names it change in one commit; the file's bytes are not copied where it
    can get another name instead. Folders that are left empty go. Where the file is not there,
    or ``old`` leads out of ``assets/``, only its name changes, to that of a file that is there.

    Args:
        path: The model's folder.
        old: The asset's name, relative to ``assets/``.
        new: Another one; may have folders in it, ``text/words.txt``.
        force: Even if an op takes the path that may look for other files by it.
        **options: Where and how to write: see `Edit`.

    Raises:
        MissingError: No meta graph names ``old``; or neither file is there.
        RefusedError: Something has the name ``new``, or it leads out of ``assets/``; another
            asset is a link to the file; or see ``force``.
        UsageError: ``new`` can be no file's name.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> fastsm.rename_asset("examples/tagger/1", "vocabulary.txt", "w/v.txt", dry_run=True)
        EditResult(changed=True, path='examples/tagger/1', asset: vocabulary.txt -> w/v.txt)
    """
    return one(Edit(path, **options), "rename_asset", old, new, force=force)


def replace_asset(path: Path, name: str, file: Path, **options: Unpack[Options]) -> EditResult:
    """Let an asset have the content of a file; one that is missing is put there.

    Nothing else of the model changes. Whether a graph can read the new file is not looked at.

    Args:
        path: The model's folder.
        name: The asset's name, relative to ``assets/``.
        file: A regular file, anywhere.
        **options: Where and how to write, see `Edit`: ``out``, ``in_place`` or ``dry_run`` is
            needed.

    Raises:
        MissingError: No meta graph names the asset, or there is no such file.
        RefusedError: The name leads out of ``assets/``, or the file cannot be read.
        CommitError: The disk; says which model is there now.

    Example:
        >>> import fastsm
        >>> model, file = "examples/tagger/1", "examples/make_ranker.py"
        >>> fastsm.replace_asset(model, "vocabulary.txt", file, dry_run=True)
        EditResult(changed=True, path='examples/tagger/1', bytes: 71 -> ...)
    """
    return one(Edit(path, **options), "replace_asset", name, file)
