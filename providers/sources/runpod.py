"""RunPod: one GraphQL query, `gpuTypes`, holds the prices of a GPU-hour in both clouds and what is in stock by count.

Secure cloud (RunPod's data centres) and community cloud (other people's machines, flagged `marketplace`) are variants
of one region, `global`: the price does not depend on the place. A machine with N GPUs costs N times the price of one.
Where a spot price is stated it is one; where only a minimum bid is, the offer is flagged `bid_floor` and never a
candidate. Counts that are out of stock are dropped.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.base import Account, ProviderInfo, Variable, endpoint
from providers.errors import CredentialsRefused, JobError, ResponseChanged
from providers.offer import Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem, clean_name, rows_of
from providers.scope import GLOBAL_REGION
from providers.units import GB, GIB

from .cloud_parts import Parsed, all_of, bearer, fits, machine_name, marks, refuse_unread, region_parts, result_of, slug

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from providers.base import FetchContext, FetchPart, FetchResult, Wanted
    from providers.gpus import Gpu, GpuTable
    from providers.scope import OfferKey

NAME = "runpod"
KEY = "RUNPOD_API_KEY"
ENDPOINT = "TUNEFARE_RUNPOD_ENDPOINT"
DEFAULT_ENDPOINT = "https://api.runpod.io"
SOURCE = "runpod graphql api, gpuTypes"

COUNTS = (1, 2, 4, 8)
"""Machine sizes that are asked for; RunPod rents out others too, up to `maxGpuCount`."""
CLOUDS = ("secure", "community")
SPOT_FLOOR_DIVISOR = 5
"""A spot price below a fifth of on-demand is not believed: an H200 NVL stood at 0.50 beside 3.79."""

CHIPS: Mapping[str, str] = MappingProxyType(
    {
        "AMD Instinct MI300X OAM": "MI300X-OAM-192GB",
        "NVIDIA B300 SXM6 AC": "B300-SXM-288GB",
    }
)
"""Ids that the GPU table does not spell."""

MACHINES: Mapping[str, str] = MappingProxyType({"h200-sxm": "h200", "b300": "hgx-b300", "tesla-v100": "v100-pcie"})
"""Names of machines where RunPod's display name differs from the name in the bundled list."""

_PRICES = "minimumBidPrice uninterruptablePrice minVcpu minMemory stockStatus"
_LOWEST = " ".join(
    f"{cloud}{count}: lowestPrice(input: {{gpuCount: {count}, secureCloud: {str(cloud == 'secure').lower()}}}) "
    f"{{ {_PRICES} }}"
    for cloud in CLOUDS
    for count in COUNTS
)
QUERY = (
    "query GpuPrices { gpuTypes { id displayName memoryInGb secureCloud communityCloud securePrice communityPrice "
    f"secureSpotPrice communitySpotPrice maxGpuCount {_LOWEST} }} }}"
)
_REFUSED = re.compile(r"unauthori[sz]ed|unauthenticated|forbidden|not authenticated|api key", re.IGNORECASE)


class RunPod:
    """The source "runpod"."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return the one part that there is. Raises JobError for regions: a price holds wherever the machine stands."""
        del context
        if wanted.regions and GLOBAL_REGION not in wanted.regions:
            raise JobError(
                where="command line",
                key="region",
                value=", ".join(sorted(wanted.regions)),
                allowed=f"{GLOBAL_REGION}: RunPod asks one price in all its regions",
            )
        everywhere = replace(wanted, regions=frozenset({GLOBAL_REGION}))
        return region_parts("gpu types", everywhere, INFO.pricing_models)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return the prices of what is in stock. Raises a ProviderError."""
        parsed, observed_at = _ask(context)
        # It never runs out of everything: it rather stopped telling strangers what is in stock.
        refuse_unread(NAME, parsed, sold_out=False)
        return result_of(NAME, part, parsed, observed_at)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key, None where it is out of stock. Raises a ProviderError."""
        return _ask(context)[0].find(key)


