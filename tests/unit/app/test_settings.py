from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from optimizer.app.settings import Settings, config_directory, load_settings
from providers import registry
from providers.errors import JobError, ProviderError
from providers.offer import PriceClass, PricingModel


def settings(tmp_path: Path, **environment: str) -> Settings:
    return load_settings(environment=environment, directory=tmp_path, home=tmp_path / "home")


def test_nothing_set_is_nothing_said(tmp_path: Path) -> None:
    assert settings(tmp_path) == Settings()


def test_environment_wins_over_project_over_user(tmp_path: Path) -> None:
    user = tmp_path / "home" / ".config" / "tunefare" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('offers = "user.csv"\nmax_price_age = "30d"\n[discounts]\naws = 0.1\ngcp = 0.3\n')
    only_user = settings(tmp_path)
    assert only_user.offers == user.parent / "user.csv"
    assert only_user.max_price_age == "30d"
    (tmp_path / "tunefare.toml").write_text('offers = "team.csv"\nonly_offers = true\n[discounts]\naws = 0.25\n')
    with_project = settings(tmp_path)
    assert with_project.offers == tmp_path / "team.csv"
    assert with_project.only_offers is True
    assert with_project.max_price_age == "30d"
    assert with_project.discounts == {"aws": Decimal("0.25"), "gcp": Decimal("0.3")}
    with_environment = settings(
        tmp_path, TUNEFARE_OFFERS="/own.csv", TUNEFARE_ONLY_OFFERS="0", TUNEFARE_NOW="2031-05-06T07:08Z"
    )
    assert with_environment.offers == Path("/own.csv")
    assert with_environment.only_offers is False
    assert with_environment.now == "2031-05-06T07:08Z"


def test_the_user_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("only_offers = true\n")
    assert settings(tmp_path, TUNEFARE_CONFIG=str(tmp_path / "mine.toml")).only_offers is True
    with pytest.raises(JobError, match=r"environment: TUNEFARE_CONFIG = .*gone.toml"):
        settings(tmp_path, TUNEFARE_CONFIG=str(tmp_path / "gone.toml"))


