"""What every SQLite file of ours is: shared by processes, with a write-ahead log."""

import sqlite3
import time

BUSY = 30.0
"""Seconds that a write waits for another process that is writing."""


def write_ahead(db: sqlite3.Connection, script: str = "") -> None:
    """Turn the write-ahead log on and run a script. Raises sqlite3.Error.

    Two processes may open a new file at once, and changing the mode does not wait by itself.
    """
    deadline = time.monotonic() + BUSY
    while True:
        try:
            db.execute("pragma journal_mode = wal")
            db.executescript(script)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