INFO = ProviderInfo(
    name=NAME,
    title="RunPod",
    account=Account.OPTIONAL,
    pricing_models=(PricingModel.ON_DEMAND, PricingModel.SPOT),
    live="on-demand and spot prices of pods with 1, 2, 4 and 8 GPUs in stock, secure and community cloud",
    unverified=(
        "not run against the live service: that the price of one GPU times their number is the price of the pod, that "
        "spot prices are prices and not minimum bids, vCPUs and memory of pods with several GPUs, that strangers are "
        "told what the community cloud has in stock: where they are not, none of its pods is an offer"
    ),
    homepage="https://docs.runpod.io",
    variables=(
        Variable(
            name=KEY,
            help="API key of RunPod, from https://console.runpod.io/user/settings; without one public prices are read",
            secret=True,
        ),
        Variable(name=ENDPOINT, help=f"another address than {DEFAULT_ENDPOINT}, for a mirror or a proxy"),
    ),
    permissions="a read-only API key, or none",
    pool=1,
    requests_per_s=2.0,
    volatile=True,
)


def parse_gpu_types(value: object, gpus: GpuTable, observed_at: datetime) -> Parsed:
    """Return offers and dropped rows of an answer.

    Raises CredentialsRefused for a GraphQL error that says so, ResponseChanged for any other and for another shape.
    """
    _refuse_errors(value)
    rows = rows_of(value, "data", "gpuTypes", source=NAME)
    return all_of(_parse_type(row, gpus, observed_at) for row in rows)


def _refuse_errors(value: object) -> None:
    """Raise for an answer with errors: GraphQL sends them with HTTP 200, and may send half of the data beside them."""
    errors = value.get("errors") if isinstance(value, dict) else None
    if not errors:
        return
    first = errors[0] if isinstance(errors, list) else errors
    words = first.get("message") if isinstance(first, dict) else None
    extensions = first.get("extensions") if isinstance(first, dict) else None
    code = extensions.get("code") if isinstance(extensions, dict) else None
    said = clean_name(words) if isinstance(words, str) else "no message"
    if str(code) in {"UNAUTHENTICATED", "FORBIDDEN"} or _REFUSED.search(said):
        raise CredentialsRefused(f"{NAME}: the API refuses the credentials")
    raise ResponseChanged(f"{NAME}: the API does not answer the query ({said})", sample=repr(errors)[:2000])


def _parse_type(value: object, gpus: GpuTable, observed_at: datetime) -> Parsed:
    try:
        row = Fields(value, what="GPU type")
        machine = _Machine(row, gpus, observed_at)
        clouds = _clouds(row)
        most = row.whole_or_none("maxGpuCount", low=1, high=1024)
    except RowProblem as problem:
        return Parsed(dropped=(problem.dropped(_item(value)),))
    counts = [count for count in COUNTS if most is None or count <= most]
    return all_of(machine.offers(cloud, count) for cloud in clouds for count in counts)


def _item(value: object) -> str:
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name.strip() else "GPU type"


def _clouds(row: Fields) -> list[str]:
    clouds = [cloud for cloud in CLOUDS if row.get(f"{cloud}Cloud") is True]
    if not clouds:
        raise RowProblem("no_capacity", "in neither cloud")
    return clouds


