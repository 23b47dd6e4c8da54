"""Opens connections: certificates are checked, proxies of the environment honoured, this machine is asked directly."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from .addresses import is_this_machine
from .errors import JobError

if TYPE_CHECKING:
    from urllib3 import PoolManager

KEPT_OPEN = 16
"""Connections to one host that are kept for the next request."""


class Connections:
    """The connections of one client, opened when first needed. Threads may share it."""

    def __init__(self, *, connect_s: float, read_s: float) -> None:
        """The timeouts are those to connect and between two bytes, s."""
        self._connect_s, self._read_s = connect_s, read_s
        self._pools: dict[str, PoolManager] = {}
        self._opening = threading.Lock()

    def to(self, url: str) -> PoolManager:
        """Return the pool that `url` is asked through. Raises JobError for a proxy that cannot be used."""
        parts = urlsplit(url)
        proxy = proxy_for(parts.scheme, parts.hostname or "")
        with self._opening:
            if proxy not in self._pools:
                self._pools[proxy] = self._open(proxy)
            return self._pools[proxy]

    def _open(self, proxy: str) -> PoolManager:
        from urllib3 import PoolManager, ProxyManager, Timeout, make_headers

        timeout = Timeout(connect=self._connect_s, read=self._read_s)
        if not proxy:
            return PoolManager(maxsize=KEPT_OPEN, timeout=timeout)
        parts = urlsplit(proxy)
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return ProxyManager(
            f"{parts.scheme}://{host}{port}",
            maxsize=KEPT_OPEN,
            timeout=timeout,
            proxy_headers=make_headers(proxy_basic_auth=user) if user else None,
        )


def proxy_for(scheme: str, host: str) -> str:
    """Return the address of the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names for a host, "" for none.

    NO_PROXY is honoured, and this machine is never asked through a proxy. Raises JobError for a proxy that is no
    http:// or https:// address; the message does not repeat it, because it may hold a password.
    """
    from urllib.request import getproxies, proxy_bypass

    if is_this_machine(host):
        return ""
    known = getproxies()
    proxy = known.get(scheme) or known.get("all") or ""
    if not proxy or proxy_bypass(host):
        return ""
    address = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        usable = False
    if not usable:
        raise JobError(
            where="environment",
            key=f"{scheme}_proxy",
            value="(not shown)",
            allowed="a proxy like http://proxy.example:3128; or name the hosts to ask directly in NO_PROXY",
        )
    return address
