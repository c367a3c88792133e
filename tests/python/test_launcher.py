"""The launcher's two corrections: that each is still needed, and that it works."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

LAUNCHER = [sys.executable, str(Path(__file__).parent / "launcher.py")]
PLAIN = [sys.executable, "-m", "ministack"]
DATA, ANALYTICS = "111111111111", "222222222222"
REGION = "eu-west-1"

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


@dataclass
class Emulator:
    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    def client(self, service: str, account: str, **credentials: str) -> Any:
        """A client of root of `account`, unless other credentials are given."""
        credentials = credentials or {
            "aws_access_key_id": account,
            "aws_secret_access_key": "any",
        }
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.url, config=config, **credentials
        )

    def session_of(self, account: str, role: str, name: str = "someone") -> dict[str, str]:
        answer = self.client("sts", account).assume_role(
            RoleArn=self.client("iam", account).get_role(RoleName=role)["Role"]["Arn"],
            RoleSessionName=name,
        )
        return {
            "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
            "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
            "aws_session_token": answer["Credentials"]["SessionToken"],
        }


@contextlib.contextmanager
def running(command: list[str], folder: Path) -> Iterator[Emulator]:
    """The emulator with IAM on, a clean environment, and all its files in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "IOT_MTLS_ENABLED": "0",
        "A_SECRET_OF_THE_SERVER": "1",
    }
    log = folder / "emulator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or answers(f"{url}/_ministack/health"))
        assert process.poll() is None, log.read_text()
        yield Emulator(process, url, folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(LAUNCHER, tmp_path_factory.mktemp("launched")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(PLAIN, tmp_path_factory.mktemp("plain")) as emulator:
        yield emulator


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def trust(**statement: Any) -> str:
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def allow(action: str | list[str], resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role(
    emulator: Emulator, account: str, name: str, trusted: str, policy: str = "", path: str = "/"
) -> str:
    """Create a role, or bring the one of an earlier test back; returns its ARN."""
    iam = emulator.client("iam", account)
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trusted)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trusted)
    if policy:
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
    return iam.get_role(RoleName=name)["Role"]["Arn"]


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
            assert error.response["Error"]["Code"] == "AccessDenied"
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


# Python shell runs

GLUE = trust(Principal={"Service": "glue.amazonaws.com"})
JOB_POLICY = allow(["s3:GetObject", "logs:*"])


@dataclass
class Job:
    """A Python shell job of the analytics account, its script in a bucket."""

    emulator: Emulator
    name: str
    role: str

    def run(self, **arguments: str) -> dict[str, Any]:
        """Start it with `--name value` arguments, and wait for its end."""
        glue = self.emulator.client("glue", ANALYTICS)
        run = self.start(**arguments)

        def ended() -> dict[str, Any] | None:
            found = glue.get_job_run(JobName=self.name, RunId=run)["JobRun"]
            return found if found["JobRunState"] not in ("STARTING", "RUNNING") else None

        return wait_until(ended)

    def start(self, **arguments: str) -> str:
        named = {f"--{name}": value for name, value in arguments.items()}
        glue = self.emulator.client("glue", ANALYTICS)
        return glue.start_job_run(JobName=self.name, Arguments=named)["JobRunId"]

    def logged(self, run: dict[str, Any], kind: str = "output") -> list[str]:
        logs = self.emulator.client("logs", ANALYTICS)
        answer = logs.get_log_events(
            logGroupName=f"/aws-glue/python-jobs/{kind}", logStreamName=run["Id"]
        )
        return [event["message"] for event in answer["events"]]


def job(emulator: Emulator, name: str, script: str, **settings: Any) -> Job:
    s3 = emulator.client("s3", ANALYTICS)
    bucket = "scripts-of-jobs"
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    s3.put_object(Bucket=bucket, Key=f"glue/{name}.py", Body=script.encode())
    job_role = settings.pop("Role", None) or role(emulator, ANALYTICS, "job", GLUE, JOB_POLICY)
    emulator.client("glue", ANALYTICS).create_job(
        Name=name,
        Role=job_role,
        Command={
            "Name": "pythonshell",
            "PythonVersion": "3.9",
            "ScriptLocation": f"s3://{bucket}/glue/{name}.py",
        },
        **settings,
    )
    return Job(emulator, name, job_role)


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
    assert report["who"] == (
        f"arn:aws:sts::{ANALYTICS}:assumed-role/job/GlueJobRunnerSession"
    )
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
    launched.client("s3", ANALYTICS).delete_object(
        Bucket="scripts-of-jobs", Key="glue/missing.py"
    )
    assert missing.run()["JobRunState"] == "FAILED"


def test_a_role_that_may_not_log_loses_its_logs_and_not_its_run(launched: Emulator) -> None:
    silent = role(launched, ANALYTICS, "silent", GLUE, allow("s3:GetObject"))
    run = job(launched, "silent", "print('unheard')", Role=silent).run()
    assert run["JobRunState"] == "SUCCEEDED"


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
