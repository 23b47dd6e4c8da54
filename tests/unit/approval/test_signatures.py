"""Signatures with real keys and the real ssh-keygen."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.approval.allowed_signers import AllowedSigners, read_allowed_signers
from optimizer.approval.records import Assurance
from optimizer.approval.signatures import (
    SshKeygen,
    find_principals,
    find_ssh_keygen,
    key_fingerprint,
    sign_statement,
    verify_statement,
)
from optimizer.approval.statements import read_approval, statement_bytes
from providers.errors import ApprovalError, JobError
from tests.fixtures.approvals import NOW, keygen, new_key, public_of, statement_of

EXPECTED = Path(__file__).parents[2] / "golden" / "expected"
LEAD = "lead@example.com"


@dataclass(frozen=True)
class Keys:
    folder: Path
    lead: Path
    other: Path
    signature: str
    """Of the lead, on `statement_of()`."""

    def allowed(self, text: str) -> AllowedSigners:
        filled = text.format(lead=public_of(self.lead), other=public_of(self.other))
        return read_allowed_signers(filled.encode(), where="allowed_signers")

    @property
    def plain(self) -> AllowedSigners:
        return self.allowed(LEAD + " {lead}\nfinops@example.com {other}\n")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    lead, other = folder / "lead", folder / "other"
    new_key(lead)
    new_key(other)
    signature = sign_statement(keygen(), statement_of(), key=lead, terminal=False)
    return Keys(folder=folder, lead=lead, other=other, signature=signature)


def verify(
    keys: Keys, allowed: AllowedSigners, *, signature: str = "", revoked: bytes | None = None, **changes: object
) -> str:
    statement = statement_of(**changes)
    principal = verify_statement(
        keygen(), statement, signature or keys.signature, allowed=allowed, revoked=revoked, now=NOW
    )
    assert principal.name == statement.approver
    assert principal.assurance is Assurance.SSH_SIGNATURE
    return principal.key


def ssh(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    return subprocess.run(["ssh-keygen", *map(str, arguments)], input=stdin, check=True, capture_output=True).stdout


def test_a_signature_holds_and_says_whose_key_it_was(keys: Keys) -> None:
    assert verify(keys, keys.plain) == key_fingerprint(keygen(), keys.lead) == keys.plain.keys[0].fingerprint
    assert find_principals(keygen(), keys.signature, allowed=keys.plain, now=NOW) == (LEAD,)
    assert find_principals(keygen(), keys.signature, allowed=keys.allowed("x@y {other}"), now=NOW) == ()


def test_the_golden_approval_holds_on_every_machine() -> None:
    approval = read_approval((EXPECTED / "approval-signed.json").read_bytes(), where="golden")
    allowed = read_allowed_signers((EXPECTED / "approval-allowed-signers.txt").read_bytes(), where="golden")
    assert approval.proof.signature is not None
    principal = verify_statement(
        keygen(), approval.statement, approval.proof.signature, allowed=allowed, revoked=None, now=NOW
    )
    assert principal.key == allowed.keys[0].fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"cap_usd_micro": 310_000_001},
        {"action_sha256": "9" * 64},
        {"nonce": "1" * 32},
        {"decision": "reject"},
        {"budgets": ("org",)},
        {"approver": "finops@example.com"},
    ],
)
def test_a_signature_holds_for_nothing_else(keys: Keys, changes: dict[str, object]) -> None:
    with pytest.raises(ApprovalError, match="does not hold"):
        verify(keys, keys.plain, **changes)


@settings(max_examples=40)
@given(data=st.data())
def test_changing_any_byte_of_a_signature_is_refused(keys: Keys, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(keys.signature) - 2))
    char = data.draw(st.sampled_from([one for one in "ABz019+/=-\n \x00\x1b" if one != keys.signature[at]]))
    changed = keys.signature[:at] + char + keys.signature[at + 1 :]
    if "".join(changed.split()) == "".join(keys.signature.split()):
        return
    with pytest.raises(ApprovalError):
        verify(keys, keys.plain, signature=changed)


def test_another_namespace_is_another_purpose(keys: Keys) -> None:
    for namespace in ("file", "git", "tunefare-approval2"):
        signed = ssh("-Y", "sign", "-n", namespace, "-f", keys.lead, stdin=statement_bytes(statement_of())).decode()
        with pytest.raises(ApprovalError, match="namespace"):
            verify(keys, keys.plain, signature=signed)
    with pytest.raises(ApprovalError):
        verify(keys, keys.allowed(LEAD + ' namespaces="git" {lead}'))
    assert verify(keys, keys.allowed(LEAD + ' namespaces="git,tunefare-approval" {lead}'))


def test_another_key_does_not_sign_for_the_name(keys: Keys) -> None:
    signed = sign_statement(keygen(), statement_of(), key=keys.other, terminal=False)
    with pytest.raises(ApprovalError):
        verify(keys, keys.plain, signature=signed)
    with pytest.raises(ApprovalError):
        verify(keys, read_allowed_signers(b"", where="none"))


def test_a_revoked_key_signs_nothing(keys: Keys) -> None:
    krl = keys.folder / "krl"
    ssh("-k", "-q", "-f", krl, f"{keys.lead}.pub")
    with pytest.raises(ApprovalError, match="revoked"):
        verify(keys, keys.plain, revoked=krl.read_bytes())
    with pytest.raises(ApprovalError):
        verify(keys, keys.plain, revoked=public_of(keys.lead).encode())
    with pytest.raises(ApprovalError):
        verify(keys, keys.plain, revoked=b"no list of keys")
    ssh("-k", "-q", "-f", krl, f"{keys.other}.pub")
    assert verify(keys, keys.plain, revoked=krl.read_bytes())


def test_a_key_counts_within_its_time_in_utc(keys: Keys) -> None:
    for expired in ("valid-before=20261124", "valid-before=20261124085959", "valid-after=20261124090001"):
        with pytest.raises(ApprovalError):
            verify(keys, keys.allowed(f'{LEAD} {expired.replace("=", "=" + chr(34))}" {{lead}}'))
    assert verify(keys, keys.allowed(LEAD + ' valid-after="20261124085959",valid-before="20261124090001" {lead}'))


def test_certificates_of_an_authority_count_for_the_names_that_they_state(keys: Keys, tmp_path: Path) -> None:
    authority = new_key(tmp_path / "authority")
    new_key(tmp_path / "lead")
    allowed = keys.allowed(f"*@example.com cert-authority {authority}")

    def signed(*options: str) -> str:
        ssh("-q", "-s", tmp_path / "authority", "-I", "id", *options, tmp_path / "lead.pub")
        return sign_statement(keygen(), statement_of(), key=tmp_path / "lead-cert.pub", terminal=False)

    good = signed("-n", LEAD)
    assert verify(keys, allowed, signature=good) == key_fingerprint(keygen(), tmp_path / "lead")
    elsewhere = keys.allowed(f"*@example.org cert-authority {authority}")
    as_plain_key = keys.allowed(f"{LEAD} {authority}")
    for bad, whom in (
        (signed("-n", "finops@example.com"), allowed),
        (signed(), allowed),
        (signed("-h", "-n", LEAD), allowed),
        (signed("-n", LEAD, "-V", "20200101:20210101"), allowed),
        (good, elsewhere),
        (good, as_plain_key),
    ):
        with pytest.raises(ApprovalError):
            verify(keys, whom, signature=bad)


def test_a_locked_key_without_a_terminal_is_an_error_and_asks_nobody(keys: Keys, tmp_path: Path) -> None:
    new_key(tmp_path / "locked", passphrase="secret")  # noqa: S106
    asked = tmp_path / "asked"
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    askpass.chmod(0o700)
    environ = {"PATH": "/usr/bin:/bin", "SSH_ASKPASS": str(askpass), "DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "force"}
    with pytest.raises(JobError, match="terminal") as caught:
        sign_statement(find_ssh_keygen(environ), statement_of(), key=tmp_path / "locked", terminal=False)
    assert "\n" not in str(caught.value)
    assert not asked.exists()


ON_TERMINAL = """
import os, sys
os.setsid()
os.open(sys.argv[1], os.O_RDWR)  # becomes the terminal of this session
from pathlib import Path
from optimizer.approval.signatures import sign_statement
from providers.errors import JobError
from tests.fixtures.approvals import keygen, statement_of
try:
    print(sign_statement(keygen(), statement_of(), key=Path(sys.argv[2]), terminal=sys.argv[3] == "person"), end="")
