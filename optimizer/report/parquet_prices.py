"""Offers as a Parquet file: prices as decimals, sizes as whole numbers, moments in UTC. Needs the extra `parquet`."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.offer import Offer

DIGITS, DECIMALS = 20, 9
"""Of a price: anything below a hundred billion, to the billionth."""


def prices_parquet(offers: Sequence[Offer]) -> bytes:
    """Return the offers as the bytes of a Parquet file, in the order given.

    Raises JobError (exit 2), naming the extra to install, where pyarrow is missing.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as err:
        allowed = "needs pyarrow: pip install 'tunefare[parquet]'"
        raise JobError(where="command line", key="format", value="parquet", allowed=allowed) from err
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([_row(offer) for offer in offers], schema=_schema(pa)), target)
    return target.getvalue()


def _schema(pa: Any) -> Any:
    text, whole = pa.string(), pa.int64()
    return pa.schema([
        *((name, text) for name in ("provider", "region", "zone", "instance_type", "variant", "pricing_model")),
        ("gpu", text), ("gpu_name", text), ("gpu_count", pa.int32()),
        ("price_per_hour", pa.decimal128(DIGITS, DECIMALS)), ("currency", text),
        ("observed_at", pa.timestamp("us", tz="UTC")), ("price_class", text), ("source", text), ("vcpus", pa.int32()),
        ("host_ram_bytes", whole), ("disk_bytes", whole), ("network_bytes_per_s", pa.float64()),
        ("gpu_memory_bytes", whole), ("billing_increment_s", whole), ("billing_minimum_s", whole),
        ("billing_charged_when_stopped", pa.bool_()), ("billing_source", text), ("flags", pa.list_(text)),
    ])  # fmt: skip


def _row(offer: Offer) -> dict[str, object]:
    terms = offer.billing
    return {
        "provider": offer.provider,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "variant": offer.variant,
        "pricing_model": offer.pricing_model.value,
        "gpu": offer.gpu,
        "gpu_name": offer.gpu_name,
        "gpu_count": offer.gpu_count,
        "price_per_hour": Decimal(offer.unit_price_nano).scaleb(-DECIMALS),
        "currency": offer.currency,
        "observed_at": offer.observed_at,
        "price_class": offer.price_class.value,
        "source": offer.source,
        "vcpus": offer.vcpus,
        "host_ram_bytes": offer.host_ram_bytes,
        "disk_bytes": offer.disk_bytes,
        "network_bytes_per_s": offer.network_bytes_per_s,
        "gpu_memory_bytes": offer.gpu_memory_bytes,
        "billing_increment_s": None if terms is None else terms.increment_s,
        "billing_minimum_s": None if terms is None else terms.minimum_s,
        "billing_charged_when_stopped": None if terms is None else terms.charged_when_stopped,
        "billing_source": None if terms is None else terms.source,
        "flags": list(offer.flags),
    }
