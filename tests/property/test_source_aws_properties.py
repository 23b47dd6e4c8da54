"""Whatever AWS answers becomes offers, dropped rows or ResponseChanged, and no price that it did not state."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ResponseChanged
from providers.gpus import load_gpus
from providers.offer import NANO
from providers.scope import DROP_REASONS
from providers.sources.aws_bulk import parse_price_list
from providers.sources.aws_machines import Machine, parse_machines
from providers.sources.aws_prices import OnDemandPrices, Parsed, add_products
from providers.sources.aws_spot import parse_blocks, parse_spot, parse_zones
from tests.fixtures.fakes.aws_market import CSV_COLUMNS, block, csv_file, product, spot

if TYPE_CHECKING:
    from collections.abc import Iterable

GPUS = load_gpus()
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
P5 = Machine(instance_type="p5.48xlarge", gpu="H100-SXM-80GB", gpu_name="H100", gpu_count=8)
FEW = settings(max_examples=60)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["0", "8", "-1", "1e5", "NaN", "Infinity", "55.04", "1,152 GiB", "p5.48xlarge", "Hrs", "USD"])
)  # fmt: skip
answers = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def bent(draw: st.DrawFn, whole: dict[str, Any]) -> Any:
    """Return a real row in which something, at some depth, is something else or gone."""
    row = json.loads(json.dumps(whole, default=str))
    place, path = row, []
    while isinstance(place, dict) and place and (not path or draw(st.booleans())):
        path.append(draw(st.sampled_from(sorted(place))))
        place = place[path[-1]]
    target = row
    for key in path[:-1]:
        target = target[key]
    if draw(st.booleans()):
        target[path[-1]] = draw(answers)
    else:
        del target[path[-1]]
    # What boto3 parses is a datetime; JSON has none.
    if isinstance(row, dict) and isinstance(row.get("Timestamp"), str):
        row["Timestamp"] = whole["Timestamp"]
    return row


def check(parsed: Parsed, allowed: Iterable[Fraction]) -> None:
    known = set(allowed)
    for offer in parsed.offers:
        assert offer.unit_price_nano > 0
        assert any(abs(offer.unit_price_nano - price * NANO) <= Fraction(1, 2) for price in known)
        assert (offer.gpu is None) == ("gpu_unknown" in offer.flags)
        assert offer.gpu is None or offer.gpu in GPUS.by_id
    keys = [offer.key for offer in parsed.offers]
    assert len(keys) == len(set(keys))
    assert all(row.reason in DROP_REASONS and row.item for row in parsed.dropped)


def numbers_in(value: object) -> set[Fraction]:
    """Return every number that stands in an answer, as such or as text."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(numbers_in(item) for item in value))
    with contextlib.suppress(ValueError, ArithmeticError):
        number = Decimal(str(value).strip())
        if number.is_finite() and abs(number.adjusted()) < 60:
            return {Fraction(number)}
    return set()


@FEW
@given(st.lists(st.just(product("g5.xlarge", "1.006")) | bent(product("p5.48xlarge", "55.04")) | answers, max_size=4))
def test_any_product(rows: list[Any]) -> None:
    prices = OnDemandPrices(region="us-east-1", gpus=GPUS)
    texts = [json.dumps(row) for row in rows]
    try:
        add_products(prices, texts)
    except ResponseChanged:
        return
    check(prices.finish(observed_at=NOW, source="x"), numbers_in(rows))


@FEW
@given(st.lists(answers | st.text(), max_size=4))
def test_any_thing_that_is_no_product(rows: list[Any]) -> None:
    prices = OnDemandPrices(region="us-east-1", gpus=GPUS)
    with contextlib.suppress(ResponseChanged):
        add_products(prices, rows)
    assert prices.finish(observed_at=NOW, source="x").offers == ()


@FEW
@given(st.lists(bent(spot("p5.48xlarge", "us-east-1a", "31.4147")) | answers, max_size=5))
def test_any_spot_history(rows: list[Any]) -> None:
    with contextlib.suppress(ResponseChanged):
        parsed = parse_spot(
            rows, region="us-east-1", machines={"p5.48xlarge": P5}, zone_ids={"us-east-1a": "use1-az6"}, observed_at=NOW
        )
        check(parsed, numbers_in(rows))


