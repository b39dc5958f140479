"""Tables that PostgreSQL holds: what a `postgresql://` reference means, its address without secrets, and the connection.

A connection that breaks is made anew, so that the query it was answering can be asked again, whole (`TableSource.run`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from rai_pipelines.errors import DataError
from rai_pipelines.tables.rows import digest_of_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

CONNECT_TIMEOUT_S = 10
_LOGIN = r"postgresql://(?:(?P<user>[^/@:]*)(?::(?P<password>[^/@]*))?@)?"
_REFERENCE = re.compile(_LOGIN + r"(?P<host>[^/@?]*)/(?P<database>[^/@?:]*)(?:\?(?P<options>.*?))?::(?P<table>.+)", re.DOTALL)
# A password with / in it must not pass for a database: here the port is a number, and nothing behind the host has an @ or a colon.
_PATH = re.compile(
    _LOGIN + r"(?P<host>[^/@?:]*(?::(?:\d*|\$\{\w+\}))?)/(?P<database>[^/@?:]+)/(?P<table>[^/@?:]+)(?:\?(?P<options>[^@]*))?",
)
ALLOWED_PREFIX = "RAI_DATA_"
_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_SECRET_OPTION = re.compile(r"(?:^|(?<=&))((?:ssl)?password)=([^&]*)", re.IGNORECASE)
_QUERY = re.compile(r"(?:select|with)\b", re.IGNORECASE)
_IDENTIFIER = re.compile(r'"(?:[^"]|"")+"|[^".]+')

# The text of a value must depend on the value alone, and a plain scan must begin at the beginning.
_SESSION = (
    "SET synchronize_seqscans = off; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601'; SET extra_float_digits = 1; SET bytea_output = 'hex'"
)


@dataclass(frozen=True)
class PostgresReference:
    """The parts of `postgresql://[USER[:PASSWORD]@]HOST/DATABASE[?OPTIONS]::TABLE`; the password is in none of the texts it gives out.

    As an origin it holds one table or query of that database.
    """

    user: str
    password: str
    host: str
    database: str
    options: str
    table: str

    def __repr__(self) -> str:
        return f"PostgresReference({self.public!r})"

    @property
    def public(self) -> str:
        """The reference without passwords."""
        user = f"{self.user}@" if self.user else ""
        options = _SECRET_OPTION.sub(r"\1=", self.options)
        return f"postgresql://{user}{self.host}/{self.database}{'?' if options else ''}{options}::{self.table}"

    @property
    def shown(self) -> str:
        """The reference as errors and evidence show it: without user name, password and options."""
        return f"postgresql://{self.host}/{self.database}::{self.table}"

    @property
    def engine(self) -> str:
        """The database, as its reference names it: two tables of it can be read by one query."""
        return self.public.partition("::")[0]

    @property
    def ordered(self) -> bool:
        """A SQL table has no order."""
        return False

    def connect(self, memory_limit: str) -> Any:
        """A backend on the database; its memory is the server's to limit."""
        return connect(self)

    def open(self, backend: Any) -> ir.Table:
        return open_relation(backend, self.table)

    def to_arrow(self, backend: Any, expression: Any) -> pa.Table:
        return backend.to_pyarrow(expression)

    def batches(self, backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
        yield from backend.to_pyarrow_batches(expression, chunk_size=rows)

    def digest(self, table: Callable[[], ir.Table], run: Callable[[Any], pd.DataFrame]) -> str:
        return digest_of_rows(table(), run)

    def is_lost(self, backend: Any) -> bool:
        """Whether the connection is gone. A query that the server refused or cancelled leaves it open."""
        return bool(backend.con.closed)

    def reconnect(self, backend: Any) -> None:
        """A new connection for the same backend; temporary tables went with the old one."""
        if backend.con.closed:
            backend.con = _connection(self)
            backend._post_connect()
            backend._memtables.clear()

    def address(self) -> str:
        """The address to connect to, with `${NAME}` replaced by environment variables.

        Raises:
            DataError: the environment lacks one.
        """
        return _PLACEHOLDER.sub(lambda match: quote(self._value(match[1]), safe=""), self._declared_address())

    def without_secrets(self, text: str) -> str:
        """`text` without passwords and without any value that came from the environment."""
        hidden = {os.environ[name]: f"${{{name}}}" for name in _PLACEHOLDER.findall(self._declared_address()) if os.environ.get(name)}
        for password in (self.password, *(match[1] for match in _SECRET_OPTION.findall(self.options))):
            if password and not _PLACEHOLDER.fullmatch(password):
                hidden[unquote(password)] = "(password)"
        for value in sorted(hidden, key=len, reverse=True):
            for spelling in (value, quote(value, safe="")):
                text = text.replace(spelling, hidden[value])
        return text

    def _declared_address(self) -> str:
        user = f"{self.user}{':' if self.password else ''}{self.password}@" if self.user or self.password else ""
        return f"postgresql://{user}{self.host}/{self.database}{'?' if self.options else ''}{self.options}"

    def _value(self, name: str) -> str:
        if not name.startswith(ALLOWED_PREFIX):  # a datasheet must not choose which of the auditor's secrets is sent to which host
            raise DataError(f"{name} may not stand in an address", where=self.shown, hint=f"Use variables whose names start with {ALLOWED_PREFIX}")
        value = os.environ.get(name)
        if value is None:
            raise DataError(f"the environment has no variable {name}", where=self.shown, hint="Set it where the audit runs")
        return value


def parse_reference(reference: str, *, name: str) -> PostgresReference:
    """The parts of a `postgresql://` reference of the `name` table.

    Raises:
        DataError: it has another form. The reference itself is not repeated then: what looks like a host may be half a password.
    """
    text = reference.strip()
    found = _REFERENCE.fullmatch(text) or _PATH.fullmatch(text)
    if found is None or (found.re is _PATH and _QUERY.match(found["table"])):
        what = "names no table" if "::" not in reference else "is not a PostgreSQL address that can be read"
        raise DataError(
            f"the {name} reference {what}",
            where="postgresql://…",
            hint="Write postgresql://USER:${RAI_DATA_PASSWORD}@HOST:PORT/DATABASE::TABLE, or ::SELECT ..., "
            "and percent-encode / @ : in user and password",
        )
    parts = {key: value or "" for key, value in found.groupdict().items()}
    if found.re is _PATH:
        parts["table"] = unquote(parts["table"])
    return PostgresReference(**parts)


def connect(reference: PostgresReference) -> Any:
    """An Ibis backend on that database. What the address leaves out comes from PGUSER, PGPASSWORD, ~/.pgpass and so on, as libpq does.

    Raises:
        DataError: the environment lacks a variable. psycopg's own errors pass.
    """
    import ibis

    return ibis.postgres.from_connection(_connection(reference))


def _connection(reference: PostgresReference) -> Any:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, **conninfo_to_dict(reference.address()), "autocommit": True}
    connection = psycopg.connect(**options)
    connection.execute(_SESSION)
    return connection


