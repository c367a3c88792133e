"""docs/jobs.md is right: its scripts run, and its table lists every error."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring

import landfall
import landfall.testing
from emulator import ANALYTICS, DATA, GLUE, REGION, Emulator, role
from job_side import command_line
from landfall import _claim
from staging import Stage, policy

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text("utf-8")


def section(heading: str) -> str:
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def script(heading: str) -> str:
    """Returns the only script of a section."""
    [found] = re.findall(r"^```python\n(.*?)^```", section(heading), re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture(scope="module")
def staged(launched: Emulator) -> Stage:
    stage = Stage(launched, "documented")
    launched.client("s3", ANALYTICS).create_bucket(
        Bucket="documented-lake", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    launched.client("iam", ANALYTICS).put_role_policy(
        RoleName="documented-job",
        PolicyName="output",
        PolicyDocument=policy(("s3:PutObject", "arn:aws:s3:::documented-lake/*")),
    )
    return stage


def run(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    batch_id: str,
    entries: list[dict[str, Any]],
    **own: str,
) -> dict[str, Any]:
    """Runs a script as a job does, and returns its global names at the end."""
    argv = command_line(stage.arguments(batch_id, entries, arguments=own))
    monkeypatch.setattr(sys, "argv", argv)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "docs/jobs.md", "exec"), names)
    assert stage.item(batch_id)["outcome"] == "succeeded"
    return names


def test_the_first_script_counts_lines_once_however_often_it_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = script("From nothing to a working job")
    assert len([line for line in text.splitlines() if line]) <= 11
    entries = [stage.put("in/a.csv", b"1\n2\n"), stage.put("in/b.csv", b"3\n")]
    for epoch in 1, 2:
        run(stage, monkeypatch, text, f"first-{epoch}", entries, output="s3://documented-lake/n/")
    lake = stage.emulator.client("s3", ANALYTICS)
    body = lake.get_object(Bucket="documented-lake", Key="n/first-2.json")["Body"].read()
    assert json.loads(body) == {"objects": 2, "lines": 3}


def test_the_policy_of_step_3_lets_the_job_find_its_script_and_list_no_other_folder(
    launched: Emulator,
) -> None:
    [text] = re.findall(r"--policy-document '(\{.*?\})'\n", PAGE, re.DOTALL)
    own = launched.client("s3", ANALYTICS)
    for bucket in "acme-artifacts", "acme-lake":
        own.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for key in "landfall/count_lines.py", "other/secret.py":
        own.put_object(Bucket="acme-artifacts", Key=key, Body=b"print()")
    role(launched, ANALYTICS, "step-3", GLUE, text)
    s3 = launched.client("s3", ANALYTICS, **launched.session_of(ANALYTICS, "step-3"))
    bucket = {"Bucket": "acme-artifacts"}
    assert s3.list_objects_v2(**bucket, Prefix="landfall/count")["KeyCount"] == 1
    assert s3.get_object(**bucket, Key="landfall/count_lines.py")["Body"].read() == b"print()"
    s3.put_object(Bucket="acme-lake", Key="lines/a.json", Body=b"{}")
    for denied in (
        lambda: s3.list_objects_v2(**bucket),
        lambda: s3.list_objects_v2(**bucket, Prefix="other/"),
        lambda: s3.get_object(**bucket, Key="other/secret.py"),
        lambda: s3.put_object(Bucket="acme-lake", Key="other/a.json", Body=b"{}"),
    ):
        with pytest.raises(ClientError) as raised:
            denied()
        assert raised.value.response["Error"]["Code"] == "AccessDenied"


def test_the_script_with_a_filesystem_reads_all_objects(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [stage.put(f"in/{n}.csv", b"n\n%d\n" % n) for n in range(3)]
    names = run(stage, monkeypatch, script("What a batch offers"), "files", entries)
    assert names["table"].column("n").to_pylist() == [0, 1, 2]


def test_the_script_with_client_side_encryption_decrypts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms = stage.emulator.client("kms", DATA)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    writer = S3EncryptionClient(
        stage.emulator.client("s3", DATA),
        S3EncryptionClientConfig(keyring=KmsKeyring(kms, key)),
    )
    writer.put_object(Bucket=stage.landing, Key="in/sealed", Body=b"rows")
    stage.permit(key=key)
    admit = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": stage.reader},
                "Action": "kms:Decrypt",
                "Resource": "*",
            }
        ],
    }
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(admit))
    entries = [{"url": f"s3://{stage.landing}/in/sealed"}]
    names = run(stage, monkeypatch, script("Encryption"), "sealed", entries, key=key)
    assert names["rows"] == b"rows"


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    def count_lines(batch: landfall.Batch) -> int:
        return sum(len(batch.open(one).readlines()) for one in batch.objects)

    blocks = re.findall(
        r"^```python\n(.*?)^```", section("Testing a job"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 2
    with ExitStack() as stack:
        for block in blocks:
            names: dict[str, Any] = {"count_lines": count_lines}
            exec(compile(block, "docs/jobs.md", "exec"), names)
            own = {"tmp_path": tmp_path}
            if "landfall_batch" in block:
                own["landfall_batch"] = lambda one: stack.enter_context(landfall.testing.batch(one))
            names["test_lines_are_counted"](**own)


def test_the_scala_job_claims_and_fences_under_the_librarys_conditions() -> None:
    [code] = re.findall(r"^```scala\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    code = " ".join(re.sub(r'" \+\n *"', "", code).split())
    for expression in (
        _claim._FREE_OR_MINE,
        _claim._STILL_MINE,
        "SET #holder = :mine, #epoch = :epoch, #claimed_at = :now, #expires = :expires"
        " REMOVE #fenced_at, #outcome, #outcome_at, #error",
        "#epoch = :epoch AND #holder <> :mine"
        " AND (attribute_not_exists(#ended) OR #ended < :epoch)",
        f"{_claim._CLAIM_KEPT_SECONDS // 86_400} * 86400",
        "new ObjectMapper().readTree",
    ):
        assert expression in code, expression
    source = Path(_claim.__file__).read_text("utf-8")
    for part in ("SET #holder = :mine, #epoch = :epoch", "#epoch = :epoch AND #holder <> :mine"):
        assert part in source


def test_the_table_of_what_can_go_wrong_has_every_error() -> None:
    table = section("What can go wrong")
    for name in landfall.__all__:
        found = getattr(landfall, name)
        if isinstance(found, type) and issubclass(found, BaseException):
            assert f"`{name}" in table, name
