"""Where the policy comes from: a file, or a commit of a repository that the change under review cannot touch."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from optimizer.approval.canonical import LARGEST_BYTES, read_bytes
from optimizer.approval.policy import load_policy
from providers.errors import JobError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optimizer.approval.policy_terms import Policy

    from .settings import Settings

FLAG, GIT_FLAG = "policy", "policy-git-ref"
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@^~+-]{0,199}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._ /-]{0,299}", re.ASCII)
GIT_ALLOWED = "REF:PATH, such as origin/main:policy.toml, with the path from the top of the repository"
GIT_TIMEOUT_S = 30
KEPT_VARIABLES = ("PATH", "HOME", "SYSTEMROOT", "GIT_DIR", "GIT_WORK_TREE", "GIT_CEILING_DIRECTORIES")


def find_policy(
    *, policy: str | None, git_ref: str | None, settings: Settings, environment: Mapping[str, str] | None = None
) -> Policy:
    """Return the policy in force: that of the flags, else of TUNEFARE_POLICY, else of `policy` in tunefare.toml.

    Without any there is nothing to judge by, which is an error: a gate without a policy would let everything through.
    Raises JobError (exit 2) for that, and for a policy that cannot be read or is wrong.
    """
    if policy is not None and git_ref is not None:
        raise JobError(where="command line", key=GIT_FLAG, value=git_ref, allowed="not together with --policy")
    if git_ref is not None:
        return read_policy_at(git_ref, environment=environment)
    path = settings.policy if policy is None else Path(policy)
    if path is None:
        allowed = "the path of a policy file (also TUNEFARE_POLICY, or policy in tunefare.toml)"
        raise JobError(where="command line", key=FLAG, value=None, allowed=allowed)
    return read_policy(path)


def read_policy(path: Path) -> Policy:
    """Return the policy of a file, with the files beside it that it names. Raises JobError."""
    return load_policy(read_bytes(path, what=FLAG), where=str(path), read_file=beside(path))


def beside(path: Path) -> Callable[[str], bytes]:
    """Return what reads the files that a file names, relative to it. What it is given holds no "..", and no root."""
    return lambda name: read_bytes(path.parent / name, what=name)


def read_policy_at(spec: str, *, environment: Mapping[str, str] | None = None, directory: Path | None = None) -> Policy:
    """Return the policy that a commit holds, "origin/main:policy.toml", with the files beside it of the same commit.

    The working tree is not looked at: what a change does to its own policy does not count. Raises JobError.
    """
    ref, _, path = spec.partition(":")
    if not _REF.fullmatch(ref) or not _PATH.fullmatch(path) or ".." in ref or ".." in PurePosixPath(path).parts:
        raise JobError(where="command line", key=GIT_FLAG, value=spec, allowed=GIT_ALLOWED)
    git = _Git(ref, environment=os.environ if environment is None else environment, directory=directory)
    folder = PurePosixPath(path).parent
    return load_policy(git.read(path), where=spec, read_file=lambda name: git.read(str(folder / name)))


class _Git:
    """Reads files of one commit; its name is resolved once, so that all are of the same."""

    def __init__(self, ref: str, *, environment: Mapping[str, str], directory: Path | None) -> None:
        self._environment = {key: environment[key] for key in KEPT_VARIABLES if key in environment}
        self._directory = directory
        self._ref = ref
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if found is None or not re.fullmatch(rb"[0-9a-f]{40,64}\n", found):
            allowed = f"{GIT_ALLOWED}; git knows no commit {ref} here (git fetch brings it)"
            raise JobError(where="command line", key=GIT_FLAG, value=ref, allowed=allowed)
        self._commit = found.decode().strip()

    def read(self, path: str) -> bytes:
        """Return the bytes of a file. Raises JobError."""
        data = self._run("cat-file", "blob", f"{self._commit}:{path}")
        if data is None or len(data) > LARGEST_BYTES:
            reason = "not in that commit" if data is None else f"larger than {LARGEST_BYTES // 1024} KiB"
            raise JobError(
                where="command line", key=GIT_FLAG, value=f"{self._ref}:{path}", allowed=f"a file ({reason})"
            )
        return data

    def _run(self, *arguments: str) -> bytes | None:
        """Return what git writes, at most one byte more than a policy may hold; None where it fails."""
        command = ["git", "--no-replace-objects", "--literal-pathspecs", *arguments]
        try:
            with subprocess.Popen(  # noqa: S603  # a list of arguments, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**self._environment, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"},
                cwd=self._directory,
            ) as process:
                return _bounded(process)
        except OSError as err:
            reason = one_line(err.strerror or type(err).__name__)
            allowed = f"git on this machine ({reason})"
            raise JobError(where="command line", key=GIT_FLAG, value=self._ref, allowed=allowed) from err


def _bounded(process: subprocess.Popen[bytes]) -> bytes | None:
    assert process.stdout is not None  # noqa: S101  # it was asked for
    data = process.stdout.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        process.kill()
        return data
    try:
        return data if process.wait(GIT_TIMEOUT_S) == 0 else None
    except subprocess.TimeoutExpired:
        process.kill()
        return None
