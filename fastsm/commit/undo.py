"""A backup put back: the old bytes, exactly, through the same commit."""
from __future__ import annotations

import os

from ..errors import CoreError, FormatError, MissingError, RefusedError
from ..plan import Plan, is_name
from ..source import File
from ..text import printable
from . import commit
from .files import FINGERPRINT
from .items import state
from .record import BACKUP_SCHEMA, FILES, MANIFEST
from .system import System

#: A manifest has some 300 bytes for a file; a model has thousands of files at most.
_MANIFEST_LIMIT = 64 << 20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..source import Source
    from . import Committed

    State = dict[str, Any]


def undo(
    path: str,
    backup: str,
    *,
    dry_run: bool = False,
    receipt: str | None = None,
    sync: bool = True,
    check: Callable[[str, Source], object] | None = None,
    progress: Callable[[int, int], object] | None = None,
    system: System | None = None,
) -> Committed:
    """Put back the files that an edit changed, from the backup that it made.

    The backup stays. A model that is already as it was before the edit is left alone.

    Args:
        path: The model's folder.
        backup: The folder that was given to the edit's ``backup``.
        dry_run, receipt, sync, check, progress, system: As for `commit`.

    Raises:
        MissingError: There is no backup in that folder.
        FormatError: Its manifest is not one.
        RefusedError: The model is no longer as the edit left it, or the backup's own
            files are not what the manifest says.
        CommitError: The disk, or another writer.
    """
    system = system or System()
    try:
        plan = Plan(path, verb="undo", arguments={"backup": backup})
    except FileNotFoundError:
        raise MissingError(path, "no such folder") from None
    for name, before, after in _manifest(system, backup):
        file = _file(system, os.path.join(plan.folder, name))
        if file is not None:
            plan.read(name, file)
        now = _state_of(file)
        if now == before:
            continue
        # A crash may have left the model without its fingerprint, and nothing else amiss.
        if now != after and not (now is None and name == FINGERPRINT):
            raise RefusedError(path, f"{printable(name)} is not as the edit left it")
        if before is None:
            plan.remove(name)
            continue
        kept = _file(system, os.path.join(backup, FILES, name))
        if kept is None or _state_of(kept) != before:
            damaged = f"the backup is damaged: {FILES}/{printable(name)} has changed"
            raise RefusedError(backup, damaged)
        plan.write(name, kept.source())
    return commit(
        plan,
        dry_run=dry_run,
        receipt=receipt,
        sync=sync,
        check=check,
        progress=progress,
        system=system,
    )


def _file(system: System, path: str) -> File | None:
    try:
        return system.file(path)
    except FileNotFoundError:
        return None
    except (IsADirectoryError, ValueError):
        raise RefusedError(path, "is not a file") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from error


def _state_of(file: File | None) -> State | None:
    try:
        return None if file is None else state(file.source())
    except CoreError as error:
        raise FormatError(file.path if file else "", str(error)) from error


def _manifest(system: System, backup: str) -> list[tuple[str, State | None, State | None]]:
    """(name, state before, state after) of each file that the edit changed."""
    import json

    path = os.path.join(backup, MANIFEST)
    file = _file(system, path)
    if file is None:
        raise MissingError(backup, f"no {MANIFEST} here: not a backup of fastsm")
    try:
        if file.identity.size > _MANIFEST_LIMIT:
            raise ValueError
        document = json.loads(file.source().read(0, file.identity.size))
        if document["schema"] != BACKUP_SCHEMA:
            found = printable(str(document["schema"]))
            raise FormatError(path, f"is a {found}, not a {BACKUP_SCHEMA}")
        return [
            (_name(entry["path"]), _state(entry["before"]), _state(entry["after"]))
            for entry in document["files"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, "is not a manifest of fastsm") from None


def _name(name: object) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise ValueError
    return name


def _state(entry: Any) -> State | None:
    """A state with nothing else in it, so that it can be compared."""
    return None if entry is None else {"size": int(entry["size"]), "sha256": entry["sha256"]}
