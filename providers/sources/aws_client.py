"""How AWS is asked with an account: the session, bounded requests, pages, and what its errors mean.

Requests go through boto3 with short timeouts and its "standard" retries. The session is built from the variables that
the adapter declares; what they do not state, boto3's usual chain finds (profiles, SSO, container and instance roles).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from providers.errors import CredentialsMissing, CredentialsRefused, JobError, ProviderUnavailable, ResponseChanged
from providers.payload import clean_name, rows_of, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.loaders import Loader

    from providers.base import FetchContext
    from providers.errors import ProviderError

SOURCE = "aws"
HOME_REGION = "us-east-1"
CONNECT_S, READ_S, TRIES = 10, 30, 5
MOST_EMPTY_PAGES = 20
"""EC2 may send pages without rows that do go on; this many in a row lead nowhere."""

REFUSED_CODES = frozenset({
    "AccessDenied", "AccessDeniedException", "AuthFailure", "Blocked", "ExpiredToken", "ExpiredTokenException",
    "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException",
    "MissingAuthenticationToken", "OptInRequired", "PendingVerification", "RequestExpired", "SignatureDoesNotMatch",
    "UnauthorizedOperation", "UnrecognizedClientException",
})  # fmt: skip
"""Of these, `NOT_PERMITTED` name a permission that the account lacks; the others refuse the credentials themselves."""
NOT_PERMITTED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
BUSY_CODES = frozenset({
    "BandwidthLimitExceeded", "EC2ThrottledException", "InternalError", "InternalErrorException", "InternalFailure",
    "LimitExceededException", "PriorRequestNotComplete", "RequestLimitExceeded", "RequestThrottled",
    "RequestThrottledException", "RequestTimeout", "RequestTimeoutException", "ServiceException", "ServiceUnavailable",
    "SlowDown", "Throttling", "ThrottledException", "ThrottlingException", "TooManyRequestsException",
    "TransactionInProgressException", "Unavailable",
})  # fmt: skip
"""What boto3 has retried already, or what passes by itself."""


class RequestRejected(ResponseChanged):
    """AWS understood who asks and rejects what is asked; `code` is its error code."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class AwsAccount:
    """AWS as one account sees it. Made for one fetch: it keeps a client for each service and region."""

    def __init__(self, session: boto3.Session, context: FetchContext) -> None:
        """`session` has credentials."""
        self._session = session
        self._context = context
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def home(self) -> str:
        """The region that the user named, otherwise the oldest one."""
        return self._session.region_name or HOME_REGION

    def rows(self, service: str, operation: str, region: str, key: str, **arguments: object) -> list[object]:
        """Return what all pages of an answer hold at `key`. Raises a ProviderError, Interrupted."""
        return [row for page in self._pages(service, operation, region, key, arguments) for row in page]

    def _pages(
        self, service: str, operation: str, region: str, key: str, arguments: Mapping[str, object]
    ) -> Iterator[list[object]]:
        what = f"{SOURCE}: {operation} in {region}"
        tokens: set[str] = set()
        seen: set[int] = set()
        empty = 0
        asked = dict(arguments)
        for number in count(1):
            self._context.checkpoint()
            if number > 1:
                self._context.progress(f"{operation} {region} page {number}")
            answer = self._ask(service, operation, region, asked)
            page = rows_of(answer, key, source=what)
            fresh = {hash(repr(row)) for row in page} - seen
            seen |= fresh
            empty = 0 if page else empty + 1
            yield page
            token = answer.get("NextToken")
            if token in (None, ""):  # the end is said with no token, or with an empty one
                return
            if not isinstance(token, str) or token in tokens or (page and not fresh) or empty > MOST_EMPTY_PAGES:
                raise ResponseChanged(f"{what} pages in a circle", sample=sample_of(token))
            tokens.add(token)
            asked["NextToken"] = token

    def _ask(self, service: str, operation: str, region: str, arguments: Mapping[str, object]) -> dict[str, object]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            client = self._client(service, region)
            answer: dict[str, object] = getattr(client, operation)(**arguments)
        except ClientError as err:
            raise _refusal(err, service, region) from err
        except BotoCoreError as err:
            raise _failure(err, f"{operation} in {region}") from err
        except (ResponseParserError, ValueError, LookupError, TypeError, AttributeError) as err:
            # boto3 has no error of its own for most answers that it cannot read.
            raise ResponseChanged(
                f"{SOURCE}: {operation} in {region} is not understood ({type(err).__name__})"
            ) from err
        return answer

    def _client(self, service: str, region: str) -> Any:
        from botocore.config import Config

        if (service, region) not in self._clients:
            bounds = Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"mode": "standard", "total_max_attempts": TRIES},
                user_agent_extra="tunefare",
            )
            # The service's name is a variable here: the stubs know literals only.
            self._clients[service, region] = self._session.client(service, region_name=region, config=bounds)  # type: ignore[call-overload]
        return self._clients[service, region]


