"""The tensors of a SavedModel or a checkpoint, the largest first, in groups: weights,
optimizer slots, doubled, other, unreachable. With KEY one tensor: where it lies, and
what is in it. KEY is a checkpoint key, the name of the variable, or its path through
the objects. Listing reads the index and the object graph, and no other tensor."""

from __future__ import annotations

import os

from ..bundle.objects import SUFFIX, fits
from ..errors import AmbiguousError, FormatError, MissingError, UnsupportedError, UsageError
from ..model import open as open_any
from ..text import count, counted, one_line, printable, size
from .values import EDGE, MAX_VALUES, WIDTH, as_text, plain_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from ..bundle.objects import Named
    from ..bundle.variables import Array, Variable, Variables
    from ..model import Checkpoint, SavedModel
    from . import Arguments, Option

EPILOG = """example:
  fastsm variables export/1
  fastsm variables export/1 --only '*kernel'
  fastsm variables export/1 sequential/dense/kernel
  fastsm variables ckpt/model-10 --json
"""

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder, or a checkpoint's prefix"}),
    (("key",), {"metavar": "KEY", "nargs": "?", "help": "one tensor: its key, name or path"}),
    (("--only",), {"metavar": "GLOB", "help": "those whose key or name fits, as '*kernel'"}),
    (("--keys",), {"action": "store_true", "help": "list by keys, whole, instead of names"}),
]

#: Statistics of more bytes than this take longer than a person wants to wait.
MAX_STATISTICS = 1 << 30

#: Strings of more bytes than this are not read; there may be as many of them.
MAX_OBJECTS = 1 << 24

_NOT_SHOWN = "(values not shown: {})"

#: What a group is, where its name does not tell.
MEANINGS = {
    "doubled": "look like weights stored twice",
    "other": "counters, settings, metrics, strings",
    "unreachable": "nothing leads to them",
}


def run(args: Arguments) -> int:
    if args.key is not None and args.only is not None:
        raise UsageError("", "KEY names one tensor, --only several: give one of them")
    model = open_any(args.path)
    if args.key is not None:
        record = describe_one(model, args.key)
        lines = one_lines
    else:
        record = describe(model, args.only, paths=args.json)
        lines = list_by_key if args.keys else list_lines
    if args.quiet:
        return 0
    if args.json:
        from .output import to_json

        record.pop("text", None)
        print(to_json(record))
    else:
        print("\n".join(lines(record)))
    return 0


def names(variables: Variables, notes: list[str]) -> dict[str, Named]:
    """What each tensor is for; a damaged object graph is a note, and tells nothing."""
    from ..bundle.objects import VARIABLES, Named

    try:
        return variables.named
    except (FormatError, MissingError, UnsupportedError) as e:
        notes.append(f"the object graph cannot be read: {one_line(str(e))}")
        return {key: Named(VARIABLES) for key in variables}


def groups(variables: Variables, named: Mapping[str, Named], keys: list[str]) -> list[Any]:
    """How many tensors and bytes each group has, in the order of GROUPS."""
    from ..bundle.objects import GROUPS

    n = dict.fromkeys(GROUPS, 0)
    n_bytes = dict.fromkeys(GROUPS, 0)
    sizes = variables.sizes()
    for key in keys:
        group = named[key].group
        n[group] += 1
        n_bytes[group] += sizes[key]
    return [{"group": g, "variables": n[g], "bytes": n_bytes[g]} for g in GROUPS if n[g]]


# -- the records --


def describe(
    model: SavedModel | Checkpoint, only: str | None = None, *, paths: bool = True
) -> dict[str, Any]:
    """Every tensor, the largest first; with the paths of the objects only if they are wanted."""
    variables = model.variables
    notes = index_notes(variables)
    named = names(variables, notes)
    keys = variables.by_size()
    if only is not None:
        keys = [key for key in keys if fits(only, key, named[key])]
        if not keys:
            raise MissingError(model.path, f"no tensor's key or name fits {printable(only)!r}")
    found = groups(variables, named, keys)
    return {
        "schema": "fastsm.variables/1",
        "path": model.path,
        "variables": len(keys),
        "bytes": sum(g["bytes"] for g in found),
        "shards": variables.index.n_shards if variables.bundle else 0,
        "only": only,
        "groups": found,
        "tensors": [_tensor(variables[key], named[key], notes, paths) for key in keys],
        "notes": notes + getattr(model, "notes", []),
    }


