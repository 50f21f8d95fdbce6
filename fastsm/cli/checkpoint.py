"""What `fastsm show` prints of a checkpoint that no SavedModel is around."""

from __future__ import annotations

import os

from ..bundle.objects import VARIABLES
from ..text import counted, printable, size
from .show import doubled_note
from .variables import MEANINGS, groups, index_notes, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..bundle.opened import Bundle
    from ..model import Checkpoint


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """As `fastsm.cli.show.describe` of a SavedModel, and the groups of its tensors."""
    variables = checkpoint.variables
    bundle = variables.bundle
    summary = checkpoint.variables_summary
    notes = list(checkpoint.notes)
    notes += index_notes(variables)
    meta = checkpoint.prefix + ".meta"
    if os.path.exists(meta):
        graph = printable(os.path.basename(meta))
        notes.append(f"{graph} has its graph: fastsm convert makes a SavedModel of the two")
    files = _files(bundle, notes)
    named = names(variables, notes)
    has_objects = any(n.group != VARIABLES for n in named.values())
    notes += doubled_note(summary)
    return {
        "schema": "fastsm.show/1",
        "path": checkpoint.path,
        "prefix": checkpoint.prefix,
        "format": "checkpoint",
        "kind": "checkpoint of objects" if has_objects else "checkpoint by names",
        "bytes": sum(f["bytes"] for f in files),
        "files": files,
        "variables": summary.to_dict(),
        "groups": groups(variables, named, list(variables)),
        "fingerprint": None,
        "meta_graphs": [],
        "notes": notes,
    }


def _files(bundle: Bundle, notes: list[str]) -> list[dict[str, Any]]:
    paths = [bundle.index_file.path]
    for i in sorted(bundle.index.shards()):
        path = bundle.shard_path(i)
        if os.path.exists(path):
            paths.append(path)
        else:
            notes.append(f"{printable(os.path.basename(path))} is not there")
    stray = [os.path.join(bundle.folder, name) for name in bundle.stray_shards()]
    notes += [f"no tensor lies in {printable(os.path.basename(path))}" for path in stray]
    return [
        {"name": os.path.basename(p), "bytes": os.path.getsize(p), "files": 1}
        for p in [*paths, *stray]
    ]


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """The record as a person reads it."""
    path, prefix = (printable(record[n], None) for n in ("path", "prefix"))
    yield f"{path}   {record['kind']}   {size(record['bytes'])}"
    if prefix != path:
        yield f"  the checkpoint {prefix}"
    width = max(len(f["name"]) for f in record["files"])
    for i, file in enumerate(record["files"]):
        n = counted(record["variables"]["variables"], "tensor") if i == 0 else ""
        yield f"  {printable(file['name'], None):<{width}} {size(file['bytes']):>10}   {n}".rstrip()
    yield ""
    for group in record["groups"]:
        n = counted(group["variables"], "tensor")
        meaning = MEANINGS.get(group["group"], "")
        line = f"  {group['group']:<16} {n:>13} {size(group['bytes']):>10}   {meaning}"
        yield line.rstrip()
    call = "tf.train.Checkpoint" if "objects" in record["kind"] else "tf.compat.v1.train.Saver"
    yield f'  load: {call}(...).restore({"sess, " if "v1" in call else ""}"{prefix}")'
    yield f"  list: fastsm variables {prefix}"
    if record["notes"]:
        yield ""
        yield from (f"note: {note}" for note in record["notes"])
