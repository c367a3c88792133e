"""The launcher's corrections: that each is still needed, and that it works."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from emulator import (
    ANALYTICS,
    DATA,
    GLUE,
    JOB_POLICY,
    LAUNCHER,
    PLAIN,
    REGION,
    Emulator,
    allow,
    job,
    role,
    running,
    trust,
    wait_until,
)

REPORT = """
import json, os, sys
import boto3
try:
    who = boto3.client("sts").get_caller_identity()["Arn"]
except Exception as error:
    who = str(error)
report = {"argv": sys.argv[1:], "who": who, "region": os.environ.get("AWS_REGION"),
          "environment": sorted(os.environ), "folder": os.getcwd()}
with open(REPORT_FILE, "w") as file:
    json.dump(report, file)
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(PLAIN, tmp_path_factory.mktemp("plain")) as emulator:
        yield emulator


# aws:PrincipalArn


def who_may_assume(emulator: Emulator, path: str = "/") -> dict[str, bool]:
    """Which of two roles may assume a third, whose trust policy names one of them by ARN."""
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    asking = {}
    for name in ("named", "other"):
        arn = role(emulator, DATA, name, trust(Principal=root), allow("sts:AssumeRole"), path)
        asking[name] = arn
    target = role(
        emulator,
        ANALYTICS,
        "target",
        trust(Principal=root, Condition={"ArnEquals": {"aws:PrincipalArn": asking["named"]}}),
    )
    allowed = {}
    for name in asking:
        sts = emulator.client("sts", DATA, **emulator.session_of(DATA, name))
        try:
            sts.assume_role(RoleArn=target, RoleSessionName="asked")
            allowed[name] = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            allowed[name] = False
    return allowed


def test_the_plain_emulator_still_denies_a_role_that_a_trust_policy_names(plain: Emulator) -> None:
    assert who_may_assume(plain) == {"named": False, "other": False}


def test_a_role_that_a_trust_policy_names_may_assume_it_and_no_other_may(
    launched: Emulator,
) -> None:
    assert who_may_assume(launched) == {"named": True, "other": False}


def test_the_path_of_a_role_belongs_to_its_principal_arn(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        assert who_may_assume(emulator, path="/landfall/") == {"named": True, "other": False}


# Roles with a path, and their boundary


BOUNDARY = f"arn:aws:iam::{DATA}:policy/boundary"


def what_a_provisioner_may_do(emulator: Emulator) -> dict[str, bool]:
    """Calls to IAM of a role that may make roles below one path, with one boundary only."""
    root = emulator.client("iam", DATA)
    document = allow("*")
    root.create_policy(PolicyName="boundary", PolicyDocument=document)
    root.create_policy(PolicyName="other", PolicyDocument=document)
    below = f"arn:aws:iam::{DATA}:role/landfall/*"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:CreateRole", "iam:PutRolePolicy"],
                "Resource": below,
                "Condition": {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}},
            },
            {"Effect": "Allow", "Action": "iam:GetRole", "Resource": below},
        ],
    }
    trusted = trust(Principal={"AWS": f"arn:aws:iam::{DATA}:root"})
    role(emulator, DATA, "provisioner", trusted, json.dumps(policy))
    for name, path in {"bare": "/landfall/", "outside": "/"}.items():
        root.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trusted)
    iam = emulator.client("iam", DATA, **emulator.session_of(DATA, "provisioner"))
    new = {"AssumeRolePolicyDocument": trusted}
    put = {"PolicyName": "p", "PolicyDocument": document}
    calls = {
        "create": lambda: iam.create_role(
            RoleName="made", Path="/landfall/", PermissionsBoundary=BOUNDARY, **new
        ),
        "write": lambda: iam.put_role_policy(RoleName="made", **put),
        "look": lambda: iam.get_role(RoleName="made"),
        "create without": lambda: iam.create_role(RoleName="x", Path="/landfall/", **new),
        "create with other": lambda: iam.create_role(
            RoleName="x", Path="/landfall/", PermissionsBoundary=BOUNDARY[:-8] + "other", **new
        ),
        "create elsewhere": lambda: iam.create_role(
            RoleName="x", PermissionsBoundary=BOUNDARY, **new
        ),
        "write without": lambda: iam.put_role_policy(RoleName="bare", **put),
        "look elsewhere": lambda: iam.get_role(RoleName="outside"),
    }
    return {name: is_allowed(call) for name, call in calls.items()}


