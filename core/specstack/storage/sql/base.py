"""What SQL backends share: threads, transactions, and tables that are brought up to date before use."""

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from specstack.storage.sql.apart import upgraded_apart
from specstack.storage.sql.insertion import Statement
from specstack.storage.sql.schema import Making, NewerTables, State, compare
from specstack.storage.threads import in_thread
from specstack_wire import Conflict, StorageUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")
Work = Callable[["Connection"], T]

PATIENCE = 60.0
"""Seconds that a call waits for its result; a SQLite file may be written by another process for 30."""
TRIES = (0.05, 0.2, 0.5)
"""Seconds to wait before a look that failed is repeated."""

_log = logging.getLogger("specstack.storage")


def _no_rows(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


# At `debug` it shows each row that is read: prompts and answers. Of statements, engines hide the values.
logging.getLogger("sqlalchemy.engine.Engine").addFilter(_no_rows)


class SqlBackend(ABC):
    """One file or database with tables. Made unopened; the first call opens it.

    Work runs in threads: the drivers of SQLite know nothing else, and SQLAlchemy is imported there, away
    from the event loop, when rows are first read or changed.
    """

    dialect = ""

    def __init__(self, making: Making, *, readers: int, writers: int) -> None:
        self.making = making
        self._threads = readers, writers
        self._opening = asyncio.Lock()
        self._ready = False
        self._engine: Engine | None = None
        self._making_engine = threading.Lock()
        self._readers: ThreadPoolExecutor | None = None
        self._writers: ThreadPoolExecutor | None = None
        self._failing = False

    # -- for the store ---------------------------------------------------------------------

    async def read(self, plan: Callable[[], Work[T]]) -> T:
        """What `plan` gives, done in a transaction that changes nothing; tried again when that fails.

        The plan is made in a thread as well. Raises what it raises, and StorageUnavailable.
        """
        began = asyncio.get_running_loop().time()
        for wait in TRIES:
            try:
                return await self._planned(plan, writes=False)
            except StorageUnavailable:
                # What fails slowly has been waited for already.
                if asyncio.get_running_loop().time() - began > sum(TRIES):
                    raise
                await asyncio.sleep(wait)
        return await self._planned(plan, writes=False)

    async def write(self, plan: Callable[[], Work[T]]) -> T:
        """What `plan` gives, done in a transaction. Raises what that raises, Conflict, StorageUnavailable."""
        return await self._planned(plan, writes=True)

    async def insert(self, plan: Callable[[], Iterable[Statement]]) -> None:
        """Execute the statements that `plan` gives, all or none.

        Raises what that raises, Conflict, StorageUnavailable.
        """
        await self._call(lambda: self.execute(plan()), writes=True)

    # -- for the start and the command line ------------------------------------------------

    async def state(self) -> State:
        """The versions of the tables as they are. Raises StorageUnavailable."""
        return await self._in_thread(self._state)

    async def upgrade(self) -> tuple[str, ...]:
        """Bring the tables up to date; the revisions that were applied. Raises StorageUnavailable."""
        return await self._in_thread(self.upgrade_here, limited=False)

    @property
    def in_use(self) -> bool:
        """Whether it is open."""
        return self._ready

    async def ping(self) -> None:
        """Ask it something small, once. Raises StorageUnavailable."""
        await self._call(self.look, writes=False)

    @property
    def waits_for_use(self) -> bool:
        """Whether a database that is not there is made at the first use, and not at the start."""
        return False

    async def opened(self) -> None:
        """Open it if it is not open yet: its tables are up to date then. Raises StorageUnavailable."""
        if self._ready:
            return
        async with self._opening:
            if not self._ready:
                readers, writers = self._threads
                await self._in_thread(self._open)
                self._readers = ThreadPoolExecutor(readers, f"{self.making.name} reads")
                self._writers = ThreadPoolExecutor(writers, f"{self.making.name} writes")
                self._ready = True

    async def aclose(self) -> None:
        """Close what was opened, after the writes that wait. Closing twice is fine."""
        async with self._opening:
            if not self._ready or self._readers is None or self._writers is None:
                return
            self._ready = False
            await self._in_thread(self.shut, self._writers, limited=False)
            self._readers.shutdown(wait=False)
            self._writers.shutdown(wait=False)

    # -- for each backend ------------------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """What the class is called with, besides what it is made for, to make another one like this."""

    @abstractmethod
    def applied(self) -> Collection[str]:
        """The revisions that the database has, asked of the driver itself."""

    @abstractmethod
    def connected(self) -> "Engine":
        """An engine. Connections of one with the option `writes` are for those."""

    @abstractmethod
    def lock(self, db: "Connection") -> None:
        """Keep other processes from bringing the tables up to date as long as the transaction runs."""

    @abstractmethod
    def is_taken(self, error: Any) -> bool:
        """Whether the driver's error says that a key is taken."""

    @abstractmethod
    def safe(self, text: str) -> str:
        """An error's text without secrets."""

    def look(self) -> None:
        """Ask it something small. Raises the driver's errors."""
        self._run(lambda db: db.exec_driver_sql("SELECT 1").close(), writes=False)

    def execute(self, statements: Iterable[Statement]) -> None:
        """Execute statements in one transaction. Raises ValueError, Conflict, and the driver's errors."""

        def work(db: "Connection") -> None:
            for text, values in statements:
                # Past SQLAlchemy's handling of each value: they are in the driver's form already.
                db.exec_driver_sql(text, tuple(values))

        self._run(work, writes=True)

    def shut(self) -> None:
        """Close connections. More may be made later."""
        with self._making_engine:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    # -- inside ----------------------------------------------------------------------------

    async def _planned(self, plan: Callable[[], Work[T]], *, writes: bool) -> T:
        return await self._call(lambda: self._run(plan(), writes), writes=writes)

    async def _call(self, work: Callable[[], T], *, writes: bool) -> T:
        try:
            await self.opened()
            found = await self._in_thread(work, self._writers if writes else self._readers)
        except StorageUnavailable as error:
            if not self._failing:
                self._failing = True
                _log.error("the SQL backend '%s': %s", self.making.name, error.reason)
            raise
        if self._failing:
            self._failing = False
            _log.info("the SQL backend '%s' works again", self.making.name)
        return found

    async def _in_thread(
        self,
        work: Callable[[], T],
        executor: ThreadPoolExecutor | None = None,
        *,
        limited: bool = True,
    ) -> T:
        try:
            async with asyncio.timeout(PATIENCE if limited else None):
                return await in_thread(executor, lambda: self._guarded(work))
        except TimeoutError:
            raise self._fault(f"no answer within {PATIENCE:g} s") from None

    def _guarded(self, work: Callable[[], T]) -> T:
        """The result of `work`, with what the database does not allow as one of our errors."""
        try:
            return work()
        except (ValueError, Conflict, StorageUnavailable):
            raise
        except NewerTables as error:
            raise StorageUnavailable(str(error)) from None
        except ImportError as error:
            raise self._fault(f"the package {error.name} is missing") from error
        except Exception as error:
            # Drivers have families of errors of their own, and this module imports none of them.
            if isinstance(error, OSError) or type(error).__module__.split(".")[0] in _DRIVERS:
                raise self._fault(str(getattr(error, "orig", None) or error)) from error
            raise

    def _fault(self, text: str) -> StorageUnavailable:
        return StorageUnavailable(self.safe(" ".join(text.split())))

    def _run(self, work: Work[T], writes: bool) -> T:
        from sqlalchemy.exc import DataError, IntegrityError

        try:
            with self._connected().execution_options(writes=writes).begin() as db:
                return work(db)
        except IntegrityError as error:
            raise self.refused(error.orig) from None
        except DataError as error:
            raise untaken(error.orig) from None

    def refused(self, error: Any) -> Exception:
        """What the driver's error about keys, or about what must not be null, is here."""
        if self.is_taken(error):
            return Conflict("a row with that key is there already")
        return ValueError(f"the tables do not allow it: {_head(error)}")

    def _connected(self) -> "Engine":
        with self._making_engine:
            if not self._ready:
                raise self.closed()
            if self._engine is None:
                self._engine = self.connected()
            return self._engine

    def closed(self) -> StorageUnavailable:
        """The error of who comes too late."""
        return self._fault("it is closed")

    def _state(self) -> State:
        return compare(self.making.branches, self.applied())

    def _open(self) -> None:
        state = self._state()
        if state.newer:
            raise NewerTables(state, self.making.branches)
        if state.missing:
            if not self.making.migrate:
                raise StorageUnavailable(f"its tables {state.behind(self.making.branches)}")
            if not upgraded_apart(self):
                self.upgrade_here()

    def upgrade_here(self) -> tuple[str, ...]:
        """Bring the tables up to date; the revisions that were applied. Raises the driver's errors."""
        from specstack.storage.sql.migrate import upgrade

        engine = self.connected()
        try:
            with engine.execution_options(writes=True).begin() as db:
                self.lock(db)
                return upgrade(db, self.making.branches)
        finally:
            engine.dispose()


def untaken(error: Any) -> ValueError:
    """What the driver's error about a value is here."""
    return ValueError(f"the tables do not take it: {_head(error)}")


def _head(error: Any) -> str:
    """The first line: those behind it may show the values."""
    return str(error).partition("\n")[0]


_DRIVERS = frozenset({"sqlalchemy", "sqlite3", "psycopg", "psycopg_binary", "alembic"})
