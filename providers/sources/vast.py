"""Vast.ai: a marketplace where each offer is one host. `POST /api/v0/bundles/` searches it, 64 rows an answer at most.

A country is searched as it is; of the whole market the list of GPU names is asked for first, then each name by itself.
A search is read cheapest first, and onwards from the dearest price seen until an answer is short. Thousands of hosts
come back; of each kind (machine, country, pricing model) the `CHEAPEST` cheapest are kept and the rest is dropped as
`beyond_cheapest`: a plan takes the cheapest, and the tenth is there when nine are gone. The variant names the host's
machine ("machine-12345"), the region its country ("us"). The price is that of the machine without a disk (`dph_base`),
which is billed apart. What a host asks at least of a bid (`min_bid`) is shown as a spot offer, flagged `bid_floor` and
never a candidate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from providers.base import Account, FetchPart, ProviderInfo, Variable, endpoint
from providers.errors import JobError, ResponseChanged
from providers.offer import PricingModel
from providers.payload import RowProblem, clean_name, exact_number, rows_of
from providers.scope import GLOBAL_REGION, DroppedRow

from .cloud_parts import Parsed, bearer, refuse_unread, region_parts, require_account, result_of
from .vast_hosts import CHEAPEST, NAME, parse_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from providers.base import FetchContext, FetchResult, Wanted
    from providers.offer import Offer
    from providers.scope import OfferKey

KEY = "VAST_API_KEY"
ENDPOINT = "TUNEFARE_VAST_ENDPOINT"
DEFAULT_ENDPOINT = "https://console.vast.ai"

MOST_ROWS = 64
"""Rows of an answer: more are not sent, whatever is asked for."""
QUERY: Mapping[str, object] = {
    "type": "on-demand",
    "verified": {"eq": True},
    "external": {"eq": False},
    "rentable": {"eq": True},
    "rented": {"eq": False},
    # Prices with the disk depend on its size: fixed, so that the order of pages does not.
    "allocated_storage": 5,
    "order": [["dph_total", "asc"]],
    "limit": MOST_ROWS,
}

_MACHINE = re.compile(r"machine-(\d{1,18})", re.ASCII)
_COUNTRY = re.compile(r"[a-z]{2}", re.ASCII)


class Vast:
    """The source "vast"."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return one part, or one a country asked for.

        Raises JobError for regions that are no countries, CredentialsMissing without a key.
        """
        if strange := sorted(name for name in wanted.regions - {GLOBAL_REGION} if not _COUNTRY.fullmatch(name)):
            allowed = f"a country in two small letters, such as us, or {GLOBAL_REGION} for hosts that state none"
            raise JobError(where="command line", key="region", value=", ".join(strange), allowed=allowed)
        require_account(INFO, context)
        return region_parts("hosts", wanted, INFO.pricing_models)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return the cheapest hosts of each kind. Raises a ProviderError."""
        rows: list[object] = []
        dropped: list[DroppedRow] = []
        searches = _searches(context, part.region)
        # One moment for all: prices may have changed since, so the earliest is the honest one.
        observed_at = context.now()
        for number, (words, asked) in enumerate(searches, start=1):
            context.progress(f"{clean_name(words)} ({number} of {len(searches)})")
            found, lost = _search(context, asked)
            rows += found
            dropped += lost
        everywhere = part.region in {None, GLOBAL_REGION}
        if everywhere and not rows:
            raise ResponseChanged(f"{NAME}: no host of any GPU in the world: the search is not what it was")
        parsed = parse_hosts(rows, context.gpus, observed_at)
        whole = Parsed(offers=parsed.offers, dropped=(*parsed.dropped, *dropped))
        # The two hosts of a small country may be odd, both of them.
        if everywhere or len(rows) >= CHEAPEST:
            refuse_unread(NAME, whole)
        return result_of(NAME, part, whole, observed_at)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that very machine, None when it is rented or gone. Raises a ProviderError."""
        require_account(INFO, context)
        machine = _MACHINE.fullmatch(key.variant)
        if machine is None:
            return None
        rows, _ = _search(context, {"machine_id": {"eq": int(machine[1])}})
        return parse_hosts(rows, context.gpus, context.now()).find(key)


INFO = ProviderInfo(
    name=NAME,
    title="Vast.ai",
    account=Account.NEEDED,
    pricing_models=(PricingModel.ON_DEMAND, PricingModel.SPOT),
    live="the cheapest verified hosts that can be rented now, by machine and country; minimum bids for show",
    unverified=(
        "not run against the live service: that an answer holds 64 rows at most, how often it may be asked, the "
        "filters by country and price, that the memory of a host is shared out like its cores"
    ),
    homepage="https://docs.vast.ai/api-reference/search/search-offers",
    variables=(
        Variable(
            name=KEY,
            help="API key of Vast.ai, from https://cloud.vast.ai/manage-keys/",
            secret=True,
            required=True,
        ),
        Variable(name=ENDPOINT, help=f"another address than {DEFAULT_ENDPOINT}, for a mirror or a proxy"),
    ),
    permissions="an API key with the permission `misc` (search) only",
    pool=1,
    # Two requests that follow each other within 2 to 3 s are refused, without a word on how long to wait; a refresh of
    # the whole market needs some 200, one of a country a tenth of that.
    requests_per_s=0.3,
    volatile=True,
)


def _searches(context: FetchContext, region: str | None) -> list[tuple[str, dict[str, object]]]:
    """Return what is searched for, each with its name: a country at once, the world by GPU."""
    if region and region != GLOBAL_REGION:
        return [(region, {"geolocation": {"eq": region.upper()}})]
    return [(name, {"gpu_name": {"eq": name}}) for name in _gpu_names(context)]


def _gpu_names(context: FetchContext) -> list[str]:
    """Return the names of all GPUs on the marketplace, as the search wants them ("RTX 4090")."""
    context.checkpoint()
    url = f"{endpoint(context, ENDPOINT, DEFAULT_ENDPOINT)}/api/v0/gpu_names/unique/"
    answer = context.http.get_json(url, headers=bearer(context, KEY))
    names = rows_of(answer.value, "gpu_names", source=NAME)
    usable = [name for name in names if isinstance(name, str) and name.strip()]
    if len(usable) < len(names) or not usable:
        raise ResponseChanged(f"{NAME}: the list of GPU names holds something else", sample=repr(names)[:2000])
    return sorted(set(usable))


def _search(context: FetchContext, asked: Mapping[str, object]) -> tuple[list[object], list[DroppedRow]]:
    """Return all rows that a search finds, and what it cannot reach.

    Raises ResponseChanged where it does not get on: the cap, the order or the filter by price is not what it was.
    """
    rows: list[object] = []
    dropped: list[DroppedRow] = []
    seen: set[str] = set()
    from_price: Decimal | None = None
    bound = "gte"
    while True:
        page = _page(context, asked, bound, from_price)
        fresh = [row for row in page if _mark(row) not in seen]
        seen.update(map(_mark, fresh))
        rows += fresh
        if len(page) < MOST_ROWS:
            return rows, dropped
        dearest = _dearest(page)
        if from_price is not None and dearest < from_price:
            raise ResponseChanged(f"{NAME}: the search does not keep to the order by price", sample=repr(page)[:2000])
        if fresh:
            bound, from_price = "gte", dearest
        elif bound == "gte":
            # More hosts at one price than an answer holds: what is behind them cannot be reached.
            at = f"{asked.get('gpu_name', asked)} at {dearest}"
            dropped.append(DroppedRow(reason="beyond_cheapest", item=clean_name(at), detail="more hosts at one price"))
            bound = "gt"
        else:
            raise ResponseChanged(f"{NAME}: the search sends the same page again", sample=repr(page)[:2000])


def _page(context: FetchContext, asked: Mapping[str, object], bound: str, price: Decimal | None) -> list[object]:
    context.checkpoint()
    # A bound of the search, not a price: JSON has no other numbers, and a double comes back as it was sent.
    window = {} if price is None else {"dph_total": {bound: float(price)}}
    url = f"{endpoint(context, ENDPOINT, DEFAULT_ENDPOINT)}/api/v0/bundles/"
    answer = context.http.post_json(url, {**QUERY, **asked, **window}, headers=bearer(context, KEY))
    return rows_of(answer.value, "offers", source=NAME)


def _dearest(page: list[object]) -> Decimal:
    last = page[-1]
    try:
        return exact_number(last.get("dph_total") if isinstance(last, dict) else None, what="dph_total")
    except RowProblem as problem:
        raise ResponseChanged(f"{NAME}: {problem}", sample=repr(last)[:2000]) from problem


def _mark(row: object) -> str:
    """Return what tells a row from others: the number of its offer, or all of it."""
    number = row.get("id") if isinstance(row, dict) else None
    return repr(row) if number is None else f"id {number!r}"
