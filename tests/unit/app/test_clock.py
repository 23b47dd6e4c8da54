from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from optimizer.app.clock import current_time
from providers.errors import JobError


def test_without_an_override_the_clock_is_read_in_utc_to_the_second() -> None:
    before = datetime.now(UTC)
    now = current_time()
    assert now.tzinfo is UTC
    assert now.microsecond == 0
    assert before - timedelta(seconds=1) < now <= datetime.now(UTC)


@pytest.mark.parametrize(
    "override",
    ["2031-05-06T07:08Z", "2031-05-06T09:08+02:00", datetime(2031, 5, 6, 9, 8, 0, 5, timezone(timedelta(hours=2)))],
)
def test_an_override_stands_in_for_the_clock(override: str | datetime) -> None:
    assert current_time(override) == datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize("override", ["yesterday", "2031-05-06T07:08", datetime(2031, 5, 6)])  # noqa: DTZ001 - what is refused
def test_a_moment_that_means_nothing_elsewhere_is_refused(override: str | datetime) -> None:
    with pytest.raises(JobError, match=r"command line: now = .*zone") as caught:
        current_time(override)
    assert caught.value.exit_code == 2
