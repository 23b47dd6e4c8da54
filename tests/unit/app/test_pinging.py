"""The ping of whoever watches a refresh: against a server on this machine, and without its secret in any message."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from werkzeug import Request, Response

from optimizer.app.pinging import check_ping_url, ping
from providers.errors import JobError
from tests.fixtures.quick_server import QuickServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.loopback

SECRET = "7a1d-secret-path"  # noqa: S105 - a canary


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def address(asked: list[str]) -> Iterator[str]:
    with ExitStack() as stack:
        server = QuickServer()
        server.start()
        stack.callback(server.stop)

        def answer(request: Request) -> Response:
            asked.append(f"{request.method} {request.full_path.rstrip('?')}")
            return Response(status=404 if "unknown" in request.path else 200)

        server.expect_request(re.compile(".*")).respond_with_handler(answer)
        yield server.url_for("").rstrip("/")


def test_the_end_is_told(address: str, asked: list[str]) -> None:
    assert ping(f"{address}/{SECRET}", fine=True) == ""
    assert ping(f"{address}/{SECRET}", fine=False) == ""
    assert ping(f"{address}/{SECRET}/", fine=False) == ""
    assert ping(f"{address}/{SECRET}?create=1", fine=False) == ""
    assert asked == [
        f"GET /{SECRET}", f"GET /{SECRET}/fail", f"GET /{SECRET}/fail", f"GET /{SECRET}/fail?create=1",
    ]  # fmt: skip


def test_a_check_that_is_not_known_is_one_line_without_the_path(address: str) -> None:
    problem = ping(f"{address}/unknown/{SECRET}", fine=True)
    assert problem == "the ping of 127.0.0.1 failed (HTTP 404)"


def test_nobody_there() -> None:
    problem = ping(f"http://user:{SECRET}@127.0.0.1:1/{SECRET}", fine=True)
    assert problem == "the ping of 127.0.0.1 failed (no connection)"
    assert SECRET not in problem
    assert "\n" not in problem


def test_no_answer_is_waited_for_no_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def silent(*_arguments: object, **_named: object) -> str:
        over.wait(10)
        return ""

    monkeypatch.setattr("optimizer.app.pinging._ask", silent)
    assert ping("https://checks.test/x", fine=True, within_s=0.05) == (
        "the ping of checks.test failed (no answer within 0.05 s)"
    )
    over.set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "checks.test/x",
        "ftp://checks.test/x",
        "https://",
        "https://checks.test:port/x",
        "https://checks.test/a b",
        "https://checks.test/\n",
        "https://[::1/x",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(JobError) as caught:
        check_ping_url(url, where="command line", key="ping_url")
    assert str(caught.value) == "command line: ping_url = '(not shown)': an http:// or https:// address"
    assert ping(url, fine=True) == "the address to ping is none"
