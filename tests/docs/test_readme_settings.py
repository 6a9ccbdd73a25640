"""The settings that the README shows are right, and do what it says."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from specstack.config import read_config
from specstack_server import SERVER

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
HEAD = "version: 2\ndistro_name: t\nproviders: {}\n"


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[1].strip() for block in BLOCKS])
def test_it_is_a_part_of_a_run_config(block: str) -> None:
    read_config(HEAD + block, "README.md", SERVER, {})


def test_the_quota_that_is_shown() -> None:
    (block,) = (one for one in BLOCKS if "quota" in one)
    stack = read_config(HEAD + block, "README.md", SERVER, {}).stack
    found = stack.server.quota
    assert [len(one or ()) for one in (found.anonymous, found.authenticated, found.tenant)] == [1, 2, 1]
    assert stack.storage.stores.quota.backend == "shared", indent(block, "  ")


def test_links_into_generated_pages_lead_to_headings() -> None:
    text = (ROOT / "README.md").read_text()
    for file, anchor in re.findall(r"\]\((generated/[^)#]+)#([^)]+)\)", text):
        assert f'"{anchor}"' in (ROOT / file).read_text(), (file, anchor)
