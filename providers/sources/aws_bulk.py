"""The public price list of AWS: one CSV of hundreds of megabytes for each region, for everybody, without an account.

The file is read as it comes and never held: bytes to text, text to lines, lines to rows, and of a row only a few
columns are kept. Five lines about the file stand before the header. Rows of other products (reserved terms, Windows,
storage) are counted, not listed: there are hundreds of thousands.
"""

from __future__ import annotations

import codecs
import csv
import re
from typing import TYPE_CHECKING

from providers.base import FetchResult, endpoint
from providers.errors import JobError, ResponseChanged
from providers.http import MEGABYTE
from providers.payload import Fields, RowProblem, sample_of
from providers.scope import ScopeBatch

from .aws_prices import BULK_SOURCE, OnDemandPrices, Parsed, StatedPrice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from providers.base import FetchContext
    from providers.gpus import GpuTable
    from providers.scope import Scope

SOURCE = "aws"
ENDPOINT_VARIABLE = "TUNEFARE_AWS_ENDPOINT"
ENDPOINT = "https://pricing.us-east-1.amazonaws.com"
CHINA_ENDPOINT = "https://pricing.cn-north-1.amazonaws.com.cn"

DEFAULT_REGIONS: tuple[str, ...] = ("eu-north-1", "us-east-1", "us-east-2", "us-west-2")
"""The regions with the most kinds of GPU: each costs a download of hundreds of megabytes."""

LARGEST_BYTES = 2_000 * MEGABYTE
LONGEST_LINE = 1_000_000
MOST_LINES_BEFORE_HEADER = 20
PROGRESS_BYTES = 50 * MEGABYTE

COLUMNS: Mapping[str, str] = {
    "instanceType": "Instance Type", "operatingSystem": "Operating System", "preInstalledSw": "Pre Installed S/W",
    "tenancy": "Tenancy", "capacitystatus": "CapacityStatus", "regionCode": "Region Code", "vcpu": "vCPU",
    "memory": "Memory", "gpu": "GPU", "storage": "Storage", "networkPerformance": "Network Performance",
}  # fmt: skip
"""Attributes of the query API, and the columns that hold them here."""
MAYBE_COLUMNS: Mapping[str, str] = {
    "gpuMemory": "GPU Memory", "instanceFamily": "Instance Family", "locationType": "Location Type",
    "marketoption": "MarketOption",
}  # fmt: skip
TERM_COLUMNS = ("TermType", "Unit", "PricePerUnit", "Currency")

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d", re.ASCII)


def bulk_url(context: FetchContext, region: str) -> str:
    """Return where the list of a region is. Raises JobError for an endpoint that is not https."""
    return f"{_base(context, china=region.startswith('cn-'))}/{region}/index.csv"


def read_price_list(scope: Scope, context: FetchContext, *, anew: bool = False) -> FetchResult:
    """Return the on-demand offers of a region, or that its file has not changed; `anew` asks for the file in any case.

    Raises a ProviderError, Interrupted.
    """
    url = bulk_url(context, scope.region)
    before = None if anew else context.validators.get(url)
    with context.http.stream(url, largest_bytes=LARGEST_BYTES, validator=before) as (answer, pieces):
        observed_at = context.now()
        if answer.unchanged:
            return FetchResult(validators=context.validators, unchanged=True, observed_at=observed_at)
        parsed = parse_price_list(
            _watched(pieces, context, scope.region), region=scope.region, gpus=context.gpus, observed_at=observed_at
        )
    batch = ScopeBatch(scope=scope, observed_at=observed_at, offers=parsed.offers, dropped=parsed.dropped)
    validators = {url: answer.validator} if answer.validator else {}
    return FetchResult(batches=(batch,), validators=validators, observed_at=observed_at)


def check_regions(context: FetchContext, regions: Iterable[str]) -> tuple[str, ...]:
    """Return the regions in order, once AWS has said that it has price lists for them.

    Raises JobError for one that it has not: its local zones and wavelength zones are no regions. Raises a
    ProviderError where the index is not there.
    """
    wanted = sorted(set(regions))
    for china in (False, True):
        asked = [region for region in wanted if region.startswith("cn-") == china]
        if not asked:
            continue
        url = f"{_base(context, china=china)}/region_index.json"
        listed = context.http.get_json(url).value
        try:
            known = Fields(Fields(listed).get("regions"), what="regions")
        except RowProblem as problem:
            raise ResponseChanged(f"{SOURCE}: the index of regions: {problem}", sample=sample_of(listed)) from problem
        for region in asked:
            if known.get(region) is None or not _REGION.fullmatch(region):
                raise JobError(
                    where="command line", key="region", value=region, allowed="a region of AWS, such as us-east-1"
                )
    return tuple(wanted)


