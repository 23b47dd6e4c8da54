from __future__ import annotations

import os
from pathlib import Path

import pytest

from optimizer.app import writing
from optimizer.app.writing import check_writable, write_file
from providers.errors import JobError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_written_as_utf8_without_translation(tmp_path: Path) -> None:
    assert write_file(tmp_path / "plan.json", "é\n") == tmp_path / "plan.json"
    assert (tmp_path / "plan.json").read_bytes() == b"\xc3\xa9\n"
    assert names(tmp_path) == ["plan.json"]


def test_a_new_file_gets_the_mode_within_the_umask_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_file(tmp_path / "new", "1")
        write_file(tmp_path / "secret", "1", mode=0o600)
        (tmp_path / "new").chmod(0o604)
        write_file(tmp_path / "new", "2")
    finally:
        os.umask(previous)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604
    assert (tmp_path / "new").read_text() == "2"


def test_a_failure_half_way_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(JobError, match="No space left"):
        write_file(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["plan.json"]


def test_an_interruption_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "plan.json", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["missing/plan.json", "folder"])
def test_a_path_that_cannot_be_written_is_one_line_with_exit_2(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(JobError) as caught:
        write_file(tmp_path / place, "x")
    assert caught.value.exit_code == 2
    assert str(tmp_path / place)[-20:] in str(caught.value.value)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["folder"]


def test_no_permission_is_one_line_with_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(writing.tempfile, "mkstemp", refuse)
    with pytest.raises(JobError, match=r"output = .*Permission denied"):
        write_file(tmp_path / "plan.json", "x")


def test_a_file_made_read_only_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    monkeypatch.setattr(writing.os, "access", lambda *_: False)
    with pytest.raises(JobError, match="Permission denied"):
        write_file(target, "new")
    assert target.read_text() == "old"


def test_a_link_is_followed_and_a_device_stays_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    write_file("/dev/null", "x")
    assert not Path("/dev/null").is_file()


def test_what_can_be_written_is_found_out_without_writing(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("kept", encoding="utf-8")
    check_writable(kept)
    check_writable(tmp_path / "new.json")
    check_writable("/dev/null")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("kept.json", "kept")]


def test_what_cannot_be_written_is_said_in_the_words_of_writing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "plan.json", tmp_path / "no" / ".." / "no" / "plan.json"):
        with pytest.raises(JobError) as before:
            check_writable(path, key="output_dir")
        with pytest.raises(JobError) as then:
            write_file(path, "x", key="output_dir")
        assert str(before.value) == str(then.value)