except JobError as err:
    print(err)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("who", ["person", "nobody"])
def test_a_passphrase_is_asked_for_on_a_terminal_when_a_person_is_there(keys: Keys, tmp_path: Path, who: str) -> None:
    master, terminal = os.openpty()
    locked = tmp_path / "locked"
    new_key(locked, passphrase="secret")  # noqa: S106
    command = [sys.executable, "-c", ON_TERMINAL, os.ttyname(terminal), str(locked), who]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) as child:
        if who == "person":
            assert b"passphrase" in os.read(master, 1000)
            os.write(master, b"secret\n")
        said, wrong = child.communicate(timeout=10)
    os.close(master)
    os.close(terminal)
    assert wrong == ""
    if who == "person":
        assert verify(keys, keys.allowed(f"{LEAD} {public_of(locked)}"), signature=said)
    else:
        assert "a terminal to ask for its passphrase" in said


def test_names_of_files_are_no_options_and_nothing_is_left_beside_them(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-n evil").write_bytes(keys.lead.read_bytes())
    (tmp_path / "-n evil").chmod(0o600)
    signed = sign_statement(keygen(), statement_of(), key=Path("-n evil"), terminal=False)
    assert verify(keys, keys.plain, signature=signed)
    assert [one.name for one in tmp_path.iterdir()] == ["-n evil"]


def test_a_key_that_is_none_is_named(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "open").write_bytes(keys.lead.read_bytes())
    (tmp_path / "open").chmod(0o644)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "text", Path("a\x00b"), tmp_path / "open"):
        with pytest.raises(JobError, match="key") as caught:
            sign_statement(keygen(), statement_of(), key=path, terminal=False)
        assert "\n" not in str(caught.value)


