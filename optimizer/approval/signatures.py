"""SSH signatures on statements, made and verified by `ssh-keygen` in a namespace of their own.

`ssh-keygen` is run with a list of arguments, an environment of a few variables, a time limit and no shell. What it
reads lies in a private folder and holds the bytes that were judged before: no other process swaps them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError, one_line

from .principals import NAME
from .records import Assurance, Principal
from .statements import LONGEST_SIGNATURE, statement_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from .allowed_signers import AllowedSigners
    from .records import Statement

NAMESPACE = "tunefare-approval"
OLDEST = "OpenSSH 8.9 or later"
VERIFY_S, SIGN_S, PERSON_S = 10.0, 20.0, 120.0
"""Limits: of a check, of a signature without a person, and with one who types a passphrase or touches a key."""
_ARMOR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END SSH SIGNATURE-----\n?", re.ASCII
)
_GOOD = re.compile(
    rf'Good "{NAMESPACE}" signature for (\S+) with ([A-Z0-9-]+) key (SHA256:[A-Za-z0-9+/]{{43}})\n?', re.ASCII
)
_TOO_OLD = ("unknown option", "illegal option", "invalid option", "unsupported operation", "usage: ssh-keygen")
_ALWAYS = {"LC_ALL": "C", "TZ": "UTC0", "SSH_ASKPASS_REQUIRE": "never"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKeygen:
    """The program, and the few variables of the environment that it is run with."""

    program: str
    path: str
    home: str | None = None
    agent: str | None = None
    sk_provider: str | None = None

    def run(
        self,
        arguments: list[str],
        *,
        stdin: bytes,
        limit_s: float,
        folder: Path,
        person: bool = False,
        key: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Return what it answered. `person` lets it ask on the terminal, `key` lets it use an agent or a hardware key.

        Raises JobError where it cannot be run, does not end in time, or is too old for what it was asked.
        """
        environment = {**_ALWAYS, "PATH": self.path}
        extras = {"HOME": self.home, "SSH_AUTH_SOCK": self.agent, "SSH_SK_PROVIDER": self.sk_provider} if key else {}
        environment.update({name: value for name, value in extras.items() if value})
        try:
            done = subprocess.run(  # noqa: S603
                [self.program, *arguments],
                input=stdin,
                capture_output=True,
                timeout=limit_s,
                env=environment,
                cwd=folder,
                check=False,
                # Without a terminal of its own it cannot ask for a passphrase, and does not wait for one.
                start_new_session=not person,
            )
        except subprocess.TimeoutExpired as err:
            raise _unusable(self.program, f"an ssh-keygen that ends within {limit_s:.0f} s") from err
        except (OSError, ValueError) as err:
            raise _unusable(self.program, f"an ssh-keygen that runs ({one_line(str(err))})") from err
        if done.returncode != 0 and any(words in done.stderr.decode("utf-8", "replace").lower() for words in _TOO_OLD):
            raise _unusable(self.program, f"{OLDEST}: this one does not know {' '.join(arguments[:2])}")
        return done


def find_ssh_keygen(environ: Mapping[str, str]) -> SshKeygen:
    """Return the `ssh-keygen` of an environment. Raises JobError (exit 2) where there is none.

    Only absolute folders of PATH count: a program of that name in the folder under review is not asked.
    """
    path = os.pathsep.join(one for one in environ.get("PATH", "").split(os.pathsep) if one and Path(one).is_absolute())
    program = shutil.which("ssh-keygen", path=path) if path else None
    if program is None:
        raise _unusable("ssh-keygen", f"{OLDEST} on the PATH")
    return SshKeygen(
        program=program,
        path=path,
        home=environ.get("HOME"),
        agent=environ.get("SSH_AUTH_SOCK"),
        sk_provider=environ.get("SSH_SK_PROVIDER"),
    )


def sign_statement(keygen: SshKeygen, statement: Statement, *, key: Path, terminal: bool) -> str:
    """Return the signature on a statement, armored. `key` is a private key, or the public one of a key in an agent.

    `terminal` says whether a person can be asked for a passphrase. Raises JobError (exit 2) for a key that is not
    there, is locked, or is refused.
    """
    path = _key_path(key)
    with _private_folder() as folder:
        done = keygen.run(
            ["-Y", "sign", "-n", NAMESPACE, "-f", path],
            stdin=statement_bytes(statement),
            limit_s=PERSON_S if terminal else SIGN_S,
            folder=folder,
            person=terminal,
            key=True,
        )
    signature = done.stdout.decode("ascii", "replace")
    if done.returncode != 0 or not _ARMOR.fullmatch(signature):
        raise JobError(where="command line", key="key", value=str(key), allowed=_advice(done.stderr, terminal=terminal))
    return signature


