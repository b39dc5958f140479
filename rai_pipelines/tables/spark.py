"""Tables that Spark holds: `spark:` references, counted in the cluster that the environment's Spark configuration names.

* `spark:TABLE`, `spark:SCHEMA.TABLE`, `spark:CATALOG.SCHEMA.TABLE` (parts may be in backticks)
* `spark:parquet:/absolute/path` or `spark:parquet:s3a://bucket/path`, read with Spark's own connectors
* `spark:SELECT ...` or `spark:WITH ...`: one query. Spark SQL can start programs (TRANSFORM ... USING) and call Java (reflect); a
  datasheet is written by the people under audit, so the analysed plan of a query is looked through before anything of it runs.

Spark needs Java and takes seconds to start. Where a session is active its cluster is used, in a session of our own (UTC; temporary views
of the other session are not seen).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.rows import digest_of_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

PREFIX = "spark:"
PATH_SCHEMES = ("file", "hdfs", "dbfs", "s3a", "s3", "gs", "abfs", "abfss")
_AZURE = ("abfs", "abfss")
_WITHOUT_LOGIN = {
    True: re.compile(r"[^/@:]+@[^/@:]+(?:/[^@]*)?"),  # Azure's CONTAINER@ACCOUNT
    False: re.compile(r"[^/@:]*(?::\d+)?(?:/[^@]*)?"),
}
_PARQUET = "parquet:"
_QUERY = re.compile(r"(?:select|with)\b", re.IGNORECASE)
_NAME = re.compile(r"(?:`[^`]+`|\w+)(?:\.(?:`[^`]+`|\w+)){0,2}")
_REFUSED_NODES = {"CallMethodViaReflection": "calls Java methods", "ScriptTransformation": "starts programs"}


@dataclass(frozen=True)
class SparkTable:
    """What follows `spark:`: a table's name, a query, or `parquet:` and a path."""

    relation: str
    engine: str = "spark"
    ordered: bool = False

    @property
    def shown(self) -> str:
        return f"{PREFIX}{self.relation}"

    def connect(self, memory_limit: str) -> Any:
        """A session of our own in the active cluster, or in the one that Spark's configuration names.

        Raises:
            DataError: Spark or Java is not installed.
        """
        try:
            import ibis
            from pyspark.errors import PySparkRuntimeError
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise DataError(
                "the table is in Spark, which is not installed", where=self.shown, hint="Install rai-pipelines[spark], and Java 17"
            ) from error
        builder = SparkSession.builder.appName("rai-pipelines").config("spark.ui.enabled", "false")  # its web page would be open to everybody
        try:
            session = SparkSession.getActiveSession() or builder.getOrCreate()
        except PySparkRuntimeError as error:
            said = str(error).splitlines()[0][:200]
            raise DataError(f"Spark does not start ({said})", where=self.shown, hint="Check Java and JAVA_HOME") from error
        own = session.newSession()
        backend = ibis.pyspark.connect(own)

        def register(table: Any) -> None:
            own.createDataFrame(table.data.to_pyarrow(table.schema)).createOrReplaceTempView(table.name)

        backend._register_in_memory_table = register  # that of ibis goes through pandas, where a missing text becomes the text NaN
        return backend

    def open(self, backend: Any) -> ir.Table:
        import ibis

        session, view = backend._session, ibis.util.gen_name("rai_table")
        if self.relation.startswith(_PARQUET):
            frame = session.read.parquet(self.relation.removeprefix(_PARQUET))
        elif _QUERY.match(self.relation):
            frame = self._checked(session.sql(f"SELECT * FROM (\n{self.relation}\n)"))  # noqa: S608 (in brackets it can only be a query)
        else:
            frame = session.table(self.relation)
        frame.createOrReplaceTempView(view)
        return backend.table(view)

    def to_arrow(self, backend: Any, expression: Any) -> pa.Table:
        """Spark's own way: the one of ibis goes through pandas, where integers next to a null become doubles."""
        backend._run_pre_execute_hooks(expression)
        found: pa.Table = backend.raw_sql(backend.compile(expression)).toArrow()
        return found.cast(expression.schema().to_pyarrow())

    def batches(self, backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
        """One partition after the other comes to the driver."""
        import pyarrow as pa

        backend._run_pre_execute_hooks(expression)
        schema = expression.schema().to_pyarrow()
        zoned = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.tz is not None]
        left = backend.raw_sql(backend.compile(expression)).toLocalIterator()
        while chunk := [row.asDict() for row in islice(left, rows)]:
            for row in chunk if zoned else ():  # Spark tells instants by this machine's clock, without a zone
                row.update({name: row[name].astimezone(UTC) for name in zoned if row[name] is not None})
            yield pa.RecordBatch.from_pylist(chunk, schema=schema)

    def digest(self, table: Callable[[], ir.Table], run: Callable[[Any], pd.DataFrame]) -> str:
        return digest_of_rows(table(), run)

    def without_secrets(self, text: str) -> str:
        return text

    def is_lost(self, backend: Any) -> bool:
        return False  # Spark repeats lost tasks by itself; a lost driver takes the session along

    def reconnect(self, backend: Any) -> None:
        raise AssertionError("a Spark session is not opened again")

    def _checked(self, frame: Any) -> Any:
        """The analysed, not yet executed query, unless something in it reaches beyond data.

        Raises:
            DataError: it does, or its plan cannot be seen from here.
        """
        if not hasattr(frame, "_jdf"):
            raise DataError("a query over Spark Connect cannot be checked", where=self.shown, hint="Make a view of it and name the view")
        plan = frame._jdf.queryExecution().analyzed().toJSON()
        for node, what in _REFUSED_NODES.items():
            if node in plan:
                raise DataError(f"the query {what}, which a data reference may not", where=self.shown, hint="Make a view of it and name the view")
        return frame


def parse_spark_reference(reference: str, *, name: str) -> SparkTable:
    """What a `spark:` reference names; Spark is not started.

    Raises:
        DataError: it has none of the forms above, or a login in its path. It is not repeated then.
    """
    relation = reference.strip().removeprefix(PREFIX).strip().rstrip(";").rstrip()
    hint = "Write spark:CATALOG.SCHEMA.TABLE, spark:SELECT ..., or spark:parquet:/absolute/path"
    if relation.startswith(_PARQUET):
        path = relation.removeprefix(_PARQUET)
        scheme, mark, rest = path.partition("://")
        if (mark and scheme not in PATH_SCHEMES) or (not mark and not path.startswith("/")):
            raise DataError(f"the {name} reference has a path of a kind that is not supported", where="spark:parquet:…", hint=hint)
        if mark and not _WITHOUT_LOGIN[scheme in _AZURE].fullmatch(rest):
            raise DataError(f"the {name} reference has a login in it", where="spark:parquet:…", hint="Credentials belong in Spark's configuration")
    elif not _QUERY.match(relation) and not _NAME.fullmatch(relation):
        raise DataError(f"the {name} reference is no Spark table that can be read", where=f"{PREFIX}…", hint=hint)
    return SparkTable(relation)
