"""The example job as Glue runs it, between two accounts, with IAM on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from test_landfall import AWKWARD_KEYS

from emulator import ANALYTICS, DATA, GLUE, REGION, Emulator, Job, job, role, trust

SOURCES = Path(__file__).parents[2] / "infra" / "glue"
LANDING, LAKE = "example-landing", "example-lake"
ROWS = b"temp,weather\n1,rain\n2,sun\n"


def policy(*statements: tuple[str, str]) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": action, "Resource": resource}
                for action, resource in statements
            ],
        }
    )


@pytest.fixture(scope="module")
def converter(launched: Emulator) -> Job:
    for account, bucket in (DATA, LANDING), (ANALYTICS, LAKE):
        launched.client("s3", account).create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    reader = f"arn:aws:iam::{DATA}:role/example-reader"
    job_role = role(
        launched,
        ANALYTICS,
        "example-job",
        GLUE,
        policy(
            ("s3:GetObject", "arn:aws:s3:::scripts-of-jobs/*"),
            ("s3:PutObject", f"arn:aws:s3:::{LAKE}/out/*"),
            ("sts:AssumeRole", reader),
            ("logs:*", "*"),
        ),
    )
    role(
        launched,
        DATA,
        "example-reader",
        trust(
            Principal={"AWS": f"arn:aws:iam::{ANALYTICS}:root"},
            Condition={"ArnEquals": {"aws:PrincipalArn": job_role}},
        ),
        policy(("s3:GetObject*", f"arn:aws:s3:::{LANDING}/in/*")),
    )
    found = job(
        launched,
        "example",
        (SOURCES / "csv_to_parquet.py").read_text(),
        Role=job_role,
        DefaultArguments={
            "--extra-py-files": "s3://scripts-of-jobs/example/landfall.py",
            "--landfall-reader-role": reader,
            "--output": f"s3://{LAKE}/out/",
            "--partition-by": "weather",
        },
    )
    launched.client("s3", ANALYTICS).put_object(
        Bucket="scripts-of-jobs",
        Key="example/landfall.py",
        Body=(SOURCES / "landfall.py").read_bytes(),
    )
    return found


def start(converter: Job, batch_id: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return converter.run(
        **{
            "landfall-batch-id": batch_id,
            "landfall-inputs": json.dumps({"entries": entries}),
        }
    )


def put(converter: Job, key: str, rows: bytes = ROWS) -> dict[str, Any]:
    """Upload an object; returns what a manifest says of it."""
    answer = converter.emulator.client("s3", DATA).put_object(Bucket=LANDING, Key=key, Body=rows)
    return {
        "url": f"s3://{LANDING}/{key}",
        "mandatory": True,
        "meta": {"content_length": len(rows)},
        "etag": answer["ETag"].strip('"'),
    }


def test_the_job_reads_as_the_reader_and_writes_as_itself_whatever_the_keys(
    converter: Job,
) -> None:
    keys = [f"in/{key}"[:1024] for key in AWKWARD_KEYS]
    entries = [put(converter, key) for key in keys]
    run = start(converter, "awkward", *entries)
    assert run.get("ErrorMessage", "") == ""
    assert run["JobRunState"] == "SUCCEEDED"
    summary = json.loads(converter.logged(run)[-1])
    assert summary == {
        "batch_id": "awkward",
        "inputs": len(keys),
        "rows_read": 2 * len(keys),
        "rows_written": 2 * len(keys),
        "files_written": 2 * len(keys),
        "output": f"s3://{LAKE}/out/",
    }
    s3 = converter.emulator.client("s3", ANALYTICS)
    body = s3.get_object(Bucket=LAKE, Key="out/weather=sun/awkward-00000.parquet")["Body"].read()
    assert pyarrow.parquet.ParquetFile(io.BytesIO(body)).read().to_pylist() == [{"temp": 2}]


def test_an_object_overwritten_since_it_arrived_fails_the_run(converter: Job) -> None:
    entry = put(converter, "in/changing.csv")
    put(converter, "in/changing.csv", ROWS.replace(b"sun", b"fog"))
    run = start(converter, "changed", entry)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        f"landfall.InputChanged: failed to read `s3://{LANDING}/in/changing.csv`: "
        "it was overwritten since it arrived"
    )


def test_the_job_cannot_read_outside_the_readers_prefixes(converter: Job) -> None:
    run = start(converter, "outside", put(converter, "elsewhere/a.csv"))
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        f"landfall.InputError: failed to read `s3://{LANDING}/elsewhere/a.csv`: AccessDenied"
    )


def test_a_job_that_may_not_become_the_reader_fails_and_says_so(converter: Job) -> None:
    other = f"arn:aws:iam::{DATA}:role/other-reader"
    run = converter.run(
        **{
            "landfall-batch-id": "refused",
            "landfall-reader-role": other,
            "landfall-inputs": json.dumps({"entries": [put(converter, "in/a.csv")]}),
        }
    )
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        f"landfall.ReaderRoleError: failed to assume role `{other}` as `landfall-refused`: "
        "AccessDenied"
    )
