"""Threads that the end of the program does not wait for: one may be stuck in a read that ends much later, or never."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

PREFIX = "tunefare-"
"""How the names of the threads begin."""


class Workers:
    """At most so many threads, which end when no call waits. Those of a ThreadPoolExecutor would hold up the exit."""

    def __init__(self, most: int, *, name: str) -> None:
        """`name` tells the threads of one from those of another."""
        self._most = most
        self._name = f"{PREFIX}{name}"
        self._guard = threading.Lock()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0

    def submit(self, call: Callable[[], Value]) -> Future[Value]:
        """Return what `call` will bring."""
        future: Future[Value] = Future()
        with self._guard:
            self._waiting.append((future, call))
            if self._threads < self._most:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
                self._threads += 1
        return future

    def abandon(self) -> None:
        """Forget the calls that have not begun; a thread that is at work is left behind."""
        with self._guard:
            forgotten = list(self._waiting)
            self._waiting.clear()
        for future, _ in forgotten:
            future.cancel()

    def _work(self) -> None:
        while True:
            with self._guard:
                if not self._waiting:
                    self._threads -= 1
                    return
                future, call = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                value = call()
            except BaseException as err:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(err)
            else:
                future.set_result(value)
