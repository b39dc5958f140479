"""A governance database of each kind, migrated: what holds on one has to hold on the other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines_tests.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'governance.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"governance_{zlib.crc32(str(tmp_path).encode())}"
    return server.url(name, name, server.create_database(name), driver="+psycopg2")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    made = make_engine(database_url)
    upgrade(made)
    yield made
    made.dispose()
