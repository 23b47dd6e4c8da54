"""What may be asked, and how an address is named in a message: without what a query or a user part may hold."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

LONGEST_PLACE = 160


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address means the machine that this runs on."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_trusted(url: str) -> bool:
    """Return whether prices may be asked for at `url`: over https, or on this machine; nobody's name in it.

    Prices decide what is paid, and keys travel along: neither goes over the network in the clear.
    """
    parts = _split(url)
    if parts is None or not parts.hostname or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return True
    return parts.scheme == "http" and is_this_machine(parts.hostname)


def place_of(url: str) -> str:
    """Return host and path of `url`, printable and of bounded length, for a message: a query may hold a key."""
    parts = _split(url)
    if parts is None:
        return "an address that is none"
    text = "".join(char if char.isprintable() else "?" for char in f"{parts.hostname or ''}{parts.path}")
    return text if len(text) <= LONGEST_PLACE else text[: LONGEST_PLACE - 3] + "..."


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address; None where it cannot be taken apart."""
    if not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return None
    return None if " " in parts.netloc else parts
