"""The user's own machines and negotiated prices: `--offers FILE.csv` and the table of discounts.

**File.** CSV with a header; columns in any order, an unknown column is refused. Prices are for the whole machine.

| column | holds | default |
|---|---|---|
| provider | name, `own` for owned machines | required |
| instance_type | name of the machine | required |
| gpu | id or alias of the GPU table | required |
| gpu_count | GPUs in the machine, 1 to 1024 | required |
| price_usd_per_hour | at least 0; 0 for a machine that costs nothing more to use | required |
| region, zone, variant | place and kind | region `own`, others none |
| pricing_model | on_demand, spot or reserved | on_demand |
| vcpus | whole number | unknown |
| host_ram_gib, disk_gb | of the machine, above 0 | unknown |
| network_gbit_s | to other machines, one direction, above 0 | unknown |
| observed_at | moment or date of the price, not in the future | now |
| currency | ISO code; another than USD is kept, flagged and never compared | USD |
| billing_increment_s, billing_minimum_s | whole seconds | 1 and 0 |

**Discounts.** Fractions off by provider or `provider/region`, the narrower wins: `{"aws": "0.15"}`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .errors import JobError, PricesUnavailable
from .money import parse_nano
from .offer import BillingTerms, Offer, PriceClass, PricingModel
from .units import GB, GIB, parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import NoReturn

    from .gpus import GpuTable

REQUIRED_COLUMNS = ("provider", "instance_type", "gpu", "gpu_count", "price_usd_per_hour")
OPTIONAL_COLUMNS = (
    "region", "zone", "variant", "pricing_model", "vcpus", "host_ram_gib", "disk_gb", "network_gbit_s", "observed_at",
    "currency", "billing_increment_s", "billing_minimum_s",
)  # fmt: skip
MAX_ROWS = 100_000

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NAME_ALLOWED = "a name of at most 100 printable characters"


def load_own_offers(path: Path | str, gpus: GpuTable, *, now: datetime) -> tuple[Offer, ...]:
    """Return the offers of a file in the order of its rows, class `own`.

    Raises JobError, naming file and line, key, value and what is allowed, for the first row that is wrong, for a file
    that cannot be read; PricesUnavailable for one without rows.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            return _read_rows(csv.reader(file, strict=True), str(path), gpus, now)
    except OSError as err:
        raise JobError(where=str(path), key="file", value=str(path), allowed=err.strerror or "a readable file") from err
    except (UnicodeDecodeError, csv.Error) as err:
        raise JobError(where=str(path), key="file", value=str(path), allowed=f"a CSV file in UTF-8 ({err})") from err


def apply_discounts(
    offers: Iterable[Offer], discounts: Mapping[str, str | float | Decimal], *, where: str = "discounts"
) -> tuple[Offer, ...]:
    """Return the offers with their prices reduced and flagged `discounted`; `own` rows are already the user's prices.

    Keys are `provider` or `provider/region`, values fractions off, 0 <= x < 1; numbers count as they print. Prices
    round half to even at a billionth. Raises JobError for a bad fraction and for a key that no offer has.
    """
    fractions = {key.casefold(): _fraction(key, value, where) for key, value in discounts.items()}
    offers = tuple(offers)
    places = {offer.provider.casefold() for offer in offers} | {
        f"{offer.provider}/{offer.region}".casefold() for offer in offers
    }
    for key in discounts:
        if key.casefold() not in places:
            raise JobError(
                where=where, key="discounts", value=key, allowed="a provider or provider/region of the price list"
            )
    return tuple(_discounted(offer, fractions) for offer in offers) if fractions else offers


def _read_rows(reader: _Reader, path: str, gpus: GpuTable, now: datetime) -> tuple[Offer, ...]:
    columns = _checked_header(next(iter(reader), []), path)
    offers: list[Offer] = []
    lines: dict[tuple[str, ...], int] = {}
    for cells in reader:
        line = reader.line_num
        if not cells:
            continue
        if len(offers) == MAX_ROWS:
            raise JobError(where=path, key="rows", value=f"more than {MAX_ROWS}", allowed=f"at most {MAX_ROWS} rows")
        if len(cells) != len(columns):
            raise JobError(
                where=f"{path}:{line}", key="cells", value=len(cells), allowed=f"{len(columns)}, as in the header"
            )
        row = _Row(dict(zip(columns, cells, strict=True)), f"{path}:{line}")
        offer = row.offer(gpus, now)
        first = lines.setdefault(offer.key, line)
        if first != line:
            row.refuse("instance_type", f"another machine, zone or variant than in line {first}")
        offers.append(offer)
    if not offers:
        raise PricesUnavailable(f"{path}: rows = 0: at least one row below the header")
    return tuple(offers)


def _checked_header(cells: list[str], path: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    for column in REQUIRED_COLUMNS:
        if column not in columns:
            raise JobError(where=f"{path}:1", key="columns", value=",".join(columns), allowed=f"needs {column}")
    for column in columns:
        if column not in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) or columns.count(column) > 1:
            allowed = f"each column once, of {', '.join((*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS))}"
            raise JobError(where=f"{path}:1", key="column", value=column, allowed=allowed)
    return columns