def open_relation(backend: Any, relation: str) -> ir.Table:
    """The table, `schema.table` (each may be in double quotes) or query that `relation` says."""
    text = relation.strip().rstrip(";").rstrip()
    if _QUERY.match(text):
        return backend.sql(text, schema=_schema_of_query(backend, text))
    names = [part[1:-1].replace('""', '"') if part.startswith('"') else part for part in _IDENTIFIER.findall(text)]
    if len(names) not in (1, 2):
        raise ValueError("write TABLE or SCHEMA.TABLE")
    schema = (backend.current_catalog, names[0]) if len(names) == 2 else None  # a bare schema name would be split at its dots
    return backend.table(names[-1], database=schema)


def _schema_of_query(backend: Any, query: str) -> Any:
    """The column types of a query, as the server describes them.

    Ibis would make a temporary view to find out, for which a role that can only read may lack the right (and which ibis 12 cannot drop).
    """
    import ibis

    with backend.con.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({query}\n) AS q LIMIT 0", prepare=True)  # noqa: S608 (a prepared statement is one statement)
        described = [(column.name, column.type_code, cursor.pgresult.fmod(position)) for position, column in enumerate(cursor.description)]
        kinds = {}
        for name, code, modifier in described:
            cursor.execute("SELECT typtype = 'e', format_type(oid, %s) FROM pg_type WHERE oid = %s", (modifier, code))
            is_enum, kind = cursor.fetchone()
            kinds[name] = backend.compiler.type_mapper.from_string("enum" if is_enum else kind)
    return ibis.schema(kinds)
