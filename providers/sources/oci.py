"""Oracle Cloud's public price list: no account, one document, one price in all commercial regions.

On demand is read; preemptible capacity costs half of it by Oracle's rule, on virtual machines only. What a product
prices is `oci_products`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Account, FetchPart, FetchResult, ProviderInfo, Variable, endpoint
from providers.errors import JobError, ResponseChanged
from providers.offer import PricingModel
from providers.payload import sample_of
from providers.scope import GLOBAL_REGION, Scope, ScopeBatch

from .oci_products import CURRENCY, PROVIDER, Parsed, parse_products, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import FetchContext, Wanted
    from providers.http import Answer, Validator
    from providers.offer import Offer
    from providers.scope import OfferKey

HOME = "https://apexapps.oracle.com/pls/apex"
PATH = "/cetools/api/v1/products/"
ENDPOINT_VARIABLE = "TUNEFARE_OCI_ENDPOINT"
MODELS = (PricingModel.ON_DEMAND, PricingModel.SPOT)

_INFO = ProviderInfo(
    name=PROVIDER,
    title="Oracle Cloud Infrastructure",
    account=Account.NONE,
    pricing_models=MODELS,
    live="on-demand prices of GPU products, one worldwide; preemptible capacity by Oracle's rule, half of it, VMs only",
    unverified=(
        "written against public copies of the list, not run against the service; which machines a part number prices, "
        "and their vCPUs and memory, come from Oracle's documentation; that every region asks the same price, and "
        "which regions have which machine, the list does not say"
    ),
    homepage="https://www.oracle.com/cloud/price-list/",
    variables=(
        Variable(
            name=ENDPOINT_VARIABLE,
            help=f"address of a mirror or proxy of Oracle's price list API, instead of {HOME}",
        ),
    ),
    pool=1,
    requests_per_s=1.0,
)


class Oci:
    """The source `oci`."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return _INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:  # noqa: ARG002 - the protocol's
        """Return the one part that there is. Raises JobError for regions: the list has one price for all of them."""
        models = tuple(model for model in MODELS if wanted.takes_model(model))
        if wanted.regions and GLOBAL_REGION not in wanted.regions:
            raise JobError(
                where="command line",
                key="region",
                value=", ".join(sorted(wanted.regions)),
                allowed=f"{GLOBAL_REGION}: Oracle asks one price in all its regions",
            )
        if not models:
            return ()
        suffix = "" if models == MODELS else f" {models[0].value}"
        return (FetchPart(name=f"products{suffix}", region=GLOBAL_REGION, pricing_models=models),)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return what the list holds now. Raises a ProviderError; a list without any GPU is not believed."""
        url = _url(context)
        known = context.validators.get(url)
        answer = _ask(context, url, {"currencyCode": CURRENCY}, known)
        observed_at = context.now()
        validators = {url: answer.validator} if answer.validator else {}
        if answer.unchanged:
            return FetchResult(
                unchanged=True, observed_at=observed_at, validators=validators or ({url: known} if known else {})
            )
        _refuse_pages(answer.value)
        parsed = parse_products(answer.value, observed_at=observed_at, gpus=context.gpus)
        if not parsed.on_demand:
            raise ResponseChanged(f"{PROVIDER}: the list has no GPU that is understood", sample=sample_of(answer.value))
        batches = tuple(
            ScopeBatch(
                scope=Scope(provider=PROVIDER, region=GLOBAL_REGION, pricing_model=model),
                observed_at=observed_at,
                offers=_offers(parsed, model),
            )
            for model in part.pricing_models
        )
        return FetchResult(
            batches=batches, dropped=tuple(parsed.dropped), validators=validators, observed_at=observed_at
        )

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key as it is now, None when it is gone. Raises a ProviderError."""
        if key.provider != PROVIDER or key.region != GLOBAL_REGION:
            return None
        asked = {"partNumber": part_of(key.instance_type), "currencyCode": CURRENCY}
        answer = _ask(context, _url(context), asked, None)
        _refuse_pages(answer.value)
        parsed = parse_products(answer.value, observed_at=context.now(), gpus=context.gpus)
        return next((offer for offer in (*parsed.on_demand, *parsed.spot) if offer.key == tuple(key)), None)


def _url(context: FetchContext) -> str:
    return endpoint(context, ENDPOINT_VARIABLE, HOME) + PATH


def _ask(context: FetchContext, url: str, params: dict[str, str], validator: Validator | None) -> Answer:
    context.checkpoint()
    return context.http.get_json(url, params=params, validator=validator)


def _offers(parsed: Parsed, model: PricingModel) -> tuple[Offer, ...]:
    return tuple(parsed.on_demand if model is PricingModel.ON_DEMAND else parsed.spot)


def _refuse_pages(answer: object) -> None:
    """Raise ResponseChanged for a list that goes on elsewhere: it has always come whole."""
    if isinstance(answer, dict) and answer.get("hasMore"):
        raise ResponseChanged(f"{PROVIDER}: the list comes in pages now", sample=sample_of(answer))