def _tensor(
    variable: Variable, named: Named, notes: list[str], paths: bool = True
) -> dict[str, Any]:
    try:
        out = variable.to_dict()
    except FormatError as e:  # its slices
        notes.append(one_line(str(e)))
        shape = None if variable.shape is None else list(variable.shape)
        out = {"key": variable.key, "dtype": variable.dtype, "shape": shape, "bytes": 0}
        out.update(shard=None, offset=None, crc32c=None)
    out["name"] = named.name
    if paths:
        out["object_path"] = named.object_path
    out["group"] = named.group
    return out


def index_notes(variables: Variables) -> list[str]:
    """What is damaged in the index, in words."""
    if not variables.bundle:
        return []
    from ..bundle import problems

    found = problems(variables.index)
    name = os.path.basename(variables.bundle.index_file.path)
    out = [f"{name} {problem}" for problem in found[:3]]
    if len(found) > 3:
        out.append(f"{name}: {len(found) - 3} more problems")
    return out


def describe_one(model: SavedModel | Checkpoint, word: str) -> dict[str, Any]:
    """One tensor: its entry, its values, and what can be said of them."""
    from ..bundle.variables import STRING, VARIANT

    variables = model.variables
    notes = index_notes(variables)
    named = names(variables, notes)
    key = which(model.path, variables, named, word)
    variable = variables[key]
    record: dict[str, Any] = {
        "schema": "fastsm.variables/1",
        "path": model.path,
        "tensor": _tensor(variable, named[key], notes),
    }
    files = [variables.bundle.shard_name(i) for i in variable.shards]
    record["files"] = files
    record["checksum_ok"] = _is_sound(variable, notes)
    record["statistics"] = record["values"] = None
    if variable.dtype_number in (STRING, VARIANT):
        array, record["text"] = _shown_objects(variable)
    else:
        if variable.nbytes <= MAX_STATISTICS:
            record["statistics"] = statistics(_counted(variable))
        array, record["text"] = _shown(variable)
    if array is not None and array.size <= MAX_VALUES:
        record["values"] = plain_values(array)
    record["notes"] = notes + getattr(model, "notes", [])
    return record


def _counted(variable: Variable) -> Iterator[Array]:
    """A tensor of numbers, some elements at a time, with a line that tells how far it is."""
    from ..bundle.windows import windows
    from .progress import Progress

    progress, done = Progress(), 0
    for part in windows(variable):
        yield part
        done += part.nbytes
        progress(done, variable.nbytes)


def _shown(variable: Variable) -> tuple[Array | None, str]:
    """The values of a tensor of numbers as far as they are shown, and as text.

    Of a large one only the first and last of each dimension are read; then there is no array.
    """
    from ..bundle.windows import pick

    ends = _ends(variable.shape or ())
    if ends is None:
        array = variable.numpy(copy=True)
        return array, as_text(array)
    if not ends:
        return None, _NOT_SHOWN.format(f"the ends of {len(variable.shape or ())} dimensions")
    return None, as_text(pick(variable, ends), threshold=0)


def _shown_objects(variable: Variable) -> tuple[Array | None, str]:
    """The strings or variants of a tensor, if there are few enough bytes, and as text."""
    if variable.nbytes > MAX_OBJECTS:
        return None, _NOT_SHOWN.format(size(variable.nbytes))
    ends = _ends(variable.shape or ())
    array = variable.numpy()
    if ends == []:
        return array, _NOT_SHOWN.format(f"the ends of {array.ndim} dimensions")
    return array, as_text(array)


