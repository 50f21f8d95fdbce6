"""A line that tells how far long work is: on a terminal, after a second."""

from __future__ import annotations

import sys

from ..text import size


class Progress:
    """Called with bytes done and bytes in all."""

    def __init__(self) -> None:
        self._shown = -1
        self._start: float | None = None

    def __call__(self, done: int, total: int) -> None:
        import time

        now = time.monotonic()
        if self._start is None:
            self._start = now
        percent = done * 100 // total if total else 100
        if now - self._start < 1 or percent == self._shown or not sys.stderr.isatty():
            return
        self._shown = percent
        end = "\n" if done >= total else ""
        print(
            f"\r{size(done)} of {size(total)}  {percent} %",
            end=end,
            file=sys.stderr,
            flush=True,
        )


class Stage:
    """A line that says what is done now, of work whose end nobody knows."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, words: str) -> None:
        if sys.stderr.isatty():
            self._shown = True
            print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away: the screen follows."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
