"""Lambda: `GET /api/v1/instance-types` lists every type with its price in cents and the regions that have one free now.

Only what can be had at the moment becomes an offer: a type that no region has free is dropped as `no_capacity`, so that
no plan picks a machine that nobody can start. Types are named as the launch call wants them ("gpu_8x_h100_sxm5").
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.base import Account, ProviderInfo, Variable, endpoint
from providers.errors import ResponseChanged
from providers.offer import Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem
from providers.units import GIB

from .cloud_parts import Parsed, all_of, bearer, marks, refuse_unread, region_parts, require_account, result_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from providers.base import FetchContext, FetchPart, FetchResult, Wanted
    from providers.gpus import GpuTable
    from providers.scope import OfferKey

NAME = "lambda"
KEY = "LAMBDA_API_KEY"
ENDPOINT = "TUNEFARE_LAMBDA_ENDPOINT"
DEFAULT_ENDPOINT = "https://cloud.lambda.ai"
SOURCE = "lambda cloud api, instance types"
CENTS = 100

CHIPS: Mapping[str, str] = MappingProxyType({
    "A10 (24 GB PCIe)": "A10-24GB",
    "A10 (24 GB)": "A10-24GB",
    "A6000 (48 GB)": "RTX-A6000-48GB",
    "RTX A6000 (48 GB)": "RTX-A6000-48GB",
    "RTX 6000 (24 GB)": "QUADRO-RTX-6000-24GB",
    "Quadro RTX 6000 (24 GB)": "QUADRO-RTX-6000-24GB",
    "RTX 6000 Ada (48 GB)": "RTX-6000-ADA-48GB",
    "Tesla V100 (16 GB)": "V100-PCIE-16GB",
    "V100 (16 GB)": "V100-PCIE-16GB",
    "A100 (40 GB PCIe)": "A100-PCIE-40GB",
    "A100 (40 GB SXM4)": "A100-SXM-40GB",
    "A100 (40 GB)": "A100-PCIE-40GB",
    "A100 (80 GB PCIe)": "A100-PCIE-80GB",
    "A100 (80 GB SXM4)": "A100-SXM-80GB",
    "A100 (80 GB)": "A100-PCIE-80GB",
    "L40S (48 GB)": "L40S-48GB",
    "H100 (80 GB PCIe)": "H100-PCIE-80GB",
    "H100 (80 GB SXM5)": "H100-SXM-80GB",
    "H100 (80 GB)": "H100-PCIE-80GB",
    "H200 (141 GB SXM5)": "H200-SXM-141GB",
    "GH200 (96 GB)": "GH200-96GB",
    "B200 (180 GB SXM6)": "B200-SXM-180GB",
    "B200 (192 GB SXM6)": "B200-SXM-180GB",
})  # fmt: skip
"""Lambda's own words for a GPU, without the maker's name, and the chip that they stand for."""

FORM_FACTOR_ASSUMED = frozenset({
    "Tesla V100 (16 GB)", "V100 (16 GB)", "A100 (40 GB)", "A100 (80 GB)", "H100 (80 GB)",
})  # fmt: skip
NO_GPU = frozenset({"n/a", "none", "cpu"})
ARM_CHIPS = frozenset({"GH200", "GB200", "GB300"})

_MEMORY = re.compile(r"\((\d{1,4}) GB\b")
_COUNT = re.compile(r"\d{1,3}x ")


class LambdaCloud:
    """The source "lambda"."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        return INFO

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return one part, or one a region asked for. Raises CredentialsMissing without a key."""
        require_account(INFO, context)
        return region_parts("instance types", wanted, INFO.pricing_models)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return what can be had now. Raises a ProviderError."""
        parsed, observed_at = _ask(context)
        refuse_unread(NAME, parsed)
        return result_of(NAME, part, parsed, observed_at)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of that key, None where its region has none free. Raises a ProviderError."""
        require_account(INFO, context)
        return _ask(context)[0].find(key)


INFO = ProviderInfo(
    name=NAME,
    title="Lambda",
    account=Account.NEEDED,
    pricing_models=(PricingModel.ON_DEMAND,),
    live="on-demand prices of all GPU types, in the regions that have one free at the moment",
    unverified=(
        "not run against the live service: host name (older documents say cloud.lambdalabs.com), the words for GPUs "
        "beyond those in public samples, whether negotiated prices are shown"
    ),
    homepage="https://docs.lambda.ai/api/cloud",
    variables=(
        Variable(
            name=KEY,
            help="API key of Lambda Cloud, from https://cloud.lambda.ai/api-keys",
            secret=True,
            required=True,
        ),
        Variable(name=ENDPOINT, help=f"another address than {DEFAULT_ENDPOINT}, for a mirror or a proxy"),
    ),
    permissions="any API key: keys of Lambda have no scopes, and only GET requests are sent",
    pool=1,
    requests_per_s=1.0,
    volatile=True,
)


def parse_types(value: object, gpus: GpuTable, observed_at: datetime) -> Parsed:
    """Return offers and dropped rows of an answer. Raises ResponseChanged where it is no list of types."""
    types = value.get("data") if isinstance(value, dict) else None
    if not isinstance(types, dict):
        raise ResponseChanged(f"{NAME}: the answer has no types under data", sample=repr(value)[:2000])
    return all_of(_parse_type(str(name), row, gpus, observed_at) for name, row in types.items())


def _parse_type(name: str, value: object, gpus: GpuTable, observed_at: datetime) -> Parsed:
    try:
        row = Fields(value)
        kind = row.fields("instance_type")
        count, words = _chip(kind)
        offer = _offer(kind, count, words, gpus, observed_at)
        regions = _regions(row)
    except RowProblem as problem:
        return Parsed(dropped=(problem.dropped(name),))
    return Parsed(offers=tuple(replace(offer, region=region) for region in dict.fromkeys(regions)))


def _regions(row: Fields) -> list[str]:
    """Return the regions that have one free now. Raises RowProblem (`no_capacity`) where none has."""
    regions = [Fields(item, what="region").text("name") for item in row.items("regions_with_capacity_available")]
    if not regions:
        raise RowProblem("no_capacity", "no region has one free")
    return regions


def _chip(kind: Fields) -> tuple[int, str]:
    """Return the number of GPUs and Lambda's words for one, without the maker. Raises RowProblem."""
    count = kind.fields("specs").whole_or_none("gpus", high=64)
    if count == 0:
        raise RowProblem("not_a_gpu")
    # Answers of 2023 had no words for the GPU of their own: "1x A10 (24 GB PCIe)" describes the machine.
    words = kind.text_or_none("gpu_description") or _COUNT.sub("", kind.text("description"), count=1)
    if words.casefold() in NO_GPU:
        raise RowProblem("not_a_gpu")
    if count is None:
        raise RowProblem("bad_count", "specs.gpus is not stated")
    return count, words.removeprefix("NVIDIA ")


