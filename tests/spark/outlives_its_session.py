"""Reads one object, and then another when the session that read the first has expired.

It also continues to read a stream that it opened before.
"""

from __future__ import annotations

import json
import time

import boto3
from botocore.exceptions import ClientError
from pyspark.sql import SparkSession

import landfall


def refused(session: boto3.session.Session, item: landfall.Object) -> str:
    try:
        session.client("s3").get_object(Bucket=item.bucket, Key=item.key)["Body"].read()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


with landfall.batch() as batch:
    spark = batch.spark(SparkSession.builder.getOrCreate())
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    path = jvm.org.apache.hadoop.fs.Path(batch.paths[0])
    counted = [spark.read.option("header", True).csv(batch.paths[0]).count()]
    stream = path.getFileSystem(conf).open(path)
    first = stream.read()
    # This session of the same role was taken after Spark's, so it expires after Spark's.
    taken = batch.session.get_credentials().get_frozen_credentials()
    static = boto3.session.Session(taken.access_key, taken.secret_key, taken.token)
    waited = time.monotonic()
    codes = [refused(static, batch.objects[0])]
    while codes[-1] == "" and time.monotonic() < waited + 120:
        time.sleep(1)
        codes.append(refused(static, batch.objects[0]))
    counted += [spark.read.option("header", True).csv(other).count() for other in batch.paths[1:]]
    stream.seek(0)  # To read backwards, a stream sends S3 another request.
    whole = jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")

    # Do the same with a session that nobody refreshes. It shows the error that the reads above
    # would have got.
    prefix = f"fs.s3a.bucket.{batch.objects[0].bucket}."
    conf.set(
        f"{prefix}aws.credentials.provider",
        "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
    )
    for name, value in zip(("access.key", "secret.key", "session.token"), taken, strict=False):
        conf.set(prefix + name, value)
    new = jvm.org.apache.hadoop.fs.FileSystem.newInstance(path.toUri(), conf)
    try:
        new.listStatus(path)
        unrefreshed = ""
    except Exception as error:
        unrefreshed = str(error)
    print(
        json.dumps(
            {
                "first": codes[0],
                "last": codes[-1],
                "counted": counted,
                "stream": [chr(first), whole],
                "unrefreshed": "Error Code: ExpiredToken" in unrefreshed,
            }
        ),
        flush=True,
    )
