"""What the log level means for us and for libraries."""

import logging
from collections.abc import Iterator

import pytest

from specstack import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was, after the test."""
    ours, root = logging.getLogger("specstack"), logging.getLogger()
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    ours.setLevel(own)


@pytest.mark.parametrize(
    ("level", "ours", "libraries"),
    [
        ("debug", logging.DEBUG, logging.DEBUG),
        ("info", logging.INFO, logging.WARNING),
        ("warning", logging.WARNING, logging.WARNING),
        ("error", logging.ERROR, logging.ERROR),
    ],
)
def test_libraries_are_quiet_below_debug(level: str, ours: int, libraries: int) -> None:
    logs.set_up(level)
    assert logging.getLogger("specstack.any").getEffectiveLevel() == ours
    assert logging.getLogger("library").getEffectiveLevel() == libraries


def test_a_message_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    logs.set_up("info")
    logging.getLogger("specstack.any").info("hello %s", "there")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("INFO    specstack.any: hello there\n")
