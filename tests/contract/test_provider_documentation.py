"""What the documentation says of the price sources is what they say of themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from optimizer.app.settings import KNOWN_VARIABLES
from providers.documentation import DOCUMENT_MARKS, ENVIRONMENT_MARKS, environment_block, provider_table, replaced
from providers.registry import load_providers

ROOT = Path(__file__).parents[2]
PROVIDERS = load_providers()
ENVIRONMENT = (ROOT / ".env.example").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")


def test_the_table_is_as_generated() -> None:
    assert replaced(PAGE, DOCUMENT_MARKS, provider_table(PROVIDERS)) == PAGE, "run make provider-docs"


def test_the_example_file_is_as_generated() -> None:
    assert replaced(ENVIRONMENT, ENVIRONMENT_MARKS, environment_block(PROVIDERS)) == ENVIRONMENT, (
        "run make provider-docs"
    )


def test_the_example_file_names_every_variable_that_is_read_and_no_other() -> None:
    written = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=", ENVIRONMENT, re.MULTILINE))
    read = {item.name for provider in PROVIDERS for item in provider.info.variables}
    assert written == {*read, *KNOWN_VARIABLES, "NO_COLOR"}


def test_every_variable_is_explained_on_the_line_above() -> None:
    lines = ENVIRONMENT.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^# [A-Z][A-Z0-9_]*=", line):
            assert lines[number - 1].startswith("# "), line


def test_the_policy_is_json_and_holds_what_the_source_names() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    actions = json.loads(text)["Statement"][0]["Action"]
    (aws,) = (provider.info for provider in PROVIDERS if provider.info.name == "aws")
    assert all(action.split(":")[1] in aws.permissions for action in actions)


def test_a_file_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        replaced("nothing", DOCUMENT_MARKS, "")