def _ends(shape: tuple[int, ...]) -> list[list[int]] | None:
    """Of each dimension the indices that are printed, and one more where some are left out.

    None for a tensor of few values, which are all read; none at all where even the ends are
    too many.
    """
    n = n_ends = 1
    ends = []
    for dim in shape:
        some = dim <= 2 * EDGE
        ends.append(list(range(dim)) if some else [*range(EDGE + 1), *range(dim - EDGE, dim)])
        n *= dim
        n_ends *= len(ends[-1])
    if n <= MAX_VALUES:
        return None
    return ends if n_ends <= MAX_VALUES else []


def _is_sound(variable: Variable, notes: list[str]) -> bool | None:
    """Whether its bytes fit their checksums; None for one that is too large to be waited for."""
    if variable.nbytes > MAX_STATISTICS:
        return None
    try:
        variable.check()
    except FormatError as e:
        notes.append(one_line(str(e)))
        return False
    return True


def which(path: str, variables: Variables, named: Mapping[str, Named], word: str) -> str:
    """The key that a person means.

    Raises MissingError, with what may be meant, AmbiguousError, listing several, and
    UsageError for no word at all.
    """
    for key in (word, word + SUFFIX):
        if key in variables:
            return key
    if not word:
        raise UsageError(path, "KEY is empty: name a tensor; fastsm variables PATH lists them")
    from ..bundle.objects import DOUBLED

    found = [k for k, n in named.items() if k in variables and word in (n.name, n.object_path)]
    single = [k for k in found if named[k].group != DOUBLED]
    if len(found) == 1 or len(single) == 1:
        return (single or found)[0]
    if found:
        raise AmbiguousError(
            path,
            f"{len(found)} tensors are called {printable(word)}; their keys: "
            + ", ".join(printable(k.removesuffix(SUFFIX)) for k in found[:8])
            + (", ..." if len(found) > 8 else ""),
        )
    import difflib

    known = [w for k in variables for w in (k.removesuffix(SUFFIX), named[k].name) if w]
    close = difflib.get_close_matches(word, known[:5000], 1)
    hint = f"Did you mean {printable(close[0])}?" if close else "fastsm variables PATH lists them."
    raise MissingError(path, f"no tensor has the key or name {printable(word)}", hint=hint)


# -- values --


def statistics(parts: Iterable[Array]) -> dict[str, Any] | None:
    """Least, greatest and mean of numbers that have an order, and how many are odd."""
    import numpy as np

    lowest: list[Any] = []
    highest: list[Any] = []
    total, n, n_nan, n_inf, n_zero = 0.0, 0, 0, 0, 0
    with np.errstate(all="ignore"):  # sums may overflow
        for array in parts:
            if array.dtype.kind == "c":
                return None
            part = _comparable(array)
            n += part.size
            n_zero += int(np.count_nonzero(part == 0))
            low, high = part.min(), part.max()
            if not (np.isfinite(low) and np.isfinite(high)):
                n_nan += int(np.isnan(part).sum())
                n_inf += int(np.isinf(part).sum())
                part = part[np.isfinite(part)]
                if not part.size:
                    continue
                low, high = part.min(), part.max()
            lowest.append(low.item())
            highest.append(high.item())
            total += float(part.sum(dtype=np.float64))
    n_finite = n - n_nan - n_inf
    if n == 0:
        return None
    return {
        "min": min(lowest, default=None),
        "max": max(highest, default=None),
        "mean": total / n_finite if n_finite else None,
        "zero": n_zero,
        "nan": n_nan,
        "inf": n_inf,
    }


def _comparable(array: Array) -> Array:
    """Numbers of a dtype that numpy computes with by itself, and quickly."""
    import numpy as np

    if array.dtype.kind == "b":
        return array.view(np.uint8)
    return array if array.dtype.kind in "iu" or array.itemsize > 2 else array.astype(np.float32)


# -- the text --


