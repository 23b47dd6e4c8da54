"""Who works on the blocks of a study: this process, its threads, processes of this machine, or a Ray cluster.

One interface for all four: `map_blocks(function, shared, blocks)` gives the results in the order of the blocks. What is
`shared` travels once to every worker; the function is found by its name, so it must stand in a module.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from .study_failures import WorkersFailed
from .study_ray import opened_ray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from optimizer.search.scenario_study import MapBlocks

Shared = TypeVar("Shared")
Block = TypeVar("Block")
Found = TypeVar("Found")


class Engine(StrEnum):
    """Where the work is done."""

    SERIAL = "serial"
    THREADS = "threads"
    PROCESSES = "processes"
    RAY = "ray"


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def opened_engine(engine: Engine, *, workers: int) -> Iterator[MapBlocks]:
    """Give a `map_blocks` that works on `engine`; on leaving, however that comes about, no worker is left behind.

    Raises JobError where Ray is not installed, WorkersFailed from `map_blocks` where a worker died.
    """
    if engine is Engine.SERIAL or (workers == 1 and engine is not Engine.RAY):
        yield _serial
    elif engine is Engine.THREADS:
        with ThreadPoolExecutor(workers, thread_name_prefix="study") as pool, _dropping_the_rest(pool):
            yield lambda function, shared, blocks: pool.map(lambda block: function(shared, block), blocks)
    elif engine is Engine.PROCESSES:
        processes = Processes(workers)
        try:
            yield processes
        finally:
            processes.close()
    else:
        with opened_ray(workers) as map_blocks:
            yield map_blocks


def _serial(function: Callable[[Shared, Block], Found], shared: Shared, blocks: Sequence[Block]) -> Iterable[Found]:
    return (function(shared, block) for block in blocks)


class Processes:
    """A `map_blocks` on fresh processes: nothing is inherited but what is sent, on every system alike (spawn).

    The processes are started by the first call and kept for further ones with the same `shared`.
    """

    def __init__(self, workers: int) -> None:
        """At most `workers` processes are started."""
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._shared: object = None

    def __call__(
        self, function: Callable[[Shared, Block], Found], shared: Shared, blocks: Sequence[Block]
    ) -> list[Found]:
        """Return the results in the order of the blocks. Raises WorkersFailed where a process died."""
        pool = self._pool_for(shared, most=len(blocks))
        try:
            with _deaf_to_interrupts():  # Ctrl-C goes to the whole group: this process alone answers it
                futures = [pool.submit(_work, function, block) for block in blocks]
            return [future.result() for future in futures]
        except BaseException as err:
            self.close()  # what has not begun is dropped, what has ends within a block: milliseconds
            if not isinstance(err, BrokenProcessPool):
                raise
            raise WorkersFailed(
                "a worker process of the study ended early: a script that uses processes keeps its work under "
                "`if __name__ == '__main__':`; memory may be short too (fewer workers, or the engine threads)"
            ) from err

    def close(self) -> None:
        """End the processes, once what they are working on is done; another call starts afresh."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _pool_for(self, shared: object, *, most: int) -> ProcessPoolExecutor:
        from multiprocessing import get_context

        if self._pool is None or self._shared is not shared:
            self.close()
            self._shared = shared
            self._pool = ProcessPoolExecutor(
                min(self._workers, max(most, 1)), get_context("spawn"), initializer=_begin, initargs=(shared,)
            )
        return self._pool


_mine: list[Any] = []
"""In a worker process: what is shared, received once."""


def _begin(shared: object) -> None:
    """Prepare a worker process: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _mine[:] = [shared]


def _work(function: Callable[[Any, Any], Any], block: object) -> Any:
    return function(_mine[0], block)


def _end_with_parent() -> None:
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _dropping_the_rest(pool: Executor) -> Iterator[None]:
    """Start nothing more after a failure or Ctrl-C; what runs ends within a block."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start here ignore Ctrl-C from their first moment; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
