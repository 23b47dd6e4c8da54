"""`tunefare prices history|export|import|quarantine` and `list` over a store: exit codes, stdout, stderr, files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cache.sql_store import open_store
from optimizer.cli.prices_history import complete_plot
from providers.offer import NANO
from tests.fixtures.nights import held_row, put_night
from tests.fixtures.offers import DAY, NIGHT, SPOT, NoList, make_offer

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
NOW = "2026-11-25T03:00Z"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of two nights, named by the environment."""
    place = str(tmp_path / "prices.sqlite3")
    store = open_store(place, NoList(), create=True)
    put_night(store, make_offer("a"), make_offer("b"), make_offer("s", pricing_model=SPOT), at=NIGHT - DAY)
    put_night(store, make_offer("a", price=2.5), at=NIGHT,
              held=(held_row(make_offer("b", price=50.0), previous=2 * NANO),))  # fmt: skip
    store.close()
    monkeypatch.setenv("TUNEFARE_CACHE_URL", place)
    monkeypatch.setenv("TUNEFARE_NOW", NOW)
    return place


def test_a_history_is_a_text_a_chart_or_a_document(url: str, tunefare: Callable[..., object], tmp_path: Path) -> None:
    text = tunefare("prices", "history")
    assert (text.code, text.err) == (0, "")
    assert "nimbus/north/a/on_demand" in text.out
    assert "+25.0 %" in text.out
    assert "┤" not in text.out
    chart = tunefare("prices", "history", "--plot", "nimbus/north/a/on_demand")
    assert "┤" in chart.out
    document = json.loads(tunefare("prices", "history", "--json", "--pricing-model", "spot").out)
    assert document["schema"] == "tunefare.price-history/v1"
    assert [row["key"] for row in document["offers"]] == ["nimbus/north/s/spot"]
    assert tunefare("prices", "history", "--json").out == tunefare("prices", "history", "--json").out


def test_a_chart_goes_into_a_file(url: str, tunefare: Callable[..., object], tmp_path: Path) -> None:
    target = tmp_path / "chart.svg"
    for words in (("--plot", target), (f"--plot={target}",)):
        outcome = tunefare("prices", "history", *words, "nimbus/north")
        assert (outcome.code, outcome.err) == (0, f"tunefare: wrote {target}\n")
        assert "┤" not in outcome.out
        assert target.read_text().startswith("<svg ")
        target.unlink()


def test_a_chart_of_another_kind_is_refused(url: str, fails: Callable[..., str], tmp_path: Path) -> None:
    assert "--plot = 'chart.png': the name of an SVG file" in fails(2, "prices", "history", "--plot=chart.png")
    assert "must exist" in fails(2, "prices", "history", "--plot", tmp_path / "none" / "chart.svg")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--plot"], ["--plot=terminal"]),
        (["--plot", "KEY"], ["--plot=terminal", "KEY"]),
        (["--plot", "--json"], ["--plot=terminal", "--json"]),
        (["--plot", "a.svg", "KEY"], ["--plot", "a.svg", "KEY"]),
        (["--plot=a.svg"], ["--plot=a.svg"]),
        (["--plot", "A.SVG"], ["--plot", "A.SVG"]),
        (["--", "--plot"], ["--", "--plot"]),
        ([], []),
    ],
)
def test_plot_takes_a_file_or_nothing(given: list[str], read: list[str]) -> None:
    assert complete_plot(given) == read