def test_what_ssh_keygen_reads_is_private_and_gone_afterwards(keys: Keys, tmp_path: Path) -> None:
    log = tmp_path / "log"
    spy = _program(
        tmp_path,
        "import os, subprocess, sys\n"
        f"log = open({str(log)!r}, 'a')\n"
        "for one in [os.getcwd(), *[a for a in sys.argv[1:] if a.startswith('/')]]:\n"
        "    print(oct(os.stat(one).st_mode & 0o777), one, file=log)\n"
        "print(sorted(os.environ), file=log)\n"
        "sys.exit(subprocess.run(['/usr/bin/env', 'ssh-keygen', *sys.argv[1:]]).returncode)\n",
    )
    environ = {"PATH": f"{spy.path}:/usr/bin:/bin", "SECRET": "canary", "SSH_AUTH_SOCK": "/nowhere"}
    real = replace(find_ssh_keygen(environ), path="/usr/bin:/bin")
    verify_statement(real, statement_of(), keys.signature, allowed=keys.plain, revoked=b"", now=NOW)
    *files, variables = log.read_text().splitlines()
    assert [one.split()[0] for one in files] == ["0o700", "0o600", "0o600", "0o600"]
    assert not any(Path(one.split()[1]).exists() for one in files)
    assert "SECRET" not in variables
    assert "SSH_AUTH_SOCK" not in variables


def test_no_ssh_keygen_an_old_one_and_one_that_hangs_are_one_line_each(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("", ".", "bin", str(tmp_path / "empty")):
        with pytest.raises(JobError, match=r"OpenSSH 8\.9 or later on the PATH"):
            find_ssh_keygen({"PATH": path})
    old = _program(tmp_path, "import sys\nsys.stderr.write('unknown option -- Y\\nusage: ssh-keygen')\nsys.exit(1)\n")
    with pytest.raises(JobError, match="does not know -Y verify"):
        verify_statement(old, statement_of(), keys.signature, allowed=keys.plain, revoked=None, now=NOW)
    monkeypatch.setattr("optimizer.approval.signatures.VERIFY_S", 0.3)
    slow = _program(tmp_path, "import time\ntime.sleep(30)\n")
    with pytest.raises(JobError, match="ends within"):
        verify_statement(slow, statement_of(), keys.signature, allowed=keys.plain, revoked=None, now=NOW)


def test_a_relative_folder_of_the_path_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "print('I am trustworthy')\n")
    monkeypatch.chdir(tmp_path)
    assert find_ssh_keygen({"PATH": ".:/usr/bin"}).program == "/usr/bin/ssh-keygen"


def test_a_program_that_says_yes_to_another_key_is_not_believed(keys: Keys, tmp_path: Path) -> None:
    other = keys.plain.keys[1].fingerprint
    liar = _program(tmp_path, f"print('Good \"tunefare-approval\" signature for {LEAD} with ED25519 key {other}')\n")
    with pytest.raises(ApprovalError, match="not theirs"):
        verify_statement(liar, statement_of(), keys.signature, allowed=keys.plain, revoked=None, now=NOW)


def _program(folder: Path, text: str) -> SshKeygen:
    program = folder / "ssh-keygen"
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return SshKeygen(program=str(program), path=str(folder))
