"""The plain emulator still forgets session policies of runs, and the launcher's applies them."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from emulator import ANALYTICS, DATA, Emulator, job, role, trust

ASSUME = """
import sys
import boto3
from botocore.exceptions import ClientError

sts = boto3.client("sts")
for role in sys.argv[1:]:
    if role.startswith("--"):
        continue
    try:
        session = sts.assume_role(RoleArn=role, RoleSessionName="tried")
        print(session["AssumedRoleUser"]["Arn"].split("/")[1])
    except ClientError as error:
        print(error.response["Error"]["Code"])
"""
JOB_MAY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "logs:*", "sts:AssumeRole"], "Resource": "*"}
    ],
}


def held_to(reader: str) -> str:
    """Returns the session policy as the trigger renders it."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "sts:Assume*", "NotResource": reader}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})


def start(emulator: Emulator, name: str, policy: str, **arguments: str) -> str:
    named = {f"--{argument}": value for argument, value in arguments.items()}
    glue = emulator.client("glue", ANALYTICS)
    answer = glue.start_job_run(JobName=name, Arguments=named, ExecutionRoleSessionPolicy=policy)
    return answer["JobRunId"]


def shown(emulator: Emulator) -> dict[str, object]:
    """Returns what Glue shows of a run that was started with a session policy."""
    shown = job(emulator, "shown", "print()")
    return shown.wait(start(emulator, "shown", held_to("arn:aws:iam::111111111111:role/reader")))


def test_the_plain_emulator_still_forgets_the_session_policy_of_a_run(plain: Emulator) -> None:
    assert "ExecutionRoleSessionPolicy" not in shown(plain)


def test_a_run_is_shown_with_its_session_policy_as_in_glue(launched: Emulator) -> None:
    assert shown(launched)["ExecutionRoleSessionPolicy"] == held_to(
        "arn:aws:iam::111111111111:role/reader"
    )
    glue = launched.client("glue", ANALYTICS)
    listed = glue.get_job_runs(JobName="shown")["JobRuns"]
    assert [len(run["ExecutionRoleSessionPolicy"]) > 100 for run in listed] == [True]
    # A run without one has none, and doesn't take over the last run's.
    assert "ExecutionRoleSessionPolicy" not in job(launched, "plainly", "print()").run()


def test_a_run_that_is_held_to_a_role_can_become_no_other_and_does_all_else(
    launched: Emulator,
) -> None:
    job_role = role(
        launched,
        ANALYTICS,
        "narrowed",
        trust(Principal={"Service": "glue.amazonaws.com", "AWS": f"arn:aws:iam::{ANALYTICS}:root"}),
        json.dumps(JOB_MAY),
    )
    trusted = trust(Principal={"AWS": f"arn:aws:iam::{ANALYTICS}:root"})
    reader = role(launched, DATA, "reader-of-batch", trusted, path="/landfall/")
    other = role(launched, DATA, "reader-of-others", trusted, path="/landfall/")
    near = role(launched, ANALYTICS, "of-the-same-account", trusted)
    narrowed = job(launched, "narrowed", ASSUME, Role=job_role)
    roles = {"a": reader, "b": other, "c": near, "d": job_role}
    # The run still reaches its script and its logs.
    run = narrowed.wait(start(launched, "narrowed", held_to(reader), **roles))
    assert run["JobRunState"] == "SUCCEEDED", run
    assert narrowed.logged(run) == ["reader-of-batch", *["AccessDenied"] * 3]
    run = narrowed.run(**roles)
    every = ["reader-of-batch", "reader-of-others", "of-the-same-account", "narrowed"]
    assert narrowed.logged(run) == every


def test_a_session_policy_that_allows_little_takes_script_and_logs_away(
    launched: Emulator,
) -> None:
    little = job(launched, "little", "print()")
    only_assume = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}],
        }
    )
    run = little.wait(start(launched, "little", only_assume))
    assert run["JobRunState"] == "FAILED"
    assert "failed to fetch `s3://scripts-of-jobs/glue/little.py`" in run["ErrorMessage"]


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("no-json", "no json"),
        ("no-statement", "{}"),
        ("too-long", held_to(f"arn:aws:iam::{DATA}:role/{'p' * 2048}/reader")),
    ],
)
def test_a_session_policy_that_sts_would_not_take_starts_nothing(
    launched: Emulator, name: str, policy: str
) -> None:
    job(launched, name, "print()")
    with pytest.raises(ClientError) as error:
        start(launched, name, policy)
    assert error.value.response["Error"]["Code"] == "InvalidInputException"
    assert launched.client("glue", ANALYTICS).get_job_runs(JobName=name)["JobRuns"] == []
