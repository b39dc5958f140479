"""A governance database of each kind, migrated: what holds on one has to hold on the other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines_tests.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'governance.db'}"
    return request.getfixturevalue("schemas")(f"governance_{zlib.crc32(str(tmp_path).encode())}")  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def schemas(postgres: PostgresServer) -> Callable[[str], str]:
    """Addresses of empty schemas in one database: a database for each test costs a fifth of a second and 7 MB."""
    password = postgres.create_database("governance")
    connection = postgres.connect("governance")

    def make(name: str) -> str:
        connection.execute(f"CREATE SCHEMA {name} AUTHORIZATION governance")
        return f"{postgres.url('governance', 'governance', password, driver='+psycopg2')}?options=-csearch_path%3D{name}"

    return make


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    made = make_engine(database_url)
    upgrade(made)
    yield made
    made.dispose()