def open_account(context: FetchContext) -> AwsAccount | None:
    """Return the account that is there; None where boto3 finds no credentials, or is not installed itself.

    Raises CredentialsMissing for half a key and a profile that does not exist, CredentialsRefused where a login has
    run out, JobError for a word other than yes and no in TUNEFARE_AWS_ACCOUNT.
    """
    wanted = context.environment.get("TUNEFARE_AWS_ACCOUNT", "yes").strip().lower()
    if wanted not in {"yes", "no"}:
        raise JobError(where="environment", key="TUNEFARE_AWS_ACCOUNT", value=wanted, allowed="yes or no")
    if wanted == "no":
        return None
    try:
        import boto3  # noqa: F401
        from botocore.exceptions import BotoCoreError
    except ImportError:
        return None
    try:
        session = _session(context.environment)
        found = session.get_credentials() is not None
    except BotoCoreError as err:
        raise _failure(err, "the search for credentials", searching=True) from err
    return AwsAccount(session, context) if found else None


def _session(environment: Mapping[str, str]) -> boto3.Session:
    import boto3
    from botocore.session import Session

    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if bool(key) != bool(secret):
        missing = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
        raise CredentialsMissing(f"{SOURCE}: half a key: {missing} is not set")
    # As boto3 does: a key in the environment comes before a profile in the environment.
    core = Session(profile=None if key else environment.get("AWS_PROFILE"))
    core.register_component("data_loader", _loader())
    return boto3.Session(
        botocore_session=core,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=environment.get("AWS_SESSION_TOKEN") if key else None,
        region_name=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
    )


@lru_cache(maxsize=1)
def _loader() -> Loader:
    """Return the reader of boto3's service descriptions: shared, because reading EC2's takes a quarter of a second."""
    from botocore.loaders import Loader

    return Loader()


def _refusal(err: ClientError, service: str, region: str) -> ProviderError:
    """Return what an error answer of AWS means."""
    stated = err.response if isinstance(err.response, dict) else {}
    error, meta = stated.get("Error", {}), stated.get("ResponseMetadata", {})
    code = clean_name(str(error.get("Code", "")))[:60] or "no code"
    status = meta.get("HTTPStatusCode", 0)
    action = f"{'servicequotas' if service == 'service-quotas' else service}:{err.operation_name}"
    if code in NOT_PERMITTED:
        return CredentialsRefused(
            f"{SOURCE}: the account does not permit {action} in {region} ({code}); "
            "TUNEFARE_AWS_ACCOUNT=no reads the public price list instead"
        )
    if code in REFUSED_CODES or status in {401, 403}:
        return CredentialsRefused(f"{SOURCE}: the credentials are refused by {action} in {region} ({code})")
    if code in BUSY_CODES or status == 429 or (isinstance(status, int) and status >= 500):
        return ProviderUnavailable(f"{SOURCE}: {action} in {region} did not answer ({code}, HTTP {status})")
    return RequestRejected(f"{SOURCE}: {action} in {region} was rejected ({code})", code=code)


def _failure(err: BotoCoreError, what: str, *, searching: bool = False) -> ProviderError:
    """Return what an error of boto3 itself means: one that came before, or instead of, an answer.

    `searching`: it came while credentials were looked for, in files and on this machine.
    """
    from botocore import exceptions as known

    name = type(err).__name__
    # Newer than the oldest boto3 that the extra allows.
    login_error = getattr(known, "LoginError", known.SSOError)
    if isinstance(err, known.CredentialRetrievalError | known.SSOError | known.TokenRetrievalError | login_error):
        return CredentialsRefused(f"{SOURCE}: {what}: the login is not usable ({name}): log in again")
    if searching or isinstance(err, known.NoCredentialsError | known.PartialCredentialsError):
        return CredentialsMissing(f"{SOURCE}: {what}: {clean_name(str(err))}")
    if isinstance(err, known.HTTPClientError | known.ConnectionError | known.IncompleteReadError):
        return ProviderUnavailable(f"{SOURCE}: {what} did not answer ({name})")
    return ResponseChanged(f"{SOURCE}: {what} is not understood ({name})")
