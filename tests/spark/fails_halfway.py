"""The example job, whose first run of a batch fails when half of its output is there.

It wrote to a partition that the next run does not write to, and Spark is told to keep such ones.
"""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql.functions import lit

import csv_to_parquet_spark as example
import landfall

with landfall.batch() as batch:
    spark = SparkSession.builder.getOrCreate()
    # What a job's `--conf` may say for its other tables.
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    if batch.epoch == 1:
        reader = batch.spark(spark).read.option("header", True).schema(batch.arguments["schema"])
        fog = reader.csv(batch.paths).limit(2).withColumn("weather", lit("fog"))
        fog.write.partitionBy("weather").parquet(example.target_of(batch))
        raise RuntimeError("failed halfway")
    example.convert(batch, spark)
