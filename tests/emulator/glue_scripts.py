"""Runs the scripts of Glue jobs, with their arguments and the job's role, and logs their output.

A run's output goes where Glue puts it: to CloudWatch Logs of the job's account and region, log
groups `/aws-glue/python-jobs/output` and `/aws-glue/python-jobs/error` (`/aws-glue/jobs/…` for
Spark jobs), in a log stream with the run id as its name. The job role writes it, so it needs that
permission. It does so before the run reaches its last state.

Python shell scripts run with this interpreter and its packages; `glue_spark` says how those of
Spark jobs run. At most `MAX_SCRIPTS` run at once; further runs are RUNNING and wait. When the
server ends, it removes the scripts and their temporary directories. If somebody kills the server,
the scripts end too (on Linux), but the directories stay in `TMPDIR`.
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

GLUE_LIBRARY = Path(__file__).with_name("glue_library")
"""The folder of `awsglue`, which Glue has in every run."""

MAX_SCRIPTS = 2
"""The most scripts that run at once. Each is a Python process, and too many would starve all."""

LOG_GROUP, SPARK_LOG_GROUP = "/aws-glue/python-jobs", "/aws-glue/jobs"
SESSION_NAME = "GlueJobRunnerSession"
SESSION_SECONDS = 12 * 3600

# Asks the kernel to kill this process when the server dies, for whatever reason, and then replaces
# itself with the script, which inherits that. (`preexec_fn` isn't safe in a server with threads.)
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
"""The processes of the scripts that run, by run id."""
stopping: set[str] = set()
ends = threading.Lock()
"""Held while a run ends or is stopped, so that only one of the two happens."""
session_policy: ContextVar[str] = ContextVar("session_policy", default="")
"""The session policy of the run that a request starts, and in the run's own thread, the run's."""
scratch = Path(tempfile.gettempdir()) / f"glue-python-scripts-{os.getpid()}"
clients_lock = threading.Lock()
clients = botocore.session.Session()


class RunError(RuntimeError):
    """The reason why a run could not start. It becomes the run's error message."""


def correct_python_shell_runs() -> None:
    """Runs Python shell jobs as Glue does: with the script's arguments and the job's role.

    The emulator runs the script without arguments, and with the server's environment instead of the
    role's credentials and the region. If it can't find a script, it counts the run as a success.
    """
    # The run fetches the script itself, with the job's role. The emulator only has to find a name.
    replace(glue, "_resolve_script", lambda location: f"{location}#.py")
    replace(glue, "_execute_subprocess", run_script)
    scratch.mkdir(mode=0o700)
    atexit.register(clean_up)


def run_script(run: dict, job: dict, arguments: dict[str, str], _resolved: str) -> None:
    """Runs the job's script to its end, and puts the outcome into `run`.

    The emulator calls it on the run's own thread, in the context of the job's account and region.
    """
    state, message = "STOPPED", ""
    try:
        with slot(run["Id"]) as is_free:
            if is_free:
                credentials = job_role_credentials(job)
                with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
                    state, message = execute(run, job, arguments, Path(folder), credentials)
    except Exception as error:
        # Any error must end the run, because nothing else would ever end it.
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
    """Waits for a free slot. Yields False if the run is stopped before there is one."""
    while not (is_free := slots.acquire(timeout=0.1)) and run_id not in stopping:
        pass
    try:
        yield is_free
    finally:
        if is_free:
            slots.release()


def stop(run: dict) -> bool:
    """Stops a live run. Returns False if the run isn't live."""
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
    """Fetches and runs the script and logs its output. Returns the last state and error message."""
    # A job can pin arguments, and then a run can't override them.
    arguments = {**arguments, **job.get("NonOverridableArguments", {})}
    extra = listed(arguments.pop("--extra-py-files", ""))
    extra += wheels(arguments.pop("--additional-python-modules", ""))
    script = fetch(job["Command"]["ScriptLocation"], folder, credentials)
    modules = [fetch(url, folder / "extra", credentials) for url in extra]
    # Python imports a plain module from its folder, and an archive (wheel, egg, zip) directly.
    paths = {str(m.parent if m.suffix == ".py" else m) for m in modules}
    words = [word for name, value in arguments.items() for word in (name, str(value))]
    work = folder / "work"
    work.mkdir()
    interpreter, group, environment = sys.executable, LOG_GROUP, {}
    program = [str(script)]
    if glue_spark.is_spark_job(job):
        interpreter, group = glue_spark.interpreter(), SPARK_LOG_GROUP
        program = glue_spark.program(script)
        words = [*glue_spark.arguments(run), *words]
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        environment = glue_spark.environment(folder, endpoint, get_region())
    process = subprocess.Popen(
        [interpreter, "-ISc", DIE_WITH_SERVER, str(os.getpid()), *program, *words],
        cwd=work,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(work),
            "TMPDIR": str(work),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join([*sorted(paths), str(GLUE_LIBRARY)]),
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
    """Returns the last exception that a script printed, else its last line.

    Spark prints much more after an exception.
    """
    _, traceback, after = stderr.rpartition("Traceback (most recent call last):\n")
    lines = after.strip().splitlines()
    if traceback:
        lines = [line for line in after.splitlines() if line and not line[0].isspace()][:1]
    return lines[-1][:2000] if lines else ""


def job_role_credentials(job: dict) -> dict[str, str]:
    """Returns the credentials of a session of the job's role, if its trust policy admits Glue.

    The run's session policy limits the session.
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
    """Returns the wheels of `--additional-python-modules`, which must all be in S3."""
    found = listed(argument)
    others = [one for one in found if not (one.startswith("s3://") and one.endswith(".whl"))]
    if others:
        raise RunError(f"failed to install `{others[0]}`: it is not a wheel in S3")
    return found


def fetch(url: str, folder: Path, credentials: dict[str, str]) -> Path:
    """Copies an object into `folder` with the job's role, as Glue does."""
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
    """Puts a script's output into CloudWatch Logs, one event per line.

    If the role isn't allowed to do that, the logs are lost but the run goes on, as in Glue.
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
    with clients_lock:  # Threads can share a client, but they can't safely make one.
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
    """Kills the script and everything that it started, which is its own process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def clean_up() -> None:
    """Kills all scripts and removes all directories when the server ends."""
    for process in list(live.values()):
        kill(process)
        process.wait(timeout=5)
    shutil.rmtree(scratch, ignore_errors=True)
