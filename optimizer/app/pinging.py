"""Tells a service that watches cron jobs how a refresh ended. The path of its address is what authorises: a secret."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from providers.connections import Connections
from providers.errors import JobError, TunefareError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

WITHIN_S = 10.0
SHOWN = "(not shown)"
WORDS = {
    "NameResolutionError": "its host name is unknown",
    "NewConnectionError": "no connection",
    "ConnectTimeoutError": "no connection in time",
    "ReadTimeoutError": "no answer in time",
    "ProtocolError": "the connection broke off",
    "SSLError": "its certificate is not accepted, or TLS failed",
}
"""Errors of the client, as a person reads them."""


def check_ping_url(url: str, *, where: str, key: str) -> None:
    """Raise JobError, which does not repeat it, for an address that cannot be asked."""
    if _parts(url) is None:
        raise JobError(where=where, key=key, value=SHOWN, allowed="an http:// or https:// address")


def ping(url: str, *, fine: bool, within_s: float = WITHIN_S) -> str:
    """Ask `url`, or `url`/fail where the refresh did not end well; return why that failed, "" when it did not.

    Takes at most `within_s` and never raises; what it returns names the host alone.
    """
    parts = _parts(url)
    if parts is None:
        return "the address to ping is none"
    said: list[str] = []
    asking = threading.Thread(
        target=lambda: said.append(_ask(parts, fine=fine, within_s=within_s)), name="tunefare-ping", daemon=True
    )
    asking.start()
    # The client's own limits do not hold for everything: looking up a name may take longer.
    asking.join(within_s)
    problem = said[0] if said else f"no answer within {within_s:g} s"
    return f"the ping of {parts.hostname} failed ({problem})" if problem else ""


def _ask(parts: SplitResult, *, fine: bool, within_s: float) -> str:
    from urllib3.exceptions import HTTPError

    path = parts.path if fine else parts.path.rstrip("/") + "/fail"
    url = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    try:
        answer = (
            Connections(connect_s=within_s, read_s=within_s)
            .to(url)
            .request("GET", url, retries=False, redirect=False, preload_content=False)
        )
        answer.close()
    except (HTTPError, TunefareError, OSError, ValueError) as err:
        return WORDS.get(type(err).__name__, type(err).__name__)  # its own words may repeat the address
    return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return None
    sound = url.isascii() and url.isprintable() and " " not in url
    return parts if sound and parts.scheme in {"http", "https"} and parts.hostname else None