def test_the_xdg_directory_is_honoured_when_absolute() -> None:
    assert config_directory({"XDG_CONFIG_HOME": "/xdg"}, Path("/h")) == Path("/xdg/tunefare")
    assert config_directory({"XDG_CONFIG_HOME": "relative"}, Path("/h")) == Path("/h/.config/tunefare")
    assert config_directory({}, Path("/h")) == Path("/h/.config/tunefare")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("offres = 1\n", r"tunefare.toml: offres = 1: one of offers, only_offers, calibration, max_price_age"),
        ("offers = 1\n", "offers = 1: the path of a CSV file"),
        ('only_offers = "yes"\n', "only_offers = 'yes': true or false"),
        ("discounts = 0.2\n", "discounts = .*: a table of provider = fraction"),
        ("[discounts]\naws = 1\n", "discounts.aws = 1: a fraction from 0 to below 1"),
        ("[discounts]\naws = -0.1\n", "discounts.aws"),
        ("[discounts]\naws = nan\n", "discounts.aws"),
        ("[discounts]\naws = true\n", "discounts.aws"),
        ('[discounts]\naws = "20%"\n', "discounts.aws"),
        ("cache_url = 1\n", "cache_url = 1: the path of a SQLite file, or postgresql://"),
        ('cache_url = " "\n', "cache_url = ' ': the path of a SQLite file"),
        ('freshness = "6h"\n', "freshness = '6h': a table of kinds"),
        ("offers = \n", "file = 'tunefare.toml': readable TOML"),
    ],
)
def test_a_wrong_file_is_one_line_naming_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tunefare.toml").write_text(text)
    with pytest.raises(JobError, match=message) as caught:
        settings(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_misspelt_variable_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(
        JobError, match=r"environment: TUNEFARE_OFERS = 'x': unknown variable; did you mean TUNEFARE_OFF"
    ):
        settings(tmp_path, TUNEFARE_OFERS="x")
    with pytest.raises(JobError, match="TUNEFARE_Q = '': unknown variable; known are TUNEFARE_CACHE_URL"):
        settings(tmp_path, TUNEFARE_Q="")
    assert settings(tmp_path, TUNEFARE_TRACEBACK="1", _TUNEFARE_COMPLETE="bash", TUNE="x") == Settings()


def test_a_switch_is_a_switch(tmp_path: Path) -> None:
    assert [settings(tmp_path, TUNEFARE_ONLY_OFFERS=word).only_offers for word in ("1", "Yes", "off")] == [
        True, True, False,
    ]  # fmt: skip
    with pytest.raises(JobError, match="TUNEFARE_ONLY_OFFERS = 'maybe': 1 or 0"):
        settings(tmp_path, TUNEFARE_ONLY_OFFERS="maybe")


def test_the_process_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEFARE_OFFERS", "own.csv")
    assert load_settings().offers == Path("own.csv")


def test_measured_runs_are_named_once_for_all(tmp_path: Path) -> None:
    (tmp_path / "tunefare.toml").write_text('calibration = ["a.json", "runs"]\n', encoding="utf-8")
    assert settings(tmp_path).calibration == (tmp_path / "a.json", tmp_path / "runs")
    assert settings(tmp_path, TUNEFARE_CALIBRATION="b.json").calibration == (Path("b.json"),)
    assert settings(tmp_path, TUNEFARE_CALIBRATION="").calibration == (tmp_path / "a.json", tmp_path / "runs")
    (tmp_path / "tunefare.toml").write_text("calibration = 3\n", encoding="utf-8")
    with pytest.raises(JobError, match=r"tunefare\.toml: calibration = 3: the path of a file of measured runs"):
        settings(tmp_path)


def test_where_live_prices_are_kept(tmp_path: Path) -> None:
    (tmp_path / "tunefare.toml").write_text('cache_url = "prices/live.sqlite3"\n', encoding="utf-8")
    assert settings(tmp_path).cache_url == str(tmp_path / "prices" / "live.sqlite3")
    assert settings(tmp_path, TUNEFARE_CACHE_URL="other.sqlite3").cache_url == "other.sqlite3"
    assert settings(tmp_path, TUNEFARE_CACHE_URL="").cache_url == str(tmp_path / "prices" / "live.sqlite3")
    for url in ("postgresql://me@db.example/prices", "sqlite:////var/prices.sqlite3"):
        (tmp_path / "tunefare.toml").write_text(f'cache_url = "{url}"\n', encoding="utf-8")
        assert settings(tmp_path).cache_url == url


def test_where_the_ledger_is(tmp_path: Path) -> None:
    (tmp_path / "tunefare.toml").write_text('ledger_url = "state/ledger.db"\n', encoding="utf-8")
    assert settings(tmp_path).ledger_url == str(tmp_path / "state" / "ledger.db")
    assert settings(tmp_path, TUNEFARE_LEDGER_URL="other.db").ledger_url == "other.db"
    assert settings(tmp_path).cache_url is None
    (tmp_path / "tunefare.toml").write_text("ledger_url = 1\n", encoding="utf-8")
    with pytest.raises(JobError, match="ledger_url = 1: the path of a SQLite file, or postgresql://"):
        settings(tmp_path)


def test_who_is_told_that_a_refresh_ended(tmp_path: Path) -> None:
    url = "https://checks.example/ping/0b51?rid=7"
    assert settings(tmp_path, TUNEFARE_PING_URL=url).ping_url == url
    assert settings(tmp_path, TUNEFARE_PING_URL="").ping_url is None
    for wrong in ("checks.example", "ftp://checks.example", "https://", "https://x.example/a b", "https:///0b51"):
        with pytest.raises(JobError, match="environment: TUNEFARE_PING_URL") as caught:
            settings(tmp_path, TUNEFARE_PING_URL=wrong)
        assert "'(not shown)'" in str(caught.value)  # what is nearly an address may hold the key of one


def test_limits_of_age_are_merged_kind_by_kind(tmp_path: Path) -> None:
    user = tmp_path / "home" / ".config" / "tunefare" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[freshness]\nlive_spot = { fresh = "1h" }\nlist_on_demand = { stale = "500d" }\n')
    (tmp_path / "tunefare.toml").write_text('[freshness]\nlive_spot = { fresh = "12h", stale = "5d" }\n')
    merged = settings(tmp_path).freshness
    assert set(merged) == {(PriceClass.LIVE, PricingModel.SPOT), (PriceClass.LIST, PricingModel.ON_DEMAND)}
    spot = merged[PriceClass.LIVE, PricingModel.SPOT]
    assert (spot.fresh, spot.stale) == (timedelta(hours=12), timedelta(days=5))
    assert merged[PriceClass.LIST, PricingModel.ON_DEMAND].stale == timedelta(days=500)


def test_variables_of_price_sources_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Named:
        info = SimpleNamespace(variables=(SimpleNamespace(name="TUNEFARE_NIMBUS_ACCOUNT"),))

    def load(name: str) -> object:
        asked.append(name)
        if name == "broken-cloud":
            raise ProviderError("broken")
        return Named()

    monkeypatch.setattr(registry, "provider_names", lambda: ("broken-cloud", "nimbus"))
    monkeypatch.setattr(registry, "load_provider", load)
    known = settings(tmp_path, TUNEFARE_NIMBUS_ENDPOINT="x", TUNEFARE_BROKEN_CLOUD_ENDPOINT="")
    assert known == Settings()
    assert not asked  # an address needs no adapter to be known
    assert settings(tmp_path, TUNEFARE_NIMBUS_ACCOUNT="1", TUNEFARE_BROKEN_CLOUD_ANY="2") == Settings()
    assert set(asked) == {"nimbus", "broken-cloud"}
    for name in (
        "TUNEFARE_NIMBUS_ENDPOINTS",
        "TUNEFARE_NIMBUS_ACOUNT",
        "TUNEFARE_CIRRUS_ENDPOINT",
        "TUNEFARE_ENDPOINT",
    ):
        with pytest.raises(JobError, match=f"{name} = 'x': unknown variable"):
            settings(tmp_path, **{name: "x"})


def test_the_installed_sources_are_known_by_their_addresses(tmp_path: Path) -> None:
    names = [f"TUNEFARE_{name.upper()}_ENDPOINT" for name in ("aws", "azure", "lambda", "oci")]
    assert settings(tmp_path, **dict.fromkeys(names, "http://127.0.0.1:1")) == Settings()


def test_no_source_is_looked_for_without_such_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[str, ...]:
        raise AssertionError("looks at everything that is installed")

    monkeypatch.setattr(registry, "provider_names", refuse)
    assert settings(tmp_path, TUNEFARE_OFFERS="own.csv", TUNEFARE_NOW="2031-05-06T07:08Z").now
    with pytest.raises(JobError, match="TUNEFARE_OFERS"):
        settings(tmp_path, TUNEFARE_OFERS="x")
