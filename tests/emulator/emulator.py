"""Starts the emulator for tests, and makes roles and Python shell jobs in its accounts."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

LAUNCHER = [sys.executable, str(Path(__file__).parent / "launcher.py")]
PLAIN = [sys.executable, "-m", "ministack"]
DATA, ANALYTICS = "111111111111", "222222222222"
REGION = "eu-west-1"


@dataclass
class Emulator:
    """A running emulator, and the folder that holds all its files."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    def client(self, service: str, account: str, **credentials: str) -> Any:
        """Returns a client with `credentials`, by default those of the root of `account`."""
        credentials = credentials or {
            "aws_access_key_id": account,
            "aws_secret_access_key": "any",
        }
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.url, config=config, **credentials
        )

    def session_of(self, account: str, role: str, name: str = "someone") -> dict[str, str]:
        """Returns the credentials of a new session of the role, as a client takes them."""
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
def running(command: list[str], folder: Path, **variables: str) -> Iterator[Emulator]:
    """Runs the emulator with IAM on, in a clean environment, with all its files in `folder`."""
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
        **variables,
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


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until `condition` returns something true, and returns it. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def trust(**statement: Any) -> str:
    """Returns a trust policy with one statement, which allows `sts:AssumeRole` by default."""
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def allow(action: str | list[str], resource: str = "*") -> str:
    """Returns a permissions policy that allows the actions on the resource."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role(
    emulator: Emulator, account: str, name: str, trusted: str, policy: str = "", path: str = "/"
) -> str:
    """Creates a role, or resets one that an earlier test made. Returns its ARN."""
    iam = emulator.client("iam", account)
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trusted)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trusted)
    if policy:
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
    return iam.get_role(RoleName=name)["Role"]["Arn"]


def zipped(package: Path, archive: Path) -> Path:
    """Packs a package's folder into an archive that Python can import, as it can a wheel."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(package.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, path.relative_to(package.parent))
    return archive


GLUE = trust(Principal={"Service": "glue.amazonaws.com"})
JOB_POLICY = allow(["s3:GetObject", "logs:*"])


@dataclass
class Job:
    """A Python shell job in the analytics account, with its script in a bucket."""

    emulator: Emulator
    name: str
    role: str

    def run(self, **arguments: str) -> dict[str, Any]:
        """Starts a run with `--name value` arguments, waits for its end, and returns it."""
        return self.wait(self.start(**arguments))

    def wait(self, run_id: str) -> dict[str, Any]:
        glue = self.emulator.client("glue", ANALYTICS)

        def ended() -> dict[str, Any] | None:
            found = glue.get_job_run(JobName=self.name, RunId=run_id)["JobRun"]
            return (
                found if found["JobRunState"] not in ("STARTING", "RUNNING", "STOPPING") else None
            )

        return wait_until(ended)

    def start(self, **arguments: str) -> str:
        named = {f"--{name}": value for name, value in arguments.items()}
        glue = self.emulator.client("glue", ANALYTICS)
        return glue.start_job_run(JobName=self.name, Arguments=named)["JobRunId"]

    def state(self, run_id: str) -> str:
        glue = self.emulator.client("glue", ANALYTICS)
        return glue.get_job_run(JobName=self.name, RunId=run_id)["JobRun"]["JobRunState"]

    def stop(self, run_id: str) -> list[str]:
        """Asks Glue to stop the run. Returns the codes of the errors."""
        glue = self.emulator.client("glue", ANALYTICS)
        answer = glue.batch_stop_job_run(JobName=self.name, JobRunIds=[run_id])
        return [error["ErrorDetail"]["ErrorCode"] for error in answer["Errors"]]

    def logged(self, run: dict[str, Any], kind: str = "output") -> list[str]:
        """Returns the lines that the run logged."""
        logs = self.emulator.client("logs", ANALYTICS)
        answer = logs.get_log_events(
            logGroupName=f"/aws-glue/python-jobs/{kind}", logStreamName=run["Id"]
        )
        return [event["message"] for event in answer["events"]]


def job(emulator: Emulator, name: str, script: str, **settings: Any) -> Job:
    """Uploads the script and creates a Python shell job with these settings."""
    s3 = emulator.client("s3", ANALYTICS)
    bucket = "scripts-of-jobs"
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
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
