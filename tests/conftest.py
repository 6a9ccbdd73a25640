"""No test sees what another one, or the developer's own server, has stored."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["specstack.testing.plugin"]

# Every reply of every server that a test starts is checked against the spec.
os.environ.setdefault("SPECSTACK_VALIDATE_REPLIES", "1")


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For servers that serve several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECSTACK_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of servers that this test starts."""
    folder = tmp_path / "specstack-home"
    monkeypatch.setenv("SPECSTACK_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """What a test logs to is closed after it, and threads that outlive it must not write there."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = [
        one for one in root.handlers if one in before or type(one) is not logging.StreamHandler
    ]
