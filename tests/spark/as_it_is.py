"""A job as Glue Studio writes it. It knows nothing of Landfall."""

import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "input", "output"])
glue_context = GlueContext(SparkContext())
spark = glue_context.spark_session
job = Job(glue_context)
job.init(args["JOB_NAME"], args)

rows = spark.read.option("header", True).csv(args["input"])
rows.write.mode("overwrite").parquet(args["output"])

job.commit()