def _offer(kind: Fields, count: int, words: str, gpus: GpuTable, observed_at: datetime) -> Offer:
    """Return the offer of one type, its region still to be filled in. Raises RowProblem for a row that is none."""
    specs = kind.fields("specs")
    chip = CHIPS.get(words)
    gpu = gpus.by_id.get(chip) if chip else gpus.resolve(words)
    memory = _MEMORY.search(words)
    storage = specs.whole_or_none("storage_gib")
    ram = specs.whole_or_none("memory_gib")
    arm = (gpu is not None and gpu.chip in ARM_CHIPS) or kind.get("architecture") == "arm64"
    return Offer(
        provider=NAME,
        region="",
        instance_type=kind.text("name"),
        gpu=gpu.id if gpu else None,
        gpu_name=words,
        gpu_count=count,
        gpu_memory_bytes=int(memory[1]) * GIB if memory else None,
        vcpus=specs.whole_or_none("vcpus"),
        host_ram_bytes=ram * GIB if ram else None,
        disk_bytes=storage * GIB if storage else None,
        pricing_model=PricingModel.ON_DEMAND,
        unit_price_nano=_price_nano(kind),
        observed_at=observed_at,
        source=SOURCE,
        price_class=PriceClass.LIVE,
        flags=marks(
            None if gpu else "gpu_unknown",
            "form_factor_assumed" if words in FORM_FACTOR_ASSUMED else None,
            "arm_host" if arm else None,
        ),
    )


def _price_nano(kind: Fields) -> int:
    """Return the price of the machine for one hour, stated in cents, in billionths of a dollar."""
    nano = kind.price_nano("price_cents_per_hour") // CENTS
    if nano == 0:
        raise RowProblem("zero_price", "price_cents_per_hour is below a millionth of a cent")
    return nano


def _ask(context: FetchContext) -> tuple[Parsed, datetime]:
    context.checkpoint()
    url = f"{endpoint(context, ENDPOINT, DEFAULT_ENDPOINT)}/api/v1/instance-types"
    answer = context.http.get_json(url, headers=bearer(context, KEY))
    observed_at = context.now()
    return parse_types(answer.value, context.gpus, observed_at), observed_at
