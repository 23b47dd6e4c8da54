from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from providers.addresses import LONGEST_PLACE, is_this_machine, is_trusted, place_of
from providers.connections import Connections, proxy_for
from providers.errors import JobError

if TYPE_CHECKING:
    from urllib3 import PoolManager

PROXY = "http://proxy.example:3128"


def test_no_proxy_where_none_is_named() -> None:
    assert proxy_for("https", "prices.example") == ""


@pytest.mark.parametrize(
    ("environment", "scheme", "host", "expected"),
    [
        ({"https_proxy": PROXY}, "https", "prices.example", PROXY),
        ({"HTTPS_PROXY": PROXY}, "https", "prices.example", PROXY),
        ({"https_proxy": PROXY}, "http", "prices.example", ""),
        ({"all_proxy": PROXY}, "https", "prices.example", PROXY),
        ({"all_proxy": "http://other.example", "https_proxy": PROXY}, "https", "prices.example", PROXY),
        ({"https_proxy": "proxy.example:3128"}, "https", "prices.example", PROXY),
        ({"https_proxy": "proxy.example"}, "https", "prices.example", "http://proxy.example"),
        ({"https_proxy": PROXY, "no_proxy": "prices.example"}, "https", "prices.example", ""),
        ({"https_proxy": PROXY, "no_proxy": ".example"}, "https", "prices.example", ""),
        ({"https_proxy": PROXY, "no_proxy": "*"}, "https", "prices.example", ""),
        ({"https_proxy": PROXY, "no_proxy": "other.example"}, "https", "prices.example", PROXY),
        ({"https_proxy": PROXY}, "https", "127.0.0.1", ""),
        ({"https_proxy": PROXY}, "https", "::1", ""),
        ({"https_proxy": PROXY}, "https", "LOCALHOST", ""),
        # Not asked, so not judged.
        ({"https_proxy": "socks5://proxy.example", "no_proxy": "*"}, "https", "prices.example", ""),
    ],
)
def test_which_proxy_is_asked(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], scheme: str, host: str, expected: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(scheme, host) == expected


@pytest.mark.parametrize(
    "address", ["socks5://proxy.example:1080", "http://", "http://:3128", "http://[::1", "http://a:b"]
)
def test_a_proxy_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(JobError, match=r"https_proxy = .*: a proxy like http://proxy.example:3128"):
        proxy_for("https", "prices.example")


def test_one_pool_a_proxy_and_one_for_all_direct_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(connect_s=1.0, read_s=2.0)
    direct = connections.to("https://prices.example/a")
    assert connections.to("http://127.0.0.1:80/b") is direct
    timeout = direct.connection_pool_kw["timeout"]
    assert (timeout.connect_timeout, timeout._read) == (1.0, 2.0)
    monkeypatch.setenv("https_proxy", "http://me:w%40rd@proxy.example:3128")
    proxied = connections.to("https://prices.example/a")
    assert proxied is not direct
    assert proxied is connections.to("https://other.example/")
    assert connections.to("http://127.0.0.1:80/b") is direct
    assert proxied.proxy.host == "proxy.example"  # type: ignore[union-attr]
    assert proxied.proxy_headers == {"proxy-authorization": "Basic bWU6d0ByZA=="}
    monkeypatch.setenv("https_proxy", "https://[2001:db8::1]:8443")
    assert str(connections.to("https://prices.example/a").proxy) == "https://[2001:db8::1]:8443"


def test_certificates_are_checked_by_default() -> None:
    pool = Connections(connect_s=1.0, read_s=1.0).to("https://prices.example/").connection_from_url("https://x.example")
    # None means urllib3's own default, which demands a certificate for the host that was asked.
    assert pool.cert_reqs in {None, "CERT_REQUIRED"}  # type: ignore[attr-defined]
    assert pool.assert_hostname is None  # type: ignore[attr-defined]


def test_threads_open_a_pool_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(connect_s=1.0, read_s=1.0)
    opening = connections._open

    def slowly(proxy: str) -> PoolManager:
        time.sleep(0.001)  # lets another thread in, right where it would do harm
        return opening(proxy)

    monkeypatch.setattr(connections, "_open", slowly)
    found: list[object] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(10)
        found.append(connections.to("https://prices.example/"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_this_machine() -> None:
    assert all(map(is_this_machine, ("localhost", "LocalHost", "127.0.0.1", "127.8.8.8", "::1")))
    others = ("", "10.0.0.1", "localhost.example", "127.0.0.1.example", "2130706433", "::2")
    assert not any(map(is_this_machine, others))


def test_what_is_trusted() -> None:
    assert is_trusted("https://prices.azure.com:443/api?$filter=a eq 'b'&$skip=100")
    assert not is_trusted("https://prices.example /x")
    assert not is_trusted("https://prices.example/\x00")


def test_a_place_is_named_without_what_may_be_secret() -> None:
    assert place_of("https://me:word@prices.example:443/v1/list?key=word#word") == "prices.example/v1/list"
    assert place_of("https://[::1") == "an address that is none"
    assert len(place_of("https://prices.example/" + "x" * 1000)) == LONGEST_PLACE