def is_allowed(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_the_plain_emulator_still_knows_neither_path_nor_boundary(tmp_path: Path) -> None:
    with running(PLAIN, tmp_path) as emulator:
        assert not any(what_a_provisioner_may_do(emulator).values())


def test_a_policy_may_admit_one_path_and_one_boundary_only(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        allowed = what_a_provisioner_may_do(emulator)
    assert [name for name, is_so in allowed.items() if is_so] == ["create", "write", "look"]


def value_of(imports: str, correction: str, expression: str) -> object:
    """The value of an expression in a process of its own, with a correction or without."""
    program = f"{imports}\nimport launcher\n{correction}\nprint(repr({expression}))"
    command = [sys.executable, "-c", program]
    folder = Path(LAUNCHER[1]).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


# Wildcards


def matches(value: str, pattern: str, *, corrected: bool) -> object:
    return value_of(
        "from ministack.core import iam_evaluator",
        "launcher.correct_wildcards()" if corrected else "",
        f"iam_evaluator.fnmatch_iam_cs({value!r}, {pattern!r})",
    )


def test_the_plain_emulator_still_stops_at_a_line_break() -> None:
    assert matches("a\nb", "a*", corrected=False) is False


def test_a_wildcard_matches_a_line_break_and_no_more_than_it_should() -> None:
    assert matches("a\nb", "a*", corrected=True) is True
    assert matches("a\nb", "a?b", corrected=True) is True
    assert matches("ab\n", "ab", corrected=True) is False
    assert matches("b\na", "a*", corrected=True) is False


# aws:SecureTransport


def may_read_with_tls_only(emulator: Emulator) -> bool:
    """Whether a role reads from a bucket whose policy denies what comes without TLS."""
    s3 = emulator.client("s3", DATA)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket="tls-only", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    s3.put_object(Bucket="tls-only", Key="key", Body=b"")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    s3.put_bucket_policy(Bucket="tls-only", Policy=policy)
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    role(emulator, DATA, "tls-reader", trust(Principal=root), allow("s3:GetObject"))
    reader = emulator.client("s3", DATA, **emulator.session_of(DATA, "tls-reader"))
    try:
        reader.get_object(Bucket="tls-only", Key="key")
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_the_plain_emulator_still_speaks_without_tls(plain: Emulator) -> None:
    assert not may_read_with_tls_only(plain)


def test_what_asks_for_tls_is_let_through(launched: Emulator) -> None:
    assert may_read_with_tls_only(launched)


# MaximumConcurrency


def concurrency(setting: str | int, *, corrected: bool) -> object:
    """What the emulator's poller takes for the limit of a mapping with this setting."""
    mapping = {"ScalingConfig": {"MaximumConcurrency": setting}}
    return value_of(
        "from ministack.services import lambda_svc",
        "launcher.correct_maximum_concurrency()" if corrected else "",
        f"lambda_svc._sqs_esm_concurrency({mapping!r}, {{}}, {{}})",
    )


def test_the_plain_emulator_still_takes_text_for_a_number() -> None:
    assert concurrency("5", corrected=False) == "5"


def test_a_concurrency_that_came_as_text_is_a_number() -> None:
    assert concurrency("5", corrected=True) == 5
    assert concurrency(7, corrected=True) == 7


# AllocatedCapacity


def capacity(emulator: Emulator) -> object:
    run = job(emulator, "small", "", MaxCapacity=0.0625).run()
    return run["AllocatedCapacity"]


def test_the_plain_emulator_still_allocates_a_fraction(plain: Emulator) -> None:
    assert capacity(plain) == 0.0625


def test_a_capacity_is_a_whole_number(launched: Emulator) -> None:
    assert capacity(launched) == 0
    assert isinstance(capacity_of_all(launched), int)


def capacity_of_all(emulator: Emulator) -> object:
    runs = emulator.client("glue", ANALYTICS).get_job_runs(JobName="small")["JobRuns"]
    return runs[0]["AllocatedCapacity"]


# Python shell runs


def report_script(emulator: Emulator) -> tuple[Path, str]:
    file = emulator.folder / "report.json"
    file.unlink(missing_ok=True)
    return file, f"REPORT_FILE = {str(file)!r}\n{REPORT}"


def test_the_plain_emulator_still_runs_a_script_without_argv_role_and_region(
    plain: Emulator,
) -> None:
    file, script = report_script(plain)
    job(plain, "report", script).run(one="1")
    report = json.loads(file.read_text())
    assert report["argv"] == []
    assert "assumed-role/job/" not in report["who"]
    assert report["region"] is None


def test_a_script_runs_with_its_arguments_the_role_and_the_region(launched: Emulator) -> None:
    _, script = report_script(launched)
    reporter = job(
        launched,
        "report",
        script,
        DefaultArguments={"--default": "kept", "--one": "replaced"},
        NonOverridableArguments={"--pinned": "pinned"},
    )
    run = reporter.run(one='{"a": "b c"}', two="--three é", pinned="overridden")
    assert (run["JobRunState"], run.get("ErrorMessage", "")) == ("SUCCEEDED", "")
    report = json.loads("".join(reporter.logged(run)))
    given = dict(zip(report["argv"][::2], report["argv"][1::2], strict=True))
    assert given == {
        "--default": "kept",
        "--one": '{"a": "b c"}',
        "--two": "--three é",
        "--pinned": "pinned",
    }
    assert report["who"] == (f"arn:aws:sts::{ANALYTICS}:assumed-role/job/GlueJobRunnerSession")
    assert report["region"] == REGION
    assert "A_SECRET_OF_THE_SERVER" not in report["environment"]
    assert not Path(report["folder"]).exists()


def test_extra_py_files_can_be_imported(launched: Emulator) -> None:
    importing = job(launched, "importing", "import extra_one\nprint(extra_one.VALUE)")
    launched.client("s3", ANALYTICS).put_object(
        Bucket="scripts-of-jobs", Key="lib/extra_one.py", Body=b"VALUE = 42\n"
    )
    run = importing.run(**{"extra-py-files": "s3://scripts-of-jobs/lib/extra_one.py"})
    assert run["JobRunState"] == "SUCCEEDED", run
    assert importing.logged(run) == ["42"]


def test_a_failing_script_fails_its_run_with_its_last_word(launched: Emulator) -> None:
    failing = job(launched, "failing", "print('before')\nraise ValueError('no such thing')")
    run = failing.run()
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "ValueError: no such thing")
    assert failing.logged(run) == ["before"]
    assert failing.logged(run, "error")[-1] == "ValueError: no such thing"


def test_a_job_role_that_does_not_trust_glue_fails_the_run(launched: Emulator) -> None:
    trusted = trust(Principal={"Service": "lambda.amazonaws.com"})
    untrusting = role(launched, ANALYTICS, "untrusting", trusted, JOB_POLICY)
    run = job(launched, "untrusted", "print()", Role=untrusting).run()
    assert run["JobRunState"] == "FAILED"
    assert "does not admit glue.amazonaws.com" in run["ErrorMessage"]


def test_a_trust_policy_may_limit_glue_to_an_account(launched: Emulator) -> None:
    states = {}
    for account in (ANALYTICS, DATA):
        trusted = trust(
            Principal={"Service": "glue.amazonaws.com"},
            Condition={"StringEquals": {"aws:SourceAccount": account}},
        )
        limited = role(launched, ANALYTICS, f"limited-{account}", trusted, JOB_POLICY)
        states[account] = job(launched, f"limited-{account}", "print()", Role=limited).run()
    assert states[ANALYTICS]["JobRunState"] == "SUCCEEDED"
    assert states[DATA]["JobRunState"] == "FAILED"


def test_a_script_that_the_job_role_may_not_read_fails_the_run(launched: Emulator) -> None:
    blind = role(launched, ANALYTICS, "blind", GLUE, allow("logs:*"))
    run = job(launched, "blind", "print()", Role=blind).run()
    assert run["JobRunState"] == "FAILED"
    assert "failed to fetch `s3://scripts-of-jobs/glue/blind.py`" in run["ErrorMessage"]


def test_a_script_that_is_not_there_fails_the_run(launched: Emulator) -> None:
    missing = job(launched, "missing", "print()")
    launched.client("s3", ANALYTICS).delete_object(Bucket="scripts-of-jobs", Key="glue/missing.py")
    assert missing.run()["JobRunState"] == "FAILED"


def test_a_role_that_may_not_log_loses_its_logs_and_not_its_run(launched: Emulator) -> None:
    silent = role(launched, ANALYTICS, "silent", GLUE, allow("s3:GetObject"))
    run = job(launched, "silent", "print('unheard')", Role=silent).run()
    assert run["JobRunState"] == "SUCCEEDED"


def test_a_flood_of_runs_does_not_become_a_flood_of_scripts(
    launched: Emulator, tmp_path: Path
) -> None:
    script = (
        "import os, pathlib, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / str(os.getpid())).touch()\n"
        "time.sleep(0.2)\n"
        "print(len(list(folder.iterdir())))\n"
        "(folder / str(os.getpid())).unlink()\n"
    )
    crowd = job(launched, "crowd", script)
    runs = [crowd.wait(run) for run in [crowd.start() for _ in range(6)]]
    assert [run["JobRunState"] for run in runs] == ["SUCCEEDED"] * 6
    assert {line for run in runs for line in crowd.logged(run)} <= {"1", "2"}


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_scripts_end_with_the_server(tmp_path: Path, signal_number: int) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'new')!r}).write_text(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(pid_file)!r})\n"
        "time.sleep(600)\n"
    )
    with running(LAUNCHER, tmp_path) as emulator:
        job(emulator, "endless", script).start()
        wait_until(pid_file.exists)
        pid = int(pid_file.read_text())
        assert alive(pid)
        emulator.process.send_signal(signal_number)
        emulator.process.wait(timeout=20)
        wait_until(lambda: not alive(pid))
    if signal_number == signal.SIGTERM:
        assert list(tmp_path.glob("glue-python-scripts-*")) == []


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and was not yet collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
