"""An example of a Glue Python shell job: it turns the batch's CSV files into partitioned Parquet.

It reads each object as the reader role and writes with the job's own role, so neither account needs
a bucket policy for the other. Its own arguments:

    --output s3://bucket/prefix/     where to write, in the analytics account
    --output-owner ACCOUNT           optional: the account that must own the bucket
    --partition-by COLUMN            the column that becomes the Hive partition, `COLUMN=value/`
    --constants NAME[,NAME…]         optional: the names of job arguments that become columns

Entering the batch claims it, or ends the script if another run does the work. That keeps two runs
apart, but a run that fails halfway has already written some of its files. So each file's name is
made of its partition, the batch and the object's place in the batch. The batch's next run replaces
these files and never doubles a row.

The job holds one CSV file at a time in memory, as a whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

import landfall

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
MAX_PARTITIONS = 1000
"""The most distinct values of the partition column in a file. More than this are a mistake."""


class JobError(RuntimeError):
    """The job cannot do its work, and starting it again would not help."""


def main(argv: list[str] | None = None) -> None:
    """Converts the batch if this run holds it, and prints a summary as one line of JSON."""
    with landfall.batch(argv) as batch:
        print(json.dumps(convert(batch)), flush=True)


def convert(batch: landfall.Batch) -> dict[str, Any]:
    """Writes the batch's files, and returns a summary of the work."""
    bucket, prefix = output_of(batch.arguments)
    partition_by = batch.arguments.get("partition-by", "")
    if not partition_by:
        raise JobError("failed to start: `--partition-by` is missing")
    constants = constants_of(batch.arguments)

    owner = owner_of(batch.arguments)
    target = boto3.client("s3")
    rows_read = rows_written = files_written = 0
    for index, item in enumerate(batch.objects):
        with batch.open(item) as body:
            data = body.read()
        table = read_csv(data, landfall.printable(item.url), partition_by, constants)
        rows_read += table.num_rows
        batch.fence()  # Stops a run that still goes on although Landfall has seen it end.
        for value, part in partitions(table, partition_by, landfall.printable(item.url)):
            key = f"{prefix}{partition_path(partition_by, value)}/{file_name(batch, index)}"
            target.put_object(Bucket=bucket, Key=key, Body=to_parquet(part), **owner)
            rows_written += part.num_rows
            files_written += 1
    return {
        "batch_id": batch.batch_id,
        "inputs": len(batch.objects),
        "rows_read": rows_read,
        "rows_written": rows_written,
        "files_written": files_written,
        "output": f"s3://{bucket}/{prefix}",
    }


def output_of(arguments: Mapping[str, str]) -> tuple[str, str]:
    """Returns the bucket and the prefix of `--output`; the prefix is empty or ends with a slash."""
    url = arguments.get("output", "")
    bucket, _, prefix = url[len("s3://") :].partition("/")
    if not url.startswith("s3://") or not bucket:
        raise JobError("failed to start: `--output` is not `s3://bucket/prefix/`")
    return bucket, prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def owner_of(arguments: Mapping[str, str]) -> dict[str, str]:
    """Returns the parameter that makes S3 reject a bucket which `--output-owner` doesn't own."""
    account = arguments.get("output-owner", "")
    if account and not (len(account) == 12 and account.isdecimal() and account.isascii()):
        raise JobError("failed to start: `--output-owner` is not an account ID of 12 digits")
    return {"ExpectedBucketOwner": account} if account else {}


def constants_of(arguments: Mapping[str, str]) -> dict[str, str]:
    """Returns the arguments that `--constants` names. Each becomes a column with one value."""
    names = [name for name in arguments.get("constants", "").split(",") if name]
    missing = [f"`--{name}`" for name in names if name not in arguments]
    if missing:
        raise JobError(f"failed to start: `--constants` names {', '.join(missing)}: missing")
    return {name: arguments[name] for name in names}


def read_csv(data: bytes, name: str, partition_by: str, constants: Mapping[str, str]) -> pa.Table:
    """Returns the rows of a CSV file with a header line. Errors call the file `name`.

    Only an empty field is null, because the job can't know whether `NA` means Namibia. The
    partition column stays text, so that `01` doesn't become `1`. Raises JobError.
    """
    if not data.strip():
        return pa.table({partition_by: pa.array([], pa.string())})
    if not data.endswith((b"\n", b"\r")):
        data += b"\n"  # The parser overlooks a header without a line break at its end.
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        table = pa.csv.read_csv(
            io.BytesIO(data),
            # The parser knows the number of a row only if it runs on one thread.
            read_options=pa.csv.ReadOptions(use_threads=False),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pa.csv.ConvertOptions(
                column_types={partition_by: pa.string()},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if not ragged:
            raise JobError(f"failed to parse `{name}` as CSV") from error
        row = ragged[0]
        # Leave out the parser's own message, which quotes the row: data doesn't belong in a log.
        raise JobError(
            f"failed to parse `{name}` as CSV: row {row.number} has {row.actual_columns} fields, "
            f"the header has {row.expected_columns}"
        ) from None
    for column, value in constants.items():
        if column in table.column_names:
            raise JobError(f"failed to add column `{column}` to `{name}`: it already has one")
        table = table.append_column(column, pa.array([value] * table.num_rows, pa.string()))
    columns = table.column_names.count(partition_by)
    if columns != 1:
        found = f"{columns} columns" if columns else "no column"
        raise JobError(f"failed to partition `{name}`: it has {found} `{partition_by}`")
    return table


def partitions(table: pa.Table, column: str, name: str) -> Iterator[tuple[str | None, pa.Table]]:
    """Yields each value of `column` with its rows in the file's order, without that column."""
    values = table.column(column)
    # Hive has one directory for all three. If each had a file, one would overwrite another's rows.
    nameless = pc.is_in(values, value_set=pa.array(["", HIVE_NULL, None], pa.string()))
    values = pc.if_else(nameless, pa.scalar(None, pa.string()), values)
    distinct = pc.unique(values).to_pylist()
    if len(distinct) > MAX_PARTITIONS:
        raise JobError(
            f"failed to partition `{name}`: column `{column}` has {len(distinct)} values, "
            f"more than {MAX_PARTITIONS}"
        )
    rest = table.drop([column])
    if distinct and not rest.column_names:
        raise JobError(f"failed to partition `{name}`: its only column is `{column}`")
    for value in distinct:
        mask = pc.is_null(values) if value is None else pc.equal(values, value)
        yield value, rest.filter(mask)


def partition_path(column: str, value: str | None) -> str:
    """Returns `column=value` as Hive writes it: null has a name, everything else is escaped."""
    return f"{quote(column, safe='')}={HIVE_NULL if value is None else quote(value, safe='')}"


def file_name(batch: landfall.Batch, index: int) -> str:
    """Returns a name that is the same for the same input of the same batch, and for no other."""
    return f"{quote(batch.batch_id, safe='')}-{index:05}.parquet"


def to_parquet(table: pa.Table) -> bytes:
    """Returns the table as a Parquet file."""
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink, compression="snappy")
    return sink.getvalue()


if __name__ == "__main__":
    main()
