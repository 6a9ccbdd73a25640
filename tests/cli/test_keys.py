"""`specstack keys`: what it makes goes into a run config as it is, and lets its key in."""

from typer.testing import CliRunner

from specstack.auth.keys import hash_of
from specstack.cli.main import app
from specstack.config import read_config
from specstack_server import SERVER

HEAD = "version: 2\ndistro_name: t\nproviders: {}\n"


def test_a_new_key_and_its_part_of_the_run_config() -> None:
    done = CliRunner().invoke(app, ["keys", "new", 'ann "the boss": é'])
    assert done.exit_code == 0
    key, snippet = done.stdout.split("\n", 1)
    provider = read_config(HEAD + snippet, "run.yaml", SERVER, {}).stack.server.auth.provider_config
    assert provider is not None and provider.keys is not None
    assert [(one.id, one.hash) for one in provider.keys] == [('ann "the boss": é', hash_of(key))]
    assert key not in snippet
    assert "nobody can show it again" in done.stderr


def test_the_hash_of_a_key() -> None:
    key = "sk-the-key-of-ann-0001"
    done = CliRunner().invoke(app, ["keys", "hash"], input=key + "\n")
    assert (done.exit_code, done.stdout) == (0, hash_of(key) + "\n")


def test_a_key_that_can_be_guessed_gets_no_hash() -> None:
    done = CliRunner().invoke(app, ["keys", "hash"], input="hunter2\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the key has 7 characters, and a key needs 20; `specstack keys new` makes one\n"
    )
