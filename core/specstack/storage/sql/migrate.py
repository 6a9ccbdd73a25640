"""Bringing tables up to date with Alembic."""

from collections.abc import Iterable
from importlib import resources

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from specstack.storage.sql.schema import VERSIONS, Branch, NewerTables, compare


def upgrade(db: Connection, branches: Iterable[Branch]) -> tuple[str, ...]:
    """Apply what is missing in the transaction of `db`; the revisions, in order.

    The caller holds the lock that keeps other processes from doing the same. Raises NewerTables.
    """
    known = tuple(branches)
    folders = sorted({str(resources.files(branch.package)) for branch in known})
    script = ScriptDirectory(folders[0], version_locations=folders)
    applied: list[str] = []

    def steps(heads: tuple[str, ...], context: MigrationContext) -> Iterable[RevisionStep]:
        state = compare(known, heads)
        if state.newer:
            raise NewerTables(state, known)
        for revisions in state.missing.values():
            for revision in revisions:
                found = script.get_revision(revision)
                assert found is not None
                applied.append(revision)
                yield MigrationStep.upgrade_from_script(script.revision_map, found)

    # SQLite, too, makes tables within transactions: either all of this happens or nothing.
    options = {"version_table": VERSIONS, "transactional_ddl": True, "fn": steps}
    context = MigrationContext.configure(connection=db, opts=options)
    with Operations.context(context):
        context.run_migrations()
    return tuple(applied)
