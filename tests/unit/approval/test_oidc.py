"""Id tokens: what they attest, and every way to forge one that is known."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.approval.jwks import read_jwks
from optimizer.approval.oidc import (
    CiTrust,
    audience_of,
    nonce_of,
    trust_of,
    unverified_token_id,
    verify_for_statement,
)
from optimizer.approval.oidc_claims import CiKind
from optimizer.approval.policy_terms import CiIdentity
from optimizer.approval.records import Assurance, Principal, Statement
from optimizer.approval.statements import Approval, Proof
from optimizer.approval.verification import Trust, principal_of
from providers.errors import ApprovalError, JobError
from tests.fixtures.approvals import ISSUER, NOW, TRUST, claims_of, jwks, rsa_key, statement_of, token_of

NAME = "repo:acme/models:environment:prod@.github/workflows/spend.yml"
STATEMENT = statement_of(NAME)
BOUND = audience_of(STATEMENT)
LAB = replace(TRUST, kind=CiKind.GITLAB, required=(("repository", "acme/nlp/models"), ("ref", "refs/heads/main")))
SECONDS = int(NOW.timestamp())


def verify(token: str, *, statement: Statement = STATEMENT, trust: CiTrust = TRUST, keys: bytes = b"") -> Principal:
    found = verify_for_statement(token, statement, trust=trust, jwks=keys or jwks(), where="KEYS", now=NOW)
    return found.principal


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def forged(header: object, claims: object | None = None, signature: bytes = b"x" * 256) -> str:
    return f"{part(header)}.{part(claims_of(BOUND) if claims is None else claims)}.{part(signature)}"


def signed_bytes(claims: bytes) -> str:
    """Return a token that the issuer signed over exactly these bytes."""
    return jwt.PyJWS().encode(claims, rsa_key(), algorithm="RS256", headers={"kid": "rsa"})


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_token_of_github_attests_the_workflow(kid: str, algorithm: str) -> None:
    principal = verify(token_of(claims_of(BOUND), kid=kid, algorithm=algorithm))
    key = f"{ISSUER}#repo:acme/models:environment:prod"
    assert principal == Principal(name=NAME, assurance=Assurance.CI_OIDC, key=key)


def test_a_token_of_gitlab_attests_the_job() -> None:
    name = "repo:acme/nlp/models:environment:prod@.gitlab-ci.yml"
    nonce = nonce_of("token-1")
    token = token_of(claims_of(["tunefare-approval"], kind=CiKind.GITLAB))
    assert nonce_of(unverified_token_id(token)) == nonce
    assert verify(token, statement=statement_of(name, nonce=nonce), trust=LAB).name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"ref_protected": "false"},
        {"environment_protected": None},
        {"environment_protected": "false"},
        {"ref_type": "tag"},
        {"ref_type": "merge_request"},
        {"ci_config_ref_uri": None},
        {"project_path": "evil/nlp/models"},
    ],
)
def test_a_job_of_gitlab_that_anybody_could_start_does_not_count(changes: dict[str, object]) -> None:
    name = "repo:acme/nlp/models:environment:prod@.gitlab-ci.yml"
    statement = statement_of(name, nonce=nonce_of("token-1"))
    with pytest.raises(ApprovalError):
        verify(token_of(claims_of("tunefare-approval", kind=CiKind.GITLAB, **changes)), statement=statement, trust=LAB)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"aud": "sts.example"}, "another audience"),
        ({"aud": [BOUND, "sts.example"]}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"exp": SECONDS - 31, "iat": SECONDS - 300, "nbf": None}, "expired"),
        ({"iat": SECONDS + 31}, "future"),
        ({"nbf": SECONDS + 31}, "future"),
        ({"exp": SECONDS + 90_000}, "longer than a day"),
        ({"exp": 2**62}, "no exp"),
        ({"exp": None}, "no exp"),
        ({"iat": None}, "no iat"),
        ({"iat": True}, "no iat"),
        ({"jti": None}, "no jti"),
        ({"sub": None}, "no sub"),
        ({"repository": "acme/models-fork", "workflow_ref": "acme/models-fork/.github/x.yml@r"}, "repository"),
        ({"environment": "staging"}, "environment"),
        ({"environment": None}, "environment"),
        ({"workflow_ref": "acme/models/.github/workflows/other.yml@refs/heads/main"}, "workflow"),
        ({"workflow_ref": "evil/x/.github/workflows/spend.yml@refs/heads/main"}, "workflow"),
        ({"workflow_ref": None}, "workflow_ref"),
        ({"ref": "refs/\u001b[2Jheads"}, "ref is not printable"),
        ({"repository": {"$ne": 1}}, "repository is not"),
    ],
)
def test_a_claim_that_is_not_as_it_must_be_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ApprovalError, match=named) as caught:
        verify(token_of({**claims_of(BOUND, **changes)}))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_token_is_for_one_statement() -> None:
    token = token_of(claims_of(BOUND))
    with pytest.raises(ApprovalError, match="another audience"):
        verify(token, statement=replace(STATEMENT, cap_usd_micro=1))
    shared = token_of(claims_of("tunefare-approval"))
    with pytest.raises(ApprovalError, match="not for this statement"):
        verify(shared)
    with pytest.raises(ApprovalError, match="the approval of somebody"):
        verify(shared, statement=statement_of("somebody", nonce=nonce_of("token-1")))


def test_no_algorithm_but_the_keys_own() -> None:
    public = rsa_key().public_key()
    from cryptography.hazmat.primitives import serialization as ser

    pem = public.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    message = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(claims_of(BOUND))}"
    confused = f"{message}.{part(hmac.new(pem, message.encode(), hashlib.sha256).digest())}"
    tokens = [
        confused,
        forged({"alg": "none", "kid": "rsa"}),
        f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(claims_of(BOUND))}.",
        forged({"alg": "ES256", "kid": "rsa"}),
        forged({"alg": "RS256", "kid": "ec"}),
        forged({"alg": "RS512", "kid": "rsa"}),
        forged({"alg": ["RS256"], "kid": "rsa"}),
        forged({"kid": "rsa"}),
    ]
    for token in tokens:
        with pytest.raises(ApprovalError, match=r"algorithm|no id token"):
            verify(token)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"alg": "RS256", "kid": "unknown"}, "old"),
        ({"alg": "RS256", "kid": "other"}, "old"),
        ({"alg": "RS256"}, "kid"),
        ({"alg": "RS256", "kid": "rsa", "jku": "https://evil.example"}, "holds more"),
        ({"alg": "RS256", "kid": "rsa", "jwk": {}}, "holds more"),
        ({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": False}, "holds more"),
        ({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, "no JWT"),
        ({"alg": "RS256", "kid": "rsa"}, "signature"),
        (b'{"alg":"RS256","alg":"none","kid":"rsa"}', "strict"),
        (b"[1]", "strict"),
        (b"\xff", "strict"),
    ],
)
def test_a_header_that_says_too_much_or_too_little_is_refused(header: object, named: str) -> None:
    with pytest.raises(ApprovalError, match=named):
        verify(forged(header))


def test_a_key_of_the_same_id_that_is_another_does_not_sign() -> None:
    mine = jwt.encode(claims_of(BOUND), rsa_key(1), algorithm="RS256", headers={"kid": "rsa"})
    with pytest.raises(ApprovalError, match="signature"):
        verify(mine)


def test_claims_that_stand_twice_or_are_no_object_are_refused_even_when_signed() -> None:
    data = json.dumps(claims_of(BOUND)).encode()
    assert verify(signed_bytes(data)).name == NAME
    for bad in (data[:-1] + b',"environment":"staging"}', b"[]", data.replace(str(SECONDS).encode(), b"1e9"), b"\xff"):
        with pytest.raises(ApprovalError, match="strict"):
            verify(signed_bytes(bad))


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "a.b.c" * 9000, "a b.c.d", "é.b.c", "..", "a.b.c\n"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ApprovalError):
        verify(token)


@settings(max_examples=60)
@given(data=st.data())
def test_changing_any_byte_of_a_token_is_refused_and_not_repeated(data: st.DataObject) -> None:
    token = token_of(claims_of(BOUND))
    at = data.draw(st.integers(0, len(token) - 2))  # the last character holds padding bits
    char = data.draw(st.sampled_from([one for one in "AZaz09-_." if one != token[at]]))
    with pytest.raises(ApprovalError) as caught:
        verify(token[:at] + char + token[at + 1 :])
    assert token[40:80] not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda keys: keys.append(keys[0]), "stands once"),
        (lambda keys: keys[0].update(d="AAAA"), "private"),
        (lambda keys: keys.append({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}), "private or shared"),
        (lambda keys: keys[0].update(n="AQAB"), "2048"),
        (lambda keys: keys[0].update(e="AQ"), "2048"),
        (lambda keys: keys[0].pop("kid"), "kid"),
        (lambda keys: keys[1].update(x="AA"), "coordinate"),
        (lambda keys: keys.clear(), "no key"),
        (lambda keys: keys.extend({"kid": str(at), "kty": "OKP"} for at in range(100)), "at most 100"),
    ],
)
def test_a_key_set_that_is_not_sound_is_refused_whole(change: object, named: str) -> None:
    document = json.loads(jwks())
    change(document["keys"])  # type: ignore[operator]
    with pytest.raises(ApprovalError, match=named) as caught:
        read_jwks(json.dumps(document).encode(), where="KEYS")
    assert "c2VjcmV0" not in str(caught.value)


def test_a_key_for_something_else_is_passed_over() -> None:
    document = json.loads(jwks())
    document["keys"][0]["use"] = "enc"
    document["keys"][1]["alg"] = "ES512"
    with pytest.raises(ApprovalError, match="no key"):
        read_jwks(json.dumps(document).encode(), where="KEYS")
    for junk in (b"", b"[]", b'{"keys":1}', b'{"keys":[1]}', b" " * 2**19, b'{"keys":[],"keys":[]}'):
        with pytest.raises(ApprovalError):
            read_jwks(junk, where="KEYS")


@pytest.mark.parametrize(
    ("required", "issuer"),
    [
        ((), ISSUER),
        ((("environment", "prod"),), ISSUER),
        ((("repository", "acme/models"),), ISSUER),
        ((("repository", "a"), ("repository", "b"), ("ref", "c")), ISSUER),
        ((("repository", "a"), ("ref", "c"), ("actor", "d")), ISSUER),
        ((("repository", "a"), ("ref", "c")), "http://plain.example"),
    ],
)
def test_a_policy_cannot_trust_workflows_that_nobody_chose(required: tuple[tuple[str, str], ...], issuer: str) -> None:
    with pytest.raises(JobError, match="policy: ci"):
        CiTrust(kind=CiKind.GITHUB, issuer=issuer, required=required)


def test_a_policy_names_the_principal_and_the_proof_is_judged_by_its_table() -> None:
    identity = CiIdentity(
        name="release-workflow", issuer=ISSUER + "/_services/token", audience="tunefare-approval",
        repository="acme/models", environment="prod", ref=None, workflow=None, jwks=None,
    )  # fmt: skip
    ci = trust_of(identity)
    statement = statement_of(identity.name)
    token = token_of(claims_of(audience_of(statement), iss=identity.issuer, sub="s" * 190))
    approval = Approval(statement=statement, proof=Proof(kind=Assurance.CI_OIDC, token=token))
    principal = principal_of(approval, trust=Trust(ci={identity.name: (ci, jwks())}), now=NOW)
    assert principal.name == identity.name
    assert principal.key.startswith("oidc-sha256:")
    with pytest.raises(ApprovalError, match="no such workflow"):
        principal_of(approval, trust=Trust(), now=NOW)


def test_a_login_and_a_signature_are_judged_by_their_kind() -> None:
    login = Proof(kind=Assurance.OS_USER, user="ann", uid=7, host="desk")
    approval = Approval(statement=statement_of("ann"), proof=login)
    expected = Principal(name="ann", assurance=Assurance.OS_USER, key="os-user:desk:7")
    assert principal_of(approval, trust=Trust(), now=NOW) == expected
    with pytest.raises(ApprovalError, match="the approval of bob"):
        principal_of(replace(approval, statement=statement_of("bob")), trust=Trust(), now=NOW)
    unsigned = replace(approval, proof=Proof(kind=Assurance.SSH_SIGNATURE, signature="x"))
    with pytest.raises(ApprovalError, match="no allowed_signers"):
        principal_of(unsigned, trust=Trust(), now=NOW)


def test_a_token_expires_to_the_second_after_a_small_leeway() -> None:
    token = token_of(claims_of(BOUND))
    for after, good in ((329, True), (330, False)):
        at = NOW + timedelta(seconds=after)
        if good:
            verify_for_statement(token, STATEMENT, trust=TRUST, jwks=jwks(), where="KEYS", now=at)
            continue
        with pytest.raises(ApprovalError, match="expired"):
            verify_for_statement(token, STATEMENT, trust=TRUST, jwks=jwks(), where="KEYS", now=at)


def test_signatures_and_quorum_load_nothing_heavy() -> None:
    text = (
        "import sys, optimizer.approval.signatures, optimizer.approval.quorum, optimizer.approval.verification, "
        "optimizer.approval.oidc\n"
        "print([one for one in ('jwt', 'cryptography', 'pandas', 'scipy', 'numpy', 'boto3', 'google') "
        "if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    token = token_of(claims_of(BOUND))
    keys = jwks()
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(JobError, match=r"tunefare\[ci\]"):
        verify(token, keys=keys)
