from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from providers import registry
from providers.base import Account, ProviderInfo
from providers.errors import JobError, ProviderError
from providers.registry import load_provider, load_providers, provider_names

if TYPE_CHECKING:
    from collections.abc import Callable


def info(name: str) -> ProviderInfo:
    return ProviderInfo(
        name=name, title="T", account=Account.NONE, pricing_models=(), live="x", unverified="x", homepage="https://x"
    )


def source(name: str) -> type:
    class Source:
        @property
        def info(self) -> ProviderInfo:
            return info(name)

        def parts(self, wanted: object, context: object) -> list[object]:
            return []

        def fetch(self, part: object, context: object) -> object: ...

        def quote(self, key: object, context: object) -> None: ...

    return Source


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no\nluck today")


class Leaving:
    def __init__(self) -> None:
        sys.exit("I want to leave")


class Unreadable(source("unreadable")):  # type: ignore[misc]
    @property
    def info(self) -> ProviderInfo:
        raise OSError("disk gone")


@dataclass(frozen=True)
class Point:
    """Stands in for an entry point: `dist` cannot be set on a real one."""

    name: str
    loaded: object
    distribution: str | None = "tunefare"
    value: str = "somewhere:Something"

    @property
    def dist(self) -> object:
        return None if self.distribution is None else SimpleNamespace(name=self.distribution)

    def load(self) -> object:
        if isinstance(self.loaded, BaseException):
            raise self.loaded
        return self.loaded


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(*points: Point) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "tunefare.providers" else ())

    return put


def test_names_are_sorted_and_stand_once(install: Callable[..., None]) -> None:
    install(Point("vast", None), Point("aws", None), Point("vast", None, "other"))
    assert provider_names() == ("aws", "vast")


def test_nothing_is_imported_to_list_names(install: Callable[..., None]) -> None:
    install(Point("aws", ImportError("would fail")))
    assert provider_names() == ("aws",)


def test_the_own_source_wins_whatever_comes_first(install: Callable[..., None]) -> None:
    own, other = source("aws"), source("aws")
    for points in (
        (Point("aws", own), Point("aws", other, "evil")),
        (Point("aws", other, "evil"), Point("aws", own)),
        (Point("aws", other, None), Point("aws", own)),
    ):
        install(*points)
        assert type(load_provider("aws")) is own


def test_a_package_of_someone_else_adds_a_source(install: Callable[..., None]) -> None:
    added, second = source("example"), source("example")
    install(Point("aws", source("aws")), Point("example", added, "example-prices"), Point("example", second, "zzz"))
    assert type(load_provider("example")) is added


def test_an_unknown_name_lists_the_known_ones(install: Callable[..., None]) -> None:
    install(Point("vast", None), Point("aws", None))
    with pytest.raises(JobError, match=r"command line: provider = 'awz': a price source: aws, vast"):
        load_provider("awz")


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        (ImportError("No module named 'boto9'"), r"cannot be loaded \(ImportError: No module named 'boto9'\)"),
        (SyntaxError("bad"), "cannot be loaded"),
        (Broken, r"cannot be loaded \(RuntimeError: no luck today\)"),
        (Leaving, r"cannot be loaded \(SystemExit: I want to leave\)"),
        (SystemExit(3), "cannot be loaded"),
        (Unreadable, r"cannot be loaded \(OSError: disk gone\)"),
        (source("another"), "somewhere:Something is not a price source of that name"),
        (object, "is not a price source"),
        (lambda: SimpleNamespace(info=info("aws")), "is not a price source"),
        (lambda: None, "is not a price source"),
        (42, "cannot be loaded"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_line(install: Callable[..., None], loaded: object, words: str) -> None:
    install(Point("aws", loaded))
    with pytest.raises(ProviderError, match=words) as caught:
        load_provider("aws")
    assert str(caught.value).startswith("aws: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 9


def test_an_interrupt_is_not_a_broken_source(install: Callable[..., None]) -> None:
    install(Point("aws", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        load_provider("aws")


def test_several_at_once(install: Callable[..., None]) -> None:
    install(Point("vast", source("vast")), Point("aws", source("aws")), Point("oci", source("oci")))
    assert [one.info.name for one in load_providers()] == ["aws", "oci", "vast"]
    assert [one.info.name for one in load_providers(["vast", "aws", "vast"])] == ["aws", "vast"]
    with pytest.raises(JobError):
        load_providers(["aws", "gone"])


def test_the_group_is_the_one_that_others_write_into_their_file() -> None:
    installed = registry._entry_points()
    assert all(isinstance(point, EntryPoint) and point.group == "tunefare.providers" for point in installed.values())
    assert set(installed) == set(provider_names())
