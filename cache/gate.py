"""What a batch must pass before its prices count. Pure: batches and what is known in, a judgement out.

A row that looks wrong is held back with a reason, and the rest is published; a batch that looks wrong as a whole is
refused, and the one before it stays, with its age. Some marks only warn: the row is published with a flag. What is held
back can be released or rejected by a person, and a price jump that many series of a family make together is released by
itself (`cache.quorum`): it is a new price list, not a slip.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from providers.offer import NANO, PricingModel
from providers.scope import OfferKey, ScopeBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from providers.gpus import GpuTable
    from providers.offer import Offer

REASONS: dict[str, str] = {
    "not_positive": "the price is not above zero",
    "duplicate_key": "the source states two prices for one offer",
    "currency_changed": "the currency is not that of the last batch",
    "machine_changed": "the number of GPUs is not that of the last batch",
    "price_jump": "the price moved by more than the limit since the last batch",
    "unit_changed": "the price moved by a factor that looks like another unit (per GPU or node, cents, a month)",
    "placeholder": "far above every price of its class: a figure that stands for unknown",
    "far_below_class": "far below every price of its class: a fee, a deposit or another unit",
    "memory_mismatch": "the stated memory contradicts the GPU that the source names",
}
"""Why a row is held back: code and words."""

REFUSALS: dict[str, str] = {
    "empty": "the batch is empty, the one before was not",
    "row_count": "far fewer offers than in the batch before",
    "older": "older than what is stored",
}
"""Why a batch is refused as a whole: code and words."""

UNIT_FACTORS = (60, 100, 730, 744, 1000, 3600)
"""Minutes, cents, hours of a month, milli-units, seconds: a price that moves by one of these has changed its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """The limits of the gate; `docs/nightly-refresh.md` says what they hold back."""

    largest_move: float = 3.0
    least_rows: float = 0.7
    rows_from: int = 10
    """Smaller batches are not judged by their size: two of three offers prove nothing."""
    repeats: int = 3
    """After so many nights of refusals in a row with about as many rows, the shorter list is believed."""
    empty_repeats: int = 7
    """After so many nights an empty batch is believed: the region is closed."""
    night_s: int = 12 * 3600
    """Refusals closer together than this are one night: trying again proves nothing."""
    placeholder: float = 50.0
    least_memory: float = 0.80
    most_memory: float = 1.10
    unit_tolerance: float = 0.02
    clamp_fraction: float = 0.1
    clamp_tolerance: float = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The price that an offer had in the last batch of its scope (or in the bundled list, where there is none).

    `gpu_count` is None where it is not to be compared: lists count the GPUs of a machine in ways of their own.
    """

    price_nano: int
    currency: str
    gpu_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about a row of one offer that was held back for one reason; `state` released or rejected."""

    state: str
    price_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a batch is held against.

    `previous` by offer key; `on_demand` the on-demand price in billionths by (provider, region, type, variant,
    currency); `class_median` the median price of one GPU-hour in billionths of a dollar, by GPU id, "" over all;
    `decisions` by (key, reason). `last_rows` is the size of the scope's last batch, None for the first; `last_at` its
    moment. `refused_rows` and `refused_times` say how the last nights ended that were refused for their
    size, `refused_at` when that was last counted.
    """

    previous: Mapping[OfferKey, Previous]
    on_demand: Mapping[tuple[str, str, str, str, str], int]
    class_median: Mapping[str, float]
    decisions: Mapping[tuple[OfferKey, str], Decision]
    gpus: GpuTable
    last_rows: int | None = None
    last_at: int | None = None
    refused_rows: int = 0
    refused_times: int = 0
    refused_at: int | None = None
    volatile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """A row that is held back. `rejected` says that a person has refused this price already."""

    offer: Offer
    reason: str
    detail: str
    previous_nano: int | None = None
    rejected: bool = False

    @property
    def key(self) -> OfferKey:
        """The key of its offer."""
        return OfferKey(*self.offer.key)

    @property
    def family(self) -> str:
        """What moves together: one kind of GPU of one provider under one pricing model."""
        return family_of(self.offer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a batch is refused as a whole, and how often in a row that has been so."""

    reason: str
    detail: str
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A batch after the gate: what is published, what is held back; or that all of it is refused.

    `compared` are the rows that have a price of before in the same currency: what a quorum is a share of.
    """

    batch: ScopeBatch
    published: tuple[Offer, ...]
    quarantined: tuple[HeldRow, ...] = ()
    released: tuple[HeldRow, ...] = ()
    refused: Refusal | None = None
    compared: Mapping[str, int] | None = None


def judge(batch: ScopeBatch, known: Known, policy: GatePolicy | None = None) -> Judged:
    """Return the judgement on one batch. Order of rows does not matter."""
    policy = policy or GatePolicy()
    if refusal := _refusal(batch, known, policy):
        return Judged(batch=batch, published=(), refused=refusal)
    published: list[Offer] = []
    held: list[HeldRow] = []
    compared: Counter[str] = Counter()
    for offers in _by_key(batch.offers).values():
        offer = offers[0]
        before = known.previous.get(OfferKey(*offer.key))
        if before and before.currency == offer.currency:
            compared[family_of(offer)] += 1
        suspect = _undecided(_suspects(offers, before, known, policy), known, policy)
        if suspect is None:
            published.append(_with_warnings(offer, known, policy))
        else:
            held.append(suspect)
    return Judged(
        batch=batch,
        published=tuple(sorted(published, key=lambda offer: offer.key)),
        quarantined=tuple(sorted(held, key=lambda row: row.offer.key)),
        compared=dict(compared),
    )


def with_warnings(offer: Offer, known: Known, policy: GatePolicy | None = None) -> Offer:
    """Return the offer with the flags that only warn: spot that is not below on-demand, or a tenth of it."""
    return _with_warnings(offer, known, policy or GatePolicy())


def family_of(offer: Offer) -> str:
    """Return the name of what moves together."""
    return f"{offer.provider} {offer.gpu or offer.gpu_name} {offer.pricing_model.value}"


def class_medians(offers: Iterable[Offer]) -> dict[str, float]:
    """Return the median on-demand price of one GPU-hour in billionths of a dollar by GPU id; "" over all GPUs."""
    by_class: dict[str, list[float]] = {"": []}
    for offer in offers:
        if offer.currency == "USD" and offer.pricing_model is PricingModel.ON_DEMAND and offer.unit_price_nano > 0:
            price = offer.unit_price_nano / offer.gpu_count
            by_class[""].append(price)
            if offer.gpu and not offer.excluded_because:
                by_class.setdefault(offer.gpu, []).append(price)
    return {name: median(prices) for name, prices in by_class.items() if prices}


def on_demand_key(offer: Offer) -> tuple[str, str, str, str, str]:
    """Return what a spot offer shares with its on-demand twin: everything but the zone and the pricing model."""
    return (offer.provider, offer.region, offer.instance_type, offer.variant or "", offer.currency)


def _refusal(batch: ScopeBatch, known: Known, policy: GatePolicy) -> Refusal | None:
    rows = len(_by_key(batch.offers))
    if known.last_at is not None and int(batch.observed_at.timestamp()) < known.last_at:
        stored = datetime.fromtimestamp(known.last_at, UTC)
        return Refusal(reason="older", detail=f"{REFUSALS['older']}, which is of {stored:%Y-%m-%d %H:%M} UTC")
    if known.volatile or not known.last_rows:
        return None
    night = known.refused_at is None or batch.observed_at.timestamp() - known.refused_at >= policy.night_s
    again = known.refused_times + (1 if night else 0)
    if rows == 0:
        times = 1 if known.refused_rows else max(again, 1)
        if times > policy.empty_repeats:
            return None
        lost = "1 offer" if known.last_rows == 1 else f"{known.last_rows} offers"
        return Refusal(reason="empty", detail=f"{REFUSALS['empty']} ({lost})", times=times)
    if known.last_rows < policy.rows_from or rows >= policy.least_rows * known.last_rows:
        return None
    same = known.refused_rows > 0 and abs(rows - known.refused_rows) <= 0.1 * known.refused_rows
    times = max(again, 1) if same else 1
    if times > policy.repeats:
        return None
    return Refusal(reason="row_count", detail=f"{REFUSALS['row_count']} ({rows} of {known.last_rows})", times=times)


def _by_key(offers: Iterable[Offer]) -> dict[OfferKey, list[Offer]]:
    found: dict[OfferKey, list[Offer]] = {}
    for offer in offers:
        same = found.setdefault(OfferKey(*offer.key), [])
        if offer not in same:
            same.append(offer)
    for same in found.values():
        if len(same) > 1:
            same.sort(key=lambda offer: (-offer.unit_price_nano, repr(offer)))
    return found


def _undecided(suspects: Iterable[HeldRow], known: Known, policy: GatePolicy) -> HeldRow | None:
    """Return the row as held back for the first reason that nobody released; None when there is none.

    The detail names the other reasons too: whoever releases the row releases it as a whole.
    """
    open_rows: list[HeldRow] = []
    for suspect in suspects:
        decision = known.decisions.get((suspect.key, suspect.reason))
        settled = decision is not None and _settles(decision, suspect.offer, policy)
        if not (settled and decision and decision.state == "released"):
            open_rows.append(replace(suspect, rejected=settled))
    if not open_rows:
        return None
    more = "".join(f"; also {row.reason}: {row.detail}" for row in open_rows[1:])
    return replace(open_rows[0], detail=open_rows[0].detail + more)


def _suspects(offers: list[Offer], before: Previous | None, known: Known, policy: GatePolicy) -> Iterator[HeldRow]:
    """Yield the row as held back, once for each thing that is wrong with it. Of two prices it is the dearer."""
    offer = offers[0]
    previous = before.price_nano if before else None

    def held(reason: str, detail: str) -> HeldRow:
        return HeldRow(offer=offer, reason=reason, detail=detail, previous_nano=previous)

    prices = sorted({item.unit_price_nano for item in offers})
    if len(prices) > 1:
        yield held("duplicate_key", " and ".join(_price(nano, offer) for nano in prices))
    if offer.unit_price_nano <= 0:
        yield held("not_positive", _price(offer.unit_price_nano, offer))
        return
    if mismatch := _memory(offer, known, policy):
        yield held("memory_mismatch", mismatch)
    if before and before.gpu_count not in {None, offer.gpu_count}:
        yield held("machine_changed", f"{offer.gpu_count} GPUs, before {before.gpu_count}")
    if before and before.currency != offer.currency:
        yield held("currency_changed", f"{offer.currency}, before {before.currency}")
    elif jump := _jump(offer, before, policy):
        yield held(*jump)
    elif beyond := _beyond_class(offer, before, known, policy):
        yield held(*beyond)


def _jump(offer: Offer, before: Previous | None, policy: GatePolicy) -> tuple[str, str] | None:
    """Return reason and detail where the price moved beyond the limit since the last batch."""
    if not before or before.price_nano <= 0:
        return None
    move = offer.unit_price_nano / before.price_nano
    if max(move, 1 / move) <= policy.largest_move:
        return None
    words = f"{_price(before.price_nano, offer)} to {_price(offer.unit_price_nano, offer)}"
    unit = _unit_factor(max(move, 1 / move), offer.gpu_count, policy)
    return ("unit_changed", f"{words}, a factor of {unit}") if unit else ("price_jump", words)


def _beyond_class(offer: Offer, before: Previous | None, known: Known, policy: GatePolicy) -> tuple[str, str] | None:
    """Return reason and detail where the price is out of all proportion to its class.

    One that stood there in the last batch has passed already; small steps do not lead there. Slices of a GPU are no
    measure.
    """
    if offer.currency != "USD" or "fractional" in offer.flags:
        return None
    usual = _class_price(offer.gpu, known)
    if not usual:
        return None
    # Old cards that the table does not know go for cents; they are no candidates.
    least = 1 / policy.placeholder if offer.gpu else 0.0

    def outside(nano: int) -> float:
        ratio = nano / offer.gpu_count / usual
        return 0.0 if least <= ratio <= policy.placeholder else ratio

    ratio = outside(offer.unit_price_nano)
    if not ratio or (before and outside(before.price_nano)):
        return None
    words = f"{_price(offer.unit_price_nano, offer)}, {ratio:.3g} times the median of its class"
    return ("placeholder" if ratio > 1 else "far_below_class", words)


def _class_price(gpu: str | None, known: Known) -> float | None:
    """Return the usual price of one GPU-hour in billionths of a dollar: of that GPU, else of those of its size."""
    table = known.gpus.by_id
    own = known.class_median.get(gpu or "")
    if own or gpu is None:
        return own
    if gpu not in table:
        return known.class_median.get("")
    size = table[gpu].memory_nameplate_gb
    kin = [
        price
        for other, price in known.class_median.items()
        if other in table and size / 2 <= table[other].memory_nameplate_gb <= size * 2
    ]
    return median(kin) if kin else known.class_median.get("")


def _memory(offer: Offer, known: Known, policy: GatePolicy) -> str | None:
    """Return what is wrong with the memory that the source states, or None."""
    gpu = known.gpus.by_id.get(offer.gpu or "")
    if offer.gpu_memory_bytes is None or gpu is None or "fractional" in offer.flags:
        return None
    stated = offer.gpu_memory_bytes
    nominal = gpu.memory_nameplate_gb * 2**30
    if policy.least_memory <= stated / nominal <= policy.most_memory:
        return None
    words = f"{stated / 2**30:.4g} GiB stated, {offer.gpu} has {nominal / 2**30:.4g}"
    if stated == 0:
        return f"{words}: zero stands for unknown"
    total = stated / (nominal * offer.gpu_count)
    if offer.gpu_count > 1 and policy.least_memory <= total <= policy.most_memory:
        return f"{words}: the total of {offer.gpu_count} GPUs"
    return words


def _unit_factor(move: float, gpu_count: int, policy: GatePolicy) -> int | None:
    factors = (gpu_count, *UNIT_FACTORS)
    return next((item for item in factors if item > 1 and abs(move / item - 1) <= policy.unit_tolerance), None)


def _settles(decision: Decision, offer: Offer, policy: GatePolicy) -> bool:
    """Return whether a decision covers this price: rejected is that very price, released what moves little from it."""
    if decision.state == "rejected":
        return decision.price_nano == offer.unit_price_nano
    move = offer.unit_price_nano / decision.price_nano if decision.price_nano else 0.0
    return 1 / policy.largest_move <= move <= policy.largest_move


def _with_warnings(offer: Offer, known: Known, policy: GatePolicy) -> Offer:
    if offer.pricing_model is not PricingModel.SPOT:
        return offer
    twin = known.on_demand.get(on_demand_key(offer))
    if not twin:
        return offer
    share = offer.unit_price_nano / twin
    flag = None
    if share >= 1:
        flag = "spot_not_below_on_demand"
    elif abs(share - policy.clamp_fraction) <= policy.clamp_tolerance:
        flag = "clamp_suspected"
    return replace(offer, flags=(*offer.flags, flag)) if flag and flag not in offer.flags else offer


def _price(nano: int, offer: Offer) -> str:
    return f"{nano / NANO:.6g} {offer.currency}"
