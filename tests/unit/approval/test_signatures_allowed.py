"""Reading `allowed_signers`: stricter than ssh-keygen, and agreeing with it on whose key is whose."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.approval.allowed_signers import read_allowed_signers
from optimizer.approval.principals import People, name_token
from providers.errors import JobError


def packed(*parts: bytes) -> str:
    return base64.b64encode(b"".join(len(one).to_bytes(4, "big") + one for one in parts)).decode()


ED = packed(b"ssh-ed25519", b"k" * 32)
ED2 = packed(b"ssh-ed25519", b"j" * 32)
RSA = packed(b"ssh-rsa", b"\x01\x00\x01", b"\x00" + b"\xff" * 256)
WEAK = packed(b"ssh-rsa", b"\x01\x00\x01", b"\x00" + b"\xff" * 128)


def test_names_options_and_comments_are_read() -> None:
    text = (
        "# the leads\n\n"
        f"ann@example.com,ann.work@example.com ssh-ed25519 {ED} a comment of words\r\n"
        f'bob@example.com namespaces="git,tunefare-approval",valid-before="20270101Z"\tssh-rsa {RSA}\n'
        f"*@example.org cert-authority ssh-ed25519 {ED2}\n"
    )
    read = read_allowed_signers(text.encode(), where="f")
    assert [one.line for one in read.keys] == [3, 4, 5]
    ann = read.keys[0].fingerprint
    assert read.names_of(ann) == ("ann@example.com", "ann.work@example.com")
    assert read.permits("ann@example.com", ann, certified=False)
    assert not read.permits("bob@example.com", ann, certified=False)
    assert not read.permits("x@example.org", read.keys[2].fingerprint, certified=False)
    assert read.permits("x@example.org", ann, certified=True)
    assert not read.permits("x@example.orgs", ann, certified=True)
    assert not read.permits("ann@example.com", ann, certified=True)


def test_one_key_under_two_names_and_two_keys_under_one_are_one_person() -> None:
    lines = "\n".join(
        f"{name} {kind} {key}"
        for name, kind, key in (
            ("ann@a", "ssh-ed25519", ED),
            ("ann@b", "ssh-ed25519", ED),
            ("ann@b", "ssh-rsa", RSA),
            ("ANN@C", "ssh-rsa", RSA),
            ("bob@a", "ssh-ed25519", ED2),
        )
    )
    people = People(read_allowed_signers(lines.encode(), where="f").links())
    assert len({people.person(name_token(one)) for one in ("ann@a", "ann@b", "ann@c", "Ann@A")}) == 1
    assert people.person(name_token("bob@a")) != people.person(name_token("ann@a"))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (f"* ssh-ed25519 {ED}", "written out"),
        (f"*@example.com ssh-ed25519 {ED}", "written out"),
        (f"!ann,bob ssh-ed25519 {ED}", "written out"),
        (f'"ann bob" ssh-ed25519 {ED}', "line 1"),
        (f"ann, ssh-ed25519 {ED}", "written out"),
        (f"* cert-authority ssh-ed25519 {ED}", "pattern"),
        (f"!x cert-authority ssh-ed25519 {ED}", "pattern"),
        (f"ann ssh-dss {ED}", "line 1"),
        (f"ann ssh-ed25519-cert-v01@openssh.com {ED}", "line 1"),
        (f"ann ssh-ed25519 {RSA}", "type ssh-ed25519"),
        (f"ann ssh-rsa {WEAK}", "2048 bits"),
        ("ann ssh-ed25519 AAAA!", "base64"),
        (f"ann ssh-ed25519 {ED[:-8]}", "base64"),
        ("ann ssh-ed25519", "KEY"),
        (f"ann no-touch-required ssh-ed25519 {ED}", "cert-authority"),
        (f'ann namespaces="a b" ssh-ed25519 {ED}', "line 1"),
        (f"ann valid-before=soon ssh-ed25519 {ED}", "cert-authority"),
        (f"ann\x1b[2J ssh-ed25519 {ED}", "printable"),
        (f"ann\u0435 ssh-ed25519 {ED}", "ASCII"),
        (f"ann,ann ssh-ed25519 {ED}", "once"),
        (f" # no comment\nann ssh-ed25519 {ED}", "line 1"),
    ],
)
def test_what_is_not_allowed_is_refused_by_line(line: str, named: str) -> None:
    with pytest.raises(JobError, match=named) as caught:
        read_allowed_signers(line.encode(), where="f")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@given(junk=st.binary(max_size=200))
def test_no_bytes_crash_the_reader(junk: bytes) -> None:
    with suppress(JobError):
        read_allowed_signers(junk, where="f")


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(JobError, match="1024 KiB"):
        read_allowed_signers(b"#" * (2**20 + 1), where="f")
