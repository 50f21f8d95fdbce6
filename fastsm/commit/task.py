"""Work beside the writing, in a thread of its own."""
from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Task:
    """A function that is called once: in a thread, from `begin` on, or when asked."""

    __slots__ = ("_error", "_function", "_lock", "_value")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function: Callable[[], Any] | None = function
        self._value: Any = None
        self._error: BaseException | None = None
        self._lock = _thread.allocate_lock()

    def begin(self) -> bool:
        """Call it in a thread from now on; False where it is called already, or no thread
        can be had: then it waits until it is asked."""
        self._lock.acquire()
        try:
            if self._function is not None:
                _thread.start_new_thread(self._run_beside, ())
                return True
        except RuntimeError:
            pass
        self._lock.release()
        return False

    def result(self) -> Any:
        """What the function returned; raises what it raised."""
        with self._lock:
            self._run()
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            try:
                self._value = function()
            except BaseException as error:
                self._error = error

    def _run_beside(self) -> None:
        try:
            self._run()
        finally:
            self._lock.release()
