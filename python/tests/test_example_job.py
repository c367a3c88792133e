"""The Python shell example as Glue runs it, across two accounts with IAM on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from emulator import ANALYTICS, DATA, GLUE, REGION, Emulator, Job, job, role, trust, zipped
from job_side import AWKWARD_KEYS
from staging import policy

SOURCES = Path(__file__).parents[1]
LANDING, LAKE, MANIFESTS = "example-landing", "example-lake", "example-landfall"
CLAIMS = "example-claims"
ROWS = b"temp,weather\n1,rain\n2,sun\n"


@pytest.fixture(scope="module")
def converter(launched: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Job:
    for account, bucket in (DATA, LANDING), (DATA, MANIFESTS), (ANALYTICS, LAKE):
        launched.client("s3", account).create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    launched.client("dynamodb", DATA).create_table(
        TableName=CLAIMS,
        KeySchema=[{"AttributeName": "batch_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "batch_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table = f"arn:aws:dynamodb:{REGION}:{DATA}:table/{CLAIMS}"
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
        policy(
            ("s3:GetObject*", f"arn:aws:s3:::{LANDING}/in/*"),
            ("s3:GetObject", f"arn:aws:s3:::{MANIFESTS}/manifests/*"),
            ("dynamodb:UpdateItem", table),
        ),
    )
    found = job(
        launched,
        "example",
        (SOURCES / "examples" / "csv_to_parquet.py").read_text(),
        Role=job_role,
        DefaultArguments={
            "--extra-py-files": "s3://scripts-of-jobs/example/landfall-0-py3-none-any.whl",
            "--landfall-epoch": "1",
            "--landfall-reader-role": reader,
            "--landfall-claims-table": table,
            "--output": f"s3://{LAKE}/out/",
            "--partition-by": "weather",
        },
    )
    wheel = tmp_path_factory.mktemp("wheel") / "landfall-0-py3-none-any.whl"
    launched.client("s3", ANALYTICS).put_object(
        Bucket="scripts-of-jobs",
        Key=f"example/{wheel.name}",
        Body=zipped(SOURCES / "landfall", wheel).read_bytes(),
    )
    return found


def start(
    converter: Job, batch_id: str, *entries: dict[str, Any], **changed: str
) -> dict[str, Any]:
    """Runs the job for a batch of these objects, with some arguments changed."""
    key = f"manifests/{batch_id}.json"
    manifest = json.dumps({"entries": entries}).encode()
    s3 = converter.emulator.client("s3", DATA)
    s3.put_object(Bucket=MANIFESTS, Key=key, Body=manifest)
    own = {"batch_id": batch_id, "manifest": f"s3://{MANIFESTS}/{key}", **changed}
    named = {f"landfall-{name.replace('_', '-')}": value for name, value in own.items()}
    return converter.run(**named)


def end(converter: Job, batch_id: str, epoch: int) -> None:
    """Records that the runs of an epoch have ended, as the monitor does."""
    converter.emulator.client("dynamodb", DATA).update_item(
        TableName=CLAIMS,
        Key={"batch_id": {"S": batch_id}},
        UpdateExpression="SET ended = :epoch",
        ExpressionAttributeValues={":epoch": {"N": str(epoch)}},
    )


def outputs(converter: Job, batch_id: str) -> set[str]:
    """Returns the keys of the files that a batch's runs wrote."""
    s3 = converter.emulator.client("s3", ANALYTICS)
    found = s3.list_objects_v2(Bucket=LAKE, Prefix="out/").get("Contents", [])
    return {one["Key"] for one in found if f"/{batch_id}-" in one["Key"]}


def put(converter: Job, key: str, rows: bytes = ROWS) -> dict[str, Any]:
    """Uploads an object, and returns its entry in a manifest."""
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


