"""Google Cloud: on-demand and spot prices, put together from the SKUs of the Cloud Billing Catalog.

The catalogue prices parts, not machines (`gcp_skus`); what a machine consists of stands in a table (`gcp_machines`),
and `gcp_assemble` adds up. All regions and both pricing models are in one list of SKUs without filters: a refresh walks
it once, in pages of 5,000 SKUs, and so does a quote of a single machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.base import Account, FetchPart, FetchResult, ProviderInfo, Variable
from providers.errors import JobError, ResponseChanged
from providers.offer import PricingModel

from .gcp_assemble import MODELS, PROVIDER, make_batches
from .gcp_client import API_KEY, ENDPOINT, KEY_FILE, Patience, check_account, connect, walk
from .gcp_machines import load_gcp_machines
from .gcp_skus import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.cloud.billing_v1 import CloudCatalogClient

    from providers.base import FetchContext, Wanted
    from providers.offer import Offer
    from providers.scope import OfferKey

_REGION_NAME = re.compile(r"[a-z]+(-[a-z]+)+\d+", re.ASCII)

INFO = ProviderInfo(
    name=PROVIDER,
    title="Google Cloud",
    account=Account.NEEDED,
    pricing_models=tuple(MODELS),
    live="on-demand and spot prices of A2, A3, A4, G2 and G4 machines and of T4, V100, P100 and P4 on N1, all regions",
    unverified=(
        "no live answer was seen: SKU names of A3 Ultra, A4 and G4, that an A4 slice covers the local disks, and which "
        "machine types a region really has (the catalogue prices parts only); A4X and A3 Edge are left out"
    ),
    homepage="https://cloud.google.com/compute/all-pricing",
    variables=(
        Variable(
            name=API_KEY,
            help="API key restricted to the Cloud Billing API (console: APIs & Services, Credentials); "
            "without it Application Default Credentials are used",
            secret=True,
            required=True,
        ),
        Variable(name=KEY_FILE, help="path of a credentials file, instead of the key or of gcloud's own login"),
        Variable(name=ENDPOINT, help="address of a mirror of the Cloud Billing API, asked over REST"),
    ),
    permissions=(
        "Cloud Billing API enabled in the project of the key or account; no IAM role: the catalogue is public, and the "
        "key only counts requests"
    ),
    extra="gcp",
    pool=1,
    requests_per_s=5.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguePart(FetchPart):
    """The whole catalogue; of it the regions asked for, all where there are none."""

    regions: frozenset[str] = frozenset()


class Gcp:
    """The price source. `open_client` returns a client of the catalogue, `patience` says how long it is waited for."""

    def __init__(
        self,
        *,
        open_client: Callable[[FetchContext], CloudCatalogClient] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._open_client = open_client
        self._patience = patience or Patience()

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return one part: regions and models come out of the same pages.

        Raises JobError for regions that cannot be Google's by their name (a walk takes minutes, and would find nothing
        for them), CredentialsMissing without an account.
        """
        models = tuple(model for model in MODELS if wanted.takes_model(model))
        if not models:
            return ()
        if strange := sorted(region for region in wanted.regions if not _REGION_NAME.fullmatch(region)):
            raise JobError(
                where="command line",
                key="region",
                value=", ".join(strange),
                allowed="a region of Google Cloud, such as us-central1 or europe-west4",
            )
        if self._open_client is None:
            check_account(context)
        # Named for what it covers: the record of a part says of which scopes it is.
        words = ["catalogue", *sorted(wanted.regions), *(models if len(models) < len(MODELS) else ())]
        return (CataloguePart(name=" ".join(words), pricing_models=models, regions=wanted.regions),)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return the prices of all regions asked for, in both pricing models. Raises a ProviderError."""
        regions = part.regions if isinstance(part, CataloguePart) else frozenset({part.region} if part.region else ())
        return self._fetch(context, regions, frozenset(part.pricing_models))

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key, None when a part of it has no price any more. Walks the whole catalogue."""
        known = key.provider == PROVIDER and key.instance_type in load_gcp_machines() and not (key.zone or key.variant)
        if not known or key.pricing_model not in MODELS or not _REGION_NAME.fullmatch(key.region):
            return None
        result = self._fetch(context, frozenset({key.region}), frozenset({PricingModel(key.pricing_model)}))
        offers = (offer for batch in result.batches for offer in batch.offers)
        return next((offer for offer in offers if offer.key == tuple(key)), None)

    def _fetch(self, context: FetchContext, regions: frozenset[str], models: frozenset[PricingModel]) -> FetchResult:
        catalogue, count = Catalogue(), 0
        client = (self._open_client or connect)(context)
        try:
            for rows in walk(client, context, self._patience):
                count += len(rows)
                catalogue.read(rows)
        finally:
            client.transport.close()  # type: ignore[no-untyped-call]
        if not any(part.is_gpu for part in catalogue.parts):
            raise ResponseChanged(f"gcp: none of the {count:,} SKUs of the Cloud Billing Catalog prices a known GPU")
        observed_at = context.now()
        batches = make_batches(
            catalogue.parts,
            load_gcp_machines(),
            gpus=context.gpus,
            observed_at=observed_at,
            regions=regions,
            models=models,
        )
        return FetchResult(batches=batches, dropped=catalogue.dropped, observed_at=observed_at)
