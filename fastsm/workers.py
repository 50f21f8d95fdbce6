"""Work that reads much, cut into jobs: done by as many threads as help, in the core, where
no thread waits for another.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar

    class Job(Protocol):
        """What one thread does at a time; ``n_bytes`` is how much it reads."""

        n_bytes: int

    J = TypeVar("J", bound=Job)

#: Bytes in a job: some milliseconds from a warm cache, a twentieth of a second from disk.
JOB = 32 << 20

#: Threads help from this many bytes on; two were 1.9 times as fast as one. More than a few
#: only wait for memory.
THREADED = 64 << 20
MAX_THREADS = 4


def run(jobs: Sequence[J], do: Callable[[J], object], told: Callable[[int], object]) -> None:
    """Do all jobs; between two of them progress is told and a Ctrl-C is heard.

    Args:
        do: Does one, in any thread.
        told: Called in this one with the bytes that are done.

    Raises what ``do`` raised first, and what ``told`` raises.
    """
    done = [0]

    def count(job: J) -> None:
        do(job)
        done.append(job.n_bytes)

    n_threads = min(len(jobs), MAX_THREADS, cpus())
    if n_threads < 2 or sum(job.n_bytes for job in jobs) < THREADED:
        n_bytes = 0
        for job in jobs:
            do(job)
            n_bytes += job.n_bytes
            told(n_bytes)
        return
    _run_threads(n_threads, jobs, count, lambda: told(sum(done)))


def _run_threads(
    n: int, jobs: Sequence[J], do: Callable[[J], object], told: Callable[[], object]
) -> None:
    left = list(reversed(jobs))
    failed: list[BaseException] = []
    running = []

    def work(ended: LockType) -> None:
        try:
            while left:
                do(left.pop())
        except IndexError:
            pass  # another thread took the last one
        except BaseException as e:
            failed.append(e)
            left.clear()
        finally:
            ended.release()

    try:
        for _ in range(n):
            ended = allocate_lock()
            ended.acquire()
            try:
                start_new_thread(work, (ended,))
            except RuntimeError:  # no more to be had: those that run do it all
                break
            running.append(ended)
        if not running:
            work(ended)
        while running:
            if running[-1].acquire(timeout=0.1):
                running.pop()
            told()
    finally:
        # After a Ctrl-C too, no thread may outlive this: they read a file that will be closed.
        left.clear()
        for ended in running:
            ended.acquire()
    if failed:
        raise failed[0]


def cpus() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
