"""Vultr: `GET /v2/plans` and `/v2/plans-metal` list every plan with its price and its regions. No account is needed.

Only `hourly_cost` is a price: what a plan costs a month is a cap, and not the same number of hours for all products, so
a plan without an hourly price is dropped. `location_cost` states other prices for some regions. Memory of GPUs is the
total of the plan. Plans with a part of a GPU are flagged `fractional`. Plans that are rented preemptible only state an
on-demand price all the same: it is kept and flagged `not_sold_on_demand`. Whole hours are billed, stopped or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Account, FetchPart, ProviderInfo, Variable, endpoint
from providers.errors import ResponseChanged
from providers.offer import PricingModel
from providers.payload import clean_name, rows_of

from .cloud_parts import all_of, refuse_unread, region_parts, result_of
from .vultr_plans import METAL, NAME, parse_plans

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.base import FetchContext, FetchResult, Wanted
    from providers.offer import Offer
    from providers.scope import OfferKey

    from .cloud_parts import Parsed

ENDPOINT = "TUNEFARE_VULTR_ENDPOINT"
DEFAULT_ENDPOINT = "https://api.vultr.com"
PAGE_ROWS = "500"


class Vultr:
    """The source "vultr"."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return one part, or one a region asked for."""
        del context
        return region_parts("plans", wanted, INFO.pricing_models)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return the prices of all plans with GPUs. Raises a ProviderError."""
        plans, observed_at = _plans(context, "/v2/plans", "plans", observed_at=None)
        metal, observed_at = _plans(context, "/v2/plans-metal", "plans_metal", observed_at=observed_at)
        parsed = all_of((plans, metal))
        refuse_unread(NAME, parsed)
        return result_of(NAME, part, parsed, observed_at)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key, None where its region no longer has it. Raises a ProviderError."""
        path, rows = ("/v2/plans-metal", "plans_metal") if key.variant == METAL else ("/v2/plans", "plans")
        return _plans(context, path, rows, observed_at=None)[0].find(key)


INFO = ProviderInfo(
    name=NAME,
    title="Vultr",
    account=Account.NONE,
    pricing_models=(PricingModel.ON_DEMAND, PricingModel.SPOT),
    live="on-demand and preemptible prices of all cloud GPU, dedicated GPU and bare metal plans, by region",
    unverified=(
        "not run against the live service: that a region is listed only while it has machines, invoice_type (taken as "
        "hourly, as the billing pages say), GPUs of plans that do not name them (from a table)"
    ),
    homepage="https://www.vultr.com/api/",
    variables=(Variable(name=ENDPOINT, help=f"another address than {DEFAULT_ENDPOINT}, for a mirror or a proxy"),),
    pool=1,
    requests_per_s=5.0,
    volatile=True,
)


def _plans(context: FetchContext, path: str, rows: str, *, observed_at: datetime | None) -> tuple[Parsed, datetime]:
    """Return all plans of one list. `observed_at` is when the first answer of the part came, None for this one."""
    found: dict[str, object] = {}
    cursor = ""
    seen: set[str] = set()
    while True:
        context.checkpoint()
        context.progress(f"{rows} page {len(seen) + 1}")
        params = {"per_page": PAGE_ROWS} if rows != "plans" else {"type": "all", "per_page": PAGE_ROWS}
        url = f"{endpoint(context, ENDPOINT, DEFAULT_ENDPOINT)}{path}"
        answer = context.http.get_json(url, params={**params, **({"cursor": cursor} if cursor else {})})
        observed_at = observed_at or context.now()
        page = {_mark(row): row for row in rows_of(answer.value, rows, source=NAME)}
        cursor, total = _next(answer.value)
        if cursor and (cursor in seen or not page.keys() - found.keys()):
            raise ResponseChanged(f"{NAME}: the pages of {path} run in a circle", sample=clean_name(cursor))
        seen.add(cursor)
        found.update(page)
        if not cursor:
            break
    if total is not None and len(found) < total:
        raise ResponseChanged(f"{NAME}: {path} names {total} plans and sends {len(found)}")
    return parse_plans(found.values(), context.gpus, observed_at, metal=rows != "plans"), observed_at


def _next(value: object) -> tuple[str, int | None]:
    """Return the cursor of the next page, "" after the last, and how many rows there are in all."""
    meta = value.get("meta") if isinstance(value, dict) else None
    links = meta.get("links") if isinstance(meta, dict) else None
    cursor = links.get("next") if isinstance(links, dict) else None
    total = meta.get("total") if isinstance(meta, dict) else None
    if cursor is not None and not isinstance(cursor, str):
        raise ResponseChanged(f"{NAME}: meta.links.next is no text", sample=repr(meta)[:2000])
    return cursor or "", total if isinstance(total, int) and not isinstance(total, bool) else None


def _mark(row: object) -> str:
    """Return what tells a row from others: the plan's name, or all of it."""
    name = row.get("id") if isinstance(row, dict) else None
    return name if isinstance(name, str) else repr(row)
