"""What the sources of the smaller clouds share: parts by region, batches by scope, names. No requests."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.base import FetchPart, FetchResult
from providers.errors import CredentialsMissing, ResponseChanged
from providers.payload import clean_name
from providers.scope import OfferKey, Scope, ScopeBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from providers.base import FetchContext, ProviderInfo, Wanted
    from providers.gpus import Gpu
    from providers.offer import Offer, PricingModel
    from providers.scope import DroppedRow

LEAST_MEMORY, MOST_MEMORY = 0.80, 1.10
"""What a source may state of a card's nameplate memory: less is what a driver shows, more is another card."""

_NO_FAULT = frozenset({"not_a_gpu", "other_product", "no_capacity", "beyond_cheapest"})
"""Reasons for dropping a row that was understood."""

_OTHER = re.compile(r"[^a-z0-9.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a parser made of an answer: every row is in one of the two."""

    offers: tuple[Offer, ...] = ()
    dropped: tuple[DroppedRow, ...] = ()

    def find(self, key: OfferKey) -> Offer | None:
        """Return the offer of exactly that key, None without one."""
        return next((offer for offer in self.offers if offer.key == tuple(key)), None)


def region_parts(whole: str, wanted: Wanted, models: Sequence[PricingModel]) -> tuple[FetchPart, ...]:
    """Return one part for everything, named `whole`, or one for each region that was asked for.

    Nothing where none of `models` was asked for. The name says which ones, unless it is all of them: what is remembered
    of a part is remembered of all that it covers.
    """
    asked = tuple(model for model in models if wanted.takes_model(model))
    if not asked:
        return ()
    suffix = () if asked == tuple(models) else tuple(model.value for model in asked)
    return tuple(
        FetchPart(name=" ".join((whole, *place, *suffix)), region=place[0] if place else None, pricing_models=asked)
        for place in ([(region,) for region in sorted(wanted.regions)] if wanted.regions else [()])
    )


def result_of(provider: str, part: FetchPart, parsed: Parsed, observed_at: datetime) -> FetchResult:
    """Return what of an answer the part covers, one batch a scope; empty ones for a region that was asked for."""
    scopes: dict[Scope, list[Offer]] = {
        Scope(provider=provider, region=part.region, pricing_model=model): []
        for model in part.pricing_models
        if part.region
    }
    for offer in parsed.offers:
        if (part.region is None or offer.region == part.region) and offer.pricing_model in part.pricing_models:
            scopes.setdefault(OfferKey(*offer.key).scope, []).append(offer)
    batches = (
        ScopeBatch(scope=scope, observed_at=observed_at, offers=tuple(offers))
        for scope, offers in sorted(scopes.items())
    )
    return FetchResult(batches=tuple(batches), dropped=parsed.dropped, observed_at=observed_at)


def refuse_unread(provider: str, parsed: Parsed, *, sold_out: bool = True) -> None:
    """Raise ResponseChanged where rows came and none of them is an offer, unless all of it can be rented out.

    A source that lists what is free may be empty tonight, and is believed. A field that changed its name empties it
    too, row by row: then the rows are faulty, not sold out. `sold_out` is whether a source can be out of everything.
    """
    reasons = Counter(row.reason for row in parsed.dropped)
    if parsed.offers or not reasons:
        return
    faults = sum(count for reason, count in reasons.items() if reason not in _NO_FAULT)
    if sold_out and reasons["no_capacity"] > faults:
        return
    (reason, count), *_ = reasons.most_common(1)
    raise ResponseChanged(f"{provider}: none of {len(parsed.dropped)} rows is an offer ({reason}: {count})")


def bearer(context: FetchContext, variable: str) -> dict[str, str]:
    """Return the header that carries the key in `variable`; none where it is not set."""
    key = context.environment.get(variable, "")
    return {"Authorization": f"Bearer {key}"} if key else {}


def require_account(info: ProviderInfo, context: FetchContext) -> None:
    """Raise CredentialsMissing, naming what is missing, unless every required variable is set."""
    missing = [item for item in info.variables if item.required and item.name not in context.environment]
    if missing:
        names = ", ".join(item.name for item in missing)
        raise CredentialsMissing(f"{info.name}: {names} is not set ({missing[0].help})")


def slug(name: str) -> str:
    """Return a name as part of a machine's name: "RTX 4090" becomes "rtx-4090"."""
    return _OTHER.sub("-", clean_name(name).casefold()).strip("-")


def machine_name(base: str, count: int) -> str:
    """Return the name of a machine with `count` GPUs: "rtx-4090", "2x-rtx-4090"."""
    return base if count == 1 else f"{count}x-{base}"


def fits(gpu: Gpu, stated_bytes: int | None) -> bool:
    """Return whether the memory that a source states of one GPU can be that of `gpu`; nothing stated fits."""
    if stated_bytes is None:
        return True
    share = stated_bytes / (gpu.memory_nameplate_gb * 2**30)
    return LEAST_MEMORY <= share <= MOST_MEMORY


def marks(*flags: str | None) -> tuple[str, ...]:
    """Return the flags that are set, each once, in order."""
    return tuple(dict.fromkeys(flag for flag in flags if flag))


def all_of(parts: Iterable[Parsed]) -> Parsed:
    """Return several parsed pieces as one."""
    found = tuple(parts)
    return Parsed(
        offers=tuple(offer for one in found for offer in one.offers),
        dropped=tuple(row for one in found for row in one.dropped),
    )
