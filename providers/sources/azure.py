"""Azure's public retail prices: no account, all regions, on demand and spot.

The list is walked region by region, because it moves: a walk over everything takes minutes, and rows shift from page to
page meanwhile. What a row means is `azure_skus`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from providers.base import Account, FetchPart, FetchResult, ProviderInfo, Variable, endpoint
from providers.errors import JobError, ResponseChanged
from providers.offer import PricingModel
from providers.payload import rows_of, sample_of
from providers.scope import Scope, ScopeBatch

from .azure_skus import GPU_PREFIX, PROVIDER, SERVICE, parse_items

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.base import FetchContext, Wanted
    from providers.offer import Offer
    from providers.scope import OfferKey

HOME = "https://prices.azure.com"
PATH = "/api/retail/prices"
API_VERSION = "2023-01-01-preview"
ENDPOINT_VARIABLE = "TUNEFARE_AZURE_ENDPOINT"
MODELS = (PricingModel.ON_DEMAND, PricingModel.SPOT)

REGIONS = (
    "australiacentral", "australiacentral2", "australiaeast", "australiasoutheast", "austriaeast", "belgiumcentral",
    "brazilsouth", "brazilsoutheast", "canadacentral", "canadaeast", "centralindia", "centralus", "chilecentral",
    "denmarkeast", "eastasia", "eastus", "eastus2", "francecentral", "francesouth", "germanynorth",
    "germanywestcentral", "indonesiacentral", "israelcentral", "italynorth", "japaneast", "japanwest",
    "jioindiacentral", "jioindiawest", "koreacentral", "koreasouth", "malaysiawest", "mexicocentral",
    "newzealandnorth", "northcentralus", "northeurope", "norwayeast", "norwaywest", "polandcentral", "qatarcentral",
    "southafricanorth", "southafricawest", "southcentralus", "southeastasia", "southindia", "spaincentral",
    "swedencentral", "swedensouth", "switzerlandnorth", "switzerlandwest", "uaecentral", "uaenorth", "uksouth",
    "ukwest", "westcentralus", "westeurope", "westus", "westus2", "westus3",
)  # fmt: skip
"""The public regions, those of the bundled list among them; the price list cannot be asked which regions it has."""

_REGION_NAME = re.compile(r"[a-z0-9]{1,60}", re.ASCII)

_INFO = ProviderInfo(
    name=PROVIDER,
    title="Microsoft Azure",
    account=Account.NONE,
    pricing_models=MODELS,
    live="on-demand and spot prices of all N-series sizes with Linux, per region",
    unverified=(
        "written against Microsoft's documentation and public copies of answers, not run against the service; "
        "the list has no sizes: GPU counts come from Microsoft's size pages; "
        "spot prices are list prices, what a region asks at the moment may differ"
    ),
    homepage="https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices",
    variables=(
        Variable(
            name=ENDPOINT_VARIABLE,
            help=f"address of a mirror or proxy of the Azure retail prices API, instead of {HOME}",
        ),
    ),
    pool=4,
    requests_per_s=4.0,
)


class Azure:
    """The source `azure`."""

    def __init__(self, regions: tuple[str, ...] = REGIONS) -> None:
        """`regions` are those that a refresh asks for when none is named."""
        self._regions = regions

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return _INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:  # noqa: ARG002 - the protocol's
        """Return one part a region. Raises JobError when no region that is asked for can be Azure's by its name.

        A region that Azure does not have answers with nothing, as one without GPUs does.
        """
        models = tuple(model for model in MODELS if wanted.takes_model(model))
        if not models:
            return ()
        named = sorted(region for region in wanted.regions if _REGION_NAME.fullmatch(region))
        if wanted.regions and not named:
            raise JobError(
                where="command line",
                key="region",
                value=", ".join(sorted(wanted.regions)),
                allowed="an Azure region, such as eastus or westeurope",
            )
        suffix = "" if models == MODELS else f" {models[0].value}"
        return tuple(
            FetchPart(name=f"{region}{suffix}", region=region, pricing_models=models)
            for region in named or self._regions
        )

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return the batches of one region. Raises a ProviderError."""
        region = part.region or ""
        items, observed_at = _walk(context, region, GPU_PREFIX)
        parsed = parse_items(items, region=region, observed_at=observed_at, gpus=context.gpus)
        batches = tuple(
            ScopeBatch(
                scope=Scope(provider=PROVIDER, region=region, pricing_model=model),
                observed_at=observed_at,
                offers=tuple(parsed.offers[model]),
                dropped=tuple(parsed.dropped[model]),
            )
            for model in part.pricing_models
        )
        return FetchResult(batches=batches, dropped=tuple(parsed.dropped[None]), observed_at=observed_at)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key as it is now, None when it is gone. Raises a ProviderError."""
        if key.provider != PROVIDER or not key.instance_type.casefold().startswith(GPU_PREFIX.casefold()):
            return None
        items, observed_at = _walk(context, key.region, key.instance_type)
        parsed = parse_items(items, region=key.region, observed_at=observed_at, gpus=context.gpus)
        return next((offer for offers in parsed.offers.values() for offer in offers if offer.key == tuple(key)), None)


def _walk(context: FetchContext, region: str, name_part: str) -> tuple[list[object], datetime]:
    """Return all rows of a region whose size name holds `name_part`, each once, and when the first of them came.

    There is no limit to the pages. Raises ResponseChanged for a walk that does not come forward.
    """
    base = endpoint(context, ENDPOINT_VARIABLE, HOME)
    asked = {"api-version": API_VERSION, "$filter": _filter(region, name_part)}
    params, walked, seen = asked, set[str](), set[str]()
    items: list[object] = []
    observed_at: datetime | None = None
    while True:
        context.checkpoint()
        walked.add(repr(sorted(params.items())))
        answer = context.http.get_json(f"{base}{PATH}", params=params)
        observed_at = observed_at or context.now()
        before = len(items)
        for row in rows_of(answer.value, "Items", source=PROVIDER):
            if (written := _written(row)) not in seen:
                seen.add(written)
                items.append(row)
        onward = _onward(answer.value, base)
        if onward is None:
            return items, observed_at
        params = {**onward, **asked}
        if repr(sorted(params.items())) in walked or len(items) == before:
            raise ResponseChanged(f"{PROVIDER}: the price list of {region} leads in a circle after {len(walked)} pages")
        context.progress(f"{region} page {len(walked) + 1}")


def _written(row: object) -> str:
    """Return a row as text, equal for equal rows. Raises ResponseChanged for one that nests without end."""
    try:
        return repr(row)
    except RecursionError as err:
        raise ResponseChanged(f"{PROVIDER}: a row of the price list is nested too deeply") from err


def _filter(region: str, name_part: str) -> str:
    """Return what is asked for. `contains`, because some size names have blanks at their end."""
    return (
        f"serviceName eq '{SERVICE}' and armRegionName eq {_quoted(region)} and priceType eq 'Consumption'"
        f" and contains(armSkuName, {_quoted(name_part)})"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _onward(answer: object, base: str) -> dict[str, str] | None:
    """Return where the next page begins, None after the last.

    Only the parameters of the link are taken: the address stays the endpoint's, whatever the answer says, and so does
    the question. Raises ResponseChanged for a link to another place.
    """
    link = answer.get("NextPageLink") if isinstance(answer, dict) else None
    if link is None or link == "":
        return None
    try:
        parts = urlsplit(link) if isinstance(link, str) else None
        known = parts is not None and parts.hostname in {urlsplit(base).hostname, urlsplit(HOME).hostname}
    except ValueError:
        parts, known = None, False
    if parts is None or not known or not parts.path.endswith(PATH):
        raise ResponseChanged(f"{PROVIDER}: the next page is said to be elsewhere", sample=sample_of(link))
    return dict(parse_qsl(parts.query, keep_blank_values=True))
