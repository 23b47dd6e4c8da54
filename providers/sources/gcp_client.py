"""The Cloud Billing Catalog through Google's client library: account, client, pages, and its errors by our names."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import endpoint
from providers.errors import CredentialsMissing, CredentialsRefused, ProviderUnavailable, ResponseChanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.auth.credentials import Credentials
    from google.cloud.billing_v1 import CloudCatalogClient

    from providers.base import FetchContext

API_KEY = "GCP_BILLING_API_KEY"
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
ENDPOINT = "TUNEFARE_GCP_ENDPOINT"

COMPUTE_ENGINE = "services/6F81-5844-456A"
PAGE_SIZE = 5000
SCOPE = "https://www.googleapis.com/auth/cloud-billing.readonly"

_REASON = re.compile(r"[A-Z][A-Z0-9_]{2,60}")
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a page is waited for: seconds before the second try, between two tries at most, in all, and for one."""

    first_s: float = 1.0
    most_s: float = 20.0
    total_s: float = 120.0
    page_s: float = 60.0


def check_account(context: FetchContext) -> None:
    """Do nothing where there is a key or something to get a token from. Raises CredentialsMissing otherwise.

    Google's own search would ask a server of the local network for the account of a virtual machine, for many seconds
    on a machine that is none of Google's: it is only asked where the firmware says that it is one.
    """
    environment = context.environment
    if not (environment.get(API_KEY) or environment.get(KEY_FILE) or _gcloud_file().is_file() or _is_google_machine()):
        raise _missing("no account")


def connect(context: FetchContext) -> CloudCatalogClient:
    """Return a client with the API key, or without one with Application Default Credentials.

    It speaks gRPC; to the address in TUNEFARE_GCP_ENDPOINT it speaks REST, because mirrors do. Raises
    CredentialsMissing for an account that is not there, or a package that is not installed, and JobError for an
    address that is not https.
    """
    check_account(context)
    try:
        from google.api_core.client_options import ClientOptions
        from google.cloud.billing_v1 import CloudCatalogClient
    except ImportError as err:
        raise CredentialsMissing(
            "gcp: the package google-cloud-billing is not installed: pip install 'tunefare[gcp]'"
        ) from err
    key = context.environment.get(API_KEY)
    mirror = endpoint(context, ENDPOINT, "") or None
    with _named_errors():
        return CloudCatalogClient(
            # A key and credentials exclude each other.
            credentials=None if key else _default_credentials(context.environment),
            transport="rest" if mirror else "grpc",
            client_options=ClientOptions(api_key=key, api_endpoint=mirror),
        )


def walk(client: CloudCatalogClient, context: FetchContext, patience: Patience) -> Iterator[list[object]]:
    """Yield the SKUs of Compute Engine page by page, in the shape of the REST API.

    Raises ResponseChanged for a page that leads back, or that brings nothing new.
    """
    from google.cloud.billing_v1 import ListSkusRequest, ListSkusResponse

    token, tokens, known, number = "", {""}, set[str](), 0
    while True:
        context.checkpoint()
        request = ListSkusRequest(parent=COMPUTE_ENGINE, page_size=PAGE_SIZE, page_token=token, currency_code="USD")
        with _named_errors():
            # One call a page: older clients forget `retry` after the first page of their pager.
            pager = client.list_skus(request=request, retry=_retry(context, patience), timeout=patience.page_s)
            page = ListSkusResponse.pb(next(iter(pager.pages)))
        number += 1
        context.progress(f"page {number}")
        before = len(known)
        known.update(sku.name or sku.sku_id for sku in page.skus)
        token = page.next_page_token
        if token and (token in tokens or len(known) == before):
            raise ResponseChanged(f"gcp: page {number} of the SKUs leads back, or brings nothing new")
        tokens.add(token)
        yield [_row(sku) for sku in page.skus]
        if not token:
            return


def _row(sku: Any) -> dict[str, object]:
    """Return a SKU message as the REST API writes it, of the price timeline the newest only."""
    return {
        "skuId": sku.sku_id,
        "description": sku.description,
        "category": {
            "resourceFamily": sku.category.resource_family,
            "resourceGroup": sku.category.resource_group,
            "usageType": sku.category.usage_type,
        },
        "serviceRegions": list(sku.service_regions),
        "pricingInfo": [
            {
                "pricingExpression": {
                    "usageUnit": info.pricing_expression.usage_unit,
                    "tieredRates": [
                        {
                            "unitPrice": {
                                "currencyCode": rate.unit_price.currency_code,
                                "units": rate.unit_price.units,
                                "nanos": rate.unit_price.nanos,
                            }
                        }
                        for rate in info.pricing_expression.tiered_rates[-1:]
                    ],
                }
            }
            for info in sku.pricing_info[-1:]
        ],
    }


