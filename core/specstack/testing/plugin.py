"""The pytest plugin: tests that ask models and other servers once, and recordings ever after.

A test that uses the fixture `recorder` and hands it to `specstack.from_config(…, recorder=recorder)` (or to
`specstack.assembly.build`) is answered from `tests/integration/recordings`. `--inference-mode` and the
environment choose when something is recorded; see `docs/recordings.md`.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from specstack.recorder.modes import DEFAULT_FOLDER, MODES, Mode, mode_of

if TYPE_CHECKING:
    from specstack.recorder.recorder import Recorder

_RECORDER = pytest.StashKey["Recorder"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("specstack")
    group.addoption(
        "--inference-mode",
        choices=MODES,
        help="Whether models and servers are asked or recordings answer. Default is the environment's "
        "SPECSTACK_TEST_INFERENCE_MODE, else replay.",
    )
    group.addoption("--recordings", type=Path, help="The directory of the recordings.")
    group.addoption(
        "--specstack-provider",
        help="The run config whose providers the conformance kit tests: a file, or a distribution's name.",
    )
    group.addoption("--specstack-id", help="Only this provider of it.")
    group.addoption("--specstack-resource", help="The resource that the conformance kit asks for.")
    parser.addini("specstack_recordings", "The directory of the recordings.", default=str(DEFAULT_FOLDER))


@pytest.fixture(scope="session")
def inference_mode(pytestconfig: pytest.Config) -> Mode:
    """How this run treats models and other servers."""
    try:
        return mode_of(pytestconfig.getoption("inference_mode")) or "replay"
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def recorder(pytestconfig: pytest.Config, inference_mode: Mode) -> Iterator["Recorder | None"]:
    """The recorder of this run; None in live mode."""
    if inference_mode == "live":
        yield None
        return
    from specstack.recorder.recorder import Recorder

    given: Path | None = pytestconfig.getoption("recordings")
    folder = given or pytestconfig.rootpath / str(pytestconfig.getini("specstack_recordings"))
    found = Recorder(inference_mode, folder, import_module("specstack_api.errors"))
    pytestconfig.stash[_RECORDER] = found
    yield found
    del pytestconfig.stash[_RECORDER]
    found.close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before its fixtures are made: calls from here on belong to this test."""
    found = item.config.stash.get(_RECORDER, None)
    if found is not None:
        found.begin(test_name(item.nodeid))


def test_name(nodeid: str) -> str:
    """A test's name among recordings: its file without directories, and what follows."""
    return nodeid.rpartition("/")[2].replace(".py::", ".")


test_name.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]
