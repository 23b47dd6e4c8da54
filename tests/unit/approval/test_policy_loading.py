from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.approval.policy import lint_policy, load_policy
from optimizer.approval.policy_fields import money_micro
from optimizer.approval.policy_notes import notes_of
from optimizer.approval.records import Assurance
from providers.errors import JobError
from tests.fixtures.gate_world import BASE, BUDGETS, policy_of

RULE = """
[[rule]]
name = "no-spot"
level = "deny"
when = '{when}'
message = "not on spot"
"""


def problems(text: str, *, base: str = BASE) -> list[str]:
    return [str(one) for one in lint_policy((base + text).encode(), where="p.toml")[1]]


def changed(old: str, new: str, *, text: str = BUDGETS) -> list[str]:
    assert old in BASE + text
    return problems("", base=(BASE + text).replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"tunefare.policy/v1"', '"tunefare.policy/v2"', "p.toml: schema = 'tunefare.policy/v2': tunefare.policy/v1"),
        ('"USD"', '"EUR"', "p.toml: currency = 'EUR': USD"),
        ('up_to = "500.00"', 'up_to = "25.00"', "p.toml: tier 2: up_to = '25.00': more than the tier before (25.00)"),
        ('up_to = "25.00"', 'up_to = "-1"', "p.toml: tier 1: up_to = '-1': dollars such as"),
        ('up_to = "25.00"', "up_to = -1", "p.toml: tier 1: up_to = -1: dollars such as"),
        ('up_to = "25.00"', "up_to = nan", "p.toml: tier 1: up_to = NaN: dollars such as"),
        ('up_to = "25.00"', "up_to = inf", "p.toml: tier 1: up_to = Infinity: dollars such as"),
        ('up_to = "25.00"', "up_to = true", "p.toml: tier 1: up_to = true: dollars such as"),
        ('up_to = "25.00"', "up_to = 1e-7", "p.toml: tier 1: up_to = 0.0000001: dollars such as"),
        ('up_to = "25.00"', 'up_to = "25.0000001"', "p.toml: tier 1: up_to = '25.0000001': dollars such as"),
        ('up_to = "25.00"', 'up_to = "1e3"', "p.toml: tier 1: up_to = '1e3': dollars such as"),
        ('up_to = "25.00"', 'up_to = "1_000"', "p.toml: tier 1: up_to = '1_000': dollars such as"),
        ('up_to = "25.00"', 'up_to = "٢٥"', "p.toml: tier 1: up_to = '٢٥': dollars such as"),
        ('up_to = "25.00"', "up_to = 1e999999999", "p.toml: tier 1: up_to = 1E+999999999: dollars such as"),
        ("approvals = 0", "aprovals = 0", "p.toml: tier 1: aprovals = 0: unknown key; did you mean approvals?"),
        ("approvals = 0", "approvals = 99", "p.toml: tier 1: approvals = 99: a whole number from 0 to 16"),
        ("approvals = 0", "", "p.toml: tier 1: approvals = not given: a value: this key is required"),
        ('from = ["leads"]', 'from = ["boss"]', "p.toml: tier 2: from = 'boss': one of finance, leads"),
        ('from = ["leads"]', "", "p.toml: tier 2: from = not given: the groups that approve"),
        ("approvals = 0", 'approvals = 0\nfrom = ["leads"]', "p.toml: tier 1: from = ['leads']: no groups"),
        ("approvals = 1", 'approvals = 1\nassurance = "word"', "tier 2: assurance = 'word': os-user, ci-oidc or"),
        ('finance = ["finance@example.com"]', "finance = []", "p.toml: groups.finance = []: at least one member"),
        (
            'leads = ["lead@example.com", "second@example.com"]\nfinance = ["finance@example.com"]',
            'leads = ["one@example.com"]\nfinance = ["one@example.com"]',
            "p.toml: tier 3: approvals = 2: at most 1: there are no more members in leads, finance",
        ),
        ('leads = ["lead@', 'leads = ["LEAD@example.com", "lead@', "groups.leads = 'lead@example.com': each name once"),
        ('parent = "org"', 'parent = "nobody"', "p.toml: budget 2: parent = 'nobody': one of org, team"),
        ('parent = "org"', 'parent = "team"', "p.toml: budget 2: parent = 'team': no ring: team would be a parent"),
        ('limit = "5000.00"', 'limit = "5000.00"\nparent = "team"', "p.toml: budget 1: parent = 'team': no ring"),
        ('id = "team"', 'id = "org"', "p.toml: budget: id = 'org': each name once"),
        ('id = "team"', "id = \"x'; DROP TABLE budgets; --\"", "p.toml: budget 2: id = \"x'; DROP TABLE budgets; --\""),
        ("soft = 0.8", "soft = 0", "p.toml: budget 2: soft = 0: a share above 0 and at most 1"),
        ("soft = 0.8", "soft = 1.01", "p.toml: budget 2: soft = 1.01: a share above 0 and at most 1"),
        ('period = "month"', 'period = "week"', "p.toml: budget 1: period = 'week': month or total"),
    ],
)  # fmt: skip
def test_every_error_names_file_key_value_and_what_is_allowed(old: str, new: str, said: str) -> None:
    found = changed(old, new)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[limit]]\nname = "x"', "p.toml: limit 1 = 'x': at least one limit: this one limits nothing"),
        ('[[limit]]\nname = "x"\nallow = {}', "limits nothing"),
        ('[[limit]]\nname = "tier"\nmax_gpus = 1', "p.toml: name = 'tier': another name"),
        ('[[limit]]\nname = "x"\nmax_gpus = 1\n[[limit]]\nname = "x"\nmax_gpus = 2', "name = 'x': each name once"),
        ('[[limit]]\nname = "x"\nallow = { gpu = [] }', "limit 1: allow.gpu = []: at least one name"),
        (
            '[[limit]]\nname = "x"\ndeny = { gpu = ["A100-SMX-80GB"] }',
            "deny.gpu = 'A100-SMX-80GB': a GPU like A100-SXM",
        ),
        (
            '[[limit]]\nname = "x"\ndeny = { cpu = ["y"] }',
            "limit 1: deny.cpu = 'a list': unknown key; did you mean gpu?",
        ),
        ('[[limit]]\nname = "x"\ndeny = { pricing_model = ["spto"] }', "pricing_model 1 = 'spto': on_demand, spot or"),
        ('[[limit]]\nname = "x"\nmax_duration = "1.5s"', "limit 1: max_duration = '1.5s': a span such as"),
        ('[[limit]]\nname = "x"\nmax_duration = "0s"', "limit 1: max_duration = '0s': a span such as"),
        ('[[limit]]\nname = "x"\nmax_price_age = "soon"', "limit 1: max_price_age = 'soon': a span such as"),
        (
            '[[limit]]\nname = "x"\nleast_basis = { memory = "guess" }',
            "least_basis.memory = 'guess': measured, published",
        ),
        ('[[limit]]\nname = "\\u001b[31m"\nmax_gpus = 1', "limit 1: name = '[31m': a name of letters"),
        (
            '[[ci]]\nname = "w"\nissuer = "https://ci.example.com"\naudience = "a"\nrepository = "o/r"',
            "ci 1 = 'w': an env",
        ),
        ('[[ci]]\nname = "w"\nissuer = "http://ci.example.com"', "ci 1: issuer = 'http://ci.example.com': an https://"),
        ("[defaults]\nplan_max_age = 7", "p.toml: defaults.plan_max_age = 7: a span such as"),
        ("[defaults]\ndrift_bps = { on_demand = -1 }", "defaults.drift_bps.on_demand = -1: a whole number from 0"),
        ("[groups]\n", "file = 'p.toml': readable TOML ("),
        ('[[rule]]\nname = "x"\nlevel = "warn"', "rule 1: level = 'warn': advise, approve or deny"),
    ],
)
def test_errors_in_further_tables(text: str, said: str) -> None:
    found = problems(text)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe", "readable TOML"),
        (b"x = " + b"[" * 5000, "nested without end"),
        (b"x = " + b"9" * 5000, "readable TOML"),
        (b"#" * (2**20 + 1), "at most 1048576 bytes"),
        (b"a = 1\na = 2", "readable TOML"),
        (b'schema = "tunefare.policy/v1"\nschema = "tunefare.policy/v1"', "readable TOML"),
        (b"\x00", "readable TOML"),
        (b"", "schema = not given"),
        (b"[tier]", "tier = 'a table': a list"),
        (b"groups = 1", "groups = 1: a table"),
        (b"tier = [1]", "tier 1 = 1: a table"),
        (b"{}", "readable TOML"),
    ],
)
def test_hostile_bytes_are_one_line_and_no_policy(data: bytes, said: str) -> None:
    policy, found = lint_policy(data, where="p.toml")
    assert policy is None
    assert any(said in str(one) for one in found), found
    assert all("\n" not in str(one) and "\x1b" not in str(one) and len(str(one)) < 2000 for one in found)
    with pytest.raises(JobError) as caught:
        load_policy(data, where="p.toml")
    assert caught.value.exit_code == 2


