"""Reads its batch, and tries to read objects that are not in it."""

from __future__ import annotations

import json

from pyspark.sql import SparkSession

import landfall


def told(path: str) -> str:
    """Returns the outcome of reading a path: `rows`, or the refusal."""
    try:
        return f"{spark.read.text(path).count()} rows"
    except Exception as error:
        return "403" if "Status Code: 403" in str(error) else f"{type(error).__name__}"


with landfall.batch() as batch:
    spark = batch.spark(SparkSession.builder.getOrCreate())
    [item] = batch.objects
    folder = f"s3a://{item.bucket}/{item.key.rpartition('/')[0]}/"
    paths = {
        "batch": batch.paths[0],
        "other": f"{folder}other.csv",
        "folder": folder,
        "bucket": f"s3a://{item.bucket}/private/secret.csv",
    }
    report = {name: told(path) for name, path in paths.items()}
    print(json.dumps({**report, "master": spark.sparkContext.master}), flush=True)
