"""An example of a Glue Spark job: it turns the batch's CSV files into partitioned Parquet.

It reads the objects as the reader role and writes with the job's own role. Its own arguments:

    --output s3://bucket/prefix/         where to write, in the analytics account
    --schema "day INT, weather STRING"   optional: the columns and their types; else all are text
    --partition-by COLUMN                the column that becomes the Hive partition, `COLUMN=value/`

However often a batch is written, its rows are there once. The job writes everything into a folder
of the batch's own, `batch=ID/COLUMN=value/`, and the batch's next run replaces that folder as a
whole. Partitions first, with Spark's dynamic overwrite, would not work: that replaces only the
partitions that the second run writes to. If an object was overwritten in the meantime, its rows may
have moved to other partitions.

While a run replaces the folder, or after it failed there, the folder is missing or incomplete. It
is complete once it holds `_SUCCESS`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import landfall

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FOLDER = "batch"
"""The folder's column. It tells readers of the output which batch a row is from."""
UNREADABLE = "_landfall_unreadable"
"""The column for the text of a row that doesn't fit the other columns. The job never writes it."""
ROW = "a row does not fit the columns and their types"
UNFIT = {
    ROW: f"{ROW}, as the header or `--schema` defines them",
    "CSV header does not conform": "a file's header differs from `--schema`, or the first file's",
}
"""Texts in Spark's messages that show that the input is at fault, and the job's own texts."""


class JobError(RuntimeError):
    """The job cannot do its work, and starting it again would not help."""


def main() -> None:
    """Converts the batch if this run holds it."""
    from pyspark.sql import SparkSession

    # Glue seems to call a Spark run that exits FAILED, whatever the code, so nothing exits here.
    with landfall.batch(exit=False) as batch:
        if batch.claimed:
            convert(batch, SparkSession.builder.getOrCreate())


def convert(batch: landfall.Batch, spark: SparkSession) -> None:
    """Writes the batch's folder, and prints one line of JSON that sums up the work."""
    partition_by = batch.arguments.get("partition-by", "")
    if not partition_by:
        raise JobError("failed to start: `--partition-by` is missing")
    target = target_of(batch)
    rows = read(batch, spark)
    if partition_by not in rows.columns:
        raise JobError(f"failed to partition the batch: there is no column `{partition_by}`")
    if FOLDER in rows.columns:
        raise JobError(f"failed to partition the batch: it already has a column `{FOLDER}`")
    fit = checked(rows, partition_by)
    # Otherwise the job's `--conf` could choose `dynamic`, which keeps an earlier run's partitions.
    writer = fit.write.mode("overwrite").option("partitionOverwriteMode", "static")
    batch.fence()  # Stops a run that still goes on although Landfall has seen it end.
    try:
        writer.partitionBy(partition_by).parquet(target)
    except Exception as error:
        why = next((why for mark, why in UNFIT.items() if mark in str(error)), "")
        if not why:
            raise
        # Leave out Spark's own message, which quotes the file's header.
        what = f"failed to convert batch `{landfall.printable(batch.batch_id)}`"
        raise JobError(f"{what}: {why}") from None
    summary = {
        "batch_id": batch.batch_id,
        "objects": len(batch.objects),
        "rows_written": spark.read.schema(fit.schema).parquet(target).count(),
        "output": target,
    }
    print(json.dumps(summary), flush=True)


def read(batch: landfall.Batch, spark: SparkSession) -> DataFrame:
    """Returns the rows of the batch's files, with an extra column for rows that don't fit.

    A file with another header fails the run too, and Spark's log quotes that header.
    """
    reader = batch.spark(spark).read.option("header", True).option("enforceSchema", False)
    if "schema" in batch.arguments:
        reader = reader.schema(f"{batch.arguments['schema']}, {UNREADABLE} STRING")
    else:
        reader = reader.schema(reader.csv(batch.paths).schema.add(UNREADABLE, "string"))
    reader = reader.option("mode", "PERMISSIVE").option("columnNameOfCorruptRecord", UNREADABLE)
    return reader.csv(batch.paths)


def checked(rows: DataFrame, column: str) -> DataFrame:
    """Returns the rows, made so that writing a row that doesn't fit fails the run.

    Otherwise a field that isn't of its column's type would silently become null. Spark's mode
    FAILFAST is no alternative: it quotes the field in the exception, which driver and executors
    log.
    """
    from pyspark.sql import functions

    is_fit = functions.col(quoted(UNREADABLE)).isNull()
    value = functions.when(is_fit, functions.col(quoted(column)))
    refused = functions.raise_error(functions.lit(ROW))
    return rows.withColumn(column, value.otherwise(refused)).drop(UNREADABLE)


def quoted(column: str) -> str:
    """Returns a column's name, dots included, quoted for Spark's expressions."""
    return "`" + column.replace("`", "``") + "`"


def target_of(batch: landfall.Batch) -> str:
    """Returns the batch's own folder below `--output`. Raises JobError."""
    output = batch.arguments.get("output", "")
    if not output.startswith(("s3://", "s3a://")):
        raise JobError("failed to start: `--output` is not `s3://bucket/prefix/`")
    return f"{output.rstrip('/')}/{FOLDER}={quote(batch.batch_id, safe='')}"


if __name__ == "__main__":
    main()
