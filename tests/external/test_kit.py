"""The conformance kit over providers that are not part of the tree, right ones and wrong ones."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from external.conftest import environment, run
from external.test_served import CONFIG

STARLING = Path(__file__).parent / "starling"


def kit(cache: Path, folder: Path, config: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of the kit in `folder`."""
    (folder / "run.yaml").write_text(config)
    command = ["pytest", "-p", "specstack.testing.plugin", "-p", "no:cacheprovider", "-v"]
    asked = ["--pyargs", "specstack.testing.conformance", "--specstack-provider", "run.yaml", *options]
    return subprocess.run(
        [sys.executable, "-m", *command, *asked],
        cwd=folder,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_kit_asks_the_operations_of_an_external_api(cache: Path, tmp_path: Path) -> None:
    done = kit(cache, tmp_path, CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"test_it_answers\[van-\w+\] PASSED", done.stdout), done.stdout
    # The van takes any depot: it has no hook that tells which there are, so nobody holds it to that.
    for one in ("an_unknown_resource_is_refused", "an_unknown_resource_of_the_provider"):
        assert re.search(rf"test_{one}\[van-send_parcel\] PASSED", done.stdout), done.stdout


@pytest.fixture(scope="module")
def starling_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the code of `starling`."""
    folder = tmp_path_factory.mktemp("cache")
    done = run("generate", "--external", str(STARLING), env=environment(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(
    ("wrong", "fails", "why"),
    [
        ("", "", ""),
        ("takes-all-with-it", "test_it_starts_again[s]", "internal_error"),
        ("stop-fails", "test_it_starts_again[s]", "it cannot stop"),
        ("list-fails", "test_it_tells_what_it_has[s]", "it cannot list"),
        ("list-is-none", "test_it_tells_what_it_has[s]", "ListModelsResponse"),
        ("stream-hangs", "test_it_answers_streamed[s-create_chat_completion]", "has not come to its end"),
    ],
)
def test_a_provider_of_others(wrong: str, fails: str, why: str, starling_cache: Path, tmp_path: Path) -> None:
    config = f"""\
version: 2
distro_name: t
external_providers_dir: {STARLING}
providers:
  inference:
    - {{provider_id: s, provider_type: inline::starling, config: {{wrong: "{wrong}"}}}}
"""
    done = kit(starling_cache, tmp_path, config, "--specstack-timeout", "5")
    failed = re.findall(r"(test_\S+) FAILED", done.stdout)
    assert failed == ([fails] if fails else []), done.stdout + done.stderr
    assert why in done.stdout
    assert done.returncode == (1 if fails else 0)
