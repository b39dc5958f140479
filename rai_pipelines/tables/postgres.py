"""What a `postgresql://` data reference means: its address without secrets, the connection, and rows that are told apart by content.

A SQL table has no order. Whatever depends on which row is which (the digest, a sample) therefore goes by a hash of the row's values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

CONNECT_TIMEOUT_S = 10
BUCKET_DIGITS = 3  # 4,096 buckets of row hashes: few enough to fetch, small enough to sort
_ROW, _COPY, _DRAW = "__rai_row", "__rai_copy", "__rai_draw"

_REFERENCE = re.compile(
    r"postgresql://(?:(?P<user>[^/@:]*)(?::(?P<password>[^/@]*))?@)?(?P<host>[^/@?]*)/(?P<database>[^/@?:]*)(?:\?(?P<options>.*?))?::(?P<table>.+)",
    re.DOTALL,
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
    """The parts of `postgresql://[USER[:PASSWORD]@]HOST/DATABASE[?OPTIONS]::TABLE`; the password is in none of the texts it gives out."""

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
    found = _REFERENCE.fullmatch(reference.strip())
    if found is None:
        what = "names no table" if "::" not in reference else "is not a PostgreSQL address that can be read"
        raise DataError(
            f"the {name} reference {what}",
            where="postgresql://…",
            hint="Write postgresql://USER:${PASSWORD}@HOST:PORT/DATABASE::TABLE, or ::SELECT ..., and percent-encode / @ : in user and password",
        )
    return PostgresReference(**{key: value or "" for key, value in found.groupdict().items()})


def connect(reference: PostgresReference) -> Any:
    """An Ibis backend on that database. What the address leaves out comes from PGUSER, PGPASSWORD, ~/.pgpass and so on, as libpq does.

    Raises:
        DataError: the environment lacks a variable. psycopg's own errors pass.
    """
    import ibis
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, **conninfo_to_dict(reference.address()), "autocommit": True}
    connection = psycopg.connect(**options)
    connection.execute(_SESSION)
    return ibis.postgres.from_connection(connection)


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


def digest_of_rows(table: ir.Table, run: Callable[[Any], pd.DataFrame]) -> str:
    """`rows-sha256:` over column names, types and the multiset of rows: the same content in any order has the same digest.

    The rows are hashed and combined inside the engine; at most 4,096 hashes leave it. It costs about as much as sorting
    the table once (10 s for a million rows on two busy cores).
    """
    hashed = table.select(row=_sha256(_row_text(table)))
    hashed = hashed.mutate(bucket=hashed.row.substr(0, BUCKET_DIGITS))
    buckets = hashed.group_by("bucket").aggregate(rows=hashed.count(), content=_sha256(hashed.row.group_concat("", order_by=hashed.row)))
    found = run(buckets)
    content = sorted((str(bucket), int(rows), str(digest)) for bucket, rows, digest in found[["bucket", "rows", "content"]].itertuples(index=False))
    schema = [[name, str(kind.copy(nullable=True))] for name, kind in table.schema().items()]
    return "rows-" + digest_of({"schema": schema, "buckets": [list(item) for item in content]})


def draw_rows(table: ir.Table, rows: int, *, seed: int) -> ir.Table:
    """A simple random sample of at most `rows` rows, in random order: those with the smallest hash of (seed, content, number among equal rows).

    It depends on content and seed alone, so it is the same in another database with the same rows.
    """
    import ibis

    keyed = table.mutate(**{_ROW: _sha256(_row_text(table))})
    keyed = keyed.mutate(**{_COPY: ibis.row_number().over(ibis.window(group_by=_ROW, order_by=_ROW)).cast("string")})
    keyed = keyed.mutate(**{_DRAW: _sha256(ibis.literal(f"{seed}/") + keyed[_ROW] + "/" + keyed[_COPY])})
    return keyed.order_by(_DRAW).limit(rows).drop(_ROW, _COPY, _DRAW)


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


def _row_text(table: ir.Table) -> Any:
    """A row as one text; two rows have the same text only when they have the same values (lengths come first, null is its own sign)."""
    import ibis

    text = ibis.literal("")
    for column in table.columns:
        value = ibis.literal("") + table[column].cast("string")  # an enumeration counts as text for ibis, but only "" || makes it text
        text = text + ibis.ifelse(value.isnull(), "~", value.length().cast("string") + ":" + value)
    return text


def _sha256(text: Any) -> Any:
    """The SHA-256 of a text, as 64 hex digits, by PostgreSQL's own functions."""
    import ibis

    builtin = ibis.udf.scalar.builtin
    as_bytes = builtin(lambda text, encoding: None, name="convert_to", signature=(("string", "string"), "binary"))
    digest = builtin(lambda content: None, name="sha256", signature=(("binary",), "binary"))
    as_hex = builtin(lambda content, form: None, name="encode", signature=(("binary", "string"), "string"))
    return as_hex(digest(as_bytes(text, "UTF8")), "hex")
