from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from optimizer.app.policy_files import find_policy, read_policy, read_policy_at
from optimizer.app.settings import Settings, load_settings
from providers.errors import JobError
from tests.fixtures.gate_world import BASE

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 42 + "B"
SIGNED = BASE.replace('currency = "USD"', 'currency = "USD"\nallowed_signers = "signers"')


def git(folder: Path, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "policy.toml").write_text(SIGNED)
    (tmp_path / "gate" / "signers").write_text(f"lead@example.com {KEY}\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "policy")
    return tmp_path


def test_the_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    for name, dollars in (("flag", "1.00"), ("environment", "2.00"), ("file", "3.00")):
        (tmp_path / f"{name}.toml").write_text(BASE.replace("25.00", dollars))
    (tmp_path / "tunefare.toml").write_text('policy = "file.toml"')

    def first(flag: str | None, environment: dict[str, str]) -> int:
        settings = load_settings(environment=environment, directory=tmp_path, home=tmp_path)
        return find_policy(policy=flag, git_ref=None, settings=settings).tiers[0].up_to_usd_micro

    said = {"TUNEFARE_POLICY": str(tmp_path / "environment.toml")}
    assert first(str(tmp_path / "flag.toml"), said) == 1_000_000
    assert first(None, said) == 2_000_000
    assert first(None, {}) == 3_000_000


def test_without_a_policy_nothing_is_judged() -> None:
    with pytest.raises(JobError, match="policy = not given: the path of a policy file") as caught:
        find_policy(policy=None, git_ref=None, settings=Settings())
    assert caught.value.exit_code == 2
    with pytest.raises(JobError, match="not together with --policy"):
        find_policy(policy="a", git_ref="b:c", settings=Settings())


def test_a_file_and_the_same_file_of_a_commit_are_the_same_policy(repository: Path) -> None:
    file = read_policy(repository / "gate" / "policy.toml")
    commit = read_policy_at("main:gate/policy.toml", directory=repository)
    assert file.sha256 == commit.sha256
    assert commit.allowed_signers_data == (repository / "gate" / "signers").read_bytes()


def test_a_change_under_review_does_not_touch_the_policy_of_the_base(repository: Path) -> None:
    before = read_policy_at("main:gate/policy.toml", directory=repository).sha256
    git(repository, "checkout", "-q", "-b", "change")
    (repository / "gate" / "policy.toml").write_text(SIGNED.replace("25.00", "250.00"))
    (repository / "gate" / "signers").write_text(f"attacker@example.com {KEY}\n")
    git(repository, "commit", "-q", "-a", "-m", "mine")
    assert read_policy_at("main:gate/policy.toml", directory=repository).sha256 == before
    assert read_policy_at("change:gate/policy.toml", directory=repository).sha256 != before
    # Replacing an object, or naming another repository's objects, changes nothing either.
    git(repository, "replace", "main", "change")
    assert read_policy_at("main:gate/policy.toml", directory=repository).sha256 == before


@pytest.mark.parametrize(
    "spec",
    [
        "main", "main:", ":gate/policy.toml", "--upload-pack=x:gate/policy.toml", "-x:p", "main:../policy.toml",
        "main:/etc/passwd", "main..change:gate/policy.toml", "main:gate", "main:gate/none.toml",
        "none:gate/policy.toml",
        "main; rm -rf x:gate/policy.toml", "$(id):gate/policy.toml", "main:gate/policy.toml\n", "@{u}:gate/policy.toml",
    ],
)  # fmt: skip
def test_what_is_no_file_of_a_commit_is_refused(spec: str, repository: Path) -> None:
    with pytest.raises(JobError, match="policy-git-ref"):
        read_policy_at(spec, directory=repository)


def test_a_link_in_a_commit_leads_nowhere(repository: Path) -> None:
    (repository / "gate" / "link.toml").symlink_to("policy.toml")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "link")
    with pytest.raises(JobError, match="readable TOML"):
        read_policy_at("main:gate/link.toml", directory=repository)


def test_a_large_file_of_a_commit_is_refused(repository: Path) -> None:
    (repository / "large.toml").write_text("#" * (2**20 + 1))
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "large")
    with pytest.raises(JobError, match="larger than 1024 KiB"):
        read_policy_at("main:large.toml", directory=repository)


def test_without_git_one_line(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="git on this machine"):
        read_policy_at("main:policy.toml", environment={"PATH": str(tmp_path)}, directory=tmp_path)
