"""Where real senders have to be there, one that is missing is a failure: a skipped story looks like one that was told."""

import os
from collections.abc import Generator

import pytest

NEEDED = "FIRSTFIVE_NEED_SENDERS"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was skipped has failed, where `FIRSTFIVE_NEED_SENDERS` is set."""
    report = yield
    if report.skipped and os.environ.get(NEEDED):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{why.removeprefix('Skipped: ')} ({NEEDED} is set: install it, or leave that out)"
    return report
