from __future__ import annotations

import pytest

from support.fuzz_run import RUN
from support.fuzzing import DEEP


@pytest.fixture(autouse=True, scope="session")
def _progress(request: pytest.FixtureRequest) -> None:
    if DEEP:
        plugins = request.config.pluginmanager
        reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")

        def tell(line: str) -> None:
            with capture.global_and_fixture_disabled():
                reporter.write_line(line)
                reporter.flush()

        RUN.tell = tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the fuzz has sent."""
    if not RUN.cases:
        return
    failed = [*terminalreporter.stats.get("failed", ()), *terminalreporter.stats.get("error", ())]
    terminalreporter.section("contract fuzz")
    for line in RUN.summary(sum("tests/contract/" in report.nodeid for report in failed)):
        terminalreporter.write_line(line)
