"""The governance database: migrated, checked at start, append-only where it has to be; the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DatabaseError as RefusedByDatabase

from rai_pipelines.errors import DatabaseError
from rai_pipelines.governance.database.engine import (
    answering,
    current_revision,
    grant,
    make_engine,
    newest_revision,
    open_database,
    reading,
    upgrade,
)
from rai_pipelines.governance.database.tables import APPEND_ONLY, Moment, ledger_entries, metadata
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines_tests.governance.office import Office
from rai_pipelines_tests.postgres import PostgresServer

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_a_database_without_the_schema_is_refused_and_says_what_to_run(database_url: str) -> None:
    with pytest.raises(DatabaseError, match=r"schema none.*rai db upgrade") as caught:
        open_database(database_url)
    assert "***" in str(caught.value) or "sqlite" in str(caught.value)


def test_migrations_make_the_tables_that_the_code_knows_and_can_be_run_again(engine: sa.Engine, database_url: str) -> None:
    assert upgrade(engine) == newest_revision() == current_revision(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    open_database(database_url).dispose()


def test_a_schema_of_a_newer_version_is_refused(engine: sa.Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (lambda: open_database(database_url), lambda: upgrade(engine)):
        with pytest.raises(DatabaseError, match="9999"):
            attempt()


def _some(kind: object) -> object:
    if isinstance(kind, Moment):
        return NOW
    return date(2026, 12, 1) if isinstance(kind, sa.Date) else "1" if isinstance(kind, sa.String) else 1


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}"])
def test_nobody_changes_or_deletes_what_is_append_only(engine: sa.Engine, table: str, statement: str) -> None:
    columns = metadata.tables[table].columns
    values = {name: _some(column.type) for name, column in columns.items()}
    with engine.begin() as connection:
        connection.execute(metadata.tables[table].insert().values(**values))
    column = next(name for name, found in columns.items() if isinstance(found.type, sa.String | sa.Text))
    with pytest.raises(RefusedByDatabase, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement.format(table, f"{column} = 'x'")))


def test_the_role_that_writes_the_ledger_cannot_update_delete_or_lift_the_protection(postgres: PostgresServer) -> None:
    owner_password = postgres.create_database("ledger_owner")
    writer_password = postgres.create_database("ledger_writer")
    with postgres.connect() as connection:
        connection.execute("GRANT CONNECT ON DATABASE ledger_owner TO ledger_writer")
    owner = make_engine(postgres.url("ledger_owner", "ledger_owner", owner_password))
    upgrade(owner)
    grant(owner, "ledger_writer")
    writer = open_database(postgres.url("ledger_owner", "ledger_writer", writer_password))
    Ledger(writer).append(Happening("verdict", "system:audit", {}))
    for statement in (
        "UPDATE ledger_entries SET content = 'x'",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
        "DROP TABLE ledger_entries",
    ):
        with pytest.raises(RefusedByDatabase, match=r"permission denied|must be owner"), writer.begin() as connection:
            connection.exec_driver_sql(statement)
    with pytest.raises(DatabaseError, match="does not let"):
        grant(owner, "nobody_there")
    writer.dispose()
    owner.dispose()


def test_the_role_that_writes_can_do_all_that_the_gate_does(postgres: PostgresServer, tmp_path: Path) -> None:
    owner_password = postgres.create_database("gate_owner")
    writer_password = postgres.create_database("gate_writer")
    with postgres.connect() as connection:
        connection.execute("GRANT CONNECT ON DATABASE gate_owner TO gate_writer")
    owner = make_engine(postgres.url("gate_owner", "gate_owner", owner_password))
    upgrade(owner)
    grant(owner, "gate_writer")
    writer = open_database(postgres.url("gate_owner", "gate_writer", writer_password))
    office = Office(writer, tmp_path)
    assert office.approve(office.audited(), "validator", "risk-owner").standing.state is GateState.APPROVED
    for table in set(metadata.sorted_tables) - {ledger_entries}:
        numbered = isinstance(table.columns[0].type, sa.Integer) and table.columns[0].name == "id"
        with writer.begin() as connection:
            connection.execute(table.insert().values({column.name: _some(column.type) for column in list(table.columns)[numbered:]}))
    writer.dispose()
    owner.dispose()


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url"])
def test_other_databases_are_refused_by_name(url: str) -> None:
    with pytest.raises(DatabaseError, match="sqlite:///PATH"):
        make_engine(url)


@pytest.mark.parametrize(
    "url", ["postgresql://someone:hush@127.0.0.1:1/governance", "postgresql://127.0.0.1:1/governance?user=someone&password=hush&sslpassword=hush"]
)
def test_a_server_that_is_not_there_is_said_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseError, match="does not answer") as caught:
        open_database(url)
    assert "hush" not in str(caught.value) and "127.0.0.1:1/governance" in str(caught.value)


def test_roles_are_for_postgresql(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="has no roles"):
        grant(make_engine(f"sqlite:///{tmp_path / 'g.db'}"), "writer")


def test_a_reader_waits_for_no_writer_and_keeps_none_out(engine: sa.Engine) -> None:
    ledger = Ledger(engine)
    with engine.begin() as writing:
        ledger.append_within(writing, Happening("verdict", "system:audit", {}))
        with reading(engine) as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(ledger_entries)).scalar() == 0, "what is not committed is not seen"
    with reading(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ledger_entries)).scalar() == 1
        ledger.append(Happening("verdict", "system:audit", {}))


def test_a_database_that_goes_away_in_the_middle_is_said_in_our_words(engine: sa.Engine) -> None:
    with pytest.raises(DatabaseError, match="does not answer"), answering(engine), reading(engine) as connection:
        connection.exec_driver_sql("SELECT * FROM not_there")