def test_a_history_of_nothing_is_named(url: str, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "KEY = 'nimbus/north/c/on_demand'" in fails(2, "prices", "history", "nimbus/north/c/on_demand")
    assert "--since = 'x'" in fails(2, "prices", "history", "--since", "x")
    monkeypatch.delenv("TUNEFARE_CACHE_URL")
    assert "run tunefare prices refresh" in fails(9, "prices", "history")
    assert "run tunefare prices refresh" in fails(9, "prices", "quarantine", "list")


def test_a_store_goes_from_machine_to_machine(
    url: str, tunefare: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "market.json"
    done = tunefare("prices", "export", file)
    assert (done.code, done.out) == (0, "")
    first, second = done.err.splitlines()
    assert first.startswith(f"tunefare: wrote {file}: ")
    digest = second.removeprefix("tunefare: sha256 ")
    here = json.loads(tunefare("prices", "list", "--json").out)["snapshot"]["sha256"]
    monkeypatch.setenv("TUNEFARE_CACHE_URL", str(tmp_path / "other.sqlite3"))
    assert tunefare("prices", "import", file, "--dry-run").out.startswith("Import  2 of 2 scopes would be imported")
    assert not (tmp_path / "other.sqlite3").exists()
    text = tunefare("prices", "import", file, "--sha256", digest)
    assert (text.code, text.err) == (0, "")
    assert "Import  2 of 2 scopes imported into" in text.out
    there = json.loads(tunefare("prices", "list", "--json").out)["snapshot"]["sha256"]
    assert there == here
    document = json.loads(tunefare("prices", "import", file, "--json").out)
    assert (document["schema"], document["sha256"]) == ("tunefare.price-import/v1", digest)
    assert {scope["outcome"] for scope in document["scopes"]} == {"same"}


def test_a_plan_there_is_the_plan_here(
    url: str, tunefare: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "market.json"
    assert tunefare("prices", "export", file).code == 0
    words = ("plan", "--model", "llama-3.1-8b", "--tokens", "1M", "--provider", "nimbus", "--json")
    here = tunefare(*words)
    assert here.code == 0
    monkeypatch.setenv("TUNEFARE_CACHE_URL", str(tmp_path / "other.sqlite3"))
    assert tunefare("prices", "import", file).code == 0
    assert tunefare(*words).out == here.out


def test_a_damaged_file_is_refused_whole(
    url: str,
    fails: Callable[..., str],
    tunefare: Callable[..., object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "market.json"
    tunefare("prices", "export", file)
    file.write_text(file.read_text().replace("2500000000", "2500000001"))
    monkeypatch.setenv("TUNEFARE_CACHE_URL", str(tmp_path / "other.sqlite3"))
    assert "the file is damaged or was changed" in fails(2, "prices", "import", file)
    assert not (tmp_path / "other.sqlite3").exists()
    assert "No such file" in fails(2, "prices", "import", tmp_path / "none.json")


def test_an_export_to_stdout_is_the_file_alone(url: str, tunefare: Callable[..., object]) -> None:
    outcome = tunefare("prices", "export", "-", "--provider", "nimbus")
    assert json.loads(outcome.out)["schema"] == "tunefare.price-snapshot/v1"
    table = tunefare("prices", "export", "-", "--format", "csv", "--provider", "nimbus").out
    assert table.count("\n") == 4
    assert table.startswith("provider,region,")


def test_parquet_on_stdout_is_bytes(url: str) -> None:
    code = "import sys; from optimizer.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ("prices", "export", "-", "--format", "parquet")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout[:4] == done.stdout[-4:] == b"PAR1"


def test_an_export_in_no_known_format_is_refused(url: str, fails: Callable[..., str], tmp_path: Path) -> None:
    assert "or --format" in fails(2, "prices", "export", tmp_path / "market.xls")
    assert "--format = 'xls': one of json" in fails(2, "prices", "export", tmp_path / "market", "--format", "xls")


def test_a_decision_on_a_held_price(url: str, tunefare: Callable[..., object], fails: Callable[..., str]) -> None:
    listed = tunefare("prices", "quarantine", "list")
    assert "release 1" in listed.out
    assert fails(2, "prices", "quarantine", "release", "1", "2").startswith("quarantine: number = 2: there is none")
    document = json.loads(tunefare("prices", "quarantine", "list", "--json").out)
    assert document["schema"] == "tunefare.quarantine/v1"
    assert [(row["number"], row["state"]) for row in document["rows"]] == [(1, "pending")]
    done = tunefare("prices", "quarantine", "release", "1", "--note", "seen on their page")
    assert (done.code, done.out.splitlines()[0]) == (0, "Released  1 price")
    assert "$50.00" in tunefare("prices", "list", "--provider", "nimbus").out
    assert "Nothing waits" in tunefare("prices", "quarantine", "list").out
    assert "released: seen on their page" in tunefare("prices", "quarantine", "list", "--all").out
    assert "already" in fails(2, "prices", "quarantine", "reject", "1")
    assert "not a whole number" in fails(2, "prices", "quarantine", "release", "x")
    assert "missing" in fails(2, "prices", "quarantine", "release")


def test_a_rejected_price_is_not_shown_again(url: str, tunefare: Callable[..., object]) -> None:
    assert tunefare("prices", "quarantine", "reject", "1").out.startswith("Rejected  1 price\n")
    assert "Nothing waits" in tunefare("prices", "quarantine", "list", "--provider", "nimbus").out
    assert "$2.00" in tunefare("prices", "list", "--provider", "nimbus").out


def test_the_group_says_what_it_has(tunefare: Callable[..., object]) -> None:
    page = tunefare("prices", "quarantine")
    assert page.code == 0
    assert all(word in page.out for word in ("list", "release", "reject"))


def test_live_prices_are_listed_held_ones_marked(url: str, tunefare: Callable[..., object]) -> None:
    text = tunefare("prices", "list", "--provider", "nimbus").out
    lines = {line.split()[5]: line for line in text.splitlines()[2:5]}
    assert lines["b"].endswith("!h")
    assert lines["a"].endswith("24 h")
    assert "h: held: a newer price is in quarantine" in " ".join(text.split())
    keys = tunefare("prices", "list", "--provider", "nimbus", "--keys")
    assert keys.out == "nimbus/north/b/on_demand\nnimbus/north/s/spot\nnimbus/north/a/on_demand\n"
    assert all(tunefare("prices", "history", key).code == 0 for key in keys.out.splitlines())


def test_a_terminal_shows_a_screenful_a_pipe_everything(
    tunefare: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(*words: str) -> int:
        out = tunefare("prices", "list", "--now", NOW, *words).out
        return sum(line.lstrip().startswith("$") and not line.lstrip().startswith("$/") for line in out.splitlines())

    everything = rows()
    assert everything > 1_000
    assert rows("--limit", "7") == 7
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert rows() == 40
    assert rows("--limit", "0") == everything
    assert f"… {everything - 40:,} more: --limit 0" in tunefare("prices", "list", "--now", NOW).out
    document = json.loads(tunefare("prices", "list", "--now", NOW, "--json").out)
    assert len(document["offers"]) == document["matching_offers"] == everything
    few = json.loads(tunefare("prices", "list", "--now", NOW, "--json", "--limit", "3").out)
    assert (len(few["offers"]), few["matching_offers"]) == (3, everything)


def test_a_file_has_everything_whatever_the_screen_shows(
    tunefare: Callable[..., object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    target = tmp_path / "prices.json"
    text = tunefare("prices", "list", "--now", NOW, "--output", target).out
    assert len(json.loads(target.read_text())["offers"]) > 1_000
    assert text.count("\n") < 60


def test_a_list_on_the_screen_loads_neither_numpy_nor_pandas(url: str) -> None:
    code = (
        "import sys; from optimizer.cli.main import main; code = main(['prices', 'list']); "
        "sys.stderr.write(repr(sorted({'numpy', 'pandas', 'scipy', 'rich'} & set(sys.modules)))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "[]"
