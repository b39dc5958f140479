"""A real Spark in this process for tests: two threads, tables in a folder, nothing listening on other interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running_spark(warehouse: Path) -> Iterator[Any]:
    """A session; the Java process behind it stays until the tests end, and the next session uses it."""
    from pyspark.sql import SparkSession

    options = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "America/New_York",  # results must not depend on it
        "spark.sql.warehouse.dir": str(warehouse),
        "spark.log.level": "OFF",
    }
    builder = SparkSession.builder.master("local[2]").appName("rai-pipelines-tests")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()