def test_no_tier_and_several_problems_are_all_named() -> None:
    found = problems("tier = []\nlimit = [{ name = 'a' }, { name = 'b' }]", base=BASE.partition("[[tier]]")[0])
    assert len(found) == 3
    assert "at least one table [[tier]]" in found[0]


@pytest.mark.parametrize(
    ("value", "micro"),
    [("0", 0), ("25.00", 25_000_000), ("0.000001", 1), (3, 3_000_000), ("1000000000", 10**15)],
)
def test_money_is_exact(value: object, micro: int) -> None:
    assert money_micro(value) == micro


@pytest.mark.parametrize(
    "value", ["1000000000.000001", "", " 1", "1.", ".5", "+1", "$5", "1,000", "0x10", None, 1.5, b"1"]
)
def test_what_is_no_money_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="dollars such as"):
        money_micro(value)


def test_the_digest_is_of_the_meaning() -> None:
    plain = policy_of(BUDGETS)
    commented = load_policy(("# a comment\n" + BASE.replace("25.00", "25")).encode() + BUDGETS.encode(), where="x.toml")
    said = policy_of(BUDGETS + '[defaults]\nplan_max_age = "168h"\nallow_list_price = false\n')
    assert plain.sha256 == commented.sha256 == said.sha256
    shuffled = BASE.replace('"lead@example.com", "second@example.com"', '"second@example.com", "lead@example.com"')
    assert policy_of(BUDGETS, base=shuffled).sha256 == plain.sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("25.00", "25.000001"),
        ("approvals = 1", "approvals = 1\nrequester_may_approve = true"),
        ("approvals = 1", "approvals = 1\nassurance = 'os-user'"),
        ("second@", "third@"),
        ("soft = 0.8", "soft = 0.81"),
        ('parent = "org"', ""),
        ('limit = "1000.00"', 'limit = "1000.01"'),
    ],
)
def test_any_change_of_meaning_changes_the_digest(old: str, new: str) -> None:
    assert old in BASE + BUDGETS
    assert policy_of(base=(BASE + BUDGETS).replace(old, new, 1)).sha256 != policy_of(BUDGETS).sha256


