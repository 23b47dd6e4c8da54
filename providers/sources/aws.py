"""AWS: EC2 machines with GPUs, on demand, as spot, and as capacity blocks.

With an account everything is asked from AWS's own interfaces. Without one (or without boto3) there is the public price
list, a file of hundreds of megabytes for each region that holds on-demand prices only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Account, FetchPart, FetchResult, ProviderInfo, Variable
from providers.errors import CredentialsMissing
from providers.offer import PricingModel
from providers.quota import QuotaReading
from providers.scope import Scope

from .aws_account import enabled_regions, has_price_query, read_quotas, read_scope
from .aws_bulk import DEFAULT_REGIONS, ENDPOINT_VARIABLE, check_regions, read_price_list
from .aws_client import open_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import FetchContext, Wanted
    from providers.offer import Offer
    from providers.scope import OfferKey

INFO = ProviderInfo(
    name="aws",
    title="Amazon EC2",
    account=Account.OPTIONAL,
    pricing_models=(PricingModel.ON_DEMAND, PricingModel.SPOT, PricingModel.RESERVED),
    live=(
        "with an account on-demand prices of every enabled region, spot prices of every zone, capacity blocks of 24 h; "
        f"without one on-demand prices of {', '.join(DEFAULT_REGIONS)} (or of the regions asked for), out of public "
        "files of hundreds of megabytes each"
    ),
    unverified=(
        "nothing was checked against the live service; open above all: how the price list counts the slices of a GPU "
        "(g6f) and states GPU memory, what EC2 calls the GPUs of p6e, and capacity blocks as a whole"
    ),
    homepage="https://aws.amazon.com/ec2/pricing/",
    variables=(
        Variable(name="AWS_PROFILE", help="profile of ~/.aws/config to use; without it boto3 searches as usual"),
        Variable(name="AWS_ACCESS_KEY_ID", help="key id of an IAM user or role that may read prices"),
        Variable(name="AWS_SECRET_ACCESS_KEY", help="the secret that belongs to AWS_ACCESS_KEY_ID", secret=True),
        Variable(name="AWS_SESSION_TOKEN", help="token of a temporary key, as STS and SSO hand out", secret=True),
        Variable(name="AWS_REGION", help="region that is asked which regions there are (us-east-1; cn-... in China)"),
        Variable(name="AWS_DEFAULT_REGION", help="the same, where AWS_REGION is not set"),
        Variable(name="TUNEFARE_AWS_ACCOUNT", help="no: read the public price list even where credentials are found"),
        Variable(name=ENDPOINT_VARIABLE, help="address of a mirror of the public price list"),
    ),
    permissions=(
        "pricing:GetProducts; ec2:DescribeRegions, DescribeAvailabilityZones, DescribeInstanceTypes, "
        "DescribeInstanceTypeOfferings, DescribeSpotPriceHistory, DescribeCapacityBlockOfferings; "
        "servicequotas:ListServiceQuotas (for quotas only)"
    ),
    extra="aws",
)


class Aws:
    """The price source "aws"."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of AWS without asking it."""
        return INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return one part for each region and pricing model; without an account on-demand only.

        Raises CredentialsMissing when only spot or capacity blocks are asked for and there is no account, JobError for
        a region that AWS or the account does not have.
        """
        models = tuple(model for model in INFO.pricing_models if wanted.takes_model(model))
        if not models:
            return ()
        account = open_account(context)
        if account is not None:
            regions = enabled_regions(account, wanted.regions)
        elif PricingModel.ON_DEMAND in models:
            models = (PricingModel.ON_DEMAND,)
            regions = check_regions(context, wanted.regions) if wanted.regions else DEFAULT_REGIONS
        else:
            raise _account_needed(models[0])
        return tuple(
            FetchPart(name=f"{region} {model.value}", region=region, pricing_models=(model,))
            for region in regions
            for model in models
        )

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return what AWS asks in one region under one pricing model. Raises a ProviderError."""
        [model] = part.pricing_models
        scope = Scope(provider=INFO.name, region=part.region or "", pricing_model=model)
        return _read(scope, context)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key, asked for now; without an account the whole file of its region is read."""
        result = _read(key.scope, context, only=key.instance_type)
        return next((offer for batch in result.batches for offer in batch.offers if offer.key == key), None)

    def quotas(self, region: str, context: FetchContext) -> QuotaReading:
        """Return how many vCPUs of machines with GPUs the account may run in `region`, on demand and as spot."""
        account = open_account(context)
        if account is None:
            return QuotaReading(reason=f"{INFO.name}: quotas need an account, and no credentials were found")
        return read_quotas(account, region)


def _read(scope: Scope, context: FetchContext, *, only: str | None = None) -> FetchResult:
    account = open_account(context)
    listed = scope.pricing_model is PricingModel.ON_DEMAND
    if listed and (account is None or not has_price_query(scope.region)):
        return read_price_list(scope, context, anew=only is not None)
    if account is None:
        raise _account_needed(scope.pricing_model)
    batch = read_scope(account, scope, context, only=only)
    return FetchResult(batches=(batch,), observed_at=batch.observed_at)


def _account_needed(model: PricingModel) -> CredentialsMissing:
    return CredentialsMissing(
        f"{INFO.name}: {model.value} prices need an account: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
        f"AWS_SECRET_ACCESS_KEY, and install tunefare[{INFO.extra}]"
    )