def test_of_two_runs_of_a_batch_the_second_succeeds_without_effect(converter: Job) -> None:
    entry = put(converter, "in/once.csv")
    assert start(converter, "once", entry)["JobRunState"] == "SUCCEEDED"
    written = outputs(converter, "once")
    assert len(written) == 2
    s3 = converter.emulator.client("s3", ANALYTICS)
    for key in written:
        s3.delete_object(Bucket=LAKE, Key=key)
    # Of the same epoch, it is a repetition by Glue, which must not pass for a success.
    for epoch, state in ("2", "SUCCEEDED"), ("1", "FAILED"):
        run = start(converter, "once", entry, epoch=epoch)
        assert run["JobRunState"] == state
    assert outputs(converter, "once") == set()


def rows(converter: Job, batch_id: str) -> list[int]:
    """Returns the rows of a batch's files, in order."""
    s3 = converter.emulator.client("s3", ANALYTICS)
    found: list[int] = []
    for key in outputs(converter, batch_id):
        body = s3.get_object(Bucket=LAKE, Key=key)["Body"].read()
        found += pyarrow.parquet.ParquetFile(io.BytesIO(body)).read().column("temp").to_pylist()
    return sorted(found)


def outcome(converter: Job, batch_id: str) -> str:
    dynamodb = converter.emulator.client("dynamodb", DATA)
    key = {"batch_id": {"S": batch_id}}
    return dynamodb.get_item(TableName=CLAIMS, Key=key)["Item"]["outcome"]["S"]


def test_the_run_after_a_failed_one_does_the_batch_from_the_beginning(converter: Job) -> None:
    """Checks that each row is there exactly once."""
    entries = [
        put(converter, "in/1.csv", b"temp,weather\n1,rain\n2,sun\n"),
        put(converter, "in/2.csv", b"temp,weather\n3,rain\n4,fog\n"),
    ]
    # The upload of the second object was incomplete when the first run read it.
    put(converter, "in/2.csv", b"temp,weather\n3,rain\n")
    run = start(converter, "retried", *entries)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith("landfall.ObjectChanged: ")
    assert rows(converter, "retried") == [1, 2]
    assert outcome(converter, "retried") == "failed"
    # No other run gets the batch until the monitor has recorded that run's end.
    assert start(converter, "retried", *entries, epoch="2")["JobRunState"] == "SUCCEEDED"
    assert rows(converter, "retried") == [1, 2]
    end(converter, "retried", 1)
    put(converter, "in/2.csv", b"temp,weather\n3,rain\n4,fog\n")
    run = start(converter, "retried", *entries, epoch="3")
    assert run["JobRunState"] == "SUCCEEDED", run
    assert rows(converter, "retried") == [1, 2, 3, 4]
    assert outcome(converter, "retried") == "succeeded"


def test_a_manifest_that_is_not_there_fails_the_run_and_is_named(converter: Job) -> None:
    missing = f"s3://{MANIFESTS}/manifests/other.json"
    run = start(converter, "listless", manifest=missing)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith(
        f"landfall.ManifestError: failed to read manifest `{missing}`: "
    )


def test_an_object_overwritten_since_it_arrived_fails_the_run(converter: Job) -> None:
    entry = put(converter, "in/changing.csv")
    put(converter, "in/changing.csv", ROWS.replace(b"sun", b"fog"))
    run = start(converter, "changed", entry)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        f"landfall.ObjectChanged: failed to read `s3://{LANDING}/in/changing.csv`: "
        "it was overwritten since it arrived"
    )


def test_the_job_cannot_read_outside_the_readers_prefixes(converter: Job) -> None:
    run = start(converter, "outside", put(converter, "elsewhere/a.csv"))
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        f"landfall.ObjectError: failed to read `s3://{LANDING}/elsewhere/a.csv`: AccessDenied: "
        "the role's own policy does not allow `s3:GetObject` for role "
        f"`arn:aws:iam::{DATA}:role/example-reader`"
    )


def test_a_job_that_may_not_become_the_reader_fails_and_says_so(converter: Job) -> None:
    other = f"arn:aws:iam::{DATA}:role/other-reader"
    run = start(converter, "refused", put(converter, "in/a.csv"), reader_role=other)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        "landfall.ClaimError: failed to claim batch `refused` in table "
        f"`arn:aws:dynamodb:{REGION}:{DATA}:table/{CLAIMS}`: "
        f"failed to assume role `{other}` as `landfall-refused`: AccessDenied"
    )
