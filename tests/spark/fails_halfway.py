"""The example job, whose first run of a batch fails when half of its output is there."""

from __future__ import annotations

from pyspark.sql import SparkSession

import csv_to_parquet_spark as example
import landfall

with landfall.batch() as batch:
    spark = SparkSession.builder.getOrCreate()
    if batch.epoch == 1:
        half = batch.spark(spark).read.option("header", True).csv(batch.paths).limit(2)
        half.write.partitionBy("weather").parquet(example.target_of(batch))
        raise RuntimeError("failed halfway")
    example.convert(batch, spark)