class _Machine:
    """Makes the offers of one GPU type: cloud by cloud, count by count."""

    def __init__(self, row: Fields, gpus: GpuTable, observed_at: datetime) -> None:
        """Raises RowProblem for a row that names no GPU."""
        self._row = row
        self._observed_at = observed_at
        self._id = row.text("id")
        if self._id.casefold() == "unknown":
            raise RowProblem("unknown_shape", "a GPU type without a name")
        shown = slug(row.text_or_none("displayName") or self._id)
        if not shown:
            raise RowProblem("bad_row", "no name that could be that of a machine")
        self._name = MACHINES.get(shown, shown)
        # A slice is named after its card: "... Server Edition MIG 1g.24gb".
        whole, sliced, _profile = self._id.partition(" MIG ")
        # Zero stands for unknown, as in the row that is called "unknown". What is stated is the nameplate figure.
        memory = row.whole_or_none("memoryInGb", high=10_000)
        self._memory = memory * GIB if memory else None
        gpu = _resolve(whole, gpus)
        mismatch = gpu is not None and not sliced and not fits(gpu, self._memory)
        self._gpu = None if mismatch else gpu
        self._flags = marks(
            None if self._gpu else "gpu_unknown",
            "memory_mismatch" if mismatch else None,
            "fractional" if sliced else None,
        )

    def offers(self, cloud: str, count: int) -> Parsed:
        """Return what a machine with `count` GPUs costs in `cloud`, on demand and as spot."""
        item = f"{machine_name(self._name, count)} {cloud}"
        try:
            lowest = self._in_stock(cloud, count)
        except RowProblem as problem:
            return Parsed(dropped=(problem.dropped(item),))
        offers, dropped = [], []
        for model in (PricingModel.ON_DEMAND, PricingModel.SPOT):
            try:
                offers.append(self._offer(cloud, count, model, lowest))
            except RowProblem as problem:
                dropped.append(problem.dropped(f"{item} {model.value}"))
        return Parsed(offers=tuple(offers), dropped=tuple(dropped))

    def _in_stock(self, cloud: str, count: int) -> Fields:
        stated = self._row.get(f"{cloud}{count}")
        lowest = None if stated is None else Fields(stated, what=f"lowestPrice of {count}")
        if lowest is None or lowest.text_or_none("stockStatus") is None:
            raise RowProblem("no_capacity", "out of stock")
        return lowest

    def _price(self, cloud: str, model: PricingModel, lowest: Fields) -> tuple[int, str | None]:
        """Return the price of one GPU for one hour in billionths, and what is wrong with it."""
        if model is PricingModel.ON_DEMAND:
            return self._row.price_nano(f"{cloud}Price"), None
        if self._row.get(f"{cloud}SpotPrice") is None:
            return lowest.price_nano("minimumBidPrice"), "bid_floor"
        price = self._row.price_nano(f"{cloud}SpotPrice")
        try:
            on_demand = self._row.price_nano(f"{cloud}Price")
        except RowProblem:
            return price, None
        return price, "placeholder" if price * SPOT_FLOOR_DIVISOR < on_demand else None

    def _offer(self, cloud: str, count: int, model: PricingModel, lowest: Fields) -> Offer:
        price, flag = self._price(cloud, model, lowest)
        memory = lowest.whole_or_none("minMemory", high=1_000_000)
        return Offer(
            provider=NAME,
            region=GLOBAL_REGION,
            variant=cloud,
            instance_type=machine_name(self._name, count),
            gpu=self._gpu.id if self._gpu else None,
            gpu_name=self._id,
            gpu_count=count,
            gpu_memory_bytes=self._memory,
            vcpus=lowest.whole_or_none("minVcpu", high=100_000) or None,
            host_ram_bytes=memory * GB if memory else None,
            pricing_model=model,
            unit_price_nano=price * count,
            observed_at=self._observed_at,
            source=SOURCE,
            price_class=PriceClass.LIVE,
            flags=marks(
                *self._flags,
                "marketplace" if cloud == "community" else None,
                "limited_capacity" if lowest.get("stockStatus") == "Low" else None,
                flag,
            ),
        )


def _resolve(name: str, gpus: GpuTable) -> Gpu | None:
    known = CHIPS.get(name)
    return gpus.resolve(name) if known is None else gpus.by_id.get(known)


def _ask(context: FetchContext) -> tuple[Parsed, datetime]:
    context.checkpoint()
    url = f"{endpoint(context, ENDPOINT, DEFAULT_ENDPOINT)}/graphql"
    answer = context.http.post_json(url, {"query": QUERY}, headers=bearer(context, KEY))
    observed_at = context.now()
    return parse_gpu_types(answer.value, context.gpus, observed_at), observed_at