def list_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Group by group, the largest tensor first; names, and keys where there is room."""
    yield _title(record)
    rows: dict[str, list[tuple[str, str, str, str]]] = {}
    for tensor in record["tensors"]:
        key = printable(tensor["key"].removesuffix(SUFFIX), None)
        row = (size(tensor["bytes"]), spec(tensor), printable(tensor["name"], None), key)
        rows.setdefault(tensor["group"], []).append(row)
    every = [row for group in rows.values() for row in group]
    width = min(22, max((len(row[1]) for row in every), default=0))
    names = min(34, max((len(row[2]) for row in every), default=0))
    for group in record["groups"]:
        yield ""
        meaning = MEANINGS.get(group["group"])
        yield (
            f"{group['group']}   {counted(group['variables'], 'tensor')}, {size(group['bytes'])}"
            + (f"   ({meaning})" if meaning else "")
        )
        for row in rows[group["group"]]:
            yield _line(*row, width, names)
    yield from _notes(record)


def list_by_key(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each tensor, with its whole key, however long."""
    yield _title(record)
    for tensor in record["tensors"]:
        key = printable(tensor["key"], None)
        yield f"{size(tensor['bytes']):>11}  {spec(tensor)}  {key}  ({tensor['group']})"
    yield from _notes(record)


def _title(record: Mapping[str, Any]) -> str:
    shards = counted(record["shards"], "shard")
    fits = "" if record["only"] is None else f" that fit {printable(record['only'])}"
    n = counted(record["variables"], "tensor")
    return f"{printable(record['path'], None)}   {n}{fits}, {size(record['bytes'])} in {shards}"


def _notes(record: Mapping[str, Any]) -> Iterator[str]:
    if record["notes"]:
        yield ""
        yield from (f"note: {note}" for note in record["notes"])


def spec(tensor: Mapping[str, Any]) -> str:
    shape = tensor["shape"]
    return f"{tensor['dtype']}{'[...]' if shape is None else shape}"


def _line(n_bytes: str, spec: str, name: str, key: str, width: int, names: int) -> str:
    left = f"{n_bytes.rjust(11)}  {spec.ljust(width)}  "
    room = max(WIDTH - len(left), 20)
    if not name or name == key:
        return left + cut(key, room)
    both = f"{name.ljust(names)}   {key}"
    return left + (both if len(both) <= room else cut(name, room))


def cut(name: str, room: int) -> str:
    """A name without its middle, where it is too long: beginning and end tell most."""
    if len(name) <= room:
        return name
    end = (room - 3) * 2 // 3
    return f"{name[: room - 3 - end]}...{name[-end:]}"


def one_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """What is known of one tensor, and its values."""
    tensor = record["tensor"]
    key = printable(tensor["key"], None)
    title = printable(tensor["name"], None) or key.removesuffix(SUFFIX)
    yield f"{title}   {spec(tensor)}   {size(tensor['bytes'])}   {tensor['group']}"
    yield f"  key       {key}"
    if tensor["object_path"]:
        yield f"  object    {printable(tensor['object_path'], None)}"
    if tensor["shard"] is not None:
        end = tensor["offset"] + tensor["bytes"]
        yield f"  stored    {record['files'][0]}, bytes {count(tensor['offset'])}..{count(end)}"
    else:
        slices, shards = len(tensor["slices"]), len(record["files"])
        yield f"  stored    in {counted(slices, 'slice')}, in {counted(shards, 'shard')}"
    verdict = {True: "true", False: "FALSE", None: "not computed"}[record["checksum_ok"]]
    stored = "" if tensor["crc32c"] is None else f"{tensor['crc32c']:#010x} (masked)   "
    yield f"  crc32c    {stored}{verdict}"
    if record["statistics"]:
        yield "  values    " + _statistics_text(record["statistics"])
    yield ""
    yield record["text"]
    yield from _notes(record)


def _statistics_text(found: Mapping[str, Any]) -> str:
    parts = [
        f"{name} {found[name]:.6g}" if isinstance(found[name], float) else f"{name} {found[name]}"
        for name in ("min", "max", "mean")
        if found[name] is not None
    ]
    parts += [f"{name} {count(found[name])}" for name in ("zero", "nan", "inf") if found[name]]
    return ", ".join(parts)
