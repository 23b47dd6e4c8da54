"""The one HTTP client of the adapters: timeouts, bounded retries with jitter, Retry-After, size limits, exact numbers.

JSON numbers are read as int and Decimal, never as float. Redirects are not followed: a key would travel along. What
goes wrong becomes one of four errors: `CredentialsRefused` (401, 403), `ResponseChanged` (another 4xx, a redirect,
something that is not JSON, an answer above the size limit: never retried), `ProviderUnavailable` (429, 5xx, timeouts,
broken connections, truncated bodies: retried within bounds), `Interrupted`.
"""

from __future__ import annotations

import json
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from .errors import CredentialsRefused, Interrupted, ProviderUnavailable, ResponseChanged
from .pace import RateLimit, backoff_s, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

USER_AGENT = "tunefare (+https://pypi.org/project/tunefare/)"
MEGABYTE = 1_000_000
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
NOT_MODIFIED = 304
MOST_DIGITS = 400
"""Digits of a number in JSON: a longer one is an attack on the parser, not a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may take: seconds to connect and between two bytes, tries, seconds of waiting in all, bytes."""

    connect_s: float = 10.0
    read_s: float = 30.0
    tries: int = 4
    waiting_s: float = 120.0
    largest_bytes: int = 64 * MEGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """What a server handed out to ask whether something changed; either may be empty."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """Return the request headers that ask for the content only if it changed."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A JSON answer. `value` is None and `unchanged` true where the server said 304 Not Modified."""

    value: object
    headers: Mapping[str, str] = field(default_factory=dict)
    unchanged: bool = False

    @property
    def validator(self) -> Validator | None:
        """What the server handed out for asking again; None when it handed out nothing."""
        found = Validator(etag=self.headers.get("etag", ""), last_modified=self.headers.get("last-modified", ""))
        return found if found.headers() else None


