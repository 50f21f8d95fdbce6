"""Check that a model or a checkpoint is what was saved, and all of it: every block and
tensor against its checksum, and every part against what it names in the others.

Exit code 1 when something is found, by --fail-on. Nothing is written or loaded."""

from __future__ import annotations

from ..check.rules import SEVERITIES
from ..check.verify import verify
from ..errors import UsageError
from ..text import count, counted, printable, size
from .output import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..check.report import Finding, Report
    from . import Arguments, Option

EPILOG = """example:
  fastsm verify export/1
  fastsm verify export/1 --quick --fail-on warning
  fastsm verify checkpoints/model.ckpt-1000
"""

#: The option that says at which findings the exit code is 1.
FAIL_ON: Option = (
    ("--fail-on",),
    {
        "metavar": "SEVERITY", "default": "error",
        "help": "exit with 1 on error (default), warning, note, or what is graver; or never",
    },
)  # fmt: skip

_NEVER = "never"

OPTIONS: list[Option] = [
    (("path",), {"metavar": "PATH", "help": "the model's folder, or a checkpoint's prefix"}),
    (
        ("--quick",),
        {"action": "store_true", "help": "do not read tensors, nor hash whole files"},
    ),
    FAIL_ON,
]

#: What stands before the lines of a finding but the first.
INDENT = " " * 9

#: Of one rule in one file so many findings are printed; --json has them all.
MAX_ALIKE = 5

#: Of one rule findings in so many files are printed.
MAX_FILES = 8


def run(args: Arguments) -> int:
    check_fail_on(args)
    progress = None
    if not args.quiet and not args.json:
        from .progress import Progress

        progress = Progress()
    report = verify(args.path, quick=args.quick, progress=progress)
    return tell(report, args, "fastsm.verify/1")


def check_fail_on(args: Arguments) -> None:
    """Raises UsageError where --fail-on is no severity, nor never."""
    if args.fail_on not in (*SEVERITIES, _NEVER):
        raise UsageError("", f"--fail-on takes {', '.join((*SEVERITIES, _NEVER))}")


def tell(report: Report, args: Arguments, schema: str) -> int:
    """Print a report as it was asked for; return the exit code that --fail-on makes of it."""
    if args.json:
        from .output import to_json

        print(to_json({"schema": schema, **report.to_dict()}))
    else:
        for line in lines(report, quiet=args.quiet):
            print(line)
    if args.fail_on == _NEVER:
        return 0
    failing = SEVERITIES[: SEVERITIES.index(args.fail_on) + 1]
    return int(report.worst() in failing)


def lines(report: Report, *, quiet: bool = False) -> list[str]:
    """The screen: findings, the gravest first, then what was checked."""
    out = []
    for severity in SEVERITIES[:2] if quiet else SEVERITIES:
        rules: dict[str, dict[str, list[Finding]]] = {}
        for f in report.findings:
            if f.severity == severity:
                rules.setdefault(f.id, {}).setdefault(f.file, []).append(f)
        for rule, files in rules.items():
            out += _findings(list(files.values()), report.omitted.get(rule, 0))
    return out if quiet else out + _summary(report)


def _findings(files: list[list[Finding]], n_omitted: int) -> list[str]:
    """The findings of one rule, in one file after the other."""
    out = []
    for found in files[:MAX_FILES]:
        for f in found[:MAX_ALIKE]:
            out += _finding(f)
        if len(found) > MAX_ALIKE:
            more = count(len(found) - MAX_ALIKE)
            out.append(f"{INDENT}and {more} more like this in the file; --json lists them")
    if len(files) > MAX_FILES:
        more = counted(len(files) - MAX_FILES, "more file")
        n = count(sum(map(len, files[MAX_FILES:])))
        out.append(f"{INDENT}and {n} like this in {more}; --json lists them")
    if n_omitted:
        out.append(f"{INDENT}and {count(n_omitted)} more that were counted and not kept")
    if files[0][0].fix:
        out.append(f"{INDENT}fix: {files[0][0].fix}")
    return out


def _finding(f: Finding) -> list[str]:
    where = f.place or f.file
    span = ""
    if f.offset is not None:
        end = f"..{count(f.offset + f.size)}" if f.size else ""
        span = f"byte {count(f.offset)}{end}  "
    return [f"{f.severity:<9}{f.id:<19} {where}", *wrapped(span + f.message, INDENT, INDENT)]


def _summary(report: Report) -> list[str]:
    counts = ", ".join(counted(report.n(s), s) for s in SEVERITIES)
    out = [f"{printable(report.path, None)}: {counts if report.findings else 'nothing found'}"]
    n = report.checked
    parts = []
    if "tensors" in n:
        held = f" ({size(n['tensor_bytes'])})" if "tensor_bytes" in n else ""
        slices = f", {counted(n['slices'], 'slice')}" if "slices" in n else ""
        parts.append(
            f"{counted(n['tensors'], 'tensor')}{slices}{held} in "
            f"{counted(n.get('shards', 0), 'shard')}, "
            f"{counted(n['index_blocks'], 'index block')}"
        )
    if "meta_graphs" in n:
        whole = f" ({size(n['model_bytes'])})" if "model_bytes" in n else ""
        parts.append(
            f"{counted(n['meta_graphs'], 'meta graph')}{whole}: "
            f"{counted(n.get('nodes', 0), 'node')}, "
            f"{counted(n.get('signatures', 0), 'signature')}"
        )
    rest = {"restored": "restored key", "objects": "object", "assets": "asset",
            "hashes": "hash"}  # fmt: skip
    others = [
        counted(n[name], noun, "hashes" if name == "hashes" else None)
        for name, noun in rest.items()
        if n.get(name)
    ]
    if others:
        parts.append(", ".join(others))
    for i, part in enumerate(parts):
        out.append(f"  {'' if i else 'checked':<13}{part}")
    for i, what in enumerate(report.not_checked):
        out.append(f"  {'' if i else 'not checked':<13}{what}")
    return out
