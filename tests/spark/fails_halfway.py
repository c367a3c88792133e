"""The example job. Its first run of a batch fails when it has written half of its output.

That run wrote a partition that the next run does not write, and Spark is configured to keep such
partitions.
"""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql.functions import lit

import csv_to_parquet_spark as example
import landfall

with landfall.batch() as batch:
    spark = SparkSession.builder.getOrCreate()
    # A job's `--conf` may set this for its other tables.
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    if batch.epoch == 1:
        reader = batch.spark(spark).read.option("header", True).schema(batch.arguments["schema"])
        fog = reader.csv(batch.paths).limit(2).withColumn("weather", lit("fog"))
        fog.write.partitionBy("weather").parquet(example.target_of(batch))
        raise RuntimeError("failed halfway")
    example.convert(batch, spark)
