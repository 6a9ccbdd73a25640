"""How a message of the log looks: one line of text, or one JSON object."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from specstack.config_schema import close_to
from specstack.descriptors import LogCategory
from specstack.redaction import Redactor
from specstack.underway import current_call

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_OURS = "specstack"
_LINE_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r"})


class Categories:
    """Which category a logger belongs to: the one that names it, or the nearest one above it."""

    def __init__(self, categories: Mapping[str, LogCategory]) -> None:
        self._owners = {
            logger: name for name, one in categories.items() for logger in (*one.loggers, *one.libraries)
        }
        self._known: dict[str, str] = {}

    def of(self, logger: str) -> str:
        """The category's name; the logger's own where nothing claims it."""
        found = self._known.get(logger)
        if found is None:
            found = self._known[logger] = self._find(logger)
        return found

    def _find(self, logger: str) -> str:
        above = logger
        while above:
            if above in self._owners:
                return self._owners[above]
            above = above.rpartition(".")[0]
        return self._owners.get("", logger)


def unknown_category(name: str, categories: Mapping[str, LogCategory]) -> str:
    """What is wrong with the name of a category that there is not."""
    return f"there is no log category '{name}'; {close_to(name, categories)}"


class TextFormat(logging.Formatter):
    """Time, level, logger and message in a line. Ids that the message leaves out stand behind it.

    An exception's traceback is on the lines below. With `processes` the process stands before the logger.
    """

    def __init__(self, redactor: Redactor, processes: bool = False) -> None:
        process = "[%(process)d] " if processes else ""
        super().__init__(f"%(asctime)s %(levelname)-7s {process}%(name)s: %(message)s", "%H:%M:%S")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return self._redactor.clean(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class calls it so
        """The line without a traceback."""
        record.message = record.message.translate(_LINE_BREAKS)
        line = super().formatMessage(record)
        ids = {key: one for key, one in _ids(record).items() if one not in line}
        added = [f"{key}={value}" for key, value in {**ids, **_fields(record)}.items()]
        return f"{line} ({' '.join(added).translate(_LINE_BREAKS)})" if added else line


class JsonFormat(logging.Formatter):
    """An object with time, level, category, logger, message, ids, further fields and the exception.

    With `processes` the process is the field `pid`.
    """

    def __init__(self, redactor: Redactor, categories: Categories, processes: bool = False) -> None:
        super().__init__()
        self._processes = processes
        self._redactor = redactor
        self._categories = categories

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        found: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "category": self._categories.of(record.name),
            "logger": record.name,
            "message": record.getMessage(),
            **({"pid": record.process} if self._processes else {}),
            **_ids(record),
            **_fields(record),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            found["stack"] = record.stack_info
        return json.dumps(self._redactor.clean_all(found), ensure_ascii=False)


class CleanRecords:
    """Makes log records as `make` does, and takes secrets out of those of our loggers.

    A record that has none stays as it is. Of one that has, the message is put together, and a traceback made
    text, for its exception would repeat the secret to whoever formats it.
    """

    def __init__(self, redactor: Redactor, make: Callable[..., logging.LogRecord]) -> None:
        self._redactor = redactor
        self.make = make

    def __call__(self, *args: Any, **more: Any) -> logging.LogRecord:
        """One record."""
        record = self.make(*args, **more)
        if record.name.partition(".")[0] != _OURS:
            return record
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # Whoever formats it reports the fault.
            return record
        clean = self._redactor.clean(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            traceback = logging.Formatter().formatException(record.exc_info)
            clean = self._redactor.clean(traceback)
            if clean != traceback:
                record.exc_info, record.exc_text = None, clean
        return record


def rfc3339(seconds: float) -> str:
    """`2026-11-22T18:05:09.123Z` for a Unix time."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def _ids(record: logging.LogRecord) -> dict[str, str]:
    """The ids of the call that a message belongs to."""
    found: dict[str, str] = {}
    call = current_call()
    request_id = getattr(record, "request_id", None) or (call.request_id if call else None)
    if request_id:
        found["request_id"] = request_id
    if call is not None and call.trace:
        found["trace_id"] = call.trace[3:35]
    return found


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller of the logger has added with `extra`."""
    return {
        key: value for key, value in record.__dict__.items() if key not in _STANDARD and key != "request_id"
    }
