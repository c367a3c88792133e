"""Glue's runs: the script, with its arguments and the job's role, and what it prints.

What a run prints is found where Glue puts it: CloudWatch Logs of the job's account and region, log
groups `/aws-glue/python-jobs/output` and `/aws-glue/python-jobs/error` (`/aws-glue/jobs/…` of Spark
jobs), the log stream named by the run id. It is written with the job role, which needs the
permission, before the run reaches its last state.

Python shell scripts run with this interpreter and its packages, those of Spark jobs as `glue_spark`
says; at most `MAX_SCRIPTS` at once (other runs are RUNNING, and wait). They, and their temporary
directories, go when the server ends; a server that is killed outright takes the scripts along (on
Linux) but leaves the directories in `TMPDIR`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ministack.core.responses import get_account_id, get_region
from ministack.services import glue, iam, sts

import glue_spark
from corrections import replace, trusts_service

MAX_SCRIPTS = 2
"""How many scripts run at once: each is a Python of its own, and a flood would starve all."""

LOG_GROUP, SPARK_LOG_GROUP = "/aws-glue/python-jobs", "/aws-glue/jobs"
SESSION_NAME = "GlueJobRunnerSession"
SESSION_SECONDS = 12 * 3600

# The script replaces this first program, and inherits from it that the kernel kills it when the
# server dies, however the server dies. (`preexec_fn` is not safe in a server with threads.)
DIE_WITH_SERVER = """
import ctypes, os, signal, sys
if hasattr(libc := ctypes.CDLL(None), "prctl"):
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the server is gone")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""

logger = logging.getLogger("launcher")
slots = threading.BoundedSemaphore(MAX_SCRIPTS)
live: dict[str, subprocess.Popen[bytes]] = {}
"""The scripts that run, by their runs' ids."""
stopping: set[str] = set()
ends = threading.Lock()
"""Held where a run ends or is stopped: it is one of the two."""
session_policy: ContextVar[str] = ContextVar("session_policy", default="")
"""Of the run that is started, and then, in its own thread, of the run."""
scratch = Path(tempfile.gettempdir()) / f"glue-python-scripts-{os.getpid()}"
clients_lock = threading.Lock()
clients = botocore.session.Session()


class RunError(RuntimeError):
    """Why a run could not be started; it becomes the run's error message."""


def correct_python_shell_runs() -> None:
    """Make a Python shell run what it is in Glue: the script, its arguments, and the job's role.

    The emulator runs the script without arguments, and with the server's environment in place of
    the role's credentials and the region; a script it cannot find counts as a success.
    """
    # The script is fetched with the job's role, in the run: this only has to be found.
    replace(glue, "_resolve_script", lambda location: f"{location}#.py")
    replace(glue, "_execute_subprocess", run_script)
    scratch.mkdir(mode=0o700)
    atexit.register(clean_up)


def run_script(run: dict, job: dict, arguments: dict[str, str], _resolved: str) -> None:
    """Run the job's script to its end, and put the outcome into `run`.

    Called on the run's own thread, in the context of the job's account and region.
    """
    state, message = "STOPPED", ""
    try:
        with slot(run["Id"]) as is_free:
            if is_free:
                credentials = job_role_credentials(job)
                with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
                    state, message = execute(run, job, arguments, Path(folder), credentials)
    except Exception as error:
        # Whatever it is, it is the run's end: nobody else would ever end it.
        state, message = "FAILED", str(error) or repr(error)
    with ends:
        if run["Id"] in stopping:
            stopping.discard(run["Id"])
            state, message = "STOPPED", ""
        run["ErrorMessage"] = message
        run["CompletedOn"] = int(time.time())
        run["JobRunState"] = state


@contextlib.contextmanager
def slot(run_id: str) -> Iterator[bool]:
    """A place among the scripts that run, if the run is not stopped before there is one."""
    while not (is_free := slots.acquire(timeout=0.1)) and run_id not in stopping:
        pass
    try:
        yield is_free
    finally:
        if is_free:
            slots.release()


def stop(run: dict) -> bool:
    """End a run that is live; false if it is not."""
    with ends:
        if run["JobRunState"] not in ("STARTING", "RUNNING"):
            return False
        stopping.add(run["Id"])
        run["JobRunState"] = "STOPPING"
    if process := live.get(run["Id"]):
        kill(process)
    return True


