"""The files that a model takes along in assets/: size, the tensor that is fed the path of
each, the meta graphs and the ops that use it; files that are missing or that no meta
graph names, and names that lead out of the folder. Nothing outside of it is opened."""

from __future__ import annotations

from ..assets import EXTRA
from ..errors import UsageError
from ..locate import entries
from ..model import SavedModel
from ..model import open as open_any
from ..text import counted, printable, size, tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..assets import AssetFile, AssetUse
    from . import Arguments, Option

EPILOG = """example:
  fastsm assets export/1
"""

OPTIONS: list[Option] = [(("path",), {"metavar": "PATH", "help": "the model's folder"})]

#: Blank before what is said of a file, behind its size.
_INDENT = 13


def run(args: Arguments) -> int:
    model = open_any(args.path)
    if not isinstance(model, SavedModel):
        raise UsageError(args.path, "is a checkpoint: only models have assets")
    files = list(model.assets.values())
    extra = sum(e.files for e in entries(model.folder) if e.name == f"{EXTRA}/")
    if args.json:
        from .output import to_json

        present = [f for f in files if f.state == "present"]
        print(to_json({
            "schema": "fastsm.assets/1", "path": model.path, "files": len(present),
            "bytes": sum(f.bytes or 0 for f in present), "extra": extra,
            "assets": [f.to_dict() for f in files],
        }))  # fmt: skip
    elif not args.quiet:
        for line in lines(model.path, files, extra):
            print(line)
    return 0


def lines(path: str, files: list[AssetFile], extra: int) -> Iterator[str]:
    """The screen: the files that are used and there, then the others by what is wrong."""
    present = [f for f in files if f.state == "present"]
    total = f", {size(sum(f.bytes or 0 for f in present))}" if present else ""
    yield f"{printable(path, None)}   {counted(len(present), 'asset')}{total}"
    if present:
        yield ""
        for file in present:
            yield from _file(file)
    for state, words in (
        ("missing", ""), ("unsafe", "not opened"), ("unused", "no meta graph names it")
    ):  # fmt: skip
        found = [f for f in files if f.state == state]
        if found:
            words = words.replace("it", "them") if len(found) > 1 else words
            note = f"   ({words})" if words else ""
            yield ""
            yield f"{state}   {counted(len(found), 'file')}{note}"
            for file in found:
                yield from _file(file)
    if extra:
        yield ""
        yield f"{EXTRA}/ has {counted(extra, 'file')}: no loader reads them, TensorFlow Serving may"


def _file(file: AssetFile) -> Iterator[str]:
    """What there is to say of a file: on one line if it fits."""
    left = " " * _INDENT
    name = printable(file.name) or '""'
    start = f"{'' if file.bytes is None else size(file.bytes):>{_INDENT - 2}}  {name}"
    groups: dict[tuple[str, str], list[AssetUse]] = {}
    for use in file.uses:
        ops = "" if use.ops is None else ", ".join(map(printable, use.ops)) or "nothing"
        groups.setdefault((use.tensor, ops), []).append(use)
    for (tensor, ops), uses in groups.items():
        fed = printable(tensor) or "no tensor"
        text = f"{fed}   {' '.join(dict.fromkeys(tag_set(u.tags) for u in uses))}"
        if start and len(start) + 3 + len(text) <= 80:
            yield f"{start}   {text}"
        else:
            if start:
                yield start
            yield left + text
        start = ""
        yield f"{left}taken by {ops}" if ops else f"{left}too much to tell what takes it"
        spelled = [s for s in dict.fromkeys(u.filename for u in uses) if s != file.name]
        if spelled:
            yield f"{left}spelled " + ", ".join(f'"{printable(s)}"' for s in spelled)
    if start:
        yield start
    if file.problem and file.uses:
        yield left + file.problem
