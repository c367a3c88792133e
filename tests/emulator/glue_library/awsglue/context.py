"""`GlueContext`, as far as a script needs it to get its SparkSession."""

from __future__ import annotations

from typing import Any


class GlueContext:
    """Holds the SparkSession of a SparkContext."""

    def __init__(self, spark_context: Any) -> None:
        from pyspark.sql import SparkSession

        self.spark_session = SparkSession(spark_context)
