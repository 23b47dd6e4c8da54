from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from providers.base import (
    Account,
    DeclaredVariables,
    FetchContext,
    FetchPart,
    FetchResult,
    ProviderInfo,
    Variable,
    Wanted,
    endpoint,
)
from providers.errors import JobError
from providers.gpus import GpuTable
from providers.http import HttpClient
from providers.offer import PricingModel
from providers.scope import Scope

INFO = ProviderInfo(
    name="nimbus",
    title="Nimbus",
    account=Account.OPTIONAL,
    pricing_models=(PricingModel.ON_DEMAND,),
    live="x",
    unverified="x",
    homepage="https://nimbus.example",
    variables=(
        Variable(name="NIMBUS_KEY", help="the key", secret=True),
        Variable(name="NIMBUS_REGION", help="the region"),
        Variable(name="TUNEFARE_NIMBUS_ENDPOINT", help="another address"),
    ),
)


@pytest.fixture
def gpus() -> GpuTable:
    return GpuTable(by_id={}, aliases={})


def declared(**environment: str) -> DeclaredVariables:
    return DeclaredVariables(INFO, environment)


def context(gpus: GpuTable, **environment: str) -> FetchContext:
    return FetchContext(
        gpus=gpus,
        environment=declared(**environment),
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        http=HttpClient(source="nimbus", requests_per_s=1.0),
    )


def test_an_adapter_sees_what_it_declared_and_nothing_else() -> None:
    variables = declared(NIMBUS_KEY="abc", HOME="/home/me", AWS_SECRET_ACCESS_KEY="x")  # noqa: S106 - invented
    assert dict(variables) == {"NIMBUS_KEY": "abc"}
    assert isinstance(variables, Mapping)
    assert list(variables) == ["NIMBUS_KEY"]
    assert len(variables) == 1
    assert variables["NIMBUS_KEY"] == variables.get("NIMBUS_KEY") == "abc"
    assert "NIMBUS_KEY" in variables
    assert "abc" not in repr(variables)


def test_what_is_declared_and_not_set_is_missing_as_in_any_mapping() -> None:
    for variables in (declared(), declared(NIMBUS_REGION=""), declared(NIMBUS_REGION=" \n")):
        assert "NIMBUS_REGION" not in variables
        assert variables.get("NIMBUS_REGION") is None
        assert variables.get("NIMBUS_REGION", "default") == "default"
        with pytest.raises(KeyError):
            variables["NIMBUS_REGION"]
        assert len(variables) == 0


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    assert declared(NIMBUS_KEY=" abc\r\n")["NIMBUS_KEY"] == "abc"


def test_what_is_not_declared_is_a_bug_whatever_the_way_of_asking() -> None:
    variables = declared(HOME="/home/me")
    ways = (
        lambda: variables["HOME"],
        lambda: variables.get("HOME"),
        lambda: variables.get("HOME", "default"),
        lambda: "HOME" in variables,
    )
    for ask in ways:
        with pytest.raises(LookupError, match="nimbus reads HOME, which its ProviderInfo does not declare") as caught:
            ask()
        # A KeyError would be swallowed by `get`.
        assert not isinstance(caught.value, KeyError)


def test_the_environment_is_read_when_the_context_is_made() -> None:
    environment = {"NIMBUS_KEY": "first"}
    variables = DeclaredVariables(INFO, environment)
    environment["NIMBUS_KEY"] = "second"
    assert variables["NIMBUS_KEY"] == "first"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("", "https://api.nimbus.example/v1"),
        ("https://mirror.example", "https://mirror.example"),
        ("https://mirror.example/prices//", "https://mirror.example/prices"),
        ("HTTPS://Mirror.Example:8443/", "HTTPS://Mirror.Example:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.9", "http://127.0.0.9"),
        ("http://localhost/x/", "http://localhost/x"),
        ("http://[::1]:80", "http://[::1]:80"),
        (" https://mirror.example\n", "https://mirror.example"),
    ],
)
def test_where_a_source_is_asked(gpus: GpuTable, stated: str, expected: str) -> None:
    asked = context(gpus, TUNEFARE_NIMBUS_ENDPOINT=stated)
    assert endpoint(asked, "TUNEFARE_NIMBUS_ENDPOINT", "https://api.nimbus.example/v1/") == expected


@pytest.mark.parametrize(
    "stated",
    [
        "http://mirror.example", "mirror.example", "ftp://mirror.example", "https://", "https:///x", "http://",
        "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://127.0.0.1@evil.example",
        "http://127.0.0.1:80@evil.example/", "http://localhost:hunter22@evil.example", "https://me:hunter22@x.example",
        "https://x.example/?key=hunter22", "https://x.example/#hunter22", "https://x .example", "https://[::1",
        "https://x.example:99999999", "https://x.example:port", "https://x\ny.example", "http://10.0.0.1", "http://0.0.0.0",
    ],
)  # fmt: skip
def test_an_address_that_is_neither_https_nor_this_machine_is_refused(gpus: GpuTable, stated: str) -> None:
    asked = context(gpus, TUNEFARE_NIMBUS_ENDPOINT=stated)
    with pytest.raises(JobError, match=r"environment: TUNEFARE_NIMBUS_ENDPOINT = .*: an https:// address") as caught:
        endpoint(asked, "TUNEFARE_NIMBUS_ENDPOINT", "https://api.nimbus.example")
    assert "hunter22" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variable_for_the_address_has_to_be_declared(gpus: GpuTable) -> None:
    with pytest.raises(LookupError, match="does not declare"):
        endpoint(context(gpus), "TUNEFARE_OTHER_ENDPOINT", "https://api.nimbus.example")


def test_what_is_wanted() -> None:
    east = Scope(provider="nimbus", region="east", pricing_model=PricingModel.SPOT)
    assert Wanted().takes(east)
    assert Wanted(regions=frozenset({"east", "west"})).takes(east)
    assert not Wanted(regions=frozenset({"west"})).takes(east)
    assert not Wanted(pricing_models=frozenset({PricingModel.ON_DEMAND})).takes(east)
    both = Wanted(regions=frozenset({"east"}), pricing_models=frozenset({PricingModel.SPOT}))
    assert both.takes(east)
    assert both.takes_model(PricingModel.SPOT)
    assert not both.takes_model(PricingModel.RESERVED)


def test_a_context_does_nothing_unasked(gpus: GpuTable) -> None:
    asked = context(gpus, NIMBUS_KEY="canary-in-context")
    asked.checkpoint()
    asked.progress("page 3")
    assert asked.validators == {}
    assert "canary-in-context" not in repr(asked)
    assert FetchResult().batches == ()
    assert FetchPart(name="east spot").region is None
