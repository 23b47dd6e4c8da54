"""Whatever stands in a file: a snapshot or one line that says what is wrong, and a snapshot is what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import snapshot_file
from cache.snapshot_file import FiledScope, parse_snapshot, snapshot_text
from providers.errors import JobError
from providers.offer import BillingTerms, Offer
from providers.payload import clean_name
from tests.fixtures.offers import NIGHT, SPOT, make_offer, scope_of

NAMES = st.text(min_size=1, max_size=30).map(clean_name).filter(bool)
SIZES = st.none() | st.integers(0, 2**53)
TERMS = st.none() | st.builds(
    BillingTerms,
    increment_s=st.integers(1, 10**6),
    minimum_s=st.integers(0, 10**6),
    charged_when_stopped=st.booleans(),
    source=NAMES,
)
OFFERS = st.builds(
    make_offer,
    NAMES,
    provider=NAMES,
    region=NAMES,
    zone=st.none() | NAMES,
    variant=st.none() | NAMES,
    gpu=st.none() | NAMES,
    gpu_name=NAMES,
    gpu_count=st.integers(1, 1000),
    unit_price_nano=st.integers(1, 10**15),
    currency=st.sampled_from(["USD", "EUR", "CNY"]),
    vcpus=st.none() | st.integers(0, 10_000),
    host_ram_bytes=SIZES,
    disk_bytes=SIZES,
    gpu_memory_bytes=SIZES,
    network_bytes_per_s=st.none() | st.floats(0, 1e13, allow_subnormal=False).map(lambda rate: round(rate, 3)),
    flags=st.lists(st.sampled_from(["marketplace", "arm_host", "gpu_unknown"]), unique=True).map(tuple),
    pricing_model=st.sampled_from([SPOT, make_offer().pricing_model]),
    billing=TERMS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def written(offers: list[Offer]) -> str:
    scopes = [FiledScope(scope=scope, batch_at=NIGHT, whole=True) for scope in {scope_of(one) for one in offers}]
    return snapshot_text(
        offers, scopes, billing={}, made_at=NIGHT, market_sha256="ab" * 32, tool_version="1"
    )[0]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(OFFERS, max_size=5, unique_by=lambda offer: offer.key))
def test_written_equals_read(offers: list[Offer]) -> None:
    found = parse_snapshot(written(offers).encode(), where="file", now=NIGHT)
    assert sorted(found.offers, key=lambda one: one.key) == sorted(offers, key=lambda one: one.key)


@settings(max_examples=80)
@given(JSON)
def test_any_json_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(JobError, match=r"\Afile: [^\n]*\Z"):
        parse_snapshot(json.dumps(value).encode(), where="file", now=NIGHT)


@settings(max_examples=100)
@given(st.data(), JSON)
def test_a_sealed_file_with_one_wrong_value_is_refused_or_well_formed(data: st.DataObject, value: Any) -> None:
    raw = json.loads(written([make_offer("a"), replace(make_offer("b"), pricing_model=SPOT)]))
    holder = data.draw(st.sampled_from([raw, *raw["offers"], *raw["scopes"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = value
    rest = {key: item for key, item in raw.items() if key != "sha256"}
    raw["sha256"] = snapshot_file._digest(rest)
    try:
        found = parse_snapshot(json.dumps(raw).encode(), where="file", now=NIGHT)
    except JobError:
        return
    assert all(offer.unit_price_nano > 0 and offer.gpu_count > 0 for offer in found.offers)


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(JobError, match=r"\Afile: [^\n]*\Z"):
        parse_snapshot(data, where="file", now=NIGHT)
