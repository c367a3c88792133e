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
    from pyspark.sql import DataFrame, SparkSession

FOLDER = "batch"
"""The folder's column, by which who reads the output knows the batch."""
UNREADABLE = "_landfall_unreadable"
"""The column in which Spark keeps the text of a row that does not fit the others; not written."""
ROW = "a row does not fit the columns and their types"
UNFIT = {
    ROW: f"{ROW}, as the header or `--schema` has them",
    "CSV header does not conform": "a file has another header than `--schema`, or than the first",
}
"""What Spark's message holds when the input is at fault, and what is said instead."""


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
    rows = read(batch, spark)
    if partition_by not in rows.columns:
        raise JobError(f"failed to partition the batch: there is no column `{partition_by}`")
    if FOLDER in rows.columns:
        raise JobError(f"failed to partition the batch: it has a column `{FOLDER}` already")
    fit = checked(rows, partition_by)
    # Else the job's `--conf` could say `dynamic`, and partitions of an earlier run would stay.
    writer = fit.write.mode("overwrite").option("partitionOverwriteMode", "static")
    batch.fence()  # A run that is over for Landfall and goes on all the same replaces nothing.
    try:
        writer.partitionBy(partition_by).parquet(target)
    except Exception as error:
        why = next((why for mark, why in UNFIT.items() if mark in str(error)), "")
        if not why:
            raise
        # Without Spark's own message, which quotes the file's header.
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
    """The rows of the batch's files, with what does not fit the columns as a column of its own.

    A file whose header is another fails the run too; of that header Spark's log has the names.
    """
    reader = batch.spark(spark).read.option("header", True).option("enforceSchema", False)
    if "schema" in batch.arguments:
        reader = reader.schema(f"{batch.arguments['schema']}, {UNREADABLE} STRING")
    else:
        reader = reader.schema(reader.csv(batch.paths).schema.add(UNREADABLE, "string"))
    reader = reader.option("mode", "PERMISSIVE").option("columnNameOfCorruptRecord", UNREADABLE)
    return reader.csv(batch.paths)


def checked(rows: DataFrame, column: str) -> DataFrame:
    """The rows, of which one that does not fit fails the run as soon as it is written.

    A field that is not of its type would be null otherwise, and nobody would know. Spark's mode
    FAILFAST quotes the field in the exception, which driver and executors log as well.
    """
    from pyspark.sql import functions

    is_fit = functions.col(quoted(UNREADABLE)).isNull()
    value = functions.when(is_fit, functions.col(quoted(column)))
    refused = functions.raise_error(functions.lit(ROW))
    return rows.withColumn(column, value.otherwise(refused)).drop(UNREADABLE)


def quoted(column: str) -> str:
    """A column's name as Spark's expressions take it, dots included."""
    return "`" + column.replace("`", "``") + "`"


def target_of(batch: landfall.Batch) -> str:
    """The batch's own folder below `--output`."""
    output = batch.arguments.get("output", "")
    if not output.startswith(("s3://", "s3a://")):
        raise JobError("failed to start: `--output` is not `s3://bucket/prefix/`")
    return f"{output.rstrip('/')}/{FOLDER}={quote(batch.batch_id, safe='')}"


if __name__ == "__main__":
    main()