@FEW
@given(st.lists(bent(block("p5.48xlarge", "us-east-1a", "755.136")) | answers, max_size=5))
def test_any_capacity_blocks(rows: list[Any]) -> None:
    with contextlib.suppress(ResponseChanged):
        parsed = parse_blocks(
            rows, region="us-east-1", machines={"p5.48xlarge": P5}, zone_ids={"us-east-1a": "use1-az6"}, observed_at=NOW
        )
        stated = numbers_in(rows)
        # A fee by its own duration: which one it was, the offer's billing says.
        assert all(offer.billing for offer in parsed.offers)
        hours = {Fraction(offer.billing.minimum_s, 3600) for offer in parsed.offers if offer.billing}
        check(parsed, {fee / duration for fee in stated for duration in hours})


DESCRIPTION = {
    "InstanceType": "p5.48xlarge", "VCpuInfo": {"DefaultVCpus": 192}, "MemoryInfo": {"SizeInMiB": 2097152},
    "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}, "SupportedUsageClasses": ["spot"],
    "InstanceStorageInfo": {"TotalSizeInGB": 30400},
    "NetworkInfo": {"NetworkPerformance": "3200 Gigabit", "NetworkCards": [{"BaselineBandwidthInGbps": 100}]},
    "GpuInfo": {"Gpus": [{"Name": "H100", "Count": 8, "GpuPartitionSize": 1.0, "MemoryInfo": {"SizeInMiB": 81920}}]},
}  # fmt: skip


@FEW
@given(st.lists(bent(DESCRIPTION) | answers, max_size=4))
def test_any_description_of_machines(rows: list[Any]) -> None:
    with contextlib.suppress(ResponseChanged):
        machines, dropped = parse_machines(rows, GPUS)
        assert all(name == machine.instance_type and machine.gpu_count >= 1 for name, machine in machines.items())
        assert all(row.reason in DROP_REASONS and row.item for row in dropped)


@FEW
@given(answers, st.lists(answers, max_size=3))
def test_any_zones(row: Any, rows: list[Any]) -> None:
    with contextlib.suppress(ResponseChanged):
        assert all(name and zone for name, zone in parse_zones([row, *rows]).items())


FILE = csv_file([product("g5.xlarge", "1.0060000000"), product("p5.48xlarge", "55.0400000000")])
STATED = {Fraction("1.006"), Fraction("55.04")}


@FEW
@given(st.integers(0, len(FILE)), st.binary(max_size=12), st.integers(0, 40), st.integers(1, 4000))
def test_any_damage_to_the_bulk_list(at: int, put: bytes, gone: int, size: int) -> None:
    content = FILE[:at] + put + FILE[at + gone :]
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    with contextlib.suppress(ResponseChanged):
        parsed = parse_price_list(pieces, region="us-east-1", gpus=GPUS, observed_at=NOW)
        # Damage within the digits of a price is another price, and the file states it.
        fields = [field for row in csv.reader(io.StringIO(content.decode(errors="replace"))) for field in row]
        check(parsed, numbers_in(fields))


@FEW
@given(st.lists(st.tuples(st.sampled_from(CSV_COLUMNS), st.text(max_size=12)), max_size=4))
def test_any_field_of_the_bulk_list(changes: list[tuple[str, str]]) -> None:
    lines = list(csv.reader(io.StringIO(FILE.decode())))
    for column, value in changes:
        lines[-2][CSV_COLUMNS.index(column)] = value
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    with contextlib.suppress(ResponseChanged):
        parsed = parse_price_list([text.getvalue().encode()], region="us-east-1", gpus=GPUS, observed_at=NOW)
        check(parsed, STATED | numbers_in([value for _column, value in changes]))


@FEW
@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes(content: bytes, size: int) -> None:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    with contextlib.suppress(ResponseChanged):
        raise AssertionError(parse_price_list(pieces, region="us-east-1", gpus=GPUS, observed_at=NOW))
