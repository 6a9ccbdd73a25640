"""The log: levels of categories, text and JSON, ids of calls, and no secrets."""

import datetime
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from specstack import logs
from specstack.config import read_config
from specstack.log_format import Categories
from specstack.logs import LogSettings
from specstack.startup import StartupError
from specstack.underway import note_call
from specstack_server import SERVER
from specstack_server.telemetry import TELEMETRY
from specstack_wire import RequestContext

CATEGORIES = TELEMETRY.categories
TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging as it was, after the test."""
    monkeypatch.setattr(logs, "_style", None)
    handlers = logging.getLogger().handlers[:]
    names = ["", *(name for one in CATEGORIES.values() for name in (*one.loggers, *one.libraries))]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names[1:]:
        # Other tests run uvicorn, which sets levels too.
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logs.redactor.know(())


def effective(name: str) -> str:
    return logging.getLevelName(logging.getLogger(name).getEffectiveLevel()).lower()


def set_up(**settings: Any) -> None:
    logs.set_up(LogSettings(**settings), CATEGORIES)


@pytest.mark.parametrize(
    ("level", "ours", "libraries", "access"),
    [
        ("debug", "debug", "debug", "debug"),
        ("info", "info", "warning", "warning"),
        ("warning", "warning", "warning", "warning"),
        ("error", "error", "error", "error"),
    ],
)
@pytest.mark.parametrize("categories", [CATEGORIES, None], ids=["with", "before the config is read"])
def test_libraries_are_quiet_below_debug(
    level: str, ours: str, libraries: str, access: str, categories: Any
) -> None:
    logs.set_up(LogSettings(level), categories)
    assert [effective(f"specstack{name}") for name in ("", ".http", ".new.part")] == (
        [ours] * 3 if categories else [ours, effective("specstack.http"), ours]
    )
    assert [effective(name) for name in ("library", "uvicorn", "psycopg.pool")] == [libraries] * 3
    if categories:
        assert effective("specstack.access") == access


def test_a_category_has_its_own_level_with_the_libraries_in_it() -> None:
    set_up(level="warning", levels={"storage": "debug", "http": "error", "access": "info"})
    assert effective("specstack.storage") == effective("psycopg.pool") == "debug"
    assert effective("specstack.http.anything") == "error"
    assert effective("specstack.access") == "info"
    assert effective("specstack") == effective("specstack.auth") == effective("other") == "warning"


def test_every_logger_of_this_project_has_a_category() -> None:
    """Those under `server` are named there: nothing gets in by being called `specstack.something`."""
    of = Categories(CATEGORIES).of
    found: dict[str, str] = {}
    tools = ROOT / "core/specstack/testing"
    for path in [*(ROOT / "core").rglob("*.py"), *(ROOT / "providers").rglob("*.py")]:
        if tools in path.parents:
            continue
        for match in re.finditer(r'getLogger\(\s*f?"(specstack[^"]*)"', path.read_text()):
            found[match[1].split("{")[0].rstrip(".")] = str(path.relative_to(ROOT))
    assert len(found) > 8
    server = CATEGORIES["server"].loggers
    astray = {name: where for name, where in found.items() if of(name) == "server" and name not in server}
    assert astray == {}, "name their loggers in spec/telemetry.yaml"


def test_text_is_one_line_with_the_ids_of_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    set_up()
    log = logging.getLogger("specstack.any")
    log.info("hello %s", "there\nWARNING specstack.auth: forged")
    ctx = RequestContext("req_1", trace=f"00-{TRACE}-b7ad6b7169203331-01")
    note_call(ctx)
    log.info("in a call", extra={"tries": 3})
    log.info("request req_1 failed", extra={"request_id": "req_1"})
    del ctx
    log.info("the call is over")
    out, err = capsys.readouterr()
    lines = [line[9:] for line in err.splitlines()]
    assert out == ""
    assert lines == [
        "INFO    specstack.any: hello there\\nWARNING specstack.auth: forged",
        f"INFO    specstack.any: in a call (request_id=req_1 trace_id={TRACE} tries=3)",
        f"INFO    specstack.any: request req_1 failed (trace_id={TRACE})",
        "INFO    specstack.any: the call is over",
    ]


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(style="json", levels={"libraries": "info"})
    ctx = RequestContext("req_1", trace=f"00-{TRACE}-b7ad6b7169203331-01")
    note_call(ctx)
    logging.getLogger("specstack.tables.model").warning("ü\n%d", 5, extra={"tries": 3, "where": Path("/x")})
    try:
        raise ValueError("of it")
    except ValueError:
        logging.getLogger("specstack.providers.mine").exception("failed")
    logging.getLogger("stranger").info("passing")
    first, second, third = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    at = datetime.datetime.fromisoformat(first.pop("time"))
    assert abs(at - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=60)
    assert first == {
        "level": "warning",
        "category": "registry",
        "logger": "specstack.tables.model",
        "message": "ü\n5",
        "request_id": "req_1",
        "trace_id": TRACE,
        "tries": 3,
        "where": "/x",
    }
    assert (second["category"], second["level"]) == ("providers", "error")
    assert second["exception"].startswith("Traceback") and second["exception"].endswith("ValueError: of it")
    assert third["category"] == "libraries"


@pytest.mark.parametrize(
    ("env", "settings"),
    [
        ({}, LogSettings("info", "text", {"http": "error"})),
        ({"SPECSTACK_LOG": "debug"}, LogSettings("debug", "text", {"http": "error"})),
        (
            {"SPECSTACK_LOG": " all=warning; http = debug,access=INFO;"},
            LogSettings("warning", "text", {"http": "debug", "access": "info"}),
        ),
        ({"SPECSTACK_LOG_FORMAT": "JSON"}, LogSettings("info", "json", {"http": "error"})),
    ],
)
def test_the_environment_wins(env: dict[str, str], settings: LogSettings) -> None:
    assert logs.from_environment(LogSettings(levels={"http": "error"}), env, CATEGORIES) == settings


def test_wrong_variables_are_told_at_once() -> None:
    env = {"SPECSTACK_LOG": "htpp=debug;auth=loud;chatty", "SPECSTACK_LOG_FORMAT": "xml"}
    with pytest.raises(StartupError) as caught:
        logs.from_environment(LogSettings(), env, CATEGORIES)
    assert caught.value.lines == (
        "SPECSTACK_LOG: there is no log category 'htpp'; did you mean 'http'?",
        "SPECSTACK_LOG: 'loud' is no level; there are: debug, error, info, warning",
        "SPECSTACK_LOG: 'chatty' is no level; there are: debug, error, info, warning",
        "SPECSTACK_LOG_FORMAT: 'xml' is no format; there are: json, text",
    )


CONFIG = """
version: 2
distro_name: t
logging: {level: error, format: json, categories: {http: debug}}
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config:
        base_url: http://me:canary-password@h/v1
        api_key: canary-key-1
        headers: {x-a: canary-header}