def execute(
    run: dict, job: dict, arguments: dict[str, str], folder: Path, credentials: dict[str, str]
) -> tuple[str, str]:
    """Fetch, run, log: the run's last state and its error message."""
    # Glue lets a job pin arguments against whoever starts it.
    arguments = {**arguments, **job.get("NonOverridableArguments", {})}
    extra = listed(arguments.pop("--extra-py-files", ""))
    extra += wheels(arguments.pop("--additional-python-modules", ""))
    script = fetch(job["Command"]["ScriptLocation"], folder, credentials)
    modules = [fetch(url, folder / "extra", credentials) for url in extra]
    # A plain module is imported from its folder, an archive (wheel, egg, zip) as itself.
    paths = {str(m.parent if m.suffix == ".py" else m) for m in modules}
    words = [word for name, value in arguments.items() for word in (name, str(value))]
    work = folder / "work"
    work.mkdir()
    interpreter, group, environment = sys.executable, LOG_GROUP, {}
    if glue_spark.is_spark_job(job):
        interpreter, group = glue_spark.interpreter(), SPARK_LOG_GROUP
        words = [*glue_spark.arguments(run), *words]
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        environment = glue_spark.environment(folder, endpoint, get_region())
    process = subprocess.Popen(
        [interpreter, "-ISc", DIE_WITH_SERVER, str(os.getpid()), str(script), *words],
        cwd=work,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(work),
            "TMPDIR": str(work),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(sorted(paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_REGION": get_region(),
            "AWS_DEFAULT_REGION": get_region(),
            "AWS_EC2_METADATA_DISABLED": "true",
            **environment,
            **credentials,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    live[run["Id"]] = process
    if run["Id"] in stopping:
        kill(process)
    timed_out = False
    try:
        output = process.communicate(timeout=60 * int(job.get("Timeout") or 2880))
    except subprocess.TimeoutExpired:
        timed_out = True
        kill(process)
        output = process.communicate()
    finally:
        del live[run["Id"]]
    stdout, stderr = (text.decode(errors="replace") for text in output)
    log(run["Id"], f"{group}/output", stdout, credentials)
    log(run["Id"], f"{group}/error", stderr, credentials)
    if timed_out:
        return "TIMEOUT", "the run exceeded the job's timeout"
    if process.returncode == 0:
        return "SUCCEEDED", ""
    return "FAILED", last_words(stderr) or f"the script ended with {process.returncode}"


def last_words(stderr: str) -> str:
    """The last exception that a script printed, else its last line: Spark says much on leaving."""
    _, traceback, after = stderr.rpartition("Traceback (most recent call last):\n")
    lines = after.strip().splitlines()
    if traceback:
        lines = [line for line in after.splitlines() if line and not line[0].isspace()][:1]
    return lines[-1][:2000] if lines else ""


def job_role_credentials(job: dict) -> dict[str, str]:
    """A session of the job's role, as Glue would get it: its trust policy must agree.

    What the run's session policy does not allow, the session may not.
    """
    account = get_account_id()
    name = job["Role"].rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        raise RunError(f"failed to assume role `{job['Role']}`: no such role in `{account}`")
    source = f"arn:aws:glue:{get_region()}:{account}:job/{job['Name']}"
    if not trusts_service(role, "glue.amazonaws.com", account, source):
        message = "its trust policy does not admit glue.amazonaws.com"
        raise RunError(f"failed to assume role `{role['Arn']}`: {message}")
    key, secret, token = ("ASIA" + secrets.token_hex(8).upper(), *map(secrets.token_hex, (20, 64)))
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{SESSION_NAME}",
        "UserId": f"{role['RoleId']}:{SESSION_NAME}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "AccountId": account,
        "PrincipalType": "AssumedRole",
        "Expiration": time.time() + SESSION_SECONDS,
    }
    if policy := session_policy.get():
        session["SessionPolicies"] = {"Policy": policy, "PolicyArns": []}
    sts.register_session(key, session)
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def listed(argument: str) -> list[str]:
    return [one.strip() for one in argument.split(",") if one.strip()]


def wheels(argument: str) -> list[str]:
    """Of `--additional-python-modules` the wheels in S3, which are what needs no package index."""
    found = listed(argument)
    others = [one for one in found if not (one.startswith("s3://") and one.endswith(".whl"))]
    if others:
        raise RunError(f"failed to install `{others[0]}`: it is no wheel in S3")
    return found


def fetch(url: str, folder: Path, credentials: dict[str, str]) -> Path:
    """Copy an object into `folder` with the job's role, as Glue does."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    name = key.rsplit("/", 1)[-1]
    if not url.startswith("s3://") or not name:
        raise RunError(f"failed to fetch `{url}`: it is not `s3://bucket/key`")
    try:
        body = client("s3", credentials).get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise RunError(f"failed to fetch `{url}` with the job's role: {error}") from error
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(body)
    return path


def log(run_id: str, name: str, text: str, credentials: dict[str, str]) -> None:
    """Put what a script printed into CloudWatch Logs, an event a line.

    A role that may not do that loses its logs and not its run, as in Glue.
    """
    lines = [line for line in text.splitlines() if line]
    if not lines:
        return
    group = {"logGroupName": name}
    stream = {**group, "logStreamName": run_id}
    now = int(time.time() * 1000)
    logs = client("logs", credentials)
    try:
        for create, names in (logs.create_log_group, group), (logs.create_log_stream, stream):
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                create(**names)
        for start in range(0, len(lines), 1000):
            batch = lines[start : start + 1000]
            logs.put_log_events(
                **stream, logEvents=[{"timestamp": now, "message": line} for line in batch]
            )
    except (BotoCoreError, ClientError) as error:
        logger.warning("failed to log to `%s` for run `%s`: %s", name, run_id, error)


def client(service: str, credentials: dict[str, str]) -> Any:
    with clients_lock:  # Making a client is not safe in threads; using one is.
        return clients.create_client(
            service,
            region_name=get_region(),
            endpoint_url=os.environ["AWS_ENDPOINT_URL"],
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials["AWS_SESSION_TOKEN"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the script and what it started: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def clean_up() -> None:
    """At the server's end: no script and no directory is left."""
    for process in list(live.values()):
        kill(process)
        process.wait(timeout=5)
    shutil.rmtree(scratch, ignore_errors=True)
