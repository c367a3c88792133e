"""An example of a Spark job that Landfall starts: the batch's CSV files become partitioned Parquet.

Glue reads the objects through the reader role, and writes with the job's own. Its own arguments:

    --output s3://bucket/prefix/     where to write, in the analytics account
    --schema "day INT, weather STRING"   optional: the columns and their types; else all are text
    --partition-by COLUMN            the column that becomes the Hive partition, `COLUMN=value/`

A batch that is written twice is there once: all that it writes lies in a folder of its own,
`batch=ID/COLUMN=value/`, which the batch's next run replaces as a whole. Partitions first, with
Spark's dynamic overwrite, would not do: it replaces only the partitions that the second run writes
to, and an object that was overwritten in between can have moved its rows to others.

While a run replaces the folder, and after one that failed there, the folder is missing or in part;
it is whole once it holds `_SUCCESS`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import landfall

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDER = "batch"
"""The folder's column, by which who reads the output knows the batch."""


class JobError(RuntimeError):
    """The job cannot do what it was asked to; starting it again would not help."""


def main() -> None:
    """Convert the batch; print one line of JSON that says what was done."""
    from pyspark.sql import SparkSession

    with landfall.batch() as batch:
        convert(batch, SparkSession.builder.getOrCreate())


def convert(batch: landfall.Batch, spark: SparkSession) -> None:
    partition_by = batch.arguments.get("partition-by", "")
    if not partition_by:
        raise JobError("failed to start: `--partition-by` is missing")
    target = target_of(batch)
    reader = batch.spark(spark).read.option("header", True).option("enforceSchema", False)
    if "schema" in batch.arguments:
        reader = reader.schema(batch.arguments["schema"])
    # A field that is not of its type would be null otherwise, and nobody would know.
    rows = reader.option("mode", "FAILFAST").csv(batch.paths)
    if partition_by not in rows.columns:
        raise JobError(f"failed to partition the batch: there is no column `{partition_by}`")
    if FOLDER in rows.columns:
        raise JobError(f"failed to partition the batch: it has a column `{FOLDER}` already")
    # Else the job's `--conf` could say `dynamic`, and partitions of an earlier run would stay.
    writer = rows.write.mode("overwrite").option("partitionOverwriteMode", "static")
    writer.partitionBy(partition_by).parquet(target)
    summary = {
        "batch_id": batch.batch_id,
        "objects": len(batch.objects),
        "rows_written": spark.read.schema(rows.schema).parquet(target).count(),
        "output": target,
    }
    print(json.dumps(summary), flush=True)


def target_of(batch: landfall.Batch) -> str:
    """The batch's own folder below `--output`."""
    output = batch.arguments.get("output", "")
    if not output.startswith(("s3://", "s3a://")):
        raise JobError("failed to start: `--output` is not `s3://bucket/prefix/`")
    return f"{output.rstrip('/')}/{FOLDER}={quote(batch.batch_id, safe='')}"


if __name__ == "__main__":
    main()
