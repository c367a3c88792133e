"""An ordinary Glue job, which counts the days of each kind of weather. It knows no Landfall."""

import collections
import csv
import json
import sys

import boto3
from awsglue.utils import getResolvedOptions


def place(uri: str) -> dict[str, str]:
    bucket, _, key = uri[len("s3://") :].partition("/")
    return {"Bucket": bucket, "Key": key}


args = getResolvedOptions(sys.argv, ["input", "output"])
s3 = boto3.client("s3")

body = s3.get_object(**place(args["input"]))["Body"]
rows = csv.DictReader(line.decode() for line in body.iter_lines())
days = collections.Counter(row["weather"] for row in rows)
s3.put_object(**place(args["output"]), Body=json.dumps(days))
