"""Both kinds of governance database, for every test of this room."""

from rai_pipelines_tests.governance.databases import database_url, engine, schemas

__all__ = ["database_url", "engine", "schemas"]
