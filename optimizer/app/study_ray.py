"""Ray as the engine of a study: the extra `ray`. A cluster where RAY_ADDRESS names one, otherwise this machine."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from providers.errors import JobError

from .study_failures import WorkersFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optimizer.search.scenario_study import MapBlocks

Shared = TypeVar("Shared")
Block = TypeVar("Block")
Found = TypeVar("Found")


@contextmanager
def opened_ray(workers: int) -> Iterator[MapBlocks]:
    """Give a `map_blocks` on Ray, connected already or connected here; what was started here is stopped on leaving.

    With RAY_ADDRESS the cluster there works, with as many processors as it has, and `tunefare` is installed on it;
    otherwise `workers` processes of this machine. Raises JobError where Ray is missing or its address is wrong,
    WorkersFailed where it does not start or a task dies.
    """
    # Nothing is reported from a machine that plans; Ray asks for this before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as err:
        raise JobError(
            where="command line", key="engine", value="ray", allowed="needs Ray: pip install 'tunefare[ray]'"
        ) from err
    own = not ray.is_initialized()
    if own:
        _connect(ray, workers)
    try:
        yield _mapper(ray)
    finally:
        if own:
            ray.shutdown()


def _connect(ray: Any, workers: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as err:
        if address:
            allowed = f"the address of a Ray cluster that can be reached ({err})"
            raise JobError(where="environment", key="RAY_ADDRESS", value=address, allowed=allowed) from err
        raise WorkersFailed(f"Ray does not start on this machine ({err}); the engine processes needs no Ray") from err


def _mapper(ray: Any) -> MapBlocks:
    def map_blocks(function: Callable[[Shared, Block], Found], shared: Shared, blocks: Sequence[Block]) -> list[Found]:
        held = ray.put(shared)
        task = ray.remote(function)
        waiting = [task.remote(held, block) for block in blocks]
        try:
            found: list[Found] = ray.get(waiting)
        except ray.exceptions.RayError as err:
            raise WorkersFailed(
                f"a task of the study failed on Ray ({err}): on a cluster the same tunefare is installed on every node"
            ) from err
        except BaseException:
            for one in waiting:
                ray.cancel(one)
            raise
        return found

    return map_blocks