server:
  auth:
    provider_config: {type: api_keys, plain_keys: "sk-canary-caller-000001, canary-caller-00000000002"}
"""


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_secret_of_the_config_or_of_the_call_reaches_the_log(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read_config(CONFIG, "run.yaml", SERVER, {})
    logs.set_up_for(config, SERVER, {"SPECSTACK_LOG_FORMAT": style})
    assert effective("specstack.http.x") == "debug" and effective("specstack") == "error"
    ctx = RequestContext("req_1", provider_data={"api_key": "canary-data", "deep": [{"x": "canary-deep"}]})
    note_call(ctx)
    log = logging.getLogger("specstack.http")
    secrets = [*re.findall(r"(?:sk-)?canary-[a-z]+(?:-\d+)?", CONFIG), "canary-data", "canary-deep"]
    for secret in secrets:
        log.info("it was %s, {'k': '%s'}", secret, secret)
        log.info("added", extra={"what": {"of": [secret]}, "password": "canary-unknown"})
    headers = {
        "Authorization": "Bearer canary.of.a.caller",
        "x-api-key": "canary-of-a-caller",
        "Proxy-Authorization": "Basic Y2FuYXJ5canary",
        "cookie": "canary=1",
    }
    log.info("headers %s", headers)
    log.info("raw %s", [(name.lower().encode(), value.encode()) for name, value in headers.items()][:1])
    log.info("GET https://me:canary@host/x?api_key=canary&x=1")
    log.info("the key sk-canary-123456789 is wrong")
    log.info('{"api_key": "canary-1", "access_token":"canary-2"}')
    try:
        raise RuntimeError(f"cannot call with {secrets}")
    except RuntimeError:
        log.exception("failed")
    err = capsys.readouterr().err
    assert [line for line in err.splitlines() if "canary" in line] == []
    assert err.count("********") > 2 * len(secrets)
    assert "cannot call with" in err and "req_1" in err


def test_what_is_no_secret_stays() -> None:
    text = "token counts: 5 tokens; password policy; ask-me-later; http://host/a@b; 3 keys"
    assert logs.redactor.clean(text) == text
