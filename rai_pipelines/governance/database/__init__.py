"""Where governance is kept: SQLite by default, PostgreSQL by URL, one schema, versioned by Alembic. Rows here, meaning in the modules above."""