def test_the_file_of_signers_is_part_of_the_digest() -> None:
    text = (BASE.replace('currency = "USD"', 'currency = "USD"\nallowed_signers = "keys/signers"')).encode()
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 42 + "B"
    with pytest.raises(JobError, match="a file that can be read with the policy"):
        load_policy(text, where="p.toml")
    files = {"keys/signers": f"lead@example.com {key}\n".encode()}
    one = load_policy(text, where="p.toml", read_file=files.__getitem__)
    assert one.allowed_signers_data == files["keys/signers"]
    assert one.file_digests["keys/signers"] == hashlib.sha256(files["keys/signers"]).hexdigest()
    two = load_policy(text, where="p.toml", read_file=lambda _: files["keys/signers"] + b"# more\n")
    assert one.sha256 != two.sha256
    assert "group leads: second@example.com has no key in keys/signers" in notes_of(one)
    with pytest.raises(JobError, match="allowed_signers = 'keys/signers'"):
        load_policy(text, where="p.toml", read_file=lambda _: b"nonsense\n")


@pytest.mark.parametrize("path", ["../signers", "/etc/passwd", "a/../../b", "a//b", "-x", "a\\b", ".hidden/..", "~/x"])
def test_a_policy_names_no_file_outside_its_folder(path: str) -> None:
    text = BASE.replace('currency = "USD"', f"currency = 'USD'\nallowed_signers = '{path}'")
    with pytest.raises(JobError, match="beside the policy"):
        load_policy(text.encode(), where="p.toml", read_file=lambda _: pytest.fail("was read"))


def test_defaults_are_those_of_the_documented_example() -> None:
    values = policy_of().defaults
    example = load_policy(
        (Path(__file__).parents[3] / "docs" / "examples" / "policy.toml").read_bytes(), where="policy.toml"
    ).defaults
    stated = {"ledger_id": example.ledger_id, "least_basis": {"memory": "derived", "throughput": "derived"}}
    assert values.document() | stated == example.document()
    assert values.document()["least_basis"] == {"memory": "assumed", "throughput": "assumed"}
    assert policy_of().tiers[1].assurance is Assurance.SSH_SIGNATURE


def test_hints() -> None:
    text = BASE.replace("approvals = 1", "approvals = 1\nassurance = 'os-user'\nrequester_may_approve = true")
    notes = notes_of(policy_of(base=text.replace("approvals = 2", "approvals = 2\ndistinct = false") + 'new = ["x"]'))
    for words in ("ledger_id is not set", "os-user is advisory", "approves for themselves", "one person may give all",
                  "there is no [[budget]]", "group new approves nothing", "allowed_signers names no file"):  # fmt: skip
        assert any(words in one for one in notes), words


def test_no_rule_no_library() -> None:
    # `check` runs in every pull request: what it does not need it does not load.
    script = (
        "import sys\n"
        "from tests.fixtures.gate_world import BUDGETS, judged, policy_of\n"
        "judged(policy_of(BUDGETS))\n"
        "heavy = {'celpy', 'lark', 'jwt', 'pandas', 'scipy', 'numpy', 'boto3', 'google', 'typer'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_rule_without_the_library_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celpy", None)
    (found,) = problems(RULE.format(when='action.pricing_model == "spot"'))
    assert "pip install 'tunefare[cel]'" in found