def parse_price_list(pieces: Iterable[bytes], *, region: str, gpus: GpuTable, observed_at: datetime) -> Parsed:
    """Return the on-demand offers of one region out of its CSV, in pieces of any size.

    Raises ResponseChanged for a file without the columns, with a broken row, or without a single row of plain Linux:
    half a file would look like a region that lost its machines.
    """
    prices = OnDemandPrices(region=region, gpus=gpus)
    others = nameless = 0
    try:
        rows = csv.reader(_lines(pieces), strict=True)
        header = _header(rows)
        kept = _positions(header, COLUMNS, needed=True) | _positions(header, MAYBE_COLUMNS, needed=False)
        term, unit, amount, currency = (_positions(header, {name: name}, needed=True)[name] for name in TERM_COLUMNS)
        name, system = kept["instanceType"], kept["operatingSystem"]
        for row in rows:
            if len(row) != len(header):
                raise ResponseChanged(f"{SOURCE}: line {rows.line_num} has {len(row)} columns of {len(header)}")
            if not row[name]:
                nameless += 1
            elif row[term] != "OnDemand" or row[system] != "Linux" or not _is_plain(row, kept):
                others += 1
            else:
                stated = StatedPrice(row[unit], row[currency], row[amount])
                prices.add({key: row[at] for key, at in kept.items()}, (stated,))
    except (csv.Error, UnicodeDecodeError) as err:
        raise ResponseChanged(f"{SOURCE}: the price list of {region} is no CSV ({type(err).__name__}: {err})") from err
    if not prices.right_product:
        raise ResponseChanged(f"{SOURCE}: the price list of {region} has no row of Linux on demand")
    listing = f"{region} price list"
    if others:
        detail = f"{others:,} rows of reserved terms, other systems, software, tenancies and capacity"
        prices.drop(RowProblem("other_product", detail), listing)
    if nameless:
        prices.drop(RowProblem("not_a_gpu", f"{nameless:,} rows of storage, network and other services"), listing)
    return prices.finish(observed_at=observed_at, source=BULK_SOURCE)


def _watched(pieces: Iterable[bytes], context: FetchContext, region: str) -> Iterator[bytes]:
    """Yield the pieces; say now and then how far the download is, and stop when the user wants to."""
    size = shown = 0
    for piece in pieces:
        context.checkpoint()
        size += len(piece)
        if size - shown >= PROGRESS_BYTES:
            shown = size
            context.progress(f"{region} {size // MEGABYTE:,} MB")
        yield piece


def _base(context: FetchContext, *, china: bool) -> str:
    host = endpoint(context, ENDPOINT_VARIABLE, CHINA_ENDPOINT if china else ENDPOINT)
    return f"{host}/offers/v1.0/{'cn' if china else 'aws'}/AmazonEC2/current"


def _is_plain(row: list[str], kept: Mapping[str, int]) -> bool:
    return (
        row[kept["preInstalledSw"]] == "NA"
        and row[kept["tenancy"]] == "Shared"
        and row[kept["capacitystatus"]] == "Used"
    )


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield lines with their ends: a piece may stop within a character, and a field may hold line breaks."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    for piece in pieces:
        # Only "\n": splitlines would also split at separators that are characters of a field.
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        if len(rest) > LONGEST_LINE:
            raise ResponseChanged(f"{SOURCE}: a line of the price list is longer than {LONGEST_LINE:,} characters")
        for line in whole:
            yield line + "\n"
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _header(rows: Iterator[list[str]]) -> list[str]:
    sample = []
    for row in rows:
        if row and row[0] == "SKU":
            return row
        sample.append(row)
        if len(sample) > MOST_LINES_BEFORE_HEADER:
            break
    raise ResponseChanged(f"{SOURCE}: the price list has no header line that begins with SKU", sample=sample_of(sample))


def _positions(header: list[str], columns: Mapping[str, str], *, needed: bool) -> dict[str, int]:
    missing = [column for column in columns.values() if column not in header]
    if needed and missing:
        raise ResponseChanged(f"{SOURCE}: the price list has no column {', '.join(missing)}", sample=sample_of(header))
    return {key: header.index(column) for key, column in columns.items() if column in header}