def _retry(context: FetchContext, patience: Patience) -> Any:
    """Return what the client repeats, and how often: it repeats nothing of its own accord."""
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type
    from google.auth.exceptions import TransportError
    from requests.exceptions import ChunkedEncodingError, Timeout
    from requests.exceptions import ConnectionError as Disconnected

    return Retry(
        predicate=if_exception_type(
            exceptions.ServiceUnavailable,
            exceptions.TooManyRequests,
            exceptions.InternalServerError,
            exceptions.BadGateway,
            exceptions.GatewayTimeout,
            TransportError,
            ChunkedEncodingError,
            Disconnected,
            Timeout,
        ),
        initial=patience.first_s,
        maximum=patience.most_s,
        timeout=patience.total_s,
        # Between two tries whoever waits may stop.
        on_error=lambda _error: context.checkpoint(),
    )


def _default_credentials(environment: Mapping[str, str]) -> Credentials:
    """Return credentials whose scope is the catalogue's, where one may be chosen.

    A login of gcloud's has the scopes that it was given: another one asked of it is refused as `invalid_scope`.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    found = environment.get(KEY_FILE) or (str(_gcloud_file()) if _gcloud_file().is_file() else "")
    try:
        with warnings.catch_warnings():
            # Written by the user's own tools, not taken from strangers: what the warnings are about.
            warnings.simplefilter("ignore")
            if found:
                credentials, _ = google.auth.load_credentials_from_file(found, default_scopes=[SCOPE])  # type: ignore[no-untyped-call]
            else:
                credentials, _ = google.auth.default(default_scopes=[SCOPE])
    except (GoogleAuthError, OSError, ValueError, TypeError, LookupError, AttributeError) as err:
        raise _missing(f"{KEY_FILE} or gcloud's file holds no usable credentials") from err
    result: Credentials = credentials
    return result


def _gcloud_file() -> Path:
    """Return where `gcloud auth application-default login` writes."""
    return Path.home() / ".config" / "gcloud" / "application_default_credentials.json"


def _is_google_machine() -> bool:
    try:
        return Path("/sys/class/dmi/id/product_name").read_text(encoding="utf-8").startswith("Google")
    except (OSError, UnicodeError):
        return False


def _missing(why: str) -> CredentialsMissing:
    return CredentialsMissing(
        f"gcp: {why}: set {API_KEY} (an API key restricted to the Cloud Billing API) or {KEY_FILE}, "
        "or run: gcloud auth application-default login"
    )


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn the client's errors into ours. Their texts stay out of the message: they may repeat what was sent."""
    from google.api_core.exceptions import GoogleAPIError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
    from requests.exceptions import RequestException

    try:
        yield
    except DefaultCredentialsError as err:
        raise _missing("no usable account") from err
    except RetryError as err:
        raise _unavailable(err.cause or err) from err
    except (TransportError, RequestException) as err:
        raise _unavailable(err) from err
    except GoogleAuthError as err:
        raise CredentialsRefused(f"gcp: Google hands out no token ({type(err).__name__})") from err
    except GoogleAPIError as err:
        raise _named(err) from err
    except (ParseError, ValueError) as err:
        raise ResponseChanged(f"gcp: the Cloud Billing Catalog sent no SKUs ({type(err).__name__})") from err


def _named(err: Any) -> Exception:
    """Return our error for an answer that says what went wrong."""
    from google.api_core import exceptions

    stated = getattr(err, "reason", None)
    reason = stated if isinstance(stated, str) and _REASON.fullmatch(stated) else ""
    words = f"{type(err).__name__}, {reason}" if reason else type(err).__name__
    # A key that is wrong is a bad request to Google, not a missing permission.
    bad_key = isinstance(err, exceptions.BadRequest) and (reason in _BAD_KEY or "API key" in str(err))
    if bad_key or isinstance(err, exceptions.Unauthorized | exceptions.Forbidden):
        return CredentialsRefused(
            f"gcp: the Cloud Billing Catalog refuses the credentials ({words}): is the Cloud Billing API enabled in "
            "their project, and the key allowed to use it?"
        )
    if isinstance(err, exceptions.ServerError | exceptions.TooManyRequests):
        return _unavailable(err)
    return ResponseChanged(f"gcp: the Cloud Billing Catalog answered {words}")


def _unavailable(err: BaseException) -> ProviderUnavailable:
    return ProviderUnavailable(f"gcp: the Cloud Billing Catalog did not answer ({type(err).__name__})")
