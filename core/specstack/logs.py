"""Logging to standard error: levels per category, text or JSON, no secrets."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from specstack.config import load_reference
from specstack.config_schema import close_to
from specstack.descriptors import GeneratedServer, LogCategory, TelemetrySpec
from specstack.log_format import Categories, CleanRecords, JsonFormat, TextFormat, unknown_category
from specstack.redaction import Redactor, secrets_of
from specstack.startup import StartupError

if TYPE_CHECKING:
    from specstack.config import RunConfig

Style = Literal["text", "json"]

LEVELS_VARIABLE = "SPECSTACK_LOG"
STYLE_VARIABLE = "SPECSTACK_LOG_FORMAT"
ALL = "all"
_LEVELS = ("debug", "info", "warning", "error")
_STYLES = ("text", "json")

redactor = Redactor()
"""Cleans every message of this process."""
_style: Style | None = None
_processes = False


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and how. `levels` are those of categories that have one of their own.

    With `processes` each message says from which process it comes.
    """

    level: str = "info"
    style: Style = "text"
    levels: Mapping[str, str] = field(default_factory=dict[str, str])
    processes: bool = False


def set_up(settings: LogSettings, categories: Mapping[str, LogCategory] | None = None) -> None:
    """Log to standard error from now on, in place of whatever was set up before.

    Without `categories` there is one level for us, and warnings alone of libraries.
    """
    global _style, _processes
    _style, _processes = settings.style, settings.processes
    known = categories or {"server": LogCategory(loggers=("specstack",), libraries=("",))}
    handler = logging.StreamHandler(sys.stderr)
    if settings.style == "json":
        handler.setFormatter(JsonFormat(redactor, Categories(known), settings.processes))
    else:
        handler.setFormatter(TextFormat(redactor, settings.processes))
    logging.getLogger().handlers[:] = [handler]
    made = logging.getLogRecordFactory()
    if isinstance(made, CleanRecords):
        # Our own formats do it.
        logging.setLogRecordFactory(made.make)
    for name, category in known.items():
        ours = settings.levels.get(name) or _later(settings.level, category.default)
        theirs = settings.levels.get(name) or _later(settings.level, "warning")
        for logger in category.loggers:
            logging.getLogger(logger).setLevel(ours.upper())
        for logger in category.libraries:
            logging.getLogger(logger).setLevel(theirs.upper())


def set_up_for(config: "RunConfig", server: GeneratedServer, env: Mapping[str, str] | None = None) -> None:
    """Log as a run config and the environment say, and keep their secrets. Raises StartupError."""
    spec: TelemetrySpec | None = None if server.telemetry is None else load_reference(server.telemetry)
    categories: Mapping[str, LogCategory] = {} if spec is None else spec.categories
    settings = config.stack.logging
    processes = config.stack.server.workers > 1
    wanted = LogSettings(settings.level, settings.format, settings.categories or {}, processes)
    keep_secrets(config)
    set_up(from_environment(wanted, os.environ if env is None else env, categories), categories)


def keep_secrets(config: "RunConfig", owner: object | None = None) -> None:
    """Blot the secrets of a run config out of log and errors: while `owner` lives, or for good."""
    redactor.know(secrets_of(config.stack, *(one.config for one in config.providers)), owner)


def guard_others() -> None:
    """Where the log is not ours but our host's, take secrets out of our records before anybody has them."""
    made = logging.getLogRecordFactory()
    if _style is None and not isinstance(made, CleanRecords):
        logging.setLogRecordFactory(CleanRecords(redactor, made))


def style() -> Style | None:
    """How the log looks; None where this process has set up none, or one of its own."""
    return _style


def process() -> int | None:
    """The number of this process, for messages that are to say it."""
    return os.getpid() if _processes else None


def from_environment(
    settings: LogSettings, env: Mapping[str, str], categories: Mapping[str, LogCategory]
) -> LogSettings:
    """The settings with what `SPECSTACK_LOG` and `SPECSTACK_LOG_FORMAT` say. Raises StartupError.

    The first holds `category=level` pairs with `;` or `,` between them; `all=level`, or a level alone, is
    for the whole log.
    """
    level, levels, faults = settings.level, dict(settings.levels), list[str]()
    for pair in env.get(LEVELS_VARIABLE, "").replace(",", ";").split(";"):
        name, equals, wanted = (part.strip().lower() for part in pair.partition("="))
        if not name:
            continue
        if not equals:
            name, wanted = ALL, name
        if wanted not in _LEVELS:
            faults.append(f"{LEVELS_VARIABLE}: '{wanted}' is no level; {close_to(wanted, _LEVELS)}")
        elif name == ALL:
            level = wanted
        elif name in categories:
            levels[name] = wanted
        else:
            faults.append(f"{LEVELS_VARIABLE}: {unknown_category(name, categories)}")
    chosen = env.get(STYLE_VARIABLE, "").strip().lower() or settings.style
    if chosen not in _STYLES:
        faults.append(f"{STYLE_VARIABLE}: '{chosen}' is no format; {close_to(chosen, _STYLES)}")
    if faults:
        raise StartupError(*faults)
    return LogSettings(level, cast("Style", chosen), levels, settings.processes)


def _later(level: str, other: str | None) -> str:
    """The higher of two levels; who wants to debug gets everything."""
    if other is None or level == "debug":
        return level
    return max(level, other, key=_LEVELS.index)
