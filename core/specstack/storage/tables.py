"""Whether the tables of a server's SQL backends are those that it knows: asked before it serves."""

from collections.abc import Collection

from specstack.startup import StartupError
from specstack.storage.sql.base import SqlBackend
from specstack.storage.sql.schema import NewerTables
from specstack.storage.stores import Storage
from specstack_wire import StorageUnavailable


async def prepare_tables(storage: Storage, file: str, apis: Collection[str]) -> None:
    """Bring the tables of `apis` up to date where the run config allows it.

    A SQLite file that is not there yet is made when a row is first kept: until then nothing is paid for it.
    Raises StartupError, with one line that says what to do.
    """
    for name in storage.sql_backends(apis):
        await _prepare(storage.sql_backend(name), f"{file}: storage.backends.{name}", file)


async def _prepare(backend: SqlBackend, where: str, file: str) -> None:
    making = backend.making
    try:
        state = await backend.state()
        if state.newer:
            raise StartupError(f"{where}: {NewerTables(state, making.branches)}")
        if not state.missing:
            return
        if not making.migrate:
            message = f"its tables {state.behind(making.branches)}"
            raise StartupError(f"{where}: {message}; run: specstack db upgrade {file}")
        if not backend.waits_for_use:
            await backend.upgrade()
    except StorageUnavailable as error:
        raise StartupError(f"{where}: {error.reason}") from None
