"""Open the governance database, refuse one whose schema is not this version's, and bring it there when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from rai_pipelines.errors import DatabaseError
from rai_pipelines.governance.database.tables import APPEND_ONLY, metadata
from rai_pipelines.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
READING = "rai_reading"  # the execution option of a connection that only reads
BUSY_MS = 30_000  # how long a writer waits for another one on SQLite


def open_database(url: str) -> sa.Engine:
    """The database at `url`, whose schema is this version's.

    Raises:
        DatabaseError: it cannot be reached, or its schema is older or newer.
    """
    engine = make_engine(url)
    found, wanted = current_revision(engine), newest_revision()
    if found != wanted:
        shown = address_of(engine)
        raise DatabaseError(f"is at schema {found or 'none'}, this version needs {wanted}", where=shown, hint="Run: rai db upgrade")
    return engine


def open_governance(settings: Settings) -> sa.Engine:
    """The database that the settings name. The embedded one, which nobody else manages, is made and brought up to date when it is opened.

    Raises:
        DatabaseError: as `open_database`.
    """
    if settings.governance_url is not None:
        return open_database(settings.governance_url)
    engine = make_engine(settings.governance_database)
    if current_revision(engine) != newest_revision():
        upgrade(engine)
    return engine


def make_engine(url: str) -> sa.Engine:
    """An engine for `url`; nothing is asked of the database yet.

    Raises:
        DatabaseError: the URL is none, or names another kind of database than SQLite or PostgreSQL.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise DatabaseError("is no database URL", where="RAI_GOVERNANCE_URL", hint="Use sqlite:///PATH or postgresql+psycopg2://…") from error
    name = parsed.get_backend_name()
    if name == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg2"), pool_pre_ping=True)
    if name != "sqlite":
        raise DatabaseError(f"is a {name} database", where="RAI_GOVERNANCE_URL", hint="Use sqlite:///PATH or postgresql+psycopg2://…")
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def address_of(engine: sa.Engine) -> str:
    """The database's URL as it may be shown: without the password, and without options, among which drivers take passwords too."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


def reading(engine: sa.Engine) -> sa.Connection:
    """A connection that only reads: on SQLite it waits for no writer, and keeps none out."""
    return engine.connect().execution_options(**{READING: True})


@contextmanager
def answering(engine: sa.Engine) -> Iterator[None]:
    """Say a database that goes away in the middle in this project's words: nothing of the transaction at hand was written.

    Raises:
        DatabaseError: it did not answer, or was locked for longer than half a minute.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise _unreachable(engine, error) from error


def upgrade(engine: sa.Engine) -> str:
    """Bring the schema to this version's; returns the revision. Safe to repeat, and to run in two processes at once.

    Raises:
        DatabaseError: the database refuses, or is newer than this version.
    """
    known = {script.revision for script in _scripts().walk_revisions()}
    found = current_revision(engine)
    shown = address_of(engine)
    if found is not None and found not in known:
        raise DatabaseError(
            f"is at schema {found}, which this version does not know", where=shown, hint="Install the version that made it, or a newer one"
        )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":  # one migration at a time
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7240113)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise _unreachable(engine, error) from error
    return newest_revision()


def grant(engine: sa.Engine, role: str) -> None:
    """Let a PostgreSQL role work with the tables without owning them: it can add to the ledger, and change or delete nothing there.

    Raises:
        DatabaseError: not PostgreSQL, or there is no such role.
    """
    shown = address_of(engine)
    if engine.dialect.name != "postgresql":
        raise DatabaseError("has no roles", where=shown, hint="Use PostgreSQL where the ledger has to be safe from who writes it")
    quoted = engine.dialect.identifier_preparer.quote_identifier(role)
    try:
        with engine.begin() as connection:
            for table in metadata.sorted_tables:
                rights = "SELECT, INSERT" if table.name in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
                connection.exec_driver_sql(f"GRANT {rights} ON {table.name} TO {quoted}")
                for column in table.columns:  # rows get their numbers from a sequence, which has rights of its own
                    sequence = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))).scalar()
                    if sequence is not None:
                        connection.exec_driver_sql(f"GRANT USAGE ON SEQUENCE {sequence} TO {quoted}")
            connection.exec_driver_sql(f"GRANT SELECT ON alembic_version TO {quoted}")
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"does not let {role!r} in ({type(error).__name__})", where=shown, hint="Create the role first: CREATE ROLE … LOGIN"
        ) from error


def current_revision(engine: sa.Engine) -> str | None:
    """The revision that the database is at; None when it has no schema.

    Raises:
        DatabaseError: it cannot be reached.
    """
    try:
        with reading(engine) as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise _unreachable(engine, error) from error


def newest_revision() -> str:
    """The revision that this version needs."""
    return str(_scripts().get_current_head())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _unreachable(engine: sa.Engine, error: SQLAlchemyError) -> DatabaseError:
    shown = address_of(engine)
    return DatabaseError(f"does not answer ({type(error).__name__})", where=shown, hint="Check RAI_GOVERNANCE_URL and the server, then try again")


def _prepare_sqlite(connection: object, _: object) -> None:
    """Readers beside a writer, durable commits; transactions are begun by `_begin_sqlite`, not by the driver at the first write."""
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the write lock at once, unless it only reads: two writers that both read first would deadlock."""
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READING) else "BEGIN IMMEDIATE")
