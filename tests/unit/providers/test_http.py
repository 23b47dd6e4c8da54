"""The one HTTP client against servers that misbehave. No test waits for real: `wait` notes how long it would have."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import zlib
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from werkzeug import Response

from providers.errors import CredentialsRefused, Interrupted, JobError, ProviderUnavailable, ResponseChanged
from providers.http import MEGABYTE, Answer, HttpClient, Limits, Validator
from tests.fixtures.quick_server import QuickServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer
    from werkzeug import Request

pytestmark = pytest.mark.loopback

KEY = "canary-0b51-must-not-leak"
QUICK = Limits(connect_s=2.0, read_s=2.0, tries=3, waiting_s=60.0, largest_bytes=100_000)
CUT, KEEP, STALL, DRIP = "cut", "keep", "stall", "drip"


class Waits(list[float]):
    """Stands in for sleeping: notes how long."""

    def __call__(self, seconds: float) -> bool:
        self.append(seconds)
        return False


def client(waits: Waits | None = None, **changes: object) -> HttpClient:
    values: dict[str, object] = {"source": "nimbus", "requests_per_s": float("inf"), "limits": QUICK}
    return HttpClient(**{**values, "wait": Waits() if waits is None else waits, **changes})  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    running = QuickServer()
    running.start()
    yield running
    running.stop()


class RawServer:
    """Sends what a test wrote, one entry a request, the last again and again; what then: keep, cut, stall or drip."""

    def __init__(self, *answers: tuple[bytes, str]) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/prices"
        self.requests: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := _read_request(connection):
                answer, then = self._answers[min(len(self.requests), len(self._answers) - 1)]
                self.requests.append(request)
                with suppress(OSError):  # the client may have hung up
                    connection.sendall(answer)
                    if then == STALL:
                        self._over.wait(5)
                    while then == DRIP and not self._over.wait(0.01):
                        connection.sendall(b" ")
                if then != KEEP:
                    return

    def stop(self) -> None:
        self._over.set()
        self._listening.close()


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            piece = connection.recv(65_536)
        except OSError:
            return b""
        if not piece:
            return b""
        received += piece
    return received


@contextmanager
def raw(*answers: tuple[bytes, str]) -> Iterator[RawServer]:
    running = RawServer(*answers)
    try:
        yield running
    finally:
        running.stop()


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    stated = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {stated}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# --- what comes back


def test_numbers_are_exact_and_text_is_text(server: HTTPServer) -> None:
    server.expect_request("/prices", query_string={"$filter": "a eq 'b c'", "n": "2"}).respond_with_data(
        '{"price": 0.1, "count": 8, "tiny": 1E-7, "name": "\\u00e9"}', content_type="application/json"
    )
    answer = client().get_json(server.url_for("/prices"), params={"$filter": "a eq 'b c'", "n": "2"})
    assert answer.value == {"price": Decimal("0.1"), "count": 8, "tiny": Decimal("1E-7"), "name": "é"}
    assert isinstance(answer.value, dict)
    assert type(answer.value["price"]) is Decimal
    assert type(answer.value["count"]) is int
    assert not answer.unchanged


def test_what_is_asked(server: HTTPServer) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response('{"ok": true}')

    server.expect_request("/prices").respond_with_handler(answer)
    asking = client()
    asking.get_json(server.url_for("/prices?a=1"), params={"b": "2"}, headers={"Authorization": "Bearer x"})
    asking.post_json(server.url_for("/prices"), {"query": "ä"})
    got, posted = seen
    assert got.method == "GET"
    assert dict(got.args) == {"a": "1", "b": "2"}
    assert got.headers["Authorization"] == "Bearer x"
    assert got.headers["Accept"] == "application/json"
    assert got.headers["Accept-Encoding"] == "gzip"
    assert got.headers["User-Agent"].startswith("tunefare")
    assert posted.method == "POST"
    assert posted.headers["Content-Type"] == "application/json"
    assert json.loads(posted.data) == {"query": "ä"}


def test_a_compressed_answer_is_read(server: HTTPServer) -> None:
    body = json.dumps(list(range(1000))).encode()
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        server.expect_oneshot_request("/prices").respond_with_data(packed, headers={"Content-Encoding": encoding})
        assert client().get_json(server.url_for("/prices")).value == list(range(1000))


# --- what is not asked again


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, CredentialsRefused, "refuses the credentials (HTTP 401)"),
        (403, CredentialsRefused, "refuses the credentials (HTTP 403)"),
        (404, ResponseChanged, "answered HTTP 404"),
        (418, ResponseChanged, "answered HTTP 418"),
        (204, ResponseChanged, "answered HTTP 204"),
        (206, ResponseChanged, "answered HTTP 206"),
        (301, ResponseChanged, "answered HTTP 301"),
        (302, ResponseChanged, "answered HTTP 302"),
        (307, ResponseChanged, "answered HTTP 307"),
        (304, ResponseChanged, "answered HTTP 304"),
    ],
)
def test_a_final_status_is_not_asked_again(server: HTTPServer, status: int, error: type[Exception], words: str) -> None:
    headers = {"Location": server.url_for("/elsewhere")}
    server.expect_request("/prices").respond_with_data("why\nnot", status=status, headers=headers)
    server.expect_request("/elsewhere").respond_with_json({"stolen": True})
    with pytest.raises(error) as caught:
        client().get_json(server.url_for("/prices"), params={"key": KEY}, headers={"Authorization": KEY})
    assert str(caught.value) == f"nimbus: 127.0.0.1/prices {words}"
    assert len(server.log) == 1


def test_the_beginning_of_an_error_page_is_kept(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data("<h1>moved</h1>" * 10_000, status=404)
    with pytest.raises(ResponseChanged) as caught:
        client().get_json(server.url_for("/prices"))
    assert caught.value.sample.startswith("<h1>moved</h1>")
    assert len(caught.value.sample) == 2000


def test_an_error_page_that_breaks_off_or_never_ends_is_still_that_error() -> None:
    quick = Limits(read_s=0.1, tries=1)
    for then in (CUT, STALL, DRIP):
        with raw((http(b"gone", status="404 Not Found", length=10**9), then)) as running:
            with pytest.raises(ResponseChanged, match="HTTP 404") as caught:
                client(limits=quick).get_json(running.url)
            assert caught.value.sample.startswith("gone")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>busy</html>", "Expecting value"),
        (b"", "Expecting value"),
        (b'{"a": 1', "delimiter"),
        (b'{"price": NaN}', "NaN is not JSON"),
        (b'{"price": -Infinity}', "-Infinity is not JSON"),
        (b"[" + b"7" * 5000 + b"]", "a number of 5000 digits"),
        (b"[0." + b"7" * 5000 + b"]", "a number of 5002 digits"),
        (b"[1e999999999]", "a number with the exponent 999999999"),
        (b"[1e99999999999999999999]", "a number with an exponent beyond any"),
        (b"[" * 49_000 + b"]" * 49_000, "nested too deeply"),
        (b"\xff\xfe\xfa", "codec can't decode"),
    ],
)
def test_what_is_no_json_is_a_change_of_the_source(server: HTTPServer, body: bytes, reason: str) -> None:
    server.expect_request("/prices").respond_with_data(body)
    with pytest.raises(ResponseChanged) as caught:
        client().get_json(server.url_for("/prices"))
    assert str(caught.value).startswith("nimbus: 127.0.0.1/prices sent no JSON (")
    assert reason in str(caught.value)
    assert caught.value.sample == body[:2000].decode("utf-8", errors="replace")
    assert len(server.log) == 1


def test_an_answer_above_the_limit_is_refused_however_it_is_packed(server: HTTPServer) -> None:
    for headers, body in (
        ({}, b" " * 100_001),
        ({"Content-Encoding": "gzip"}, gzip.compress(b" " * 50 * MEGABYTE)),
    ):
        server.expect_oneshot_request("/prices").respond_with_data(body, headers=headers)
        with pytest.raises(ResponseChanged, match="sent more than 100,000 bytes"):
            client().get_json(server.url_for("/prices"))
    server.expect_oneshot_request("/prices").respond_with_data(b"[" + b" " * 99_998 + b"]")
    assert client().get_json(server.url_for("/prices")).value == []


def test_an_encoding_that_nobody_asked_for(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data(b"x", headers={"Content-Encoding": "br"})
    with pytest.raises(ResponseChanged, match="sent a body encoded as 'br'"):
        client().get_json(server.url_for("/prices"))


@pytest.mark.parametrize(
    "url",
    [
        "http://prices.example/list", "ftp://127.0.0.1/x", "file:///etc/passwd", "http:///x", "https://",
        "//127.0.0.1/",
        "https://user:word@prices.example/", "http://127.0.0.1@prices.example/", "https://[::1", "https://x:99999999/",
        "https://x\n.example/", "", "http://127.0.0.1.prices.example/",
    ],
)  # fmt: skip
def test_only_https_and_this_machine_are_asked(url: str) -> None:
    with pytest.raises(ResponseChanged, match="is not an https:// address") as caught:
        client().get_json(url, params={"key": KEY})
    assert "\n" not in str(caught.value)
    assert "word" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["abc\n", "abc\r\nX-Other: 1", "schlüssel", "\u200b0123"])
def test_a_key_that_cannot_be_sent_is_said_to_be_and_not_shown(server: HTTPServer, key: str) -> None:
    server.expect_request("/prices").respond_with_json({})
    with pytest.raises(CredentialsRefused, match="sent as Authorization holds") as caught:
        client().get_json(server.url_for("/prices"), headers={"Authorization": f"Bearer {key}"})
    assert key not in str(caught.value)
    assert not server.log


# --- what is asked again


def test_a_source_that_is_down_for_a_moment(server: HTTPServer) -> None:
    for status in (500, 503):
        server.expect_oneshot_request("/prices").respond_with_data("oops", status=status)
    server.expect_oneshot_request("/prices").respond_with_json({"ok": 1})
    waits = Waits()
    assert client(waits).get_json(server.url_for("/prices")).value == {"ok": 1}
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0
    assert len(waits) == 2


def test_a_source_that_stays_down_is_given_up(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data("oops", status=502)
    waits = Waits()
    for ask in (client(waits).get_json, lambda url: client(waits).post_json(url, {})):
        server.clear_log()
        waits.clear()
        with pytest.raises(ProviderUnavailable) as caught:
            ask(server.url_for("/prices"))
        assert str(caught.value) == "nimbus: 127.0.0.1/prices did not answer (HTTP 502)"
        assert len(server.log) == 3
        assert len(waits) == 2  # nobody waits after the last try


def test_a_source_out_of_reach_is_not_tried_four_times_for_each_region(server: HTTPServer) -> None:
    down, up = server.url_for("/down"), server.url_for("/up")
    server.expect_request("/down").respond_with_data("oops", status=502)
    server.expect_request("/up").respond_with_json([])
    one = client(Waits())

    def requests_for(url: str) -> int:
        server.clear_log()
        with suppress(ProviderUnavailable):
            one.get_json(url)
        return len(server.log)

    assert [requests_for(down) for _ in range(5)] == [3, 3, 3, 1, 1]
    assert requests_for(up) == 1
    assert requests_for(down) == 3


def test_tries_are_counted_over_status_and_body_together() -> None:
    cut = http(b"[1,", length=100), CUT
    down = http(b"", status="500 No"), KEEP
    with raw(down, cut, down, cut, down, (http(b"[]"), KEEP)) as running:
        with pytest.raises(ProviderUnavailable):
            client().get_json(running.url)
        assert len(running.requests) == 3


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"x-ms-ratelimit-prices-retry-after": "11"}, 11.0),
        ({"Retry-After": "3", "x-ms-ratelimit-prices-retry-after": "9"}, 9.0),
    ],
)
def test_a_busy_source_says_how_long_to_wait(server: HTTPServer, headers: dict[str, str], expected: float) -> None:
    server.expect_oneshot_request("/prices").respond_with_data("", status=429, headers=headers)
    server.expect_oneshot_request("/prices").respond_with_json([])
    waits = Waits()
    assert client(waits).get_json(server.url_for("/prices")).value == []
    assert waits == ([expected] if expected else [])


def test_a_busy_source_names_a_moment(server: HTTPServer) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.expect_oneshot_request("/prices").respond_with_data("", status=429, headers={"Retry-After": moment})
    server.expect_oneshot_request("/prices").respond_with_json([])
    waits = Waits()
    client(waits).get_json(server.url_for("/prices"))
    assert 20 < waits[0] <= 30


def test_words_in_retry_after_are_no_wait(server: HTTPServer) -> None:
    server.expect_oneshot_request("/prices").respond_with_data("", status=429, headers={"Retry-After": "soon"})
    server.expect_oneshot_request("/prices").respond_with_json([])
    waits = Waits()
    client(waits).get_json(server.url_for("/prices"))
    assert 0.25 <= waits[0] <= 0.5


def test_an_hour_is_not_waited_for(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data("", status=429, headers={"Retry-After": "3600"})
    waits = Waits()
    with pytest.raises(ProviderUnavailable, match=r"HTTP 429, and the next try is 3,600 s away"):
        client(waits).get_json(server.url_for("/prices"))
    assert not waits
    assert len(server.log) == 1


def test_waiting_is_bounded_in_all(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data("", status=429, headers={"Retry-After": "25"})
    waits = Waits()
    with pytest.raises(ProviderUnavailable):
        client(waits, limits=Limits(tries=10, waiting_s=60.0)).get_json(server.url_for("/prices"))
    assert waits == [25.0, 25.0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((b"", STALL), "it fell silent"),
        ((http(b"[1,", length=100), STALL), "it fell silent"),
        ((http(b"[1,", length=100), CUT), "the connection broke off"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n", CUT), "the connection broke off"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[1,\r\n", CUT), "the connection broke off"),
        ((b"", CUT), "the connection broke off"),
        ((b"gibberish\r\n\r\n", CUT), "the connection broke off"),
        ((http(gzip.compress(b"[1]")[:-9], "Content-Encoding: gzip"), KEEP), "the body ended before it was whole"),
        ((http(b"[1]", "Content-Encoding: gzip"), KEEP), "the body is damaged"),
        ((http(b"[1,", length=10**9), DRIP), "the body took more than 0 s"),
    ],
)
def test_a_broken_answer_is_asked_for_again(answer: tuple[bytes, str], reason: str) -> None:
    limits = Limits(read_s=0.2, tries=2, body_s=0.2 if answer[1] == DRIP else 60.0)
    with raw(answer, (http(b'{"whole": true}'), KEEP)) as running:
        assert client(limits=limits).get_json(running.url).value == {"whole": True}
        assert len(running.requests) == 2
    with raw(answer) as running, pytest.raises(ProviderUnavailable, match="did not answer") as caught:
        client(limits=Limits(read_s=0.2, tries=1, body_s=limits.body_s)).get_json(running.url, params={"key": KEY})
    assert reason in str(caught.value)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    waits = Waits()
    with pytest.raises(ProviderUnavailable, match=r"127\.0\.0\.1/prices did not answer \(no connection\)"):
        client(waits).get_json(f"http://127.0.0.1:{port}/prices", params={"key": KEY})
    assert len(waits) == 2


# --- secrets


def test_a_key_stands_in_no_error(server: HTTPServer) -> None:
    answers: list[Callable[[], object]] = [
        lambda: client().get_json(server.url_for("/prices"), params={"key": KEY}, headers={"X-Key": KEY}),
        lambda: client().post_json(server.url_for(f"/prices?key={KEY}"), {"key": KEY}, headers={"X-Key": KEY}),
    ]
    for status, body in ((401, ""), (404, ""), (429, ""), (500, ""), (200, "no json"), (200, " " * 200_000)):
        server.clear()
        server.expect_request("/prices").respond_with_data(body, status=status)
        for ask in answers:
            with pytest.raises((CredentialsRefused, ResponseChanged, ProviderUnavailable)) as caught:
                ask()
            error: BaseException | None = caught.value
            while error is not None:
                assert KEY not in f"{error} {error!r} {getattr(error, 'sample', '')}"
                error = error.__cause__ or error.__context__
    assert KEY not in repr(client())


# --- asking whether something changed


def test_unchanged_is_said_and_costs_no_body(server: HTTPServer) -> None:
    def answer(request: Request) -> Response:
        if request.headers.get("If-None-Match") == '"v1"' or "If-Modified-Since" in request.headers:
            return Response(status=304, headers={"ETag": '"v1"'})
        return Response("[1]", headers={"ETag": '"v1"', "Last-Modified": "Sun, 22 Nov 2026 03:00:00 GMT"})

    server.expect_request("/prices").respond_with_handler(answer)
    asking, url = client(), server.url_for("/prices")
    first = asking.get_json(url)
    assert first.validator == Validator(etag='"v1"', last_modified="Sun, 22 Nov 2026 03:00:00 GMT")
    again = asking.get_json(url, validator=first.validator)
    assert again.unchanged
    assert again.value is None
    assert again.validator == Validator(etag='"v1"')
    assert asking.get_json(url, validator=Validator(etag='"v0"')).value == [1]
    with asking.stream(url, largest_bytes=10, validator=first.validator) as (answered, pieces):
        assert answered.unchanged
        assert list(pieces) == []


def test_validators_that_cannot_be_sent_back_are_forgotten() -> None:
    assert Answer(value=1).validator is None
    assert Answer(value=1, headers={"etag": "", "last-modified": ""}).validator is None
    assert Answer(value=1, headers={"etag": '"é"'}).validator is None
    assert Answer(value=1, headers={"etag": '"a\x00"'}).validator is None
    assert Answer(value=1, headers={"etag": "x" * 501, "last-modified": " now "}).validator == Validator(
        last_modified="now"
    )
    assert Validator().headers() == {}


# --- streaming


def test_a_stream_comes_in_pieces_and_is_decoded(server: HTTPServer) -> None:
    body = bytes(range(256)) * 10_000
    server.expect_request("/plain").respond_with_data(body)
    server.expect_request("/packed").respond_with_data(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    for path in ("/plain", "/packed"):
        with client().stream(server.url_for(path), largest_bytes=len(body)) as (answer, pieces):
            assert not answer.unchanged
            got = list(pieces)
        assert b"".join(got) == body
        assert max(map(len, got)) <= MEGABYTE


def test_a_stream_above_its_limit_breaks_off(server: HTTPServer) -> None:
    server.expect_request("/plain").respond_with_data(b"x" * 1001)
    with (
        client().stream(server.url_for("/plain"), largest_bytes=1000) as (_, pieces),
        pytest.raises(ResponseChanged, match="sent more than 1,000 bytes"),
    ):
        list(pieces)


def test_opening_a_stream_is_tried_again_and_its_body_is_not() -> None:
    with raw((http(b"", status="500 No"), KEEP), (http(b"abc", length=9), CUT)) as running:
        with (
            client().stream(running.url, largest_bytes=100) as (_, pieces),
            pytest.raises(ProviderUnavailable, match=r"nimbus: 127.0.0.1/prices broke off \(the connection"),
        ):
            list(pieces)
        assert len(running.requests) == 2
    with (
        raw((http(gzip.compress(b"abc" * 99)[:-12], "Content-Encoding: gzip"), KEEP)) as running,
        client().stream(running.url, largest_bytes=1000) as (_, pieces),
        pytest.raises(ProviderUnavailable, match="ended before it was whole"),
    ):
        list(pieces)


def test_a_stream_that_drips_ends() -> None:
    with (
        raw((http(b"abc", length=10**9), DRIP)) as running,
        client(limits=Limits(read_s=1.0, stream_s=0.1)).stream(running.url, largest_bytes=10**9) as (_, pieces),
        pytest.raises(ProviderUnavailable, match="took more than"),
    ):
        list(pieces)


# --- connections


def test_connections_are_used_again_when_their_answer_was_read() -> None:
    with raw(
        (http(b"[1]"), KEEP), (http(b"", "ETag: a", status="304 Not Modified"), KEEP), (http(b"abc"), KEEP)
    ) as running:
        asking = client()
        asking.get_json(running.url)
        asking.get_json(running.url, validator=Validator(etag="a"))
        for _ in range(2):
            with asking.stream(running.url, largest_bytes=100) as (_, pieces):
                assert b"".join(pieces) == b"abc"
        assert len(running.requests) == 4
        assert running.connections == 1


def test_a_stream_left_half_read_is_not_used_again() -> None:
    with raw((http(b"a" * 3_000_000), KEEP), (http(b"[2]"), KEEP)) as running:
        asking = client()
        with asking.stream(running.url, largest_bytes=10**7) as (_, pieces):
            next(iter(pieces))
        assert asking.get_json(running.url).value == [2]
        assert running.connections == 2


def test_threads_share_a_client(server: HTTPServer) -> None:
    def answer(request: Request) -> Response:
        return Response(json.dumps([int(request.args["n"])]))

    server.expect_request("/prices").respond_with_handler(answer)
    asking, found, url = client(), {}, server.url_for("/prices")

    def ask(number: int) -> None:
        found[number] = asking.get_json(url, params={"n": str(number)}).value

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {number: [number] for number in range(8)}


def test_the_rate_holds_over_threads(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_json([])
    waits = Waits()
    # A clock that stands still: each request waits for the turns of all that were before it.
    asking = client(waits, requests_per_s=4.0, clock=lambda: 100.0)
    threads = [threading.Thread(target=asking.get_json, args=(server.url_for("/prices"),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(waits) == [0.25, 0.5, 0.75, 1.0, 1.25]


# --- stopping


def test_a_stop_ends_waiting_at_once(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data("", status=429, headers={"Retry-After": "50"})
    stop = threading.Event()
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            HttpClient(source="nimbus", requests_per_s=1e6, limits=QUICK, stop=stop).get_json(server.url_for("/prices"))
        except Interrupted as err:
            caught.append(err)

    asking = threading.Thread(target=ask)
    asking.start()
    while not server.log:
        asking.join(0.001)
    stop.set()
    asking.join(5)
    assert not asking.is_alive()
    assert len(caught) == 1


def test_a_stop_asks_nothing_more_and_ends_a_stream(server: HTTPServer) -> None:
    server.expect_request("/prices").respond_with_data(b"x" * 3_000_000)
    stop = threading.Event()
    asking = client(stop=stop)
    with asking.stream(server.url_for("/prices"), largest_bytes=10**7) as (_, pieces):
        next(pieces)
        stop.set()
        with pytest.raises(Interrupted):
            list(pieces)
    with pytest.raises(Interrupted):
        asking.get_json(server.url_for("/prices"))
    assert len(server.log) == 1


# --- proxies and certificates


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"])
def test_this_machine_is_asked_directly(server: HTTPServer, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    server.expect_request("/prices").respond_with_json([1])
    assert client(limits=Limits(tries=1)).get_json(server.url_for("/prices")).value == [1]


def test_a_proxy_is_asked_with_its_own_name_and_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw((b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", CUT)) as proxy:
        address = proxy.url.removeprefix("http://").removesuffix("/prices")
        monkeypatch.setenv("https_proxy", f"http://me:s%3Acret@{address}")
        with pytest.raises(ProviderUnavailable, match="proxy does not let it through") as caught:
            client(limits=Limits(tries=1)).get_json("https://prices.example/list", headers={"Authorization": KEY})
    assert "cret" not in str(caught.value)
    (request,) = proxy.requests
    assert request.startswith(b"CONNECT prices.example:443 ")
    assert b"authorization: Basic bWU6czpjcmV0\r\n" in request
    assert KEY.encode() not in request


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("socks5://me:secret@proxy.example:1080", "http://me:secret@:80", "http://proxy:secret"):
        monkeypatch.setenv("https_proxy", address)
        with pytest.raises(JobError, match="environment: https_proxy") as caught:
            client().get_json("https://prices.example/list")
        assert "secret" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = _self_signed(tmp_path)
    running = QuickServer(ssl_context=context)
    running.expect_request("/prices").respond_with_json([1])
    running.start()
    try:
        with pytest.raises(ProviderUnavailable, match="its certificate is not accepted"):
            client(limits=Limits(tries=1)).get_json(running.url_for("/prices"), headers={"Authorization": KEY})
        assert not running.log
        # The counter-proof: it is the missing trust that refuses it, and the usual variable brings it.
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert client(limits=Limits(tries=1)).get_json(running.url_for("/prices")).value == [1]
    finally:
        running.stop()


def _self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate
