"""The conformance kit over a provider of an API that is external itself."""

import re
import subprocess
import sys
from pathlib import Path

from external.conftest import environment
from external.test_served import CONFIG


def test_the_kit_asks_the_operations_of_an_external_api(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG)
    command = ["pytest", "-p", "specstack.testing.plugin", "-p", "no:cacheprovider", "-v"]
    kit = ["--pyargs", "specstack.testing.conformance", "--specstack-provider", "run.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", *command, *kit],
        cwd=tmp_path,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"test_it_answers\[van-\w+\] PASSED", done.stdout), done.stdout
    # The van takes any depot: it has no hook that tells which there are, so nobody holds it to that.
    for one in ("an_unknown_resource_is_refused", "an_unknown_resource_of_the_provider"):
        assert re.search(rf"test_{one}\[van-send_parcel\] PASSED", done.stdout), done.stdout
