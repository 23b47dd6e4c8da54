"""Who acts: names as they may stand in a policy, and what tells that two principals are one person.

A name is printable ASCII without blanks: what looks alike is alike, and nothing in it steers a terminal, a shell or
`ssh-keygen`. What comes from outside with other characters is percent-encoded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.errors import JobError

from .records import Assurance, Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = r"[A-Za-z0-9][A-Za-z0-9._:@/+%-]{0,199}"
NAME_IN_WORDS = "a name of at most 200 letters, digits and . _ : @ / + % -"
LARGEST_UID = 2**53 - 1


def os_user_principal(*, name: str, uid: int, host: str = "") -> Principal:
    """Return the user of this machine: advisory, for whoever owns the machine may be anybody on it.

    The number counts together with the host: two machines give the same number to two people. Raises JobError for a
    name or a number that no system gives.
    """
    shown = encoded(name)
    if not re.fullmatch(NAME, shown):
        raise JobError(where="this machine", key="user", value=name, allowed=NAME_IN_WORDS)
    if not 0 <= uid <= LARGEST_UID:
        raise JobError(where="this machine", key="user number", value=uid, allowed="a whole number from 0 on")
    return Principal(name=shown, assurance=Assurance.OS_USER, key=os_user_key(uid=uid, host=host))


def os_user_key(*, uid: int, host: str) -> str:
    """Return what one user of one machine is known by."""
    return f"os-user:{encoded(host)}:{uid}"


def encoded(text: str) -> str:
    """Return a text with everything but letters, digits and . _ @ + - percent-encoded (UTF-8)."""
    return quote(text, safe="._@+-", errors="replace")


def name_token(name: str) -> str:
    """Return what names of one person have in common: case does not make another person."""
    return f"name:{name.casefold()}"


def key_token(key: str) -> str:
    """Return what principals with one key have in common."""
    return f"key:{key}"


def tokens_of(principal: Principal) -> frozenset[str]:
    """Return what a principal is known by: name and key."""
    names = {name_token(principal.name)}
    return frozenset(names | {key_token(principal.key)} if principal.key else names)


def same_login(one: Principal, other_name: str) -> bool:
    """Return whether a user of a machine carries the name before the @ of another principal.

    A user of a machine has no key that would say who they are: `ann` and `ann@example.com` are taken for one person,
    so that nobody approves with their key what they asked for with their login.
    """
    return one.assurance is Assurance.OS_USER and _login(one.name) == _login(other_name)


def _login(name: str) -> str:
    return name.partition("@")[0].casefold()


class People:
    """Tells people apart: principals that share a name or a key are one person, and so is whoever shares with those."""

    def __init__(self, links: Iterable[frozenset[str]] = ()) -> None:
        """`links` are tokens that are known to be of one person, such as the lines of an `allowed_signers` file."""
        self._above: dict[str, str] = {}
        for link in links:
            self.unite(link)

    def unite(self, tokens: Iterable[str]) -> None:
        """Say that all tokens are of one person."""
        roots = sorted({self.person(token) for token in tokens})
        for root in roots[1:]:
            self._above[root] = roots[0]

    def person(self, token: str) -> str:
        """Return a token that stands for the person: equal for all tokens of one person."""
        at = token
        while (above := self._above.get(at, at)) != at:
            at = above
        self._above[token] = at
        return at

    def names(self) -> tuple[str, ...]:
        """Return every name that was seen, in lower case, sorted."""
        return tuple(sorted(one.removeprefix("name:") for one in self._above if one.startswith("name:")))
