"""What the claims of a CI's id token say, in words that are the same for every CI.

GitHub: docs.github.com, "OpenID Connect reference"; GitLab: docs.gitlab.com, "OpenID Connect (OIDC) authentication
using ID tokens". A workflow is named by its file, and not by the title that the file gives itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.errors import ApprovalError

from .principals import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRABLE = ("repository", "repository_id", "environment", "ref", "workflow")
"""Facts that a policy may require of a token, letter by letter."""
LONGEST_CLAIM = 512


class CiKind(StrEnum):
    """Whose claims they are."""

    GITHUB = "github"
    GITLAB = "gitlab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a token says of the job that it was made for; None where it does not say."""

    repository: str
    repository_id: str | None
    environment: str | None
    ref: str
    """In full: refs/heads/main, refs/tags/v1, refs/pull/7/merge."""
    workflow: str
    """The path of the file: .github/workflows/plan.yml."""
    run: str | None
    protected: bool
    """Whether ref and environment are known to be guarded; GitHub enforces the environment's rules itself."""

    @property
    def name(self) -> str:
        """The principal's name, percent-encoded: repo:org/repo:environment:prod@.github/workflows/plan.yml."""
        where = ("ref", self.ref) if self.environment is None else ("environment", self.environment)
        return f"repo:{_part(self.repository)}:{where[0]}:{_part(where[1])}@{_part(self.workflow)}"

    def get(self, key: str) -> str | None:
        """Return one of the facts that a policy may require."""
        return {
            "repository": self.repository,
            "repository_id": self.repository_id,
            "environment": self.environment,
            "ref": self.ref,
            "workflow": self.workflow,
        }[key]


def facts_of(claims: Mapping[str, object], kind: CiKind) -> Facts:
    """Return the facts that claims hold. Raises ApprovalError (exit 8) naming a claim that is missing or odd."""
    return _github(claims) if kind is CiKind.GITHUB else _gitlab(claims)


def _github(claims: Mapping[str, object]) -> Facts:
    repository = _text(claims, "repository")
    return Facts(
        repository=repository,
        repository_id=_text_or_none(claims, "repository_id"),
        environment=_text_or_none(claims, "environment"),
        ref=_text(claims, "ref"),
        workflow=_file(_text(claims, "workflow_ref"), "workflow_ref", f"{repository}/"),
        run=_text_or_none(claims, "run_id"),
        protected=True,
    )


def _gitlab(claims: Mapping[str, object]) -> Facts:
    kind = {"branch": "heads", "tag": "tags"}.get(_text(claims, "ref_type"))
    if kind is None:
        raise ApprovalError("the token's claim ref_type is neither branch nor tag")
    environment = _text_or_none(claims, "environment")
    guarded = [_text(claims, "ref_protected")]
    if environment is not None:
        guarded.append(_text_or_none(claims, "environment_protected") or "false")
    # The host and the project stand before the file: gitlab.example.com/group/project//.gitlab-ci.yml@refs/heads/main.
    _, found, path = _text(claims, "ci_config_ref_uri").partition("//")
    if not found:
        raise ApprovalError("the token's claim ci_config_ref_uri names no file")
    return Facts(
        repository=_text(claims, "project_path"),
        repository_id=_text_or_none(claims, "project_id"),
        environment=environment,
        ref=f"refs/{kind}/{_text(claims, 'ref')}",
        workflow=_file(path, "ci_config_ref_uri", ""),
        run=_text_or_none(claims, "pipeline_id"),
        protected=all(one == "true" for one in guarded),
    )


def _file(text: str, claim: str, before: str) -> str:
    """Return the path in "REPOSITORY/PATH@REF". A file of another repository keeps that repository's name."""
    path, at, _ = text.partition("@")
    if not at or not path:
        raise ApprovalError(f"the token's claim {claim} names no file at a ref")
    return path.removeprefix(before)


def _text(claims: Mapping[str, object], claim: str) -> str:
    value = _text_or_none(claims, claim)
    if value is None:
        raise ApprovalError(f"the token has no claim {claim}")
    return value


def _text_or_none(claims: Mapping[str, object], claim: str) -> str | None:
    value = claims.get(claim)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_CLAIM or not value.isprintable():
        raise ApprovalError(f"the token's claim {claim} is not printable text of at most {LONGEST_CLAIM} characters")
    return value


def _part(text: str) -> str:
    return "/".join(encoded(one).replace("@", "%40") for one in text.split("/"))
