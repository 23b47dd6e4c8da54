"""The engines of a study: results in the order of the blocks, failures handed on, nobody left behind."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from types import SimpleNamespace

import pytest

from optimizer.app.study_engines import Engine, default_workers, opened_engine
from optimizer.app.study_failures import WorkersFailed
from providers.errors import JobError
from tests.fixtures.study_work import divide, times, vanish

HERE = [Engine.SERIAL, Engine.THREADS]


@pytest.mark.parametrize("engine", HERE)
@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_blocks(engine, workers):
    with opened_engine(engine, workers=workers) as map_blocks:
        assert list(map_blocks(times, 7, range(40))) == list(range(0, 280, 7))
        assert list(map_blocks(divide, 12, [1, 2, 3])) == [12.0, 6.0, 4.0]
    assert not [one for one in threading.enumerate() if one.name.startswith("study")]


@pytest.mark.parametrize("engine", HERE)
def test_a_failure_is_handed_on(engine):
    with pytest.raises(ZeroDivisionError), opened_engine(engine, workers=2) as map_blocks:
        list(map_blocks(divide, 12, [1, 0, 2]))


def test_processes_work_in_order_and_end_with_the_engine():
    with opened_engine(Engine.PROCESSES, workers=2) as map_blocks:
        assert map_blocks(times, 7, range(20)) == list(range(0, 140, 7))
        with pytest.raises(ZeroDivisionError):
            map_blocks(divide, 7, [7, 0])
        assert multiprocessing.active_children() == []
        assert map_blocks(times, 7, [6]) == [42]
        with pytest.raises(WorkersFailed, match=r"ended early.*__main__"):
            map_blocks(vanish, 7, [1, 1])
    assert multiprocessing.active_children() == []


class FakeRay:
    """As much of Ray as the engine uses, in this process."""

    class RayError(Exception):
        pass

    def __init__(self, *, connected: bool = False, fails: str = "") -> None:
        self.exceptions = SimpleNamespace(RayError=FakeRay.RayError)
        self.connected, self.fails = connected, fails
        self.said: dict[str, object] = {}
        self.stopped, self.cancelled = 0, 0

    def is_initialized(self):
        return self.connected

    def init(self, **said):
        self.said = said
        if self.fails == "init":
            raise ConnectionError("nobody there")

    def put(self, value):
        return ("held", value)

    def remote(self, function):
        def start(held, block):
            assert held[0] == "held"
            return function(held[1], block)

        return SimpleNamespace(remote=start)

    def get(self, waiting):
        if self.fails == "get":
            raise FakeRay.RayError("a node is gone")
        if self.fails == "interrupted":
            raise KeyboardInterrupt
        return waiting

    def cancel(self, one):
        assert one is not None
        self.cancelled += 1

    def shutdown(self):
        self.stopped += 1


def test_ray_starts_on_this_machine_and_is_stopped(monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with opened_engine(Engine.RAY, workers=3) as map_blocks:
        assert map_blocks(times, 2, [3, 1]) == [6, 2]
    assert (fake.said["address"], fake.said["num_cpus"], fake.stopped) == ("local", 3, 1)


def test_ray_goes_to_the_cluster_that_the_environment_names(monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with opened_engine(Engine.RAY, workers=3):
        pass
    assert fake.said["address"] == "ray://head:10001"
    assert "num_cpus" not in fake.said
    fake.fails = "init"
    with pytest.raises(JobError, match=r"RAY_ADDRESS = 'ray://head:10001': .*nobody there"):
        opened_engine(Engine.RAY, workers=3).__enter__()


def test_a_ray_that_is_connected_already_is_left_running(monkeypatch):
    fake = FakeRay(connected=True)
    monkeypatch.setitem(sys.modules, "ray", fake)
    with opened_engine(Engine.RAY, workers=1) as map_blocks:
        assert map_blocks(times, 2, [4]) == [8]
    assert (fake.said, fake.stopped) == ({}, 0)


def test_what_fails_on_ray_is_a_failure_in_words(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", FakeRay(fails="init"))
    with pytest.raises(WorkersFailed, match="does not start on this machine"):
        opened_engine(Engine.RAY, workers=1).__enter__()
    fake = FakeRay(fails="get")
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(WorkersFailed, match="a node is gone"), opened_engine(Engine.RAY, workers=1) as map_blocks:
        map_blocks(times, 2, [4])
    assert fake.stopped == 1
    interrupted = FakeRay(fails="interrupted")
    monkeypatch.setitem(sys.modules, "ray", interrupted)
    with pytest.raises(KeyboardInterrupt), opened_engine(Engine.RAY, workers=1) as map_blocks:
        map_blocks(times, 2, [4, 5])
    assert (interrupted.cancelled, interrupted.stopped) == (2, 1)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(JobError, match=r"engine = 'ray': needs Ray: pip install 'tunefare\[ray\]'"):
        opened_engine(Engine.RAY, workers=1).__enter__()


def test_there_is_a_worker_for_each_processor():
    assert default_workers() >= 1
