"""A snapshot as a file: written equals read, and whatever is not exactly so is refused and named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cache import snapshot_file
from cache.snapshot_file import FiledScope, SnapshotFile, parse_snapshot, snapshot_text
from providers.errors import JobError
from providers.offer import BillingTerms, PriceClass
from providers.strict_json import decode_strictly
from tests.fixtures.offers import DAY, NIGHT, SPOT, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.offer import Offer

FULL = make_offer(
    "nimbus.full", zone="north-1", variant="host-7", vcpus=8, host_ram_bytes=32 * 2**30, disk_bytes=10**12,
    network_bytes_per_s=1.25e9, gpu_memory_bytes=24 * 2**30, flags=("marketplace", "arm_host"), currency="EUR",
    billing=BillingTerms(increment_s=60, minimum_s=600, charged_when_stopped=True, source="the test"),
    unit_price_nano=1_234_567_891, pricing_model=SPOT,
)  # fmt: skip
HELD = make_offer("nimbus.held", observed_at=NIGHT - DAY, flags=("price_held",))
LISTED = make_offer("nimbus.listed", price_class=PriceClass.LIST, unit_price_nano=0, gpu=None, gpu_name="")
OFFERS = (make_offer(), HELD, FULL, LISTED)


def written(*offers: Offer, **changes: Any) -> str:
    live = [offer for offer in offers if offer.price_class is PriceClass.LIVE]
    scopes = [FiledScope(scope=scope, batch_at=NIGHT, whole=True) for scope in {scope_of(offer) for offer in live}]
    values = {"billing": {"nimbus": BillingTerms()}, "made_at": NIGHT, "market_sha256": "ab" * 32, "tool_version": "1"}
    return snapshot_text(offers, scopes, **{**values, **changes})[0]


def read(text: str) -> SnapshotFile:
    return parse_snapshot(text.encode(), where="prices.json", now=NIGHT)


def test_written_equals_read() -> None:
    found = read(written(*OFFERS))
    assert sorted(found.offers, key=lambda offer: offer.key) == sorted(OFFERS, key=lambda offer: offer.key)
    assert (found.made_at, found.market_sha256) == (NIGHT, "ab" * 32)
    assert [scope.batch_at for scope in found.scopes] == [NIGHT, NIGHT]


@pytest.mark.parametrize("rate", [0.1, 1 / 3, 12_345.678_901, 1.5, 1e9, 123_456_789.123])
def test_a_rate_with_a_fraction_is_kept_to_the_bit(rate: float) -> None:
    text = written(make_offer(network_bytes_per_s=rate))
    assert read(text).offers[0].network_bytes_per_s == rate
    assert isinstance(json.loads(text)["offers"][0]["network_bytes_per_s"], str | int)


def test_equal_content_is_equal_bytes() -> None:
    assert written(*OFFERS) == written(*reversed(OFFERS))
    lines = written(*OFFERS).splitlines()
    assert [sum(f'"{offer.instance_type}"' in line for line in lines) for offer in OFFERS] == [1, 1, 1, 1]


def test_there_is_no_float_in_it() -> None:
    def refuse(text: str) -> float:
        raise AssertionError(f"a float: {text}")

    json.loads(written(*OFFERS), parse_float=refuse)


def test_the_digest_is_that_of_everything_else() -> None:
    import hashlib

    raw = json.loads(written(*OFFERS))
    stated = raw.pop("sha256")
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == stated


def resealed(change: Callable[[dict[str, Any]], object], *offers: Offer) -> str:
    """Return a file that was changed and given a digest that matches: only what it says can be wrong."""
    raw = json.loads(written(*(offers or OFFERS)))
    change(raw)
    raw["sha256"] = snapshot_file._digest({key: value for key, value in raw.items() if key != "sha256"})
    return json.dumps(raw)


def test_what_is_changed_without_a_change_is_read() -> None:
    assert read(resealed(lambda raw: None)).offers == read(written(*OFFERS)).offers


def setting(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return a change of one place: "offers.0.zone"."""

    def change(raw: Any) -> None:
        *way, last = place.split(".")
        for step in way:
            raw = raw[int(step) if step.isdigit() else step]
        raw[last] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("schema", "tunefare.price-snapshot/v2", "schema = .*: tunefare.price-snapshot/v1, which is what this"),
        ("surprise", 1, "surprise = 1: one of schema"),
        ("made_at", "2026-11-24T03:06:00Z", "made_at = .*: a moment that has come"),
        ("made_at", "2026-11-24 03:00", "made_at = .*: a moment such as"),
        ("made_at", "2026-13-24T03:00:00Z", "made_at = .*: a moment such as"),
        ("market_sha256", "AB" * 32, "market_sha256"),
        ("billing", [], "billing = 'a list': an object"),
        ("offers", {}, "offers = 'an object': a list"),
        ("offers.0.extra", 1, r"offers\[0\].extra = 1"),
        ("offers.0.provider", "", r"offers\[0\].provider = ''"),
        ("offers.0.provider", " nimbus", r"offers\[0\].provider"),
        ("offers.0.instance_type", "a\nb", r"offers\[0\].instance_type = 'a b': a name"),
        ("offers.0.instance_type", "a\x1b[31m", r"offers\[0\].instance_type"),
        ("offers.0.instance_type", "x" * 201, r"offers\[0\].instance_type"),
        ("offers.0.zone", 3, r"offers\[0\].zone = 3"),
        ("offers.0.gpu_count", 0, r"offers\[0\].gpu_count = 0"),
        ("offers.0.gpu_count", True, r"offers\[0\].gpu_count = true"),
        ("offers.0.unit_price_nano", -1, r"unit_price_nano = -1"),
        ("offers.0.unit_price_nano", "3", r"unit_price_nano = '3'"),
        ("offers.0.currency", "usd", r"currency = 'usd': three capital letters"),
        ("offers.0.observed_at", "2026-11-24T04:00:00Z", "observed_at = .*: a moment that has come"),
        ("offers.0.observed_at", "2026-11-24T03:01:00Z", "observed_at = .*: a moment that is not after the batch"),
        ("offers.0.observed_at", "2026-11-24T02:59:00Z", "observed_at = .*: the moment of the batch of its scope"),
        ("offers.0.price_class", "free", "price_class = 'free': one of list, live, own"),
        ("offers.0.pricing_model", "reserved", "provider = 'nimbus': a provider whose scope nimbus north reserved"),
        ("offers.0.pricing_model", "free", "pricing_model = 'free'"),
        ("offers.0.flags", ["a", "a"], r"flags = 'a list': a list of marks"),
        ("offers.0.flags", ["A b"], r"flags = 'a list'"),
        ("offers.0.network_bytes_per_s", "1e3", "network_bytes_per_s"),
        ("offers.0.billing", {"increment_s": 0}, r"billing.increment_s = 0"),
        ("offers.0.billing", {"increment_s": 1, "more": 1}, r"billing.more = 1"),
        ("scopes.0.batch_at", "2026-11-24T03:06:00Z", r"scopes\[0\].batch_at"),
        ("scopes.0.offers", 7, r"scopes\[0\].offers = 7"),
        ("scopes.0.whole", "yes", r"scopes\[0\].whole = 'yes': true or false"),
    ],
)  # fmt: skip
def test_what_is_not_as_written_down_is_named(place: str, value: object, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        read(resealed(setting(place, value), make_offer("nimbus.a"), make_offer("nimbus.b")))
    assert str(caught.value).startswith("prices.json: ")


def test_a_clock_that_is_a_little_ahead_is_forgiven() -> None:
    ahead = NIGHT + timedelta(minutes=4)
    scope = FiledScope(scope=scope_of(make_offer()), batch_at=ahead, whole=True)
    text, _ = snapshot_text(
        [make_offer(observed_at=ahead)], [scope], billing={}, made_at=ahead, market_sha256="ab" * 32, tool_version="1"
    )
    assert read(text).offers[0].observed_at == ahead


@pytest.mark.parametrize("key", ["schema", "made_at", "sha256", "market_sha256", "billing", "scopes", "offers"])
def test_nothing_may_be_missing(key: str) -> None:
    with pytest.raises(JobError, match=key):
        read(resealed(lambda raw: raw.pop(key)) if key != "sha256" else written().replace('"sha256"', '"sha257"'))


@pytest.mark.parametrize("key", ["zone", "gpu", "vcpus", "billing", "network_bytes_per_s", "flags"])
def test_no_field_of_an_offer_may_be_missing(key: str) -> None:
    with pytest.raises(JobError, match=rf"offers\[0\].{key}"):
        read(resealed(lambda raw: raw["offers"][0].pop(key)))


def test_twice_the_same_is_refused() -> None:
    with pytest.raises(JobError, match="offers = 'a list': each offer once"):
        read(resealed(lambda raw: raw["offers"].append(raw["offers"][0])))
    with pytest.raises(JobError, match="scopes = 'a list': each scope once"):
        read(resealed(lambda raw: raw["scopes"].append(raw["scopes"][0])))


def test_a_price_of_nothing_is_no_live_price() -> None:
    with pytest.raises(JobError, match="stands for unknown"):
        read(resealed(setting("offers.0.unit_price_nano", 0), make_offer()))


@pytest.mark.parametrize("at", range(0, 900, 37))
def test_one_changed_digit_is_found(at: int) -> None:
    text = written(*OFFERS)
    digits = [place for place, char in enumerate(text) if char.isdigit()]
    place = digits[at % len(digits)]
    damaged = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    with pytest.raises(JobError):
        read(damaged)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' stands twice"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice"),
        ('{"a": 1.0}', "1.0 is no whole number"),
        ('{"a": 1e3}', "1e3 is no whole number"),
        ('{"a": NaN}', "NaN is no whole number"),
        ('{"a": -Infinity}', "-Infinity is no whole number"),
        ('{"a": ' + "9" * 5000 + "}", "a whole number of 5000 digits"),
        ("[" * 100_000, "not nested without end|readable JSON"),
        ("", "readable JSON"),
        ("{", "readable JSON"),
    ],
    ids=range(10),
)
def test_json_is_read_strictly(text: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        decode_strictly(text.encode(), where="prices.json")


def test_text_is_utf_8() -> None:
    with pytest.raises(JobError, match="readable JSON"):
        decode_strictly(b'{"a": "\xff"}', where="prices.json")


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null", "{}"])
def test_another_document_is_named(text: str) -> None:
    with pytest.raises(JobError, match=r"prices\.json: (document|schema) = "):
        read(text)


def test_a_file_without_end_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_file, "LARGEST_BYTES", 10)
    with pytest.raises(JobError, match="at most 10 bytes"):
        read(written())


def test_a_held_price_keeps_its_age_in_the_file() -> None:
    (offer,) = read(written(HELD)).offers
    assert offer == HELD
    with pytest.raises(JobError, match="observed_at"):
        read(written(replace(HELD, flags=())))