def verify_statement(
    keygen: SshKeygen,
    statement: Statement,
    signature: str,
    *,
    allowed: AllowedSigners,
    revoked: bytes | None,
    now: datetime,
) -> Principal:
    """Return who signed a statement: its approver, with the fingerprint of the key.

    `revoked` is a key revocation list, or public keys one a line. Raises ApprovalError (exit 8) for a signature that
    does not hold: other content, namespace, key or name, a key that is revoked or not valid at `now`.
    """
    who = statement.approver
    if not re.fullmatch(NAME, who):
        raise ApprovalError("the approval names an approver that no key can have")
    with _private_folder() as folder:
        arguments = ["-Y", "verify", "-n", NAMESPACE, "-I", who, *_files(folder, signature, allowed, who)]
        if revoked is not None:
            arguments += ["-r", _written(folder, "revoked", revoked)]
        done = keygen.run(
            [*arguments, f"-Overify-time={now.strftime('%Y%m%d%H%M%S')}"],
            stdin=statement_bytes(statement),
            limit_s=VERIFY_S,
            folder=folder,
        )
    found = _GOOD.fullmatch(done.stdout.decode("utf-8", "replace"))
    if done.returncode != 0 or found is None:
        raise ApprovalError(f"the signature of {who} does not hold: {_reason(done.stderr)}")
    name, key_type, fingerprint = found.groups()
    # A second opinion: our own reading of the file must allow what ssh-keygen allowed.
    if name != who or not allowed.permits(who, fingerprint, certified=key_type.endswith("-CERT")):
        raise ApprovalError(f"the signature of {who} does not hold: the key {fingerprint} is not theirs")
    return Principal(name=who, assurance=Assurance.SSH_SIGNATURE, key=fingerprint)


def find_principals(keygen: SshKeygen, signature: str, *, allowed: AllowedSigners, now: datetime) -> tuple[str, ...]:
    """Return the names that the key of a signature may sign for, as `ssh-keygen` finds them; none for an unknown key.

    It says whose key it is, and not that the signature holds. Raises ApprovalError for what is no signature.
    """
    with _private_folder() as folder:
        arguments = ["-Y", "find-principals", *_files(folder, signature, allowed, "the signer")]
        done = keygen.run(
            [*arguments, f"-Overify-time={now.strftime('%Y%m%d%H%M%S')}"], stdin=b"", limit_s=VERIFY_S, folder=folder
        )
    if done.returncode != 0:
        return ()
    names = (name for line in done.stdout.decode("utf-8", "replace").split("\n") for name in line.split(","))
    return tuple(dict.fromkeys(name for name in names if re.fullmatch(NAME, name)))


def key_fingerprint(keygen: SshKeygen, key: Path) -> str:
    """Return the fingerprint of a key file, private or public, without unlocking it. Raises JobError for no key."""
    path = _key_path(key)
    with _private_folder() as folder:
        done = keygen.run(["-l", "-E", "sha256", "-f", path], stdin=b"", limit_s=VERIFY_S, folder=folder)
    found = re.match(r"\d+ (SHA256:[A-Za-z0-9+/]{43}) ", done.stdout.decode("utf-8", "replace"), re.ASCII)
    if done.returncode != 0 or found is None:
        raise JobError(where="command line", key="key", value=str(key), allowed="an SSH key that ssh-keygen can read")
    return found.group(1)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a new folder that only this user may enter; it is gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="tunefare-") as name:
            yield Path(name)
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise JobError(
            where="this machine", key="temporary folder", value=tempfile.gettempdir(), allowed=f"writable ({reason})"
        ) from err


def _files(folder: Path, signature: str, allowed: AllowedSigners, who: str) -> list[str]:
    """Return the arguments that name signature and allowed signers, both written into the folder."""
    if len(signature) > LONGEST_SIGNATURE or not _ARMOR.fullmatch(signature):
        raise ApprovalError(f"the signature of {who} is not an SSH signature")
    signed = _written(folder, "signature", signature.encode("ascii"))
    return ["-s", signed, "-f", _written(folder, "allowed_signers", allowed.data)]


def _written(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return str(path)


def _key_path(key: Path) -> str:
    """Return a key's path as an argument that is no option, whatever its first letter."""
    try:
        there = key.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise JobError(where="command line", key="key", value=str(key), allowed="the file of an SSH key")
    return str(key.absolute())


def _advice(stderr: bytes, *, terminal: bool) -> str:
    """Return what would make a key sign, in words."""
    said = stderr.decode("utf-8", "replace").lower()
    if "passphrase" in said:
        other = "the right passphrase" if terminal else "a terminal to ask for its passphrase"
        return f"{other}, or the key in ssh-agent and its .pub file here"
    if "permissions" in said or "unprotected" in said:
        return "a private key that only its owner can read (chmod 600)"
    return f"a key that signs ({_reason(stderr)})"


def _reason(stderr: bytes) -> str:
    """Return the last thing that ssh-keygen said, in one line without its private paths."""
    lines = [one_line(line) for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Signing data")]
    if not lines:
        return "the key is not among the allowed signers for this name, or is revoked"
    return re.sub(r"\S*/(?=(allowed_signers|signature|revoked)\b)", "", lines[-1])[:200]


def _unusable(program: str, allowed: str) -> JobError:
    return JobError(where="this machine", key="ssh-keygen", value=program, allowed=allowed)
