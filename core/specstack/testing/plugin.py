"""The pytest plugin: tests that ask models and other servers once, and recordings ever after.

A test that uses the fixture `recorder` and hands it to `specstack.from_config(…, recorder=recorder)` (or to
`specstack.assembly.build`) is answered from `tests/integration/recordings`. `--inference-mode` and the
environment choose when something is recorded; see `docs/recordings.md`. Tests of the engine itself are marked
`live`; the plugin refuses one that would be answered by recordings after all.
"""

from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from specstack.recorder.modes import DEFAULT_FOLDER, MODES, Mode, mode_of

if TYPE_CHECKING:
    from specstack.recorder.recorder import Recorder

_RECORDER = pytest.StashKey["Recorder"]()
_TEST = pytest.StashKey[str]()
_LIVE = "live"


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
    group.addoption(
        "--specstack-timeout",
        type=float,
        default=600.0,
        help="Seconds that the conformance kit waits for an answer, streams to their end. Default is 600.",
    )
    parser.addini("specstack_recordings", "The directory of the recordings.", default=str(DEFAULT_FOLDER))


def pytest_configure(config: pytest.Config) -> None:
    """The marker of the plugin."""
    config.addinivalue_line(
        "markers", f"{_LIVE}: asks the real model or server, whatever --inference-mode says"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing that is marked as live may be answered by recordings."""
    mixed = [
        item.nodeid
        for item in items
        if item.get_closest_marker(_LIVE) and "recorder" in getattr(item, "fixturenames", ())
    ]
    if mixed:
        raise pytest.UsageError(
            f"marked `{_LIVE}`, and yet it uses the fixture `recorder`, itself or by another fixture: "
            f"{', '.join(mixed)}; take away the marker, or the fixture"
        )


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
    if test := pytestconfig.stash.get(_TEST, ""):
        _begin(found, test)
    yield found
    del pytestconfig.stash[_RECORDER]
    found.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Calls belong to the test that is next, from before its fixtures are made."""
    name = item.config.stash[_TEST] = test_name(item.nodeid)
    if (found := item.config.stash.get(_RECORDER, None)) is not None:
        _begin(found, name)
    yield
    if (found := item.config.stash.get(_RECORDER, None)) is not None:
        # Fixtures that several tests share are made by one of them, which may be another one next time.
        found.ids.restart(name)


def _begin(recorder: "Recorder", test: str) -> None:
    recorder.begin(test)
    recorder.ids.restart(f"{test}/fixtures")


def test_name(nodeid: str) -> str:
    """A test's name among recordings: its file without directories, and what follows."""
    return nodeid.rpartition("/")[2].replace(".py::", ".")


test_name.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]