class HttpClient:
    """Asks one source. Threads may share it: the rate limit holds over all of them."""

    def __init__(
        self, *, source: str, requests_per_s: float, limits: Limits | None = None, stop: threading.Event | None = None
    ) -> None:
        """`source` names the provider in errors; `stop` ends waiting at once."""
        self._source = source
        self._rate = RateLimit(requests_per_s)
        self._limits = limits or Limits()
        self._stop = stop or threading.Event()
        self._manager: PoolManager | None = None
        self._opening = threading.Lock()

    def get_json(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        validator: Validator | None = None,
    ) -> Answer:
        """Return what a GET brings. With a `validator` the answer may be `unchanged`. Raises a ProviderError."""
        full = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url
        asked = {**(headers or {}), **(validator.headers() if validator else {})}
        return self._json("GET", full, asked, None)

    def post_json(self, url: str, body: object, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return what a POST of JSON brings. For queries only: it is retried. Raises a ProviderError."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._json("POST", url, sent, json.dumps(body).encode())

    @contextmanager
    def stream(
        self, url: str, *, largest_bytes: int, validator: Validator | None = None
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """Yield the answer (headers only) and its body, decoded, in pieces of at most a megabyte.

        Opening is retried; a body that breaks off raises ProviderUnavailable, one above `largest_bytes`
        ResponseChanged.
        """
        response = self._open("GET", url, validator.headers() if validator else {}, None)
        try:
            answer = Answer(value=None, headers=_headers(response), unchanged=response.status == NOT_MODIFIED)
            yield answer, self._pieces(response, url, largest_bytes)
        finally:
            response.release_conn() if response.closed else response.close()

    def _json(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        for attempt in range(self._limits.tries):
            response = self._open(method, url, {"Accept": "application/json", **headers}, body, spent=attempt)
            try:
                if response.status == NOT_MODIFIED:
                    return Answer(value=None, headers=_headers(response), unchanged=True)
                content = b"".join(self._pieces(response, url, self._limits.largest_bytes))
            except ProviderUnavailable:
                # A body that broke off may come whole the next time.
                if attempt + 1 >= self._limits.tries:
                    raise
                self._sleep(backoff_s(attempt))
                continue
            finally:
                response.close()
            return Answer(value=self._parsed(content, url), headers=_headers(response))
        raise ProviderUnavailable(f"{self._source}: {_place(url)} did not answer")

    def _parsed(self, content: bytes, url: str) -> object:
        try:
            value: object = json.loads(
                content, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse_constant
            )
        except (ValueError, RecursionError) as err:
            sample = content[:2000].decode("utf-8", errors="replace")
            reason = " ".join(str(err).split())[:120]
            raise ResponseChanged(f"{self._source}: {_place(url)} sent no JSON ({reason})", sample=sample) from err
        return value

    def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, spent: int = 0
    ) -> BaseHTTPResponse:
        """Return an answer with status 200 or 304, its body not read yet; `spent` tries are gone already."""
        from urllib3.exceptions import HTTPError

        waited = 0.0
        reason = "no answer"
        for attempt in range(spent, self._limits.tries):
            self._sleep(self._rate.wait_s())
            wait: float | None = None
            try:
                response = self._pool().request(
                    method,
                    url,
                    headers={"User-Agent": USER_AGENT, **headers},
                    body=body,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
            except HTTPError as err:
                reason = type(err).__name__
            else:
                if response.status in {200, NOT_MODIFIED}:
                    return response
                reason = f"HTTP {response.status}"
                wait = parse_retry_after(response.headers.get("Retry-After"))
                self._refuse_final(response, url)
            wait = backoff_s(attempt) if wait is None else wait
            if attempt + 1 >= self._limits.tries:
                break
            if waited + wait > self._limits.waiting_s:
                reason += f", asks to wait {wait:,.0f} s"
                break
            waited += wait
            self._sleep(wait)
        raise ProviderUnavailable(f"{self._source}: {_place(url)} did not answer ({reason})")

    def _refuse_final(self, response: BaseHTTPResponse, url: str) -> None:
        """Close the answer; raise for a status that asking again would not change."""
        status, place = response.status, _place(url)
        # Only the beginning is wanted: an error page may be endless.
        sample = b"" if status in RETRIED else response.read(2000)
        response.close()
        if status in {401, 403}:
            raise CredentialsRefused(f"{self._source}: {place} refuses the credentials (HTTP {status})")
        if status not in RETRIED:
            raise ResponseChanged(
                f"{self._source}: {place} answered HTTP {status}", sample=sample.decode("utf-8", errors="replace")
            )

    def _pieces(self, response: BaseHTTPResponse, url: str, largest_bytes: int) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError

        seen = 0
        try:
            for piece in response.stream(MEGABYTE, decode_content=True):
                seen += len(piece)
                if seen > largest_bytes:
                    raise ResponseChanged(f"{self._source}: {_place(url)} sent more than {largest_bytes:,} bytes")
                if self._stop.is_set():
                    raise Interrupted("interrupted")
                yield piece
        except (HTTPError, zlib.error, OSError) as err:
            raise ProviderUnavailable(f"{self._source}: {_place(url)} broke off ({type(err).__name__})") from err

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise Interrupted("interrupted")

    def _pool(self) -> PoolManager:
        with self._opening:
            if self._manager is None:
                self._manager = _open_pool(self._limits)
            return self._manager


def _open_pool(limits: Limits) -> PoolManager:
    from urllib.request import getproxies

    from urllib3 import PoolManager, ProxyManager, Timeout

    timeout = Timeout(connect=limits.connect_s, read=limits.read_s)
    if proxy := getproxies().get("https"):
        return ProxyManager(proxy, maxsize=16, timeout=timeout)
    return PoolManager(maxsize=16, timeout=timeout)


def _headers(response: BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _place(url: str) -> str:
    """Return host and path: a query may hold a key."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{parts.path}"


def _decimal(text: str) -> Decimal:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return Decimal(text)


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