class _Reader(Protocol):
    """What csv.reader returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


class _Row:
    """One row of the file, and the errors that name it."""

    def __init__(self, cells: dict[str, str], where: str) -> None:
        self._where = where
        self._cells = {key: value.strip() for key, value in cells.items()}

    def refuse(self, key: str, allowed: str) -> NoReturn:
        raise JobError(where=self._where, key=key, value=self._cells.get(key, ""), allowed=allowed)

    def offer(self, gpus: GpuTable, now: datetime) -> Offer:
        gpu_name = self._cells["gpu"]
        gpu = gpus.resolve(gpu_name)
        if gpu is None:
            close = ", ".join(gpus.close_names(gpu_name))
            self.refuse("gpu", f"a GPU of the table{f', such as {close}' if close else ''}")
        currency = self._cells.get("currency") or "USD"
        if not _CURRENCY.fullmatch(currency):
            self.refuse("currency", "a currency code of three capital letters, such as USD")
        return Offer(
            provider=self._name("provider"),
            region=self._name("region", default="own"),
            zone=self._name("zone", default="") or None,
            variant=self._name("variant", default="") or None,
            instance_type=self._name("instance_type"),
            gpu=gpu.id,
            gpu_name=gpu_name,
            gpu_count=self._whole("gpu_count", low=1, high=1024),
            pricing_model=self._pricing_model(),
            unit_price_nano=self._parsed("price_usd_per_hour", parse_nano),
            currency=currency,
            observed_at=self._observed_at(now),
            source=self._where,
            price_class=PriceClass.OWN,
            vcpus=self._whole("vcpus", low=1, high=100_000) if self._cells.get("vcpus") else None,
            host_ram_bytes=self._size("host_ram_gib", GIB),
            disk_bytes=self._size("disk_gb", GB),
            network_bytes_per_s=self._network(),
            flags=("own",) if currency == "USD" else ("own", "foreign_currency"),
            billing=BillingTerms(
                increment_s=self._whole("billing_increment_s", low=1, high=31 * 86_400, default=1),
                minimum_s=self._whole("billing_minimum_s", low=0, high=31 * 86_400, default=0),
                source=self._where,
            ),
        )

    def _name(self, key: str, *, default: str | None = None) -> str:
        text = self._cells.get(key, "") or default
        if text is None or len(text) > 100 or not text.isprintable():
            self.refuse(key, _NAME_ALLOWED)
        return text

    def _whole(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        text = self._cells.get(key, "")
        if not text and default is not None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high):
            self.refuse(key, f"a whole number from {low} to {high}")
        return int(text)

    def _parsed(self, key: str, parse: Callable[[str], int]) -> int:
        try:
            return parse(self._cells[key])
        except ValueError as err:
            self.refuse(key, str(err))

    def _size(self, key: str, unit: int) -> int | None:
        number = self._positive(key)
        return None if number is None else int(number * unit)

    def _network(self) -> float | None:
        gbit = self._positive("network_gbit_s")
        return None if gbit is None else float(gbit * 125_000_000)

    def _positive(self, key: str) -> Decimal | None:
        text = self._cells.get(key, "")
        if not text:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            self.refuse(key, "a number above 0, at most 1000000")
        if not (number.is_finite() and 0 < number <= 1_000_000):
            self.refuse(key, "a number above 0, at most 1000000")
        return number

    def _pricing_model(self) -> PricingModel:
        text = self._cells.get("pricing_model") or PricingModel.ON_DEMAND.value
        if text not in set(PricingModel):
            self.refuse("pricing_model", f"one of {', '.join(PricingModel)}")
        return PricingModel(text)

    def _observed_at(self, now: datetime) -> datetime:
        text = self._cells.get("observed_at", "")
        if not text:
            return now
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC) if _DATE.fullmatch(text) else parse_moment(text)
        except ValueError:
            self.refuse("observed_at", "a date such as 2026-12-01, or a moment such as 2026-12-01T08:00Z")
        if moment > now:
            self.refuse("observed_at", "a moment that is not in the future")
        return moment


def _fraction(key: str, value: str | float | Decimal, where: str) -> Decimal:
    try:
        fraction = Decimal(str(value))
    except InvalidOperation:
        fraction = Decimal("NaN")
    if isinstance(value, bool) or not fraction.is_finite() or not 0 <= fraction < 1:
        raise JobError(
            where=where, key=f"discounts.{key}", value=value, allowed="a fraction off, at least 0 and below 1"
        )
    return fraction


def _discounted(offer: Offer, fractions: Mapping[str, Decimal]) -> Offer:
    provider = offer.provider.casefold()
    fraction = fractions.get(f"{provider}/{offer.region.casefold()}", fractions.get(provider))
    if not fraction or offer.price_class is PriceClass.OWN:
        return offer
    price = (Decimal(offer.unit_price_nano) * (1 - fraction)).to_integral_value(rounding=ROUND_HALF_EVEN)
    return replace(offer, unit_price_nano=int(price), flags=(*offer.flags, "discounted"))
