"""What is measured, and what is wanted of it."""
from __future__ import annotations

from typing import NamedTuple


class Job(NamedTuple):
    """A row for each tool, their runs taken in turn.

    Attributes:
        name: As goals and reports call it.
        verb: What the adapters know it by.
        model: The generated model.
        tools: As adapters/ has them.
        repeat: 0: whole processes. Else calls in process, so many in each child.
        sync: None when nothing is written; else whether it must reach the disk.
    """

    name: str
    verb: str
    model: str
    tools: tuple[str, ...]
    repeat: int = 0
    sync: bool | None = None


#: The signature that is renamed, and its new key.
RENAMED = ("serving_default", "predict")

JOBS = (
    Job("show S", "show", "S", ("fastsm", "python", "saved_model_cli")),
    Job("show --all S", "show-all", "S", ("fastsm", "saved_model_cli")),
    Job("index L", "index", "L", ("fastsm", "upb"), repeat=3),
    Job("show --all L", "show-all", "L", ("fastsm", "saved_model_cli")),
    Job("show --all L-flat", "show-all", "L-flat", ("fastsm", "saved_model_cli")),
    Job("show XL", "show", "XL", ("fastsm", "python")),
    Job("retag XL", "retag", "XL", ("fastsm", "cp"), sync=False),
    Job("retag XL, fsync", "retag", "XL", ("fastsm", "cp"), sync=True),
    Job("retag M", "retag", "M", ("fastsm", "upb"), repeat=20, sync=False),
    Job("retag M, fsync", "retag", "M", ("fastsm", "upb"), repeat=20, sync=True),
    Job("retag M-bare", "retag", "M-bare", ("fastsm", "upb"), repeat=20, sync=False),
    Job("retag M-bare, fsync", "retag", "M-bare", ("fastsm", "upb"), repeat=20, sync=True),
    Job("rename L", "rename", "L", ("fastsm", "cp"), sync=False),
    Job("rename L-bare", "rename", "L-bare", ("fastsm", "cp"), sync=False),
    Job("rename L, the work", "rename", "L", ("fastsm", "upb"), repeat=3, sync=False),
    Job("verify W", "verify", "W", ("fastsm", "tensorflow")),
    Job("verify W, the work", "verify", "W", ("fastsm", "tensorflow"), repeat=3),
    Job("list W-many", "list", "W-many", ("fastsm", "tensorflow"), repeat=10),
    Job("first tensor of W-4GB", "first", "W-4GB", ("fastsm", "tensorflow")),
    Job("subset of W", "subset", "W", ("fastsm", "cp"), sync=False),
    Job("dedupe W", "dedupe", "W", ("fastsm", "cp"), sync=False),
    Job("dedupe W, fsync", "dedupe", "W", ("fastsm", "cp"), sync=True),
    Job("strip T", "strip", "T", ("fastsm", "tensorflow"), sync=False),
    Job("strip T-large", "strip", "T-large", ("fastsm", "cp"), sync=False),
    Job("strip G", "strip", "G", ("fastsm", "upb"), repeat=3, sync=False),
    Job("convert S", "convert", "C", ("fastsm", "tensorflow"), sync=False),
    Job("convert L", "convert", "C-large", ("fastsm", "tensorflow"), sync=False),
    Job("parity S", "parity", "S", ("fastsm", "tensorflow")),
    Job("parity M", "parity", "M", ("fastsm", "tensorflow")),
    Job("parity T", "parity", "T", ("fastsm", "tensorflow")),
    Job("crc32c, cached", "crc 4", "S", ("fastsm", "crc32c"), repeat=5),
    Job("crc32c, from memory", "crc 512", "S", ("fastsm", "crc32c"), repeat=5),
)


#: What a start of Python and its modules may take beside a copy.
START_S = 0.030


class Goal(NamedTuple):
    """A limit on one figure of fastsm's, alone or against a rival's.

    Attributes:
        text: What is compared, for a person.
        figure: ``wall_s`` or ``cpu_s``, of which the least counts, or ``peak_bytes``, of
            which the most does.
        job: Of fastsm's row.
        relation: How the figures become one number: ``times`` is fastsm's over the
            rival's, ``started`` the same less the 30 ms that a start of Python may take,
            ``faster`` the rival's over fastsm's, ``more`` fastsm's less the rival's,
            ``alone`` fastsm's.
        limit: At most this, for ``faster`` at least.
        rival: Its tool, and its job where that is another.
    """

    text: str
    figure: str
    job: str
    relation: str
    limit: float
    rival: tuple[str, str] = ("", "")


MB = 1e6
CLI, TF = "saved_model_cli", "tensorflow"

