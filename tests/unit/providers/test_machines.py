"""Facts of machine types: network and local disks."""

from __future__ import annotations

import pytest

from providers import machines
from providers.bundled import load_bundled_offers
from providers.gpus import load_gpus
from providers.machines import MACHINE_COLUMNS, UNKNOWN_MACHINE, MachineFacts, load_machines

HEADER = ",".join(MACHINE_COLUMNS)
ROW = "tinycloud,crater.large,100,1900000000000,book,hearsay,2031-05-06,two disks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that stand in for the file of the package."""
    lines = [HEADER, ROW]
    monkeypatch.setattr(machines, "_read", lambda: "\n".join(lines))
    return lines


@pytest.mark.usefixtures("table")
def test_a_row_becomes_facts_in_bytes() -> None:
    facts = load_machines()["tinycloud", "crater.large"]
    assert facts == MachineFacts(network_bytes_per_s=12.5e9, disk_bytes=1_900_000_000_000, notes="two disks")


def test_empty_is_unknown_and_zero_is_known(table: list[str]) -> None:
    table[1:] = ["tinycloud,a,,,,,2031-05-06,", "tinycloud,b,2.5,0,book,book,2031-05-06,"]
    known = load_machines()
    assert known["tinycloud", "a"] == UNKNOWN_MACHINE
    assert (known["tinycloud", "b"].network_bytes_per_s, known["tinycloud", "b"].disk_bytes) == (312_500_000, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",100,", ",-100,", "line 2: network_gbit_s -100"),
        (",100,", ",0,", "line 2: network_gbit_s 0 is not above 0"),
        (",100,", ",3200000,", "line 2: network_gbit_s 3200000"),
        (",100,", ",,", "line 2: each figure has a source"),
        (",hearsay,", ",,", "line 2: each figure has a source"),
        (",1900000000000,", ",-1,", "line 2: disk_bytes -1 is negative"),
        (",1900000000000,", ",1.9TB,", "line 2: invalid literal"),
        ("2031-05-06", "", "line 2: provider, instance_type and checked_on"),
        (",two disks", "", "line 2: not enough values"),
    ],
)
def test_a_bad_row_names_its_line(table: list[str], old: str, new: str, message: str) -> None:
    table[1] = ROW.replace(old, new, 1)
    with pytest.raises(ValueError, match=message):
        load_machines()


def test_other_columns_and_repeated_types_are_refused(table: list[str]) -> None:
    table.append(ROW)
    with pytest.raises(ValueError, match=r"line 3: tinycloud crater\.large stands here twice"):
        load_machines()
    table[0] = HEADER.replace("notes", "remarks")
    with pytest.raises(ValueError, match=r"columns .*remarks.* are not provider"):
        load_machines()


def test_the_bundled_offers_carry_the_facts_of_their_type() -> None:
    offers = {(offer.provider, offer.instance_type): offer for offer in load_bundled_offers(load_gpus())}
    p5, g5g, g7 = (offers["aws", name] for name in ("p5.48xlarge", "g5g.xlarge", "g7.2xlarge"))
    assert (p5.network_bytes_per_s, p5.disk_bytes) == (400e9, 8 * 3_840 * 10**9)
    assert (g5g.network_bytes_per_s, g5g.disk_bytes) == (156_250_000, 0)
    assert (g7.network_bytes_per_s, g7.disk_bytes) == (5e9, None)
    nobody = offers["lambda", "gh200"]
    assert nobody.network_bytes_per_s is nobody.disk_bytes is None
