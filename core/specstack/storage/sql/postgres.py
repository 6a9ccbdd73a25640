"""Tables in a PostgreSQL database."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from psycopg import Connection as Driver
from psycopg import conninfo

from specstack.storage.sql.base import PATIENCE, SqlBackend
from specstack.storage.sql.schema import COLUMN, VERSIONS, Making

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CONNECTING = 10
"""Seconds that a connection may take."""
_LOCK = 0x5EC57AC5
"""The advisory lock under which tables are made."""
_TAKEN = "23505"


class PostgresSql(SqlBackend):
    """A PostgreSQL database, version 12 or later; `url` is `postgresql://user:password@host/database`."""

    dialect = "postgresql"

    def __init__(self, url: str, making: Making, *, max_connections: int = 5) -> None:
        super().__init__(making, readers=max_connections, writers=max_connections)
        self._url = url
        self._max = max_connections

    @property
    def place(self) -> str:
        """The URL."""
        return self._url

    def applied(self) -> Collection[str]:
        """The revisions in the database."""
        with self._connection() as db:
            if db.execute("select to_regclass(%s)", (VERSIONS,)).fetchone() == (None,):
                return ()
            return [row[0] for row in db.execute(f"select {COLUMN} from {VERSIONS}".encode())]

    def connected(self) -> "Engine":
        """An engine whose connections are asked for a sign of life before each use."""
        from sqlalchemy import create_engine

        return create_engine(
            "postgresql+psycopg://",
            creator=self._connection,
            pool_size=self._max,
            max_overflow=0,
            pool_timeout=PATIENCE,
            # The server may have been restarted: what is asked next must not be asked twice.
            pool_pre_ping=True,
            use_native_hstore=False,
            hide_parameters=True,
        )

    def lock(self, db: "Connection") -> None:
        """Wait for whoever makes tables."""
        db.exec_driver_sql("select pg_advisory_xact_lock(%s)", (_LOCK,))

    def is_taken(self, error: Any) -> bool:
        """Whether a key or a unique column is taken."""
        return error.sqlstate == _TAKEN

    def safe(self, text: str) -> str:
        """Without the URL and its password."""
        try:
            password = str(conninfo.conninfo_to_dict(self._url).get("password") or "")
        except Exception:
            return "the url cannot be read"
        for secret in (self._url, password):
            text = text.replace(secret, "***") if secret else text
        return f"PostgreSQL does not answer as it should: {text}"

    def _connection(self) -> Driver[Any]:
        # A server that is gone without a word is noticed by what stays unacknowledged.
        return Driver.connect(
            self._url, connect_timeout=CONNECTING, tcp_user_timeout=1000 * CONNECTING, keepalives_idle=30
        )