GOALS = (
    Goal("show S: time of bare python", "wall_s", "show S", "times", 1.3, ("python", "show S")),
    Goal("show S: faster than saved_model_cli", "wall_s", "show S", "faster", 60,
         (CLI, "show S")),
    Goal("show S: less memory than saved_model_cli", "peak_bytes", "show S", "faster", 25,
         (CLI, "show S")),
    Goal("index of L: faster than upb's parse (CPU)", "cpu_s", "index L", "faster", 6,
         ("upb", "index L")),
    Goal("show --all L: faster than upb's parse (CPU)", "cpu_s", "show --all L", "faster", 4,
         ("upb", "index L")),
    Goal("show --all L-flat: faster than upb's parse of L (CPU)", "cpu_s", "show --all L-flat",
         "faster", 4, ("upb", "index L")),
    Goal("show --all L: peak memory", "peak_bytes", "show --all L", "alone", 60 * MB),
    Goal("show --all L-flat: peak memory", "peak_bytes", "show --all L-flat", "alone", 60 * MB),
    Goal("show XL: more than bare python", "wall_s", "show XL", "more", 0.020,
         ("python", "show XL")),
    Goal("show XL: peak memory", "peak_bytes", "show XL", "alone", 40 * MB),
    Goal("retag XL: time of cp", "wall_s", "retag XL", "times", 1.1, ("cp", "retag XL")),
    Goal("retag XL, both with fsync: time of cp", "wall_s", "retag XL, fsync", "times", 1.1,
         ("cp", "retag XL, fsync")),
    Goal("retag XL: peak memory", "peak_bytes", "retag XL", "alone", 40 * MB),
    Goal("retag XL, both with fsync: peak memory", "peak_bytes", "retag XL, fsync", "alone",
         40 * MB),
    Goal("retag M: faster than upb", "wall_s", "retag M", "faster", 10, ("upb", "retag M")),
    Goal("retag M without a fingerprint: faster than upb", "wall_s", "retag M-bare", "faster",
         10, ("upb", "retag M-bare")),
    Goal("rename L: time of cp", "wall_s", "rename L", "times", 4, ("cp", "rename L")),
    Goal("rename L without a fingerprint: time of cp", "wall_s", "rename L-bare", "times", 1.5,
         ("cp", "rename L-bare")),
    Goal("rename L, without starting: faster than upb", "wall_s", "rename L, the work",
         "faster", 5, ("upb", "rename L, the work")),
    Goal("rename L: peak memory", "peak_bytes", "rename L", "alone", 60 * MB),
    Goal("verify W: faster than TensorFlow reads it", "wall_s", "verify W", "faster", 12,
         (TF, "verify W")),
    Goal("verify W, without starting: faster than TensorFlow reads it", "wall_s",
         "verify W, the work", "faster", 4, (TF, "verify W, the work")),
    Goal("verify W: peak memory", "peak_bytes", "verify W", "alone", 64 * MB),
    Goal("crc32c, cached: faster than the crc32c package", "wall_s", "crc32c, cached", "faster",
         1.3, ("crc32c", "crc32c, cached")),
    Goal("crc32c, from memory: faster than the crc32c package", "wall_s", "crc32c, from memory",
         "faster", 1.3, ("crc32c", "crc32c, from memory")),
    Goal("list W-many: faster than TensorFlow's reader", "wall_s", "list W-many", "faster", 1,
         (TF, "list W-many")),
    Goal("subset of W: time of cp of what is kept", "wall_s", "subset of W", "times", 1.1,
         ("cp", "subset of W")),
    Goal("subset of W: peak memory", "peak_bytes", "subset of W", "alone", 64 * MB),
    Goal("dedupe W: time of cp of what is kept", "wall_s", "dedupe W", "times", 2,
         ("cp", "dedupe W")),
    Goal("dedupe W: peak memory", "peak_bytes", "dedupe W", "alone", 64 * MB),
    Goal("strip T: faster than TensorFlow's load and save", "wall_s", "strip T", "faster", 40,
         (TF, "strip T")),
    Goal("strip T: peak memory", "peak_bytes", "strip T", "alone", 64 * MB),
    Goal("strip T-large: time of cp of what is kept, and 30 ms", "wall_s", "strip T-large",
         "started", 1.25, ("cp", "strip T-large")),
    Goal("strip T-large: peak memory", "peak_bytes", "strip T-large", "alone", 64 * MB),
    Goal("strip G: time of upb's parse of the same file", "wall_s", "strip G", "times", 1.5,
         ("upb", "strip G")),
    Goal("strip G: peak memory", "peak_bytes", "strip G", "alone", 200 * MB),
    *(
        goal
        for size in "SL"
        for goal in (
            Goal(f"convert {size}: faster than TensorFlow's restore and save", "wall_s",
                 f"convert {size}", "faster", 30, (TF, f"convert {size}")),
            Goal(f"convert {size}: peak memory", "peak_bytes", f"convert {size}", "alone", 64 * MB),
        )
    ),
    *(
        Goal(f"parity {model}: time of TensorFlow alone", "wall_s", f"parity {model}", "times", 1.1,
             (TF, f"parity {model}"))
        for model in ("S", "M", "T")
    ),
    Goal("first tensor of W-4GB: faster than TensorFlow", "wall_s", "first tensor of W-4GB",
         "faster", 20, (TF, "first tensor of W-4GB")),
)  # fmt: skip
