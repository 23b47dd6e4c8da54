"""The one HTTP client of the adapters: timeouts, bounded retries with jitter, Retry-After, size limits, exact numbers.

JSON numbers are read as int and Decimal, never as float. Redirects are not followed: a key would travel along. What
goes wrong becomes one of four errors: `CredentialsRefused` (401, 403), `ResponseChanged` (another 4xx, a redirect,
something that is not JSON, an answer above the size limit: never retried), `ProviderUnavailable` (429, 5xx, timeouts,
broken connections, truncated bodies: retried within bounds), `Interrupted`.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from .addresses import is_trusted, place_of
from .connections import Connections
from .errors import LONGEST_SAMPLE, CredentialsRefused, Interrupted, ProviderUnavailable, ResponseChanged
from .inflate import ACCEPTED, PIECE_BYTES, Inflater, UnknownEncoding
from .pace import RateLimit, backoff_s, parse_retry_after
from .payload import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse
    from urllib3.exceptions import HTTPError

USER_AGENT = "tunefare (GPU price refresh)"
MEGABYTE = 1_000_000
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
REFUSED = frozenset({401, 403})
NOT_MODIFIED = 304
LONGEST_VALIDATOR = 500

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may take: seconds to connect and between two bytes, tries, seconds of waiting in all, bytes.

    `body_s` are the seconds that a JSON body may take to arrive, `stream_s` those of a streamed one: a source that
    sends a byte now and then never breaks the limit between two bytes.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    tries: int = 4
    waiting_s: float = 120.0
    largest_bytes: int = 64 * MEGABYTE
    body_s: float = 300.0
    stream_s: float = 3600.0


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
        """What the server handed out for asking again; None when it handed out nothing that can be sent back."""
        found = Validator(etag=self._sendable("etag"), last_modified=self._sendable("last-modified"))
        return found if found.headers() else None

    def _sendable(self, name: str) -> str:
        value = self.headers.get(name, "").strip()
        return value if len(value) <= LONGEST_VALIDATOR and value.isascii() and value.isprintable() else ""


GIVE_UP_AFTER = 3
"""So many requests in a row for which no try helped: then one try each, until one is answered."""


class HttpClient:
    """Asks one source. Threads may share it: the rate limit holds over all of them."""

    def __init__(
        self,
        *,
        source: str,
        requests_per_s: float,
        limits: Limits | None = None,
        stop: threading.Event | None = None,
        wait: Callable[[float], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`source` names the provider in errors; `stop` ends waiting at once.

        Tests stand in for time: `wait` sleeps so many seconds and returns whether to stop, `clock` tells seconds.
        """
        self._source = source
        self._rate = RateLimit(requests_per_s, clock=clock)
        self._given_up = 0
        self._limits = limits or Limits()
        self._stop = stop or threading.Event()
        self._wait = self._stop.wait if wait is None else wait
        self._clock = clock
        self._connections = Connections(connect_s=self._limits.connect_s, read_s=self._limits.read_s)

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
        return self._json(_Request(method="GET", url=full, headers=asked, conditional=bool(validator)))

    def post_json(self, url: str, body: object, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return what a POST of JSON brings. For queries only: it is retried. Raises a ProviderError."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._json(_Request(method="POST", url=url, headers=sent, body=json.dumps(body).encode()))

    @contextmanager
    def stream(
        self, url: str, *, largest_bytes: int, validator: Validator | None = None
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """Yield the answer (headers only) and its body, decoded, in pieces of at most a megabyte.

        Opening is retried; a body that breaks off raises ProviderUnavailable, one above `largest_bytes`
        ResponseChanged.
        """
        asked = {} if validator is None else validator.headers()
        request = _Request(method="GET", url=url, headers=asked, conditional=bool(validator))
        response = self._tried(request, lambda: self._send(request))
        try:
            answer = Answer(value=None, headers=_headers(response), unchanged=response.status == NOT_MODIFIED)
            yield answer, self._streamed(response, request, largest_bytes)
        finally:
            # Read to its end it has given its connection back already, and there is nothing left to close.
            response.close()

    def _json(self, request: _Request) -> Answer:
        accepting = request.with_headers({"Accept": "application/json"})
        return self._tried(request, lambda: self._sent_and_read(accepting))

    def _tried(self, request: _Request, one_try: Callable[[], Value]) -> Value:
        """Return what the first try brings that does not ask to be tried again. Raises ProviderUnavailable."""
        if not is_trusted(request.url):
            raise ResponseChanged(f"{self._source}: {place_of(request.url)} is not an https:// address to ask")
        waited = 0.0
        reason = "no answer"
        # Fifty regions of a source that is out of reach need not each find that out four times over.
        tries = self._limits.tries if self._given_up < GIVE_UP_AFTER else 1
        for attempt in range(tries):
            self._sleep(self._rate.wait_s())
            try:
                answer = one_try()
            except _TryAgain as failed:
                reason = failed.reason
                wait = backoff_s(attempt) if failed.wait_s is None else failed.wait_s
            else:
                self._given_up = 0
                return answer
            if attempt + 1 >= tries:
                break
            if waited + wait > self._limits.waiting_s:
                reason += f", and the next try is {wait:,.0f} s away"
                break
            waited += wait
            self._sleep(wait)
        self._given_up += 1
        raise ProviderUnavailable(f"{self._source}: {place_of(request.url)} did not answer ({reason})")

    def _sent_and_read(self, request: _Request) -> Answer:
        response = self._send(request)
        try:
            if response.status == NOT_MODIFIED:
                response.drain_conn()  # there is no body; this gives the connection back
                return Answer(value=None, headers=_headers(response), unchanged=True)
            limits = self._limits
            content = b"".join(self._pieces(response, request, limits.largest_bytes, within_s=limits.body_s))
        finally:
            response.close()
        return Answer(value=self._parsed(content, request), headers=_headers(response))

    def _send(self, request: _Request) -> BaseHTTPResponse:
        """Return an answer with status 200 (or 304, where that was asked for), its body not read yet.

        Raises _TryAgain for what the next try may change, another error for what it would not.
        """
        from urllib3.exceptions import HTTPError

        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPTED, **request.headers}
        self._refuse_unsendable(headers)
        try:
            response = self._connections.to(request.url).request(
                request.method,
                request.url,
                headers=headers,
                body=request.body,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except HTTPError as err:
            failed = _TryAgain(_in_words(err))
        else:
            if response.status == 200 or (response.status == NOT_MODIFIED and request.conditional):
                return response
            self._refuse_final(response, request)
            failed = _TryAgain(f"HTTP {response.status}", wait_s=_asked_to_wait(response.headers))
        raise failed  # out of the handler: what urllib3 says may repeat the address with its query

    def _refuse_final(self, response: BaseHTTPResponse, request: _Request) -> None:
        """Close the answer; raise for a status that asking again would not change."""
        status, place = response.status, place_of(request.url)
        try:
            # Only the beginning is wanted: an error page may be endless.
            known = status in RETRIED or status in REFUSED
            sample = b"" if known else self._beginning(response, request)
        finally:
            response.close()
        if status in REFUSED:
            raise CredentialsRefused(f"{self._source}: {place} refuses the credentials (HTTP {status})")
        if status not in RETRIED:
            raise ResponseChanged(
                f"{self._source}: {place} answered HTTP {status}", sample=sample.decode("utf-8", errors="replace")
            )

    def _beginning(self, response: BaseHTTPResponse, request: _Request) -> bytes:
        found = b""
        try:
            for piece in self._pieces(response, request, 2 * PIECE_BYTES, within_s=self._limits.read_s):
                found += piece
                if len(found) >= LONGEST_SAMPLE:
                    break
        except (_TryAgain, ResponseChanged):
            pass  # a sample is what came until then
        return found[:LONGEST_SAMPLE]

    def _streamed(self, response: BaseHTTPResponse, request: _Request, largest_bytes: int) -> Iterator[bytes]:
        try:
            yield from self._pieces(response, request, largest_bytes, within_s=self._limits.stream_s)
        except _TryAgain as err:
            reason = err.reason
        else:
            return
        raise ProviderUnavailable(f"{self._source}: {place_of(request.url)} broke off ({reason})")

    def _pieces(
        self, response: BaseHTTPResponse, request: _Request, largest_bytes: int, *, within_s: float
    ) -> Iterator[bytes]:
        """Yield the decoded body. Raises _TryAgain where it breaks off or is too slow, ResponseChanged, Interrupted."""
        from urllib3.exceptions import HTTPError

        place = place_of(request.url)
        try:
            inflater = Inflater(response.headers.get("Content-Encoding", ""))
        except UnknownEncoding as err:
            raise ResponseChanged(f"{self._source}: {place} sent a body encoded as {str(err)!r}") from err
        seen, until = 0, self._clock() + within_s
        try:
            while data := response.read1(PIECE_BYTES, decode_content=False):
                for piece in inflater.feed(data):
                    seen += len(piece)
                    if seen > largest_bytes:
                        raise ResponseChanged(f"{self._source}: {place} sent more than {largest_bytes:,} bytes")
                    yield piece
                if self._stop.is_set():
                    raise Interrupted("interrupted")
                if self._clock() > until:
                    raise _TryAgain(f"the body took more than {within_s:,.0f} s")
        except (HTTPError, zlib.error, OSError) as err:
            raise _TryAgain(_in_words(err)) from None
        if not inflater.whole:
            raise _TryAgain("the body ended before it was whole")

    def _parsed(self, content: bytes, request: _Request) -> object:
        try:
            return decode_json(content)
        except ValueError as err:
            sample = content[:LONGEST_SAMPLE].decode("utf-8", errors="replace")
            reason = " ".join(str(err).split())[:120]
            place = place_of(request.url)
            raise ResponseChanged(f"{self._source}: {place} sent no JSON ({reason})", sample=sample) from err

    def _refuse_unsendable(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                # The message names the header only: the value is a key, as a rule.
                raise CredentialsRefused(
                    f"{self._source}: what is sent as {name} holds a line break or a letter that no key has: copy the"
                    " key again"
                )

    def _sleep(self, seconds: float) -> None:
        if self._stop.is_set() or (seconds > 0 and self._wait(seconds)):
            raise Interrupted("interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is sent. `conditional`: the answer may be that nothing changed."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    conditional: bool = False

    def with_headers(self, more: Mapping[str, str]) -> _Request:
        """Return the request with `more` headers below its own."""
        headers = {**more, **self.headers}
        return _Request(method=self.method, url=self.url, headers=headers, body=self.body, conditional=self.conditional)


class _TryAgain(Exception):
    """This try failed in a way that the next one may not; `wait_s` is how long the source asks to wait."""

    def __init__(self, reason: str, *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the longest wait that Retry-After, or a header of the source's own that ends so, asks for, s."""
    waits = [parse_retry_after(value) for name, value in headers.items() if name.lower().endswith("retry-after")]
    return max((wait for wait in waits if wait is not None), default=None)


def _in_words(err: HTTPError | OSError | zlib.error) -> str:
    """Return what went wrong, without the address: urllib3 repeats it with its query."""
    words = {
        "NameResolutionError": "its host name is unknown",
        "NewConnectionError": "no connection",
        "ConnectTimeoutError": "no connection in time",
        "ReadTimeoutError": "it fell silent",
        "ProxyError": "the proxy does not let it through",
        "SSLError": "its certificate is not accepted, or TLS failed",
        "ProtocolError": "the connection broke off",
        "IncompleteRead": "the body ended before it was whole",
        "error": "the body is damaged",
    }
    name = type(err).__name__
    return words.get(name, name)


def _headers(response: BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
