"""Reads objects with awkward keys one by one, and prints each outcome.

It also reads the keys that `paths` refuses.

The batch's only object lists the keys as JSON. The content of each object is its index in that
list.
"""

from __future__ import annotations

import json

from pyspark.sql import SparkSession

import landfall
from landfall import _spark


def outcome(place: int, path: str) -> str:
    try:
        rows = [row[0] for row in spark.read.text(path).collect()]
    except Exception as error:
        return type(error).__name__
    return "read" if rows == [str(place)] else f"other: {rows}"


spark = SparkSession.builder.getOrCreate()
with landfall.batch() as batch:
    [item] = batch.objects
    with batch.open(item) as body:
        keys = json.load(body)
    conf = spark._jsc.hadoopConfiguration()
    for name in "attempts.maximum", "retry.limit":  # Reads that fail must not take minutes.
        conf.set(f"fs.s3a.bucket.{item.bucket}.{name}", "1")
    batch.spark(spark)
    for place, key in enumerate(keys):
        one = landfall.Object(item.bucket, key)
        try:
            [path], admitted = _spark.paths([one]), True
        except landfall.PathError:
            path = f"s3a://{item.bucket}/{_spark._GLOB.sub(_spark._escaped, key)}"
            admitted = False
        report = {"place": place, "admitted": admitted, "outcome": outcome(place, path)}
        print(json.dumps(report), flush=True)
    both = [key for key in keys if key.startswith("in/keys/both")]
    try:
        _spark.paths([landfall.Object(item.bucket, key) for key in both])
    except landfall.PathError as error:
        print(json.dumps({"refused": error.keys}), flush=True)
