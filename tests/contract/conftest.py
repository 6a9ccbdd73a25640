from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.fuzzing import Answers


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Collects how one operation's run was answered; fails the run if it never got through."""
    collected = Answers()
    yield collected
    collected.check()
