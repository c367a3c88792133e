"""Prints what is below a prefix of the example's output.

Usage: `output.py BUCKET PREFIX`, with the environment variables of the AWS command line.
"""

from __future__ import annotations

import collections
import json
import os
import re
import sys

import boto3
import pyarrow as pa
import pyarrow.parquet
from botocore.config import Config

bucket, prefix = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    config=Config(s3={"addressing_style": "path"}),
)
rows = total = 0
weather: collections.Counter[str] = collections.Counter()
folders, files = set(), {}
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
    for item in page.get("Contents", []):
        files[item["Key"]] = f"{item['ETag']} {item['LastModified']}"
        found = re.search(r"/batch=([^/]+)/weather=([^/]+)/[^/]+\.parquet$", item["Key"])
        if not found:
            continue
        body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        # Use one thread: if a thread of Arrow is still at work when Python ends, it aborts the
        # process (https://github.com/apache/arrow/issues/34314).
        table = pyarrow.parquet.ParquetFile(pa.BufferReader(body)).read(use_threads=False)
        folders.add(found[1])
        rows += table.num_rows
        total += sum(table.column("day").to_pylist())
        weather[found[2]] += table.num_rows
print(
    json.dumps(
        {
            "rows": rows,
            "sum": total,
            "weather": weather,
            "batches": sorted(folders),
            "files": files,
        }
    )
)
